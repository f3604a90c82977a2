"""Weights arrive at estimators and transformers, in shares, and in standard errors.

Estimators write down the weights that they are given.
"""

import warnings
from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import log_softmax
from scipy.stats import norm
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.exceptions import WeightsWarning
from support.fits import fit_quietly, loads
from support.recording_estimators import (
    Log,
    RecordingClassifier,
    RecordingRegressor,
    by_number,
)

N = 120


@cache
def table(kind="numbers"):
    """Features, target, and fractional weights; heavy rows follow another rule than light ones."""
    rng = np.random.default_rng(0)
    X, weight = rng.uniform(-1, 1, size=(N, 2)), rng.uniform(0.1, 5.0, size=N)
    signal = np.where(weight > 2.5, 1.0, -1.0) * X[:, 0] + 0.5 * X[:, 1]
    targets = {
        "numbers": signal + 0.3 * rng.normal(size=N),
        "counts": 1.0 * rng.poisson(np.exp(1.0 + signal)),
        "classes": np.where(signal + 0.3 * rng.logistic(size=N) > 0, "yes", "no"),
    }
    return X, targets[kind], weight


def mixture(kind="numbers", n_experts=1, **options):
    """Of maximum likelihood but for classes, whose penalty is one."""
    given = {"random_state": 0, "tol": 1e-10, "gate_alpha": 1.0, "n_init": 1}
    if kind == "classes":
        return MixtureOfExpertsClassifier(n_experts, **given | {"alpha": 1.0} | options)
    return MixtureOfExpertsRegressor(n_experts, **given | {"alpha": 1e-9} | options)


def statements(moe, X):
    return moe.predict_proba(X) if hasattr(moe, "predict_proba") else moe.predict(X)


# --- estimators and transformers ----------------------------------------------------------------

ESTIMATORS = {
    "tree": (DecisionTreeRegressor(min_samples_leaf=2, random_state=0), "numbers"),
    "ridge": (make_pipeline(StandardScaler(), Ridge(0.1)), "numbers"),
    "tree of classes": (DecisionTreeClassifier(min_samples_leaf=10, random_state=0), "classes"),
    "logistic": (make_pipeline(StandardScaler(), LogisticRegression()), "classes"),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_one_estimator_is_its_weighted_fit(name):
    model, kind = ESTIMATORS[name]
    X, y, weight = table(kind)
    X = np.round(X, 1) + 1e-3 * np.arange(N)[:, None]  # cuts of trees do not depend on the order
    moe = mixture(kind, expert="tree" if "tree" in name else model, cross_fit=False)
    found = statements(fit_quietly(moe, X, y, sample_weight=weight), X)
    last = f"{model.steps[-1][0]}__" if hasattr(model, "steps") else ""
    expected = statements(clone(model).fit(X, y, **{f"{last}sample_weight": weight}), X)
    without = statements(clone(model).fit(X, y), X)
    if kind == "classes":  # no probability is below a thousandth
        expected = 0.998 * expected + 0.001
    assert_allclose(found, expected, atol=1e-6)
    assert np.abs(without - expected).max() > 0.01


def numbered(X):
    return np.column_stack([np.arange(len(X)), X])


def recording(kind, in_pipeline=False):
    """A log, and an estimator that writes down its weights there."""
    log = Log()
    recorder = RecordingClassifier(log) if kind == "classes" else RecordingRegressor(log)
    return log, make_pipeline("passthrough", recorder) if in_pipeline else recorder


@pytest.mark.parametrize("in_pipeline", [False, True], ids=["", "pipeline"])
@pytest.mark.parametrize(
    ("kind", "cross_fit", "n_folds"), [("numbers", 5, 5), ("numbers", False, 1), ("classes", 3, 3)]
)
def test_rows_arrive_with_their_responsibilities_times_weights(
    kind, cross_fit, n_folds, in_pipeline
):
    X, y, weight = table(kind)
    weight = np.where(np.arange(N) % 10 == 0, 0.0, weight)
    log, expert = recording(kind, in_pipeline)
    resp = np.random.default_rng(1).dirichlet([2.0, 2.0], size=N)
    moe = mixture(kind, 2, max_iter=2, expert=expert, init=resp, cross_fit=cross_fit)
    fit_quietly(moe, numbered(X), y, sample_weight=weight)
    for i, entry in enumerate(log.fits()[: 2 * n_folds]):
        numbers, given = by_number(entry, "weight")
        assert_allclose(given, (weight * resp[:, i // n_folds])[numbers])
        assert (weight[numbers] > 0).all()


@pytest.mark.parametrize("in_pipeline", [False, True], ids=["", "pipeline"])
@pytest.mark.parametrize("kind", ["numbers", "classes"])
def test_a_base_is_fitted_with_the_weights(kind, in_pipeline):
    """But only where some are not one: some estimators take a slow path with any weights."""
    X, y, weight = table(kind)

    def fits_of_base(rows=slice(None), **given):
        log, base = recording(kind, in_pipeline)
        fit_quietly(mixture(kind, 2, max_iter=2, base=base), numbered(X)[rows], y[rows], **given)
        return log.fits()

    fits = fits_of_base(sample_weight=weight)
    assert len(fits) == 6  # of five folds and all rows
    for entry in fits:
        numbers, given = by_number(entry, "weight")
        assert_allclose(given, weight[numbers])
    for given in ({}, {"sample_weight": np.ones(N)}):
        assert all("weight" not in entry for entry in fits_of_base(**given))
    # A row that is there twice has the weight two, in all fits but the one that leaves it out.
    for entry in fits_of_base(np.append(np.arange(N), 7)):
        numbers = entry["X"][:, 0]
        assert ("weight" in entry) == (7 in numbers)
        if 7 in numbers:
            assert_allclose(entry["weight"], np.where(numbers == 7, 2.0, 1.0))


# --- noise, criteria and numbers ----------------------------------------------------------------


def prior_scale(X, y, weight):
    """Noise variance of one expert whose prior outweighs the rows."""
    return fit_quietly(mixture(dispersion_prior=1e12), X, y, sample_weight=weight).noise_variance_


def test_noise_before_the_fit_is_that_of_the_weighted_rows():
    """Of held-out rows, which those of vanishing weight do not make noisy."""
    rng, light = np.random.default_rng(2), np.arange(N) % 2 == 0
    X, noise = rng.uniform(-1, 1, size=(N, 2)), rng.normal(size=N)
    y = X @ [1.0, -2.0] + np.where(light, 1.0, 0.1) * noise
    for factor in (1e-7, 0.2, 1.0, 5.0, 1e7):
        weight = np.where(light, factor, 1.0)
        found = prior_scale(X, y, weight)
        other = cross_val_predict(LinearRegression(), X, y, cv=3, params={"sample_weight": weight})
        assert_allclose(found, np.average((y - other) ** 2, weights=weight), rtol=0.1)


@pytest.fixture(scope="module")
def pair():
    """Two weighted experts, and the log joint density of expert and y from their attributes."""
    X, y, weight = table()
    moe = fit_quietly(mixture(n_experts=2, alpha=0.1, tol=1e-5), X, y, sample_weight=weight)
    log_gate = log_softmax(X @ moe.gate_coef_.T + moe.gate_intercept_, axis=1)
    means = X @ moe.expert_coef_.T + moe.expert_intercept_
    return moe, log_gate + norm.logpdf(y[:, None], means, np.sqrt(moe.noise_variance_))


@pytest.mark.filterwarnings("ignore:.* sample_weight")
def test_shares_loads_and_effective_rows_are_weighted(pair):
    (X, y, weight), (moe, joint) = table(), pair
    gate = moe.predict_gate(X)
    assert_allclose(moe.weights_, weight @ gate / weight.sum())
    assert_allclose(loads(moe), np.bincount(gate.argmax(axis=1), weight, minlength=2))
    resp = np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None])
    rows = [expert.rows for expert in moe.summary(X, y, sample_weight=weight).experts]
    assert_allclose(rows, weight @ resp)


# --- what weights are taken for -----------------------------------------------------------------


def warned(action, *data, **given):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = action(*data, **given)
    return result, [str(w.message) for w in caught if w.category is WeightsWarning]


DOUBTS = {
    "sampling weights": (np.linspace(15.0, 44.0, N), "not whole numbers"),
    "averages": (np.resize([1.0, 99.0], N), f"{50 * N:g}, is far from the number of rows, {N}"),
    "frequencies": (np.resize([1.0, 2.0], N), ""),
    "ones": (np.ones(N), ""),
}


@pytest.mark.parametrize("case", DOUBTS)
def test_summaries_name_the_kind_of_weights(case):
    """Sampling weights and averages are named with the way to their standard errors."""
    (X, y, _), (weight, doubt) = table(), DOUBTS[case]
    given, by_row = {"sample_weight": weight}, {"method": "sandwich", "cluster": np.arange(N)}
    moe = fit_quietly(mixture(), X, y, **given)
    for method in ("summary", "inference"):
        _, texts = warned(getattr(moe, method), X, y, **given)
        assert len(texts) == bool(doubt)
        words = [f"{method} took sample_weight as frequencies", doubt, "sampling weights"]
        words += ["average", "cluster=np.arange(len(y))"]
        assert all(word in text for word in words for text in texts)
        assert warned(getattr(moe, method), X, y, **given, **by_row)[1] == []
    summary, _ = warned(moe.summary, X, y, **given)
    is_weighted = case != "ones"
    assert summary.facts.get("weights") == ("frequencies" if is_weighted else None)
    assert ("a row of weight 2 counts as two rows" in " ".join(summary.notes)) == is_weighted


def test_errors_of_clusters_do_not_depend_on_the_unit_of_weights():
    """Those of sampling weights and of averages: the sandwich of scikit-learn's own residuals."""
    (X, y, _), weight = table(), np.linspace(1.0, 9.0, N)
    design = np.column_stack([X, np.ones(N)])
    residual = y - LinearRegression().fit(X, y, sample_weight=weight).predict(X)
    bread = np.linalg.inv((design * weight[:, None]).T @ design)
    scores = design * (weight * residual)[:, None]
    expected = np.sqrt(np.diag(bread @ scores.T @ scores @ bread))
    moe = MixtureOfExpertsRegressor(1, alpha=0.0, dispersion_prior=0.0)
    for factor in (0.1, 1.0, 10.0):
        given = {"sample_weight": factor * weight}
        fit_quietly(moe, X, y, **given)
        inference = moe.inference(X, y, **given, method="sandwich", cluster=np.arange(N))
        assert_allclose(np.sort(inference.standard_errors[:3]), np.sort(expected), rtol=0.03)
