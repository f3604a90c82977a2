"""Validation of hyper-parameters and data.

Error messages name the parameter, the rule, the value, and a remedy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.class_weight import compute_class_weight

from skmoe._numerics.typing import Array

# Largest absolute offset: its exponential is finite.
MAX_OFFSET = 500.0

# --- hyper-parameters -------------------------------------------------------------------------


def check_integer(name: str, value: Any, least: int) -> int:
    """Validate an integer of at least `least`."""
    if not isinstance(value, Integral) or isinstance(value, bool | np.bool_) or value < least:
        raise ValueError(
            f"{name} must be an integer of at least {least}; got {value!r}. "
            f"Pass an integer such as {name}={max(least, 2)}."
        )
    return int(value)


def check_real(name: str, value: Any, least: float = 0.0) -> float:
    """Validate a finite number of at least `least`."""
    is_number = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
    if not is_number or not np.isfinite(value) or value < least:
        raise ValueError(
            f"{name} must be a finite number of at least {least:g}; got {value!r}. "
            f"Pass a number such as {name}={max(least, 1.0):g}."
        )
    return float(value)


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
    if sample_weight is None:
        return np.ones(n_rows)
    try:
        weight = np.array(sample_weight, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"sample_weight must be an array of numbers; got {type(sample_weight).__name__}."
        ) from error
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
    if not (weight > 0).any():
        raise ValueError(
            "sample_weight must not be zero for every row: all weights are zero. "
            "Give at least some rows a positive weight."
        )
    return weight


def check_offset(offset: Any, n_rows: int, n_outputs: int) -> Array | None:
    """Offsets of the linear predictors, (n,) or (m, n): finite numbers; None stands for none."""
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
    return values.ravel() if n_outputs == 1 else np.ascontiguousarray(values.T)


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
        factor = compute_class_weight(dict(class_weight), classes=classes, y=classes[codes])
        if not (np.isfinite(factor).all() and (factor >= 0).all() and (factor > 0).any()):
            raise ValueError(
                f"class_weight must give finite non-negative weights, not all zero; "
                f"got {class_weight!r}."
            )
    else:
        raise ValueError(
            f'class_weight must be None, "balanced" or a dict from class to weight; '
            f"got {class_weight!r}."
        )
    return weight * factor[codes]


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
    chosen = np.atleast_1d(np.asarray(value))
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
            "names are all strings, or give indices."
        )
    position = {feature: i for i, feature in enumerate(feature_names)}
    unknown = [str(entry) for entry in chosen if entry not in position]
    if unknown:
        raise ValueError(
            f"{name} must name columns of X; {unknown[0]!r} is not one of {list(feature_names)}."
        )
    return np.array([position[entry] for entry in chosen])


def check_enough_rows(n_experts: int, n_distinct: int) -> None:
    """There must not be more experts than distinct rows."""
    if n_experts > n_distinct:
        raise ValueError(
            f"n_experts must not exceed the number of distinct rows with positive weight, "
            f"{n_distinct} (n_samples = {n_distinct}); got {n_experts}. "
            "Use fewer experts or more data."
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


@contextmanager
def explain_missing_values() -> Iterator[None]:
    """Add a remedy to scikit-learn's error about missing values."""
    try:
        yield
    except ValueError as error:
        if "X contains NaN" in str(error):
            error.add_note(
                'Mixtures accept missing values if every expert does, as trees do: expert="tree". '
                "For other experts, use a pipeline with an imputer."
            )
        raise


def as_csr(X: Any) -> Any:
    """Sparse input as a CSR array with sorted indices and no duplicates; dense input as is."""
    if not sparse.issparse(X):
        return X
    X = sparse.csr_array(X)
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    return X


def check_same_length(X: Any, y: Array) -> Array:
    """X and y must have the same number of rows; the row axis of y is its last one."""
    if X.shape[0] != y.shape[-1]:
        raise ValueError(
            f"X and y must have the same number of rows; got {X.shape[0]} and {y.shape[-1]}."
        )
    return y


def check_same_outputs(n_outputs: int, n_before: int) -> None:
    """The number of outputs must be that of the fit."""
    if n_outputs != n_before:
        raise ValueError(f"y must have the {n_before} output(s) seen in fit; got {n_outputs}.")
