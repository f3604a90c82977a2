"""The table that the user has, whose columns are moved in the panel, and its way to the mixture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from skmoe._data.rows import index_rows
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

# A feature with up to this number of different values is a choice between them.
MAX_CHOICES = 6

# Most categories that are offered, the most frequent ones.
MAX_CATEGORIES_OFFERED = 60

# Values at which the effects of all features are compared.
N_PROBES = 5


class Feature(NamedTuple):
    """A column that varies: a range of numbers, or a choice between numbers or categories.

    The code of a number is the number, and that of a category the index of a row that has it.
    """

    column: int
    label: str
    values: Array  # numbers, or names of categories; ends of the range if it is no choice
    codes: Array  # of the values
    is_choice: bool
    is_category: bool
    is_integer: bool

    @property
    def ends(self) -> Array:
        """Rows of `encoded` between which, and beyond which, there is no value of the feature."""
        return self.encoded(self.codes if self.is_category else self.codes[[0, -1]])

    def encoded(self, codes: Array) -> Array:
        """Columns (n, d) of numbers: the number itself, or an indicator of each category."""
        is_equal = codes[:, None] == self.codes
        return is_equal.astype(float) if self.is_category else codes[:, None]

    def grid(self, start: float, n_points: int) -> Array:
        """Codes at which the feature is evaluated: choices, or points of its range and the start.

        Those of integers are integers.
        """
        if self.is_choice:
            return self.codes
        grid = np.append(np.linspace(self.codes[0], self.codes[-1], n_points), start)
        return np.unique((np.round(grid) if self.is_integer else grid)[np.isfinite(grid)])


class Inputs(NamedTuple):
    """Rows of the user, a starting row, and the steps of a pipeline before the mixture."""

    mixture: Any
    steps: Sequence[Any]
    X: Any
    labels: Sequence[str]  # of the columns
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
            row = index_rows(self.X, np.array([int(code)]))
            return values_of(row, feature.column)[0]
        return float(code) if np.isfinite(code) else None

    def has_range(self, feature: Feature) -> bool:
        """Whether numbers beyond the range of a feature are outside of the ranges of the fit."""
        low, high = feature.codes
        beyond = self.rows(self.along(feature, np.array([2.0 * low - high, 2.0 * high - low])))
        try:
            return bool(self.mixture.is_outside_range(beyond).all())
        except ValueError:  # the ranges are not known
            return False

    def varying_features(self) -> list[Feature]:
        """The features that vary in the rows."""
        found = [describe_feature(self.X, j, label) for j, label in enumerate(self.labels)]
        return [feature for feature in found if feature is not None]

    def strongest(
        self, features: Sequence[Feature], max_features: int, predict: Callable[..., Any]
    ) -> list[Feature]:
        """The features that move the prediction, or the gate, most on the way through the start.

        `predict` is a function of mixture and rows. Columns that the steps leave out move nothing.
        """
        if not self.steps and len(features) <= max_features:
            return list(features)
        effects = np.zeros((2, len(features)))
        for i, feature in enumerate(features):
            codes = np.append(self.start[feature.column], self._probes(feature))
            rows = self.rows(self.along(feature, codes))
            for kind, found in enumerate(
                (predict(self.mixture, rows)[1], self.mixture.predict_gate(rows))
            ):
                effects[kind, i] = np.abs(found[1:] - found[0]).max()
        largest = effects.max(axis=1, keepdims=True)
        relative = (effects / np.where(largest > 0.0, largest, 1.0)).max(axis=0)
        shown = np.sort(np.argsort(-relative, kind="stable")[:max_features])
        return [features[i] for i in shown if relative[i] > 0.0]

    def _probes(self, feature: Feature) -> Array:
        if feature.is_choice:
            return feature.codes
        values = numeric_values(self.X, feature.column)
        return np.nanquantile(values, np.linspace(0.05, 0.95, N_PROBES))


def make_inputs(estimator: Any, X: Any, row: int | None, names: Sequence[str] | None) -> Inputs:
    """The table that the first step takes; what the steps make of it if it is no table.

    A table has columns of numbers or categories, and texts are none. `names` are those of its
    columns, if they are known.
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
    return Inputs(mixture, steps, table, names, starting_codes(table, row))


def starting_codes(X: Any, row: int | None) -> Array:
    """Codes (p,) of a row of X, or of medians and most frequent categories.

    The median of integers is one of them.
    """
    codes = np.empty(X.shape[1])
    for j in range(X.shape[1]):
        if row is not None:
            codes[j] = numeric_values(X, j)[row] if is_numeric(X, j) else row
        else:
            feature, code = describe_feature(X, j, ""), reference_value(X, j)
            codes[j] = np.floor(code) if feature is not None and feature.is_integer else code
    return codes


def describe_feature(X: Any, j: int, label: str) -> Feature | None:
    """A feature of the rows X; None if it does not vary."""
    levels = levels_of(X, j)
    if len(levels.values) < 2:
        return None
    if not is_numeric(X, j):
        offered = levels.most_frequent(MAX_CATEGORIES_OFFERED)
        names = np.array(offered.values, dtype=object)
        return Feature(j, label, names, offered.rows.astype(float), True, True, False)
    numbers = np.array(levels.values)
    is_choice = len(numbers) <= MAX_CHOICES
    ends = numbers if is_choice else numbers[[0, -1]]
    is_integer = bool((numbers == np.round(numbers)).all())
    return Feature(j, label, ends, ends, is_choice, False, is_integer)
