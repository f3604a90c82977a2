"""Coverage of 95 % intervals of the effects of a treatment: two regimes of a trial, fitted again.

Usage: python tests/benchmarks/treatments.py [--simulations 400] [--rows 800] [--family NAME ...]
"""

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

sys.path.insert(0, str(Path(__file__).parents[1]))
from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.inspection import treatment_effects

# Of each regime: intercept, slope of age, effect of the drug, and what a unit of age adds to it.
EXPERTS = {
    "normal": np.array([[0.0, 0.5, 1.0, 0.3], [3.0, -0.5, -0.5, 0.3]]),
    "poisson": np.array([[0.2, 0.2, 0.5, 0.1], [2.2, -0.1, -0.3, 0.1]]),
    "classes": np.array([[-2.5, 0.3, 1.5, 0.3], [2.5, 0.3, -1.5, -0.3]]),
}
GATE_SLOPE = 2.0

# Rows of a person: regimes of single rows of two classes are hardly determined.
N_ROWS_OF_PERSON = {"classes": 5}


def simulate(name, n_rows, seed):
    """Features, y, persons, and the true average effects: of the mixture, and of both regimes."""
    rng = np.random.default_rng(seed)
    person = np.arange(n_rows) // N_ROWS_OF_PERSON.get(name, 1)
    age, drug = rng.normal(size=n_rows)[person], rng.integers(2, size=n_rows)
    gate = 1.0 / (1.0 + np.exp(GATE_SLOPE * np.array([[1.0], [-1.0]]) * age))
    regime = (rng.uniform(size=n_rows)[person] < gate[1]).astype(int)

    def means(treated):
        design = np.array([np.ones(n_rows), age, treated, treated * age])
        predictor = EXPERTS[name] @ design
        if name == "classes":
            return 1.0 / (1.0 + np.exp(-predictor))
        return np.exp(predictor) if name == "poisson" else predictor

    effects = means(np.ones(n_rows)) - means(np.zeros(n_rows))
    true = [np.sum(gate * effects) / n_rows, *(gate * effects).sum(axis=1) / gate.sum(axis=1)]
    mean = means(drug)[regime, np.arange(n_rows)]
    draws = {
        "normal": lambda: mean + 0.8 * rng.normal(size=n_rows),
        "poisson": lambda: rng.poisson(mean),
        "classes": lambda: (rng.uniform(size=n_rows) < mean).astype(int),
    }
    return np.column_stack([age, drug]), draws[name](), person, np.array(true)


def covered(name, n_rows, seed):
    """Whether the intervals hold the true effects: of the mixture, and of both regimes."""
    X, y, person, true = simulate(name, n_rows, seed)
    units = {"units": person} if name in N_ROWS_OF_PERSON else {}
    options = {"alpha": 1e-6, "gate_alpha": 1e-6, "gate_features": [0], "random_state": seed}
    if name == "classes":
        moe = MixtureOfExpertsClassifier(2, **options)
    else:
        moe = MixtureOfExpertsRegressor(2, family=name, dispersion_prior=0.0, **options)
    steps = PolynomialFeatures(2, interaction_only=True, include_bias=False)
    of_step = {f"{type(moe).__name__.lower()}__{key}": values for key, values in units.items()}
    pipeline = make_pipeline(steps, moe).fit(X, y, **of_step)
    effects = treatment_effects(pipeline, X, y, treatment=1, **units)
    order = [0, 1, 2]
    if np.abs(effects.estimates[[0, 2, 1]] - true).sum() < np.abs(effects.estimates - true).sum():
        order = [0, 2, 1]
    low, high = effects.conf_int(0.95)[order].T
    return (low <= true) & (true <= high)


def share_covered(name="normal", n_simulations=400, n_rows=800):
    """Shares (3,) of the simulations in which intervals hold the true effects."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.mean([covered(name, n_rows, seed) for seed in range(n_simulations)], axis=0)


def main():
    """Print the shares for each family."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=400)
    parser.add_argument("--rows", type=int, default=800)
    parser.add_argument("--family", nargs="*", default=list(EXPERTS))
    options = parser.parse_args()
    print(f"{options.simulations} simulations of {options.rows} rows, intervals of 95 %")
    for name in options.family:
        shares = share_covered(name, options.simulations, options.rows)
        print(f"   {name:10} mixture {shares[0]:.3f}  regimes {shares[1]:.3f} {shares[2]:.3f}")


if __name__ == "__main__":
    main()
