"""Distinct rows and their order, which are the same however rows and columns are given."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skmoe._data.canonical import CanonicalForm, _moments, canonical_form
from skmoe._data.duplicates import (
    _row_hashes,
    same_rows,
    unique_weighted_rows,
    unique_weighted_rows_of_units,
)

RNG = np.random.default_rng(0)
CONTAINERS = [np.asarray, sparse.csr_array]
X = RNG.integers(0, 3, size=(40, 2)).astype(float)
Y = RNG.integers(0, 2, size=(40, 1)).astype(float)
WEIGHT = RNG.uniform(0.5, 2.0, size=40)


def keys_of(rows, y):
    return [tuple(row) for row in np.column_stack([rows, y])]


@pytest.mark.parametrize("make", CONTAINERS)
@pytest.mark.parametrize("n_keys", [1, 2])
def test_distinct_rows_have_the_total_weight_of_their_copies(make, n_keys):
    """Further columns of y are keys as well."""
    y = np.column_stack([Y, np.arange(40) % 2])[:, :n_keys]
    form = CanonicalForm(np.array([1, 0]), np.array([0]), np.array([-1.0]))
    for given in (None, form):
        index, weight = unique_weighted_rows(make(X), y, WEIGHT, given)
        keys = keys_of(X, y)
        assert sorted(keys[i] for i in index) == sorted(set(keys))
        for i, total in zip(index, weight, strict=True):
            same = [keys[i] == key for key in keys]
            assert_allclose(total, WEIGHT[same].sum())


@pytest.mark.parametrize("make", CONTAINERS)
def test_weights_of_copies_are_added_in_the_order_of_their_sizes(make):
    """So sums are the same bit for bit, in whatever order the rows come."""
    rng = np.random.default_rng(0)
    weight = 10.0 ** rng.integers(-8, 9, size=40) * rng.uniform(1.0, 2.0, size=40)
    codes = np.arange(40) // 20
    form = CanonicalForm(np.arange(2), np.arange(1), np.ones(1))
    expected = unique_weighted_rows(make(X), Y, weight)
    of_units = unique_weighted_rows_of_units(make(X), Y, weight, codes, form, merge=True)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(40)
        index, found = unique_weighted_rows(make(X[order]), Y[order], weight[order])
        assert_array_equal(X[order][index], X[expected[0]])
        assert_array_equal(found, expected[1])
        index, found, numbers = unique_weighted_rows_of_units(
            make(X[order]), Y[order], weight[order], codes[order], form, merge=True
        )
        assert_array_equal(X[order][index], X[of_units[0]])
        assert_array_equal(found, of_units[1])
        assert_array_equal(numbers, of_units[2])


@pytest.mark.parametrize("make", CONTAINERS)
@pytest.mark.parametrize("merge", [False, True])
def test_units_keep_their_rows_in_an_order_of_their_values(make, merge):
    codes = np.repeat(np.arange(8), 5)
    form = CanonicalForm(np.arange(2), np.arange(1), np.ones(1))
    index, weight, numbers = unique_weighted_rows_of_units(
        make(X), Y, WEIGHT, codes, form, merge=merge
    )
    assert_array_equal(np.unique(numbers), np.arange(8))
    assert (np.diff(numbers) >= 0).all()
    keys = keys_of(X, Y)
    for number in range(8):
        own = index[numbers == number]
        (unit,) = set(codes[own])
        members = np.flatnonzero(codes == unit)
        if not merge:
            assert sorted(own) == members.tolist()
            assert_array_equal(weight[numbers == number], WEIGHT[own])
            continue
        assert sorted(keys[i] for i in own) == sorted({keys[i] for i in members})
        for i, total in zip(own, weight[numbers == number], strict=True):
            same = [j for j in members if keys[j] == keys[i]]
            assert_allclose(total, WEIGHT[same].sum())
    # Other labels of the units change nothing.
    other = np.array([30, 7, 9, 1, 2, 5, 100, 3])[codes]
    same = unique_weighted_rows_of_units(make(X), Y, WEIGHT, other, form, merge=merge)
    for one, two in zip((index, weight, numbers), same, strict=True):
        assert_array_equal(one, two)


@pytest.mark.parametrize("make", CONTAINERS)
def test_equal_rows_are_equal_in_every_column(make):
    rows = make(np.array([[1.0, 2.0], [1.0, 3.0], [1.0, 2.0], [0.0, 2.0]]))
    first, second = np.array([0, 0, 0, 3, 1]), np.array([1, 2, 3, 3, 0])
    assert same_rows(rows, first, second).tolist() == [False, True, False, True, False]


@pytest.mark.parametrize("unit", [1e-8, 1e8])
def test_hashes_do_not_depend_on_units_and_origins_of_columns(unit):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(30, 3))
    columns = np.array([2, 0, 1])
    expected = _row_hashes(values, columns, seed=0)
    assert len(set(expected)) == 30
    assert_allclose(_row_hashes(unit * values, columns, seed=0), expected, rtol=1e-6)
    assert_allclose(_row_hashes(values + 5.0, columns, seed=0), expected, rtol=1e-6)
    # Columns in another order have the numbers of their places.
    order = np.array([1, 2, 0])
    moved = _row_hashes(values[:, order], np.argsort(order)[columns], seed=0)
    assert_allclose(moved, expected)
    stored = sparse.csr_array(values)
    of_sparse = _row_hashes(stored, columns, seed=0)
    assert_allclose(_row_hashes(sparse.csr_array(unit * values), columns, seed=0), of_sparse)
    shift = of_sparse - expected
    assert_allclose(shift, shift[0])


def test_the_sign_of_an_output_makes_its_skewness_positive():
    """Without skewness its correlation with the first column is positive."""
    rng = np.random.default_rng(0)
    n = 200
    features = rng.normal(size=(n, 3))
    skewed = rng.exponential(size=n)
    weight = rng.integers(1, 4, size=n).astype(float)
    table = np.stack([skewed, -skewed, rng.normal(size=n)])
    form = canonical_form(features, table, weight, signed=True)
    signed = form.signs[:, None] * table
    assert (_moments(signed.T, signed[:0], weight).skewness > 0.0).all()
    assert set(form.signs) <= {-1.0, 1.0}
    assert sorted(form.outputs) == [0, 1, 2]
    same = canonical_form(features, table, weight, signed=False)
    assert_array_equal(same.signs, np.ones(3))
    assert_array_equal(same.outputs, np.arange(3))
    # Of two values that are equally frequent there is no skewness.
    even = np.repeat([1.0, -1.0], n // 2)
    for sign in (1.0, -1.0):
        for column in (even + 0.1 * features[:, 0], -even + 0.1 * features[:, 0]):
            alone = canonical_form(column[:, None], sign * even[None], np.ones(n), signed=True)
            expected = np.sign(np.corrcoef(column, sign * even)[0, 1])
            assert alone.signs.tolist() == [expected]
            # A column of zeros, which is the last one, has no correlation.
            with_zeros = np.column_stack([np.zeros(n), column])
            form = canonical_form(with_zeros, sign * even[None], np.ones(n), signed=True)
            assert form.columns.tolist() == [1, 0]
            assert form.signs.tolist() == [expected]
    empty = canonical_form(np.zeros((n, 0)), even[None], np.ones(n), signed=True)
    assert empty.signs.tolist() == [1.0]
    zero = canonical_form(np.zeros((n, 1)), even[None], np.ones(n), signed=True)
    assert zero.signs.tolist() == [1.0]


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_sign_of_a_symmetric_output_is_that_of_its_weakest_column(sign):
    rng = np.random.default_rng(0)
    even = np.repeat([1.0, -1.0], 100)
    strong, weak = sign * even + 0.1 * rng.normal(size=200), 3.0 * rng.normal(size=200)
    weak -= np.average(weak * even) * even + 0.5 * sign * even
    for features in (np.column_stack([strong, weak]), np.column_stack([weak, strong])):
        form = canonical_form(features, even[None], np.ones(200), signed=True)
        first = features[:, form.columns[0]]
        assert_array_equal(first, weak)
        assert form.signs.tolist() == [-sign]


def test_the_skewness_of_an_output_is_that_of_weighted_rows():
    y = np.array([[0.0, 0.0, 0.0, 1.0]])
    for weight, sign in (([1.0, 1.0, 1.0, 1.0], 1.0), ([1.0, 1.0, 1.0, 30.0], -1.0)):
        form = canonical_form(np.zeros((4, 1)), y, np.array(weight), signed=True)
        assert form.signs.tolist() == [sign]


@pytest.mark.parametrize("make", CONTAINERS)
def test_the_order_of_rows_does_not_depend_on_columns_and_outputs(make):
    """Nor on the signs of outputs."""
    rng = np.random.default_rng(0)
    features = rng.exponential(size=(30, 3)).round(1)
    outputs = rng.exponential(size=(30, 2)).round(1)

    def ordered(columns, of_outputs, signs):
        rows, y = make(features[:, columns]), outputs[:, of_outputs] * signs
        form = canonical_form(rows, y.T, np.ones(30), signed=True)
        return unique_weighted_rows(rows, y, np.ones(30), form)[0]

    expected = ordered([0, 1, 2], [0, 1], [1.0, 1.0])
    for columns in ([2, 0, 1], [1, 0, 2]):
        for of_outputs in ([0, 1], [1, 0]):
            for signs in ([1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0]):
                found = ordered(columns, of_outputs, signs)
                if make is np.asarray or signs == [1.0, 1.0]:
                    assert_array_equal(found, expected)


@pytest.mark.parametrize("make", CONTAINERS)
def test_columns_are_ordered_by_what_they_say_about_the_target(make):
    rng = np.random.default_rng(0)
    y = rng.normal(size=300)
    weight = rng.uniform(0.5, 2.0, size=300)
    columns = [np.full(300, 2.0), y + rng.normal(size=300), y + 5.0 * rng.normal(size=300), y]
    features = np.column_stack(columns)
    form = canonical_form(make(features), y[None], weight, signed=True)
    # The weaker ones come first, and constant ones last.
    assert form.columns.tolist() == [2, 1, 3, 0]
    found = _moments(make(features), y[None], weight)
    centred = features - np.average(features, axis=0, weights=weight)
    spread = np.sqrt(np.average(centred**2, axis=0, weights=weight))
    unit = centred[:, 1:] / spread[1:]
    target = y - np.average(y, weights=weight)
    target /= np.sqrt(np.average(target**2, weights=weight))
    for values, expected in (
        (found.skewness, np.average(unit**3, axis=0, weights=weight)),
        (found.kurtosis, np.average(unit**4, axis=0, weights=weight)),
        (found.correlations[0], np.average(unit * target[:, None], axis=0, weights=weight)),
    ):
        assert_allclose(values[1:], expected, atol=1e-6)
        assert values[0] == 0.0
