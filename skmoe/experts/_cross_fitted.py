"""Scikit-learn estimators as experts, fitted by EM with cross-fitting.

A flexible estimator fits its training rows so closely that in-sample residuals would drive its
noise variance to zero, and EM would stop at the initial partition. So each expert is fitted on all
folds but one and predicts the held-out fold; responsibilities, noise and gate use only these
out-of-fold predictions. A refit is accepted only if it does not decrease the expert's contribution
to the objective, so that the lower bound increases for any estimator.

The models of the folds are kept, and an expert is their average, which has less variance than one
refit on all rows, at no extra fit (Barrow and Crone 2013, Crogging, IJCNN).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
from joblib import effective_n_jobs
from scipy.special import logsumexp
from sklearn.utils.parallel import Parallel, delayed

from skmoe._data.folds import cross_fit_splits, name_of_rows
from skmoe._data.row_checks import add_feature_note
from skmoe._data.rows import RawFeatures, index_rows
from skmoe._data.sklearn_adapter import (
    check_means,
    check_prediction,
    count_parameters,
    fit_estimator,
    groups_of_folds,
    has_density,
    has_predict_dist,
    predict_components,
    predict_expert,
    predict_log_density,
    typical_model,
    unchecked,
    validate_for_trees,
)
from skmoe._numerics.typing import TINY, Array
from skmoe.distributions._components import average_components
from skmoe.experts._mean_family import MeanFamily
from skmoe.families import Normal
from skmoe.families._base import dispersion_values
from skmoe.protocols import Block, Experts, SupportsDistribution, SupportsInference

# Rows with a smaller responsibility (relative to their weight) are left out of an expert's fit,
# unless fewer than MIN_FIT_ROWS would remain.
MIN_RESPONSIBILITY = 1e-3
MIN_FIT_ROWS = 20

# An expert is refitted when its responsibilities have changed by more than this fraction of their
# sum since its last fit.
REFIT_TOL = 1e-2

# After their first fit, and after a refit that was not accepted, cross-fitted experts wait until
# gate variances have adapted, which costs nearly nothing: until the last change of all
# responsibilities is at most this fraction of that since the last fits. They need larger changes.
SETTLED_FRACTION = 0.05
REFIT_TOL_OF_WAITING = 0.05


# Squared error in held-out rows, relative to that of the mean, from which an expert has not learned
# anything. That of a deep tree is two where y is noise.
MAX_RELATIVE_ERROR = 3.0


class EstimatorParams(NamedTuple):
    """Fitted models of the folds, and their out-of-fold predictions for the training rows."""

    models: tuple[tuple[Any, ...], ...]  # of each expert; their predictions are averaged
    log_variance: Array  # (K, m); NaN for experts with their own density
    # Means (K, m, n) or class probabilities (K, C, n); None after the fit.
    oof_predictions: Any = None
    oof_log_density: Any = None  # (K, n); zero for experts without their own density
    # Responsibilities (K, n) at the last refit, accepted or not.
    resp_at_last_fit: Array | None = None
    last_resp: Array | None = None  # responsibilities (K, n) of the last M-step
    waits: Array | None = None  # experts (K,) that are refitted only when all have settled
    # Of densities of stacked models around their means, or temperatures of classes, (K,), and their
    # out-of-fold log densities at each possible spread, (S, n) of each model; None after the fit.
    spread: Array | None = None
    at_spreads: Any = None

    def of_rows(self, index: Array) -> EstimatorParams:
        """Stacked models with their out-of-fold predictions of some rows."""
        return self._replace(
            oof_predictions=self.oof_predictions[..., index],
            oof_log_density=self.oof_log_density[:, index],
            at_spreads=tuple(of_model[:, index] for of_model in self.at_spreads),
        )


class AllRows(NamedTuple):
    """The rows themselves, in place of sufficient statistics."""

    features: RawFeatures
    y: Array
    resp: Array


class Fits(NamedTuple):
    """Models of some experts, and their out-of-fold predictions."""

    models: list[tuple[Any, ...]]
    predictions: Array
    log_density: Array


def experts_to_refit(params: EstimatorParams, fit_resp: Array, resp: Array) -> list[int]:
    """Experts whose responsibilities have changed since their last fit, `fit_resp` (K, n).

    Those that wait are among them once the responsibilities of all have settled.
    """
    change, mass = np.abs(resp - fit_resp).sum(axis=1), resp.sum(axis=1)
    changed = change > REFIT_TOL * mass
    if params.waits is not None and params.last_resp is not None:
        last_change = np.abs(resp - params.last_resp).sum()
        have_settled = last_change <= SETTLED_FRACTION * change.sum()
        changed &= ~params.waits | (have_settled & (change > REFIT_TOL_OF_WAITING * mass))
    return np.flatnonzero(changed).tolist()


def rows_to_fit(rows: Array, resp: Array, k: int) -> Array:
    """Rows with more than a negligible responsibility of expert k; all rows if these are few."""
    kept = rows[resp[k, rows] > MIN_RESPONSIBILITY * resp[:, rows].sum(axis=0)]
    return kept if len(kept) >= MIN_FIT_ROWS else rows


# Log density of experts before their first fit, lower than that of any fit.
UNFITTED_LOG_PROB = -1e100


@dataclass(frozen=True)
class CrossFittedExperts(Experts):
    """Experts that are scikit-learn estimators, see the module docstring.

    Those of a regression predict the mean of y, around which it has the distribution of a family,
    or have a density of their own.

    Parameters
    ----------
    estimators : tuple of estimators
        One for each expert, not fitted.
    seeds : array of int of shape (n_experts, n_folds)
        Random states of their fits.
    routes : tuple of dict
        For each expert, the arguments of its fit and the names of their metadata.
    classes : array or None
        Class labels, whose codes are in y; None for regression.
    mean_family : MeanFamily
        Distribution around the means of a regression, with the prior of its dispersions.
    n_jobs : int or None
        Number of parallel fits.
    """

    standardizes_target: ClassVar[bool] = False
    n_fits_to_all_rows: ClassVar[int] = 0  # of each estimator, besides those without each fold

    estimators: tuple[Any, ...]
    seeds: Array
    routes: tuple[dict[str, str], ...]
    classes: Array | None = None
    mean_family: MeanFamily = MeanFamily()  # noqa: RUF009
    n_jobs: int | None = None

    def init_params(self, n_experts: int, n_columns: int) -> EstimatorParams:
        """Parameters without models; all experts have the same density."""
        return EstimatorParams((), self.mean_family.initial(n_experts))

    @property
    def takes_offset(self) -> bool:
        """Whether means are proportional to exposures, which the family decides."""
        return self.mean_family.takes_offset

    # --- densities and predictions ---

    def log_prob(self, params: EstimatorParams, features: RawFeatures, y: Array) -> Array:
        """Log density or log probability of y under each expert, (K, n).

        During a fit, the stored out-of-fold predictions are used.
        """
        if not params.models:
            return np.full((len(params.log_variance), features.shape[0]), UNFITTED_LOG_PROB)
        if params.oof_predictions is not None and params.oof_log_density is not None:
            predictions, log_density = params.oof_predictions, params.oof_log_density
        else:
            predictions = self.mean(params, features)
            log_density = self._own_log_density(params, features, y)
        return self._log_prob(predictions, log_density, params.log_variance, y)

    def _log_prob(
        self, predictions: Array, log_density: Array, log_variance: Array, y: Array
    ) -> Array:
        if self.classes is not None:
            return np.log(predictions[:, y, np.arange(len(y))])
        others, found = ~self._has_density(), log_density.copy()
        of_family = self.mean_family.log_prob(predictions[others], log_variance[others], y)
        found[others] = of_family.sum(axis=1)
        return found

    def mean(self, params: EstimatorParams, features: RawFeatures) -> Array:
        """Mean (K, m, n) or class probabilities (K, C, n), averaged over the models."""
        return np.stack([self.mean_of(params, k, features) for k in range(len(params.models))])

    def mean_of(self, params: EstimatorParams, k: int, features: RawFeatures) -> Array:
        """Mean under expert k, (m, n), or its class probabilities, (C, n)."""
        of_models = [predict_expert(model, features.X, self.classes) for model in params.models[k]]
        return self._valid_means(k, np.mean(of_models, axis=0), features.offset)

    def _valid_means(self, k: int, prediction: Array, offset: Array | None) -> Array:
        """Means (m, n) of rows from predictions of expert k, per unit of exposure."""
        family = self.mean_family
        if self.classes is not None or self._has_density()[k]:
            return prediction
        if family.link == "log":
            check_means(k, self.estimators[k], family.family.name, prediction)
        means = family.raise_zeros(prediction)
        return means if offset is None else means * np.exp(offset)

    def components(self, params: EstimatorParams, k: int, features: RawFeatures) -> Any:
        """Distribution of expert k around its mean, or its own, averaged over its models."""
        if self._has_density()[k]:
            of_models = [predict_components(model, features.X) for model in params.models[k]]
            return average_components(of_models, features.shape[0])
        return self._around(self.mean_of(params, k, features), params.log_variance[k])

    def _around(self, mean: Array, log_variance: Array) -> Any:
        """Distribution around means (m, n) with the log dispersions (m, T - 1) of an expert."""
        return self.mean_family.components(mean, log_variance)

    def _own_log_density(self, params: EstimatorParams, features: RawFeatures, y: Array) -> Array:
        """Log densities (K, n) of the experts with their own density; zero for the others."""
        log_density = np.zeros((len(params.models), features.shape[0]))
        for k in np.flatnonzero(self._has_density()):
            logs = [predict_log_density(model, features.X, y) for model in params.models[k]]
            log_density[k] = logsumexp(logs, axis=0) - np.log(len(logs))
        return log_density

    def _n_outputs(self) -> int:
        """Number of predicted values for each row."""
        return len(self.mean_family.start if self.classes is None else self.classes)

    def _has_density(self) -> Array:
        """Which experts have their own predictive density, (K,)."""
        is_regression = self.classes is None
        return np.array([is_regression and has_density(model) for model in self.estimators])

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The dispersions of the family of a regression."""
        return self.mean_family.family.dispersions if self.classes is None else ()

    def attributes(self, params: EstimatorParams, units: Any) -> dict[str, Any]:
        """`experts_`: the models of each expert; family and dispersions of a regression."""
        fitted: dict[str, Any] = {"experts_": [list(models) for models in params.models]}
        if self.classes is not None:
            return fitted
        family = self.mean_family.family
        if family != Normal():  # which experts with a choice of families have
            fitted["families_"] = [family] * len(params.models)
        found = dispersion_values(family, [*np.moveaxis(params.log_variance, -1, 0)])
        for dispersion, value in zip(family.dispersions, found, strict=True):
            fitted[dispersion.attribute] = value[:, 0] if value.shape[1] == 1 else value
        return fitted

    def dispersion_at_bound(self, params: EstimatorParams) -> Array:
        """Experts with a variance at its lower bound."""
        return self.mean_family.at_floor(params.log_variance)

    def is_worse_than_mean(self, params: EstimatorParams, y: Array) -> Array:
        """Experts whose squared error in held-out rows is several times that of their mean."""
        is_worse = np.zeros(len(params.models), dtype=bool)
        if self.classes is not None or params.oof_predictions is None or params.last_resp is None:
            return is_worse
        for k, (prediction, weight) in enumerate(
            zip(params.oof_predictions, params.last_resp, strict=True)
        ):
            mean = y @ weight / max(weight.sum(), TINY)
            errors, deviations = (
                np.square(y - values) @ weight for values in (prediction, mean[:, None])
            )
            is_worse[k] = (errors > MAX_RELATIVE_ERROR * deviations).all() and deviations.all()
        return is_worse

    def limitation(self, capability: type) -> str:
        """Why there is no predictive distribution, and why there is no inference."""
        if capability is SupportsInference:
            return "experts that are estimators, such as trees, have no coefficients in common"
        if capability is SupportsDistribution:
            if self.classes is not None:
                return "its target is a class"
            for k, estimator in enumerate(self.estimators):
                if has_density(estimator) and not has_predict_dist(estimator):
                    return (
                        f"expert {k} ({type(estimator).__name__}) has a density of its own and no "
                        "predictive distribution"
                    )
        return ""

    # --- penalties that are found ---

    @property
    def shared_dispersion(self) -> bool:
        """Whether all experts share their dispersions."""
        return self.mean_family.shared

    @property
    def penalties(self) -> dict[str, Any]:
        """Strength and scale of the prior of the scales, where there is one."""
        if self.classes is not None:
            return {}
        family = self.mean_family
        return {"dispersion_prior": family.prior, "noise_variance": family.noise_variance}

    def with_options(self, options: Mapping[str, Any]) -> Any:
        """The experts with other options, of which those of the prior are the family's."""
        names = {"dispersion_prior": "prior", "noise_variance": "noise_variance"}
        of_prior = {own: options[name] for name, own in names.items() if name in options}
        experts = super().with_options(options)
        return replace(experts, mean_family=replace(self.mean_family, **of_prior))

    def scales(self, params: EstimatorParams, statistics: AllRows) -> tuple[Array, Array]:
        """Scales in units of `noise_variance`, and the rows of each, (K, m); nan without one."""
        shape = params.log_variance.shape[:2]
        scale = np.full(shape, np.nan)
        if self.classes is None and self.mean_family.family.has_scale:
            scale = np.exp(params.log_variance[..., 0]) / self.mean_family.target_variance
        return scale, np.broadcast_to(statistics.resp.sum(axis=1)[:, None], scale.shape)

    # --- fits ---

    def statistics(
        self, params: EstimatorParams, features: RawFeatures, y: Array, resp: Array
    ) -> AllRows:
        """All rows."""
        return AllRows(features, y, resp)

    def m_step(
        self, statistics: AllRows, factor: None, params: EstimatorParams, step: float
    ) -> EstimatorParams:
        """Refit experts whose responsibilities changed, unless this decreases the objective."""
        _, y, resp = statistics
        (models, predictions, log_density), fit_resp = self._copy_state(params, resp)
        to_refit = experts_to_refit(params, fit_resp, resp)
        waits = np.zeros(len(resp), dtype=bool) if params.waits is None else params.waits.copy()
        # Refits in sample always fit the new responsibilities better, as an M-step does.
        in_sample = statistics.features.fold is None
        refits = self._refit(to_refit, statistics)
        objective = self._objective(predictions, log_density, params.log_variance, y, resp)
        fit_resp[to_refit] = resp[to_refit]
        new_predictions, new_log_density = predictions.copy(), log_density.copy()
        new_predictions[to_refit] = refits.predictions
        new_log_density[to_refit] = refits.log_density
        new_objective = self._objective(
            new_predictions, new_log_density, params.log_variance, y, resp
        )
        for k, new_models in zip(to_refit, refits.models, strict=True):
            improved = new_objective[k] >= objective[k]
            waits[k] = not in_sample and not (models[k] and improved)
            if not models[k] or improved:
                models[k] = new_models
                predictions[k], log_density[k] = new_predictions[k], new_log_density[k]
        log_variance = self._log_variance(predictions, y, resp, params.log_variance)
        return EstimatorParams(
            tuple(models), log_variance, predictions, log_density, fit_resp, resp, waits
        )

    def _copy_state(self, params: EstimatorParams, resp: Array) -> tuple[Fits, Array]:
        """Copies of models, predictions and responsibilities; placeholders before the first fit."""
        stored = params.oof_predictions, params.oof_log_density, params.resp_at_last_fit
        if all(values is not None for values in stored):
            predictions, log_density, previous = (np.array(values) for values in stored)
            return Fits(list(params.models), predictions, log_density), previous
        n_experts, n_rows = resp.shape
        predictions = np.zeros((n_experts, self._n_outputs(), n_rows)) + self._placeholder()
        fits = Fits([()] * n_experts, predictions, np.zeros_like(resp))
        return fits, np.full_like(resp, -1.0)

    def _placeholder(self) -> Array | float:
        """Predictions before the first fit: class probabilities have a finite logarithm."""
        means = np.array(self.mean_family.target_mean)[:, None]
        return self.mean_family.raise_zeros(means) if self.classes is None else 1.0

    def _refit(self, to_refit: list[int], statistics: AllRows) -> Fits:
        """Fit some experts on all folds but one, for each fold, and predict the held-out rows."""
        splits = list(cross_fit_splits(statistics.features))
        features = validate_for_trees(self.estimators, statistics.features)
        statistics = statistics._replace(features=features)
        folds = [(j, statistics, *split) for j, split in enumerate(splits)]
        tasks = [(k, *fold) for k in to_refit for fold in folds]
        if effective_n_jobs(self.n_jobs) == 1:  # the overhead of joblib exceeds small fits
            results = [self._fit_predict_fold(*task) for task in tasks]
        else:
            results = Parallel(n_jobs=self.n_jobs)(
                delayed(self._fit_predict_fold)(*task) for task in tasks
            )
        n_rows = statistics.resp.shape[1]
        predictions = np.zeros((len(to_refit), self._n_outputs(), n_rows))
        log_density = np.zeros((len(to_refit), n_rows))
        models: list[tuple[Any, ...]] = []
        for i in range(len(to_refit)):
            of_expert = results[i * len(splits) : (i + 1) * len(splits)]
            models.append(tuple(model for model, _, _ in of_expert))
            for (_, prediction, logs), (_, test) in zip(of_expert, splits, strict=True):
                predictions[i][:, test] = prediction
                log_density[i, test] = logs
        return Fits(models, predictions, log_density)

    def _fit_predict_fold(
        self, k: int, j: int, statistics: AllRows, train: Array, test: Array
    ) -> tuple[Any, Array, Array]:
        """Model of expert k without fold j, and its predictions and log density in that fold."""
        try:
            return self._fit_predict(k, j, statistics, train, test)
        except Exception as error:
            rows = name_of_rows(statistics.features, j, train)
            error.add_note(f"This was expert {k}, {self.estimators[k]!r}, {rows}.")
            add_feature_note(error, statistics.features.X)
            raise

    def _fit_predict(
        self, k: int, j: int, statistics: AllRows, train: Array, test: Array
    ) -> tuple[Any, Array, Array]:
        features, y, resp = statistics
        rows = rows_to_fit(train, resp, k)
        model = self._fit(k, j, statistics, rows)
        X = index_rows(features.X, test)
        prediction = predict_expert(model, X, self.classes, **unchecked(model, features))
        check_prediction(prediction, self._n_outputs(), len(test))
        offset = None if features.offset is None else features.offset[..., test]
        prediction = self._valid_means(k, prediction, offset)
        if self._has_density()[k]:
            return model, prediction, predict_log_density(model, X, y[:, test])
        return model, prediction, np.zeros(len(test))

    def _fit(self, k: int, j: int, statistics: AllRows, rows: Array) -> Any:
        features, y, resp = statistics
        target = y[:, rows].T if self.classes is None else self.classes[y[rows]]
        if target.ndim == 2 and target.shape[1] == 1:
            target = target[:, 0]
        weight = np.maximum(resp[k, rows], TINY**0.5)
        if features.offset is not None:
            target, weight = self._per_exposure(target, weight, features.offset[..., rows])
        metadata: dict[str, Any] = unchecked(self.estimators[k], features)
        for argument, name in self.routes[k].items():
            metadata[argument] = features.metadata[name][rows]
        groups = None if features.groups is None else features.groups[rows]
        metadata |= groups_of_folds(self.estimators[k], groups)
        X, seed = index_rows(features.X, rows), int(self.seeds[k, j])
        return fit_estimator(self.estimators[k], seed, X, target, weight, metadata)

    def _per_exposure(self, target: Array, weight: Array, offset: Array) -> tuple[Array, Array]:
        """Target (n,) or (n, m) per unit of exposure, and its weights."""
        exposure = np.exp(offset)
        scaled = weight * exposure**self.mean_family.family.exposure_power
        return (target.T / exposure).T, np.maximum(scaled, TINY**0.5)

    def drop_training_state(self, params: EstimatorParams) -> EstimatorParams:
        """Parameters without the out-of-fold predictions of the training rows."""
        return EstimatorParams(params.models, params.log_variance, spread=params.spread)

    def reorder(self, params: EstimatorParams, order: Array) -> EstimatorParams:
        """Parameters with the experts in another order."""
        models = tuple(params.models[k] for k in order)
        arrays = (None if values is None else values[order] for values in params[2:])
        return EstimatorParams(models, params.log_variance[order], *arrays)

    # --- the objective ---

    def _objective(
        self, predictions: Array, log_density: Array, log_variance: Array, y: Array, resp: Array
    ) -> Array:
        """Contribution of each expert to the penalised objective, (K,).

        The variance is profiled out, unless all experts share it.
        """
        if not self.mean_family.shared:
            log_variance = self._log_variance(predictions, y, resp, log_variance)
        log_prob = self._log_prob(predictions, log_density, log_variance, y)
        penalties = np.where(self._has_density(), 0.0, self._penalties(log_variance))
        return (resp * log_prob).sum(axis=1) - penalties

    def _log_variance(self, predictions: Array, y: Array, resp: Array, start: Array) -> Array:
        """Log dispersions of greatest penalised likelihood, (K, m, T - 1); NaN if of no family."""
        if self.classes is not None:
            return start
        others, found = ~self._has_density(), np.full(start.shape, np.nan)
        of_others = predictions[others], y, resp[others], start[others]
        found[others] = self.mean_family.maximise(*of_others)
        return found

    def _penalties(self, log_variance: Array) -> Array:
        """Negative log prior of the dispersions of each expert, (K,)."""
        return self.mean_family.penalties(log_variance).sum(axis=1)

    def penalty(self, params: EstimatorParams) -> float:
        """Negative log prior of the dispersions, up to a constant."""
        penalties = self._penalties(params.log_variance)[~self._has_density()]
        return float(penalties[: 1 if self.mean_family.shared else None].sum())

    def n_parameters(self, params: EstimatorParams) -> float:
        """Number of parameters of the models and variances; NaN if it is unknown."""
        counts = [count_parameters(typical_model(models)) for models in params.models]
        if self.classes is not None:
            return sum(counts)
        variances = params.log_variance[~self._has_density()]
        return sum(counts) + (variances[:1] if self.mean_family.shared else variances).size
