"""Regression and classification: how the target is validated, scaled and passed to experts.

The scale of the variance prior, and lower bounds of the noise variances, are estimated from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sklearn.tree import DecisionTreeRegressor

from skmoe._data.censored_targets import point_values
from skmoe._data.preprocessing import Standardization, fit_standardization
from skmoe._data.row_checks import check_two_classes, class_weights
from skmoe._data.rows import Rows, by_output, has_bounds
from skmoe._mixture.partitions import InitData
from skmoe._numerics.linalg import split_offset
from skmoe._numerics.typing import Array
from skmoe.experts._mean_family import MeanFamily
from skmoe.protocols import Experts

# Folds and maximum number of rows for the estimate of the noise variance. A rough estimate is
# enough: a search of the prior begins there, and the prior has the weight of few rows.
N_NOISE_FOLDS = 3
MAX_NOISE_ROWS = 2000

# Penalty on the slopes of a ridge regression, which makes it unique.
NOISE_RIDGE = 1e-3

# Lower bound of the noise variance of a standardised output.
RELATIVE_FLOOR = 1e-6

# Largest lower bound from rounding: the values of an output that are rarely different are many
# standard deviations apart, and an expert must be able to be better than no model.
MAX_ROUNDING_FLOOR = 0.25


def estimate_noise_variance(X: Array, Y: Array, weight: Array, units: Array | None = None) -> Array:
    """Estimate of the residual variance of standardised outputs Y (m, n) given X, (m,).

    Rows with the same number in `units` are in one fold.

    It is the smaller of the out-of-fold mean squared errors of a ridge regression and of a
    regression tree, since the regression function can be smooth or piecewise constant. Both are
    without the checks of scikit-learn. The rows are those of `distinct_rows`, so that the folds do
    not depend on the user's order.
    """
    rng = np.random.default_rng(0)
    sample = rng.permutation(len(weight))[:MAX_NOISE_ROWS]
    if len(sample) < 2 * N_NOISE_FOLDS:
        return np.ones(len(Y))
    X, Y, weight = X[sample], Y[:, sample], weight[sample]
    # Relative weights: the small ridge penalty must keep its size beside them.
    weight = weight / weight.mean()
    fold = np.arange(len(sample)) % N_NOISE_FOLDS
    if units is not None:
        fold = np.unique(units[sample], return_inverse=True)[1].ravel() % N_NOISE_FOLDS
    squares, single = np.zeros((2, len(Y))), X.astype(np.float32)
    for held_out in np.unique(fold):
        train, test = fold != held_out, fold == held_out
        rows, outputs, row_weight = X[train], Y[:, train].T, weight[train]
        center = np.average(rows, axis=0, weights=row_weight)
        level, root = np.average(outputs, axis=0, weights=row_weight), np.sqrt(row_weight)[:, None]
        design, target = root * (rows - center), root * (outputs - level)
        ridge = NOISE_RIDGE * np.eye(design.shape[1])
        coef = np.linalg.solve(design.T @ design + ridge, design.T @ target)
        tree = DecisionTreeRegressor(min_samples_leaf=3, random_state=0)
        tree.fit(single[train], outputs, sample_weight=row_weight, check_input=False)
        by_tree = tree.predict(single[test], check_input=False)
        predicted = level + (X[test] - center) @ coef, by_tree.reshape(len(by_tree), -1)
        for total, values in zip(squares, predicted, strict=True):
            total += np.square(Y[:, test] - values.T) @ weight[test]
    # The noise variance is at most the marginal variance, which is one.
    return np.minimum((squares / weight.sum()).min(axis=0), 1.0)


class TrainingTarget(NamedTuple):
    """The target of a fit, in the units of the experts."""

    y: Array  # outputs (m, n), or class codes (n,)
    init_targets: Array  # standardised outputs or class indicators (m, n), for initialisation
    scaling: Standardization | None  # of the outputs; None for classes


@dataclass(frozen=True)
class Task:
    """Regression, of one or several numeric outputs, or classification of one label for each row.

    Classes have weights, which are None where those of the rows contain them already.
    """

    is_classification: bool
    class_weight: Any = None
    shared_dispersion: bool = False
    dispersion_prior: float = 0.0

    @property
    def name(self) -> str:
        """That of scikit-learn's estimators."""
        return "classifier" if self.is_classification else "regressor"

    def row_weights(self, y: Array, classes: Array | None, weight: Array) -> Array:
        """Weights of the rows times those of their classes."""
        return weight if classes is None else class_weights(self.class_weight, classes, y, weight)


def make_target(
    rows: Rows,
    experts: Experts | MeanFamily | None,
    classes: Array | None,
    scaling: Standardization | None,
) -> TrainingTarget:
    """Class codes, or outputs (m, n) by a known standardisation, if there is one.

    Parametric experts decide whether y is standardised; it is not for estimators (None).
    """
    if classes is not None:
        check_two_classes(classes)
        indicators = (np.arange(len(classes))[:, None] == rows.y).astype(np.float64)
        return TrainingTarget(rows.y, indicators, None)
    targets, weight = rows.y.reshape(rows.n_rows, -1), rows.weight
    censored = has_bounds(targets)
    outputs = point_values(targets) if censored else targets
    if scaling is None:
        scaling = fit_standardization(outputs, weight, of_constant=1.0)
    standard = np.ascontiguousarray(((outputs - scaling.center) / scaling.scale).T)
    # Censored rows have probabilities, which do not depend on the units of y.
    if experts is not None and experts.standardizes_target and not censored:
        working = experts.working_target(standard)
        if working is not standard:
            working = _standardised(working, weight)
        return TrainingTarget(standard, working, scaling)
    y, values = np.ascontiguousarray(targets.T), np.ascontiguousarray(outputs.T)
    if rows.offset is not None:
        standard = _standardised(_relative_target(values, by_output(rows.offset), weight), weight)
    elif experts is not None:
        standard = _standardised(experts.working_target(values), weight)
    return TrainingTarget(y, standard, identity_scaling(outputs.shape[1]))


def estimates(
    names: Sequence[str], init_data: InitData, dispersion_prior: float, noise: Array | None
) -> dict[str, Any]:
    """Options of experts that are estimated from the data, see `Experts.estimated_options`.

    They are the number of classes, the noise variance of the standardised outputs, unless it is
    given, its lower bound, and the mean of the outputs.

    With rounded outputs the likelihood can be inflated by near-zero variance on one grid value.
    So if there are at most half as many values as rows, the lower bound is the variance of the
    rounding error for a grid with the median gap between values.
    """
    rows = init_data.rows
    found: dict[str, Any] = {}
    if "n_classes" in names:
        found["n_classes"] = len(init_data.Y)
    if "noise_variance" in names:
        if noise is None and dispersion_prior == 0.0:  # not needed without a prior
            noise = np.ones(len(init_data.Y))
        elif noise is None:
            units = None if rows.units is None else rows.units.codes
            noise = estimate_noise_variance(init_data.X, init_data.Y, rows.weight, units)
            noise = noise[init_data.outputs]
        found["noise_variance"] = tuple(noise.tolist())
    if "variance_floor" in names:
        floors = np.full(len(init_data.Y), RELATIVE_FLOOR)
        for output, y in enumerate(init_data.Y):
            values = np.unique(y)
            if 1 < len(values) <= len(y) / 2:
                rounding = np.median(np.diff(values)) ** 2 / 12.0
                floors[output] = np.clip(rounding, RELATIVE_FLOOR, MAX_ROUNDING_FLOOR)
        found["variance_floor"] = tuple(floors[init_data.outputs].tolist())
    if "target_mean" in names:
        mean = _mean_at_zero_offset(rows.y, split_offset(rows.expert_design)[1], rows.weight)
        found["target_mean"] = tuple(mean.tolist())
    return found


def _mean_at_zero_offset(y: Array, offset: Array | float, weight: Array) -> Array:
    """Mean of each output (m,), under a log link per unit of the exposure exp(offset)."""
    if not isinstance(offset, np.ndarray):
        return y @ weight / weight.sum()
    return y @ weight / (np.exp(offset) @ weight)


def _relative_target(y: Array, offset: Array, weight: Array) -> Array:
    """Logs (m, n) of y relative to means that are proportional to the exposures exp(offset).

    Half of the smallest positive y, which is 1/2 for counts, is added to both: it keeps logs of
    zeros finite, and rows of little exposure, whose rates are least exact, near zero.
    """
    mean = _mean_at_zero_offset(y, offset, weight)[:, None] * np.exp(offset)
    half = 0.5 * np.where(y > 0.0, y, np.inf).min(axis=1, keepdims=True)
    half = np.where(np.isfinite(half), half, 0.5)
    return np.log((y + half) / (mean + half))


def _standardised(values: Array, weight: Array) -> Array:
    """Rows (m, n) of weighted mean zero and variance one."""
    center, scale = fit_standardization(values.T, weight, of_constant=1.0)
    return (values - center[:, None]) / scale[:, None]


def identity_scaling(n_outputs: int) -> Standardization:
    """The identity map, for families that model y in its original units."""
    return Standardization(np.zeros(n_outputs), np.ones(n_outputs))
