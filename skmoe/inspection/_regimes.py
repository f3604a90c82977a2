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
from skmoe.inspection import _style as draw
from skmoe.inspection._experts import CATEGORY_WIDTH
from skmoe.inspection._grid import expert_effects, feature_axis, height_limits, leading_feature
from skmoe.inspection._probabilities import GateDisplay, gate_over
from skmoe.inspection._subject import check_features, drawn_mixture, observed_rows

# Panels side by side, at most, their size, the width of the name of y at their left, and the height
# of the gate above them, in inches.
MAX_REGIME_COLUMNS, REGIME_SIZE, TARGET_NAME_WIDTH, GATE_HEIGHT = 4, (2.8, 2.5), 0.4, 2.0

# Rows of a smaller responsibility are not drawn; the opacity of a row that is certain.
MIN_RESPONSIBILITY_SHOWN, MAX_ROW_OPACITY = 0.02, 0.6

# Opacity of a line beyond the rows of its expert.
OUTSIDE_OPACITY = 0.3


@dataclass(kw_only=True, eq=False, repr=False)
class RegimesDisplay(draw.DisplayOfPanels):
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
    order: Sequence[int] | None = None
    is_probability: bool = False
    categories: Sequence[Any] | None = None
    of_units: bool = False
    exposure: Array | None = None

    _by_expert = "responsibilities"

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
        found = drawn_mixture(cls, kwargs, estimator, X, feature_names, expert_names)
        estimator, X, note, labels, names = found
        of_gate, of_experts = (
            None if value is None else check_features(name, value, estimator, feature_names, 1)[0]
            for name, value in (("gate_feature", gate_feature), ("features", features))
        )
        check_flag("adjust", adjust)
        targets = observed_rows(estimator, Rows(X, y, None, offset, units), target)
        column = leading_feature(estimator, X) if of_gate is None else of_gate
        gate = None
        if len(names) > 1:
            arrays = gate_over(estimator, X, [column], labels, None)
            gate = GateDisplay(**arrays, expert_names=names, feature_note=note)
        displays = []
        for rows in targets:
            columns: list[Any] = [of_experts] * len(names)
            if of_experts is None:  # the feature with the largest effect on each, if there is any
                effects = expert_effects(estimator, X, rows.target)
                effects = np.broadcast_to(effects, (len(effects), len(names)))
                columns = [int(effect.argmax()) if effect.any() else column for effect in effects.T]
            axes = {j: feature_axis(X, j, labels[j], 200) for j in dict.fromkeys(columns)}
            panels = [axes[j] for j in columns]
            # All rows that can be drawn in every panel, so that the panels show the same rows.
            finite = [np.isfinite(axis.observed) for axis in axes.values()]
            has_value, of_rows = np.all(finite, axis=0), rows._replace(labels=None)
            shown = of_rows.shown(has_value, subsample, None, random_state)
            curves = {j: rows.by_experts(axis.points(X)) for j, axis in axes.items()}
            heights = {j: rows.heights(j, adjust) for j in axes}
            displays.append(
                cls(
                    gate=gate,
                    expert_names=names,
                    shares=rows.shares,
                    feature_names=[axis.name for axis in panels],
                    grids=[axis.positions for axis in panels],
                    curves=[curves[j][:, k] for k, j in enumerate(columns)],
                    x=[axis.observed[shown] for axis in panels],
                    y=[heights[j][1][shown, k] for k, j in enumerate(columns)],
                    responsibilities=rows.resp[shown],
                    target_name=heights[columns[0]][0],
                    is_probability=is_classifier(estimator),
                    categories=[axis.categories for axis in panels],
                    of_units=units is not None,
                    exposure=None if rows.exposure is None else rows.exposure[shown],
                )
            )
        return cls._of_panels(displays).plot(ax=ax, **kwargs)

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
        return self._plot(ax, scatter_kwargs=scatter_kwargs)

    def _draw(self, ax: Any, **options: Any) -> Any:
        blocks, n_experts, with_gate = (
            self.panels or [self],
            len(self.shares),
            self.gate is not None,
        )
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
        drawn: list[Any] = []
        for i, block in enumerate(blocks):
            order = range(n_experts) if block.order is None else block.order
            limits = _limits_of_heights(block)
            by_expert: list[Any] = [None] * n_experts
            for position, k in enumerate(order):
                row, column = divmod(position, n_columns)
                panel = figure.add_subplot(cells[with_gate + i * n_rows + row, column])
                by_expert[k] = panel, *_draw_expert(block, panel, k, options["scatter_kwargs"])
                panel.set_ylim(limits)
                is_own = block.responsibilities.argmax(axis=1) == k
                draw.count_beyond(panel, block.x[k][is_own], block.y[k][is_own])
                if column:
                    panel.set_yticklabels([])
                else:
                    draw.label_target(panel, block.target_name)
            drawn += by_expert
        panels, self.lines_, self.scatters_ = (list(each) for each in zip(*drawn, strict=True))
        return np.array([*axes, *panels], dtype=object)


def _draw_expert(
    display: RegimesDisplay, ax: Any, k: int, kwargs: Mapping[str, Any] | None
) -> tuple[Any, Any]:
    """The prediction of an expert, pale beyond its rows, and rows as its responsibility."""
    grid, curve, resp = display.grids[k], display.curves[k], display.responsibilities[:, k]
    categories = None if display.categories is None else display.categories[k]
    kinds = categories is not None, display.is_probability
    shown = np.flatnonzero(resp >= MIN_RESPONSIBILITY_SHOWN)
    fill = np.tile(draw.rgb(k), (len(shown), 1))
    style: dict[str, Any] = {"c": np.column_stack([fill, MAX_ROW_OPACITY * resp[shown]])}
    style |= {"s": draw.point_area(12, display.exposure, shown), "linewidths": 0}
    rows = draw.draw_rows(ax, display.x[k][shown], display.y[k][shown], style, kwargs, kinds)
    style = draw.curve_style(k, len(grid), is_category=categories is not None) | {"zorder": 3}
    whole = {"color": draw.colour(k), "linewidth": 2.5, "zorder": 3}
    if categories is None:
        ax.plot(grid, curve, **whole, alpha=OUTSIDE_OPACITY)
        curve = np.where(_is_over_rows(display, k), curve, np.nan)
        style |= {"linestyle": "-", "linewidth": 2.5}
        ax.set_xlim(grid[[0, -1]])
    else:
        ax.hlines(curve, grid - CATEGORY_WIDTH, grid + CATEGORY_WIDTH, **whole)
    (line,) = ax.plot(grid, curve, **style)
    draw.label_feature(ax, display.feature_names[k], categories, "")
    draw.head_expert(ax, k, display.expert_names, display.shares, of_units=display.of_units)
    return line, rows


def _limits_of_heights(display: RegimesDisplay) -> tuple[float, float]:
    """Limits of the vertical axes: those of the rows that count, and of lines over them."""
    if display.is_probability:
        return draw.CLASS_LIMITS
    rows, exposures, lines = [], [], []
    exposure = (
        np.ones(len(display.responsibilities)) if display.exposure is None else display.exposure
    )
    for k, (x, y) in enumerate(zip(display.x, display.y, strict=True)):
        first, last = display.grids[k][[0, -1]]
        counted = (display.responsibilities[:, k] > 0.5) & (x >= first) & (x <= last)
        rows.append(y[counted])
        exposures.append(exposure[counted])
        lines.append(display.curves[k][_is_over_rows(display, k)])
    weight = None if display.exposure is None else np.concatenate(exposures)
    return height_limits(np.concatenate(rows), np.concatenate(lines), weight)


def _is_over_rows(display: RegimesDisplay, k: int) -> Array:
    """Whether points of a line are between rows that belong to the expert, if it has any."""
    grid = display.grids[k]
    own = display.x[k][display.responsibilities.argmax(axis=1) == k]
    own = own if len(own) else grid
    return (grid >= own.min()) & (grid <= own.max())
