"""Prediction intervals of held-out rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.base import clone
from sklearn.model_selection import GroupKFold, check_cv
from sklearn.pipeline import Pipeline
from sklearn.utils.parallel import Parallel, delayed

from skmoe._data.checks import check_metadata, check_n_jobs, is_integer, shown
from skmoe._data.rows import index_rows
from skmoe._data.sklearn_adapter import final_estimator
from skmoe._estimators.methods.input_steps import mixture_of
from skmoe._numerics.typing import Array
from skmoe.distributions import check_coverage


def cross_val_predict_interval(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    coverage: float = 0.9,
    cv: Any = None,
    groups: Any = None,
    sample_weight: Any = None,
    units: Any = None,
    offset: Any = None,
    n_jobs: int | None = None,
) -> Array:
    """Prediction interval of each row by a fit to the rows of other folds.

    `cross_val_predict` of scikit-learn has no such method. The share of the values that are inside
    estimates the coverage of intervals of new rows.

    Parameters
    ----------
    estimator : MixtureOfExpertsRegressor, GatedStackingRegressor, pipeline or search
        One of these, or a pipeline or search that ends in one. It is cloned, and not fitted.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Features.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Target.
    coverage : float, default=0.9
        Probability of y in the interval, in (0, 1), under the model.
    cv : int, splitter or iterable, default=None
        Folds, as in `cross_val_predict`; None for five. Each row must be held out once. An integer
        keeps the rows of a group, or of a unit, in one fold.
    groups : array-like of shape (n_samples,), default=None
        Groups of the rows, for the folds; None for the units.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows in fits.
    units : array-like of shape (n_samples,), default=None
        Units of the rows in fits. Intervals of a unit are those without a history.
    offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Offset of the linear predictors, in fits and predictions.
    n_jobs : int, default=None
        Fits in parallel, through joblib; -1 for all processors, None for one.

    Returns
    -------
    interval : ndarray of shape (n_samples, 2) or (n_samples, 2, n_outputs)
        Lower and upper bounds, in the units of y.

    Raises
    ------
    TypeError
        If the estimator does not end in a mixture or stack for regression.
    ValueError
        If the coverage is outside (0, 1), or the folds do not hold each row out once. Also where
        `fit` or `predict_interval` raises it.

    See Also
    --------
    skmoe.metrics.make_interval_scorers : Coverage and width of held-out intervals as scores.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.model_selection import cross_val_predict_interval
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(-3, 3, size=(200, 1))
    >>> y = np.abs(X[:, 0]) + 0.2 * rng.normal(size=200)
    >>> moe = MixtureOfExpertsRegressor(2, random_state=0)
    >>> low, high = cross_val_predict_interval(moe, X, y, coverage=0.8).T
    >>> float(np.mean((low <= y) & (y <= high)).round(1))
    0.8
    """
    check_coverage(coverage)
    if not hasattr(final_estimator(estimator), "predict_interval"):
        raise TypeError(
            "estimator must be a MixtureOfExpertsRegressor or GatedStackingRegressor, or a "
            f"pipeline or search that ends in one; got {shown(final_estimator(estimator))}. Of "
            'classifiers use cross_val_predict(..., method="predict_proba").'
        )
    given = {"sample_weight": sample_weight, "units": units, "offset": offset}
    n_rows = X.shape[0] if hasattr(X, "shape") else len(X)
    arrays = check_metadata({"groups": groups} | given, n_rows)
    groups = arrays.pop("groups", arrays.get("units"))
    if groups is not None and (cv is None or is_integer(cv)):
        cv = GroupKFold(5 if cv is None else int(cv))
    folds = list(check_cv(cv, y).split(X, y, groups))
    held_out = np.concatenate([test for _, test in folds])
    if not np.array_equal(np.sort(held_out), np.arange(n_rows)):
        raise ValueError(
            "cv must hold each row out once, so that each has one interval, as KFold does; got "
            f"{shown(cv)}. Use make_interval_scorers for other folds."
        )
    found = Parallel(n_jobs=check_n_jobs(n_jobs))(
        delayed(_intervals)(clone(estimator), X, y, coverage, fold, arrays) for fold in folds
    )
    return np.concatenate(found)[np.argsort(held_out)]


def _intervals(
    estimator: Any, X: Any, y: Any, coverage: float, fold: Any, given: dict[str, Array]
) -> Array:
    """Intervals of the test rows of a fold."""
    train, test = fold
    is_prefixed = isinstance(estimator, Pipeline) and not get_config()["enable_metadata_routing"]
    prefix = f"{estimator.steps[-1][0]}__" if is_prefixed else ""
    arguments = {f"{prefix}{name}": values[train] for name, values in given.items()}
    estimator.fit(index_rows(X, train), index_rows(y, train), **arguments)
    offset = {name: values[test] for name, values in given.items() if name == "offset"}
    intervals: Array = mixture_of(estimator).predict_interval(
        index_rows(X, test), coverage=coverage, **offset
    )
    return intervals
