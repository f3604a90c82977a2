"""The mixture model: log joint density, responsibilities and the use of the experts."""

from __future__ import annotations

from functools import partial, reduce
from typing import Any, NamedTuple

import numpy as np
from scipy.special import logsumexp

from skmoe._data.rows import Dataset
from skmoe._numerics.linalg import add_fields
from skmoe._numerics.probability import keep_top_k, log_normalise
from skmoe._numerics.typing import Array
from skmoe.protocols import Experts, Gate


class MixtureModel(NamedTuple):
    """What a mixture is made of, and how rows are routed."""

    gate: Gate
    experts: Experts
    top_k: int | None = None  # most experts of a row
    balance: float = 0.0  # weight of uniform pseudo-targets of the gate


class Params(NamedTuple):
    """Parameters of both parts."""

    gate: Any
    experts: Any


def log_joint(parts: MixtureModel, params: Params, rows: Dataset) -> tuple[Array, Array]:
    """Log probabilities of the gate, and of the gate and y together, both (K, n)."""
    log_gate = parts.gate.log_prob(params.gate, rows.gate_design)
    return log_gate, log_gate + parts.experts.log_prob(params.experts, rows.expert_design, rows.y)


def responsibilities(parts: MixtureModel, params: Params, rows: Dataset) -> Array:
    """Probability that each expert generated each row, (K, n)."""
    return log_normalise(keep_top_k(log_joint(parts, params, rows)[1], parts.top_k))[0]


def _routed_gate(gate: Array, top_k: int | None) -> Array:
    """Log probabilities of the experts that a row is sent to, among themselves."""
    if top_k is None:
        return gate
    kept = keep_top_k(gate, top_k)
    return kept - logsumexp(kept, axis=0)


class Usage(NamedTuple):
    """How experts are used, each (K,)."""

    share: Array  # mean probability of the gate as it predicts
    # Weight of the rows that the gate sends to the expert: to the `top_k` most probable ones, or
    # without routing to the most probable one.
    load: Array
    explained: Array  # weight of the rows that the expert explains


def expert_usage(parts: MixtureModel, params: Params, blocks: Any) -> Usage:
    """How experts are used by the rows of all blocks."""
    map_blocks = getattr(blocks, "map_blocks", map)  # blocks that live elsewhere bring their own
    total = reduce(add_fields, map_blocks(partial(_usage_of_block, parts, params), blocks))
    return total._replace(share=total.share / total.share.sum())


def _usage_of_block(parts: MixtureModel, params: Params, rows: Dataset) -> Usage:
    """What a block adds; its share is a sum."""
    gate, joint = log_joint(parts, params, rows)
    share = np.exp(_routed_gate(gate, parts.top_k)) @ rows.weight
    load = np.isfinite(keep_top_k(gate, parts.top_k or 1)) @ rows.weight
    joint = keep_top_k(joint, parts.top_k)
    return Usage(share, load, np.exp(joint - logsumexp(joint, axis=0)) @ rows.weight)
