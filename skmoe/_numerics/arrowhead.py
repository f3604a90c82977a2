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

    def covariances(self) -> Array:
        """The joint inverse at the columns of each regression, in its units, (K, d, d)."""
        n_columns = len(self.own) + len(self.shared)
        covariances = np.empty((len(self.unit), n_columns, n_columns))
        of_shared = solve_spd(self.total, np.eye(len(self.shared)))
        for k, factor in enumerate(self.factors):
            through_shared = self.solved[k] @ of_shared
            alone = solve_spd(factor, np.eye(len(self.own)))
            own = alone + self.unit[k] * through_shared @ self.solved[k].T
            cross = -self.unit[k] * through_shared
            covariances[k][np.ix_(self.own, self.own)] = own
            covariances[k][np.ix_(self.own, self.shared)] = cross
            covariances[k][np.ix_(self.shared, self.own)] = cross.T
            covariances[k][np.ix_(self.shared, self.shared)] = self.unit[k] * of_shared
        return covariances


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


def shared_covariances(system: RidgeFactorization, precision: Array, shared: list[int]) -> Array:
    """The inverse of the joint matrix at the columns of each regression, in its units.

    Its shape is (K, m, d, d), and the arguments are those of `shared_newton_step`.
    """
    arrowheads = _arrowheads(system, precision, shared)
    return np.stack([arrowhead.covariances() for arrowhead in arrowheads], axis=1)


def _arrowheads(
    system: RidgeFactorization, precision: Array, shared: list[int]
) -> Iterator[Arrowhead]:
    """The joint system of each output."""
    matrices = system.gram + np.diag(system.ridge)
    matrices = matrices.reshape(*precision.shape, *matrices.shape[1:])
    for output in range(precision.shape[1]):
        yield Arrowhead.of(matrices[:, output], precision[:, output], shared)
