"""The family of examples/exponential_family.py has everything that registered families have."""

import json
import runpy
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from skmoe import MixtureOfExpertsRegressor
from skmoe.experts import EXPERTS
from skmoe.families import FAMILIES, Gamma

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def family(monkeypatch):
    """The class, which is in the registry until the end of the test."""
    monkeypatch.setitem(FAMILIES, "exponential", None)  # so that the entry goes again
    module = types.ModuleType("exponential_family")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    source = (EXAMPLES / "exponential_family.py").read_text("utf-8")
    exec(compile(source, module.__name__, "exec"), vars(module))
    return module.Exponential


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, size=(1500, 2))
    return X, rng.exponential(np.exp(1 + np.abs(X[:, 0])))


def test_its_derivatives_are_those_of_its_density(family):
    rng, step = np.random.default_rng(0), 1e-6
    y, predictor = family().example_target(rng, 50), 0.5 * rng.normal(size=(2, 1, 50))
    logs = [family().log_prob(y, predictor + sign * step, []) for sign in (1, -1)]
    score = family().predictor_score(y, predictor, [])
    assert_allclose(score, (logs[0] - logs[1]) / (2 * step), rtol=1e-6, atol=1e-7)
    assert_allclose(
        family().log_prob(y, predictor, []), stats.expon(scale=np.exp(predictor)).logpdf(y)
    )
    assert_allclose(family().log_prob(y, predictor, []), Gamma().log_prob(y, predictor, [0.0]))


def test_it_has_all_methods(family, table):
    X, y = table
    moe = MixtureOfExpertsRegressor(2, family="exponential", random_state=0).fit(X, y)
    assert_allclose(np.sort(moe.expert_coef_[:, 0]), [-1, 1], atol=0.2)
    assert min(np.diff(moe.lower_bounds_)) > -1e-10
    assert_array_equal(
        MixtureOfExpertsRegressor(2, family=family(), random_state=0).fit(X, y).expert_coef_,
        moe.expert_coef_,
    )
    assert_allclose(moe.predict_dist(X).logpdf(y), moe.score_samples(X, y))
    inside = moe.predict_interval(X, coverage=0.9)
    assert 0.87 < ((inside[:, 0] <= y) & (y <= inside[:, 1])).mean() < 0.93
    assert np.isfinite(moe.inference(X, y).standard_errors).all()
    read = MixtureOfExpertsRegressor.from_dict(json.loads(json.dumps(moe.to_dict())))
    assert_array_equal(read.predict(X), moe.predict(X))
    counts = X, np.where(X[:, 1] > 1, 0.0, y)
    mixed = MixtureOfExpertsRegressor(2, family=["zero", family()], random_state=0).fit(*counts)
    assert_allclose(mixed.weights_[0], 0.25, atol=0.03)
    streamed = MixtureOfExpertsRegressor(2, family=family(), random_state=0).partial_fit(X, y)
    assert_allclose(streamed.n_parameters_, moe.n_parameters_)
    with pytest.raises(ValueError, match='y must hold positive numbers for family="exponential"'):
        MixtureOfExpertsRegressor(2, family="exponential").fit(X, -y)


def test_it_is_the_family_of_waiting_times(family, table, monkeypatch):
    """That of the other example, which gives sums over rows itself."""
    monkeypatch.setitem(EXPERTS, "waiting_time", None)
    other = runpy.run_path(str(EXAMPLES / "waiting_time_expert.py"))["WaitingTimeExperts"]
    X, y = table
    options = {"tol": 1e-10, "max_iter": 2000, "random_state": 0}
    init = np.column_stack([X[:, 0] > 0, X[:, 0] <= 0]).astype(float)
    options["gate_alpha"] = 1.0
    one = MixtureOfExpertsRegressor(2, family=family(), alpha=0.1, init=init, **options)
    two = MixtureOfExpertsRegressor(2, expert=other(alpha=0.1), init=init, **options)
    assert_allclose(one.fit(X, y).expert_coef_, two.fit(X, y).expert_coef_, rtol=1e-3, atol=1e-3)
