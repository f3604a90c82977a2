"""Refits of the bootstrap, clusters, and rows that are not those of the fit."""

import copy

import numpy as np
import pytest
from cases import CLASSES, UNITS, X, Y, classifier, fitted_case, regressor
from numpy.testing import assert_allclose, assert_array_equal
from regimes import quiet

from skmoe._estimators.fit_rows import describe_other_rows
from skmoe._estimators.refits import make_refit
from skmoe._inference.bootstrap import sample_classes
from skmoe._inference.coefficients import make_layout

WEIGHT = np.random.default_rng(3).uniform(0.5, 2.0, size=len(Y))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("make", "y"), [(regressor, Y), (classifier, CLASSES)])
def test_a_refit_continues_from_the_fit_with_a_target_that_is_drawn(make, y, weighted):
    weight = WEIGHT if weighted else None
    moe = quiet(make(n_experts=2, max_iter=40), X, y, sample_weight=weight)
    rows = moe._validate_rows(X, y, weight)
    layout = make_layout(moe._fitted, moe._response_names())
    seed = np.random.SeedSequence(5)
    refit = make_refit(moe, layout, rows)(seed)
    rng = np.random.RandomState(np.random.MT19937(seed))
    if make is regressor:
        target = moe.sample(X, 1, rng)[:, 0]
    else:
        target = moe.classes_[sample_classes(moe.predict_proba(X), rng)]
    other = copy.copy(moe).set_params(warm_start=True, n_init=1)
    other = quiet(other, X, target, sample_weight=weight)
    assert set(refit.attributes) >= {"expert_coef_", "expert_intercept_", "gate_coef_"}
    for name, values in refit.attributes.items():
        assert_array_equal(values, getattr(other, name))
    assert_array_equal(refit.responsibilities, other.responsibilities(X, y).T)


# --- clusters ---------------------------------------------------------------------------------


def test_clusters_of_rows_of_weight_zero_do_not_count():
    moe = fitted_case("two experts")
    weight = np.tile([1.0, 0.0, 2.0], 100)
    clusters = np.where(np.arange(300) % 3 == 1, 1000 + np.arange(300), np.arange(300) // 10)
    moe = quiet(copy.copy(moe), X, Y, sample_weight=weight)
    kept = weight > 0.0
    whole = moe.inference(X, Y, weight, method="sandwich", cluster=clusters)
    part = moe.inference(X[kept], Y[kept], weight[kept], method="sandwich", cluster=clusters[kept])
    assert_allclose(whole.covariance, part.covariance, rtol=1e-6, atol=1e-12)


def test_clusters_of_units_of_weight_zero_do_not_count():
    weight = np.tile([1.0, 2.0, 0.0, 0.0, 0.0, 1.0], 50)
    moe = regressor(n_experts=2, gate_aggregate="mean")
    moe = quiet(moe, X, Y, sample_weight=weight, units=UNITS)
    clusters = UNITS // 5
    kept = weight > 0.0
    whole = moe.inference(X, Y, weight, method="sandwich", cluster=clusters, units=UNITS)
    part = moe.inference(
        X[kept], Y[kept], weight[kept], method="sandwich", cluster=clusters[kept], units=UNITS[kept]
    )
    assert_allclose(whole.covariance, part.covariance, rtol=1e-6, atol=1e-12)


def test_two_clusters_are_several():
    moe = fitted_case("two experts")
    halves = np.where(X[:, 1] > 0.0, "up", "down")
    assert moe.inference(X, Y, method="sandwich", cluster=halves).covariance.any()
    with pytest.raises(ValueError, match="at least two distinct labels"):
        moe.inference(X, Y, method="sandwich", cluster=np.repeat("up", len(Y)))


# --- other rows -------------------------------------------------------------------------------


def test_estimates_are_those_of_the_fit_for_any_rows():
    """EM is continued to the maximum on the rows of the fit, and on no others."""
    moe = quiet(regressor(n_experts=2, max_iter=8), X, Y)
    first, other = moe.inference(X, Y), moe.inference(X[::2] + 0.1, Y[::2])
    assert [str(term) for term in first.terms] == [str(term) for term in other.terms]
    slopes = [term.name == "x1" and term.part == "expert 0" for term in other.terms]
    assert sum(slopes) == 1
    assert_allclose(other.estimates[slopes], moe.expert_coef_[0, 1])


def test_estimates_of_the_rows_of_the_fit_are_at_the_maximum():
    moe = quiet(regressor(n_experts=2, n_init=1, max_iter=4), X, Y)
    maximum = quiet(copy.copy(moe).set_params(warm_start=True, max_iter=2000, tol=1e-12), X, Y)
    estimates = moe.inference(X, Y).estimates
    assert_allclose(estimates, maximum.inference(X, Y).estimates, rtol=1e-3, atol=1e-3)
    assert np.abs(estimates[1:3] - moe.expert_coef_[0]).max() > 2e-3


@pytest.mark.parametrize("top_k", [None, 1, 2])
def test_rows_of_a_routed_fit_are_known_again(top_k):
    moe = quiet(regressor(top_k=top_k, max_iter=10), X, Y, sample_weight=WEIGHT)
    assert describe_other_rows(moe, moe._validate_rows(X, Y, WEIGHT)) == ""
    heavier = describe_other_rows(moe, moe._validate_rows(X, Y, 2.0 * WEIGHT))
    assert f"weight is {2.0 * WEIGHT.sum():g}, in the fit {WEIGHT.sum():g}" in heavier
    assert "lower bound" in describe_other_rows(moe, moe._validate_rows(X, Y[::-1], WEIGHT))
