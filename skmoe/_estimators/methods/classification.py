"""Predictions of classifications: classes, and their probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin

from skmoe._data.row_checks import class_weights
from skmoe._data.rows import Rows
from skmoe._estimators.methods.new_rows import NewRowsMixin, score_of_prediction, supports_dask
from skmoe._numerics.typing import TINY, Array


class MethodOfNumbers:
    """In the place of a method of regressors: an AttributeError that names the remedy."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        """Raise the error, so that `hasattr` is False."""
        raise AttributeError(
            f"{owner.__name__} has no {self.name}, since classes have no order. Use predict_proba, "
            "or for ordered classes MixtureOfExpertsRegressor(family='ordinal') with their numbers."
        )


class MixtureClassifierMixin(ClassifierMixin, NewRowsMixin):
    """Methods of classifications."""

    predict_dist = MethodOfNumbers()
    predict_interval = MethodOfNumbers()
    predict_quantile = MethodOfNumbers()

    class_weight: Any
    classes_: Array

    # Default of `alpha` without and with a base model.
    _default_alphas = 1.0, 10.0

    def _squeeze_outputs(self, values: Array) -> Array:
        """Values whose last axis is that of the classes, which stays."""
        return values

    @supports_dask
    def predict(self, X: Any, *, gate_proba: Any = None) -> Array:
        """Most probable class of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        gate_proba : array-like of shape (n_samples, n_experts), default=None
            Probabilities of the experts to use, such as `responsibilities(...).rows(units)` of
            units with a history; None for those of the gate.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Class labels.
        """
        probs = self.predict_proba(X, gate_proba=gate_proba)
        return self.classes_[np.argmax(probs, axis=1)]

    @supports_dask
    def predict_proba(self, X: Any, *, gate_proba: Any = None) -> Array:
        """Probability of each class: those of the experts, weighted by the gate.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        gate_proba : array-like of shape (n_samples, n_experts), default=None
            Probabilities of the experts to use, such as `responsibilities(...).rows(units)` of
            units with a history; None for those of the gate.

        Returns
        -------
        probs : ndarray of shape (n_samples, n_classes)
            Probabilities in the order of `classes_`.
        """
        X = self._checked(Rows(X)).X
        gate_prob = self._validate_gate_proba(gate_proba, X.shape[0])
        return self._fitted.predict(X, gate_prob=gate_prob).T

    @supports_dask
    def predict_log_proba(self, X: Any, *, gate_proba: Any = None) -> Array:
        """Log probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        gate_proba : array-like of shape (n_samples, n_experts), default=None
            Probabilities of the experts to use, such as `responsibilities(...).rows(units)` of
            units with a history; None for those of the gate.

        Returns
        -------
        log_probs : ndarray of shape (n_samples, n_classes)
            Natural logarithms of the probabilities, in the order of `classes_`.
        """
        return np.log(np.maximum(self.predict_proba(X, gate_proba=gate_proba), TINY))

    @supports_dask
    def predict_experts(self, X: Any) -> Array:
        """Class probabilities of each expert.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        probs : ndarray of shape (n_samples, n_experts, n_classes)
            Probabilities in the order of `classes_`.
        """
        X = self._checked(Rows(X)).X
        return self._fitted.predict_experts(X).transpose(2, 0, 1)

    def score(self, X: Any, y: Any, *, sample_weight: Any = None) -> float:
        """Accuracy: fraction of the rows whose class is predicted.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,)
            Observed labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        score : float
            From 0 to 1; weighted by `sample_weight`, if given.
        """
        return score_of_prediction(self, self.predict(X), y, sample_weight)

    def _effective_weight(self, target: Array, weight: Array) -> Array:
        return class_weights(self.class_weight, self.classes_, target, weight)

    def _response_names(self) -> list[str]:
        labels = [str(label) for label in self.classes_]
        return labels[1:] if len(labels) == 2 else labels  # log odds of the second of two
