"""Online EM: M-steps from averages of the statistics of batches."""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import logsumexp
from scipy.stats import norm

from skmoe._mixture.online import init_online_state, update
from skmoe.experts import LinearExperts
from skmoe.gates import ConstantGate
from support.em import dataset, mixture, soft_labels, start_from
from support.tables import two_regimes

ALPHA, PRIOR = 1.0, 10.0


def batches():
    """Three batches of different sizes, whose rows have weights."""
    X, y = two_regimes(300)
    y = (y - y.mean()) / y.std()
    weight = np.random.default_rng(0).uniform(0.5, 2.0, size=300)
    parts = np.split(np.arange(300), [150, 165, 280])
    return [dataset(X[i], y[None, i], weight[i]) for i in parts]


def e_step_by_hand(rows, gate, coef, variance):
    """Mean log-likelihood, and for each expert its weight and weighted moments, per unit weight."""
    means = coef @ rows.expert_design.T
    joint = np.log(gate)[:, None] + norm.logpdf(rows.y, means, np.sqrt(variance)[:, None])
    resp = np.exp(joint - logsumexp(joint, axis=0)) * rows.weight / rows.weight.sum()
    design, y = rows.expert_design, rows.y[0]
    moments = [
        resp.sum(axis=1),
        np.einsum("kn,ni,nj->kij", resp, design, design),
        (resp * y) @ design,
        resp @ y**2,
    ]
    return rows.weight @ logsumexp(joint, axis=0) / rows.weight.sum(), moments


def m_step_by_hand(moments, total):
    """Gate probabilities, and ridge regressions with their variances, of rows of total weight."""
    weight, gram, cross, square = (total * values for values in moments)
    ridge = np.diag([ALPHA] * (gram.shape[1] - 1) + [0.0])
    coef = np.stack([np.linalg.solve(g + ridge, c) for g, c in zip(gram, cross, strict=True)])
    squares = square - 2 * (coef * cross).sum(axis=1)
    squares += np.einsum("ki,kij,kj->k", coef, gram + ridge, coef)
    return weight / weight.sum(), coef, (squares + PRIOR) / (weight + PRIOR)


def values_of(params):
    return (
        np.exp(params.gate[0]).ravel(),
        params.experts.coef[:, 0],
        np.exp(params.experts.log_dispersion[:, 0, 0]),
    )


@pytest.mark.parametrize("memory", [np.inf, 170.0])
def test_a_batch_moves_the_averages_by_its_part_of_the_rows(memory):
    """`memory` is the weight of all rows that are remembered, as with a half-life."""
    model = mixture(ConstantGate(), LinearExperts(ALPHA, dispersion_prior=PRIOR))
    first, *rest = batches()
    seen = first.weight.sum()
    params = start_from(model, first, soft_labels(first.expert_design[:, 1] > 0), 3)
    state = init_online_state(model, params, first, SimpleNamespace(weight=seen), None)
    bound, averages = e_step_by_hand(first, *values_of(params))
    assert_allclose(state.lower_bound, bound)
    averaged = [*params.experts]
    for number, rows in enumerate(rest, start=2):
        own = rows.weight.sum()
        seen += own
        current = min(seen, memory)
        gate, coef, variance = values_of(state.params)
        log_likelihood, moments = e_step_by_hand(rows, gate, coef, variance)
        step = max(own / current, (own / seen) ** 0.6)
        averages = [(1 - step) * a + step * b for a, b in zip(averages, moments, strict=True)]
        state = update(state._replace(features=SimpleNamespace(weight=current)), rows)
        for found, expected in zip(
            values_of(state.params), m_step_by_hand(averages, current), strict=True
        ):
            assert_allclose(found, expected, rtol=1e-6, atol=1e-8)
        bound += own / current * (log_likelihood - bound)
        assert_allclose(state.lower_bound, bound)
        newest = min(1.0, 4.0 * own / current)
        averaged = [
            (1 - newest) * a + newest * b
            for a, b in zip(averaged, state.params.experts, strict=True)
        ]
        for found, expected in zip(state.averaged_params.experts, averaged, strict=True):
            assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
        assert state.n_batches == number
        assert_allclose(state.total_weight, seen)
