"""Errors about features name the first column that is their reason, and no other."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from skmoe._data.encoding import make_encoder
from skmoe._data.feature_checks import add_feature_note, check_numbers, explain_features

NAN, INFINITY = "Input X contains NaN.", "Input X contains infinity or a value too large."


def table(kind, values):
    """Values as an array, a frame with names, or a sparse matrix."""
    if kind == "frame":
        return pd.DataFrame(values, columns=["a", "b", "c"])
    return sparse.csr_array(values) if kind == "sparse" else values


def named(kind, j):
    return f"column {'abc'[j]!r}" if kind == "frame" else f"column {j}"


def explained(X, error):
    """The message that replaces an error of the conversion of X."""
    with pytest.raises((TypeError, ValueError)) as found, explain_features(X):
        raise error
    return str(found.value)


@pytest.mark.parametrize("kind", ["array", "frame", "sparse"])
@pytest.mark.parametrize(
    ("error", "bad", "word"), [(NAN, np.nan, "NaN"), (INFINITY, np.inf, "inf")]
)
@pytest.mark.parametrize("columns", [[0], [1, 2], [2]])
def test_the_first_column_with_a_bad_number_is_named(kind, error, bad, word, columns):
    values = np.arange(1.0, 13.0).reshape(4, 3)
    for row, j in enumerate(columns):
        values[3 - row, j] = bad
    message = explained(table(kind, values), ValueError(error))
    assert f"{named(kind, columns[0])} of X contains {word}" in message
    noted = ValueError(error)
    add_feature_note(noted, table(kind, values))
    assert noted.__notes__ == [message]


@pytest.mark.parametrize("kind", ["array", "frame", "sparse"])
@pytest.mark.parametrize("text", [NAN, INFINITY, "X has 3 features, but 4 were seen", "other"])
def test_an_error_without_a_column_as_its_reason_stays_as_it_is(kind, text):
    X = table(kind, np.ones((4, 3)))
    assert explained(X, ValueError(text)) == text
    assert explained(X, TypeError(text)) == text
    noted = ValueError(text)
    add_feature_note(noted, X)
    assert not hasattr(noted, "__notes__")
    with explain_features(X):
        pass


@pytest.mark.parametrize("kind", ["array", "frame"])
@pytest.mark.parametrize("j", range(3))
def test_the_column_that_holds_text_or_dates_is_named(kind, j):
    values = np.ones((4, 3), dtype=object)
    values[:, (j + 1) % 3] = ["1.5", "nan", "2", "3"]
    values[2, j] = "red"
    message = explained(table(kind, values), ValueError("could not convert string to float"))
    assert f"{named(kind, j)} holds 'red'" in message
    if kind == "frame":
        X = pd.DataFrame(np.ones((4, 3)), columns=["a", "b", "c"])
        X["abc"[j]] = pd.to_datetime("2020-01-01") + pd.to_timedelta(np.arange(4), unit="D")
        message = explained(X, TypeError("no dates"))
        assert f"{named(kind, j)} holds datetime64" in message
    # Rows of several dimensions, or of one, have no columns.
    for X in (values[0], values[None]):
        assert explained(X, ValueError("other")) == "other"


@pytest.mark.parametrize(
    "reason", ["licence expired", "Found unknown categories ['x'] in column 0"]
)
def test_errors_of_other_reasons_have_no_note_on_a_column(reason):
    error = ValueError(reason)
    add_feature_note(error, pd.DataFrame({"a": [1.0, 2.0], "city": ["x", "y"]}))
    assert not hasattr(error, "__notes__")


@pytest.mark.parametrize(
    "values", [["x", "y"], pd.to_datetime(["2020-01-01", "2021-01-01"]), [b"x", b"y"]]
)
def test_errors_of_conversions_have_a_note_on_the_column(values):
    """In the words of scikit-learn, NumPy and pandas, of any version."""
    X = pd.DataFrame({"a": [1.0, 2.0], "other": values})
    for estimator in (LinearRegression(), DecisionTreeRegressor(), StandardScaler()):
        with pytest.raises((TypeError, ValueError)) as caught:
            estimator.fit(X, [1.0, 2.0])
        add_feature_note(caught.value, X)
        assert "column 'other' holds" in caught.value.__notes__[0]


def test_lists_and_frames_with_missing_categories_are_explained():
    assert "column 1 of X contains NaN" in explained([[1.0, np.nan], [2.0, 3.0]], ValueError(NAN))
    assert "column 1 holds 'u'" in explained([[1.0, "u"], [2.0, "v"]], ValueError("no number"))
    X = pd.DataFrame({"u": ["p", "q"], "v": pd.array([1, None], dtype="Int64"), "w": [None, "r"]})
    assert "column 'v' of X contains NaN" in explained(X, ValueError(NAN))
    assert "column 'w' of X contains NaN" in explained(X.drop(columns="v"), ValueError(NAN))


@pytest.mark.parametrize("allow_nan", [False, True])
@pytest.mark.parametrize("columns", [[0], [2], [0, 2]])
def test_frames_hold_no_infinity_and_missing_numbers_only_where_they_are_accepted(
    columns, allow_nan
):
    X = pd.DataFrame({"a": np.arange(4.0), "b": list("uvuv"), "c": np.ones(4)})
    encoder = make_encoder(X, np.ones(4), allow_nan)
    check_numbers(X, encoder)
    for bad, word in ((np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")):
        changed = X.copy()
        changed.iloc[1, columns] = bad
        if word == "NaN" and allow_nan:
            check_numbers(changed, encoder)
            continue
        with pytest.raises(ValueError, match=f"column {'abc'[columns[0]]!r} of X contains {word}"):
            check_numbers(changed, encoder)
