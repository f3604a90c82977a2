"""Features as axes of pictures: their values, categories, and which of them to draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from skmoe._inference.labels import format_percent
from skmoe._numerics.typing import Array
from skmoe.inspection._checks import check_drawable
from skmoe.inspection._grid import categories_of, is_numeric
from skmoe.inspection._heat_map import shortened
from skmoe.inspection._style import grid_axes, in_first_column

# Panels of a grid side by side, and the size of each in inches.
MAX_GRID_COLUMNS, GRID_PANEL_SIZE = 3, (3.6, 2.9)

# The most frequent categories that are drawn.
MAX_DRAWN_CATEGORIES = 12

# Characters of all categories that stand side by side. Longer ones are turned, without their
# shares, and cut after some characters.
MAX_LEVEL_CHARACTERS, MAX_LEVEL_WIDTH = 36, 16


class FeatureAxis(NamedTuple):
    """A feature along an axis, with numbers or with categories in their order."""

    name: str
    column: int
    grid: Array  # values (n_points,): numbers, or indices of rows that hold the categories
    observed: Array  # values of the rows, (n,): numbers, or positions of categories; NaN if missing
    categories: list[str] | None = None  # with their shares of the rows

    @property
    def positions(self) -> Array:
        """Where the points of the grid are drawn, (n_points,)."""
        return self.grid if self.categories is None else np.arange(float(len(self.grid)))


def feature_axis(X: Any, j: int, name: str, resolution: int) -> FeatureAxis:
    """A feature between its smallest and largest value, or with its most frequent categories."""
    if is_numeric(X, j):
        values = check_drawable(X, j, name)
        grid = np.linspace(np.nanmin(values), np.nanmax(values), resolution)
        return FeatureAxis(name, j, grid, values)
    levels = categories_of(X, j)
    known = np.array([level for level in levels if level is not None])
    if len(set(known)) < 2:
        raise ValueError(
            f"Features must vary in X to be drawn; {name!r} does not. Choose another feature or "
            "pass more rows."
        )
    found, counts = np.unique(known, return_counts=True)
    frequent = np.argsort(-counts, kind="stable")[:MAX_DRAWN_CATEGORIES]
    drawn = sorted(found[frequent].tolist(), key=_order_of(X, j))
    position = {level: float(i) for i, level in enumerate(drawn)}
    observed = np.array([position.get(level, np.nan) for level in levels])
    shares = {level: count / len(known) for level, count in zip(found, counts, strict=True)}
    if len(found) > len(drawn):
        name = f"{name} ({len(drawn)} of {len(found)} categories)"
    return FeatureAxis(
        name,
        j,
        np.array([levels.index(level) for level in drawn]),
        observed,
        [f"{level}\n{format_percent(shares[level])}" for level in drawn],
    )


def _order_of(X: Any, j: int) -> Any:
    """Key that sorts the categories of a column: their own order if they have one."""
    column = X.iloc[:, j] if hasattr(X, "iloc") else X[:, j]
    levels = [str(level) for level in getattr(getattr(column, "cat", None), "categories", [])]
    if not hasattr(X, "iloc") or not levels:
        return lambda level: (0, level)
    return levels.index


def label_feature(ax: Any, name: str, categories: Sequence[str] | None, note: str) -> None:
    """Name of the horizontal axis, and the categories."""
    if categories is not None:
        ax.set_xticks(np.arange(len(categories)), categories)
        if sum(len(text) for text in categories) > MAX_LEVEL_CHARACTERS:
            names = [shortened(text.split("\n")[0], MAX_LEVEL_WIDTH) for text in categories]
            turned = {"rotation": 40, "ha": "right", "rotation_mode": "anchor", "fontsize": 8}
            ax.set_xticks(np.arange(len(categories)), names, **turned)
        ax.set_xlim(-0.5, len(categories) - 0.5)
    ax.set_xlabel("\n".join([name, *([f"({note})"] if note else [])]))


def draw_grid(panels: Sequence[Any], ax: Any, caller: str, kwargs: Mapping[str, Any]) -> Array:
    """Draw displays in a grid of axes, (n_panels,)."""
    axes = grid_axes(ax, caller, len(panels), MAX_GRID_COLUMNS, GRID_PANEL_SIZE)
    for panel, cells in zip(panels, axes, strict=True):
        panel.plot(cells, **kwargs)
    return axes


def keep_one_legend(axes: Array, legends: Sequence[Any]) -> None:
    """Remove legends that repeat each other, but for that at the end of the first row."""
    specs = [cells.get_subplotspec() for cells in axes]
    first_row = [i for i, spec in enumerate(specs) if spec is None or spec.is_first_row()]
    kept = axes[first_row[-1]]
    if any(legend.axes is kept for legend in legends):
        for legend in legends:
            if legend.axes is not kept:
                legend.remove()


def label_outer(axes: Array, alike: Sequence[bool]) -> None:
    """Leave out the names of vertical axes that repeat that of the panel at their left."""
    first = in_first_column(axes)
    for i in range(1, len(axes)):
        if not first[i] and alike[i] and alike[i - 1]:
            axes[i].set_ylabel("")
