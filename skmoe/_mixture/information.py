"""Observed information of the penalised log-likelihood of a mixture [1]_, and its gradient.

Coordinates: those of each expert, those that all experts share, those of the gate.

References
----------
.. [1] T. A. Louis (1982), "Finding the observed information matrix when using the EM algorithm",
   Journal of the Royal Statistical Society B 44, 226-233.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from skmoe._data.rows import Dataset
from skmoe._mixture.model import MixtureModel, Params, log_joint, posterior
from skmoe._numerics.evidence import is_dropped
from skmoe._numerics.offset_design import split_offset, with_offset
from skmoe._numerics.typing import Array
from skmoe.protocols import LinearPredictor


class Information(NamedTuple):
    """Sums over the rows, and the index of the coordinates (D of them) of each part."""

    observed: Array  # (D, D), penalties included
    gradient: Array  # of the log-likelihood, without penalties, (D,)
    scores: Array  # outer products of the gradients of rows, units or clusters, (D, D)
    complete_experts: list[Array]  # complete-data information of each expert, without penalties
    complete_gate: Array
    expert_weight: Array  # weight of the rows of each expert, (K,)
    expert_index: list[Array]
    gate_index: Array


def observed_information(
    model: MixtureModel, params: Params, blocks: Sequence[Dataset], clusters: Array | None = None
) -> Information:
    """Information at given parameters, by one pass over the rows.

    Scores are summed over rows (or units) with the same number in `clusters`. The parts must have
    the capabilities `SupportsInference` and `SupportsGateInference`.
    """
    experts: Any = model.experts
    gate: Any = model.gate
    penalties = experts.penalty_hessian(params.experts)
    gate_penalty = gate.penalty_hessian(params.gate, blocks[0].gate_design.shape[1])
    is_shared, n_experts = experts.shared_coordinates(params.experts), len(penalties)
    expert_index, end = (
        np.empty((n_experts, len(is_shared)), dtype=int),
        n_experts * sum(~is_shared),
    )
    expert_index[:, ~is_shared] = np.arange(end).reshape(n_experts, -1)
    expert_index[:, is_shared] = end + np.arange(sum(is_shared))
    gate_index = end + sum(is_shared) + np.arange(len(gate_penalty))
    size = end + sum(is_shared) + len(gate_penalty)
    observed, scores, gradient = np.zeros((size, size)), np.zeros((size, size)), np.zeros(size)
    cluster_scores, n_scored = np.zeros((0 if clusters is None else clusters.max() + 1, size)), 0
    complete_experts = [np.zeros_like(penalty) for penalty in penalties]
    complete_gate, expert_weight = np.zeros_like(gate_penalty), np.zeros(n_experts)
    for block in blocks:
        matrix, offset = split_offset(block.expert_design)
        matrix, gate_design = (
            design.toarray() if sparse.issparse(design) else design
            for design in (matrix, block.gate_design)
        )
        rows = block._replace(expert_design=with_offset(matrix, offset), gate_design=gate_design)
        log_gate, joint = log_joint(model, params, rows)
        resp, _ = posterior(joint, model.top_k)
        score = np.zeros((size, len(rows.gate_weight)))
        for k, expert_resp in enumerate(resp):
            row_weight = rows.row_responsibilities(expert_resp) * rows.weight
            complete_experts[k] += experts.information(
                params.experts, k, rows.expert_design, rows.y, row_weight
            )
            own_score = experts.score_rows(params.experts, k, rows.expert_design, rows.y)
            gate_score = gate.score_rows(params.gate, k, rows.gate_design, log_gate)
            joint_score = np.concatenate([rows.sum_over_units(own_score), gate_score])
            index = np.concatenate([expert_index[k], gate_index])
            weighted = joint_score * (expert_resp * rows.gate_weight)
            observed[np.ix_(index, index)] -= weighted @ joint_score.T
            score[index] += joint_score * expert_resp
            # Pseudo-observations of load balancing: the same number for each expert.
            gradient[gate_index] += model.balance / n_experts * (gate_score @ rows.gate_weight)
            expert_weight[k] += row_weight.sum()
        complete_gate += gate.information(params.gate, rows.gate_design, rows.gate_weight, log_gate)
        gradient += score @ rows.gate_weight
        scores += (score * rows.gate_weight) @ score.T
        if clusters is not None:
            n_rows = score.shape[1]
            codes, n_scored = clusters[n_scored : n_scored + n_rows], n_scored + n_rows
            members = sparse.csr_array(
                (rows.gate_weight, (codes, np.arange(n_rows))), shape=(len(cluster_scores), n_rows)
            )
            cluster_scores += members @ score.T
    observed += scores
    for own, complete, penalty in zip(expert_index, complete_experts, penalties, strict=True):
        observed[np.ix_(own, own)] += complete + penalty
    # The pseudo-observations of load balancing add complete-data information of the gate only.
    pseudo = (1.0 + model.balance) * complete_gate + gate_penalty
    observed[np.ix_(gate_index, gate_index)] += pseudo
    return Information(
        observed,
        gradient,
        scores if clusters is None else cluster_scores.T @ cluster_scores,
        complete_experts,
        complete_gate,
        expert_weight,
        list(expert_index),
        gate_index,
    )


def coordinates_at_bound(model: MixtureModel, params: Params, information: Information) -> Array:
    """Coordinates of the experts that are at a bound, boolean of shape (D,)."""
    flags = np.zeros(len(information.observed), dtype=bool)
    of_experts = model.experts.at_bound(params.experts)
    for index, own in zip(information.expert_index, of_experts, strict=True):
        flags[index] |= own
    return flags


def dropped_coordinates(model: MixtureModel, params: Params, information: Information) -> Array:
    """Coordinates of slopes of dropped features, boolean of shape (D,)."""
    flags = np.zeros(len(information.observed), dtype=bool)
    gate_alpha = model.gate.penalties.get("alpha")
    flags[information.gate_index] = _dropped(gate_alpha, len(information.gate_index))
    blocks, fields = model.experts.blocks, params.experts._asdict()
    predictors = [block for block in blocks if isinstance(block, LinearPredictor)]
    n_numbers = sum(
        fields[block.params].shape[1] for block in blocks if not isinstance(block, LinearPredictor)
    )
    for index in information.expert_index:
        size = (len(index) - n_numbers) // max(len(predictors), 1)
        end = 0
        for block in blocks:
            start = end
            if isinstance(block, LinearPredictor):
                end += size
                alpha = model.experts.penalties.get(block.penalty)
                flags[index[start:end]] = _dropped(alpha, size)
            else:
                end += fields[block.params].shape[1]
    return flags


def _dropped(alpha: Any, size: int) -> Array:
    """Which of the coefficients of some vectors are slopes of dropped features."""
    if not isinstance(alpha, tuple):
        return np.zeros(size, dtype=bool)
    columns = np.append(is_dropped(alpha), False)
    return np.tile(columns, size // len(columns))
