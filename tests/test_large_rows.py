"""Memory maps, blocks and streams give what rows in memory give, or the same errors."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from regimes import quiet
from scipy import sparse

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._estimators import init_rows
from skmoe.blocks import RowBlocks

N = 400


def table():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 3))
    return X, np.where(X[:, 0] > 0, 2.0 * X[:, 1] + 1.0, -X[:, 1]) + 0.3 * rng.normal(size=N)


@pytest.fixture
def mapped(tmp_path, monkeypatch):
    """A memory map that is fitted in blocks."""
    monkeypatch.setattr(init_rows, "MAX_INIT_ROWS", N // 2)
    np.save(tmp_path / "X.npy", table()[0])
    return np.load(tmp_path / "X.npy", mmap_mode="r")


@pytest.mark.parametrize("class_weight", [{0: 1.0, 1: 20.0}, {0: 0.0, 1: 1.0, 2: 1.0}, "balanced"])
@pytest.mark.parametrize("kind", ["array", "sparse"])
def test_class_weights_are_in_the_standardisation_of_blocks(class_weight, kind):
    X, y = table()
    labels = np.digitize(y, [1.5] if len(class_weight) == 2 else [-1.0, 1.5])
    X = sparse.csr_array(np.where(np.abs(X) > 0.5, X, 0.0)) if kind == "sparse" else X
    options = {"alpha": 1.0, "gate_alpha": 1.0, "tol": 1e-9, "max_iter": 1000, "random_state": 0}
    moe = MixtureOfExpertsClassifier(2, class_weight=class_weight, **options)
    parts = [(X[:150], labels[:150]), (X[150:], labels[150:])]
    in_blocks = quiet(moe, RowBlocks(lambda: iter(parts))).predict_proba(X)
    scaling = moe._fitted.preprocessor.feature_scaling
    in_memory = quiet(moe, X, labels).predict_proba(X)
    assert_allclose(scaling.scale, moe._fitted.preprocessor.feature_scaling.scale)
    assert_allclose(in_blocks, in_memory, atol=1e-3)


@pytest.mark.parametrize("name", ["y", "sample_weight"])
@pytest.mark.parametrize("change", [-1, 7])
def test_arrays_of_other_lengths_are_refused(name, change, mapped):
    values = {"y": table()[1], "sample_weight": np.ones(N)}
    values[name] = np.resize(values[name], N + change)
    with pytest.raises(ValueError, match=f"{name} must have one value for each row of X; got"):
        MixtureOfExpertsRegressor(2).fit(mapped, **values)
    with pytest.raises(ValueError, match=f"{name} must have one value for each row of X; got"):
        quiet(MixtureOfExpertsRegressor(2), RowBlocks.from_arrays(np.array(mapped), **values))


@pytest.mark.parametrize("make", [list, pd.DataFrame, sparse.csr_array])
def test_blocks_are_made_of_arrays(make):
    X, y = table()
    with pytest.raises(ValueError, match=f"X must be an array .* got {make.__name__}"):
        RowBlocks.from_arrays(make(X), y)


def test_arguments_of_no_use_are_refused(mapped):
    y = table()[1]
    moe = MixtureOfExpertsRegressor(2)
    with pytest.raises(ValueError, match="weights cannot be used"):
        moe.fit(mapped, y, weights=np.ones(N))
    with pytest.raises(ValueError, match="groups cannot be used"):
        moe.fit(RowBlocks.from_arrays(table()[0], y), groups=np.arange(N))


def test_memory_maps_take_what_arrays_take(mapped):
    X, y = table()
    moe = MixtureOfExpertsRegressor(2, gate="constant", max_iter=5, random_state=0)
    units = np.arange(N) % 40
    assert_allclose(
        quiet(moe, mapped, y, units=units).predict(X), quiet(moe, X, y, units=units).predict(X)
    )
    quiet(moe, mapped, y, units=np.sort(units))  # in blocks
    assert_allclose(
        quiet(moe, mapped, y, sample_weight=2.0).predict(X),
        quiet(moe, X, y, sample_weight=2.0).predict(X),
    )
    with pytest.raises(ValueError, match="requires y to be passed"):
        moe.fit(mapped)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_blocks_and_batches_are_dense_or_sparse(order):
    X, y = table()
    X = np.where(np.abs(X) > 0.5, X, 0.0)
    kinds = [np.asarray, sparse.csr_array]
    parts = [(kinds[order[0]](X[:200]), y[:200]), (kinds[order[1]](X[200:]), y[200:])]
    moe = MixtureOfExpertsRegressor(2, random_state=0)
    in_blocks = quiet(moe, RowBlocks(lambda: iter(parts))).predict(X)
    assert np.corrcoef(in_blocks, quiet(moe, X, y).predict(X))[0, 1] > 0.99
    streams = [MixtureOfExpertsRegressor(2, random_state=0) for _ in range(2)]
    for part, rows in zip(parts, (slice(0, 200), slice(200, N)), strict=True):
        streams[0].partial_fit(*part)
        streams[1].partial_fit(kinds[order[0]](X[rows]), y[rows])
    assert np.corrcoef(*(stream.predict(X) for stream in streams))[0, 1] > 0.95


# --- numbers of experts -----------------------------------------------------------------------


@pytest.mark.parametrize("criterion", ["auto", "bic"])
def test_class_weights_are_those_of_rows_in_the_choice_of_a_number(criterion):
    X, y = table()
    labels = np.where(y > 1.0, "c", np.where(y > -1.0, "b", "a"))
    weights = {"a": 1.0, "b": 7.0, "c": 2.5}
    moe = MixtureOfExpertsClassifier(criterion, n_init=1, random_state=0)
    of_rows = quiet(moe, X, labels, sample_weight=np.vectorize(weights.get)(labels))
    scores, number = of_rows.n_experts_scores_, of_rows.n_experts_
    of_classes = quiet(moe.set_params(class_weight=weights), X, labels)
    assert of_classes.n_experts_ == number
    assert_allclose(of_classes.n_experts_scores_, scores)
