"""Columns keep their places: those that gate and experts see, and those that bases add.

What the gate says is computed anew from `gate_feature_names_`, `gate_coef_` and a table that is
built here, column by column, by their names.
"""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.gates import SoftmaxGate
from support.fits import fit_quietly
from support.recording_estimators import Log, RecordingRegressor
from support.refusals import assert_fit_refused

N = 120
SHORT = {"random_state": 0, "n_init": 1, "max_iter": 10}


def numbers(n_columns=4):
    """Columns of different spread about a center, and a target in two regimes."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, n_columns)) * np.arange(1, n_columns + 1) + 10.0
    Z = (X - 10.0) / np.arange(1, n_columns + 1)
    slopes = np.arange(1.0, n_columns + 1)
    y = np.where(Z[:, 0] + 0.5 * Z[:, -1] > 0, Z @ slopes, -Z @ slopes[::-1])
    return X, y + 0.2 * rng.normal(size=N)


# Columns as users choose them, and their indices.
CHOICES = {
    "indices": ([2, 0], [2, 0]),
    "negative": ([-2, 0], [2, 0]),
    "unsigned": (np.array([1, 3], dtype=np.uint8), [1, 3]),
    "one": (-1, [3]),
    "mask": ([True, False, False, True], [0, 3]),
    "names": (["c", "a"], [2, 0]),
    "one name": ("b", [1]),
}


def chosen(choice):
    X, y = numbers()
    table = pd.DataFrame(X, columns=list("abcd")) if "name" in choice else X
    return table, X, y, *CHOICES[choice]


@pytest.mark.parametrize("choice", CHOICES)
def test_experts_and_gate_see_the_chosen_columns(choice):
    table, X, y, given, columns = chosen(choice)
    others = np.setdiff1d(np.arange(4), columns)
    moe = MixtureOfExpertsRegressor(1, n_init=1, alpha=1e-9, expert_features=given).fit(table, y)
    single = LinearRegression().fit(X[:, columns], y)
    assert_allclose(moe.expert_coef_[0, columns], single.coef_, atol=1e-6)
    assert not moe.expert_coef_[0, others].any()
    assert_allclose(moe.predict(table), single.predict(X[:, columns]), atol=1e-6)
    moe = fit_quietly(MixtureOfExpertsRegressor(2, gate_features=given, **SHORT), table, y)
    logits = X[:, columns] @ moe.gate_coef_[:, columns].T + moe.gate_intercept_
    assert_allclose(moe.predict_gate(table), softmax(logits, axis=1), atol=1e-12)
    assert not moe.gate_coef_[:, others].any()
    assert moe.gate_coef_[:, columns].all()


@pytest.mark.parametrize("given", [[3, 1], [-1, 1], np.arange(4) >= 2, list("dba")])
def test_estimators_see_the_chosen_columns_in_their_order(given):
    X, y = numbers()
    X[:, 3] = np.arange(N)
    index = ["abcd".index(j) if isinstance(j, str) else j for j in given]
    index = np.arange(4)[given if isinstance(given, np.ndarray) else index]
    if isinstance(given, np.ndarray):  # the recorder's first column is the number of the row
        X = X[:, [0, 1, 3, 2]]
    table = pd.DataFrame(X, columns=list("abcd")) if "d" in list(given) else X
    log = Log()
    moe = MixtureOfExpertsRegressor(
        1, expert=RecordingRegressor(log), cross_fit=False, expert_features=given, **SHORT
    )
    fit_quietly(moe, table, y)
    seen = log.fits()[0]["X"]
    assert_allclose(seen[np.argsort(seen[:, 0])], X[:, index])
    moe.predict(table)
    assert_allclose(log.questions()[-1][1], X[:, index])


BAD_CHOICES = {
    "too large": ([4], "from 0 to 3", "got 4"),
    "too small": ([0, -5], "from 0 to 3", "got -5"),
    "short mask": ([True, False], "4 features", "got 2"),
    "empty": ([], "empty", "None for all"),
    "empty mask": ([False] * 4, "empty", "no feature"),
    "twice": ([0, 0], "twice", "[0, 0]"),
    "twice, from the end": ([0, -4], "twice", "[0, -4]"),
    "unknown name": (["a", "z"], "'z' is not one of", "['a', 'b', 'c', 'd']"),
    "nested": ([[0, 1]], "one-dimensional", "[[0, 1]]"),
    "ragged": ([[0], [1, 2]], "flat list", "inner brackets"),
    "numbers": ([0.5], "column names, column indices", "[0.5]"),
    "mixed": (np.array(["a", 1], dtype=object), "column names, column indices", "'a'"),
}


@pytest.mark.parametrize("case", BAD_CHOICES)
def test_columns_that_are_none_of_the_table_are_refused(case):
    X, y = numbers()
    given, *words = BAD_CHOICES[case]
    moe = MixtureOfExpertsRegressor(2, gate_features=given)
    assert_fit_refused(moe, (pd.DataFrame(X, columns=list("abcd")), y), "gate_features", *words)


# --- bases and transformers -----------------------------------------------------------------------


def gate_by_name(moe, columns):
    """Probabilities from a table given as a dict of columns."""
    table = np.column_stack([columns[name] for name in moe.gate_feature_names_])
    return softmax(table @ moe.gate_coef_.T + moe.gate_intercept_, axis=1)


class Stump(RegressorMixin, BaseEstimator):
    """A base that says the same whatever it is fitted on."""

    def fit(self, X, y, sample_weight=None):
        self.fitted_ = True
        return self

    def predict(self, X):
        return np.where(np.asarray(X)[:, 0] > 10.0, 3.0, -1.0)


@pytest.mark.parametrize("gate_features", [None, [2, 0]])
@pytest.mark.parametrize("transformed", [False, True])
def test_coefficients_of_the_gate_are_in_the_order_of_its_names(gate_features, transformed):
    X, y = numbers()
    gate = SoftmaxGate(transformer=StandardScaler()) if transformed else "softmax"
    moe = MixtureOfExpertsRegressor(
        2, base=Stump(), gate_features=gate_features, gate=gate, **SHORT
    )
    fit_quietly(moe, X, y)
    scaled = StandardScaler().fit_transform(X) if transformed else X
    columns = {f"x{j}": scaled[:, j] for j in range(4)} | {"base": Stump().predict(X)}
    expected = [f"x{j}" for j in (range(4) if gate_features is None else gate_features)]
    assert list(moe.gate_feature_names_) == [*expected, "base"]
    assert_allclose(moe.predict_gate(X), gate_by_name(moe, columns), atol=1e-9)


def test_a_base_is_added_to_the_mean_that_experts_say():
    X, y = numbers()
    moe = MixtureOfExpertsRegressor(
        1, n_init=1, base=Stump(), alpha=1e-9, dispersion_prior=0.0
    ).fit(X, y)
    single = LinearRegression().fit(X, y - Stump().predict(X))
    assert_allclose(moe.expert_coef_[0], single.coef_, atol=1e-6)
    assert_allclose(moe.predict(X), single.predict(X) + Stump().predict(X), atol=1e-6)


# --- classes that a model missed ------------------------------------------------------------------


class KnowsTwoClasses(ClassifierMixin, BaseEstimator):
    """A classifier whose model leaves the class "b" out of its fit."""

    def fit(self, X, y, sample_weight=None):
        kept = y != "b"
        self.model_ = LogisticRegression().fit(X[kept], y[kept])
        self.classes_ = self.model_.classes_
        return self

    def predict(self, X):
        return self.model_.predict(X)

    def predict_proba(self, X):
        return self.model_.predict_proba(X)


def labels_with_a_rare_class():
    X, _ = numbers()
    y = np.where(X[:, 0] > 10.0, "c", "a").astype(object)
    y[:3] = "b"
    return X, y.astype(str)


def test_probabilities_are_in_the_order_of_all_classes():
    """A class that a model does not know has the least probability; all are mixed with uniform."""
    X, y = labels_with_a_rare_class()
    moe = MixtureOfExpertsClassifier(1, n_init=1, expert=KnowsTwoClasses(), cross_fit=False)
    own = KnowsTwoClasses().fit(X, y).predict_proba(X)
    probs = moe.fit(X, y).predict_proba(X)
    assert_allclose(probs[:, [0, 2]], 0.997 * own + 0.001, atol=1e-9)
    assert_allclose(probs[:, 1], 0.001)


def test_log_probabilities_of_a_base_are_in_the_order_of_all_classes():
    X, y = labels_with_a_rare_class()
    moe = fit_quietly(MixtureOfExpertsClassifier(2, base=KnowsTwoClasses(), **SHORT), X, y)
    own = KnowsTwoClasses().fit(X, y).predict_proba(X)
    probs = np.maximum(np.insert(own, 1, 0.0, axis=1), 1e-6)
    logs = np.log(probs / probs.sum(axis=1, keepdims=True))
    columns = {f"x{j}": X[:, j] for j in range(4)}
    columns |= {f"base_{label}": logs[:, j] for j, label in enumerate("abc")}
    assert_allclose(moe.predict_gate(X), gate_by_name(moe, columns), atol=1e-9)
