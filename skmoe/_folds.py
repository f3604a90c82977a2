"""Folds of cross-fitting: fixed for a whole fit."""

from __future__ import annotations

import numpy as np
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from skmoe._numerics import Array


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


def spread_folds(most: int, codes: Array | None, groups: Array | None, n: int, seed: int) -> Array:
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
