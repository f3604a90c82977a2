"""Numbers for the gate from tables that only experts can take as they are.

Categories become one column each, holes the mean of their column with an indicator beside it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder

from skmoe._numerics import Array

# How the libraries spell a missing category.
HOLES = ("nan", "None", "<NA>", "NaT")
# Rarer categories beyond this number share a column.
MOST_CATEGORIES = 50


class Encoder(NamedTuple):
    """How a table becomes numbers."""

    categories: list[int]  # columns of categories; the others hold numbers
    one_hot: OneHotEncoder | None
    imputer: SimpleImputer | None
    origin: Array  # column of the table that each column of numbers came from


def make_encoder(X: Any) -> Encoder:
    """Learn the categories and the means of a table."""
    categories = [j for j in range(X.shape[1]) if not _is_number(_column(X, j))]
    numbers = [j for j in range(X.shape[1]) if j not in categories]
    one_hot = imputer = None
    origin: list[int] = []
    if numbers:
        imputer = SimpleImputer(add_indicator=True, keep_empty_features=True)
        imputer.fit(_numbers(X, numbers))
        origin += numbers + [numbers[i] for i in imputer.indicator_.features_]
    if categories:
        one_hot = OneHotEncoder(
            handle_unknown="infrequent_if_exist",
            max_categories=MOST_CATEGORIES,
            sparse_output=False,
        ).fit(_objects(X, categories))
        names = one_hot.get_feature_names_out([str(j) for j in categories])
        origin += [int(name.split("_")[0]) for name in names]
    return Encoder(categories, one_hot, imputer, np.array(origin))


def encode(encoder: Encoder, X: Any) -> Array:
    """The numbers of a table, (n, q)."""
    numbers = [j for j in range(X.shape[1]) if j not in encoder.categories]
    blocks = []
    if encoder.imputer is not None:
        blocks.append(encoder.imputer.transform(_numbers(X, numbers)))
    if encoder.one_hot is not None:
        blocks.append(encoder.one_hot.transform(_objects(X, encoder.categories)))
    return np.hstack(blocks)


def has_missing(encoder: Encoder, X: Any) -> bool:
    """Whether a column of numbers has holes."""
    numbers = [j for j in range(X.shape[1]) if j not in encoder.categories]
    return bool(numbers) and bool(np.isnan(_numbers(X, numbers)).any())


def encoded_columns(encoder: Encoder, columns: Array | None) -> Array | None:
    """Columns of numbers that came from columns of the table; None for all."""
    return None if columns is None else np.flatnonzero(np.isin(encoder.origin, columns))


def _column(X: Any, j: int) -> Any:
    if hasattr(X, "iloc"):
        return X.iloc[:, j]
    return X[:, j]


def _is_number(column: Any) -> bool:
    kind = str(column.dtype)
    return kind.lower().startswith(("int", "uint", "float", "bool"))


def _numbers(X: Any, columns: list[int]) -> Array:
    if isinstance(X, np.ndarray):
        return X[:, columns].astype(np.float64)
    arrays = [_column(X, j) for j in columns]
    return np.column_stack(
        [
            column.to_numpy(dtype=np.float64, na_value=np.nan)
            if hasattr(X, "iloc")
            else column.cast(float).to_numpy()
            for column in arrays
        ]
    )


def _objects(X: Any, columns: list[int]) -> Array:
    objects = np.empty((X.shape[0], len(columns)), dtype=object)
    for i, j in enumerate(columns):
        column = np.asarray(_column(X, j), dtype=object)
        texts = [str(value) for value in column]
        objects[:, i] = [None if text in HOLES else text for text in texts]
    return objects
