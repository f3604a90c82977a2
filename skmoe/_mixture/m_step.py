"""The M-step: new parameters of gate and experts from the statistics of an E-step."""

from __future__ import annotations

from functools import partial, reduce
from typing import Any

import numpy as np

from skmoe._data.rows import Dataset, split_into_blocks
from skmoe._mixture.e_step import EMState, EStepStatistics, _e_step_block
from skmoe._mixture.model import MixtureModel, Params
from skmoe._numerics.linalg import add_fields
from skmoe._numerics.typing import Array

# Step lengths that an iteration tries: 1, 1/2, 1/4, ... and at last 0, which leaves all but
# closed-form model where they are.
MAX_HALVINGS = 12


def _penalty(model: MixtureModel, params: Params) -> float:
    return model.gate.penalty(params.gate) + model.experts.penalty(params.experts)


def params_from_responsibilities(
    model: MixtureModel, rows: Dataset, resp: Array, n_steps: int
) -> Params:
    """Parameters for given responsibilities (K, n), by a few guarded steps of the M-step."""
    n_experts = len(resp)
    params = Params(
        model.gate.init_params(n_experts, rows.gate_design.shape[1]),
        model.experts.init_params(n_experts, rows.expert_design.shape[1]),
    )
    blocks = split_into_blocks(rows)
    ends = np.cumsum([len(block.weight) for block in blocks])
    block_resp = np.split(resp, ends[:-1], axis=1)

    def expected_log_likelihood(params: Params, with_hessian: bool) -> EStepStatistics:
        blocks_statistics = map(
            partial(_e_step_block, model, params, with_hessian), blocks, block_resp
        )
        total = reduce(add_fields, blocks_statistics)
        return total._replace(log_likelihood=total.log_likelihood - _penalty(model, params))

    current = expected_log_likelihood(params, True)
    for left in reversed(range(n_steps)):
        factors = _factorize(model, current.hessians)
        trial, in_memory = params, model.experts.needs_all_rows
        for attempt in range(MAX_HALVINGS):
            fixed_experts = trial.experts if attempt and in_memory else None
            trial = _m_step(model, current.statistics, factors, params, 0.5**attempt, fixed_experts)
            candidate = expected_log_likelihood(trial, left > 0)
            if candidate.log_likelihood >= current.log_likelihood:
                break
        else:
            return params
        params, current = trial, candidate
    return params


def _factorize(model: MixtureModel, curvatures: Any) -> tuple[Any, Any]:
    gate, experts = curvatures
    return model.gate.factorize(gate), model.experts.factorize(experts)


def _propose(model: MixtureModel, point: EMState, step: float, fixed_experts: Any = None) -> Params:
    return _m_step(
        model, point.statistics, point.hessian_factors, point.params, step, fixed_experts
    )


def _m_step(
    model: MixtureModel,
    statistics: tuple[Any, Any],
    factors: tuple[Any, Any],
    params: Params,
    step: float,
    fixed_experts: Any = None,
) -> Params:
    """Next parameters of both model; experts already `refitted` are taken as they are."""
    gate = model.gate.m_step(statistics[0], factors[0], params.gate, step)
    if fixed_experts is None:
        fixed_experts = model.experts.m_step(statistics[1], factors[1], params.experts, step)
    return Params(gate, fixed_experts)


def _unflatten(params: Params, arrays: list[Array]) -> Params:
    n_gate = len(params.gate)
    return Params(type(params.gate)(*arrays[:n_gate]), type(params.experts)(*arrays[n_gate:]))


def _project(model: MixtureModel, params: Params) -> Params:
    return Params(model.gate.project(params.gate), model.experts.project(params.experts))
