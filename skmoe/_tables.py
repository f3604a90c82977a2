"""Tables for experts that are estimators: their folds, and estimators for the names of experts."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skmoe import _expert_validation
from skmoe._encoding import MOST_CATEGORIES
from skmoe._folds import make_folds, spread_folds
from skmoe._numerics import Array
from skmoe._rows import RawTable
from skmoe.experts import ESTIMATORS

# Folds of cross_fit="auto".
N_FOLDS = 5


def cross_fit_table(
    table: RawTable,
    cross_fit: int | str | bool,
    codes: Array | None,
    groups: Array | None,
    seed: int,
) -> RawTable:
    """The table with the fold of each row, for a value of `cross_fit`."""
    if cross_fit is False or cross_fit == "oob":
        return table
    n_rows = table.shape[0]
    if cross_fit == "auto":
        fold = spread_folds(N_FOLDS, codes, groups, n_rows, seed)
        return table._replace(fold=fold) if fold.any() else table
    n_folds = int(cross_fit)
    smallest = None if codes is None else int(np.bincount(codes).min())
    n_groups = None if groups is None else len(np.unique(groups))
    _expert_validation.check_folds(n_folds, n_rows, smallest, n_groups)
    return table._replace(fold=make_folds(n_folds, codes, groups, n_rows, seed))


def named_estimators(
    experts: list[Any], task: str, alpha: float, X: Any, categories: list[int]
) -> tuple[Any, ...]:
    """Estimators in the place of names, prepared for the table that they will see."""
    return tuple(
        _prepared(expert, task, alpha, X, categories) if isinstance(expert, str) else expert
        for expert in experts
    )


def _prepared(name: str, task: str, alpha: float, X: Any, categories: list[int]) -> Any:
    estimator = clone(ESTIMATORS[name][task])
    steps = []
    if categories:
        numbers = [j for j in range(X.shape[1]) if j not in categories]
        one_hot = OneHotEncoder(
            handle_unknown="infrequent_if_exist",
            max_categories=MOST_CATEGORIES,
            sparse_output=False,
        )
        steps.append(
            ColumnTransformer(
                [("categories", one_hot, categories), ("rest", "passthrough", numbers)]
            )
        )
    if name == "linear":
        steps += [SimpleImputer(add_indicator=True), StandardScaler(with_mean=False)]
        if task == "regressor":
            estimator.set_params(alpha=alpha)
        else:
            estimator.set_params(C=1.0 / max(alpha, 1e-12), max_iter=1000)
    return make_pipeline(*steps, estimator) if steps else estimator
