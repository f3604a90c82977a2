"""Categories and holes: frames reach the experts as they are, and the gate in numbers."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from support.fits import fit_quietly
from support.refusals import assert_fit_refused, assert_refused, refusal
from support.tables import steps

pytestmark = pytest.mark.filterwarnings("ignore:Experts have collapsed")

X, Y = steps(n_rows=150)
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


def short(expert, make=MixtureOfExpertsRegressor, **options):
    """A mixture that is fitted quickly."""
    few = {"n_init": 1, "max_iter": 2, "gate_alpha": 1.0, "cross_fit": False, "random_state": 0}
    return make(2, expert=expert, **few | options)


@pytest.mark.parametrize("task", ["regressor", "classifier"])
def test_boosting_takes_categories_and_holes_as_they_are(task):
    frame, y = holed_frame()
    options = {"categorical_features": "from_dtype", "max_iter": 5}
    options |= {"learning_rate": 0.4, "min_samples_leaf": 5}
    if task == "regressor":
        moe = short(HistGradientBoostingRegressor(**options))
    else:
        y = (y > np.median(y)).astype(int)
        moe = short(HistGradientBoostingClassifier(**options), MixtureOfExpertsClassifier)
    fit_quietly(moe, frame, y)
    assert moe.score(frame, y) > 0.7
    assert list(moe.experts_[0][0].feature_names_in_) == ["city", "size"]
    new = frame.iloc[:5].copy()
    new.loc[0, "size"] = np.nan
    assert np.isfinite(moe.predict_gate(new)).all()
    with pytest.raises(ValueError, match="feature names should match"):
        moe.predict(frame.rename(columns={"size": "area"}))


def test_the_gate_sees_categories_one_hot_and_holes_imputed():
    frame, y = holed_frame()
    expert = HistGradientBoostingRegressor(categorical_features="from_dtype", max_iter=3)
    moe = fit_quietly(short(expert, gate_features=["city"]), frame, y)
    names = ["size", "missingindicator_size", "city_bern", "city_oslo", "city_rome"]
    assert list(moe.gate_feature_names_) == names
    assert_array_equal(moe.gate_coef_[:, :2], 0.0)
    assert np.abs(moe.gate_coef_[:, 2:]).min() > 0.0


def test_names_of_the_columns_that_the_gate_sees():
    plain = fit_quietly(short("linear"), X, Y)
    assert list(plain.gate_feature_names_) == ["x0", "x1", "x2"]
    fit_quietly(plain, pd.DataFrame(X, columns=["a", "b", "c"]), Y)
    assert list(plain.gate_feature_names_) == ["a", "b", "c"]
    assert not hasattr(clone(plain), "gate_feature_names_")
    moe = short("tree")
    few = pd.DataFrame({"code": ["a", None] * (N_ROWS // 2)})
    assert list(fit_quietly(moe, few, Y).gate_feature_names_) == ["code_a", "missingindicator_code"]
    many = pd.DataFrame({"code": [*map(str, range(100)), None, *["7"] * (N_ROWS - 101)]})
    assert len(fit_quietly(moe, many, Y).gate_feature_names_) == 50
    assert {"code_7", "code_infrequent"} <= set(moe.gate_feature_names_)
    assert moe.gate_coef_.shape == (2, 50)


@pytest.mark.parametrize("library", [pd, pl])
def test_experts_chosen_by_name_take_frames(library):
    frame, y = holed_frame(library)
    assert fit_quietly(short(["linear", "tree"]), frame, y).score(frame, y) > 0.4


def test_holes_in_arrays_reach_trees():
    holed = np.where(np.random.default_rng(0).uniform(size=X.shape) < 0.1, np.nan, X)
    moe = fit_quietly(short("tree"), holed, Y)
    assert moe.score(holed, Y) > 0.3
    assert np.isfinite(moe.predict(np.full((1, 3), np.nan))).all()
    named = pd.DataFrame(holed, columns=["a", "b", "c"])
    with pytest.raises(ValueError, match="NaN"):
        short(Ridge()).fit(holed, Y)
    assert_fit_refused(short(Ridge()), (named, Y), "X", "column 'a'", "NaN")


def test_weight_two_equals_two_rows_of_a_frame():
    frame, y = holed_frame()
    weight = np.random.default_rng(1).integers(0, 3, size=N_ROWS)
    rows = np.random.default_rng(2).permutation(np.arange(N_ROWS).repeat(weight))
    moe = short("tree", cross_fit=2)
    weighted = fit_quietly(moe, frame, y, sample_weight=weight)
    moe = fit_quietly(clone(moe), frame.iloc[rows], y[rows])
    assert_allclose(moe.gate_coef_, weighted.gate_coef_, rtol=1e-6, atol=1e-9)
    assert_allclose(moe.predict(frame), weighted.predict(frame), rtol=1e-6)


def test_rare_categories_stay_apart_for_experts():
    """They share a column of the gate, and with the same target the rows look alike there."""
    code = np.arange(300) % 150
    frame = pd.DataFrame({"code": pd.Categorical([f"c{i}" for i in code])})
    one_hot = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression(C=100.0))
    moe = short(one_hot, MixtureOfExpertsClassifier)
    assert fit_quietly(moe, frame, code % 2).score(frame, code % 2) == 1.0


@pytest.mark.parametrize("library", [pd, pl])
def test_mixtures_fitted_to_arrays_predict_frames(library):
    moe = fit_quietly(short(Ridge()), X, Y)
    frame = library.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2]})
    with pytest.warns(UserWarning, match="X has feature names, but Mixture"):
        said = moe.predict(frame)
    assert_allclose(said, moe.predict(X))


def test_what_a_fit_takes_is_settled_by_the_fit():
    frame, y = holed_frame()
    moe = fit_quietly(short("tree"), frame, y)
    said = moe.predict(frame)
    assert_array_equal(moe.set_params(expert="linear").predict(frame), said)
    message = refusal(moe.predict, np.zeros((3, 2)))
    assert "positions [0] hold categories" in message


def test_infinity_in_frames_is_refused():
    frame, y = holed_frame()
    endless = frame.assign(size=np.inf)
    moe = short("tree")
    assert_fit_refused(moe, (endless, y), "X", "column 'size'", "infinity")
    message = refusal(fit_quietly(moe, frame, y).predict, endless)
    assert_refused(message, "X", "column 'size'", "infinity")
