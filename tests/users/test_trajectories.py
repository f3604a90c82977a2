"""Courses over time: the recipe, its table of numbers of groups, and its picture."""

import pickle
import re
from functools import cache, partial

import numpy as np
import pandas as pd
import polars as pl
import pytest
import skops.io
from matplotlib import colors
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.preprocessing import SplineTransformer

from skmoe.data import left_censored
from skmoe.exceptions import NumberOfExpertsWarning
from skmoe.export import trusted_types
from skmoe.inspection import (
    ExpertsDisplay,
    RegimesDisplay,
    TrajectoriesDisplay,
    average_effects,
    export_text,
)
from skmoe.model_selection import likelihood_ratio_test, n_experts_table, n_experts_test
from skmoe.recipes import mixture_of, trajectories
from support.displays import all_texts, expert_colour
from support.refusals import assert_refused, refusal

N_UNITS, N_TIMES = 90, 6
GROUP = np.arange(N_UNITS) % 3 == 0
UNIT = np.repeat([f"p{i:02d}" for i in range(N_UNITS)], N_TIMES)


@cache
def cohort():
    """A third of the patients recover after a peak, more often women; the others stay level."""
    rng = np.random.default_rng(0)
    year = np.tile(np.arange(float(N_TIMES)), N_UNITS)
    course = np.where(np.repeat(GROUP, N_TIMES), 4.0 + 4.0 * year - year**2, 2.0)
    woman = np.where(rng.uniform(size=N_UNITS) < 0.8, GROUP, ~GROUP).astype(float)
    frame = pd.DataFrame({"woman": np.repeat(woman, N_TIMES), "year": year, "noise": 0.0})
    return frame, course + rng.normal(size=len(year))


def grouped(*args, **options):
    """The recipe with few starts: groups are clear."""
    recipe = trajectories(*args, random_state=0, **options)
    return recipe.set_params(mixture__n_init=2)


@cache
def fitted():
    X, y = cohort()
    return grouped(2, "year", ["woman"]).fit(X, y, units=UNIT)


def test_groups_are_found_and_depend_on_units():
    X, y = cohort()
    mixture = mixture_of(fitted())
    found = mixture.responsibilities(X, y, units=UNIT)
    assert adjusted_rand_score(GROUP, found.proba.argmax(axis=1)) > 0.95
    prior = (
        mixture.predict_gate(X.assign(woman=1.0))[0],
        mixture.predict_gate(X.assign(woman=0.0))[0],
    )
    assert prior[0][1] > 0.5 > prior[1][1]
    courses = fitted().named_steps["mixture"].predict_experts(fitted()[:-1].transform(X))[:N_TIMES]
    assert_allclose(courses[:, 1], 4.0 + 4.0 * np.arange(6) - np.arange(6) ** 2, atol=0.8)
    assert_allclose(courses[:, 0], 2.0, atol=0.6)


# --- the columns of time --------------------------------------------------------------------------


def lines(first_time=0.0):
    """Two groups of units, whose courses rise by 2 and fall by 1 in a unit of time."""
    time = np.tile(np.arange(5.0), 40)
    unit = np.repeat(np.arange(40), 5)
    y = np.where(unit % 3, 1.0 + 2.0 * time, 5.0 - time)
    y = y + 0.1 * np.random.default_rng(0).normal(size=200)
    return pd.DataFrame({"year": first_time + time}), y, unit


@pytest.mark.parametrize(("first_time", "name"), [(0.0, "year"), (1990.0, "(year - 1990)")])
def test_the_coefficient_of_a_line_is_its_slope_everywhere(first_time, name):
    X, y, unit = lines(first_time)
    groups = grouped(2, "year", degree=1).fit(X, y, units=unit)
    moe = mixture_of(groups)
    summary, inference = moe.summary(X, y, units=unit), moe.inference(X, y, units=unit)
    assert_allclose(moe.expert_coef_, [[2.0], [-1.0]], atol=0.02)
    for frame in (summary.to_frame("coefficients"), inference.to_frame()):
        for k, (level, slope) in enumerate([(1.0, 2.0), (5.0, -1.0)]):
            assert_allclose(frame["estimate"].xs(name, level=-1)[f"expert {k}"], slope, atol=0.02)
            intercepts = frame["estimate"].xs("(Intercept)", level=-1)
            assert_allclose(intercepts[f"expert {k}"], level, atol=0.05)
    text = export_text(groups, X=X)
    assert re.search(rf"y = (0\.9|1\.0).* \+ (1\.9|2\.0)\d* {re.escape(name)}", text), text
    assert re.search(rf"y = (4\.9|5\.0).* - (0\.9|1\.0)\d* {re.escape(name)}", text), text
    assert name in str(summary)


@pytest.mark.parametrize("degree", [1, 2, 3])
@pytest.mark.parametrize("first_time", [0.0, 1990.0])
def test_courses_are_polynomials_also_beyond_the_last_time(degree, first_time):
    X, y, unit = lines(first_time)
    groups = trajectories(1, "year", degree=degree).set_params(mixture__alpha=0.0)
    groups.fit(X, y, units=unit)
    centred = X["year"] - X["year"].mean()
    coef = np.polyfit(centred, y, degree)
    later = pd.DataFrame({"year": first_time + np.array([-2.0, 2.5, 4.0, 7.0])})
    expected = np.polyval(coef, later["year"] - X["year"].mean())
    assert_allclose(groups.predict(later), expected, rtol=1e-6)
    assert_array_equal(mixture_of(groups).is_outside_range(later), [True, False, False, True])


def test_knots_make_splines_whose_first_column_is_time():
    X, y = cohort()
    options = {"degree": 2, "n_knots": 4, "family": "student_t", "dispersion": "shared"}
    pipeline = clone(grouped(2, "year", ["woman"], **options))
    pipeline.fit(X, y, units=UNIT)
    names = ["year", "year^2", *(f"max(year - {knot:.6g}, 0)^2" for knot in (5 / 3, 10 / 3))]
    assert list(mixture_of(pipeline).feature_names_in_) == [*names, "woman"]
    t = X["year"].to_numpy()
    columns = [t, t**2, *(np.maximum(t - knot, 0.0) ** 2 for knot in (5 / 3, 10 / 3)), X["woman"]]
    assert_allclose(pipeline[:-1].transform(X), np.column_stack(columns))
    assert pipeline["mixture"].dispersion_[0] == pipeline["mixture"].dispersion_[1]
    spline = SplineTransformer(4, degree=2).fit_transform(X[["year"]])
    one = trajectories(1, "year", degree=2, n_knots=4).set_params(mixture__alpha=0.0)
    one.fit(X, y, units=UNIT)
    expected = spline @ np.linalg.lstsq(spline, y, rcond=None)[0]
    assert_allclose(one.predict(X), expected, rtol=1e-5)


def test_a_fit_does_not_depend_on_the_origin_of_time():
    X, y = cohort()
    fits = [
        grouped(2, "year", ["woman"]).fit(X.assign(year=t), y, units=UNIT)
        for t in (X["year"], X["year"] + 2000.0)
    ]
    assert_allclose(fits[0].predict(X), fits[1].predict(X.assign(year=X["year"] + 2000.0)))
    centred = grouped(2, "year", ["woman"])
    centred.set_params(time__time__origin=2.0).fit(X, y, units=UNIT)
    assert mixture_of(centred).feature_names_in_[1] == "(year - 2)^2"
    assert_allclose(centred.predict(X), fits[0].predict(X), atol=2e-3)
    coef, errors = mixture_of(centred).expert_coef_[1], []
    assert_allclose(coef[:2], [0.0, -1.0], atol=0.3)  # 4 + 4 t - t^2 = 8 - (t - 2)^2
    for groups, time in ((fits[0], X), (fits[1], X.assign(year=X["year"] + 2000.0))):
        errors.append(mixture_of(groups).inference(time, y, units=UNIT).standard_errors)
    assert np.isfinite(errors[0]).all()
    assert_allclose(errors[0], errors[1], rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"degree": 0}, ("degree must", "at least 1", 0)),
        ({"degree": 1.5}, ("degree must", "integer", 1.5)),
        ({"n_knots": 1}, ("n_knots must", "at least 2", 1)),
        ({"time": ["year"]}, ("time must", "one column", ["year"])),
        ({"time": True}, ("time must", "one column", True)),
    ],
)
def test_bad_arguments_are_refused_at_once(options, words):
    """A degree that the times cannot determine is refused by the fit."""
    assert_refused(refusal(trajectories, **{"n_groups": 2, "time": "year"} | options), *words)
    X, y, unit = lines()
    message = refusal(trajectories(2, "year", degree=4, n_knots=3).fit, X, y, units=unit)
    assert_refused(message, "degree", "times, 5", "degree=1")


# --- units and their features ---------------------------------------------------------------------


def test_units_are_needed():
    X, y, unit = lines()
    groups = trajectories(2, "year", degree=1)
    tests = [
        partial(n_experts_table, groups, n_experts=[1, 2]),
        partial(n_experts_test, groups),
        partial(likelihood_ratio_test, groups, groups),
    ]
    for call in (groups.fit, *tests):
        assert_refused(refusal(call, X, y), "units", "mixture__units=", "units=table[")
    search = GridSearchCV(groups, {"mixture__n_experts": [1]}, cv=2)
    search.fit(X, y, mixture__units=unit)
    assert search.best_estimator_["mixture"].n_units_ == 40


def test_units_are_an_argument_of_fit_also_under_metadata_routing():
    X, y, unit = lines()
    given = grouped(2, "year", degree=1)
    expected = given.fit(X, y, mixture__units=unit).predict(X)
    assert_array_equal(clone(given).fit(X, y, units=unit).predict(X), expected)
    with config_context(enable_metadata_routing=True):
        given["mixture"].set_fit_request(units=True)
        routed = clone(given).fit(X, y, units=unit)
        scores = cross_validate(clone(given), X, y, params={"units": unit}, cv=2)
    assert_array_equal(routed.predict(X), expected)
    assert len(scores["test_score"]) == 2


FRAMES = {"pandas": pd.DataFrame, "polars": pl.DataFrame}


@pytest.mark.parametrize("library", FRAMES)
def test_categories_of_units_are_indicators(library):
    X, y = cohort()
    make = FRAMES[library]
    sex = np.where(X["woman"] == 1.0, "f", "m")
    arm = np.repeat(np.array(["a", "b", "c"])[np.arange(N_UNITS) // 30], N_TIMES)
    named = X.assign(sex=sex, arm=arm)
    groups = grouped(2, "year", ["arm", "sex"])
    groups.fit(make(named), y, units=UNIT)
    names = ["year", "year^2", "year^3", "arm_b", "arm_c", "sex_m"]
    assert list(groups["mixture"].feature_names_in_) == names
    numbers = X.assign(b=arm == "b", c=arm == "c", man=1.0 - X["woman"])
    same = grouped(2, "year", ["b", "c", "man"])
    same.fit(make(numbers), y, units=UNIT)
    gates = [mixture_of(groups).predict_gate(make(named))]
    gates.append(mixture_of(same).predict_gate(make(numbers)))
    assert_allclose(*gates)
    effects = average_effects(groups, make(named), features=["sex"], what="gate")
    assert effects.terms[0].name == "sex: f to m"


def test_columns_of_arrays_are_named_by_their_index():
    """One feature needs no list, and categories are indicators; without features none matter."""
    X, y = cohort()
    groups = grouped(2, "year", "woman").fit(X, y, units=UNIT)
    assert_allclose(groups.predict(X), fitted().predict(X))
    table = np.column_stack([X["year"].astype(object), np.where(X["woman"] == 1.0, "f", "m")])
    groups = grouped(2, 0, 1).fit(table, y, units=UNIT)
    assert_allclose(groups.predict(table), fitted().predict(X), atol=1e-3)
    times = X[["year"]].to_numpy()
    groups = grouped(2, time=0, degree=2).fit(times, y, units=UNIT)
    assert np.ptp(mixture_of(groups).predict_gate(times), axis=0).max() == 0.0


@pytest.mark.parametrize(
    ("features", "changed", "words"),
    [
        (["noise"], {"noise": np.arange(540.0)}, ["gate_features", "'noise'", "varies"]),
        (["woman"], {"woman": np.nan}, ["X", "'woman'", "NaN"]),
        ([], {"year": "long ago"}, ["X", "'year'", "'long ago'"]),
    ],
)
def test_errors_name_the_columns_of_the_frame(features, changed, words):
    X, y = cohort()
    call = trajectories(2, "year", features).fit
    assert_refused(refusal(call, X.assign(**changed), y, units=UNIT), *words)


def test_a_pipeline_can_be_saved():
    X, _ = cohort()
    # Column transformers of scikit-learn before 1.7 hold a list of a type of their own.
    trusted = [*trusted_types(), "sklearn.compose._column_transformer._RemainderColsList"]
    same = skops.io.loads(skops.io.dumps(fitted()), trusted=trusted)
    assert_allclose(same.predict(X), fitted().predict(X))
    same = pickle.loads(pickle.dumps(fitted()["mixture"]))
    assert same.gate_features == fitted()["mixture"].gate_features


def test_the_number_of_groups_has_a_table():
    X, y = cohort()
    given = {"units": UNIT, "init": None}
    table = n_experts_table(trajectories(1, "year", ["woman"]), X, y, [1, 2, 3], **given)
    assert table.best("bic") == 2
    groups = table.to_frame("experts").loc[2]
    assert_allclose(groups["share"], [2 / 3, 1 / 3], atol=0.05)
    assert groups["mean_probability"].min() > 0.95
    assert groups["odds_of_correct_classification"].min() > 5.0
    assert_allclose(table.estimators[1].predict(X), fitted().predict(X), atol=0.05)


def test_a_number_that_was_selected_for_people_who_differ_by_degrees_warns():
    """Of one population with random intercepts, and not of two groups."""
    rng = np.random.default_rng(0)
    X, unit = pd.DataFrame({"year": np.tile(np.arange(4.0), 100)}), np.repeat(np.arange(100), 4)
    y = X["year"] + 2.0 * rng.normal(size=100)[unit] + 0.5 * rng.normal(size=400)
    groups = trajectories([1, 2, 3], "year", degree=1, random_state=0)
    with pytest.warns(NumberOfExpertsWarning) as found:
        groups.fit(X, y, units=unit)
    assert any("correlated beyond their regime" in str(warning.message) for warning in found)
    y = np.where(unit % 3, X["year"], 4.0 - X["year"]) + 0.5 * rng.normal(size=400)
    assert mixture_of(groups.fit(X, y, units=unit)).n_experts_ == 2


# --- the picture ----------------------------------------------------------------------------------


def test_the_picture_has_mean_courses_bands_and_units_of_each_group():
    X, y = cohort()
    display = TrajectoriesDisplay.from_estimator(fitted(), X, y, time="year", units=UNIT)
    mixture = mixture_of(fitted())
    rows = pd.DataFrame({"woman": 0.0, "year": display.grid, "noise": 0.0})
    assert_allclose(display.curves, mixture.predict_experts(rows))
    resp = mixture.responsibilities(X, y, units=UNIT)
    assert_allclose(display.shares, resp.proba.mean(axis=0))
    group = resp.proba.argmax(axis=1)
    for k, line in enumerate(display.lines_):
        assert_allclose(line.get_ydata(), display.curves[:, k])
        assert colors.to_hex(line.get_color()) == expert_colour(k)
        units = display.unit_lines_[k].get_segments()
        assert len(units) == (group == k).sum()
        own = np.isin(UNIT, resp.labels[group == k])
        assert_array_equal(np.concatenate(units), np.column_stack([X["year"], y])[own])
        weight = resp.rows(UNIT)[:, k]
        means = [np.average(y[X["year"] == t], weights=weight[X["year"] == t]) for t in range(6)]
        assert_allclose(display.points_[k].get_xydata(), np.column_stack([range(6), means]))
    text = all_texts(display)
    assert "95 % confidence interval" in text
    assert "% of the units" in text
    assert "in all" not in text


def test_single_powers_of_the_time_are_not_drawn():
    """A group that rises would be drawn as a line that falls."""
    X, y = cohort()
    for display in (ExpertsDisplay, RegimesDisplay):
        message = refusal(display.from_estimator, fitted(), X, y, units=UNIT)
        assert_refused(message, f"{display.__name__} changes one column", "TrajectoriesDisplay")
    X, y, unit = lines()
    line = trajectories(1, "year", degree=1).fit(X, y, units=unit)
    assert ExpertsDisplay.from_estimator(line, X, y, units=unit).feature_name == "year"


@pytest.mark.parametrize("family", ["normal", "poisson"])
def test_bands_are_confidence_intervals_of_the_linear_predictor(family):
    X, y, unit = lines()
    y = y if family == "normal" else np.random.default_rng(1).poisson(np.exp(y / 5.0))
    groups = grouped(2, "year", degree=2, family=family)
    groups.fit(X, y, units=unit)
    given = {"time": "year", "units": unit, "coverage": 0.9}
    display = TrajectoriesDisplay.from_estimator(groups, X, y, **given)
    inference = mixture_of(groups).inference(X, y, units=unit)
    design = np.column_stack([np.ones_like(display.grid), display.grid, display.grid**2])
    for k in range(2):
        own = [
            [(term.part, term.name) for term in inference.terms].index((f"expert {k}", name))
            for name in ("(Intercept)", "year", "year^2")
        ]
        predictor = design @ inference.estimates[own]
        covariance = inference.covariance[np.ix_(own, own)]
        half = 1.6449 * np.sqrt(np.einsum("ij,jk,ik->i", design, covariance, design))
        band = np.column_stack([predictor - half, predictor + half])
        expected = band if family == "normal" else np.exp(band)
        assert_allclose(display.bands[k], expected, rtol=1e-3)


def test_a_course_ends_where_its_group_ends():
    X, y = cohort()
    assigned = mixture_of(fitted()).responsibilities(X, y, units=UNIT).rows(UNIT).argmax(axis=1)
    kept = (assigned == 0) | (X["year"] <= 3)
    X, y, unit = X[kept], y[kept], UNIT[kept]
    display = TrajectoriesDisplay.from_estimator(fitted(), X, y, time="year", units=unit)
    assert display.grid[-1] == 5.0
    assert np.isfinite(display.curves[:, 0]).all()
    assert_array_equal(np.isfinite(display.curves[:, 1]), display.grid <= 3.0)
    assert_array_equal(np.isfinite(display.bands[1]).all(axis=1), display.grid <= 3.0)
    assert np.isfinite(display.means).sum(axis=0).tolist() == [6, 4]


def test_courses_of_zeros_and_ones_are_shares():
    X, y = cohort()
    ill = pd.Series((y > 4.0).astype(int), name="ill")
    groups = grouped(2, "year", family="ordinal", degree=2)
    groups.fit(X, ill, units=UNIT)
    display = TrajectoriesDisplay.from_estimator(groups, X, ill, time="year", units=UNIT)
    assert all(not hasattr(drawn, "get_segments") for drawn in display.unit_lines_)
    assert display.ax_[0].get_ylim() == (-0.1, 1.1)
    assert display.ax_[0].get_ylabel() == "Share of ill = 1"
    weight = mixture_of(groups).responsibilities(X, ill, units=UNIT).rows(UNIT)
    at_two = X["year"] == 2.0
    expected = [np.average(ill[at_two], weights=weight[at_two, k]) for k in range(2)]
    assert_allclose(display.means[2], expected)
    assert 0.0 < np.min(display.bands) < np.max(display.bands) < 1.0
    assert np.all(display.curves >= np.stack(display.bands)[..., 0].T)


def test_means_are_those_of_the_values_that_are_known():
    X, y = cohort()
    ill = pd.Series((y > 4.0).astype(float), name="ill").where(np.arange(len(y)) % 5 > 0)
    groups = grouped(2, "year", family="binary", degree=2)
    groups.fit(X, ill, units=UNIT)
    display = TrajectoriesDisplay.from_estimator(groups, X, ill, time="year", units=UNIT)
    weight = mixture_of(groups).responsibilities(X, ill, units=UNIT).rows(UNIT)
    at_two = (X["year"] == 2.0) & ill.notna()
    expected = [np.average(ill[at_two], weights=weight[at_two, k]) for k in range(2)]
    assert_allclose(display.means[2], expected)
    assert display.is_probability


def test_censored_values_are_at_their_bounds():
    X, y = cohort()
    measured = left_censored(np.maximum(y, 1.0), y > 1.0)
    groups = grouped(2, "year", degree=2).fit(X, measured, units=UNIT)
    display = TrajectoriesDisplay.from_estimator(groups, X, measured, time="year", units=UNIT)
    assert_array_equal(display.y, np.maximum(y, 1.0))
    assert display.means is None
    assert display.points_ == []
    assert np.isfinite(display.bands).all()
    assert "at their bounds" in all_texts(display)


def test_means_are_those_of_intervals_of_time_and_per_unit_of_exposure():
    rng = np.random.default_rng(0)
    time, unit = rng.uniform(0.0, 10.0, size=400), np.repeat(np.arange(40), 10)
    groups = trajectories(1, 0, degree=1).fit(time[:, None], 2.0 * time, units=unit)
    display = TrajectoriesDisplay.from_estimator(groups, time[:, None], 2.0 * time, units=unit)
    assert len(display.means) < 20
    assert_allclose(display.means, 2.0 * display.mean_times)
    X, _, unit = lines()
    exposure = np.tile([0.5, 2.0], 100)
    y = rng.poisson(3.0 * exposure)
    groups = trajectories(1, "year", degree=1, family="poisson")
    groups.fit(X, y, units=unit, mixture__offset=np.log(exposure))
    given = {"time": "year", "units": unit, "offset": np.log(exposure)}
    display = TrajectoriesDisplay.from_estimator(groups, X, y, **given)
    at_first = X["year"] == 0.0
    assert_allclose(display.means[0], y[at_first].sum() / exposure[at_first].sum())
