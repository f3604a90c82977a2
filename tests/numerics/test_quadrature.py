"""Integrals and sums over many panels at once, against antiderivatives and plain sums."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skmoe._numerics.quadrature import (
    INTEGRAL_ORDER,
    SUM_ORDER,
    WIDE,
    integral_points,
    sum_points,
)


def integral(function, left, right):
    points, weights = integral_points(np.asarray(left), np.asarray(right))
    assert points.shape == weights.shape == (INTEGRAL_ORDER, *np.shape(left))
    assert ((points >= left) & (points <= right)).all()
    return (weights * function(points)).sum(axis=0)


@pytest.mark.parametrize("power", [-2.5, -1.0, 0.0, 0.5, 3.0])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_panels_of_one_sign_integrate_powers(power, sign):
    """Wide and narrow ones side by side; the last ones are just as wide as is narrow."""
    low = np.array([1.0, 1.0, 1e-3, 50.0, 1.0, 1.0])
    high = np.array([1.5, 30.0, 1e-2, 1000.0, WIDE, 1.001 * WIDE])
    if power == -1.0:
        expected = np.log(high / low)
    else:
        expected = (high ** (power + 1) - low ** (power + 1)) / (power + 1)
    left, right = (low, high) if sign > 0 else (-high, -low)
    found = integral(lambda y: np.abs(y) ** power, left.reshape(2, 3), right.reshape(2, 3))
    assert_allclose(found.ravel(), expected, rtol=1e-6)


def test_panels_over_zero_integrate_polynomials():
    left, right = np.array([-1.0, -3.0, 0.0, -2.0]), np.array([1.0, 0.5, 4.0, 0.0])
    for degree in range(2 * INTEGRAL_ORDER):
        expected = (right ** (degree + 1) - left ** (degree + 1)) / (degree + 1)
        found = integral(lambda y, d=degree: y**d, left, right)
        assert_allclose(found, expected, rtol=1e-11, atol=1e-9)


def test_sums_of_polynomials_over_few_and_many_numbers_are_exact():
    first = np.array([0.0, 7.0, -5.0])[:, None]
    n_counts = np.array([1.0, 2.0, 7.0, SUM_ORDER - 1.0, SUM_ORDER, SUM_ORDER + 1.0, 40.0, 1001.0])
    points, weights = sum_points(*np.broadcast_arrays(first, n_counts))
    for degree in range(SUM_ORDER):
        polynomial = np.polynomial.legendre.Legendre.basis(degree)
        for i, start in enumerate(first[:, 0]):
            for j, n in enumerate(n_counts):
                middle, half = start + 0.5 * (n - 1), 0.5 * n
                exact = polynomial((start + np.arange(n) - middle) / half).sum()
                found = weights[:, i, j] @ polynomial((points[:, i, j] - middle) / half)
                assert_allclose(found, exact, rtol=1e-9, atol=1e-10 * n)
    few = n_counts <= SUM_ORDER
    assert_array_equal(np.count_nonzero(weights[:, 0, few], axis=0), n_counts[few])
    for j, n in enumerate(n_counts[few].astype(int)):
        assert_array_equal(points[:n, 1, j], 7.0 + np.arange(n))
