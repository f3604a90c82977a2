"""Observed and predicted values of one output or class, and decompositions of one prediction."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm
from sklearn.base import is_classifier

from skmoe._data.censored_targets import check_numbers_of, point_values
from skmoe._data.checks import check_integer
from skmoe._data.rows import Rows, has_bounds, index_rows
from skmoe._data.units import encode_units
from skmoe._numerics.typing import Array
from skmoe.distributions._checks import check_random_state
from skmoe.inspection._checks import check_targets
from skmoe.inspection._grid import at_reference_values, path_rows, rows_to_show

# Quantiles that are the points of the grid, of each expert that counts. The range of the picture is
# that between the second and the last but one: outside the first and last a narrow hump is flat.
PROBABILITIES = np.concatenate(
    [[1e-6, 0.001, 0.003], np.linspace(0.01, 0.99, 99), [0.997, 0.999, 1.0 - 1e-6]]
)

# Experts of a smaller probability have no points of their own.
MIN_GATE_SHOWN = 0.002

# After the name of a target that is divided by the exposure of its row.
PER_EXPOSURE = " per unit of exposure"

# Equidistant points of the grid, and probability of a value that is a step of the distribution.
N_EVEN_POINTS, MIN_STEP = 200, 1e-6

# Counts that are drawn, at most, among those between the ends.
MAX_COUNTS = 400

# Numbers in the rows of a path, for which its steps are reduced, and the fewest steps.
MAX_ENTRIES, MIN_STEPS = 20_000_000, 10


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
    estimator: Any, rows: Any, times: Array, index: int, offset: Any = None, units: Any = None
) -> tuple[Array, Array]:
    """Probabilities of no event until times, of the experts (n, K, T) and the mixture (n, T)."""

    def survival(**gate: Array) -> Array:
        distribution = estimator.predict_dist(rows, offset=offset, **gate)
        return values_at(distribution, distribution.sf, times, index)

    gates = np.repeat(np.eye(estimator.n_experts_)[:, None], rows.shape[0], axis=1)
    experts = np.stack([survival(gate_proba=gate) for gate in gates], axis=1)
    return experts, survival(**gate_of_units(estimator, rows, units))


def observed_target(estimator: Any, y: Any, index: int, at_bounds: bool = False) -> Array:
    """Observed values (n,); of a class 1 for its rows and 0 for the others.

    Censored values are refused, or `at_bounds`.
    """
    if is_classifier(estimator):
        return (np.asarray(y).ravel() == estimator.classes_[index]).astype(float)
    if at_bounds and has_bounds(y):
        return one_target(point_values(y), index, 1)
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
) -> Array | None:
    """Predictive intervals (n, 2) of a regressor; None without coverage or for classes.

    `offset` is that of all rows.
    """
    if coverage is None or is_classifier(estimator):
        return None
    try:
        given = None if offset is None else np.repeat(offset[None], rows.shape[0], axis=0)
        interval = estimator.predict_interval(rows, coverage, offset=given)
    except ValueError as error:
        raise ValueError(f"{error} Or draw no band, with coverage=None.") from error
    return one_target(interval, index, 2)


def confidence_bands(
    estimator: Any, points: Any, errors: Array, drawn: ObservedRows, coverage: float
) -> list[Array]:
    """Confidence intervals (n, 2) of the predictions of each expert, from standard errors of these.

    They are symmetric on the scale of the link; that of a logit if y is between 0 and 1.
    """
    width = norm.ppf(0.5 + 0.5 * coverage) * errors[..., drawn.target % errors.shape[2]]
    mean = one_target(estimator.predict_experts(points), drawn.target, 2)
    links = [family.link for family in getattr(estimator, "families_", ())]
    links = links or ["logit" if is_classifier(estimator) else "identity"] * mean.shape[1]
    is_share = drawn.observed.min() >= 0.0 and drawn.observed.max() <= 1.0
    bands = []
    for link, center, half in zip(links, mean.T[..., None], width.T[..., None], strict=True):
        sides = half * [-1.0, 1.0]
        with np.errstate(all="ignore"):  # means at the bounds have no band
            if link == "log":
                bands.append(center * np.exp(sides / center))
            elif link == "logit" and is_share:
                bands.append(expit(logit(center) + sides / (center * (1.0 - center))))
            else:
                bands.append(center + sides)
    return bands


def unit_exposure(offset: Any) -> Array | None:
    """The offset, of all rows, of predictions per unit of exposure; None if rows have none."""
    return None if offset is None else np.zeros(np.shape(offset)[1:])


def observed_rates(
    estimator: Any, rows: Rows, index: int, at_bounds: bool = False
) -> tuple[Array, Array]:
    """Observed values (n,) per unit of exposure, and exposures; without an offset these are one."""
    values = observed_target(estimator, rows.y, index, at_bounds)
    if rows.offset is None:
        return values, np.ones(len(values))
    exposure = np.exp(one_target(rows.offset, index, 1))
    return values / exposure, exposure


def gate_of_units(estimator: Any, X: Any, units: Any) -> dict[str, Array]:
    """The gate's probabilities for rows of units, as an argument; none for rows without units."""
    return {} if units is None else {"gate_proba": estimator.predict_gate(X, units=units)}


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
    exposure: Array | None = None  # by which the observed values are divided

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
    estimator: Any, rows: Rows, target: Any, *, at_bounds: bool = False
) -> list[ObservedRows]:
    """The rows for each target, with y, or with 1 for the rows of a class and 0 for others."""
    table, y, offset, units = rows.X, rows.y, rows.offset, rows.unit
    indices = check_targets(estimator, target, table)
    resp = responsibilities_of_rows(estimator, rows)
    of_units = (None, None) if units is None else (np.asarray(units), encode_units(units)[0])
    found = []
    for index in indices:
        name = target_name(estimator, y, index) + PER_EXPOSURE * (offset is not None)
        observed, exposure = observed_rates(estimator, rows, index, at_bounds)
        drawn = ObservedRows(table, index, name, observed, *resp, *of_units)
        found.append(drawn if offset is None else drawn._replace(exposure=exposure))
    return found


# --- by experts --------------------------------------------------------------------------------


def row_density(
    estimator: Any, X: Any, row: int, target: int, offset: Array | None
) -> dict[str, Array]:
    """The distribution of an output for a row, as a sum over experts: fields of the display."""
    n_experts = estimator.n_experts_
    repeated = index_rows(X, np.full(n_experts, row))
    given = None if offset is None else np.repeat(offset[None], n_experts, axis=0)
    gate = estimator.predict_gate(index_rows(X, np.array([row])))[0]
    experts, mixture = (
        estimator.predict_dist(repeated, offset=given, gate_proba=proba)
        for proba in (np.eye(n_experts), np.tile(gate, (n_experts, 1)))
    )

    def at(method: Any, points: Array) -> Array:
        return values_at(experts, method, points, target).T

    low, high = one_target(mixture.ppf(PROBABILITIES[[1, -2]]), target, 2)[0]
    quantiles = one_target(experts.ppf(PROBABILITIES), target, 2)
    points = np.unique(quantiles[gate >= MIN_GATE_SHOWN])
    if mixture.is_count:
        points = np.unique(np.round(np.linspace(low, high, int(min(high - low, MAX_COUNTS)) + 1)))
    steps = (at(experts.cdf, points) - at(experts.cdf_left, points)) * gate
    has_step = steps.sum(axis=1) > MIN_STEP
    values, probability = points[has_step], steps[has_step]
    if has_step.all():
        return discrete_density(gate, values, probability)
    even = np.linspace(low, high, N_EVEN_POINTS)
    grid = np.unique(np.concatenate([even, points[~has_step]]))
    grid = grid[(grid >= low) & (grid <= high) & ~np.isin(grid, values)]
    density = {"grid": grid, "density": at(experts.pdf, grid) * gate}
    return discrete_density(gate, values, probability) | density


def discrete_density(gate: Array, values: Array, probability: Array) -> dict[str, Array]:
    """Gate probabilities (K,), and values (A,) with their probabilities (A, K); no densities."""
    none = {"grid": np.empty(0), "density": np.empty((0, len(gate)))}
    return {"gate": gate, "values": values, "probability": probability} | none


def class_density(
    estimator: Any, X: Any, row: int, target: int, offset: Array | None
) -> dict[str, Array]:
    """The probabilities of the classes for a row, as a sum over experts."""
    one_row = index_rows(X, np.array([row]))
    gate, experts = estimator.predict_gate(one_row)[0], estimator.predict_experts(one_row)[0]
    probability = (gate[:, None] * experts).T
    classes = np.arange(len(probability), dtype=float)
    return discrete_density(gate, classes, probability)


# --- by features -------------------------------------------------------------------------------


class Contributions(NamedTuple):
    """What adds up to the prediction of a row, up to a remainder: base value, gate and experts."""

    base_value: float  # prediction of the mean row
    gate: Array  # of each feature through the gate, (p,)
    experts: Array  # of each feature through the predictions of the experts, (p,)
    prediction: float


def row_contributions(
    estimator: Any, X: Any, row: int, target: int, offset: Array | None, n_steps: int
) -> Contributions:
    """Contributions to the prediction of an output or class for a row, given its offset.

    The straight path from the mean row to the row has `n_steps` steps. In each, features move one
    after another: first in the gate, then in the experts, and on a second way in the opposite
    order, of which the mean is taken. The changes of each way add up to the change of
    sum_k gate_k(x) mean_k(x). For smooth functions they converge to integrated gradients.
    """

    def given(rows: Any) -> dict[str, Any]:
        return {} if offset is None else {"offset": np.repeat(offset[None], rows.shape[0], axis=0)}

    n_features = X.shape[1]
    ends = path_rows(X, row, np.array([[0.0], [1.0]]) * np.ones(n_features))
    base_value, prediction = predicted_mean(estimator, ends, target, **given(ends))
    n_steps = int(np.clip(MAX_ENTRIES // (n_features * (n_features + 1)), MIN_STEPS, n_steps))
    fraction = np.linspace(0.0, 1.0, n_steps + 1)
    moved = np.tri(n_features + 1, n_features, -1, dtype=bool)  # row j: the first j have moved
    through_gate, through_experts = np.zeros(n_features), np.zeros(n_features)
    for backwards in (False, True):
        order = moved[:, ::-1] if backwards else moved
        # Fractions of the path, (S, p + 1, p): features that have moved are one step ahead.
        ahead = np.where(order, fraction[1:, None, None], fraction[:-1, None, None])
        rows = path_rows(X, row, ahead.reshape(-1, n_features))
        shape = n_steps, n_features + 1, -1
        mean = one_target(estimator.predict_experts(rows, **given(rows)), target, 2).reshape(shape)
        gate = estimator.predict_gate(rows).reshape(shape)
        # The gate moves before the experts, or backwards after them.
        first, last = (-1, 0) if backwards else (0, -1)
        of_gate = np.einsum("sjk,sk->j", np.diff(gate, axis=1), mean[:, first])
        of_experts = np.einsum("sjk,sk->j", np.diff(mean, axis=1), gate[:, last])
        through_gate += (of_gate[::-1] if backwards else of_gate) / 2.0
        through_experts += (of_experts[::-1] if backwards else of_experts) / 2.0
    return Contributions(float(base_value), through_gate, through_experts, float(prediction))
