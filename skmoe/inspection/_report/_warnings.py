"""Warnings of the fit, found again from the fitted attributes and the data."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmoe._inference.labels import printable_line
from skmoe._inference.results import FOOTNOTES
from skmoe._numerics.probability import is_collapsed
from skmoe._numerics.typing import Array

# Reasons for missing standard errors that are no trouble.
HARMLESS = ("fixed", "dropped")

# How the note of a summary begins that its rows are not those of the fit.
OTHER_ROWS = "Other rows than those of the fit"

# Terms that are named in a warning.
MAX_TERMS_NAMED = 4


def fit_warnings(estimator: Any, mass: Array, summary: Any, names: list[str]) -> list[str]:
    """Sentences about convergence, collapsed experts and coefficients without standard errors.

    `mass` has the sums of the responsibilities of the experts.
    """
    warnings = []
    if not estimator.converged_:
        warnings.append(
            f"EM stopped before convergence, after {estimator.n_iter_} iterations. Increase "
            "max_iter, or make the problem easier with fewer experts or larger penalties."
        )
    collapsed = np.flatnonzero(is_collapsed(mass))
    if len(collapsed):
        listed = ", ".join(
            f"{names[k]} ({mass[k]:.2g} of {mass.sum():.6g} rows)" for k in collapsed
        )
        warnings.append(
            f"Experts have lost nearly all their rows to others: {listed}. Use fewer experts, a "
            "larger gate_alpha, or more starts."
        )
    return warnings + _coefficient_warnings(summary.inference) + _notes_of_data(summary)


def _coefficient_warnings(inference: Any) -> list[str]:
    """A warning for each reason for which standard errors are missing."""
    if inference is None:
        return []
    found: dict[str, list[str]] = {}
    for term, reason in zip(inference.terms, inference.reasons, strict=True):
        if reason and reason not in HARMLESS:
            found.setdefault(reason, []).append(f"{term.part}: {term.name}")
    warnings = []
    for reason, terms in found.items():
        listed = "; ".join(printable_line(term) for term in terms[:MAX_TERMS_NAMED])
        more = f" and {len(terms) - MAX_TERMS_NAMED} more" if len(terms) > MAX_TERMS_NAMED else ""
        explained = " ".join(FOOTNOTES[reason].split())
        warnings.append(f"Without standard errors, {reason} ({listed}{more}): {explained}")
    return warnings


def _notes_of_data(summary: Any) -> list[str]:
    """Whether the rows are not those of the fit."""
    return [note for note in summary.notes if note.startswith(OTHER_ROWS)]
