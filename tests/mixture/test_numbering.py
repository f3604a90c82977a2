"""Experts are numbered by their shares of the rows, and keep the numbers that users have seen."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import Ridge

from skmoe._estimators.fitting.problem import order_by_share
from skmoe.data import RowBlocks
from support.fits import CASES, X, Y, fit_quietly, fitted, fitted_case, regressor
from support.mixtures import linear
from support.tables import steps, two_regimes

# Shares that differ by less than this are equal.
SHARE_RTOL = 1e-3


def assert_descending(share):
    """Shares of experts (S, K) in descending order, but for those that are equal."""
    smallest = np.minimum.accumulate(share, axis=1)
    assert (share <= smallest / (1.0 - SHARE_RTOL)).all(), share


# --- the order ----------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_shares_are_in_descending_order(case):
    moe = fitted_case(case)
    assert_descending(moe.weights_[None])
    if moe.base is None:  # whose predictions in the fit are those of other folds
        _, y, given = CASES[case]
        gate = moe.predict_gate(X, units=given.get("units"))
        if moe.gate == "markov":  # given all rows
            gate = moe.responsibilities(X, y, given="all")
        mean = np.average(gate, axis=0, weights=given.get("sample_weight"))
        assert_allclose(mean, moe.weights_, rtol=1e-9)


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


def test_equal_shares_are_ordered_by_the_values_that_differ_most():
    mixture = linear("normal", n_experts=4).mixture
    of_experts = np.zeros((4, mixture.experts.size // 4))
    of_experts[:, :2] = [[1e-9, 1.0], [-1e-9, 3.0], [2e-9, 2.0], [0.0, 9.0]]
    theta = np.concatenate([of_experts.ravel(), np.zeros(mixture.gate.size)])
    equal = 0.3 * np.array([1.0, 1.0 + 0.5 * SHARE_RTOL, 1.0 - 0.5 * SHARE_RTOL])
    for share, order in (
        ([*equal, 0.1], [1, 2, 0, 3]),
        ([0.2, 0.3, 0.4, 0.1], [2, 1, 0, 3]),
        ([0.0] * 4, [3, 1, 2, 0]),
    ):
        assert order_by_share(mixture, theta, np.array(share)).tolist() == order


def test_rows_in_blocks_give_the_same_numbers():
    in_memory = regressor(init="random", n_init=1).fit(X, Y)
    blocks = RowBlocks(lambda: ((X[i : i + 100], Y[i : i + 100]) for i in range(0, len(Y), 100)))
    in_blocks = regressor(init="random", n_init=1).fit(blocks)
    assert_allclose(in_blocks.weights_, in_memory.weights_, atol=1e-3)
    assert_descending(in_blocks.weights_[None])


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

# An order of the experts within EM that differs from that by share.
SHUFFLED = {"n_init": 1, "init": "random", "random_state": 1}


@pytest.mark.parametrize(
    "case", ["linear-regressor", "linear-classifier", "poisson-regressor", "constant gate", "units"]
)
def test_a_warm_start_keeps_the_numbers(case):
    whole = fitted(case, max_iter=500, **SHUFFLED)
    moe = fitted(case, max_iter=18, tol=0.0, **SHUFFLED)
    before = moe.predict_experts(X)
    _, y, given = CASES[case]
    fit_quietly(moe.set_params(warm_start=True, max_iter=500, tol=1e-4), X, y, **given)
    order = np.argsort(-moe.weights_, kind="stable")
    assert_allclose(moe.lower_bound_, whole.lower_bound_, rtol=1e-9)
    assert_allclose(moe.expert_coef_[order], whole.expert_coef_, atol=1e-4)
    assert_allclose(moe.predict(X), whole.predict(X), rtol=1e-5, atol=1e-5)
    after = moe.predict_experts(X)
    if y.dtype.kind == "f" and case != "units":
        for k in range(3):  # each expert is still the one nearest to itself
            distance = [np.abs(after[:, j] - before[:, k]).mean() for j in range(3)]
            assert np.argmin(distance) == k


def test_saved_fits_continue_as_the_fit_itself():
    moe = fitted("linear-regressor", tol=1e-3, warm_start=True, **SHUFFLED)
    again = pickle.loads(pickle.dumps(moe))
    for estimator in (again, moe):
        estimator.set_params(tol=1e-8).fit(X, Y)
    assert_array_equal(again.expert_coef_, moe.expert_coef_)
    assert_array_equal(again.lower_bounds_, moe.lower_bounds_)


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


def test_warm_starts_of_trees_keep_the_numbers():
    rows, y = steps(150)
    options = {"n_experts": 2, "max_iter": 6, "n_init": 1, "gate_alpha": 0.1}
    for seed in (0, 1):
        moe = regressor(expert="tree", warm_start=True, random_state=seed, **options)
        moe = fit_quietly(moe, rows, y)
        before = moe.predict_gate(rows)[:, 0]
        fit_quietly(moe, rows, y)
        assert np.corrcoef(before, moe.predict_gate(rows)[:, 0])[0, 1] > 0.6


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
