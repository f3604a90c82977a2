"""Errors about features name the first column that is their reason, and no other.

The same errors on every path of a fit are in `tests/estimators/test_refused_data.py`.
"""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from skmoe import MixtureOfExpertsRegressor
from support.fits import fit_quietly
from support.refusals import assert_refused, refusal

Y = np.arange(12.0)


def table(kind, values):
    """Values as an array, a list, a frame with names, or a sparse matrix."""
    if kind == "frame":
        return pd.DataFrame(values, columns=["a", "b", "c"])
    return {"sparse": sparse.csr_array, "list": lambda v: v.tolist()}.get(kind, np.asarray)(values)


def named(kind, j):
    return f"column {'abc'[j]!r}" if kind == "frame" else f"column {j}"


def refused(X, **options):
    return refusal(MixtureOfExpertsRegressor(2, **options).fit, X, Y)


@pytest.mark.parametrize("kind", ["array", "frame", "sparse", "list"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("columns", [[0], [1, 2], [2]])
def test_the_first_column_with_a_bad_number_is_named(kind, bad, columns):
    values = np.arange(1.0, 37.0).reshape(12, 3)
    for row, j in enumerate(columns):
        values[9 - row, j] = bad
    word = "NaN" if np.isnan(bad) else "infinity"
    name = "X must have no missing values" if np.isnan(bad) else "X must be finite"
    assert_refused(refused(table(kind, values)), name, f"{named(kind, columns[0])} of X", word)
    if np.isinf(bad) and kind != "sparse":  # trees accept missing values, and no infinity
        message = refused(table(kind, values), expert="tree")
        assert_refused(message, name, named(kind, columns[0]), word)


@pytest.mark.parametrize("kind", ["array", "frame", "list"])
@pytest.mark.parametrize("j", range(3))
def test_the_column_that_holds_text_is_named(kind, j):
    """Texts of numbers are numbers."""
    values = np.ones((12, 3), dtype=object)
    values[:, (j + 1) % 3] = ["1.5", "nan", "2", "3"] * 3
    values[2, j] = "red"
    assert_refused(refused(table(kind, values)), "X must hold numbers", named(kind, j), "'red'")


@pytest.mark.parametrize("j", range(3))
def test_the_column_that_holds_dates_is_named(j):
    X = pd.DataFrame(np.ones((12, 3)), columns=["a", "b", "c"])
    X["abc"[j]] = pd.to_datetime("2020-01-01") + pd.to_timedelta(np.arange(12), unit="D")
    message = refused(X)
    assert_refused(message, "X must hold numbers", f"column {'abc'[j]!r}", "datetime64", "days")


CATEGORIES = {
    "texts of numbers": pd.Categorical(["10", "20", "30"] * 4),
    "numbers": pd.Categorical([10, 20, 30] * 4),
    "ordered": pd.Categorical([1.5, 2, 3] * 4, ordered=True),
    "truth values": pd.Categorical([True, False] * 6),
}


@pytest.mark.parametrize("kind", CATEGORIES)
def test_categories_are_no_amounts_whatever_their_names_are(kind):
    """Codes of regions would have one slope."""
    X = pd.DataFrame({"a": np.arange(12.0), "region": CATEGORIES[kind]})
    words = "column 'region'", "the category", 'OneHotEncoder(drop="first")', "astype(float)"
    assert_refused(refused(X), "X must hold numbers", *words)
    moe = MixtureOfExpertsRegressor(1, n_init=1).fit(X[["a"]], Y)
    assert_refused(refusal(moe.predict, X[["region"]].set_axis(["a"], axis=1)), "X must hold")
    MixtureOfExpertsRegressor(1, n_init=1).fit(X.assign(region=X["region"].astype(float)), Y)
    fit_quietly(MixtureOfExpertsRegressor(1, expert="tree", n_init=1), X, Y)


@pytest.mark.parametrize("dtype", [pl.Categorical, pl.Enum(["10", "20"])])
def test_categories_of_polars_are_no_amounts(dtype):
    X = pl.DataFrame({"a": np.arange(12.0), "region": pl.Series(["10", "20"] * 6, dtype=dtype)})
    assert_refused(refused(X), "X must hold numbers", "column 'region'", "the category '10'")


def test_missing_values_of_pandas_are_named():
    X = pd.DataFrame({"u": np.arange(12.0), "v": pd.array([1, None] * 6, dtype="Int64")})
    assert_refused(refused(X), "X must have no missing values", "column 'v'")


@pytest.mark.parametrize(
    "values", [["x", "y"] * 6, pd.date_range("2020-01-01", periods=12), [b"x", b"y"] * 6]
)
@pytest.mark.parametrize(
    "expert",
    [
        LinearRegression(),
        DecisionTreeRegressor(),
        make_pipeline(StandardScaler(), LinearRegression()),
    ],
)
def test_errors_of_estimators_have_a_note_on_the_column(values, expert):
    """In the words of scikit-learn, NumPy and pandas, of any version."""
    X = pd.DataFrame({"a": Y, "other": values})
    with pytest.raises((TypeError, ValueError)) as caught:
        MixtureOfExpertsRegressor(2, expert=expert).fit(X, Y)
    assert any("column 'other' holds" in note for note in caught.value.__notes__)


class Expired(LinearRegression):
    """An estimator that fails for a reason of its own."""

    def fit(self, X, y, sample_weight=None):
        raise ValueError("licence expired")


def test_errors_of_other_reasons_have_no_note_on_a_column():
    X = pd.DataFrame({"a": Y, "city": ["x", "y"] * 6})
    with pytest.raises(ValueError, match="licence expired") as caught:
        MixtureOfExpertsRegressor(2, expert=Expired()).fit(X, Y)
    assert not any("column" in note for note in getattr(caught.value, "__notes__", []))
