"""Validation of targets and of other labels of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from skmoe._data.checks import shown
from skmoe._data.encoding import MISSING_STRINGS
from skmoe._numerics.typing import Array

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
    if y is None or hasattr(y, "__sklearn_tags__"):
        return
    given = np.asarray(y)
    if is_classification:
        if given.dtype.kind == "O" and given.ndim == 1:
            check_labels("y", given)
        return
    if given.dtype.kind in "mM":
        raise ValueError(
            f"y must hold numbers; got {given.dtype}. Convert it, such as to days since a date."
        )
    if given.dtype.kind in "OUS":
        text = first_text(given.ravel())
        if text is not None:
            raise ValueError(
                f"y must hold numbers; got {shown(text)}. For labels use "
                "MixtureOfExpertsClassifier."
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
        raise ValueError(
            f"{name} must hold labels of one kind, all numbers or all strings, and none missing; "
            f"got {shown(labels[:5].tolist())}. Drop rows without a label, and convert the others."
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
