"""Experts, targets and options of every kind in series."""

import re
from functools import cache

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge

from skmoe import MixtureOfExpertsRegressor
from skmoe.data import interval_censored, right_censored
from support.expert_kinds import KINDS_OF_FITS, options_of
from support.fits import fit_quietly
from support.series import (
    PLAIN,
    chain_of,
    classifier,
    plain_passes,
    regressor,
    rows_of_series,
    table,
    with_holes,
)
from support.stacks import stack_of

DATA = table()
X, Y, CLASSES = DATA.X, DATA.y, DATA.classes
JOINT = np.column_stack([Y, 2.0 * Y + X[:, 2]])
EVENT = X[:, 2] < 0.5
ROWS = np.arange(len(Y))
MIXED = np.where(DATA.regimes == 1, DATA.of_family("poisson"), 0.0)
OFFSET = 0.5 * X[:, 2]
KNOWN = np.where(ROWS % 4 == 0, DATA.regimes, -1)
POSSIBLE = np.column_stack([ROWS % 7 > 0, ROWS % 7 != 3])


def target_of(name, task):
    if task == "classifier":
        return CLASSES
    return Y if name == "linear" else DATA.of_family(name)


CASES = {
    f"{name}-{task}": (
        (classifier if task == "classifier" else regressor)(**options_of(name)),
        target_of(name, task),
        {},
    )
    for name, task in KINDS_OF_FITS
}
CASES |= {
    "trees": (regressor(expert="tree", max_iter=5), Y, {}),
    "trees of classes": (classifier(expert="tree", max_iter=5), CLASSES, {}),
    "gamma trees": (regressor(expert="tree", family="gamma", max_iter=5), np.exp(Y), {}),
    "estimators": (regressor(expert=Ridge(), max_iter=5), Y, {}),
    "estimators of classes": (classifier(expert=LogisticRegression(), max_iter=5), CLASSES, {}),
    "list of estimators": (regressor(expert=["tree", "linear"], max_iter=5), Y, {}),
    "list of families": (regressor(family=["student_t", "normal"]), Y, {}),
    "atom and counts": (regressor(family=["zero", "poisson"]), MIXED, {}),
    "uniform and normal": (regressor(family=["uniform", "normal"]), Y, {}),
    "base": (regressor(base=Ridge(), max_iter=5), Y, {}),
    "two outputs": (regressor(), JOINT, {}),
    "two outputs, some missing": (
        regressor(),
        np.where((ROWS % 5 == 0)[:, None], np.nan, JOINT),
        {},
    ),
    "joint outputs": (regressor(covariance_type="full"), JOINT, {}),
    "dispersion features": (regressor(dispersion_features=[2]), Y, {}),
    "shared dispersion": (regressor(dispersion="shared"), Y, {}),
    "shared slopes": (regressor(shared_features=[1]), Y, {}),
    "slopes of some experts": (regressor(expert_features=[[1], []]), Y, {}),
    "signs": (regressor(monotonic_cst=[0, 1, 0]), Y, {}),
    "right-censored": (regressor(family="weibull"), right_censored(np.exp(Y), EVENT), {}),
    "interval-censored": (regressor(), interval_censored(Y - 0.5 * EVENT, Y), {}),
    "offset": (regressor(family="poisson"), DATA.of_family("poisson"), {"offset": OFFSET}),
    "known experts": (regressor(), Y, {"known_experts": KNOWN}),
    "impossible experts": (regressor(), Y, {"known_experts": POSSIBLE}),
    "missing y": (regressor(), with_holes(Y), {}),
    "weights": (regressor(), Y, {"sample_weight": 1.0 + (DATA.units == "u2")}),
    "three experts": (regressor(3), Y, {}),
    "constant transitions": (regressor(gate_features=[]), Y, {}),
    "experts without features": (regressor(expert_features=[]), Y, {}),
    "one expert": (regressor(1), Y, {}),
    "found penalties": (regressor(alpha="auto", gate_alpha="auto"), Y, {}),
    "dropped features": (regressor(alpha="ard", gate_alpha="ard", gate_features=None), Y, {}),
    "searched starts": (regressor(init="search", max_iter=5), Y, {}),
    "random starts": (regressor(init="random", n_init=3), Y, {}),
    "given starts": (regressor(init=np.eye(2)[DATA.regimes] * 0.8 + 0.1), Y, {}),
    "selected number": (regressor(n_experts="bic"), Y, {}),
    "held-out number": (regressor(n_experts=[1, 2]), Y, {}),
}


@cache
def fitted(case):
    """A fit that tests read only, to its end where its standard errors are asked for."""
    moe, y, given = CASES[case]
    moe = clone(moe).set_params(max_iter=400 if case in COUNTED else min(moe.max_iter, 20))
    return fit_quietly(moe, X, y, **DATA.series, **given)


@pytest.mark.parametrize("case", CASES)
def test_everything_is_finite_and_fits_together(case):
    moe, (_, y, given) = fitted(case), CASES[case]
    offset = {name: values for name, values in given.items() if name == "offset"}
    past = {"y": y, **DATA.series, **offset}
    K, n = moe.n_experts_, len(X)
    if hasattr(moe, "classes_"):
        assert_allclose(moe.predict_proba(X, **past).sum(axis=1), 1.0)
        assert set(moe.predict(X, **past)) <= set(moe.classes_)
    else:
        mean = moe.predict(X, **past)
        assert np.isfinite(mean).all()
        low, high = np.moveaxis(moe.predict_interval(X, 0.9, **past), 1, 0)
        assert (low <= high).all()
        assert np.isfinite([low, high]).all()
        assert np.isfinite(moe.sample(X, random_state=0, **past)).all()
    assert np.isfinite(moe.score(X, y, **DATA.series, **offset))
    densities = moe.score_samples(X, y, **DATA.series, **given)
    assert np.isfinite(densities).all()
    assert densities.shape == (n,)
    given = {name: values for name, values in given.items() if name != "sample_weight"}
    for known in ("past", "now", "all"):
        proba = moe.responsibilities(X, y, given=known, **DATA.series, **given)
        assert proba.shape == (n, K)
        assert_allclose(proba.sum(axis=1), 1.0, rtol=1e-9)
    assert_allclose(moe.transition_matrix_.sum(axis=1), 1.0)
    assert moe.transition_matrix_.shape == (K, K)
    path = moe.decode(X, y, **DATA.series, **offset)
    assert set(path) <= set(range(K))
    assert re.search(r"^gate +markov ", str(moe.summary()), re.M) or K == 1
    assert np.isfinite(moe.lower_bounds_).all()


@pytest.mark.parametrize("case", CASES)
def test_new_series_are_predicted_without_y(case):
    moe, (_, y, given) = fitted(case), CASES[case]
    offset = {name: values for name, values in given.items() if name == "offset"}
    units = [f"new {unit}" for unit in DATA.units]
    found = moe.predict(X, units=units, time=DATA.time, **offset)
    assert found.shape == (y.shape if y.dtype.names is None else y.shape[:1])
    assert set(found) <= set(moe.classes_) if hasattr(moe, "classes_") else np.isfinite(found).all()


# Wherever fits have started.
COUNTED = [
    case
    for case, (moe, *_) in CASES.items()
    if getattr(moe, "expert", "") == "linear"
    and case not in ("base", "dropped features", "held-out number")
    and not case.endswith("starts")
]


@pytest.mark.parametrize("case", COUNTED)
def test_standard_errors_and_criteria_are_known(case):
    moe, (_, y, given) = fitted(case), CASES[case]
    inference = moe.inference(X, y, **DATA.series, **given)
    reasons = np.array([bool(reason) for reason in inference.reasons])
    assert_array_equal(np.isfinite(inference.standard_errors), ~reasons)
    assert (~reasons).mean() > 0.5
    densities = moe.score_samples(X, y, **DATA.series, **given)
    log_likelihood = given.get("sample_weight", np.ones(len(X))) @ densities
    expected = 2.0 * (moe.n_parameters_ - log_likelihood)
    assert moe.aic(X, y, **DATA.series, **given) == pytest.approx(expected)
    assert np.isfinite(moe.icl(X, y, **DATA.series, **given))
    assert (
        "Transitions from" in str(moe.summary(X, y, **DATA.series, **given)) or moe.n_experts_ < 2
    )


# --- known experts --------------------------------------------------------------------------------


def test_known_experts_of_single_rows_have_their_probability():
    moe = fit_quietly(regressor(max_iter=200), X, Y, known_experts=KNOWN, **DATA.series)
    resp = moe.responsibilities(X, Y, given="all", known_experts=KNOWN, **DATA.series)
    is_known = KNOWN >= 0
    assert_allclose(resp[is_known], np.eye(2)[KNOWN[is_known]])
    # Experts keep the numbers that are known, and the likelihood is that of plain passes.
    assert (np.diff(moe.expert_intercept_) > 0.0).all()
    chain = chain_of(moe, X, Y)
    logs = np.where(is_known[:, None] & (np.eye(2)[KNOWN] == 0.0), -np.inf, chain.logs)
    with np.errstate(divide="ignore"):
        passes = plain_passes(chain._replace(logs=logs), DATA.units, DATA.time)
    densities = moe.score_samples(X, Y, known_experts=KNOWN, **DATA.series)
    assert_allclose(densities, passes.log_density, atol=1e-9)
    assert_allclose(resp, passes.all, atol=1e-9)


def test_experts_are_known_also_where_y_is_missing():
    y = with_holes(Y, 3)
    moe = fit_quietly(regressor(max_iter=50), X, y, known_experts=KNOWN, **DATA.series)
    resp = moe.responsibilities(X, y, given="all", known_experts=KNOWN, **DATA.series)
    is_known = KNOWN >= 0
    assert (is_known & np.isnan(y)).any()
    assert_allclose(resp[is_known], np.eye(2)[KNOWN[is_known]])
    chain = chain_of(moe, X, y)
    logs = np.where(is_known[:, None] & (np.eye(2)[KNOWN] == 0.0), -np.inf, chain.logs)
    with np.errstate(divide="ignore"):
        passes = plain_passes(chain._replace(logs=logs), DATA.units, DATA.time)
    assert_allclose(resp, passes.all, atol=1e-9)


def test_criteria_have_the_experts_that_are_known_where_y_is_missing():
    y, given = with_holes(Y, 3), DATA.series | {"known_experts": KNOWN}
    moe = fit_quietly(regressor(max_iter=20), X, y, **given)
    weight = 1.0 + np.isin(DATA.units, DATA.units[:1])  # copies of a series
    for own in ({}, {"sample_weight": weight}):
        total = moe.score_samples(X, y, **given) @ own.get("sample_weight", np.ones(len(y)))
        aic = 2.0 * (moe.n_parameters_ - total)
        assert moe.aic(X, y, **given, **own) == pytest.approx(aic)
        facts = moe.summary(X, y, **given, **own).facts
        assert float(facts["log-likelihood"]) == pytest.approx(total, rel=1e-5)
        assert float(facts["AIC"]) == pytest.approx(aic, rel=1e-5)


@pytest.mark.parametrize("missing", [None, np.nan, object, "string", "category"])
def test_missing_classes_are_those_of_any_library(missing):
    gone, y = np.arange(len(Y)) % 5 == 0, CLASSES.astype(object)
    is_value = missing is None or missing is np.nan
    y[gone] = missing if is_value else None
    y = y if is_value else pd.Series(y).astype(missing)
    moe = fit_quietly(classifier(max_iter=5), X, y, **DATA.series)
    assert_array_equal(moe.classes_, ["a", "b"])
    predicted = moe.predict(X, y=y, **DATA.series)
    assert moe.score(X, y, **DATA.series) == pytest.approx((predicted == CLASSES)[~gone].mean())
    numbers = np.where(gone, np.nan, CLASSES == "b")
    same = fit_quietly(classifier(max_iter=5), X, numbers, **DATA.series)
    found = same.predict_proba(X, y=numbers, **DATA.series)
    assert_allclose(found, moe.predict_proba(X, y=y, **DATA.series), atol=1e-9)


@pytest.mark.parametrize("kind", ["object", "boolean"])
def test_missing_truth_values_are_missing_classes(kind):
    y = (CLASSES == "b").astype(object)
    y[::5] = None
    moe = fit_quietly(classifier(max_iter=5), X, pd.Series(y).astype(kind), **DATA.series)
    assert_array_equal(moe.classes_, [False, True])
    same = fit_quietly(classifier(max_iter=5), X, y.astype(float), **DATA.series)
    expected = same.score_samples(X, y.astype(float), **DATA.series)
    found = moe.score_samples(X, pd.Series(y).astype(kind), **DATA.series)
    assert_allclose(found, expected, atol=1e-9)


def test_all_known_experts_have_counted_transitions():
    moe = regressor(gate_features=[], **PLAIN)
    fit_quietly(moe, X, Y, known_experts=DATA.regimes, **DATA.series)
    counts, first = np.zeros((2, 2)), np.zeros(2)
    for rows in rows_of_series(DATA.units, DATA.time).values():
        path = DATA.regimes[rows]
        first[path[0]] += 1.0
        np.add.at(counts, (path[:-1], path[1:]), 1.0)
    assert_allclose(moe.transition_matrix_, counts / counts.sum(axis=1, keepdims=True), rtol=1e-5)
    assert_allclose(moe.initial_probabilities_, first / first.sum(), rtol=1e-5, atol=1e-6)


# --- offsets --------------------------------------------------------------------------------------


def test_offset_multiplies_the_means_of_counts():
    y = DATA.of_family("poisson")
    moe = fit_quietly(regressor(family="poisson"), X, y, offset=OFFSET, **DATA.series)
    expected = plain_passes(chain_of(moe, X, y, offset=OFFSET), DATA.units, DATA.time)
    densities = moe.score_samples(X, y, offset=OFFSET, **DATA.series)
    assert_allclose(densities, expected.log_density, atol=1e-9)
    predicted = moe.predict(X, y=y, offset=OFFSET, **DATA.series)
    means = moe.predict_experts(X, offset=OFFSET)
    assert_allclose(predicted, (expected.past * means).sum(axis=1), rtol=1e-9)
    assert_allclose(means, moe.predict_experts(X) * np.exp(OFFSET)[:, None], rtol=1e-9)


# --- folds ----------------------------------------------------------------------------------------


OF_FOLDS = {
    "trees": regressor(expert="tree", max_iter=5),
    "estimators": regressor(expert=Ridge(), max_iter=5),
    "a base": regressor(base=Ridge(), max_iter=5),
    "a stack": stack_of(Ridge(), Ridge(100.0), random_state=0, gate="markov"),
}


@pytest.mark.parametrize(
    ("case", "sizes"),
    [
        *[(case, (120,)) for case in OF_FOLDS],
        ("trees", (80, 40)),
        ("a base", (20,) * 10),
    ],
)
def test_rows_of_other_folds_are_predicted_also_in_one_series(case, sizes):
    """Folds of few series have pieces of these."""
    data = table(sizes, seed=3)
    moe = fit_quietly(clone(OF_FOLDS[case]), data.X, data.y, **data.series)
    assert np.isfinite(moe.predict(data.X, **data.given)).all()
    assert np.isfinite(moe.lower_bound_)
    assert moe.score(data.X, data.y, **data.series) > 0.0


# --- number of experts ----------------------------------------------------------------------------


def test_number_of_experts_is_selected_with_many_series():
    data = table(tuple([20] * 15), n_regimes=2, seed=2)
    moe = fit_quietly(regressor(n_experts="auto"), data.X, data.y, **data.series)
    assert moe.n_experts_ == 2


def test_number_of_experts_is_selected_with_one_series():
    data = table((300,), n_regimes=2, seed=3)
    moe = fit_quietly(regressor(n_experts="auto"), data.X, data.y, time=data.time)
    assert moe.n_experts_ == 2


def test_number_of_experts_is_one_where_there_are_no_regimes():
    rng = np.random.default_rng(7)
    for data in (table(tuple([20] * 10)), table((200,))):
        y = data.X[:, 1] + 0.5 * rng.normal(size=len(data.y))
        moe = fit_quietly(regressor(n_experts="auto"), data.X, y, **data.series)
        assert moe.n_experts_ == 1


@pytest.mark.parametrize("n_known", [1, 3, 20])
@pytest.mark.parametrize("units", [None, np.arange(200) // 20])
def test_few_known_y_are_enough_for_finite_numbers(n_known, units):
    X, y = np.random.default_rng(0).normal(size=(200, 2)), np.full(200, np.nan)
    y[:n_known] = X[:n_known, 0]
    moe = MixtureOfExpertsRegressor(2, gate="markov", n_init=1, max_iter=5)
    fit_quietly(moe, X, y, units=units)
    assert np.isfinite(moe.score_samples(X, y, units=units)).all()
