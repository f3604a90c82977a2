"""How noisy y is, given the features: scale of the variance prior, floor of the variances."""

from __future__ import annotations

import numpy as np
from sklearn.base import RegressorMixin, clone
from sklearn.linear_model import Ridge
from sklearn.tree import DecisionTreeRegressor

from skmoe._numerics.typing import Array

N_FOLDS = 3

# Rows on which the noise is estimated: a scale of ten rows' weight needs no more.
MOST_ROWS = 5000

RELATIVE_FLOOR = 1e-6


def estimate_noise_variance(X: Array, Y: Array, weight: Array) -> Array:
    """Estimate of the variance of Y (m, n) that the features cannot explain, (m,).

    The smaller of the out-of-fold mean squared errors of a ridge regression and of a small
    regression tree: a piecewise smooth target can be far from linear, and far from noisy.
    Rows are to come in an order of their own (`distinct_rows`), which the folds follow.
    """
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(weight))[:MOST_ROWS]
    if len(chosen) < 2 * N_FOLDS:
        return np.ones(len(Y))
    X, Y, weight = X[chosen], Y[:, chosen], weight[chosen]
    fold = np.arange(len(chosen)) % N_FOLDS
    models = (Ridge(alpha=1e-3), DecisionTreeRegressor(min_samples_leaf=3, random_state=0))
    errors = [_out_of_fold_error(model, X, Y, weight, fold) for model in models]
    # No noisier than the marginal variance, to which Y is standardised.
    return np.minimum(np.minimum(*errors), 1.0)


def _out_of_fold_error(
    model: RegressorMixin, X: Array, Y: Array, weight: Array, fold: Array
) -> Array:
    squares = np.zeros(len(Y))
    for held_out in range(N_FOLDS):
        train, test = fold != held_out, fold == held_out
        fitted = clone(model).fit(X[train], Y[:, train].T, sample_weight=weight[train])
        predicted = fitted.predict(X[test]).reshape(test.sum(), len(Y)).T
        squares += np.square(Y[:, test] - predicted) @ weight[test]
    return squares / weight.sum()


def variance_floor(Y: Array) -> Array:
    """Smallest noise variance allowed for each output of standardised distinct rows, (m,).

    A rounded target would let an expert win by a spike on its grid: if most rows share their
    value with others, the floor is the variance of rounding to the median gap of the values.
    """
    floors = np.full(len(Y), RELATIVE_FLOOR)
    for output, y in enumerate(Y):
        values = np.unique(y)
        if 1 < len(values) <= len(y) / 2:
            floors[output] = max(RELATIVE_FLOOR, np.median(np.diff(values)) ** 2 / 12.0)
    return floors
