"""A y that is the mean of several values: `var_weights`, as prior weights of generalized models."""

import pickle
from functools import cache

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose
from scipy.optimize import approx_fprime, minimize
from scipy.special import log_softmax, logsumexp
from scipy.stats import gamma, norm
from sklearn import config_context
from sklearn.base import clone
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.data import RowBlocks, right_censored
from skmoe.exceptions import FitMismatchWarning
from skmoe.inspection import (
    CalibrationDisplay,
    CoefficientsDisplay,
    average_effects,
    export_html,
)
from skmoe.metrics import log_density_scorer
from skmoe.model_selection import likelihood_ratio_test, n_experts_table, n_experts_test
from skmoe.stacking import GatedStackingRegressor
from support.fits import fit_quietly
from support.refusals import assert_fit_refused, assert_refused, refusal

N = 240
WITHOUT_PENALTY = {"alpha": 0.0, "gate_alpha": 0.0, "dispersion_prior": 0.0, "tol": 1e-12}
LINKS = {
    "normal": sm.families.Gaussian(),
    "gamma": sm.families.Gamma(sm.families.links.Log()),
    "inverse_gaussian": sm.families.InverseGaussian(sm.families.links.Log()),
    "tweedie": sm.families.Tweedie(sm.families.links.Log(), 1.5),
}


def averages(family="gamma", n_regimes=1):
    """Features, means of values, and numbers of the values."""
    rng = np.random.default_rng(3)
    X, n = rng.normal(size=(N, 2)), rng.integers(1, 40, N).astype(float)
    regime = rng.random(N) < 1.0 / (1.0 + np.exp(-2.0 * X[:, 1]))
    mean = np.exp(0.5 + 0.4 * X[:, 0] - 0.3 * X[:, 1])
    mean = np.where(regime, mean, np.exp(2.0 - 0.3 * X[:, 0])) if n_regimes == 2 else mean
    y = rng.normal(mean, 1.5 / np.sqrt(n)) if family == "normal" else None
    return X, rng.gamma(n / 2.0, mean * 2.0 / n) if y is None else y, n


@cache
def fitted(family, n_experts=1, scale=1.0, **options):
    """A fit that tests read only."""
    X, y, n = averages(family, n_experts)
    options = options or WITHOUT_PENALTY
    moe = MixtureOfExpertsRegressor(
        n_experts, family=family, **{"random_state": 0, "n_init": 1} | options
    )
    return fit_quietly(moe, X, y, var_weights=scale * n)


def dispersion(moe):
    return getattr(moe, "dispersion_", moe.noise_variance_ if moe.link_ == "identity" else None)


# --- other programs -----------------------------------------------------------------------------


@pytest.mark.parametrize("family", LINKS)
def test_one_expert_is_the_generalized_linear_model_with_prior_weights(family):
    """Statsmodels divides the Pearson statistic by the degrees of freedom for the dispersion."""
    X, y, n = averages(family)
    moe = fitted(family)
    model = sm.GLM(y, np.column_stack([X, np.ones(N)]), LINKS[family], var_weights=n)
    peer = model.fit(tol=1e-14, maxiter=500)
    coef = np.append(moe.expert_coef_[0], moe.expert_intercept_[0])
    assert_allclose(coef, peer.params, rtol=1e-6)
    inference = moe.inference(X, y, var_weights=n)
    information = -model.hessian(peer.params, scale=dispersion(moe)[0], observed=True)
    expected = np.sqrt(np.diag(np.linalg.inv(information)))[[2, 0, 1]]
    assert_allclose(inference.standard_errors[:3], expected, rtol=1e-4)


def test_likelihoods_and_errors_are_those_of_scipy():
    X, y, n = averages("gamma")
    design = np.column_stack([np.ones(N), X])

    def loss(values):
        shape = n * np.exp(-values[3])
        return -gamma.logpdf(y, shape, scale=np.exp(design @ values[:3]) / shape).sum()

    moe = fitted("gamma")
    start = np.array([moe.expert_intercept_[0], *moe.expert_coef_[0], np.log(moe.dispersion_[0])])
    found = minimize(loss, start + 0.01, method="BFGS", options={"gtol": 1e-7})
    assert_allclose(start, found.x, atol=1e-5)
    assert_allclose(moe.score_samples(X, y, var_weights=n).sum(), -found.fun, rtol=1e-9)
    hessian = approx_fprime(start, lambda at: approx_fprime(at, loss, 1e-5), 1e-4)
    inference = moe.inference(X, y, var_weights=n)
    assert_allclose(inference.estimates, start, rtol=1e-9)
    expected = np.sqrt(np.diag(np.linalg.inv(0.5 * (hessian + hessian.T))))
    assert_allclose(inference.standard_errors, expected, rtol=2e-3)


def test_densities_responsibilities_and_distributions_of_two_experts():
    X, y, n = averages("normal", 2)
    moe = fitted("normal", 2)
    means, variance = moe.predict_experts(X), moe.noise_variance_
    log_gate = log_softmax(X @ moe.gate_coef_.T + moe.gate_intercept_, axis=1)
    joint = log_gate + norm.logpdf(y[:, None], means, np.sqrt(variance / n[:, None]))
    logs = logsumexp(joint, axis=1)
    assert_allclose(moe.score_samples(X, y, var_weights=n), logs)
    expected = np.exp(joint - logs[:, None])
    assert_allclose(moe.responsibilities(X, y, var_weights=n), expected, atol=1e-12)
    summary = moe.summary(X, y, var_weights=n)
    assert summary.facts["log-likelihood"] == f"{logs.sum():.3f}"
    for values in (n, None):
        of_row = np.ones(N) if values is None else values
        given = {} if values is None else {"var_weights": values}
        dist = moe.predict_dist(X, **given)
        within = (np.exp(log_gate) * variance).sum(axis=1) / of_row
        between = (np.exp(log_gate) * (means - dist.mean[:, None]) ** 2).sum(axis=1)
        assert_allclose(dist.mean, moe.predict(X))
        assert_allclose(dist.var, within + between)
        assert_allclose(moe.predict_interval(X, 0.8, **given), dist.interval(0.8))
        assert_allclose(moe.predict_quantile(X, 0.3, **given), dist.ppf(0.3))
    dist = moe.predict_dist(X[:5], var_weights=10)
    assert_allclose(dist.std, moe.predict_dist(X[:5], var_weights=np.full(5, 10.0)).std)
    draws = moe.sample(X, n_samples=4000, random_state=0, var_weights=n)
    assert_allclose(draws.std(axis=1), moe.predict_dist(X, var_weights=n).std, rtol=0.2)


# --- properties ---------------------------------------------------------------------------------


@pytest.mark.parametrize("family", LINKS)
def test_means_of_one_value_are_values(family):
    X, y, _ = averages(family, 2)
    moe = MixtureOfExpertsRegressor(2, family=family, random_state=0, n_init=1)
    one = fit_quietly(moe, X, y).expert_coef_
    ones = fit_quietly(moe, X, y, var_weights=np.ones(N))
    assert_allclose(ones.expert_coef_, one, rtol=0.0)
    assert_allclose(ones.score_samples(X, y), ones.score_samples(X, y, var_weights=np.ones(N)))


@pytest.mark.parametrize("family", LINKS)
def test_the_unit_of_numbers_changes_the_dispersion_only(family):
    """Also with penalties that are found, and with priors."""
    first, other = (fitted(family, 2, scale, alpha=None) for scale in (1.0, 1000.0))
    for name in ("expert_coef_", "gate_coef_", "alpha_", "gate_alpha_", "lower_bound_"):
        assert_allclose(getattr(other, name), getattr(first, name), rtol=1e-6, err_msg=name)
    assert_allclose(dispersion(other), 1000.0 * dispersion(first), rtol=1e-6)


def test_normal_means_have_the_likelihood_of_their_values():
    """Up to what does not depend on the coefficients, if the noise variance is known."""
    rng = np.random.default_rng(0)
    X, n = rng.normal(size=(60, 1)), rng.integers(1, 6, 60)
    values = np.repeat(2.0 * X[:, 0], n) + rng.normal(size=n.sum())
    codes = np.repeat(np.arange(60), n)
    mean = np.bincount(codes, values) / n
    moe = MixtureOfExpertsRegressor(1, **WITHOUT_PENALTY)
    of_values = fit_quietly(moe, X[codes], values)
    coef, errors = of_values.expert_coef_, of_values.inference(X[codes], values).standard_errors
    variance = of_values.noise_variance_
    of_means = fit_quietly(moe, X, mean, var_weights=n)
    assert_allclose(of_means.expert_coef_, coef, rtol=1e-8)
    found = of_means.inference(X, mean, var_weights=n).standard_errors[:2]
    assert_allclose(found / np.sqrt(of_means.noise_variance_), errors[:2] / np.sqrt(variance))


def test_order_of_rows_and_units_of_y():
    X, y, n = averages("gamma", 2)
    moe, order = fitted("gamma", 2), np.random.default_rng(1).permutation(N)
    other = MixtureOfExpertsRegressor(
        2, family="gamma", random_state=0, n_init=1, **WITHOUT_PENALTY
    )
    fit_quietly(other, X[order], y[order], var_weights=n[order])
    assert_allclose(other.expert_coef_, moe.expert_coef_, rtol=1e-5)
    fit_quietly(other, X, 100.0 * y, var_weights=n)
    assert_allclose(other.expert_coef_, moe.expert_coef_, rtol=1e-5)
    assert_allclose(other.dispersion_, moe.dispersion_, rtol=1e-5)


def test_a_row_of_weight_two_is_the_row_twice():
    X, y, n = averages("gamma", 2)
    weight = np.resize([1.0, 2.0], N)
    index = np.repeat(np.arange(N), weight.astype(int))
    moe = MixtureOfExpertsRegressor(2, family="gamma", random_state=0, n_init=1)
    first = fit_quietly(moe, X, y, sample_weight=weight, var_weights=n)
    given = {"sample_weight": weight, "var_weights": n}
    errors, coef = first.inference(X, y, **given).standard_errors, first.expert_coef_
    assert first.summary(X, y, **given).facts["weights"] == "frequencies, averages"
    twice = fit_quietly(moe, X[index], y[index], var_weights=n[index])
    assert_allclose(twice.expert_coef_, coef, rtol=1e-6)
    inference = twice.inference(X[index], y[index], var_weights=n[index])
    assert_allclose(inference.standard_errors, errors, rtol=1e-6)


# --- where rows come from and go ----------------------------------------------------------------


def test_blocks_hold_numbers_of_values():
    X, y, n = averages("gamma", 2)
    moe = MixtureOfExpertsRegressor(
        2, family="gamma", alpha=0.1, gate_alpha=0.1, random_state=0, n_init=1
    )
    whole = fit_quietly(moe, X, y, var_weights=n)
    expected, errors = whole.expert_coef_, whole.inference(X, y, var_weights=n).standard_errors
    blocks = RowBlocks(
        lambda: (
            (*(v[i : i + 80] for v in (X, y)), *[None] * 4, n[i : i + 80]) for i in (0, 80, 160)
        )
    )
    for source in (blocks, RowBlocks.from_arrays(X, y, var_weights=n)):
        found = fit_quietly(moe, source)
        assert_allclose(found.expert_coef_, expected, rtol=1e-4)
        inference = found.inference(X, y, var_weights=n)
        assert_allclose(inference.standard_errors, errors, rtol=1e-3)


def test_dask_collections_have_numbers_of_values():
    dask = pytest.importorskip("dask.array")
    X, y, n = averages("gamma", 2)
    options = {"family": "gamma", "alpha": 0.1, "gate_alpha": 0.1, "random_state": 0, "n_init": 1}
    whole = fit_quietly(MixtureOfExpertsRegressor(2, **options), X, y, var_weights=n)
    chunked = [dask.from_array(values, chunks=(100, *values.shape[1:])) for values in (X, y, n)]
    moe = MixtureOfExpertsRegressor(2, **options)
    fit_quietly(moe, *chunked[:2], var_weights=chunked[2])
    assert_allclose(moe.expert_coef_, whole.expert_coef_, rtol=1e-4)
    found = moe.score_samples(*chunked[:2], var_weights=chunked[2]).compute()
    assert_allclose(found, moe.score_samples(X, y, var_weights=n))
    interval = moe.predict_interval(chunked[0], var_weights=chunked[2]).compute()
    assert_allclose(interval, moe.predict_interval(X, var_weights=n))


def test_pipelines_searches_and_frames():
    X, y, n = averages("gamma", 2)
    expected = fitted("gamma", 2)
    frame = pd.DataFrame(X, columns=["a", "b"])
    moe = clone(expected)
    fit_quietly(moe, frame, pd.Series(y), var_weights=pd.Series(n))
    assert_allclose(moe.expert_coef_, expected.expert_coef_)
    again = pickle.loads(pickle.dumps(moe))
    assert_allclose(
        again.score_samples(frame, y, var_weights=n), moe.score_samples(frame, y, var_weights=n)
    )
    polars = pytest.importorskip("polars")
    found = moe.score_samples(polars.DataFrame({"a": X[:, 0], "b": X[:, 1]}), y, var_weights=n)
    assert_allclose(found, moe.score_samples(frame, y, var_weights=n))
    pipeline = make_pipeline(StandardScaler(), clone(expected))
    fit_quietly(pipeline, X, y, mixtureofexpertsregressor__var_weights=n)
    assert_allclose(pipeline.predict(X), expected.predict(X), rtol=1e-5)
    with config_context(enable_metadata_routing=True):
        routed = clone(expected).set_fit_request(var_weights=True)
        search = GridSearchCV(routed, {"n_experts": [1, 2]}, scoring=log_density_scorer, cv=3)
        fit_quietly(search, X, y, var_weights=n)
    folds = []
    for train, test in KFold(3).split(X):
        own = fit_quietly(clone(expected), X[train], y[train], var_weights=n[train])
        folds.append(own.score_samples(X[test], y[test], var_weights=n[test]).mean())
    assert_allclose(search.cv_results_["mean_test_score"][1], np.mean(folds), rtol=1e-6)


def test_series_and_units_have_numbers_by_row():
    X, y, n = averages("normal", 2)
    units = np.repeat(np.arange(N // 8), 8)
    for options in ({"gate": "markov"}, {"gate": "constant"}):
        moe = MixtureOfExpertsRegressor(2, gate_features=None, random_state=0, n_init=1, **options)
        given = {"units": units, "var_weights": n}
        fit_quietly(moe, X, y, **given)
        density = moe.score_samples(X, y, **given).sum()
        order = np.lexsort((np.arange(N), -units))
        again = moe.score_samples(X[order], y[order], units=units[order], var_weights=n[order])
        assert_allclose(again.sum(), density)
        assert density > moe.score_samples(X, y, units=units, var_weights=n[::-1]).sum()
        assert np.isfinite(moe.inference(X, y, **given).standard_errors).all()


def test_tests_and_tables_take_numbers_of_values():
    X, y, n = averages("gamma", 2)
    one, two = (
        MixtureOfExpertsRegressor(
            1, family="gamma", n_init=2, random_state=0, expert_features=columns
        )
        for columns in ([0], [0, 1])
    )
    test = likelihood_ratio_test(one, two, X, y, var_weights=n)
    fits = [fit_quietly(each, X, y, var_weights=n) for each in test.estimators]
    logs = [each.score_samples(X, y, var_weights=n).sum() for each in fits]
    assert_allclose(test.statistic, 2.0 * (logs[1] - logs[0]), rtol=1e-6)
    number = n_experts_test(two, X, y, var_weights=n, n_bootstrap=4, random_state=0)
    assert number.p_value == 0.2
    table = n_experts_table(two, X, y, [1, 2], var_weights=n, init=None)
    fit = table.estimators[1]
    assert_allclose(table.to_frame()["bic"].to_numpy()[1], fit.bic(X, y, var_weights=n))
    assert_allclose(
        log_density_scorer(fit, X, y, var_weights=n),
        fit.score_samples(X, y, var_weights=n).mean(),
    )


def test_bootstrap_draws_means():
    X, y, n = averages("gamma")
    moe = fitted("gamma")
    observed = moe.inference(X, y, var_weights=n).standard_errors
    options = {"method": "bootstrap", "n_bootstrap": 30, "random_state": 0}
    found = moe.inference(X, y, var_weights=n, **options).standard_errors
    assert_allclose(found, observed, rtol=0.35)


def test_average_effects_and_scores():
    X, y, n = averages("normal")
    moe = fitted("normal")
    inference = moe.inference(X, y, var_weights=n)
    effects = average_effects(moe, X, inference=inference)
    assert_allclose(effects.standard_errors, inference.standard_errors[1:3], rtol=1e-6)
    weighted = moe.score(X, y, sample_weight=n)
    assert moe.score(X, y, var_weights=n) == weighted
    assert moe.score(X, y, sample_weight=n, var_weights=np.ones(N)) == weighted


def test_methods_warn_of_numbers_that_the_fit_had():
    X, y, _ = averages("normal")
    moe = fitted("normal")
    for name in ("score_samples", "responsibilities", "summary", "inference", "bic"):
        with pytest.warns(FitMismatchWarning, match="got no var_weights"):
            getattr(moe, name)(X, y)


def test_summaries_name_averages():
    X, y, n = averages("gamma")
    summary = fitted("gamma").summary(X, y, var_weights=n)
    assert summary.facts["weights"] == "averages"
    assert "averages" in str(summary).partition("expert 0")[0]
    assert "numbers of values, of which each y is the average" in " ".join(summary.notes)


def test_displays_and_reports_take_numbers_of_values(tmp_path):
    X, y, n = averages("gamma", 2)
    moe = fitted("gamma", 2)
    display = CoefficientsDisplay.from_estimator(moe, X, y, var_weights=n, standardize=False)
    interval = moe.inference(X, y, var_weights=n).conf_int(0.95)[1:3]
    shown = [display.feature_names.index(name) for name in ("x0", "x1")]
    assert_allclose(display.intervals[shown, 0], interval)
    calibration = CalibrationDisplay.from_estimator(moe, X, y, var_weights=n)
    assert_allclose(calibration.pit, moe.predict_dist(X, var_weights=n).cdf(y))
    page, new = tmp_path / "page.html", np.arange(40)
    held_out = {"X_held_out": X[new], "y_held_out": y[new], "var_weights_held_out": n[new]}
    export_html(moe, X, y, page, var_weights=n, **held_out)
    text = page.read_text("utf-8")
    assert "averages" in text
    log_density = moe.score_samples(X[new], y[new], var_weights=n[new]).mean()
    assert f"{log_density:.4g}".replace("-", "\N{MINUS SIGN}") in text


# --- refusals -----------------------------------------------------------------------------------

REFUSED = {
    "counts": ({"family": "poisson"}, ("family Poisson", "offset")),
    "a list": ({"family": ["zero", "gamma"]}, ("Zero and Gamma",)),
    "lognormal": ({"family": "lognormal"}, ("LogNormal", '"gamma"')),
    "full covariance": ({"covariance_type": "full"}, ('covariance_type="full"',)),
    "random effects": ({"random_features": []}, ("random_features", "noise of one variance")),
    "trees": ({"expert": "tree"}, ("tree",)),
    "a base": ({"base": LinearRegression()}, ("base",)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_fits(case):
    X, y, n = averages()
    options, words = REFUSED[case]
    moe = MixtureOfExpertsRegressor(2, **options)
    given = {"var_weights": n, "units": np.arange(N) // 4 if "random_features" in options else None}
    assert_fit_refused(moe, (X, np.ceil(y)), "", "var_weights", *words, **given)


def test_refused_targets_and_values():
    X, y, n = averages()
    moe = MixtureOfExpertsRegressor(1, family="gamma")
    censored = right_censored(y, y < 5.0)
    assert_fit_refused(moe, (X, censored), "", "var_weights", "censored", var_weights=n)
    joint = MixtureOfExpertsRegressor(1, covariance_type="full")
    both = np.column_stack([y, y**2])
    assert_fit_refused(joint, (X, both), "var_weights", "divided by n", var_weights=n)
    outcomes = MixtureOfExpertsRegressor(1, family={0: "normal", 1: "gamma"})
    words = "the family Normal and Gamma", "divided by n"
    assert_fit_refused(outcomes, (X, both), "var_weights", *words, var_weights=n)
    classifier = MixtureOfExpertsClassifier(1)
    assert_fit_refused(classifier, (X, y > 1.0), "var_weights", "divided by n", var_weights=n)
    for values, words in (
        (n - 1.0, ("positive", "row", "0")),
        (np.full(N, np.nan), ("positive", "nan")),
        (n[:5], ("one entry", "(5,)")),
        (["a"] * N, ("numbers", "'a'")),
    ):
        assert_fit_refused(moe, (X, y), "var_weights", *words, var_weights=values)
    counts = fit_quietly(MixtureOfExpertsRegressor(1, family="poisson"), X, np.ceil(y))
    message = refusal(counts.score_samples, X, np.ceil(y), var_weights=n)
    assert_refused(message, "var_weights", "Poisson")
    models = [("linear", LinearRegression()), ("mean", DummyRegressor())]
    stack = fit_quietly(GatedStackingRegressor(models, random_state=0), X, y)
    assert_refused(refusal(stack.predict_dist, X, var_weights=n), "var_weights", "divided by n")


# --- coverage -----------------------------------------------------------------------------------


def covered(seed, argument):
    """Whether 95 % intervals of the coefficients of a regression of averages hold the truth."""
    rng, truth = np.random.default_rng(seed), np.array([1.0, 0.3, -0.5])
    X, n = rng.normal(size=(150, 2)), rng.integers(1, 60, 150).astype(float)
    y = rng.gamma(n / 1.5, np.exp(truth[0] + X @ truth[1:]) * 1.5 / n)
    moe = MixtureOfExpertsRegressor(1, family="gamma", **WITHOUT_PENALTY)
    given = {argument: n}
    interval = fit_quietly(moe, X, y, **given).inference(X, y, **given).conf_int(0.95)[:3]
    return (interval[:, 0] <= truth) & (truth <= interval[:, 1])


@pytest.mark.filterwarnings("ignore:.* sample_weight")
def test_intervals_cover_as_they_say_with_the_right_kind_of_weights():
    """Two regimes are in tests/benchmarks/averages.py."""
    shares = [
        np.mean([covered(seed, argument) for seed in range(n_tables)])
        for argument, n_tables in (("var_weights", 50), ("sample_weight", 10))
    ]
    assert 0.92 < shares[0] < 0.97
    assert shares[1] < 0.4


def test_predictions_in_series_know_how_precise_earlier_means_are():
    rng = np.random.default_rng(0)
    regime, n = np.repeat([0, 1] * 10, 10), rng.choice([1.0, 25.0], 200)
    X, y = rng.normal(size=(200, 1)), regime - 0.5 + rng.normal(size=200) / np.sqrt(n)
    moe = MixtureOfExpertsRegressor(2, gate="markov", gate_features=[], random_state=0)
    moe.fit(X, y, var_weights=n)
    mean = moe.predict_dist(X, y=y, var_weights=n).mean
    assert_allclose(moe.predict(X, y=y, var_weights=n), mean)
    assert moe.score(X, y, var_weights=n) == pytest.approx(r2_score(y, mean, sample_weight=n))
    with pytest.warns(FitMismatchWarning, match="no var_weights"):
        assert np.abs(moe.predict(X, y=y) - mean).max() > 0.1
