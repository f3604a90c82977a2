"""Input validation for the displays and exporters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.utils.validation import check_array, check_is_fitted

from skmoe._data.checks import check_columns
from skmoe._estimators.methods.expert_names import check_expert_names
from skmoe._inference.labels import feature_labels, printable_name
from skmoe._inference.unit_responsibilities import UnitResponsibilities
from skmoe._numerics.typing import Array
from skmoe.inspection._grid import is_numeric, numeric_values


def check_mixture(estimator: Any) -> None:
    """The estimator must be a fitted mixture of experts."""
    if not hasattr(estimator, "predict_gate"):
        remedy = (
            "Pass a MixtureOfExpertsRegressor or MixtureOfExpertsClassifier, or a pipeline or "
            "search that ends in one."
        )
        if hasattr(estimator, "regressor_"):
            remedy = "Pass its regressor_, and y as its transformer_ transforms it."
        elif hasattr(estimator, "best_params_"):
            remedy = "Use refit=True, or pass a mixture that is fitted."
        raise TypeError(
            f"estimator must be a mixture of experts; got {type(estimator).__name__}. {remedy}"
        )
    check_is_fitted(estimator)


def check_n_experts_selected(estimator: Any) -> None:
    """The fit must have selected the number of experts."""
    if not hasattr(estimator, "n_experts_tried_"):
        raise ValueError(
            "NumberOfExpertsDisplay needs a mixture that chose its number of experts; got "
            f'n_experts={estimator.n_experts!r}. Fit with n_experts="auto".'
        )


def check_has_coefficients(estimator: Any, display: str) -> None:
    """The experts must have linear predictors."""
    if not hasattr(estimator, "expert_coef_"):
        raise ValueError(
            f"{display} needs experts with linear predictors; got expert={estimator.expert!r}. Use "
            "ImportanceDisplay, which takes experts of any kind."
        )


def check_names(estimator: Any, feature_names: Sequence[str] | None) -> list[str]:
    """Names of the features: those given, one for each feature, or those of the fit."""
    if isinstance(feature_names, str):
        raise ValueError(f"feature_names must be a list of names; got {feature_names!r}.")
    n_features = estimator.n_features_in_
    names = feature_labels(_names_or_none(estimator, feature_names), n_features)
    if len(names) != n_features:
        raise ValueError(
            f"feature_names must have one name for each of the {n_features} features seen in fit; "
            f"got {len(names)}. To pass rows to an export, use X=X."
        )
    return names


def _names_or_none(estimator: Any, feature_names: Any) -> Any:
    return getattr(estimator, "feature_names_in_", None) if feature_names is None else feature_names


def check_features(
    name: str, value: Any, estimator: Any, feature_names: Sequence[str] | None, max_features: int
) -> list[int]:
    """Indices of at most `max_features` features, given by name or index."""
    chosen = _check_columns(name, value, estimator, feature_names)
    if chosen is None or len(chosen) > max_features:
        number = {1: "one feature", 2: "one feature or two"}[max_features]
        raise ValueError(
            f"{name} must be {number}, by name or index; got {value!r}. "
            f"Draw {'each' if max_features == 1 else 'two'} at a time."
        )
    return [int(column) for column in chosen]


def check_panels(
    name: str, value: Any, estimator: Any, feature_names: Sequence[str] | None, max_features: int
) -> list[list[int]]:
    """Indices of the features of each panel: a list has one entry for each, others are one."""
    if not isinstance(value, list):
        return [check_features(name, value, estimator, feature_names, max_features)]
    if not value:
        raise ValueError(f"{name} must not be empty. Pass None for the strongest feature.")
    return [check_features(name, each, estimator, feature_names, max_features) for each in value]


def check_any_features(
    name: str, value: Any, estimator: Any, feature_names: Sequence[str] | None
) -> list[int]:
    """Indices of features, given by names, indices or a mask; all for None."""
    chosen = _check_columns(name, value, estimator, feature_names)
    return list(range(estimator.n_features_in_)) if chosen is None else [int(j) for j in chosen]


def _check_columns(name: str, value: Any, estimator: Any, feature_names: Any) -> Array | None:
    known_names = _names_or_none(estimator, feature_names)
    labels = None if known_names is None else np.asarray(known_names, dtype=object)
    columns = None if value is None else np.atleast_1d(np.asarray(value, dtype=object))
    if columns is None or not all(isinstance(entry, str) for entry in columns.ravel()):
        labels = None
    return check_columns(name, value, estimator.n_features_in_, labels)


def check_level(level: Any) -> float | None:
    """Confidence of intervals, in (0, 1); None for no intervals."""
    is_number = isinstance(level, (int, float, np.number)) and not isinstance(level, bool)
    if level is None or (is_number and 0.0 < level < 1.0):
        return None if level is None else float(level)
    raise ValueError(
        f"level must be in (0, 1), or None for no intervals; got {level!r}. For 95 % use 0.95."
    )


def check_names_of_experts(estimator: Any, names: Any) -> list[str]:
    """Names of the experts: those given, one for each, or those of the model."""
    if names is None:
        names = estimator.expert_names_
    return printable_names(check_expert_names("expert_names", names, estimator.n_experts_))


def printable_names(names: Sequence[str]) -> list[str]:
    """Names as they can be printed in a line."""
    return [printable_name(name) for name in names]


def check_table(estimator: Any, X: Any) -> Any:
    """Rows for the estimator: a data frame as it is, a CSC array, or an array of numbers."""
    if not hasattr(X, "columns"):
        X = check_array(X, accept_sparse="csr", dtype=np.float64, ensure_all_finite=False)
    estimator.predict_gate(_first_row(X))  # raises for a wrong number of columns or wrong names
    return sparse.csc_array(X) if sparse.issparse(X) else X


def check_rows(name: str, estimator: Any, X: Any, y: Any) -> Any:
    """Rows that the estimator takes, with a target for each."""
    table = check_table(estimator, X)
    n_targets = len(np.asarray(y)) if np.ndim(y) else 0
    if n_targets != table.shape[0]:
        raise ValueError(
            f"{name} must have a value for each of the {table.shape[0]} rows; got {n_targets}. "
            "Pass the target of these rows."
        )
    return table


def _first_row(X: Any) -> Any:
    return X.iloc[:1] if hasattr(X, "iloc") else X[:1]


def check_drawable(X: Any, j: int, name: str) -> Array:
    """Values (n,) of a numeric feature that varies, with NaN for missing ones."""
    if not is_numeric(X, j):
        raise ValueError(
            f"Features must hold numbers to be drawn; {name!r} holds categories. "
            "Choose another feature."
        )
    values = numeric_values(X, j)
    finite = values[np.isfinite(values)]
    if len(finite) == 0 or finite.min() == finite.max():
        raise ValueError(
            f"Features must vary in X to be drawn; {name!r} does not. "
            "Choose another feature or pass more rows."
        )
    return values


def check_target(estimator: Any, target: Any, X: Any) -> int:
    """Index of a class, given by its label, or of an output."""
    if is_classifier(estimator):
        return _check_class(estimator.classes_.tolist(), target)
    n_outputs = estimator.predict(_first_row(X)).size
    if target is None and n_outputs == 1:
        return 0
    is_integer = isinstance(target, (int, np.integer)) and not isinstance(target, bool)
    if not is_integer or not 0 <= target < n_outputs:
        raise ValueError(
            f"target must be the index of an output, from 0 to {n_outputs - 1}; got {target!r}. "
            "Pass the output to draw, such as target=0."
        )
    return int(target)


def _check_class(classes: list[Any], target: Any) -> int:
    if target is None and len(classes) == 2:
        return 1
    if target not in classes:
        raise ValueError(
            f"target must be one of the classes seen in fit, {classes}; got {target!r}. Pass the "
            f"class to draw, such as target={classes[0]!r}."
        )
    return classes.index(target)


def check_pit(pit: Any) -> Array:
    """Probability integral transforms, (n,): numbers from zero to one."""
    values = np.asarray(pit, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(
            f"pit must be one-dimensional, with a number for each row; got shape {values.shape}. "
            "Draw one output at a time."
        )
    outside = ~((values >= 0.0) & (values <= 1.0))
    if outside.any():
        raise ValueError(
            "pit must lie between 0 and 1: it holds predictive distribution functions at the "
            f"observed y; got {values[outside][0]:g}."
        )
    return values


def check_pit_left(pit_left: Any, pit: Array) -> Array:
    """Limits from the left of probability integral transforms, (n,): from zero to these."""
    values = np.asarray(pit_left, dtype=np.float64)
    if values.shape != pit.shape:
        raise ValueError(f"pit_left must have the shape of pit, {pit.shape}; got {values.shape}.")
    outside = ~((values >= 0.0) & (values <= pit))
    if outside.any():
        raise ValueError(
            "pit_left must lie between 0 and pit: it holds probabilities of values below the "
            f"observed y; got {values[outside][0]:g} for {pit[outside][0]:g}."
        )
    return values


def check_unit_responsibilities(responsibilities: Any) -> tuple[Array, bool]:
    """Responsibilities (n, K) of rows or of a table of units, and whether they are of units."""
    of_units = isinstance(responsibilities, UnitResponsibilities)
    values = responsibilities.proba if of_units else responsibilities
    return check_responsibilities(values), of_units


def check_responsibilities(responsibilities: Any) -> Array:
    """Responsibilities (n, K) whose rows sum to one."""
    resp = np.asarray(responsibilities, dtype=np.float64)
    if resp.ndim != 2 or resp.size == 0:
        raise ValueError(
            "responsibilities must have shape (n_samples, n_experts), with at least one row; got "
            f"{resp.shape}."
        )
    invalid = ~(np.isclose(resp.sum(axis=1), 1.0, atol=1e-6) & (resp >= 0.0).all(axis=1))
    if invalid.any():
        row = int(np.argmax(invalid))
        raise ValueError(
            f"responsibilities must be non-negative, with rows that sum to 1; row {row} is "
            f"{resp[row].tolist()}. Pass those of estimator.responsibilities(X, y)."
        )
    return resp


def check_counts(y: Any, n_rows: int | None = None, output: int = 0) -> Array:
    """Observed counts (n,) of an output."""
    values = np.asarray(y, dtype=np.float64)
    values = values[:, output] if values.ndim == 2 and output < values.shape[1] else values
    if values.ndim != 1 or len(values) == 0 or (n_rows or len(values)) != len(values):
        wanted = "row" if n_rows is None else f"of the {n_rows} rows of X"
        raise ValueError(
            f"y must have a count for each {wanted}; got shape {np.shape(y)}. Pass the target of "
            "these rows."
        )
    invalid = ~((values >= 0.0) & (values == np.floor(values)) & np.isfinite(values))
    if invalid.any():
        row = int(np.argmax(invalid))
        raise ValueError(
            f"y must hold counts, which are non-negative integers; row {row} holds "
            f"{values[row]:g}. Use CalibrationDisplay for other distributions."
        )
    return values


def check_frequencies(expected: Any) -> Array:
    """Expected numbers of rows with counts 0, 1, 2 and so on."""
    values = np.asarray(expected, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0 or not (values >= 0.0).all():
        raise ValueError(
            "expected must be one-dimensional and hold non-negative numbers of rows; got "
            f"{expected!r}. Pass sums over the rows of the probabilities of 0, 1, 2 and so on."
        )
    return values
