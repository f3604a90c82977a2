"""The E-step: log-likelihood, responsibilities and the sums that the M-step needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial, reduce
from typing import Any, NamedTuple

import numpy as np

from skmoe._data.rows import Dataset
from skmoe._mixture.model import MixtureModel, Params, log_joint, posterior
from skmoe._numerics.linalg import add_fields
from skmoe._numerics.typing import Array


class EMState(NamedTuple):
    """Parameters and what a sweep says of them."""

    params: Params
    lower_bound: float
    statistics: tuple[Any, Any]
    hessian_factors: tuple[Any, Any]
    hessian_params: Params  # where the factors were found
    hessian_age: int  # sweeps since then


class EStepStatistics(NamedTuple):
    """What rows add to a pass over the data: all of it adds up over blocks, wherever they are."""

    log_likelihood: float
    weight: float
    statistics: tuple[Any, Any]
    hessians: Any  # of both model, or None


def e_step(
    model: MixtureModel,
    blocks: Iterable[Dataset],
    params: Params,
    *,
    with_hessian: bool,
    map_blocks: Callable[..., Iterable[Any]] = map,
) -> EStepStatistics:
    """What all blocks say at given parameters, with curvatures or without."""
    return reduce(
        add_fields, map_blocks(partial(_e_step_block, model, params, with_hessian), blocks)
    )


def _e_step_block(
    model: MixtureModel,
    params: Params,
    with_hessian: bool,
    rows: Dataset,
    resp: Array | None = None,
) -> EStepStatistics:
    """What a block adds to the bound, to the statistics and, if wanted, to the curvatures.

    With given responsibilities the bound is the expected log-likelihood.
    """
    log_gate, joint = log_joint(model, params, rows)
    if resp is None:
        resp, log_density = posterior(model, joint)
        resp *= rows.weight
        log_likelihood = float(rows.weight @ log_density)
    else:
        resp = resp * rows.weight
        log_likelihood = float(np.vdot(resp, joint))
    if model.balance:
        log_likelihood += model.balance * float(rows.weight @ log_gate.mean(axis=0))
    return EStepStatistics(
        log_likelihood,
        float(rows.weight.sum()),
        _part_statistics(model, params, rows, resp, log_gate),
        _part_hessians(model, params, rows, resp, log_gate) if with_hessian else None,
    )


def _part_statistics(
    model: MixtureModel, params: Params, rows: Dataset, resp: Array, log_gate: Array
) -> tuple[Any, Any]:
    return (
        model.gate.statistics(
            params.gate, rows.gate_design, _balanced_responsibilities(model, rows, resp), log_gate
        ),
        model.experts.statistics(params.experts, rows.expert_design, rows.y, resp),
    )


def _part_hessians(
    model: MixtureModel, params: Params, rows: Dataset, resp: Array, log_gate: Array
) -> tuple[Any, Any]:
    return (
        model.gate.hessian(
            params.gate, rows.gate_design, _balanced_responsibilities(model, rows, resp), log_gate
        ),
        model.experts.hessian(params.experts, rows.expert_design, rows.y, resp),
    )


def _balanced_responsibilities(model: MixtureModel, rows: Dataset, resp: Array) -> Array:
    """Responsibilities with the uniform pseudo-targets that balance the experts."""
    return resp + model.balance / len(resp) * rows.weight if model.balance else resp
