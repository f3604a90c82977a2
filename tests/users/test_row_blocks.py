"""Fits of row blocks are fits of the same rows in memory, and bad blocks are refused by number."""

import copy
import tracemalloc
import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.data import RowBlocks
from support.fits import (
    ALL_CASES,
    FIXED,
    ends_of_starts,
    fit_quietly,
    loads,
)
from support.fits import X as CASE_X
from support.refusals import assert_fit_refused, assert_refused, refusal

CUTS = {"one block": [120], "two blocks": [50, 120], "twelve blocks": list(range(10, 130, 10))}


def blocks_of(ends, *values, make=np.asarray):
    """Row blocks of parallel values, of which some may be None."""

    def factory():
        for start, end in zip([0, *ends[:-1]], ends, strict=True):
            X, *others = (None if v is None else v[start:end] for v in values)
            yield make(X), *others

    return RowBlocks(factory)


def separated(n_rows=120):
    """Two regimes that are far apart in the features: every start ends in the same optimum."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 2)) * [1.0, 3.0] + [0.0, 10.0]
    is_right = np.arange(n_rows) % 3 == 0
    X[:, 0] += np.where(is_right, 4.0, -4.0)
    y = np.where(is_right, 20.0 + X[:, 1], -X[:, 1]) + 0.3 * rng.normal(size=n_rows)
    return X, y


def columns():
    """Columns in different units, one mostly zero, and weights that are numbers of rows."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3)) * [1.0, 5.0, 0.2] + [0.0, 20.0, 1.0]
    X[:, 2] *= rng.uniform(size=120) < 0.4
    y = X @ [1.0, 0.2, 3.0] + rng.normal(size=120)
    return X, y, rng.integers(0, 4, size=120)


# --- equal to memory ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "cut"),
    [
        *((np.asarray, cut) for cut in CUTS),
        *((make, "twelve blocks") for make in (sparse.csr_array, sparse.coo_array, pd.DataFrame)),
    ],
)
def test_one_expert_is_ridge_regression_on_repeated_rows(make, cut):
    """The penalty is of standardised columns, so means, spreads and weights are those of all rows.

    The lines are the same in the range of the features, which is that of rows of positive weight.
    """
    X, y, counts = columns()
    blocks = blocks_of(CUTS[cut], X, y, counts.astype(float), make=make)
    moe = MixtureOfExpertsRegressor(1, n_init=1, alpha=30.0, dispersion_prior=0.0).fit(blocks)
    repeated = np.repeat(np.arange(120), counts)
    scaler = StandardScaler().fit(X[repeated])
    ridge = Ridge(30.0).fit(scaler.transform(X[repeated]), y[repeated])
    assert_allclose(moe.expert_coef_[0], ridge.coef_ / scaler.scale_, rtol=1e-8)
    assert_allclose(moe.predict(X), ridge.predict(scaler.transform(X)), rtol=1e-8)
    residual = y[repeated] - moe.predict(X[repeated])
    loss = residual @ residual + 30.0 * ridge.coef_ @ ridge.coef_
    assert_allclose(moe.noise_variance_, loss / len(repeated), rtol=1e-6)
    kept = X[counts > 0]
    assert_array_equal(moe.feature_range_, [kept.min(axis=0), kept.max(axis=0)])


@pytest.mark.parametrize("kinds", [(np.asarray, sparse.csr_array), (sparse.csr_array, np.asarray)])
def test_dense_and_sparse_blocks_may_follow_each_other(kinds):
    X, y, _ = columns()
    blocks = RowBlocks(lambda: [(kinds[0](X[:50]), y[:50]), (kinds[1](X[50:]), y[50:])])
    moe = MixtureOfExpertsRegressor(1, n_init=1, alpha=30.0).fit(blocks)
    whole = MixtureOfExpertsRegressor(1, n_init=1, alpha=30.0).fit(X, y)
    assert_allclose(moe.predict(X), whole.predict(X), rtol=1e-8)


CONTINUED = {
    "linear-regressor": {},
    "linear-classifier": {"class_weight": {0: 0.5, 1: 2.0}},
    "poisson-regressor": {},
    "known experts of units": {},
}


@pytest.mark.parametrize("case", CONTINUED)
def test_a_warm_start_over_blocks_is_that_in_memory(case):
    """A first fit, and a second one that goes on from its end with other penalties."""
    moe, y, given = ALL_CASES[case]
    names = "sample_weight", "offset", "units", "known_experts"
    blocks = blocks_of([70, 150, 300], CASE_X, y, *map(given.get, names))
    moe = clone(moe).set_params(warm_start=True, max_iter=200, init="linear_tree", tol=1e-9)
    moe.set_params(**CONTINUED[case])
    of_blocks, whole = fit_quietly(clone(moe), blocks), fit_quietly(moe, CASE_X, y, **given)
    for penalties in ({}, {"alpha": 0.3, "gate_alpha": 2.0, "max_iter": 2}):
        fit_quietly(of_blocks.set_params(**penalties), blocks)
        fit_quietly(whole.set_params(**penalties), CASE_X, y, **given)
        assert_allclose(of_blocks.lower_bounds_[-1], whole.lower_bounds_[-1], atol=1e-6)
        assert_allclose(of_blocks.predict_gate(CASE_X), whole.predict_gate(CASE_X), atol=1e-3)
        assert_allclose(loads(of_blocks), loads(whole), atol=1e-3)
    assert of_blocks.n_iter_ == 2


@pytest.mark.parametrize("with_units", [False, True])
def test_starts_on_a_sample_are_of_all_blocks(with_units):
    """Of more rows than starts are found on, or of units, which are sorted by their regime."""
    n_rows = 22_000
    rng = np.random.default_rng(0)
    X = np.sort(rng.normal(size=(n_rows, 1)), axis=0)
    y = np.abs(X[:, 0]) + 0.1 * rng.normal(size=n_rows)
    units = np.arange(n_rows) // 2 if with_units else None
    options = {"gate": "constant", "n_init": 1, "max_iter": 2, "random_state": 0}
    moe = MixtureOfExpertsRegressor(2, **options | FIXED)
    blocks = blocks_of([700, 12_000, n_rows], X, y, None, None, units)
    of_blocks = fit_quietly(copy.deepcopy(moe), blocks)
    whole = fit_quietly(moe, X, y, units=units)
    assert_allclose(of_blocks.lower_bound_, whole.lower_bound_, atol=0.1)
    assert getattr(of_blocks, "n_units_", n_rows // 2) == n_rows // 2
    assert_allclose(of_blocks.feature_range_[:, 0], [X.min(), X.max()])


@pytest.mark.parametrize("in_blocks", [False, True])
@pytest.mark.parametrize("with_units", [False, True])
def test_penalties_have_the_same_weight_on_a_sample_and_on_all_rows(with_units, in_blocks):
    """The bound of starts of a sample is near that of all rows, not that of a strong penalty."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(25_000, 1))
    y = 3.0 * X[:, 0] + rng.normal(size=25_000)
    units = np.arange(25_000) // 2 if with_units else None
    moe = MixtureOfExpertsRegressor(1, alpha=25_000.0, n_init=1, max_iter=1, gate="constant")
    if in_blocks:
        fit_quietly(moe, blocks_of([25_000], X, y, None, None, units))
    else:
        fit_quietly(moe, X, y, units=units)
    assert_allclose(ends_of_starts(moe)[0], moe.lower_bound_, atol=0.05)


def test_blocks_without_rows_of_positive_weight_are_skipped():
    X, y = separated()
    weight = np.ones(120)
    weight[40:60] = 0.0
    moe = MixtureOfExpertsRegressor(2, n_init=1, max_iter=5, random_state=0, **FIXED)
    with_empty = fit_quietly(moe, blocks_of([0, 40, 60, 60, 120], X, y, weight)).predict(X)
    kept = weight > 0.0
    whole = fit_quietly(moe, blocks_of([40, 100], X[kept], y[kept]))
    assert_allclose(with_empty, whole.predict(X), rtol=1e-9)


# --- passes and memory ----------------------------------------------------------------------------


class CountedPasses:
    """A source that counts its passes, and makes each block anew."""

    def __init__(self, n_blocks, n_rows=1000):
        self.n_blocks, self.n_rows, self.n_passes = n_blocks, n_rows, 0

    def __call__(self):
        self.n_passes += 1
        rng = np.random.default_rng(0)
        for _ in range(self.n_blocks):
            X = rng.uniform(-1, 1, size=(self.n_rows, 2))
            yield X, np.abs(X[:, 0]) + 0.1 * rng.normal(size=self.n_rows)


def test_there_is_one_pass_for_each_iteration():
    factory = CountedPasses(3, 100)
    moe = fit_quietly(MixtureOfExpertsRegressor(2, n_init=1, random_state=0), RowBlocks(factory))
    # The first pass, a first sweep and the use of experts; a step that is taken back costs one.
    assert moe.n_iter_ <= factory.n_passes <= 1.5 * moe.n_iter_ + 4


def test_memory_does_not_grow_with_the_rows():
    peaks = []
    for n_blocks in (4, 8):
        moe = MixtureOfExpertsRegressor(1, n_init=1, alpha=1.0, max_iter=1)
        tracemalloc.start()
        fit_quietly(moe, RowBlocks(CountedPasses(n_blocks, 5000)))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


# --- sources --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lengths", "ends"),
    [
        (None, [8, 16, 24, 32, 40]),
        ([5, 3, 8, 1, 12, 11], [8, 16, 29, 40]),
    ],
)
def test_arrays_are_cut_into_blocks_of_16_megabytes_that_end_with_a_unit(lengths, ends):
    # Rows of 2 megabytes, which are one number in memory.
    X = np.broadcast_to(np.arange(40.0)[:, None], (40, 2**18))
    y, weight, offset = np.arange(40.0), np.arange(40.0) + 1, -np.arange(40.0)
    units = None if lengths is None else np.repeat(np.arange(len(lengths)), lengths)
    blocks = RowBlocks.from_arrays(X, y, sample_weight=weight, offset=offset, units=units)
    found = [[block[0][:, 0], *block[1:]] for block in blocks]
    for values, *parts in zip(
        [v for v in (y, y, weight, offset, units) if v is not None], *found, strict=True
    ):
        assert_array_equal(np.concatenate(parts), values)
    assert np.cumsum([len(block[1]) for block in found]).tolist() == ends


@pytest.mark.parametrize("name", ["y", "sample_weight", "offset", "units", "known_experts"])
def test_from_arrays_refuses_tables_of_other_kinds_and_arrays_of_other_lengths(name):
    X, y = separated()
    message = refusal(RowBlocks.from_arrays, X, **{"y": y} | {name: np.ones(119)})
    assert_refused(message, f"{name} must", "each row of X", "119", "120")
    message = refusal(RowBlocks.from_arrays, pd.DataFrame(X), y)
    assert_refused(message, "X must", "DataFrame", "fit")


def test_other_sources_and_columns_that_no_file_has_are_refused(tmp_path):
    X, y = separated()
    message = refusal(RowBlocks, [(X, y)])
    assert_refused(message, "factory must be callable", "list", "lambda: iter(blocks)")
    path = tmp_path / "rows.parquet"
    pd.DataFrame({"a": X[:, 0], "b": y}).to_parquet(path)
    for given in ({"target": "z"}, {"target": "b", "offset": "z"}):
        blocks = RowBlocks.from_parquet(path, **given)
        words = "columns", "'z' is not one of ['a', 'b']"
        assert_fit_refused(MixtureOfExpertsRegressor(2), (blocks,), "target", *words)


@pytest.mark.parametrize("method", ["predict", "sample", "score", "responsibilities", "summary"])
def test_methods_of_fitted_estimators_take_no_blocks(method):
    X, y = separated()
    blocks = blocks_of([60, 120], X, y)
    moe = fit_quietly(MixtureOfExpertsRegressor(2, n_init=1, max_iter=2), blocks)
    given = () if method in ("predict", "sample") else (y,)
    message = refusal(getattr(moe, method), blocks, *given)
    assert_refused(message, "X must be an array or a data frame", "RowBlocks", "each block")


# --- refusals -------------------------------------------------------------------------------------


@cache
def rows():
    return separated()


def nan_in_x(X, y):
    X[3, 1] = np.nan
    return X, y


SECOND_BLOCK = {
    "columns": (lambda X, y: (X[:, :1], y), "block 1: X has 1 features, but the first block", "2"),
    "dtype": (lambda X, y: (X.astype("f4"), y), "block 1 must be like the first", "float32"),
    "NaN in X": (nan_in_x, "block 1: X must have no missing values", "column 1", "Impute"),
    "NaN in y": (lambda X, y: (X, np.nan * y), "block 1: y must have no missing"),
    "rows of y": (lambda X, y: (X, y[:5]), "block 1: X and y must", "60 and 5"),
    "outputs": (lambda X, y: (X, np.column_stack([y, y])), "block 1 must be like", "(2,)"),
    "size of y": (lambda X, y: (X, 1e150 * y), "block 1: y must hold numbers of at most"),
    "negative weight": (lambda X, y: (X, y, -np.ones(60)), "block 1: sample_weight must be", "-1"),
    "NaN in weight": (lambda X, y: (X, y, np.nan * y), "block 1: sample_weight must be finite"),
    "rows of weight": (lambda X, y: (X, y, y[:5]), "block 1: sample_weight must", "(5,)"),
    "offset": (lambda X, y: (X, y, None, y), "block 1 must be like", "shape None", "zeros"),
    "a list": (lambda X, y: [X, y], "block 1 must be a tuple (X, y)", "list"),
    "one entry": (lambda X, y: (X,), "block 1 must be a tuple (X, y)", "tuple"),
    "eight entries": (lambda X, y: (X, y, *[None] * 6), "block 1 must be a tuple", "tuple"),
    "known experts": (lambda X, y: (X, y, *[None] * 3, y), "block 1: known_experts must", "float"),
}


@pytest.mark.parametrize("case", SECOND_BLOCK)
def test_a_bad_block_is_refused_by_its_number(case):
    X, y = rows()
    change, name, *words = SECOND_BLOCK[case]
    parts = [(X[:60], y[:60]), change(X[60:].copy(), y[60:])]
    blocks = RowBlocks(lambda: iter(parts))
    assert_fit_refused(MixtureOfExpertsRegressor(2), (blocks,), name, *words)


def test_names_of_columns_are_those_of_the_first_block():
    X, y = rows()
    frames = [pd.DataFrame(X[:60], columns=["a", "b"]), pd.DataFrame(X[60:], columns=["a", "z"])]
    blocks = RowBlocks(lambda: iter([(frames[0], y[:60]), (frames[1], y[60:])]))
    name = "block 1: The feature names should match"
    assert_fit_refused(MixtureOfExpertsRegressor(2), (blocks,), name, "z")


@pytest.mark.parametrize("is_first_named", [True, False])
def test_names_of_columns_are_those_of_all_blocks_or_of_none(is_first_named):
    X, y = rows()
    kinds = [pd.DataFrame(X[:60], columns=["a", "b"]), X[:60]]
    first, second = kinds if is_first_named else kinds[::-1]
    blocks = RowBlocks(lambda: iter([(first, y[:60]), (second, y[60:])]))
    words = "block 1 must be like the first", "float64 with names", "Convert the blocks"
    with warnings.catch_warnings(action="error"):
        assert_fit_refused(MixtureOfExpertsRegressor(2), (blocks,), *words)


def test_small_values_of_y_in_one_block_are_accepted():
    """As a target of all rows they would be refused."""
    X, y = rows()
    y = np.where(np.arange(120) < 60, 1e-150 * y, y)
    moe = MixtureOfExpertsRegressor(1, n_init=1).fit(blocks_of([60, 120], X, y))
    assert np.isfinite(moe.predict(X)).all()


@pytest.mark.parametrize(
    ("labels", "unit"),
    [("aabbab", "a"), ("abab", "a"), ("abcb", "b"), ("abcbcbc", "b"), ("aba", "a")],
)
def test_rows_of_a_unit_must_be_next_to_each_other(labels, unit):
    n_rows = len(labels)
    X, y = rows()
    blocks = blocks_of([n_rows], X[:n_rows], y[:n_rows], None, None, np.array(list(labels)))
    moe = MixtureOfExpertsRegressor(2, gate="constant")
    assert_fit_refused(moe, (blocks,), "block 0: units must", f"{unit!r}")


def test_a_unit_must_be_in_one_block_and_every_block_has_units_or_none_has():
    X, y = rows()
    units = np.arange(120) // 8
    moe = MixtureOfExpertsRegressor(2, gate="constant")
    blocks = blocks_of([60, 120], X, y, None, None, units)
    assert_fit_refused(moe, (blocks,), "RowBlocks must have all rows of a unit", 7, "Sort")
    blocks = RowBlocks(lambda: [(X, y), (X, y, None, None, units)])
    assert_fit_refused(moe, (blocks,), "RowBlocks must have units in every block or in none")


def test_later_passes_must_give_the_rows_of_the_first():
    X, y = rows()
    moe = MixtureOfExpertsRegressor(2)
    passes = []

    def shrinking():
        passes.append(1)
        yield X, y
        if len(passes) == 1:
            yield X[:10], y[:10]

    name = "RowBlocks must give the same rows"
    assert_fit_refused(moe, (RowBlocks(shrinking),), name, "130 rows", "one 120")
    used_up = iter([(X, y)])
    assert_fit_refused(moe, (RowBlocks(lambda: used_up),), name, "120 rows", "one 0")

    passes.clear()

    def other_labels():
        passes.append(1)
        yield X, (y > 0) + 5 * (len(passes) > 1)

    classifier = MixtureOfExpertsClassifier(2)
    name = "block 0: y must hold classes"
    assert_fit_refused(classifier, (RowBlocks(other_labels),), name, "[0, 1]", "got 6")


@pytest.mark.parametrize("blocks", [[], [(*separated(), np.zeros(120))]], ids=len)
def test_sources_without_rows_of_positive_weight_are_refused(blocks):
    name = "RowBlocks must give some rows of positive weight"
    n_rows = "120 rows" if blocks else "0 rows"
    assert_fit_refused(MixtureOfExpertsRegressor(2), (RowBlocks(lambda: blocks),), name, n_rows)


@pytest.mark.parametrize(
    "name", ["y", "sample_weight", "offset", "units", "groups", "known_experts"]
)
def test_what_blocks_hold_is_not_passed_beside_them(name):
    X, y = rows()
    message = refusal(MixtureOfExpertsRegressor(2).fit, blocks_of([120], X, y), **{name: y})
    assert_refused(message, name)
