"""The prior of variances that maximises the evidence, from the variances of several experts.

References
----------
G. K. Smyth (2004), "Linear models and empirical Bayes methods for assessing differential expression
in microarray experiments", Statistical Applications in Genetics and Molecular Biology 3, 3.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import gammaln

from skmoe._numerics.typing import TINY, Array

# Standard deviations of the log strength and the log scale of the prior of dispersions about their
# defaults, and the range of the strength, in rows.
LOG_STRENGTH_STD = 1.0
LOG_SCALE_STD = 1.0
MIN_STRENGTH = 1.0
MAX_STRENGTH = 1e4


def dispersion_prior(
    squares: Array, weight: Array, defaults: tuple[float, Array]
) -> tuple[float, Array]:
    """Strength and scales (m,) of the inverse-gamma prior of variances, across experts.

    `squares` (K, m) are sums of squared residuals, and `weight` (K, m) their degrees of freedom.
    The sums have a scaled F distribution given strength and scale, whose prior is log-normal about
    the defaults.
    """
    center = _log_prior(*defaults)

    def objective(logs: Array) -> float:
        return -_log_evidence_of_prior(logs, squares, weight, center)

    bounds = [(np.log(MIN_STRENGTH), np.log(MAX_STRENGTH))]
    bounds += [(value - 30.0, value + 5.0) for value in center[1:]]
    start = np.clip(center, *np.transpose(bounds))
    found = minimize(objective, start, method="L-BFGS-B", bounds=bounds).x
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
        _log_evidence_of_prior(_log_prior(*prior), squares, weight, center)
        for prior in (before, after)
    )
    return new - old


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
    return float(volume.sum()) + _log_density_of_prior(logs, _log_prior(*defaults))


def _log_prior(strength: float, scale: Array) -> Array:
    """Logs of strength and scales, (1 + m,)."""
    return np.log([max(strength, MIN_STRENGTH), *np.maximum(scale, TINY)])


def _log_evidence_of_prior(logs: Array, squares: Array, weight: Array, center: Array) -> float:
    nu, scales = np.exp(logs[0]), np.exp(logs[1:])
    half, prior = 0.5 * (weight + nu), nu * scales
    value = gammaln(half) - gammaln(0.5 * nu) + 0.5 * nu * np.log(prior)
    value = value - half * np.log(prior + squares)
    return float(value.sum()) + _log_density_of_prior(logs, center)


def _log_density_of_prior(logs: Array, center: Array) -> float:
    """Log density of log strength and log scales, normal about the defaults, up to a constant."""
    moved = logs - center
    penalty = (moved[0] / LOG_STRENGTH_STD) ** 2 + np.square(moved[1:] / LOG_SCALE_STD).sum()
    return -0.5 * float(penalty)
