"""Training data with its distinct rows, in an order that does not depend on that of the user."""

from __future__ import annotations

import numpy as np

from skmoe._data.checks import check_enough_rows
from skmoe._data.duplicates import sorted_rows
from skmoe._estimators.parameters.parameters import FitParameters
from skmoe._estimators.rows import init_rows
from skmoe._estimators.rows.training_data import TrainingData, distinct_rows, row_keys
from skmoe._estimators.rows.unit_rows import sort_by_unit


def merge_duplicates(params: FitParameters, data: TrainingData) -> TrainingData:
    """Find the distinct rows, and reduce the data set to them if there are not too many.

    Data sets with initial responsibilities or metadata are not reduced. For folds, in which copies
    of a row must not be divided, all rows are distinct or have the number of their distinct row.
    """
    if data.units is not None:
        return _group_by_unit(params, data)
    has_folds = params.uses_estimators or params.base is not None
    can_merge = isinstance(params.init, str) and not data.metadata
    if has_folds and not can_merge:
        return _sort_rows(params, data)
    index, weight = distinct_rows(params, data)
    check_enough_rows(params.n_experts, len(index))
    # A warm start keeps the rows of the fit that it continues.
    if not can_merge or (len(index) > init_rows.MAX_INIT_ROWS and not has_folds):
        return data._replace(unique_rows=(index, weight))
    data = data.take(index)._replace(weight=weight)
    return _with_sample_of_many_rows(params, data)


def _sort_rows(params: FitParameters, data: TrainingData) -> TrainingData:
    """Put the rows in an order that depends on values only, and find their copies."""
    keys, form = row_keys(params, data)
    order, first = sorted_rows(data.X, keys, data.weight, form)
    check_enough_rows(params.n_experts, len(first))
    data = data.take(order)
    weight = np.add.reduceat(data.weight, first)
    copy_of = np.repeat(np.arange(len(first)), np.diff(first, append=len(order)))
    return data._replace(unique_rows=(first, weight), copy_of=copy_of)


def _with_sample_of_many_rows(params: FitParameters, data: TrainingData) -> TrainingData:
    """Data with distinct rows, or rows of units, of which many are sampled for the starts."""
    n_rows = len(data.weight)
    if n_rows <= init_rows.MIN_INIT_ROWS or (
        params.uses_estimators and n_rows <= init_rows.MAX_INIT_ROWS
    ):
        return data
    return data._replace(unique_rows=(np.arange(n_rows), data.weight))


def _group_by_unit(params: FitParameters, data: TrainingData) -> TrainingData:
    """Put the rows of each unit together, and find out whether a sample serves for starts."""
    merge = isinstance(params.init, str) and not data.metadata
    index, weight, codes = sort_by_unit(params, data, merge=merge)
    data = data.take(index)._replace(weight=weight, units=codes)
    return _with_sample_of_many_rows(params, data)
