"""Fits from blocks are the fits from memory, and bad blocks are told by their number."""

import re

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from regimes import flipping_classes, quiet, two_regimes
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._data.dask_chunks import align_chunks
from skmoe._data.first_pass import _n_positive_rows
from skmoe.blocks import RowBlocks
from skmoe.gates import SoftmaxGate

X, Y = two_regimes(n_rows=5000)
# Rows where the gate is unsure count most, which lowers the bound.
WEIGHT = np.random.default_rng(1).uniform(0.5, 2.0, size=5000)
WEIGHT *= np.where(np.abs(X[:, 0]) < 0.3, 5.0, 1.0)
CLASS_X, CODES = flipping_classes(n_rows=5000, n_classes=3)
LABELS = np.array(["one", "two", "three"])[CODES]
REGRESSOR = MixtureOfExpertsRegressor(2, random_state=0, tol=1e-6)
CLASSIFIER = MixtureOfExpertsClassifier(2, random_state=0, tol=1e-6)
CASES = {
    "regressor": (REGRESSOR, X, Y),
    "outputs": (REGRESSOR, X, np.column_stack([Y, X[:, 0] ** 2])),
    "constant": (clone(REGRESSOR).set_params(gate="constant"), X, Y),
    "routing": (clone(REGRESSOR).set_params(n_experts=3, top_k=2, balance=0.1), X, Y),
    "average": (clone(REGRESSOR).set_params(combine="average", n_init=2), X, Y),
    "sparse": (REGRESSOR, sparse.csr_array(X * (X > 0)), Y),
    "frame": (
        clone(REGRESSOR).set_params(gate_features=["a"]),
        pd.DataFrame(X, columns=["a", "b", "c"]),
        Y,
    ),
    "labels": (CLASSIFIER, CLASS_X, LABELS),
    "class weights": (clone(CLASSIFIER).set_params(class_weight={0: 3.0}), CLASS_X, CODES),
    "balanced": (clone(CLASSIFIER).set_params(class_weight="balanced"), CLASS_X, CODES),
}


def cut(features, y, weight=None, size=700):
    """Blocks of a table in memory."""

    def factory():
        for begin in range(0, len(y), size):
            here = slice(begin, begin + size)
            rows = features.iloc[here] if hasattr(features, "iloc") else features[here]
            yield (rows, y[here]) if weight is None else (rows, y[here], weight[here])

    return factory


@pytest.mark.parametrize("case", CASES)
def test_blocks_and_memory_agree(case):
    moe, features, y = CASES[case]
    whole, blocks = quiet(clone(moe), features, y), quiet(clone(moe), RowBlocks(cut(features, y)))
    # Class weights do not enter the scale of blocks, and so weigh a little in the penalties.
    tolerance = 1e-3 if "class_weight" in str(moe) else 1e-6
    assert_allclose(blocks.lower_bound_, whole.lower_bound_, atol=tolerance)
    # Starts that end alike may number their experts differently.
    gates = [moe.predict_gate(features) for moe in (blocks, whole)]
    _, order = linear_sum_assignment(gates[1].T @ gates[0], maximize=True)
    difference = np.abs(gates[0][:, order] - gates[1]).max(axis=1)
    means = [
        (moe.predict_proba if y is LABELS or y is CODES else moe.predict)(features)
        for moe in (blocks, whole)
    ]
    difference += np.abs(means[0] - means[1]).reshape(len(y), -1).max(axis=1)
    # Routing switches between experts where two are equally probable.
    tolerance = 5e-3 if "class_weight" in str(moe) else 2e-3
    assert np.quantile(difference, 0.999) < tolerance
    assert case == "routing" or difference.max() < tolerance
    if case == "frame":
        assert_array_equal(blocks.feature_names_in_, ["a", "b", "c"])
    if case == "labels":
        assert_array_equal(blocks.classes_, whole.classes_)


def test_weights_of_blocks():
    weight = np.random.default_rng(0).integers(3, size=len(Y)).astype(float)
    whole = quiet(clone(REGRESSOR), X, Y, weight)
    blocks = quiet(clone(REGRESSOR), RowBlocks(cut(X, Y, weight)))
    assert_allclose(blocks.lower_bound_, whole.lower_bound_, atol=1e-6)


@pytest.mark.parametrize("case", ["regressor", "labels"])
def test_more_rows_than_the_sample(case):
    """Starts see a sample; the bound is that of all rows, whatever the cut."""
    moe, features, y = CASES[case]
    features, y = np.tile(features, (6, 1)), np.tile(y, 6)
    features = features + 1e-9 * np.arange(len(y))[:, None]
    fits = [quiet(clone(moe), RowBlocks(cut(features, y, size=size))) for size in (700, 9000)]
    whole = quiet(clone(moe), features, y)
    assert_allclose(fits[0].lower_bound_, fits[1].lower_bound_, atol=1e-6)
    # The scale of the variance prior is that of the sample.
    assert_allclose(fits[0].lower_bound_, whole.lower_bound_, atol=5e-3)
    assert_allclose(fits[0].score_samples(features, y).mean(), fits[0].lower_bound_, atol=0.05)


def test_warm_starts_of_blocks():
    moe = clone(REGRESSOR).set_params(max_iter=8, tol=0.0, warm_start=True)
    blocks = RowBlocks(cut(X, Y))
    quiet(moe, blocks)
    before = moe.lower_bound_
    assert quiet(moe, blocks).lower_bound_ >= before - 1e-9  # round-off


class Counted:
    """Blocks that count how many are alive at once."""

    def __init__(self, n_blocks):
        self.n_blocks, self.n_passes = n_blocks, 0

    def __call__(self):
        self.n_passes += 1
        rng = np.random.default_rng(0)
        for _ in range(self.n_blocks):
            features = rng.uniform(-1, 1, size=(1000, 2))
            yield features, np.abs(features[:, 0]) + 0.1 * rng.normal(size=1000)


def test_one_pass_for_each_iteration():
    factory = Counted(40)
    moe = quiet(MixtureOfExpertsRegressor(2, random_state=0), RowBlocks(factory))
    # Survey, first sweep and usage; steps that were taken back cost a pass more.
    assert factory.n_passes <= 1.5 * moe.n_iter_ + 4


def test_memory_does_not_grow_with_the_rows():
    import tracemalloc

    peaks = []
    for n_blocks in (30, 90):
        tracemalloc.start()
        moe = MixtureOfExpertsRegressor(2, random_state=0, n_init=1, max_iter=3)
        quiet(moe, RowBlocks(Counted(n_blocks)))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


def test_memory_maps_are_not_loaded(tmp_path, monkeypatch):
    features, y = np.tile(X, (6, 1)), np.tile(Y, 6)
    weight = np.tile(WEIGHT, 6)
    np.save(tmp_path / "X.npy", features)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    cuts = []
    monkeypatch.setattr(RowBlocks, "from_arrays", spy(cuts, RowBlocks.from_arrays))
    moe = quiet(clone(REGRESSOR), mapped, y, sample_weight=weight)
    assert len(cuts) == 1
    whole = quiet(clone(REGRESSOR), features, y, sample_weight=weight)
    assert_allclose(moe.lower_bound_, whole.lower_bound_, atol=1e-3)
    assert abs(moe.lower_bound_ - quiet(clone(REGRESSOR), features, y).lower_bound_) > 0.05


def spy(calls, function):
    def spied(*args, **options):
        calls.append(args)
        return function(*args, **options)

    return spied


def test_npy_files(tmp_path):
    paths = {"X": [], "y": [], "weight": []}
    for name, values in (("X", X), ("y", Y), ("weight", WEIGHT)):
        for i, part in enumerate(np.array_split(values, 3)):
            paths[name].append(tmp_path / f"{name}{i}.npy")
            np.save(paths[name][-1], part)
    blocks = RowBlocks.from_npy(paths["X"], paths["y"], paths["weight"])
    assert [len(block[1]) for block in blocks] == [1667, 1667, 1666]
    whole = quiet(clone(REGRESSOR), X, Y, sample_weight=WEIGHT)
    assert_allclose(quiet(clone(REGRESSOR), blocks).lower_bound_, whole.lower_bound_, atol=1e-3)
    assert abs(whole.lower_bound_ - quiet(clone(REGRESSOR), X, Y).lower_bound_) > 0.05
    plain = RowBlocks.from_npy(paths["X"], paths["y"])
    assert [len(block) for block in plain] == [2, 2, 2]


def test_parquet_files(tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(size=Y, weight=WEIGHT)
    frame.to_parquet(tmp_path / "table.parquet", row_group_size=600, index=False)
    blocks = RowBlocks.from_parquet(tmp_path / "table.parquet", "size", "weight")
    assert len(list(blocks)) == 9
    moe = quiet(clone(REGRESSOR), blocks)
    whole = quiet(clone(REGRESSOR), X, Y, sample_weight=WEIGHT)
    assert_allclose(moe.lower_bound_, whole.lower_bound_, atol=1e-3)
    assert_array_equal(moe.feature_names_in_, ["a", "b", "c"])


def test_parquet_without_pyarrow(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr("skmoe._optional.import_module", missing)
    with pytest.raises(ImportError, match=r"skmoe\[parquet\]"):
        RowBlocks.from_parquet("table.parquet", "y")


def second(change):
    """Blocks of which the second is changed."""

    def factory():
        yield X[:100], Y[:100]
        yield change(X[100:200].copy(), Y[100:200].copy())

    return RowBlocks(factory)


def holed(features, y):
    features[3, 1] = np.nan
    return features, y


def test_bad_blocks_are_told_by_their_number():
    cases = {
        r"block 1: X has 2 features.*3 features": lambda x, y: (x[:, :2], y),
        "block 1 must be like the first.*float64.*float32": lambda x, y: (x.astype("f4"), y),
        "block 1: X must have no missing values.* column 1 of X contains NaN": holed,
        "block 1: Input y contains NaN": lambda x, y: (x, np.full(100, np.nan)),
        "block 1: X and y must have the same number": lambda x, y: (x, y[:50]),
        r"block 1 must be like the first.*\(2,\)": lambda x, y: (x, np.column_stack([y, y])),
        "block 1: sample_weight must not be negative": lambda x, y: (x, y, -np.ones(100)),
        "block 1: sample_weight must be finite; .* NaN": lambda x, y: (x, y, np.full(100, np.nan)),
        "block 1: sample_weight must be finite": lambda x, y: (x, y, np.full(100, np.inf)),
        r"block 1: sample_weight .* shape \(99,\)": lambda x, y: (x, y, np.ones(99)),
        r"block 1 must be a tuple \(X, y\)": lambda x, y: [x, y],
    }
    for message, change in cases.items():
        with pytest.raises(ValueError, match=message):
            clone(REGRESSOR).fit(second(change))


def test_sources_that_give_other_rows_later_are_refused():
    passes = []

    def factory():
        passes.append(1)
        yield X, Y
        if len(passes) == 1:
            yield X[:10], Y[:10]

    with pytest.raises(ValueError, match="first gave 5010 rows, a later one 5000"):
        clone(REGRESSOR).fit(RowBlocks(factory))
    used_up = iter([(X, Y)])
    with pytest.raises(ValueError, match="a later one 0"):
        clone(REGRESSOR).fit(RowBlocks(lambda: used_up))


def test_empty_sources_are_refused():
    for blocks in ([], [(X, Y, np.zeros(len(Y)))]):
        with pytest.raises(ValueError, match="some rows of positive weight"):
            clone(REGRESSOR).fit(RowBlocks(lambda blocks=blocks: blocks))


def test_labels_that_are_no_classes_are_refused():
    with pytest.raises(ValueError, match=r"\[0, 1\]; got 2"):
        clone(CLASSIFIER).fit(RowBlocks(cut(CLASS_X, CODES), classes=[0, 1]))


def test_what_blocks_cannot_do_is_refused():
    blocks = RowBlocks(cut(X, Y))
    with pytest.raises(ValueError, match="need all rows at once"):
        MixtureOfExpertsRegressor(2, expert="tree").fit(blocks)
    with pytest.raises(ValueError, match="named init"):
        MixtureOfExpertsRegressor(2, init=np.full((5000, 2), 0.5)).fit(blocks)
    with pytest.raises(ValueError, match="y must be None"):
        clone(REGRESSOR).fit(blocks, Y)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"base": Ridge()}, "needs base=None; got base=Ridge"),
        ({"gate": SoftmaxGate(transformer=StandardScaler())}, "a gate without a transformer"),
        ({"n_experts": "auto"}, r"needs an integer.*; got n_experts='auto'"),
    ],
)
def test_what_builds_on_other_models_is_refused(parameters, message):
    x, y = X[:100, :1], Y[:100]
    moe = MixtureOfExpertsRegressor(**{"n_experts": 2} | parameters)
    with pytest.raises(ValueError, match=message):
        moe.fit(RowBlocks(lambda: iter([(x, y)])))
    with pytest.raises(AttributeError, match="no attribute 'partial_fit'") as refusal:
        moe.partial_fit(x, y)
    assert re.search(message, str(refusal.value.__cause__))


def test_labels_that_come_in_a_later_pass_only_are_refused():
    passes = []

    def factory():
        passes.append(1)
        yield CLASS_X[:500], CODES[:500]
        yield CLASS_X[500:600], CODES[500:600] + 5 * (len(passes) > 1)

    with pytest.raises(ValueError, match=r"block 1: .*\[0, 1, 2\]; got"):
        clone(CLASSIFIER).fit(RowBlocks(factory))


def test_blocks_without_rows_are_skipped():
    """Filters leave such, at the begin and later."""

    def factory():
        yield X[:0], Y[:0]
        yield X[:500], Y[:500]
        yield X[:0], Y[:0]
        yield X[500:], Y[500:]

    whole = quiet(clone(REGRESSOR), RowBlocks(lambda: [(X[:500], Y[:500]), (X[500:], Y[500:])]))
    assert_array_equal(quiet(clone(REGRESSOR), RowBlocks(factory)).predict(X), whole.predict(X))


@pytest.mark.parametrize("family", ["ordinal", "uniform", ["normal", "uniform"]])
def test_families_of_all_values_are_given_them(family):
    blocks = RowBlocks.from_arrays(X[:200], np.arange(200.0) % 4)
    with pytest.raises(ValueError, match=r"Give them, as in skmoe\.families\.(Ordinal|Uniform)\("):
        clone(REGRESSOR).set_params(family=family).fit(blocks)


def test_rows_without_weight_are_not_numbered():
    weight = np.array([0.0, 2.0, 0.0, 0.5])
    assert _n_positive_rows(0, (X[:4], Y[:4], weight)) == 2
    assert _n_positive_rows(0, (X[:4], Y[:4])) == 4


def test_chunks_are_aligned_where_they_are_known():
    array = pytest.importorskip("dask.array")
    rows, y = array.from_array(X[:6], chunks=(2, 3)), array.from_array(Y[:6], chunks=3)
    assert align_chunks({"X": rows, "y": y})[1].chunks == ((2, 2, 2),)
    unknown = y.rechunk(2)[y.rechunk(2) > -np.inf]
    assert align_chunks({"X": rows, "y": unknown})[1] is unknown
    # Also where the sizes of some chunks only are not known.
    partly = array.concatenate([y.rechunk(2)[:4], unknown.blocks[2]])
    assert set(np.isnan(partly.chunks[0])) == {True, False}
    assert align_chunks({"X": rows, "y": partly})[1] is partly
