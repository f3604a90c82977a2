"""Targets, features and half-lives at the ends of the number scale."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from skmoe import MixtureOfExpertsRegressor
from skmoe.data import RowBlocks
from support.fits import fit_quietly

OPTIONS = {"alpha": 0.1, "gate_alpha": 1.0, "n_init": 1, "max_iter": 30, "random_state": 0}
_rng = np.random.default_rng(0)
X = _rng.normal(size=(100, 3))
Y = np.where(X[:, 0] > 0, 3 * X[:, 1], -3 * X[:, 1]) + 0.2 * _rng.normal(size=100)


def regressor(n_experts=2, **options):
    return MixtureOfExpertsRegressor(n_experts, **OPTIONS | options)


@pytest.mark.parametrize("scale", [1e-139, 1e100, 5e138])
def test_predictions_are_in_the_unit_of_the_target(scale):
    moe, expected = fit_quietly(regressor(), X, Y * scale), fit_quietly(regressor(), X, Y)
    assert_allclose(moe.noise_variance_, expected.noise_variance_ * scale**2, rtol=1e-6)
    assert_allclose(moe.predict(X) / scale, expected.predict(X), rtol=1e-6, atol=1e-7)
    actual, wanted = moe.predict_dist(X), expected.predict_dist(X)
    for name in ("std", "median"):
        assert_allclose(getattr(actual, name) / scale, getattr(wanted, name), rtol=1e-4, atol=1e-6)
    assert_allclose(actual.crps(Y * scale) / scale, wanted.crps(Y), rtol=1e-4)


FITS = {
    "rows": lambda moe, X, y: moe.fit(X, y),
    "sparse rows": lambda moe, X, y: moe.fit(sparse.csr_array(X), y),
    "blocks": lambda moe, X, y: moe.fit(RowBlocks.from_arrays(X, y)),
    "batches": lambda moe, X, y: moe.partial_fit(X[:60], y[:60]).partial_fit(X[60:], y[60:]),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_features_have_any_unit(fit, scale):
    moe, expected = FITS[fit](regressor(), X * scale, Y), FITS[fit](regressor(), X, Y)
    assert_allclose(moe.predict(X * scale), expected.predict(X), atol=1e-5)
    assert np.isfinite(moe.expert_coef_).all()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("half_life", [0, 5e-324, 1e300])
def test_any_half_life_is_without_overflow(half_life):
    moe = regressor().partial_fit(X[:60], Y[:60], half_life=half_life)
    moe.partial_fit(X[60:], Y[60:], half_life=half_life)
    assert np.isfinite(moe.predict(X)).all()
