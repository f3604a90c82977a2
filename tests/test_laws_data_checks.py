"""Checks of parameters and data: every bound is taken, and what is beyond is refused."""

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.preprocessing import StandardScaler

from skmoe._data.checks import (
    MAX_OFFSET,
    MAX_SHOWN,
    MAX_TOTAL_WEIGHT,
    as_csr,
    check_block_weights,
    check_choice,
    check_columns,
    check_enough_rows,
    check_flag,
    check_instance,
    check_integer,
    check_n_jobs,
    check_numbers_of_outputs,
    check_offset,
    check_real,
    check_same_length,
    check_same_outputs,
    check_total_weight,
    check_transformer,
    check_two_classes,
    check_weights,
    class_codes,
    class_weights,
    shown,
)

NAMES = np.array(["a", "b", "c", "d"], dtype=object)


def refused(text):
    return pytest.raises(ValueError, match=re.escape(text))


def test_values_are_shown_up_to_a_length():
    assert shown("x" * (MAX_SHOWN - 2)) == repr("x" * (MAX_SHOWN - 2))
    assert shown("x" * (MAX_SHOWN - 1)) == repr("x" * (MAX_SHOWN - 1))[:MAX_SHOWN] + "..."
    assert shown(np.float64(1.5)) == "1.5"
    assert shown(np.str_("a")) == "'a'"
    assert shown(10**5000) == "an int of more digits than Python writes"


def test_integers_are_within_their_bounds():
    for value in (2, 5, np.int32(3), 7):
        assert check_integer("k", value, 2, 7) == value
        assert type(check_integer("k", value, 2)) is int
    for value in (1, 8, 2.0, True, np.True_, "3", None, np.nan):
        with refused(f"k must be an integer from 2 to 7; got {shown(value)}."):
            check_integer("k", value, 2, 7)
    with refused("of at least 0; got -1. Pass an integer such as k=2."):
        check_integer("k", -1, 0)
    with refused("of at least 3; got 2. Pass an integer such as k=3."):
        check_integer("k", 2, 3)
    with refused("from 1 to 3; got 4. Pass a smaller one, such as k=2."):
        check_integer("k", 4, 1, 3)
    with refused("from 3 to 5; got 9. Pass a smaller one, such as k=3."):
        check_integer("k", 9, 3, 5)
    assert check_integer("k", 10**9, 1) == 10**9


def test_numbers_are_finite_and_within_their_bounds():
    for value in (0.5, 1, 2.0, np.float32(1.5)):
        found = check_real("a", value, 0.5, 2.0)
        assert (found, type(found)) == (float(value), float)
    assert check_real("a", 0.0) == 0.0
    assert check_real("a", 1e300) == 1e300
    for value in (0.4, 2.1, np.inf, -np.inf, np.nan, "1", None, True, np.False_, 1j, 10**400):
        with refused("a must be a finite number of at least 0.5 and at most 2; got"):
            check_real("a", value, 0.5, 2.0)
    with refused("at least 0; got -1. Pass a number such as a=1."):
        check_real("a", -1)
    with refused("at least 3; got inf. Pass a number such as a=3."):
        check_real("a", np.inf, 3.0)
    check_numbers_of_outputs("p", (0.0, 1, 2.5))
    for value in ((), [1.0], 1.0, None):
        with refused("p must be a tuple of numbers, one for each output"):
            check_numbers_of_outputs("p", value)
    with refused("p must be a finite number of at least 0; got -1"):
        check_numbers_of_outputs("p", (1.0, -1))


def test_objects_are_no_classes_and_transformers_transform():
    for value in (None, StandardScaler()):
        check_instance("t", value)
        check_transformer("t", value)
    for check in (check_instance, check_transformer):
        with refused("t must be an instance; got the class StandardScaler. Pass an instance"):
            check("t", StandardScaler)

    class Half:
        def get_params(self):
            return {}

    with refused("which has no method fit."):
        check_transformer("t", Half())
    Half.fit = Half.get_params
    with refused("which has no method transform."):
        check_transformer("t", Half())
    with refused("which has no method get_params."):
        check_transformer("t", "spline")


def test_jobs_choices_and_flags():
    for value in (None, 1, -1, np.int64(3)):
        assert check_n_jobs(value) == value
    assert type(check_n_jobs(np.int64(3))) is int
    for value in (0, 1.0, True, "1"):
        with refused("n_jobs must be None or an integer other than 0"):
            check_n_jobs(value)
    assert check_choice("c", "u", ("v", "u")) == "u"
    for value in ("w", None, 1, ["u"]):
        with refused("c must be one of ['u', 'v']"):
            check_choice("c", value, ("v", "u"))
    for value in (True, False, np.True_):
        assert check_flag("f", value) == value
        assert type(check_flag("f", value)) is bool
    for value in (0, 1, "yes", None):
        with refused("f must be True or False"):
            check_flag("f", value)


# --- weights --------------------------------------------------------------------------------------


def test_weights_are_numbers_of_the_rows():
    assert_array_equal(check_weights(None, 3), np.ones(3))
    assert_array_equal(check_weights(2, 3), np.full(3, 2.0))
    for given in ([0, 1, 2], (0.0, 1.0, 2.0), np.array([0, 1, 2], dtype=object)):
        found = check_weights(given, 3)
        assert_array_equal(found, [0.0, 1.0, 2.0])
        assert found.dtype == np.float64
    assert_array_equal(check_weights([True, False], 2), [1.0, 0.0])
    own = np.ones(3)
    assert check_weights(own, 3) is not own
    for bad in ([1, 2], [[1], [2], [3]], [1, 2, 3, 4], []):
        with refused("sample_weight must have one entry for each of the 3 rows"):
            check_weights(bad, 3)
    for bad in (np.nan, np.inf, -np.inf):
        with refused("sample_weight must be finite"):
            check_weights([1.0, bad, 1.0], 3)
    with refused("its smallest entry is -2."):
        check_weights([1.0, -2.0, -1.0], 3)
    for bad in (["a", "b", "c"], [1j, 1, 1], np.array([1, 2, 3], dtype="m8[s]"), [None, {}, 1]):
        kind = f"an array of {bad.dtype}" if isinstance(bad, np.ndarray) else "list"
        with refused(f"sample_weight must be an array of numbers; got {kind}."):
            check_weights(bad, 3)
    assert_array_equal(check_block_weights([0.0, 0.0], 2), np.zeros(2))
    assert len(check_block_weights([], 0)) == 0
    with refused("sample_weight must not be zero for every row"):
        check_weights([0.0, 0.0], 2)


def test_totals_of_weights_are_bounded():
    for n in (1, 4):
        check_total_weight("w", np.full(n, MAX_TOTAL_WEIGHT / n))
        check_total_weight("w", np.zeros(0))
        with refused(f"w must give weights with a sum of at most {MAX_TOTAL_WEIGHT:g}"):
            check_total_weight("w", np.full(n, 1.01 * MAX_TOTAL_WEIGHT / n))
    with refused("the largest weight of 2 rows is 1e+150"):
        check_weights([1e150, 0.0], 2)


def test_weights_of_classes_multiply_those_of_rows():
    classes, codes = np.array(["u", "v", "w"]), np.array([0, 0, 1, 0])
    weight = np.array([1.0, 2.0, 3.0, 4.0])
    assert class_weights(None, classes, codes, weight) is weight
    totals = np.bincount(codes, weight, minlength=3)
    found = class_weights("balanced", classes, codes, weight)
    assert_allclose(found, weight * 10.0 / (3 * totals[codes]))
    small = class_weights("balanced", classes, codes, 0.1 * weight)
    assert_allclose(small, 0.1 * found)
    two = class_weights("balanced", classes[:2], codes, weight)
    assert_allclose(np.bincount(codes, two), [5.0, 5.0])
    found = class_weights({"u": 2.0, "v": 0.0}, classes, codes, weight)
    assert_allclose(found, [2.0, 4.0, 0.0, 8.0])
    for bad in ({"u": -1.0}, {"u": np.nan}, {"u": np.inf}, {"u": 0, "v": 0, "w": 0}, {"z": 1.0}):
        with refused("class_weight must give finite non-negative weights, not all zero"):
            class_weights(bad, classes, codes, weight)
    for bad in ("equal", 1.0, [1.0, 2.0, 3.0]):
        with refused('class_weight must be None, "balanced" or a dict'):
            class_weights(bad, classes, codes, weight)
    with refused("sample_weight times class_weight must give weights"):
        class_weights({"u": 1e100}, classes, codes, 1e100 * weight)


# --- offsets, columns, rows -----------------------------------------------------------------------


def test_offsets_are_numbers_for_rows_and_outputs():
    assert check_offset(None, 3, 2) is None
    assert_array_equal(check_offset([1, 2, 3], 3, 2), [1.0, 2.0, 3.0])
    table = np.arange(6.0).reshape(3, 2)
    assert_array_equal(check_offset(table, 3, 2), table.T)
    assert check_offset(table, 3, 2).flags.c_contiguous
    assert_array_equal(check_offset(table[:, :1], 3, 1), table[:, 0])
    assert_array_equal(check_offset([-MAX_OFFSET, MAX_OFFSET], 2, 1), [-MAX_OFFSET, MAX_OFFSET])
    assert len(check_offset([], 0, 1)) == 0
    for bad in ([1, 2], np.ones((3, 3)), np.ones((2, 3)), 1.0):
        with refused("here (3,) or (3, 2); got shape"):
            check_offset(bad, 3, 2)
    with refused("offset must hold finite numbers; row 1 holds -inf."):
        check_offset([0.0, -np.inf, np.nan], 3, 1)
    with refused("row 2 holds nan."):
        check_offset(np.array([[0.0, 1.0], [2.0, 3.0], [4.0, np.nan]]), 3, 2)
    for bad in (1.01 * MAX_OFFSET, -1.01 * MAX_OFFSET):
        with refused(f"its largest absolute value is {abs(bad):g}"):
            check_offset([0.0, bad], 2, 1)
    for bad in (["a", "b"], [None, {}]):
        with refused("offset must be an array of numbers; got list"):
            check_offset(bad, 2, 1)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([0, 2], [0, 2]),
        ([3, -4], [3, 0]),
        (-1, [3]),
        ("b", [1]),
        (["d", "a"], [3, 0]),
        ([False, True, True, False], [1, 2]),
        (np.array([1, 3], dtype=np.uint8), [1, 3]),
    ],
)
def test_columns_are_names_indices_or_a_mask(given, expected):
    found = check_columns("f", given, 4, NAMES)
    assert found.tolist() == expected
    assert found.dtype == np.intp


def test_columns_that_are_none_of_these_are_refused():
    assert check_columns("f", None, 4, NAMES) is None
    for empty in ([], [False] * 4):
        assert check_columns("f", empty, 4, NAMES, allow_empty=True).tolist() == []
        with refused("f must not be empty"):
            check_columns("f", empty, 4, NAMES)
    for bad, text in (
        ([4], "from 0 to 3; got 4."),
        ([0, -5], "from 0 to 3; got -5."),
        ([True, False], "one entry for each of the 4 features; got 2."),
        ([0, 0], "f must not name a feature twice"),
        ([0, -4], "f must not name a feature twice"),
        (["a", "z"], "'z' is not one of ['a', 'b', 'c', 'd']."),
        ([[0, 1]], "f must be one-dimensional; got shape (1, 2)."),
        ([[0], [1, 2]], "f must be a flat list"),
        ([0.5], "f must be None, column names, column indices or a boolean mask"),
        (np.array(["a", 1], dtype=object), "f must be None, column names, column indices"),
    ):
        with refused(text):
            check_columns("f", bad, 4, NAMES)
    with refused("f holds column names, but X has none."):
        check_columns("f", ["a"], 4, None)


def test_rows_classes_and_outputs_are_enough_and_known():
    check_enough_rows(3, 3)
    with refused("number of units, 3 (n_samples = 3); got 4."):
        check_enough_rows(4, 3, "units")
    check_two_classes(np.array([0, 1]))
    for classes in (np.array([1]), np.array([])):
        with refused("y must have at least two classes"):
            check_two_classes(classes)
    classes = np.array(["a", "c", "e"])
    assert class_codes(np.array(["e", "a", "c"]), classes).tolist() == [2, 0, 1]
    for label in ("b", "z", "A"):
        with refused(f"got {label!r}."):
            class_codes(np.array(["a", label, "y"]), classes)
    y = np.zeros((2, 3))
    assert check_same_length(np.zeros((3, 1)), y) is y
    with refused("same number of rows; got 2 and 3."):
        check_same_length(np.zeros((2, 1)), y)
    check_same_outputs(2, 2)
    with refused("y must have the 2 output(s) seen in fit; got 3."):
        check_same_outputs(3, 2)


def test_sparse_rows_are_sorted_once_and_in_small_integers():
    X = np.eye(2)
    assert as_csr(X) is X
    twice = sparse.csr_matrix((np.ones(3), np.array([1, 0, 1]), np.array([0, 3, 3])), shape=(2, 2))
    found = as_csr(twice)
    assert isinstance(found, sparse.csr_array)
    assert found.has_canonical_format
    assert_array_equal(found.toarray(), [[1.0, 2.0], [0.0, 0.0]])
    assert twice.nnz == 3  # that of the user is left as it is
    long = sparse.csr_array(X)
    long.indices, long.indptr = long.indices.astype(np.int64), long.indptr.astype(np.int64)
    found = as_csr(long)
    assert found.indices.dtype == found.indptr.dtype == np.int32
    assert_array_equal(found.toarray(), X)
    wide = sparse.coo_array(
        (np.ones(1), (np.zeros(1, dtype=np.int64), np.full(1, 2**31, dtype=np.int64))),
        shape=(1, 2**31 + 1),
    )
    assert as_csr(wide).indices.tolist() == [2**31]
