"""Waterfall of the contributions of features to a prediction, through the gate and the experts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from skmoe.inspection._contributions import Contributions
from skmoe.inspection._style import DARK_GREY, LIGHT_GREY, legend_above

# Colours of what increases and decreases a prediction, and the pattern of effects of the gate.
INCREASE, DECREASE, GATE_HATCH = "#B2182B", "#2166AC", "////"

# A remainder below this fraction of the largest number is round-off.
REMAINDER_RTOL = 1e-9

# Height of a bar, of which features have two.
HALF_BAR = 0.36


class Bar(NamedTuple):
    """A row of a waterfall."""

    label: str
    experts: float
    gate: float


def waterfall_bars(
    contributions: Contributions, labels: Sequence[str], max_features: int
) -> list[Bar]:
    """The largest contributions, the sum of the others, and a remainder if there is one."""
    gate, experts = contributions.gate, contributions.experts
    size = np.abs(gate) + np.abs(experts)
    order = np.argsort(-size, kind="stable")
    n_used = int(np.count_nonzero(size))
    n_shown = min(n_used, max_features if n_used <= max_features else max_features - 1)
    bars = [Bar(labels[j], float(experts[j]), float(gate[j])) for j in order[:n_shown]]
    others = order[n_shown:n_used]
    if len(others):
        name = f"{len(others)} other feature{'s' * (len(others) > 1)}"
        bars.append(Bar(name, float(experts[others].sum()), float(gate[others].sum())))
    largest = max(abs(contributions.base_value), abs(contributions.prediction), size.max())
    if abs(contributions.remainder) > REMAINDER_RTOL * largest:
        bars.append(Bar("remainder", contributions.remainder, 0.0))
    return bars


def draw_waterfall(
    ax: Any, contributions: Contributions, bars: Sequence[Bar], name: str
) -> list[tuple[Any, Any]]:
    """Draw the bars; returns those of experts and gate for each row."""
    from matplotlib.patches import Patch

    style: dict[str, Any] = {"fontsize": 8, "va": "center", "color": DARK_GREY}
    style["textcoords"] = "offset points"
    drawn: list[tuple[Any, Any]] = []
    position = contributions.base_value
    ends = [position]
    total: dict[str, Any] = {
        "color": DARK_GREY,
        "marker": "D",
        "linestyle": "none",
        "markersize": 6,
    }
    ax.plot([position], [0], **total)
    for i, bar in enumerate(bars, start=1):
        ax.plot([position, position], [i - 1, i], color=LIGHT_GREY, linewidth=1, zorder=1)
        after = position + bar.experts
        upper = _draw_part(ax, i - HALF_BAR / 2, position, bar.experts, "")
        lower = _draw_part(ax, i + HALF_BAR / 2, after, bar.gate, GATE_HATCH)
        ends += [after, after + bar.gate]
        change = bar.experts + bar.gate
        right = max(position, after, after + bar.gate)
        ax.annotate(short_number(change, "+"), (right, i), xytext=(4, 0), **style)
        position = after + bar.gate
        drawn.append((upper, lower))
    n_rows = len(bars) + 2
    ax.plot([position, position], [n_rows - 2, n_rows - 1], color=LIGHT_GREY, linewidth=1, zorder=1)
    ax.plot([position], [n_rows - 1], **total)
    base, prediction = map(short_number, (contributions.base_value, contributions.prediction))
    labels = [f"mean row: {base}", *(bar.label for bar in bars), f"this row: {prediction}"]
    ax.set_yticks(range(n_rows), labels, fontsize=9)
    margin = 0.18 * (max(ends) - min(ends)) or 1.0
    ax.set(xlim=(min(ends) - margin / 3, max(ends) + margin), ylim=(n_rows - 0.5, -0.5))
    ax.set_xlabel(name)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.tick_params(axis="y", length=0)
    handles = [Patch(color=DARK_GREY, label="through the experts")]
    if any(bar.gate for bar in bars):
        style = {"facecolor": "white", "edgecolor": DARK_GREY, "hatch": GATE_HATCH}
        handles.append(Patch(**style, label="through the gate"))
    legend_above(ax, handles, ncols=2, fontsize=8)
    return drawn


def _draw_part(ax: Any, height: float, start: float, change: float, hatch: str) -> Any:
    tone = INCREASE if change > 0.0 else DECREASE
    fill: dict[str, Any] = {
        "facecolor": "white" if hatch else tone,
        "edgecolor": tone,
        "hatch": hatch,
    }
    (bar,) = ax.barh([height], [change], HALF_BAR, left=[start], zorder=2, **fill)
    return bar


def short_number(value: float, sign: str = "") -> str:
    """A number of three digits, or an integer of up to six."""
    if 1e3 <= abs(value) < 1e6:
        return f"{value:{sign}.0f}"
    return f"{value:{sign}.3g}"
