"""CoefficientsDisplay: coefficients of the experts with their confidence intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import is_classifier

from skmoe._data.checks import check_choice, check_flag, check_integer
from skmoe._inference.labels import printable_name
from skmoe._numerics.typing import Array
from skmoe._optional import import_pyplot
from skmoe.inspection._checks import (
    check_any_features,
    check_has_coefficients,
    check_level,
    check_names,
    check_names_of_experts,
    check_target,
)
from skmoe.inspection._forest import ForestPanel, axis_limits, draw_forest
from skmoe.inspection._heat_map import shortened, text_width
from skmoe.inspection._pipelines import find_mixture
from skmoe.inspection._segment_tables import (
    CoefficientTable,
    coefficient_table,
    column_deviations,
    dropped_features,
    positive_rows,
)
from skmoe.inspection._style import grid_axes, in_first_column, label_below, wrapped

# Panels of a figure side by side.
MAX_FOREST_COLUMNS = {"feature": 3, "expert": 4}

# Characters of a name beside a row, and in a line of a heading.
ROW_NAME_WIDTH, PANEL_NAME_WIDTH = 30, 30

# Dropped features that are named below the axes.
MAX_NAMED = 8

# Width of a panel without its names, heights of a row and of heading and axis, in inches.
FOREST_WIDTH, FOREST_ROW_HEIGHT, FOREST_FRAME_HEIGHT = 2.5, 0.25, 0.75


class CoefficientsDisplay:
    """Forest plot of the coefficients: what the features do, under each expert.

    Points are coefficients, and lines confidence intervals, where `inference` is possible. A
    hollow point has no interval, for a reason that `inference` gives. One panel for each feature
    compares the experts, one for each expert the features. Coefficients are those for one
    standard deviation more of a feature, or for one unit more. Logs of ratios, as under a log link,
    or log odds of two classes or of ratings, are drawn as ratios on a logarithmic axis. Features
    that a penalty of their own has dropped (`alpha="ard"`) have a cross at zero.

    An interval that is much longer than the others is cut, and ends in an arrow. See "Displays" in
    the user guide, and "Reading a fit by its pictures" in the gallery.

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

    def __init__(
        self,
        *,
        feature_names: Sequence[str],
        expert_names: Sequence[str],
        coefficients: Array,
        intervals: Array | None = None,
        is_ratio: Array | None = None,
        dropped: Array | None = None,
        by: str = "feature",
        coefficient_name: str = "Coefficient",
        level: float | None = None,
        step: str = "SD",
        n_columns: int | None = None,
        feature_note: str = "",
    ) -> None:
        self.feature_names = feature_names
        self.expert_names = expert_names
        self.coefficients = coefficients
        self.intervals = intervals
        self.is_ratio = is_ratio
        self.dropped = dropped
        self.by = by
        self.coefficient_name = coefficient_name
        self.level = level
        self.step = step
        self.n_columns = n_columns
        self.feature_note = feature_note

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
        features : array-like, default=None
            Features to draw, in this order: names, indices or a boolean mask; None for those with
            the largest coefficients, the largest first, and then those that were dropped.
        max_features : int, default=12
            Largest number of features if `features` is None.
        target : class label or int, default=None
            The class or the index of the output whose coefficients are drawn. Needed for more than
            two classes and for several outputs; of two classes the default is `classes_[1]`.
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
        import_pyplot(f"{cls.__name__}.from_estimator")
        estimator, X, note = find_mixture(estimator, X)
        check_has_coefficients(estimator, cls.__name__)
        labels = [printable_name(name) for name in check_names(estimator, feature_names)]
        names = check_names_of_experts(estimator, expert_names)
        chosen = check_any_features("features", features, estimator, feature_names)
        check_integer("max_features", max_features, least=1)
        check_flag("standardize", standardize)
        level = check_level(level)
        rows = positive_rows(estimator, X, y, sample_weight, offset, units)
        index = check_target(estimator, target, rows.X)
        table = _as_ratios(coefficient_table(estimator, rows, index, level), estimator)
        by = _panels_for(by, table)
        scale = column_deviations(rows) if standardize else np.ones(len(labels))
        dropped = dropped_features(estimator)
        used = np.isfinite(table.estimates).any(axis=0) | dropped
        n_used = int(used.sum())
        shown = np.array(chosen)
        if features is None:
            size = np.abs(np.nan_to_num(table.estimates)).max(axis=0) * scale
            order = np.argsort(np.where(dropped, np.inf, -size), kind="stable")
            shown = order[used[order]][:max_features]
        if not len(shown):
            raise ValueError(
                "CoefficientsDisplay needs experts with slopes; these have intercepts only. Use "
                "RegimesDisplay or GateDisplay."
            )
        intervals = None
        if table.intervals is not None:
            intervals = np.moveaxis(table.intervals, 1, 0)[shown] * scale[shown, None, None]
        display = cls(
            feature_names=[labels[j] for j in shown],
            expert_names=names,
            coefficients=table.estimates.T[shown] * scale[shown, None],
            intervals=intervals,
            is_ratio=table.is_ratio,
            dropped=dropped[shown],
            by=by,
            coefficient_name=table.name,
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
        width = FOREST_WIDTH + text_width(list(names)) / columns
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
        n_features, n_experts = self.coefficients.shape
        dropped = self._dropped
        is_ratio = np.zeros(n_experts, bool) if self.is_ratio is None else self.is_ratio
        panels = []
        if self.by == "feature":
            labels = [shortened(name, ROW_NAME_WIDTH) for name in self.expert_names]
            drawn = np.full(n_features, True) if dropped.all() else ~dropped
            for i in np.flatnonzero(drawn).tolist():
                heading = wrapped(self.feature_names[i], PANEL_NAME_WIDTH)
                of_row = np.full(n_experts, dropped[i])
                panels.append(
                    self._panel((i, slice(None)), heading, labels, of_row, is_ratio.any())
                )
            return panels
        labels = [shortened(name, ROW_NAME_WIDTH) for name in self.feature_names]
        labels = [
            f"{name} (dropped)" if gone else name
            for name, gone in zip(labels, dropped, strict=True)
        ]
        for k, name in enumerate(self.expert_names):
            heading = wrapped(name, PANEL_NAME_WIDTH)
            panels.append(self._panel((slice(None), k), heading, labels, dropped, is_ratio[k]))
        return panels

    def _panel(
        self, cells: Any, heading: str, labels: list[str], dropped: Array, is_ratio: Any
    ) -> ForestPanel:
        """The panel of a row or column of the coefficients."""
        experts = np.broadcast_to(np.arange(len(self.expert_names)), self.coefficients.shape)
        intervals = None if self.intervals is None else self.intervals[cells]
        estimates = self.coefficients[cells]
        return ForestPanel(
            heading, labels, cells, experts[cells], estimates, intervals, dropped, bool(is_ratio)
        )

    @property
    def _dropped(self) -> Array:
        none = np.zeros(len(self.feature_names), dtype=bool)
        return none if self.dropped is None else np.asarray(self.dropped)

    def _caption(self) -> list[str]:
        """What is drawn: the name of the axis, and sentences about it."""
        notes = [f"{self.coefficient_name}, per {self.step} of the feature"]
        if self.intervals is not None and self.level is not None:
            hollow = np.isfinite(self.coefficients) & np.isnan(self.intervals).any(axis=2)
            without = " Hollow: no interval." if hollow.any() else ""
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


def _as_ratios(table: CoefficientTable, estimator: Any) -> CoefficientTable:
    """The table with the log odds of two classes as logs of ratios."""
    if not is_classifier(estimator) or len(estimator.classes_) != 2:
        return table
    name = table.name.replace("Log odds", "Odds ratio")
    return table._replace(is_ratio=np.ones(len(table.is_ratio), bool), name=name)


def _panels_for(by: str | None, table: CoefficientTable) -> str:
    """What each panel is for; coefficients that are no ratios have other axes than ratios."""
    has_predictor = np.isfinite(table.estimates).any(axis=1)
    is_mixed = len(set(table.is_ratio[has_predictor].tolist())) > 1
    if by is None:
        return "expert" if is_mixed else "feature"
    check_choice("by", by, ("feature", "expert"))
    if by == "feature" and is_mixed:
        raise ValueError(
            'by="feature" needs experts whose coefficients are all ratios, or all are not; some of '
            'these experts have a log link. Use by="expert".'
        )
    return by
