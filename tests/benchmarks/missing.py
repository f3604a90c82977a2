"""Estimates where an outcome is missing at random, beside those of complete rows.

    python tests/benchmarks/missing.py [--tables 200] [--rows 1000]

Two regimes have a normal and a binary outcome. The second is missing in most rows whose first is
large, which the likelihood of what is observed allows for, and a fit of complete rows does not.
Printed are the bias of the mean of each estimate over the tables, in standard errors of this mean,
and the coverage of 95 % intervals.
"""

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

sys.path.insert(0, str(Path(__file__).parents[1]))
from markdown import print_table

from skmoe import MixtureOfExpertsRegressor

# Means of the first outcome, log odds of the second, by regime, and log odds of the second regime.
MEANS, LOG_ODDS, SECOND = np.array([0.0, 3.0]), np.array([-1.0, 1.0]), 0.4
FAMILIES = {"score": "normal", "passed": "binary"}


def simulate(n_rows, seed):
    """Outcomes of which the second is missing where the first is large."""
    rng = np.random.default_rng(seed)
    regime = (rng.uniform(size=n_rows) < expit(SECOND)).astype(int)
    score = MEANS[regime] + rng.normal(size=n_rows)
    passed = (rng.uniform(size=n_rows) < expit(LOG_ODDS[regime])).astype(float)
    is_missing = rng.uniform(size=n_rows) < expit(score - 2.5)
    return pd.DataFrame({"score": score, "passed": np.where(is_missing, np.nan, passed)})


def estimates(y):
    """Means, log odds and gate, with the regimes in the order of their means, and errors."""
    X = pd.DataFrame({"one": np.zeros(len(y))})
    options = {"alpha": 0.0, "gate_alpha": 0.0, "dispersion_prior": 0.0, "n_init": 8}
    moe = MixtureOfExpertsRegressor(
        2, family=FAMILIES, gate="constant", expert_features=[], random_state=0, **options
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        moe.fit(X, y)
        order = np.argsort(moe.expert_intercept_[:, 0])
        result = moe.inference(X, y, gate_reference=int(order[0]))
    found = {}
    listed = zip(result.terms, result.estimates, result.standard_errors, strict=True)
    for term, value, error in listed:
        if term.name == "(Intercept)":
            part = "gate" if term.part == "gate" else list(order).index(int(term.part[-1]))
            found[part, "" if part == "gate" else term.response] = value, error
    return found


def truth():
    """True values by the keys of the estimates."""
    found = {(k, "score"): MEANS[k] for k in range(2)}
    return found | {(k, "passed"): LOG_ODDS[k] for k in range(2)} | {("gate", ""): SECOND}


def bias(n_tables, n_rows, keeps):
    """Bias in standard errors of the mean, and coverage, by estimate.

    `keeps` are the rows that a fit uses, from a table.
    """
    found = [estimates(keeps(simulate(n_rows, seed))) for seed in range(n_tables)]
    rows = {}
    for key, true in truth().items():
        values, errors = np.transpose([own[key] for own in found])
        covered = np.abs(values - true) < 1.96 * errors
        deviation = values.std(ddof=1) / np.sqrt(n_tables)
        rows[key] = (values.mean() - true) / deviation, covered.mean()
    return rows


KINDS = {"all rows": lambda y: y, "complete rows": lambda y: y.dropna()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=200)
    parser.add_argument("--rows", type=int, default=1000)
    given = parser.parse_args()
    for name, keeps in KINDS.items():
        rows = bias(given.tables, given.rows, keeps)
        cells = {
            f"{outcome} of regime {part}" if outcome else "gate": (z, f"{100.0 * share:.1f} %")
            for (part, outcome), (z, share) in rows.items()
        }
        print_table(name, ["bias / its standard error", "coverage"], cells)


if __name__ == "__main__":
    main()
