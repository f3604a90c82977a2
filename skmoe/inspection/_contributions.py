"""Contributions of features to the prediction of one row, through the gate and the experts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from skmoe._numerics.typing import Array
from skmoe.inspection._grid import path_rows
from skmoe.inspection._targets import one_target, predicted_mean

# Numbers in the rows of a path, for which its steps are reduced, and the fewest steps.
MAX_ENTRIES, MIN_STEPS = 20_000_000, 10


class Contributions(NamedTuple):
    """What adds up to the prediction of a row: base value, gate, experts and remainder."""

    base_value: float  # prediction of the mean row
    gate: Array  # of each feature through the gate, (p,)
    experts: Array  # of each feature through the predictions of the experts, (p,)
    prediction: float

    @property
    def remainder(self) -> float:
        """Prediction minus everything else: zero up to round-off, unless rows are routed."""
        return self.prediction - self.base_value - float(self.gate.sum() + self.experts.sum())


def row_contributions(
    estimator: Any, X: Any, row: int, target: int, offset: Array | None, n_steps: int
) -> Contributions:
    """Contributions to the prediction of an output or class for a row, given its offset."""

    def given(rows: Any) -> dict[str, Any]:
        return {} if offset is None else {"offset": np.repeat(offset[None], rows.shape[0], axis=0)}

    def means(rows: Any) -> Array:
        return one_target(estimator.predict_experts(rows, **given(rows)), target, 2)

    ends = path_rows(X, row, np.array([[0.0], [1.0]]) * np.ones(X.shape[1]))
    base_value, prediction = predicted_mean(estimator, ends, target, **given(ends))
    n_steps = int(np.clip(MAX_ENTRIES // (X.shape[1] * (X.shape[1] + 1)), MIN_STEPS, n_steps))
    gate, experts = path_contributions(X, row, estimator.predict_gate, means, n_steps)
    return Contributions(float(base_value), gate, experts, float(prediction))


def path_contributions(
    X: Any,
    row: int,
    predict_gate: Callable[[Any], Array],
    predict_experts: Callable[[Any], Array],
    n_steps: int,
) -> tuple[Array, Array]:
    """Contributions (p,) through gate and experts on the straight path from the mean row.

    The path has `n_steps` steps. In each, features move one after another: first in the gate, then
    in the experts, and on a second way in the opposite order, of which the mean is taken. The
    changes of each way add up to the change of sum_k gate_k(x) mean_k(x). For smooth functions
    they converge to integrated gradients.
    """
    n_features = X.shape[1]
    fraction = np.linspace(0.0, 1.0, n_steps + 1)
    moved = np.tri(n_features + 1, n_features, -1, dtype=bool)  # row j: the first j have moved
    through_gate, through_experts = np.zeros(n_features), np.zeros(n_features)
    for backwards in (False, True):
        order = moved[:, ::-1] if backwards else moved
        # Fractions of the path, (S, p + 1, p): features that have moved are one step ahead.
        ahead = np.where(order, fraction[1:, None, None], fraction[:-1, None, None])
        rows = path_rows(X, row, ahead.reshape(-1, n_features))
        shape = n_steps, n_features + 1, -1
        gate, mean = predict_gate(rows).reshape(shape), predict_experts(rows).reshape(shape)
        # The gate moves before the experts, or backwards after them.
        first, last = (-1, 0) if backwards else (0, -1)
        of_gate = np.einsum("sjk,sk->j", np.diff(gate, axis=1), mean[:, first])
        of_experts = np.einsum("sjk,sk->j", np.diff(mean, axis=1), gate[:, last])
        through_gate += (of_gate[::-1] if backwards else of_gate) / 2.0
        through_experts += (of_experts[::-1] if backwards else of_experts) / 2.0
    return through_gate, through_experts
