"""Texts of a page: cards of the experts, warnings and texts of the fit, pictures and scores."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn import metrics
from sklearn.base import is_classifier
from sklearn.calibration import CalibrationDisplay as ClassCalibrationDisplay

from skmoe._data.censored_targets import point_values, times_and_events
from skmoe._data.checks import has_bounds
from skmoe._data.encoding import encode, make_encoder
from skmoe._data.rows import Rows
from skmoe._estimators.classifier import MixtureOfExpertsClassifier
from skmoe._estimators.regressor import MixtureOfExpertsRegressor
from skmoe._inference.labels import (
    COLLAPSED,
    N_DIGITS,
    SPURIOUS,
    counted_noun,
    format_number,
    format_percent,
)
from skmoe._numerics.event_times import EventTable
from skmoe._numerics.probability import weighted_quantiles
from skmoe._numerics.typing import Array
from skmoe._optional import import_pyplot
from skmoe.inspection._calibration import CalibrationDisplay, SurvivalDisplay
from skmoe.inspection._course import CourseDisplay
from skmoe.inspection._grid import numeric_values
from skmoe.inspection._report._inputs import Feature, Inputs, Report
from skmoe.inspection._report._series import describe_series, is_known
from skmoe.inspection._search import NumberOfExpertsDisplay
from skmoe.inspection._segment_profile import SegmentProfileDisplay, profile_columns
from skmoe.inspection._series import has_series, known_past
from skmoe.inspection._style import NO_NUMBER, colour
from skmoe.inspection._subject import (
    observed_rates,
    observed_target,
    one_target,
    predicted_mean,
    row_weights,
)
from skmoe.inspection._text import export_text
from skmoe.metrics import make_survival_scorers

# Lines of each list of a card, and classes in a line.
MAX_LINES, MAX_NAMED = 4, 3

# Differences of means, in standard deviations, and relative effects that are not worth a line.
NEGLIGIBLE_DIFFERENCE, NEGLIGIBLE_EFFECT = 0.1, 0.01

# Quantiles of y between which most rows of an expert are.
RANGE = (0.1, 0.9)

# Names of users are text, and equal fits give equal pictures.
STYLE = {"text.parse_math": False, "svg.hashsalt": "skmoe", "figure.max_open_warning": 0}

# How notes of a summary begin that are warnings.
ALARMING = ("Other rows than those of the fit", COLLAPSED, SPURIOUS)

# Bins of the calibration of classes.
BINS: dict[str, Any] = {"n_bins": 10, "strategy": "quantile"}

# Scores of means and of times, of which the second are those of `make_survival_scorers`, and names
# of others, of which one is a coverage in per cent.
R2, LOG_DENSITY = "R\N{SUPERSCRIPT TWO}", "Mean log density"
COVERAGE = "Coverage of {:g} % intervals"
OF_MEANS = {
    R2: metrics.r2_score,
    "RMSE": metrics.root_mean_squared_error,
    "MAE": metrics.mean_absolute_error,
}
OF_TIMES = {
    "Concordance": "concordance",
    "Integrated Brier score": "neg_integrated_brier",
    "Censored CRPS": "neg_censored_crps",
    LOG_DENSITY: "log_density",
}

# What the scores mean.
MEANINGS = {
    "Accuracy": "share of the rows whose most probable class is theirs",
    "Log loss": "mean of minus the log probability; smaller is better",
    "Brier score": "squared distance of probabilities from classes; smaller is better",
    R2: "share of the variance that the prediction explains",
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


def number(value: float, digits: int = N_DIGITS) -> str:
    """A number in significant digits; a dash if there is none."""
    text = format_number(value, digits) if np.isfinite(value) else NO_NUMBER
    return text.replace("-", "\N{MINUS SIGN}")


# --- cards ------------------------------------------------------------------------------------


# A text for a card, after how much it matters.
Line = tuple[float, str]


def make_cards(
    report: Report, inputs: Inputs, shown: Sequence[Feature], resp: Array, shares: Array
) -> list[dict[str, Any]]:
    """A card for each expert. The rows are those of the user, with responsibilities (n, K)."""
    counted = counted_noun(hasattr(report.mixture, "n_units_"))
    weight = row_weights(report.rows)[:, None] * resp
    members = _members(report.rows, inputs.labels, resp)
    effects = [_effects(report, inputs, feature) for feature in shown]
    return [
        {
            "name": name,
            "colour": colour(k),
            "share": f"{format_percent(shares[k])} of the {counted}s",
            "target": _target_lines(report, weight[:, k]),
            "members": _largest(members[k], NEGLIGIBLE_DIFFERENCE),
            "effects": _largest([lines[k] for lines in effects], NEGLIGIBLE_EFFECT),
        }
        for k, name in enumerate(report.mixture.expert_names_)
    ]


def _largest(lines: Sequence[Line], least: float) -> list[str]:
    kept = sorted((line for line in lines if line[0] >= least), key=lambda line: -line[0])
    return [text for _, text in kept[:MAX_LINES]]


def plain(value: Any) -> str:
    """A category, or a value of a column: whole numbers as they are."""
    if isinstance(value, str):
        return value
    return f"{value:.0f}" if float(value).is_integer() else number(value)


def _target_lines(report: Report, weight: Array) -> list[str]:
    """Mean and range of y, per unit of exposure if there are offsets; or the frequent classes."""
    estimator, rows = report.mixture, report.rows
    if is_classifier(estimator):
        labels = np.asarray(rows.y).ravel()
        shares = [weight @ (labels == label) / weight.sum() for label in estimator.classes_]
        order = np.argsort(-np.array(shares), kind="stable")[:MAX_NAMED]
        return [f"{estimator.classes_[c]}: {format_percent(shares[c])}" for c in order]
    if report.horizon is not None:
        table = EventTable.of(*times_and_events("the report", rows.y), weight)
        median = float(np.append(table.times, np.inf)[np.sum(table.survival > 0.5)])
        text = number(median) if np.isfinite(median) else "not reached"
        return [
            f"Median of {report.target} (Kaplan-Meier): {text}",
            f"Rows with an event: {format_percent(table.events.sum() / weight.sum())}",
        ]
    values, exposure = observed_rates(estimator, rows, report.outputs[0])
    weight = weight * exposure
    low, high = weighted_quantiles(values, weight, np.array(RANGE))
    lowest, highest = (f"{100 * level:g}" for level in RANGE)
    return [
        f"Mean of {report.target}: {number(weight @ values / weight.sum())}",
        f"Range ({lowest} to {highest} % of the rows): {plain(low)} to {plain(high)}",
    ]


def _members(rows: Rows, labels: Sequence[str], resp: Array) -> list[list[Line]]:
    """How the rows of each expert differ from all rows, by feature or category."""
    lines: list[list[Line]] = [[] for _ in range(resp.shape[1])]
    for j, label in enumerate(labels):
        columns = profile_columns(rows, resp, [j], absent=np.nan)
        for column in columns[-1:] if len(columns) == 2 else columns:  # of two categories one
            text = format_percent if column.is_share else number
            category = f" is {column.category}" if column.category else ""
            name = f"{label}{category}" if column.is_share else f"mean of {label}"
            means = column.mean + column.difference * column.deviation
            for k in np.flatnonzero(np.isfinite(means)).tolist():
                found = f"{name}: {text(means[k])} (all rows: {text(column.mean)})"
                lines[k].append((abs(column.difference[k]), found))
    return lines


def _effects(report: Report, inputs: Inputs, feature: Feature) -> list[Line]:
    """The effect of a feature on the prediction of each expert, from the starting row.

    It is that of one standard deviation more, or between the choices of the smallest and the
    largest prediction. Of classes the one counts whose probability changes most.
    """
    estimator, codes, step = report.mixture, feature.codes, ""
    if feature.choices is None:
        deviation = float(np.nanstd(numeric_values(report.rows.X, feature.column)))
        codes = inputs.start[feature.column] + np.array([0.0, deviation])
        step = f"per SD ({number(deviation)})"
    predicted = estimator.predict_experts(inputs.rows(inputs.along(feature, codes)))
    predicted = predicted.reshape(len(codes), estimator.n_experts_, -1)[..., report.outputs]
    unit, lines = 1.0, []
    if not is_classifier(estimator):
        y = observed_target(estimator, point_values(report.rows.y), report.outputs[0])
        unit = float(np.std(y)) or 1.0
    for values in np.moveaxis(predicted, 1, 0):
        with np.errstate(invalid="ignore"):  # infinite means of experts without events
            c = int(np.ptp(values, axis=0).argmax())
            first, last = sorted((int(values[:, c].argmin()), int(values[:, c].argmax())))
            change = values[last, c] - values[first, c]
        text = ("+" if change > 0.0 else "") + number(change)
        if is_classifier(estimator):
            text = f"probability of {estimator.classes_[report.outputs[c]]} {text}"
        if feature.choices is not None:
            step = f"from {plain(feature.choices[first])} to {plain(feature.choices[last])}"
        lines.append((abs(change) / unit, f"{feature.label}: {text} {step}"))
    return lines


# --- pictures ---------------------------------------------------------------------------------


class Picture(NamedTuple):
    """A picture as an address with its data, and what it shows."""

    title: str
    source: str
    alternative: str


def draw(display_class: Any, estimator: Any, rows: Rows, **options: Any) -> str:
    """A display of rows as an SVG in an address."""
    given = () if rows.X is None else (rows.X, rows.y)
    plt = import_pyplot("export_html")
    with plt.rc_context(STYLE), plt.ioff():
        display = display_class.from_estimator(estimator, *given, **options)
        return _source(plt, display.figure_)


def _source(plt: Any, figure: Any) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def make_pictures(report: Report) -> list[Picture]:
    """Curves of times, calibration on held-out rows, and several experts with their features."""
    estimator, rows, held_out, pictures = report.mixture, report.rows, report.held_out, []
    if report.horizon is not None:
        shown = held_out or rows
        title = "Observed and predicted probabilities of no event"
        seen = "the Kaplan-Meier curve, the mixture and the experts, by time"
        options = {"offset": shown.offset, **_series_of(estimator, shown)}
        source = draw(SurvivalDisplay, estimator, shown, **options)
        pictures.append(Picture(title, source, f"{title}: {seen}."))
    if held_out is not None:
        pictures += _calibration(report, held_out)
    if estimator.n_experts_ > 1:
        options = {"max_features": report.max_features} | rows.arguments
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # those of the summary are on the page
            source = draw(SegmentProfileDisplay, estimator, rows, **options)
        seen = "Features by experts. The texts above have the coefficients."
        pictures.append(Picture("Experts and features", source, seen))
    return pictures


def _series_of(estimator: Any, rows: Rows) -> dict[str, Any]:
    """Options of displays whose rows follow one another in time."""
    return {"units": rows.unit, "time": rows.time} if has_series(estimator) else {}


def _course_options(report: Report) -> dict[str, Any]:
    """Options of the course of one unit; without intervals where the experts have none."""
    rows, target = report.rows, report.outputs[0]
    options = {"offset": rows.offset, "coverage": report.coverage}
    if is_classifier(report.mixture):
        target = report.mixture.classes_[target]
    elif not hasattr(report.mixture, "families_"):
        options["coverage"] = None
    return options | {"target": target} | _series_of(report.mixture, rows)


def _calibration(report: Report, rows: Rows) -> list[Picture]:
    """Calibration on held-out rows; none for experts without a distribution."""
    title = "Calibration on the held-out rows"
    if is_classifier(report.mixture):
        seen = "Observed shares of the classes against their predicted probabilities."
        return [Picture(title, _calibration_of_classes(report, rows), seen)]
    options = {"offset": rows.offset, "target": report.outputs[0]}
    options |= _series_of(report.mixture, rows)
    try:
        source = draw(CalibrationDisplay, report.mixture, rows, **options)
    except (AttributeError, ValueError):
        return []
    seen = "Histogram of probability integral transforms, and coverage of intervals."
    return [Picture(title, source, seen)]


def _calibration_of_classes(report: Report, rows: Rows) -> str:
    """Observed shares of classes by bins of their probabilities; one of two has all information."""
    estimator, plt = report.mixture, import_pyplot("export_html")
    past, known = known_past(estimator, rows), is_known(rows.y, rows.n_rows)
    with plt.rc_context(STYLE), plt.ioff():
        figure, ax = plt.subplots(figsize=(5.5, 4.5), layout="constrained")
        for c in report.outputs:
            predicted = predicted_mean(estimator, rows.X, c, **past)[known]
            pair = observed_target(estimator, rows.y, c)[known], predicted
            style = {"name": str(estimator.classes_[c]), "color": colour(c), "ax": ax}
            ClassCalibrationDisplay.from_predictions(*pair, **BINS, **style)
        ax.set(xlabel="Predicted probability of the class", ylabel="Observed share of the class")
        return _source(plt, figure)


# --- the fit ----------------------------------------------------------------------------------


def describe_fit(report: Report) -> dict[str, Any]:
    """Texts and warnings of a fit, and how the number of experts was selected."""
    estimator, rows = report.mixture, report.rows
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        summary = estimator.summary(rows.X, rows.y, **rows.arguments)
    found = [str(warning.message) for warning in raised]
    found += [note for note in summary.notes if note.startswith(ALARMING)]
    if not estimator.converged_:
        stopped = f"EM stopped before convergence, after {estimator.n_iter_} iterations."
        found.insert(0, f"{stopped} Increase max_iter, or use fewer experts or larger penalties.")
    series = describe_series(estimator, rows, summary.inference)
    if series is not None:
        source = draw(CourseDisplay, estimator, rows, **_course_options(report))
        seen = "Observed y and predictions from earlier rows, over the most probable groups."
        series["picture"] = Picture("The course of one unit", source, seen)
    selection = None
    if hasattr(estimator, "n_experts_tried_"):
        source = draw(NumberOfExpertsDisplay, estimator, Rows(None))
        pairs = zip(estimator.n_experts_tried_, estimator.n_experts_scores_, strict=True)
        scores = "; ".join(f"{n}: {score:.5g}" for n, score in pairs)
        alternative = f"Scores of numbers of experts. {scores}."
        selection = Picture(f"Selected: {estimator.n_experts_}", source, alternative)
    return {
        "warnings": list(dict.fromkeys(found)),
        "text": export_text(estimator, X=rows.X),
        "summary": str(summary),
        "series": series,
        "selection": selection,
    }


# --- held-out rows ----------------------------------------------------------------------------


def describe_scores(report: Report, held_out: Rows) -> dict[str, Any]:
    """Scores of the mixture, and of simple models that are fitted to the rows of the report."""
    estimator = report.mixture
    models = [("this model", estimator, held_out), *_simple_models(report, held_out)]
    columns = [_scores(model, given, report) for _, model, given in models]
    # Densities of a list of families are of other measures, apart from those of times.
    if isinstance(getattr(estimator, "family", None), list) and not has_bounds(held_out.y):
        for column in columns[1:]:
            column[LOG_DENSITY] = np.nan
    rows = [
        (name.format(100 * report.coverage), [_written(name, c[name]) for c in columns], meaning)
        for name, meaning in MEANINGS.items()
        if all(name in column for column in columns)
    ]
    return {"models": [name for name, *_ in models], "rows": rows}


def _written(name: str, score: float) -> str:
    return f"{100 * score:.1f} %" if name == COVERAGE else number(score, N_DIGITS + 1)


def _simple_models(report: Report, held_out: Rows) -> list[tuple[str, Any, Rows]]:
    """One linear model, and one without features, with the rows that each of them takes.

    Categories are indicators for the linear one. A model that cannot be fitted is left out.
    """
    estimator, rows = report.mixture, report.rows
    if has_series(estimator):  # rows whose y is missing have nothing for the other models
        rows = rows.take(np.flatnonzero(is_known(rows.y, rows.n_rows)))
    make: Any = MixtureOfExpertsClassifier
    if not is_classifier(estimator):
        make, family = MixtureOfExpertsRegressor, getattr(estimator, "family", "normal")
        if isinstance(family, list):
            events = [each for each in family if getattr(each, "name", each) != "never"]
            family = events[0] if has_bounds(rows.y) else "normal"
    tables = {"without features": [np.zeros((each.n_rows, 1)) for each in (rows, held_out)]}
    if estimator.n_experts_ > 1 or not hasattr(estimator, "expert_coef_"):
        own = [rows.X, held_out.X]
        if not sparse.issparse(rows.X):
            encoder = make_encoder(rows.X, row_weights(rows), False)
            own = [encode(encoder, table) for table in own]
        tables = {"one linear model": own} | tables
    found = []
    for name, (table, new) in tables.items():
        model = make(1, random_state=0)
        if not is_classifier(estimator):
            model.set_params(family=family)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                model.fit(table, rows.y, offset=rows.offset, sample_weight=rows.weight)
            except (TypeError, ValueError):
                continue
        found.append((name, model, held_out._replace(X=new)))
    return found


def _scores(estimator: Any, rows: Rows, report: Report) -> dict[str, float]:
    """Scores by name: of classes, of times of events, or of the mean and of the distribution."""
    weight, given = rows.weight, {} if rows.offset is None else {"offset": rows.offset}
    past, known = known_past(estimator, rows), is_known(rows.y, rows.n_rows)
    weight = weight if weight is None else np.asarray(weight)[known]
    if is_classifier(estimator):
        proba, labels = estimator.predict_proba(rows.X, **past)[known], estimator.classes_
        y = np.asarray(rows.y)[known]
        brier = np.square(proba - (y[:, None] == labels)).sum(axis=1)
        predicted = labels[proba.argmax(axis=1)]
        return {
            "Accuracy": metrics.accuracy_score(y, predicted, sample_weight=weight),
            "Log loss": metrics.log_loss(y, proba, sample_weight=weight, labels=labels),
            "Brier score": np.average(brier, weights=weight),
        }
    if has_bounds(rows.y) and past:
        densities = estimator.score_samples(rows.X, **given, **past)
        return {LOG_DENSITY: float(np.average(densities, weights=weight))}
    if has_bounds(rows.y):
        scorers = make_survival_scorers()
        return {
            name: scorers[key](estimator, rows.X, rows.y, sample_weight=weight, **given)
            * (-1.0 if key.startswith("neg_") else 1.0)
            for name, key in OF_TIMES.items()
        }
    index = report.outputs[0]
    y = observed_target(estimator, rows.y, index)[known]
    predicted = one_target(estimator.predict(rows.X, **given, **past), index, 1)[known]
    scores = {name: of(y, predicted, sample_weight=weight) for name, of in OF_MEANS.items()}
    try:
        distribution = estimator.predict_dist(rows.X, offset=rows.offset, **past)
    except (AttributeError, ValueError):
        return scores
    observed = np.asarray(rows.y, dtype=float)
    low, high = one_target(distribution.interval(report.coverage), index, 2)[known].T
    of_rows = {
        LOG_DENSITY: one_target(distribution.logpdf(observed), index, 1)[known],
        "CRPS": one_target(distribution.crps(observed), index, 1)[known],
        COVERAGE: (low <= y) & (y <= high),
        "Mean width of the intervals": high - low,
    }
    return scores | {name: np.average(v, weights=weight) for name, v in of_rows.items()}
