"""Drawing of the predictions of experts over a feature, of the rows, and of intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from skmoe._numerics.typing import Array
from skmoe.inspection._style import (
    LIGHT_GREY,
    colour,
    marked_points,
    marker,
    merged,
    merged_marks,
    rgb,
)

# Opacity of a curve where the probability of the expert is zero.
MIN_OPACITY = 0.06

# The vertical axis shows the curves where experts have at least this probability.
MIN_PROBABILITY_SHOWN = 0.05

# Heights at which rows of other classes and of the class are drawn.
CLASS_MARK_HEIGHTS = np.array([-0.05, 1.05])

# Half the width of what is drawn at a category, and of the range in which its rows lie.
CATEGORY_WIDTH, JITTER_WIDTH = 0.36, 0.25


def draw_curves(
    ax: Any,
    grid: Array,
    curves: Array,
    gate: Array,
    *,
    is_category: bool,
    kwargs: Mapping[str, Any] | None,
) -> list[Any]:
    """A collection of lines for each expert, with the probability of the gate as opacity.

    Markers along the curves distinguish experts without colours. A category has a horizontal line.
    """
    from matplotlib.collections import LineCollection

    collections = []
    limits = ax.get_ylim()
    for k, (curve, probability) in enumerate(zip(curves.T, gate.T, strict=True)):
        points = np.column_stack([grid, curve])
        if is_category:
            side = np.array([CATEGORY_WIDTH, 0.0])
            segments: Any = np.stack([points - side, points + side], axis=1)
            shown, marks = probability, np.arange(len(grid))
        else:
            segments = np.stack([points[:-1], points[1:]], axis=1)
            shown = (probability[1:] + probability[:-1]) / 2.0
            marks = np.array(marked_points(len(grid), k))
        style: dict[str, Any] = {"colors": with_opacity(k, shown), "linewidths": 3.0}
        style |= {"zorder": 3, "capstyle": "butt"}
        lines = LineCollection(segments, **{**style, **(kwargs or {})})
        collections.append(ax.add_collection(lines))
        marks = marks[probability[marks] >= MIN_PROBABILITY_SHOWN]
        fill = with_opacity(k, probability[marks])
        edge = np.column_stack([np.ones((len(marks), 3)), fill[:, 3]])
        style = {"c": fill, "edgecolors": edge, "linewidths": 0.6, "marker": marker(k), "s": 42}
        ax.scatter(*points[marks].T, **style, zorder=3.5)
    visible = np.where(gate >= MIN_PROBABILITY_SHOWN, curves, np.nan)
    low, high = np.nanmin(visible), np.nanmax(visible)
    margin = 0.05 * (high - low)
    ax.set_ylim(min(limits[0], low - margin), max(limits[1], high + margin))
    return collections


def with_opacity(k: int, probability: Array) -> Array:
    """The colour of an expert, (n, 4), as opaque as its probability."""
    opacity = MIN_OPACITY + (1.0 - MIN_OPACITY) * probability
    return np.column_stack([np.tile(rgb(k), (len(opacity), 1)), opacity])


def draw_band(
    ax: Any, grid: Array, band: Array, *, is_category: bool, kwargs: Mapping[str, Any]
) -> Any:
    """Intervals (n_points, 2) along a curve, or a box for each category."""
    if not is_category:
        return ax.fill_between(grid, *band.T, **kwargs)
    # Outlines of the boxes, with gaps between them.
    sides = np.array([-1.0, -1.0, 1.0, 1.0]) * CATEGORY_WIDTH
    x = (grid[:, None] + sides).ravel()
    filled = np.tile([False, True, True, False], len(grid))
    low, high = (np.repeat(bound, 4) for bound in band.T)
    return ax.fill_between(x, low, high, where=filled, **kwargs)


def draw_rows(
    ax: Any, x: Array, y: Array, experts: Array, style: Mapping[str, Any], *, is_category: bool
) -> Any:
    """The rows in the colours of their experts; those of a category side by side."""
    if is_category:
        spread = np.random.default_rng(0).uniform(-JITTER_WIDTH, JITTER_WIDTH, len(x))
        x = x + spread
    return ax.scatter(x, y, **merged_marks({"c": [colour(k) for k in experts]}, style))


def draw_unit_lines(ax: Any, x: Array, y: Array, experts: Array, units: Sequence[Any]) -> Any:
    """A line through the rows of each unit, in the order of the feature."""
    from matplotlib.collections import LineCollection

    index = {label: i for i, label in enumerate(dict.fromkeys(units))}
    codes = np.array([index[label] for label in units], dtype=int)
    order = np.lexsort((x, codes))
    ends = np.flatnonzero(np.diff(codes[order])) + 1
    lines: Any = np.split(np.column_stack([x, y])[order], ends)
    colours = [colour(experts[rows[0]]) for rows in np.split(order, ends)]
    collection = LineCollection(lines, colors=colours, linewidths=0.7, alpha=0.5)
    return ax.add_collection(collection)


def band_style(coverage: float, kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
    """How intervals of a coverage are drawn."""
    style = {"color": LIGHT_GREY, "alpha": 0.25, "linewidth": 0}
    return merged(style | {"label": f"{100 * coverage:.3g} % interval"}, kwargs)
