"""Validation of units, of the gate's features in them, and of initial responsibilities."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from skmoe._data.checks import shown
from skmoe._data.encoding import numeric_names
from skmoe._data.row_checks import check_columns, check_enough_rows, check_metadata
from skmoe._data.units import unit_runs
from skmoe._estimators.parameters.conflicts import check_conflicts
from skmoe._estimators.parameters.parameters import INIT_SUM_TOL, FitParameters
from skmoe._numerics.typing import Array, Design


def validate_units(units: Any, n_rows: int) -> Array:
    """Labels of units, one for each row, none of them missing."""
    return check_metadata({"units": units}, n_rows)["units"]


def validate_units_of_fit(params: FitParameters, units: Any, weight: Array) -> Array | None:
    """Labels of the units of the rows of a fit, which must be several; None without units."""
    if units is None:
        return None
    labels = validate_units(units, len(weight))
    present = np.unique(labels[weight > 0.0])
    if len(present) < 2:
        raise ValueError(
            "units must have at least two distinct labels with rows of positive weight; got one, "
            f"{shown(present[0])}. Leave units out if each row is a unit of its own."
        )
    check_enough_rows(params.n_experts, len(present), "units with rows of positive weight")
    return labels


def check_units_of_block(
    params: FitParameters, units: Any, X: Design, names: Array | None
) -> Array | None:
    """Units of a block of rows: the rows of a unit are contiguous, and its gate features agree."""
    if units is None:
        if params.gate_aggregate is not None:
            name, rows = f"gate_aggregate={params.gate_aggregate!r}", "rows without units"
            check_conflicts({"gate_aggregate": name, rows: rows})
        return None
    units = validate_units(units, X.shape[0])
    first = np.flatnonzero(np.diff(unit_runs(units), prepend=-1))
    labels, counts = np.unique(units[first], return_counts=True)
    if len(labels) < len(first):
        raise ValueError(
            f"units must have their rows next to each other; those of unit "
            f"{shown(labels[counts.argmax()])} are apart. Sort the rows by unit."
        )
    if params.gate_aggregate is None and params.gate.depends_on_features:
        columns = check_columns("gate_features", params.gate_features, X.shape[1], names)
        check_gate_columns(X, units, columns, numeric_names(names, None, X.shape[1]))
    return units


def check_gate_columns(X: Design, units: Array, columns: Array | None, names: list[str]) -> None:
    """The features of the gate must be constant within each unit.

    Named is the unit whose row comes first among the rows that differ.
    """
    _, first, codes = np.unique(units, return_index=True, return_inverse=True)
    for column in np.arange(X.shape[1]) if columns is None else columns:
        values = X[:, [column]].toarray() if sparse.issparse(X) else X[:, column]
        values = np.asarray(values).ravel()
        varies = values != values[first][codes.ravel()]
        if varies.any():
            raise ValueError(
                f"gate_features must be constant within each unit, since a unit has one regime; "
                f"column {names[column]!r} varies in unit {shown(units[varies.argmax()])}. "
                'Choose gate_features that are constant, reduce them with gate_aggregate="mean" or '
                '"first", or use gate="constant".'
            )


def check_init_of_units(init: Any, units: Array) -> None:
    """Initial responsibilities (n, K) must be those of the unit in all of its rows."""
    if isinstance(init, str):
        return
    _, first, codes = np.unique(units, return_index=True, return_inverse=True)
    differs = np.abs(init - init[first][codes.ravel()]).max(axis=1) > INIT_SUM_TOL
    if differs.any():
        row = int(differs.argmax())
        raise ValueError(
            f"init as an array must have the same responsibilities in all rows of a unit; row "
            f"{row} differs from the first row of unit {shown(units[row])}. Average them over the "
            "rows of each unit."
        )
