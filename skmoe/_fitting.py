"""Fitting scikit-learn estimators with weights and asking them about rows, whatever their kind."""

from __future__ import annotations

from inspect import signature
from typing import Any

import numpy as np
from sklearn import config_context
from sklearn.base import clone, is_classifier
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import Pipeline

from skmoe._numerics import SMALLEST, Array
from skmoe.protocols import Normals

# Least probability of a class: one wrong row must not count without limit.
LEAST_PROBABILITY = 1e-3


def fit_estimator(
    estimator: Any, seed: int, X: Any, y: Array, weight: Array, metadata: dict[str, Any]
) -> Any:
    """A clone fitted with weights and metadata; where only one class is left, a constant one."""
    if is_classifier(estimator) and len(np.unique(y)) < 2:
        return DummyClassifier().fit(np.zeros((len(y), 1)), y)
    model = clone(estimator)
    seeds = {
        name: seed
        for name, value in model.get_params().items()
        if name.split("__")[-1] == "random_state" and value is None
    }
    if seeds:
        model.set_params(**seeds)
    if isinstance(model, Pipeline):
        # Weights go to the last step, as scikit-learn spells it without metadata routing.
        with config_context(enable_metadata_routing=False):
            return model.fit(X, y, **{f"{model.steps[-1][0]}__sample_weight": weight}, **metadata)
    return model.fit(X, y, sample_weight=weight, **metadata)


def says_density(estimator: Any) -> bool:
    """Whether an estimator has a log density of y, as a mixture of experts has."""
    method = getattr(_last(estimator), "score_samples", None)
    return method is not None and "y" in signature(method).parameters


def _last(estimator: Any) -> Any:
    return estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator


def _before_last(model: Any, X: Any) -> Any:
    """Rows as the last step of a pipeline sees them."""
    return model[:-1].transform(X) if isinstance(model, Pipeline) and len(model) > 1 else X


def says_normals(estimator: Any) -> bool:
    """Whether a regressor predicts mixtures of normals, as a mixture of experts does."""
    return hasattr(_last(estimator), "predict_dist")


def tell(model: Any, X: Any, classes: Array | None) -> Array:
    """Means (m, n), or class probabilities (C, n) in the order of `classes`."""
    if classes is None:
        said = np.asarray(model.predict(X), dtype=float)
        return said.reshape(len(said), -1).T
    probs = np.zeros((len(classes), X.shape[0]))
    # A model that missed a class in its rows gives it no probability.
    probs[np.searchsorted(classes, model.classes_)] = model.predict_proba(X).T
    if len(model.classes_) == len(classes) and says_density(model):
        return np.maximum(probs, SMALLEST)  # a mixture keeps its probabilities sensible itself
    return _least(probs)


def tell_out_of_bag(model: Any, classes: Array | None) -> Array:
    """What an ensemble says of its own rows, out of bag."""
    if classes is None:
        said = np.asarray(model.oob_prediction_, dtype=float)
        return said.reshape(len(said), -1).T
    votes = np.asarray(model.oob_decision_function_)
    probs = np.zeros((len(classes), len(votes)))
    probs[np.searchsorted(classes, model.classes_)] = votes.T
    return _least(probs)


def _least(probs: Array) -> Array:
    return (1.0 - len(probs) * LEAST_PROBABILITY) * probs + LEAST_PROBABILITY


def tell_density(model: Any, X: Any, y: Array) -> Array:
    """Log density of y (m, n) under a model that has one, (n,)."""
    X = _before_last(model, X)
    return np.asarray(_last(model).score_samples(X, y.T if len(y) > 1 else y[0]))


def tell_normals(model: Any, X: Any) -> Normals:
    """The mixtures of normals that a mixture of experts predicts."""
    dist = _last(model).predict_dist(_before_last(model, X))
    weight, mean, std = dist.weights, dist.means, dist.stds
    mean, std = (values.reshape(*weight.shape, -1) for values in (mean, std))
    return Normals(weight.T, mean.transpose(1, 2, 0), np.square(std).transpose(1, 2, 0))


def count_parameters(model: Any) -> float:
    """Free parameters of a fitted model; NaN where they cannot be counted."""
    model = _last(model)
    if hasattr(model, "get_n_leaves"):
        return float(model.get_n_leaves() * model.tree_.value[0].size)
    if hasattr(model, "_n_parameters"):  # a mixture
        return float(model._n_parameters())
    if hasattr(model, "coef_") and hasattr(model, "intercept_"):
        return float(np.size(model.coef_) + np.size(model.intercept_))
    return float("nan")
