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

from collections.abc import Sequence

import numpy as np

from skmoe._numerics.linalg import inverse_of
from skmoe._numerics.typing import Array


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


# Gradients of coefficients in units of their curvature, relative to the largest one, that lead away
# from a bound by no more than round-off.
GRADIENT_RTOL = 1e-12

# Most changes of the active set, for each coefficient.
MAX_CHANGES_PER_COEFFICIENT = 10


def signed_step(matrix: Array, gradient: Array, coef: Array, signs: Array) -> Array:
    """Step (d,) with the largest gain g's - s'Hs / 2 after which coefficients have their signs.

    The matrix H (d, d) is positive semidefinite, and the coefficients have their signs before.
    """
    diagonal = np.diag(matrix)
    unit = 1.0 / np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))
    matrix, gradient, start = matrix * unit[:, None] * unit, gradient * unit, coef / unit
    # Coefficients that are zero because of their sign.
    step, held = np.zeros_like(coef), (signs != 0) & (coef == 0.0) & (signs * gradient <= 0.0)
    least = GRADIENT_RTOL * np.abs(gradient).max(initial=0.0)
    for _ in range(MAX_CHANGES_PER_COEFFICIENT * len(coef)):
        free, ahead = ~held, step.copy()
        if free.any():
            rest = gradient[free] - matrix[np.ix_(free, held)] @ step[held]
            ahead[free] = inverse_of(matrix[np.ix_(free, free)]) @ rest
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


def step_within(step: Array, inverse: Array, normals: Array, room: Array) -> Array:
    """A Newton step (T,) within linear bounds, `normals @ step <= room`, of room that is positive.

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
