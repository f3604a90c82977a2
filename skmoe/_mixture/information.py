"""Observed information of the penalised log-likelihood of a mixture [1]_, and its gradient.

Coordinates: those of each expert, of which those that it shares are with the first, and those of
the gate.

References
----------
.. [1] T. A. Louis (1982), "Finding the observed information matrix when using the EM algorithm",
   Journal of the Royal Statistical Society B 44, 226-233.
"""

from __future__ import annotations

from functools import partial, reduce
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from skmoe._data.rows import Dataset, split_into_blocks
from skmoe._mixture.model import (
    MixtureModel,
    Params,
    log_joint,
    posterior,
    summed_gates,
)
from skmoe._numerics.evidence import is_dropped
from skmoe._numerics.linalg import add_fields, split_offset, sum_over_blocks, with_offset
from skmoe._numerics.probability import log_probability
from skmoe._numerics.typing import TINY, Array
from skmoe.protocols import Block, LinearPredictor


class Layout(NamedTuple):
    """Indices of the coordinates, of which there are `size`."""

    expert_index: Array  # (K, d)
    gate_index: Array
    size: int


class Information(NamedTuple):
    """The observed information, its parts, and the index of the coordinates of each part."""

    observed: Array  # (D, D), penalties included
    gradient: Array  # of the log-likelihood, without penalties, (D,)
    scores: Any  # outer products of the gradients of rows, units or clusters (D, D), or None
    complete_experts: Array  # complete-data information of each, without penalties, (K, d, d)
    complete_gate: Array
    expert_weight: Array  # weight of the rows of each expert, (K,)
    expert_index: Array  # (K, d)
    gate_index: Array


def observed_information(
    model: MixtureModel,
    params: Params,
    rows: Any,
    with_scores: bool = False,
    clusters: Array | None = None,
) -> Information:
    """Information at given parameters, by a pass over the rows, in memory or in row blocks.

    Scores are computed on request, and are summed over rows (or units) with the same number in
    `clusters`, which need rows in memory. The parts must have the capabilities `SupportsInference`
    and `SupportsGateInference`.
    """
    experts: Any = model.experts
    gate: Any = model.gate
    penalties = experts.penalty_hessian(params.experts)
    gate_penalty = gate.penalty_hessian(params.gate, rows.n_gate_columns)
    layout = coordinate_layout(model, params, rows.n_gate_columns)
    blocks = split_into_blocks(rows)
    of_block = partial(_sums_of_block, model, params, layout, with_scores)
    sums: Any
    if clusters is None:
        sums = sum_over_blocks(of_block, blocks)
    else:
        ends = np.cumsum([len(block.gate_weight) for block in blocks])
        numbers = [np.append(own, clusters.max()) for own in np.split(clusters, ends[:-1])]
        sums = reduce(add_fields, map(of_block, blocks, numbers))
    total = Information._make((*sums, layout.expert_index, layout.gate_index))
    if clusters is not None:
        total = total._replace(scores=total.scores.T @ total.scores)
    for own, complete, penalty in zip(
        layout.expert_index, total.complete_experts, penalties, strict=True
    ):
        total.observed[np.ix_(own, own)] += complete + penalty
    of_gate = np.ix_(layout.gate_index, layout.gate_index)
    total.observed[of_gate] += total.complete_gate + gate_penalty
    if model.balance:
        usage = sum_over_blocks(partial(summed_gates, gate, params.gate), blocks)
        of_usage = partial(_sums_of_balance, model, params, usage)
        information, gradients = sum_over_blocks(of_usage, blocks)
        factor = model.balance * usage.sum() / len(usage)
        total.observed[of_gate] += factor * (information + gradients.T @ gradients)
        total.gradient[layout.gate_index] += factor * gradients.sum(axis=0)
    return total


def _sums_of_balance(
    model: MixtureModel, params: Params, usage: Array, rows: Dataset
) -> tuple[Array, Array]:
    """Sums over a block for the prior of the `usage` by `balance`.

    They are gradients (K, P) of the logs of the usages, and their negative Hessian (P, P), summed
    over the experts, without the products of the gradients.
    """
    gate: Any = model.gate
    design = rows.gate_design.toarray() if sparse.issparse(rows.gate_design) else rows.gate_design
    log_gate = gate.log_prob(params.gate, design)
    share = rows.gate_weight * np.exp(log_gate) / np.maximum(usage, TINY)[:, None]
    information, gradients = gate.information(params.gate, design, share.sum(axis=0), log_gate), []
    for k, weight in enumerate(share):
        score = gate.score_rows(params.gate, k, design, log_gate)
        information = information - (score * weight) @ score.T
        gradients.append(score @ weight)
    return information, np.stack(gradients)


def coordinate_layout(model: MixtureModel, params: Params, n_gate_columns: int) -> Layout:
    """Coordinates of each expert from those who hold them, and those of the gate.

    One that an expert lacks has an index too, and is zero.
    """
    experts: Any = model.experts
    holders = experts.coordinate_holders(params.experts)
    own = np.arange(len(holders))[:, None]
    holders = np.where(holders < 0, own, holders)
    is_first = holders == own
    numbers = np.cumsum(is_first).reshape(holders.shape) - 1
    of_experts, n_of_experts = numbers[holders, np.arange(holders.shape[1])], int(is_first.sum())
    size = n_of_experts + n_gate_coordinates(model, params, n_gate_columns)
    return Layout(of_experts, np.arange(n_of_experts, size), size)


def n_gate_coordinates(model: MixtureModel, params: Params, n_gate_columns: int) -> int:
    """Number of the coordinates of the gate: the length of its gradients, here of no rows.

    A matrix of all coordinates would not fit into memory where there are many columns.
    """
    gate: Any = model.gate
    no_rows, of_no_rows = np.empty((0, n_gate_columns)), np.empty((model.n_experts, 0))
    return len(gate.score_rows(params.gate, 0, no_rows, of_no_rows))


def _sums_of_block(
    model: MixtureModel,
    params: Params,
    layout: Layout,
    with_scores: bool,
    rows: Dataset,
    clusters: Any = None,
) -> tuple[Any, ...]:
    """Sums over a block of rows, the fields of `Information` before the indices.

    They are without penalties and complete-data information, and scores are by cluster (C, D). The
    clusters are followed by the largest number of all blocks.
    """
    experts: Any = model.experts
    gate: Any = model.gate
    matrix, offset = split_offset(rows.expert_design)
    matrix, gate_design = (
        design.toarray() if sparse.issparse(design) else design
        for design in (matrix, rows.gate_design)
    )
    rows = rows._replace(expert_design=with_offset(matrix, offset), gate_design=gate_design)
    log_gate, joint = log_joint(model, params, rows)
    resp, _ = posterior(joint, model.top_k)
    observed = np.zeros((layout.size, layout.size))
    score = np.zeros((layout.size, len(rows.gate_weight)))
    # Logits are linear in the coordinates: scores depend on the probabilities of the experts alone.
    of_gate = partial(gate.score_rows, params.gate, design=rows.gate_design)
    log_resp = log_probability(resp)
    complete_experts, expert_weight = [], []
    for k, expert_resp in enumerate(resp):
        row_weight = rows.row_responsibilities(expert_resp) * rows.weight
        of_rows = params.experts, k, rows.expert_design, rows.y
        complete_experts.append(experts.information(*of_rows, row_weight))
        own, own_score = layout.expert_index[k], rows.sum_over_units(experts.score_rows(*of_rows))
        weighted = own_score * (expert_resp * rows.gate_weight)
        observed[np.ix_(own, own)] -= weighted @ own_score.T
        observed[np.ix_(own, layout.gate_index)] -= weighted @ of_gate(k=k, log_prob=log_resp).T
        score[own] += own_score * expert_resp
        expert_weight.append(row_weight.sum())
    observed[np.ix_(layout.gate_index, layout.gate_index)] -= gate.information(
        params.gate, rows.gate_design, rows.gate_weight, log_resp
    )
    gate_score = of_gate(k=0, log_prob=log_gate)
    score[layout.gate_index] = gate_score - of_gate(k=0, log_prob=log_resp)
    gradient = score @ rows.gate_weight
    n_own = layout.size - len(layout.gate_index)
    of_experts, weighted = score[:n_own], score * rows.gate_weight
    observed[:n_own, :n_own] += of_experts @ weighted[:n_own].T
    observed[n_own:, :n_own] = observed[:n_own, n_own:].T
    if clusters is None:
        scores = weighted @ score.T if with_scores else None
    else:
        *codes, largest = clusters
        n_clusters, columns = largest + 1, np.arange(len(codes))
        members = sparse.csr_array((rows.gate_weight, (codes, columns)), (n_clusters, len(codes)))
        scores = members @ score.T
    return (
        observed,
        gradient,
        scores,
        np.stack(complete_experts),
        gate.information(params.gate, rows.gate_design, rows.gate_weight, log_gate),
        np.array(expert_weight),
    )


def coordinates_at_bound(model: MixtureModel, params: Params, information: Information) -> Array:
    """Coordinates of the experts that are at a bound, boolean of shape (D,)."""
    flags = np.zeros(len(information.observed), dtype=bool)
    flags[information.expert_index[model.experts.at_bound(params.experts)]] = True
    return flags


def signed_coordinates(
    model: MixtureModel, params: Params, information: Information
) -> tuple[Array, Array]:
    """Coordinates that have a sign, and the signs, with zeros for the others, (D,)."""
    values, signs = np.zeros((2, len(information.observed)))
    own, of_own = model.experts.signed_coordinates(params.experts)
    signed = information.expert_index[of_own != 0.0]
    values[signed], signs[signed] = own[of_own != 0.0], of_own[of_own != 0.0]
    return values, signs


def dropped_coordinates(model: MixtureModel, params: Params, information: Information) -> Array:
    """Coordinates of slopes that are zero: of dropped features, and that an expert lacks, (D,)."""
    flags = np.zeros(len(information.observed), dtype=bool)
    gate_alpha = model.gate.penalties.get("alpha")
    flags[information.gate_index] = _dropped(gate_alpha, len(information.gate_index))
    blocks, fields = model.experts.blocks, params.experts._asdict()
    sizes = [_own_size(block, fields[block.params].shape[1]) for block in blocks]
    n_own, n_whole = sum(size or 0 for size in sizes), sizes.count(None)
    holders = model.experts.coordinate_holders(params.experts)
    for index, of_expert in zip(information.expert_index, holders, strict=True):
        flags[index] |= of_expert < 0
        whole = (len(index) - n_own) // max(n_whole, 1)
        end = 0
        for block, own in zip(blocks, sizes, strict=True):
            size = whole if own is None else own
            start, end = end, end + size
            flags[index[start:end]] |= _dropped(model.experts.penalties.get(block.penalty), size)
    return flags


def _own_size(block: Block, n_outputs: int) -> int | None:
    """Number of coordinates of a block; None for a predictor of all columns."""
    if not isinstance(block, LinearPredictor):
        return n_outputs
    return None if block.columns is None else n_outputs * (1 + len(block.columns))


def _dropped(alpha: Any, size: int) -> Array:
    """Which of the coefficients of some vectors are slopes of dropped features."""
    if not isinstance(alpha, tuple):
        return np.zeros(size, dtype=bool)
    columns = np.append(is_dropped(alpha), False)
    return np.tile(columns, size // len(columns))
