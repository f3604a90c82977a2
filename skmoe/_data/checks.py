"""Validation of hyper-parameters and data.

Error messages name the parameter, the rule, the value, and a remedy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from skmoe._numerics.typing import Array

# Number of characters of a value that a message shows.
MAX_SHOWN = 100

# Largest absolute offset: its exponential is finite.
MAX_OFFSET = 500.0
# Largest total of the weights: sums of weighted squares of standardised values stay finite.
MAX_TOTAL_WEIGHT = 1e140

# --- hyper-parameters -------------------------------------------------------------------------


def shown(value: Any) -> str:
    """A value in a message, cut to a readable length."""
    if isinstance(value, np.number | np.str_):
        value = value.item()
    try:
        text = repr(value)
    except ValueError:  # Python refuses to write integers of thousands of digits
        text = f"an {type(value).__name__} of more digits than Python writes"
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def has_bounds(y: Any) -> bool:
    """Whether a target is a structured array, which holds bounds or events."""
    return getattr(getattr(y, "dtype", None), "names", None) is not None


def is_integer(value: Any) -> bool:
    """Whether a value is an integer, and no boolean."""
    return isinstance(value, Integral) and not isinstance(value, bool | np.bool_)


def check_integer(name: str, value: Any, least: int, most: int | None = None) -> int:
    """Validate an integer of at least `least`, and at most `most`."""
    if not is_integer(value) or value < least or (most is not None and value > most):
        rule = f"of at least {least}" if most is None else f"from {least} to {most}"
        example = max(least, 2) if most is None else min(max(least, 2), most)
        raise ValueError(
            f"{name} must be an integer {rule}; got {shown(value)}. Pass, say, {name}={example}."
        )
    return int(value)


def check_real(name: str, value: Any, least: float = 0.0, most: float = np.inf) -> float:
    """Validate a finite number of at least `least`, and at most `most`."""
    number = np.nan
    if isinstance(value, Real) and not isinstance(value, bool | np.bool_):
        try:
            number = float(value)
        except OverflowError:
            number = np.inf
    if not np.isfinite(number) or not least <= number <= most:
        upper = f" and at most {most:g}" if np.isfinite(most) else ""
        raise ValueError(
            f"{name} must be a finite number of at least {least:g}{upper}; got {shown(value)}. "
            f"Pass a number such as {name}={max(least, 1.0):g}."
        )
    return number


def numbers(name: str, values: Any, remedy: str = "Convert it.") -> Array:
    """Values as an array of numbers, which no texts, dates or complex numbers are."""
    try:
        given = np.asarray(values)
        # A conversion would drop imaginary parts, and count the time units of dates.
        if given.dtype.kind in "cmM":
            raise TypeError
        return np.array(given, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        entries = np.ravel(np.asarray(values, dtype=object)).tolist()
        found = next((entry for entry in entries if not isinstance(entry, Real)), values)
        kind = getattr(values, "dtype", type(values).__name__)
        raise ValueError(
            f"{name} must hold numbers; got {shown(found)} ({kind}). {remedy}"
        ) from None


def check_level(level: Any, may_be_none: bool = False, name: str = "level") -> None:
    """A confidence or probability must be in (0, 1), or may be None for no intervals."""
    is_number = isinstance(level, Real) and not isinstance(level, bool | np.bool_)
    if not ((is_number and 0.0 < level < 1.0) or (may_be_none and level is None)):
        rule = "in (0, 1), or None for no intervals" if may_be_none else "in (0, 1)"
        raise ValueError(f"{name} must be {rule}; got {shown(level)}. For 95 % use 0.95.")


def check_instance(name: str, value: Any) -> None:
    """An estimator or a part must be an object, not its class."""
    if isinstance(value, type):
        raise ValueError(
            f"{name} must be an instance; got the class {value.__name__}. Pass an instance: "
            f"{value.__name__}()."
        )


def check_transformer(name: str, value: Any) -> None:
    """Validate None or a transformer that can be cloned."""
    check_instance(name, value)
    missing = [m for m in ("get_params", "fit", "transform") if not hasattr(value, m)]
    if value is not None and missing:
        raise ValueError(
            f"{name} must be None or a transformer of scikit-learn's kind; got {shown(value)}, "
            f"which has no method {missing[0]}. Pass a transformer such as SplineTransformer()."
        )


def check_n_jobs(value: Any) -> int | None:
    """Validate a number of jobs: None or an integer other than zero."""
    if value is not None and (not is_integer(value) or value == 0):
        raise ValueError(
            f"n_jobs must be None or an integer other than 0; got {shown(value)}. Pass n_jobs=-1 "
            "for all processors, or None for one job."
        )
    return None if value is None else int(value)


def check_choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """Validate one of several names."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {sorted(choices)}; got {value!r}.")
    return value


def check_flag(name: str, value: Any) -> bool:
    """Validate a boolean."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False; got {value!r}.")
    return bool(value)


def check_columns(
    name: str, value: Any, n_features: int, feature_names: Array | None, allow_empty: bool = False
) -> Array | None:
    """Indices of columns given as names, indices, a slice or a mask; None stands for all."""
    if value is None:
        return None
    if isinstance(value, slice):
        value = np.arange(n_features)[value]
    try:
        chosen = np.atleast_1d(np.asarray(value))
    except ValueError:  # nested lists of different lengths
        chosen = np.empty((0, 0))
    names = chosen.dtype.kind in "UOT" and all(isinstance(entry, str) for entry in chosen)
    if chosen.ndim != 1 or (chosen.size and not names and chosen.dtype.kind not in "biu"):
        raise ValueError(
            f"{name} must be None, or a flat list (one-dimensional) of column names, column "
            f"indices, or a boolean mask; got {shown(value)}. Leave inner brackets out."
        )
    if chosen.size == 0:
        columns = np.zeros(0, dtype=np.intp)
    elif names:
        if feature_names is None:
            raise ValueError(
                f"{name} holds column names, but X has none. Pass X as a data frame whose column "
                f"names are all strings, or give indices: {name}=[0] for the column that reports "
                "call x0."
            )
        position = {feature: i for i, feature in enumerate(feature_names)}
        unknown = [str(entry) for entry in chosen if entry not in position]
        if unknown:
            given = list(feature_names)
            raise ValueError(
                f"{name} must name columns of X; {unknown[0]!r} is not one of {given}."
            )
        columns = np.array([position[entry] for entry in chosen])
    elif chosen.dtype.kind == "b":
        if len(chosen) != n_features:
            raise ValueError(
                f"{name} as a mask must have one entry for each of the {n_features} features; "
                f"got {len(chosen)}."
            )
        columns = np.flatnonzero(chosen)
    else:
        outside = chosen[(chosen < -n_features) | (chosen >= n_features)]
        if len(outside):
            raise ValueError(
                f"{name} must hold column indices of X, from 0 to {n_features - 1}; "
                f"got {outside[0]}."
            )
        columns = chosen % n_features
    if len(columns) == 0 and not allow_empty:
        raise ValueError(f"{name} must not be empty: no feature is chosen. Use None for all.")
    if len(np.unique(columns)) < len(columns):
        raise ValueError(f"{name} must not name a feature twice; got {shown(value)}.")
    return columns.astype(np.intp)


def check_signs(
    monotonic_cst: Any, expert_columns: Array | None, n_features: int, names: Array | None
) -> tuple[int, ...]:
    """Signs of the slopes of the experts' columns, given for all features or by name.

    There are none, (), if all are 0.
    """
    rule = "monotonic_cst must hold 1 (increasing), -1 (decreasing) or 0 (any)"
    if isinstance(monotonic_cst, Mapping):
        columns = check_columns("monotonic_cst", list(monotonic_cst), n_features, names, True)
        given, values = list(monotonic_cst.values()), np.zeros(n_features, dtype=object)
        values[columns] = given
    else:
        values = np.asarray(monotonic_cst, dtype=object)
        if values.shape != (n_features,):
            raise ValueError(
                f"{rule} for each of the {n_features} features; got {shown(monotonic_cst)}. Give "
                "all of them, or a dict with the names of some."
            )
    wrong = [v for v in values if isinstance(v, bool | np.bool_ | str) or v not in (-1, 0, 1)]
    if wrong:
        raise ValueError(f"{rule}; got {shown(wrong[0])}.")
    used = np.arange(n_features) if expert_columns is None else expert_columns
    without_slope = np.setdiff1d(np.flatnonzero(values), used)
    if len(without_slope):
        raise ValueError(
            "monotonic_cst must have 0 for features that are not among the expert_features; column "
            f"{without_slope[0]} has {values[without_slope[0]]}."
        )
    return tuple(int(values[j]) for j in used) if values.any() else ()


# --- weights, offsets and labels ------------------------------------------------------------------


def check_weights(sample_weight: Any, n_rows: int, *, may_be_zero: bool = False) -> Array:
    """Row weights (n,): finite, non-negative, not all zero; None stands for weights of one."""
    if sample_weight is None:
        return np.ones(n_rows)
    weight = _numbers_of_rows("sample_weight", sample_weight, n_rows, "finite and not negative")
    check_total_weight("sample_weight", weight)
    if not (may_be_zero or (weight > 0).any()):
        raise ValueError(
            "sample_weight must not be zero for every row: all weights are zero. "
            "Give at least some rows a positive weight."
        )
    return weight


def _numbers_of_rows(name: str, given: Any, n_rows: int, rule: str, least: float = 0.0) -> Array:
    """Finite numbers (n,) of at least some value; a single one is that of all rows."""
    values = numbers(name, given, "Pass one number for each row.")
    values = np.full(n_rows, float(values)) if values.ndim == 0 else values
    if values.shape != (n_rows,):
        raise ValueError(
            f"{name} must have one entry for each of the {n_rows} rows of X, in one dimension; got "
            f"shape {values.shape}."
        )
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= least)))
    if len(wrong):
        row = wrong[0]
        raise ValueError(f"{name} must be {rule}; row {row} holds {values[row]:g}. Drop such rows.")
    return values


def check_frequencies(test: str, sample_weight: Any) -> None:
    """The weights of a test must be whole numbers, of which likelihoods are those of rows."""
    weight = numbers("sample_weight", sample_weight)
    wrong = np.flatnonzero(weight != np.round(weight))
    if len(wrong):
        raise ValueError(
            f"sample_weight must hold whole numbers for {test}, the frequencies of rows, of which "
            f"there is a likelihood; row {wrong[0]} has weight {weight.ravel()[wrong[0]]:g}. For "
            'sampling weights use inference(X, y, method="sandwich", cluster=..., strata=...) and '
            "its wald_test; for averages of several values pass var_weights instead."
        )


def check_var_weights(var_weights: Any, n_rows: int) -> Array | None:
    """Numbers of values (n,) of which each y is the mean: positive; None if all are one."""
    rule = "positive and finite, the numbers of values of which each y is the mean"
    values = _numbers_of_rows("var_weights", var_weights, n_rows, rule, np.nextafter(0.0, 1.0))
    return None if (values == 1.0).all() else values


def check_total_weight(name: str, weight: Array) -> None:
    """The sum of the weights, and sums of weighted squares, must be finite."""
    largest = float(weight.max(initial=0.0))
    if largest * len(weight) > MAX_TOTAL_WEIGHT:
        raise ValueError(
            f"{name} must give weights with a sum of at most {MAX_TOTAL_WEIGHT:g}; the largest "
            f"weight of {len(weight)} rows is {largest:g}. Divide the weights by their mean."
        )


def check_offset(offset: Any, n_rows: int, n_outputs: int) -> Array:
    """Offsets of the linear predictors, (n,) or (n, m): finite numbers."""
    values = numbers("offset", offset, "For exposures pass np.log(exposure).")
    if values.shape not in ((n_rows,), (n_rows, n_outputs)):
        raise ValueError(
            f"offset must have shape (n_samples,) or (n_samples, n_outputs), here {(n_rows,)} or "
            f"{(n_rows, n_outputs)}; got shape {values.shape}. Give one number for each row of X."
        )
    wrong = ~(np.abs(values) <= MAX_OFFSET)
    if wrong.any():
        raise ValueError(
            f"offset must lie between -{MAX_OFFSET:g} and {MAX_OFFSET:g}, as logarithms of "
            f"exposures do; row {np.argwhere(wrong)[0, 0]} holds {values[wrong][0]:g}. Pass "
            "np.log(exposure), and remove rows without exposure."
        )
    return values.ravel() if n_outputs == 1 else values


def check_metadata(metadata: Mapping[str, Any], n_rows: int) -> dict[str, Array]:
    """Metadata as arrays, which must have one entry for each row; None is dropped."""
    arrays = {name: np.asarray(values) for name, values in metadata.items() if values is not None}
    for name, values in arrays.items():
        if values.ndim == 0 and values.dtype.kind in "US":
            raise ValueError(
                f"{name} must hold one label for each of the {n_rows} rows of X; got the text "
                f"{shown(values.item())}. If it names a column, pass the column: "
                f"{name}=frame[{shown(values.item())}]."
            )
        if values.ndim == 0 or len(values) != n_rows:
            raise ValueError(
                f"{name} must have one entry for each of the {n_rows} rows of X; got shape "
                f"{values.shape}."
            )
        if name in ("groups", "units", "cluster", "strata", "time"):
            check_labels(name, values)
    return arrays


def check_labels(name: str, labels: Array) -> None:
    """Labels must be of one kind, so that they can be sorted, and none may be missing."""
    if labels.ndim != 1:
        raise ValueError(f"{name} must have one dimension; got shape {labels.shape}.")
    try:
        # What differs from itself is NaN, or a missing date; for `pandas.NA` there is an error.
        is_missing = bool((labels != labels).any()) or None in labels.tolist()
        np.unique(labels)
    except TypeError:
        is_missing = True
    if is_missing:
        distinct = {shown(label): label for label in labels.tolist()}
        raise ValueError(
            f"{name} must hold labels of one kind, all numbers or all strings, and none missing; "
            f"got {shown(list(distinct.values())[:5])}. Drop rows without a label, and convert the "
            "others."
        )
