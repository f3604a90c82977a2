"""Slopes that all experts share: one number, one parameter, and a constraint on the likelihood."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skmoe import MixtureOfExpertsRegressor
from skmoe.families import FAMILIES
from support.expert_kinds import draw, options_of
from support.fits import fit_quietly

FIXED = {"alpha": 0.1, "gate_alpha": 1.0, "n_init": 1, "random_state": 0}


def table(name, n_rows):
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, size=(n_rows, 2))
    return X, draw(name, 1.0 + np.abs(X[:, 0]), rng, (0.1, 4.0))


def test_shared_slope_is_one_parameter_that_is_listed_once():
    X, y = table("poisson", 200)
    free, moe = (
        MixtureOfExpertsRegressor(2, family="poisson", shared_features=features, **FIXED).fit(X, y)
        for features in (None, [1])
    )
    assert moe.expert_coef_[0, 1] == moe.expert_coef_[1, 1]
    assert moe.expert_coef_[0, 0] != moe.expert_coef_[1, 0]
    assert moe.n_parameters_ == free.n_parameters_ - 1
    before, after = str(moe.summary(X, y)).split("\nCommon to all experts\n")
    shared, gate = after.split("\nGate: ")
    # Once with its estimate, and once as a ratio.
    assert [part.count("\n  x1 ") for part in (before, shared, gate)] == [0, 2, 2]
    assert "\n  x0 " not in shared


@pytest.mark.parametrize("name", [name for name in FAMILIES if FAMILIES[name].link])
def test_single_expert_shares_its_slopes_with_nobody(name):
    X, y = table(name, 100)
    options = FIXED | options_of(name) | {"tol": 1e-12, "max_iter": 1000, "alpha": 2.0}
    one, shared = (
        fit_quietly(MixtureOfExpertsRegressor(1, shared_features=features, **options), X, y)
        for features in (None, [0, 1])
    )
    assert_allclose(shared.expert_coef_, one.expert_coef_, rtol=1e-5, atol=1e-7)
    assert_allclose(shared.lower_bound_, one.lower_bound_, rtol=1e-8)


def test_likelihood_ratio_of_true_shared_slopes_is_small():
    """Twice the loss is a chi-squared variable of two degrees of freedom."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(1000, 2))
    level = np.where(rng.uniform(size=1000) < 0.5, 0.0, 2.0)
    y = draw("gamma", level + X @ [0.5, -0.3], rng, (0.05,))
    options = FIXED | {"gate": "constant", "alpha": 0.0, "tol": 1e-9, "n_init": 3}
    free, shared = (
        MixtureOfExpertsRegressor(2, family="gamma", shared_features=features, **options).fit(X, y)
        for features in (None, [0, 1])
    )
    gain = 2 * len(y) * (free.score_samples(X, y).mean() - shared.score_samples(X, y).mean())
    assert 0.0 < gain < 15.0
    assert_allclose(shared.expert_coef_[0], [0.5, -0.3], atol=0.05)


def test_the_experts_of_a_shared_slope_may_be_a_mask():
    X, y = table("normal", 60)
    options = {"n_experts": 3, "max_iter": 20} | FIXED
    found, expected = (
        fit_quietly(MixtureOfExpertsRegressor(shared_features={0: sharing}, **options), X, y)
        for sharing in ([True, False, True], [0, 2])
    )
    assert_allclose(found.expert_coef_, expected.expert_coef_)
    assert found.expert_coef_[0, 0] == found.expert_coef_[2, 0] != found.expert_coef_[1, 0]
