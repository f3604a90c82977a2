"""Chunks of Dask collections, and their alignment."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from skmoe._data.rows import is_dask


def zip_chunks(collections: list[Any]) -> list[tuple[Any, ...]]:
    """For each chunk of rows, the delayed values of all collections."""
    chunks = []
    for values in collections:
        has_columns = hasattr(values, "chunks") and values.ndim > 1
        whole_rows = values.rechunk({1: -1}) if has_columns else values
        chunks.append(np.ravel(whole_rows.to_delayed()).tolist())
    return list(zip(*chunks, strict=True))


def align_chunks(collections: dict[str, Any]) -> list[Any]:
    """X, and the other collections with the same chunks of rows.

    Raises
    ------
    ValueError
        If the numbers of rows or chunks differ, or sizes of chunks that are needed are unknown.
    """
    X = collections["X"]
    others = {name: values for name, values in collections.items() if name != "X"}
    return [X, *(_rechunk_like(X, name, values) for name, values in others.items())]


def _rechunk_like(X: Any, name: str, values: Any) -> Any:
    """Values of the rows of X, with the chunks of X."""
    sizes = _chunk_sizes(X)
    if not is_dask(values):
        if sizes is None:
            raise ValueError(
                f"{name} must be a Dask collection with the chunks of X, whose chunk sizes are "
                f"unknown; got {type(values).__name__}. Make X an array of known chunks "
                f"(X.to_dask_array(lengths=True), X.compute_chunk_sizes()), or give {name} as a "
                "Dask collection."
            )
        values = np.asarray(values)
        _check_n_rows(name, sum(sizes), len(values))
        array = import_module("dask.array")
        return array.from_array(values, chunks=(sizes, *values.shape[1:]))
    own_sizes = _chunk_sizes(values)
    if sizes is not None and own_sizes is not None:
        _check_n_rows(name, sum(sizes), sum(own_sizes))
        return values if own_sizes == sizes else values.rechunk({0: sizes})
    n_chunks = _n_chunks(X), _n_chunks(values)
    if n_chunks[0] != n_chunks[1]:
        raise ValueError(
            f"X and {name} must have as many chunks or partitions; got {n_chunks[0]} and "
            f"{n_chunks[1]}, of unknown sizes. Call compute_chunk_sizes() on the arrays, whose "
            f"chunks are then aligned, or repartition {name} like X."
        )
    divisions = [getattr(collection, "divisions", (None,)) for collection in (X, values)]
    if None not in [*divisions[0], *divisions[1]] and divisions[0] != divisions[1]:
        raise ValueError(
            f"X and {name} must have the same partitions; got divisions {divisions[0]} and "
            f"{divisions[1]}. Use {name}.repartition(divisions=X.divisions)."
        )
    return values


def _chunk_sizes(values: Any) -> tuple[int, ...] | None:
    """Number of rows of each chunk of an array; None if unknown, as for data frames."""
    chunks = getattr(values, "chunks", None)
    return None if chunks is None or np.isnan(chunks[0]).any() else chunks[0]


def _n_chunks(values: Any) -> int:
    return int(values.numblocks[0] if hasattr(values, "numblocks") else values.npartitions)


def _check_n_rows(name: str, n_rows_of_x: int, n_rows: int) -> None:
    if n_rows != n_rows_of_x:
        raise ValueError(
            f"X and {name} must have the same number of rows; got {n_rows_of_x} and {n_rows}."
        )
