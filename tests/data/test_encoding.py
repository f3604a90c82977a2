"""Frames with categories and missing values: what the gate and named experts see of them.

What the gate says is computed anew from `gate_feature_names_`, `gate_coef_` and columns that are
built here by their names.
"""

from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose
from scipy.special import softmax
from sklearn.compose import make_column_transformer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skmoe import MixtureOfExpertsRegressor
from support.fits import fit_quietly
from support.refusals import assert_refused, refusal

N = 100
SHORT = {"random_state": 0, "n_init": 1, "max_iter": 1, "alpha": 0.1, "gate_alpha": 1.0}
SHORT |= {"cross_fit": False}
TOWNS = np.array(["rome", "oslo", "bonn", "lima", "nice", "cork"])


def holes():
    """A frame of numbers with holes and of categories, some rare, some missing, and a target."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 3)) * [1.0, 2.0, 3.0] + 10.0
    town = rng.choice(TOWNS, p=[0.35, 0.3, 0.2, 0.05, 0.05, 0.05], size=N).astype(object)
    town[5::9] = None
    frame = pd.DataFrame({"size": X[:, 0], "town": town, "age": X[:, 1], "cost": X[:, 2]})
    frame.loc[::7, "size"] = np.nan
    frame.loc[3::11, "cost"] = np.nan
    y = X @ [1.0, -0.5, 0.2] + 3.0 * (town == "oslo") + rng.normal(size=N)
    return frame, y - 2.0 * frame["size"].isna().to_numpy()


def lower_median(values, weight):
    known = ~np.isnan(values)
    order = np.argsort(values[known])
    share = np.cumsum(weight[known][order]) / weight[known].sum()
    return values[known][order][np.searchsorted(share, 0.5)]


def columns_by_name(frame, weight, levels):
    """What the gate may see of a frame, by the names that it gives it."""
    columns = {}
    for name in ("size", "age", "cost"):
        values = frame[name].to_numpy(dtype=float, na_value=np.nan)
        columns[name] = np.where(np.isnan(values), lower_median(values, weight), values)
        columns[f"missingindicator_{name}"] = np.isnan(values)
    texts = frame["town"].astype(object)
    missing = texts.isna().to_numpy()
    columns["missingindicator_town"] = missing
    for level in levels:
        columns[f"town_{level}"] = (texts == level).fillna(False).to_numpy(dtype=bool)
    frequent = np.any([columns[f"town_{level}"] for level in levels], axis=0) | missing
    columns["town_infrequent"] = ~frequent
    return columns


def gate_by_name(moe, columns):
    table = np.column_stack([columns[name] for name in moe.gate_feature_names_])
    return softmax(table @ moe.gate_coef_.T + moe.gate_intercept_, axis=1)


def mixture(**options):
    return MixtureOfExpertsRegressor(2, **{"expert": ["linear", "tree"]} | SHORT | options)


@pytest.mark.parametrize("gate_features", [None, ["cost", "town"], ["size"]])
def test_the_gate_of_a_frame_is_that_of_its_named_columns(gate_features):
    """Medians are of weighted rows; rows without weight have no level."""
    frame, y = holes()
    weight = np.random.default_rng(1).uniform(0.2, 3.0, size=N)
    weight[frame["town"] == "cork"] = 0.0
    moe = fit_quietly(mixture(gate_features=gate_features), frame, y, sample_weight=weight)
    columns = columns_by_name(frame, weight, ["bonn", "lima", "nice", "oslo", "rome"])
    assert_allclose(moe.predict_gate(frame), gate_by_name(moe, columns), atol=1e-9)
    assert not [name for name in moe.gate_feature_names_ if name in ("town_cork", "town_None")]
    given = {"size", "town", "age", "cost"} if gate_features is None else set(gate_features)
    for name, slopes in zip(moe.gate_feature_names_, moe.gate_coef_.T, strict=True):
        origin = name.removeprefix("missingindicator_").split("_")[0]
        assert (np.abs(slopes).max() > 0.0) == (origin in given), name


def test_columns_of_numbers_come_first_then_their_holes_then_levels_by_name():
    frame, y = holes()
    moe = fit_quietly(mixture(), frame, y)
    levels = [f"town_{town}" for town in sorted(TOWNS)]
    holes_of = ["missingindicator_size", "missingindicator_cost"]
    expected = ["size", "age", "cost", *holes_of, *levels, "missingindicator_town"]
    assert list(moe.gate_feature_names_) == expected


@pytest.mark.parametrize("n_levels", [50, 51])
def test_levels_of_least_weight_share_a_column_beyond_fifty(n_levels):
    """Of equally heavy levels those stay that come first by name."""
    names = np.array([f"level{i:02}" for i in range(n_levels)])
    levels = np.repeat(names, 2)
    weight = np.repeat(np.where(np.arange(n_levels) % 7 == 0, 0.5, 1.0), 2)
    weight[levels == "level49"] = 9.0
    frame = pd.DataFrame({"u": levels, "v": np.arange(2.0 * n_levels)})
    moe = fit_quietly(mixture(), frame, frame["v"].to_numpy(), sample_weight=weight)
    n_kept = 50 if n_levels == 50 else 49
    ranked = sorted(names, key=lambda name: (-weight[levels == name].sum(), name))
    kept = sorted(ranked[:n_kept])
    expected = ["v", *(f"u_{name}" for name in kept)]
    assert list(moe.gate_feature_names_) == expected + ["u_infrequent"] * (n_levels > 50)
    columns = {"v": frame["v"]} | {f"u_{name}": levels == name for name in kept}
    columns["u_infrequent"] = ~np.isin(levels, kept)
    assert_allclose(moe.predict_gate(frame), gate_by_name(moe, columns), atol=1e-9)
    # A level that the fit has not seen is among the infrequent ones, if there are any.
    new = frame[:1].assign(u="new")
    columns = {name: np.zeros(1) for name in moe.gate_feature_names_}
    columns |= {"v": new["v"], "u_infrequent": np.ones(1)}
    assert_allclose(moe.predict_gate(new), gate_by_name(moe, columns), atol=1e-9)
    assert moe.is_outside_range(new).tolist() == [n_levels == 50]


KINDS = {
    "None": lambda frame: frame,
    "NA": lambda frame: frame.assign(
        town=frame["town"].astype("string"), size=frame["size"].astype("Float64")
    ),
    "category": lambda frame: frame.assign(town=frame["town"].astype("category")),
    "polars": lambda frame: pytest.importorskip("polars").DataFrame(
        {
            name: [None if pd.isna(value) else value for value in frame[name]]
            for name in frame.columns
        }
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_missing_values_are_missing_however_they_are_written(kind):
    frame, y = holes()
    table = KINDS[kind](frame)
    moe = fit_quietly(mixture(), table, y)
    columns = columns_by_name(frame, np.ones(N), sorted(TOWNS))
    assert "missingindicator_town" in moe.gate_feature_names_
    assert_allclose(moe.predict_gate(table), gate_by_name(moe, columns), atol=1e-9)


NUMBERS = {
    "Arrow": lambda frame: frame.convert_dtypes(dtype_backend="pyarrow"),
    "sparse": lambda frame: frame.astype({"size": pd.SparseDtype(float)}),
    "objects": lambda frame: frame.astype(object).where(frame.notna(), pd.NA),
    "decimal": lambda frame: frame.map(lambda value: Decimal(str(value))),
    "polars": lambda frame: pl.from_pandas(frame).cast(pl.Decimal(10, 4)),
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_of_any_type_are_no_categories(kind):
    frame = holes()[0][["size", "age"]].round(4)
    table, y = NUMBERS[kind](frame), frame["age"].to_numpy() ** 2
    moe, plain = (fit_quietly(mixture(), given, y) for given in (table, frame))
    assert list(moe.gate_feature_names_) == ["size", "age", "missingindicator_size"]
    assert_allclose(moe.predict(table), plain.predict(frame), rtol=1e-9)
    assert_allclose(plain.predict(table), plain.predict(frame), rtol=1e-9)


# The scaler takes the root of the variance of a constant, which can be just below zero.
@pytest.mark.filterwarnings("ignore:invalid value encountered in sqrt")
def test_a_column_without_values_is_imputed_by_zero():
    frame, y = holes()
    frame = frame[["age"]].assign(empty=np.nan)
    moe = fit_quietly(mixture(), frame, y)
    columns = {"age": frame["age"], "empty": np.zeros(N), "missingindicator_empty": np.ones(N)}
    assert_allclose(moe.predict_gate(frame), gate_by_name(moe, columns), atol=1e-9)


def test_an_array_is_no_frame_with_categories():
    frame, y = holes()
    moe = fit_quietly(mixture(), frame[["town", "age"]], y)
    message = refusal(moe.predict, np.zeros((2, 2)))
    assert_refused(message, "X must be a data frame", "[0]", "array")


# --- experts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("features", [["age", "cost"], ["town", "size"]])
def test_named_experts_impute_and_scale_by_the_weights_of_the_rows(features):
    """A row of weight two is two rows for each step, and one of weight zero is none."""
    frame, y = holes()
    frame["town"] = frame["town"].fillna("rome")
    weight = np.random.default_rng(1).integers(0, 4, size=N)
    rows = np.repeat(np.arange(N), weight)
    moe = MixtureOfExpertsRegressor(
        1, n_init=1, expert=["linear"], expert_features=features, alpha=20.0, cross_fit=False
    )
    moe.fit(frame, y, sample_weight=weight)
    part, is_town = frame[features], "town" in features
    medians = part.iloc[rows].quantile(0.5, interpolation="lower", numeric_only=True)
    missing = part[medians.index].isna().add_prefix("missing ")
    table = pd.concat([part.fillna(medians), missing.loc[:, missing.iloc[rows].any()]], axis=1)
    encode = make_column_transformer(
        (OneHotEncoder(sparse_output=False), ["town"] * is_town),
        ("passthrough", [name for name in table if name != "town"]),
    )
    single = make_pipeline(encode, StandardScaler(with_mean=False), Ridge(20.0))
    single.fit(table.iloc[rows], y[rows])
    assert_allclose(moe.predict(frame), single.predict(table), rtol=1e-8)


def test_missing_values_are_accepted_only_where_every_expert_takes_them():
    frame, y = holes()
    table = frame[["size", "age"]].to_numpy()
    message = refusal(MixtureOfExpertsRegressor(2, expert=[Ridge(), "tree"]).fit, table, y)
    assert_refused(message, "X must have no missing values unless every", "column 0")
    fit_quietly(mixture(), table, y)
