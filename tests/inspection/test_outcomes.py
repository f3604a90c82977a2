"""Distal outcomes: means by regime, with the correction for rows in the wrong regime."""

import pickle
from functools import cache

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose
from scipy.stats import binom, ttest_ind
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.data import right_censored
from skmoe.inspection import distal_outcome
from support.refusals import assert_refused, refusal
from support.tables import machines

MEANS = np.array([0.0, 1.0, 3.0])
PROPORTIONS = np.array([0.2, 0.5, 0.8])


def regressor(n_experts=2, **options):
    given = {"gate": "constant", "n_init": 2, "random_state": 0}
    return MixtureOfExpertsRegressor(n_experts, **given | options)


def people(n_units=400, n_rows=4, gap=1.5, seed=0):
    """Features, target and units of rows, and the regime of each unit, three of them."""
    rng = np.random.default_rng(seed)
    regime = rng.choice(3, size=n_units, p=[0.5, 0.3, 0.2])
    units, X = np.repeat(np.arange(n_units), n_rows), rng.normal(size=(n_units * n_rows, 1))
    return X, gap * regime[units] + X[:, 0] + rng.normal(size=len(units)), units, regime


def options_of_people():
    return {"shared_features": [0], "dispersion": "shared", "alpha": 0.01}


@cache
def fitted():
    X, y, units, regime = people()
    return regressor(3, **options_of_people()).fit(X, y, units=units), X, y, units, regime


# --- against other computations -----------------------------------------------------------------


def test_means_have_the_weights_of_bolck_croon_and_hagenaars():
    """By hand: w* are the rows of the indicators times the inverse of the table of errors."""
    moe, X, y, units, regime = fitted()
    outcome = MEANS[regime] + np.random.default_rng(1).normal(size=len(regime))
    proba = moe.responsibilities(X, y, units=units).proba
    assigned = np.eye(3)[proba.argmax(axis=1)]
    errors = (proba.T @ assigned) / proba.sum(axis=0)[:, None]  # P(assigned to s | regime t)
    weights = assigned @ np.linalg.inv(errors)
    expected = (weights.T @ outcome) / weights.sum(axis=0)
    found = distal_outcome(moe, X, y, outcome[units], units=units)
    assert_allclose(found.estimates, expected, rtol=1e-10)
    # Those errors take coefficients and the table of errors for known.
    scores = weights * (outcome[:, None] - expected)
    known = np.sqrt(np.square(scores).sum(axis=0)) / weights.sum(axis=0)
    assert (found.standard_errors > 0.97 * known).all()
    assert (found.standard_errors < 1.3 * known).all()


def test_regimes_that_are_certain_have_the_means_of_groups_and_their_errors():
    rng = np.random.default_rng(0)
    regime, X = np.arange(60) % 2, rng.normal(size=(60, 1))
    y, outcome = 50.0 * regime + X[:, 0] + rng.normal(size=60), regime + rng.normal(size=60)
    moe = regressor().fit(X, y)
    found = distal_outcome(moe, X, y, outcome)
    order = np.argsort(found.estimates)
    groups = [outcome[regime == k] for k in (0, 1)]
    assert_allclose(found.estimates[order], [own.mean() for own in groups], rtol=1e-10)
    errors = [own.std(ddof=1) / np.sqrt(len(own)) for own in groups]
    assert_allclose(found.standard_errors[order], errors, rtol=1e-8)
    welch = ttest_ind(*groups, equal_var=False).statistic
    assert_allclose(found.equality.statistic, welch**2, rtol=1e-8)
    assert found.equality.df == 1


def test_one_regime_has_the_mean_of_all_rows():
    X, y, *_ = people(30)
    found = distal_outcome(regressor(1).fit(X, y), X, y, y)
    assert_allclose(found.estimates, y.mean())
    assert_allclose(found.standard_errors, y.std(ddof=1) / np.sqrt(len(y)))
    assert found.equality.df == 0
    assert "Wald" not in repr(found)


# --- simulations --------------------------------------------------------------------------------


def test_corrected_means_are_unbiased_where_those_of_groups_are_not():
    """In 100 tables for a fit of many units, whose errors do not matter.

    Half of them have an outcome of two values too, and the others one that no regime changes.
    """
    n_tables, estimates, naive, covered, binary, equal = 100, [], [], [], [], 0
    X, y, units, _ = people(3000, seed=1000)
    moe = regressor(3, **options_of_people()).fit(X, y, units=units)
    rank = np.argsort(np.argsort(moe.expert_intercept_))  # the regime of each expert
    for seed in range(n_tables):
        X, y, units, regime = people(300, seed=seed)
        rng, known = np.random.default_rng([seed, 1]), {"units": units}
        outcome = MEANS[regime] + rng.normal(size=300)
        found = distal_outcome(moe, X, y, outcome[units], **known)
        own = moe.responsibilities(X, y, **known).proba.argmax(axis=1)
        naive.append([outcome[own == k].mean() for k in range(3)])
        estimates.append(found.estimates)
        covered.append(np.abs(found.estimates - MEANS[rank]) < 1.96 * found.standard_errors)
        if seed % 2:
            event = np.where(rng.uniform(size=300) < PROPORTIONS[regime], "yes", "no")
            found = distal_outcome(moe, X, y, event[units], **known)
            low, high = found.conf_int()[3:].T  # of "yes"
            binary.append((low < PROPORTIONS[rank]) & (high > PROPORTIONS[rank]))
        else:
            test = distal_outcome(moe, X, y, rng.normal(size=300)[units], **known).equality
            equal += test.p_value < 0.05
    error = np.std(estimates, axis=0) / np.sqrt(n_tables)
    assert (np.abs(np.mean(estimates, axis=0) - MEANS[rank]) < 2.0 * error).all()
    assert (np.abs(np.mean(naive, axis=0) - MEANS[rank]) > 2.0 * error).all()
    for hits in (covered, binary):
        assert 0.92 <= np.mean(hits) <= 0.97
    assert equal <= binom.ppf(0.999, n_tables / 2, 0.05)


# --- properties ---------------------------------------------------------------------------------


@cache
def of_rows():
    rng = np.random.default_rng(0)
    regime, X = rng.integers(2, size=200), rng.normal(size=(200, 2))
    y = 2.5 * regime + X[:, 0] + rng.normal(size=200)
    return regressor().fit(X, y), X, y, regime + rng.normal(size=200)


def assert_same(one, other, **options):
    assert_allclose(other.estimates, one.estimates, **options)
    assert_allclose(other.standard_errors, one.standard_errors, **options)


def test_rows_of_weight_two_are_there_twice():
    moe, X, y, outcome = of_rows()
    weight = np.r_[np.full(50, 2.0), np.zeros(20), np.ones(130)]
    rows = np.repeat(np.arange(200), weight.astype(int))
    whole = distal_outcome(moe, X[rows], y[rows], outcome[rows])
    assert_same(whole, distal_outcome(moe, X, y, outcome, sample_weight=weight), rtol=1e-10)


def test_the_order_of_rows_and_the_numbers_of_regimes_do_not_matter():
    moe, X, y, units, regime = fitted()
    outcome = MEANS[regime][units]
    found = distal_outcome(moe, X, y, outcome, units=units)
    order = np.random.default_rng(0).permutation(len(y))
    given = X[order], y[order], outcome[order]
    assert_same(found, distal_outcome(moe, *given, units=units[order]), rtol=1e-10)
    resp = moe.responsibilities(X, y, units=units).rows(units)
    other = regressor(3, **options_of_people(), init=resp[:, ::-1]).fit(X, y, units=units)
    reversed_ = distal_outcome(other, X, y, outcome, units=units)
    assert_allclose(reversed_.estimates[::-1], found.estimates, rtol=1e-3)
    assert_allclose(reversed_.equality.statistic, found.equality.statistic, rtol=1e-2)


def test_numbers_frames_and_pipelines_have_the_same_table():
    moe, X, y, outcome = of_rows()
    found = distal_outcome(moe, X, y, outcome)
    frame = pd.DataFrame(X, columns=["a", "b"])
    named = regressor().fit(frame, y)
    for given in (pd.Series(outcome, index=np.arange(200)[::-1]), pl.Series(outcome)):
        assert_same(found, distal_outcome(named, frame, y, given), rtol=1e-6)
    piped = make_pipeline(StandardScaler(), regressor()).fit(X, y)
    assert_same(found, distal_outcome(piped, X, y, outcome), rtol=1e-3)
    assert_same(found, pickle.loads(pickle.dumps(found)))
    scaled = distal_outcome(moe, X, y, 5.0 - 1e3 * outcome)
    assert_allclose(scaled.estimates, 5.0 - 1e3 * found.estimates)
    assert_allclose(scaled.standard_errors, 1e3 * found.standard_errors)


@pytest.mark.parametrize("value", [1.0, 0.1, 1e9])
def test_an_outcome_that_is_constant_has_no_error_and_no_difference(value):
    moe, X, y, _ = of_rows()
    found = distal_outcome(moe, X, y, np.where(np.arange(200) % 5 == 0, np.nan, value))
    assert (found.estimates == value).all()
    assert (found.standard_errors == 0.0).all()
    assert not found.equality.p_value < 0.05


def test_categories_have_proportions_that_sum_to_one():
    moe, X, y, outcome = of_rows()
    level = np.array(["low", "medium", "high"])[np.digitize(outcome, [0.0, 1.0])]
    found = distal_outcome(moe, X, y, level)
    assert [term.response for term in found.terms[::2]] == ["high", "low", "medium"]
    assert_allclose(found.estimates.reshape(3, 2).sum(axis=0), 1.0)
    assert found.equality.df == 2
    numbers = distal_outcome(moe, X, y, level == "low")
    assert_allclose(numbers.estimates, found.estimates[2:4])
    assert_allclose(numbers.standard_errors, found.standard_errors[2:4])
    two = distal_outcome(moe, X, y, np.where(level == "low", "low", "other"))
    assert_allclose(two.equality.statistic, numbers.equality.statistic)
    assert two.equality.df == 1


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_rows_whose_outcome_is_missing_do_not_count(missing):
    moe, X, y, outcome = of_rows()
    kept = np.arange(200) % 4 > 0
    whole = distal_outcome(moe, X[kept], y[kept], outcome[kept])
    given = pd.Series(outcome, dtype=object).where(kept, missing)
    found = distal_outcome(moe, X, y, given)
    assert_allclose(found.estimates, whole.estimates)
    assert (found.standard_errors <= whole.standard_errors).all()  # the fit has all rows
    words = pd.Series(np.where(outcome > 0.0, "yes", "no"), dtype=object)
    of_words = distal_outcome(moe, X[kept], y[kept], words[kept])
    found = distal_outcome(moe, X, y, words.where(kept, missing))
    assert_allclose(found.estimates, of_words.estimates)
    assert found.terms == of_words.terms


def test_the_frame_and_the_text_have_the_regimes():
    moe, X, y, outcome = of_rows()
    found = distal_outcome(moe, X, y, outcome)
    frame = found.to_frame()
    assert list(frame.index.get_level_values("part")) == ["expert 0", "expert 1"]
    assert not {"z", "p"} & set(frame.columns)
    assert_allclose(frame[["lower", "upper"]], found.conf_int())
    assert "Equality of the regimes is rejected" in " ".join(repr(found).split())
    assert frame._repr_html_() == found._repr_html_()


def test_classifiers_have_outcomes_too():
    _, X, y, outcome = of_rows()
    moe = MixtureOfExpertsClassifier(2, n_init=1, random_state=0).fit(X, y > 1.0)
    assert distal_outcome(moe, X, y > 1.0, outcome).estimates.shape == (2,)


# --- refusals -----------------------------------------------------------------------------------


def test_outcomes_that_have_no_meaning_are_refused():
    moe, X, y, outcome = of_rows()
    message = refusal(distal_outcome, moe, X, y, outcome[1:])
    assert_refused(message, "outcome must have one value for each", 200, "(199,)", "one column")
    message = refusal(distal_outcome, moe, X, y, np.where(np.arange(200) == 3, np.inf, outcome))
    assert_refused(message, "outcome must be finite", "row 3", "NaN")
    own = regressor().fit(X, y, units=np.repeat(np.arange(50), 4))
    message = refusal(distal_outcome, own, X, y, outcome, units=np.repeat(np.arange(50), 4))
    assert_refused(message, "outcome must be constant within each unit", "unit 0", "transform")
    chosen = np.flatnonzero(moe.responsibilities(X, y).argmax(axis=1) == 0)
    message = refusal(distal_outcome, moe, X, y, right_censored(np.ones(200), np.ones(200)))
    assert_refused(message, "outcome must have one value", "censored times", "until a time")
    message = refusal(distal_outcome, moe, X[chosen], y[chosen], outcome[chosen])
    assert_refused(message, "distal_outcome needs", "expert 1", "Fit fewer experts")


def test_series_are_refused():
    X, y, units, time = machines()
    moe = regressor(gate="markov").fit(X, y, units=units, time=time)
    message = refusal(distal_outcome, moe, X, y, y, units=units)
    assert_refused(message, "distal_outcome needs independent rows", 'gate="constant"')
