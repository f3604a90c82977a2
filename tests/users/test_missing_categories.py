"""Missing categories of any type are one level of the experts "linear" and "tree"."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone, is_classifier

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.stacking import GatedStackingClassifier
from support.fits import fit_quietly
from support.stacks import stack_of

N = 40
SIZE = np.random.default_rng(0).normal(size=N)
CITY = np.random.default_rng(1).choice(["bern", "oslo", "rome"], size=N).astype(object)
IS_MISSING = np.arange(N) % 5 == 0
NOISE = 0.1 * np.random.default_rng(2).normal(size=N)
Y = np.where(CITY == "bern", SIZE, -SIZE) + 2.0 * IS_MISSING + NOISE

MISSING = {
    "None": [None],
    "NaN": [np.nan],
    "NA": [pd.NA],
    "several": [None, np.nan, pd.NA, float("nan"), pd.NaT],
}
STACKING = {"max_iter": 1, "cv": 2, "gate_alpha": 1.0, "random_state": 0}


def mixture(kind, **options):
    fixed = {"max_iter": 1, "n_init": 1, "cross_fit": 2, "gate_alpha": 1.0, "random_state": 0}
    return kind(2, **fixed | options)


# Estimators, and experts or models.
KINDS = {
    "list": mixture(MixtureOfExpertsRegressor, expert=["linear", "tree"]),
    "tree": mixture(MixtureOfExpertsRegressor, expert="tree"),
    "stacking": stack_of("linear", "tree", **STACKING),
    "classes": mixture(MixtureOfExpertsClassifier, expert=["linear", "tree"]),
    "stacking of classes": stack_of("linear", "tree", kind=GatedStackingClassifier, **STACKING),
}


def frame(missing, dtype, is_missing=IS_MISSING):
    values = CITY.copy()
    values[is_missing] = np.resize(np.array(missing, dtype=object), is_missing.sum())
    return pd.DataFrame({"size": SIZE, "city": pd.Series(values, dtype="object").astype(dtype)})


def fitted(kind, X):
    moe = clone(KINDS[kind])
    return fit_quietly(moe, X, Y > 0.0 if is_classifier(moe) else Y)


def predictions(moe, X):
    return moe.predict_proba(X) if hasattr(moe, "classes_") else moe.predict(X)


@cache
def expected(kind):
    """Predictions of a fit whose missing categories are None, for its rows and other ones."""
    X = frame([None], "object")
    moe = fitted(kind, X)
    return predictions(moe, X), predictions(moe, with_new_category(X))


def with_new_category(X):
    dtype = "object" if X["city"].dtype == "category" else X["city"].dtype
    return X.assign(city=X["city"].astype(dtype).replace("bern", "paris"))


@pytest.mark.parametrize(
    ("kind", "missing", "dtype"),
    [
        *(("list", missing, "object") for missing in ("NaN", "several")),
        *(("list", "several", dtype) for dtype in ("category", "string")),
        *((kind, "NA", "category") for kind in KINDS if kind != "list"),
    ],
)
def test_missing_categories_of_any_type_are_one_level(kind, missing, dtype):
    X = frame(MISSING[missing], dtype)
    moe, (same, new) = fitted(kind, X), expected(kind)
    assert_array_equal(predictions(moe, X), same)
    assert_array_equal(predictions(moe, frame([None], "object")), same)
    assert_array_equal(predictions(moe, with_new_category(X)), new)


@pytest.mark.parametrize("kind", ["list", "stacking"])
def test_missing_categories_that_no_fit_has_seen_are_new_categories(kind):
    moe = fitted(kind, frame([], "category", is_missing=np.zeros(N, dtype=bool)))
    of_new = moe.predict(frame(["paris"], "object"))
    for missing, dtype in (("NaN", "category"), ("several", "object"), ("NA", "string")):
        assert_array_equal(moe.predict(frame(MISSING[missing], dtype)), of_new)


@pytest.mark.parametrize("dtype", ["String", "Categorical"])
def test_missing_categories_of_polars_are_those_of_pandas(dtype):
    pl = pytest.importorskip("polars")
    values = frame([None], "object")["city"].tolist()
    X = pl.DataFrame({"size": SIZE, "city": pl.Series(values, dtype=getattr(pl, dtype))})
    assert_array_equal(fitted("list", X).predict(X), expected("list")[0])


def test_strings_that_look_missing_are_categories():
    """An expert tells the word from a value that is missing."""
    words = np.tile(np.array(["None", "nan", "", None, np.nan], dtype=object), 8)
    X = pd.DataFrame({"size": SIZE, "word": pd.Series(words, dtype="object")})
    y = np.tile([1.0, 2.0, 3.0, 7.0, 7.0], 8)
    moe = MixtureOfExpertsRegressor(1, expert=["tree"], cross_fit=False, random_state=0)
    assert_allclose(fit_quietly(moe, X, y).predict(X), y, rtol=1e-12)


def test_numbers_as_categories_remain_the_same_where_some_are_missing():
    """The type of a column differs where the fit or the new rows have missing values."""
    X = pd.DataFrame({"size": SIZE, "code": pd.Series(np.arange(N) % 3).astype("category")})
    (model, *_), _ = fitted("list", X).experts_
    new = X.assign(code=X["code"].astype(float).where(SIZE < 1.0).astype("category"))
    assert_array_equal(model.predict(new)[SIZE < 1.0], model.predict(X)[SIZE < 1.0])


@pytest.mark.parametrize(
    ("library", "kind"), [("pandas", "stacking"), ("nullable", "list"), ("polars", "list")]
)
def test_missing_numbers_of_any_library_reach_named_experts(library, kind):
    X = pd.DataFrame({"a": SIZE, "city": CITY, "n": np.arange(N) % 5})
    missing = X.astype({"n": "Int64"} if library == "nullable" else {"n": float})
    missing.loc[3, "n"] = pd.NA if library == "nullable" else np.nan
    if library == "polars":
        polars = pytest.importorskip("polars")
        X, missing = polars.from_pandas(X), polars.from_pandas(missing)
    assert np.isfinite(fitted(kind, missing).predict(missing)).all()
    assert np.isfinite(fitted(kind, X).predict(missing)).all()
