"""The mixture model: log joint densities, responsibilities, and the usage of the experts.

Responsibilities are computed in this module only: those of the E-step and those of predictions
differ with `top_k`.
"""

from __future__ import annotations

from functools import partial, reduce
from typing import Any, NamedTuple

import numpy as np

from skmoe._data.rows import Dataset
from skmoe._numerics.linalg import add_fields
from skmoe._numerics.probability import keep_top_k, log_normalise, normalised_top_k
from skmoe._numerics.typing import Array
from skmoe.protocols import Experts


class MixtureModel(NamedTuple):
    """Gate and experts, and how rows are routed to experts."""

    gate: Any  # a Gate; in a fitted mixture any ChoiceModel
    experts: Experts
    n_experts: int
    top_k: int | None = None  # maximum number of experts of a row
    balance: float = 0.0  # weight of the uniform pseudo-observations of the gate


class Penalty(NamedTuple):
    """A penalty of gate or experts: the number that was chosen, and how another is found.

    Gate and experts have the penalties with which they are fitted as fields.
    """

    part: str  # "gate" or "experts"
    fields: tuple[str, ...]  # of the part, the first for the number
    value: float  # where a search begins, and near which it stays on small data sets
    search: str = ""  # "auto", "ard" for one number for each feature, or "" without a search

    @property
    def is_of_scales(self) -> bool:
        """Whether it is the strength of the prior of scales, and not a penalty of slopes."""
        return "noise_variance" in self.fields


class Params(NamedTuple):
    """Parameters of gate and experts."""

    gate: Any
    experts: Any


def log_joint(
    model: MixtureModel, params: Params, rows: Dataset, *, routed: bool = False
) -> tuple[Array, Array]:
    """Log probabilities of the gate, and log joint densities of expert and y, both (K, n).

    With units both are of units, (K, U): the rows of a unit have one expert, given which they are
    independent. Predictions are under the gate by which rows are routed: with `top_k` only the k
    most probable experts of each row have positive probability. The joint density of an expert that
    is known to be impossible is zero.
    """
    log_gate = model.gate.log_prob(params.gate, rows.gate_design)
    if routed:
        log_gate = normalised_top_k(log_gate, model.top_k)
    log_density = model.experts.log_prob(params.experts, rows.expert_design, rows.y)
    joint = log_gate + rows.sum_over_units(log_density)
    return log_gate, joint if rows.possible is None else rows.of_possible(joint)


def posterior(joint: Array, top_k: int | None = None) -> tuple[Array, Array]:
    """Responsibilities (K, n) and log densities (n,), from log joint densities of rows or units.

    In the E-step `top_k` is that of the model: only the k most probable experts of each row, given
    y, have responsibilities. Predictions have none, since their gate is routed.
    """
    return log_normalise(keep_top_k(joint, top_k))


def responsibilities(model: MixtureModel, params: Params, rows: Dataset) -> Array:
    """Responsibilities of the E-step, (K, n), or (K, U) of units."""
    return posterior(log_joint(model, params, rows)[1], model.top_k)[0]


# --- usage of the experts ---------------------------------------------------------------------


class Usage(NamedTuple):
    """How much each expert is used; arrays of shape (K,), with one exception."""

    mean_gate_prob: Array  # in predictions, over rows or units
    gate_overlap: Array  # means of the products of two of these probabilities, (K, K)
    # Total weight of the rows routed to the expert: to the k most probable experts with `top_k`, to
    # the most probable expert without it.
    load: Array
    responsibility_mass: Array  # weighted sum of the responsibilities

    def take(self, order: Array) -> Usage:
        """Usage of the experts in another order."""
        return Usage(*(values[np.ix_(*[order] * values.ndim)] for values in self))


def expert_usage(model: MixtureModel, params: Params, blocks: Any) -> Usage:
    """Usage of the experts on the rows of all blocks."""
    map_blocks = getattr(blocks, "map_blocks", map)  # distributed blocks provide their own map
    total = reduce(add_fields, map_blocks(partial(_usage_of_block, model, params), blocks))
    weight = total.mean_gate_prob.sum()
    return total._replace(
        mean_gate_prob=total.mean_gate_prob / weight, gate_overlap=total.gate_overlap / weight
    )


def _usage_of_block(model: MixtureModel, params: Params, rows: Dataset) -> Usage:
    """Usage on one block of rows, with weighted sums of the gate probabilities and products."""
    log_gate, joint = log_joint(model, params, rows)
    gate_prob = np.exp(normalised_top_k(log_gate, model.top_k))
    weighted = gate_prob * rows.gate_weight
    load = np.isfinite(keep_top_k(log_gate, model.top_k or 1)) @ rows.unit_weight
    resp, _ = posterior(joint, model.top_k)
    overlap = weighted @ gate_prob.T
    return Usage(weighted.sum(axis=1), overlap, load, resp @ rows.unit_weight)
