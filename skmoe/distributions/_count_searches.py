"""Searches over the counts of many mixtures at once: weights and parameters (K, r)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import ndtri

from skmoe._numerics.typing import Array
from skmoe.distributions._count_families import CountFamily

# Relative difference of probabilities that counts as none.
SAME = 1e-13

# Probability above a count that is lost in the round-off of one.
NOTHING = 1e-17


def weighted_probability(
    function: Callable[..., Array], weights: Array, parameters: Sequence[Array], count: Array
) -> Array:
    """Sum over components of weighted probabilities, added one by one to save memory."""
    total = np.zeros(())
    for weight, *values in zip(weights, *parameters, strict=True):
        total = total + weight * function(count, *values)
    return np.minimum(total, 1.0)


def quantile_bracket(
    family: CountFamily, weights: Array, parameters: Sequence[Array], q: float
) -> tuple[Array, Array, Array]:
    """Counts below and from the quantile on, and the probability that it must reach, each (r,).

    This probability is q, or less if the `cdf` never is q because of the round-off of the weights.
    """
    present = weights > 0.0
    spread = np.sqrt(family.variance(*parameters))
    guess = parameters[0] + ndtri(q) * spread
    low = np.maximum(np.floor(np.min(guess, axis=0, where=present, initial=np.inf)) - 1.0, -1.0)
    high = np.maximum(np.floor(np.max(guess, axis=0, where=present, initial=0.0)), 0.0)
    width = np.maximum(np.max(spread, axis=0, where=present, initial=0.0), 1.0)

    def probability(function: Callable[..., Array], count: Array) -> Array:
        return weighted_probability(function, weights, parameters, count)

    low = np.where(probability(family.cdf, low) < q, low, -1.0)
    while True:
        found = probability(family.cdf, high)
        short = (found < q) & (probability(family.sf, high) > NOTHING)
        if not short.any():
            return low, high, np.minimum(found, q)
        low, high = np.where(short, high, low), np.where(short, np.ceil(high + width), high)
        width = 2.0 * width


def smallest_counts(reached: Callable[[Array, Array], Array], low: Array, high: Array) -> Array:
    """Smallest counts above `low` for which `reached(counts, rows)` holds, as it does of `high`."""
    low, high, rows = low.copy(), high.copy(), np.arange(len(low))
    while len(rows):
        middle = np.floor(0.5 * (low[rows] + high[rows]))
        inside = (low[rows] < middle) & (middle < high[rows])
        rows, middle = rows[inside], middle[inside]
        enough = reached(middle, rows)
        high[rows[enough]] = middle[enough]
        low[rows[~enough]] = middle[~enough]
    return high


def most_probable_counts(family: CountFamily, weights: Array, parameters: Sequence[Array]) -> Array:
    """The most probable counts, (r,)."""
    peaks, present = family.mode(*parameters), weights > 0.0

    def height(counts: Array, rows: Array) -> Array:
        """Sum over components of their probabilities at counts of shape (r,) or (K, r)."""
        logs = family.log_pdf(counts, *(values[:, rows] for values in parameters))
        return (weights[:, rows] * np.exp(logs)).sum(axis=0)

    rows = np.arange(weights.shape[1])
    heights = np.stack([height(peak, rows) for peak in peaks])
    best, highest = peaks[heights.argmax(axis=0), rows], heights.max(axis=0)
    first = np.min(peaks, axis=0, where=present, initial=np.inf)
    last = np.max(peaks, axis=0, where=present, initial=0.0)
    while len(rows):
        middle = np.floor(0.5 * (first + last))
        value = height(middle, rows)
        order = np.argsort(value)  # of several intervals of a row the last one stays
        order = order[value[order] > highest[rows[order]]]
        best[rows[order]], highest[rows[order]] = middle[order], value[order]
        first, last = np.concatenate([first, middle + 1.0]), np.concatenate([middle - 1.0, last])
        rows = np.concatenate([rows, rows])
        most = height(np.clip(peaks[:, rows], first, np.maximum(first, last)), rows)
        left = (first <= last) & (most > highest[rows] * (1.0 + SAME))
        rows, first, last = rows[left], first[left], last[left]
    return best
