"""Encoding of data frames with categories or missing values as numeric features of the gate.

Missing values are imputed by the median of their column and get an indicator column; categories are
one-hot encoded. Medians and levels use the sample weights.
"""

from __future__ import annotations

from numbers import Number
from typing import Any, NamedTuple

import numpy as np

from skmoe._numerics.probability import weighted_quantiles
from skmoe._numerics.typing import Array

# String representations of a missing category.
MISSING_STRINGS = ("nan", "None", "<NA>", "NaT")

# Maximum number of columns of a categorical feature; infrequent categories share the last one.
MAX_CATEGORIES = 50

# How the names of types of numbers begin, of NumPy, pandas, Arrow and polars.
TYPES_OF_NUMBERS = ("int", "uint", "float", "double", "halffloat", "decimal", "bool")

# Kinds of encoded features.
NUMBER, MISSING, LEVEL, INFREQUENT = "number", "missing", "level", "infrequent"


class EncodedFeature(NamedTuple):
    """A numeric feature that is made from a column of X."""

    column: int
    kind: str
    # The median of numbers, a level (None is a missing category), or those that are not infrequent.
    value: Any = None

    def of(self, values: Array) -> Array:
        """The feature, from numbers or categories in the column."""
        if self.kind == NUMBER:
            return np.where(np.isnan(values), self.value, values)
        if self.kind == MISSING:
            return np.isnan(values)
        if self.kind == LEVEL:
            return np.asarray(values == self.value)
        return ~np.any([values == level for level in self.value], axis=0)

    def name(self, column: str) -> str:
        """Name of the feature, in the style of scikit-learn's encoders."""
        if self.kind == NUMBER:
            return column
        if self.kind == INFREQUENT:
            return f"{column}_infrequent"
        is_missing = self.kind == MISSING or self.value is None
        return f"missingindicator_{column}" if is_missing else f"{column}_{self.value}"


class Encoder(NamedTuple):
    """Fitted encoding, and the kind of features that the experts accept."""

    features: tuple[EncodedFeature, ...]
    numeric_columns: list[int]
    categorical_columns: list[int]
    is_frame: bool  # whether experts are fitted to data frames
    allow_nan: bool  # whether every expert accepts missing numbers

    def values(self, X: Any) -> dict[int, Array]:
        """The columns of X as numbers, with NaN, or as categories, with None for missing values."""
        numbers = {j: numeric_column(X, j) for j in self.numeric_columns}
        return numbers | {j: category_column(X, j) for j in self.categorical_columns}


def is_frame(X: Any) -> bool:
    """Whether X is a data frame."""
    return hasattr(X, "columns") and hasattr(X, "dtypes")


def make_encoder(X: Any, weight: Array, allow_nan: bool) -> Encoder:
    """Fit medians and levels on the rows of positive weight."""
    numeric = [j for j in range(X.shape[1]) if holds_numbers(column_of(X, j))]
    categorical = [j for j in range(X.shape[1]) if j not in numeric]
    encoder, kept = Encoder((), numeric, categorical, is_frame(X), allow_nan), weight > 0.0
    values = {j: column[kept] for j, column in encoder.values(X).items()}
    features = [EncodedFeature(j, NUMBER, _median(values[j], weight[kept])) for j in numeric]
    features += [EncodedFeature(j, MISSING) for j in numeric if np.isnan(values[j]).any()]
    for j in categorical:
        ranked = _ranked_levels(values[j], weight[kept])
        has_others = len(ranked) > MAX_CATEGORIES
        levels = sorted(ranked[: MAX_CATEGORIES - has_others], key=_level_sort_key)
        features += [EncodedFeature(j, LEVEL, level) for level in levels]
        features += [EncodedFeature(j, INFREQUENT, levels)] * has_others
    return encoder._replace(features=tuple(features))


def encode(encoder: Encoder, X: Any) -> Array:
    """Numeric features (n, q): numeric columns, missing indicators, and indicators of levels."""
    values = encoder.values(X)
    columns = [feature.of(values[feature.column]) for feature in encoder.features]
    return np.column_stack(columns).astype(np.float64)


def encoded_columns(encoder: Encoder, columns: Array | None) -> Array | None:
    """Indices of the encoded features of given columns of X; None for all."""
    return None if columns is None else np.flatnonzero(np.isin(origin_columns(encoder), columns))


def origin_columns(encoder: Encoder) -> Array:
    """Index of the column of X from which each encoded feature is made."""
    return np.array([feature.column for feature in encoder.features], dtype=int)


def is_new_to_encoder(encoder: Encoder, X: Any) -> Array:
    """Whether each entry of X, (n, p), is missing or a category, and the fit had none such.

    Where a column has infrequent levels, all further ones are among them.
    """
    new, values = np.ones(X.shape, dtype=bool), encoder.values(X)
    for j in encoder.numeric_columns:
        new[:, j] = np.isnan(values[j])
    for feature in encoder.features:
        if feature.kind != NUMBER:
            new[:, feature.column] &= ~feature.of(values[feature.column])
    return new


def numeric_values(encoder: Encoder, X: Any) -> Array:
    """Numeric columns of X without imputation, (n, q)."""
    columns = [numeric_column(X, j) for j in encoder.numeric_columns]
    return np.column_stack(columns) if columns else np.empty((X.shape[0], 0))


def category_codes(encoder: Encoder, X: Any) -> Array:
    """Integer codes of the categories of X, infrequent ones included, (n, q)."""
    codes = [
        np.unique([repr(value) for value in category_column(X, j)], return_inverse=True)[1]
        for j in encoder.categorical_columns
    ]
    return np.column_stack(codes) if codes else np.empty((X.shape[0], 0))


def _ranked_levels(values: Array, weight: Array) -> list[Any]:
    """Levels in the order of decreasing total weight."""
    total: dict[Any, float] = {}
    for level, w in zip(values, weight, strict=True):
        total[level] = total.get(level, 0.0) + w
    return sorted(total, key=lambda level: (-total[level], _level_sort_key(level)))


def _level_sort_key(level: Any) -> tuple[bool, str]:
    return level is None, str(level)


def _median(column: Array, weight: Array) -> float:
    """Weighted lower median of the values that are not missing; zero if all are missing."""
    finite = ~np.isnan(column)
    if not finite.any():
        return 0.0
    return float(weighted_quantiles(column[finite], weight[finite], 0.5))


def column_of(X: Any, j: Any) -> Any:
    """One column of an array, a data frame or a table of Arrow; or some of the former two."""
    if hasattr(X, "iloc"):
        return X.iloc[:, j]
    return X.column(j) if hasattr(X, "column_names") else X[:, j]


def types_of(values: Any) -> list[Any]:
    """Types of the columns of a table, or that of an array or a column."""
    if hasattr(values, "column_names"):  # of Arrow
        return list(values.schema.types)
    dtype: Any = getattr(values, "dtype", getattr(values, "type", None))
    return list(np.ravel(getattr(values, "dtypes", dtype)))


def holds_numbers(column: Any) -> bool:
    """Whether a column of a data frame is one of numbers, by its type, or that of its objects."""
    kind = str(column.dtype)
    if kind == "object":  # such as decimal numbers, or numbers of a database among None
        kinds = set(map(type, column.dropna()))
        return bool not in kinds and all(issubclass(own, Number) for own in kinds) and bool(kinds)
    return kind.lower().removeprefix("sparse[").startswith(TYPES_OF_NUMBERS)


def with_floats(X: Any) -> Any:
    """A data frame of pandas whose objects that are numbers, and sparse numbers, are floats."""
    for j, dtype in enumerate(X.dtypes):
        if str(dtype).startswith(("object", "Sparse")) and holds_numbers(column_of(X, j)):
            X = X.copy(deep=False)
            X.isetitem(j, numeric_column(X, j))
    return X


def is_category(dtype: Any) -> bool:
    """Whether the type of a column of a data frame is one of categories."""
    return str(dtype).lower().startswith(("categor", "enum", "dictionary"))


def is_date(dtype: Any) -> bool:
    """Whether the type of a column is one of dates, times or durations, which are no numbers."""
    return str(dtype).lower().startswith(("date", "time", "duration", "period"))


def first_text(values: Array) -> Any:
    """The first text that is no number, nor stands for a missing value; None if there is none."""
    for value in values:
        if isinstance(value, str | bytes) and value not in MISSING_STRINGS:
            try:
                float(value)
            except ValueError:
                return value.item() if isinstance(value, np.generic) else value
    return None


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
    values = category_column(X, j)
    return np.array([value if value is None else str(value) for value in values], dtype=object)
