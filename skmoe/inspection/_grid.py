"""Rows that vary in one or two features, with the other features at reference values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from skmoe._numerics.typing import Array


def is_numeric(X: Any, j: int) -> bool:
    """Whether a column holds numbers; columns of arrays do."""
    if not hasattr(X, "columns"):
        return True
    return str(_series(X, j).dtype).lower().startswith(("int", "uint", "float", "bool"))


def numeric_values(X: Any, j: int) -> Array:
    """A column of numbers, (n,), with NaN for missing values."""
    if sparse.issparse(X):
        return X[:, [j]].toarray()[:, 0]
    if hasattr(X, "iloc"):
        return X.iloc[:, j].to_numpy(dtype=np.float64, na_value=np.nan)
    if hasattr(X, "columns"):
        return _series(X, j).cast(float).to_numpy()
    return X[:, j]


def values_of_row(X: Any, row: int) -> list[Any]:
    """Values of the features of a row: numbers as floats, and categories."""
    values: list[Any] = []
    for j in range(X.shape[1]):
        if is_numeric(X, j):
            values.append(float(numeric_values(X, j)[row]))
        else:
            values.append(_series(X, j).tolist()[row] if hasattr(X, "iloc") else _series(X, j)[row])
    return values


def categories_of(X: Any, j: int) -> list[str | None]:
    """Categories of the rows in a column of a data frame, as text; None for missing ones."""
    missing = {"None", "nan", "<NA>", "NaT"}
    return [None if str(value) in missing else str(value) for value in _series(X, j)]


def take_rows(values: Any, index: Array) -> Any:
    """Rows of an array, a sparse array, a data frame, a series or a list."""
    if hasattr(values, "iloc"):
        return values.iloc[index]
    return values[index] if hasattr(values, "shape") else np.asarray(values)[index]


def column_stds(X: Any) -> Array:
    """Standard deviation of each column, (p,); one for constant columns and categories."""
    values = np.ones(X.shape[1])
    for j in range(X.shape[1]):
        column = numeric_values(X, j) if is_numeric(X, j) else np.zeros(1)
        values[j] = np.nanstd(column) or 1.0
    return values


def make_grid(X: Any, columns: Sequence[int], values: Array) -> Any:
    """Rows of the type of X with `values` (n, len(columns)) in some columns.

    Values of categories are those of the rows of X with these indices. The other columns are at
    their reference values: the median, or the most frequent category.
    """
    if hasattr(X, "columns"):
        return _frame_grid(X, columns, values)
    if sparse.issparse(X):
        return _sparse_grid(X, columns, values)
    reference = [0.0 if j in columns else _median(X[:, j]) for j in range(X.shape[1])]
    grid = np.tile(reference, (len(values), 1))
    grid[:, columns] = values
    return grid


def at_reference_values(X: Any, column: int) -> Any:
    """The rows of X with their own values of one column, and reference values of the others."""
    own = numeric_values(X, column) if is_numeric(X, column) else np.arange(X.shape[0])
    return make_grid(X, [column], own[:, None])


def path_rows(X: Any, row: int, fraction: Array) -> Any:
    """Rows (n,) of the type of X on the way from its mean row to one of its rows.

    Each feature is at its own fraction (n, p) of the way. Categories, of which the mean row has the
    most frequent, and missing values change half-way.
    """
    columns: list[Any] = []
    for j in range(X.shape[1]):
        if not is_numeric(X, j):
            start = _most_frequent(_series(X, j))
            columns.append(_take(X, j, np.where(fraction[:, j] >= 0.5, row, start)))
            continue
        values = numeric_values(X, j)
        known = values[np.isfinite(values)]
        low, high = float(np.mean(known)) if len(known) else float("nan"), values[row]
        if np.isfinite(low) and np.isfinite(high):
            columns.append(low + fraction[:, j] * (high - low))
        else:
            columns.append(np.where(fraction[:, j] >= 0.5, high, low))
    if hasattr(X, "columns"):
        return type(X)(dict(zip(X.columns, columns, strict=True)))
    rows = np.column_stack(columns)
    return sparse.csr_array(rows) if sparse.issparse(X) else rows


def _frame_grid(X: Any, columns: Sequence[int], values: Array) -> Any:
    filled = {}
    for j, name in enumerate(X.columns):
        if j in columns and is_numeric(X, j):
            filled[name] = values[:, columns.index(j)]
        elif j in columns:
            filled[name] = _take(X, j, values[:, columns.index(j)].astype(int))
        elif is_numeric(X, j):
            filled[name] = np.full(len(values), _median(numeric_values(X, j)))
        else:
            filled[name] = _take(X, j, np.full(len(values), _most_frequent(_series(X, j))))
    return type(X)(filled)


def _take(X: Any, j: int, rows: Array) -> Any:
    """Values of a column in some rows; of the array, because pandas would align by the index."""
    series = _series(X, j)
    return series.array.take(rows) if hasattr(X, "iloc") else series[rows]


def _sparse_grid(X: Any, columns: Sequence[int], values: Array) -> Any:
    reference = np.zeros(X.shape[1])
    # The median of a column with a majority of zeros is zero.
    for j in np.flatnonzero(2 * np.diff(X.indptr) >= X.shape[0]):
        reference[j] = _median(numeric_values(X, int(j)))
    reference[columns] = 0.0
    selector = sparse.csr_array(
        (np.ones(len(columns)), (np.arange(len(columns)), columns)),
        shape=(len(columns), X.shape[1]),
    )
    repeat = sparse.csr_array(np.ones((len(values), 1)))
    return repeat @ sparse.csr_array(reference[None]) + sparse.csr_array(values) @ selector


def _series(X: Any, j: int) -> Any:
    return X.iloc[:, j] if hasattr(X, "iloc") else X[:, j]


def _median(column: Array) -> float:
    finite = column[~np.isnan(column)]
    return float(np.median(finite)) if len(finite) else float("nan")


def _most_frequent(series: Any) -> int:
    """Index of the first row with the most frequent value."""
    _, first, count = np.unique(
        [str(value) for value in series], return_index=True, return_counts=True
    )
    return int(first[np.argmax(count)])
