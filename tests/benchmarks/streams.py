"""How far online EM is from EM on all rows, after 1, 5 and 20 epochs of batches.

Gaps are of the mean log density of the rows: to where EM on all rows comes when it goes on from the
stream (what online EM still has to gain), and to a fit from starts of its own on all rows.

Usage: python tests/benchmarks/streams.py [--rows 20000] [--batch 500]
"""

import argparse
import copy
import warnings

import numpy as np
from speed import simulate

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor

UNITS = np.array([1.0, 10.0, 100.0, 0.01, 1.0])
SHIFTS = np.array([0.0, 5.0, 1000.0, 0.0, 0.0])
EPOCHS = (1, 5, 20)


def main(n_rows, batch):
    print(f"{'task':<12}{'experts':>8}{'epochs':>8}{'still to gain':>15}{'to own starts':>15}")
    for kind in (MixtureOfExpertsRegressor, MixtureOfExpertsClassifier):
        for n_experts in (2, 4, 8):
            X, y, classes = simulate(n_rows, len(UNITS), n_experts)
            compare(kind(n_experts, random_state=0), UNITS * X + SHIFTS, y, classes, batch)


def compare(moe, X, y, classes, batch):
    options = {"classes": np.unique(classes)} if hasattr(moe, "predict_proba") else {}
    task = "classifier" if options else "regressor"
    y = classes if options else y
    rng = np.random.default_rng(0)
    best = copy.deepcopy(moe).set_params(tol=1e-6, max_iter=2000).fit(X, y)
    best = best.score_samples(X, y).mean()
    for epoch in range(1, max(EPOCHS) + 1):
        for chosen in np.array_split(rng.permutation(len(X)), len(X) // batch):
            moe.partial_fit(X[chosen], y[chosen], **options)
        if epoch in EPOCHS:
            here = moe.score_samples(X, y).mean()
            on = copy.deepcopy(moe).set_params(warm_start=True, tol=1e-6, max_iter=2000)
            limit = on.fit(X, y).score_samples(X, y).mean()
            gaps = f"{limit - here:>15.5f}{best - here:>15.5f}"
            print(f"{task:<12}{moe.n_experts:>8}{epoch:>8}{gaps}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=500)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    main(arguments.rows, arguments.batch)
