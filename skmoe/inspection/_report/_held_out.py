"""Scores and calibration on rows that were held out."""

from __future__ import annotations

from collections.abc import Sequence
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

from skmoe._data.row_checks import check_weights
from skmoe._data.rows import Rows
from skmoe.inspection._calibration import CalibrationDisplay
from skmoe.inspection._checks import check_rows
from skmoe.inspection._report._pictures import (
    MAX_CLASSES_DRAWN,
    Picture,
    Table,
    as_source,
    drawing,
    number,
)
from skmoe.inspection._style import colour
from skmoe.inspection._targets import observed_target, one_target, predicted_mean

# Bins of the calibration of classes.
N_BINS = 10


class Score(NamedTuple):
    """A number with its name and what it means."""

    name: str
    value: str
    meaning: str


def check_held_out(estimator: Any, given: Rows) -> Rows | None:
    """Rows and targets that were held out; None if none are given."""
    if (given.X is None) != (given.y is None):
        missing = "X_held_out" if given.X is None else "y_held_out"
        raise ValueError(
            f"X_held_out and y_held_out must be given together; got no {missing}. "
            "Pass both, or neither."
        )
    if given.X is None:
        if given.weight is not None or given.offset is not None:
            raise ValueError(
                "sample_weight_held_out and offset_held_out belong to X_held_out and y_held_out; "
                "got neither of these. Pass both, or none of the four."
            )
        return None
    table = check_rows("y_held_out", estimator, given.X, given.y)
    if is_classifier(estimator):
        unknown = np.setdiff1d(np.asarray(given.y), estimator.classes_)
        if len(unknown):
            raise ValueError(
                f"y_held_out must hold classes seen in fit, {estimator.classes_.tolist()}; got "
                f"{unknown[0]!r}. Leave out rows of other classes."
            )
    if given.weight is None:
        return given
    weight = check_weights(given.weight, table.shape[0])
    return given._replace(X=table, weight=weight).of_positive_weight()


def describe_held_out(
    estimator: Any, rows: Rows | None, index: int, coverage: float
) -> dict[str, Any]:
    """Scores and calibration, if rows were held out."""
    if rows is None:
        return {"scores": [], "calibration": None, "n_held_out": 0}
    if is_classifier(estimator):
        scores = _class_scores(estimator, rows)
    else:
        scores = _regression_scores(estimator, rows, index)
        scores += _interval_scores(estimator, rows, index, coverage)
    labels = [str(label) for label in getattr(estimator, "classes_", ())]
    return {
        "scores": scores,
        "calibration": _calibration(estimator, rows, index, labels),
        "n_held_out": len(rows.y),
    }


def _number(value: float) -> str:
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}")


def _class_scores(estimator: Any, rows: Rows) -> list[Score]:
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


def _regression_scores(estimator: Any, rows: Rows, index: int) -> list[Score]:
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


def _interval_scores(estimator: Any, rows: Rows, index: int, coverage: float) -> list[Score]:
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


def _calibration(estimator: Any, rows: Rows, index: int, labels: Sequence[str]) -> Picture | None:
    """Calibration on held-out rows; None for experts without a distribution."""
    if is_classifier(estimator):
        return _calibration_of_classes(estimator, rows, labels)
    try:
        with drawing():
            options = {"offset": rows.offset, "target": index}
            display = CalibrationDisplay.from_estimator(estimator, rows.X, rows.y, **options)
            source = as_source(display.figure_)
    except (AttributeError, ValueError):
        return None
    coverage = zip(display.nominal, display.coverage, strict=True)
    table = Table(
        "Coverage of central intervals",
        ["Nominal", "Observed"],
        [[f"{100 * nominal:.0f} %", f"{100 * found:.1f} %"] for nominal, found in coverage],
    )
    alternative = "Histogram of probability integral transforms, and coverage of intervals."
    return Picture("Calibration", source, alternative, [table])


def _calibration_of_classes(estimator: Any, rows: Rows, labels: Sequence[str]) -> Picture:
    from sklearn.calibration import CalibrationDisplay as ClassCalibrationDisplay

    # Of two classes one has all information.
    drawn = [1] if len(labels) == 2 else list(range(len(labels)))[:MAX_CLASSES_DRAWN]
    tables = []
    with drawing() as plt:
        figure, ax = plt.subplots(figsize=(5.5, 4.5), layout="constrained")
        for index in drawn:
            observed = observed_target(estimator, rows.y, index)
            proba = predicted_mean(estimator, rows.X, index)
            display = ClassCalibrationDisplay.from_predictions(
                observed,
                proba,
                n_bins=N_BINS,
                strategy="quantile",
                name=labels[index],
                ax=ax,
                color=colour(index),
            )
            pairs = zip(display.prob_pred, display.prob_true, strict=True)
            cells = [[number(predicted), number(found)] for predicted, found in pairs]
            head = ["Predicted probability", "Observed share"]
            tables.append(Table(f"Calibration of {labels[index]}", head, cells))
        ax.set(xlabel="Predicted probability of the class", ylabel="Observed share of the class")
        source = as_source(figure)
    alternative = "Observed shares of the classes against their predicted probabilities."
    return Picture("Calibration", source, alternative, tables)
