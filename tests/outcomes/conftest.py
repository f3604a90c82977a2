"""A table of patients with four outcomes, of which some values are missing."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from skmoe import MixtureOfExpertsRegressor
from support.fits import fit_quietly

N_ROWS = 240
FAMILIES = {"bmi": "normal", "smoker": "binary", "visits": "poisson", "survival": "weibull"}


class Patients(NamedTuple):
    """Features, all outcomes, and those that are observed."""

    X: pd.DataFrame
    complete: pd.DataFrame
    y: pd.DataFrame


@pytest.fixture(scope="session")
def patients():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(N_ROWS, 2)), columns=["age", "dose"])
    is_second = X["age"] + 0.4 * rng.logistic(size=N_ROWS) > 0.0
    bmi = np.where(is_second, 25.0 + 2.0 * X["dose"], 30.0 - X["dose"]) + rng.normal(size=N_ROWS)
    complete = pd.DataFrame(
        {
            "bmi": bmi,
            "smoker": (rng.uniform(size=N_ROWS) < np.where(is_second, 0.2, 0.7)).astype(float),
            "visits": rng.poisson(np.exp(np.where(is_second, 0.5 + 0.3 * X["dose"], 1.5))) + 0.0,
            "survival": np.where(is_second, 5.0, 2.0) * rng.weibull(1.5, size=N_ROWS),
        }
    )
    return Patients(X, complete, complete.mask(rng.uniform(size=complete.shape) < 0.15))


def mixture(n_experts=2, **options):
    """Without penalties, so that estimates are those of maximum likelihood."""
    defaults = {"alpha": 0.0, "gate_alpha": 0.0, "dispersion_prior": 0.0, "n_init": 1}
    defaults |= {"family": FAMILIES, "random_state": 0, "tol": 1e-10, "max_iter": 500}
    return MixtureOfExpertsRegressor(n_experts, **defaults | options)


@pytest.fixture(scope="session")
def moe(patients):
    return fit_quietly(mixture(), patients.X, patients.y)
