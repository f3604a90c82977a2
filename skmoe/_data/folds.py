"""Folds of rows, which keep groups together."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from skmoe._data.rows import RawFeatures
from skmoe._numerics.typing import Array

# Number of folds of cross_fit="auto", of a stack, and of a base.
N_CROSS_FIT_FOLDS = 5

# A stack of more rows than this holds out one of so many parts, once: it has enough rows for the
# weights of the models, and each fold costs one fit of every model.
MAX_ROWS_OF_STACK_WITH_FOLDS = 5_000
N_PARTS_OF_LARGE_STACK = 3

FINER_GROUPS = "Leave groups out, or give finer ones."


def make_folds(
    max_folds: int, codes: Array | None, groups: Array | None, n: int, seed: int
) -> Array:
    """Fold of each of n rows, (n,), with as many folds as rows and groups permit.

    Groups are in one fold. The folds are stratified by class codes unless a class has fewer rows
    than there are folds. With a single row or group all rows are in fold 0.
    """
    n_folds = min(max_folds, n if groups is None else len(np.unique(groups)))
    fold = np.zeros(n, dtype=int)
    if n_folds < 2:
        return fold
    if codes is not None and int(np.bincount(codes).min()) < n_folds:
        codes = None
    if groups is not None and codes is None:
        splitter = GroupKFold(n_folds)
    else:
        of_codes = StratifiedKFold if groups is None else StratifiedGroupKFold
        kind = KFold if codes is None else of_codes
        splitter = kind(n_folds, shuffle=True, random_state=seed)
    for j, (_, test) in enumerate(splitter.split(np.zeros((n, 1)), codes, groups)):
        fold[test] = j
    return fold


def check_several_folds(name: str, fold: Array, groups: Array | None, remedy: str = "") -> None:
    """Out-of-fold predictions need at least two folds, so two distinct rows or two groups."""
    if fold.any():
        return
    unit = "distinct rows"
    remedy = remedy or f"Leave {name.split('=')[0]} out, or give more rows."
    if groups is not None:
        unit, remedy = "groups", FINER_GROUPS
    raise ValueError(
        f"{name} needs rows that are left out of its fits: at least 2 {unit}; got 1. {remedy}"
    )


def assign_folds(
    features: RawFeatures, codes: Array | None, n_folds: Any, seed: int, *, of_stack: bool = False
) -> RawFeatures:
    """Features with the fold of each row: `cross_fit`, or `cv` of models that are stacked.

    Of many rows of a stack one part is held out, once. The others are in folds with negative
    numbers.
    """
    name, default = ("cv", "cv=None") if of_stack else ('cross_fit="auto"', 'cross_fit="auto"')
    rows = codes, features.groups, features.shape[0], seed
    if n_folds is False:
        return features
    if n_folds not in ("auto", None):
        check_number_of_folds(default, int(n_folds), codes, features)
        return features._replace(fold=make_folds(int(n_folds), *rows))
    is_large = of_stack and features.shape[0] > MAX_ROWS_OF_STACK_WITH_FOLDS
    fold = make_folds(N_PARTS_OF_LARGE_STACK if is_large else N_CROSS_FIT_FOLDS, *rows)
    if of_stack or features.groups is not None:
        check_several_folds(name, fold, features.groups, "Give more rows." if of_stack else "")
    return features._replace(fold=-fold if is_large else fold) if fold.any() else features


def check_number_of_folds(
    default: str, n_folds: int, codes: Array | None, features: RawFeatures
) -> None:
    """There must not be more folds than rows, groups, or rows of a class.

    The default is the name and the value of the parameter for as many folds as are possible.
    """
    found = {"rows": features.shape[0]}
    if features.groups is not None:
        found["groups"] = len(np.unique(features.groups))
    if codes is not None:
        found["rows of the smallest class"] = int(np.bincount(codes).min())
    for name, most in found.items():
        if n_folds > most:
            remedy = f"Use at most {most} folds, or {default}." if most > 1 else f"Use {default}."
            remedy = FINER_GROUPS if most == 1 and name == "groups" else remedy
            raise ValueError(
                f"{default.split('=')[0]}={n_folds} must not exceed the number of {name}, {most}. "
                f"{remedy}"
            )
