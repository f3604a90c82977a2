"""Quantiles and modes of mixtures against all counts, and against the probabilities themselves."""

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
from test_distribution_families import MIXTURES, components, mixture

from skmoe.distributions import (
    CountMixtureDistribution,
    GeneralMixtureDistribution,
    PointMassComponents,
)
from skmoe.distributions._count_families import NEGATIVE_BINOMIAL, POISSON
from skmoe.distributions._count_searches import (
    quantile_bracket,
    smallest_counts,
    weighted_probability,
)
from skmoe.distributions._general_searches import Tail, _middle, _number, _position, quantiles

COUNTS = np.arange(800.0)
LEVELS = (1e-9, 0.003, 0.5, 0.7, 1.0 - 1e-7)


def count_mixtures(seed, n_components=3, n_rows=15):
    """Weights, of which some are zero, means and dispersions of all sizes."""
    rng = np.random.default_rng(seed)
    shape = n_rows, n_components
    weights = rng.dirichlet(np.ones(n_components), size=n_rows)
    weights[::3, 0] = 0.0
    weights[1::4, -1] = 0.0
    weights /= weights.sum(axis=1, keepdims=True)
    means = np.exp(rng.uniform(np.log(0.01), np.log(50.0), size=shape))
    means[::5, 1] = 0.0
    dispersions = np.exp(rng.uniform(np.log(1e-4), 0.0, size=shape))
    return weights, means, dispersions


def test_quantiles_and_modes_of_counts_are_those_among_all_counts():
    for seed, dispersed in ((0, False), (1, True)):
        weights, means, dispersions = count_mixtures(seed)
        dist = CountMixtureDistribution(weights, means, dispersions if dispersed else None)
        cdf, mass = dist.cdf(COUNTS[None]), dist.pmf(COUNTS[None])
        for q in LEVELS:
            found = dist.ppf(q)
            assert_array_equal(found, np.argmax(cdf >= q, axis=1))
            general = GeneralMixtureDistribution([dist.as_components()], np.ones((1, len(found))))
            assert_array_equal(general.ppf(q), found)
        height = np.take_along_axis(mass, dist.mode.astype(int)[:, None], axis=1)[:, 0]
        assert_allclose(height, mass.max(axis=1), rtol=1e-12)


def test_brackets_of_quantiles_of_counts_hold_them():
    for family in (POISSON, NEGATIVE_BINOMIAL):
        weights, means, dispersions = count_mixtures(2)
        parameters = [means.T] if family is POISSON else [means.T, dispersions.T]
        for q in LEVELS:
            low, high, reached = quantile_bracket(family, weights.T, parameters, q)
            assert (low < high).all()
            assert (low >= -1.0).all()
            assert_array_equal([low % 1.0, high % 1.0], 0.0)
            below = weighted_probability(family.cdf, weights.T, parameters, low)
            above = weighted_probability(family.cdf, weights.T, parameters, high)
            assert (below < q).all()
            assert (above >= reached).all()
            assert (reached <= q).all()
            assert_allclose(reached, q, rtol=1e-12)
        more = weighted_probability(family.cdf, weights.T * 1.5, parameters, np.full(15, 2400.0))
        assert_array_equal(more, 1.0)


def test_smallest_counts_are_found_in_any_bracket():
    wanted = np.array([0.0, 1.0, 7.0, 100.0, 101.0])
    low = np.array([-1.0, 0.0, 3.0, 99.0, -1.0])
    high = np.array([0.0, 1.0, 40.0, 1e6, 101.0])
    found = smallest_counts(lambda count, rows: count >= wanted[rows], low, high)
    assert_array_equal(found, wanted)
    assert_array_equal(low, [-1.0, 0.0, 3.0, 99.0, -1.0])


def test_quantiles_of_mixtures_are_the_smallest_values_that_reach_their_probability():
    for names in MIXTURES[2:5] + MIXTURES[6:10]:
        dist = mixture(names)
        for q in (1e-6, 0.03, 0.5, 0.6, 1.0 - 1e-6):
            found = dist.ppf(q)
            small, reached = min(q, 1.0 - q), dist.cdf(found) if q <= 0.5 else dist.sf(found)
            left = dist.cdf_left(found) if q <= 0.5 else 1.0 - dist.cdf_left(found)
            slack = 1e-9 * small + 1e-14
            if q <= 0.5:
                assert (reached >= small - slack).all(), names
                assert (left <= small + slack).all(), names
            else:
                assert (reached <= small + slack).all(), names
                assert (left >= small - slack).all(), names


def test_tails_of_both_sides_agree_on_what_is_reached():
    parts = mixture(("poisson", "zero", "normal"))._flat_components()
    for q in (0.1, 0.5, 0.6, 0.9):
        found = quantiles(parts, q)
        tail = Tail(q)
        assert tail.lower == (q <= 0.5)
        assert_allclose(tail.level, min(q, 1.0 - q))
        far = np.full(5, 1e3)
        assert tail.is_reached(parts, found + 1e-6).all()
        assert not tail.is_reached(parts, found - 1e-6).any()
        assert tail.is_reached(parts, far).all()
        assert tail.is_reached_below(parts, far).all()
        assert not tail.is_reached(parts, -far).any()
        assert not tail.is_reached_below(parts, -far).any()
        # Below an atom is not at it.
        for atom in (0.0, 3.0):
            points = np.full(5, atom)
            up_to, below = tail.is_reached(parts, points), tail.is_reached_below(parts, points)
            assert_array_equal(below, tail.is_reached(parts, np.nextafter(points, -1e9)))
            assert (up_to | ~below).all()


def test_the_middle_of_numbers_is_between_them_in_any_order_of_magnitude():
    numbers = np.array([-1e300, -3.0, -1e-300, -0.0, 0.0, 5e-324, 1e-12, 0.5, 1.0, 2.0, 1e308])
    assert_array_equal(_number(_position(numbers)), numbers)
    positions = _position(numbers)
    assert (np.diff(positions.astype(float)) >= 0.0).all()
    low, high = numbers[:-1], numbers[1:]
    middle = _middle(low, high)
    assert ((low <= middle) & (middle <= high)).all()
    # Half as many numbers on each side, where the ends are of different orders of magnitude.
    far = np.array([[1e-200, 1e200], [-1e200, -1e-200], [1e-3, 1e6]])
    halves = _position(_middle(far[:, 0], far[:, 1])).astype(float)
    ends = _position(far.ravel()).astype(float).reshape(-1, 2)
    assert_allclose(halves, ends.mean(axis=1), rtol=1e-12)
    assert_array_equal(_middle(np.array([2.0]), np.array([3.0])), 2.5)


def test_quantiles_of_absent_components_are_no_bounds():
    near, far = components("normal"), components("normal")
    far = far._replace(mean=far.mean + 1e9)
    for weights in ([1.0, 0.0], [0.0, 1.0]):
        gate = np.broadcast_to(np.array(weights)[:, None], (2, 5))
        both = GeneralMixtureDistribution([near, far], gate)
        alone = GeneralMixtureDistribution([near if weights[0] else far], np.ones((1, 5)))
        for q in (0.01, 0.5, 0.8):
            assert_allclose(both.ppf(q), alone.ppf(q), rtol=1e-12)
        assert_allclose(both.mode, alone.mode, rtol=1e-9)


def test_a_probability_that_a_lower_atom_has_exactly_is_reached_there():
    """Whatever the order of the components."""
    three, one = (np.full((1, 1, 1), value) for value in (3.0, 1.0))
    weight = np.ones((1, 1))
    for order in (1, -1):
        parts = [PointMassComponents(weight, value) for value in (three, one)][::order]
        for share, q in ((0.5, 0.5), (0.25, 0.25), (0.75, 0.75)):
            gate = np.array([[1.0 - share], [share]])[::order]
            dist = GeneralMixtureDistribution(parts, gate)
            assert_array_equal(dist.ppf(q), 1.0)
            assert_array_equal(dist.ppf(q + 1e-9), 3.0)
