"""Gate and experts as formulas of the features, if they are softmaxes and linear predictors.

Formulas are made of the fitted coefficients, and kept if they give what the mixture gives on rows
of the data, for any kind of gate, experts and steps of a pipeline. The distribution of an
expert moves with its linear predictor alone. It is a table, between whose rows the page
interpolates: for values of the predictor the mean, and quantiles or probabilities of finitely many
values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize.elementwise import find_root
from scipy.special import ndtr, ndtri
from sklearn.base import is_classifier

from skmoe._inference.description import coefficients_of, linear_predictors
from skmoe._numerics.probability import keep_top_k, log_softmax
from skmoe._numerics.typing import Array
from skmoe.gates import gate_object
from skmoe.inspection._grid import is_numeric, make_grid, numeric_values
from skmoe.inspection._report._inputs import Feature, Inputs
from skmoe.inspection._subject import one_target

# Largest difference of a formula and the mixture, relative to the largest value, and the rows on
# which both are compared.
FORMULA_RTOL, N_COMPARED = 1e-8, 200

# Quantiles have equally spaced normal scores. They must be right up to the ends of the interval,
# or this score, and go on somewhat, where densities are small.
SCORE_STEP, LARGEST_SCORE, SCORES_BEYOND = 0.2, 3.0, 2.0

# Rows of a table. Polynomials of the nearest ones are right to a small part of a normal score.
N_TABLE_ROWS = 161

# The least log of one more than a count that is continued to real numbers.
LEAST_LOG = -50.0


class Rows(NamedTuple):
    """Rows on which formulas and the mixture are compared; numbers have a first column of ones."""

    table: Any  # as they reach the mixture
    values: Array  # (n, 1 + m), the same as numbers
    shown: Array  # (n, 1 + d), the shown features
    way: Array  # (1 + d, 1 + m), from the shown features to those of the mixture


def find_formulas(
    inputs: Inputs, features: Sequence[Feature], index: int, tail: float
) -> dict[str, Any] | None:
    """Gate and experts as formulas of some features; None if they are no such formulas.

    `index` is that of the output of a regressor, and `tail` the probability below intervals.
    """
    estimator = inputs.mixture
    if not hasattr(estimator, "expert_coef_") or not hasattr(estimator, "gate_coef_"):
        return None
    gate = np.column_stack([estimator.gate_intercept_, estimator.gate_coef_])
    rows = _compared_rows(inputs, features)
    if rows is None or gate.shape[1] != rows.values.shape[1]:
        return None
    experts = coefficients_of(estimator, linear_predictors(estimator)[0])
    if not is_classifier(estimator):
        experts = experts[:, [index]]
    of_gate, of_experts = gate @ rows.values.T, experts @ rows.values.T
    shown_gate, shown = gate @ rows.way.T, experts @ rows.way.T
    if not (
        _agrees(shown_gate @ rows.shown.T, of_gate) and _agrees(shown @ rows.shown.T, of_experts)
    ):
        return None
    top_k = gate_object(estimator.gate).top_k
    log_probs = log_softmax(keep_top_k(log_softmax(of_gate), top_k))
    if not _agrees(np.exp(log_probs), estimator.predict_gate(rows.table).T):
        return None
    if is_classifier(estimator):
        probs = np.moveaxis(np.exp(log_softmax(of_experts, axis=1)), 2, 0)
        if not _agrees(probs, estimator.predict_experts(rows.table)):
            return None
        found: list[Any] = [{}] * len(shown)
    else:
        shown = shown[:, 0]
        found = [
            _tabulate(Expert(estimator, k, index, own[0], rows), _ends(shown[k], features), tail)
            for k, own in enumerate(experts)
        ]
    if None in found:
        return None
    return {
        "gate": _as_lists(shown_gate) | {"top_k": top_k},
        "experts": [_as_lists(own) | table for own, table in zip(shown, found, strict=True)],
    }


def _as_lists(coefficients: Array) -> dict[str, Any]:
    return {"slopes": coefficients[..., 1:].tolist(), "intercept": coefficients[..., 0].tolist()}


def _compared_rows(inputs: Inputs, features: Sequence[Feature]) -> Rows | None:
    """The starting row with other values of the shown features; None if they are no numbers.

    The way starts at this row too, from which each feature is moved to its ends or choices.
    """
    n_rows = inputs.X.shape[0]
    compared = np.linspace(0, n_rows - 1, min(N_COMPARED, n_rows)).astype(int)
    codes = np.tile(inputs.start, (len(compared), 1))
    for feature in features:
        if feature.is_category:
            codes[:, feature.column] = np.resize(feature.codes, len(compared))
        else:
            values = numeric_values(inputs.X, feature.column)[compared]
            known = np.isfinite(values)
            codes[known, feature.column] = values[known]
    moved = [inputs.along(feature, feature.codes) for feature in features]
    table, numbers = inputs.rows(codes), as_numbers(inputs.rows(np.vstack([inputs.start, *moved])))
    values = as_numbers(table)
    if numbers is None or values is None:
        return None
    way, end = [numbers[0]], 1
    for feature in features:
        start, end = end, end + len(feature.codes)
        if feature.is_category:
            way.extend(numbers[start:end] - numbers[0])
        else:
            change = numbers[end - 1] - numbers[start]
            way.append(change / (feature.codes[-1] - feature.codes[0]))
            way[0] = way[0] - way[-1] * inputs.start[feature.column]
    shown = [feature.encoded(codes[:, feature.column]) for feature in features]
    return Rows(table, values, np.hstack([np.ones((len(codes), 1)), *shown]), np.array(way))


def as_numbers(table: Any) -> Array | None:
    """Rows as an array after a column of ones; None if they are no numbers, or miss values."""
    if not all(is_numeric(table, j) for j in range(table.shape[1])):
        return None
    columns = [numeric_values(table, j) for j in range(table.shape[1])]
    values = np.column_stack([np.ones(table.shape[0]), *columns]).astype(float)
    return values if np.isfinite(values).all() else None


def _ends(predictor: Array, features: Sequence[Feature]) -> Array:
    """Smallest and largest value of a predictor of the shown features, between their ends."""
    ends, first = np.repeat(predictor[0], 2), 1
    for feature in features:
        products = feature.ends @ predictor[first : first + feature.ends.shape[1]]
        ends += [products.min(), products.max()]
        first += feature.ends.shape[1]
    return ends


def _agrees(computed: Array, wanted: Array) -> bool:
    """Whether values are equal, relative to the largest of each expert and output."""
    largest = np.abs(wanted).max(axis=-1, initial=0.0)
    error = np.abs(computed - wanted).max(axis=-1, initial=0.0)
    return bool((error <= FORMULA_RTOL * np.where(largest > 0.0, largest, 1.0)).all())


# --- distributions ----------------------------------------------------------------------------


class Expert(NamedTuple):
    """An output of an expert, and rows at which its predictor has given values."""

    estimator: Any
    k: int
    output: int
    coefficients: Array  # (1 + m,)
    rows: Rows

    def at(self, levels: Array) -> Any:
        """The rows with given values of the predictor that are nearest to the mean row."""
        center, slopes = self.rows.values.mean(axis=0), self.coefficients[1:]
        steps = (levels - self.coefficients @ center)[:, None] * slopes
        values = center[1:] + steps / (slopes @ slopes or 1.0)
        return make_grid(self.rows.table, range(len(slopes)), values)

    def mean(self, table: Any) -> Array:
        """Its mean at rows."""
        return one_target(self.estimator.predict_experts(table), self.output, 2)[:, self.k]

    def component(self, table: Any) -> Any:
        """Functions and parameters of its distribution at rows; None if it is no single one."""
        n_experts = self.estimator.n_experts_
        equal = np.full((table.shape[0], n_experts), 1.0 / n_experts)
        try:
            found = self.estimator.predict_dist(table, gate_proba=equal).as_components()
            blocks = [part.block() for part in getattr(found, "parts", (found,))]
        except (AttributeError, ValueError):
            return None
        components = [
            (functions, [values[:, c, self.output] for values in parameters])
            for functions, parameters in blocks
            for c in range(parameters[0].shape[1])
        ]
        return components[self.k] if len(components) == n_experts else None


def _tabulate(expert: Expert, ends: Array, tail: float) -> dict[str, Any] | None:
    """The distribution of an expert as a table over its predictor, between two ends and beyond.

    None if it depends on more than the predictor.
    """
    given = expert.component(expert.rows.table)
    if given is None:
        return None
    functions, parameters = given
    if any(np.isinf(values).all() for values in functions.atoms(*parameters)):
        return {"never": True}
    nearest = expert.component(expert.at(expert.rows.values @ expert.coefficients))
    form = _form_of(functions, parameters, tail)
    if form is None or not all(map(_agrees, nearest[1], parameters)):
        return None
    low, high = ends + 0.5 * (ends[1] - ends[0]) * np.array([-1.0, 1.0])
    n_rows = N_TABLE_ROWS if high > low else 1
    table = form.table(expert, expert.at(np.linspace(low, high, n_rows)))
    if not np.isfinite(table).all():
        return None
    return form.as_lists(low, (high - low) / max(n_rows - 1, 1) or 1.0, table)


class Form(NamedTuple):
    """What the columns of a table are, besides the mean."""

    values: list[float]  # finitely many values, of which normal scores are tabulated, or none
    lower: float | None  # logs are tabulated, of the mean and of the distance from this bound
    is_count: bool
    scores: Array  # normal scores of the quantiles

    def table(self, expert: Expert, rows: Any) -> Array:
        """Means, and quantiles or normal scores of the probabilities up to all values but one."""
        mean = expert.mean(rows)[:, None]
        functions, parameters = expert.component(rows)
        parameters = [values[:, None] for values in parameters]
        if self.values:
            below = functions.cdf(np.array(self.values[:-1]), *parameters)
            return np.hstack([mean, np.clip(ndtri(below), -8.0, 8.0)])
        if self.is_count:
            return np.hstack([np.log(mean), _log_counts(functions, self.scores, parameters)])
        lower = functions.quantile(ndtr(self.scores[self.scores <= 0.0]), *parameters)
        upper = functions.upper_quantile(ndtr(-self.scores[self.scores > 0.0]), *parameters)
        with np.errstate(divide="ignore"):
            found = np.hstack([mean, lower, upper])
            return found if self.lower is None else np.log(found)

    def as_lists(self, start: float, step: float, table: Array) -> dict[str, Any] | None:
        """The table, in short numbers, with what its reader needs.

        None if quantiles round to a bound.
        """
        unit = 0.01 if self.values else np.diff(table[:, 1:]).min() / SCORE_STEP
        if not unit > 0.0:
            return None
        digits = max(6 - int(np.floor(np.log10(unit))), 0)
        return {
            "start": float(start),
            "step": float(step),
            "table": np.round(table, digits).tolist(),
            "values": self.values,
            "lower": self.lower,
            "counts": self.is_count,
            "first_score": float(self.scores[0]),
            "score_step": SCORE_STEP,
        }


def _form_of(functions: Any, parameters: Sequence[Array], tail: float) -> Form | None:
    """The form of a component from its parameters at some rows; None if its values change."""
    atoms = functions.atoms(*parameters)
    if not atoms and not functions.variance(*parameters).any():
        atoms = (functions.mean(*parameters),)
    if any(np.ptp(values) > 0.0 for values in atoms):
        return None
    lower = None
    if not atoms and functions.counts:
        lower = -1.0
    elif not (atoms or functions.location_scale or functions.cdf(0.0, *parameters).any()):
        lower = 0.0
    n_scores = np.ceil((max(LARGEST_SCORE, -ndtri(tail)) + SCORES_BEYOND) / SCORE_STEP)
    scores = SCORE_STEP * np.arange(-n_scores, n_scores + 1.0)
    return Form([float(values[0]) for values in atoms], lower, lower == -1.0, scores)


def _log_counts(functions: Any, scores: Array, parameters: Sequence[Array]) -> Array:
    """Logs of one more than the quantiles of counts, which are continued to real numbers."""

    def excess(log_count: Array, above: Array, *own: Array) -> Array:
        return above - functions.continued.sf(np.expm1(log_count), *own)

    above = ndtr(-scores)
    high = np.log(10.0 + 3.0 * functions.upper_quantile(above[-1], *parameters))
    found: Array = find_root(excess, (LEAST_LOG, high), args=(above, *parameters)).x
    return found
