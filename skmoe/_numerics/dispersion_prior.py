"""Strength and scales of the prior of dispersions that maximise the evidence.

References
----------
G. K. Smyth (2004), "Linear models and empirical Bayes methods for assessing differential expression
in microarray experiments", Statistical Applications in Genetics and Molecular Biology 3, 3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import digamma, gammaln, polygamma

from skmoe._numerics.typing import TINY, Array

# Standard deviations of the log strength and the log scale of the prior of dispersions about their
# defaults, and the range of the strength, in rows.
LOG_STRENGTH_STD = 1.0
LOG_SCALE_STD = 1.0
MIN_STRENGTH = 1.0
MAX_STRENGTH = 1e4

# Tolerances of the search, and the largest number of Newton steps after it. Near the maximum, the
# log evidence has too few digits to be compared, and its gradient has not.
TOLERANCES = {"ftol": 1e-12, "gtol": 1e-8}
MAX_NEWTON_STEPS = 10


class Derivatives(NamedTuple):
    """Log evidence of the logs of strength and scales, its gradient (d,) and Hessian (d, d)."""

    value: float
    gradient: Array
    hessian: Array


def dispersion_prior(
    squares: Array, weight: Array, defaults: tuple[float, Array]
) -> tuple[float, Array]:
    """Strength and scales (m,) of the inverse-gamma prior of variances, across experts.

    `squares` (K, m) are sums of squared residuals, and `weight` (K, m) their degrees of freedom.
    The sums have a scaled F distribution given strength and scale, whose prior is log-normal about
    the defaults.
    """
    center = _log_prior(*defaults)

    def evidence(logs: Array) -> Derivatives:
        return log_evidence_of_prior(logs, squares, weight, center)

    def objective(logs: Array) -> tuple[float, Array]:
        value, gradient, _ = evidence(logs)
        return -value, -gradient

    bounds = [(np.log(MIN_STRENGTH), np.log(MAX_STRENGTH))]
    bounds += [(value - 30.0, value + 5.0) for value in center[1:]]
    low, high = np.transpose(bounds)
    start = np.clip(center, low, high)
    found = minimize(
        objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options=TOLERANCES
    ).x
    found = _after_newton_steps(evidence, found, low, high)
    return float(np.exp(found[0])), np.exp(found[1:])


def dispersion_gain(
    before: tuple[float, Array],
    after: tuple[float, Array],
    squares: Array,
    weight: Array,
    defaults: tuple[float, Array],
) -> float:
    """Gain of log evidence by another prior of variances, with the data of `dispersion_prior`."""
    center = _log_prior(*defaults)
    old, new = (
        log_evidence_of_prior(_log_prior(*prior), squares, weight, center).value
        for prior in (before, after)
    )
    return new - old


def log_evidence_of_prior(logs: Array, squares: Array, weight: Array, center: Array) -> Derivatives:
    """Log evidence of the logs of strength and scales, (1 + m,), up to a constant."""
    nu, scales = np.exp(logs[0]), np.exp(logs[1:])
    half, prior = 0.5 * (weight + nu), nu * scales
    share = prior / (prior + squares)  # of the prior in a scale
    value = gammaln(half) - gammaln(0.5 * nu) + 0.5 * nu * np.log(prior)
    value = value - half * np.log(prior + squares)
    slope = digamma(half) - digamma(0.5 * nu) - np.log1p(squares / prior)
    of_scale = 0.5 * (nu * (1.0 - share) - weight * share)  # derivative by a log scale
    precision = _prior_precision(len(scales))
    moved = logs - center
    gradient = np.r_[(0.5 * nu * slope + of_scale).sum(), of_scale.sum(axis=0)]
    return Derivatives(
        float(value.sum() - 0.5 * (precision * np.square(moved)).sum()),
        gradient - precision * moved,
        _hessian(nu, half, share, slope) - np.diag(precision),
    )


def dispersion_volume(
    prior: tuple[float, Array], weight: Array, defaults: tuple[float, Array]
) -> float:
    """Log evidence of variances less the log of their posterior at its mode, up to a constant.

    `weight` (K, m) are the rows of each variance. The prior of strength and scales is counted.
    """
    logs = _log_prior(*prior)
    strength, scales = np.exp(logs[0]), np.exp(logs[1:])
    half = 0.5 * (weight + strength)
    volume = gammaln(half) - half * np.log(half) + half - gammaln(0.5 * strength)
    volume = volume + 0.5 * strength * np.log(0.5 * strength * scales)
    moved = logs - _log_prior(*defaults)
    of_prior = 0.5 * (_prior_precision(len(scales)) * np.square(moved)).sum()
    return float(volume.sum() - of_prior)


def _prior_precision(n_scales: int) -> Array:
    """Precisions of the log strength and the log scales about their defaults, (1 + m,)."""
    return np.r_[LOG_STRENGTH_STD**-2, np.full(n_scales, LOG_SCALE_STD**-2)]


def _hessian(nu: float, half: Array, share: Array, slope: Array) -> Array:
    """Second derivatives of the log density of the sums by the logs of strength and scales."""
    of_scales = -half * share * (1.0 - share)
    mixed = 0.5 * nu * (1.0 - share) + of_scales
    curvature = polygamma(1, half) - polygamma(1, 0.5 * nu)
    of_strength = 0.5 * nu * (slope + 0.5 * nu * curvature + 1.0 - share) + mixed
    hessian = np.diag(np.r_[of_strength.sum(), of_scales.sum(axis=0)])
    hessian[0, 1:] = hessian[1:, 0] = mixed.sum(axis=0)
    return hessian


def _after_newton_steps(
    evidence: Callable[[Array], Derivatives], logs: Array, low: Array, high: Array
) -> Array:
    """Logs after Newton steps within their bounds, as long as these make the gradient smaller."""
    at = evidence(logs)
    for _ in range(MAX_NEWTON_STEPS):
        free = _is_free(logs, at.gradient, low, high)
        step = np.zeros_like(logs)
        step[free] = np.linalg.solve(at.hessian[np.ix_(free, free)], at.gradient[free])
        after = np.clip(logs - step, low, high)
        new = evidence(after)
        still_free = _is_free(after, new.gradient, low, high)
        if not np.linalg.norm(new.gradient[still_free]) < np.linalg.norm(at.gradient[free]):
            break
        logs, at = after, new
    return logs


def _is_free(logs: Array, gradient: Array, low: Array, high: Array) -> Array:
    """Which logs are not held by a bound."""
    return ~(((logs <= low) & (gradient < 0.0)) | ((logs >= high) & (gradient > 0.0)))


def _log_prior(strength: float, scale: Array) -> Array:
    """Logs of strength and scales, (1 + m,)."""
    return np.log([max(strength, MIN_STRENGTH), *np.maximum(scale, TINY)])
