"""Rows of the first batches of a stream, against sums and joins that are written out."""

from functools import reduce
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skmoe._estimators.row_buffer import N_BUFFERED_ROWS, RowBuffer


def batch(n_rows, *, offset=None, units=False, outputs=1, container=np.asarray, seed=0):
    """Rows of few distinct values, with an offset of some number of axes, and units or not."""
    rng = np.random.default_rng(seed)
    y = (
        rng.integers(0, 2, size=(outputs, n_rows)).astype(float)
        if outputs
        else rng.integers(0, 2, size=n_rows)
    )
    shape = {None: None, 1: (n_rows,), 2: (max(outputs, 1), n_rows)}[offset]
    return RowBuffer(
        container(rng.integers(0, 2, size=(n_rows, 2)).astype(float)),
        y,
        rng.integers(1, 4, size=n_rows).astype(float),
        None if shape is None else rng.integers(0, 2, size=shape).astype(float),
        rng.integers(0, 3, size=n_rows) if units else None,
    )


def total_weights(buffers):
    """Total weight of each distinct row; units of different batches are different."""
    offsets = [b.offset for b in buffers if b.offset is not None]
    n_offsets = max((1 if o.ndim == 1 else len(o) for o in offsets), default=0)
    totals = {}
    any_units = any(b.units is not None for b in buffers)
    for i, b in enumerate(buffers):
        X = b.X.toarray() if sparse.issparse(b.X) else b.X
        for j, weight in enumerate(b.weight):
            offset = np.zeros(n_offsets)
            if b.offset is not None:
                offset = np.broadcast_to(b.offset[..., j], n_offsets)
            unit = (i, j if b.units is None else int(b.units[j])) if any_units else None
            row = (*X[j], *np.atleast_1d(b.y[..., j]), *offset)
            key = (unit, tuple(float(value) for value in row))
            totals[key] = totals.get(key, 0.0) + weight
    return totals


OFFSETS = [(None, None), (None, 1), (1, None), (1, 1), (1, 2), (2, None), (None, 2), (2, 2)]


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("units", list(product([False, True], repeat=2)))
@pytest.mark.parametrize("offsets", [*OFFSETS, "classes"])
def test_batches_are_joined_with_each_distinct_row_once(offsets, units, container):
    outputs = 0 if offsets == "classes" else 2 if 2 in offsets else 1
    offsets = (None, None) if offsets == "classes" else offsets
    first, second = (
        batch(n, offset=o, units=u, outputs=outputs, container=container, seed=n)
        for n, o, u in zip((12, 17), offsets, units, strict=True)
    )
    joined = first.append(second)
    totals = total_weights([first, second])
    assert len(joined.weight) == len(totals)
    assert sorted(joined.weight) == sorted(totals.values())
    assert_allclose(joined.total_weight, first.total_weight + second.total_weight)
    X = joined.X.toarray() if sparse.issparse(joined.X) else joined.X
    columns = [X, joined.y.T]
    if joined.offset is not None:
        columns.append(joined.offset.T.reshape(len(X), -1))
    assert (joined.offset is None) == (offsets == (None, None))
    assert (joined.units is None) == (not any(units))
    weight_of = {}
    for (_, row), weight in totals.items():
        weight_of.setdefault(row, []).append(weight)
    found = {}
    for row, weight in zip(np.column_stack(columns), joined.weight, strict=True):
        found.setdefault(tuple(row.tolist()), []).append(weight)
    assert {row: sorted(w) for row, w in found.items()} == {
        row: sorted(w) for row, w in weight_of.items()
    }
    if joined.units is not None:
        n_units = len({unit for unit, _ in totals})
        assert len(np.unique(joined.units)) == n_units


def test_units_of_many_batches_stay_apart():
    buffers = [batch(6, units=i % 2 == 0, seed=i) for i in range(4)]
    joined = reduce(RowBuffer.append, buffers)
    totals = total_weights(buffers)
    assert len(joined.weight) == len(totals)
    by_unit = {}
    for (unit, _), weight in totals.items():
        by_unit[unit] = by_unit.get(unit, 0.0) + weight
    assert sorted(np.bincount(joined.units, joined.weight)[np.unique(joined.units)]) == sorted(
        by_unit.values()
    )


@pytest.mark.parametrize("outputs", [0, 1, 2])
def test_rows_are_taken_with_all_that_belongs_to_them(outputs):
    index = np.array([4, 0, 0, 2])
    plain = batch(5, outputs=outputs)
    assert plain.take(index).offset is None
    assert plain.take(index).units is None
    for offset in (1, 2):
        full = batch(5, offset=offset, units=True, outputs=outputs)
        taken = full.take(index)
        for i, j in enumerate(index):
            assert_array_equal(taken.X[i], full.X[j])
            assert_array_equal(taken.y[..., i], full.y[..., j])
            assert_array_equal(taken.offset[..., i], full.offset[..., j])
            assert (taken.weight[i], taken.units[i]) == (full.weight[j], full.units[j])


def test_rows_for_the_methods_of_a_mixture_are_the_rows():
    full = batch(5, offset=1, units=True)
    rows = full.as_user_rows()
    assert all(own is other for own, other in zip(rows, full[:5], strict=True))


def of_weight(total, n_rows=1):
    weight = np.full(n_rows, total / n_rows)
    return RowBuffer(np.zeros((n_rows, 1)), np.zeros((1, n_rows)), weight)


@pytest.mark.parametrize(
    ("weight", "at_init", "has_doubled"),
    [
        (199.0, 100.0, False),
        (200.0, 100.0, True),
        (201.0, 100.0, True),
        (N_BUFFERED_ROWS - 1.0, 0.9 * N_BUFFERED_ROWS, False),
        (1.0 * N_BUFFERED_ROWS, 0.9 * N_BUFFERED_ROWS, True),
    ],
)
def test_rows_have_doubled_at_twice_the_weight(weight, at_init, has_doubled):
    assert of_weight(weight)._replace(weight_at_init=at_init).has_doubled is has_doubled


@pytest.mark.parametrize(
    ("weight", "n_rows", "half_life", "is_full"),
    [
        (99.0, 1, 100.0, False),
        (100.0, 1, 100.0, True),
        (N_BUFFERED_ROWS - 1.0, 1, np.inf, False),
        (1.0 * N_BUFFERED_ROWS, 1, np.inf, True),
        (10.0, N_BUFFERED_ROWS, np.inf, True),
        (10.0, N_BUFFERED_ROWS - 1, np.inf, False),
        (N_BUFFERED_ROWS + 1.0, 1, 2.0 * N_BUFFERED_ROWS, True),
    ],
)
def test_buffers_are_full_by_weight_or_by_rows(weight, n_rows, half_life, is_full):
    assert bool(of_weight(weight, n_rows).is_full(half_life)) is is_full
