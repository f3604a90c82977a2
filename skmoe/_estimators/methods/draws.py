"""Targets and experts that are drawn from a fitted mixture, for rows, units and series.

Drawn times are observed as long as those of the rows. A row without its event has the end of its
observation. That of others lies beyond their event, where it is drawn from the Kaplan-Meier
estimate of the distribution of ends, the same for all rows [1]_. A limit of detection is the same
on the other side. Times of rows with delayed entry are later than that.

References
----------
.. [1] A. C. Davison and D. V. Hinkley (1997), "Bootstrap Methods and their Application", Cambridge
   University Press, sections 3.5 and 7.3.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import is_classifier

from skmoe._data.censored_targets import entries, has_entry, has_intervals
from skmoe._data.checks import has_bounds
from skmoe._data.rows import Rows
from skmoe._data.series import make_series
from skmoe._data.units import encode_units
from skmoe._mixture.fitted import FittedMixture
from skmoe._numerics.event_times import EventTable
from skmoe._numerics.typing import Array
from skmoe.distributions._sums import tail_quantiles

# Draws of a target until it has all classes.
MAX_DRAWS = 100


def draw_target(model: Any, rows: Rows, rng: np.random.RandomState) -> Array:
    """A target for validated rows from the fitted mixture: those of a unit from one expert.

    Those of series are drawn from the experts of a path. Codes of classes are drawn again until all
    classes are present.
    """
    fitted, gate_prob = model._fitted, None
    has_effects = fitted.preprocessor.counts_units
    if any(values is not None for values in (rows.unit, rows.possible, rows.series)):
        gate_prob = np.eye(fitted.mixture.n_experts)[:, draw_experts(fitted, rows, rng)]
    if not is_classifier(model):
        known = gate_prob, fitted.drawn_effects(rows, rng) if has_effects else None
        distribution = fitted.distribution(rows, model._single_output, *known)
        drawn = np.asarray(distribution.rvs(1, rng))[:, 0]
        if has_bounds(rows.y):
            return _as_observed(drawn, distribution, rows, rng)
        if np.isnan(rows.y).any():
            drawn = np.where(np.isnan(rows.y).reshape(drawn.shape), np.nan, drawn)
        return drawn
    levels = np.cumsum(fitted.predict(rows.X, gate_prob=gate_prob).T, axis=1)[:, :-1]
    for _ in range(MAX_DRAWS):
        codes = (rng.uniform(size=(len(levels), 1)) > levels).sum(axis=1)
        if len(np.unique(codes)) == len(model.classes_):
            break
    return codes


def _as_observed(drawn: Array, distribution: Any, rows: Rows, rng: np.random.RandomState) -> Array:
    """Drawn values (n,) or (n, m) with the bounds that would be known of them."""
    y = rows.y.reshape(drawn.shape)
    found, entry = y.copy(), entries(y)
    if entry is not None:
        level = rng.uniform(size=len(drawn)) * distribution.sf(entry)
        drawn = tail_quantiles(distribution._flat_components(), level, lower=False)
    weight = np.ones(len(drawn)) if rows.weight is None else rows.weight
    for j in np.ndindex(drawn.shape[1:]):
        own = (slice(None), *j)
        values, (low, high) = drawn[own], (y[name][own] for name in ("lower", "upper"))
        end = _ends(values, (low, high, entry), weight, rng)
        limit = -_ends(-values, (-high, -low, None), weight, rng)
        found["lower"][own] = np.where(values < limit, -np.inf, np.minimum(values, end))
        found["upper"][own] = np.where(values > end, np.inf, np.maximum(values, limit))
    return found


def _ends(values: Array, bounds: Any, weight: Array, rng: np.random.RandomState) -> Array:
    """Ends (n,) of the observations of rows with bounds, at which infinite values are unknown."""
    lower, upper, entry = bounds
    is_lost = np.isposinf(upper)
    if not is_lost.any():
        return np.full(len(values), np.inf)
    time = np.where(is_lost, lower, upper)
    end = EventTable.of(time, ~is_lost, weight, entry).draw_end(time, rng)
    last = np.where(np.isposinf(values), time.max(), np.inf)
    return np.where(is_lost, time, np.minimum(end, last))


def draw_experts(fitted: FittedMixture, rows: Rows, rng: np.random.RandomState) -> Array:
    """An expert (n,) for each row, among those that are possible; the same for rows of a unit."""
    if rows.series is not None:
        return _draw_paths(fitted, rows, rng)
    codes = np.arange(rows.n_rows) if rows.unit is None else rows.unit
    prob = np.exp(fitted.log_gate_of_units(rows))
    if rows.possible is not None:
        prob = prob * rows.possible.T[:, np.unique(codes, return_index=True)[1]]
        prob /= prob.sum(axis=0)
    levels = np.cumsum(prob, axis=0)[:-1]
    return np.asarray((rng.uniform(size=levels.shape[1]) > levels).sum(axis=0)[codes])


def _draw_paths(fitted: FittedMixture, rows: Rows, rng: np.random.RandomState) -> Array:
    """An expert (n,) for each row of series: paths of the chain, drawn from their ends on."""
    data, log_gates, logs, ranks = fitted.series(rows)
    if len(logs) == 1:
        return np.zeros(rows.n_rows, dtype=int)
    chain, possible = data.chain, data.rows.possible
    logs = np.zeros_like(logs)
    if possible is not None:
        logs = np.where(possible[:, None], logs, -np.inf)
    state = chain.past(log_gates, logs)[1][:, 0]
    move = np.exp(np.broadcast_to(log_gates[1][:, :, 0], (len(state), *state.shape)))
    uniform, path = rng.uniform(size=rows.n_rows), np.zeros(rows.n_rows, dtype=int)
    goes_on = ~np.isin(np.arange(rows.n_rows), chain.last)
    for own in chain.by_series.slices[::-1]:
        at = chain.by_series.order[own]
        before = at[goes_on[at]]
        state[:, before] *= move[path[before + 1], :, before + 1].T
        levels = np.cumsum(state[:, at], axis=0)
        path[at] = (uniform[at] * levels[-1] > levels[:-1]).sum(axis=0)
    return path[ranks]


def are_resampled(rows: Rows) -> bool:
    """Whether rows are resampled, since it is not known how drawn targets would be observed.

    These are intervals, which end at inspections, and later entries of rows of a unit, of a known
    expert, or with several outputs.
    """
    is_alone = rows.unit is None and rows.possible is None and rows.y.size == rows.n_rows
    return has_intervals(rows.y) or (has_entry(rows.y) and not is_alone)


def resampled(rows: Rows, rng: np.random.RandomState) -> Rows:
    """As many rows, or whole units or series, drawn with replacement."""
    codes = rows.unit_codes if rows.series is None else rows.series
    number = int(codes.max()) + 1
    counts = np.bincount(rng.randint(number, size=number), minlength=number)[codes]
    if rows.series is not None:
        return copies_of(rows, counts)
    return rows._replace(weight=counts * (1.0 if rows.weight is None else rows.weight))


def copies_of(rows: Rows, counts: Array, of_units: bool = False) -> Rows:
    """As many copies of each row, or of each series or unit with the weight of its rows."""
    if of_units:
        order = np.argsort(rows.unit, kind="stable")
        as_series = rows.take(order)._replace(series=rows.unit[order], time=order)
        return copies_of(as_series, counts[order])._replace(series=None, time=None)
    if rows.series is None:
        return rows.take(np.repeat(np.arange(rows.n_rows), counts))._replace(weight=None)
    series = make_series(rows.series, counts)
    most, n_series = series.repeat(series.weight), len(series.starts)
    of_copies = [np.flatnonzero(most > copy) for copy in range(int(most.max()))]
    index, sizes = np.concatenate(of_copies), [len(own) for own in of_copies]
    codes = rows.series[index] + n_series * np.repeat(np.arange(len(sizes)), sizes)
    codes = encode_units(codes)[1]
    unit = None if rows.unit is None else codes
    copies = rows.take(index)._replace(series=codes, unit=unit, time=np.arange(len(index)))
    return copies._replace(weight=(copies.weight > 0.0) * 1.0)
