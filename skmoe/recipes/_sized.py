"""Members of the strong recipes, which find their own size when they are fitted."""

from __future__ import annotations

from itertools import product
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.ensemble import (
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.kernel_approximation import Nystroem
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from skmoe._data.encoding import encode, make_encoder
from skmoe._estimators.classifier import MixtureOfExpertsClassifier
from skmoe._numerics.typing import Array

# Models of more classes are smaller: the cost of each iteration, or component, grows with them.
MAX_CLASSES_OF_FULL_SIZE = 4

# Inverse squared widths of a kernel, and penalties, that are compared; the most rows and components
# with which they are.
SCALES = (0.1, 0.3, 1.0, 3.0, 10.0)
RIDGE_PENALTIES = np.logspace(-6.0, 2.0, 9)
MAX_ROWS_OF_SEARCH = 1000
MAX_COMPONENTS_OF_SEARCH = 100

# Of the score of generalised cross-validation, which is otherwise minimised by too rough functions.
FACTOR_OF_DEGREES_OF_FREEDOM = 1.4


def _size_for(n_classes: int, size: int) -> int:
    """Size of a model of a number of classes, which is smaller if these are many."""
    return max(size * MAX_CLASSES_OF_FULL_SIZE // max(n_classes, MAX_CLASSES_OF_FULL_SIZE), 1)


# --- boosting ---------------------------------------------------------------------------------


class _RefittedBoosting:
    """Boosting with the number of iterations of early stopping, fitted again to all rows.

    Parameters are those of the boosting of scikit-learn; `max_iter` is the largest number.
    """

    def fit(self: Any, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Find the number of iterations on held-out rows, and fit as many to all rows."""
        given, fit = (self.max_iter, self.early_stopping), super().fit  # type: ignore[misc]
        try:
            self.max_iter, self.early_stopping = self._limit(y), self._can_hold_out(y)
            fit(X, y, sample_weight)
            if self.early_stopping:
                best = int(np.argmax(self.validation_score_))
                self.max_iter, self.early_stopping = max(best, 1), False
                fit(X, y, sample_weight)
        finally:
            self.max_iter, self.early_stopping = given
        return self

    def _limit(self: Any, y: Any) -> int:
        return int(self.max_iter)

    def _can_hold_out(self, y: Any) -> bool:
        return len(y) > 1


class RefittedBoostingRegressor(_RefittedBoosting, HistGradientBoostingRegressor):
    """Regression by `_RefittedBoosting`."""


class RefittedBoostingClassifier(_RefittedBoosting, HistGradientBoostingClassifier):
    """Classification by `_RefittedBoosting`; of many classes with fewer iterations."""

    def _limit(self, y: Any) -> int:
        return _size_for(len(np.unique(y)), self.max_iter)

    def _can_hold_out(self, y: Any) -> bool:
        """Whether each class can be in both parts."""
        counts = np.unique(y, return_counts=True)[1]
        return bool(counts.min() > 1 and self.validation_fraction * len(y) >= len(counts))


class SizedMixtureClassifier(MixtureOfExpertsClassifier):
    """A mixture of logistic regressions; of many classes with fewer experts."""

    def fit(  # type: ignore[override]  # metadata are not routed to it
        self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None
    ) -> Self:
        """Fit as many experts as the number of classes leaves."""
        given: Any = self.n_experts
        try:
            self.n_experts = _size_for(len(np.unique(y)), given)
            return super().fit(X, y, sample_weight, groups)
        finally:
            self.n_experts = given


# --- features ---------------------------------------------------------------------------------


class KernelFeatures(TransformerMixin, BaseEstimator):
    """Features of a Gaussian kernel whose distances count the features that trees use.

    The squared distance of two rows is that of the standardised features, each multiplied by its
    importance for randomised trees, or all by the same number. Which of both, and which width, has
    the least generalised cross-validation error of a ridge regression on a sample of the rows. The
    Nystroem approximation [1]_ is scaled so that the penalty of least error is one.

    Parameters
    ----------
    n_components : int, default=300
        Largest number of features.
    is_class : bool, default=False
        Whether the target is a class.
    random_state : int, RandomState instance or None, default=None
        Source of randomness of the sample and of the trees.

    References
    ----------
    .. [1] C. Williams and M. Seeger (2001), "Using the Nystrom method to speed up kernel machines",
       Advances in Neural Information Processing Systems 13, 682-688.
    """

    def __init__(
        self, n_components: int = 300, is_class: bool = False, random_state: Any = None
    ) -> None:
        self.n_components = n_components
        self.is_class = is_class
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Choose the kernel, and the rows of the approximation."""
        X, target, n_components = validate_data(self, X), np.asarray(y), self.n_components
        if self.is_class:
            classes, codes = np.unique(target, return_inverse=True)
            n_components = _size_for(len(classes), n_components)
            target = np.eye(len(classes))[codes][:, len(classes) == 2 :]
        rng = check_random_state(self.random_state)
        seed, rows = int(rng.randint(2**31 - 1)), rng.permutation(len(X))[:MAX_ROWS_OF_SEARCH]
        self.mean_, std = X.mean(axis=0), X.std(axis=0)
        sample, of_sample = X[rows] - self.mean_, target[rows]
        trees = ExtraTreesRegressor(20, min_samples_leaf=3, random_state=seed).fit(
            sample, of_sample
        )
        factors = trees.feature_importances_, np.full(X.shape[1], 1.0 / X.shape[1])
        n_tried, least = min(MAX_COMPONENTS_OF_SEARCH, len(rows)), np.inf
        for factor, scale in product(factors, SCALES):
            units = np.sqrt(scale * factor) / np.where(std > 0.0, std, 1.0)
            kernel = Nystroem(gamma=1.0, n_components=n_tried, random_state=seed)
            error, _ = _cross_validated_ridge(kernel.fit_transform(sample * units), of_sample)
            if error < least:
                least, self.units_ = error, units
        n_components = min(n_components, len(X))
        self.kernel_ = Nystroem(gamma=1.0, n_components=n_components, random_state=seed)
        features = self.kernel_.fit_transform((X - self.mean_) * self.units_)
        _, self.penalty_ = _cross_validated_ridge(features, target)
        return self

    def transform(self, X: Any) -> Array:
        """Features (n_samples, n_components)."""
        X = validate_data(self, X, reset=False)
        features = self.kernel_.transform((X - self.mean_) * self.units_)
        return np.asarray(features / np.sqrt(self.penalty_))


def _cross_validated_ridge(features: Array, target: Array) -> tuple[float, float]:
    """Least score of generalised cross-validation of ridge regressions, and its penalty [1]_.

    References
    ----------
    .. [1] Y.-J. Kim and C. Gu (2004), "Smoothing spline Gaussian regression: more scalable
       computation via efficient approximation", Journal of the Royal Statistical Society B 66,
       337-356.
    """
    features, target = features - features.mean(axis=0), target - target.mean(axis=0)
    values, vectors = np.linalg.eigh(features.T @ features)
    values, n_rows = np.maximum(values, 0.0), len(features)
    squares = np.square(vectors.T @ (features.T @ target).reshape(len(values), -1)).sum(axis=1)
    penalties = RIDGE_PENALTIES[:, None]
    explained = (squares * (values + 2.0 * penalties) / np.square(values + penalties)).sum(axis=1)
    residual = np.maximum(np.square(target).sum() - explained, 0.0)
    n_free = (
        n_rows - 1.0 - FACTOR_OF_DEGREES_OF_FREEDOM * (values / (values + penalties)).sum(axis=1)
    )
    errors = residual / np.square(n_free)
    return float(errors.min()), float(RIDGE_PENALTIES[errors.argmin()])


class NumericColumns(TransformerMixin, BaseEstimator):
    """Categories as indicators, and missing numbers as medians with an indicator."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.categorical = True
        return tags

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the medians, and the levels of categories."""
        self.encoder_ = make_encoder(X, np.ones(X.shape[0]), True)
        return self

    def transform(self, X: Any) -> Array:
        """Numbers (n_samples, n_columns)."""
        return encode(self.encoder_, X)
