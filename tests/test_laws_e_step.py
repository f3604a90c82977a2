"""An E-step: likelihoods and statistics are sums over weighted rows or units."""

from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import logsumexp

from skmoe._data.rows import Dataset
from skmoe._data.units import Units
from skmoe._mixture.e_step import e_step_block
from skmoe._mixture.model import MixtureModel, Params, log_joint
from skmoe.experts import LinearExperts
from skmoe.gates import SoftmaxGate

RNG = np.random.default_rng(0)
N_ROWS, SIZES = 12, np.array([3, 1, 4, 4])
DESIGN = np.column_stack([RNG.normal(size=(N_ROWS, 2)), np.ones(N_ROWS)])
Y, WEIGHT = RNG.normal(size=(1, N_ROWS)), RNG.uniform(0.5, 3.0, size=N_ROWS)
OF_UNITS = Units(np.cumsum(SIZES) - SIZES, SIZES, RNG.uniform(0.5, 3.0, size=4))
ROWS = Dataset(DESIGN, DESIGN, Y, WEIGHT)
UNITS = Dataset(DESIGN[OF_UNITS.starts], DESIGN, Y, WEIGHT, OF_UNITS)


def model_of(balance):
    rng = np.random.default_rng(0)
    gate, experts = SoftmaxGate(), LinearExperts()
    params = Params(gate.init_params(2, 3), experts.init_params(2, 3))
    gate_params = params.gate._replace(coef=rng.normal(size=params.gate.coef.shape))
    gate_params = gate_params._replace(coef=gate_params.coef - gate_params.coef.mean(axis=0))
    experts_params = params.experts._replace(coef=rng.normal(size=params.experts.coef.shape))
    return MixtureModel(gate, experts, 2, balance=balance), Params(gate_params, experts_params)


@pytest.mark.parametrize("rows", [ROWS, UNITS], ids=["rows", "units"])
@pytest.mark.parametrize(("balance", "with_resp"), product([0.0, 0.7], [False, True]))
def test_an_e_step_sums_over_weighted_rows_or_units(rows, balance, with_resp):
    """Weights of rows are powers of their densities in a unit, whose weight counts units."""
    model, params = model_of(balance)
    log_gate, joint = log_joint(model, params, rows)
    weight = rows.weight if rows.units is None else OF_UNITS.weight
    resp = np.exp(joint - logsumexp(joint, axis=0))
    expected = weight @ logsumexp(joint, axis=0)
    if with_resp:
        resp = np.array([1.0, 0.0])[:, None] * np.ones(len(weight))
        resp[:, 1] = 0.3, 0.7
        expected = (resp * joint) @ weight
        expected = expected.sum()
    expected += balance * weight @ log_gate.mean(axis=0)
    found = e_step_block(model, params, True, rows, resp if with_resp else None)
    assert_allclose(found.log_likelihood, expected)
    assert_allclose(found.weight, WEIGHT.sum())
    of_gate = resp * weight + balance / 2 * weight
    of_rows = (resp if rows.units is None else np.repeat(resp, SIZES, axis=1)) * WEIGHT
    gate, experts, gate_design = model.gate, model.experts, rows.gate_design
    expected = (
        gate.statistics(params.gate, gate_design, of_gate, log_gate),
        experts.statistics(params.experts, DESIGN, Y, of_rows),
        gate.hessian(params.gate, gate_design, of_gate, log_gate),
        experts.hessian(params.experts, DESIGN, Y, of_rows),
    )
    for parts in zip((*found.statistics, *found.hessians), expected, strict=True):
        for one, other in zip(*parts, strict=True):
            assert_allclose(one, other)
    assert e_step_block(model, params, False, rows).hessians is None


@pytest.mark.parametrize("rows", [ROWS, UNITS], ids=["rows", "units"])
def test_experts_that_cannot_have_made_a_row_have_no_part_in_its_likelihood(rows, monkeypatch):
    model, params = model_of(0.0)
    log_gate, joint = log_joint(model, params, rows)
    impossible = joint.copy()
    impossible[0, 1] = -np.inf
    resp = np.where(np.isfinite(impossible), 0.5, 0.0)
    monkeypatch.setattr(
        "skmoe._mixture.e_step.log_joint", lambda model, params, rows: (log_gate, impossible)
    )
    found = e_step_block(model, params, False, rows, resp)
    expected = (resp * joint) @ (WEIGHT if rows.units is None else OF_UNITS.weight)
    assert_allclose(found.log_likelihood, expected.sum())
