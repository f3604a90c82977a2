"""Axes, colours, line styles and legends of the displays."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from skmoe._inference.labels import default_expert_names
from skmoe._numerics.typing import Array
from skmoe._optional import import_pyplot

# Distinguishable with colour vision deficiencies (Okabe and Ito 2008); the palest comes last.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442")

# Line styles and markers of the experts: their numbers have no divisor in common with that of the
# colours, so that pairs repeat late, and experts differ without colours, as in grey print.
DASHES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
HATCHES = ("", "///", "...", "xxx", "---", "+++", "ooo", "|||")

# Markers on a curve, and how far those of the next expert are shifted, as a fraction of their
# distance: multiples of the golden section are far from each other.
N_MARKS, SHIFT_OF_MARKS = 7, 0.618

# Colours of what belongs to no expert.
DARK_GREY, LIGHT_GREY = "#333333", "#999999"

# Short names of matplotlib's properties.
MATPLOTLIB_ALIASES = {"c": "color", "lw": "linewidth", "ls": "linestyle", "ec": "edgecolor"}

# Mean width of a character below a figure, in inches, and the shortest lines there, in characters.
CAPTION_CHARACTER_WIDTH, MIN_LINE_LENGTH = 0.075, 24

# Lines of a name, and characters in a line of the name of an expert: in a legend, and beside marks.
MAX_NAME_LINES = 3
LEGEND_NAME_WIDTH, EXPERT_NAME_WIDTH = 20, 11

# A legend has one column up to this number of rows.
MAX_LEGEND_ROWS = 16


def one_axes(ax: Any, caller: str) -> Any:
    """The axes given, or new ones."""
    plt = import_pyplot(caller)
    return plt.subplots(layout="constrained")[1] if ax is None else ax


def two_axes(ax: Any, caller: str) -> Array:
    """The pair of axes given, new ones, or two that replace a single one."""
    import_pyplot(caller)
    pair = _given_axes(ax, 2, "two")
    return _subplots(ax, caller, (1, 2), size=(9, 4)) if pair is None else pair


def panel_axes(
    ax: Any, caller: str, widths: Sequence[float], margin: float, height: float
) -> Array:
    """Axes side by side: those given, new ones, or some that replace a single one.

    `widths`, the margin at their left and `height` are in inches. In a figure of the user the
    widths keep their ratios.
    """
    import_pyplot(caller)
    n_panels = len(widths)
    given = _given_axes(ax, n_panels, f"one for each of the {n_panels} panels")
    if given is not None:
        return given
    size = sum(widths) + margin, height
    return _subplots(ax, caller, (1, n_panels), size=size, width_ratios=widths)


def grid_axes(
    ax: Any, caller: str, n_panels: int, max_columns: int, size: tuple[float, float]
) -> Array:
    """Axes (n_panels,) in rows of at most `max_columns`: given, new, or in place of a single one.

    `size` is that of a panel, in inches.
    """
    import_pyplot(caller)
    given = _given_axes(ax, n_panels, f"one for each of the {n_panels} panels")
    if given is not None:
        return given
    n_rows = -(-n_panels // max_columns)
    n_columns = -(-n_panels // n_rows)  # rows of about the same length
    full = size[0] * n_columns, size[1] * n_rows
    return _subplots(ax, caller, (n_rows, n_columns), size=full, n_axes=n_panels)


def in_first_column(axes: Array) -> list[bool]:
    """Whether the axes of a grid have no others at their left."""
    specs = [ax.get_subplotspec() for ax in axes]
    return [spec is None or spec.is_first_col() for spec in specs]


def label_below(axes: Array, notes: Sequence[str], *, is_own: bool) -> None:
    """Lines below all panels of an own figure; in a figure of the user below the last one."""
    figure = axes[0].figure
    if not is_own:
        axes[-1].set_xlabel("\n".join(notes), fontsize=8)
        return
    width = max(MIN_LINE_LENGTH, int(figure.get_figwidth() / CAPTION_CHARACTER_WIDTH))
    lines = [notes[0], *textwrap.wrap(" ".join(notes[1:]), width)]
    figure.supxlabel("\n".join(lines), fontsize=9)


def _given_axes(ax: Any, n_panels: int, wanted: str) -> Array | None:
    """Axes that were given for all panels; None if others are to be made."""
    given: Any = [] if ax is None else np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
    if len(given) <= 1 and len(given) != n_panels:
        return None
    if len(given) != n_panels:
        raise ValueError(
            f"ax must be one matplotlib axes, or {wanted}; got {len(given)}. Pass None for new "
            "ones."
        )
    return np.asarray(given, dtype=object)


def _subplots(
    ax: Any,
    caller: str,
    shape: tuple[int, int],
    *,
    size: tuple[float, float],
    n_axes: int | None = None,
    **options: Any,
) -> Array:
    """Axes in a new figure of a size in inches, or in place of one of the user's axes."""
    if ax is None:
        figure = import_pyplot(caller).figure(figsize=size, layout="constrained")
        cells = figure.add_gridspec(*shape, **options)
    else:
        outer = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()[0]
        figure = outer.figure
        outer.set_axis_off()
        cells = outer.get_subplotspec().subgridspec(*shape, **options)
    n_axes = shape[0] * shape[1] if n_axes is None else n_axes
    return np.array([figure.add_subplot(cells[i]) for i in range(n_axes)], dtype=object)


def colour(k: int) -> str:
    """Colour of an expert."""
    return COLOURS[k % len(COLOURS)]


def dash(k: int) -> str:
    """Line style of an expert."""
    return DASHES[k % len(DASHES)]


def marker(k: int) -> str:
    """Marker of an expert."""
    return MARKERS[k % len(MARKERS)]


def marked_points(n_points: int, k: int) -> list[int]:
    """Indices of the points of a curve with the marker of an expert, at others for each expert."""
    n_marks = min(N_MARKS, n_points)
    shift = (k * SHIFT_OF_MARKS) % 1.0
    return sorted({int((i + shift) * n_points / n_marks) for i in range(n_marks)})


def rgb(k: int) -> Array:
    """Colour of an expert as three numbers from 0 to 1."""
    return np.array([int(colour(k)[i : i + 2], 16) for i in (1, 3, 5)]) / 255.0


def names_or_default(names: Sequence[str] | None, n_experts: int) -> list[str]:
    """Names of the experts of a display: those given, or "expert 0" and so on."""
    return default_expert_names(n_experts) if names is None else list(names)


def in_legend(names: Sequence[str]) -> list[str]:
    """Names of experts in a legend beside the axes, in lines."""
    lines = [wrapped(name, LEGEND_NAME_WIDTH) for name in names]
    # Matplotlib leaves labels out that begin with an underscore.
    return [f" {label}" if label.startswith("_") else label for label in lines]


def beside_marks(names: Sequence[str]) -> list[str]:
    """Names of experts at ticks or in regions, in short lines; numbers if they have no names."""
    if list(names) == default_expert_names(len(names)):
        return [str(k) for k in range(len(names))]
    return [wrapped(name, EXPERT_NAME_WIDTH) for name in names]


def wrapped(name: str, width: int) -> str:
    """A name in lines of at most `width` characters, cut after some lines."""
    apart = name.replace("_", "_ ")  # lines may end after an underscore
    lines = textwrap.wrap(apart, width, max_lines=MAX_NAME_LINES, placeholder="...")
    # Matplotlib would take text between two dollar signs for a formula.
    return "\n".join(lines).replace("_ ", "_").replace("$", r"\$")


def merged(defaults: Mapping[str, Any], given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Properties with those of the user in place of the defaults, by their long names."""
    own = {MATPLOTLIB_ALIASES.get(name, name): value for name, value in (given or {}).items()}
    return _replaced(defaults, own, "facecolor")  # which matplotlib would prefer to a given color


def merged_marks(defaults: Mapping[str, Any], given: Mapping[str, Any] | None) -> dict[str, Any]:
    """The same for `scatter`, which takes either c or color."""
    return _replaced(defaults, dict(given or {}), "c")


def _replaced(defaults: Mapping[str, Any], own: dict[str, Any], colour: str) -> dict[str, Any]:
    """The defaults with `own` in their place; a `color` also replaces the default `colour`."""
    kept = {name: value for name, value in defaults.items() if "color" not in own or name != colour}
    return kept | own


def legend_above(ax: Any, handles: Sequence[Any], **options: Any) -> Any:
    """A legend above the axes."""
    style = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "borderpad": 0.2, "frameon": False}
    return ax.legend(handles=handles, **(style | options))


def hatch(k: int) -> str:
    """Pattern of the bars of an expert; none for the first."""
    return HATCHES[k % len(HATCHES)]


def expert_handle(k: int, name: str, **style: Any) -> Any:
    """What stands for an expert in a legend: its colour, line style and marker."""
    from matplotlib.lines import Line2D

    own = {"color": colour(k), "linestyle": dash(k), "marker": marker(k), "linewidth": 2}
    return Line2D([], [], label=name, **merged(own, style))


def expert_legend(ax: Any, handles: Sequence[Any]) -> Any:
    """A legend to the right of the axes."""
    columns = 1 + (len(handles) - 1) // MAX_LEGEND_ROWS
    return ax.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.0), ncols=columns, frameon=False
    )
