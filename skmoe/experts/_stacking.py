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
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from scipy.special import log_softmax
from sklearn.utils.parallel import Parallel, delayed

from skmoe._data.rows import Dataset
from skmoe._data.sklearn_adapter import has_density, log_density, predict_components, takes_weights
from skmoe._mixture.em import Objective, side_by_side
from skmoe._mixture.experts import Experts, Gate
from skmoe._mixture.mixture import Data, Group, Mixture
from skmoe._numerics.typing import Array
from skmoe.distributions import PointMassComponents, predictive_distribution
from skmoe.distributions._components import NestedComponents
from skmoe.exceptions import CollapsedExpertsWarning
from skmoe.experts._cross_fitted import (
    N_DISPERSION_STEPS,
    CrossFittedExperts,
    GivenDensity,
    Learned,
    Training,
)
from skmoe.families._categorical import Categorical

# Spreads, and temperatures, that are compared, in steps of ten and twenty per cent; the first makes
# no change.
SPREADS = 1.1 ** np.array([0, *range(-12, 0), *range(1, 5)], dtype=float)
TEMPERATURES = 1.2 ** np.array([0, *range(-10, 0), *range(1, 7)], dtype=float)

# Weight of the prior of a log spread, in rows: one of a normal distribution has the information 2.
SPREAD_PRIOR_ROWS = 10.0

# Replaces a log density of minus infinity, which has no product with a responsibility of zero.
LEAST_LOG_DENSITY = -1e100

# Most rounds of spreads given the weights of the models, iterations of weights and dispersions in
# each of them, and the gain per row below which they end.
MAX_POOL_ROUNDS = 15
N_POOL_STEPS = 2
POOL_TOL = 1e-5

# Weight of the rows below which a fit is too different from one of all rows.
MIN_ROWS_OF_CURVE = 50.0

# Largest exponent of the learning curve: errors that halve when the number of rows doubles. The
# prior of an exponent of zero has the weight of so many held-out rows.
MAX_ERROR_EXPONENT = 1.0
PRIOR_HELD_OUT_ROWS = 20.0


class StackedModels(CrossFittedExperts):
    """Estimators that are fitted once to all rows, and once without each fold.

    Spreads and dispersions are those of their out-of-fold densities; the dispersions are the
    coefficients with which the part begins. The last seeds are those of the fits to all rows.
    """

    n_fits_to_all_rows: ClassVar[int] = 1

    # The values of y, sorted, if models predict their probabilities; empty for densities.
    values: tuple[float, ...] = ()

    def of_models(self, kept: Array, values: tuple[float, ...] = ()) -> Any:
        """Some of the models, before their fits."""
        fits = self.fits
        estimators, routes = ([own[k] for k in kept] for own in (fits.estimators, fits.routes))
        own = fits._replace(estimators=(*estimators,), routes=(*routes,), seeds=fits.seeds[kept])
        part = type(self)(own, self.outputs, self.penalties, self.shared_dispersion)
        return part.changed(values=values)

    # --- fits ---

    def _training(self, data: Data) -> Training:
        resp = np.broadcast_to(data.rows.weight, (self.n_experts, data.rows.n_rows))
        return Training(data.rows.expert_design, data.rows.y, resp)

    def member(self, k: int, data: Data) -> tuple[Any, Array, Array]:
        """Model k of all rows, out-of-fold predictions (m, n), and log densities (S, n)."""
        [(models, *of_rows)] = self.fits_of([k], self._training(data))
        return models[-1:], *of_rows

    def with_members(self, members: Sequence[Any], data: Data) -> Any:
        """The first models, which have been fitted, given the held-out rows.

        Dispersions are those of greatest penalised likelihood for the out-of-fold predictions, and
        spreads are one. Spreads that a model cannot have are impossible.
        """
        part = self.of_models(np.arange(len(members)), self.values)
        models, predictions, logs = zip(*members, strict=True)
        of_models = np.stack([of_model[0] for of_model in logs])
        learned = Learned(models, np.stack(predictions), of_models, spread=np.ones(len(models)))
        numeric = part.changed(learned=learned, values=())
        resp = part._training(data).resp
        theta, _ = numeric.with_best_dispersions(part.start, data, resp, N_DISPERSION_STEPS)
        at_spreads = np.full((len(models), len(SPREADS), data.rows.n_rows), LEAST_LOG_DENSITY)
        for k, (own, center) in enumerate(zip(logs, predictions, strict=True)):
            if self.values and not part.has_density[k]:
                own = part.at_spreads(part.around(theta, k, center), center, data.rows.y)
                learned.logs[k] = own[0]
            at_spreads[k, : len(own)] = np.maximum(own, LEAST_LOG_DENSITY)
        return part.changed(learned=learned._replace(at_spreads=at_spreads), start=theta)

    def pooled(self, data: Data) -> Any:
        """Spreads and dispersions of greatest likelihood of a mixture with constant weights."""
        gate, at_spreads = Gate(Categorical(self.n_experts, "gate"), 0), self.learned.at_spreads
        spreads = SPREADS if self.fits.classes is None else TEMPERATURES
        penalties = SPREAD_PRIOR_ROWS * np.square(np.log(spreads))
        theta = np.append([] if self.values else self.start, gate.start)[None]
        experts, penalty, before = self, 0.0, -np.inf
        for _ in range(MAX_POOL_ROUNDS):
            mixture, of_pool = Mixture(experts, gate), data
            if self.values:  # there spreads adapt the dispersions, which are those of numbers
                mixture = Mixture(GivenDensities(self.n_experts), gate)
                of_pool = Data(experts.given_densities(data))
            theta, [bounds] = side_by_side(Objective(mixture, [of_pool]), theta, N_POOL_STEPS)
            bound = bounds[-1] - penalty / data.weight
            if bound - before < POOL_TOL:
                break
            before, resp = bound, mixture.responsibilities(theta, of_pool)[0][:, 0]
            of_rows = data.rows.row_responsibilities(resp) * data.rows.weight
            best = ((at_spreads @ of_rows[..., None])[..., 0] - penalties).argmax(axis=1)
            penalty, at_best = penalties[best].sum(), at_spreads[np.arange(len(best)), best]
            learned = experts.learned._replace(spread=spreads[best], logs=at_best)
            experts = experts.changed(learned=learned)
        return experts if self.values else experts.changed(start=theta[0, : self.size])

    def log_densities(self, data: Data) -> Array:
        """Log densities or log probabilities of the models for held-out rows, (K, n)."""
        logs = self.learned.logs.copy()
        if not self.values and self.fits.classes is None:
            for k in np.flatnonzero(~self.has_density).tolist():
                noise = self.around(self.start, k, self.learned.predictions[k])
                logs[k] = log_density(noise, data.rows.y)
        return np.asarray(logs)

    def given_densities(self, data: Data) -> Dataset:
        """The rows with log densities of the models as their design."""
        return data.rows._replace(expert_design=np.ascontiguousarray(self.log_densities(data).T))

    def logs_of(self, model: Any, X: Any, prediction: Array, y: Array) -> Array:
        """Log probabilities of classes at each temperature, or log densities at each spread."""
        if self.fits.classes is not None:
            of_class = y, np.arange(len(y))
            return np.log([_at_temperature(prediction, t)[of_class] for t in TEMPERATURES])
        if not has_density(model):
            return np.zeros((1, y.shape[1]))
        return self.at_spreads(predict_components(model, X), prediction, y)

    def at_spreads(self, components: Any, center: Array, y: Array) -> Array:
        """Log densities or log probabilities (S, n) at each spread that components can have."""
        spreads = SPREADS if _is_location_scale(components) else SPREADS[:1]
        at_spreads = (_at_spread(components, center, spread) for spread in spreads)
        return np.stack([log_density(self._on_values(own, y.shape[1]), y) for own in at_spreads])

    def of_all_rows(self, data: Data) -> Any:
        """The models with the log scales of models of all rows, of which these are.

        The scales of models without fold 0 change by the learning curve of each model, which one
        more fit to half of the rows without fold 0 gives. A model with its own density has its own
        scale, and no change.
        """
        training, weight = self._training(data), data.rows.weight
        features, fold = training.features, np.asarray(training.features.fold)
        index = self.scale_index[(self.scale_index >= 0).all(axis=1)]
        others = np.setdiff1d(fold, [0])
        if len(others) < 2 or not len(index):
            return self
        # The rows of a fit without fold 0, half of these, and the rows of fold 0.
        half = np.flatnonzero(np.isin(fold, others[: len(others) // 2]))
        train, test = np.flatnonzero(fold), np.flatnonzero(fold == 0)
        n_all, n_train, n_half, n_held_out = (weight[at].sum() for at in (..., train, half, test))
        if n_half < MIN_ROWS_OF_CURVE:
            return self
        means = self.learned.predictions[..., fold[fold >= 0] == 0]
        fewer, numbers = means.copy(), self.owners[index[:, 0]].tolist()
        of_fewer = Parallel(n_jobs=self.fits.n_jobs)(
            delayed(self._mean_of_fewer_rows)(k, training, half, test) for k in numbers
        )
        for k, mean in zip(numbers, of_fewer, strict=True):
            fewer[k] = fewer[k] if mean is None else mean
        y, of_test = training.y[:, test], weight[test]
        held_out = Data(Dataset(of_test[:, None], features.take(test), y, of_test))
        growth = self.without_prior(fewer, held_out) - self.without_prior(means, held_out)
        power = np.clip(0.5 * growth[index] / np.log(n_train / n_half), 0.0, MAX_ERROR_EXPONENT)
        shrinkage, start = n_held_out / (n_held_out + PRIOR_HELD_OUT_ROWS), self.start.copy()
        start[index] -= 2.0 * shrinkage * power * np.log(n_all / n_train)
        return self.changed(start=np.maximum(start, self.lower))

    def without_prior(self, means: Array, data: Data) -> Array:
        """Dispersions (D,) of greatest likelihood for given means (K, m, n), without a prior."""
        learned = Learned(predictions=means, logs=np.zeros((self.n_experts, data.rows.n_rows)))
        part = self.with_penalties({"dispersion_prior": 0.0}).changed(learned=learned)
        resp = self._training(data).resp
        return part.with_best_dispersions(self.start, data, resp, N_DISPERSION_STEPS)[0]

    def _mean_of_fewer_rows(
        self, k: int, training: Training, train: Array, test: Array
    ) -> Array | None:
        """Mean (m, n) of some rows under a model of few others; None if it needs more rows.

        The model has been fitted to more rows without an error. A ValueError, or a singular matrix,
        is that of too few rows, or of values that none of them has. Others have another cause.
        """
        try:
            return self.fit_fold(k, 0, training, train, test)[1]
        except (ValueError, np.linalg.LinAlgError):
            return None

    def _fit(self, k: int, j: int, training: Training) -> Any:
        """Model of expert k; rows are repeated for estimators that take no weights."""
        if not takes_weights(self.fits.estimators[k]):
            numbers = training.resp[k].astype(int)
            training = training.take(np.repeat(np.arange(len(numbers)), numbers))
            training = training._replace(resp=np.ones_like(training.resp))
        with warnings.catch_warnings():
            # A model that has more experts than its rows need is no worse for it: the gate weights
            # it by its out-of-fold densities, and its own experts are not read.
            warnings.simplefilter("ignore", CollapsedExpertsWarning)
            return super()._fit(k, j, training)

    # --- densities and predictions ---

    def attributes(self, theta: Array, units: Any) -> dict[str, Any]:
        """Those of estimators, with spreads of a regression and temperatures of a classifier."""
        name = "spread_" if self.fits.classes is None else "temperature_"
        return super().attributes(theta, units) | {name: self.learned.spread}

    def predicted(self, data: Data) -> tuple[Any, Array]:
        """Class probabilities or nothing, and log densities or log probabilities, of new rows."""
        if self.fits.classes is not None:
            return super().predicted(data)
        of_models = (self.components(self.start, k, data) for k in range(self.n_experts))
        return None, np.stack([log_density(own, data.rows.y) for own in of_models])

    def mean(self, theta: Array, data: Data, chosen: Any = None) -> Array:
        """Means (K, m, n), or class probabilities (K, C, n), of all experts or of some."""
        numbers = list(range(self.n_experts) if chosen is None else chosen)
        if self.values:
            of_models = [self.components(theta, k, data).weight for k in numbers]
            return np.stack([np.array(self.values)[None] @ own for own in of_models])
        found = super().mean(theta, data, numbers)
        if self.fits.classes is None:
            return found
        return np.stack(list(map(_at_temperature, found, self.learned.spread[numbers])))

    def components(self, theta: Array, k: int, data: Data) -> Any:
        """Distribution of expert k around its mean, or its own distribution, at its spread."""
        own, spread, rows = super().components(theta, k, data), self.learned.spread[k], data.rows
        if spread != 1.0:
            own = _at_spread(own, self.mean_of(k, rows.expert_design), spread)
        return self._on_values(own, rows.n_rows)

    def _on_values(self, components: Any, n_rows: int) -> Any:
        """Components with the probabilities of the values of y alone, if these are few.

        A value has the probability of its cell, whose limits are half way to the neighbouring
        values. The density of ratings is no measure of a model: a normal distribution about one
        rating, of nearly no width, has any density there. A probability is at most one, so that
        models can be compared.
        """
        if not self.values:
            return components
        values = np.array(self.values)
        dist = predictive_distribution([components], np.ones((1, n_rows)), single_output=True)
        limits = 0.5 * (values[1:] + values[:-1])[None]
        zero, one = np.zeros((n_rows, 1)), np.ones((n_rows, 1))
        from_below = np.diff(dist.cdf(limits), axis=1, prepend=zero, append=one)
        # Small probabilities of large values are exact as differences of those above them.
        from_above = -np.diff(dist.sf(limits), axis=1, prepend=one, append=zero)
        probabilities = np.maximum(from_below, from_above)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        shape = len(values), 1, n_rows
        return PointMassComponents(probabilities.T, np.broadcast_to(values[:, None, None], shape))


def _at_spread(components: Any, center: Array, spread: float) -> Any:
    """Components whose distances from a center (m, n) are multiplied by a spread."""
    if spread == 1.0:
        return components
    scaled = components.rescale(np.zeros(len(center)), np.full(len(center), spread))
    return scaled.shift((1.0 - spread) * center)


def _at_temperature(probabilities: Array, temperature: float) -> Array:
    """Class probabilities (C, n) at a temperature: below one they are more certain."""
    return np.exp(log_softmax(np.log(probabilities) / temperature, axis=0))


def _is_location_scale(components: Any) -> bool:
    """Whether components moved and scaled are of the same families."""
    if isinstance(components, NestedComponents):
        return all(map(_is_location_scale, components.parts))
    return bool(components.block().family.location_scale)


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
