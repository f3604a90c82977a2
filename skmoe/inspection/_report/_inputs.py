"""What a report is about, and the table of the user, whose columns are moved in the panel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.base import is_classifier

from skmoe._data.rows import Rows
from skmoe._data.sklearn_adapter import transform_by
from skmoe._estimators.methods.input_steps import find_steps
from skmoe._inference.labels import feature_labels, printable_name
from skmoe._numerics.typing import Array
from skmoe.inspection._grid import (
    is_numeric,
    levels_of,
    make_grid,
    numeric_values,
    reference_value,
    values_of,
)
from skmoe.inspection._series import gate_of_features, given_features
from skmoe.inspection._subject import one_target, predicted_mean, predicted_survival

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
            times = np.array([self.horizon])
            gate = gate_of_features(mixture, rows)
            of_rows = times, output, self._offset(rows), gate
            experts, whole = predicted_survival(mixture, rows, *of_rows)
            return experts[..., 0], whole[:, 0]
        experts = mixture.predict_experts(rows)
        if is_classifier(mixture):
            return experts, mixture.predict_proba(rows, **given_features(mixture, rows))
        return one_target(experts, output, 2), predicted_mean(mixture, rows, output)

    def distribution(self, rows: Any, **given: Any) -> Any:
        """Predictive distributions for an offset of zero; None for experts without any."""
        if "gate_proba" not in given:
            given |= given_features(self.mixture, rows)
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
        is_equal = codes[:, None] == self.codes
        return is_equal.astype(float) if self.is_category else codes[:, None]

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
        return transform_by(self.steps, make_grid(self.X, range(codes.shape[1]), codes))

    def along(self, feature: Feature, codes: Array) -> Array:
        """Codes (n, p) of rows that are the starting row but for one feature."""
        rows = np.tile(self.start, (len(codes), 1))
        rows[:, feature.column] = codes
        return rows

    def value_at_start(self, feature: Feature) -> float | str | None:
        """Value of a feature in the starting row; None if it is missing."""
        code = self.start[feature.column]
        if feature.is_category:
            return values_of(self.X, feature.column)[int(code)]
        return float(code) if np.isfinite(code) else None

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
                values = numeric_values(self.X, feature.column)
                probes = np.nanquantile(values, np.linspace(0.05, 0.95, N_PROBES))
            codes = np.append(self.start[feature.column], probes)
            rows = self.rows(self.along(feature, codes))
            found = report.predict(rows)[1], gate_of_features(report.mixture, rows)
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
        own = getattr(table, "columns", None)
        names = [printable_name(name) for name in feature_labels(own, table.shape[1])]
    features = [describe_feature(table, j, label) for j, label in enumerate(names)]
    start = np.array([_start(table, j, each, row) for j, each in enumerate(features)])
    varying = [feature for feature in features if feature is not None]
    return Inputs(mixture, steps, table, names, varying, start)


def _start(X: Any, j: int, feature: Feature | None, row: int | None) -> float:
    """Code of a column in the starting row; the median of integers is one of them."""
    if row is not None:
        return float(numeric_values(X, j)[row]) if is_numeric(X, j) else float(row)
    code = reference_value(X, j)
    return float(np.floor(code)) if feature is not None and feature.is_integer else code


def describe_feature(X: Any, j: int, label: str) -> Feature | None:
    """A feature of the rows X; None if it does not vary."""
    levels = levels_of(X, j)
    if len(levels.values) < 2:
        return None
    if not is_numeric(X, j):
        offered = levels.most_frequent(MAX_CATEGORIES_OFFERED)
        return Feature(j, label, offered.rows.astype(float), offered.values, True, False)
    numbers = np.array(levels.values)
    is_integer = bool((numbers == np.round(numbers)).all())
    if len(numbers) <= MAX_CHOICES:
        return Feature(j, label, numbers, levels.values, False, is_integer)
    return Feature(j, label, numbers[[0, -1]], None, False, is_integer)
