"""What the options of linear experts cost: CPU time of a fit with each over that without it.

Each option is fitted to a simulated table of its own kind, with and without it, in alternating
runs. Printed are the smallest CPU seconds of each and their ratio. `GaussianMixture` of
scikit-learn is timed beside a mixture of several outputs without features.

Usage: python tests/benchmarks/options.py [--rows 5000] [--repeats 3] [--only NAME ...]
"""

import argparse
import time
import warnings
from functools import partial

import numpy as np
from sklearn.mixture import GaussianMixture

from skmoe import MixtureOfExpertsRegressor
from skmoe.data import right_censored


def table(n_rows, n_features=5):
    """Two regimes along the first feature, whose noise grows with the second."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, n_features))
    slopes = np.where(X[:, :1] > 0, 1.0, -1.0) * np.linspace(1.0, 0.2, n_features)
    noise = 0.5 * np.exp(0.4 * X[:, 1])
    return X, (X * slopes).sum(axis=1) + noise * rng.normal(size=n_rows), rng


def cases(n_rows):
    """Name, X, y, and parameters and arguments of the fits without and with an option."""
    X, y, rng = table(n_rows)
    positive = np.exp(0.3 * y)
    known = np.where(rng.uniform(size=n_rows) < 0.05, (X[:, 0] < 0).astype(int), -1)
    end = np.quantile(positive, 0.8)
    censored = right_censored(np.minimum(positive, end), positive <= end)
    gamma, by_feature = {"family": "gamma"}, {"dispersion_features": [1]}
    gate, signs = {"gate_features": [0]}, {"monotonic_cst": [0, 1, 1, 1, 1]}
    yield "dispersion_features", X, y, ({}, by_feature)
    yield "dispersion_features, gamma", X, positive, (gamma, gamma | by_feature)
    yield "covariance_type, full", X, outputs(y, rng), ({}, {"covariance_type": "full"})
    yield "monotonic_cst", X, y, (gate, gate | signs)
    yield "monotonic_cst, gamma", X, positive, (gate | gamma, gate | gamma | signs)
    yield "known_experts, 5 %", X, y, ({}, {}), {"known_experts": known}
    yield "expert_features of each", X, y, ({}, {"expert_features": [[0, 1, 2], [2, 3, 4]]})
    yield "shared_features", X, y, ({}, {"shared_features": [4]})
    weibull = {"family": "weibull"}
    yield "censored y, Weibull", X, (positive, censored), (weibull, weibull)


def outputs(y, rng):
    """Three outputs, of which two belong together."""
    return np.column_stack([y, 0.5 * y + rng.normal(size=len(y)), rng.normal(size=len(y))])


def seconds(fit):
    """CPU seconds of a call."""
    begin = time.process_time()
    fit()
    return time.process_time() - begin


def main():
    """Print a line for each option."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="*")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| option | without | with | ratio |\n|---|---|---|---|")
    for name, X, y, parameters, *arguments in cases(options.rows):
        if options.only and name not in options.only:
            continue
        targets = y if isinstance(y, tuple) else (y, y)
        fits = [
            partial(MixtureOfExpertsRegressor(2, random_state=0, **one).fit, X, target)
            for one, target in zip(parameters, targets, strict=True)
        ]
        fits[1] = partial(fits[1], **dict(*arguments))
        times = [[seconds(fit) for fit in fits] for _ in range(options.repeats)]
        without, chosen = np.min(times, axis=0)
        print(f"| {name} | {without:.2f} | {chosen:.2f} | {chosen / without:.1f} |", flush=True)
    X, y, rng = table(options.rows)
    Y = outputs(y, rng)
    moe = MixtureOfExpertsRegressor(3, gate="constant", covariance_type="full", random_state=0)
    peer = GaussianMixture(3, n_init=4, tol=1e-6, max_iter=1000, random_state=0)
    fit = partial(moe.fit, np.zeros((len(Y), 1)), Y)
    ours = min(seconds(fit) for _ in range(options.repeats))
    theirs = min(seconds(partial(peer.fit, Y)) for _ in range(options.repeats))
    print(f"\nthree components of three outputs: {ours:.2f} s, GaussianMixture {theirs:.2f} s")


if __name__ == "__main__":
    main()
