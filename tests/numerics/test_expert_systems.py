"""Systems of experts with shared slopes or other units, and tails of the beta function."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import special

from skmoe._numerics.incomplete_beta import log_beta_fraction
from skmoe._numerics.linalg import factorize_ridge, rescale_coefficients, used_columns
from skmoe._numerics.signed_steps import joint_covariances, joint_newton_steps, slope_holders


def test_incomplete_beta_function_equals_that_of_scipy():
    rng = np.random.default_rng(0)
    a, b = np.exp(rng.uniform(-2.0, 6.0, size=(2, 400)))
    x = rng.uniform(0.02, 0.98, size=400) * a / (a + b)
    found = log_beta_fraction(a, b, x, a - (a + b) * x)
    tail = special.betainc(a, b, x)
    is_exact = tail > 1e-290  # smaller ones have lost digits
    assert is_exact.mean() > 0.8
    a, b, x = a[is_exact], b[is_exact], x[is_exact]
    expected = np.log(tail[is_exact]) + special.betaln(a, b) - a * np.log(x) - b * np.log1p(-x)
    assert_allclose(found[is_exact], expected, rtol=1e-9, atol=1e-9)


# For each regression the numbers of its slopes: equal ones are one slope, and -1 is none.
SLOPES = [
    [(0, 1, 2), (0, 1, 2), (0, 1, 2)],
    [(0, 0, 0), (0, 1, 1), (2, 1, 2)],
    [(0, -1, 0), (1, -1, 0), (1, 2, -1)],
    [(-1, 0, 0), (1, -1, 1), (2, 2, -1)],
]


@pytest.mark.parametrize("slopes", SLOPES)
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_steps_and_covariances_solve_the_joint_system(slopes, n_outputs):
    """The quadratic of all experts, in whose coordinates each slope occurs once."""
    rng, n_experts, n_columns = np.random.default_rng(0), 3, 4
    roots = rng.normal(size=(n_experts * n_outputs, n_columns, 9))
    grams, ridge = roots @ roots.transpose(0, 2, 1), np.array([0.7, 0.7, 0.7, 0.0])
    gradient = rng.normal(size=(n_experts, n_outputs, n_columns))
    precision = rng.uniform(0.5, 3.0, size=(n_experts, n_outputs))
    system = factorize_ridge(grams, ridge)
    holders = slope_holders(slopes, np.ones(n_experts, dtype=bool), n_columns)
    assert_array_equal(holders[:, -1], np.arange(n_experts))
    free = np.zeros_like(gradient), np.zeros(n_columns)
    found = joint_newton_steps(system, gradient, *free, precision, holders)
    found = found.reshape(n_experts, n_outputs, n_columns)
    covariances = joint_covariances(system, precision, holders)
    # The matrix from the distinct slopes to the coefficients of all regressions.
    names = [(slopes[k][j], j) if j < 3 else (k, j) for k in range(n_experts) for j in range(4)]
    distinct = sorted({name for name in names if name[0] >= 0})
    design = np.array([[float(name == one) for one in distinct] for name in names])
    matrices = grams.reshape(n_experts, n_outputs, n_columns, n_columns)
    n_sharing = (design @ design.sum(axis=0)).reshape(n_experts, n_columns)
    for output in range(n_outputs):
        total = np.zeros((n_experts, n_columns, n_experts, n_columns))
        for k in range(n_experts):
            penalty = np.diag(ridge / np.maximum(n_sharing[k], 1.0))
            total[k, :, k] = precision[k, output] * (matrices[k, output] + penalty)
        total = design.T @ total.reshape(len(design), -1) @ design
        right = precision[:, output, None] * gradient[:, output]
        solved = design @ np.linalg.solve(total, design.T @ right.ravel())
        assert_allclose(found[:, output].ravel(), solved, rtol=1e-8, atol=1e-10)
        inverse = design @ np.linalg.inv(total) @ design.T
        inverse = inverse.reshape(n_experts, n_columns, n_experts, n_columns)
        for k in range(n_experts):
            expected = precision[k, output] * inverse[k, :, k]
            assert_allclose(covariances[k, output], expected, rtol=1e-8, atol=1e-10)


def test_rescaled_coefficients_of_constant_columns_are_zero():
    rng = np.random.default_rng(0)
    slope, shift = np.array([0.5, 0.0, 3.0]), np.array([0.3, 1.2, -2.0])
    x_map = np.diag([*slope, 1.0])
    x_map[:-1, -1] = shift
    design = np.column_stack([rng.normal(size=(20, 3)), np.ones(20)])
    design[:, 1] = 0.0  # a constant column is standardised to zero
    coef = rng.normal(size=(2, 3, 4))
    found = rescale_coefficients(coef, x_map)
    assert_allclose(found @ (design @ x_map.T).T, coef @ design.T)
    assert_array_equal(found[..., 1], 0.0)


def test_columns_are_used_if_any_vector_has_a_slope_there():
    """The intercept counts also if it is zero."""
    coef = np.zeros((2, 3, 4))
    assert_array_equal(used_columns(coef), [False, False, False, True])
    coef[1, 0, 2] = 1e-300
    assert_array_equal(used_columns(coef), [False, False, True, True])
    assert_array_equal(used_columns(np.zeros((2, 1))), [True])
