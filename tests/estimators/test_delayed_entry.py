"""Delayed entry: references, limits in which the likelihood is known, and refusals."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import kstest, poisson

from skmoe import MixtureOfExpertsRegressor
from skmoe.data import RowBlocks, right_censored
from skmoe.gates import SoftmaxGate
from skmoe.inspection import (
    CalibrationDisplay,
    SurvivalDisplay,
    export_html,
)
from skmoe.metrics import concordance_index
from support.fits import fit_quietly
from support.refusals import assert_refused, refusal

PATH = Path(__file__).parents[1] / "reference" / "designs.json"
REFERENCE = json.loads(PATH.read_text(encoding="utf-8"))
MODELS = {model["name"]: model for model in REFERENCE["models"] if model["kind"] == "entry"}
EXACT = {"alpha": 0.0, "gate_alpha": 0.0, "dispersion_prior": 0.0, "tol": 1e-10, "max_iter": 2000}


def table_of(model):
    """Estimator, features, times with entries, and arguments of the fit of a reference."""
    structure, responses = model["model"], model["model"]["responses"]
    columns = REFERENCE["datasets"][model["dataset"]]["columns"]
    given = {name: np.array(values, dtype=float) for name, values in columns.items()}
    features = [
        sorted({name.split(":")[1] for name in own["coefficients"]} - {"intercept"})
        for own in responses
    ]
    of_gate = [name for name in structure["gate"] or [] if name != "intercept"]
    names = sorted({name for own in [*features, of_gate] for name in own}) or [
        responses[0]["lower"]
    ]
    times = {}
    for own in responses:
        event = np.isfinite(given[own["upper"]])
        entry = given[structure["entry"]]
        times[own["lower"]] = right_censored(given[own["lower"]], event, entry=entry)
    of_experts = [[names.index(name) for name in own] for own in features]
    several = len(responses) > 1  # causes
    moe = MixtureOfExpertsRegressor(
        structure["K"],
        family={c: own["family"] for c, own in zip(times, responses, strict=True)}
        if several
        else responses[0]["family"],
        gate="softmax" if of_gate else "constant",
        gate_features=[names.index(name) for name in of_gate] or None,
        expert_features=dict(zip(times, of_experts, strict=True)) if several else of_experts[0],
        random_state=0,
        n_init=3,
        **EXACT,
    )
    units = structure["units"] and given[structure["units"]].astype(int)
    X, y = np.column_stack([given[name] for name in names]), next(iter(times.values()))
    return moe, X, times if several else y, {} if units is None else {"units": units}


@pytest.mark.parametrize("name", MODELS)
def test_fits_are_those_of_the_reference(name):
    """Standard errors of log dispersions are twice those of the log scales of the reference."""
    model = MODELS[name]
    moe, X, y, given = table_of(model)
    moe.fit(X, y, **given)
    assert_allclose(moe.score_samples(X, y, **given).sum(), model["loglik"], atol=1e-6)
    assert moe.n_parameters_ == model["df"]
    inference = moe.inference(X, y, **given)
    found = inference.standard_errors * np.where(inference.is_dispersion, 0.5, 1.0)
    expected = [parameter["se"] for parameter in model["parameters"]]
    assert_allclose(np.sort(found), np.sort(expected), rtol=1e-4)
    shown = moe.summary(X, y, **given).facts["log-likelihood"]
    assert float(shown) == pytest.approx(model["loglik"], rel=1e-5)


def simulated(n_rows=400, seed=0):
    """Two regimes of Weibull times, of which those before an entry are missing."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(4 * n_rows, 2))
    scale = np.exp(np.where(X[:, 0] > 0.0, 1.0 + 0.5 * X[:, 1], -0.5))
    time, entry = scale * rng.weibull(2.0, size=len(X)), rng.uniform(0.0, 1.0, size=len(X))
    seen = np.flatnonzero(time > entry)[:n_rows]
    end = np.minimum(time, entry + rng.exponential(3.0, size=len(X)))
    event = (time <= end)[seen]
    return X[seen], right_censored(end[seen], event, entry=entry[seen]), rng


def mixture(n_experts=2, **options):
    given = {"family": "weibull", "random_state": 0, "n_init": 1} | options
    return MixtureOfExpertsRegressor(n_experts, **given)


@pytest.fixture(scope="module")
def fitted():
    X, y, _ = simulated()
    return mixture().fit(X, y), X, y


def test_an_entry_at_the_start_is_none():
    X, y, _ = simulated()
    time, event = y["lower"], y["upper"] < np.inf
    plain = mixture().fit(X, right_censored(time, event))
    for start in (0.0, -np.inf):
        own = mixture().fit(X, right_censored(time, event, entry=np.full(len(time), start)))
        assert_allclose(own.expert_coef_, plain.expert_coef_, rtol=1e-3, atol=1e-5)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("family", ["inverse_gaussian", "weibull", "gompertz", "gamma"])
def test_an_entry_at_zero_raises_no_warning(family):
    X, y, _ = simulated()
    X, time, event = X[:100], y["lower"][:100], y["upper"][:100] < np.inf
    plain = MixtureOfExpertsRegressor(1, family=family).fit(X, right_censored(time, event))
    entered = right_censored(time, event, entry=np.zeros(100))
    assert_allclose(
        plain.score_samples(X, entered), plain.score_samples(X, entered[["lower", "upper"]])
    )
    fit_quietly(MixtureOfExpertsRegressor(1, family=family), X, entered)


@pytest.mark.parametrize("family", ["weibull", "gompertz"])
def test_times_and_entries_far_beyond_the_fit_have_small_densities(family):
    """The hazard there is so large that hardly anyone who enters comes so far."""
    time = 5.0 * np.random.default_rng(0).weibull(100, 200)
    moe = MixtureOfExpertsRegressor(1, family=family, alpha=0, dispersion_prior=0)
    moe.fit(np.zeros((200, 1)), time)
    entry = np.array([6.0, 20.0, 99.0, 1e4])
    later = right_censored(1.1 * entry, np.ones(4), entry=entry)
    assert (moe.score_samples(np.zeros((4, 1)), later) < -10.0).all()


def test_blocks_of_rows_have_the_fit_of_all(fitted):
    moe, X, y = fitted
    blocks = RowBlocks(lambda: ((X[i : i + 200], y[i : i + 200]) for i in (0, 200)))
    assert_allclose(mixture().fit(blocks).lower_bound_, moe.lower_bound_, atol=1e-6)


def test_density_is_divided_by_the_survival_of_the_mixture(fitted):
    moe, X, y = fitted
    distribution = moe.predict_dist(X)
    is_event = y["upper"] < np.inf
    of_time = np.where(is_event, distribution.logpdf(y["lower"]), distribution.logsf(y["lower"]))
    expected = of_time - distribution.logsf(y["entry"])
    assert_allclose(moe.score_samples(X, y), expected, rtol=1e-9, atol=1e-9)


def test_truth_is_found_where_the_entry_is_known():
    """Without it times are too long: the short ones are missing."""
    X, y, _ = simulated(n_rows=4000, seed=3)
    moe = mixture().fit(X, y)
    plain = mixture().fit(X, right_censored(y["lower"], y["upper"] < np.inf))
    ends = [np.sort(own.expert_intercept_) for own in (moe, plain)]
    assert_allclose(ends[0], [-0.5, 1.0], atol=0.1)
    assert ends[1][0] > -0.4


def test_units_of_time_do_not_matter(fitted):
    moe, X, y = fitted
    months = y.copy()
    for name in y.dtype.names:
        months[name] *= 12.0
    expected = 12.0 * moe.predict_quantile(X, q=0.5)
    assert_allclose(mixture().fit(X, months).predict_quantile(X, q=0.5), expected, rtol=1e-4)


# Penalties that are found count rows, of which there are twice as many.
@pytest.mark.parametrize(("options", "tolerance"), [(EXACT, 1e-5), ({}, 0.5)])
@pytest.mark.parametrize("family", ["weibull", "lognormal", "exponential", "gamma"])
def test_rows_of_a_person_are_one_row_that_was_cut(family, options, tolerance):
    """Cut in two at a time before the end, where features do not change."""
    X, y, rng = simulated(n_rows=200)
    end, event, entry = y["lower"], y["upper"] < np.inf, y["entry"]
    middle = entry + rng.uniform(0.1, 0.9, size=len(end)) * (end - entry)
    rows = np.repeat(np.arange(len(end)), 2)
    starts = np.column_stack([entry, middle]).ravel()
    ends = np.column_stack([middle, end]).ravel()
    events = np.column_stack([np.zeros(len(end), dtype=bool), event]).ravel()
    cut = right_censored(ends, events, entry=starts)
    whole, moe = (mixture(family=family, **options) for _ in range(2))
    whole.fit(X, y)
    moe.fit(X[rows], cut, units=rows)
    total = whole.score_samples(X, y).sum()
    assert_allclose(moe.score_samples(X[rows], cut, units=rows).sum(), total, atol=tolerance)
    assert moe.inference(X[rows], cut, units=rows).max_shift < 0.01
    # They have one time, whose parts are no residuals that could be correlated.
    assert "correlat" not in str(moe.summary(X[rows], cut, units=rows))


def test_the_paths_of_users(fitted):
    """Selection, pickle, cross-validation, resampling and reports of times."""
    moe, X, y = fitted
    again = pickle.loads(pickle.dumps(moe))
    assert_allclose(again.score_samples(X, y), moe.score_samples(X, y))
    assert fit_quietly(mixture("auto"), X[:120], y[:120]).n_experts_ >= 1
    robust = moe.inference(X, y, method="sandwich").standard_errors
    assert np.nanmedian(robust / moe.inference(X, y).standard_errors) == pytest.approx(1.0, abs=0.3)


def test_curve_of_kaplan_and_meier_counts_those_at_risk(fitted):
    moe, X, y = fitted
    display = SurvivalDisplay.from_estimator(moe, X, y)
    end, event, entry = y["lower"], y["upper"] < np.inf, y["entry"]
    times = np.unique(end)
    at_risk = ((entry < times[:, None]) & (end >= times[:, None])).sum(axis=1)
    n_events = (event & (end == times[:, None])).sum(axis=1)
    expected = np.cumprod(1.0 - n_events / np.maximum(at_risk, 1))
    assert_allclose(display.observed[-1], expected[-1])
    assert_allclose(display.mixture[-1], moe.predict_dist(X).sf(display.times[-1]).mean())


def test_a_right_model_is_calibrated_where_short_times_are_missing():
    """Probabilities of times are uniform given that the event came after the entry."""
    rng = np.random.default_rng(4)
    X, entry = rng.normal(size=(6000, 1)), rng.uniform(0.0, 3.0, size=6000)
    time = np.exp(1.0 + 0.3 * X[:, 0]) * rng.weibull(2.0, size=6000)
    seen = time > entry
    y = right_censored(time[seen], np.ones(seen.sum()), entry=entry[seen])
    moe = mixture(1).fit(X[seen], y)
    pit = CalibrationDisplay.from_estimator(moe, X[seen], y).pit
    assert kstest(pit, "uniform").pvalue > 0.05
    without = moe.predict_dist(X[seen]).cdf(time[seen])
    assert kstest(without, "uniform").pvalue < 1e-9


def test_a_report_has_the_log_density_of_held_out_rows(tmp_path):
    """Other scores have no place for an entry."""
    X, y, _ = simulated()
    kept, held_out = slice(0, 300), slice(300, None)
    moe = mixture().fit(X[kept], y[kept])
    path = tmp_path / "report.html"
    export_html(moe, X[kept], y[kept], path, X_held_out=X[held_out], y_held_out=y[held_out])
    page, score = path.read_text("utf-8"), moe.score_samples(X[held_out], y[held_out]).mean()
    assert "Mean log density" in page
    assert "Concordance" not in page
    assert f"{abs(score):.3g}" in page


def test_counts_without_zeros_are_those_that_enter_at_zero():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 1))
    y = rng.poisson(np.exp(0.3 * X[:, 0])).astype(float)
    X, y = X[y > 0], y[y > 0]
    truncated = right_censored(y, np.ones(len(y)), entry=np.zeros(len(y)))
    moe = MixtureOfExpertsRegressor(1, family="poisson", **EXACT).fit(X, truncated)
    inference = moe.inference(X, truncated)
    assert np.abs((inference.estimates - [0.0, 0.3]) / inference.standard_errors).max() < 2.5
    mean = np.exp(moe.expert_intercept_ + X @ moe.expert_coef_[0])
    expected = poisson.logpmf(y, mean) - poisson.logsf(0, mean)
    assert_allclose(moe.score_samples(X, truncated), expected)


REFUSED = {
    "after": (
        lambda: right_censored([1.0, 2.0], [1, 0], entry=[0.0, 2.0]),
        "censored y",
        "entries",
    ),
    "missing": (lambda: right_censored([1.0], [1], entry=[np.nan]), "censored y", "entries"),
    "shape": (lambda: right_censored([1.0, 2.0], [1, 0], entry=[0.0]), "entry", "(2,)"),
    "concordance": (
        lambda: concordance_index(simulated(50)[1], np.ones(50)),
        "concordance_index",
        "delayed entry",
    ),
    "series": (
        lambda: mixture(gate="markov").fit(*simulated(50)[:2]),
        "y with delayed entry",
        "markov",
    ),
    "balance": (
        lambda: mixture(gate=SoftmaxGate(balance=0.1)).fit(*simulated(50)[:2]),
        "y with delayed entry",
        "gate.balance=0.1",
    ),
    "before the support": (
        lambda: mixture(1).fit(
            np.ones((2, 1)), right_censored([1.0, 2.0], [1, 1], entry=[0.0, -1.0])
        ),
        "y must hold positive numbers",
        "row 1 holds 2, entry -1",
    ),
    "score": (
        lambda: mixture().fit(*simulated(50)[:2]).score(*simulated(50)[:2]),
        "score",
        "entry",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_refusals(case):
    action, name, word = REFUSED[case]
    assert_refused(refusal(action), name, word)
