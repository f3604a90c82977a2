"""TrajectoriesDisplay: courses of units over time, in groups, each with its mean course."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.base import is_classifier

from skmoe._data.checks import check_integer
from skmoe._inference.labels import feature_labels
from skmoe._numerics.typing import Array
from skmoe._optional import import_pyplot
from skmoe.distributions import check_coverage
from skmoe.inspection._checks import check_features, check_names_of_experts, check_table
from skmoe.inspection._experts import CLASS_LIMITS, RowsOverFeature, draw_rows, draw_unit_lines
from skmoe.inspection._grid import feature_axis, height_limits, make_grid
from skmoe.inspection._style import (
    DARK_GREY,
    GRID_PANEL_SIZE,
    MAX_GRID_COLUMNS,
    colour,
    count_beyond,
    curve_style,
    grid_axes,
    head_expert,
    in_first_column,
    label_below,
    label_feature,
    label_target,
    merged,
    with_panels,
)
from skmoe.inspection._targets import interval_band, observed_rows, one_target
from skmoe.pipelines import mixture_of

# Opacity of units and rows, above which mean courses are seen.
UNIT_OPACITY = 0.3


@dataclass(kw_only=True, eq=False, repr=False)
class TrajectoriesDisplay(RowsOverFeature):
    """Mean course of each expert over time, with the courses of the units that belong to it.

    There is a panel for each expert, a group of trajectories. The thick curve is its prediction
    with the other features at their medians, the band its predictive intervals. The thin lines are
    units that are assigned to it, since it has their largest responsibility. Above a panel is its
    mean responsibility, the share of the group. Rows without units are points, as are those of a
    class at the top and of the others at the bottom. See "Courses over time" in the user guide.

    Parameters
    ----------
    target_name : str
        Label of the axis of y.
    grid : ndarray of shape (n_points,)
        Values of time; positions of categories.
    curves : ndarray of shape (n_points, n_experts)
        Predictions of each expert, in the units of y, or its probabilities of the class.
    coverage : float or None
        Nominal coverage of the bands.
    x, y : ndarray of shape (n_shown,)
        The rows shown; for classes y is 1 for the class and 0 for the others.
    assigned_expert : ndarray of shape (n_shown,)
        The expert with the largest responsibility for each of them, or for its unit.
    is_probability : bool, default=False
        Whether the curves are probabilities of a class.
    units : ndarray of shape (n_shown,), default=None
        Labels of the units of the rows shown; None for rows without units.
    categories : list of str of length n_points, default=None
        Labels of times that are categories.
    expert_names : list of str of length n_experts, default=None
        Names of the experts; None for "expert 0" and so on.
    panels : list of TrajectoriesDisplay, default=None
        The displays of several classes; None for one.
    time_name : str
        Label of the axis of time.
    bands : list of ndarray of shape (n_points, 2), or None
        Predictive intervals of each expert.
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
        The predictive intervals.
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
        coverage: float | None = 0.9,
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
        coverage : float, default=0.9
            Nominal coverage of the predictive intervals of a regressor. None for no band, as is
            required for experts without a predictive distribution.
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
            between 0 and 1, or if the experts have no predictive distribution for a band (use
            `coverage=None`). Also if a number of rows or units is not at least two.
        """
        import_pyplot(f"{cls.__name__}.from_estimator")
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
        has_value = np.isfinite(axis.observed)
        panels = []
        for rows in observed_rows(mixture, table, y, target, offset, units):
            shown = rows.shown(has_value, subsample, max_units, random_state)
            intervals = (
                interval_band(mixture, points, rows.target, coverage, expert=k)
                for k in range(len(names))
            )
            bands = [band for band in intervals if band is not None]
            panels.append(
                cls(
                    time_name=axis.name,
                    target_name=rows.name,
                    grid=axis.positions,
                    curves=one_target(mixture.predict_experts(points), rows.target, 2),
                    bands=bands or None,
                    coverage=coverage,
                    x=axis.observed[shown],
                    y=rows.observed[shown],
                    assigned_expert=rows.assigned_expert[shown],
                    shares=rows.shares,
                    units=None if rows.units is None else rows.units[shown],
                    n_units=None if rows.labels is None else len(rows.labels),
                    is_probability=is_classifier(mixture),
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
        self.unit_lines_: list[Any] = []
        for i, axes in enumerate(self.ax_):
            block, k = blocks[i // n_experts], i % n_experts
            self.unit_lines_.append(_draw_members(block, axes, k))
            if block.bands is not None:
                style: dict[str, Any] = {"color": colour(k), "alpha": 0.2, "linewidth": 0}
                band = axes.fill_between(
                    block.grid, *block.bands[k].T, **merged(style, band_kwargs)
                )
                self.bands_.append(band)
            self.lines_.append(_draw_course(block, axes, k, line_kwargs))
        for axes, is_first in zip(self.ax_, in_first_column(self.ax_), strict=True):
            if not is_first:
                axes.set_ylabel("")
        notes = []
        if self.units is not None and not self.is_probability:
            n_shown = len(np.unique(self.units))
            some = f", {n_shown} of {self.n_units} in all" if n_shown < (self.n_units or 0) else ""
            notes.append(f"Thin lines: units of the expert{some}.")
        if self.coverage is not None and self.bands is not None:
            notes.append(f"Band: {100 * self.coverage:.3g} % interval.")
        if notes:
            label_below(self.ax_, [" ".join(notes)], is_own=ax is None)
        return self


def _draw_members(display: TrajectoriesDisplay, ax: Any, k: int) -> Any:
    """Lines of the units of an expert, or its rows."""
    own = np.flatnonzero(display.assigned_expert == k)
    x, y = display.x[own], display.y[own]
    if display.units is not None and not display.is_probability:
        lines = draw_unit_lines(ax, x, y, display.units[own], [colour(k)] * len(own))
        lines.set_alpha(UNIT_OPACITY)
        return lines
    kinds = {"is_category": display.categories is not None, "is_class": display.is_probability}
    style = {"s": 8, "alpha": UNIT_OPACITY, "linewidths": 0, "c": [colour(k)] * len(own)}
    return draw_rows(ax, x, y, style, None, **kinds)


def _draw_course(
    display: TrajectoriesDisplay, ax: Any, k: int, kwargs: Mapping[str, Any] | None
) -> Any:
    """The mean course of an expert, the limits and names of its axes, and its heading."""
    style = curve_style(k, len(display.grid)) | {"linestyle": "-", "linewidth": 2.5, "zorder": 3}
    style |= {"markeredgecolor": DARK_GREY, "markeredgewidth": 0.7}
    ax.plot(display.grid, display.curves[:, k], color="white", linewidth=5.0, zorder=2.9)
    (line,) = ax.plot(display.grid, display.curves[:, k], **merged(style, kwargs))
    if display.categories is None:
        ax.set_xlim(display.grid[[0, -1]])
    curves = np.concatenate([np.ravel(values) for values in (display.curves, display.bands or [])])
    ax.set_ylim(CLASS_LIMITS if display.is_probability else height_limits(display.y, curves))
    own = display.assigned_expert == k
    count_beyond(ax, display.x[own], display.y[own])
    label_feature(ax, display.time_name, display.categories, "")
    label_target(ax, display.target_name)
    of_units = display.units is not None
    head_expert(ax, k, display.expert_names, display.shares, of_units=of_units)
    return line
