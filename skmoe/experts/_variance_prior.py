"""Scale of the variance prior, and lower bound of the noise variances."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.tree import DecisionTreeRegressor

from skmoe._numerics.typing import Array

# Folds and maximum number of rows for the estimate of the noise variance. A rough estimate is
# enough: the prior has the weight of ten rows.
N_NOISE_FOLDS = 3
MAX_NOISE_ROWS = 2000

# Penalty on the slopes of a ridge regression, which makes it unique.
NOISE_RIDGE = 1e-3

# Lower bound of the noise variance of a standardised output.
RELATIVE_FLOOR = 1e-6

# Largest lower bound from rounding: the values of an output that are rarely different are many
# standard deviations apart, and an expert must be able to be better than no model.
MAX_ROUNDING_FLOOR = 0.25


def estimate_noise_variance(X: Array, Y: Array, weight: Array, units: Array | None = None) -> Array:
    """Estimate of the residual variance of standardised outputs Y (m, n) given X, (m,).

    Rows with the same number in `units` are in one fold.

    It is the smaller of the out-of-fold mean squared errors of a ridge regression and of a
    regression tree, since the regression function can be smooth or piecewise constant. The rows are
    in the order of `unique_weighted_rows`, so that the folds do not depend on the user's order.
    """
    rng = np.random.default_rng(0)
    sample = rng.permutation(len(weight))[:MAX_NOISE_ROWS]
    if len(sample) < 2 * N_NOISE_FOLDS:
        return np.ones(len(Y))
    X, Y, weight = X[sample], Y[:, sample], weight[sample]
    # Relative weights: the small ridge penalty must keep its size beside them.
    weight = weight / weight.mean()
    fold = np.arange(len(sample)) % N_NOISE_FOLDS
    if units is not None:
        fold = np.unique(units[sample], return_inverse=True)[1].ravel() % N_NOISE_FOLDS
    errors = [_out_of_fold_error(model, X, Y, weight, fold) for model in (_by_ridge, _by_tree)]
    # The noise variance is at most the marginal variance, which is one.
    return np.minimum(np.minimum(*errors), 1.0)


def _by_ridge(X: Array, Y: Array, weight: Array, new_X: Array) -> Array:
    """Predictions (n, m) of a ridge regression, of scikit-learn but without its checks."""
    center, level = np.average(X, axis=0, weights=weight), np.average(Y, axis=0, weights=weight)
    root = np.sqrt(weight)[:, None]
    design, target = root * (X - center), root * (Y - level)
    if len(design) < design.shape[1]:
        gram = design @ design.T + NOISE_RIDGE * np.eye(len(design))
        coef = design.T @ np.linalg.solve(gram, target)
    else:
        gram = design.T @ design + NOISE_RIDGE * np.eye(design.shape[1])
        coef = np.linalg.solve(gram, design.T @ target)
    return level + (new_X - center) @ coef


def _by_tree(X: Array, Y: Array, weight: Array, new_X: Array) -> Array:
    """Predictions (n, m) of a regression tree."""
    tree = DecisionTreeRegressor(min_samples_leaf=3, random_state=0)
    return tree.fit(X, Y, sample_weight=weight).predict(new_X).reshape(len(new_X), -1)


def _out_of_fold_error(
    model: Callable[..., Array], X: Array, Y: Array, weight: Array, fold: Array
) -> Array:
    """Out-of-fold weighted mean squared error of each output, (m,)."""
    squares = np.zeros(len(Y))
    for held_out in np.unique(fold):
        train, test = fold != held_out, fold == held_out
        predicted = model(X[train], Y[:, train].T, weight[train], X[test])
        squares += np.square(Y[:, test] - predicted.T) @ weight[test]
    return squares / weight.sum()


def variance_floor(Y: Array) -> Array:
    """Lower bound of the noise variance of each standardised output of distinct rows, (m,).

    With rounded outputs the likelihood can be inflated by near-zero variance on one grid value. So
    if there are at most half as many values as rows, the lower bound is the variance of the
    rounding error for a grid with the median gap between values.
    """
    floors = np.full(len(Y), RELATIVE_FLOOR)
    for output, y in enumerate(Y):
        values = np.unique(y)
        if 1 < len(values) <= len(y) / 2:
            rounding = np.median(np.diff(values)) ** 2 / 12.0
            floors[output] = np.clip(rounding, RELATIVE_FLOOR, MAX_ROUNDING_FLOOR)
    return floors
