"""The rows on which numbers of experts are compared."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from skmoe._data.rows import index_rows
from skmoe._data.units import encode_units
from skmoe._numerics.typing import Array


class SelectionData(NamedTuple):
    """Distinct rows as given, for fits, which validate them again."""

    X: Any
    y: Array
    weight: Array
    extras: dict[str, Array]  # groups, offset, units and metadata

    @property
    def of_methods(self) -> dict[str, Array]:
        """Offset and units, in which rows have weights, as arguments; empty without any."""
        names = "offset", "units"
        given = {name: values for name, values in self.extras.items() if name in names}
        return given if self.units is None else given | {"sample_weight": self.weight}

    @property
    def units(self) -> Array | None:
        """Unit of each row; None for each row its own."""
        return self.extras.get("units")

    def sum_over_units(self, values: Array) -> Array:
        """Sums of values of rows for each unit, in the order of the units."""
        return values if self.units is None else np.bincount(self._codes, values)

    def of_rows(self, values: Array) -> Array:
        """Values of units, in their order, for each row."""
        return values if self.units is None else values[self._codes]

    @property
    def _codes(self) -> Array:
        assert self.units is not None
        return encode_units(self.units)[1]

    def take(self, rows: Array) -> SelectionData:
        """The rows at an index."""
        extras = {name: values[rows] for name, values in self.extras.items()}
        return SelectionData(index_rows(self.X, rows), self.y[rows], self.weight[rows], extras)
