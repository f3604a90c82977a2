"""Validation of hyper-parameters and data.

Error messages name the parameter, the rule, the value, and a remedy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.class_weight import compute_class_weight

from skmoe._numerics.typing import Array

# Largest absolute offset: its exponential is finite.
MAX_OFFSET = 500.0

# Largest total of the weights: sums of weighted squares of standardised values stay finite.
MAX_TOTAL_WEIGHT = 1e140

# Number of characters of a value that a message shows.
MAX_SHOWN = 100

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


def check_integer(name: str, value: Any, least: int, most: int | None = None) -> int:
    """Validate an integer of at least `least`, and at most `most`."""
    is_integer = isinstance(value, Integral) and not isinstance(value, bool | np.bool_)
    if not is_integer or value < least or (most is not None and value > most):
        rule = f"of at least {least}" if most is None else f"from {least} to {most}"
        if is_integer and value >= least:
            remedy = f"Pass a smaller one, such as {name}={max(least, 2)}."
        else:
            remedy = f"Pass an integer such as {name}={max(least, 2)}."
        raise ValueError(f"{name} must be an integer {rule}; got {shown(value)}. {remedy}")
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


def check_level(level: float) -> None:
    """The level of confidence must be in (0, 1)."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must be in (0, 1); got {level!r}. For 95 % use 0.95.")


def check_numbers_of_outputs(name: str, value: Any) -> None:
    """Validate a tuple of finite numbers of at least zero, one for each output."""
    if not isinstance(value, tuple) or not value:
        raise ValueError(
            f"{name} must be a tuple of numbers, one for each output; got {shown(value)}. "
            f"Pass a tuple such as {name}=(1.0,)."
        )
    for number in value:
        check_real(name, number)


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
    is_integer = isinstance(value, Integral) and not isinstance(value, bool | np.bool_)
    if value is not None and (not is_integer or value == 0):
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


def check_weights(sample_weight: Any, n_rows: int) -> Array:
    """Row weights (n,): finite, non-negative, not all zero; None stands for weights of one."""
    weight = check_block_weights(sample_weight, n_rows)
    if not (weight > 0).any():
        raise ValueError(
            "sample_weight must not be zero for every row: all weights are zero. "
            "Give at least some rows a positive weight."
        )
    return weight


def check_block_weights(sample_weight: Any, n_rows: int) -> Array:
    """Row weights (n,) of some of the rows, which may all be zero."""
    if sample_weight is None:
        return np.ones(n_rows)
    weight = _weight_array(sample_weight)
    if weight.ndim == 0:
        weight = np.full(n_rows, float(weight))
    if weight.shape != (n_rows,):
        raise ValueError(
            f"sample_weight must have one entry for each of the {n_rows} rows of X, in one "
            f"dimension; got shape {weight.shape}."
        )
    if not np.isfinite(weight).all():
        raise ValueError("sample_weight must be finite; it contains NaN or infinity: remove them.")
    if (weight < 0).any():
        raise ValueError(
            f"sample_weight must not be negative; its smallest entry is {weight.min():g}. "
            "Drop rows instead of giving them negative weight."
        )
    check_total_weight("sample_weight", weight)
    return weight


def check_offset(offset: Any, n_rows: int, n_outputs: int) -> Array | None:
    """Offsets of the linear predictors, (n,) or (n, m): finite numbers; None stands for none."""
    if offset is None:
        return None
    try:
        values = np.array(offset, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"offset must be an array of numbers; got {type(offset).__name__}. For exposures pass "
            "np.log(exposure)."
        ) from error
    if values.shape not in ((n_rows,), (n_rows, n_outputs)):
        raise ValueError(
            f"offset must have shape (n_samples,) or (n_samples, n_outputs), here {(n_rows,)} or "
            f"{(n_rows, n_outputs)}; got shape {values.shape}. Give one number for each row of X."
        )
    finite = np.isfinite(values)
    if not finite.all():
        row, value = int(np.argwhere(~finite)[0, 0]), values[~finite][0]
        raise ValueError(
            f"offset must hold finite numbers; row {row} holds {value:g}. An offset is the "
            "logarithm of an exposure, which must be positive: remove rows without exposure."
        )
    largest = float(np.abs(values).max(initial=0.0))
    if largest > MAX_OFFSET:
        raise ValueError(
            f"offset must lie between -{MAX_OFFSET:g} and {MAX_OFFSET:g}, as logarithms of "
            f"exposures do; its largest absolute value is {largest:g}. Pass np.log(exposure)."
        )
    return values.ravel() if n_outputs == 1 else values


def _weight_array(sample_weight: Any) -> Array:
    """Weights as floating-point numbers."""
    try:
        given = np.asarray(sample_weight)
        # A conversion would drop imaginary parts, and count the time units of dates.
        if given.dtype.kind not in "biufO":
            raise TypeError
        return np.array(given, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        kind = type(sample_weight).__name__
        if isinstance(sample_weight, np.ndarray):
            kind = f"an array of {sample_weight.dtype}"
        raise ValueError(
            f"sample_weight must be an array of numbers; got {kind}. Pass one number for each row."
        ) from None


def check_total_weight(name: str, weight: Array) -> None:
    """The sum of the weights, and sums of weighted squares, must be finite."""
    largest = float(weight.max(initial=0.0))
    if largest * len(weight) > MAX_TOTAL_WEIGHT:
        raise ValueError(
            f"{name} must give weights with a sum of at most {MAX_TOTAL_WEIGHT:g}; the largest "
            f"weight of {len(weight)} rows is {largest:g}. Divide the weights by their mean."
        )


def class_weights(class_weight: Any, classes: Array, codes: Array, weight: Array) -> Array:
    """Row weights (n,) times class weights.

    "balanced" uses the total weight of each class, so that a row of weight two counts twice.
    """
    if class_weight is None:
        return weight
    if isinstance(class_weight, str) and class_weight == "balanced":
        totals = np.bincount(codes, weight, minlength=len(classes))
        factor = totals.sum() / (len(classes) * np.where(totals > 0, totals, np.inf))
    elif isinstance(class_weight, Mapping):
        try:
            factor = compute_class_weight(dict(class_weight), classes=classes, y=classes[codes])
        except (TypeError, ValueError):
            factor = np.full(len(classes), np.nan)
        if not (np.isfinite(factor).all() and (factor >= 0).all() and (factor > 0).any()):
            raise ValueError(
                "class_weight must give finite non-negative weights, not all zero, for classes "
                f"among {classes.tolist()}; got {shown(class_weight)}. Pass a dict from class to "
                "weight."
            )
    else:
        raise ValueError(
            f'class_weight must be None, "balanced" or a dict from class to weight; '
            f"got {class_weight!r}."
        )
    with np.errstate(over="ignore"):
        weight = weight * factor[codes]
    check_total_weight("sample_weight times class_weight", weight)
    return weight


def check_columns(
    name: str,
    value: Any,
    n_features: int,
    feature_names: Array | None,
    allow_empty: bool = False,
) -> Array | None:
    """Indices of columns given as names, indices or a mask; None stands for all columns."""
    if value is None:
        return None
    try:
        chosen = np.atleast_1d(np.asarray(value))
    except ValueError:  # nested lists of different lengths
        raise ValueError(
            f"{name} must be a flat list of column names or indices, or a boolean mask; got "
            f"{shown(value)}. Leave the inner brackets out."
        ) from None
    if chosen.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional; got shape {chosen.shape}.")
    if chosen.size == 0:
        if allow_empty:
            return np.zeros(0, dtype=np.intp)
        raise ValueError(f"{name} must not be empty; use None for all features.")
    if chosen.dtype.kind in "UOT" and all(isinstance(entry, str) for entry in chosen):
        columns = _named_columns(name, chosen, feature_names)
    elif chosen.dtype.kind == "b":
        if len(chosen) != n_features:
            raise ValueError(
                f"{name} as a mask must have one entry for each of the {n_features} features; "
                f"got {len(chosen)}."
            )
        columns = np.flatnonzero(chosen)
        if len(columns) == 0 and not allow_empty:
            raise ValueError(f"{name} must not be empty; its mask chooses no feature.")
    elif chosen.dtype.kind in "iu":
        outside = chosen[(chosen < -n_features) | (chosen >= n_features)]
        if len(outside):
            raise ValueError(
                f"{name} must hold column indices of X, from 0 to {n_features - 1}; "
                f"got {outside[0]}."
            )
        columns = chosen % n_features
    else:
        raise ValueError(
            f"{name} must be None, column names, column indices or a boolean mask; got {value!r}."
        )
    if len(np.unique(columns)) < len(columns):
        raise ValueError(f"{name} must not name a feature twice; got {value!r}.")
    return columns.astype(np.intp)


def _named_columns(name: str, chosen: Array, feature_names: Array | None) -> Array:
    if feature_names is None:
        raise ValueError(
            f"{name} holds column names, but X has none. Pass X as a data frame whose column "
            f"names are all strings, or give indices: {name}=[0] for the column that reports call "
            "x0."
        )
    position = {feature: i for i, feature in enumerate(feature_names)}
    unknown = [str(entry) for entry in chosen if entry not in position]
    if unknown:
        raise ValueError(
            f"{name} must name columns of X; {unknown[0]!r} is not one of {list(feature_names)}."
        )
    return np.array([position[entry] for entry in chosen])


def check_enough_rows(
    n_experts: int, n_rows: int, rows: str = "distinct rows with positive weight"
) -> None:
    """There must not be more experts than rows."""
    if n_experts > n_rows:
        raise ValueError(
            f"n_experts must not exceed the number of {rows}, {n_rows} (n_samples = {n_rows}); got "
            f"{shown(n_experts)}. Use fewer experts or more data."
        )


def check_two_classes(classes: Array) -> None:
    """There must be at least two classes."""
    if len(classes) < 2:
        raise ValueError(
            f"y must have at least two classes with positive weight; got one class: "
            f"{classes.tolist()}. A classifier needs rows of two classes or more."
        )


def class_codes(y: Array, classes: Array) -> Array:
    """Codes of labels; they must be among the classes of the fit."""
    codes = np.searchsorted(classes, y)
    codes = np.minimum(codes, len(classes) - 1)
    unknown = classes[codes] != y
    if unknown.any():
        raise ValueError(
            f"y must hold classes seen in fit, {classes.tolist()}; got {y[unknown].tolist()[0]!r}."
        )
    return codes


def as_csr(X: Any) -> Any:
    """Sparse input as a CSR array with sorted indices and no duplicates; dense input as is.

    Indices are 32-bit integers where they can be: trees accept no others.
    """
    if not sparse.issparse(X):
        return X
    X = sparse.csr_array(X)
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    if X.indices.dtype != np.int32 and max(X.nnz, *X.shape) <= np.iinfo(np.int32).max:
        indices, indptr = X.indices.astype(np.int32), X.indptr.astype(np.int32)
        X = sparse.csr_array((X.data, indices, indptr), shape=X.shape)
    return X


def check_same_length(X: Any, y: Array) -> Array:
    """X and y must have the same number of rows."""
    if X.shape[0] != len(y):
        raise ValueError(
            f"X and y must have the same number of rows; got {X.shape[0]} and {len(y)}."
        )
    return y


def check_same_outputs(n_outputs: int, n_before: int) -> None:
    """The number of outputs must be that of the fit."""
    if n_outputs != n_before:
        raise ValueError(f"y must have the {n_before} output(s) seen in fit; got {n_outputs}.")
