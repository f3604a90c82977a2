"""Delayed entry: rows that are observed from some time on, since their event had not come before.

The likelihood of such a row is given that its event came later than its entry: the density of the
mixture is divided by its survival until then [1]_. So the log-likelihood has further terms, those
of rows whose event comes after the entry, with a negative weight. Of the rows of a unit the first
one has such a term. The others are given that the event, of the same expert, came after their own
entry: their densities are divided.

References
----------
.. [1] J. P. Klein and M. L. Moeschberger (2003), "Survival Analysis", 2nd edition, Springer,
   section 3.4.
"""

from __future__ import annotations

import numpy as np

from skmoe._data.censored_targets import BOUNDS, as_bounds, has_entry
from skmoe._data.rows import Dataset
from skmoe._numerics.typing import Array


def later_than(entry: Array) -> Array:
    """Bounds of values that are larger than an entry, which has a probability if it is a count."""
    after = np.empty(np.shape(entry), dtype=BOUNDS)
    after["lower"] = np.where(entry > -np.inf, np.nextafter(entry, np.inf), entry)
    after["upper"] = np.inf
    return after


def apart_from_entry(rows: Dataset) -> tuple[Dataset, Dataset, Array]:
    """Rows without the entries that are apart, rows of these, and their numbers (of units).

    Where rows of units have other entries, these remain.
    """
    entry, units = rows.y["entry"], rows.units
    first = np.arange(rows.n_rows)
    if units is not None:
        order = np.lexsort((entry.max(axis=0), units.codes))
        first = order[units.starts]
    later = entry.copy()
    later[:, first] = -np.inf
    y = as_bounds(rows.y, rows.y.dtype if (later > -np.inf).any() else BOUNDS)
    if has_entry(y):
        y["entry"] = later
    numbers = np.flatnonzero((entry[:, first] > -np.inf).any(axis=0))
    kept = first[numbers]
    own = rows if units is None else rows._replace(gate_design=rows.gate_design[units.codes])
    own = own._replace(units=None, possible=None).take(kept)
    own = own._replace(y=later_than(own.y["entry"]), weight=-rows.gate_weight[numbers])
    return rows._replace(y=y), own, numbers
