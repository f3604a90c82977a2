"""Functions that SciPy lacks, or has slower: trigamma, tails of beta, the series of Tweedie."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.interpolate import BPoly, PPoly
from scipy.special import gammaln

from skmoe._numerics.typing import Array

# Arguments are moved up by this number, from which the asymptotic series is exact to round-off.
SHIFTS = 8


def trigamma(x: Array) -> Array:
    """Second derivative of the log gamma function of positive numbers.

    Recurrence and asymptotic series take a tenth of the time of `scipy.special.polygamma`.
    """
    x = np.array(x, dtype=float)
    total = np.zeros_like(x)
    for _ in range(SHIFTS):
        inverse = 1.0 / x
        total += inverse * inverse
        x += 1.0
    inverse = 1.0 / x
    square = inverse * inverse
    rest = 1 / 30 - square * (1 / 42 - square * (1 / 30 - square * (5 / 66 - square * 691 / 2730)))
    series: Array = inverse + 0.5 * square + inverse * square * (1 / 6 - square * rest)
    return total + series


# Terms of the continued fraction.
BETA_TERMS = 60


def log_beta_fraction(a: Array, b: Array, x: Array, excess: Array) -> Array:
    """Log of B(a, b) I_x(a, b) / (x^a (1 - x)^b), for x below a / (a + b).

    A continued fraction [1]_ that loses no digits to cancellation for large a or b, as long as
    `excess`, a - (a + b) x, is given without cancellation. All arguments have the same shape.

    References
    ----------
    .. [1] A. R. DiDonato and A. H. Morris (1992), "Algorithm 708: Significant digit computation of
       the incomplete beta function ratios", ACM Transactions on Mathematical Software 18, 360-373.
    """
    fraction = np.zeros_like(x)
    for n in range(BETA_TERMS if x.size else 0, 0, -1):
        odd = a + (2.0 * n - 1.0)
        step = n * ((b - n) / odd) * x
        denominator = n + step + (a + n) / (odd + 2.0) * (excess + 1.0 + n * (2.0 - x))
        numerator = ((a + (n - 1.0)) / odd) * (a + b + (n - 1.0)) * step * x
        fraction = numerator / (denominator + fraction)
    return -np.log(a / (a + 1.0) * (excess + 1.0) + fraction)


# --- the series of Tweedie distributions ------------------------------------------------------

# For a power p and a = (2 - p) / (p - 1), the density of the compound Poisson-gamma distribution
# has the factor sum_j W_j over j = 1, 2, ..., with log W_j = j log z - log j! - log Gamma(a j). Of
# a given power it is a function of z alone.

# Logs of the index of the largest term, between which the sum is interpolated; below, the first
# term is the sum, and above, the remainder is a straight line.
KNOTS = np.linspace(-35.0, 20.0, 2201)

# Terms of a sum lie within this number of standard deviations of the largest one, and are a
# fraction of a standard deviation apart: their sum is that of a smooth function.
TERMS_WITHIN = 9.0
TERMS_PER_DEVIATION = 2.0


def shape_of_jumps(power: float | Array) -> float | Array:
    """The shape a of the gamma distribution of each jump."""
    return (2.0 - power) / (power - 1.0)


def indices(center: Array, deviation: Array, per_deviation: float) -> tuple[Array, Array]:
    """Whole numbers from 1 on about a center, (J, ...), and their distance."""
    step = np.maximum(np.floor(deviation / per_deviation), 1.0)
    n_terms = int(np.ceil(2.0 * TERMS_WITHIN * per_deviation)) + 12
    first = np.maximum(np.floor(center - TERMS_WITHIN * per_deviation * step), 1.0)
    steps = np.arange(n_terms).reshape(-1, *[1] * np.ndim(center))
    return first + steps * step, step


def log_sum(log_z: Array, power: float) -> Array:
    """Log of the sum over j of W_j."""
    shape, t = _position(log_z, power)
    inside = np.clip(t, KNOTS[0], KNOTS[-1])
    rest, slope, _ = _remainders(power)
    return np.asarray((1.0 + shape) * np.exp(t) + rest(inside) + slope(inside) * (t - inside))


def moments_of_index(log_z: Array, power: float) -> tuple[Array, Array]:
    """Mean and variance of j under the weights W_j: derivatives of the log of the sum by log z."""
    shape, t = _position(log_z, power)
    _, slope, bend = _remainders(power)
    largest, inside = np.exp(t), np.clip(t, KNOTS[0], KNOTS[-1])
    mean = largest + slope(inside) / (1.0 + shape)
    return mean, largest / (1.0 + shape) + bend(inside) / (1.0 + shape) ** 2


def _position(log_z: Array, power: float) -> tuple[float, Array]:
    """The shape a, and t, the log of the index of the largest term.

    Up to a remainder, which is interpolated, the log of the sum is (1 + a) exp(t).
    """
    shape = float(shape_of_jumps(power))
    return shape, (log_z - shape * np.log(shape)) / (1.0 + shape)


@lru_cache(maxsize=64)
def _remainders(power: float) -> tuple[PPoly, PPoly, PPoly]:
    """The remainder as a function of t, and its first two derivatives."""
    shape = float(shape_of_jumps(power))
    log_z = shape * np.log(shape) + (1.0 + shape) * KNOTS
    largest = np.exp(KNOTS)
    j, step = indices(largest, np.sqrt(largest / (1.0 + shape)), TERMS_PER_DEVIATION)
    logs = j * log_z - gammaln(j + 1.0) - gammaln(j * shape)
    highest = logs.max(axis=0)
    terms = np.exp(logs - highest)
    total = terms.sum(axis=0)
    mean = (terms * j).sum(axis=0) / total
    variance = (terms * np.square(j - mean)).sum(axis=0) / total
    table = [
        highest + np.log(step * total) - (1.0 + shape) * largest,
        (1.0 + shape) * (mean - largest),
        (1.0 + shape) ** 2 * variance - (1.0 + shape) * largest,
    ]
    rest = PPoly.from_bernstein_basis(BPoly.from_derivatives(KNOTS, np.stack(table, axis=1)))
    return rest, rest.derivative(), rest.derivative(2)
