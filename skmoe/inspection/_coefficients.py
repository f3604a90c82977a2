"""CoefficientsDisplay: coefficients of the experts with their confidence intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from skmoe._data.checks import check_choice, check_flag, check_integer, check_level
from skmoe._numerics.typing import Array
from skmoe.inspection._checks import check_features, drawn_with_names
from skmoe.inspection._segment_tables import (
    coefficient_tables,
    coefficient_targets,
    column_deviations,
    dropped_features,
    positive_rows,
)
from skmoe.inspection._style import (
    DARK_GREY,
    LIGHT_GREY,
    colour,
    grid_axes,
    in_first_column,
    label_below,
    marker,
    merged,
    shortened,
    text_width,
    wrapped,
)

# Panels of a figure side by side.
MAX_FOREST_COLUMNS = {"feature": 3, "expert": 4}

# Characters of a name beside a row, and in a line of a heading.
ROW_NAME_WIDTH, PANEL_NAME_WIDTH = 30, 30

# Dropped features that are named below the axes.
MAX_NAMED = 8

# Width of a panel without its names, heights of a row and of heading and axis, in inches.
FOREST_WIDTH, FOREST_ROW_HEIGHT, FOREST_FRAME_HEIGHT = 2.5, 0.25, 0.75

# Axes end at this multiple of the largest estimate, and of the end of the median interval: longer
# intervals are cut, and end in an arrow.
MAX_REACH = 2.5

# Space beyond the longest interval, as a fraction of the axis.
AXIS_MARGIN = 0.06

# Largest log of a ratio that is drawn.
MAX_LOG_RATIO = 200.0

# Number of ticks, at most, and ratio of the ends of an axis up to which they are equidistant.
N_TICKS, MAX_PLAIN_RATIO = 4, 6.0


@dataclass(kw_only=True, eq=False, repr=False)
class CoefficientsDisplay:
    """Forest plot of the coefficients: what the features do, under each expert.

    Points are coefficients, and lines confidence intervals, where `inference` is possible. A
    hollow point has no interval, for a reason that `inference` gives. One panel for each feature
    compares the experts, one for each expert the features. Coefficients are those for one
    standard deviation more of a feature, or for one unit more. Logs of ratios, as under a log link,
    and log odds, as of ratings, or of classes against the first class, are drawn as ratios on a
    logarithmic axis. Features that a penalty of their own has dropped (`alpha="ard"`) have a
    cross at zero.

    An interval that is much longer than the others is cut, and ends in an arrow. See "Displays" in
    the user guide, and "What do pictures of a fit show?" in the gallery.

    Parameters
    ----------
    feature_names : list of str of length n_shown
        Names of the features that are drawn.
    expert_names : list of str of length n_experts
        Names of the experts.
    coefficients : ndarray of shape (n_shown, n_experts)
        Coefficients of the linear predictors; NaN where there are none. Logs, if they are of
        ratios.
    intervals : ndarray of shape (n_shown, n_experts, 2), default=None
        Confidence intervals of the coefficients; NaN where there are none.
    is_ratio : ndarray of bool of shape (n_experts,), default=None
        Whether the coefficients of an expert are logs of ratios; None if those of no expert are.
    dropped : ndarray of bool of shape (n_shown,), default=None
        Features that were dropped by an infinite penalty; None for none.
    by : {"feature", "expert"}, default="feature"
        What each panel is for.
    coefficient_name : str, default="Coefficient"
        Label of the axis.
    level : float, default=None
        Confidence of the intervals.
    step : str, default="SD"
        Step of the features to which the coefficients belong.
    n_columns : int, default=None
        Number of features of which the largest are drawn; None if all are.
    feature_note : str, default=""
        What the features are, if they are not those of the input of a pipeline.

    Attributes
    ----------
    ax_ : ndarray of shape (n_panels,) of matplotlib axes
        Axes of the plot.
    figure_ : matplotlib figure
        Figure of the plot.
    points_ : ndarray of shape (n_shown, n_experts) of matplotlib lines
        The estimates; None where there are none.
    lines_ : ndarray of shape (n_shown, n_experts) of matplotlib lines
        The intervals; None where there are none.

    See Also
    --------
    SegmentProfileDisplay : The same numbers as a heat map, with means and effects of the gate.
    ImportanceDisplay : Effects of the features on the accuracy, for experts of any kind.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.inspection import CoefficientsDisplay
    >>> X = np.linspace(-3, 3, 200)[:, None]
    >>> y = 1 - np.abs(X[:, 0]) + 0.1 * np.sin(40 * X[:, 0])
    >>> moe = MixtureOfExpertsRegressor(n_experts=2, random_state=0).fit(X, y)
    >>> display = CoefficientsDisplay.from_estimator(moe, X, y, standardize=False)
    >>> np.sort(display.coefficients.round(1))
    array([[-1.,  1.]])
    """

    feature_names: Sequence[str]
    expert_names: Sequence[str]
    coefficients: Array
    intervals: Array | None = None
    is_ratio: Array | None = None
    dropped: Array | None = None
    by: str = "feature"
    coefficient_name: str = "Coefficient"
    level: float | None = None
    step: str = "SD"
    n_columns: int | None = None
    feature_note: str = ""

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        by: str | None = None,
        sample_weight: Any = None,
        units: Any = None,
        offset: Any = None,
        known_experts: Any = None,
        features: Any = None,
        max_features: int = 12,
        target: Any = None,
        level: float | None = 0.95,
        standardize: bool = True,
        feature_names: Sequence[str] | None = None,
        expert_names: Sequence[str] | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the coefficients of a fitted mixture.

        Parameters
        ----------
        estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
            Fitted mixture, or a pipeline or search that ends in one, whose experts have linear
            predictors.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features; those of the fit for confidence intervals.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed target.
        by : {"feature", "expert"}, default=None
            What each panel is for. None is for a feature, or for an expert where the coefficients
            of some experts are logs of ratios and those of others are not.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, in standard deviations and intervals.
        units : array-like of shape (n_samples,), default=None
            Units of the rows, as in `fit`; None for rows.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors of the rows, as in `fit`; None for 0.
        known_experts : array-like of shape (n_samples,) or (n_samples, n_experts), default=None
            Known experts of the rows, as in `fit`.
        features : array-like, default=None
            Features to draw, in this order: names, indices or a boolean mask; None for those with
            the largest coefficients, the largest first, and then those that were dropped.
        max_features : int, default=12
            Largest number of features if `features` is None.
        target : class label or int, default=None
            The class or the index of the output whose coefficients are drawn, which is needed for
            several outputs. None is all classes but the first, against which they have log odds.
        level : float, default=0.95
            Confidence of the intervals; None for none, which is faster.
        standardize : bool, default=True
            Whether coefficients are those for one standard deviation more of a feature, over the
            rows given; otherwise for one unit more.
        feature_names : list of str of length n_features, default=None
            Names of the features; None for those seen in fit, or x0, x1 and so on.
        expert_names : list of str of length n_experts, default=None
            Names of the experts; None for those of the model, `expert_names_`.
        ax : matplotlib axes or array-like of axes, default=None
            Axes to draw on: a single one, which the panels replace, or one for each panel. None for
            new ones.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display : CoefficientsDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator does not end in a mixture of experts.
        ValueError
            If no expert has coefficients, if a feature, the class or the output is missing or
            unknown, or if there is not one name for each feature or expert. Also if the level is
            not between 0 and 1, or `max_features` is not a positive integer.
        """
        found = drawn_with_names(cls, estimator, X, feature_names, expert_names, kwargs)
        estimator, X, note, labels, names = found
        if not hasattr(estimator, "expert_coef_"):
            expert = getattr(estimator, "expert", None)
            got = type(estimator).__name__ if expert is None else f"expert={expert!r}"
            raise ValueError(
                f"{cls.__name__} needs experts with linear predictors; got {got}. Use "
                "ImportanceDisplay, which takes experts of any kind."
            )
        chosen = check_features("features", features, estimator, feature_names)
        check_integer("max_features", max_features, least=1)
        check_flag("standardize", standardize)
        check_level(level, may_be_none=True)
        rows = positive_rows(estimator, X, y, sample_weight, offset, units, known_experts)
        indices = coefficient_targets(estimator, target, rows.X)
        tables = coefficient_tables(estimator, rows, indices, level)
        table = tables[0]
        has_predictor = np.isfinite(table.estimates).any(axis=0)
        is_mixed = len(set(table.is_ratio[has_predictor].tolist())) > 1
        if by is None:
            by = "expert" if is_mixed else "feature"
        check_choice("by", by, ("feature", "expert"))
        if by == "feature" and is_mixed:  # ratios have other axes than coefficients that are none
            raise ValueError(
                'by="feature" needs experts whose coefficients are all ratios, or all are not; '
                'some of these experts have a log link. Use by="expert".'
            )
        scale = column_deviations(rows) if standardize else np.ones(len(labels))
        dropped = dropped_features(estimator)
        # Rows of the picture: the features in each linear predictor of the experts.
        estimates = np.concatenate([each.estimates for each in tables])
        chosen = [i * len(labels) + j for i in range(len(tables)) for j in chosen]
        dropped = np.append(dropped, np.zeros(len(estimates) - len(labels), dtype=bool))
        labels = [label for each in tables for label in each.block.terms(labels)]
        predictors = [table.name, *(each.block.label for each in tables[1:])]
        if len(indices) > 1:  # each class has log odds, and no expert another linear predictor
            reference, *classes = estimator.classes_
            of_class = np.repeat([f" (class {label})" for label in classes], len(scale))
            labels = [f"{label}{name}" for label, name in zip(labels, of_class, strict=True)]
            predictors = [f"Odds ratio of the class against class {reference}"]
        scale = np.tile(scale, len(tables))
        used = np.isfinite(estimates).any(axis=1) | dropped
        n_used = int(used.sum())
        shown = np.array(chosen)
        if features is None:
            size = np.abs(np.nan_to_num(estimates)).max(axis=1) * scale
            order = np.argsort(np.where(dropped, np.inf, -size), kind="stable")
            shown = order[used[order]][:max_features]
        if not len(shown):
            raise ValueError(
                "CoefficientsDisplay needs experts with slopes; these have intercepts only. Use "
                "RegimesDisplay or GateDisplay."
            )
        intervals = None
        if table.intervals is not None:
            intervals = np.concatenate([each.intervals for each in tables])
            intervals = intervals[shown] * scale[shown, None, None]
        display = cls(
            feature_names=[labels[j] for j in shown],
            expert_names=names,
            coefficients=estimates[shown] * scale[shown, None],
            intervals=intervals,
            is_ratio=table.is_ratio,
            dropped=dropped[shown],
            by=by,
            coefficient_name=", and on ".join(predictors),
            level=level,
            step="SD" if standardize else "unit",
            n_columns=n_used if features is None and len(shown) < n_used else None,
            feature_note=note,
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the coefficients.

        Parameters
        ----------
        ax : matplotlib axes or array-like of axes, default=None
            Axes to draw on: a single one, which the panels replace, or one for each panel. None for
            new ones.
        **kwargs : dict
            Passed to matplotlib's `plot` for points and intervals, such as `color`.

        Returns
        -------
        display : CoefficientsDisplay
            This display.
        """
        panels = self._panels()
        names = {label for panel in panels for label in panel.labels}
        columns = MAX_FOREST_COLUMNS[self.by]
        width = FOREST_WIDTH + text_width(list(names)) / min(columns, len(panels))
        n_more_lines = max(panel.heading.count("\n") for panel in panels)
        height = FOREST_FRAME_HEIGHT + FOREST_ROW_HEIGHT * (len(panels[0].labels) + n_more_lines)
        axes = grid_axes(ax, f"{type(self).__name__}.plot", len(panels), columns, (width, height))
        shape = self.coefficients.shape
        self.points_, self.lines_ = np.full(shape, None), np.full(shape, None)
        for cells, panel in zip(axes, panels, strict=True):
            alike = [other for other in panels if other.is_ratio == panel.is_ratio]
            shared = self.by == "expert" or self.step == "SD"
            limits = axis_limits(alike if shared else [panel])
            drawn = draw_forest(cells, panel, limits, kwargs)
            self.points_[panel.cells], self.lines_[panel.cells] = drawn
        for cells, is_first in zip(axes, in_first_column(axes), strict=True):
            if not is_first:
                cells.set_yticklabels([])
        label_below(axes, self._caption(), is_own=ax is None)
        self.ax_, self.figure_ = axes, axes[0].figure
        return self

    def _panels(self) -> list[ForestPanel]:
        """Panels of the experts, or of the features that are not dropped, if there are any."""
        shape = self.coefficients.shape
        dropped = np.broadcast_to(self._dropped[:, None], shape)
        is_ratio = np.broadcast_to(False if self.is_ratio is None else self.is_ratio, shape)
        experts = np.broadcast_to(np.arange(shape[1]), shape)
        none = np.full((*shape, 2), np.nan)
        intervals, hollow = none if self.intervals is None else self.intervals, self._is_hollow
        if self.by == "feature":
            names, labels = self.feature_names, self.expert_names
            cells: list[Any] = [(i, slice(None)) for i in range(shape[0])]
        else:
            names, labels = self.expert_names, self.feature_names
            cells = [(slice(None), k) for k in range(shape[1])]
        labels = shortened(labels, ROW_NAME_WIDTH)
        if self.by == "expert":
            rows = zip(labels, self._dropped, strict=True)
            labels = [f"{label} (dropped)" if is_dropped else label for label, is_dropped in rows]
        return [
            ForestPanel(
                wrapped(name, PANEL_NAME_WIDTH),
                labels,
                own,
                experts[own],
                self.coefficients[own],
                intervals[own],
                hollow[own],
                dropped[own],
                bool(is_ratio[own].any()),
            )
            for name, own in zip(names, cells, strict=True)
            if dropped.all() or not dropped[own].all()
        ]

    @property
    def _is_hollow(self) -> Array:
        """Whether there is an estimate without interval, though others have intervals."""
        if self.intervals is None:
            return np.zeros(self.coefficients.shape, dtype=bool)
        return np.isfinite(self.coefficients) & ~np.isfinite(self.intervals).all(axis=2)

    @property
    def _dropped(self) -> Array:
        none = np.zeros(len(self.feature_names), dtype=bool)
        return none if self.dropped is None else np.asarray(self.dropped)

    def _caption(self) -> list[str]:
        """What is drawn: the name of the axis, and sentences about it."""
        notes = [f"{self.coefficient_name}, per {self.step} of the feature"]
        if self.intervals is not None and self.level is not None:
            without = " Hollow: no interval." if self._is_hollow.any() else ""
            held = self._is_hollow & (self.coefficients == 0.0)
            without += " On the vertical line: slopes at their bound." if held.any() else ""
            notes.append(f"Lines: {100 * self.level:.3g} % intervals.{without}")
        dropped = [self.feature_names[i] for i in np.flatnonzero(self._dropped).tolist()]
        if dropped and self.by == "expert":
            notes.append("Crosses: dropped features.")
        elif dropped:
            more = f" and {len(dropped) - MAX_NAMED} more" if len(dropped) > MAX_NAMED else ""
            notes.append(f"Dropped: {', '.join(dropped[:MAX_NAMED])}{more}.")
        if self.n_columns is not None:
            n_shown = len(self.feature_names)
            notes.append(f"{n_shown} of {self.n_columns} features, with the largest coefficients.")
        if self.feature_note:
            notes.append(f"The {self.feature_note}.")
        return notes


# --- forest plots ------------------------------------------------------------------------------


class ForestPanel(NamedTuple):
    """Rows of estimates (R,) that share an axis."""

    heading: str
    labels: list[str]
    cells: Any  # index of the rows in the table of features and experts
    experts: Array  # the expert of each row, for its colour
    estimates: Array  # logs of ratios if these are ratios; NaN for rows without an estimate
    intervals: Array  # (R, 2); NaN for rows without one
    hollow: Array  # boolean: the interval of the row is not known
    dropped: Array  # boolean: the feature of the row is dropped
    is_ratio: bool


def axis_limits(panels: Sequence[ForestPanel]) -> tuple[float, float]:
    """Limits of an axis of several panels, which contains zero; of ratios of their logs."""
    values = np.concatenate([np.zeros(1), *(panel.estimates for panel in panels)])
    values = values[np.isfinite(values)]
    bounds = np.concatenate([panel.intervals for panel in panels])
    bounds = bounds[np.isfinite(bounds).all(axis=1)]
    if len(bounds):
        typical = np.quantile(np.abs(bounds).max(axis=1), 0.5, method="lower")
        reach = MAX_REACH * max(np.abs(values).max(), float(typical))
        values = np.concatenate([values, np.clip(bounds.ravel(), -reach, reach)])
    if panels[0].is_ratio:
        values = np.clip(values, -MAX_LOG_RATIO, MAX_LOG_RATIO)
    low, high = float(values.min()), float(values.max())
    margin = AXIS_MARGIN * (high - low) or 1.0
    return low - margin, high + margin


def draw_forest(
    ax: Any, panel: ForestPanel, limits: tuple[float, float], kwargs: Mapping[str, Any] | None
) -> tuple[list[Any], list[Any]]:
    """Draw the rows; returns a point and the line of an interval for each, or None."""
    n_rows = len(panel.labels)
    scale = np.exp if panel.is_ratio else np.asarray
    if panel.is_ratio:
        _scale_of_ratios(ax, limits)
    else:
        ax.locator_params(axis="x", nbins=N_TICKS)
    ax.set(xlim=tuple(scale(np.array(limits))), ylim=(n_rows - 0.5, -0.5))
    ax.axvline(scale(0.0), color=LIGHT_GREY, linewidth=1, zorder=1)
    points: list[Any] = [None] * n_rows
    lines: list[Any] = [None] * n_rows
    style: dict[str, Any]
    for i, (estimate, k) in enumerate(zip(panel.estimates, panel.experts, strict=True)):
        if panel.dropped[i]:
            style = {"marker": "x", "color": LIGHT_GREY, "linestyle": "none", "markersize": 6}
            (points[i],) = ax.plot([scale(0.0)], [i], **style)
            continue
        if not np.isfinite(estimate):
            continue
        interval = panel.intervals[i]
        if np.isfinite(interval).all():
            style = merged({"color": colour(k), "linewidth": 2.0, "zorder": 2}, kwargs)
            style |= {"marker": "", "linestyle": "-"}
            ends = scale(np.clip(interval, *limits))
            (lines[i],) = ax.plot(ends, [i, i], **style)
            for end, bound, arrow in zip(ends, interval, "<>", strict=True):
                if not limits[0] <= bound <= limits[1]:  # cut
                    style |= {"marker": arrow, "markersize": 5, "clip_on": False}
                    ax.plot([end], [i], **style | {"linestyle": "none"})
        style = {"color": colour(k), "marker": marker(k), "markersize": 6, "linestyle": "none"}
        style |= {"zorder": 3} | ({"markerfacecolor": "white"} if panel.hollow[i] else {})
        point = [scale(np.clip(estimate, *limits))], [i]
        (points[i],) = ax.plot(*point, **merged(style, kwargs))
    ax.set_yticks(range(n_rows), panel.labels, fontsize=9, color=DARK_GREY)
    ax.set_title(panel.heading, fontsize=10, loc="left")
    ax.tick_params(axis="y", length=0)
    ax.tick_params(axis="x", labelsize=8)
    ax.spines[["top", "right", "left"]].set_visible(False)
    return points, lines


def _scale_of_ratios(ax: Any, limits: tuple[float, float]) -> None:
    """A logarithmic axis whose ticks are plain numbers."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    ax.set_xscale("log")
    if limits[1] - limits[0] < np.log(MAX_PLAIN_RATIO):
        ax.xaxis.set_major_locator(MaxNLocator(N_TICKS))
    else:
        ax.xaxis.set_major_locator(FixedLocator(_ticks_of_ratios(*np.exp(limits)).tolist()))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _ticks_of_ratios(low: float, high: float) -> Array:
    """The finest of several series of round ratios of which few lie between the limits."""
    decades = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1.0)
    for leading in ([1.0, 2.0, 5.0], [1.0, 3.0], [1.0]):
        ticks = np.outer(10.0**decades, leading).ravel()
        ticks = ticks[(ticks >= low) & (ticks <= high)]
        if len(ticks) <= N_TICKS + 1:
            return ticks
    return ticks[:: -(-len(ticks) // N_TICKS)]
