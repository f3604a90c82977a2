"""The average of the starts: one mixture whose density is the mean of the densities."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from regimes import flipping_classes, quiet, two_regimes
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.model_selection import GridSearchCV

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._data.rows import UserRows
from skmoe._mixture import runs
from skmoe._mixture.model import Params

AVERAGE = {"combine": "average", "n_init": 3, "random_state": 0}


def densities_of_starts(moe, X, y):
    """Log densities (S, n), each computed from the parameters of one start alone."""
    mixture = moe._fitted
    starts = mixture.params.gate.starts
    n_each = moe.n_experts_ // len(starts)
    gate = mixture.model.gate
    model = mixture.model._replace(gate=gate.gate, n_experts=n_each, top_k=gate.top_k)
    logs = []
    for s, gate in enumerate(starts):
        own = slice(s * n_each, (s + 1) * n_each)
        experts = type(mixture.params.experts)(*(v[own] for v in mixture.params.experts))
        alone = mixture._replace(model=model, params=Params(gate, experts))
        logs.append(alone.log_density(UserRows(X, y, np.ones(len(X)), None)))
    return np.array(logs)


@pytest.mark.parametrize("parameters", [{}, {"gate": "constant"}, {"top_k": 2}], ids=str)
def test_the_density_is_the_mean_over_the_starts(parameters):
    X, y = load_diabetes(return_X_y=True)
    moe = MixtureOfExpertsRegressor(4, **AVERAGE, **parameters).fit(X, y)
    logs = densities_of_starts(moe, X, y[None])
    assert np.ptp(logs.mean(axis=1)) > 1e-3  # starts that differ
    expected = np.log(np.exp(logs).mean(axis=0))
    assert_allclose(moe.score_samples(X, y), expected)
    assert expected.mean() >= logs.mean()  # by Jensen's inequality
    gate = moe.predict_gate(X)
    assert gate.shape == (len(y), 12)
    assert_allclose(gate.reshape(-1, 3, 4).sum(axis=2), 1 / 3)
    assert_allclose((gate * moe.predict_experts(X)).sum(axis=1), moe.predict(X))
    dist = moe.predict_dist(X)
    assert_allclose(dist.mean, moe.predict(X))
    assert_allclose(dist.logpdf(y), moe.score_samples(X, y))
    assert moe.n_experts_ == len(moe.expert_coef_) == len(moe.gate_coef_) == 12
    assert len(moe.start_lower_bounds_) == len(moe.start_traces_) == 3
    assert moe.lower_bound_ == moe.start_lower_bounds_.max()
    assert_allclose(moe.weights_, gate.mean(axis=0))
    if "top_k" in parameters:
        assert ((gate > 0).reshape(-1, 3, 4).sum(axis=2) == 2).all()


def test_starts_that_agree_are_the_best_start():
    """With the same penalties; those that are found are smaller in an average."""
    X, y = two_regimes(n_rows=300)
    given = {"alpha": 0.1, "gate_alpha": 1.0, "tol": 1e-9, "max_iter": 1000}
    best = MixtureOfExpertsRegressor(2, **given, random_state=0).fit(X, y)
    mean = MixtureOfExpertsRegressor(2, **given, **AVERAGE).fit(X, y)
    assert np.ptp(mean.start_lower_bounds_) < 1e-6
    assert_allclose(mean.predict(X), best.predict(X), atol=1e-3)
    assert_allclose(mean.score_samples(X, y), best.score_samples(X, y), atol=1e-3)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_classes(n_classes):
    X, y = flipping_classes(n_rows=300, n_classes=n_classes)
    moe = MixtureOfExpertsClassifier(3, **AVERAGE).fit(X, y)
    probs = moe.predict_proba(X)
    gate, experts = moe.predict_gate(X), moe.predict_experts(X)
    assert_allclose(np.einsum("nk,nkc->nc", gate, experts), probs)
    logs = densities_of_starts(moe, X, y)
    assert_allclose(moe.score_samples(X, y), np.log(np.exp(logs).mean(axis=0)))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "expert", ["tree", ["linear", "tree"], MixtureOfExpertsRegressor(2, n_init=1)], ids=str
)
@pytest.mark.parametrize("top_k", [None, 1])
def test_estimators_are_averaged(expert, top_k):
    X, y = two_regimes(n_rows=200)
    moe = MixtureOfExpertsRegressor(2, expert=expert, top_k=top_k, max_iter=5, **AVERAGE)
    moe.fit(X, y)
    assert len(moe.experts_) == moe.n_experts_ == 6
    gate = moe.predict_gate(X)
    assert_allclose((gate * moe.predict_experts(X)).sum(axis=1), moe.predict(X))
    dist = moe.predict_dist(X)
    assert_allclose(dist.mean, moe.predict(X))
    assert_allclose(dist.logpdf(y), moe.score_samples(X, y))


def test_rows_are_a_weighted_set_and_jobs_do_not_matter():
    X, y = two_regimes(n_rows=200)
    weight = np.random.default_rng(0).integers(0, 3, size=200)
    moe = MixtureOfExpertsRegressor(3, **AVERAGE).fit(X, y, sample_weight=weight)
    rows = np.random.default_rng(1).permutation(np.repeat(np.arange(200), weight))
    again = MixtureOfExpertsRegressor(3, n_jobs=2, **AVERAGE).fit(X[rows], y[rows])
    assert_array_equal(moe.predict(X), again.predict(X))


def test_users_paths():
    X, y = two_regimes(n_rows=200)
    moe = MixtureOfExpertsRegressor(2, **AVERAGE).fit(X, y)
    assert_array_equal(pickle.loads(pickle.dumps(moe)).predict(X), moe.predict(X))
    assert_array_equal(clone(moe).fit(X, y).predict(X), moe.predict(X))
    search = GridSearchCV(MixtureOfExpertsRegressor(2, n_init=2), {"combine": ["best", "average"]})
    assert search.fit(X, y).best_score_ > 0.5
    frame = moe.summary().to_frame()
    assert_allclose(frame.loc[("expert 5", "", "x1"), "estimate"], moe.expert_coef_[5, 1])
    assert "mean over 3 starts" in str(moe.summary(X, y))
    assert "expert 5 (linear, start 2)" in str(moe.summary(X, y))
    with pytest.raises(ValueError, match="a gate with smooth coefficients"):
        moe.inference(X, y)
    moe.set_params(combine="best").fit(X, y)
    assert moe.n_experts_ == 2


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_init": 1}, "averages over starts, of which n_init=1 makes only one"),
        ({"init": np.full((100, 2), 0.5)}, "needs starts that differ"),
        ({"warm_start": True}, "warm_start must be False"),
        ({"combine": "mean"}, "combine must be one of"),
    ],
)
def test_bad_input(parameters, message):
    X, y = two_regimes(n_rows=100)
    with pytest.raises(ValueError, match=message):
        MixtureOfExpertsRegressor(2, **AVERAGE | parameters).fit(X, y)


def test_starts_of_an_average_may_be_revived(monkeypatch):
    X, y = two_regimes(n_rows=300)
    moe = MixtureOfExpertsRegressor(2, max_iter=20, tol=0.0, init="random", **AVERAGE)
    before = quiet(moe, X, y).start_lower_bounds_
    tried = []
    original = runs._reinitialize_collapsed

    def spy(problem, run, monitor):
        tried.append(original(problem, run, monitor))
        return tried[-1]

    monkeypatch.setattr(runs, "_reinitialize_collapsed", spy)
    monkeypatch.setattr(runs, "is_collapsed", lambda count: np.arange(len(count)) == 0)
    revived = quiet(moe, X, y)
    assert revived.n_experts_ == 6
    assert len(tried) >= 3
    assert None not in tried
    assert (revived.start_lower_bounds_ >= before - 1e-12).all()
