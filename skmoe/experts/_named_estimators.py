"""Estimators for the names of experts that are not parametric families."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils.validation import has_fit_parameter

from skmoe._data.encoding import MAX_CATEGORIES, category_column, numeric_column
from skmoe._numerics.typing import Array

# Estimators by name and type of the mixture.
NAMED_ESTIMATORS = {
    "linear": {"regressor": Ridge(), "classifier": LogisticRegression()},
    "tree": {
        "regressor": DecisionTreeRegressor(min_samples_leaf=2),
        "classifier": DecisionTreeClassifier(min_samples_leaf=10),
    },
}


class WeightedImputer(SimpleImputer):
    """Imputation by the weighted mean of the values of a column that are not missing."""

    statistics_: Any

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> WeightedImputer:
        """Find the means; sparse features have no missing values."""
        super().fit(X, y)
        if sample_weight is not None and not sparse.issparse(X):
            values = np.ma.masked_invalid(np.asarray(X, dtype=float))
            average: Any = np.ma.average(values, axis=0, weights=sample_weight)
            means = average.filled(np.nan)
            self.statistics_ = np.where(np.isnan(means), self.statistics_, means)
        return self


class WeightedPipeline(Pipeline):
    """A pipeline whose steps before the last one use the weights of the last one as well."""

    def fit(self, X: Any, y: Any = None, **params: Any) -> WeightedPipeline:
        """Fit the steps; of those before the last one those that take weights get them."""
        *before, (last, _) = self.steps
        weight = params.get(f"{last}__sample_weight")
        if weight is not None:
            taking = [name for name, step in before if has_fit_parameter(step, "sample_weight")]
            params |= {f"{name}__sample_weight": weight for name in taking}
        return super().fit(X, y, **params)


def as_floats(X: Any) -> Array:
    """Numeric columns as an array, with NaN for missing values of any kind."""
    return np.column_stack([numeric_column(X, j) for j in range(X.shape[1])])


def as_categories(X: Any) -> Array:
    """Columns of categories as an array of objects, with None for missing values of any kind."""
    return np.column_stack([category_column(X, j) for j in range(X.shape[1])])


def resolve_estimators(
    experts: list[Any], task: str, alpha: float, X: Any, categories: list[int]
) -> tuple[Any, ...]:
    """Estimators, with names replaced by pipelines for the features X.

    `categories` are the indices of the categorical columns.
    """
    return tuple(
        _make_pipeline(expert, task, alpha, X, categories) if isinstance(expert, str) else expert
        for expert in experts
    )


def _make_pipeline(name: str, task: str, alpha: float, X: Any, categories: list[int]) -> Any:
    """A named estimator after one-hot encoding and, for linear models, imputation and scaling."""
    estimator = clone(NAMED_ESTIMATORS[name][task])
    steps = []
    if categories:
        numeric = [j for j in range(X.shape[1]) if j not in categories]
        one_hot = OneHotEncoder(
            handle_unknown="infrequent_if_exist",
            max_categories=MAX_CATEGORIES,
            sparse_output=False,
        )
        steps.append(
            ColumnTransformer(
                [
                    (
                        "categories",
                        make_pipeline(FunctionTransformer(as_categories), one_hot),
                        categories,
                    ),
                    ("numbers", FunctionTransformer(as_floats), numeric),
                ]
            )
        )
    if name == "linear":
        steps += [WeightedImputer(add_indicator=True), StandardScaler(with_mean=False)]
        if task == "regressor":
            estimator.set_params(alpha=alpha)
        else:
            estimator.set_params(C=1.0 / max(alpha, 1e-12), max_iter=1000)
    return WeightedPipeline(make_pipeline(*steps, estimator).steps) if steps else estimator
