"""Passes over row blocks find what numpy and scikit-learn find in all rows at once."""

import itertools
from functools import reduce

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from regimes import quiet
from scipy import sparse
from sklearn.utils.class_weight import compute_class_weight

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._data import blocks as blocks_module
from skmoe._data.block_checks import BlockChecker
from skmoe._data.block_source import make_block_source
from skmoe._data.first_pass import first_pass
from skmoe._data.preprocessing import Preprocessor
from skmoe._data.rows import UserRows
from skmoe._data.units import UnitLabels, encode_units
from skmoe._estimators import init_rows
from skmoe._estimators.unit_checks import check_units_of_block
from skmoe.blocks import DaskBlocks, RowBlocks

N, N_SAMPLE = 200, 30
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3)) * [1.0, 5.0, 0.2] + [0.0, 20.0, 1.0]
X[:, :2][RNG.uniform(size=(N, 2)) < 0.3] = 0.0
Y = np.column_stack([X[:, 0] + 3.0, 7.0 * RNG.normal(size=N)])
LABELS = np.array(["a", "b", "c"])[RNG.choice(3, size=N, p=[0.6, 0.3, 0.1])]
COUNTS = RNG.integers(0, 4, size=N)  # weights that are numbers of rows
WEIGHT = COUNTS.astype(float)
UNITS = np.repeat(np.arange(N // 5), 5)[::-1].copy()  # labels in descending order
OFFSET = RNG.normal(size=N)
CUTS = ([N], [20, N], [0, 60, 60, 150, N], list(range(10, N + 10, 10)))

TARGETS = {"one output": Y[:, 0], "two outputs": Y, "classes": LABELS}
TABLES = {
    "array": np.asarray,
    "sparse": sparse.csr_array,
    "frame": lambda X: pd.DataFrame(X, columns=["a", "b", "c"]),
}
DENSE = {"array", "frame"}


def cut(cuts, *values):
    """Row blocks of parallel values, of which some may be None."""
    ends = list(zip([0, *cuts[:-1]], cuts, strict=True))
    parts = [tuple(None if v is None else v[a:b] for v in values) for a, b in ends]
    return RowBlocks(lambda: iter(parts))


def dense(design):
    return design.toarray() if sparse.issparse(design) else np.asarray(design)


def units_of_block(units, X, names):
    return None if units is None else UnitLabels(*encode_units(units))


def checker_of(target):
    return BlockChecker(target == "classes", lambda y, weight: None, check_units=units_of_block)


def weighted(values):
    """Weighted mean and standard deviation of columns: those of repeated rows."""
    repeated = np.repeat(values, COUNTS, axis=0)
    return repeated.mean(axis=0), repeated.std(axis=0)


@pytest.mark.parametrize("cuts", CUTS, ids=len)
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("table", TABLES)
def test_a_first_pass_finds_what_repeated_rows_say(table, target, cuts):
    """Moments, ranges and weights of classes are those of all rows, and not of the sample."""
    y = TARGETS[target]
    blocks = cut(cuts, TABLES[table](X), y, WEIGHT)
    found = first_pass(blocks, checker_of(target), "balanced", N_SAMPLE, seed=0)
    balanced = np.ones(N)
    if target == "classes":
        repeated = np.repeat(LABELS, COUNTS)
        for label in "abc":
            balanced[label == LABELS] /= 3 * np.mean(repeated == label)
    mean = np.average(X, axis=0, weights=balanced * COUNTS)
    std = np.sqrt(np.average(np.square(X - mean), axis=0, weights=balanced * COUNTS))
    assert found.n_rows == N
    assert_allclose(found.feature_scaling.center, mean if table in DENSE else np.zeros(3))
    assert_allclose(found.feature_scaling.scale, std)
    kept = X[COUNTS > 0]
    assert_array_equal(found.feature_range, [kept.min(axis=0), kept.max(axis=0)])
    assert (None if found.names is None else list(found.names)) == (
        ["a", "b", "c"] if table == "frame" else None
    )
    assert (found.sample_factor, found.n_units) == (1.0, None)
    assert_allclose(found.sample.weight.sum(), COUNTS.sum())
    if target == "classes":
        assert found.target_scaling is None
        assert_array_equal(found.classes, ["a", "b", "c"])
        expected = compute_class_weight("balanced", classes=found.classes, y=repeated)
        assert list(found.class_weights) == ["a", "b", "c"]
        assert_allclose(list(found.class_weights.values()), expected)
    else:
        assert found.classes is None
        assert found.class_weights is None
        mean, std = weighted(y.reshape(N, -1))
        assert_allclose(found.target_scaling.center, mean)
        assert_allclose(found.target_scaling.scale, std)


@pytest.mark.parametrize("cuts", CUTS, ids=len)
@pytest.mark.parametrize("n_sample", [7, N_SAMPLE, N])
def test_a_sample_of_units_has_whole_units_which_stand_for_all(cuts, n_sample):
    found = first_pass(
        cut(cuts, X, Y[:, 0], WEIGHT, None, UNITS), checker_of("one output"), None, n_sample, 0
    )
    present = np.unique(UNITS[COUNTS > 0])
    assert found.n_units == len(present)
    number = {tuple(row): i for i, row in enumerate(X)}
    rows = np.array([number[tuple(row)] for row in found.sample.X])
    sampled = np.unique(UNITS[rows])
    assert set(rows) == set(np.flatnonzero(np.isin(UNITS, sampled) & (COUNTS > 0)))
    assert len(rows) <= n_sample
    assert_array_equal(found.sample.weight, WEIGHT[rows])
    assert_allclose(found.sample_factor * WEIGHT[rows].sum(), WEIGHT.sum())
    # Rows of a unit, and they alone, have the same number.
    codes = found.sample.units.codes
    same = codes[:, None] == codes
    assert_array_equal(same, UNITS[rows][:, None] == UNITS[rows])


@pytest.mark.parametrize("cuts", CUTS, ids=len)
@pytest.mark.parametrize("columns", [None, np.array([2, 0])])
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("table", ["array", "sparse"])
def test_each_pass_gives_the_rows_of_memory(table, target, columns, cuts):
    """With class weights, offsets and the rows of positive weight only."""
    y, classes = TARGETS[target], {"a": 0.5, "b": 3.0, "c": 1.0}
    rows, offset = TABLES[table](X), OFFSET
    if target == "two outputs":
        offset = np.column_stack([OFFSET, -OFFSET])
    blocks, checker = cut(cuts, rows, y, WEIGHT, offset), checker_of(target)
    found = first_pass(blocks, checker, classes, N_SAMPLE, 0)
    preprocessor = Preprocessor(found.feature_scaling, found.target_scaling, columns, None)
    source = make_block_source(blocks, checker, preprocessor, found)
    kept = np.flatnonzero(COUNTS)
    outputs, weight = y[kept].reshape(len(kept), -1).T, WEIGHT[kept]
    if target == "classes":
        outputs = np.searchsorted(found.classes, y[kept])
        weight = weight * np.array([classes[label] for label in y[kept]])
    whole, _ = preprocessor.transform(rows[kept], outputs, weight, offset[kept].T)
    parts = list(source)
    assert_allclose(np.vstack([dense(p.gate_design) for p in parts]), dense(whole.gate_design))
    for name in ("matrix", "offset"):
        axis = 0 if name == "matrix" else -1
        joined = [dense(getattr(p.expert_design, name)) for p in parts]
        expected = dense(getattr(whole.expert_design, name))
        assert_allclose(np.concatenate(joined, axis=axis), expected)
    assert_allclose(np.concatenate([p.y for p in parts], axis=-1), whole.y)
    assert_allclose(np.concatenate([p.weight for p in parts]), weight)


@pytest.mark.parametrize("aggregate", ["mean", "first"])
def test_each_pass_gives_the_units_of_memory(aggregate):
    blocks, checker = cut([60, N], X, Y, WEIGHT, None, UNITS), checker_of("two outputs")
    found = first_pass(blocks, checker, None, N_SAMPLE, 0)
    preprocessor = Preprocessor(
        found.feature_scaling, found.target_scaling, None, None, gate_aggregate=aggregate
    )
    parts = list(make_block_source(blocks, checker, preprocessor, found))
    kept = np.flatnonzero(COUNTS)
    codes = np.unique(-UNITS[kept], return_inverse=True)[1]  # in the order of the rows
    whole = preprocessor.transform_units(UserRows(X[kept], Y[kept].T, WEIGHT[kept], None, codes))
    assert_allclose(np.vstack([p.gate_design for p in parts]), whole.gate_design)
    assert_allclose(np.concatenate([p.units.sizes for p in parts]), whole.units.sizes)
    assert_allclose(np.concatenate([p.y for p in parts], axis=1), whole.y)


@pytest.mark.parametrize("kind", ["regressor", "outputs", "classifier", "poisson"])
def test_the_scaling_of_a_fit_of_blocks_is_that_of_all_rows(kind, monkeypatch):
    """Also where the starts are found on a sample of few rows."""
    monkeypatch.setattr(init_rows, "MAX_INIT_ROWS", 25)
    options = {"n_init": 1, "max_iter": 3, "random_state": 0}
    y = {"outputs": Y, "classifier": LABELS}.get(kind, Y[:, 0])
    if kind == "poisson":
        y, options["family"] = COUNTS[::-1].astype(float), "poisson"
    make = MixtureOfExpertsClassifier if kind == "classifier" else MixtureOfExpertsRegressor
    moe = quiet(make(2, **options), cut([70, N], X, y, WEIGHT))
    preprocessor = moe._fitted.preprocessor
    mean, std = weighted(X)
    assert_allclose(preprocessor.feature_scaling.center, mean)
    assert_allclose(preprocessor.feature_scaling.scale, std)
    kept = X[COUNTS > 0]
    assert_array_equal(preprocessor.feature_range, [kept.min(axis=0), kept.max(axis=0)])
    if kind == "classifier":
        assert preprocessor.target_scaling is None
        return
    mean, std = weighted(y.reshape(N, -1))
    if kind == "poisson":
        mean, std = np.zeros(1), np.ones(1)
    assert_allclose(preprocessor.target_scaling.center, mean)
    assert_allclose(preprocessor.target_scaling.scale, std)


# --- sources of blocks ----------------------------------------------------------------------------


def ends_of_units(units, size):
    """Ends of blocks of at least `size` rows that cut no unit, found row by row."""
    ends, start = [], 0
    while start < len(units):
        end = min(start + size, len(units))
        while end < len(units) and units[end] == units[end - 1]:
            end += 1
        ends.append(end)
        start = end
    return ends


@pytest.mark.parametrize("n_rows_of_search", [1, 1024])
@pytest.mark.parametrize("lengths", [[5] * 8, [1] * 40, [40], [17, 1, 1, 21], [2, 30, 3, 5]])
@pytest.mark.parametrize("size", [1, 4, 100])
@pytest.mark.parametrize("given", ["X y", "weight", "offset", "units"])
def test_arrays_are_cut_into_blocks_that_are_all_their_rows(
    given, size, lengths, n_rows_of_search, monkeypatch
):
    rows, targets = X[:40], Y[:40]
    monkeypatch.setattr(blocks_module, "BLOCK_BYTES", size * rows[0].nbytes)
    monkeypatch.setattr(blocks_module, "UNIT_ROWS", n_rows_of_search)
    units = np.repeat(np.arange(len(lengths)), lengths)
    optional = {
        "sample_weight": WEIGHT[:40] if given != "X y" else None,
        "offset": OFFSET[:40] if given in ("offset", "units") else None,
        "units": units if given == "units" else None,
    }
    parts = list(RowBlocks.from_arrays(rows, targets, **optional))
    expected = [values for values in (rows, targets, *optional.values()) if values is not None]
    for values, *found in zip(expected, *parts, strict=True):
        assert_array_equal(np.concatenate(found), values)
    ends = ends_of_units(units if given == "units" else np.arange(40), size)
    assert_array_equal(np.cumsum([len(part[0]) for part in parts]), ends)


@pytest.mark.parametrize("n_blocks", range(1, 8))
def test_blocks_of_dask_are_merged_each_once_and_in_their_order(n_blocks):
    dask = pytest.importorskip("dask")
    with dask.config.set(scheduler="synchronous"):
        blocks = DaskBlocks([dask.delayed((X[i : i + 1], i)) for i in range(n_blocks)])
        assert [y for _, y in blocks] == list(range(n_blocks))
        assert blocks.first()[1] == 0
        assert blocks.map(lambda index, block: (index, block[1])) == [
            (i, i) for i in range(n_blocks)
        ]
        merged = blocks.map_reduce(lambda index, block: [block[1]], lambda a, b: [*a, *b])
        assert merged == reduce(lambda a, b: [*a, *b], [[i] for i in range(n_blocks)])


def as_blocks(parts):
    return RowBlocks(lambda: iter(map(tuple, parts)))


def as_dask_blocks(parts):
    dask = pytest.importorskip("dask")
    return DaskBlocks([dask.delayed(tuple)(part) for part in parts])


@pytest.mark.parametrize("spoilt", range(3))
@pytest.mark.parametrize("make", [as_blocks, as_dask_blocks])
@pytest.mark.parametrize("fault", ["X", "y", "weight", "dtype", "columns", "offset"])
def test_the_block_with_a_fault_is_named(make, spoilt, fault):
    rows = [slice(i, i + 9) for i in (0, 9, 18)]
    parts = [[X[block].copy(), WEIGHT[block].copy(), WEIGHT[block] + 1.0] for block in rows]
    part = parts[spoilt]
    if fault in ("X", "y", "weight"):
        part[["X", "y", "weight"].index(fault)][2] = np.nan
    elif fault == "dtype":
        part[0] = part[0].astype(np.float32)
    elif fault == "columns":
        part[0] = part[0][:, :2]
    else:
        part.append(np.zeros(9))
    # What differs from the first block is found in the others.
    unlike = fault in ("dtype", "columns", "offset") and spoilt == 0
    moe, blocks = MixtureOfExpertsRegressor(2, family="poisson"), make(parts)
    with pytest.raises(ValueError, match=rf"^block {1 if unlike else spoilt}\b"):
        moe.fit(blocks)


def test_units_whose_rows_are_apart_are_refused_in_every_arrangement():
    params = MixtureOfExpertsRegressor(1, gate="constant")._validate_parameters()
    for length in range(6):
        for labels in itertools.product("abc", repeat=length):
            runs = [label for label, _ in itertools.groupby(labels)]
            apart = sorted({label for label in runs if runs.count(label) > 1})
            rows = np.zeros((length, 1))
            if not apart:
                found = check_units_of_block(params, np.array(labels, dtype=str), rows, None)
                assert_array_equal(found.labels[found.codes], np.array(labels, dtype=str))
                continue
            with pytest.raises(ValueError, match="next to each other; those of unit") as refusal:
                check_units_of_block(params, np.array(labels), rows, None)
            most = max(apart, key=runs.count)
            assert f"those of unit {most!r} are apart" in str(refusal.value)
