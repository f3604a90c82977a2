"""Experts without features, and features that do not vary."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from regimes import two_regimes
from sklearn.tree import DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor


def clusters(n_rows=400):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(n_rows, 2))
    return X, np.where(X[:, 0] > 0, 4.0, -1.0) + 0.3 * rng.normal(size=n_rows)


@pytest.mark.parametrize("empty", [[], np.zeros(2, dtype=bool), np.array([], dtype=int)])
def test_experts_without_features_are_means_of_classes(empty):
    X, y = clusters()
    moe = MixtureOfExpertsRegressor(2, expert_features=empty, random_state=0).fit(X, y)
    assert_allclose(np.sort(moe.expert_intercept_), [-1.0, 4.0], atol=0.1)
    assert moe.expert_coef_.shape == (2, 2)
    assert not moe.expert_coef_.any()
    assert np.ptp(moe.predict_experts(X), axis=0).max() == 0.0
    assert moe.n_parameters_ == 2 + 2 + 3
    assert "(Intercept)" in str(moe.summary(X, y))
    assert np.isfinite(moe.predict_interval(X)).all()


def test_counts_classes_and_bootstrap_without_features():
    X, y = clusters()
    counts = np.random.default_rng(1).poisson(np.where(X[:, 0] > 0, 9.0, 1.0))
    moe = MixtureOfExpertsRegressor(2, family="poisson", expert_features=[], random_state=0)
    means = np.sort(np.exp(moe.fit(X, counts).expert_intercept_))
    assert_allclose(means, [1.0, 9.0], rtol=0.2)
    found = moe.inference(X, counts, method="bootstrap", n_bootstrap=3, random_state=0)
    assert found.replicates.shape[0] == 3
    labels = (y > 1).astype(int)
    classes = MixtureOfExpertsClassifier(2, expert_features=[], random_state=0).fit(X, labels)
    assert classes.score(X, labels) > 0.9


def test_a_gate_or_an_estimator_needs_features():
    X, y = clusters()
    with pytest.raises(ValueError, match="gate_features must not be empty"):
        MixtureOfExpertsRegressor(2, gate_features=[]).fit(X, y)
    moe = MixtureOfExpertsRegressor(2, expert=DecisionTreeRegressor(), expert_features=[])
    with pytest.raises(ValueError, match="expert_features must not be empty"):
        moe.fit(X, y)


@pytest.mark.parametrize("gate", ["softmax", "constant"])
def test_constant_columns_are_no_parameters(gate):
    X, y = two_regimes(n_rows=300)
    wide = np.column_stack([X[:, :1], np.full(300, 3.0), X[:, 1:]])
    plain, padded = (
        MixtureOfExpertsRegressor(2, gate=gate, random_state=0).fit(rows, y) for rows in (X, wide)
    )
    assert plain.n_parameters_ == padded.n_parameters_
    difference = padded.bic(wide, y) - plain.bic(X, y)
    gain = (padded.score_samples(wide, y) - plain.score_samples(X, y)).sum()
    assert_allclose(difference, -2 * gain, atol=1e-6)
    labels = (y > 0).astype(int)
    plain, padded = (
        MixtureOfExpertsClassifier(2, gate=gate, random_state=0).fit(rows, labels)
        for rows in (X, wide)
    )
    assert plain.n_parameters_ == padded.n_parameters_
