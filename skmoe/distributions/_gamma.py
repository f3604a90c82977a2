"""The gamma distribution, by its mean and shape; the variance is mean^2 / shape."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
from scipy.special import betaln, gammainccinv, gammaincinv

from skmoe._numerics.typing import Array
from skmoe.distributions import _poisson
from skmoe.distributions._component_functions import ComponentFunctions, Components
from skmoe.distributions._poisson import LARGEST

# The probability that a gamma variable of a shape exceeds y is that of a Poisson count below the
# shape, with the mean `_scaled(y)`. The functions of the Poisson are continued to all real counts.


def _scaled(y: Array, mean: Array, shape: Array) -> Array:
    """Y in units of the scale, zero where y is negative."""
    return np.clip(y, 0.0, LARGEST) * (shape / mean)


def _log_pdf(y: Array, mean: Array, shape: Array) -> Array:
    logs = _poisson.log_mass(shape - 1.0, _scaled(y, mean, shape)) + np.log(shape / mean)
    return np.where((y < 0.0) | np.isposinf(y), -np.inf, logs)


def _cdf(y: Array, mean: Array, shape: Array) -> Array:
    return _poisson.sf_real(shape - 1.0, _scaled(y, mean, shape))


def _sf(y: Array, mean: Array, shape: Array) -> Array:
    return _poisson.cdf_real(shape - 1.0, _scaled(y, mean, shape))


def _log_cdf(y: Array, mean: Array, shape: Array) -> Array:
    logs = _poisson.log_sf_real(shape - 1.0, _scaled(y, mean, shape))
    return np.where(y <= 0.0, -np.inf, np.where(np.isposinf(y), 0.0, logs))


def _log_sf(y: Array, mean: Array, shape: Array) -> Array:
    logs = _poisson.log_cdf_real(shape - 1.0, _scaled(y, mean, shape))
    return np.where(y <= 0.0, 0.0, np.where(np.isposinf(y), -np.inf, logs))


def _crps(y: Array, mean: Array, shape: Array) -> Array:
    """Score of one component: Jordan, Krüger and Lerch (2019)."""
    scaled = _scaled(y, mean, shape)
    below, size_biased = (_poisson.sf_real(count, scaled) for count in (shape - 1.0, shape))
    score = y * (2.0 * below - 1.0) - mean * (2.0 * size_biased - 1.0)
    return score - mean / shape * np.exp(-betaln(0.5, shape))


GAMMA = ComponentFunctions(
    mean=lambda mean, shape: mean,
    variance=lambda mean, shape: np.square(mean) / shape,
    mode=lambda mean, shape: mean * np.maximum(1.0 - 1.0 / shape, 0.0),
    log_pdf=_log_pdf,
    cdf=_cdf,
    sf=_sf,
    log_cdf=_log_cdf,
    log_sf=_log_sf,
    quantile=lambda q, mean, shape: mean / shape * gammaincinv(shape, q),
    upper_quantile=lambda q, mean, shape: mean / shape * gammainccinv(shape, q),
    crps=_crps,
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
