"""Cards of the experts: share, who is in it, what drives it, noise and equation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from skmoe._inference.labels import counted_noun, format_percent, printable_line
from skmoe._numerics.typing import Array
from skmoe.inspection._segment_tables import Column
from skmoe.inspection._style import NO_NUMBER, colour
from skmoe.inspection._text import TextFormat, expert_lines, gate_lines

# Features named in each line of a card.
MAX_LINES = 4

# Differences of means, in standard deviations, that are not worth a line.
NEGLIGIBLE_DIFFERENCE = 0.1


class Card(NamedTuple):
    """What a card shows."""

    name: str
    colour: str
    kind: str
    share: str
    rows: str  # effective rows
    members: list[str]  # how its rows differ from all rows
    drivers: list[str]  # its largest coefficients, or importances
    gate: list[str]
    equations: list[str]


def make_cards(
    estimator: Any,
    names: Sequence[str],
    columns: Sequence[Column],
    summary: Any,
    text_format: TextFormat,
) -> list[Card]:
    """A card for each expert; `summary` is that of the fit with its data."""
    counted = counted_noun(hasattr(estimator, "n_units_"))
    cards = []
    for k, (name, expert) in enumerate(zip(names, summary.experts, strict=True)):
        equations = [printable_line(line) for line in expert_lines(estimator, k, text_format)]
        rows = f"{expert.rows:.0f} effective {counted}s" if np.isfinite(expert.rows) else ""
        cards.append(
            Card(
                name,
                colour(k),
                expert.kind,
                f"{format_percent(expert.share)} of the {counted}s",
                rows,
                _members(columns, k),
                _drivers(estimator, expert, k, text_format),
                [printable_line(line) for line in gate_lines(estimator, k, text_format)],
                equations,
            )
        )
    return cards


def _members(columns: Sequence[Column], k: int) -> list[str]:
    """The features whose means over the rows of an expert differ most from those of all rows."""
    differences = np.array([column.difference[k] for column in columns])
    lines = []
    for j in _largest(differences):
        if abs(differences[j]) < NEGLIGIBLE_DIFFERENCE:
            break
        word = "higher" if differences[j] > 0.0 else "lower"
        lines.append(f"{word} {columns[j].label} ({_signed(round(differences[j], 2))} SD)")
    return lines or ["hardly different from all rows"]


def _drivers(estimator: Any, expert: Any, k: int, text_format: TextFormat) -> list[str]:
    """The largest effects of one standard deviation of a feature on the linear predictor."""
    if expert.importances:
        return [f"{name}: {value:.2f}" for name, value in expert.importances[:MAX_LINES]]
    if not hasattr(estimator, "expert_coef_"):
        return []
    slopes = np.atleast_2d(estimator.expert_coef_[k]) * text_format.scale
    responses = [""]
    if len(slopes) > 1:
        labels = getattr(estimator, "classes_", range(len(slopes)))
        responses = [f" ({printable_line(str(label))})" for label in labels]
    strength = np.abs(slopes).max(axis=0)
    lines = []
    for j in _largest(strength):
        pairs = zip(slopes[:, j], responses, strict=True)
        numbers = ", ".join(f"{_signed(slope)}{response}" for slope, response in pairs)
        lines += [f"{text_format.names[j]}: {numbers} per SD"] if strength[j] > 0.0 else []
    return lines


def _largest(values: Array) -> Array:
    """Indices of the largest values."""
    return np.argsort(-np.nan_to_num(np.abs(values)), kind="stable")[:MAX_LINES]


def _signed(value: float) -> str:
    return f"{value:+.3g}".replace("-", "\N{MINUS SIGN}")


def selection_table(estimator: Any) -> dict[str, Any] | None:
    """The numbers of experts that were tried; None if the number was given."""
    if not hasattr(estimator, "n_experts_tried_"):
        return None
    held_out = "Mean log density of held-out rows"
    criterion = estimator.n_experts
    tried, scores = estimator.n_experts_tried_, estimator.n_experts_scores_
    n_starts = len(estimator.start_traces_) if estimator.combine == "average" else 1
    return {
        "chosen": estimator.n_experts_ // n_starts,
        "heading": held_out if criterion == "auto" else f"\N{MINUS SIGN}{criterion.upper()}",
        "rows": [
            (int(n), f"{score:.5g}" if np.isfinite(score) else NO_NUMBER)
            for n, score in zip(tried, scores, strict=True)
        ],
    }
