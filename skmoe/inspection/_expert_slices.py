"""Predictions of the experts over a feature, and the rows that are shown with them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier

from skmoe._numerics.typing import Array
from skmoe.inspection._checks import check_target
from skmoe.inspection._feature_axes import FeatureAxis
from skmoe.inspection._grid import make_grid, rows_to_show, units_to_show
from skmoe.inspection._targets import (
    exposure_of_rows,
    interval_band,
    observed_target,
    one_target,
    predicted_mean,
    slice_adjustment,
    target_name,
)


class ObservedRows(NamedTuple):
    """Rows with their target and the responsibilities for them, and labels of units."""

    table: Any
    target: int  # index of the class or output
    name: str
    observed: Array
    resp: Array  # (n, K), those of its unit for each row
    units: Any
    labels: Array | None  # of the units, each once

    @property
    def shares(self) -> Array:
        """Mean responsibility (K,) over rows, or over units of which each counts once."""
        if self.units is None:
            return self.resp.mean(axis=0)
        _, first = np.unique(self.units, return_index=True)
        return self.resp[first].mean(axis=0)

    @property
    def assigned_expert(self) -> Array:
        """The expert with the largest responsibility, (n,)."""
        return self.resp.argmax(axis=1)


def observed_rows(
    estimator: Any, table: Any, y: Any, target: Any, offset: Any, units: Any
) -> ObservedRows:
    """The rows with what is drawn of them: y, or 1 for the rows of a class and 0 for others."""
    index = check_target(estimator, target, table)
    resp = estimator.responsibilities(table, y, offset, units=units)
    name = target_name(estimator, y, index)
    name += "" if offset is None else " per unit of exposure"
    observed = observed_target(estimator, y, index) / exposure_of_rows(offset, index)
    if units is None:
        return ObservedRows(table, index, name, observed, resp, None, None)
    of_rows = resp.rows(units)
    return ObservedRows(table, index, name, observed, of_rows, np.asarray(units), resp.labels)


def experts_over(
    estimator: Any, rows: ObservedRows, axis: FeatureAxis, coverage: float | None, adjust: bool
) -> dict[str, Any]:
    """Predictions of experts, gate and mixture over a feature, and the target of all rows."""
    points = make_grid(rows.table, [axis.column], axis.grid[:, None])
    observed, index = rows.observed, rows.target
    adjusted = adjust and not is_classifier(estimator)
    if adjusted:
        change = estimator, rows.table, axis.column, index, rows.assigned_expert
        observed = observed + slice_adjustment(*change)
    return {
        "feature_name": axis.name,
        "target_name": rows.name + (" (other features at medians)" if adjusted else ""),
        "grid": axis.positions,
        "curves": one_target(estimator.predict_experts(points), index, 2),
        "gate": estimator.predict_gate(points),
        "mean": predicted_mean(estimator, points, index),
        "band": interval_band(estimator, points, index, coverage),
        "coverage": None if is_classifier(estimator) else coverage,
        "y": observed,
        "is_probability": is_classifier(estimator),
        "categories": axis.categories,
    }


def rows_over(axis: FeatureAxis, rows: ObservedRows, sampling: tuple[Any, Any, Any]) -> Array:
    """Indices of the rows to show, among those with a value of the feature."""
    subsample, max_units, random_state = sampling
    finite = np.isfinite(axis.observed)
    if rows.labels is None:
        return rows_to_show(finite, subsample, random_state)
    chosen = units_to_show(rows.labels, max_units, random_state)
    return np.flatnonzero(finite & np.isin(rows.units, chosen))
