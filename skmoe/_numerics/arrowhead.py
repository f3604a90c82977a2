"""Ridge regressions that lack some coefficients, and are equal in others.

Their joint matrix is an arrowhead: the columns that a regression has for itself are eliminated,
which leaves one system of the coefficients that regressions share.

The *holder* of a coefficient of a regression is the regression itself, or the first one of those
that share the coefficient, or -1 where the regression lacks it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from skmoe._numerics.linalg import RidgeFactorization, factorize_spd, solve_spd
from skmoe._numerics.typing import Array

# Why experts keep their order.
OWN_SLOPES = "its experts have slopes of their own, in the order of the user"


def slope_holders(slopes: Sequence[Sequence[int]], has_slopes: Array, n_columns: int) -> Array:
    """Holders (K, d) of the coefficients of K experts, the last of which is the intercept.

    `slopes` have a row of numbers for each expert: equal numbers in a column are one slope, and -1
    is none. Columns beyond those of the rows have a slope for each expert. More experts than rows
    are those of several fits. `has_slopes` (K,) are the experts that depend on the features.
    """
    n_rows, n_experts = len(slopes) or len(has_slopes), len(has_slopes)
    numbers = np.tile(np.arange(n_rows)[:, None], n_columns)
    given = np.array(slopes, dtype=int, ndmin=2)
    numbers[:, : given.shape[1]] = given
    n_fits = n_experts // n_rows
    numbers = np.tile(numbers, (n_fits, 1))
    numbers[~has_slopes, :-1] = -1
    of_fits = []
    for start, own in enumerate(np.split(numbers, n_fits)):
        first = (own[:, None] == own).argmax(axis=1) + start * n_rows
        of_fits.append(np.where(own < 0, -1, first))
    return np.concatenate(of_fits)


def are_exchangeable(slopes: Sequence[Sequence[int]]) -> bool:
    """Whether all experts have the same slopes: each its own of a column, or all one or none."""
    numbers = np.array(slopes, dtype=int, ndmin=2)
    is_own = (numbers == np.arange(len(numbers))[:, None]).all(axis=0)
    return bool((is_own | (numbers == numbers[:1]).all(axis=0)).all())


def of_holders(coef: Array, holders: Array) -> Array:
    """Coefficients (K, m, d) of which shared ones are equal, and those that are lacked zero."""
    held = coef[holders, :, np.arange(coef.shape[-1])]
    return np.where(holders[:, None] < 0, 0.0, np.moveaxis(held, 1, 2))


def holder_sums(holders: Array, values: Array) -> Array:
    """Sums of values (K, ..., d) over the regressions that share a coefficient, for each of them.

    Coefficients that a regression lacks are counted as its own.
    """
    own, columns = np.arange(len(holders))[:, None], np.arange(holders.shape[1])
    index = np.where(holders < 0, own, holders), columns
    by_column = np.moveaxis(values, -1, 1)  # (K, d, ...)
    sums = np.zeros(by_column.shape)
    np.add.at(sums, index, by_column)
    return np.moveaxis(sums[index], 1, -1)


def n_sharing(holders: Array) -> Array:
    """Number of regressions with the same coefficient, (K, d); one where it is lacked."""
    return holder_sums(holders, np.ones(holders.shape))


class Arrowhead(NamedTuple):
    """The joint system of K regressions for one output."""

    own: list[Array]  # columns that each regression has for itself
    shared: list[Array]  # columns that it shares
    indices: list[Array]  # of these among all shared coefficients
    unit: Array  # precision of each regression, (K,)
    factors: list[tuple[Array, bool]]  # of the matrices of the own columns
    cross: list[Array]  # of own and shared columns, (o, s)
    solved: list[Array]  # the matrices of the own columns, inverted, times `cross`
    total: tuple[Array, bool] | None  # factor of the system of the shared coefficients, if any

    @classmethod
    def of(cls, matrices: Array, unit: Array, holders: Array) -> Arrowhead:
        """The system of matrices (K, d, d), which are in units of the inverse of `unit` (K,)."""
        numbers = np.arange(len(holders))[:, None]
        shared_by_several = (holders >= 0) & (n_sharing(holders) > 1.0)
        own = [np.flatnonzero(row) for row in (holders >= 0) & ~shared_by_several]
        shared = [np.flatnonzero(row) for row in shared_by_several]
        is_first = shared_by_several & (holders == numbers)
        index = (np.cumsum(is_first) - 1).reshape(is_first.shape)
        indices = [index[holders[k, columns], columns] for k, columns in enumerate(shared)]
        total = np.zeros((int(is_first.sum()),) * 2)
        factors, crosses, solved = [], [], []
        for k, matrix in enumerate(matrices):
            cross = matrix[np.ix_(own[k], shared[k])]
            factors.append(factorize_spd(matrix[np.ix_(own[k], own[k])]))
            crosses.append(cross)
            solved.append(solve_spd(factors[k], cross.T).T)
            reduced = matrix[np.ix_(shared[k], shared[k])] - cross.T @ solved[k]
            total[np.ix_(indices[k], indices[k])] += unit[k] * reduced
        factor = factorize_spd(total) if len(total) else None
        return cls(own, shared, indices, unit, factors, crosses, solved, factor)

    def _of_shared(self, rhs: Array) -> Array:
        """Solutions (r, S) of the system of the shared coefficients."""
        return rhs if self.total is None else solve_spd(self.total, rhs)

    @property
    def _n_shared(self) -> int:
        return 0 if self.total is None else len(self.total[0])

    def newton_step(self, gradient: Array) -> Array:
        """Steps (K, d) for gradients (K, d) in the units of the matrices."""
        step, total = np.zeros_like(gradient), np.zeros(self._n_shared)
        for k, index in enumerate(self.indices):
            reduced = gradient[k, self.shared[k]] - self.solved[k].T @ gradient[k, self.own[k]]
            total[index] += self.unit[k] * reduced
        common = self._of_shared(total[None])[0]
        for k, index in enumerate(self.indices):
            step[k, self.shared[k]] = common[index]
            rest = gradient[k, self.own[k]] - self.cross[k] @ common[index]
            step[k, self.own[k]] = solve_spd(self.factors[k], rest[None])[0]
        return step

    def covariances(self, n_columns: int) -> Array:
        """The joint inverse at the columns of each regression, in its units, (K, d, d)."""
        covariances = np.zeros((len(self.unit), n_columns, n_columns))
        inverse = self._of_shared(np.eye(self._n_shared))
        for k, index in enumerate(self.indices):
            own, shared, of_shared = self.own[k], self.shared[k], inverse[np.ix_(index, index)]
            through_shared = self.solved[k] @ of_shared
            alone = solve_spd(self.factors[k], np.eye(len(own)))
            cross = -self.unit[k] * through_shared
            covariances[k][np.ix_(own, own)] = alone - cross @ self.solved[k].T
            covariances[k][np.ix_(own, shared)] = cross
            covariances[k][np.ix_(shared, own)] = cross.T
            covariances[k][np.ix_(shared, shared)] = self.unit[k] * of_shared
        return covariances


def joint_newton_step(
    system: RidgeFactorization, gradient: Array, precision: Array, holders: Array
) -> Array:
    """Newton steps (K * m, 1, d) of K regressions, whose coefficients have `holders` (K, d).

    `gradient` (K, m, d) and the matrices of the system, (K * m, d, d), are in units of the inverse
    of `precision` (K, m). The penalty of a shared coefficient has equal parts.
    """
    step = np.empty_like(gradient)
    for rows, output, *parts in joint_parts(system, precision, holders):
        step[rows, output] = Arrowhead.of(*parts).newton_step(gradient[rows, output])
    return step.reshape(-1, 1, gradient.shape[-1])


def joint_covariances(system: RidgeFactorization, precision: Array, holders: Array) -> Array:
    """The inverse of the joint matrix at the columns of each regression, in its units.

    Its shape is (K, m, d, d), and the arguments are those of `joint_newton_step`.
    """
    n_columns = holders.shape[1]
    covariances = np.empty((*precision.shape, n_columns, n_columns))
    for rows, output, *parts in joint_parts(system, precision, holders):
        covariances[rows, output] = Arrowhead.of(*parts).covariances(n_columns)
    return covariances


def joint_parts(
    system: RidgeFactorization, precision: Array, holders: Array
) -> Iterator[tuple[slice, int, Array, Array, Array]]:
    """The regressions of each output, in groups that share nothing with others.

    For each group its slice, the output, penalised matrices, precisions and holders in the group.
    """
    matrices = system.gram.reshape(*precision.shape, *system.gram.shape[1:])
    diagonal = system.ridge / n_sharing(holders)
    matrices = matrices + diagonal[:, None, :, None] * np.eye(holders.shape[1])
    own = np.arange(len(holders))
    least = np.where(holders < 0, own[:, None], holders).min(axis=1)  # whom one shares with
    starts = np.flatnonzero(np.minimum.accumulate(least[::-1])[::-1] >= own)
    for start, end in pairwise([*starts.tolist(), len(holders)]):
        rows = slice(start, end)
        of_rows = np.where(holders[rows] < 0, -1, holders[rows] - start)
        for output in range(precision.shape[1]):
            yield rows, output, matrices[rows, output], precision[rows, output], of_rows
