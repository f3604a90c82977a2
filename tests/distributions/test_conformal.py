"""Conformal adjustment: intervals have their coverage under any model, with few rows."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skmoe.data import right_censored
from skmoe.distributions import (
    NormalComponents,
    PointMassComponents,
    PoissonComponents,
    PredictiveDistribution,
    conformalize,
)
from support.refusals import assert_refused, refusal


def normal(n_rows, mean=0.0, n_outputs=1):
    shape = (1, n_outputs, n_rows)
    part = NormalComponents(np.ones((1, n_rows)), np.full(shape, mean), np.ones(shape))
    return PredictiveDistribution([part], np.ones((1, n_rows)), n_outputs == 1)


def poisson(mean):
    part = PoissonComponents(np.ones((1, len(mean))), mean[None, None])
    return PredictiveDistribution([part], np.ones((1, len(mean))))


def coverage(draw, n_cal, n_repeats):
    """Shares of new values below and above intervals of 90 %, each by other calibration rows."""
    missed = []
    for _ in range(n_repeats):
        dist, y = draw(n_cal)
        new, y_new = draw(50)
        low, high = conformalize(dist, y)(new).interval(0.9).T
        missed.append([(y_new < low).mean(), (y_new > high).mean()])
    return np.mean(missed, axis=0)


def test_intervals_have_their_coverage_where_the_model_is_wrong():
    """Skewed values are predicted as normal; n + 1 is a multiple of 20, so that it is exact."""
    rng = np.random.default_rng(0)
    missed = coverage(lambda n: (normal(n), rng.gamma(0.5, 2.0, size=n)), 39, 150)
    assert_allclose(missed, 0.05, atol=0.012)
    # Other numbers of rows: the rank is rounded away from the median, here to 1 of 31.
    missed = coverage(lambda n: (normal(n), rng.gamma(0.5, 2.0, size=n)), 30, 150)
    assert_allclose(missed, 1 / 31, atol=0.012)


def test_intervals_of_counts_have_at_least_their_coverage():
    rng = np.random.default_rng(0)

    def draw(n):
        mean = rng.uniform(0.2, 4.0, size=n)
        return poisson(mean), rng.negative_binomial(2, 1.0 / (1.0 + mean)).astype(float)

    assert (coverage(draw, 39, 25) < 0.06).all()


@pytest.mark.parametrize("kind", ["normal", "far", "counts"])
def test_nineteen_rows_alike_have_the_smallest_and_largest_value_as_bounds(kind):
    rng = np.random.default_rng(0)
    y = rng.normal(size=19) * (10.0 if kind == "far" else 1.0)  # with probabilities near one
    dist = normal(19)
    if kind == "counts":
        y, dist = rng.poisson(3.0, size=19).astype(float), poisson(np.full(19, 3.0))
    adjusted = conformalize(dist, y)(dist[:2])
    assert_allclose(adjusted.interval(0.9), [[y.min(), y.max()]] * 2, rtol=1e-8)
    assert_allclose(adjusted.median, np.sort(y)[9], rtol=1e-8)
    fewer = conformalize(dist[:18], y[:18])(dist[:1])
    assert_array_equal(fewer.interval(0.9), [[-np.inf, np.inf]])
    assert_allclose(adjusted.ppf([0.05, 0.9])[:, 0], y.min(), rtol=1e-8)
    assert len(adjusted) == 2
    assert "2 rows, by 19 other rows" in repr(adjusted)


def test_a_value_that_has_all_probability_is_a_bound():
    part = PointMassComponents.single(np.ones((1, 1)))
    dist = PredictiveDistribution([part], np.ones((1, 1)))[np.zeros(19, dtype=int)]
    assert_array_equal(conformalize(dist, np.ones(19))(dist[:1]).interval(0.9), [[1.0, 1.0]])
    # What its distribution excludes has no bound.
    assert_array_equal(conformalize(dist, np.full(19, 2.0))(dist[:1]).ppf(0.9), [np.inf])


@pytest.mark.parametrize("kind", ["normal", "counts"])
def test_probabilities_are_between_those_that_the_rows_leave_open(kind):
    rng = np.random.default_rng(0)
    if kind == "normal":
        dist, y, grid = normal(200), 3.0 * rng.normal(size=200), np.linspace(-9, 9, 40)
    else:
        dist, y, grid = poisson(np.full(200, 3.0)), rng.poisson(5.0, size=200), np.arange(15.0)
    adjusted = conformalize(dist, y)(dist[:1])
    found = adjusted.cdf(grid[None])[0]
    share = (y[:, None] <= grid).sum(axis=0)
    assert (np.diff(found) >= 0.0).all()
    assert (share / 201 <= found + 1e-12).all()
    assert (found <= (share + 1) / 201 + 1e-12).all()
    for q in (0.05, 0.5, 0.97):
        assert adjusted.cdf(adjusted.ppf(q)) >= q - 1 / 201


def test_what_has_no_rank_is_refused():
    dist, y = normal(5), np.zeros(5)
    message = refusal(conformalize, dist, right_censored(y + 1.0, [1, 0, 1, 1, 1]))
    assert_refused(message, "y must be known", "censored", "CalibrationDisplay")
    for wrong in (y[:4], np.append(y[:4], np.nan), y[:, None]):
        assert_refused(refusal(conformalize, dist, wrong), "y must have a number for each", "NaN")
    for other in (normal(5, n_outputs=2), y):
        assert_refused(refusal(conformalize, other, y), "dist must be", "one output", "marginal(0)")
    adjusted = conformalize(dist, y)(dist)
    assert "q must be a probability" in refusal(adjusted.ppf, 1.5)
    assert "coverage must be" in refusal(adjusted.interval, 90)
