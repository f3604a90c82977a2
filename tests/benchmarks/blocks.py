"""A fit of a table on disk: memory, passes and rows per second.

Makes a file of features and one of the target, block by block, and fits from `.npy` files, each
step in a process of its own so that the peak of its memory is its own.

Usage: python tests/benchmarks/blocks.py [--rows 2000000] [--features 10] [--iterations 20]
       [--dir DIR] [--task regressor]
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.data import RowBlocks

ROWS_WRITTEN = 100_000
N_EXPERTS = 4


def write(directory, n_rows, n_features):
    """Rows of a mixture, written in blocks."""
    rng = np.random.default_rng(0)
    gate, coef = rng.normal(size=(2, n_features, N_EXPERTS))
    names = (directory / "X.npy", (n_rows, n_features)), (directory / "y.npy", (n_rows,))
    X, y = (np.lib.format.open_memmap(n, "w+", np.float64, shape=s) for n, s in names)
    for begin in range(0, n_rows, ROWS_WRITTEN):
        end = min(begin + ROWS_WRITTEN, n_rows)
        rows = rng.normal(size=(end - begin, n_features))
        regime = np.argmax(2.0 * rows @ gate + rng.gumbel(size=(end - begin, N_EXPERTS)), axis=1)
        mean = (rows @ coef)[np.arange(end - begin), regime]
        X[begin:end], y[begin:end] = rows, mean + 0.3 * rng.normal(size=end - begin)
    X.flush()
    y.flush()


class Passes:
    """Counts the passes over blocks; classes are the sign of y."""

    def __init__(self, directory, task):
        self.inner = RowBlocks.from_arrays(
            *(np.load(directory / f"{name}.npy", mmap_mode="r") for name in "Xy")
        )
        self.task, self.n_passes = task, 0

    def __call__(self):
        self.n_passes += 1
        for X, y in self.inner:
            yield X, (y > 0 if self.task == "classifier" else y)


def megabytes():
    """Peak of the memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def fit(directory, task, n_iterations, n_rows):
    warnings.simplefilter("ignore")
    before = megabytes()
    kind = {"regressor": MixtureOfExpertsRegressor, "classifier": MixtureOfExpertsClassifier}[task]
    passes = Passes(directory, task)
    moe = kind(N_EXPERTS, random_state=0, max_iter=n_iterations)
    begin = time.perf_counter()
    moe.fit(RowBlocks(passes))
    seconds = time.perf_counter() - begin
    size = sum(path.stat().st_size for path in directory.glob("*.npy")) / 2**20
    print(
        f"{task}: {n_rows:,} rows, {size:,.0f} MB on disk; peak {megabytes():,.0f} MB of memory, "
        f"{before:,.0f} MB before the fit; {passes.n_passes} passes, {moe.n_iter_} iterations, "
        f"lower bound {moe.lower_bound_:.4f}; {seconds:.0f} s, "
        f"{n_rows * passes.n_passes / seconds:,.0f} rows per second and pass",
        flush=True,
    )


def main(arguments):
    with tempfile.TemporaryDirectory(dir=arguments.dir) as name:
        directory = Path(name)
        steps = [(write, (directory, arguments.rows, arguments.features))]
        steps += [(fit, (directory, arguments.task, arguments.iterations, arguments.rows))]
        for step, values in steps:
            process = multiprocessing.get_context("spawn").Process(target=step, args=values)
            process.start()
            process.join()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--features", type=int, default=10)
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--dir", default=None)
    parser.add_argument("--task", choices=["regressor", "classifier"], default="regressor")
    main(parser.parse_args())
