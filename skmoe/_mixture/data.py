"""A block of rows as gate and experts read it, and how rows share an expert."""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
from scipy import sparse

from skmoe._data.rows import Dataset
from skmoe._numerics.linalg import split_offset
from skmoe._numerics.probability import keep_top_k, log_normalise
from skmoe._numerics.typing import Array

# Roles of predictors: in which columns they are linear.
GATE_ROLE, MEAN, DISPERSION, CONSTANT = "gate", "mean", "dispersion", "constant"


class EachRow:
    """Each row has an expert of its own."""

    def __init__(self, rows: Dataset) -> None:
        self.weight = self.gate_weight = self.unit_weight = rows.weight

    def total(self, logs: Array) -> Array:
        """Log densities (..., n) of rows as those of what shares an expert."""
        return logs

    def to_rows(self, values: Array) -> Array:
        """Values (..., n) of what shares an expert, for each row."""
        return values


class OfUnits:
    """The rows of a unit have one expert; the weight of a row is the power of its density."""

    def __init__(self, rows: Dataset) -> None:
        units = rows.units
        assert units is not None
        self.weight, self.gate_weight, self._units = rows.weight, units.weight, units
        self.unit_weight = units.sum_rows(rows.weight)

    def total(self, logs: Array) -> Array:
        """Log densities (..., n) of rows, summed for each unit, (..., U)."""
        return self._units.sum_rows(logs * self.weight) / self.gate_weight

    def to_rows(self, values: Array) -> Array:
        """Values (..., U) of units for each of their rows, (..., n)."""
        return self._units.repeat(values)


class Data:
    """A block of rows, with what is computed from it once."""

    def __init__(
        self, rows: Dataset, dispersion_columns: tuple[int, ...] = (), *, keeps: bool = False
    ) -> None:
        self.rows = rows
        self.sharing: Any = EachRow(rows) if rows.units is None else OfUnits(rows)
        matrix, offset = split_offset(rows.expert_design)
        self.offset = offset if isinstance(offset, np.ndarray) else None
        self.designs = {GATE_ROLE: rows.gate_design, MEAN: matrix}
        if dispersion_columns:
            columns = matrix[:, [*dispersion_columns, -1]]
            columns = columns.toarray(order="F") if sparse.issparse(columns) else columns
            self.designs[DISPERSION] = np.asfortranarray(columns)
        self.weight = float(rows.weight.sum())
        # What experts read of y, for each family and output.
        self.targets: dict[Any, Any] = {}
        # Products of the columns of its designs, if they are kept.
        self.column_products: dict[int, Array] | None = {} if keeps else None
        # Responsibilities of experts for rows (K, S, n), and for the gate (K, S, U).
        self.given: Any = None
        # Parts of the rows or units in the sums of each vector, (S, U); None for all of each.
        self.counted: Any = None

    def replace(self, **values: Any) -> Data:
        """The same rows with given responsibilities, or of which some are counted."""
        other = copy(self)
        vars(other).update(values)
        return other

    def posterior(self, log_gate: Array, logs: Array, top_k: int | None) -> tuple[Array, Array]:
        """Responsibilities (K, S, U) and log densities (S, U) of what shares an expert."""
        joint = self.joint(log_gate, logs)
        if top_k is not None:
            joint = keep_top_k(joint.reshape(len(joint), -1), top_k).reshape(joint.shape)
        return log_normalise(joint)

    def joint(self, log_gate: Array, logs: Array) -> Array:
        """Log joint densities (K, S, U); minus infinity for experts known to be impossible."""
        joint = (logs if self.rows.units is None else self.sharing.total(logs)) + log_gate
        possible = self.rows.possible
        return joint if possible is None else np.where(possible[:, None], joint, -np.inf)


def at_values(y: Array, values: list[float]) -> Array:
    """Where y is one of some values; an interval is none."""
    if y.dtype.names:
        return np.isin(y["lower"], values) & (y["lower"] == y["upper"])
    return np.isin(y, values)
