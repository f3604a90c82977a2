"""The integrated variance of the distribution functions of the components of mixtures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skmoe._numerics.quadrature import INTEGRAL_ORDER, integral_points
from skmoe._numerics.typing import Array
from skmoe.distributions._family import Component
from skmoe.distributions._general_searches import take

# Probabilities of the tails between whose quantiles the integral is split. What is left out beyond
# the last of them is of the order of its square.
EDGE_LEVELS = (0.5, 0.25, 0.08, 0.015, 1e-3, 1e-5, 1e-7, 1e-10)

# Numbers that an integral of some rows holds, and the most steps of counts that are edges.
SIZE = 2_000_000
MOST_STEPS_OF_COUNTS = 2048


def integrated_variance(components: Sequence[Component]) -> Array:
    """Integral over y of sum_k w_k (F_k(y) - F(y))^2, (r,).

    The continuous ranked probability score of a mixture is the weighted mean of those of the
    components, less this integral. Its integrand decreases as the square of the tails, so that it
    exists even where the components have no means.
    """
    total = np.zeros(components[0].weight.shape)
    if len(components) == 1:
        return total
    n_edges = 2 * len(EDGE_LEVELS) * len(components)
    step = max(SIZE // (n_edges * INTEGRAL_ORDER * len(components)), 1)
    for start in range(0, len(total), step):
        rows = np.arange(start, min(start + step, len(total)))
        total[rows] = _integrate(take(components, rows))
    return total


def _integrate(components: Sequence[Component]) -> Array:
    edges: list[Array] = []
    for family, weight, parameters in components:
        present = weight > 0.0
        ends = [*family.atoms(*parameters), *family.bounds(*parameters)]
        if not (family.discrete and ends):
            ends += [family.quantile(level, *parameters) for level in EDGE_LEVELS]
            ends += [family.upper_quantile(level, *parameters) for level in EDGE_LEVELS]
        if family.counts:
            ends += _steps(ends)
        edges += [np.where(present, end, np.nan) for end in ends]
    ordered = np.sort(np.stack(edges), axis=0)  # what is not a number comes last
    ordered = np.where(np.isnan(ordered), np.nanmax(ordered, axis=0), ordered)
    points, factors = integral_points(ordered[:-1], ordered[1:])
    # The smaller tail is computed, which keeps its digits.
    upper = np.arange(len(ordered) - 1)[:, None] >= len(ordered) // 2
    mean, square = np.zeros(points.shape), np.zeros(points.shape)
    values = []
    for family, weight, parameters in components:
        value = np.where(upper, family.sf(points, *parameters), family.cdf(points, *parameters))
        values.append((weight, value))
        mean += weight * value
    for weight, value in values:
        square += weight * np.square(value - mean)
    return (factors * square).sum(axis=(0, 1))


def _steps(ends: list[Array]) -> list[Array]:
    """Counts at which the distribution function of counts has its steps."""
    first = np.maximum(np.floor(np.min(ends, axis=0)), 0.0)
    last = np.ceil(np.max(ends, axis=0)) + 1.0
    n_steps = min(int(np.max(last - first, initial=0.0)), MOST_STEPS_OF_COUNTS)
    stride = np.ceil((last - first) / max(n_steps, 1))
    return [np.minimum(first + i * stride, last) for i in range(n_steps + 1)]
