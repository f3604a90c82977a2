"""Fits to censored y: what it is made of, what is refused, and limits in which the fit is known."""

import pickle
from functools import cache

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.data import interval_censored, left_censored, right_censored
from skmoe.families import FAMILIES
from skmoe.gates import SoftmaxGate
from skmoe.inspection import (
    CoefficientsDisplay,
    permutation_importance_by_part,
)
from skmoe.metrics import neg_crps_scorer
from support.expert_kinds import draw, options_of
from support.fits import fit_quietly
from support.refusals import assert_refused, refusal

NAMES = [name for name, family in FAMILIES.items() if family.link and family.takes_bounds]
FIXED = {"alpha": 0.1, "gate_alpha": 1.0}
OPTIONS = {"n_init": 1, "random_state": 0, "tol": 1e-9, "max_iter": 1000} | FIXED


def table(name="weibull", n_rows=100, seed=0):
    """Features, and values of a family in two regimes."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, size=(n_rows, 2))
    return X, draw(name, 1.0 + np.abs(X[:, 0]), rng, (0.2, 5.0)), rng


def mixture(name="weibull", n_experts=2, **options):
    return MixtureOfExpertsRegressor(n_experts, **options_of(name) | OPTIONS | options)


@cache
def fitted(name):
    """A fit to values, which tests read only."""
    return mixture(name).fit(*table(name)[:2])


def censored(y, rng):
    """The values, of which a half is known by a lower bound only."""
    event = rng.integers(0, 2, size=len(y))
    return right_censored(np.where(event, y, np.floor(0.8 * y)), event)


# --- limits in which the fit is known ---


@pytest.mark.parametrize("name", NAMES)
def test_a_target_of_known_values_is_that_of_numbers(name):
    X, y, _ = table(name)
    plain, bounds = fitted(name), mixture(name).fit(X, interval_censored(y, y))
    assert_array_equal(bounds.predict(X), plain.predict(X))
    assert_allclose(
        plain.score_samples(X, interval_censored(y, y)), plain.score_samples(X, y), rtol=1e-12
    )


@pytest.mark.parametrize("name", NAMES)
def test_censored_rows_without_weight_are_absent(name):
    X, y, _ = table(name)
    observed = np.arange(len(y)) >= 20
    weighted = mixture(name).fit(X, right_censored(y, observed), sample_weight=observed * 1.0)
    absent = mixture(name).fit(X[observed], y[observed])
    assert_allclose(weighted.lower_bound_, absent.lower_bound_, rtol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_a_narrow_interval_has_its_width_times_the_density(name):
    if FAMILIES[name].is_count:
        return
    X, y, _ = table(name)
    moe, width = fitted(name), 1e-7 * y.std()
    kept = y < 0.99 if name == "beta" else y < np.inf
    X, y = X[kept], y[kept]
    interval = interval_censored(y - 0.5 * width, y + 0.5 * width)
    logs = moe.score_samples(X, interval) - np.log(width)
    assert_allclose(logs, moe.score_samples(X, y), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_probabilities_of_intervals_are_those_of_the_predicted_distribution(name):
    X, y, rng = table(name)
    moe = fitted(name)
    dist, upper = moe.predict_dist(X), y + rng.integers(1, 3, size=len(y))
    for lower, high, expected in (
        (y, np.inf, np.log(1.0 - dist.cdf_left(y))),
        (-np.inf, y, dist.logcdf(y)),
        (y, upper, np.log(dist.cdf(upper) - dist.cdf_left(y))),
    ):
        bounds = interval_censored(np.broadcast_to(lower, y.shape), np.broadcast_to(high, y.shape))
        if name != "beta" or not np.isfinite(high).all():
            assert_allclose(moe.score_samples(X, bounds), expected, rtol=1e-6, atol=1e-9)


# --- the rows ---


def test_times_and_events_are_accepted_as_of_scikit_survival():
    X, y, rng = table()
    event = rng.integers(0, 2, size=len(y)).astype(bool)
    pairs = np.array(list(zip(event, y, strict=True)), dtype=[("cens", bool), ("time", float)])
    expected = mixture().fit(X, right_censored(y, event)).predict(X)
    assert_array_equal(mixture().fit(X, pairs).predict(X), expected)


# --- never ---


def test_a_cured_share_is_found():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1500, 1))
    cured = rng.uniform(size=1500) < 1.0 / (1.0 + np.exp(-2.0 * X[:, 0]))
    time, end = rng.weibull(2.0, size=1500), rng.uniform(2.0, 4.0, size=1500)
    y = right_censored(np.where(cured | (time > end), end, time), ~cured & (time <= end))
    moe = MixtureOfExpertsRegressor(2, family=["never", "weibull"], n_init=1, random_state=0)
    moe.fit(X, y)
    assert_allclose(moe.gate_coef_[0, 0] - moe.gate_coef_[1, 0], 2.0, atol=0.4)
    assert_allclose(moe.expert_coef_[1], 0.0, atol=0.1)
    resp = moe.responsibilities(X, y)
    assert (resp[np.isfinite(y["upper"]), 0] == 0.0).all()
    for method in (moe.predict, moe.explain):
        assert "mean of y is infinite" in refusal(method, X)
    assert CoefficientsDisplay.from_estimator(moe, X, y).figure_ is not None


# --- what is refused ---


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: interval_censored([1.0, 3.0], [2.0, 2.5]), "row 1 is 3 to 2.5"),
        (lambda: interval_censored([1.0, np.nan], [2.0, 2.5]), "NaN; row 1"),
        (lambda: interval_censored([np.inf], [np.inf]), "finite where it is known; row 0"),
        (lambda: right_censored([1.0, 2.0], [1, 2]), "event must hold True and False"),
        (lambda: left_censored(["a"], [1]), "y must hold numbers"),
        (lambda: interval_censored([1.0], [1.0, 2.0]), "two numbers for each row"),
    ],
)
def test_bad_bounds_are_refused_by_row(make, words):
    assert words in refusal(make)


TIMES = {"right": (right_censored, "time", "event"), "left": (left_censored, "y", "observed")}


@pytest.mark.parametrize("side", TIMES)
@pytest.mark.parametrize("flags", [1, [1], [1, 0], [[1, 0, 1]], [[1], [0], [1]]])
def test_flags_have_the_shape_of_the_values(side, flags):
    make, _, of_flags = TIMES[side]
    message = refusal(make, [1.0, 2.0, 3.0], flags)
    assert_refused(message, of_flags, "an entry for each", "(3,)", str(np.shape(flags)))


@pytest.mark.parametrize("side", TIMES)
@pytest.mark.parametrize("flags", [["dead", "alive"], [True, None], [1, 0.5], [True, pd.NA]])
def test_flags_are_true_or_false(side, flags):
    make, _, of_flags = TIMES[side]
    wrong = flags[0] if isinstance(flags[0], str) else flags[1]
    assert_refused(refusal(make, [1.0, 2.0], flags), of_flags, "1 and 0", wrong, "Compare a code")


DURATIONS = np.array([5, 8], "m8[D]")
DATES = np.array(["2020-01-01", "NaT"], "M8[D]")


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_columns_are_those_of_a_frame(frame):
    table = frame({"days": [5.0, 8.0], "dead": [True, False], "since": [0.0, 2.0]})
    expected = right_censored([5.0, 8.0], [1, 0], entry=[0.0, 2.0])
    assert_array_equal(right_censored("days", "dead", entry="since", data=table), expected)
    assert_array_equal(right_censored("days", [1, 0], entry="since", data=table), expected)
    assert_refused(refusal(right_censored, "days", "died", data=table), "event", "died", "since")
    assert_refused(refusal(right_censored, "days", "dead"), "time", "days", "data=frame")


@pytest.mark.parametrize("unit", ["D", "s", "us", "ns"])
@pytest.mark.parametrize("kind", [np.asarray, pd.Series, list, pd.to_timedelta])
def test_durations_are_counted_in_days_whatever_their_unit(kind, unit):
    values = kind(DURATIONS.astype(f"m8[{unit}]"))
    assert_array_equal(right_censored(values, [1, 0])["lower"], [5.0, 8.0])
    assert_array_equal(left_censored(values, [1, 0])["upper"], [5.0, 8.0])
    assert_array_equal(interval_censored([1.0, 2.0], values)["upper"], [5.0, 8.0])


@pytest.mark.parametrize("kind", [np.asarray, pd.Series, list, pd.to_datetime])
def test_dates_are_refused(kind):
    values = kind(DATES)
    for make, name in (
        (lambda: right_censored(values, [1, 0]), "time"),
        (lambda: left_censored(values, [1, 0]), "y"),
        (lambda: interval_censored([1.0, 2.0], values), "upper"),
    ):
        assert_refused(refusal(make), name, "times since a start", f"{name} - start")


@pytest.mark.parametrize(
    ("y", "options", "words"),
    [
        (right_censored(np.ones(40), np.zeros(40)), {}, "not right-censored"),
        (right_censored(np.arange(40.0) - 5, np.arange(40) % 2), {}, "row 0 holds -5 to inf"),
        (np.zeros(40, dtype=[("a", float), ("b", float)]), {}, "fields lower and upper"),
        (np.arange(1.0, 41.0), {"family": ["never", "weibull"]}, "right-censored times"),
        (right_censored(np.full(40, 1.5), np.arange(40) % 2), {"family": "poisson"}, "counts"),
    ],
)
def test_bad_targets_are_refused(y, options, words):
    X = np.random.default_rng(0).normal(size=(40, 1))
    assert words in refusal(lambda: mixture(**options).fit(X, y))


@pytest.mark.parametrize(
    "pairs",
    [
        lambda y, event: pd.Series(y.tolist()),
        lambda y, event: y.tolist(),
        lambda y, event: list(y),
        lambda y, event: pd.DataFrame({"time": y["lower"], "event": event}),
        lambda y, event: [
            (bool(e), float(time)) for e, time in zip(event, y["lower"], strict=True)
        ],
    ],
)
def test_pairs_are_neither_numbers_nor_two_outputs(pairs):
    X, y, rng = table()
    y = censored(y, rng)
    moe = mixture().fit(X, y)
    for method in (moe.fit, moe.score, moe.score_samples):
        assert "Use skmoe.data" in refusal(method, X, pairs(y, np.isfinite(y["upper"])))


def test_a_classifier_has_no_score_for_censored_times():
    X, y, rng = table()
    moe = MixtureOfExpertsClassifier(2, random_state=0, n_init=1).fit(X, y > np.median(y))
    for method in (moe.score, moe.score_samples):
        assert "cannot be censored" in refusal(method, X, censored(y, rng))


@pytest.mark.parametrize(
    "use",
    [
        neg_crps_scorer,
    ],
)
def test_what_needs_values_is_refused_with_a_remedy(use):
    X, y, rng = table()
    y = censored(y, rng)
    assert "Use score_samples" in refusal(use, mixture().fit(X, y), X, y)


def test_importances_are_those_of_densities_of_censored_values():
    X, y, rng = table()
    y = censored(y, rng)
    moe = mixture().fit(X, y)
    found = permutation_importance_by_part(moe, X, y, n_repeats=1, random_state=0)
    assert_allclose(found.score, moe.score_samples(X, y).mean())


def test_a_fit_to_values_is_not_continued_by_censored_ones():
    X, y, rng = table()
    moe = mixture("normal", warm_start=True).fit(X, y)
    assert "of censored y" in refusal(moe.fit, X, censored(y, rng))


# --- units of y, and other options ---


@pytest.mark.parametrize("name", ["weibull", "gamma", "normal"])
def test_a_change_of_units_multiplies_the_densities_of_values_only(name):
    X, y, rng = table(name, n_rows=80)
    y = censored(y, rng)
    scaled = interval_censored(1000.0 * y["lower"], 1000.0 * y["upper"])
    one, other = mixture(name).fit(X, y), mixture(name).fit(X, scaled)
    change = np.where(np.isfinite(y["upper"]), np.log(1000.0), 0.0)
    assert_allclose(one.score_samples(X, y) - change, other.score_samples(X, scaled), atol=1e-4)
    assert_allclose(other.predict(X), 1000.0 * one.predict(X), rtol=1e-4)


OPTIONS_OF_FITS = {
    "found penalties": {"alpha": "auto", "gate_alpha": "auto", "dispersion_prior": "auto"},
    "a penalty for each feature": {"alpha": "ard"},
    "search": {"init": "search", "max_iter": 60},
    "top_k": {"gate": SoftmaxGate(top_k=1)},
    "selected number": {"n_experts": "bic"},
    "shared slopes": {"shared_features": [1]},
    "signs": {"monotonic_cst": [0, 1]},
    "dispersion features": {"dispersion_features": [1]},
    "shared dispersions": {"dispersion": "shared"},
}


# In turn of two families.
@pytest.mark.parametrize(
    ("name", "option"),
    [("weibull" if i % 2 else "normal", option) for i, option in enumerate(OPTIONS_OF_FITS)],
)
def test_options_of_fits_are_possible(name, option):
    X, y, rng = table(name, n_rows=60)
    y = censored(y, rng)
    moe = fit_quietly(mixture(name, tol=1e-4).set_params(**OPTIONS_OF_FITS[option]), X, y)
    assert moe.converged_
    falls = np.diff(moe.lower_bounds_) / (1.0 + np.abs(moe.lower_bounds_[1:]))
    assert min(falls, default=0.0) > -1e-10
    copy = pickle.loads(pickle.dumps(moe))
    assert_array_equal(copy.score_samples(X, y), moe.score_samples(X, y))
    assert "log-lik" in str(moe.summary(X, y)).lower()


def test_rows_of_units_and_known_experts_are_censored():
    X, y, rng = table()
    y, units = censored(y, rng), np.arange(len(y)) // 3
    X[:, 1] = X[units * 3, 1]
    moe = mixture(gate_features=[1]).fit(X, y, units=units)
    logs = moe.score_samples(X, y, units=units)
    assert logs.sum() / len(y) == pytest.approx(moe.lower_bound_, abs=0.5)
    known = np.where(np.arange(len(y)) < 20, 0, -1)
    moe = mixture().fit(X, y, known_experts=known)
    assert np.isfinite(moe.lower_bound_)


def test_several_outputs_are_censored_apart():
    X, y, rng = table()
    both = np.column_stack([censored(y, rng), censored(y, rng)])
    one = mixture(n_experts=1, alpha=0.1, dispersion_prior=0.0)
    moe = clone(one).fit(X, both)
    for j in range(2):
        alone = one.fit(X, both[:, j])
        assert_allclose(moe.predict(X)[:, j], alone.predict(X), rtol=1e-4)
