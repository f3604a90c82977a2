"""The predictive distribution of one row, apart by experts."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from skmoe._numerics.typing import Array
from skmoe.distributions import CountMixtureDistribution
from skmoe.inspection._grid import take_rows
from skmoe.inspection._targets import one_target

# Quantiles that are the points of the grid, of each expert that counts, and range of the picture.
PROBABILITIES = np.concatenate([[0.001, 0.003], np.linspace(0.01, 0.99, 99), [0.997, 0.999]])

# Experts of a smaller probability have no points of their own.
MIN_GATE_SHOWN = 0.002

# Equidistant points of the grid, and probability of a value that is a step of the distribution.
N_EVEN_POINTS, MIN_STEP = 200, 1e-6

# Counts that are drawn, at most, among those between the ends.
MAX_COUNTS = 400


class RowDensity(NamedTuple):
    """Densities and probabilities of values under each expert, times its gate probability."""

    gate: Array  # (K,)
    grid: Array  # (n,)
    density: Array  # (n, K); empty for discrete distributions
    values: Array  # (A,) that have a probability of their own
    probability: Array  # (A, K)


def row_density(estimator: Any, X: Any, row: int, target: int, offset: Array | None) -> RowDensity:
    """The distribution of an output for a row, as a sum over experts."""
    n_experts = estimator.n_experts_
    repeated = take_rows(X, np.full(n_experts, row))
    given = None if offset is None else np.repeat(offset[None], n_experts, axis=0)
    gate = estimator.predict_gate(take_rows(X, np.array([row])))[0]
    experts = estimator.predict_dist(repeated, given, np.eye(n_experts))
    mixture = estimator.predict_dist(repeated, given, np.tile(gate, (n_experts, 1)))

    def of_target(values: Any) -> Array:
        return one_target(np.asarray(values), target, 2)

    def at(method: Any, points: Array) -> Array:
        """Values (n, K) of a method of the experts at some points, the same for all outputs."""
        n_outputs = experts.mean.shape[1:]
        shaped = points.reshape(1, -1, *(1 for _ in n_outputs))
        return of_target(method(np.broadcast_to(shaped, (1, len(points), *n_outputs)))).T

    low, high = of_target(mixture.ppf(PROBABILITIES[[0, -1]]))[0]
    points = np.unique(of_target(experts.ppf(PROBABILITIES))[gate >= MIN_GATE_SHOWN])
    if isinstance(mixture, CountMixtureDistribution):
        points = np.unique(np.round(np.linspace(low, high, int(min(high - low, MAX_COUNTS)) + 1)))
    steps = (at(experts.cdf, points) - at(experts.cdf_left, points)) * gate
    has_step = steps.sum(axis=1) > MIN_STEP
    values, probability = points[has_step], steps[has_step]
    if has_step.all():
        return RowDensity(gate, np.empty(0), np.empty((0, n_experts)), values, probability)
    even = np.linspace(low, high, N_EVEN_POINTS)
    grid = np.unique(np.concatenate([even, points[~has_step]]))
    grid = grid[(grid >= low) & (grid <= high) & ~np.isin(grid, values)]
    return RowDensity(gate, grid, at(experts.pdf, grid) * gate, values, probability)


def class_density(
    estimator: Any, X: Any, row: int, target: int, offset: Array | None
) -> RowDensity:
    """The probabilities of the classes for a row, as a sum over experts."""
    one_row = take_rows(X, np.array([row]))
    gate, experts = estimator.predict_gate(one_row)[0], estimator.predict_experts(one_row)[0]
    probability = (gate[:, None] * experts).T
    classes = np.arange(len(probability), dtype=float)
    return RowDensity(gate, np.empty(0), np.empty((0, len(gate))), classes, probability)
