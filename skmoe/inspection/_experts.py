"""ExpertsDisplay: predictions of the experts over a feature, and where the gate chooses them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Self

import numpy as np
from sklearn.base import is_classifier

from skmoe._data.checks import check_flag
from skmoe._data.rows import Rows
from skmoe._data.units import encode_units
from skmoe._numerics.typing import Array
from skmoe.distributions import check_coverage
from skmoe.inspection import _style as draw
from skmoe.inspection import _subject as subject
from skmoe.inspection._grid import (
    N_POINTS,
    ROWS_MARGIN,
    expert_effects,
    feature_axis,
    height_limits,
    leading_feature,
)
from skmoe.inspection._series import gate_of_features, has_series

# Opacity of a curve where the probability of the expert is zero.
MIN_OPACITY = 0.06

# The vertical axis shows the curves where experts have at least this probability.
MIN_PROBABILITY_SHOWN = 0.05

# Half the width of what is drawn at a category.
CATEGORY_WIDTH = 0.36


@dataclass(kw_only=True, eq=False, repr=False)
class RowsOverFeature(draw.DisplayOfPanels):
    """Predictions of the experts over a feature, and rows of the data."""

    target_name: str
    grid: Array
    curves: Array
    coverage: float | None
    x: Array
    y: Array
    assigned_expert: Array
    is_probability: bool = False
    units: Array | None = None
    exposure: Array | None = None
    categories: Sequence[str] | None = None

    def _draw_rows(self, ax: Any, rows: Any = slice(None), **style: Any) -> Any:
        """Draw some of the rows in the colours of their experts."""
        style["c"] = [draw.colour(k) for k in self.assigned_expert[rows]]
        share = 1.0 if self.exposure is None else (self.exposure / self.exposure.mean())[rows]
        kinds = self.categories is not None, self.is_probability
        return draw.draw_rows(ax, self.x[rows], self.y[rows], kinds, share, **style)

    def _draw_units(self, ax: Any, rows: Any = slice(None)) -> Any:
        """A line through the rows of each unit, in the order of the feature; None without units.

        Classes have none, which would be up and down.
        """
        if self.units is None or self.is_probability:
            return None
        from matplotlib.collections import LineCollection

        x, units = self.x[rows], encode_units(self.units)[1][rows]
        order = np.lexsort((x, units))
        ends = np.flatnonzero(np.diff(units[order])) + 1
        lines: Any = np.split(np.column_stack([x, self.y[rows]])[order], ends)
        experts = self.assigned_expert[rows][order[np.append(0, ends)]] if len(order) else []
        colours = [draw.colour(k) for k in experts]
        return ax.add_collection(LineCollection(lines, colors=colours, linewidths=0.7, alpha=0.5))

    def _set_limits(self, ax: Any, curves: Sequence[Array], rows: Any = slice(None)) -> None:
        """Axes over the grid, and over typical rows and the curves there."""
        ends = self.grid[[0, -1]]
        margin = ROWS_MARGIN * (ends[1] - ends[0])
        ax.set_xlim(ends[0] - margin, ends[1] + margin)
        inside = (self.x >= ends[0]) & (self.x <= ends[1])
        exposure = None if self.exposure is None else self.exposure[inside]
        heights = np.concatenate([np.ravel(each) for each in curves])
        limits = height_limits(self.y[inside], heights, exposure)
        ax.set_ylim(draw.CLASS_LIMITS if self.is_probability else limits)
        draw.count_beyond(ax, self.x[rows], self.y[rows])


@dataclass(kw_only=True, eq=False, repr=False)
class ExpertsDisplay(RowsOverFeature):
    """Predictions of each expert over one feature, with the gate probability as opacity.

    Points are the rows of the data, in the colour of the expert with the largest responsibility.
    The dashed line is the prediction of the mixture, the grey band its predictive intervals. A
    feature with categories, or with two values such as 0 and 1, has marks instead of curves. The
    curves are those of rows with the other features at their medians. The rows are drawn as partial
    residuals: as far from the curve of their expert as y is from its prediction, by a ratio under a
    log link, and otherwise by a difference. With `adjust=False` they have their own y. The axes end
    before rows that are far beyond the others.

    With `units`, such as customers or patients, the rows of a unit have the colour of the unit's
    expert. Those of a regressor are joined by a thin line, in the order of the feature.

    With `gate="markov"`, opacity and prediction of the mixture are those of the long run: of the
    shares of time in each regime, if the features stay.

    Of a classifier the curves are each expert's probability of one class. Marks at the top are the
    rows of that class, marks at the bottom the other rows.

    Several features make a grid, with a display for each in `panels`; the arrays are then those of
    the first one. See "Displays" in the user guide, and "When did the flow of the Nile
    change?" in the gallery.

    Parameters
    ----------
    expert_names : list of str of length n_experts
        Names of the experts.
    panels : list of ExpertsDisplay, default=None
        The displays of a grid; None for one panel.
    target_name : str
        Label of the axis of y.
    grid : ndarray of shape (n_points,)
        Values of the feature; positions of categories.
    curves : ndarray of shape (n_points, n_experts)
        Predictions of each expert, in the units of y, or its probabilities of the class.
    coverage : float or None
        Nominal coverage of the band.
    x, y : ndarray of shape (n_shown,)
        The rows shown; for classes y is 1 for the class and 0 for the others.
    assigned_expert : ndarray of shape (n_shown,)
        The expert with the largest responsibility for each of them, or for its unit.
    is_probability : bool, default=False
        Whether the curves are probabilities of a class.
    units : ndarray of shape (n_shown,), default=None
        Labels of the units of the rows shown; None for rows without units.
    exposure : ndarray of shape (n_shown,), default=None
        Exposures of the rows shown, to which the areas of the points are proportional. None for
        rows without an offset.
    categories : list of str of length n_points, default=None
        Labels of the categories of the feature, if it has any.
    feature_name : str
        Label of the axis of the feature.
    gate : ndarray of shape (n_points, n_experts)
        Probabilities of the gate.
    mean : ndarray of shape (n_points,)
        Prediction of the mixture.
    band : ndarray of shape (n_points, 2) or None
        Predictive intervals.
    feature_note : str, default=""
        What the features are, if they are not those of the input of a pipeline.
    gate_name : str, default="gate"
        What the probabilities are, in the legend.

    Attributes
    ----------
    ax_ : matplotlib axes, or ndarray of shape (n_panels,) of them
        Axes of the plot.
    figure_ : matplotlib figure
        Figure of the plot.
    curves_ : list of matplotlib line collections
        One for each expert.
    line_ : matplotlib line
        Prediction of the mixture.
    band_ : matplotlib collection or None
        Predictive intervals.
    scatter_ : matplotlib collection
        The rows.
    unit_lines_ : matplotlib line collection or None
        A line for each unit of a regressor.
    legend_ : matplotlib legend
        Legend.

    See Also
    --------
    GateDisplay : The gate alone, over one feature or two.
    RegimesDisplay : Each expert in a panel, below the gate.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.inspection import ExpertsDisplay
    >>> X = np.linspace(-3, 3, 200)[:, None]
    >>> y = 1 - np.abs(X[:, 0]) + 0.1 * np.sin(40 * X[:, 0])
    >>> moe = MixtureOfExpertsRegressor(n_experts=2, random_state=0).fit(X, y)
    >>> display = ExpertsDisplay.from_estimator(moe, X, y)
    >>> display.curves.shape, display.band.shape
    ((200, 2), (200, 2))
    """

    feature_name: str
    gate: Array
    mean: Array
    band: Array | None
    feature_note: str = ""
    gate_name: str = "gate"

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        features: Any = None,
        *,
        target: Any = None,
        coverage: float | None = 0.9,
        adjust: bool = True,
        subsample: int | None = 1000,
        expert_names: Sequence[str] | None = None,
        offset: Any = None,
        units: Any = None,
        time: Any = None,
        ax: Any = None,
    ) -> Self:
        """Draw the experts of a fitted mixture over one feature.

        Parameters
        ----------
        estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
            Fitted mixture, or a pipeline or search that ends in one.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to show. They determine the range of the feature and the medians of the others.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed target.
        features : int, str or list of these, default=None
            The feature along the horizontal axis, by index or name. A list makes a grid with a
            panel for each of its entries. None is, of those that the experts use, the feature with
            the largest range of log odds of the gate for one standard deviation.
        target : class label or int, default=None
            The class whose probability is drawn, or the index of the output, which is needed for
            several outputs. None is `classes_[1]` of two classes, and a panel for each of more.
        coverage : float, default=0.9
            Nominal coverage of the predictive intervals of a regressor. None for no band, as is
            required for experts without a predictive distribution.
        adjust : bool, default=True
            Whether the rows of a regressor are drawn as partial residuals, with the effect of the
            other features under their expert removed; otherwise with their own y.
        subsample : int, default=1000
            Number of rows to show, a random sample that is the same each time; None for all. With
            `units` it consists of whole units.
        expert_names : list of str of length n_experts, default=None
            Names of the experts; None for those of the model, `expert_names_`.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors of the rows, as in `fit`. Their y is drawn per unit of
            exposure, as are the curves.
        units : array-like of shape (n_samples,), default=None
            Units of the rows, as in `fit`; None for rows.
        time : array-like of shape (n_samples,), default=None
            Order of the rows of a series, as in `fit` with `gate="markov"`.
        ax : matplotlib axes or array-like of axes, default=None
            Axes to draw on; None for new ones. A grid takes one for each panel, or a single one
            that the panels replace.

        Returns
        -------
        display : ExpertsDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator does not end in a mixture of experts.
        ValueError
            If a feature, the class or the output is missing or unknown, if the coverage is not
            between 0 and 1, or if the experts have no predictive distribution for a band (use
            `coverage=None`). Also if the number of rows is not at least two.
        """
        found = subject.drawn_mixture(cls, estimator, X, expert_names)
        estimator, X, note, labels, names = found
        chosen = subject.check_panels("features", features, estimator, most=1)
        check_flag("adjust", adjust)
        coverage = None if coverage is None else check_coverage(coverage)
        given = Rows(X, y, None, offset, units, time=time)
        targets = subject.observed_rows(estimator, given, target)
        is_class = is_classifier(estimator)
        if not chosen:
            effects = [expert_effects(estimator, X, rows.target) for rows in targets]
            chosen = [[leading_feature(estimator, X, np.hstack(effects))]]
        at_exposure_one = None if offset is None else np.zeros(np.shape(offset)[1:])
        panels, each = [], np.arange(X.shape[0])
        for rows, (j,) in product(targets, chosen):
            axis = feature_axis(X, j, labels[j], N_POINTS)
            points = axis.points(X)
            of_grid = estimator, points, rows.target
            shown = rows.shown(np.isfinite(axis.observed), subsample)
            name, heights = rows.heights(j, adjust)
            panels.append(
                cls(
                    **rows.over(axis, shown, heights[each, rows.assigned_expert]),
                    feature_name=axis.name,
                    target_name=name,
                    gate=gate_of_features(estimator, points),
                    mean=subject.predicted_mean(*of_grid),
                    band=subject.interval_band(*of_grid, coverage, at_exposure_one),
                    coverage=None if is_class else coverage,
                    is_probability=is_class,
                    expert_names=names,
                    feature_note=note,
                    gate_name="long-run" if has_series(estimator) else "gate",
                )
            )
        return cls._of_panels(panels).plot(ax)

    def _draw_panel(self, ax: Any) -> None:
        self.band_ = None
        visible = np.where(self.gate >= MIN_PROBABILITY_SHOWN, self.curves, np.nan)
        curves = [visible, self.mean]
        if self.band is not None and self.coverage is not None:
            box = None if self.categories is None else CATEGORY_WIDTH
            style = {"label": draw.interval_label(self.coverage), "zorder": 1}
            self.band_ = draw.draw_band(ax, self.grid, self.band.T, box, **style)
            curves.append(self.band)
        self.unit_lines_ = self._draw_units(ax)
        area = draw.ROW_AREA if self.units is None else draw.ROW_AREA / 2.0
        self.scatter_ = self._draw_rows(ax, alpha=0.45, s=area)
        self.curves_ = [self._draw_curve(ax, k) for k in range(self.gate.shape[1])]
        style = {"color": "black", "linewidth": 1.2, "label": "mixture", "zorder": 4}
        marks = {"linestyle": "none", "marker": "_", "markersize": 14}
        style |= {"linestyle": "--"} if self.categories is None else marks
        (self.line_,) = ax.plot(self.grid, self.mean, **style)
        self._set_limits(ax, curves)
        draw.label_target(ax, self.target_name)
        draw.label_feature(ax, self.feature_name, self.categories, self.feature_note)
        self._draw_legend(ax)

    def _draw_curve(self, ax: Any, k: int) -> Any:
        """A collection of lines of an expert, with the probability of the gate as opacity.

        Line collections have no dashes that run on, so that experts differ by their markers.
        """
        from matplotlib.collections import LineCollection

        points, shown = np.column_stack([self.grid, self.curves[:, k]]), self.gate[:, k]
        segments: Any = np.stack([points[:-1], points[1:]], axis=1)
        opacity, marks = (shown[1:] + shown[:-1]) / 2.0, draw.marked_points(len(points), k)
        if self.categories is not None:
            side = np.array([CATEGORY_WIDTH, 0.0])
            segments = np.stack([points - side, points + side], axis=1)
            opacity, marks = shown, list(range(len(points)))
        style: dict[str, Any] = {"colors": _with_opacity(k, opacity), "linewidths": 3.0}
        lines = ax.add_collection(LineCollection(segments, zorder=3, capstyle="butt", **style))
        marks = [i for i in marks if shown[i] >= MIN_PROBABILITY_SHOWN]
        fill = _with_opacity(k, shown[marks])
        edge = np.column_stack([np.ones((len(marks), 3)), fill[:, 3]])
        style = {"c": fill, "edgecolors": edge, "linewidths": 0.6, "marker": draw.marker(k)}
        ax.scatter(*points[marks].T, s=42, zorder=3.5, **style)
        return lines

    def _draw_legend(self, ax: Any) -> None:
        from matplotlib.lines import Line2D

        handles = [
            draw.expert_handle(k, name, linestyle="-", linewidth=3)
            for k, name in enumerate(draw.in_legend(self.expert_names))
        ]
        handles += [self.line_] + ([] if self.band_ is None else [self.band_])
        rows = "rows, by expert" if self.units is None else "rows, by the\nexpert of the unit"
        rows += "\n(of the class: top)" * self.is_probability
        style: dict[str, Any] = {"marker": "|" if self.is_probability else "o", "markersize": 5}
        style["linestyle"] = "none" if self.unit_lines_ is None else "-"
        handles.append(Line2D([], [], color=draw.LIGHT_GREY, linewidth=0.7, label=rows, **style))
        self.legend_ = draw.expert_legend(ax, handles)
        self.legend_.set_title(f"Opacity: {self.gate_name}\nprobability")


def _with_opacity(k: int, probability: Array) -> Array:
    """The colour of an expert, (n, 4), as opaque as its probability."""
    opacity = MIN_OPACITY + (1.0 - MIN_OPACITY) * probability
    return np.column_stack([np.tile(draw.rgb(k), (len(opacity), 1)), opacity])
