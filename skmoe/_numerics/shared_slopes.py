"""Ridge regressions that lack some coefficients, and are equal in others.

Each coefficient occurs once in their joint system.

The *holder* of a coefficient of a regression is the regression itself, or the first one of those
that share the coefficient, or -1 where the regression lacks it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from skmoe._numerics.linalg import RidgeFactorization, factorize_spd, solve_spd
from skmoe._numerics.typing import TINY, Array

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


def joint_coordinates(holders: Array) -> tuple[Array, int]:
    """Coordinates (K, d) in which each coefficient occurs once, and their number S.

    Those that are lacked have the coordinate S.
    """
    n_columns = holders.shape[1]
    names = np.where(holders < 0, holders.size, holders * n_columns + np.arange(n_columns))
    distinct, index = np.unique(names, return_inverse=True)
    return index.reshape(holders.shape), int((distinct < holders.size).sum())


def joint_covariances(system: RidgeFactorization, precision: Array, holders: Array) -> Array:
    """The inverse of the joint matrix at the columns of each regression, in its units.

    The matrices of the system, (K * m, d, d), are in units of the inverse of `precision` (K, m).
    The penalty of a shared coefficient has equal parts. The shape is (K, m, d, d), with zeros for
    coefficients that are lacked.
    """
    covariances = np.zeros((*precision.shape, holders.shape[1], holders.shape[1]))
    for rows, output, unit, index, joint in joint_parts(system, precision, holders):
        if len(joint):
            scale = 1.0 / np.sqrt(np.maximum(np.diag(joint), TINY))
            factor = factorize_spd(joint * scale[:, None] * scale)
            inverse = np.pad(solve_spd(factor, np.diag(scale)) * scale, (0, 1))
            own = inverse[index[:, :, None], index[:, None]]
            covariances[rows, output] = unit[:, None, None] * own
    return covariances


def joint_parts(
    system: RidgeFactorization, precision: Array, holders: Array
) -> Iterator[tuple[slice, int, Array, Array, Array]]:
    """The joint systems of each output, of regressions in groups that share nothing with others.

    For each group its slice, the output, precisions, coordinates, and the matrix (S, S) in these.
    """
    matrices = system.gram.reshape(*precision.shape, *system.gram.shape[1:])
    diagonal = system.ridge / n_sharing(holders)
    matrices = matrices + diagonal[:, None, :, None] * np.eye(holders.shape[1])
    own = np.arange(len(holders))
    least = np.where(holders < 0, own[:, None], holders).min(axis=1)  # whom one shares with
    starts = np.flatnonzero(np.minimum.accumulate(least[::-1])[::-1] >= own)
    for start, end in pairwise([*starts.tolist(), len(holders)]):
        rows = slice(start, end)
        for output in range(precision.shape[1]):
            unit = precision[rows, output]
            is_held = (holders[rows] >= 0) & (unit[:, None] > 0.0)
            index, size = joint_coordinates(np.where(is_held, holders[rows] - start, -1))
            joint = np.zeros((size + 1, size + 1))
            terms = unit[:, None, None] * matrices[rows, output]
            np.add.at(joint, (index[:, :, None], index[:, None]), terms)
            yield rows, output, unit, index, joint[:-1, :-1]
