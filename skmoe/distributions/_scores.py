"""The integrated variance of the distribution functions of the components of mixtures.

The continuous ranked probability score of a mixture is the weighted mean of those of the
components, less this integral. Components of counts, whose distribution functions are constant
between the counts, are summed; the others are integrated between their quantiles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from skmoe._numerics.quadrature import (
    INTEGRAL_NODES,
    INTEGRAL_ORDER,
    INTEGRAL_WEIGHTS,
    SUM_ORDER,
    integral_points,
    sum_points,
)
from skmoe._numerics.typing import Array
from skmoe.distributions._searches import Component, take, weighted_sum

# Probabilities in both tails between whose quantiles sums are split; the last one is left out.
LEVELS = (1e-3, 1e-6, 1e-10, 1e-15)

# The most counts that are summed one by one, and the numbers that one sum or integral holds.
FEW_COUNTS = 192
SIZE = 2_000_000

# Ratio of counts at the ends of a panel, for probabilities that have a power law near zero.
PANEL_GROWTH = 4.0


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
    size = 64 * SUM_ORDER * len(components)
    for chosen, sum_of, step in ((few, _sum_counts, FEW_COUNTS), (~few, _sum_panels, size)):
        rows = np.flatnonzero(chosen)
        for some in np.array_split(rows, len(rows) * step // SIZE + 1):
            if len(some):
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
    growth = SUM_ORDER * PANEL_GROWTH ** np.arange(
        np.ceil(np.log(last.max()) / np.log(PANEL_GROWTH)) + 1.0
    )
    edges = [np.zeros_like(last), last, *(np.full_like(last, edge) for edge in growth)]
    for part in components:
        edges += part.if_present(part.tail_quantiles((0.5, 0.1, *LEVELS)))
    ends = np.sort(np.fmin(np.floor(edges), last), axis=0)
    points, weights = sum_points(ends[:-1], np.diff(ends, axis=0))
    used = weights != 0.0
    above = np.zeros(points.shape)
    rows = np.broadcast_to(np.arange(len(last)), points.shape)[used]
    for family, weight, parameters in components:
        sf = family.continued.sf(points[used], *(values[rows] for values in parameters))
        above[used] += weight[rows] * sf
    return (weights * above * (1.0 - above)).sum(axis=(0, 1))


# Probabilities of the tails between whose quantiles the integral is split. What is left out beyond
# the last of them is of the order of its square.
EDGE_LEVELS = (0.5, 0.25, 0.08, 0.015, 1e-3, 1e-5, 1e-7, 1e-10)


def mean_score(components: Sequence[Component], points: Array) -> Array:
    """Weighted mean of the scores of components; of counts that of the distance to y."""
    total = np.zeros(())
    for family, weight, parameters in components:
        score = family.mean_distance if family.counts else family.crps
        total = total + weight * np.where(weight > 0.0, score(points, *parameters), 0.0)
    return total


def integrated_variance(components: Sequence[Component]) -> Array:
    """Integral over y of sum_k w_k (F_k(y) - F(y))^2, (r,).

    For components of counts it includes half the mean difference of two draws of each of them, by
    which their mean distance to y and their score differ. The integrand decreases as the square of
    the tails, so that it exists even where the components have no means.
    """
    counts = [part for part in components if part.family.counts]
    others = [part for part in components if not part.family.counts]
    of_counts, share_of_counts = _normalised(counts)
    of_others, share_of_others = _normalised(others)
    total = np.zeros(components[0].weight.shape)
    if counts:
        total += share_of_counts * half_mean_difference(of_counts)
    if len(others) > 1:
        edges = _sorted(_edges(of_others))
        total += share_of_others * _by_rows(_variance_within, edges, INTEGRAL_ORDER, of_others)
    if counts and others:
        between = share_of_counts * share_of_others
        rows = np.flatnonzero(between > 0.0)
        groups = take(of_others, rows), take(of_counts, rows)
        ends = _edges(groups[0])
        whole = np.floor([*_edges(groups[1]), *ends])
        edges = _sorted(np.concatenate([ends, whole, np.floor(ends) + 1.0]))
        size = INTEGRAL_ORDER * SUM_ORDER
        total[rows] += between[rows] * _by_rows(_square_difference, edges, size, *groups)
    return total


def _normalised(components: Sequence[Component]) -> tuple[list[Component], Array]:
    """Components whose weights sum to one, and the sum that they had; equal ones for zero."""
    share = np.sum([part.weight for part in components], axis=0)
    present = share > 0.0
    safe = np.where(present, share, 1.0)
    equal = 1.0 / max(len(components), 1)
    return [
        part._replace(weight=np.where(present, part.weight / safe, equal)) for part in components
    ], share


def _edges(components: Sequence[Component]) -> Array:
    """Quantiles and jumps of the components that are present, (edges, r); NaN for others."""
    edges: list[Array] = []
    for part in components:
        ends = [*part.family.atoms(*part.parameters), *part.family.bounds(*part.parameters)]
        if not (part.family.discrete and ends):
            ends += part.tail_quantiles(EDGE_LEVELS)
        edges += part.if_present(ends)
    return np.stack(edges)


def _sorted(edges: Array) -> Array:
    """Sorted edges, of which those that are not a number repeat the last one."""
    ordered = np.sort(edges, axis=0)
    return np.where(np.isnan(ordered), np.nanmax(ordered, axis=0), ordered)


def _by_rows(
    integral: Callable[..., Array], edges: Array, size: int, *groups: Sequence[Component]
) -> Array:
    """An integral of blocks of rows, of which each panel holds `size` numbers of a component."""
    total = np.zeros(edges.shape[1])
    n_components = sum(map(len, groups))
    n_blocks = len(total) * len(edges) * size * n_components // SIZE + 1
    for rows in np.array_split(np.arange(len(total)), n_blocks):
        total[rows] = integral(edges[:, rows], *(take(group, rows) for group in groups))
    return total


def _variance_within(edges: Array, components: Sequence[Component]) -> Array:
    points, factors = integral_points(edges[:-1], edges[1:])
    # The smaller tail is computed, which keeps its digits.
    upper = np.arange(len(edges) - 1)[:, None] >= len(edges) // 2
    weighted = [
        (weight, np.where(upper, family.sf(points, *values), family.cdf(points, *values)))
        for family, weight, values in components
    ]
    mean = sum(weight * value for weight, value in weighted)
    square = sum(weight * np.square(value - mean) for weight, value in weighted)
    return np.asarray((factors * square).sum(axis=(0, 1)))


def _square_difference(
    edges: Array, others: Sequence[Component], counts: Sequence[Component]
) -> Array:
    """Integral of (F - G)^2 for the distribution functions F of others and G of counts.

    G is constant between two counts. Panels of whole units are sums over their counts, of
    integrals from one count to the next; other panels are within one unit.
    """
    left, right = edges[:-1], edges[1:]
    is_whole = (left == np.floor(left)) & (right == np.floor(right))
    # Panels of whole units: counts (SUM_ORDER, panels, r), and points between each and the next.
    first, multiples = sum_points(left, np.where(is_whole, right - left, 0.0))
    nodes = 0.5 * (INTEGRAL_NODES.reshape(-1, 1, 1, 1) + 1.0)
    above = weighted_sum(
        [part._replace(family=part.family.continued) for part in counts],
        "sf",
        np.maximum(first, 0.0),
    )
    above = np.where(first < 0.0, 1.0, above)
    squares = np.square(weighted_sum(others, "sf", first + nodes) - above)
    weights = 0.5 * INTEGRAL_WEIGHTS.reshape(nodes.shape)
    of_units = (multiples * (weights * squares).sum(axis=0)).sum(axis=0)
    # Panels within one unit.
    points, factors = integral_points(left, right)
    above = weighted_sum(counts, "sf", 0.5 * (left + right))
    squares = np.square(weighted_sum(others, "sf", points) - above)
    of_parts = (factors * squares).sum(axis=0)
    return np.asarray(np.where(is_whole, of_units, of_parts).sum(axis=0))
