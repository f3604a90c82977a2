"""Censored times beside outcomes of other families, of which some are missing."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.model_selection import cross_val_score, train_test_split

from outcomes.conftest import mixture
from skmoe.data import interval_censored, right_censored
from skmoe.inspection import CalibrationDisplay, SurvivalDisplay, average_effects
from skmoe.metrics import concordance_index, log_density_scorer
from skmoe.model_selection import n_experts_test
from support.fits import fit_quietly
from support.refusals import assert_fit_refused

FAMILIES = {"time": "weibull", "crp": "lognormal", "smoker": "binary"}
N = 300


class Patients(NamedTuple):
    """Features, the end of the observation, whether the event came, and other outcomes."""

    X: pd.DataFrame
    end: np.ndarray
    event: np.ndarray
    others: pd.DataFrame

    @property
    def y(self):
        """All outcomes; some of each are missing."""
        end = np.where(np.arange(N) % 9 == 0, -np.inf, self.end)
        event = np.where(np.arange(N) % 9 == 0, False, self.event)
        return self.others.assign(time=list(right_censored(end, event)))[list(FAMILIES)]

    @property
    def polars(self):
        """The same, of polars."""
        columns = {name: self.y[name].to_numpy() for name in FAMILIES}
        columns["time"] = np.array(columns["time"].tolist(), dtype=columns["time"][0].dtype)
        return pl.DataFrame(columns)


def log_densities(moe, X, of_time, others):
    """Log densities (n, K) of outcomes under each expert, of times by a method of SciPy."""
    total = 0.0
    for j, name in enumerate(FAMILIES):
        eta = X.to_numpy() @ moe.expert_coef_[:, j].T + moe.expert_intercept_[:, j]
        if name == "time":
            total = total + of_time(1.0 / np.sqrt(moe.dispersion_[:, j]), np.exp(eta))
            continue
        own = others[name].to_numpy()[:, None]
        if name == "crp":
            scale = np.sqrt(moe.dispersion_[:, j])
            found = stats.lognorm.logpdf(own, scale, scale=np.exp(eta))
        else:
            found = np.where(own > 0.5, -np.logaddexp(0.0, -eta), -np.logaddexp(0.0, eta))
        total = total + np.where(np.isnan(own), 0.0, found)
    return total


def of_ends(end, event):
    """Log densities of times that are censored at their end; missing ones have none."""
    end, event = np.asarray(end)[:, None], np.asarray(event)[:, None]

    def found(shape, scale):
        density = stats.weibull_min.logpdf(end, shape, scale=scale)
        return np.where(event, density, stats.weibull_min.logsf(end, shape, scale=scale))

    return found


@pytest.fixture(scope="module")
def patients():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(N, 2)), columns=["age", "dose"])
    is_second = X["age"] + 0.4 * rng.logistic(size=N) > 0.0
    time = np.where(is_second, np.exp(1.0 + 0.5 * X["dose"]), 1.0) * rng.weibull(2.0, size=N)
    limit = rng.uniform(0.5, 4.0, size=N)
    crp = np.exp(np.where(is_second, 0.0, 1.5) + 0.4 * rng.normal(size=N))
    smoker = (rng.uniform(size=N) < np.where(is_second, 0.2, 0.7)).astype(float)
    others = pd.DataFrame({"crp": crp, "smoker": smoker}).mask(rng.uniform(size=(N, 2)) < 0.15)
    return Patients(X, np.minimum(time, limit), time <= limit, others)


@pytest.fixture(scope="module")
def moe(patients):
    return fit_quietly(mixture(family=FAMILIES), patients.X, patients.y)


def test_densities_are_products_of_what_is_known(moe, patients):
    X, y = patients.X, patients.y
    end = [entry["lower"] for entry in y["time"]]
    logs = log_densities(moe, X, of_ends(end, patients.event & (np.arange(N) % 9 > 0)), y)
    joint = np.log(moe.predict_gate(X)) + logs
    total = np.logaddexp.reduce(joint, axis=1)
    assert_allclose(moe.score_samples(X, y), total, rtol=1e-9, atol=1e-12)
    resp = np.exp(joint - total[:, None])
    assert_allclose(moe.responsibilities(X, y), resp, atol=1e-9)
    n_known = np.count_nonzero(np.abs(total) > 1e-12)  # of a row nothing is observed
    assert moe.lower_bound_ * n_known == pytest.approx(total.sum(), rel=1e-9)
    assert moe.n_missing_ == {"time": 34} | dict(patients.others.isna().sum())
    # What is seen, such as survival until a time, changes what is predicted of the others.
    alive = {"time": right_censored(np.full(N, 2.0), np.zeros(N)), "crp": np.full(N, np.nan)}
    alive["smoker"] = alive["crp"]
    logs = log_densities(moe, X, of_ends(np.full(N, 2.0), np.zeros(N)), pd.DataFrame(alive))
    joint = np.log(moe.predict_gate(X)) + logs
    gate = np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None])
    assert_allclose(moe.predict_gate(X, y=alive), gate, atol=1e-9)
    smokers = np.einsum("nk,nk->n", gate, moe.predict_experts(X)[..., 2])
    assert_allclose(moe.predict_dist(X, y=alive).marginal("smoker").mean, smokers)


def test_one_expert_is_a_regression_for_each_outcome(patients):
    X, y = patients.X, patients.y
    moe = fit_quietly(mixture(1, family=FAMILIES), X, y)
    inference = moe.inference(X, y)
    errors = dict(zip(inference.terms, inference.standard_errors, strict=True))
    total, known = 0.0, np.arange(N) % 9 > 0
    for j, name in enumerate(FAMILIES):
        if name == "time":
            rows, own = known, right_censored(patients.end, patients.event)[known]
        else:
            rows = patients.others[name].notna()
            own = patients.others.loc[rows, name]
        alone = fit_quietly(mixture(1, family=FAMILIES[name]), X[rows], own)
        total += alone.score_samples(X[rows], own).sum()
        assert_allclose(moe.expert_coef_[0, j], alone.expert_coef_[0], rtol=1e-5, atol=1e-7)
        found = alone.inference(X[rows], own)
        listed = [errors[term._replace(response=name)] for term in found.terms]
        assert_allclose(listed, found.standard_errors, rtol=1e-5)
    assert moe.score_samples(X, y).sum() == pytest.approx(total, abs=1e-6)


def test_forms_of_y_make_no_difference(moe, patients):
    X, y = patients.X, patients.y
    expected = moe.score_samples(X, y)
    times = right_censored(patients.end, patients.event)
    cells = y.assign(time=pd.Series(list(times)).where(np.arange(N) % 9 > 0))
    nullable = cells.assign(smoker=cells["smoker"].astype("boolean"))
    as_dict = {name: y[name] for name in y}
    for own in (cells, nullable, as_dict, patients.polars):
        assert_allclose(moe.score_samples(X, own), expected)
    whole = y[["crp", "smoker"]].assign(time=times)  # a structured column
    assert_allclose(moe.score_samples(X, whole[list(FAMILIES)])[1:9], expected[1:9])
    swapped = fit_quietly(mixture(family=FAMILIES), X, y[list(FAMILIES)[::-1]])
    assert swapped.output_names_ == list(FAMILIES)[::-1]
    assert_allclose(swapped.score_samples(X, y[swapped.output_names_]), expected, rtol=1e-6)
    numbered = {"time": "weibull", "crp": "weibull"}
    family = fit_quietly(mixture(1, family="weibull"), X, cells[["time", "crp"]])
    by_name = fit_quietly(mixture(1, family=numbered), X, cells[["time", "crp"]])
    assert_allclose(family.expert_coef_, by_name.expert_coef_, rtol=1e-6)


def test_rows_are_split_by_scikit_learn(moe, patients):
    X, y = patients.X, patients.y
    for frames in ((X, y), (pl.from_pandas(X), patients.polars)):
        X_train, X_test, y_train, y_test = train_test_split(*frames, random_state=0)
        fitted = fit_quietly(mixture(1, family=FAMILIES), X_train, y_train)
        assert np.isfinite(fitted.score_samples(X_test, y_test)).all()
    options = {"n_init": 1, "tol": 1e-5}
    scores = cross_val_score(mixture(family=FAMILIES, **options), X, y, cv=2)
    assert (scores > 0.55).all()
    # With a censored outcome the score is the concordance of all.
    found, last = [], {"time": patients.end.max(), "crp": y["crp"].max(), "smoker": 1.0}
    for name, horizon in last.items():
        means = moe.predict_dist(X).marginal(name).restricted_mean(horizon)
        if name == "time":
            kept = np.arange(N) % 9 > 0
            own = right_censored(patients.end, patients.event)[kept]
        else:
            kept = y[name].notna().to_numpy()
            own = y[name][kept]
        found.append(concordance_index(own, means[kept]))
    assert moe.score(X, y) == pytest.approx(np.mean(found))
    assert log_density_scorer(moe, X, y) == pytest.approx(moe.score_samples(X, y).mean())


def test_missing_values_do_not_count_in_scores_where_all_times_are_observed(moe, patients):
    kept = patients.event & (np.arange(N) % 9 > 0)
    X, y, end = patients.X[kept], patients.y[kept], patients.end[kept]
    found = []
    for name, own in (y.assign(time=end)).items():
        known, dist = own.notna().to_numpy(), moe.predict_dist(X).marginal(name)
        means = dist.restricted_mean(own.max())[known]
        found.append(concordance_index(own[known].to_numpy(), means))
    assert moe.score(X, y) == pytest.approx(np.mean(found))


def test_displays_and_effects_of_a_censored_outcome(moe, patients):
    X, y, kept = patients.X, patients.y, np.arange(N) % 9 > 0
    times = right_censored(patients.end, patients.event)[kept]
    alone = fit_quietly(mixture(1, family="weibull"), X[kept], times)
    shown = SurvivalDisplay.from_estimator(moe, X, y, target="time")
    assert_allclose(shown.observed, SurvivalDisplay.from_estimator(alone, X[kept], times).observed)
    pit = CalibrationDisplay.from_estimator(moe, X, y, target="time").pit
    assert len(pit) == kept.sum()
    expected = (
        moe.predict_dist(X).marginal("time").cdf(np.where(patients.event, patients.end, 99.0))
    )
    assert_allclose(pit, expected[kept])
    given = {"what": "restricted_mean", "time": 2.0, "inference": moe.inference(X, y)}
    few = X[:30]
    effects = average_effects(moe, few, **given)
    shifted = (
        moe.predict_dist(few + step).marginal("time") for step in ([0.0, 1e-4], [0.0, -1e-4])
    )
    up, down = (own.restricted_mean(2.0).mean() for own in shifted)
    assert effects.to_frame().loc[("mixture", "time", "dose"), "effect"] == pytest.approx(
        (up - down) / 2e-4, rel=1e-4
    )


def test_delayed_entry_divides_by_the_survival_of_all_causes(patients):
    """Also of times beside outcomes, which have no entry."""
    X, end, entry = patients.X, patients.end, 0.3 * patients.end
    is_first = np.arange(N) % 3 > 0
    first, second = patients.event & is_first, patients.event & ~is_first
    y = {
        "relapse": right_censored(end, first, entry=entry),
        "death": right_censored(end, second, entry=entry),
        "crp": patients.others["crp"],
    }
    family = {"relapse": "weibull", "death": "weibull", "crp": "lognormal"}
    moe = fit_quietly(mixture(family=family, max_iter=20), X, y)
    distributions = [moe.predict_dist(X, gate_proba=np.tile(row, (N, 1))) for row in np.eye(2)]
    crp = patients.others["crp"].to_numpy()
    logs, at_entry = [], []
    for dist in distributions:
        of_causes = [dist.marginal(name) for name in ("relapse", "death")]
        found = np.where(np.isnan(crp), 0.0, dist.marginal("crp").logpdf(crp))
        for own, event in zip(of_causes, (first, second), strict=True):
            found = found + np.where(event, own.logpdf(end), own.logsf(end))
        logs.append(found)
        at_entry.append(sum(own.logsf(entry) for own in of_causes))
    gate = np.log(moe.predict_gate(X)).T
    expected = np.logaddexp(*(gate + logs)) - np.logaddexp(*(gate + at_entry))
    assert_allclose(moe.score_samples(X, y), expected, rtol=1e-9, atol=1e-9)
    # A person is the same in two rows, one after the other.
    rows, middle = np.repeat(np.arange(N), 2), 0.6 * end
    starts, ends = (np.column_stack(pair).ravel() for pair in ((entry, middle), (middle, end)))
    cut = {
        name: right_censored(ends, np.column_stack([np.zeros(N, bool), own]).ravel(), entry=starts)
        for name, own in (("relapse", first), ("death", second))
    }
    cut["crp"] = np.column_stack([crp, np.full(N, np.nan)]).ravel()
    given = X.iloc[rows].reset_index(drop=True)
    assert_allclose(moe.score_samples(given, cut, units=rows), expected, rtol=1e-8, atol=1e-8)


CASES = {
    "bounds of what is not censored": (
        lambda y: y.assign(smoker=list(interval_censored(np.zeros(N), np.ones(N)))),
        ("Column 2 of y", "binary", "numbers, not bounds"),
    ),
    "texts": (lambda y: y.assign(crp="a"), ("y['crp'] must hold numbers", "'a'", "right_censored")),
    "no events": (
        lambda y: y.assign(time=list(right_censored(np.ones(N), np.zeros(N)))),
        ("y must have rows", "column 0", "right-censored", "coding"),
    ),
    "no values": (
        lambda y: y.assign(crp=np.nan),
        ("y must have values in some rows", "all of column 1 are missing", "observed values"),
    ),
    "negative times": (
        lambda y: y.assign(time=list(right_censored(-np.ones(N), np.ones(N)))),
        ("Column 0 of y", "positive", "row 0 holds -1"),
    ),
    "columns of other lengths": (
        lambda y: {name: y[name][: N - (name == "crp")] for name in y},
        ("y as a dict", "one length", "'crp': 299"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_refusals(case, patients):
    change, (name, *words) = CASES[case]
    assert_fit_refused(mixture(family=FAMILIES), (patients.X, change(patients.y)), name, *words)


def test_targets_are_drawn_as_they_would_be_observed(patients):
    """Where targets are drawn, times are censored and values are missing as those of the fit."""
    found = n_experts_test(
        mixture(1, family=FAMILIES), patients.X, patients.y, n_bootstrap=1, random_state=0
    )
    assert found.p_value in {1 / 2, 1.0}
    assert np.isfinite(found.replicates).all()
