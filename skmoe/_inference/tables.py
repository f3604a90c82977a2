"""Tables of results: in notebooks, and as lines of text."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np

from skmoe._numerics.typing import Array

# Width of a number in a table.
COLUMN_WIDTH = 11


class FrameRepr:
    """A result that notebooks show as its frame, or as its text without pandas."""

    @abstractmethod
    def to_frame(self) -> Any:
        """The result as a pandas frame."""

    def _repr_html_(self) -> str:
        try:
            table = self.to_frame()._repr_html_()  # it may be switched off by an option of pandas
        except ImportError:
            table = None
        return f"<pre>{escape(repr(self))}</pre>" if table is None else str(table)


def exponential(values: Array, chosen: Array) -> Array:
    """Exponentials of chosen values, NaN for the others."""
    with np.errstate(over="ignore"):
        return np.exp(np.where(chosen, values, np.nan))


def two_columns(facts: Mapping[str, str]) -> list[str]:
    """Lines of facts side by side."""
    cells = [f"{name:<22}{value:>20}" for name, value in facts.items()]
    half = (len(cells) + 1) // 2
    right = [*cells[half:], *[""] * (2 * half - len(cells))]
    return [f"{a:<46}{b}".rstrip() for a, b in zip(cells[:half], right, strict=True)]


def format_number(value: float, column: str) -> str:
    """A number in a column of a table of coefficients, such as "p" or "z"."""
    if np.isnan(value):
        return " " * COLUMN_WIDTH
    if column == "p":
        return f"{'<0.0001' if value < 1e-4 else f'{value:.4f}':>{COLUMN_WIDTH}}"
    return f"{value:>{COLUMN_WIDTH}.2f}" if column == "z" else f"{value:>{COLUMN_WIDTH}.4g}"
