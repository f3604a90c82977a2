"""Quantiles and modes of mixtures of any families: components with weights and parameters (r,)."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from skmoe._numerics.typing import TINY, Array
from skmoe.distributions._component_functions import (
    Component,
    golden_sections,
    log_weighted_sum,
    take,
    weighted_sum,
)
from skmoe.distributions._poisson import LARGEST

# Tolerance on the log probability of a quantile, and relative change that counts as none.
QUANTILE_TOL = 1e-12
ROUND_OFF = 1e-14

# Round-off of probabilities next to one.
LEVEL_ROUND_OFF = 4.0 * np.finfo(float).eps

# Distance of points of the search of the mode that are taken as one, relative to its range.
SAME_POINT = 1e-9

# Relative difference of probabilities that counts as none.
PROBABILITY_ROUND_OFF = 1e-13

# The most quantiles that are searched at once.
SEARCH_SIZE = 10_000

# Steps of a search that halves an interval of numbers; doubles have 64 bits.
MOST_STEPS = 200

# Points of each component at which the density is compared before the search of the mode, and steps
# of this search by golden sections.
GRID_LEVELS = (1e-4, 1e-3, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
MODE_STEPS = 60

# Number of the highest peaks of the density on these points around which the mode is searched.
N_PEAKS = 2


# Points below, and at or above a quantile.
Bracket = tuple[Array, Array]


class Search(NamedTuple):
    """Quantiles of mixtures: levels (r,) of the tail that is the smaller one at each of them."""

    components: Sequence[Component]
    level: Array
    lower: bool

    def take(self, rows: Array) -> Search:
        """The search of chosen rows."""
        return Search(take(self.components, rows), self.level[rows], self.lower)

    def probability(self, points: Array, *, before: bool = False) -> Array:
        """Probability up to the points, or above them; or the limit of it from the left."""
        tail = ("cdf" if self.lower else "sf") + "_left" * before
        return weighted_sum(self.components, attrgetter(tail), points)

    def is_reached(self, points: Array, *, before: bool = False) -> Array:
        """Whether the quantile is at most at the points, or below them."""
        probability = self.probability(points, before=before)
        if self.lower:
            return probability >= self.level
        # The level of the upper tail has the round-off of 1 - q.
        return probability <= self.level + LEVEL_ROUND_OFF


def quantiles(components: Sequence[Component], levels: Array) -> Array:
    """Quantiles of several levels, (L, r), of which many are searched at once."""
    n_rows = len(components[0].weight)
    n_at_once = max(SEARCH_SIZE // max(n_rows, 1), 1)
    found = np.empty((len(levels), n_rows))
    for chosen, lower in ((levels <= 0.5, True), (levels > 0.5, False)):
        indices = np.flatnonzero(chosen)
        for start in range(0, len(indices), n_at_once):
            some = indices[start : start + n_at_once]
            level = np.repeat(levels[some] if lower else 1.0 - levels[some], n_rows)
            rows = np.tile(np.arange(n_rows), len(some))
            search = Search(take(components, rows), level, lower)
            found[some] = _quantiles(search).reshape(len(some), n_rows)
    return found


def _quantiles(search: Search) -> Array:
    """One quantile of each row, (r,)."""
    found = np.full(search.level.shape, np.nan)
    atoms = [atom for family, _, own in search.components for atom in family.atoms(*own)]
    if np.isposinf(atoms).any():
        reached = search.is_reached(np.full(found.shape, LARGEST))
        found = np.where(reached, np.nan, np.inf)
    low, high = _bracket(search)
    if any(part.family.discrete for part in search.components):
        low, high = _search_atoms(search, (low, high), found)
        low, high = _search_counts(search, (low, high), found)
    rows = np.flatnonzero(np.isnan(found))
    found[rows] = _newton(search.take(rows), low[rows], high[rows])
    return found


def _bracket(search: Search) -> Bracket:
    """Points between which the quantile lies: it is above the first and at most the second."""
    low, high = np.full(search.level.shape, np.inf), np.full(search.level.shape, -np.inf)
    for family, weight, parameters in search.components:
        quantile = family.quantile if search.lower else family.upper_quantile
        guess = quantile(search.level, *parameters)
        present = (weight > 0.0) & (guess < np.inf)
        low = np.where(present, np.minimum(low, guess), low)
        high = np.where(present, np.maximum(high, guess), high)
    # Quantiles of components need not be exact.
    width = 1e-6 * np.maximum(high - low, np.maximum(np.abs(low), np.abs(high))) + TINY
    if any(part.family.counts for part in search.components):
        width = np.maximum(width, 1.0)
    low, high = low - width, high + width
    for end, sign in ((low, -1.0), (high, 1.0)):
        rows, step = np.arange(len(end)), width.copy()
        for _ in range(MOST_STEPS):
            wrong = search.take(rows).is_reached(end[rows]) == (sign < 0.0)
            rows = rows[wrong]
            if not len(rows):
                break
            end[rows] += sign * step[rows]
            step[rows] *= 8.0
    return low, high


def _search_atoms(search: Search, bracket: Bracket, found: Array) -> Bracket:
    """Bracket without atoms inside; `found` receives the quantiles that are atoms."""
    low, high = bracket
    for family, weight, parameters in search.components:
        for atom in family.atoms(*parameters):
            inside = (weight > 0.0) & (atom > low) & (atom <= high)
            rows = np.flatnonzero(inside & np.isnan(found))
            if len(rows):
                some, points = search.take(rows), atom[rows]
                reached, below = (
                    some.is_reached(points, before=before) for before in (False, True)
                )
                found[rows[reached & ~below]] = points[reached & ~below]
                high[rows[reached]] = points[reached]
                low[rows[~reached]] = points[~reached]
    return low, high


def _search_counts(search: Search, bracket: Bracket, found: Array) -> Bracket:
    """Bracket without counts inside, where there are components of counts."""
    low, high = bracket
    present = np.zeros(low.shape, dtype=bool)
    for family, weight, _ in search.components:
        present |= family.counts & (weight > 0.0)
    rows = np.flatnonzero(present & np.isnan(found))
    first, last = np.floor(np.maximum(low[rows], -1.0)), np.ceil(high[rows])
    counts, some = np.arange(len(rows)), search.take(rows)
    while len(counts):
        middle = np.floor(0.5 * (first[counts] + last[counts]))
        open_ = last[counts] - first[counts] > 1.0
        counts, middle = counts[open_], middle[open_]
        reached = some.take(counts).is_reached(middle)
        last[counts[reached]], first[counts[~reached]] = middle[reached], middle[~reached]
    exact = some.is_reached(last) & ~some.is_reached(last, before=True) & (last >= 0.0)
    found[rows[exact]] = last[exact]
    low[rows] = np.where(first >= 0.0, np.maximum(low[rows], first), low[rows])
    high[rows] = np.minimum(high[rows], np.where(last >= 0.0, last, np.inf))
    return low, high


def _newton(search: Search, low: Array, high: Array) -> Array:
    """Quantiles of continuous mixtures, or between atoms: Newton's method in a bracket."""
    sign = 1.0 if search.lower else -1.0
    result, active = np.empty_like(low), np.arange(len(low))
    x = 0.5 * low + 0.5 * high
    for step in range(MOST_STEPS):
        probability = np.maximum(search.probability(x), TINY)
        excess = sign * np.log(probability / search.level)
        result[active] = x
        low, high = np.where(excess < 0.0, x, low), np.where(excess < 0.0, high, x)
        close = high - low <= 2.0 * np.spacing(np.maximum(np.abs(low), np.abs(high)))
        unsolved = (np.abs(excess) > QUANTILE_TOL) & ~close
        # A bracket that is closed on both sides has its upper end as the quantile.
        result[active[close]] = np.where(np.abs(excess) > QUANTILE_TOL, high, x)[close]
        if not unsolved.any():
            break
        active, x, low, high = active[unsolved], x[unsolved], low[unsolved], high[unsolved]
        search = search.take(unsolved)
        probability, excess = probability[unsolved], excess[unsolved]
        continuous = (part for part in search.components if not part.family.discrete)
        density = sum((w * np.exp(f.log_pdf(x, *own)) for f, w, own in continuous), 0.0 * x)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            newton = x - excess * probability / density
        inside = (newton > low) & (newton < high) & (step % 3 < 2)
        x = np.where(inside, newton, _middle(low, high))
    return result


def _middle(low: Array, high: Array) -> Array:
    """The middle of the numbers between two, which is at most 64 steps from each of them."""
    positions = [_position(end) for end in (low, high)]
    middle = positions[0] + (positions[1] - positions[0]) // np.uint64(2)
    ratio = np.maximum(np.abs(low), np.abs(high)) > 4.0 * np.minimum(np.abs(low), np.abs(high))
    return np.where(ratio, _number(middle), 0.5 * low + 0.5 * high)


def _position(numbers: Array) -> Array:
    """Position of doubles among all doubles, in the order of their values."""
    bits = np.ascontiguousarray(numbers, dtype=float).view(np.uint64)
    top = np.uint64(1 << 63)
    return np.where(bits & top, ~bits, bits | top)


def _number(positions: Array) -> Array:
    """The doubles of positions."""
    top = np.uint64(1 << 63)
    bits = np.where(positions & top, positions & ~top, ~positions)
    return np.ascontiguousarray(bits).view(np.float64)


def highest_points(components: Sequence[Component]) -> Array:
    """Where the density, or the probability of an atom, is highest, (r,)."""
    continuous = [part for part in components if not part.family.discrete]
    discrete = [part for part in components if part.family.discrete]
    candidates = []
    if continuous:
        candidates.append((continuous, _highest_density(continuous)))
    for part in discrete:
        atoms = part.if_present(part.family.atoms(*part.parameters))
        candidates += [(discrete, atom) for atom in atoms]
    counts = [part for part in discrete if part.family.counts]
    if counts:
        candidates.append((discrete, _most_probable_count(counts)))
    shape = components[0].weight.shape
    best, highest = np.full(shape, np.nan), np.full(shape, -np.inf)
    for chosen, points in candidates:
        height = log_weighted_sum(chosen, lambda family: family.log_pdf, points)
        better = height > highest + ROUND_OFF
        best, highest = np.where(better, points, best), np.where(better, height, highest)
    return best


def _most_probable_count(components: Sequence[Component]) -> Array:
    """The most probable count, by branch and bound [1]_ between the modes of the components.

    In an interval of counts, the mixture is nowhere more probable than the sum of what its
    components are at most, which they are at the count nearest to their mode.

    References
    ----------
    .. [1] A. H. Land and A. G. Doig (1960), "An automatic method of solving discrete programming
       problems", Econometrica 28, 497-520.
    """

    def height(points: Sequence[Array], rows: Array) -> Array:
        """Sum of the probabilities of the components, each at points of its own."""
        return np.asarray(
            sum(
                weight * np.exp(family.log_pdf(at, *parameters))
                for at, (family, weight, parameters) in zip(
                    points, take(components, rows), strict=True
                )
            )
        )

    peaks = [family.mode(*parameters) for family, _, parameters in components]
    present = [part.if_present([peak]) for part, peak in zip(components, peaks, strict=True)]
    first, last = (bound.reduce(np.concatenate(present)) for bound in (np.fmin, np.fmax))
    rows = np.arange(len(first))
    heights = np.stack([height([peak] * len(peaks), rows) for peak in peaks])
    best, highest = np.stack(peaks)[heights.argmax(axis=0), rows], heights.max(axis=0)
    while len(rows):
        middle = np.floor(0.5 * (first + last))
        value = height([middle] * len(peaks), rows)
        order = np.argsort(value)  # of several intervals of a row the last one stays
        order = order[value[order] > highest[rows[order]]]
        best[rows[order]], highest[rows[order]] = middle[order], value[order]
        first, last = np.concatenate([first, middle + 1.0]), np.concatenate([middle - 1.0, last])
        rows = np.concatenate([rows, rows])
        end = np.maximum(first, last)
        most = height([np.clip(peak[rows], first, end) for peak in peaks], rows)
        left = (first <= last) & (most > highest[rows] * (1.0 + PROBABILITY_ROUND_OFF))
        rows, first, last = rows[left], first[left], last[left]
    return best


def _highest_density(components: Sequence[Component]) -> Array:
    """Where the density of continuous components is highest: a grid, then golden sections."""
    edges, modes, ends = [], [], []
    for part in components:
        edges += part.if_present(part.tail_quantiles(GRID_LEVELS))
        modes += part.if_present([part.family.mode(*part.parameters)])
        ends += part.if_present(part.family.bounds(*part.parameters))
    # No mode lies outside of the modes of the components, whose densities rise to one mode, and of
    # the ends of those that are constant.
    first, last = np.fmin.reduce([*modes, *ends]), np.fmax.reduce([*modes, *ends])
    grid = np.sort(np.clip(np.stack([*edges, *modes, *ends]), first, last), axis=0)
    grid = np.where(np.isnan(grid), last, grid)

    def height(points: Array) -> Array:
        return log_weighted_sum(components, lambda family: family.log_pdf, points)

    heights = np.nan_to_num(height(grid), nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    around = np.pad(heights, ((1, 1), (0, 0)), constant_values=-np.inf)
    is_peak = (heights >= around[:-2]) & (heights > around[2:])
    index = np.argsort(np.where(is_peak, -heights, np.inf), axis=0, kind="stable")[:N_PEAKS]
    best = np.take_along_axis(grid, index, axis=0)
    # Points that differ by round-off are one.
    apart, points = SAME_POINT * (last - first), grid[:, None]
    low = np.where(points < best - apart, points, -np.inf).max(axis=0)
    high = np.where(points > best + apart, points, np.inf).min(axis=0)
    low, high = np.where(low > -np.inf, low, best), np.where(high < np.inf, high, best)
    found = np.concatenate([best, golden_sections(height, low, high, MODE_STEPS)])
    highest = np.argmax(np.nan_to_num(height(found), nan=-np.inf, posinf=np.inf), axis=0)
    return np.take_along_axis(found, highest[None], axis=0)[0]
