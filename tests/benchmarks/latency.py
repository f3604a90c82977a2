"""How long predictions of few rows take, and how long the import takes.

Printed are the CPU milliseconds of a call for one row and for 1000 rows of ten features, by a
mixture of four linear experts and by models of scikit-learn, with arrays and frames. The smallest
of several repeats counts. The import of skmoe is timed after that of scikit-learn, in new processes
that read compiled modules.

Usage: python tests/benchmarks/latency.py [--repeats 5]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import pandas as pd
from markdown import print_table
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression

from skmoe import MixtureOfExpertsRegressor

SIZES = (1, 1000)
SECONDS_OF_REPEAT = 0.2
IMPORT = """
import time, sklearn.ensemble, sklearn.linear_model
begin = time.process_time()
import skmoe
skmoe.MixtureOfExpertsRegressor
print(time.process_time() - begin)
"""


def milliseconds(call, repeats):
    """The least mean of CPU milliseconds of a call."""
    begin = time.process_time()
    call()
    n_calls = max(int(SECONDS_OF_REPEAT / max(time.process_time() - begin, 1e-5)), 1)
    means = []
    for _ in range(repeats):
        begin = time.process_time()
        for _ in range(n_calls):
            call()
        means.append((time.process_time() - begin) / n_calls)
    return 1e3 * min(means)


def calls():
    """Names of calls, and functions that make them for a number of rows."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(5000, 10))
    y = np.where(X[:, 0] > 0, X[:, 1], -X[:, 2]) + 0.3 * rng.normal(size=len(X))
    frame = pd.DataFrame(X, columns=list("abcdefghij"))
    models = {
        "mixture": MixtureOfExpertsRegressor(4, random_state=0),
        "linear model": LinearRegression(),
        "hist. boosting": HistGradientBoostingRegressor(random_state=0),
    }
    for name, model in models.items():
        for title, data in ((name, X), (f"{name}, frame", frame)):
            fitted = model.fit(data, y)
            yield f"{title}: predict", lambda n, m=fitted, d=data: m.predict(d[:n])
            if title == "mixture":
                yield f"{title}: predict_dist", lambda n, m=fitted: m.predict_dist(X[:n])
                yield f"{title}: predict_interval", lambda n, m=fitted: m.predict_interval(X[:n])
                yield f"{title}: predict_quantile", lambda n, m=fitted: m.predict_quantile(X[:n])
            model = type(model)(**model.get_params())


def import_seconds(repeats):
    """The least CPU seconds of the import of skmoe beyond that of scikit-learn."""
    with tempfile.TemporaryDirectory() as folder:
        own = os.environ | {"PYTHONPYCACHEPREFIX": folder, "PYTHONDONTWRITEBYTECODE": ""}
        run = [sys.executable, "-c", IMPORT]
        found = [
            float(subprocess.run(run, env=own, check=True, capture_output=True, text=True).stdout)
            for _ in range(repeats + 1)  # the first one compiles
        ]
    return min(found[1:])


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    rows = {
        name: [milliseconds(lambda n=n, call=call: call(n), repeats) for n in SIZES]
        for name, call in calls()
    }
    print_table("CPU milliseconds", ["1 row", "1000 rows"], rows)
    print(f"\nimport of skmoe beyond scikit-learn: {import_seconds(repeats):.2f} CPU s")


if __name__ == "__main__":
    main()
