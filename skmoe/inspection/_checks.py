"""Checks of what pictures and descriptions are asked for; they raise, the others draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.utils.validation import check_array, check_is_fitted

from skmoe._data.checks import check_columns
from skmoe._inference.labels import feature_labels
from skmoe._numerics.typing import Array
from skmoe.inspection._grid import is_number, numbers


def check_mixture(estimator: Any) -> None:
    """A fitted mixture of experts."""
    if not hasattr(estimator, "predict_gate"):
        remedy = "Pass a MixtureOfExpertsRegressor or MixtureOfExpertsClassifier."
        if hasattr(estimator, "steps"):
            remedy = (
                "Pass the mixture at its end, pipeline[-1], and rows as it sees them, "
                "pipeline[:-1].transform(X)."
            )
        elif hasattr(estimator, "best_estimator_"):
            remedy = "Pass its best_estimator_."
        raise TypeError(
            f"estimator must be a mixture of experts; got {type(estimator).__name__}. {remedy}"
        )
    check_is_fitted(estimator)


def check_chosen(estimator: Any) -> None:
    """The number of experts was chosen by the fit."""
    if not hasattr(estimator, "n_experts_tried_"):
        raise ValueError(
            "NumberOfExpertsDisplay needs a mixture that chose its number of experts; got "
            f'n_experts={estimator.n_experts!r}. Fit with n_experts="auto".'
        )


def check_names(estimator: Any, feature_names: Sequence[str] | None) -> list[str]:
    """One name for each feature."""
    if isinstance(feature_names, str):
        raise ValueError(f"feature_names must be a list of names; got {feature_names!r}.")
    names = feature_labels(estimator, feature_names)
    if len(names) != estimator.n_features_in_:
        raise ValueError(
            f"feature_names must have one name for each of the {estimator.n_features_in_} "
            f"features seen in fit; got {len(names)}."
        )
    return names


def check_features(
    name: str, value: Any, estimator: Any, feature_names: Sequence[str] | None, most: int
) -> list[int]:
    """Indices of at most `most` features, by name or index."""
    known = feature_names
    if known is None:
        known = getattr(estimator, "feature_names_in_", None)
    labels = None if known is None else np.asarray(known, dtype=object)
    columns = None if value is None else np.atleast_1d(np.asarray(value, dtype=object))
    if columns is not None and all(isinstance(entry, str) for entry in columns.ravel()):
        chosen = check_columns(name, value, estimator.n_features_in_, labels)
    else:
        chosen = check_columns(name, value, estimator.n_features_in_, None)
    number = {1: "one feature", 2: "one feature or two"}[most]
    if chosen is None or len(chosen) > most:
        raise ValueError(
            f"{name} must be {number}, by name or index; got {value!r}. "
            f"Draw {'each' if most == 1 else 'two'} at a time."
        )
    return [int(column) for column in chosen]


def check_table(estimator: Any, X: Any) -> Any:
    """Rows that the estimator takes: a frame as it is, a CSC array, or an array of numbers."""
    if not hasattr(X, "columns"):
        X = check_array(X, accept_sparse="csr", dtype=np.float64, ensure_all_finite=False)
    estimator.predict_gate(_first_row(X))  # refuses wrong widths and names in scikit-learn's words
    return sparse.csc_array(X) if sparse.issparse(X) else X


def _first_row(X: Any) -> Any:
    return X.iloc[:1] if hasattr(X, "iloc") else X[:1]


def check_drawable(X: Any, j: int, name: str) -> Array:
    """The numbers of a feature that an axis can show, with NaN for holes."""
    if not is_number(X, j):
        raise ValueError(
            f"Features must hold numbers to be drawn; {name!r} holds categories. "
            "Choose another feature."
        )
    values = numbers(X, j)
    kept = values[np.isfinite(values)]
    if len(kept) == 0 or kept.min() == kept.max():
        raise ValueError(
            f"Features must vary in X to be drawn; {name!r} does not. "
            "Choose another feature or pass more rows."
        )
    return values


def check_target(estimator: Any, target: Any, X: Any) -> int:
    """Index of the class, or of the output, that a picture is of."""
    if is_classifier(estimator):
        return _check_class(estimator.classes_.tolist(), target)
    n_outputs = estimator.predict(_first_row(X)).size
    if target is None and n_outputs == 1:
        return 0
    whole = isinstance(target, int | np.integer) and not isinstance(target, bool)
    if not whole or not 0 <= target < n_outputs:
        raise ValueError(
            f"target must be the index of an output, from 0 to {n_outputs - 1}; got {target!r}. "
            "Draw one output at a time."
        )
    return int(target)


def _check_class(classes: list[Any], target: Any) -> int:
    if target is None and len(classes) == 2:
        return 1
    if target not in classes:
        raise ValueError(
            f"target must be one of the classes seen in fit, {classes}; got {target!r}. "
            "Draw one class at a time."
        )
    return classes.index(target)


def check_pit(pit: Any) -> Array:
    """Probability integral transforms (n,): numbers from zero to one."""
    values = np.asarray(pit, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(
            f"pit must be one-dimensional, with a number for each row; got shape {values.shape}. "
            "Draw one output at a time."
        )
    if not ((values >= 0.0) & (values <= 1.0)).all():
        raise ValueError(
            "pit must lie between 0 and 1: it holds predictive distribution functions at the "
            f"observed y; got {values[~((values >= 0.0) & (values <= 1.0))][0]:g}."
        )
    return values


def check_responsibilities(responsibilities: Any) -> Array:
    """Responsibilities (n, K) whose rows sum to one."""
    resp = np.asarray(responsibilities, dtype=np.float64)
    if resp.ndim != 2 or resp.size == 0:
        raise ValueError(
            "responsibilities must have shape (n_samples, n_experts), with at least one row; got "
            f"{resp.shape}."
        )
    wrong = ~(np.isclose(resp.sum(axis=1), 1.0, atol=1e-6) & (resp >= 0.0).all(axis=1))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"responsibilities must be non-negative, with rows that sum to 1; row {row} is "
            f"{resp[row].tolist()}. Pass those of estimator.responsibilities(X, y)."
        )
    return resp
