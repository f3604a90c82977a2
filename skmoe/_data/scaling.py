"""Standardization of columns, design matrices, and coefficients in the user's units."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse

from skmoe._numerics.typing import Array, Design

# Rows of a block: small enough for the block and its products to stay in cache, and as many more of
# narrow tables, up to a limit, as make up for the time of a call.
BLOCK_ROWS = 2048

# A spread below this share of the mean is what summation leaves of a constant column.
CONSTANT_RTOL = 1e-13


class Standardization(NamedTuple):
    """Standardisation of the columns of a table: (x - center) / spread."""

    center: Array
    scale: Array  # infinite for a constant column, which then is zero everywhere


def fit_standardization(X: Design, weight: Array) -> Standardization:
    """Weighted mean and standard deviation of each column, safe from overflow and cancellation.

    The center of sparse columns is zero: they are scaled only, which leaves them sparse.
    """
    total = weight.sum()
    mean = (X.T @ weight) / total
    if sparse.issparse(X):
        row_weight = np.repeat(weight, np.diff(X.indptr))
        deviation = X.data - mean[X.indices]
        unit = _safe_range(np.maximum(abs(X).max(axis=0).toarray().ravel(), np.abs(mean)))
        deviation /= unit[X.indices]
        squares = np.bincount(X.indices, row_weight * deviation**2, minlength=X.shape[1])
        stored = np.bincount(X.indices, row_weight, minlength=X.shape[1])
        variance = (squares + (total - stored) * (mean / unit) ** 2) / total
        center = np.zeros_like(mean)
    else:
        deviation = X - mean
        unit = _safe_range(np.maximum(deviation.max(axis=0), -deviation.min(axis=0)))
        deviation /= unit
        variance = np.square(deviation, out=deviation).T @ weight / total
        center = mean
    spread = np.sqrt(np.maximum(variance, 0.0)) * unit
    constant = spread <= CONSTANT_RTOL * np.abs(mean)
    return Standardization(center, np.where(constant, np.inf, spread))


def _safe_range(largest: Array) -> Array:
    return np.where(largest > 0.0, largest, 1.0)


def design_matrix(X: Design, scale: Standardization, columns: Array | None) -> Design:
    """Standardised chosen columns of X with a column of ones appended."""
    center, spread = scale
    if columns is not None:
        X, center, spread = X[:, columns], center[columns], spread[columns]
    n_rows, n_columns = X.shape
    if sparse.issparse(X):
        scaled = sparse.csr_array(X, dtype=np.float64, copy=True)
        scaled.data /= spread[scaled.indices]
        ones = np.ones((n_rows, 1))
        return sparse.csr_array(sparse.hstack([scaled, ones], format="csr"))
    design = np.empty((n_rows, n_columns + 1), dtype=X.dtype, order="F")
    for begin in range(0, n_rows, BLOCK_ROWS):
        block = slice(begin, begin + BLOCK_ROWS)
        columns_here = design.T[:-1, block]
        columns_here[...] = X[block].T
        columns_here -= center[:, None]
        columns_here /= spread[:, None]
    design[:, -1] = 1.0
    return design


def unstandardize_coefficients(
    coef: Array, scale: Standardization, columns: Array | None
) -> tuple[Array, Array]:
    """Slopes (..., p) and intercepts (...) in the units of X from coefficients (..., d).

    Columns that the part does not see get slope zero.
    """
    center, spread = scale
    chosen = np.arange(len(spread)) if columns is None else columns
    slopes = np.zeros((*coef.shape[:-1], len(spread)))
    slopes[..., chosen] = coef[..., :-1] / spread[chosen]
    return slopes, coef[..., -1] - slopes @ center


def standard_coefficients(
    slopes: Array, intercepts: Array, scale: Standardization, columns: Array | None
) -> Array:
    """Inverse of `raw_coefficients`, (..., d)."""
    center, spread = scale
    chosen = np.arange(len(spread)) if columns is None else columns
    inner = np.where(np.isfinite(spread), slopes * np.where(np.isfinite(spread), spread, 0.0), 0.0)
    return np.concatenate([inner[..., chosen], (intercepts + slopes @ center)[..., None]], axis=-1)
