"""Coefficients of given signs, which regressions lack or share: their joint system, and its steps.

Each shared coefficient occurs once in the joint system. The *holder* of a coefficient of a
regression is the regression itself, or the first one of those that share the coefficient, or -1
where the regression lacks it.

A sign is 1 for a coefficient that is at least zero, -1 for one that is at most zero, and 0 for any
other. The active-set method for the quadratic model with bounds is that of non-negative least
squares [1]_, begun at the coefficients that are zero already. As the quadratic is concave, no step
is worse than none.

References
----------
.. [1] C. L. Lawson and R. J. Hanson (1974), "Solving Least Squares Problems", Prentice-Hall,
   chapter 23.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from skmoe._numerics.linalg import (
    RidgeFactorization,
    factorize_spd,
    ridge_newton_step,
    solve_spd,
)
from skmoe._numerics.typing import TINY, Array

# Why experts keep their order.
OWN_SLOPES = "its experts have slopes of their own, in the order of the user"


def slope_holders(slopes: Sequence[Sequence[int]], has_slopes: Array, n_columns: int) -> Array:
    """Holders (K, d) of the coefficients of K experts, the last of which is the intercept.

    `slopes` have a row of numbers for each expert: equal numbers in a column are one slope, and -1
    is none. Columns beyond those of the rows have a slope for each expert. More experts than rows
    are those of several fits. `has_slopes` (K,) are the experts that depend on the features.
    """
    n_experts = len(has_slopes)
    if not len(slopes) and has_slopes.all():
        return np.broadcast_to(np.arange(n_experts)[:, None], (n_experts, n_columns))
    n_rows = len(slopes) or n_experts
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


def equal_parts(holders: Array) -> Array:
    """Part that each regression has in a coefficient, (K, d): one unless it is shared."""
    if (holders == np.arange(len(holders))[:, None]).all():
        return np.broadcast_to(1.0, holders.shape)  # no memory for each of many columns
    return 1.0 / holder_sums(holders, np.ones(holders.shape))


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
    diagonal = system.ridge * equal_parts(holders)
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


# Gradients of coefficients in units of their curvature, relative to the largest one, that lead away
# from a bound by no more than round-off.
GRADIENT_RTOL = 1e-12

# Most changes of the active set, for each coefficient.
MAX_CHANGES_PER_COEFFICIENT = 10


def with_signs(coef: Array, signs: Array) -> Array:
    """Coefficients with zeros in the place of those that do not have their sign."""
    return np.where(signs * coef < 0.0, 0.0, coef)


def is_held(coef: Array, signs: Array) -> Array:
    """Which coefficients are zero because of their sign."""
    return (signs != 0) & (coef == 0.0)


def signed_step(matrix: Array, gradient: Array, coef: Array, signs: Array) -> Array:
    """Step (d,) with the largest gain g's - s'Hs / 2 after which coefficients have their signs.

    The matrix H (d, d) is positive semidefinite, and the coefficients have their signs before.
    """
    diagonal = np.diag(matrix)
    unit = 1.0 / np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))
    matrix, gradient, start = matrix * unit[:, None] * unit, gradient * unit, coef / unit
    step, held = np.zeros_like(coef), is_held(coef, signs) & (signs * gradient <= 0.0)
    least = GRADIENT_RTOL * np.abs(gradient).max(initial=0.0)
    for _ in range(MAX_CHANGES_PER_COEFFICIENT * len(coef)):
        free, ahead = ~held, step.copy()
        if free.any():
            rest = gradient[free] - matrix[np.ix_(free, held)] @ step[held]
            ahead[free] = solve_spd(factorize_spd(matrix[np.ix_(free, free)]), rest[None])[0]
        beyond = free & (signs * (start + ahead) < 0.0)
        if beyond.any():
            way = (start + step)[beyond] / (step - ahead)[beyond]
            step += way.min() * (ahead - step)
            held[np.flatnonzero(beyond)[way == way.min()]] = True
            step[held] = -start[held]
            continue
        step = ahead
        inward = np.where(held, signs * (gradient - matrix @ step), 0.0)
        if inward.max(initial=0.0) <= least:
            break
        held[inward.argmax()] = False
    return np.where(held, -coef, step * unit)


def constrained_steps(
    system: RidgeFactorization,
    gradient: Array,
    coef: Array,
    signs: Array,
    joint: tuple[Array, Array] | None,
    step: Any = 1.0,
) -> Array:
    """Newton steps (S, r, d) of the S matrices of a system, for coefficients (K, m, d) with signs.

    Regressions that share or lack coefficients have their precision and `holders` in `joint`. The
    steps of others are scaled by `step`, so that a slope that would pass its bound is exactly zero.
    Where Newton's step itself keeps the signs, it is the best one; otherwise matrices are formed.
    """
    if joint is not None:
        return joint_newton_steps(system, gradient, coef, signs, *joint)
    shape = len(system.weight), -1, gradient.shape[-1]
    gradient, coef = (step * gradient).reshape(shape), coef.reshape(shape)
    change = ridge_newton_step(system, gradient)
    for k, i in np.argwhere((signs * (coef + change) < 0.0).any(axis=-1)):
        matrix = system.gram[k] + np.diag(system.ridge)
        change[k, i] = signed_step(matrix, gradient[k, i], coef[k, i], signs)
    return change


def joint_newton_steps(
    system: RidgeFactorization,
    gradient: Array,
    coef: Array,
    signs: Array,
    precision: Array,
    holders: Array,
) -> Array:
    """Newton steps (K * m, 1, d) of K regressions with `holders` (K, d), which keep their signs.

    Gradient and coefficients are (K, m, d), and signs (d,). For `precision` (K, m) see
    `joint_covariances`.
    """
    step = np.empty_like(gradient)
    for rows, i, unit, index, joint in joint_parts(system, precision, holders):
        slope, value, sign = np.zeros((3, len(joint) + 1))
        np.add.at(slope, index, unit[:, None] * gradient[rows, i])
        value[index], sign[index] = coef[rows, i], signs
        found = signed_step(joint, slope[:-1], value[:-1], sign[:-1])
        step[rows, i] = np.append(found, 0.0)[index]
    return step.reshape(-1, 1, gradient.shape[-1])


def step_within(step: Array, inverse: Array, normals: Array, room: Array) -> Array:
    """A Newton step (T,) within linear bounds, `normals @ step <= room`, with room from zero.

    It goes up to the first bound, and from there to the maximum along this bound, and so on.
    `inverse` (T, T) is that of the curvature. The quadratic model never falls on this way.
    """
    total, active = np.zeros(len(step)), np.zeros(len(room), dtype=bool)
    while not active.all():
        ahead = np.where(active, 0.0, normals @ step)
        fraction = np.divide(room, ahead, where=ahead > 0.0, out=np.full(len(room), np.inf))
        first = int(fraction.argmin())
        part = min(float(fraction[first]), 1.0)
        total, room = total + part * step, np.maximum(room - part * ahead, 0.0)
        if part == 1.0:
            break
        active[first] = True
        held, rest = normals[active], (1.0 - part) * step
        system = np.linalg.pinv(held @ inverse @ held.T)
        step = rest - inverse @ held.T @ (system @ (held @ rest))
    return total
