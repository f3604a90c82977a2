"""Rows that are too many for memory, which are fitted block by block."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmoe._data.blocks import RowBlocks
from skmoe._data.dask_chunks import is_dask
from skmoe._estimators.parameters.parameters import FitParameters
from skmoe._estimators.rows import init_rows
from skmoe._estimators.rows.capabilities import supports_blocks
from skmoe._estimators.rows.training_data import GivenRows


def rows_in_blocks(params: FitParameters, given: GivenRows) -> GivenRows:
    """Large memory maps and Dask collections as row blocks; other rows as they are."""
    X, y, weight = given.X, given.y, given.sample_weight
    by_row: dict[str, Any] = {"offset": given.offset, "units": given.units}
    blocks: Any
    if is_dask(X):
        blocks = RowBlocks.from_dask(X, y, weight, **by_row)
    elif isinstance(X, np.memmap) and supports_blocks(params) and _can_be_divided(given):
        blocks = RowBlocks.from_arrays(X, y, weight, **by_row)
    else:
        return given
    return GivenRows(blocks, groups=given.groups, metadata=given.metadata)


def _can_be_divided(given: GivenRows) -> bool:
    """Whether rows are many, in arrays, and those of a unit are next to each other."""
    arrays = (given.y, given.sample_weight, given.offset)
    if len(given.X) <= init_rows.MAX_INIT_ROWS or given.y is None:
        return False
    if any(values is not None and np.ndim(values) == 0 for values in arrays):
        return False
    if given.units is None:
        return True
    units = np.asarray(given.units)
    return int((units[1:] != units[:-1]).sum()) + 1 == len(np.unique(units))
