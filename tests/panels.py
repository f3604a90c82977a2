"""Simulated panels: several rows of each unit, which have one regime in common."""

import numpy as np
from kinds import draw

SLOPES = np.array([[1.0, 0.0], [-1.0, 1.0], [0.0, -1.0]])
INTERCEPTS = np.array([0.0, 0.5, -0.5])


def panel(n_units=60, n_rows=5, n_regimes=3, seed=0, noise=0.5):
    """Features, target and units of rows in random order, and the regime of each unit."""
    rng = np.random.default_rng(seed)
    regimes = rng.permutation(np.arange(n_units) % n_regimes)
    units = rng.permutation(np.repeat(np.arange(n_units), n_rows))
    X = rng.normal(size=(len(units), 2))
    mean = (X * SLOPES[regimes[units]]).sum(axis=1) + INTERCEPTS[regimes[units]]
    return X, mean + noise * rng.normal(size=len(units)), units, regimes


def panel_of(name, task, n_units=40, n_rows=4, seed=0):
    """Features, target and units for a kind of experts."""
    rng = np.random.default_rng(seed)
    units = rng.permutation(np.repeat(np.arange(n_units), n_rows))
    X = rng.normal(size=(len(units), 2))
    sign = np.where(units % 2 == 0, 1.0, -1.0)
    predictor = 0.5 + 0.8 * sign * X[:, 0]
    if task == "classifier":
        return X, np.where(rng.logistic(size=len(units)) < 3.0 * predictor, "yes", "no"), units
    family = "normal" if name == "linear" else name
    return X, draw(family, predictor, rng), units
