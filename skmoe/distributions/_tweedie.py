"""The positive part of Tweedie distributions with a power between 1 and 2."""

from __future__ import annotations

from collections import namedtuple
from functools import partial

import numpy as np
from scipy.special import gammainc, gammaincc, gammaln, logsumexp, xlogy
from scipy.stats import poisson

from skmoe._numerics.probability import LOG_NEGLIGIBLE
from skmoe._numerics.tweedie_series import indices, log_sum, shape_of_jumps
from skmoe._numerics.typing import Array
from skmoe.distributions._components import Components, NestedComponents
from skmoe.distributions._functions import ComponentFunctions
from skmoe.distributions._poisson import log_cdf_real, log_sf_real
from skmoe.distributions._searches import LARGEST
from skmoe.distributions._values import PointMassComponents

# A value is the sum of a Poisson number of gamma variables. It is zero if there are none; the
# distribution here is that of the values for which there is one at least.


def expected_jumps(mean: Array, dispersion: Array, power: Array) -> Array:
    """Mean of the Poisson number."""
    return np.power(mean, 2.0 - power) / (dispersion * (2.0 - power))


def log_density(y: Array, mean: Array, dispersion: Array, power: Array) -> Array:
    """Log density of all values at positive ones, y."""
    shape, log_y, log_dispersion = shape_of_jumps(power), np.log(y), np.log(dispersion)
    log_z = shape * (log_y - np.log(power - 1.0)) - (1.0 + shape) * log_dispersion
    log_z = np.asarray(log_z - np.log(2.0 - power))
    total = np.empty(log_z.shape)
    powers = np.broadcast_to(power, log_z.shape)
    for value in np.unique(powers):
        total[powers == value] = log_sum(log_z[powers == value], float(value))
    exponent = y * np.power(mean, 1.0 - power) / (power - 1.0) * dispersion**-1.0
    return total - exponent - expected_jumps(mean, dispersion, power) - log_y


def _log_positive(mean: Array, dispersion: Array, power: Array) -> Array:
    """Log probability of a positive value."""
    return np.log(-np.expm1(-expected_jumps(mean, dispersion, power)))


def _log_pdf(y: Array, mean: Array, dispersion: Array, power: Array) -> Array:
    inside = (y > 0.0) & (y < np.inf)
    logs = log_density(np.where(inside, y, 1.0), mean, dispersion, power)
    logs = logs - _log_positive(mean, dispersion, power)
    return np.where(np.isnan(y), np.nan, np.where(inside, logs, -np.inf))


def _jumps(
    lower: bool, y: Array, mean: Array, dispersion: Array, power: Array
) -> tuple[Array, Array, Array]:
    """Numbers of jumps (J, ...), the logs of their probabilities given one, and y in their unit.

    Far in a tail the likely numbers are those of values next to y.
    """
    shape, number = shape_of_jumps(power), expected_jumps(mean, dispersion, power)
    scale = dispersion * (power - 1.0) * np.power(mean, power - 1.0)
    at = np.clip(y, 0.0, LARGEST) / scale
    nearest = np.minimum(mean, at * scale) if lower else np.maximum(mean, at * scale)
    center = expected_jumps(nearest, dispersion, power)
    density = 2.0 * np.sqrt(1.0 + np.max(shape, initial=0.0))
    j, step = indices(center, np.sqrt(center), float(density))
    logs = xlogy(j, number) - number - gammaln(j + 1.0) + np.log(step)
    return j * shape, logs - _log_positive(mean, dispersion, power), at


def _tail(lower: bool, y: Array, *parameters: Array) -> Array:
    """Probability of one tail at y, a sum over the numbers of jumps."""
    y, *others = np.broadcast_arrays(y, *parameters)
    shapes, logs, at = _jumps(lower, y, *others)
    tail = (gammainc if lower else gammaincc)(shapes, at)
    total = np.minimum((np.exp(logs) * tail).sum(axis=0), 1.0)
    return np.where(np.isnan(y), np.nan, np.where(y <= 0.0, float(not lower), total))


def _log_tail(lower: bool, y: Array, *parameters: Array) -> Array:
    """Log probability of one tail at y."""
    y, *others = np.broadcast_arrays(y, *parameters)
    with np.errstate(divide="ignore"):
        logs = np.log(_tail(lower, y, *others))
    far = (logs < LOG_NEGLIGIBLE) & (y > 0.0) & (y < np.inf)
    if far.any():
        shapes, log_prob, at = _jumps(lower, y[far], *(values[far] for values in others))
        log_tail = log_sf_real if lower else log_cdf_real
        log_prob = log_prob + log_tail(shapes - 1.0, np.broadcast_to(at, shapes.shape))
        logs[far] = logsumexp(log_prob, axis=0)
    return logs


def _mean(mean: Array, dispersion: Array, power: Array) -> Array:
    return mean / -np.expm1(-expected_jumps(mean, dispersion, power))


def _variance(mean: Array, dispersion: Array, power: Array) -> Array:
    square = dispersion * np.power(mean, power) + np.square(mean)
    positive = -np.expm1(-expected_jumps(mean, dispersion, power))
    return square / positive - np.square(mean / positive)


def _draw(rng: np.random.RandomState, mean: Array, dispersion: Array, power: Array) -> Array:
    number = expected_jumps(mean, dispersion, power)
    none = np.exp(-number)
    level = none + (1.0 - none) * rng.uniform(size=np.shape(number))
    jumps = np.maximum(poisson.ppf(level, number), 1.0)
    scale = dispersion * (power - 1.0) * np.power(mean, power - 1.0)
    return scale * rng.standard_gamma(jumps * shape_of_jumps(power))


POSITIVE_TWEEDIE = ComponentFunctions(
    mean=_mean,
    variance=_variance,
    log_pdf=_log_pdf,
    cdf=partial(_tail, True),
    sf=partial(_tail, False),
    log_cdf=partial(_log_tail, True),
    log_sf=partial(_log_tail, False),
    draw=_draw,
)


class PositiveTweedieComponents(
    namedtuple("_TweedieFields", "weight mean dispersion power"), Components
):
    """Positive values of Tweedie distributions that one expert predicts; rows are the last axis.

    A Tweedie distribution is a mixture of a point mass at zero and of this one.

    Attributes
    ----------
    weight : ndarray of shape (n_components, n_rows)
        Probabilities of the components, which sum to one.
    mean : ndarray of shape (n_components, n_outputs, n_rows)
        Means of the whole distributions, zeros included.
    dispersion : ndarray of shape (n_components, n_outputs, n_rows)
        Dispersions; the variance of the whole distribution is dispersion * mean^power.
    power : ndarray of shape (n_components, n_outputs, n_rows)
        Powers between 1 and 2.

    See Also
    --------
    predictive_distribution : The mixture of the components of several experts.

    References
    ----------
    P. K. Dunn and G. K. Smyth (2005), "Series evaluation of Tweedie exponential dispersion model
    densities", Statistics and Computing 15, 267-280.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.distributions import PositiveTweedieComponents, predictive_distribution
    >>> one = np.ones((1, 1, 2))
    >>> parts = PositiveTweedieComponents(np.ones((1, 2)), one, one, 1.5 * one)
    >>> predictive_distribution([parts], np.ones((1, 2)), single_output=True).mean.round(4)
    array([1.1565, 1.1565])
    """

    functions = POSITIVE_TWEEDIE


def tweedie_components(mean: Array, dispersion: Array, power: Array) -> NestedComponents:
    """Point masses at zero and positive values, of parameters (m, n) of one output."""
    zero = np.exp(-expected_jumps(mean, dispersion, power))
    positive = PositiveTweedieComponents.single(mean, dispersion, power)
    point = PointMassComponents.single(np.zeros(mean.shape))
    return NestedComponents(np.concatenate([zero, 1.0 - zero]), (point, positive))
