"""Penalties that maximise the evidence, from coefficients and their posterior variances.

The prior of the slopes is normal with mean zero and precision `alpha`, in units in which the
Hessian of the log-likelihood is given.

References
----------
D. J. C. MacKay (1992), "Bayesian interpolation", Neural Computation 4, 415-447.

M. E. Tipping and A. C. Faul (2003), "Fast marginal likelihood maximisation for sparse Bayesian
models", Proceedings of AISTATS.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import digamma, gammaln, zeta

from skmoe._numerics.typing import TINY, Alpha, Array

# Range of a penalty that is found, and the penalty of a feature that is dropped. A larger one would
# leave too few digits when a feature that was dropped is tried again.
MIN_PENALTY = 1e-4
MAX_PENALTY = 1e5
DROPPED = 1e8

# Weight of the default penalty beside the slopes of the data: that of so many slopes whose squares
# are the expected ones, 1 / (p * default) for p features. Chosen by tests/benchmarks/penalties.py.
PRIOR_COEFFICIENTS = 0.3

# Smallest penalty of one feature. With smaller ones the slopes of classes or regimes that can be
# separated grow until their Hessian is nearly zero, and they seem to be of no use.
MIN_FEATURE_PENALTY = 1e-3

# Grid of penalties per feature on which the evidence is compared, the largest number of changes
# for each feature in an update, and the gain of log evidence below which there are no more.
PENALTY_GRID = np.geomspace(MIN_FEATURE_PENALTY, MAX_PENALTY, 51)
MAX_STEPS_PER_FEATURE = 3
MIN_IMPROVEMENT = 0.01

# Least variance of a slope: that of an expert without rows can be zero by underflow.
MIN_VARIANCE = 1e-100

# Gain of log evidence that a feature needs, in units of the log of the number of features.
SPARSITY_FACTOR = 1.2


class Slopes(NamedTuple):
    """Slopes of S systems with p features, in units in which their prior variance is 1/alpha.

    A system is a vector of coefficients with a penalty of its own: that of one expert and output,
    or of one contrast of a softmax. A slope that systems share has its part of the penalty in each.
    """

    values: Array  # (S, p)
    covariances: Array  # of the posterior, (S, p, p); (S, p) for variances of independent slopes
    gradient: Array  # of the log-likelihood without the penalty, (S, p)
    weight: Array | float = 1.0  # part of the penalty that each system has, (S, p)

    @property
    def variances(self) -> Array:
        """Diagonals (S, p) of the matrices, or what stands for them."""
        if self.covariances.ndim == 2:
            return self.covariances
        return np.diagonal(self.covariances, axis1=1, axis2=2)

    @property
    def log_prior_of_keeping(self) -> float:
        """Gain of log evidence that a feature needs to be kept: gains by chance reach log(p)."""
        n_varying = ((self.gradient != 0.0) | (self.values != 0.0)).any(axis=0).sum()
        return float(SPARSITY_FACTOR * np.log(max(n_varying, 2)))


def is_dropped(alpha: Alpha | Array) -> Array:
    """Which features have been dropped, boolean of shape (p,); of shape () for one penalty."""
    return np.asarray(alpha) >= DROPPED


def n_determined_slopes(alpha: Alpha, slopes: Slopes) -> Array:
    """Number of slopes of each system that the data determine, rather than the penalty, (S,)."""
    determined = np.maximum(1.0 - np.asarray(alpha) * slopes.weight * slopes.variances, 0.0)
    return np.asarray((slopes.weight * determined).sum(axis=1))


def common_penalty(alpha: float, slopes: Slopes, default: float) -> float:
    """One step of MacKay's fixed point for one penalty of all slopes.

    The number of well-determined slopes divided by their sum of squares. The default penalty
    enters as the mean of a gamma prior, times the number of features: what the features explain
    together does not grow with their number, so that many slopes are small.
    """
    n_determined = n_determined_slopes(alpha, slopes).sum() + PRIOR_COEFFICIENTS
    # Constant features, whose slopes have no gradient, do not count.
    n_varying = ((slopes.gradient != 0.0) | (slopes.values != 0.0)).any(axis=0).sum()
    expected = max(default, MIN_PENALTY) * max(n_varying, 1)
    squares = (slopes.weight * np.square(slopes.values)).sum() + PRIOR_COEFFICIENTS / expected
    return float(np.clip(n_determined / squares, MIN_PENALTY, MAX_PENALTY))


def log_evidence(
    penalty: Array, sparsity: Array, quality: Array, weight: Array | float = 1.0
) -> Array:
    """Log evidence of the penalty of one slope, over that of a slope of zero [Tipping and Faul].

    `weight` is the part of the prior that a system has, as in `Slopes`.
    """
    total = penalty + sparsity
    of_prior = weight * np.log(np.maximum(penalty, TINY) / total)  # zero without a prior
    return np.asarray(0.5 * (of_prior + np.square(quality) / total))


def evidence_of_penalty(before: Alpha, after: Alpha, slopes: Slopes) -> tuple[float, float]:
    """Gain of log evidence by another penalty, and the log evidence of the former one.

    The gain is as if the penalty were that of each slope alone, at its mode, which one Newton step
    reaches. From the log evidence the log of the posterior at its mode is taken away: it is the log
    volume of the posterior over that of the prior [MacKay], up to a constant. Where there is one
    penalty for each feature the prior of keeping a feature is counted.
    """
    values, covariances, gradient, weight = slopes
    variances, independent = np.maximum(slopes.variances, MIN_VARIANCE), covariances.ndim == 2
    old, new = (np.broadcast_to(alpha, values.shape[1:]) for alpha in (before, after))
    precision = weight * old
    step = gradient - precision * values
    step = covariances * step if independent else (covariances @ step[..., None])[..., 0]
    sparsity = np.maximum(1.0 / variances - precision, TINY)
    quality = (values + step) / variances
    gain = log_evidence(weight * new, sparsity, quality, weight)
    gain = (gain - log_evidence(precision, sparsity, quality, weight)).sum()
    volumes, least = np.log(variances).sum(axis=1), values.shape[1] * np.log(MIN_VARIANCE)
    volumes = volumes if independent else np.maximum(np.linalg.slogdet(covariances)[1], least)
    volume = 0.5 * (volumes + np.log(np.maximum(old, TINY)).sum()).sum()
    if isinstance(after, tuple):
        kept = [(~is_dropped(alpha)).sum() * slopes.log_prior_of_keeping for alpha in (old, new)]
        gain, volume = gain + kept[0] - kept[1], volume - kept[0]
    return float(gain), float(volume)


def feature_penalties(alpha: Alpha, slopes: Slopes) -> tuple[float, ...]:
    """One penalty for each feature, common to the systems, which maximise the evidence.

    As a function of the penalty of one feature the log evidence of a system is known [Tipping and
    Faul]; it is summed over the systems. In each step the feature whose penalty gains most gets its
    best one. A feature is dropped unless it gains more than a multiple of log(p), as the largest of
    p gains reaches log(p) by chance.
    """
    current = np.array(np.broadcast_to(np.asarray(alpha, dtype=float), slopes.values.shape[-1:]))
    covariances, independent = slopes.covariances, slopes.covariances.ndim == 2
    step = slopes.gradient - current * slopes.values
    mean = covariances * step if independent else (covariances @ step[..., None])[..., 0]
    mean = slopes.values + mean
    columns = np.arange(len(current))
    for _ in range(MAX_STEPS_PER_FEATURE * len(current)):
        variances = slopes._replace(covariances=covariances).variances
        sparsity, quality = np.maximum(1.0 / variances - current, TINY), mean / variances
        # Log evidence of each penalty of the grid, and last of the current one, over that of
        # dropping the feature, (G + 1, p).
        kept = current < DROPPED
        grid = np.tile(PENALTY_GRID[:, None], len(current))
        grid = np.vstack([grid, np.where(kept, current, MAX_PENALTY)])[:, None]
        gains = log_evidence(grid, sparsity, quality).sum(axis=1) - slopes.log_prior_of_keeping
        gains[-1] = np.where(kept, gains[-1], 0.0)
        best = gains[:-1].argmax(axis=0)
        largest = gains[best, columns]
        improvement = np.maximum(largest, 0.0) - gains[-1]
        j = int(improvement.argmax())
        if improvement[j] < MIN_IMPROVEMENT:
            break
        wanted = PENALTY_GRID[best[j]] if largest[j] > 0.0 else DROPPED
        # Another penalty of one feature changes the inverse by rank one.
        column = np.where(columns == j, covariances, 0.0) if independent else covariances[:, :, j]
        scaled = column * (1.0 / (column[:, j] + 1.0 / (wanted - current[j])))[:, None]
        mean = mean - scaled * mean[:, j, None]
        outer = column if independent else column[:, None, :]
        covariances = covariances - (scaled if independent else scaled[:, :, None]) * outer
        current[j] = wanted
    return tuple(current.tolist())


# Standard deviation of the logs of strength and scales of the prior of dispersions about their
# defaults, and the range of the strength, in rows.
LOG_STD = 1.0
MIN_STRENGTH = 1.0
MAX_STRENGTH = 1e4

# Range of the logs of scales about their defaults.
SCALE_RANGE = -30.0, 5.0

# Relative gain of the log evidence below which a step of Newton's method is the last one, as its
# remainder is of second order, and the largest number and length of steps.
RELATIVE_GAIN = 1e-9
MAX_STEPS = 60
MAX_LENGTH = 3.0


def dispersion_prior(squares: Array, weight: Array, center: Array, start: Array) -> Array:
    """Logs of strength and scales (1 + m,) of the prior of variances with the largest evidence.

    `squares` (K, m) are sums of squared residuals, and `weight` (K, m) their degrees of freedom.
    `center` are the logs of the defaults. Newton's steps from the logs in `start` lead upward, also
    where the log evidence is not concave.
    """
    low, high = np.add.outer(center, SCALE_RANGE).T
    low[0], high[0] = np.log([MIN_STRENGTH, MAX_STRENGTH])
    logs, part, unit = np.minimum(np.maximum(start, low), high), 1.0, np.eye(len(center))
    found = log_evidence_of_prior(logs, squares, weight, center)
    for _ in range(MAX_STEPS):
        value, slope, hessian = found
        held = ((logs <= low) & (slope < 0.0)) | ((logs >= high) & (slope > 0.0))
        slope = np.where(held, 0.0, slope)
        sizes, vectors = np.linalg.eigh(np.where(held | held[:, None], unit, hessian))
        step = vectors @ ((slope @ vectors) / np.maximum(np.abs(sizes), TINY))
        gain = part * (step @ slope)
        step *= part * min(1.0, MAX_LENGTH / max(float(np.abs(step).max()), TINY))
        trial = np.minimum(np.maximum(logs + step, low), high)
        if gain <= RELATIVE_GAIN * (1.0 + abs(value)):
            return trial
        other = log_evidence_of_prior(trial, squares, weight, center)
        logs, found, part = (trial, other, 1.0) if other[0] > value else (logs, found, 0.5 * part)
    return logs


def log_evidence_of_prior(
    logs: Array, squares: Array, weight: Array, center: Array
) -> tuple[float, Array, Array]:
    """Log evidence of the logs of strength and scales, (1 + m,), with gradient and Hessian.

    The sums of squares have a scaled F distribution given strength and scale, whose prior is
    log-normal about the defaults. What depends on squares or weights alone is left out. So the log
    evidence less the log posterior of the variances at their modes, -(half) (log mode + 1), is the
    value at squares with modes of 1 / e.
    """
    half_nu, scales = 0.5 * np.exp(logs[0]), np.exp(logs[1:])
    half, half_prior = 0.5 * weight + half_nu, half_nu * scales
    half_total = half_prior + 0.5 * squares
    moved = (logs - center) / LOG_STD**2
    value = gammaln(half) - gammaln(half_nu) + half_nu * np.log(half_prior)
    value = float((value - half * np.log(half_total)).sum() - 0.5 * moved @ (logs - center))
    share = half_prior / half_total  # of the prior in a scale
    rest = 1.0 - share
    of_scale = half_nu - half * share  # derivative by a log scale
    slope = digamma(half) - digamma(half_nu) + np.log(share)
    gradient = -moved
    gradient[0] += (half_nu * slope + of_scale).sum()
    gradient[1:] += of_scale.sum(axis=0)
    twice = -half * share * rest  # second derivatives by a log scale, with the log strength, ...
    mixed = half_nu * rest + twice
    change = half_nu * (zeta(2.0, half) - zeta(2.0, half_nu))  # zeta is the trigamma function
    hessian = np.diag(np.append((half_nu * (slope + change + rest) + mixed).sum(), twice.sum(0)))
    hessian[0, 1:] = hessian[1:, 0] = mixed.sum(axis=0)
    hessian -= np.eye(len(logs)) / LOG_STD**2
    return value, gradient, hessian
