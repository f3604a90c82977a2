"""Data as users bring it."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from regimes import flipping_classes, two_regimes
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_iris

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._data.scaling import design_matrix, fit_standardization

X, Y = two_regimes(n_rows=200)
NAMES = ["age", "income", "height"]


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64, np.int8, np.uint16, bool])
def test_numbers_of_any_type(dtype):
    table = np.abs(np.round(3 * X)).astype(dtype)
    y = np.round(10 * Y).astype(np.int32)
    moe = MixtureOfExpertsRegressor(1).fit(table, y)
    same = MixtureOfExpertsRegressor(1).fit(table.astype(float), y.astype(float))
    assert moe.predict(table).dtype == np.float64
    # Predictions near zero have the round-off of those far from it.
    assert_allclose(moe.predict(table), same.predict(table.astype(float)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make", [MixtureOfExpertsRegressor, MixtureOfExpertsClassifier])
def test_single_precision_says_the_same(make):
    rows, y = two_regimes(n_rows=3000)
    y = y if make is MixtureOfExpertsRegressor else y > 0
    rows = (1000.0 + rows).astype(np.float32)  # far from zero
    moe = make(2, random_state=0, tol=1e-7, max_iter=1000)
    single = clone(moe).fit(rows, y)
    double = clone(moe).fit(rows.astype(float), y)
    assert single.lower_bound_ == pytest.approx(double.lower_bound_, abs=1e-5)
    assert np.diff(single.lower_bounds_).min() > -1e-7
    gate, expected = single.predict_gate(rows), double.predict_gate(rows.astype(float))
    # Round-off may exchange the numbers of the two experts.
    gate = gate[:, np.argsort(single.gate_intercept_)]
    assert_allclose(gate, expected[:, np.argsort(double.gate_intercept_)], atol=1e-3)
    assert gate.dtype == single.expert_coef_.dtype == np.float64
    assert_allclose(single.score(rows, y), double.score(rows.astype(float), y), atol=1e-4)


def test_tables_in_single_precision_are_not_copied_into_double():
    rows = X.astype(np.float32)
    scale = fit_standardization(rows, np.ones(len(rows)))
    assert design_matrix(rows, scale, None).dtype == np.float32
    assert design_matrix(sparse.csr_array(rows), scale, None).dtype == np.float64


@pytest.mark.parametrize("layout", ["F", "readonly", "list", "strided"])
def test_layouts_of_memory(layout):
    table = {
        "F": np.asfortranarray(X),
        "readonly": X.copy(),
        "list": X.tolist(),
        "strided": np.repeat(X, 2, axis=1)[:, ::2],
    }[layout]
    if layout == "readonly":
        table.setflags(write=False)
    moe = MixtureOfExpertsRegressor(2, random_state=0).fit(table, Y)
    assert_allclose(
        moe.predict(table), MixtureOfExpertsRegressor(2, random_state=0).fit(X, Y).predict(X)
    )


@pytest.mark.parametrize("library", [pd, pl])
@pytest.mark.parametrize("make", [MixtureOfExpertsRegressor, MixtureOfExpertsClassifier])
def test_frames(library, make):
    y = Y if make is MixtureOfExpertsRegressor else flipping_classes(n_rows=200)[1]
    frame = library.DataFrame(dict(zip(NAMES, X.T, strict=True)))
    moe = make(2, gate_features=["age"], expert_features=["income", "age"], random_state=0)
    moe.fit(frame, library.Series(y))
    assert_array_equal(moe.feature_names_in_, NAMES)
    assert_allclose(moe.gate_coef_[:, 1:], 0.0)
    assert_allclose(moe.expert_coef_[:, 2], 0.0)
    assert (moe.expert_coef_[:, :2] != 0).all()
    by_index = make(2, gate_features=[0], expert_features=[1, 0], random_state=0).fit(X, y)
    assert_allclose(moe.predict_gate(frame), by_index.predict_gate(X))
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        moe.predict(X)
    again = moe.set_params(gate_features=None, expert_features=None).fit(X, y)
    assert not hasattr(again, "feature_names_in_")  # nothing of the last fit remains


def test_several_outputs_in_a_frame():
    Y2 = pd.DataFrame({"a": Y, "b": -Y + X[:, 1]})
    moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X, Y2)
    assert moe.predict(X).shape == (200, 2)
    assert_allclose(moe.score_samples(X, Y2), moe.score_samples(X, Y2.to_numpy()))


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["ham", "spam"]),
        np.array(["ham", "spam"], dtype=object),
        np.array([True, False]),
        np.array([-7, 3]),
        np.array([0.0, 1.0]),
        pd.Categorical(["no", "yes"]),
    ],
)
def test_labels_of_any_type(labels):
    table, codes = flipping_classes(n_rows=200)
    y = labels[codes]
    moe = MixtureOfExpertsClassifier(2, random_state=0).fit(table, y)
    assert set(moe.classes_) == set(labels)
    predicted = moe.predict(table)
    assert predicted.dtype == moe.classes_.dtype
    assert (predicted == np.asarray(y)).mean() > 0.7
    assert moe.score_samples(table, y).shape == (200,)


def test_many_classes():
    rng = np.random.default_rng(0)
    y = np.arange(300) % 30
    table = rng.normal(size=(300, 2)) + np.column_stack([y % 6, y // 6]) * 3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        moe = MixtureOfExpertsClassifier(2, random_state=0).fit(table, y)
    assert moe.predict_proba(table).shape == (300, 30)
    assert moe.expert_coef_.shape == (2, 30, 2)
    assert moe.score(table, y) > 0.6


def test_weights_that_are_not_whole_numbers():
    weight = np.random.default_rng(0).uniform(0.1, 3.0, size=len(Y))
    moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X, Y, sample_weight=weight)
    assert_allclose(moe.weights_, weight @ moe.predict_gate(X) / weight.sum())
    joint = moe.score_samples(X, Y)
    n_parameters = 2 * 5 + 4
    assert moe.aic(X, Y, weight) == pytest.approx(2 * n_parameters - 2 * joint @ weight)


def test_class_weights():
    table, codes = flipping_classes()
    factor = np.where(codes == 1, 3.0, 0.5)
    given = MixtureOfExpertsClassifier(2, class_weight={0: 0.5, 1: 3.0}, random_state=0)
    given.fit(table, codes)
    by_hand = MixtureOfExpertsClassifier(2, random_state=0).fit(table, codes, factor)
    assert given.lower_bound_ == pytest.approx(by_hand.lower_bound_, abs=1e-3)
    rare = np.flatnonzero((codes == 0) | (np.arange(len(codes)) % 10 == 0))
    plain = MixtureOfExpertsClassifier(2, random_state=0).fit(table[rare], codes[rare])
    balanced = MixtureOfExpertsClassifier(2, class_weight="balanced", random_state=0)
    balanced.fit(table[rare], codes[rare])
    predicted = balanced.predict(table), plain.predict(table)
    assert (predicted[0] == 1).mean() > (predicted[1] == 1).mean() + 0.1


@pytest.mark.parametrize("make", [MixtureOfExpertsRegressor, MixtureOfExpertsClassifier])
def test_sparse_tables_are_never_densified(make, monkeypatch):
    rng = np.random.default_rng(0)
    table = sparse.csr_array(sparse.random(2000, 400, density=0.01, random_state=0, format="csr"))
    y = table @ rng.normal(size=400) + np.where((table[:, [0]] > 0).toarray().ravel(), 5.0, 0.0)
    y = y if make is MixtureOfExpertsRegressor else (y > np.median(y)).astype(int)
    dense_sizes = []
    for kind in (sparse.csr_array, sparse.csc_array, sparse.coo_array, sparse.csr_matrix):
        original = kind.toarray

        def toarray(self, *args, _original=original, **kwargs):
            dense_sizes.append(np.prod(self.shape))
            return _original(self, *args, **kwargs)

        monkeypatch.setattr(kind, "toarray", toarray)
        monkeypatch.setattr(kind, "todense", None, raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        moe = make(2, n_init=2, random_state=0, max_iter=20).fit(table, y)
    assert max(dense_sizes) < 2000 * 400 / 2
    assert np.isfinite(moe.expert_coef_).all()
    assert moe.score(table, y) > 0.5


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csc_array, sparse.csr_matrix])
def test_sparse_rows_are_predicted_as_dense_ones_after_a_dense_fit(kind):
    rng = np.random.default_rng(0)
    rows = 3.0 + rng.normal(size=(200, 2))  # far from zero: not to centre them would show
    y = np.abs(rows[:, 0] - 3.0) + 0.1 * rng.normal(size=200)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        moe = MixtureOfExpertsRegressor(2, random_state=0, n_init=1).fit(rows, y)
    assert_allclose(moe.predict_gate(kind(rows)), moe.predict_gate(rows), rtol=1e-10)
    assert_allclose(moe.predict(kind(rows)), moe.predict(rows), rtol=1e-10)


def test_iris_frame_with_string_classes():
    bunch = load_iris(as_frame=True)
    species = bunch.target_names[bunch.target]
    moe = MixtureOfExpertsClassifier(2, random_state=0).fit(bunch.data, species)
    assert moe.score(bunch.data, species) > 0.95
    assert moe.predict_proba(bunch.data).shape == (150, 3)
