"""Chunks of Dask arrays: all have those of X, however their rows were cut."""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skmoe._data.dask_chunks import _chunk_sizes, align_chunks, zip_chunks

dask = pytest.importorskip("dask.array")

ROWS = np.arange(24.0).reshape(12, 2)


@pytest.mark.parametrize("other", [(12,), (5, 7), (3, 4, 5), (1,) * 12])
@pytest.mark.parametrize("cut", [(12,), (5, 7), (3, 4, 5)])
def test_other_arrays_get_the_chunks_of_the_features(cut, other):
    X = dask.from_array(ROWS, chunks=(cut, 1))
    y = dask.from_array(ROWS[:, 0], chunks=(other,))
    features, target, weight = align_chunks({"X": X, "y": y, "sample_weight": ROWS[:, 1]})
    assert features is X
    assert target.chunks == weight.chunks == (cut,)
    starts = np.cumsum([0, *cut])
    blocks = [[part.compute() for part in block] for block in zip_chunks([X, target, weight])]
    assert len(blocks) == len(cut)
    for (rows, of_target, of_weight), start, end in zip(
        blocks, starts[:-1], starts[1:], strict=True
    ):
        assert_array_equal(rows, ROWS[start:end])
        assert_array_equal(of_target, ROWS[start:end, 0])
        assert_array_equal(of_weight, ROWS[start:end, 1])


def test_chunks_of_unknown_sizes_are_those_of_rows_not_of_columns():
    X = dask.from_array(ROWS, chunks=(4, 1))
    kept = X[:, 0] > 5.0
    features, target = align_chunks({"X": X[kept], "y": X[:, 1][kept]})
    assert features.numblocks == (3, 2)
    assert target.numblocks == (3,)
    assert_array_equal(target.compute(), ROWS[ROWS[:, 0] > 5.0, 1])


def test_sizes_of_chunks_are_unknown_if_one_of_them_is():
    sizes = {(2, 3): (2, 3), (np.nan, 3): None, (np.nan, np.nan): None}
    for given, expected in sizes.items():
        assert _chunk_sizes(SimpleNamespace(chunks=(given, (2,)))) == expected
    assert _chunk_sizes(SimpleNamespace()) is None
