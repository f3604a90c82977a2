"""Digests of data sets, by which a checkpoint knows its rows: see also `test_checkpoints.py`."""

import tracemalloc

import numpy as np

from skmoe._data.digests import data_digest


def test_every_part_of_a_large_table_counts():
    """It is read in slices of 16 megabytes."""
    X = np.arange(2.4e6).reshape(-1, 8)
    digests = {data_digest(X)}
    for row in (262_143, 262_144, len(X) - 1):
        X[row, 7] += 0.5
        digests.add(data_digest(X))
    assert len(digests) == 4


def test_tables_without_entries_have_digests_of_their_shapes():
    tables = [None, [], np.zeros(0), np.zeros((0, 2)), np.zeros((3, 0)), np.zeros((0, 0))]
    assert len({data_digest(table) for table in tables}) == 5  # [] is the array of no numbers


def test_equal_objects_have_equal_digests():
    first, second = (np.array(["".join(pair) for pair in ("ab", "cd")], object) for _ in range(2))
    assert first[0] is not second[0]
    assert data_digest(first) == data_digest(second) != data_digest(second[::-1])


def test_numbers_are_not_copied_as_objects():
    """Which would need many times the memory."""
    numbers = np.arange(200_000.0)
    data_digest(numbers[:10])
    tracemalloc.start()
    data_digest(numbers)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * numbers.nbytes
