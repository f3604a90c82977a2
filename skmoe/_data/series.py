"""Series: units whose rows follow one another in time, and of which some y may be missing."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmoe._data.checks import shown
from skmoe._data.units import Units, encode_units, make_units
from skmoe._numerics.typing import Array

# Number of series from which on folds have whole ones, and pieces that folds of fewer have about.
MIN_SERIES_OF_FOLDS = 10
PIECES_OF_FOLDS = 30


def make_series(codes: Array, weight: Array) -> Units:
    """Series of rows with codes 0, 1, ... in ascending order; where y is missing, weight is zero.

    The weight of a series is that of its rows.
    """
    series = make_units(codes)
    return series._replace(weight=np.maximum.reduceat(weight, series.starts))


def weight_of_series(codes: Array, weight: Array) -> Array:
    """For each row the weight of its series, (n,), whose codes may be in any order."""
    largest = np.zeros(codes.max(initial=-1) + 1)
    np.maximum.at(largest, codes, weight)
    return largest[codes]


def cut_series(codes: Array, length: int) -> Array:
    """Numbers of pieces of at most so many rows, from the numbers of the series of rows."""
    series = make_units(codes)
    position = np.arange(len(codes)) - series.repeat(series.starts)
    return np.cumsum(position % length == 0) - 1


def parts_of_folds(codes: Array) -> Array:
    """What folds keep whole: series, or pieces of these where they are few."""
    if codes.max(initial=-1) >= MIN_SERIES_OF_FOLDS - 1:
        return codes
    return cut_series(codes, -(-len(codes) // PIECES_OF_FOLDS))


def ranks_in_time(units: Array | None, time: Array | None, n_rows: int) -> tuple[Array, Array]:
    """Number of the series of each row, and ranks of the rows in the order of series and time.

    Without units all rows are one series, and without time they are in its order.
    """
    codes = np.zeros(n_rows, dtype=int) if units is None else encode_units(units)[1]
    times = np.arange(n_rows) if time is None else time
    if times.dtype.kind in "OU" and isinstance(times[0], str):
        raise ValueError(
            f"time must hold numbers or dates, since texts are in the order of letters; row 0 "
            f"holds {shown(times[0])}. Convert it, such as by pandas.to_numeric or to_datetime."
        )
    order = np.lexsort((times, codes))
    if time is not None:
        is_equal = (np.diff(codes[order]) == 0) & (times[order][1:] == times[order][:-1])
        if is_equal.any():
            row = order[int(is_equal.argmax())]
            where = "" if units is None else f" in unit {shown(units[row])}"
            raise ValueError(
                f"time must differ between the rows of a unit, since it orders them; two rows"
                f"{where} have the time {shown(times[row])}. Correct the time, or pass units=, "
                "the series to which each row belongs."
            )
    ranks = np.empty(n_rows, dtype=int)
    ranks[order] = np.arange(n_rows)
    return codes, ranks


# --- checks ---------------------------------------------------------------------------------------


def check_weights_of_units(codes: Array, weight: Array, reason: str) -> None:
    """The rows of a unit must have one weight, where the model has a reason."""
    largest = weight_of_series(codes, weight)
    differs = weight != largest
    if differs.any():
        row = int(differs.argmax())
        raise ValueError(
            f"sample_weight must be equal in all rows of a unit with {reason}, since it counts "
            f"units; row {row} has {weight[row]:g}, and another row of its unit "
            f"{largest[row]:g}. For rows that should not count, set y to NaN."
        )


def without_missing(y: Any, classes: Array | None, *, may_be_all: bool) -> tuple[Array, Array]:
    """A target of series whose missing values have been replaced, and where they were, (n,)."""
    values = np.asarray(y)
    if values.ndim == 0 or values.dtype.kind not in "fO":
        return values, np.zeros(values.shape[:1], dtype=bool)
    entries = values.reshape(len(values), -1)
    missing: Any = np.isnan(entries) if values.dtype.kind == "f" else is_missing(entries)
    absent, missing = missing, missing.all(axis=1)
    if missing.any():
        known = entries[~missing]
        if not len(known) and not may_be_all:
            raise ValueError("y must have values in some rows; all are missing. Pass observed y.")
        # The first value of each output, if there is any.
        filled = entries[absent.argmin(axis=0), np.arange(entries.shape[1])]
        if not len(known):
            filled = np.zeros(1) if classes is None else classes[:1]
            entries = np.broadcast_to(filled, entries.shape)
        values = np.where(missing[:, None], filled, entries).reshape(values.shape)
    return values, missing


def is_missing(entries: Array) -> Array:
    """Which objects are None, or not equal to themselves as NaN and the NA of pandas are."""
    with np.errstate(invalid="ignore"):  # of which NumPy 2.5 warns where a value is NaN
        return ~np.frompyfunc(_is_known, 1, 1)(entries).astype(bool)


def _is_known(value: Any) -> bool:
    is_same = value == value
    return value is not None and isinstance(is_same, bool | np.bool_) and bool(is_same)


def misses_y(y: Any, output: int | None = None) -> Array:
    """Rows (n,) in which all outputs are missing, or one of several."""
    missing = is_missing(np.asarray(y, dtype=object).reshape(len(y), -1))
    if output is None or missing.shape[1] == 1:
        return np.asarray(missing.all(axis=1))
    return np.asarray(missing[:, output])
