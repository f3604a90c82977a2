"""Numbers for the gate from tables that only experts can take as they are.

Holes become the median of their column with an indicator beside it, categories one column each.
Median and levels depend on the rows as a weighted set, like everything that is fitted.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from skmoe._numerics.typing import Array

# How the libraries spell a missing category.
MISSING_STRINGS = ("nan", "None", "<NA>", "NaT")

# Rarer categories beyond this number share a column.
MAX_CATEGORIES = 50


class Encoder(NamedTuple):
    """How a table becomes numbers, and what its experts take."""

    numeric_columns: list[int]  # columns of numbers; the others hold categories
    median: Array  # of each of these
    missing_columns: list[int]  # those of them with holes
    categorical_columns: list[int]
    levels: list[list[str | None]]  # of each of these; None is a hole
    infrequent: list[bool]  # whether there are levels beyond those, which share a column
    is_frame: bool  # whether experts see data frames
    allow_nan: bool  # whether every expert takes holes in numbers


def is_frame(X: Any) -> bool:
    """Whether a table is a data frame, with columns of types of their own."""
    return hasattr(X, "columns") and hasattr(X, "dtypes")


def make_encoder(X: Any, weight: Array, takes_missing: bool) -> Encoder:
    """Learn medians and categories of the rows of positive weight."""
    present = np.flatnonzero(weight > 0.0)
    is_category = [not _is_number(_column(X, j)) for j in range(X.shape[1])]
    numbers = [j for j, category in enumerate(is_category) if not category]
    categories = [j for j, category in enumerate(is_category) if category]
    columns = [_number(X, j)[present] for j in numbers]
    levels, infrequent = [], []
    for j in categories:
        ranked = _ranked_levels(_as_strings(X, j)[present], weight[present])
        infrequent.append(len(ranked) > MAX_CATEGORIES)
        levels.append(sorted(ranked[: MAX_CATEGORIES - infrequent[-1]], key=_level_sort_key))
    return Encoder(
        numbers,
        np.array([_median(column, weight[present]) for column in columns]),
        [j for j, column in zip(numbers, columns, strict=True) if np.isnan(column).any()],
        categories,
        levels,
        infrequent,
        is_frame(X),
        takes_missing,
    )


def encode(encoder: Encoder, X: Any) -> Array:
    """The numbers of a table, (n, q): its numbers, indicators of holes, and levels."""
    values = {j: _number(X, j) for j in encoder.numeric_columns}
    columns = [
        np.where(np.isnan(values[j]), median, values[j])
        for j, median in zip(encoder.numeric_columns, encoder.median, strict=True)
    ]
    columns += [np.isnan(values[j]) for j in encoder.missing_columns]
    for j, levels, infrequent in _level_columns(encoder):
        texts = _as_strings(X, j)
        own = [texts == level for level in levels]
        columns += own
        if infrequent:
            columns.append(~np.any(own, axis=0))
    return np.column_stack(columns).astype(np.float64)


def encoded_names(encoder: Encoder, names: Array) -> list[str]:
    """Names of the numbers, as scikit-learn's encoders spell them."""
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
    """Columns of numbers that came from columns of the table; None for all."""
    if columns is None:
        return None
    origin = encoder.numeric_columns + encoder.missing_columns
    for j, levels, infrequent in _level_columns(encoder):
        origin = origin + [j] * (len(levels) + infrequent)
    return np.flatnonzero(np.isin(origin, columns))


def numeric_values(encoder: Encoder, X: Any) -> Array:
    """The columns of numbers of a table as they are, (n, q)."""
    columns = [_number(X, j) for j in encoder.numeric_columns]
    return np.column_stack(columns) if columns else np.empty((X.shape[0], 0))


def category_codes(encoder: Encoder, X: Any) -> Array:
    """A number for each category of a table, rare ones too, (n, q)."""
    codes = [
        np.unique(_as_strings(X, j).astype(str), return_inverse=True)[1]
        for j in encoder.categorical_columns
    ]
    return np.column_stack(codes) if codes else np.empty((X.shape[0], 0))


def _level_columns(encoder: Encoder) -> Any:
    return zip(encoder.categorical_columns, encoder.levels, encoder.infrequent, strict=True)


def _ranked_levels(texts: Array, weight: Array) -> list[str | None]:
    """Levels, the heaviest first."""
    total: dict[str | None, float] = {}
    for text, w in zip(texts, weight, strict=True):
        total[text] = total.get(text, 0.0) + w
    return sorted(total, key=lambda level: (-total[level], _level_sort_key(level)))


def _level_sort_key(level: str | None) -> tuple[bool, str]:
    return level is None, level or ""


def _median(column: Array, weight: Array) -> float:
    """Weighted lower median of what is not missing; zero if all is."""
    known = ~np.isnan(column)
    if not known.any():
        return 0.0
    values, weight = column[known], weight[known]
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weight[order])
    return float(values[order][np.searchsorted(share, 0.5 * share[-1])])


def _column(X: Any, j: int) -> Any:
    if hasattr(X, "iloc"):
        return X.iloc[:, j]
    return X[:, j]


def _is_number(column: Any) -> bool:
    kind = str(column.dtype)
    return kind.lower().startswith(("int", "uint", "float", "bool"))


def _number(X: Any, j: int) -> Array:
    column = _column(X, j)
    if isinstance(column, np.ndarray):
        return column.astype(np.float64)
    if hasattr(X, "iloc"):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    return column.cast(float).to_numpy()


def _as_strings(X: Any, j: int) -> Array:
    texts = [str(value) for value in np.asarray(_column(X, j), dtype=object)]
    return np.array([None if text in MISSING_STRINGS else text for text in texts], dtype=object)


def check_numbers(estimator_name: str, X: Any, encoder: Encoder) -> None:
    """No infinite numbers, and no missing ones but for experts that take them."""
    numbers = numeric_values(encoder, X)
    if np.isinf(numbers).any():
        raise ValueError("Input X contains infinity: replace it by missing or finite values.")
    if not encoder.allow_nan and np.isnan(numbers).any():
        raise ValueError(
            f"Input X contains NaN, which not every expert of {estimator_name} accepts. "
            "Impute it in a pipeline, or use experts that do, such as "
            "HistGradientBoostingRegressor."
        )


def check_frame(encoder: Encoder) -> None:
    """Categories come in data frames, as in the fit."""
    if encoder.categorical_columns:
        raise ValueError(
            "X must be a data frame with the columns of the fit, of which those at positions "
            f"{encoder.categorical_columns} hold categories; got an array. Pass a data frame."
        )
