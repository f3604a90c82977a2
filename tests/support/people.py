"""Tables of units with random effects, and their densities by dense matrices."""

from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from skmoe import MixtureOfExpertsRegressor


class Table(NamedTuple):
    """Rows of units, in no order; the features of X are a time, one of rows, and one of units."""

    X: np.ndarray
    y: np.ndarray
    units: np.ndarray
    regimes: np.ndarray

    def take(self, rows):
        return Table(*(values[rows] for values in self))


@cache
def table(n_units=60, seed=0, sd=(1.5, 0.4)):
    """Two regimes of units of one to eight rows: y rises in time, or falls."""
    rng = np.random.default_rng(seed)
    units = np.repeat(np.arange(n_units), rng.integers(1, 9, size=n_units))
    n = len(units)
    X = np.column_stack([rng.uniform(0, 5, n), rng.normal(size=n), rng.normal(size=n_units)[units]])
    regimes = (rng.random(n_units) < 0.4).astype(int)[units]
    effects = rng.normal(size=(2, n_units))[:, units] * np.array(sd)[:, None]
    mean = np.where(regimes, 13.0 + 1.5 * X[:, 0], 10.0 - X[:, 0]) + 0.7 * X[:, 1]
    y = mean + effects[0] + effects[1] * X[:, 0] + 0.7 * rng.normal(size=n)
    return Table(X, y, units, regimes).take(rng.permutation(n))


def regressor(n_experts=2, **options):
    """A mixture with a random intercept, and slope of the time."""
    given = {"gate_features": [2], "expert_features": [0, 1], "random_features": [0]}
    return MixtureOfExpertsRegressor(n_experts, random_state=0, **given | options)


ML = {"alpha": 0.0, "gate_alpha": 0.0, "dispersion_prior": 0.0}


@cache
def fitted(**options):
    """A fit to the table, which tests read only."""
    return regressor(**options).fit(table().X, table().y, units=table().units)


def covariance(moe, k, columns):
    """Covariance matrix of rows of a unit under an expert, with the columns of the effects."""
    noise = moe.noise_variance_[k] * np.eye(len(columns))
    return columns @ moe.random_covariance_[k] @ columns.T + noise


def columns_of(moe, X):
    """The columns of the effects: the intercept, and the random features."""
    return np.column_stack([np.ones(len(X)), X[:, moe.random_features]])


def given_rows(moe, data, row, known):
    """Probabilities, means and variances of a row by expert, given known rows of its unit."""
    X, y, gate = data.X, data.y, moe.predict_gate(data.X)
    mean = moe.expert_intercept_ + X @ moe.expert_coef_.T
    logs, means, variances = [], [], []
    for k in range(moe.n_experts_):
        both = np.append(known, row)
        matrix = covariance(moe, k, columns_of(moe, X[both]))
        own, cross, rest = matrix[:-1, :-1], matrix[-1, :-1], matrix[-1, -1]
        solved = np.linalg.solve(own, cross) if len(known) else np.zeros(0)
        deviation = y[known] - mean[known, k]
        means.append(mean[row, k] + solved @ deviation)
        variances.append(rest - solved @ cross)
        density = multivariate_normal(mean[known, k], own).logpdf(y[known]) if len(known) else 0.0
        logs.append(np.log(gate[row, k]) + density)
    return np.exp(logs - logsumexp(logs)), np.array(means), np.array(variances)


def log_densities(moe, data):
    """Log densities of all units in the order of their labels."""
    gate, found = moe.predict_gate(data.X), []
    mean = moe.expert_intercept_ + data.X @ moe.expert_coef_.T
    for unit in np.unique(data.units):
        own = np.flatnonzero(data.units == unit)
        columns = columns_of(moe, data.X[own])
        logs = [
            multivariate_normal(mean[own, k], covariance(moe, k, columns)).logpdf(data.y[own])
            for k in range(moe.n_experts_)
        ]
        found.append(logsumexp(np.log(gate[own[0]]) + logs))
    return np.array(found)
