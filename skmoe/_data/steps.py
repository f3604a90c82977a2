"""Steps of pipelines: polynomials of a time, and steps that take weights or units."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from skmoe._data.checks import check_integer
from skmoe._data.encoding import column_of, encode, first_text, holds_numbers, make_encoder
from skmoe._data.rows import RowRules, checked_features
from skmoe._numerics.typing import Array

# Times are counted from one of them if all are farther from zero than this multiple of their range:
# powers of calendar years are collinear.
FAR_FROM_ZERO = 2.0


class TimePolynomial(TransformerMixin, BaseEstimator):
    """Powers of one column, the time, and of what of it is beyond knots (truncated powers).

    The first column is the time itself. Beyond the first and last time the polynomials go on.
    """

    origin_: float
    knots_: Array  # without the first and the last time

    def __init__(self, degree: int = 3, n_knots: int = 2, origin: float | None = None) -> None:
        self.degree = degree
        self.n_knots = n_knots
        self.origin = origin  # the time that is 0 in the columns; None: see `_origin_of`

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the knots, at equal distances, and the origin."""
        check_integer("degree", self.degree, least=1)
        check_integer("n_knots", self.n_knots, least=2)
        times = np.unique(self._validate(X, reset=True))
        n_columns = self.degree + self.n_knots - 2
        if len(times) <= n_columns:
            raise ValueError(
                "degree + n_knots - 1, the number of coefficients of a course, must not exceed the "
                f"number of different times, {len(times)}; got degree={self.degree}, "
                f"n_knots={self.n_knots}. Use a lower degree, such as degree=1 for straight lines."
            )
        self.knots_ = np.linspace(times[0], times[-1], self.n_knots)[1:-1]
        self.origin_ = _origin_of(times) if self.origin is None else float(self.origin)
        return self

    def transform(self, X: Any) -> Array:
        """The columns (n, degree + n_knots - 2) of times (n, 1)."""
        time = self._validate(X, reset=False)
        powers = np.power(time - self.origin_, np.arange(1, self.degree + 1))
        return np.hstack([powers, np.maximum(time - self.knots_, 0.0) ** self.degree])

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """Names such as "year", "year^2" and "max(year - 4, 0)^2"."""
        given = getattr(self, "feature_names_in_", ["x0"])
        (name,) = given if input_features is None else input_features
        time = f"({_difference(name, self.origin_)})" if self.origin_ else str(name)
        power = "" if self.degree == 1 else f"^{self.degree}"
        names = [time, *(f"{time}^{p}" for p in range(2, self.degree + 1))]
        names += [f"max({_difference(name, knot)}, 0){power}" for knot in self.knots_]
        return np.array(names, dtype=object)

    def _validate(self, X: Any, *, reset: bool) -> Array:
        """The times (n, 1) as numbers."""
        rules = RowRules(self, of_classes=False, n_experts=1, is_first=reset)
        return np.asarray(checked_features(X, rules), dtype=np.float64)


def _difference(name: str, time: float) -> str:
    """A time less another one, in words."""
    return f"{name} {'-' if time >= 0 else '+'} {abs(time):.6g}"


def _origin_of(times: Array) -> float:
    """Zero, or a round number before the first of the times if these are far from zero."""
    first, length = float(times[0]), float(times[-1] - times[0])
    if min(abs(first), abs(float(times[-1]))) <= FAR_FROM_ZERO * length or first * times[-1] < 0:
        return 0.0
    step = 10.0 ** np.floor(np.log10(length))
    return float(np.floor(first / step) * step)


def categorical_columns(X: Any) -> list[int]:
    """Indices of the columns that hold categories, of a data frame or an array."""
    if hasattr(X, "columns"):
        return [j for j in range(X.shape[1]) if not holds_numbers(column_of(X, j))]
    values = np.asarray(X)
    is_text = values.dtype.kind in "OUS"
    return [j for j in range(X.shape[1]) if is_text and first_text(values[:, j]) is not None]


class NumericColumns(TransformerMixin, BaseEstimator):
    """Categories as indicators, and missing numbers as medians with an indicator."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.categorical = True
        return tags

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Find the medians, and the levels of categories."""
        weight = np.ones(X.shape[0]) if sample_weight is None else sample_weight
        self.encoder_ = make_encoder(X, weight, True)
        return self

    def transform(self, X: Any) -> Array:
        """Numbers (n_samples, n_columns)."""
        return encode(self.encoder_, X)


class WeightedPipeline(Pipeline):
    """A pipeline whose steps before the last one use its weights, and groups, as well."""

    def fit(self, X: Any, y: Any = None, **params: Any) -> WeightedPipeline:
        """Fit the steps; of those before the last one those that take weights get them."""
        *before, (last, _) = self.steps
        for argument in ("sample_weight", "groups"):
            values = params.get(f"{last}__{argument}")
            if values is not None:
                taking = [name for name, step in before if has_fit_parameter(step, argument)]
                params |= {f"{name}__{argument}": values for name in taking}
        return super().fit(X, y, **params)


class UnitPipeline(Pipeline):
    """A pipeline that ends in a mixture of units, whose labels its `fit` takes and needs."""

    def fit(self, X: Any, y: Any = None, *, units: Any = None, **params: Any) -> UnitPipeline:
        """Fit the steps, the last one with the units, which may be given as `mixture__units`."""
        last, estimator = self.steps[-1]
        if not hasattr(estimator, "predict"):  # the steps before the mixture, by `pipeline[:-1]`
            return super().fit(X, y, **params)
        of_last = f"{last}__units"
        units = params.pop(of_last, units)
        self.check_units(units)
        name = "units" if get_config()["enable_metadata_routing"] else of_last
        return super().fit(X, y, **params, **{name: units})

    def check_units(self, units: Any) -> None:
        """Units must be given."""
        if units is None:
            raise ValueError(
                "units must be the labels of the persons, or other units, of the rows, since all "
                'rows of a unit follow one course; got None. Pass units=table["person"], or in a '
                f'search {self.steps[-1][0]}__units=table["person"]. If each row is a unit of its '
                "own, use MixtureOfExpertsRegressor."
            )
