"""Dask collections: how they are cut, and methods that answer them lazily, chunk by chunk.

Dask is imported only where a collection of it was given.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial, wraps
from importlib import import_module
from inspect import signature
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.metrics import accuracy_score, r2_score

from skmoe._data.dask_chunks import align_chunks, is_dask, zip_chunks
from skmoe._optional import import_dask


def supports_dask(method: Callable) -> Callable:
    """A method of new rows that answers a Dask collection by a Dask array, cut like it."""
    arguments = signature(method)

    @wraps(method)
    def answer(self: Any, X: Any, *args: Any, **options: Any) -> Any:
        if not is_dask(X):
            return method(self, X, *args, **options)
        given = dict(arguments.bind(self, X, *args, **options).arguments)
        del given["self"], given["X"]
        return _map_chunks(self, method.__name__, X, given.pop("y", None), given)

    return answer


class DaskScoreMixin:
    """A score of Dask collections, of which only target and predictions come into memory."""

    def score(self: Any, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Coefficient of determination of a regressor, accuracy of a classifier.

        Parameters
        ----------
        X : {array-like, sparse matrix, dask collection} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed target.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        score : float
            R squared of the predicted means, or share of the rows whose class is predicted.
        """
        if not is_dask(X):
            return super().score(X, y, sample_weight)  # type: ignore[misc]
        given = self.predict(X), y, sample_weight
        said, y, weight = (part.compute() if is_dask(part) else part for part in given)
        judge = accuracy_score if is_classifier(self) else r2_score
        return judge(y, said, sample_weight=weight)


# --- answers ----------------------------------------------------------------------------------


def _map_chunks(estimator: Any, name: str, X: Any, y: Any, options: dict[str, Any]) -> Any:
    """What the method would say of X, once it is asked for."""
    dask = import_dask(name)
    array = import_module("dask.array")
    row = _meta_row(X)
    with_y = {} if y is None else {"y": estimator.predict(row)}
    # One row tells what is wrong with the columns, and of which shape and type answers are.
    seen = getattr(estimator, name)(row, **with_y, **options)
    ask = partial(_predict_chunk, name, options, np.empty((0, *seen.shape[1:]), dtype=seen.dtype))
    # As a task of its own, the estimator goes to each worker once.
    fitted = dask.delayed(_without_training_state(estimator), pure=False)
    X, *others = align_chunks({"X": X} | ({} if y is None else {"y": y}))
    new_axes = dict(enumerate(seen.shape[1:], start=3))
    if hasattr(X, "chunks") and all(hasattr(other, "chunks") for other in others):
        indexed = [(X, (0, 1)), *((other, (0, 2)[: other.ndim]) for other in others)]
        return array.blockwise(
            ask,
            (0, *new_axes),
            *(part for pair in [(fitted, None), *indexed] for part in pair),
            new_axes=new_axes,
            dtype=seen.dtype,
            concatenate=True,
            align_arrays=False,
            meta=np.empty((0,) * seen.ndim, dtype=seen.dtype),
        )
    shape = (np.nan, *seen.shape[1:])
    ask = dask.delayed(ask, pure=False)
    parts = [ask(fitted, *cut) for cut in zip_chunks([X, *others])]
    return array.concatenate([array.from_delayed(part, shape, dtype=seen.dtype) for part in parts])


def _predict_chunk(
    name: str, options: dict[str, Any], nothing: Any, fitted: Any, X: Any, *y: Any
) -> Any:
    """The answer to a chunk of rows; filters may have left none."""
    return getattr(fitted, name)(X, *y, **options) if X.shape[0] else nothing


def _meta_row(X: Any) -> Any:
    """Rows with the columns of a collection, without a look at its values."""
    if not hasattr(X, "columns"):
        return np.zeros((1, *X.shape[1:]), dtype=X.dtype)
    frames = import_module("pandas")
    empty = frames.DataFrame(columns=X.columns).astype(dict(X.dtypes))
    return import_module("dask.dataframe.utils").meta_nonempty(empty)


def _without_training_state(estimator: Any) -> Any:
    """The estimator without what it keeps for fits to come."""
    light = copy.copy(estimator)
    for name in ("_memory", "_stream", "_early", "_resume_state", "_skl_callbacks"):
        vars(light).pop(name, None)
    return light
