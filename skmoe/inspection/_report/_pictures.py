"""Static pictures of the report, by the displays, with their numbers as tables."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier

from skmoe._data.rows import Rows
from skmoe._numerics.typing import Array
from skmoe._optional import import_pyplot
from skmoe.inspection._coefficients import CoefficientsDisplay
from skmoe.inspection._n_experts import NumberOfExpertsDisplay
from skmoe.inspection._report._panel import PanelOptions
from skmoe.inspection._segment_profile import SegmentProfileDisplay
from skmoe.inspection._segment_tables import dropped_features
from skmoe.inspection._style import NO_NUMBER

# Names of users are text, and equal fits give equal pictures.
STYLE = {"text.parse_math": False, "svg.hashsalt": "skmoe", "figure.max_open_warning": 0}

# Most classes whose coefficients and calibration are drawn if none is chosen.
MAX_CLASSES_DRAWN = 4


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


def profile_pictures(
    estimator: Any, rows: Rows, targets: list[int], options: PanelOptions
) -> list[Picture]:
    """A picture of the experts and features, one for each class that is drawn."""
    classes = estimator.classes_.tolist() if is_classifier(estimator) else None
    has_coef = hasattr(estimator, "expert_coef_")
    # An expert has a slope, or had one before its feature was dropped.
    has_slopes = has_coef and (np.any(estimator.expert_coef_) or dropped_features(estimator).any())
    pictures = []
    for target in targets if has_coef else targets[:1]:
        given = {
            "target": target if classes is None else classes[target],
            "sample_weight": rows.weight,
            "offset": rows.offset,
            "units": rows.unit,
            "max_features": options.max_features,
            "feature_names": options.labels,
            "expert_names": options.expert_names,
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # those of the summary are on the page
            pictures.append(_profile(estimator, rows.X, rows.y, given))
            if has_slopes:
                pictures.append(_coefficients(estimator, rows.X, rows.y, given))
    return pictures


def _profile(estimator: Any, X: Any, y: Any, options: dict[str, Any]) -> Picture:
    """Who the rows of each expert are, and what their features do."""
    with drawing():
        display = SegmentProfileDisplay.from_estimator(estimator, X, y, **options)
        source = as_source(display.figure_)
    tables = [_table("Mean minus that of all rows, in SDs", display, display.profile)]
    if display.coefficients is not None:
        caption = f"{display.coefficient_name}, per {display.step}"
        tables.append(_table(caption, display, display.coefficients))
    if display.gate_effects is not None:
        caption = f"Gate: log odds per {display.step}"
        tables.append(_table(caption, display, display.gate_effects))
    title = "Experts and features"
    if display.coefficients is not None:
        title += f", {display.coefficient_name[0].lower()}{display.coefficient_name[1:]}"
    alternative = f"{title}: heat maps of features by experts. The tables below have the numbers."
    return Picture(title, source, alternative, tables)


def _coefficients(estimator: Any, X: Any, y: Any, options: dict[str, Any]) -> Picture:
    """Coefficients of the experts with confidence intervals."""
    with drawing():
        display = CoefficientsDisplay.from_estimator(estimator, X, y, **options)
        source = as_source(display.figure_)
    caption = f"{display.coefficient_name}, per {display.step}"
    tables = [_table(caption, display, display.coefficients)]
    if display.intervals is not None and display.level is not None:
        for end, name in enumerate(("Lower", "Upper")):
            caption = f"{name} ends of the {100 * display.level:g} % intervals"
            tables.append(_table(caption, display, display.intervals[..., end]))
    title = f"Coefficients: {display.coefficient_name}"
    alternative = f"{title}: points with intervals. The tables below have the numbers."
    return Picture(title, source, alternative, tables)


def _table(caption: str, display: Any, values: Array) -> Table:
    rows = [
        [name, *(number(value) for value in row)]
        for name, row in zip(display.feature_names, values, strict=True)
    ]
    return Table(caption, ["Feature", *display.expert_names], rows)


def number(value: float) -> str:
    """A number with three digits; a dash if there is none."""
    return f"{value:.3g}".replace("-", "\N{MINUS SIGN}") if np.isfinite(value) else NO_NUMBER


def selection_picture(estimator: Any) -> Picture:
    """The scores of the numbers of experts that were tried."""
    with drawing():
        display = NumberOfExpertsDisplay.from_estimator(estimator)
        source = as_source(display.figure_)
    alternative = "Scores of the numbers of experts. The table has them."
    return Picture("Numbers of experts", source, alternative, [])
