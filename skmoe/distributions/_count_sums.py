"""Sums over the counts of many mixtures at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skmoe._numerics.quadrature import SUM_ORDER, sum_points
from skmoe._numerics.typing import Array
from skmoe.distributions._component_functions import Component, take

# Probabilities in both tails between whose quantiles sums are split; the last one is left out.
LEVELS = (1e-3, 1e-6, 1e-10, 1e-15)

# The most counts that are summed one by one, and the numbers that one sum of many rows holds.
FEW_COUNTS = 192
SUM_SIZE = 2_000_000

# Ratio of counts at the ends of a panel, for probabilities that have a power law near zero.
GROWTH = 4.0


def half_mean_difference(components: Sequence[Component]) -> Array:
    """E|Y - Y'| / 2 of independent counts Y and Y' of r mixtures, (r,).

    It is the sum of F(k) (1 - F(k)) over the counts k. The components are distributions of counts
    with weights and parameters (r,), whose weights sum to one.
    """
    last = np.zeros(components[0].weight.shape)
    for family, weight, parameters in components:
        high = family.upper_quantile(LEVELS[-1], *parameters)
        last = np.maximum(last, np.where(weight > 0.0, 1.5 * high + 40.0, 0.0))
    total, few = np.zeros(last.shape), last < FEW_COUNTS
    for chosen, sum_of, size in ((few, _sum_counts, FEW_COUNTS), (~few, _sum_panels, None)):
        rows = np.flatnonzero(chosen)
        step = max(SUM_SIZE // (size or 64 * SUM_ORDER * len(components)), 1)
        for start in range(0, len(rows), step):
            some = rows[start : start + step]
            total[some] = sum_of(take(components, some), last[some])
    return total


def _sum_counts(components: Sequence[Component], last: Array) -> Array:
    """Sum over each count, of probabilities that are summed themselves."""
    counts = np.arange(int(last.max()) + 1.0)[:, None]
    mass = np.zeros((len(counts), len(last)))
    for family, weight, parameters in components:
        # Each probability is a multiple of the one before.
        ratios = np.cumprod(family.mass_ratio(counts[1:], *parameters), axis=0)
        first = weight * np.exp(family.log_pdf(np.zeros(()), *parameters))
        mass += first * np.concatenate([np.ones((1, len(last))), ratios])
    above = np.cumsum(mass[::-1], axis=0)[::-1] - mass
    return (np.cumsum(mass, axis=0) * above).sum(axis=0)


def _sum_panels(components: Sequence[Component], last: Array) -> Array:
    """The same sum over many counts, from a few points between quantiles of the components."""
    growth = SUM_ORDER * GROWTH ** np.arange(np.ceil(np.log(last.max()) / np.log(GROWTH)) + 1.0)
    edges = [np.zeros_like(last), last, *(np.full_like(last, edge) for edge in growth)]
    for part in components:
        edges += part.if_present(part.tail_quantiles((0.5, 0.1, *LEVELS)))
    ends = np.sort(np.fmin(np.floor(edges), last), axis=0)
    points, weights = sum_points(ends[:-1], np.diff(ends, axis=0))
    used = weights != 0.0
    above = np.zeros(points.shape)
    rows = np.broadcast_to(np.arange(len(last)), points.shape)[used]
    for family, weight, parameters in components:
        sf = family.sf_real(points[used], *(values[rows] for values in parameters))
        above[used] += weight[rows] * sf
    return (weights * above * (1.0 - above)).sum(axis=(0, 1))
