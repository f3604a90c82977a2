"""Experts and gates of users are parts of a mixture, as those of linear predictors are."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skmoe import MixtureOfExpertsRegressor
from skmoe.data import RowBlocks
from support.own_parts import ReferenceGate, Regression
from support.tables import two_regimes


@pytest.mark.parametrize("gate", ["softmax", ReferenceGate(alpha=0.0)], ids=str)
def test_a_regression_of_ones_own_reaches_the_maximum_of_linear_experts(gate):
    X, y = two_regimes(400)
    weight = np.random.default_rng(0).uniform(0.5, 1.5, size=400)
    parts = slice(0, 150), slice(150, 400)
    blocks = RowBlocks(lambda: ((X[rows], y[rows], weight[rows]) for rows in parts))
    options = {"init": "linear_tree", "n_init": 1, "tol": 1e-11, "max_iter": 3000}
    options |= {"alpha": 0.0, "gate_alpha": 0.0, "random_state": 0}
    linear = MixtureOfExpertsRegressor(2, dispersion_prior=0.0, **options).fit(blocks)
    own = MixtureOfExpertsRegressor(2, expert=Regression(), gate=gate, **options).fit(blocks)
    assert linear.converged_
    assert own.converged_
    assert min(np.diff(own.lower_bounds_)) > -1e-10
    assert_allclose(own.lower_bound_, linear.lower_bound_, rtol=0, atol=1e-10)
    order = np.argsort(own.weights_)[::-1]  # that linear experts have by themselves
    assert_allclose(own.predict_experts(X)[:, order], linear.predict_experts(X), atol=1e-6)
