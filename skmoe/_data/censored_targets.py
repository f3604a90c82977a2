"""Targets of which some values are known by their bounds only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skmoe._data.checks import has_bounds, numbers, shown
from skmoe._numerics.typing import Array

# An entry of a target: equal bounds of an exact value, infinite ones where an interval is open.
BOUNDS = np.dtype([("lower", np.float64), ("upper", np.float64)])
# The same of rows that are observed from some time on, minus infinity for those from the start.
WITH_ENTRY = np.dtype([*BOUNDS.descr, ("entry", np.float64)])

# Largest round-off of given probabilities of survival.
SURVIVAL_TOL = 1e-6


def right_censored(
    time: ArrayLike | str,
    event: ArrayLike | str,
    *,
    entry: ArrayLike | str | None = None,
    data: Any = None,
) -> Array:
    """Times of events, of which some had not come at the end of the observation.

    With delayed entry, rows whose event came before they could be observed are missing. Their
    likelihood is given that the event came later: that of the mixture is divided by its probability
    of survival until the entry [1]_. Rows of one person with features that change, one after
    another, are start-stop rows: each enters when the one before ends, and `units` of the fit names
    the person. They share an expert. Competing causes are several outputs, each of which is
    censored by the events of the others, with the same entry. A time that is missing is minus
    infinity, without an event.

    Parameters
    ----------
    time : array-like of shape (n_samples,), or str
        Time of the event, or of the end of the observation. Durations (timedelta) are counted in
        days; dates are refused.
    event : array-like of shape (n_samples,), or str
        True, or 1, where the event was observed at `time`; False, or 0, where it comes later.
    entry : array-like of shape (n_samples,), or str, default=None
        Time from which on each row was observed, below `time`, and in its unit; 0 is the start.
        None: all rows were observed from the start.
    data : data frame, default=None
        Frame whose columns `time`, `event` and `entry` name where they are texts.

    Returns
    -------
    y : ndarray of shape (n_samples,)
        Structured array with the fields lower and upper: equal where the event was observed, and
        infinity as upper bound elsewhere. With delayed entry it has the field entry as well.

    Raises
    ------
    ValueError
        If times are no numbers, an event is no flag, an entry is not before its time, or `data`
        lacks a column.

    See Also
    --------
    left_censored : Values below a limit of detection.
    interval_censored : Values between two times.

    References
    ----------
    .. [1] J. P. Klein and M. L. Moeschberger (2003), "Survival Analysis", 2nd edition, Springer,
       section 3.4.

    Examples
    --------
    >>> from skmoe.data import right_censored
    >>> right_censored([5.0, 8.0], [True, False])["upper"]
    array([ 5., inf])
    >>> right_censored([5.0, 8.0], [True, False], entry=[0.0, 2.5])["entry"]
    array([0. , 2.5])

    From a data frame:

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"years": [5.0, 8.0], "died": [1, 0], "since": [0.0, 2.5]})
    >>> right_censored("years", "died", entry="since", data=frame).tolist()
    [(5.0, 5.0, 0.0), (8.0, inf, 2.5)]
    """
    time, event = _column("time", time, data), _column("event", event, data)
    entry = _column("entry", entry, data)
    times = _numbers("time", time)
    y = _bounds(times, np.where(_flags("event", event, times), times, np.inf))
    if entry is None:
        return y
    start = _numbers("entry", entry)
    if start.shape != times.shape:
        raise ValueError(
            f"entry must have a time for each row, here shape {times.shape}; got {start.shape}. "
            "Pass 0 for rows that were observed from the start."
        )
    with_entry = np.empty(y.shape, dtype=WITH_ENTRY)
    with_entry["lower"], with_entry["upper"], with_entry["entry"] = y["lower"], y["upper"], start
    return checked_bounds(with_entry)


def left_censored(y: ArrayLike, observed: ArrayLike) -> Array:
    """Values of which some are only known to be at most a limit, as that of an instrument.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        The value, or the limit.
    observed : array-like of shape (n_samples,)
        True, or 1, where the value is `y`; False, or 0, where it is at most `y`.

    Returns
    -------
    y : ndarray of shape (n_samples,)
        Structured array with the fields lower and upper: equal where the value was observed, and
        minus infinity as lower bound elsewhere.

    See Also
    --------
    right_censored : Events that had not come.

    Examples
    --------
    >>> from skmoe.data import left_censored
    >>> left_censored([5.0, 0.1], [True, False])["lower"]
    array([  5., -inf])
    """
    values = _numbers("y", y)
    return _bounds(np.where(_flags("observed", observed, values), values, -np.inf), values)


def interval_censored(lower: ArrayLike, upper: ArrayLike) -> Array:
    """Values that lie between two bounds, which are equal where the value is known.

    Parameters
    ----------
    lower, upper : array-like of shape (n_samples,)
        Bounds of each value; minus infinity, or infinity, where there is none. Both bounds belong
        to the interval, which counts make a difference of.

    Returns
    -------
    y : ndarray of shape (n_samples,)
        Structured array with the fields lower and upper.

    See Also
    --------
    right_censored : Events that had not come.
    left_censored : Values below a limit of detection.

    Examples
    --------
    >>> from skmoe.data import interval_censored
    >>> interval_censored([1.0, 3.0], [2.0, 3.0])["lower"]
    array([1., 3.])
    """
    return _bounds(lower, upper)


def _column(name: str, values: Any, data: Any) -> Any:
    """The column of a frame that a text names; other values as they are."""
    if not isinstance(values, str):
        return values
    columns = list(getattr(data, "columns", ()))
    if values not in columns:
        raise ValueError(
            f"{name} must be the name of a column of data, {shown(columns)}; got {values!r}. Pass "
            "data=frame, or the values."
        )
    return data[values]


def _numbers(name: str, values: ArrayLike) -> Array:
    given = np.asarray(values)
    if given.dtype.kind == "m":  # a conversion to numbers would count in the unit of the array
        return given / np.timedelta64(1, "D")
    remedy = f"Convert it. Dates become times since a start by {name} - start, counted in days."
    return numbers(name, values, remedy)


def _flags(name: str, values: ArrayLike, of: Array) -> Array:
    """Whether each of some values is known."""
    given = np.asarray(values)
    if given.shape != of.shape:
        raise ValueError(
            f"{name} must have an entry for each value, here shape {of.shape}; got {given.shape}. "
            "Pass True or False for each row."
        )
    remedy = "Pass True and False, or 1 and 0. Compare a code with that of the event."
    flags = numbers(name, values, remedy)
    is_wrong = ~np.isin(flags, (0.0, 1.0))
    if is_wrong.any():
        found = shown(given[is_wrong][0])
        raise ValueError(f"{name} must hold True and False, or 1 and 0; got {found}. {remedy}")
    return flags == 1.0


def _bounds(lower: ArrayLike, upper: ArrayLike) -> Array:
    low, high = _numbers("lower", lower), _numbers("upper", upper)
    if low.shape != high.shape:
        raise ValueError(
            f"censored y must have two numbers for each row; got {low.shape} and {high.shape}."
        )
    y = np.empty(low.shape, dtype=BOUNDS)
    y["lower"], y["upper"] = low, high
    return checked_bounds(y)


# --- checks -----------------------------------------------------------------------------------


def checked_bounds(y: Array) -> Array:
    """Bounds of a structured target, of fields lower and upper, or an event and a time."""
    names = y.dtype.names
    assert names is not None
    kinds = [y.dtype[name].kind for name in names]
    if {*names} - {"entry"} == {"lower", "upper"}:
        bounds = np.empty(y.shape, dtype=WITH_ENTRY if has_entry(y) else BOUNDS)
        for name in bounds.dtype.names or ():
            bounds[name] = _numbers(f"y[{name!r}]", y[name])
    elif sorted(kinds) in (["b", "f"], ["b", "i"], ["b", "u"]):
        event, time = (names[kinds.index("b")], names[1 - kinds.index("b")])
        return right_censored(y[time], y[event])
    else:
        raise ValueError(
            "y as a structured array must have the fields lower and upper, or one of truth values "
            f"for the event and one of times; got {', '.join(names)}. Use skmoe.data, or "
            "numpy.lib.recfunctions.structured_to_unstructured for several outputs."
        )
    lower, upper = bounds["lower"], bounds["upper"]
    entry = bounds["entry"] if has_entry(bounds) else np.full(lower.shape, -np.inf)
    for is_bad, rule in (
        (np.isnan(lower) | np.isnan(upper), "must not be NaN"),
        (upper < lower, "must not have an upper bound below the lower one"),
        ((lower == upper) & np.isinf(lower), "must be finite where it is known"),
        (np.isposinf(lower) | np.isneginf(upper), "must have a bound on the other side"),
        (~((entry < lower) | np.isneginf(entry)), "must have entries before the times"),
    ):
        rows = np.flatnonzero(is_bad.any(axis=tuple(range(1, is_bad.ndim))))
        if len(rows):
            raise ValueError(
                f"censored y {rule}; row {rows[0]} is {shown_target(bounds[rows[0]])}. Correct or "
                "drop such rows."
            )
    return bounds


def numbers_of(use: str, y: Any) -> Array:
    """Values of y as numbers; ValueError for a censored target, where a use needs numbers."""
    y = simplified(checked_bounds(y)) if has_bounds(y) else y
    if has_bounds(y):
        raise ValueError(
            f"{use} needs values of y, and y is censored: of some values only bounds are known. "
            "Use score_samples, summary, make_survival_scorers or SurvivalDisplay."
        )
    return np.asarray(y, dtype=float)


def bounds_of(y: ArrayLike, use: str = "") -> Array:
    """Bounds of a target, equal ones of numbers; a use that is named needs all of the follow-up."""
    check_no_entry(use, y) if use else None
    return checked_bounds(y) if has_bounds(y) else _bounds(y, y)  # type: ignore[arg-type]


def check_no_entry(use: str, y: Any) -> None:
    """Raise ValueError for a target with delayed entry, where a use has no place for it."""
    if has_entry(y):
        raise ValueError(
            f"{use} needs rows that are observed from the start, and y has delayed entry. Use "
            "score_samples, summary, SurvivalDisplay, or rows whose entry is 0, without `entry`."
        )


def entries(y: Any) -> Array | None:
    """Times from which on rows were observed; None for all from the start."""
    return np.asarray(y["entry"]) if has_entry(y) else None


def times_and_events(use: str, y: ArrayLike, *, may_enter: bool = False) -> tuple[Array, Array]:
    """Times, and whether the event came then, of values or right-censored ones."""
    bounds = bounds_of(y, "" if may_enter else use)
    is_right = np.isfinite(bounds["lower"]) & np.isposinf(bounds["upper"])
    if bounds.ndim != 1 or not (is_exact(bounds) | is_right).all():
        raise ValueError(
            f"{use} needs one value or right-censored time for each row, and y has other bounds or "
            "several outputs. Use log_density_scorer, or CalibrationDisplay."
        )
    return bounds["lower"], is_exact(bounds)


def missed_events(y: Array, weight: Any) -> float:
    """Probability of so few events shortly before the last one, if more of them could come [1]_.

    They are those that came later than the last event less the time that was observed after it. NaN
    for intervals.

    References
    ----------
    .. [1] R. A. Maller and S. Zhou (1994), "Testing for sufficient follow-up and outliers in
       survival data", Journal of the American Statistical Association 89, 1499-1506.
    """
    event = np.isfinite(y["upper"])
    weight = np.ones(len(y)) if weight is None else np.asarray(weight)
    if has_intervals(y) or not event.any():
        return np.nan
    time = np.where(event, y["upper"], y["lower"])
    is_late = event & (time > 2.0 * time[event].max() - time.max())
    return float((1.0 - weight[is_late].sum() / weight.sum()) ** weight.sum())


def check_some_known(y: Array, weight: Array) -> None:
    """Some values of each output must be bounded from above, and some from below."""
    present = y[weight > 0.0].reshape(np.count_nonzero(weight), -1)
    for name, side in (("upper", "right"), ("lower", "left")):
        without = ~np.isfinite(present[name]).any(axis=0)
        if without.any():
            of = f" of column {without.argmax()}" if len(without) > 1 else ""
            raise ValueError(
                f"y must have rows that are not {side}-censored; all rows{of} are, and so the "
                "likelihood has no maximum. Observe for longer, or check the coding of the event."
            )


def last_times(y: Array, weight: Array) -> Array | None:
    """Largest bound of each right-censored output, infinite for others, (m,); None without any."""
    present = np.atleast_2d(y[weight > 0.0].T)
    is_lost = (np.isposinf(present["upper"]) & np.isfinite(present["lower"])).any(axis=1)
    last = np.where(np.isfinite(present["upper"]), present["upper"], present["lower"]).max(axis=1)
    return np.where(is_lost, last, np.inf) if is_lost.any() else None


def check_survival(survival: Any, times: Any, n_rows: int, n_times: int = 1) -> tuple[Array, Array]:
    """Validate probabilities (n_rows, q) of no event until q increasing times."""
    survival, times = _numbers("survival", survival), _numbers("times", times)
    is_increasing = np.isfinite(times).all() and bool((np.diff(times) > 0.0).all())
    if times.ndim != 1 or len(times) < n_times or not is_increasing:
        raise ValueError(
            f"times must be finite and increasing, in one dimension, at least {n_times}; got shape "
            f"{times.shape}. Use numpy.unique."
        )
    if survival.shape != (n_rows, len(times)):
        raise ValueError(
            f"survival must have shape {(n_rows, len(times))}, with a row for each of y and a "
            f"column for each time; got {survival.shape}. Use predict_dist(X).sf(times[None])."
        )
    is_wrong = ~((survival >= -SURVIVAL_TOL) & (survival <= 1.0 + SURVIVAL_TOL))
    if is_wrong.any():
        raise ValueError(
            f"survival must hold probabilities from 0 to 1; row {np.argwhere(is_wrong)[0, 0]} "
            f"holds {survival[is_wrong][0]:g}. Use predict_dist(X).sf(times[None])."
        )
    return survival, times


def shown_target(entry: Any) -> str:
    """One or several values or intervals in a message."""
    if not has_bounds(entry):
        return ", ".join(f"{value:g}" for value in np.atleast_1d(entry))
    pairs = zip(np.atleast_1d(entry["lower"]), np.atleast_1d(entry["upper"]), strict=True)
    shown = [f"{low:g}" if low == high else f"{low:g} to {high:g}" for low, high in pairs]
    start = np.atleast_1d(entry["entry"]) if has_entry(entry) else ()
    return ", ".join(shown + [f"entry {time:g}" for time in start])


# --- values -----------------------------------------------------------------------------------


def has_entry(y: Any) -> bool:
    """Whether some rows may be observed from a time on only."""
    return has_bounds(y) and "entry" in y.dtype.names


def has_intervals(y: Any) -> bool:
    """Whether some values are between two bounds that differ."""
    return has_bounds(y) and bool((np.isfinite(y["upper"] - y["lower"]) & ~is_exact(y)).any())


def is_unknown(y: Array) -> Array:
    """Where nothing is known: NaN, or an interval without bounds."""
    if not has_bounds(y):
        return np.isnan(y)
    return np.asarray(np.isneginf(y["lower"]) & np.isposinf(y["upper"]))


def as_bounds(y: Array, dtype: Any) -> Array:
    """Numbers, NaN where they are unknown, or bounds, as bounds of a type."""
    found = np.empty(y.shape, dtype)
    unknown, of_bounds = is_unknown(y), has_bounds(y)
    found["lower"] = np.where(unknown, -np.inf, y["lower"] if of_bounds else y)
    found["upper"] = np.where(unknown, np.inf, y["upper"] if of_bounds else y)
    if has_entry(found):
        found["entry"] = y["entry"] if has_entry(y) else -np.inf
    return found


def simplified(y: Array, ignored: Any = np.False_) -> Array:
    """Bounds without entries that are none, or numbers, NaN where unknown, without intervals.

    Rows that are ignored, boolean (n,), as those without weight, are unknown.
    """
    if has_entry(y):
        if ((-np.inf < y["entry"].T) & ~ignored).any():
            return y
        y = as_bounds(y, BOUNDS)
    unknown = (is_unknown(y).T | ignored).T
    return np.where(unknown, np.nan, y["lower"]) if (unknown | is_exact(y)).all() else y


def is_exact(y: Array) -> Array:
    """Which entries are values, and not intervals."""
    return np.asarray(y["lower"] == y["upper"]) if has_bounds(y) else np.ones(np.shape(y), bool)


def point_values(y: Array) -> Array:
    """A number for each entry: the value, the middle of an interval, or its finite end.

    Zero if there is none.
    """
    if not has_bounds(y):
        return y
    lower, upper = y["lower"], y["upper"]
    low = np.where(np.isfinite(lower), lower, np.where(np.isfinite(upper), upper, 0.0))
    high = np.where(np.isfinite(upper), upper, low)
    return np.asarray(low + 0.5 * (high - low))


def map_target(y: Array, increasing: Callable[[Array], Array]) -> Array:
    """Bounds after an increasing map of their values."""
    mapped = np.empty(y.shape, dtype=y.dtype)
    for name in y.dtype.names or ():
        mapped[name] = increasing(y[name])
    return mapped


def interval_keys(y: Array) -> tuple[Array, Array]:
    """Widths of intervals (m, n), -1 without bounds and 0 with one, and the sides that are open.

    Sides alone depend on the signs of the outputs, which must not change the order of rows.
    """
    lower, upper = (np.atleast_2d(y[name].T) for name in ("lower", "upper"))
    is_open = np.isneginf(lower), np.isposinf(upper)
    width = np.where(is_open[0] | is_open[1], 0.0, upper - lower)
    return np.where(is_open[0] & is_open[1], -1.0, width), is_open[1].astype(float) - is_open[0]
