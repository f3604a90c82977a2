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

from skmoe._data.blocks import align_chunks, zip_chunks
from skmoe._data.row_checks import check_target
from skmoe._data.rows import is_dask
from skmoe._estimators.parameters.conflicts import check_conflicts
from skmoe._estimators.rows.warm_start import TrainingState
from skmoe._numerics.typing import Array
from skmoe._optional import import_dask

MethodT = TypeVar("MethodT", bound=Callable[..., Any])


# Arguments of methods with an entry for each row, which are cut into the chunks of X.
ROW_ARGUMENTS = ("y", "offset", "gate_proba", "known_experts")


def supports_dask(method: MethodT) -> MethodT:
    """Decorator: for a Dask collection the method is mapped over its chunks, to a Dask array."""
    method_signature = signature(method)

    @wraps(method)
    def wrapper(self: Any, X: Any, *args: Any, **kwargs: Any) -> Any:
        if not is_dask(X):
            return method(self, X, *args, **kwargs)
        options = dict(method_signature.bind(self, X, *args, **kwargs).arguments)
        del options["self"], options["X"]
        if options.get("units") is not None:
            use = f"{method.__name__} of a Dask collection"
            check_conflicts({"units": "units", "predictions of Dask collections": use})
        given = {name: options.pop(name, None) for name in ROW_ARGUMENTS}
        by_row = {name: values for name, values in given.items() if values is not None}
        return _map_chunks(self, method.__name__, X, by_row, options)

    return cast(MethodT, wrapper)


def score_of_prediction(estimator: Any, prediction: Any, y: Any, sample_weight: Any) -> float:
    """R squared of predicted means, or accuracy of predicted classes.

    Of Dask collections only the target and the predictions are loaded.
    """
    prediction, y, weight = (
        values.compute() if is_dask(values) else values for values in (prediction, y, sample_weight)
    )
    check_target(y, is_classifier(estimator))
    score_fn = accuracy_score if is_classifier(estimator) else r2_score
    return float(score_fn(y, prediction, sample_weight=weight))


# --- chunks -----------------------------------------------------------------------------------


def _map_chunks(
    estimator: Any, name: str, X: Any, by_row: dict[str, Any], options: dict[str, Any]
) -> Any:
    """Dask array of the results of a method for every chunk of X.

    `by_row` are the arguments that have an entry for each row.
    """
    dask = import_dask(name)
    array = import_module("dask.array")
    # A call with few rows raises the errors of wrong columns, and gives the shape of the results.
    few_rows = _meta_rows(X)
    of_row = {"offset": np.zeros(few_rows.shape[0])} if "offset" in by_row else {}
    if "y" in by_row:
        of_row["y"] = estimator.predict(few_rows)
    example = getattr(estimator, name)(few_rows, **of_row, **options)
    empty = np.empty((0, *example.shape[1:]), dtype=example.dtype)
    predict_chunk = partial(_predict_chunk, name, list(by_row), options, empty)
    # As a task of its own, the estimator is sent to each worker once.
    fitted = dask.delayed(_without_training_state(estimator), pure=False)
    X, *others = align_chunks({"X": X} | by_row)
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
    name: str,
    by_row: list[str],
    options: dict[str, Any],
    empty: Array,
    *chunk: Any,
) -> Any:
    """Result of a method for a chunk; `empty` for a chunk without rows, as filters leave them.

    `chunk` holds the estimator, X, and the arguments named in `by_row`.
    """
    fitted, X, *values = chunk
    given = dict(zip(by_row, values, strict=True))
    return getattr(fitted, name)(X, **given, **options) if X.shape[0] else empty


def _meta_rows(X: Any) -> Any:
    """Few rows with the columns of a collection, made without its values."""
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
