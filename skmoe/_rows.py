"""Rows of a table: their scale, their order, and how they are cut into blocks.

Fits see standardised features. Tables of moderate size are reduced to their distinct rows, in an
order of their own, before anything else is done: what is fitted then depends, to the last bit, on
the rows as a weighted set: neither on their order, nor on whether a row stands twice or has weight
two.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from skmoe._numerics import Array, Design

# Rows of a block: small enough for the block and its products to stay in cache, and as many more of
# narrow tables, up to a limit, as make up for the time of a call.
BLOCK_ROWS = 2048
MOST_BLOCK_ROWS = 8192
BLOCK_SIZE = 110_000
# Sparse rows are short, and a call for a block of them costs more.
SPARSE_BLOCK_ROWS = 16_384
# A spread below this share of the mean is what summation leaves of a constant column.
ROUND_OFF = 1e-13


class Scale(NamedTuple):
    """Standardisation of the columns of a table: (x - center) / spread."""

    center: Array
    spread: Array  # infinite for a constant column, which then is zero everywhere


class RawTable(NamedTuple):
    """Features as the user gave them, for experts that take them so.

    X is an array, a CSR array or a data frame. `fold` is the fold of each row in cross-fitting,
    None for new rows and without folds; `metadata` goes to the fits of the experts.
    """

    X: Any
    fold: Array | None = None
    metadata: dict[str, Array] = {}  # noqa: RUF012

    @property
    def shape(self) -> tuple[int, int]:
        return self.X.shape

    def take(self, index: Array | slice) -> RawTable:
        """Rows at an index."""
        fold = None if self.fold is None else self.fold[index]
        metadata = {name: values[index] for name, values in self.metadata.items()}
        return RawTable(take_rows(self.X, index), fold, metadata)


def take_rows(X: Any, index: Array | slice) -> Any:
    """Rows of an array, a CSR array or a data frame."""
    return X.iloc[index] if hasattr(X, "iloc") else X[index]


class Rows(NamedTuple):
    """Rows ready for EM. The row axis of `y` is its last one."""

    gate_design: Design
    expert_design: Design
    y: Array
    weight: Array


def standard_scale(X: Design, weight: Array) -> Scale:
    """Weighted mean and standard deviation of each column, safe from overflow and cancellation.

    The center of sparse columns is zero: they are scaled only, which leaves them sparse.
    """
    total = weight.sum()
    mean = (X.T @ weight) / total
    if sparse.issparse(X):
        row_weight = np.repeat(weight, np.diff(X.indptr))
        deviation = X.data - mean[X.indices]
        unit = _unit(np.maximum(abs(X).max(axis=0).toarray().ravel(), np.abs(mean)))
        deviation /= unit[X.indices]
        squares = np.bincount(X.indices, row_weight * deviation**2, minlength=X.shape[1])
        stored = np.bincount(X.indices, row_weight, minlength=X.shape[1])
        variance = (squares + (total - stored) * (mean / unit) ** 2) / total
        center = np.zeros_like(mean)
    else:
        deviation = X - mean
        unit = _unit(np.maximum(deviation.max(axis=0), -deviation.min(axis=0)))
        deviation /= unit
        variance = np.square(deviation, out=deviation).T @ weight / total
        center = mean
    spread = np.sqrt(np.maximum(variance, 0.0)) * unit
    constant = spread <= ROUND_OFF * np.abs(mean)
    return Scale(center, np.where(constant, np.inf, spread))


def _unit(largest: Array) -> Array:
    return np.where(largest > 0.0, largest, 1.0)


def make_design(X: Design, scale: Scale, columns: Array | None) -> Design:
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


def raw_coefficients(coef: Array, scale: Scale, columns: Array | None) -> tuple[Array, Array]:
    """Slopes (..., p) and intercepts (...) in the units of X from coefficients (..., d).

    Columns that the part does not see get slope zero.
    """
    center, spread = scale
    chosen = np.arange(len(spread)) if columns is None else columns
    slopes = np.zeros((*coef.shape[:-1], len(spread)))
    slopes[..., chosen] = coef[..., :-1] / spread[chosen]
    return slopes, coef[..., -1] - slopes @ center


def standard_coefficients(
    slopes: Array, intercepts: Array, scale: Scale, columns: Array | None
) -> Array:
    """Inverse of `raw_coefficients`, (..., d)."""
    center, spread = scale
    chosen = np.arange(len(spread)) if columns is None else columns
    inner = np.where(np.isfinite(spread), slopes * np.where(np.isfinite(spread), spread, 0.0), 0.0)
    return np.concatenate([inner[..., chosen], (intercepts + slopes @ center)[..., None]], axis=-1)


def take(rows: Rows, index: Array | slice, weight: Array | None = None) -> Rows:
    """Rows at an index, with other weights if given."""
    gate_design, expert_design = rows.gate_design[index], rows.expert_design
    if expert_design is rows.gate_design:
        expert_design = gate_design
    elif isinstance(expert_design, RawTable):
        expert_design = expert_design.take(index)
    else:
        expert_design = expert_design[index]
    return Rows(
        gate_design,
        expert_design,
        rows.y[..., index],
        rows.weight[index] if weight is None else weight,
    )


def in_blocks(rows: Any, size: int | None = None) -> Any:
    """Cut rows into blocks, of `size` if given; views of dense arrays. Raw tables stay whole.

    What comes in blocks already stays as it is.
    """
    if not isinstance(rows, Rows):
        return rows
    n_rows = len(rows.weight)
    if isinstance(rows.expert_design, RawTable):
        return [rows]
    if size is None:
        size = _block_rows(rows.gate_design)
    return [take(rows, slice(begin, begin + size)) for begin in range(0, n_rows, size)]


def _block_rows(design: Design) -> int:
    if sparse.issparse(design):
        return SPARSE_BLOCK_ROWS
    power = 2 ** int(np.log2(max(BLOCK_SIZE / design.shape[1], 1.0)))
    return int(np.clip(power, BLOCK_ROWS, MOST_BLOCK_ROWS))


def distinct_rows(X: Design, y: Array, weight: Array) -> tuple[Array, Array]:
    """Distinct rows of [X, y], in an order that does not depend on the order of the rows given.

    Parameters
    ----------
    X : array or CSR array of shape (n, p)
        Raw features.
    y : array of shape (n,) or (n, m)
    weight : array of shape (n,)

    Returns
    -------
    index : array of shape (n_distinct,)
        One row of each kind.
    weight : array of shape (n_distinct,)
        Weight of all rows of the kind together.
    """
    y = y.reshape(len(y), -1)
    key = _row_keys(X, seed=0) + _row_keys(y, seed=1)
    order = np.argsort(key, kind="stable")
    key = key[order]
    repeats = np.zeros(len(order), dtype=bool)  # a row like the one before it
    candidates = np.flatnonzero(key[1:] == key[:-1]) + 1
    if len(candidates):
        here, before = order[candidates], order[candidates - 1]
        repeats[candidates] = (y[here] == y[before]).all(axis=1) & _same_rows(X, here, before)
    first = np.flatnonzero(~repeats)
    return order[first], np.add.reduceat(weight[order], first)


def _row_keys(X: Design, seed: int) -> Array:
    """One number for each row, the same to the last bit for rows that are alike.

    Values count in units of their column's range, so that changing the units of a column leaves
    the order of the rows.
    """
    mixing = np.random.default_rng(seed).standard_normal(X.shape[1])
    if sparse.issparse(X):
        lowest, highest = (side(axis=0).toarray().ravel() for side in (X.min, X.max))
        return X @ (mixing / _unit(highest - lowest))
    lowest = X.min(axis=0).astype(np.float64)
    unit = _unit(X.max(axis=0) - lowest)
    keys = np.empty(len(X))
    for begin in range(0, len(X), BLOCK_ROWS):
        block = slice(begin, begin + BLOCK_ROWS)
        # A matrix product may sum equal rows in different orders; this sum does not.
        keys[block] = ((X[block] - lowest) / unit * mixing).sum(axis=1)
    return keys


def _same_rows(X: Design, here: Array, before: Array) -> Array:
    if sparse.issparse(X):
        return abs(X[here] - X[before]).max(axis=1).toarray().ravel() == 0.0
    return (X[here] == X[before]).all(axis=1)
