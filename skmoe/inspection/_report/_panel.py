"""What the panel needs: formulas, or predictions on slices, and charts of Bokeh to be filled."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from skmoe._data.preprocessing import RANGE_RTOL
from skmoe._numerics.probability import weighted_quantiles
from skmoe._numerics.typing import Array
from skmoe._optional import import_bokeh
from skmoe.inspection._report._formulas import find_formulas
from skmoe.inspection._report._inputs import Feature, Inputs, Report
from skmoe.inspection._style import LIGHT_GREY, colour
from skmoe.inspection._subject import observed_rates, one_target, values_at

# Points of a slice, and of a curve of a density.
N_SLICE_POINTS, N_CURVE_POINTS = 41, 121

# Steps of a slider, about.
N_STEPS = 200

# Values of y that are shown, from quantiles of the observed ones.
SHOWN_QUANTILES = (0.01, 0.99)

# Most counts whose probabilities are drawn one by one.
MAX_COUNTS_DRAWN = 150

# Heights of charts, of a bar, and of the axis below bars, in pixels.
CHART_HEIGHT, BAR_HEIGHT, BARS_MARGIN = 270, 30, 40

# Styles of areas, and of the lines of experts or classes.
SHADE = {"color": LIGHT_GREY, "alpha": 0.3}
LINES = {"xs": "xs", "ys": "ys", "color": "colour", "line_alpha": "opacity"}


def make_panel(report: Report, inputs: Inputs, shown: Sequence[Feature]) -> dict[str, Any]:
    """Description of the panel for the features that are shown, which can be written as JSON."""
    estimator = inputs.mixture
    classes = [str(label) for label in estimator.classes_] if is_classifier(estimator) else None
    n_colours = max(len(report.experts), len(classes or ()))
    tail = 0.5 * (1.0 - report.coverage)
    limits = None if classes else _shown_range(report)
    panel: dict[str, Any] = {
        "target": report.target,
        "experts": list(report.experts),
        "classes": classes,
        "colours": [colour(k) for k in range(n_colours)],
        "coverage": report.coverage,
        "horizon": report.horizon,
        "shown_range": limits,
        "features": [_controls(inputs, feature) for feature in shown],
        "n_features": len(inputs.labels),
        "n_constant": len(inputs.labels) - len(inputs.features),
        "formulas": find_formulas(inputs, shown, report.output, tail),
        "slices": None,
    }
    if panel["formulas"] is None:
        rows = [inputs.start[None]]
        for feature in shown:
            grid = feature.grid(inputs.start[feature.column], N_SLICE_POINTS)
            rows.append(inputs.along(feature, grid))
        found = [_predictions(report, estimator, inputs.rows(codes), limits) for codes in rows]
        panel["start"], *panel["slices"] = found
    return panel


def _controls(inputs: Inputs, feature: Feature) -> dict[str, Any]:
    """A slider or choices of a feature."""
    start = inputs.value_at_start(feature)
    described: dict[str, Any] = {"label": feature.label, "start": start}
    if feature.is_choice:
        choices = feature.values.tolist()
        return described | {"choices": choices, "is_category": feature.is_category}
    low, high = (float(end) for end in feature.values)
    grid = feature.grid(inputs.start[feature.column], N_SLICE_POINTS).tolist()
    step = 1.0 if feature.is_integer else _step(high - low)
    described |= {"low": low, "high": high, "step": step, "grid": grid}
    # How far a value may be beyond the range, as for `is_outside_range`.
    tolerance = RANGE_RTOL * max(-low, high) if inputs.has_range(feature) else None
    return described | {"tolerance": tolerance}


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
    values, exposure = observed_rates(report.mixture, rows, report.output)
    if rows.offset is None:
        low, high = np.quantile(values, SHOWN_QUANTILES)
    else:
        low, high = weighted_quantiles(values, exposure, np.array(SHOWN_QUANTILES))
    margin = 0.05 * (high - low) or abs(high) or 1.0
    above_zero = values.min() >= 0.0
    return [float(max(low - margin, 0.0) if above_zero else low - margin), float(high + margin)]


# --- slices, for mixtures that are no formulas -------------------------------------------------


def _predictions(
    report: Report, estimator: Any, rows: Any, limits: Sequence[float] | None
) -> dict[str, Any]:
    """Predictions for rows, as lists."""
    experts, mean = report.predict(estimator, rows)
    found = {"gate": estimator.predict_gate(rows), "experts": experts, "mean": mean}
    if limits is not None:
        try:
            distribution = estimator.predict_dist(rows)
        except (AttributeError, ValueError):
            pass  # experts without a distribution
        else:
            interval = distribution.interval(report.coverage)
            found["interval"] = one_target(interval, report.output, 2)
            curve = np.linspace(limits[0], limits[1], N_CURVE_POINTS)
            if report.horizon is None:
                last_count = max(float(found["interval"].max()), limits[1])
                found |= _densities(distribution, report.output, curve, last_count)
            else:
                found |= {"median": distribution.median, "curve": curve}
                found["density"] = distribution.sf(curve[None])
    return {name: _rounded(values) for name, values in found.items()}


def _densities(distribution: Any, output: int, curve: Array, last_count: float) -> dict[str, Array]:
    """Probabilities of single values, and densities."""
    components = distribution.as_components()
    blocks = [part.block() for part in getattr(components, "parts", (components,))]
    atoms, found = np.zeros(0), {}
    for functions, parameters in blocks:
        if functions.counts:
            atoms = np.union1d(atoms, np.arange(min(last_count, MAX_COUNTS_DRAWN) + 1.0))
        for values in functions.atoms(*(of[..., output] for of in parameters)):
            atoms = np.union1d(atoms, values)
    if len(atoms):
        mass = values_at(distribution, distribution.pmf, atoms, output)
        found = {"atoms": atoms, "mass": mass}
    if not all(functions.discrete for functions, _ in blocks):
        curve = np.setdiff1d(curve, atoms)
        density = values_at(distribution, distribution.pdf, curve, output)
        found |= {"curve": curve, "density": density}
    return found


def _rounded(values: Array) -> Any:
    """Lists of numbers with ten significant digits, which make the page smaller."""
    flat = [float(f"{value:.10g}") for value in np.ravel(values)]
    finite: Any = [value if np.isfinite(value) else None for value in flat]
    return np.array(finite, dtype=object).reshape(np.shape(values)).tolist()


# --- charts -----------------------------------------------------------------------------------


class Charts:
    """Figures, in which glyphs named "ink" have the colour of the text of the page."""

    def __init__(self) -> None:
        self.bokeh = import_bokeh("export_html")
        self.figures: dict[str, Any] = {}

    def items(self) -> dict[str, Any]:
        """Figures as JSON, by the id of the element that they are in."""
        embed = self.bokeh.embed
        return {name: embed.json_item(figure) for name, figure in self.figures.items()}

    def figure(self, name: str, x_label: str, y_label: str, **options: Any) -> Any:
        """A figure without tools, on the paper of the page."""
        figure = self.bokeh.plotting.figure(
            sizing_mode="stretch_width",
            min_border_right=14,
            toolbar_location=None,
            tools="",
            background_fill_color=None,
            border_fill_color=None,
            outline_line_color=None,
            **{"height": CHART_HEIGHT} | options,
        )
        for axis, label in ((figure.xaxis[0], x_label), (figure.yaxis[0], y_label)):
            axis.axis_label = chart_label(label) or None
            axis.axis_label_text_font_style = "normal"
            axis.axis_label_text_font_size = axis.major_label_text_font_size = "12px"
            axis.minor_tick_line_color = None
        self.figures[name] = figure
        return figure

    def source(self, name: str, columns: Mapping[str, Any]) -> Any:
        """Data with a name, by which the page finds them."""
        return self.bokeh.models.ColumnDataSource(dict(columns), name=name)

    def draw(self, glyph: Any, source: str, **style: Any) -> None:
        """A glyph of data whose name, and whose empty columns, are words of a text."""
        name, *columns = source.split()
        glyph(**style, source=self.source(name, {c: [] for c in columns}))


def chart_label(text: str) -> str:
    """Text of an axis, in which delimiters of formulas are apart: Bokeh would load a script."""
    return re.sub(r"\$(?=\$)|\\(?=[\[(])", lambda found: f"{found[0]}\N{ZERO WIDTH SPACE}", text)


def make_charts(panel: Mapping[str, Any]) -> Charts:
    """The charts of a panel."""
    charts = Charts()
    if len(panel["experts"]) > 1:
        _bars(charts, "gate", panel["experts"], panel["colours"])
    if panel["classes"]:
        _bars(charts, "classes", panel["classes"], panel["colours"])
    elif panel["formulas"] or "interval" in panel["start"]:
        _density(charts, panel)
    _along(charts, panel)
    return charts


def _bars(charts: Charts, name: str, labels: list[str], colours: list[str]) -> None:
    """Horizontal bars of probabilities, with marks of the starting row."""
    # Names may repeat; the factors of an axis may not.
    factors = [f"{chart_label(label)}{chr(0x200B) * i}" for i, label in enumerate(labels)]
    height = BARS_MARGIN + BAR_HEIGHT * len(labels)
    ranges = {"x_range": (0.0, 1.0), "y_range": factors[::-1]}
    figure = charts.figure(f"{name}-chart", "", "", height=height, **ranges)
    figure.ygrid.visible = False
    zeros, shown = [0.0] * len(labels), colours[: len(labels)]
    columns = {"name": factors, "colour": shown, "now": zeros, "start": zeros}
    source = charts.source(name, columns)
    figure.hbar(y="name", right="now", height=0.7, color="colour", source=source)
    figure.scatter("start", "name", marker="diamond", size=11, name="ink", source=source)


def _density(charts: Charts, panel: Mapping[str, Any]) -> None:
    """The predictive density, with the experts below it, and its interval."""
    is_density = panel["horizon"] is None
    y_label = "Density or probability" if is_density else "Probability of no event"
    figure = charts.figure("density-chart", panel["target"], y_label, **_y_range(panel))
    figure.yaxis.formatter = charts.bokeh.models.BasicTickFormatter(power_limit_low=-5)
    charts.draw(figure.varea, "interval-area x y", x="x", y1=0, y2="y", **SHADE)
    charts.draw(figure.multi_line, "parts xs ys colour opacity", **LINES, line_width=2)
    ink = {"line_width": 2, "name": "ink"}
    for name, dash in (("total", "solid"), ("total-start", "dotted"), ("mean-line", "dashed")):
        charts.draw(figure.line, f"{name} x y", x="x", y="y", line_dash=dash, **ink)
    stems = {"x0": "x", "y0": 0, "x1": "x", "y1": "height", "line_alpha": "fill", "line_width": 5}
    charts.draw(figure.segment, "atoms x height fill", **stems, color=colour(0))
    diamonds = {"x": "x", "y": "height", "marker": "diamond", "size": 8, "name": "ink"}
    charts.draw(figure.scatter, "atoms-start x height", **diamonds)
    ends = {"x0": "x0", "y0": "y", "x1": "x1", "y1": "y", "line_width": 4, "name": "ink"}
    charts.draw(figure.segment, "bounds x0 x1 y", **ends)


def _y_range(panel: Mapping[str, Any]) -> dict[str, Any]:
    """That of probabilities of no event; others follow the data."""
    return {} if panel["horizon"] is None else {"y_range": (-0.02, 1.02)}


def _along(charts: Charts, panel: Mapping[str, Any]) -> None:
    """Predictions along one feature."""
    y_label = "Probability of the class" if panel["classes"] else panel["target"]
    if panel["horizon"] is not None:
        y_label = "Probability of no event"
    figure = charts.figure("along-chart", "", y_label, **_y_range(panel))
    figure.xaxis.name = "along-axis"
    figure.xaxis.ticker = charts.bokeh.models.FixedTicker(ticks=[])
    charts.draw(figure.varea, "along-band x low high", x="x", y1="low", y2="high", **SHADE)
    lines = "along-lines xs ys colour opacity"
    charts.draw(figure.multi_line, lines, **LINES, line_width=2.5)
    dashed = {"line_dash": "dashed", "line_width": 2, "name": "ink"}
    charts.draw(figure.line, "along-mean x y", x="x", y="y", **dashed)
    charts.draw(figure.scatter, "along-now x y", x="x", y="y", size=10, name="ink")
