"""Experts that have lost their rows start again on the rows that are explained worst."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skmoe import MixtureOfExpertsRegressor
from skmoe.data import RowBlocks
from support.fits import fit_quietly


def two_lines(seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(60, 2))
    return X, np.where(X[:, 0] > 0, X[:, 1], -X[:, 1]) + 0.1 * rng.normal(size=60)


def from_two_experts(X, **options):
    """A mixture that starts with an expert for each line, and one without rows."""
    init = np.column_stack([X[:, 0] > 0, X[:, 0] <= 0, np.zeros(len(X))]).astype(float)
    given = {"init": init, "gate": "constant", "dispersion_prior": 0.01, "alpha": 0.1}
    return MixtureOfExpertsRegressor(3, **given | options)


@pytest.mark.parametrize("way", ["rows", "units", "blocks"])
def test_a_collapsed_expert_gets_the_rows_of_the_lowest_likelihood(way):
    """Six outliers, which the two lines do not explain."""
    X, y = two_lines()
    y[:6] += 8.0
    moe, given, outliers = from_two_experts(X, max_iter=200), {}, np.arange(6)
    if way == "units":
        given["units"], outliers = np.arange(60) // 2, np.arange(3)
        X[1::2, 0] = np.abs(X[1::2, 0]) * np.sign(X[::2, 0])
        y = np.where(X[:, 0] > 0, X[:, 1], -X[:, 1])
        y = y + 0.1 * np.random.default_rng(1).normal(size=60) + 8.0 * (np.arange(60) < 6)
        moe = from_two_experts(X, max_iter=200)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no expert has collapsed in the end
        warnings.filterwarnings("ignore", "EM did not converge")
        if way == "blocks":
            moe.set_params(init="random", n_init=4, random_state=0)
            moe.fit(RowBlocks.from_arrays(X, y))
        else:
            moe.fit(X, y, **given)
    found = moe.responsibilities(X, y, **given)
    resp = found if way != "units" else found.proba
    outlying = resp[outliers].mean(axis=0)
    own = outlying.argmax()  # the third expert or, where it has driven another out, that one
    assert outlying[own] > 0.99
    assert np.delete(resp, outliers, axis=0)[:, own].mean() < 0.1
    assert (
        moe.lower_bound_ > fit_quietly(from_two_experts(X, max_iter=1), X, y, **given).lower_bound_
    )


def test_a_new_start_has_the_rows_of_the_lowest_likelihood_at_once():
    """After one iteration, with the share of the weight that the expert is of all experts."""
    X, y = two_lines()
    y[:6] += 8.0
    moe = fit_quietly(from_two_experts(X, max_iter=1), X, y)
    resp = moe.responsibilities(X, y)
    assert resp[:6, 2].min() > 0.9
    assert resp[6:, 2].mean() < 0.2


def test_a_new_start_that_is_worse_is_dropped():
    """Without outliers the two lines explain all rows, and one more iteration is too few."""
    X, y = two_lines()
    three = from_two_experts(X, max_iter=1)
    two = from_two_experts(X, max_iter=1).set_params(n_experts=2, init=three.init[:, :2])
    fits = [fit_quietly(moe, X, y).lower_bound_ for moe in (three, two)]
    assert_allclose(fits[0], fits[1], atol=0.01)


@pytest.mark.parametrize("weight", [1.0, 10.0])
def test_experts_have_collapsed_if_the_weight_of_their_rows_is_small(weight):
    """One row of weight one is too few for an expert, and one of weight ten is not."""
    y = np.zeros(40)
    y[0] = 10.0
    weights = np.where(y > 0.0, weight, 1.0)
    init = np.column_stack([y == 0.0, y > 0.0]).astype(float)
    options = {"gate": "constant", "expert_features": [], "init": init, "max_iter": 30}
    moe = MixtureOfExpertsRegressor(2, dispersion_prior=0.1, **options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        moe.fit(np.zeros((40, 1)) + np.arange(40.0)[:, None], y, sample_weight=weights)
    words = [str(warning.message) for warning in caught]
    assert any("collapsed" in text for text in words) == (weight == 1.0)
