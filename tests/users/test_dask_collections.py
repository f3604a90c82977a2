"""Dask collections are answered lazily, chunk by chunk, and fitted like the rows in memory."""

import itertools
import pickle
from functools import cache

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score, r2_score

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from support.fits import fit_quietly
from support.refusals import assert_fit_refused, assert_refused, refusal

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")

pytestmark = [
    pytest.mark.filterwarnings("ignore:X does not have valid feature names"),
    pytest.mark.filterwarnings("ignore::skmoe.exceptions.FitMismatchWarning"),
]

N = 24
RNG = np.random.default_rng(0)
X = pd.DataFrame(RNG.normal(size=(N, 2)), columns=["a", "b"])
OFFSET = RNG.normal(size=N)
Y = RNG.poisson(np.exp(OFFSET + X["a"])).astype(float)
PROBA = RNG.dirichlet(np.ones(2), size=N)
LABELS = np.where(X["a"] + RNG.normal(size=N) > 0, "one", "two")
SHORT = {"n_init": 1, "max_iter": 4, "random_state": 0}


@cache
def regressor():
    moe = MixtureOfExpertsRegressor(2, family="poisson", **SHORT)
    return fit_quietly(moe, X, Y, offset=OFFSET)


@cache
def two_outputs():
    return fit_quietly(MixtureOfExpertsRegressor(2, **SHORT), X, np.column_stack([Y, X["b"]]))


@cache
def classifier():
    return fit_quietly(MixtureOfExpertsClassifier(2, **SHORT), X, LABELS)


@pytest.fixture(autouse=True)
def no_threads():
    with dask.config.set(scheduler="synchronous"):
        yield


def array_of(values, n_chunks=3):
    values = np.asarray(values)
    return da.from_array(values, chunks=(-(-len(values) // n_chunks), *values.shape[1:]))


def cut_columns_of(values):
    return array_of(values).rechunk((8, 1)[: np.ndim(values)])


def unknown_of(values, n_chunks=3):
    return array_of(values, n_chunks)[array_of(np.arange(len(values)), n_chunks) >= 0]


def frame_of(values, n_chunks=3):
    kind = pd.DataFrame if np.ndim(values) > 1 else pd.Series
    return dd.from_pandas(values if isinstance(values, pd.DataFrame) else kind(values), n_chunks)


def in_turn(*kinds):
    """Arguments in containers of several kinds."""
    turn = itertools.cycle(kinds)
    return lambda values: next(turn)(values)


# Containers of X, and of what else belongs to its rows.
PAIRS = {
    "arrays": (array_of, array_of),
    "arrays that are cut otherwise": (array_of, lambda values: array_of(values, 5)),
    "array and memory": (array_of, np.asarray),
    "array and frames": (array_of, frame_of),
    "array, frames and arrays": (array_of, in_turn(array_of, frame_of)),
    "arrays whose columns are cut": (cut_columns_of, cut_columns_of),
    "arrays of unknown chunks": (unknown_of, unknown_of),
    "unknown chunks and frames": (unknown_of, frame_of),
    "frames": (frame_of, frame_of),
    "frame and arrays": (frame_of, array_of),
}


# Arguments that have an entry for each row, in the calls of each method.
METHODS = {
    "predict": [{}, {"offset": OFFSET, "gate_proba": PROBA}],
    "predict_experts": [{"offset": OFFSET}],
    "predict_quantile": [{"offset": OFFSET, "gate_proba": PROBA}],
    "predict_interval": [{}],
    "score_samples": [{"y": Y, "offset": OFFSET}],
    "responsibilities": [{"y": Y}, {"y": Y, "offset": OFFSET}],
    "predict_gate": [{}],
    "apply": [{}],
    "is_outside_range": [{}],
}


def assert_same_answer(lazy, expected):
    assert callable(lazy.__dask_graph__)
    assert (lazy.ndim, lazy.dtype) == (expected.ndim, expected.dtype)
    assert lazy.shape[1:] == expected.shape[1:]
    compare = assert_allclose if expected.dtype.kind == "f" else assert_array_equal
    compare(lazy.compute(), expected)


@pytest.mark.parametrize(
    "pair",
    [name for name in PAIRS if name not in ("arrays", "array and frames", "frame and arrays")],
)
def test_answers_for_collections_are_those_for_memory(pair):
    make_X, make = PAIRS[pair]
    moe, rows = regressor(), make_X(X)
    every_method = pair in ("array and memory", "unknown chunks and frames")
    for method in METHODS if every_method else ("predict", "score_samples"):
        for given in METHODS[method]:
            lazy = getattr(moe, method)(rows, **{name: make(v) for name, v in given.items()})
            assert_same_answer(lazy, getattr(moe, method)(X, **given))
        if not any(word in pair for word in ("unknown", "frame")):
            assert lazy.shape[0] == N


@pytest.mark.parametrize("make", [array_of, frame_of])
def test_chunks_that_a_filter_has_emptied_have_no_rows(make):
    numbers = np.arange(N)
    rows = make(X.assign(a=numbers))
    first = rows["a"] if make is frame_of else rows[:, 0]
    chosen = (first < 8) | (first > 18)  # nothing of the second chunk
    kept = (numbers < 8) | (numbers > 18)
    target = make(Y)[chosen]
    for method in ("predict", "predict_gate", "predict_interval", "apply", "score_samples"):
        given = {"y": target} if method in ("score_samples", "responsibilities") else {}
        lazy = getattr(regressor(), method)(rows[chosen], **given)
        given = dict.fromkeys(given, Y[kept])
        expected = getattr(regressor(), method)(X.assign(a=numbers)[kept], **given)
        assert_allclose(lazy.compute(), expected)


def untouchable(block):
    if len(block):  # Dask asks about no rows
        raise AssertionError("rows were computed")
    return block


def test_nothing_is_computed_before_it_is_asked_for():
    rows = array_of(X).map_blocks(untouchable, dtype=float, meta=np.empty((0, 0)))
    answers = [
        getattr(regressor(), method)(rows, **{name: array_of(v) for name, v in given.items()})
        for method, calls in METHODS.items()
        for given in calls
    ]
    with pytest.raises(AssertionError, match="rows were computed"):
        answers[0].compute()


def test_workers_do_not_get_the_rows_that_a_stream_keeps():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(500, 20))
    moe = MixtureOfExpertsRegressor(2, n_init=1, max_iter=2, random_state=0)
    moe.partial_fit(rows, rows[:, 0])
    assert len(pickle.dumps(moe)) > rows.nbytes
    lazy = moe.predict(da.ones((4, 20), chunks=2))
    # The experts are in the graph once for each chunk, and the kept rows would be too.
    assert len(pickle.dumps(dict(lazy.__dask_graph__()))) < rows.nbytes


@pytest.mark.parametrize(
    "pair", ["arrays", "array and memory", "unknown chunks and frames", "frames"]
)
def test_scores_are_those_of_predictions_in_memory(pair):
    make_X, make = PAIRS[pair]
    weight = np.arange(N) % 3.0
    for moe, y, score in ((regressor(), Y, r2_score), (classifier(), LABELS, accuracy_score)):
        predicted = moe.predict(X)
        assert moe.score(make_X(X), make(y)) == pytest.approx(score(y, predicted))
        found = moe.score(make_X(X), make(y), sample_weight=make(weight))
        assert found == pytest.approx(score(y, predicted, sample_weight=weight))


# --- fits -----------------------------------------------------------------------------------------


def test_without_a_cluster_chunks_are_read_again_in_each_pass():
    """Collections larger than memory are not kept."""
    reads = []

    def read(block):
        reads.append(1)
        return block

    rows = array_of(X, 2).map_blocks(read, dtype=float, meta=np.empty((0, 0)))
    moe = fit_quietly(MixtureOfExpertsRegressor(2, tol=0.0, **SHORT), rows, array_of(Y, 2))
    assert len(reads) > 2 * moe.n_iter_


def test_chunks_without_rows_are_skipped_in_fits():
    order = np.argsort(X["a"].to_numpy())
    rows, y = array_of(X.to_numpy()[order]), array_of(Y[order])
    kept = rows[:, 0] > np.median(X["a"])  # none of the first chunk
    moe = MixtureOfExpertsRegressor(1, n_init=1, alpha=5.0).fit(rows[kept], y[kept])
    is_kept = X["a"] > np.median(X["a"])
    whole = MixtureOfExpertsRegressor(1, n_init=1, alpha=5.0).fit(X.to_numpy()[is_kept], Y[is_kept])
    assert_allclose(moe.expert_coef_, whole.expert_coef_, rtol=1e-8)


# --- refusals -------------------------------------------------------------------------------------


MISALIGNED = {
    "memory": (unknown_of, np.asarray, "y must be a Dask collection", "ndarray", "compute_chunk"),
    "memory and frame": (frame_of, np.asarray, "y must be a Dask collection", "lengths=True"),
    "numbers of unknown chunks": (
        unknown_of,
        lambda y: unknown_of(y, 5),
        "X and y must have as many chunks",
        "3 and 5",
        "compute_chunk_sizes",
    ),
    "numbers of partitions": (
        frame_of,
        lambda y: frame_of(y, 2),
        "X and y must have as many chunks",
        "3 and 2",
        "like X",
    ),
    "rows of arrays": (
        array_of,
        lambda y: array_of(y[1:]),
        "X and y must have the same number of rows",
        "24 and 23",
    ),
    "rows of memory": (array_of, lambda y: y[1:], "X and y must have the same number", "24 and 23"),
}


@pytest.mark.parametrize("case", MISALIGNED)
def test_collections_that_cannot_be_aligned_are_refused(case):
    make_X, make, name, *words = MISALIGNED[case]
    assert_fit_refused(clone(regressor()), (make_X(X), make(Y)), name, *words)
    assert_refused(refusal(regressor().score_samples, make_X(X), make(Y)), name, *words)


def test_bad_chunks_are_refused_by_their_number():
    holed = X.to_numpy().copy()
    holed[17, 1] = np.nan
    moe = MixtureOfExpertsRegressor(2)
    assert_fit_refused(moe, (array_of(holed), array_of(Y)), "block 2: X must", "column 1", "NaN")
    rows = array_of(X.to_numpy())
    weight = np.where(np.arange(N) == 9, -1.0, 1.0)
    words = "block 1: sample_weight must be", "-1"
    given = {"sample_weight": array_of(weight)}
    assert_fit_refused(moe, (rows, array_of(Y)), *words, **given)
    short = array_of(Y)[rows[:, 0] > 0]  # as many chunks, of other rows
    assert_fit_refused(moe, (rows, short), "block 0: X and y must have the same number of rows")


def test_arguments_are_refused_at_once():
    """Before anything is computed."""
    with pytest.raises(NotFittedError):
        MixtureOfExpertsRegressor(2).predict(array_of(X))
    message = refusal(classifier().predict, array_of(X)[:, :1])
    assert_refused(message, "X has 1 features", "2 features")
    message = refusal(classifier().predict, frame_of(X.rename(columns={"a": "other"})))
    assert_refused(message, "The feature names should match", "other")
    message = refusal(two_outputs().predict, array_of(X), offset=array_of(OFFSET))
    assert_refused(message, "offset", "experts with a log link")
