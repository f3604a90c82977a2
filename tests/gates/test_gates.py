"""Every registered gate: probabilities, ascent, stationary points, derivatives, order and units."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression

from skmoe.gates import SoftmaxGate
from skmoe.protocols import (
    Gate,
    SupportsEvidence,
    SupportsGateInference,
    SupportsReordering,
    has_capability,
)
from support.parts import DESIGN, GATE_CASES, N_COLUMNS, N_EXPERTS, RESP, differences, somewhere


def gates_with(*capabilities):
    names = [
        name
        for name, gate in GATE_CASES.items()
        if all(has_capability(gate, capability) for capability in capabilities)
    ]
    return pytest.mark.parametrize("name", names)


of_all = gates_with()


def objective(gate, params):
    return (RESP * gate.log_prob(params, DESIGN)).sum() - gate.penalty(params)


def step_of(gate, params, step):
    log_prob = gate.log_prob(params, DESIGN)
    factor = gate.factorize(gate.hessian(params, DESIGN, RESP, log_prob))
    return gate.m_step(gate.statistics(params, DESIGN, RESP, log_prob), factor, params, step)


@of_all
def test_probabilities_sum_to_one_and_start_equal(name):
    gate = GATE_CASES[name]
    assert isinstance(gate, Gate)
    assert_allclose(np.exp(gate.log_prob(somewhere(gate), DESIGN)).sum(axis=0), 1.0)
    for n_experts in (1, 2, 5):
        start = gate.init_params(n_experts, N_COLUMNS)
        expected = np.full((n_experts, len(DESIGN)), 1.0 / n_experts)
        assert_allclose(np.exp(gate.log_prob(start, DESIGN)), expected)
        assert not gate.coefficients(start, N_COLUMNS)[:, :-1].any()


@of_all
def test_coefficients_give_the_probabilities(name):
    """As logits, which are log probabilities where the features do not matter."""
    gate = GATE_CASES[name]
    params = somewhere(gate)
    coef = gate.coefficients(params, N_COLUMNS)
    assert coef.shape == (N_EXPERTS, N_COLUMNS)
    logits = coef @ DESIGN.T
    assert_allclose(logits - logsumexp(logits, axis=0), gate.log_prob(params, DESIGN), atol=1e-10)
    assert gate.depends_on_features == coef[:, :-1].any()
    if not gate.depends_on_features:
        assert_allclose(np.exp(coef[:, -1]).sum(), 1.0)
        assert np.ptp(gate.log_prob(params, DESIGN), axis=1).max() == 0.0


@of_all
def test_steps_do_not_lower_the_objective(name):
    gate = GATE_CASES[name]
    for seed in range(5):
        params = somewhere(gate, seed)
        before = objective(gate, params)
        for step in (0.01, 0.1):
            assert objective(gate, step_of(gate, params, step)) >= before - 1e-9


@of_all
def test_steps_converge_to_a_stationary_point(name):
    gate = GATE_CASES[name]
    params = gate.init_params(N_EXPERTS, N_COLUMNS)
    for _ in range(12):
        params = step_of(gate, params, 1.0)
    (field,), (values,) = params._fields, params

    def at(flat):
        return objective(gate, gate.project(params._replace(**{field: flat.reshape(values.shape)})))

    assert_allclose(differences(at, values.ravel()), 0.0, atol=1e-3)


def test_steps_of_a_softmax_gate_lead_to_the_regression_of_scikit_learn():
    """Of the index of the expert, with the responsibilities as weights of repeated rows."""
    gate = SoftmaxGate(alpha=0.7)
    params = gate.init_params(N_EXPERTS, N_COLUMNS)
    for _ in range(12):
        params = step_of(gate, params, 1.0)
    features = np.tile(DESIGN[:, :-1], (N_EXPERTS, 1))
    single = LogisticRegression(C=1.0 / 0.7, tol=1e-10, max_iter=1000)
    index = np.repeat(np.arange(N_EXPERTS), len(DESIGN))
    single.fit(features, index, sample_weight=RESP.ravel())
    probability = np.exp(gate.log_prob(params, DESIGN))
    assert_allclose(probability, single.predict_proba(DESIGN[:, :-1]).T, atol=1e-5)


@of_all
def test_sums_add_up_over_blocks(name):
    gate = GATE_CASES[name]
    params = somewhere(gate)
    log_prob = gate.log_prob(params, DESIGN)

    def of_rows(method, rows):
        return getattr(gate, method)(params, DESIGN[rows], RESP[:, rows], log_prob[:, rows])

    blocks = slice(0, 15), slice(15, None)
    whole = of_rows("statistics", slice(None))
    for total, *parts in zip(whole, *(of_rows("statistics", rows) for rows in blocks), strict=True):
        assert_allclose(total, sum(parts), atol=1e-10)
    hessian = of_rows("hessian", slice(None))
    if hessian is not None:
        parts = [of_rows("hessian", rows) for rows in blocks]
        assert_allclose(hessian, sum(parts), rtol=1e-5, atol=1e-4)


@gates_with(SupportsReordering)
def test_reordered_experts_have_their_probabilities(name):
    gate = GATE_CASES[name]
    params, order = somewhere(gate), np.array([2, 0, 1])
    moved = gate.reorder(params, order)
    expected = gate.log_prob(params, DESIGN)[order]
    assert_allclose(gate.log_prob(moved, DESIGN), expected, rtol=1e-12)
    assert_allclose(gate.penalty(moved), gate.penalty(params), rtol=1e-9, atol=1e-12)
    for found, expected in zip(gate.reorder(moved, np.argsort(order)), params, strict=True):
        assert_array_equal(found, expected)


@gates_with(SupportsGateInference)
def test_scores_information_and_penalty_equal_differences(name):
    gate = GATE_CASES[name]
    params, weight = somewhere(gate), RESP[0]
    (field,), (values,) = params._fields, params
    curvature = gate.penalty_hessian(params, N_COLUMNS)
    # Coordinates are contrasts of logits, which add up to zero over the experts.
    basis = gate.contrast_matrix(params)
    basis = basis - basis.mean(axis=0)
    start = np.zeros(len(curvature))

    def at(change):
        change = basis @ change.reshape(basis.shape[1], -1)
        return gate.project(params._replace(**{field: values + change.reshape(values.shape)}))

    def scores(k, change):
        moved = at(change)
        return gate.score_rows(moved, k, DESIGN, gate.log_prob(moved, DESIGN))

    for k in range(N_EXPERTS):
        expected = differences(lambda c, k=k: gate.log_prob(at(c), DESIGN)[k], start)
        assert_allclose(scores(k, start), expected, atol=1e-8)
    information = gate.information(params, DESIGN, weight, gate.log_prob(params, DESIGN))
    expected = -differences(lambda change: scores(0, change) @ weight, start)
    assert_allclose(information, expected, atol=1e-6)
    slopes = [
        differences(lambda c: gate.penalty(at(c)), unit) for unit in 1e-2 * np.eye(len(start))
    ]
    slopes = np.array(slopes) - differences(lambda c: gate.penalty(at(c)), start)
    assert_allclose(curvature, slopes / 1e-2, atol=1e-5)
    assert gate.n_parameters(params) == len(curvature)


@gates_with(SupportsGateInference)
def test_scores_under_any_probabilities_have_mean_zero_and_the_information_as_variance(name):
    gate, weight = GATE_CASES[name], RESP[1]
    params, probs = somewhere(gate), RESP / RESP.sum(axis=0)
    log_prob = np.log(probs)
    scores = np.stack([gate.score_rows(params, k, DESIGN, log_prob) for k in range(N_EXPERTS)])
    assert_allclose(np.einsum("kn,kpn->pn", probs, scores), 0.0, atol=1e-12)
    variance = np.einsum("kn,kpn,kqn->pq", probs * weight, scores, scores)
    assert_allclose(gate.information(params, DESIGN, weight, log_prob), variance, rtol=1e-9)


@gates_with(SupportsEvidence)
def test_penalised_slopes_are_those_of_the_penalty(name):
    gate = GATE_CASES[name]
    params = somewhere(gate)
    log_prob = gate.log_prob(params, DESIGN)
    slopes = gate.penalised_slopes(
        params,
        gate.statistics(params, DESIGN, RESP, log_prob),
        gate.hessian(params, DESIGN, RESP, log_prob),
    )["alpha"]
    penalty = 0.5 * gate.alpha * (slopes.weight * np.square(slopes.values)).sum()
    assert_allclose(penalty, gate.penalty(params))
    assert slopes.covariances.shape == (*slopes.values.shape, N_COLUMNS - 1)


@pytest.mark.parametrize("alpha", [0.0, 0.25, 7.0, None])
def test_penalty_of_a_softmax_gate_is_the_given_one_or_one(alpha):
    """Half of it times the squared slopes; intercepts have none."""
    gate, used = SoftmaxGate(alpha), 1.0 if alpha is None else alpha
    assert gate.penalties == {"alpha": used}
    assert gate.has_open_penalty == (alpha is None)
    start = gate.init_params(3, 4)
    coef = np.random.default_rng(0).normal(size=(3, 4))
    coef -= coef.mean(axis=0)
    params = start._replace(coef=coef)
    assert_allclose(gate.penalty(params), 0.5 * used * np.square(coef[:, :-1]).sum())
    assert_array_equal(np.diag(gate.penalty_hessian(params, 4)), [used, used, used, 0.0] * 2)
