"""Routing to few experts, and balance between experts."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.tree import DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.gates import SoftmaxGate
from support.fits import fit_quietly, loads
from support.tables import crossing_lines, flipping_classes, steps


@pytest.mark.parametrize("expert", ["linear", "tree"])
@pytest.mark.parametrize("task", ["regressor", "classifier"])
def test_top_k_sends_each_row_to_few_experts(task, expert):
    if task == "regressor":
        make, (X, y) = MixtureOfExpertsRegressor, steps(120)
    else:
        make, (X, y) = MixtureOfExpertsClassifier, flipping_classes(120, 3)
    moe = make(
        4,
        expert=expert,
        gate=SoftmaxGate(top_k=2),
        n_init=1,
        cross_fit=2,
        max_iter=6,
        random_state=0,
    )
    fit_quietly(moe, X, y)
    assert np.diff(moe.lower_bounds_).min(initial=0.0) > -1e-10
    gate = moe.predict_gate(X)
    assert ((gate > 0).sum(axis=1) == 2).all()
    assert_allclose(gate.sum(axis=1), 1.0)
    mean = np.einsum("nk,nk...->n...", gate, moe.predict_experts(X))
    assert_allclose(moe.predict(X) if task == "regressor" else moe.predict_proba(X), mean)
    assert ((moe.responsibilities(X, y) > 0).sum(axis=1) <= 2).all()
    assert_array_equal(loads(moe), (gate > 0).sum(axis=0))
    assert_allclose(moe.weights_, gate.mean(axis=0))
    one = fit_quietly(clone(moe).set_params(gate=SoftmaxGate(top_k=1)), X, y)
    assert_array_equal(one.predict_gate(X).max(axis=1), 1.0)
    assert set(np.unique(one.responsibilities(X, y))) == {0.0, 1.0}
    dense, plain = (
        fit_quietly(clone(moe).set_params(gate=SoftmaxGate(top_k=k)), X, y) for k in (4, None)
    )
    assert_allclose(dense.predict_gate(X), plain.predict_gate(X), atol=1e-6)


@pytest.mark.parametrize("top_k", [1, 2])
def test_a_routed_fit_that_has_converged_is_at_a_maximum(top_k):
    """Where many more iterations do not increase the log-likelihood."""
    X, y = crossing_lines(150)
    options = {"alpha": 0.1, "gate_alpha": 1.0, "max_iter": 500, "random_state": 0, "tol": 1e-3}
    options |= {"n_init": 2}
    moe = fit_quietly(MixtureOfExpertsRegressor(3, gate=SoftmaxGate(top_k=top_k), **options), X, y)
    assert moe.converged_
    bound = moe.lower_bound_
    fit_quietly(moe.set_params(warm_start=True, tol=0.0, max_iter=200), X, y)
    assert 0.0 <= 150 * (moe.lower_bound_ - bound) < 1e-4


class Counting(DecisionTreeRegressor):
    """A tree that counts the rows it is asked about."""

    asked = 0

    def predict(self, X):
        Counting.asked += len(X)
        return super().predict(X)


def test_routed_predictions_ask_experts_about_their_own_rows_only():
    X, y = steps(100)
    moe = MixtureOfExpertsRegressor(
        6, expert=Counting(), gate=SoftmaxGate(top_k=2), n_init=1, max_iter=2, random_state=0
    )
    fit_quietly(moe, X, y)
    Counting.asked = 0
    moe.predict(X)
    assert Counting.asked == 2 * 5 * len(y)  # five models of each of two experts
    Counting.asked = 0
    moe.predict_experts(X)
    assert Counting.asked == 6 * 5 * len(y)


def test_balance_gives_a_starved_expert_rows_and_costs_likelihood():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(600, 2))
    y = np.where(X[:, 0] > 0, 3 * X[:, 1], -3 * X[:, 1]) + 0.5 * rng.normal(size=600)
    init = np.column_stack([X[:, 0] > 0, X[:, 0] <= 0, np.full(600, 1e-6)])
    options = {"init": init / init.sum(axis=1, keepdims=True), "alpha": 0.1, "gate_alpha": 1.0}
    plain = fit_quietly(MixtureOfExpertsRegressor(3, **options), X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        even = MixtureOfExpertsRegressor(3, gate=SoftmaxGate(balance=0.5), **options).fit(X, y)
    assert even.weights_.min() > 0.1 > plain.weights_.min()
    assert np.diff(even.lower_bounds_).min() > -1e-10
    likelihood = [moe.score_samples(X, y).sum() for moe in (plain, even)]
    assert likelihood[1] < likelihood[0] + 5
