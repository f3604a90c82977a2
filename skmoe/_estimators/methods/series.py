"""Series: whether an estimator has any, their transitions, the long run, what is known before."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmoe._data.rows import Rows
from skmoe._numerics.probability import underflow_to_zero
from skmoe._numerics.typing import Array
from skmoe.gates import persists


def has_series(estimator: Any) -> bool:
    """Whether rows follow one another in time: those of a fit, or by the parameter `gate`."""
    if hasattr(estimator, "_fitted"):
        return bool(estimator._fitted.mixture.gate.persists)
    return persists(getattr(estimator, "gate", None))


@underflow_to_zero
def transition_probabilities(estimator: Any, X: Any) -> Array:
    """Probabilities (n, K, K) with which an expert j of the row before leads to one k of rows."""
    probabilities: Array = estimator._fitted.transitions(estimator._checked(Rows(X)).X)
    return probabilities.transpose(2, 1, 0)


def long_run_probabilities(estimator: Any, X: Any) -> Array:
    """Shares (n, K) of the time in each expert in the long run, if the features of rows stay."""
    return np.exp(estimator._fitted.log_gate(estimator._checked(Rows(X)).X)).T


def known_before(estimator: Any, given: Rows, row: int) -> Array | None:
    """Probabilities (K,) of the experts of the row before one, given y up to it.

    None if it is the first of its series.
    """
    rows, _ = estimator._checked_units("responsibilities", given)
    if (rows.time[rows.series == rows.series[row]] >= rows.time[row]).all():
        return None
    before: Array = estimator._fitted.known_from_past(rows)[1]
    return before[:, np.flatnonzero(rows.time == rows.time[row] - 1)[0]]


def one_step_densities(estimator: Any, given: Rows, at_gate: Any) -> Array:
    """Log densities (n,) of y given earlier rows, whose transitions have the features `at_gate`."""
    rows, _ = estimator._checked_units("score_samples", given)
    of_gate = rows._replace(X=estimator._checked(Rows(at_gate)).X)
    return np.asarray(estimator._fitted.known_from_past(rows, of_gate)[2])


@underflow_to_zero
def parts_of_density(estimator: Any, given: Rows) -> list[Array]:
    """Log probabilities of the gate, and log densities of y under the experts, of rows (K, n).

    Also log probabilities under the experts of an event after the entry of rows. Those of units,
    (K, U), are of all their rows.
    """
    rows, _ = estimator._checked_units("score_samples", given)
    fitted, parts = estimator._fitted, []
    of_units, of_rows = fitted.preprocessor.transform_units, fitted.preprocessor.transform_blocks
    for block in [of_units(rows)] if rows.unit is not None else (own for own, _ in of_rows(rows)):
        data = fitted.data(block)
        logs = data.joint(0.0, fitted.mixture.at(fitted.theta[None], data).logs)[:, 0]
        log_jacobian = fitted.preprocessor.log_jacobian(block.y)
        after_entry = np.zeros_like(logs)
        if data.at_entry is not None:
            at_entry = fitted.mixture.at(fitted.theta[None], data.at_entry).logs
            after_entry[:, data.entered] = data.at_entry.joint(0.0, at_entry)[:, 0]
        densities = logs - data.total(np.broadcast_to(log_jacobian, block.weight.shape))
        parts.append((fitted.gate_logs(data), densities, after_entry))
    return [np.concatenate(of_blocks, axis=1) for of_blocks in zip(*parts, strict=True)]
