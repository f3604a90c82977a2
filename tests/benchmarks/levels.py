"""Levels of tests for censored y: shares of p-values up to 5 % in tables of which they should be.

Usage: python tests/benchmarks/levels.py [--tables 400] [--jobs 2] [--test NAME ...]
"""

import argparse
import warnings

import numpy as np
from joblib import Parallel, delayed
from markdown import print_table

from skmoe import MixtureOfExpertsRegressor
from skmoe.data import right_censored
from skmoe.model_selection import likelihood_ratio_test, n_experts_test

LEVEL = 0.05

# The fewest draws of a test of this level: one as large as the statistic decides.
DRAWS = {"n_bootstrap": 19, "n_exceedances": 1}


def simulate(n_rows, seed, separation=0.0, longest=4.0, shape=1.5):
    """Weibull times of two regimes, the same for a separation of zero, with ends of observation."""
    rng = np.random.default_rng(seed)
    X, regime = rng.normal(size=(n_rows, 1)), rng.integers(0, 2, size=n_rows)
    time = np.exp(0.5 * X[:, 0] + separation * regime) * rng.weibull(shape, size=n_rows)
    end = rng.uniform(0.5, longest, size=n_rows) * np.exp(separation)
    return X, right_censored(np.minimum(time, end), time <= end)


def times(n_experts, **options):
    """An estimator for censored times."""
    defaults = {"family": "weibull", "gate": "constant", "n_init": 1, "random_state": 0}
    return MixtureOfExpertsRegressor(n_experts, **defaults | options)


def number_of_regimes(seed):
    """One regime against two, by the bootstrap."""
    return n_experts_test(times(1), *simulate(100, seed), **DRAWS, random_state=seed).p_value


def slopes(seed):
    """Equal slopes of two regimes."""
    pair = times(2, shared_features=[0]), times(2)
    return likelihood_ratio_test(*pair, *simulate(400, seed, separation=2.5)).p_value


def cured(seed, longest=1.5):
    """No cured rows against a constant share."""
    pair = times(1), times(2, family=["never", "weibull"])
    table = simulate(200, seed, longest=longest)
    return likelihood_ratio_test(*pair, *table).p_value


def cured_after_long_follow_up(seed):
    """The same where nearly all events are seen, and information on cures has no bound."""
    return cured(seed, longest=4.0)


def cured_by_features(seed):
    """No cured rows against a share that depends on the feature, by the bootstrap."""
    larger = times(2, family=["never", "exponential"], gate="softmax")
    table = simulate(60, seed, shape=1.0)
    options = DRAWS | {"random_state": seed}
    return likelihood_ratio_test(times(1, family="exponential"), larger, *table, **options).p_value


TESTS = {
    "1 regime against 2": number_of_regimes,
    "equal slopes of 2 regimes": slopes,
    "no cured rows": cured,
    "no cured rows, long follow-up": cured_after_long_follow_up,
    "no cured rows, gate with features": cured_by_features,
}


def p_value(test, seed):
    """The p-value of a table."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return TESTS[test](seed)


def main():
    """Print the level of each test."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=400)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--test", nargs="*", choices=TESTS, default=list(TESTS))
    options = parser.parse_args()
    rows = {}
    for test in options.test:
        found = Parallel(n_jobs=options.jobs)(
            delayed(p_value)(test, seed) for seed in range(options.tables)
        )
        rows[test] = [f"{np.mean(np.array(found) <= LEVEL):.1%}"]
    print_table(f"{options.tables} tables", ["level"], rows)


if __name__ == "__main__":
    main()
