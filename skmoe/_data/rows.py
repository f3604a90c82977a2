"""Data sets: design matrices, target and weights, and their division into blocks of rows.

Data sets of moderate size are first reduced to their distinct rows in the order of
`unique_weighted_rows`. The fit is then, bit for bit, a function of the weighted set of rows: it
depends neither on their order, nor on whether a row occurs twice or has weight two.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from skmoe._data.scaling import BLOCK_ROWS
from skmoe._numerics.offset_design import split_offset, with_offset
from skmoe._numerics.typing import Array, Design

# Number of rows of a block, from BLOCK_ROWS to MAX_BLOCK_ROWS, so that a dense design matrix has at
# most BLOCK_ELEMENTS elements. Sparse blocks are larger, since their operations have more overhead.
MAX_BLOCK_ROWS = 8192
BLOCK_ELEMENTS = 110_000
SPARSE_BLOCK_ROWS = 16_384


class RawFeatures(NamedTuple):
    """Features as the user gave them, for experts that are estimators."""

    X: Any  # array, CSR array or data frame
    fold: Array | None = None  # of each row in cross-fitting; None for new rows or without folds
    metadata: dict[str, Array] = {}  # noqa: RUF012  # for the fits of the experts
    offset: Array | None = None  # log exposures, (n,) or (m, n)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        return self.X.shape

    def take(self, index: Array | slice) -> RawFeatures:
        """The rows at an index."""
        fold = None if self.fold is None else self.fold[index]
        metadata = {name: values[index] for name, values in self.metadata.items()}
        offset = None if self.offset is None else self.offset[..., index]
        return RawFeatures(index_rows(self.X, index), fold, metadata, offset)


def index_rows(X: Any, index: Array | slice) -> Any:
    """Rows of an array, a CSR array or a data frame."""
    return X.iloc[index] if hasattr(X, "iloc") else X[index]


class UserRows(NamedTuple):
    """Validated rows in the form in which the user gave them."""

    X: Any
    y: Array  # outputs (m, n), or class codes (n,)
    weight: Array
    offset: Array | None  # of the linear predictors, (n,) or (m, n)


class Dataset(NamedTuple):
    """Rows in the form in which gate and experts are fitted."""

    gate_design: Design
    expert_design: Any  # a design matrix, an OffsetDesign, or RawFeatures
    y: Array  # outputs (m, n), or class codes (n,)
    weight: Array


def subset(rows: Dataset, index: Array | slice, weight: Array | None = None) -> Dataset:
    """The rows at an index, with other weights if given."""
    gate_design = rows.gate_design[index]
    expert_design, offset = split_offset(rows.expert_design)
    if expert_design is rows.gate_design:
        expert_design = gate_design
    elif isinstance(expert_design, RawFeatures):
        expert_design = expert_design.take(index)
    else:
        expert_design = expert_design[index]
    if isinstance(offset, np.ndarray):
        expert_design = with_offset(expert_design, offset[..., index])
    return Dataset(
        gate_design,
        expert_design,
        rows.y[..., index],
        rows.weight[index] if weight is None else weight,
    )


def split_into_blocks(rows: Any, size: int | None = None) -> Any:
    """Blocks of at most `size` rows; they are views of dense arrays.

    Data sets with raw features are a single block. Objects that are not a `Dataset`, such as a
    `BlockSource`, are returned as they are.
    """
    if not isinstance(rows, Dataset):
        return rows
    n_rows = len(rows.weight)
    if isinstance(rows.expert_design, RawFeatures):
        return [rows]
    if size is None:
        size = _block_rows(rows.gate_design)
    return [subset(rows, slice(start, start + size)) for start in range(0, n_rows, size)]


def _block_rows(design: Design) -> int:
    if sparse.issparse(design):
        return SPARSE_BLOCK_ROWS
    power = 2 ** int(np.log2(max(BLOCK_ELEMENTS / design.shape[1], 1.0)))
    return int(np.clip(power, BLOCK_ROWS, MAX_BLOCK_ROWS))


def select_raw_features(X: Any, columns: Array | None) -> RawFeatures:
    """Selected columns of X; None for all."""
    if columns is None:
        return RawFeatures(X)
    return RawFeatures(X.iloc[:, columns] if hasattr(X, "iloc") else X[:, columns])
