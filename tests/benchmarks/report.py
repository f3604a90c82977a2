"""Seconds and size of the report of a fit: python tests/benchmarks/report.py"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import export_html


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--features", type=int, default=30)
    parser.add_argument("--experts", type=int, default=4)
    parser.add_argument("--expert", default="linear", choices=["linear", "tree"])
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    X = rng.normal(size=(options.rows, options.features))
    coef = rng.normal(size=(options.experts, options.features))
    regime = np.argmax(X[:, : options.experts] + rng.gumbel(size=(len(X), options.experts)), axis=1)
    y = np.einsum("ij,ij->i", X, coef[regime]) + 0.5 * rng.normal(size=len(X))
    n_fit = int(0.8 * len(X))
    moe = MixtureOfExpertsRegressor(options.experts, expert=options.expert, random_state=0)
    start = time.perf_counter()
    moe.fit(X[:n_fit], y[:n_fit])
    print(f"fit: {time.perf_counter() - start:.1f} s")
    held_out = {"X_held_out": X[n_fit:], "y_held_out": y[n_fit:]}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        for name in ("report", "second report"):
            start, cpu_start = time.perf_counter(), time.process_time()
            export_html(moe, X[:n_fit], y[:n_fit], path, **held_out)
            seconds, cpu = time.perf_counter() - start, time.process_time() - cpu_start
            print(f"{name}: {seconds:.1f} s, {cpu:.1f} s CPU, {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
