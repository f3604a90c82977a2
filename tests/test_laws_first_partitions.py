"""Units and rows at the start of a fit: features of units, shares, ranges and scales."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skmoe._data.encoding import make_encoder
from skmoe._data.feature_range import (
    RANGE_RTOL,
    fit_feature_range,
    is_outside_ranges,
    merge_feature_ranges,
)
from skmoe._data.rows import BLOCK_ELEMENTS, MAX_BLOCK_ROWS, SPARSE_BLOCK_ROWS, Dataset, _block_rows
from skmoe._data.scaling import (
    BLOCK_ROWS,
    CONSTANT_RTOL,
    Standardization,
    design_matrix,
    fit_standardization,
    safe_range,
)
from skmoe._data.units import Units
from skmoe._mixture.initialization import InitData
from skmoe._mixture.model import MixtureModel
from skmoe._mixture.runs import restricted
from skmoe._mixture.unit_initialization import (
    _standardised,
    responsibilities_of_units,
    unit_features,
)
from skmoe._numerics.typing import TINY

CONTAINERS = [np.asarray, sparse.csr_array]


# --- shares of units ------------------------------------------------------------------------------


class Restricted:
    """Experts of which the second has not made rows with negative y."""

    def restrict(self, resp, y):
        possible = np.ones(resp.shape)
        possible[1] = y[0] >= 0.0
        return resp * possible


def test_units_have_the_weighted_mean_of_the_shares_of_their_rows():
    rng = np.random.default_rng(0)
    sizes = np.array([2, 1, 3])
    weight = np.array([1.0, 3.0, 2.0, 5.0, 1.0, 2.0])
    y = np.array([[1.0, 2.0, -1.0, 1.0, 1.0, -3.0]])
    resp = rng.dirichlet(np.ones(3), size=6).T
    units = Units(np.array([0, 2, 3]), sizes, np.ones(3))
    design = np.ones((6, 1))
    rows = Dataset(design[:3], design, y, weight, units)
    found = responsibilities_of_units(Restricted(), resp, rows)
    for u, own in enumerate(([0, 1], [2], [3, 4, 5])):
        mean = np.average(resp[:, own], axis=1, weights=weight[own])
        if (y[0, own] < 0.0).any():
            mean[1] = 0.0
        assert_allclose(found[:, u], mean / mean.sum(), rtol=1e-9)
    # The same holds for shares of units.
    of_units = rng.dirichlet(np.ones(3), size=3).T
    again = restricted(MixtureModel(None, Restricted(), 3), of_units, rows)
    of_units[1, [1, 2]] *= [1.0 if y[0, 2] >= 0.0 else 0.0, 0.0]
    assert_allclose(again, of_units / of_units.sum(axis=0), rtol=1e-9)
    # Shares of zero do not make an expert of which the rows are possible impossible.
    certain = np.zeros((3, 6))
    certain[1] = 1.0
    found = responsibilities_of_units(Restricted(), certain, rows)
    assert_allclose(found[:, 0], [0.0, 1.0, 0.0], atol=2.0 * TINY**0.5)
    assert_allclose(found[:, 1], [0.5, 0.0, 0.5])
    assert (found[[0, 2], 0] > 0.0).all()


def test_a_column_of_zeros_changes_no_feature_of_a_unit():
    rng = np.random.default_rng(0)
    sizes, design = np.array([2, 3, 4, 3]), rng.normal(size=(12, 3))
    design[:, 2] = 1.0
    units = Units(np.cumsum(sizes) - sizes, sizes, np.ones(4))
    y, weight = rng.normal(size=(1, 12)), rng.uniform(0.5, 2.0, size=12)
    rows = Dataset(design[units.starts], design, y, weight, units)
    means, targets, weights = unit_features(InitData(rows, design[:, :2], y, np.arange(1)))
    wide = np.column_stack([design[:, :2], np.zeros(12)])
    same = unit_features(InitData(rows, wide, y, np.arange(1)))
    assert_allclose(same[0], np.column_stack([means, np.zeros(4)]))
    assert_allclose(np.delete(same[1], 2, axis=0), targets, rtol=0.01, atol=0.01)
    assert_allclose(same[1][2], 0.0, atol=1e-12)
    assert_allclose(same[2], weights)


def test_deviations_of_units_are_in_units_of_the_largest():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 20)) * np.array([[1.0], [5.0], [2.0]]) + 7.0
    found = _standardised(values)
    assert_allclose(found.mean(axis=1), 0.0, atol=1e-12)
    assert_allclose(found.std(axis=1) / values.std(axis=1), 1.0 / values.std(axis=1).max())
    assert_array_equal(_standardised(np.full((2, 5), 3.0)), np.zeros((2, 5)))
    assert _standardised(np.zeros((0, 5))).shape == (0, 5)


# --- ranges ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", CONTAINERS)
@pytest.mark.parametrize("shift", [-5.0, 0.0, 5.0])
def test_ranges_are_the_least_and_the_greatest_values(make, shift):
    rng = np.random.default_rng(0)
    X = np.round(rng.normal(size=(9, 4)), 1) + shift
    X[:, 3] = 0.0
    expected = np.array([X.min(axis=0), X.max(axis=0)])
    assert_array_equal(fit_feature_range(make(X)), expected)
    halves = [fit_feature_range(make(part)) for part in (X[:4], X[4:])]
    assert_array_equal(merge_feature_ranges(*halves), expected)
    assert not np.signbit(fit_feature_range(make(np.zeros((2, 1)) * -1.0))).any()
    used = np.array([True, True, False, True])
    found = is_outside_ranges(make(X), expected, used)
    assert_array_equal(found, np.zeros(9, dtype=bool))  # the ends themselves are inside
    close = 0.9 * RANGE_RTOL
    for column, bound, inside in ((0, 0, close), (0, 1, close), (0, 0, 1e-3), (2, 1, 9.0)):
        changed = X.copy()
        sign = 1.0 if bound else -1.0
        size = np.abs(expected[:, column]).max()
        assert np.abs(expected[:, column]).min() < 0.8 * size or inside != close
        changed[3, column] = expected[bound, column] + sign * inside * size
        outside = is_outside_ranges(make(changed), expected, used)
        assert_array_equal(np.flatnonzero(outside), [3] if inside == 1e-3 else [])


def test_a_zero_that_is_not_stored_is_outside_of_ranges_without_zero():
    ranges = np.array([[1.0, -3.0, -1.0, 0.0, -2.0], [2.0, -2.0, 1.0, 2.0, 0.0]])
    X = np.array(
        [[1.0, -2.0, 0.0, 0.0, 0.0], [0.0, -2.0, 0.0, 1.0, -1.0], [1.5, 0.0, 1.0, 0.0, 0.0]]
    )
    for used in (np.ones(5, dtype=bool), np.array([False, True, True, True, True])):
        expected = [False, bool(used[0]), True]
        for make in CONTAINERS:
            assert is_outside_ranges(make(X), ranges, used).tolist() == expected


def test_zeros_that_are_stored_are_zeros():
    stored = sparse.csr_array((np.array([0.0, -0.0]), np.array([0, 0]), np.array([0, 1, 2])))
    ranges = fit_feature_range(stored)
    assert_array_equal(ranges, [[0.0], [0.0]])
    assert not np.signbit(ranges).any()
    assert not is_outside_ranges(stored, ranges, np.array([True])).any()


def test_ranges_of_frames_are_those_of_their_numbers():
    X = pd.DataFrame({"u": list("ppq"), "v": [1.0, np.nan, 3.0], "w": [4, 5, 6]})
    encoder = make_encoder(X, np.ones(3), True)
    ranges = fit_feature_range(X, encoder)
    assert_array_equal(ranges, [[np.nan, 1.0, 4.0], [np.nan, 3.0, 6.0]])
    new = X.copy()
    new.loc[0, "u"], new.loc[1, "v"], new.loc[2, "w"] = "z", 9.0, 3
    for columns, expected in (((0, 1, 2), [0, 1, 2]), ((1,), [1]), ((2,), [2]), ((0,), [0])):
        used = np.isin(np.arange(3), columns)
        assert np.flatnonzero(is_outside_ranges(new, ranges, used, encoder)).tolist() == expected
        assert not is_outside_ranges(X, ranges, used, encoder).any()


# --- scales ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", CONTAINERS)
@pytest.mark.parametrize("unit", [1e-200, 1e-3, 1.0, 1e200])
def test_scales_are_weighted_standard_deviations_in_any_unit(make, unit):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 3)) * [1.0, 5.0, 0.2] + [0.0, 3.0, -2.0]
    X[rng.random(X.shape) < 0.3] = 0.0
    weight = rng.uniform(0.5, 3.0, size=30)
    center, scale = fit_standardization(make(unit * X), weight)
    mean = np.average(X, axis=0, weights=weight)
    std = np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weight))
    assert_allclose(scale / unit, std, rtol=1e-10)
    assert_allclose(center / unit, mean if make is np.asarray else 0.0, rtol=1e-10, atol=1e-12)
    balanced = np.array([[1.0], [-1.0], [0.0], [0.0]])
    assert_allclose(fit_standardization(make(unit * balanced), np.ones(4)).scale / unit, 0.5**0.5)
    for column in (1.0, -3.0, 0.0):
        constant = fit_standardization(make(np.full((30, 1), unit * column)), weight)
        assert constant.scale == [np.inf]


def test_columns_that_vary_in_rows_of_negligible_weight_only_are_constant():
    X = np.array([[0.0], [0.0], [1.0]])
    for negligible, is_constant in ((1e-30, True), (1e-20, False)):
        scale = fit_standardization(X, np.array([1.0, 1.0, negligible])).scale[0]
        assert np.isinf(scale) == is_constant
    low = fit_standardization(-X, np.array([1.0, 1.0, 1e-30])).scale[0]
    assert np.isinf(low)
    assert CONSTANT_RTOL**2 < 1e-20
    assert_array_equal(safe_range(np.array([0.0, 2.0, TINY])), [1.0, 2.0, TINY])


def test_designs_of_many_rows_are_standardised_row_by_row():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(BLOCK_ROWS + 7, 2))
    scaling = Standardization(np.array([1.0, -2.0]), np.array([2.0, 0.5]))
    expected = np.column_stack([(X - scaling.center) / scaling.scale, np.ones(len(X))])
    assert_allclose(design_matrix(X, scaling, None), expected)
    assert_allclose(design_matrix(X, scaling, np.array([1])), expected[:, 1:])
    sparse_design = design_matrix(sparse.csr_array(X), scaling, None)
    assert_allclose(sparse_design, expected)
    half = scaling._replace(center=np.array([0.0, 3.0]))
    dense = design_matrix(sparse.csr_array(X), half, None)
    assert_allclose(dense[:, :2], (X - half.center) / half.scale)
    uncentred, given = scaling._replace(center=np.zeros(2)), sparse.csr_array(X)
    design = design_matrix(given, uncentred, None)
    assert sparse.issparse(design)
    assert_allclose(design.toarray(), np.column_stack([X / scaling.scale, np.ones(len(X))]))
    assert_array_equal(given.toarray(), X)  # the rows of the user are left as they are


@pytest.mark.parametrize("n_columns", [1, 13, 14, 26, 27, 54, 1000, 10**6])
def test_blocks_have_a_power_of_two_of_rows_that_fit_into_the_cache(n_columns):
    """There are from the least to the largest number, and sparse blocks are larger."""
    n_rows = _block_rows(np.broadcast_to(0.0, (3, n_columns)))
    assert BLOCK_ROWS <= n_rows <= MAX_BLOCK_ROWS
    assert np.log2(n_rows) % 1.0 == 0.0
    assert n_rows == BLOCK_ROWS or n_rows * n_columns <= BLOCK_ELEMENTS
    assert n_rows == MAX_BLOCK_ROWS or 2 * n_rows * n_columns > BLOCK_ELEMENTS
    assert _block_rows(sparse.csr_array((3, n_columns))) == SPARSE_BLOCK_ROWS
