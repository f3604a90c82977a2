"""Fits on a cluster: sums are found where the blocks live, and a lost worker loses nothing."""

import os
import signal
import threading

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from regimes import flipping_classes, quiet, two_regimes
from sklearn.base import clone

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor, _extras
from skmoe.blocks import DaskBlocks, RowBlocks

X, Y = two_regimes(n_rows=4000)
CLASS_X, CLASSES = flipping_classes(n_rows=4000, n_classes=3)
MOE = MixtureOfExpertsRegressor(2, random_state=0, n_init=2, tol=1e-6)


def test_dask_is_named_if_it_is_missing(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(_extras, "import_module", missing)
    with pytest.raises(ImportError, match=r"skmoe\[dask\]"):
        RowBlocks.from_dask(None, None)


@pytest.fixture(scope="module")
def client():
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with (
        distributed.LocalCluster(**options, processes=True) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def arrays(*values, size=500):
    da = pytest.importorskip("dask.array")
    return [da.from_array(v, chunks=(size, *v.shape[1:])) for v in values]


@pytest.mark.filterwarnings("ignore")
class TestCluster:
    def test_arrays(self, client):
        moe = quiet(clone(MOE), *arrays(X, Y))
        assert_allclose(moe.lower_bound_, quiet(clone(MOE), X, Y).lower_bound_, atol=1e-6)

    def test_columns_cut_in_two(self, client):
        features, y = arrays(X, Y)
        moe = quiet(clone(MOE), features.rechunk((500, 2)), y)
        assert_allclose(moe.lower_bound_, quiet(clone(MOE), X, Y).lower_bound_, atol=1e-6)

    def test_frames_and_weights(self, client):
        dd = pytest.importorskip("dask.dataframe")
        weight = np.random.default_rng(0).integers(3, size=len(Y)).astype(float)
        frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(y=Y, weight=weight)
        table = dd.from_pandas(frame, npartitions=5)
        moe = quiet(clone(MOE), table[["a", "b", "c"]], table["y"], table["weight"])
        assert_allclose(moe.lower_bound_, quiet(clone(MOE), X, Y, weight).lower_bound_, atol=1e-6)
        assert moe.feature_names_in_.tolist() == ["a", "b", "c"]

    def test_classes(self, client):
        moe = MixtureOfExpertsClassifier(2, random_state=0, n_init=2, tol=1e-6)
        whole = quiet(clone(moe), CLASS_X, CLASSES)
        moe = quiet(moe, *arrays(CLASS_X, CLASSES))
        assert_allclose(moe.lower_bound_, whole.lower_bound_, atol=1e-6)

    def test_only_sums_travel(self, client, monkeypatch):
        """Blocks reach the client in the first pass and in the last one only."""
        read, sums = [], []
        total, iterate = DaskBlocks.total, DaskBlocks.__iter__

        def counted(self, *functions):
            sums.append(1)
            return total(self, *functions)

        def read_through(self):
            read.append(1)
            return iterate(self)

        monkeypatch.setattr(DaskBlocks, "total", counted)
        monkeypatch.setattr(DaskBlocks, "__iter__", read_through)
        moe = quiet(clone(MOE), *arrays(X, Y))
        assert len(read) == 2
        assert len(sums) > moe.n_iter_

    def test_predictions_stay_lazy(self, client):
        features, y = arrays(X, Y)
        moe = quiet(clone(MOE), features, y)
        predicted = features.map_blocks(moe.predict, drop_axis=1, dtype=float)
        assert_allclose(predicted.compute(), moe.predict(X))

    def test_other_chunks_of_the_target_are_refused(self, client):
        features, y = arrays(X, Y)
        with pytest.raises(ValueError, match=r"as many chunks.*\[8, 4\]"):
            clone(MOE).fit(features, y.rechunk(1000))

    def test_a_killed_worker_loses_nothing(self, client, monkeypatch):
        workers = client.run(os.getpid)
        total, calls = DaskBlocks.total, []

        def killing(self, *functions):
            calls.append(1)
            if len(calls) == 2:
                threading.Timer(0.02, os.kill, (min(workers.values()), signal.SIGKILL)).start()
            return total(self, *functions)

        monkeypatch.setattr(DaskBlocks, "total", killing)
        long = clone(MOE).set_params(tol=0.0, max_iter=30)
        moe = quiet(clone(long), *arrays(X, Y))
        assert len(calls) > 5
        assert set(client.run(os.getpid).values()) != set(workers.values())
        assert_allclose(moe.lower_bound_, quiet(long, X, Y).lower_bound_, atol=1e-6)
