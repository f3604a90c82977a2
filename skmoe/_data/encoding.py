"""Encoding of data frames with categories or missing values as numeric features of the gate.

Missing values are imputed by the median of their column and get an indicator column; categories are
one-hot encoded. Medians and levels use the sample weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from skmoe._numerics.probability import weighted_quantiles
from skmoe._numerics.typing import Array

# String representations of a missing category.
MISSING_STRINGS = ("nan", "None", "<NA>", "NaT")

# Maximum number of columns of a categorical feature; infrequent categories share the last one.
MAX_CATEGORIES = 50


class Encoder(NamedTuple):
    """Fitted encoding, and the kind of features that the experts accept."""

    numeric_columns: list[int]
    median: Array  # of each numeric column
    missing_columns: list[int]  # numeric columns with missing values
    categorical_columns: list[int]
    levels: list[list[str | None]]  # of each categorical column; None is a missing category
    infrequent: list[bool]  # whether a categorical column has other, infrequent levels
    is_frame: bool  # whether experts are fitted to data frames
    allow_nan: bool  # whether every expert accepts missing numbers


def is_frame(X: Any) -> bool:
    """Whether X is a data frame."""
    return hasattr(X, "columns") and hasattr(X, "dtypes")


def make_encoder(X: Any, weight: Array, allow_nan: bool) -> Encoder:
    """Fit medians and levels on the rows of positive weight."""
    kept = np.flatnonzero(weight > 0.0)
    numeric = [j for j in range(X.shape[1]) if holds_numbers(column_of(X, j))]
    categorical = [j for j in range(X.shape[1]) if j not in numeric]
    columns = [numeric_column(X, j)[kept] for j in numeric]
    levels, infrequent = [], []
    for j in categorical:
        ranked = _ranked_levels(as_strings(X, j)[kept], weight[kept])
        infrequent.append(len(ranked) > MAX_CATEGORIES)
        levels.append(sorted(ranked[: MAX_CATEGORIES - infrequent[-1]], key=_level_sort_key))
    return Encoder(
        numeric,
        np.array([_median(column, weight[kept]) for column in columns]),
        [j for j, column in zip(numeric, columns, strict=True) if np.isnan(column).any()],
        categorical,
        levels,
        infrequent,
        is_frame(X),
        allow_nan,
    )


def encode(encoder: Encoder, X: Any) -> Array:
    """Numeric features (n, q): numeric columns, missing indicators, and indicators of levels."""
    values = {j: numeric_column(X, j) for j in encoder.numeric_columns}
    columns = [
        np.where(np.isnan(values[j]), median, values[j])
        for j, median in zip(encoder.numeric_columns, encoder.median, strict=True)
    ]
    columns += [np.isnan(values[j]) for j in encoder.missing_columns]
    for j, levels, infrequent in _level_columns(encoder):
        strings = as_strings(X, j)
        indicators = [strings == level for level in levels]
        columns += indicators
        if infrequent:
            columns.append(~np.any(indicators, axis=0))
    return np.column_stack(columns).astype(np.float64)


def numeric_names(names: Array | None, encoder: Encoder | None, n_columns: int) -> list[str]:
    """Names of the numeric features: those of X, or x0, x1, ..., or encoded ones."""
    own = [f"x{j}" for j in range(n_columns)] if names is None else [str(name) for name in names]
    return own if encoder is None else encoded_names(encoder, np.asarray(own, dtype=object))


def encoded_names(encoder: Encoder, names: Array) -> list[str]:
    """Names of the encoded features, in the style of scikit-learn's encoders."""
    encoded = [str(names[j]) for j in encoder.numeric_columns]
    encoded += [f"missingindicator_{names[j]}" for j in encoder.missing_columns]
    for j, levels, infrequent in _level_columns(encoder):
        encoded += [
            f"missingindicator_{names[j]}" if level is None else f"{names[j]}_{level}"
            for level in levels
        ]
        encoded += [f"{names[j]}_infrequent"] * infrequent
    return encoded


def encoded_columns(encoder: Encoder, columns: Array | None) -> Array | None:
    """Indices of the encoded features of given columns of X; None for all."""
    if columns is None:
        return None
    return np.flatnonzero(np.isin(origin_columns(encoder), columns))


def origin_columns(encoder: Encoder) -> Array:
    """Index of the column of X from which each encoded feature is made."""
    origin = encoder.numeric_columns + encoder.missing_columns
    for j, levels, infrequent in _level_columns(encoder):
        origin = origin + [j] * (len(levels) + infrequent)
    return np.array(origin, dtype=int)


def is_new_to_encoder(encoder: Encoder, X: Any) -> Array:
    """Whether each entry of X, (n, p), is missing or a category, and the fit had none such.

    Where a column has infrequent levels, all further ones are among them.
    """
    new = np.zeros(X.shape, dtype=bool)
    for j in encoder.numeric_columns:
        if j not in encoder.missing_columns:
            new[:, j] = np.isnan(numeric_column(X, j))
    for j, levels, infrequent in _level_columns(encoder):
        if not infrequent:
            known = set(levels)
            new[:, j] = [level not in known for level in as_strings(X, j)]
    return new


def numeric_values(encoder: Encoder, X: Any) -> Array:
    """Numeric columns of X without imputation, (n, q)."""
    columns = [numeric_column(X, j) for j in encoder.numeric_columns]
    return np.column_stack(columns) if columns else np.empty((X.shape[0], 0))


def category_codes(encoder: Encoder, X: Any) -> Array:
    """Integer codes of the categories of X, infrequent ones included, (n, q)."""
    codes = [
        np.unique(as_strings(X, j).astype(str), return_inverse=True)[1]
        for j in encoder.categorical_columns
    ]
    return np.column_stack(codes) if codes else np.empty((X.shape[0], 0))


def _level_columns(encoder: Encoder) -> Iterator[tuple[int, list[str | None], bool]]:
    """Index, levels and whether there are infrequent levels, for each categorical column."""
    return zip(encoder.categorical_columns, encoder.levels, encoder.infrequent, strict=True)


def _ranked_levels(strings: Array, weight: Array) -> list[str | None]:
    """Levels in the order of decreasing total weight."""
    total: dict[str | None, float] = {}
    for level, w in zip(strings, weight, strict=True):
        total[level] = total.get(level, 0.0) + w
    return sorted(total, key=lambda level: (-total[level], _level_sort_key(level)))


def _level_sort_key(level: str | None) -> tuple[bool, str]:
    return level is None, level or ""


def _median(column: Array, weight: Array) -> float:
    """Weighted lower median of the values that are not missing; zero if all are missing."""
    finite = ~np.isnan(column)
    if not finite.any():
        return 0.0
    return float(weighted_quantiles(column[finite], weight[finite], 0.5))


def column_of(X: Any, j: int) -> Any:
    """One column of an array or a data frame."""
    if hasattr(X, "iloc"):
        return X.iloc[:, j]
    return X[:, j]


def holds_numbers(column: Any) -> bool:
    """Whether a column of a data frame is one of numbers, by its type."""
    kind = str(column.dtype)
    return kind.lower().startswith(("int", "uint", "float", "bool"))


def is_category(dtype: Any) -> bool:
    """Whether the type of a column of a data frame is one of categories."""
    return str(dtype).lower().startswith(("categor", "enum"))


def numeric_column(X: Any, j: int) -> Array:
    """A column as floats, with NaN for missing values; X is an array, or any data frame."""
    column = column_of(X, j)
    if isinstance(column, np.ndarray):
        return column.astype(np.float64)
    if hasattr(X, "iloc"):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    return column.cast(float).to_numpy()


def category_column(X: Any, j: int) -> Array:
    """A column of categories as objects, with None for missing values of any kind."""
    values = np.array(column_of(X, j), dtype=object)
    for i, value in enumerate(values):
        if not isinstance(value, str) and str(value) in MISSING_STRINGS:
            values[i] = None
    return values


def as_strings(X: Any, j: int) -> Array:
    """A column as strings, with None for missing values."""
    strings = [str(value) for value in np.asarray(column_of(X, j), dtype=object)]
    return np.array([None if text in MISSING_STRINGS else text for text in strings], dtype=object)
