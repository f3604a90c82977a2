"""Functions that scipy has slower, or with fewer digits, against those of scipy."""

import numpy as np
from numpy.testing import assert_allclose
from scipy import special

from skmoe._numerics.special import log_beta_fraction, trigamma


def test_trigamma_is_that_of_scipy():
    x = np.exp(np.random.default_rng(0).uniform(-40.0, 40.0, size=(2, 5000)))
    assert_allclose(trigamma(x), special.polygamma(1, x), rtol=2e-14)
    assert_allclose(trigamma(np.array(2.0)), special.polygamma(1, 2.0))


def test_incomplete_beta_function_equals_that_of_scipy():
    rng = np.random.default_rng(0)
    a, b = np.exp(rng.uniform(-2.0, 6.0, size=(2, 400)))
    x = rng.uniform(0.02, 0.98, size=400) * a / (a + b)
    found = log_beta_fraction(a, b, x, a - (a + b) * x)
    tail = special.betainc(a, b, x)
    is_exact = tail > 1e-290  # smaller ones have lost digits
    assert is_exact.mean() > 0.8
    a, b, x = a[is_exact], b[is_exact], x[is_exact]
    expected = np.log(tail[is_exact]) + special.betaln(a, b) - a * np.log(x) - b * np.log1p(-x)
    assert_allclose(found[is_exact], expected, rtol=1e-9, atol=1e-9)
