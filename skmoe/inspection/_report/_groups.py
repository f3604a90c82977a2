"""Cards: the rows of each expert, their y, and what changes the prediction of the expert."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import logit
from sklearn.base import is_classifier

from skmoe._data.censored_targets import point_values, times_and_events
from skmoe._data.rows import Rows
from skmoe._inference.labels import counted_noun, format_percent
from skmoe._numerics.event_times import EventTable
from skmoe._numerics.probability import weighted_quantiles
from skmoe._numerics.typing import Array
from skmoe.inspection._grid import numeric_values
from skmoe.inspection._report._details import number
from skmoe.inspection._report._inputs import Feature, Inputs, Report
from skmoe.inspection._segment_profile import profile_columns
from skmoe.inspection._style import colour
from skmoe.inspection._subject import observed_rates, observed_target, row_weights

# Lines of each list of a card, and classes or categories in a line.
MAX_LINES, MAX_NAMED = 4, 3

# Differences of means, in standard deviations, and relative effects that are not worth a line.
NEGLIGIBLE_DIFFERENCE, NEGLIGIBLE_EFFECT = 0.1, 0.01

# Quantiles of y between which most rows of an expert are.
RANGE = (0.1, 0.9)

# Probabilities of classes are at least as far from 0 and 1.
SMALLEST_PROBABILITY = 1e-9

# Ratios between these are changes in per cent.
PERCENTAGES = (0.01, 3.0)


class Card(NamedTuple):
    """What a card shows."""

    name: str
    colour: str
    share: str
    target: list[str]  # y of its rows
    members: list[str]  # how its rows differ from all rows
    effects: list[str]  # what changes its prediction


class Line(NamedTuple):
    """A text for a card, and how much it matters."""

    size: float
    text: str


def make_cards(
    report: Report, inputs: Inputs, shown: Sequence[Feature], resp: Array, shares: Array
) -> list[Card]:
    """A card for each expert. The rows are those of the user, with responsibilities (n, K)."""
    rows, counted = report.rows, counted_noun(hasattr(inputs.mixture, "n_units_"))
    weight = row_weights(rows)[:, None] * resp
    members = _members(rows, inputs.labels, resp)
    effects = [_effects(report, inputs, feature) for feature in shown]
    return [
        Card(
            name,
            colour(k),
            f"{format_percent(shares[k])} of the {counted}s",
            _target_lines(report, weight[:, k]),
            _largest(members[k], NEGLIGIBLE_DIFFERENCE),
            _largest([lines[k] for lines in effects], NEGLIGIBLE_EFFECT),
        )
        for k, name in enumerate(report.experts)
    ]


def _largest(lines: Sequence[Line], least: float) -> list[str]:
    kept = sorted(lines, key=lambda line: -line.size)[:MAX_LINES]
    return [line.text for line in kept if line.size >= least]


def plain(value: Any) -> str:
    """A category, or a value of a column: whole numbers as they are."""
    if isinstance(value, str):
        return value
    return f"{value:.0f}" if float(value).is_integer() else number(value)


# --- y and the features of the rows -----------------------------------------------------------


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
    values, exposure = observed_rates(estimator, rows, report.output)
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
                lines[k].append(Line(abs(column.difference[k]), found))
    return lines


# --- what changes the predictions -------------------------------------------------------------


def _effects(report: Report, inputs: Inputs, feature: Feature) -> list[Line]:
    """The effect of a feature on the prediction of each expert, from the starting row.

    It is that of one standard deviation more, or between two values of a choice: the first and the
    last of two, or those of the smallest and largest prediction.
    """
    codes, step = feature.codes, ""
    if not (feature.is_category or (feature.is_choice and len(codes) == 2)):
        deviation = float(np.nanstd(numeric_values(report.rows.X, feature.column)))
        codes = inputs.start[feature.column] + np.array([0.0, deviation])
        step = f"per SD ({number(deviation)})"
    predicted = inputs.mixture.predict_experts(inputs.rows(inputs.along(feature, codes)))
    lines = []
    for k in range(inputs.mixture.n_experts_):
        scores, unit = _scores(report, predicted[:, k].reshape(len(codes), -1), k)
        first, last = 0, len(scores) - 1
        if last > 1:
            of_largest = scores[:, np.ptp(scores, axis=0).argmax()]
            first, last = int(of_largest.argmin()), int(of_largest.argmax())
        with np.errstate(invalid="ignore"):  # infinite means of experts without events
            changes = scores[last] - scores[first]
        named = step or f"from {plain(feature.values[first])} to {plain(feature.values[last])}"
        text = f"{feature.label}: {_changes_text(report.mixture, changes, unit)} {named}"
        lines.append(Line(float(np.abs(changes).max() / (unit or 1.0)), text))
    return lines


def _scores(report: Report, predicted: Array, k: int) -> tuple[Array, float | None]:
    """Predictions (n, C) on the scale of their changes, and a large change; None for logs.

    Those of classes are log odds, and those under a log link logs.
    """
    estimator = report.mixture
    if is_classifier(estimator):
        scores = logit(np.clip(predicted, SMALLEST_PROBABILITY, 1.0 - SMALLEST_PROBABILITY))
        return (scores[:, 1:] if scores.shape[1] == 2 else scores), None
    own = predicted[:, [report.output]]
    if hasattr(estimator, "families_") and estimator.families_[k].link == "log":
        return np.log(own), None
    y = point_values(report.rows.y)
    return own, float(np.std(observed_target(estimator, y, report.output)))


def _changes_text(estimator: Any, changes: Array, unit: float | None) -> str:
    """Changes of the mean in its units or in per cent, or of the odds of the classes."""
    if unit is not None:
        return ("+" if changes[0] > 0.0 else "") + number(changes[0])
    ratios = []
    for ratio in np.exp(changes):
        text = f"\N{MULTIPLICATION SIGN} {number(ratio)}"
        if PERCENTAGES[0] <= ratio <= PERCENTAGES[1]:
            text = f"{100.0 * (ratio - 1.0):+.0f} %".replace("-", "\N{MINUS SIGN}")
        ratios.append(text)
    if not is_classifier(estimator):
        return ratios[0]
    labels = estimator.classes_[-len(changes) :]
    order = np.argsort(-np.abs(changes), kind="stable")[:MAX_NAMED]
    return "odds of " + ", of ".join(f"{labels[c]} {ratios[c]}" for c in order)
