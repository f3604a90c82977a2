"""Integrals of the tails of mixtures, of which scores and restricted means are made.

Distribution functions are integrated between quantiles of the components by the rules of Gauss and
Legendre. Those of counts are sums: of each count while there are few, and beyond them integrals of
the continuation to real numbers, with the first terms of the formula of Euler and Maclaurin.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skmoe._numerics.typing import Array
from skmoe.distributions._searches import Component, take, weighted_sum

# Points of a panel of an integral.
NODES, WEIGHTS = np.polynomial.legendre.leggauss(12)

# Ratio of the ends of a panel from which on the logarithm is the variable.
WIDE = 2.0

# Probabilities of the tails between whose quantiles integrals are split. What is left out beyond
# the last of them is of the order of its square. Components without a variance have the second ones
# as well, of which the last has an infinite quantile where the score is infinite.
LEVELS = (0.5, 0.25, 0.08, 0.015, 1e-3, 1e-5, 1e-7, 1e-10)
FAR_LEVELS = (1e-20, 1e-40, 1e-80, 1e-155)

# The most counts that are summed one by one, and the numbers that one integral holds.
FEW_COUNTS = 64
SIZE = 2_000_000

# Shares of the differences of first and third order at the ends of a sum, by which it and the
# integral between the midpoints differ.
END_TERMS = -1.0 / 24.0, 17.0 / 5760.0


def integral_points(left: Array, right: Array) -> tuple[Array, Array]:
    """Points and weights (12, ...) of Gauss-Legendre rules on panels.

    Panels far from zero relative to their width are integrated over y, others of one sign over
    log y, in which functions with power laws or logarithms are smooth.
    """
    near, far = np.minimum(np.abs(left), np.abs(right)), np.maximum(np.abs(left), np.abs(right))
    wide = (np.sign(left) == np.sign(right)) & (far > WIDE * near)
    low, high = (
        np.where(wide, np.log(np.where(wide, size, 1.0)), end)
        for size, end in ((near, left), (far, right))
    )
    shape = -1, *([1] * left.ndim)
    points = 0.5 * (low + high) + 0.5 * (high - low) * NODES.reshape(shape)
    factors = 0.5 * (high - low) * WEIGHTS.reshape(shape)
    sizes = np.exp(np.where(wide, points, 0.0))
    return np.where(wide, np.sign(left) * sizes, points), factors * sizes


def tail_integrals(components: Sequence[Component], y: Array, power: int) -> Array:
    """Integrals (2, r): of a power of F up to y (r,), and of that of 1 - F from y on.

    The second one is infinite where a component that is present has an infinite quantile.
    """
    total = np.empty((2, len(y)))
    size = 2 * len(components) ** 2 * len(NODES) * len(LEVELS + FAR_LEVELS) + FEW_COUNTS
    for rows in np.array_split(np.arange(len(y)), len(y) * size // SIZE + 1):
        total[:, rows] = _integrals(take(components, rows), y[rows], power)
    return total


def _integrals(components: Sequence[Component], y: Array, power: int) -> Array:
    is_flat = all(part.family.discrete for part in components)
    has_counts, reach = any(part.family.counts for part in components), 0.0
    # Between two counts a score is linear in y.
    at = np.where(y > FEW_COUNTS, np.floor(y), y) if is_flat and has_counts else y
    found: list[Array] = [at]
    for part in components:
        ends = [*part.family.atoms(*part.parameters), *part.family.bounds(*part.parameters)]
        if part.family.counts:
            ends = part.if_present(part.tail_quantiles(LEVELS))
            reach = max(reach, float(np.fmax.reduce(ends, axis=None, initial=0.0)))
            ends = [np.where(end > FEW_COUNTS, end, np.nan) for end in ends]
        elif not (part.family.discrete and ends):
            with np.errstate(all="ignore"):
                is_heavy = not np.isfinite(part.family.variance(*part.parameters)).all()
                ends += part.tail_quantiles(LEVELS + FAR_LEVELS if is_heavy else LEVELS)
        found += part.if_present(ends)
    edges = np.stack(found)
    infinite = np.isinf(edges).any(axis=0)
    edges = np.where(np.isfinite(edges), edges, at)[~np.isnan(edges).all(axis=1)]
    if has_counts:
        whole = np.arange(np.ceil(min(1.2 * reach + 20.0, FEW_COUNTS)) + 1.0)
        edges = np.concatenate([edges, np.repeat(whole[:, None], len(y), axis=1)])
    edges = np.sort(edges, axis=0)
    if is_flat and has_counts and edges[-1].max(initial=0.0) > FEW_COUNTS:
        first, split = np.full(len(y), float(FEW_COUNTS)), np.maximum(at, FEW_COUNTS)
        low, high = edges[edges.min(axis=1) <= FEW_COUNTS], edges[edges.max(axis=1) > FEW_COUNTS]
        low, high = np.minimum([*low, first], first), np.maximum([first, *high], first)
        total = _of_panels(components, low, at, power, is_flat=True)
        total += _of_panels(components, high, at, power, is_flat=False)
        total[0] += _end_term(components, "cdf", split, power)
        total[0] -= _end_term(components, "cdf", first, power)
        total[1] -= _end_term(components, "sf", split, power)
        total[0] += (y - at) * weighted_sum(components, "cdf", at) ** power
        total[1] -= (y - at) * weighted_sum(components, "sf", at) ** power
    else:
        total = _of_panels(components, edges, at, power, is_flat=is_flat)
    total[1] = np.where(infinite, np.inf, total[1])
    return total


def _of_panels(
    components: Sequence[Component], edges: Array, y: Array, power: int, *, is_flat: bool
) -> Array:
    """The integrals (2, r) over panels between sorted edges, of which y is one."""
    left, right = edges[:-1], edges[1:]
    points, factors = (0.5 * (left + right)[None], (right - left)[None])
    if not is_flat:
        points, factors = integral_points(left, right)
    middle = len(left) // 2
    # The smaller tail is computed, which keeps its digits.
    below = _probability(components, "cdf", points[:, :middle])
    above = _probability(components, "sf", points[:, middle:])
    tails = np.concatenate([below, 1.0 - above], 1), np.concatenate([1.0 - below, above], 1)
    sides = right <= y, right > y
    return np.stack(
        [
            (np.where(side, factors, 0.0) * tail**power).sum(axis=(0, 1))
            for side, tail in zip(sides, tails, strict=True)
        ]
    )


def _probability(components: Sequence[Component], tail: str, points: Array) -> Array:
    """Probability of a tail, of counts continued from half a count before on."""
    total = np.zeros(())
    for functions, weight, parameters in components:
        if functions.counts:
            counts = np.where(points < FEW_COUNTS, np.floor(points), points - 0.5)
            value = getattr(functions.continued, tail)(np.maximum(counts, 0.0), *parameters)
            value = np.where(counts < 0.0, float(tail == "sf"), value)
        else:
            value = getattr(functions, tail)(points, *parameters)
        total = total + weight * value
    return np.minimum(total, 1.0)


def _end_term(components: Sequence[Component], tail: str, count: Array, power: int) -> Array:
    """What a sum of powers of a tail up to a count has more than the integral up to it."""
    after, at, before, earlier = (
        weighted_sum(components, tail, count + step) ** power for step in (1.0, 0.0, -1.0, -2.0)
    )
    third = after - 3.0 * at + 3.0 * before - earlier
    return END_TERMS[0] * (at - before) + END_TERMS[1] * third
