"""Uniform distributions."""

from __future__ import annotations

from collections import namedtuple

import numpy as np

from skmoe._numerics.typing import Array
from skmoe.distributions._component_functions import ComponentFunctions, Components

# Distance from the range, in widths and in units of the round-off of its ends, up to which points
# are in it: a change of units moves points and ends by round-off.
WIDTH_TOL = 1e-9
ROUND_OFF_TOL = 16.0


def is_in_range(y: Array, low: Array, high: Array) -> Array:
    """Whether points are in the range, up to round-off of points and ends."""
    round_off = np.finfo(float).eps * np.maximum(np.abs(low), np.abs(high))
    slack = WIDTH_TOL * (high - low) + ROUND_OFF_TOL * round_off
    return (y >= low - slack) & (y <= high + slack)


def _log_pdf(y: Array, low: Array, high: Array) -> Array:
    outside = np.where(np.isnan(y), np.nan, -np.inf)
    return np.where(is_in_range(y, low, high), -np.log(high - low), outside)


def _cdf(y: Array, low: Array, high: Array) -> Array:
    return np.clip((y - low) / (high - low), 0.0, 1.0)


def _sf(y: Array, low: Array, high: Array) -> Array:
    return np.clip((high - y) / (high - low), 0.0, 1.0)


def _crps(y: Array, low: Array, high: Array) -> Array:
    """Score of one component: Jordan, Krüger and Lerch (2019)."""
    width, inside = high - low, np.clip(y, low, high)
    below, above = (inside - low) / width, (high - inside) / width
    return np.abs(y - inside) + width * (below**3 + above**3) / 3.0


UNIFORM = ComponentFunctions(
    mean=lambda low, high: low + 0.5 * (high - low),
    variance=lambda low, high: np.square(high - low) / 12.0,
    mode=lambda low, high: low + 0.5 * (high - low),
    log_pdf=_log_pdf,
    cdf=_cdf,
    sf=_sf,
    quantile=lambda q, low, high: low + q * (high - low),
    upper_quantile=lambda q, low, high: high - q * (high - low),
    crps=_crps,
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
