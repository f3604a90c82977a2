"""Several outputs: their names, which are missing or censored, and what is given for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.utils import check_array, column_or_1d

from skmoe._data import censored_targets as targets
from skmoe._data.checks import has_bounds, numbers, shown
from skmoe._data.encoding import column_of
from skmoe._numerics.typing import Array


def names_of_outputs(y: Any) -> list[str]:
    """Names of the columns of y: those of a frame, or y0, y1, ..., or y for one."""
    columns = list(y if isinstance(y, Mapping) else getattr(y, "columns", ()))
    if columns and all(isinstance(name, str) for name in columns):
        return columns
    n_outputs = len(columns) or np.shape(y)[1]
    return ["y"] if n_outputs == 1 else [f"y{j}" for j in range(n_outputs)]


def in_order_of_fit(y: Any, names: Sequence[str]) -> Any:
    """A dict or a frame with its columns in the order of the fit; other y as it is."""
    given = list(y if isinstance(y, Mapping) else getattr(y, "columns", ()))
    if {*given} == {*names}:
        return {name: y[name] for name in names} if isinstance(y, Mapping) else y[list(names)]
    has_names = given and names != names_of_outputs(np.empty((0, len(names))))
    if not has_names or not all(isinstance(name, str) for name in given):
        return y
    missing, unknown = sorted({*names} - {*given}), sorted({*given} - {*names})
    raise ValueError(
        f"y must have the columns of the fit, {list(names)}; missing are {missing}, and unknown "
        f"{unknown}. Rename the columns, or pass an array in the order of the fit."
    )


def stacked_outcomes(y: Any, names: Sequence[str] = ()) -> Any:
    """Outcomes of a dict, or of a frame with a censored column, as numbers or bounds (n, m).

    A column is censored if it is a structured array, or objects that are its entries. Columns are
    put into the order of the names of the fit, if there are any.
    """
    y = in_order_of_fit(y, names) if names else y
    is_dict = isinstance(y, Mapping)
    columns: Any = {}
    if is_dict or (hasattr(y, "columns") and not hasattr(y, "__dask_graph__")):
        columns = y if is_dict else {name: column_of(y, j) for j, name in enumerate(y.columns)}
    found: Any = {name: _bounds_of(np.asarray(values)) for name, values in columns.items()}
    if not (is_dict or any(map(has_bounds, found.values()))):
        return y
    found |= {name: _numbers(name, columns[name]) for name, own in found.items() if own is None}
    sizes = {name: len(own) for name, own in found.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"y as a dict must have columns of one length; got {sizes}.")
    if not any(map(has_bounds, found.values())):
        return np.stack([*found.values()], axis=1)
    dtype = targets.WITH_ENTRY if any(map(targets.has_entry, found.values())) else targets.BOUNDS
    return np.stack([targets.as_bounds(own, dtype) for own in found.values()], axis=1)


def _bounds_of(column: Array) -> Array | None:
    """The bounds that a column is, or has as objects among numbers; None for a column of others."""
    if has_bounds(column):
        return targets.checked_bounds(column)
    is_entry = np.array([column.dtype == object and isinstance(own, np.void) for own in column])
    if not is_entry.any():
        return None
    entries = column[is_entry].tolist()
    known = targets.checked_bounds(np.array(entries, dtype=entries[0].dtype))
    found = targets.as_bounds(np.full(len(column), np.nan), known.dtype)
    found[is_entry] = known
    found[~is_entry] = targets.as_bounds(_numbers("", column[~is_entry]), known.dtype)
    return found


def _numbers(name: str, values: Any) -> Array:
    """A column of one dimension as numbers, NaN where it is missing."""
    try:
        options = {"ensure_2d": False, "ensure_all_finite": "allow-nan", "ensure_min_samples": 0}
        return np.asarray(column_or_1d(check_array(values, dtype=np.float64, **options)))
    except (TypeError, ValueError):
        remedy = "Convert it. A censored column is list(right_censored(time, event)) of skmoe.data."
        return numbers(f"y[{name!r}]" if name else "censored y", values, remedy)


def by_column(parameter: str, given: Mapping[Any, Any], names: Sequence[str]) -> list[Any]:
    """Values of a dict in the order of the outputs, which it has by name or number."""
    keys = {name: j for j, name in enumerate(names)} | {j: j for j in range(len(names))}
    index = {keys.get(key): key for key in given}
    unknown = [key for key in given if key not in keys]
    absent = [name for j, name in enumerate(names) if j not in index]
    if unknown or absent or len(given) > len(names):
        wrong = f"{shown(unknown[0])} is none" if unknown else "one is named twice"
        wrong = f"{shown(absent[0])} has none" if absent and not unknown else wrong
        raise ValueError(
            f"{parameter} as a dict must have an entry for each column of y, which are "
            f"{list(names)}; {wrong}. Name all of them, or leave that column out of y."
        )
    return [given[index[j]] for j in range(len(names))]


def observed_weight(y: Array, weight: Array, may_be_all: bool, *, is_first: bool) -> Array:
    """Weights of the rows of y with NaN or bounds, zero in a fit where a row has no output.

    A single output may be missing in rows that belong to others, as in a unit.
    """
    missing = targets.is_unknown(y).reshape(len(y), -1)
    if missing.shape[1] == 1 and not may_be_all:
        check_no_missing(missing)
    if not is_first:
        return weight
    without = np.asarray(missing[weight > 0.0].all(axis=0))
    if without.any():
        which = f"column {int(without.argmax())}" if len(without) > 1 else "y"
        raise ValueError(
            f"y must have values in some rows; all of {which} are missing. Leave it out of y, or "
            "pass observed values."
        )
    return np.where(missing.all(axis=1), 0.0, weight)


def check_no_missing(missing: Array) -> None:
    """Raise ValueError if a value is missing, boolean (n, ...)."""
    if missing.any():
        row = int(np.argwhere(missing)[0][0])
        raise ValueError(
            f"y must have no missing values; y contains NaN in row {row}. Drop such rows from X, "
            "y and all other arguments: they say nothing about the model. If values are missing at "
            "random, the likelihood of the other rows is the right one."
        )
