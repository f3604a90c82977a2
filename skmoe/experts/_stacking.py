"""Stacked models as experts: each is fitted to all rows, and a gate learns where it is right.

Out-of-fold predictions of fits without each fold give the log density of every row under every
model. They are those of rows that the models have not seen, and decide which model the gate trusts
where: stacking of predictive densities, with weights that depend on the features [1]_. Before that
the densities are made narrower or wider, so that their mixture fits: a mixture of densities that
are right by themselves is too wide [2]_. Noise around a model that was fitted to all rows is
smaller than that around models of fewer rows, by the learning curve.

References
----------
.. [1] Y. Yao, G. Pirš, A. Vehtari and A. Gelman (2022), "Bayesian hierarchical stacking: some
   models are (somewhere) useful", Bayesian Analysis 17, 1043-1071.
.. [2] T. Gneiting and R. Ranjan (2013), "Combining predictive distributions", Electronic Journal of
   Statistics 7, 1747-1782.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Protocol

import numpy as np
from sklearn.utils.parallel import Parallel, delayed

from skmoe._data.folds import cross_fit_splits, is_held_out, learning_curve_splits
from skmoe._data.rows import RawFeatures, index_rows
from skmoe._data.sklearn_adapter import (
    count_parameters,
    final_estimator,
    has_predict_dist,
    predict_components,
    predict_log_densities,
    predict_log_density,
    takes_weights,
)
from skmoe._numerics.probability import COLLAPSED
from skmoe._numerics.typing import Array
from skmoe.experts._cross_fitted import CrossFittedExperts
from skmoe.experts._cross_fitted_families import CrossFittedFamilyExperts
from skmoe.experts._estimator_params import AllRows, EstimatorParams
from skmoe.experts._learning_curve import MIN_ROWS_OF_CURVE, error_exponent
from skmoe.experts._spreads import (
    LEAST_LOG_DENSITY,
    SPREADS,
    best_spread,
    is_location_scale,
    spread_penalty,
    with_spread,
)


class FitObserver(Protocol):
    """Observer of the fits, which gets number and name of each model."""

    def start(self, k: int, name: str) -> None:
        """Called before the fits of model k."""

    def end(self, k: int, name: str, params: EstimatorParams) -> None:
        """Called after the fits of model k, with the parameters of all models so far."""


@dataclass(frozen=True)
class StackedModels(CrossFittedExperts):
    """Estimators that are fitted once to all rows, and once without each fold.

    The M-step keeps the models, and finds spreads and dispersions of their out-of-fold densities.
    The last column of `seeds` has the random states of the fits to all rows.
    """

    n_fits_to_all_rows: ClassVar[int] = 1

    def fit_models(
        self, features: RawFeatures, y: Array, weight: Array, observer: FitObserver
    ) -> EstimatorParams:
        """Models that are fitted to all rows, with out-of-fold predictions of these rows.

        Noise variances, or dispersions, are those of greatest penalised likelihood for the
        out-of-fold predictions, and spreads are one. Predictions of rows that are not held out are
        placeholders.
        """
        n_experts, n_rows = len(self.estimators), len(weight)
        statistics = AllRows(features, y, np.broadcast_to(weight, (n_experts, n_rows)))
        predictions = np.zeros((n_experts, self._n_outputs(), n_rows)) + self._placeholder()
        log_density = np.zeros((n_experts, n_rows))
        params = self.init_params(n_experts, 0)
        initial = params.log_variance
        params = params._replace(oof_predictions=predictions, oof_log_density=log_density)
        at_spreads: list[Array] = []
        for k in range(n_experts):
            name = type(final_estimator(self.estimators[k])).__name__
            observer.start(k, name)
            model, of_model = self._fit_expert(k, statistics, predictions[k])
            log_density[k] = of_model[0]
            at_spreads.append(np.maximum(of_model, LEAST_LOG_DENSITY))
            # Noise that is shared is not that of models without predictions yet.
            resp = statistics.resp * is_held_out(features) * (np.arange(n_experts) <= k)[:, None]
            log_variance = self._log_variance(predictions, y, resp, initial)
            params = params._replace(models=(*params.models, (model,)), log_variance=log_variance)
            observer.end(k, name, params)
        params = params._replace(at_spreads=tuple(at_spreads))
        if self.classes is not None:
            return params
        change = self._scale_change(statistics, params)
        return params._replace(spread=np.ones(n_experts), scale_change=change)

    def m_step(
        self, statistics: AllRows, factor: None, params: EstimatorParams, step: float
    ) -> EstimatorParams:
        """Spreads and dispersions that fit the responsibilities."""
        _, y, resp = statistics
        assert params.at_spreads is not None
        assert params.oof_predictions is not None
        best = list(map(best_spread, params.at_spreads, resp))
        logs = [of_model[i] for of_model, i in zip(params.at_spreads, best, strict=True)]
        return params._replace(
            spread=SPREADS[best],
            oof_log_density=np.stack(logs),
            log_variance=self._log_variance(params.oof_predictions, y, resp, params.log_variance),
        )

    def of_all_rows(self, params: EstimatorParams) -> EstimatorParams:
        """Parameters with scales of models of all rows instead of models without each fold."""
        if params.scale_change is None:
            return params
        log_variance = self._with_scale_change(params.log_variance, params.scale_change)
        return params._replace(log_variance=log_variance)

    def penalty(self, params: EstimatorParams) -> float:
        """Negative log prior of variances and spreads, up to a constant."""
        of_models = self._penalties(params.log_variance)[~self._has_density()]
        n_counted = 1 if self.shared_dispersion else None
        of_spreads = 0.0 if params.spread is None else spread_penalty(params.spread)
        return float(of_models[:n_counted].sum()) + of_spreads

    def _fit_expert(self, k: int, statistics: AllRows, predictions: Array) -> tuple[Any, Array]:
        """Model of expert k for all rows, and its out-of-fold log densities (S, n).

        Its out-of-fold predictions are written to `predictions`.
        """
        rows = np.arange(statistics.resp.shape[1])
        splits = list(cross_fit_splits(statistics.features))
        results = Parallel(n_jobs=self.n_jobs)(
            delayed(self._fit_fold)(k, j, statistics, train, test)
            for j, (train, test) in enumerate([*splits, (rows, rows[:0])])
        )
        log_density = np.zeros((len(results[0][2]), len(rows)))
        for (_, test), (_, prediction, logs) in zip(splits, results, strict=False):
            predictions[:, test] = prediction
            log_density[:, test] = logs
        return results[-1][0], log_density

    def _fit_fold(
        self, k: int, j: int, statistics: AllRows, train: Array, test: Array
    ) -> tuple[Any, Array, Array]:
        """Predictions of a fold, or the model if there are no rows to predict."""
        with warnings.catch_warnings():
            # A model that has more experts than its rows need is no worse for it: the gate weights
            # it by its out-of-fold densities, and its own experts are not read.
            warnings.filterwarnings("ignore", message=COLLAPSED)
            model, prediction, logs = self._fit_predict_fold(k, j, statistics, train, test)
        return None if len(test) else model, prediction, logs

    def _fit_predict(
        self, k: int, j: int, statistics: AllRows, train: Array, test: Array
    ) -> tuple[Any, Array, Array]:
        """Model without fold j, its predictions in that fold, and log densities (S, n)."""
        if not len(test):
            return self._fit(k, j, statistics, train), np.zeros((self._n_outputs(), 0)), np.zeros(0)
        model, prediction, logs = super()._fit_predict(k, j, statistics, train, test)
        log_density = logs[None]
        if self._has_density()[k] and has_predict_dist(self.estimators[k]):
            X, y = index_rows(statistics.features.X, test), statistics.y[:, test]
            at_points = partial(predict_log_densities, model, X)
            # The families of the components are those of any row.
            if is_location_scale(predict_components(model, index_rows(X, np.arange(1)))):
                log_density = np.vstack([logs, *_at_spreads(at_points, y, prediction, SPREADS[1:])])
        return model, prediction, log_density

    def _scale_change(self, statistics: AllRows, params: EstimatorParams) -> Array:
        """Change of log squared scales, (K, m), from models without fold 0 to those of all rows.

        It is that of the learning curve of each model, which one more fit to half of the rows
        without fold 0 gives. A model with its own density has its own scale, and no change.
        """
        features, y, resp = statistics
        change = np.zeros((len(resp), len(y)))
        without_density = np.flatnonzero(~self._has_density() & self._has_scale())
        splits, weight = learning_curve_splits(features), resp[0]
        if splits is None or not len(without_density):
            return change
        train, half, test = splits
        of_all, of_train, of_half = (weight[rows].sum() for rows in (slice(None), train, half))
        if of_half < MIN_ROWS_OF_CURVE:
            return change
        means = Parallel(n_jobs=self.n_jobs)(
            delayed(self._mean_of_fewer_rows)(k, statistics, half, test) for k in without_density
        )
        assert params.oof_predictions is not None
        for k, of_fewer in zip(without_density, means, strict=True):
            if of_fewer is None:
                continue
            fewer, more = (
                self._log_squared_scale(mean, y[:, test], weight[test], params.log_variance[k])
                for mean in (of_fewer, params.oof_predictions[k][:, test])
            )
            decrease = 0.5 * (fewer - more)
            exponent = error_exponent(decrease, of_train / of_half, weight[test].sum())
            change[k] = -2.0 * exponent * np.log(of_all / of_train)
        if self.shared_dispersion:
            change[without_density] = change[without_density].mean(axis=0)
        return change

    def _mean_of_fewer_rows(
        self, k: int, statistics: AllRows, train: Array, test: Array
    ) -> Array | None:
        """Mean (m, n) of some rows under a model of few others; None if it needs more rows.

        The model has been fitted to more rows without an error. A ValueError, or a singular matrix,
        is that of too few rows, or of values that none of them has. Others have another cause.
        """
        try:
            return self._fit_fold(k, 0, statistics, train, test)[1]
        except (ValueError, np.linalg.LinAlgError):
            return None

    def _has_scale(self) -> bool:
        """Whether the distribution around a mean has a scale."""
        return self.classes is None

    def _log_squared_scale(
        self, mean: Array, y: Array, weight: Array, log_variance: Array
    ) -> Array:
        """Log squared scales of greatest likelihood around given means, (m,)."""
        squares = np.average(np.square(y - mean), axis=1, weights=weight)
        return np.asarray(np.log(np.maximum(squares, self.variance_floor)))

    def _with_scale_change(self, log_variance: Array, change: Array) -> Array:
        """Log variances (K, m) with changes (K, m), within their bounds."""
        return np.maximum(log_variance + change, np.log(self.variance_floor))

    def _fit(self, k: int, j: int, statistics: AllRows, rows: Array) -> Any:
        """Model of expert k; rows are repeated for estimators that take no weights."""
        if not takes_weights(self.estimators[k]):
            rows = np.repeat(rows, statistics.resp[k, rows].astype(int))
            statistics = statistics._replace(resp=np.ones_like(statistics.resp))
        return super()._fit(k, j, statistics, rows)

    def first(
        self, params: EstimatorParams, n_experts: int
    ) -> tuple[StackedModels, EstimatorParams]:
        """The first experts alone, and their parameters without training state."""
        log_variance = params.log_variance[:n_experts]
        of_first = EstimatorParams(params.models[:n_experts], log_variance, None, None, None)
        return replace(self, estimators=self.estimators[:n_experts]), of_first

    def drop_training_state(self, params: EstimatorParams) -> EstimatorParams:
        """Parameters without the out-of-fold predictions of the training rows."""
        return super().drop_training_state(params)._replace(spread=params.spread)

    def attributes(self, params: EstimatorParams, units: Any) -> dict[str, Any]:
        """Those of estimators, and the spreads of a regression."""
        found = super().attributes(params, units)
        return found if params.spread is None else found | {"spread_": params.spread}

    def _own_log_density(self, params: EstimatorParams, features: RawFeatures, y: Array) -> Array:
        log_density = np.zeros((len(params.models), features.shape[0]))
        changed = _changed_spreads(params)
        for k in np.flatnonzero(self._has_density()).tolist():
            (model,) = params.models[k]
            if k not in changed:
                log_density[k] = predict_log_density(model, features.X, y)
                continue
            at_points = partial(predict_log_densities, model, features.X)
            center = self.mean_of(params, k, features)
            (log_density[k],) = _at_spreads(at_points, y, center, [changed[k]])
        return log_density

    def components(self, params: EstimatorParams, k: int, features: RawFeatures) -> Any:
        """Distribution of expert k around its mean, or its own distribution."""
        if not self._has_density()[k]:
            return super().components(params, k, features)
        own, changed = predict_components(params.models[k][0], features.X), _changed_spreads(params)
        if k not in changed:
            return own
        return with_spread(own, self.mean_of(params, k, features), changed[k])


def _at_spreads(
    log_densities: Callable[[Sequence[Array]], list[Array]],
    y: Array,
    center: Array,
    spreads: Sequence[float] | Array,
) -> list[Array]:
    """Log densities (n,) of y (m, n) at each of several spreads around a center.

    `log_densities` returns those of several values of y of each row.
    """
    found = log_densities([center + (y - center) / spread for spread in spreads])
    # The density of y is that of the point, per unit of y.
    return [logs - len(y) * np.log(c) for logs, c in zip(found, spreads, strict=True)]


def _changed_spreads(params: EstimatorParams) -> dict[int, float]:
    """Numbers of the models whose spread is not one, and the spreads."""
    spread = [] if params.spread is None else params.spread.tolist()
    return {k: value for k, value in enumerate(spread) if value != 1.0}


@dataclass(frozen=True)
class StackedFamilyModels(StackedModels, CrossFittedFamilyExperts):
    """Stacked models; those without a density of their own predict the mean of a family."""

    def _valid_means(self, k: int, prediction: Array, offset: Array | None) -> Array:
        if self._has_density()[k]:
            return prediction
        return super()._valid_means(k, prediction, offset)

    def _means_of_family(self, predictions: Array) -> Array:
        """Predictions (K, m, n) with valid means for experts that have their own density."""
        own = self._has_density()[:, None, None]
        return np.where(own, self._placeholder(), predictions)

    def _log_prob(
        self, predictions: Array, log_density: Array, log_variance: Array, y: Array
    ) -> Array:
        of_family = super()._log_prob(
            self._means_of_family(predictions), log_density, np.nan_to_num(log_variance), y
        )
        return np.where(self._has_density()[:, None], log_density, of_family)

    def _log_variance(self, predictions: Array, y: Array, resp: Array, start: Array) -> Array:
        others = ~self._has_density()
        found = np.full(start.shape, np.nan)
        if others.any():
            given = predictions[others], y, resp[others], start[others]
            found[others] = self.mean_family.maximise(*given)
        return found

    def _penalties(self, log_variance: Array) -> Array:
        return super()._penalties(np.nan_to_num(log_variance))

    def _has_scale(self) -> bool:
        return self.mean_family.family.has_scale

    def _log_squared_scale(
        self, mean: Array, y: Array, weight: Array, log_variance: Array
    ) -> Array:
        return self.mean_family.best_log_scale(mean, y, weight, log_variance)

    def _with_scale_change(self, log_variance: Array, change: Array) -> Array:
        changed = log_variance.copy()
        if self._has_scale():
            low = np.array(self.mean_family.low)[:, 0]
            changed[..., 0] = np.maximum(changed[..., 0] + change, low)
        return changed

    def n_parameters(self, params: EstimatorParams) -> float:
        """Number of parameters of the models and dispersions; NaN if it is unknown."""
        counts = [count_parameters(models[0]) for models in params.models]
        dispersions = params.log_variance[~self._has_density()]
        return sum(counts) + dispersions[: 1 if self.shared_dispersion else None].size
