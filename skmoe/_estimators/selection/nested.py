"""The likelihood-ratio test of two mixtures, of which one is nested in the other."""

from __future__ import annotations

import warnings
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skmoe._data.checks import shown
from skmoe._data.rows import Rows
from skmoe._estimators.fitting.attributes import warn_user
from skmoe._estimators.parameters.conflicts import NESTED, check_conflicts, chosen_options
from skmoe._estimators.parameters.part_parameters import resolve_families
from skmoe._estimators.rows.training_data import chosen_rows, validate_training_data
from skmoe._inference.nested_test import NestedModelsTest
from skmoe._numerics.shared_slopes import are_exchangeable, slope_holders
from skmoe._numerics.typing import Array

# What nested models have in common: the rest is of their structure, of the fit, or refused.
SAME = ("expert", "family", "gate_aggregate", "class_weight")

SLOPE_PENALTIES = {"alpha", "gate_alpha", "dispersion_alpha"}

# Penalties of maximum likelihood, which keep matrices regular.
NO_PENALTY = 1e-9

# Largest number of experts of which all orders are tried.
MAX_ORDERED = 4


class Structure(NamedTuple):
    """What a mixture estimates."""

    holders: Array  # of the slopes of each expert and feature, (K, p), as in `slope_holders`
    gate: set[int]  # features of the gate
    gate_kind: Any
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
    structures = [_structure(one, X, y, given) for one in pair]
    _check_nested(*structures)
    fits = [one.fit(X, y, **given) for one in pair]
    reached = [_log_likelihood(one, X, y, given) for one in fits]
    # Each may have missed the maximum that corresponds to that of the other.
    free = structures[0].is_ordered and not structures[1].is_ordered
    unweighted = {name: values for name, values in given.items() if name != "sample_weight"}
    for target, source in ((0, 1), (1, 0)):
        resp = fits[source].responsibilities(X, y, **unweighted)
        resp = resp.rows(given["units"]) if "units" in given else resp
        # Experts of one model may be those of the other in any order.
        numbers = range(resp.shape[1])
        in_all_orders = free and target == 0 and len(numbers) <= MAX_ORDERED
        for order in map(list, permutations(numbers) if in_all_orders else [numbers]):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
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
    names = {*estimator.get_params(deep=False)}
    penalties = dict.fromkeys(SLOPE_PENALTIES & names, NO_PENALTY)
    if "dispersion_prior" in names:
        penalties["dispersion_prior"] = 0.0
    model = clone(estimator).set_params(**penalties, balance=0.0, warm_start=False)
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


def _structure(model: Any, X: Any, y: Any, given: dict[str, Any]) -> Structure:
    """What a model estimates, by the validated parameters and columns."""
    params = model._validate_parameters()
    weight, offset = given.get("sample_weight"), given.get("offset")
    data = validate_training_data(model, params, Rows(X, y, weight, offset, given.get("units")))
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
        type(params.gate),
        set(columns[list(data.dispersion_columns)].tolist()),
        getattr(model, "dispersion", "per_expert") == "shared",
        getattr(model, "covariance_type", "diag") == "full",
        not are_exchangeable(data.slopes),
    )


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
    if not smaller.gate <= larger.gate:
        reasons.append("the gate of smaller has a feature that the gate of larger has not")
    if smaller.gate_kind is not larger.gate_kind and smaller.gate:
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
