"""Strength and scales of the prior of dispersions that maximise the evidence.

References
----------
G. K. Smyth (2004), "Linear models and empirical Bayes methods for assessing differential expression
in microarray experiments", Statistical Applications in Genetics and Molecular Biology 3, 3.
"""

from __future__ import annotations

import numpy as np
from scipy.special import digamma, gammaln, polygamma

from skmoe._numerics.typing import Array

# Standard deviations of the log strength and the log scale of the prior of dispersions about their
# defaults, and the range of the strength, in rows.
LOG_STRENGTH_STD = 1.0
LOG_SCALE_STD = 1.0
MIN_STRENGTH = 1.0
MAX_STRENGTH = 1e4

# Range of the logs of scales about their defaults.
SCALE_RANGE = -30.0, 5.0

# Longest step of the logs, the length of a step that ends the search, and most steps.
MAX_STEP = 3.0
MIN_NEWTON_STEP = 1e-10
MAX_STEPS = 100

# Near the maximum the log evidence has too few digits to tell whether a step increases it.
ROUND_OFF_OF_EVIDENCE = 1e-13


def dispersion_prior(squares: Array, weight: Array, center: Array) -> Array:
    """Logs of strength and scales (1 + m,) of the prior of variances with the largest evidence.

    `squares` (K, m) are sums of squared residuals, and `weight` (K, m) their degrees of freedom.
    `center` are the logs of the defaults. Newton's steps stay within bounds. They lead upward also
    where the log evidence is not concave, and are halved where they would lower it.
    """
    low, high = center[:, None].T + np.transpose([SCALE_RANGE])
    low[0], high[0] = np.log([MIN_STRENGTH, MAX_STRENGTH])
    logs, reached, step = np.clip(center, low, high), -np.inf, np.zeros(len(center))
    for _ in range(MAX_STEPS):
        ahead = np.clip(logs + step, low, high)
        value, gradient, hessian = log_evidence_of_prior(ahead, squares, weight, center)
        if value < reached - ROUND_OFF_OF_EVIDENCE * (1.0 + abs(reached)):
            step = 0.5 * step
            continue
        logs, reached, outward = ahead, value, gradient
        for _ in range(2):  # without the logs that gradient or step would lead beyond a bound
            free = ~(((logs <= low) & (outward < 0.0)) | ((logs >= high) & (outward > 0.0)))
            curvature, vectors = np.linalg.eigh(hessian[np.ix_(free, free)])
            step = np.zeros(len(center))
            step[free] = vectors @ (vectors.T @ gradient[free] / np.abs(curvature))
            outward = np.where(free, step, gradient)
        step = np.clip(step, -MAX_STEP, MAX_STEP)
        if np.abs(step).max() < MIN_NEWTON_STEP:
            break
    return logs


def log_evidence_of_prior(
    logs: Array, squares: Array, weight: Array, center: Array
) -> tuple[float, Array, Array]:
    """Log evidence of the logs of strength and scales, (1 + m,), its gradient and its Hessian.

    The sums of squares have a scaled F distribution given strength and scale, whose prior is
    log-normal about the defaults. What depends on squares or weights alone is left out, so that the
    log evidence less the log posterior of the variances at their modes, -(half) (log mode + 1), is
    the value at squares with modes of 1 / e.
    """
    nu, scales = np.exp(logs[0]), np.exp(logs[1:])
    half, prior = 0.5 * (weight + nu), nu * scales
    total = prior + squares
    share = prior / total  # of the prior in a scale
    value = gammaln(half) - gammaln(0.5 * nu) + 0.5 * nu * np.log(0.5 * prior)
    value = value - half * np.log(0.5 * total)
    of_scale = 0.5 * (nu * (1.0 - share) - weight * share)  # derivative by a log scale
    slope = digamma(half) - digamma(0.5 * nu) - np.log1p(squares / prior)
    curvature = polygamma(1, half) - polygamma(1, 0.5 * nu)
    twice = -half * share * (1.0 - share)  # second derivatives: by a log scale, mixed, by log nu
    mixed = 0.5 * nu * (1.0 - share) + twice
    of_strength = 0.5 * nu * (slope + 0.5 * nu * curvature + 1.0 - share) + mixed
    precision = np.append(LOG_STRENGTH_STD**-2, np.full(len(scales), LOG_SCALE_STD**-2))
    moved = logs - center
    gradient = np.append((0.5 * nu * slope + of_scale).sum(), of_scale.sum(axis=0))
    hessian = np.diag(np.append(of_strength.sum(), twice.sum(axis=0)) - precision)
    hessian[0, 1:] = hessian[1:, 0] = mixed.sum(axis=0)
    log_prior = -0.5 * (precision * np.square(moved)).sum()
    return float(value.sum() + log_prior), gradient - precision * moved, hessian
