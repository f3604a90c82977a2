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

# Line styles of experts whose colours repeat.
DASHES = ("-", "--", ":", "-.")

# Colours of what belongs to no expert.
DARK_GREY, LIGHT_GREY = "#333333", "#999999"

# Short names of matplotlib's properties.
MATPLOTLIB_ALIASES = {"c": "color", "lw": "linewidth", "ls": "linestyle", "ec": "edgecolor"}

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
    plt = import_pyplot(caller)
    if ax is None:
        return plt.subplots(1, 2, figsize=(9, 4), layout="constrained")[1]
    pair = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
    if len(pair) == 1:
        outer = pair[0]
        outer.set_axis_off()
        inner = outer.get_subplotspec().subgridspec(1, 2)
        return np.array([outer.figure.add_subplot(cell) for cell in inner], dtype=object)
    if len(pair) != 2:
        raise ValueError(f"ax must be one matplotlib axes, or two; got {len(pair)}.")
    return pair


def panel_axes(
    ax: Any, caller: str, widths: Sequence[float], margin: float, height: float
) -> Array:
    """Axes side by side: those given, new ones, or some that replace a single one.

    `widths`, the margin at their left and `height` are in inches. In a figure of the user the
    widths keep their ratios.
    """
    plt = import_pyplot(caller)
    n_panels = len(widths)
    given = None if ax is None else np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
    if given is not None and len(given) == n_panels and n_panels > 1:
        return given
    if given is None:
        figure = plt.figure(figsize=(sum(widths) + margin, height), layout="constrained")
        cells = figure.add_gridspec(1, n_panels, width_ratios=widths)
    elif len(given) == 1:
        figure = given[0].figure
        given[0].set_axis_off()
        cells = given[0].get_subplotspec().subgridspec(1, n_panels, width_ratios=widths)
    else:
        raise ValueError(
            f"ax must be one matplotlib axes, or one for each of the {n_panels} panels; got "
            f"{len(given)}. Pass None for new ones."
        )
    return np.array([figure.add_subplot(cell) for cell in cells], dtype=object)


def colour(k: int) -> str:
    """Colour of an expert."""
    return COLOURS[k % len(COLOURS)]


def dash(k: int) -> str:
    """Line style of an expert."""
    return DASHES[(k // len(COLOURS)) % len(DASHES)]


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
    given = given or {}
    return {
        **defaults,
        **{MATPLOTLIB_ALIASES.get(name, name): value for name, value in given.items()},
    }


def legend_above(ax: Any, handles: Sequence[Any]) -> Any:
    """A legend above the axes."""
    return ax.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0.0, 1.0), borderpad=0.2, frameon=False
    )


def expert_legend(ax: Any, handles: Sequence[Any]) -> Any:
    """A legend to the right of the axes."""
    columns = 1 + (len(handles) - 1) // MAX_LEGEND_ROWS
    return ax.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.0), ncols=columns, frameon=False
    )
