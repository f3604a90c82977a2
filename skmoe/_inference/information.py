"""Observed information of the penalised log-likelihood of a mixture [1]_.

Coordinates: those of each expert, those that all experts share, those of the gate.

References
----------
.. [1] T. A. Louis (1982), "Finding the observed information matrix when using the EM algorithm",
   Journal of the Royal Statistical Society B 44, 226-233.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import linalg, sparse

from skmoe._data.rows import Dataset
from skmoe._mixture.model import MixtureModel, Params, log_joint
from skmoe._numerics.probability import log_normalise
from skmoe._numerics.typing import Array

# Directions with a smaller share of information than this are not identified.
EIGENVALUE_TOL = 1e-10

# Negative information beyond this share is no round-off.
INDEFINITE = 1e-6


class Information(NamedTuple):
    """Sums over the rows, and where the coordinates (D of them) of the parts are."""

    observed: Array  # (D, D), penalties included
    scores: Array  # weighted products of the rows' gradients, (D, D)
    complete_experts: list[Array]  # complete-data information of each expert, penalties left out
    complete_gate: Array
    rows: Array  # weight of the rows of each expert, (K,)
    expert_index: list[Array]
    gate_index: Array


class Covariance(NamedTuple):
    """Covariance of the coordinates, and which of them the data do not determine."""

    matrix: Array
    not_identified: Array
    indefinite: bool  # the parameters are not at a maximum


def observed_information(parts: MixtureModel, params: Params, blocks: list[Dataset]) -> Information:
    """One pass over the rows at given parameters."""
    experts: Any = parts.experts  # the caller has checked that they are smooth
    gate: Any = parts.gate
    prior = experts.penalty_hessian(params.experts)
    n_columns = blocks[0].gate_design.shape[1]
    gate_prior = gate.penalty_hessian(params.gate, n_columns)
    slots, gate_slots = _slots(
        [len(part) for part in prior], experts.n_shared_params(), len(gate_prior)
    )
    size = gate_slots[-1] + 1 if len(gate_slots) else max(int(own[-1]) for own in slots) + 1
    observed, scores = np.zeros((size, size)), np.zeros((size, size))
    of_expert, of_gate = [np.zeros_like(part) for part in prior], np.zeros_like(gate_prior)
    rows_of = np.zeros(len(prior))
    for rows in map(_dense, blocks):
        log_gate, joint = log_joint(parts, params, rows)
        resp, _ = log_normalise(joint)
        score = np.zeros((size, len(rows.weight)))
        for k, share in enumerate(resp):
            weight = share * rows.weight
            of_expert[k] += experts.information(
                params.experts, k, rows.expert_design, rows.y, weight
            )
            gradient = np.concatenate(
                [
                    experts.score_rows(params.experts, k, rows.expert_design, rows.y),
                    gate.score_rows(params.gate, k, rows.gate_design, log_gate),
                ]
            )
            here = np.concatenate([slots[k], gate_slots])
            observed[np.ix_(here, here)] -= (gradient * weight) @ gradient.T
            score[here] += gradient * share
            rows_of[k] += weight.sum()
        of_gate += gate.information(params.gate, rows.gate_design, rows.weight, log_gate)
        scores += (score * rows.weight) @ score.T
    observed += scores
    for own, complete, penalty in zip(slots, of_expert, prior, strict=True):
        observed[np.ix_(own, own)] += complete + penalty
    # Pseudo-targets of the gate are rows without y.
    observed[np.ix_(gate_slots, gate_slots)] += (1.0 + parts.balance) * of_gate + gate_prior
    return Information(observed, scores, of_expert, of_gate, rows_of, slots, gate_slots)


def covariance(information: Information, held: Array, robust: bool) -> Covariance:
    """Inverse information, or with `robust` the sandwich of it around the scores.

    `held` coordinates (D,) are at a limit and taken as known.
    """
    size = len(information.observed)
    matrix, undetermined = np.zeros((size, size)), held.copy()
    free = np.flatnonzero(~held)
    observed = information.observed[np.ix_(free, free)]
    unit = 1.0 / np.sqrt(np.maximum(np.abs(np.diag(observed)), np.finfo(float).tiny))
    values, vectors = linalg.eigh(observed * unit[:, None] * unit)
    smallest = EIGENVALUE_TOL * values[-1]
    known = values > smallest
    inverse = (vectors[:, known] / values[known]) @ vectors[:, known].T * unit[:, None] * unit
    if robust:
        inverse = inverse @ information.scores[np.ix_(free, free)] @ inverse
    matrix[np.ix_(free, free)] = inverse
    undetermined[free] |= np.square(vectors[:, ~known]).sum(axis=1) > 1e-3
    return Covariance(matrix, undetermined, bool(values[0] < -INDEFINITE * values[-1]))


def _slots(sizes: list[int], n_shared: int, n_gate: int) -> tuple[list[Array], Array]:
    """Places of the coordinates of each expert, and of the gate."""
    own = [size - n_shared for size in sizes]
    begins = np.cumsum([0, *own])
    shared = begins[-1] + np.arange(n_shared)
    slots = [
        np.concatenate([np.arange(begin, begin + n), shared])
        for begin, n in zip(begins[:-1], own, strict=True)
    ]
    return slots, begins[-1] + n_shared + np.arange(n_gate)


def _dense(rows: Dataset) -> Dataset:
    def dense(design: Any) -> Any:
        return design.toarray() if sparse.issparse(design) else design

    return rows._replace(
        gate_design=dense(rows.gate_design), expert_design=dense(rows.expert_design)
    )
