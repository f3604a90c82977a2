"""Units: customers, patients or products whose rows have one latent expert in common.

The rows of a unit are contiguous in a data set, and the gate sees one row for each unit.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from skmoe._numerics.typing import Array, Design


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


def unit_runs(labels: Array) -> Array:
    """Number of the unit of each row, counted in the order of rows that are contiguous."""
    starts = np.append(np.zeros(len(labels[:1]), dtype=int), labels[1:] != labels[:-1])
    return np.cumsum(starts)


def reduce_to_units(design: Design, units: Units, weight: Array, averaged: Array) -> Design:
    """One row of the gate's design matrix (n, q) for each unit: its first one, or a mean.

    Parameters
    ----------
    design : array or CSR array of shape (n, q)
    units : Units
    weight : array of shape (n,)
        Weights of the rows in averages.
    averaged : boolean array of shape (q,)
        Columns of which the mean over the rows of a unit is taken.
    """
    own = design[units.starts]
    if not averaged.any():
        return own
    factors = weight / units.repeat(units.sum_rows(weight))
    size = len(units.starts), len(weight)
    indptr = np.append(units.starts, len(weight))
    average = sparse.csr_array((factors, np.arange(len(weight)), indptr), shape=size)
    if sparse.issparse(design):
        kept = sparse.diags_array((~averaged).astype(float))
        return sparse.csr_array(
            own @ kept + average @ design @ sparse.diags_array(averaged.astype(float))
        )
    reduced = np.array(own)
    reduced[:, averaged] = average @ design[:, averaged]
    return reduced


def join_groups(groups: Array | None, units: Array | None) -> Array | None:
    """Groups of rows that must stay together, because they share a group or a unit."""
    if groups is None or units is None:
        return units if groups is None else groups
    _, group = encode_units(groups)
    _, unit = encode_units(units)
    n_groups, n_units = group.max() + 1, unit.max() + 1
    edges: Any = (np.ones(len(group)), (group, n_groups + unit))
    size = n_groups + n_units
    _, component = connected_components(sparse.csr_array(edges, shape=(size, size)))
    return component[group]
