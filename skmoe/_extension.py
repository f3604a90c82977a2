"""Laying out what a fit adds to the features: a transformed table for the gate, a base's word."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

from skmoe import _expert_validation
from skmoe._augment import Added, add_columns, tell_out_of_fold
from skmoe._fitting import fit_estimator
from skmoe._folds import spread_folds
from skmoe._numerics import Array, Design
from skmoe._rows import take_rows

# Folds in which a base predicts the rows of its fit.
N_FOLDS = 5


class Table(NamedTuple):
    """The rows of a fit."""

    X: Design  # in numbers
    raw: Any  # as the base is to see them
    y: Array  # outputs, or class codes
    weight: Array
    groups: Array | None
    classes: Array | None
    names: list[str]  # of the columns of X


class Extension(NamedTuple):
    """The columns of a fit after some were added."""

    X: Design
    told: Array | None  # out of fold, what the base says: (n, m) or (n, C)
    gate_columns: Array
    expert_columns: Array
    added: Added


def extend(
    base: Any,
    transformer: Any,
    table: Table,
    gate_columns: Array | None,
    expert_columns: Array | None,
    seed: int,
) -> Extension:
    """Fit a base and a transformer of the gate, either of which may be None."""
    n_features = table.X.shape[1]
    seen = np.arange(n_features) if gate_columns is None else np.asarray(gate_columns)
    names: list[str] = []
    fitted = told = fitted_base = None
    if transformer is not None:
        fitted, names = _fit_transformer(transformer, table, gate_columns)
    if base is not None:
        fitted_base, told = _fit_base(base, table, seed)
    added = Added(n_features, table.classes, fitted, gate_columns, fitted_base, names)
    X = add_columns(added, table.X, told)
    n_transformed = len(names)
    if fitted is not None:
        seen = n_features + np.arange(n_transformed)
    experts = np.arange(n_features) if expert_columns is None else np.asarray(expert_columns)
    if told is not None:
        of_base = n_features + n_transformed + np.arange(told.shape[1])
        added = added._replace(names=[*names, *_base_names(table.classes, told.shape[1])])
        seen = np.append(seen, of_base)
        # A mean is added to what experts say; log probabilities are theirs to weigh.
        experts = experts if table.classes is None else np.append(experts, of_base)
    return Extension(X, told, seen, experts, added)


def _fit_transformer(
    transformer: Any, table: Table, columns: Array | None
) -> tuple[Any, list[str]]:
    """The fitted transformer of the gate, and names of the columns that it makes."""
    X = table.X if columns is None else table.X[:, columns]
    options = {"sample_weight": table.weight}
    if not has_fit_parameter(transformer, "sample_weight"):
        options = {}
    fitted = clone(transformer).fit(X, table.y, **options)
    made = fitted.transform(X)
    _expert_validation.check_transformed(transformer, made, X.shape[0])
    given = table.names if columns is None else [table.names[j] for j in columns]
    try:
        names = [str(name) for name in fitted.get_feature_names_out(given)]
    except (AttributeError, ValueError):  # transformers may not name what they make
        names = [f"gate{j}" for j in range(made.shape[1])]
    return fitted, names


def _fit_base(base: Any, table: Table, seed: int) -> tuple[Any, Array]:
    """The base fitted to all rows, and what it says of them out of fold."""
    target = table.y if table.classes is None else table.classes[table.y]
    codes = None if table.classes is None else table.y

    def fit(rows: Array) -> Any:
        X = take_rows(table.raw, rows)
        return fit_estimator(base, seed, X, target[rows], table.weight[rows], {})

    fold = spread_folds(N_FOLDS, codes, table.groups, len(table.y), seed)
    _expert_validation.check_several_groups("base", fold)
    told = tell_out_of_fold(fit, table.raw, fold, table.classes)
    return fit(np.arange(len(table.y))), told


def _base_names(classes: Array | None, width: int) -> list[str]:
    if classes is not None:
        return [f"base_{label}" for label in classes]
    return ["base"] if width == 1 else [f"base_{j}" for j in range(width)]
