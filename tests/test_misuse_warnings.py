"""Fits and calls that would be silently wrong warn, and name the remedy."""

import warnings

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import GammaRegressor, PoissonRegressor, Ridge, TweedieRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsRegressor


def counts(n_rows=120):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(n_rows, 2))
    return X, rng.poisson(np.exp(1 + X[:, 0])) + 1.0


def messages_of(moe, X, y):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        moe.fit(X, y)
    return [str(warning.message) for warning in caught if warning.category is UserWarning]


@pytest.mark.parametrize(
    ("expert", "loss", "remedy"),
    [
        (PoissonRegressor(), "poisson", 'expert="poisson"'),
        (make_pipeline(StandardScaler(), PoissonRegressor()), "poisson", 'expert="poisson"'),
        (GammaRegressor(), "gamma", "log(y)"),
        (TweedieRegressor(power=1.5), "tweedie", "log(y)"),
        (HistGradientBoostingRegressor(loss="poisson", max_iter=2), "poisson", 'expert="poisson"'),
        (HistGradientBoostingRegressor(loss="gamma", max_iter=2), "gamma", "log(y)"),
        (
            HistGradientBoostingRegressor(loss="quantile", quantile=0.9, max_iter=2),
            "quantile",
            "predict_quantile",
        ),
        ([Ridge(), PoissonRegressor()], "poisson", 'expert="poisson"'),
    ],
)
def test_losses_of_other_densities_than_the_normal_warn(expert, loss, remedy):
    X, y = counts()
    moe = MixtureOfExpertsRegressor(2, expert=expert, max_iter=2, n_init=1, random_state=0)
    found = [text for text in messages_of(moe, X, y) if "normal noise" in text]
    assert len(found) == 1
    assert f"has a {loss} loss" in found[0]
    assert remedy in found[0]


@pytest.mark.parametrize("expert", [Ridge(), "tree", "linear", MixtureOfExpertsRegressor(1)])
def test_losses_of_the_mean_do_not_warn(expert):
    X, y = counts()
    moe = MixtureOfExpertsRegressor(2, expert=expert, max_iter=2, n_init=1, random_state=0)
    assert not [text for text in messages_of(moe, X, y) if "normal noise" in text]


def test_a_half_life_in_fit_warns():
    X, y = counts()
    moe = MixtureOfExpertsRegressor(1, half_life=50)
    with pytest.warns(UserWarning, match="half_life=50 is for partial_fit"):
        moe.fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MixtureOfExpertsRegressor(1, half_life=50).partial_fit(X, y)


def test_groups_without_folds_are_refused_with_what_they_are_for():
    X, y = counts()
    message = (
        "groups cannot be used: they keep rows of a group in one fold, and "
        'expert="linear" takes no folds. Leave it out, or use them with n_experts="auto"'
    )
    with pytest.raises(ValueError, match=message):
        MixtureOfExpertsRegressor(2).fit(X, y, groups=np.arange(len(y)) // 3)
