"""Scale of the variance prior and floor of the variances."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skmoe.experts._variance_prior import RELATIVE_FLOOR, estimate_noise_variance, variance_floor

RNG = np.random.default_rng(0)
X = RNG.normal(size=(600, 3))
WEIGHT = RNG.uniform(0.5, 2.0, size=600)


@pytest.fixture
def rng():
    """A generator of its own for each test."""
    return np.random.default_rng(0)


@pytest.mark.parametrize("noise", [0.1, 0.5])
def test_noise_about_a_linear_target_is_found(noise, rng):
    y = X @ [1.0, -1.0, 0.5] + noise * rng.normal(size=600)
    spread = y.std()
    found = estimate_noise_variance(X, (y / spread)[None], WEIGHT)
    assert_allclose(np.sqrt(found) * spread, noise, rtol=0.15)


def test_noise_about_steps_is_found_by_the_tree(rng):
    y = np.where(X[:, 0] > 0, 1.0, -1.0) + 0.1 * rng.normal(size=600)
    found = estimate_noise_variance(X, np.stack([y, X[:, 0]]), WEIGHT)
    assert found[0] < 0.05 < np.var(y)
    assert found[1] < 1e-6  # each output has its own


def test_noise_is_never_more_than_all_variance(rng):
    y = rng.normal(size=(1, 600))
    assert estimate_noise_variance(X, y / y.std(), WEIGHT) <= 1.0
    assert_allclose(estimate_noise_variance(X[:4], y[:, :4], WEIGHT[:4]), 1.0)  # too few to tell


def test_floor_is_the_variance_of_rounding_where_most_values_are_tied(rng):
    y = rng.normal(size=600)
    rounded = np.round(y / 0.5) * 0.5
    floors = variance_floor(np.stack([y, rounded, np.zeros(600)]))
    assert_allclose(floors, [RELATIVE_FLOOR, 0.25 / 12, RELATIVE_FLOOR])
