"""Standardisation of columns, design matrices, and coefficients in original units."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse

from skmoe._numerics.typing import Array, Design

# Number of rows for which a block of a design matrix and its products fit into the cache.
BLOCK_ROWS = 2048

# Standard deviation, relative to mean or range, up to which a column is constant (round-off).
CONSTANT_RTOL = 1e-13


class Standardization(NamedTuple):
    """Standardisation of columns: (x - center) / scale."""

    center: Array
    scale: Array  # infinite for a constant column, whose standardised values are zero


def column_means(X: Design, weight: Array) -> Array:
    """Weighted mean of each column, which is exactly the value of a constant column.

    With the round-off of a mean, the deviations of a constant column would have a scale, by which
    new rows with other values would be divided.
    """
    mean = (X.T @ weight) / weight.sum()
    high, low = X.max(axis=0), X.min(axis=0)
    if sparse.issparse(X):
        high, low = high.toarray().ravel(), low.toarray().ravel()
    return np.where(high == low, high, mean)


def fit_standardization(X: Design, weight: Array) -> Standardization:
    """Weighted mean and standard deviation of each column, without overflow or cancellation.

    Sparse columns are scaled but not centred, so that they stay sparse.
    """
    total, mean = weight.sum(), column_means(X, weight)
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
        center = np.zeros_like(mean)
    else:
        deviation = X - mean
        unit = safe_range(np.maximum(deviation.max(axis=0), -deviation.min(axis=0)))
        deviation /= unit
        variance = np.square(deviation, out=deviation).T @ weight / total
        center = mean
    std = np.sqrt(np.maximum(variance, 0.0)) * unit
    # Also where values differ in rows of negligible weight only, which would be scaled to infinity.
    constant = std <= CONSTANT_RTOL * np.maximum(np.abs(mean), unit)
    return Standardization(center, np.where(constant, np.inf, std))


def safe_range(values: Array) -> Array:
    """Non-negative values as divisors, with one in place of zero."""
    return np.where(values > 0.0, values, 1.0)


def design_matrix(X: Design, scaling: Standardization, columns: Array | None) -> Design:
    """Standardised columns of X (None for all) and a last column of ones."""
    center, scale = scaling
    if columns is not None:
        X, center, scale = X[:, columns], center[columns], scale[columns]
    n_rows, n_columns = X.shape
    if sparse.issparse(X) and center.any():  # the fit had dense rows, which were centred
        X = X.astype(np.float64).toarray()
    if sparse.issparse(X):
        scaled = sparse.csr_array(X, dtype=np.float64, copy=True)
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


def unstandardize_coefficients(
    coef: Array, scaling: Standardization, columns: Array | None
) -> tuple[Array, Array]:
    """Slopes (..., p) and intercepts (...) in the units of X, from coefficients (..., d).

    Columns of X that are not among `columns` get slope zero.
    """
    center, scale = scaling
    index = np.arange(len(scale)) if columns is None else columns
    slopes = np.zeros((*coef.shape[:-1], len(scale)))
    slopes[..., index] = coef[..., :-1] / scale[index]
    return slopes, coef[..., -1] - slopes @ center
