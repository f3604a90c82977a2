"""A fitted mixture as a value, and what it says of new rows, in the user's units."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from skmoe._em import Params, Parts, joint_log_prob
from skmoe._numerics import Array, Design
from skmoe._rows import BLOCK_ROWS, Rows, Scale, make_design


class Mixture(NamedTuple):
    """Parts, their parameters, and how they see the user's rows."""

    parts: Parts
    params: Params
    scale: Scale
    gate_columns: Array | None
    expert_columns: Array | None
    target: Scale | None  # of each output; None for classes


def make_rows(
    X: Design,
    scale: Scale,
    gate_columns: Array | None,
    expert_columns: Array | None,
    y: Array,
    weight: Array,
) -> Rows:
    """Rows as the parts see them, from raw features."""
    expert_design = make_design(X, scale, expert_columns)
    if gate_columns is expert_columns:
        return Rows(expert_design, expert_design, y, weight)
    return Rows(make_design(X, scale, gate_columns), expert_design, y, weight)


def log_gate(mixture: Mixture, X: Design) -> Array:
    """Log probability of each expert, (K, n)."""
    gate = mixture.parts.gate
    parts = [gate.log_prob(mixture.params.gate, rows.gate_design) for rows in _blocks(mixture, X)]
    return np.concatenate(parts, axis=1)


def predict_experts(mixture: Mixture, X: Design) -> Array:
    """What each expert says: means (K, m, n) in the units of y, or probabilities (K, C, n)."""
    return np.concatenate([_say(mixture, rows) for rows in _blocks(mixture, X)], axis=2)


def predict(mixture: Mixture, X: Design) -> Array:
    """Mean of what the experts say under the gate, (m, n) or (C, n)."""
    gate = mixture.parts.gate
    means = []
    for rows in _blocks(mixture, X):
        weight = np.exp(gate.log_prob(mixture.params.gate, rows.gate_design))
        means.append(np.einsum("kn,kmn->mn", weight, _say(mixture, rows)))
    return np.concatenate(means, axis=1)


def log_joint(mixture: Mixture, X: Design, y: Array) -> Array:
    """Log density of y and each expert, (K, n); y is (m, n) in its own units, or codes (n,)."""
    change = 0.0
    if mixture.target is not None:
        center, spread = mixture.target
        y = (y - center[:, None]) / spread[:, None]
        change = float(np.log(spread).sum())
    parts = [
        joint_log_prob(mixture.parts, mixture.params, rows)[1] for rows in _blocks(mixture, X, y)
    ]
    return np.concatenate(parts, axis=1) - change


def log_density(mixture: Mixture, X: Design, y: Array) -> Array:
    """Log density or log probability of y, (n,)."""
    return logsumexp(log_joint(mixture, X, y), axis=0)


def usage(mixture_parts: Parts, params: Params, blocks: list[Rows]) -> tuple[Array, Array]:
    """Mean gate probability and weight of the rows of each expert, both (K,)."""
    gate_sum: Array | float = 0.0
    resp_sum: Array | float = 0.0
    for rows in blocks:
        gate, joint = joint_log_prob(mixture_parts, params, rows)
        gate_sum = gate_sum + np.exp(gate) @ rows.weight
        resp_sum = resp_sum + np.exp(joint - logsumexp(joint, axis=0)) @ rows.weight
    gate_sum = np.asarray(gate_sum)
    return gate_sum / gate_sum.sum(), np.asarray(resp_sum)


def _say(mixture: Mixture, rows: Rows) -> Array:
    said = mixture.parts.experts.predict(mixture.params.experts, rows.expert_design)
    if mixture.target is not None:
        center, spread = mixture.target
        said = center[:, None] + spread[:, None] * said
    return said


def _blocks(mixture: Mixture, X: Design, y: Array | None = None) -> Iterator[Rows]:
    columns = mixture.gate_columns, mixture.expert_columns
    for begin in range(0, X.shape[0], BLOCK_ROWS):
        block = slice(begin, begin + BLOCK_ROWS)
        here = X[block]
        n_here = here.shape[0]
        y_here = np.empty(n_here) if y is None else y[..., block]
        yield make_rows(here, mixture.scale, *columns, y_here, np.ones(n_here))
