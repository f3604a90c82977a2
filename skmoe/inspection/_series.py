"""Gates over features and of rows, also where the rows of a fit follow one another in time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from skmoe._data.rows import Rows
from skmoe._estimators.methods.series import (
    known_before,
    long_run_probabilities,
    transition_probabilities,
)
from skmoe._numerics.typing import Array


def has_series(estimator: Any) -> bool:
    """Whether the rows of a fit follow one another in time."""
    return hasattr(estimator, "transition_matrix_")


def gate_of_features(estimator: Any, X: Any) -> Array:
    """Probabilities (n, K) of the experts, given features only; of series those of the long run."""
    return (
        long_run_probabilities(estimator, X) if has_series(estimator) else estimator.predict_gate(X)
    )


def given_features(estimator: Any, X: Any) -> dict[str, Any]:
    """By what predictions of series are those of the long run; others need nothing."""
    return {"gate_proba": long_run_probabilities(estimator, X)} if has_series(estimator) else {}


def known_past(estimator: Any, rows: Rows) -> dict[str, Any]:
    """Arguments by which predictions of observed rows know earlier rows of their series."""
    given = {"y": rows.y, "units": rows.unit, "time": rows.time}
    return given if has_series(estimator) else {}


def gate_of_rows(estimator: Any, rows: Rows) -> Array:
    """Gate probabilities (n, K) of observed rows, which know earlier rows of their series."""
    given = {"units": rows.unit, "time": rows.time}
    gate: Array = estimator.predict_gate(rows.X, **given | known_past(estimator, rows))
    return gate


def gate_of_row(estimator: Any, rows: Rows, row: int) -> Callable[[Any], Array]:
    """The gate as a function of features, for a row of a series given what is known before it."""
    if not has_series(estimator):
        predict_gate: Callable[[Any], Array] = estimator.predict_gate
        return predict_gate
    if rows.y is None:
        raise ValueError(
            'y must be given with gate="markov", whose rows depend on earlier ones. Pass y, with '
            "NaN where it is not known."
        )
    before = known_before(estimator, rows, row)

    def gate_of(X: Any) -> Array:
        if before is None:
            return np.tile(estimator.initial_probabilities_, (X.shape[0], 1))
        return np.einsum("j,njk->nk", before, transition_probabilities(estimator, X))

    return gate_of


def check_independent(estimator: Any, use: str, remedy: str) -> None:
    """Raise ValueError where the rows of a fit follow one another in time."""
    if has_series(estimator):
        raise ValueError(
            f'{use} needs rows or units that keep their expert; those of gate="markov" change it '
            f"in time. {remedy}"
        )
