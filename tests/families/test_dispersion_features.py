"""Dispersions that depend on features."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skmoe import MixtureOfExpertsRegressor
from skmoe.families import FAMILIES
from support.expert_kinds import GENERALIZED, example
from support.fits import fit_quietly

DEPENDING = [name for name in GENERALIZED if example(name).has_dispersion]


@pytest.mark.parametrize("name", DEPENDING)
def test_slopes_are_those_of_the_log_dispersion_in_units_of_the_features(name):
    """The likelihood of any units is the same, and the intercept is where the features are zero."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 2))
    y = example(name).example_target(rng, 150)[0] * (1.0 if FAMILIES[name].link == "logit" else 1.5)
    y = np.round(y) if name == "negative_binomial" else y
    options = {"family": name, "dispersion_features": [1], "random_state": 0}
    one = fit_quietly(MixtureOfExpertsRegressor(1, **options), X, y)
    other = fit_quietly(MixtureOfExpertsRegressor(1, **options), 3.0 + 0.1 * X, y)
    assert_allclose(other.score_samples(3.0 + 0.1 * X, y), one.score_samples(X, y), rtol=1e-4)
    assert_allclose(0.1 * other.expert_dispersion_coef_, one.expert_dispersion_coef_, rtol=1e-3)
    assert one.expert_dispersion_coef_[0, 0] == 0.0
    attribute = one.families_[0].dispersions[0].attribute
    at_mean = one.expert_dispersion_intercept_ + one.expert_dispersion_coef_ @ X.mean(axis=0)
    assert_allclose(np.exp(at_mean), getattr(one, attribute))
