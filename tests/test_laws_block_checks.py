"""Blocks of rows are checked one by one, and compared with the first one."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from skmoe._data.block_checks import (
    Block,
    BlockChecker,
    _dtypes,
    check_block,
    check_block_kind,
    with_block_index,
)
from skmoe._data.units import UnitLabels

X = np.arange(10.0).reshape(5, 2)
Y = np.arange(5.0)
OFFSET = np.arange(10.0).reshape(5, 2)


def checker(is_classification=False, **checks):
    return BlockChecker(is_classification, lambda y, weight: None, **checks)


@pytest.mark.parametrize(
    "make", [np.asarray, sparse.csr_array, sparse.csr_matrix, sparse.coo_array]
)
@pytest.mark.parametrize("offset", [None, OFFSET[:, 0], OFFSET.T])
@pytest.mark.parametrize("index", [np.array([4, 0, 0]), slice(1, 3)])
def test_rows_of_a_block_keep_all_that_they_have(make, offset, index):
    units = UnitLabels(np.array(list("abc")), np.array([0, 0, 1, 1, 2]))
    block = Block(make(X), Y, Y + 1.0, offset, units).take(index)
    assert type(block.X) is (np.ndarray if make is np.asarray else sparse.csr_array)
    assert_array_equal(block.X.toarray() if sparse.issparse(block.X) else block.X, X[index])
    assert_array_equal(block.y, Y[index])
    assert_array_equal(block.weight, Y[index] + 1.0)
    assert_array_equal(block.units.labels[block.units.codes], np.array(list("aabbc"))[index])
    if offset is None:
        assert block.offset is None
    else:
        assert_array_equal(block.offset, offset[..., index])
    assert Block(X, Y, Y).take(index).units is None


def test_a_block_is_a_tuple_of_two_to_five():
    for n in range(2, 6):
        given = tuple(range(n))
        assert check_block(0, given) == given + (None,) * (5 - n)
    for block in ((1,), (1,) * 6, [1, 2], None):
        with pytest.raises(
            ValueError, match=rf"^block 7 must be a tuple .* {type(block).__name__}"
        ):
            check_block(7, block)


def test_errors_of_a_block_name_it():
    def check(value, *, least):
        if value < least:
            raise ValueError("too small")
        return value + least

    assert with_block_index(3, check, 5, least=2) == 7
    with pytest.raises(ValueError, match=r"^block 3: too small$"):
        with_block_index(3, check, 1, least=2)


def test_blocks_are_of_the_kind_of_the_first():
    first = ("float64", (), None)
    check_block_kind(1, first, first)
    for kind in (("float32", (), None), ("float64", (2,), None)):
        with pytest.raises(ValueError, match=f"block 1 must be like the first.*got {kind[0]} and"):
            check_block_kind(1, kind, first)
    for kind, other in ((first, ("float64", (), ())), (("float64", (), ()), first)):
        with pytest.raises(ValueError, match=r"block 1 must have an offset like the first"):
            check_block_kind(1, kind, other)


def test_the_offsets_of_blocks_of_different_sizes_are_alike():
    check = checker()
    for index, n_rows in enumerate((5, 3, 1)):
        check(index, (X[:n_rows], OFFSET[:n_rows], None, OFFSET[:n_rows]))
    with pytest.raises(ValueError, match=r"rows of shape \(2,\); got None"):
        check(3, (X, OFFSET))
    with pytest.raises(ValueError, match=r"rows of shape \(2,\); got \(\)"):
        check(4, (X, OFFSET, None, Y))


def test_weights_of_a_block_are_seen_by_the_check_of_its_target():
    told, weight = [], Y + 1.0
    check = BlockChecker(False, lambda *given: told.append(given))
    assert_array_equal(check(0, (X, Y, weight)).weight, weight)
    assert_array_equal(check(1, (X, Y, 3)).weight, np.full(5, 3.0))
    assert_array_equal(told[0], [Y, weight])
    assert_array_equal(told[1], [Y, np.full(5, 3.0)])
    with pytest.raises(ValueError, match="block 2: sample_weight must not be negative"):
        check(2, (X, Y, -weight))


def test_the_type_of_rows_is_that_of_their_columns():
    assert _dtypes(X) == "float64"
    assert _dtypes(X.astype(np.float32)) == "float32"
    assert _dtypes(sparse.csr_array(X)) == "float64"
    frame = pd.DataFrame(X, columns=["a", "b"]).astype({"b": "int64"})
    assert _dtypes(frame) == _dtypes(frame[["b", "a"]]) == "float64, int64"
    assert _dtypes(frame["b"]) == "int64"
    assert _dtypes([[1.0]]) == "list"


@pytest.mark.parametrize("n_outputs", [None, 1, 2])
@pytest.mark.parametrize("with_offset", [False, True])
def test_outputs_and_offsets_are_checked_together(n_outputs, with_offset):
    """The check of the offset is told how many outputs there are."""
    y = Y if n_outputs is None else OFFSET[:, :n_outputs]
    told = []

    def check_offset(offset, n_rows, n_of_outputs):
        told.append((offset is not None, n_rows, n_of_outputs))
        return offset

    check = checker(check_offset=check_offset)
    offset = y if with_offset else None
    for index in range(2):
        block = check(index, (X, y, None, offset))
        assert_array_equal(block.y, y)
        assert_array_equal(block.weight, np.ones(5))
    assert told == [(with_offset, 5, n_outputs or 1)] * 2
    with pytest.raises(ValueError, match="block 2 must have an offset like the first"):
        check(2, (X, y, None, None if with_offset else Y))
    with pytest.raises(ValueError, match="block 2 must be like the first"):
        check(2, (X, np.ones((5, 3)), None, offset))


def test_columns_and_rows_of_a_block_are_those_of_the_first():
    check = checker()
    names = ["a", "b"]
    assert check.feature_names is None
    check(0, (pd.DataFrame(X, columns=names), Y))
    assert check.feature_names.tolist() == names
    check(1, (pd.DataFrame(X, columns=names), Y))
    check(2, (pd.DataFrame(X[:0], columns=names), Y[:0]))  # blocks may be empty
    with pytest.raises(ValueError, match="block 3: The feature names should match"):
        check(3, (pd.DataFrame(X, columns=["a", "z"]), Y))
    check = checker()
    check(0, (X, Y))
    with pytest.raises(ValueError, match="block 4: X has 1 features, but"):
        check(4, (X[:, :1], Y))
    with pytest.raises(ValueError, match="block 5: X and y must have the same number of rows"):
        check(5, (X, Y[:4]))


def test_targets_of_blocks_may_be_small_but_not_large_and_have_labels_or_numbers():
    check = checker()
    assert_array_equal(check(0, (X, np.full(5, 1e-150))).y, np.full(5, 1e-150))
    with pytest.raises(ValueError, match="block 1: y must hold numbers of at most"):
        check(1, (X, np.full(5, 1e150)))
    check = checker(is_classification=True)
    labels = np.array(list("uvwuv"))
    assert_array_equal(check(0, (X, labels)).y, labels)
    with pytest.raises(ValueError, match="block 1: "):
        check(1, (X, np.array(["u", None, "v", "u", "v"], dtype=object)))


def test_units_are_checked_with_features_in_rows_and_their_names():
    told = []
    check = checker(check_units=lambda units, rows, names: told.append((units, rows, names)))
    check(0, (sparse.csc_array(X), Y, None, None, Y))
    ((units, rows, names),) = told
    assert_array_equal(units, Y)
    assert isinstance(rows, sparse.csr_array)
    assert names is None
