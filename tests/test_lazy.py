"""Dask collections are answered lazily, chunk by chunk, and fitted without a cluster too."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from regimes import flipping_classes, quiet, two_regimes
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor

X, Y = two_regimes(n_rows=4000)
CLASS_X, CLASSES = flipping_classes(n_rows=4000, n_classes=3)
MOE = MixtureOfExpertsRegressor(2, random_state=0, n_init=2, tol=1e-6)


def arrays(*values, size=500):
    da = pytest.importorskip("dask.array")
    return [da.from_array(v, chunks=(size, *v.shape[1:])) for v in values]


def untouchable(block):
    """A chunk that nobody may look at."""
    if len(block):  # Dask asks about no rows
        raise AssertionError("rows were computed")
    return block


REGRESSOR = quiet(clone(MOE), X, Y)
PAIR = quiet(clone(MOE), X, np.column_stack([Y, X[:, 0]]))
NAMED = quiet(clone(MOE), pd.DataFrame(X, columns=["a", "b", "c"]), Y)
LABELS = np.array(["one", "two", "three"])[CLASSES]
CLASSIFIER = quiet(
    MixtureOfExpertsClassifier(2, random_state=0, n_init=1), pd.DataFrame(CLASS_X), LABELS
)
TREES = quiet(
    MixtureOfExpertsRegressor(2, expert="tree", random_state=0, n_init=1, max_iter=3), X, Y
)
COMMON = ("predict", "predict_gate", "predict_experts", "apply", "score_samples")
LAZY = {
    "regressor": (REGRESSOR, (*COMMON, "predict_interval", "predict_quantile"), Y),
    "outputs": (PAIR, (*COMMON, "predict_interval"), np.column_stack([Y, X[:, 0]])),
    "classes": (CLASSIFIER, (*COMMON, "predict_proba", "predict_log_proba"), LABELS),
    "trees": (TREES, COMMON, Y),
}


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.filterwarnings("ignore:score_samples without y")
class TestLazyAnswers:
    @pytest.fixture(autouse=True)
    def no_threads(self):
        with pytest.importorskip("dask").config.set(scheduler="synchronous"):
            yield

    @pytest.mark.parametrize("case", LAZY)
    @pytest.mark.parametrize("columns", [3, 2])
    def test_arrays(self, case, columns):
        moe, methods, y = LAZY[case]
        features = CLASS_X if case == "classes" else X
        lazy = arrays(features, size=900)[0].rechunk((900, columns))
        for method in methods:
            told = getattr(moe, method)(lazy)
            expected = getattr(moe, method)(features)
            assert told.chunks[0] == lazy.chunks[0]
            assert (told.shape, told.dtype) == (expected.shape, expected.dtype)
            assert_array_equal(told.compute(), expected)
            assert_array_equal(told[1000:1010].compute(), expected[1000:1010])
        lazy_y = arrays(y, size=700)[0]  # cut in another way
        for method in ("score_samples", "responsibilities"):
            expected = getattr(moe, method)(features, y)
            for target in (lazy_y, y):
                told = getattr(moe, method)(lazy, target)
                assert told.shape == expected.shape
                assert_array_equal(told.compute(), expected)

    def test_nothing_is_computed_before_it_is_asked_for(self):
        lazy, y = arrays(X, Y)
        lazy = lazy.map_blocks(untouchable, dtype=float, meta=np.empty((0, 0)))
        moe = REGRESSOR
        answers = [getattr(moe, method)(lazy) for method in LAZY["regressor"][1]]
        answers += [moe.score_samples(lazy, y), moe.responsibilities(lazy, y)]
        with pytest.raises(AssertionError, match="rows were computed"):
            answers[0].compute()

    def test_options_are_kept(self):
        lazy = arrays(X)[0]
        told = REGRESSOR.predict_quantile(lazy, q=[0.1, 0.9])
        assert_array_equal(told.compute(), REGRESSOR.predict_quantile(X, [0.1, 0.9]))
        told = REGRESSOR.predict_interval(lazy, 0.5)
        assert_array_equal(told.compute(), REGRESSOR.predict_interval(X, 0.5))

    def test_frames(self):
        dd = pytest.importorskip("dask.dataframe")
        frame = pd.DataFrame(X, columns=["a", "b", "c"])
        table, y = dd.from_pandas(frame, npartitions=5), dd.from_pandas(pd.Series(Y), npartitions=5)
        for method in (*COMMON, "responsibilities"):
            target = {"y": y} if method in ("score_samples", "responsibilities") else {}
            told = getattr(NAMED, method)(table, **target)
            in_memory = getattr(NAMED, method)(frame, **{name: Y for name in target})
            assert told.numblocks[0] == 5
            assert (told.shape[1:], told.dtype) == (in_memory.shape[1:], in_memory.dtype)
            assert_array_equal(told.compute(), in_memory)
        few = table[table["a"] > 2.0]  # partitions without rows
        assert_array_equal(NAMED.predict(few).compute(), NAMED.predict(frame[frame["a"] > 2.0]))
        with pytest.raises(ValueError, match="feature names"):
            NAMED.predict(table.rename(columns={"a": "other"}))
        assert NAMED.score(table, y) == pytest.approx(NAMED.score(frame, Y))
        weight = dd.from_pandas(pd.Series(1.0 * (Y > 0)), npartitions=5)
        expected = NAMED.score(frame, Y, 1.0 * (Y > 0))
        assert NAMED.score(table, y, weight) == pytest.approx(expected)
        classes = pd.DataFrame(CLASS_X)
        told = CLASSIFIER.score(dd.from_pandas(classes, npartitions=5), LABELS)
        assert told == CLASSIFIER.score(classes, LABELS)

    def test_categories_of_frames(self):
        dd = pytest.importorskip("dask.dataframe")
        frame = pd.DataFrame({"size": X[:, 0], "city": np.where(X[:, 1] > 0, "rome", "oslo")})[:400]
        moe = MixtureOfExpertsRegressor(2, expert="tree", random_state=0, n_init=1, max_iter=3)
        quiet(moe, frame, Y[:400])
        told = moe.predict(dd.from_pandas(frame, npartitions=3))
        assert_array_equal(told.compute(), moe.predict(frame))

    def test_chunks_of_unknown_sizes(self):
        lazy, y = arrays(X, Y)
        kept = X[:, 0] > 0
        some, some_y = lazy[lazy[:, 0] > 0], y[lazy[:, 0] > 0]
        told = REGRESSOR.predict_gate(some)
        assert np.isnan(told.shape[0])
        assert_array_equal(told.compute(), REGRESSOR.predict_gate(X[kept]))
        told = REGRESSOR.score_samples(some, some_y)
        assert_array_equal(told.compute(), REGRESSOR.score_samples(X[kept], Y[kept]))
        moe = quiet(clone(MOE), some, some_y)
        assert_allclose(
            moe.lower_bound_, quiet(clone(MOE), X[kept], Y[kept]).lower_bound_, atol=1e-6
        )
        for call in (REGRESSOR.score_samples, clone(MOE).fit):
            with pytest.raises(
                ValueError, match=r"chunk sizes are unknown; got ndarray.*compute_c"
            ):
                call(some, Y[kept])
            with pytest.raises(ValueError, match=r"got 8 and 4, of unknown.*compute_chunk_sizes"):
                call(some, y.rechunk(1000)[y.rechunk(1000) > 0])

    def test_other_cuts_of_the_target(self):
        """Arrays of known sizes are cut alike; others are refused."""
        dd = pytest.importorskip("dask.dataframe")
        lazy, y = arrays(X, Y)
        moe = quiet(clone(MOE), lazy, y)
        for other in (y.rechunk(900), Y):
            assert quiet(clone(MOE), lazy, other).lower_bound_ == moe.lower_bound_
        table = dd.from_pandas(pd.DataFrame(X), npartitions=4)
        for call in (REGRESSOR.score_samples, clone(MOE).fit):
            with pytest.raises(ValueError, match="same number of rows; got 4000 and 3990"):
                call(lazy, y[10:])
            with pytest.raises(
                ValueError, match=r"as many chunks or partitions; got 4 and 3.*like X"
            ):
                call(table, dd.from_pandas(pd.Series(Y), npartitions=3))
            shifted = dd.from_pandas(pd.Series(Y, index=np.arange(4000) + 10), npartitions=4)
            with pytest.raises(ValueError, match=r"same partitions.*repartition\(divisions"):
                call(table, shifted)

    def test_bad_blocks_are_told_by_their_number(self):
        lazy, y = arrays(X, Y)
        holed = X.copy()
        holed[1700, 1] = np.nan
        with pytest.raises(ValueError, match=r"block 3: .* column \d of X contains NaN"):
            clone(MOE).fit(*arrays(holed, Y))
        short = y[lazy[:, 0] > 0]  # as many chunks, of other rows
        with pytest.raises(ValueError, match="block 0: X and y must have the same number of rows"):
            clone(MOE).fit(lazy, short)
        with pytest.raises(ValueError, match="X has 2 features"):
            REGRESSOR.predict(lazy[:, :2])

    def test_without_a_cluster_nothing_is_kept(self, monkeypatch):
        """Collections larger than memory are read anew in each pass."""
        reads = []
        monkeypatch.setattr("skmoe._data.blocks._has_client", lambda: False)

        def read(block):
            reads.append(1)
            return block

        lazy, y = arrays(X, Y, size=2000)
        moe = quiet(clone(MOE), lazy.map_blocks(read, dtype=float, meta=np.empty((0, 0))), y)
        assert len(reads) > 2 * moe.n_iter_
        assert_allclose(moe.lower_bound_, REGRESSOR.lower_bound_, atol=1e-6)

    def test_partitions_without_rows_are_skipped(self):
        lazy, y = arrays(X[np.argsort(X[:, 0])], Y[np.argsort(X[:, 0])])
        some = lazy[:, 0] > 0  # none of the first chunks
        moe = quiet(clone(MOE), lazy[some], y[some])
        whole = quiet(clone(MOE), X[X[:, 0] > 0], Y[X[:, 0] > 0])
        assert_allclose(moe.lower_bound_, whole.lower_bound_, atol=1e-6)

    def test_estimators_that_are_not_fitted(self):
        with pytest.raises(NotFittedError):
            clone(MOE).predict(arrays(X)[0])
