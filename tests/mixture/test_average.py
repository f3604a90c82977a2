"""The average of the starts: one mixture whose density is the mean of their densities."""

import pickle
from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax
from scipy.stats import norm
from sklearn.base import clone

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.gates import GATES
from support.fits import FIXED, FIXED_OF_CLASSES, fit_quietly
from support.recording_estimators import Log, RecordingRegressor
from support.refusals import assert_fit_refused, assert_refused, refusal
from support.tables import flipping_classes, panel, two_regimes

STARTS = 3
SHORT = {"combine": "average", "n_init": STARTS, "random_state": 0, "max_iter": 8}
AVERAGE = SHORT | FIXED


def noisy(n_rows=100):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 3))
    return X, np.where(X[:, 0] > 0, X[:, 1], X[:, 2]) + rng.normal(size=n_rows)


VARIANTS = {
    **{f"{name} gate": {"gate": name} for name in GATES},
    "routing": {"top_k": 1},
    "shared noise": {"dispersion": "shared"},
}


@cache
def averaged(name):
    """Short runs, whose starts differ."""
    return fit_quietly(MixtureOfExpertsRegressor(3, **AVERAGE, **VARIANTS[name]), *noisy())


@pytest.mark.parametrize("name", VARIANTS)
def test_density_is_the_mean_over_the_starts(name):
    (X, y), moe = noisy(), averaged(name)
    logits = X @ moe.gate_coef_.T + moe.gate_intercept_
    means = X @ moe.expert_coef_.T + moe.expert_intercept_
    normal = norm.pdf(y[:, None], means, np.sqrt(moe.noise_variance_))
    gates, densities = [], []
    for start in range(STARTS):
        own = slice(3 * start, 3 * start + 3)
        of_start = logits[:, own]
        if "top_k" in VARIANTS[name]:  # each start sends a row to its own most probable expert
            largest = of_start.max(axis=1, keepdims=True)
            of_start = np.where(of_start == largest, of_start, -np.inf)
        gates.append(softmax(of_start, axis=1))
        densities.append((gates[-1] * normal[:, own]).sum(axis=1))
    assert np.ptp(np.log(densities).mean(axis=1)) > 1e-3  # starts that differ
    assert_allclose(moe.predict_gate(X), np.hstack(gates) / STARTS, rtol=1e-9, atol=1e-12)
    assert_allclose(moe.score_samples(X, y), np.log(np.mean(densities, axis=0)), rtol=1e-9)
    assert moe.score_samples(X, y).mean() >= np.log(densities).mean()  # by Jensen's inequality


@pytest.mark.parametrize("name", VARIANTS)
def test_attributes_are_those_of_all_starts(name):
    (X, y), moe = noisy(), averaged(name)
    gate = moe.predict_gate(X)
    assert gate.shape == (len(y), 9)
    assert_allclose(gate.reshape(-1, 3, 3).sum(axis=2), 1 / 3)
    assert_allclose((gate * moe.predict_experts(X)).sum(axis=1), moe.predict(X))
    dist = moe.predict_dist(X)
    assert_allclose(dist.mean, moe.predict(X))
    assert_allclose(dist.logpdf(y), moe.score_samples(X, y))
    assert moe.n_experts_ == len(moe.expert_coef_) == len(moe.gate_coef_) == 9
    assert len(moe.start_lower_bounds_) == len(moe.start_traces_) == STARTS
    assert moe.lower_bound_ == moe.start_lower_bounds_.max()
    assert_allclose(moe.weights_, gate.mean(axis=0))
    assert_allclose(moe.load_.sum(), len(y) * (STARTS if "top_k" in VARIANTS[name] else 1))


def test_starts_that_agree_are_the_best_start():
    X, y = two_regimes(150)
    given = {"tol": 1e-10, "max_iter": 1000}
    best = MixtureOfExpertsRegressor(2, **FIXED, random_state=0, **given).fit(X, y)
    mean = MixtureOfExpertsRegressor(2, **AVERAGE | given).fit(X, y)
    assert np.ptp(mean.start_lower_bounds_) < 1e-6
    assert_allclose(mean.predict(X), best.predict(X), atol=1e-3)
    assert_allclose(mean.score_samples(X, y), best.score_samples(X, y), atol=1e-3)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_probabilities_of_classes_are_averaged(n_classes):
    X, y = flipping_classes(100, n_classes)
    moe = fit_quietly(MixtureOfExpertsClassifier(3, **SHORT, **FIXED_OF_CLASSES), X, y)
    gate, experts = moe.predict_gate(X), moe.predict_experts(X)
    assert experts.shape == (100, 9, n_classes)
    probs = np.einsum("nk,nkc->nc", gate, experts)
    assert_allclose(moe.predict_proba(X), probs)
    assert_allclose(moe.score_samples(X, y), np.log(probs[np.arange(100), y]))


@pytest.mark.parametrize("expert", ["tree", ["linear", "tree"]], ids=str)
def test_estimators_are_averaged(expert):
    X, y = two_regimes(80)
    for top_k in (None, 1):
        options = AVERAGE | {"max_iter": 4, "top_k": top_k}
        moe = fit_quietly(MixtureOfExpertsRegressor(2, expert=expert, **options), X, y)
        assert len(moe.experts_) == moe.n_experts_ == 6
        assert_allclose((moe.predict_gate(X) * moe.predict_experts(X)).sum(axis=1), moe.predict(X))
        dist = moe.predict_dist(X)
        assert_allclose(dist.mean, moe.predict(X))
        assert_allclose(dist.logpdf(y), moe.score_samples(X, y))


def test_units_are_averaged():
    X, y, units, _ = panel(30, 4)
    moe = fit_quietly(MixtureOfExpertsRegressor(3, gate="constant", **AVERAGE), X, y, units=units)
    means = X @ moe.expert_coef_.T + moe.expert_intercept_
    logs = norm.logpdf(y[:, None], means, np.sqrt(moe.noise_variance_))
    of_units = np.stack([logs[units == u].sum(axis=0) for u in range(30)])
    joint = moe.predict_gate(X[:1]) * np.exp(of_units)
    assert_allclose(moe.score_samples(X, y, units=units), np.log(joint.sum(axis=1)))
    resp = joint / joint.sum(axis=1, keepdims=True)
    assert_allclose(moe.responsibilities(X, y, units=units).proba, resp, atol=1e-10)


def test_penalties_that_are_found_are_smaller_in_an_average():
    """An average has less variance than each of its starts."""
    X, y = two_regimes(100)
    sizes = []
    for combine in ("best_converged", "average"):
        moe = MixtureOfExpertsRegressor(2, combine=combine, n_init=2, random_state=0, alpha="auto")
        slopes = fit_quietly(moe.set_params(gate_alpha=1.0), X, y).expert_coef_
        sizes.append(np.square(slopes).mean())
    assert sizes[1] > (1.0 + 1e-4) * sizes[0]


def test_experts_that_are_estimators_are_fitted_in_each_start():
    X, y = two_regimes(60)
    log, options = Log(), AVERAGE | {"max_iter": 1, "n_init": 2}
    moe = MixtureOfExpertsRegressor(2, expert=RecordingRegressor(log), cross_fit=False, **options)
    fit_quietly(moe, np.column_stack([np.arange(60), X]), y)
    n_fits = len(log.fits())
    log.clear()
    moe.set_params(combine="best", n_init=1)
    fit_quietly(moe, np.column_stack([np.arange(60), X]), y)
    assert n_fits == 2 * len(log.fits())


def test_copies_say_the_same_and_a_refit_may_be_a_single_start():
    (X, y), moe = noisy(), averaged("softmax gate")
    assert_array_equal(pickle.loads(pickle.dumps(moe)).predict(X), moe.predict(X))
    assert_array_equal(fit_quietly(clone(moe), X, y).predict(X), moe.predict(X))
    assert fit_quietly(clone(moe).set_params(combine="best"), X, y).n_experts_ == 3


def test_summary_names_the_start_of_each_expert():
    (X, y), moe = noisy(), averaged("softmax gate")
    frame = moe.summary().to_frame()
    assert_allclose(frame.loc[("expert 5", "", "x1"), "estimate"], moe.expert_coef_[5, 1])
    text = str(moe.summary(X, y))
    assert f"mean over {STARTS} starts" in text
    assert "expert 5 (linear, start 1)" in text
    assert_refused(refusal(moe.inference, X, y), "inference", "gate", "second derivatives")


@pytest.mark.parametrize(
    ("parameters", "name", "words"),
    [
        ({"n_init": 1}, "combine", ("n_init=1", "starts")),
        ({"init": np.full((100, 2), 0.5)}, "combine", ("differ",)),
        ({"warm_start": True}, "combine", ("warm_start=False",)),
        ({"combine": "mean"}, "combine", ("mean", "best_converged")),
    ],
)
def test_options_that_leave_nothing_to_average_are_refused(parameters, name, words):
    moe = MixtureOfExpertsRegressor(2, **AVERAGE | parameters)
    assert_fit_refused(moe, two_regimes(100), name, *words)
