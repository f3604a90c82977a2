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
from functools import partial
from typing import Any, ClassVar

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.utils.parallel import Parallel, delayed

from skmoe._data.folds import cross_fit_splits, is_held_out, learning_curve_splits
from skmoe._data.rows import Dataset, RawFeatures, index_rows
from skmoe._data.sklearn_adapter import (
    has_predict_dist,
    predict_components,
    predict_log_densities,
    predict_log_density,
    takes_weights,
)
from skmoe._mixture.data import Data
from skmoe._mixture.experts import Experts
from skmoe._mixture.groups import Group
from skmoe._numerics.probability import log_probability, log_softmax
from skmoe._numerics.typing import TINY, Array
from skmoe.distributions import OrdinalComponents, predictive_distribution
from skmoe.distributions._components import NestedComponents
from skmoe.exceptions import CollapsedExpertsWarning
from skmoe.experts._cross_fitted import N_DISPERSION_STEPS, CrossFittedExperts, Learned, Training
from skmoe.experts._mean_family import GivenDensity

# Spreads, and temperatures, that are compared, in steps of ten and twenty per cent; the first makes
# no change.
SPREADS = 1.1 ** np.array([0, *range(-12, 0), *range(1, 5)], dtype=float)
TEMPERATURES = 1.2 ** np.array([0, *range(-10, 0), *range(1, 7)], dtype=float)

# Weight of the prior of a log spread, in rows: one of a normal distribution has the information 2.
SPREAD_PRIOR_ROWS = 10.0

# Replaces a log density of minus infinity, which has no product with a responsibility of zero.
LEAST_LOG_DENSITY = -1e100

# Most iterations in which spreads are found with constant weights of the models, and the gain per
# row below which they end.
MAX_POOL_ITER = 30
POOL_TOL = 1e-5

# Weight of the rows below which a fit is too different from one of all rows.
MIN_ROWS_OF_CURVE = 50.0

# Largest exponent of the learning curve: errors that halve when the number of rows doubles. The
# prior of an exponent of zero has the weight of so many held-out rows.
MAX_ERROR_EXPONENT = 1.0
OPTIONS = {"xatol": 1e-9}  # of log scales
PRIOR_HELD_OUT_ROWS = 20.0


class StackedModels(CrossFittedExperts):
    """Estimators that are fitted once to all rows, and once without each fold.

    Spreads and dispersions are those of their out-of-fold densities; the dispersions are the
    coefficients with which the part begins. The last seeds are those of the fits to all rows.
    """

    n_fits_to_all_rows: ClassVar[int] = 1

    # The values of y, sorted, if models predict their probabilities; empty for densities.
    values: tuple[float, ...] = ()

    @property
    def has_probabilities(self) -> bool:
        """Whether models have probabilities of classes or of the values of y."""
        return bool(self.values) or self.fits.classes is not None

    def of_models(self, kept: Array, values: tuple[float, ...] = ()) -> Any:
        """Some of the models, without training state."""
        fits, learned = self.fits, self.learned
        estimators, routes = (
            tuple(given[k] for k in kept) for given in (fits.estimators, fits.routes)
        )
        own = fits._replace(estimators=estimators, routes=routes, seeds=fits.seeds[kept])
        part = type(self)(own, self.outputs, self.penalties, self.shared_dispersion)
        if not learned.models:
            return part.changed(values=values)
        models = tuple(learned.models[k] for k in kept)
        of_kept = Learned(models, spread=learned.spread[kept])
        start = self.start[np.isin(self.owners, kept)]
        return part.changed(values=values, learned=of_kept, start=start)

    def of_rows_at(self, index: Array) -> Any:
        """The models with their out-of-fold predictions of some rows."""
        learned = self.learned
        return self.changed(
            learned=learned._replace(
                predictions=learned.predictions[..., index],
                logs=learned.logs[:, index],
                at_spreads=tuple(of_model[:, index] for of_model in learned.at_spreads),
            )
        )

    # --- fits ---

    def with_next_model(self, data: Data) -> Any:
        """One more model, fitted to all rows, with its out-of-fold predictions.

        Dispersions are those of greatest penalised likelihood for the out-of-fold predictions, and
        spreads are one.
        """
        rows, learned, n_models = data.rows, self.learned, self.n_experts
        k = len(learned.models)
        if not k:
            ones, none = np.ones(n_models), self._before_the_first_fit(rows.n_rows)
            learned = none._replace(models=(), spread=ones, at_spreads=())
        resp = np.broadcast_to(rows.weight, (n_models, rows.n_rows))
        model, prediction, of_model = self._fit_expert(
            k, Training(rows.expert_design, rows.y, resp)
        )
        predictions, logs = learned.predictions.copy(), learned.logs.copy()
        predictions[k], logs[k] = prediction, of_model[0]
        models, at_spreads = (*learned.models, (model,)), [*learned.at_spreads, of_model]
        learned = learned._replace(models=models, predictions=predictions, logs=logs)
        # Noise that is shared is not that of models without predictions yet.
        resp = resp * is_held_out(rows.expert_design) * (np.arange(n_models) <= k)[:, None]
        numeric = self.changed(learned=learned, values=())
        theta, _ = numeric.with_best_dispersions(self.start, data, resp, N_DISPERSION_STEPS)
        if self.values:
            for j in np.flatnonzero(~self.fits.has_density[: k + 1]).tolist():
                noise = self.around(theta, j, predictions[j])
                at_spreads[j] = self._log_probabilities(noise, predictions[j], rows.y)
                logs[j] = at_spreads[j][0]
        of_models = tuple(np.maximum(own, LEAST_LOG_DENSITY) for own in at_spreads)
        return self.changed(learned=learned._replace(at_spreads=of_models)).changed(start=theta)

    def pooled(self, data: Data) -> Any:
        """Spreads and dispersions of greatest likelihood of a mixture with constant weights."""
        experts, before = self, -np.inf
        log_gate = np.full((self.n_experts, 1, 1), -np.log(self.n_experts))
        of_models, weight = self.learned.at_spreads, data.sharing.gate_weight
        spreads = SPREADS if self.fits.classes is None else TEMPERATURES
        penalties = SPREAD_PRIOR_ROWS * np.square(np.log(spreads))
        for _ in range(MAX_POOL_ITER):
            logs = experts.log_densities(data)[:, None]
            resp, log_density = data.posterior(log_gate, logs, None)
            bound = float(log_density[0] @ weight) - float(experts.prior.penalty(experts.start))
            bound -= SPREAD_PRIOR_ROWS * np.square(np.log(experts.learned.spread)).sum()
            if bound - before < POOL_TOL * data.weight:
                break
            before, of_rows = bound, data.sharing.to_rows(resp[:, 0]) * data.rows.weight
            shares = resp[:, 0] @ weight
            log_gate = np.log(np.maximum(shares / shares.sum(), TINY))[:, None, None]
            # Of a model whose spread cannot be changed there is one log density.
            best = [
                int((of_model @ own - penalties[: len(of_model)]).argmax())
                for of_model, own in zip(of_models, of_rows, strict=True)
            ]
            at_best = np.stack([of_model[i] for of_model, i in zip(of_models, best, strict=True)])
            learned = experts.learned._replace(spread=spreads[best], logs=at_best)
            experts = experts.changed(learned=learned)
            if not self.values:  # there spreads adapt the dispersions, which are those of numbers
                theta, _ = experts.with_best_dispersions(
                    experts.start, data, of_rows, N_DISPERSION_STEPS
                )
                experts = experts.changed(start=theta)
        return experts

    def log_densities(self, data: Data) -> Array:
        """Log densities or log probabilities of the models, (K, n)."""
        if self.has_probabilities and self.learned.logs is not None:
            return np.asarray(self.learned.logs)
        logs = np.zeros((self.n_experts, data.rows.n_rows))
        for group in self.groups:
            family, y, _ = self.target(group, data)
            etas = [self.start[index][:, None] for index in group.index]
            logs[group.parts] += next(family.derivatives(y, etas))[:, 0]
        return logs

    def _fit_expert(self, k: int, training: Training) -> tuple[Any, Array, Array]:
        """Model of expert k for all rows, out-of-fold predictions (m, n) and log densities (S, n).

        Predictions of rows that are not held out are placeholders.
        """
        rows = np.arange(training.resp.shape[1])
        splits = list(cross_fit_splits(training.features))
        results = Parallel(n_jobs=self.fits.n_jobs)(
            delayed(self._fit_part)(k, j, training, train, test)
            for j, (train, test) in enumerate([*splits, (rows, rows[:0])])
        )
        predictions = np.tile(self.outputs.placeholder, len(rows))
        logs = np.zeros((len(results[0][2]), len(rows)))
        for (_, test), (_, prediction, of_rows) in zip(splits, results, strict=False):
            predictions[:, test], logs[:, test] = prediction, of_rows
        return results[-1][0], predictions, logs

    def _fit_part(
        self, k: int, j: int, training: Training, train: Array, test: Array
    ) -> tuple[Any, Array, Array]:
        """Predictions of a fold, or the model if there are no rows to predict."""
        with warnings.catch_warnings():
            # A model that has more experts than its rows need is no worse for it: the gate weights
            # it by its out-of-fold densities, and its own experts are not read.
            warnings.simplefilter("ignore", CollapsedExpertsWarning)
            model, prediction, logs = self.fit_fold(k, j, training, train, test)
        return None if len(test) else model, prediction, logs

    def _fit_predict(
        self, k: int, j: int, training: Training, train: Array, test: Array
    ) -> tuple[Any, Array, Array]:
        """Model without fold j, its predictions in that fold, and log densities (S, n)."""
        if not len(test):
            none = np.zeros((len(self.outputs.placeholder), 0))
            return self._fit(k, j, training, train), none, np.zeros(0)
        model, prediction, logs = super()._fit_predict(k, j, training, train, test)
        at_spreads, has_density = logs[None], self.fits.has_density[k]
        if self.fits.classes is not None:
            of_class = training.y[test], np.arange(len(test))
            at_spreads = np.log([_at_temperature(prediction, t)[of_class] for t in TEMPERATURES])
        elif self.values and has_density:
            components = predict_components(model, index_rows(training.features.X, test))
            at_spreads = self._log_probabilities(components, prediction, training.y[:, test])
        elif has_density and has_predict_dist(self.fits.estimators[k]):
            X, y = index_rows(training.features.X, test), training.y[:, test]
            at_points = partial(predict_log_densities, model, X)
            # The families of the components are those of any row.
            if _is_location_scale(predict_components(model, index_rows(X, np.arange(1)))):
                at_spreads = np.vstack([logs, *_at_spreads(at_points, y, prediction, SPREADS[1:])])
        return model, prediction, at_spreads

    def with_scales_changed(self, change: Array) -> Any:
        """The models with changes (D,) of their log scales."""
        return self.changed(start=np.maximum(self.start + change, self.lower))

    def scale_changes(self, data: Data) -> Array:
        """Changes (D,) of log scales, from models without fold 0 to those of all rows.

        They are those of the learning curve of each model, which one more fit to half of the rows
        without fold 0 gives. A model with its own density has its own scale, and no change.
        """
        training = Training(data.rows.expert_design, data.rows.y, data.rows.weight[None])
        change, weight = np.zeros(self.size), data.rows.weight
        has_scale = np.flatnonzero((self.scale_index >= 0).all(axis=1)).tolist()
        splits = learning_curve_splits(training.features)
        if splits is None or not has_scale:
            return change
        train, half, test = splits
        of_all, of_train, of_half = (weight[rows].sum() for rows in (slice(None), train, half))
        if of_half < MIN_ROWS_OF_CURVE:
            return change
        training = training._replace(resp=np.tile(weight, (self.n_experts, 1)))
        means = Parallel(n_jobs=self.fits.n_jobs)(
            delayed(self._mean_of_fewer_rows)(k, training, half, test) for k in has_scale
        )
        n_held_out = weight[test].sum()
        shrinkage = n_held_out / (n_held_out + PRIOR_HELD_OUT_ROWS)
        for k, of_fewer in zip(has_scale, means, strict=True):
            if of_fewer is None:
                continue
            fewer, more = (
                self._best_log_scales(k, mean, training.y[:, test], weight[test])
                for mean in (of_fewer, self.learned.predictions[k][:, test])
            )
            exponent = 0.5 * (fewer - more) / np.log(of_train / of_half)
            exponent = shrinkage * np.clip(exponent, 0.0, MAX_ERROR_EXPONENT)
            change[self.scale_index[k]] = -2.0 * exponent * np.log(of_all / of_train)
        if self.shared_dispersion:
            scales = self.scale_index[has_scale]
            change[scales] = change[scales].mean(axis=0)
        return change

    def _best_log_scales(self, k: int, mean: Array, y: Array, weight: Array) -> Array:
        """Log scales (m,) of a model with the greatest likelihood for its means (m, n).

        Its other log dispersions are given, and there is no prior.
        """
        found = []
        for output, index in enumerate(self.scale_index[k].tolist()):
            [group] = [g for g in self.groups if k in g.parts and g.output == output]
            eta = self.start[group.coordinates[group.parts.tolist().index(k)]][:, None]

            def loss(log_scale: float, group: Group = group, eta: Array = eta) -> float:
                pair = y[group.output], mean[group.output]
                logs = next(group.family.derivatives(pair, [np.array([log_scale]), *eta[1:]]))
                return -float(logs @ weight)

            bounds = self.lower[index], self.upper[index]
            best = minimize_scalar(loss, bounds=bounds, method="bounded", options=OPTIONS)
            found.append(best.x)
        return np.array(found)

    def _mean_of_fewer_rows(
        self, k: int, training: Training, train: Array, test: Array
    ) -> Array | None:
        """Mean (m, n) of some rows under a model of few others; None if it needs more rows.

        The model has been fitted to more rows without an error. A ValueError, or a singular matrix,
        is that of too few rows, or of values that none of them has. Others have another cause.
        """
        try:
            return self._fit_part(k, 0, training, train, test)[1]
        except (ValueError, np.linalg.LinAlgError):
            return None

    def _fit(self, k: int, j: int, training: Training, rows: Array) -> Any:
        """Model of expert k; rows are repeated for estimators that take no weights."""
        if not takes_weights(self.fits.estimators[k]):
            rows = np.repeat(rows, training.resp[k, rows].astype(int))
            training = training._replace(resp=np.ones_like(training.resp))
        return super()._fit(k, j, training, rows)

    # --- densities and predictions ---

    def attributes(self, theta: Array, units: Any) -> dict[str, Any]:
        """Those of estimators, with spreads of a regression and temperatures of a classifier."""
        name = "spread_" if self.fits.classes is None else "temperature_"
        return super().attributes(theta, units) | {name: self.learned.spread}

    def target(self, group: Group, data: Data) -> tuple[Any, Any, None]:
        """Values and their means, or log densities, which are all that given values have."""
        family, target, _ = super().target(group, data)
        if not self.values or not group.roles:
            return family, target, None
        logs = self.learned.logs if self.learned.logs is not None else self.predicted(data.rows)[1]
        return GivenDensity(), logs[group.parts, None], None

    def predicted(self, rows: Dataset) -> tuple[Array, Array]:
        """Means or probabilities, and log densities or log probabilities of values, of new rows."""
        if not self.values:
            return super().predicted(rows)
        of_models = [self._on_values(k, rows.expert_design) for k in range(self.n_experts)]
        one = np.ones((1, rows.n_rows))
        dists = [predictive_distribution([own], one, True) for own in of_models]
        means = [np.array(self.values) @ own.probabilities[0] for own in of_models]
        return np.stack(means), np.stack([dist.logpdf(rows.y[0]) for dist in dists])

    def log_density_of(self, k: int, features: RawFeatures, y: Array) -> Array:
        """Log density (n,) of a model that has its own."""
        (model,), spread = self.learned.models[k], self.learned.spread[k]
        if spread == 1.0:
            return predict_log_density(model, features.X, y)
        at_points = partial(predict_log_densities, model, features.X)
        return _at_spreads(at_points, y, self.mean_of(k, features), [spread])[0]

    def mean_of(self, k: int, features: RawFeatures) -> Array:
        """Mean under expert k, (m, n), or its class probabilities, (C, n)."""
        if self.values:
            return np.array(self.values) @ self._on_values(k, features).probabilities[0]
        found, spread = super().mean_of(k, features), self.learned.spread[k]
        is_changed = self.fits.classes is not None and spread != 1.0
        return _at_temperature(found, spread) if is_changed else found

    def components(self, theta: Array, k: int, data: Data) -> Any:
        """Distribution of expert k around its mean, or its own distribution."""
        features = data.rows.expert_design
        return self._on_values(k, features) if self.values else self._components(k, features)

    def _on_values(self, k: int, features: RawFeatures) -> OrdinalComponents:
        return on_values(self._components(k, features), np.array(self.values), features.shape[0])

    def _components(self, k: int, features: RawFeatures) -> Any:
        """Distribution of expert k at its spread, whose values can be any."""
        spread, has_density = self.learned.spread[k], self.fits.has_density[k]
        own = predict_components(self.learned.models[k][0], features.X) if has_density else None
        if own is not None and spread == 1.0:
            return own
        center = super().mean_of(k, features)
        own = self.around(self.start, k, center) if own is None else own
        scaled = own.rescale(np.zeros(len(center)), np.full(len(center), spread))
        return scaled.shift((1.0 - spread) * center)

    def _log_probabilities(self, components: Any, center: Array, y: Array) -> Array:
        """Log probabilities (S, n) of values y at each spread that components can have."""
        spreads = SPREADS if _is_location_scale(components) else SPREADS[:1]
        return log_probabilities(components, np.array(self.values), y[0], center[0], spreads)


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


# --- probabilities of values ------------------------------------------------------------------

# A value of y, of which there are few, has the probability of its cell, whose limits are half way
# to the neighbouring values. The density of ratings is no measure of a model: a normal distribution
# about one rating, of nearly no width, has any density there. A probability is at most one, so that
# models can be compared.


def _inner_limits(values: Array) -> Array:
    """Limits between the cells of sorted values."""
    return 0.5 * (values[1:] + values[:-1])


def _distribution(components: Any, n_rows: int) -> Any:
    return predictive_distribution([components], np.ones((1, n_rows)), single_output=True)


def on_values(components: Any, values: Array, n_rows: int) -> OrdinalComponents:
    """Components of one expert with the probabilities of the values alone."""
    dist, limits = _distribution(components, n_rows), _inner_limits(values)[None]
    below, above = dist.cdf(limits), dist.sf(limits)
    zero, one = np.zeros((n_rows, 1)), np.ones((n_rows, 1))
    from_below = np.diff(below, axis=1, prepend=zero, append=one)
    # Small probabilities of large values are exact as differences of the probabilities above them.
    from_above = -np.diff(above, axis=1, prepend=one, append=zero)
    probabilities = np.maximum(from_below, from_above)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return OrdinalComponents(np.ones((1, n_rows)), values, probabilities.T[None, None])


def log_probabilities(
    components: Any, values: Array, y: Array, center: Array, spreads: Array
) -> Array:
    """Log probabilities (S, n) of values y (n,), at each of several spreads around a center."""
    limits = np.concatenate([[-np.inf], _inner_limits(values), [np.inf]])
    code = np.searchsorted(values, y)
    center = center[:, None]
    lower, upper = (
        center + (limits[side][:, None] - center) / spreads for side in (code, code + 1)
    )
    dist = _distribution(components, len(y))
    from_below, from_above = dist.cdf(upper) - dist.cdf(lower), dist.sf(lower) - dist.sf(upper)
    return log_probability(np.maximum(from_below, from_above)).T


class GivenDensities(Experts):
    """Experts whose log densities (n, K) are the design matrix itself: EM trains the gate alone.

    The objective is then the log-likelihood of a mixture of given densities, less the gate's
    penalty: it has one maximum in the probabilities of a constant gate.
    """

    can_collapse = False

    def __init__(self, n_models: int) -> None:
        ones = np.ones((n_models, 1))
        super().__init__([GivenDensity()] * n_models, 0, ones, ones[0], [[()]] * n_models, {})
        self.has_one_family, self.with_predictor = True, list(range(n_models))

    def target(self, group: Group, data: Data) -> tuple[Any, Any, None]:
        """The given log densities, (K, 1, n)."""
        return group.family, data.rows.expert_design.T[group.parts, None], None
