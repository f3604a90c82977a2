"""Fitting scikit-learn estimators with weights and asking them about rows, whatever their kind."""

from __future__ import annotations

from inspect import signature
from typing import Any

import numpy as np
from sklearn import config_context
from sklearn.base import clone, is_classifier
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import Pipeline

from skmoe._numerics.typing import TINY, Array
from skmoe.distributions import NormalComponents

# Least probability of a class: one wrong row must not count without limit.
MIN_CLASS_PROBABILITY = 1e-3


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


def has_density(estimator: Any) -> bool:
    """Whether an estimator has a log density of y, as a mixture of experts has."""
    method = getattr(final_estimator(estimator), "score_samples", None)
    return method is not None and "y" in signature(method).parameters


def final_estimator(estimator: Any) -> Any:
    return estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator


def _transform_before_final(model: Any, X: Any) -> Any:
    """Rows as the last step of a pipeline sees them."""
    return model[:-1].transform(X) if isinstance(model, Pipeline) and len(model) > 1 else X


def has_predict_dist(estimator: Any) -> bool:
    """Whether a regressor predicts mixtures of normals, as a mixture of experts does."""
    return hasattr(final_estimator(estimator), "predict_dist")


def predict_expert(model: Any, X: Any, classes: Array | None) -> Array:
    """Means (m, n), or class probabilities (C, n) in the order of `classes`."""
    if classes is None:
        said = np.asarray(model.predict(X), dtype=float)
        return said.reshape(len(said), -1).T
    probs = np.zeros((len(classes), X.shape[0]))
    # A model that missed a class in its rows gives it no probability.
    probs[np.searchsorted(classes, model.classes_)] = model.predict_proba(X).T
    if len(model.classes_) == len(classes) and has_density(model):
        return np.maximum(probs, TINY)  # a mixture keeps its probabilities sensible itself
    return _floor_probabilities(probs)


def predict_oob(model: Any, classes: Array | None) -> Array:
    """What an ensemble says of its own rows, out of bag."""
    if classes is None:
        said = np.asarray(model.oob_prediction_, dtype=float)
        return said.reshape(len(said), -1).T
    votes = np.asarray(model.oob_decision_function_)
    probs = np.zeros((len(classes), len(votes)))
    probs[np.searchsorted(classes, model.classes_)] = votes.T
    return _floor_probabilities(probs)


def _floor_probabilities(probs: Array) -> Array:
    return (1.0 - len(probs) * MIN_CLASS_PROBABILITY) * probs + MIN_CLASS_PROBABILITY


def predict_log_density(model: Any, X: Any, y: Array) -> Array:
    """Log density of y (m, n) under a model that has one, (n,)."""
    X = _transform_before_final(model, X)
    return np.asarray(final_estimator(model).score_samples(X, y.T if len(y) > 1 else y[0]))


def predict_normal_components(model: Any, X: Any) -> NormalComponents:
    """The mixtures of normals that a mixture of experts predicts."""
    dist = final_estimator(model).predict_dist(_transform_before_final(model, X))
    weight, mean, std = dist.weights, dist.means, dist.stds
    mean, std = (values.reshape(*weight.shape, -1) for values in (mean, std))
    return NormalComponents(weight.T, mean.transpose(1, 2, 0), std.transpose(1, 2, 0))


def count_parameters(model: Any) -> float:
    """Free parameters of a fitted model; NaN where they cannot be counted."""
    model = final_estimator(model)
    if hasattr(model, "get_n_leaves"):
        return float(model.get_n_leaves() * model.tree_.value[0].size)
    if hasattr(model, "n_parameters_"):  # a mixture of experts
        return float(model.n_parameters_)
    if hasattr(model, "coef_") and hasattr(model, "intercept_"):
        return float(np.size(model.coef_) + np.size(model.intercept_))
    return float("nan")
