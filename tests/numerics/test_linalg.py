"""Products with designs, sums over blocks and conjugate gradients."""

from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from threadpoolctl import threadpool_info, threadpool_limits

from skmoe._numerics.linalg import (
    OffsetDesign,
    conjugate_gradients,
    one_thread,
    product,
    split_offset,
    squared,
    sum_over_blocks,
    weighted_products,
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
    assert_allclose(product(coef, design.T), np.einsum("kcd,nd->kcn", coef, DESIGN))
    sums = np.einsum("kcn,nd->kcd", weights, DESIGN)
    assert_allclose(product(weights, design), sums)


MAKERS = {"array": np.asarray, "sparse": sparse.csr_array, "ones": lambda design: None}


@pytest.mark.parametrize("first", MAKERS)
@pytest.mark.parametrize("second", [*MAKERS, "same"])
@pytest.mark.parametrize("zero_weights", [0.0, 0.7, 1.0])
@pytest.mark.parametrize(
    ("n_columns", "n_weights", "zeros"), [(4, 1, 0.9), (4, 9, 0.3), (75, 3, 0.5)]
)
def test_products_of_columns_are_plain_sums(
    n_columns, n_weights, zeros, zero_weights, first, second
):
    rng = np.random.default_rng(0)
    design, other = design_of(200, n_columns, zeros), design_of(200, 3, zeros)
    weights = rng.uniform(0.1, 3.0, size=(n_weights, 200))
    weights[rng.uniform(size=weights.shape) < zero_weights] = 0.0
    weights[0, 0] = -1.0 if zero_weights else 1.0
    one = MAKERS[first](design)
    two = one if second == "same" else MAKERS[second](other)
    left = np.ones((200, 1)) if first == "ones" else design
    right = other if second != "same" else left
    right = np.ones((200, 1)) if second == "ones" else right
    expected = np.einsum("kn,nd,ne->kde", weights, left, right, optimize=True)
    assert_allclose(weighted_products(one, two, weights), expected, rtol=1e-9, atol=1e-10)


def threads_of_linear_algebra():
    return [found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"]


def test_threads_come_back_whatever_the_order_in_which_limits_end():
    """Fits in several threads overlap; two limits of the library would leave one thread."""
    with threadpool_limits(2, user_api="blas"):
        before = threads_of_linear_algebra()
        first, second = one_thread(), one_thread()
        first.__enter__()
        second.__enter__()
        assert threads_of_linear_algebra() == [1] * len(before)
        first.__exit__(None, None, None)
        second.__exit__(None, None, None)
        assert threads_of_linear_algebra() == before == [2] * len(before)
        with pytest.raises(ZeroDivisionError), one_thread():
            raise ZeroDivisionError
        assert threads_of_linear_algebra() == before
        with one_thread():  # the limit has been given back
            assert threads_of_linear_algebra() == [1] * len(before)


def test_squares_are_those_of_elements():
    columns = np.random.default_rng(0).normal(size=(4, 7))
    assert_allclose(squared(sparse.csr_array(columns)).toarray(), squared(columns))


class Sums(NamedTuple):
    """Sums that add up over blocks."""

    total: float
    matrices: tuple


def test_sums_over_blocks_add_all_fields():
    found = sum_over_blocks(lambda n: Sums(n, (np.full(2, n), None)), [1.0, 2.0, 4.0])
    assert isinstance(found, Sums)
    assert found.total == 7.0
    assert found.matrices[0].tolist() == [7.0, 7.0]
    assert found.matrices[1] is None
    own = sum_over_blocks(float, [1, 2], map_blocks=lambda function, blocks: [function(5)])
    assert own == 5.0


def test_products_with_designs_in_single_precision_are_in_double():
    rng = np.random.default_rng(0)
    design = DESIGN.astype(np.float32)
    weights, coef = np.stack([WEIGHT, WEIGHT[::-1]]), rng.normal(size=(2, 3, 4))
    for of_design, operand in (
        (lambda coef, design: product(coef, design.T), coef),
        (product, weights),
        (lambda weights, design: weighted_products(design, design, weights), weights),
    ):
        found = of_design(operand, design)
        assert found.dtype == np.float64
        assert_allclose(found, of_design(operand, DESIGN), rtol=1e-4, atol=1e-4)


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


@pytest.mark.parametrize("as_matrix", [np.asfortranarray, sparse.csr_array])
@pytest.mark.parametrize("shape", [(7,), (2, 7)])
def test_rows_of_a_design_keep_their_offset(as_matrix, shape):
    rng = np.random.default_rng(0)
    matrix, offset = as_matrix(rng.normal(size=(7, 3))), rng.normal(size=shape)
    design = OffsetDesign(matrix, offset)
    assert design.shape == (7, 3)
    for index in (slice(2, 5), np.array([6, 0]), np.arange(7) > 3):
        rows, own = split_offset(design[index])
        assert_array_equal(own, offset[..., index])
        assert abs(rows - matrix[index]).max() == 0.0
    assert split_offset(matrix) == (matrix, 0.0)


@pytest.mark.parametrize("seed", range(5))
def test_kept_products_are_those_of_their_own_design(seed):
    """Of sparse designs that are nearly dense, the dense copies live for one call only."""
    rng, kept = np.random.default_rng(seed), {}
    designs = [sparse.csr_array(rng.normal(size=(40, 3))) for _ in range(6)]
    for design in [*designs, *designs]:
        weights, dense = rng.normal(size=(4, 40)), design.toarray()
        expected = np.einsum("mn,nd,ne->mde", weights, dense, dense)
        assert_allclose(weighted_products(design, design, weights, kept), expected, atol=1e-12)
