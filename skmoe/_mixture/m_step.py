"""The M-step: new parameters of gate and experts from the statistics of an E-step."""

from __future__ import annotations

from functools import partial, reduce
from typing import Any

import numpy as np

from skmoe._data.rows import Dataset, split_into_blocks
from skmoe._mixture.e_step import EMState, EStepStatistics, e_step_block
from skmoe._mixture.model import MixtureModel, Params
from skmoe._numerics.linalg import add_fields
from skmoe._numerics.typing import Array

# Step sizes tried by the line search: 1, 1/2, 1/4, ..., and in EM finally 0, which changes only
# parameters with a closed-form M-step.
MAX_HALVINGS = 12


def m_step(
    model: MixtureModel,
    statistics: tuple[Any, Any],
    factors: tuple[Any, Any],
    params: Params,
    step: float,
    fixed_experts: Any = None,
) -> Params:
    """M-step of gate and experts; expert parameters are replaced by `fixed_experts`, if given."""
    gate = model.gate.m_step(statistics[0], factors[0], params.gate, step)
    if fixed_experts is None:
        fixed_experts = model.experts.m_step(statistics[1], factors[1], params.experts, step)
    return Params(gate, fixed_experts)


def m_step_from(
    model: MixtureModel, state: EMState, step: float, fixed_experts: Any = None
) -> Params:
    """M-step from a state of EM."""
    statistics, factors = state.statistics, state.hessian_factors
    return m_step(model, statistics, factors, state.params, step, fixed_experts)


def params_from_responsibilities(
    model: MixtureModel, rows: Dataset, resp: Array, n_steps: int
) -> Params:
    """Parameters for given responsibilities of rows (K, n) or units (K, U).

    They are found by M-steps with a line search.
    """
    n_experts = len(resp)
    params = Params(
        model.gate.init_params(n_experts, rows.gate_design.shape[1]),
        model.experts.init_params(n_experts, rows.expert_design.shape[1]),
    )
    blocks = split_into_blocks(rows)
    ends = np.cumsum([len(block.gate_weight) for block in blocks])
    block_resp = np.split(resp, ends[:-1], axis=1)

    def expected_log_likelihood(params: Params, with_hessian: bool) -> EStepStatistics:
        block_statistics = map(
            partial(e_step_block, model, params, with_hessian), blocks, block_resp
        )
        total = reduce(add_fields, block_statistics)
        return total._replace(log_likelihood=total.log_likelihood - total_penalty(model, params))

    current = expected_log_likelihood(params, True)
    for n_remaining in reversed(range(n_steps)):
        factors = factorize_hessians(model, current.hessians)
        trial = params
        for attempt in range(MAX_HALVINGS):
            refitted = attempt > 0 and model.experts.needs_all_rows
            fixed_experts = trial.experts if refitted else None
            trial = m_step(model, current.statistics, factors, params, 0.5**attempt, fixed_experts)
            candidate = expected_log_likelihood(trial, n_remaining > 0)
            if candidate.log_likelihood >= current.log_likelihood:
                break
        else:
            return params
        params, current = trial, candidate
    return params


# --- gate and experts together ----------------------------------------------------------------


def total_penalty(model: MixtureModel, params: Params) -> float:
    """Negative log prior of all parameters, up to a constant."""
    return model.gate.penalty(params.gate) + model.experts.penalty(params.experts)


def factorize_hessians(model: MixtureModel, hessians: Any) -> tuple[Any, Any]:
    """Factorizations of the Hessians of gate and experts."""
    gate, experts = hessians
    return model.gate.factorize(gate), model.experts.factorize(experts)


def project(model: MixtureModel, params: Params) -> Params:
    """The nearest valid parameters, after an extrapolation."""
    return Params(model.gate.project(params.gate), model.experts.project(params.experts))


def unflatten(params: Params, arrays: list[Array]) -> Params:
    """Parameters of the same types as `params`, from the arrays of gate and experts in turn."""
    n_gate = len(params.gate)
    return Params(type(params.gate)(*arrays[:n_gate]), type(params.experts)(*arrays[n_gate:]))
