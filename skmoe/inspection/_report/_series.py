"""The section of a page about regimes that persist in time."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmoe._data.checks import has_bounds
from skmoe._data.rows import Rows
from skmoe._data.series import is_missing
from skmoe._inference.coefficients import INTERCEPT, TRANSITIONS
from skmoe._inference.inference import Inference
from skmoe._inference.labels import N_DIGITS, format_number, format_percent
from skmoe._inference.persistence import HARDLY_EVER_LEFT, LONGEST, expected_durations
from skmoe._numerics.typing import Array
from skmoe.inspection._series import has_series
from skmoe.inspection._style import NO_NUMBER, colour
from skmoe.inspection._subject import one_target

CONFIDENCE_LEVEL = 0.95


def is_known(y: Any, output: int) -> Array:
    """Rows in which an output is not missing, (n,)."""
    if has_bounds(y):
        return np.ones(len(y), dtype=bool)
    known: Array = ~is_missing(one_target(np.asarray(y, dtype=object), output, 1))
    return known


def describe_series(
    estimator: Any, rows: Rows, inference: Inference | None
) -> dict[str, Any] | None:
    """How long regimes last, where they lead, and what changes that; None without any series."""
    if not has_series(estimator) or estimator.n_experts_ == 1:
        return None
    known = {"given": "all"}
    shares = estimator.responsibilities(rows.X, rows.y, **rows.arguments, **known).mean(axis=0)
    matrix, names = estimator.transition_matrix_, list(estimator.expert_names_)
    lasting = expected_durations(estimator, inference, CONFIDENCE_LEVEL)
    experts = [
        {
            "name": name,
            "colour": colour(k),
            "share": format_percent(shares[k]),
            "first": format_percent(estimator.initial_probabilities_[k]),
            "lasts": _number(own.expected) if own.expected <= LONGEST else HARDLY_EVER_LEFT,
            "interval": _interval(own.low, own.high),
            "next": [format_percent(float(probability)) for probability in matrix[k]],
        }
        for k, (name, own) in enumerate(zip(names, lasting, strict=True))
    ]
    return {
        "experts": experts,
        "names": names,
        "n_series": estimator.n_series_,
        "at_means": bool(estimator.transition_coef_.any()),
        "level": f"{100 * CONFIDENCE_LEVEL:g}",
        "effects": [] if inference is None else _effects(inference),
    }


def _effects(inference: Inference) -> list[list[str]]:
    """Odds ratios of transitions for one unit more of each feature, with intervals."""
    with np.errstate(over="ignore"):
        ratios, ends = np.exp(inference.estimates), np.exp(inference.conf_int(CONFIDENCE_LEVEL))
    found = []
    for i, term in enumerate(inference.terms):
        origin = term.part.removeprefix(f"{TRANSITIONS} ")
        if origin == term.part or term.name == INTERCEPT:
            continue
        p_value = inference.p_values[i]
        small = "< 0.0001" if p_value < 1e-4 else f"{p_value:.4f}"
        numbers = [_number(ratios[i]), _interval(*ends[i]), small if np.isfinite(p_value) else ""]
        found.append([origin, term.response, term.name, *numbers])
    return found


def _number(value: float) -> str:
    return format_number(value, N_DIGITS) if np.isfinite(value) else NO_NUMBER


def _interval(low: float, high: float) -> str:
    return f"{_number(low)} to {_number(high)}" if np.isfinite(low) else NO_NUMBER
