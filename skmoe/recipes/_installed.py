"""Models of other packages, which join the strong recipes by `members="installed"`."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone

from skmoe._data.checks import check_choice
from skmoe._numerics.typing import Array


class Package(NamedTuple):
    """A package with a regressor and a classifier of one kind."""

    name: str
    regressor: str
    classifier: str
    params: dict[str, Any]


# Licences: LightGBM MIT, CatBoost and XGBoost Apache 2.0, TabICL BSD-3. TabPFN is Apache 2.0, but
# the weights of its newer models, which it loads by default, are for non-commercial use.
OPTIONAL_PACKAGES = (
    Package("lightgbm", "LGBMRegressor", "LGBMClassifier", {"verbose": -1}),
    Package(
        "catboost",
        "CatBoostRegressor",
        "CatBoostClassifier",
        {"verbose": False, "allow_writing_files": False},
    ),
    Package("xgboost", "XGBRegressor", "XGBClassifier", {}),
    Package("tabicl", "TabICLRegressor", "TabICLClassifier", {}),
    Package("tabpfn", "TabPFNRegressor", "TabPFNClassifier", {"ignore_pretraining_limits": True}),
)


def models_of(members: str, task: str) -> dict[str, Any]:
    """Models of a task, "regressor" or "classifier", of the installed packages by their names.

    None of them is imported for members="default".
    """
    check_choice("members", members, ["default", "installed"])
    found = [p for p in OPTIONAL_PACKAGES if members == "installed" and find_spec(p.name)]
    models = {p.name: getattr(import_module(p.name), getattr(p, task))(**p.params) for p in found}
    if task == "classifier" and "xgboost" in models:
        models["xgboost"] = NumberedClasses(models["xgboost"])
    return models


class NumberedClasses(ClassifierMixin, BaseEstimator):
    """A classifier that takes the numbers 0 to C - 1 only, for any labels."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit to the numbers of the labels."""
        self.classes_, codes = np.unique(y, return_inverse=True)
        self.estimator_ = clone(self.estimator).fit(X, codes, sample_weight=sample_weight)
        return self

    def predict_proba(self, X: Any) -> Array:
        """Class probabilities, (n, C)."""
        probabilities: Array = self.estimator_.predict_proba(X)
        return probabilities

    def predict(self, X: Any) -> Array:
        """The most probable labels, (n,)."""
        labels: Array = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return labels
