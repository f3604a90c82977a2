"""Newton steps of coefficients whose signs are given: a quadratic model with bounds.

A sign is 1 for a coefficient that is at least zero, -1 for one that is at most zero, and 0 for any
other. The active-set method is that of non-negative least squares [1]_, begun at the coefficients
that are zero already. As the quadratic is concave, no step is worse than none.

References
----------
.. [1] C. L. Lawson and R. J. Hanson (1974), "Solving Least Squares Problems", Prentice-Hall,
   chapter 23.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from skmoe._numerics.arrowhead import holder_sums, joint_newton_step
from skmoe._numerics.linalg import (
    RidgeFactorization,
    factorize_spd,
    ridge_newton_step,
    solve_spd,
)
from skmoe._numerics.typing import Array

# Gradients, relative to the square root of the diagonal of the matrix and to the largest one, that
# lead away from a bound by no more than round-off.
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
    step, held = np.zeros_like(coef), is_held(coef, signs) & (signs * gradient <= 0.0)
    unit = 1.0 / np.sqrt(np.maximum(np.diag(matrix), np.finfo(float).tiny))
    least = GRADIENT_RTOL * np.abs(gradient * unit).max(initial=0.0)
    for _ in range(MAX_CHANGES_PER_COEFFICIENT * len(coef)):
        free = ~held
        known = matrix[np.ix_(free, held)] @ step[held]
        ahead = step.copy()
        if free.any():
            factor = factorize_spd(matrix[np.ix_(free, free)])
            ahead[free] = solve_spd(factor, (gradient[free] - known)[None])[0]
        beyond = free & (signs * (coef + ahead) < 0.0)
        if beyond.any():
            way = (coef + step)[beyond] / (step - ahead)[beyond]
            step += way.min() * (ahead - step)
            held[np.flatnonzero(beyond)[way == way.min()]] = True
            step[held] = -coef[held]
            continue
        step = ahead
        inward = np.where(held, signs * (gradient - matrix @ step) * unit, 0.0)
        if inward.max(initial=0.0) <= least:
            break
        held[inward.argmax()] = False
    return step


def signed_ridge_steps(
    system: RidgeFactorization, gradient: Array, coef: Array, signs: Array
) -> Array:
    """Newton steps (K, m, d) of ridge regressions after which coefficients have their signs.

    Where Newton's step itself keeps the signs, it is the best one. The matrices are formed.
    """
    step = ridge_newton_step(system, gradient)
    violated = (signs * (coef + step) < 0.0).any(axis=-1)
    for k, i in np.argwhere(violated):
        matrix = system.gram[k] + np.diag(system.ridge)
        step[k, i] = signed_step(matrix, gradient[k, i], coef[k, i], signs)
    return step


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
    """
    if joint is not None:
        if signs.any():
            return signed_joint_steps(system, gradient, coef, signs, *joint)
        return joint_newton_step(system, gradient, *joint)
    shape = len(system.weight), -1, gradient.shape[-1]
    gradient, coef = gradient.reshape(shape), coef.reshape(shape)
    if signs.any():
        return signed_ridge_steps(system, step * gradient, coef, signs)
    return step * ridge_newton_step(system, gradient)


def signed_joint_steps(
    system: RidgeFactorization,
    gradient: Array,
    coef: Array,
    signs: Array,
    precision: Array,
    holders: Array,
) -> Array:
    """Newton steps (K * m, 1, d) of regressions that keep their signs, and `holders` (K, d).

    The arguments are those of `joint_newton_step`, with coefficients (K, m, d) and signs (d,).
    """
    n_experts, n_outputs, n_columns = gradient.shape
    is_first = holders == np.arange(n_experts)[:, None]
    numbers = (np.cumsum(is_first) - 1).reshape(holders.shape)
    ridge = system.ridge / holder_sums(holders, np.ones(holders.shape))
    matrices = system.gram.reshape(n_experts, n_outputs, n_columns, n_columns)
    columns, step = [np.flatnonzero(row >= 0) for row in holders], np.zeros_like(gradient)
    # Of the coordinates of the joint system, those of each regression.
    index = [numbers[holders[k, own], own] for k, own in enumerate(columns)]
    for i in range(n_outputs):
        size = int(is_first.sum())
        joint, slope, value, sign = np.zeros((size, size)), *np.zeros((3, size))
        for k in np.flatnonzero(precision[:, i]).tolist():
            own, at = columns[k], index[k]
            matrix = (matrices[k, i] + np.diag(ridge[k]))[np.ix_(own, own)]
            joint[np.ix_(at, at)] += precision[k, i] * matrix
            slope[at] += precision[k, i] * gradient[k, i, own]
            value[at], sign[at] = coef[k, i, own], signs[own]
        found = signed_step(joint, slope, value, sign)
        for k, own in enumerate(columns):
            step[k, i, own] = found[index[k]]
    return step.reshape(-1, 1, n_columns)
