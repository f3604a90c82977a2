"""Coverage of 90 % intervals: two regimes of each family are simulated and fitted again.

Usage: python tests/benchmarks/coverage.py [--simulations 200] [--rows 800] [--family NAME ...]
"""

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from skmoe import MixtureOfExpertsRegressor
from support.expert_kinds import GENERALIZED, draw, n_dispersions, options_of

LEVEL = 0.9
SLOPES, INTERCEPT = np.array([-1.0, 1.0]), 1.0
DISPERSIONS = {"ordinal": (1.5, 1.5)}


def simulate(name, n_rows, seed):
    """Rows of two regimes that overlap, and the log dispersions."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, size=(n_rows, 1))
    regime = (rng.uniform(size=n_rows) < 1 / (1 + np.exp(-3 * X[:, 0]))).astype(int)
    predictor = INTERCEPT + SLOPES[regime] * X[:, 0]
    dispersion = DISPERSIONS.get(name, (0.2, 5.0))
    return X, draw(name, predictor, rng, dispersion), np.log(dispersion[: n_dispersions(name)])


def covered(name, n_rows, seed):
    """Whether the intervals of intercepts and slopes, and of dispersions, hold the truth."""
    X, y, log_dispersion = simulate(name, n_rows, seed)
    moe = MixtureOfExpertsRegressor(
        2, alpha=1e-6, gate_alpha=1e-6, dispersion_prior=0.0, random_state=seed, **options_of(name)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = moe.fit(X, y).inference(X, y)
    interval = result.conf_int(LEVEL)
    order = np.argsort(moe.expert_coef_[:, 0])
    coefficients, dispersions = [], []
    for k, slope in zip(order, SLOPES, strict=True):
        own = [i for i, term in enumerate(result.terms) if term.part == f"expert {k}"]
        truth = np.concatenate([[INTERCEPT, slope], log_dispersion])
        inside = (interval[own, 0] <= truth) & (truth <= interval[own, 1])
        coefficients += inside[:2].tolist()
        dispersions += inside[2:].tolist()
    return coefficients, dispersions


def main():
    """Print the shares for each family."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=200)
    parser.add_argument("--rows", type=int, default=800)
    parser.add_argument("--family", nargs="*", default=["normal", *GENERALIZED])
    options = parser.parse_args()
    print(f"{options.simulations} simulations of {options.rows} rows, intervals of {LEVEL:.0%}")
    for name in options.family:
        results = [covered(name, options.rows, seed) for seed in range(options.simulations)]
        shares = [np.mean([part for result in results for part in result[i]]) for i in (0, 1)]
        print(f"   {name:18} coefficients {shares[0]:.3f}  log dispersions {shares[1]:.3f}")


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main()
