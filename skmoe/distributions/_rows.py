"""Arrays of components of expert families, whose last axis is that of the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from skmoe._numerics.typing import Array

# Fields of components that all rows share.
SHARED_FIELDS = ("values", "correlation")


def expand_rows(values: Array, rows: Array, n_rows: int, fill: float) -> Array:
    """Array with `n_rows` on its last axis, of which `rows` are given and the others `fill`."""
    expanded = np.full((*values.shape[:-1], n_rows), fill)
    expanded[..., rows] = values
    return expanded


def _of_rows(component: Any) -> list[bool]:
    """Whether each field of components, or each of several components, has an axis of rows."""
    names = getattr(component, "_fields", range(len(component)))
    return [name not in SHARED_FIELDS for name in names]


def map_rows(component: Any, function: Callable[[Array], Array]) -> Any:
    """Components with a function applied to all fields that have an axis of rows."""
    if not isinstance(component, tuple):
        return function(component)
    fields = zip(component, _of_rows(component), strict=True)
    return type(component)(
        *(map_rows(values, function) if rows else values for values, rows in fields)
    )


def concatenate_rows(parts: Sequence[Any]) -> Any:
    """Components of all rows from those of row blocks, nested or not."""
    first = parts[0]
    if not isinstance(first, tuple):
        return np.concatenate(parts, axis=-1)
    fields = zip(zip(*parts, strict=True), _of_rows(first), strict=True)
    make = getattr(first, "_make", tuple)
    return make(concatenate_rows(values) if rows else values[0] for values, rows in fields)


def mixture_weights(weights: Iterable[Array], gate_prob: Array) -> Array:
    """Weights (n, C) of the components (C_k, n) of all experts, from those of the gate (K, n)."""
    shares = [share * weight for share, weight in zip(gate_prob, weights, strict=True)]
    return np.ascontiguousarray(np.concatenate(shares)).T


def rows_first(*values: Array) -> tuple[Array, ...]:
    """Arrays (n, C, m) of arrays (C, m, n).

    Row sums depend on the memory layout in their last bit; it is always that of (C, m, n).
    """
    return tuple(np.ascontiguousarray(value).transpose(2, 0, 1) for value in values)


def rows_last(values: Array) -> Array:
    """Array (C, m, n) of an array (n, C, m)."""
    return values.transpose(1, 2, 0)


def mixture_parameters(values: Iterable[Array], single_output: bool) -> Array:
    """Parameters (n, C, m) of components (C_k, m, n) of all experts, or (n, C) of one output."""
    [stacked] = rows_first(np.concatenate(list(values)))
    return stacked[..., 0] if single_output else stacked
