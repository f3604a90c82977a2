"""The E-step: likelihood and statistics are sums over weighted rows, or over weighted units."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import log_softmax, logsumexp
from scipy.stats import norm

from skmoe.experts import LinearExperts
from support.em import Params, dataset, e_step_block, mixture

SIZES = np.array([3, 1, 4, 4])


def rows_of(grouped):
    """Twelve rows, or four units of them, with weights that differ."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(12, 2)), rng.normal(size=(1, 12))
    weight, unit_weight = rng.uniform(0.5, 3.0, size=12), rng.uniform(0.5, 3.0, size=4)
    return dataset(X, y, weight, *((SIZES, unit_weight) if grouped else ()))


def parameters(model):
    """Parameters drawn at random, of which no two are the same."""
    rng = np.random.default_rng(1)
    gate, experts = model.gate.init_params(2, 3), model.experts.init_params(2, 3)
    gate = gate._replace(coef=rng.normal(size=gate.coef.shape))
    draws = {"coef": experts.coef, "log_dispersion": experts.log_dispersion}
    return Params(
        gate, experts._replace(**{key: rng.normal(size=a.shape) for key, a in draws.items()})
    )


def densities_by_hand(model, params, rows):
    """Log gate probabilities, and log joint densities of expert and y: of rows or of units."""
    log_gate = log_softmax(rows.gate_design @ params.gate.coef.T, axis=1).T
    means = params.experts.coef[:, 0] @ rows.expert_design.T
    logs = norm.logpdf(rows.y, means, np.exp(0.5 * params.experts.log_dispersion[..., 0]))
    if rows.units is not None:  # the weight of a row is the power of its density
        logs = np.add.reduceat(logs * rows.weight, np.cumsum(SIZES) - SIZES, axis=1)
        logs = logs / rows.units.weight
    return log_gate, log_gate + logs


@pytest.mark.parametrize("with_resp", [False, True], ids=["posterior", "given resp"])
@pytest.mark.parametrize("balance", [0.0, 0.7])
@pytest.mark.parametrize("grouped", [False, True], ids=["rows", "units"])
def test_likelihood_and_statistics_are_weighted_sums(grouped, balance, with_resp):
    rows, model = rows_of(grouped), mixture(balance=balance)
    params = parameters(model)
    log_gate, joint = densities_by_hand(model, params, rows)
    weight = rows.units.weight if grouped else rows.weight
    resp = np.exp(joint - logsumexp(joint, axis=0))
    log_likelihood = weight @ logsumexp(joint, axis=0)
    if with_resp:  # then it is that of the complete data
        resp = np.random.default_rng(2).dirichlet([1.0, 1.0], size=len(weight)).T
        resp[:, 1] = 1.0, 0.0
        log_likelihood = ((resp * joint) @ weight).sum()
    usage = np.exp(log_gate) @ weight
    log_likelihood += balance * weight.sum() * np.log(usage / usage.sum()).mean()
    found = e_step_block(model, params, True, rows, resp if with_resp else None)
    assert_allclose(found.log_likelihood, log_likelihood)
    assert_allclose(found.weight, rows.weight.sum())
    # The probability of each expert, divided among the rows.
    of_rows_of_expert = weight * np.exp(log_gate) / usage[:, None]
    of_gate = resp * weight + balance * weight.sum() / 2 * of_rows_of_expert
    of_rows = (np.repeat(resp, SIZES, axis=1) if grouped else resp) * rows.weight
    gate, experts = found.statistics
    assert_allclose(
        gate.gradient, (of_gate - np.exp(log_gate) * of_gate.sum(axis=0)) @ rows.gate_design
    )
    residual = rows.y - params.experts.coef[:, 0] @ rows.expert_design.T
    assert_allclose(experts.weight, of_rows.sum(axis=1))
    assert_allclose(experts.gradient[:, 0], (of_rows * residual) @ rows.expert_design)
    assert_allclose(experts.residual_ss[:, 0], (of_rows * residual**2).sum(axis=1))
    expected = (
        model.gate.hessian(params.gate, rows.gate_design, of_gate, log_gate),
        model.experts.hessian(params.experts, rows.expert_design, rows.y, of_rows),
    )
    for one, other in zip(found.hessians, expected, strict=True):
        for values, others in zip(one, other, strict=True):
            assert_allclose(values, others)
    assert e_step_block(model, params, False, rows).hessians is None


class PositiveOnly(LinearExperts):
    """The first expert cannot have made negative values."""

    def log_prob(self, params, design, y):
        logs = super().log_prob(params, design, y)
        logs[0, y[0] < 0.0] = -np.inf
        return logs


@pytest.mark.parametrize("grouped", [False, True], ids=["rows", "units"])
def test_experts_that_cannot_have_made_a_row_do_not_count_in_its_likelihood(grouped):
    """The log density is minus infinity there, and its responsibility zero."""
    rows, model = rows_of(grouped), mixture(experts=PositiveOnly())
    params = parameters(model)
    _, joint = densities_by_hand(model, params, rows)
    impossible = rows.y[0] < 0.0
    if grouped:
        impossible = np.logical_or.reduceat(impossible, np.cumsum(SIZES) - SIZES)
    resp = np.full(joint.shape, 0.5)
    resp[:, impossible] = [[0.0], [1.0]]
    assert impossible.any()
    found = e_step_block(model, params, False, rows, resp)
    weight = rows.units.weight if grouped else rows.weight
    assert_allclose(found.log_likelihood, ((resp * joint) @ weight).sum())
