"""Dask: sums are found where blocks live, lost workers lose nothing, joblib sends jobs."""

import os
import signal
import threading

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from regimes import flipping_classes, quiet, two_regimes
from sklearn.base import clone

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.blocks import DaskBlocks, RowBlocks

X, Y = two_regimes(n_rows=4000)
CLASS_X, CLASSES = flipping_classes(n_rows=4000, n_classes=3)
MOE = MixtureOfExpertsRegressor(2, random_state=0, n_init=2, tol=1e-6)


def test_dask_is_named_if_it_is_missing(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr("skmoe._optional.import_module", missing)
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

    def test_only_sums_and_a_sample_travel(self, client, monkeypatch):
        """No pass reads the blocks through the client, which sees the first of them alone."""
        sums, total = [], DaskBlocks.map_reduce

        def counted(self, *functions):
            sums.append(1)
            return total(self, *functions)

        def read_through(self):
            raise AssertionError("blocks were read through the client")

        monkeypatch.setattr(DaskBlocks, "map_reduce", counted)
        monkeypatch.setattr(DaskBlocks, "__iter__", read_through)
        moe = quiet(clone(MOE), *arrays(X, Y))
        assert len(sums) > moe.n_iter_ + 2  # the survey, a first sweep, and how experts are used
        assert_allclose(moe.weights_, quiet(clone(MOE), X, Y).weights_, atol=1e-3)
        assert_allclose(moe.load_.sum(), len(Y))

    def test_the_sample_is_that_of_other_blocks(self, client):
        """Of more rows than starts are found on, the same rows are drawn, however they are cut."""
        features, y = np.tile(X, (6, 1)), np.tile(Y, 6)
        features = features + 1e-9 * np.arange(len(y))[:, None]
        cut = RowBlocks(
            lambda: [(features[i : i + 999], y[i : i + 999]) for i in range(0, 24000, 999)]
        )
        moe = quiet(clone(MOE), *arrays(features, y, size=1700))
        assert_allclose(moe.lower_bound_, quiet(clone(MOE), cut).lower_bound_, atol=1e-9)

    def test_predictions_of_the_cluster(self, client):
        features, y = arrays(X, Y)
        moe = quiet(clone(MOE), features, y)
        assert_allclose(moe.predict(features).compute(), moe.predict(X))

    def test_jobs_go_through_the_cluster(self, client, monkeypatch):
        """Starts and fits of experts run on the workers, and come to the same."""
        joblib_dask = pytest.importorskip("joblib._dask")
        backend = joblib_dask.DaskDistributedBackend
        name = "submit" if hasattr(backend, "submit") else "apply_async"  # before joblib 1.5
        sent, submit = [], getattr(backend, name)

        def counted(self, *args, **options):
            sent.append(1)
            return submit(self, *args, **options)

        monkeypatch.setattr(backend, name, counted)
        for options in ({"n_init": 4}, {"expert": "tree", "n_init": 1, "max_iter": 5}):
            moe = clone(MOE).set_params(**options)
            sent.clear()
            with joblib.parallel_backend("dask"):
                there = quiet(clone(moe).set_params(n_jobs=2), X[:600], Y[:600])
            assert sent
            assert_allclose(there.predict(X), quiet(moe, X[:600], Y[:600]).predict(X), rtol=1e-12)

    def test_a_killed_worker_loses_nothing(self, client, monkeypatch):
        workers = client.run(os.getpid)
        total, calls = DaskBlocks.map_reduce, []

        def killing(self, *functions):
            calls.append(1)
            if len(calls) == 2:
                threading.Timer(0.02, os.kill, (min(workers.values()), signal.SIGKILL)).start()
            return total(self, *functions)

        monkeypatch.setattr(DaskBlocks, "map_reduce", killing)
        long = clone(MOE).set_params(tol=0.0, max_iter=30)
        moe = quiet(clone(long), *arrays(X, Y))
        assert len(calls) > 5
        assert set(client.run(os.getpid).values()) != set(workers.values())
        assert_allclose(moe.lower_bound_, quiet(long, X, Y).lower_bound_, atol=1e-6)
