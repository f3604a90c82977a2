"""Likelihood ratios of K against K + 1 experts, and of a mixture that another one contains.

For numbers of experts, ratios are of the data and of targets that are drawn from the K experts.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from itertools import permutations
from typing import Any, NamedTuple

import joblib
import numpy as np
from joblib import effective_n_jobs
from sklearn.base import clone, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.parallel import Parallel, delayed

from skmoe._data.censored_targets import bounds_of, missed_events
from skmoe._data.checks import check_frequencies, check_integer, shown
from skmoe._data.rows import Rows
from skmoe._estimators.fitting.problem import build_problem
from skmoe._estimators.methods.draws import draw_target
from skmoe._estimators.parameters.conflicts import (
    DRAWN,
    NESTED,
    check_conflicts,
    chosen_options,
    listed,
)
from skmoe._estimators.rows.training_data import TrainingData, chosen_rows, validate_training_data
from skmoe._estimators.selection.n_experts import Trial, fit_trial
from skmoe._inference.comparisons import NestedModelsTest
from skmoe.distributions._mixtures import check_random_state
from skmoe.exceptions import CollapsedExpertsWarning, warn_user
from skmoe.families import FAMILIES
from skmoe.families._censored import of_target
from skmoe.families._discrete import PointMass
from skmoe.gates import persists
from skmoe.protocols import LinearPredictor

# --- numbers of experts -----------------------------------------------------------------------

# Log-likelihood that EM may leave to be gained, if `tol` times the number of rows is more. Smaller
# differences of log-likelihoods count as none.
MAX_MISSING_LIKELIHOOD = 0.02

# Replicates that a job is given at a time: with one, jobs wait for each other, and of many, more
# are drawn in vain before the test stops.
BATCHES_PER_JOB = 4


class LikelihoodRatio(NamedTuple):
    """Log-likelihoods of K and of K + 1 experts, and twice their difference."""

    log_likelihoods: tuple[float, float]
    statistic: float
    is_failed: bool  # whether no fit of K + 1 experts has the likelihood of K
    converged: bool


class LikelihoodRatioTest:
    """Fits of K and of K + 1 experts for the test, by a validated estimator.

    Of several starts the one with the largest likelihood is kept, not the one with the largest
    lower bound. Under penalties the latter may be a fit in which an expert has no rows, with the
    likelihood of fewer experts.
    """

    def __init__(self, estimator: Any, n_rows: int) -> None:
        n_experts = estimator.n_experts
        tol = min(estimator.tol, MAX_MISSING_LIKELIHOOD / n_rows)
        changed = {"warm_start": False, "verbose": 0, "n_jobs": 1, "tol": tol}
        # The fits of a likelihood ratio have the same penalties.
        more = clone(estimator).set_params(n_experts=n_experts + 1)._validate_parameters()
        penalties = {
            "gate_alpha" if found.part == "gate" else found.fields[0]: found.value
            for found in more.penalties
            if found.search and found.fields != ("dispersion_alpha",)
        }
        self.n_experts, self.tolerance = n_experts, tol * n_rows
        self.estimator = clone(estimator).set_params(**changed, **penalties)

    def fit_null(self, data: TrainingData, seed: int) -> Trial:
        """K experts fitted to the data."""
        return self._best_fit(data, self.n_experts, [self.estimator.init], seed)

    def ratio(self, null: Trial, data: TrainingData, seed: int) -> LikelihoodRatio:
        """Likelihood ratio of the data, given the fit of K experts to them.

        K + 1 experts start from the K experts with one of them split in two, and as in any fit. If
        their likelihood is smaller than that of K experts, a thorough search follows.
        """
        more = self.n_experts + 1
        best = self._best_fit(data, more, [null, self.estimator.init], seed, null)
        if best.log_likelihood() < null.log_likelihood() - self.tolerance:
            again = self._best_fit(data, more, ["search"], seed + 1, null)
            best = max(best, again, key=Trial.log_likelihood)
        pair = null.log_likelihood(), best.log_likelihood()
        gain = pair[1] - pair[0]
        return LikelihoodRatio(
            pair,
            statistic=2.0 * gain if gain > self.tolerance else 0.0,
            is_failed=gain < -self.tolerance,
            converged=null.run.converged and best.run.converged,
        )

    def replicate(
        self, null: Trial, data: TrainingData, seed: np.random.SeedSequence
    ) -> LikelihoodRatio:
        """The ratio of a target drawn from the fit of K experts."""
        rng = np.random.RandomState(np.random.MT19937(seed))
        rows = null.rows
        drawn = rows._replace(y=draw_target(null.fitted_estimator(), rows, rng))
        start_seed = int(rng.randint(np.iinfo(np.int32).max - 2))
        # EM starts with the responsibilities under the parameters from which the target was drawn:
        # the maximum is close to them. A warm start would keep the scale of the target of the first
        # fit, to which the penalties refer.
        init = null.fitted.responsibilities(drawn)[:, rows.unit_codes]
        data = data._replace(rows=data.rows._replace(y=drawn.y))
        return self.ratio(self._best_fit(data, self.n_experts, [init], 0), data, start_seed)

    def _best_fit(
        self,
        data: TrainingData,
        n_experts: int,
        starts: Sequence[Any],
        seed: int,
        known: Trial | None = None,
    ) -> Trial:
        """The fit with the largest likelihood among those from given starts."""
        fits, seeds = [], np.random.SeedSequence(seed).generate_state(len(starts))
        for start, own_seed in zip(starts, seeds, strict=True):
            seed = int(own_seed % np.iinfo(np.int32).max)
            options = {"n_experts": n_experts, "random_state": seed}
            if isinstance(start, str) and start == "search":
                options["n_init"] = 1
            fits.append(fit_trial(self.estimator, data, start, options, known=known))
        return max(fits, key=Trial.log_likelihood)


def check_draws(
    n_bootstrap: Any, n_exceedances: Any, random_state: Any
) -> tuple[int, list[np.random.SeedSequence]]:
    """A seed, and one of each draw."""
    check_integer("n_bootstrap", n_bootstrap, least=1)
    if n_exceedances is not None:
        check_integer("n_exceedances", n_exceedances, least=1)
    seed = int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
    return seed, np.random.SeedSequence(seed).spawn(n_bootstrap)


def draw_sequentially(
    draw: Any, seeds: Sequence[Any], most: int | None, observed: float, jobs: tuple[Any, int]
) -> tuple[list[LikelihoodRatio], float]:
    """Replicates of the seeds in their order, and the p-value of the observed statistic.

    They end at the one with which `most` of them are at least as large as that [1]_; None draws all
    of them. `jobs` are their number, and whether progress is printed. The replicates do not depend
    on the number: those that other jobs have drawn after the end are dropped.

    References
    ----------
    .. [1] J. Besag and P. Clifford (1991), "Sequential Monte Carlo p-values", Biometrika 78,
       301-304.
    """
    (n_jobs, verbose), n_workers, n_larger = jobs, effective_n_jobs(jobs[0]), 0
    most = len(seeds) + 1 if most is None else most
    drawn: list[LikelihoodRatio] = []
    with Parallel(n_jobs=n_jobs) as workers:
        while len(drawn) < len(seeds) and n_larger < most:
            size = min(max(most - n_larger, n_workers), BATCHES_PER_JOB * n_workers)
            batch = seeds[len(drawn) :][: 1 if n_workers == 1 else size]
            drawn += workers(delayed(draw)(seed) for seed in batch)
            counts = np.cumsum([ratio.statistic >= observed for ratio in drawn])
            drawn = drawn[: 1 + int(np.searchsorted(counts, most))]
            n_larger = int(counts[len(drawn) - 1])
            if verbose:
                print(
                    f"{len(drawn)} of at most {len(seeds)} bootstrap samples: {n_larger} with a "
                    f"statistic of at least {observed:.4g}"
                )
    if n_larger >= most:
        return drawn, n_larger / len(drawn)
    return drawn, (n_larger + 1) / (len(drawn) + 1)


# --- nested models ----------------------------------------------------------------------------

# What nested models have in common: the rest is of their structure, of the fit, or refused.
SAME = "expert", "family", "class_weight", "random_features"

# Penalties of maximum likelihood, which keep matrices regular.
NO_PENALTY = 1e-9

# Share of rows that may be of an expert of a single value from which its fit starts.
SHARE_OF_MASS = 0.5

# Largest number of experts of which all orders are tried.
MAX_ORDERED = 4


class Structure(NamedTuple):
    """What a mixture estimates."""

    # Expert, number of the response, parameter and feature of each coefficient, and its coordinate.
    coordinates: dict[Any, int]
    gate: set[int]  # features of the gate
    gate_kind: str  # of its class and options
    is_ordered: bool  # whether experts have different slopes

    def without_expert(self, number: int) -> Structure:
        """That of the other experts, of which those after it have the number before."""
        own = {(k - (k > number), *key): i for (k, *key), i in self.coordinates.items()}
        return self._replace(coordinates=own)


def likelihood_ratio(
    models: Sequence[Any], rows: Rows, draws: tuple[Any, int | None, Any], always_draws: bool
) -> NestedModelsTest:
    """The test for a smaller and a larger mixture, and the rows of their fits.

    Draws have seeds, a number of exceedances and one of jobs. They are used where the distribution
    of the statistic is not known, or if the user wants them.
    """
    if rows.weight is not None:
        check_frequencies(NESTED, rows.weight)
    tables = _tables(models, rows)
    models = [_with_maximum_likelihood(*one) for one in zip(models, tables, strict=True)]
    mass = _further_mass(*models)
    _check_same(models[0], models[1], mass)
    structures = [_structure(*one) for one in zip(models, tables, strict=True)]
    if mass is not None:
        structures[1] = structures[1].without_expert(mass)
    _check_nested(*structures)
    if persists(models[0].gate) and not persists(models[1].gate):
        raise ValueError(
            'larger must contain smaller, whose gate="markov" it lacks. Exchange the models.'
        )
    free = structures[0].is_ordered and not structures[1].is_ordered and rows.possible is None
    # Slopes of the probability of a value that no row has are not identified.
    if not always_draws and (mass is None or not structures[1].gate):
        return _test(models, rows, free, mass)
    given = chosen_options(models[1]) | chosen_rows(models[1]._validate_parameters(), rows)
    check_conflicts({DRAWN: DRAWN} | given)
    seeds, n_exceedances, n_jobs = draws
    if rows.weight is not None:
        index = np.repeat(np.arange(len(rows.weight)), np.asarray(rows.weight, dtype=int))
        rows = rows.take(index)._replace(weight=None)
    test = _test(models, rows, free, mass)
    draw = partial(_ratio_of_draw, test.estimators, models, rows, free, mass)
    drawn, test.p_value = draw_sequentially(draw, seeds, n_exceedances, test.statistic, (n_jobs, 0))
    test.replicates = np.array([one.statistic for one in drawn])
    return test


def _tables(models: Sequence[Any], rows: Rows) -> list[Rows]:
    """The rows of each model: without persistence those of a series are independent."""
    independent = rows
    if any(persists(model.gate) for model in models):
        independent = rows._replace(unit=None, time=None)
    return [rows if persists(model.gate) else independent for model in models]


def _ratio_of_draw(
    fits: Sequence[Any], models: Any, rows: Rows, free: bool, mass: int | None, seed: Any
) -> LikelihoodRatio:
    """The ratio of a target that is drawn from the fit of the smaller model."""
    null, rng = fits[0], np.random.RandomState(np.random.MT19937(seed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        drawn = draw_target(null, null._checked_units(NESTED, rows)[0], rng)
        drawn = null.classes_[drawn] if is_classifier(null) else drawn
        family = None if mass is None else fits[1].families_[mass]
        if family is not None and not of_target(family, drawn).in_support(drawn).any():
            return LikelihoodRatio((np.nan, np.nan), 0.0, False, True)  # no row has the value
        test = _test(models, rows._replace(y=drawn), free, mass)
    return LikelihoodRatio(tuple(test.log_likelihoods), test.statistic, False, True)


def _test(models: Sequence[Any], rows: Rows, free: bool, mass: int | None) -> NestedModelsTest:
    """The test by the larger maxima of both models, from their starts and from each other.

    `free` is true if experts of the smaller model have an order, and those of the larger none. The
    smaller model lacks the expert with the number `mass`, which has a single value.
    """
    X, y = rows.X, rows.y
    arguments = [table.arguments for table in _tables(models, rows)]

    def log_likelihood(fitted: Any, given: Any) -> float:
        return float(fitted.n_parameters_ - 0.5 * fitted.aic(X, y, **given))

    with warnings.catch_warnings():
        if mass is not None:  # without rows of this expert the models are the same
            warnings.simplefilter("ignore", CollapsedExpertsWarning)
        fits = [one.fit(X, y, **given) for one, given in zip(models, arguments, strict=True)]
    reached = [log_likelihood(*one) for one in zip(fits, arguments, strict=True)]
    # Each may have missed the maximum that corresponds to that of the other.
    for target, source in ((0, 1), (1, 0)):
        known = {"given": "all"} if persists(models[source].gate) else {}
        known |= {k: v for k, v in arguments[source].items() if k != "sample_weight"}
        resp = fits[source].responsibilities(X, y, **known)
        resp = resp if isinstance(resp, np.ndarray) else resp.rows(rows.unit)
        if mass is not None and target == 0:
            share = SHARE_OF_MASS * (resp[:, [mass]] > 0.0)
            resp = np.delete(resp, mass, axis=1) + NO_PENALTY
            resp /= resp.sum(axis=1, keepdims=True)
        elif mass is not None:
            resp = np.insert(resp * (1.0 - share), [mass], share, axis=1)
        # Experts of one model may be those of the other in any order.
        numbers = range(resp.shape[1])
        in_all_orders = free and target == 0 and len(numbers) <= MAX_ORDERED
        for order in map(list, permutations(numbers) if in_all_orders else [numbers]):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                started = clone(fits[target]).set_params(init=resp[:, order])
                other = started.fit(X, y, **arguments[target])
            found = log_likelihood(other, arguments[target])
            if found > reached[target]:
                fits[target], reached[target] = other, found
    ended = [fitted.converged_ for fitted in fits]
    if not all(ended):
        warn_user(
            f"The fit of the {'larger' if ended[0] else 'smaller'} model has not converged: the "
            "statistic is not that of the maxima. Increase max_iter.",
            ConvergenceWarning,
        )
    test = NestedModelsTest(fits, reached, mass)
    if mass is not None and np.inf in fits[1].families_[mass].atoms:
        test.missed_events = missed_events(bounds_of(y), rows.weight)
    if test.df < 1:
        raise ValueError(
            f"larger must have more parameters than smaller; both have {test.n_parameters[0]:g}. "
            "Give the larger model further features, or free what the smaller one shares."
        )
    return test


def _further_mass(smaller: Any, larger: Any) -> int | None:
    """The only expert of `larger` that `smaller` has not, if it has a single value as "never"."""
    given, own = (listed(getattr(one, "family", None)) for one in (larger, smaller))
    own = own if len(own) > 1 else own * smaller.n_experts
    for k, family in enumerate(given):
        kind = FAMILIES.get(family, PointMass) if isinstance(family, str) else type(family)
        if issubclass(kind, PointMass) and repr([*given[:k], *given[k + 1 :]]) == repr(own):
            return k
    return None


def _with_maximum_likelihood(estimator: Any, rows: Rows) -> Any:
    """A clone without penalties."""
    check_conflicts({NESTED: NESTED} | chosen_options(estimator))
    params = estimator._validate_parameters()
    check_conflicts({NESTED: NESTED} | chosen_rows(params, rows))
    penalties = {"alpha": NO_PENALTY, "gate_alpha": NO_PENALTY}
    if not params.task.is_classification:
        penalties["dispersion_prior"] = 0.0
    gate = params.gate if params.gate.persists else params.gate.with_options({"balance": 0.0})
    return clone(estimator).set_params(**penalties, gate=gate, warm_start=False)


def _check_same(smaller: Any, larger: Any, mass: int | None) -> None:
    """The models must be of one class, with the same experts, but for one of a single value."""
    if smaller.n_experts != larger.n_experts and mass is None:
        raise ValueError(
            f"larger must have the n_experts={smaller.n_experts} of smaller; got {larger.n_experts}"
            ". The statistic of a further expert has no chi-squared distribution: use "
            "n_experts_test. That of an expert of a single value has, as in larger with "
            'family=["never", "weibull"] and smaller with n_experts=1, family="weibull".'
        )
    if type(smaller) is not type(larger):
        raise ValueError(
            f"larger must be a {type(smaller).__name__} as smaller is; got {type(larger).__name__}."
        )
    for name in [name for name in SAME if mass is None or name != "family"]:
        value, other = (getattr(one, name, None) for one in (smaller, larger))
        if repr(value) != repr(other):
            raise ValueError(
                f"larger must have the {name}={shown(value)} of smaller; got {shown(other)}. "
                "Compare such models by their bic."
            )


def _structure(model: Any, rows: Rows) -> Structure:
    """What a model estimates, by the blocks of its mixture."""
    params = model._validate_parameters()
    data = validate_training_data(model, params, rows)
    experts = build_problem(model, params, data).em_problem.mixture.experts
    columns, of_gate = (
        list(range(data.attributes["n_features_in_"])) if chosen is None else list(chosen)
        for chosen in (data.columns["mean"], data.columns["gate"])
    )
    coordinates: dict[Any, int] = {}
    no_feature: list[int | None] = [None]
    for k in range(params.n_experts):
        for block, where in experts.shown(k):
            name, features = getattr(block, "name", ""), no_feature
            if isinstance(block, LinearPredictor):
                own = columns if block.columns is None else [columns[j] for j in block.columns]
                name, features = block.parameter, [*own, None]
            for v, vector in enumerate(where.reshape(-1, len(features))):
                for feature, coordinate in zip(features, vector.tolist(), strict=True):
                    if coordinate >= 0:
                        coordinates[k, v, name, feature] = coordinate
    has_features = params.n_experts > 1 and params.gate.depends_on_features
    gate = {int(j) for j in of_gate} if has_features else set()
    return Structure(coordinates, gate, joblib.hash(params.gate), not experts.are_exchangeable)


def _check_nested(smaller: Structure, larger: Structure) -> None:
    """What the larger model fixes must be fixed in the smaller one."""
    reasons = []
    missing = [key for key in smaller.coordinates if key not in larger.coordinates]
    for _, _, name, feature in missing:
        of = f"the {name}" if name else "the mean"
        on = f"depends on feature {feature}" if feature is not None else "is estimated"
        reasons.append(f"{of} of an expert {on} in smaller only")
    # Coefficients that are equal in larger are equal in smaller.
    of_larger: dict[int, int | None] = {}
    for key, coordinate in larger.coordinates.items():
        own = smaller.coordinates.get(key)
        if of_larger.setdefault(coordinate, own) != own:
            reasons.append("experts share a slope or a dispersion in larger, and not in smaller")
    if not smaller.gate <= larger.gate:
        reasons.append("the gate of smaller has a feature that the gate of larger has not")
    if smaller.gate_kind != larger.gate_kind and smaller.gate:
        reasons.append("the gates are of different kinds")
    if reasons:
        raise ValueError(
            f"larger must contain smaller; {reasons[0]}. Exchange the models, or compare them by "
            "their bic."
        )
