"""Experts that the rows do not determine: spikes on a few rows, and those that others replace."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmoe._data.rows import Dataset
from skmoe._mixture.model import MixtureModel, Params, responsibilities
from skmoe._numerics.probability import is_collapsed
from skmoe._numerics.typing import Array

# A spike has fewer effective rows than this for each of its parameters, and these more, and on them
# a dispersion below this fraction of that of the others.
ROWS_PER_PARAMETER = 2.0
MORE_ROWS = 5.0
SMALL_RATIO = 0.01

# Loss of log density for each row of an expert with which another one can replace it.
REPLACEABLE_LOSS = 0.05


def spikes(model: MixtureModel, params: Params, rows: Dataset, n_rows: int) -> Array:
    """Experts that fit a few rows nearly exactly, boolean of shape (K,).

    There the likelihood has a spurious maximum, or none: it rises without bound where a dispersion
    goes to zero at as many rows as the expert has parameters [1]_. `rows` may be a sample of
    `n_rows` in all.

    References
    ----------
    .. [1] G. McLachlan and D. Peel (2000), "Finite Mixture Models", Wiley, section 3.10.
    """
    n_experts, experts = model.n_experts, model.experts
    log_scale = experts.log_scales(params.experts, rows.expert_design)
    if n_experts == 1 or log_scale is None:
        return np.zeros(n_experts, dtype=bool)
    resp = rows.row_responsibilities(responsibilities(model, params, rows)) * rows.weight
    mass, squares = resp.sum(axis=1), np.square(resp).sum(axis=1)
    size = n_rows / rows.n_rows * np.square(mass) / np.where(squares > 0.0, squares, 1.0)
    found = np.zeros(n_experts, dtype=bool)
    few = ROWS_PER_PARAMETER * _sizes(experts, rows, n_experts) + MORE_ROWS
    for k in np.flatnonzero(size < few):
        if mass[k] == 0.0:
            continue
        # On the rows of expert k, of each expert and output, (K, m).
        at_own = (log_scale * (resp[k] / mass[k])).sum(axis=-1)
        of_others = np.where(np.isnan(at_own[:, :1]).any(axis=1), 0.0, mass)
        of_others[k] = 0.0
        if of_others.any():
            mean = of_others @ np.nan_to_num(at_own) / of_others.sum()
            found[k] = (at_own[k] < mean + np.log(SMALL_RATIO)).any()
    return found


def _sizes(experts: Any, rows: Dataset, n_experts: int) -> Array:
    """Number of parameters of each expert, (K,)."""
    n_columns, n_outputs = rows.expert_design.shape[1], np.atleast_2d(rows.y).shape[0]
    blocks = [experts.blocks_of(k) for k in range(n_experts)]
    return np.array(
        [sum(block.n_coordinates(n_outputs, n_columns) for block in own if block) for own in blocks]
    )


def n_needed_experts(model: MixtureModel, params: Params, rows: Dataset) -> int:
    """Number of experts without those that have collapsed, or that another one can replace."""
    resp = responsibilities(model, params, rows)
    mass = resp @ rows.unit_weight
    kept = np.flatnonzero(~is_collapsed(mass)).tolist()
    logs = rows.sum_over_units(model.experts.log_prob(params.experts, rows.expert_design, rows.y))
    for k in sorted(kept, key=lambda k: mass[k]):
        of_k = resp[k] * rows.unit_weight
        own = of_k > 0.0
        losses = [of_k[own] @ (logs[k][own] - logs[j][own]) for j in kept if j != k]
        if min(losses, default=np.inf) < REPLACEABLE_LOSS * mass[k]:
            kept.remove(k)
    return max(len(kept), 1)
