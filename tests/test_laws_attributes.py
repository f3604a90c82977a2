"""Attributes of a fit, and the warnings that it ends with."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from cases import ALL_CASES, UNITS, X, Y, classifier, fitted_case, regressor, short_fit
from numpy.testing import assert_allclose, assert_array_equal
from regimes import quiet
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import QuantileRegressor, Ridge

from skmoe._estimators.attributes import (
    warn_collapsed,
    warn_convergence,
    warn_dispersion_at_bound,
    warn_half_life,
    warn_special_losses,
)
from skmoe._numerics.collapse import is_collapsed


def messages(function, *arguments):
    """Kinds and texts of the warnings of a call."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        function(*arguments)
    return [(warning.category, str(warning.message)) for warning in found]


# --- attributes -------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ALL_CASES)
def test_attributes_are_there_if_they_have_a_meaning(case):
    moe, (given, _, _) = short_fit(case), ALL_CASES[case]
    experts = moe._fitted.model.experts
    assert getattr(moe, "link_", "") == experts.link
    assert hasattr(moe, "link_") == bool(experts.link)
    assert (moe.base_ is None) == (given.base is None)
    if given.base is not None:
        assert type(moe.base_) is type(given.base)
        assert moe.base_.predict(X).shape == (len(X),)
    whole = float(moe.n_parameters_).is_integer()
    assert type(moe.n_parameters_) is (int if whole else float)
    averaged = given.combine == "average"
    has_gate = given.gate == "softmax" and given.n_experts != 1
    assert hasattr(moe, "gate_alpha_") == (has_gate and not averaged)
    if averaged:
        assert not hasattr(moe, "alpha_")


def test_penalties_of_features_are_arrays_with_infinity_for_dropped_ones():
    moe = fitted_case("found penalties")
    assert isinstance(moe.alpha_, float)
    assert moe.gate_alpha_.shape == moe.gate_coef_.shape[1:]
    dropped = fitted_case("a feature that is dropped")
    assert_array_equal(np.isinf(dropped.alpha_), dropped.expert_coef_[0] == 0.0)
    assert np.isinf(dropped.alpha_).any()


def test_lower_bounds_of_starts_are_in_the_units_of_the_target():
    options = {"n_experts": 2, "max_iter": 5}
    one, other = (quiet(regressor(**options), X, factor * Y) for factor in (1.0, 8.0))
    for name in ("start_lower_bounds_", "lower_bounds_", "lower_bound_"):
        assert_allclose(getattr(other, name), getattr(one, name) - np.log(8.0), atol=1e-6)
    for trace, scaled in zip(one.start_traces_, other.start_traces_, strict=True):
        assert_allclose(scaled, trace - np.log(8.0), atol=1e-6)


# --- selected numbers -------------------------------------------------------------------------


@pytest.mark.parametrize("n_experts", ["auto", "bic"])
def test_a_selected_number_limits_the_experts_of_a_row(n_experts):
    options = {"n_init": 1, "max_iter": 10}
    groups = {"groups": np.arange(90) // 10} if n_experts == "auto" else {}
    for top_k in (1, 5):
        moe = regressor(n_experts=n_experts, top_k=top_k, **options)
        moe = quiet(moe, X[:90], Y[:90], **groups)
        assert moe._fitted.model.top_k == min(top_k, moe.n_experts_)
        assert (moe.n_experts, moe.top_k) == (n_experts, top_k)
        assert moe.n_experts_ in moe.n_experts_tried_
        assert hasattr(moe, "n_experts_score_errors_") == (n_experts == "auto")


# --- the gate of units ------------------------------------------------------------------------


def test_gates_of_units_are_the_same_in_all_rows_of_a_unit():
    moe = fitted_case("units")
    probs = moe.predict_gate(X, units=UNITS)
    assert_array_equal(probs[::2], probs[1::2])
    means = (X[::2] + X[1::2]) / 2.0
    assert_allclose(probs[::2], moe.predict_gate(means), atol=1e-12)
    assert not np.allclose(probs, moe.predict_gate(X))


# --- warnings ---------------------------------------------------------------------------------


# Each iteration gains a tenth of what remains.
BOUNDS = tuple((1.0 - 0.9 ** np.arange(40)).tolist())


def run_of(bounds=BOUNDS, earlier=0, **changes):
    run = {"line_search_failed": False, "converged": False, "n_earlier_iter": earlier}
    return SimpleNamespace(**run | {"lower_bounds": list(bounds)} | changes)


@pytest.mark.parametrize(
    ("run", "max_iter", "text"),
    [
        (run_of(), 40, "is about"),
        (run_of(), 41, ""),
        (run_of(earlier=1), 41, "is about"),
        (run_of(), 30, "is about"),
        (run_of(converged=True), 40, ""),
        (run_of(bounds=(0.0,)), 1, "cannot be estimated"),
        (run_of(line_search_failed=True), 100, "no step increases"),
        (run_of(line_search_failed=True, converged=True), 100, "no step increases"),
    ],
)
def test_fits_that_end_early_say_so(run, max_iter, text):
    found = messages(warn_convergence, run, max_iter, 1e-4)
    assert len(found) == bool(text)
    for category, message in found:
        assert category is ConvergenceWarning
        assert text in message
    if text == "is about":
        gap = f"{0.9**39:.1e}"
        assert f"max_iter={max_iter} iterations: the remaining gain is about {gap}" in found[0][1]


def test_experts_without_rows_are_named():
    names = ["low", "middle", "high"]
    assert messages(warn_collapsed, np.array([40.0, 30.0, 30.0]), names) == []
    mass = np.array([60.0, 1e-9, 40.0])
    assert_array_equal(is_collapsed(mass), [False, True, False])
    ((category, message),) = messages(warn_collapsed, mass, names)
    assert category is UserWarning
    assert "middle (1e-09 of 100 rows)" in message
    assert "low" not in message
    ((_, both),) = messages(warn_collapsed, np.array([1e-9, 0.0, 100.0]), names)
    assert "low (1e-09 of 100 rows), middle (0 of 100 rows)" in both


def test_a_half_life_has_no_place_in_a_fit():
    assert messages(warn_half_life, None) == []
    for value in (0.5, 1000):
        ((category, message),) = messages(warn_half_life, value)
        assert category is UserWarning
        assert message.startswith(f"half_life={value!r} is for partial_fit")


@pytest.mark.parametrize(
    ("options", "loss"),
    [
        ({}, ""),
        ({"expert": "tree"}, ""),
        ({"expert": Ridge()}, ""),
        ({"expert": QuantileRegressor()}, "QuantileRegressor()"),
        ({"expert": ["tree", Ridge(), QuantileRegressor()]}, "QuantileRegressor()"),
        (
            {"expert": [QuantileRegressor(), GradientBoostingRegressor(loss="quantile"), "tree"]},
            "Qu",
        ),
        ({"expert": GradientBoostingRegressor(loss="quantile")}, "quantile"),
    ],
)
def test_experts_with_another_loss_than_that_of_normal_noise_are_named(options, loss):
    found = messages(warn_special_losses, regressor(**options)._validate_parameters())
    assert len(found) == bool(loss)
    assert all(loss in message and "normal noise" in message for _, message in found)


def test_experts_with_a_density_or_of_classes_have_no_loss_of_normal_noise():
    members = [regressor(n_experts=2), Ridge()]
    stack = regressor(n_experts=2, expert=members, specialize=False)
    assert messages(warn_special_losses, stack._validate_parameters()) == []
    assert messages(warn_special_losses, classifier(expert="tree")._validate_parameters()) == []


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ([False, False, False], ""),
        ([True, False, True], "low, high"),
        ([False, True, False], "middle"),
        ([True, True, True], ""),
    ],
)
def test_some_experts_whose_noise_is_at_its_floor_are_named(flags, named):
    experts = SimpleNamespace(dispersion_at_bound=lambda params: np.array(flags))
    fitted = SimpleNamespace(
        model=SimpleNamespace(experts=experts), params=SimpleNamespace(experts=None)
    )
    found = messages(warn_dispersion_at_bound, fitted, ["low", "middle", "high"])
    assert len(found) == bool(named)
    assert all(f"at its floor: {named}." in message for _, message in found)
