"""What the page shows of the fit: the model, its warnings, a card for each expert, selection."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from skmoe._data.rows import Rows
from skmoe._inference.labels import counted_noun, format_percent, gate_name, printable_line
from skmoe._inference.results import FOOTNOTES
from skmoe._numerics.probability import is_collapsed
from skmoe._numerics.typing import Array
from skmoe.inspection._grid import column_stds
from skmoe.inspection._report._panel import PanelOptions
from skmoe.inspection._report._pictures import selection_picture
from skmoe.inspection._segment_tables import (
    Column,
    profile_columns,
    responsibilities_of_rows,
    row_weights,
)
from skmoe.inspection._style import NO_NUMBER, colour
from skmoe.inspection._text import TextFormat, expert_lines, gate_lines

# Terms of an equation.
MAX_TERMS_WRITTEN = 6

# Features named in each line of a card.
MAX_LINES = 4

# Differences of means, in standard deviations, that are not worth a line.
NEGLIGIBLE_DIFFERENCE = 0.1

# Reasons for missing standard errors that are no trouble.
HARMLESS = ("fixed", "dropped")

# How the note of a summary begins that its rows are not those of the fit.
OTHER_ROWS = "Other rows than those of the fit"

# Terms that are named in a warning.
MAX_TERMS_NAMED = 4


def describe_fit(estimator: Any, rows: Rows, options: PanelOptions) -> dict[str, Any]:
    """What the model is, its experts and its warnings."""
    labels, experts = list(options.labels), list(options.expert_names)
    given = {"offset": rows.offset, "units": rows.unit}
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        summary = estimator.summary(rows.X, rows.y, rows.weight, **given)
    resp, _ = responsibilities_of_rows(estimator, rows)
    columns = profile_columns(estimator, rows, resp, labels, range(len(labels)))
    stds = column_stds(rows.X)
    text_format = TextFormat(labels, stds, "standard deviation", stds, MAX_TERMS_WRITTEN)
    kinds = ", ".join(dict.fromkeys(expert.kind for expert in summary.experts))
    n_experts = len(experts)
    counted = counted_noun(hasattr(estimator, "n_units_"))
    several = f"{n_experts} experts" if n_experts > 1 else "one expert"
    found = _warnings_of_fit(estimator, row_weights(rows) @ resp, summary, experts)
    found += [str(warning.message) for warning in raised]
    return {
        "model_sentences": [
            f"This model of {options.target_name} is a mixture of {several} ({kinds}): each "
            f"expert has its own prediction, and the gate ({gate_name(estimator.gate)}) gives each "
            f"{counted} the probabilities of the experts.",
            "The prediction is the average of those of the experts, weighted with these "
            "probabilities.",
        ],
        "facts": summary.facts,
        "warnings": list(dict.fromkeys(found)),
        "notes": [" ".join(note.split()) for note in summary.notes if note not in found],
        "cards": _cards(estimator, experts, columns, summary, text_format),
        "selection": _selection(estimator),
    }


def _warnings_of_fit(estimator: Any, mass: Array, summary: Any, names: list[str]) -> list[str]:
    """Sentences about convergence, collapsed experts and coefficients without standard errors.

    `mass` has the sums of the responsibilities of the experts.
    """
    found = []
    if not estimator.converged_:
        found.append(
            f"EM stopped before convergence, after {estimator.n_iter_} iterations. Increase "
            "max_iter, or make the problem easier with fewer experts or larger penalties."
        )
    collapsed = np.flatnonzero(is_collapsed(mass))
    if len(collapsed):
        listed = ", ".join(
            f"{names[k]} ({mass[k]:.2g} of {mass.sum():.6g} rows)" for k in collapsed
        )
        found.append(
            f"Experts have lost nearly all their rows to others: {listed}. Use fewer experts, a "
            "larger gate_alpha, or more starts."
        )
    of_data = [note for note in summary.notes if note.startswith(OTHER_ROWS)]
    return found + _coefficient_warnings(summary.inference) + of_data


def _coefficient_warnings(inference: Any) -> list[str]:
    """A warning for each reason for which standard errors are missing."""
    if inference is None:
        return []
    terms_of: dict[str, list[str]] = {}
    for term, reason in zip(inference.terms, inference.reasons, strict=True):
        if reason and reason not in HARMLESS:
            terms_of.setdefault(reason, []).append(f"{term.part}: {term.name}")
    found = []
    for reason, terms in terms_of.items():
        listed = "; ".join(printable_line(term) for term in terms[:MAX_TERMS_NAMED])
        more = f" and {len(terms) - MAX_TERMS_NAMED} more" if len(terms) > MAX_TERMS_NAMED else ""
        explained = " ".join(FOOTNOTES[reason].split())
        found.append(f"Without standard errors, {reason} ({listed}{more}): {explained}")
    return found


# --- cards ------------------------------------------------------------------------------------


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


def _cards(
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


# --- selection --------------------------------------------------------------------------------


def _selection(estimator: Any) -> dict[str, Any] | None:
    """How the number of experts was selected; None if it was given."""
    if not hasattr(estimator, "n_experts_tried_"):
        return None
    held_out = "Mean log density of held-out rows"
    criterion = estimator.n_experts
    tried, scores = estimator.n_experts_tried_, estimator.n_experts_scores_
    n_starts = len(estimator.start_traces_) if estimator.combine == "average" else 1
    return {
        "chosen": estimator.n_experts_ // n_starts,
        "picture": selection_picture(estimator),
        "heading": held_out if criterion == "auto" else f"\N{MINUS SIGN}{criterion.upper()}",
        "rows": [
            (int(n), f"{score:.5g}" if np.isfinite(score) else NO_NUMBER)
            for n, score in zip(tried, scores, strict=True)
        ],
    }
