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

from skmoe._data.scaling import BLOCK_ROWS, Standardization, design_matrix
from skmoe._numerics.typing import Array, Design

MAX_BLOCK_ROWS = 8192

BLOCK_ELEMENTS = 110_000

# Sparse rows are short, and a call for a block of them costs more.
SPARSE_BLOCK_ROWS = 16_384


class RawFeatures(NamedTuple):
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

    def take(self, index: Array | slice) -> RawFeatures:
        """Rows at an index."""
        fold = None if self.fold is None else self.fold[index]
        metadata = {name: values[index] for name, values in self.metadata.items()}
        return RawFeatures(index_rows(self.X, index), fold, metadata)


def index_rows(X: Any, index: Array | slice) -> Any:
    """Rows of an array, a CSR array or a data frame."""
    return X.iloc[index] if hasattr(X, "iloc") else X[index]


class Dataset(NamedTuple):
    """Rows ready for EM. The row axis of `y` is its last one."""

    gate_design: Design
    expert_design: Design
    y: Array
    weight: Array


def subset(rows: Dataset, index: Array | slice, weight: Array | None = None) -> Dataset:
    """Rows at an index, with other weights if given."""
    gate_design, expert_design = rows.gate_design[index], rows.expert_design
    if expert_design is rows.gate_design:
        expert_design = gate_design
    elif isinstance(expert_design, RawFeatures):
        expert_design = expert_design.take(index)
    else:
        expert_design = expert_design[index]
    return Dataset(
        gate_design,
        expert_design,
        rows.y[..., index],
        rows.weight[index] if weight is None else weight,
    )


def split_into_blocks(rows: Any, size: int | None = None) -> Any:
    """Cut rows into blocks, of `size` if given; views of dense arrays. Raw tables stay whole.

    What comes in blocks already stays as it is.
    """
    if not isinstance(rows, Dataset):
        return rows
    n_rows = len(rows.weight)
    if isinstance(rows.expert_design, RawFeatures):
        return [rows]
    if size is None:
        size = _block_rows(rows.gate_design)
    return [subset(rows, slice(begin, begin + size)) for begin in range(0, n_rows, size)]


def _block_rows(design: Design) -> int:
    if sparse.issparse(design):
        return SPARSE_BLOCK_ROWS
    power = 2 ** int(np.log2(max(BLOCK_ELEMENTS / design.shape[1], 1.0)))
    return int(np.clip(power, BLOCK_ROWS, MAX_BLOCK_ROWS))


def make_dataset(
    X: Design,
    scale: Standardization,
    gate_columns: Array | None,
    expert_columns: Array | None,
    y: Array,
    weight: Array,
    table: RawFeatures | None = None,
) -> Dataset:
    """Rows as the parts see them: features in numbers, and the `table` of experts that want it."""
    gate_design = design_matrix(X, scale, gate_columns)
    if table is not None:
        return Dataset(gate_design, table, y, weight)
    if gate_columns is expert_columns:
        return Dataset(gate_design, gate_design, y, weight)
    return Dataset(gate_design, design_matrix(X, scale, expert_columns), y, weight)


def select_raw_features(X: Any, columns: Array | None) -> RawFeatures:
    """The chosen columns of a table."""
    if columns is None:
        return RawFeatures(X)
    return RawFeatures(X.iloc[:, columns] if hasattr(X, "iloc") else X[:, columns])
