"""Methods of Dask collections say what they say of the rows in memory, whatever they come in."""

import itertools

import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from regimes import quiet
from sklearn.metrics import accuracy_score, r2_score

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._data.dask_chunks import align_chunks, is_dask, zip_chunks

dd = pytest.importorskip("dask.dataframe")

pytestmark = pytest.mark.filterwarnings("ignore:X does not have valid feature names")

N = 24
RNG = np.random.default_rng(0)
X = pd.DataFrame(RNG.normal(size=(N, 2)), columns=["a", "b"])
OFFSET = RNG.normal(size=N)
Y = RNG.poisson(np.exp(OFFSET + X["a"])).astype(float)
PROBA = RNG.dirichlet(np.ones(2), size=N)
MOE = quiet(
    MixtureOfExpertsRegressor(2, family="poisson", n_init=1, max_iter=4, random_state=0),
    X,
    Y,
    offset=OFFSET,
)
LABELS = np.where(X["a"] + RNG.normal(size=N) > 0, "one", "two")
CLASSIFIER = quiet(MixtureOfExpertsClassifier(2, n_init=1, max_iter=4, random_state=0), X, LABELS)


def array_of(values, n_chunks=3):
    values = np.asarray(values)
    return da.from_array(values, chunks=(-(-len(values) // n_chunks), *values.shape[1:]))


def unknown_of(values):
    array = array_of(values)
    return array[array_of(np.arange(N)) >= 0]


def frame_of(values, n_chunks=3):
    kind = pd.DataFrame if np.ndim(values) > 1 else pd.Series
    return dd.from_pandas(values if isinstance(values, pd.DataFrame) else kind(values), n_chunks)


def mixed(kinds):
    """Arguments in turn in containers of several kinds."""
    turn = itertools.cycle(kinds)
    return lambda values: next(turn)(values)


CONTAINERS = {
    "array": array_of,
    "array cut otherwise": lambda values: array_of(values, 5),
    "array of unknown chunks": unknown_of,
    "frame": frame_of,
    "memory": np.asarray,
}
KNOWN = ("array", "array cut otherwise", "memory")

# Arguments with an entry for each row, for each method that has such.
BY_ROW = {
    "predict": ("offset", "gate_proba"),
    "predict_experts": ("offset",),
    "predict_quantile": ("offset", "gate_proba"),
    "score_samples": ("y", "offset"),
    "responsibilities": ("y", "offset"),
    "predict_gate": (),
    "apply": (),
}
VALUES = {"y": Y, "offset": OFFSET, "gate_proba": PROBA}
NEEDED = ("y",)


@pytest.fixture(autouse=True)
def no_threads():
    with dask.config.set(scheduler="synchronous"):
        yield


# Collections of rows, and what their other arguments may come in. Chunks of unknown sizes need as
# many others.
PAIRS = [("array", of_rows) for of_rows in CONTAINERS]
PAIRS += list(itertools.product(["array of unknown chunks", "frame"], repeat=2))
PAIRS += [("array of unknown chunks", "array"), ("frame", "array")]
TABLES = CONTAINERS | {"array of cut columns": lambda X: array_of(X).rechunk((8, 1))}
PAIRS += [("array of cut columns", "array"), ("array of cut columns", "array of cut columns")]
ARGUMENTS = CONTAINERS | {
    "arrays and frames": mixed([array_of, frame_of]),
    "frames and arrays": mixed([frame_of, array_of]),
    "array of cut columns": lambda values: array_of(values).rechunk((8, 1)[: np.ndim(values)]),
}
PAIRS += [("array", "arrays and frames"), ("array", "frames and arrays")]


@pytest.mark.parametrize(("table", "of_rows"), PAIRS)
@pytest.mark.parametrize("method", BY_ROW)
def test_methods_of_collections_are_those_of_memory(method, table, of_rows):
    """With all arguments of the rows and with those that are needed."""
    rows = TABLES[table](X)
    for names in {BY_ROW[method], tuple(n for n in BY_ROW[method] if n in NEEDED)}:
        given = {name: ARGUMENTS[of_rows](VALUES[name]) for name in names}
        told = getattr(MOE, method)(rows, **given)
        expected = getattr(MOE, method)(X, **{name: VALUES[name] for name in names})
        assert is_dask(told)
        assert (told.ndim, told.dtype) == (expected.ndim, expected.dtype)
        assert told._meta.shape == (0,) * expected.ndim
        assert told.shape[1:] == expected.shape[1:]
        if table.startswith("array") and "unknown" not in table and "frame" not in of_rows:
            known = "unknown" not in of_rows or not names
            assert told.shape == expected.shape or not known
        assert_allclose(told.compute(), expected)


@pytest.mark.parametrize("method", BY_ROW)
@pytest.mark.parametrize("table", ["array", "frame"])
def test_chunks_that_a_filter_has_emptied_have_no_results(table, method):
    number = np.arange(N)
    rows, kept = CONTAINERS[table](X.assign(a=number)), (number < 8) | (number > 18)
    of_rows = rows["a"] if table == "frame" else rows[:, 0]
    given = {name: VALUES[name] for name in BY_ROW[method] if name in NEEDED}
    lazy = {name: CONTAINERS[table](values) for name, values in given.items()}
    chosen = (of_rows < 8) | (of_rows > 18)
    lazy = {name: values[chosen] for name, values in lazy.items()}
    few = rows[chosen & (of_rows < 30)]
    few_rows = X.assign(a=number)[kept]
    told = getattr(MOE, method)(few, **lazy)
    given = {name: values[kept] for name, values in given.items()}
    assert_allclose(told.compute(), getattr(MOE, method)(few_rows, **given))


def test_an_offset_that_is_not_taken_is_refused_at_once():
    moe = quiet(MixtureOfExpertsRegressor(2, n_init=1, max_iter=3, random_state=0), X, Y)
    for table in ("array", "frame"):
        with pytest.raises(ValueError, match="offset needs experts with a log link"):
            moe.predict(CONTAINERS[table](X), offset=CONTAINERS[table](OFFSET))


@pytest.mark.parametrize("of_rows", CONTAINERS)
@pytest.mark.parametrize("table", [name for name in CONTAINERS if name != "memory"])
def test_scores_of_collections_are_those_of_predictions_in_memory(table, of_rows):
    rows, weight = CONTAINERS[table](X), np.arange(N) % 3.0
    for moe, y, score in ((MOE, Y, r2_score), (CLASSIFIER, LABELS, accuracy_score)):
        target = CONTAINERS[of_rows](y)
        assert moe.score(rows, target) == pytest.approx(score(y, moe.predict(X)))
        told = moe.score(rows, target, CONTAINERS[of_rows](weight))
        assert told == pytest.approx(score(y, moe.predict(X), sample_weight=weight))


def test_collections_are_told_from_other_objects():
    for values in (array_of(X), unknown_of(X), frame_of(X), frame_of(Y)):
        assert is_dask(values)
    for values in (X, X.to_numpy(), [[1.0]], None):
        assert not is_dask(values)


@pytest.mark.parametrize("second", CONTAINERS)
@pytest.mark.parametrize("first", [name for name in CONTAINERS if name != "memory"])
def test_aligned_chunks_hold_the_same_rows(first, second):
    """Or they are refused, if they cannot be aligned."""
    given = {"X": CONTAINERS[first](X), "y": CONTAINERS[second](Y)}
    if first not in KNOWN and second == "memory":
        with pytest.raises(ValueError, match="whose chunk sizes are unknown; got ndarray"):
            align_chunks(given)
        return
    if second == "array cut otherwise" and first not in KNOWN:
        with pytest.raises(ValueError, match="as many chunks or partitions; got 3 and 5"):
            align_chunks(given)
        return
    if first == "array cut otherwise" and second not in KNOWN:
        with pytest.raises(ValueError, match="as many chunks or partitions; got 5 and 3"):
            align_chunks(given)
        return
    chunks = zip_chunks(align_chunks(given))
    pairs = dask.compute(*[dask.delayed(lambda *pair: pair)(*chunk) for chunk in chunks])
    for rows, y in pairs:
        assert len(rows) == len(y)
    assert_array_equal(np.concatenate([rows for rows, _ in pairs]), X)
    assert_array_equal(np.concatenate([y for _, y in pairs]), Y)


def test_columns_that_are_cut_are_joined_in_each_chunk():
    wide = array_of(X).rechunk((8, 1))
    (chunks,) = zip_chunks([wide[:8]])
    assert_array_equal(dask.compute(*chunks)[0], X[:8])
    assert len(zip_chunks([wide])) == 3


def test_numbers_of_rows_and_partitions_must_agree():
    rows = frame_of(X)
    shifted = dd.from_pandas(pd.Series(Y, index=np.arange(N) + 1), npartitions=3)
    with pytest.raises(ValueError, match="must have the same partitions"):
        align_chunks({"X": rows, "y": shifted})
    # Divisions that are not known are not compared.
    assert align_chunks({"X": rows, "y": shifted.clear_divisions()})[0] is rows
    for short in (array_of(Y[1:]), Y[1:]):
        with pytest.raises(ValueError, match="same number of rows; got 24 and 23"):
            align_chunks({"X": array_of(X), "y": short})


@pytest.mark.parametrize("table", ["array", "frame"])
def test_workers_get_no_more_than_predictions_need(table):
    MOE._skl_callbacks = ["of this process"]
    try:
        told = MOE.predict(CONTAINERS[table](X))
        graph = repr([vars(part) for part in _estimators(told)])
    finally:
        del MOE._skl_callbacks
    assert "of this process" not in graph
    assert MOE._training_state.resume_state is not None
    for part in _estimators(told):
        assert part._training_state.resume_state is None


def _estimators(collection):
    """Estimators in the graph of a collection."""
    found, values = [], [dict(collection.__dask_graph__())]
    while values:
        value = values.pop()
        if isinstance(value, MixtureOfExpertsRegressor):
            found.append(value)
        elif isinstance(value, dict):
            values += list(value.values())
        elif isinstance(value, list | tuple):
            values += list(value)
        elif hasattr(value, "args"):
            values += [*value.args, *getattr(value, "kwargs", {}).values()]
        elif hasattr(value, "value"):
            values.append(value.value)
    assert found
    return found


def test_units_in_chunks_are_refused():
    units = np.arange(N) // 2
    for method in ("predict_gate", "responsibilities", "score_samples"):
        given = {"y": Y} if method != "predict_gate" else {}
        with pytest.raises(ValueError, match=f"units are not supported by {method} of Dask"):
            getattr(MOE, method)(array_of(X), units=units, **given)
        assert is_dask(getattr(MOE, method)(array_of(X), units=None, **given))
