"""Gates: probabilities, coefficients, order, penalties, and where steps lead."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression

from skmoe import MixtureOfExpertsRegressor
from skmoe.gates import GATES, ConstantGate, SoftmaxGate
from support.fits import fit_quietly
from support.mixtures import in_units, linear, steps_to
from support.tables import two_regimes

KINDS = {name: GATES[name]() for name in ("softmax", "constant")}
EVERY = pytest.mark.parametrize("name", KINDS)


def gate_at(own, theta=None):
    """Log probabilities (K, n) at coefficients, by default those of the case."""
    [data] = own.blocks()
    theta = own.theta if theta is None else theta
    logs = own.mixture.log_gate(theta[None], data)[:, 0]
    return np.broadcast_to(logs, (len(logs), len(own.rows.gate_weight)))


@EVERY
@pytest.mark.parametrize("n_experts", [1, 2, 5])
def test_probabilities_sum_to_one_and_start_equal(name, n_experts):
    own = linear("normal", gate=KINDS[name], n_experts=n_experts)
    assert_allclose(np.exp(gate_at(own)).sum(axis=0), 1.0)
    start = gate_at(own, own.mixture.start)
    assert_allclose(np.exp(start), 1.0 / n_experts)


@EVERY
def test_coefficients_give_the_probabilities(name):
    """As logits, which are log probabilities where the features do not matter."""
    own = linear("normal", gate=KINDS[name])
    gate, design = own.mixture.gate, own.rows.gate_design
    coef = gate.coefficients(own.mixture.split(own.theta)[1], design.shape[1])
    logits = coef @ design.T
    assert_allclose(logits - logsumexp(logits, axis=0), gate_at(own), atol=1e-10)
    assert gate.depends_on_features == coef[:, :-1].any()
    if not gate.depends_on_features:
        assert_allclose(np.exp(coef[:, -1]).sum(), 1.0)


@EVERY
def test_reordered_experts_have_their_probabilities(name):
    own = linear("normal", gate=KINDS[name])
    order = np.array([2, 0, 1])
    theta = own.mixture.reordered(own.theta, order)
    assert_allclose(gate_at(own, theta), gate_at(own)[order], atol=1e-12)


def after_steps(own, resp, n_steps):
    return steps_to(own, resp, own.rows.row_responsibilities(resp), n_steps)


@pytest.mark.parametrize("with_units", [False, True])
def test_steps_lead_to_the_regression_of_scikit_learn(with_units):
    """Of the index of the expert, with the responsibilities as weights of repeated rows."""
    own = linear("normal", gate=SoftmaxGate(alpha=0.7))
    own = in_units(own) if with_units else own
    design, weight = own.rows.gate_design, own.rows.gate_weight
    resp = np.random.default_rng(0).dirichlet(np.ones(3), size=len(weight)).T
    regression = LogisticRegression(C=1.0 / 0.7, tol=1e-10, max_iter=10_000)
    labels = np.repeat(np.arange(3), len(weight))
    features = np.tile(design[:, :-1], (3, 1))
    regression.fit(features, labels, sample_weight=(resp * weight).ravel())
    found = gate_at(own, after_steps(own, resp, 15))
    assert_allclose(found, regression.predict_log_proba(design[:, :-1]).T, atol=1e-5)


def test_one_step_of_constant_probabilities_leads_to_the_mean_responsibilities():
    own = linear("normal", gate=ConstantGate())
    resp = np.random.default_rng(0).dirichlet(np.ones(3), size=own.rows.n_rows).T
    found = gate_at(own, after_steps(own, resp, 1))
    mean = np.average(resp, axis=1, weights=own.rows.weight)
    assert_allclose(np.exp(found), np.repeat(mean[:, None], own.rows.n_rows, axis=1))


@pytest.mark.parametrize("alpha", [None, 5.0])
def test_penalty_of_a_softmax_gate_is_the_given_one_or_one(alpha):
    own = linear("normal", gate=SoftmaxGate(alpha=alpha))
    assert own.mixture.gate.penalties == {"alpha": 1.0 if alpha is None else alpha}
    assert SoftmaxGate(alpha=alpha).has_open_penalty == (alpha is None)
    assert not linear("normal", gate=ConstantGate()).mixture.gate.penalties


def test_a_gate_of_an_estimator_has_the_penalty_of_its_symmetric_coefficients():
    X, y = two_regimes(200)
    options = {"gate_alpha": 2.0, "alpha": 1.0, "dispersion_prior": 0.0, "n_init": 1}
    moe = MixtureOfExpertsRegressor(2, **options, tol=1e-10, max_iter=1000, random_state=0)
    fit_quietly(moe, X, y)
    assert_allclose(moe.gate_coef_.sum(axis=0), 0.0, atol=1e-10)
    features = (X - X.mean(axis=0)) / X.std(axis=0)
    resp = moe.responsibilities(X, y)
    residual = resp - moe.predict_gate(X)
    slopes = moe.gate_coef_ * X.std(axis=0)
    assert_allclose(residual.T @ features, 2.0 * slopes, atol=1e-3)
