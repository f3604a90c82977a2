"""Folds of cross-fitting: fixed for a whole fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from skmoe._data.rows import RawFeatures
from skmoe._numerics.typing import Array

# Folds of cross_fit="auto".
N_CROSS_FIT_FOLDS = 5


def make_folds(n_folds: int, codes: Array | None, groups: Array | None, n: int, seed: int) -> Array:
    """The fold of each of n rows, (n,): stratified by class codes, groups kept together."""
    stratified = codes is not None
    if groups is not None:
        splitter = (
            StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
            if stratified
            else GroupKFold(n_folds)
        )
    elif stratified:
        splitter = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    else:
        splitter = KFold(n_folds, shuffle=True, random_state=seed)
    fold = np.empty(n, dtype=int)
    rows = np.zeros((n, 1))
    for j, (_, test) in enumerate(splitter.split(rows, codes, groups)):
        fold[test] = j
    return fold


def make_feasible_folds(
    most: int, codes: Array | None, groups: Array | None, n: int, seed: int
) -> Array:
    """The fold of each of n rows, (n,): up to `most` folds, as far as rows and groups go.

    Stratified unless a class has fewer rows than there are folds; all zero where nothing can be
    spread.
    """
    n_folds = min(most, n if groups is None else len(np.unique(groups)))
    if n_folds < 2:
        return np.zeros(n, dtype=int)
    if codes is not None and int(np.bincount(codes).min()) < n_folds:
        codes = None
    return make_folds(n_folds, codes, groups, n, seed)


def check_folds(
    n_folds: int, n_rows: int, smallest_class: int | None, n_groups: int | None
) -> None:
    """No more folds than rows, groups, or members of a class."""
    for what, most in (
        ("rows", n_rows),
        ("groups", n_groups),
        ("rows of the smallest class", smallest_class),
    ):
        if most is not None and n_folds > most:
            raise ValueError(
                f"cross_fit={n_folds} must not exceed the number of {what}, {most}. Use at most "
                f'{max(most, 2)} folds, cross_fit="auto", or cross_fit=False.'
            )


def check_several_groups(what: str, fold: Array) -> None:
    """Rows that are told out of fold need two folds at least."""
    if not fold.any():
        raise ValueError(
            f"{what} needs rows that are left out of its fits: at least 2 groups; got 1. Leave "
            "groups out, or give finer ones."
        )


def check_metadata(metadata: Mapping[str, Any], n_rows: int) -> dict[str, Array]:
    """Metadata of the experts: one entry for each row."""
    arrays = {name: np.asarray(values) for name, values in metadata.items() if values is not None}
    for name, values in arrays.items():
        if values.ndim == 0 or len(values) != n_rows:
            raise ValueError(
                f"{name} must have one entry for each of the {n_rows} rows of X; got shape "
                f"{values.shape}."
            )
    return arrays


def assign_folds(
    table: RawFeatures,
    cross_fit: int | str | bool,
    codes: Array | None,
    groups: Array | None,
    seed: int,
) -> RawFeatures:
    """The table with the fold of each row, for a value of `cross_fit`."""
    if cross_fit is False or cross_fit == "oob":
        return table
    n_rows = table.shape[0]
    if cross_fit == "auto":
        fold = make_feasible_folds(N_CROSS_FIT_FOLDS, codes, groups, n_rows, seed)
        return table._replace(fold=fold) if fold.any() else table
    n_folds = int(cross_fit)
    smallest = None if codes is None else int(np.bincount(codes).min())
    n_groups = None if groups is None else len(np.unique(groups))
    check_folds(n_folds, n_rows, smallest, n_groups)
    return table._replace(fold=make_folds(n_folds, codes, groups, n_rows, seed))
