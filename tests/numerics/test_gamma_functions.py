"""Derivatives of the log gamma function, against scipy."""

import numpy as np
from numpy.testing import assert_allclose
from scipy.special import polygamma

from skmoe._numerics.special import trigamma


def test_trigamma_is_that_of_scipy():
    x = np.exp(np.random.default_rng(0).uniform(-40.0, 40.0, size=(2, 5000)))
    assert_allclose(trigamma(x), polygamma(1, x), rtol=2e-14)
    assert_allclose(trigamma(np.array(2.0)), polygamma(1, 2.0))
