"""Rows, units, categories and folds, against sums and searches written out row by row."""

import itertools

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeRegressor

from skmoe import MixtureOfExpertsRegressor
from skmoe._data import encoding
from skmoe._data.canonical import CanonicalForm
from skmoe._data.digests import data_digest
from skmoe._data.duplicates import unique_weighted_rows, unique_weighted_rows_of_units
from skmoe._data.encoding import (
    encode,
    encoded_columns,
    encoded_names,
    is_new_to_encoder,
    make_encoder,
    origin_columns,
)
from skmoe._data.feature_range import fit_feature_range, is_outside_ranges, merge_feature_ranges
from skmoe._data.folds import cross_fit_splits, make_feasible_folds, n_folds_of_models
from skmoe._data.rows import (
    Dataset,
    RawFeatures,
    index_rows,
    select_raw_features,
    split_into_blocks,
    subset,
    subset_units,
)
from skmoe._data.scaling import (
    Standardization,
    design_matrix,
    fit_standardization,
    unstandardize_coefficients,
)
from skmoe._data.sklearn_adapter import (
    MIN_CLASS_PROBABILITY,
    check_means,
    check_prediction,
    count_parameters,
    final_estimator,
    has_density,
    is_constant,
    predict_expert,
    special_loss,
    split_pipeline,
    takes_weights,
    typical_model,
    unchecked,
    validate_for_trees,
)
from skmoe._data.units import (
    UnitLabels,
    encode_units,
    join_groups,
    make_units,
    varying_cell,
)
from skmoe._estimators.checkpoint_origin import _param_digest, _param_text
from skmoe._estimators.init_rows import _sample_units
from skmoe._numerics.offset_design import with_offset

CONTAINERS = [np.asarray, sparse.csr_array]


def dense(X):
    return X.toarray() if sparse.issparse(X) else np.asarray(X)


# --- units ----------------------------------------------------------------------------------------

CODES = np.repeat(np.arange(5), [3, 1, 2, 4, 1])


def test_units_are_their_rows():
    rng = np.random.default_rng(0)
    units, values = make_units(CODES), rng.normal(size=(2, len(CODES)))
    assert_array_equal(units.codes, CODES)
    assert_array_equal(units.weight, np.ones(5))
    for u in range(5):
        own = np.flatnonzero(u == CODES)
        assert (units.starts[u], units.sizes[u]) == (own[0], len(own))
        assert_allclose(units.sum_rows(values)[:, u], values[:, own].sum(axis=1))
    assert_array_equal(units.repeat(np.arange(5)), CODES)
    kept = np.array([0, 2, 4])
    assert_array_equal(units.rows_of(kept), np.flatnonzero(np.isin(CODES, kept)))
    some = units.take(kept, np.array([2.0, 3.0, 4.0]))
    assert_array_equal(some.codes, np.repeat([0, 1, 2], [3, 2, 1]))
    assert_array_equal(some.weight, [2.0, 3.0, 4.0])
    assert_array_equal(units._replace(weight=np.arange(5.0)).take(kept).weight, kept)


def test_labels_are_counted_in_the_order_of_the_rows():
    labels = np.array(["b", "b", "a", "c", "c", "a"])
    distinct, codes = encode_units(labels)
    assert_array_equal(distinct[codes], labels)
    assert distinct.tolist() == sorted(set(labels))
    found = UnitLabels(distinct, codes)
    runs = [i for i, (_, group) in enumerate(itertools.groupby(labels)) for _ in group]
    assert_array_equal(found.runs, runs)
    some = found.take(np.array([5, 0, 2]))
    assert_array_equal(some.labels[some.codes], labels[[5, 0, 2]])
    assert some.labels.tolist() == ["a", "b"]
    assert len(found.take(slice(0)).labels) == 0
    assert len(found.take(slice(0)).runs) == 0


@pytest.mark.parametrize("seed", range(5))
def test_rows_stay_together_that_a_chain_of_groups_and_units_joins(seed):
    rng = np.random.default_rng(seed)
    groups, units = rng.integers(9, size=14), rng.integers(9, size=14)
    joined = (groups[:, None] == groups) | (units[:, None] == units)
    for _ in range(14):
        joined = joined @ joined
    component = join_groups(groups, units)
    assert_array_equal(component[:, None] == component, joined)
    assert join_groups(None, None) is None
    assert join_groups(groups, None) is groups
    assert join_groups(None, units) is units


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("columns", [None, np.array([2, 0])])
@pytest.mark.parametrize("changed", [None, (1, 0), (8, 2), (9, 1)])
def test_the_first_column_that_varies_within_a_unit_is_found(container, columns, changed):
    labels = np.array([3, 0, 3, 1, 0, 1, 1, 2, 0, 3])
    X = np.column_stack([labels, labels == 1, -labels]).astype(float)
    if changed is not None:
        X[changed] += 1.0
    expected = None
    for column in range(3) if columns is None else columns:
        first = {}
        differs = [first.setdefault(u, x) != x for u, x in zip(labels, X[:, column], strict=True)]
        if any(differs) and expected is None:
            expected = column, labels[differs.index(True)]
    assert varying_cell(container(X), labels, columns) == expected


# --- rows -----------------------------------------------------------------------------------------


def dataset(with_units=False, container=np.asarray, raw=False):
    rng = np.random.default_rng(0)
    n_rows = len(CODES)
    design = container(rng.normal(size=(n_rows, 3)))
    units = make_units(CODES)._replace(weight=np.arange(1.0, 6.0)) if with_units else None
    experts = with_offset(container(rng.normal(size=(n_rows, 2))), rng.normal(size=(2, n_rows)))
    if raw:
        experts = RawFeatures(
            rng.normal(size=(n_rows, 2)),
            fold=np.arange(n_rows) % 3,
            metadata={"cost": np.arange(n_rows)},
            offset=rng.normal(size=n_rows),
        )
    gate = design[units.starts] if with_units else design
    weight = rng.uniform(1, 2, size=n_rows)
    return Dataset(gate, experts, rng.normal(size=(2, n_rows)), weight, units)


def parts_of(rows):
    """Arrays of a data set, with the rows on the first axis, by whether they are of the gate."""
    experts = rows.expert_design
    if isinstance(experts, RawFeatures):
        own = [experts.X, experts.fold, experts.metadata["cost"], experts.offset]
    else:
        own = [dense(experts.matrix), experts.offset.T]
    return [dense(rows.gate_design), rows.gate_weight], [*own, rows.y.T, rows.weight]


def all_parts(rows):
    of_gate, of_rows = parts_of(rows)
    return [*of_gate, *of_rows]


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("with_units", [False, True])
@pytest.mark.parametrize("size", [1, 2, 4, 11, 50])
def test_blocks_of_rows_are_all_rows_in_their_order(container, with_units, size):
    rows = dataset(with_units, container)
    blocks = split_into_blocks(rows, size)
    for whole, *found in zip(all_parts(rows), *map(all_parts, blocks), strict=True):
        assert_allclose(np.concatenate(found), whole)
    lengths = [len(block.weight) for block in blocks]
    if with_units:
        assert np.concatenate([block.units.sizes for block in blocks]).tolist() == [3, 1, 2, 4, 1]
        assert all(
            n <= size or len(b.units.sizes) == 1 or b.units.sizes[0] + size > n
            for n, b in zip(lengths, blocks, strict=True)
        )
        for block in blocks:
            assert_array_equal(block.units.starts, np.cumsum(block.units.sizes) - block.units.sizes)
    else:
        assert lengths == [size] * (11 // size) + [11 % size] * (11 % size > 0)
    assert len(split_into_blocks(rows)) == 1
    assert split_into_blocks("a source") == "a source"


@pytest.mark.parametrize("n_rows", [0, 1, 11, 12, 20, 25, 30, 31, 32, 99])
def test_blocks_are_of_equal_size_unless_a_size_is_given(n_rows, monkeypatch):
    """A last block of few rows would cost as much overhead as the others."""
    monkeypatch.setattr("skmoe._data.rows.BLOCK_ROWS", 8)
    monkeypatch.setattr("skmoe._data.rows.MAX_BLOCK_ROWS", 8)
    design = np.ones((n_rows, 2))
    blocks = split_into_blocks(Dataset(design, design, np.ones((1, n_rows)), np.ones(n_rows)))
    lengths = [len(block.weight) for block in blocks]
    assert sum(lengths) == n_rows
    if n_rows >= 12:
        assert min(lengths) >= 5
        assert max(lengths) <= 12
        assert max(lengths) - min(lengths) <= len(lengths)
    else:
        assert len(lengths) == min(n_rows, 1)


@pytest.mark.parametrize("raw", [False, True])
def test_subsets_are_the_rows_at_an_index(raw):
    rows, index = dataset(raw=raw), np.array([7, 0, 0, 10])
    for whole, found in zip(*map(all_parts, (rows, subset(rows, index))), strict=True):
        assert_allclose(found, whole[index])
    heavy = subset(rows, index, np.arange(4.0))
    assert_array_equal(heavy.weight, np.arange(4.0))
    of_units, kept = dataset(with_units=True, raw=raw), np.array([1, 3])
    some = subset_units(of_units, kept, 2.5)
    (gate, _), experts = parts_of(of_units)
    (some_gate, some_weight), some_experts = parts_of(some)
    index = np.flatnonzero(np.isin(CODES, kept))
    assert_allclose(some_gate, gate[kept])
    assert_allclose(some_weight, 2.5 * of_units.units.weight[kept])
    for whole, found in zip(experts[:-1], some_experts[:-1], strict=True):
        assert_allclose(found, whole[index])
    assert_allclose(some.weight, 2.5 * of_units.weight[index])
    assert_array_equal(some.units.sizes, [1, 4])


@pytest.mark.parametrize("size", [1, 3, 6, 11])
def test_a_sample_of_units_weighs_as_much_as_all_rows(size):
    rows = dataset(with_units=True)
    for seed in range(5):
        sample, index = _sample_units(rows, size, np.random.default_rng(seed))
        kept = np.unique(CODES[index])
        assert_array_equal(index, np.flatnonzero(np.isin(CODES, kept)))
        assert len(index) <= size or len(kept) == 2
        assert len(kept) >= 2
        assert_allclose(sample.weight.sum(), rows.weight.sum())
        factor = sample.weight[0] / rows.weight[index[0]]
        assert_allclose(sample.weight, factor * rows.weight[index])
        assert_allclose(sample.units.weight, factor * rows.units.weight[kept])
        assert_array_equal(sample.y, rows.y[:, index])


def test_sums_and_weights_of_units_are_those_of_their_rows():
    rng = np.random.default_rng(0)
    rows, values = dataset(with_units=True), rng.normal(size=(2, len(CODES)))
    for u in range(5):
        own = np.flatnonzero(u == CODES)
        assert_allclose(rows.unit_weight[u], rows.weight[own].sum())
        # A unit that stands for several has the mean of their log densities.
        expected = values[:, own] @ rows.weight[own] / rows.units.weight[u]
        assert_allclose(rows.sum_over_units(values)[:, u], expected)
    resp = rng.uniform(size=(2, 5))
    assert_array_equal(rows.row_responsibilities(resp), resp[:, CODES])
    plain = dataset()
    assert plain.sum_over_units(values) is values
    assert plain.row_responsibilities(values) is values
    assert_array_equal(plain.unit_weight, plain.weight)
    assert_array_equal(plain.gate_weight, plain.weight)


@pytest.mark.parametrize("columns", [None, np.array([2, 0])])
def test_columns_and_rows_of_arrays_and_frames_are_the_same(columns):
    rng = np.random.default_rng(0)
    X, rows = rng.normal(size=(6, 3)), np.array([4, 1])
    expected = X if columns is None else X[:, columns]
    for table in (X, sparse.csr_array(X), pd.DataFrame(X, index=list("fedcba"))):
        assert_array_equal(dense(select_raw_features(table, columns).X), expected)
        assert_array_equal(dense(index_rows(table, rows)), X[rows])


# --- repeated rows --------------------------------------------------------------------------------


def repeated_rows():
    rng = np.random.default_rng(0)
    X = rng.integers(2, size=(40, 2)).astype(float)
    y = rng.integers(2, size=(40, 1)).astype(float)
    return X, y, rng.integers(1, 4, size=40).astype(float)


def totals(*columns, weight):
    """Total weight of each distinct row."""
    found = {}
    for *key, w in zip(*columns, weight, strict=True):
        key = tuple(np.ravel(np.concatenate([np.ravel(k) for k in key])).tolist())
        found[key] = found.get(key, 0.0) + w
    return found


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("signs", [[1.0], [-1.0]])
def test_distinct_rows_have_the_weight_of_their_copies(container, signs):
    rng = np.random.default_rng(0)
    X, y, weight = repeated_rows()
    form = CanonicalForm(np.array([1, 0]), np.array([0]), np.array(signs))
    for given in (None, form):
        index, total = unique_weighted_rows(container(X), y, weight, given)
        assert totals(X[index], y[index], weight=total) == totals(X, y, weight=weight)
        assert len(index) == len(totals(X, y, weight=weight))
        # In whatever order the rows come.
        other = rng.permutation(40)
        again, _ = unique_weighted_rows(container(X[other]), y[other], weight[other], given)
        assert_array_equal(X[other][again], X[index])
        assert_array_equal(y[other][again], y[index])


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("merge", [True, False])
def test_units_have_the_rows_that_they_had(container, merge):
    rng = np.random.default_rng(0)
    X, y, weight = repeated_rows()
    codes = rng.permutation(np.repeat(np.arange(8), 5))
    index, total, new = unique_weighted_rows_of_units(
        container(X), y, weight, codes, None, merge=merge
    )
    assert_array_equal(new, np.sort(new))
    assert_array_equal(np.unique(new), np.arange(8))
    whole = totals(X, y, codes, weight=weight)
    assert totals(X[index], y[index], codes[index], weight=total) == whole
    assert len(index) == (len(whole) if merge else 40)
    # A new number is a unit, in whatever order rows and labels come.
    assert len({(a, b) for a, b in zip(new, codes[index], strict=True)}) == 8
    other, names = rng.permutation(40), rng.permutation(8)
    again, total_again, new_again = unique_weighted_rows_of_units(
        container(X[other]), y[other], weight[other], names[codes[other]], None, merge=merge
    )
    assert_array_equal(X[other][again], X[index])
    assert_array_equal(y[other][again], y[index])
    assert_allclose(total_again, total)
    assert_array_equal(new_again, new)


def test_digests_are_those_of_values_names_and_types():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(9, 3))
    X[X < -0.5] = 0.0
    frame = pd.DataFrame(X, columns=list("abc"))
    csr = sparse.csr_array(X)
    same = [
        (X, [X.copy(), np.asfortranarray(X), X[::-1][::-1]]),
        (csr, [csr.copy(), csr.tocsc(), csr.tocoo(), sparse.csr_array(np.asfortranarray(X))]),
        (frame, [frame.copy(), frame.set_axis(list("ihgfedcba"))]),
        (np.array(["a", None], dtype=object), [np.array(["a", None], dtype=object)]),
        (None, [None]),
    ]
    other = X.copy()
    other[8, 2] += 1e-12
    different = [
        X[:8], X[::-1], X.T, X.astype(np.float32), other, X.ravel(), -X,
        csr[:8], sparse.csr_array(other), csr[::-1],
        frame.rename(columns={"a": "z"}), frame[["b", "a", "c"]], frame.astype({"a": "float32"}),
        pd.DataFrame(other, columns=list("abc")),
        np.array(["a", "None"], dtype=object), np.array(["a", "b"]), 3.0, [3.0, 4.0],
    ]  # fmt: skip
    digests = [data_digest(data) for data, _ in same] + [data_digest(data) for data in different]
    assert len(set(digests)) == len(digests)
    for data, copies in same:
        assert {data_digest(copy) for copy in copies} == {data_digest(data)}


def test_digests_of_generators_are_those_of_what_they_draw():
    one = np.random.RandomState(0)
    others = [np.random.RandomState(), np.random.RandomState(np.random.MT19937())]
    for other in others:
        other.set_state(one.get_state())
    assert {_param_digest(other) for other in others} == {_param_digest(one)}
    assert _param_text(one) == _param_text(others[0])
    others[0].uniform()
    assert _param_digest(others[0]) != _param_digest(one)
    X = np.random.default_rng(0).normal(size=(3, 2))
    assert _param_digest(np.asfortranarray(X)) == _param_digest(X)
    assert _param_digest(X.T) != _param_digest(X)
    values = [None, 1, "1", 1.5, True, [1, 2], Ridge(1.0), Ridge(2.0), X]
    assert len({_param_digest(value) for value in values}) == len(values)


@pytest.mark.parametrize("block_bytes", [1, 100, 2**24])
def test_digests_do_not_depend_on_the_slices_that_are_read(block_bytes, monkeypatch):
    X = np.arange(60.0).reshape(20, 3)
    monkeypatch.setattr("skmoe._data.digests.BLOCK_BYTES", block_bytes)
    cut = data_digest(X)
    monkeypatch.undo()
    assert cut == data_digest(X)
    assert cut != data_digest(X + np.eye(20, 3, k=-19))


# --- categories -----------------------------------------------------------------------------------

FRAME = pd.DataFrame(
    {
        "n": [1.0, np.nan, 3.0, 4.0, 8.0, 2.0],
        "c": pd.Categorical(["u", "v", None, "u", "w", "v"]),
        "m": [0, 1, 2, 3, 4, 5],
        "s": ["p", "q", "p", "p", "q", "p"],
    }
)


def test_categories_are_indicators_and_holes_have_a_column():
    weight = np.array([1.0, 1.0, 2.0, 1.0, 1.0, 0.0])
    encoder = make_encoder(FRAME, weight, True)
    names = encoded_names(encoder, np.array(FRAME.columns, dtype=object))
    table = pd.DataFrame(encode(encoder, FRAME), columns=names)
    repeated = np.repeat(FRAME["n"], weight.astype(int)).dropna()
    median = np.quantile(repeated, 0.5, method="inverted_cdf")
    assert_array_equal(table["n"], FRAME["n"].fillna(median))
    assert_array_equal(table["m"], FRAME["m"])
    holes = table.filter(regex="^missingindicator_")
    assert sorted(holes.columns) == ["missingindicator_c", "missingindicator_n"]
    for column in ("n", "c"):
        assert_array_equal(table[f"missingindicator_{column}"], FRAME[column].isna())
    for column in ("c", "s"):
        for level in FRAME[column].dropna().unique():
            assert_array_equal(table[f"{column}_{level}"], FRAME[column] == level)
    assert table.shape[1] == 2 + 2 + 3 + 2
    origin = np.array(FRAME.columns)[origin_columns(encoder)]
    assert [name.removeprefix("missingindicator_").split("_")[0] for name in names] == list(origin)
    for columns in ([0], [3, 1], [0, 1, 2, 3]):
        found = encoded_columns(encoder, np.array(columns))
        assert_array_equal(found, np.flatnonzero(np.isin(origin_columns(encoder), columns)))
    assert encoded_columns(encoder, None) is None


def test_what_the_fit_has_not_seen_is_new():
    encoder = make_encoder(FRAME, np.ones(6), True)
    rows = pd.DataFrame(
        {"n": [np.nan, 9.0], "c": ["x", None], "m": [np.nan, 7.0], "s": [None, "q"]}
    )
    expected = [[False, True, True, True], [False, False, False, False]]
    assert_array_equal(is_new_to_encoder(encoder, rows), expected)
    assert not encode(encoder, rows)[0, encoded_columns(encoder, np.array([1]))].any()


@pytest.mark.parametrize("n_most", [2, 3, 4, 5])
def test_levels_of_little_weight_share_a_column(n_most, monkeypatch):
    monkeypatch.setattr(encoding, "MAX_CATEGORIES", n_most)
    levels = np.array(list("aaabbcccccdd"))
    weight = np.where(levels == "d", 5.0, 1.0)
    frame = pd.DataFrame({"c": levels})
    encoder = make_encoder(frame, weight, False)
    by_weight = sorted("abcd", key=lambda level: -weight[levels == level].sum())
    kept = sorted(by_weight if n_most >= 4 else by_weight[: n_most - 1])
    assert encoder.levels == [kept]
    assert encoder.infrequent == [n_most < 4]
    table = encode(encoder, pd.DataFrame({"c": [*"abcdz"]}))
    assert_array_equal(table[:, : len(kept)], [[level == k for k in kept] for level in "abcdz"])
    assert table.shape[1] == len(kept) + (n_most < 4)
    if n_most < 4:
        assert_array_equal(table[:, -1], ~np.isin([*"abcdz"], kept))
    assert is_new_to_encoder(encoder, pd.DataFrame({"c": ["z"]}))[0, 0] == (n_most >= 4)


# --- ranges ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("used", [[True, True, True], [False, True, False], [True, False, True]])
def test_rows_are_outside_where_a_used_feature_is(container, used):
    X = np.array([[0.0, 2.0, -1.0], [1.0, 5.0, -3.0], [0.5, 3.0, -2.0]])
    ranges = fit_feature_range(container(X))
    assert_array_equal(ranges, [X.min(axis=0), X.max(axis=0)])
    rows = np.array(
        list(
            itertools.product([-0.1, 0.0, 1.0, 1.1], [0.0, 2.0, 5.0, 6.0], [-4.0, -3.0, -1.0, 0.0])
        )
    )
    inside = (rows >= ranges[0]) & (rows <= ranges[1])
    found = is_outside_ranges(container(rows), ranges, np.array(used))
    assert_array_equal(found, ~inside[:, used].all(axis=1))
    halves = fit_feature_range(container(X[:1])), fit_feature_range(container(X[1:]))
    assert_array_equal(merge_feature_ranges(*halves), ranges)
    nothing = np.full((2, 3), np.nan)
    assert_array_equal(merge_feature_ranges(nothing, ranges), ranges)


# --- scaling --------------------------------------------------------------------------------------


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("columns", [None, np.array([2, 0])])
@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_coefficients_in_units_of_the_data_have_the_same_predictions(container, columns, scale):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 3)) * scale
    X[np.abs(X) < 0.3 * scale] = 0.0
    weight = rng.integers(1, 4, size=30)
    table = container(X)
    scaling = fit_standardization(table, weight.astype(float))
    repeated = np.repeat(X / scale, weight, axis=0)
    assert_allclose(scaling.scale / scale, repeated.std(axis=0))
    if container is np.asarray:
        assert_allclose(scaling.center / scale, repeated.mean(axis=0))
    design = dense(design_matrix(table, scaling, columns))
    assert_array_equal(design[:, -1], 1.0)
    coef = rng.normal(size=(2, design.shape[1]))
    slopes, intercepts = unstandardize_coefficients(coef, scaling, columns)
    assert_allclose(X @ slopes.T + intercepts, design @ coef.T, atol=1e-12)
    unused = [] if columns is None else [1]
    assert not slopes[:, unused].any()
    # Rows of a fit on dense rows may come as sparse ones, and the reverse.
    other = X if container is not np.asarray else sparse.csr_array(X)
    assert_allclose(dense(design_matrix(other, scaling, columns)), design, atol=1e-12)


@pytest.mark.parametrize("center", [[0.0, 2.0, 0.0], [0.0, 0.0, 0.0], [1.0, 2.0, -3.0]])
def test_sparse_rows_are_centred_as_those_of_the_fit(center):
    rng = np.random.default_rng(0)
    X = np.where(rng.uniform(size=(20, 3)) < 0.5, 0.0, rng.normal(size=(20, 3)))
    scaling = Standardization(np.array(center), np.array([1.0, 2.0, np.inf]))
    for columns in (None, np.array([1, 0]), np.array([2]), np.zeros(0, dtype=int)):
        expected = (X - scaling.center) / scaling.scale
        expected = expected if columns is None else expected[:, columns]
        for container in CONTAINERS:
            design = dense(design_matrix(container(X), scaling, columns))
            assert_allclose(design, np.column_stack([expected, np.ones(20)]))


# --- folds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_rows", [1, 2, 3, 30])
@pytest.mark.parametrize("n_groups", [None, 1, 2, 7])
@pytest.mark.parametrize("n_classes", [None, 2])
def test_there_are_as_many_folds_as_rows_and_groups_permit(n_rows, n_groups, n_classes):
    groups = None if n_groups is None else np.arange(n_rows) % n_groups
    codes = None if n_classes is None else np.arange(n_rows) // 2 % 2
    most = n_rows if groups is None else len(np.unique(groups))
    if codes is not None and n_rows < 4:
        codes = np.zeros(n_rows, dtype=int)
    fold = make_feasible_folds(5, codes, groups, n_rows, 0)
    n_folds = min(5, most)
    assert_array_equal(np.unique(fold), np.arange(max(n_folds, 1) if n_folds > 1 else 1))
    if groups is not None:
        for group in np.unique(groups):
            assert len(np.unique(fold[groups == group])) == 1
    features = RawFeatures(np.zeros((n_rows, 1)), fold if n_folds > 1 else None)
    splits = list(cross_fit_splits(features))
    tested = np.concatenate([test for _, test in splits])
    assert_array_equal(np.sort(tested), np.arange(n_rows))
    for j, (train, test) in enumerate(splits):
        if n_folds > 1:
            assert_array_equal(train, np.flatnonzero(fold != j))
            assert_array_equal(test, np.flatnonzero(fold == j))
        else:
            assert_array_equal(train, np.arange(n_rows))


def test_many_rows_have_fewer_folds():
    numbers = [n_folds_of_models(n) for n in (2, 20_000, 20_001, 10**6)]
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[0] == numbers[1] > numbers[2] == numbers[3] >= 2


# --- estimators of scikit-learn -------------------------------------------------------------------


def test_parameters_of_fitted_models_are_counted():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), rng.normal(size=40)
    labels = np.arange(40) % 3
    line = LinearRegression().fit(X, y)
    tree = DecisionTreeRegressor(max_leaf_nodes=5).fit(X, y)
    cases = [
        (line, 4),
        (LinearRegression().fit(X, np.column_stack([y, -y])), 8),
        (make_pipeline(StandardScaler(), Ridge()).fit(X, y), 4),
        (LogisticRegression().fit(X, labels), 12),
        (tree, 5),
        (DecisionTreeClassifier(max_leaf_nodes=4).fit(X, labels), 12),
        (DummyClassifier().fit(X, np.zeros(40)), 0),
    ]
    for model, number in cases:
        assert count_parameters(model) == number
    assert np.isnan(count_parameters(RandomForestRegressor(2).fit(X, y)))


def test_constants_are_not_typical_unless_there_are_no_others():
    X = np.zeros((4, 1))
    constant = DummyClassifier().fit(X, np.ones(4))
    two = DummyClassifier().fit(X, [0, 1, 0, 1])
    assert is_constant(constant)
    assert not is_constant(two)
    assert not is_constant(Ridge())
    assert typical_model([constant, two, constant]) is two
    assert typical_model([constant, constant]) is constant


def test_steps_before_the_last_are_found_in_searches_and_pipelines():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 2)), rng.normal(size=30)
    inner = make_pipeline(StandardScaler(), "passthrough", None, Ridge())
    search = GridSearchCV(inner, {"ridge__alpha": [1.0]}, cv=2)
    outer = make_pipeline(MinMaxScaler(), search).fit(X, y)
    steps, model = split_pipeline(outer)
    assert [type(step) for step in steps] == [MinMaxScaler, StandardScaler]
    assert type(model) is Ridge
    transformed = X
    for step in steps:
        transformed = step.transform(transformed)
    assert_allclose(model.predict(transformed), outer.predict(X))
    assert final_estimator(inner) is inner[-1]
    assert final_estimator(Ridge).__name__ == "Ridge"
    assert split_pipeline(model) == ([], model)


def test_estimators_are_known_by_what_they_take():
    assert takes_weights(Ridge())
    assert takes_weights(make_pipeline(StandardScaler(), Ridge()))
    assert not takes_weights(KNeighborsRegressor())
    assert not takes_weights(make_pipeline(StandardScaler(), KNeighborsRegressor()))
    moe = MixtureOfExpertsRegressor()
    assert has_density(moe)
    assert has_density(make_pipeline(StandardScaler(), moe))
    assert not has_density(Ridge())
    assert special_loss(PoissonRegressor()) == "poisson"
    assert special_loss(make_pipeline(StandardScaler(), PoissonRegressor())) == "poisson"
    assert special_loss(DecisionTreeRegressor(criterion="poisson")) == "poisson"
    assert special_loss(DecisionTreeRegressor()) == ""
    assert special_loss(Ridge()) == ""


TREE = DecisionTreeRegressor()
TABLE = np.random.default_rng(0).normal(size=(8, 2))
WITH_HOLE, TOO_LARGE = (np.where(TABLE.max() == TABLE, value, TABLE) for value in (np.nan, 1e300))
CHECKS_ARE_SKIPPED = [
    ([TREE], TABLE, True),
    ([TREE, ExtraTreeRegressor()], TABLE, False),
    ([DecisionTreeClassifier()], TABLE.astype(np.float32), True),
    ([TREE, Ridge()], TABLE, False),
    ([TREE, DecisionTreeRegressor(criterion="poisson")], TABLE, False),
    ([make_pipeline(TREE)], TABLE, False),
    ([TREE], sparse.csr_array(TABLE), False),
    ([TREE], pd.DataFrame(TABLE), False),
    ([TREE], WITH_HOLE, False),
    ([TREE], TOO_LARGE, False),
]


@pytest.mark.parametrize(("models", "X", "is_skipped"), CHECKS_ARE_SKIPPED)
def test_trees_skip_the_checks_of_tables_that_they_take(models, X, is_skipped):
    features = RawFeatures(X, fold=np.arange(8) % 2)
    found = validate_for_trees(models, features)
    assert found.is_validated == is_skipped
    assert_array_equal(found.fold, features.fold)
    if not is_skipped:
        assert found is features
    else:
        assert found.X.dtype == np.float32
        assert_array_equal(found.X, X.astype(np.float32))
    for model in models:
        assert unchecked(model, found) == ({"check_input": False} if is_skipped else {})
    assert unchecked(Ridge(), found) == {}


def test_probabilities_of_classes_that_a_model_lacks_are_the_smallest():
    rng = np.random.default_rng(0)
    classes = np.array(["a", "b", "c", "d"])
    X, y = rng.normal(size=(30, 2)), np.array(["d", "b"])[np.arange(30) % 2]
    model = LogisticRegression().fit(X, y)
    probs, own = predict_expert(model, X, classes), model.predict_proba(X)
    assert probs.shape == (4, 30)
    assert_allclose(probs.sum(axis=0), 1.0)
    assert (probs > 0.0).all()
    assert_array_equal(probs[0], probs[2])
    share = 4 * MIN_CLASS_PROBABILITY  # of the uniform distribution
    assert_allclose(probs[[1, 3]], (1.0 - share) * own.T + share / 4)
    assert probs[0].max() <= probs[[1, 3]].min()
    for y in (rng.normal(size=30), rng.normal(size=(30, 3))):
        line = LinearRegression().fit(X, y)
        assert_array_equal(predict_expert(line, X, None), line.predict(X).reshape(30, -1).T)


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_predictions_are_finite_and_of_the_shape_of_the_target(n_outputs):
    good = np.zeros((n_outputs, 4))
    check_prediction(good, n_outputs, 4)
    for shape in ((n_outputs + 1, 4), (n_outputs, 3), (4,), (4, n_outputs)):
        if shape != good.shape:
            with pytest.raises(ValueError, match="An expert must predict"):
                check_prediction(np.zeros(shape), n_outputs, 4)
    for value in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match="must predict finite values"):
            check_prediction(np.where(np.arange(4) == 2, value, good), n_outputs, 4)


def test_means_under_a_log_link_are_not_negative():
    for values in ([[0.0, 1.0]], [[]]):
        check_means(0, Ridge(), "gamma", np.array(values))
    with pytest.raises(ValueError, match=r"expert 3 must predict .* got -1e-09 of Ridge"):
        check_means(3, Ridge(), "gamma", np.array([[1.0, -1e-9]]))
