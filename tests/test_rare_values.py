"""Targets of which one value is rare: the noise variance must be able to be below that of y."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, Ridge

from skmoe import MixtureOfExpertsRegressor
from skmoe.experts._variance_prior import estimate_noise_variance, variance_floor


@pytest.mark.parametrize("fraction", [0.01, 0.03, 0.05, 0.2, 0.5])
def test_one_expert_is_least_squares_however_rare_a_value_is(fraction):
    X = np.random.default_rng(0).normal(size=(300, 2))
    y = (X[:, 0] > np.quantile(X[:, 0], 1 - fraction)).astype(float)
    moe = MixtureOfExpertsRegressor(1, alpha=1e-9).fit(X, y)
    assert moe.score(X, y) == pytest.approx(LinearRegression().fit(X, y).score(X, y), abs=1e-8)
    assert moe.noise_variance_[0] <= y.var() * 1.1


@pytest.mark.parametrize("n_experts", [1, 2, 4])
@pytest.mark.parametrize("fraction", [0.01, 0.03, 0.08])
def test_mixtures_of_rare_values_are_fitted_without_false_alarms(n_experts, fraction):
    X = np.random.default_rng(1).normal(size=(300, 2))
    y = (X[:, 0] > np.quantile(X[:, 0], 1 - fraction)).astype(float)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        moe = MixtureOfExpertsRegressor(n_experts, random_state=0).fit(X, y)
    assert not any("EM stopped" in str(warning.message) for warning in caught)
    assert moe.n_iter_ > 1
    assert moe.score(X, y) > 0.05
    assert (moe.noise_variance_ <= y.var() * 1.1).all()


def test_the_floor_from_rounding_is_bounded():
    y = (np.arange(200) < 4).astype(float)
    standard = (y - y.mean()) / y.std()
    assert variance_floor(standard[None])[0] == 0.25
    fine = np.round(np.random.default_rng(0).normal(size=500), 1)
    gap = 0.1 / fine.std()
    assert variance_floor((fine / fine.std())[None])[0] == pytest.approx(gap**2 / 12)


@pytest.mark.parametrize(
    "options", [{}, {"expert": "tree"}, {"n_experts": "auto"}, {"base": Ridge()}], ids=str
)
@pytest.mark.filterwarnings("ignore")
def test_without_a_prior_the_noise_is_not_estimated(options, monkeypatch):
    def forbidden(*arguments):
        raise AssertionError("the noise was estimated")

    monkeypatch.setattr("skmoe._estimators.tasks.estimate_noise_variance", forbidden)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    y = np.abs(X[:, 0]) + 0.3 * rng.normal(size=200)
    moe = MixtureOfExpertsRegressor(2, max_iter=5, random_state=0).set_params(**options)
    clone(moe).set_params(dispersion_prior=0.0).fit(X, y)
    with pytest.raises(AssertionError, match="estimated"):
        moe.fit(X, y)


def test_the_estimate_of_the_noise_is_finite():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(40, 3)), rng.normal(size=(2, 40))
    assert np.isfinite(estimate_noise_variance(X, Y, np.ones(40))).all()
