"""Ranges of the features in the rows of a fit, and new rows that lie outside of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from skmoe._data.encoding import Encoder, is_new_to_encoder, numeric_values
from skmoe._numerics.typing import Array

# Distance beyond a bound, relative to the largest absolute value of the feature, that is round-off:
# rows of a fit may return in single precision, or from other sums of a transformer.
RANGE_RTOL = float(np.finfo(np.float32).eps)


def fit_feature_range(X: Any, encoder: Encoder | None = None) -> Array:
    """Smallest and largest value of each column of X, (2, p).

    Missing values do not count. Both are NaN for categories, and for columns without values.
    """
    if sparse.issparse(X):
        bounds = [extreme.toarray().ravel() for extreme in (X.min(axis=0), X.max(axis=0))]
        return np.array(bounds, dtype=np.float64)
    columns: Any = slice(None)
    found = np.full((2, X.shape[1]), np.nan)
    if encoder is not None:
        columns, X = encoder.numeric_columns, numeric_values(encoder, X)
    found[:, columns] = np.fmin.reduce(X, axis=0), np.fmax.reduce(X, axis=0)
    return found + 0.0  # without the sign of zero, which depends on the order of the rows


def merge_feature_ranges(one: Array, other: Array) -> Array:
    """Ranges of the features in two sets of rows together."""
    return np.stack([np.fmin(one[0], other[0]), np.fmax(one[1], other[1])])


def is_outside_ranges(
    X: Any, feature_range: Array, used: Array, encoder: Encoder | None = None
) -> Array:
    """Whether a used feature of each row, (n,), lies outside of its range.

    So does a category, or a missing value, of a feature that had none of it.
    """
    tolerance = RANGE_RTOL * np.abs(feature_range).max(axis=0)
    low = np.where(used, feature_range[0] - tolerance, -np.inf)
    high = np.where(used, feature_range[1] + tolerance, np.inf)
    if sparse.issparse(X):
        return _is_sparse_outside(X, low, high)
    new = np.zeros(X.shape, dtype=bool)
    columns: Any = slice(None)
    values = X
    if encoder is not None:
        new = is_new_to_encoder(encoder, X)
        columns, values = encoder.numeric_columns, numeric_values(encoder, X)
    # Numbers are new in a column that had none, whose range is NaN.
    inside = np.isnan(values) | ((values >= low[columns]) & (values <= high[columns]))
    new[:, columns] |= ~inside
    return np.asarray(new[:, used].any(axis=1))


def _is_sparse_outside(X: Any, low: Array, high: Array) -> Array:
    """Whether an entry of each row of a CSR array, stored or zero, is outside of its bounds."""
    n_rows = X.shape[0]
    row = np.repeat(np.arange(n_rows), np.diff(X.indptr))
    stored = (X.data < low[X.indices]) | (X.data > high[X.indices])
    zero_is_outside = (low > 0.0) | (high < 0.0)
    n_stored = np.bincount(row, zero_is_outside[X.indices], minlength=n_rows)
    n_outside = np.bincount(row, stored, minlength=n_rows)
    return np.asarray((n_outside > 0.0) | (n_stored < zero_is_outside.sum()))
