"""Default fits of this version against those of an earlier one, in turn, in processes of their own.

The earlier version is a commit of this repository, which is unpacked to a temporary folder. Printed
are seconds of the processor for five tables, the smallest of a few runs, and mean lower bounds.

Usage: python tests/benchmarks/versions.py --commit COMMIT [--repeats N]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Rows, features and experts of the tables.
SIZES = ((2_000, 1, 2), (20_000, 10, 4))

# Tables of each size.
N_TABLES = 5

FIT = """
import json, sys, time, warnings
import numpy as np
from skmoe import MixtureOfExpertsRegressor
n_rows, n_features, n_experts, n_tables = map(int, sys.argv[1:])
warnings.simplefilter("ignore")
seconds, lower_bounds = 0.0, []
for seed in range(n_tables):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features))
    gate = X @ rng.normal(size=(n_features, n_experts)) + rng.gumbel(size=(n_rows, n_experts))
    coef = rng.normal(size=(n_experts, n_features))
    y = np.einsum("np,np->n", X, coef[gate.argmax(axis=1)]) + 0.5 * rng.normal(size=n_rows)
    moe = MixtureOfExpertsRegressor(n_experts, random_state=0)
    if seed == 0:
        moe.fit(X, y)  # what is imported on first use
    start = time.process_time()
    moe.fit(X, y)
    seconds += time.process_time() - start
    lower_bounds.append(moe.lower_bound_)
print(json.dumps([seconds, sum(lower_bounds) / n_tables]))
"""


def unpack(commit, folder):
    """The package at a commit."""
    archive = subprocess.run(
        ["git", "archive", commit, "skmoe"], cwd=ROOT, check=True, capture_output=True
    )
    subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)


def fit(tree, size):
    """Seconds and lower bound of a fit by the package in a folder."""
    environment = os.environ | {"PYTHONPATH": str(tree), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", FIT, *map(str, (*size, N_TABLES))]
    done = subprocess.run(
        command, cwd=tree, env=environment, check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--commit", required=True, help="of the earlier version")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        unpack(options.commit, folder)
        for size in SIZES:
            runs = {"earlier": [], "now": []}
            for _ in range(options.repeats):
                for name, tree in (("earlier", folder), ("now", ROOT)):
                    runs[name].append(fit(tree, size))
            earlier, now = (min(of_version) for of_version in runs.values())
            print(
                "{} rows, {} features, {} experts: ".format(*size)
                + f"{earlier[0]:.3f} s -> {now[0]:.3f} s, {earlier[0] / now[0]:.1f} times faster; "
                f"lower bound {earlier[1]:.6f} -> {now[1]:.6f}"
            )


if __name__ == "__main__":
    main()
