"""Scores and calibration on rows that were held out."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier
from sklearn.metrics import (
    accuracy_score,
    log_loss,
    mean_absolute_error,
    r2_score,
    root_mean_squared_error,
)

from skmoe._numerics.typing import Array
from skmoe.inspection._targets import observed_target, one_target, predicted_mean


class HeldOutRows(NamedTuple):
    """Rows that were not used in the fit."""

    X: Any
    y: Any
    weight: Any
    offset: Any


class Score(NamedTuple):
    """A number with its name and what it means."""

    name: str
    value: str
    meaning: str


def held_out_scores(estimator: Any, rows: HeldOutRows, index: int, coverage: float) -> list[Score]:
    """Scores of predictions and of predictive distributions."""
    if is_classifier(estimator):
        return _class_scores(estimator, rows)
    return _regression_scores(estimator, rows, index) + _interval_scores(
        estimator, rows, index, coverage
    )


def _number(value: float) -> str:
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}")


def _class_scores(estimator: Any, rows: HeldOutRows) -> list[Score]:
    proba = estimator.predict_proba(rows.X)
    weight, labels = rows.weight, estimator.classes_
    y, predicted = np.asarray(rows.y), labels[proba.argmax(axis=1)]
    loss = log_loss(y, proba, sample_weight=weight, labels=labels)
    brier = np.square(proba - (y[:, None] == labels)).sum(axis=1)
    return [
        Score("Accuracy", _number(accuracy_score(y, predicted, sample_weight=weight)),
              "share of the rows whose most probable class is theirs"),
        Score("Log loss", _number(loss), "mean of minus the log probability; smaller is better"),
        Score("Brier score", _number(np.average(brier, weights=weight)),
              "squared distance of probabilities from classes; smaller is better"),
    ]  # fmt: skip


def _regression_scores(estimator: Any, rows: HeldOutRows, index: int) -> list[Score]:
    given = {} if rows.offset is None else {"offset": rows.offset}
    y = observed_target(estimator, rows.y, index)
    predicted = one_target(estimator.predict(rows.X, **given), index, 1)
    weight = rows.weight
    return [
        Score("R\N{SUPERSCRIPT TWO}", _number(r2_score(y, predicted, sample_weight=weight)),
              "share of the variance that the prediction explains"),
        Score("RMSE", _number(root_mean_squared_error(y, predicted, sample_weight=weight)),
              "root mean squared error, in the units of y"),
        Score("MAE", _number(mean_absolute_error(y, predicted, sample_weight=weight)),
              "mean absolute error, in the units of y"),
    ]  # fmt: skip


def _interval_scores(estimator: Any, rows: HeldOutRows, index: int, coverage: float) -> list[Score]:
    """Scores of distributions; none for experts without one."""
    try:
        distribution = estimator.predict_dist(rows.X, rows.offset)
    except (AttributeError, ValueError):
        return []
    y, weight = observed_target(estimator, rows.y, index), rows.weight
    given = np.asarray(rows.y, dtype=float)
    log_density = one_target(distribution.logpdf(given), index, 1)
    crps = one_target(distribution.crps(given), index, 1)
    low, high = one_target(distribution.interval(coverage), index, 2).T
    inside = np.average((low <= y) & (y <= high), weights=weight)
    return [
        Score("Mean log density", _number(np.average(log_density, weights=weight)),
              "of y under the predictive distribution; greater is better"),
        Score("CRPS", _number(np.average(crps, weights=weight)),
              "continuous ranked probability score, in the units of y; smaller is better"),
        Score(f"Coverage of {100 * coverage:g} % intervals", f"{100 * inside:.1f} %",
              "share of the rows inside their interval"),
        Score("Mean width of the intervals", _number(np.average(high - low, weights=weight)),
              "in the units of y"),
    ]  # fmt: skip


def probabilities_of_class(estimator: Any, rows: HeldOutRows, index: int) -> tuple[Array, Array]:
    """Whether rows are of a class, and its probability, both (n,)."""
    return observed_target(estimator, rows.y, index), predicted_mean(estimator, rows.X, index)
