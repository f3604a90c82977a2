"""Likelihood ratios of K against K + 1 experts, and of a mixture that another one contains.

For numbers of experts, ratios are of the data and of targets that are drawn from the K experts.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import permutations
from operator import attrgetter
from typing import Any, NamedTuple

import joblib
import numpy as np
from scipy import sparse
from sklearn.base import clone, is_classifier
from sklearn.exceptions import ConvergenceWarning

from skmoe._data.checks import shown
from skmoe._data.row_checks import class_codes
from skmoe._data.rows import Rows
from skmoe._estimators.fitting.problem import add_extra_features
from skmoe._estimators.methods.coefficient_inference import draw_target
from skmoe._estimators.parameters.conflicts import (
    NESTED,
    TRANSFORMER,
    check_conflicts,
    chosen_options,
)
from skmoe._estimators.parameters.parameters import FitParameters
from skmoe._estimators.parameters.parts import resolve_families
from skmoe._estimators.rows.training_data import TrainingData, chosen_rows, validate_training_data
from skmoe._estimators.selection.n_experts import (
    IncrementalFitter,
    responsibilities_of_rows,
    rows_for,
)
from skmoe._inference.bootstrap import Replicate
from skmoe._inference.n_experts_table import NestedModelsTest
from skmoe._numerics.signed_steps import are_exchangeable, slope_holders
from skmoe._numerics.typing import Array
from skmoe.exceptions import warn_user

# Log-likelihood that EM may leave to be gained, if `tol` times the number of rows is more. Smaller
# differences of log-likelihoods count as none.
MAX_MISSING_LIKELIHOOD = 0.02


# Searches for K + 1 experts with at least the likelihood of K; the second has twice the starts.
MAX_SEARCHES = 2


class Candidate(NamedTuple):
    """A fit and its log-likelihood, without penalties."""

    estimator: Any
    log_likelihood: float


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

    def __init__(self, estimator: Any, n_experts: int, n_rows: int) -> None:
        self.n_experts = n_experts
        self.estimator_type = type(estimator)
        tol = min(estimator.tol, MAX_MISSING_LIKELIHOOD / n_rows)
        changed = {"warm_start": False, "verbose": 0, "n_jobs": 1, "tol": tol}
        # The fits of a likelihood ratio have the same penalties.
        more = clone(estimator).set_params(n_experts=n_experts + 1)._validate_parameters()
        penalties = {
            "gate_alpha" if found.part == "gate" else found.fields[0]: found.value
            for found in more.penalties
            if found.search and found.fields != ("dispersion_alpha",)
        }
        self.options = estimator.get_params(deep=False) | changed | penalties
        self.tolerance = tol * n_rows

    def fit_null(self, data: TrainingData, seed: int) -> Candidate:
        """K experts fitted to the data."""
        return self._best_fit(data, self.n_experts, [self.options["init"]], seed)

    def ratio(self, null: Candidate, data: TrainingData, seed: int) -> LikelihoodRatio:
        """Likelihood ratio of the data, given the fit of K experts to them.

        K + 1 experts start from the K experts with one of them split in two, and as in any fit. If
        their likelihood is smaller than that of K experts, a thorough search follows.
        """
        more = self.n_experts + 1
        fitter = IncrementalFitter(self._estimator({}), data, seed)
        fitter.fitted = null.estimator
        noise = fitter.noise_variance
        starts = [fitter.split_responsibilities(more), self.options["init"]]
        best = self._best_fit(data, more, starts, seed, noise)
        for search in range(1, MAX_SEARCHES):
            if best.log_likelihood >= null.log_likelihood - self.tolerance:
                break
            repeated = self._best_fit(data, more, ["search"], seed + search, noise)
            best = max(best, repeated, key=attrgetter("log_likelihood"))
        gain = best.log_likelihood - null.log_likelihood
        return LikelihoodRatio(
            (null.log_likelihood, best.log_likelihood),
            statistic=2.0 * gain if gain > self.tolerance else 0.0,
            is_failed=gain < -self.tolerance,
            converged=bool(null.estimator.converged_ and best.estimator.converged_),
        )

    def replicate(
        self, null: Candidate, data: TrainingData, seed: np.random.SeedSequence
    ) -> Replicate:
        """The statistic of a target drawn from the fit of K experts."""
        rng = np.random.RandomState(np.random.MT19937(seed))
        rows = rows_for(null.estimator, data)
        y = draw_target(null.estimator, rows, rng)
        if is_classifier(null.estimator):
            y = class_codes(y, data.attributes["classes_"])
        drawn = data._replace(rows=data.rows._replace(y=y))
        start_seed = int(rng.randint(np.iinfo(np.int32).max - MAX_SEARCHES))
        # EM starts with the responsibilities under the parameters from which the target was drawn:
        # the maximum is close to them. A warm start would keep the scale of the target of the first
        # fit, to which the penalties refer.
        init = responsibilities_of_rows(null.estimator, drawn)
        refit = self._best_fit(drawn, self.n_experts, [init], 0)
        ratio = self.ratio(refit, drawn, start_seed)
        return Replicate(ratio.statistic, ratio.is_failed)

    def _best_fit(
        self,
        data: TrainingData,
        n_experts: int,
        starts: Sequence[str | Array],
        seed: int,
        noise_variance: Array | None = None,
    ) -> Candidate:
        """The fit with the largest likelihood among those from given starts."""
        seeds = np.random.SeedSequence(seed).generate_state(len(starts))
        fits = []
        for start, own_seed in zip(starts, seeds, strict=True):
            options = {"n_experts": n_experts, "init": start}
            if not isinstance(start, str) or start == "search":
                options["n_init"] = 1
            options["random_state"] = int(own_seed % np.iinfo(np.int32).max)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                started = data._replace(init=start if isinstance(start, str) else start.T)
                fit = self._estimator(options)._fit(started, noise_variance=noise_variance)
            log_likelihood = fit._fitted.log_density(rows_for(fit, data)).sum()
            fits.append(Candidate(fit, float(log_likelihood)))
        return max(fits, key=attrgetter("log_likelihood"))

    def _estimator(self, options: dict[str, Any]) -> Any:
        return self.estimator_type(**self.options | options)


# What nested models have in common: the rest is of their structure, of the fit, or refused.
SAME = ("expert", "family", "class_weight")

# Penalties of maximum likelihood, which keep matrices regular.
NO_PENALTY = 1e-9

# Relative size of a column, or a singular value, that counts as zero.
SPAN_TOL = 1e-7

# Largest number of experts of which all orders are tried.
MAX_ORDERED = 4


class Structure(NamedTuple):
    """What a mixture estimates."""

    holders: Array  # of the slopes of each expert and feature, (K, p), as in `slope_holders`
    gate: set[int]  # features of the gate
    gate_kind: str  # of its class and options
    gate_columns: Array | None  # centred (n, q), where a gate has a transformer
    of_dispersion: set[int]  # features of the dispersions
    shares_dispersion: bool
    has_covariances: bool
    is_ordered: bool  # whether experts have different slopes


def likelihood_ratio(
    smaller: Any, larger: Any, X: Any, y: Any, given: dict[str, Any]
) -> NestedModelsTest:
    """The test, for validated estimators and arguments of `fit` that are not None."""
    pair = [_with_maximum_likelihood(one, X) for one in (smaller, larger)]
    _check_same(*pair)
    transforms = any(TRANSFORMER in chosen_options(one) for one in pair)
    structures = [_structure(one, X, y, given, transforms) for one in pair]
    _check_nested(*structures)
    fits = [one.fit(X, y, **given) for one in pair]
    reached = [_log_likelihood(one, X, y, given) for one in fits]
    # Each may have missed the maximum that corresponds to that of the other.
    free = structures[0].is_ordered and not structures[1].is_ordered
    free = free and "known_experts" not in given
    unweighted = {name: values for name, values in given.items() if name != "sample_weight"}
    for target, source in ((0, 1), (1, 0)):
        resp = fits[source].responsibilities(X, y, **unweighted)
        resp = resp.rows(given["units"]) if "units" in given else resp
        # Experts of one model may be those of the other in any order.
        numbers = range(resp.shape[1])
        in_all_orders = free and target == 0 and len(numbers) <= MAX_ORDERED
        for order in map(list, permutations(numbers) if in_all_orders else [numbers]):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                other = clone(fits[target]).set_params(init=resp[:, order]).fit(X, y, **given)
            found = _log_likelihood(other, X, y, given)
            if found > reached[target]:
                fits[target], reached[target] = other, found
    ended = [fitted.converged_ for fitted in fits]
    if not all(ended):
        warn_user(
            f"The fit of the {'larger' if ended[0] else 'smaller'} model has not converged: the "
            "statistic is not that of the maxima. Increase max_iter.",
            ConvergenceWarning,
        )
    test = NestedModelsTest(fits, reached)
    if test.df < 1:
        raise ValueError(
            f"larger must have more parameters than smaller; both have {test.n_parameters[0]:g}. "
            "Give the larger model further features, or free what the smaller one shares."
        )
    return test


def _log_likelihood(fitted: Any, X: Any, y: Any, given: dict[str, Any]) -> float:
    return float(fitted.n_parameters_ - 0.5 * fitted.aic(X, y, **given))


def _with_maximum_likelihood(estimator: Any, X: Any) -> Any:
    """A clone without penalties."""
    check_conflicts({NESTED: NESTED} | chosen_options(estimator))
    families = resolve_families(getattr(estimator, "family", "normal"), estimator.n_experts)
    check_conflicts({NESTED: NESTED} | chosen_options(estimator, families))
    penalties = {"alpha": NO_PENALTY, "gate_alpha": NO_PENALTY}
    if "dispersion_prior" in estimator.get_params(deep=False):
        penalties["dispersion_prior"] = 0.0
    gate = estimator._validate_parameters().gate.with_options({"balance": 0.0})
    model = clone(estimator).set_params(**penalties, gate=gate, warm_start=False)
    check_conflicts({NESTED: NESTED} | chosen_rows(model._validate_parameters(), Rows(X)))
    return model


def _check_same(smaller: Any, larger: Any) -> None:
    """The models must be of one class, with the same experts, of which there are as many."""
    if smaller.n_experts != larger.n_experts:
        raise ValueError(
            f"larger must have the n_experts={smaller.n_experts} of smaller; got "
            f"{larger.n_experts}. The statistic of a further expert has no chi-squared "
            "distribution: use n_experts_test."
        )
    if type(smaller) is not type(larger):
        raise ValueError(
            f"larger must be a {type(smaller).__name__} as smaller is; got {type(larger).__name__}."
        )
    for name in SAME:
        value, other = (getattr(one, name, None) for one in (smaller, larger))
        if repr(value) != repr(other):
            raise ValueError(
                f"larger must have the {name}={shown(value)} of smaller; got {shown(other)}. "
                "Compare such models by their bic."
            )


def _structure(model: Any, X: Any, y: Any, given: dict[str, Any], transforms: bool) -> Structure:
    """What a model estimates, by the validated parameters and columns."""
    params = model._validate_parameters()
    weight, offset, units = map(given.get, ("sample_weight", "offset", "units"))
    rows = Rows(X, y, weight, offset, units, possible=given.get("known_experts"))
    data = validate_training_data(model, params, rows)
    n_features, n_experts = data.attributes["n_features_in_"], params.n_experts
    columns, of_gate = (
        np.arange(n_features) if chosen is None else np.asarray(chosen)
        for chosen in (data.columns["mean"], data.columns["gate"])
    )
    holders = np.full((n_experts, n_features), -1)
    has_slopes = np.ones(n_experts, dtype=bool)
    holders[:, columns] = slope_holders(data.slopes, has_slopes, len(columns) + 1)[:, :-1]
    gate = set(of_gate.tolist()) if params.gate.depends_on_features else set()
    return Structure(
        holders,
        gate,
        joblib.hash(params.gate.with_options({"transformer": None})),
        _gate_columns(params, data) if transforms else None,
        set(data.dispersion_features),
        getattr(model, "dispersion", "per_expert") == "shared",
        getattr(model, "covariance_type", "diag") == "full",
        not are_exchangeable(data.slopes),
    )


def _gate_columns(params: FitParameters, data: TrainingData) -> Array:
    """Columns (n, q) of the gate, centred."""
    if not params.gate.depends_on_features:
        return np.empty((data.rows.n_rows, 0))
    if params.gate.transformer is not None:
        data = add_extra_features(params, data)[0]
    chosen = data.columns["gate"]
    X = data.X if chosen is None else data.X[:, chosen]
    columns = X.toarray() if sparse.issparse(X) else np.asarray(X, dtype=np.float64)
    return np.asarray(columns - columns.mean(axis=0))


def _basis(columns: Array) -> Array:
    """An orthonormal basis (n, r) of the span of centred columns (n, q)."""
    norms = np.linalg.norm(columns, axis=0)
    left, values, _ = np.linalg.svd(columns[:, norms > 0.0] / norms[norms > 0.0], False)
    return left[:, values > SPAN_TOL * values.max(initial=0.0)]


def _is_spanned(columns: Array, others: Array) -> bool:
    """Whether centred columns (n, q) are linear combinations of others (n, r)."""
    basis = _basis(others)
    rest = columns - basis @ (basis.T @ columns)
    norms = np.linalg.norm(columns, axis=0)
    return bool((np.linalg.norm(rest, axis=0) <= SPAN_TOL * norms).all())


def _check_nested(smaller: Structure, larger: Structure) -> None:
    """What the larger model fixes must be fixed in the smaller one."""
    reasons = []
    if (smaller.holders[larger.holders < 0] >= 0).any():
        reasons.append("an expert of smaller has a feature that it lacks in larger")
    numbers = np.arange(len(smaller.holders))[:, None]
    shared = larger.holders >= 0
    first = np.where(shared, larger.holders, numbers)
    of_first = np.take_along_axis(smaller.holders, first, axis=0)
    if (smaller.holders != of_first)[shared].any():
        reasons.append("experts share a slope in larger, and not in smaller")
    if smaller.gate_columns is None or larger.gate_columns is None:
        if not smaller.gate <= larger.gate:
            reasons.append("the gate of smaller has a feature that the gate of larger has not")
    elif not _is_spanned(smaller.gate_columns, larger.gate_columns):
        reasons.append(
            "columns of the gate of smaller are no linear combinations of those of larger"
        )
    if smaller.gate_kind != larger.gate_kind and smaller.gate:
        reasons.append("the gates are of different kinds")
    if not smaller.of_dispersion <= larger.of_dispersion:
        reasons.append("dispersions depend on a feature in smaller only")
    if larger.shares_dispersion and not smaller.shares_dispersion:
        reasons.append("experts share dispersions in larger only")
    if smaller.has_covariances and not larger.has_covariances:
        reasons.append("outputs are correlated in smaller only")
    if reasons:
        raise ValueError(
            f"larger must contain smaller; {reasons[0]}. Exchange the models, or compare them by "
            "their bic."
        )
    for name, columns in (("smaller", smaller.gate_columns), ("larger", larger.gate_columns)):
        rank, number = (0, 0) if columns is None else (_basis(columns).shape[1], columns.shape[1])
        if rank < number:
            raise ValueError(
                f"the gate of {name} must have linearly independent columns, whose coefficients "
                f"are counted; its {number} columns have the rank {rank}. Leave one of them out, "
                'as SplineTransformer(include_bias=False) and OneHotEncoder(drop="first") do.'
            )
