"""SegmentProfileDisplay: who the rows of each expert are, and what their features do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from skmoe._data.checks import check_flag, check_integer
from skmoe._inference.labels import counted_noun, format_percent, printable_name
from skmoe._numerics.typing import Array
from skmoe._optional import import_pyplot
from skmoe.inspection._checks import (
    check_any_features,
    check_level,
    check_names,
    check_names_of_experts,
    check_target,
)
from skmoe.inspection._heat_map import (
    Panel,
    coefficient_texts,
    draw_panel,
    label_experts,
    label_features,
    signed_numbers,
    text_width,
)
from skmoe.inspection._pipelines import find_mixture
from skmoe.inspection._segment_tables import (
    coefficient_table,
    gate_slopes,
    largest_rows,
    positive_rows,
    profile_columns,
    responsibilities_of_rows,
)
from skmoe.inspection._style import EXPERT_NAME_WIDTH, panel_axes, wrapped

# Differences up to this number of standard deviations are pale in every picture: experts whose rows
# hardly differ must not look different.
MIN_PROFILE_RANGE = 0.5

# The same for log odds of the gate.
MIN_GATE_RANGE = 0.25

# Widths of a cell with a number and with an interval, least widths of panels with these, and space
# at the left of the names of the features, in inches.
CELL_WIDTH, INTERVAL_WIDTH = 0.64, 1.0
MIN_PANEL_WIDTH, MIN_INTERVAL_PANEL_WIDTH, MARGIN = 2.1, 2.7, 0.5

# Heights of a row of numbers and of one with intervals, and of headings, in inches.
ROW_HEIGHT, INTERVAL_HEIGHT, HEADINGS_HEIGHT = 0.36, 0.46, 1.5

# Characters in a line of the heading of the coefficients.
COEFFICIENT_NAME_WIDTH = 34

# Characters in a line of the name of a feature.
FEATURE_NAME_WIDTH = 28


class SegmentProfileDisplay:
    """Heat maps of experts and features: which rows each expert describes, by which coefficients.

    One column for each expert, with its share of the rows, and one row for each feature. Up to
    three panels share the features:

    - the mean of the feature over the rows of the expert, weighted by its responsibilities, minus
      the mean over all rows, in standard deviations of the feature;
    - the coefficients of the expert, for experts with a linear predictor, with confidence
      intervals in small print where `inference` is possible. Where they are logs of ratios, as
      under a log link, the numbers are the ratios, and the colours those of their logs;
    - the log odds of the expert against the others by the gate, if the gate has slopes, as in
      `summary` and `export_text`.

    Coefficients and log odds are those for one standard deviation more of the feature. Categories
    have a row for each, of their shares of the rows. A dash stands where an expert or the gate does
    not use a feature.

    With `units`, such as customers or patients, the share is that of the units, and each row has
    the responsibilities of its unit; means are those over rows. See "Displays" in the user guide.

    Parameters
    ----------
    feature_names : list of str of length n_shown
        Names of the features that are drawn.
    expert_names : list of str of length n_experts
        Names of the experts.
    shares : ndarray of shape (n_experts,)
        Mean responsibility of each expert, over rows or units.
    profile : ndarray of shape (n_shown, n_experts)
        Mean over the rows of the expert minus mean over all rows, in standard deviations.
    coefficients : ndarray of shape (n_shown, n_experts), default=None
        Coefficients of the linear predictors; NaN where there are none.
    intervals : ndarray of shape (n_shown, n_experts, 2), default=None
        Confidence intervals of the coefficients.
    is_ratio : ndarray of bool of shape (n_experts,), default=None
        Whether the coefficients of an expert are logs of ratios; None if those of no expert are.
    gate_effects : ndarray of shape (n_shown, n_experts), default=None
        Log odds of the expert against the others.
    coefficient_name : str, default="Coefficient"
        Heading of the coefficients.
    coefficient_range : float, default=0.0
        Size up to which coefficients are pale, however small the others are.
    level : float, default=None
        Confidence of the intervals.
    step : str, default="SD"
        Step of the features to which coefficients and log odds belong.
    n_columns : int, default=None
        Number of features of which the largest are drawn; None if all are.
    of_units : bool, default=False
        Whether the shares are those of units.
    feature_note : str, default=""
        What the features are, if they are not those of the input of a pipeline.

    Attributes
    ----------
    ax_ : ndarray of shape (n_panels,) of matplotlib axes
        Axes of the plot.
    figure_ : matplotlib figure
        Figure of the plot.
    meshes_ : list of matplotlib collections
        The cells of each panel.
    texts_ : list of ndarray of shape (n_shown, n_experts) of matplotlib texts
        The numbers in the cells of each panel.

    See Also
    --------
    ExpertsDisplay : The experts over one feature.
    ResponsibilitiesDisplay : How surely rows or units belong to their experts.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.inspection import SegmentProfileDisplay
    >>> X = np.linspace(-3, 3, 200)[:, None]
    >>> y = 1 - np.abs(X[:, 0]) + 0.1 * np.sin(40 * X[:, 0])
    >>> moe = MixtureOfExpertsRegressor(n_experts=2, random_state=0).fit(X, y)
    >>> display = SegmentProfileDisplay.from_estimator(moe, X, y)
    >>> np.sort(display.profile.round(1))
    array([[-0.9,  0.9]])
    """

    def __init__(
        self,
        *,
        feature_names: Sequence[str],
        expert_names: Sequence[str],
        shares: Array,
        profile: Array,
        coefficients: Array | None = None,
        intervals: Array | None = None,
        is_ratio: Array | None = None,
        gate_effects: Array | None = None,
        coefficient_name: str = "Coefficient",
        coefficient_range: float = 0.0,
        level: float | None = None,
        step: str = "SD",
        n_columns: int | None = None,
        of_units: bool = False,
        feature_note: str = "",
    ) -> None:
        self.feature_names = feature_names
        self.expert_names = expert_names
        self.shares = shares
        self.profile = profile
        self.coefficients = coefficients
        self.intervals = intervals
        self.is_ratio = is_ratio
        self.gate_effects = gate_effects
        self.coefficient_name = coefficient_name
        self.coefficient_range = coefficient_range
        self.level = level
        self.step = step
        self.n_columns = n_columns
        self.of_units = of_units
        self.feature_note = feature_note

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
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
        """Draw the profiles of the experts of a fitted mixture.

        Parameters
        ----------
        estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
            Fitted mixture, or a pipeline or search that ends in one.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features; those of the fit for confidence intervals.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed target.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in means, shares and intervals. Responsibilities are those of rows,
            or units, without weights.
        units : array-like of shape (n_samples,), default=None
            Units of the rows, as in `fit`; None for rows.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors of the rows, as in `fit`; None for 0.
        features : array-like, default=None
            Features to draw, in this order: names, indices or a boolean mask; None for those with
            the largest effects, in the order of X.
        max_features : int, default=12
            Largest number of rows of the picture if `features` is None. Chosen are those with the
            largest number in any panel, in relation to the largest number of the panel.
        target : class label or int, default=None
            The class or the index of the output whose coefficients are drawn. Needed, if experts
            have coefficients, for more than two classes and for several outputs; of two classes
            the default is `classes_[1]`.
        level : float, default=0.95
            Confidence of the intervals; None for none, which is faster.
        standardize : bool, default=True
            Whether coefficients and log odds are those for one standard deviation more of a
            feature, over the rows given; otherwise for one unit more.
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
        display : SegmentProfileDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator does not end in a mixture of experts.
        ValueError
            If a feature, the class or the output is missing or unknown, or if there is not one name
            for each feature or expert. Also if the level is not between 0 and 1, or `max_features`
            is not a positive integer.
        """
        import_pyplot(f"{cls.__name__}.from_estimator")
        estimator, X, note = find_mixture(estimator, X)
        labels = [printable_name(name) for name in check_names(estimator, feature_names)]
        names = check_names_of_experts(estimator, expert_names)
        chosen = check_any_features("features", features, estimator, feature_names)
        check_integer("max_features", max_features, least=1)
        check_flag("standardize", standardize)
        level = check_level(level)
        rows = positive_rows(estimator, X, y, sample_weight, offset, units)
        has_coef = hasattr(estimator, "expert_coef_")
        index = check_target(estimator, target, rows.X) if has_coef else 0
        resp, shares = responsibilities_of_rows(estimator, rows)
        columns = profile_columns(estimator, rows, resp, labels, chosen)
        scale = np.array([column.deviation if standardize else 1.0 for column in columns])
        given: dict[str, Any] = {"profile": np.array([column.difference for column in columns])}
        effects = gate_slopes(estimator, columns)
        given["gate_effects"] = None if effects is None else effects * scale[:, None]
        if has_coef:
            table = coefficient_table(estimator, rows, index, level)
            of_feature = [column.feature for column in columns]
            given["coefficients"] = table.estimates.T[of_feature] * scale[:, None]
            if table.intervals is not None:
                intervals = np.moveaxis(table.intervals, 1, 0)[of_feature]
                given["intervals"] = intervals * scale[:, None, None]
        coefficient_range = table.negligible if has_coef and standardize else 0.0
        shown = np.arange(len(columns))
        if features is None:
            ranges = {"profile": MIN_PROFILE_RANGE, "gate_effects": MIN_GATE_RANGE}
            ranges["coefficients"] = coefficient_range
            tables = [(given.get(name), least) for name, least in ranges.items()]
            shown = largest_rows(tables, max_features)
        shown_tables: dict[str, Any] = {
            name: None if values is None else values[shown] for name, values in given.items()
        }
        display = cls(
            feature_names=[columns[i].label for i in shown],
            expert_names=names,
            shares=shares,
            is_ratio=table.is_ratio if has_coef else None,
            coefficient_name=table.name if has_coef else "Coefficient",
            coefficient_range=coefficient_range,
            level=level,
            step="SD" if standardize else "unit",
            n_columns=len(columns) if len(shown) < len(columns) else None,
            of_units=units is not None,
            feature_note=note,
            **shown_tables,
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the panels.

        Parameters
        ----------
        ax : matplotlib axes or array-like of axes, default=None
            Axes to draw on: a single one, which the panels replace, or one for each panel. None for
            new ones.
        **kwargs : dict
            Passed to matplotlib's `pcolormesh`, such as `cmap`.

        Returns
        -------
        display : SegmentProfileDisplay
            This display.
        """
        features = [wrapped(name, FEATURE_NAME_WIDTH) for name in self.feature_names]
        experts = [
            f"{wrapped(name, EXPERT_NAME_WIDTH)}\n{format_percent(share)}"
            for name, share in zip(self.expert_names, self.shares, strict=True)
        ]
        panels = self._panels(max(CELL_WIDTH, text_width(experts) + 0.05))
        widths = [panel.width for panel in panels]
        row_height = ROW_HEIGHT if self.intervals is None else INTERVAL_HEIGHT
        height = HEADINGS_HEIGHT + row_height * len(self.feature_names)
        margin = text_width(features) + MARGIN
        axes = panel_axes(ax, f"{type(self).__name__}.plot", widths, margin, height)
        drawn = [draw_panel(*pair, kwargs) for pair in zip(axes, panels, strict=True)]
        self.meshes_ = [mesh for mesh, _ in drawn]
        self.texts_ = [texts for _, texts in drawn]
        for position, cells in enumerate(axes):
            label_experts(cells, experts)
            label_features(cells, features, shown=position == 0)
        axes[0].set_xlabel(self._note(), fontsize=8, loc="left")
        self.ax_, self.figure_ = axes, axes[0].figure
        return self

    def _panels(self, cell_width: float) -> list[Panel]:
        n_experts, step = len(self.expert_names), f"per {self.step} of the feature"
        width = max(cell_width * n_experts, MIN_PANEL_WIDTH)
        heading = "Mean minus that of all rows,\nin SDs of the feature"
        numbers = signed_numbers(self.profile, 2)
        panels = [Panel(heading, self.profile, numbers, None, MIN_PROFILE_RANGE, width)]
        if self.coefficients is not None:
            is_ratio = np.zeros(n_experts, bool) if self.is_ratio is None else self.is_ratio
            least = self.coefficient_range
            numbers, small_print, power = coefficient_texts(
                self.coefficients, self.intervals, is_ratio, least
            )
            name = self.coefficient_name + ("" if power == 1.0 else f", in {power:g}")
            heading = f"{wrapped(name, COEFFICIENT_NAME_WIDTH)}\n{step}"
            own_width = width
            if small_print is not None and self.level is not None:
                heading += f", {100 * self.level:.3g} % intervals"
                own_width = max(INTERVAL_WIDTH * n_experts, width, MIN_INTERVAL_PANEL_WIDTH)
            panels.append(
                Panel(
                    heading,
                    self.coefficients,
                    numbers,
                    small_print,
                    self.coefficient_range,
                    own_width,
                )
            )
        if self.gate_effects is not None:
            numbers = signed_numbers(self.gate_effects, 2)
            heading = f"Gate: log odds\n{step}"
            panels.append(Panel(heading, self.gate_effects, numbers, None, MIN_GATE_RANGE, width))
        return panels

    def _note(self) -> str:
        """What the percentages are, and which features are drawn."""
        note = f"%: share of the {counted_noun(self.of_units)}s"
        if self.n_columns is not None:
            note += (
                f"\n{len(self.feature_names)} of {self.n_columns} features:\n"
                "those with the largest effects"
            )
        return note + (f"\n{self.feature_note}" if self.feature_note else "")
