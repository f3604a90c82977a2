"""Observed and predicted values of one output of a regressor, or of one class of a classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import is_classifier

from skmoe._numerics.typing import Array
from skmoe.inspection._grid import at_reference_values


def one_target(values: Any, index: int, axis: int) -> Array:
    """Values of one output or class, from an array with an axis for them if there are several."""
    values = np.asarray(values)
    return np.take(values, index, axis=axis) if values.ndim > axis else values


def observed_target(estimator: Any, y: Any, index: int) -> Array:
    """Observed values (n,); of a class 1 for its rows and 0 for the others."""
    if is_classifier(estimator):
        return (np.asarray(y).ravel() == estimator.classes_[index]).astype(float)
    return one_target(np.asarray(y, dtype=np.float64), index, 1)


def exposure_of_rows(offset: Any, index: int) -> Any:
    """Exposure of each row, (n,), whose log is the offset; 1.0 without offset."""
    return 1.0 if offset is None else np.exp(one_target(np.asarray(offset), index, 1))


def predicted_mean(estimator: Any, rows: Any, index: int, **given: Any) -> Array:
    """Prediction (n,) of the mixture: its mean, or its probability of the class."""
    if is_classifier(estimator):
        return estimator.predict_proba(rows)[:, index]
    return one_target(estimator.predict(rows, **given), index, 1)


def interval_band(
    estimator: Any, rows: Any, index: int, coverage: float | None, offset: Array | None = None
) -> Array | None:
    """Predictive intervals (n, 2) of a regressor; None without coverage or for classes.

    `offset` is that of all rows.
    """
    if coverage is None or is_classifier(estimator):
        return None
    try:
        given = None if offset is None else np.repeat(offset[None], rows.shape[0], axis=0)
        interval = estimator.predict_interval(rows, coverage, given)
    except ValueError as error:
        raise ValueError(f"{error} Or draw no band, with coverage=None.") from error
    return one_target(interval, index, 2)


def slice_adjustment(
    estimator: Any, table: Any, j: int, index: int, assigned_expert: Array
) -> Array:
    """Change (n,) of the prediction of each row's expert with the other features at references."""
    reference, own = (
        one_target(estimator.predict_experts(rows), index, 2)
        for rows in (at_reference_values(table, j), table)
    )
    row = np.arange(len(assigned_expert))
    return reference[row, assigned_expert] - own[row, assigned_expert]


def target_name(estimator: Any, y: Any, index: int) -> str:
    """Label of the vertical axis: the name of y if it has one."""
    if is_classifier(estimator):
        return f"Probability of class {estimator.classes_[index]}"
    if hasattr(y, "columns"):
        name = str(y.columns[index])
    elif isinstance(getattr(y, "name", None), str) and y.name:
        name = y.name
    else:
        name = f"y{index}" if np.ndim(y) == 2 and np.shape(y)[1] > 1 else "y"
    return name
