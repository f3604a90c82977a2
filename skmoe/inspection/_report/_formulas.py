"""Gate and experts as formulas of the features, if they are softmaxes and linear predictors.

Formulas are fitted to logits and predictors of rows, and kept if they agree with them, for any kind
of gate, experts and steps of a pipeline. The distribution of an expert moves with its
linear predictor alone. It is a table, between whose rows the page interpolates: for values of the
predictor the mean, and quantiles or probabilities of finitely many values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize.elementwise import find_root
from scipy.special import ndtr, ndtri
from sklearn.base import is_classifier

from skmoe._inference.description import coefficients_of, linear_predictors
from skmoe._numerics.typing import Array
from skmoe.inspection._grid import is_numeric, make_grid, numeric_values
from skmoe.inspection._report._inputs import Feature, Inputs, Report
from skmoe.inspection._series import gate_of_features
from skmoe.inspection._subject import one_target

# Largest difference of a formula and the mixture, relative to the largest value, and the number of
# rows on which both are compared.
FORMULA_RTOL, N_COMPARED = 1e-8, 200

# Quantiles have equally spaced normal scores. They must be right up to the ends of the interval,
# or this score, and go on somewhat, where densities are small.
SCORE_STEP, LARGEST_SCORE, SCORES_BEYOND = 0.2, 3.0, 2.0

# Rows of a table. Polynomials of the nearest ones are right to a small part of a normal score.
N_TABLE_ROWS = 161

# The least log of one more than a count that is continued to real numbers.
LEAST_LOG = -50.0


def find_formulas(
    report: Report, inputs: Inputs, features: Sequence[Feature]
) -> dict[str, Any] | None:
    """Gate and experts as formulas of some features; None if they are no such formulas."""
    estimator, codes = report.mixture, _compared_codes(inputs, features)
    encoded = [feature.encoded(codes[:, feature.column]) for feature in features]
    columns, table = np.hstack([np.zeros((len(codes), 0)), *encoded]), inputs.rows(codes)
    gate = _linear_function(columns, _logits(gate_of_features(estimator, table).T))
    if gate is None:
        return None
    found: list[Any] = [{}] * len(gate)
    if is_classifier(estimator):
        probs = np.moveaxis(estimator.predict_experts(table), 0, -1)
        experts = _linear_function(columns, _logits(probs, axis=1))
    else:
        values = as_numbers(table)
        if values is None or not hasattr(estimator, "expert_coef_"):
            return None
        of_mean = coefficients_of(estimator, linear_predictors(estimator)[0])[:, report.outputs[0]]
        experts = _linear_function(columns, of_mean @ values.T)
        found = [
            _tabulate(Expert(report, k, of_mean[k], table, values), _ends(own, features))
            for k, own in enumerate(() if experts is None else experts)
        ]
    if experts is None or None in found:
        return None
    return {
        "gate": _as_lists(gate),
        "experts": [_as_lists(own) | more for own, more in zip(experts, found, strict=True)],
    }


def _logits(probs: Array, axis: int = 0) -> Array:
    """Logs of probabilities, up to a constant of each row, which a softmax does not see."""
    with np.errstate(divide="ignore", invalid="ignore"):  # as of trees, or of few experts for a row
        logs = np.log(probs)
        return np.asarray(logs - logs.mean(axis=axis, keepdims=True))


def _as_lists(coefficients: Array) -> dict[str, Any]:
    return {"slopes": coefficients[..., 1:].tolist(), "intercept": coefficients[..., 0].tolist()}


def _compared_codes(inputs: Inputs, features: Sequence[Feature]) -> Array:
    """The starting row, others with each choice or end of one feature, and drawn ones."""
    rng, codes = np.random.default_rng(0), np.tile(inputs.start, (N_COMPARED, 1))
    for feature in features:
        grid = feature.grid(inputs.start[feature.column], N_COMPARED)
        codes[:, feature.column] = rng.choice(grid, N_COMPARED)
    moved = [inputs.along(feature, feature.codes) for feature in features]
    return np.vstack([inputs.start, *moved, codes])


def as_numbers(table: Any) -> Array | None:
    """Rows as an array after a column of ones; None if they are no numbers, or miss values."""
    if not all(is_numeric(table, j) for j in range(table.shape[1])):
        return None
    columns = [numeric_values(table, j) for j in range(table.shape[1])]
    values = np.column_stack([np.ones(table.shape[0]), *columns]).astype(float)
    return values if np.isfinite(values).all() else None


def _linear_function(columns: Array, values: Array) -> Array | None:
    """Intercepts and slopes (..., 1 + d) of values (..., n) by columns (n, d); None if not linear.

    The first row is the origin, and columns have comparable units, as least squares needs them.
    """
    if not (np.isfinite(columns).all() and np.isfinite(values).all()):
        return None
    moved = columns - columns[0]
    unit = np.abs(moved).max(axis=0)
    unit[unit == 0.0] = 1.0
    design = np.column_stack([np.ones(len(moved)), moved / unit])
    fitted = np.linalg.lstsq(design, values.reshape(-1, len(moved)).T, rcond=None)[0]
    if not _agrees((design @ fitted).T.reshape(values.shape), values):
        return None
    slopes = fitted[1:].T / unit
    intercepts = fitted[0] - slopes @ columns[0]
    return np.column_stack([intercepts, slopes]).reshape(*values.shape[:-1], -1)


def _ends(predictor: Array, features: Sequence[Feature]) -> Array:
    """Smallest and largest value of a predictor of the shown features, between their ends."""
    ends, first = np.repeat(predictor[0], 2), 1
    for feature in features:
        encoded = feature.encoded(feature.codes)
        products = encoded @ predictor[first : first + encoded.shape[1]]
        ends += [products.min(), products.max()]
        first += encoded.shape[1]
    return ends


def _agrees(computed: Array, wanted: Array) -> bool:
    """Whether values are equal, relative to the largest of each expert and output."""
    largest = np.abs(wanted).max(axis=-1, initial=0.0)
    error = np.abs(computed - wanted).max(axis=-1, initial=0.0)
    return bool((error <= FORMULA_RTOL * np.where(largest > 0.0, largest, 1.0)).all())


# --- distributions ----------------------------------------------------------------------------


class Expert(NamedTuple):
    """An output of an expert, its linear predictor, and rows."""

    report: Report
    k: int
    coefficients: Array  # (1 + m,)
    table: Any
    values: Array  # (n, 1 + m), the rows as numbers

    def at(self, levels: Array) -> Any:
        """The rows with given values of the predictor that are nearest to the mean row."""
        center, slopes = self.values.mean(axis=0), self.coefficients[1:]
        steps = (levels - self.coefficients @ center)[:, None] * slopes
        values = center[1:] + steps / (slopes @ slopes or 1.0)
        return make_grid(self.table, range(len(slopes)), values)

    def mean(self, table: Any) -> Array:
        """Its mean at rows."""
        means = self.report.mixture.predict_experts(table)
        return one_target(means, self.report.outputs[0], 2)[:, self.k]

    def component(self, table: Any) -> Any:
        """Functions and parameters of its distribution at rows; None if it is no single one."""
        n_experts = self.report.mixture.n_experts_
        equal = np.full((table.shape[0], n_experts), 1.0 / n_experts)
        distribution = self.report.distribution(table, gate_proba=equal)
        if distribution is None:
            return None
        found = distribution.as_components()
        blocks = [part.block() for part in getattr(found, "parts", (found,))]
        components = [
            (functions, [values[:, c, self.report.outputs[0]] for values in parameters])
            for functions, parameters in blocks
            for c in range(parameters[0].shape[1])
        ]
        return components[self.k] if len(components) == n_experts else None


def _tabulate(expert: Expert, ends: Array) -> dict[str, Any] | None:
    """The distribution of an expert as a table over its predictor, between two ends and beyond.

    Its columns are the mean, and quantiles of equally spaced normal scores, or normal scores of the
    probabilities up to all values but one. None if it depends on more than the predictor.
    """
    given = expert.component(expert.table)
    if given is None:
        return None
    functions, parameters = given
    atoms = functions.atoms(*parameters)
    if any(np.isinf(values).all() for values in atoms):
        return {"never": True}
    if not atoms and not functions.variance(*parameters).any():
        atoms = (functions.mean(*parameters),)
    nearest = expert.component(expert.at(expert.values @ expert.coefficients))[1]
    if any(np.ptp(values) > 0.0 for values in atoms) or not all(map(_agrees, nearest, parameters)):
        return None
    lower = None  # logs are tabulated, of the mean and of the distance from this bound
    if not atoms and functions.counts:
        lower = -1.0
    elif not (atoms or functions.location_scale or functions.cdf(0.0, *parameters).any()):
        lower = 0.0
    low, high = ends + 0.5 * (ends[1] - ends[0]) * np.array([-1.0, 1.0])
    levels, step = np.linspace(low, high, N_TABLE_ROWS, retstep=True)
    rows = expert.at(levels)
    parameters = [values[:, None] for values in expert.component(rows)[1]]
    tail = 0.5 * (1.0 - expert.report.coverage)
    n_scores = np.ceil((max(LARGEST_SCORE, -ndtri(tail)) + SCORES_BEYOND) / SCORE_STEP)
    scores = SCORE_STEP * np.arange(-n_scores, n_scores + 1.0)
    mean, points = expert.mean(rows)[:, None], [float(values[0]) for values in atoms]
    with np.errstate(divide="ignore"):
        if points:
            columns = np.clip(ndtri(functions.cdf(np.array(points[:-1]), *parameters)), -8.0, 8.0)
        elif functions.counts:
            columns = _log_counts(functions, scores, parameters)
        else:
            below = functions.quantile(ndtr(scores[scores <= 0.0]), *parameters)
            above = functions.upper_quantile(ndtr(-scores[scores > 0.0]), *parameters)
            columns = np.hstack([below, above])
            columns = columns if lower is None else np.log(columns)
        table = np.hstack([mean if lower is None else np.log(mean), columns])
    if not np.isfinite(table).all():
        return None
    unit = 0.01 if points else np.diff(columns).min() / SCORE_STEP
    if not unit > 0.0:  # quantiles round to a bound
        return None
    return {
        "start": float(low),
        "step": float(step) or 1.0,
        "table": np.round(table, max(6 - int(np.floor(np.log10(unit))), 0)).tolist(),
        "values": points,
        "lower": lower,
        "counts": lower == -1.0,
        "first_score": float(scores[0]),
        "score_step": SCORE_STEP,
    }


def _log_counts(functions: Any, scores: Array, parameters: Sequence[Array]) -> Array:
    """Logs of one more than the quantiles of counts, which are continued to real numbers."""

    def excess(log_count: Array, above: Array, *own: Array) -> Array:
        return above - functions.continued.sf(np.expm1(log_count), *own)

    above = ndtr(-scores)
    high = np.log(10.0 + 3.0 * functions.upper_quantile(above[-1], *parameters))
    found: Array = find_root(excess, (LEAST_LOG, high), args=(above, *parameters)).x
    return found
