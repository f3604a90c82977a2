"""Several outputs: their names, which of them are missing, and what is given for each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from skmoe._data.checks import shown
from skmoe._numerics.typing import Array


def names_of_outputs(y: Any) -> list[str]:
    """Names of the columns of several outputs: those of a frame, or y0, y1, ..."""
    columns = list(getattr(y, "columns", ()))
    if columns and all(isinstance(name, str) for name in columns):
        return columns
    return [f"y{j}" for j in range(np.shape(y)[1])]


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
    """Weights of the rows of y with NaN, zero in a fit where all outputs of a row are missing.

    A single output may be missing in rows that belong to others, as in a unit.
    """
    missing: Array = np.isnan(y).reshape(len(y), -1)
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
