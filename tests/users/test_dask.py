"""A Dask cluster: sums are found where chunks live, and lost workers lose nothing.

All tests share one cluster. What needs none is in `test_dask_collections.py`.
"""

import multiprocessing
import os
import signal
import threading

import joblib
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone

from skmoe import MixtureOfExpertsRegressor
from skmoe._data.blocks import DaskBlocks, dask_blocks
from skmoe.data import RowBlocks
from support.fits import FIXED, fit_quietly, loads
from support.tables import two_regimes

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

pytestmark = pytest.mark.filterwarnings("ignore")  # those of the cluster

X, Y = two_regimes(n_rows=120)
SHORT = {"random_state": 0, "n_init": 1, "tol": 0.0, "max_iter": 2}
MOE = MixtureOfExpertsRegressor(2, **SHORT, **FIXED)


@pytest.fixture(scope="module")
def client():
    """Where there is fork, from a process that has imported the package once for all workers."""
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    can_fork = "forkserver" in multiprocessing.get_all_start_methods()
    method = "forkserver" if can_fork else "spawn"
    with dask.config.set({"distributed.worker.multiprocessing-method": method}):
        distributed.utils.get_mp_context()  # sets modules of its own, the first time
        if can_fork:
            multiprocessing.set_forkserver_preload(["distributed", "pandas", "skmoe"])
        with (
            distributed.LocalCluster(**options, processes=True) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield client


def chunks_of(*values, size=40):
    return [da.from_array(v, chunks=(size, *v.shape[1:])) for v in values]


class ChunksThatStayOnWorkers(DaskBlocks):
    """Chunks that cannot be read by the client, and count how often sums of them are found."""

    def __init__(self, blocks, kill=None):
        super().__init__(blocks)
        self.n_sums, self.kill = 0, kill

    def __iter__(self):
        raise AssertionError("chunks were read by the client")

    def map_reduce(self, *functions):
        self.n_sums += 1
        if self.n_sums == 2 and self.kill is not None:
            threading.Timer(0.01, self.kill).start()
        return super().map_reduce(*functions)


def test_only_sums_and_the_first_chunk_reach_the_client(client):
    blocks = ChunksThatStayOnWorkers(dask_blocks(*chunks_of(X, Y)).blocks)
    moe = fit_quietly(clone(MOE), blocks)
    assert blocks.n_sums > moe.n_iter_ + 2  # the first pass, a first sweep, the use of experts
    assert_allclose(loads(moe).sum(), len(Y))
    expected = fit_quietly(clone(MOE), RowBlocks.from_arrays(X, Y)).lower_bounds_
    assert_allclose(moe.lower_bounds_, expected, atol=1e-8)


def test_a_killed_worker_loses_nothing(client):
    workers = client.run(os.getpid)
    by = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows has one signal for both
    kill = lambda: os.kill(min(workers.values()), by)  # noqa: E731
    blocks = ChunksThatStayOnWorkers(dask_blocks(*chunks_of(X, Y)).blocks, kill)
    long = clone(MOE).set_params(max_iter=5)
    moe = fit_quietly(clone(long), blocks)
    assert set(client.run(os.getpid).values()) != set(workers.values())
    expected = fit_quietly(long, RowBlocks.from_arrays(X, Y)).lower_bounds_
    assert_allclose(moe.lower_bounds_, expected, atol=1e-8)


def test_starts_and_fits_of_experts_run_on_workers(client):
    """They come to the same, and the workers have done something."""

    def n_transitions():
        return client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.transition_counter)

    moe = clone(MOE).set_params(expert="tree", n_init=2, max_iter=1, cross_fit=2)
    before = n_transitions()
    with joblib.parallel_backend("dask"):
        there = fit_quietly(clone(moe).set_params(n_jobs=2), X, Y)
    assert n_transitions() > before
    assert_allclose(there.predict(X), fit_quietly(moe, X, Y).predict(X), rtol=1e-10)
