"""Distributions between two bounds: beta, by its two shapes, and uniform."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
from scipy.special import betainc, betaincinv, betaln, xlog1py, xlogy

from skmoe._numerics.incomplete_beta import log_beta_fraction
from skmoe._numerics.probability import LOG_NEGLIGIBLE
from skmoe._numerics.typing import Array
from skmoe.distributions._components import Components
from skmoe.distributions._functions import ComponentFunctions


def _beta_log_pdf(y: Array, first: Array, second: Array) -> Array:
    possible = (y >= 0.0) & (y <= 1.0)
    inside = np.where(possible, y, 0.5)
    with np.errstate(divide="ignore"):
        logs = xlogy(first - 1.0, inside) + xlog1py(second - 1.0, -inside) - betaln(first, second)
    return np.where(np.isnan(y), np.nan, np.where(possible, logs, -np.inf))


def _beta_cdf(y: Array, first: Array, second: Array) -> Array:
    return betainc(first, second, np.clip(y, 0.0, 1.0))


def _beta_sf(y: Array, first: Array, second: Array) -> Array:
    return betainc(second, first, 1.0 - np.clip(y, 0.0, 1.0))


def _beta_log_cdf(y: Array, first: Array, second: Array) -> Array:
    y, first, second = np.broadcast_arrays(y, first, second)
    with np.errstate(divide="ignore"):
        logs = np.log(_beta_cdf(y, first, second))
    far = (logs < LOG_NEGLIGIBLE) & (y > 0.0)
    x, a, b = y[far], first[far], second[far]
    fraction = log_beta_fraction(a, b, x, a - (a + b) * x)
    logs[far] = a * np.log(x) + b * np.log1p(-x) - betaln(a, b) + fraction
    return logs


def _beta_log_sf(y: Array, first: Array, second: Array) -> Array:
    return _beta_log_cdf(1.0 - y, second, first)


def _beta_mode(first: Array, second: Array) -> Array:
    """The end with the higher density, if both shapes are at most one."""
    above = np.maximum(first - 1.0, 0.0), np.maximum(second - 1.0, 0.0)
    total = above[0] + above[1]
    end = np.where(first > second, 1.0, 0.0)
    return np.where(total > 0.0, above[0] / np.where(total > 0.0, total, 1.0), end)


BETA = ComponentFunctions(
    mean=lambda first, second: first / (first + second),
    variance=lambda first, second: (
        first * second / np.square(first + second) / (first + second + 1.0)
    ),
    mode=_beta_mode,
    log_pdf=_beta_log_pdf,
    cdf=_beta_cdf,
    sf=_beta_sf,
    log_cdf=_beta_log_cdf,
    log_sf=_beta_log_sf,
    quantile=lambda q, first, second: betaincinv(first, second, q),
    upper_quantile=lambda q, first, second: 1.0 - betaincinv(second, first, q),
    draw=lambda rng, first, second: rng.beta(first, second),
)


class BetaComponents(namedtuple("_BetaFields", "weight first second"), Components):
    """Mixtures of beta distributions that one expert predicts; rows are the last axis.

    Attributes
    ----------
    weight : ndarray of shape (n_components, n_rows)
        Probabilities of the components, which sum to one.
    first : ndarray of shape (n_components, n_outputs, n_rows)
        Mean times precision.
    second : ndarray of shape (n_components, n_outputs, n_rows)
        One less the mean, times precision.

    See Also
    --------
    predictive_distribution : The mixture of the components of several experts.

    References
    ----------
    N. L. Johnson, S. Kotz and N. Balakrishnan (1995), "Continuous univariate distributions",
    volume 2, 2nd edition, Wiley, chapter 25.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.distributions import BetaComponents, predictive_distribution
    >>> first, second = np.full((1, 1, 2), 2.0), np.full((1, 1, 2), 6.0)
    >>> parts = BetaComponents(np.ones((1, 2)), first, second)
    >>> predictive_distribution([parts], np.ones((1, 2)), single_output=True).mean
    array([0.25, 0.25])
    """

    functions = BETA


# Distance from the range, in widths and in units of the round-off of its ends, up to which points
# are in it: a change of units moves points and ends by round-off.
WIDTH_TOL = 1e-9
ROUND_OFF_TOL = 16.0


def is_in_range(y: Array, low: Array, high: Array) -> Array:
    """Whether points are in the range, up to round-off of points and ends."""
    round_off = np.finfo(float).eps * np.maximum(np.abs(low), np.abs(high))
    slack = WIDTH_TOL * (high - low) + ROUND_OFF_TOL * round_off
    return (y >= low - slack) & (y <= high + slack)


def _uniform_log_pdf(y: Array, low: Array, high: Array) -> Array:
    outside = np.where(np.isnan(y), np.nan, -np.inf)
    return np.where(is_in_range(y, low, high), -np.log(high - low), outside)


def _uniform_cdf(y: Array, low: Array, high: Array) -> Array:
    return np.clip((y - low) / (high - low), 0.0, 1.0)


def _uniform_sf(y: Array, low: Array, high: Array) -> Array:
    return np.clip((high - y) / (high - low), 0.0, 1.0)


UNIFORM = ComponentFunctions(
    mean=lambda low, high: low + 0.5 * (high - low),
    variance=lambda low, high: np.square(high - low) / 12.0,
    mode=lambda low, high: low + 0.5 * (high - low),
    log_pdf=_uniform_log_pdf,
    cdf=_uniform_cdf,
    sf=_uniform_sf,
    quantile=lambda q, low, high: low + q * (high - low),
    upper_quantile=lambda q, low, high: high - q * (high - low),
    draw=lambda rng, low, high: low + (high - low) * rng.uniform(size=low.shape),
    bounds=lambda low, high: (low, high),
    location_scale=True,
)


class UniformComponents(namedtuple("_UniformFields", "weight low high"), Components):
    """Mixtures of uniform distributions that one expert predicts; rows are the last axis.

    Attributes
    ----------
    weight : ndarray of shape (n_components, n_rows)
        Probabilities of the components, which sum to one.
    low : ndarray of shape (n_components, n_outputs, n_rows)
        Lower ends of the components.
    high : ndarray of shape (n_components, n_outputs, n_rows)
        Upper ends of the components, larger than the lower ones.

    See Also
    --------
    predictive_distribution : The mixture of the components of several experts.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.distributions import UniformComponents, predictive_distribution
    >>> parts = UniformComponents(np.ones((1, 2)), np.zeros((1, 1, 2)), np.full((1, 1, 2), 6.0))
    >>> predictive_distribution([parts], np.ones((1, 2)), single_output=True).mean
    array([3., 3.])
    """

    functions = UNIFORM
    locations = ("low", "high")
