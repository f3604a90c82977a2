"""Normal and lognormal distributions."""

from __future__ import annotations

from collections import namedtuple

import numpy as np

from skmoe._numerics.probability import LOG_2PI
from skmoe._numerics.typing import Array
from skmoe.distributions._components import Components
from skmoe.distributions._functions import functions_of_normal


def _normal_log_pdf(y: Array, mean: Array, std: Array) -> Array:
    return -np.log(std) - 0.5 * (LOG_2PI + ((y - mean) / std) ** 2)


NORMAL = functions_of_normal(
    lambda y, mean, std: (y - mean) / std,
    lambda score, mean, std: mean + std * score,
    mean=lambda mean, std: mean,
    variance=lambda mean, std: np.square(std),
    mode=lambda mean, std: mean,
    log_pdf=_normal_log_pdf,
    location_scale=True,
)


class NormalComponents(namedtuple("_NormalFields", "weight mean std"), Components):
    """Mixtures of normals that one expert predicts, one for each row; rows are the last axis.

    Attributes
    ----------
    weight : ndarray of shape (n_components, n_rows)
        Probabilities of the components, which sum to one.
    mean : ndarray of shape (n_components, n_outputs, n_rows)
        Means of the components.
    std : ndarray of shape (n_components, n_outputs, n_rows)
        Standard deviations of the components.

    See Also
    --------
    predictive_distribution : The mixture of the components of several experts.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.distributions import NormalComponents, predictive_distribution
    >>> parts = NormalComponents(np.ones((1, 2)), np.zeros((1, 1, 2)), np.full((1, 1, 2), 2.0))
    >>> predictive_distribution([parts], np.ones((1, 2)), single_output=True).var
    array([4., 4.])
    """

    functions = NORMAL
    locations = ("mean",)
    scales = ("std",)


def _lognormal_score(y: Array, log_mean: Array, log_std: Array) -> Array:
    """Standardised logarithm of y, minus infinity up to zero."""
    with np.errstate(divide="ignore"):
        return (np.log(np.maximum(y, 0.0)) - log_mean) / log_std


def _lognormal_log_pdf(y: Array, log_mean: Array, log_std: Array) -> Array:
    positive = np.where(y > 0.0, y, 1.0)
    z = (np.log(positive) - log_mean) / log_std
    logs = -np.log(positive) - np.log(log_std) - 0.5 * (LOG_2PI + z**2)
    return np.where(y > 0.0, logs, np.where(np.isnan(y), np.nan, -np.inf))


def _lognormal_mean(log_mean: Array, log_std: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.exp(log_mean + 0.5 * np.square(log_std))


def _lognormal_variance(log_mean: Array, log_std: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.exp(2.0 * log_mean + np.square(log_std)) * np.expm1(np.square(log_std))


LOGNORMAL = functions_of_normal(
    _lognormal_score,
    lambda score, log_mean, log_std: np.exp(log_mean + log_std * score),
    mean=_lognormal_mean,
    variance=_lognormal_variance,
    mode=lambda log_mean, log_std: np.exp(log_mean - np.square(log_std)),
    log_pdf=_lognormal_log_pdf,
)


class LogNormalComponents(namedtuple("_LogNormalFields", "weight log_mean log_std"), Components):
    """Mixtures of lognormals that one expert predicts, one for each row; rows are the last axis.

    Attributes
    ----------
    weight : ndarray of shape (n_components, n_rows)
        Probabilities of the components, which sum to one.
    log_mean : ndarray of shape (n_components, n_outputs, n_rows)
        Means of log y.
    log_std : ndarray of shape (n_components, n_outputs, n_rows)
        Standard deviations of log y.

    See Also
    --------
    predictive_distribution : The mixture of the components of several experts.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.distributions import LogNormalComponents, predictive_distribution
    >>> parts = LogNormalComponents(np.ones((1, 2)), np.zeros((1, 1, 2)), np.ones((1, 1, 2)))
    >>> predictive_distribution([parts], np.ones((1, 2)), single_output=True).median.round(6)
    array([1., 1.])
    """

    functions = LOGNORMAL
