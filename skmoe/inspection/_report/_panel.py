"""What the panel needs: the table of the user, and formulas or predictions on slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.optimize.elementwise import find_root
from scipy.special import ndtr, ndtri
from sklearn.base import is_classifier

from skmoe._data.rows import Rows, feature_labels
from skmoe._data.sklearn_adapter import transform_by
from skmoe._estimators.methods.input_steps import find_steps
from skmoe._inference import labels
from skmoe._numerics.probability import weighted_quantiles
from skmoe._numerics.typing import Array
from skmoe.inspection import _subject as subject
from skmoe.inspection._style import colour

# A feature with up to this number of different values is a choice between them.
MAX_CHOICES = 6

# Most categories that are offered, the most frequent ones.
MAX_CATEGORIES_OFFERED = 60

# Values at which the effects of all features are compared.
N_PROBES = 5


class Report(NamedTuple):
    """A mixture, its rows, and how both are described."""

    mixture: Any
    rows: Rows  # of positive weight
    target: str  # name of y
    outputs: Sequence[int] = (0,)  # the index of the output, or those of the classes
    coverage: float = 0.9
    horizon: float | None = None  # of the probabilities of no event; None for values of y
    max_features: int = 12
    held_out: Rows | None = None

    def predict(self, rows: Any) -> tuple[Array, Array]:
        """Predictions of the experts (n, K, ...) and of the mixture (n, ...).

        They are means, probabilities of classes, or those of no event until the horizon.
        """
        mixture, output = self.mixture, self.outputs[0]
        if self.horizon is not None:
            times, offset = np.array([self.horizon]), self._offset(rows)
            of_rows = mixture, rows, times, output, offset, subject.gate_of_features(mixture, rows)
            experts, whole = subject.predicted_survival(*of_rows)
            return experts[..., 0], whole[:, 0]
        experts = mixture.predict_experts(rows)
        if is_classifier(mixture):
            return experts, mixture.predict_proba(rows, **subject.given_features(mixture, rows))
        return subject.one_target(experts, output, 2), subject.predicted_mean(mixture, rows, output)

    def distribution(self, rows: Any, **given: Any) -> Any:
        """Predictive distributions for an offset of zero; None for experts without any."""
        if "gate_proba" not in given:
            given |= subject.given_features(self.mixture, rows)
        try:
            return self.mixture.predict_dist(rows, offset=self._offset(rows), **given)
        except (AttributeError, ValueError):
            return None

    def _offset(self, rows: Any) -> Array | None:
        return None if self.rows.offset is None else np.zeros(rows.shape[0])


class Feature(NamedTuple):
    """A column that varies: a range of numbers, or a choice between numbers or categories.

    The code of a number is the number, and that of a category the index of a row that has it.
    """

    column: int
    label: str
    codes: Array  # of the choices; ends of the range without them
    choices: Sequence[Any] | None  # numbers, or names of categories
    is_category: bool
    is_integer: bool

    def encoded(self, codes: Array) -> Array:
        """Columns (n, d) of numbers: the number itself, or an indicator of each category."""
        return (codes[:, None] == self.codes).astype(float) if self.is_category else codes[:, None]

    def grid(self, start: float, n_points: int) -> Array:
        """Codes at which the feature is evaluated: choices, or points of its range and the start.

        Those of integers are integers.
        """
        if self.choices is not None:
            return self.codes
        grid = np.append(np.linspace(self.codes[0], self.codes[-1], n_points), start)
        return np.unique((np.round(grid) if self.is_integer else grid)[np.isfinite(grid)])


class Inputs(NamedTuple):
    """Rows of the user, a starting row, and the steps of a pipeline before the mixture."""

    mixture: Any
    steps: Sequence[Any]
    X: Any
    labels: Sequence[str]  # of the columns
    features: Sequence[Feature]  # that vary in the rows
    start: Array  # codes, (p,)

    def rows(self, codes: Array) -> Any:
        """Rows with given codes (n, p), as they reach the mixture."""
        return transform_by(self.steps, subject.make_grid(self.X, range(codes.shape[1]), codes))

    def along(self, feature: Feature, codes: Array) -> Array:
        """Codes (n, p) of rows that are the starting row but for one feature."""
        rows = np.tile(self.start, (len(codes), 1))
        rows[:, feature.column] = codes
        return rows

    def strongest(self, report: Report) -> list[Feature]:
        """The features that move the prediction, or the gate, most on the way through the start.

        Columns that the steps leave out move nothing.
        """
        if not self.steps and len(self.features) <= report.max_features:
            return list(self.features)
        effects = np.zeros((2, len(self.features)))
        for i, feature in enumerate(self.features):
            probes = feature.codes
            if feature.choices is None:
                values = subject.numeric_values(self.X, feature.column)
                probes = np.nanquantile(values, np.linspace(0.05, 0.95, N_PROBES))
            rows = self.rows(self.along(feature, np.append(self.start[feature.column], probes)))
            found = report.predict(rows)[1], subject.gate_of_features(report.mixture, rows)
            effects[:, i] = [np.abs(values[1:] - values[0]).max() for values in found]
        largest = effects.max(axis=1, keepdims=True, initial=0.0)
        relative = (effects / np.where(largest > 0.0, largest, 1.0)).max(axis=0)
        shown = np.sort(np.argsort(-relative, kind="stable")[: report.max_features])
        return [self.features[i] for i in shown if relative[i] > 0.0]


def make_inputs(estimator: Any, X: Any, row: int | None, names: Sequence[str] | None) -> Inputs:
    """The table that the first step takes; what the steps make of it if it is no table.

    A table has columns of numbers or categories, and texts are none. `names` are those of its
    columns, if they are known. It starts with a row, or with medians and most frequent categories.
    """
    steps, mixture = find_steps(estimator)
    table = X if hasattr(X, "columns") or sparse.issparse(X) else np.asarray(X)
    if not hasattr(X, "columns") and (table.ndim != 2 or table.dtype.kind not in "biuf"):
        table, steps = transform_by(steps, table), []
    if sparse.issparse(table):
        table = sparse.csc_array(table, dtype=float)
    elif not hasattr(table, "columns"):
        table = np.asarray(table, dtype=float)
    if names is None or len(names) != table.shape[1]:
        own = feature_labels(getattr(table, "columns", None), table.shape[1])
        names = list(map(labels.printable_name, own))
    features = [describe_feature(table, j, label) for j, label in enumerate(names)]
    start = np.array([_start(table, j, each, row) for j, each in enumerate(features)])
    varying = [feature for feature in features if feature is not None]
    return Inputs(mixture, steps, table, names, varying, start)


def _start(X: Any, j: int, feature: Feature | None, row: int | None) -> float:
    """Code of a column in the starting row; the median of integers is one of them."""
    if row is not None:
        return float(subject.numeric_values(X, j)[row]) if subject.is_numeric(X, j) else float(row)
    code = subject.reference_value(X, j)
    return float(np.floor(code)) if feature is not None and feature.is_integer else code


def describe_feature(X: Any, j: int, label: str) -> Feature | None:
    """A feature of the rows X; None if it does not vary."""
    levels = subject.levels_of(X, j)
    if len(levels.values) < 2:
        return None
    if not subject.is_numeric(X, j):
        offered = levels.most_frequent(MAX_CATEGORIES_OFFERED)
        return Feature(j, label, offered.rows.astype(float), offered.values, True, False)
    numbers = np.array(levels.values)
    is_integer = bool((numbers == np.round(numbers)).all())
    if len(numbers) <= MAX_CHOICES:
        return Feature(j, label, numbers, levels.values, False, is_integer)
    return Feature(j, label, numbers[[0, -1]], None, False, is_integer)


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
    gate = _linear_function(columns, _logits(subject.gate_of_features(estimator, table).T))
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
        of_mean = labels.coefficients_of_means(estimator)[:, report.outputs[0]]
        experts = _linear_function(columns, of_mean @ values.T)
        found = [
            _tabulate(Expert(report, k, of_mean[k], table, values), _ends(own, features))
            for k, own in enumerate(() if experts is None else experts)
        ]
    if experts is None or None in found:
        return None
    described = [_as_lists(own) | more for own, more in zip(experts, found, strict=True)]
    return {"gate": _as_lists(gate), "experts": described}


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
    if not all(subject.is_numeric(table, j) for j in range(table.shape[1])):
        return None
    columns = [subject.numeric_values(table, j) for j in range(table.shape[1])]
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
        return subject.make_grid(self.table, range(len(slopes)), values)

    def mean(self, table: Any) -> Array:
        """Its mean at rows."""
        means = self.report.mixture.predict_experts(table)
        return subject.one_target(means, self.report.outputs[0], 2)[:, self.k]

    def component(self, table: Any) -> Any:
        """Functions and parameters of its distribution at rows; None if it is no single one."""
        n_experts = self.report.mixture.n_experts_
        equal = np.full((table.shape[0], n_experts), 1.0 / n_experts)
        distribution = self.report.distribution(table, gate_proba=equal)
        if distribution is None:
            return None
        found = distribution.marginal(self.report.outputs[0]).as_components()
        blocks = [part.block() for part in getattr(found, "parts", (found,))]
        components = [
            (functions, [values[:, c, 0] for values in parameters])
            for functions, parameters in blocks
            for c in range(parameters[0].shape[1])
        ]
        return components[self.k] if len(components) == n_experts else None


@np.errstate(all="ignore")  # such as of infinite variances; tables that are not finite are none
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
    return np.asarray(find_root(excess, (LEAST_LOG, high), args=(above, *parameters)).x)


# Points of a slice, and of a curve of probabilities of no event.
N_SLICE_POINTS, N_CURVE_POINTS = 41, 121

# Values of y that are shown, from quantiles of the observed ones.
SHOWN_QUANTILES = (0.01, 0.99)


def make_panel(report: Report, inputs: Inputs, shown: Sequence[Feature]) -> dict[str, Any]:
    """Description of the panel for the features that are shown, which can be written as JSON."""
    estimator = report.mixture
    classes = [str(label) for label in estimator.classes_] if is_classifier(estimator) else None
    panel: dict[str, Any] = {
        "target": report.target,
        "experts": list(estimator.expert_names_),
        "classes": classes,
        "colours": [colour(k) for k in range(max(estimator.n_experts_, len(classes or ())))],
        "coverage": report.coverage,
        "horizon": report.horizon,
        "shown_range": None if classes else _shown_range(report),
        "features": [_controls(inputs, feature) for feature in shown],
        "n_features": len(inputs.labels),
        "formulas": find_formulas(report, inputs, shown),
        "slices": None,
    }
    panel["has_interval"] = classes is None
    if panel["formulas"] is None:
        rows = [inputs.start[None]]
        for feature in shown:
            grid = feature.grid(inputs.start[feature.column], N_SLICE_POINTS)
            rows.append(inputs.along(feature, grid))
        found = [_predictions(report, inputs.rows(codes), panel["shown_range"]) for codes in rows]
        panel["start"], *panel["slices"] = found
        panel["has_interval"] = "interval" in panel["start"]
    return panel


def _controls(inputs: Inputs, feature: Feature) -> dict[str, Any]:
    """A slider or choices of a feature."""
    code = float(inputs.start[feature.column])
    start: Any = code if np.isfinite(code) else None  # None if it is missing
    if feature.is_category:
        start = subject.values_of(inputs.X, feature.column)[int(code)]
    described: dict[str, Any] = {"label": feature.label, "start": start}
    if feature.choices is not None:
        return described | {"choices": feature.choices, "is_category": feature.is_category}
    low, high = (float(end) for end in feature.codes)
    grid = feature.grid(inputs.start[feature.column], N_SLICE_POINTS).tolist()
    return described | {"low": low, "high": high, "is_integer": feature.is_integer, "grid": grid}


def _shown_range(report: Report) -> list[float]:
    """Values of y for the axis of the density, or of the probabilities of no event."""
    rows = report.rows
    if report.horizon is not None:
        times = rows.y["lower"]
        return [min(float(times.min()), 0.0), float(times.max())]
    values, exposure = subject.observed_rates(report.mixture, rows, report.outputs[0])
    low, high = weighted_quantiles(values, exposure, np.array(SHOWN_QUANTILES))
    margin = 0.05 * (high - low) or abs(high) or 1.0
    return [float(max(low - margin, min(values.min(), 0.0))), float(high + margin)]


def _predictions(report: Report, rows: Any, limits: Sequence[float] | None) -> dict[str, Any]:
    """Predictions of a mixture that is no formula, as lists."""
    experts, mean = report.predict(rows)
    gate = subject.gate_of_features(report.mixture, rows)
    found = {"gate": gate, "experts": experts, "mean": mean}
    distribution = None if limits is None else report.distribution(rows)
    if distribution is not None:
        interval = distribution.interval(report.coverage)
        found["interval"] = subject.one_target(interval, report.outputs[0], 2)
    if distribution is not None and limits is not None and report.horizon is not None:
        curve = np.linspace(limits[0], limits[1], N_CURVE_POINTS)
        found |= {"median": distribution.median, "curve": curve}
        found["survival"] = distribution.sf(curve[None])
    return {name: _rounded(values) for name, values in found.items()}


def _rounded(values: Array) -> Any:
    """Lists of numbers with ten significant digits, which make the page smaller."""
    finite: Any = [float(f"{v:.10g}") if np.isfinite(v) else None for v in np.ravel(values)]
    return np.array(finite, dtype=object).reshape(np.shape(values)).tolist()
