"""Details of the fit: facts, warnings and equations, and static pictures with their numbers."""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from skmoe._data.rows import Rows
from skmoe._inference.labels import N_DIGITS, format_number, printable_line
from skmoe._inference.results import FOOTNOTES
from skmoe._numerics.probability import is_collapsed
from skmoe._numerics.typing import Array
from skmoe._optional import import_pyplot
from skmoe.inspection._coefficients import CoefficientsDisplay
from skmoe.inspection._grid import column_stds
from skmoe.inspection._search import NumberOfExpertsDisplay
from skmoe.inspection._segment_profile import SegmentProfileDisplay
from skmoe.inspection._segment_tables import dropped_features
from skmoe.inspection._style import NO_NUMBER
from skmoe.inspection._survival import SurvivalDisplay
from skmoe.inspection._targets import row_weights
from skmoe.inspection._text import TextFormat, expert_lines, gate_lines

# Names of users are text, and equal fits give equal pictures.
STYLE = {"text.parse_math": False, "svg.hashsalt": "skmoe", "figure.max_open_warning": 0}

# Times in the table of probabilities of no event.
N_TIMES_WRITTEN = 11

# Terms of an equation.
MAX_TERMS_WRITTEN = 6

# Reasons for missing standard errors that are no trouble.
HARMLESS = ("fixed", "dropped")

# How the note of a summary begins that its rows are not those of the fit.
OTHER_ROWS = "Other rows than those of the fit"

# Terms that are named in a warning.
MAX_TERMS_NAMED = 4


class Table(NamedTuple):
    """The numbers of a picture."""

    caption: str
    head: list[str]
    rows: list[list[str]]


class Picture(NamedTuple):
    """A picture as an address with its data, what it shows, and its numbers."""

    title: str
    source: str
    alternative: str
    tables: list[Table]


@contextmanager
def drawing() -> Iterator[Any]:
    """Matplotlib's pyplot, with the style of the report; new figures are closed at the end."""
    plt = import_pyplot("export_html")
    before = set(plt.get_fignums())
    try:
        with plt.rc_context(STYLE), plt.ioff():
            yield plt
    finally:
        for number in set(plt.get_fignums()) - before:
            plt.close(number)


def as_source(figure: Any) -> str:
    """A figure as an SVG in an address."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


class Names(NamedTuple):
    """Names of what a mixture consists of."""

    features: Sequence[str]
    experts: Sequence[str]


def profile_pictures(
    estimator: Any, rows: Rows, targets: Sequence[Any], names: Names, max_features: int
) -> list[Picture]:
    """A picture of the experts and their coefficients, one for each class that is drawn.

    One expert has no profile, but coefficients if it is linear.
    """
    has_coef = hasattr(estimator, "expert_coef_")
    given = {"feature_names": names.features, "expert_names": names.experts} | rows.arguments
    given |= {"max_features": max_features}
    display: Any = SegmentProfileDisplay
    if estimator.n_experts_ == 1:
        # The expert has a slope, or had one before its feature was dropped.
        if not has_coef or not (
            np.any(estimator.expert_coef_) or dropped_features(estimator).any()
        ):
            return []
        display = CoefficientsDisplay
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # those of the summary are on the page
        return [
            _picture(display, estimator, rows, given | {"target": target})
            for target in (targets if has_coef else targets[:1])
        ]


def _picture(display_class: Any, estimator: Any, rows: Rows, options: dict[str, Any]) -> Picture:
    """What a display draws, with its numbers as tables."""
    with drawing():
        display = display_class.from_estimator(estimator, rows.X, rows.y, **options)
        source = as_source(display.figure_)
    title = "Experts and features"
    numbers: dict[str, Any] = {
        "Mean minus that of all rows, in SDs": getattr(display, "profile", None)
    }
    if display.coefficients is not None and not np.isnan(display.coefficients).all():
        title = f"{display.coefficient_name}, per {display.step}"
        numbers[title] = display.coefficients
        if display.intervals is not None:
            for end, name in enumerate(("Lower", "Upper")):
                caption = f"{name} ends of the {100 * display.level:g} % intervals"
                numbers[caption] = display.intervals[..., end]
        is_ratio = False if display.is_ratio is None else display.is_ratio
        for caption, values in list(numbers.items())[1:]:
            numbers[caption] = np.where(is_ratio, np.exp(values), values)
    numbers[f"Gate: log odds per {display.step}"] = getattr(display, "gate_effects", None)
    given = [(caption, values) for caption, values in numbers.items() if values is not None]
    tables = [_table(caption, display, values) for caption, values in given]
    alternative = f"{title}: features by experts. The tables below have the numbers."
    return Picture(title, source, alternative, tables)


def survival_picture(estimator: Any, rows: Rows, names: Names) -> Picture:
    """Predicted probabilities of no event, over the Kaplan-Meier curve, with some as a table."""
    with drawing():
        display = SurvivalDisplay.from_estimator(
            estimator, rows.X, rows.y, offset=rows.offset, expert_names=names.experts
        )
        source = as_source(display.figure_)
    shown = np.linspace(0, len(display.times) - 1, N_TIMES_WRITTEN).astype(int)
    steps = np.searchsorted(display.observed_times, display.times[shown], "right") - 1
    columns = [display.times[shown], display.observed[steps], display.mixture[shown]]
    table = Table(
        "Probabilities of no event",
        ["Time", "Kaplan-Meier", "Mixture", *names.experts],
        [[number(v) for v in row] for row in np.column_stack([*columns, display.curves[shown]])],
    )
    title = "Observed and predicted probabilities of no event"
    alternative = f"{title}: the Kaplan-Meier curve, the mixture and the experts, by time."
    return Picture(title, source, alternative, [table])


def _table(caption: str, display: Any, values: Array) -> Table:
    rows = [
        [name, *(number(value) for value in row)]
        for name, row in zip(display.feature_names, values, strict=True)
    ]
    return Table(caption, ["Feature", *display.expert_names], rows)


def number(value: float, digits: int = N_DIGITS) -> str:
    """A number in significant digits; a dash if there is none."""
    text = format_number(value, digits) if np.isfinite(value) else NO_NUMBER
    return text.replace("-", "\N{MINUS SIGN}")


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
