"""What the panel needs: formulas, or predictions on slices, and charts of Bokeh to be filled."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from skmoe._numerics.probability import weighted_quantiles
from skmoe._numerics.typing import Array
from skmoe._optional import import_bokeh
from skmoe.inspection._report._formulas import find_formulas
from skmoe.inspection._report._inputs import Feature, Inputs, Report
from skmoe.inspection._series import gate_of_features
from skmoe.inspection._style import LIGHT_GREY, colour
from skmoe.inspection._subject import observed_rates, one_target

# Points of a slice, and of a curve of probabilities of no event.
N_SLICE_POINTS, N_CURVE_POINTS = 41, 121

# Steps of a slider, about.
N_STEPS = 200

# Values of y that are shown, from quantiles of the observed ones.
SHOWN_QUANTILES = (0.01, 0.99)

# Axes of probabilities of no event; others follow the data.
Y_RANGE = (-0.02, 1.02)

# Styles of areas, and of the lines of experts or classes.
SHADE = {"color": LIGHT_GREY, "alpha": 0.3}
LINES = {"xs": "xs", "ys": "ys", "color": "colour", "line_alpha": "opacity"}


def make_panel(report: Report, inputs: Inputs, shown: Sequence[Feature]) -> dict[str, Any]:
    """Description of the panel for the features that are shown, which can be written as JSON."""
    estimator = report.mixture
    classes = [str(label) for label in estimator.classes_] if is_classifier(estimator) else None
    n_colours = max(estimator.n_experts_, len(classes or ()))
    panel: dict[str, Any] = {
        "target": report.target,
        "experts": list(estimator.expert_names_),
        "classes": classes,
        "colours": [colour(k) for k in range(n_colours)],
        "coverage": report.coverage,
        "horizon": report.horizon,
        "shown_range": None if classes else _shown_range(report),
        "features": [_controls(inputs, feature) for feature in shown],
        "n_features": len(inputs.labels),
        "formulas": find_formulas(report, inputs, shown),
        "slices": None,
    }
    panel["has_interval"] = classes is None
    if panel["formulas"] is None:
        rows = [inputs.start[None]]
        for feature in shown:
            grid = feature.grid(inputs.start[feature.column], N_SLICE_POINTS)
            rows.append(inputs.along(feature, grid))
        found = [_predictions(report, inputs.rows(codes), panel["shown_range"]) for codes in rows]
        panel["start"], *panel["slices"] = found
        panel["has_interval"] = "interval" in panel["start"]
    return panel


def _controls(inputs: Inputs, feature: Feature) -> dict[str, Any]:
    """A slider or choices of a feature."""
    start = inputs.value_at_start(feature)
    described: dict[str, Any] = {"label": feature.label, "start": start}
    if feature.choices is not None:
        return described | {"choices": feature.choices, "is_category": feature.is_category}
    low, high = (float(end) for end in feature.codes)
    grid = feature.grid(inputs.start[feature.column], N_SLICE_POINTS).tolist()
    step = 1.0 if feature.is_integer else _step(high - low)
    return described | {"low": low, "high": high, "step": step, "grid": grid}


def _step(width: float) -> float:
    """1, 2 or 5 times a power of ten, for about `N_STEPS` steps."""
    power = 10.0 ** np.floor(np.log10(width / N_STEPS))
    return float(next(m * power for m in (1, 2, 5, 10) if m * power >= width / N_STEPS))


def _shown_range(report: Report) -> list[float]:
    """Values of y for the axis of the density, or of the probabilities of no event."""
    rows = report.rows
    if report.horizon is not None:
        times = rows.y["lower"]
        return [min(float(times.min()), 0.0), float(times.max())]
    values, exposure = observed_rates(report.mixture, rows, report.outputs[0])
    low, high = weighted_quantiles(values, exposure, np.array(SHOWN_QUANTILES))
    margin = 0.05 * (high - low) or abs(high) or 1.0
    return [float(max(low - margin, min(values.min(), 0.0))), float(high + margin)]


def _predictions(report: Report, rows: Any, limits: Sequence[float] | None) -> dict[str, Any]:
    """Predictions of a mixture that is no formula, as lists."""
    experts, mean = report.predict(rows)
    found = {"gate": gate_of_features(report.mixture, rows), "experts": experts, "mean": mean}
    distribution = None if limits is None else report.distribution(rows)
    if distribution is not None:
        interval = distribution.interval(report.coverage)
        found["interval"] = one_target(interval, report.outputs[0], 2)
    if distribution is not None and limits is not None and report.horizon is not None:
        curve = np.linspace(limits[0], limits[1], N_CURVE_POINTS)
        found |= {"median": distribution.median, "curve": curve}
        found["survival"] = distribution.sf(curve[None])
    return {name: _rounded(values) for name, values in found.items()}


def _rounded(values: Array) -> Any:
    """Lists of numbers with ten significant digits, which make the page smaller."""
    flat = [float(f"{value:.10g}") for value in np.ravel(values)]
    finite: Any = [value if np.isfinite(value) else None for value in flat]
    return np.array(finite, dtype=object).reshape(np.shape(values)).tolist()


# --- charts -----------------------------------------------------------------------------------


def make_charts(panel: dict[str, Any]) -> dict[str, Any]:
    """Charts as JSON, by the id of their element; glyphs named "ink" have the colour of texts."""
    figures = {"along-chart": _along(panel)}
    if panel["has_interval"] and (panel["formulas"] or panel["horizon"] is not None):
        figures["density-chart"] = _density(panel)
    as_json = import_module("bokeh.embed").json_item
    return {name: as_json(figure) for name, figure in figures.items()}


def _figure(panel: dict[str, Any], x_label: str, y_label: str) -> Any:
    """A figure without tools, on the paper of the page."""
    is_survival = panel["horizon"] is not None
    figure = import_bokeh("export_html").figure(
        height=270,
        sizing_mode="stretch_width",
        min_border_right=14,
        toolbar_location=None,
        tools="",
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
        **({"y_range": Y_RANGE} if is_survival else {}),
    )
    y_label = "Probability of no event" if is_survival else y_label
    for axis, label in ((figure.xaxis[0], x_label), (figure.yaxis[0], y_label)):
        axis.axis_label = chart_label(label) or None
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_font_size = axis.major_label_text_font_size = "12px"
        axis.minor_tick_line_color = None
    return figure


def _draw(glyph: Any, source: str, **style: Any) -> None:
    """A glyph of data whose name, by which the page finds them, and columns are in a text."""
    name, *columns = source.split()
    data: dict[str, list[Any]] = {column: [] for column in columns}
    glyph(**style, source=import_bokeh("export_html").ColumnDataSource(data, name=name))


def chart_label(text: str) -> str:
    """Text of an axis, in which delimiters of formulas are apart: Bokeh would load a script."""
    return re.sub(r"\$(?=\$)|\\(?=[\[(])", lambda found: f"{found[0]}\N{ZERO WIDTH SPACE}", text)


def _density(panel: dict[str, Any]) -> Any:
    """The predictive density, with the experts below it, and its interval."""
    figure = _figure(panel, panel["target"], "Density or probability")
    figure.yaxis[0].formatter.power_limit_low = -5
    _draw(figure.varea, "interval-area x y", x="x", y1=0, y2="y", **SHADE)
    _draw(figure.multi_line, "parts xs ys colour opacity", **LINES, line_width=2)
    ink = {"line_width": 2, "name": "ink"}
    for name, dash in (("total", "solid"), ("total-start", "dotted"), ("mean-line", "dashed")):
        _draw(figure.line, f"{name} x y", x="x", y="y", line_dash=dash, **ink)
    stems = {"x0": "x", "y0": 0, "x1": "x", "y1": "height", "line_alpha": "fill", "line_width": 5}
    _draw(figure.segment, "atoms x height fill", **stems, color=colour(0))
    diamonds = {"x": "x", "y": "height", "marker": "diamond", "size": 8, "name": "ink"}
    _draw(figure.scatter, "atoms-start x height", **diamonds)
    ends = {"x0": "x0", "y0": "y", "x1": "x1", "y1": "y", "line_width": 4, "name": "ink"}
    _draw(figure.segment, "bounds x0 x1 y", **ends)
    return figure


def _along(panel: dict[str, Any]) -> Any:
    """Predictions along one feature."""
    y_label = "Probability of the class" if panel["classes"] else panel["target"]
    figure = _figure(panel, "", y_label)
    figure.xaxis.name = "along-axis"
    figure.xaxis.ticker = []  # which the page fixes
    _draw(figure.varea, "along-band x low high", x="x", y1="low", y2="high", **SHADE)
    _draw(figure.multi_line, "along-lines xs ys colour opacity", **LINES, line_width=2.5)
    dashed = {"line_dash": "dashed", "line_width": 2, "name": "ink"}
    _draw(figure.line, "along-mean x y", x="x", y="y", **dashed)
    _draw(figure.scatter, "along-now x y", x="x", y="y", size=10, name="ink")
    return figure
