"""Curves and scores of times of events, of which some are known by a lower bound only."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from scipy.integrate import trapezoid
from scipy.special import ndtri

from skmoe._numerics.typing import Array


class EventTable(NamedTuple):
    """Weighted numbers of rows at the distinct times: with an event, without, and at risk."""

    times: Array
    events: Array
    lost: Array
    at_risk: Array

    @classmethod
    def of(cls, time: Array, event: Array, weight: Array, entry: Array | None = None) -> Self:
        """The table of rows (n,); events come before the ends of observations at the same time.

        Rows are at risk after their entry.
        """
        times, index = np.unique(time, return_inverse=True)
        count = np.bincount(index, weight)
        events = np.bincount(index, weight * event)
        at_risk = np.cumsum(count[::-1])[::-1]
        if entry is not None:
            order = np.argsort(entry)
            until = np.append(0.0, np.cumsum(weight[order]))
            at_risk = at_risk - (until[-1] - until[np.searchsorted(entry[order], times)])
        return cls(times, events, count - events, at_risk)

    @property
    def survival(self) -> Array:
        """Kaplan-Meier estimate of the probability of no event until each time, inclusive."""
        return _product_limit(self.events, self.at_risk)

    def survival_band(self, level: float) -> Array:
        """Intervals (2, n_times) for the survival, by Greenwood's variance on the log-log scale."""
        survival = self.survival
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = np.cumsum(self.events / (self.at_risk * (self.at_risk - self.events)))
            width = ndtri(0.5 + 0.5 * level) * np.sqrt(variance) / np.log(survival)
            band = survival ** np.exp(np.stack([-width, width]))
        return np.where((survival > 0.0) & (survival < 1.0), band, survival)

    def survival_at(self, time: float, level: float) -> Array:
        """Survival until a time, with the ends of its interval, (3,); NaN after the last time."""
        steps = np.vstack([self.survival, self.survival_band(level)])
        is_known = time <= self.times[-1] or steps[0, -1] == 0.0
        index = np.searchsorted(self.times, time, side="right")
        return np.hstack([np.ones((3, 1)), steps])[:, index] if is_known else np.full(3, np.nan)

    def observed_share(self, time: Any, *, before: bool = False) -> Array:
        """Estimate of the probability that an observation lasts beyond `time`, or up to it."""
        side: Any = "left" if before else "right"
        return np.append(1.0, self._observed)[np.searchsorted(self.times, time, side)]

    def draw_end(self, time: Array, rng: np.random.RandomState) -> Array:
        """Ends of observations that last until `time`, from their estimated distribution.

        What is left of it after the last time is infinite.
        """
        level = rng.uniform(size=time.shape) * self.observed_share(time, before=True)
        return np.append(self.times, np.inf)[np.searchsorted(-self._observed, -level)]

    @property
    def _observed(self) -> Array:
        return _product_limit(self.lost, self.at_risk - self.events)


def _product_limit(leaving: Array, at_risk: Array) -> Array:
    return np.cumprod(1.0 - leaving / np.where(at_risk > 0.0, at_risk, 1.0))


def integrated_brier(
    time: Array, event: Array, survival: Array, grid: Array, weight: Array
) -> float:
    """Mean over the grid of Brier scores of `survival` (n, len(grid)).

    Rows whose status is known count for those, like them, of which it is unknown.
    """
    table = EventTable.of(time, event, weight)
    known_from = 1.0 / table.observed_share(time, before=True)[:, None]
    had_event, is_later = event[:, None] & (time[:, None] <= grid), time[:, None] > grid
    losses = np.where(had_event, np.square(survival) * known_from, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):  # at times after which no row is
        later = np.square(1.0 - survival) / table.observed_share(grid)
    losses = np.where(is_later, later, losses)
    scores = weight @ losses / weight.sum()
    return float(scores[0] if len(grid) == 1 else trapezoid(scores, grid) / (grid[-1] - grid[0]))


def crps_of_bounds(lower: Array, upper: Array, survival: Array, grid: Array) -> Array:
    """Squared errors of distributions, integrated over the times at which the status is known.

    The survival functions (n, len(grid)) are linear between the times of the grid.
    """
    before = _integrals_of_squares(grid, 1.0 - survival, lower)
    whole, until = (_integrals_of_squares(grid, survival, end) for end in (grid[-1], upper))
    return before + whole - until


def _integrals_of_squares(grid: Array, values: Array, end: Any) -> Array:
    """Integrals (n,) of squares of piecewise linear functions (n, len(grid)) until an end (n,)."""
    end = np.broadcast_to(np.clip(end, grid[0], grid[-1]), len(values))
    cell = np.minimum(np.searchsorted(grid, end, "right") - 1, len(grid) - 2)
    left, right, rows = values[:, :-1], values[:, 1:], np.arange(len(values))
    cells = (left * left + left * right + right * right) / 3.0 * np.diff(grid)
    until = np.hstack([np.zeros((len(values), 1)), np.cumsum(cells, axis=1)])
    first, width = left[rows, cell], end - grid[cell]
    last = first + (right[rows, cell] - first) * width / np.diff(grid)[cell]
    return until[rows, cell] + (first * first + first * last + last * last) / 3.0 * width


def concordance(lower: Array, upper: Array, prediction: Array, weight: Array) -> float:
    """Share of pairs of rows in a known order whose predictions are in this order.

    Equal predictions count a half. Pairs have the product of their weights. NaN without a pair. The
    pairs of ranks that first differ in the same binary digit are counted together, so that the time
    is that of sorting.
    """
    is_exact = lower == upper
    ends, starts = upper + np.where(is_exact, 0, -1j), lower + np.where(is_exact, 0, 1j)
    ranks = np.unique(np.concatenate([ends, starts]), return_inverse=True)[1].ravel()
    end, start = ranks[: len(ends)], ranks[len(ends) :]
    values, position = np.unique(prediction, return_inverse=True)
    in_order = total = 0.0
    for digit in range(int(ranks.max()).bit_length()):
        early, late = (end >> digit) % 2 == 0, (start >> digit) % 2 == 1
        group = (end[early] >> digit + 1) * len(values)
        later = (start[late] >> digit + 1) * len(values) + position[late]
        order = np.argsort(later)
        sums = np.append(0.0, np.cumsum(weight[late][order]))
        own, key = weight[early], group + position[early]
        first, last, below, below_or_equal = (
            sums[np.searchsorted(later[order], keys)]
            for keys in (group, group + len(values), key, key + 1)
        )
        total += own @ (last - first)
        in_order += own @ (last - 0.5 * (below + below_or_equal))
    return float(in_order / total) if total > 0.0 else np.nan
