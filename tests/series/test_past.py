"""Predictions of a row know earlier rows of its series, never its own y nor later ones."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skmoe import MixtureOfExpertsRegressor
from skmoe.exceptions import FitMismatchWarning
from support.fits import fit_quietly
from support.series import classifier, regressor, rows_of_series, table, with_holes

# Series that are cut into pieces, and short ones.
DATA = table((260, 40, 12, 3, 1), n_regimes=2)


@cache
def regression():
    return fit_quietly(regressor(max_iter=20), DATA.X, with_holes(DATA.y), **DATA.series)


@cache
def classification():
    return fit_quietly(classifier(max_iter=20), DATA.X, DATA.classes, **DATA.series)


def other_values(y):
    """Very different values of the target, of which some are missing."""
    if y.dtype.kind == "f":
        return with_holes(np.roll(y, 7) * 3.0 + 5.0, 4)
    return np.where(y == "a", "b", "a")


def numbers(y):
    """A prediction, with numbers in place of classes."""
    return y if y.dtype.kind == "f" else (y == "b") * 1.0


ROWS = {
    "predict": lambda moe, X, **given: numbers(moe.predict(X, **given)),
    "predict_gate": lambda moe, X, **given: moe.predict_gate(X, **given),
    "apply": lambda moe, X, **given: moe.apply(X, **given),
    "responsibilities": lambda moe, X, y, **given: moe.responsibilities(
        X, y, given="past", **given
    ),
}
OF_REGRESSIONS = ROWS | {
    "predict_dist": lambda moe, X, **given: moe.predict_dist(X, **given).ppf([0.1, 0.8]),
    "predict_interval": lambda moe, X, **given: moe.predict_interval(X, 0.8, **given),
    "predict_quantile": lambda moe, X, **given: moe.predict_quantile(X, [0.2, 0.5], **given),
}
OF_CLASSES = ROWS | {
    "predict_proba": lambda moe, X, **given: moe.predict_proba(X, **given),
    "predict_log_proba": lambda moe, X, **given: moe.predict_log_proba(X, **given),
}
MOES = {"regression": regression, "classification": classification}
METHODS = [("regression", name, call) for name, call in OF_REGRESSIONS.items()]
METHODS += [("classification", name, call) for name, call in OF_CLASSES.items()]
TARGETS = {"regression": with_holes(DATA.y), "classification": DATA.classes}


@pytest.mark.parametrize(
    ("kind", "call"), [(kind, call) for kind, _, call in METHODS], ids=[m[1] for m in METHODS]
)
@pytest.mark.parametrize("cut", [0, 1, 7, 130])
def test_own_and_later_values_of_y_change_no_prediction(kind, call, cut):
    """Rows before each cut, and the row there, are predicted the same with another future."""
    moe, y = MOES[kind](), TARGETS[kind]
    changed, others = y.copy(), other_values(y)
    before, after = [], []
    for rows in rows_of_series(DATA.units, DATA.time).values():
        changed[rows[cut:]] = others[rows[cut:]]
        before += list(rows[: cut + 1])
        after += list(rows[cut + 1 :])
    values = call(moe, DATA.X, y=y, **DATA.series)
    found = call(moe, DATA.X, y=changed, **DATA.series)
    assert_allclose(found[before], values[before], rtol=1e-12, atol=1e-14)
    # The rows after it know the other values.
    assert not np.allclose(found[after], values[after], rtol=1e-3)


@pytest.mark.parametrize(
    ("kind", "call"), [(kind, call) for kind, _, call in METHODS], ids=[m[1] for m in METHODS]
)
def test_later_rows_need_not_be_there(kind, call):
    """The first rows of each series, alone, are predicted as they are among all."""
    moe, y = MOES[kind](), TARGETS[kind]
    own = [rows[:9] for rows in rows_of_series(DATA.units, DATA.time).values()]
    first = np.sort(np.concatenate(own))
    part = {"units": DATA.units[first], "time": DATA.time[first], "y": y[first]}
    values, alone = call(moe, DATA.X, y=y, **DATA.series), call(moe, DATA.X[first], **part)
    assert_allclose(alone, values[first], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", MOES)
def test_filtered_probabilities_know_the_own_row_but_no_later_one(kind):
    moe, y = MOES[kind](), TARGETS[kind]
    changed = y.copy()
    before, own = [], []
    for rows in rows_of_series(DATA.units, DATA.time).values():
        changed[rows[5:]] = other_values(y)[rows[5:]]
        before, own = before + list(rows[:5]), own + list(rows[5:6])
    values, found = (moe.responsibilities(DATA.X, v, **DATA.series) for v in (y, changed))
    assert_allclose(found[before], values[before], rtol=1e-12, atol=1e-14)
    assert np.abs(found[own] - values[own]).max() > 1e-3
    smoothed = [moe.responsibilities(DATA.X, v, given="all", **DATA.series) for v in (y, changed)]
    assert np.abs(smoothed[0][before] - smoothed[1][before]).max() > 1e-10
    assert_array_equal(values, moe.responsibilities(DATA.X, y, given="now", **DATA.series))


@pytest.mark.parametrize("kind", MOES)
def test_series_do_not_know_each_other(kind):
    """Other values in one series change nothing in another."""
    moe, y = MOES[kind](), TARGETS[kind]
    own = np.unique(DATA.units)[0] == DATA.units
    changed = np.where(own, other_values(y), y)
    for given in ("past", "now", "all"):
        values, found = (
            moe.responsibilities(DATA.X, v, given=given, **DATA.series) for v in (y, changed)
        )
        assert_allclose(found[~own], values[~own], rtol=1e-12, atol=1e-14)
    densities = [moe.score_samples(DATA.X, v, **DATA.series) for v in (y, changed)]
    assert_allclose(densities[0][~own], densities[1][~own], rtol=1e-12)
    paths = [moe.decode(DATA.X, v, **DATA.series) for v in (y, changed)]
    assert_array_equal(paths[0][~own], paths[1][~own])


def test_draws_are_those_of_the_distribution_given_the_past():
    moe, y = MOES["regression"](), TARGETS["regression"]
    draws = moe.sample(DATA.X, n_samples=3, random_state=5, y=y, **DATA.series)
    assert_array_equal(draws, moe.predict_dist(DATA.X, y=y, **DATA.series).rvs(3, 5))
    draws = moe.sample(DATA.X, n_samples=3000, random_state=5, y=y, **DATA.series)
    means = moe.predict(DATA.X, y=y, **DATA.series)
    error = draws.std(axis=1) / np.sqrt(3000)
    assert (np.abs(draws.mean(axis=1) - means) < 5.0 * error).all()


def test_explanations_weigh_experts_by_their_probabilities_from_the_past():
    moe, y = MOES["regression"](), TARGETS["regression"]
    explained = moe.explain(DATA.X, y=y, **DATA.series)
    gate = moe.predict_gate(DATA.X, y=y, **DATA.series)
    assert_array_equal(explained.gate, gate)
    assert_array_equal(explained.experts, moe.predict_experts(DATA.X))
    assert_allclose(explained.slope, gate @ moe.expert_coef_)
    means = (explained.gate * explained.experts).sum(axis=1)
    assert_allclose(means, moe.predict(DATA.X, y=y, **DATA.series))


def test_given_probabilities_replace_those_from_the_past():
    moe = MOES["regression"]()
    proba = np.random.default_rng(0).dirichlet([1.0, 1.0], size=len(DATA.y))
    expected = (proba * moe.predict_experts(DATA.X)).sum(axis=1)
    assert_allclose(moe.predict(DATA.X, gate_proba=proba), expected)


def test_experts_and_ranges_of_features_need_no_order():
    moe = MOES["regression"]()
    assert_allclose(
        moe.predict_experts(DATA.X), DATA.X @ moe.expert_coef_.T + moe.expert_intercept_
    )
    assert not moe.is_outside_range(DATA.X).any()


def test_score_is_that_of_predictions_from_the_past():
    moe, y = MOES["regression"](), TARGETS["regression"]
    seen = ~np.isnan(y)
    predicted = moe.predict(DATA.X, y=y, **DATA.series)
    residual = ((y - predicted)[seen] ** 2).sum()
    r2 = 1.0 - residual / ((y[seen] - y[seen].mean()) ** 2).sum()
    assert moe.score(DATA.X, y, **DATA.series) == pytest.approx(r2)
    moe, y = MOES["classification"](), TARGETS["classification"]
    predicted = moe.predict(DATA.X, y=y, **DATA.series)
    assert moe.score(DATA.X, y, **DATA.series) == pytest.approx((predicted == y).mean())


def test_rows_after_those_of_the_fit_without_earlier_ones_warn():
    """They would silently have the regime of a first row."""
    moe, X, later = regression(), DATA.X[:4], 1.0 + DATA.time.max() + np.arange(4)
    series = {"units": DATA.units[:4], "time": later}
    for y in (None, np.full(4, np.nan)):
        with pytest.warns(FitMismatchWarning, match="series begins anew.*pass their earlier rows"):
            moe.predict(X, y=y, **series)
    # No warning where some y is known, for rows of the times of the fit, or for times of a kind
    # that cannot be compared with these.
    moe.predict(X, y=np.array([1.0, np.nan, np.nan, np.nan]), **series)
    moe.predict(X, **series | {"time": later - 4.0})
    moe.predict(X, **series | {"time": np.datetime64("2020-01-01") + np.arange(4)})


@pytest.mark.parametrize("kind", ["UTC", "period", "date", "duration"])
def test_times_of_any_type_may_be_after_those_of_the_fit(kind):
    days = pd.Timestamp("2020-01-01", tz="UTC") + pd.to_timedelta(np.arange(44), unit="D")
    times = {
        "UTC": days,
        "period": days.tz_localize(None).to_period("D"),
        "date": np.array(days.date),
        "duration": days - days[0],
    }[kind]
    moe = fit_quietly(regressor(max_iter=2), DATA.X[:40], DATA.y[:40], time=times[:40])
    with pytest.warns(FitMismatchWarning, match="series begins anew"):
        moe.predict(DATA.X[40:44], time=times[40:])
    moe.predict(DATA.X[40:44], time=times[36:40])


def test_an_impossible_y_says_nothing_of_the_rows_around_it():
    rng = np.random.default_rng(0)
    regime = np.repeat([0, 1, 0, 1], 75)  # a series that is cut into pieces, too
    X = rng.normal(size=(300, 1))
    y = np.exp(2 * regime + 0.3 * X[:, 0] + 0.2 * rng.normal(size=300))
    moe = MixtureOfExpertsRegressor(2, gate="markov", family="lognormal", random_state=0).fit(X, y)
    impossible, missing = y.copy(), y.copy()
    impossible[[10, 211]], missing[[10, 211]] = 0.0, np.nan
    scores = moe.score_samples(X, impossible)
    assert np.flatnonzero(np.isneginf(scores)).tolist() == [10, 211]
    others = np.isfinite(scores)
    assert_allclose(scores[others], moe.score_samples(X, missing)[others])
    assert_allclose(moe.predict(X, y=impossible), moe.predict(X, y=missing))
    for given in ("past", "all"):
        found = moe.responsibilities(X, impossible, given=given)
        assert_allclose(found, moe.responsibilities(X, missing, given=given))
    assert_array_equal(moe.decode(X, impossible), moe.decode(X, missing))


def test_transitions_of_next_to_no_probability_leave_finite_numbers():
    rng = np.random.default_rng(0)
    X = np.arange(300.0)[:, None]  # time, by which the break can be seen exactly
    y = np.where(X[:, 0] < 150, 0.0, 5.0) + 0.1 * rng.normal(size=300)
    fit = {"gate_alpha": 0, "alpha": 0, "max_iter": 20, "random_state": 0}
    moe = MixtureOfExpertsRegressor(2, gate="markov", expert_features=[], **fit)
    fit_quietly(moe, X, y)
    for new in (y[::-1], np.roll(y, 40), np.tile(y[::150], 150)):
        found = moe.responsibilities(X, new, given="all")
        assert_allclose(found.sum(axis=1), 1.0)
        assert np.isfinite(moe.score_samples(X, new)).all()
        assert_allclose(moe.predict_gate(X, y=new).sum(axis=1), 1.0)
