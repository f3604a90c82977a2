"""Methods for Dask collections: Dask arrays that are computed chunk by chunk.

Dask is imported only for its collections.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial, wraps
from importlib import import_module
from inspect import signature
from typing import Any, TypeVar, cast

import numpy as np
from sklearn.base import is_classifier
from sklearn.metrics import accuracy_score, r2_score

from skmoe._data.dask_chunks import align_chunks, is_dask, zip_chunks
from skmoe._estimators.warm_start import TrainingState
from skmoe._numerics.typing import Array
from skmoe._optional import import_dask

MethodT = TypeVar("MethodT", bound=Callable[..., Any])


def supports_dask(method: MethodT) -> MethodT:
    """Decorator: for a Dask collection the method is mapped over its chunks, to a Dask array."""
    method_signature = signature(method)

    @wraps(method)
    def wrapper(self: Any, X: Any, *args: Any, **kwargs: Any) -> Any:
        if not is_dask(X):
            return method(self, X, *args, **kwargs)
        options = dict(method_signature.bind(self, X, *args, **kwargs).arguments)
        del options["self"], options["X"]
        return _map_chunks(self, method.__name__, X, options.pop("y", None), options)

    return cast(MethodT, wrapper)


class DaskScoreMixin:
    """A score for Dask collections; only the target and the predictions are loaded."""

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
            R squared of the predicted means, or the fraction of the rows whose class is predicted.
        """
        if not is_dask(X):
            return float(super().score(X, y, sample_weight))  # type: ignore[misc]
        collections = self.predict(X), y, sample_weight
        prediction, y, weight = (
            values.compute() if is_dask(values) else values for values in collections
        )
        score_fn = accuracy_score if is_classifier(self) else r2_score
        return float(score_fn(y, prediction, sample_weight=weight))


# --- chunks -----------------------------------------------------------------------------------


def _map_chunks(estimator: Any, name: str, X: Any, y: Any, options: dict[str, Any]) -> Any:
    """Dask array of the results of a method for every chunk of X."""
    dask = import_dask(name)
    array = import_module("dask.array")
    # A call with one row raises the errors of wrong columns, and gives the shape of the results.
    row = _meta_row(X)
    with_y = {} if y is None else {"y": estimator.predict(row)}
    example = getattr(estimator, name)(row, **with_y, **options)
    empty = np.empty((0, *example.shape[1:]), dtype=example.dtype)
    predict_chunk = partial(_predict_chunk, name, options, empty)
    # As a task of its own, the estimator is sent to each worker once.
    fitted = dask.delayed(_without_training_state(estimator), pure=False)
    X, *others = align_chunks({"X": X} | ({} if y is None else {"y": y}))
    new_axes = dict(enumerate(example.shape[1:], start=3))
    if hasattr(X, "chunks") and all(hasattr(other, "chunks") for other in others):
        indexed = [(X, (0, 1)), *((other, (0, 2)[: other.ndim]) for other in others)]
        return array.blockwise(
            predict_chunk,
            (0, *new_axes),
            *(argument for pair in [(fitted, None), *indexed] for argument in pair),
            new_axes=new_axes,
            dtype=example.dtype,
            concatenate=True,
            align_arrays=False,
            meta=np.empty((0,) * example.ndim, dtype=example.dtype),
        )
    shape = (np.nan, *example.shape[1:])
    predict_chunk = dask.delayed(predict_chunk, pure=False)
    chunks = [predict_chunk(fitted, *chunk) for chunk in zip_chunks([X, *others])]
    return array.concatenate(
        [array.from_delayed(chunk, shape, dtype=example.dtype) for chunk in chunks]
    )


def _predict_chunk(
    name: str, options: dict[str, Any], empty: Array, fitted: Any, X: Any, *y: Any
) -> Any:
    """Result of a method for a chunk; `empty` for a chunk without rows, as filters leave them."""
    return getattr(fitted, name)(X, *y, **options) if X.shape[0] else empty


def _meta_row(X: Any) -> Any:
    """One row with the columns of a collection, made without its values."""
    if not hasattr(X, "columns"):
        return np.zeros((1, *X.shape[1:]), dtype=X.dtype)
    pandas = import_module("pandas")
    empty = pandas.DataFrame(columns=X.columns).astype(dict(X.dtypes))
    return import_module("dask.dataframe.utils").meta_nonempty(empty)


def _without_training_state(estimator: Any) -> Any:
    """Shallow copy without the state for later fits and without callbacks, for the workers."""
    fitted = copy.copy(estimator)
    fitted._training_state = TrainingState()
    vars(fitted).pop("_skl_callbacks", None)  # of scikit-learn
    return fitted
