"""Coverage of 95 % intervals where y is the mean of n values: which weights are right?

The values are costs of a visit to a doctor, with a gamma distribution in each regime; y is the mean
cost of the visits of a person. The numbers of visits are given as frequencies, as frequencies with
a cluster for each row (`method="sandwich"`), and as `var_weights`. People are simulated with two
regimes, or are those of "What do the claims of a person cost?" in the gallery, of whose fit new
costs are drawn.

Usage: python tests/benchmarks/averages.py [--simulations 200] [--rows 800]
"""

import argparse
import warnings
from functools import cache
from importlib.resources import files

import numpy as np
import pandas as pd
from markdown import print_table

from skmoe import MixtureOfExpertsRegressor

LEVEL = 0.95
COEFFICIENTS = np.array([[1.0, 0.3], [2.5, -0.2]])  # intercept and slope of each regime
DISPERSION = 1.5
OPTIONS = {"family": "gamma", "alpha": 1e-6, "gate_alpha": 1e-6, "dispersion_prior": 0.0}
WEIGHTS = {
    "sample_weight=n": ("sample_weight", {}),
    "sample_weight=n, cluster=rows": ("sample_weight", {"method": "sandwich"}),
    "var_weights=n": ("var_weights", {}),
}


def two_regimes(n_rows, seed):
    """Features, mean costs and numbers of visits, and the coefficients of each regime."""
    rng = np.random.default_rng(seed)
    X, n = rng.normal(size=(n_rows, 1)), rng.integers(1, 41, n_rows).astype(float)
    regime = (rng.random(n_rows) < 1.0 / (1.0 + np.exp(-X[:, 0]))).astype(int)
    intercept, slope = COEFFICIENTS[regime].T
    mean = np.exp(intercept + slope * X[:, 0])
    return X, rng.gamma(n / DISPERSION, mean * DISPERSION / n), n, COEFFICIENTS


@cache
def gallery():
    """Features and numbers of visits of the people of the gallery, and the fit to their costs."""
    table = pd.read_csv(files("statsmodels.datasets.randhie") / "src" / "randhie.csv")
    by_person = table.sort_values("year").groupby("zper")
    people = by_person[["coins", "xage", "female", "disea", "xghindx"]].first()
    X = people.assign(coins=np.log1p(people["coins"].clip(upper=95)), child=people["xage"] < 18)
    visits, cost = by_person["mdvis"].sum(), by_person["outpdol"].sum()
    seen = (visits > 0) & (cost > 0)
    X, n, y = X[seen].astype(float).to_numpy(), visits[seen].to_numpy(), (cost / visits)[seen]
    return X, n, MixtureOfExpertsRegressor(1, **OPTIONS).fit(X, y, var_weights=n)


def people_of_gallery(n_rows, seed):
    """The same of some people of the gallery, with costs that are drawn."""
    X, n, moe = gallery()
    rows = np.random.default_rng(seed).choice(len(n), n_rows, replace=False)
    y = moe.sample(X[rows], var_weights=n[rows], random_state=seed)[:, 0]
    return X[rows], y, n[rows], np.column_stack([moe.expert_intercept_, moe.expert_coef_])


PEOPLE = {"two regimes": two_regimes, "people of the gallery": people_of_gallery}


def covered(people, weights, n_rows, seed):
    """Whether the intervals of intercepts and slopes hold the truth."""
    X, y, n, coefficients = PEOPLE[people](n_rows, seed)
    name, options = WEIGHTS[weights]
    options = options | ({"cluster": np.arange(n_rows)} if options else {})
    moe = MixtureOfExpertsRegressor(len(coefficients), random_state=seed, **OPTIONS)
    moe.fit(X, y, **{name: n})
    inference = moe.inference(X, y, **{name: n}, **options)
    interval, found = inference.conf_int(LEVEL), []
    for k, truth in zip(np.argsort(moe.expert_intercept_), coefficients, strict=True):
        own = [i for i, term in enumerate(inference.terms) if term.part == f"expert {k}"]
        own = own[: len(truth)]  # without the dispersion
        found += ((interval[own, 0] <= truth) & (truth <= interval[own, 1])).tolist()
    return found


def coverage(people, weights, options):
    """Share of the intervals that hold the truth."""
    seeds = range(options.simulations)
    share = np.mean([covered(people, weights, options.rows, seed) for seed in seeds])
    return f"{100 * share:.1f} %"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--simulations", type=int, default=200)
    parser.add_argument("--rows", type=int, default=800)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = {
        f"`{weights}`": [coverage(people, weights, options) for people in PEOPLE]
        for weights in WEIGHTS
    }
    print_table("weights", list(PEOPLE), rows)


if __name__ == "__main__":
    main()
