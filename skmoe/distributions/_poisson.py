"""The Poisson distribution, continued to real numbers, for arrays that broadcast.

Accurate for means from the smallest positive numbers to 1e8 and beyond, and in the tails. Continued
fractions replace `scipy.special.gammainc` where it ends its series too early, for means above 1e6
and about five standard deviations above the mean, and where probabilities underflow.

References
----------
.. [1] C. Loader (2000), "Fast and accurate computation of binomial probabilities".
.. [2] W. B. Jones and W. J. Thron (1980), Continued Fractions: Analytic Theory and Applications,
   Addison-Wesley; NIST Digital Library of Mathematical Functions, section 8.9.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import gammainc, gammaincc, gammaln, xlogy

from skmoe._numerics.probability import LOG_2PI, log_probability
from skmoe._numerics.typing import Array

# Standard deviations from the mean beyond which continued fractions are used, and their number of
# terms, which leaves errors of 1e-13 there and less further out.
FAR = 4.0
N_TERMS = 40

# Largest mean of drawn counts that are Poisson; above it the normal distribution has their digits.
MAX_MEAN_OF_COUNTS = 1e15

# From this count on Stirling's series is exact to the last bits.
STIRLING = 16.0


def log_mass(count: Array, mean: Array) -> Array:
    """Log probability of a count, continued to real numbers by the gamma function."""
    stirling = count >= STIRLING
    series = np.where(stirling, count, STIRLING)
    near = stirling & (np.abs(mean - series) < 0.5 * series)
    # Around the mean, terms of the order of the mean would cancel. The saddle-point form [1]_ has
    # none: the factorial is Stirling's series, and what is left of it small.
    excess = np.where(near, (mean - series) / series, 0.0)
    saddle = -series * (excess - np.log1p(excess)) - 0.5 * (LOG_2PI + np.log(series))
    saddle = saddle - stirling_correction(series)
    return np.where(near, saddle, xlogy(count, mean) - mean - gammaln(count + 1.0))


def stirling_correction(x: Array) -> Array:
    """Log of Gamma(x + 1) without the leading terms of Stirling's series, for large x."""
    inverse = np.square(1.0 / x)
    return (1 / 12 - inverse * (1 / 360 - inverse * (1 / 1260 - inverse / 1680))) / x


def _function_of_tail(
    of_shape: Callable[..., Array], of_logs: Callable[[Array], Array]
) -> Callable[[Array, Array], Array]:
    """A function of counts from one of shape and mean, and far above the mean from logs."""

    def answer(count: Array, mean: Array) -> Array:
        count, mean = np.broadcast_arrays(count, mean)
        found = np.array(of_shape(count + 1.0, mean))
        # The tail of a small mean is where counts are many times the mean.
        far = (count + 1.0 - mean > FAR * np.sqrt(count + 1.0)) | (count > 4.0 * mean)
        found[far] = of_logs(_log_above(count[far], mean[far]))
        return found

    return answer


# Probabilities up to a count and above it, and the log of the latter, continued to real numbers by
# the incomplete gamma function.
cdf_real = _function_of_tail(gammaincc, lambda logs: -np.expm1(logs))
sf_real = _function_of_tail(gammainc, np.exp)
log_sf_real = _function_of_tail(lambda *at: log_probability(gammainc(*at)), np.asarray)


def log_cdf_real(count: Array, mean: Array) -> Array:
    """Log probability up to a count, continued to real numbers."""
    count, mean = np.broadcast_arrays(count, mean)
    logs = log_probability(cdf_real(count, mean))
    # The fraction converges slowly for small means, of which no count is far below.
    far = (mean - count > FAR * np.sqrt(mean)) & (mean > FAR**2)
    logs[far] = _log_below(count[far], mean[far])
    return logs


def _log_above(count: Array, mean: Array) -> Array:
    """Log probability above a count: a continued fraction of the lower incomplete gamma function.

    That of Kummer's function M(1, a + 1, x) whose terms are j x / (a + j - x) [2]_.
    """
    shape = count + 1.0
    fraction = np.zeros_like(count)
    for j in range(N_TERMS, 0, -1):
        fraction = j * mean / (shape + j - mean + fraction)
    return log_mass(shape, mean) + np.log(shape / (shape - mean + fraction))


def _log_below(count: Array, mean: Array) -> Array:
    """Log probability up to a count: Legendre's continued fraction of the upper function [2]_."""
    fraction = np.zeros_like(count)
    for j in range(N_TERMS, 0, -1):
        fraction = j * (count + 1.0 - j) / (mean - count + 2.0 * j + fraction)
    return log_mass(count, mean) + np.log(mean / (mean - count + fraction))


def draw(rng: np.random.RandomState, mean: Array) -> Array:
    """Random counts."""
    is_large = mean > MAX_MEAN_OF_COUNTS
    drawn = np.asarray(rng.poisson(np.where(is_large, 0.0, mean)), dtype=float)
    if is_large.any():
        noise = rng.standard_normal(np.shape(mean))
        drawn = np.where(is_large, np.round(mean + np.sqrt(mean) * noise), drawn)
    return drawn
