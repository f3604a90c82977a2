"""Penalised slopes of gate and experts, with their posterior covariances, for the evidence."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmoe._mixture.curvature import Inverse, inverse_of
from skmoe._mixture.data import DISPERSION, GATE_ROLE, MEAN
from skmoe._numerics.evidence import Slopes
from skmoe._numerics.typing import TINY, Array

# Which penalty the slopes of a role have.
PENALTIES = {GATE_ROLE: "alpha", MEAN: "alpha", DISPERSION: "dispersion_alpha"}


def penalised_slopes(
    mixture: Any, part: Any, theta: Array, total: Any, inverses: list[Inverse]
) -> dict[str, Slopes]:
    """The slopes of experts or gate at one vector (D,) of the mixture, by their penalties' names.

    They are in units of the prior. A slope that experts share has an equal part in each of them.
    The posterior of one that is held at a bound, or absent, is its prior.
    """
    found: dict[str, list[tuple[Any, ...]]] = {}
    if not part.is_linear:
        return {}
    is_gate = part is mixture.gate
    # Of shared slopes the rows of several experts determine the gradient.
    penalised = total.gradient[0] - mixture.prior.derivatives(theta)[0]
    of_all, shares = penalised, np.ones(mixture.size)
    if mixture.is_tied:
        of_all = mixture.expanded(mixture.reduced(penalised))
        shares = 1.0 / np.maximum(np.bincount(mixture.free + 1)[mixture.free + 1], 1)
    held_all = (mixture.signs != 0.0) & (theta == 0.0)
    noise_shares = None if is_gate else part.noise_shares(theta, total)
    for block in part.blocks:
        name, shift = PENALTIES.get(block.role), mixture.experts.size if is_gate else 0
        index = shift + np.arange(block.where.start, block.where.stop - 1)
        if name is None or not len(index):
            continue
        absent, held = mixture.free[index] < 0, held_all[index]
        share = np.where(absent, 1.0, shares[index])
        scale = mixture.prior.scale[index[0]]
        unit = 1.0 if scale < 0 else float(np.exp(-theta[scale]))
        noise = 1.0 if scale < 0 else float(noise_shares[part.scale_index == scale][0])
        root = np.sqrt(unit / noise)
        prior = mixture.prior.precision[index] / share  # in units of the scale
        covariance = _covariance(mixture, index, inverses, held_all) * unit
        if covariance.ndim == 2:
            covariance = covariance / np.sqrt(share[:, None] * share)
            known = absent | held
            if known.any():
                covariance[known] = covariance[:, known] = 0.0
                covariance[known, known] = 1.0 / np.maximum(prior[known], TINY)
        # Of the likelihood: that with the penalty, which is added again.
        gradient = share * root * (of_all[index] / unit + prior * theta[index])
        gradient[held] = 0.0
        values = (np.where(absent, 0.0, v) for v in (theta[index] * root, gradient, share))
        found.setdefault(name, []).append((*values, covariance))
    return {
        name: Slopes(values, covariances, gradient, share)
        for name, own in found.items()
        for values, gradient, share, covariances in [map(np.stack, zip(*own, strict=True))]
    }


def _covariance(mixture: Any, index: Array, inverses: list[Inverse], held: Array) -> Array:
    """Posterior covariance (p, p) of some coefficients; variances (p,) without matrices."""
    n_shared = len(mixture.experts.first)
    if mixture.is_tied and index[0] < mixture.experts.size:
        own = np.clip(mixture.free[index], 0, n_shared - 1)
        return np.array(inverses[0].inverse[0, 0][np.ix_(own, own)])  # type: ignore[index]
    groups = [mixture.gate_group] if mixture.is_tied else mixture.groups
    of_groups = zip(groups, inverses[mixture.is_tied :], strict=True)
    group, inverse = next(pair for pair in of_groups if index[0] in pair[0].coordinates)
    p = int(np.flatnonzero((group.coordinates == index[0]).any(axis=1))[0])
    own = np.searchsorted(group.coordinates[p], index)
    if inverse.inverse is None:
        return np.array(inverse.variances()[p, 0][own])
    matrix, known = inverse.inverse[p, 0], held[group.coordinates[p]]
    if known.any():
        curvature = np.where(known[:, None] | known, 0.0, inverse.matrix[p, 0])
        curvature[known, known] = 1.0
        matrix = inverse_of(curvature)
    return np.array(matrix[np.ix_(own, own)])
