"""Fits with a small tolerance: Newton's steps, and not EM, lead there."""

import warnings

import numpy as np
from scipy import sparse
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning

from skmoe import MixtureOfExpertsRegressor


def visits():
    """Counts of two kinds of people and of those who never come: a flat likelihood."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(800, 3))
    kind = rng.choice(3, p=[0.5, 0.3, 0.2], size=800)
    mean = np.exp(np.select([kind == 1, kind == 2], [0.3 * X[:, 0], 1.0 + 0.4 * X[:, 1]], -np.inf))
    return X, rng.poisson(mean * rng.gamma(2.0, 0.5, size=800))


def test_a_small_tolerance_ends_at_the_maximum():
    """EM alone would need more than the default number of iterations."""
    X, y = visits()
    family = ["zero", "negative_binomial", "negative_binomial"]
    moe = MixtureOfExpertsRegressor(3, family=family, tol=1e-10, n_init=8, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        moe.fit(X, y)
    assert moe.converged_
    default = MixtureOfExpertsRegressor(3, family=family, n_init=8, random_state=0).fit(X, y)
    assert moe.lower_bound_ >= default.lower_bound_ - 1e-6


def test_many_rows_end_at_the_maximum_also_where_experts_have_no_rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 6))
    y = np.where(X[:, 0] + rng.logistic(size=len(X)) > 0.0, X[:, 1], 1.0 - X[:, 2])
    y += 0.5 * rng.normal(size=len(X))
    moe = MixtureOfExpertsRegressor(6, random_state=0).fit(X, y)
    assert moe.converged_
    assert np.diff(moe.lower_bounds_).min() >= 0.0
    assert moe.inference(X, y).max_shift <= 0.01


def test_penalties_of_many_rows_follow_a_sharp_border():
    """Penalties of the sample blur the border, and few iterations from it must not be the last."""
    rng = np.random.default_rng(0)
    X = sparse.random(60_000, 40, density=0.1, random_state=rng, format="csr")
    first, second, third = X[:, [0, 1, 2]].toarray().T
    mean = np.where(first > 0.2, 1.0 + second, -2.0 * third)
    y = mean + 0.3 * rng.normal(size=len(mean))
    moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
    of_truth = norm(mean, 0.3).logpdf(y).mean()
    assert moe.score_samples(X, y).mean() > of_truth - 0.0005
