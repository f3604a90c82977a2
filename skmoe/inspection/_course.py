"""CourseDisplay: the course of one unit over time, with its regimes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils import check_consistent_length

from skmoe._data.checks import shown
from skmoe._data.rows import Rows, index_rows
from skmoe._inference.labels import printable_name
from skmoe._numerics.typing import Array
from skmoe.distributions import check_coverage
from skmoe.inspection import _style as draw
from skmoe.inspection import _subject as subject

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
        of_rows = (None if v is None else index_rows(v, index) for v in (X, y, offset, units, time))
        X, y_shown, offset, units, time = of_rows
        rows = Rows(X, y_shown, None, offset, units, time=time)
        regimes = estimator.responsibilities(X, y_shown, **rows.arguments, given=given)
        times, time_name = np.asarray(time), str(getattr(time, "name", None) or "Time")
        if times.dtype.kind not in "iufM":
            times, time_name = np.arange(len(index)), "Row"
        past, is_class, panels = subject.known_past(estimator, rows), is_classifier(estimator), []
        for output in indices:
            observed, exposure = subject.observed_rates(estimator, rows, output, at_bounds=True)
            known = past if is_class else past | {"offset": offset}
            prediction, interval = subject.predicted_mean(estimator, X, output, **known), None
            if coverage is not None and not is_class:
                interval = estimator.predict_interval(X, coverage, **known)
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
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        names = draw.in_legend(self.expert_names)
        handles: list[Any] = [
            Patch(color=draw.colour(k), alpha=MAX_INTENSITY, linewidth=0, label=name)
            for k, name in enumerate(names)
        ]
        style: dict[str, Any] = {"color": draw.DARK_GREY, "linewidth": 1.2, "zorder": 3}
        label = "predicted from\nearlier rows"
        (self.line_,) = ax.plot(self.times, self.prediction, label=label, **style)
        self._draw_regimes(ax)
        handles.append(self.line_)
        self.interval_, ends = None, np.zeros(0)
        if self.interval is not None and self.coverage is not None:
            label = draw.interval_label(self.coverage)
            style = {"color": "white", "alpha": 0.55, "edgecolor": draw.DARK_GREY}
            style |= {"linewidth": 0.6, "label": label, "zorder": 2}
            self.interval_ = ax.fill_between(self.times, *self.interval.T, **style)
            handles.append(self.interval_)
            ends = self.interval.ravel()
        is_known = np.isfinite(self.observed)
        kinds = False, self.is_probability
        points = self.times[is_known], self.observed[is_known]
        self.scatter_ = draw.draw_rows(ax, *points, kinds, c="black", zorder=4, s=9.0)
        mark: dict[str, Any] = {"marker": "o", "markersize": 3.5}
        mark = {"marker": "|", "markersize": 7} if self.is_probability else mark
        mark |= {"linestyle": "none", "color": "black"}
        label = "observed\n(of the class: top)" if self.is_probability else "observed"
        handles.append(Line2D([], [], label=label, **mark))
        limits = subject.height_limits(np.append(self.observed, self.prediction), ends)
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
        from matplotlib.collections import PolyCollection

        at = np.asarray(ax.convert_xunits(self.times), dtype=float)
        middle = (at[1:] + at[:-1]) / 2.0
        first, last = (middle[:1], middle[-1:]) if len(middle) else (at - 0.5, at + 0.5)
        edges = np.concatenate([2.0 * at[:1] - first, middle, 2.0 * at[-1:] - last])
        low, high = np.zeros((2, len(at))), np.ones((2, len(at)))
        horizontal = np.stack([edges[:-1], edges[1:], edges[1:], edges[:-1]], axis=1)
        corners: Any = np.stack([horizontal, np.concatenate([low, high]).T], axis=2)
        colours = draw.region_colours(self.regimes, 0.0, MAX_INTENSITY)
        style: dict[str, Any] = {"facecolors": colours, "linewidths": 0, "antialiaseds": False}
        bands = PolyCollection(corners, transform=ax.get_xaxis_transform(), zorder=0, **style)
        self.bands_ = ax.add_collection(bands, autolim=False)
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
