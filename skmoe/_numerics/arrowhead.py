"""Ridge regressions whose coefficients are equal in some columns.

Their joint matrix is an arrowhead: the other columns of each regression are eliminated, which
leaves one system of the shared columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from skmoe._numerics.linalg import RidgeFactorization, factorize_spd, solve_spd
from skmoe._numerics.typing import Array


class Arrowhead(NamedTuple):
    """The joint system of K regressions for one output, with `shared` and `own` columns."""

    own: list[int]
    shared: list[int]
    unit: Array  # precision of each regression, (K,)
    factors: list[tuple[Array, bool]]  # of the matrices of the own columns
    cross: Array  # of own and shared columns, (K, o, s)
    solved: Array  # the matrices of the own columns, inverted, times `cross`
    total: tuple[Array, bool]  # factor of the system of the shared columns

    @classmethod
    def of(cls, matrices: Array, unit: Array, shared: list[int]) -> Arrowhead:
        """The system of matrices (K, d, d), which are in units of the inverse of `unit` (K,)."""
        own = [j for j in range(matrices.shape[-1]) if j not in shared]
        cross = matrices[:, own][:, :, shared]
        factors = [factorize_spd(matrix) for matrix in matrices[:, own][:, :, own]]
        pairs = zip(factors, cross, strict=True)
        solved = np.stack([solve_spd(factor, values.T).T for factor, values in pairs])
        reduced = matrices[:, shared][:, :, shared] - cross.swapaxes(1, 2) @ solved
        total = factorize_spd(np.einsum("k,kst->st", unit, reduced))
        return cls(own, shared, unit, factors, cross, solved, total)

    def newton_step(self, gradient: Array) -> Array:
        """Steps (K, d) for gradients (K, d) in the units of the matrices."""
        step = np.empty_like(gradient)
        of_own = gradient[:, self.own]
        reduced = gradient[:, self.shared] - np.einsum("kos,ko->ks", self.solved, of_own)
        common = solve_spd(self.total, (self.unit @ reduced)[None])[0]
        step[:, self.shared] = common
        for k, factor in enumerate(self.factors):
            rest = of_own[k] - self.cross[k] @ common
            step[k, self.own] = solve_spd(factor, rest[None])[0]
        return step

    def variances(self) -> Array:
        """Diagonal of the joint inverse for each regression, (K, d), in units of its matrix."""
        covariance = solve_spd(self.total, np.eye(len(self.shared)))
        variances = np.empty((len(self.unit), len(self.own) + len(self.shared)))
        variances[:, self.shared] = self.unit[:, None] * np.diag(covariance)
        through_shared = np.einsum("kos,st,kot->ko", self.solved, covariance, self.solved)
        inverses = [solve_spd(factor, np.eye(len(self.own))) for factor in self.factors]
        alone = np.diagonal(np.stack(inverses), axis1=1, axis2=2)
        variances[:, self.own] = alone + self.unit[:, None] * through_shared
        return variances


def shared_newton_step(
    system: RidgeFactorization, gradient: Array, precision: Array, shared: list[int]
) -> Array:
    """Newton steps (K * m, 1, d) of K regressions whose steps are equal in the `shared` columns.

    `gradient` (K, m, d) and the matrices of the system, (K * m, d, d), are in units of the inverse
    of `precision` (K, m).
    """
    step = np.empty_like(gradient)
    for output, arrowhead in enumerate(_arrowheads(system, precision, shared)):
        step[:, output] = arrowhead.newton_step(gradient[:, output])
    return step.reshape(-1, 1, gradient.shape[-1])


def shared_variances(system: RidgeFactorization, precision: Array, shared: list[int]) -> Array:
    """Diagonals (K, m, d) of the inverse of the joint matrix of `shared_newton_step`.

    They are in units of the inverse of `precision`, as the matrices are.
    """
    arrowheads = _arrowheads(system, precision, shared)
    return np.stack([arrowhead.variances() for arrowhead in arrowheads], axis=1)


def _arrowheads(
    system: RidgeFactorization, precision: Array, shared: list[int]
) -> Iterator[Arrowhead]:
    """The joint system of each output."""
    matrices = system.gram + np.diag(system.ridge)
    matrices = matrices.reshape(*precision.shape, *matrices.shape[1:])
    for output in range(precision.shape[1]):
        yield Arrowhead.of(matrices[:, output], precision[:, output], shared)
