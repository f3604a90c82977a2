"""What is drawn or described: a mixture, rows that it takes, their features and predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_array

from skmoe._data.censored_targets import checked_bounds, is_exact, is_unknown, point_values
from skmoe._data.checks import check_columns, check_integer, check_weights, has_bounds, shown
from skmoe._data.encoding import as_strings, column_of, holds_numbers, numeric_column
from skmoe._data.outcomes import stacked_outcomes
from skmoe._data.rows import Rows, feature_labels, index_rows
from skmoe._data.series import is_missing
from skmoe._data.sklearn_adapter import transform_by
from skmoe._data.steps import UnitPipeline
from skmoe._data.units import encode_units
from skmoe._estimators.methods import input_steps, series
from skmoe._estimators.methods.series import has_series
from skmoe._inference.inference import limits_on_scale
from skmoe._inference.labels import format_percent, output_labels, printable_name
from skmoe._numerics.typing import Array
from skmoe._optional import import_pyplot

# Quantiles of a feature between which a function changes.
EFFECT_QUANTILES = np.linspace(0.05, 0.95, 7)

# Points of a curve.
N_POINTS = 200

# The most frequent categories that are drawn.
MAX_DRAWN_CATEGORIES = 12

# Values are typical if they are at most this multiple of the distance of two quantiles from these;
# where both are equal, since most values are zero, so many standard deviations.
TYPICAL_QUANTILES, TYPICAL_REACH, DEVIATIONS = (0.05, 0.95), 3.0, 10.0

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


def with_column_of(X: Any, j: int, rows: Array) -> Any:
    """A copy of the rows with the values of other rows in one column."""
    return with_column(X, j, _take(X, j, rows) if hasattr(X, "columns") else values_of(X, j)[rows])


def with_column(X: Any, j: int, column: Any) -> Any:
    """A copy of the rows with other values in one column."""
    if sparse.issparse(X):
        parts = X[:, :j], sparse.csc_array(column[:, None]), X[:, j + 1 :]
        return sparse.csc_array(sparse.hstack(parts, format="csc"))
    if hasattr(X, "columns"):
        every = np.arange(X.shape[0])
        columns = [column if i == j else _take(X, i, every) for i in range(X.shape[1])]
        return type(X)(dict(zip(X.columns, columns, strict=True)))
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
    X: Any, j: int, name: str, resolution: int = N_POINTS, *, as_numbers: bool = False
) -> FeatureAxis:
    """A feature over its typical range, or with its most frequent categories.

    Two numbers, such as 0 and 1, are categories too, unless an axis `as_numbers` is required.
    """
    levels, values = levels_of(X, j), values_of(X, j)
    if len(levels.values) < 2:
        raise ValueError(
            f"Features must vary in X; {name!r} does not. Choose others, or pass more rows."
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


def typical_range(values: Array) -> tuple[float, float]:
    """Smallest and largest value but for those that are far beyond the others."""
    low, high = np.quantile(values, TYPICAL_QUANTILES)
    reach = TYPICAL_REACH * (high - low) or DEVIATIONS * values.std()
    kept = values[(values >= low - reach) & (values <= high + reach)]
    return float(kept.min()), float(kept.max())


def height_limits(rows: Array, curves: Array) -> tuple[float, float]:
    """Limits of a vertical axis for the heights of rows and of curves, which may hold NaN.

    They contain the typical rows, and the curves as far as these remain readable.
    """
    rows, curves = rows[np.isfinite(rows)], curves[np.isfinite(curves)]
    low, high = typical_range(rows if len(rows) else curves)
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
    return _table(X, [filled.get(j, np.zeros(n_rows)) for j in range(n_features)])


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
    return _table(X, columns)


def _table(X: Any, columns: Sequence[Array]) -> Any:
    """Columns of numbers, or of indices of rows of X with the categories, as a table."""
    if not hasattr(X, "columns"):
        rows = np.column_stack(columns)
        return sparse.csr_array(rows) if sparse.issparse(X) else rows
    taken = [v if is_numeric(X, j) else _take(X, j, v.astype(int)) for j, v in enumerate(columns)]
    return type(X)(dict(zip(X.columns, taken, strict=True)))


def _take(X: Any, j: int, rows: Array) -> Any:
    """Values of a column in some rows; of the array, because pandas would align by the index."""
    column = column_of(X, j)
    return column.array.take(rows) if hasattr(X, "iloc") else column[rows]


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
    return feature_labels(getattr(estimator, "feature_names_in_", None), estimator.n_features_in_)


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
    return np.asarray(ranges.reshape(-1, ranges.shape[-1]).max(axis=0) * column_stds(X))


def leading_feature(estimator: Any, X: Any, of_experts: Array | None = None) -> int:
    """The feature with the largest effect on the gate, or on the experts under a constant gate.

    Without slopes of the gate, an effect is the largest change of a probability, or of a
    prediction, with the other features at their medians. With the effects `of_experts` (p, K) it is
    a feature that some expert uses, if there is one.
    """
    effects = gate_effects(estimator, X)
    if effects is None:
        gate = partial(series.transition_probabilities, estimator)
        gate = gate if has_series(estimator) else estimator.predict_gate
        effects = changes_over_features(X, gate).max(axis=1)
    if of_experts is not None and of_experts.any():
        effects = np.where(of_experts.any(axis=1), effects, 0.0)
    if not np.any(effects > 0.0):
        effects = changes_over_features(X, estimator.predict_experts).max(axis=1)
    return int(np.argmax(effects))


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


# What the features are if a pipeline makes others of those that it is given.
TRANSFORMED_NOTE = "features are those of the transformed table"


def check_names(estimator: Any, feature_names: Sequence[str] | None) -> list[str]:
    """Printable names of the features: those given, one for each, or those of the fit."""
    if isinstance(feature_names, str):
        raise ValueError(f"feature_names must be a list of names; got {shown(feature_names)}.")
    n_features = estimator.n_features_in_
    names = names_of_fit(estimator) if feature_names is None else list(feature_names)
    if len(names) != n_features:
        raise ValueError(
            f"feature_names must have one name for each of the {n_features} features seen in fit; "
            f"got {len(names)}. To pass rows to an export, use X=X."
        )
    return [printable_name(str(name)) for name in names]


def check_features(name: str, value: Any, estimator: Any, most: int | None = None) -> list[int]:
    """Indices of features, given by names, indices or a mask; all for None.

    With `most` it is one feature, or up to two, that must be given.
    """
    known = getattr(estimator, "feature_names_in_", None)
    chosen = check_columns(name, value, estimator.n_features_in_, known)
    if most is not None and (chosen is None or len(chosen) > most):
        number = {1: "one feature", 2: "one feature or two"}[most]
        raise ValueError(
            f"{name} must be {number}, by name or index; got {shown(value)}. "
            f"Draw {'each' if most == 1 else 'two'} at a time."
        )
    return list(range(estimator.n_features_in_)) if chosen is None else [int(j) for j in chosen]


def check_input_columns(
    name: str, value: Any, estimator: Any, X: Any
) -> tuple[list[str], list[int]]:
    """Names of the columns of X, that of a pipeline, and the indices of those given or of all."""
    names = getattr(X, "columns", getattr(estimator, "feature_names_in_", None))
    labels = feature_labels(names, np.shape(X)[1])
    known = None if names is None else np.array(labels, dtype=object)
    chosen = check_columns(name, value, len(labels), known)
    return labels, list(range(len(labels))) if chosen is None else chosen.tolist()


def check_panels(name: str, value: Any, estimator: Any, most: int) -> list[list[int]]:
    """Indices of the features of each panel: a list has one entry for each; none for None."""
    if value is None:
        return []
    if isinstance(value, list) and not value:
        raise ValueError(f"{name} must not be empty. Pass None for the strongest feature.")
    panels = value if isinstance(value, list) else [value]
    return [check_features(name, each, estimator, most) for each in panels]


def names_of_experts(estimator: Any) -> list[str]:
    """Printable names of the experts."""
    return [printable_name(name) for name in estimator.expert_names_]


def check_table(estimator: Any, X: Any) -> Any:
    """Rows for the estimator: a data frame as it is, a CSC array, or an array of numbers."""
    if not hasattr(X, "columns"):
        X = check_array(X, accept_sparse="csr", dtype=np.float64, ensure_all_finite=False)
    gate_of_features(estimator, index_rows(X, slice(1)))  # raises for other columns, or no rows
    return sparse.csc_array(X) if sparse.issparse(X) else X


def check_rows(name: str, estimator: Any, X: Any, y: Any) -> Any:
    """Rows that the estimator takes, with a target for each."""
    table, y = check_table(estimator, X), outcomes_of(estimator, y)
    n_targets = len(np.asarray(y)) if np.ndim(y) else 0
    if n_targets != table.shape[0]:
        raise ValueError(
            f"{name} must have a value for each of the {table.shape[0]} rows; got {n_targets}. "
            "Pass the target of these rows."
        )
    return table


def check_targets(estimator: Any, target: Any, X: Any) -> list[int]:
    """Index of a class or an output; for None those of all classes, if there are three or more."""
    n_classes = len(estimator.classes_) if is_classifier(estimator) else 0
    if target is None and n_classes > 2:
        return list(range(n_classes))
    return [check_target(estimator, target, X)]


def check_target(estimator: Any, target: Any, X: Any) -> int:
    """Index of a class, given by its label, or of an output."""
    if is_classifier(estimator):
        choices = estimator.classes_.tolist()
        rule, drawn, is_choice = f"one of the classes seen in fit, {choices}", "class", True
    else:
        names = output_labels(estimator)
        is_name = isinstance(target, str) and len(names) > 1 and target in names
        target = names.index(target) if is_name else target
        choices = list(range(len(names)))
        rule = f"the index of an output, from 0 to {len(names) - 1}, or one of {names}"
        is_choice = isinstance(target, (int, np.integer)) and not isinstance(target, bool)
        drawn = "output"
    if target is None and len(choices) == 1 + is_classifier(estimator):
        return len(choices) - 1
    if not is_choice or target not in choices:
        raise ValueError(
            f"target must be {rule}; got {shown(target)}. Pass the {drawn} to draw, such as "
            f"target={choices[0]!r}."
        )
    return int(choices.index(target))


def check_regressor(estimator: Any, remedy: str) -> None:
    """What is drawn of numbers is not drawn of classes."""
    if is_classifier(estimator):
        raise TypeError(f"estimator must be a regressor; got {type(estimator).__name__}. {remedy}")


# --- rows that follow one another in time ---------------------------------------------------------


def gate_of_features(estimator: Any, X: Any) -> Array:
    """Probabilities (n, K) of the experts, given features only; of series those of the long run."""
    if has_series(estimator):
        return series.long_run_probabilities(estimator, X)
    return np.asarray(estimator.predict_gate(X))


def given_features(estimator: Any, X: Any) -> dict[str, Any]:
    """By what predictions of series are those of the long run; others need nothing."""
    return {"gate_proba": gate_of_features(estimator, X)} if has_series(estimator) else {}


def known_past(estimator: Any, rows: Rows) -> dict[str, Any]:
    """Arguments by which predictions of observed rows know earlier rows of their series."""
    return {"y": rows.y, "units": rows.unit, "time": rows.time} if has_series(estimator) else {}


def gate_of_rows(estimator: Any, rows: Rows) -> Array:
    """Gate probabilities (n, K) of observed rows, which know earlier rows of their series."""
    given = {"units": rows.unit, "time": rows.time}
    return np.asarray(estimator.predict_gate(rows.X, **given | known_past(estimator, rows)))


def gate_of_row(estimator: Any, rows: Rows, row: int) -> Callable[[Any], Array]:
    """The gate as a function of features, for a row of a series given what is known before it."""
    if not has_series(estimator):
        return partial(estimator.predict_gate)
    if rows.y is None:
        raise ValueError(
            'y must be given with gate="markov", whose rows depend on earlier ones. Pass y, with '
            "NaN where it is not known."
        )
    before = series.known_before(estimator, rows, row)

    def gate_of(X: Any) -> Array:
        if before is None:
            return np.tile(estimator.initial_probabilities_, (X.shape[0], 1))
        return np.einsum("j,njk->nk", before, series.transition_probabilities(estimator, X))

    return gate_of


# --- pipelines and searches --------------------------------------------------------------------


def find_mixture(estimator: Any, X: Any = None) -> tuple[Any, Any, str]:
    """The mixture in which pipelines and searches end, rows that it takes, and a note on features.

    Where the last steps scale columns, the mixture is one of the columns before them, in their
    units and with their names. Other steps are applied to the rows, and the features are those of
    the transformed table.
    """
    steps, mixture = input_steps.find_steps(estimator)
    others, scalers = input_steps.split_at_scalers(steps)
    names = input_steps.names_of_output(steps, mixture.n_features_in_)
    view = input_steps.with_input(mixture, scalers, names)
    if not others:
        return view, X, ""
    return view, None if X is None else transform_by(others, X), TRANSFORMED_NOTE


def drawn_mixture(
    display: Any, estimator: Any, X: Any = None
) -> tuple[Any, Any, str, list[str], list[str]]:
    """What a display draws: a mixture, rows, a note, and printable names of features and experts.

    Without matplotlib there is an ImportError before any work.
    """
    import_pyplot(f"{display.__name__}.from_estimator")
    mixture, X, note = find_mixture(estimator, X)
    table = None if X is None else check_table(mixture, X)
    return mixture, table, note, check_names(mixture, None), names_of_experts(mixture)


def check_no_powers(display: Any, estimator: Any) -> None:
    """Powers of the time of `trajectories` change together, and not one at a time."""
    found = getattr(estimator, "best_estimator_", estimator)
    if isinstance(found, UnitPipeline) and np.size(found.steps[-1][1].expert_features) > 1:
        raise ValueError(
            f"{display.__name__} changes one column at a time, and powers of the time of "
            "trajectories change together. Use TrajectoriesDisplay, with the name of the time."
        )


# After the name of a target of which some values are drawn at their bounds.
HOLLOW = "\n(hollow: censored)"

# After the name of a target that is divided by the exposure of its row.
PER_EXPOSURE = " per unit of exposure"


def distribution_of(
    estimator: Any, X: Any, index: int, offset: Any, gate: Array, **given: Any
) -> Any:
    """Predictive distribution of one output, by probabilities (n, K) of the experts."""
    found = estimator.predict_dist(X, offset=offset, gate_proba=gate, **given)
    return found.marginal(index) if hasattr(estimator, "output_names_") else found


def observed_distribution(estimator: Any, rows: Rows, index: int, offset: Any, **given: Any) -> Any:
    """Predictive distribution of one output of rows, which know earlier ones of their series."""
    return distribution_of(estimator, rows.X, index, offset, gate_of_rows(estimator, rows), **given)


def predicted_survival(
    estimator: Any, rows: Any, times: Array, index: int, offset: Any, gate: Array
) -> tuple[Array, Array]:
    """Probabilities of no event until times, of the experts (n, K, T) and the mixture (n, T)."""
    curves = []
    for proba in (*np.eye(gate.shape[1]), gate):  # of each expert alone, and of all
        given = np.broadcast_to(proba, gate.shape)
        found = distribution_of(estimator, rows, index, offset, given)
        curves.append(found.sf(times[None]))
    return np.stack(curves[:-1], axis=1), curves[-1]


def observed_target(estimator: Any, y: Any, index: int) -> Array:
    """Observed values (n,), or bounds of them; of a class 1 for its rows and 0 for the others.

    Those of series may be missing.
    """
    if is_classifier(estimator):
        labels = np.asarray(y).ravel()
        is_class = (labels == estimator.classes_[index]).astype(float)
        return np.where(is_missing(labels), np.nan, is_class) if has_series(estimator) else is_class
    y = target_of(outcomes_of(estimator, y), index)
    return np.where(is_unknown(y), np.nan, point_values(y))


def outcomes_of(estimator: Any, y: Any) -> Any:
    """Outcomes in the order of the fit; a dict of them as an array."""
    return stacked_outcomes(y, getattr(estimator, "output_names_", ()))


def target_of(y: Any, index: int) -> Array:
    """Numbers (n,) of one output, or bounds."""
    y = stacked_outcomes(y)
    return one_target(checked_bounds(y) if has_bounds(y) else np.asarray(y, np.float64), index, 1)


def predicted_mean(estimator: Any, rows: Any, index: int, **given: Any) -> Array:
    """Prediction (n,) of the mixture: its mean, or its probability of the class.

    Of series it is that of the long run, if neither their past nor a gate is given.
    """
    if not {"y", "gate_proba"} & set(given):
        given |= given_features(estimator, rows)
    if is_classifier(estimator):
        given.pop("offset", None)
        return estimator.predict_proba(rows, **given)[:, index]
    return one_target(estimator.predict(rows, **given), index, 1)


def interval_band(
    estimator: Any, rows: Any, index: int, coverage: float | None, offset: Any, **given: Any
) -> Array | None:
    """Predictive intervals (n, 2) of a regressor; None without coverage or for classes.

    `offset` is that of all rows.
    """
    if coverage is None or is_classifier(estimator):
        return None
    try:
        given = given_features(estimator, rows) | given
        given["offset"] = None if offset is None else np.repeat(offset[None], rows.shape[0], axis=0)
        interval = estimator.predict_interval(rows, coverage, **given)
    except ValueError as error:
        raise ValueError(f"{error} Or draw no band, with coverage=None.") from error
    return one_target(interval, index, 2)


def links_of(estimator: Any) -> list[str]:
    """Links of the means of the experts."""
    other = "logit" if is_classifier(estimator) else "identity"
    links = [family.link for family in getattr(estimator, "families_", ())]
    return links or [other] * estimator.n_experts_


def confidence_bands(
    drawn: ObservedRows, points: Any, errors: Array, coverage: float
) -> list[Array]:
    """Confidence intervals (n, 2) of the predictions of each expert, from standard errors of these.

    They are symmetric on the scale of the link; that of a logit if y is between 0 and 1.
    """
    of_target = errors[..., drawn.target % errors.shape[2]].T
    is_share = drawn.observed.min() >= 0.0 and drawn.observed.max() <= 1.0
    names = [
        link if link == "log" or (link == "logit" and is_share) else ""
        for link in links_of(drawn.estimator)
    ]
    each = zip(names, drawn.by_experts(points).T, of_target, strict=True)
    return [limits_on_scale(*of_expert, coverage) for of_expert in each]


def observed_rates(estimator: Any, rows: Rows, index: int) -> tuple[Array, Array]:
    """Observed values (n,) per unit of exposure, and exposures; without an offset these are one."""
    values = observed_target(estimator, rows.y, index)
    if rows.offset is None:
        return values, np.ones(len(values))
    exposure = np.exp(one_target(rows.offset, index, 1))
    return values / exposure, exposure


def target_name(estimator: Any, y: Any, index: int) -> str:
    """Label of the vertical axis: the name of y if it has one."""
    if is_classifier(estimator):
        return f"Probability of class {estimator.classes_[index]}"
    if hasattr(y, "columns"):
        return str(y.columns[index])
    if isinstance(getattr(y, "name", None), str) and y.name:
        return str(y.name)
    return output_labels(estimator)[index]


def row_weights(rows: Rows) -> Array:
    """Weights of the rows, (n,)."""
    return np.ones(rows.n_rows) if rows.weight is None else rows.weight


def responsibilities(estimator: Any, rows: Rows) -> Any:
    """Responsibilities as the method returns them; those of series are given all rows."""
    known = {"given": "all"} if has_series(estimator) else {}
    return estimator.responsibilities(rows.X, rows.y, **rows.arguments, **known)


def responsibilities_of_rows(estimator: Any, rows: Rows) -> tuple[Array, Array]:
    """Responsibilities (n, K) of the rows, those of its unit for each, and shares (K,)."""
    resp = responsibilities(estimator, rows)
    if hasattr(resp, "proba"):
        # Units of which no class is known are not in the table.
        return resp.rows(rows.unit, estimator.predict_gate(rows.X)), resp.proba.mean(axis=0)
    weight = row_weights(rows)
    return resp, weight @ resp / weight.sum()


class ObservedRows(NamedTuple):
    """Rows with their target and the responsibilities for them."""

    estimator: Any
    table: Any
    target: int  # index of the class or output
    name: str
    observed: Array
    resp: Array  # (n, K), those of its unit for each row
    shares: Array  # means of the responsibilities over rows or units, (K,)
    units: Array | None  # labels
    exposure: Array | None  # by which the observed values are divided; None without an offset
    censored: Array | None  # whether they are bounds; None if none can be

    @property
    def assigned_expert(self) -> Array:
        """The expert with the largest responsibility, (n,)."""
        return self.resp.argmax(axis=1)

    def shown(self, has_value: Array, subsample: int | None) -> Array:
        """Indices of the rows to show, of those with a value: some at random, whole units."""
        rows = np.flatnonzero(has_value & np.isfinite(self.observed))
        if subsample is None or len(rows) <= check_integer("subsample", subsample, least=2):
            return rows
        codes = rows if self.units is None else encode_units(self.units)[1][rows]
        rank = np.random.default_rng(0).permutation(codes.max() + 1)[codes]
        return rows[rank <= np.sort(rank)[subsample - 1]]

    def over(self, axis: FeatureAxis, shown: Array, heights: Array) -> dict[str, Any]:
        """Fields of a display over a feature, with the rows that are shown at some heights (n,)."""
        of_rows = {"x": axis.observed, "y": heights, "assigned_expert": self.assigned_expert}
        found: dict[str, Any] = {name: values[shown] for name, values in of_rows.items()}
        found |= {"grid": axis.positions, "categories": axis.categories}
        for name, values in (("units", self.units), ("censored", self.censored)):
            found[name] = None if values is None else values[shown]
        return found | {"curves": self.by_experts(axis.points(self.table))}

    def by_experts(self, table: Any) -> Array:
        """Predictions (n, K) of the experts for a table."""
        return one_target(self.estimator.predict_experts(table), self.target, 2)

    def heights(self, j: int, adjust: bool) -> tuple[str, Array]:
        """Label of the vertical axis, and heights (n, K) of the rows over a feature.

        If these are adjusted, all features but one are at reference values. They are as far from
        the prediction of an expert there as y is from its own prediction: by the same difference,
        or under a log link by the same ratio. Those of classes are not adjusted.
        """
        observed, own = self.observed[:, None], self.by_experts(self.table)
        name = self.name + HOLLOW * bool(self.censored is not None and self.censored.any())
        if not adjust or is_classifier(self.estimator):
            return name, np.broadcast_to(observed, own.shape)
        is_number = is_numeric(self.table, j)
        values = numeric_values(self.table, j) if is_number else np.arange(self.table.shape[0])
        reference = self.by_experts(make_grid(self.table, [j], values[:, None]))
        is_log = np.array(links_of(self.estimator)) == "log"
        with np.errstate(all="ignore"):  # ratios of predictions that are zero are not drawn
            heights = np.where(is_log, observed * (reference / own), observed + (reference - own))
        return name + "\n(other features at medians)" * (self.table.shape[1] > 1), heights


def observed_rows(estimator: Any, rows: Rows, target: Any) -> list[ObservedRows]:
    """The rows for each target, with y, or with 1 for the rows of a class and 0 for others."""
    rows = rows._replace(y=outcomes_of(estimator, rows.y))
    is_bounded = has_bounds(rows.y)
    resp, found = responsibilities_of_rows(estimator, rows), []
    units = None if rows.unit is None or has_series(estimator) else np.asarray(rows.unit)
    for index in check_targets(estimator, target, rows.X):
        name = target_name(estimator, rows.y, index) + PER_EXPOSURE * (rows.offset is not None)
        observed, exposure = observed_rates(estimator, rows, index)
        exposures = None if rows.offset is None else exposure
        found.append(
            ObservedRows(
                *(estimator, rows.X, index, name, observed, *resp, units, exposures),
                ~is_exact(target_of(rows.y, index)) if is_bounded else None,
            )
        )
    return found


# --- rows with weights ----------------------------------------------------------------------------


def positive_rows(rows: Rows) -> Rows:
    """The rows of positive weight: rows of weight zero are absent."""
    if rows.weight is None:
        return rows
    rows = rows._replace(weight=check_weights(rows.weight, rows.n_rows))
    check_consistent_length(rows.weight, rows.y, rows.offset, rows.unit, rows.possible)
    return rows.of_positive_weight()


def deviation(values: Array, weight: Array) -> float:
    """Standard deviation of weighted values."""
    return float(np.sqrt(np.cov(values, aweights=weight, ddof=0)))
