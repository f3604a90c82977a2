"""The panel of one expert in a picture of all regimes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from skmoe._numerics.typing import Array
from skmoe._optional import import_pyplot
from skmoe.inspection._expert_curves import CATEGORY_WIDTH, CLASS_MARK_HEIGHTS, JITTER_WIDTH
from skmoe.inspection._feature_axes import label_feature
from skmoe.inspection._style import (
    colour,
    expert_handle,
    in_first_column,
    marked_points,
    marker,
    merged_marks,
    rgb,
)

# Panels side by side, at most, their size, and the height of the gate above them, in inches.
MAX_REGIME_COLUMNS, REGIME_SIZE, GATE_HEIGHT = 4, (2.9, 2.5), 2.0

# Rows of a smaller responsibility are not drawn; the opacity of a row that is certain.
MIN_RESPONSIBILITY_SHOWN, MAX_ROW_OPACITY = 0.02, 0.6

# Opacity of a line beyond the rows of its expert.
OUTSIDE_OPACITY = 0.3


class RegimePanel(NamedTuple):
    """What is drawn of an expert."""

    expert: int
    heading: str
    feature_name: str
    categories: Sequence[str] | None
    grid: Array
    curve: Array
    x: Array
    y: Array
    resp: Array  # (n, K)


def regime_axes(ax: Any, caller: str, n_experts: int, *, with_gate: bool) -> tuple[Any, list[Any]]:
    """Axes above for the gate, or None, and below for each expert."""
    plt = import_pyplot(caller)
    n_rows = -(-n_experts // MAX_REGIME_COLUMNS)
    n_columns = -(-n_experts // n_rows)
    heights = [GATE_HEIGHT] * with_gate + [REGIME_SIZE[1]] * n_rows
    shape: dict[str, Any] = {"nrows": len(heights), "ncols": n_columns, "height_ratios": heights}
    if ax is None:
        width = REGIME_SIZE[0] * max(n_columns, 2)
        figure = plt.figure(figsize=(width, sum(heights)), layout="constrained")
        cells = figure.add_gridspec(**shape)
    else:
        figure = ax.figure
        ax.set_axis_off()
        cells = ax.get_subplotspec().subgridspec(**shape)
    above = figure.add_subplot(cells[0, :]) if with_gate else None
    positions = [divmod(i, n_columns) for i in range(n_experts)]
    return above, [figure.add_subplot(cells[i + with_gate, j]) for i, j in positions]


def draw_regime(
    ax: Any, panel: RegimePanel, is_probability: bool, kwargs: Mapping[str, Any] | None
) -> tuple[Any, Any]:
    """Draw rows and prediction; returns the line and the rows."""
    k = panel.expert
    scatter = _draw_rows(ax, panel, is_probability, kwargs)
    if panel.categories is None:
        own = panel.x[panel.resp.argmax(axis=1) == k]
        inside = np.ones(len(panel.grid), dtype=bool)
        if len(own):
            inside = (panel.grid >= own.min()) & (panel.grid <= own.max())
        style: dict[str, Any] = {"color": colour(k), "linewidth": 2.5, "zorder": 3}
        ax.plot(panel.grid, panel.curve, **style, alpha=OUTSIDE_OPACITY)
        marks = marked_points(len(panel.grid), k)
        curve = np.where(inside, panel.curve, np.nan)
        style |= {"marker": marker(k), "markevery": marks, "markersize": 5}
        (line,) = ax.plot(panel.grid, curve, **style)
        ax.set_xlim(panel.grid[[0, -1]])
    else:
        style = {"color": colour(k), "linestyle": "none", "marker": marker(k), "markersize": 8}
        (line,) = ax.plot(panel.grid, panel.curve, **style, zorder=3)
        ends = panel.grid - CATEGORY_WIDTH, panel.grid + CATEGORY_WIDTH
        ax.hlines(panel.curve, *ends, color=colour(k), linewidth=2.5, zorder=3)
    label_feature(ax, panel.feature_name, panel.categories, "")
    ax.legend(
        handles=[expert_handle(k, panel.heading)],
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        frameon=False,
        fontsize=9,
        borderpad=0.1,
        borderaxespad=0.1,
    )
    return line, scatter


def _draw_rows(
    ax: Any, panel: RegimePanel, is_probability: bool, kwargs: Mapping[str, Any] | None
) -> Any:
    """The rows in the colour of the expert, as opaque as its responsibility."""
    resp = panel.resp[:, panel.expert]
    shown = np.flatnonzero(resp >= MIN_RESPONSIBILITY_SHOWN)
    fill = np.tile(rgb(panel.expert), (len(shown), 1))
    style: dict[str, Any] = {"c": np.column_stack([fill, MAX_ROW_OPACITY * resp[shown]])}
    style |= {"s": 12, "linewidths": 0}
    x, y = panel.x[shown], panel.y[shown]
    if panel.categories is not None:
        x = x + np.random.default_rng(0).uniform(-JITTER_WIDTH, JITTER_WIDTH, len(x))
    if is_probability:
        y = CLASS_MARK_HEIGHTS[y.astype(int)]
        style |= {"marker": "|", "s": 40, "linewidths": 1.0}
    return ax.scatter(x, y, **merged_marks(style, kwargs))


def set_heights(axes: Sequence[Any], name: str, limits: tuple[float, float]) -> None:
    """The same vertical axis for all panels, with its name in the first column."""
    for cells, is_first in zip(axes, in_first_column(np.array(axes, dtype=object)), strict=True):
        cells.set_ylim(limits)
        if is_first:
            cells.set_ylabel(name)
        else:
            cells.set_yticklabels([])
