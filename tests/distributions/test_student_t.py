"""Student's t: digits in the tails, few and many degrees of freedom, and moments that exist."""

from decimal import Decimal, localcontext
from math import comb

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal, assert_array_less
from scipy import stats

from skmoe.distributions import PredictiveDistribution, StudentTComponents

DIGITS = 40


def student_t(df, mean=0.0, scale=1.0):
    """One distribution for each number of degrees of freedom."""
    df = np.atleast_1d(np.asarray(df, dtype=float))
    fields = (np.broadcast_to(v, (1, 1, len(df))) for v in (mean, scale, df))
    return PredictiveDistribution(
        [StudentTComponents(np.ones((1, len(df))), *fields)], [np.ones(len(df))]
    )


def exact_tail(z, df):
    """Log probability above z with an even number of degrees of freedom."""
    with localcontext() as context:
        context.prec = DIGITS
        n, square = df // 2, Decimal(z) ** 2
        ratio = df / (df + square)
        term = Decimal(comb(2 * n, n)) / Decimal(4) ** n * ratio**n
        total, k = Decimal(0), n
        while term > (1 - ratio) * total * Decimal(10) ** -18:
            total += term
            k += 1
            term *= ratio * (2 * k - 1) / (2 * k)
        return float(((1 - ratio).sqrt() * total / 2).ln())


@pytest.mark.parametrize("df", [2, 4, 98, 998, 1000, 3000])
def test_tails_have_their_digits(df):
    """Near and far, and where probabilities are no numbers."""
    z = np.array([0.25, 1.0, 2.0, 2.96875, 3.0, 3.03125, 4.0, 8.0, 40.0, 1e3, 1e6, 1e9])
    z = z if df < 90 else z[3:]  # sums of many terms near the centre
    above = np.array([exact_tail(value, df) for value in z])
    below = np.log1p(-np.exp(above))
    dist = student_t(df)
    allowed = 1e-13 + 1e-14 * df * np.abs(above) / (df + 10.0)
    for far, near, sign in (("sf", "cdf", 1.0), ("cdf", "sf", -1.0)):
        found = getattr(dist, f"log{far}")(sign * z[None])[0]
        assert_array_less(np.abs(found - above), allowed)
        assert_allclose(
            getattr(dist, far)(sign * z[None])[0], np.exp(above), rtol=5e-13, atol=1e-300
        )
        assert_allclose(getattr(dist, f"log{near}")(sign * z[None])[0], below, rtol=0, atol=1e-14)
        assert_allclose(getattr(dist, near)(sign * z[None])[0], np.exp(below), rtol=5e-13)


@pytest.mark.parametrize("df", [1e3, 1e6, 1e10, 1e15])
def test_many_degrees_of_freedom_are_nearly_normal(df):
    dist, y = student_t(df), np.array([[-12.0, -5.0, -2.9, -0.5, 0.0, 1.0, 3.1, 30.0]])
    # To first order in 1 / df, the log density is that of the normal plus this.
    first = (y**4 - 2.0 * y**2 - 1.0) / (4.0 * df)
    bound = 1.0 * (1.0 + y**8) / df**2 + 1e-13 * (1.0 + y**2)
    assert (np.abs(dist.logpdf(y) - stats.norm.logpdf(y) - first) < bound).all()
    assert_allclose(dist.cdf(y)[:, 1:], stats.norm.cdf(y)[:, 1:], rtol=1e3 / df + 1e-12)
    normal = 0.3 * (2 * stats.norm.cdf(0.3) - 1) + 2 * stats.norm.pdf(0.3) - 1 / np.sqrt(np.pi)
    assert_allclose(dist.crps([0.3]), normal, rtol=10 / df + 1e-12)


@pytest.mark.parametrize("df", [0.5, 1.0])
def test_tails_where_squares_overflow_are_a_power_law(df):
    y = np.array([-1e50, -1e150, -1e160, -1e250])
    dist = student_t(df)
    logs = dist.logcdf(y[None])[0]
    assert_allclose(dist.ppf(np.exp(logs))[0], y, rtol=1e-9)
    assert_allclose(logs[0], stats.t(df).logcdf(-1e50), rtol=1e-12)
    assert_allclose(np.diff(logs), -df * np.diff(np.log(-y)), rtol=1e-12)


def test_quantiles_of_tiny_probabilities_have_them():
    """Also where a special function of SciPy has no quantile."""
    df = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 30.0])
    dist = student_t(df, 3.0, 2.0)
    block = dist.as_components().block()
    for q in (1e-300, 1e-200, 1e-100, 1e-20):
        assert_allclose(dist.logcdf(dist.ppf(q)), np.log(q), rtol=1e-10)
        low = block.family.quantile(q, *block.parameters)[..., 0]
        high = block.family.upper_quantile(q, *block.parameters)[..., 0]
        # Searches begin at quantiles of the family, some of which are rough.
        assert_allclose(dist.logcdf(low), np.full((8, 1), np.log(q)), rtol=0.02)
        assert_allclose(dist.logsf(high), np.full((8, 1), np.log(q)), rtol=0.02)


def test_moments_exist_above_a_number_of_degrees_of_freedom():
    df = np.array([0.5, 1.0, 1.5, 2.0, np.nextafter(2.0, 3.0), 2.1, 3.0, 5.0])
    dist = student_t(df, mean=1.0, scale=2.0)
    assert_array_equal(np.isnan(dist.mean), df <= 1.0)
    assert_array_equal(np.isnan(dist.var), df <= 1.0)
    assert_array_equal(np.isinf(dist.var), (df > 1.0) & (df <= 2.0))
    assert_allclose(dist.var[5:], 4.0 * df[5:] / (df[5:] - 2.0))
    assert_allclose(dist.mean[2:], 1.0)
    assert_array_equal(np.isinf(dist.restricted_mean(1.0)), df <= 1.0)
    assert_array_equal(student_t(0.5).crps([1.0]), np.inf)
    assert_allclose(student_t(1.0).ppf([0.25, 0.75]), [[-1.0, 1.0]])
