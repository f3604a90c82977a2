"""Probabilities of counts and of Student's t against numbers of forty digits."""

from decimal import Decimal, localcontext
from itertools import accumulate
from math import comb

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal, assert_array_less
from scipy.special import stdtrit
from scipy.stats import norm, t

from skmoe.distributions import _negative_binomial, _poisson, _student_t

DIGITS = 40

# Means and dispersions, whose binary numbers have few digits, and counts in both tails.
MEANS = (0.0625, 0.75, 3.0, 24.5, 90.0, 400.0)
DISPERSIONS = (0.0009765625, 0.03125, 1.0, 1.5, 4.0)
FACTORS = (0.0, 0.05, 0.3, 0.6, 0.9, 1.0, 1.1, 1.5, 2.0, 4.0)


def counts_of(mean):
    near = [0, 1, 2, 3, 5, 9, 15, 16, 17, 30]
    return sorted({*near, *(int(factor * mean) for factor in FACTORS)})


def exact_logs(mean, dispersion, counts):
    """Log probabilities of counts, of up to them and of more than them."""
    with localcontext() as context:
        context.prec = DIGITS
        m, a = Decimal(mean), Decimal(dispersion)
        scaled = 1 + a * m
        mass = [(-m if not a else -scaled.ln() / a).exp()]
        while len(mass) < counts[-1] + 2 or mass[-1] > mass[counts[-1]] * Decimal(10) ** -20:
            k = len(mass)
            mass.append(mass[-1] * m * (1 + a * (k - 1)) / (k * scaled))
        below, above = list(accumulate(mass)), list(accumulate(reversed(mass)))[::-1]
        return np.array(
            [[float(p.ln()) for p in (mass[k], below[k], above[k + 1])] for k in counts]
        ).T


CASES = [(mean, None) for mean in MEANS]
CASES += [(mean, dispersion) for mean in MEANS[:-2] for dispersion in DISPERSIONS]


# Counts where probabilities are less than any number.
FAR = [
    (3000.0, 2.0**-13, (0, 1, 5, 50, 500)),
    (3000.0, None, (0, 1, 5, 50, 500)),
    (3.0, 2.0**-10, (300, 1000, 3000)),
    (3.0, None, (300, 1000)),
    (3.0, 1.0, (1500, 3000)),
    (0.5, 2.0**-5, (400, 900)),
    (3.0, 4.0, (5000, 9500)),
]


def assert_digits_of_counts(mean, dispersion, counts):
    module = _poisson if dispersion is None else _negative_binomial
    parameters = [np.array(mean)] + ([] if dispersion is None else [np.array(dispersion)])
    log_p, log_below, log_above = exact_logs(mean, dispersion or 0.0, counts)
    counts = np.array(counts, dtype=float)
    for name, logs in (("pmf", log_p), ("cdf", log_below), ("sf", log_above)):
        found = getattr(module, f"log_{name}")(counts, *parameters)
        # One probability can be one minus the other, down to four standard deviations.
        round_off = np.where(logs > -20.0, 2e-16 * np.exp(-np.maximum(logs, -20.0)), 0.0)
        allowed = 2e-14 * np.abs(logs) + 2e-13 + (round_off if name != "pmf" else 0.0)
        if dispersion is not None and dispersion > 1.0 and name == "sf":
            allowed = allowed + 1e-5 * (logs < -650.0)  # nearly a geometric series
        assert_array_less(np.abs(found - logs), allowed)
        if name != "pmf":
            plain = getattr(module, name)(counts, *parameters)
            assert_allclose(plain, np.exp(logs), rtol=1e-12, atol=4e-16)


def test_probabilities_of_counts_have_their_digits():
    for mean, dispersion in CASES:
        assert_digits_of_counts(mean, dispersion, counts_of(mean))
    for mean, dispersion, counts in FAR:
        assert_digits_of_counts(mean, dispersion, counts)


def test_densities_of_student_t_at_the_centre_have_their_digits():
    """Gamma functions of half numbers are products of integers."""
    n = np.array([1, 2, 5, 20, 45, 49, 50, 51, 60, 100, 500])
    exact = []
    with localcontext() as context:
        context.prec = DIGITS
        for value in map(int, n):
            ratio = Decimal(value * comb(2 * value, value)) / Decimal(4) ** value
            exact.append(float(ratio.ln() - Decimal(2 * value).ln() / 2))
    # Differences of gamma functions lose some digits, their series none.
    found = _student_t._log_constant(2.0 * n)
    assert_allclose(found[n >= 50], np.array(exact)[n >= 50], rtol=0.0, atol=8e-16)
    assert_allclose(found, exact, rtol=0.0, atol=1e-13)


def exact_tail(z, df):
    """Log probability above z of Student's t with an even number of degrees of freedom."""
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


def test_tails_of_student_t_have_their_digits():
    """Near and far, of few and many degrees of freedom, and where probabilities are no numbers."""
    for df in (2, 4, 98, 998, 1000, 3000):
        z = np.array([0.25, 1.0, 2.0, 2.96875, 3.0, 3.03125, 4.0, 8.0, 40.0, 1e3, 1e6, 1e9])
        z = z if df < 90 else z[3:]  # sums of many terms near the centre
        logs = np.array([exact_tail(value, df) for value in z])
        freedom = np.full(z.shape, float(df))
        for sign in (1.0, -1.0):
            found = _student_t._standard_sf(sign * z, freedom, logs=True)
            exact = logs if sign > 0.0 else np.log1p(-np.exp(logs))
            allowed = 1e-13 + 1e-14 * df * np.abs(logs) / (df + 10.0)
            assert_array_less(np.abs(found - exact), np.where(sign > 0.0, allowed, 1e-15))
            plain = _student_t._standard_sf(sign * z, freedom, logs=False)
            assert_allclose(plain, np.exp(exact), rtol=5e-13, atol=1e-300)


def test_tails_of_very_many_degrees_of_freedom_are_those_of_a_normal_and_a_first_correction():
    """What is left out is of the order of the squared inverse of the degrees of freedom."""
    z = np.array([2.5, 3.5, 5.0, 8.0])
    for df in (1e10, 1e12):
        correction = np.exp(norm.logpdf(z) - norm.logsf(z)) * (z**3 + z) / (4.0 * df)
        found = _student_t._standard_sf(z, np.full(4, df), logs=True)
        assert_allclose(found - norm.logsf(z), np.log1p(correction), rtol=0.0, atol=1e-13)


def test_quantiles_of_student_t_far_in_the_tails_are_powers():
    """Searches begin at them, also where a special function of SciPy has none."""
    for df in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 10.0, 30.0):
        for q in (1e-300, 1e-200, 1e-100, 1e-20):
            mean, scale = np.array(3.0), np.array(2.0)
            if np.isfinite(stdtrit(df, q)):  # SciPy has one, which may be rough
                continue
            for quantile, tail in (
                (_student_t.STUDENT_T.quantile, _student_t.STUDENT_T.log_cdf),
                (_student_t.STUDENT_T.upper_quantile, _student_t.STUDENT_T.log_sf),
            ):
                found = quantile(q, mean, scale, np.array(df))
                assert_allclose(tail(found, mean, scale, np.array(df)), np.log(q), rtol=1e-6)


def test_medians_of_student_t_are_their_centres():
    for df in (0.1, 1.0, 3.0, 1e3, 1e9):
        found = _student_t.STUDENT_T.quantile(0.5, np.array(3.0), np.array(2.0), np.array(df))
        assert_allclose(found, 3.0, rtol=0.0, atol=1e-11)


def test_scores_of_student_t_are_integrals_near_and_far_from_one_degree_of_freedom():
    """In one array as one by one."""
    df = np.array([0.7, 0.9, 0.95, 1.0, 1.001, 1.08, 1.2, 3.0])
    for y in (0.0, 1.0, -3.0):
        found = _student_t.crps(np.full(8, y), np.zeros(8), np.ones(8), df)
        for value, freedom in zip(found, df, strict=True):
            alone = _student_t.crps(np.array(y), np.zeros(()), np.ones(()), np.array(freedom))
            assert_allclose(value, alone, rtol=1e-12)
            # Equal steps of the logarithms of distances from y, up to where tails are powers.
            steps = np.arange(-24.0, 60.0, 0.01)
            x = np.exp(steps)
            squares = np.square(t.sf(y + x, freedom)) + np.square(t.cdf(y - x, freedom))
            integral = (squares * x).sum() * 0.01
            last = squares[-1] * x[-1] / (2.0 * freedom - 1.0)
            assert_allclose(value, integral + last, rtol=1e-7)
    # Both sides of the interval in which scores are interpolated.
    near = 1.0 + np.array([-0.1, 0.1]) + np.array([[-1e-9], [0.0], [1e-9]])
    scores = _student_t.crps(np.ones((3, 2)), np.zeros((3, 2)), np.ones((3, 2)), near)
    assert_allclose(scores[1:] / scores[0], 1.0, rtol=1e-7)
    far = _student_t.crps(np.ones(2), np.zeros(2), np.ones(2), np.array([2.0, 5.0]))
    for value, freedom in zip(far, (2.0, 5.0), strict=True):
        assert value == _student_t.crps(np.ones(1), np.zeros(1), np.ones(1), np.array([freedom]))


def test_moments_of_student_t_exist_above_a_number_of_degrees_of_freedom():
    df = np.array([0.5, 1.0, 1.5, 2.0, np.nextafter(2.0, 3.0), 3.0])
    ones = np.ones(6)
    found = _student_t.STUDENT_T.variance(ones, 2.0 * ones, df)
    assert_array_equal(np.isnan(found), df <= 1.0)
    assert_array_equal(np.isinf(found), (df > 1.0) & (df <= 2.0))
    assert found[-1] == 12.0
    assert_array_equal(np.isnan(_student_t.STUDENT_T.mean(ones, ones, df)), df <= 1.0)
