"""Members of the strong recipes, which find their own size when they are fitted."""

from __future__ import annotations

from itertools import product
from typing import Any, Self

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    MetaEstimatorMixin,
    RegressorMixin,
    TransformerMixin,
    clone,
)
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.kernel_approximation import Nystroem
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from skmoe._data.encoding import encode, make_encoder
from skmoe._estimators.classifier import MixtureOfExpertsClassifier
from skmoe._estimators.regressor import MixtureOfExpertsRegressor
from skmoe._numerics.typing import Array

# Inverse squared widths of a kernel, and penalties, that are compared; the most rows and components
# with which they are.
SCALES = (0.1, 0.3, 1.0, 3.0, 10.0)
RIDGE_PENALTIES = np.logspace(-6.0, 2.0, 9)
MAX_ROWS_OF_SEARCH = 1000
MAX_COMPONENTS_OF_SEARCH = 100

# Of the score of generalised cross-validation, which is otherwise minimised by too rough functions.
FACTOR_OF_DEGREES_OF_FREEDOM = 1.4


# --- boosting ---------------------------------------------------------------------------------


class _RefittedBoosting(MetaEstimatorMixin, BaseEstimator):
    """Boosting with the number of iterations of early stopping, fitted again to all rows.

    Parameters
    ----------
    estimator : estimator
        Boosting of scikit-learn, whose `max_iter` is the largest number.
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Find the number of iterations on held-out rows, and fit as many to all rows."""
        stopped = clone(self.estimator).set_params(early_stopping=self._can_hold_out(y))
        self.estimator_ = stopped.fit(X, y, sample_weight)
        if stopped.early_stopping:
            n_iterations = max(int(np.argmax(stopped.validation_score_)), 1)
            refitted = clone(self.estimator).set_params(max_iter=n_iterations, early_stopping=False)
            self.estimator_ = refitted.fit(X, y, sample_weight)
        return self

    def predict(self, X: Any) -> Array:
        """Means or labels (n,)."""
        return np.asarray(self.estimator_.predict(X))

    def _can_hold_out(self, y: Any) -> bool:
        return len(y) > 1


class RefittedBoostingRegressor(RegressorMixin, _RefittedBoosting):
    """Regression by `_RefittedBoosting`."""


class RefittedBoostingClassifier(ClassifierMixin, _RefittedBoosting):
    """Classification by `_RefittedBoosting`."""

    @property
    def classes_(self) -> Array:
        """Class labels."""
        return np.asarray(self.estimator_.classes_)

    def predict_proba(self, X: Any) -> Array:
        """Class probabilities (n, C)."""
        return np.asarray(self.estimator_.predict_proba(X))

    def _can_hold_out(self, y: Any) -> bool:
        """Whether each class can be in both parts."""
        counts = np.unique(y, return_counts=True)[1]
        return bool(counts.min() > 1 and self.estimator.validation_fraction * len(y) >= len(counts))


# --- mixtures ---------------------------------------------------------------------------------


class _EndsWithEM:
    """A mixture for a stack, where Newton's steps to the maximum would not change the weights."""

    def _fit(self, given: Any, **options: Any) -> Any:
        return super()._fit(given, **options, ends_at_maximum=False)  # type: ignore[misc]


class StackedMixtureRegressor(_EndsWithEM, MixtureOfExpertsRegressor):
    """A mixture of regressions that ends with EM."""


class StackedMixtureClassifier(_EndsWithEM, MixtureOfExpertsClassifier):
    """A mixture of logistic regressions that ends with EM."""


# --- features ---------------------------------------------------------------------------------


class KernelMetric(TransformerMixin, BaseEstimator):
    """Features in units in which a Gaussian kernel of width one predicts the target.

    The standardised features are multiplied by the roots of their importances for randomised trees,
    or all by one number. Which of both, and which width, has the least generalised cross-validation
    error of a ridge regression on a sample of the rows.

    Parameters
    ----------
    is_class : bool, default=False
        Whether the target is a class.
    random_state : int, RandomState instance or None, default=None
        Source of randomness of the sample and of the trees.
    """

    def __init__(self, is_class: bool = False, random_state: Any = None) -> None:
        self.is_class = is_class
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Find the units."""
        X = validate_data(self, X)
        rng = check_random_state(self.random_state)
        seed, rows = int(rng.randint(2**31 - 1)), rng.permutation(len(X))[:MAX_ROWS_OF_SEARCH]
        self.mean_, std = X.mean(axis=0), X.std(axis=0)
        sample, target = X[rows] - self.mean_, _numeric_target(np.asarray(y)[rows], self.is_class)
        trees = ExtraTreesRegressor(20, min_samples_leaf=3, random_state=seed).fit(sample, target)
        factors = trees.feature_importances_, np.full(X.shape[1], 1.0 / X.shape[1])
        n_components, least = min(MAX_COMPONENTS_OF_SEARCH, len(rows)), np.inf
        for factor, scale in product(factors, SCALES):
            units = np.sqrt(scale * factor) / np.where(std > 0.0, std, 1.0)
            kernel = Nystroem(gamma=1.0, n_components=n_components, random_state=seed)
            error, _ = _cross_validated_ridge(kernel.fit_transform(sample * units), target)
            if error < least:
                least, self.units_ = error, units
        return self

    def transform(self, X: Any) -> Array:
        """Features in their units."""
        return np.asarray((validate_data(self, X, reset=False) - self.mean_) * self.units_)


class KernelFeatures(TransformerMixin, BaseEstimator):
    """Nystroem approximation of a Gaussian kernel of width one [1]_.

    It is scaled so that one is the penalty of a ridge regression with the least generalised
    cross-validation error. For classes it is that of a logistic regression. Its information is that
    of a ridge regression times p(1 - p), the variance of the indicator of a class. All classes are
    taken as equally frequent.

    Parameters
    ----------
    n_components : int, default=300
        Largest number of features.
    is_class : bool, default=False
        Whether the target is a class.
    random_state : int, RandomState instance or None, default=None
        Source of randomness of the approximation.

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
        """Choose the rows of the approximation, and the penalty."""
        n_components = min(self.n_components, len(X))
        self.kernel_ = Nystroem(
            gamma=1.0, n_components=n_components, random_state=self.random_state
        )
        target = _numeric_target(np.asarray(y), self.is_class)
        _, self.penalty_ = _cross_validated_ridge(self.kernel_.fit_transform(X), target)
        if self.is_class:
            share = 1.0 / max(len(np.unique(y)), 2)
            self.penalty_ *= share * (1.0 - share)
        return self

    def transform(self, X: Any) -> Array:
        """Features (n_samples, n_components)."""
        return np.asarray(self.kernel_.transform(X) / np.sqrt(self.penalty_))


def _numeric_target(y: Array, is_class: bool) -> Array:
    """Numbers, or indicators of classes: one for two of them."""
    if not is_class:
        return y
    classes, codes = np.unique(y, return_inverse=True)
    return codes.astype(float) if len(classes) == 2 else np.eye(len(classes))[codes]


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
