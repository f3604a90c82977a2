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
