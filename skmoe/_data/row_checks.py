"""Validation of rows: features, targets, weights, offsets, labels, and choices of columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.validation import check_array

from skmoe._data.censored_targets import checked_bounds, point_values
from skmoe._data.checks import shown
from skmoe._data.encoding import MISSING_STRINGS, is_category
from skmoe._data.rows import has_bounds
from skmoe._numerics.typing import Array

# Largest absolute offset: its exponential is finite.
MAX_OFFSET = 500.0
# Largest total of the weights: sums of weighted squares of standardised values stay finite.
MAX_TOTAL_WEIGHT = 1e140


# --- what belongs to rows -------------------------------------------------------------------------


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
        factor = totals.sum() / (np.count_nonzero(totals) * np.where(totals > 0, totals, np.inf))
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
    """Indices of columns given as names, indices, a slice or a mask; None stands for all."""
    if value is None:
        return None
    if isinstance(value, slice):
        value = np.arange(n_features)[value]
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
            f"{name} must be None, column names, column indices or a boolean mask; got "
            f"{shown(value)}."
        )
    if len(np.unique(columns)) < len(columns):
        raise ValueError(f"{name} must not name a feature twice; got {shown(value)}.")
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
    for name in ("groups", "units", "cluster"):
        if name in arrays:
            check_labels(name, arrays[name])
    return arrays


# --- targets and labels ---------------------------------------------------------------------------


# Largest absolute value of an output, and smallest of the largest values of an output: variances,
# which are squares, stay finite and positive.
MAX_TARGET = 1e140
MIN_TARGET = 1e-140


def check_target(y: Any, is_classification: bool) -> None:
    """A target must be dense; outputs must be numbers, labels of one kind."""
    if sparse.issparse(y):
        raise ValueError(
            f"y must be a dense array; got a {type(y).__name__}. Pass y.toarray().ravel()."
        )
    if is_classification and has_bounds(y):
        raise ValueError(
            "y must hold labels of classes, which cannot be censored; got a structured array with "
            f"the fields {', '.join(y.dtype.names)}. Use MixtureOfExpertsRegressor for times."
        )
    check_not_structured("y", y)
    if y is None or hasattr(y, "__sklearn_tags__"):
        return
    given = np.asarray(y)
    if is_classification:
        if given.dtype.kind == "O" and given.ndim == 1:
            check_labels("y", given)
        else:
            _check_not_missing(given)
        return
    if given.dtype.kind in "mM":
        raise ValueError(
            f"y must hold numbers; got {given.dtype}. Convert it, such as to days since a date."
        )
    _check_no_pairs(y, given)
    if given.dtype.kind in "OUS":
        text = first_text(given.ravel())
        dtype = getattr(y, "dtype", None)
        if is_category(dtype) and (text is not None or isinstance(given.ravel()[0], str)):
            codes = "y.cat.codes" if hasattr(y, "cat") else "y.codes"
            raise ValueError(
                f"y must hold numbers; got the category {shown(given.ravel()[0])}. For ordered "
                f'categories pass {codes}, with family="ordinal". For others use '
                "MixtureOfExpertsClassifier."
            )
        if text is not None:
            raise ValueError(
                f"y must hold numbers; got {shown(text)}. For labels use "
                "MixtureOfExpertsClassifier."
            )
    _check_not_missing(given)


def _check_not_missing(given: Array) -> None:
    """No target may be missing."""
    values = given.ravel() if given.dtype.kind in "fO" else np.zeros(given.size)
    missing = np.argwhere(np.isnan(as_numbers(values)).reshape(given.shape))
    if len(missing) and given.ndim > 0:
        raise ValueError(
            f"y must have no missing values; y contains NaN in row {missing[0][0]}. Drop such rows "
            "from X, y and all other arguments: kept = ~np.isnan(y). If values are missing at "
            "random, the likelihood of the other rows is the right one."
        )


def _check_no_pairs(y: Any, given: Array) -> None:
    """Pairs of bounds, or of a time and an event, are no numbers of two outputs."""
    if given.ndim == 0 or not len(given):
        return
    row: Any = (y if isinstance(y, list | tuple) else given)[0]
    is_pair = given.ndim == 1 and isinstance(row, tuple | list | np.void)
    if given.ndim == 2:
        is_pair = len({isinstance(value, bool | np.bool_) for value in row}) == 2
        is_open = given.dtype.kind == "f" and given.shape[1] == 2 and np.isposinf(given).any()
        is_pair |= bool(is_open)
    if is_pair:
        raise ValueError(
            "y must hold one number for each row and output; got pairs, such as "
            f"({', '.join(str(value) for value in row)}). Use skmoe.data for bounds, or for "
            "times and events; or convert truth values and infinity for several outputs."
        )


def check_outputs(y: Any, **options: Any) -> Array:
    """Numeric outputs of some of the rows, (n,) or (n, m), or bounds of them."""
    if has_bounds(y):
        y = checked_bounds(y)
    else:
        check_target(y, is_classification=False)
        y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y", **options)
    check_target_size(point_values(y), whole=False)
    return y


def check_not_structured(name: str, values: Any) -> None:
    """A structured array has fields in the place of columns."""
    fields = getattr(getattr(values, "dtype", None), "names", None)
    if fields:
        raise ValueError(
            f"{name} must be an array of numbers; got a structured array with the fields "
            f"{', '.join(fields)}. Convert it by numpy.lib.recfunctions.structured_to_unstructured."
        )


def check_target_size(y: Array, *, whole: bool) -> None:
    """Outputs (n,) or (n, m) must have representable squares.

    `whole` is False for a part of the rows, in which all values may be close to zero.
    """
    largest = np.abs(y).max(axis=0, initial=0.0)
    if (largest > MAX_TARGET).any():
        raise ValueError(
            f"y must hold numbers of at most {MAX_TARGET:g} in absolute value, whose squares are "
            f"finite; got {largest.max():g}. Divide y by a constant."
        )
    tiny = (largest > 0.0) & (largest < MIN_TARGET)
    if whole and tiny.any():
        raise ValueError(
            f"y must hold numbers larger than {MIN_TARGET:g} in absolute value, whose squares are "
            f"positive; the largest is {largest[tiny].max():g}. Multiply y by a constant."
        )


def check_labels(name: str, labels: Array) -> None:
    """Labels must be of one kind, so that they can be sorted, and none may be missing."""
    if labels.ndim != 1:
        raise ValueError(f"{name} must have one dimension; got shape {labels.shape}.")
    try:
        # What differs from itself is NaN, or a missing date; for `pandas.NA` there is an error.
        if labels.dtype.kind == "O":
            is_missing = any(label is None or label != label for label in labels)
        else:
            is_missing = bool((labels != labels).any())
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


def first_text(values: Array) -> Any:
    """The first text that is no number, nor stands for a missing value; None if there is none."""
    for value in values:
        if isinstance(value, str | bytes) and value not in MISSING_STRINGS:
            try:
                float(value)
            except ValueError:
                return value.item() if isinstance(value, np.generic) else value
    return None


def as_numbers(values: Array) -> Array:
    """Values as floating-point numbers; zeros for what is none."""
    try:
        return values.astype(np.float64)
    except (TypeError, ValueError):  # `pandas.NA` has no conversion
        missing = [value is None or str(value) in ("nan", "<NA>") for value in values]
        return np.where(missing, np.nan, 0.0)
