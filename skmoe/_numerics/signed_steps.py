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

from skmoe._numerics.linalg import (
    RidgeFactorization,
    factorize_spd,
    ridge_newton_step,
    solve_spd,
)
from skmoe._numerics.shared_slopes import joint_parts
from skmoe._numerics.typing import Array

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
