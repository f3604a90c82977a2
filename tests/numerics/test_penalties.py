"""Penalties of slopes: sums, dropped features, the common penalty, and posterior covariances."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skmoe._numerics.evidence import (
    DROPPED,
    MAX_PENALTY,
    MIN_PENALTY,
    PRIOR_COEFFICIENTS,
    Slopes,
    common_penalty,
    feature_penalties,
    is_dropped,
    n_determined_slopes,
    ridge_slopes,
    slope_penalty,
    without_dropped,
)
from skmoe._numerics.linalg import ridge_diagonal, weighted_grams

COEF = np.arange(1.0, 25.0).reshape(2, 3, 4)


def test_a_penalty_is_half_of_the_weighted_squares_of_slopes():
    """Intercepts, which come last, are free."""
    assert_allclose(slope_penalty(2.0, COEF), (COEF[..., :3] ** 2).sum())
    alpha = (1.0, 0.0, 3.0)
    expected = 0.5 * (COEF[..., 0] ** 2).sum() + 1.5 * (COEF[..., 2] ** 2).sum()
    assert_allclose(slope_penalty(alpha, COEF), expected)
    assert slope_penalty(2.0, COEF[..., 3:]) == 0.0


def test_dropped_features_have_no_slopes():
    alpha = (1.0, DROPPED, 0.5 * DROPPED)
    assert is_dropped(alpha).tolist() == [False, True, False]
    expected = COEF.copy()
    expected[..., 1] = 0.0
    assert_array_equal(without_dropped(COEF, alpha), expected)
    assert without_dropped(COEF, 1.0) is COEF
    assert without_dropped(COEF, (1.0, 2.0, 0.5 * DROPPED)) is COEF
    alone = np.ones((2, 1))
    assert without_dropped(alone, ()) is alone


@pytest.mark.parametrize("default", [0.0, 1e-9, 1.0, 50.0])
def test_one_penalty_is_the_number_of_determined_slopes_over_their_squares(default):
    rng = np.random.default_rng(0)
    values, gradient = rng.normal(size=(2, 3)), np.zeros((2, 3))
    root = rng.normal(size=(2, 3, 3))
    covariances = 0.01 * np.einsum("sij,skj->sik", root, root)
    for weight in (1.0, 0.5, np.array([[1.0, 0.5, 0.0]] * 2)):
        slopes = Slopes(values, covariances, gradient, weight)
        variances = np.array([np.diag(covariance) for covariance in covariances])
        share = np.broadcast_to(weight, (2, 3))
        determined = share * np.maximum(1.0 - 2.0 * share * variances, 0.0)
        assert_allclose(n_determined_slopes(2.0, slopes), determined.sum(axis=1))
        expected = (determined.sum() + PRIOR_COEFFICIENTS) / (
            (share * values**2).sum() + PRIOR_COEFFICIENTS / (3 * max(default, MIN_PENALTY))
        )
        assert_allclose(common_penalty(2.0, slopes, default), expected)
    tiny, huge = (
        Slopes(0.0 * values, covariances, gradient),
        Slopes(1e9 * values, covariances, gradient),
    )
    assert common_penalty(2.0, tiny, 1e9) == MAX_PENALTY
    assert common_penalty(2.0, huge, 1.0) == MIN_PENALTY
    assert len(feature_penalties(2.0, slopes)) == 3


def test_slopes_of_regressions_are_those_of_all_outputs_with_their_covariances():
    rng = np.random.default_rng(1)
    design = rng.normal(size=(2, 30, 4))
    hessians = np.einsum("kni,knj->kij", design, design)
    ridge = np.array([1.0, 2.0, 3.0, 0.0])
    coef, gradient = rng.normal(size=(2, 2, 2, 4))
    for given, n_of_each in ((hessians, 2), (np.repeat(hessians, 2, axis=0), 1)):
        found = ridge_slopes(given, ridge, coef, gradient)
        assert_array_equal(found.values, coef.reshape(4, 4)[:, :3])
        assert_array_equal(found.gradient, gradient.reshape(4, 4)[:, :3])
        for s in range(4):
            hessian = given[s // n_of_each]
            inverse = np.linalg.inv(hessian + np.diag(ridge))
            assert_allclose(found.covariances[s], inverse[:3, :3])


def test_covariances_of_a_singular_matrix_are_finite_and_large_where_nothing_is_known():
    """The inverse of the Hessian along its only direction, and next to infinite across it."""
    hessian = np.zeros((1, 3, 3))
    hessian[0, :2, :2] = np.array([[1.0, 1.0], [1.0, 1.0]]) - 1e-9 * np.eye(2)
    hessian[0, 2, 2] = 1.0
    zero = np.zeros((1, 1, 3))
    [found] = ridge_slopes(hessian, np.zeros(3), zero, zero).covariances
    along, across = np.array([1.0, 1.0]), np.array([1.0, -1.0])
    assert np.isfinite(found).all()
    assert_allclose(along @ found @ along, 1.0, rtol=1e-6)
    assert across @ found @ across > 1e9
    assert np.isfinite(ridge_slopes(0.0 * hessian, np.zeros(3), zero, zero).covariances).all()


def test_slopes_of_matrices_not_formed_have_the_variances_of_their_diagonals():
    rng = np.random.default_rng(0)
    design = np.column_stack([rng.normal(size=(10, 1001)), np.ones(10)])
    weights, ridge = rng.uniform(0.5, 1.0, size=(2, 10)), ridge_diagonal(0.7, 1002)
    coef, gradient = rng.normal(size=(2, 2, 3, 1002))
    found = ridge_slopes(weighted_grams(design, weights), ridge, coef, gradient)
    expected = 1.0 / (weights @ design**2 + ridge)[:, :-1]
    assert_allclose(found.covariances, np.repeat(expected, 3, axis=0))
    assert_array_equal(found.values, coef.reshape(6, -1)[:, :-1])
    assert_array_equal(found.gradient, gradient.reshape(6, -1)[:, :-1])
