"""Stacks with accurate predictions.

Their models were chosen by their log density on held-out rows of public tables:
`tests/benchmarks/stacks.py` compares lists of models, and `tests/benchmarks/accuracy.py` the
recipes with other models.
"""

from __future__ import annotations

from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple, Self

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin, clone, is_classifier
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, ParameterGrid, PredefinedSplit, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from skmoe._data.checks import check_choice
from skmoe._data.rows import make_folds
from skmoe._data.steps import NumericColumns, WeightedPipeline
from skmoe._estimators.classifier import MixtureOfExpertsClassifier
from skmoe._estimators.regressor import MixtureOfExpertsRegressor
from skmoe._numerics.typing import Array
from skmoe.stacking import GatedStackingClassifier, GatedStackingRegressor

# Inverse squared widths of a kernel beside one, and penalties, that are compared; the most rows
# with which widths are.
SCALES = (0.1, 0.3, 3.0, 10.0)
RIDGE_PENALTIES = np.logspace(-6.0, 2.0, 9)
MAX_ROWS_OF_SEARCH = 1000

# Folds without each of which models are fitted whose predictions are features.
N_FOLDS_OF_PREDICTIONS = 4

# Fits of mixtures in stacks. Five folds of a base took longer, and were no more accurate (folds 2
# to 5 of ten tables).
IN_STACK = {"ends_at_maximum": False, "n_base_folds": 3}

# Added to the kernel of the rows of an approximation, some of which may be equal.
JITTER = 1e-8

# Of the score of generalised cross-validation, which is otherwise minimised by too rough functions.
FACTOR_OF_DEGREES_OF_FREEDOM = 1.4


# --- boosting ---------------------------------------------------------------------------------


class RefittedBoosting(GridSearchCV):
    """Boosting with the number of iterations of early stopping, fitted again to all rows.

    Other parameters are those of the grid with the least loss on the rows that stop it early. With
    an empty list of grids it does not stop early. Each iteration has a tree for each class: of more
    than four, steps are larger, and as many times fewer.
    """

    def chosen(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Boosting with the parameters that are best on held-out rows, not fitted."""
        best = clone(self.estimator).set_params(early_stopping=False)
        can_hold_out, found, greatest = len(y) > 1, {}, -np.inf
        if is_classifier(best):  # each class must be in both parts
            counts = np.unique(y, return_counts=True)[1]
            can_hold_out = counts.min() > 1 and best.validation_fraction * len(y) >= len(counts)
            factor = max(len(counts) / MAX_CLASSES_OF_SMALL_STEPS, 1.0)
            rate = max(min(factor * best.learning_rate, MAX_RATE), best.learning_rate)
            best.set_params(max_iter=int(np.ceil(best.max_iter / factor)), learning_rate=rate)
        for candidate in ParameterGrid(self.param_grid) if can_hold_out else ():
            stopped = clone(best).set_params(early_stopping=True, **candidate)
            scores = stopped.fit(X, y, sample_weight).validation_score_
            if scores.max() > greatest:
                greatest = scores.max()
                found = candidate | {"max_iter": max(int(np.argmax(scores)), 1)}
        return best.set_params(**found)

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Find the number of iterations on held-out rows, and fit as many to all rows."""
        self.best_estimator_ = self.chosen(X, y, sample_weight).fit(X, y, sample_weight)
        return self


# --- mixtures ---------------------------------------------------------------------------------


class _InStack:
    """A mixture for a stack, where Newton's steps to the maximum would not change the weights.

    Parameters of its base that are found on held-out rows are found once, before its folds.
    """

    base: Any
    _uses_groups = True  # those of the fits of a base, or of steps before the mixture

    def _fit(self, given: Any, **options: Any) -> Any:
        base = self.base
        given = given if base is not None else given._replace(group=None)
        if isinstance(base, RefittedBoosting):
            self.base = base.chosen(given.X, given.y, given.weight)
        try:
            return super()._fit(given, **options, **IN_STACK)  # type: ignore[misc]
        finally:
            self.base = base


class StackedMixtureRegressor(_InStack, MixtureOfExpertsRegressor):
    """A mixture of regressions that ends with EM."""


class StackedMixtureClassifier(_InStack, MixtureOfExpertsClassifier):
    """A mixture of logistic regressions that ends with EM."""


# --- features ---------------------------------------------------------------------------------


class HeldOutPredictions(TransformerMixin, BaseEstimator):
    """The features, and predictions of two regressors, which in training are out-of-fold.

    Experts can combine the predictions in other ways in other regimes, and leave them out in some.

    Parameters
    ----------
    boosting : RefittedBoosting
        Its parameters are found once, before the folds.
    trees : regressor
        The other model.
    random_state : int, RandomState instance or None, default=None
        Source of randomness of folds and models.
    """

    def __init__(self, boosting: Any, trees: Any, random_state: Any = None) -> None:
        self.boosting, self.trees, self.random_state = boosting, trees, random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> Self:
        """Fit the models to all rows."""
        self.models_ = [self.boosting.chosen(X, y, sample_weight), clone(self.trees)]
        for model in self.models_:
            model.fit(X, y, sample_weight)
        return self

    def fit_transform(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> Array:  # type: ignore[override]
        """Fit the models to all rows, and predict each row without those of its fold."""
        self.fit(X, y, sample_weight)
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        folds = PredefinedSplit(make_folds(N_FOLDS_OF_PREDICTIONS, None, groups, len(y), seed))
        options = {"cv": folds, "params": {"sample_weight": sample_weight}}
        columns = [cross_val_predict(model, X, y, **options) for model in self.models_]
        return np.column_stack([X, *columns])

    def transform(self, X: Any) -> Array:
        """Features and predictions (n_samples, n_columns)."""
        return np.column_stack([X, *(model.predict(X) for model in self.models_)])


class KernelFeatures(TransformerMixin, BaseEstimator):
    """Nystroem approximation of a Gaussian kernel of width one [1]_.

    It is scaled so that one is the penalty of a ridge regression with the least generalised
    cross-validation error. For classes it is that of a logistic regression. Its information is that
    of a ridge regression times p(1 - p), the variance of the indicator of a class. All classes are
    taken as equally frequent.

    Parameters
    ----------
    n_components : int, default=100
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
        self, n_components: int = 100, is_class: bool = False, random_state: Any = None
    ) -> None:
        self.n_components, self.is_class = n_components, is_class
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Choose the rows of the approximation, the penalty and coefficients of the rows."""
        rows = check_random_state(self.random_state).permutation(len(X))[: self.n_components]
        self.rows_, self.penalty_ = X[rows], 1.0
        kernel = _gaussian_kernel(self.rows_, self.rows_) + JITTER * np.eye(len(rows))
        self.factor_ = cholesky(kernel, lower=True)
        features, y = self.transform(X), np.asarray(y)
        target = _indicators(y) if self.is_class else y
        weight = np.ones(len(X)) if sample_weight is None else sample_weight
        self.error_, self.penalty_, coef = _cross_validated_ridge(features, target, weight)
        self.intercept_ = np.average(target - features @ coef, axis=0, weights=weight)
        self.coef_ = solve_triangular(self.factor_, coef, lower=True, trans="T")
        share = 1.0 / max(len(np.unique(y)), 2)
        self.penalty_ *= share * (1.0 - share) if self.is_class else 1.0
        return self

    def transform(self, X: Any) -> Array:
        """Features (n_samples, n_components)."""
        kernel = _gaussian_kernel(self.rows_, X)
        return solve_triangular(np.sqrt(self.penalty_) * self.factor_, kernel, lower=True).T


class KernelRegression(RegressorMixin, KernelFeatures):
    """The ridge regression with the penalty of the features."""

    def predict(self, X: Any) -> Array:
        """Means (n_samples,)."""
        return np.asarray(_gaussian_kernel(X, self.rows_) @ self.coef_ + self.intercept_)


class KernelMetric(KernelFeatures):
    """Features in units in which a Gaussian kernel of width one predicts the target.

    The standardised features are multiplied by the roots of their importances for randomised trees,
    or all by one number. Which of both, and then which width, has the least generalised
    cross-validation error of a ridge regression on a sample of the rows. The parameters are those
    of the kernels that are compared.
    """

    def fit(self, X: Any, y: Any) -> Self:  # type: ignore[override]
        """Find the units."""
        X = validate_data(self, X)
        rng = check_random_state(self.random_state)
        seed, rows = int(rng.randint(2**31 - 1)), rng.permutation(len(X))[:MAX_ROWS_OF_SEARCH]
        self.mean_, std = X.mean(axis=0), X.std(axis=0)
        sample, target = X[rows] - self.mean_, np.asarray(y)[rows]
        trees = ExtraTreesRegressor(20, min_samples_leaf=3, random_state=seed)
        trees.fit(sample, _indicators(target) if self.is_class else target)
        kernel = KernelFeatures(self.n_components, self.is_class, seed)

        def scored(units: Array) -> tuple[float, Array]:
            return float(kernel.fit(sample * units, target).error_), units

        factors = trees.feature_importances_, np.full(X.shape[1], 1.0 / X.shape[1])
        units = [np.sqrt(factor) / np.where(std > 0.0, std, 1.0) for factor in factors]
        best = min(map(scored, units), key=itemgetter(0))
        scaled = (np.sqrt(scale) * best[1] for scale in SCALES)
        self.units_ = min(best, *map(scored, scaled), key=itemgetter(0))[1]
        return self

    def transform(self, X: Any) -> Array:
        """Features in their units."""
        return np.asarray((validate_data(self, X, reset=False) - self.mean_) * self.units_)


def _gaussian_kernel(rows: Array, X: Array) -> Array:
    """Gaussian kernel of width one, (len(rows), len(X)), without the checks of scikit-learn."""
    squares = np.square(rows).sum(axis=1)[:, None] + np.square(X).sum(axis=1)
    return np.exp(np.minimum(2.0 * (rows @ X.T) - squares, 0.0))


def _indicators(y: Array) -> Array:
    """Indicators of classes: one for two of them."""
    found = (y[:, None] == np.unique(y)).astype(float)
    return found if found.shape[1] > 2 else found[:, -1]


def _cross_validated_ridge(features: Array, target: Array, weight: Array) -> Any:
    """Least score of generalised cross-validation of ridge regressions [1]_.

    Returns
    -------
    error, penalty, coef : float, float, ndarray of shape (n_features,) or (n_features, n_targets)
        The score, and the regression that has it.

    References
    ----------
    .. [1] Y.-J. Kim and C. Gu (2004), "Smoothing spline Gaussian regression: more scalable
       computation via efficient approximation", Journal of the Royal Statistical Society B 66,
       337-356.
    """
    root = np.sqrt(weight)
    features = root[:, None] * (features - np.average(features, axis=0, weights=weight))
    target = (root * (target - np.average(target, axis=0, weights=weight)).T).T
    values, vectors = np.linalg.eigh(features.T @ features)
    values, n_rows = np.maximum(values, 0.0), len(features)
    along = vectors.T @ (features.T @ target).reshape(len(values), -1)
    squares = np.square(along).sum(axis=1)
    penalties = RIDGE_PENALTIES[:, None]
    explained = (squares * (values + 2.0 * penalties) / np.square(values + penalties)).sum(axis=1)
    residual = np.maximum(np.square(target).sum() - explained, 0.0)
    n_free = (values / (values + penalties)).sum(axis=1)
    n_free = n_rows - 1.0 - FACTOR_OF_DEGREES_OF_FREEDOM * n_free
    errors = residual / np.square(n_free)
    penalty = RIDGE_PENALTIES[errors.argmin()]
    coef = vectors @ (along / (values + penalty)[:, None])
    return errors.min(), penalty, coef.reshape(-1, *target.shape[1:])


# --- the stacks -------------------------------------------------------------------------------


class Effort(NamedTuple):
    """Sizes of the members, the largest that they may find, and which members there are."""

    n_iterations: int  # of boosting
    n_components: int  # of kernels
    n_trees: int
    n_experts: int  # on the predictions of a base
    regressors: str
    classifiers: str
    grids: tuple[dict[str, list[int]], ...] = ({},)  # of boosting; without any it stops late


# Bins of a feature, with which boosting of the middle effort takes four fifths of its time, and as
# accurate; leaves, and rows for each of them, from which the largest effort chooses.
BINS: tuple[dict[str, list[int]], ...] = ({"max_bins": [128]},)
LEAVES = ({"max_leaf_nodes": [8, 31], "min_samples_leaf": [5, 20]},)
REGRESSORS = "kernel_experts boosting_experts linear_experts trees ordinal_experts"
STACKED = "kernel_experts linear_experts trees stacked_experts ordinal_experts"
CLASSIFIERS = "kernel drawn_columns few_interactions trees"
EFFORTS = {
    "fast": Effort(100, 200, 20, 3, "kernel boosting trees ordinal_experts", CLASSIFIERS, ()),
    "balanced": Effort(100, 400, 40, 3, REGRESSORS, f"{CLASSIFIERS} linear_experts", BINS),
    "best": Effort(500, 1000, 200, 6, STACKED, f"{CLASSIFIERS} linear_experts boosting", LEAVES),
}

# Number of classes up to which boosting makes small steps, and the largest of its learning rates
# for more.
MAX_CLASSES_OF_SMALL_STEPS, MAX_RATE = 4, 0.3

# Boosting stops when its loss on this share of the rows has not decreased in some iterations.
STOPPING: dict[str, Any] = {"validation_fraction": 0.2, "n_iter_no_change": 20}

# Boosted trees of the classifier: small steps with few columns, and hardly any interactions. Which
# of them is accurate depends on the data, and so do the weights of the stack.
DRAWN_COLUMNS = STOPPING | {"learning_rate": 0.05, "max_features": 0.3, "l2_regularization": 1.0}
DRAWN_COLUMNS |= {"max_leaf_nodes": 15, "min_samples_leaf": 10}
FEW_INTERACTIONS = DRAWN_COLUMNS | {"learning_rate": 0.1, "max_leaf_nodes": 3}

# Of mixtures in stacks, whose weights matter more than the last digits of their fit; and of the
# gate, whose iterations cost nothing beside the fits of the models.
MIXTURE_OPTIONS: dict[str, Any] = {"n_init": 1, "tol": 3e-3}
GATE_OPTIONS: dict[str, Any] = {"gate_alpha": "auto", "max_iter": 3000}


def strong_regressor(
    *,
    effort: str = "balanced",
    random_state: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> GatedStackingRegressor:
    """A regressor with an accurate mean and an accurate predictive distribution.

    Use it when the accuracy counts more than the interpretation. It is a stack of models whose
    weights depend on the features:

    - a mixture of experts on a kernel regression, whose distances count important features,
    - a mixture of experts on boosted trees, whose number is found on held-out rows,
    - a mixture of eight linear experts, which drop features that they do not need,
    - extremely randomised trees with Student's t noise,
    - a mixture of ordinal experts, for targets of few values.

    The experts on a base correct its predictions, and their noise varies with the features. With
    `effort="best"` eight linear experts, which see predictions of boosted trees and of extremely
    randomised trees beside the features, take the place of the experts on boosted trees. The
    distribution is continuous. A target of at most 30 values, such as a rating, has a probability
    of each value instead; ordinal experts are fitted to such targets only. See "A stack that is
    ready to use" in the user guide.

    Parameters
    ----------
    effort : {"fast", "balanced", "best"}, default="balanced"
        How large models may grow. With 300 to 10 000 rows a fit costs up to about 15, 50 or 180
        times that of `HistGradientBoostingRegressor`. `tests/benchmarks/speed.py --only recipes`
        prints this. "fast" has no experts on kernel, boosted trees or features. "best" chooses
        leaves of the trees, and rows for each, on held-out rows.
    random_state : int, RandomState instance or None, default=None
        Source of randomness of all models. An integer makes the fit reproducible.
    n_jobs : int, default=None
        Fits to run in parallel; -1 for all processors, None for one.
    verbose : int, default=0
        1 prints a line for each model, with the time of its fits; 0 nothing.

    Returns
    -------
    regressor : GatedStackingRegressor
        Not fitted. It takes numbers, missing values and, in data frames, categories; and one
        output.

    Raises
    ------
    ValueError
        If `effort` is none of its values.

    See Also
    --------
    readable_regressor : A mixture whose regimes can be read.

    Examples
    --------
    >>> from skmoe.recipes import strong_regressor
    >>> [name for name, _ in strong_regressor().estimators]
    ['kernel_experts', 'boosting_experts', 'linear_experts', 'trees', 'ordinal_experts']
    """
    sizes = EFFORTS[check_choice("effort", effort, list(EFFORTS))]
    kernel: Any = KernelRegression(sizes.n_components)
    boosting: Any = RefittedBoosting(
        HistGradientBoostingRegressor(max_iter=sizes.n_iterations, **STOPPING), sizes.grids
    )
    mixture = partial(StackedMixtureRegressor, **MIXTURE_OPTIONS)
    few_trees = ExtraTreesRegressor(sizes.n_trees // 2, min_samples_leaf=2)
    predictions = HeldOutPredictions(boosting, few_trees)
    linear = mixture(8, alpha="ard", gate_alpha="ard")
    models: dict[str, Any] = {
        "kernel": make_pipeline(KernelMetric(), kernel),
        "kernel_experts": make_pipeline(KernelMetric(), mixture(sizes.n_experts, base=kernel)),
        "boosting": boosting,
        "boosting_experts": mixture(sizes.n_experts, base=boosting),
        "linear_experts": linear,
        "trees": ExtraTreesRegressor(sizes.n_trees, min_samples_leaf=2),
        "stacked_experts": WeightedPipeline([("predictions", predictions), ("experts", linear)]),
        "ordinal_experts": mixture(4, family="ordinal"),
    }
    common = GATE_OPTIONS | {"random_state": random_state, "n_jobs": n_jobs, "verbose": verbose}
    return GatedStackingRegressor(_members(models, sizes.regressors), family="student_t", **common)


def strong_classifier(
    *,
    effort: str = "balanced",
    random_state: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> GatedStackingClassifier:
    """A classifier with accurate class probabilities.

    Use it when the accuracy counts more than the interpretation. It is a stack of models whose
    weights depend on the features:

    - a logistic regression on a kernel, whose distances count important features,
    - boosted trees that draw columns at random, and others with two splits each, whose number is
      found on held-out rows,
    - extremely randomised trees,
    - a mixture of three logistic regressions.

    With `effort="best"` there are boosted trees of all columns as well, whose leaves, and rows for
    each, are chosen on held-out rows. Of many classes boosting makes fewer and larger steps. See "A
    stack that is ready to use" in the user guide.

    Parameters
    ----------
    effort : {"fast", "balanced", "best"}, default="balanced"
        How large models may grow. With 300 to 10 000 rows a fit costs up to about 15, 35 or 65
        times that of `HistGradientBoostingClassifier`. `tests/benchmarks/speed.py --only recipes`
        prints this. "fast" has no mixture of logistic regressions, and fixed numbers of trees.
    random_state : int, RandomState instance or None, default=None
        Source of randomness of all models. An integer makes the fit reproducible.
    n_jobs : int, default=None
        Fits to run in parallel; -1 for all processors, None for one.
    verbose : int, default=0
        1 prints a line for each model, with the time of its fits; 0 nothing.

    Returns
    -------
    classifier : GatedStackingClassifier
        Not fitted. It takes numbers, missing values and, in data frames, categories.

    Raises
    ------
    ValueError
        If `effort` is none of its values.

    See Also
    --------
    readable_classifier : A mixture whose regimes can be read.

    Examples
    --------
    >>> from skmoe.recipes import strong_classifier
    >>> [name for name, _ in strong_classifier().estimators]
    ['kernel', 'drawn_columns', 'few_interactions', 'trees', 'linear_experts']
    """
    sizes = EFFORTS[check_choice("effort", effort, list(EFFORTS))]
    kernel = KernelFeatures(sizes.n_components, is_class=True)

    def boosting(factor: int, options: dict[str, Any], grids: Any) -> RefittedBoosting:
        options = {"max_iter": sizes.n_iterations * (factor if grids else 1)} | options
        return RefittedBoosting(HistGradientBoostingClassifier(**options), grids)

    once, logistic = sizes.grids and ({},), LogisticRegression(max_iter=1000)
    penalties: dict[str, Any] = {"alpha": "auto", "gate_alpha": "auto"}
    models: dict[str, Any] = {
        "kernel": make_pipeline(KernelMetric(is_class=True), kernel, logistic),
        "drawn_columns": boosting(2, DRAWN_COLUMNS, once),
        "few_interactions": boosting(3, FEW_INTERACTIONS, once),
        "boosting": boosting(1, STOPPING, sizes.grids),
        "trees": ExtraTreesClassifier(sizes.n_trees, min_samples_leaf=2),
        "linear_experts": StackedMixtureClassifier(3, **penalties, **MIXTURE_OPTIONS),
    }
    common = GATE_OPTIONS | {"random_state": random_state, "n_jobs": n_jobs, "verbose": verbose}
    return GatedStackingClassifier(_members(models, sizes.classifiers), **common)


def _members(models: dict[str, Any], names: str) -> list[tuple[str, Pipeline]]:
    """Some models by name, behind the encoding of categories and missing values."""
    return [
        (name, Pipeline([("columns", NumericColumns()), ("model", models[name])]))
        for name in names.split()
    ]
