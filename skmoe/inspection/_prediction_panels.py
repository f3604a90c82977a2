"""Pictures of the predictive distribution of one row, with the experts as its parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from skmoe._inference.labels import format_percent
from skmoe._numerics.typing import Array
from skmoe.inspection._densities import MIN_GATE_SHOWN, RowDensity
from skmoe.inspection._heat_map import shortened
from skmoe.inspection._style import DARK_GREY, LIGHT_GREY, colour, dash, hatch, legend_above
from skmoe.inspection._waterfall import short_number

# Characters of a name in the legend, and experts that it names.
LEGEND_NAME_WIDTH, MAX_NAMED_EXPERTS = 22, 6

# Width of a bar at a value among others, as a fraction of the axis, and between others of their
# distance.
ATOM_WIDTH, BAR_FRACTION = 0.02, 0.8

# Values that have bars; more are drawn as lines.
MAX_BARS = 60

# Opacity of the density of an expert.
HUMP_OPACITY = 0.3

# Classes that are drawn.
MAX_CLASSES = 12

# Height of a density above the highest point, for the legend of values with a probability.
HEADROOM = 1.08


def draw_distribution(
    ax: Any,
    density: RowDensity,
    names: Sequence[str],
    interval: Array | None,
    coverage: float | None,
    marks: dict[str, float | None],
) -> list[Any]:
    """Draw densities, or bars, of the experts; returns what is drawn of each, or None.

    `marks` are values with the names that they have in the legend.
    """
    counted = np.flatnonzero(density.gate >= MIN_GATE_SHOWN)
    is_discrete = not len(density.grid)
    above: list[Any] = []
    if interval is not None and coverage is not None:
        half = 0.5 * _step(density.values) if is_discrete else 0.0
        label = f"{100 * coverage:.3g} % interval"
        ends = interval[0] - half, interval[1] + half
        above.append(ax.axvspan(*ends, color=LIGHT_GREY, alpha=0.25, linewidth=0, label=label))
    artists: list[Any] = [None] * len(names)
    with_bars = is_discrete and len(density.values) <= MAX_BARS
    if with_bars:
        width = BAR_FRACTION * _step(density.values)
        bars = density.values, density.probability, width
        artists = _draw_bars(ax, *bars, counted, transform=ax.transData)
    else:
        points = density.values if is_discrete else density.grid
        curves = density.probability if is_discrete else density.density
        for k in counted.tolist():
            artists[k] = _draw_hump(ax, points, curves[:, k], k)
        style: dict[str, Any] = {"color": "black", "linewidth": 1.2, "label": "mixture"}
        above += ax.plot(points, curves.sum(axis=1), **style)
        ax.set_xlim(points[[0, -1]])
        if not is_discrete and len(density.values):
            _draw_atoms(ax, density, counted)
    ax.set_ylim(0.0, ax.get_ylim()[1] * (HEADROOM if len(density.grid) else 1.0))
    for (name, value), dashes in zip(marks.items(), (":", "--"), strict=False):
        if value is not None:
            label = f"{name}: {short_number(value)}"
            line = {"color": DARK_GREY, "linestyle": dashes, "linewidth": 1.8, "label": label}
            above.append(ax.axvline(value, **line))
    ax.set_ylabel("Probability" if is_discrete else "Density")
    name_experts(ax, density.gate, names, counted, above, with_lines=not with_bars)
    return artists


def _draw_hump(ax: Any, points: Array, curve: Array, k: int) -> Any:
    ax.fill_between(points, 0.0, curve, color=colour(k), alpha=HUMP_OPACITY, linewidth=0)
    (line,) = ax.plot(points, curve, color=colour(k), linestyle=dash(k), linewidth=1.8)
    return line


def _draw_bars(
    ax: Any, values: Array, probability: Array, width: float, counted: Array, transform: Any
) -> list[Any]:
    """Bars of the experts on top of each other."""
    artists: list[Any] = [None] * probability.shape[1]
    bottom = np.zeros(len(values))
    for k in counted.tolist():
        style = {"color": colour(k), "hatch": hatch(k), "edgecolor": "white", "linewidth": 0.6}
        height = probability[:, k]
        artists[k] = ax.bar(values, height, width, bottom=bottom, transform=transform, **style)
        bottom = bottom + height
    return artists


def _draw_atoms(ax: Any, density: RowDensity, counted: Array) -> None:
    """Bars at values with a probability; the height of the axis is a probability of one."""
    low, high = ax.get_xlim()
    low = min(low, density.values.min() - 2.0 * ATOM_WIDTH * (high - low))
    width = ATOM_WIDTH * (high - low)
    bars = density.values, density.probability, width
    _draw_bars(ax, *bars, counted, transform=ax.get_xaxis_transform())
    ax.set_xlim(low, high)
    for value, total in zip(density.values, density.probability.sum(axis=1), strict=True):
        ax.annotate(
            f"{format_percent(total)} at {short_number(value)}",
            (value, min(total, 0.9)),
            xycoords=ax.get_xaxis_transform(),
            xytext=(6, 2),
            textcoords="offset points",
            fontsize=8,
            color=DARK_GREY,
        )


def draw_classes(
    ax: Any, probability: Array, classes: Sequence[Any], observed: int | None, names: Sequence[str]
) -> list[Any]:
    """Probabilities (C, K) of classes as stacked bars of the experts, the most probable on top."""
    total = probability.sum(axis=1)
    order = np.argsort(-total, kind="stable")[:MAX_CLASSES]
    counted = np.flatnonzero(probability.sum(axis=0) >= MIN_GATE_SHOWN)
    artists: list[Any] = [None] * len(names)
    left = np.zeros(len(order))
    for k in counted.tolist():
        style = {"color": colour(k), "hatch": hatch(k), "edgecolor": "white", "linewidth": 0.6}
        width = probability[order, k]
        artists[k] = ax.barh(np.arange(len(order)), width, BAR_FRACTION, left=left, **style)
        left = left + width
    labels = [shortened(str(classes[c]), LEGEND_NAME_WIDTH) for c in order]
    labels = [
        f"{label}\n(observed)" if c == observed else label
        for c, label in zip(order, labels, strict=True)
    ]
    ax.set_yticks(np.arange(len(order)), labels)
    for i, c in enumerate(order):
        style = {"fontsize": 8, "va": "center", "color": DARK_GREY, "textcoords": "offset points"}
        ax.annotate(format_percent(total[c]), (total[c], i), xytext=(4, 0), **style)
    ax.set(xlim=(0.0, 1.12), ylim=(len(order) - 0.5, -0.5), xlabel="Probability")
    name_experts(ax, probability.sum(axis=0), names, counted, [], with_lines=False)
    return artists


def name_experts(
    ax: Any,
    gate: Array,
    names: Sequence[str],
    counted: Array,
    others: Sequence[Any],
    *,
    with_lines: bool,
) -> None:
    """A legend of the most probable experts, and of what else is drawn."""
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Patch

    named = counted[np.argsort(-gate[counted], kind="stable")][:MAX_NAMED_EXPERTS]
    handles: list[Any] = []
    for k in np.sort(named).tolist():
        label = f"{shortened(names[k], LEGEND_NAME_WIDTH)}: {format_percent(gate[k])}"
        style: dict[str, Any] = {"facecolor": colour(k), "edgecolor": "white", "hatch": hatch(k)}
        if with_lines:
            style = {"facecolor": to_rgba(colour(k), HUMP_OPACITY), "edgecolor": colour(k)}
            style |= {"linestyle": dash(k), "linewidth": 1.8}
        handles.append(Patch(label=label, **style))
    n_left = len(counted) - len(named)
    if n_left:
        handles.append(Patch(facecolor="none", label=f"and {n_left} more experts"))
    legend_above(ax, [*handles, *others], ncols=2, fontsize=8)


def _step(values: Array) -> float:
    """The smallest distance of values."""
    return float(np.diff(values).min()) if len(values) > 1 else 1.0
