"""The beta distribution, by its two shapes."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
from scipy.special import betainc, betaincinv, betaln, xlog1py, xlogy

from skmoe._numerics.incomplete_beta import log_beta_fraction
from skmoe._numerics.probability import LOG_NEGLIGIBLE
from skmoe._numerics.typing import Array
from skmoe.distributions._component_functions import ComponentFunctions, Components


def _log_pdf(y: Array, first: Array, second: Array) -> Array:
    possible = (y >= 0.0) & (y <= 1.0)
    inside = np.where(possible, y, 0.5)
    with np.errstate(divide="ignore"):
        logs = xlogy(first - 1.0, inside) + xlog1py(second - 1.0, -inside) - betaln(first, second)
    return np.where(np.isnan(y), np.nan, np.where(possible, logs, -np.inf))


def _cdf(y: Array, first: Array, second: Array) -> Array:
    return betainc(first, second, np.clip(y, 0.0, 1.0))


def _sf(y: Array, first: Array, second: Array) -> Array:
    return betainc(second, first, 1.0 - np.clip(y, 0.0, 1.0))


def _log_cdf(y: Array, first: Array, second: Array) -> Array:
    y, first, second = np.broadcast_arrays(y, first, second)
    with np.errstate(divide="ignore"):
        logs = np.log(_cdf(y, first, second))
    far = (logs < LOG_NEGLIGIBLE) & (y > 0.0)
    x, a, b = y[far], first[far], second[far]
    fraction = log_beta_fraction(a, b, x, a - (a + b) * x)
    logs[far] = a * np.log(x) + b * np.log1p(-x) - betaln(a, b) + fraction
    return logs


def _log_sf(y: Array, first: Array, second: Array) -> Array:
    return _log_cdf(1.0 - y, second, first)


def _mode(first: Array, second: Array) -> Array:
    """The end with the higher density, if both shapes are at most one."""
    above = np.maximum(first - 1.0, 0.0), np.maximum(second - 1.0, 0.0)
    total = above[0] + above[1]
    end = np.where(first > second, 1.0, 0.0)
    return np.where(total > 0.0, above[0] / np.where(total > 0.0, total, 1.0), end)


def _crps(y: Array, first: Array, second: Array) -> Array:
    """Score of one component: Jordan, Krüger and Lerch (2019)."""
    mean = first / (first + second)
    below, size_biased = _cdf(y, first, second), _cdf(y, first + 1.0, second)
    spread = betaln(2.0 * first, 2.0 * second) - 2.0 * betaln(first, second)
    score = y * (2.0 * below - 1.0) + mean * (1.0 - 2.0 * size_biased)
    return score - 2.0 / (first + second) * np.exp(spread)


BETA = ComponentFunctions(
    mean=lambda first, second: first / (first + second),
    variance=lambda first, second: (
        first * second / np.square(first + second) / (first + second + 1.0)
    ),
    mode=_mode,
    log_pdf=_log_pdf,
    cdf=_cdf,
    sf=_sf,
    log_cdf=_log_cdf,
    log_sf=_log_sf,
    quantile=lambda q, first, second: betaincinv(first, second, q),
    upper_quantile=lambda q, first, second: 1.0 - betaincinv(second, first, q),
    crps=_crps,
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
