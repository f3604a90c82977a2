"""Distributions of positive values: gamma, inverse Gaussian and Weibull."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
from scipy.special import erfcx, gamma, gammainccinv, gammaincinv

from skmoe._numerics.probability import LOG_2PI
from skmoe._numerics.typing import Array
from skmoe.distributions import _poisson
from skmoe.distributions._components import Components
from skmoe.distributions._functions import ComponentFunctions
from skmoe.distributions._searches import LARGEST

# The probability that a gamma variable of a shape exceeds y is that of a Poisson count below the
# shape, with the mean `_scaled(y)`. The functions of the Poisson are continued to all real counts.


def _scaled(y: Array, mean: Array, shape: Array) -> Array:
    """Y in units of the scale, zero where y is negative."""
    return np.clip(y, 0.0, LARGEST) * (shape / mean)


def _gamma_log_pdf(y: Array, mean: Array, shape: Array) -> Array:
    logs = _poisson.log_mass(shape - 1.0, _scaled(y, mean, shape)) + np.log(shape / mean)
    return np.where((y < 0.0) | np.isposinf(y), -np.inf, logs)


def _gamma_cdf(y: Array, mean: Array, shape: Array) -> Array:
    return _poisson.sf_real(shape - 1.0, _scaled(y, mean, shape))


def _gamma_sf(y: Array, mean: Array, shape: Array) -> Array:
    return _poisson.cdf_real(shape - 1.0, _scaled(y, mean, shape))


def _gamma_log_cdf(y: Array, mean: Array, shape: Array) -> Array:
    logs = _poisson.log_sf_real(shape - 1.0, _scaled(y, mean, shape))
    return np.where(y <= 0.0, -np.inf, np.where(np.isposinf(y), 0.0, logs))


def _gamma_log_sf(y: Array, mean: Array, shape: Array) -> Array:
    logs = _poisson.log_cdf_real(shape - 1.0, _scaled(y, mean, shape))
    return np.where(y <= 0.0, 0.0, np.where(np.isposinf(y), -np.inf, logs))


GAMMA = ComponentFunctions(
    mean=lambda mean, shape: mean,
    variance=lambda mean, shape: np.square(mean) / shape,
    mode=lambda mean, shape: mean * np.maximum(1.0 - 1.0 / shape, 0.0),
    log_pdf=_gamma_log_pdf,
    cdf=_gamma_cdf,
    sf=_gamma_sf,
    log_cdf=_gamma_log_cdf,
    log_sf=_gamma_log_sf,
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


def _inside(y: Array) -> tuple[Array, Array]:
    """Points with one in place of those outside (0, inf), and which these are."""
    inside = (y > 0.0) & (y < np.inf)
    return np.where(inside, y, 1.0), inside


def _inverse_gaussian_log_pdf(y: Array, mean: Array, dispersion: Array) -> Array:
    positive, inside = _inside(y)
    below, _ = _deviations(positive, mean, dispersion)
    logs = -0.5 * (LOG_2PI + np.log(dispersion) + 3.0 * np.log(positive) + np.square(below))
    return np.where(np.isnan(y), np.nan, np.where(inside, logs, -np.inf))


def _inverse_gaussian_log_tails(y: Array, mean: Array, dispersion: Array) -> tuple[Array, Array]:
    """Log probabilities below and above positive y."""
    below, above = _deviations(y, mean, dispersion)
    root = np.sqrt(0.5)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        second = erfcx(root * above)
        # The smaller of both tails is computed, and the other one from it.
        small = np.log(
            0.5 * (erfcx(root * np.abs(below)) + np.where(below < 0.0, 1.0, -1.0) * second)
        )
        small = small - 0.5 * np.square(below)
        large = np.log1p(-np.exp(np.minimum(small, 0.0)))
    return np.where(below < 0.0, small, large), np.where(below < 0.0, large, small)


def _inverse_gaussian_log_cdf(y: Array, mean: Array, dispersion: Array) -> Array:
    positive, inside = _inside(y)
    logs = np.where(inside, _inverse_gaussian_log_tails(positive, mean, dispersion)[0], -np.inf)
    return np.where(np.isnan(y), np.nan, np.where(np.isposinf(y), 0.0, logs))


def _inverse_gaussian_log_sf(y: Array, mean: Array, dispersion: Array) -> Array:
    positive, inside = _inside(y)
    logs = np.where(inside, _inverse_gaussian_log_tails(positive, mean, dispersion)[1], 0.0)
    return np.where(np.isnan(y), np.nan, np.where(np.isposinf(y), -np.inf, logs))


def _inverse_gaussian_mode(mean: Array, dispersion: Array) -> Array:
    half = 1.5 * dispersion * mean
    return mean / (half + np.sqrt(1.0 + np.square(half)))


INVERSE_GAUSSIAN = ComponentFunctions(
    mean=lambda mean, dispersion: mean,
    variance=lambda mean, dispersion: dispersion * mean**3,
    mode=_inverse_gaussian_mode,
    log_pdf=_inverse_gaussian_log_pdf,
    log_cdf=_inverse_gaussian_log_cdf,
    log_sf=_inverse_gaussian_log_sf,
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


def _power(y: Array, scale: Array, shape: Array) -> Array:
    """Ratio of y to the scale, to the power of the shape: minus the log of the upper tail."""
    with np.errstate(over="ignore"):
        return np.power(np.maximum(y, 0.0) / scale, shape)


def _weibull_log_pdf(y: Array, scale: Array, shape: Array) -> Array:
    possible = (y >= 0.0) & (y < np.inf)
    ratio = np.where(possible, y, scale) / scale
    # At zero the density is infinite, finite or zero for shapes below, at and above one.
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(shape == 1.0, 0.0, (shape - 1.0) * np.log(ratio))
    with np.errstate(over="ignore"):
        logs = np.log(shape / scale) + logs - np.power(ratio, shape)
    return np.where(np.isnan(y), np.nan, np.where(possible, logs, -np.inf))


def _weibull_variance(scale: Array, shape: Array) -> Array:
    return np.square(scale) * (gamma(1.0 + 2.0 / shape) - np.square(gamma(1.0 + 1.0 / shape)))


def _weibull_mode(scale: Array, shape: Array) -> Array:
    return scale * np.power(np.maximum(1.0 - 1.0 / shape, 0.0), 1.0 / shape)


WEIBULL = ComponentFunctions(
    mean=lambda scale, shape: scale * gamma(1.0 + 1.0 / shape),
    variance=_weibull_variance,
    mode=_weibull_mode,
    log_pdf=_weibull_log_pdf,
    cdf=lambda y, scale, shape: -np.expm1(-_power(y, scale, shape)),
    log_sf=lambda y, scale, shape: -_power(y, scale, shape),
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
