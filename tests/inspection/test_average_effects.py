"""Average effects of features: differences of predictions, and their standard errors."""

from functools import cache

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.integrate import trapezoid
from scipy.optimize import approx_fprime
from scipy.special import softmax
from sklearn.base import clone, is_regressor
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    OneHotEncoder,
    PolynomialFeatures,
    SplineTransformer,
    StandardScaler,
)

from skmoe import MixtureOfExpertsRegressor
from skmoe.data import right_censored
from skmoe.exceptions import OptionWarning
from skmoe.inspection import average_effects, export_text
from skmoe.recipes import mixture_of
from support.fits import (
    ALL_CASES,
    DISTINCT_CASES,
    OF_SERIES,
    X,
    Y,
    fit_quietly,
    fitted_case,
    is_routed,
    regressor,
    short_fit,
)
from support.refusals import assert_refused, refusal

RNG = np.random.default_rng(4)
SEX = np.arange(len(X)) % 3 == 0
TABLE = np.column_stack([X, SEX])
TARGET = Y + SEX * (0.5 + 0.3 * X[:, 1])


def gate_of(moe, rows):
    """Probabilities (n, K) of the experts; of series those of the long run."""
    if not hasattr(moe, "transition_matrix_"):
        return moe.predict_gate(rows)
    slopes, intercepts = moe.transition_coef_, moe.transition_intercept_
    moves = softmax(np.einsum("jkp,np->njk", slopes, rows) + intercepts, axis=2)
    return np.linalg.matrix_power(moves, 5000)[:, 0]


def predicted(moe, rows):
    """Predictions (n, m) of the mixture, of the second class if there are two."""
    if hasattr(moe, "transition_matrix_"):
        return moe.predict(rows, gate_proba=gate_of(moe, rows)).reshape(len(rows), -1)
    if hasattr(moe, "classes_"):
        proba = moe.predict_proba(rows)
        return proba[:, 1:] if proba.shape[1] == 2 else proba
    return moe.predict(rows).reshape(len(rows), -1)


def at(table, j, values):
    changed = np.array(table, dtype=float)
    changed[:, j] = values
    return changed


def ends_of_change(j):
    """Tables in which a feature is lower and higher, by one standard deviation between both.

    Neither end is beyond the values that occur.
    """
    values, width = X[:, j], X[:, j].std()
    low = np.clip(values - width / 2, values.min(), values.max() - width)
    return at(X, j, low), at(X, j, low + width)


def of_part(effects, part):
    return np.array(
        [v for term, v in zip(effects.terms, effects.estimates, strict=True) if term.part == part]
    )


# --- the estimates --------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [case for case in DISTINCT_CASES if case not in OF_SERIES])
def test_effects_are_mean_differences_of_predictions(case):
    moe = short_fit(case)
    n_columns = moe.n_features_in_
    if n_columns == 1:
        pytest.skip("another table")
    ends = [ends_of_change(j) for j in range(n_columns)]
    differences = [predicted(moe, high) - predicted(moe, low) for low, high in ends]
    expected = (np.mean(differences, axis=1).T / X.std(axis=0)).ravel()
    found = average_effects(moe, X, step=1.0)
    assert_allclose(of_part(found, "mixture"), expected, rtol=1e-9, atol=1e-12)
    if moe.n_experts_ == 1:
        return
    # The mixture is the sum of its parts.
    shares = [np.mean([gate_of(moe, end).mean(axis=0) for end in pair], axis=0) for pair in ends]
    own = np.array([of_part(found, name) for name in moe.expert_names_])
    own = own.reshape(moe.n_experts_, -1, n_columns)
    total = np.einsum("jk,kmj->mj", np.array(shares), own).ravel() + of_part(found, "gate")
    assert_allclose(total, expected, rtol=1e-9, atol=1e-12)
    on_gate = average_effects(moe, X, step=1.0, what="gate").estimates
    change = [gate_of(moe, b).mean(axis=0) - gate_of(moe, a).mean(axis=0) for a, b in ends]
    change = np.array(change).T / X.std(axis=0)
    assert_allclose(on_gate, change.ravel(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("case", ["linear-regressor", "poisson-regressor", "linear-classifier"])
def test_derivatives_are_limits_of_differences(case):
    moe = fitted_case(case)
    small, limit = average_effects(moe, X, step=1e-2), average_effects(moe, X)
    assert_allclose(limit.estimates, small.estimates, rtol=1e-3, atol=1e-6)


def test_two_values_change_from_the_first_to_the_second():
    moe = fit_quietly(regressor(), TABLE, TARGET)
    found = average_effects(moe, TABLE, features=[2])
    expected = np.mean(moe.predict(at(TABLE, 2, 1.0)) - moe.predict(at(TABLE, 2, 0.0)))
    assert found.terms[0].name == "x2: 0 to 1"
    assert_allclose(found.estimates[0], expected)


@pytest.mark.parametrize("encoded", [False, True])
def test_categories_change_from_the_first_to_each(encoded):
    levels = pd.Categorical.from_codes(np.arange(len(X)) % 3, ["south", "north", "east"])
    frame = pd.DataFrame({"region": levels, "height": X[:, 0]})
    y = Y + 1.0 * (np.arange(len(X)) % 3)
    given = {"max_iter": 8} if encoded else {"expert": "tree", "max_iter": 2}
    moe = regressor(n_experts=2, **given)
    if encoded:
        steps = make_column_transformer((OneHotEncoder(), ["region"]), remainder="passthrough")
        moe = make_pipeline(steps, moe)
    fit_quietly(moe, frame, y)
    found = average_effects(moe, frame, features="region")
    assert [term.name for term in found.terms[:2]] == [
        "region: south to north",
        "region: south to east",
    ]

    def mean_at(level):
        region = pd.Categorical([level] * len(X), levels.categories)
        return moe.predict(frame.assign(region=region)).mean()

    expected = [mean_at("north") - mean_at("south"), mean_at("east") - mean_at("south")]
    assert_allclose(of_part(found, "mixture"), expected)
    if not encoded:
        of_polars = average_effects(moe, pl.from_pandas(frame), features="region")
        assert len(of_part(of_polars, "mixture")) == 2


def test_features_are_those_of_the_input_of_a_pipeline():
    steps = make_pipeline(PolynomialFeatures(2, include_bias=False), StandardScaler(), regressor())
    fit_quietly(steps, X, Y)
    found = average_effects(steps, X, inference=mixture_of(steps).inference(X, Y))
    assert [term.name for term in found.terms[:2]] == ["x0", "x1"]
    h = 1e-5
    expected = [
        np.mean(steps.predict(at(X, j, X[:, j] + h)) - steps.predict(at(X, j, X[:, j] - h)))
        / (2 * h)
        for j in (0, 1)
    ]
    assert_allclose(of_part(found, "mixture"), expected, rtol=1e-5)
    assert np.isfinite(found.standard_errors).all()


def test_sparse_rows_weights_and_offsets_count():
    moe = fitted_case("linear-regressor")
    inference = moe.inference(X, Y)
    dense, thin = (
        average_effects(moe, table, inference=inference) for table in (X, sparse.csr_array(X))
    )
    assert_allclose(thin.estimates, dense.estimates, rtol=1e-6)
    assert_allclose(thin.covariance, dense.covariance, rtol=1e-5)

    weight = np.arange(len(X)) % 3
    weighted = average_effects(moe, X, sample_weight=weight)
    repeated = average_effects(moe, np.repeat(X, weight, axis=0))
    assert_allclose(weighted.estimates, repeated.estimates, rtol=1e-6)

    moe = fitted_case("poisson-regressor")
    offset = np.linspace(-1.0, 1.0, len(X))
    found = of_part(average_effects(moe, X, offset=offset, step=1.0), "mixture")
    ends = [moe.predict(end, offset=offset).mean() for end in ends_of_change(0)]
    assert_allclose(found[0], (ends[1] - ends[0]) / X[:, 0].std())


@pytest.mark.parametrize("family", ["normal", "poisson"])
@pytest.mark.parametrize("degree", [1, 3])
def test_effects_are_not_divided_by_the_borders_of_splines(family, degree):
    """Many rows are at the first and the last time, beyond which splines are constant."""
    time = np.tile(np.arange(5.0), 40)[:, None]
    y = np.round(2.0 * time[:, 0])
    moe = MixtureOfExpertsRegressor(1, family=family, alpha=1e-6)
    spline = SplineTransformer(n_knots=2, degree=degree, include_bias=False)
    splines = make_pipeline(spline, clone(moe)).fit(time, y)
    powers = PolynomialFeatures(degree, include_bias=False)
    polynomial = make_pipeline(powers, clone(moe)).fit(time, y)
    found = [average_effects(steps, time).estimates for steps in (splines, polynomial)]
    assert_allclose(found[0], found[1], rtol=2e-3)
    if family == "normal":
        assert_allclose(found[0], 2.0, rtol=1e-4)


# --- standard errors ------------------------------------------------------------------------------


def test_a_mean_that_depends_on_the_dispersion_has_its_error():
    """The mean of the lognormal family is exp(linear predictor + variance / 2)."""
    y = np.exp(0.5 * Y)
    moe = fit_quietly(
        regressor(n_experts=1, family="lognormal", alpha=0.0, dispersion_prior=0.0), X, y
    )
    inference = moe.inference(X, y)
    found = average_effects(moe, X, inference=inference)

    def effects(values):
        mean = np.exp(values[0] + X @ values[1:3] + 0.5 * np.exp(values[3]))
        return values[1:3] * mean.mean()

    assert_allclose(found.estimates, effects(inference.estimates), rtol=1e-6)
    gradient = derivatives(effects, inference.estimates)
    expected = gradient @ inference.covariance @ gradient.T
    assert_allclose(found.covariance, expected, rtol=1e-4)


# Their experts have linear predictors of the mean, and standard errors.
LINES = {
    case: (moe, *given)
    for case, (moe, *given) in ALL_CASES.items()
    if getattr(moe, "expert", "") == "linear"
    and is_regressor(moe)
    and moe.family in ("normal", "student_t")
    and moe.base is None
    and not is_routed(moe)
    and case != "a feature that is dropped"  # of another table
    and case not in OF_SERIES
}
LINES["features of their own"] = regressor(expert_features=[[0], [0, 1], [1]]), Y, {}
LINES["a slope of two experts"] = regressor(shared_features={0: [0, 2]}), Y, {}


@pytest.mark.parametrize("case", LINES)
def test_effects_of_lines_are_their_slopes_with_the_same_errors(case):
    moe, y, given = LINES[case]
    moe = fitted_case(case) if case in ALL_CASES else fit_quietly(clone(moe), X, y, **given)
    inference = moe.inference(X, y, **given)
    found = average_effects(moe, X, inference=inference)
    errors = np.sqrt(np.diag(inference.full_covariance))
    for term, effect, error in zip(
        found.terms, found.estimates, found.standard_errors, strict=True
    ):
        if (term.part not in moe.expert_names_ and moe.n_experts_ > 1) or term.part == "gate":
            continue
        name = "expert 0" if moe.n_experts_ == 1 else term.part
        slopes = [
            (inference.estimates[i], errors[i])
            for i, (part, response, feature) in enumerate(inference.terms)
            if (response, feature) == term[1:] and (name in part or part == "all experts")
        ]
        assert len(slopes) <= 1
        slope = slopes[0] if slopes else (0.0, 0.0)  # of a feature that it does not use
        assert_allclose((effect, error), slope, rtol=1e-5, atol=1e-12)


def derivatives(function, values, h=1e-5):
    moves = h * np.eye(len(values))
    return np.array([(function(values + e) - function(values - e)) / (2 * h) for e in moves]).T


def effects_by_hand(coefficients, n_experts, classes, reference=0, h=1e-4):
    """Average derivatives of a softmax mixture of lines, or of logistic regressions."""
    lines = coefficients.reshape(-1, 3)
    experts = lines[:n_experts]
    # Log odds of the others against the reference.
    gate = np.insert(lines[n_experts:], reference, 0.0, axis=0)

    def mean(rows):
        design = np.column_stack([np.ones(len(rows)), rows])
        means = design @ experts.T
        means = 1.0 / (1.0 + np.exp(-means)) if classes else means
        return (softmax(design @ gate.T, axis=1) * means).sum(axis=1).mean()

    steps = h * np.eye(2)
    return np.array([(mean(X + e) - mean(X - e)) / (2 * h) for e in steps])


@pytest.mark.parametrize(
    ("classes", "reference", "method"), [(False, 1, "observed"), (True, 0, "sandwich")]
)
def test_errors_are_those_of_the_delta_method(classes, reference, method):
    case = "linear-classifier" if classes else "linear-regressor"
    moe, y = fitted_case(case), ALL_CASES[case][1]
    inference = moe.inference(X, y, gate_reference=reference, method=method)
    found = average_effects(moe, X, inference=inference)
    linear = ~inference.is_dispersion
    values = inference.estimates[linear]
    covariance = inference.full_covariance[np.ix_(linear, linear)]
    gradient = derivatives(lambda v: effects_by_hand(v, moe.n_experts_, classes, reference), values)
    expected = gradient @ covariance @ gradient.T
    assert_allclose(found.covariance[:2, :2], expected, rtol=1e-3)


@cache
def bootstrapped():
    options = {"method": "bootstrap", "n_bootstrap": 10, "random_state": 0}
    return fitted_case("two experts").inference(X, Y, **options)


@pytest.mark.parametrize("what", ["prediction", "gate"])
def test_bootstrap_errors_are_those_of_the_effects_of_refits(what):
    moe, inference = fitted_case("two experts"), bootstrapped()
    found = average_effects(moe, X, inference=inference, what=what)
    assert found.replicates.shape == (10, len(found.terms))
    assert_allclose(found.covariance, np.cov(found.replicates.T))
    if what == "prediction":
        linear = ~inference.is_dispersion
        by_hand = [effects_by_hand(v[linear], 2, False) for v in inference.replicates]
        assert_allclose(found.replicates[:, :2], by_hand, rtol=1e-4, atol=1e-8)


def test_effects_of_separated_experts_have_errors_and_undetermined_ones_none():
    x = np.linspace(-3.0, 3.0, 200)[:, None]
    y = np.where(x[:, 0] > 0, 5.0, x[:, 0]) + 0.01 * np.random.default_rng(0).normal(size=200)
    moe = fit_quietly(regressor(n_experts=2, gate_alpha=1e-3), x, y)
    inference = moe.inference(x, y)
    assert "separated" in inference.reasons
    found = average_effects(moe, x, inference=inference)
    assert (found.standard_errors > 0.0).all()
    table = np.column_stack([X, X[:, 1]])
    moe = fit_quietly(regressor(n_experts=1, alpha=0.0), table, Y)
    found = average_effects(moe, table, inference=moe.inference(table, Y))
    assert found.reasons == ["", "not determined", "not determined"]
    assert np.isfinite(found.standard_errors).tolist() == [True, False, False]


def test_a_table_and_a_text_list_all_effects():
    moe = fitted_case("linear-regressor")
    with_errors = average_effects(moe, X, inference=moe.inference(X, Y))
    frame = with_errors.to_frame(0.9)
    assert_allclose(frame.loc["mixture", "", "x1"]["lower"], with_errors.conf_int(0.9)[1, 0])
    assert "delta method, observed information" in repr(with_errors)
    assert "std. error" not in repr(average_effects(moe, X))
    assert np.isnan(average_effects(moe, X).standard_errors).all()


# --- refusals -------------------------------------------------------------------------------------


def test_wrong_arguments_are_refused():
    moe = fitted_case("linear-regressor")
    other = fitted_case("two experts").inference(X, Y)
    assert_refused(refusal(average_effects, moe, X, what="mean"), "what", "gate")
    assert_refused(refusal(average_effects, moe, X, step=0.0), "step", 0.0)
    assert_refused(refusal(average_effects, moe, X, inference=other), "inference", "moe.inference")
    assert_refused(refusal(average_effects, moe, X, inference="sandwich"), "inference")
    assert_refused(refusal(average_effects, moe, X, features="price"), "features", "column names")
    constant = at(X, 1, 2.0)
    assert_refused(refusal(average_effects, moe, constant), "features", "x1", "features=")

    # An inference of another fit, although its terms have the same names.
    moe = fitted_case("two experts")
    other = fit_quietly(clone(moe), X, 100.0 * Y + 7.0)
    inference = other.inference(X, 100.0 * Y + 7.0)
    message = refusal(average_effects, moe, X, inference=inference)
    assert_refused(message, "inference must be that of this mixture", "estimates", "moe.inference")


@pytest.mark.parametrize("function", [average_effects, export_text])
def test_a_table_without_rows_has_the_error_of_predict(function):
    table = pd.DataFrame(X).add_prefix("x")
    moe = MixtureOfExpertsRegressor(1).fit(table, Y)
    expected = refusal(moe.predict, table.iloc[:0])
    assert "0 sample(s)" in expected
    assert refusal(function, moe, X=table.iloc[:0]) == expected


def test_effects_on_an_infinite_mean_are_refused_and_those_on_the_gate_are_not():
    time = np.exp(X[:, 1])
    y = right_censored(time, time < 2.0)
    moe = fit_quietly(regressor(n_experts=2, family=["never", "weibull"]), X, y)
    assert_refused(refusal(average_effects, moe, X), "the mean of y is infinite", 'what="gate"')
    found = average_effects(moe, X, what="gate", inference=moe.inference(X, y))
    assert_allclose(found.estimates[:2], -found.estimates[2:])
    assert np.isfinite(found.standard_errors).all()


# --- times of events --------------------------------------------------------------------------


def trial(n_rows, seed=0):
    """A treatment that lengthens Weibull times, of which some are censored."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.integers(0, 2, size=n_rows), rng.normal(size=n_rows)])
    time = np.exp(1.0 + X @ [0.4, 0.3]) * rng.weibull(1.5, size=n_rows)
    end = rng.uniform(1.0, 6.0, size=n_rows)
    return X, right_censored(np.minimum(time, end), time <= end)


def test_means_beyond_the_last_time_are_named():
    """The share of values that are expected there, and the remedy; not of values that are known."""
    X, y = trial(300)
    moe = MixtureOfExpertsRegressor(1, family="weibull").fit(X, y)
    last = y["lower"].max()
    assert_allclose(moe.last_time_, [last])
    share = moe.predict_dist(X).sf(last).mean()
    text = " ".join(str(average_effects(moe, X)).split())
    assert f"{100 * share:.0f} % of the values" in text
    assert f"{last:g}, the last time" in text
    assert 'what="restricted_mean"' in text
    assert "extrapolated" not in str(average_effects(moe, X, what="survival", time=2.0))
    for what in ("survival", "restricted_mean"):  # as if they were days, and the fit of years
        message = refusal(average_effects, moe, X, what=what, time=365)
        assert_refused(message, f"time must not be beyond {last:g}", "365", "earlier")
        average_effects(moe, X, what=what, time=np.round(last + 5e-6, 5))  # as the note rounds it
        with pytest.warns(OptionWarning, match=f"time 365 is beyond {last:g}.* unit of y"):
            moe.inference(X, y).predictions(X[:2], what=what, time=[1, 365])
    known = MixtureOfExpertsRegressor(1, family="weibull").fit(X, y["lower"])
    assert "extrapolated" not in str(average_effects(known, X))
    assert not hasattr(known, "last_time_")


def at_ends(moe, X, name):
    """Differences of a function of the distributions at time 3, with and without the treatment."""
    values = []
    for treated in (0.0, 1.0):
        changed = X.copy()
        changed[:, 0] = treated
        values.append(getattr(moe.predict_dist(changed), name)(3.0))
    return values[1] - values[0]


@cache
def fitted_trial(n_experts, unit):
    """A fit to the times of a trial in another unit, its table and its inference."""
    X, y = trial(400)
    y = right_censored(y["lower"] / unit, y["upper"] < np.inf)
    options = {"family": "weibull", "n_init": 1, "random_state": 0}
    moe = MixtureOfExpertsRegressor(n_experts, **options).fit(X, y)
    return moe, X, moe.inference(X, y)


@pytest.mark.parametrize(
    ("what", "name"), [("restricted_mean", "restricted_mean"), ("survival", "sf")]
)
@pytest.mark.parametrize("n_experts", [1, 2])
def test_effects_within_the_follow_up_are_those_of_the_distributions(n_experts, what, name):
    moe, X, inference = fitted_trial(n_experts, 1.0)
    given = {"features": [0], "what": what, "time": 3.0}
    effects = average_effects(moe, X, inference=inference, **given)
    assert_allclose(effects.estimates[0], at_ends(moe, X, name).mean(), rtol=1e-6)
    in_years, _, inference = fitted_trial(n_experts, 12.0)
    other = average_effects(in_years, X, inference=inference, **given | {"time": 0.25})
    unit = 12.0 if what == "restricted_mean" else 1.0
    assert_allclose(unit * other.estimates[0], effects.estimates[0], rtol=1e-4)
    assert_allclose(unit * other.standard_errors[0], effects.standard_errors[0], rtol=1e-3)


@pytest.mark.parametrize("what", ["restricted_mean", "survival"])
def test_errors_of_effects_at_a_time_are_those_of_the_delta_method(what):
    """Of Weibull times: by differences of the closed form in its four coefficients."""
    X, y = trial(300)
    moe = MixtureOfExpertsRegressor(1, family="weibull", alpha=0.0).fit(X, y)
    inference = moe.inference(X, y)
    times = np.linspace(0.0, 3.0, 301)

    def effect(values):
        intercept, of_treatment, other, log_dispersion = values
        at_zero = intercept + other * X[:, 1, None]
        curves = [
            np.exp(-((times / np.exp(start)) ** np.exp(-0.5 * log_dispersion)))
            for start in (at_zero, at_zero + of_treatment)
        ]
        ends = [curve[:, -1] if what == "survival" else trapezoid(curve, times) for curve in curves]
        return (ends[1] - ends[0]).mean()

    slopes = approx_fprime(inference.estimates, effect, 1e-6)
    found = average_effects(moe, X, inference=inference, features=[0], what=what, time=3.0)
    assert_allclose(found.estimates[0], effect(inference.estimates), rtol=1e-4)
    error = np.sqrt(slopes @ inference.full_covariance @ slopes)
    assert_allclose(found.standard_errors[0], error, rtol=1e-3)


@pytest.mark.parametrize(
    "given",
    [
        {"what": "survival"},
        {"time": 2.0},
        {"what": "restricted_mean", "time": "soon"},
        {"what": "survival", "time": 6.5},  # the last time of the fit is below 6
    ],
)
def test_effects_at_a_time_need_a_time(given):
    X, y = trial(60)
    moe = MixtureOfExpertsRegressor(1, family="weibull").fit(X, y)
    assert_refused(refusal(average_effects, moe, X, **given), "time")
