"""Rows arrive by arrays, blocks, files, Dask and streams, and are the same rows by all ways.

One expert, whose maximum is the only one, is the weighted fit of scikit-learn.
"""

import sys
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.data import RowBlocks
from support.fits import FIXED, fit_quietly
from support.refusals import assert_refused, refusal

N = 120
ARGUMENTS = ("sample_weight", "offset", "units", "known_experts")


class Rows(NamedTuple):
    X: np.ndarray
    y: np.ndarray
    given: dict  # further arguments


@cache
def rows(kind):
    """Fractional weights that matter: heavy rows follow another rule than light ones."""
    rng = np.random.default_rng(0)
    X, weight = rng.uniform(-1, 1, size=(N, 2)), rng.uniform(0.1, 5.0, size=N)
    signal = np.where(weight > 2.5, 1.0, -1.0) * X[:, 0] + 0.5 * X[:, 1]
    given = {"sample_weight": weight}
    if kind == "classes":
        is_yes = signal + 0.3 * rng.logistic(size=N) > 0
        return Rows(X, np.array(["no", "yes"])[is_yes.astype(int)], given)
    if kind == "counts with offsets":
        given["offset"] = rng.normal(size=N)
        return Rows(X, 1.0 * rng.poisson(np.exp(1.0 + signal + given["offset"])), given)
    if kind == "units with known experts":
        given |= {"units": np.arange(N) // 3, "known_experts": np.where(np.arange(N) < 9, 0, -1)}
    return Rows(X, signal + 0.3 * rng.normal(size=N), given)


def one_expert(kind):
    """Of maximum likelihood but for classes, whose penalty is one."""
    options = {"random_state": 0, "tol": 1e-10, "gate": "constant", "n_init": 1}
    if kind == "classes":
        return MixtureOfExpertsClassifier(1, alpha=1.0, **options)
    family = "poisson" if kind == "counts with offsets" else "normal"
    return MixtureOfExpertsRegressor(1, alpha=1e-9, family=family, **options)


def reference(X, y, given, weight):
    """Coefficients of scikit-learn; those of counts are of rates, whose weights are exposures."""
    if y.dtype.kind == "U":  # the penalty is that of standardised features
        scale = np.sqrt(np.cov(X.T, aweights=weight, ddof=0).diagonal())
        model = LogisticRegression(C=1.0, tol=1e-10, max_iter=1000)
        return model.fit(X / scale, y, sample_weight=weight).coef_[0] / scale
    if "offset" in given:
        exposure = np.exp(given["offset"])
        model = PoissonRegressor(alpha=0.0, tol=1e-12, max_iter=1000)
        return model.fit(X, y / exposure, sample_weight=weight * exposure).coef_
    return LinearRegression().fit(X, y, sample_weight=weight).coef_


# --- ways in ------------------------------------------------------------------------------------


def by_arrays(moe, rows, folder):
    return moe.fit(rows.X, rows.y, **rows.given)


def by_blocks(moe, rows, folder):
    values = [rows.X, rows.y, *map(rows.given.get, ARGUMENTS)]
    cuts = slice(0, 42), slice(42, N)
    blocks = [tuple(None if v is None else v[cut] for v in values) for cut in cuts]
    return moe.fit(RowBlocks(lambda: iter(blocks)))


def by_arrays_in_blocks(moe, rows, folder):
    return moe.fit(RowBlocks.from_arrays(rows.X, rows.y, **rows.given))


def by_files(moe, rows, folder):
    paths = [folder / "X.npy", folder / "y.npy"]
    for path, values in zip(paths, (rows.X, rows.y), strict=True):
        np.save(path, values)
    others = [rows.given.get(name) for name in ARGUMENTS]
    return moe.fit(RowBlocks(lambda: [(*map(np.load, paths), *others)]))


def by_parquet(moe, rows, folder):
    """One block for each row group; other columns than the named ones are features."""
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame(rows.X, columns=["a", "b"]).assign(y=rows.y, **rows.given)
    paths = [folder / "one.parquet", folder / "two.parquet"]
    frame[:60].to_parquet(paths[0], row_group_size=30, index=False)
    frame[60:].to_parquet(paths[1], index=False)
    blocks = RowBlocks.from_parquet(paths, "y", **{name: name for name in rows.given})
    assert [len(block[1]) for block in blocks] == [30, 30, 60]
    assert list(moe.fit(blocks).feature_names_in_) == ["a", "b"]
    return moe


def by_memory_map(moe, rows, folder):
    return moe.fit(memory_map(folder, rows.X), rows.y, **rows.given)


def by_dask(moe, rows, folder):
    dask, da = pytest.importorskip("dask"), pytest.importorskip("dask.array")
    X, y, *given = (
        da.from_array(v, chunks=(60, *v.shape[1:])) for v in (rows.X, rows.y, *rows.given.values())
    )
    with dask.config.set(scheduler="synchronous"):
        return moe.fit(X, y, **dict(zip(rows.given, given, strict=True)))


def by_warm_start(moe, rows, folder):
    return by_arrays(by_arrays(moe.set_params(warm_start=True), rows, folder), rows, folder)


def by_stream(moe, rows, folder):
    classes = {"classes": ["no", "yes"]} if hasattr(moe, "predict_proba") else {}
    return moe.partial_fit(rows.X, rows.y, **rows.given, **classes)


def memory_map(folder, X):
    np.save(folder / "X.npy", X)
    return np.load(folder / "X.npy", mmap_mode="r")


WAYS = [by_arrays, by_blocks, by_arrays_in_blocks, by_files, by_parquet, by_memory_map, by_dask]
WAYS += [by_warm_start, by_stream]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize(
    "kind", ["numbers", "counts with offsets", "classes", "units with known experts"]
)
def test_one_expert_is_the_weighted_fit_of_scikit_learn(kind, way, tmp_path):
    X, y, given = rows(kind)
    moe = way(one_expert(kind), rows(kind), tmp_path)
    found = np.ravel(moe.expert_coef_)
    found = np.diff(found.reshape(2, 2), axis=0)[0] if len(found) == 4 else found
    expected = reference(X, y, given, given["sample_weight"])
    assert_allclose(found, expected, atol=5e-4)
    assert np.abs(expected - reference(X, y, given, np.ones(N))).max() > 0.05
    if "units" in given:
        assert moe.n_units_ == 40


def test_a_target_of_several_columns_and_a_single_path(tmp_path):
    pytest.importorskip("pyarrow")
    path, X = tmp_path / "rows.parquet", rows("numbers").X
    pd.DataFrame(np.hstack([X, X]), columns=list("abyz")).to_parquet(path, index=False)
    ((X_block, y_block),) = RowBlocks.from_parquet(path, ["y", "z"])
    assert y_block.shape == (N, 2)
    assert list(X_block.columns) == ["a", "b"]


@pytest.mark.parametrize(("package", "extra"), [("pyarrow", "parquet"), ("dask", "dask")])
def test_a_missing_package_is_named_with_its_extra(package, extra, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    message = refusal(getattr(RowBlocks, f"from_{extra}"), "rows.parquet", "y")
    assert_refused(message, f"RowBlocks.from_{extra} needs {package}", f"skmoe[{extra}]")


# --- memory maps --------------------------------------------------------------------------------

N_MANY = 20_500  # rows are read in blocks beyond 20 000


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Features, also in a map, and a target."""
    X = np.random.default_rng(0).normal(size=(N_MANY, 1))
    y = np.random.default_rng(1).poisson(np.exp(0.5 * X[:, 0]))
    return X, memory_map(tmp_path_factory.mktemp("map"), X), y


def of_many():
    options = {"n_init": 1, "gate": "constant", "alpha": 10.0, "tol": 1e-12}
    return MixtureOfExpertsRegressor(1, family="poisson", **options)


def test_a_small_memory_map_is_fitted_like_an_array(tmp_path):
    X, y, _ = rows("numbers")
    moe = MixtureOfExpertsRegressor(2, n_init=1, max_iter=4, random_state=0, **FIXED)
    mapped = memory_map(tmp_path, X)
    expected = fit_quietly(moe, X, y).predict(X)
    assert_array_equal(fit_quietly(moe, mapped, y).predict(X), expected)
    assert_array_equal(moe.predict(mapped), expected)


@pytest.mark.parametrize("with_units", [False, True])
def test_a_large_memory_map_is_fitted_in_blocks_but_for_units(with_units, many):
    """It says what an array says, and in blocks a bad value is found with the number of its block.

    Rows of a unit need not be next to each other.
    """
    (X, mapped, y), index = many, np.arange(N_MANY)
    given = {"sample_weight": 1 + index % 3 // 2, "offset": 1e-4 * index}
    if with_units:
        given["units"] = index % 10_000
    whole = fit_quietly(of_many(), X, y, **given).expert_coef_
    assert_allclose(fit_quietly(of_many(), mapped, y, **given).expert_coef_, whole, rtol=1e-6)
    message = refusal(of_many().fit, mapped, np.where(index == 7, np.nan, y), **given)
    assert message.startswith("block 0") == (not with_units)
    assert "y contains NaN" in message


def test_one_weight_for_all_rows_of_a_large_memory_map(many):
    X, mapped, y = many
    moe = of_many().set_params(alpha=1000.0)
    once, twice = (
        fit_quietly(moe, mapped, y, sample_weight=weight).expert_coef_ for weight in (1.0, 2.0)
    )
    copies = np.vstack([X, X]), np.append(y, y)
    assert_allclose(twice, fit_quietly(moe, *copies).expert_coef_, rtol=1e-6)
    assert abs(twice - once).max() > 1e-3


REFUSED = {
    "unknown argument": ({"weights": 1.0}, "weights", "cannot be used"),
    "rows of y": ({"y": np.zeros(7)}, "y must have one value for each row of X", "7"),
    "rows of weights": (
        {"sample_weight": np.ones(5)},
        "sample_weight must have one value for each row of X",
        "5",
    ),
    "no y": ({"y": None}, "", "requires y to be passed"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_arguments_of_a_large_memory_map_are_checked(case, many):
    _, mapped, y = many
    given, *words = REFUSED[case]
    assert_refused(refusal(of_many().fit, mapped, **{"y": y} | given), *words)
