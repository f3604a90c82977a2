"""Units: customers, patients or products whose rows have one latent expert in common.

The rows of a unit are contiguous in a data set, and the gate sees one row for each unit. Experts
that are known of some rows are those of their units.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from skmoe._data.checks import shown
from skmoe._numerics.typing import Array, Design

# Entry of a row of which nothing is known, as in semi-supervised learning with scikit-learn.
UNKNOWN = -1


class Units(NamedTuple):
    """The units of contiguous rows."""

    starts: Array  # index of the first row of each unit, (U,)
    sizes: Array  # number of rows, (U,)
    weight: Array  # number of units that each one stands for, (U,)

    def sum_rows(self, values: Array) -> Array:
        """Values (..., n) of rows, summed over the rows of each unit, (..., U)."""
        return np.add.reduceat(values, self.starts, axis=-1)

    def repeat(self, values: Array) -> Array:
        """Values (..., U) of units for each of their rows, (..., n)."""
        return np.repeat(values, self.sizes, axis=-1)

    @property
    def codes(self) -> Array:
        """Number of the unit of each row, (n,)."""
        return self.repeat(np.arange(len(self.starts)))

    def rows_of(self, kept: Array | slice) -> Any:
        """Indices of the rows of the units at sorted indices, or the slice of those of a slice."""
        if isinstance(kept, slice):
            start = int(self.starts[kept][0])
            return slice(start, start + int(self.sizes[kept].sum()))
        is_kept = np.zeros(len(self.starts), dtype=bool)
        is_kept[kept] = True
        return np.flatnonzero(self.repeat(is_kept))

    def take(self, kept: Array | slice, weight: Array | None = None) -> Units:
        """The units at an index, with other weights if given."""
        sizes = self.sizes[kept]
        return Units(_starts(sizes), sizes, self.weight[kept] if weight is None else weight)


def make_units(codes: Array) -> Units:
    """Units of rows whose codes are 0, 1, ... in ascending order, each with a weight of one."""
    sizes = np.bincount(codes)
    return Units(_starts(sizes), sizes, np.ones(len(sizes)))


def _starts(sizes: Array) -> Array:
    return np.cumsum(sizes) - sizes


def encode_units(labels: Array) -> tuple[Array, Array]:
    """Distinct labels in ascending order, and the number of the label of each row."""
    distinct, codes = np.unique(labels, return_inverse=True)
    return distinct, codes.ravel()


def first_rows(labels: Array) -> Array:
    """Index of the first row with the label of each row."""
    _, first, codes = np.unique(labels, return_index=True, return_inverse=True)
    return first[codes.ravel()]


def unit_runs(labels: Array) -> Array:
    """Number of the unit of each row, counted in the order of rows that are contiguous."""
    starts = np.append(np.zeros(len(labels[:1]), dtype=int), labels[1:] != labels[:-1])
    return np.cumsum(starts)


def join_groups(groups: Array | None, units: Array | None) -> Array | None:
    """Groups of rows that must stay together, because they share a group or a unit."""
    if groups is None or units is None:
        return units if groups is None else groups
    group, unit = encode_units(groups)[1], encode_units(units)[1]
    n_groups, n_units = group.max() + 1, unit.max() + 1
    edges: Any = (np.ones(len(group)), (group, n_groups + unit))
    size = n_groups + n_units
    _, component = connected_components(sparse.csr_array(edges, shape=(size, size)))
    return component[group]


# --- checks ---------------------------------------------------------------------------------------


def check_gate_columns(X: Design, units: Array, columns: Array | None, names: list[str]) -> None:
    """The features of the gate must be constant within each unit.

    Named is the unit whose row comes first among the rows that differ.
    """
    first = first_rows(units)
    for column in np.arange(X.shape[1]) if columns is None else columns:
        values = X[:, [column]].toarray() if sparse.issparse(X) else X[:, column]
        values = np.asarray(values).ravel()
        varies = values != values[first]
        if varies.any():
            raise ValueError(
                f"gate_features must be constant within each unit, since a unit has one regime; "
                f"column {names[column]!r} varies in unit {shown(units[varies.argmax()])}. "
                "Choose gate_features that are constant, give it one value in each unit, such as "
                f"df.groupby(unit)[{names[column]!r}].transform('mean'), or use gate=\"constant\"."
            )


def check_init_of_units(init: Array, units: Array, tolerance: float) -> None:
    """Initial responsibilities (n, K) must be those of the unit in all of its rows."""
    differs = np.abs(init - init[first_rows(units)]).max(axis=1) > tolerance
    if differs.any():
        row = int(differs.argmax())
        raise ValueError(
            f"init as an array must have the same responsibilities in all rows of a unit; row "
            f"{row} differs from the first row of unit {shown(units[row])}. Average them over the "
            "rows of each unit."
        )


def check_known_experts(
    known: Array, n_experts: int, weight: Array, units: Array | None
) -> Array | None:
    """Experts that may have generated each row, boolean (n, K); None if nothing is known.

    All rows of a unit have what is known of any of them. Rows of weight zero are absent.
    """
    if known.dtype.kind in "iu" and known.ndim == 1:
        outside = (known < UNKNOWN) | (known >= n_experts)
        if outside.any():
            row = int(outside.argmax())
            raise ValueError(
                f"known_experts must be numbers of experts, from 0 to {n_experts - 1}, or -1 where "
                f"the expert is unknown; row {row} has {int(known[row])}. Number the experts from "
                "0, or increase n_experts."
            )
        known = (known[:, None] == np.arange(n_experts)) | (known == UNKNOWN)[:, None]
    elif known.dtype != bool or known.shape != (len(weight), n_experts):
        raise ValueError(
            "known_experts must have integers of shape (n_samples,), -1 where the expert is "
            f"unknown, or booleans of shape {(len(weight), n_experts)}, one for each row and "
            f"expert; got {known.dtype} of shape {known.shape}. Replace missing values by -1 "
            "and convert numbers by astype(int)."
        )
    possible = known | (weight == 0.0)[:, None]
    without = ~possible.any(axis=1)
    if without.any():
        raise ValueError(
            "known_experts must leave each row at least one expert; row "
            f"{int(without.argmax())} has none. Set its entries to True if its expert is unknown."
        )
    if units is not None:
        labels, codes = encode_units(units)
        of_units = np.stack([np.bincount(codes, ~column) == 0 for column in possible.T], axis=1)
        without = ~of_units.any(axis=1)
        if without.any():
            raise ValueError(
                "known_experts must agree within each unit, whose rows have one expert; those of "
                f"unit {shown(labels[without.argmax()])} have none in common. Correct them, or set "
                "all but one to -1."
            )
        possible = of_units[codes]
    return None if possible.all() else possible


def n_known_experts(known: Any) -> int:
    """Smallest number of experts that has all those of `known_experts`, at least one."""
    values = np.asarray(UNKNOWN if known is None else known)
    is_number = values.dtype.kind in "iu" and values.ndim == 1
    return max(int(values.max(initial=UNKNOWN)) + 1, 1) if is_number else 1
