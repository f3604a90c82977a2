"""Stacked models as experts: each is fitted to all rows, and a gate learns where it is right.

Out-of-fold predictions of fits without each fold give the log density of every row under every
model. They are those of rows that the models have not seen, and decide which model the gate trusts
where: stacking of predictive densities, with weights that depend on the features [1]_.

**Spreads.** A mixture of predictive distributions is wider than they are, since their means differ.
If each of them is right about its own errors, the mixture is too wide; if they are too confident,
it may be too narrow. So distances from the mean of a model are multiplied by a factor, its spread.
The spreads maximise the penalised likelihood of the mixture: the spread-adjusted linear pool [2]_.
Class probabilities are raised to the power of an inverse temperature, and normalised [5]_.

**Few values.** Ratings have probabilities, and a continuous distribution gives each rating that of
its cell. Densities would favour the model with the narrowest peaks, whatever its mean.

**Learning curve.** Out-of-fold errors are those of models that have seen fewer rows than the model
that predicts, and are larger. Near n rows, errors are proportional to a power of n [3]_, which a
fit to half of the rows gives. This removes the bias of cross-validated errors, which [4]_ estimates
from the same models.

References
----------
.. [1] Y. Yao, G. Pirš, A. Vehtari and A. Gelman (2022), "Bayesian hierarchical stacking: some
   models are (somewhere) useful", Bayesian Analysis 17, 1043-1071.
.. [2] T. Gneiting and R. Ranjan (2013), "Combining predictive distributions", Electronic Journal of
   Statistics 7, 1747-1782.
.. [3] C. Cortes, L. D. Jackel, S. A. Solla, V. Vapnik and J. S. Denker (1994), "Learning curves:
   asymptotic values and rate of convergence", Advances in Neural Information Processing Systems 6,
   327-334.
.. [4] P. Burman (1989), "A comparative study of ordinary cross-validation, v-fold cross-validation
   and the repeated learning-testing methods", Biometrika 76, 503-514.
.. [5] C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger (2017), "On calibration of modern neural
   networks", Proceedings of Machine Learning Research 70, 1321-1330.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from sklearn.utils.parallel import Parallel, delayed

from skmoe._data.folds import cross_fit_splits, is_held_out, learning_curve_splits
from skmoe._data.rows import RawFeatures, index_rows
from skmoe._data.sklearn_adapter import (
    has_predict_dist,
    predict_components,
    predict_log_densities,
    predict_log_density,
    takes_weights,
)
from skmoe._numerics.probability import log_softmax
from skmoe._numerics.typing import Array
from skmoe.distributions import predictive_distribution
from skmoe.distributions._components import NestedComponents
from skmoe.exceptions import CollapsedExpertsWarning
from skmoe.experts._cross_fitted import AllRows, CrossFittedExperts, EstimatorParams
from skmoe.experts._given_values import log_probabilities, on_values
from skmoe.protocols import Experts

# Spreads, and temperatures, that are compared, in steps of ten and twenty per cent; the first makes
# no change.
SPREADS = 1.1 ** np.array([0, *range(-12, 0), *range(1, 5)], dtype=float)
TEMPERATURES = 1.2 ** np.array([0, *range(-10, 0), *range(1, 7)], dtype=float)

# Weight of the prior of a log spread, in rows: one of a normal distribution has the information 2.
SPREAD_PRIOR_ROWS = 10.0

# Replaces a log density of minus infinity, which has no product with a responsibility of zero.
LEAST_LOG_DENSITY = -1e100

# Weight of the rows below which a fit is too different from one of all rows.
MIN_ROWS_OF_CURVE = 50.0

# Largest exponent of the learning curve: errors that halve when the number of rows doubles. The
# prior of an exponent of zero has the weight of so many held-out rows.
MAX_ERROR_EXPONENT = 1.0
PRIOR_HELD_OUT_ROWS = 20.0


@dataclass(frozen=True)
class StackedModels(CrossFittedExperts):
    """Estimators that are fitted once to all rows, and once without each fold.

    The M-step keeps the models, and finds spreads and dispersions of their out-of-fold densities.
    The last column of `seeds` has the random states of the fits to all rows.
    """

    n_fits_to_all_rows: ClassVar[int] = 1

    # The values of y, sorted, if models predict their probabilities; empty for densities.
    values: tuple[float, ...] = ()

    def of_models(self, kept: Array) -> Self:
        """Some of the models, before the first fit."""
        estimators, routes = (
            tuple(given[k] for k in kept) for given in (self.estimators, self.routes)
        )
        return replace(self, estimators=estimators, routes=routes, seeds=self.seeds[kept])

    def without_models(self, n_rows: int) -> EstimatorParams:
        """Parameters before the first fit, with placeholders of the out-of-fold predictions."""
        n_models = len(self.estimators)
        shape = n_models, self._n_outputs(), n_rows
        return self.init_params(n_models, 0)._replace(
            oof_predictions=np.zeros(shape) + self._placeholder(),
            oof_log_density=np.zeros((n_models, n_rows)),
            at_spreads=(),
            spread=np.ones(n_models),
        )

    def with_next_model(self, params: EstimatorParams, statistics: AllRows) -> EstimatorParams:
        """Parameters with one more model, fitted to all rows, and with its out-of-fold predictions.

        Noise variances, or dispersions, are those of greatest penalised likelihood for the
        out-of-fold predictions, and spreads are one.
        """
        features, y, resp = statistics
        k, n_models = len(params.models), len(self.estimators)
        model, prediction, of_model = self._fit_expert(k, statistics)
        predictions, log_density = params.oof_predictions.copy(), params.oof_log_density.copy()
        predictions[k], log_density[k] = prediction, of_model[0]
        # Noise that is shared is not that of models without predictions yet.
        resp = resp * is_held_out(features) * (np.arange(n_models) <= k)[:, None]
        initial = self.init_params(n_models, 0).log_variance
        log_variance = self._log_variance(predictions, y, resp, initial)
        at_spreads = [*params.at_spreads, of_model]
        if self.values:
            for j in np.flatnonzero(~self._has_density()[: k + 1]):
                noise = self._around(predictions[j], log_variance[j])
                at_spreads[j] = self._log_probabilities(noise, predictions[j], y)
                log_density[j] = at_spreads[j][0]
        return params._replace(
            models=(*params.models, (model,)),
            log_variance=log_variance,
            oof_predictions=predictions,
            oof_log_density=log_density,
            at_spreads=tuple(np.maximum(logs, LEAST_LOG_DENSITY) for logs in at_spreads),
        )

    def log_prob(self, params: EstimatorParams, features: RawFeatures, y: Array) -> Array:
        """Log density or log probability of y under each expert, (K, n).

        During a fit, probabilities are those at the spread of each model.
        """
        if params.at_spreads is None or not (self.values or self.classes is not None):
            return super().log_prob(params, features, y)
        return np.asarray(params.oof_log_density)

    def m_step(
        self, statistics: AllRows, factor: None, params: EstimatorParams, step: float
    ) -> EstimatorParams:
        """Spreads and dispersions that fit the responsibilities."""
        _, y, resp = statistics
        spreads = SPREADS if self.classes is None else TEMPERATURES
        penalties = SPREAD_PRIOR_ROWS * np.square(np.log(spreads))
        # Of a model whose spread cannot be changed there is one log density.
        best = [
            int((of_model @ weight - penalties[: len(of_model)]).argmax())
            for of_model, weight in zip(params.at_spreads, resp, strict=True)
        ]
        logs = [of_model[i] for of_model, i in zip(params.at_spreads, best, strict=True)]
        params = params._replace(spread=spreads[best], oof_log_density=np.stack(logs))
        if self.values:  # dispersions are those of y as a number, and spreads adapt them
            return params
        log_variance = self._log_variance(params.oof_predictions, y, resp, params.log_variance)
        return params._replace(log_variance=log_variance)

    def of_all_rows(self, params: EstimatorParams, scale_change: Array) -> EstimatorParams:
        """Parameters with scales of models of all rows instead of models without each fold."""
        log_variance, low = params.log_variance.copy(), np.array(self.mean_family.low)
        if self.mean_family.family.has_scale:
            log_variance[..., 0] = np.maximum(log_variance[..., 0] + scale_change, low[:, 0])
        return params._replace(log_variance=log_variance)

    def penalty(self, params: EstimatorParams) -> float:
        """Negative log prior of variances and spreads, up to a constant."""
        spread = 1.0 if params.spread is None else params.spread
        of_spreads = SPREAD_PRIOR_ROWS * np.square(np.log(spread)).sum()
        return super().penalty(params) + float(of_spreads)

    def _fit_expert(self, k: int, statistics: AllRows) -> tuple[Any, Array, Array]:
        """Model of expert k for all rows, out-of-fold predictions (m, n) and log densities (S, n).

        Predictions of rows that are not held out are placeholders.
        """
        rows = np.arange(statistics.resp.shape[1])
        splits = list(cross_fit_splits(statistics.features))
        results = Parallel(n_jobs=self.n_jobs)(
            delayed(self._fit_fold)(k, j, statistics, train, test)
            for j, (train, test) in enumerate([*splits, (rows, rows[:0])])
        )
        predictions = np.zeros((self._n_outputs(), len(rows))) + self._placeholder()
        log_density = np.zeros((len(results[0][2]), len(rows)))
        for (_, test), (_, prediction, logs) in zip(splits, results, strict=False):
            predictions[:, test], log_density[:, test] = prediction, logs
        return results[-1][0], predictions, log_density

    def _fit_fold(
        self, k: int, j: int, statistics: AllRows, train: Array, test: Array
    ) -> tuple[Any, Array, Array]:
        """Predictions of a fold, or the model if there are no rows to predict."""
        with warnings.catch_warnings():
            # A model that has more experts than its rows need is no worse for it: the gate weights
            # it by its out-of-fold densities, and its own experts are not read.
            warnings.simplefilter("ignore", CollapsedExpertsWarning)
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
        if self.classes is not None:
            of_class = statistics.y[test], np.arange(len(test))
            log_density = np.log([_at_temperature(prediction, t)[of_class] for t in TEMPERATURES])
        elif self.values and self._has_density()[k]:
            components = predict_components(model, index_rows(statistics.features.X, test))
            log_density = self._log_probabilities(components, prediction, statistics.y[:, test])
        elif self._has_density()[k] and has_predict_dist(self.estimators[k]):
            X, y = index_rows(statistics.features.X, test), statistics.y[:, test]
            at_points = partial(predict_log_densities, model, X)
            # The families of the components are those of any row.
            if _is_location_scale(predict_components(model, index_rows(X, np.arange(1)))):
                log_density = np.vstack([logs, *_at_spreads(at_points, y, prediction, SPREADS[1:])])
        return model, prediction, log_density

    def scale_change(self, params: EstimatorParams, statistics: AllRows) -> Array:
        """Change of log squared scales, (K, m), from models without fold 0 to those of all rows.

        It is that of the learning curve of each model, which one more fit to half of the rows
        without fold 0 gives. A model with its own density has its own scale, and no change.
        """
        features, y, resp = statistics
        change = np.zeros(params.log_variance.shape[:2])
        has_scale = self.classes is None and self.mean_family.family.has_scale
        without_density = np.flatnonzero(~self._has_density() & has_scale)
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
        for k, of_fewer in zip(without_density, means, strict=True):
            if of_fewer is None:
                continue
            fewer, more = (
                self.mean_family.best_log_scale(
                    mean, y[:, test], weight[test], params.log_variance[k]
                )
                for mean in (of_fewer, params.oof_predictions[k][:, test])
            )
            exponent = 0.5 * (fewer - more) / np.log(of_train / of_half)
            n_held_out = weight[test].sum()
            shrinkage = n_held_out / (n_held_out + PRIOR_HELD_OUT_ROWS)
            exponent = shrinkage * np.clip(exponent, 0.0, MAX_ERROR_EXPONENT)
            change[k] = -2.0 * exponent * np.log(of_all / of_train)
        if self.mean_family.shared:
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

    def _fit(self, k: int, j: int, statistics: AllRows, rows: Array) -> Any:
        """Model of expert k; rows are repeated for estimators that take no weights."""
        if not takes_weights(self.estimators[k]):
            rows = np.repeat(rows, statistics.resp[k, rows].astype(int))
            statistics = statistics._replace(resp=np.ones_like(statistics.resp))
        return super()._fit(k, j, statistics, rows)

    def fitted_part(self, params: EstimatorParams) -> tuple[StackedModels, EstimatorParams]:
        """The models that are fitted, and their parameters without training state."""
        n_models = len(params.models)
        of_fitted = EstimatorParams(params.models, params.log_variance[:n_models])
        return replace(self, estimators=self.estimators[:n_models]), of_fitted

    def attributes(self, params: EstimatorParams, units: Any) -> dict[str, Any]:
        """Those of estimators, with spreads of a regression and temperatures of a classifier."""
        found = super().attributes(params, units)
        name = "spread_" if self.classes is None else "temperature_"
        return found if params.spread is None else found | {name: params.spread}

    def _log_prob(
        self, predictions: Array, log_density: Array, log_variance: Array, y: Array
    ) -> Array:
        if self.values:
            return log_density
        return super()._log_prob(predictions, log_density, log_variance, y)

    def _log_probabilities(self, components: Any, center: Array, y: Array) -> Array:
        """Log probabilities (S, n) of values y at each spread that components can have."""
        spreads = SPREADS if _is_location_scale(components) else SPREADS[:1]
        return log_probabilities(components, np.array(self.values), y[0], center[0], spreads)

    def _own_log_density(self, params: EstimatorParams, features: RawFeatures, y: Array) -> Array:
        n_rows = features.shape[0]
        log_density = np.zeros((len(params.models), n_rows))
        if self.values:
            for k in range(len(params.models)):
                on_values = self.components(params, k, features)
                dist = predictive_distribution([on_values], np.ones((1, n_rows)), True)
                log_density[k] = dist.logpdf(y[0])
            return log_density
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

    def mean_of(self, params: EstimatorParams, k: int, features: RawFeatures) -> Array:
        """Mean under expert k, (m, n), or its class probabilities, (C, n)."""
        if not self.values:
            found = super().mean_of(params, k, features)
            changed = {} if self.classes is None else _changed_spreads(params)
            return _at_temperature(found, changed[k]) if k in changed else found
        probabilities = self.components(params, k, features).probabilities[0]
        return np.asarray(np.array(self.values) @ probabilities)

    def components(self, params: EstimatorParams, k: int, features: RawFeatures) -> Any:
        """Distribution of expert k around its mean, or its own distribution."""
        found = self._spread_components(params, k, features)
        if not self.values:
            return found
        return on_values(found, np.array(self.values), features.shape[0])

    def _spread_components(self, params: EstimatorParams, k: int, features: RawFeatures) -> Any:
        changed = _changed_spreads(params)
        if self._has_density()[k]:
            own = predict_components(params.models[k][0], features.X)
            if k not in changed:
                return own
            center = super().mean_of(params, k, features)
        else:
            center = super().mean_of(params, k, features)
            own = self._around(center, params.log_variance[k])
        spread = changed.get(k, 1.0)
        scaled = own.rescale(np.zeros(len(center)), np.full(len(center), spread))
        return scaled.shift((1.0 - spread) * center)


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


def _at_temperature(probabilities: Array, temperature: float) -> Array:
    """Class probabilities (C, n) at a temperature: below one they are more certain."""
    return np.exp(log_softmax(np.log(probabilities) / temperature))


def _is_location_scale(components: Any) -> bool:
    """Whether components moved and scaled are of the same families."""
    if isinstance(components, NestedComponents):
        return all(map(_is_location_scale, components.parts))
    return bool(components.block().family.location_scale)


def _changed_spreads(params: EstimatorParams) -> dict[int, float]:
    """Numbers of the models whose spread is not one, and the spreads."""
    spread = [] if params.spread is None else params.spread.tolist()
    return {k: value for k, value in enumerate(spread) if value != 1.0}


# --- the gate ---------------------------------------------------------------------------------


class NoParams(NamedTuple):
    """Nothing is estimated, and nothing is summed over the rows."""


@dataclass(frozen=True)
class GivenDensities(Experts):
    """Experts whose log densities (n, K) are the design matrix itself: EM trains the gate alone.

    The objective is then the log-likelihood of a mixture of given densities, less the gate's
    penalty: it has one maximum in the probabilities of a constant gate.
    """

    can_collapse: ClassVar[bool] = False

    def init_params(self, n_experts: int, n_columns: int) -> NoParams:
        """No parameters."""
        return NoParams()

    def log_prob(self, params: NoParams, design: Array, y: Array) -> Array:
        """The given log densities, (K, n)."""
        return design.T

    def mean(self, params: NoParams, design: Array) -> Array:
        """Unknown means (K, 1, n)."""
        return np.full((design.shape[1], 1, design.shape[0]), np.nan)

    def statistics(self, params: NoParams, design: Array, y: Array, resp: Array) -> NoParams:
        """No statistics."""
        return NoParams()

    def m_step(self, statistics: NoParams, factor: None, params: NoParams, step: float) -> NoParams:
        """No parameters."""
        return NoParams()

    def n_parameters(self, params: NoParams) -> float:
        """None."""
        return 0.0
