"""Data as users bring it."""

import tracemalloc
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.utils.class_weight import compute_class_weight

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from support.fits import FIXED, FIXED_OF_CLASSES, fit_quietly, fixed_penalties
from support.tables import flipping_classes, two_regimes

X, Y = two_regimes(n_rows=100)
NAMES = ["age", "income", "height"]


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64, np.int8, np.uint16, bool])
def test_numbers_of_any_type(dtype):
    table = np.abs(np.round(3 * X)).astype(dtype)
    y = np.round(10 * Y).astype(np.int32)
    moe = MixtureOfExpertsRegressor(1, n_init=1).fit(table, y)
    same = MixtureOfExpertsRegressor(1, n_init=1).fit(table.astype(float), y.astype(float))
    assert moe.predict(table).dtype == np.float64
    # Predictions near zero have the round-off of those far from it.
    assert_allclose(moe.predict(table), same.predict(table.astype(float)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make", [MixtureOfExpertsRegressor, MixtureOfExpertsClassifier])
def test_single_precision_says_the_same(make):
    rows, y = two_regimes(n_rows=300)
    y = y if make is MixtureOfExpertsRegressor else y > 0
    rows = (1000.0 + rows).astype(np.float32)  # far from zero
    moe = make(2, random_state=0, n_init=1, tol=1e-7, max_iter=300, **fixed_penalties(make))
    single = fit_quietly(clone(moe), rows, y)
    double = fit_quietly(clone(moe), rows.astype(float), y)
    assert_allclose(single.lower_bound_, double.lower_bound_, atol=1e-4)
    assert np.diff(single.lower_bounds_).min() > -1e-6
    gate, expected = single.predict_gate(rows), double.predict_gate(rows.astype(float))
    # Round-off may exchange the numbers of the two experts.
    gate = gate[:, np.argsort(single.gate_intercept_)]
    assert_allclose(gate, expected[:, np.argsort(double.gate_intercept_)], atol=5e-3)
    assert gate.dtype == single.expert_coef_.dtype == np.float64
    assert_allclose(single.score(rows, y), double.score(rows.astype(float), y), atol=1e-3)


def test_a_table_in_single_precision_is_not_copied_into_double():
    rows = np.random.default_rng(0).normal(size=(40_000, 10)).astype(np.float32)
    y, peaks = rows[:, 0].astype(float), []
    for table in (rows, rows.astype(float)):
        tracemalloc.start()
        MixtureOfExpertsRegressor(1, n_init=1, gate="constant", alpha=1.0).fit(table, y)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[0] < peaks[1] - 0.8 * rows.nbytes


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
    moe = MixtureOfExpertsRegressor(2, random_state=0, n_init=1, max_iter=4, **FIXED)
    expected = fit_quietly(moe, X, Y).predict(X)
    assert_allclose(fit_quietly(moe, table, Y).predict(table), expected)


@pytest.mark.parametrize("library", [pd, pl])
@pytest.mark.parametrize("make", [MixtureOfExpertsRegressor, MixtureOfExpertsClassifier])
def test_frames(library, make):
    y = Y if make is MixtureOfExpertsRegressor else flipping_classes(n_rows=100)[1]
    frame = library.DataFrame(dict(zip(NAMES, X.T, strict=True)))
    options = {"n_init": 1, "max_iter": 5, "random_state": 0} | fixed_penalties(make)
    moe = make(2, gate_features=["age"], expert_features=["income", "age"], **options)
    fit_quietly(moe, frame, library.Series(y))
    assert_array_equal(moe.feature_names_in_, NAMES)
    assert_allclose(moe.gate_coef_[:, 1:], 0.0)
    assert_allclose(moe.expert_coef_[:, 2], 0.0)
    assert (moe.expert_coef_[:, :2] != 0).all()
    by_index = fit_quietly(make(2, gate_features=[0], expert_features=[1, 0], **options), X, y)
    assert_allclose(moe.predict_gate(frame), by_index.predict_gate(X), atol=1e-8)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        moe.predict(X)
    again = fit_quietly(moe.set_params(gate_features=None, expert_features=None), X, y)
    assert not hasattr(again, "feature_names_in_")  # nothing of the last fit remains


def test_several_outputs_in_a_frame():
    Y2 = pd.DataFrame({"a": Y, "b": -Y + X[:, 1]})
    moe = fit_quietly(MixtureOfExpertsRegressor(2, n_init=1, max_iter=5, random_state=0), X, Y2)
    assert moe.predict(X).shape == (100, 2)
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
    table, codes = flipping_classes(n_rows=100)
    y = labels[codes]
    moe = MixtureOfExpertsClassifier(2, n_init=1, max_iter=20, random_state=0, **FIXED_OF_CLASSES)
    fit_quietly(moe, table, y)
    assert set(moe.classes_) == set(labels)
    predicted = moe.predict(table)
    assert predicted.dtype == moe.classes_.dtype
    assert (predicted == np.asarray(y)).mean() > 0.7
    assert moe.score_samples(table, y).shape == (100,)


def test_many_classes():
    rng = np.random.default_rng(0)
    y = np.arange(150) % 30
    table = rng.normal(size=(150, 2)) + np.column_stack([y % 6, y // 6]) * 3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        moe = MixtureOfExpertsClassifier(2, random_state=0, n_init=1, max_iter=20).fit(table, y)
    assert moe.predict_proba(table).shape == (150, 30)
    assert moe.expert_coef_.shape == (2, 30, 2)
    assert moe.score(table, y) > 0.6


def test_weights_that_are_not_whole_numbers():
    weight = np.random.default_rng(0).uniform(0.1, 3.0, size=len(Y))
    moe = MixtureOfExpertsRegressor(2, n_init=1, max_iter=10, random_state=0, **FIXED)
    fit_quietly(moe, X, Y, sample_weight=weight)
    assert_allclose(moe.weights_, weight @ moe.predict_gate(X) / weight.sum())
    joint = moe.score_samples(X, Y)
    n_parameters = 2 * 5 + 4
    assert moe.aic(X, Y, sample_weight=weight) == pytest.approx(
        2 * n_parameters - 2 * joint @ weight
    )


@pytest.mark.parametrize(("n_experts", "balanced"), [(2, True), (2, False), ("bic", False)])
def test_class_weights_are_weights_of_rows(n_experts, balanced):
    """In starts, in iterations, in the standardisation, and in the choice of a number."""
    table, codes = flipping_classes(n_rows=100, n_classes=3)
    labels = np.array(["a", "b", "c"])[codes]
    weights = {"a": 0.5, "b": 3.0, "c": 1.0}
    if balanced:
        found = compute_class_weight("balanced", classes=np.array(list("abc")), y=labels)
        weights = dict(zip("abc", found, strict=True))
    moe = MixtureOfExpertsClassifier(
        n_experts, n_init=1, max_iter=4, random_state=0, **FIXED_OF_CLASSES
    )
    of_rows = fit_quietly(
        clone(moe), table, labels, sample_weight=[weights[label] for label in labels]
    )
    moe.set_params(class_weight="balanced" if balanced else weights)
    of_classes = fit_quietly(moe, table, labels)
    assert of_classes.n_experts_ == of_rows.n_experts_
    assert_allclose(of_classes.predict_proba(table), of_rows.predict_proba(table), atol=1e-5)
    if n_experts == "bic":
        assert_allclose(of_classes.n_experts_scores_, of_rows.n_experts_scores_, rtol=1e-5)


@pytest.mark.parametrize("make", [MixtureOfExpertsRegressor, MixtureOfExpertsClassifier])
def test_sparse_tables_are_never_densified(make, monkeypatch):
    rng = np.random.default_rng(0)
    table = sparse.csr_array(sparse.random(600, 200, density=0.02, random_state=0, format="csr"))
    y = table @ rng.normal(size=200) + np.where((table[:, [0]] > 0).toarray().ravel(), 5.0, 0.0)
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
        moe = make(2, n_init=1, random_state=0, max_iter=10).fit(table, y)
    assert max(dense_sizes) < 600 * 200 / 2
    assert np.isfinite(moe.expert_coef_).all()
    assert moe.score(table, y) > 0.5


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csc_array, sparse.csr_matrix])
def test_sparse_rows_are_predicted_as_dense_ones_after_a_dense_fit(kind):
    rng = np.random.default_rng(0)
    rows = 3.0 + rng.normal(size=(100, 2))  # far from zero: not to centre them would show
    y = np.abs(rows[:, 0] - 3.0) + 0.1 * rng.normal(size=100)
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
