"""What follows the panel: facts of the fit, pictures with their numbers, held-out scores."""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn import metrics
from sklearn.base import is_classifier
from sklearn.calibration import CalibrationDisplay as ClassCalibrationDisplay

from skmoe._data.encoding import encode, make_encoder
from skmoe._data.rows import Rows, has_bounds
from skmoe._estimators.classifier import MixtureOfExpertsClassifier
from skmoe._estimators.regressor import MixtureOfExpertsRegressor
from skmoe._inference.description import describe_experts
from skmoe._inference.labels import (
    COLLAPSED,
    N_DIGITS,
    SPURIOUS,
    describe_collapsed,
    format_number,
    printable_line,
)
from skmoe._inference.summary import FOOTNOTES
from skmoe._numerics.typing import Array
from skmoe._optional import import_pyplot
from skmoe.inspection._calibration import CalibrationDisplay, SurvivalDisplay
from skmoe.inspection._coefficients import CoefficientsDisplay, dropped_features
from skmoe.inspection._grid import column_stds
from skmoe.inspection._report._inputs import Report
from skmoe.inspection._search import NumberOfExpertsDisplay
from skmoe.inspection._segment_profile import SegmentProfileDisplay
from skmoe.inspection._style import NO_NUMBER, colour
from skmoe.inspection._subject import (
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

# Models that the mixture is compared with.
LINEAR, CONSTANT = "one linear model", "without features"


class Table(NamedTuple):
    """The numbers of a picture."""

    caption: str
    head: Sequence[str]
    rows: list[list[str]]


class Picture(NamedTuple):
    """A picture as an address with its data, what it shows, and its numbers."""

    title: str
    source: str
    alternative: str
    tables: Sequence[Table] = ()


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


def draw(display_class: Any, estimator: Any, rows: Rows, **options: Any) -> tuple[Any, str]:
    """A display of rows, and its figure as a source."""
    given = () if rows.X is None else (rows.X, rows.y)
    with drawing():
        display = display_class.from_estimator(estimator, *given, **options)
        return display, as_source(display.figure_)


def number(value: float, digits: int = N_DIGITS) -> str:
    """A number in significant digits; a dash if there is none."""
    text = format_number(value, digits) if np.isfinite(value) else NO_NUMBER
    return text.replace("-", "\N{MINUS SIGN}")


def profile_pictures(report: Report, targets: Sequence[Any]) -> list[Picture]:
    """A picture of the experts and their coefficients, one for each class that is drawn.

    One expert has no profile, but coefficients if it is linear.
    """
    estimator: Any = report.mixture
    display: Any = SegmentProfileDisplay
    has_coef = hasattr(estimator, "expert_coef_")
    if estimator.n_experts_ == 1:
        # The expert has a slope, or had one before its feature was dropped.
        if not has_coef or not (
            np.any(estimator.expert_coef_) or dropped_features(estimator).any()
        ):
            return []
        display = CoefficientsDisplay
    options = {"feature_names": report.features, "expert_names": report.experts}
    options |= {"max_features": report.max_features} | report.rows.arguments
    drawn = targets[len(targets) > 1 :] if has_coef else targets[:1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # those of the summary are on the page
        return [
            _profile(*draw(display, estimator, report.rows, **options, target=each))
            for each in drawn
        ]


def _profile(display: Any, source: str) -> Picture:
    """What a display of experts and features draws, with its numbers as tables."""
    title = "Experts and features"
    numbers = {"Mean minus that of all rows, in SDs": getattr(display, "profile", None)}
    if display.coefficients is not None and not np.isnan(display.coefficients).all():
        title = f"{display.coefficient_name}, per {display.step}"
        of_experts = {title: display.coefficients}
        if display.intervals is not None:
            for end, name in enumerate(("Lower", "Upper")):
                caption = f"{name} ends of the {100 * display.level:g} % intervals"
                of_experts[caption] = display.intervals[..., end]
        is_ratio = False if display.is_ratio is None else display.is_ratio
        for caption, values in of_experts.items():
            numbers[caption] = np.where(is_ratio, np.exp(values), values)
    of_gate = f"Gate: log odds against the first expert, per {display.step}"
    numbers[of_gate] = getattr(display, "gate_effects", None)
    tables = []
    for caption, values in numbers.items():
        if values is not None:
            cells = zip(display.feature_names, values, strict=True)
            rows = [[name, *map(number, own)] for name, own in cells]
            tables.append(Table(caption, ["Feature", *display.expert_names], rows))
    alternative = f"{title}: features by experts. The tables below have the numbers."
    return Picture(title, source, alternative, tables)


def survival_picture(report: Report) -> Picture:
    """Predicted probabilities of no event, over the Kaplan-Meier curve, with some as a table."""
    rows, experts = report.held_out or report.rows, report.experts
    options = {"offset": rows.offset, "expert_names": experts}
    display, source = draw(SurvivalDisplay, report.mixture, rows, **options)
    shown = np.linspace(0, len(display.times) - 1, N_TIMES_WRITTEN).astype(int)
    steps = np.searchsorted(display.observed_times, display.times[shown], "right") - 1
    columns = [display.times[shown], display.observed[steps], display.mixture[shown]]
    cells = np.column_stack([*columns, display.curves[shown]])
    head = ["Time", "Kaplan-Meier", "Mixture", *experts]
    table = Table("Probabilities of no event", head, [list(map(number, row)) for row in cells])
    title = "Observed and predicted probabilities of no event"
    alternative = f"{title}: the Kaplan-Meier curve, the mixture and the experts, by time."
    return Picture(title, source, alternative, [table])


# --- the fit ----------------------------------------------------------------------------------


def describe_fit(report: Report, resp: Array) -> dict[str, Any]:
    """Facts, equations and warnings of a fit, and how the number of experts was selected."""
    estimator, rows = report.mixture, report.rows
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        summary = estimator.summary(rows.X, rows.y, **rows.arguments)
    found = [str(warning.message) for warning in raised]
    collapsed = describe_collapsed(row_weights(rows) @ resp, report.experts)
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
    spread = column_stds(rows.X)
    style = TextFormat(list(report.features), "standard deviation", spread, MAX_TERMS_WRITTEN)
    equations = []
    for k, expert in enumerate(describe_experts(estimator)):
        lines = expert_lines(estimator, k, expert, style) + gate_lines(estimator, k, style)
        equations.append((report.experts[k], expert.kind, list(map(printable_line, lines))))
    return {
        "facts": summary.facts,
        "warnings": list(dict.fromkeys(found)),
        "notes": [" ".join(note.split()) for note in notes],
        "without_errors": _without_errors(summary.inference),
        "equations": equations,
        "selection": _selection(estimator),
    }


def _without_errors(inference: Any) -> list[str]:
    """A sentence for each reason for which standard errors are missing."""
    terms_of: dict[str, list[str]] = {}
    if inference is not None:
        for term, reason in zip(inference.terms, inference.reasons, strict=True):
            if reason and reason not in HARMLESS:
                terms_of.setdefault(reason, []).append(f"{term.part}: {term.name}")
    found = []
    for reason, terms in terms_of.items():
        listed = "; ".join(map(printable_line, terms[:MAX_TERMS_NAMED]))
        more = f" and {len(terms) - MAX_TERMS_NAMED} more" if len(terms) > MAX_TERMS_NAMED else ""
        explained = " ".join(FOOTNOTES[reason].split())
        found.append(f"Without standard errors, {reason} ({listed}{more}): {explained}")
    return found


def _selection(estimator: Any) -> dict[str, Any] | None:
    """How the number of experts was selected; None if it was given."""
    if not hasattr(estimator, "n_experts_tried_"):
        return None
    display, source = draw(NumberOfExpertsDisplay, estimator, Rows(None))
    alternative = "Scores of the numbers of experts. The table has them."
    scores = [f"{score:.5g}" if np.isfinite(score) else NO_NUMBER for score in display.scores]
    return {
        "chosen": display.chosen,
        "picture": Picture("Numbers of experts", source, alternative),
        "heading": re.sub("^-", "\N{MINUS SIGN}", display.score_name),
        "rows": list(zip(map(int, display.tried), scores, strict=True)),
    }


# --- held-out rows ----------------------------------------------------------------------------


def describe_held_out(report: Report) -> dict[str, Any]:
    """Scores of the mixture and of simple models, and calibration, if rows were held out.

    The simple models are fitted to the rows of the report.
    """
    held_out, estimator = report.held_out, report.mixture
    if held_out is None:
        return {"scores": None, "calibration": None, "n_held_out": 0}
    models = [("this model", estimator, held_out), *_simple_models(report, held_out)]
    columns = [_scores(model, given, report) for _, model, given in models]
    # Densities of a list of families are of other measures, apart from those of times.
    if isinstance(getattr(estimator, "family", None), list) and not has_bounds(held_out.y):
        for column in columns[1:]:
            column[LOG_DENSITY] = np.nan
    rows_of_table = [
        (name.format(100 * report.coverage), [_written(name, c[name]) for c in columns], meaning)
        for name, meaning in MEANINGS.items()
        if all(name in column for column in columns)
    ]
    return {
        "scores": {"models": [name for name, *_ in models], "rows": rows_of_table},
        "calibration": _calibration(estimator, held_out, report.output),
        "n_held_out": len(held_out.y),
    }


def _written(name: str, score: float) -> str:
    return f"{100 * score:.1f} %" if name == COVERAGE else number(score, N_DIGITS + 1)


def _simple_models(report: Report, held_out: Rows) -> list[tuple[str, Any, Rows]]:
    """One linear model, and one without features, with the rows that each of them takes.

    Categories are indicators for the linear one. A model that cannot be fitted is left out.
    """
    estimator, rows = report.mixture, report.rows
    family = None if is_classifier(estimator) else getattr(estimator, "family", None)
    if isinstance(family, list):
        events = [each for each in family if getattr(each, "name", each) != "never"]
        family = events[0] if has_bounds(rows.y) else None
    options = {} if family is None else {"family": family}
    make = MixtureOfExpertsClassifier if is_classifier(estimator) else MixtureOfExpertsRegressor
    tables = {CONSTANT: [np.zeros((each.n_rows, 1)) for each in (rows, held_out)]}
    if estimator.n_experts_ > 1 or not hasattr(estimator, "expert_coef_"):
        own = [rows.X, held_out.X]
        if not sparse.issparse(rows.X):
            encoder = make_encoder(rows.X, row_weights(rows), False)
            own = [encode(encoder, table) for table in own]
        tables = {LINEAR: own} | tables
    found = []
    for name, (table, new) in tables.items():
        model, given = make(1, random_state=0, **options), {"sample_weight": rows.weight}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                model.fit(table, rows.y, offset=rows.offset, **given)
            except (TypeError, ValueError):
                continue
        found.append((name, model, held_out._replace(X=new)))
    return found


def _scores(estimator: Any, rows: Rows, report: Report) -> dict[str, float]:
    """Scores by name: of classes, of times of events, or of the mean and of the distribution."""
    weight, given = rows.weight, {} if rows.offset is None else {"offset": rows.offset}
    if is_classifier(estimator):
        proba, labels, y = estimator.predict_proba(rows.X), estimator.classes_, np.asarray(rows.y)
        brier = np.square(proba - (y[:, None] == labels)).sum(axis=1)
        predicted = labels[proba.argmax(axis=1)]
        return {
            "Accuracy": metrics.accuracy_score(y, predicted, sample_weight=weight),
            "Log loss": metrics.log_loss(y, proba, sample_weight=weight, labels=labels),
            "Brier score": np.average(brier, weights=weight),
        }
    if has_bounds(rows.y):
        scorers = make_survival_scorers()
        return {
            name: scorers[key](estimator, rows.X, rows.y, sample_weight=weight, **given)
            * (-1.0 if key.startswith("neg_") else 1.0)
            for name, key in OF_TIMES.items()
        }
    y, index = observed_target(estimator, rows.y, report.output), report.output
    predicted = one_target(estimator.predict(rows.X, **given), index, 1)
    scores = {name: of(y, predicted, sample_weight=weight) for name, of in OF_MEANS.items()}
    try:
        distribution = estimator.predict_dist(rows.X, offset=rows.offset)
    except (AttributeError, ValueError):
        return scores
    observed = np.asarray(rows.y, dtype=float)
    low, high = one_target(distribution.interval(report.coverage), index, 2).T
    of_rows = {
        LOG_DENSITY: one_target(distribution.logpdf(observed), index, 1),
        "CRPS": one_target(distribution.crps(observed), index, 1),
        COVERAGE: (low <= y) & (y <= high),
        "Mean width of the intervals": high - low,
    }
    return scores | {name: np.average(v, weights=weight) for name, v in of_rows.items()}


def _calibration(estimator: Any, rows: Rows, index: int) -> Picture | None:
    """Calibration on held-out rows; None for experts without a distribution."""
    if is_classifier(estimator):
        return _calibration_of_classes(estimator, rows)
    options = {"offset": rows.offset, "target": index}
    try:
        display, source = draw(CalibrationDisplay, estimator, rows, **options)
    except (AttributeError, ValueError):
        return None
    pairs = zip(display.nominal, display.coverage, strict=True)
    cells = [[f"{100 * nominal:.0f} %", f"{100 * found:.1f} %"] for nominal, found in pairs]
    table = Table("Coverage of central intervals", ["Nominal", "Observed"], cells)
    alternative = "Histogram of probability integral transforms, and coverage of intervals."
    return Picture("Calibration", source, alternative, [table])


def _calibration_of_classes(estimator: Any, rows: Rows) -> Picture:
    """Observed shares of classes by bins of their probabilities; one of two has all information."""
    n_classes, tables = len(estimator.classes_), []
    bins: Mapping[str, Any] = {"n_bins": N_BINS, "strategy": "quantile"}
    with drawing() as plt:
        figure, ax = plt.subplots(figsize=(5.5, 4.5), layout="constrained")
        for index in [1] if n_classes == 2 else range(n_classes):
            observed = observed_target(estimator, rows.y, index)
            proba, name = predicted_mean(estimator, rows.X, index), str(estimator.classes_[index])
            style = {"name": name, "color": colour(index), "ax": ax}
            display = ClassCalibrationDisplay.from_predictions(observed, proba, **bins, **style)
            pairs = zip(display.prob_pred, display.prob_true, strict=True)
            cells, head = [list(map(number, pair)) for pair in pairs], ["Predicted probability"]
            tables.append(Table(f"Calibration of {name}", [*head, "Observed share"], cells))
        ax.set(xlabel="Predicted probability of the class", ylabel="Observed share of the class")
        source = as_source(figure)
    alternative = "Observed shares of the classes against their predicted probabilities."
    return Picture("Calibration", source, alternative, tables)
