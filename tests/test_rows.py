"""Scale, order and blocks of rows."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skmoe._data.duplicates import unique_weighted_rows
from skmoe._data.rows import Dataset, RawFeatures, split_into_blocks
from skmoe._data.scaling import design_matrix, fit_standardization, unstandardize_coefficients

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 3)) * [1e-8, 1.0, 1e8] + [0.0, 2000.0, 5.0]
WEIGHT = RNG.integers(1, 4, size=50).astype(float)


@pytest.fixture
def rng():
    """A generator of its own for each test."""
    return np.random.default_rng(0)


def test_scale_is_the_weighted_mean_and_deviation():
    center, spread = fit_standardization(X, WEIGHT)
    repeated = X.repeat(WEIGHT.astype(int), axis=0)
    assert_allclose(center, repeated.mean(axis=0))
    assert_allclose(spread, repeated.std(axis=0))


def test_sparse_columns_are_scaled_and_not_centred(rng):
    dense = np.where(rng.uniform(size=X.shape) < 0.3, X, 0.0)
    scale = fit_standardization(sparse.csr_array(dense), WEIGHT)
    assert_allclose(scale.scale, fit_standardization(dense, WEIGHT).scale)
    assert_array_equal(scale.center, 0.0)
    design = design_matrix(sparse.csr_array(dense), scale, None)
    assert sparse.issparse(design)
    assert_allclose(design.toarray()[:, :-1], dense / scale.scale)
    assert_array_equal(design.toarray()[:, -1], 1.0)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("value", [0.0, 0.1, 1e9, -3e-9])
def test_constant_columns_vanish(make, value):
    table = make(np.column_stack([np.full(50, value), X[:, 1]]))
    scale = fit_standardization(table, WEIGHT)
    assert scale.scale[0] == np.inf
    design = design_matrix(table, scale, None)
    assert_array_equal(np.asarray(design.todense() if make is not np.asarray else design)[:, 0], 0)


@pytest.mark.parametrize("factor", [1e-160, 1e160])
def test_scale_neither_overflows_nor_underflows(factor):
    spread = fit_standardization(X * factor, WEIGHT).scale
    assert_allclose(spread, fit_standardization(X, WEIGHT).scale * factor)


@pytest.mark.parametrize("columns", [None, np.array([2, 0])])
def test_coefficients_in_users_units_say_the_same(columns, rng):
    scale = fit_standardization(X, WEIGHT)
    coef = rng.normal(size=(2, 3 if columns is not None else 4))
    slopes, intercepts = unstandardize_coefficients(coef, scale, columns)
    expected = coef @ design_matrix(X, scale, columns).T
    assert_allclose(slopes @ X.T + intercepts[:, None], expected, atol=1e-6)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
def test_distinct_rows_do_not_depend_on_order_or_repeats(make, rng):
    table = np.round(rng.normal(size=(40, 3)) * [1e-9, 1.0, 1e9], 10)
    table[rng.uniform(size=table.shape) < 0.5] = 0.0
    y = rng.integers(0, 2, size=40)
    table, y = np.vstack([table, table[:10]]), np.append(y, y[:10])
    weight = rng.integers(1, 5, size=50).astype(float)
    index, merged = unique_weighted_rows(make(table), y, weight)
    whole = np.column_stack([table, y])
    assert len(index) == len(np.unique(whole, axis=0))
    assert merged.sum() == weight.sum()

    repeated = rng.permutation(np.arange(50).repeat(weight.astype(int)))
    again, counts = unique_weighted_rows(make(table[repeated]), y[repeated], np.ones(len(repeated)))
    assert_array_equal(whole[repeated][again], whole[index])
    assert_array_equal(counts, merged)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
def test_repeats_are_found_among_rows_whose_feature_and_target_change_places(make):
    table = np.tile([[0.0, 1.0], [1.0, 0.0]], (6, 1))
    index, merged = unique_weighted_rows(make(table[:, :1]), table[:, 1], np.ones(12))
    assert sorted(map(tuple, table[index])) == [(0.0, 1.0), (1.0, 0.0)]
    assert_array_equal(merged, [6.0, 6.0])


def test_rows_that_differ_in_the_last_bit_stay_apart():
    table = np.array([[1.0, 1e12], [np.nextafter(1.0, 2.0), 1e12], [0.0, 0.0]])
    index, _ = unique_weighted_rows(table, np.zeros(3), np.ones(3))
    assert len(index) == 3


def test_order_of_rows_survives_change_of_units(rng):
    y = rng.normal(size=50)
    index, _ = unique_weighted_rows(X, y, WEIGHT)
    stretched, _ = unique_weighted_rows(X * [3.0, 0.7, 1e3] + 7.0, 1e4 * y - 2.0, WEIGHT)
    assert_array_equal(index, stretched)


def test_blocks_put_together_are_the_rows(rng):
    design = design_matrix(X, fit_standardization(X, WEIGHT), None)
    rows = Dataset(design, design, rng.normal(size=(2, 50)), WEIGHT)
    blocks = split_into_blocks(rows, size=7)
    assert len(blocks) == 8
    assert all(block.gate_design is block.expert_design for block in blocks)
    assert_array_equal(np.vstack([block.expert_design for block in blocks]), design)
    assert_array_equal(np.hstack([block.y for block in blocks]), rows.y)
    assert_array_equal(np.concatenate([block.weight for block in blocks]), WEIGHT)


@pytest.mark.parametrize(("n_columns", "size"), [(1, 8192), (11, 8192), (21, 4096), (300, 2048)])
def test_blocks_of_narrow_tables_are_longer(n_columns, size):
    n_rows = 3 * size
    design = np.ones((n_rows, n_columns))
    rows = Dataset(design, design, np.ones((1, n_rows)), np.ones(n_rows))
    assert [len(block.weight) for block in split_into_blocks(rows)] == 3 * [size]


def test_raw_features_are_one_block():
    design = design_matrix(X, fit_standardization(X, WEIGHT), None)
    rows = Dataset(design, RawFeatures(X), np.ones((1, 50)), WEIGHT)
    assert split_into_blocks(rows, size=7) == [rows]
