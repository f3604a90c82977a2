"""Curvatures of a log-likelihood: matrices of several systems, or products only if too large."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from skmoe._numerics.linalg import (
    conjugate_gradients,
    inverse_of,
    linear_predictor,
    squared,
    weighted_column_sums,
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
                own if design is None else linear_predictor(own, design)
                for design, own in zip(
                    designs, (vector[..., s] for s in self.slices), strict=True
                )
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
    return weighted_column_sums(weighted, design)
