"""A fit on a local cluster of one worker and of two: seconds, and how far from the fit in memory.

CPU seconds of the client and of each worker tell what the clock hides where others use the machine.

Usage: python tests/benchmarks/cluster.py [--rows 1000000] [--iterations 20]
"""

import argparse
import time
import warnings

import dask.array as da
from distributed import Client, LocalCluster
from speed import simulate

from skmoe import MixtureOfExpertsRegressor

ROWS_OF_BLOCK = 100_000


def main(n_rows, n_iterations):
    warnings.simplefilter("ignore")
    X, y, _ = simulate(n_rows, 10, 4)
    moe = MixtureOfExpertsRegressor(4, random_state=0, tol=0.0, max_iter=n_iterations)
    # Blocks on both sides: the same sample of rows.
    begin = time.perf_counter()
    from_memory(moe, X, y)
    print(f"in memory, by blocks: {time.perf_counter() - begin:.1f} s")
    bound = moe.lower_bound_
    for n_workers in (1, 2):
        options = {"threads_per_worker": 1, "dashboard_address": None}
        with LocalCluster(n_workers=n_workers, **options) as cluster, Client(cluster) as client:
            pieces = [da.from_array(v, chunks=(ROWS_OF_BLOCK, *v.shape[1:])) for v in (X, y)]
            pieces = [piece.persist() for piece in pieces]
            moe.fit(*pieces)  # workers import what they need
            clocks = cpu_seconds(client)
            begin = time.perf_counter()
            moe.fit(*pieces)
            seconds = time.perf_counter() - begin
            used = [
                later - earlier for earlier, later in zip(clocks, cpu_seconds(client), strict=True)
            ]
        print(
            f"{n_workers} workers: {seconds:.1f} s, bound differs {moe.lower_bound_ - bound:.1e}; "
            f"CPU: client {used[0]:.1f} s, workers {' + '.join(f'{u:.1f}' for u in used[1:])} s"
        )


def cpu_seconds(client):
    """CPU seconds of this process, and of the workers in a fixed order."""
    return [time.process_time(), *dict(sorted(client.run(time.process_time).items())).values()]


def from_memory(moe, X, y):
    from skmoe.data import RowBlocks

    cuts = range(0, len(X), ROWS_OF_BLOCK)
    moe.fit(RowBlocks(lambda: ((X[c : c + ROWS_OF_BLOCK], y[c : c + ROWS_OF_BLOCK]) for c in cuts)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--iterations", type=int, default=20)
    arguments = parser.parse_args()
    main(arguments.rows, arguments.iterations)
