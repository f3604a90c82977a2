"""The Weibull distribution; the exponential distribution is that of shape one."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
from scipy.special import gamma, gammainc

from skmoe._numerics.typing import Array
from skmoe.distributions._component_functions import ComponentFunctions, Components


def _power(y: Array, scale: Array, shape: Array) -> Array:
    """Ratio of y to the scale, to the power of the shape: minus the log of the upper tail."""
    with np.errstate(over="ignore"):
        return np.power(np.maximum(y, 0.0) / scale, shape)


def _log_pdf(y: Array, scale: Array, shape: Array) -> Array:
    possible = (y >= 0.0) & (y < np.inf)
    ratio = np.where(possible, y, scale) / scale
    # At zero the density is infinite, finite or zero for shapes below, at and above one.
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(shape == 1.0, 0.0, (shape - 1.0) * np.log(ratio))
    with np.errstate(over="ignore"):
        logs = np.log(shape / scale) + logs - np.power(ratio, shape)
    return np.where(np.isnan(y), np.nan, np.where(possible, logs, -np.inf))


def _variance(scale: Array, shape: Array) -> Array:
    return np.square(scale) * (gamma(1.0 + 2.0 / shape) - np.square(gamma(1.0 + 1.0 / shape)))


def _mode(scale: Array, shape: Array) -> Array:
    return scale * np.power(np.maximum(1.0 - 1.0 / shape, 0.0), 1.0 / shape)


def _crps(y: Array, scale: Array, shape: Array) -> Array:
    """Score of one component, E|Y - y| - E|Y - Y'| / 2, from partial means."""
    inverse = 1.0 / shape
    mean, power = scale * gamma(1.0 + inverse), _power(y, scale, shape)
    upper = np.exp(-power)
    distance = y * (1.0 - 2.0 * upper) + mean * (1.0 - 2.0 * gammainc(1.0 + inverse, power))
    distance = np.where(y > 0.0, distance, mean - y)
    score = distance - mean * -np.expm1(-inverse * np.log(2.0))
    return np.where(np.isposinf(y), np.inf, score)


WEIBULL = ComponentFunctions(
    mean=lambda scale, shape: scale * gamma(1.0 + 1.0 / shape),
    variance=_variance,
    mode=_mode,
    log_pdf=_log_pdf,
    cdf=lambda y, scale, shape: -np.expm1(-_power(y, scale, shape)),
    log_sf=lambda y, scale, shape: -_power(y, scale, shape),
    quantile=lambda q, scale, shape: scale * np.power(-np.log1p(-q), 1.0 / shape),
    upper_quantile=lambda q, scale, shape: scale * np.power(-np.log(q), 1.0 / shape),
    crps=_crps,
    draw=lambda rng, scale, shape: scale * rng.weibull(shape),
)


class WeibullComponents(namedtuple("_WeibullFields", "weight scale shape"), Components):
    """Mixtures of Weibull distributions that one expert predicts; rows are the last axis.

    Attributes
    ----------
    weight : ndarray of shape (n_components, n_rows)
        Probabilities of the components, which sum to one.
    scale : ndarray of shape (n_components, n_outputs, n_rows)
        Scales of the components, which 63 % of the values do not exceed.
    shape : ndarray of shape (n_components, n_outputs, n_rows)
        Shapes of the components; exponential distributions have shape one.

    See Also
    --------
    predictive_distribution : The mixture of the components of several experts.

    References
    ----------
    N. L. Johnson, S. Kotz and N. Balakrishnan (1994), "Continuous univariate distributions",
    volume 1, 2nd edition, Wiley, chapter 21.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.distributions import WeibullComponents, predictive_distribution
    >>> scale, shape = np.full((1, 1, 2), 3.0), np.ones((1, 1, 2))
    >>> parts = WeibullComponents(np.ones((1, 2)), scale, shape)
    >>> predictive_distribution([parts], np.ones((1, 2)), single_output=True).mean
    array([3., 3.])
    """

    functions = WEIBULL
