"""Any scikit-learn estimator as an expert, by cross-fitted EM.

A flexible expert explains every row it was fitted on: with residuals of those rows its noise goes
to zero and the first partition freezes. So each expert is fitted on all folds but one and says the
rows of that fold; responsibilities, noise and gate see only what is said of rows out of the fold.
A refit is a proposal, kept only if it does not lower the expert's part of the objective, so that
the cross-fitted bound rises whatever the estimator does.

The models of the folds stay and an expert is their average, which has less variance than one refit
on all rows, at no extra fit (Barrow and Crone 2013, Crogging, IJCNN).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
from scipy.special import logsumexp
from sklearn.utils.parallel import Parallel, delayed

from skmoe._data.rows import RawFeatures, index_rows
from skmoe._data.sklearn_adapter import (
    count_parameters,
    fit_estimator,
    has_density,
    has_predict_dist,
    predict_expert,
    predict_log_density,
    predict_normal_components,
    predict_oob,
)
from skmoe._numerics.probability import LOG_2PI
from skmoe._numerics.typing import TINY, Array
from skmoe.distributions import NormalComponents
from skmoe.protocols import Experts, SupportsDistribution

# Rows of which an expert has a smaller share are left out of its fits.
MIN_RESPONSIBILITY = 1e-3

# Log density of experts before their first fit, which any fit surpasses.
UNFITTED_LOG_PROB = -1e6

# With fewer rows left, none is left out.
MIN_FIT_ROWS = 20

# Experts whose responsibilities moved by a smaller share since their last fit are not refitted.
REFIT_TOL = 1e-2


class EstimatorParams(NamedTuple):
    """Fitted models and what they say of the rows of the fit.

    The models of an expert are averaged. What they say, out of fold, is (K, m, n) for means or
    class probabilities; it is None once the fit is over.
    """

    models: tuple[tuple[Any, ...], ...]
    log_variance: Array  # (K, m); NaN for experts with densities of their own
    said: Array | None
    density: Array | None  # log densities (K, n) of experts with densities of their own, else NaN
    fitted: Array | None  # responsibilities (K, n) at the last proposal


class AllRows(NamedTuple):
    """All rows, which do not add up over blocks."""

    table: RawFeatures
    y: Array
    resp: Array


@dataclass(frozen=True)
class CrossFittedExperts(Experts):
    """Experts that are scikit-learn estimators.

    Parameters
    ----------
    estimators : tuple of estimators
        One for each expert, not fitted.
    seeds : array of int of shape (n_experts, n_folds)
        Random states of their fits.
    routes : tuple of dict
        For each expert, the arguments of its fit and the names of the metadata they take.
    classes : array or None
        Labels whose codes y holds; None for regression.
    shared_variance, variance_prior, noise_variance, variance_floor
        As of `LinearExperts`; unused for classes.
    out_of_bag : bool
        Whether out-of-bag predictions stand in for folds.
    n_jobs : int or None
        Fits to run in parallel.
    """

    needs_all_rows: ClassVar[bool] = True
    standardizes_target: ClassVar[bool] = False

    estimators: tuple[Any, ...]
    seeds: Array
    routes: tuple[dict[str, str], ...]
    classes: Array | None = None
    shared_variance: bool = False
    variance_prior: float = 10.0
    noise_variance: tuple[float, ...] = (1.0,)
    variance_floor: tuple[float, ...] = (1e-6,)
    out_of_bag: bool = False
    n_jobs: int | None = None

    def init_params(self, n_experts: int, n_columns: int) -> EstimatorParams:
        """No models: every expert says the same."""
        variance = np.zeros((n_experts, len(self.noise_variance)))
        return EstimatorParams((), variance, None, None, None)

    # --- what experts say ---

    def log_prob(self, params: EstimatorParams, table: RawFeatures, y: Array) -> Array:
        """Log density or log probability of y under each expert, (K, n).

        Of the rows of a running fit, by what was said out of fold.
        """
        if not params.models:
            return np.full((len(params.log_variance), table.shape[0]), UNFITTED_LOG_PROB)
        if params.said is not None and params.density is not None:
            said, density = params.said, params.density
        else:
            said, density = self.mean(params, table), self._densities(params, table, y)
        return self._log_prob(said, density, params.log_variance, y)

    def _log_prob(self, said: Array, density: Array, log_variance: Array, y: Array) -> Array:
        if self.classes is not None:
            return np.log(said[:, y, np.arange(len(y))])
        residual = (y - said) ** 2 * np.exp(-log_variance)[..., None]
        constant = log_variance.sum(axis=1) + LOG_2PI * len(y)
        normal = -0.5 * (residual.sum(axis=1) + constant[:, None])
        return np.where(self._has_density()[:, None], density, normal)

    def mean(self, params: EstimatorParams, table: RawFeatures) -> Array:
        """Mean (K, m, n) or class probabilities (K, C, n), averaged over the models."""
        return np.stack([self.mean_of(params, k, table) for k in range(len(params.models))])

    def mean_of(self, params: EstimatorParams, k: int, table: RawFeatures) -> Array:
        """What one expert says, (m, n) or (C, n)."""
        return np.mean(
            [predict_expert(model, table.X, self.classes) for model in params.models[k]], axis=0
        )

    def components(self, params: EstimatorParams, k: int, table: RawFeatures) -> NormalComponents:
        """Normal noise around what an expert says, or its own density, averaged over its models."""
        if self._has_density()[k]:
            return pool_components(
                [predict_normal_components(model, table.X) for model in params.models[k]]
            )
        mean = self.mean_of(params, k, table)
        std = np.broadcast_to(np.sqrt(np.exp(params.log_variance[k]))[:, None], mean.shape)
        return NormalComponents(np.ones((1, mean.shape[1])), mean[None], std[None])

    def _densities(self, params: EstimatorParams, table: RawFeatures, y: Array) -> Array:
        densities = np.zeros((len(params.models), table.shape[0]))
        for k in np.flatnonzero(self._has_density()):
            logs = [predict_log_density(model, table.X, y) for model in params.models[k]]
            densities[k] = logsumexp(logs, axis=0) - np.log(len(logs))
        return densities

    def _n_outputs(self) -> int:
        """Numbers that an expert says of a row."""
        return len(self.noise_variance) if self.classes is None else len(self.classes)

    def _has_density(self) -> Array:
        """Which experts have predictive densities of their own, (K,)."""
        regress = self.classes is None
        return np.array([regress and has_density(model) for model in self.estimators])

    def attributes(self, params: EstimatorParams, units: Any) -> dict[str, Any]:
        """`experts_`: the models of each expert; and `noise_variance_` of a regression."""
        fitted: dict[str, Any] = {"experts_": [list(models) for models in params.models]}
        if self.classes is None:
            variance = units.target_scaling.scale**2 * np.exp(params.log_variance)
            fitted["noise_variance_"] = variance[:, 0] if variance.shape[1] == 1 else variance
        return fitted

    def dispersion_at_bound(self, params: EstimatorParams) -> Array:
        """Experts with a variance at its floor."""
        if self.classes is not None:
            return np.zeros(len(params.log_variance), dtype=bool)
        return (params.log_variance <= np.log(self.variance_floor)).any(axis=1)

    def limitation(self, capability: type) -> str:
        """Why there is no predictive distribution: classes, or a density of another kind."""
        if capability is SupportsDistribution:
            if self.classes is not None:
                return "its target is a class"
            for k, estimator in enumerate(self.estimators):
                if has_density(estimator) and not has_predict_dist(estimator):
                    return (
                        f"expert {k} ({type(estimator).__name__}) has a density of its own and no "
                        "method predict_dist"
                    )
        return ""

    # --- fits ---

    def statistics(
        self, params: EstimatorParams, table: RawFeatures, y: Array, resp: Array
    ) -> AllRows:
        """All rows."""
        return AllRows(table, y, resp)

    def m_step(
        self, statistics: AllRows, factor: None, params: EstimatorParams, step: float
    ) -> EstimatorParams:
        """Propose refits of the experts whose rows have changed, and keep those that are better."""
        table, y, resp = statistics
        models, said, density, fitted = self._copy_state(params, statistics)
        due = [k for k in range(len(resp)) if _responsibilities_changed(fitted[k], resp[k])]
        new_models, new_said, new_density = self._refit(due, table, y, resp)
        worth = self._objective(said, density, params.log_variance, y, resp)
        fitted[due] = resp[due]
        trial_said, trial_density = said.copy(), density.copy()
        trial_said[due], trial_density[due] = new_said, new_density
        new_worth = self._objective(trial_said, trial_density, params.log_variance, y, resp)
        for k, proposed in zip(due, new_models, strict=True):
            if not models[k] or new_worth[k] >= worth[k]:
                models[k], said[k], density[k] = proposed, trial_said[k], trial_density[k]
        log_variance = self._log_variance(said, y, resp)
        return EstimatorParams(tuple(models), log_variance, said, density, fitted)

    def _copy_state(
        self, params: EstimatorParams, statistics: AllRows
    ) -> tuple[list[tuple[Any, ...]], Array, Array, Array]:
        """Copies of what the solution changes, or what stands for it before the first fit."""
        if params.said is not None and params.density is not None and params.fitted is not None:
            state = params.said.copy(), params.density.copy(), params.fitted.copy()
            return list(params.models), *state
        resp = statistics.resp
        n_experts, n_rows = resp.shape
        said = np.zeros((n_experts, self._n_outputs(), n_rows)) + (self.classes is not None)
        return [()] * n_experts, said, np.zeros_like(resp), np.full_like(resp, -1.0)

    def _refit(
        self, due: list[int], table: RawFeatures, y: Array, resp: Array
    ) -> tuple[list[tuple[Any, ...]], Array, Array]:
        """Models of the experts `due`, what they say out of fold, and their densities."""
        folds = list(_folds(table))
        own = self._has_density()
        fits = Parallel(n_jobs=self.n_jobs)(
            delayed(self._fit_predict_fold)(k, j, table, y, resp, train, test, own[k])
            for k in due
            for j, (train, test) in enumerate(folds)
        )
        n_rows = resp.shape[1]
        said, density = (
            np.zeros((len(due), self._n_outputs(), n_rows)),
            np.zeros((len(due), n_rows)),
        )
        models: list[tuple[Any, ...]] = []
        for i in range(len(due)):
            of_expert = fits[i * len(folds) : (i + 1) * len(folds)]
            models.append(tuple(model for model, _, _ in of_expert))
            for (_, told, logs), (_, test) in zip(of_expert, folds, strict=True):
                said[i][:, test] = told
                density[i, test] = logs
        return models, said, density

    def _fit_predict_fold(
        self,
        k: int,
        j: int,
        table: RawFeatures,
        y: Array,
        resp: Array,
        train: Array,
        test: Array,
        own_density: bool,
    ) -> tuple[Any, Array, Array]:
        """Fit one expert without one fold, and let it say the rows of that fold."""
        try:
            return self._fit_predict(k, j, table, y, resp, train, test, own_density)
        except Exception as error:
            rows = "fitted on all rows" if train is test else f"without fold {j}"
            error.add_note(f"This was expert {k}, {self.estimators[k]!r}, {rows}.")
            raise

    def _fit_predict(
        self,
        k: int,
        j: int,
        table: RawFeatures,
        y: Array,
        resp: Array,
        train: Array,
        test: Array,
        own_density: bool,
    ) -> tuple[Any, Array, Array]:
        kept = _rows_to_fit(train, resp, k)
        model = self._fit(k, j, table, y, resp[k], kept)
        X = index_rows(table.X, test)
        if self.out_of_bag:
            told = predict_expert(model, X, self.classes)
            bagged = predict_oob(model, self.classes) if _has_oob(model) else told[:, kept]
            told[:, kept] = np.where(np.isnan(bagged), told[:, kept], bagged)
        else:
            told = predict_expert(model, X, self.classes)
        _check_prediction(told, self._n_outputs(), len(test))
        logs = predict_log_density(model, X, y[:, test]) if own_density else np.zeros(len(test))
        return model, told, logs

    def _fit(self, k: int, j: int, table: RawFeatures, y: Array, resp: Array, kept: Array) -> Any:
        target = y[:, kept].T if self.classes is None else self.classes[y[kept]]
        if target.ndim == 2 and target.shape[1] == 1:
            target = target[:, 0]
        weight = np.maximum(resp[kept], TINY**0.5)
        metadata = {
            argument: table.metadata[name][kept] for argument, name in self.routes[k].items()
        }
        X = index_rows(table.X, kept)
        return fit_estimator(self.estimators[k], int(self.seeds[k, j]), X, target, weight, metadata)

    def drop_training_state(self, params: EstimatorParams) -> EstimatorParams:
        """Parameters for new rows, without what was said of the rows of the fit."""
        return params._replace(said=None, density=None, fitted=None)

    def concatenate(
        self, params: list[EstimatorParams]
    ) -> tuple[CrossFittedExperts, EstimatorParams]:
        """Experts and parameters, for new rows, of several fits side by side."""
        models = sum((fit.models for fit in params), ())
        log_variance = np.concatenate([fit.log_variance for fit in params])
        experts = replace(self, estimators=self.estimators * len(params))
        return experts, EstimatorParams(models, log_variance, None, None, None)

    # --- the objective ---

    def _objective(
        self, said: Array, density: Array, log_variance: Array, y: Array, resp: Array
    ) -> Array:
        """Each expert's part of the objective, (K,), at the best variance of its own."""
        if self.classes is None and not self.shared_variance:
            log_variance = self._log_variance(said, y, resp)
        values = (resp * self._log_prob(said, density, log_variance, y)).sum(axis=1)
        return values - self._penalties(log_variance)

    def _log_variance(self, said: Array, y: Array, resp: Array) -> Array:
        n_experts, n_outputs = len(resp), len(self.noise_variance)
        if self.classes is not None:
            return np.zeros((n_experts, n_outputs))
        weight = np.where(self._has_density()[:, None], 0.0, resp)
        squares = np.einsum("kn,kmn->km", weight, (y - said) ** 2)
        rows = np.repeat(weight.sum(axis=1)[:, None], n_outputs, axis=1)
        if self.shared_variance:
            rows = np.broadcast_to(rows.sum(axis=0), rows.shape)
            squares = np.broadcast_to(squares.sum(axis=0), squares.shape)
        prior = self.variance_prior
        total = np.maximum(rows + prior, TINY)
        variance = np.maximum(squares + prior * np.array(self.noise_variance), TINY) / total
        log_variance = np.log(np.maximum(variance, self.variance_floor))
        return np.where(self._has_density()[:, None], np.nan, log_variance)

    def _penalties(self, log_variance: Array) -> Array:
        if self.classes is not None:
            return np.zeros(len(log_variance))
        # In units of the prior's variance, so that the bound does not depend on the units of y.
        ratio = log_variance - np.log(np.maximum(self.noise_variance, TINY))
        terms = ratio + np.exp(-ratio)
        return 0.5 * self.variance_prior * np.where(self._has_density(), 0.0, terms.sum(axis=1))

    def penalty(self, params: EstimatorParams) -> float:
        """Negative log prior of the variances, up to a constant."""
        penalties = self._penalties(params.log_variance)[~self._has_density()]
        return float(penalties[: 1 if self.shared_variance else None].sum())

    def n_parameters(self, params: EstimatorParams) -> float:
        """Parameters of the models, NaN where they cannot be counted, and variances."""
        counts = [count_parameters(models[0]) for models in params.models]
        if self.classes is not None:
            return sum(counts)
        variances = params.log_variance[~self._has_density()]
        return sum(counts) + (variances[:1] if self.shared_variance else variances).size


def pool_components(parts: list[NormalComponents]) -> NormalComponents:
    """The mixture, in equal shares, of densities."""
    weight, mean, std = (np.concatenate(values) for values in zip(*parts, strict=True))
    return NormalComponents(weight / len(parts), mean, std)


def _folds(table: RawFeatures) -> Iterator[tuple[Array, Array]]:
    """Rows to fit and rows to tell, for each fold; all rows for both without folds."""
    rows = np.arange(table.shape[0])
    if table.fold is None:
        yield rows, rows
        return
    for j in range(int(table.fold.max()) + 1):
        yield rows[table.fold != j], rows[table.fold == j]


def _check_prediction(said: Array, width: int, n_rows: int) -> None:
    """An expert says finite numbers of every row; only its first fit shows whether it does."""
    if said.shape != (width, n_rows):
        raise ValueError(
            f"An expert must predict {width} value(s) for each of {n_rows} rows; its answer has "
            f"shape {said.T.shape}. Correct its predict, or use another estimator."
        )
    if not np.isfinite(said).all():
        raise ValueError(
            "An expert must predict finite values; it predicted NaN or infinity. Standardise or "
            "impute the features it sees, or use another estimator."
        )


def _responsibilities_changed(fitted: Array, resp: Array) -> bool:
    """Whether responsibilities have changed enough for a refit to be worth its time."""
    return float(np.abs(resp - fitted).sum()) > REFIT_TOL * float(resp.sum())


def _rows_to_fit(rows: Array, resp: Array, k: int) -> Array:
    """The rows in which an expert has more than a negligible share, if they are enough."""
    kept = rows[resp[k, rows] > MIN_RESPONSIBILITY * resp[:, rows].sum(axis=0)]
    return kept if len(kept) >= MIN_FIT_ROWS else rows


def _has_oob(model: Any) -> bool:
    return hasattr(model, "oob_prediction_") or hasattr(model, "oob_decision_function_")
