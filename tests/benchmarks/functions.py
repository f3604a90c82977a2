"""Functions and files of the package that one call executes.

    python tests/benchmarks/functions.py

A newcomer who follows a fit from call to call meets all of these functions. Printed are numbers for
a default fit of 500 rows, which selects the number of experts, for one with a given number, and for
the summary of a fitted mixture; with `--list` also the files.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from skmoe import MixtureOfExpertsRegressor
from support.executed import executed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--list", action="store_true", help="print the functions of each file")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 3))
    y = np.where(X[:, 0] > 0, X[:, 1], -X[:, 2]) + 0.1 * rng.normal(size=500)
    moe, with_number = (MixtureOfExpertsRegressor(n, random_state=0) for n in ("auto", 2))
    calls = {
        "default fit": lambda: moe.fit(X, y),
        "fit with a number of experts": lambda: with_number.fit(X, y),
        "summary": lambda: moe.summary(X, y),
    }
    for name, call in calls.items():
        found = executed(call)
        files = Counter(function.split(":")[0] for function in found)
        print(f"{name}: {len(found)} functions in {len(files)} files")
        if options.list:
            for file, number in sorted(files.items()):
                print(f"  {file}: {number}")


if __name__ == "__main__":
    main()
