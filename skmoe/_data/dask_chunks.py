"""Chunks of Dask collections."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np


def is_dask(X: Any) -> bool:
    """Whether X is a Dask array or data frame."""
    return callable(getattr(X, "__dask_graph__", None)) and hasattr(X, "ndim")


def zip_chunks(collections: list[Any]) -> list[tuple]:
    """For each chunk of rows, what the collections hold there, as delayed values."""
    cuts = []
    for values in collections:
        in_array = hasattr(values, "chunks") and values.ndim > 1
        whole = values.rechunk({1: -1}) if in_array else values
        cuts.append(np.ravel(whole.to_delayed()).tolist())
    return list(zip(*cuts, strict=True))


def align_chunks(given: dict[str, Any]) -> list[Any]:
    """Collections that belong to X, cut by rows like it.

    Raises
    ------
    ValueError
        If they cannot be: sizes are unknown, or other.
    """
    X = given["X"]
    return [X, *(_rechunk_like(X, name, values) for name, values in given.items() if name != "X")]


def _rechunk_like(X: Any, name: str, values: Any) -> Any:
    """Values of the rows of X, cut like X."""
    rows = _rows(X)
    if not is_dask(values):
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
