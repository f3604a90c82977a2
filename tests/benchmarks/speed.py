"""Seconds and iterations of whole fits, beside scikit-learn's GaussianMixture on the same rows.

Usage: python tests/benchmarks/speed.py [--rows 10000 100000] [--features 20] [--experts 8]
"""

import argparse
import resource
import time
import warnings

import numpy as np
from sklearn.mixture import GaussianMixture

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor


def simulate(n_rows, n_features, n_experts, seed=0):
    """Rows of as many regimes as experts: features, target and three classes."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features))
    gate = X @ rng.normal(size=(n_features, n_experts)) + rng.gumbel(size=(n_rows, n_experts))
    regime = np.argmax(gate, axis=1)
    coef = rng.normal(size=(n_experts, n_features))
    mean = np.einsum("np,np->n", X, coef[regime]) + rng.normal(size=n_experts)[regime]
    y = mean + 0.5 * rng.normal(size=n_rows)
    return X, y, np.digitize(y, np.quantile(y, [1 / 3, 2 / 3]))


def timed(fit):
    """A fitted estimator and its seconds."""
    begin = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = fit()
    return fitted, time.perf_counter() - begin


def main():
    """Print a line for each model and size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--features", type=int, default=20)
    parser.add_argument("--experts", type=int, default=8)
    arguments = parser.parse_args()
    n_experts = arguments.experts
    print(f"{arguments.features} features, {n_experts} experts or components")
    print(f"{'model':<40}{'rows':>9}{'seconds':>9}{'iterations':>12}{'ratio':>8}{'peak MB':>9}")
    for n_rows in arguments.rows:
        X, y, classes = simulate(n_rows, arguments.features, n_experts)
        joint = np.column_stack([X, y])
        models = [
            ("GaussianMixture", lambda Z=joint: GaussianMixture(n_experts, random_state=0).fit(Z)),
            (
                "MixtureOfExpertsRegressor",
                lambda X=X, y=y: MixtureOfExpertsRegressor(n_experts, random_state=0).fit(X, y),
            ),
            (
                "MixtureOfExpertsRegressor, one start",
                lambda X=X, y=y: MixtureOfExpertsRegressor(n_experts, n_init=1, random_state=0).fit(
                    X, y
                ),
            ),
            (
                "MixtureOfExpertsClassifier, 3 classes",
                lambda X=X, y=classes: MixtureOfExpertsClassifier(n_experts, random_state=0).fit(
                    X, y
                ),
            ),
        ]
        base = None
        for name, fit in models:
            fitted, seconds = timed(fit)
            base = base or seconds
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(
                f"{name:<40}{n_rows:>9}{seconds:>9.2f}{fitted.n_iter_:>12}"
                f"{seconds / base:>8.2f}{peak:>9.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
