"""What follows the panel: facts of the fit, pictures with their numbers, held-out scores."""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

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

from skmoe._data.encoding import encode, make_encoder
from skmoe._data.row_checks import check_weights
from skmoe._data.rows import Rows, has_bounds
from skmoe._estimators.classifier import MixtureOfExpertsClassifier
from skmoe._estimators.regressor import MixtureOfExpertsRegressor
from skmoe._inference.labels import (
    COLLAPSED,
    N_DIGITS,
    SPURIOUS,
    describe_collapsed,
    format_number,
    printable_line,
)
from skmoe._inference.results import FOOTNOTES
from skmoe._numerics.typing import Array
from skmoe._optional import import_pyplot
from skmoe.inspection._calibration import CalibrationDisplay
from skmoe.inspection._coefficients import CoefficientsDisplay, dropped_features
from skmoe.inspection._grid import column_stds
from skmoe.inspection._over_time import SurvivalDisplay
from skmoe.inspection._search import NumberOfExpertsDisplay
from skmoe.inspection._segment_profile import SegmentProfileDisplay
from skmoe.inspection._style import NO_NUMBER, colour
from skmoe.inspection._subject import (
    check_rows,
    observed_target,
    one_target,
    predicted_mean,
    row_weights,
)
from skmoe.inspection._text import TextFormat, expert_lines, gate_lines
from skmoe.metrics import make_survival_scorers

# Names of users are text, and equal fits give equal pictures.
STYLE = {"text.parse_math": False, "svg.hashsalt": "skmoe", "figure.max_open_warning": 0}

# Times in the table of probabilities of no event.
N_TIMES_WRITTEN = 11

# Terms of an equation.
MAX_TERMS_WRITTEN = 6

# Reasons for missing standard errors that are no trouble.
HARMLESS = ("fixed", "dropped")

# How the note of a summary begins that its rows are not those of the fit.
OTHER_ROWS = "Other rows than those of the fit"

# Terms that are named in a warning.
MAX_TERMS_NAMED = 4

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


class Table(NamedTuple):
    """The numbers of a picture."""

    caption: str
    head: list[str]
    rows: list[list[str]]


class Picture(NamedTuple):
    """A picture as an address with its data, what it shows, and its numbers."""

    title: str
    source: str
    alternative: str
    tables: list[Table]


@contextmanager
def drawing() -> Iterator[Any]:
    """Matplotlib's pyplot, with the style of the report; new figures are closed at the end."""
    plt = import_pyplot("export_html")
    before = set(plt.get_fignums())
    try:
        with plt.rc_context(STYLE), plt.ioff():
            yield plt
    finally:
        for number in set(plt.get_fignums()) - before:
            plt.close(number)


def as_source(figure: Any) -> str:
    """A figure as an SVG in an address."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def draw(display_class: Any, *given: Any, **options: Any) -> tuple[Any, str]:
    """A display of an estimator, and its figure as a source."""
    with drawing():
        display = display_class.from_estimator(*given, **options)
        return display, as_source(display.figure_)


class Names(NamedTuple):
    """Names of what a mixture consists of."""

    features: Sequence[str]
    experts: Sequence[str]


def profile_pictures(
    estimator: Any, rows: Rows, targets: Sequence[Any], names: Names, max_features: int
) -> list[Picture]:
    """A picture of the experts and their coefficients, one for each class that is drawn.

    One expert has no profile, but coefficients if it is linear.
    """
    has_coef = hasattr(estimator, "expert_coef_")
    given = {"feature_names": names.features, "expert_names": names.experts} | rows.arguments
    given |= {"max_features": max_features}
    display: Any = SegmentProfileDisplay
    if estimator.n_experts_ == 1:
        # The expert has a slope, or had one before its feature was dropped.
        if not has_coef or not (
            np.any(estimator.expert_coef_) or dropped_features(estimator).any()
        ):
            return []
        display = CoefficientsDisplay
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # those of the summary are on the page
        return [
            _picture(display, estimator, rows, given | {"target": target})
            for target in (targets[len(targets) > 1 :] if has_coef else targets[:1])
        ]


def _picture(display_class: Any, estimator: Any, rows: Rows, options: dict[str, Any]) -> Picture:
    """What a display draws, with its numbers as tables."""
    display, source = draw(display_class, estimator, rows.X, rows.y, **options)
    title = "Experts and features"
    numbers: dict[str, Any] = {
        "Mean minus that of all rows, in SDs": getattr(display, "profile", None)
    }
    if display.coefficients is not None and not np.isnan(display.coefficients).all():
        title = f"{display.coefficient_name}, per {display.step}"
        numbers[title] = display.coefficients
        if display.intervals is not None:
            for end, name in enumerate(("Lower", "Upper")):
                caption = f"{name} ends of the {100 * display.level:g} % intervals"
                numbers[caption] = display.intervals[..., end]
        is_ratio = False if display.is_ratio is None else display.is_ratio
        for caption, values in list(numbers.items())[1:]:
            numbers[caption] = np.where(is_ratio, np.exp(values), values)
    of_gate = f"Gate: log odds against the first expert, per {display.step}"
    numbers[of_gate] = getattr(display, "gate_effects", None)
    given = [(caption, values) for caption, values in numbers.items() if values is not None]
    tables = [_table(caption, display, values) for caption, values in given]
    alternative = f"{title}: features by experts. The tables below have the numbers."
    return Picture(title, source, alternative, tables)


def survival_picture(estimator: Any, rows: Rows, names: Names) -> Picture:
    """Predicted probabilities of no event, over the Kaplan-Meier curve, with some as a table."""
    options = {"offset": rows.offset, "expert_names": names.experts}
    display, source = draw(SurvivalDisplay, estimator, rows.X, rows.y, **options)
    shown = np.linspace(0, len(display.times) - 1, N_TIMES_WRITTEN).astype(int)
    steps = np.searchsorted(display.observed_times, display.times[shown], "right") - 1
    columns = [display.times[shown], display.observed[steps], display.mixture[shown]]
    table = Table(
        "Probabilities of no event",
        ["Time", "Kaplan-Meier", "Mixture", *names.experts],
        [[number(v) for v in row] for row in np.column_stack([*columns, display.curves[shown]])],
    )
    title = "Observed and predicted probabilities of no event"
    alternative = f"{title}: the Kaplan-Meier curve, the mixture and the experts, by time."
    return Picture(title, source, alternative, [table])


def _table(caption: str, display: Any, values: Array) -> Table:
    rows = [
        [name, *(number(value) for value in row)]
        for name, row in zip(display.feature_names, values, strict=True)
    ]
    return Table(caption, ["Feature", *display.expert_names], rows)


def number(value: float, digits: int = N_DIGITS) -> str:
    """A number in significant digits; a dash if there is none."""
    text = format_number(value, digits) if np.isfinite(value) else NO_NUMBER
    return text.replace("-", "\N{MINUS SIGN}")


# --- the fit ----------------------------------------------------------------------------------


def describe_fit(estimator: Any, rows: Rows, resp: Array, names: Names) -> dict[str, Any]:
    """Facts, equations and warnings of a fit, and how the number of experts was selected."""
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        summary = estimator.summary(rows.X, rows.y, **rows.arguments)
    found = [str(warning.message) for warning in raised]
    collapsed = describe_collapsed(row_weights(rows) @ resp, names.experts)
    found += [collapsed] if collapsed else []
    found += [note for note in summary.notes if note.startswith((OTHER_ROWS, SPURIOUS))]
    if not estimator.converged_:
        found.insert(
            0,
            f"EM stopped before convergence, after {estimator.n_iter_} iterations. Increase "
            "max_iter, or make the problem easier with fewer experts or larger penalties.",
        )
    # Those of the collapsed experts have the names of the page above.
    notes = [note for note in summary.notes if note not in found and not note.startswith(COLLAPSED)]
    features, stds = list(names.features), column_stds(rows.X)
    text_format = TextFormat(features, "standard deviation", stds, MAX_TERMS_WRITTEN)
    return {
        "facts": summary.facts,
        "warnings": list(dict.fromkeys(found)),
        "notes": [" ".join(note.split()) for note in notes],
        "without_errors": _without_errors(summary.inference),
        "equations": [
            (names.experts[k], kind, _lines(estimator, k, text_format))
            for k, kind in enumerate(estimator.expert_kinds_)
        ],
        "selection": _selection(estimator),
    }


def _lines(estimator: Any, k: int, text_format: TextFormat) -> list[str]:
    """Equations of an expert, and of its gate."""
    lines = expert_lines(estimator, k, text_format) + gate_lines(estimator, k, text_format)
    return [printable_line(line) for line in lines]


def _without_errors(inference: Any) -> list[str]:
    """A sentence for each reason for which standard errors are missing."""
    if inference is None:
        return []
    terms_of: dict[str, list[str]] = {}
    for term, reason in zip(inference.terms, inference.reasons, strict=True):
        if reason and reason not in HARMLESS:
            terms_of.setdefault(reason, []).append(f"{term.part}: {term.name}")
    found = []
    for reason, terms in terms_of.items():
        listed = "; ".join(printable_line(term) for term in terms[:MAX_TERMS_NAMED])
        more = f" and {len(terms) - MAX_TERMS_NAMED} more" if len(terms) > MAX_TERMS_NAMED else ""
        explained = " ".join(FOOTNOTES[reason].split())
        found.append(f"Without standard errors, {reason} ({listed}{more}): {explained}")
    return found


# --- selection --------------------------------------------------------------------------------


def _selection(estimator: Any) -> dict[str, Any] | None:
    """How the number of experts was selected; None if it was given."""
    if not hasattr(estimator, "n_experts_tried_"):
        return None
    display, source = draw(NumberOfExpertsDisplay, estimator)
    alternative = "Scores of the numbers of experts. The table has them."
    return {
        "chosen": display.chosen,
        "picture": Picture("Numbers of experts", source, alternative, []),
        "heading": re.sub("^-", "\N{MINUS SIGN}", display.score_name),
        "rows": [
            (int(n), f"{score:.5g}" if np.isfinite(score) else NO_NUMBER)
            for n, score in zip(display.tried, display.scores, strict=True)
        ],
    }


# --- held-out rows ----------------------------------------------------------------------------


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
                model.fit(given.X, given.y, sample_weight=given.weight, offset=given.offset)
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
    given = {"sample_weight": rows.weight, "offset": rows.offset}
    found = {
        name: scorer(estimator, rows.X, rows.y, **given)
        for name, scorer in make_survival_scorers().items()
    }
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
        distribution = estimator.predict_dist(rows.X, offset=rows.offset)
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
        options = {"offset": rows.offset, "target": index}
        display, source = draw(CalibrationDisplay, estimator, rows.X, rows.y, **options)
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
