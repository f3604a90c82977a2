"""Integrals and sums over panels, many at once."""

from __future__ import annotations

import numpy as np
from scipy.special import bernoulli, factorial

from skmoe._numerics.typing import Array

# Points of a panel of an integral, and of one of a sum.
INTEGRAL_ORDER, SUM_ORDER = 12, 16
INTEGRAL_NODES, INTEGRAL_WEIGHTS = np.polynomial.legendre.leggauss(INTEGRAL_ORDER)
SUM_NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(SUM_ORDER)

# Ratio of the ends of a panel from which on the logarithm is the variable.
WIDE = 2.0


def integral_points(left: Array, right: Array) -> tuple[Array, Array]:
    """Points and weights (INTEGRAL_ORDER, ...) of Gauss-Legendre rules on panels.

    Panels far from zero relative to their width are integrated over y, others of one sign over
    log y, in which functions with power laws or logarithms are smooth.
    """
    shape = -1, *([1] * left.ndim)
    nodes, weights = INTEGRAL_NODES.reshape(shape), INTEGRAL_WEIGHTS.reshape(shape)
    middle, half = 0.5 * (left + right), 0.5 * (right - left)
    points, factors = middle + half * nodes, half * weights
    near, far = np.minimum(np.abs(left), np.abs(right)), np.maximum(np.abs(left), np.abs(right))
    one_sign = left * right > 0.0
    wide = one_sign & (far > WIDE * near)
    if wide.any():
        low, high = np.log(near[wide]), np.log(far[wide])
        nodes, weights = nodes.reshape(-1, 1), weights.reshape(-1, 1)
        middle, half = 0.5 * (low + high), 0.5 * (high - low)
        sizes = np.exp(middle + half * nodes)
        points[:, wide] = np.sign(left[wide]) * sizes
        factors[:, wide] = half * weights * sizes
    return points, factors


def sum_points(first: Array, n_counts: Array) -> tuple[Array, Array]:
    """Points and weights (SUM_ORDER, ...) of sums over n_counts whole numbers from `first` on.

    Up to SUM_ORDER numbers are summed one by one. More are replaced by the points of the rule of
    Gauss and Legendre for the integral. The weights make the sums of polynomials of a degree below
    SUM_ORDER exact: sum and integral differ by as much as those of the interpolating polynomial.
    """
    index = np.arange(SUM_ORDER).reshape(-1, *([1] * first.ndim))
    nodes = SUM_NODES.reshape(index.shape)
    few = n_counts <= SUM_ORDER
    middle = first + 0.5 * (n_counts - 1.0)
    spread = middle + 0.5 * n_counts * nodes
    points = np.where(few, np.minimum(first + index, first + n_counts), spread)
    steps = np.square(2.0 / np.maximum(n_counts, SUM_ORDER))
    weights = np.zeros(points.shape)
    for coefficients in SUM_WEIGHTS[::-1]:
        weights = weights * steps + coefficients.reshape(index.shape)
    return points, np.where(few, index < n_counts, 0.5 * n_counts * weights)


def _sum_weights() -> Array:
    """Weights (J, SUM_ORDER) of `sum_points` as polynomials of the squared step.

    The sum of a polynomial at the midpoints of steps and its integral differ by odd derivatives at
    the ends, by the formula of Euler and Maclaurin. Those of Legendre polynomials are known.
    """
    n_terms = SUM_ORDER // 2
    # Coefficients of t^(2 j) in (t / 2) / sinh(t / 2), of the midpoint sum formula.
    powers = 2.0 * np.arange(n_terms + 1)
    series = (2.0 ** (1.0 - powers) - 1.0) * bernoulli(2 * n_terms)[::2] / factorial(powers)
    legendre = np.polynomial.legendre.legvander(SUM_NODES, SUM_ORDER - 1)
    weights = np.zeros((n_terms + 1, SUM_ORDER))
    weights[0] = NODE_WEIGHTS
    for degree in range(0, SUM_ORDER, 2):
        of_degree = (2 * degree + 1) / 2.0 * NODE_WEIGHTS * legendre[:, degree]
        for j in range(1, degree // 2 + 1):
            order = 2 * j - 1
            derivative = factorial(degree + order) / (
                2.0**order * factorial(order) * factorial(degree - order)
            )
            weights[j] += series[j] * 2.0 * derivative * of_degree
    return weights


SUM_WEIGHTS = _sum_weights()
