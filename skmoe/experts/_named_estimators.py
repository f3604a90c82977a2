"""Estimators for the names of experts that are not parametric families."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skmoe._data.encoding import MAX_CATEGORIES, category_column, numeric_column
from skmoe._data.steps import WeightedImputer, WeightedPipeline
from skmoe._numerics.typing import Array

# Estimators by name and type of the mixture.
NAMED_ESTIMATORS = {
    "linear": {"regressor": Ridge(), "classifier": LogisticRegression()},
    "tree": {
        "regressor": DecisionTreeRegressor(min_samples_leaf=2),
        "classifier": DecisionTreeClassifier(min_samples_leaf=10),
    },
}


def as_floats(X: Any) -> Array:
    """Numeric columns as an array, with NaN for missing values of any kind."""
    return np.column_stack([numeric_column(X, j) for j in range(X.shape[1])])


def as_categories(X: Any) -> Array:
    """Columns of categories as an array of objects, with None for missing values of any kind."""
    return np.column_stack([category_column(X, j) for j in range(X.shape[1])])


def named_pipeline(name: str, task: str, alpha: float, X: Any, categories: list[int]) -> Any:
    """A named estimator after one-hot encoding and, for linear models, imputation and scaling.

    `categories` are the indices of the categorical columns of the features X.
    """
    estimator = clone(NAMED_ESTIMATORS[name][task])
    steps = []
    if categories:
        numeric = [j for j in range(X.shape[1]) if j not in categories]
        one_hot = OneHotEncoder(
            handle_unknown="infrequent_if_exist", max_categories=MAX_CATEGORIES, sparse_output=False
        )
        encoder = make_pipeline(FunctionTransformer(as_categories), one_hot)
        numbers = FunctionTransformer(as_floats)
        parts = [("categories", encoder, categories), ("numbers", numbers, numeric)]
        steps.append(ColumnTransformer(parts))
    if name == "linear":
        steps += [WeightedImputer(add_indicator=True), StandardScaler(with_mean=False)]
        if task == "regressor":
            estimator.set_params(alpha=alpha)
        else:
            estimator.set_params(C=1.0 / max(alpha, 1e-12), max_iter=1000)
    return WeightedPipeline(make_pipeline(*steps, estimator).steps) if steps else estimator
