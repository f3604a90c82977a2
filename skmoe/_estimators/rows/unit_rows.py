"""Training data in the order of units."""

from __future__ import annotations

import numpy as np

from skmoe._data.duplicates import same_rows, unique_weighted_rows_of_units
from skmoe._estimators.parameters.parameters import FitParameters
from skmoe._estimators.rows.training_data import TrainingData, row_keys
from skmoe._numerics.typing import Array


def sort_by_unit(
    params: FitParameters, data: TrainingData, *, merge: bool
) -> tuple[Array, Array, Array]:
    """Indices, total weights and unit numbers of the distinct rows, unit after unit.

    Their order depends on values only; with `gate_aggregate="first"` the first row of a unit in the
    user's order stays its first. Without `merge` equal rows of a unit stay apart.
    """
    assert data.units is not None
    keys, form = row_keys(params, data)
    index, weight, codes = unique_weighted_rows_of_units(
        data.X, keys, data.weight, data.units, form, merge=merge
    )
    if params.gate_aggregate == "first":
        present, first = np.unique(data.units, return_index=True)
        wanted = first[np.searchsorted(present, data.units[index])]
        is_first = same_rows(data.X, index, wanted) & (keys[index] == keys[wanted]).all(axis=1)
        order = np.lexsort((~is_first, codes))
        index, weight = index[order], weight[order]  # units stay in their order
    return index, weight, codes
