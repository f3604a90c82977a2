"""ExpertsDisplay: predictions of the experts over a feature, and where the gate chooses them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import is_classifier

from skmoe._data.checks import check_flag, check_integer
from skmoe._numerics.typing import Array
from skmoe._optional import import_pyplot
from skmoe.distributions import check_coverage
from skmoe.inspection._checks import (
    check_drawable,
    check_features,
    check_mixture,
    check_names,
    check_names_of_experts,
    check_table,
    check_target,
)
from skmoe.inspection._grid import make_grid, rows_to_show, units_to_show
from skmoe.inspection._style import (
    LIGHT_GREY,
    colour,
    expert_legend,
    in_legend,
    merged,
    names_or_default,
    one_axes,
    rgb,
)
from skmoe.inspection._targets import (
    exposure_of_rows,
    interval_band,
    observed_target,
    one_target,
    predicted_mean,
    slice_adjustment,
    target_name,
)

# Opacity of a curve where the probability of the expert is zero.
MIN_OPACITY = 0.06

# The vertical axis shows the curves where experts have at least this probability.
MIN_PROBABILITY_SHOWN = 0.05

# Heights at which rows of other classes and of the class are drawn.
CLASS_MARK_HEIGHTS = np.array([-0.05, 1.05])


class ExpertsDisplay:
    """Predictions of each expert over one feature, with the gate probability as opacity.

    Points are the rows of the data, in the colour of the expert with the largest responsibility.
    The dashed line is the prediction of the mixture, the grey band its predictive intervals. The
    curves are those of rows with the other features at their medians. The rows of the data have
    their own values, and their scatter about the curves includes the effect of the other features,
    which `adjust` removes.

    With `units`, such as customers or patients, the rows of a unit have the colour of the unit's
    expert. Those of a regressor are joined by a thin line, in the order of the feature.

    Of a classifier the curves are each expert's probability of one class. Marks at the top are the
    rows of that class, marks at the bottom the other rows.

    Parameters
    ----------
    feature_name, target_name : str
        Labels of the axes.
    grid : ndarray of shape (n_points,)
        Values of the feature.
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
    expert_names : list of str of length n_experts, default=None
        Names of the experts; None for "expert 0" and so on.

    Attributes
    ----------
    ax_ : matplotlib axes
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

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.inspection import ExpertsDisplay
    >>> X = np.linspace(-3, 3, 200)[:, None]
    >>> y = 1 - np.abs(X[:, 0]) + 0.1 * np.sin(40 * X[:, 0])
    >>> moe = MixtureOfExpertsRegressor(n_experts=2, random_state=0).fit(X, y)
    >>> display = ExpertsDisplay.from_estimator(moe, X, y, feature=0)
    >>> display.curves.shape, display.band.shape
    ((200, 2), (200, 2))
    """

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
        expert_names: Sequence[str] | None = None,
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
        self.expert_names = names_or_default(expert_names, curves.shape[1])

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        feature: Any = 0,
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
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the experts of a fitted mixture over one feature.

        Parameters
        ----------
        estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
            Fitted mixture.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to show. They determine the range of the feature and the medians of the others.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed target.
        feature : int or str, default=0
            The feature along the horizontal axis, by index or name.
        target : class label or int, default=None
            The class whose probability is drawn, or the index of the output. Needed for more than
            two classes and for several outputs; of two classes the default is `classes_[1]`.
        coverage : float, default=0.9
            Nominal coverage of the predictive intervals of a regressor. None for no band, as is
            required for experts without a predictive distribution.
        adjust : bool, default=False
            Whether the rows of a regressor are drawn as partial residuals: the difference between
            the prediction of their expert with the other features at the medians and that at their
            own values is added to y.
        grid_resolution : int, default=200
            Points of the curves.
        subsample : int, default=1000
            Largest number of rows to show, drawn at random; None for all. With `units` it is not
            used.
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
        ax : matplotlib axes, default=None
            Axes to draw on; None for new ones.
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
            If the estimator is not a mixture of experts.
        ValueError
            If the feature, the class or the output is missing or unknown, the coverage is not
            between 0 and 1, the experts have no predictive distribution for a band, or a number of
            points, rows or units is not an integer of at least two.
        """
        import_pyplot(f"{cls.__name__}.from_estimator")
        check_mixture(estimator)
        labels = check_names(estimator, feature_names)
        names = check_names_of_experts(estimator, expert_names)
        (j,) = check_features("feature", feature, estimator, feature_names, max_features=1)
        check_integer("grid_resolution", grid_resolution, least=2)
        check_flag("adjust", adjust)
        coverage = None if coverage is None else check_coverage(coverage)
        table = check_table(estimator, X)
        index = check_target(estimator, target, table)
        resp = estimator.responsibilities(X, y, offset, units=units)
        labels_of_units = None if units is None else np.asarray(units)
        assigned_expert = (resp if units is None else resp.rows(units)).argmax(axis=1)
        x = check_drawable(table, j, labels[j])
        grid = np.linspace(np.nanmin(x), np.nanmax(x), grid_resolution)
        rows = make_grid(table, [j], grid[:, None])
        observed = observed_target(estimator, y, index) / exposure_of_rows(offset, index)
        if adjust and not is_classifier(estimator):
            observed = observed + slice_adjustment(estimator, table, j, index, assigned_expert)
        if labels_of_units is None:
            shown = rows_to_show(np.isfinite(x), subsample, random_state)
        else:
            chosen = units_to_show(resp.labels, max_units, random_state)
            shown = np.flatnonzero(np.isfinite(x) & np.isin(labels_of_units, chosen))
        display = cls(
            feature_name=labels[j],
            target_name=target_name(estimator, y, index, adjust)
            + ("" if offset is None else " per unit of exposure"),
            grid=grid,
            curves=one_target(estimator.predict_experts(rows), index, 2),
            gate=estimator.predict_gate(rows),
            mean=predicted_mean(estimator, rows, index),
            band=interval_band(estimator, rows, index, coverage),
            coverage=None if is_classifier(estimator) else coverage,
            x=x[shown],
            y=observed[shown],
            assigned_expert=assigned_expert[shown],
            is_probability=is_classifier(estimator),
            units=None if labels_of_units is None else labels_of_units[shown],
            expert_names=names,
        )
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
        ax : matplotlib axes, default=None
            Axes to draw on; None for new ones.
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
        ax = one_axes(ax, f"{type(self).__name__}.plot")
        self._plot_band(ax, band_kwargs)
        self._plot_unit_lines(ax)
        self._plot_rows(ax, scatter_kwargs)
        self._plot_curves(ax, line_kwargs)
        (self.line_,) = ax.plot(
            self.grid, self.mean, "--", color="black", linewidth=1.2, label="mixture", zorder=4
        )
        ax.set(xlabel=self.feature_name, ylabel=self.target_name)
        if self.is_probability:
            ax.set_ylim(-0.1, 1.1)
        self._plot_legend(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _plot_band(self, ax: Any, kwargs: Mapping[str, Any] | None) -> None:
        self.band_: Any = None
        if self.band is not None and self.coverage is not None:
            style = {"color": LIGHT_GREY, "alpha": 0.25, "linewidth": 0}
            style["label"] = f"{100 * self.coverage:.3g} % interval"
            self.band_ = ax.fill_between(self.grid, *self.band.T, **merged(style, kwargs))

    def _plot_rows(self, ax: Any, kwargs: Mapping[str, Any] | None) -> None:
        style: dict[str, Any] = {"c": [colour(k) for k in self.assigned_expert]}
        style |= {"s": 12 if self.units is None else 6, "alpha": 0.45, "linewidths": 0}
        height = self.y
        if self.is_probability:
            height = CLASS_MARK_HEIGHTS[self.y.astype(int)]
            style |= {"marker": "|", "s": 40, "linewidths": 1.0}
        self.scatter_ = ax.scatter(self.x, height, **{**style, **(kwargs or {})})

    def _plot_unit_lines(self, ax: Any) -> None:
        from matplotlib.collections import LineCollection

        self.unit_lines_: Any = None
        if self.units is None or self.is_probability:  # classes would be lines up and down
            return
        index = {label: i for i, label in enumerate(dict.fromkeys(self.units.tolist()))}
        codes = np.array([index[label] for label in self.units.tolist()], dtype=int)
        order = np.lexsort((self.x, codes))
        ends = np.flatnonzero(np.diff(codes[order])) + 1
        lines: Any = np.split(np.column_stack([self.x, self.y])[order], ends)
        colours = [colour(self.assigned_expert[rows[0]]) for rows in np.split(order, ends)]
        collection = LineCollection(lines, colors=colours, linewidths=0.7, alpha=0.5)
        self.unit_lines_ = ax.add_collection(collection)

    def _plot_curves(self, ax: Any, kwargs: Mapping[str, Any] | None) -> None:
        from matplotlib.collections import LineCollection

        self.curves_: list[Any] = []
        limits = ax.get_ylim()
        for k, (curve, gate) in enumerate(zip(self.curves.T, self.gate.T, strict=True)):
            points = np.column_stack([self.grid, curve])
            opacity = MIN_OPACITY + (1.0 - MIN_OPACITY) * (gate[1:] + gate[:-1]) / 2.0
            colours = np.column_stack([np.tile(rgb(k), (len(opacity), 1)), opacity])
            style = {"colors": colours, "linewidths": 3.0, "zorder": 3, "capstyle": "butt"}
            segments: Any = np.stack([points[:-1], points[1:]], axis=1)
            lines = LineCollection(segments, **{**style, **(kwargs or {})})
            self.curves_.append(ax.add_collection(lines))
        shown = np.where(self.gate >= MIN_PROBABILITY_SHOWN, self.curves, np.nan)
        low, high = np.nanmin(shown), np.nanmax(shown)
        margin = 0.05 * (high - low)
        ax.set_ylim(min(limits[0], low - margin), max(limits[1], high + margin))

    def _plot_legend(self, ax: Any) -> None:
        from matplotlib.lines import Line2D

        handles = [
            Line2D([], [], color=colour(k), linewidth=3, label=name)
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
