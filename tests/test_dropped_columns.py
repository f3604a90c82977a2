"""Columns that "ard" drops beside constant columns: they are counted once."""

import numpy as np
import pytest
from kinds import GENERALIZED, draw, n_dispersions, options_of
from regimes import quiet
from sklearn.datasets import load_iris

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor

N = 300
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3))
Y = np.abs(X[:, 0]) + 0.3 * RNG.normal(size=N)
WITH_CONSTANTS = np.hstack([X, np.ones((N, 12))])


def n_free(moe, n_own):
    """Number of coefficients of columns that vary and are kept, and of `n_own` others."""
    varies = np.ptp(WITH_CONSTANTS, axis=0) > 0.0
    kept, gate_kept = (int((np.isfinite(a) & varies).sum()) for a in (moe.alpha_, moe.gate_alpha_))
    return 2 * (kept + n_own) + gate_kept + 1


@pytest.mark.parametrize("name", ["normal", *GENERALIZED])
def test_constant_columns_have_no_parameters(name):
    y = Y
    if name != "normal":
        y = draw(name, 0.5 * X[:, 0], np.random.default_rng(1), (0.3, 5.0))
    options = {} if name == "normal" else options_of(name)
    moe = MixtureOfExpertsRegressor(2, alpha="ard", gate_alpha="ard", random_state=0, **options)
    moe = quiet(moe, WITH_CONSTANTS, y)
    assert moe.n_parameters_ == n_free(moe, 1 + n_dispersions(name))


def test_constant_columns_of_a_classifier_have_no_parameters():
    moe = MixtureOfExpertsClassifier(2, alpha="ard", gate_alpha="ard", random_state=0)
    moe = quiet(moe, WITH_CONSTANTS, Y > 0.8)
    assert moe.n_parameters_ == n_free(moe, 1)


def test_the_feature_of_a_sharp_border_is_kept():
    """The Hessian of a separated gate is small, so that its slope seems to be of no use."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        features = rng.normal(size=(500, 8))
        noise = 0.3 * rng.normal(size=500)
        y = np.where(features[:, 0] > 0.0, 2.0, -1.0) * features[:, 1] + features[:, 2] + noise
        moe = MixtureOfExpertsRegressor(2, alpha="ard", gate_alpha="ard", random_state=0)
        assert np.isfinite(quiet(moe, features, y).gate_alpha_[0])


@pytest.mark.parametrize("n_rows", [60, 100])
def test_the_features_of_sharp_classes_are_kept_in_small_tables(n_rows):
    """The search went round in circles: it dropped the feature, and found it again."""
    losses = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        features = rng.normal(size=(1000 + n_rows, 8))
        classes = (features[:, 0] > 0.0) ^ (features[:, 1] > 0.0)
        moe = MixtureOfExpertsClassifier(2, alpha="ard", gate_alpha="ard", random_state=0)
        moe = quiet(moe, features[:n_rows], classes[:n_rows])
        losses.append(-moe.score_samples(features[n_rows:], classes[n_rows:]).mean())
    assert np.median(losses) < 0.1
    assert np.mean(losses) < 0.25


def test_a_search_does_not_end_in_a_saturated_model():
    """Without slopes the intercepts of separated classes would give every row to one class."""
    features, classes = load_iris(return_X_y=True)
    for seed in range(4):
        moe = MixtureOfExpertsClassifier(2, alpha="ard", gate_alpha="ard", random_state=seed)
        moe = quiet(moe, features, classes)
        assert moe.score(features, classes) > 0.9
        assert moe.score_samples(features, classes).mean() > -0.3


@pytest.mark.parametrize("name", ["normal", *GENERALIZED])
@pytest.mark.parametrize("dispersion", ["per_expert", "shared"])
def test_each_start_of_an_average_counts_its_own_columns(name, dispersion):
    y = Y
    if name != "normal":
        y = draw(name, 0.5 * X[:, 0], np.random.default_rng(1), (0.3, 5.0))
    if dispersion == "shared" and not n_dispersions(name):
        pytest.skip("no dispersion")
    options = {} if name == "normal" else options_of(name)
    options |= {"combine": "average", "n_init": 3, "max_iter": 60, "dispersion": dispersion}
    moe = MixtureOfExpertsRegressor(2, alpha="ard", gate_alpha="ard", random_state=0, **options)
    moe = quiet(moe, WITH_CONSTANTS, y)
    used = [
        (np.split(coef, 3)[start] != 0).any(axis=0).sum()
        for start in range(3)
        for coef in (moe.expert_coef_, moe.expert_coef_, moe.gate_coef_)
    ]
    n_own = 2 + n_dispersions(name) * (2 if dispersion == "per_expert" else 1) + 1
    assert moe.n_parameters_ == sum(used) + 3 * n_own
    # Constant columns have no slopes, and some others are dropped.
    assert max(used) <= X.shape[1]
    assert min(used) < X.shape[1]
