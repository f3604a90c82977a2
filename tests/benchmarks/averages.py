"""Coverage of 95 % intervals where y is the mean of n values: which weights are right?

Two regimes of people, whose costs of a visit are gamma. Each row is the mean cost of one to forty
visits of a person. The numbers of visits are given as frequencies, as frequencies with a cluster
for each row (`method="sandwich"`), and as `var_weights`.

Usage: python tests/benchmarks/averages.py [--simulations 200] [--rows 800]
"""

import argparse
import warnings

import numpy as np
from markdown import print_table

from skmoe import MixtureOfExpertsRegressor

LEVEL = 0.95
COEFFICIENTS = np.array([[1.0, 0.3], [2.5, -0.2]])  # intercept and slope of each regime
DISPERSION = 1.5
WEIGHTS = {
    "sample_weight=n": ("sample_weight", {}),
    "sample_weight=n, cluster=rows": ("sample_weight", {"method": "sandwich"}),
    "var_weights=n": ("var_weights", {}),
}


def simulate(n_rows, seed):
    """Features, mean costs and numbers of visits."""
    rng = np.random.default_rng(seed)
    X, n = rng.normal(size=(n_rows, 1)), rng.integers(1, 41, n_rows).astype(float)
    regime = (rng.random(n_rows) < 1.0 / (1.0 + np.exp(-X[:, 0]))).astype(int)
    intercept, slope = COEFFICIENTS[regime].T
    mean = np.exp(intercept + slope * X[:, 0])
    return X, rng.gamma(n / DISPERSION, mean * DISPERSION / n), n


def covered(weights, n_rows, seed):
    """Whether the intervals of intercepts and slopes hold the truth."""
    X, y, n = simulate(n_rows, seed)
    name, options = WEIGHTS[weights]
    options = options | ({"cluster": np.arange(n_rows)} if options else {})
    moe = MixtureOfExpertsRegressor(
        2, family="gamma", alpha=1e-6, gate_alpha=1e-6, dispersion_prior=0.0, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        moe.fit(X, y, **{name: n})
        inference = moe.inference(X, y, **{name: n}, **options)
    interval, found = inference.conf_int(LEVEL), []
    for k, truth in zip(np.argsort(moe.expert_intercept_), COEFFICIENTS, strict=True):
        own = [i for i, term in enumerate(inference.terms) if term.part == f"expert {k}"][:2]
        found += ((interval[own, 0] <= truth) & (truth <= interval[own, 1])).tolist()
    return found


def coverage(weights, n_rows, n_simulations):
    """Share of the intervals that hold the truth."""
    return float(np.mean([covered(weights, n_rows, seed) for seed in range(n_simulations)]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--simulations", type=int, default=200)
    parser.add_argument("--rows", type=int, default=800)
    options = parser.parse_args()
    rows = {
        f"`{weights}`": [f"{100 * coverage(weights, options.rows, options.simulations):.1f} %"]
        for weights in WEIGHTS
    }
    print_table("weights", ["coverage of 95 % intervals"], rows)


if __name__ == "__main__":
    main()
