"""Features of a table: along axes, in grids over them, and by their effects on gate and experts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from skmoe._data.encoding import as_strings, column_of, holds_numbers, numeric_column
from skmoe._estimators.methods.series import transition_probabilities
from skmoe._inference.labels import feature_labels, format_percent
from skmoe._numerics.probability import weighted_quantiles
from skmoe._numerics.typing import Array
from skmoe.inspection._series import has_series

# Quantiles of a feature between which a function changes.
EFFECT_QUANTILES = np.linspace(0.05, 0.95, 7)

# Points of a curve.
N_POINTS = 200

# The most frequent categories that are drawn.
MAX_DRAWN_CATEGORIES = 12

# Values are typical if they are at most this multiple of the distance of two quantiles from these.
TYPICAL_QUANTILES, TYPICAL_REACH = (0.05, 0.95), 3.0

# Rates are typical up to the distance of these quantiles, by exposure, from them: those of little
# exposure are far away.
RATE_QUANTILES = (0.01, 0.99)

# Curves are drawn up to this multiple of the height of the rows above and below them, and axes have
# a margin of this fraction.
CURVE_REACH, ROWS_MARGIN = 1.0, 0.05


def is_numeric(X: Any, j: int) -> bool:
    """Whether a column holds numbers; columns of arrays do."""
    return not hasattr(X, "columns") or holds_numbers(column_of(X, j))


def numeric_values(X: Any, j: int) -> Array:
    """A column of numbers, (n,), with NaN for missing values."""
    return X[:, [j]].toarray()[:, 0] if sparse.issparse(X) else numeric_column(X, j)


def values_of(X: Any, j: int) -> Array:
    """A column, (n,): numbers, or texts of categories with None for missing ones."""
    return numeric_values(X, j) if is_numeric(X, j) else as_strings(X, j)


def column_at(X: Any, j: int, rows: Array) -> Any:
    """Values of a column in some rows."""
    if sparse.issparse(X):
        return numeric_values(X, j)[rows]
    return _take(X, j, rows) if hasattr(X, "columns") else X[rows, j]


def with_column(X: Any, j: int, column: Any) -> Any:
    """A copy of the rows with other values in one column."""
    if sparse.issparse(X):
        parts = X[:, :j], sparse.csc_array(column[:, None]), X[:, j + 1 :]
        return sparse.csc_array(sparse.hstack(parts, format="csc"))
    if hasattr(X, "columns"):
        rows = np.arange(X.shape[0])
        return type(X)(
            {name: column if i == j else _take(X, i, rows) for i, name in enumerate(X.columns)}
        )
    changed = X.copy()
    changed[:, j] = column
    return changed


class Levels(NamedTuple):
    """Distinct values of a column in their order, without missing ones."""

    values: list[Any]  # numbers, or texts of categories
    rows: Array  # the first row with each
    counts: Array  # of the rows with each

    @property
    def texts(self) -> list[str]:
        """The values as text."""
        return [value if isinstance(value, str) else f"{value:g}" for value in self.values]

    def most_frequent(self, most: int) -> Levels:
        """At most some of the levels."""
        kept = np.sort(np.argsort(-self.counts, kind="stable")[:most])
        return Levels([self.values[i] for i in kept], self.rows[kept], self.counts[kept])


def levels_of(X: Any, j: int) -> Levels:
    """Levels of a column, in the order of one of pandas that has one; otherwise sorted."""
    values = values_of(X, j)
    is_known = np.isfinite(values) if is_numeric(X, j) else [value is not None for value in values]
    known = np.flatnonzero(is_known)
    found, first, counts = np.unique(values[known], return_index=True, return_counts=True)
    order = np.arange(len(found))
    of_pandas = None if is_numeric(X, j) else getattr(column_of(X, j), "cat", None)
    if own := list(map(str, getattr(of_pandas, "categories", []))):
        order = np.argsort([own.index(level) for level in found])
    return Levels(found[order].tolist(), known[first[order]], counts[order])


def column_stds(X: Any) -> Array:
    """Standard deviation of each column, (p,); one for constant columns and categories."""
    columns = (numeric_values(X, j) if is_numeric(X, j) else [0.0] for j in range(X.shape[1]))
    return np.array([np.nanstd(column) or 1.0 for column in columns])


# --- features along axes ----------------------------------------------------------------------


class FeatureAxis(NamedTuple):
    """A feature along an axis, with numbers or with categories in their order."""

    name: str
    column: int
    grid: Array  # values (n_points,): numbers, or indices of rows that hold the categories
    observed: Array  # values of the rows, (n,): numbers, or positions of categories; NaN if missing
    categories: list[str] | None = None  # with their shares of the rows

    @property
    def positions(self) -> Array:
        """Where the points of the grid are drawn, (n_points,)."""
        return self.grid if self.categories is None else np.arange(float(len(self.grid)))

    def points(self, X: Any) -> Any:
        """Rows of the type of X at the points of the grid, with the other features at medians."""
        return make_grid(X, [self.column], self.grid[:, None])


def feature_axis(
    X: Any, j: int, name: str, resolution: int, *, as_numbers: bool = False
) -> FeatureAxis:
    """A feature over its typical range, or with its most frequent categories.

    Two numbers, such as 0 and 1, are categories too, unless an axis `as_numbers` is required.
    """
    levels, values = levels_of(X, j), values_of(X, j)
    if len(levels.values) < 2:
        raise ValueError(
            f"Features must vary in X to be drawn; {name!r} does not. Choose another feature or "
            "pass more rows."
        )
    if is_numeric(X, j) and (as_numbers or len(levels.values) > 2):
        ends = typical_range(values[np.isfinite(values)])
        return FeatureAxis(name, j, np.linspace(*ends, resolution), values)
    drawn = levels.most_frequent(MAX_DRAWN_CATEGORIES)
    if len(levels.values) > len(drawn.values):
        name = f"{name} ({len(drawn.values)} of {len(levels.values)} categories)"
    position = {level: float(i) for i, level in enumerate(drawn.values)}
    observed = np.array([position.get(value, np.nan) for value in values.tolist()])
    grid = np.array(drawn.values) if is_numeric(X, j) else drawn.rows
    shares = map(format_percent, drawn.counts / levels.counts.sum())
    labels = [f"{text}\n{share}" for text, share in zip(drawn.texts, shares, strict=True)]
    return FeatureAxis(name, j, grid, observed, labels)


def typical_range(values: Array, weight: Array | None = None) -> tuple[float, float]:
    """Smallest and largest value but for those that are far beyond the others, by their weights.

    Where most values without weights are equal, such as zeros, all are typical.
    """
    low, high = np.quantile(values, TYPICAL_QUANTILES)
    reach = TYPICAL_REACH * (high - low) or np.inf
    if weight is not None:
        low, high = weighted_quantiles(values, weight, np.array(RATE_QUANTILES))
        reach = high - low
    kept = values[(values >= low - reach) & (values <= high + reach)]
    return float(kept.min()), float(kept.max())


def height_limits(rows: Array, curves: Array, exposure: Array | None = None) -> tuple[float, float]:
    """Limits of a vertical axis for the heights of rows and of curves, which may hold NaN.

    They contain the typical rows, by their exposure, and the curves as far as these remain
    readable.
    """
    is_finite, curves = np.isfinite(rows), curves[np.isfinite(curves)]
    weight = None if exposure is None else exposure[is_finite]
    low, high = typical_range(rows[is_finite], weight) if is_finite.any() else typical_range(curves)
    reach = CURVE_REACH * (high - low) or np.inf
    shown = np.clip(np.append(curves, [low, high]), low - reach, high + reach)
    margin = ROWS_MARGIN * np.ptp(shown) or 1.0
    return float(shown.min() - margin), float(shown.max() + margin)


# --- rows at other values ---------------------------------------------------------------------


def make_grid(X: Any, columns: Sequence[int], values: Array) -> Any:
    """Rows of the type of X with `values` (n, len(columns)) in some columns.

    Values of categories are those of the rows of X with these indices. The other columns are at
    their reference values: the median, or the most frequent category.
    """
    n_rows, n_features = len(values), X.shape[1]
    given = dict(zip(columns, values.T, strict=True))
    others = set(range(n_features)) - set(given)
    if sparse.issparse(X):  # the median of a column with a majority of zeros is zero
        others &= set(np.flatnonzero(2 * np.diff(X.indptr) >= X.shape[0]).tolist())
    filled = given | {j: np.full(n_rows, reference_value(X, j)) for j in others}
    if not sparse.issparse(X):
        return _table(X, [filled[j] for j in range(n_features)])
    index = np.array(sorted(filled), dtype=int)
    position = np.repeat(np.arange(n_rows), len(index)), np.tile(index, n_rows)
    values = np.array([filled[j] for j in index.tolist()]).T
    return sparse.csr_array((values.ravel(), position), shape=(n_rows, n_features))


def at_reference_values(X: Any, column: int) -> Any:
    """The rows of X with their own values of one column, and reference values of the others."""
    own = numeric_values(X, column) if is_numeric(X, column) else np.arange(X.shape[0])
    return make_grid(X, [column], own[:, None])


def path_rows(X: Any, row: int, fraction: Array) -> Any:
    """Rows (n,) of the type of X on the way from its mean row to one of its rows.

    Each feature is at its own fraction (n, p) of the way. Categories, of which the mean row has the
    most frequent, and missing values change half-way.
    """
    columns: list[Array] = []
    for j in range(X.shape[1]):
        start, end = reference_value(X, j), float(row)
        if is_numeric(X, j):
            values = numeric_values(X, j)
            start, end = float(np.mean(values, where=np.isfinite(values))), values[row]
        if is_numeric(X, j) and np.isfinite([start, end]).all():
            columns.append(start + fraction[:, j] * (end - start))
        else:
            columns.append(np.where(fraction[:, j] >= 0.5, end, start))
    rows = _table(X, columns)
    return sparse.csr_array(rows) if sparse.issparse(X) else rows


def _table(X: Any, columns: Sequence[Array]) -> Any:
    """Columns of numbers, or of indices of rows of X with the categories, as a table."""
    if not hasattr(X, "columns"):
        return np.column_stack(columns)
    return type(X)(
        {
            name: columns[j] if is_numeric(X, j) else _take(X, j, columns[j].astype(int))
            for j, name in enumerate(X.columns)
        }
    )


def _take(X: Any, j: int, rows: Array) -> Any:
    """Values of a column in some rows; of the array, because pandas would align by the index."""
    series = column_of(X, j)
    return series.array.take(rows) if hasattr(X, "iloc") else series[rows]


def reference_value(X: Any, j: int) -> float:
    """Median of a column, or index of the first row with its most frequent category."""
    if is_numeric(X, j):
        values = numeric_values(X, j)
        known = values[~np.isnan(values)]
        return float(np.median(known)) if len(known) else float("nan")
    names = [str(value) for value in column_of(X, j)]
    _, first, count = np.unique(names, return_index=True, return_counts=True)
    return float(first[np.argmax(count)])


def one_target(values: Any, index: int, axis: int) -> Array:
    """Values of one output or class, from an array with an axis for them if there are several."""
    values = np.asarray(values)
    return np.take(values, index, axis=axis) if values.ndim > axis else values


def names_of_fit(estimator: Any) -> list[str]:
    """Names of the features in the fit."""
    names = getattr(estimator, "feature_names_in_", None)
    return feature_labels(names, estimator.n_features_in_)


# --- effects of features --------------------------------------------------------------------------


def gate_log_odds(estimator: Any) -> Array | None:
    """Slopes (K, q) of the log odds of each expert against the first one; None without any."""
    slopes = getattr(estimator, "gate_coef_", None)
    if slopes is None or estimator.n_experts_ == 1 or not slopes.any():
        return None
    return np.asarray(slopes - slopes[0])


def derived_gate_columns(estimator: Any) -> list[str] | None:
    """Names of the columns of the gate if they are derived from the features; otherwise None."""
    names = [str(name) for name in estimator.gate_feature_names_]
    return None if names == names_of_fit(estimator) else names


def gate_effects(estimator: Any, X: Any) -> Array | None:
    """Range (p,) over the experts of their log odds for one standard deviation of each feature.

    None for a gate without slopes, or one whose columns are derived from the features.
    """
    log_odds = gate_log_odds(estimator)
    if has_series(estimator):  # the largest of those after each expert
        log_odds = estimator.transition_coef_.transpose(1, 0, 2)
    if log_odds is None or derived_gate_columns(estimator) is not None:
        return None
    ranges: Array = np.ptp(log_odds, axis=0)
    effects: Array = ranges.reshape(-1, ranges.shape[-1]).max(axis=0) * column_stds(X)
    return effects


def leading_feature(estimator: Any, X: Any, of_experts: Array | None = None) -> int:
    """The feature with the largest effect on the gate, or on the experts under a constant gate.

    Without slopes of the gate, an effect is the largest change of a probability, or of a
    prediction, with the other features at their medians. With the effects `of_experts` (p, K) it is
    a feature that some expert uses, if there is one.
    """
    effects = gate_effects(estimator, X)
    if effects is None:
        gate = partial(transition_probabilities, estimator)
        gate = gate if has_series(estimator) else estimator.predict_gate
        effects = changes_over_features(X, gate).max(axis=1)
    if of_experts is not None and of_experts.any():
        effects = np.where(of_experts.any(axis=1), effects, 0.0)
    if not np.any(effects > 0.0):
        effects = changes_over_features(X, estimator.predict_experts).max(axis=1)
    return int(np.argmax(effects))


def expert_effects(estimator: Any, X: Any, index: int) -> Array:
    """Changes (p, K) of the experts' predictions of an output or class over each feature."""
    return changes_over_features(
        X, lambda rows: one_target(estimator.predict_experts(rows), index, 2)
    )


def changes_over_features(X: Any, function: Callable[[Any], Array]) -> Array:
    """Changes (p, m) over each feature of the m values that a function of rows has.

    The other features are at their medians, or most frequent categories.
    """
    changes: list[Array] = []
    for j in range(X.shape[1]):
        if is_numeric(X, j):
            grid = np.nanquantile(numeric_values(X, j), EFFECT_QUANTILES)
        else:
            grid = levels_of(X, j).most_frequent(MAX_DRAWN_CATEGORIES).rows
        values = function(make_grid(X, [j], grid[:, None]))
        changes.append(np.ptp(values.reshape(len(values), -1), axis=0))
    return np.array(changes)
