"""Observed and predicted values of one output of a regressor, or of one class of a classifier."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier

from skmoe._data.censored_targets import check_numbers_of
from skmoe._data.checks import check_integer
from skmoe._data.rows import Rows
from skmoe._data.units import encode_units
from skmoe._numerics.typing import Array
from skmoe.distributions._base import check_random_state
from skmoe.inspection._checks import check_targets
from skmoe.inspection._grid import at_reference_values, rows_to_show


def one_target(values: Any, index: int, axis: int) -> Array:
    """Values of one output or class, from an array with an axis for them if there are several."""
    values = np.asarray(values)
    return np.take(values, index, axis=axis) if values.ndim > axis else values


def values_at(distribution: Any, method: Any, points: Array, index: int) -> Array:
    """Values (n, len(points)) of a method of a distribution, at the same points for all outputs."""
    outputs = distribution.mean.shape[1:]
    shaped = points.reshape(1, -1, *(1 for _ in outputs))
    return one_target(method(np.broadcast_to(shaped, (1, len(points), *outputs))), index, 2)


def predicted_survival(
    estimator: Any, rows: Any, times: Array, index: int, offset: Any = None
) -> tuple[Array, Array]:
    """Probabilities of no event until times, of the experts (n, K, T) and the mixture (n, T)."""

    def survival(gate: Array | None) -> Array:
        distribution = estimator.predict_dist(rows, offset, gate)
        return values_at(distribution, distribution.sf, times, index)

    gates = np.repeat(np.eye(estimator.n_experts_)[:, None], rows.shape[0], axis=1)
    return np.stack([survival(gate) for gate in gates], axis=1), survival(None)


def observed_target(estimator: Any, y: Any, index: int) -> Array:
    """Observed values (n,); of a class 1 for its rows and 0 for the others."""
    if is_classifier(estimator):
        return (np.asarray(y).ravel() == estimator.classes_[index]).astype(float)
    check_numbers_of("the picture", y)
    return one_target(np.asarray(y, dtype=np.float64), index, 1)


def predicted_mean(estimator: Any, rows: Any, index: int, **given: Any) -> Array:
    """Prediction (n,) of the mixture: its mean, or its probability of the class."""
    if is_classifier(estimator):
        return estimator.predict_proba(rows)[:, index]
    return one_target(estimator.predict(rows, **given), index, 1)


def interval_band(
    estimator: Any,
    rows: Any,
    index: int,
    coverage: float | None,
    offset: Array | None = None,
    expert: int | None = None,
) -> Array | None:
    """Predictive intervals (n, 2) of a regressor; None without coverage or for classes.

    `offset` is that of all rows. They are those of the mixture, or of one expert.
    """
    if coverage is None or is_classifier(estimator):
        return None
    try:
        given = None if offset is None else np.repeat(offset[None], rows.shape[0], axis=0)
        own = None
        if expert is not None:
            own = np.tile(np.eye(estimator.n_experts_)[expert], (rows.shape[0], 1))
        interval = estimator.predict_interval(rows, coverage, given, own)
    except ValueError as error:
        raise ValueError(f"{error} Or draw no band, with coverage=None.") from error
    return one_target(interval, index, 2)


def target_name(estimator: Any, y: Any, index: int) -> str:
    """Label of the vertical axis: the name of y if it has one."""
    if is_classifier(estimator):
        return f"Probability of class {estimator.classes_[index]}"
    if hasattr(y, "columns"):
        return str(y.columns[index])
    if isinstance(getattr(y, "name", None), str) and y.name:
        return str(y.name)
    return f"y{index}" if np.ndim(y) == 2 and np.shape(y)[1] > 1 else "y"


def row_weights(rows: Rows) -> Array:
    """Weights of the rows, (n,)."""
    return np.ones(rows.n_rows) if rows.weight is None else rows.weight


def responsibilities_of_rows(estimator: Any, rows: Rows) -> tuple[Array, Array]:
    """Responsibilities (n, K) of the rows, those of its unit for each, and shares (K,)."""
    resp = estimator.responsibilities(rows.X, rows.y, **rows.arguments)
    if rows.unit is not None:
        return resp.rows(rows.unit), resp.proba.mean(axis=0)
    weight = row_weights(rows)
    return resp, weight @ resp / weight.sum()


class ObservedRows(NamedTuple):
    """Rows with their target and the responsibilities for them, and labels of units."""

    table: Any
    target: int  # index of the class or output
    name: str
    observed: Array
    resp: Array  # (n, K), those of its unit for each row
    shares: Array  # means of the responsibilities over rows or units, (K,)
    units: Any
    labels: Array | None  # of the units, each once

    @property
    def assigned_expert(self) -> Array:
        """The expert with the largest responsibility, (n,)."""
        return self.resp.argmax(axis=1)

    def shown(
        self, has_value: Array, subsample: int | None, max_units: int | None, random_state: Any
    ) -> Array:
        """Indices of the rows to show, of those with a value: some rows, or those of some units."""
        if self.labels is None:
            return rows_to_show(has_value, subsample, random_state)
        drawn = self.labels
        if max_units is not None and len(drawn) > check_integer("max_units", max_units, least=2):
            generator = check_random_state(0 if random_state is None else random_state)
            drawn = generator.choice(drawn, max_units, replace=False)
        return np.flatnonzero(has_value & np.isin(self.units, drawn))

    @property
    def name_of_residuals(self) -> str:
        """Label of the vertical axis of partial residuals."""
        return self.name + "\n(other features at medians)" * (self.table.shape[1] > 1)

    def partial_residuals(self, estimator: Any, j: int) -> Array:
        """Heights (n, K) of the rows with all features but one at reference values.

        They are as far from the prediction of an expert there as y is from its own prediction:
        by the same difference, or under a log link by the same ratio.
        """
        reference, own = (
            one_target(estimator.predict_experts(rows), self.target, 2)
            for rows in (at_reference_values(self.table, j), self.table)
        )
        links = [family.link for family in getattr(estimator, "families_", ())]
        is_log = np.array(links or [""] * own.shape[1]) == "log"
        observed = self.observed[:, None]
        with np.errstate(all="ignore"):  # ratios of predictions that are zero are not drawn
            return np.where(is_log, observed * (reference / own), observed + (reference - own))


def observed_rows(
    estimator: Any, table: Any, y: Any, target: Any, offset: Any, units: Any
) -> list[ObservedRows]:
    """The rows for each target, with y, or with 1 for the rows of a class and 0 for others."""
    indices = check_targets(estimator, target, table)
    resp = responsibilities_of_rows(estimator, Rows(table, y, None, offset, units))
    of_units = (None, None) if units is None else (np.asarray(units), encode_units(units)[0])
    found = []
    for index in indices:
        name = target_name(estimator, y, index)
        observed = observed_target(estimator, y, index)
        if offset is not None:
            name += " per unit of exposure"
            observed = observed / np.exp(one_target(offset, index, 1))
        found.append(ObservedRows(table, index, name, observed, *resp, *of_units))
    return found
