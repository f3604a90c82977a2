"""The rows of the first batches of a stream, which are kept for initialisations."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from skmoe._data.duplicates import unique_weighted_rows
from skmoe._data.rows import UserRows, stack_rows
from skmoe._numerics.typing import Array, Design

# The rows of the first batches are buffered up to this total weight or number of distinct rows, and
# the mixture is re-initialised on them whenever their weight has doubled.
N_BUFFERED_ROWS = 4000


class RowBuffer(NamedTuple):
    """Validated rows of positive weight, from one or several batches."""

    X: Design
    y: Array  # outputs (m, n), or class codes (n,)
    weight: Array  # sample weights times class weights
    offset: Array | None = None  # of the linear predictors, (n,) or (m, n)
    units: Array | None = None  # number of the unit of each row
    weight_at_init: float = 0.0  # total weight at the last initialisation

    @property
    def total_weight(self) -> float:
        """The number of rows that the weights stand for."""
        return float(self.weight.sum())

    def as_user_rows(self) -> UserRows:
        """The rows for the methods of a fitted mixture."""
        return UserRows(self.X, self.y, self.weight, self.offset, self.units)

    def append(self, other: RowBuffer) -> RowBuffer:
        """The buffer with the rows of another batch."""
        return self._replace(
            X=stack_rows([self.X, other.X]),
            y=np.concatenate([self.y, other.y], axis=-1),
            weight=np.concatenate([self.weight, other.weight]),
            offset=_join_offsets(self, other),
            units=_join_units(self, other),
        ).merge_duplicates()

    def merge_duplicates(self) -> RowBuffer:
        """The buffer with each distinct row once."""
        keys, offset = self.y.T, self.offset
        if offset is not None:
            keys = np.column_stack([keys, offset.T])
        if self.units is not None:
            keys = np.column_stack([keys, self.units])
        index, weight = unique_weighted_rows(self.X, keys, self.weight)
        return self.take(index)._replace(weight=weight)

    def take(self, index: Array) -> RowBuffer:
        """The rows at an index."""
        return self._replace(
            X=self.X[index],
            y=self.y[..., index],
            weight=self.weight[index],
            offset=None if self.offset is None else self.offset[..., index],
            units=None if self.units is None else self.units[index],
        )

    @property
    def has_doubled(self) -> bool:
        """Whether the rows are twice those of the last initialisation, or as many as are kept."""
        return self.total_weight >= min(2.0 * self.weight_at_init, N_BUFFERED_ROWS)

    def is_full(self, half_life: float) -> bool:
        """Whether no more rows are needed, or kept, for initialisations."""
        enough = self.total_weight >= min(N_BUFFERED_ROWS, half_life)
        return enough or len(self.weight) >= N_BUFFERED_ROWS


def _join_offsets(*batches: RowBuffer) -> Array | None:
    """Offset of the rows of several batches, of which those without one have 0."""
    given = [batch.offset for batch in batches if batch.offset is not None]
    if not given:
        return None
    shape = max((offset.shape[:-1] for offset in given), key=len)
    return np.concatenate(
        [
            np.broadcast_to(
                0.0 if batch.offset is None else batch.offset, (*shape, len(batch.weight))
            )
            for batch in batches
        ],
        axis=-1,
    )


def _join_units(*batches: RowBuffer) -> Array | None:
    """Units of the rows of several batches: those of different batches are different units."""
    if all(batch.units is None for batch in batches):
        return None
    codes, n_units = [], 0
    for batch in batches:
        own = np.arange(len(batch.weight)) if batch.units is None else batch.units
        codes.append(n_units + own)
        n_units += int(own.max(initial=-1)) + 1
    return np.concatenate(codes)
