"""ExpertsDisplay: predictions of the experts over a feature, and where the gate chooses them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, Self

import numpy as np

from skmoe._data.checks import check_flag, check_integer
from skmoe._numerics.typing import Array
from skmoe._optional import import_pyplot
from skmoe.distributions import check_coverage
from skmoe.inspection._checks import check_names, check_names_of_experts, check_panels, check_table
from skmoe.inspection._expert_curves import (
    CLASS_MARK_HEIGHTS,
    band_style,
    draw_band,
    draw_curves,
    draw_rows,
    draw_unit_lines,
)
from skmoe.inspection._expert_slices import experts_over, observed_rows, rows_over
from skmoe.inspection._feature_axes import (
    draw_grid,
    feature_axis,
    keep_one_legend,
    label_feature,
    label_outer,
)
from skmoe.inspection._leading import leading_feature
from skmoe.inspection._pipelines import find_mixture
from skmoe.inspection._style import (
    LIGHT_GREY,
    expert_handle,
    expert_legend,
    in_legend,
    names_or_default,
    one_axes,
)


class ExpertsDisplay:
    """Predictions of each expert over one feature, with the gate probability as opacity.

    Points are the rows of the data, in the colour of the expert with the largest responsibility.
    The dashed line is the prediction of the mixture, the grey band its predictive intervals. A
    feature with categories has marks instead of curves. The curves are those of rows with the other
    features at their medians. The rows of the data have their own values, and their scatter about
    the curves includes the effect of the other features, which `adjust` removes.

    With `units`, such as customers or patients, the rows of a unit have the colour of the unit's
    expert. Those of a regressor are joined by a thin line, in the order of the feature.

    Of a classifier the curves are each expert's probability of one class. Marks at the top are the
    rows of that class, marks at the bottom the other rows.

    Several features make a grid, with a display for each in `panels`; the arrays are then those of
    the first one. See "Displays" in the user guide, and "Regimes in one variable" in the gallery.

    Parameters
    ----------
    feature_name, target_name : str
        Labels of the axes.
    grid : ndarray of shape (n_points,)
        Values of the feature; positions of categories.
    curves : ndarray of shape (n_points, n_experts)
        Predictions of each expert, in the units of y, or its probabilities of the class.
    gate : ndarray of shape (n_points, n_experts)
        Probabilities of the gate.
    mean : ndarray of shape (n_points,)
        Prediction of the mixture.
    band : ndarray of shape (n_points, 2) or None
        Predictive intervals.
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
    expert_names : list of str of length n_experts, default=None
        Names of the experts; None for "expert 0" and so on.
    feature_note : str, default=""
        What the features are, if they are not those of the input of a pipeline.
    panels : list of ExpertsDisplay, default=None
        The displays of a grid; None for one panel.

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

    legend_: Any

    def __init__(
        self,
        *,
        feature_name: str,
        target_name: str,
        grid: Array,
        curves: Array,
        gate: Array,
        mean: Array,
        band: Array | None,
        coverage: float | None,
        x: Array,
        y: Array,
        assigned_expert: Array,
        is_probability: bool = False,
        units: Array | None = None,
        categories: Sequence[str] | None = None,
        expert_names: Sequence[str] | None = None,
        feature_note: str = "",
        panels: Sequence[ExpertsDisplay] | None = None,
    ) -> None:
        self.feature_name = feature_name
        self.target_name = target_name
        self.grid = grid
        self.curves = curves
        self.gate = gate
        self.mean = mean
        self.band = band
        self.coverage = coverage
        self.x = x
        self.y = y
        self.assigned_expert = assigned_expert
        self.is_probability = is_probability
        self.units = units
        self.categories = categories
        self.expert_names = names_or_default(expert_names, curves.shape[1])
        self.feature_note = feature_note
        self.panels = panels

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
        adjust: bool = False,
        grid_resolution: int = 200,
        subsample: int | None = 1000,
        random_state: Any = None,
        feature_names: Sequence[str] | None = None,
        expert_names: Sequence[str] | None = None,
        offset: Any = None,
        units: Any = None,
        max_units: int | None = 50,
        feature: Any = None,
        ax: Any = None,
        **kwargs: Any,
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
            panel for each of its entries. None is the feature on which the gate depends most: the
            one with the largest range of log odds for one standard deviation.
        target : class label or int, default=None
            The class whose probability is drawn, or the index of the output. Needed for more than
            two classes and for several outputs; of two classes the default is `classes_[1]`.
        coverage : float, default=0.9
            Nominal coverage of the predictive intervals of a regressor. None for no band, as is
            required for experts without a predictive distribution.
        adjust : bool, default=False
            Whether the rows of a regressor are drawn as partial residuals: y plus the change of
            their expert's prediction if the other features move to the medians.
        grid_resolution : int, default=200
            Points of the curves.
        subsample : int, default=1000
            Largest number of rows to show, drawn at random; None for all. Not used with `units`.
        random_state : int, RandomState instance or None, default=None
            Source of randomness of the rows or units shown.
        feature_names : list of str of length n_features, default=None
            Names of the features; None for those seen in fit, or x0, x1 and so on.
        expert_names : list of str of length n_experts, default=None
            Names of the experts; None for those of the model, `expert_names_`.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors of the rows, as in `fit`. Their y is drawn per unit of
            exposure, as are the curves.
        units : array-like of shape (n_samples,), default=None
            Units of the rows, as in `fit`; None for rows.
        max_units : int, default=50
            Largest number of units to show, with all of their rows; None for all. More are drawn at
            random: without `random_state` the same ones each time.
        feature : int or str, default=None
            The former name of `features`, which will be removed in version 0.3.
        ax : matplotlib axes or array-like of axes, default=None
            Axes to draw on; None for new ones. A grid takes one for each panel, or a single one
            that the panels replace.
        **kwargs : dict
            Passed to `plot`.

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
            `coverage=None`). Also if a number of points, rows or units is not at least two.

        Warns
        -----
        FutureWarning
            If `feature` is given.
        """
        import_pyplot(f"{cls.__name__}.from_estimator")
        if feature is not None:
            warnings.warn(
                "feature is features since version 0.2, and will be removed in 0.3.",
                FutureWarning,
                stacklevel=2,
            )
            features = feature
        estimator, X, note = find_mixture(estimator, X)
        labels = check_names(estimator, feature_names)
        names = check_names_of_experts(estimator, expert_names)
        chosen = None
        if features is not None:
            chosen = check_panels("features", features, estimator, feature_names, max_features=1)
        check_integer("grid_resolution", grid_resolution, least=2)
        check_flag("adjust", adjust)
        coverage = None if coverage is None else check_coverage(coverage)
        table = check_table(estimator, X)
        rows = observed_rows(estimator, table, y, target, offset, units)
        chosen = [[leading_feature(estimator, table)]] if chosen is None else chosen
        sampling = subsample, max_units, random_state
        panels = []
        for (j,) in chosen:
            axis = feature_axis(table, j, labels[j], grid_resolution)
            arrays = experts_over(estimator, rows, axis, coverage, adjust)
            shown = rows_over(axis, rows, sampling)
            assigned = rows.assigned_expert[shown]
            panels.append(
                cls(
                    **arrays | {"y": arrays["y"][shown]},
                    x=axis.observed[shown],
                    assigned_expert=assigned,
                    units=None if units is None else np.asarray(units)[shown],
                    expert_names=names,
                    feature_note=note,
                )
            )
        display = copy(panels[0])
        display.panels = panels if len(panels) > 1 else None
        return display.plot(ax=ax, **kwargs)

    def plot(
        self,
        ax: Any = None,
        *,
        line_kwargs: Mapping[str, Any] | None = None,
        scatter_kwargs: Mapping[str, Any] | None = None,
        band_kwargs: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw the experts.

        Parameters
        ----------
        ax : matplotlib axes or array-like of axes, default=None
            Axes to draw on; None for new ones. A grid takes one for each panel, or a single one
            that the panels replace.
        line_kwargs : dict, default=None
            Passed to matplotlib's `LineCollection`, for the curves.
        scatter_kwargs : dict, default=None
            Passed to matplotlib's `scatter`, for the rows.
        band_kwargs : dict, default=None
            Passed to matplotlib's `fill_between`, for the predictive intervals.

        Returns
        -------
        display : ExpertsDisplay
            This display.
        """
        caller = f"{type(self).__name__}.plot"
        options = {
            "line_kwargs": line_kwargs,
            "scatter_kwargs": scatter_kwargs,
            "band_kwargs": band_kwargs,
        }
        if self.panels is not None:
            self.ax_ = draw_grid(self.panels, ax, caller, options)
            self.figure_ = self.ax_[0].figure
            keep_one_legend(self.ax_, [panel.legend_ for panel in self.panels])
            label_outer(self.ax_, [True] * len(self.panels))
            return self
        ax = one_axes(ax, caller)
        is_category = self.categories is not None
        self.band_ = None
        if self.band is not None and self.coverage is not None:
            style = band_style(self.coverage, band_kwargs)
            self.band_ = draw_band(ax, self.grid, self.band, is_category=is_category, kwargs=style)
        self.unit_lines_ = None
        if self.units is not None and not self.is_probability:  # classes would be up and down
            rows = self.x, self.y, self.assigned_expert, self.units.tolist()
            self.unit_lines_ = draw_unit_lines(ax, *rows)
        self._plot_rows(ax, scatter_kwargs)
        experts = self.grid, self.curves, self.gate
        self.curves_ = draw_curves(ax, *experts, is_category=is_category, kwargs=line_kwargs)
        style = {"color": "black", "linewidth": 1.2, "label": "mixture", "zorder": 4}
        style |= {"linestyle": "none", "marker": "_", "markersize": 14} if is_category else {}
        style = {"linestyle": "--"} | style
        (self.line_,) = ax.plot(self.grid, self.mean, **style)
        ax.set_ylabel(self.target_name)
        label_feature(ax, self.feature_name, self.categories, self.feature_note)
        if self.is_probability:
            ax.set_ylim(-0.1, 1.1)
        self._plot_legend(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _plot_rows(self, ax: Any, kwargs: Mapping[str, Any] | None) -> None:
        style: dict[str, Any] = {"s": 12 if self.units is None else 6, "alpha": 0.45}
        style["linewidths"] = 0
        height = self.y
        if self.is_probability:
            height = CLASS_MARK_HEIGHTS[self.y.astype(int)]
            style |= {"marker": "|", "s": 40, "linewidths": 1.0}
        rows = self.x, height, self.assigned_expert, {**style, **(kwargs or {})}
        self.scatter_ = draw_rows(ax, *rows, is_category=self.categories is not None)

    def _plot_legend(self, ax: Any) -> None:
        from matplotlib.lines import Line2D

        handles = [
            expert_handle(k, name, linestyle="-", linewidth=3)
            for k, name in enumerate(in_legend(self.expert_names))
        ]
        handles += [self.line_] + ([] if self.band_ is None else [self.band_])
        rows = "rows, by expert" if self.units is None else "rows, by the\nexpert of the unit"
        style: dict[str, Any] = {"marker": "o", "linestyle": "none", "color": LIGHT_GREY}
        if self.unit_lines_ is not None:
            style |= {"markersize": 3, "linestyle": "-", "linewidth": 0.7}
        if self.is_probability:
            rows, style["marker"] = f"{rows}\n(of the class: top)", "|"
        handles.append(Line2D([], [], label=rows, **style))
        self.legend_ = expert_legend(ax, handles)
        self.legend_.set_title("Opacity: gate\nprobability")
