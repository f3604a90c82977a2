"""Inference: intervals of a textbook, rows that count, terms without errors, and refusals."""

import re
import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse, stats
from sklearn import datasets
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.inspection import average_effects
from support.fits import (
    ALL_CASES,
    DISTINCT_CASES,
    UNITS,
    X,
    Y,
    fit_quietly,
    fitted,
    fitted_case,
    short_fit,
)
from support.refusals import assert_refused, refusal
from support.tables import crossing_lines, flipping_classes, two_regimes

FIXED = {"alpha": 0.1, "gate_alpha": 1.0, "n_init": 1, "random_state": 0}


@cache
def two_experts():
    """A fit of two regimes, at its maximum."""
    X, y = two_regimes(n_rows=150, n_features=2)
    return MixtureOfExpertsRegressor(2, tol=1e-12, max_iter=3000, **FIXED).fit(X, y), X, y


def errors_by_term(inference):
    return dict(zip(inference.terms, inference.standard_errors, strict=True))


def test_p_values_and_intervals_of_a_textbook():
    """y on x in {-1, 1} with errors of +-1: estimates 0 and 0.5, errors 1/4 and sqrt(2/16)."""
    X = np.repeat([-1.0, 1.0], 8)[:, None]
    y = 0.5 * X[:, 0] + np.tile([1.0, -1.0], 8)
    result = MixtureOfExpertsRegressor(1, alpha=0.0, dispersion_prior=0.0).fit(X, y).inference(X, y)
    assert_allclose(result.standard_errors, [0.25, 0.25, np.sqrt(2 / 16)], atol=1e-8)
    assert_allclose(result.z_values[:2], [0.0, 2.0], atol=1e-8)
    assert_allclose(result.p_values[:2], [1.0, 2 * stats.norm.sf(2.0)], atol=1e-8)
    frame = result.to_frame(0.9)
    expected = stats.norm.interval(0.9, 0.5, 0.25)
    assert_allclose(result.conf_int(0.9)[1], expected)
    assert_allclose(frame[["lower", "upper"]].iloc[1], expected)
    assert_allclose(frame["p"].iloc[1], result.p_values[1])
    assert_array_equal(result.is_dispersion, [False, False, True])
    for values in (result.z_values, result.p_values, frame["p"]):
        assert np.isnan(np.asarray(values)[2])  # a log variance of zero is no hypothesis
    assert_allclose(
        np.diff(result.conf_int()), 2 * stats.norm.ppf(0.975) * result.standard_errors[:, None]
    )


# --- estimates at the maximum -----------------------------------------------------------------


def test_estimates_are_those_of_the_fit_also_before_it_is_at_its_maximum():
    """The shift says how far that is, in standard errors."""
    X, y = datasets.load_diabetes(return_X_y=True)
    given = {"n_init": 1, "random_state": 0, "alpha": 1.0, "gate_alpha": 1.0}
    moe = fit_quietly(MixtureOfExpertsRegressor(2, max_iter=12, **given), X, y)
    summary, before = moe.summary(X, y), moe.expert_coef_
    shift = summary.inference.max_shift
    assert shift > 0.05
    assert f"up to {shift:.2g} standard errors away" in " ".join(summary.notes)
    slopes = [term.part == "expert 0" and term.name[0] == "x" for term in summary.inference.terms]
    assert_array_equal(summary.inference.estimates[slopes], before[0])
    moe.set_params(max_iter=500, warm_start=True).fit(X, y)
    exact = moe.summary(X, y)
    assert exact.inference.max_shift < 0.01
    assert "standard errors away from the maximum" not in str(exact)
    distance = np.abs(before - moe.expert_coef_)[0] / exact.inference.standard_errors[slopes]
    assert 0.01 < distance.max() < 10.0 * shift


# Estimators and stacks have no information.
OF_PARAMETERS = [c for c in DISTINCT_CASES if getattr(ALL_CASES[c][0], "expert", "") == "linear"]


@pytest.mark.parametrize("case", OF_PARAMETERS)
def test_a_fit_that_has_converged_is_at_the_maximum(case):
    """Of each kind of family and gate, with units, weights, shared slopes and penalties found."""
    moe, (_, y, given) = fitted(case, max_iter=2000), ALL_CASES[case]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            found = moe.inference(X, y, **given)
        except (AttributeError, ValueError):  # mixtures without standard errors
            return
    assert moe.converged_
    assert found.max_shift <= 0.01


def test_other_rows_than_those_of_the_fit_do_not_move_the_estimates():
    X, y = two_regimes(n_rows=200)
    moe = fit_quietly(MixtureOfExpertsRegressor(2, max_iter=4, **FIXED), X[:100], y[:100])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = moe.inference(X[100:], y[100:])
    assert np.isnan(found.max_shift)
    assert found.estimates[found.terms.index(("expert 0", "", "x0"))] == moe.expert_coef_[0, 0]
    assert moe.inference(X[:100], y[:100]).max_shift > 0.01


def test_rows_at_which_the_fit_is_no_maximum_are_noticed():
    moe, X, y = two_experts()
    with pytest.warns(ConvergenceWarning, match="observed information is indefinite"):
        moe.inference(X[:60] + 1, -3.0 * y[:60])


def test_a_stream_has_errors_at_its_estimates_and_a_shift_of_the_rows_given():
    X, y = two_regimes(n_rows=200)
    moe = MixtureOfExpertsRegressor(2, dispersion_prior=0.0, **FIXED)
    for rows in (slice(0, 120), slice(120, 200)):
        moe.partial_fit(X[rows], y[rows])
    found = moe.inference(X, y)
    whole = MixtureOfExpertsRegressor(2, dispersion_prior=0.0, **FIXED).fit(X, y)
    assert not any(found.reasons)
    expected = np.sort(whole.inference(X, y).standard_errors)  # experts can have other numbers
    assert_allclose(np.sort(found.standard_errors), expected, rtol=0.15)
    slope = found.terms.index(("expert 0", "", "x0"))
    assert found.estimates[slope] == moe.expert_coef_[0, 0]
    assert 0.01 < found.max_shift < 10.0
    assert "Repeat partial_fit, or use fit" in " ".join(moe.summary(X, y).notes)


# --- rows that count --------------------------------------------------------------------------


def test_class_weights_weigh_the_rows():
    X, y = flipping_classes(n_rows=200)
    weight = np.where(y == 0, 2.0, 1.0)
    options = FIXED | {"tol": 1e-12, "max_iter": 3000}
    weighed = MixtureOfExpertsClassifier(2, class_weight={0: 2, 1: 1}, **options).fit(X, y)
    plain = MixtureOfExpertsClassifier(2, **options).fit(X, y, sample_weight=weight)
    found = weighed.inference(X, y, method="sandwich").covariance
    expected = plain.inference(X, y, sample_weight=weight, method="sandwich").covariance
    assert_allclose(found, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("in_units", [False, True])
def test_clusters_of_rows_of_weight_zero_do_not_count(in_units):
    moe = clone(ALL_CASES["units" if in_units else "two experts"][0])
    moe.set_params(n_experts=2, max_iter=20)
    weight = np.tile([1.0, 2.0, 0.0, 0.0, 0.0, 1.0], len(Y) // 6)
    kept = weight > 0.0
    rows = {"sample_weight": weight} | ({"units": UNITS} if in_units else {})
    fit_quietly(moe, X, Y, **rows)
    rows["cluster"] = np.where(kept, UNITS // 5, 1000 + UNITS)
    whole = moe.inference(X, Y, method="sandwich", **rows)
    fewer = {name: values[kept] for name, values in rows.items()}
    part = moe.inference(X[kept], Y[kept], method="sandwich", **fewer)
    scale = np.nanmax(np.abs(part.covariance))
    assert_allclose(whole.covariance, part.covariance, rtol=1e-6, atol=1e-8 * scale)
    n_clusters = len(set(fewer["cluster"]))
    assert whole.method == part.method == f"sandwich covariance, {n_clusters} clusters"


@pytest.mark.parametrize("kind", ["float32", "sparse"])
def test_narrow_and_sparse_features_have_the_same_errors(kind):
    _, X, y = two_experts()
    X = (X * (np.abs(X) > 0.3)).astype(np.float32)
    other = X if kind == "float32" else sparse.csr_array(X.astype(float))
    sides = (X[:, :1] > 0.0) == [False, True]  # responsibilities, so that both have one maximum
    options = FIXED | {"tol": 1e-10, "max_iter": 3000, "init": sides.astype(float)}
    plain, found = (
        MixtureOfExpertsRegressor(2, **options).fit(rows, y).inference(rows, y)
        for rows in (X.astype(float), other)
    )
    assert found.terms == plain.terms
    assert_allclose(found.standard_errors, plain.standard_errors, rtol=1e-3)


# --- terms without errors ---------------------------------------------------------------------


SIDES = np.linspace(-1, 1, 60)[:, None]
LINES, LEVELS = crossing_lines(n_rows=100)
LINES = LINES - LINES.mean()  # so that intercepts do not depend on slopes
NOISE = np.random.default_rng(0).normal(size=(100, 3))
FREE = {"alpha": 0.0, "dispersion_prior": 0.0}

# A mixture, its rows, the terms that have no error, the reason, and words of its footnote.
WITHOUT_ERRORS = {
    "gate of two sides, that only the penalty keeps from being certain": (
        MixtureOfExpertsRegressor(2, **FIXED | {"gate_alpha": 1e-9}),
        SIDES,
        20 * (SIDES[:, 0] > 0) - 10 + NOISE[:60, 0],
        lambda term: term.part == "gate",
        ("separated", "larger penalties"),
    ),
    "classes of two sides": (
        MixtureOfExpertsClassifier(1, alpha=1e-9),
        SIDES,
        (SIDES[:, 0] > 0).astype(int),
        lambda term: True,
        ("separated", "larger penalties"),
    ),
    "a constant feature": (
        MixtureOfExpertsRegressor(2, **FIXED),
        np.column_stack([LINES, np.ones(100)]),
        LEVELS,
        lambda term: term.name == "x1",
        ("fixed", "feature is constant"),
    ),
    "a repeated feature": (
        MixtureOfExpertsRegressor(1, **FREE),
        np.column_stack([LINES, LINES]),
        LEVELS,
        lambda term: term.name[0] == "x",
        ("not determined", "linearly dependent"),
    ),
    "no noise": (
        MixtureOfExpertsRegressor(1, **FREE),
        LINES,
        LINES[:, 0],
        lambda term: term.name.startswith("log"),
        ("at its bound", "larger dispersion_prior"),
    ),
    "a useless feature": (
        MixtureOfExpertsRegressor(1, alpha="ard"),
        NOISE[:, :2],
        NOISE[:, 0] + NOISE[:, 2],
        lambda term: term.name == "x1",
        ("dropped", "not needed"),
    ),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("case", WITHOUT_ERRORS)
def test_terms_without_an_error_have_a_reason_and_a_remedy(case):
    moe, X, y, lacks, (reason, words) = WITHOUT_ERRORS[case]
    moe.fit(X, y)
    found = moe.inference(X, y)
    expected = [reason if lacks(term) else "" for term in found.terms]
    if reason == "at its bound":  # the scale of an error is not either then
        expected = [*found.reasons[:-1], reason]
    assert found.reasons == expected
    without = np.array([bool(reason) for reason in found.reasons])
    for values in (found.standard_errors, found.p_values, found.conf_int()[:, 0]):
        assert np.isnan(values[without]).all()
    assert np.isfinite(found.standard_errors[~without]).all()
    text = str(moe.summary(X, y))
    assert f"\n{reason}: " in text
    # A noise variance stands in the heading, and not in the table.
    for name in {term.name for term in found.terms if lacks(term)} - {"log(noise variance)"}:
        assert re.search(rf"^  {re.escape(name)} .*  {reason}$", text, re.MULTILINE)
    assert words in " ".join(text.split())
    assert list(found.to_frame()["reason"]) == found.reasons


def test_errors_beside_a_dropped_feature_are_those_without_it():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(150, 2))
    y = np.where(X[:, 0] > 0, 3.0, -3.0) * X[:, 0] + X[:, 0] + 0.5 * rng.normal(size=150)
    options = FIXED | {"dispersion_prior": 0.0}
    moe = MixtureOfExpertsRegressor(2, gate_features=[0], **options)
    both = moe.set_params(alpha="ard", gate_alpha=1.0).fit(X, y)
    assert_array_equal(np.isfinite(both.alpha_), [True, False])
    found = errors_by_term(both.inference(X, y))
    # The same penalty on the feature that is kept.
    moe = MixtureOfExpertsRegressor(2, **options | {"alpha": both.alpha_[0]})
    expected = errors_by_term(moe.fit(X[:, :1], y).inference(X[:, :1], y))
    for term, error in expected.items():
        assert_allclose(found.pop(term), error, rtol=0.02)
    assert {term.name for term in found} == {"x1"}
    assert np.isnan(list(found.values())).all()


def test_a_dispersion_at_its_bound_is_taken_as_known():
    """Counts that vary less than Poisson ones: the other errors are those of a Poisson fit."""
    X = np.random.default_rng(0).normal(size=(100, 1))
    y = np.random.default_rng(1).binomial(5, 0.5, size=100).astype(float)
    found, poisson = (
        MixtureOfExpertsRegressor(1, family=family).fit(X, y).inference(X, y)
        for family in ("negative_binomial", "poisson")
    )
    (dispersion,) = np.flatnonzero(found.is_dispersion)
    assert found.reasons[dispersion] == "at its bound"
    errors = np.delete(found.standard_errors, dispersion)
    assert_allclose(errors, poisson.standard_errors, rtol=1e-3)


# --- terms ------------------------------------------------------------------------------------


WITH_TERMS = [
    case
    for case, (moe, *_) in ALL_CASES.items()
    if getattr(moe, "expert", "") == "linear"
    and not isinstance(moe.n_experts, str)
    and moe.base is None
]


def is_of_gate(part):
    return part in ("gate", "first rows") or part.startswith("transitions from ")


@pytest.mark.parametrize("case", WITH_TERMS)
def test_each_coefficient_is_a_term_once(case):
    moe = short_fit(case)
    estimates = moe.summary().to_frame()["estimate"]
    assert estimates.index.is_unique
    terms, values = estimates.index.tolist(), estimates.to_numpy()
    expected = {"(Intercept)": moe.expert_intercept_}
    if hasattr(moe, "noise_variance_") and not hasattr(moe, "expert_dispersion_coef_"):
        expected["log(noise variance)"] = np.log(moe.noise_variance_)
    for name, numbers in expected.items():  # slopes are compared with texts and pictures
        own = [term == name and not is_of_gate(part) for part, _, term in terms]
        assert_allclose(values[own], np.ravel(numbers)[np.isfinite(np.ravel(numbers))])
    shared = {term for part, _, term in terms if ", " in part or part == "all experts"}
    assert shared == {f"x{j}" for j in getattr(moe, "shared_features", None) or []}
    n_gate = sum(is_of_gate(part) for part, *_ in terms)
    of_each = 1 + 2 * (moe.gate != "constant")
    if moe.gate == "markov":  # of first rows, and of transitions from each expert
        of_each = 1 + 3 * moe.n_experts_
    assert n_gate == (moe.n_experts_ - 1) * of_each


def test_frames_name_the_terms():
    X, y = two_regimes(n_rows=100)
    frame = pd.DataFrame(X, columns=["price", "age", "size"])
    moe = MixtureOfExpertsRegressor(2, **FIXED, expert_features=["age"], tol=1e-8, max_iter=1000)
    moe.fit(frame, y).set_expert_names(["low", "high"])
    found = moe.inference(frame, y)
    table = found.to_frame(0.9)
    assert table.index.names == ["part", "response", "term"]
    assert list(table.index) == found.terms
    assert list(table.loc["low"].index.get_level_values("term"))[:2] == ["(Intercept)", "age"]
    assert_allclose(table.loc[("high", "", "age"), "estimate"], moe.expert_coef_[1, 1])
    assert_allclose(table.loc[("gate", "high", "price"), "estimate"], np.diff(moe.gate_coef_[:, 0]))
    assert (table.loc["gate"]["reference"] == "low").all()
    assert_allclose(table["standard error"], found.standard_errors)
    assert_allclose(table[["lower", "upper"]], found.conf_int(0.9))
    for name, values in (("z", found.z_values), ("p", found.p_values)):
        assert_allclose(table[name], values)
    assert "odds ratio" in table
    assert repr(found) == f"<Inference on {len(found.terms)} terms: observed information>"


# --- refusals ---------------------------------------------------------------------------------

REFUSED = [
    ({"method": "exact"}, "method", ("exact", "sandwich")),
    *(({"gate_reference": k}, "gate_reference", ("0 to 1", k)) for k in (2, -1, True, 0.0, None)),
    ({"method": "bootstrap", "n_bootstrap": 1}, "n_bootstrap", ("integer", 1)),
    ({"cluster": np.arange(150)}, "cluster", ("sandwich", "observed")),
    ({"method": "sandwich", "cluster": ["a"] * 150}, "cluster", ("two distinct", "a")),
    ({"method": "sandwich", "cluster": np.arange(9)}, "cluster", ("9",)),
]


@pytest.mark.parametrize(("options", "name", "words"), REFUSED)
def test_bad_requests_are_refused(options, name, words):
    moe, X, y = two_experts()
    assert_refused(refusal(moe.inference, X, y, **options), name, *words)


def test_clusters_must_keep_units_together():
    moe = fitted_case("units")
    message = refusal(
        moe.inference, X, Y, units=UNITS, method="sandwich", cluster=np.arange(len(Y)) % 7
    )
    assert_refused(message, "cluster", "unit", "row 1", "coarser")


def test_an_expert_of_numpy_may_be_the_reference():
    moe, X, y = two_experts()
    found = moe.inference(X, y, gate_reference=np.int64(1))
    assert {term.response for term in found.terms if term.part == "gate"} == {"expert 0"}
    assert np.isfinite(found.max_shift)


# What stands in the way of inference, and what to do.
OBSTACLES = {
    "routing": ("inference", "gate.top_k=1", "a gate without top_k"),
    "base": ("inference", "base=Ridge(", "base=None"),
    "trees": ("inference", "experts with second derivatives", 'expert="linear"'),
}


@pytest.mark.parametrize("case", OBSTACLES)
def test_fits_without_inference_are_refused(case):
    moe, y, given = short_fit(case), ALL_CASES[case][1], ALL_CASES[case][2]
    assert_refused(refusal(moe.inference, X, y, **given), *OBSTACLES[case])
    assert_refused(refusal(moe.summary, X, y, method="sandwich", **given), *OBSTACLES[case])


def test_inference_is_for_a_bounded_number_of_terms():
    X = sparse.random(30, 1700, density=0.3, random_state=0, format="csr")
    y = np.asarray(X.sum(axis=1)).ravel() + np.arange(30) % 2
    moe = fit_quietly(MixtureOfExpertsRegressor(2, max_iter=1, **FIXED), X, y)
    assert moe.n_parameters_ > 5000
    message = refusal(moe.inference, X, y)
    assert_refused(message, "inference", "5000", f"{moe.n_parameters_:g}", "fewer features")


def test_the_methods_say_how_the_errors_were_found():
    moe, X, y = two_experts()
    clusters = np.arange(len(y)) % 7
    methods = {
        "observed information": {},
        "sandwich covariance": {"method": "sandwich"},
        "sandwich covariance, 7 clusters": {"method": "sandwich", "cluster": clusters},
        "parametric bootstrap, 2 refits": {"method": "bootstrap", "n_bootstrap": 2},
    }
    for said, options in methods.items():
        result = moe.inference(X, y, random_state=0, **options)
        assert result.method == said
        assert (result.replicates is None) == (options.get("method") != "bootstrap")
        assert np.isnan(result.max_shift) == (options.get("method") == "bootstrap")


def test_draws_have_the_estimates_and_the_covariance():
    data = datasets.load_diabetes(return_X_y=True)
    moe = MixtureOfExpertsRegressor(2, gate="constant", n_init=1, random_state=0).fit(*data)
    inference = moe.inference(*data)
    draws = inference.draws(20_000, random_state=0)
    assert list(draws.columns) == inference.terms
    errors = inference.standard_errors
    assert_allclose((draws.mean() - inference.estimates) / errors, 0.0, atol=0.04)
    assert_allclose(
        draws.cov() / np.outer(errors, errors),
        inference.covariance / np.outer(errors, errors),
        atol=0.04,
    )
    assert draws.equals(inference.draws(20_000, random_state=0))
    effects = average_effects(moe, data[0], features=[2])
    assert_refused(refusal(effects.draws, 10), "draws needs standard errors")
    assert_refused(refusal(inference.draws, 0), "n_draws")


def test_draws_of_shared_dispersions_are_equal():
    data = datasets.load_diabetes(return_X_y=True)
    options = {"gate": "constant", "dispersion": "shared", "n_init": 1, "random_state": 0}
    moe = MixtureOfExpertsRegressor(2, **options)
    draws = moe.fit(*data).inference(*data).draws(50, random_state=0)
    of_noise = draws.loc[:, [term[2] == "log(noise variance)" for term in draws.columns]]
    assert_allclose(of_noise.iloc[:, 0], of_noise.iloc[:, -1])
