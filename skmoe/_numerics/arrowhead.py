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


def joint_coordinates(holders: Array, chosen: Array) -> tuple[Array, int]:
    """Coordinates (K, d) in which chosen coefficients occur once, and their number S.

    The other coefficients have the coordinate S.
    """
    n_columns = holders.shape[1]
    names = np.where(chosen, holders * n_columns + np.arange(n_columns), holders.size)
    distinct, index = np.unique(names, return_inverse=True)
    return index.reshape(holders.shape), int((distinct < holders.size).sum())


class Elimination(NamedTuple):
    """The joint system of K regressions for one output, without the columns of one regression."""

    inverses: Array  # of the matrices of the own columns, zero at other columns, (K, d, d)
    lift: Array  # from shared coefficients to the best of all of a regression, (K, d, d)
    coordinates: Array  # of the shared coefficients, see `joint_coordinates`, (K, d)
    factor: tuple[Array, bool]  # of the matrix in these coordinates, see `factorize_spd`

    @classmethod
    def of(cls, matrices: Array, unit: Array, holders: Array) -> Elimination:
        """The system of matrices (K, d, d), which are in units of the inverse of `unit` (K,)."""
        is_shared = (holders >= 0) & (n_sharing(holders) > 1.0)
        index, size = joint_coordinates(holders, is_shared)
        inverses, is_own = np.zeros(matrices.shape), (holders >= 0) & ~is_shared
        for k, matrix in enumerate(matrices):
            own = np.ix_(is_own[k], is_own[k])
            inverses[k][own] = solve_spd(factorize_spd(matrix[own]), np.eye(is_own[k].sum()))
        lift = (np.eye(holders.shape[1]) - inverses @ matrices) * is_shared[:, None]
        total = np.zeros((size + 1, size + 1))
        terms = unit[:, None, None] * (matrices @ lift)
        np.add.at(total, (index[:, :, None], index[:, None]), terms)
        matrix = total[:-1, :-1]
        return cls(inverses, lift, index, factorize_spd(matrix) if size else (matrix, False))


def joint_newton_step(
    system: RidgeFactorization, gradient: Array, precision: Array, holders: Array
) -> Array:
    """Newton steps (K * m, 1, d) of K regressions, whose coefficients have `holders` (K, d).

    `gradient` (K, m, d) and the matrices of the system, (K * m, d, d), are in units of the inverse
    of `precision` (K, m). The penalty of a shared coefficient has equal parts.
    """
    step = np.empty_like(gradient)
    for rows, output, matrices, unit, own in joint_parts(system, precision, holders):
        inverses, lift, index, factor = Elimination.of(matrices, unit, own)
        slope = gradient[rows, output, :, None]
        right = np.zeros(len(factor[0]) + 1)
        np.add.at(right, index, unit[:, None] * (lift.swapaxes(1, 2) @ slope)[..., 0])
        shared = np.append(solve_spd(factor, right[None, :-1]), 0.0)[index]
        step[rows, output] = (inverses @ slope + lift @ shared[..., None])[..., 0]
    return step.reshape(-1, 1, gradient.shape[-1])


def joint_covariances(system: RidgeFactorization, precision: Array, holders: Array) -> Array:
    """The inverse of the joint matrix at the columns of each regression, in its units.

    Its shape is (K, m, d, d), and the arguments are those of `joint_newton_step`.
    """
    covariances = np.empty((*precision.shape, holders.shape[1], holders.shape[1]))
    for rows, output, matrices, unit, own in joint_parts(system, precision, holders):
        inverses, lift, index, factor = Elimination.of(matrices, unit, own)
        inverse = np.pad(solve_spd(factor, np.eye(len(factor[0]))), (0, 1))
        through_shared = lift @ inverse[index[:, :, None], index[:, None]] @ lift.swapaxes(1, 2)
        covariances[rows, output] = inverses + unit[:, None, None] * through_shared
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
