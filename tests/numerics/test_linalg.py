"""Products with designs, Gram matrices, ridge systems and conjugate gradients, against sums."""

from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.linear_model import Ridge

from skmoe._numerics.linalg import (
    conjugate_gradients,
    factorize_ridge,
    gram_product,
    linear_predictor,
    ridge_diagonal,
    ridge_newton_step,
    weighted_column_sums,
    weighted_gram,
    weighted_grams,
)


def design_of(n_rows, n_columns, zeros=0.0):
    """Standard normal columns, of which a share of the entries is zero, and an intercept."""
    rng = np.random.default_rng(0)
    slopes = rng.normal(size=(n_rows, n_columns - 1))
    slopes[rng.uniform(size=slopes.shape) < zeros] = 0.0
    return np.column_stack([slopes, np.ones(n_rows)])


DESIGN = design_of(60, 4)
WEIGHT = np.random.default_rng(1).uniform(0.1, 2.0, size=60)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
def test_products_with_a_design_are_plain_sums(make):
    rng = np.random.default_rng(0)
    design = make(DESIGN)
    coef, weights = rng.normal(size=(2, 3, 4)), rng.uniform(size=(2, 3, 60))
    assert_allclose(linear_predictor(coef, design), np.einsum("kcd,nd->kcn", coef, DESIGN))
    sums = np.einsum("kcn,nd->kcd", weights, DESIGN)
    assert_allclose(weighted_column_sums(weights, design), sums)
    assert_allclose(weighted_gram(design, WEIGHT), (DESIGN.T * WEIGHT) @ DESIGN)


# Rows, columns and zeros of designs, numbers of weights and shares of their zeros, each of which
# is computed in another way.
GRAMS = {
    "one by one": (60, 4, 0.3, 2, 0.0),
    "all pairs of columns": (60, 4, 0.3, 7, 0.4),
    "half of the rows": (60, 4, 0.3, 1, 0.7),
    "symmetric products": (200, 75, 0.3, 2, 0.0),
    "rows without weight left out": (200, 75, 0.3, 3, 0.95),
    "a weight without rows": (60, 9, 0.3, 20, 1.0),
    "few entries": (200, 30, 0.98, 2, 0.0),
    "many entries": (200, 30, 0.5, 2, 0.4),
}


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("case", GRAMS)
def test_gram_matrices_are_plain_sums_whatever_way_they_are_computed(case, make):
    n_rows, n_columns, zeros, n_weights, zero_weights = GRAMS[case]
    rng = np.random.default_rng(0)
    design = design_of(n_rows, n_columns, zeros)
    weights = rng.uniform(0.1, 3.0, size=(n_weights, n_rows))
    weights[rng.uniform(size=weights.shape) < zero_weights] = 0.0
    weights[0, :2] = 1.0
    expected = np.einsum("kn,nd,ne->kde", weights, design, design, optimize=True)
    found = weighted_grams(make(design), weights)
    assert_allclose(found, expected, rtol=1e-9, atol=1e-10)
    assert_allclose(weighted_gram(make(design), weights[0]), expected[0], rtol=1e-9, atol=1e-10)
    coef = rng.normal(size=(n_weights, 3, n_columns))
    products = np.einsum("kde,kme->kmd", expected, coef)
    assert_allclose(gram_product(found, coef), products, rtol=1e-9, atol=1e-9)
    system = factorize_ridge(found, ridge_diagonal(2.0, n_columns))
    assert_allclose(system.weight, expected[:, -1, -1])


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
def test_matrices_too_large_to_be_formed_multiply_like_those_that_are(make):
    """Also as a sum over blocks of rows."""
    rng = np.random.default_rng(0)
    design = design_of(12, 1003)
    weights = rng.uniform(0.1, 2.0, size=(2, 12))
    first, second = (
        weighted_grams(make(design[rows]), weights[:, rows]) for rows in (slice(5), slice(5, None))
    )
    found = first + second
    coef = rng.normal(size=(2, 3, 1003))
    predictor = np.einsum("kme,ne->kmn", coef, design) * weights[:, None]
    product = np.einsum("kmn,nd->kmd", predictor, design)
    assert_allclose(gram_product(found, coef), product, rtol=1e-9, atol=1e-9)
    assert found.shape == (2, 1003, 1003)
    assert_allclose(found.diagonal(), weights @ design**2)
    system = factorize_ridge(found, ridge_diagonal(1.0, 1003))
    assert_allclose(system.weight, weights.sum(axis=1))
    # Truncated steps increase the objective g @ x - x @ A @ x / 2.
    gradient = rng.normal(size=(2, 1, 1003))
    step = ridge_newton_step(system, gradient)
    curvature = gram_product(found, step) + system.ridge * step
    assert ((gradient * step).sum(axis=-1) > 0.5 * (step * curvature).sum(axis=-1)).all()


def test_products_with_designs_in_single_precision_are_in_double():
    rng = np.random.default_rng(0)
    design = DESIGN.astype(np.float32)
    weights, coef = np.stack([WEIGHT, WEIGHT[::-1]]), rng.normal(size=(2, 3, 4))
    for product, operand in (
        (linear_predictor, coef),
        (weighted_column_sums, weights),
        (lambda weights, design: weighted_grams(design, weights), weights),
    ):
        found = product(operand, design)
        assert found.dtype == np.float64
        assert_allclose(found, product(operand, DESIGN), rtol=1e-4, atol=1e-4)


def test_newton_step_from_zero_is_ridge():
    y = np.random.default_rng(0).normal(size=(2, 60))
    system = factorize_ridge(weighted_gram(DESIGN, WEIGHT)[None], ridge_diagonal(3.0, 4))
    coef = ridge_newton_step(system, ((y * WEIGHT) @ DESIGN)[None])[0]
    model = Ridge(alpha=3.0).fit(DESIGN[:, :-1], y.T, sample_weight=WEIGHT)
    assert_allclose(coef[:, :-1], model.coef_, rtol=1e-8)
    assert_allclose(coef[:, -1], model.intercept_, rtol=1e-8)


def test_newton_step_of_a_singular_system_is_the_smallest():
    design = np.column_stack([DESIGN[:, :1], DESIGN[:, :1], np.ones(60)])
    y = 4.0 * design[:, :1].T + 1.0
    system = factorize_ridge(np.stack([design.T @ design, np.zeros((3, 3))]), np.zeros(3))
    changes = ridge_newton_step(system, np.stack([y @ design, np.zeros((1, 3))]))
    assert_allclose(changes[0], [[2.0, 2.0, 1.0]], rtol=1e-6)
    assert_allclose(changes[1], 0.0)


def test_conjugate_gradients_solve_each_system_and_are_never_worse_than_zero():
    rng = np.random.default_rng(0)
    roots = rng.normal(size=(3, 5, 5))
    matrices = np.einsum("kab,kcb->kac", roots, roots) + 0.1 * np.eye(5)
    right = rng.normal(size=(3, 5))
    right[1] = 0.0  # solved by zero
    diagonal = np.einsum("kaa->ka", matrices)
    product = partial(np.einsum, "kab,kb->ka", matrices)

    def solve(tol):
        return conjugate_gradients(product, right, diagonal, axes=(-1,), tol=tol)

    def value(at):
        return 0.5 * np.einsum("ka,kab,kb->k", at, matrices, at) - (right * at).sum(axis=1)

    assert_allclose(solve(1e-12), np.linalg.solve(matrices, right[..., None])[..., 0], rtol=1e-6)
    assert (value(solve(0.9))[[0, 2]] < 0.0).all()
    assert (solve(0.9)[1] == 0.0).all()


def test_conjugate_gradients_leave_coordinates_without_curvature_at_zero():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(5, 9))
    matrix = np.zeros((6, 6))
    matrix[:5, :5] = root @ root.T
    right = np.append(rng.normal(size=5), 0.0)
    found = conjugate_gradients(
        partial(np.matmul, matrix), right, np.diag(matrix), axes=(-1,), tol=1e-10
    )
    assert_allclose(found[:5], np.linalg.solve(matrix[:5, :5], right[:5]), rtol=1e-6)
    assert found[5] == 0.0
    flat = conjugate_gradients(np.zeros_like, np.full(6, 1e10), np.ones(6), axes=(-1,), tol=1e-10)
    assert (flat == 0.0).all()
