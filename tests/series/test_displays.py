"""Displays, effects, texts and reports of series."""

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skmoe.inspection import (
    CalibrationDisplay,
    CoefficientsDisplay,
    CourseDisplay,
    ExpertsDisplay,
    GateDisplay,
    ImportanceDisplay,
    PredictionDisplay,
    RegimesDisplay,
    ResponsibilitiesDisplay,
    SegmentProfileDisplay,
    TrajectoriesDisplay,
    average_effects,
    export_html,
    export_mermaid,
    export_text,
    permutation_importance_by_part,
)
from support.fits import fit_quietly
from support.refusals import assert_refused, refusal
from support.series import chain_of, classifier, regressor, table, with_holes

pytest.importorskip("matplotlib")

DATA = table()
X, SERIES = DATA.X, DATA.series
Y = with_holes(DATA.y, 6)


@pytest.fixture(scope="module")
def moe():
    return fit_quietly(regressor(max_iter=30), X, Y, **SERIES)


@pytest.fixture(scope="module")
def of_classes():
    return fit_quietly(classifier(max_iter=30), X, DATA.classes, **SERIES)


def long_run(moe, X):
    """Shares of time in each regime, if the features stay as they are."""
    moves = chain_of(moe, X, np.full(len(X), np.nan)).moves
    return np.linalg.matrix_power(moves, 1000)[:, 0]


# --- the course of a unit -------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["past", "now", "all"])
def test_course_has_what_the_methods_return(moe, given):
    display = CourseDisplay.from_estimator(moe, X, Y, unit="u2", given=given, **SERIES)
    own = np.flatnonzero(DATA.units == "u2")
    rows = own[np.argsort(DATA.time[own])]
    assert_array_equal(display.times, DATA.time[rows])
    assert_array_equal(display.observed, Y[rows])
    known = {"y": Y, **SERIES}
    assert_allclose(display.prediction, moe.predict(X, **known)[rows])
    assert_allclose(display.interval, moe.predict_interval(X, 0.9, **known)[rows])
    proba = moe.responsibilities(X, Y, given=given, **SERIES)
    assert_allclose(display.regimes, proba[rows], atol=1e-12)
    assert display.unit == "u2"


def test_course_of_classes_has_the_probability_of_one(of_classes):
    display = CourseDisplay.from_estimator(of_classes, X, DATA.classes, unit="u0", **SERIES)
    own = np.flatnonzero(DATA.units == "u0")
    rows = own[np.argsort(DATA.time[own])]
    proba = of_classes.predict_proba(X, y=DATA.classes, **SERIES)
    assert_allclose(display.prediction, proba[rows, 1])
    assert_array_equal(display.observed, DATA.classes[rows] == "b")


def test_course_needs_series_and_a_unit_of_them(moe):
    message = refusal(CourseDisplay.from_estimator, moe, X, Y, unit="none", **SERIES)
    assert_refused(message, "unit", "none")
    other = fit_quietly(regressor(gate="softmax", max_iter=5), X, DATA.y)
    message = refusal(CourseDisplay.from_estimator, other, X, DATA.y)
    assert_refused(message, "CourseDisplay", 'gate="markov"', "TrajectoriesDisplay")
    message = refusal(TrajectoriesDisplay.from_estimator, moe, X, Y, **{"units": DATA.units})
    assert "CourseDisplay" in message or "time" in message


# --- other displays -------------------------------------------------------------------------------

OBSERVED = [
    CalibrationDisplay,
    CoefficientsDisplay,
    ExpertsDisplay,
    ImportanceDisplay,
    PredictionDisplay,
    RegimesDisplay,
    ResponsibilitiesDisplay,
    SegmentProfileDisplay,
]


@pytest.mark.parametrize("kind", OBSERVED, ids=lambda kind: kind.__name__)
def test_displays_of_observed_rows_take_series(moe, kind):
    display = kind.from_estimator(moe, X, DATA.y, **SERIES)
    assert display.figure_.axes
    message = refusal(kind.from_estimator, moe, X, DATA.y, units=DATA.units)
    assert_refused(message, "time must be given for new rows", "Pass time=...")


def test_gate_display_draws_without_order(moe):
    assert GateDisplay.from_estimator(moe, X).figure_.axes


def test_importances_of_parts_are_of_series(moe):
    found = permutation_importance_by_part(moe, X, DATA.y, random_state=0, **SERIES)
    # Transitions depend on the first feature, and experts on the second.
    assert found["gate"]["importances_mean"].argmax() == 0
    assert found["experts"]["importances_mean"].argmax() == 1


# --- effects --------------------------------------------------------------------------------------


def test_average_effects_are_those_in_the_long_run(moe):
    def mean(rows):
        return (long_run(moe, rows) * moe.predict_experts(rows)).sum(axis=1)

    found = average_effects(moe, X)
    step = 1e-5
    for j in range(3):
        move = step * np.eye(3)[j]
        expected = (mean(X + move) - mean(X - move)).mean() / (2.0 * step)
        [effect] = [
            value
            for term, value in zip(found.terms, found.estimates, strict=True)
            if tuple(term) == ("mixture", "", f"x{j}")
        ]
        assert effect == pytest.approx(expected, abs=1e-4)


# --- texts and reports ----------------------------------------------------------------------------


def test_texts_and_diagrams_have_the_transitions(moe):
    text, diagram = export_text(moe), export_mermaid(moe)
    for k in range(2):
        stays = moe.transition_matrix_[k, k]
        assert f"next row at the mean features: {100 * stays:.0f} % the same" in text
        assert re.search(rf'expert{k} -->\|"{100 * stays:.0f} %"\| expert{k}\n', diagram)
        slope = moe.transition_coef_[k, 1 - k, 0] - moe.transition_coef_[k, k, 0]
        assert f"against staying per unit: x0 {slope:.3g}" in text


@pytest.mark.parametrize("name", ["moe", "of_classes"])
def test_reports_have_a_section_of_series(name, request, tmp_path):
    y = Y if name == "moe" else DATA.classes
    mixture = request.getfixturevalue(name)
    export_html(mixture, X, y, tmp_path / "report.html", **SERIES)
    page = (tmp_path / "report.html").read_text("utf-8")
    section = page.partition("How long do the groups last?")[2].partition("</section>")[0]
    for k in range(2):
        assert f"{1.0 / (1.0 - mixture.transition_matrix_[k, k]):.3g}" in section
        for probability in mixture.transition_matrix_[k]:
            assert f"{100 * probability:.0f} %" in section
