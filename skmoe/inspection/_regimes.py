"""RegimesDisplay: the gate over its strongest feature, and each expert with its rows below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.base import is_classifier

from skmoe._data.checks import check_flag, check_integer
from skmoe._inference.labels import counted_noun, format_percent
from skmoe._numerics.typing import Array
from skmoe._optional import import_pyplot
from skmoe.inspection._checks import (
    check_features,
    check_names,
    check_names_of_experts,
    check_table,
)
from skmoe.inspection._experts import CATEGORY_WIDTH, draw_rows
from skmoe.inspection._gate import GateDisplay, gate_over
from skmoe.inspection._grid import feature_axis, make_grid, rows_to_show
from skmoe.inspection._leading import expert_effects, leading_feature
from skmoe.inspection._pipelines import find_mixture
from skmoe.inspection._style import (
    colour,
    expert_handle,
    grid_cells,
    in_first_column,
    label_feature,
    legend_above,
    marked_points,
    marker,
    rgb,
    shortened,
)
from skmoe.inspection._targets import changes_to_references, observed_rows, one_target

# Characters of a name above a panel.
HEADING_WIDTH = 26

# Panels side by side, at most, their size, and the height of the gate above them, in inches.
MAX_REGIME_COLUMNS, REGIME_SIZE, GATE_HEIGHT = 4, (2.9, 2.5), 2.0

# Rows of a smaller responsibility are not drawn; the opacity of a row that is certain.
MIN_RESPONSIBILITY_SHOWN, MAX_ROW_OPACITY = 0.02, 0.6

# Opacity of a line beyond the rows of its expert.
OUTSIDE_OPACITY = 0.3


@dataclass(kw_only=True, eq=False, repr=False)
class RegimesDisplay:
    """Regimes at a glance: where the gate chooses each expert, and what it does there.

    Above, the probabilities of the gate over the feature on which it depends most. Below, a panel
    for each expert, from left to right in the order in which the gate chooses them over that
    feature. A panel has the rows, as opaque as the responsibility of the expert for them, and the
    prediction of the expert over the feature with its largest effect. A line is pale beyond the
    rows that belong to the expert. Other features are at their medians, and rows are drawn as
    partial residuals, with the effect of the other features under this expert removed.

    It corresponds to the picture of a model-based tree [1]_, which shows the splits above and the
    model of each leaf below.

    Of a classifier, the predictions are probabilities of one class; marks at the top are the rows
    of that class, marks at the bottom the other rows.

    See "Displays" in the user guide, and "Reading a fit by its pictures" in the gallery.

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
    order : list of int of length n_experts
        The experts from left to right.
    is_probability : bool, default=False
        Whether the curves are probabilities of a class.
    categories : list, default=None
        Labels of the categories of the feature of each panel; None for those with numbers.
    of_units : bool, default=False
        Whether the shares are those of units.

    Attributes
    ----------
    ax_ : ndarray of shape (1 + n_experts,) of matplotlib axes
        Axes of the gate and of each expert; without the first for one expert.
    figure_ : matplotlib figure
        Figure of the plot.
    lines_ : list of matplotlib lines
        The prediction of each expert.
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
    >>> [bool(display.curves[k][0] < display.curves[k][-1]) for k in display.order]
    [True, False]
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
    order: Sequence[int]
    is_probability: bool = False
    categories: Sequence[Any] | None = None
    of_units: bool = False

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
            The class whose probability is drawn, or the index of the output. Needed for more than
            two classes and for several outputs; of two classes the default is `classes_[1]`.
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
        import_pyplot(f"{cls.__name__}.from_estimator")
        estimator, X, note = find_mixture(estimator, X)
        labels = check_names(estimator, feature_names)
        names = check_names_of_experts(estimator, expert_names)
        of_gate, of_experts = (
            None if value is None else check_features(name, value, estimator, feature_names, 1)[0]
            for name, value in (("gate_feature", gate_feature), ("features", features))
        )
        check_flag("adjust", adjust)
        if subsample is not None:
            check_integer("subsample", subsample, least=2)
        table = check_table(estimator, X)
        rows = observed_rows(estimator, table, y, target, offset, units)
        column = leading_feature(estimator, table) if of_gate is None else of_gate
        gate, order = None, [0]
        if len(names) > 1:
            arrays = gate_over(estimator, table, [column], labels, None)
            gate = GateDisplay(**arrays, expert_names=names, feature_note=note)
            order = np.argsort(gate.values[0] @ gate.gate / gate.gate.sum(axis=0)).tolist()
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
        is_class = is_classifier(estimator)
        adjusted = adjust and not is_class
        curves, heights = {}, {}
        for j, axis in axes.items():
            points = make_grid(table, [j], axis.grid[:, None])
            curves[j] = one_target(estimator.predict_experts(points), rows.target, 2)
            heights[j] = np.tile(rows.observed[:, None], len(names))
            if adjusted:
                heights[j] += changes_to_references(estimator, table, j, rows.target)
        display = cls(
            gate=gate,
            expert_names=names,
            shares=rows.shares,
            feature_names=[axis.name for axis in panels],
            grids=[axis.positions for axis in panels],
            curves=[curves[j][:, k] for k, j in enumerate(columns)],
            x=[axis.observed[shown] for axis in panels],
            y=[heights[j][shown, k] for k, j in enumerate(columns)],
            responsibilities=rows.resp[shown],
            target_name=rows.name + ("\n(other features at medians)" if adjusted else ""),
            order=order,
            is_probability=is_class,
            categories=[axis.categories for axis in panels],
            of_units=units is not None,
        )
        return display.plot(ax=ax, **kwargs)

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
        n_experts = len(self.expert_names)
        n_rows = -(-n_experts // MAX_REGIME_COLUMNS)
        n_columns = -(-n_experts // n_rows)
        with_gate = self.gate is not None
        heights = [GATE_HEIGHT] * with_gate + [REGIME_SIZE[1]] * n_rows
        size = REGIME_SIZE[0] * max(n_columns, 2), sum(heights)
        shape = {"nrows": len(heights), "ncols": n_columns, "height_ratios": heights}
        self.figure_, cells = grid_cells(ax, f"{type(self).__name__}.plot", size, **shape)
        above: list[Any] = []
        if self.gate is not None:
            above = [self.figure_.add_subplot(cells[0, :])]
            self.gate.plot(above[0])
            self.gate.legend_.remove()  # the headings of the panels are the legend
        positions = [divmod(i, n_columns) for i in range(n_experts)]
        panels = [self.figure_.add_subplot(cells[i + with_gate, j]) for i, j in positions]
        self.lines_: list[Any] = [None] * n_experts
        self.scatters_: list[Any] = [None] * n_experts
        by_expert: list[Any] = [None] * n_experts
        limits, is_first = self._limits(), in_first_column(panels)
        for i, k in enumerate(self.order):
            by_expert[k] = panels[i]
            self.scatters_[k] = self._draw_rows(panels[i], k, scatter_kwargs)
            self.lines_[k] = self._draw_expert(panels[i], k)
            panels[i].set_ylim(limits)
            if is_first[i]:
                panels[i].set_ylabel(self.target_name)
            else:
                panels[i].set_yticklabels([])
        self.ax_ = np.array([*above, *by_expert], dtype=object)
        return self

    def _draw_rows(self, ax: Any, k: int, kwargs: Mapping[str, Any] | None) -> Any:
        """The rows in the colour of the expert, as opaque as its responsibility."""
        resp = self.responsibilities[:, k]
        shown = np.flatnonzero(resp >= MIN_RESPONSIBILITY_SHOWN)
        fill = np.tile(rgb(k), (len(shown), 1))
        style: dict[str, Any] = {"c": np.column_stack([fill, MAX_ROW_OPACITY * resp[shown]])}
        style |= {"s": 12, "linewidths": 0}
        is_category = self._categories[k] is not None
        kinds = {"is_category": is_category, "is_class": self.is_probability}
        return draw_rows(ax, self.x[k][shown], self.y[k][shown], style, kwargs, **kinds)

    def _draw_expert(self, ax: Any, k: int) -> Any:
        """The prediction of an expert, pale beyond its rows, and its heading."""
        grid, curve = self.grids[k], self.curves[k]
        style: dict[str, Any] = {"color": colour(k), "marker": marker(k), "zorder": 3}
        if self._categories[k] is None:
            own = self.x[k][self.responsibilities.argmax(axis=1) == k]
            low, high = (own.min(), own.max()) if len(own) else grid[[0, -1]]
            ax.plot(grid, curve, color=colour(k), linewidth=2.5, zorder=3, alpha=OUTSIDE_OPACITY)
            style |= {"linewidth": 2.5, "markersize": 5, "markevery": marked_points(len(grid), k)}
            inside = np.where((grid >= low) & (grid <= high), curve, np.nan)
            (line,) = ax.plot(grid, inside, **style)
            ax.set_xlim(grid[[0, -1]])
        else:
            (line,) = ax.plot(grid, curve, **style | {"linestyle": "none", "markersize": 8})
            ends = grid - CATEGORY_WIDTH, grid + CATEGORY_WIDTH
            ax.hlines(curve, *ends, color=colour(k), linewidth=2.5, zorder=3)
        label_feature(ax, self.feature_names[k], self._categories[k], "")
        share = f"{format_percent(self.shares[k])} of the {counted_noun(self.of_units)}s"
        heading = f"{shortened(self.expert_names[k], HEADING_WIDTH)}\n{share}"
        small = {"fontsize": 9, "borderpad": 0.1, "borderaxespad": 0.1}
        legend_above(ax, [expert_handle(k, heading)], **small)
        return line

    @property
    def _categories(self) -> Sequence[Any]:
        return [None] * len(self.expert_names) if self.categories is None else self.categories

    def _limits(self) -> tuple[float, float]:
        """Limits of the vertical axes: those of the rows that count in their panels."""
        if self.is_probability:
            return -0.1, 1.1
        counted = [values[self.responsibilities[:, k] > 0.5] for k, values in enumerate(self.y)]
        values = np.concatenate(counted)
        values = values if len(values) else np.concatenate(self.curves)
        margin = 0.05 * np.ptp(values) or 1.0
        return float(values.min() - margin), float(values.max() + margin)
