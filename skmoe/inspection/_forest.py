"""Forest plots: estimates and their confidence intervals, one row for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from skmoe._numerics.typing import Array
from skmoe.inspection._style import DARK_GREY, LIGHT_GREY, colour, marker, merged

# Axes end at this multiple of the largest estimate, and of the end of the median interval: longer
# intervals are cut, and end in an arrow.
MAX_REACH = 2.5

# Space beyond the longest interval, as a fraction of the axis.
AXIS_MARGIN = 0.06

# Largest log of a ratio that is drawn.
MAX_LOG_RATIO = 200.0

# Number of ticks, at most, and ratio of the ends of an axis up to which they are equidistant.
N_TICKS, MAX_PLAIN_RATIO = 4, 6.0


class ForestPanel(NamedTuple):
    """Rows of estimates (R,) that share an axis."""

    heading: str
    labels: list[str]
    cells: Any  # index of the rows in the table of features and experts
    experts: Array  # the expert of each row, for its colour
    estimates: Array  # logs of ratios if these are ratios; NaN for rows without an estimate
    intervals: Array | None  # (R, 2)
    dropped: Array  # boolean: the feature of the row is dropped
    is_ratio: bool


def axis_limits(panels: Sequence[ForestPanel]) -> tuple[float, float]:
    """Limits of an axis of several panels, which contains zero; of ratios of their logs."""
    values = np.concatenate([np.zeros(1), *(panel.estimates for panel in panels)])
    values = values[np.isfinite(values)]
    intervals = [panel.intervals for panel in panels if panel.intervals is not None]
    if intervals:
        bounds = np.concatenate(intervals)
        bounds = bounds[np.isfinite(bounds).all(axis=1)]
        reach = MAX_REACH * np.abs(values).max()
        if len(bounds):
            typical = np.quantile(np.abs(bounds).max(axis=1), 0.5, method="lower")
            reach = max(reach, MAX_REACH * float(typical))
        values = np.concatenate([values, np.clip(bounds.ravel(), -reach, reach)])
    if panels[0].is_ratio:
        values = np.clip(values, -MAX_LOG_RATIO, MAX_LOG_RATIO)
    low, high = float(values.min()), float(values.max())
    margin = AXIS_MARGIN * (high - low) or 1.0
    return low - margin, high + margin


def draw_forest(
    ax: Any, panel: ForestPanel, limits: tuple[float, float], kwargs: Mapping[str, Any] | None
) -> tuple[list[Any], list[Any]]:
    """Draw the rows; returns a point and the line of an interval for each, or None."""
    n_rows = len(panel.labels)
    scale = np.exp if panel.is_ratio else np.asarray
    if panel.is_ratio:
        _scale_of_ratios(ax, limits)
    else:
        ax.locator_params(axis="x", nbins=N_TICKS)
    ax.set(xlim=tuple(scale(np.array(limits))), ylim=(n_rows - 0.5, -0.5))
    ax.axvline(scale(0.0), color=LIGHT_GREY, linewidth=1, zorder=1)
    points: list[Any] = [None] * n_rows
    lines: list[Any] = [None] * n_rows
    for i, estimate in enumerate(panel.estimates):
        if panel.dropped[i]:
            style = {"marker": "x", "color": LIGHT_GREY, "linestyle": "none", "markersize": 6}
            (points[i],) = ax.plot([scale(0.0)], [i], **style)
        elif np.isfinite(estimate):
            interval = None if panel.intervals is None else panel.intervals[i]
            has_interval = interval is not None and bool(np.isfinite(interval).all())
            if interval is not None and has_interval:
                lines[i] = _draw_interval(ax, i, interval, limits, panel, kwargs)
            points[i] = _draw_point(ax, i, estimate, limits, panel, has_interval, kwargs)
    ax.set_yticks(range(n_rows), panel.labels, fontsize=9, color=DARK_GREY)
    ax.set_title(panel.heading, fontsize=10, loc="left")
    ax.tick_params(axis="y", length=0)
    ax.tick_params(axis="x", labelsize=8)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    return points, lines


def _draw_point(
    ax: Any,
    i: int,
    estimate: float,
    limits: tuple[float, float],
    panel: ForestPanel,
    filled: bool,
    kwargs: Mapping[str, Any] | None,
) -> Any:
    """A point: hollow if it has no interval while others have one."""
    k = panel.experts[i]
    style: dict[str, Any] = {"color": colour(k), "marker": marker(k), "markersize": 6}
    if not filled and panel.intervals is not None:
        style["markerfacecolor"] = "white"
    value = np.clip(estimate, *limits)
    style |= {"linestyle": "none", "zorder": 3}
    (point,) = ax.plot([np.exp(value) if panel.is_ratio else value], [i], **merged(style, kwargs))
    return point


def _draw_interval(
    ax: Any,
    i: int,
    interval: Array,
    limits: tuple[float, float],
    panel: ForestPanel,
    kwargs: Mapping[str, Any] | None,
) -> Any:
    """The line of an interval, with an arrow where it leaves the axis."""
    style: dict[str, Any] = {"color": colour(panel.experts[i]), "linewidth": 2.0, "zorder": 2}
    style = merged(style, kwargs) | {"marker": "", "linestyle": "-"}
    ends = np.clip(interval, *limits)
    drawn = np.exp(ends) if panel.is_ratio else ends
    (line,) = ax.plot(drawn, [i, i], **style)
    for end, bound, arrow in zip(drawn, interval, "<>", strict=True):
        if not limits[0] <= bound <= limits[1]:
            mark = {"marker": arrow, "markersize": 5, "clip_on": False}
            ax.plot([end], [i], **{**style, **mark, "linestyle": "none"})
    return line


def _scale_of_ratios(ax: Any, limits: tuple[float, float]) -> None:
    """A logarithmic axis whose ticks are plain numbers."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    ax.set_xscale("log")
    if limits[1] - limits[0] < np.log(MAX_PLAIN_RATIO):
        ax.xaxis.set_major_locator(MaxNLocator(N_TICKS))
    else:
        ax.xaxis.set_major_locator(FixedLocator(ticks_of_ratios(*np.exp(limits)).tolist()))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def ticks_of_ratios(low: float, high: float) -> Array:
    """The finest of several series of round ratios of which few lie between the limits."""
    decades = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1.0)
    for leading in ([1.0, 2.0, 5.0], [1.0, 3.0], [1.0]):
        ticks = np.outer(10.0**decades, leading).ravel()
        ticks = ticks[(ticks >= low) & (ticks <= high)]
        if len(ticks) <= N_TICKS + 1:
            return ticks
    return ticks[:: -(-len(ticks) // N_TICKS)]
