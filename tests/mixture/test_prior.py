"""Priors: penalties are log densities, with their derivatives."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from skmoe._mixture.mixture import DROPPED, Prior
from support.mixtures import Units, linear


def log_prior(slopes, variance, alpha, rows, noise):
    """Slopes are normal in units of the scale, which is inverse gamma, up to a constant."""
    of_slopes = stats.norm.logpdf(slopes, scale=np.sqrt(variance / alpha)).sum()
    of_scale = stats.invgamma.logpdf(variance, 0.5 * rows, scale=0.5 * rows * noise)
    # The mode of a log scale is at the noise: its density is that of the scale times the scale.
    return of_slopes + 0.5 * len(slopes) * np.log(variance) + of_scale + np.log(variance)


@pytest.mark.parametrize("family", ["normal", "gamma", "student_t"])
def test_a_scale_is_inverse_gamma_and_slopes_are_normal_relative_to_it(family):
    own = linear(family, n_experts=1)
    unit = own.mixture.experts.unit_variance[0, 0]
    expected, found = [], []
    for variance in (0.3, 1.7):
        theta = own.theta.copy()
        theta[own.mixture.experts.scale_index[0, 0]] = np.log(variance)
        found.append(own.mixture.penalty(theta[None])[0])
        expected.append(-log_prior(theta[:3], variance, 0.7, 4.0, 0.8 * unit))
    assert_allclose(np.diff(found), np.diff(expected))


def test_covariances_are_inverse_wishart():
    own = linear("normal", n_experts=1, n_outputs=3, covariance_type="full")
    mixture, alpha, rows, noise = own.mixture, 0.7, 4.0, np.array([0.8, 1.3, 1.0])
    unit = mixture.experts.unit_variance[0]
    size, rng = mixture.experts.size, np.random.default_rng(0)
    found, expected = [], []
    for _ in range(3):
        theta = 0.4 * rng.normal(size=size)
        slopes = theta[:12].reshape(3, 4)[:, :-1]
        covariance = mixture.experts.attributes(theta, Units(3))["expert_covariance_"][0]
        precision = np.linalg.inv(covariance)
        trace = alpha * np.trace(precision @ slopes @ slopes.T)
        trace += rows * np.diag(precision) @ (noise * unit)
        expected.append(0.5 * (trace + rows * np.linalg.slogdet(covariance)[1]))
        found.append(mixture.penalty(theta[None])[0])
    assert_allclose(np.diff(found), np.diff(expected))


def test_a_slope_that_experts_share_is_penalised_once():
    shared = linear("normal", own={"slopes": ((0,), (0,), (0,))}, dispersion_prior=0.0)
    theta = np.zeros(shared.mixture.size)
    theta[[block.where.start for block in shared.mixture.experts.blocks[::2]]] = 2.0
    alone = linear("normal", n_experts=1, dispersion_prior=0.0)
    of_one = np.zeros(alone.mixture.size)
    of_one[0] = 2.0
    assert_allclose(shared.mixture.penalty(theta[None]), alone.mixture.penalty(of_one[None]))


def test_features_of_infinite_precision_are_dropped():
    none = np.zeros(3)
    prior = Prior(np.array([DROPPED, 1.0, 0.0]), np.full(3, -1), none, none)
    assert prior.dropped.tolist() == [True, False, False]
    assert not Prior(none, np.full(3, -1), none, none).dropped.any()
    own = linear("normal", alpha=(DROPPED, 1.0, 1.0))
    theta = own.mixture.bounded(np.ones((1, own.mixture.size)))
    assert_allclose(own.mixture.split(theta)[0].reshape(3, -1)[:, 0], 0.0)
