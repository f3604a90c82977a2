"""The normal distribution."""

from __future__ import annotations

from collections import namedtuple

import numpy as np

from skmoe._numerics.probability import LOG_2PI, mean_distance
from skmoe._numerics.typing import Array
from skmoe.distributions._component_functions import Components, functions_of_normal


def _log_pdf(y: Array, mean: Array, std: Array) -> Array:
    return -np.log(std) - 0.5 * (LOG_2PI + ((y - mean) / std) ** 2)


def _crps(y: Array, mean: Array, std: Array) -> Array:
    """Score of one component: Gneiting and Raftery (2007)."""
    return mean_distance(y - mean, std) - std / np.sqrt(np.pi)


NORMAL = functions_of_normal(
    lambda y, mean, std: (y - mean) / std,
    lambda score, mean, std: mean + std * score,
    mean=lambda mean, std: mean,
    variance=lambda mean, std: np.square(std),
    mode=lambda mean, std: mean,
    log_pdf=_log_pdf,
    crps=_crps,
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
