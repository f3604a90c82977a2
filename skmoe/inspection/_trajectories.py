"""TrajectoriesDisplay: courses of units over time, in groups, each with its mean course."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.base import is_classifier

from skmoe._data.checks import check_integer
from skmoe._data.rows import Rows, has_bounds
from skmoe._estimators.methods.coefficient_inference import infer_means
from skmoe._estimators.methods.input_steps import mixture_of
from skmoe._inference.labels import feature_labels
from skmoe._numerics.probability import weighted_quantiles
from skmoe._numerics.typing import Array
from skmoe._optional import import_pyplot
from skmoe.distributions import check_coverage
from skmoe.inspection._checks import (
    check_features,
    check_names_of_experts,
    check_style,
    check_table,
)
from skmoe.inspection._experts import (
    CLASS_LIMITS,
    RowsOverFeature,
    draw_rows,
    draw_unit_lines,
    point_area,
)
from skmoe.inspection._grid import feature_axis, height_limits, make_grid
from skmoe.inspection._style import (
    GRID_PANEL_SIZE,
    MAX_GRID_COLUMNS,
    colour,
    count_beyond,
    grid_axes,
    head_expert,
    in_first_column,
    label_below,
    label_feature,
    label_target,
    marker,
    merged,
    with_panels,
)
from skmoe.inspection._targets import ObservedRows, confidence_bands, observed_rows, one_target

# Opacity of units and rows, above which mean courses are seen.
UNIT_OPACITY = 0.3

# Margin of the axis of time, as a fraction, in which points at its ends are seen.
X_MARGIN = 0.02

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
    to the expert, since it has their largest responsibility; rows without units are points. Above a
    panel is its mean responsibility, the share of the group.

    Of classes, and of a y of 0 and 1, the courses are shares; marks at the top are rows of the
    class, or of 1, and those at the bottom the others. Censored values are drawn at their bounds,
    without means. See "Trajectories for a paper" in the user guide.

    Parameters
    ----------
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
    exposure : ndarray of shape (n_shown,), default=None
        Exposures of the rows shown, per unit of which y is given; None without an offset.
    categories : list of str of length n_points, default=None
        Labels of times that are categories.
    expert_names : list of str of length n_experts, default=None
        Names of the experts; None for "expert 0" and so on.
    panels : list of TrajectoriesDisplay, default=None
        The displays of several classes; None for one.
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
        max_units: int | None = 200,
        subsample: int | None = 1000,
        random_state: Any = None,
        expert_names: Sequence[str] | None = None,
        offset: Any = None,
        ax: Any = None,
        **kwargs: Any,
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
        max_units : int, default=200
            Largest number of units to show, with all of their rows; None for all. More are drawn at
            random: without `random_state` the same ones each time.
        subsample : int, default=1000
            Largest number of rows to show, drawn at random; None for all. Not used with `units`.
        random_state : int, RandomState instance or None, default=None
            Source of randomness of the rows or units shown.
        expert_names : list of str of length n_experts, default=None
            Names of the experts; None for those of the model, `expert_names_`.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors of the rows, as in `fit`. Their y is drawn per unit of
            exposure, as are the curves.
        ax : matplotlib axes or array-like of axes, default=None
            Axes to draw on, one for each panel, or a single one that the panels replace. None for
            new ones.
        **kwargs : dict
            Passed to `plot`.

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
            between 0 and 1, or if a number of rows or units is not at least two.
        """
        import_pyplot(f"{cls.__name__}.from_estimator")
        check_style(cls, kwargs)
        mixture = mixture_of(estimator)
        names = check_names_of_experts(mixture, expert_names)
        coverage = None if coverage is None else check_coverage(coverage)
        (j,) = check_features("time", time, estimator, None, most=1)
        if max_units is not None:
            check_integer("max_units", max_units, least=2)
        table = check_table(mixture, X)
        columns = getattr(table, "columns", getattr(estimator, "feature_names_in_", None))
        axis = feature_axis(table, j, feature_labels(columns, table.shape[1])[j], 200)
        points = make_grid(table, [j], axis.grid[:, None])
        rows, has_value = Rows(table, y, None, offset, units), np.isfinite(axis.observed)
        errors = None if coverage is None else infer_means(mixture, points, rows)
        panels = []
        for drawn in observed_rows(mixture, rows, target, at_bounds=True):
            shown = drawn.shown(has_value, subsample, max_units, random_state)
            times, means, ends = _means_over_time(axis.observed, has_value, drawn, rows)
            is_inside = _is_between(axis.positions[:, None], ends)
            curves = one_target(mixture.predict_experts(points), drawn.target, 2)
            bands = None
            if errors is not None and coverage is not None:
                bands = [
                    np.where(is_inside[:, [k]], band, np.nan)
                    for k, band in enumerate(
                        confidence_bands(mixture, points, errors, drawn, coverage)
                    )
                ]
            is_binary = bool(np.isin(drawn.observed, (0.0, 1.0)).all())
            is_named = is_classifier(mixture) or not is_binary
            panels.append(
                cls(
                    time_name=axis.name,
                    target_name=drawn.name if is_named else f"Share of {drawn.name} = 1",
                    grid=axis.positions,
                    curves=np.where(is_inside, curves, np.nan),
                    bands=bands,
                    coverage=coverage,
                    mean_times=times,
                    means=means,
                    x=axis.observed[shown],
                    y=drawn.observed[shown],
                    assigned_expert=drawn.assigned_expert[shown],
                    shares=drawn.shares,
                    units=None if drawn.units is None else drawn.units[shown],
                    exposure=None if drawn.exposure is None else drawn.exposure[shown],
                    n_units=None if drawn.labels is None else len(drawn.labels),
                    is_probability=is_binary,
                    categories=axis.categories,
                    expert_names=names,
                )
            )
        return with_panels(panels).plot(ax=ax, **kwargs)

    def plot(
        self,
        ax: Any = None,
        *,
        line_kwargs: Mapping[str, Any] | None = None,
        band_kwargs: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw the courses.

        Parameters
        ----------
        ax : matplotlib axes or array-like of axes, default=None
            Axes to draw on, one for each panel, or a single one that the panels replace. None for
            new ones.
        line_kwargs : dict, default=None
            Passed to matplotlib's `plot`, for the mean courses.
        band_kwargs : dict, default=None
            Passed to matplotlib's `fill_between`, for the bands.

        Returns
        -------
        display : TrajectoriesDisplay
            This display.
        """
        blocks, n_experts = self.panels or [self], len(self.expert_names)
        n_columns = -(-n_experts // -(-n_experts // MAX_GRID_COLUMNS))
        size = GRID_PANEL_SIZE[0] * max(2 / n_columns, 1.0), GRID_PANEL_SIZE[1]
        caller, n_panels = f"{type(self).__name__}.plot", n_experts * len(blocks)
        self.ax_ = grid_axes(ax, caller, n_panels, n_columns, size)
        self.figure_ = self.ax_[0].figure
        self.lines_: list[Any] = []
        self.bands_: list[Any] = []
        self.points_: list[Any] = []
        self.unit_lines_: list[Any] = []
        for i, axes in enumerate(self.ax_):
            block, k = blocks[i // n_experts], i % n_experts
            self.unit_lines_.append(_draw_members(block, axes, k))
            if block.bands is not None:
                style: dict[str, Any] = {"color": colour(k), "alpha": 0.3, "linewidth": 0}
                style["zorder"] = 2.95  # above the white border of the course
                band = axes.fill_between(
                    block.grid, *block.bands[k].T, **merged(style, band_kwargs)
                )
                self.bands_.append(band)
            self.lines_.append(_draw_course(block, axes, k, line_kwargs))
            if block.means is not None and block.mean_times is not None:
                style = {"linestyle": "none", "marker": marker(k), "markerfacecolor": "white"}
                style |= {"markeredgecolor": colour(k), "markersize": 5, "zorder": 3.5}
                at = block.mean_times[:, k], block.means[:, k]
                self.points_ += axes.plot(*at, **style)
        for axes, is_first in zip(self.ax_, in_first_column(self.ax_), strict=True):
            if not is_first:
                axes.set_ylabel("")
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
        label_below(self.ax_, [" ".join(notes)], is_own=ax is None)
        return self


def _means_over_time(
    time: Array, has_value: Array, drawn: ObservedRows, rows: Rows
) -> tuple[Array, Array | None, Array]:
    """Mean times (T, K), means of y there (T, K) for each expert, and its first and last time.

    Censored values have no means.
    """
    x, y, resp = time[has_value], drawn.observed[has_value], drawn.resp[has_value]
    ends = np.stack([weighted_quantiles(x, weight, ENDS) for weight in resp.T], axis=1)
    distinct, number = np.unique(x, return_inverse=True)
    if len(distinct) > MAX_TIMES:
        edges = np.unique(np.quantile(x, np.linspace(0.0, 1.0, N_INTERVALS + 1)[1:-1]))
        number = np.searchsorted(edges, x, side="right")
    member = np.eye(number.max() + 1)[number.ravel()].T
    n_rows, weight = member @ resp, resp
    if drawn.exposure is not None:  # means per unit of exposure
        weight = resp * drawn.exposure[has_value, None]
    with np.errstate(invalid="ignore"):
        total = member @ weight
        times = member @ (weight * x[:, None]) / total
        means = member @ (weight * y[:, None]) / total
    is_drawn = (n_rows >= MIN_ROWS) & _is_between(times, ends)
    return times, None if has_bounds(rows.y) else np.where(is_drawn, means, np.nan), ends


def _is_between(times: Array, ends: Array) -> Array:
    """Whether times (n, K) or (n, 1) are between the first and the last of each expert, (2, K)."""
    margin = 1e-9 * (ends[1] - ends[0])
    return (times >= ends[0] - margin) & (times <= ends[1] + margin)


def _draw_members(display: TrajectoriesDisplay, ax: Any, k: int) -> Any:
    """Lines of the units of an expert, or its rows."""
    own = np.flatnonzero(display.assigned_expert == k)
    x, y = display.x[own], display.y[own]
    if display.units is not None and not display.is_probability:
        lines = draw_unit_lines(ax, x, y, display.units[own], [colour(k)] * len(own))
        lines.set_alpha(UNIT_OPACITY)
        return lines
    kinds = {"is_category": display.categories is not None, "is_class": display.is_probability}
    style = {"s": point_area(8, display.exposure, own), "alpha": UNIT_OPACITY}
    style |= {"linewidths": 0, "c": [colour(k)] * len(own)}
    return draw_rows(ax, x, y, style, None, **kinds)


def _draw_course(
    display: TrajectoriesDisplay, ax: Any, k: int, kwargs: Mapping[str, Any] | None
) -> Any:
    """The mean course of an expert, the limits and names of its axes, and its heading."""
    style = {"color": colour(k), "linewidth": 2.5, "zorder": 3}
    ax.plot(display.grid, display.curves[:, k], color="white", linewidth=5.0, zorder=2.9)
    (line,) = ax.plot(display.grid, display.curves[:, k], **merged(style, kwargs))
    if display.categories is None:
        first, last = display.grid[[0, -1]]
        margin = X_MARGIN * (last - first)
        ax.set_xlim(first - margin, last + margin)
    curves = np.concatenate([np.ravel(values) for values in (display.curves, display.bands or [])])
    limits = height_limits(display.y, curves, display.exposure)
    ax.set_ylim(CLASS_LIMITS if display.is_probability else limits)
    own = display.assigned_expert == k
    count_beyond(ax, display.x[own], display.y[own])
    label_feature(ax, display.time_name, display.categories, "")
    label_target(ax, display.target_name)
    of_units = display.units is not None
    head_expert(ax, k, display.expert_names, display.shares, of_units=of_units)
    return line
