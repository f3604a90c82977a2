"""Quantiles: of families that have no formula for them, and of mixtures.

Roots are those of `scipy.optimize.elementwise`, for all rows at once. Mixtures of
normals, whose derivatives are cheap, have a search of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize.elementwise import bracket_root, find_root
from scipy.special import ndtr, ndtri

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

# Factor by which brackets grow.
BRACKET_GROWTH = 8.0

# Standard deviations by which a bracket of a quantile of normals is too wide, so that round-off of
# the weights does not matter.
SLACK = 1e-6

# The most steps of this search, of which each of this number halves the bracket. A step of third
# order that is shorter than `SURE`, in standard deviations of the narrowest component, is the last.
MOST_STEPS, HALVING, SURE = 200, 6, 1e-4


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
        Component(family, weight[rows], tuple(values[rows] for values in parameters))
        for family, weight, parameters in components
    ]


def weighted_sum(
    components: Iterable[Component], tail: str, points: Array, *, left: bool = False
) -> Array:
    """Sum of weighted probabilities at the points, or of their limits from the left."""
    total, before = np.zeros(()), np.nextafter(points, -np.inf) if left else points
    for functions, weight, parameters in components:
        at = before if functions.discrete else points
        total = total + weight * getattr(functions, tail)(at, *parameters)
    return np.minimum(total, 1.0)


def log_weighted_sum(
    components: Iterable[Component], name: str, points: Array, *, left: bool = False
) -> Array:
    """Log of the weighted sum of exponentials."""
    before = np.nextafter(points, -np.inf) if left else points
    # Absent components have weight zero; what is not a number stays so.
    with np.errstate(divide="ignore", invalid="ignore"):
        return log_total(
            np.log(weight)
            + getattr(functions, name)(before if functions.discrete else points, *parameters)
            for functions, weight, parameters in components
        )


# --- quantiles of mixtures --------------------------------------------------------------------


def normal_quantiles(components: Sequence[Component], level: Array, lower: bool) -> Array:
    """Quantiles (r,) of mixtures of normals, by Halley's method in a bracket.

    Upper quantiles are the lower ones of the mirrored mixture. The method is for the log of the
    probability, which is nearly concave.
    """
    sign, n_rows = 1.0 if lower else -1.0, len(level)
    weight, mean, std = map(np.stack, zip(*((w, *own) for _, w, own in components), strict=True))
    mean, inverse = sign * mean, 1.0 / std
    slack = SLACK * std
    # The quantile is between those of the components, and each of them that has more weight than
    # the level reaches it alone.
    of_components = mean + ndtri(level) / inverse
    with np.errstate(divide="ignore", over="ignore"):
        alone = mean + slack + ndtri(np.minimum(level / weight, 1.0)) / inverse
    low = np.where(weight > 0.0, of_components - slack, np.inf).min(axis=0)
    high = np.where(weight > 0.0, of_components + slack, -np.inf).max(axis=0)
    high = np.minimum(high, alone.min(axis=0))
    points = np.minimum((weight * of_components).sum(axis=0), high)
    found, rows = np.empty_like(points), np.arange(n_rows)
    for step in range(1, MOST_STEPS):
        z = (points - mean) * inverse
        densities = weight * inverse * np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
        probability = (weight * ndtr(z)).sum(axis=0)
        density, slope = densities.sum(axis=0), (densities * z * inverse).sum(axis=0)
        with np.errstate(all="ignore"):
            excess = np.log(probability / level)
            turn = 0.5 * excess * (1.0 + probability * slope / np.square(density))
            move = -excess * probability / density / np.maximum(1.0 + turn, 0.5)
            halley, moves = points + move, np.abs(inverse * move).max(axis=0)
        low, high = np.where(excess < 0.0, points, low), np.where(excess < 0.0, high, points)
        inside = (halley >= low) & (halley <= high) & (step % HALVING > 0)
        sure = inside & (np.maximum(np.abs(turn), moves) < SURE)
        narrow = high - low <= 2.0 * np.spacing(np.maximum(np.abs(low), np.abs(high)))
        found[rows] = np.where(sure, halley, points)
        points = np.where(inside, halley, 0.5 * (low + high))
        left = ~(sure | narrow | (np.abs(excess) <= QUANTILE_TOL))
        if not left.any():
            break
        rows, points, level, low, high = (v[left] for v in (rows, points, level, low, high))
        weight, mean, inverse = (v[:, left] for v in (weight, mean, inverse))
    return sign * found


def quantiles(
    components: Sequence[Component], levels: Array, search: Callable[..., Array]
) -> Array:
    """Quantiles of several levels, (L, r), of which many are searched at once."""
    n_rows = len(components[0].weight)
    found = np.empty(len(levels) * n_rows)
    of_level, of_row = np.divmod(np.arange(len(found)), max(n_rows, 1))
    for lower in (True, False):
        positions = np.flatnonzero((levels <= 0.5)[of_level] == lower)
        for some in np.array_split(positions, len(positions) // SEARCH_SIZE + 1):
            if len(some):
                level = levels[of_level[some]] if lower else 1.0 - levels[of_level[some]]
                found[some] = search(take(components, of_row[some]), level, lower)
    return found.reshape(len(levels), n_rows)


def general_quantiles(components: Sequence[Component], level: Array, lower: bool) -> Array:
    """Quantiles (r,) of levels (r,) of the tail that is the smaller one at each of them."""
    tail, sign = ("cdf", 1.0) if lower else ("sf", -1.0)
    found, (low, high) = np.full(level.shape, np.nan), _between_components(components, level, lower)

    def is_reached(points: Array, *, left: bool = False) -> Array:
        """Whether the quantile is at most at the points (r,), or below them."""
        probability = weighted_sum(components, tail, points, left=left)
        # The level of the upper tail has the round-off of 1 - q.
        return probability >= level if lower else probability <= level + LEVEL_ROUND_OFF

    def excess(points: Array, rows: Array) -> Array:
        probability = np.maximum(weighted_sum(take(components, rows), tail, points), TINY)
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

    for part in components:
        found = with_atoms(part.if_present(part.family.atoms(*part.parameters)))
    if any(part.family.counts for part in components):
        found = with_atoms([np.round(search(xatol=0.25))])
    return search(fatol=QUANTILE_TOL)


def _between_components(
    components: Sequence[Component], level: Array, lower: bool
) -> tuple[Array, Array]:
    """The lowest and the highest quantile of the components, and a little more."""
    guesses = []
    for family, weight, parameters in components:
        guess = (family.quantile if lower else family.upper_quantile)(level, *parameters)
        guesses.append(np.where((weight > 0.0) & (guess < np.inf), guess, np.nan))
    low, high = np.fmin.reduce(guesses), np.fmax.reduce(guesses)
    # Quantiles of components need not be exact.
    width = 1e-6 * np.maximum(high - low, np.maximum(np.abs(low), np.abs(high))) + TINY
    if any(part.family.counts for part in components):
        width = np.maximum(width, 1.0)
    return low - width, high + width
