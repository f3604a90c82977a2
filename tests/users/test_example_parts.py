"""The experts and the gate that the documentation writes from scratch."""

import runpy
from pathlib import Path

import numpy as np
from numpy.testing import assert_allclose
from scipy.stats import expon
from sklearn.base import clone

from skmoe import MixtureOfExpertsRegressor
from skmoe.gates import GATES
from support.refusals import assert_fit_refused, assert_refused, refusal
from support.tables import crossing_lines

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_experts_of_the_documentation():
    experts = runpy.run_path(str(EXAMPLES / "waiting_time_expert.py"))["WaitingTimeExperts"]
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(800, 2))
    log_mean = np.where(X[:, 0] < 0, 1 + 1.5 * X[:, 1], 4 - X[:, 1])
    y = rng.exponential(np.exp(log_mean))
    options = {"expert": experts(alpha=0.1), "n_init": 1, "random_state": 0, "gate_alpha": 1.0}
    moe = MixtureOfExpertsRegressor(2, **options).fit(X, y)
    assert_allclose(np.sort(moe.expert_coef_[:, 1]), [-1.0, 1.5], atol=0.2)
    assert np.diff(moe.lower_bounds_).min() > -1e-10
    logs = expon.logpdf(y[:, None], scale=moe.predict_experts(X))
    expected = np.log((moe.predict_gate(X) * np.exp(logs)).sum(axis=1))
    assert_allclose(moe.score_samples(X, y), expected)
    # The unit of time adds a constant to the intercepts.
    in_ms = MixtureOfExpertsRegressor(2, **options).fit(X, 1000 * y)
    assert_allclose(in_ms.expert_coef_, moe.expert_coef_, atol=1e-5)
    assert_allclose(in_ms.expert_intercept_, moe.expert_intercept_ + np.log(1000), atol=1e-5)
    both = np.column_stack([y, y[::-1]])[:100]
    assert clone(in_ms).fit(X[:100], both).expert_coef_.shape == (2, 2, 2)
    assert_fit_refused(clone(in_ms), (X, y - y[0]), "y", "positive numbers", "row 0 holds 0")
    message = refusal(moe.predict_interval, X)
    assert_refused(message, "predict_interval", "WaitingTimeExperts", "components")


def test_gate_of_the_documentation(monkeypatch):
    monkeypatch.setitem(GATES, "dirichlet", None)
    gate = runpy.run_path(str(EXAMPLES / "dirichlet_gate.py"))["DirichletGate"]
    monkeypatch.setitem(GATES, "dirichlet", gate)
    X, y = crossing_lines()
    options = {"n_init": 1, "random_state": 0, "alpha": 0.1}
    weak, strong = (
        MixtureOfExpertsRegressor(2, gate="dirichlet", gate_alpha=alpha, **options).fit(X, y)
        for alpha in (1e-6, 1e6)
    )
    constant = MixtureOfExpertsRegressor(2, gate="constant", **options).fit(X, y)
    # The gate does not tell how its experts are reordered.
    assert_allclose(np.sort(weak.weights_), np.sort(constant.weights_), atol=1e-3)
    assert_allclose(strong.weights_, 0.5, atol=1e-3)
    assert np.diff(weak.lower_bounds_).min() > -1e-10
    assert_refused(refusal(weak.inference, X, y), "inference", "DirichletGate", "score_rows")
