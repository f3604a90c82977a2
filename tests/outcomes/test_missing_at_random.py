"""Estimates from all rows are unbiased where an outcome is missing at random.

`tests/benchmarks/missing.py` has more tables, all estimates, and the coverage of intervals.
"""

import numpy as np
import pandas as pd
import pytest

from outcomes.conftest import mixture
from support.fits import fit_quietly

MEANS, N_TABLES, N = np.array([0.0, 3.0]), 16, 500


def deviations(keeps):
    """Deviations (T, 2) of the estimated means of the first outcome from the true ones."""
    found = []
    for seed in range(N_TABLES):
        rng = np.random.default_rng(seed)
        regime = (rng.uniform(size=N) < 0.6).astype(int)
        score = MEANS[regime] + rng.normal(size=N)
        passed = (rng.uniform(size=N) < np.where(regime, 0.75, 0.25)).astype(float)
        passed[rng.uniform(size=N) < 1.0 / (1.0 + np.exp(2.5 - score))] = np.nan
        y = keeps(pd.DataFrame({"score": score, "passed": passed}))
        X = np.zeros((len(y), 1))
        options = {"gate": "constant", "expert_features": [], "n_init": 1}
        family = {"score": "normal", "passed": "binary"}
        moe = fit_quietly(mixture(family=family, **options), X, y)
        found.append(np.sort(moe.expert_intercept_[:, 0]) - MEANS)
    return np.array(found)


@pytest.mark.parametrize("kind", ["all rows", "complete rows"])
def test_missing_at_random(kind):
    found = deviations((lambda y: y) if kind == "all rows" else pd.DataFrame.dropna)
    bias = found.mean(axis=0) / (found.std(axis=0, ddof=1) / np.sqrt(N_TABLES))
    if kind == "all rows":
        assert (np.abs(bias) < 3.0).all()
    else:  # where the score is high, it is missing too often
        assert bias[1] < -5.0
