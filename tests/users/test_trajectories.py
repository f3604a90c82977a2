"""Courses over time: the recipe, its table of numbers of groups, and its picture."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from matplotlib import colors
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import SplineTransformer

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import TrajectoriesDisplay, average_effects
from skmoe.model_selection import n_experts_table
from skmoe.pipelines import mixture_of
from skmoe.recipes import trajectories
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


@cache
def fitted():
    X, y = cohort()
    return trajectories(2, "year", ["woman"], random_state=0).fit(X, y, mixture__units=UNIT)


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


def test_courses_are_splines_of_time_and_nothing_else():
    X, y = cohort()
    options = {"degree": 2, "n_knots": 4, "family": "student_t"}
    pipeline = trajectories(2, "year", ["woman"], random_state=0, **options)
    pipeline = clone(pipeline).fit(X, y, mixture__units=UNIT)
    columns = SplineTransformer(4, 2, include_bias=False).fit_transform(X[["year"]])
    table = np.column_stack([columns, X["woman"]])
    moe = MixtureOfExpertsRegressor(
        2,
        family="student_t",
        expert_features=[0, 1, 2, 3],
        gate_features=[4],
        alpha=0.1,
        gate_alpha=0.1,
        random_state=0,
    )
    moe.fit(table, y, units=UNIT)
    assert_allclose(pipeline.predict(X), moe.predict(table))


@pytest.mark.parametrize("degree", [1, 3])
def test_two_knots_are_a_polynomial(degree):
    X, y = cohort()
    pipeline = trajectories(1, "year", degree=degree).set_params(mixture__alpha=0.0)
    pipeline.fit(X, y, mixture__units=UNIT)
    expected = np.polyval(np.polyfit(X["year"], y, degree), X["year"])
    assert_allclose(pipeline.predict(X), expected)


def test_without_features_of_units_the_gate_is_constant():
    X, y = cohort()
    pipeline = trajectories(2, time=0, random_state=0, degree=2)
    pipeline.fit(X[["year"]].to_numpy(), y, mixture__units=UNIT)
    gate = mixture_of(pipeline).predict_gate(X[["year"]].to_numpy())
    assert np.ptp(gate, axis=0).max() == 0.0


def test_the_number_of_groups_has_a_table():
    X, y = cohort()
    table = n_experts_table(
        trajectories(1, "year", ["woman"]), X, y, [1, 2, 3], units=UNIT, init=None
    )
    assert table.best("bic") == 2
    groups = table.to_frame("experts").loc[2]
    assert_allclose(groups["share"], [2 / 3, 1 / 3], atol=0.05)
    assert groups["mean_probability"].min() > 0.95
    assert groups["odds_of_correct_classification"].min() > 5.0
    assert_allclose(table.estimators[1].predict(X), fitted().predict(X), atol=0.05)


def test_effects_of_time_are_those_of_the_input():
    X, _ = cohort()
    effects = average_effects(fitted(), X, features=["woman", "year"], what="gate")
    assert [term.name for term in effects.terms[:2]] == ["woman: 0 to 1", "year"]
    assert effects.estimates[2] > 0.3  # on the probability of the second group
    assert_allclose(effects.estimates[[1, 3]], 0.0, atol=1e-12)


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
        low, high = (np.interp(X["year"][own], display.grid, bound) for bound in display.bands[k].T)
        assert 0.8 < np.mean((low <= y[own]) & (y[own] <= high)) < 0.99
    text = all_texts(display)
    assert "90 % interval" in text
    assert "% of the units" in text
    assert "in all" not in text


def test_some_units_are_shown_of_many():
    X, y = cohort()
    given = {"time": "year", "units": UNIT, "max_units": 10, "coverage": None}
    display = TrajectoriesDisplay.from_estimator(fitted(), X, y, **given)
    assert sum(len(lines.get_segments()) for lines in display.unit_lines_) == 10
    assert f"10 of {N_UNITS} in all" in all_texts(display)
    assert display.bands_ == []


def test_a_time_that_is_no_column_is_refused():
    X, y = cohort()
    message = refusal(TrajectoriesDisplay.from_estimator, fitted(), X, y, time="month")
    assert_refused(message, "time", "month")
