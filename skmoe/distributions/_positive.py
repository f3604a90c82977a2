"""Distributions of positive values: gamma, inverse Gaussian, Weibull, and of Tweedie ones."""

from __future__ import annotations

from collections import namedtuple
from functools import partial

import numpy as np
from scipy.special import (
    erfcx,
    gamma,
    gammainc,
    gammaincc,
    gammainccinv,
    gammaincinv,
    gammaln,
    logsumexp,
    xlogy,
)
from scipy.stats import poisson

from skmoe._numerics.probability import LOG_2PI, LOG_NEGLIGIBLE
from skmoe._numerics.special import indices, log_sum, shape_of_jumps
from skmoe._numerics.typing import Array
from skmoe.distributions._components import ComponentFunctions, Components, NestedComponents
from skmoe.distributions._discrete import PointMassComponents, log_mass, log_tail

# The probability that a gamma variable of a shape exceeds y is that of a Poisson count below the
# shape, with the mean y in units of the scale. The functions of the Poisson are continued to all
# real counts.


def _gamma_log_pdf(y: Array, mean: Array, shape: Array) -> Array:
    logs = log_mass(shape, y * (shape / mean)) + np.log(shape) - np.log(y)
    return np.where(y > 0.0, logs, xlogy(shape - 1.0, y) + np.log(shape / mean))


GAMMA = ComponentFunctions(
    mean=lambda mean, shape: mean,
    variance=lambda mean, shape: np.square(mean) / shape,
    log_pdf=_gamma_log_pdf,
    log_cdf=lambda y, mean, shape: log_tail(False, shape - 1.0, y * (shape / mean)),
    log_sf=lambda y, mean, shape: log_tail(True, shape - 1.0, y * (shape / mean)),
    support=(0.0, np.inf),
    quantile=lambda q, mean, shape: mean / shape * gammaincinv(shape, q),
    upper_quantile=lambda q, mean, shape: mean / shape * gammainccinv(shape, q),
    draw=lambda rng, mean, shape: mean / shape * rng.standard_gamma(shape),
)


class GammaComponents(namedtuple("_GammaFields", "weight mean shape"), Components):
    """Mixtures of gammas that one expert predicts, one for each row; rows are the last axis.

    Attributes
    ----------
    weight : ndarray of shape (n_components, n_rows)
        Probabilities of the components, which sum to one.
    mean : ndarray of shape (n_components, n_outputs, n_rows)
        Means of the components.
    shape : ndarray of shape (n_components, n_outputs, n_rows)
        Shapes of the components; the variance is mean^2 / shape.

    See Also
    --------
    predictive_distribution : The mixture of the components of several experts.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.distributions import GammaComponents, predictive_distribution
    >>> parts = GammaComponents(np.ones((1, 2)), np.full((1, 1, 2), 3.0), np.full((1, 1, 2), 2.0))
    >>> predictive_distribution([parts], np.ones((1, 2)), single_output=True).var
    array([4.5, 4.5])
    """

    functions = GAMMA


# The distribution function is a sum of two normal tails, whose common factor exp(-below^2 / 2) is
# taken out, so that the scaled complementary error functions neither under- nor overflow.


def _deviations(y: Array, mean: Array, dispersion: Array) -> tuple[Array, Array]:
    """(y - mean) / s and (y + mean) / s, for s = mean sqrt(dispersion y), of positive y."""
    scale = mean * np.sqrt(dispersion * y)
    return (y - mean) / scale, (y + mean) / scale


def _inverse_gaussian_log_pdf(y: Array, mean: Array, dispersion: Array) -> Array:
    below, _ = _deviations(y, mean, dispersion)
    return -0.5 * (LOG_2PI + np.log(dispersion) + 3.0 * np.log(y) + np.square(below))


def _inverse_gaussian_log_tail(lower: bool, y: Array, mean: Array, dispersion: Array) -> Array:
    """Log probability of one tail: the smaller one is computed, and the other one from it."""
    below, above = _deviations(y, mean, dispersion)
    root = np.sqrt(0.5)
    other = np.where(below < 0.0, 1.0, -1.0) * erfcx(root * above)
    small = np.log(0.5 * (erfcx(root * np.abs(below)) + other)) - 0.5 * np.square(below)
    large = np.log1p(-np.exp(np.minimum(small, 0.0)))
    return np.where((below < 0.0) == lower, small, large)


INVERSE_GAUSSIAN = ComponentFunctions(
    mean=lambda mean, dispersion: mean,
    variance=lambda mean, dispersion: dispersion * mean**3,
    log_pdf=_inverse_gaussian_log_pdf,
    log_cdf=partial(_inverse_gaussian_log_tail, True),
    log_sf=partial(_inverse_gaussian_log_tail, False),
    support=(0.0, np.inf),
    draw=lambda rng, mean, dispersion: rng.wald(mean, 1.0 / dispersion),
)


class InverseGaussianComponents(
    namedtuple("_InverseGaussianFields", "weight mean dispersion"), Components
):
    """Mixtures of inverse Gaussians that one expert predicts; rows are the last axis.

    Attributes
    ----------
    weight : ndarray of shape (n_components, n_rows)
        Probabilities of the components, which sum to one.
    mean : ndarray of shape (n_components, n_outputs, n_rows)
        Means of the components.
    dispersion : ndarray of shape (n_components, n_outputs, n_rows)
        Dispersions of the components, in units of 1/y; the variance is dispersion * mean^3.

    See Also
    --------
    predictive_distribution : The mixture of the components of several experts.

    References
    ----------
    R. S. Chhikara and J. L. Folks (1989), "The Inverse Gaussian Distribution", Marcel Dekker.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.distributions import InverseGaussianComponents, predictive_distribution
    >>> mean, dispersion = np.full((1, 1, 2), 2.0), np.full((1, 1, 2), 0.5)
    >>> parts = InverseGaussianComponents(np.ones((1, 2)), mean, dispersion)
    >>> predictive_distribution([parts], np.ones((1, 2)), single_output=True).var
    array([4., 4.])
    """

    functions = INVERSE_GAUSSIAN


def _weibull_log_pdf(y: Array, scale: Array, shape: Array) -> Array:
    # At zero the density is infinite, finite or zero for shapes below, at and above one.
    return np.log(shape / scale) + xlogy(shape - 1.0, y / scale) - np.power(y / scale, shape)


def _weibull_variance(scale: Array, shape: Array) -> Array:
    return np.square(scale) * (gamma(1.0 + 2.0 / shape) - np.square(gamma(1.0 + 1.0 / shape)))


WEIBULL = ComponentFunctions(
    mean=lambda scale, shape: scale * gamma(1.0 + 1.0 / shape),
    variance=_weibull_variance,
    log_pdf=_weibull_log_pdf,
    cdf=lambda y, scale, shape: -np.expm1(-np.power(y / scale, shape)),
    log_sf=lambda y, scale, shape: -np.power(y / scale, shape),
    support=(0.0, np.inf),
    quantile=lambda q, scale, shape: scale * np.power(-np.log1p(-q), 1.0 / shape),
    upper_quantile=lambda q, scale, shape: scale * np.power(-np.log(q), 1.0 / shape),
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


def _tweedie_log_pdf(y: Array, mean: Array, dispersion: Array, power: Array) -> Array:
    logs = log_density(np.where(y > 0.0, y, 1.0), mean, dispersion, power)
    return np.where(y > 0.0, logs - _log_positive(mean, dispersion, power), -np.inf)


def _jumps(
    lower: bool, y: Array, mean: Array, dispersion: Array, power: Array
) -> tuple[Array, Array, Array]:
    """Numbers of jumps (J, ...), the logs of their probabilities given one, and y in their unit.

    Far in a tail the likely numbers are those of values next to y.
    """
    shape, number = shape_of_jumps(power), expected_jumps(mean, dispersion, power)
    scale = dispersion * (power - 1.0) * np.power(mean, power - 1.0)
    at = y / scale
    nearest = np.minimum(mean, at * scale) if lower else np.maximum(mean, at * scale)
    center = expected_jumps(nearest, dispersion, power)
    density = 2.0 * np.sqrt(1.0 + np.max(shape, initial=0.0))
    j, step = indices(center, np.sqrt(center), float(density))
    logs = xlogy(j, number) - number - gammaln(j + 1.0) + np.log(step)
    return j * shape, logs - _log_positive(mean, dispersion, power), at


def _tweedie_log_tail(lower: bool, y: Array, *parameters: Array) -> Array:
    """Log probability of one tail at y, a sum over the numbers of jumps."""
    y, *others = np.broadcast_arrays(y, *parameters)
    shapes, log_prob, at = _jumps(lower, y, *others)
    of_jumps = (gammainc if lower else gammaincc)(shapes, at)
    logs = np.log(np.minimum((np.exp(log_prob) * of_jumps).sum(axis=0), 1.0))
    far = (logs < LOG_NEGLIGIBLE) & (y > 0.0)
    if far.any():
        shapes, log_prob, at = _jumps(lower, y[far], *(values[far] for values in others))
        log_prob = log_prob + log_tail(not lower, shapes - 1.0, at)
        logs[far] = logsumexp(log_prob, axis=0)
    return logs


def _tweedie_variance(mean: Array, dispersion: Array, power: Array) -> Array:
    square = dispersion * np.power(mean, power) + np.square(mean)
    positive = -np.expm1(-expected_jumps(mean, dispersion, power))
    return square / positive - np.square(mean / positive)


def _tweedie_draw(
    rng: np.random.RandomState, mean: Array, dispersion: Array, power: Array
) -> Array:
    number = expected_jumps(mean, dispersion, power)
    none = np.exp(-number)
    level = none + (1.0 - none) * rng.uniform(size=np.shape(number))
    jumps = np.maximum(poisson.ppf(level, number), 1.0)
    scale = dispersion * (power - 1.0) * np.power(mean, power - 1.0)
    return scale * rng.standard_gamma(jumps * shape_of_jumps(power))


POSITIVE_TWEEDIE = ComponentFunctions(
    mean=lambda mean, *others: mean / -np.expm1(-expected_jumps(mean, *others)),
    variance=_tweedie_variance,
    log_pdf=_tweedie_log_pdf,
    log_cdf=partial(_tweedie_log_tail, True),
    log_sf=partial(_tweedie_log_tail, False),
    draw=_tweedie_draw,
    support=(0.0, np.inf),
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
