"""Blocks of the vector of coefficients, and groups of predictors that are evaluated together.

Arrays of rows have the shape (P, S, n): P experts of one family, S vectors side by side, n rows.
Those that are the same for all rows have the shape (P, S, 1). Coefficients are (S, D).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, groupby, pairwise
from typing import Any, NamedTuple

import numpy as np

from skmoe._mixture.data import CONSTANT, DISPERSION, GATE_ROLE, MEAN, Data
from skmoe._numerics.linalg import (
    conjugate_gradients,
    inverse_of,
    product,
    squared,
    weighted_products,
)
from skmoe._numerics.typing import TINY, Array

# Most coefficients of a system whose matrix is formed.
MAX_DENSE = 1000

# Tolerance of conjugate gradients, which the next iteration of EM continues.
CG_TOL = 0.03


class Inverse(NamedTuple):
    """Penalised curvatures (..., q, q), and their inverses; None of those that are not formed."""

    matrix: Any
    inverse: Array | None
    diagonal: Array  # of the penalty, (..., q)

    def solve(self, gradient: Array) -> Array:
        """Steps (..., q) from gradients."""
        if self.inverse is not None:
            return np.asarray((self.inverse @ gradient[..., None])[..., 0])
        diagonal = self.matrix.diagonal() + self.diagonal
        return conjugate_gradients(
            lambda vector: self.matrix @ vector + self.diagonal * vector,
            gradient,
            diagonal,
            axes=(-1,),
            tol=CG_TOL,
        )

    def variances(self) -> Array:
        """Diagonals of the inverses, (..., q); of matrices that are not formed about so."""
        if self.inverse is None:
            return 1.0 / np.maximum(self.matrix.diagonal() + self.diagonal, TINY)
        return np.diagonal(self.inverse, axis1=-2, axis2=-1)


def invert(matrices: Any, diagonal: Array) -> Inverse:
    """Inverses of curvatures (..., q, q) with a diagonal (..., q) added."""
    if isinstance(matrices, ImplicitCurvature):
        return Inverse(matrices, None, diagonal)
    index = np.arange(diagonal.shape[-1])
    matrix = matrices.copy()
    matrix[..., index, index] += diagonal
    return Inverse(matrix, inverse_of(matrix), diagonal)


@dataclass(frozen=True)
class ImplicitCurvature:
    """Curvatures of P experts and S vectors that are not formed: products only.

    They are sums over row blocks. Each has the designs of the predictors, None for a constant, and
    weights (P, S, n) of pairs of predictors.
    """

    blocks: tuple[tuple[tuple[Any, ...], dict[tuple[int, int], Array]], ...]
    slices: tuple[slice, ...]

    def __add__(self, other: ImplicitCurvature) -> ImplicitCurvature:
        return ImplicitCurvature(self.blocks + other.blocks, self.slices)

    @property
    def size(self) -> int:
        """Number of coefficients of an expert."""
        return int(self.slices[-1].stop)

    def __matmul__(self, vector: Array) -> Array:
        """Products with vectors (P, S, q)."""
        total = np.zeros(vector.shape)
        for designs, weights in self.blocks:
            changes = [
                own if design is None else product(own, design.T)
                for design, own in zip(designs, (vector[..., s] for s in self.slices), strict=True)
            ]
            for (t, u), weight in weights.items():
                total[..., self.slices[t]] += _sums(weight * changes[u], designs[t])
                if t != u:
                    total[..., self.slices[u]] += _sums(weight * changes[t], designs[u])
        return total

    def diagonal(self) -> Array:
        """Diagonals, (P, S, q)."""
        parts: list[Any] = [0.0] * len(self.slices)
        for designs, weights in self.blocks:
            for (t, u), weight in weights.items():
                if t == u:
                    design = designs[t]
                    parts[t] = parts[t] + _sums(
                        weight, design if design is None else squared(design)
                    )
        shape = np.broadcast_shapes(*(np.shape(part)[:-1] for part in parts))
        return np.concatenate([np.broadcast_to(p, (*shape, np.shape(p)[-1])) for p in parts], -1)

    def quadratic(self, vector: Array) -> Array:
        """Quadratic forms (P, S) of vectors (P, S, q)."""
        return np.asarray((vector * (self @ vector)).sum(axis=-1))


def _sums(weighted: Array, design: Any) -> Array:
    if design is None:
        return np.asarray(weighted.sum(axis=-1, keepdims=True))
    return product(weighted, design)


# How far beyond the bounds at the means of the features log dispersions of rows can lie: of those
# of a fit, and of new ones.
MARGINS_OF_ROWS = np.log([1e6, 5.0])
MARGINS_OF_NEW_ROWS = np.log([1e9, 10.0])

# Most columns of which the outermost rows are also those of sums and differences of two columns.
MAX_PAIRED_COLUMNS = 20


class Limits(NamedTuple):
    """Where log dispersions lie that depend on features."""

    low: Array  # at the means of the features, (P,)
    high: Array
    rows: Array  # outermost rows of the fit, (R, e)

    @property
    def of_new_rows(self) -> tuple[Array, Array]:
        """Smallest and largest log dispersions, (P, 1, 1), up to which numbers stay finite."""
        below, above = MARGINS_OF_NEW_ROWS
        return self.low[:, None, None] - below, self.high[:, None, None] + above


def outermost_rows(columns: Array) -> Array:
    """Rows (R, e) of columns (n, e) that are the furthest in some directions.

    The directions are those of all columns, and of the sums and differences of two columns.
    """
    found = [columns.argmin(axis=0), columns.argmax(axis=0)]
    for i, j in combinations(range(columns.shape[1]), 2):
        if columns.shape[1] > MAX_PAIRED_COLUMNS:
            break
        for sums in (columns[:, i] + columns[:, j], columns[:, i] - columns[:, j]):
            found.append(np.array([sums.argmin(), sums.argmax()]))
    return np.asarray(np.unique(columns[np.concatenate(found)], axis=0))


# Number of the gate among the parts.
OF_GATE = -1


class Block(NamedTuple):
    """A slice of the vector: the coefficients of one predictor of one part."""

    part: int  # number of the expert, or OF_GATE
    output: int  # of y, or of a family of all outputs 0
    predictor: int  # of the family
    role: str
    where: slice


class Group:
    """Experts with one family for one output, or the gate, which are evaluated in one call."""

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
        self.limits: Limits | None = None

    def set_limits(self, limits: Limits) -> None:
        """Sets where log dispersions lie that depend on features."""
        self.limits = limits

    def predictors(self, theta: Array, data: Data) -> list[Array]:
        """The T predictors at coefficients (S, D)."""
        etas: list[Array] = []
        for (role, _), index in zip(self.runs, self.of_runs, strict=True):
            coef = np.moveaxis(theta[:, index], 0, 2)
            etas += [*(coef if role == CONSTANT else product(coef, data.designs[role].T))]
        if data.offset is not None and MEAN in self.roles and self.family.link == "log":
            of_output = data.offset if data.offset.ndim == 1 else data.offset[self.output]
            etas[0] = etas[0] + of_output
        bound = self.family.max_predictor
        if bound < np.inf:
            etas[0] = np.clip(etas[0], -bound, bound)
        if self.limits is not None:
            t, (low, high) = self.roles.index(DISPERSION), self.limits.of_new_rows
            etas[t] = np.clip(etas[t], low, high)
        return etas

    def excess_of_rows(self, theta: Array) -> Array:
        """Largest changes of log dispersions below and above, in parts of their room, (2, S, P).

        Changes are from the means of the features to the outermost rows of the fit.
        """
        assert self.limits is not None
        own, limits = theta[:, self.index[self.roles.index(DISPERSION)]], self.limits
        change, level = own[..., :-1] @ limits.rows.T, own[..., -1]
        return np.stack(
            [
                change.min(axis=-1) / (limits.low - level - MARGINS_OF_ROWS[0]),
                change.max(axis=-1) / (limits.high - level + MARGINS_OF_ROWS[1]),
            ]
        )

    def room_of_rows(self, theta: Array) -> tuple[Array, Array]:
        """Normals (B, q) and room (P, S, B) of bounds `normals @ step <= room` of steps."""
        assert self.limits is not None
        t, limits = self.roles.index(DISPERSION), self.limits
        rows = np.append(limits.rows, np.ones((len(limits.rows), 1)), axis=1)
        logs = np.moveaxis(theta[:, self.index[t]], 0, 1) @ rows.T
        below, above = MARGINS_OF_ROWS
        room = [
            logs - limits.low[:, None, None] + below,
            limits.high[:, None, None] + above - logs,
        ]
        normals = np.zeros((2 * len(rows), self.coordinates.shape[1]))
        normals[:, self.slices[t]] = np.vstack([-rows, rows])
        return normals, np.maximum(np.concatenate(room, axis=-1), 0.0)

    def within_limits(self, theta: Array) -> Array:
        """Coefficients (S, D) with slopes so short that log dispersions are not out of bounds."""
        slopes = self.index[self.roles.index(DISPERSION)][:, :-1]
        shortened = theta.copy()
        longest = np.maximum(self.excess_of_rows(theta).max(axis=0), 1.0)
        shortened[:, slopes] /= longest[..., None]
        return shortened

    # --- sums over rows ---

    def add_gradient(self, scores: Any, data: Data, gradient: Array) -> None:
        """Adds to the gradient (S, D) that of T weighted scores (P, S, n)."""
        for (role, chosen), index in zip(self.runs, self.of_runs, strict=True):
            if role == CONSTANT:
                sums = np.stack([scores[t].sum(-1, keepdims=True) for t in chosen])
            else:
                own = [scores[t] for t in chosen]
                stacked = own[0][None] if len(own) == 1 else np.stack(own)
                sums = product(stacked, data.designs[role])
            gradient[:, index] = np.moveaxis(sums, 2, 0)

    def curvature(self, information: Any, weight: Array, data: Data, dense: bool) -> Any:
        """Matrices (P, S, q, q) of the information of pairs of predictors, with weights (P, S, n).

        They are not formed if they are too large, unless they must be dense.
        """
        weighted = {key: weight * value for key, value in information.items()}
        if self.coordinates.shape[1] > MAX_DENSE and not dense:
            designs = tuple(data.designs.get(role) for role in self.roles)
            return ImplicitCurvature(((designs, weighted),), tuple(self.slices))
        size = self.coordinates.shape[1]
        matrices = np.zeros((*weight.shape[:2], size, size))
        by_designs: dict[tuple[str, str], list[tuple[int, int]]] = {}
        for t, u in weighted:
            by_designs.setdefault((self.roles[t], self.roles[u]), []).append((t, u))
        for roles, pairs in by_designs.items():
            first, second = (data.designs.get(role) for role in roles)
            stacked = np.stack([np.broadcast_to(weighted[pair], weight.shape) for pair in pairs])
            flat = stacked.reshape(-1, weight.shape[-1])
            found = weighted_products(first, second, flat, data.column_products)
            shape = *stacked.shape[:3], *found.shape[1:]
            for (t, u), own in zip(pairs, found.reshape(shape), strict=True):
                rows, columns = self.slices[t], self.slices[u]
                matrices[..., rows, columns] = own
                if t != u:
                    matrices[..., columns, rows] = np.swapaxes(own, -1, -2)
        return matrices
