"""Newton steps that keep signs maximise the quadratic among the coefficients with these signs."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import lsq_linear

from skmoe._numerics.signed_steps import are_exchangeable, signed_step, slope_holders


def quadratic(rng, n_columns):
    """A design with a target, coefficients with random signs, and these."""
    design = rng.normal(size=(30, n_columns)) @ rng.normal(size=(n_columns, n_columns))
    signs = rng.integers(-1, 2, size=n_columns)
    start = rng.normal(size=n_columns) * rng.integers(0, 2, size=n_columns)
    return design, rng.normal(size=30), np.where(signs * start < 0.0, 0.0, start), signs


@pytest.mark.parametrize("seed", range(40))
def test_step_leads_to_the_least_squares_of_scipy(seed):
    rng = np.random.default_rng(seed)
    design, y, coef, signs = quadratic(rng, rng.integers(1, 9))
    found = coef + signed_step(design.T @ design, design.T @ (y - design @ coef), coef, signs)
    assert (signs * found >= 0.0).all()
    bounds = np.where(signs > 0, 0.0, -np.inf), np.where(signs < 0, 0.0, np.inf)
    best = lsq_linear(design, y, bounds, method="bvls", tol=1e-14)
    assert_allclose(design @ found, design @ best.x, atol=1e-8)


def test_step_of_a_singular_matrix_keeps_signs_and_gains():
    """Columns that are equal, or zero."""
    column = np.random.default_rng(0).normal(size=30)
    design = np.column_stack([column, column, np.zeros(30)])
    step = signed_step(
        design.T @ design, -3.0 * design.T @ column, np.zeros(3), np.array([1, 0, 1])
    )
    assert_allclose(step, [0.0, -3.0, 0.0], atol=1e-12)


# For each expert the numbers of its slopes: equal ones are one slope, and -1 is none; the holder
# of each of them, and of the intercept; and whether experts can be exchanged.
HOLDERS = [
    ([], [[0, 0, 0], [1, 1, 1], [2, 2, 2]], True),
    ([(0, 0), (1, 0), (2, 0)], [[0, 0, 0], [1, 0, 1], [2, 0, 2]], True),
    ([(0, -1), (1, -1), (2, -1)], [[0, -1, 0], [1, -1, 1], [2, -1, 2]], True),
    ([(0, -1), (1, 1), (2, 1)], [[0, -1, 0], [1, 1, 1], [2, 1, 2]], False),
]


@pytest.mark.parametrize(("slopes", "holders", "exchangeable"), HOLDERS)
def test_holders_are_the_first_experts_with_a_slope(slopes, holders, exchangeable):
    assert slope_holders(slopes, np.ones(3, dtype=bool), 3).tolist() == holders
    assert (not slopes or are_exchangeable(slopes)) == exchangeable
    # An expert without predictor has no slopes, so that another one holds those that it would.
    without = slope_holders(slopes, np.array([False, True, True]), 3)
    assert (without[0, :-1] == -1).all()
    assert (without[1:, :-1] != 0).all()
