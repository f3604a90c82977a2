"""Rows arrive by arrays, blocks, files, Dask and streams, and are the same rows by all ways.

One expert, whose maximum is the only one, is the weighted fit of scikit-learn.
"""

import sys
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.data import RowBlocks
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


@cache
def reference(kind, is_weighted=True):
    """Coefficients of scikit-learn; those of counts are of rates, whose weights are exposures."""
    X, y, given = rows(kind)
    weight = given["sample_weight"] if is_weighted else np.ones(N)
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
    np.save(folder / "X.npy", rows.X)
    mapped = np.load(folder / "X.npy", mmap_mode="r")
    return moe.fit(RowBlocks.from_arrays(mapped, rows.y, **rows.given))


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


WAYS = [by_arrays, by_blocks, by_files, by_parquet, by_memory_map, by_dask]
WAYS += [by_warm_start, by_stream]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize(
    "kind", ["numbers", "counts with offsets", "classes", "units with known experts"]
)
def test_one_expert_is_the_weighted_fit_of_scikit_learn(kind, way, tmp_path):
    moe = way(one_expert(kind), rows(kind), tmp_path)
    found = np.ravel(moe.expert_coef_)
    found = np.diff(found.reshape(2, 2), axis=0)[0] if len(found) == 4 else found
    expected = reference(kind)
    assert_allclose(found, expected, atol=5e-4)
    assert np.abs(expected - reference(kind, is_weighted=False)).max() > 0.05
    if "units" in rows(kind).given:
        assert moe.n_units_ == 40


def test_a_target_of_several_columns_and_a_single_path(tmp_path):
    pytest.importorskip("pyarrow")
    path, X = tmp_path / "rows.parquet", rows("numbers").X
    pd.DataFrame(np.hstack([X, X]), columns=list("abyz")).to_parquet(path, index=False)
    ((X_block, y_block),) = RowBlocks.from_parquet(path, ["y", "z"])
    assert y_block.shape == (N, 2)
    assert list(X_block.columns) == ["a", "b"]


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "pyarrow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    message = refusal(RowBlocks.from_parquet, "rows.parquet", "y")
    assert_refused(message, "RowBlocks.from_parquet needs pyarrow", ".[parquet]")
