"""Experts that the rows do not determine: spikes on a few rows, and those that others replace."""

from __future__ import annotations

import numpy as np

from skmoe._mixture.data import Data
from skmoe._mixture.mixture import Mixture
from skmoe._numerics.probability import is_collapsed
from skmoe._numerics.typing import Array

# A spike has fewer effective rows than this for each of its coefficients, and these more, and on
# them a dispersion below this fraction of that of the others.
ROWS_PER_COEFFICIENT = 2.0
MORE_ROWS = 5.0
SMALL_RATIO = 0.01

# Loss of log density for each row of an expert with which another one can replace it.
REPLACEABLE_LOSS = 0.05


def spikes(mixture: Mixture, theta: Array, data: Data, n_rows: int) -> Array:
    """Experts that fit a few rows nearly exactly, boolean of shape (K,).

    There the likelihood has a spurious maximum, or none: it rises without bound where a dispersion
    goes to zero at as many rows as the expert has coefficients [1]_. The rows may be a sample of
    `n_rows` in all.

    References
    ----------
    .. [1] G. McLachlan and D. Peel (2000), "Finite Mixture Models", Wiley, section 3.10.
    """
    n_experts, experts = mixture.n_experts, mixture.experts
    log_scale = experts.log_scales(mixture.split(theta)[0], data)
    if n_experts == 1 or log_scale is None:
        return np.zeros(n_experts, dtype=bool)
    resp = mixture.responsibilities(theta[None], data)[0][:, 0]
    resp = data.sharing.to_rows(resp) * data.rows.weight
    mass, squares = resp.sum(axis=1), np.square(resp).sum(axis=1)
    size = n_rows / data.rows.n_rows * np.square(mass) / np.where(squares > 0.0, squares, 1.0)
    found = np.zeros(n_experts, dtype=bool)
    few = ROWS_PER_COEFFICIENT * experts.sizes + MORE_ROWS
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


def n_needed_experts(mixture: Mixture, theta: Array, data: Data) -> int:
    """Number of experts without those that have collapsed, or that another one can replace."""
    resp = mixture.responsibilities(theta[None], data)[0][:, 0]
    unit_weight = data.sharing.unit_weight
    mass = resp @ unit_weight
    kept = np.flatnonzero(~is_collapsed(mass)).tolist()
    logs = data.sharing.total(mixture.at(theta[None], data).logs[:, 0])
    for k in sorted(kept, key=lambda k: mass[k]):
        of_k = resp[k] * unit_weight
        own = of_k > 0.0
        losses = [of_k[own] @ (logs[k][own] - logs[j][own]) for j in kept if j != k]
        if min(losses, default=np.inf) < REPLACEABLE_LOSS * mass[k]:
            kept.remove(k)
    return max(len(kept), 1)
