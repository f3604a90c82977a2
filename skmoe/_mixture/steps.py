"""The E-step and the M-step of EM.

The E-step gives log-likelihood, responsibilities and the sufficient statistics of the M-step, which
makes new parameters of gate and experts from them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

from skmoe._data.rows import Dataset
from skmoe._mixture.model import (
    MixtureModel,
    Params,
    balance_prior,
    log_joint,
    posterior,
    summed_gates,
)
from skmoe._numerics.linalg import sum_over_blocks
from skmoe._numerics.typing import Array


class EMState(NamedTuple):
    """Parameters with the lower bound and the statistics evaluated there."""

    params: Params
    lower_bound: float
    statistics: tuple[Any, Any]  # of gate and experts
    hessian_factors: tuple[Any, Any]
    hessian_params: Params  # at which the Hessians were evaluated
    hessian_age: int  # E-steps since then


class EStepStatistics(NamedTuple):
    """Additive statistics of row blocks; they can be summed over blocks in any process."""

    log_likelihood: float
    weight: float
    statistics: tuple[Any, Any]  # of gate and experts
    hessians: Any  # of gate and experts, or None


def e_step(
    model: MixtureModel,
    blocks: Iterable[Dataset],
    params: Params,
    *,
    with_hessian: bool,
    map_blocks: Callable[..., Iterable[Any]] | None = None,
) -> EStepStatistics:
    """E-step over all row blocks, by a map or their own; Hessians are computed on request."""
    usage = None
    if model.balance:
        usage = sum_over_blocks(partial(summed_gates, model.gate, params.gate), blocks)
    of_block = partial(e_step_block, model, params, with_hessian, usage=usage)
    return sum_over_blocks(of_block, blocks, map_blocks)


def lower_bound_at(model: MixtureModel, params: Params, blocks: Iterable[Dataset]) -> float:
    """Penalised log-likelihood per row at given parameters, of row blocks with their own map."""
    return lower_bound(model, params, e_step(model, blocks, params, with_hessian=False))


def lower_bound(model: MixtureModel, params: Params, total: EStepStatistics) -> float:
    """Penalised log-likelihood per row from the sums of an E-step."""
    return (total.log_likelihood - total_penalty(model, params)) / total.weight


def e_step_block(
    model: MixtureModel,
    params: Params,
    with_hessian: bool,
    rows: Dataset,
    resp: Array | None = None,
    usage: Array | None = None,
) -> EStepStatistics:
    """E-step on one block of rows; `usage` is that of `balance_prior`, by default of the block.

    With given responsibilities, of rows (K, n) or of units (K, U), the log-likelihood is the
    expected complete-data log-likelihood.
    """
    # What the family computes once for density, statistics and Hessian is kept for this block only.
    experts = model.experts.at(params.experts, rows.expert_design, rows.y)
    model = model._replace(experts=experts)
    log_gate, joint = log_joint(model, params, rows)
    if resp is None:
        resp, log_density = posterior(joint, model.top_k)
        log_likelihood = float(rows.gate_weight @ log_density)
    else:
        # Rows outside the support of an expert have log density minus infinity.
        present = resp > 0.0
        log_likelihood = float((resp * rows.gate_weight)[present] @ joint[present])
    gate_resp = resp * rows.gate_weight
    expert_resp = gate_resp if rows.units is None else rows.row_responsibilities(resp) * rows.weight
    if model.balance:
        usage = summed_gates(model.gate, params.gate, rows) if usage is None else usage
        log_prior, pseudo = balance_prior(model.balance, log_gate, rows.gate_weight, usage)
        log_likelihood, gate_resp = log_likelihood + log_prior, gate_resp + pseudo
    of_gate = params.gate, rows.gate_design, gate_resp, log_gate
    of_experts = params.experts, rows.expert_design, rows.y, expert_resp
    hessians = None
    if with_hessian:
        hessians = model.gate.hessian(*of_gate), experts.hessian(*of_experts)
    statistics = model.gate.statistics(*of_gate), experts.statistics(*of_experts)
    return EStepStatistics(log_likelihood, float(rows.weight.sum()), statistics, hessians)


# --- the M-step -------------------------------------------------------------------------------


def m_step(model: MixtureModel, state: EMState, step: float, fixed_experts: Any = None) -> Params:
    """M-step of gate and experts; expert parameters are replaced by `fixed_experts`, if given."""
    (of_gate, of_experts), (gate_factor, factor) = state.statistics, state.hessian_factors
    gate = model.gate.m_step(of_gate, gate_factor, state.params.gate, step)
    if fixed_experts is None:
        fixed_experts = model.experts.m_step(of_experts, factor, state.params.experts, step)
    return Params(gate, fixed_experts)


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
