"""Standard errors of the coefficients by the observed information [1]_, at the maximum near a fit.

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

from skmoe._data.rows import Dataset, split_into_blocks
from skmoe._inference.coefficients import Coefficients, ListedBlock
from skmoe._inference.results import NEGLIGIBLE_SHIFT, Inference
from skmoe._mixture.em import EMOptions, EMResult, EMStart, evaluate, run_em
from skmoe._mixture.fitted import FittedMixture
from skmoe._mixture.model import log_joint, posterior
from skmoe._numerics.evidence import is_dropped
from skmoe._numerics.offset_design import split_offset, with_offset
from skmoe._numerics.typing import Array

# Eigenvectors whose eigenvalue is smaller than this fraction of the largest are not identified.
EIGENVALUE_TOL = 1e-10

# A negative eigenvalue beyond this fraction of the largest is not attributed to round-off.
NEGATIVE_EIGENVALUE_TOL = 1e-6

# A coordinate with a larger squared component than this in other directions is not identified.
NOT_IDENTIFIED_TOL = 1e-3

# Derivatives smaller than this fraction of the largest in their row are zero up to round-off.
DERIVATIVE_RTOL = 1e-9

# EM stops at this estimate of the remaining gain per row, where the estimates are within a small
# fraction of their standard errors of the maximum.
MAXIMUM_TOL = 1e-10

MAXIMUM_MAX_ITER = 1000

# Relative difference of the lower bounds per row of the same rows that is attributed to round-off,
# also of features in single precision.
SAME_ROWS_RTOL = 1e-5


class SandwichOptions(NamedTuple):
    """Whether the covariance is the sandwich, and of which clusters."""

    robust: bool
    clusters: Array | None = None  # number of the cluster of each row or unit


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


def observed_inference(
    mixture: FittedMixture,
    dataset: Dataset,
    blocks: Sequence[ListedBlock],
    sandwich: SandwichOptions,
    coefficients: Coefficients,
    fitted: Array,
) -> tuple[Inference, bool]:
    """Inference by the observed information at a maximum, and whether that is indefinite.

    Where none of the coefficients differs noticeably from those of the fit, these are the
    estimates.
    """
    information = observed_information(mixture, split_into_blocks(dataset), sandwich.clusters)
    at_bound = np.zeros(len(information.observed), dtype=bool)
    experts_at_bound = mixture.model.experts.at_bound(mixture.params.experts)
    for index, flags in zip(information.expert_index, experts_at_bound, strict=True):
        at_bound[index] |= flags
    dropped = dropped_coordinates(blocks, mixture, information)
    inverse = covariance(information, at_bound, dropped, sandwich.robust)
    matrix, reasons = coefficient_covariance(blocks, information, inverse)
    errors = np.sqrt(np.maximum(np.diag(matrix), 0.0))
    known = errors > 0.0  # not for NaN
    shifts = np.abs(fitted - coefficients.values)[known] / errors[known]
    shift = float(np.max(shifts, initial=0.0))
    if shift <= NEGLIGIBLE_SHIFT:
        coefficients = coefficients._replace(values=fitted)
    method = "observed information"
    if sandwich.robust:
        method = "sandwich covariance"
        if sandwich.clusters is not None:
            method += f", {len(np.unique(sandwich.clusters))} clusters"
    inference = Inference(coefficients, matrix, reasons, method, max_shift=shift)
    return inference, inverse.indefinite


# --- information ------------------------------------------------------------------------------


def observed_information(
    mixture: FittedMixture, blocks: Sequence[Dataset], clusters: Array | None = None
) -> Information:
    """Information at the parameters of a mixture, by one pass over the rows.

    Scores are summed over rows (or units) with the same number in `clusters`. The parts must have
    the capabilities `SupportsInference` and `SupportsGateInference`.
    """
    model, params, _ = mixture
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
    observed, scores = np.zeros((size, size)), np.zeros((size, size))
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
            gradient = np.concatenate([rows.sum_over_units(own_score), gate_score])
            index = np.concatenate([expert_index[k], gate_index])
            weighted = gradient * (expert_resp * rows.gate_weight)
            observed[np.ix_(index, index)] -= weighted @ gradient.T
            score[index] += gradient * expert_resp
            expert_weight[k] += row_weight.sum()
        complete_gate += gate.information(params.gate, rows.gate_design, rows.gate_weight, log_gate)
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
        scores if clusters is None else cluster_scores.T @ cluster_scores,
        complete_experts,
        complete_gate,
        expert_weight,
        list(expert_index),
        gate_index,
    )


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


# --- coefficients -----------------------------------------------------------------------------


def dropped_coordinates(
    blocks: Sequence[ListedBlock], mixture: FittedMixture, information: Information
) -> Array:
    """Coordinates of slopes of dropped features, boolean of shape (D,)."""
    dropped = np.zeros(len(information.observed), dtype=bool)
    for listed in blocks:
        part = mixture.model.gate if listed.expert is None else mixture.model.experts
        alpha = part.penalties.get(listed.block.penalty)
        if isinstance(alpha, tuple):
            columns, index = np.append(is_dropped(alpha), False), _coordinates(listed, information)
            dropped[index] = np.tile(columns, len(index) // len(columns))
    return dropped


def coefficient_covariance(
    blocks: Sequence[ListedBlock], information: Information, inverse: Covariance
) -> tuple[Array, list[str]]:
    """Covariance (T, T) of the coefficients, and for each the reason why it has none, or ""."""
    size = len(information.observed)
    derivatives = np.zeros((sum(len(listed.terms) for listed in blocks), size))
    end = 0
    for listed in blocks:
        of_block = listed.block.derivatives(listed.unstandardize, listed.unit)
        of_block = of_block.reshape(len(listed.unit), -1, of_block.shape[1])
        start, end = end, end + len(listed.terms)
        derivatives[start:end, _coordinates(listed, information)] = listed.select(of_block)
    matrix = derivatives @ inverse.matrix @ derivatives.T
    largest = np.abs(derivatives).max(axis=1, keepdims=True)
    involved = np.abs(derivatives) > DERIVATIVE_RTOL * largest
    reasons = np.full(len(derivatives), "", dtype=object)
    reasons[(involved & inverse.not_identified).any(axis=1)] = "not determined"
    reasons[(involved & inverse.at_bound).any(axis=1)] = "at its bound"
    separated = [listed.repeat(_is_separated(listed, information)) for listed in blocks]
    reasons[np.concatenate(separated)] = "separated"
    used = involved & ~inverse.dropped
    reasons[~used.any(axis=1)] = "dropped"
    # Slopes of constant features, and the reference of the gate.
    reasons[~derivatives.any(axis=1)] = "fixed"
    unknown = reasons != ""
    matrix[unknown] = matrix[:, unknown] = np.nan
    return matrix, reasons.tolist()


def _coordinates(listed: ListedBlock, information: Information) -> Array:
    """Indices of the coordinates of a block."""
    k = listed.expert
    index = information.gate_index if k is None else information.expert_index[k]
    return index[listed.coordinates]


def _is_separated(listed: ListedBlock, information: Information) -> Array:
    """Responses with fewer effective rows than coefficients, boolean of shape (V, 1).

    A row counts for a logit by p (1 - p): not at all where the choice is certain. The sum over the
    rows is the entry of the complete-data information for the intercept.
    """
    width, k, contrasts = 1 + len(listed.columns), listed.expert, listed.block.contrasts
    rows = np.full(len(listed.unit), np.inf if k is None else information.expert_weight[k])
    if listed.can_separate:
        complete = information.complete_gate if k is None else information.complete_experts[k]
        complete = complete[listed.coordinates, listed.coordinates]
        intercepts = complete[width - 1 :: width, width - 1 :: width]
        contrasts = np.eye(len(rows)) if contrasts is None else contrasts
        rows = np.minimum(rows, np.einsum("va,ab,vb->v", contrasts, intercepts, contrasts))
    few = rows < width
    return (few if listed.reference is None else few | few[listed.reference])[:, None]


# --- the maximum of the penalised likelihood --------------------------------------------------


def continue_to_maximum(mixture: FittedMixture, rows: Dataset) -> FittedMixture:
    """The mixture at the maximum that EM reaches from its parameters on the rows of the fit."""
    options = EMOptions(MAXIMUM_MAX_ITER, MAXIMUM_TOL, n_plain_iter=0)
    blocks = split_into_blocks(rows)
    run = run_em(mixture.model, blocks, EMStart(mixture.params), options, _never_stop)
    return mixture._replace(params=run.params)


def _never_stop(n_iter: int, run: EMResult) -> bool:
    return False


def lower_bound_of_rows(mixture: FittedMixture, rows: Dataset) -> float:
    """Lower bound per row of a mixture, in the units of y, as in `lower_bound_`."""
    state = evaluate(mixture.model, split_into_blocks(rows), mixture.params)
    return float(state.lower_bound - mixture.preprocessor.log_jacobian)


def is_same_lower_bound(first: float, second: float) -> bool:
    """Whether two lower bounds per row are those of the same rows."""
    return abs(first - second) <= SAME_ROWS_RTOL * (1.0 + abs(second))
