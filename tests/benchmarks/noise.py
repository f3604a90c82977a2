"""The noise that a first fit reports, and its intervals, beside the truth and other priors.

    python tests/benchmarks/noise.py [--data DIR] [--replications 5] [--family NAME ...]

Simulated are two clear regimes, two noisy ones that overlap, and no regimes (fitted with two and
four experts). Printed are, for each number of rows, the median over experts and replications of the
estimated dispersion parameter by the true one, as a ratio of standard deviations; the coverage of
90 % intervals of 2000 new rows; and the gain of log density per new row over `dispersion_prior=10`.
With a folder of tables folds 0 and 1 of each are predicted by both priors.
"""

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
from scipy.special import expit

sys.path.insert(0, str(Path(__file__).parents[1]))
from markdown import print_table
from tables import load_tables

from skmoe import MixtureOfExpertsRegressor
from support.expert_kinds import FAMILIES, draw, options_of

N_NEW, LEVEL = 2000, 0.9
PRIOR_OF_COMPARISON = 10.0
N_ROWS = (100, 300, 1000, 5000, 20_000)

# Families with a scale, whose true dispersion parameter is small for clear regimes and large for
# noisy ones. A dispersion of a family that is not a scale has no prior.
DISPERSIONS = {
    "normal": (0.09, 2.25),
    "student_t": (0.09, 2.25),
    "lognormal": (0.09, 2.25),
    "gamma": (0.05, 1.0),
    "inverse_gaussian": (0.02, 0.5),
    "tweedie": (0.1, 1.0),
    "beta": (0.02, 0.4),
    "weibull": (0.05, 1.0),
}


def simulate(name, scenario, n_rows, seed):
    """Features, targets and the true dispersion parameter."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 2))
    regime = rng.random(n_rows) < expit(1.5 * X[:, 0])
    predictor = 0.5 * X[:, 1]
    if scenario != "none":
        predictor = np.where(regime, 1.5 + 0.5 * X[:, 1], -1.5 - 0.5 * X[:, 1])
    dispersion = DISPERSIONS[name][scenario != "clear"]
    return X, draw(name, predictor, rng, (dispersion, 5.0)), dispersion


def fitted(X, y, n_experts, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MixtureOfExpertsRegressor(n_experts, random_state=0, **options).fit(X, y)


def score(moe, X, y):
    """Log density per row and coverage."""
    low, high = moe.predict_interval(X, LEVEL).T
    return moe.score_samples(X, y).mean(), ((low <= y) & (y <= high)).mean()


def evaluate(name, scenario, n_experts, n_rows, seed):
    """Ratio of standard deviations, coverage, and gain over the prior of comparison."""
    X, y, dispersion = simulate(name, scenario, n_rows, seed)
    X_new, y_new, _ = simulate(name, scenario, N_NEW, 1000 + seed)
    options = options_of(name)
    moe = fitted(X, y, n_experts, **options)
    other = fitted(X, y, n_experts, dispersion_prior=PRIOR_OF_COMPARISON, **options)
    found = getattr(moe, "noise_variance_", None)
    found = moe.dispersion_ if found is None else found
    (density, coverage), (of_other, _) = (score(one, X_new, y_new) for one in (moe, other))
    return np.sqrt(np.median(found) / dispersion), coverage, density - of_other


def simulations(families, replications):
    for name in families:
        for scenario, n_experts in (("clear", 2), ("noisy", 2), ("none", 2), ("none", 4)):
            rows = {}
            for n_rows in N_ROWS:
                n_seeds = max(1, replications * 1000 // max(n_rows, 1000))
                results = [
                    evaluate(name, scenario, n_experts, n_rows, seed) for seed in range(n_seeds)
                ]
                ratio, coverage, gain = np.transpose(results)
                rows[f"{n_rows}"] = [np.median(ratio), coverage.mean(), gain.mean()]
            title = f"{name}, {scenario}, {n_experts} experts"
            print_table(title, ["sd / true sd", "coverage", "gain, nats per row"], rows)


def real_tables(folder, most_rows):
    rows = {}
    for table, X, y, fold in load_tables(folder, "regression"):
        results = []
        for held_out in (0, 1):
            train, test = np.flatnonzero(fold != held_out), np.flatnonzero(fold == held_out)
            train = np.random.default_rng(held_out).permutation(train)[:most_rows]
            scale = y[train].std()
            of_both = [
                score(fitted(X[train], y[train] / scale, 4, **options), X[test], y[test] / scale)
                for options in ({}, {"dispersion_prior": PRIOR_OF_COMPARISON})
            ]
            results.append(np.ravel(of_both))
        rows[table] = list(np.mean(results, axis=0))
    columns = ["log density", "coverage", "log density, prior of 10", "coverage, prior of 10"]
    print_table("table", columns, rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the tables")
    parser.add_argument("--replications", type=int, default=5)
    parser.add_argument("--most-rows", type=int, default=800)
    parser.add_argument("--family", nargs="*", default=list(DISPERSIONS), choices=FAMILIES)
    options = parser.parse_args()
    simulations(options.family, options.replications)
    if options.data is not None:
        real_tables(options.data, options.most_rows)


if __name__ == "__main__":
    main()
