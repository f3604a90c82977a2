"""Confidence intervals of predictions for new rows, by the delta method."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose
from scipy.optimize import approx_fprime, brentq
from scipy.special import expit, gamma, gammainc
from scipy.stats import norm

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.data import right_censored
from skmoe.inspection import average_effects
from support.refusals import assert_refused, refusal

X = pd.DataFrame({"dose": np.random.default_rng(0).normal(size=200)})
TIMES = np.exp(1.0 + 0.5 * X["dose"].to_numpy()) * np.random.default_rng(1).weibull(1.5, size=200)
SEEN = right_censored(np.minimum(TIMES, 5.0), TIMES <= 5.0)
NEW = pd.DataFrame({"dose": [-1.0, 0.5]}, index=["a", "b"])
PLAIN = {"alpha": 0, "dispersion_prior": 0}


def inferred(y, family, table=X, n_experts=1, **options):
    moe = MixtureOfExpertsRegressor(
        n_experts, family=family, random_state=0, **PLAIN | options, tol=1e-12
    )
    return moe.fit(table, y).inference(table, y)


@cache
def of_times():
    return inferred(SEEN, "weibull")


@cache
def of_two():
    """A mixture without features: log odds, two means, and two logs of variances."""
    rng = np.random.default_rng(2)
    y = np.where(rng.uniform(size=300) < 0.4, 3.0, 0.0) + rng.normal(size=300)
    return inferred(y, "normal", np.zeros((300, 1)), 2, gate="constant", gate_alpha=0, n_init=1)


def by_delta_method(function, inference, used):
    """Value and error of a function of some of the terms."""
    covariance = inference.full_covariance[np.ix_(used, used)]
    slopes = approx_fprime(inference.estimates[used], function, 1e-6)
    return function(inference.estimates[used]), np.sqrt(slopes @ covariance @ slopes)


# Functions of intercept, slope, and the log of the dispersion, of Weibull times.
def scale_and_shape(values, dose):
    return np.exp(values[0] + values[1] * dose), np.exp(-0.5 * values[2])


def mean(values, dose):
    scale, shape = scale_and_shape(values, dose)
    return scale * gamma(1 + 1 / shape)


def quantile(values, dose):
    scale, shape = scale_and_shape(values, dose)
    return scale * np.log(1 / 0.8) ** (1 / shape)


def survival(values, dose):
    scale, shape = scale_and_shape(values, dose)
    return np.exp(-((2.0 / scale) ** shape))


def restricted_mean(values, dose):
    scale, shape = scale_and_shape(values, dose)
    below = scale * gamma(1 + 1 / shape) * gammainc(1 + 1 / shape, (2.0 / scale) ** shape)
    return below + 2.0 * survival(values, dose)


@pytest.mark.parametrize("function", [mean, quantile, survival, restricted_mean])
def test_one_expert_has_the_closed_form_of_its_family(function):
    """The terms are the intercept, the slope, and the log of the dispersion."""
    given = {"quantile": {"quantile": 0.2}, "mean": {}}.get(function.__name__, {"time": 2.0})
    found = of_times().predictions(NEW, what=function.__name__, **given)
    assert list(found.index) == ["a", "b"]
    for row, dose in zip(found.to_numpy(), NEW["dose"], strict=True):
        value, error = by_delta_method(lambda v, d=dose: function(v, d), of_times(), range(3))
        assert_allclose(row[:2], [value, error], rtol=1e-4)
        if function is survival:
            scaled = np.log(-np.log(value)), error / (value * np.log(value))
            ends = np.exp(-np.exp(scaled[0] + norm.ppf([0.975, 0.025]) * np.abs(scaled[1])))
        elif function is restricted_mean:
            scaled = np.log(value / (2 - value)), error * 2 / (value * (2 - value))
            ends = 2 * expit(scaled[0] + norm.ppf([0.025, 0.975]) * scaled[1])
        else:
            ends = value * np.exp(norm.ppf([0.025, 0.975]) * error / value)
        assert_allclose(row[2:], ends, rtol=1e-4)


def share_below(values, point):
    odds, mean_0, log_0, mean_1, log_1 = values
    share = expit(odds)
    parts = [norm.cdf(point, m, np.exp(0.5 * v)) for m, v in ((mean_0, log_0), (mean_1, log_1))]
    return (1 - share) * parts[0] + share * parts[1]


OF_TWO = {
    "mean": ({}, lambda v: v[1] + expit(v[0]) * (v[3] - v[1])),
    "survival": ({"time": 1.0}, lambda v: 1 - share_below(v, 1.0)),
    "quantile": ({"quantile": 0.3}, lambda v: brentq(lambda q: share_below(v, q) - 0.3, -9, 9)),
}


@pytest.mark.parametrize("what", OF_TWO)
def test_a_mixture_has_the_errors_of_its_distribution(what):
    given, function = OF_TWO[what]
    terms = of_two().terms
    used = [next(i for i, term in enumerate(terms) if term.part == "gate")]
    for part in ("expert 0", "expert 1"):
        for name in ("(Intercept)", "log(noise variance)"):
            used.append(terms.index((part, "", name)))
    found = of_two().predictions([[0.0]], what=what, **given).to_numpy()[0]
    assert_allclose(found[:2], by_delta_method(function, of_two(), used), rtol=1e-4)


@pytest.mark.parametrize("family", ["normal", "poisson"])
def test_means_of_one_expert_are_those_of_statsmodels(family):
    y = np.random.default_rng(3).poisson(np.exp(0.5 + 0.5 * X["dose"])).astype(float)
    design, at = sm.add_constant(X), sm.add_constant(NEW)
    expected = sm.GLM(
        y, design, {"normal": sm.families.Gaussian, "poisson": sm.families.Poisson}[family]()
    ).fit(tol=1e-12, scale=1 if family == "poisson" else None)
    expected = expected.get_prediction(at).summary_frame()
    n, df = len(y), len(y) - 2
    found = inferred(y, family).predictions(NEW)
    ratio = 1.0 if family == "poisson" else np.sqrt(df / n)  # of maximum likelihood
    assert_allclose(found["estimate"], expected["mean"], rtol=1e-6)
    assert_allclose(found["standard error"], ratio * expected["mean_se"], rtol=1e-5)
    if family == "poisson":
        assert_allclose(found[["lower", "upper"]], expected.iloc[:, 2:], rtol=1e-5)


def test_several_times_are_a_level_of_the_index():
    found = of_times().predictions(NEW, what="survival", time=[0.0, 1.0, 2.0])
    assert found.index.names == ["row", "time"]
    survival = found["estimate"].unstack()
    assert survival.shape == (2, 3)
    assert_allclose(found.xs(0.0, level="time"), [[1, 0, 1, 1]] * 2)
    one = of_times().predictions(NEW, what="survival", time=2.0)
    assert_allclose(found.xs(2.0, level="time"), one)


@pytest.mark.parametrize("time", [0.0, -2.0])
def test_means_until_zero_or_earlier_do_not_change_those_until_later_times(time):
    times, until = [time, 0.05], {"what": "restricted_mean"}
    found = of_times().predictions(NEW, **until, time=times)
    assert_allclose(found.xs(time, level="time"), [[time, 0, time, time]] * 2)
    one = of_times().predictions(NEW, **until, time=0.05)
    assert_allclose(found.xs(0.05, level="time"), one)
    found = of_two().predictions([[0.0]], **until, time=times)
    assert (found["lower"] < found["estimate"]).all()
    assert (found["estimate"] < found["upper"]).all()


def test_probabilities_of_classes_stay_between_zero_and_one():
    is_large = (TIMES > 3).astype(int)
    moe = MixtureOfExpertsClassifier(2, n_init=1, random_state=0).fit(X, is_large)
    far = pd.DataFrame({"dose": [-9.0, 9.0]})
    found = moe.inference(X, is_large).predictions(far)
    assert_allclose(found["estimate"].unstack(), moe.predict_proba(far))
    assert found[["lower", "upper"]].to_numpy().min() >= 0
    assert found[["lower", "upper"]].to_numpy().max() <= 1


def test_a_bootstrap_has_the_spread_of_its_refits():
    y = np.log(TIMES)
    moe = MixtureOfExpertsRegressor(1, **PLAIN).fit(X, y)
    bootstrap = moe.inference(X, y, method="bootstrap", n_bootstrap=30, random_state=0)
    found, expected = bootstrap.predictions(NEW), moe.inference(X, y).predictions(NEW)
    assert_allclose(found["standard error"], expected["standard error"], rtol=0.4)
    assert not np.allclose(found["standard error"], expected["standard error"], rtol=1e-3)
    assert (found["lower"] < found["estimate"]).all()


def test_values_with_a_probability_of_their_own_have_no_error():
    """So are counts; of a cure model the median may be infinite."""
    counts = np.random.default_rng(4).poisson(3, size=200)
    found = inferred(counts, "poisson").predictions(NEW, what="quantile")
    assert found["estimate"].tolist() == [3, 3]
    half = inferred(counts, "poisson").predictions(NEW, what="quantile", quantile=0.5)
    assert half.equals(found)
    assert found["standard error"].isna().all()
    cured = right_censored(np.where(X["dose"] > -0.5, 5.0, 1.0 + TIMES / 9), X["dose"] <= -0.5)
    never = {"gate": "constant", "n_init": 1}
    cure = inferred(cured, ["never", "weibull"], np.zeros((200, 1)), 2, **never)
    found = cure.predictions([[0.0]], what="quantile")
    assert np.isposinf(found["estimate"][0])
    assert np.isnan(found["standard error"][0])


def test_other_results_and_quantities_are_refused():
    effects = average_effects(MixtureOfExpertsRegressor(1).fit(X, TIMES), X)
    refused = [
        (effects.predictions, {}, "predictions", "moe.inference(X, y)"),
        (of_times().predictions, {"what": "median"}, "what", "quantile"),
        (of_times().predictions, {"what": "survival"}, "time", "unit of y"),
        (of_times().predictions, {"time": 3.0}, "time", 3.0, "survival"),
        (of_times().predictions, {"level": 95}, "level", "0.95"),
        *(
            (of_times().predictions, {"what": "quantile", "quantile": q}, "quantile", "0.95", q)
            for q in (95, 0, 1, "a half", True, [0.5])
        ),
        (of_times().predictions, {"quantile": 0.9}, "quantile", 'what="quantile"', "mean", 0.9),
    ]
    for method, given, *words in refused:
        assert_refused(refusal(method, NEW, **given), *words)


def test_a_later_fit_does_not_change_the_predictions_of_a_result():
    moe = MixtureOfExpertsRegressor(1, family="weibull", random_state=0).fit(X, SEEN)
    inference = moe.inference(X, SEEN)
    before = inference.predictions(NEW)
    moe.fit(X, 100.0 * TIMES)
    pd.testing.assert_frame_equal(inference.predictions(NEW), before)
