"""Experts without features, and features that do not vary."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.tree import DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from support.refusals import assert_fit_refused

FIXED = {"alpha": 0.1, "gate_alpha": 1.0, "n_init": 1, "random_state": 0}


def clusters(n_rows=150):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(n_rows, 2))
    return X, np.where(X[:, 0] > 0, 4.0, -1.0) + 0.3 * rng.normal(size=n_rows)


@pytest.mark.parametrize(
    "empty", [[], np.zeros(2, dtype=bool), np.array([], dtype=int)], ids=["list", "mask", "index"]
)
def test_experts_without_features_are_the_means_of_clusters(empty):
    X, y = clusters()
    moe = MixtureOfExpertsRegressor(2, expert_features=empty, **FIXED).fit(X, y)
    assert_allclose(np.sort(moe.expert_intercept_), [-1.0, 4.0], atol=0.1)
    assert moe.expert_coef_.shape == (2, 2)
    assert not moe.expert_coef_.any()
    assert np.ptp(moe.predict_experts(X), axis=0).max() == 0.0
    assert moe.n_parameters_ == 2 + 2 + 3
    assert "(Intercept)" in str(moe.summary(X, y))
    assert np.isfinite(moe.predict_interval(X)).all()


def test_counts_and_classes_without_features():
    X, y = clusters()
    counts = np.random.default_rng(1).poisson(np.where(X[:, 0] > 0, 9.0, 1.0))
    moe = MixtureOfExpertsRegressor(2, family="poisson", expert_features=[], **FIXED)
    assert_allclose(np.sort(np.exp(moe.fit(X, counts).expert_intercept_)), [1.0, 9.0], rtol=0.25)
    found = moe.inference(X, counts, method="bootstrap", n_bootstrap=3, random_state=0)
    assert found.replicates.shape[0] == 3
    labels = (y > 1).astype(int)
    classes = MixtureOfExpertsClassifier(2, expert_features=[], **FIXED).fit(X, labels)
    assert classes.score(X, labels) > 0.9


@pytest.mark.parametrize("name", ["gate_features", "expert_features"])
def test_gate_and_estimators_need_features(name):
    moe = MixtureOfExpertsRegressor(2, expert=DecisionTreeRegressor(), **FIXED | {name: []})
    assert_fit_refused(moe, clusters(40), f"{name} must not be empty")
