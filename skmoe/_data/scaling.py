"""Columns: standardisation, moments and ranges; design matrices; coefficients in original units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from skmoe._data.encoding import Encoder, is_new_to_encoder, numeric_values
from skmoe._numerics.typing import Array, Design

# Number of rows for which a block of a design matrix and its products fit into the cache.
BLOCK_ROWS = 2048

# Standard deviation, relative to mean or range, up to which a column is constant (round-off).
CONSTANT_RTOL = 1e-13


class Standardization(NamedTuple):
    """Standardisation of columns: (x - center) / scale."""

    center: Array
    scale: Array  # infinite for a constant column, whose standardised values are zero


def composed(first: Standardization, second: Standardization) -> Standardization:
    """Two standardisations as one, by which the second is applied to the result of the first."""
    return Standardization(first.center + first.scale * second.center, first.scale * second.scale)


def fit_standardization(X: Design, weight: Array, of_constant: float = np.inf) -> Standardization:
    """Weighted mean and standard deviation of each column, without overflow or cancellation.

    The mean of a constant column is exactly its value. With the round-off of a mean its deviations
    would have a scale, by which new rows with other values would be divided.
    """
    total, high, low = weight.sum(), X.max(axis=0), X.min(axis=0)
    if sparse.issparse(X):
        high, low = high.toarray().ravel(), low.toarray().ravel()
    mean = np.where(high == low, high, (X.T @ weight) / total)
    if sparse.issparse(X):
        row_weight = np.repeat(weight, np.diff(X.indptr))
        deviation = X.data - mean[X.indices]
        unit = safe_range(np.maximum(abs(X).max(axis=0).toarray().ravel(), np.abs(mean)))
        deviation /= unit[X.indices]
        squares = np.bincount(X.indices, row_weight * deviation**2, minlength=X.shape[1])
        stored = np.bincount(X.indices, row_weight, minlength=X.shape[1])
        # Without zeros the two sums of weights differ by round-off, which is no variance.
        has_zeros = np.bincount(X.indices, minlength=X.shape[1]) < X.shape[0]
        zeros = np.where(has_zeros, total - stored, 0.0)
        variance = (squares + zeros * (mean / unit) ** 2) / total
    else:
        deviation = X - mean
        unit = np.maximum(deviation.max(axis=0), -deviation.min(axis=0))
        unit = np.where(unit > 0.0, unit, 1.0)
        deviation /= unit
        variance = np.square(deviation, out=deviation).T @ weight / total
    std = np.sqrt(np.maximum(variance, 0.0)) * unit
    # Also where values differ in rows of negligible weight only, which would be scaled to infinity.
    constant = std <= CONSTANT_RTOL * np.maximum(np.abs(mean), unit)
    return Standardization(mean, np.where(constant, of_constant, std))


def keeping_sparse(scaling: Standardization, centred: Sequence[int]) -> Standardization:
    """The standardisation of sparse columns, which are not centred, so that they stay sparse.

    Those with the indices `centred`, a few, are: penalties and bounds of their coefficients are at
    the means of the columns.
    """
    center = np.zeros_like(scaling.center)
    for column in centred:
        center[column] = scaling.center[column]
    return scaling._replace(center=center)


def safe_range(values: Array) -> Array:
    """Non-negative values as divisors, with one in place of zero."""
    return np.where(values > 0.0, values, 1.0)


def design_matrix(X: Design, scaling: Standardization, columns: Array | None) -> Design:
    """Standardised columns of X (None for all) and a last column of ones."""
    center, scale = scaling
    if columns is not None:
        X, center, scale = X[:, columns], center[columns], scale[columns]
    n_rows, n_columns = X.shape
    is_centred = np.flatnonzero(center)
    if sparse.issparse(X) and 2 * len(is_centred) > n_columns:  # the fit had dense rows
        X = X.astype(np.float64).toarray()
    if sparse.issparse(X):
        scaled = sparse.csr_array(X, dtype=np.float64, copy=True)
        if len(is_centred):
            at = np.repeat(np.arange(n_rows), len(is_centred)), np.tile(is_centred, n_rows)
            shift = np.tile(center[is_centred], n_rows)
            scaled = scaled - sparse.csr_array((shift, at), scaled.shape)
        scaled.data /= scale[scaled.indices]
        ones = np.ones((n_rows, 1))
        return sparse.csr_array(sparse.hstack([scaled, ones], format="csr"))
    design = np.empty((n_rows, n_columns + 1), dtype=X.dtype, order="F")
    for start in range(0, n_rows, BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        block_columns = design.T[:-1, block]
        block_columns[...] = X[block].T
        block_columns -= center[:, None]
        block_columns /= scale[:, None]
    design[:, -1] = 1.0
    return design


# --- moments that can be merged over blocks of rows -----------------------------------------------


class Moments(NamedTuple):
    """Total weight of the rows, and mean and standard deviation of the columns.

    Standard deviations are finite and positive where variances, which are squares, would overflow
    or vanish.
    """

    weight: float
    mean: Array
    std: Array


def compute_moments(X: Design, weight: Array) -> Moments:
    """Moments of the columns of X."""
    mean, std = fit_standardization(X, weight)
    return Moments(float(weight.sum()), mean, np.where(np.isfinite(std), std, 0.0))


def merge_moments(old: Moments, new: Moments) -> Moments:
    """Moments of the rows of both."""
    total = old.weight + new.weight
    fraction, change = new.weight / total, new.mean - old.mean
    mean = old.mean + fraction * change
    within = np.hypot(np.sqrt(1.0 - fraction) * old.std, np.sqrt(fraction) * new.std)
    between = np.sqrt(fraction * (1.0 - fraction)) * np.abs(change)
    return Moments(total, mean, np.hypot(within, between))


def output_scale(moments: Moments, of_constant: float = 1.0) -> Standardization:
    """Standardisation of outputs; constant outputs are centred but not scaled."""
    constant = moments.std <= CONSTANT_RTOL * np.abs(moments.mean)
    return Standardization(moments.mean, np.where(constant, of_constant, moments.std))


# --- ranges of the features -----------------------------------------------------------------------


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
