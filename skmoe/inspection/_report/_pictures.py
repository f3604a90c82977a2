"""Static pictures of the report, by the displays, with their numbers as tables."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from skmoe._data.rows import Rows
from skmoe._inference.labels import N_DIGITS, format_number
from skmoe._numerics.typing import Array
from skmoe._optional import import_pyplot
from skmoe.inspection._coefficients import CoefficientsDisplay
from skmoe.inspection._segment_profile import SegmentProfileDisplay
from skmoe.inspection._segment_tables import dropped_features
from skmoe.inspection._style import NO_NUMBER
from skmoe.inspection._survival import SurvivalDisplay

# Names of users are text, and equal fits give equal pictures.
STYLE = {"text.parse_math": False, "svg.hashsalt": "skmoe", "figure.max_open_warning": 0}

# Times in the table of probabilities of no event.
N_TIMES_WRITTEN = 11


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
