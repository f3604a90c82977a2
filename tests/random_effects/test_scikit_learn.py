"""Random effects in pipelines, searches, files, and tables of other kinds."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe.inspection import distal_outcome, export_text
from skmoe.metrics import log_density_scorer
from support.fits import fit_quietly
from support.people import fitted, regressor, table

DATA = table()
X, Y, UNITS = DATA.X, DATA.y, DATA.units
NAMES = ["time", "dose", "age"]
BY_NAME = {
    "gate_features": ["age"],
    "expert_features": ["time", "dose"],
    "random_features": ["time"],
}


def test_copies_and_files():
    other = pickle.loads(pickle.dumps(fitted(n_init=2)))
    known = {"y": Y, "units": UNITS}
    assert_array_equal(other.predict(X, **known), fitted(n_init=2).predict(X, **known))
    again = clone(fitted(n_init=2))
    assert again.random_features == [0]
    assert not hasattr(again, "random_covariance_")
    again.fit(X, Y, units=UNITS)
    # The last bits depend on the number of threads.
    assert_allclose(again.random_covariance_, fitted(n_init=2).random_covariance_, rtol=1e-9)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_name_the_effects(library):
    frames = pytest.importorskip(library)
    frame = frames.DataFrame(dict(zip(NAMES, X.T, strict=True)))
    moe = regressor(n_init=2, **BY_NAME).fit(frame, Y, units=UNITS)
    assert_allclose(moe.random_covariance_, fitted(n_init=2).random_covariance_)
    terms = [term.name for term in moe.inference(frame, Y, units=UNITS).terms]
    assert {"var(intercept)", "cov(intercept, time)", "var(time)"} <= set(terms)
    for j, name in enumerate(["intercept", "time"]):
        deviation = f"{np.sqrt(moe.random_covariance_[0, j, j]):.3g}"
        assert f"sd of random effects, {name}: {deviation}" in export_text(moe)
    known = {"y": Y, "units": UNITS}
    assert_allclose(moe.predict(frame, **known), fitted(n_init=2).predict(X, **known))


def test_missing_y_is_counted():
    y = np.where(np.arange(len(Y)) % 7 == 0, np.nan, Y)
    moe = fit_quietly(regressor(n_init=1, max_iter=5), X, y, units=UNITS)
    assert moe.n_missing_ == {"y": np.isnan(y).sum()}
    assert moe.summary().facts["rows without y"] == str(np.isnan(y).sum())
    given = {"units": UNITS, "sample_weight": np.where(UNITS[0] == UNITS, 0.0, 1.0)}
    moe = fit_quietly(regressor(n_init=1, max_iter=5), X, Y, **given)
    assert not hasattr(moe, "n_missing_")


def test_pipelines_pass_units_on():
    pipe = make_pipeline(StandardScaler(), regressor(n_init=2))
    pipe.fit(X, Y, mixtureofexpertsregressor__units=UNITS)
    assert_allclose(pipe.predict(X), fitted(n_init=2).predict(X), rtol=1e-4, atol=1e-4)
    moe = pipe[-1]
    scaled = pipe[:-1].transform(X)
    known = {"y": Y, "units": UNITS}
    assert_allclose(
        moe.predict(scaled, **known), fitted(n_init=2).predict(X, **known), rtol=1e-4, atol=1e-4
    )


def test_searches_hold_out_whole_units():
    with sklearn.config_context(enable_metadata_routing=True):
        moe = regressor(n_init=4).set_fit_request(units=True, groups=False)
        options = {"scoring": log_density_scorer, "cv": GroupKFold(3), "refit": False}
        search = GridSearchCV(moe, {"random_features": [None, [], [0]]}, **options)
        search.fit(X, Y, units=UNITS, groups=UNITS)
    scores = search.cv_results_["mean_test_score"]
    assert scores[0] < scores[1] < scores[2]


def twice():
    """Weights of rows, zero, one or two for each unit, and rows with copies of units instead."""
    weight = (UNITS % 3).astype(float)
    rows = np.concatenate([np.flatnonzero(weight > 0.0), np.flatnonzero(weight > 1.0)])
    copies = np.where(np.arange(len(rows)) < (weight > 0.0).sum(), 0, 1000)
    return weight, rows, UNITS[rows] + copies


def test_scores_of_units_of_weight_two_are_those_of_two_units():
    weight, rows, units = twice()
    moe = fitted(n_init=2)
    score = log_density_scorer(moe, X, Y, units=UNITS, sample_weight=weight)
    assert score == pytest.approx(log_density_scorer(moe, X[rows], Y[rows], units=units))


def test_distal_outcomes_of_units_of_weight_two_are_those_of_two_units():
    weight, rows, units = twice()
    outcome = np.random.default_rng(0).normal(size=UNITS.max() + 1)[UNITS]
    moe = regressor(n_init=2, expert_features=[0]).fit(X, Y, units=UNITS, sample_weight=weight)
    found = distal_outcome(moe, X, Y, outcome, units=UNITS, sample_weight=weight)
    given = {"units": units, "sample_weight": np.ones(len(rows))}
    other = distal_outcome(moe, X[rows], Y[rows], outcome[rows], **given)
    assert_allclose(found.estimates, other.estimates)
    assert_allclose(found.standard_errors, other.standard_errors, rtol=1e-5)


def test_scores_without_units_are_those_of_new_units():
    scores = cross_val_score(
        regressor(n_init=4), X, Y, cv=GroupKFold(3), groups=UNITS, params={"units": UNITS}
    )
    assert (scores < 0.6).all()


def test_warm_starts_go_on():
    moe = regressor(n_init=2, warm_start=True).fit(X, Y, units=UNITS)
    first = moe.lower_bound_
    assert moe.fit(X, Y, units=UNITS).lower_bound_ == pytest.approx(first, abs=1e-6)
    assert moe.n_iter_ < 10


def test_tables_and_summaries_have_the_covariances():
    frame = pd.DataFrame(X, columns=NAMES)
    own = regressor(random_covariance="per_expert", n_init=2, **BY_NAME).fit(frame, Y, units=UNITS)
    table_of_own = own.inference(frame, Y, units=UNITS).to_frame()
    for k, name in enumerate(own.expert_names_):
        matrix = own.random_covariance_[k]
        values = table_of_own.loc[(name, "")]["estimate"]
        expected = [matrix[0, 0], matrix[0, 1], matrix[1, 1]]
        names = ["var(intercept)", "cov(intercept, time)", "var(time)"]
        assert_allclose(values[names], expected)
    shared = regressor(n_init=2, **BY_NAME).fit(frame, Y, units=UNITS)
    text = str(shared.summary(frame, Y, units=UNITS))
    assert "Common to all experts" in text
    assert text.count("var(time)") == 1
    assert str(own.summary(frame, Y, units=UNITS)).count("var(time)") == 2
    assert "var(time)" in str(own.summary())
