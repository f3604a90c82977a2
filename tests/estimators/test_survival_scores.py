"""Scores of times of events against their definitions, and against values known otherwise."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import quad, trapezoid
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.model_selection import KFold, cross_val_score, cross_validate

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.data import interval_censored, left_censored, right_censored
from skmoe.metrics import (
    censored_crps,
    concordance_index,
    integrated_brier_score,
    make_survival_scorers,
)
from support.refusals import assert_refused, refusal


def times(n_rows=60, seed=0, rate=0.5):
    """Times with ties, events, predictions with ties, and weights."""
    rng = np.random.default_rng(seed)
    time = rng.integers(1, 15, size=n_rows).astype(float)
    prediction = np.floor(0.5 * time + rng.normal(size=n_rows) * 3.0)
    return time, rng.uniform(size=n_rows) < rate, prediction, rng.uniform(1.0, 3.0, size=n_rows)


def by_pairs(time, event, prediction, weight):
    """Harrell's definition."""
    in_order = total = 0.0
    for i in np.flatnonzero(event):
        later = (time > time[i]) | ((time == time[i]) & ~event)
        agree = (prediction > prediction[i]) + 0.5 * (prediction == prediction[i])
        total += weight[i] * weight[later].sum()
        in_order += weight[i] * (weight * agree)[later].sum()
    return in_order / total


@pytest.mark.parametrize("seed", range(3))
def test_concordance_is_the_share_of_known_pairs(seed):
    time, event, prediction, weight = times(seed=seed)
    y = right_censored(time, event)
    for given in (np.ones(len(time)), weight):
        expected = by_pairs(time, event, prediction, given)
        assert_allclose(concordance_index(y, prediction, sample_weight=given), expected)
    assert_allclose(concordance_index(y, time - 0.1 * event), 1.0)
    assert_allclose(concordance_index(y, -time + 0.1 * event), 0.0)
    assert_allclose(concordance_index(y, np.zeros(len(time))), 0.5)


def test_concordance_of_limited_values_is_that_of_the_reversed_axis():
    time, event, prediction, _ = times()
    reversed_axis = concordance_index(left_censored(-time, event), -prediction)
    y = right_censored(time, event)
    assert_allclose(reversed_axis, concordance_index(y, prediction))


def test_overlapping_intervals_are_in_no_order():
    y = interval_censored([0.0, 1.0, 5.0], [2.0, 3.0, 6.0])
    assert_allclose(concordance_index(y, [1.0, 0.0, 2.0]), 1.0)
    assert np.isnan(concordance_index(y[:2], [1.0, 0.0]))


def test_brier_score_of_known_times_is_a_squared_error():
    time, _, _, weight = times()
    grid = np.linspace(1.0, 12.0, 23)
    survival = np.exp(-np.outer(weight, grid) / 10.0)
    errors = np.square(survival - (time[:, None] > grid))
    expected = trapezoid(np.average(errors, axis=0, weights=weight), grid) / 11.0
    found = integrated_brier_score(time, survival, grid, sample_weight=weight)
    assert_allclose(found, expected)
    alone = integrated_brier_score(time, survival[:, :1], grid[:1])
    assert_allclose(alone, errors[:, 0].mean())


def test_brier_score_of_a_small_table():
    """By hand: the observation of the second row ends at 2, so that G is 2/3 from there on."""
    y = right_censored([1.0, 2.0, 3.0, 4.0], [True, False, True, True])
    survival = np.array([[0.2], [0.5], [0.4], [0.9]])
    expected = (0.2**2 + 0.4**2 / (2 / 3) + 0.1**2 / (2 / 3)) / 4
    assert_allclose(integrated_brier_score(y, survival, [3.0]), expected)
    # An event at the time at which an observation ends comes before: one of two rows is lost.
    y = right_censored([1.0, 2.0, 2.0, 3.0], [True, True, False, True])
    expected = (0.2**2 + 0.5**2 + 0.1**2 / (1 / 2)) / 4
    assert_allclose(integrated_brier_score(y, survival, [2.5]), expected)


def weibull(grid, scale=2.0):
    return np.exp(-((np.maximum(grid, 0.0) / scale) ** 1.5))


def test_censored_crps_is_the_integral_of_squared_errors():
    rng = np.random.default_rng(0)
    lower = rng.uniform(0.2, 3.0, size=12)
    upper = lower + np.repeat([0.0, 0.7, np.inf], 4)
    lower[4:6] = -np.inf
    grid, scale = np.linspace(0.0, 5.0, 1001), np.linspace(1.0, 3.0, 12)
    y, survival = interval_censored(lower, upper), weibull(grid, scale[:, None])
    expected = [
        quad(lambda t, s=s: (1.0 - weibull(t, s)) ** 2, 0.0, max(low, 0.0))[0]
        + quad(lambda t, s=s: weibull(t, s) ** 2, min(high, 5.0), 5.0)[0]
        for low, high, s in zip(lower, upper, scale, strict=True)
    ]
    for i, wanted in enumerate(expected):
        found = censored_crps(y[[i]], survival[[i]], grid)
        assert_allclose(found, wanted, rtol=1e-4, atol=1e-7)
    weight = rng.uniform(size=12)
    found = censored_crps(y, survival, grid, sample_weight=weight)
    assert_allclose(found, np.average(expected, weights=weight), rtol=1e-4)


# --- scorers ---


def table(n_rows=150, never=0.0):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 2))
    time, end = np.exp(X[:, 0]) * rng.weibull(2.0, size=n_rows), rng.uniform(0.5, 4.0, size=n_rows)
    time[rng.uniform(size=n_rows) < never] = np.inf
    return X, right_censored(np.minimum(time, end), time <= end)


@pytest.mark.parametrize("family", ["weibull", ["never", "weibull"], "normal"])
def test_scores_of_cross_validation(family):
    number = 1 if isinstance(family, str) else 2
    X, y = table(never=0.3 * (number - 1))
    moe = MixtureOfExpertsRegressor(number, family=family, random_state=0, n_init=1)
    own, found = (
        cross_val_score(moe, X, y, cv=2),
        cross_validate(moe, X, y, scoring=make_survival_scorers(), cv=2),
    )
    assert_allclose(own, found["test_concordance"])
    assert (own > 0.5).all()
    assert (found["test_neg_integrated_brier"] > -0.25).all()
    assert np.isfinite(found["test_log_density"]).all()
    train, test = next(KFold(2).split(X))
    moe.fit(X[train], y[train])
    grid = np.linspace(min(y["lower"][test].min(), 0.0), y["lower"][test].max(), 3000)
    crps = censored_crps(y[test], moe.predict_dist(X[test]).sf(grid[None]), grid)
    assert_allclose(found["test_neg_censored_crps"][0], -crps, rtol=1e-3)


SCORES = ["concordance", "neg_integrated_brier", "neg_censored_crps"]


def warned_scores(y):
    """Scores of rows, and the scores that warnings name."""
    X, known = table(40)
    moe = MixtureOfExpertsRegressor(1, family="weibull").fit(X, known)
    scorers, found = make_survival_scorers(), {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for name in SCORES:
            found[name] = scorers[name](moe, X, y)
    messages = [str(w.message) for w in caught if w.category is UndefinedMetricWarning]
    assert all("too few events" in message for message in messages)
    named = [name for name in SCORES if any(f'"{name}"' in message for message in messages)]
    return found, named


@pytest.mark.parametrize("name", SCORES)
def test_scores_of_several_times_are_refused(name):
    X, y = table(40)
    several = np.stack([y, y], axis=1)
    moe = MixtureOfExpertsRegressor(1, family="weibull").fit(X, several)
    message = refusal(make_survival_scorers()[name], moe, X, several)
    assert "output" in message
    assert "log_density_scorer" in message


@pytest.mark.parametrize(
    ("factor", "event", "undefined"),
    [
        (1.0, np.zeros(40), SCORES[:2]),
        (1.0, np.arange(40) == 5, []),
        (0.0, np.zeros(40), SCORES),
    ],
)
def test_scores_without_events_are_nan_with_a_warning_that_names_them(factor, event, undefined):
    found, named = warned_scores(right_censored(factor * table(40)[1]["lower"], event))
    assert named == undefined
    assert [name for name in SCORES if np.isnan(found[name])] == undefined


def test_times_after_the_last_observation_have_the_score_of_the_events_before():
    y = right_censored([1, 2, 3], [1, 1, 0])
    assert integrated_brier_score(y, [[1.0, 1.0]] * 3, [1.0, 3.0]) == pytest.approx(0.5)
    assert integrated_brier_score(y, np.full((3, 2), 0.5), [3.0, 9.0]) == pytest.approx(1.0 / 6.0)


@pytest.mark.parametrize("value", [1.5, -0.1, np.nan])
@pytest.mark.parametrize("score", [integrated_brier_score, censored_crps])
def test_predicted_survival_is_a_probability(score, value):
    survival = np.full((4, 2), 0.5)
    survival[2, 1] = value
    message = refusal(score, right_censored([1.0, 2, 3, 4], [1, 0, 1, 1]), survival, [1.0, 2.0])
    assert_refused(message, "survival must", "0 to 1", "row 2", f"{value:g}", "predict_dist")


def test_score_of_a_structured_target_is_the_concordance_also_of_known_times_and_outputs():
    X, y = table()
    moe = MixtureOfExpertsRegressor(1, family="weibull").fit(X, y)
    known, last = interval_censored(y["lower"], y["lower"]), y["lower"].max()
    expected = concordance_index(y["lower"], moe.predict_dist(X).restricted_mean(last))
    assert_allclose(moe.score(X, known), expected)
    assert moe.score(X, y["lower"]) != expected
    both = np.stack([y, interval_censored(2.0 * y["lower"], 2.0 * y["upper"])[::-1]], axis=1)
    moe.fit(X, both)
    horizon = np.broadcast_to(last * np.array([1.0, 2.0]), (len(X), 2))
    means = moe.predict_dist(X).restricted_mean(horizon)
    each = [concordance_index(both[:, j], means[:, j]) for j in range(2)]
    assert_allclose(moe.score(X, both), np.mean(each))


def test_bad_arguments_are_refused():
    X, y = table(40)
    ones, at = np.ones((40, 2)), [1.0, 2.0]
    limits, both = left_censored(np.ones(40), np.arange(40) % 2), np.stack([y, y], axis=1)
    refused = [(concordance_index, (y, np.ones(3)), "a number for each of the 40 rows")]
    for score in (integrated_brier_score, censored_crps):
        refused += [
            (score, (y, ones, [2.0, 1.0]), "increasing"),
            (score, (y, ones, [2.0, np.inf]), "finite"),
            (score, (y, np.ones((40, 3)), at), "shape (40, 2)"),
        ]
    refused += [
        (censored_crps, (y, np.ones((40, 1)), [1.0]), "at least 2"),
        (censored_crps, (both, ones, at), "one output"),
        (integrated_brier_score, (limits, np.ones((40, 1)), [1.0]), "right-censored time"),
        (MixtureOfExpertsClassifier().fit, (X, y), "cannot be censored"),
    ]
    for call, arguments, words in refused:
        assert words in refusal(call, *arguments)
