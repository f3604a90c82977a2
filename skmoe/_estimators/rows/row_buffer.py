"""The rows of the first batches of a stream, which are kept for initialisations."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from skmoe._data.distinct_rows import unique_weighted_rows
from skmoe._data.rows import Rows, concat

# The rows of the first batches are buffered up to this total weight or number of distinct rows, and
# the mixture is re-initialised on them whenever their weight has doubled.
N_BUFFERED_ROWS = 4000


class RowBuffer(NamedTuple):
    """Distinct rows of one or several batches, whose weights include those of the classes."""

    rows: Rows
    weight_at_init: float = 0.0  # total weight at the last initialisation

    @property
    def total_weight(self) -> float:
        """The number of rows that the weights stand for."""
        return float(self.rows.weight.sum())

    def append(self, batch: Rows) -> RowBuffer:
        """The buffer with the rows of another batch."""
        return self._replace(rows=merge_rows(concat([self.rows, batch])))

    @property
    def has_doubled(self) -> bool:
        """Whether the rows are twice those of the last initialisation, or as many as are kept."""
        return self.total_weight >= min(2.0 * self.weight_at_init, N_BUFFERED_ROWS)

    def is_full(self, half_life: float) -> bool:
        """Whether no more rows are needed, or kept, for initialisations."""
        enough = self.total_weight >= min(N_BUFFERED_ROWS, half_life)
        return enough or self.rows.n_rows >= N_BUFFERED_ROWS


def merge_rows(rows: Rows) -> Rows:
    """Each distinct row once, with its total weight."""
    keys = [
        values for values in (rows.y, rows.offset, rows.unit, rows.possible) if values is not None
    ]
    index, weight = unique_weighted_rows(rows.X, np.column_stack(keys), rows.weight)
    return rows.take(index)._replace(weight=weight)
