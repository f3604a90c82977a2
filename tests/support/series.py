"""Tables of series, and the passes over them, one row after another, in plain form."""

from functools import cache
from itertools import product, repeat
from typing import NamedTuple

import numpy as np
from scipy.special import log_softmax, logsumexp
from scipy.stats import norm, poisson

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from support.expert_kinds import draw

# --- tables ---------------------------------------------------------------------------------------


class Table(NamedTuple):
    """Rows of series, in no order."""

    X: np.ndarray  # features of the transitions, of the experts, and of neither
    y: np.ndarray
    units: np.ndarray
    time: np.ndarray
    regimes: np.ndarray
    predictor: np.ndarray  # of y, without noise

    @property
    def series(self):
        """What orders the rows."""
        return {"units": self.units, "time": self.time}

    @property
    def given(self):
        """What predictions may know."""
        return self.series | {"y": self.y}

    def take(self, rows):
        return Table(*(values[rows] for values in self))

    def of_family(self, name):
        """A target of a family of distributions."""
        return draw(name, 0.5 * self.predictor, np.random.default_rng(3), (0.1, 5.0))

    @property
    def classes(self):
        noise = np.random.default_rng(4).logistic(size=len(self.y))
        return np.where(2.0 * self.predictor - 1.0 + 0.5 * noise > 0.0, "b", "a")


@cache
def table(sizes=(40, 35, 25, 20, 17, 13), n_regimes=2, seed=0):
    """Series whose regimes persist, and persist longer where the first feature is large."""
    rng = np.random.default_rng(seed)
    n = sum(sizes)
    X = rng.normal(size=(n, 3))
    regimes, starts = np.zeros(n, dtype=int), np.cumsum((0, *sizes[:-1]))
    leaves = rng.random(n) < 1.0 / (1.0 + np.exp(1.5 + X[:, 0]))
    steps, first = rng.integers(1, n_regimes, size=n), rng.integers(n_regimes, size=len(sizes))
    for unit, (start, size) in enumerate(zip(starts, sizes, strict=True)):
        regimes[start] = first[unit]
        for row in range(start + 1, start + size):
            regimes[row] = (regimes[row - 1] + leaves[row] * steps[row]) % n_regimes
    slopes, levels = np.linspace(-1.0, 1.0, n_regimes), np.linspace(-1.0, 2.0, n_regimes)
    predictor = levels[regimes] + slopes[regimes] * X[:, 1]
    y = predictor + 0.4 * rng.normal(size=n)
    units = np.repeat(np.array([f"u{k}" for k in rng.permutation(len(sizes))]), sizes)
    time = np.concatenate([np.sort(rng.uniform(0.0, 100.0, size)) for size in sizes])
    return Table(X, y, units, time, regimes, predictor).take(rng.permutation(n))


def with_holes(y, every=5):
    """A target of which some values are missing."""
    y = np.array(y, dtype=float)
    y[::every] = np.nan
    return y


# --- mixtures -------------------------------------------------------------------------------------

# Penalties are given, so that none is sought.
FIXED = {"alpha": 0.1, "gate_alpha": 0.5, "n_init": 1, "random_state": 0, "gate": "markov"}
COLUMNS = {"gate_features": [0], "expert_features": [1]}
PLAIN = {"alpha": 0.0, "gate_alpha": 0.0, "dispersion_prior": 0.0, "tol": 1e-11, "max_iter": 3000}


def regressor(n_experts=2, **options):
    return MixtureOfExpertsRegressor(n_experts, **FIXED | COLUMNS | options)


def classifier(n_experts=2, **options):
    return MixtureOfExpertsClassifier(n_experts, **FIXED | COLUMNS | options)


# --- plain passes ---------------------------------------------------------------------------------


class Chain(NamedTuple):
    """Coefficients of a chain, and log densities of each row under each expert."""

    initial: np.ndarray  # (K,)
    moves: np.ndarray  # from the expert before, to each expert, of each row, (n, K, K)
    logs: np.ndarray  # (n, K), zero where y is missing


class Passes(NamedTuple):
    """What the rows of series say of their experts; all in the order of the given rows."""

    past: np.ndarray  # probabilities given earlier rows, (n, K)
    now: np.ndarray  # and given the row itself
    all: np.ndarray  # given all rows of the series
    log_density: np.ndarray  # given earlier rows, (n,)
    path: np.ndarray  # the most probable one, (n,)
    best: dict  # its log joint probability, for each series


def log_densities(moe, X, y, **offset):
    """Those of normal or Poisson experts, or of those of classes."""
    if hasattr(moe, "classes_"):
        is_known = np.array([value is not None and value == value for value in y])
        codes = np.searchsorted(moe.classes_, np.where(is_known, y, moe.classes_[0]).astype(str))
        proba = moe.predict_experts(X)[np.arange(len(X)), :, codes]
        return np.where(is_known[:, None], np.log(proba), 0.0)
    means, seen = moe.predict_experts(X, **offset), np.nan_to_num(y)[:, None]
    if hasattr(moe, "noise_variance_"):
        logs = norm.logpdf(seen, means, np.sqrt(moe.noise_variance_))
    else:
        logs = poisson.logpmf(seen, means)
    return np.where(np.isnan(y)[:, None], 0.0, logs)


def chain_of(moe, X, y, **offset):
    """The chain of a fitted mixture whose features of transitions are the first ones."""
    slopes = moe.transition_coef_
    logits = moe.transition_intercept_ + np.einsum("jkp,np->njk", slopes, X[:, : slopes.shape[2]])
    moves = np.exp(log_softmax(logits, axis=2))
    return Chain(moe.initial_probabilities_, moves, log_densities(moe, X, y, **offset))


def rows_of_series(units, time):
    """The rows of each series in the order of time."""
    return {
        unit: np.flatnonzero(units == unit)[np.argsort(time[units == unit])]
        for unit in np.unique(units)
    }


def plain_passes(chain, units, time):
    """Passes from row to row of one series after another."""
    n, n_experts = chain.logs.shape
    past, now, smooth = (np.zeros((n, n_experts)) for _ in range(3))
    log_density, path, best = np.zeros(n), np.zeros(n, dtype=int), {}
    with np.errstate(divide="ignore"):
        log_initial, log_moves = np.log(chain.initial), np.log(chain.moves)
    for unit, rows in rows_of_series(units, time).items():
        value, origins, state = log_initial, [], chain.initial
        for place, row in enumerate(rows):
            if place:
                ways = value[:, None] + log_moves[row]
                origins.append(ways.argmax(axis=0))
                value, state = ways.max(axis=0), state @ chain.moves[row]
            value = value + chain.logs[row]
            past[row] = state
            joint = np.log(np.maximum(state, 1e-300)) + chain.logs[row]
            log_density[row] = logsumexp(joint)
            now[row] = state = np.exp(joint - log_density[row])
        later = np.ones(n_experts)
        path[rows[-1]], best[unit] = value.argmax(), value.max()
        for place in range(len(rows) - 1, -1, -1):
            row = rows[place]
            smooth[row] = now[row] * later / (now[row] @ later)
            message = np.exp(chain.logs[row] - log_density[row]) * later
            later = chain.moves[row] @ message
            if place:
                path[rows[place - 1]] = origins[place - 1][path[row]]
    return Passes(past, now, smooth, log_density, path, best)


def all_paths(chain, rows):
    """Log joint probability of every path of a series, and the paths, (n_paths, n_rows)."""
    n_experts = chain.logs.shape[1]
    paths = np.array(list(product(*repeat(range(n_experts), len(rows)))))
    with np.errstate(divide="ignore"):
        joint = np.log(chain.initial)[paths[:, 0]]
        for place, row in enumerate(rows):
            joint = joint + chain.logs[row, paths[:, place]]
            if place:
                joint = joint + np.log(chain.moves[row, paths[:, place - 1], paths[:, place]])
    return joint, paths
