"""Missing categories of any kind beside numbers: one level of the experts "linear" and "tree"."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from regimes import quiet

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._data.encoding import category_column

RNG = np.random.default_rng(0)
N = 120
SIZE = RNG.normal(size=N)
CITY = RNG.choice(["bern", "oslo", "rome"], size=N).astype(object)
IS_MISSING = np.arange(N) % 7 == 0
Y = np.where(CITY == "bern", SIZE, -SIZE) + 2.0 * IS_MISSING + 0.1 * RNG.normal(size=N)

MISSING = {
    "None": [None],
    "NaN": [np.nan],
    "NA": [pd.NA],
    "NaT": [pd.NaT],
    "several": [None, np.nan, pd.NA, float("nan"), pd.NaT],
}
DTYPES = ["object", "category", "string"]
LISTS = [["linear", "linear"], ["tree", "tree"], ["linear", "tree"], "tree"]


def frame(missing, dtype, city=CITY):
    values = city.copy()
    values[IS_MISSING] = np.resize(np.array(missing, dtype=object), IS_MISSING.sum())
    return pd.DataFrame({"size": SIZE, "city": pd.Series(values, dtype="object").astype(dtype)})


def mixture(task, expert, **options):
    kind, y = MixtureOfExpertsRegressor, Y
    if task == "classifier":
        kind, y = MixtureOfExpertsClassifier, np.where(Y > 0.0, "high", "low")
    return kind(2, expert=expert, max_iter=4, random_state=0, **options), y


def predictions(task, moe, X):
    return moe.predict(X) if task == "regressor" else moe.predict_proba(X)


def unseen(X, replacement):
    """Rows with another category, of the type of the column."""
    dtype = "object" if X["city"].dtype == "category" else X["city"].dtype
    return X.assign(city=X["city"].astype(dtype).replace("bern", replacement))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("missing", MISSING.values(), ids=MISSING)
@pytest.mark.parametrize(
    ("expert", "specialize"), [*((e, True) for e in LISTS), *((e, False) for e in LISTS[:3])]
)
@pytest.mark.parametrize("task", ["regressor", "classifier"])
def test_missing_categories_of_any_kind_are_one_level(task, specialize, expert, missing, dtype):
    moe, y = mixture(task, expert, specialize=specialize)
    X, expected = frame(missing, dtype), frame([None], "object")
    of_kind = quiet(moe, X, y)
    of_none = quiet(mixture(task, expert, specialize=specialize)[0], expected, y)
    reference = predictions(task, of_none, expected)
    assert_array_equal(predictions(task, of_kind, X), reference)
    assert_array_equal(predictions(task, of_kind, expected), reference)
    new, of_others = unseen(X, "paris"), unseen(expected, "paris")
    assert_array_equal(predictions(task, of_kind, new), predictions(task, of_none, of_others))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("missing", MISSING.values(), ids=MISSING)
@pytest.mark.parametrize("expert", LISTS[:2], ids=str)
@pytest.mark.parametrize("specialize", [True, False])
def test_missing_categories_that_the_fit_has_not_seen(specialize, expert, missing, dtype):
    """They are predicted as any category that is new."""
    moe, y = mixture("regressor", expert, specialize=specialize)
    whole = frame(missing, dtype).assign(city=pd.Series(CITY).astype(dtype))
    quiet(moe, whole, y)
    new = frame(missing, dtype)
    other = frame(["paris"], "object")
    assert_array_equal(moe.predict(new), moe.predict(other))


@pytest.mark.parametrize("dtype", ["String", "Categorical"])
@pytest.mark.parametrize("expert", LISTS, ids=str)
def test_missing_categories_of_polars(expert, dtype):
    pl = pytest.importorskip("polars")
    expected = frame([None], "object")
    city = pl.Series(expected["city"].tolist(), dtype=getattr(pl, dtype))
    X = pl.DataFrame({"size": SIZE, "city": city})
    of_polars = quiet(mixture("regressor", expert)[0], X, Y)
    of_pandas = quiet(mixture("regressor", expert)[0], expected, Y)
    assert_array_equal(of_polars.predict(X), of_pandas.predict(expected))


def test_strings_that_look_missing_are_categories_of_the_experts():
    X = pd.DataFrame({"a": ["None", "nan", "", None, np.nan, pd.NA]}, dtype="object")
    assert category_column(X, 0).tolist() == ["None", "nan", "", None, None, None]


def test_numbers_as_categories_remain_numbers():
    """Types of a column differ where the fit or the new rows have missing values."""
    codes = pd.Series(np.arange(N) % 3).astype("category")
    X = pd.DataFrame({"size": SIZE, "code": codes})
    moe = quiet(mixture("regressor", ["tree", "linear"])[0], X, Y)
    new = X.assign(code=X["code"].astype(float).where(SIZE < 1.0).astype("category"))
    assert_array_equal(
        moe.experts_[0][0].predict(new)[SIZE < 1.0], moe.experts_[0][0].predict(X)[SIZE < 1.0]
    )
