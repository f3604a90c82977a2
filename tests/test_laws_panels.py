"""Integrals and sums over many panels at once, and quantiles and modes of many mixtures."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import optimize, special, stats

from skmoe._numerics.normal_mixtures import (
    density_parts,
    log_total,
    lower_quantile,
    mean_distance,
    nearest_mode,
)
from skmoe._numerics.quadrature import (
    INTEGRAL_ORDER,
    SUM_ORDER,
    WIDE,
    _midpoint_coefficients,
    _sum_weights,
    integral_points,
    sum_points,
)


def integral(function, left, right):
    points, weights = integral_points(np.asarray(left), np.asarray(right))
    assert points.shape == weights.shape == (INTEGRAL_ORDER, *np.shape(left))
    return (weights * function(points)).sum(axis=0)


@pytest.mark.parametrize("power", [-2.5, -1.0, 0.0, 0.5, 3.0])
def test_panels_of_all_kinds_are_integrated_side_by_side(power):
    """Wide ones of either sign, and narrow ones; the last ones are just as wide as is narrow."""
    low = np.array([1.0, 1.0, 1e-3, 50.0, 1.0, 1.0])
    high = np.array([1.5, 30.0, 1e-2, 1000.0, WIDE, 1.001 * WIDE])
    expected = [
        np.log(b / a) if power == -1.0 else (b ** (power + 1) - a ** (power + 1)) / (power + 1)
        for a, b in zip(low, high, strict=True)
    ]
    shape = (2, 3)
    for sign in (1.0, -1.0):
        left, right = (low, high) if sign > 0 else (-high, -low)
        found = integral(lambda y: np.abs(y) ** power, left.reshape(shape), right.reshape(shape))
        assert_allclose(found.ravel(), expected, rtol=1e-6)
        points, _ = integral_points(left, right)
        assert (points >= left).all()
        assert (points <= right).all()


def test_panels_over_zero_are_integrated_over_their_variable():
    left, right = np.array([-1.0, -3.0, 0.0, -2.0]), np.array([1.0, 0.5, 4.0, 0.0])
    for degree in range(2 * INTEGRAL_ORDER):
        expected = (right ** (degree + 1) - left ** (degree + 1)) / (degree + 1)
        assert_allclose(integral(lambda y, d=degree: y**d, left, right), expected, atol=1e-9)


@pytest.mark.parametrize("first", [0.0, 7.0, -5.0])
def test_sums_of_few_and_of_many_numbers_are_made_side_by_side(first):
    counts = np.array([1.0, 2.0, SUM_ORDER - 1.0, SUM_ORDER, SUM_ORDER + 1.0, 40.0, 1e4])
    points, weights = sum_points(np.full(counts.shape, first), counts)
    for degree in (0, 1, 2, 5, 8, SUM_ORDER - 1):
        scale = np.maximum(np.abs(first), np.abs(first + counts - 1.0)) + 1.0
        found = (weights * (points / scale) ** degree).sum(axis=0)
        for value, n, unit in zip(found, counts, scale, strict=True):
            exact = (((first + np.arange(n)) / unit) ** degree).sum()
            assert_allclose(value, exact, rtol=1e-9, atol=1e-9)
    few = counts <= SUM_ORDER
    assert_array_equal(np.count_nonzero(weights[:, few], axis=0), counts[few])
    for j, n in enumerate(counts[few].astype(int)):
        assert_array_equal(points[:n, j], first + np.arange(n))


def test_weights_of_sums_come_from_the_series_of_the_midpoint_rule():
    """The coefficients are those of (t / 2) / sinh(t / 2)."""
    series = _midpoint_coefficients(8)
    even = 2 * np.arange(9)
    expected = -(1.0 - 2.0 ** (1.0 - even)) * special.bernoulli(16)[even] / special.factorial(even)
    assert_allclose(series, expected, rtol=1e-9)
    for t in (0.1, 1.0):
        powers = t ** (2.0 * np.arange(9))
        assert_allclose(series @ powers, 0.5 * t / np.sinh(0.5 * t), rtol=1e-9)
    weights = _sum_weights()
    assert_allclose(weights[0].sum(), 2.0)
    assert_allclose(weights[1:].sum(axis=1), 0.0, atol=1e-8)
    nodes = np.polynomial.legendre.leggauss(SUM_ORDER)[0]
    for n in (SUM_ORDER, 50):
        step = 2.0 / n
        own = 0.5 * n * sum(row * step ** (2 * j) for j, row in enumerate(weights))
        middle = -1.0 + step * (np.arange(n) + 0.5)
        for degree in range(SUM_ORDER):
            assert_allclose(own @ nodes**degree, (middle**degree).sum(), rtol=1e-9, atol=1e-9)


# --- normal mixtures ------------------------------------------------------------------------------


def mixtures(n_components, n_mixtures=30, seed=0):
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(n_components), size=n_mixtures).T
    means = rng.normal(scale=4.0, size=weights.shape)
    return weights, means, rng.uniform(0.2, 2.0, size=weights.shape)


@pytest.mark.parametrize("n_components", [1, 2, 5])
@pytest.mark.parametrize("q", [1e-300, 1e-12, 0.01, 0.3, 0.5])
@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_quantiles_of_mixtures_have_their_probability(n_components, q, unit):
    weights, means, stds = mixtures(n_components)
    if n_components > 1:
        weights[0, :5], weights[1, :5] = 0.0, weights[0, :5] + weights[1, :5]
        means[0, :5] = -1e3  # of no weight
    found = lower_quantile(weights, unit * means, unit * stds, q)
    logs = stats.norm.logcdf(found, unit * means, unit * stds)
    assert_allclose(
        np.log((weights * np.exp(logs - logs.max(axis=0))).sum(axis=0)) + logs.max(axis=0),
        np.log(q),
        rtol=1e-9,
        atol=1e-9,
    )


@pytest.mark.parametrize("n_components", [1, 2, 4])
@pytest.mark.parametrize("unit", [1e-5, 1.0, 1e5])
def test_modes_are_where_the_density_has_no_slope(n_components, unit):
    weights, means, stds = mixtures(n_components, seed=1)
    start = means[0] + 0.3 * stds[0]
    found = nearest_mode(weights, unit * means, unit * stds, unit * start) / unit
    for i in range(len(found)):

        def density(x, i=i):
            return (weights[:, i] * stats.norm.pdf(x, means[:, i], stds[:, i])).sum()

        assert density(found[i]) >= density(start[i]) * (1.0 - 1e-12)
        bracket = found[i] - 0.05, found[i] + 0.05
        best = optimize.minimize_scalar(lambda x: -density(x), bounds=bracket, method="bounded")
        assert density(found[i]) >= -best.fun * (1.0 - 1e-9)


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
@pytest.mark.parametrize("std", [0.1, 1.0, 7.0])
def test_the_mean_distance_is_that_of_a_folded_normal(shift, std):
    expected = stats.foldnorm(abs(shift) / std, scale=std).mean()
    assert_allclose(mean_distance(shift, np.array(std)), expected, rtol=1e-9)
