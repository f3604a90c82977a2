"""Distinct rows and their weights, which do not depend on how rows and columns are given."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse, stats
from sklearn.linear_model import Ridge

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._data.distinct_rows import (
    CanonicalForm,
    canonical_form,
    unique_weighted_rows,
    unique_weighted_rows_of_units,
)
from support.refusals import assert_refused, refusal

CONTAINERS = [np.asarray, sparse.csr_array]
AS_GIVEN = CanonicalForm(np.arange(2), np.ones(2), np.arange(1), np.ones(1))
FORMS = {
    "as given": None,
    "columns exchanged": AS_GIVEN._replace(columns=np.array([1, 0])),
    "other sign of a column": AS_GIVEN._replace(column_signs=np.array([1.0, -1.0])),
    "other sign": AS_GIVEN._replace(signs=np.array([-1.0])),
}


def repeated_rows():
    """Rows of few distinct values, a target and weights."""
    rng = np.random.default_rng(0)
    X = rng.integers(3, size=(40, 2)).astype(float)
    return X, rng.integers(2, size=(40, 1)).astype(float), rng.uniform(0.5, 2.0, size=40)


def totals(*columns, weight):
    """Total weight of each distinct row, found row by row."""
    found = {}
    for row, w in zip(np.column_stack(columns).tolist(), weight, strict=True):
        found[tuple(row)] = found.get(tuple(row), 0.0) + w
    return found


def assert_same_totals(one, other):
    assert one.keys() == other.keys()
    assert_allclose([one[row] for row in one], [other[row] for row in one])


@pytest.mark.parametrize("make", CONTAINERS)
@pytest.mark.parametrize("form", FORMS)
def test_distinct_rows_have_the_total_weight_of_their_copies(form, make):
    """In an order that is the same in whatever order the rows come."""
    X, y, weight = repeated_rows()
    index, total = unique_weighted_rows(make(X), y, weight, FORMS[form])
    expected = totals(X, y, weight=weight)
    assert len(index) == len(expected)
    assert_same_totals(totals(X[index], y[index], weight=total), expected)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(40)
        again, sums = unique_weighted_rows(make(X[order]), y[order], weight[order], FORMS[form])
        assert_array_equal(X[order][again], X[index])
        assert_array_equal(y[order][again], y[index])
        assert_allclose(sums, total)


def test_further_columns_of_y_are_keys_as_well():
    X, y, weight = repeated_rows()
    keys = np.column_stack([y, np.arange(40) % 2])
    index, _ = unique_weighted_rows(X, keys, weight, FORMS["other sign"])
    assert len(index) == len(totals(X, keys, weight=weight))


@pytest.mark.parametrize("make", CONTAINERS)
def test_rows_whose_feature_and_target_change_places_are_distinct(make):
    table = np.tile([[0.0, 1.0], [1.0, 0.0]], (6, 1))
    index, total = unique_weighted_rows(make(table[:, :1]), table[:, 1], np.ones(12))
    assert sorted(map(tuple, table[index])) == [(0.0, 1.0), (1.0, 0.0)]
    assert_array_equal(total, [6.0, 6.0])


def test_rows_that_differ_in_the_last_bit_are_distinct():
    table = np.array([[1.0, 1e12], [np.nextafter(1.0, 2.0), 1e12], [0.0, 0.0]])
    index, _ = unique_weighted_rows(table, np.zeros(3), np.ones(3))
    assert len(index) == 3


def test_the_order_of_rows_does_not_depend_on_units_of_columns():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 3)), rng.normal(size=50)
    index, _ = unique_weighted_rows(X, y, np.ones(50))
    moved, _ = unique_weighted_rows(X * [3e-8, 0.7, 1e8] + 7.0, 1e4 * y - 2.0, np.ones(50))
    assert_array_equal(moved, index)


@pytest.mark.parametrize("make", CONTAINERS)
@pytest.mark.parametrize("merge", [True, False])
def test_units_keep_their_rows_whatever_their_labels(make, merge):
    X, y, weight = repeated_rows()
    rng = np.random.default_rng(0)
    codes = rng.permutation(np.repeat(np.arange(8), 5))
    form = FORMS["columns exchanged"]
    found = unique_weighted_rows_of_units(make(X), y, weight, codes, form, merge=merge)
    index, total, new = found
    assert_array_equal(new, np.sort(new))
    # A new number is a unit.
    assert len(set(zip(new.tolist(), codes[index].tolist(), strict=True))) == 8
    expected = totals(X, y, codes, weight=weight)
    assert len(index) == (len(expected) if merge else 40)
    assert_same_totals(totals(X[index], y[index], codes[index], weight=total), expected)
    order, labels = rng.permutation(40), rng.permutation(100)[:8]
    again = unique_weighted_rows_of_units(
        make(X[order]), y[order], weight[order], labels[codes[order]], form, merge=merge
    )
    assert_array_equal(X[order][again[0]], X[index])
    assert_array_equal(y[order][again[0]], y[index])
    assert_allclose(again[1], total)
    assert_array_equal(again[2], new)


# --- canonical form -------------------------------------------------------------------------------


def skewed_table():
    """Columns and outputs of different skewness, some columns mostly zero, and weights."""
    rng = np.random.default_rng(0)
    X = rng.gamma([0.5, 1.0, 2.0, 4.0], size=(80, 4)) * [1.0, -1.0, 100.0, 1e-3]
    X[rng.uniform(size=X.shape) < 0.4] = 0.0
    Y = rng.gamma([[1.0], [3.0]], size=(2, 80)) + X[:, 1]
    return X, Y, rng.integers(1, 4, size=80).astype(float)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("make", CONTAINERS)
def test_the_canonical_form_follows_columns_and_outputs(make, signed):
    """Their order and signs do not matter; rows count by their weights."""
    X, Y, weight = skewed_table()
    form = canonical_form(make(X), Y, weight, signed=signed)
    rng = np.random.default_rng(1)
    rows = np.repeat(np.arange(80), weight.astype(int))
    for _ in range(4):
        columns, turned = rng.permutation(4), rng.choice([-1.0, 1.0], size=4)
        outputs = rng.permutation(2) if signed else np.arange(2)
        signs = rng.choice([-1.0, 1.0], size=2) if signed else np.ones(2)
        moved = signs[:, None] * Y[outputs]
        same = canonical_form(
            make(turned * X[rows][:, columns]), moved[:, rows], np.ones(len(rows)), signed=signed
        )
        assert_array_equal(columns[same.columns], form.columns)
        assert_array_equal(turned * same.column_signs, form.column_signs[columns])
        expected = (form.signs[:, None] * Y)[form.outputs]
        assert_allclose((same.signs[:, None] * moved)[same.outputs], expected)


@pytest.mark.parametrize("make", CONTAINERS)
def test_columns_are_ordered_by_their_correlation_and_constant_ones_come_last(make):
    rng = np.random.default_rng(0)
    y = rng.normal(size=300)
    columns = [np.full(300, 2.0), y + rng.normal(size=300), y + 5.0 * rng.normal(size=300), y]
    form = canonical_form(make(np.column_stack(columns)), y[None], np.ones(300), signed=True)
    assert form.columns.tolist() == [2, 1, 3, 0]


def test_the_sign_of_an_output_makes_its_weighted_skewness_positive():
    rng = np.random.default_rng(0)
    Y, weight = rng.gamma([[1.0], [2.0]], size=(2, 60)), rng.integers(1, 4, size=60)
    Y[1] *= -1.0
    form = canonical_form(rng.normal(size=(60, 2)), Y, 1.0 * weight, signed=True)
    skewness = stats.skew(np.repeat(Y, weight, axis=1), axis=1)
    assert_array_equal(form.signs, np.sign(skewness))
    assert_array_equal(form.outputs, np.argsort(np.abs(skewness)))
    y = np.array([[0.0, 0.0, 0.0, 1.0]])
    for w, sign in (([1.0, 1.0, 1.0, 1.0], 1.0), ([1.0, 1.0, 1.0, 30.0], -1.0)):
        form = canonical_form(np.zeros((4, 1)), y, np.array(w), signed=True)
        assert form.signs.tolist() == [sign]


def test_the_sign_of_a_column_makes_its_skewness_negative_or_its_correlation_positive():
    rng = np.random.default_rng(0)
    even, y = np.repeat([1.0, -1.0], 50), rng.gamma(1.0, size=100)
    X = np.column_stack([rng.gamma(2.0, size=100), even, np.zeros(100)])
    correlated = np.sign(np.corrcoef(even, y)[0, 1])
    for signs in ([1.0, 1.0, 1.0], [-1.0, -1.0, 1.0]):
        form = canonical_form(signs * X, y[None], np.ones(100), signed=True)
        assert_array_equal(form.column_signs, signs * np.array([-1.0, correlated, 1.0]))
        form = canonical_form(signs * X, -y[None], np.ones(100), signed=True)
        assert_array_equal(form.column_signs, signs * np.array([-1.0, correlated, 1.0]))
        form = canonical_form(signs * X, -y[None], np.ones(100), signed=False)
        assert_array_equal(form.column_signs, signs * np.array([-1.0, -correlated, 1.0]))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_an_output_without_skewness_increases_with_its_first_column(sign):
    rng = np.random.default_rng(0)
    even = np.repeat([1.0, -1.0], 100)
    strong, weak = sign * even + 0.1 * rng.normal(size=200), 3.0 * rng.normal(size=200)
    weak -= np.average(weak * even) * even + 0.5 * sign * even
    for columns in ((strong, weak), (weak, strong)):
        features = np.column_stack([np.zeros(200), *columns])
        form = canonical_form(features, even[None], np.ones(200), signed=True)
        first = form.columns[0]
        assert_array_equal(features[:, first], weak)
        assert form.signs.tolist() == [-sign * form.column_signs[first]]
    for features in (np.zeros((200, 0)), np.zeros((200, 1))):
        form = canonical_form(features, even[None], np.ones(200), signed=True)
        assert form.signs.tolist() == [1.0]


@pytest.mark.parametrize("make", CONTAINERS)
def test_indicators_are_ordered_by_frequency_and_then_by_their_relation_to_the_columns(make):
    """Whatever their order; the two rarer ones here are equally frequent."""
    rng = np.random.default_rng(0)
    codes, X = np.repeat([0, 1, 2], [10, 10, 20]), rng.gamma(2.0, size=(40, 2))
    X[codes == 1] *= 3.0  # which is correlated with the squares
    for names in ([0, 1, 2], [1, 2, 0], [2, 1, 0]):
        Y = (np.arange(3)[:, None] == np.array(names)[codes]).astype(float)
        form = canonical_form(make(X), Y, np.ones(40), signed=False)
        assert [names.index(code) for code in form.outputs] == [2, 0, 1]
        assert form.signs.tolist() == [1.0, 1.0, 1.0]


# --- in fits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", CONTAINERS)
@pytest.mark.parametrize("case", ["plain", "groups", "offset", "outputs", "classes"])
def test_rows_of_a_fit_are_the_same_if_all_is_the_same_that_it_uses(case, make):
    """A refusal counts the distinct rows of positive weight."""
    rng = np.random.default_rng(0)
    n_rows = 60
    X = rng.integers(3, size=(n_rows, 2)).astype(float)
    y, other = rng.integers(3, size=n_rows), rng.integers(3, size=n_rows)
    weight = rng.integers(0, 3, size=n_rows).astype(float)
    options, given, keys = {}, {}, [X, y]
    estimator = MixtureOfExpertsRegressor
    if case == "groups":
        options, given = {"base": Ridge()}, {"groups": other}
    elif case == "offset":
        options, given = {"family": "poisson"}, {"offset": other.astype(float)}
    elif case == "classes":
        estimator = MixtureOfExpertsClassifier
    if case in ("groups", "offset", "outputs"):
        keys.append(other)
    target = np.column_stack([y, other]) if case == "outputs" else y
    kept = np.column_stack(keys)[weight > 0.0]
    n_distinct = len(np.unique(kept, axis=0))
    moe = estimator(n_distinct + 1, **options)
    message = refusal(moe.fit, make(X), target, sample_weight=weight, **given)
    assert_refused(message, "n_experts", f"positive weight, {n_distinct} ", n_distinct + 1)
