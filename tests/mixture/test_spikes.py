"""Experts that fit a few rows nearly exactly are named, precise regimes of many rows are not."""

import pickle
import warnings

import numpy as np
import pytest

from skmoe import MixtureOfExpertsRegressor
from skmoe.exceptions import DegenerateExpertWarning

DRAWS = {
    "normal": lambda rng, mean, scale: rng.normal(mean, scale),
    "lognormal": lambda rng, mean, scale: np.exp(rng.normal(mean, scale)),
    "student_t": lambda rng, mean, scale: mean + scale * rng.standard_t(6, size=len(mean)),
    "gamma": lambda rng, mean, scale: rng.gamma(scale**-2, scale**2 * np.exp(mean)),
    "weibull": lambda rng, mean, scale: np.exp(mean) * rng.weibull(1.0 / scale),
    "inverse_gaussian": lambda rng, mean, scale: rng.wald(np.exp(mean), np.exp(mean) / scale**2),
    "beta": lambda rng, mean, scale: rng.beta(
        1 / (1 + np.exp(-mean)) / scale**2, 1 / (1 + np.exp(mean)) / scale**2
    ).clip(1e-6, 1 - 1e-6),
}
N_ROWS = 120


def fit(family, X, y, small, **parameters):
    """A fit that begins with given rows of the second expert, and its warnings of spikes."""
    init = np.column_stack([~small, small]).astype(float)
    moe = MixtureOfExpertsRegressor(2, family=family, gate="constant", init=init, **parameters)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        moe.fit(X, y)
    spikes = [w for w in caught if w.category is DegenerateExpertWarning]
    return moe, [str(warning.message) for warning in spikes]


def table(family, small, scale_of_small):
    """Two regimes, of which the small one has a noise of its own."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, 3))
    mean = np.where(small, 0.5 - X[:, 0], 0.8 * X[:, 0] - 0.5)
    return X, DRAWS[family](rng, mean, np.where(small, scale_of_small, 0.5))


@pytest.mark.parametrize("family", DRAWS)
def test_an_expert_of_few_rows_with_far_less_noise_is_named(family):
    small = np.arange(N_ROWS) < 8  # for five parameters
    X, y = table(family, small, 0.03)
    moe, (text,) = fit(family, X, y, small, alpha=0.0, dispersion_prior=0.0)
    assert moe.weights_[1] < 0.1
    assert "expert 1" in text
    assert "dispersion_prior" in text
    for fitted in (moe, pickle.loads(pickle.dumps(moe))):
        (note,) = [note for note in fitted.summary().notes if "spurious maximum" in note]
        assert "expert 1 fits a few rows nearly exactly" in note


@pytest.mark.parametrize("family", DRAWS)
def test_a_precise_regime_of_many_rows_is_no_spike(family):
    small = np.arange(N_ROWS) < 40
    X, y = table(family, small, 0.01)
    moe, found = fit(family, X, y, small, alpha=0.0, dispersion_prior=0.0)
    assert 0.25 < moe.weights_[1] < 0.4
    assert found == []


def test_a_small_expert_with_the_noise_of_the_others_is_no_spike():
    small = np.arange(N_ROWS) < 8
    X, y = table("normal", small, 0.5)
    _, found = fit("normal", X, y + 20.0 * small, small)
    assert found == []


def test_spikes_that_starts_find_are_marked():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3))
    y = rng.normal(0.5 * X[:, 0], 0.6)
    moe = MixtureOfExpertsRegressor(
        2, gate="constant", alpha=0.0, dispersion_prior=0.0, n_init=10, random_state=1
    )
    with pytest.warns(DegenerateExpertWarning):
        moe.fit(X, y)
    assert moe.maxima_.is_spurious[0]
    assert "This maximum is spurious" in str(moe.maxima_)
