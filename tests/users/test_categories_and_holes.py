"""Frames with categories and missing values reach the experts as they are, the gate in numbers.

Missing categories of any type are one level of the experts "linear" and "tree".
"""

from functools import cache

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone, is_classifier
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import Ridge

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.stacking import GatedStackingClassifier
from support.fits import fit_quietly
from support.refusals import refusal
from support.stacks import stack_of

pytestmark = pytest.mark.filterwarnings("ignore:Experts have collapsed")

N_ROWS = 150


def holed_frame(library=pd):
    rng = np.random.default_rng(0)
    city = rng.choice(["bern", "rome", "oslo"], size=N_ROWS)
    size = rng.uniform(20, 200, size=N_ROWS)
    y = np.where(city == "rome", 3.0 * size, 300.0 - size) + rng.normal(size=N_ROWS)
    size[rng.uniform(size=N_ROWS) < 0.1] = np.nan
    if library is pd:
        return pd.DataFrame({"city": pd.Categorical(city), "size": size}), y
    frame = pl.DataFrame({"city": city, "size": size})
    return frame.with_columns(pl.col("city").cast(pl.Categorical)), y


def short(expert, make=MixtureOfExpertsRegressor, n_experts=2, **options):
    """A mixture that is fitted quickly."""
    few = {"n_init": 1, "max_iter": 2, "gate_alpha": 1.0, "cross_fit": False, "random_state": 0}
    return make(n_experts, expert=expert, **few | options)


@pytest.mark.parametrize("task", ["regressor", "classifier"])
def test_boosting_takes_categories_and_holes_as_they_are(task):
    frame, y = holed_frame()
    options = {"categorical_features": "from_dtype", "max_iter": 5}
    options |= {"learning_rate": 0.4, "min_samples_leaf": 5}
    moe = short(HistGradientBoostingRegressor(**options), gate_features=["city"])
    if task == "classifier":
        y = (y > np.median(y)).astype(int)
        moe = short(HistGradientBoostingClassifier(**options), MixtureOfExpertsClassifier)
    fit_quietly(moe, frame, y)
    assert moe.score(frame, y) > 0.7
    assert list(moe.experts_[0][0].feature_names_in_) == ["city", "size"]
    new = frame.iloc[:5].copy()
    new.loc[0, "size"] = np.nan
    assert np.isfinite(moe.predict_gate(new)).all()
    # The gate sees categories one-hot, and missing values imputed.
    names = ["size", "missingindicator_size", "city_bern", "city_oslo", "city_rome"]
    assert list(moe.gate_feature_names_) == names
    if task == "regressor":
        assert_array_equal(moe.gate_coef_[:, :2], 0.0)
    assert np.abs(moe.gate_coef_[:, 2:]).min() > 0.0
    with pytest.raises(ValueError, match="feature names should match"):
        moe.predict(frame.rename(columns={"size": "area"}))


@pytest.mark.parametrize("library", [pd, pl])
def test_experts_chosen_by_name_take_frames(library):
    frame, y = holed_frame(library)
    moe = fit_quietly(short(["linear", "tree"]), frame, y)
    assert moe.score(frame, y) > 0.4
    # What a fit takes is settled by the fit.
    expected = moe.predict(frame)
    assert_array_equal(moe.set_params(expert=Ridge()).predict(frame), expected)
    assert "positions [0] hold categories" in refusal(moe.predict, np.zeros((3, 2)))


# --- missing categories ---------------------------------------------------------------------------

N = 40
SIZE = np.random.default_rng(0).normal(size=N)
CITY = np.random.default_rng(1).choice(["bern", "oslo", "rome"], size=N).astype(object)
IS_MISSING = np.arange(N) % 5 == 0
COST = np.where(CITY == "bern", SIZE, -SIZE) + 2.0 * IS_MISSING
COST += 0.1 * np.random.default_rng(2).normal(size=N)

MISSING = {"NaN": [np.nan], "NA": [pd.NA], "several": [None, np.nan, pd.NA, float("nan"), pd.NaT]}
FEW = {"max_iter": 1, "cross_fit": 2}
STACKING = {"max_iter": 1, "cv": 2, "gate_alpha": 1.0, "random_state": 0}
KINDS = {
    "list": short(["linear", "tree"], **FEW),
    "tree": short("tree", **FEW),
    "stacking": stack_of("linear", "tree", **STACKING),
    "classes": short(["linear", "tree"], MixtureOfExpertsClassifier, **FEW),
    "stacking of classes": stack_of("linear", "tree", kind=GatedStackingClassifier, **STACKING),
}


def frame_with(missing, dtype="object", is_missing=IS_MISSING):
    values = CITY.copy()
    values[is_missing] = np.resize(np.array(missing, dtype=object), is_missing.sum())
    return pd.DataFrame({"size": SIZE, "city": pd.Series(values, dtype="object").astype(dtype)})


def fitted(kind, table):
    moe = clone(KINDS[kind])
    return fit_quietly(moe, table, COST > 0.0 if is_classifier(moe) else COST)


def predictions(moe, table):
    """Of the rows of a fit, and of rows with a new category."""
    dtype = "object" if table["city"].dtype == "category" else table["city"].dtype
    new = table.assign(city=table["city"].astype(dtype).replace("bern", "paris"))
    method = moe.predict_proba if is_classifier(moe) else moe.predict
    return method(table), method(new)


@cache
def expected(kind):
    """Predictions of a fit whose missing categories are None."""
    return predictions(fitted(kind, frame_with([None])), frame_with([None]))


@pytest.mark.parametrize(
    ("kind", "missing", "dtype"),
    [
        *(("list", missing, "object") for missing in ("NaN", "several")),
        *(("list", "several", dtype) for dtype in ("category", "string")),
        *((kind, "NA", "category") for kind in KINDS if kind != "list"),
    ],
)
def test_missing_categories_of_any_type_are_one_level(kind, missing, dtype):
    table = frame_with(MISSING[missing], dtype)
    moe = fitted(kind, table)
    for given in (table, frame_with([None])):
        for found, same in zip(predictions(moe, given), expected(kind), strict=True):
            assert_array_equal(found, same)


@pytest.mark.parametrize("kind", ["list", "stacking"])
def test_missing_categories_that_no_fit_has_seen_are_new_categories(kind):
    moe = fitted(kind, frame_with([], "category", is_missing=np.zeros(N, dtype=bool)))
    of_new = moe.predict(frame_with(["paris"]))
    for missing, dtype in (("NaN", "category"), ("several", "object"), ("NA", "string")):
        assert_array_equal(moe.predict(frame_with(MISSING[missing], dtype)), of_new)


def test_strings_that_look_missing_are_categories():
    """An expert tells the word from a value that is missing."""
    words = np.tile(np.array(["None", "nan", "", None, np.nan], dtype=object), 8)
    table = pd.DataFrame({"size": SIZE, "word": pd.Series(words, dtype="object")})
    y = np.tile([1.0, 2.0, 3.0, 7.0, 7.0], 8)
    moe = short(["tree"], n_experts=1)
    assert_allclose(fit_quietly(moe, table, y).predict(table), y, rtol=1e-12)


def test_numbers_as_categories_remain_the_same_where_some_are_missing():
    """The type of a column differs where the fit or the new rows have missing values."""
    table = pd.DataFrame({"size": SIZE, "code": pd.Series(np.arange(N) % 3).astype("category")})
    (model, *_), _ = fitted("list", table).experts_
    new = table.assign(code=table["code"].astype(float).where(SIZE < 1.0).astype("category"))
    assert_array_equal(model.predict(new)[SIZE < 1.0], model.predict(table)[SIZE < 1.0])
