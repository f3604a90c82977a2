"""Validation of features: errors name the column and a remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy import sparse

from skmoe._data.checks import shown
from skmoe._data.encoding import Encoder, column_of, is_category, numeric_values
from skmoe._data.row_checks import as_numbers, check_not_structured, first_text

# Parts of messages of scikit-learn, NumPy and pandas on features that are no finite numbers.
CONVERSION_ERRORS = ("X contains", "convert", "dtype", "DType", "float()", "promote")


@contextmanager
def explain_features(X: Any) -> Iterator[None]:
    """Replace an error of the conversion of X to finite numbers by one that names the column."""
    check_not_structured("X", X)
    if X is None:
        raise ValueError(
            "X must hold a row of features for each value of y; got None. For experts without "
            'features pass a column of ones, with expert_features=[] and gate="constant".'
        )
    has_types = (hasattr(X, "dtype") or hasattr(X, "dtypes")) and np.ndim(X) == 2
    dtypes = getattr(X, "dtypes", [getattr(X, "dtype", None)]) if has_types else []
    dtypes = [dtype for dtype in dtypes if not isinstance(dtype, np.dtype) or dtype.kind in "mM"]
    # A conversion would count the units of durations, and take categories such as "10" as amounts.
    if any(getattr(dtype, "kind", None) in ("m", "M") or is_category(dtype) for dtype in dtypes):
        raise ValueError(_message(X, ""))
    try:
        yield
    except (TypeError, ValueError) as error:
        message = _message(X, str(error))
        if not message:
            raise
        raise ValueError(message) from None


def add_feature_note(error: Exception, X: Any) -> None:
    """Add a note on the column of X that is the reason of an error, if there is one."""
    known = any(part in str(error) for part in CONVERSION_ERRORS)
    message = _message(X, str(error)) if known else ""
    if message:
        error.add_note(message)


def check_numbers(X: Any, encoder: Encoder) -> None:
    """X must not contain infinity, and missing numbers only if all experts accept them."""
    values = numeric_values(encoder, X)
    for is_bad, describe, accepted in (
        (np.isinf(values), _infinite, False),
        (np.isnan(values), _missing, encoder.allow_nan),
    ):
        columns = np.flatnonzero(is_bad.any(axis=0))
        if len(columns) and not accepted:
            raise ValueError(describe(_column_name(X, encoder.numeric_columns[columns[0]])))


def _message(X: Any, error: str) -> str:
    """Message for an error of scikit-learn or NumPy; empty if no column is its reason."""
    if "X contains NaN" in error:
        return _of_first_column(X, np.isnan, _missing)
    if "X contains infinity" in error:
        return _of_first_column(X, np.isinf, _infinite)
    if "feature" in error or sparse.issparse(X) or len(np.shape(X)) != 2:
        return ""
    X = X if hasattr(X, "columns") else np.asarray(X)
    for j in range(X.shape[1]):
        values = np.asarray(column_of(X, j))
        if values.dtype.kind in "mM":
            return (
                f"X must hold numbers; {_column_name(X, j)} holds {values.dtype}. Convert it, such "
                "as to days since a date, or to month and weekday."
            )
        text, remedy = first_text(values) if values.dtype.kind in "OUST" else None, ""
        if text is None and is_category(getattr(column_of(X, j), "dtype", None)):
            text = f"the category {shown(values.tolist()[0])}"
            remedy = " If they are amounts, convert them by astype(float)."
        elif text is not None:
            text = shown(text)
        if text is not None:
            return (
                f"X must hold numbers; {_column_name(X, j)} holds {text}. Encode categories "
                'in a pipeline by OneHotEncoder(drop="first"), or pass a data frame and use '
                'experts that accept categories, which take longer: expert="tree", n_init=1.'
                f"{remedy}"
            )
    return ""


def _of_first_column(X: Any, is_bad: Any, describe: Any) -> str:
    """Description of the first column with a value for which `is_bad` is true."""
    if sparse.issparse(X):
        columns = sparse.coo_array(X).col[is_bad(sparse.coo_array(X).data)]
        return describe(f"column {columns.min()}") if len(columns) else ""
    X = X if hasattr(X, "columns") else np.asarray(X)
    for j in range(X.shape[1]):
        if is_bad(as_numbers(np.asarray(column_of(X, j)))).any():
            return str(describe(_column_name(X, j)))
    return ""


def _column_name(X: Any, j: int) -> str:
    """A column in a message: its name, or its index."""
    return f"column {X.columns[j]!r}" if hasattr(X, "columns") else f"column {j}"


def _missing(column: str) -> str:
    return (
        f"X must have no missing values unless every expert accepts them; {column} of X contains "
        "NaN. Impute it in a pipeline by SimpleImputer(add_indicator=True), or use experts that "
        'accept missing values, which take longer: expert="tree", n_init=1.'
    )


def _infinite(column: str) -> str:
    return (
        f"X must be finite; {column} of X contains infinity, or a value too large for its type. "
        "Replace it by a finite value."
    )
