"""Details of the fit: facts, warnings, equations, and the selection of the number of experts."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from skmoe._data.rows import Rows
from skmoe._inference.labels import printable_line
from skmoe._inference.results import FOOTNOTES
from skmoe._numerics.probability import is_collapsed
from skmoe._numerics.typing import Array
from skmoe.inspection._grid import column_stds
from skmoe.inspection._report._pictures import Names, Picture, as_source, drawing
from skmoe.inspection._search import NumberOfExpertsDisplay
from skmoe.inspection._style import NO_NUMBER
from skmoe.inspection._targets import row_weights
from skmoe.inspection._text import TextFormat, expert_lines, gate_lines

# Terms of an equation.
MAX_TERMS_WRITTEN = 6

# Reasons for missing standard errors that are no trouble.
HARMLESS = ("fixed", "dropped")

# How the note of a summary begins that its rows are not those of the fit.
OTHER_ROWS = "Other rows than those of the fit"

# Terms that are named in a warning.
MAX_TERMS_NAMED = 4


def describe_fit(estimator: Any, rows: Rows, resp: Array, names: Names) -> dict[str, Any]:
    """Facts, equations and warnings of a fit, and how the number of experts was selected."""
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        summary = estimator.summary(rows.X, rows.y, **rows.arguments)
    found = _warnings_of_fit(estimator, row_weights(rows) @ resp, summary, names.experts)
    found += [str(warning.message) for warning in raised]
    features, stds = list(names.features), column_stds(rows.X)
    text_format = TextFormat(features, "standard deviation", stds, MAX_TERMS_WRITTEN)
    return {
        "facts": summary.facts,
        "warnings": list(dict.fromkeys(found)),
        "notes": [" ".join(note.split()) for note in summary.notes if note not in found],
        "without_errors": _without_errors(summary.inference),
        "equations": [
            (names.experts[k], kind, _lines(estimator, k, text_format))
            for k, kind in enumerate(estimator.expert_kinds_)
        ],
        "selection": _selection(estimator),
    }


def _lines(estimator: Any, k: int, text_format: TextFormat) -> list[str]:
    """Equations of an expert, and of its gate."""
    lines = expert_lines(estimator, k, text_format) + gate_lines(estimator, k, text_format)
    return [printable_line(line) for line in lines]


def _warnings_of_fit(estimator: Any, mass: Array, summary: Any, names: Sequence[str]) -> list[str]:
    """Sentences about convergence, collapsed experts and other rows.

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
            f"{names[int(k)]} ({mass[k]:.2g} of {mass.sum():.6g} rows)" for k in collapsed
        )
        found.append(
            f"Experts have lost nearly all their rows to others: {listed}. Use fewer experts, a "
            "larger gate_alpha, or more starts."
        )
    return found + [note for note in summary.notes if note.startswith(OTHER_ROWS)]


def _without_errors(inference: Any) -> list[str]:
    """A sentence for each reason for which standard errors are missing."""
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


# --- selection --------------------------------------------------------------------------------


def _selection(estimator: Any) -> dict[str, Any] | None:
    """How the number of experts was selected; None if it was given."""
    if not hasattr(estimator, "n_experts_tried_"):
        return None
    with drawing():
        display = NumberOfExpertsDisplay.from_estimator(estimator)
        source = as_source(display.figure_)
    alternative = "Scores of the numbers of experts. The table has them."
    return {
        "chosen": display.chosen,
        "picture": Picture("Numbers of experts", source, alternative, []),
        "heading": re.sub("^-", "\N{MINUS SIGN}", display.score_name),
        "rows": [
            (int(n), f"{score:.5g}" if np.isfinite(score) else NO_NUMBER)
            for n, score in zip(display.tried, display.scores, strict=True)
        ],
    }
