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

from skmoe._extras import import_dask


def is_lazy(X: Any) -> bool:
    """Whether X is a Dask array or data frame."""
    return callable(getattr(X, "__dask_graph__", None)) and hasattr(X, "ndim")


def lazily(method: Callable) -> Callable:
    """A method of new rows that answers a Dask collection by a Dask array, cut like it."""
    arguments = signature(method)

    @wraps(method)
    def answer(self: Any, X: Any, *args: Any, **options: Any) -> Any:
        if not is_lazy(X):
            return method(self, X, *args, **options)
        given = dict(arguments.bind(self, X, *args, **options).arguments)
        del given["self"], given["X"]
        return _answer(self, method.__name__, X, given.pop("y", None), given)

    return answer


class LazyScoreMixin:
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
        if not is_lazy(X):
            return super().score(X, y, sample_weight)  # type: ignore[misc]
        given = self.predict(X), y, sample_weight
        said, y, weight = (part.compute() if is_lazy(part) else part for part in given)
        judge = accuracy_score if is_classifier(self) else r2_score
        return judge(y, said, sample_weight=weight)


# --- answers ----------------------------------------------------------------------------------


def _answer(estimator: Any, name: str, X: Any, y: Any, options: dict[str, Any]) -> Any:
    """What the method would say of X, once it is asked for."""
    dask = import_dask(name)
    array = import_module("dask.array")
    row = _one_row(X)
    with_y = {} if y is None else {"y": estimator.predict(row)}
    # One row tells what is wrong with the columns, and of which shape and type answers are.
    seen = getattr(estimator, name)(row, **with_y, **options)
    ask = partial(_ask, name, options, np.empty((0, *seen.shape[1:]), dtype=seen.dtype))
    # As a task of its own, the estimator goes to each worker once.
    fitted = dask.delayed(_lightened(estimator), pure=False)
    X, *others = aligned({"X": X} | ({} if y is None else {"y": y}))
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
    parts = [ask(fitted, *cut) for cut in cut_alike([X, *others])]
    return array.concatenate([array.from_delayed(part, shape, dtype=seen.dtype) for part in parts])


def _ask(name: str, options: dict[str, Any], nothing: Any, fitted: Any, X: Any, *y: Any) -> Any:
    """The answer to a chunk of rows; filters may have left none."""
    return getattr(fitted, name)(X, *y, **options) if X.shape[0] else nothing


def _one_row(X: Any) -> Any:
    """Rows with the columns of a collection, without a look at its values."""
    if not hasattr(X, "columns"):
        return np.zeros((1, *X.shape[1:]), dtype=X.dtype)
    frames = import_module("pandas")
    empty = frames.DataFrame(columns=X.columns).astype(dict(X.dtypes))
    return import_module("dask.dataframe.utils").meta_nonempty(empty)


def _lightened(estimator: Any) -> Any:
    """The estimator without what it keeps for fits to come."""
    light = copy.copy(estimator)
    for name in ("_memory", "_stream", "_early", "_place", "_skl_callbacks"):
        vars(light).pop(name, None)
    return light


# --- cuts -------------------------------------------------------------------------------------


def cut_alike(collections: list[Any]) -> list[tuple]:
    """For each chunk of rows, what the collections hold there, as delayed values."""
    cuts = []
    for values in collections:
        in_array = hasattr(values, "chunks") and values.ndim > 1
        whole = values.rechunk({1: -1}) if in_array else values
        cuts.append(np.ravel(whole.to_delayed()).tolist())
    return list(zip(*cuts, strict=True))


def aligned(given: dict[str, Any]) -> list[Any]:
    """Collections that belong to X, cut by rows like it.

    Raises
    ------
    ValueError
        If they cannot be: sizes are unknown, or other.
    """
    X = given["X"]
    return [X, *(_like(X, name, values) for name, values in given.items() if name != "X")]


def _like(X: Any, name: str, values: Any) -> Any:
    """Values of the rows of X, cut like X."""
    rows = _rows(X)
    if not is_lazy(values):
        if rows is None:
            raise ValueError(
                f"{name} must be a Dask collection cut like X, whose chunk sizes are unknown; got "
                f"{type(values).__name__}. Make X an array of known chunks (X.to_dask_array("
                f"lengths=True), X.compute_chunk_sizes()), or give {name} as a Dask collection."
            )
        values = np.asarray(values)
        _check_length(name, sum(rows), len(values))
        array = import_module("dask.array")
        return array.from_array(values, chunks=(rows, *values.shape[1:]))
    own = _rows(values)
    if rows is not None and own is not None:
        _check_length(name, sum(rows), sum(own))
        return values if own == rows else values.rechunk({0: rows})
    counts = _n_pieces(X), _n_pieces(values)
    if counts[0] != counts[1]:
        raise ValueError(
            f"X and {name} must have as many chunks or partitions; got {counts[0]} and "
            f"{counts[1]}, of unknown sizes. Call compute_chunk_sizes() on the arrays, which are "
            f"cut alike then, or repartition {name} like X."
        )
    divisions = [getattr(part, "divisions", (None,)) for part in (X, values)]
    if None not in [*divisions[0], *divisions[1]] and divisions[0] != divisions[1]:
        raise ValueError(
            f"X and {name} must have the same partitions; got divisions {divisions[0]} and "
            f"{divisions[1]}. Use {name}.repartition(divisions=X.divisions)."
        )
    return values


def _rows(values: Any) -> tuple[int, ...] | None:
    """Rows of each chunk of an array; None where they are unknown, as those of frames are."""
    chunks = getattr(values, "chunks", None)
    return None if chunks is None or np.isnan(chunks[0]).any() else chunks[0]


def _n_pieces(values: Any) -> int:
    return values.numblocks[0] if hasattr(values, "numblocks") else values.npartitions


def _check_length(name: str, wanted: int, got: int) -> None:
    if wanted != got:
        raise ValueError(f"X and {name} must have the same number of rows; got {wanted} and {got}.")
