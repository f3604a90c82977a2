"""Predictions of the experts over a feature, and mean courses of units over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Self

import numpy as np
from sklearn.base import is_classifier

from skmoe._data.checks import check_flag, has_bounds
from skmoe._data.rows import Rows, index_rows
from skmoe._data.units import encode_units
from skmoe._estimators.methods.inference import infer_means
from skmoe._estimators.methods.input_steps import mixture_of
from skmoe._numerics.probability import weighted_quantiles
from skmoe._numerics.typing import Array
from skmoe._optional import import_pyplot
from skmoe.distributions import check_coverage
from skmoe.inspection import _style as draw
from skmoe.inspection import _subject as subject

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
    categories: Sequence[str] | None = None
    censored: Array | None = None

    def _draw_rows(self, ax: Any, rows: Any = slice(None), **style: Any) -> Any:
        """Draw some of the rows in the colours of their experts."""
        style["c"] = [draw.colour(k) for k in self.assigned_expert[rows]]
        kinds = self.categories is not None, self.is_probability
        hollow = None if self.censored is None else self.censored[rows]
        return draw.draw_rows(ax, self.x[rows], self.y[rows], kinds, hollow, **style)

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
        margin = subject.ROWS_MARGIN * (ends[1] - ends[0])
        ax.set_xlim(ends[0] - margin, ends[1] + margin)
        inside = (self.x >= ends[0]) & (self.x <= ends[1])
        heights = np.concatenate([np.ravel(each) for each in curves])
        limits = subject.height_limits(self.y[inside], heights)
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
    categories : list of str of length n_points, default=None
        Labels of the categories of the feature, if it has any.
    censored : ndarray of bool of shape (n_shown,), default=None
        Rows whose y is a bound, which are hollow; None if y is not censored.
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
            `coverage=None`). Also if the number of rows is not at least two, or if a course of
            `trajectories` has powers of time.
        """
        subject.check_no_powers(cls, estimator)
        estimator, X, note, labels, names = subject.drawn_mixture(cls, estimator, X)
        chosen = subject.check_panels("features", features, estimator, most=1)
        check_flag("adjust", adjust)
        coverage = None if coverage is None else check_coverage(coverage)
        given = Rows(X, y, None, offset, units, time=time)
        targets = subject.observed_rows(estimator, given, target)
        is_class = is_classifier(estimator)
        if not chosen:
            effects = [subject.changes_over_features(X, rows.by_experts) for rows in targets]
            chosen = [[subject.leading_feature(estimator, X, np.hstack(effects))]]
        at_exposure_one = None if offset is None else np.zeros(np.shape(offset)[1:])
        panels, each = [], np.arange(X.shape[0])
        for rows, (j,) in product(targets, chosen):
            axis = subject.feature_axis(X, j, labels[j])
            points = axis.points(X)
            of_grid = estimator, points, rows.target
            shown = rows.shown(np.isfinite(axis.observed), subsample)
            name, heights = rows.heights(j, adjust)
            panels.append(
                cls(
                    **rows.over(axis, shown, heights[each, rows.assigned_expert]),
                    feature_name=axis.name,
                    target_name=name,
                    gate=subject.gate_of_features(estimator, points),
                    mean=subject.predicted_mean(*of_grid),
                    band=subject.interval_band(*of_grid, coverage, at_exposure_one),
                    coverage=None if is_class else coverage,
                    is_probability=is_class,
                    expert_names=names,
                    feature_note=note,
                    gate_name="long-run" if subject.has_series(estimator) else "gate",
                )
            )
        return cls._of_panels(panels).plot(ax)

    def _draw_panel(self, ax: Any) -> None:
        from matplotlib.lines import Line2D

        visible = np.where(self.gate >= MIN_PROBABILITY_SHOWN, self.curves, np.nan)
        box = None if self.categories is None else CATEGORY_WIDTH
        style = {"label": draw.interval_label(self.coverage), "zorder": 1}
        ends = None if self.band is None else self.band.T
        self.band_ = draw.draw_band(ax, self.grid, ends, box, **style)
        self.unit_lines_ = self._draw_units(ax)
        area = draw.ROW_AREA if self.units is None else draw.ROW_AREA / 2.0
        self.scatter_ = self._draw_rows(ax, alpha=0.45, s=area)
        self.curves_ = [self._draw_curve(ax, k) for k in range(self.gate.shape[1])]
        style = {"color": "black", "linewidth": 1.2, "label": "mixture", "zorder": 4}
        marks = {"linestyle": "none", "marker": "_", "markersize": 14}
        style |= {"linestyle": "--"} if self.categories is None else marks
        (self.line_,) = ax.plot(self.grid, self.mean, **style)
        self._set_limits(ax, [visible, self.mean, *([] if self.band is None else [self.band])])
        draw.label_target(ax, self.target_name)
        draw.label_feature(ax, self.feature_name, self.categories, self.feature_note)
        names, line = draw.in_legend(self.expert_names), {"linestyle": "-", "linewidth": 3}
        handles = [draw.expert_handle(k, name, **line) for k, name in enumerate(names)]
        handles += [self.line_, self.band_]
        rows = "rows, by expert" if self.units is None else "rows, by the\nexpert of the unit"
        rows += "\n(of the class: top)" * self.is_probability
        mark: dict[str, Any] = {"marker": "|" if self.is_probability else "o", "markersize": 5}
        mark["linestyle"] = "none" if self.unit_lines_ is None else "-"
        handles.append(Line2D([], [], color=draw.LIGHT_GREY, linewidth=0.7, label=rows, **mark))
        self.legend_ = draw.expert_legend(ax, handles)
        self.legend_.set_title(f"Opacity: {self.gate_name}\nprobability")

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


def _with_opacity(k: int, probability: Array) -> Array:
    """The colour of an expert, (n, 4), as opaque as its probability."""
    return draw.faded(k, MIN_OPACITY + (1.0 - MIN_OPACITY) * probability)


# Opacity of units and rows, above which mean courses are seen.
UNIT_OPACITY = 0.3

# Quantiles of the times of an expert between which its course is drawn.
ENDS = np.array([0.01, 0.99])

# Observed means are at each time, if there are no more, and otherwise in this many intervals. They
# are of at least this many rows.
MAX_TIMES, N_INTERVALS, MIN_ROWS = 20, 12, 1.0


@dataclass(kw_only=True, eq=False, repr=False)
class TrajectoriesDisplay(RowsOverFeature):
    """Mean course of each expert over time, with the units that belong to it.

    There is a panel for each expert, a group of trajectories. The thick curve is its prediction
    with the other features at their medians, from the first to the last hundredth of the times of
    its rows. The band is a confidence interval of this mean, by the delta method from `inference`.
    Points are means of the observed y, weighted by the responsibilities: at each time, or if there
    are many times in intervals with about as many rows. The thin lines are units that are assigned
    to the expert, since it has their largest responsibility; rows without units are points. With
    `random_features` they are predictions of each unit from its rows, and y otherwise. Above a
    panel is its mean responsibility, the share of the group.

    Of classes, and of a y of 0 and 1, the courses are shares; marks at the top are rows of the
    class, or of 1, and those at the bottom the others. Censored values are drawn at their bounds,
    without means. See "Trajectories for a paper" in the user guide.

    Parameters
    ----------
    expert_names : list of str of length n_experts
        Names of the experts.
    panels : list of TrajectoriesDisplay, default=None
        The displays of several classes; None for one.
    target_name : str
        Label of the axis of y.
    grid : ndarray of shape (n_points,)
        Values of time; positions of categories.
    curves : ndarray of shape (n_points, n_experts)
        Predictions of each expert, in the units of y, or its probabilities of the class. NaN beyond
        the times of its rows.
    coverage : float or None
        Nominal coverage of the bands.
    x, y : ndarray of shape (n_shown,)
        The rows shown; for classes y is 1 for the class and 0 for the others.
    assigned_expert : ndarray of shape (n_shown,)
        The expert with the largest responsibility for each of them, or for its unit.
    is_probability : bool, default=False
        Whether the curves are probabilities of a class, or y is 0 or 1.
    units : ndarray of shape (n_shown,), default=None
        Labels of the units of the rows shown; None for rows without units.
    categories : list of str of length n_points, default=None
        Labels of times that are categories.
    censored : ndarray of bool of shape (n_shown,), default=None
        Rows whose y is a bound, which are hollow; None if y is not censored.
    time_name : str
        Label of the axis of time.
    bands : list of ndarray of shape (n_points, 2), or None
        Confidence intervals of the mean of each expert.
    mean_times, means : ndarray of shape (n_times, n_experts), or None
        Mean times, and means of the observed y there, weighted by the responsibilities of each
        expert; NaN where it has no rows. None for censored y.
    shares : ndarray of shape (n_experts,)
        Mean responsibilities.
    n_units : int, default=None
        Number of units, of which some are shown; None for rows without units.

    Attributes
    ----------
    ax_ : ndarray of matplotlib axes of shape (n_experts,)
        Axes of the plot; of several classes one after another.
    figure_ : matplotlib figure
        Figure of the plot.
    lines_ : list of matplotlib lines
        The mean courses.
    bands_ : list of matplotlib collections
        The confidence intervals.
    points_ : list of matplotlib lines
        The means of the observed y.
    unit_lines_ : list of matplotlib collections
        Lines of the units of each panel, or its rows.

    See Also
    --------
    skmoe.recipes.trajectories : A mixture of courses over time.
    ExpertsDisplay : The experts over any feature, in one panel.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.inspection import TrajectoriesDisplay
    >>> from skmoe.recipes import trajectories
    >>> unit, year = np.repeat(np.arange(40), 5), np.tile(np.arange(5.0), 40)
    >>> y = np.where(unit % 3, year, 4.0 - year) + np.random.default_rng(0).normal(size=200)
    >>> X = year[:, None]
    >>> groups = trajectories(2, time=0, degree=1, random_state=0).fit(X, y, units=unit)
    >>> TrajectoriesDisplay.from_estimator(groups, X, y, units=unit).curves[[0, -1]].round(0)
    array([[0., 4.],
           [4., 0.]])
    """

    time_name: str
    bands: Sequence[Array] | None
    mean_times: Array | None
    means: Array | None
    shares: Array
    n_units: int | None = None

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        time: Any = 0,
        units: Any = None,
        target: Any = None,
        coverage: float | None = 0.95,
        subsample: int | None = 1000,
        offset: Any = None,
        ax: Any = None,
    ) -> Self:
        """Draw the courses of a fitted mixture.

        Parameters
        ----------
        estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
            Fitted mixture, or a pipeline or search that ends in one, such as `trajectories`.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to show, as the pipeline takes them.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed target.
        time : int or str, default=0
            The feature along the horizontal axis, by index or name.
        units : array-like of shape (n_samples,), default=None
            Units of the rows, as in `fit`; None for rows.
        target : class label or int, default=None
            The class whose probability is drawn, or the index of the output, which is needed for
            several outputs. None is `classes_[1]` of two classes, and panels for each of more.
        coverage : float, default=0.95
            Nominal coverage of the confidence intervals. None for no band; experts without
            standard errors, such as trees, have none.
        subsample : int, default=1000
            Number of rows to show, a random sample that is the same each time; None for all. With
            `units` it consists of whole units.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors of the rows, as in `fit`. Their y is drawn per unit of
            exposure, as are the curves.
        ax : matplotlib axes or array-like of axes, default=None
            Axes to draw on, one for each panel, or a single one that the panels replace. None for
            new ones.

        Returns
        -------
        display : TrajectoriesDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator does not end in a mixture of experts.
        ValueError
            If the time, the class or the output is missing or unknown, if the coverage is not
            between 0 and 1, or if the number of rows is not at least two.
        """
        import_pyplot(f"{cls.__name__}.from_estimator")
        mixture = mixture_of(estimator)
        if subject.has_series(mixture):
            raise ValueError(
                f"{cls.__name__} needs rows or units that keep their expert; those of "
                'gate="markov" change it in time. Use CourseDisplay, the course of one unit.'
            )
        coverage = None if coverage is None else check_coverage(coverage)
        (j,) = subject.check_features("time", time, estimator, most=1)
        table = subject.check_table(mixture, X)
        labels, _ = subject.check_input_columns("time", time, estimator, table)
        axis = subject.feature_axis(table, j, labels[j])
        points = axis.points(table)
        rows, has_value = Rows(table, y, None, offset, units), np.isfinite(axis.observed)
        errors = None if coverage is None else infer_means(mixture, points, rows)
        panels = []
        for drawn in subject.observed_rows(mixture, rows, target):
            shown = drawn.shown(has_value, subsample)
            known = has_value & ~np.isnan(drawn.observed)
            times, means, is_inside = _means_over_time(axis, known, drawn)
            heights = drawn.observed
            if units is not None and hasattr(mixture, "random_covariance_"):
                heights = _courses_of_units(drawn, rows)
            fields = drawn.over(axis, shown, heights)
            fields["curves"] = np.where(is_inside, fields["curves"], np.nan)
            bands = None
            if errors is not None and coverage is not None:
                of_experts = subject.confidence_bands(drawn, points, errors, coverage)
                pairs = zip(of_experts, is_inside.T[..., None], strict=True)
                bands = [np.where(is_drawn, band, np.nan) for band, is_drawn in pairs]
            is_binary = bool(np.isin(drawn.observed[known], (0.0, 1.0)).all())
            is_named = is_classifier(mixture) or not is_binary
            panels.append(
                cls(
                    **fields,
                    time_name=axis.name,
                    target_name=drawn.name if is_named else f"Share of {drawn.name} = 1",
                    bands=bands,
                    coverage=coverage,
                    mean_times=times,
                    means=None if has_bounds(y) else means,
                    shares=drawn.shares,
                    n_units=None if units is None else len(np.unique(units)),
                    is_probability=is_binary,
                    expert_names=subject.names_of_experts(mixture),
                )
            )
        return cls._of_panels(panels).plot(ax)

    def _draw(self, ax: Any) -> Any:
        blocks, n_experts = self.panels or [self], len(self.shares)
        n_columns = -(-n_experts // -(-n_experts // draw.MAX_GRID_COLUMNS))
        size = draw.GRID_PANEL_SIZE[0] * max(2 / n_columns, 1.0), draw.GRID_PANEL_SIZE[1]
        panels = self._axes(ax, n_experts * len(blocks), size, n_columns)
        each = zip(panels, product(blocks, range(n_experts)), strict=True)
        drawn = [block.draw_course(axes, k) for axes, (block, k) in each]
        self.lines_, self.bands_, self.points_, self.unit_lines_ = (
            [artist for artist in artists if artist is not None]
            for artists in zip(*drawn, strict=True)
        )
        for i, axes in enumerate(panels):
            if i % n_columns:
                axes.set_ylabel("")
        draw.label_below(panels, [self._caption()], is_own=ax is None)
        return panels

    def draw_course(self, ax: Any, k: int) -> tuple[Any, Any, Any, Any]:
        """Draw the mean course of an expert, its band, observed means, and its units or rows.

        Parameters
        ----------
        ax : matplotlib axes
            Where they are drawn.
        k : int
            Index of the expert.

        Returns
        -------
        line, band, points, members : matplotlib artists or None
            The course, its band, observed means, and units or rows.
        """
        own, curve = np.flatnonzero(self.assigned_expert == k), self.curves[:, k]
        members = self._draw_units(ax, own)
        if members is None:
            members = self._draw_rows(ax, own, s=8.0)
        members.set_alpha(UNIT_OPACITY)
        ax.plot(self.grid, curve, color="white", linewidth=5.0, zorder=2.9)
        (line,) = ax.plot(self.grid, curve, color=draw.colour(k), linewidth=2.5, zorder=3)
        band, points, heights = None, None, [self.curves, *(self.bands or [])]
        if self.bands is not None:
            ends, above = self.bands[k].T, 2.95  # the border of the course
            band = draw.draw_band(ax, self.grid, ends, color=draw.colour(k), zorder=above)
        if self.means is not None and self.mean_times is not None:
            style: dict[str, Any] = {"linestyle": "none", "marker": draw.marker(k), "markersize": 5}
            style |= {"markeredgecolor": draw.colour(k), "markerfacecolor": "white"}
            (points,) = ax.plot(self.mean_times[:, k], self.means[:, k], **style, zorder=3.5)
            heights.append(self.means)
        self._set_limits(ax, heights, own)
        draw.label_feature(ax, self.time_name, self.categories, "")
        draw.label_target(ax, self.target_name)
        draw.head_expert(ax, k, self.expert_names, self.shares, of_units=self.units is not None)
        return line, band, points, members

    def _caption(self) -> str:
        """What lines, points and bands are."""
        notes = []
        if self.units is not None and not self.is_probability:
            n_shown = len(np.unique(self.units))
            some = f", {n_shown} of {self.n_units} in all" if n_shown < (self.n_units or 0) else ""
            notes.append(f"Thin lines: units of the expert{some}.")
        if self.means is None:
            notes.append("Censored values are at their bounds.")
        else:
            notes.append("Points: observed means, weighted by the responsibilities.")
        if self.coverage is not None and self.bands is not None:
            notes.append(f"Band: {100 * self.coverage:.3g} % confidence interval of the mean.")
        return " ".join(notes)


def _courses_of_units(drawn: subject.ObservedRows, rows: Rows) -> Array:
    """Predictions (n,) of rows from all rows of their units, which rows without y have."""
    y, twice = np.asarray(rows.y, dtype=float), np.tile(np.arange(rows.n_rows), 2)
    y = np.concatenate([y, np.full_like(y, np.nan)])
    known = {"y": y, "units": np.asarray(rows.unit)[twice]}
    found = drawn.estimator.predict(index_rows(rows.X, twice), **known)[rows.n_rows :]
    return subject.one_target(found, drawn.target, 1)


def _means_over_time(
    axis: subject.FeatureAxis, has_value: Array, drawn: subject.ObservedRows
) -> tuple[Array, Array, Array]:
    """Mean times (T, K) and means of y there (T, K), and whether points of the grid are drawn.

    An expert is drawn from its first to its last time. Where it has no more than a row, or is not
    drawn, means are NaN.
    """
    x, y, resp = axis.observed[has_value], drawn.observed[has_value], drawn.resp[has_value]
    ends = np.stack([weighted_quantiles(x, weight, ENDS) for weight in resp.T], axis=1)
    margin = 1e-9 * (ends[1] - ends[0])

    def is_inside(times: Array) -> Array:
        return (times >= ends[0] - margin) & (times <= ends[1] + margin)

    distinct, number = np.unique(x, return_inverse=True)
    if len(distinct) > MAX_TIMES:
        edges = np.unique(np.quantile(x, np.linspace(0.0, 1.0, N_INTERVALS + 1)[1:-1]))
        number = np.searchsorted(edges, x, side="right")
    member = np.eye(number.max() + 1)[number.ravel()].T
    # Means per unit of exposure are weighted by it.
    weight = resp if drawn.exposure is None else resp * drawn.exposure[has_value, None]
    with np.errstate(invalid="ignore"):
        total = member @ weight
        times = member @ (weight * x[:, None]) / total
        means = member @ (weight * y[:, None]) / total
    is_drawn = (member @ resp >= MIN_ROWS) & is_inside(times)
    return times, np.where(is_drawn, means, np.nan), is_inside(axis.positions[:, None])
