"""The Poisson distribution, for arrays of points and means that broadcast.

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

import numpy as np
from scipy.special import gammainc, gammaincc, gammaln, i0e, i1e, xlogy

from skmoe._numerics.probability import LOG_2PI
from skmoe._numerics.typing import Array

# Beyond it log probabilities are near the largest number.
LARGEST = 1e300

# Standard deviations from the mean beyond which continued fractions are used, and their number of
# terms, which leaves errors of 1e-13 there and less further out.
FAR = 4.0
N_TERMS = 40

# Largest mean of drawn counts that are Poisson; above it the normal distribution has their digits.
MAX_MEAN_OF_COUNTS = 1e15

# From this count on Stirling's series is exact to the last bits.
STIRLING = 16.0

# Negative log probability of the tails that are left out of sums; the most counts that are summed
# one by one, and the points of a sum over more counts; rows that are summed at once.
NEGLIGIBLE = 35.0
MOST_COUNTS = 160
N_POINTS = 64
SUM_ROWS = 1024


def log_pmf(y: Array, mean: Array) -> Array:
    """Log probability of y; -inf where y is not a count."""
    count = np.clip(y, 0.0, LARGEST)
    possible = ((y == count) & (np.floor(count) == count)) | np.isnan(y)
    return np.where(possible, log_mass(count, mean), -np.inf)


def cdf(y: Array, mean: Array) -> Array:
    """Probability of a count up to y."""
    return _extended(y, 0.0, smooth_cdf(_count(y), mean))


def sf(y: Array, mean: Array) -> Array:
    """Probability of a count above y."""
    return _extended(y, 1.0, smooth_sf(_count(y), mean))


def log_cdf(y: Array, mean: Array) -> Array:
    """Log probability of a count up to y."""
    return _extended(y, -np.inf, smooth_log_cdf(_count(y), mean))


def log_sf(y: Array, mean: Array) -> Array:
    """Log probability of a count above y."""
    logs = _extended(y, 0.0, smooth_log_sf(_count(y), mean))
    return np.where(np.isposinf(y), -np.inf, logs)


def _extended(y: Array, below_zero: float, answer: Array) -> Array:
    """Answers for counts, extended to negative y; NaN stays NaN, also for a mean of zero."""
    return np.where(np.isnan(y), np.nan, np.where(np.asarray(y) < 0.0, below_zero, answer))


def _count(y: Array) -> Array:
    """The largest count up to y >= 0."""
    return np.clip(np.floor(y), 0.0, LARGEST)


def log_mass(count: Array, mean: Array) -> Array:
    """Log probability of a count, continued to real numbers by the gamma function."""
    stirling = count >= STIRLING
    series = np.where(stirling, count, STIRLING)
    near = stirling & (np.abs(mean - series) < 0.5 * series)
    # Around the mean, terms of the order of the mean would cancel. The saddle-point form [1]_ has
    # none: the factorial is Stirling's series, and what is left of it small.
    excess = np.where(near, (mean - series) / series, 0.0)
    inverse = np.square(1.0 / series)
    correction = (1 / 12 - inverse * (1 / 360 - inverse * (1 / 1260 - inverse / 1680))) / series
    saddle = -series * (excess - np.log1p(excess)) - correction - 0.5 * (LOG_2PI + np.log(series))
    return np.where(near, saddle, xlogy(count, mean) - mean - gammaln(count + 1.0))


def smooth_cdf(count: Array, mean: Array) -> Array:
    """Probability up to a count, continued to real numbers by the incomplete gamma function."""
    count, mean = np.broadcast_arrays(count, mean)
    answer = np.array(gammaincc(count + 1.0, mean))
    far = _is_far_above(count, mean)
    answer[far] = -np.expm1(_log_above(count[far], mean[far]))
    return answer


def smooth_sf(count: Array, mean: Array) -> Array:
    """Probability above a count, continued to real numbers by the incomplete gamma function."""
    count, mean = np.broadcast_arrays(count, mean)
    answer = np.array(gammainc(count + 1.0, mean))
    far = _is_far_above(count, mean)
    answer[far] = np.exp(_log_above(count[far], mean[far]))
    return answer


def smooth_log_cdf(count: Array, mean: Array) -> Array:
    """Log probability up to a count, continued to real numbers."""
    count, mean = np.broadcast_arrays(count, mean)
    with np.errstate(divide="ignore"):
        logs = np.log(smooth_cdf(count, mean))
    # The fraction converges slowly for small means, of which no count is far below.
    far = (mean - count > FAR * np.sqrt(mean)) & (mean > FAR**2)
    logs[far] = _log_below(count[far], mean[far])
    return logs


def smooth_log_sf(count: Array, mean: Array) -> Array:
    """Log probability above a count, continued to real numbers."""
    count, mean = np.broadcast_arrays(count, mean)
    with np.errstate(divide="ignore"):
        logs = np.log(gammainc(count + 1.0, mean))
    far = _is_far_above(count, mean)
    logs[far] = _log_above(count[far], mean[far])
    return logs


def _is_far_above(count: Array, mean: Array) -> Array:
    # The tail of a small mean is where counts are many times the mean.
    return (count + 1.0 - mean > FAR * np.sqrt(count + 1.0)) | (count > 4.0 * mean)


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


def mean_distance(y: Array, mean: Array) -> Array:
    """E|Y - y| of a count Y and any y."""
    below = 2.0 * cdf(y, mean) - 1.0
    infinite = np.isinf(y)
    at = np.exp(log_pmf(np.where(infinite, 0.0, np.floor(y)), mean))
    return (y - mean) * below + 2.0 * mean * np.where(infinite, 0.0, at)


def mean_difference(mean: Array, other: Array) -> Array:
    """E|Y - Z| of independent counts Y and Z.

    For equal means there is a closed form. Otherwise it is |E Y - E Z| and twice the sum of
    P(Y <= k < Z) over the counts k, where Y is the one of the larger mean. All k that matter lie
    between a count below which Y hardly is and one above which Z hardly is, by Chernoff's bounds.
    """
    if mean is other:
        return 2.0 * mean * (i0e(2.0 * mean) + i1e(2.0 * mean))
    larger, smaller = (
        np.ravel(values) for values in (np.maximum(mean, other), np.minimum(mean, other))
    )
    first = np.floor(np.maximum(larger - np.sqrt(2.0 * NEGLIGIBLE * larger), 0.0))
    slack = NEGLIGIBLE / 3.0
    last = np.ceil(smaller + slack + np.sqrt(slack**2 + 2.0 * NEGLIGIBLE * smaller))
    total, few = np.zeros(first.shape), last - first <= MOST_COUNTS
    for chosen, sum_of in ((few, _sum_counts), (~few, _sum_points)):
        overlap = np.flatnonzero(chosen & (last >= first))
        for start in range(0, len(overlap), SUM_ROWS):
            rows = overlap[start : start + SUM_ROWS]
            total[rows] = sum_of(first[rows], last[rows], larger[rows], smaller[rows])
    return (larger - smaller + 2.0 * total).reshape(np.shape(mean))


def _sum_counts(first: Array, last: Array, larger: Array, smaller: Array) -> Array:
    """Sum of P(Y <= k < Z) from `first` to `last`, of probabilities that are summed themselves."""
    counts = first + np.arange(int(np.max(last - first)) + 1)[:, None]
    of_y, of_z = (
        np.exp(log_mass(first, mean)) * np.cumprod(_ratios(counts, mean), axis=0)
        for mean in (larger, smaller)
    )
    below, above = np.cumsum(of_y, axis=0), np.cumsum(of_z[::-1], axis=0)[::-1] - of_z
    return (below * above).sum(axis=0)


def _ratios(counts: Array, mean: Array) -> Array:
    """Probabilities of counts relative to the one before; 1 for the first."""
    return np.concatenate([np.ones((1, counts.shape[1])), mean / counts[1:]])


def _sum_points(first: Array, last: Array, larger: Array, smaller: Array) -> Array:
    """The same sum over many counts, from points that are several counts apart.

    A function that changes slowly has the same sum over all counts as over wider steps: by
    Poisson's summation formula both are its integral. For steps of up to half a standard deviation
    the error is less than the round-off.
    """
    step = (last - first) / N_POINTS
    points = first + step * np.arange(N_POINTS + 1)[:, None]
    return step * (smooth_cdf(points, larger) * smooth_sf(points, smaller)).sum(axis=0)


def draw(rng: np.random.RandomState, mean: Array) -> Array:
    """Random counts."""
    is_large = mean > MAX_MEAN_OF_COUNTS
    drawn = np.asarray(rng.poisson(np.where(is_large, 0.0, mean)), dtype=float)
    if is_large.any():
        noise = rng.standard_normal(np.shape(mean))
        drawn = np.where(is_large, np.round(mean + np.sqrt(mean) * noise), drawn)
    return drawn
