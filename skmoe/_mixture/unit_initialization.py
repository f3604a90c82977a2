"""Initial responsibilities of units, from partitions of the space of their own regressions.

The rows of one unit show the regression of its expert. Units are therefore partitioned by their
mean features and by the coefficients of a regression of each unit, shrunk towards that of all rows,
as in clusterwise regression [1]_.

References
----------
.. [1] W. S. DeSarbo and W. L. Cron (1988), "A maximum likelihood methodology for clusterwise linear
   regression", Journal of Classification 5, 249-282.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from skmoe._data.rows import Dataset
from skmoe._data.units import Units
from skmoe._mixture.initialization import InitData
from skmoe._numerics.typing import TINY, Array
from skmoe.protocols import Experts

# Rows of a typical unit that the shrinkage of its coefficients is worth.
SHRINKAGE_ROWS = 1.0


def unit_features(init_data: InitData) -> tuple[Array, Array, Array]:
    """Features (U, p), targets (m', U) and weights (U,) of units, for the initializers.

    The features are means over the rows of a unit; the targets are deviations of the coefficients
    of its regression from those of all rows, standardised.
    """
    rows, X, Y, _ = init_data
    units = rows.units
    assert units is not None
    weight = rows.weight
    design = np.column_stack([X, np.ones(len(X))])
    weighted = design * weight[:, None]
    gram = weighted.T @ design
    ridge = 1e-3 * np.trace(gram) / len(gram)
    coef = np.linalg.solve(gram + ridge * np.eye(len(gram)), weighted.T @ Y.T)
    deviation = _unit_deviations(units, design, weight, Y - (design @ coef).T)
    means = units.sum_rows(weighted[:, :-1].T) / units.sum_rows(weight)
    return means.T, _standardised(deviation), units.sum_rows(weight)


def _unit_deviations(units: Units, design: Array, weight: Array, residual: Array) -> Array:
    """Ridge coefficients of the residuals (m, n) in each unit, (m * d, U)."""
    n_columns = design.shape[1]
    # The penalty is that of a prior under which rows vary as much as in all data.
    mean_square = weight @ np.square(design) / weight.sum()
    scale = np.sqrt(np.where(mean_square > 0.0, mean_square, 1.0))
    unit_design = design / scale
    gram = np.empty((len(units.starts), n_columns, n_columns))
    for j in range(n_columns):
        products = unit_design[:, j] * weight * unit_design.T
        gram[:, j] = units.sum_rows(products).T
    cross = np.stack([units.sum_rows(unit_design.T * (weight * r)) for r in residual])
    gram += SHRINKAGE_ROWS * np.eye(n_columns)
    solved = np.linalg.solve(gram, cross.transpose(2, 1, 0))  # (U, d, m)
    return solved.transpose(2, 1, 0).reshape(-1, len(units.starts))


def _standardised(values: Array) -> Array:
    """Rows of values divided by the largest standard deviation among them."""
    centred = values - values.mean(axis=1, keepdims=True)
    largest: Any = centred.std(axis=1).max(initial=0.0)
    return centred / largest if largest > 0.0 else centred


def responsibilities_of_units(experts: Experts, resp: Array, rows: Dataset) -> Array:
    """Responsibilities (K, U) of units, from those of their rows, (K, n).

    An expert that cannot have made one of the rows of a unit has not made the unit.
    """
    units = rows.units
    assert units is not None
    possible = experts.restrict(np.ones_like(resp), rows.y) > 0.0
    every_row = np.minimum.reduceat(possible, units.starts, axis=1)
    mean = units.sum_rows(resp * rows.weight) / rows.unit_weight
    mean = (mean + TINY**0.5) * every_row
    return mean / np.maximum(mean.sum(axis=0), TINY)
