"""What displays need of series: transitions, the long run, and what is known of the row before."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmoe._data.rows import Rows
from skmoe._numerics.probability import underflow_to_zero
from skmoe._numerics.typing import Array


@underflow_to_zero
def transition_probabilities(estimator: Any, X: Any) -> Array:
    """Probabilities (n, K, K) with which an expert j of the row before leads to one k of rows."""
    probabilities: Array = estimator._fitted.transitions(estimator._checked(Rows(X)).X)
    return probabilities.transpose(2, 1, 0)


def long_run_probabilities(estimator: Any, X: Any) -> Array:
    """Shares (n, K) of the time in each expert in the long run, if the features of rows stay."""
    probabilities: Array = np.exp(estimator._fitted.log_gate(estimator._checked(Rows(X)).X))
    return probabilities.T


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
    densities: Array = estimator._fitted.known_from_past(rows, of_gate)[2]
    return densities
