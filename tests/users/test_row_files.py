"""Tables in files: memory maps, `.npy` files and Parquet files are fitted like arrays."""

import sys

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skmoe import MixtureOfExpertsRegressor
from skmoe.data import RowBlocks
from support.fits import FIXED, fit_quietly
from support.refusals import assert_refused, refusal


def table(n_rows=90):
    """Features, target, weights, offsets and units."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 2))
    values = {
        "y": rng.poisson(np.exp(0.5 + X[:, 0])).astype(float),
        "sample_weight": rng.integers(0, 3, size=n_rows).astype(float),
        "offset": 0.3 * rng.normal(size=n_rows),
        "units": np.arange(n_rows) // 3,
        "known_experts": np.full(n_rows, -1),
    }
    return X, values


def one_expert():
    """A generalised linear model, whose optimum is the only one."""
    options = {"family": "poisson", "gate": "constant", "tol": 1e-12, "max_iter": 200}
    return MixtureOfExpertsRegressor(1, **options | FIXED)


def test_npy_files_hold_the_rows_of_arrays(tmp_path):
    X, values = table()
    paths = {}
    for name, array in {"X": X, **values}.items():
        paths[name] = [tmp_path / f"{name}{i}.npy" for i in range(3)]
        for path, part in zip(paths[name], np.split(array, [30, 60]), strict=True):
            np.save(path, part)
    blocks = RowBlocks.from_npy(**paths)
    assert [len(block) for block in blocks] == [6, 6, 6]
    for i, expected in enumerate([X, *values.values()]):
        assert_array_equal(np.concatenate([block[i] for block in blocks]), expected)
    whole = fit_quietly(one_expert(), X, **values)
    of_files = fit_quietly(one_expert(), blocks)
    assert_allclose(of_files.expert_coef_, whole.expert_coef_, rtol=1e-5)
    assert of_files.n_units_ == whole.n_units_
    plain = RowBlocks.from_npy(paths["X"], paths["y"])
    assert [len(block) for block in plain] == [2, 2, 2]


def test_parquet_files_hold_the_rows_of_frames(tmp_path):
    """One block for each row group, with names; other columns than the named ones are features."""
    pytest.importorskip("pyarrow")
    X, values = table()
    frame = pd.DataFrame(X, columns=["a", "b"]).assign(count=values["y"], size=values["offset"])
    frame = frame.assign(weight=values["sample_weight"], customer=values["units"])
    frame["regime"] = values["known_experts"]
    paths = [tmp_path / "one.parquet", tmp_path / "two.parquet"]
    frame[:60].to_parquet(paths[0], row_group_size=30, index=False)
    frame[60:].to_parquet(paths[1], index=False)
    options = {"offset": "size", "units": "customer", "known_experts": "regime"}
    blocks = RowBlocks.from_parquet(paths, "count", sample_weight="weight", **options)
    assert [len(block[1]) for block in blocks] == [30, 30, 30]
    moe = fit_quietly(one_expert(), blocks)
    whole = fit_quietly(one_expert(), X, **values)
    assert_allclose(moe.expert_coef_, whole.expert_coef_, rtol=1e-5)
    assert_array_equal(moe.feature_names_in_, ["a", "b"])
    # Several columns of a target, and a single path.
    (X_block, y_block), _ = RowBlocks.from_parquet(paths[0], ["count", "size"])
    assert y_block.shape == (30, 2)
    assert list(X_block.columns) == ["a", "b", "weight", "customer", "regime"]


@pytest.mark.parametrize("package", ["pyarrow", "dask"])
def test_a_missing_package_is_named_with_its_extra(package, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    if package == "pyarrow":
        message = refusal(RowBlocks.from_parquet, "table.parquet", "y")
        assert_refused(message, "RowBlocks.from_parquet needs pyarrow", "skmoe[parquet]")
    else:
        message = refusal(RowBlocks.from_dask, None, None)
        assert_refused(message, "RowBlocks.from_dask needs dask", "skmoe[dask]")


def memory_map(path, X):
    np.save(path / "X.npy", X)
    return np.load(path / "X.npy", mmap_mode="r")


def test_a_small_memory_map_is_fitted_like_an_array(tmp_path):
    X, values = table()
    moe = MixtureOfExpertsRegressor(2, n_init=1, max_iter=4, random_state=0, **FIXED)
    mapped = memory_map(tmp_path, X)
    expected = fit_quietly(moe, X, values["y"]).predict(X)
    assert_array_equal(fit_quietly(moe, mapped, values["y"]).predict(X), expected)
    assert_array_equal(moe.predict(mapped), expected)


N_MANY = 20_500  # rows are read in blocks beyond 20 000


@pytest.mark.parametrize("units", [None, "sorted", "apart"])
def test_a_large_memory_map_is_fitted_in_blocks_where_units_permit(units, tmp_path):
    """It says what an array says, and in blocks a bad value is found with the number of its block.

    Rows of one unit that are not next to each other are fitted in memory.
    """
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_MANY, 1))
    y, weight = 2.0 * X[:, 0] + rng.normal(size=N_MANY), rng.integers(1, 3, size=N_MANY)
    labels = {"sorted": np.arange(N_MANY) // 2, "apart": np.arange(N_MANY) % 10_000}
    given = {"sample_weight": weight} | ({} if units is None else {"units": labels[units]})
    moe = MixtureOfExpertsRegressor(1, n_init=1, gate="constant", alpha=10.0)
    whole = fit_quietly(moe, X, y, **given).expert_coef_
    mapped = memory_map(tmp_path, X)
    assert_allclose(fit_quietly(moe, mapped, y, **given).expert_coef_, whole, rtol=1e-8)
    y[7] = np.nan
    message = refusal(moe.fit, mapped, y, **given)
    assert message.startswith("block 0") == (units != "apart")
    assert "y contains NaN" in message


def test_one_weight_for_all_rows_of_a_large_memory_map(tmp_path):
    X = np.random.default_rng(0).normal(size=(N_MANY, 1))
    mapped, y = memory_map(tmp_path, X), X[:, 0] + 1.0
    moe = MixtureOfExpertsRegressor(1, n_init=1, alpha=1000.0)
    once = fit_quietly(moe, mapped, y).expert_coef_
    twice = fit_quietly(moe, mapped, y, sample_weight=2.0).expert_coef_
    assert_allclose(twice, fit_quietly(moe, np.vstack([X, X]), np.append(y, y)).expert_coef_)
    assert abs(twice - once).max() > 1e-3


def test_arguments_of_a_large_memory_map_are_checked(tmp_path):
    X = np.random.default_rng(0).normal(size=(N_MANY, 1))
    mapped, y = memory_map(tmp_path, X), X[:, 0]
    moe = MixtureOfExpertsRegressor(1, n_init=1)
    assert_refused(refusal(moe.fit, mapped, y, weights=y), "weights", "cannot be used")
    message = refusal(moe.fit, mapped, y[:-1])
    assert_refused(message, "y must have one value for each row of X", str(N_MANY - 1))
    message = refusal(moe.fit, mapped, y, sample_weight=np.ones(5))
    assert_refused(message, "sample_weight must have one value for each row of X", "5")
    assert "requires y to be passed" in refusal(moe.fit, mapped)
