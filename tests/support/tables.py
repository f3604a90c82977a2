"""Simulated tables whose regimes are known, and panels, where rows of one unit share a regime."""

import numpy as np

from support.expert_kinds import draw

SLOPES = np.array([[1.0, 0.0], [-1.0, 1.0], [0.0, -1.0]])
INTERCEPTS = np.array([0.0, 0.5, -0.5])


def crossing_lines(n_rows=400, seed=0):
    """One feature, two regimes that meet at zero: slopes 2 and -1, noise 0.1 and 0.3."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, size=(n_rows, 1))
    right = X[:, 0] > 0
    y = np.where(right, 1 - X[:, 0], 1 + 2 * X[:, 0])
    return X, y + rng.normal(size=n_rows) * np.where(right, 0.3, 0.1)


def two_regimes(n_rows=600, n_features=3, seed=0):
    """The first feature chooses, softly, between two linear regressions on all features."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features))
    gate = rng.uniform(size=n_rows) < 1 / (1 + np.exp(-4 * X[:, 0]))
    coef = np.stack([np.arange(1.0, n_features + 1), -np.ones(n_features)])
    y = np.where(gate, 2 + X @ coef[0], -1 + X @ coef[1]) + 0.3 * rng.normal(size=n_rows)
    return X, y


def flipping_classes(n_rows=600, n_classes=2, seed=0):
    """The first feature chooses which of two rules gives the class from the second."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 3))
    sign = np.where(X[:, 0] > 0, 1.0, -1.0)
    logits = 3.0 * np.outer(sign * X[:, 1], np.arange(n_classes))
    logits += rng.gumbel(size=logits.shape)
    return X, np.argmax(logits, axis=1)


def regimes_of(name, task, n_rows=100):
    """Two regimes of a kind of experts, with a third feature of no use."""
    if task == "classifier":
        return flipping_classes(n_rows, 3)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 3))
    slope = np.where(X[:, 0] + 0.3 * rng.normal(size=n_rows) > 0, 0.8, -0.8)
    return X, draw(name if name != "linear" else "normal", 0.5 + slope * X[:, 1], rng)


def steps(n_rows=400, seed=0):
    """Two regimes of steps, which trees see and lines do not, on two sides of an oblique line."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, size=(n_rows, 3))
    y = np.where(X[:, 0] + X[:, 1] > 0, np.floor(2 * X[:, 2]), -np.floor(2 * X[:, 2]))
    return X, y + 0.2 * rng.normal(size=n_rows)


def panel(n_units=60, n_rows=5, n_regimes=3, seed=0, noise=0.5):
    """Features, target and units of rows in random order, and the regime of each unit."""
    rng = np.random.default_rng(seed)
    regimes = rng.permutation(np.arange(n_units) % n_regimes)
    units = rng.permutation(np.repeat(np.arange(n_units), n_rows))
    X = rng.normal(size=(len(units), 2))
    mean = (X * SLOPES[regimes[units]]).sum(axis=1) + INTERCEPTS[regimes[units]]
    return X, mean + noise * rng.normal(size=len(units)), units, regimes


def machines(n_units=6, n_rows=30, n_features=3, seed=0):
    """Features, target, units and times of rows in random order, whose regime lasts for a while.

    The first feature makes a machine leave its regime, and the second changes y in both.
    """
    rng = np.random.default_rng(seed)
    units, time = np.repeat(np.arange(n_units), n_rows), np.tile(np.arange(n_rows), n_units)
    X, regime = rng.normal(size=(len(time), n_features)), np.zeros(len(time), dtype=int)
    leaves = rng.uniform(size=len(time)) < 1.0 / (1.0 + np.exp(2.0 - X[:, 0]))
    for i in range(len(time)):
        regime[i] = rng.integers(2) if time[i] == 0 else (regime[i - 1] + leaves[i]) % 2
    y = np.where(regime, 5.0 - X[:, 1], X[:, 1]) + 0.5 * rng.normal(size=len(time))
    order = rng.permutation(len(time))
    return X[order], y[order], units[order], time[order]


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
