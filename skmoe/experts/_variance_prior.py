"""Scale of the variance prior, and lower bound of the noise variances."""

from __future__ import annotations

import numpy as np
from sklearn.base import RegressorMixin, clone
from sklearn.linear_model import Ridge
from sklearn.tree import DecisionTreeRegressor

from skmoe._numerics.typing import Array

# Folds and maximum number of rows for the estimate of the noise variance. A rough estimate is
# enough: the prior has the weight of ten rows.
N_NOISE_FOLDS = 3
MAX_NOISE_ROWS = 2000

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
    models = (Ridge(alpha=1e-3), DecisionTreeRegressor(min_samples_leaf=3, random_state=0))
    errors = [_out_of_fold_error(model, X, Y, weight, fold) for model in models]
    # The noise variance is at most the marginal variance, which is one.
    return np.minimum(np.minimum(*errors), 1.0)


def _out_of_fold_error(
    model: RegressorMixin, X: Array, Y: Array, weight: Array, fold: Array
) -> Array:
    """Out-of-fold weighted mean squared error of each output, (m,)."""
    squares = np.zeros(len(Y))
    for held_out in np.unique(fold):
        train, test = fold != held_out, fold == held_out
        fitted = clone(model).fit(X[train], Y[:, train].T, sample_weight=weight[train])
        predicted = fitted.predict(X[test]).reshape(test.sum(), len(Y)).T
        squares += np.square(Y[:, test] - predicted) @ weight[test]
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
