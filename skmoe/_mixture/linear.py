"""Gate and experts whose predictors are linear: blocks of one vector of coefficients.

Arrays of rows have the shape (P, S, n): P experts of one family, S vectors side by side, n rows.
Those that are the same for all rows have the shape (P, S, 1). Coefficients are (S, D).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import Any, NamedTuple

import numpy as np

from skmoe._mixture.curvature import (
    MAX_DENSE,
    ImplicitCurvature,
    Inverse,
    invert,
    placed,
)
from skmoe._mixture.data import CONSTANT, DISPERSION, GATE_ROLE, MEAN, Data
from skmoe._mixture.prior import Prior
from skmoe._mixture.slopes import penalised_slopes
from skmoe._numerics.linalg import dense_grams, linear_predictor, weighted_column_sums
from skmoe._numerics.signed_steps import signed_step
from skmoe._numerics.typing import TINY, Array

# Number of the gate among the parts.
GATE = -1

# Largest change of a log dispersion in one step.
MAX_DISPERSION_STEP = 2.0

# How far beyond the bounds at the means of the features log dispersions of rows can lie.
MARGINS_OF_ROWS = np.log([1e3, 5.0])

# Smallest factor of a scale in one step.
MIN_SCALE_FACTOR = 1e-6


class Block(NamedTuple):
    """A slice of the vector: the coefficients of one predictor of one part."""

    part: int  # number of the expert, or GATE
    output: int  # of y, or of a family of all outputs 0
    predictor: int  # of the family
    role: str
    where: slice


class Group:
    """Experts with one family for one output, which are evaluated in one call."""

    def __init__(
        self, family: Any, parts: Array, output: int | None, blocks: Sequence[Sequence[Block]]
    ) -> None:
        self.family, self.parts = family, parts
        self.output = output  # None for a family of all outputs
        first = blocks[0] if blocks else ()
        self.roles = tuple(block.role for block in first)
        # Coordinates of each predictor, (P, d), and of all of them, (P, q).
        where = [[np.r_[block.where] for block in own] for own in blocks]
        self.index = [np.stack(of_predictor) for of_predictor in zip(*where, strict=True)]
        empty = np.zeros((len(parts), 0), dtype=int)
        self.coordinates = np.hstack(self.index) if self.index else empty
        # Where each predictor is among them, and those of the mean.
        ends = np.cumsum([0, *(index.shape[1] for index in self.index)]).tolist()
        self.slices = [slice(*pair) for pair in pairwise(ends)]
        self.means = slice(0, ends[sum(role in (MEAN, GATE_ROLE) for role in self.roles)])
        # The predictors of each role, one role after the other.
        runs = groupby(range(len(self.roles)), key=self.roles.__getitem__)
        self.runs = [(role, list(own)) for role, own in runs]
        self.of_runs = [np.stack([self.index[t] for t in own]) for _, own in self.runs]


class Sums(NamedTuple):
    """Sums over rows, which are additive: of the likelihood alone."""

    gradient: Array  # (S, D)
    curvature: Any  # of each group (P, S, q, q), or an `ImplicitCurvature`; None if not wanted
    total: Array  # of the weights of each expert, (K, S)


class LinearPart:
    """What gate and experts have in common: groups of predictors, and a step of scoring."""

    is_linear = True
    prior: Prior
    has_derivatives = True
    needs_all_rows = False
    flat: Any = 0.0  # distance from lower bounds up to which the likelihood is constant, (D,)

    def __init__(
        self, groups: Sequence[Group], blocks: Sequence[Block], free: Array, bounds: Array
    ) -> None:
        self.groups, self.blocks = list(groups), list(blocks)
        # Coordinate of each coefficient among those that are estimated; -1 for absent ones.
        self.free = free
        self.size = len(free)
        self.lower, self.upper = bounds
        n_free = int(free.max(initial=-1)) + 1
        self.is_tied = n_free < self.size
        self.has_signs = bool((bounds == 0.0).any())
        self.needs_matrices = self.is_tied or self.has_signs
        # The first of the coefficients that are equal, (R,).
        self.first = np.unique(free, return_index=True)[1][-n_free:] if n_free else np.arange(0)

    @property
    def n_coefficients(self) -> int:
        """Number of coefficients, absent and shared ones included."""
        return self.size

    # --- predictors ---

    def predictors(self, theta: Array, group: Group, data: Data) -> list[Array]:
        """The predictors of a group at coefficients (S, D)."""
        etas: list[Array] = []
        for (role, _), index in zip(group.runs, group.of_runs, strict=True):
            coef = np.moveaxis(theta[:, index], 0, 2)
            etas += [*(coef if role == CONSTANT else linear_predictor(coef, data.designs[role]))]
        if data.offset is not None and MEAN in group.roles and group.family.link == "log":
            own_offset = data.offset if data.offset.ndim == 1 else data.offset[group.output]
            etas[0] = etas[0] + own_offset
        bound = group.family.max_predictor
        if bound < np.inf:
            etas[0] = np.clip(etas[0], -bound, bound)
        if DISPERSION in group.roles:
            t = group.roles.index(DISPERSION)
            etas[t] = np.clip(etas[t], *self.limits_of_rows(group, t))
        return etas

    def limits_of_rows(self, group: Group, t: int) -> tuple[Array, Array]:
        """Smallest and largest log dispersion of a row, (P, 1, 1)."""
        last = group.index[t][:, -1, None, None]
        return self.lower[last] - MARGINS_OF_ROWS[0], self.upper[last] + MARGINS_OF_ROWS[1]

    # --- sums over rows ---

    def add_gradient(self, group: Group, scores: Any, data: Data, gradient: Array) -> None:
        """Adds the gradient of a group to (S, D), from T weighted scores (P, S, n)."""
        for (role, chosen), index in zip(group.runs, group.of_runs, strict=True):
            if role == CONSTANT:
                sums = np.stack([scores[t].sum(-1, keepdims=True) for t in chosen])
            else:
                own = scores[chosen[0]][None] if len(chosen) == 1 else np.stack(
                    [scores[t] for t in chosen]
                )
                sums = weighted_column_sums(own, data.designs[role])
            gradient[:, index] = np.moveaxis(sums, 2, 0)

    def curvature_of(self, group: Group, information: Any, weight: Array, data: Data) -> Any:
        """The curvature of a group, from the information of pairs of predictors and weights."""
        if group.coordinates.shape[1] > MAX_DENSE and not self.needs_matrices:
            weighted = {key: weight * value for key, value in information.items()}
            designs = tuple(data.designs.get(role) for role in group.roles)
            return ImplicitCurvature(((designs, weighted),), tuple(group.slices))
        return self._matrices(group, information, weight, data)

    def _matrices(self, group: Group, information: Any, weight: Array, data: Data) -> Array:
        """Matrices (P, S, q, q) of the curvature of a group."""
        shape, slices = weight.shape[:2], group.slices
        matrices = np.zeros((*shape, *(slices[-1].stop,) * 2))
        keys = sorted(information, key=lambda key: (group.roles[key[0]], group.roles[key[1]]))
        for roles, own in groupby(keys, key=lambda key: (group.roles[key[0]], group.roles[key[1]])):
            pairs = list(own)
            first, second = roles
            if CONSTANT in roles:
                other = first if second == CONSTANT else second
                for pair in pairs:
                    weighted = weight * information[pair]
                    if other == CONSTANT:
                        found = weighted.sum(-1)[..., None, None]
                    else:
                        found = weighted_column_sums(weighted, data.designs[other])
                        found = found[..., None] if second == CONSTANT else found[..., None, :]
                    placed(matrices, slices[pair[0]], slices[pair[1]], found)
                continue
            weighted = np.stack([weight * information[pair] for pair in pairs])
            flat = weighted.reshape(-1, weighted.shape[-1])
            if first == second:
                found = dense_grams(data.designs[first], flat)
            else:
                designs = data.designs[first], data.designs[second]
                found = np.stack([designs[0].T @ (row[:, None] * designs[1]) for row in flat])
            found = found.reshape(len(pairs), *shape, *found.shape[1:])
            for pair, values in zip(pairs, found, strict=True):
                placed(matrices, slices[pair[0]], slices[pair[1]], values)
        return matrices

    # --- steps ---

    def invert(self, theta: Array, curvature: Any) -> list[Inverse]:
        """Inverses of the penalised curvature: of each group, or of all together if tied."""
        diagonal = self.penalty_curvature(theta)
        if not self.is_tied:
            return [
                invert(matrices, np.moveaxis(diagonal[:, group.coordinates], 0, 1))
                for group, matrices in zip(self.groups, curvature, strict=True)
            ]
        joint = self.joint_matrix(curvature)
        return [invert(self.reduced_matrix(joint)[None], self.reduced(diagonal)[None])]

    # --- the evidence ---

    def penalised_slopes(self, theta: Array, sums: Sums, curvature: Any) -> dict[str, Any]:
        """Slopes with their posterior covariances, by the names of their penalties."""
        return penalised_slopes(self, theta, sums, curvature[1])

    @property
    def shares(self) -> Array:
        """Part that each coefficient has in one that is shared, (D,)."""
        counts = np.bincount(self.free[self.free >= 0], minlength=1)
        return np.where(self.free < 0, 1.0, 1.0 / counts[np.maximum(self.free, 0)])

    def held(self, theta: Array) -> Array:
        """Coefficients at zero because of their sign, boolean of shape (D,)."""
        if not self.has_signs:
            return np.zeros(self.size, dtype=bool)
        return ((self.lower == 0.0) | (self.upper == 0.0)) & (theta == 0.0)

    def prior_unit(self, theta: Array, block: Block) -> float:
        """Inverse of the scale to which the precisions of a block are relative."""
        scale = self.prior.scale[block.where.start]
        return 1.0 if scale < 0 else float(np.exp(-theta[scale]))

    def noise_share(self, theta: Array, sums: Sums, block: Block) -> float:
        """Part of that scale that is not the variance of predictors."""
        return 1.0

    # --- bounds ---

    @property
    def dropped(self) -> Array:
        """Slopes of dropped features, boolean of shape (D,)."""
        return self.prior.dropped

    def at_bound(self, theta: Array) -> Array:
        """Coefficients (D,) at a bound, or so near that the likelihood is constant."""
        return (theta <= self.lower + self.flat) | (theta >= self.upper)

    def penalty_gradient(self, theta: Array) -> Array:
        """Gradient of the penalty at one vector, (D,)."""
        return self.prior.derivatives(theta)[0]

    def penalty_hessian(self, theta: Array) -> Array:
        """Hessian of the penalty at one vector, (D, D)."""
        return self.prior.hessian(theta)

    def penalty(self, theta: Array) -> Array:
        """Negative log prior up to a constant, (S,)."""
        return self.prior.penalty(theta)

    def penalty_curvature(self, theta: Array) -> Array:
        """Diagonal of the curvature of the penalty, (S, D); that of a scale at its mode."""
        diagonal = self.prior.absolute(theta)
        return np.broadcast_to(diagonal + 0.5 * self.prior.strength, theta.shape)

    def joint_matrix(self, curvature: Any) -> Array:
        """One matrix (S, D, D) of the matrices of all groups."""
        joint = np.zeros((curvature[0].shape[1], self.size, self.size))
        for group, matrices in zip(self.groups, curvature, strict=True):
            for own, of_part in zip(group.coordinates, matrices, strict=True):
                joint[:, own[:, None], own] = of_part
        return joint

    def reduced(self, values: Array) -> Array:
        """Sums of values (..., D) over coefficients that are equal, (..., R)."""
        if not self.is_tied:
            return values
        present = self.free >= 0
        total = np.zeros((*values.shape[:-1], int(self.free.max(initial=-1)) + 1))
        np.add.at(np.moveaxis(total, -1, 0), self.free[present], np.moveaxis(values, -1, 0)[present])
        return total

    def reduced_matrix(self, matrix: Array) -> Array:
        """The same for both axes of matrices (..., D, D)."""
        if not self.is_tied:
            return matrix
        return self.reduced(np.swapaxes(self.reduced(matrix), -1, -2)).swapaxes(-1, -2)

    def expanded(self, values: Array) -> Array:
        """Values (..., R) of estimated coefficients for all, zero for absent ones, (..., D)."""
        if not self.is_tied:
            return values
        return np.where(self.free < 0, 0.0, values[..., self.free])

    def bounded(self, theta: Array) -> Array:
        """The nearest coefficients within their bounds, with zeros for dropped features."""
        theta = np.clip(theta, self.lower, self.upper)
        dropped = self.prior.dropped
        return np.where(dropped, 0.0, theta) if dropped.any() else theta

    def direction(
        self, theta: Array, sums: Sums, curvature: tuple[Any, list[Inverse]]
    ) -> Array:
        """A step of Fisher scoring (S, D) from coefficients, which leads upward.

        `curvature` has matrices and inverses, which may be those of earlier coefficients.
        """
        matrices, inverses = curvature
        gradient = sums.gradient - self.prior.derivatives(theta)[0]
        if self.is_tied:
            step = self._step(inverses[0], self.reduced(gradient)[None], self.first[None], theta)
            change = self.expanded(step[0])
            lengths = [
                _length(np.moveaxis(change[:, group.coordinates], 0, 1), group, of_group)
                for group, of_group in zip(self.groups, matrices, strict=True)
            ]
            longest = np.max([length.max(axis=0) for length in lengths], axis=0)
            return change / longest[:, None]
        change = np.zeros_like(theta)
        for group, inverse, of_group in zip(self.groups, inverses, matrices, strict=True):
            own = np.moveaxis(gradient[:, group.coordinates], 0, 1)
            step = self._step(inverse, own, group.coordinates, theta)
            if _has_separate_scale(group, inverse):
                step = _with_scale(step, own, group, inverse, of_group)
            else:
                step = step / _length(step, group, of_group)[..., None]
            change[:, group.coordinates] = np.moveaxis(step, 0, 1)
        return change

    def _step(self, inverse: Inverse, gradient: Array, index: Array, theta: Array) -> Array:
        """Newton steps (m, S, q) of m systems with coordinates (m, q), which keep signs."""
        step = inverse.solve(gradient)
        if not self.has_signs:
            return step
        own = np.moveaxis(theta[:, index], 0, 1)
        signs = np.where(self.lower == 0.0, 1.0, np.where(self.upper == 0.0, -1.0, 0.0))[index]
        beyond = (signs[:, None] * (own + step) < 0.0).any(axis=-1)
        for m, s in zip(*np.nonzero(beyond), strict=True):
            matrix = inverse.matrix[m, s]
            step[m, s] = signed_step(matrix, gradient[m, s], own[m, s], signs[m])
        return step


def _has_separate_scale(group: Group, inverse: Inverse) -> bool:
    """Whether the log scale is a constant whose information has none about the mean."""
    family = group.family
    if not family.has_scale or group.roles.count(CONSTANT) != 1 or DISPERSION in group.roles:
        return False
    own = group.slices[-1].start
    return inverse.inverse is not None and not np.any(inverse.matrix[..., own, :own])


def _with_scale(
    step: Array, gradient: Array, group: Group, inverse: Inverse, curvature: Any
) -> Array:
    """Steps (P, S, q) whose log scale is at its maximum after that of the mean.

    Where the log-likelihood of a log scale s is A exp(-s) / 2 + B s / 2, as that of normal noise,
    this is the whole step to its maximum. The gain by the mean lowers A; of a step that is too long
    only a part is made.
    """
    own, means = group.slices[-1].start, group.means
    part = 1.0 / _length(step, group, curvature, only_means=True)
    gain = part * (1.0 - 0.5 * part) * (step[..., means] * gradient[..., means]).sum(axis=-1)
    slope = gradient[..., own]
    if group.family.max_step < np.inf:  # elsewhere the gain is not that of a quadratic function
        gain = np.where(slope > 0.0, np.minimum(gain, slope), gain)
    rows = np.maximum(inverse.matrix[..., own, own], TINY)
    relative = np.maximum(1.0 + (slope - gain) / rows, MIN_SCALE_FACTOR)
    step[..., means] *= part[..., None]
    step[..., own] = np.log(relative)
    return step


def _length(change: Array, group: Group, curvature: Any, *, only_means: bool = False) -> Array:
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
            square, diagonal = curvature.quadratic(of_means), curvature.diagonal()
            rows = diagonal[..., means.stop - 1]
        else:
            square = np.einsum("psi,psij,psj->ps", of_means, curvature, of_means)
            rows = curvature[..., means.stop - 1, means.stop - 1]
        root = np.sqrt(np.maximum(square, 0.0) / np.maximum(rows, TINY))
        lengths = np.maximum(lengths, root / family.max_step)
    if means.stop < change.shape[-1] and not only_means:
        longest = np.abs(change[..., means.stop :]).max(axis=-1)
        lengths = np.maximum(lengths, longest / MAX_DISPERSION_STEP)
    return lengths
