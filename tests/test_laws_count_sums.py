"""Mean distances of counts, which their scores are made of, against sums over all counts."""

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
from test_distribution_families import components

from skmoe.distributions._count_families import NEGATIVE_BINOMIAL, POISSON
from skmoe.distributions._count_sums import half_mean_difference
from skmoe.distributions._diversity import MOST_STEPS_OF_COUNTS, _steps
from skmoe.distributions._family import Component

COUNTS = np.arange(4000.0)[:, None]


def test_mean_distances_of_a_count_to_a_point_are_sums():
    mean = np.array([0.05, 0.9, 4.0, 30.0])
    for family, others in (
        (POISSON, ()),
        (NEGATIVE_BINOMIAL, (np.array([0.0, 0.2, 1.0, 3.0]),)),
        (NEGATIVE_BINOMIAL, (np.array([2.0, 1e-3, 0.5, 0.1]),)),
    ):
        mass = np.exp(family.log_pdf(COUNTS, mean, *others))
        for y in (0.0, 1.0, 2.5, 10.0, 31.0, -1.5):
            found = family.mean_distance(np.full(4, y), mean, *others)
            assert_allclose(found, (np.abs(COUNTS - y) * mass).sum(axis=0), rtol=1e-10)
        scores = family.crps(np.full(4, 3.0), mean, *others)
        up_to = np.cumsum(mass, axis=0)
        wanted = np.square(up_to - (COUNTS >= 3.0)).sum(axis=0)
        assert_allclose(scores, wanted, rtol=1e-8)


def by_sums(parts, n_counts):
    total = 0.0
    counts = np.arange(float(n_counts))[:, None]
    for family, weight, parameters in parts:
        total = total + weight * family.cdf(counts, *parameters)
    return (total * (1.0 - total)).sum(axis=0)


def test_mean_differences_of_mixtures_of_counts_are_sums():
    """Of few and many counts, in one call, with components that some rows do not have."""
    weights = np.array([[0.3, 1.0, 0.0, 0.5, 0.2, 0.6], [0.7, 0.0, 1.0, 0.5, 0.8, 0.4]])
    means = np.array([[2.0, 0.01, 8.0, 30.0, 300.0, 500.0], [5.0, 900.0, 3.0, 2.0, 1.0, 550.0]])
    dispersions = np.array([[0.1, 0.0, 1.0, 0.0, 1.5, 1e-3], [0.0, 1.0, 2.0, 0.01, 3.0, 2e-3]])

    def parts(rows):
        return [
            Component(NEGATIVE_BINOMIAL, weights[k, rows], (means[k, rows], dispersions[k, rows]))
            for k in range(2)
        ]

    every = np.arange(6)
    found = half_mean_difference(parts(every))
    assert_allclose(found, by_sums(parts(every), 12_000), rtol=1e-8)
    for rows in ([0], [2, 0], [3, 4, 5], [5, 1], [4]):
        assert_allclose(half_mean_difference(parts(np.array(rows))), found[rows], rtol=1e-9)


def test_mean_differences_of_counts_with_a_power_law_near_zero_are_sums():
    counts = np.arange(400_000.0)
    mean, dispersion = np.array([[1500.0, 2.0], [1.0, 900.0]]), np.array([[6.0, 1.0], [0.5, 3.0]])
    parts = [
        Component(NEGATIVE_BINOMIAL, np.full(2, 0.5), (mean[k], dispersion[k])) for k in (0, 1)
    ]
    found = half_mean_difference(parts)
    for row in range(2):
        mass = sum(
            0.5 * np.exp(NEGATIVE_BINOMIAL.log_pdf(counts, mean[k, row], dispersion[k, row]))
            for k in (0, 1)
        )
        above = np.cumsum(mass[::-1])[::-1] - mass
        assert_allclose(found[row], (np.cumsum(mass) * above).sum(), rtol=1e-8)


def test_values_of_a_rating_have_at_most_all_probability():
    family, parameters = components("ordinal", 2).block()
    more = [values * (1.0 + 1e-9) for values in parameters]
    assert (family.cdf(np.array(9.0), *more) == 1.0).all()
    assert (family.sf(np.array(-9.0), *more) == 1.0).all()
    assert_allclose(family.log_cdf(np.array(9.0), *more), 0.0)


def test_steps_of_counts_are_all_counts_between_the_ends_or_equally_many_apart():
    low, high = np.array([3.2, 0.0, 10.0]), np.array([7.9, 2.0, 5000.0])
    few = np.stack(_steps([high[:2], low[:2]]))
    assert_array_equal(np.unique(few[:, 0]), np.arange(3.0, 10.0))
    assert_array_equal(np.unique(few[:, 1]), np.arange(0.0, 4.0))
    many = np.stack(_steps([low, high]))
    assert len(many) == MOST_STEPS_OF_COUNTS + 1
    assert_array_equal(np.unique(many[:, 0]), np.arange(3.0, 10.0))
    apart = np.unique(np.diff(np.unique(many[:, 2]))[:-1])
    assert_array_equal(apart, [3.0])
    assert (many[0, 2], many[-1, 2]) == (10.0, 5001.0)
    assert len(_steps([low[1:2], low[1:2]])) == 2
