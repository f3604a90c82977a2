"""Categories and holes: frames reach the experts as they are, and the gate in numbers."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from regimes import quiet, steps
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor

pytestmark = pytest.mark.filterwarnings("ignore:Experts have collapsed")

X, Y = steps()


def holed_frame(library=pd, seed=0):
    rng = np.random.default_rng(seed)
    city = rng.choice(["bern", "rome", "oslo"], size=400)
    size = rng.uniform(20, 200, size=400)
    y = np.where(city == "rome", 3.0 * size, 300.0 - size) + rng.normal(size=400)
    size[rng.uniform(size=400) < 0.1] = np.nan
    if library is pd:
        return pd.DataFrame({"city": pd.Categorical(city), "size": size}), y
    return pl.DataFrame({"city": city, "size": size}).with_columns(
        pl.col("city").cast(pl.Categorical)
    ), y


@pytest.mark.parametrize("task", ["regressor", "classifier"])
def test_boosting_takes_categories_and_holes_as_they_are(task):
    frame, y = holed_frame()
    if task == "regressor":
        expert = HistGradientBoostingRegressor(categorical_features="from_dtype", max_iter=20)
        moe = MixtureOfExpertsRegressor(2, expert=expert, n_init=1, max_iter=5, random_state=0)
    else:
        y = (y > np.median(y)).astype(int)
        expert = HistGradientBoostingClassifier(categorical_features="from_dtype", max_iter=20)
        moe = MixtureOfExpertsClassifier(2, expert=expert, n_init=1, max_iter=5, random_state=0)
    quiet(moe, frame, y)
    assert moe.score(frame, y) > 0.8
    assert list(moe.experts_[0][0].feature_names_in_) == ["city", "size"]
    new = frame.iloc[:5].copy()
    new.loc[0, "size"] = np.nan
    assert np.isfinite(moe.predict_gate(new)).all()
    with pytest.raises(ValueError, match="feature names should match"):
        moe.predict(frame.rename(columns={"size": "area"}))


def test_the_gate_sees_categories_one_hot_and_holes_imputed():
    frame, y = holed_frame()
    expert = HistGradientBoostingRegressor(categorical_features="from_dtype", max_iter=5)
    moe = MixtureOfExpertsRegressor(
        2, expert=expert, gate_features=["city"], n_init=1, max_iter=3, random_state=0
    )
    quiet(moe, frame, y)
    assert moe.gate_coef_.shape == (2, 5)  # size, its indicator, three cities
    assert_array_equal(moe.gate_coef_[:, :2], 0.0)
    assert np.abs(moe.gate_coef_[:, 2:]).min() > 0.0


@pytest.mark.parametrize("library", [pd, pl])
def test_named_experts_come_prepared_for_frames(library):
    frame, y = holed_frame(library)
    moe = MixtureOfExpertsRegressor(2, expert=["linear", "tree"], n_init=1, random_state=0)
    assert quiet(moe, frame, y).score(frame, y) > 0.5


def test_holes_in_arrays_reach_trees():
    holed = np.where(np.random.default_rng(0).uniform(size=X.shape) < 0.1, np.nan, X)
    moe = MixtureOfExpertsRegressor(2, expert="tree", n_init=1, random_state=0).fit(holed, Y)
    assert moe.score(holed, Y) > 0.4
    assert np.isfinite(moe.predict(np.full((1, 3), np.nan))).all()
    with pytest.raises(ValueError, match="NaN"):
        MixtureOfExpertsRegressor(2, expert=Ridge()).fit(holed, Y)
    with pytest.raises(ValueError, match="column 'a' of X contains NaN"):
        MixtureOfExpertsRegressor(2, expert=Ridge()).fit(
            pd.DataFrame(holed, columns=["a", "b", "c"]), Y
        )


def short(make, expert, **options):
    """A mixture that is fitted quickly."""
    return make(2, expert=expert, n_init=1, max_iter=4, random_state=0, **options)


def test_names_of_the_columns_that_the_gate_sees():
    frame, y = holed_frame()
    moe = quiet(short(MixtureOfExpertsRegressor, "tree"), frame, y)
    names = ["size", "missingindicator_size", "city_bern", "city_oslo", "city_rome"]
    assert list(moe.gate_feature_names_) == names
    assert moe.gate_coef_.shape == (2, len(names))
    plain = quiet(short(MixtureOfExpertsRegressor, "linear"), X, Y)
    assert list(plain.gate_feature_names_) == ["x0", "x1", "x2"]
    quiet(plain, pd.DataFrame(X, columns=["a", "b", "c"]), Y)
    assert list(plain.gate_feature_names_) == ["a", "b", "c"]
    assert not hasattr(clone(plain), "gate_feature_names_")
    many = pd.DataFrame({"code": [*map(str, range(100)), None] * 3 + ["7"] * 97})
    quiet(moe, many, y)
    assert len(moe.gate_feature_names_) == 50
    assert {"code_7", "code_infrequent"} <= set(moe.gate_feature_names_)
    assert moe.gate_coef_.shape == (2, 50)
    few = pd.DataFrame({"code": ["a", None] * 200})
    assert list(quiet(moe, few, y).gate_feature_names_) == ["code_a", "missingindicator_code"]


@pytest.mark.parametrize("library", [pd, pl])
def test_weights_count_rows_of_frames_too(library):
    frame, y = holed_frame(library)
    weight = np.random.default_rng(1).integers(0, 3, size=len(y))
    rows = np.random.default_rng(2).permutation(np.arange(len(y)).repeat(weight))
    moe = short(MixtureOfExpertsRegressor, "tree")
    weighted = quiet(clone(moe), frame, y, sample_weight=weight)
    repeated = frame.iloc[rows] if library is pd else frame[rows]
    assert_array_equal(quiet(moe, repeated, y[rows]).predict(frame), weighted.predict(frame))
    assert_array_equal(moe.gate_coef_, weighted.gate_coef_)


def test_rare_categories_stay_apart_for_experts():
    """They share a column of the gate, and with the same target the rows look alike there."""
    code = np.arange(300) % 150
    frame = pd.DataFrame({"code": pd.Categorical([f"c{i}" for i in code])})
    one_hot = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression(C=100.0))
    moe = short(MixtureOfExpertsClassifier, one_hot, cross_fit=False)
    assert quiet(moe, frame, code % 2).score(frame, code % 2) == 1.0


@pytest.mark.parametrize("library", [pd, pl])
@pytest.mark.parametrize("expert", ["tree", Ridge()])
def test_mixtures_fitted_on_arrays_predict_frames(library, expert):
    moe = quiet(short(MixtureOfExpertsRegressor, expert), X, Y)
    frame = library.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2]})
    with pytest.warns(UserWarning, match="X has feature names, but Mixture"):
        said = moe.predict(frame)
    assert_allclose(said, moe.predict(X))


def test_what_a_fit_takes_is_settled_by_the_fit():
    frame, y = holed_frame()
    moe = quiet(short(MixtureOfExpertsRegressor, "tree"), frame, y)
    said = moe.predict(frame)
    assert_array_equal(moe.set_params(expert="linear").predict(frame), said)
    with pytest.raises(ValueError, match=r"positions \[0\] hold categories; got an array"):
        moe.predict(np.zeros((3, 2)))


def test_infinity_is_refused_in_frames():
    frame, y = holed_frame()
    moe = short(MixtureOfExpertsRegressor, "tree")
    endless = frame.assign(size=np.inf)
    with pytest.raises(ValueError, match="of X contains infinity"):
        moe.fit(endless, y)
    with pytest.raises(ValueError, match="of X contains infinity"):
        quiet(moe, frame, y).predict(endless)
