"""Digests of data sets: every entry counts, and tables without entries have one."""

import numpy as np
import pytest
from scipy import sparse

from skmoe._data.digests import _array_pieces, data_digest


def test_the_digest_of_no_data_is_a_word():
    assert data_digest(None) == "none"
    assert "none" not in {data_digest([None]), data_digest(np.array("none")), data_digest([])}


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("block_bytes", [1, 50, 2**24])
def test_every_entry_of_a_table_changes_its_digest(make, block_bytes, monkeypatch):
    monkeypatch.setattr("skmoe._data.digests.BLOCK_BYTES", block_bytes)
    tables = [np.arange(1.0, 13.0).reshape(4, 3)]
    for row in range(4):
        for column in range(3):
            tables.append(tables[0].copy())
            tables[-1][row, column] += 0.5
    assert len({data_digest(make(table)) for table in tables}) == len(tables)


def test_tables_without_entries_have_digests_of_their_shapes():
    shapes = [(0,), (0, 2), (3, 0), (0, 0)]
    assert len({data_digest(np.zeros(shape)) for shape in shapes}) == len(shapes)


@pytest.mark.parametrize("block_bytes", [1, 24, 50, 95, 96, 1000])
def test_tables_are_read_in_slices_of_a_given_size(block_bytes, monkeypatch):
    """A slice has at least one row, and each has as many as fit."""
    monkeypatch.setattr("skmoe._data.digests.BLOCK_BYTES", block_bytes)
    table = np.arange(12.0).reshape(4, 3)
    _, *pieces = _array_pieces(table)
    size = 24 * max(block_bytes // 24, 1)
    assert [len(piece) for piece in pieces] == [len(part) for part in _cut(table.tobytes(), size)]
    assert b"".join(pieces) == table.tobytes()


def _cut(data, size):
    return [data[start : start + size] for start in range(0, len(data), size)]
