"""Columns that a fit adds to the features: those of the gate's transformer, and of a base."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

from skmoe._data.folds import check_several_groups, make_feasible_folds
from skmoe._data.rows import index_rows
from skmoe._data.sklearn_adapter import fit_estimator
from skmoe._numerics.typing import Array, Design

# Least probability of a class that a base says, whose logarithm is to be finite.
MIN_BASE_PROBABILITY = 1e-6


class ExtraFeatures(NamedTuple):
    """Fitted models that add columns to the features, in this order."""

    n_features: int  # before
    classes: Array | None  # that the base has
    transformer: Any | None
    transformer_columns: Array | None  # features that the transformer sees; None for all
    base: Any | None
    names: list[str]  # of the columns added


def append_columns(added: ExtraFeatures, X: Design, told: Array | None) -> Design:
    """Features with the columns that are added to them; `told` (n, q) is what the base says."""
    blocks = [X]
    if added.transformer is not None:
        seen = X if added.transformer_columns is None else X[:, added.transformer_columns]
        blocks.append(added.transformer.transform(seen))
    if told is not None:
        blocks.append(told)
    if any(sparse.issparse(block) for block in blocks):
        return sparse.csr_array(sparse.hstack([sparse.csr_array(block) for block in blocks]))
    return np.hstack(blocks)


def predict_base(base: Any, X: Any, classes: Array | None) -> Array:
    """What a base says of rows, (n, m): means, or log probabilities of classes."""
    if classes is None:
        said = np.asarray(base.predict(X), dtype=float)
        return said.reshape(len(said), -1)
    probs = np.full((X.shape[0], len(classes)), MIN_BASE_PROBABILITY)
    known = np.searchsorted(classes, base.classes_)
    probs[:, known] = np.maximum(base.predict_proba(X), MIN_BASE_PROBABILITY)
    return np.log(probs / probs.sum(axis=1, keepdims=True))


def cross_val_predict_base(
    fit: Callable[[Array], Any], X: Any, fold: Array, classes: Array | None
) -> Array:
    """What a base says of the rows of its fit, each by a fit without its fold, (n, m).

    `fit` fits the base to the rows at an index.
    """
    told = []
    for j in range(int(fold.max()) + 1):
        test = np.flatnonzero(fold == j)
        model = fit(np.flatnonzero(fold != j))
        told.append((test, predict_base(model, index_rows(X, test), classes)))
    whole = np.empty((len(fold), told[0][1].shape[1]))
    for test, said in told:
        whole[test] = said
    return whole


# Folds in which a base predicts the rows of its fit.
N_BASE_FOLDS = 5


class BaseModelData(NamedTuple):
    """The rows of a fit."""

    X: Design  # in numbers
    raw: Any  # as the base is to see them
    y: Array  # outputs, or class codes
    weight: Array
    groups: Array | None
    classes: Array | None
    names: list[str]  # of the columns of X


class ExtraFeatureResult(NamedTuple):
    """The columns of a fit after some were added."""

    X: Design
    base_oof_prediction: Array | None  # out-of-fold, (n, m) or (n, C)
    gate_columns: Array
    expert_columns: Array
    extra_features: ExtraFeatures


def fit_extra_features(
    base: Any,
    transformer: Any,
    table: BaseModelData,
    gate_columns: Array | None,
    expert_columns: Array | None,
    seed: int,
) -> ExtraFeatureResult:
    """Fit a base and a transformer of the gate, either of which may be None."""
    n_features = table.X.shape[1]
    seen = np.arange(n_features) if gate_columns is None else np.asarray(gate_columns)
    names: list[str] = []
    fitted = told = fitted_base = None
    if transformer is not None:
        fitted, names = _fit_transformer(transformer, table, gate_columns)
    if base is not None:
        fitted_base, told = _fit_base(base, table, seed)
    added = ExtraFeatures(n_features, table.classes, fitted, gate_columns, fitted_base, names)
    X = append_columns(added, table.X, told)
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
    return ExtraFeatureResult(X, told, seen, experts, added)


def _fit_transformer(
    transformer: Any, table: BaseModelData, columns: Array | None
) -> tuple[Any, list[str]]:
    """The fitted transformer of the gate, and names of the columns that it makes."""
    X = table.X if columns is None else table.X[:, columns]
    options = {"sample_weight": table.weight}
    if not has_fit_parameter(transformer, "sample_weight"):
        options = {}
    fitted = clone(transformer).fit(X, table.y, **options)
    made = fitted.transform(X)
    check_transformed(transformer, made, X.shape[0])
    given = table.names if columns is None else [table.names[j] for j in columns]
    try:
        names = [str(name) for name in fitted.get_feature_names_out(given)]
    except (AttributeError, ValueError):  # transformers may not name what they make
        names = [f"gate{j}" for j in range(made.shape[1])]
    return fitted, names


def _fit_base(base: Any, table: BaseModelData, seed: int) -> tuple[Any, Array]:
    """The base fitted to all rows, and what it says of them out of fold."""
    target = table.y if table.classes is None else table.classes[table.y]
    codes = None if table.classes is None else table.y

    def fit(rows: Array) -> Any:
        X = index_rows(table.raw, rows)
        return fit_estimator(base, seed, X, target[rows], table.weight[rows], {})

    fold = make_feasible_folds(N_BASE_FOLDS, codes, table.groups, len(table.y), seed)
    check_several_groups("base", fold)
    told = cross_val_predict_base(fit, table.raw, fold, table.classes)
    return fit(np.arange(len(table.y))), told


def _base_names(classes: Array | None, width: int) -> list[str]:
    if classes is not None:
        return [f"base_{label}" for label in classes]
    return ["base"] if width == 1 else [f"base_{j}" for j in range(width)]


def check_transformed(transformer: Any, table: Any, n_rows: int) -> None:
    """A transformer of the gate makes a table of finite numbers, row by row."""
    shape: tuple[int, ...] = getattr(table, "shape", ())
    if len(shape) != 2 or shape[0] != n_rows:
        raise ValueError(
            f"The transformer of the gate must keep the {n_rows} rows that it is given, as a "
            f"table; {transformer!r} made shape {shape}. Choose one that transforms features."
        )
    values = table.data if sparse.issparse(table) else np.asarray(table)
    if not np.issubdtype(values.dtype, np.number) or not np.isfinite(values).all():
        raise ValueError(
            f"The transformer of the gate must make finite numbers; {transformer!r} made others. "
            "Impute or encode before it, in a pipeline."
        )
