"""Probabilities in logs, against scipy and against sorted numbers, and collapsed experts."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from scipy.special import logsumexp, softmax

from skmoe._numerics.probability import (
    MIN_EXPERT_WEIGHT,
    MIN_WEIGHT_FRACTION,
    is_collapsed,
    keep_top_k,
    log_normalise,
    log_total,
    mean_distance,
    normalised_top_k,
    underflow_to_zero,
    weighted_mean,
)


@pytest.mark.parametrize("with_ties", [False, True])
@pytest.mark.parametrize("top_k", [None, 1, 2, 4, 5, 7])
def test_the_most_probable_share_the_probability(top_k, with_ties):
    """Of ties the first ones are kept."""
    logs = np.log(np.random.default_rng(0).dirichlet(np.ones(5), size=40).T)
    if with_ties:
        logs[:, 0] = logs[0, 0]
        logs = np.round(logs)
    order = np.argsort(-logs, axis=0, kind="stable")
    expected = np.full(logs.shape, -np.inf)
    chosen = order[:top_k]
    np.put_along_axis(expected, chosen, np.take_along_axis(logs, chosen, axis=0), axis=0)
    assert_array_equal(keep_top_k(logs, top_k), expected)
    found = normalised_top_k(logs, top_k)
    if top_k is None:
        assert_array_equal(found, logs)
    else:
        assert_allclose(found, expected - logsumexp(expected, axis=0), atol=1e-12)
        assert_allclose(np.exp(found).sum(axis=0), 1.0)


@pytest.mark.parametrize("top_k", [1, 2])
def test_impossible_components_are_kept_only_to_have_enough(top_k):
    logs = np.array([[-np.inf, -np.inf, 0.0], [-np.inf, -1.0, -np.inf], [-np.inf, -2.0, -np.inf]])
    expected = logs.copy()
    if top_k == 1:
        expected[2, 1] = -np.inf
    assert_array_equal(keep_top_k(logs, top_k), expected)


def test_densities_are_logs_of_sums_and_impossible_rows_have_equal_responsibilities():
    joint = np.random.default_rng(0).normal(scale=300.0, size=(3, 50))
    joint[:, 7] = -np.inf
    joint[1, 9] = -np.inf
    joint[:, 11] = [-1e18, -1e18, -1e18 - 1e4]
    resp, log_density = log_normalise(joint)
    possible = np.arange(50) != 7
    assert_allclose(log_density[possible], logsumexp(joint[:, possible], axis=0))
    assert_allclose(resp[:, possible], softmax(joint[:, possible], axis=0), atol=1e-14)
    assert_allclose(resp[:, 7], 1.0 / 3.0)
    assert log_density[7] == -np.inf
    assert resp[1, 9] == 0.0
    assert_allclose(resp[:, 11], [0.5, 0.5, 0.0])


def test_weighted_mean_leaves_rows_without_weight_out():
    values = np.array([1.0, -np.inf, 4.0])
    assert weighted_mean(values[[0, 2]], None) == 2.5
    assert_allclose(weighted_mean(values, [3.0, 0.0, 1.0]), 1.75)


def test_negligible_probabilities_are_zero_where_underflow_is_an_error():
    def exponentials(values, *, factor):
        """The name of a function."""
        return factor * np.exp(values)

    wrapped = underflow_to_zero(exponentials)
    assert (wrapped.__name__, wrapped.__doc__) == ("exponentials", "The name of a function.")
    with np.errstate(under="raise"):
        with pytest.raises(FloatingPointError):
            exponentials(np.array([-800.0]), factor=2.0)
        assert_array_equal(wrapped(np.array([-800.0, 0.0]), factor=2.0), [0.0, 2.0])


def test_experts_of_few_rows_or_of_a_small_fraction_of_them_have_collapsed():
    few, share = MIN_EXPERT_WEIGHT, MIN_WEIGHT_FRACTION
    masses = np.array([np.nextafter(few, 0.0), few, 10.0 * few])
    assert_array_equal(is_collapsed(masses), [True, False, False])
    total = 100.0 * few / share
    masses = np.array([0.9 * share * total, 1.2 * share * total, total])
    assert_array_equal(is_collapsed(masses), [True, False, False])


def test_totals_are_logs_of_sums():
    logs = np.random.default_rng(0).normal(scale=9.0, size=(3, 30))
    assert_allclose(log_total(iter(logs)), logsumexp(logs, axis=0))
    assert_array_equal(log_total(iter(logs[:1])), logs[0])


@pytest.mark.parametrize("shift", [-3.0, 0.0, 0.4, 50.0])
def test_mean_distance_is_that_of_a_folded_normal(shift):
    std = np.array([0.1, 1.0, 7.0])
    expected = stats.foldnorm(abs(shift) / std, scale=std).mean()
    assert_allclose(mean_distance(shift, std), expected, rtol=1e-9)
