"""Heat maps of numbers: cells in the colours of a diverging map, with their numbers."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from skmoe._numerics.typing import Array
from skmoe.inspection._style import DARK_GREY, LIGHT_GREY, colour, merged

# Cells darker than this have white numbers, on a scale from 0 to 1.
DARK_LUMINANCE = 0.45

# Weights of red, green and blue in the luminance of a colour.
LUMINANCE_WEIGHTS = np.array([0.299, 0.587, 0.114])

# Digits of the largest number of a table, and numbers between which it needs no power of ten.
N_DIGITS, SMALLEST_PLAIN_NUMBER, MAX_PLAIN_NUMBER = 3, 0.01, 1e5

# Before a ratio, and instead of a number.
RATIO_SIGN, NO_NUMBER = "\N{MULTIPLICATION SIGN}", "\N{EN DASH}"

# Mean width of a character of a name, in inches.
CHARACTER_WIDTH = 0.075

# Lines of a name.
MAX_NAME_LINES = 3


class Panel(NamedTuple):
    """A table (F, K) of numbers to draw."""

    heading: str
    values: Array  # for the colours, NaN for cells without a number
    numbers: Array  # what is written, (F, K)
    small_print: Array | None  # what is written below, (F, K)
    least_range: float  # value with the strongest colour, at least
    width: float  # in inches


def draw_panel(ax: Any, panel: Panel, kwargs: Mapping[str, Any] | None) -> tuple[Any, Array]:
    """Draw cells and numbers; returns the cells and the texts (F, K)."""
    n_rows, n_experts = panel.values.shape
    largest = np.max(np.abs(panel.values[np.isfinite(panel.values)]), initial=panel.least_range)
    style = {"cmap": "RdBu_r", "edgecolor": "white", "linewidth": 1.5}
    edges = np.arange(n_experts + 1) - 0.5, np.arange(n_rows + 1) - 0.5
    cells = np.ma.masked_invalid(panel.values)
    limits = {"vmin": -(largest or 1.0), "vmax": largest or 1.0}
    mesh = ax.pcolormesh(*edges, cells, **merged(style | limits, kwargs))
    texts = np.empty(panel.values.shape, dtype=object)
    for i, k in np.ndindex(panel.values.shape):
        texts[i, k] = _draw_number(ax, mesh, panel, i, k)
    ax.set(xlim=(-0.5, n_experts - 0.5), ylim=(n_rows - 0.5, -0.5))
    ax.set_title(panel.heading, fontsize=10, loc="left")
    for spine in ax.spines.values():
        spine.set_visible(False)
    return mesh, texts


def _draw_number(ax: Any, mesh: Any, panel: Panel, i: int, k: int) -> Any:
    value = panel.values[i, k]
    ink = LIGHT_GREY
    if np.isfinite(value):
        cell = np.array(mesh.cmap(mesh.norm(value))[:3])
        ink = "white" if cell @ LUMINANCE_WEIGHTS < DARK_LUMINANCE else "black"
    centred: dict[str, Any] = {"ha": "center", "color": ink}
    if panel.small_print is None or not panel.small_print[i, k]:
        return ax.text(k, i, panel.numbers[i, k], va="center", fontsize=9, **centred)
    ax.text(k, i + 0.07, panel.small_print[i, k], va="top", fontsize=6.5, **centred)
    return ax.text(k, i + 0.02, panel.numbers[i, k], va="bottom", fontsize=9, **centred)


def label_experts(ax: Any, names: Sequence[str]) -> None:
    """Names of the experts above their columns, over a bar in the colour of each."""
    ax.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    ax.set_xticks(range(len(names)), names, fontsize=9)
    transform = ax.get_xaxis_transform()  # heights relative to the axes
    for k in range(len(names)):
        bar = {"color": colour(k), "linewidth": 3, "solid_capstyle": "butt", "clip_on": False}
        ax.plot([k - 0.46, k + 0.46], [1.0, 1.0], transform=transform, **bar)


def label_features(ax: Any, names: Sequence[str], *, shown: bool) -> None:
    """Names of the features at the left of their rows, if they are to be shown."""
    ax.set_yticks(range(len(names)), names if shown else [""] * len(names), fontsize=9)
    for label in ax.get_yticklabels():
        label.set_color(DARK_GREY)


def wrapped(name: str, width: int) -> str:
    """A name in lines of at most `width` characters, cut after some lines."""
    apart = name.replace("_", "_ ")  # lines may end after an underscore
    lines = textwrap.wrap(apart, width, max_lines=MAX_NAME_LINES, placeholder="...")
    return "\n".join(lines).replace("_ ", "_")


def shortened(name: str, width: int) -> str:
    """A name in one line of at most `width` characters."""
    return name if len(name) <= width else name[: width - 3].rstrip() + "..."


def text_width(texts: Sequence[str]) -> float:
    """Width of the longest line of some names, in inches, about."""
    return CHARACTER_WIDTH * max(len(line) for text in texts for line in text.split("\n"))


# --- numbers ----------------------------------------------------------------------------------


def signed_numbers(values: Array, n_decimals: int) -> Array:
    """Numbers with their signs, as text; a dash for NaN."""
    return _as_text(values, lambda value: _number(value, n_decimals, "+"))


def coefficient_texts(
    coefficients: Array, intervals: Array | None, is_ratio: Array, least_range: float
) -> tuple[Array, Array | None, float]:
    """Coefficients (F, K) and intervals as text, and the power of ten that they are in.

    Those of experts whose coefficients are logs of ratios are ratios.
    """
    plain = coefficients[:, ~is_ratio]
    power = power_of_ten(plain, least_range)
    n_decimals = n_decimals_of(plain / power, least_range / power)
    numbers = signed_numbers(coefficients / power, n_decimals)
    numbers[:, is_ratio] = ratio_numbers(coefficients[:, is_ratio])
    if intervals is None:
        return numbers, None, power
    small_print = interval_texts(intervals / power, n_decimals)
    small_print[:, is_ratio] = ratio_interval_texts(intervals[:, is_ratio])
    return numbers, small_print, power


def ratio_numbers(log_ratios: Array) -> Array:
    """Ratios as text, such as 1.25 after a sign of multiplication; a dash for NaN."""
    with np.errstate(over="ignore"):
        return _as_text(np.exp(log_ratios), lambda value: RATIO_SIGN + _ratio(value))


def interval_texts(intervals: Array, n_decimals: int) -> Array:
    """Intervals (..., 2) as text; empty for NaN."""
    return _interval_texts(intervals, lambda value: _number(value, n_decimals, ""))


def ratio_interval_texts(intervals: Array) -> Array:
    """Intervals (..., 2) of logs of ratios as intervals of ratios; empty for NaN."""
    with np.errstate(over="ignore"):
        return _interval_texts(np.exp(intervals), _ratio)


def power_of_ten(values: Array, least_range: float) -> float:
    """1, or a power of ten in which numbers are short if the largest is very large or small."""
    largest = np.max(np.abs(values[np.isfinite(values)]), initial=least_range)
    if largest == 0.0 or SMALLEST_PLAIN_NUMBER <= largest < MAX_PLAIN_NUMBER:
        return 1.0
    return float(10.0 ** (3.0 * np.floor(np.log10(largest) / 3.0)))


def n_decimals_of(values: Array, least_range: float) -> int:
    """Digits after the point with which the largest number, or the range, has three digits."""
    largest = np.max(np.abs(values[np.isfinite(values)]), initial=least_range)
    if largest == 0.0:
        return N_DIGITS - 1
    return int(np.clip(N_DIGITS - 1 - np.floor(np.log10(largest)), 0, 8))


def _number(value: float, n_decimals: int, sign: str) -> str:
    if abs(value) >= MAX_PLAIN_NUMBER:
        return f"{value:{sign}.2g}"
    text = f"{value:{sign}.{n_decimals}f}"
    return text if float(text) != 0.0 else text.lstrip("+-")


def _ratio(value: float) -> str:
    return f"{value:.2f}" if 0.1 <= value < 10.0 else f"{value:.3g}"


def _as_text(values: Array, write: Any) -> Array:
    texts = [NO_NUMBER if np.isnan(value) else write(value) for value in values.ravel()]
    return np.array(texts, dtype=object).reshape(values.shape)


def _interval_texts(intervals: Array, write: Any) -> Array:
    pairs = intervals.reshape(-1, 2)
    texts = ["" if np.isnan(pair).any() else "[{}, {}]".format(*map(write, pair)) for pair in pairs]
    return np.array(texts, dtype=object).reshape(intervals.shape[:-1])
