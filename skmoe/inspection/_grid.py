"""Rows that differ in one or two features, the others held at typical values."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from skmoe._numerics.typing import Array


def is_number(X: Any, j: int) -> bool:
    """Whether a column holds numbers; those of arrays do."""
    if not hasattr(X, "columns"):
        return True
    return str(_series(X, j).dtype).lower().startswith(("int", "uint", "float", "bool"))


def numbers(X: Any, j: int) -> Array:
    """A column of numbers, (n,), with NaN for holes."""
    if sparse.issparse(X):
        return X[:, [j]].toarray()[:, 0]
    if hasattr(X, "iloc"):
        return X.iloc[:, j].to_numpy(dtype=np.float64, na_value=np.nan)
    if hasattr(X, "columns"):
        return _series(X, j).cast(float).to_numpy()
    return X[:, j]


def spreads(X: Any) -> Array:
    """Standard deviation of each column; one where it has none."""
    values = np.ones(X.shape[1])
    for j in range(X.shape[1]):
        column = numbers(X, j) if is_number(X, j) else np.zeros(1)
        values[j] = np.nanstd(column) or 1.0
    return values


def make_grid(X: Any, columns: list[int], values: Array) -> Any:
    """Rows of the kind of X with `values` (n, len(columns)) in some columns.

    The other columns are held at their medians, or at their most frequent category.
    """
    if hasattr(X, "columns"):
        return _frame(X, columns, values)
    if sparse.issparse(X):
        return _sparse(X, columns, values)
    held = [0.0 if j in columns else _median(X[:, j]) for j in range(X.shape[1])]
    grid = np.tile(held, (len(values), 1))
    grid[:, columns] = values
    return grid


def hold(X: Any, column: int) -> Any:
    """The rows of X, each with its own value of one column and the others held."""
    return make_grid(X, [column], numbers(X, column)[:, None])


def _frame(X: Any, columns: list[int], values: Array) -> Any:
    filled = {}
    for j, name in enumerate(X.columns):
        if j in columns:
            filled[name] = values[:, columns.index(j)]
        elif is_number(X, j):
            filled[name] = np.full(len(values), _median(numbers(X, j)))
        else:
            series = _series(X, j)
            row = np.full(len(values), _most_frequent(series))
            # Without the index of the rows that pandas would align.
            filled[name] = series.array.take(row) if hasattr(X, "iloc") else series[row]
    return type(X)(filled)


def _sparse(X: Any, columns: list[int], values: Array) -> Any:
    held = np.zeros(X.shape[1])
    # Where most entries are zero, so is the median.
    for j in np.flatnonzero(2 * np.diff(X.indptr) >= X.shape[0]):
        held[j] = _median(numbers(X, int(j)))
    held[columns] = 0.0
    place = sparse.csr_array(
        (np.ones(len(columns)), (np.arange(len(columns)), columns)),
        shape=(len(columns), X.shape[1]),
    )
    repeat = sparse.csr_array(np.ones((len(values), 1)))
    return repeat @ sparse.csr_array(held[None]) + sparse.csr_array(values) @ place


def _series(X: Any, j: int) -> Any:
    return X.iloc[:, j] if hasattr(X, "iloc") else X[:, j]


def _median(column: Array) -> float:
    kept = column[~np.isnan(column)]
    return float(np.median(kept)) if len(kept) else float("nan")


def _most_frequent(series: Any) -> int:
    """First row that holds the most frequent value."""
    _, first, count = np.unique(
        [str(value) for value in series], return_index=True, return_counts=True
    )
    return int(first[np.argmax(count)])
