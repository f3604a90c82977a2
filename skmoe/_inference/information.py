"""Observed information of the penalised log-likelihood of a mixture [1]_.

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
from skmoe._numerics.offset_design import split_offset, with_offset
from skmoe._numerics.typing import Array

# Eigenvectors whose eigenvalue is smaller than this fraction of the largest are not identified.
EIGENVALUE_TOL = 1e-10

# A negative eigenvalue beyond this fraction of the largest is not attributed to round-off.
NEGATIVE_EIGENVALUE_TOL = 1e-6

# A coordinate with a larger squared component than this in other directions is not identified.
NOT_IDENTIFIED_TOL = 1e-3


class Information(NamedTuple):
    """Sums over the rows, and the index of the coordinates (D of them) of each part."""

    observed: Array  # (D, D), penalties included
    scores: Array  # outer products of the gradients of rows, units or clusters, (D, D)
    complete_experts: list[Array]  # complete-data information of each expert, without penalties
    complete_gate: Array
    expert_weight: Array  # weight of the rows of each expert, (K,)
    expert_index: list[Array]
    gate_index: Array


class Covariance(NamedTuple):
    """Covariance of the coordinates, and which of them have none."""

    matrix: Array
    not_identified: Array  # by the data
    at_bound: Array  # taken as known
    dropped: Array  # slopes of dropped features, which are zero
    indefinite: bool  # whether the parameters are not at a maximum


def observed_information(
    model: MixtureModel,
    params: Params,
    blocks: Sequence[Dataset],
    clusters: Array | None = None,
) -> Information:
    """Information at given parameters, by one pass over the rows.

    Scores are summed over rows (or units) with the same number in `clusters`. The parts must have
    the capabilities `SupportsInference` and `SupportsGateInference`.
    """
    experts: Any = model.experts
    gate: Any = model.gate
    penalties = experts.penalty_hessian(params.experts)
    n_columns = blocks[0].gate_design.shape[1]
    gate_penalty = gate.penalty_hessian(params.gate, n_columns)
    shared = experts.shared_coordinates(params.experts)
    expert_index, gate_index = _coordinate_index(len(penalties), shared, len(gate_penalty))
    size = max(int(index.max(initial=-1)) for index in [*expert_index, gate_index]) + 1
    observed, scores = np.zeros((size, size)), np.zeros((size, size))
    complete_experts = [np.zeros_like(penalty) for penalty in penalties]
    complete_gate = np.zeros_like(gate_penalty)
    expert_weight = np.zeros(len(penalties))
    cluster_scores = ClusterScores(clusters, size)
    for rows in map(_densify, blocks):
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
            gradient = np.concatenate([rows.sum_over_units(own_score), gate_score])
            index = np.concatenate([expert_index[k], gate_index])
            weighted = gradient * (expert_resp * rows.gate_weight)
            observed[np.ix_(index, index)] -= weighted @ gradient.T
            score[index] += gradient * expert_resp
            expert_weight[k] += row_weight.sum()
        complete_gate += gate.information(params.gate, rows.gate_design, rows.gate_weight, log_gate)
        scores += (score * rows.gate_weight) @ score.T
        cluster_scores.add(score * rows.gate_weight)
    observed += scores
    for own, complete, penalty in zip(expert_index, complete_experts, penalties, strict=True):
        observed[np.ix_(own, own)] += complete + penalty
    # The pseudo-observations of load balancing add complete-data information of the gate only.
    pseudo = (1.0 + model.balance) * complete_gate + gate_penalty
    observed[np.ix_(gate_index, gate_index)] += pseudo
    return Information(
        observed,
        scores if clusters is None else cluster_scores.outer_products(),
        complete_experts,
        complete_gate,
        expert_weight,
        expert_index,
        gate_index,
    )


class ClusterScores:
    """Gradients of the log-likelihood, summed over the rows of each cluster."""

    def __init__(self, clusters: Array | None, size: int) -> None:
        self.clusters = clusters
        self.start = 0
        n_clusters = 0 if clusters is None else int(clusters.max()) + 1
        self.sums = np.zeros((n_clusters, size))

    def add(self, score: Array) -> None:
        """Add the weighted gradients (D, n) of the next rows or units."""
        if self.clusters is None:
            return
        end = self.start + score.shape[1]
        codes = self.clusters[self.start : end]
        member = (np.ones(len(codes)), (codes, np.arange(len(codes))))
        self.sums += sparse.csr_array(member, shape=(len(self.sums), len(codes))) @ score.T
        self.start = end

    def outer_products(self) -> Array:
        """Sum of the outer products of the sums, (D, D)."""
        return self.sums.T @ self.sums


def covariance(
    information: Information, at_bound: Array, dropped: Array, robust: bool
) -> Covariance:
    """Inverse of the information; with `robust` the sandwich covariance.

    Coordinates `at_bound` or `dropped`, boolean of shape (D,), are taken as known.
    """
    size = len(information.observed)
    matrix, not_identified = np.zeros((size, size)), np.zeros(size, dtype=bool)
    free = np.flatnonzero(~(at_bound | dropped))
    observed = information.observed[np.ix_(free, free)]
    # Coordinates without information, such as intercepts of separated classes, have a diagonal of
    # round-off.
    least = max(EIGENVALUE_TOL * information.expert_weight.sum(), np.finfo(float).tiny)
    unit = 1.0 / np.sqrt(np.maximum(np.abs(np.diag(observed)), least))
    if not len(free):
        return Covariance(matrix, not_identified, at_bound, dropped, False)
    eigenvalues, eigenvectors = np.linalg.eigh(observed * unit[:, None] * unit)
    identified = eigenvalues > EIGENVALUE_TOL * eigenvalues[-1]
    kept = eigenvectors[:, identified]
    inverse = (kept / eigenvalues[identified]) @ kept.T * unit[:, None] * unit
    if robust:
        inverse = inverse @ information.scores[np.ix_(free, free)] @ inverse
    matrix[np.ix_(free, free)] = inverse
    null_space = np.square(eigenvectors[:, ~identified]).sum(axis=1)
    not_identified[free] = null_space > NOT_IDENTIFIED_TOL
    indefinite = bool(eigenvalues[0] < -NEGATIVE_EIGENVALUE_TOL * eigenvalues[-1])
    return Covariance(matrix, not_identified, at_bound, dropped, indefinite)


def _coordinate_index(n_experts: int, is_shared: Array, n_gate: int) -> tuple[list[Array], Array]:
    """Indices of the coordinates of each expert, and of those of the gate."""
    n_shared = int(is_shared.sum())
    n_own = len(is_shared) - n_shared
    end = n_experts * n_own
    expert_index = []
    for k in range(n_experts):
        index = np.empty(len(is_shared), dtype=int)
        index[~is_shared] = k * n_own + np.arange(n_own)
        index[is_shared] = end + np.arange(n_shared)
        expert_index.append(index)
    return expert_index, end + n_shared + np.arange(n_gate)


def _densify(rows: Dataset) -> Dataset:
    """Rows with dense design matrices."""

    def dense(design: Any) -> Any:
        return design.toarray() if sparse.issparse(design) else design

    matrix, offset = split_offset(rows.expert_design)
    expert_design = with_offset(dense(matrix), offset)
    return rows._replace(gate_design=dense(rows.gate_design), expert_design=expert_design)
