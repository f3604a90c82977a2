"""The inverse Gaussian distribution; its variance is the dispersion times mean^3."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
from scipy.special import erfcx

from skmoe._numerics.probability import LOG_2PI
from skmoe._numerics.typing import Array
from skmoe.distributions._component_functions import ComponentFunctions, Components

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


def _log_pdf(y: Array, mean: Array, dispersion: Array) -> Array:
    positive, inside = _inside(y)
    below, _ = _deviations(positive, mean, dispersion)
    logs = -0.5 * (LOG_2PI + np.log(dispersion) + 3.0 * np.log(positive) + np.square(below))
    return np.where(np.isnan(y), np.nan, np.where(inside, logs, -np.inf))


def _log_tails(y: Array, mean: Array, dispersion: Array) -> tuple[Array, Array]:
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


def _log_cdf(y: Array, mean: Array, dispersion: Array) -> Array:
    positive, inside = _inside(y)
    logs = np.where(inside, _log_tails(positive, mean, dispersion)[0], -np.inf)
    return np.where(np.isnan(y), np.nan, np.where(np.isposinf(y), 0.0, logs))


def _log_sf(y: Array, mean: Array, dispersion: Array) -> Array:
    positive, inside = _inside(y)
    logs = np.where(inside, _log_tails(positive, mean, dispersion)[1], 0.0)
    return np.where(np.isnan(y), np.nan, np.where(np.isposinf(y), -np.inf, logs))


def _mode(mean: Array, dispersion: Array) -> Array:
    half = 1.5 * dispersion * mean
    return mean / (half + np.sqrt(1.0 + np.square(half)))


INVERSE_GAUSSIAN = ComponentFunctions(
    mean=lambda mean, dispersion: mean,
    variance=lambda mean, dispersion: dispersion * mean**3,
    mode=_mode,
    log_pdf=_log_pdf,
    log_cdf=_log_cdf,
    log_sf=_log_sf,
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
