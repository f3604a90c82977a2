"""PredictionDisplay: the predictive distribution of one row, and how its features make it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.base import is_classifier

from skmoe._data.censored_targets import checked_bounds, shown_target
from skmoe._data.checks import check_integer, has_bounds
from skmoe._data.rows import Rows, index_rows
from skmoe._inference.labels import format_percent
from skmoe._numerics.typing import Array
from skmoe.distributions import check_coverage
from skmoe.inspection import _style as draw
from skmoe.inspection import _subject as subject

# Width of a panel without names, heights of a row of the waterfall and of its frame, and the least,
# in inches.
PANEL_WIDTH = 4.0
WATERFALL_ROW_HEIGHT, WATERFALL_FRAME, MIN_HEIGHT = 0.36, 1.3, 3.6

# Characters of the name of a feature.
WATERFALL_NAME_WIDTH = 24

# Characters of a name in the legend, and experts that it names.
LEGEND_LABEL_WIDTH, MAX_NAMED_EXPERTS = 22, 6

# Width of a bar at a value among others, as a fraction of the axis, and between others of their
# distance.
ATOM_WIDTH, BAR_FRACTION = 0.02, 0.8

# Opacity of the density of an expert.
HUMP_OPACITY = 0.3

# Patterns of the bars of experts.
HATCHES = ("", "///", "...", "xxx", "---", "+++", "ooo", "|||")

# Classes that are drawn.
MAX_CLASSES = 12

# Height of a density above the highest point, for the legend of values with a probability.
HEADROOM = 1.08

# Colours of what increases and decreases a prediction, and the pattern of effects of the gate.
INCREASE, DECREASE, GATE_HATCH = "#B2182B", "#2166AC", "////"

# Numbers beside bars.
SMALL_PRINT: dict[str, Any] = {"fontsize": 8, "textcoords": "offset points"}
SMALL_PRINT["color"] = draw.DARK_GREY

# Ticks of the waterfall, at most: its numbers may be long.
N_TICKS = 4

# Height of a bar, of which features have two.
HALF_BAR = 0.36

# Quantiles that are the points of the grid, of each expert that counts. The range of the picture is
# that between the second and the last but one: outside the first and last a narrow hump is flat.
PROBABILITIES = np.r_[1e-6, 0.001, 0.003, np.linspace(0.01, 0.99, 99), 0.997, 0.999, 1.0 - 1e-6]

# Experts of a smaller probability have no points of their own.
MIN_GATE_SHOWN = 0.002

# Equidistant points of the grid, and probability of a value that is a step of the distribution.
N_EVEN_POINTS, MIN_STEP = 200, 1e-6

# Counts that are drawn, at most, among those between the ends.
MAX_COUNTS = 400

# Steps of a path, the numbers in its rows for which they are reduced, and the fewest steps.
N_STEPS, MAX_ENTRIES, MIN_STEPS = 100, 20_000_000, 10


@dataclass(kw_only=True, eq=False, repr=False)
class PredictionDisplay(draw.Display):
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
    frequent, and missing values change half-way. See "Displays" in the user guide, and "What do
    pictures of a fit show?" in the gallery.

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
    base_value : float
        Prediction of the mean row of X.
    gate_contributions, expert_contributions : ndarray of shape (n_features,)
        Contributions of the features through the gate and through the experts.
    feature_labels : list of str of length n_features
        Names of the features with their values in the row.
    interval : ndarray of shape (2,), default=None
        Predictive interval.
    coverage : float, default=None
        Nominal coverage of the interval.
    observed : float or int, default=None
        Observed y, or index of the observed class.
    observed_text : str, default=""
        Of a censored y the bounds, of which `observed` is one.
    classes : ndarray of shape (n_classes,), default=None
        Classes of a classifier.
    max_features : int, default=8
        Largest number of rows of the waterfall for features.
    feature_note : str, default=""
        What the features are, if they are not those of the input of a pipeline.

    Attributes
    ----------
    ax_ : ndarray of shape (2,) of matplotlib axes
        Axes of the distribution and of the waterfall.
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

    gate: Array
    values: Array
    probability: Array
    grid: Array
    density: Array
    prediction: float
    expert_names: Sequence[str]
    target_name: str
    base_value: float
    gate_contributions: Array
    expert_contributions: Array
    feature_labels: Sequence[str]
    interval: Array | None = None
    coverage: float | None = None
    observed: float | None = None
    observed_text: str = ""
    classes: Sequence[Any] | None = None
    max_features: int = 8
    feature_note: str = ""

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
        max_features: int = 8,
        offset: Any = None,
        units: Any = None,
        time: Any = None,
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
        max_features : int, default=8
            Largest number of rows of the waterfall for features; the smallest contributions share
            the last one.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors of the rows, as in `fit`; None for 0. The mean row has
            that of the row.
        units : array-like of shape (n_samples,), default=None
            Units of the rows, as in `fit`; None for rows.
        time : array-like of shape (n_samples,), default=None
            Order of the rows of a series, as in `fit` with `gate="markov"`. The prediction then
            knows the y of earlier rows of the unit, and so does that of the mean row.
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
        estimator, X, note, labels, names = subject.drawn_mixture(cls, estimator, X)
        is_class = is_classifier(estimator)
        coverage = None if coverage is None else check_coverage(coverage)
        max_features = check_integer("max_features", max_features, least=1)
        table = X if y is None else subject.check_rows("y", estimator, X, y)
        row = check_integer("row", row, least=0, most=table.shape[0] - 1)
        one_row = index_rows(table, np.array([row]))
        rows = Rows(table, y, None, offset, units, time=time)
        gate_of = subject.gate_of_row(estimator, rows, row)
        known = {"gate_proba": gate_of(one_row)} if subject.has_series(estimator) else {}
        if is_class and target is None:
            target = estimator.classes_[int(estimator.predict_proba(one_row, **known).argmax())]
        index = subject.check_target(estimator, target, table)
        given = None if offset is None else np.asarray(offset, dtype=np.float64)[row]
        interval = subject.interval_band(estimator, one_row, index, coverage, given, **known)
        observed: float | None = None
        text = ""
        if y is not None and is_class:
            matching = np.flatnonzero(estimator.classes_ == np.asarray(y).ravel()[row])
            observed = int(matching[0]) if len(matching) else None
        elif y is not None:
            observed = float(subject.observed_target(estimator, y, index)[row])
            observed = observed if np.isfinite(observed) else None
            if has_bounds(y):
                text = shown_target(subject.one_target(checked_bounds(y), index, 1)[row])
        values = [subject.values_of(one_row, j)[0] for j in range(len(labels))]
        texts = [short_number(v) if isinstance(v, float) else v for v in values]
        pairs = zip(draw.shortened(labels, WATERFALL_NAME_WIDTH), texts, strict=True)
        at_row = estimator, table, row, index, given, gate_of
        return cls(
            **row_density(*at_row),
            **row_contributions(*at_row),
            expert_names=names,
            target_name=subject.target_name(estimator, y, index),
            interval=None if interval is None else interval[0],
            coverage=coverage,
            observed=observed,
            observed_text=text,
            classes=estimator.classes_ if is_class else None,
            feature_labels=[f"{label} = {text}" for label, text in pairs],
            max_features=max_features,
            feature_note=note,
        ).plot(ax)

    def _draw(self, ax: Any) -> Any:
        self.experts_: list[Any] = [None] * len(self.expert_names)
        labels, changes = self._waterfall()
        margin = draw.text_width([*labels, "mean row: 1.00e+10"])
        height = max(MIN_HEIGHT, WATERFALL_ROW_HEIGHT * (len(labels) + 2) + WATERFALL_FRAME)
        axes = self._axes(ax, 2, (PANEL_WIDTH + margin / 2.0, height))
        self._draw_waterfall(axes[1], labels, changes)
        draw.label_feature(axes[1], self.target_name, None, self.feature_note)
        if self.classes is None:
            self._draw_distribution(axes[0])
        else:
            self._draw_classes(axes[0], self.classes)
        return axes

    def _draw_distribution(self, ax: Any) -> None:
        """Densities, or bars, of the experts, with interval, mean and observed value."""
        is_discrete = not len(self.grid)
        step = float(np.diff(self.values).min(initial=np.inf)) if len(self.values) > 1 else 1.0
        above: list[Any] = []
        if self.interval is not None and self.coverage is not None:
            ends = self.interval + 0.5 * step * is_discrete * np.array([-1.0, 1.0])
            above.append(ax.axvspan(*ends, **draw.BAND, label=draw.interval_label(self.coverage)))
        if is_discrete:
            bars = self.values, self.probability, BAR_FRACTION * step
            self.experts_ = self._draw_bars(ax.bar, "bottom", *bars)
        else:
            for k in np.flatnonzero(self.gate >= MIN_GATE_SHOWN).tolist():
                style: dict[str, Any] = {"color": draw.colour(k), "alpha": HUMP_OPACITY}
                ax.fill_between(self.grid, 0.0, self.density[:, k], linewidth=0, **style)
                style = draw.line_style(k) | {"marker": "", "linewidth": 1.8}
                (self.experts_[k],) = ax.plot(self.grid, self.density[:, k], **style)
            style = {"color": "black", "linewidth": 1.2, "label": "mixture"}
            above += ax.plot(self.grid, self.density.sum(axis=1), **style)
            ax.set_xlim(self.grid[[0, -1]])
            if len(self.values):
                self._draw_atoms(ax)
        ax.set_ylim(0.0, ax.get_ylim()[1] * (1.0 if is_discrete else HEADROOM))
        marks = ("prediction", self.prediction, ":"), ("observed", self.observed, "--")
        for name, value, dashes in marks:
            if value is not None:
                style = {"color": draw.DARK_GREY, "linestyle": dashes, "linewidth": 1.8}
                text = self.observed_text * (name == "observed") or short_number(value)
                above.append(ax.axvline(value, label=f"{name}: {text}", **style))
        draw.label_feature(ax, self.target_name, None, "")
        ax.set_ylabel("Probability" if is_discrete else "Density")
        self._name_experts(ax, above)

    def _draw_bars(
        self, bar: Any, start: str, at: Array, probability: Array, width: float, **options: Any
    ) -> list[Any]:
        """Bars of the experts, each from the end of the others."""
        artists: list[Any] = [None] * probability.shape[1]
        end = np.zeros(len(at))
        for k in np.flatnonzero(self.gate >= MIN_GATE_SHOWN).tolist():
            style: dict[str, Any] = {"color": draw.colour(k), "hatch": HATCHES[k % len(HATCHES)]}
            style |= {"edgecolor": "white", "linewidth": 0, start: end}
            artists[k] = bar(at, probability[:, k], width, **style, **options)
            end = end + probability[:, k]
        return artists

    def _draw_atoms(self, ax: Any) -> None:
        """Bars at values with a probability; the height of the axis is a probability of one."""
        low, high = ax.get_xlim()
        low = min(low, self.values.min() - 2.0 * ATOM_WIDTH * (high - low))
        bars = self.values, self.probability, ATOM_WIDTH * (high - low)
        to_heights = ax.get_xaxis_transform()
        self._draw_bars(ax.bar, "bottom", *bars, transform=to_heights)
        ax.set_xlim(low, high)
        # Above the curves, which end below the headroom.
        for value, total in zip(self.values, self.probability.sum(axis=1), strict=True):
            text, point = f"{format_percent(total)} at {short_number(value)}", 1.0 / HEADROOM
            ax.annotate(text, (value, point), xycoords=to_heights, xytext=(6, 2), **SMALL_PRINT)

    def _draw_classes(self, ax: Any, classes: Sequence[Any]) -> None:
        """Probabilities of the classes as bars of the experts, the most probable on top."""
        total = self.probability.sum(axis=1)
        order = np.argsort(-total, kind="stable")[:MAX_CLASSES]
        bars = np.arange(len(order)), self.probability[order], BAR_FRACTION
        self.experts_ = self._draw_bars(ax.barh, "left", *bars)
        names = draw.shortened([str(classes[c]) for c in order], LEGEND_LABEL_WIDTH)
        marks = ["\n(observed)" * (c == self.observed) for c in order.tolist()]
        ax.set_yticks(bars[0], [name + mark for name, mark in zip(names, marks, strict=True)])
        for i, end in enumerate(total[order]):
            ax.annotate(format_percent(end), (end, i), xytext=(4, 0), va="center", **SMALL_PRINT)
        ax.set(xlim=(0.0, 1.12), ylim=(len(order) - 0.5, -0.5), xlabel="Probability")
        self._name_experts(ax, [])

    def _name_experts(self, ax: Any, others: Sequence[Any]) -> None:
        """A legend of the most probable experts, and of what else is drawn."""
        names = draw.shortened(self.expert_names, LEGEND_LABEL_WIDTH)
        handles: list[Any] = []
        for k in np.sort(np.argsort(-self.gate, kind="stable")[:MAX_NAMED_EXPERTS]).tolist():
            if self.experts_[k] is not None:
                self.experts_[k].set_label(f"{names[k]}: {format_percent(self.gate[k])}")
                handles.append(self.experts_[k])
        draw.legend_above(ax, [*handles, *others], ncols=2, fontsize=8)

    def _waterfall(self) -> tuple[list[str], Array]:
        """The largest contributions, through experts and gate, and the sum of the others."""
        changes = np.column_stack([self.expert_contributions, self.gate_contributions])
        size = np.abs(changes).sum(axis=1)
        order, n_used = np.argsort(-size, kind="stable"), int(np.count_nonzero(size))
        n_shown = n_used if n_used <= self.max_features else self.max_features - 1
        labels, others = [self.feature_labels[j] for j in order[:n_shown]], order[n_shown:n_used]
        if not len(others):
            return labels, changes[order[:n_shown]]
        labels.append(f"{len(others)} other feature{'s' * (len(others) > 1)}")
        return labels, np.vstack([changes[order[:n_shown]], changes[others].sum(axis=0)])

    def _draw_waterfall(self, ax: Any, names: Sequence[str], changes: Array) -> None:
        """A row for each change, between those of the mean row and of this row."""
        from matplotlib.patches import Patch

        start = self.base_value
        ends = start + np.append(0.0, changes.cumsum())
        rows, drawn = np.arange(len(names) + 2), []
        for i, pattern in enumerate(("", GATE_HATCH)):
            tones = np.where(changes[:, i] > 0.0, INCREASE, DECREASE).tolist()
            fill: dict[str, Any] = {"color": "white" if pattern else tones, "edgecolor": tones}
            fill |= {"hatch": pattern, "zorder": 2, "left": ends[i:-1:2]}
            at = rows[1:-1] + (i - 0.5) * HALF_BAR, changes[:, i], HALF_BAR
            drawn.append(ax.barh(*at, **fill))
        self.bars_ = list(zip(*drawn, strict=True))
        for i, change in enumerate(changes.sum(axis=1).tolist()):
            point = ends[2 * i : 2 * i + 3].max(), i + 1
            ax.annotate(short_number(change, "+"), point, xytext=(4, 0), va="center", **SMALL_PRINT)
        links = np.tile(ends[::2], (2, 1)), np.stack([rows[:-1], rows[1:]])
        ax.plot(*links, color=draw.LIGHT_GREY, linewidth=1, zorder=1)
        total = {"color": draw.DARK_GREY, "marker": "D", "linestyle": "none", "markersize": 6}
        ax.plot(ends[None, [0, -1]], rows[None, [0, -1]], **total)
        last = f"this row: {short_number(self.prediction)}"
        draw.name_rows(ax, [f"mean row: {short_number(start)}", *names, last])
        margin = 0.18 * np.ptp(ends) or 1.0
        ax.set_xlim(ends.min() - margin / 3, ends.max() + margin)
        ax.locator_params(axis="x", nbins=N_TICKS)
        handles = [Patch(color=draw.DARK_GREY, label="through the experts")]
        if changes[:, 1].any():
            hatched: dict[str, Any] = {"facecolor": "white", "edgecolor": draw.DARK_GREY}
            handles.append(Patch(**hatched, hatch=GATE_HATCH, label="through the gate"))
        draw.legend_above(ax, handles, fontsize=8)


def short_number(value: float, sign: str = "") -> str:
    """A number of three digits, or an integer of up to six."""
    return f"{value:{sign}.0f}" if 1e3 <= abs(value) < 1e6 else f"{value:{sign}.3g}"


# --- by experts --------------------------------------------------------------------------------


def row_density(
    estimator: Any, X: Any, row: int, target: int, offset: Array | None, gate_of: Any
) -> dict[str, Any]:
    """The distribution of an output for a row, as a sum over experts: fields of the display.

    They are the gate (K,), values (A,) with their probabilities (A, K), and a grid with densities;
    those of a classifier are the classes.
    """
    gate = gate_of(index_rows(X, np.array([row])))[0]
    n_experts = len(gate)
    repeated = index_rows(X, np.full(n_experts, row))
    found = {"gate": gate, "grid": np.empty(0), "density": np.empty((0, n_experts))}
    if is_classifier(estimator):
        of_classes = np.diagonal(estimator.predict_experts(repeated)) * gate
        return found | {"values": np.arange(len(of_classes)), "probability": of_classes}
    given = None if offset is None else np.repeat(offset[None], n_experts, axis=0)
    of_rows = estimator, repeated, target, given
    experts = subject.distribution_of(*of_rows, np.eye(n_experts))
    mixture = subject.distribution_of(*of_rows, np.tile(gate, (n_experts, 1)))

    def at(method: Any, points: Array) -> Array:
        return np.asarray(method(points[None]).T)

    low, high = mixture.ppf(PROBABILITIES[[1, -2]])[0]
    points = np.unique(experts.ppf(PROBABILITIES)[gate >= MIN_GATE_SHOWN])
    if mixture.is_count:
        points = np.unique(np.round(np.linspace(low, high, int(min(high - low, MAX_COUNTS)) + 1)))
    steps = (at(experts.cdf, points) - at(experts.cdf_left, points)) * gate
    has_step = steps.sum(axis=1) > MIN_STEP
    found |= {"values": points[has_step], "probability": steps[has_step]}
    if mixture.is_count or has_step.all():
        return found
    grid = np.unique(np.append(np.linspace(low, high, N_EVEN_POINTS), points[~has_step]))
    grid = grid[(grid >= low) & (grid <= high) & ~np.isin(grid, found["values"])]
    return found | {"grid": grid, "density": at(experts.pdf, grid) * gate}


# --- by features -------------------------------------------------------------------------------


def row_contributions(
    estimator: Any, X: Any, row: int, target: int, offset: Array | None, gate_of: Any
) -> dict[str, Any]:
    """Contributions to the prediction of an output or class for a row: fields of the display.

    Contributions through the gate (p,) and through the experts (p,) add up to the difference of
    the prediction from the base value, that of the mean row. The straight path between these rows
    has `N_STEPS` steps. In each, features move one after another: first in the gate, then in the
    experts, and on a second way in the opposite order, of which the mean is taken. The changes of
    each way add up to the change of sum_k gate_k(x) mean_k(x). For smooth functions they converge
    to integrated gradients.
    """

    def given(rows: Any) -> dict[str, Any]:
        return {} if offset is None else {"offset": np.repeat(offset[None], rows.shape[0], axis=0)}

    n_features = X.shape[1]
    ends = subject.path_rows(X, row, np.array([[0.0], [1.0]]) * np.ones(n_features))
    at_ends = given(ends) | ({"gate_proba": gate_of(ends)} if subject.has_series(estimator) else {})
    base_value, prediction = subject.predicted_mean(estimator, ends, target, **at_ends)
    n_steps = int(np.clip(MAX_ENTRIES // (n_features * (n_features + 1)), MIN_STEPS, N_STEPS))
    fraction = np.linspace(0.0, 1.0, n_steps + 1)
    moved = np.tri(n_features + 1, n_features, -1, dtype=bool)  # row j: the first j have moved
    through_gate, through_experts = np.zeros(n_features), np.zeros(n_features)
    for backwards in (False, True):
        order = moved[:, ::-1] if backwards else moved
        # Fractions of the path, (S, p + 1, p): features that have moved are one step ahead.
        ahead = np.where(order, fraction[1:, None, None], fraction[:-1, None, None])
        rows = subject.path_rows(X, row, ahead.reshape(-1, n_features))
        shape = n_steps, n_features + 1, -1
        means = estimator.predict_experts(rows, **given(rows))
        mean = subject.one_target(means, target, 2).reshape(shape)
        gate = gate_of(rows).reshape(shape)
        # The gate moves before the experts, or backwards after them.
        first, last = (-1, 0) if backwards else (0, -1)
        of_gate = np.einsum("sjk,sk->j", np.diff(gate, axis=1), mean[:, first])
        of_experts = np.einsum("sjk,sk->j", np.diff(mean, axis=1), gate[:, last])
        through_gate += (of_gate[::-1] if backwards else of_gate) / 2.0
        through_experts += (of_experts[::-1] if backwards else of_experts) / 2.0
    found = {"base_value": float(base_value), "prediction": float(prediction)}
    return found | {"gate_contributions": through_gate, "expert_contributions": through_experts}
