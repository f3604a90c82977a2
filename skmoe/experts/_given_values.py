"""Probabilities of the values of y, of which there are few, under continuous distributions.

A value has the probability of its cell, whose limits are half way to the neighbouring values. The
density of ratings is no measure of a model: a normal distribution about one rating, of nearly no
width, has any density there. A probability is at most one, so that models can be compared.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from skmoe._numerics.probability import log_probability
from skmoe._numerics.typing import Array
from skmoe.distributions import OrdinalComponents, predictive_distribution


def _inner_limits(values: Array) -> Array:
    """Limits between the cells of sorted values."""
    return 0.5 * (values[1:] + values[:-1])


def _distribution(components: Any, n_rows: int) -> Any:
    return predictive_distribution([components], np.ones((1, n_rows)), single_output=True)


def on_values(components: Any, values: Array, n_rows: int) -> OrdinalComponents:
    """Components of one expert with the probabilities of the values alone."""
    dist, limits = _distribution(components, n_rows), _inner_limits(values)[None]
    below, above = dist.cdf(limits), dist.sf(limits)
    zero, one = np.zeros((n_rows, 1)), np.ones((n_rows, 1))
    from_below = np.diff(below, axis=1, prepend=zero, append=one)
    # Small probabilities of large values are exact as differences of the probabilities above them.
    from_above = -np.diff(above, axis=1, prepend=one, append=zero)
    probabilities = np.maximum(from_below, from_above)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return OrdinalComponents(np.ones((1, n_rows)), values, probabilities.T[None, None])


def log_probabilities(
    components: Any, values: Array, y: Array, center: Array, spreads: Array
) -> Array:
    """Log probabilities (S, n) of values y (n,), at each of several spreads around a center."""
    limits = np.concatenate([[-np.inf], _inner_limits(values), [np.inf]])
    code = np.searchsorted(values, y)
    center = center[:, None]
    lower, upper = (
        center + (limits[side][:, None] - center) / spreads for side in (code, code + 1)
    )
    dist = _distribution(components, len(y))
    from_below, from_above = dist.cdf(upper) - dist.cdf(lower), dist.sf(lower) - dist.sf(upper)
    return log_probability(np.maximum(from_below, from_above)).T
