"""Scores and calibration on rows that were held out."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.metrics import (
    accuracy_score,
    log_loss,
    mean_absolute_error,
    r2_score,
    root_mean_squared_error,
)

from skmoe._data.censored_targets import has_bounds
from skmoe._data.encoding import encode, make_encoder
from skmoe._data.row_checks import check_weights
from skmoe._data.rows import Rows
from skmoe._estimators.classifier import MixtureOfExpertsClassifier
from skmoe._estimators.regressor import MixtureOfExpertsRegressor
from skmoe._inference.labels import N_DIGITS
from skmoe.inspection._calibration import CalibrationDisplay
from skmoe.inspection._checks import check_rows
from skmoe.inspection._report._details import Picture, Table, as_source, drawing, number
from skmoe.inspection._style import NO_NUMBER, colour
from skmoe.inspection._targets import observed_target, one_target, predicted_mean, row_weights
from skmoe.metrics import make_survival_scorers

# Bins of the calibration of classes.
N_BINS = 10


# Names of scores, of which one has a coverage in per cent.
LOG_DENSITY = "Mean log density"
COVERAGE = "Coverage of {:g} % intervals"

# What the scores mean.
MEANINGS = {
    "Accuracy": "share of the rows whose most probable class is theirs",
    "Log loss": "mean of minus the log probability; smaller is better",
    "Brier score": "squared distance of probabilities from classes; smaller is better",
    "R\N{SUPERSCRIPT TWO}": "share of the variance that the prediction explains",
    "RMSE": "root mean squared error, in the units of y",
    "MAE": "mean absolute error, in the units of y",
    "Concordance": "share of pairs of rows in the right order; 0.5 is that of a constant",
    "Integrated Brier score": "squared error of probabilities of no event; smaller is better",
    "Censored CRPS": "squared error over the time of observation, in the units of time",
    LOG_DENSITY: "of y under the predictive distribution; greater is better",
    "CRPS": "continuous ranked probability score, in the units of y; smaller is better",
    COVERAGE: "share of the rows inside their interval",
    "Mean width of the intervals": "in the units of y",
}

# Models that the mixture is compared with.
LINEAR, CONSTANT = "one linear model", "without features"


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
    given = given._replace(X=table)
    if given.weight is None:
        return given
    weight = check_weights(given.weight, table.shape[0])
    return given._replace(weight=weight).of_positive_weight()


def describe_held_out(
    estimator: Any, rows: Rows, held_out: Rows | None, index: int, coverage: float
) -> dict[str, Any]:
    """Scores of the mixture and of simple models, and calibration, if rows were held out.

    The simple models are fitted to the rows of the report.
    """
    if held_out is None:
        return {"scores": None, "calibration": None, "n_held_out": 0}
    models = [("this model", estimator, held_out), *_simple_models(estimator, rows, held_out)]
    is_censored = has_bounds(held_out.y)
    columns = [
        _class_scores(model, given)
        if is_classifier(estimator)
        else _survival_scores(model, given)
        if is_censored
        else _regression_scores(model, given, index, coverage)
        for _, model, given in models
    ]
    # Densities of a list of families are of other measures, apart from those of times.
    is_list = isinstance(getattr(estimator, "family", None), list)
    unknown = [LOG_DENSITY] if is_list and not is_censored else []
    for column in columns[1:]:
        column |= dict.fromkeys(unknown, NO_NUMBER)
    rows_of_table = [
        (name.format(100 * coverage), [column[name] for column in columns], meaning)
        for name, meaning in MEANINGS.items()
        if all(name in column for column in columns)
    ]
    return {
        "scores": {"models": [name for name, *_ in models], "rows": rows_of_table},
        "calibration": _calibration(estimator, held_out, index),
        "n_held_out": len(held_out.y),
    }


def _simple_models(estimator: Any, rows: Rows, held_out: Rows) -> list[tuple[str, Any, Rows]]:
    """One linear model, and one without features, with the rows that each of them takes.

    Categories are indicators for the linear one. A model that cannot be fitted is left out.
    """
    family = getattr(estimator, "family", None)
    if isinstance(family, list):
        events = [each for each in family if getattr(each, "name", each) != "never"]
        family = events[0] if has_bounds(rows.y) else None
    options = {} if family is None else {"family": family}
    make = MixtureOfExpertsClassifier if is_classifier(estimator) else MixtureOfExpertsRegressor
    is_linear = estimator.n_experts_ == 1 and hasattr(estimator, "expert_coef_")
    encoder = None if sparse.issparse(rows.X) else make_encoder(rows.X, row_weights(rows), False)
    found = []
    for name in (CONSTANT,) if is_linear else (LINEAR, CONSTANT):
        given, new = rows, held_out
        if name == CONSTANT:
            given, new = (each._replace(X=np.zeros((each.n_rows, 1))) for each in (rows, held_out))
        elif encoder is not None:
            given, new = (each._replace(X=encode(encoder, each.X)) for each in (rows, held_out))
        model = make(1, random_state=0, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                model.fit(given.X, given.y, given.weight, offset=given.offset)
            except (TypeError, ValueError):
                continue
        found.append((name, model, new))
    return found


def _score(value: float) -> str:
    return number(value, N_DIGITS + 1)


def _class_scores(estimator: Any, rows: Rows) -> dict[str, str]:
    proba = estimator.predict_proba(rows.X)
    weight, labels = rows.weight, estimator.classes_
    y, predicted = np.asarray(rows.y), labels[proba.argmax(axis=1)]
    brier = np.square(proba - (y[:, None] == labels)).sum(axis=1)
    return {
        "Accuracy": _score(accuracy_score(y, predicted, sample_weight=weight)),
        "Log loss": _score(log_loss(y, proba, sample_weight=weight, labels=labels)),
        "Brier score": _score(np.average(brier, weights=weight)),
    }


def _survival_scores(estimator: Any, rows: Rows) -> dict[str, str]:
    """Scores of times of events."""
    given = rows.X, rows.y, rows.weight, rows.offset
    found = {name: scorer(estimator, *given) for name, scorer in make_survival_scorers().items()}
    return {
        "Concordance": _score(found["concordance"]),
        "Integrated Brier score": _score(-found["neg_integrated_brier"]),
        "Censored CRPS": _score(-found["neg_censored_crps"]),
        LOG_DENSITY: _score(found["log_density"]),
    }


def _regression_scores(estimator: Any, rows: Rows, index: int, coverage: float) -> dict[str, str]:
    """Scores of the mean, and of the distribution if there is one."""
    given = {} if rows.offset is None else {"offset": rows.offset}
    y, weight = observed_target(estimator, rows.y, index), rows.weight
    predicted = one_target(estimator.predict(rows.X, **given), index, 1)
    scores = {
        "R\N{SUPERSCRIPT TWO}": _score(r2_score(y, predicted, sample_weight=weight)),
        "RMSE": _score(root_mean_squared_error(y, predicted, sample_weight=weight)),
        "MAE": _score(mean_absolute_error(y, predicted, sample_weight=weight)),
    }
    try:
        distribution = estimator.predict_dist(rows.X, rows.offset)
    except (AttributeError, ValueError):
        return scores
    observed = np.asarray(rows.y, dtype=float)
    log_density = one_target(distribution.logpdf(observed), index, 1)
    crps = one_target(distribution.crps(observed), index, 1)
    low, high = one_target(distribution.interval(coverage), index, 2).T
    inside = np.average((low <= y) & (y <= high), weights=weight)
    return scores | {
        LOG_DENSITY: _score(np.average(log_density, weights=weight)),
        "CRPS": _score(np.average(crps, weights=weight)),
        COVERAGE: f"{100 * inside:.1f} %",
        "Mean width of the intervals": _score(np.average(high - low, weights=weight)),
    }


def _calibration(estimator: Any, rows: Rows, index: int) -> Picture | None:
    """Calibration on held-out rows; None for experts without a distribution."""
    if is_classifier(estimator):
        return _calibration_of_classes(estimator, rows)
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


def _calibration_of_classes(estimator: Any, rows: Rows) -> Picture:
    from sklearn.calibration import CalibrationDisplay as ClassCalibrationDisplay

    # Of two classes one has all information.
    classes = estimator.classes_
    drawn = [1] if len(classes) == 2 else range(len(classes))
    tables = []
    with drawing() as plt:
        figure, ax = plt.subplots(figsize=(5.5, 4.5), layout="constrained")
        for index in drawn:
            observed = observed_target(estimator, rows.y, index)
            proba = predicted_mean(estimator, rows.X, index)
            name = str(classes[index])
            style = {"name": name, "color": colour(index), "ax": ax}
            bins = {"n_bins": N_BINS, "strategy": "quantile"}
            display = ClassCalibrationDisplay.from_predictions(observed, proba, **bins, **style)
            pairs = zip(display.prob_pred, display.prob_true, strict=True)
            cells = [[number(predicted), number(found)] for predicted, found in pairs]
            head = ["Predicted probability", "Observed share"]
            tables.append(Table(f"Calibration of {name}", head, cells))
        ax.set(xlabel="Predicted probability of the class", ylabel="Observed share of the class")
        source = as_source(figure)
    alternative = "Observed shares of the classes against their predicted probabilities."
    return Picture("Calibration", source, alternative, tables)
