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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from sklearn.utils.parallel import Parallel, delayed

from skmoe._data import sklearn_adapter as adapter
from skmoe._data.preprocessing import Standardization
from skmoe._data.rows import Dataset, RawFeatures, add_feature_note
from skmoe._mixture.em import Objective, State, fitted_to, line_search
from skmoe._mixture.experts import Experts, Gate
from skmoe._mixture.mixture import Data, Group, Mixture, Prior
from skmoe._numerics.typing import TINY, Array
from skmoe.distributions._components import average_components
from skmoe.experts._linear import LinearExperts, summaries
from skmoe.families import Family, Normal
from skmoe.families._base import WithoutPredictor, differences, of_others, of_output
from skmoe.families._categorical import Categorical
from skmoe.protocols import Block, Part

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

# Means of exactly zero under a log link, as of trees on counts, are raised to this fraction of the
# mean of y.
RELATIVE_MEAN_FLOOR = 1e-3

# Most steps of the dispersions after a refit, and of the gate from the responsibilities of a start.
N_DISPERSION_STEPS = 30
N_GATE_STEPS = 5


@dataclass(frozen=True)
class MeanFamily(LinearExperts):
    """The family of y around the predictions of estimators, which are fitted to y in its units."""

    def __post_init__(self) -> None:
        """Sets the facts of the family."""
        super().__post_init__()
        vars(self).update(standardizes_target=False)

    @property
    def family(self) -> Family:
        """The only family."""
        return self.families[0]


@dataclass(frozen=True)
class GivenMeans(Family):
    """A family whose predictors are the log dispersions; the target is a pair of y and its mean."""

    link: ClassVar[str] = ""

    family: Family

    @property
    def roles(self) -> tuple[str, ...]:
        """All log dispersions are constant."""
        return ("constant",) * len(self.dispersions)

    @property
    def log_dispersion_bounds(self) -> tuple[tuple[float, float], ...]:
        """Those of distributions about a given mean."""
        return self.family.log_dispersion_bounds_of_means

    def start(self, y: Array, weight: Array) -> Array:
        """Log dispersions without features."""
        return self.family.start(y, weight)[1:]

    def predictors(self, mean: Array, eta: Sequence[Array]) -> list[Array]:
        """The T predictors of the family at means (..., n)."""
        bound = self.family.max_predictor
        location = np.clip(self.family.location(mean, [np.zeros(1), *eta]), -bound, bound)
        return [np.broadcast_arrays(location, *eta)[0], *eta]

    def derivatives(self, y: Any, eta: Sequence[Array]) -> Iterator[Any]:
        """Those of the family, whose first predictor can depend on the dispersions."""
        values, mean = y
        terms = self.family.derivatives(values, self.predictors(mean, eta))
        yield next(terms)
        slopes, _ = differences(lambda at: self.family.location(mean, [np.zeros(1), *at]), eta)
        of_mean, *of_others = next(terms)
        yield [own + slope * of_mean for own, slope in zip(of_others, slopes, strict=True)]
        of_pair, found = next(terms), {}
        for t, first in enumerate(slopes):
            for u, second in enumerate(slopes[t:], t):
                mixed = first * of_pair.get((0, u + 1), 0.0) + second * of_pair.get((0, t + 1), 0.0)
                own = of_pair.get((t + 1, u + 1), 0.0) + first * second * of_pair.get((0, 0), 0.0)
                found[t, u] = own + mixed
        yield found

    def mean(self, eta: Sequence[Array]) -> Array:
        """It is given."""
        return np.full_like(eta[0], np.nan)

    def components(self, eta: Sequence[Array]) -> Any:
        """The distribution around means (m, n), which are the first of the predictors."""
        mean, *others = eta
        predictors = self.predictors(mean, others)
        return self.family.components([np.broadcast_to(own, mean.shape) for own in predictors])


of_others(GivenMeans, "family", ("dispersions", "has_scale", "flat_margin", "dispersion_unit"))


@dataclass(frozen=True)
class GivenDensity(WithoutPredictor):
    """A family without parameters, whose log density is the target."""

    def derivatives(self, y: Array, eta: Sequence[Array]) -> Iterator[Any]:
        """The target itself."""
        yield y

    def mean(self, eta: Sequence[Array]) -> Array:
        """It is unknown."""
        return np.full(1, np.nan)

    def components(self, eta: Sequence[Array]) -> None:
        """They are unknown."""


class Fits(NamedTuple):
    """The estimators of a mixture, not fitted, and how they are fitted."""

    estimators: tuple[Any, ...]  # one for each expert
    seeds: Array  # random states of the fits, (K, number of fits)
    routes: tuple[dict[str, str], ...]  # arguments of each fit, and the names of their metadata
    classes: Array | None = None  # labels whose codes are in y; None for regression
    n_jobs: int | None = None


class Learned(NamedTuple):
    """Fitted models of the folds, and their out-of-fold predictions for the training rows."""

    models: tuple[tuple[Any, ...], ...] = ()  # of each expert; their predictions are averaged
    # Means (K, m, n) or class probabilities (K, C, n), and log densities (K, n) of experts with one
    # of their own and of classes; None after the fit.
    predictions: Any = None
    logs: Any = None
    # Responsibilities times weights (K, n) at the last refit, accepted or not, and now.
    resp_at_last_fit: Any = None
    last_resp: Any = None
    waits: Any = None  # experts (K,) that are refitted only when all have settled
    # Of densities of stacked models around their means, or temperatures of classes, (K,), and their
    # out-of-fold log densities at each spread, (K, S, n); None after the fit.
    spread: Any = None
    at_spreads: Any = None


class FirstValues(NamedTuple):
    """What the predictions of estimators are, for m outputs or C classes."""

    family: Family
    starts: list[Array]  # log dispersions of each output
    variance: Array  # of the working target, (m,)
    floor: Array  # smallest scale relative to it, (m,)
    placeholder: Array  # predictions before the first fit, (m, 1) or (C, 1)


class Training(NamedTuple):
    """The rows of a fit, and the responsibilities of the experts times the weights, (K, n)."""

    features: RawFeatures
    y: Array
    resp: Array

    def take(self, rows: Array) -> Training:
        """Some of the rows."""
        return Training(self.features.take(rows), self.y[..., rows], self.resp[:, rows])


@Part.register
class CrossFittedExperts(Experts):
    """Experts that are scikit-learn estimators, see the module docstring.

    Those of a regression predict the mean of y, around which it has the distribution of a family,
    or have a density of their own. The coefficients are the log dispersions; what the estimators
    have learned is a value of the part.
    """

    needs_all_rows = True
    has_derivatives = False
    lacks_inference = "experts that are estimators, such as trees, have no coefficients in common"
    n_fits_to_all_rows: ClassVar[int] = 0  # of each estimator, besides those without each fold

    def __init__(
        self, fits: Fits, outputs: FirstValues, penalties: dict[str, Any], shared: bool = False
    ) -> None:
        self.fits, self.outputs, self.learned = fits, outputs, Learned()
        self.family, n_experts = outputs.family, len(fits.estimators)
        # Which experts have distributions of their own, (K,).
        own = [fits.classes is None and adapter.has_density(model) for model in fits.estimators]
        self.has_density = np.array(own)
        given = self.has_density | (fits.classes is not None)
        families = [GivenDensity() if own else GivenMeans(self.family) for own in given]
        variance, starts = np.tile(outputs.variance, (n_experts, 1)), [outputs.starts] * n_experts
        scales = variance, outputs.floor, starts
        super().__init__(families, 0, *scales, penalties, shared_dispersion=shared)
        for group in self.groups:
            if isinstance(group.family, GivenMeans):
                vars(group).update(family=GivenMeans(of_output(self.family, group.output or 0)))
        self.start = np.clip(self.start, self.lower, self.upper)
        self.has_one_family = self.can_reorder = True
        self.with_predictor = list(range(n_experts))
        self.explains_mean, self.takes_offset = False, self.family.link == "log"

    @classmethod
    def of_rows(
        cls, fits: Fits, rows: Dataset, options: MeanFamily, estimates: dict[str, Any]
    ) -> Self:
        """The experts for rows of a fit; `estimates` are the noise variance and its floor."""
        if fits.classes is not None:
            n_classes = len(fits.classes)
            of_classes = Categorical(n_classes), [np.zeros(0)], np.ones(1), np.ones(1)
            return cls(fits, FirstValues(*of_classes, np.ones((n_classes, 1))), {})
        y, weight, offset = rows.y, rows.weight, rows.expert_design.offset
        units = Standardization(np.zeros(len(y)), np.ones(len(y)))
        family = options.family.fitted_to(y, weight, units)
        offset = 0.0 if offset is None else offset
        found = summaries(family, y, offset, weight, family.has_outliers)
        # Means before the first fit are those per unit of exposure.
        mean = (y @ weight) / (np.broadcast_to(np.exp(offset), y.shape) @ weight)
        mean = np.maximum(mean, TINY**0.5) if family.link == "log" else mean
        starts, variance = [start[1:] for start, _ in found], np.array([own for _, own in found])
        floor = np.array(estimates["variance_floor"])
        outputs = FirstValues(family, starts, variance, floor, mean[:, None])
        strength = options.dispersion_prior if family.has_scale else 0.0
        penalties = {"dispersion_prior": strength, "noise_variance": estimates["noise_variance"]}
        if family.link == "identity":
            estimators = map(adapter.with_standardised_target, fits.estimators)
            fits = fits._replace(estimators=tuple(estimators))
        return cls(fits, outputs, penalties, options.shared_dispersion)

    def set_penalties(self, penalties: dict[str, Any]) -> None:
        """Sets the prior, which does not depend on the units of y."""
        super().set_penalties(penalties)
        prior, squares, strength = self.prior, self.prior.squares, self.prior.strength
        own = strength > 0.0
        logs = np.log(np.maximum(squares[own], TINY) / strength[own])
        constant = -0.5 * float(strength[own] @ logs)
        self.prior = Prior(prior.precision, prior.scale, strength, squares, prior.joint, constant)

    @property
    def own(self) -> CrossFittedExperts:
        """What has, or lacks, capabilities."""
        return self

    def without_training_state(self) -> Any:
        """The experts without what belongs to the rows of the fit."""
        return self.changed(learned=Learned(self.learned.models, spread=self.learned.spread))

    # --- densities and predictions ---

    def target(self, group: Group, data: Data) -> tuple[Any, Any, None]:
        """Values and their means, or log densities; those of training rows are out of fold."""
        if self.learned.predictions is not None:
            predictions, logs = self.learned.predictions, self.learned.logs
        else:
            key = "learned", id(self.learned)
            if key not in data.targets:
                # What has been learned stays alive, by which the predictions are found.
                data.targets[key] = self.learned, *self.predicted(data)
            _, predictions, logs = data.targets[key]
        if predictions is None or isinstance(group.family, GivenDensity):
            own = logs[group.parts, None]  # of all outputs
            return GivenDensity(), np.zeros_like(own) if group.output else own, None
        means = predictions[group.parts, None, group.output]
        return group.family, (data.rows.y[group.output], means), None

    def predicted(self, data: Data) -> tuple[Any, Array]:
        """Means (K, m, n), or class probabilities, and log densities (K, n) of new rows."""
        y, predictions = data.rows.y, self.mean(self.start, data)
        logs = np.zeros((self.n_experts, data.rows.n_rows))
        if self.fits.classes is not None:
            logs = np.log(predictions[:, y, np.arange(len(y))])
        for k in np.flatnonzero(self.has_density).tolist():
            logs[k] = adapter.log_density(self.components(self.start, k, data), y)
        return predictions, logs

    def mean(self, theta: Array, data: Data, chosen: Any = None) -> Array:
        """Means (K, m, n), or class probabilities (K, C, n), of all experts or of some."""
        numbers = range(self.n_experts) if chosen is None else chosen
        return np.stack([self.mean_of(k, data.rows.expert_design) for k in numbers])

    def mean_of(self, k: int, features: RawFeatures) -> Array:
        """Mean under expert k, (m, n), or its class probabilities, (C, n).

        Those of training rows are out of fold.
        """
        if self.learned.predictions is not None:
            return self.learned.predictions[k]
        models, classes = self.learned.models[k], self.fits.classes
        of_models = [adapter.predict_expert(model, features.X, classes) for model in models]
        return self._valid_means(k, np.mean(of_models, axis=0), features.offset)

    def _valid_means(self, k: int, prediction: Array, offset: Array | None) -> Array:
        """Means (m, n) of rows from predictions of expert k, per unit of exposure."""
        if self.has_density[k]:
            return prediction
        if self.family.link == "log":
            adapter.check_means(k, self.fits.estimators[k], self.family.name, prediction)
            floor = RELATIVE_MEAN_FLOOR * self.outputs.placeholder
            prediction = np.where(prediction == 0.0, floor, prediction)
        return prediction if offset is None else prediction * np.exp(offset)

    def components(self, theta: Array, k: int, data: Data) -> Any:
        """Distribution of expert k around its mean, or its own, averaged over its models."""
        features = data.rows.expert_design
        if self.has_density[k]:
            models = self.learned.models[k]
            of_models = [adapter.predict_components(model, features.X) for model in models]
            return average_components(of_models, features.shape[0])
        return self.around(theta, k, self.mean_of(k, features))

    def around(self, theta: Array, k: int, mean: Array) -> Any:
        """Distribution around means (m, n) with the dispersions of expert k."""
        others = theta[self.owners == k].reshape(len(mean), -1).T[..., None]
        return GivenMeans(self.family).components([mean, *others])

    # --- fits ---

    def started(self, objective: Objective, resp: Array) -> tuple[Objective, Array]:
        """Objective and coefficients (D,) after a fit to responsibilities (K, n) or (K, U)."""
        [data] = objective.blocks
        of_rows = data.rows.row_responsibilities(resp)
        first = self.changed(learned=Learned())
        experts, own = first.refitted(first.start, data, of_rows * data.rows.weight)
        objective = objective._replace(mixture=objective.mixture.with_parts(experts=experts))
        theta = np.append(own, objective.mixture.start[len(own) :])[None]
        given = of_rows[:, None], resp[:, None]
        return objective, fitted_to(objective, theta, *given, N_GATE_STEPS)[0]

    @staticmethod
    def iterations(objective: Objective, theta: Array) -> Iterator[State]:
        """The states of EM; they end when each step of the gate lowers the objective."""
        [data], state = objective.blocks, objective.at(theta[None])
        while True:
            mixture, before = state.mixture, state.mixture.experts
            resp = mixture.responsibilities(state.theta, data)[0][:, 0]
            of_rows = data.rows.row_responsibilities(resp) * data.rows.weight
            experts, own = before.refitted(state.theta[0, : before.size], data, of_rows)
            mixture = mixture.with_parts(experts=experts)
            theta = state.theta.copy()
            theta[0, : before.size] = own
            # The dispersions have made their step.
            gradient = state.total.gradient.copy()
            gradient[:, : before.size] = mixture.prior.derivatives(theta)[0][:, : before.size]
            total = state.total._replace(gradient=gradient)
            ahead = objective._replace(mixture=mixture)
            found = line_search(ahead, state._replace(theta=theta, total=total), refresh=1)
            if found is None:
                return
            state = found
            yield state

    def refitted(self, theta: Array, data: Data, resp: Array) -> tuple[Self, Array]:
        """The experts and their dispersions (D,), refitted where this increases the objective.

        Responsibilities (K, n) are multiplied by the weights. Dispersions have the greatest
        penalised likelihood; those that all experts share have it after the refits.
        """
        training, before = Training(data.rows.expert_design, data.rows.y, resp), self.learned
        if before.predictions is None:
            # Placeholders, of which class probabilities have a finite logarithm.
            n_experts, shape = self.n_experts, (self.n_experts, data.rows.n_rows)
            means = np.tile(self.outputs.placeholder, (n_experts, 1, shape[1]))
            none, waits = np.full(shape, -1.0), np.zeros(n_experts, dtype=bool)
            before = Learned(((),) * n_experts, means, np.zeros(shape), none, none, waits)
        # Experts whose responsibilities have changed since their last fit; those that wait are
        # among them once the responsibilities of all have settled.
        change, mass = np.abs(resp - before.resp_at_last_fit).sum(axis=1), resp.sum(axis=1)
        have_settled = np.abs(resp - before.last_resp).sum() <= SETTLED_FRACTION * change.sum()
        may_go_on = ~before.waits | (have_settled & (change > REFIT_TOL_OF_WAITING * mass))
        is_due = (change > REFIT_TOL * mass) & may_go_on
        to_refit = np.flatnonzero(is_due).tolist()
        models, predictions, logs = [*before.models], before.predictions.copy(), before.logs.copy()
        refits = self.fits_of(to_refit, training)
        for k, (own, prediction, (of_rows,)) in zip(to_refit, refits, strict=True):
            models[k], predictions[k], logs[k] = own, prediction, of_rows
        after = before._replace(models=tuple(models), predictions=predictions, logs=logs)
        n_steps = 0 if self.shared_dispersion else N_DISPERSION_STEPS
        found = [
            self.changed(learned=own).with_best_dispersions(theta, data, resp, n_steps)
            for own in ((before, after) if to_refit else (before,))
        ]
        (old, values), (new, new_values) = found[0], found[-1]
        is_better = new_values >= values
        is_first = np.array([not own for own in before.models])
        kept = is_due & (is_better | is_first)
        # Refits in sample always fit the new responsibilities better, as an M-step does.
        is_out_of_fold = training.features.fold is not None
        learned = Learned(
            tuple((after if kept[k] else before).models[k] for k in range(self.n_experts)),
            np.where(kept[:, None, None], after.predictions, before.predictions),
            np.where(kept[:, None], after.logs, before.logs),
            np.where(is_due[:, None], resp, before.resp_at_last_fit),
            resp,
            np.where(is_due, is_out_of_fold & ~(is_better & ~is_first), before.waits),
        )
        experts = self.changed(learned=learned)
        theta = np.where(kept[self.owners], new, old)
        if self.shared_dispersion:
            theta = experts.with_best_dispersions(theta, data, resp, N_DISPERSION_STEPS)[0]
        return experts, theta

    def with_best_dispersions(
        self, theta: Array, data: Data, resp: Array, n_steps: int
    ) -> tuple[Array, Array]:
        """Dispersions (D,) after steps to given responsibilities, and values of experts, (K,).

        From where the likelihood is nearly constant no slope leads elsewhere: the search begins at
        the start as well. One step of a noise variance leads to its maximum from everywhere.
        """
        mixture = Mixture(self, Gate(Categorical(self.n_experts, "gate"), 0))
        is_exact = isinstance(self.family, Normal) and not self.shared_dispersion
        n_steps = min(n_steps, 1) if is_exact else n_steps
        thetas = np.stack([theta, self.start] if n_steps > 1 else [theta])
        thetas = np.hstack([thetas, np.zeros((len(thetas), mixture.gate.size))])
        if n_steps and len(theta):
            weight = np.where(data.rows.weight > 0.0, data.rows.weight, 1.0)
            of_rows = np.repeat((resp / weight)[:, None], len(thetas), axis=1)
            of_gate = np.ones((*of_rows.shape[:2], len(data.rows.gate_weight))) / self.n_experts
            thetas = fitted_to(Objective(mixture, [data]), thetas, of_rows, of_gate, n_steps)
        values = (resp[:, None] * mixture.at(thetas, data).logs).sum(axis=-1)
        thetas = thetas[:, : self.size]
        penalties = self.prior.squares * np.exp(-thetas) + self.prior.strength * thetas
        np.subtract.at(values, self.owners, 0.5 * penalties.T)
        compared = values.sum(axis=0, keepdims=True) if self.shared_dispersion else values
        best = np.broadcast_to(compared.argmax(axis=1), self.n_experts)
        found = thetas[best[self.owners], np.arange(self.size)]
        return found, values[np.arange(self.n_experts), best]

    def fits_of(self, numbers: list[int], training: Training) -> Iterator[tuple[Any, Array, Array]]:
        """Models without each fold, out-of-fold predictions (m, n) and logs (S, n) of experts."""
        fold, every = training.features.fold, np.arange(training.y.shape[-1])
        splits = [(every, every)]
        if fold is not None:
            splits = [(every[fold != j], every[fold == j]) for j in range(int(fold.max()) + 1)]
        order = np.argsort(np.concatenate([test for _, test in splits]))
        n_folds = len(splits)
        splits += [(every, every[:0])] * self.n_fits_to_all_rows
        results = Parallel(n_jobs=self.fits.n_jobs)(
            delayed(self.fit_fold)(k, j, training, *split)
            for k in numbers
            for j, split in enumerate(splits)
        )
        for first in range(0, len(results), len(splits)):
            models, *of_rows = zip(*results[first : first + len(splits)], strict=True)
            predictions, logs = (
                np.concatenate(own[:n_folds], axis=-1)[:, order] for own in of_rows
            )
            yield models, predictions, logs

    def fit_fold(
        self, k: int, j: int, training: Training, train: Array, test: Array
    ) -> tuple[Any, Array, Array]:
        """Model of expert k without fold j, its predictions and logs (S, n) in that fold."""
        resp = training.resp
        try:
            # Those of more than negligible responsibility, unless these are few.
            kept = train[resp[k, train] > MIN_RESPONSIBILITY * resp[:, train].sum(axis=0)]
            model = self._fit(k, j, training.take(kept if len(kept) >= MIN_FIT_ROWS else train))
            features, y, _ = training.take(test)
            if not len(test):
                return model, y, y
            prediction = adapter.predict_expert(model, features.X, self.fits.classes)
            adapter.check_prediction(prediction, len(self.outputs.placeholder), len(test))
            prediction = self._valid_means(k, prediction, features.offset)
            return model, prediction, self.logs_of(model, features.X, prediction, y)
        except Exception as error:
            rows = "fitted on all rows" if len(train) == resp.shape[1] else f"without fold {j}"
            error.add_note(f"This was expert {k}, {self.fits.estimators[k]!r}, {rows}.")
            add_feature_note(error, training.features.X)
            raise

    def logs_of(self, model: Any, X: Any, prediction: Array, y: Array) -> Array:
        """Log probabilities of classes, or log densities of a model that has its own, (1, n)."""
        if self.fits.classes is not None:
            return np.log(prediction[y, np.arange(len(y))])[None]
        if not adapter.has_density(model):
            return np.zeros((1, y.shape[1]))
        return adapter.log_density(adapter.predict_components(model, X), y)[None]

    def _fit(self, k: int, j: int, training: Training) -> Any:
        (features, y, resp), fits, estimator = training, self.fits, self.fits.estimators[k]
        target = y.T if fits.classes is None else fits.classes[y]
        target = target[:, 0] if target.shape[1:] == (1,) else target
        weight = np.maximum(resp[k], TINY**0.5)
        if features.offset is not None:  # per unit of exposure
            exposure = np.exp(features.offset)
            target = (target.T / exposure).T
            weight = np.maximum(weight * exposure**self.family.exposure_power, TINY**0.5)
        metadata = adapter.groups_of_folds(estimator, features.groups)
        metadata |= {name: features.metadata[given] for name, given in fits.routes[k].items()}
        seed = int(fits.seeds[k, j])
        return adapter.fit_estimator(estimator, seed, features.X, target, weight, metadata)

    # --- the experts ---

    def in_order(self, order: Array) -> Any:
        """The experts in another order, after the fit or before it ends."""
        arrays = (values if values is None else values[order] for values in self.learned[1:7])
        return self.changed(learned=Learned(tuple(self.learned.models[k] for k in order), *arrays))

    def by_expert(self, theta: Array) -> Array:
        """Numbers that describe each expert, (K, V)."""
        return np.hstack([np.zeros((self.n_experts, 1)), super().by_expert(theta)])

    def log_scales(self, theta: Array, data: Data) -> Array | None:
        """None, as scales of rows left out do not go to zero."""
        return None

    def is_worse_than_mean(self, y: Array) -> Array:
        """Experts whose squared error in held-out rows is several times that of their mean."""
        predictions, resp = self.learned.predictions, self.learned.last_resp
        if self.fits.classes is not None or predictions is None:
            return np.zeros(self.n_experts, dtype=bool)
        means = resp @ y.T / np.maximum(resp.sum(axis=1, keepdims=True), TINY)
        errors, deviations = (
            np.einsum("kmn,kn->km", np.square(y - values), resp)
            for values in (predictions, means[..., None])
        )
        is_worse = (errors > MAX_RELATIVE_ERROR * deviations) & (deviations > 0.0)
        return np.asarray(is_worse.all(axis=1))

    # --- what tables show ---

    def shown(self, k: int) -> list[Any]:
        """No block of coefficients that have standard errors."""
        return []

    @property
    def all_blocks(self) -> tuple[Block, ...]:
        """The dispersions of the family of a regression."""
        return self.family.dispersions

    def n_parameters(self, theta: Array) -> float:
        """Number of parameters of the models and dispersions; NaN if it is unknown."""
        return sum(map(adapter.count_parameters, self.learned.models)) + super().n_parameters(theta)

    def attributes(self, theta: Array, units: Any) -> dict[str, Any]:
        """`experts_`: the models of each expert; family and dispersions of a regression."""
        fitted: dict[str, Any] = {"experts_": list(map(list, self.learned.models))}
        if self.family.link != "softmax" and self.family != Normal():
            fitted["families_"] = [self.family] * self.n_experts
        unknown = np.full((self.n_experts, self.n_outputs), np.nan)
        found = {dispersion.attribute: unknown for dispersion in self.family.dispersions}
        found |= self._dispersions(theta, units, np.ones(self.n_outputs))
        one = self.n_outputs == 1
        return fitted | {name: values[:, 0] if one else values for name, values in found.items()}
