"""RegimesDisplay: the gate over its strongest feature, and each expert with its rows below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.base import is_classifier

from skmoe._data.checks import check_flag
from skmoe._data.rows import Rows
from skmoe._numerics.typing import Array
from skmoe.inspection._checks import check_features, check_table, drawn_with_names
from skmoe.inspection._experts import CATEGORY_WIDTH, CLASS_LIMITS, draw_rows, point_area
from skmoe.inspection._gate import GateDisplay, gate_over
from skmoe.inspection._grid import feature_axis, height_limits, make_grid, rows_to_show
from skmoe.inspection._segment_tables import expert_effects, leading_feature
from skmoe.inspection._style import (
    colour,
    count_beyond,
    curve_style,
    grid_cells,
    head_expert,
    in_first_column,
    label_feature,
    label_target,
    rgb,
    with_panels,
)
from skmoe.inspection._targets import observed_rows, one_target

# Panels side by side, at most, their size, the width of the name of y at their left, and the height
# of the gate above them, in inches.
MAX_REGIME_COLUMNS, REGIME_SIZE, TARGET_NAME_WIDTH, GATE_HEIGHT = 4, (2.8, 2.5), 0.4, 2.0

# Rows of a smaller responsibility are not drawn; the opacity of a row that is certain.
MIN_RESPONSIBILITY_SHOWN, MAX_ROW_OPACITY = 0.02, 0.6

# Opacity of a line beyond the rows of its expert.
OUTSIDE_OPACITY = 0.3


@dataclass(kw_only=True, eq=False, repr=False)
class RegimesDisplay:
    """Regimes at a glance: where the gate chooses each expert, and what it does there.

    Above, the probabilities of the gate over the feature on which it depends most. Below, a panel
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
    gate : GateDisplay or None
        The gate over one feature; None for one expert.
    expert_names : list of str of length n_experts
        Names of the experts.
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
    order : list of int of length n_experts, default=None
        The experts from left to right; None for 0, 1 and so on.
    is_probability : bool, default=False
        Whether the curves are probabilities of a class.
    categories : list, default=None
        Labels of the categories of the feature of each panel; None for those with numbers.
    of_units : bool, default=False
        Whether the shares are those of units.
    exposure : ndarray of shape (n_shown,), default=None
        Exposures of the rows, to which the areas of the points are proportional. None for rows
        without an offset.
    panels : list of RegimesDisplay, default=None
        The displays of several classes; None for one target.

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
    expert_names: Sequence[str]
    shares: Array
    feature_names: Sequence[str]
    grids: Sequence[Array]
    curves: Sequence[Array]
    x: Sequence[Array]
    y: Sequence[Array]
    responsibilities: Array
    target_name: str
    order: Sequence[int] | None = None
    is_probability: bool = False
    categories: Sequence[Any] | None = None
    of_units: bool = False
    exposure: Array | None = None
    panels: Sequence[RegimesDisplay] | None = None

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
        random_state: Any = None,
        units: Any = None,
        offset: Any = None,
        feature_names: Sequence[str] | None = None,
        expert_names: Sequence[str] | None = None,
        ax: Any = None,
        **kwargs: Any,
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
            One feature for all experts; None for the feature with the largest effect of each: its
            coefficient for one standard deviation, or the change of its predictions.
        target : class label or int, default=None
            The class whose probability is drawn, or the index of the output, which is needed for
            several outputs. None is `classes_[1]` of two classes, and panels for each of more.
        adjust : bool, default=True
            Whether the rows of a regressor are drawn as partial residuals; otherwise with their
            own y.
        subsample : int, default=1000
            Largest number of rows to show, drawn at random; None for all.
        random_state : int, RandomState instance or None, default=None
            Source of randomness of the rows shown.
        units : array-like of shape (n_samples,), default=None
            Units of the rows, as in `fit`; None for rows.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors of the rows, as in `fit`. Their y is drawn per unit of
            exposure, as are the curves.
        feature_names : list of str of length n_features, default=None
            Names of the features; None for those seen in fit, or x0, x1 and so on.
        expert_names : list of str of length n_experts, default=None
            Names of the experts; None for those of the model, `expert_names_`.
        ax : matplotlib axes, default=None
            Axes that the panels replace; None for a new figure.
        **kwargs : dict
            Passed to `plot`.

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
            If a feature, the class or the output is missing or unknown, or there is not one name
            for each expert.
        """
        found = drawn_with_names(cls, estimator, X, feature_names, expert_names, kwargs)
        estimator, X, note, labels, names = found
        of_gate, of_experts = (
            None if value is None else check_features(name, value, estimator, feature_names, 1)[0]
            for name, value in (("gate_feature", gate_feature), ("features", features))
        )
        check_flag("adjust", adjust)
        table = check_table(estimator, X)
        targets = observed_rows(estimator, Rows(table, y, None, offset, units), target)
        column = leading_feature(estimator, table) if of_gate is None else of_gate
        gate = None
        if len(names) > 1:
            arrays = gate_over(estimator, table, [column], labels, None)
            gate = GateDisplay(**arrays, expert_names=names, feature_note=note)
        adjusted = adjust and not is_classifier(estimator)
        displays = []
        for rows in targets:
            columns: list[Any] = [of_experts] * len(names)
            if of_experts is None:  # the feature with the largest effect on each, if there is any
                effects = expert_effects(estimator, table, rows.target)
                effects = np.broadcast_to(effects, (len(effects), len(names)))
                columns = [int(effect.argmax()) if effect.any() else column for effect in effects.T]
            axes = {j: feature_axis(table, j, labels[j], 200) for j in dict.fromkeys(columns)}
            panels = [axes[j] for j in columns]
            # All rows that can be drawn in every panel, so that the panels show the same rows.
            finite = [np.isfinite(axis.observed) for axis in axes.values()]
            shown = rows_to_show(np.all(finite, axis=0), subsample, random_state)
            curves, heights = {}, {}
            for j, axis in axes.items():
                points = make_grid(table, [j], axis.grid[:, None])
                curves[j] = one_target(estimator.predict_experts(points), rows.target, 2)
                observed = np.tile(rows.observed[:, None], len(names))
                heights[j] = rows.partial_residuals(estimator, j) if adjusted else observed
            displays.append(
                cls(
                    gate=gate,
                    expert_names=names,
                    shares=rows.shares,
                    feature_names=[axis.name for axis in panels],
                    grids=[axis.positions for axis in panels],
                    curves=[curves[j][:, k] for k, j in enumerate(columns)],
                    x=[axis.observed[shown] for axis in panels],
                    y=[heights[j][shown, k] for k, j in enumerate(columns)],
                    responsibilities=rows.resp[shown],
                    target_name=rows.name_of_residuals if adjusted else rows.name,
                    is_probability=is_classifier(estimator),
                    categories=[axis.categories for axis in panels],
                    of_units=units is not None,
                    exposure=None if rows.exposure is None else rows.exposure[shown],
                )
            )
        return with_panels(displays).plot(ax=ax, **kwargs)

    def plot(self, ax: Any = None, *, scatter_kwargs: Mapping[str, Any] | None = None) -> Self:
        """Draw gate and experts.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Axes that the panels replace; None for a new figure.
        scatter_kwargs : dict, default=None
            Passed to matplotlib's `scatter`, for the rows.

        Returns
        -------
        display : RegimesDisplay
            This display.
        """
        blocks = [self] if self.panels is None else self.panels
        n_experts = len(self.expert_names)
        n_rows = -(-n_experts // MAX_REGIME_COLUMNS)
        n_columns = -(-n_experts // n_rows)
        with_gate = self.gate is not None
        heights = [GATE_HEIGHT] * with_gate + [REGIME_SIZE[1]] * (n_rows * len(blocks))
        size = TARGET_NAME_WIDTH + REGIME_SIZE[0] * max(n_columns, 2), sum(heights)
        shape = {"nrows": len(heights), "ncols": n_columns, "height_ratios": heights}
        self.figure_, cells = grid_cells(ax, f"{type(self).__name__}.plot", size, **shape)
        above: list[Any] = []
        if self.gate is not None:
            above = [self.figure_.add_subplot(cells[0, :])]
            self.gate.plot(above[0])
            self.gate.legend_.remove()  # the headings of the panels are the legend
        drawn: list[Any] = []
        for i, block in enumerate(blocks):
            cell_of = [divmod(j, n_columns) for j in range(n_experts)]
            cell_of = [(with_gate + i * n_rows + row, column) for row, column in cell_of]
            panels = [self.figure_.add_subplot(cells[cell]) for cell in cell_of]
            drawn += draw_experts(block, panels, scatter_kwargs)
        by_expert, self.lines_, self.scatters_ = (list(each) for each in zip(*drawn, strict=True))
        self.ax_ = np.array([*above, *by_expert], dtype=object)
        return self


# --- panels of the experts ---------------------------------------------------------------------


def draw_experts(
    display: RegimesDisplay, panels: list[Any], scatter_kwargs: Mapping[str, Any] | None
) -> list[tuple[Any, Any, Any]]:
    """Draw the experts of one target; returns the axes, the line and the rows of each."""
    order = range(len(panels)) if display.order is None else display.order
    in_panels = sorted(zip(order, panels, in_first_column(panels), strict=True))
    limits, drawn = limits_of_heights(display), []
    for k, ax, is_first in in_panels:
        scatter = draw_expert_rows(display, ax, k, scatter_kwargs)
        drawn.append((ax, draw_expert(display, ax, k), scatter))
        ax.set_ylim(limits)
        is_own = display.responsibilities.argmax(axis=1) == k
        count_beyond(ax, display.x[k][is_own], display.y[k][is_own])
        if is_first:
            label_target(ax, display.target_name)
        else:
            ax.set_yticklabels([])
    return drawn


def draw_expert_rows(
    display: RegimesDisplay, ax: Any, k: int, kwargs: Mapping[str, Any] | None
) -> Any:
    """The rows in the colour of the expert, as opaque as its responsibility."""
    resp = display.responsibilities[:, k]
    shown = np.flatnonzero(resp >= MIN_RESPONSIBILITY_SHOWN)
    fill = np.tile(rgb(k), (len(shown), 1))
    style: dict[str, Any] = {"c": np.column_stack([fill, MAX_ROW_OPACITY * resp[shown]])}
    style |= {"s": point_area(12, display.exposure, shown), "linewidths": 0}
    is_category = categories_of_panel(display, k) is not None
    kinds = {"is_category": is_category, "is_class": display.is_probability}
    return draw_rows(ax, display.x[k][shown], display.y[k][shown], style, kwargs, **kinds)


def draw_expert(display: RegimesDisplay, ax: Any, k: int) -> Any:
    """The prediction of an expert, pale beyond its rows, and its heading."""
    grid, curve = display.grids[k], display.curves[k]
    categories = categories_of_panel(display, k)
    style = curve_style(k, len(grid), is_category=categories is not None) | {"zorder": 3}
    whole = {"color": colour(k), "linewidth": 2.5, "zorder": 3}
    if categories is None:
        ax.plot(grid, curve, **whole, alpha=OUTSIDE_OPACITY)
        curve = np.where(is_over_rows(display, k), curve, np.nan)
        style |= {"linestyle": "-", "linewidth": 2.5}
        ax.set_xlim(grid[[0, -1]])
    else:
        ax.hlines(curve, grid - CATEGORY_WIDTH, grid + CATEGORY_WIDTH, **whole)
    (line,) = ax.plot(grid, curve, **style)
    label_feature(ax, display.feature_names[k], categories, "")
    head_expert(ax, k, display.expert_names, display.shares, of_units=display.of_units)
    return line


def limits_of_heights(display: RegimesDisplay) -> tuple[float, float]:
    """Limits of the vertical axes: those of the rows that count, and of lines over them."""
    if display.is_probability:
        return CLASS_LIMITS
    rows, exposures, lines = [np.zeros(0)], [np.zeros(0)], []
    for k, (x, y) in enumerate(zip(display.x, display.y, strict=True)):
        ends = display.grids[k][[0, -1]]
        counted = (display.responsibilities[:, k] > 0.5) & (x >= ends[0]) & (x <= ends[1])
        rows.append(y[counted])
        exposures += [] if display.exposure is None else [display.exposure[counted]]
        lines.append(display.curves[k][is_over_rows(display, k)])
    exposure = None if display.exposure is None else np.concatenate(exposures)
    return height_limits(np.concatenate(rows), np.concatenate(lines), exposure)


def is_over_rows(display: RegimesDisplay, k: int) -> Array:
    """Whether points of a line are between rows that belong to the expert, if it has any."""
    own = display.x[k][display.responsibilities.argmax(axis=1) == k]
    grid = display.grids[k]
    low, high = (own.min(), own.max()) if len(own) else grid[[0, -1]]
    return (grid >= low) & (grid <= high)


def categories_of_panel(display: RegimesDisplay, k: int) -> Sequence[str] | None:
    """Labels of the categories of the feature of an expert, if it has any."""
    return None if display.categories is None else display.categories[k]
