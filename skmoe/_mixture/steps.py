"""A step of scoring: how all coefficients move, from gradient and curvature."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from skmoe._mixture.data import CONSTANT
from skmoe._mixture.groups import Group, ImplicitCurvature, Inverse, invert
from skmoe._numerics.signed_steps import signed_step
from skmoe._numerics.typing import TINY, Array

# Largest change of a log dispersion in one step.
MAX_DISPERSION_STEP = 2.0

# Smallest factor of a scale in one step.
MIN_SCALE_FACTOR = 1e-6


class Curvatures(NamedTuple):
    """Curvatures of the groups, their penalised inverses, and those of users' parts."""

    matrices: Any
    inverses: list[Inverse]  # of experts that share coefficients one matrix, the first
    own: list[Any]


def inverted(mixture: Any, theta: Array, total: Any) -> Curvatures:
    """The curvatures of sums over rows, with the inverses that steps need."""
    prior, found, curvature = mixture.prior, [], total.curvature
    # That of a scale at the mode of its prior.
    diagonal = np.broadcast_to(prior.absolute(theta) + 0.5 * prior.strength, theta.shape)
    pairs = list(zip(mixture.groups, curvature, strict=True))
    if mixture.is_tied:
        size = mixture.experts.size
        joint = np.zeros((len(theta), mixture.size, mixture.size))
        for group, matrices in pairs:
            if group is not mixture.gate_group:
                for own, of_part in zip(group.coordinates, matrices, strict=True):
                    joint[:, own[:, None], own] = of_part
        n_own = len(mixture.experts.first)
        matrix = mixture.reduced_matrix(joint)[:, :n_own, :n_own]
        of_prior = np.where(np.arange(mixture.size) < size, diagonal, 0.0)
        found.append(invert(matrix[None], mixture.reduced(of_prior)[None, :, :n_own]))
        pairs = [pair for pair in pairs if pair[0] is mixture.gate_group]
    for group, matrices in pairs:
        found.append(invert(matrices, np.moveaxis(diagonal[:, group.coordinates], 0, 1)))
    own = [
        part.invert(theta[:, where], sums.curvature)
        for (part, where), sums in zip(mixture.own, total.own, strict=True)
    ]
    return Curvatures(curvature, found, own)


def direction(mixture: Any, theta: Array, total: Any, curvature: Curvatures) -> Array:
    """A step of Fisher scoring (S, D) from coefficients (S, D), which leads upward.

    The curvatures may be those of earlier coefficients.
    """
    matrices, inverses, of_users = curvature
    gradient = total.gradient - mixture.prior.derivatives(theta)[0]
    change, groups = np.zeros_like(theta), list(mixture.groups)
    if mixture.is_tied:
        n_own, inverse, inverses = len(mixture.experts.first), inverses[0], inverses[1:]
        reduced = np.zeros((len(theta), len(mixture.first)))
        own, index = mixture.reduced(gradient)[None, :, :n_own], mixture.first[None, :n_own]
        step = inverse.solve(own)
        if mixture.has_signs:
            step = _with_signs(mixture, step, inverse, own, index, theta)
        reduced[:, :n_own] = step[0]
        change = mixture.expanded(reduced)
        groups = [group for group in groups if group is mixture.gate_group]
    for group, inverse in zip(groups, inverses, strict=True):
        if group is mixture.gate_group and mixture.gate.is_constant:
            change[:, group.coordinates[0]] = _of_constant_gate(mixture, theta, total)
            continue
        own = np.moveaxis(gradient[:, group.coordinates], 0, 1)
        step = inverse.solve(own)
        if mixture.has_signs:
            step = _with_signs(mixture, step, inverse, own, group.coordinates, theta)
        of_group = matrices[mixture.groups.index(group)]
        if inverse.inverse is not None and has_own_scale(group, inverse.matrix):
            _set_scale(step, own, group, inverse, of_group)
        else:
            step = step / _lengths(step, group, of_group)[..., None]
        change[:, group.coordinates] = np.moveaxis(step, 0, 1)
    if mixture.is_tied:
        lengths = [
            _lengths(np.moveaxis(change[:, group.coordinates], 0, 1), group, of_group)
            for group, of_group in zip(mixture.groups, matrices, strict=True)
            if group is not mixture.gate_group
        ]
        longest = np.max([length.max(axis=0) for length in lengths], axis=0)
        change[:, : mixture.experts.size] /= longest[:, None]
    for (part, where), sums, of_part in zip(mixture.own, total.own, of_users, strict=True):
        change[:, where] = part.direction(theta[:, where], sums, of_part)
    return change


def _with_signs(
    mixture: Any, step: Array, inverse: Inverse, gradient: Array, index: Array, theta: Array
) -> Array:
    """Steps (m, S, q) of m systems with coordinates (m, q), which keep signs."""
    own = np.moveaxis(theta[:, index], 0, 1)
    signs = mixture.signs[index]
    beyond = (signs[:, None] * (own + step) < 0.0).any(axis=-1)
    for m, s in zip(*np.nonzero(beyond), strict=True):
        matrix = inverse.matrix[m, s]
        step[m, s] = signed_step(matrix, gradient[m, s], own[m, s], signs[m])
    return step


def _of_constant_gate(mixture: Any, theta: Array, total: Any) -> Array:
    """The whole step of constant probabilities to their maximum, (S, K - 1)."""
    own = theta[:, mixture.experts.size :]
    contrasts = mixture.gate.family.contrasts
    proba = np.exp(mixture.gate.family.log_probs(own.T[..., None]))[..., 0]  # (K, S)
    # The gradient has the differences of observed and expected counts.
    gradient = total.gradient[:, mixture.experts.size :]
    counts = total.gate_counts * proba + contrasts @ gradient.T
    return np.asarray((contrasts.T @ np.log(np.maximum(counts, TINY))).T - own)


def _set_scale(
    step: Array, gradient: Array, group: Group, inverse: Inverse, curvature: Any
) -> None:
    """The log scale in steps (P, S, q) is set to its maximum after that of the mean.

    Where the log-likelihood of a log scale s is A exp(-s) / 2 + B s / 2, as that of normal noise,
    this is the whole step to its maximum. The gain by the mean lowers A; of a step that is too long
    only a part is made.
    """
    own, means = group.slices[-1].start, group.means
    part = 1.0 / _lengths(step, group, curvature, only_means=True)
    gain = part * (1.0 - 0.5 * part) * (step[..., means] * gradient[..., means]).sum(axis=-1)
    slope = gradient[..., own]
    if group.family.max_step < np.inf:  # elsewhere the gain is not that of a quadratic function
        gain = np.where(slope > 0.0, np.minimum(gain, slope), gain)
    rows = np.maximum(inverse.matrix[..., own, own], TINY)
    relative = np.maximum(1.0 + (slope - gain) / rows, MIN_SCALE_FACTOR)
    step[..., means] *= part[..., None]
    step[..., own] = np.log(relative)


def has_own_scale(group: Group, matrix: Array) -> bool:
    """Whether the last predictor is the log of a scale, of which the means tell nothing."""
    if not group.family.has_scale or group.roles[group.means.stop > 0 :] != (CONSTANT,):
        return False
    own = group.slices[-1].start
    return not np.any(matrix[..., own, :own])


def _lengths(change: Array, group: Group, curvature: Any, *, only_means: bool = False) -> Array:
    """Factors (P, S) by which steps (P, S, q) are too long, at least one.

    Means change by their largest root mean square, and log dispersions by theirs.
    """
    means, family = group.means, group.family
    lengths = np.ones(change.shape[:2])
    if means.stop == 0:
        return lengths
    if family.max_step < np.inf:
        of_means = np.zeros_like(change)
        of_means[..., means] = change[..., means]
        if isinstance(curvature, ImplicitCurvature):
            square, rows = curvature.quadratic(of_means), curvature.diagonal()[..., means.stop - 1]
        else:
            square = np.einsum("psi,psij,psj->ps", of_means, curvature, of_means)
            rows = curvature[..., means.stop - 1, means.stop - 1]
        root = np.sqrt(np.maximum(square, 0.0)) / np.sqrt(np.maximum(rows, TINY))
        lengths = np.maximum(lengths, root / family.max_step)
    if means.stop < change.shape[-1] and not only_means:
        longest = np.abs(change[..., means.stop :]).max(axis=-1)
        lengths = np.maximum(lengths, longest / MAX_DISPERSION_STEP)
    return lengths
