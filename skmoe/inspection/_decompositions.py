"""Decompositions of one prediction: of its distribution by experts, of its mean by features."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from skmoe._data.rows import index_rows
from skmoe._numerics.typing import Array
from skmoe.distributions import CountMixtureDistribution
from skmoe.inspection._grid import path_rows
from skmoe.inspection._targets import one_target, predicted_mean, values_at

# Quantiles that are the points of the grid, of each expert that counts, and range of the picture.
PROBABILITIES = np.concatenate([[0.001, 0.003], np.linspace(0.01, 0.99, 99), [0.997, 0.999]])

# Experts of a smaller probability have no points of their own.
MIN_GATE_SHOWN = 0.002

# Equidistant points of the grid, and probability of a value that is a step of the distribution.
N_EVEN_POINTS, MIN_STEP = 200, 1e-6

# Counts that are drawn, at most, among those between the ends.
MAX_COUNTS = 400

# Numbers in the rows of a path, for which its steps are reduced, and the fewest steps.
MAX_ENTRIES, MIN_STEPS = 20_000_000, 10


# --- by experts --------------------------------------------------------------------------------


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
    repeated = index_rows(X, np.full(n_experts, row))
    given = None if offset is None else np.repeat(offset[None], n_experts, axis=0)
    gate = estimator.predict_gate(index_rows(X, np.array([row])))[0]
    experts = estimator.predict_dist(repeated, given, np.eye(n_experts))
    mixture = estimator.predict_dist(repeated, given, np.tile(gate, (n_experts, 1)))

    def at(method: Any, points: Array) -> Array:
        return values_at(experts, method, points, target).T

    low, high = one_target(mixture.ppf(PROBABILITIES[[0, -1]]), target, 2)[0]
    quantiles = one_target(experts.ppf(PROBABILITIES), target, 2)
    points = np.unique(quantiles[gate >= MIN_GATE_SHOWN])
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
    one_row = index_rows(X, np.array([row]))
    gate, experts = estimator.predict_gate(one_row)[0], estimator.predict_experts(one_row)[0]
    probability = (gate[:, None] * experts).T
    classes = np.arange(len(probability), dtype=float)
    return RowDensity(gate, np.empty(0), np.empty((0, len(gate))), classes, probability)


# --- by features -------------------------------------------------------------------------------


class Contributions(NamedTuple):
    """What adds up to the prediction of a row, up to a remainder: base value, gate and experts."""

    base_value: float  # prediction of the mean row
    gate: Array  # of each feature through the gate, (p,)
    experts: Array  # of each feature through the predictions of the experts, (p,)
    prediction: float


def row_contributions(
    estimator: Any, X: Any, row: int, target: int, offset: Array | None, n_steps: int
) -> Contributions:
    """Contributions to the prediction of an output or class for a row, given its offset.

    The straight path from the mean row to the row has `n_steps` steps. In each, features move one
    after another: first in the gate, then in the experts, and on a second way in the opposite
    order, of which the mean is taken. The changes of each way add up to the change of
    sum_k gate_k(x) mean_k(x). For smooth functions they converge to integrated gradients.
    """

    def given(rows: Any) -> dict[str, Any]:
        return {} if offset is None else {"offset": np.repeat(offset[None], rows.shape[0], axis=0)}

    n_features = X.shape[1]
    ends = path_rows(X, row, np.array([[0.0], [1.0]]) * np.ones(n_features))
    base_value, prediction = predicted_mean(estimator, ends, target, **given(ends))
    n_steps = int(np.clip(MAX_ENTRIES // (n_features * (n_features + 1)), MIN_STEPS, n_steps))
    fraction = np.linspace(0.0, 1.0, n_steps + 1)
    moved = np.tri(n_features + 1, n_features, -1, dtype=bool)  # row j: the first j have moved
    through_gate, through_experts = np.zeros(n_features), np.zeros(n_features)
    for backwards in (False, True):
        order = moved[:, ::-1] if backwards else moved
        # Fractions of the path, (S, p + 1, p): features that have moved are one step ahead.
        ahead = np.where(order, fraction[1:, None, None], fraction[:-1, None, None])
        rows = path_rows(X, row, ahead.reshape(-1, n_features))
        shape = n_steps, n_features + 1, -1
        mean = one_target(estimator.predict_experts(rows, **given(rows)), target, 2).reshape(shape)
        gate = estimator.predict_gate(rows).reshape(shape)
        # The gate moves before the experts, or backwards after them.
        first, last = (-1, 0) if backwards else (0, -1)
        of_gate = np.einsum("sjk,sk->j", np.diff(gate, axis=1), mean[:, first])
        of_experts = np.einsum("sjk,sk->j", np.diff(mean, axis=1), gate[:, last])
        through_gate += (of_gate[::-1] if backwards else of_gate) / 2.0
        through_experts += (of_experts[::-1] if backwards else of_experts) / 2.0
    return Contributions(float(base_value), through_gate, through_experts, float(prediction))
