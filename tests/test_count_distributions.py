"""Mixtures of counts against scipy and sums over all counts; components of expert families."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import special, stats

from skmoe.distributions import (
    CountMixtureDistribution,
    MixtureDistribution,
    NormalComponents,
    PoissonComponents,
    predictive_distribution,
)

PROBABILITIES = ("pmf", "logpmf", "pdf", "logpdf", "cdf", "sf", "logcdf", "logsf")


def random_mixtures(n_rows=20, n_components=4, n_outputs=None, seed=0, means=(0.05, 60.0)):
    rng = np.random.default_rng(seed)
    shape = (n_rows, n_components) if n_outputs is None else (n_rows, n_components, n_outputs)
    weights = rng.dirichlet(np.ones(n_components), size=n_rows)
    return CountMixtureDistribution(weights, np.exp(rng.uniform(*np.log(means), size=shape)))


def one_poisson(means):
    means = np.asarray(means, dtype=float)
    return CountMixtureDistribution(np.ones((len(means), 1)), means[:, None])


def brute_crps(dist, y, until):
    """Sum of squared differences of cdf and step, from cumulated probabilities."""
    counts = np.arange(until)
    cdf = np.cumsum(dist.pmf(counts[None]), axis=1)
    return np.square(cdf - (counts >= np.asarray(y)[:, None])).sum(axis=1)


# --- probabilities ---


def test_one_component_is_a_poisson():
    means = [1e-300, 1e-5, 0.3, 1.0, 7.5, 40.0, 180.0]
    counts = np.arange(300.0)[None]
    dist, poisson = one_poisson(means), stats.poisson(np.array(means)[:, None])
    for name in ("pmf", "cdf", "sf"):
        want = getattr(poisson, name)(counts)
        assert_allclose(getattr(dist, name)(counts), want, rtol=1e-11, atol=1e-300)
    assert_allclose(dist.logpmf(counts), poisson.logpmf(counts), rtol=1e-12, atol=1e-12)
    assert_allclose(dist.mean, means)
    assert_allclose(dist.var, means)
    assert_allclose(dist.std, np.sqrt(means))


@pytest.mark.parametrize("n_components", [1, 2, 5])
def test_everything_agrees_with_sums(n_components):
    dist, counts = random_mixtures(n_components=n_components), np.arange(400.0)
    pmf = dist.pmf(counts[None])
    want = sum(
        dist.weights[:, k, None] * stats.poisson.pmf(counts, dist.means[:, k, None])
        for k in range(n_components)
    )
    assert_allclose(pmf, want, rtol=1e-11, atol=1e-300)
    assert_allclose(pmf.sum(axis=1), 1.0, rtol=1e-13)
    assert_allclose(dist.cdf(counts[None]), np.cumsum(pmf, axis=1), rtol=1e-11)
    above = np.cumsum(pmf[:, ::-1], axis=1)[:, ::-1] - pmf
    assert_allclose(dist.sf(counts[None])[:, :200], above[:, :200], rtol=1e-9, atol=1e-15)
    assert_allclose(dist.mean, pmf @ counts, rtol=1e-12)
    assert_allclose(dist.var, (pmf * (counts - dist.mean[:, None]) ** 2).sum(axis=1), rtol=1e-11)
    assert_allclose(dist.std**2, dist.var)
    for name in ("pmf", "cdf", "sf"):
        logs = getattr(dist, f"log{name}")(counts[None, :200])
        want = getattr(dist, name)(counts[None, :200])
        assert_allclose(np.exp(logs), want, rtol=1e-11, atol=1e-300)
    assert_array_equal(dist.pdf(counts[None]), pmf)
    assert_array_equal(dist.logpdf(counts[None]), dist.logpmf(counts[None]))


@pytest.mark.parametrize("mean", [30.0, 1e3, 1e5, 1e6, 1e8])
def test_large_means_agree_with_sums_of_their_probabilities(mean):
    """scipy's `gammainc` loses a third of the upper tail of 1e8."""
    dist, width = one_poisson([mean]), np.sqrt(mean)
    first = max(np.floor(mean - 12 * width), 0.0)
    counts = np.arange(first, mean + 14 * width + 40)
    pmf = dist.pmf(counts[None])[0]
    assert_allclose(pmf.sum(), 1.0, rtol=1e-11)
    assert_allclose(pmf @ (counts - mean), 0.0, atol=1e-10 * width)
    assert_allclose(pmf @ (counts - mean) ** 2, mean, rtol=1e-10)
    below, above = np.cumsum(pmf), np.cumsum(pmf[::-1])[::-1] - pmf
    for z in (-6.0, -4.1, -3.9, -1.0, 0.0, 2.0, 3.9, 4.1, 5.0, 7.0):
        at = round(mean + z * width - first)
        if at >= 0:
            assert_allclose(dist.cdf(counts[at]), below[at], rtol=1e-10)
            assert_allclose(dist.sf(counts[at]), above[at], rtol=1e-10)
            assert_allclose(dist.logcdf(counts[at]), np.log(below[at]), rtol=1e-10, atol=1e-11)
            assert_allclose(dist.logsf(counts[at]), np.log(above[at]), rtol=1e-10, atol=1e-11)


def test_log_tails_where_probabilities_underflow():
    dist = one_poisson([1e-300, 0.5, 800.0, 5e4])
    # P(Y > k) is p(k + 1), and little more; P(Y <= 0) is p(0).
    far = np.array([1.0, 300.0, 4000.0, 1e6])
    ratio = dist.means[:, 0] / (far + 2.0)
    series = 1.0 / (1.0 - ratio * (1.0 + 1.0 / (far + 2.0) * ratio))  # to second order
    assert_allclose(dist.logsf(far), dist.logpmf(far + 1) + np.log(series), rtol=1e-4)
    assert (dist.logsf(far) >= dist.logpmf(far + 1)).all()
    assert_allclose(dist.logcdf(0.0), [0.0, -0.5, -800.0, -5e4], rtol=1e-13, atol=1e-300)
    assert_allclose(
        dist.logcdf(1.0)[2:], -dist.means[2:, 0] + np.log1p(dist.means[2:, 0]), rtol=1e-13
    )
    assert_array_equal(dist.cdf(0.0)[2:], 0.0)
    assert_array_equal(dist.sf(far), np.exp(dist.logsf(far)))
    assert np.isfinite(dist.logpmf(1e300)).all()
    assert (dist.logcdf(far) <= 0).all()


def test_steps_between_neighbouring_counts_are_the_probabilities():
    """Where one formula of the tails takes over from another, too."""
    means = np.exp(np.linspace(np.log(1e-3), np.log(1e6), 60))
    dist = one_poisson(means)
    z = np.linspace(-8, 8, 161)
    counts = np.maximum(np.round(means[:, None] + z * np.sqrt(means[:, None])), 0.0)
    cdf, pmf, sf = dist.cdf(counts), dist.pmf(counts), dist.sf(counts)
    assert_allclose(cdf - dist.cdf(counts - 1), pmf, rtol=1e-6, atol=1e-14)
    assert_allclose(dist.sf(counts - 1), sf + pmf, rtol=1e-11)
    log_step = np.logaddexp(dist.logcdf(counts - 1), dist.logpmf(counts))
    assert_allclose(dist.logcdf(counts), log_step, rtol=1e-10, atol=1e-12)
    assert_allclose(cdf + sf, 1.0, rtol=1e-13)


def test_values_that_are_not_counts():
    dist = random_mixtures(n_rows=3)
    for y in (-1.0, -0.5, 0.5, 2.7, np.inf, -np.inf):
        assert_array_equal(dist.logpmf(y), -np.inf)
        assert_array_equal(dist.pmf(y), 0.0)
    for name in ("cdf", "sf", "logcdf", "logsf"):
        assert_array_equal(getattr(dist, name)(2.7), getattr(dist, name)(2.0))
    assert_array_equal(dist.cdf(-0.1), 0.0)
    assert_array_equal(dist.logcdf(-0.1), -np.inf)
    assert_allclose(dist.sf(-0.1), 1.0, rtol=1e-15)
    assert_allclose(dist.logsf(-3.0), 0.0, atol=1e-15)
    assert_allclose([dist.cdf(np.inf), dist.sf(-np.inf)], 1.0, rtol=1e-15)
    assert_allclose([dist.logcdf(np.inf), dist.logsf(-np.inf)], 0.0, atol=1e-15)
    assert_array_equal([dist.sf(np.inf), dist.cdf(-np.inf)], 0.0)
    assert_array_equal([dist.logsf(np.inf), dist.logcdf(-np.inf)], -np.inf)
    for name in (*PROBABILITIES, "crps"):
        assert np.isnan(getattr(dist, name)(np.nan)).all()


def test_a_component_of_mean_zero_is_the_count_zero():
    inflated = CountMixtureDistribution([[0.4, 0.6]], [[0.0, 3.0]])
    counts, zero = np.arange(60.0)[None], np.arange(60.0)[None] == 0
    want = 0.4 * zero + 0.6 * stats.poisson.pmf(counts, 3.0)
    assert_allclose(inflated.pmf(counts), want, rtol=1e-12)
    assert_allclose(inflated.cdf(counts), np.cumsum(want, axis=1), rtol=1e-12)
    assert_allclose(inflated.logsf(2.0), np.log(0.6 * stats.poisson.sf(2, 3.0)), rtol=1e-12)
    assert_array_equal(inflated.mode, 0.0)
    assert_array_equal(inflated.ppf([0.42, 0.44]), [[0.0, 1.0]])
    assert_allclose(inflated.crps([2.0]), brute_crps(inflated, [2.0], 60), rtol=1e-12)
    assert (inflated.rvs(2000, random_state=0) == 0).mean() == pytest.approx(want[0, 0], abs=0.05)


def test_an_absent_component_changes_nothing():
    dist = random_mixtures(n_rows=5)
    more = CountMixtureDistribution(
        np.hstack([np.zeros((5, 1)), dist.weights, np.zeros((5, 1))]),
        np.hstack([np.full((5, 1), 1e-9), dist.means, np.full((5, 1), 1e7)]),
    )
    y = np.arange(5.0)
    for name in (*PROBABILITIES, "crps"):
        assert_allclose(getattr(more, name)(y), getattr(dist, name)(y), rtol=1e-12)
    for name in ("mean", "var", "median", "mode"):
        assert_allclose(getattr(more, name), getattr(dist, name), rtol=1e-12)
    assert_array_equal(more.ppf([1e-9, 0.3, 1 - 1e-9]), dist.ppf([1e-9, 0.3, 1 - 1e-9]))
    assert (more.rvs(500, random_state=0) < 1e6).all()


# --- quantiles and mode ---


@pytest.mark.parametrize("means", [(1e-300, 1e-2), (1e-3, 1e2), (1.0, 1e8), (1e7, 1e8)])
@pytest.mark.parametrize("q", [1e-300, 1e-9, 0.01, 0.3, 0.5, 0.7, 0.99, 1 - 1e-9])
def test_quantiles_invert_the_distribution(means, q):
    dist = random_mixtures(n_rows=200, means=means)
    found = dist.ppf(q)
    assert found.dtype == float
    assert_array_equal(found, np.floor(found))
    assert (found >= 0).all()
    assert (dist.cdf(found) >= q).all()
    assert (dist.cdf(found - 1) < q).all()


@pytest.mark.parametrize("means", [(1e-300, 1e-2), (1e-3, 1e2), (1.0, 1e8), (1e7, 1e8)])
def test_quantiles_at_the_round_off_of_one(means):
    dist = random_mixtures(n_rows=200, means=means)
    found = dist.ppf(1 - 2**-53)
    assert (dist.sf(found) < 1e-15).all()
    assert (dist.sf(found - 2) > 1e-18).all()


def test_quantiles_of_one_poisson():
    means, q = np.array([1e-4, 0.3, 1.0, 12.0, 500.0, 1e6]), np.array([1e-5, 0.1, 0.5, 0.95])
    dist = one_poisson(means)
    assert_array_equal(dist.ppf(q), stats.poisson.ppf(q, means[:, None]))
    assert_array_equal(dist.median, stats.poisson.median(means))
    assert_array_equal(dist.interval(0.8), np.stack(stats.poisson.interval(0.8, means), axis=1))


def test_quantiles_return_the_counts_of_their_probabilities():
    dist, counts = random_mixtures(n_rows=6, means=(0.5, 20.0)), np.arange(8.0)
    for row in range(6):
        assert_array_equal(dist[row].ppf(dist[row].cdf(counts[None])[0])[0], counts)


def test_quantiles_of_far_apart_components():
    dist = CountMixtureDistribution([[0.3, 0.7]], [[1e-3, 1e8]])
    assert_array_equal(dist.ppf([0.1, 0.2996]), [[0.0, 0.0]])
    assert dist.ppf(0.3) < 10  # before the gap
    high = dist.ppf([0.31, 0.65, 0.99])[0]
    assert_allclose(high, stats.poisson.ppf((np.array([0.31, 0.65, 0.99]) - 0.3) / 0.7, 1e8))


def test_weights_that_sum_to_less_than_one_have_all_quantiles():
    dist = CountMixtureDistribution([[0.5, 0.499999]], [[2.0, 5.0]])
    found = dist.ppf(1 - 1e-9)
    assert dist.cdf(found) == dist.cdf(1e6)
    assert found < 60


def test_intervals_hold_their_coverage():
    dist = random_mixtures(n_rows=300)
    low, high = dist.interval(0.8).T
    assert (dist.cdf(high) - dist.cdf(low - 1) >= 0.8 - 1e-12).all()
    assert (dist.cdf(low - 1) < 0.1).all()
    assert (dist.sf(high) <= 0.1 + 1e-12).all()


@pytest.mark.parametrize("n_components", [1, 2, 3, 8])
@pytest.mark.parametrize("means", [(1e-300, 3.0), (0.5, 30.0), (20.0, 60.0), (100.0, 300.0)])
def test_no_count_is_more_probable_than_the_mode(n_components, means):
    dist = random_mixtures(n_rows=300, n_components=n_components, means=means)
    found = dist.mode
    assert_array_equal(found, np.floor(found))
    highest = dist.pmf(np.arange(500.0)[None]).max(axis=1)
    assert_allclose(dist.pmf(found), highest, rtol=1e-12)


@pytest.mark.parametrize("gap", [0.0, 0.5, 1.0, 1.9, 2.0, 2.1, 4.0])
def test_modes_of_large_means(gap):
    """Components that merge make a flat top."""
    mean = 1e8
    dist = CountMixtureDistribution([[0.5, 0.5]], [[mean, mean + gap * np.sqrt(mean)]])
    around = np.arange(mean - 2e4, mean + 6e4)
    assert_allclose(dist.pmf(dist.mode), dist.pmf(around[None]).max(), rtol=1e-11)


def test_the_mode_lies_between_component_means_if_they_merge():
    dist = CountMixtureDistribution([[0.5, 0.5]], [[20.2, 24.4]])
    pmf = dist.pmf(np.arange(60.0)[None])[0]
    assert pmf.argmax() not in np.floor(dist.means)
    assert_array_equal(dist.mode, pmf.argmax())


def test_more_rows_than_one_block_of_the_search():
    dist = random_mixtures(n_rows=9000, n_components=2)
    some = [0, 4095, 4096, 8999]
    assert_array_equal(dist.mode[some], dist[some].mode)


# --- scores ---


@pytest.mark.parametrize("means", [(1e-12, 0.1), (0.05, 5.0), (5.0, 80.0), (150.0, 400.0)])
def test_crps_agrees_with_the_sum(means):
    dist = random_mixtures(n_rows=30, means=means)
    for y in (0.0, 3.0, 100.0, 500.0):
        y = np.full(30, y)
        assert_allclose(dist.crps(y), brute_crps(dist, y, 800), rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("other", [1.0, 1.0001, 1.002, 1.02, 1.3])
@pytest.mark.parametrize("mean", [500.0, 3e3, 1e5])
def test_crps_of_large_means_agrees_with_the_sum(mean, other):
    dist = CountMixtureDistribution([[0.4, 0.6]], [[mean, mean * other]])
    y = np.floor(mean * 1.001)
    want = brute_crps(dist, [y], int(mean * other + 40 * np.sqrt(mean)))
    assert_allclose(dist.crps([y]), want, rtol=1e-9)


def test_crps_of_means_of_millions_is_that_of_normals():
    means = np.array([[1e8, 1.0001e8]])
    counts = CountMixtureDistribution([[0.5, 0.5]], means)
    normals = MixtureDistribution([[0.5, 0.5]], means, np.sqrt(means))
    for y in (9.99e7, 1e8, 1.0003e8):
        assert_allclose(counts.crps([y]), normals.crps([y]), rtol=1e-4)


def test_crps_between_counts_is_that_of_a_step_function():
    dist = random_mixtures(n_rows=4)
    counts = np.arange(400)
    cdf = np.cumsum(dist.pmf(counts[None]), axis=1)
    want = np.square(cdf - (counts >= 3)).sum(axis=1)  # as at 3, but for the cell from 2 to 3
    want = want - cdf[:, 2] ** 2 + 0.75 * cdf[:, 2] ** 2 + 0.25 * (1 - cdf[:, 2]) ** 2
    assert_allclose(dist.crps(np.full(4, 2.75)), want, rtol=1e-9)
    assert_allclose(dist.crps(np.full(4, -1.5)), dist.crps(np.zeros(4)) + 1.5, rtol=1e-9)
    assert_array_equal(dist.crps(np.full(4, np.inf)), np.inf)


def test_crps_is_smallest_on_average_for_the_truth():
    truth = CountMixtureDistribution([[0.5, 0.5]], [[2.0, 15.0]])
    counts = np.arange(80.0)[None]
    weights = truth.pmf(counts)[0]
    for wrong in ([[2.0, 12.0]], [[3.0, 15.0]], [[8.5, 8.5]]):
        other = CountMixtureDistribution([[0.5, 0.5]], wrong)
        assert weights @ truth.crps(counts)[0] < weights @ other.crps(counts)[0]


# --- draws ---


def test_draws_follow_the_distribution():
    dist = random_mixtures(n_rows=3, means=(0.5, 20.0))
    draws = dist.rvs(20000, random_state=0)
    assert draws.shape == (3, 20000)
    assert draws.dtype == float
    counts = np.arange(8.0)
    shares = (draws[..., None] == counts).mean(axis=1)
    assert_allclose(shares, dist.pmf(counts[None]), atol=0.015)
    assert_allclose(draws.mean(axis=1), dist.mean, rtol=0.03)
    assert_allclose(draws.var(axis=1), dist.var, rtol=0.06)
    assert dist.rvs(random_state=0).shape == (3,)
    assert_array_equal(dist.rvs(2, random_state=1), dist.rvs(2, random_state=1))


def test_outputs_of_a_draw_share_their_component():
    dist = CountMixtureDistribution([[0.5, 0.5]], [[[1.0, 1.0], [100.0, 100.0]]])
    draws = dist.rvs(500, random_state=0)[0]
    assert ((draws > 30)[:, 0] == (draws > 30)[:, 1]).all()
    assert 0.4 < (draws[:, 0] > 30).mean() < 0.6
    assert len(np.unique(draws[:, 0] - draws[:, 1])) > 5  # but they are independent within it


# --- shapes ---


@pytest.mark.parametrize("name", [*PROBABILITIES, "crps"])
def test_answers_have_the_shape_of_y(name):
    single, double = random_mixtures(n_rows=6), random_mixtures(n_rows=6, n_outputs=2)
    for y, shape in (((), (6,)), ((6,), (6,)), ((1,), (6,)), ((6, 5), (6, 5)), ((1, 5), (6, 5))):
        assert getattr(single, name)(np.ones(y)).shape == shape
    shapes = {(): (6, 2), (2,): (6, 2), (6, 2): (6, 2), (6, 5, 2): (6, 5, 2), (1, 5, 2): (6, 5, 2)}
    for y, shape in shapes.items():
        assert getattr(double, name)(np.ones(y)).shape == shape


def test_outputs_are_answered_one_by_one():
    both = random_mixtures(n_rows=6, n_outputs=2)
    y = np.random.default_rng(0).integers(0, 30, size=(6, 2))
    for output in range(2):
        one = CountMixtureDistribution(both.weights, both.means[..., output])
        for name in (*PROBABILITIES, "crps"):
            assert_allclose(
                getattr(both, name)(y)[:, output], getattr(one, name)(y[:, output]), rtol=1e-12
            )
        for name in ("mean", "var", "std", "median", "mode"):
            assert_allclose(getattr(both, name)[:, output], getattr(one, name), rtol=1e-12)
        assert_array_equal(both.interval(0.5)[..., output], one.interval(0.5))
    assert both.ppf(0.3).shape == (6, 2)
    assert both.ppf([0.1, 0.5, 0.9]).shape == (6, 3, 2)
    assert both.rvs(4, random_state=0).shape == (6, 4, 2)
    assert both.rvs(random_state=0).shape == (6, 2)


def test_rows_are_chosen_as_in_an_array():
    dist = random_mixtures(n_rows=5)
    assert len(dist) == 5
    assert isinstance(dist[0], CountMixtureDistribution)
    for rows in (slice(1, 3), [0, 3], dist.mean > dist.mean.mean(), np.array([4, 0])):
        assert_array_equal(dist[rows].means, dist.means[rows])
        assert_array_equal(dist[rows].weights, dist.weights[rows])
    assert_array_equal(dist[-1].means, dist.means[[4]])
    assert_array_equal(dist[np.int64(1)].means, dist.means[[1]])
    assert len(list(dist)) == 5
    assert repr(dist) == "<CountMixtureDistribution of 5 rows, 4 components>"
    assert repr(random_mixtures(n_outputs=2)).endswith("20 rows, 4 components, 2 outputs>")
    with pytest.raises(IndexError):
        dist[5]


@pytest.mark.parametrize("n_outputs", [None, 2])
def test_no_rows_at_all(n_outputs):
    rows = slice(0, 0)
    counts = random_mixtures(n_outputs=n_outputs)[rows]
    normals = MixtureDistribution(counts.weights, counts.means, counts.means)
    last = () if n_outputs is None else (2,)
    for dist in (counts, normals):
        for name in ("mean", "var", "median", "mode"):
            assert getattr(dist, name).shape == (0, *last)
        assert dist.cdf(np.zeros((0, *last))).shape == (0, *last)
        assert dist.crps(np.zeros((0, *last))).shape == (0, *last)
        assert dist.interval(0.9).shape == (0, 2, *last)
        assert dist.rvs(3, random_state=0).shape == (0, 3, *last)


# --- bad input ---


@pytest.mark.parametrize("coverage", [0.0, 1.0, 90, "wide", -0.1, np.nan])
def test_bad_coverage(coverage):
    with pytest.raises(ValueError, match=r"coverage must be a probability in \(0, 1\); got"):
        random_mixtures().interval(coverage)


@pytest.mark.parametrize("q", [0.0, 1.0, [0.5, 1.5], [[0.5]], np.nan])
def test_bad_quantiles(q):
    with pytest.raises(ValueError, match=r"q must be a probability in \(0, 1\).*got"):
        random_mixtures().ppf(q)


@pytest.mark.parametrize("size", [0, -1, 1.5, "many"])
def test_bad_size(size):
    with pytest.raises(ValueError, match="size must be None or an integer of at least 1; got"):
        random_mixtures().rvs(size)


@pytest.mark.parametrize("shape", [(3,), (3, 2), (20, 2, 2)])
def test_y_of_the_wrong_shape(shape):
    with pytest.raises(ValueError, match=r"y must be a number or have shape \(20,\).*got \("):
        random_mixtures(n_rows=20).logpmf(np.zeros(shape))
    with pytest.raises(ValueError, match=r"\(20, n_values, 3\)"):
        random_mixtures(n_rows=20, n_outputs=3).crps(np.zeros((*shape, 2)))


@pytest.mark.parametrize(
    ("components", "message"),
    [
        (([0.5, 0.5], [[0, 0]]), r"weights must have shape .*got \(2,\) and \(1, 2\)"),
        (([[0.5, 0.5]], [[0, 0, 0]]), r"weights must have shape .*got \(1, 2\) and \(1, 3\)"),
        (([[0.5, 0.5]], [[1.0, -2.0]]), "means must be finite and not negative; got -2.0"),
        (([[0.5, 0.5]], [[1.0, np.nan]]), "means must be finite and not negative; got nan"),
        (([[0.5, 0.5]], [[np.inf, 1.0]]), "means must be finite and not negative; got inf"),
        (([[0.5, 0.6]], [[0, 0]]), "weights .* must sum to one"),
        (([[1.5, -0.5]], [[0, 0]]), "weights must not be negative"),
    ],
)
def test_bad_components(components, message):
    with pytest.raises(ValueError, match=message):
        CountMixtureDistribution(*components)


# --- components of expert families ---


def random_parts(kind, n_rows=7, n_outputs=2, seed=0):
    """Three experts of one, two and one components."""
    rng = np.random.default_rng(seed)
    parts = []
    for n_components in (1, 2, 1):
        weight = rng.dirichlet(np.ones(n_components), size=n_rows).T
        values = rng.uniform(0.5, 4.0, size=(2, n_components, n_outputs, n_rows))
        parts.append(
            NormalComponents(weight, *values)
            if kind is NormalComponents
            else PoissonComponents(weight, values[0])
        )
    return parts, rng.dirichlet(np.ones(3), size=n_rows).T


@pytest.mark.parametrize("kind", [NormalComponents, PoissonComponents])
def test_expanded_components_have_weight_at_their_rows_only(kind):
    part = random_parts(kind)[0][1]
    rows = np.array([9, 0, 3, 4, 5, 7, 2])
    whole, other = part.expand(rows, 10), np.array([1, 6, 8])
    assert isinstance(whole, kind)
    for given, expanded in zip(part, whole, strict=True):
        assert expanded.shape == (*given.shape[:-1], 10)
        assert_array_equal(expanded[..., rows], given)
    assert_array_equal(whole.weight[:, other], 0.0)
    assert_array_equal(whole.mean[..., other], 0.0 if kind is NormalComponents else 1.0)
    if kind is NormalComponents:
        assert_array_equal(whole.std[..., other], 1.0)


def test_normal_components_in_the_units_of_y():
    part = random_parts(NormalComponents)[0][1]
    center, scale = np.array([3.0, -1.0]), np.array([0.1, 7.0])
    scaled = part.rescale(center, scale)
    for output in range(2):
        mean = center[output] + scale[output] * part.mean[:, output]
        assert_array_equal(scaled.mean[:, output], mean)
        assert_array_equal(scaled.std[:, output], scale[output] * part.std[:, output])
    assert_array_equal(scaled.weight, part.weight)
    offset = np.arange(14.0).reshape(2, 7)
    assert_array_equal(part.shift(offset).mean, part.mean + offset)
    assert_array_equal(part.shift(offset).std, part.std)
    assert_array_equal(part.shift(0.0).mean, part.mean)


def test_poisson_components_are_in_the_units_of_y():
    part = random_parts(PoissonComponents)[0][1]
    assert part.rescale(np.ones(2), np.full(2, 3.0)) is part
    assert part.shift(0.0) is part


@pytest.mark.parametrize("single_output", [False, True])
@pytest.mark.parametrize(
    ("kind", "distribution"),
    [
        (NormalComponents, MixtureDistribution),
        (PoissonComponents, CountMixtureDistribution),
    ],
)
def test_components_of_all_experts_make_the_distribution(kind, distribution, single_output):
    parts, gate = random_parts(kind, n_outputs=1 if single_output else 2)
    dist = predictive_distribution(parts, gate, single_output)
    assert type(dist) is distribution
    weights = [gate[0] * parts[0].weight[0], *(gate[1] * parts[1].weight)]
    weights.append(gate[2] * parts[2].weight[0])
    assert_array_equal(dist.weights, np.stack(weights, axis=1))
    for name, field in (("means", "mean"), ("stds", "std")):
        if hasattr(parts[0], field):
            found = getattr(dist, name)
            assert found.shape == (7, 4) if single_output else (7, 4, 2)
            stacked = np.concatenate([getattr(part, field) for part in parts])
            want = stacked[:, 0].T if single_output else stacked.transpose(2, 0, 1)
            assert_array_equal(found, want)
    mean = sum(
        gate[k] * (part.weight[:, None] * part.mean).sum(axis=0) for k, part in enumerate(parts)
    )
    assert_allclose(dist.mean, mean[0] if single_output else mean.T, rtol=1e-12)


@pytest.mark.parametrize("kind", [NormalComponents, PoissonComponents])
def test_distributions_do_not_depend_on_the_layout_of_components(kind):
    """Not in the last bit either."""
    parts, gate = random_parts(kind, n_rows=50)
    parts = [parts[1]] * 3
    turned = [kind(*(np.asfortranarray(values) for values in part)) for part in parts]
    one, other = (predictive_distribution(given, gate, False) for given in (parts, turned))
    for name in ("weights", "means"):
        assert getattr(one, name).strides == getattr(other, name).strides
    assert_array_equal(one.mean, other.mean)
    assert_array_equal(one.var, other.var)


def test_routed_experts_are_absent_from_other_rows():
    parts, _ = random_parts(PoissonComponents, n_outputs=1)
    gate = np.eye(3)[:, [0, 1, 2, 2, 1, 0, 1]]
    routed = []
    for k, part in enumerate(parts):
        rows = np.flatnonzero(gate[k])
        sent = PoissonComponents(*(values[..., rows] for values in part))
        routed.append(sent.expand(rows, 7))
    y = np.arange(7.0)
    whole = predictive_distribution(parts, gate, True).logpmf(y)
    assert_allclose(predictive_distribution(routed, gate, True).logpmf(y), whole)


@pytest.mark.parametrize("dispersion", [None, 0.3])
def test_counts_of_any_mean_can_be_drawn(dispersion):
    """Also of means that integers cannot hold."""
    mean = np.array([[2.0], [1e14], [1e17], [5e21]])
    options = {} if dispersion is None else {"dispersions": np.full((4, 1), dispersion)}
    dist = CountMixtureDistribution(np.ones((4, 1)), mean, **options)
    drawn = dist.rvs(4000, random_state=0)
    assert_allclose(drawn.mean(axis=1), dist.mean, rtol=0.05)
    assert_allclose(drawn.std(axis=1), dist.std, rtol=0.05)
    assert_array_equal(drawn, np.round(drawn))


@pytest.mark.parametrize("count", [1.0, 100.0, 1e10, 1e16, 1e17, 1e20])
def test_probabilities_of_huge_counts_are_those_of_the_tail(count):
    """Far above the mean, digits of 1 + x, for x near -1, decide."""
    dist = CountMixtureDistribution([[1.0]], [[2.0]], dispersions=[[0.3]])
    size, rest = 1.0 / 0.3, 0.6 / 1.6
    # Where the count is large, the ratio of gamma functions is a power.
    logs = stats.nbinom.logpmf(count, size, 1.0 - rest)
    if count > 1e9:
        logs = (size - 1.0) * np.log(count) - special.gammaln(size) + size * np.log(1.0 - rest)
        logs = logs + count * np.log(rest)
    assert_allclose(dist.logpmf([count]), [logs], rtol=1e-12)
