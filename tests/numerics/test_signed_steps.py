"""Newton steps that keep signs maximise the quadratic among the coefficients with these signs."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import lsq_linear

from skmoe._numerics.linalg import factorize_ridge
from skmoe._numerics.signed_steps import (
    constrained_steps,
    signed_step,
    with_signs,
)


def quadratic(rng, n_columns):
    """A design with a target, coefficients with random signs, and these."""
    design = rng.normal(size=(30, n_columns)) @ rng.normal(size=(n_columns, n_columns))
    signs = rng.integers(-1, 2, size=n_columns)
    start = rng.normal(size=n_columns) * rng.integers(0, 2, size=n_columns)
    return design, rng.normal(size=30), with_signs(start, signs), signs


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


def is_optimal(slope, coef, signs):
    """Whether gradients are zero, or lead to the other side of coefficients held at zero."""
    held = (signs != 0) & (coef == 0.0)
    return np.where(held, signs * slope, np.abs(slope)) < 1e-8


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_steps_of_regressions_are_optimal_for_each_of_them(n_outputs):
    rng, signs, ridge = np.random.default_rng(1), np.array([1, -1, 0, 1]), np.full(4, 0.3)
    roots = rng.normal(size=(3, 4, 9))
    grams = roots @ roots.transpose(0, 2, 1)
    coef = with_signs(rng.normal(size=(3, n_outputs, 4)), signs)
    gradient = 3.0 * rng.normal(size=coef.shape)
    step = constrained_steps(factorize_ridge(grams, ridge), gradient, coef, signs, None)
    slope = gradient - step @ (grams + np.diag(ridge))
    assert ((coef + step)[..., signs != 0] == 0.0).any()
    assert (signs * (coef + step) >= 0.0).all()
    assert is_optimal(slope, coef + step, signs).all()


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_steps_of_shared_and_missing_columns_are_optimal_together(n_outputs):
    """The first expert has not the third column; the others share it, and all share the first."""
    rng, signs, ridge = np.random.default_rng(2), np.array([1, -1, 0, 1]), np.full(4, 0.3)
    roots = rng.normal(size=(3 * n_outputs, 4, 9))
    grams = roots @ roots.transpose(0, 2, 1)
    holders = np.array([[0, 0, -1, 0], [0, 1, 1, 1], [0, 2, 1, 2]])
    coef = with_signs(rng.normal(size=(3, n_outputs, 4)), signs)
    coef[..., 0], coef[0, :, 2], coef[2, :, 2] = coef[:1, :, 0], 0.0, coef[1, :, 2]
    gradient = 3.0 * rng.normal(size=coef.shape)
    precision = rng.uniform(0.5, 3.0, size=(3, n_outputs))
    system = factorize_ridge(grams, ridge)
    step = constrained_steps(system, gradient, coef, signs, (precision, holders))
    step = step.reshape(coef.shape)
    assert_array_equal(step[0, :, 2], 0.0)
    # Each expert has its part of the penalty on a slope that it shares.
    n_sharing = np.array([[3, 1, 1, 1], [3, 1, 2, 1], [3, 1, 2, 1]])[:, None]
    product = np.einsum("kmij,kmj->kmi", grams.reshape(3, n_outputs, 4, 4), step)
    slope = precision[..., None] * (gradient - product - ridge / n_sharing * step)
    slope[..., 0], slope[0, :, 2] = slope[..., 0].sum(axis=0), 0.0
    slope[1:, :, 2] = slope[1:, :, 2].sum(axis=0)
    assert_allclose(step[1, :, 2], step[2, :, 2], atol=1e-12)
    assert_allclose(np.ptp(step[..., 0], axis=0), 0.0, atol=1e-12)
    assert ((coef + step)[..., signs != 0] == 0.0).any()
    assert (signs * (coef + step) >= 0.0).all()
    assert is_optimal(slope, coef + step, signs).all()
