"""Modes and densities of many mixtures of normals, against scipy."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from skmoe._numerics.normal_mixtures import (
    density_parts,
    log_total,
    mean_distance,
    nearest_mode,
)


def mixtures(n_components, n_mixtures=30):
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(n_components), size=n_mixtures).T
    means = rng.normal(scale=4.0, size=weights.shape)
    return weights, means, np.exp(rng.uniform(-1.5, 1, size=weights.shape))


@pytest.mark.parametrize("unit", [1e-120, 1.0, 1e120])
@pytest.mark.parametrize("n_components", [1, 3])
def test_nearest_mode_is_a_local_maximum_that_is_not_lower_than_the_start(unit, n_components):
    weights, means, stds = mixtures(n_components, n_mixtures=150)
    start = np.random.default_rng(1).uniform(-3, 3, size=150)
    found = nearest_mode(weights, unit * means, unit * stds, unit * start) / unit

    def density(x):
        return (weights * stats.norm.pdf(x, means, stds)).sum(axis=0)

    assert (density(found) >= density(start) * (1 - 1e-12)).all()
    for step in (1e-4, -1e-4):
        assert (density(found + step) <= density(found) * (1 + 1e-12)).all()
    for step in (0.03, -0.03):
        assert (density(found + step * stds.min(axis=0)) < density(found)).all()


def test_modes_that_merge_are_found_where_small_steps_would_not_end():
    """Of two equal normals at a distance of two standard deviations, the density is flat."""
    weights, means, stds = np.full((2, 1), 0.5), np.array([[-1.0], [1.0]]), np.ones((2, 1))
    for start in (-3.0, -1.0, 0.5, 2.0):
        assert abs(nearest_mode(weights, means, stds, np.array([start])).item()) < 1e-2


def test_parts_of_densities_are_weighted_normal_densities():
    weights, means, stds = mixtures(3)
    x = means.mean(axis=0)
    density, parts, z = density_parts(weights, means, stds, x)
    assert_allclose(z, (x - means) / stds)
    expected = np.sqrt(2.0 * np.pi) * weights * stats.norm.pdf(x, means, stds)
    assert_allclose(parts, expected)
    assert_allclose(density, expected.sum(axis=0))
    logs = np.log(parts)
    assert_allclose(log_total(iter(logs)), np.log(density))
    assert_array_equal(log_total(iter(logs[:1])), logs[0])


@pytest.mark.parametrize("shift", [-3.0, 0.0, 0.4, 50.0])
def test_mean_distance_is_that_of_a_folded_normal(shift):
    std = np.array([0.1, 1.0, 7.0])
    expected = stats.foldnorm(abs(shift) / std, scale=std).mean()
    assert_allclose(mean_distance(shift, std), expected, rtol=1e-9)
