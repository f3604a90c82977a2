"""Experts are numbered by their shares of the rows, and keep the numbers that users have seen."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.linear_model import Ridge

from support.fits import X, Y, fit_quietly, fitted, regressor
from support.tables import two_regimes

# --- the order ----------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["linear-regressor", "linear-classifier", "constant gate"])
def test_starts_that_reach_the_maximum_give_the_same_numbers(case):
    options = {"n_init": 1, "init": "random", "tol": 1e-9, "max_iter": 2000}
    fits = [fitted(case, random_state=seed, **options) for seed in range(4)]
    best = max(fits, key=lambda moe: moe.lower_bound_)
    same = [moe for moe in fits if moe.lower_bound_ > best.lower_bound_ - 1e-6]
    assert len(same) > 1
    for moe in same:
        assert_allclose(moe.weights_, best.weights_, atol=1e-3)
        assert_allclose(moe.expert_coef_, best.expert_coef_, atol=2e-2)
        assert_allclose(moe.gate_intercept_, best.gate_intercept_, atol=0.1)


def test_mirror_images_are_numbered_by_their_parameters():
    x = np.linspace(-3, 3, 100)[:, None]
    slopes = set()
    for seed in range(4):
        moe = regressor(n_experts=2, random_state=seed, n_init=1, init="random")
        slopes.add(tuple(np.sign(moe.fit(x, 1 - np.abs(x[:, 0])).expert_coef_[:, 0])))
        assert_allclose(moe.weights_, 0.5, atol=1e-4)
    assert len(slopes) == 1


# --- the order of the user ----------------------------------------------------------------------


def test_lists_keep_their_order():
    moe = fit_quietly(regressor(expert=["tree", "linear", Ridge()], max_iter=3, n_init=1), X, Y)
    assert type(moe.experts_[0][0]).__name__ == "DecisionTreeRegressor"
    assert "Ridge" in repr(moe.experts_[2][0])
    families = ["uniform", "normal", "student_t"]
    moe = fit_quietly(regressor(family=families, n_init=1), X, Y)
    assert [family.name for family in moe.families_] == families
    assert moe.weights_[0] < moe.weights_[1:].max()  # by its share it would not be the first


def test_initial_responsibilities_keep_their_order():
    side = X[:, 0] < -0.85
    init = np.column_stack([side, ~side]).astype(float)
    moe = regressor(n_experts=2, init=init).fit(X, Y)
    assert moe.weights_[0] < 0.4
    assert moe.apply(X)[side].mean() < 0.1


# --- the order of the fit that is continued -----------------------------------------------------


def test_numbers_stay_when_shares_change():
    """A warm start and a stream on rows of which the smallest regime has become the largest."""
    moe = fitted("linear-regressor", warm_start=True)
    smallest = X[:, 0] < -0.85
    weight = np.where(smallest, 20.0, 1.0)
    again = pickle.loads(pickle.dumps(moe)).fit(X, Y, sample_weight=weight)
    assert again.weights_.argmax() == 2
    assert_allclose(again.expert_coef_, moe.expert_coef_, atol=0.1)
    anew = clone(moe).set_params(warm_start=False).fit(X, Y, sample_weight=weight)
    assert anew.weights_.argmax() == 0
    stream = pickle.loads(pickle.dumps(moe)).partial_fit(X[smallest], Y[smallest])
    assert stream.weights_.argmax() == 2
    assert_allclose(stream.expert_coef_, moe.expert_coef_, atol=0.5)


def test_streams_keep_the_numbers_when_they_start_again():
    """Experts of a new start, in any order, are matched with those before."""
    rows, y = two_regimes(400)
    orders = set()
    for seed in range(5):
        moe = regressor(n_experts=2, n_init=1, init="random", random_state=seed)
        slopes = moe.partial_fit(rows[:100], y[:100]).expert_coef_
        orders.add(slopes[:, 0].argmax())
        moe.partial_fit(rows[100:], y[100:])  # the rows have more than doubled
        assert_allclose(moe.expert_coef_, slopes, atol=1.0)  # regimes differ by 2 to 4
    assert len(orders) == 2
