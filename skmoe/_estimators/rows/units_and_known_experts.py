"""Validation of known experts and of units.

Which experts may have generated each row, the gate's features in units, and initial
responsibilities.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from skmoe._data.censored_targets import point_values
from skmoe._data.checks import shown
from skmoe._data.encoding import numeric_names
from skmoe._data.row_checks import check_columns, check_enough_rows, check_metadata
from skmoe._data.rows import Dataset, Rows
from skmoe._data.units import encode_units, unit_runs
from skmoe._estimators.parameters.parameters import INIT_SUM_TOL, FitParameters
from skmoe._mixture.partitions import possible_experts
from skmoe._numerics.typing import Array, Design
from skmoe.protocols import Experts


def validate_units(units: Any, n_rows: int) -> Array:
    """Labels of units, one for each row, none of them missing."""
    return check_metadata({"units": units}, n_rows)["units"]


def validate_units_of_fit(params: FitParameters, units: Any, weight: Array) -> Array:
    """Labels of the units of the rows of a fit, which must be several."""
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
        return None
    units = validate_units(units, X.shape[0])
    first = np.flatnonzero(np.diff(unit_runs(units), prepend=-1))
    labels, counts = np.unique(units[first], return_counts=True)
    if len(labels) < len(first):
        raise ValueError(
            f"units must have their rows next to each other; those of unit "
            f"{shown(labels[counts.argmax()])} are apart. Sort the rows by unit."
        )
    if params.gate.depends_on_features:
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
                "Choose gate_features that are constant, give it one value in each unit, such as "
                f"df.groupby(unit)[{names[column]!r}].transform('mean'), or use gate=\"constant\"."
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


# Entry of a row of which nothing is known, as in semi-supervised learning with scikit-learn.
UNKNOWN = -1


def check_known_experts(
    known: Any, n_experts: int, weight: Array, units: Array | None = None
) -> Array | None:
    """Experts that may have generated each row, boolean (n, K); None if nothing is known.

    All rows of a unit have what is known of any of them. Rows of weight zero are absent.
    """
    if known is None:
        return None
    values = check_metadata({"known_experts": known}, len(weight))["known_experts"]
    if values.dtype.kind in "iu" and values.ndim == 1:
        possible = _possible_of_numbers(values, n_experts)
    elif values.dtype == bool and values.shape == (len(weight), n_experts):
        possible = values
    else:
        raise ValueError(
            "known_experts must have integers of shape (n_samples,), -1 where the expert is "
            f"unknown, or booleans of shape {(len(weight), n_experts)}, one for each row and "
            f"expert; got {values.dtype} of shape {values.shape}. Replace missing values by -1 "
            "and convert numbers by astype(int)."
        )
    possible = possible | (weight == 0.0)[:, None]
    without = ~possible.any(axis=1)
    if without.any():
        raise ValueError(
            "known_experts must leave each row at least one expert; row "
            f"{int(without.argmax())} has none. Set its entries to True if its expert is unknown."
        )
    if units is not None:
        possible = _possible_of_units(possible, units)
    return None if possible.all() else possible


def _possible_of_numbers(numbers: Array, n_experts: int) -> Array:
    """Possible experts of each row, boolean (n, K), from their numbers (n,)."""
    outside = (numbers < UNKNOWN) | (numbers >= n_experts)
    if outside.any():
        row = int(outside.argmax())
        raise ValueError(
            f"known_experts must be numbers of experts, from 0 to {n_experts - 1}, or -1 where "
            f"the expert is unknown; row {row} has {int(numbers[row])}. Number the experts from "
            "0, or increase n_experts."
        )
    return (numbers[:, None] == np.arange(n_experts)) | (numbers == UNKNOWN)[:, None]


def _possible_of_units(possible: Array, units: Array) -> Array:
    """Possible experts of each row, which are those of all rows of its unit."""
    labels, codes = encode_units(units)
    of_units = np.stack([np.bincount(codes, ~column) == 0 for column in possible.T], axis=1)
    without = ~of_units.any(axis=1)
    if without.any():
        raise ValueError(
            "known_experts must agree within each unit, whose rows have one expert; those of unit "
            f"{shown(labels[without.argmax()])} have none in common. Correct them, or set all but "
            "one to -1."
        )
    return np.asarray(of_units[codes])


def n_known_experts(known: Any) -> int:
    """Smallest number of experts that has all those of `known_experts`, at least one."""
    values = np.asarray(UNKNOWN if known is None else known)
    is_number = values.dtype.kind in "iu" and values.ndim == 1
    return max(int(values.max(initial=UNKNOWN)) + 1, 1) if is_number else 1


def with_n_experts(rows: Rows, number: int) -> Rows:
    """Rows whose possible experts are of a larger number; the others may be of unknown rows."""
    if rows.possible is None:
        return rows
    n_others = number - rows.possible.shape[1]
    others = np.tile(rows.possible.all(axis=1)[:, None], n_others)
    return rows._replace(possible=np.hstack([rows.possible, others]))


def check_rows_are_possible(params: FitParameters, experts: Experts, rows: Dataset) -> None:
    """Some expert must be possible for all rows of a unit, and for a row of which one is known."""
    possible = possible_experts(experts, rows)
    if possible is None or possible.any(axis=0).all():
        return
    impossible = ~possible.any(axis=0)
    first = int(impossible.argmax())
    codes = np.arange(rows.n_rows) if rows.units is None else rows.units.codes
    of_unit = np.unique(point_values(rows.y)[0, codes == first])
    values = ", ".join(f"{value:g}" for value in of_unit[:4])
    alone = possible_experts(experts, rows._replace(possible=None))
    if rows.possible is not None and (alone is None or alone[:, first].any()):
        named = ", ".join(str(k) for k in np.flatnonzero(rows.possible[:, first]))
        raise ValueError(
            f"known_experts must be experts that can have generated y; rows whose y is {values} "
            f"are of expert {named}, but these values are outside the support of its family. "
            "Correct known_experts, or set them to -1."
        )
    raise ValueError(
        f"units must have rows that are all possible under one expert; those of a unit whose y "
        f"has the values {values} are not for {params.family_name}. Use a family of all these "
        'values, such as family="negative_binomial" for counts with zeros, or no units.'
    )
