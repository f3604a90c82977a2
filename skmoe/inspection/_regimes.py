"""Where and when each expert is chosen: by the gate, with the experts below, and over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Self

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils import check_consistent_length

from skmoe._data.checks import check_flag, shown
from skmoe._data.rows import Rows
from skmoe._estimators.methods.series import transition_probabilities
from skmoe._inference.labels import printable_name
from skmoe._numerics.typing import Array
from skmoe.distributions import check_coverage
from skmoe.inspection import _style as draw
from skmoe.inspection import _subject as subject
from skmoe.inspection._experts import CATEGORY_WIDTH

# Intensity of regions in which all experts are equally probable, and in which one is certain.
INTENSITIES = 0.15, 0.85

# Points of the grid for each of two features.
N_POINTS_OF_PAIR = 100

# Panels side by side, at most, their size, the width of the name of y at their left, and the height
# of the gate above them, in inches.
MAX_REGIME_COLUMNS, REGIME_SIZE, TARGET_NAME_WIDTH, GATE_HEIGHT = 4, (2.8, 2.5), 0.4, 2.0

# Rows of a smaller responsibility are not drawn; the opacity of a row that is certain.
MIN_RESPONSIBILITY_SHOWN, MAX_ROW_OPACITY = 0.02, 0.6

# Opacity of a line beyond the rows of its expert.
OUTSIDE_OPACITY = 0.3


@dataclass(kw_only=True, eq=False, repr=False)
class GateDisplay(draw.DisplayOfPanels):
    """Probabilities of the gate over one feature or two.

    Over one feature each expert has a line, or marks where the feature has categories. Over two,
    each point has the colour of its most probable expert, with an intensity that increases with its
    probability: it is white where all experts are equally probable.

    Several panels make a grid, with a display for each in `panels`; the arrays are then those of
    the first one. With `gate="markov"` there is a panel for each expert of the row before, with the
    probabilities of transitions, over one feature. See "Displays" in the user guide, and "When did
    the flow of the Nile change?" in the gallery.

    Parameters
    ----------
    expert_names : list of str of length n_experts
        Names of the experts.
    panels : list of GateDisplay, default=None
        The displays of a grid; None for one panel.
    feature_names : list of str
        Names of the one or two features drawn.
    values : list of ndarray of shape (n_points,)
        Grid of each feature, in the units of X; positions of categories.
    gate : ndarray of shape (n_points, n_experts) or (n_points, n_points, n_experts)
        Gate probabilities on the grid; with two features the first axis is the second feature.
    categories : list of str of length n_points, default=None
        Labels of the categories of the feature, if it has any.
    feature_note : str, default=""
        What the features are, if they are not those of the input of a pipeline.
    gate_name : str, default="Gate probability"
        Label of the axis of the probabilities.

    Attributes
    ----------
    ax_ : matplotlib axes, or ndarray of shape (n_panels,) of them
        Axes of the plot.
    figure_ : matplotlib figure
        Figure of the plot.
    lines_ : list of matplotlib lines
        One for each expert; with one feature.
    image_ : matplotlib image
        The regions; with two features.
    legend_ : matplotlib legend
        Legend.

    See Also
    --------
    ExpertsDisplay : Predictions of the experts over a feature.
    RegimesDisplay : The gate over its strongest feature, with the experts below.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.inspection import GateDisplay
    >>> X = np.random.default_rng(0).uniform(-3, 3, size=(200, 2))
    >>> y = 1 - np.abs(X[:, 0]) + 0.1 * X[:, 1]
    >>> moe = MixtureOfExpertsRegressor(n_experts=2, random_state=0).fit(X, y)
    >>> display = GateDisplay.from_estimator(moe, X, features=(0, 1))
    >>> display.gate.shape
    (100, 100, 2)
    >>> display.ax_.get_xlabel()
    'x0'
    """

    feature_names: Sequence[str]
    values: Sequence[Array]
    gate: Array
    categories: Sequence[str] | None = None
    feature_note: str = ""
    gate_name: str = "Gate probability"

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, features: Any = None, *, ax: Any = None
    ) -> Self:
        """Draw the gate of a fitted mixture.

        Parameters
        ----------
        estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
            Fitted mixture, or a pipeline or search that ends in one.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows that determine the ranges of the features. Features that are not drawn are at
            their medians in X, categories at the most frequent one.
        features : int, str, tuple of two of these, or list of these, default=None
            A feature along the horizontal axis, or a tuple of two, the second along the vertical
            axis. A list makes a grid with a panel for each of its entries. None is the feature on
            which the gate depends most: the one with the largest range of log odds for one standard
            deviation.
        ax : matplotlib axes or array-like of axes, default=None
            Axes to draw on; None for new ones. A grid takes one for each panel, or a single one
            that the panels replace.

        Returns
        -------
        display : GateDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator does not end in a mixture of experts.
        ValueError
            If a panel has more than two features, if one is unknown or constant, or if one of two
            features is not numeric, or the gate is "markov".
        """
        estimator, X, note, labels, names = subject.drawn_mixture(cls, estimator, X)
        chosen = subject.check_panels("features", features, estimator, most=2)
        origins = range(len(names)) if subject.has_series(estimator) else [0]
        panels = [
            cls(**gate_over(estimator, X, columns, labels, origin), feature_note=note)
            for columns in chosen or [[subject.leading_feature(estimator, X)]]
            for origin in origins
        ]
        return cls._of_panels(panels).plot(ax)

    def _draw_panel(self, ax: Any) -> None:
        handles = self._draw_lines(ax) if len(self.values) == 1 else self._draw_regions(ax)
        self.legend_ = draw.expert_legend(ax, handles)
        if len(self.values) == 2:
            self.legend_.set_title("Most probable\n(pale: uncertain)")

    def _draw_lines(self, ax: Any) -> list[Any]:
        """Draw the probabilities over one feature; returns handles of a legend."""
        self.lines_: list[Any] = []
        names = draw.in_legend(self.expert_names)
        for k, (name, probability) in enumerate(zip(names, self.gate.T, strict=True)):
            style = draw.curve_style(k, len(probability), is_category=self.categories is not None)
            self.lines_ += ax.plot(self.values[0], probability, label=name, **style)
        ax.set(ylim=(-0.03, 1.03), xlim=self.values[0][[0, -1]])
        draw.label_target(ax, self.gate_name)
        draw.label_feature(ax, self.feature_names[0], self.categories, self.feature_note)
        return [draw.expert_handle(k, name) for k, name in enumerate(names)]

    def _draw_regions(self, ax: Any) -> list[Any]:
        """Draw the most probable experts over two features; returns handles of a legend."""
        from matplotlib.patches import Patch

        horizontal, vertical = self.values
        extent = horizontal[0], horizontal[-1], vertical[0], vertical[-1]
        image: dict[str, Any] = {"extent": extent, "aspect": "auto", "interpolation": "nearest"}
        colours = draw.region_colours(self.gate, *INTENSITIES)
        self.image_ = ax.imshow(colours, origin="lower", **image)
        draw.label_feature(ax, self.feature_names[0], None, self.feature_note)
        draw.label_target(ax, self.feature_names[1])
        names = draw.in_legend(self.expert_names)
        shown = np.unique(self.gate.argmax(axis=2)).tolist()
        return [Patch(color=draw.colour(k), label=names[k]) for k in shown]


def gate_over(
    estimator: Any, X: Any, columns: list[int], labels: Sequence[str], origin: int | None
) -> dict[str, Any]:
    """Grid and probabilities over one feature or two.

    Of series the probabilities are those of transitions from an expert, or for None of staying.
    """
    is_pair = len(columns) == 2
    n_points = N_POINTS_OF_PAIR if is_pair else subject.N_POINTS
    axes = [subject.feature_axis(X, j, labels[j], n_points, as_numbers=is_pair) for j in columns]
    categories = [labels[axis.column] for axis in axes if axis.categories is not None]
    if is_pair and categories:
        raise ValueError(
            f"Features in pairs must be numbers; {categories[0]!r} is none. Choose another feature."
        )
    if is_pair and subject.has_series(estimator):
        raise ValueError(
            'features must be drawn one at a time with gate="markov", which has probabilities '
            f"after each expert. Pass a list of two: features={list(columns)}."
        )
    points, names = np.meshgrid(*(axis.grid for axis in axes)), subject.names_of_experts(estimator)
    rows = subject.make_grid(X, columns, np.stack([values.ravel() for values in points], axis=1))
    if subject.has_series(estimator):
        moves = transition_probabilities(estimator, rows)
        gate, gate_name = np.diagonal(moves, axis1=1, axis2=2), "Probability of staying"
        if origin is not None:
            gate, gate_name = moves[:, origin], f"Probability after\n{names[origin]}"
    else:
        gate_name = GateDisplay.gate_name
        gate = estimator.predict_gate(rows).reshape(*points[0].shape, -1)
    return {
        "expert_names": names,
        "gate_name": gate_name,
        "feature_names": [axis.name for axis in axes],
        "values": [axis.positions for axis in axes],
        "gate": gate,
        "categories": axes[0].categories,
    }


@dataclass(kw_only=True, eq=False, repr=False)
class RegimesDisplay(draw.DisplayOfPanels):
    """Regimes at a glance: where the gate chooses each expert, and what it does there.

    Above, the probabilities of the gate over the feature on which it depends most; with
    `gate="markov"` those with which each expert of a row is that of the next one. Below, a panel
    for each expert. A panel has the rows, as opaque as the responsibility of the expert for them,
    and the prediction of the expert over the feature with its largest effect. A line is pale beyond
    the rows that belong to the expert, and a feature with categories, or with two values such as 0
    and 1, has marks instead. Other features are at their medians, and rows are drawn as partial
    residuals, with the effect of the other features under this expert removed. The axes end before
    rows that are far beyond the others.

    It corresponds to the picture of a model-based tree [1]_, which shows the splits above and the
    model of each leaf below.

    Of a classifier, the predictions are probabilities of one class; marks at the top are the rows
    of that class, marks at the bottom the other rows. Several classes have panels of their own, by
    the displays in `panels`; the arrays are then those of the first one.

    See "Displays" in the user guide, and "What do pictures of a fit show?" in the gallery.

    Parameters
    ----------
    expert_names : list of str of length n_experts
        Names of the experts.
    panels : list of RegimesDisplay, default=None
        The displays of several classes; None for one target.
    gate : GateDisplay or None
        The gate over one feature; None for one expert.
    shares : ndarray of shape (n_experts,)
        Mean responsibility of each expert.
    feature_names : list of str of length n_experts
        The feature of each panel.
    grids : list of ndarray of shape (n_points,)
        Values of the feature of each panel; positions of categories.
    curves : list of ndarray of shape (n_points,)
        Prediction of each expert over its feature.
    x, y : list of ndarray of shape (n_shown,)
        The rows in the panel of each expert; for classes y is 1 for the class and 0 for others.
    responsibilities : ndarray of shape (n_shown, n_experts)
        Responsibilities for the rows, which are their opacity.
    target_name : str
        Label of the vertical axes.
    categories : list
        Labels of the categories of the feature of each panel; None for those with numbers.
    is_probability : bool, default=False
        Whether the curves are probabilities of a class.
    of_units : bool, default=False
        Whether the shares are those of units.
    censored : ndarray of bool of shape (n_shown,), default=None
        Rows whose y is a bound, which are hollow; None if y is not censored.

    Attributes
    ----------
    ax_ : ndarray of shape (1 + n_panels,) of matplotlib axes
        Axes of the gate and of each expert, for one class after another; without the first for one
        expert.
    figure_ : matplotlib figure
        Figure of the plot.
    lines_ : list of matplotlib lines
        The prediction in each panel.
    scatters_ : list of matplotlib collections
        The rows in each panel.

    See Also
    --------
    ExpertsDisplay : All experts over one feature, with intervals.
    GateDisplay : The gate over one feature or two.

    References
    ----------
    .. [1] A. Zeileis, T. Hothorn and K. Hornik (2008), "Model-based recursive partitioning",
       Journal of Computational and Graphical Statistics 17, 492-514.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.inspection import RegimesDisplay
    >>> X = np.linspace(-3, 3, 200)[:, None]
    >>> y = 1 - np.abs(X[:, 0]) + 0.1 * np.sin(40 * X[:, 0])
    >>> moe = MixtureOfExpertsRegressor(n_experts=2, random_state=0).fit(X, y)
    >>> display = RegimesDisplay.from_estimator(moe, X, y)
    >>> sorted(round(float(curve[-1] - curve[0])) for curve in display.curves)
    [-6, 6]
    """

    gate: GateDisplay | None
    shares: Array
    feature_names: Sequence[str]
    grids: Sequence[Array]
    curves: Sequence[Array]
    x: Sequence[Array]
    y: Sequence[Array]
    responsibilities: Array
    target_name: str
    categories: Sequence[Any]
    is_probability: bool = False
    of_units: bool = False
    censored: Array | None = None

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        gate_feature: Any = None,
        features: Any = None,
        target: Any = None,
        adjust: bool = True,
        subsample: int | None = 1000,
        units: Any = None,
        time: Any = None,
        offset: Any = None,
        ax: Any = None,
    ) -> Self:
        """Draw gate and experts of a fitted mixture.

        Parameters
        ----------
        estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
            Fitted mixture, or a pipeline or search that ends in one.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to show.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed target.
        gate_feature : int or str, default=None
            The feature of the gate; None for the one on which it depends most.
        features : int or str, default=None
            One feature for all experts; None for the feature that changes the prediction of each
            most.
        target : class label or int, default=None
            The class whose probability is drawn, or the index of the output, which is needed for
            several outputs. None is `classes_[1]` of two classes, and panels for each of more.
        adjust : bool, default=True
            Whether the rows of a regressor are drawn as partial residuals; otherwise with their
            own y.
        subsample : int, default=1000
            Number of rows to show, a random sample that is the same each time; None for all. With
            `units` it consists of whole units.
        units : array-like of shape (n_samples,), default=None
            Units of the rows, as in `fit`; None for rows.
        time : array-like of shape (n_samples,), default=None
            Order of the rows of a series, as in `fit` with `gate="markov"`.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors of the rows, as in `fit`. Their y is drawn per unit of
            exposure, as are the curves.
        ax : matplotlib axes, default=None
            Axes that the panels replace; None for a new figure.

        Returns
        -------
        display : RegimesDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator does not end in a mixture of experts.
        ValueError
            If a feature, the class or the output is missing or unknown. Also if a course of
            `trajectories` has powers of time.
        """
        subject.check_no_powers(cls, estimator)
        estimator, X, note, labels, names = subject.drawn_mixture(cls, estimator, X)
        of_gate, of_experts = (
            None if value is None else subject.check_features(name, value, estimator, 1)[0]
            for name, value in (("gate_feature", gate_feature), ("features", features))
        )
        check_flag("adjust", adjust)
        given = Rows(X, y, None, offset, units, time=time)
        targets = subject.observed_rows(estimator, given, target)
        column = subject.leading_feature(estimator, X) if of_gate is None else of_gate
        gate = None
        if len(names) > 1:
            gate = GateDisplay(**gate_over(estimator, X, [column], labels, None), feature_note=note)
        displays = []
        for rows in targets:
            columns: list[Any] = [of_experts] * len(names)
            if of_experts is None:  # the feature with the largest effect on each, if there is any
                effects = subject.changes_over_features(X, rows.by_experts).T
                columns = [int(effect.argmax()) if effect.any() else column for effect in effects]
            axes = {j: subject.feature_axis(X, j, labels[j]) for j in columns}
            drawn = {
                j: (axis, rows.by_experts(axis.points(X)), *rows.heights(j, adjust))
                for j, axis in axes.items()
            }
            panels, curves, targets_drawn, heights = zip(*(drawn[j] for j in columns), strict=True)
            # All rows that can be drawn in every panel, so that the panels show the same rows.
            finite = [np.isfinite(axis.observed) for axis in panels]
            shown = rows.shown(np.all(finite, axis=0), subsample)
            displays.append(
                cls(
                    gate=gate,
                    expert_names=names,
                    shares=rows.shares,
                    feature_names=[axis.name for axis in panels],
                    grids=[axis.positions for axis in panels],
                    curves=[curve[:, k] for k, curve in enumerate(curves)],
                    x=[axis.observed[shown] for axis in panels],
                    y=[height[shown, k] for k, height in enumerate(heights)],
                    responsibilities=rows.resp[shown],
                    target_name=targets_drawn[0],
                    is_probability=is_classifier(estimator),
                    categories=[axis.categories for axis in panels],
                    of_units=rows.units is not None,
                    censored=None if rows.censored is None else rows.censored[shown],
                )
            )
        return cls._of_panels(displays).plot(ax)

    def _draw(self, ax: Any) -> Any:
        blocks, n_experts, with_gate = self.panels or [self], len(self.shares), bool(self.gate)
        n_rows = -(-n_experts // MAX_REGIME_COLUMNS)
        n_columns = -(-n_experts // n_rows)
        heights = [GATE_HEIGHT] * with_gate + [REGIME_SIZE[1]] * (n_rows * len(blocks))
        size = TARGET_NAME_WIDTH + REGIME_SIZE[0] * max(n_columns, 2), sum(heights)
        shape = {"nrows": len(heights), "ncols": n_columns, "height_ratios": heights}
        figure, cells = self._cells(ax, 1, size, **shape)
        axes: list[Any] = []
        if self.gate is not None:
            axes.append(figure.add_subplot(cells[0, :]))
            self.gate.plot(axes[0])
            self.gate.legend_.remove()  # the headings of the panels are the legend
        drawn = []
        for (i, block), k in product(enumerate(blocks), range(n_experts)):
            row, column = divmod(k, n_columns)
            axes.append(figure.add_subplot(cells[with_gate + i * n_rows + row, column]))
            drawn.append(block.draw_expert(axes[-1], k))
            if column:
                axes[-1].set_yticklabels([])
            else:
                draw.label_target(axes[-1], block.target_name)
        self.lines_, self.scatters_ = map(list, zip(*drawn, strict=True))
        return np.array(axes, dtype=object)

    def draw_expert(self, ax: Any, k: int) -> tuple[Any, Any]:
        """Draw the prediction of an expert, pale beyond its rows, and rows as its responsibility.

        Parameters
        ----------
        ax : matplotlib axes
            Where it is drawn.
        k : int
            Index of the expert.

        Returns
        -------
        line, rows : matplotlib artists
            The prediction, and the rows.
        """
        grid, curve, resp = self.grids[k], self.curves[k], self.responsibilities[:, k]
        x, y, categories = self.x[k], self.y[k], self.categories[k]
        shown = np.flatnonzero(resp >= MIN_RESPONSIBILITY_SHOWN)
        kinds = categories is not None, self.is_probability
        colours = draw.faded(k, MAX_ROW_OPACITY * resp[shown])
        hollow = None if self.censored is None else self.censored[shown]
        rows = draw.draw_rows(ax, x[shown], y[shown], kinds, hollow, c=colours)
        whole = {"color": draw.colour(k), "linewidth": 2.5, "zorder": 3}
        style = draw.curve_style(k, len(grid), is_category=categories is not None) | {"zorder": 3}
        if categories is None:
            ax.plot(grid, curve, **whole, alpha=OUTSIDE_OPACITY)
            curve = np.where(self._is_over_rows(k), curve, np.nan)
            style |= {"linestyle": "-", "linewidth": 2.5}
            ax.set_xlim(grid[[0, -1]])
        else:
            ax.hlines(curve, grid - CATEGORY_WIDTH, grid + CATEGORY_WIDTH, **whole)
        (line,) = ax.plot(grid, curve, **style)
        ax.set_ylim(self._limits())
        draw.label_feature(ax, self.feature_names[k], categories, "")
        draw.head_expert(ax, k, self.expert_names, self.shares, of_units=self.of_units)
        is_own = self.responsibilities.argmax(axis=1) == k
        draw.count_beyond(ax, x[is_own], y[is_own])
        return line, rows

    def _limits(self) -> tuple[float, float]:
        """Limits of the vertical axes: those of the rows that count, and of lines over them."""
        if self.is_probability:
            return draw.CLASS_LIMITS
        experts = range(len(self.shares))
        x, y = np.stack(self.x), np.stack(self.y)
        low, high = np.transpose([self.grids[k][[0, -1]] for k in experts])[..., None]
        counted = (self.responsibilities.T > 0.5) & (x >= low) & (x <= high)
        lines = np.concatenate([self.curves[k][self._is_over_rows(k)] for k in experts])
        return subject.height_limits(y[counted], lines)

    def _is_over_rows(self, k: int) -> Array:
        """Whether points of a line are between rows that belong to the expert, if it has any."""
        grid = self.grids[k]
        own = self.x[k][self.responsibilities.argmax(axis=1) == k]
        own = own if len(own) else grid
        return (grid >= own.min()) & (grid <= own.max())


# Intensity of the band of a regime that is certain, in which points and lines remain legible.
MAX_INTENSITY = 0.45

# Size of a panel with its legend, in inches.
COURSE_SIZE = (8.5, 3.2)

# Labels of dates, at most.
MAX_DATE_LABELS = 7

# What a band knows of a unit.
WHAT_IS_KNOWN = {"past": "from earlier rows", "now": "up to each row", "all": "from all rows"}


@dataclass(kw_only=True, eq=False, repr=False)
class CourseDisplay(draw.DisplayOfPanels):
    """Course of one unit over time, with its regimes as bands, for `gate="markov"`.

    Points are the observed y. The line is the prediction one step ahead, which knows the y of
    earlier rows only, and the grey band its predictive interval. Where y is missing, both go on as
    forecasts. The background has the colour of the most probable expert at each row, the paler the
    less certain it is: white where all experts are equally probable. Censored values are drawn at
    their bounds.

    Of a classifier, the line is the predicted probability of one class; marks at the top are rows
    of that class, marks at the bottom the other rows. See "Regimes that persist in time" in the
    user guide.

    Parameters
    ----------
    expert_names : list of str of length n_experts
        Names of the experts.
    panels : list of CourseDisplay, default=None
        The displays of several classes; None for one.
    times : ndarray of shape (n_rows,)
        Times of the rows of the unit, in their order: numbers or dates, or else numbers of rows.
    observed : ndarray of shape (n_rows,)
        Observed y, NaN where it is missing; for classes 1 for the class and 0 for the others.
    prediction : ndarray of shape (n_rows,)
        Predictions one step ahead, in the units of y, or probabilities of the class.
    regimes : ndarray of shape (n_rows, n_experts)
        Probabilities of the experts.
    target_name : str
        Label of the vertical axis.
    given : {"past", "now", "all"}, default="now"
        What the probabilities of the experts know of the unit.
    interval : ndarray of shape (n_rows, 2), default=None
        Predictive intervals one step ahead.
    coverage : float, default=None
        Nominal coverage of the intervals.
    unit : object, default=None
        Label of the unit; None for rows without units.
    time_name : str, default="Time"
        Label of the horizontal axis.
    is_probability : bool, default=False
        Whether the prediction is the probability of a class.

    Attributes
    ----------
    ax_ : matplotlib axes, or ndarray of shape (n_panels,) of them
        Axes of the plot.
    figure_ : matplotlib figure
        Figure of the plot.
    bands_ : matplotlib collection
        The regimes.
    line_ : matplotlib line
        The predictions.
    interval_ : matplotlib collection or None
        The intervals.
    scatter_ : matplotlib collection
        The observed rows.
    legend_ : matplotlib legend
        Legend.

    See Also
    --------
    TrajectoriesDisplay : Mean courses of units that keep their expert.
    GateDisplay : Transition probabilities over a feature.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.inspection import CourseDisplay
    >>> rng = np.random.default_rng(0)
    >>> regime = np.tile(np.repeat([0, 1], 25), 6)
    >>> X, machine = rng.normal(size=(300, 1)), np.repeat(["A", "B", "C"], 100)
    >>> y = np.where(regime, 3.0 - X[:, 0], X[:, 0]) + 0.3 * rng.normal(size=300)
    >>> moe = MixtureOfExpertsRegressor(2, gate="markov", gate_features=[], random_state=0)
    >>> moe = moe.fit(X, y, units=machine)
    >>> display = CourseDisplay.from_estimator(moe, X, y, units=machine, unit="B")
    >>> changes = np.diff(display.regimes.argmax(axis=1)) != 0
    >>> len(display.times), int(changes.sum())
    (100, 3)
    """

    times: Array
    observed: Array
    prediction: Array
    regimes: Array
    target_name: str
    given: str = "now"
    interval: Array | None = None
    coverage: float | None = None
    unit: Any = None
    time_name: str = "Time"
    is_probability: bool = False

    SIZE = COURSE_SIZE
    GRID = (COURSE_SIZE, 1)  # one below another

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        units: Any = None,
        time: Any = None,
        unit: Any = None,
        given: str = "now",
        target: Any = None,
        coverage: float | None = 0.9,
        offset: Any = None,
        ax: Any = None,
    ) -> Self:
        """Draw the course of one unit of a fitted mixture.

        Parameters
        ----------
        estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
            Fitted mixture with `gate="markov"`, or a pipeline or search that ends in one.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features of the unit, or of several units.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed target; NaN where it is missing, or not yet known.
        units : array-like of shape (n_samples,), default=None
            Units of the rows, as in `fit`; None if all rows are one series.
        time : array-like of shape (n_samples,), default=None
            Order of the rows of a unit, as in `fit`; None for that of the rows.
        unit : object, default=None
            Label of the unit that is drawn, one of `units`; None for that of the first row.
        given : {"now", "past", "all"}, default="now"
            What the probabilities of the experts know of the unit: its rows up to the row itself
            (filtered), those before it (predicted), or all of them (smoothed).
        target : class label or int, default=None
            The class whose probability is drawn, or the index of the output, which is needed for
            several outputs. None is `classes_[1]` of two classes, and a panel for each of more.
        coverage : float, default=0.9
            Nominal coverage of the predictive intervals of a regressor. None for no band, as is
            required for experts without a predictive distribution.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors of the rows, as in `fit`. Their y is drawn per unit of
            exposure, as are the predictions.
        ax : matplotlib axes or array-like of axes, default=None
            Axes to draw on; None for new ones. Several classes take one for each panel, or a single
            one that the panels replace.

        Returns
        -------
        display : CourseDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator does not end in a mixture of experts.
        ValueError
            If its gate is not "markov", if the unit, the class or the output is missing or unknown,
            if `given` is unknown, or if the coverage is not between 0 and 1.
        """
        estimator, X, *_, names = subject.drawn_mixture(cls, estimator, X)
        if not subject.has_series(estimator):
            raise ValueError(
                f'{cls.__name__} needs a fit with gate="markov", whose rows follow one another in '
                "time. Use TrajectoriesDisplay for units that keep their expert."
            )
        coverage = None if coverage is None else check_coverage(coverage)
        check_consistent_length(X, y, units, time, offset)
        indices = subject.check_targets(estimator, target, X)
        index, unit = _rows_of_unit(units, unit, time, X.shape[0])
        rows = Rows(X, y, None, offset, units, time=time).take(index)
        regimes = estimator.responsibilities(rows.X, rows.y, **rows.arguments, given=given)
        times, time_name = np.asarray(rows.time), str(getattr(time, "name", None) or "Time")
        if times.dtype.kind not in "iufM":
            times, time_name = np.arange(len(index)), "Row"
        known = subject.known_past(estimator, rows) | {"offset": rows.offset}
        is_class, panels = is_classifier(estimator), []
        for output in indices:
            observed, exposure = subject.observed_rates(estimator, rows, output)
            prediction, interval = subject.predicted_mean(estimator, rows.X, output, **known), None
            if coverage is not None and not is_class:
                interval = estimator.predict_interval(rows.X, coverage, **known)
                interval = subject.one_target(interval, output, 2) / exposure[:, None]
            name = subject.target_name(estimator, y, output)
            panels.append(
                cls(
                    expert_names=names,
                    times=times,
                    observed=observed,
                    prediction=prediction / exposure,
                    regimes=regimes,
                    target_name=name + subject.PER_EXPOSURE * (offset is not None),
                    given=given,
                    interval=interval,
                    coverage=None if interval is None else coverage,
                    unit=unit,
                    time_name=time_name,
                    is_probability=is_class,
                )
            )
        return cls._of_panels(panels).plot(ax)

    def _draw_panel(self, ax: Any) -> None:
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
        from matplotlib.patches import Patch

        handles: list[Any] = [
            Patch(color=draw.colour(k), alpha=MAX_INTENSITY, linewidth=0, label=name)
            for k, name in enumerate(draw.in_legend(self.expert_names))
        ]
        style: dict[str, Any] = {"color": draw.DARK_GREY, "linewidth": 1.2, "zorder": 3}
        label = "predicted from\nearlier rows"
        (self.line_,) = ax.plot(self.times, self.prediction, label=label, **style)
        self._draw_regimes(ax)
        handles.append(self.line_)
        style = {"color": "white", "alpha": 0.55, "edgecolor": draw.DARK_GREY, "linewidth": 0.6}
        style |= {"label": draw.interval_label(self.coverage), "zorder": 2}
        ends = None if self.interval is None else self.interval.T
        self.interval_ = draw.draw_band(ax, self.times, ends, **style)
        is_known = np.isfinite(self.observed)
        points = self.times[is_known], self.observed[is_known], (False, self.is_probability)
        style = {"label": "observed" + "\n(of the class: top)" * self.is_probability}
        self.scatter_ = draw.draw_rows(ax, *points, c="black", zorder=4, s=9.0, **style)
        handles += [self.interval_, self.scatter_]
        heights = np.append(self.observed, self.prediction)
        limits = subject.height_limits(heights, np.zeros(0) if ends is None else ends.ravel())
        ax.set_ylim(draw.CLASS_LIMITS if self.is_probability else limits)
        if self.times.dtype.kind == "M":
            locator = AutoDateLocator(maxticks=MAX_DATE_LABELS)
            ax.xaxis.set_major_locator(locator)
            ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        draw.label_target(ax, self.target_name)
        draw.label_feature(ax, self.time_name, None, "")
        if self.unit is not None:
            ax.set_title(printable_name(f"Unit {self.unit}"), fontsize=10, loc="left")
        self.legend_ = draw.expert_legend(ax, handles)
        self.legend_.set_title(f"Regime, {WHAT_IS_KNOWN[self.given]}\n(pale: uncertain)")
        self.legend_.get_title().set_fontsize(9)

    def _draw_regimes(self, ax: Any) -> None:
        """A rectangle for each row, up to the middle between its time and that of the next."""
        at = np.asarray(ax.convert_xunits(self.times), dtype=float)
        middle = (at[1:] + at[:-1]) / 2.0
        first, last = (middle[:1], middle[-1:]) if len(middle) else (at - 0.5, at + 0.5)
        edges = np.concatenate([2.0 * at[:1] - first, middle, 2.0 * at[-1:] - last])
        bars, heights = np.column_stack([edges[:-1], np.diff(edges)]), (0.0, 1.0)
        colours = draw.region_colours(self.regimes, 0.0, MAX_INTENSITY)
        style = {"facecolors": colours, "linewidths": 0, "antialiaseds": False, "zorder": 0}
        self.bands_ = ax.broken_barh(bars, heights, transform=ax.get_xaxis_transform(), **style)
        ax.set_xlim(edges[[0, -1]])


def _rows_of_unit(units: Any, unit: Any, time: Any, n_rows: int) -> tuple[Array, Any]:
    """Indices of the rows of a unit in the order of time, and its label; all rows without units."""
    labels = np.full(n_rows, None) if units is None else np.asarray(units)
    unit = labels[0] if unit is None else unit
    index = np.flatnonzero(labels == unit)
    if not len(index):
        some = ", ".join(shown(label) for label in dict.fromkeys(labels.tolist()[:3]))
        raise ValueError(
            f"unit must be one of the labels in units, such as {some}; got {shown(unit)}. "
            "Pass units=..., one entry for each row of X."
        )
    if time is not None:
        index = index[np.argsort(np.asarray(time)[index], kind="stable")]
    return index, unit
