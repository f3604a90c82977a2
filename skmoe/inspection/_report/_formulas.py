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
from scipy.special import ndtr, ndtri
from sklearn.base import is_classifier

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

# Rows of a table, more and more until polynomials of the nearest ones are right to a part of a
# normal score.
N_TABLE_ROWS, N_NEAR_ROWS, TABLE_TOL = (2, 11, 21, 41, 81, 161), 6, 3e-5

# Bisections for the quantile of a count that is continued to real numbers, and its least log.
N_BISECTIONS, LEAST_LOG = 60, -50.0


class Predictor(NamedTuple):
    """A linear predictor, or several."""

    slopes: Array  # (..., p)
    intercept: Array  # (...)

    def at(self, values: Array) -> Array:
        """Values (..., n) at rows (n, p)."""
        return self.slopes @ values.T + np.asarray(self.intercept)[..., None]

    def rows(self, levels: Array, center: Array) -> Array:
        """Rows (n, p) at which one predictor has given values, nearest to a center (p,)."""
        steps = (levels - self.slopes @ center - self.intercept)[:, None] * self.slopes
        return center + steps / (self.slopes @ self.slopes or 1.0)

    def of_inputs(self, way: Way) -> Predictor:
        """The predictor of what is shown of the inputs."""
        return Predictor(self.slopes @ way.slopes.T, self.intercept + self.slopes @ way.origin)

    def as_lists(self) -> dict[str, Any]:
        """Its numbers as lists."""
        return {name: np.asarray(values).tolist() for name, values in self._asdict().items()}


class Way(NamedTuple):
    """From the shown features to those of the mixture: origin + encoded @ slopes."""

    origin: Array  # (m,)
    slopes: Array  # (d, m)


class Rows(NamedTuple):
    """Rows on which formulas and the mixture are compared."""

    table: Any  # as they reach the mixture
    values: Array  # (n, m), the same as numbers
    encoded: Array  # (n, d), the shown features


def find_formulas(
    inputs: Inputs, features: Sequence[Feature], index: int, tail: float
) -> dict[str, Any] | None:
    """Gate and experts as formulas of some features; None if they are no such formulas.

    `index` is that of the output of a regressor, and `tail` the probability below intervals.
    """
    estimator = inputs.mixture
    if not hasattr(estimator, "expert_coef_") or not hasattr(estimator, "gate_coef_"):
        return None
    rows, way = _compared_rows(inputs, features), _way(inputs, features)
    if rows is None or way is None:
        return None
    gate = Predictor(estimator.gate_coef_, estimator.gate_intercept_)
    if not _is_gate(estimator, gate, rows):
        return None
    shown_gate, experts = gate.of_inputs(way), []
    is_linear = _agrees(shown_gate.at(rows.encoded), gate.at(rows.values))
    for k in range(estimator.n_experts_):
        predictor = _predictor(estimator, k, index)
        shown = predictor.of_inputs(way)
        is_linear &= _agrees(shown.at(rows.encoded), predictor.at(rows.values))
        if not is_linear:
            return None
        if is_classifier(estimator):
            probabilities = np.exp(log_softmax(predictor.at(rows.values))).T
            wanted = estimator.predict_experts(rows.table)[:, k]
            found: dict[str, Any] | None = {} if _agrees(probabilities, wanted) else None
        else:
            ends = _ends(shown, features)
            found = _tabulate(Expert(estimator, k, index), predictor, rows, ends, tail)
        if found is None:
            return None
        experts.append(shown.as_lists() | found)
    top_k = gate_object(estimator.gate).top_k
    return {"gate": shown_gate.as_lists() | {"top_k": top_k}, "experts": experts}


def _compared_rows(inputs: Inputs, features: Sequence[Feature]) -> Rows | None:
    """The starting row with other values of the shown features; None if they are no numbers."""
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
    table = inputs.rows(codes)
    numbers, parts = as_numbers(table), [f.encoded(codes[:, f.column]) for f in features]
    encoded = np.concatenate([np.empty((len(codes), 0)), *parts], axis=1)
    return None if numbers is None else Rows(table, numbers, encoded)


def _way(inputs: Inputs, features: Sequence[Feature]) -> Way | None:
    """How the features of the mixture change with each that is shown, from the starting row."""
    start = as_numbers(inputs.rows(inputs.start[None]))
    if start is None:
        return None
    origin, slopes = start[0], []
    for feature in features:
        found = as_numbers(inputs.rows(inputs.along(feature, feature.codes)))
        if found is None:
            return None
        if feature.is_category:
            slopes.append(found - start)
        else:
            change = (found[-1:] - found[:1]) / (feature.codes[-1] - feature.codes[0])
            origin = origin - change[0] * inputs.start[feature.column]
            slopes.append(change)
    return Way(origin, np.concatenate([np.empty((0, len(origin))), *slopes]))


def as_numbers(table: Any) -> Array | None:
    """Rows as an array; None if they have other columns, or missing values."""
    if not all(is_numeric(table, j) for j in range(table.shape[1])):
        return None
    columns = [numeric_values(table, j) for j in range(table.shape[1])]
    values = np.column_stack(columns).astype(float)
    return values if np.isfinite(values).all() else None


def _ends(predictor: Predictor, features: Sequence[Feature]) -> Array:
    """Smallest and largest value of a predictor of the shown features, between their ends."""
    ends, first = np.repeat(predictor.intercept, 2), 0
    for feature in features:
        products = feature.ends @ predictor.slopes[first : first + feature.ends.shape[1]]
        ends += [products.min(), products.max()]
        first += feature.ends.shape[1]
    return ends


def _is_gate(estimator: Any, predictor: Predictor, rows: Rows) -> bool:
    """Whether the gate is a softmax of the features."""
    if predictor.slopes.shape[1] != rows.values.shape[1]:
        return False
    logits = keep_top_k(log_softmax(predictor.at(rows.values)), gate_object(estimator.gate).top_k)
    return _agrees(np.exp(log_softmax(logits)).T, estimator.predict_gate(rows.table))


def _predictor(estimator: Any, k: int, index: int) -> Predictor:
    """The predictor of an expert: of an output, or of all classes."""
    slopes = np.asarray(estimator.expert_coef_[k], dtype=float)
    intercept = np.nan_to_num(np.asarray(estimator.expert_intercept_[k], dtype=float))
    if not is_classifier(estimator):
        return Predictor(np.atleast_2d(slopes)[index], np.atleast_1d(intercept)[index])
    if slopes.ndim == 1:  # log odds of the second of two classes
        return Predictor(np.stack([0.0 * slopes, slopes]), np.stack([0.0 * intercept, intercept]))
    return Predictor(slopes, intercept)


def _agrees(computed: Array, wanted: Array) -> bool:
    largest = np.abs(wanted).max(initial=0.0)
    return bool(np.abs(computed - wanted).max(initial=0.0) <= FORMULA_RTOL * (largest or 1.0))


# --- distributions ----------------------------------------------------------------------------


class Expert(NamedTuple):
    """An output of an expert."""

    estimator: Any
    k: int
    output: int

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


def _tabulate(
    expert: Expert, predictor: Predictor, rows: Rows, ends: Array, tail: float
) -> dict[str, Any] | None:
    """The distribution of an expert as a table over its predictor, between two ends and beyond.

    None if it depends on more than the predictor.
    """
    center = rows.values.mean(axis=0)

    def at(levels: Array) -> Any:
        values = predictor.rows(levels, center)
        return make_grid(rows.table, range(values.shape[1]), values)

    given = expert.component(rows.table)
    if given and any(np.isinf(values).all() for values in given[0].atoms(*given[1])):
        return {"never": True}
    nearest = expert.component(at(predictor.at(rows.values)))
    if given is None or nearest is None or not all(map(_agrees, nearest[1], given[1])):
        return None
    form = _form_of(given[0], given[1], tail)
    if form is None:
        return None
    low, high = ends + 0.5 * (ends[1] - ends[0]) * np.array([-1.0, 1.0])
    if low == high:
        return form.as_lists(low, 1.0, form.table(expert, at(ends[:1])))
    for n_rows in N_TABLE_ROWS:
        fine = form.table(expert, at(np.linspace(low, high, 2 * n_rows - 1)))
        if not np.isfinite(fine).all():
            return None
        table, between = fine[::2], fine[1::2]
        if form.error(_midpoints(table), between) < TABLE_TOL:
            break
    if not form.units(table).all():  # quantiles that round to a bound
        return None
    return form.as_lists(low, (high - low) / (n_rows - 1), table)


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

    def units(self, table: Array) -> Array:
        """What makes a normal score of one; a part of a score where tables are small."""
        if self.values:
            return np.full(table.shape, 0.01)
        gaps = np.gradient(table[:, 1:], SCORE_STEP, axis=1)
        return np.column_stack([np.median(gaps, axis=1), gaps])

    def error(self, found: Array, wanted: Array) -> float:
        """Largest difference of rows of tables, in these units; not a number if one is zero."""
        n_beyond = 0 if self.values else round(SCORES_BEYOND / SCORE_STEP)
        checked = [0, *range(1 + n_beyond, wanted.shape[1] - n_beyond)]
        with np.errstate(divide="ignore", invalid="ignore"):
            differences = np.abs(found - wanted) / self.units(wanted)
        return float(np.max(differences[:, checked]))

    def as_lists(self, start: float, step: float, table: Array) -> dict[str, Any]:
        """The table, in short numbers, with what its reader needs."""
        digits = max(6 - int(np.floor(np.log10(np.min(self.units(table))))), 0)
        return {
            "start": float(start),
            "step": float(step),
            "table": np.round(table, digits).tolist(),
            "near_rows": N_NEAR_ROWS,
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
    above = ndtr(-scores)
    low = np.full((len(parameters[0]), len(scores)), LEAST_LOG)
    largest = functions.upper_quantile(above[-1], *parameters)
    high = np.broadcast_to(np.log(10.0 + 3.0 * largest), low.shape)
    for _ in range(N_BISECTIONS):
        middle = 0.5 * (low + high)
        is_below = functions.continued.sf(np.expm1(middle), *parameters) > above
        low, high = np.where(is_below, middle, low), np.where(is_below, high, middle)
    return 0.5 * (low + high)


def _midpoints(table: Array) -> Array:
    """What the page computes half-way between the rows: polynomials of the nearest rows."""
    n_near = min(len(table), N_NEAR_ROWS)
    near = np.arange(n_near)
    found = []
    for i in range(len(table) - 1):
        first = min(max(i + 1 - n_near // 2, 0), len(table) - n_near)
        t = i + 0.5 - first
        weights = [np.prod([(t - b) / (a - b) for b in near if b != a]) for a in near]
        found.append(weights @ table[first : first + n_near])
    return np.stack(found)
