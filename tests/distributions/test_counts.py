"""Distributions of counts: digits in both tails, and sums over all counts."""

from decimal import Decimal, localcontext
from itertools import accumulate

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal, assert_array_less
from scipy import special, stats

from skmoe.distributions import conformalize
from support.components import count_mixture

# Means that range over these orders of magnitude.
RANGES = [(1e-300, 1e-2), (1e-3, 1e2), (1.0, 1e8), (1e7, 1e8)]


def random_mixtures(n_rows=20, n_components=4, means=(0.05, 60.0), dispersed=False):
    rng = np.random.default_rng(0)
    shape = n_rows, n_components
    weights = rng.dirichlet(np.ones(n_components), size=n_rows)
    means = np.exp(rng.uniform(*np.log(means), size=shape))
    dispersions = np.exp(rng.uniform(np.log(1e-4), 0.0, size=shape)) if dispersed else None
    return count_mixture(weights, means, dispersions)


def one_component(means, dispersions=None):
    means = np.asarray(means, dtype=float)[:, None]
    if dispersions is not None:
        dispersions = np.broadcast_to(np.reshape(dispersions, (-1, 1)), means.shape)
    return count_mixture(np.ones(means.shape), means, dispersions)


def crps_by_sum(dist, y, until):
    """Sum of squared differences of cdf and step, from cumulated probabilities, for each y."""
    counts = np.arange(until)
    cdf = np.cumsum(dist.pmf(counts[None]), axis=1)
    return np.stack([np.square(cdf - (counts >= value)).sum(axis=1) for value in y], axis=1)


# --- digits ---------------------------------------------------------------------------------------

DIGITS = 40
# Means and dispersions, whose binary numbers have few digits.
MEANS = (0.0625, 0.75, 3.0, 24.5, 90.0, 400.0)
EXACT = [(mean, 0.0, None) for mean in MEANS]
EXACT += [
    (mean, dispersion, None) for mean in MEANS[:-2] for dispersion in (2.0**-10, 0.03125, 1.0)
]
EXACT += [(mean, dispersion, None) for mean in (0.75, 24.5) for dispersion in (1.5, 4.0)]
# Counts where probabilities are less than any number.
EXACT += [
    (3000.0, 2.0**-13, (0, 1, 5, 50, 500)),
    (3000.0, 0.0, (0, 1, 5, 50, 500)),
    (3.0, 2.0**-10, (300, 1000, 3000)),
    (3.0, 0.0, (300, 1000)),
    (3.0, 1.0, (1500, 3000)),
    (0.5, 2.0**-5, (400, 900)),
    (3.0, 4.0, (5000, 9500)),
]
# Means of which the counts are more than the largest number of times as large.
EXACT += [(2.0**-1030, dispersion, (1, 2, 17, 400)) for dispersion in (0.0, 2.0**-10, 1.0, 1.5)]


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


@pytest.mark.parametrize(("mean", "dispersion", "counts"), EXACT)
def test_probabilities_have_their_digits(mean, dispersion, counts):
    """Against sums of numbers of forty digits."""
    if counts is None:
        factors = (0.0, 0.05, 0.3, 0.6, 0.9, 1.0, 1.1, 1.5, 2.0, 4.0)
        near = {0, 1, 2, 3, 5, 9, 15, 16, 17, 30}
        counts = sorted(near | {int(factor * mean) for factor in factors})
    exact = exact_logs(mean, dispersion, counts)
    dist = one_component([mean], [dispersion] if dispersion else None)
    y = np.array([counts], dtype=float)
    for name, logs in zip(("pmf", "cdf", "sf"), exact, strict=True):
        found = getattr(dist, f"log{name}")(y)[0]
        # One probability can be one minus the other, down to four standard deviations.
        round_off = np.where(logs > -20.0, 2e-16 * np.exp(-np.maximum(logs, -20.0)), 0.0)
        allowed = 2e-14 * np.abs(logs) + 2e-13 + (round_off if name != "pmf" else 0.0)
        if dispersion > 1.0 and name == "sf":
            allowed = allowed + 1e-5 * (logs < -650.0)  # nearly a geometric series
        assert_array_less(np.abs(found - logs), allowed)
        if name != "pmf":
            assert_allclose(getattr(dist, name)(y)[0], np.exp(logs), rtol=1e-12, atol=4e-16)


def test_quantiles_at_zero_have_no_sign():
    dist = one_component(np.geomspace(1e-12, 0.1, 25))
    adjusted = conformalize(dist, np.zeros(25))(dist)
    for found in (dist.ppf([0.01, 0.5, 0.8]), dist.interval(0.5), adjusted.ppf([0.1, 0.5, 0.8])):
        assert (found == 0.0).any()
        assert not np.signbit(found).any()


@pytest.mark.parametrize("mean", [1e3, 1e5, 1e7])
def test_probabilities_of_large_means_are_sums(mean):
    dist, width = one_component([mean]), np.sqrt(mean)
    first = max(np.floor(mean - 12 * width), 0.0)
    counts = np.arange(first, mean + 14 * width + 40)
    pmf = dist.pmf(counts[None])[0]
    assert_allclose(pmf.sum(), 1.0, rtol=1e-11)
    assert_allclose(pmf @ (counts - mean), 0.0, atol=1e-10 * width)
    assert_allclose(pmf @ (counts - mean) ** 2, mean, rtol=1e-10)
    below, above = np.cumsum(pmf), np.cumsum(pmf[::-1])[::-1] - pmf
    for z in (-6.0, -4.1, -3.9, -1.0, 0.0, 2.0, 3.9, 4.1, 5.0, 7.0):
        at = round(mean + z * width - first)
        assert_allclose(dist.cdf(counts[at]), below[at], rtol=1e-10)
        assert_allclose(dist.sf(counts[at]), above[at], rtol=1e-10)
        assert_allclose(dist.logcdf(counts[at]), np.log(below[at]), rtol=1e-10, atol=1e-11)
        assert_allclose(dist.logsf(counts[at]), np.log(above[at]), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("dispersion", [None, 0.0, 1e-300, 1e-12, 1e-6, 1e-3, 0.05, 1.0, 3.0])
def test_log_tails_grow_by_the_probability_of_each_count(dispersion):
    """Where one formula takes over from another, and where probabilities are no numbers."""
    means = np.array([0.03, 3.0, 80.0, 3e3, 1e5])
    dist = one_component(means, dispersion)
    factors = np.array([0.01, 0.1, 0.4, 0.8, 0.95, 1.0, 1.04, 1.2, 1.6, 3.0, 20.0, 100.0])
    counts = np.column_stack([np.ones((5, 2)) * [1.0, 2.0], np.ceil(means[:, None] * factors)])
    log_mass = dist.logpmf(counts)
    for step in (0.0, 0.5):  # nothing happens between counts
        below, above = counts - 1.0 + step, counts + step
        grown = np.logaddexp(dist.logcdf(below), log_mass)
        assert_allclose(dist.logcdf(above), grown, rtol=1e-9, atol=1e-10)
        grown = np.logaddexp(dist.logsf(above), log_mass)
        assert_allclose(dist.logsf(below), grown, rtol=1e-9, atol=1e-10)
    assert_allclose(dist.logcdf(0.0), dist.logpmf(0.0), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("count", [1.0, 100.0, 1e10, 1e16, 1e20])
def test_probabilities_of_huge_counts_are_those_of_the_tail(count):
    """Far above the mean, digits of 1 + x, for x near -1, decide."""
    dist = one_component([2.0], [0.3])
    size, rest = 1.0 / 0.3, 0.6 / 1.6
    # Where the count is large, the ratio of gamma functions is a power.
    logs = stats.nbinom.logpmf(count, size, 1.0 - rest)
    if count > 1e9:
        logs = (size - 1.0) * np.log(count) - special.gammaln(size) + size * np.log(1.0 - rest)
        logs = logs + count * np.log(rest)
    assert_allclose(dist.logpmf([count]), [logs], rtol=1e-11)


# --- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dispersed", [False, True])
def test_values_that_are_not_counts_have_no_probability(dispersed):
    dist = random_mixtures(n_rows=3, dispersed=dispersed)
    for y in (-1.0, -0.5, 0.5, 2.7):
        assert_array_equal(dist.logpmf(y), -np.inf)
        assert_array_equal(dist.pdf(y), 0.0)
    for name in ("cdf", "sf", "logcdf", "logsf"):
        assert_array_equal(getattr(dist, name)(2.7), getattr(dist, name)(2.0))
    assert_array_equal(dist.cdf(-0.1), 0.0)
    assert_array_equal(dist.logcdf(-0.1), -np.inf)
    assert_allclose(dist.sf(-0.1), 1.0, rtol=1e-15)


def test_a_component_of_mean_zero_is_the_count_zero():
    inflated = count_mixture([[0.4, 0.6]], [[0.0, 3.0]])
    counts = np.arange(60.0)[None]
    want = 0.4 * (counts == 0) + 0.6 * stats.poisson.pmf(counts, 3.0)
    assert_allclose(inflated.pmf(counts), want, rtol=1e-12)
    assert_allclose(inflated.cdf(counts), np.cumsum(want, axis=1), rtol=1e-12)
    assert_allclose(inflated.logsf(2.0), np.log(0.6 * stats.poisson.sf(2, 3.0)), rtol=1e-12)
    assert_array_equal(inflated.ppf([0.42, 0.44]), [[0.0, 1.0]])
    assert_allclose(inflated.crps([[2.0]]), crps_by_sum(inflated, [2.0], 60), rtol=1e-12)


@pytest.mark.parametrize("dispersion", [None, 0.3])
def test_counts_of_any_mean_can_be_drawn(dispersion):
    """Also of means that integers cannot hold."""
    dist = one_component([2.0, 1e14, 1e17, 5e21], dispersion)
    drawn = dist.rvs(3000, random_state=0)
    assert_allclose(drawn.mean(axis=1), dist.mean, rtol=0.06)
    assert_allclose(drawn.std(axis=1), dist.std, rtol=0.08)
    assert_array_equal(drawn, np.round(drawn))


# --- quantiles and modes --------------------------------------------------------------------------


@pytest.mark.parametrize("means", RANGES)
def test_quantiles_are_the_smallest_counts_that_reach_their_probability(means):
    dist = random_mixtures(n_rows=6, means=means)
    for q in (1e-300, 0.01, 0.5, 0.99, 1 - 1e-9):
        found = dist.ppf(q)
        assert_array_equal(found, np.floor(found))
        assert (found >= 0).all()
        assert (dist.cdf(found) >= q).all()
        assert (dist.cdf(found - 1) < q).all()
    found = dist.ppf(1 - 2**-53)  # the round-off of one
    assert (dist.sf(found) < 1e-15).all()
    assert (dist.sf(found - 2) > 1e-18).all()


@pytest.mark.parametrize("dispersed", [False, True])
def test_quantiles_are_those_among_all_counts(dispersed):
    """Also where a component is absent, or is the count zero."""
    dist = random_mixtures(n_rows=5, n_components=3, means=(0.01, 30.0), dispersed=dispersed)
    weights, means = dist.weights.copy(), dist.as_components().mean[:, 0].T.copy()
    weights[::3, 0] = weights[1::4, -1] = 0.0
    means[::5, 1] = 0.0
    weights /= weights.sum(axis=1, keepdims=True)
    *_, last = dist.as_components()
    dist = count_mixture(weights, means, last[:, 0].T if dispersed else None)
    counts = np.arange(800.0)[None]
    cdf = dist.cdf(counts)
    for q in (1e-9, 0.5, 1.0 - 1e-7):
        assert_array_equal(dist.ppf(q), np.argmax(cdf >= q, axis=1))


def test_weights_that_sum_to_less_than_one_have_all_quantiles():
    dist = count_mixture([[0.5, 0.499999]], [[2.0, 5.0]])
    found = dist.ppf(1 - 1e-9)
    assert dist.sf(found) <= 1e-9 < dist.sf(found - 1)
    assert found < 60


# --- scores ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dispersed", [False, True])
@pytest.mark.parametrize("means", [(1e-12, 0.1), (0.05, 5.0), (5.0, 80.0), (150.0, 400.0)])
def test_crps_is_the_sum(means, dispersed):
    dist = random_mixtures(n_rows=5, means=means, dispersed=dispersed)
    until = 20_000 if dispersed and means[1] > 100 else 1500
    y = np.array([0.0, 3.0, 100.0, 500.0])
    assert_allclose(dist.crps(y[None]), crps_by_sum(dist, y, until), rtol=1e-8, atol=1e-12)


# Means, dispersions and values of large counts, of few and many counts, and with a power law.
SCORED = [
    ([mean, mean * other], None, np.floor(mean * 1.001))
    for mean, other in [(500.0, 1.3), (3e3, 1.02), (1e5, 1.0), (1e5, 1.0001), (1e5, 1.3)]
]
SCORED += [
    ([mean, 2 * mean], [[dispersion, 0.5 * dispersion]], np.floor(mean))
    for mean, dispersion in [(0.01, 1.0), (5.0, 1e-4), (5.0, 6.0), (400.0, 0.05), (400.0, 6.0)]
]


@pytest.mark.parametrize(("means", "dispersions", "y"), SCORED)
def test_crps_of_large_and_of_dispersed_counts_is_the_sum(means, dispersions, y):
    dist = count_mixture([[0.4, 0.6]], [means], dispersions)
    want = crps_by_sum(dist, [y], int(dist.ppf(1 - 1e-13)[0] * 1.2) + 60)
    assert_allclose(dist.crps([[y]]), want, rtol=1e-8)


def test_crps_of_rows_of_all_sizes_is_that_of_each_row():
    weights = np.array([[0.3, 1.0, 0.0, 0.5, 0.2, 0.6], [0.7, 0.0, 1.0, 0.5, 0.8, 0.4]]).T
    means = np.array([[2.0, 0.01, 8.0, 30.0, 300.0, 500.0], [5.0, 900.0, 3.0, 2.0, 1.0, 550.0]]).T
    dispersions = np.array([[0.1, 0.0, 1.0, 0.0, 1.5, 1e-3], [0.0, 1.0, 2.0, 0.01, 3.0, 2e-3]]).T
    dist = count_mixture(weights, means, dispersions)
    y = np.arange(6.0)
    found = dist.crps(y)
    assert_allclose(found, [dist[i].crps(y[[i]])[0] for i in range(6)], rtol=1e-9)


def test_crps_between_counts_is_that_of_a_step_function():
    dist = random_mixtures(n_rows=4)
    cdf = np.cumsum(dist.pmf(np.arange(400)[None]), axis=1)
    want = np.square(cdf - (np.arange(400) >= 3)).sum(axis=1)  # as at 3, but for the last cell
    want = want - cdf[:, 2] ** 2 + 0.75 * cdf[:, 2] ** 2 + 0.25 * (1 - cdf[:, 2]) ** 2
    assert_allclose(dist.crps(np.full(4, 2.75)), want, rtol=1e-9)
    assert_allclose(dist.crps(np.full(4, -1.5)), dist.crps(np.zeros(4)) + 1.5, rtol=1e-9)
