"""Starts of EM that use what is known of the experts of some rows.

Labels of some rows [1]_ number the experts, and a start from regressions on these rows is often
next to the best maximum.

References
----------
.. [1] S. Basu, A. Banerjee and R. J. Mooney (2002), "Semi-supervised clustering by seeding",
   Proceedings of ICML, 19-26.
"""

from __future__ import annotations

from functools import partial, reduce
from operator import add
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from skmoe._data.rows import Dataset
from skmoe._mixture.initialization import InitData, random_partition
from skmoe._mixture.model import MixtureModel, Params, log_joint
from skmoe._numerics.typing import Array
from skmoe.protocols import SupportsReordering, has_capability

# Name of the start from the rows of which something is known.
KNOWN = "known"

# Random number, relative to the weight of the rows, that orders cells where nothing is known.
TIE_BREAK = 1e-9

# Log density of impossible rows, where the order of experts is compared.
IMPOSSIBLE_LOG_DENSITY = -1e6


def known_shares(possible: Array) -> Array:
    """Shares (K, n) of the possible experts in each row; zero in rows of which nothing is known."""
    return np.where(possible.all(axis=0), 0.0, possible / possible.sum(axis=0))


def start_from_known(
    init_data: InitData, X: Array, Y: Array, weight: Array, rng: np.random.Generator
) -> Array:
    """Responsibilities (K, n) of rows, or units, of which the expert is known.

    Experts without such rows get a random partition of the others; without such experts the others
    are left to no expert.
    """
    possible: Array = init_data.rows.possible  # type: ignore[assignment]
    shares = np.where(possible.sum(axis=0) == 1, possible, 0.0)
    others = np.flatnonzero(~shares.any(axis=0))
    without = np.flatnonzero(~shares.any(axis=1))
    if len(without) and len(others):
        cells = random_partition(X[others], Y[:, others], weight[others], len(without), rng)
        shares[without[cells], others] = 1.0
    return shares


def in_matching_order(
    cells: Array, shares: Array, weight: Array, rng: np.random.Generator | None
) -> Array:
    """Responsibilities (C, n) of cells in the order of the experts with known shares (C, n).

    It is the order in which most of the known rows are in the cell of their expert. Cells that are
    equally good are in random order, if there is a generator.
    """
    agreement = shares @ (cells * weight).T
    if rng is not None:
        agreement += TIE_BREAK * weight.sum() * rng.uniform(size=agreement.shape)
    return cells[linear_sum_assignment(agreement, maximize=True)[1]]


def in_known_numbers(model: MixtureModel, params: Params, blocks: Any) -> Params:
    """Parameters with the experts in the order in which known rows are most probable.

    Rows of which nothing is known are as probable in any order. Experts that cannot be reordered
    stay as they are.
    """
    if not all(has_capability(part, SupportsReordering) for part in (model.gate, model.experts)):
        return params
    experts: Any = model.experts
    map_blocks = getattr(blocks, "map_blocks", map)
    scores = reduce(add, map_blocks(partial(_known_log_likelihoods, model, params), blocks))
    order = linear_sum_assignment(scores.T, maximize=True)[1]
    if scores[order, np.arange(len(order))].sum() <= np.trace(scores):
        return params
    return Params(model.gate.reorder(params.gate, order), experts.reorder(params.experts, order))


def _known_log_likelihoods(model: MixtureModel, params: Params, rows: Dataset) -> Array:
    """Log-likelihoods (K, K) of each expert on the rows, or units, of each known expert."""
    if rows.possible is None:
        return np.zeros((model.n_experts, model.n_experts))
    joint = log_joint(model, params, rows._replace(possible=None))[1]
    is_known = rows.possible & (rows.possible.sum(axis=0) == 1)
    return (np.maximum(joint, IMPOSSIBLE_LOG_DENSITY) * rows.gate_weight) @ is_known.T
