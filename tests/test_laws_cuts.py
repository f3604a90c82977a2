"""Cuts of rows into folds and blocks: how many there are, where they end, what they hold."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from skmoe._data import blocks as blocks_module
from skmoe._data.blocks import RowBlocks, _block, _end_of_unit
from skmoe._data.folds import (
    RowsToSplit,
    assign_folds,
    check_folds,
    check_metadata,
    check_several_folds,
    cross_fit_splits,
    make_feasible_folds,
    make_folds,
)
from skmoe._data.rows import RawFeatures

N = 24
CODES = np.arange(N) % 3
GROUPS = np.arange(N) // 2

# --- folds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("codes", [None, CODES])
@pytest.mark.parametrize("groups", [None, GROUPS])
def test_folds_are_those_of_scikit_learn_and_have_equal_sizes(codes, groups):
    options = {"shuffle": True, "random_state": 0}
    splitter = {
        (False, False): KFold(4, **options),
        (True, False): StratifiedKFold(4, **options),
        (False, True): GroupKFold(4),
        (True, True): StratifiedGroupKFold(4, **options),
    }[codes is not None, groups is not None]
    fold = make_folds(4, codes, groups, N, 0)
    for j, (_, test) in enumerate(splitter.split(np.zeros(N), codes, groups)):
        assert_array_equal(np.flatnonzero(fold == j), test)
    assert_array_equal(np.bincount(fold), [6, 6, 6, 6])


@pytest.mark.parametrize(("n_rare", "is_stratified"), [(3, False), (4, True), (5, True)])
def test_folds_are_stratified_if_each_class_has_a_row_for_each(n_rare, is_stratified, monkeypatch):
    codes, given = (np.arange(N) < n_rare).astype(int), []
    monkeypatch.setattr(
        "skmoe._data.folds.make_folds", lambda n_folds, codes, *rest: given.append(codes)
    )
    make_feasible_folds(4, codes, None, N, 0)
    assert (given[0] is codes) == is_stratified


def test_features_get_folds_where_they_are_needed():
    features = RawFeatures(np.arange(2.0 * N).reshape(N, 2))
    for cross_fit in (False, "oob"):
        assert assign_folds(features, RowsToSplit(N, CODES), cross_fit, 0) is features
    for codes in (None, CODES):
        for groups in (None, GROUPS):
            rows = RowsToSplit(N, codes, groups)
            found = assign_folds(features, rows, 3, 0).fold
            assert_array_equal(found, make_folds(3, codes, groups, N, 0))
            found = assign_folds(features, rows, "auto", 0, 4).fold
            assert_array_equal(found, make_feasible_folds(4, codes, groups, N, 0))
    one_group = np.zeros(N, dtype=int)
    in_one_group = RowsToSplit(N, None, one_group)
    assert assign_folds(features, in_one_group, "auto", 0).fold is None
    rare = (np.arange(N) < 2).astype(int)
    with pytest.raises(ValueError, match="rows of the smallest class, 2"):
        assign_folds(features, RowsToSplit(N, rare), 3, 0)
    with pytest.raises(ValueError, match=r"number of groups, 1\. Leave groups out"):
        assign_folds(features, in_one_group, 2, 0)
    with pytest.raises(ValueError, match=f"cross_fit=30 must not exceed the number of rows, {N}"):
        assign_folds(features, RowsToSplit(N), 30, 0)
    check_folds(3, 3, 3, 3)


@pytest.mark.parametrize("cross_fit", ["auto", 3])
def test_copies_of_a_row_are_in_its_fold(cross_fit):
    features = RawFeatures(np.arange(2.0 * N).reshape(N, 2))
    distinct = assign_folds(features, RowsToSplit(N, CODES, GROUPS), cross_fit, 0).fold
    copy_of = np.repeat(np.arange(N), 1 + np.arange(N) % 3)
    copies = RawFeatures(features.X[copy_of])
    rows = RowsToSplit(len(copy_of), CODES[copy_of], GROUPS[copy_of], copy_of)
    assert_array_equal(assign_folds(copies, rows, cross_fit, 0).fold, distinct[copy_of])
    with pytest.raises(ValueError, match=f"number of rows, {N}"):
        assign_folds(copies, RowsToSplit(len(copy_of), copy_of=copy_of), N + 1, 0)


def test_rows_of_a_fold_are_those_of_its_test():
    features = RawFeatures(np.zeros((6, 1)))
    ((train, test),) = cross_fit_splits(features)
    assert_array_equal(train, np.arange(6))
    assert_array_equal(test, np.arange(6))
    fold = np.array([0, 2, 1, 0, 2, 2])
    splits = list(cross_fit_splits(features._replace(fold=fold)))
    assert len(splits) == 3
    for j, (train, test) in enumerate(splits):
        assert_array_equal(test, np.flatnonzero(fold == j))
        assert_array_equal(train, np.flatnonzero(fold != j))


def test_rows_out_of_a_fold_need_two_folds():
    check_several_folds("base", np.array([0, 1]), None)
    with pytest.raises(ValueError, match=r"needs rows .* 2 distinct rows; got 1. Leave base out"):
        check_several_folds("base=x", np.zeros(3, dtype=int), None)
    with pytest.raises(ValueError, match=r"2 groups; got 1. Leave groups out"):
        check_several_folds("base", np.zeros(3, dtype=int), np.zeros(3))


def test_metadata_have_an_entry_for_each_row():
    found = check_metadata({"a": [1, 2], "b": None, "groups": ["u", "v"]}, 2)
    assert found.keys() == {"a", "groups"}
    assert_array_equal(found["a"], [1, 2])
    for values in ([1], [1, 2, 3], 5.0):
        with pytest.raises(ValueError, match="a must have one entry for each of the 2 rows"):
            check_metadata({"a": values}, 2)
    for name in ("groups", "units", "cluster"):
        with pytest.raises(ValueError, match=f"{name} must hold labels"):
            check_metadata({name: [1.0, np.nan]}, 2)


# --- blocks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(10, 3), (10, 2, 2), (10,)])
@pytest.mark.parametrize("size", [1, 3, 9, 10, 11])
def test_blocks_have_as_many_rows_as_fit(shape, size, monkeypatch):
    X, y = np.arange(np.prod(shape), dtype=float).reshape(shape), np.arange(10.0)
    monkeypatch.setattr(blocks_module, "BLOCK_BYTES", size * X[0].nbytes + X[0].nbytes // 2)
    blocks = list(RowBlocks.from_arrays(X, y))
    assert [len(rows) for rows, _ in blocks] == [
        min(size, 10 - start) for start in range(0, 10, size)
    ]
    assert_array_equal(np.concatenate([rows for rows, _ in blocks]), X)
    assert_array_equal(np.concatenate([target for _, target in blocks]), y)


def test_rows_without_columns_or_of_many_bytes_have_blocks():
    ((rows, _),) = RowBlocks.from_arrays(np.ones((4, 0)), np.ones(4))
    assert rows.shape == (4, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks_module, "BLOCK_BYTES", 1)
        assert len(list(RowBlocks.from_arrays(np.ones((4, 2)), np.ones(4)))) == 4
    assert list(RowBlocks.from_arrays(np.ones((0, 2)), np.ones(0))) == []


@pytest.mark.parametrize("unit_rows", [1, 2, 1024])
def test_a_block_ends_where_a_unit_ends(unit_rows, monkeypatch):
    monkeypatch.setattr(blocks_module, "UNIT_ROWS", unit_rows)
    units = np.repeat(np.arange(4), [1, 4, 2, 5])
    ends = np.array([1, 5, 7, 12])
    for end in range(1, 12):
        assert _end_of_unit(units, end) == ends[np.searchsorted(ends, end)]
        assert _end_of_unit(None, end) == end
    for end in (12, 15):
        assert _end_of_unit(units, end) == end
    monkeypatch.setattr(blocks_module, "BLOCK_BYTES", 3 * 8)
    blocks = RowBlocks.from_arrays(np.ones((12, 1)), np.ones(12), units=units)
    assert [block[4].tolist() for block in blocks] == [units[:5].tolist(), units[5:].tolist()]


def test_a_block_is_the_shortest_tuple_of_what_there_is():
    assert _block(1, 2) == (1, 2)
    assert _block(1, 2, 3) == (1, 2, 3)
    assert _block(1, 2, None, 4) == (1, 2, None, 4)
    assert _block(1, 2, 3, None, 5) == (1, 2, 3, None, 5)
    assert _block(1, 2, None, None, None) == (1, 2)


def test_columns_of_files_are_found_by_one_name_or_several(tmp_path):
    """One file may be given alone, and targets and offsets may have several columns."""
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame(np.arange(30.0).reshape(5, 6), columns=list("abcdef"))
    for name in ("one", "two"):
        frame.to_parquet(tmp_path / name)
    for paths, n in ((tmp_path / "one", 1), ([tmp_path / "one", tmp_path / "two"], 2)):
        blocks = list(RowBlocks.from_parquet(paths, "c"))
        assert len(blocks) == n
        for X, y in blocks:
            assert X.columns.tolist() == list("abdef")
            assert_array_equal(y, frame["c"])
    given = RowBlocks.from_parquet(tmp_path / "one", ["b", "c"], "d", offset=["e", "f"])
    ((X, y, weight, offset),) = given
    assert X.columns.tolist() == ["a"]
    assert_array_equal(y, frame[["b", "c"]])
    assert_array_equal(weight, frame["d"])
    assert_array_equal(offset, frame[["e", "f"]])
    long_names = frame.set_axis(["ab", "a", "b", "c", "d", "e"], axis=1)
    long_names.to_parquet(tmp_path / "three")
    ((X, _),) = RowBlocks.from_parquet(tmp_path / "three", "ab")
    assert X.columns.tolist() == list("abcde")
