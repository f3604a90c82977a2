"""Axes, colours, line styles and legends of the displays."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from skmoe._inference.labels import counted_noun, default_expert_names, format_percent
from skmoe._numerics.typing import Array
from skmoe._optional import import_pyplot

# Distinguishable with colour vision deficiencies, of which the first seven are those of Okabe and
# Ito (2008). Black and grey are kept for what belongs to no expert.
COLOURS = (
    *("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442"),
    *("#663300", "#4B0082", "#F2B6CF", "#A0004D", "#0B5345", "#7FD68A"),
)

# Line styles and markers of the experts: their numbers have no divisor in common with that of the
# colours, so that pairs repeat late, and experts differ without colours, as in grey print.
DASHES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

# Markers on a curve, and how far those of the next expert are shifted, as a fraction of their
# distance: multiples of the golden section are far from each other.
N_MARKS, SHIFT_OF_MARKS = 7, 0.618

# Colours of what belongs to no expert.
DARK_GREY, LIGHT_GREY = "#333333", "#999999"

# Mean width of a character, in inches, and the shortest lines below a figure, in characters.
CHARACTER_WIDTH, MIN_LINE_LENGTH = 0.075, 24

# Lines of a name, and characters in a line of the name of an expert: in a legend, and beside marks.
MAX_NAME_LINES = 3
LEGEND_NAME_WIDTH, EXPERT_NAME_WIDTH = 20, 11

# Characters of a name above a panel.
HEADING_WIDTH = 22

# Characters in a line of the name of an axis, in each inch of it, and least.
AXIS_CHARACTERS_PER_INCH, MIN_AXIS_NAME_WIDTH = 11.0, 27

# Characters of all categories that stand side by side. Longer ones are turned, without their
# shares, and cut after some characters.
MAX_LEVEL_CHARACTERS, MAX_LEVEL_WIDTH = 36, 16

# Size of one of two panels, in inches.
TWO_PANELS_SIZE = (4.5, 4.0)

# Panels of a grid side by side, and the size of each in inches.
MAX_GRID_COLUMNS, GRID_PANEL_SIZE = 3, (3.6, 2.9)

# Instead of a number.
NO_NUMBER = "\N{EN DASH}"

# Width for the legend beside a grid of panels, in inches.
LEGEND_WIDTH = 3.0

# Bands, and lines and axes that are a reference.
BAND: dict[str, Any] = {"color": LIGHT_GREY, "alpha": 0.3, "linewidth": 0}
REFERENCE: dict[str, Any] = {"color": DARK_GREY, "linestyle": "--", "linewidth": 1}

# Heights at which rows of other classes and of the class are drawn, and limits of the axis.
CLASS_MARK_HEIGHTS, CLASS_LIMITS = np.array([-0.05, 1.05]), (-0.1, 1.1)

# Area of the point of a row.
ROW_AREA = 12.0

# Half the width of the range in which rows of a category lie.
JITTER_WIDTH = 0.25

# Rows of a legend in each inch of the axes that it stands beside; others are in further columns.
LEGEND_ROWS_PER_INCH = 4.35


@dataclass(kw_only=True, eq=False, repr=False)
class Display:
    """A picture: fields are what is drawn, and attributes with a last underscore its artists."""

    def plot(self, ax: Any = None) -> Self:
        """Draw the picture.

        Parameters
        ----------
        ax : matplotlib axes or array-like of axes, default=None
            Axes to draw on: a single one, which several panels replace, or one for each panel. None
            for new ones.

        Returns
        -------
        display : object
            This display.
        """
        self.ax_: Any = self._draw(ax)
        self.figure_ = np.ravel(self.ax_)[0].figure
        return self

    def _draw(self, ax: Any) -> Any:
        raise NotImplementedError

    def _axes(
        self, ax: Any, n_panels: int = 1, size: Any = None, max_columns: int = 0, room: float = 0.0
    ) -> Array:
        """Axes (n_panels,): those given, new ones, or some that replace a single one of the user.

        In rows of at most `max_columns`; 0 for one row. New ones have a size in inches each, and
        room beside them.
        """
        given = np.ravel(np.asarray(ax, dtype=object))
        if ax is not None and len(given) == n_panels:
            return given
        n_rows = -(-n_panels // (max_columns or n_panels))
        n_columns = -(-n_panels // n_rows)  # rows of about the same length
        whole = None if size is None else (size[0] * n_columns + room, size[1] * n_rows)
        figure, cells = self._cells(ax, n_panels, whole, nrows=n_rows, ncols=n_columns)
        return np.array([figure.add_subplot(cells[i]) for i in range(n_panels)], dtype=object)

    def _cells(
        self, ax: Any, n_panels: int, size: tuple[float, float] | None, **grid: Any
    ) -> tuple[Any, Any]:
        """A figure and cells in it: of a new one, or in place of one of the user's axes."""
        plt = import_pyplot(f"{type(self).__name__}.plot")
        if ax is None:
            figure = plt.figure(figsize=size, layout="constrained")
            return figure, figure.add_gridspec(**grid)
        given = np.ravel(np.asarray(ax, dtype=object))
        if len(given) != 1:
            more = f", or one for each of the {n_panels} panels" if n_panels > 1 else ""
            raise ValueError(
                f"ax must be one matplotlib axes{more}; got {len(given)}. Pass None for new ones."
            )
        given[0].set_axis_off()
        return given[0].figure, given[0].get_subplotspec().subgridspec(**grid)


@dataclass(kw_only=True, eq=False, repr=False)
class DisplayOfFeatures(Display):
    """A display of features, of which those with the largest effects are drawn."""

    feature_names: Sequence[str]
    n_columns: int | None = None
    feature_note: str = ""

    def _notes(self, largest: str) -> list[str]:
        """Which features are drawn, if there are more, and what they are."""
        n_shown, number = len(self.feature_names), self.n_columns or 0
        chosen = [f"{n_shown} of {number} features: {largest}"] if number > n_shown else []
        return [*chosen, *([self.feature_note] if self.feature_note else [])]


@dataclass(kw_only=True, eq=False, repr=False)
class DisplayOfPanels(Display):
    """A display that may have others of its kind as its panels."""

    expert_names: Sequence[str]
    panels: Any = None

    # Size of a single panel, None for that of matplotlib; and size, columns and room of a grid.
    SIZE: ClassVar[tuple[float, float] | None] = None
    GRID: ClassVar[tuple[Any, ...]] = (GRID_PANEL_SIZE, MAX_GRID_COLUMNS, LEGEND_WIDTH)

    @classmethod
    def _of_panels(cls, panels: Sequence[Self]) -> Self:
        """The first of several displays, with all of them as its panels, or the only one."""
        display = copy(panels[0])
        display.panels = panels if len(panels) > 1 else None
        return display

    def _draw(self, ax: Any) -> Any:
        if not self.panels:
            (cells,) = self._axes(ax, 1, self.SIZE)
            self._draw_panel(cells)
            return cells
        axes = self._axes(ax, len(self.panels), *self.GRID)
        for panel, cells in zip(self.panels, axes, strict=True):
            panel.plot(cells)
        _share_names(axes)
        return axes

    def _draw_panel(self, ax: Any) -> None:
        raise NotImplementedError


def _share_names(axes: Array) -> None:
    """Keep one of equal legends, and one name of the vertical axis in a row."""

    def words(cells: Any) -> set[str]:
        legend = cells.get_legend()
        return {text.get_text() for text in (legend.get_title(), *legend.get_texts())}

    specs = [cells.get_subplotspec() for cells in axes]
    kept = axes[[spec is None or spec.is_first_row() for spec in specs]][-1]
    is_first, labels = in_first_column(axes), [cells.get_ylabel() for cells in axes]
    for i, cells in enumerate(axes):
        if cells is not kept and words(cells) <= words(kept):
            cells.get_legend().remove()
        if i and not is_first[i] and labels[i] == labels[i - 1]:
            cells.set_ylabel("")


def in_first_column(axes: Any) -> list[bool]:
    """Whether the axes of a grid have no others at their left."""
    specs = [ax.get_subplotspec() for ax in axes]
    return [spec is None or spec.is_first_col() for spec in specs]


def label_below(axes: Array, notes: Sequence[str], *, is_own: bool) -> None:
    """Lines below all panels of an own figure; in a figure of the user below the last one."""
    figure = axes[0].figure
    if not is_own:
        axes[-1].set_xlabel("\n".join(notes), fontsize=8)
        return
    width = max(MIN_LINE_LENGTH, int(figure.get_figwidth() / CHARACTER_WIDTH))
    lines = [*textwrap.wrap(notes[0], width), *textwrap.wrap(" ".join(notes[1:]), width)]
    figure.supxlabel("\n".join(lines), fontsize=9)


def label_feature(ax: Any, name: str, categories: Sequence[str] | None, note: str) -> None:
    """Name of the horizontal axis in lines that are no longer than it, and the categories."""
    if categories is not None:
        label_categories(ax, categories)
    lines = wrapped(name, axis_name_width(ax, 0))
    ax.set_xlabel(f"{lines}\n({note})" if note else lines)


def count_beyond(ax: Any, x: Array, y: Array) -> None:
    """A note in the corner of the axes with the number of rows that their limits leave out."""
    limits = ax.get_xlim(), ax.get_ylim()
    is_beyond = [(v < low) | (v > high) for v, (low, high) in zip((x, y), limits, strict=True)]
    n_beyond = int((is_beyond[0] | is_beyond[1]).sum())
    if n_beyond:
        style = {"fontsize": 7, "color": DARK_GREY, "ha": "right", "va": "top", "zorder": 5}
        text = f"{n_beyond} row{'s' * (n_beyond > 1)} beyond the axes"
        ax.text(0.99, 0.98, text, transform=ax.transAxes, **style)


def axis_name_width(ax: Any, side: int) -> int:
    """Characters that stand along the horizontal (0) or vertical (1) axis of a panel."""
    return max(MIN_AXIS_NAME_WIDTH, int(AXIS_CHARACTERS_PER_INCH * inches_of(ax, side)))


def inches_of(ax: Any, side: int) -> float:
    """Width (0) or height (1) of axes, about, before the layout of the figure."""
    return float(ax.bbox.size[side] / ax.figure.dpi)  # of subfigures, too


def label_target(ax: Any, name: str) -> None:
    """Name of the vertical axis in lines that are no longer than it; smaller ones in low axes."""
    lines = "\n".join(wrapped(line, axis_name_width(ax, 1)) for line in name.split("\n"))
    small = {"fontsize": 8} if text_width([lines]) > inches_of(ax, 1) else {}
    ax.set_ylabel(lines, **small)


def label_categories(ax: Any, categories: Sequence[str]) -> None:
    """Names along the horizontal axis; many or long ones are turned, in their first line."""
    names, style = categories, {}
    if sum(len(text) for text in categories) > MAX_LEVEL_CHARACTERS:
        names = shortened([text.split("\n")[0] for text in categories], MAX_LEVEL_WIDTH)
        style = {"rotation": 40, "ha": "right", "rotation_mode": "anchor", "fontsize": 8}
    ax.set_xticks(range(len(names)), names, **style)
    ax.set_xlim(-0.6, len(categories) - 0.4)


def name_rows(ax: Any, names: Sequence[str]) -> None:
    """Names at the left of the rows of a picture, the first on top."""
    ax.set_yticks(range(len(names)), names, fontsize=9, color=DARK_GREY)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)


# --- bands and rows ----------------------------------------------------------------------------


def interval_label(probability: float | None) -> str:
    """What intervals are called in legends."""
    return "interval" if probability is None else f"{100 * probability:.3g} % interval"


def draw_band(ax: Any, x: Array, ends: Any, box: float | None = None, **style: Any) -> Any:
    """Draw a grey band between two curves, or boxes of half a width around points, if any."""
    if ends is None:
        return None
    style = BAND | style
    if box is None:
        return ax.fill_between(x, *ends, **style)
    corners = (x[:, None] + np.array([-box, -box, box, box])).ravel()
    filled = np.tile([False, True, True, False], len(x))  # with gaps between the boxes
    return ax.fill_between(corners, *np.repeat(ends, 4, axis=1), where=filled, **style)


def draw_rows(
    ax: Any, x: Array, y: Array, kinds: tuple[bool, bool], hollow: Array | None = None, **style: Any
) -> Any:
    """Draw rows: those of a category side by side, those of a class or others as marks at ends.

    `kinds` are whether the feature has categories, and whether rows are those of a class or others.
    Some rows may be hollow.
    """
    is_category, is_class = kinds
    style = {"linewidths": 0, "s": ROW_AREA} | style
    if is_category:
        x = x + np.random.default_rng(0).uniform(-JITTER_WIDTH, JITTER_WIDTH, len(x))
    if is_class:
        y = CLASS_MARK_HEIGHTS[y.astype(int)]
        style |= {"marker": "|", "s": 40, "linewidths": 1.0}
    elif hollow is not None and hollow.any():
        from matplotlib.colors import to_rgba_array

        edges = to_rgba_array(style["c"])
        fill = np.where(hollow[:, None] & [True, True, True, False], 1.0, edges)
        style |= {"c": fill, "edgecolors": edges, "linewidths": np.where(hollow, 0.8, 0.0)}
    return ax.scatter(x, y, **style)


# --- experts and names -------------------------------------------------------------------------


def colour(k: int) -> str:
    """Colour of an expert."""
    return COLOURS[k % len(COLOURS)]


def marker(k: int) -> str:
    """Marker of an expert."""
    return MARKERS[k % len(MARKERS)]


def line_style(k: int) -> dict[str, Any]:
    """Colour, dashes and marker of an expert."""
    dashes = DASHES[k % len(DASHES)]
    return {"color": colour(k), "linestyle": dashes, "marker": marker(k), "linewidth": 2}


def marked_points(n_points: int, k: int) -> list[int]:
    """Indices of the points of a curve with the marker of an expert, at others for each expert."""
    n_marks = min(N_MARKS, n_points)
    shift = (k * SHIFT_OF_MARKS) % 1.0
    return sorted({int((i + shift) * n_points / n_marks) for i in range(n_marks)})


def curve_style(k: int, n_points: int, *, is_category: bool = False) -> dict[str, Any]:
    """How the curve of an expert is drawn, with some marks; at categories there are marks alone."""
    if is_category:
        return line_style(k) | {"linestyle": "none", "markersize": 8}
    return line_style(k) | {"markersize": 5, "markevery": marked_points(n_points, k)}


def rgb(k: int) -> Array:
    """Colour of an expert as three numbers from 0 to 1."""
    return np.array([int(colour(k)[i : i + 2], 16) for i in (1, 3, 5)]) / 255.0


def faded(k: int, opacity: Array) -> Array:
    """Colours (n, 4) of an expert with some opacities."""
    return np.column_stack([np.tile(rgb(k), (len(opacity), 1)), opacity])


def region_colours(probability: Array, weakest: float, strongest: float) -> Array:
    """Colours (..., 3) of the most probable expert, paler where it is less probable.

    Their intensities are those where all experts are equally probable, and where one is certain.
    """
    n_experts = probability.shape[-1]
    equal = 1.0 / n_experts if n_experts > 1 else 0.0
    certainty = (probability.max(axis=-1, keepdims=True) - equal) / (1.0 - equal)
    palette = np.array([rgb(k) for k in range(n_experts)])[probability.argmax(axis=-1)]
    return 1.0 - (weakest + (strongest - weakest) * certainty) * (1.0 - palette)


def in_legend(names: Sequence[str]) -> list[str]:
    """Names of experts in a legend beside the axes, in lines."""
    return [wrapped(name, LEGEND_NAME_WIDTH) for name in names]


def beside_marks(names: Sequence[str]) -> list[str]:
    """Names of experts at ticks or in regions, in short lines; numbers if they have no names."""
    if list(names) == default_expert_names(len(names)):
        return [str(k) for k in range(len(names))]
    return [wrapped(name, EXPERT_NAME_WIDTH) for name in names]


def wrapped(name: str, width: int) -> str:
    """A name in lines of at most `width` characters, cut after some lines."""
    from matplotlib import rcParams

    apart = name.replace("_", "_ ")  # lines may end after an underscore
    lines = textwrap.wrap(apart, width, max_lines=MAX_NAME_LINES, placeholder="...")
    text = "\n".join(lines).replace("_ ", "_")
    # Matplotlib would take text between two dollar signs for a formula.
    return text.replace("$", r"\$") if rcParams["text.parse_math"] else text


def shortened(names: Sequence[str], width: int) -> list[str]:
    """Names in one line of at most `width` characters; those that are alike then get a number."""
    n_last, texts = width // 3, []
    for i, name in enumerate(names):
        text = name
        if len(name) > width:
            text = f"{name[: width - 3 - n_last].rstrip()}...{name[-n_last:].lstrip()}"
        texts.append(f"{text[: width - 4]} ({i})" if text in texts and name != text else text)
    return texts


def text_width(texts: Sequence[str]) -> float:
    """Width of the longest line of some names, in inches, about."""
    return CHARACTER_WIDTH * max(len(line) for text in texts for line in text.split("\n"))


def labelled(given: Sequence[Any]) -> Sequence[Any]:
    """Handles of what is drawn; matplotlib would leave out those with a first underscore."""
    handles = [handle for handle in given if handle is not None]
    for handle in handles:
        if handle.get_label().startswith("_"):
            handle.set_label(f" {handle.get_label()}")
    return handles


def legend_above(ax: Any, handles: Sequence[Any], **options: Any) -> Any:
    """A legend above the axes."""
    style = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "borderpad": 0.2, "frameon": False}
    return ax.legend(handles=labelled(handles), **(style | options))


def expert_handle(k: int, name: str, **style: Any) -> Any:
    """What stands for an expert in a legend: its colour, line style and marker."""
    from matplotlib.lines import Line2D

    return Line2D([], [], label=name, **line_style(k) | style)


def head_expert(ax: Any, k: int, names: Sequence[str], shares: Array, *, of_units: bool) -> None:
    """Name and share of an expert above its panel."""
    share = f"{format_percent(shares[k])} of the {counted_noun(of_units)}s"
    heading = f"{shortened(names, HEADING_WIDTH)[k]}\n{share}"
    small = {"fontsize": 9, "borderpad": 0.1, "borderaxespad": 0.1}
    legend_above(ax, [expert_handle(k, heading)], **small)


def expert_legend(ax: Any, handles: Sequence[Any]) -> Any:
    """A legend to the right of the axes."""
    handles = labelled(handles)
    n_rows = sum(1 + handle.get_label().count("\n") for handle in handles)
    columns = -(-n_rows // max(1, int(LEGEND_ROWS_PER_INCH * inches_of(ax, 1))))
    style = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "frameon": False}
    return ax.legend(handles=handles, ncols=columns, **style)
