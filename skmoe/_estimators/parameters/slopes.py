"""Which slopes each expert has, from `expert_features` and `shared_features`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from skmoe._data.checks import check_columns, is_integer, shown
from skmoe._numerics.typing import Array


def is_for_each_expert(features: Any) -> bool:
    """Whether `expert_features` has a list of columns for each expert."""
    kinds = list | tuple | np.ndarray
    return isinstance(features, list | tuple) and any(isinstance(own, kinds) for own in features)


def expert_columns(
    params: Any, n_features: int, names: Array | None
) -> tuple[Array | None, tuple[tuple[int, ...], ...], tuple[int, ...]]:
    """Columns of X in the design matrix of the experts, slopes, and columns of the dispersions.

    The columns of X are None for all. Slopes are numbers, as `slope_holders` takes them: ()
    where each expert has its own slope of each column.
    """
    n_experts, features = params.n_experts, (n_features, names)
    given, may_be_empty = params.expert_features, not params.uses_estimators
    if is_for_each_expert(given):
        of_experts = [
            _all_or(
                check_columns(f"expert_features[{k}]", own, *features, may_be_empty), n_features
            )
            for k, own in enumerate(given)
        ]
        columns: Array | None = np.unique(np.concatenate(of_experts)).astype(np.intp)
    else:
        columns = check_columns("expert_features", given, *features, may_be_empty)
        of_experts = [_all_or(columns, n_features)] * n_experts
    given = check_columns("dispersion_features", params.dispersion_features, *features)
    of_dispersion = np.zeros(0, dtype=np.intp) if given is None else given
    if columns is not None and len(of_dispersion):
        columns = np.union1d(columns, of_dispersion)
    of_slopes, numbers = _all_or(columns, n_features), np.arange(n_experts)
    slopes = np.where([np.isin(of_slopes, own) for own in of_experts], numbers[:, None], -1)
    shared = params.shared_features
    shared = {} if shared is None else _sharing_experts(shared, n_experts, features)
    for column, sharing in shared.items():
        of_column = of_slopes == column
        has_slope = np.any(slopes[:, of_column] >= 0, axis=1)
        if not has_slope.any() or not has_slope[sharing].all():
            lacking = [k for k in sharing if not has_slope[k]]
            of_expert = f" of expert {lacking[0]}" if has_slope.any() else ""
            raise ValueError(
                f"shared_features must be among the expert_features{of_expert}; column {column} is "
                "not. Add it to expert_features, or leave it out of shared_features."
            )
        sharing = sharing or np.flatnonzero(has_slope).tolist()
        slopes[np.ix_(sharing, of_column)] = min(sharing)
    own_slopes = (slopes == numbers[:, None]).all()
    return (
        columns,
        () if own_slopes else tuple(tuple(row) for row in slopes.tolist()),
        tuple(np.flatnonzero(np.isin(of_slopes, of_dispersion)).tolist()),
    )


def _all_or(columns: Array | None, n_features: int) -> Array:
    return np.arange(n_features) if columns is None else columns


def _sharing_experts(
    shared_features: Any, n_experts: int, features: tuple[int, Array | None]
) -> dict[int, list[int]]:
    """The experts that share the slope of each column; an empty list for all that have it."""
    if not isinstance(shared_features, Mapping):
        columns = check_columns("shared_features", shared_features, *features)
        return {} if columns is None else {int(column): [] for column in columns}
    columns = check_columns("shared_features", list(shared_features), *features)
    assert columns is not None
    of_columns = zip(columns.tolist(), shared_features.values(), strict=True)
    return {column: _check_numbers(sharing, n_experts) for column, sharing in of_columns}


def _check_numbers(sharing: Any, n_experts: int) -> list[int]:
    """Validate the numbers of experts that share a slope."""
    numbers = list(sharing) if isinstance(sharing, Sequence | np.ndarray) else []
    if len(numbers) == n_experts and all(isinstance(k, bool | np.bool_) for k in numbers):
        numbers = np.flatnonzero(numbers).tolist()
    is_valid = all(is_integer(k) and int(k) in range(n_experts) for k in numbers)
    if not is_valid or not 2 <= len(set(numbers)) == len(numbers):
        raise ValueError(
            "shared_features as a dict must have the numbers of at least two experts for each "
            f"feature, from 0 to {n_experts - 1}, or True and False for each expert; got "
            f"{shown(sharing)}. Use a list of features for slopes that all experts share."
        )
    return [int(k) for k in numbers]
