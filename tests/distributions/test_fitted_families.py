"""Distributions that fits of every registered family predict, against integrals and searches."""

from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skmoe import MixtureOfExpertsRegressor
from skmoe.distributions import PredictiveDistribution
from skmoe.families import FAMILIES
from support.components import (
    assert_crps_is_integral,
    assert_density_integrates_to_cdf,
    assert_draws_follow_cdf,
    assert_mode_is_highest,
    assert_moments_are_integrals,
    assert_quantiles_invert_cdf,
    assert_quantiles_of_family,
    blocks_of,
)
from support.expert_kinds import DISTRIBUTIONS, OF_VALUES, draw, example, n_dispersions
from support.families import no_scaling
from support.fits import fit_quietly

X = np.random.default_rng(0).normal(size=(60, 1))
families = pytest.mark.parametrize("name", OF_VALUES)


def target(name):
    if name in DISTRIBUTIONS:
        # The density of a beta distribution is smooth at both ends then.
        middle, dispersion = (0.0, 0.05) if name == "beta" else (1.0, 0.15)
        return draw(name, middle + 0.3 * X[:, 0], np.random.default_rng(1), (dispersion, 8.0))
    atoms = FAMILIES[name].atoms
    return np.full(60, atoms[0]) if atoms else np.random.default_rng(1).uniform(1.0, 3.0, size=60)


def general(component):
    """The distribution of the rows of one component, which may be a mixture of several."""
    if hasattr(component, "parts"):
        return PredictiveDistribution(component.parts, component.gate_prob)
    return PredictiveDistribution([component], np.ones((1, component.weight.shape[1])))


@cache
def fitted(name):
    """The distribution of two rows by one expert, whose functions are those of the family."""
    moe = MixtureOfExpertsRegressor(1, family=example(name), alpha=0.1, max_iter=20)
    whole = fit_quietly(moe, X, target(name)).predict_dist(X[:2]).as_components()
    only = getattr(whole, "parts", ())
    return general(only[0] if len(only) == 1 else whole)


@families
def test_density_integrates_to_cdf(name):
    one = fitted(name)[0]
    assert_density_integrates_to_cdf(one, one.rvs(random_state=0)[0])


@families
def test_moments_are_integrals(name):
    one = fitted(name)[0]
    if name != "student_t" or one.as_components().df.min() > 4.0:
        assert_moments_are_integrals(one)


@families
def test_crps_is_integral_of_squared_difference_to_a_step(name):
    for i, one in enumerate(fitted(name)):
        assert_crps_is_integral(one, one.ppf(0.2 + 0.6 * i)[0] + 0.3)


@families
def test_quantiles_of_both_tails_invert_cdf(name):
    assert_quantiles_invert_cdf(fitted(name))
    for block in blocks_of(fitted(name)):
        assert_quantiles_of_family(*block)


@families
def test_no_value_is_higher_than_the_mode(name):
    dist = fitted(name)
    assert_mode_is_highest(dist)
    heights = [
        dist.logpdf(family.mode(*parameters).ravel()) for family, parameters in blocks_of(dist)
    ]
    assert_allclose(np.max(heights, axis=0), dist.logpdf(dist.mode), atol=1e-9)


@families
def test_draws_follow_cdf(name):
    assert_draws_follow_cdf(fitted(name))


@families
def test_components_are_those_of_the_density_of_the_family(name):
    """For given linear predictors and dispersions."""
    family = example(name)
    if name == "uniform":
        family = family.fitted_to(np.array([[-1.0, 4.0]]), np.ones(2), no_scaling())
    predictor = np.linspace(0.2, 1.5, 6)
    log_dispersion = [np.full(1, value) for value in (-0.7, 1.8)[: n_dispersions(name)]]
    if name == "ordinal":
        log_dispersion = [np.full(1, 0.1)] * n_dispersions(name)
    eta = [predictor, *log_dispersion][: len(family.roles)]
    part = family.components(eta)
    dist = general(part)
    y = np.array([0.0, 1.0, 2.0, 3.0, 0.7])
    for value in y:
        if family.in_support(np.full(1, value)).all():
            logs = family.log_prob(np.full(len(dist.mean), value), eta)
            assert_allclose(dist.logpdf(value), logs, rtol=1e-10, atol=1e-12)
    assert_allclose(dist.mean, family.mean(eta), rtol=1e-10, atol=1e-12)
