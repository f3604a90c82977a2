"""Validation of `known_experts`: which experts may have generated each row."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmoe._data.censored_targets import point_values
from skmoe._data.checks import shown
from skmoe._data.row_checks import check_metadata
from skmoe._data.rows import Dataset, Rows
from skmoe._data.units import encode_units
from skmoe._estimators.parameters.parameters import FitParameters
from skmoe._mixture.initialization import possible_experts
from skmoe._numerics.typing import Array
from skmoe.protocols import Experts

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
    impossible = ~possible_experts(experts, params.n_experts, rows).any(axis=0)
    if not impossible.any():
        return
    first = int(impossible.argmax())
    codes = np.arange(rows.n_rows) if rows.units is None else rows.units.codes
    of_unit = np.unique(point_values(rows.y)[0, codes == first])
    values = ", ".join(f"{value:g}" for value in of_unit[:4])
    alone = possible_experts(experts, params.n_experts, rows._replace(possible=None))
    if rows.possible is not None and alone[:, first].any():
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
