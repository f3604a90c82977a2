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
    part: Any, theta: Array, sums: Any, inverses: list[Inverse]
) -> dict[str, Slopes]:
    """The slopes at one vector (D,) by the names of their penalties, in units of the prior.

    A slope that experts share has an equal part in each of them. The posterior of one that is held
    at a bound, or absent, is its prior.
    """
    found: dict[str, list[tuple[Any, ...]]] = {}
    # Of shared slopes the rows of several experts determine the gradient.
    penalised = sums.gradient[0] - part.penalty_gradient(theta)
    total = part.expanded(part.reduced(penalised))
    shares = part.shares
    for block in part.blocks:
        name = PENALTIES.get(block.role)
        index = np.arange(block.where.start, block.where.stop - 1)
        if name is None or not len(index):
            continue
        share, absent = shares[index], part.free[index] < 0
        unit = part.prior_unit(theta, block)
        noise = unit / part.noise_share(theta, sums, block)
        root = np.sqrt(noise)
        covariance = _covariance(part, index, inverses, block, theta)
        prior = part.prior.precision[index] / share  # in units of the scale
        if covariance.ndim == 2:
            covariance = covariance * unit / np.sqrt(share[:, None] * share)
            held = absent | part.held(theta)[index]
            if held.any():
                covariance[held] = covariance[:, held] = 0.0
                covariance[held, held] = 1.0 / np.maximum(prior[held], TINY)
        else:
            covariance = covariance * unit
        # Of the likelihood: that with the penalty, which is added again.
        gradient = share * root * (total[index] / unit + prior * theta[index])
        gradient[part.held(theta)[index]] = 0.0
        values = theta[index] * root, covariance, gradient, share
        values = tuple(
            np.where(absent, 0.0, v) if v.ndim == 1 else v for v in values
        )
        found.setdefault(name, []).append(values)
    return {
        name: Slopes(*(np.stack(fields) for fields in zip(*own, strict=True)))
        for name, own in found.items()
    }


def _covariance(
    part: Any, index: Array, inverses: list[Inverse], block: Any, theta: Array
) -> Array:
    """Posterior covariance (p, p) of some coefficients; variances (p,) without matrices."""
    if part.is_tied:
        [inverse] = inverses
        own = np.maximum(part.free[index], 0)
        matrix = inverse.inverse[0, 0] if inverse.inverse is not None else None
        return np.array(matrix[np.ix_(own, own)])  # type: ignore[index]
    for group, inverse in zip(part.groups, inverses, strict=True):
        rows = np.flatnonzero((group.coordinates == index[0]).any(axis=1))
        if len(rows):
            p = int(rows[0])
            own = np.searchsorted(group.coordinates[p], index)
            if inverse.inverse is None:
                return np.array(inverse.variances()[p, 0][own])
            held = part.held(theta)[group.coordinates[p]]
            matrix = inverse.inverse[p, 0]
            if held.any():
                curvature = np.where(held[:, None] | held, 0.0, inverse.matrix[p, 0])
                curvature[held, held] = 1.0
                matrix = inverse_of(curvature)
            return np.array(matrix[np.ix_(own, own)])
    raise AssertionError(block)
