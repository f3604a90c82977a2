"""export_html: a fitted mixture as one page that opens without a network."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import warnings
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cache
from importlib import import_module, resources
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from sklearn import metrics
from sklearn.base import clone, is_classifier
from sklearn.calibration import CalibrationDisplay as ClassCalibrationDisplay

from skmoe._data import censored_targets as targets
from skmoe._data.checks import check_integer, has_bounds, shown
from skmoe._data.encoding import encode, make_encoder
from skmoe._data.rows import Rows
from skmoe._data.series import misses_y
from skmoe._estimators.classifier import MixtureOfExpertsClassifier
from skmoe._estimators.regressor import MixtureOfExpertsRegressor
from skmoe._inference import labels
from skmoe._inference.coefficients import INTERCEPT, TRANSITIONS
from skmoe._inference.inference import Inference
from skmoe._inference.persistence import HARDLY_EVER_LEFT, LONGEST, expected_durations
from skmoe._numerics.event_times import EventTable
from skmoe._numerics.probability import weighted_quantiles
from skmoe._numerics.typing import Array
from skmoe._optional import import_jinja2, import_pyplot, import_report_pyplot
from skmoe.distributions import check_coverage
from skmoe.inspection import _subject as subject
from skmoe.inspection._calibration import CalibrationDisplay, SurvivalDisplay
from skmoe.inspection._coefficients import SegmentProfileDisplay, profile_columns
from skmoe.inspection._regimes import CourseDisplay
from skmoe.inspection._report import _panel as panels
from skmoe.inspection._search import NumberOfExpertsDisplay
from skmoe.inspection._style import NO_NUMBER, colour
from skmoe.inspection._text import export_text
from skmoe.metrics import make_survival_scorers

# Of intervals of durations and of effects.
CONFIDENCE_LEVEL = 0.95

# Lines of each list of a card, and classes in a line.
MAX_LINES, MAX_NAMED = 4, 3

# Differences of means, in standard deviations, and relative effects that are not worth a line.
NEGLIGIBLE_DIFFERENCE, NEGLIGIBLE_EFFECT = 0.1, 0.01

# Quantiles of y between which most rows of an expert are.
RANGE = (0.1, 0.9)

# Names of users are text, and equal fits give equal pictures.
STYLE = {"text.parse_math": False, "svg.hashsalt": "skmoe", "figure.max_open_warning": 0}

# How notes of a summary begin that are warnings.
OF_FIT = "Other rows than those of the fit"
ALARMING = (OF_FIT, labels.COLLAPSED, labels.SPURIOUS, *labels.DEPENDENCE)

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


def number(value: float, digits: int = labels.N_DIGITS) -> str:
    """A number in significant digits; a dash if there is none."""
    text = labels.format_number(value, digits) if np.isfinite(value) else NO_NUMBER
    return text.replace("-", "\N{MINUS SIGN}")


# --- cards ------------------------------------------------------------------------------------


# A text for a card, after how much it matters.
Line = tuple[float, str]


def make_cards(
    report: panels.Report, inputs: panels.Inputs, shown: Sequence[panels.Feature], resp: Array
) -> list[dict[str, Any]]:
    """A card for each expert. The rows are those of the user, with responsibilities (n, K)."""
    weight = subject.row_weights(report.rows)[:, None] * resp
    members = _members(report.rows, inputs.labels, resp)
    effects = [_effects(report, inputs, feature) for feature in shown]
    return [
        {
            "target": _about_target(report, weight[:, k]),
            "members": _largest(members[k], NEGLIGIBLE_DIFFERENCE),
            "effects": _largest([lines[k] for lines in effects], NEGLIGIBLE_EFFECT),
        }
        for k in range(resp.shape[1])
    ]


def _largest(lines: Sequence[Line], least: float) -> list[str]:
    kept = sorted((line for line in lines if line[0] >= least), key=lambda line: -line[0])
    return [text for _, text in kept[:MAX_LINES]]


def plain(value: Any) -> str:
    """A category, or a value of a column: whole numbers as they are."""
    if isinstance(value, str):
        return value
    return f"{value:.0f}" if float(value).is_integer() else number(value)


def _about_target(report: panels.Report, weight: Array) -> dict[str, Any]:
    """Mean and range of y, per unit of exposure if there are offsets; or the frequent classes."""
    estimator, rows = report.mixture, report.rows
    if is_classifier(estimator):
        y = np.asarray(rows.y).ravel()
        shares = [weight @ (y == label) / weight.sum() for label in estimator.classes_]
        order = np.argsort(-np.array(shares), kind="stable")[:MAX_NAMED]
        return {"classes": [(estimator.classes_[c], shares[c]) for c in order]}
    if report.horizon is not None:
        times = targets.times_and_events("the report", rows.y, may_enter=True)
        table = EventTable.of(*times, weight, targets.entries(rows.y))
        median = next(iter(table.times[table.survival <= 0.5]), None)
        return {"median": median, "events": table.events.sum() / weight.sum()}
    values, exposure = subject.observed_rates(estimator, rows, report.outputs[0])
    weight = weight * exposure
    mean = weight @ values / weight.sum()
    return {"mean": mean, "range": weighted_quantiles(values, weight, np.array(RANGE))}


def _members(rows: Rows, names: Sequence[str], resp: Array) -> list[list[Line]]:
    """How the rows of each expert differ from all rows, by feature or category."""
    lines: list[list[Line]] = [[] for _ in range(resp.shape[1])]
    for j, label in enumerate(names):
        columns = profile_columns(rows, resp, [j], absent=np.nan)
        for column in columns[-1:] if len(columns) == 2 else columns:  # of two categories one
            text = labels.format_percent if column.is_share else number
            category = f" is {column.category}" if column.category else ""
            name = f"{label}{category}" if column.is_share else f"mean of {label}"
            means = column.mean + column.difference * column.deviation
            for k in np.flatnonzero(np.isfinite(means)).tolist():
                found = f"{name}: {text(means[k])} (all rows: {text(column.mean)})"
                lines[k].append((abs(column.difference[k]), found))
    return lines


def _effects(report: panels.Report, inputs: panels.Inputs, feature: panels.Feature) -> list[Line]:
    """The effect of a feature on the prediction of each expert, from the starting row.

    It is that of one standard deviation more, or between the choices of the smallest and the
    largest prediction. Of classes the one counts whose probability changes most.
    """
    estimator, codes, step = report.mixture, feature.codes, ""
    if feature.choices is None:
        deviation = float(np.nanstd(subject.numeric_values(report.rows.X, feature.column)))
        codes = inputs.start[feature.column] + np.array([0.0, deviation])
        step = f"per SD ({number(deviation)})"
    predicted = estimator.predict_experts(inputs.rows(inputs.along(feature, codes)))
    predicted = predicted.reshape(len(codes), estimator.n_experts_, -1)[..., report.outputs]
    unit, lines = 1.0, []
    if not is_classifier(estimator):
        y = targets.point_values(report.rows.y)
        y = subject.observed_target(estimator, y, report.outputs[0])
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


# A picture as an address with its data, its title, and what it shows.
Picture = dict[str, str]


def draw(
    title: str, seen: str, display_class: Any, estimator: Any, rows: Rows | None, **options: Any
) -> Picture:
    """A display, of rows if there are any, as an SVG in an address."""
    plt = import_pyplot("export_html")
    if rows is not None:
        options |= {"X": rows.X, "y": rows.y, "offset": rows.offset}
        options |= {"units": rows.unit, "time": rows.time}
    with plt.rc_context(STYLE), plt.ioff():
        display = display_class.from_estimator(estimator, **options)
        return Picture(title=title, source=_source(plt, display.figure_), alternative=seen)


def _source(plt: Any, figure: Any) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    plt.close(figure)
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def make_pictures(report: panels.Report) -> list[Picture]:
    """Curves of times, calibration on held-out rows, and several experts with their features."""
    estimator, rows, held_out, pictures = report.mixture, report.rows, report.held_out, []
    if report.horizon is not None:
        title = "Observed and predicted probabilities of no event"
        seen = f"{title}: the Kaplan-Meier curve, the mixture and the experts, by time."
        pictures.append(draw(title, seen, SurvivalDisplay, estimator, held_out or rows))
    if held_out is not None:
        pictures += _calibration(report, held_out)
    if estimator.n_experts_ > 1:
        options = {"sample_weight": rows.weight, "known_experts": rows.possible}
        options |= {"var_weights": rows.n_values, "max_features": report.max_features}
        title = "Experts and features"
        seen = "Features by experts. The texts above have the coefficients."
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # those of the summary are on the page
            pictures.append(draw(title, seen, SegmentProfileDisplay, estimator, rows, **options))
    return pictures


def draw_course(report: panels.Report) -> Picture:
    """The course of one unit; without intervals where the experts have none."""
    estimator, target = report.mixture, report.outputs[0]
    options = {
        "target": estimator.classes_[target] if is_classifier(estimator) else target,
        "coverage": report.coverage if hasattr(estimator, "families_") else None,
    }
    seen = "Observed y and predictions from earlier rows, over the most probable groups."
    return draw("The course of one unit", seen, CourseDisplay, estimator, report.rows, **options)


def _calibration(report: panels.Report, rows: Rows) -> list[Picture]:
    """Calibration on held-out rows; none for experts without a distribution."""
    title, estimator = "Calibration on the held-out rows", report.mixture
    if is_classifier(estimator):
        seen = "Observed shares of the classes against their predicted probabilities."
        source = _calibration_of_classes(report, rows)
        return [Picture(title=title, source=source, alternative=seen)]
    seen = "Histogram of probability integral transforms, and coverage of intervals."
    options = {"target": report.outputs[0], "var_weights": rows.n_values}
    try:
        return [draw(title, seen, CalibrationDisplay, estimator, rows, **options)]
    except (AttributeError, ValueError):
        return []


def _calibration_of_classes(report: panels.Report, rows: Rows) -> str:
    """Observed shares of classes by bins of their probabilities; one of two has all information."""
    estimator, plt = report.mixture, import_pyplot("export_html")
    past, known = subject.known_past(estimator, rows), ~misses_y(rows.y, report.outputs[0])
    with plt.rc_context(STYLE), plt.ioff():
        figure, ax = plt.subplots(figsize=(5.5, 4.5), layout="constrained")
        for c in report.outputs:
            observed = subject.observed_target(estimator, rows.y, c)[known]
            predicted = subject.predicted_mean(estimator, rows.X, c, **past)[known]
            style = {"name": str(estimator.classes_[c]), "color": colour(c), "ax": ax}
            ClassCalibrationDisplay.from_predictions(observed, predicted, **BINS, **style)
        ax.set(xlabel="Predicted probability of the class", ylabel="Observed share of the class")
        return _source(plt, figure)


# --- the fit ----------------------------------------------------------------------------------


def describe_series(
    estimator: Any, rows: Rows, inference: Inference | None
) -> dict[str, Any] | None:
    """How long regimes last, where they lead, and what changes that; None without any series."""
    if not subject.has_series(estimator) or estimator.n_experts_ == 1:
        return None
    shares = subject.responsibilities(estimator, rows).mean(axis=0)
    lasting = expected_durations(estimator, inference, CONFIDENCE_LEVEL)
    of_first, of_next = estimator.initial_probabilities_, estimator.transition_matrix_
    columns = estimator.expert_names_, map(colour, count()), shares, of_first, lasting, of_next
    return {
        "experts": list(zip(*columns, strict=False)),
        "n_series": estimator.n_series_,
        "at_means": bool(estimator.transition_coef_.any()),
        "level": f"{100 * CONFIDENCE_LEVEL:g}",
        "effects": [] if inference is None else _effects_on_leaving(inference),
    }


def _effects_on_leaving(inference: Inference) -> list[tuple[Any, ...]]:
    """Odds ratios of transitions for one unit more of each feature, with intervals and p values."""
    with np.errstate(over="ignore"):
        ratios, ends = np.exp(inference.estimates), np.exp(inference.conf_int(CONFIDENCE_LEVEL))
    return [
        (term.part.removeprefix(f"{TRANSITIONS} "), *term[1:], *numbers)
        for term, *numbers in zip(inference.terms, ratios, ends, inference.p_values, strict=True)
        if term.part.startswith(TRANSITIONS) and term.name != INTERCEPT
    ]


def describe_fit(report: panels.Report) -> dict[str, Any]:
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
        series["picture"] = draw_course(report)
    selection = None
    if hasattr(estimator, "n_experts_tried_"):
        pairs = zip(estimator.n_experts_tried_, estimator.n_experts_scores_, strict=True)
        scores = "; ".join(f"{n}: {score:.5g}" for n, score in pairs)
        named = f"Selected: {estimator.n_experts_}", f"Scores of numbers of experts. {scores}."
        selection = draw(*named, NumberOfExpertsDisplay, estimator, None)
    return {
        "warnings": list(dict.fromkeys(found)),
        "text": export_text(estimator, X=rows.X),
        "summary": str(summary),
        "series": series,
        "selection": selection,
    }


# --- held-out rows ----------------------------------------------------------------------------


def describe_scores(report: panels.Report, held_out: Rows) -> dict[str, Any]:
    """Scores of the mixture, and of simple models that are fitted to the rows of the report."""
    estimator = report.mixture
    models = [("this model", estimator, held_out), *_simple_models(report, held_out)]
    columns = [_scores(model, given, report) for _, model, given in models]
    # Densities of a list of families are of other measures, apart from those of times.
    if isinstance(getattr(estimator, "family", None), list) and not has_bounds(held_out.y):
        for column in columns[1:]:
            column[LOG_DENSITY] = np.nan
    names = [name for name in columns[0] if all(name in column for column in columns)]
    rows = [(name, [column[name] for column in columns]) for name in names]
    return {"models": [name for name, *_ in models], "rows": rows}


def _simple_models(report: panels.Report, held_out: Rows) -> list[tuple[str, Any, Rows]]:
    """One linear model, and one without features, with the rows that each of them takes.

    Categories are indicators for the linear one. A model that cannot be fitted is left out.
    """
    estimator, rows = report.mixture, report.rows
    if subject.has_series(estimator):  # rows whose y is missing have nothing for the other models
        rows = rows.take(np.flatnonzero(~misses_y(rows.y, report.outputs[0])))
    simple: Any = MixtureOfExpertsClassifier(1, random_state=0)
    if not is_classifier(estimator):
        family = getattr(estimator, "family", "normal")
        if isinstance(family, list):
            events = [each for each in family if getattr(each, "name", each) != "never"]
            family = events[0] if has_bounds(rows.y) else "normal"
        simple = MixtureOfExpertsRegressor(1, family=family, random_state=0)
    tables = {"without features": [np.zeros((each.n_rows, 1)) for each in (rows, held_out)]}
    if estimator.n_experts_ > 1 or not hasattr(estimator, "expert_coef_"):
        own = [rows.X, held_out.X]
        if not sparse.issparse(rows.X):
            encoder = make_encoder(rows.X, subject.row_weights(rows), False)
            own = [encode(encoder, table) for table in own]
        tables = {"one linear model": own} | tables
    found = []
    for name, (table, new) in tables.items():
        model = clone(simple)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                given = {"sample_weight": rows.weight, "var_weights": rows.n_values}
                model.fit(table, rows.y, offset=rows.offset, **given)
            except (TypeError, ValueError):
                continue
        found.append((name, model, held_out._replace(X=new)))
    return found


def _scores(estimator: Any, rows: Rows, report: panels.Report) -> dict[str, float]:
    """Scores by name: of classes, of times of events, or of the mean and of the distribution."""
    weight, given = rows.weight, {} if rows.offset is None else {"offset": rows.offset}
    of_means = {} if rows.n_values is None else {"var_weights": rows.n_values}
    past, known = subject.known_past(estimator, rows), ~misses_y(rows.y, report.outputs[0])
    weight = weight if weight is None else np.asarray(weight)[known]
    if is_classifier(estimator):
        proba, classes = estimator.predict_proba(rows.X, **past)[known], estimator.classes_
        y = np.asarray(rows.y)[known]
        brier = np.square(proba - (y[:, None] == classes)).sum(axis=1)
        predicted = classes[proba.argmax(axis=1)]
        return {
            "Accuracy": metrics.accuracy_score(y, predicted, sample_weight=weight),
            "Log loss": metrics.log_loss(y, proba, sample_weight=weight, labels=classes),
            "Brier score": np.average(brier, weights=weight),
        }
    if has_bounds(rows.y) and (past or targets.has_entry(rows.y)):
        densities = estimator.score_samples(rows.X, **{"y": rows.y} | given | past)
        return {LOG_DENSITY: float(np.average(densities, weights=weight))}
    if has_bounds(rows.y):
        scorers = make_survival_scorers()
        return {
            name: scorers[key](estimator, rows.X, rows.y, sample_weight=weight, **given)
            * (-1.0 if key.startswith("neg_") else 1.0)
            for name, key in OF_TIMES.items()
        }
    index = report.outputs[0]
    y = subject.observed_target(estimator, rows.y, index)[known]
    predicted = subject.one_target(estimator.predict(rows.X, **given, **past), index, 1)[known]
    scores = {name: of(y, predicted, sample_weight=weight) for name, of in OF_MEANS.items()}
    try:
        distribution = estimator.predict_dist(rows.X, **given, **past, **of_means)
    except (AttributeError, ValueError):
        return scores
    observed = np.asarray(rows.y, dtype=float)
    low, high = subject.one_target(distribution.interval(report.coverage), index, 2)[known].T
    of_rows = {
        LOG_DENSITY: subject.one_target(distribution.logpdf(observed), index, 1)[known],
        "CRPS": subject.one_target(distribution.crps(observed), index, 1)[known],
        COVERAGE: (low <= y) & (y <= high),
        "Mean width of the intervals": high - low,
    }
    return scores | {name: np.average(v, weights=weight) for name, v in of_rows.items()}


def export_html(
    estimator: Any,
    X: Any,
    y: Any,
    path: str | os.PathLike[str],
    *,
    X_held_out: Any = None,
    y_held_out: Any = None,
    sample_weight: Any = None,
    sample_weight_held_out: Any = None,
    offset: Any = None,
    offset_held_out: Any = None,
    units: Any = None,
    units_held_out: Any = None,
    time: Any = None,
    time_held_out: Any = None,
    known_experts: Any = None,
    var_weights: Any = None,
    var_weights_held_out: Any = None,
    target: Any = None,
    row: int | None = None,
    coverage: float = 0.9,
    max_features: int = 12,
    title: str | None = None,
) -> None:
    """Write a report about a fitted mixture: one page that opens without a network.

    The page has a card for each expert, with the mean of y, who its rows are, and what changes its
    prediction. Scores on held-out rows stand beside those of simpler models. Details of the fit
    follow a panel: equations, coefficients, calibration, and how the number was selected. Features
    have the names of the columns of X, and experts those of `set_expert_names`.

    In its panel the features are moved, and experts, prediction and predictive distribution follow.
    The features are the columns of the input of a pipeline. The page computes predictions itself if
    they are formulas: a softmax of the features as gate, and experts with linear predictors, also
    behind steps that encode categories or scale columns. Of other mixtures it shows predictions and
    intervals on slices, along one feature at a time through the starting row. Such are those of
    trees, with a base model, with `top_k`, or with a transformer at the gate. Of censored times the
    panel shows probabilities of no event until each time. With `gate="markov"` a section shows how
    long the regimes last, where they lead, and the course of one unit; the probabilities of the
    panel are those of the long run. See "A report" in the user guide.

    Parameters
    ----------
    estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
        Fitted mixture, or a pipeline or search that ends in one.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Features; those of the fit for standard errors and warnings.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Observed target; times may be right-censored (`skmoe.data.right_censored`).
    path : str or path-like
        File to write. An existing one is replaced.
    X_held_out : {array-like, sparse matrix} of shape (n_held_out, n_features), default=None
        Rows that were not used in the fit, for scores and calibration; None for neither.
    y_held_out : array-like of shape (n_held_out,) or (n_held_out, n_outputs), default=None
        Their target.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows, as in `fit`.
    sample_weight_held_out : array-like of shape (n_held_out,), default=None
        Weights of the held-out rows in scores; the calibration counts rows.
    offset, offset_held_out : array-like, default=None
        Offsets of the linear predictors, as in `fit`; None for 0. Those of the panel are 0.
    units : array-like of shape (n_samples,), default=None
        Units of the rows, as in `fit`; None for rows.
    units_held_out : array-like of shape (n_held_out,), default=None
        Units of the held-out rows, for a fit with `gate="markov"`, whose predictions know earlier
        rows of their unit.
    time, time_held_out : array-like, default=None
        Order of the rows of a unit, as in `fit` with `gate="markov"`.
    known_experts : array-like of shape (n_samples,) or (n_samples, n_experts), default=None
        Known experts of the rows, as in `fit`.
    var_weights, var_weights_held_out : array-like, default=None
        Numbers of values of which each y is the mean, as in `fit`. The panel is for one value.
    target : class label or int, default=None
        The class that is drawn, or the index of the output that is described. None for the second
        of two classes, all of several, or the only output.
    row : int, default=None
        Index of the row of X with which the panel starts; None for the median of each number and
        the most frequent of each category.
    coverage : float, default=0.9
        Probability of predictive intervals, in (0, 1).
    max_features : int, default=12
        Largest number of features in the panel and in pictures: those with the largest effects.
    title : str, default=None
        Title of the page; None for the name of the target.

    Raises
    ------
    ImportError
        If Jinja2 or matplotlib is not installed, which the extra `report` has.
    TypeError
        If the estimator is not a mixture of experts.
    ValueError
        If rows have other columns than those of the fit, targets another length, or only one of
        `X_held_out` and `y_held_out` is given. If a parameter is outside its range, or the folder
        of `path` does not exist.
    OSError
        If the file cannot be written.

    See Also
    --------
    export_text : The gate and the experts as text.
    SegmentProfileDisplay : The picture of the experts and features.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.inspection import export_html
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(-3, 3, size=(200, 1))
    >>> y = 1 - np.abs(X[:, 0]) + 0.1 * rng.normal(size=200)
    >>> moe = MixtureOfExpertsRegressor(n_experts=2, random_state=0).fit(X[:150], y[:150])
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "report.html"
    ...     export_html(moe, X[:150], y[:150], path, X_held_out=X[150:], y_held_out=y[150:])
    ...     path.read_text("utf-8")[:15]
    '<!DOCTYPE html>'
    """
    import_report_pyplot("export_html")
    import_jinja2("export_html")
    view, X_own, note = subject.find_mixture(estimator, X)
    y, y_held_out, horizon = _times(view, y, y_held_out)
    features, coverage = subject.check_names(view, None), check_coverage(coverage)
    check_integer("max_features", max_features, least=1)
    file = Path(path) if isinstance(path, str | os.PathLike) else None
    if file is None or file.is_dir() or not file.parent.is_dir():
        raise ValueError(
            f"path must be the name of a file, in a folder that exists; got {shown(path)}. The "
            "call is export_html(estimator, X, y, path)."
        )
    X_own = subject.check_rows("y", view, X_own, y)
    if row is not None:
        row = check_integer("row", row, least=0, most=X_own.shape[0] - 1)
    given = Rows(X_held_out, y_held_out, sample_weight_held_out, offset_held_out, units_held_out)
    given = given._replace(time=time_held_out, n_values=var_weights_held_out)
    held_out = check_held_out(estimator, view, given)
    outputs = subject.check_targets(view, target, X_own)
    name = "time" if horizon is not None else subject.target_name(view, y, outputs[0])
    name = getattr(y, "name", None) or "the class" if is_classifier(view) else name
    name = labels.printable_name(str(name))
    has_offset, belongs = offset is not None, (y, sample_weight, offset, units)
    given = Rows(X_own, *belongs, possible=known_experts, time=time, n_values=var_weights)
    rows = subject.positive_rows(given)
    resp, shares = subject.responsibilities_of_rows(view, rows)
    shown_name = name + subject.PER_EXPOSURE * (has_offset and horizon is None)
    options = coverage, horizon, max_features, held_out
    report = panels.Report(view, rows, shown_name, outputs, *options)

    inputs = panels.make_inputs(estimator, X, row, None if note else features)
    own_rows = subject.positive_rows(Rows(inputs.X, *belongs))
    known = np.flatnonzero(~misses_y(own_rows.y, outputs[0]))
    if len(known) < own_rows.n_rows:
        own_rows, resp = own_rows.take(known), resp[known]
    of_user = report._replace(mixture=inputs.mixture, rows=own_rows)
    strongest = inputs.strongest(of_user)
    default_title = f"{'Mixture of experts' if len(shares) > 1 else 'Model'} for {name}"
    context = {
        "title": default_title if title is None else labels.printable_name(str(title)),
        "row": row,
        "has_offset": has_offset,
        "n_rows": rows.n_rows,
        "counted": labels.counted_noun(hasattr(view, "n_units_")),
        "is_transformed": bool(note),
        "cards": make_cards(of_user, inputs, strongest, resp),
        "shares": shares,
        **describe_fit(report),
        "pictures": make_pictures(report),
        "panel": panels.make_panel(of_user, inputs, strongest),
        "scores": None if held_out is None else describe_scores(report, held_out),
        "n_held_out": 0 if held_out is None else (~misses_y(held_out.y, outputs[0])).sum(),
        "date": date.today().isoformat(),
        "version": import_module("skmoe").__version__,
    }
    file.write_text(render_page(context), "utf-8", newline="\n")


# --- what is given ----------------------------------------------------------------------------


def _times(estimator: Any, y: Any, y_held_out: Any) -> tuple[Any, Any, float | None]:
    """Targets, times as bounds, and the time at which the panel starts; None without times."""
    y, y_held_out = (subject.outcomes_of(estimator, own) for own in (y, y_held_out))
    if is_classifier(estimator) or not (has_bounds(y) or has_bounds(y_held_out)):
        return y, y_held_out, None
    times, _ = targets.times_and_events("the report", y, may_enter=True)
    held_out = None if y_held_out is None else targets.bounds_of(y_held_out)
    return targets.bounds_of(y), held_out, float(f"{np.median(times):.3g}")


def check_held_out(estimator: Any, view: Any, given: Rows) -> Rows | None:
    """Rows of positive weight that were held out, with targets; None if none are given."""
    X, y = given[:2]
    if X is None and y is None and not given.arguments:
        return None
    if X is None or y is None:
        missing = "X_held_out" if X is None else "y_held_out"
        raise ValueError(
            "X_held_out and y_held_out must be given together, and sample_weight_held_out and "
            f"offset_held_out belong to them; got no {missing}. Pass both, or none of the four."
        )
    X = subject.check_rows("y_held_out", view, subject.find_mixture(estimator, X)[1], y)
    return subject.positive_rows(given._replace(X=X))


# --- the file ---------------------------------------------------------------------------------


def render_page(context: Mapping[str, Any]) -> str:
    """The page, in which every text of the context is escaped, and only its script may run."""
    script = _read("model.js") + _read("panel.js")
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return str(_template().render(**context, style=_read("page.css"), script=script, digest=digest))


@cache
def _template() -> Any:
    """The template of a page, which takes longer to compile than to fill."""
    blocks = {"trim_blocks": True, "lstrip_blocks": True}
    environment = import_jinja2("export_html").Environment(autoescape=True, **blocks)
    environment.filters |= {"number": number, "plain": plain, "percent": labels.format_percent}
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False}
    environment.globals |= {"RANGE": RANGE, "LONGEST": LONGEST, "HARDLY": HARDLY_EVER_LEFT}
    return environment.from_string(_read("page.html"))


def _read(name: str) -> str:
    return (resources.files(__package__) / name).read_text("utf-8")
