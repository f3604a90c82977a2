"""The starting row of the panel, its features, and rows that differ from it in one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from skmoe._data.rows import index_rows
from skmoe._numerics.typing import Array
from skmoe.inspection._grid import categories_of, is_numeric, make_grid, numeric_values

# A feature with up to this number of different values is a choice between them.
MAX_CHOICES = 6

# Most categories that are offered, the most frequent ones.
MAX_CATEGORIES_OFFERED = 60

# Values at which the effects of all features are compared.
N_PROBES = 5


class Feature(NamedTuple):
    """A feature that varies: a range of numbers, or a choice between numbers or categories."""

    column: int
    label: str
    values: Array  # numbers, or names of categories; ends of the range if it is no choice
    is_choice: bool
    example_rows: Array | None  # for categories the index of a row of X with each

    @property
    def is_category(self) -> bool:
        """Whether its values are names."""
        return self.example_rows is not None


def starting_row(X: Any, row: int | None) -> Any:
    """A table of one row: that of X, or medians and most frequent categories."""
    if row is None:
        return make_grid(X, [], np.empty((1, 0)))
    chosen = index_rows(X.tocsr() if sparse.issparse(X) else X, np.array([row]))
    return sparse.csc_array(chosen) if sparse.issparse(chosen) else chosen


def value_of(table: Any, feature: Feature) -> float | str | None:
    """Value of a feature in a table of one row; None if it is missing."""
    if feature.is_category:
        return categories_of(table, feature.column)[0]
    value = float(numeric_values(table, feature.column)[0])
    return value if np.isfinite(value) else None


def describe_feature(X: Any, j: int, label: str) -> Feature | None:
    """A feature of the rows X; None if it does not vary."""
    if not is_numeric(X, j):
        return _describe_categories(X, j, label)
    values = numeric_values(X, j)
    values = np.unique(values[np.isfinite(values)])
    if len(values) < 2:
        return None
    is_choice = len(values) <= MAX_CHOICES
    return Feature(j, label, values if is_choice else values[[0, -1]], is_choice, None)


def _describe_categories(X: Any, j: int, label: str) -> Feature | None:
    names = np.array([name or "" for name in categories_of(X, j)], dtype=object)
    found, rows, counts = np.unique(names.astype(str), return_index=True, return_counts=True)
    kept = np.flatnonzero(found != "")
    kept = np.sort(kept[np.argsort(-counts[kept], kind="stable")][:MAX_CATEGORIES_OFFERED])
    if len(kept) < 2:
        return None
    return Feature(j, label, found[kept].astype(object), True, rows[kept])


def with_values(X: Any, start: Any, feature: Feature, values: Array) -> Any:
    """Rows that are the starting row but for one feature; of categories all, in their order."""
    j = feature.column
    if feature.example_rows is None:
        return make_grid(start, [j], np.asarray(values, dtype=float)[:, None])
    rows = make_grid(start, [], np.empty((len(feature.example_rows), 0)))
    if hasattr(X, "iloc"):
        rows.isetitem(j, X.iloc[feature.example_rows, j].array)
        return rows
    return rows.with_columns(X[:, j][feature.example_rows.tolist()].alias(X.columns[j]))


def grid_of(feature: Feature, start: float | str | None, n_points: int) -> Array:
    """Values at which a feature is evaluated: its choices, or points of its range and the start."""
    if feature.is_choice:
        return feature.values
    low, high = feature.values
    grid = np.linspace(low, high, n_points)
    return np.unique(np.append(grid, start)) if isinstance(start, float) else grid


def strongest_features(
    estimator: Any, X: Any, start: Any, features: Sequence[Feature], max_features: int
) -> list[Feature]:
    """The features that move the prediction, or the gate, most on the way through the start."""
    if len(features) <= max_features:
        return list(features)
    method = getattr(estimator, "predict_proba", None) or estimator.predict
    at_start = np.ravel(method(start)), np.ravel(estimator.predict_gate(start))
    effects = np.zeros((2, len(features)))
    for i, feature in enumerate(features):
        rows = with_values(X, start, feature, _probes(X, feature))
        for moved, (predict, base) in enumerate(
            zip((method, estimator.predict_gate), at_start, strict=True)
        ):
            change = predict(rows).reshape(-1, base.size) - base
            effects[moved, i] = np.abs(change).max()
    largest = effects.max(axis=1, keepdims=True)
    relative = (effects / np.where(largest > 0.0, largest, 1.0)).max(axis=0)
    shown = np.sort(np.argsort(-relative, kind="stable")[:max_features])
    return [features[i] for i in shown]


def _probes(X: Any, feature: Feature) -> Array:
    if feature.is_choice:
        return feature.values
    return np.nanquantile(numeric_values(X, feature.column), np.linspace(0.05, 0.95, N_PROBES))
