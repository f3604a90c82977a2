"""Tables as users bring them: arrays of any type and layout, frames, and sparse matrices."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone, is_classifier

from properties import random_cases
from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from support.fits import FIXED, FIXED_OF_CLASSES, fit_quietly
from support.tables import flipping_classes, two_regimes

NAMES = ["age", "income", "height"]
SHORT = {"n_init": 1, "max_iter": 5, "random_state": 0}
ESTIMATORS = {
    "regressor": MixtureOfExpertsRegressor(2, **SHORT | FIXED),
    "classifier": MixtureOfExpertsClassifier(2, **SHORT | FIXED_OF_CLASSES),
}
BOTH = pytest.mark.parametrize("task", ESTIMATORS)


def data(task, n_rows=100):
    return (flipping_classes if task == "classifier" else two_regimes)(n_rows=n_rows)


def statements(moe, X):
    return moe.predict_proba(X) if is_classifier(moe) else moe.predict(X)


def frame_of(library):
    return lambda X: library.DataFrame(dict(zip(NAMES, X.T, strict=True)))


CONTAINERS = random_cases.CONTAINERS | {
    "strided": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    **{np.dtype(t).name: lambda X, t=t: X.astype(t) for t in ("f2", "i8", "i1", "u2")},
}


@pytest.mark.parametrize(
    ("task", "container"),
    [("regressor", container) for container in CONTAINERS]
    + [("classifier", container) for container in ("list", "pandas", "csr_array")],
)
def test_a_table_is_the_same_in_any_container(task, container):
    """Numbers that all types hold; the maximum of one expert is the same to more digits."""
    X, y = data(task)
    X, make = np.abs(np.round(3 * X)), CONTAINERS[container]
    for options in ({"n_experts": 1, "max_iter": 100, "tol": 1e-10}, {"init": "linear_tree"}):
        moe = clone(ESTIMATORS[task]).set_params(**options)
        given = fit_quietly(clone(moe), make(X), y)
        expected = statements(fit_quietly(moe, X, y), X)
        found = statements(given, make(X))
        assert found.dtype == np.float64
        if "n_experts" in options or not sparse.issparse(make(X)):
            assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
        if sparse.issparse(make(X)):  # which are not centred, but predict like dense rows
            assert_allclose(statements(moe, make(X)), expected, rtol=1e-10)
            assert_allclose(statements(given, X), found, rtol=1e-10)


@BOTH
def test_single_precision_says_the_same(task):
    X, y = data(task, n_rows=300)
    X = (1000.0 + X).astype(np.float32)  # far from zero
    moe = clone(ESTIMATORS[task]).set_params(tol=1e-7, max_iter=300)
    single, double = fit_quietly(clone(moe), X, y), fit_quietly(moe, X.astype(float), y)
    assert_allclose(single.lower_bound_, double.lower_bound_, atol=1e-4)
    assert np.diff(single.lower_bounds_).min() > -1e-6
    gate, expected = single.predict_gate(X), double.predict_gate(X.astype(float))
    # Round-off may exchange the numbers of the two experts.
    gate = gate[:, np.argsort(single.gate_intercept_)]
    assert_allclose(gate, expected[:, np.argsort(double.gate_intercept_)], atol=5e-3)
    assert gate.dtype == single.expert_coef_.dtype == np.float64
    assert_allclose(single.score(X, y), double.score(X.astype(float), y), atol=1e-3)


@BOTH
def test_sparse_tables_are_never_densified(task, monkeypatch):
    rng = np.random.default_rng(0)
    table = sparse.csr_array(sparse.random(600, 200, density=0.02, random_state=0, format="csr"))
    y = table @ rng.normal(size=200) + np.where((table[:, [0]] > 0).toarray().ravel(), 5.0, 0.0)
    y = y if task == "regressor" else (y > np.median(y)).astype(int)
    dense_sizes = []
    for kind in (sparse.csr_array, sparse.csc_array, sparse.coo_array, sparse.csr_matrix):
        original = kind.toarray

        def toarray(self, *args, _original=original, **kwargs):
            dense_sizes.append(np.prod(self.shape))
            return _original(self, *args, **kwargs)

        monkeypatch.setattr(kind, "toarray", toarray)
        monkeypatch.setattr(kind, "todense", None, raising=False)
    moe = fit_quietly(clone(ESTIMATORS[task]).set_params(max_iter=10), table, y)
    assert max(dense_sizes) < 600 * 200 / 2
    assert np.isfinite(moe.expert_coef_).all()
    assert moe.score(table, y) > 0.5


@BOTH
@pytest.mark.parametrize("library", [pd, pl])
def test_columns_of_frames_have_names(library, task):
    X, y = data(task)
    frame, moe = frame_of(library)(X), clone(ESTIMATORS[task])
    moe.set_params(gate_features=["age"], expert_features=["income", "age"])
    fit_quietly(moe, frame, library.Series(y))
    assert_array_equal(moe.feature_names_in_, NAMES)
    assert_allclose(moe.gate_coef_[:, 1:], 0.0)
    assert_allclose(moe.expert_coef_[:, 2], 0.0)
    assert (moe.expert_coef_[:, :2] != 0).all()
    by_index = clone(moe).set_params(gate_features=[0], expert_features=[1, 0])
    assert_allclose(moe.predict_gate(frame), fit_quietly(by_index, X, y).predict_gate(X), atol=1e-8)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        moe.predict(X)
    with pytest.warns(UserWarning, match="X has feature names, but Mixture"):
        assert_array_equal(by_index.predict(frame), by_index.predict(X))
    again = fit_quietly(moe.set_params(gate_features=None, expert_features=None), X, y)
    assert not hasattr(again, "feature_names_in_")  # nothing of the last fit remains


# --- targets --------------------------------------------------------------------------------------

LABELS = {
    "words": np.array(["ham", "spam"]),
    "objects": np.array(["ham", "spam"], dtype=object),
    "truth values": np.array([True, False]),
    "truth values as objects": np.array([True, False], dtype=object),
    "integers": np.array([-7, 3]),
    "numbers": np.array([0.0, 1.0]),
    "categories": pd.Categorical(["no", "yes"]),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_any_type(kind):
    X, codes = data("classifier")
    y = LABELS[kind][codes]
    moe = fit_quietly(clone(ESTIMATORS["classifier"]).set_params(max_iter=20), X, y)
    assert set(moe.classes_) == set(LABELS[kind])
    predicted = moe.predict(X)
    assert predicted.dtype == moe.classes_.dtype
    assert (predicted == np.asarray(y)).mean() > 0.7
    assert moe.score_samples(X, y).shape == (100,)
