"""Estimators for the names of experts that are not parametric families."""

from __future__ import annotations

from typing import Any

from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skmoe._data.steps import NumericColumns, WeightedPipeline

# Estimators by name and type of the mixture.
NAMED_ESTIMATORS = {
    "linear": {"regressor": Ridge(), "classifier": LogisticRegression()},
    "tree": {
        "regressor": DecisionTreeRegressor(min_samples_leaf=2),
        "classifier": DecisionTreeClassifier(min_samples_leaf=10),
    },
}


def named_pipeline(name: str, task: str, alpha: float, X: Any, has_categories: bool) -> Any:
    """A named estimator after the encoding of categories and, for linear models, of missing values.

    The features of linear models are scaled as well.
    """
    estimator, steps = clone(NAMED_ESTIMATORS[name][task]), []
    if has_categories or (name == "linear" and not sparse.issparse(X)):
        steps.append(NumericColumns())
    if name == "linear":
        steps.append(StandardScaler(with_mean=False))
        of_task = {"C": 1.0 / max(alpha, 1e-12), "max_iter": 1000}
        estimator.set_params(**({"alpha": alpha} if task == "regressor" else of_task))
    return WeightedPipeline(make_pipeline(*steps, estimator).steps) if steps else estimator
