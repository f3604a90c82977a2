"""Extra features: the outputs of the base model and of the gate transformer.

Both models are fitted here, and their outputs are appended to the features as columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

from skmoe._data.folds import check_several_folds, feasible_folds, n_folds_of_base
from skmoe._data.rows import Rows, index_rows
from skmoe._data.sklearn_adapter import check_finite, fit_estimator, groups_of_folds
from skmoe._numerics.typing import Array, Design

# Minimum class probability of a base model, whose logarithm must be finite.
MIN_BASE_PROBABILITY = 1e-6


class ExtraFeatures(NamedTuple):
    """Fitted models whose outputs are appended to the features, first those of the transformer."""

    n_features: int  # without extra features
    classes: Array | None  # of the base model
    transformer: Any | None
    transformer_columns: Array | None  # input features of the transformer; None for all
    base: Any | None
    names: list[str]  # of the extra features
    n_base_columns: int = 0  # of them, predictions of the base model, which come last
    link: str = "identity"  # on whose scale the base model's predictions enter


class ExtraFeatureOptions(NamedTuple):
    """What the fits of the base model and of the gate transformer depend on, besides rows."""

    columns: Mapping[str, Array | None]  # of gate ("gate") and experts ("mean"); None for all
    classes: Array | None
    names: list[str]  # of the numeric features
    link: str  # of the experts
    seed: int


# --- fit --------------------------------------------------------------------------------------


def fit_extra_features(
    base: Any, transformer: Any, rows: Rows, X: Design, options: ExtraFeatureOptions
) -> tuple[Design, Array | None, dict[str, Array | None], ExtraFeatures]:
    """Fit the base model and the gate transformer, either of which may be None.

    Returned are the features with the extra ones, out-of-fold predictions of the base model, (n, m)
    or (n, C), and the columns of gate and experts.

    The features of the rows are in the form in which the base model is fitted to them; X are the
    numeric ones, in which the transformer is.
    """
    n_features, classes = X.shape[1], options.classes
    gate_columns, expert_columns = options.columns["gate"], options.columns["mean"]
    names: list[str] = []
    fitted_transformer = fitted_base = oof_prediction = None
    if transformer is not None:
        fitted_transformer, names = _fit_transformer(transformer, rows, X, options)
    if base is not None:
        fitted_base, oof_prediction = _fit_base(base, rows, options)
    extra_features = ExtraFeatures(
        n_features,
        classes,
        fitted_transformer,
        gate_columns,
        fitted_base,
        names,
        link=options.link,
    )
    X = append_columns(extra_features, X, oof_prediction)
    n_transformed = len(names)
    if fitted_transformer is not None:
        gate = n_features + np.arange(n_transformed)
    else:
        gate = np.arange(n_features) if gate_columns is None else np.asarray(gate_columns)
    experts = np.arange(n_features) if expert_columns is None else np.asarray(expert_columns)
    if oof_prediction is not None:
        n_base = oof_prediction.shape[1]
        base_columns = n_features + n_transformed + np.arange(n_base)
        base_names = _base_names(classes, n_base)
        extra_features = extra_features._replace(names=[*names, *base_names], n_base_columns=n_base)
        gate = np.append(gate, base_columns)
        # A regressor base is an offset of the mean; the log probabilities of a classifier base are
        # features of the experts.
        experts = experts if classes is None else np.append(experts, base_columns)
    columns = {"gate": gate, "mean": experts}
    return X, oof_prediction, columns, extra_features


def _fit_transformer(
    transformer: Any, rows: Rows, X: Design, options: ExtraFeatureOptions
) -> tuple[Any, list[str]]:
    """The fitted gate transformer, and the names of its output columns."""
    columns = options.columns["gate"]
    X = X if columns is None else X[:, columns]
    takes_weight = has_fit_parameter(transformer, "sample_weight")
    weight = {"sample_weight": rows.weight} if takes_weight else {}
    fitted = clone(transformer).fit(X, rows.y, **weight)
    transformed = fitted.transform(X)
    check_transformed(transformer, transformed, X.shape[0])
    input_names = options.names if columns is None else [options.names[j] for j in columns]
    try:
        names = [str(name) for name in fitted.get_feature_names_out(input_names)]
    except (AttributeError, ValueError):  # transformers need not support feature names
        names = [f"gate{j}" for j in range(transformed.shape[1])]
    return fitted, names


def _fit_base(base: Any, rows: Rows, options: ExtraFeatureOptions) -> tuple[Any, Array]:
    """The base model fitted to all rows, and its out-of-fold predictions (n, m)."""
    classes, seed = options.classes, options.seed
    target = rows.y if classes is None else classes[rows.y]
    codes, weight, group = None if classes is None else rows.y, rows.weight, rows.fold_group
    if rows.offset is not None:
        # The base model is fitted to y per unit of exposure, which is more exact for more exposure.
        exposure = np.exp(rows.offset)
        target, weight = (target.T / exposure).T, weight * exposure

    def fit(index: Array) -> Any:
        metadata = groups_of_folds(base, None if group is None else group[index])
        X = index_rows(rows.X, index)
        return fit_estimator(base, seed, X, target[index], weight[index], metadata)

    fold = feasible_folds(n_folds_of_base(rows.n_rows), codes, group, rows.n_rows, seed)
    check_several_folds("base", fold, group)
    oof_prediction = cross_val_predict_base(fit, rows.X, fold, classes, options.link)
    return fit(np.arange(rows.n_rows)), oof_prediction


def _base_names(classes: Array | None, n_columns: int) -> list[str]:
    """Names of the columns of the base model's predictions."""
    if classes is not None:
        return [f"base_{label}" for label in classes]
    return ["base"] if n_columns == 1 else [f"base_{j}" for j in range(n_columns)]


# --- predictions ------------------------------------------------------------------------------


def append_columns(
    extra_features: ExtraFeatures, X: Design, base_prediction: Array | None
) -> Design:
    """Features with the outputs of the gate transformer and the base predictions (n, q)."""
    blocks = [X]
    if extra_features.transformer is not None:
        columns = extra_features.transformer_columns
        inputs = X if columns is None else X[:, columns]
        blocks.append(extra_features.transformer.transform(inputs))
    if base_prediction is not None:
        blocks.append(base_prediction)
    if any(sparse.issparse(block) for block in blocks):
        return sparse.csr_array(sparse.hstack([sparse.csr_array(block) for block in blocks]))
    return np.hstack(blocks)


def predict_base(base: Any, X: Any, classes: Array | None, link: str = "identity") -> Array:
    """Predictions of the base model, (n, m): means or their logs, or class log-probabilities."""
    if classes is None:
        prediction = np.asarray(base.predict(X), dtype=float)
        prediction = prediction.reshape(len(prediction), -1)
        check_finite("base", prediction)
        return np.log(check_positive(base, prediction)) if link == "log" else prediction
    probs = np.full((X.shape[0], len(classes)), MIN_BASE_PROBABILITY)
    columns = np.searchsorted(classes, base.classes_)
    probs[:, columns] = np.maximum(base.predict_proba(X), MIN_BASE_PROBABILITY)
    check_finite("base", probs)
    return np.log(probs / probs.sum(axis=1, keepdims=True))


def cross_val_predict_base(
    fit: Callable[[Array], Any], X: Any, fold: Array, classes: Array | None, link: str
) -> Array:
    """Out-of-fold predictions of the base model on its training rows, (n, m).

    `fit` returns the base model fitted to the rows at an array of indices.
    """
    predictions = []
    for j in range(int(fold.max()) + 1):
        test = np.flatnonzero(fold == j)
        fitted = fit(np.flatnonzero(fold != j))
        predictions.append((test, predict_base(fitted, index_rows(X, test), classes, link)))
    oof_prediction = np.empty((len(fold), predictions[0][1].shape[1]))
    for test, prediction in predictions:
        oof_prediction[test] = prediction
    return oof_prediction


# --- validation -------------------------------------------------------------------------------


def check_positive(base: Any, prediction: Array) -> Array:
    """Under a log link the base model must predict positive numbers."""
    if not (prediction > 0.0).all():
        raise ValueError(
            f"base must predict positive numbers, whose logs are added to the linear predictors of "
            f"experts with a log link; {base!r} predicted {np.min(prediction):g}. Use a model with "
            f'a log link, such as HistGradientBoostingRegressor(loss="poisson").'
        )
    return prediction


def check_transformed(transformer: Any, transformed: Any, n_rows: int) -> None:
    """The gate transformer must return finite numbers of shape (n_rows, n_columns)."""
    shape: tuple[int, ...] = getattr(transformed, "shape", ())
    if len(shape) != 2 or shape[0] != n_rows:
        raise ValueError(
            f"The transformer of the gate must keep the {n_rows} rows that it is given, as a "
            f"table; {transformer!r} made shape {shape}. Choose one that transforms features."
        )
    values = transformed.data if sparse.issparse(transformed) else np.asarray(transformed)
    if not np.issubdtype(values.dtype, np.number) or not np.isfinite(values).all():
        raise ValueError(
            f"The transformer of the gate must make finite numbers; {transformer!r} made others. "
            "Impute or encode before it, in a pipeline."
        )
