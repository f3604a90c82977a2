"""What pictures, texts and the report of regimes in time show: predictions know the past only."""

import re
from functools import cache

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.export import to_onnx
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
    RootogramDisplay,
    SegmentProfileDisplay,
    TrajectoriesDisplay,
    average_effects,
    export_html,
    export_mermaid,
    export_text,
    permutation_importance_by_part,
)
from support.displays import expert_rgb, texts
from support.fits import fit_quietly
from support.refusals import assert_refused, refusal
from support.tables import machines

X, Y, UNITS, TIME = machines(n_features=2)
PAST = {"units": UNITS, "time": TIME}
SHORT = {"random_state": 0, "n_init": 1}
MARKOV = {"gate": "markov", "gate_features": [0], "expert_features": [1]} | SHORT


@cache
def regressor():
    return fit_quietly(MixtureOfExpertsRegressor(2, **MARKOV), X, Y, **PAST)


@cache
def classifier():
    moe = MixtureOfExpertsClassifier(2, **MARKOV)
    return fit_quietly(moe, X, np.where(Y > 2.5, "worn", "good"), **PAST)


@cache
def one_series():
    """A fit without units and time, whose rows are in the order of time."""
    order = np.lexsort((TIME, UNITS))
    moe = MixtureOfExpertsRegressor(2, gate="markov", gate_features=[], **SHORT)
    return fit_quietly(moe, X[order], Y[order]), X[order], Y[order]


def transitions(moe, rows):
    """Transition probabilities (n, K, K) by the attributes."""
    slopes, intercepts = moe.transition_coef_, moe.transition_intercept_
    return softmax(np.einsum("jkp,np->njk", slopes, rows) + intercepts, axis=2)


def rows_of(unit):
    """Rows of a unit in the order of time."""
    own = np.flatnonzero(np.equal(UNITS, unit))
    return own[np.argsort(TIME[own])]


# --- the course of one unit -----------------------------------------------------------------------


@pytest.mark.parametrize("given", ["past", "now", "all"])
def test_a_course_has_predictions_from_the_past_and_regimes(given):
    moe, own = regressor(), rows_of(3)
    display = CourseDisplay.from_estimator(moe, X, Y, **PAST, unit=3, given=given)
    assert_array_equal(display.times, np.arange(len(own)))
    assert_allclose(display.observed, Y[own])
    assert_allclose(display.prediction, moe.predict(X, y=Y, **PAST)[own])
    assert_allclose(display.interval, moe.predict_interval(X, 0.9, y=Y, **PAST)[own])
    assert_allclose(display.regimes, moe.responsibilities(X, Y, **PAST, given=given)[own])
    words = {"past": "from earlier rows", "now": "up to each row", "all": "from all rows"}
    assert words[given] in display.legend_.get_title().get_text()
    assert display.ax_.get_title(loc="left") == "Unit 3"
    assert "90 % interval" in texts(display.legend_)


def test_bands_have_the_colour_of_the_most_probable_expert_and_are_pale_where_it_is_uncertain():
    regimes = np.array([[1.0, 0.0], [0.5, 0.5], [0.2, 0.8]])
    zeros = np.zeros(3)
    display = CourseDisplay(
        expert_names=["calm", "wild"],
        times=np.array([0.0, 1.0, 4.0]),
        observed=np.array([1.0, np.nan, 2.0]),
        prediction=zeros,
        regimes=regimes,
        target_name="wear",
    ).plot()
    colours = display.bands_.get_facecolor()[:, :3]
    assert_allclose(colours[1], 1.0)
    depth = (1.0 - colours) / (1.0 - np.array([expert_rgb(0), expert_rgb(0), expert_rgb(1)]))
    assert_allclose(depth[0], depth[0, 0])
    assert_allclose(depth[2], 0.6 * depth[0, 0])
    ends = [path.vertices[:, 0] for path in display.bands_.get_paths()]
    assert_allclose([(x.min(), x.max()) for x in ends], [(-0.5, 0.5), (0.5, 2.5), (2.5, 5.5)])
    assert len(display.scatter_.get_offsets()) == 2  # one y is missing
    assert texts(display.legend_)[:2] == ["calm", "wild"]


def test_a_course_of_classes_has_their_probability_and_marks():
    moe, own = classifier(), rows_of(0)
    y = np.where(Y > 2.5, "worn", "good")
    display = CourseDisplay.from_estimator(moe, X, y, **PAST, unit=0)
    assert_allclose(display.prediction, moe.predict_proba(X, y=y, **PAST)[own, 1])
    assert_array_equal(display.observed, y[own] == "worn")
    assert display.interval_ is None
    assert display.ax_.get_ylabel() == "Probability of class worn"


def test_a_course_without_units_is_that_of_all_rows_and_dates_are_an_axis():
    moe, table, y = one_series()
    display = CourseDisplay.from_estimator(moe, table, y)
    assert len(display.times) == len(y)
    assert (display.unit, display.ax_.get_xlabel()) == (None, "Row")
    own = rows_of(1)
    days = pd.Series(pd.Timestamp("2024-03-01") + pd.to_timedelta(TIME, unit="D"), name="day")
    dated = fit_quietly(MixtureOfExpertsRegressor(2, **MARKOV), X, Y, units=UNITS, time=days)
    display = CourseDisplay.from_estimator(dated, X, Y, units=UNITS, time=days, unit=1)
    assert_array_equal(display.times, np.sort(days[own]))
    assert display.ax_.get_xlabel() == "day"


def test_where_y_is_missing_a_course_goes_on_as_a_forecast():
    moe, own = regressor(), rows_of(2)
    y = np.where(TIME > 20, np.nan, Y)
    display = CourseDisplay.from_estimator(moe, X, y, **PAST, unit=2)
    assert_allclose(display.prediction, moe.predict(X, y=y, **PAST)[own])
    assert len(display.scatter_.get_offsets()) == 21
    assert np.isfinite(display.prediction).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"unit": 99}, ("unit must be one of", "99")),
        ({"given": "future"}, ("given must be", "'future'")),
        ({"coverage": 1.5}, ("coverage", "1.5")),
        ({"units": None}, ("units must be given", "units=")),
    ],
)
def test_what_a_course_refuses(options, words):
    message = refusal(CourseDisplay.from_estimator, regressor(), X, Y, **PAST | options)
    assert_refused(message, *words)


def test_a_course_is_one_of_series_and_trajectories_are_none():
    other = fit_quietly(MixtureOfExpertsRegressor(2, max_iter=5, **SHORT), X, Y)
    message = refusal(CourseDisplay.from_estimator, other, X, Y)
    assert_refused(message, "CourseDisplay", 'gate="markov"', "TrajectoriesDisplay")
    assert CourseDisplay.from_estimator(regressor(), X, Y, **PAST).unit == UNITS[0]
    message = refusal(TrajectoriesDisplay.from_estimator, regressor(), X, Y, units=UNITS)
    assert "CourseDisplay" in message or "time" in message


# --- other displays -------------------------------------------------------------------------------

OBSERVED = [CalibrationDisplay, CoefficientsDisplay, ExpertsDisplay, ImportanceDisplay]
OBSERVED += [PredictionDisplay, RegimesDisplay, ResponsibilitiesDisplay, SegmentProfileDisplay]


@pytest.mark.parametrize("kind", OBSERVED, ids=lambda kind: kind.__name__)
def test_displays_of_observed_rows_need_the_time(kind):
    message = refusal(kind.from_estimator, regressor(), X, Y, units=UNITS)
    assert_refused(message, "time must be given for new rows", "Pass time=...")


@pytest.mark.parametrize("row", [0, 5, 17])
def test_the_prediction_of_a_row_knows_the_rows_before(row):
    moe = regressor()
    display = PredictionDisplay.from_estimator(moe, X, Y, row=row, **PAST)
    assert_allclose(display.gate, moe.predict_gate(X, y=Y, **PAST)[row])
    change = display.gate_contributions.sum() + display.expert_contributions.sum()
    assert_allclose(display.prediction, moe.predict(X, y=Y, **PAST)[row])
    assert_allclose(display.base_value + change, display.prediction)
    assert_allclose(display.interval, moe.predict_interval(X, y=Y, **PAST)[row])


def test_nothing_moves_the_gate_of_a_first_row():
    row = int(np.flatnonzero(TIME == 0)[0])
    display = PredictionDisplay.from_estimator(regressor(), X, Y, row=row, **PAST)
    assert not display.gate_contributions.any()


def test_the_gate_over_a_feature_has_the_transitions_from_each_expert():
    moe = regressor()
    display = GateDisplay.from_estimator(moe, X)
    assert display.feature_names == ["x0"]
    rows = np.column_stack([display.values[0], np.full(200, np.median(X[:, 1]))])
    for k, panel in enumerate(display.panels):
        assert_allclose(panel.gate, transitions(moe, rows)[:, k])
        assert panel.ax_.get_ylabel() == f"Probability after\nexpert {k}" or k
    assert_refused(refusal(GateDisplay.from_estimator, moe, X, (0, 1)), "features must", "[0, 1]")


def test_experts_over_a_feature_have_the_shares_of_the_long_run():
    moe = regressor()
    display = ExpertsDisplay.from_estimator(moe, X, Y, 0, **PAST)
    rows = np.column_stack([display.grid, np.full(200, np.median(X[:, 1]))])
    long_run = np.linalg.matrix_power(transitions(moe, rows), 5000)[:, 0]
    assert_allclose(display.gate, long_run, atol=1e-9)
    assert_allclose(display.mean, (display.gate * display.curves).sum(axis=1))
    assert "long-run" in display.legend_.get_title().get_text()


def test_rows_belong_to_experts_given_all_rows_of_their_series():
    moe = regressor()
    resp = moe.responsibilities(X, Y, **PAST, given="all")
    display = ResponsibilitiesDisplay.from_estimator(moe, X, Y, **PAST)
    assert_allclose(display.responsibilities, resp)
    profile = SegmentProfileDisplay.from_estimator(moe, X, Y, **PAST)
    assert_allclose(profile.shares, resp.mean(axis=0))
    assert "share of the rows" in profile.ax_.get_xlabel()


def test_calibration_is_that_of_predictions_from_the_past_without_missing_rows():
    moe, y = regressor(), np.where(np.arange(len(Y)) % 7 == 0, np.nan, Y)
    display = CalibrationDisplay.from_estimator(moe, X, y, **PAST)
    known = np.isfinite(y)
    assert_allclose(display.pit, moe.predict_dist(X, y=y, **PAST).cdf(y)[known])


def test_counts_of_series_have_expectations_from_the_past():
    counts = np.floor(np.clip(Y, 0, None))
    moe = MixtureOfExpertsRegressor(2, family="poisson", **MARKOV)
    moe = fit_quietly(moe, X, counts, **PAST)
    missing = np.where(np.arange(len(Y)) % 9 == 0, np.nan, counts)
    display = RootogramDisplay.from_estimator(moe, X, missing, **PAST)
    known = np.isfinite(missing)
    zero = moe.predict_dist(X, y=missing, **PAST).pmf(np.zeros(len(Y)))[known].sum()
    assert_allclose(display.expected[0], zero)
    assert display.observed.sum() == known.sum()


def test_the_importance_of_both_parts_is_that_of_densities_one_step_ahead():
    moe = regressor()
    found = permutation_importance_by_part(moe, X, Y, n_repeats=2, random_state=0, **PAST)
    assert_allclose(found.score, moe.score_samples(X, Y, **PAST).mean())
    assert_allclose(found.gate.importances[1], 0.0, atol=1e-12)
    assert_allclose(found.experts.importances[0], 0.0, atol=1e-12)
    assert found.gate.importances_mean[0] > 0.01
    assert found.experts.importances_mean[1] > 0.1


def test_explanations_are_weighted_by_what_the_past_says():
    moe = regressor()
    found = moe.explain(X, y=Y, **PAST)
    assert_allclose(found.gate, moe.predict_gate(X, y=Y, **PAST))
    assert_allclose(found.slope, found.gate @ moe.expert_coef_)


@pytest.mark.parametrize("feature", [0, 1])
def test_average_effects_on_the_mean_are_those_of_the_long_run(feature):
    moe, found, step = regressor(), average_effects(regressor(), X), 1e-5

    def mean(rows):
        long_run = np.linalg.matrix_power(transitions(moe, rows), 5000)[:, 0]
        return (long_run * moe.predict_experts(rows)).sum(axis=1).mean()

    move = step * np.eye(2)[feature]
    terms = [tuple(term) for term in found.terms]
    effect = found.estimates[terms.index(("mixture", "", f"x{feature}"))]
    assert effect == pytest.approx((mean(X + move) - mean(X - move)) / (2.0 * step), abs=1e-4)


def test_average_effects_on_the_gate_are_those_of_the_long_run_with_standard_errors():
    moe = regressor()
    inference = moe.inference(X, Y, **PAST)
    found = average_effects(moe, X, what="gate", inference=inference)
    step, ends = 1e-4, []
    for sign in (1.0, -1.0):
        moves = transitions(moe, X + sign * step * np.array([1.0, 0.0]))
        ends.append(np.linalg.matrix_power(moves, 5000)[:, 0].mean(axis=0))
    change = (ends[0] - ends[1]) / (2.0 * step)
    assert_allclose(found.estimates, np.ravel([[c, 0.0] for c in change]), atol=1e-6)
    assert (found.standard_errors[::2] > 0.01).all()


def test_the_first_row_of_a_single_series_is_certain():
    moe, table, y = one_series()
    inference = moe.inference(table, y)
    reasons = {term.part: inference.reasons[i] for i, term in enumerate(inference.terms)}
    assert reasons["first rows"] == "certain"
    assert reasons["transitions from expert 0"] == ""
    assert "certain: the first rows" in str(moe.summary(table, y))


# --- texts and the report -------------------------------------------------------------------------


def test_the_text_has_transitions_durations_and_effects_on_leaving():
    moe, matrix = regressor(), regressor().transition_matrix_
    text = export_text(moe)
    stays = f"{100 * matrix[0, 0]:.0f} % the same, {100 * matrix[0, 1]:.0f} % to expert 1"
    assert f"next row at the mean features: {stays}" in text
    slope = moe.transition_coef_[0, 1, 0] - moe.transition_coef_[0, 0, 0]
    assert f"log odds of expert 1 against staying per unit: x0 {slope:+.3g}" in text
    lasts = float(re.search(r"lasts ([\d.]+) rows on average", text)[1])
    assert_allclose(lasts, 1.0 / (1.0 - matrix[0, 0]), rtol=0.01)
    assert "at the mean features" not in export_text(one_series()[0])


def test_the_diagram_has_an_edge_for_each_transition():
    moe = regressor()
    edges = re.findall(r'expert(\d) -->\|"(\d+) %"\| expert(\d)', export_mermaid(moe, X=X))
    assert len(edges) == 4
    for origin, share, to in edges:
        assert int(share) == round(100 * moe.transition_matrix_[int(origin), int(to)])
    assert "largest effects: x0" in export_mermaid(moe, X=X)


@pytest.mark.parametrize("task", ["regressor", "classifier", "one series"])
def test_the_report_has_a_section_about_time(task, tmp_path):
    moe, table, y, past, held = regressor(), X, Y, PAST, {}
    if task == "classifier":
        moe, y = classifier(), np.where(Y > 2.5, "worn", "good")
    if task == "one series":
        (moe, table, y), past = one_series(), {}
        y = np.where(np.arange(len(y)) % 7 == 0, np.nan, y)
    if past:
        late = UNITS > 3
        held = {"X_held_out": X[late], "y_held_out": y[late], "units_held_out": UNITS[late]}
        held |= {"time_held_out": TIME[late]}
    export_html(moe, table, y, tmp_path / "report.html", **past, **held)
    page = (tmp_path / "report.html").read_text("utf-8")
    section = page[page.index('id="series-title"') :]
    section = section[: section.index("</section>")]
    plain = " ".join(re.sub("<[^>]*>", " ", section).split())
    duration = 1.0 / (1.0 - moe.transition_matrix_[0, 0])
    assert f"{duration:.3g}" in plain
    assert all(f"{100 * share:.0f} %" in plain for share in moe.transition_matrix_.ravel())
    assert "The course of one unit" in plain
    assert ("Effects on leaving a group" in plain) == (task != "one series")
    if task == "regressor":
        ahead = moe.predict(X[late], y=y[late], units=UNITS[late], time=TIME[late])
        error = np.sqrt(np.mean((ahead - y[late]) ** 2))
        assert f"{error:.4g}" in page


def test_all_texts_say_the_same_duration_whatever_rows_they_are_given(tmp_path):
    """One series changes once: its first regime lasts 150 rows, its last one is not left."""
    rng = np.random.default_rng(0)
    table, is_first = rng.normal(size=(400, 1)), np.arange(400) < 150
    y = np.where(is_first, 3.0 * table[:, 0], 5.0 - 2.0 * table[:, 0]) + rng.normal(0.0, 0.3, 400)
    moe = MixtureOfExpertsRegressor(2, gate="markov", gate_features=[], **SHORT)
    fit_quietly(moe, table, y)
    first = int(np.argmax(moe.initial_probabilities_))
    assert_allclose(moe.transition_matrix_[first, first], 149 / 150, atol=1e-4)
    export_html(moe, table[:60], y[:60], tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text("utf-8")
    found = re.search(rf"</span>expert {first}</th>(<td>[^<]*</td>){{2}}<td>150</td>", page)
    assert found, "the report of 60 rows has another duration"
    other = re.search(rf"</span>expert {1 - first}</th>(<td>[^<]*</td>){{3}}", page)
    assert other[1] == "<td>is hardly ever left</td>"
    for text in (export_text(moe), str(moe.summary())):
        for expert, duration in ((first, "lasts 150 rows"), (1 - first, "is hardly ever left")):
            own = [part for part in text.split("\n\n") if part.startswith(f"expert {expert} ")]
            assert duration in own[0], text


def test_graphs_outside_of_python_have_no_past():
    pytest.importorskip("skl2onnx")
    assert_refused(refusal(to_onnx, regressor(), X[:1]), "conversion to ONNX", "gate", "markov")
