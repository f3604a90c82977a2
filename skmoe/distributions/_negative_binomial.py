"""The negative binomial distribution, continued to real numbers, for arrays that broadcast.

The variance is mean + dispersion * mean^2. Accurate from dispersion 0, the Poisson, on: no formula
takes differences of terms of the order of 1 / dispersion.

References
----------
.. [1] C. Loader (2000), "Fast and accurate computation of binomial probabilities".
"""

from __future__ import annotations

import numpy as np
from scipy.special import betainc, betaincc, gammaln, xlogy

from skmoe._numerics.incomplete_beta import log_beta_fraction
from skmoe._numerics.probability import LOG_2PI, log_probability
from skmoe._numerics.typing import Array
from skmoe.distributions import _poisson
from skmoe.distributions._poisson import STIRLING, stirling_correction

# Dispersion times mean up to which the distribution is the Poisson to the last bit.
NO_DISPERSION = 1e-18

# Stands for dispersion 0 where formulas divide by it.
LEAST_DISPERSION = 1e-290

# 1 / dispersion up to which the incomplete beta function of the lower tail is computed directly.
MODERATE_SIZE = 1e3

# Probabilities below it have lost digits, or are zero.
UNDERFLOW = 1e-290


def log_mass(count: Array, mean: Array, dispersion: Array) -> Array:
    """Log probability of a count, continued to real numbers.

    The saddle-point form of the binomial [1]_ of size 1 / dispersion + count.
    """
    tiny = np.maximum(dispersion, LEAST_DISPERSION)
    positive, size = np.maximum(count, np.finfo(float).tiny), 1.0 / tiny
    excess_count, excess_mean = 1.0 + tiny * positive, 1.0 + tiny * mean
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = excess_mean / excess_count
        of_size = size / ratio * _rate(tiny * (mean - count) / excess_count, ratio)
        relative = (count - mean) / (mean * excess_count)
        of_count = mean / ratio * _rate(relative, count / mean * ratio)
        errors = _stirling_error(size + count) - _stirling_error(size) - _stirling_error(positive)
        logs = errors - of_size - of_count
        logs = logs - 0.5 * (LOG_2PI + np.log(positive) + np.log(excess_count))
        at_zero = -np.log1p(tiny * mean) * size
    logs = np.where(mean > 0.0, logs, -np.inf)
    return np.where(count == 0.0, at_zero, logs)


def _rate(x: Array, total: Array) -> Array:
    """(1 + x) log(1 + x) - x, for x and 1 + x, which has lost digits where x is near -1."""
    return np.where(x < -0.5, xlogy(total, total), (1.0 + x) * np.log1p(x)) - x


def _stirling_error(x: Array) -> Array:
    """Log of Gamma(x + 1) without the leading terms of Stirling's series."""
    series = stirling_correction(np.maximum(x, STIRLING))
    small = np.clip(x, np.finfo(float).tiny, STIRLING)
    exact = gammaln(small + 1.0) - (small + 0.5) * np.log(small) + small - 0.5 * LOG_2PI
    return np.where(x >= STIRLING, series, exact)


def cdf_real(count: Array, mean: Array, dispersion: Array) -> Array:
    """Probability up to a count, continued to real numbers by the incomplete beta function."""
    size = 1.0 / np.maximum(dispersion, LEAST_DISPERSION)
    scaled = mean / size
    # For a moderate size its first argument does not amplify the round-off of the last one.
    below = np.where(
        size <= MODERATE_SIZE,
        betainc(size, count + 1.0, 1.0 / (1.0 + scaled)),
        betaincc(count + 1.0, size, scaled / (1.0 + scaled)),
    )
    return np.where(scaled <= NO_DISPERSION, _poisson.cdf_real(count, mean), below)


def sf_real(count: Array, mean: Array, dispersion: Array) -> Array:
    """Probability above a count, continued to real numbers by the incomplete beta function."""
    size = 1.0 / np.maximum(dispersion, LEAST_DISPERSION)
    scaled = mean / size
    above = betainc(count + 1.0, size, scaled / (1.0 + scaled))
    return np.where(scaled <= NO_DISPERSION, _poisson.sf_real(count, mean), above)


def log_cdf_real(count: Array, mean: Array, dispersion: Array) -> Array:
    """Log probability up to a count, continued to real numbers."""
    count, mean, dispersion = np.broadcast_arrays(count, mean, dispersion)
    answer = cdf_real(count, mean, dispersion)
    logs = log_probability(answer)
    rows = (answer < UNDERFLOW) & (mean > count)
    logs[rows] = _log_tail(count[rows], mean[rows], dispersion[rows], below=True)
    return logs


def log_sf_real(count: Array, mean: Array, dispersion: Array) -> Array:
    """Log probability above a count, continued to real numbers."""
    count, mean, dispersion = np.broadcast_arrays(count, mean, dispersion)
    answer = sf_real(count, mean, dispersion)
    logs = log_probability(answer)
    rows = (answer < UNDERFLOW) & (mean > 0.0)
    logs[rows] = _log_tail(count[rows], mean[rows], dispersion[rows], below=False)
    return logs


def _log_tail(count: Array, mean: Array, dispersion: Array, below: bool) -> Array:
    """Log probability up to a count far below the mean, or above one far above it."""
    dispersion = np.maximum(dispersion, LEAST_DISPERSION)
    size, scaled = 1.0 / dispersion, 1.0 + dispersion * mean
    mass = log_mass(count, mean, dispersion)
    factor = np.log(mean) + np.log1p(dispersion * count) - np.log(scaled)
    if below:
        excess = (mean - count - 1.0) / scaled
        return mass + factor + log_beta_fraction(size, count + 1.0, 1.0 / scaled, excess)
    excess = (count + 1.0 - mean) / scaled
    ratio = dispersion * mean / scaled
    logs = mass + factor + log_beta_fraction(count + 1.0, size, ratio, excess)
    # For large dispersions the sum of the probabilities above is nearly a geometric series.
    following = log_mass(count + 1.0, mean, dispersion) + np.log(scaled)
    following += np.log1p((size - 1.0) * dispersion * mean / (count + 2.0))
    return np.where(dispersion <= 1.0, logs, following)


def mode(mean: Array, dispersion: Array) -> Array:
    """The most probable count."""
    return np.floor(mean * np.maximum(1.0 - dispersion, 0.0))


def draw(rng: np.random.RandomState, mean: Array, dispersion: Array) -> Array:
    """Random counts: Poissons whose means have gamma distributions."""
    dispersed = dispersion * mean > NO_DISPERSION
    size = 1.0 / np.where(dispersed, dispersion, 1.0)
    means = np.where(dispersed, rng.gamma(size, mean / size), mean)
    return _poisson.draw(rng, means)
