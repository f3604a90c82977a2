"""Charts of the panel, by Bokeh, which its JavaScript fills with data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from skmoe._optional import import_bokeh
from skmoe.inspection._style import DARK_GREY, LIGHT_GREY, colour

# Heights of charts, of a bar, and of the axis below bars, in pixels.
CHART_HEIGHT, BAR_HEIGHT, BARS_MARGIN = 270, 30, 40


class Charts:
    """Figures, and the names of what follows the colours of the page."""

    def __init__(self) -> None:
        self.bokeh = import_bokeh("export_html")
        self.figures: dict[str, Any] = {}
        self.named: dict[str, list[str]] = {"axes": [], "grids": [], "inks": [], "papers": []}

    def items(self) -> dict[str, Any]:
        """Figures as JSON, by the id of the element that they are in."""
        embed = self.bokeh.embed
        return {name: embed.json_item(figure) for name, figure in self.figures.items()}

    def source(self, name: str, *columns: str, given: Mapping[str, Any] | None = None) -> Any:
        """A source of data with a name, empty or with given columns."""
        data = {column: [] for column in columns} | dict(given or {})
        return self.bokeh.models.ColumnDataSource(data, name=name)

    def figure(self, name: str, x_label: str, y_label: str, **options: Any) -> Any:
        """A figure without tools, whose axes and grids have names."""
        figure = self.bokeh.plotting.figure(
            sizing_mode="stretch_width",
            min_border_right=14,
            toolbar_location=None,
            tools="",
            name=f"{name}-paper",
            outline_line_color=None,
            **{"height": CHART_HEIGHT} | options,
        )
        sides = (
            ("x", figure.xaxis[0], figure.xgrid[0], x_label),
            ("y", figure.yaxis[0], figure.ygrid[0], y_label),
        )
        for letter, axis, grid, label in sides:
            axis.name, grid.name = f"{name}-{letter}-axis", f"{name}-{letter}-grid"
            axis.axis_label = chart_label(label) or None
            axis.axis_label_text_font_style = "normal"
            axis.axis_label_text_font_size = axis.major_label_text_font_size = "12px"
            axis.minor_tick_line_color = None
            self.named["axes"].append(axis.name)
            self.named["grids"].append(grid.name)
        self.named["papers"].append(figure.name)
        self.figures[name] = figure
        return figure

    def ink(self, renderer: Any, name: str) -> None:
        """Give a glyph the colour of the text."""
        renderer.glyph.name = name
        self.named["inks"].append(name)


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
    marks = figure.scatter("start", "name", marker="diamond", size=11, source=source)
    charts.ink(marks, f"{name}-marks")


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
        line = figure.line("x", "y", line_width=2, line_dash=dash, source=source)
        charts.ink(line, f"{name}-glyph")
    atoms = charts.source("atoms", "x", "height", "fill")
    stems = figure.segment(
        "x", 0, "x", "height", line_width=5, line_alpha="fill", source=atoms, color=colour(0)
    )
    stems.glyph.line_color = colour(0)
    at_start = charts.source("atoms-start", "x", "height")
    marks = figure.scatter("x", "height", marker="diamond", size=8, source=at_start)
    charts.ink(marks, "atoms-start-marks")
    bounds = charts.source("bounds", "x0", "x1", "y")
    bar = figure.segment("x0", "y", "x1", "y", line_width=4, source=bounds)
    charts.ink(bar, "bounds-glyph")


def _y_range(panel: Mapping[str, Any]) -> dict[str, Any]:
    """That of probabilities of no event; others follow the data."""
    return {} if panel["horizon"] is None else {"y_range": (-0.02, 1.02)}


def _along(charts: Charts, panel: Mapping[str, Any]) -> None:
    """Predictions along one feature."""
    y_label = "Probability of the class" if panel["classes"] else panel["target"]
    if panel["horizon"] is not None:
        y_label = "Probability of no event"
    figure = charts.figure("along-chart", "", y_label, **_y_range(panel))
    axis = figure.xaxis[0]
    axis.ticker = charts.bokeh.models.FixedTicker(ticks=[])
    band = charts.source("along-band", "x", "low", "high")
    figure.varea(x="x", y1="low", y2="high", color=LIGHT_GREY, alpha=0.3, source=band)
    lines = charts.source("along-lines", "xs", "ys", "colour", "opacity")
    figure.multi_line(
        "xs", "ys", color="colour", line_alpha="opacity", line_width=2.5, source=lines
    )
    mean = charts.source("along-mean", "x", "y")
    line = figure.line("x", "y", line_dash="dashed", line_width=2, color=DARK_GREY, source=mean)
    charts.ink(line, "along-mean-glyph")
    here = charts.source("along-now", "x", "y")
    mark = figure.scatter("x", "y", size=10, source=here)
    charts.ink(mark, "along-now-mark")
