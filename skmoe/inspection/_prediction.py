"""PredictionDisplay: the predictive distribution of one row, and how its features make it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import is_classifier

from skmoe._data.checks import check_flag, check_integer
from skmoe._inference.labels import printable_name
from skmoe._numerics.typing import Array
from skmoe._optional import import_pyplot
from skmoe.distributions import check_coverage
from skmoe.inspection._checks import (
    check_names,
    check_names_of_experts,
    check_rows,
    check_table,
    check_target,
)
from skmoe.inspection._contributions import Contributions, row_contributions
from skmoe.inspection._densities import RowDensity, class_density, row_density
from skmoe.inspection._grid import take_rows, values_of_row
from skmoe.inspection._heat_map import shortened, text_width
from skmoe.inspection._pipelines import find_mixture
from skmoe.inspection._prediction_panels import draw_classes, draw_distribution
from skmoe.inspection._style import one_axes, panel_axes
from skmoe.inspection._targets import interval_band, observed_target, target_name
from skmoe.inspection._waterfall import draw_waterfall, short_number, waterfall_bars

# Widths of the panels, height of a row of the waterfall and of its frame, and least height, in
# inches.
DISTRIBUTION_WIDTH, WATERFALL_WIDTH = 4.4, 3.6
WATERFALL_ROW_HEIGHT, WATERFALL_FRAME, MIN_HEIGHT = 0.36, 1.3, 3.6

# Characters of a feature with its value.
FEATURE_WIDTH = 34


class PredictionDisplay:
    """One prediction: its distribution as a mixture of experts, and contributions of the features.

    Left: for a regressor the predictive density, and below it the density under each expert times
    its gate probability, of which it is the sum. Counts and ratings have their probabilities as
    bars. Values with a probability of their own, such as an excess of zeros, are bars on an axis
    whose height is a probability of one. Lines mark the prediction, which is the mean, and the
    observed value. For a classifier the probabilities of the classes, each the sum of those under
    the experts times their gate probabilities.

    Right: the waterfall from the prediction of the mean row of X to that of this row. The
    prediction is the sum over the experts of gate probability times predicted mean. On the straight
    path between the two rows each feature changes it through the gate (hatched) and through the
    means of the experts (filled). These changes, summed along the path, add up to the difference of
    the two predictions exactly. With many steps they are integrated gradients [1]_: path integrals
    of the `gate_effect` and `slope` of `explain`. Categories, of which the mean row has the most
    frequent, and missing values change half-way. A remainder beyond round-off would have a bar of
    its own. See "Displays" in the user guide, and "Reading a fit by its pictures" in the gallery.

    Parameters
    ----------
    gate : ndarray of shape (n_experts,)
        Gate probabilities of the row.
    values : ndarray of shape (n_values,)
        Values with a probability: counts, ratings, or indices of classes.
    probability : ndarray of shape (n_values, n_experts)
        Probabilities of the values under each expert, times its gate probability.
    grid : ndarray of shape (n_points,)
        Values at which there is a density; empty for discrete distributions and classes.
    density : ndarray of shape (n_points, n_experts)
        Densities under each expert, times its gate probability.
    prediction : float
        Mean, or probability of the class.
    expert_names : list of str of length n_experts
        Names of the experts.
    target_name : str
        Name of y, or of the probability that is explained.
    interval : ndarray of shape (2,), default=None
        Predictive interval.
    coverage : float, default=None
        Nominal coverage of the interval.
    observed : float or int, default=None
        Observed y, or index of the observed class.
    classes : ndarray of shape (n_classes,), default=None
        Classes of a classifier.
    base_value : float, default=None
        Prediction of the mean row of X; None for no waterfall.
    gate_contributions, expert_contributions : ndarray of shape (n_features,), default=None
        Contributions of the features through the gate and through the experts.
    feature_labels : list of str of length n_features, default=None
        Names of the features with their values in the row.

    Attributes
    ----------
    ax_ : ndarray of shape (2,) of matplotlib axes
        Axes of the distribution and of the waterfall; of one without waterfall.
    figure_ : matplotlib figure
        Figure of the plot.
    experts_ : list of matplotlib lines or bars of length n_experts
        What is drawn of each expert; None for those of negligible probability.
    bars_ : list of pairs of matplotlib patches
        Bars of experts and gate in each row of the waterfall.

    See Also
    --------
    ExpertsDisplay : Predictions over a feature.
    ImportanceDisplay : Importance of the features over many rows.

    References
    ----------
    .. [1] M. Sundararajan, A. Taly and Q. Yan (2017), "Axiomatic attribution for deep networks",
       Proceedings of the 34th International Conference on Machine Learning, 3319-3328.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.inspection import PredictionDisplay
    >>> X = np.linspace(-3, 3, 200)[:, None]
    >>> y = 1 - np.abs(X[:, 0]) + 0.1 * np.sin(40 * X[:, 0])
    >>> moe = MixtureOfExpertsRegressor(n_experts=2, random_state=0).fit(X, y)
    >>> display = PredictionDisplay.from_estimator(moe, X, y, row=180)
    >>> change = display.gate_contributions + display.expert_contributions
    >>> bool(np.isclose(display.base_value + change.sum(), moe.predict(X[[180]])[0]))
    True
    """

    def __init__(
        self,
        *,
        gate: Array,
        values: Array,
        probability: Array,
        grid: Array,
        density: Array,
        prediction: float,
        expert_names: Sequence[str],
        target_name: str,
        interval: Array | None = None,
        coverage: float | None = None,
        observed: float | None = None,
        classes: Sequence[Any] | None = None,
        base_value: float | None = None,
        gate_contributions: Array | None = None,
        expert_contributions: Array | None = None,
        feature_labels: Sequence[str] | None = None,
    ) -> None:
        self.gate = gate
        self.values = values
        self.probability = probability
        self.grid = grid
        self.density = density
        self.prediction = prediction
        self.expert_names = expert_names
        self.target_name = target_name
        self.interval = interval
        self.coverage = coverage
        self.observed = observed
        self.classes = classes
        self.base_value = base_value
        self.gate_contributions = gate_contributions
        self.expert_contributions = expert_contributions
        self.feature_labels = feature_labels

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        row: int = 0,
        target: Any = None,
        coverage: float | None = 0.9,
        explain: bool = True,
        max_features: int = 8,
        n_steps: int = 100,
        offset: Any = None,
        feature_names: Sequence[str] | None = None,
        expert_names: Sequence[str] | None = None,
        ax: Any = None,
    ) -> Self:
        """Draw the prediction of a row.

        Parameters
        ----------
        estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
            Fitted mixture, or a pipeline or search that ends in one.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows, of which one is drawn, and whose mean row is the reference.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Observed target, which is marked; None if it is unknown.
        row : int, default=0
            Position of the row in X.
        target : class label or int, default=None
            The class whose probability is explained, by default the most probable one, or the index
            of the output, which is needed for several outputs.
        coverage : float, default=0.9
            Nominal coverage of the predictive interval of a regressor; None for no interval.
        explain : bool, default=True
            Whether the waterfall of contributions is drawn.
        max_features : int, default=8
            Largest number of rows of the waterfall for features; the smallest contributions share
            the last one.
        n_steps : int, default=100
            Steps of the path. With more than some hundred features there are fewer.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors of the rows, as in `fit`; None for 0. The mean row has
            that of the row.
        feature_names : list of str of length n_features, default=None
            Names of the features; None for those seen in fit, or x0, x1 and so on.
        expert_names : list of str of length n_experts, default=None
            Names of the experts; None for those of the model, `expert_names_`.
        ax : matplotlib axes or array-like of axes, default=None
            Axes to draw on: a single one, which both panels replace, or one for each. None for new
            ones.

        Returns
        -------
        display : PredictionDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator does not end in a mixture of experts.
        ValueError
            If X has no such row, if the class or the output is missing or unknown, or if y has
            another length than X. Also if the experts have no predictive distribution, if the
            coverage is not between 0 and 1, or if a number is not an integer in its range.
        """
        import_pyplot(f"{cls.__name__}.from_estimator")
        estimator, X, note = find_mixture(estimator, X)
        labels = [printable_name(name) for name in check_names(estimator, feature_names)]
        names = check_names_of_experts(estimator, expert_names)
        check_flag("explain", explain)
        coverage = None if coverage is None else check_coverage(coverage)
        max_features = check_integer("max_features", max_features, least=1)
        n_steps = check_integer("n_steps", n_steps, least=1)
        table = check_table(estimator, X) if y is None else check_rows("y", estimator, X, y)
        row = check_integer("row", row, least=0, most=table.shape[0] - 1)
        one_row = take_rows(table, np.array([row]))
        if is_classifier(estimator) and target is None:
            target = estimator.classes_[int(estimator.predict_proba(one_row).argmax())]
        index = check_target(estimator, target, table)
        given = None if offset is None else np.asarray(offset, dtype=np.float64)[row]
        find_density = class_density if is_classifier(estimator) else row_density
        parts = find_density(estimator, table, row, index, given)
        contributions = row_contributions(estimator, table, row, index, given, n_steps)
        interval = interval_band(estimator, one_row, index, coverage, given)
        display = cls(
            gate=parts.gate,
            values=parts.values,
            probability=parts.probability,
            grid=parts.grid,
            density=parts.density,
            prediction=contributions.prediction,
            expert_names=names,
            target_name=target_name(estimator, y, index),
            interval=None if interval is None else interval[0],
            coverage=coverage,
            observed=_observed(estimator, y, index, row),
            classes=estimator.classes_ if is_classifier(estimator) else None,
            base_value=contributions.base_value if explain else None,
            gate_contributions=contributions.gate if explain else None,
            expert_contributions=contributions.experts if explain else None,
            feature_labels=_labels_with_values(table, row, labels) if explain else None,
        )
        return display.plot(ax=ax, max_features=max_features, note=note)

    def plot(self, ax: Any = None, *, max_features: int = 8, note: str = "") -> Self:
        """Draw distribution and waterfall.

        Parameters
        ----------
        ax : matplotlib axes or array-like of axes, default=None
            Axes to draw on: a single one, which both panels replace, or one for each. None for new
            ones.
        max_features : int, default=8
            Largest number of rows of the waterfall for features.
        note : str, default=""
            What the features are, if they are not those of the input of a pipeline.

        Returns
        -------
        display : PredictionDisplay
            This display.
        """
        caller = f"{type(self).__name__}.plot"
        bars, contributions = [], self._contributions
        if contributions is not None:
            labels = self.feature_labels or [f"x{j}" for j in range(len(contributions.gate))]
            bars = waterfall_bars(contributions, labels, max_features)
            margin = text_width([bar.label for bar in bars] + ["mean row: 1.00e+10"])
            widths = [DISTRIBUTION_WIDTH, WATERFALL_WIDTH + margin]
            height = max(MIN_HEIGHT, WATERFALL_ROW_HEIGHT * (len(bars) + 2) + WATERFALL_FRAME)
            axes = panel_axes(ax, caller, widths, 0.0, height)
        else:
            axes = np.array([one_axes(ax, caller)], dtype=object)
        if self.classes is not None:
            observed = None if self.observed is None else int(self.observed)
            parts = self.probability, self.classes, observed, self.expert_names
            self.experts_ = draw_classes(axes[0], *parts)
        else:
            parts_of_row = self.gate, self.grid, self.density, self.values, self.probability
            marks = {"prediction": self.prediction, "observed": self.observed}
            self.experts_ = draw_distribution(
                axes[0],
                RowDensity(*parts_of_row),
                self.expert_names,
                self.interval,
                self.coverage,
                marks,
            )
            axes[0].set_xlabel(self.target_name)
        self.bars_: list[Any] = []
        if contributions is not None:
            name = self.target_name + (f"\n({note})" if note else "")
            self.bars_ = draw_waterfall(axes[1], contributions, bars, name)
        self.ax_, self.figure_ = axes, axes[0].figure
        return self

    @property
    def _contributions(self) -> Contributions | None:
        if (
            self.base_value is None
            or self.gate_contributions is None
            or self.expert_contributions is None
        ):
            return None
        return Contributions(
            self.base_value, self.gate_contributions, self.expert_contributions, self.prediction
        )


def _observed(estimator: Any, y: Any, index: int, row: int) -> float | None:
    """Observed target of a row, or index of its class."""
    if y is None:
        return None
    if is_classifier(estimator):
        found = np.flatnonzero(estimator.classes_ == np.asarray(y).ravel()[row])
        return int(found[0]) if len(found) else None
    return float(observed_target(estimator, y, index)[row])


def _labels_with_values(table: Any, row: int, labels: Sequence[str]) -> list[str]:
    """Names of the features with their values in a row."""
    texts = []
    for name, value in zip(labels, values_of_row(table, row), strict=True):
        text = short_number(value) if isinstance(value, float) else str(value)
        texts.append(f"{shortened(name, FEATURE_WIDTH - len(text) - 3)} = {text}")
    return texts
