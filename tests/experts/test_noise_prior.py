"""Scale of the prior of noise variances, which a strong prior shows, and their smallest value."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skmoe import MixtureOfExpertsRegressor
from support.fits import fit_quietly

OPTIONS = {"alpha": 0.1, "gate_alpha": 1.0, "n_init": 1, "random_state": 0}


def prior_scale(X, y, **options):
    """Noise variances of a single expert whose prior outweighs the rows."""
    moe = MixtureOfExpertsRegressor(1, dispersion_prior=1e10, **OPTIONS)
    return fit_quietly(moe, X, y, **options).noise_variance_[0]


def features(n_rows=300, n_features=3):
    return np.random.default_rng(0).normal(size=(n_rows, n_features))


@pytest.mark.parametrize("noise", [0.1, 0.5])
def test_scale_is_the_noise_about_a_linear_target(noise):
    X, rng = features(), np.random.default_rng(1)
    y = X @ [1.0, -1.0, 0.5] + noise * rng.normal(size=300)
    weight = rng.uniform(0.5, 2.0, size=300)
    assert_allclose(np.sqrt(prior_scale(X, y, sample_weight=weight)), noise, rtol=0.15)


def test_scale_is_that_of_rows_of_large_weight():
    """Rows of another line, which hardly count, change neither the line nor the noise about it."""
    X, rng = features(), np.random.default_rng(1)
    counts = np.arange(300) % 2 == 0
    y = X @ np.array([1.0, -1.0, 0.5]) * np.where(counts, 1.0, -1.0) + 0.1 * rng.normal(size=300)
    weight = np.where(counts, 1.0, 1e-6)
    assert_allclose(np.sqrt(prior_scale(X, y, sample_weight=weight)), 0.1, rtol=0.2)


def test_scale_is_the_noise_about_steps_and_that_of_each_output():
    X = features()
    steps = np.where(X[:, 0] > 0, 1.0, -1.0) + 0.1 * np.random.default_rng(1).normal(size=300)
    found = prior_scale(X, np.column_stack([steps, X[:, 0]]))
    assert found[0] < 0.05 < np.var(steps)
    assert found[1] < 1e-4


def test_scale_is_at_most_the_variance_of_the_target():
    """Predictions of unseen rows are worse than the mean where nothing relates to the features."""
    X, Y = features(40, 8), np.random.default_rng(1).normal(size=(40, 10))
    ratio = prior_scale(X, Y) / Y.var(axis=0)
    assert_allclose([np.median(ratio), ratio.max()], 1.0, rtol=1e-6)
    # Five rows are too few to tell.
    assert_allclose(prior_scale(X[:5], X[:5, 0]), X[:5, 0].var(), rtol=1e-6)


def smallest_variance(y):
    """The noise variance of an expert that explains its target without error."""
    moe = MixtureOfExpertsRegressor(1, dispersion_prior=0.0, **OPTIONS | {"alpha": 1e-9})
    X = np.column_stack([y, np.random.default_rng(1).normal(size=len(y))])  # distinct rows
    return fit_quietly(moe, X, y).noise_variance_[0]


def test_smallest_variance_is_that_of_rounding_where_most_values_are_tied():
    y = np.random.default_rng(0).normal(size=300)
    rounded = np.round(y / 0.5) * 0.5
    assert_allclose(smallest_variance(rounded), 0.5**2 / 12, rtol=1e-6)
    assert_allclose(smallest_variance(y), 1e-6 * y.var(), rtol=1e-6)
    # Rounding can explain a quarter of the variance at most.
    signs = np.where(y > 0, 100.0, 0.0)
    signs[:2] = 1.0
    assert smallest_variance(signs) <= 0.25 * signs.var() * (1 + 1e-9)
