"""What the panel needs: formulas, or predictions on slices, and charts of Bokeh to be filled."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier

from skmoe._data.preprocessing import RANGE_RTOL
from skmoe._data.rows import Rows
from skmoe._numerics.probability import weighted_quantiles
from skmoe._numerics.typing import Array
from skmoe._optional import import_bokeh
from skmoe.inspection._report._formulas import find_formulas
from skmoe.inspection._report._inputs import Feature, Inputs
from skmoe.inspection._style import LIGHT_GREY, colour
from skmoe.inspection._subject import (
    observed_rates,
    one_target,
    predicted_mean,
    predicted_survival,
    values_at,
)

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


class PanelOptions(NamedTuple):
    """Names and choices of the user, for the cards and the panel."""

    expert_names: Sequence[str]
    target_name: str
    output: int  # its index
    coverage: float
    horizon: float | None = None  # of the probabilities of no event; None for values of y

    def predict(self, estimator: Any, rows: Any) -> tuple[Array, Array]:
        """Predictions of the experts (n, K, ...) and of the mixture (n, ...).

        They are means, probabilities of classes, or those of no event until the horizon.
        """
        if self.horizon is not None:
            times = np.array([self.horizon])
            experts, mixture = predicted_survival(estimator, rows, times, self.output)
            return experts[..., 0], mixture[:, 0]
        experts = estimator.predict_experts(rows)
        if is_classifier(estimator):
            return experts, estimator.predict_proba(rows)
        return one_target(experts, self.output, 2), predicted_mean(estimator, rows, self.output)


def make_panel(
    inputs: Inputs, shown: Sequence[Feature], rows: Rows, options: PanelOptions
) -> dict[str, Any]:
    """Description of the panel for the features that are shown, which can be written as JSON."""
    estimator = inputs.mixture
    tail = 0.5 * (1.0 - options.coverage)
    classes = [str(label) for label in estimator.classes_] if is_classifier(estimator) else None
    n_colours = max(len(options.expert_names), len(classes or ()))
    panel: dict[str, Any] = {
        "target": options.target_name,
        "experts": list(options.expert_names),
        "classes": classes,
        "colours": [colour(k) for k in range(n_colours)],
        "coverage": options.coverage,
        "horizon": options.horizon,
        "shown_range": None if classes else _shown_range(estimator, rows, options),
        "features": [_controls(inputs, feature) for feature in shown],
        "n_features": len(inputs.labels),
        "n_constant": len(inputs.labels) - len(inputs.varying_features()),
        "formulas": find_formulas(inputs, shown, options.output, tail),
        "slices": None,
    }
    if panel["formulas"] is None:
        found = []
        for feature in [None, *shown]:
            codes = inputs.start[None]
            if feature is not None:
                grid = feature.grid(inputs.start[feature.column], N_SLICE_POINTS)
                codes = inputs.along(feature, grid)
            found.append(_predictions(estimator, inputs.rows(codes), options, panel["shown_range"]))
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


def _shown_range(estimator: Any, rows: Rows, options: PanelOptions) -> list[float]:
    """Values of y for the axis of the density, or of the probabilities of no event."""
    if options.horizon is not None:
        times = rows.y["lower"]
        return [min(float(times.min()), 0.0), float(times.max())]
    values, exposure = observed_rates(estimator, rows, options.output)
    if rows.offset is None:
        low, high = np.quantile(values, SHOWN_QUANTILES)
    else:
        low, high = weighted_quantiles(values, exposure, np.array(SHOWN_QUANTILES))
    margin = 0.05 * (high - low) or abs(high) or 1.0
    above_zero = values.min() >= 0.0
    return [float(max(low - margin, 0.0) if above_zero else low - margin), float(high + margin)]


# --- slices, for mixtures that are no formulas -------------------------------------------------


def _predictions(
    estimator: Any, rows: Any, options: PanelOptions, limits: Sequence[float] | None
) -> dict[str, Any]:
    """Predictions for rows, as lists."""
    experts, mean = options.predict(estimator, rows)
    found = {"gate": estimator.predict_gate(rows), "experts": experts, "mean": mean}
    if limits is not None:
        try:
            distribution = estimator.predict_dist(rows)
        except (AttributeError, ValueError):
            pass  # experts without a distribution
        else:
            describe = _densities if options.horizon is None else _survival
            found |= describe(distribution, options, limits)
    return {name: _rounded(values) for name, values in found.items()}


def _survival(distribution: Any, options: PanelOptions, limits: Sequence[float]) -> dict[str, Any]:
    """Intervals and medians of times, and probabilities of no event."""
    curve = np.linspace(limits[0], limits[1], N_CURVE_POINTS)
    return {
        "interval": distribution.interval(options.coverage),
        "median": distribution.median,
        "curve": curve,
        "density": distribution.sf(curve[None]),
    }


def _densities(
    distribution: Any, options: PanelOptions, limits: Sequence[float]
) -> dict[str, Array]:
    """Intervals, probabilities of single values, and densities."""
    interval = one_target(distribution.interval(options.coverage), options.output, 2)
    components = distribution.as_components()
    blocks = [part.block() for part in getattr(components, "parts", (components,))]
    last_count = min(max(float(interval.max()), limits[1]), MAX_COUNTS_DRAWN)
    atoms = np.zeros(0)
    for functions, parameters in blocks:
        if functions.counts:
            atoms = np.union1d(atoms, np.arange(last_count + 1.0))
        for values in functions.atoms(*(of[..., options.output] for of in parameters)):
            atoms = np.union1d(atoms, values)

    found = {"interval": interval}
    if len(atoms):
        mass = values_at(distribution, distribution.pmf, atoms, options.output)
        found |= {"atoms": atoms, "mass": mass}
    if not all(functions.discrete for functions, _ in blocks):
        curve = np.setdiff1d(np.linspace(limits[0], limits[1], N_CURVE_POINTS), atoms)
        density = values_at(distribution, distribution.pdf, curve, options.output)
        found |= {"curve": curve, "density": density}
    return found


def _rounded(values: Array) -> Any:
    """Lists of numbers with ten significant digits, which make the page smaller."""
    flat = [float(f"{value:.10g}") for value in np.ravel(values)]
    finite: Any = [value if np.isfinite(value) else None for value in flat]
    return np.array(finite, dtype=object).reshape(np.shape(values)).tolist()


class Charts:
    """Figures, in which glyphs named "ink" have the colour of the text of the page."""

    def __init__(self) -> None:
        self.bokeh = import_bokeh("export_html")
        self.figures: dict[str, Any] = {}

    def items(self) -> dict[str, Any]:
        """Figures as JSON, by the id of the element that they are in."""
        embed = self.bokeh.embed
        return {name: embed.json_item(figure) for name, figure in self.figures.items()}

    def source(self, name: str, *columns: str, given: Mapping[str, Any] | None = None) -> Any:
        """A source of data with a name, empty or with given columns."""
        data = {column: [] for column in columns} | dict(given or {})
        return self.bokeh.models.ColumnDataSource(data, name=name)

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
    zeros = [0.0] * len(labels)
    given = {"name": factors, "colour": colours[: len(labels)], "now": zeros, "start": zeros}
    source = charts.source(name, given=given)
    figure.hbar(y="name", right="now", height=0.7, color="colour", source=source)
    figure.scatter("start", "name", marker="diamond", size=11, name="ink", source=source)


def _density(charts: Charts, panel: Mapping[str, Any]) -> None:
    """The predictive density, with the experts below it, and its interval."""
    is_density = panel["horizon"] is None
    y_label = "Density or probability" if is_density else "Probability of no event"
    figure = charts.figure("density-chart", panel["target"], y_label, **_y_range(panel))
    figure.yaxis.formatter = charts.bokeh.models.BasicTickFormatter(power_limit_low=-5)
    area = charts.source("interval-area", "x", "y")
    figure.varea(x="x", y1=0, y2="y", color=LIGHT_GREY, alpha=0.3, source=area)
    parts = charts.source("parts", "xs", "ys", "colour", "opacity")
    style = {"color": "colour", "line_alpha": "opacity", "line_width": 2}
    figure.multi_line("xs", "ys", source=parts, **style)
    for name, dash in (("total", "solid"), ("total-start", "dotted"), ("mean-line", "dashed")):
        source = charts.source(name, "x", "y")
        figure.line("x", "y", line_width=2, line_dash=dash, name="ink", source=source)
    atoms = charts.source("atoms", "x", "height", "fill")
    stems = figure.segment(
        "x", 0, "x", "height", line_width=5, line_alpha="fill", source=atoms, color=colour(0)
    )
    stems.glyph.line_color = colour(0)
    at_start = charts.source("atoms-start", "x", "height")
    figure.scatter("x", "height", marker="diamond", size=8, name="ink", source=at_start)
    bounds = charts.source("bounds", "x0", "x1", "y")
    figure.segment("x0", "y", "x1", "y", line_width=4, name="ink", source=bounds)


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
    band = charts.source("along-band", "x", "low", "high")
    figure.varea(x="x", y1="low", y2="high", color=LIGHT_GREY, alpha=0.3, source=band)
    lines = charts.source("along-lines", "xs", "ys", "colour", "opacity")
    figure.multi_line(
        "xs", "ys", color="colour", line_alpha="opacity", line_width=2.5, source=lines
    )
    mean = charts.source("along-mean", "x", "y")
    figure.line("x", "y", line_dash="dashed", line_width=2, name="ink", source=mean)
    here = charts.source("along-now", "x", "y")
    figure.scatter("x", "y", size=10, name="ink", source=here)
