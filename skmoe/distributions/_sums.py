"""Sums over the components of every row: probabilities, quantiles, and integrals of tails.

Quantiles of mixtures are found by Newton's method, for all rows at once; where it does not
converge, for counts and for single families, roots are those of `scipy.optimize.elementwise`.
Scores and restricted means are made of the integrals, by Gauss-Legendre rules between quantiles of
the components. Integrals of counts are sums: of each count while there are few, and beyond them
integrals of the continuation to real numbers, with the first terms of the formula of Euler and
Maclaurin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize.elementwise import bracket_root, find_root
from scipy.special import ndtri

from skmoe._numerics.probability import log_total
from skmoe._numerics.typing import TINY, Array

# Beyond it log probabilities are near the largest number.
LARGEST = 1e300

# Tolerance on the log probability of a quantile.
QUANTILE_TOL = 1e-12

# Round-off of probabilities next to one.
LEVEL_ROUND_OFF = 4.0 * np.finfo(float).eps

# The most quantiles that are searched at once.
SEARCH_SIZE = 10_000

# The most steps of Newton's method, of which each of this number halves the bracket, unless the
# normal score differs by less than `NEAR`. The last one starts from one that differs by less than
# `CLOSE`, or ends at less than `SURE`, as convergence of second order shows.
MOST_STEPS, HALVING, NEAR, CLOSE, SURE = 60, 6, 0.1, 1e-10, 1e-14
ROOT_2PI = np.sqrt(2.0 * np.pi)

# Factor by which brackets grow.
BRACKET_GROWTH = 8.0


# --- one family -------------------------------------------------------------------------------


def search_quantile(functions: Any, q: Any, *parameters: Array, upper: bool = False) -> Array:
    """Values below which, or above which, the probability is q."""
    log_tail, sign = (functions.log_sf, -1.0) if upper else (functions.log_cdf, 1.0)
    level, *parameters = np.broadcast_arrays(np.log(q), *parameters)  # type: ignore[assignment]

    def excess(points: Array, level: Array, *own: Array) -> Array:
        return np.maximum(sign * (log_tail(points, *own) - level), -LARGEST)

    center, width = functions.mean(*parameters), np.sqrt(functions.variance(*parameters))
    return _root(excess, center - width, center + width, (level, *parameters))


def _root(
    excess: Callable[..., Array], low: Array, high: Array, given: tuple[Array, ...], **tol: float
) -> Array:
    """Where increasing functions of points, and of what is given, are zero."""
    with np.errstate(all="ignore"):
        bracket = bracket_root(excess, low, high, factor=BRACKET_GROWTH, args=given).bracket
        found = find_root(excess, bracket, args=given, tolerances=tol)
    return np.where(found.success, found.x, bracket[1])


# --- components of every row ------------------------------------------------------------------


class Component(NamedTuple):
    """One component of every row: weight and parameters, of shapes that broadcast."""

    family: Any
    weight: Array
    parameters: tuple[Array, ...]

    def tail_quantiles(self, levels: Sequence[float]) -> list[Array]:
        """Quantiles (r,) of both tails at levels of at most 1/2."""
        q = np.reshape(levels, (-1, 1))
        functions = self.family.quantile, self.family.upper_quantile
        return [points for quantile in functions for points in quantile(q, *self.parameters)]

    def if_present(self, points: Iterable[Array]) -> list[Array]:
        """Points in the rows in which the component has weight; NaN in the others."""
        return [np.where(self.weight > 0.0, point, np.nan) for point in points]


def take(components: Iterable[Component], rows: Array) -> list[Component]:
    """Components of chosen rows, of weights and parameters (r,)."""
    return [
        Component(family, weight.take(rows, -1), tuple(own.take(rows, -1) for own in parameters))
        for family, weight, parameters in components
    ]


Parts = Iterable[Component]


def weighted_sum(
    components: Parts, tail: str, points: Array, left: bool = False, axis: Any = ()
) -> Array:
    """Sum of weighted probabilities at the points, or of their limits from the left.

    `axis` is that of components that are stacked.
    """
    total, before = np.zeros(()), np.nextafter(points, -np.inf) if left else points
    for functions, weight, parameters in components:
        at = before if functions.discrete else points
        total = total + (weight * getattr(functions, tail)(at, *parameters)).sum(axis=axis)
    return np.minimum(total, 1.0)


def log_weighted_sum(components: Parts, name: str, points: Array, left: bool = False) -> Array:
    """Log of the weighted sum of exponentials."""
    before = np.nextafter(points, -np.inf) if left else points
    return log_total(
        log_share(weight, getattr(functions, name)(before if functions.discrete else points, *own))
        for functions, weight, own in components
    )


def log_share(weight: Array, logs: Array) -> Array:
    """Log of weighted exponentials: that of weight zero is absent, also where it is infinite."""
    return np.log(weight) + np.where(weight > 0.0, logs, np.minimum(logs, 0.0))


# --- quantiles of mixtures --------------------------------------------------------------------


def quantiles(components: Sequence[Component], levels: Array) -> Array:
    """Quantiles of several levels, (L, r), of which many are searched at once."""
    n_rows, stacks = len(components[0].weight), _stacked(components)
    found = np.empty(len(levels) * n_rows)
    of_level, of_row = np.divmod(np.arange(len(found)), max(n_rows, 1))
    for lower in (True, False):
        positions = np.flatnonzero((levels <= 0.5)[of_level] == lower)
        for some in np.array_split(positions, len(positions) // SEARCH_SIZE + 1):
            if len(some):
                level = levels[of_level[some]] if lower else 1.0 - levels[of_level[some]]
                found[some] = _quantiles(take(stacks, of_row[some]), level, lower)
    return found.reshape(len(levels), n_rows)


def tail_quantiles(components: Sequence[Component], levels: Array, lower: bool) -> Array:
    """Values (r,) up to which, or beyond which, the probability is a level (r,)."""
    return _quantiles(_stacked(components), levels, lower)


def _stacked(components: Sequence[Component]) -> list[Component]:
    """Components of each family as one, of weights and parameters (C, r)."""
    alike: dict[tuple[int, int], list[Component]] = {}
    for part in components:
        alike.setdefault((id(part.family), len(part.parameters)), []).append(part)
    stacks = []
    for parts in alike.values():
        families, weights, parameters = zip(*parts, strict=True)
        own = tuple(map(np.stack, zip(*parameters, strict=True)))
        stacks.append(Component(families[0], np.stack(weights), own))
    return stacks


def _quantiles(stacks: Sequence[Component], level: Array, lower: bool) -> Array:
    """Quantiles (r,) of levels (r,) of the tail that is the smaller one at each of them."""
    tail, sign, name = ("cdf", 1.0, "quantile") if lower else ("sf", -1.0, "upper_quantile")
    # The quantile is between those of the components, which need not be exact.
    guesses = np.concatenate([getattr(f, name)(level, *own) for f, _, own in stacks])
    weight = np.concatenate([part.weight for part in stacks])
    guesses = np.where((weight > 0.0) & (guesses < np.inf), guesses, np.nan)
    low, high = np.fmin.reduce(guesses), np.fmax.reduce(guesses)
    width = 1e-6 * np.maximum(high - low, np.maximum(np.abs(low), np.abs(high))) + TINY
    has_counts = any(part.family.counts for part in stacks)
    width = np.maximum(width, 1.0) if has_counts else width
    low, high, found = low - width, high + width, np.full(level.shape, np.nan)

    def is_reached(points: Array, *, left: bool = False) -> Array:
        """Whether the quantile is at most at the points (r,), or below them."""
        probability = weighted_sum(stacks, tail, points, left, axis=0)
        # The level of the upper tail has the round-off of 1 - q.
        return probability >= level if lower else probability <= level + LEVEL_ROUND_OFF

    def excess(points: Array, rows: Array) -> Array:
        probability = np.maximum(weighted_sum(take(stacks, rows), tail, points, axis=0), TINY)
        return sign * np.log(probability / level[rows])

    def search(**tol: float) -> Array:
        """Quantiles in the rows in which they are not known."""
        rows, points = np.flatnonzero(np.isnan(found)), found.copy()
        if len(rows):
            points[rows] = _root(excess, low[rows], high[rows], (rows,), **tol)
        return points

    def with_atoms(atoms: Iterable[Array]) -> Array:
        """Quantiles at values that have a probability are these values."""
        known = found
        for atom in atoms:
            known = np.where(is_reached(atom) & ~is_reached(atom, left=True), atom, known)
        return known

    for part in stacks:
        for atoms in part.if_present(part.family.atoms(*part.parameters)):
            found = with_atoms(atoms)
    if has_counts:
        found = with_atoms([np.round(search(xatol=0.25)) + 0.0])  # not -0.0
        return search(fatol=QUANTILE_TOL)
    rows = np.flatnonzero(np.isnan(found))
    if len(rows):
        mean = np.nansum(weight * guesses, axis=0)
        bracket = (ends[rows] for ends in (mean, low, high))
        found[rows] = _newton(take(stacks, rows), level[rows], lower, *bracket)
    return search(fatol=QUANTILE_TOL, xrtol=np.finfo(float).eps)  # next to ends of supports


def _newton(
    stacks: list[Component], level: Array, lower: bool, points: Array, low: Array, high: Array
) -> Array:
    """Quantiles by Newton's method in a bracket; NaN where it does not converge.

    The method is for the normal score of the probability, which is nearly linear.
    """
    tail, sign = ("cdf", 1.0) if lower else ("sf", -1.0)
    points = np.minimum(np.maximum(points, low), high)
    found, before = np.full(level.shape, np.nan), np.zeros(level.shape)
    rows, target = np.arange(len(level)), ndtri(level)
    with np.errstate(all="ignore"):
        for step in range(1, MOST_STEPS):
            density: Any = 0.0
            for family, weight, own in stacks:
                if not family.discrete:
                    logs = family.log_pdf(points, *own)
                    density = density + (weight * np.exp(logs)).sum(axis=0)
            score = ndtri(weighted_sum(stacks, tail, points, axis=0))
            excess = sign * (score - target)
            newton = points - excess * np.exp(-0.5 * score * score) / (ROOT_2PI * density)
            is_low, size = excess < 0.0, np.abs(excess)
            newton = np.where(size <= SURE, points, newton)
            low, high = np.where(is_low, points, low), np.where(is_low, high, points)
            inside = (newton >= low) & (newton <= high) & ((size < NEAR) | (step % HALVING > 0))
            points = np.where(inside, newton, 0.5 * (low + high))
            sure = (size <= CLOSE) | (size * size * size <= SURE * before * before)
            left, before = ~(inside & sure), np.where(inside, size, 0.0)
            found[rows] = np.where(left, np.nan, points)
            if not left.any():
                break
            if not left.all():
                stacks, pieces = take(stacks, np.flatnonzero(left)), (rows, points, low, high)
                rows, points, low, high = (own[left] for own in pieces)
                target, before = target[left], before[left]
    return found


# --- integrals of tails ---

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
    size = 2 * len(components) * len(NODES) * len(LEVELS + FAR_LEVELS) + FEW_COUNTS
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
