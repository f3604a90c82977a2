"""Tests of nested mixtures and intervals of held-out rows, also of mixtures in pipelines."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from itertools import permutations
from typing import Any, NamedTuple

import joblib
import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline
from sklearn.utils.parallel import Parallel, delayed

from skmoe._data.censored_targets import bounds_of, missed_events
from skmoe._data.checks import check_frequencies, check_integer, check_metadata, check_n_jobs, shown
from skmoe._data.rows import Rows
from skmoe._data.sklearn_adapter import final_estimator
from skmoe._data.steps import UnitPipeline
from skmoe._estimators.base import BaseMixtureOfExperts
from skmoe._estimators.fitting.problem import build_problem
from skmoe._estimators.methods.draws import draw_target
from skmoe._estimators.methods.input_steps import fitted_to, held_out_folds, mixture_of
from skmoe._estimators.methods.series import has_series
from skmoe._estimators.parameters.conflicts import (
    DRAWN,
    NESTED,
    check_conflicts,
    chosen_options,
    listed,
)
from skmoe._estimators.rows.training_data import chosen_rows, validate_training_data
from skmoe._inference.comparisons import NestedModelsTest
from skmoe._numerics.typing import Array
from skmoe.distributions import check_coverage
from skmoe.distributions._mixtures import check_random_state
from skmoe.exceptions import CollapsedExpertsWarning, warn_user
from skmoe.families import FAMILIES
from skmoe.families._censored import of_target
from skmoe.families._discrete import PointMass
from skmoe.gates import persists
from skmoe.protocols import LinearPredictor

# Number of draws where the distribution of a statistic is not known.
N_BOOTSTRAP = 99


def likelihood_ratio_test(
    smaller: Any,
    larger: Any,
    X: Any,
    y: Any,
    *,
    sample_weight: Any = None,
    units: Any = None,
    time: Any = None,
    offset: Any = None,
    known_experts: Any = None,
    var_weights: Any = None,
    n_bootstrap: int | None = None,
    n_exceedances: int | None = 10,
    random_state: Any = None,
    n_jobs: int | None = None,
) -> NestedModelsTest:
    """Likelihood-ratio test of a mixture against a larger one with the same number of experts.

    The smaller model is the larger one with some coefficients at zero, or equal: features that an
    expert or the gate lacks, shared slopes, shared or constant dispersions, independent outputs.
    Under the smaller model twice the difference of the log-likelihoods has about a chi-squared
    distribution [1]_, with as many degrees of freedom as the larger model has parameters more.

    The larger model may also have one expert more, of a single value: "never", "zero" or "one", as
    in `family=["never", "weibull"]` against `n_experts=1, family="weibull"`. Then the test asks
    whether there are cured rows, or more zeros than the others explain. A probability of zero lies
    on the border of the parameters. Under `gate="constant"` the statistic has the distribution with
    all degrees of freedom in one half of all tables, and with one fewer in the other half [2]_,
    [3]_. After a long follow-up the test is then conservative: pass `n_bootstrap`. Under a gate
    with features targets are always drawn from the smaller model, and censored as the rows are
    [4]_. The result also has a check whether the
    follow-up is long enough for cures [5]_: it is rough, and often too optimistic.

    Both models are fitted by maximum likelihood: penalties and priors of the estimators do not
    count. Each is fitted from its own starts, and from the responsibilities of the other. See
    "Effects that are zero or equal" in the user guide.

    Parameters
    ----------
    smaller, larger : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
        Linear experts whose parameters differ in `expert_features`, `shared_features`, `gate`,
        `gate_features`, `dispersion`, `dispersion_features` or `covariance_type` only. Both are
        cloned, and not fitted. Two pipelines that end in such mixtures are accepted too, if their
        other steps are the same; these are fitted once.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Features.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Target, also censored; labels for a classifier.
    sample_weight : array-like of shape (n_samples,), default=None
        Whole numbers, which count rows. For sampling weights use `Inference.wald_test`.
    units : array-like of shape (n_samples,), default=None
        Units of the rows, as in `fit`.
    time : array-like of shape (n_samples,), default=None
        Order of the rows of series, as in `fit` with `gate="markov"`. A mixture with
        `gate="constant"` is one without persistence: its rows are independent.
    offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Offset of the linear predictors, as in `fit`.
    known_experts : array-like of shape (n_samples,) or (n_samples, n_experts), default=None
        Experts of rows of which they are known, as in `fit`.
    var_weights : array-like of shape (n_samples,), default=None
        Numbers of values of which each y is the mean, as in `fit`.
    n_bootstrap : int or None, default=None
        Largest number of targets that are drawn from the smaller model, for a p-value by the
        bootstrap. None: 99 where the distribution of the statistic is not known, and no draws
        elsewhere.
    n_exceedances : int or None, default=10
        Number of drawn targets with a statistic at least as large as that of the data after which
        the test stops, as in `n_experts_test`; None draws all of them.
    random_state : int, RandomState instance or None, default=None
        Source of randomness of the draws.
    n_jobs : int, default=None
        Draws to fit in parallel; -1 for all processors, None for one.

    Returns
    -------
    result : NestedModelsTest
        With `statistic`, `df`, `p_value`, `log_likelihoods` and `estimators`. Printed, it is a
        sentence.

    Raises
    ------
    TypeError
        If an estimator is neither a mixture of experts nor a pipeline that ends in one.
    ValueError
        If the models are not nested, or have different numbers of experts or other families. Also
        if one has experts that are not linear, a transformer in its gate, or an option that has no
        likelihood, and if the pipelines differ in their steps.

    Warns
    -----
    ConvergenceWarning
        If a fit has not converged within `max_iter` iterations of its estimator.

    See Also
    --------
    n_experts_test : A test of the number of experts.
    skmoe.inspection.Inference.wald_test : A test of coefficients of one fit.

    References
    ----------
    .. [1] S. S. Wilks (1938), "The large-sample distribution of the likelihood ratio for testing
       composite hypotheses", Annals of Mathematical Statistics 9, 60-62.
    .. [2] S. G. Self and K.-Y. Liang (1987), "Asymptotic properties of maximum likelihood
       estimators and likelihood ratio tests under nonstandard conditions", Journal of the American
       Statistical Association 82, 605-610.
    .. [3] R. A. Maller and X. Zhou (1996), "Survival Analysis with Long-Term Survivors", Wiley,
       chapter 5.
    .. [4] A. C. Davison and D. V. Hinkley (1997), "Bootstrap Methods and their Application",
       Cambridge University Press, section 7.3.
    .. [5] R. A. Maller and S. Zhou (1994), "Testing for sufficient follow-up and outliers in
       survival data", Journal of the American Statistical Association 89, 1499-1506.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.model_selection import likelihood_ratio_test
    >>> rng = np.random.default_rng(0)
    >>> X, regime = rng.normal(size=(300, 2)), rng.random(300) < 0.5
    >>> y = np.where(regime, 3 + X[:, 0], X[:, 0] + X[:, 1]) + 0.3 * rng.normal(size=300)
    >>> larger = MixtureOfExpertsRegressor(2, gate="constant", random_state=0)
    >>> smaller = MixtureOfExpertsRegressor(2, gate="constant", random_state=0, shared_features=[0])
    >>> likelihood_ratio_test(smaller, larger, X, y)
    Likelihood-ratio statistic ..., degrees of freedom 1, p = ...

    Are there cured rows among times of which one in five is infinite?

    >>> from skmoe.data import right_censored
    >>> cured, end = rng.random(300) < 0.2, rng.uniform(1, 4, size=300)
    >>> time = np.where(cured, np.inf, rng.weibull(1.5, size=300))
    >>> seen = right_censored(np.minimum(time, end), time <= end)
    >>> cure = MixtureOfExpertsRegressor(2, family=["never", "weibull"], gate="constant")
    >>> likelihood_ratio_test(MixtureOfExpertsRegressor(1, family="weibull"), cure, X, seen)
    Likelihood-ratio statistic ..., p = ... The model without "never" is rejected at the level of...
    The p-value is the mean of those of 0 and 1 degrees of freedom: ...
    The follow-up is long enough for a plateau (Maller and Zhou 1994: alpha = ...).
    """
    for name, estimator in (("smaller", smaller), ("larger", larger)):
        check_is_mixture(name, estimator)
    first, second = (
        [clone(step, safe=False) for _, step in one.steps[:-1]] if isinstance(one, Pipeline) else []
        for one in (smaller, larger)
    )
    if joblib.hash(first) != joblib.hash(second):
        raise ValueError(
            f"larger must have the steps of smaller before its mixture, here {shown(first)}; got "
            f"{shown(second)}. Leave features out in the mixture, by expert_features or "
            'gate_features, or all of a gate by gate="constant": trajectories(...).set_params('
            'mixture__gate="constant").'
        )
    rows = Rows(X, y, sample_weight, offset, units, possible=known_experts, time=time)
    rows = rows._replace(n_values=var_weights)
    rows, smaller, pipeline = without_steps("likelihood_ratio_test", smaller, rows)
    larger = larger if pipeline is None else larger.steps[-1][1]
    number = N_BOOTSTRAP if n_bootstrap is None else n_bootstrap
    draws = check_draws(number, n_exceedances, random_state)[1], n_exceedances, check_n_jobs(n_jobs)
    test = likelihood_ratio((smaller, larger), rows, draws, n_bootstrap is not None)
    test.estimators = [with_mixture(pipeline, fitted) for fitted in test.estimators]
    return test


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


# --- draws of targets -----------------------------------------------------------------------

# Replicates that a job is given at a time: with one, jobs wait for each other, and of many, more
# are drawn in vain before the test stops.
BATCHES_PER_JOB = 4


class LikelihoodRatio(NamedTuple):
    """Log-likelihoods of K and of K + 1 experts, and twice their difference."""

    log_likelihoods: tuple[float, float]
    statistic: float
    is_failed: bool  # whether no fit of K + 1 experts has the likelihood of K
    converged: bool


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
    (n_jobs, verbose), n_workers, n_larger = jobs, joblib.effective_n_jobs(jobs[0]), 0
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


# --- pipelines, whose steps before the mixture are fitted once -----------------------------------


def check_is_mixture(name: str, estimator: Any) -> None:
    """Raise TypeError for anything but a mixture of this package, or a pipeline with one."""
    last = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    if not isinstance(last, BaseMixtureOfExperts):
        remedy = "Pass an instance, or a pipeline that ends in one."
        if hasattr(last, "estimators"):
            remedy = "The number of models of a stack is that of its list."
        raise TypeError(
            f"{name} must be a MixtureOfExpertsRegressor or MixtureOfExpertsClassifier; got "
            f"{shown(last)}. {remedy}"
        )


def without_steps(name: str, estimator: Any, rows: Rows) -> tuple[Rows, Any, Pipeline | None]:
    """Rows whose features the steps of a pipeline transform, its mixture, and the fitted pipeline.

    The pipeline is None for a mixture alone. One of courses of units needs these. A fitted mixture
    warns, for the function of this name, of arguments of its fit that the refits will lack.
    """
    if isinstance(estimator, UnitPipeline):
        estimator.check_units(rows.unit)
    if not isinstance(estimator, Pipeline):
        if estimator._row_arguments:
            others = "sample_weight", "offset", "units", "var_weights"
            estimator._warn_of_missing(name, rows, *others)
        return rows, estimator, None
    pipeline: Pipeline = clone(estimator)
    if len(pipeline.steps) > 1:
        rows = rows._replace(X=pipeline[:-1].fit_transform(rows.X, rows.y))
    return rows, pipeline.steps[-1][1], pipeline


def with_mixture(pipeline: Pipeline | None, fitted: Any) -> Any:
    """The pipeline with a fitted mixture at its end; the mixture itself for None."""
    if pipeline is None:
        return fitted
    return type(pipeline)([*pipeline.steps[:-1], (pipeline.steps[-1][0], fitted)])


# --- intervals of held-out rows ---


def cross_val_predict_interval(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    coverage: float = 0.9,
    cv: Any = None,
    groups: Any = None,
    sample_weight: Any = None,
    units: Any = None,
    offset: Any = None,
    n_jobs: int | None = None,
) -> Array:
    """Prediction interval of each row by a fit to the rows of other folds.

    `cross_val_predict` of scikit-learn has no such method. The share of the values that are inside
    estimates the coverage of intervals of new rows.

    Parameters
    ----------
    estimator : MixtureOfExpertsRegressor, GatedStackingRegressor, pipeline or search
        One of these, or a pipeline or search that ends in one. It is cloned, and not fitted.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Features.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Target.
    coverage : float, default=0.9
        Probability of y in the interval, in (0, 1), under the model.
    cv : int, splitter or iterable, default=None
        Folds, as in `cross_val_predict`; None for five. Each row must be held out once. An integer
        keeps the rows of a group, or of a unit, in one fold.
    groups : array-like of shape (n_samples,), default=None
        Groups of the rows, for the folds; None for the units.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows in fits.
    units : array-like of shape (n_samples,), default=None
        Units of the rows in fits. Intervals of a unit are those without a history.
    offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Offset of the linear predictors, in fits and predictions.
    n_jobs : int, default=None
        Fits in parallel, through joblib; -1 for all processors, None for one.

    Returns
    -------
    interval : ndarray of shape (n_samples, 2) or (n_samples, 2, n_outputs)
        Lower and upper bounds, in the units of y.

    Raises
    ------
    TypeError
        If the estimator does not end in a mixture or stack for regression.
    ValueError
        If the coverage is outside (0, 1), or the folds do not hold each row out once. Also where
        `fit` or `predict_interval` raises it.

    See Also
    --------
    skmoe.metrics.make_interval_scorers : Coverage and width of held-out intervals as scores.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.model_selection import cross_val_predict_interval
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(-3, 3, size=(200, 1))
    >>> y = np.abs(X[:, 0]) + 0.2 * rng.normal(size=200)
    >>> moe = MixtureOfExpertsRegressor(2, random_state=0)
    >>> low, high = cross_val_predict_interval(moe, X, y, coverage=0.8).T
    >>> float(np.mean((low <= y) & (y <= high)).round(1))
    0.8
    """
    check_coverage(coverage)
    if not hasattr(final_estimator(estimator), "predict_interval"):
        raise TypeError(
            "estimator must be a MixtureOfExpertsRegressor or GatedStackingRegressor, or a "
            f"pipeline or search that ends in one; got {shown(final_estimator(estimator))}. Of "
            'classifiers use cross_val_predict(..., method="predict_proba").'
        )
    if has_series(final_estimator(estimator)) and units is None:
        raise ValueError(
            'estimator must not have gate="markov" without units: folds cut a single series, and '
            "intervals of its rows need earlier ones. Pass units=, or fit to the first rows, and "
            "call predict_interval(X, y=y, time=time) with all rows: it uses earlier y only."
        )
    given = {"groups": groups, "sample_weight": sample_weight, "units": units, "offset": offset}
    arrays = check_metadata(given, X.shape[0] if hasattr(X, "shape") else len(X))
    weight, unit, offset = map(arrays.get, ("sample_weight", "units", "offset"))
    rows = Rows(X, y, weight, offset, unit, arrays.get("groups", unit))
    folds = held_out_folds(cv, rows, "Use make_interval_scorers for other folds.")
    found = Parallel(n_jobs=check_n_jobs(n_jobs))(
        delayed(_intervals)(estimator, rows, coverage, fold) for fold in folds
    )
    return np.concatenate(found)[np.argsort(np.concatenate([test for _, test in folds]))]


def _intervals(estimator: Any, rows: Rows, coverage: float, fold: tuple[Array, Array]) -> Array:
    """Intervals of the test rows of a fold."""
    train, test = fold
    mixture, own = mixture_of(fitted_to(estimator, rows, train)), rows.take(test)
    return np.asarray(mixture.predict_interval(own.X, coverage=coverage, offset=own.offset))
