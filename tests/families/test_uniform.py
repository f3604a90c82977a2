"""The range of a uniform distribution, in the units of each output."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.linear_model import Ridge

from skmoe import MixtureOfExpertsRegressor
from skmoe.distributions import predictive_distribution
from skmoe.families import Uniform
from support.families import Scaling, no_scaling
from support.fits import fit_quietly


def test_range_is_that_of_each_output_in_the_units_of_y():
    rng = np.random.default_rng(0)
    scaling = Scaling(np.array([3.0, -1.0]), np.array([2.0, 0.5]))
    y = rng.normal(size=(2, 40))
    in_units = scaling.center[:, None] + scaling.scale[:, None] * y
    given = Uniform(low=(2.0, -1.5), high=(4.0, -0.2)).fitted_to(y, np.ones(40), scaling)
    low, high = np.array([[2.0, -1.5], [4.0, -0.2]])[..., None]
    assert_array_equal(given.in_support(y), (low <= in_units) & (in_units <= high))
    found = Uniform().fitted_to(y, np.ones(40), scaling)
    assert_allclose([found.low, found.high], [y.min(axis=1), y.max(axis=1)])
    for family in (given, found):
        low, high = np.array(family.low)[:, None], np.array(family.high)[:, None]
        reference = stats.uniform(low, high - low)
        assert_allclose(family.log_prob(y, ()), reference.logpdf(y))
        assert_allclose(family.mean(()), reference.mean())


def test_range_moves_with_the_target_of_a_stream():
    """By the scaling from its units to the new ones, 3 + 2 y."""
    change = Scaling(np.array([-1.5]), np.array([0.5]))
    moved = Uniform((-9.0,), (5.0,)).fitted_to(np.zeros((1, 2)), np.ones(2), change)
    assert_allclose([moved.low, moved.high], [(-15.0,), (13.0,)], rtol=1e-14)


def test_range_of_rows_in_parts_must_be_given():
    assert "low" in Uniform().option_for_parts
    assert not Uniform(low=(0.0,), high=(1.0,)).option_for_parts


def test_constant_output_has_a_density_of_one():
    """On an interval of width one, from the only value on."""
    family = Uniform().fitted_to(np.full((1, 5), 3.0), np.ones(5), no_scaling())
    y = np.array([2.9, 3.0, 4.0, 4.1])
    assert_array_equal(family.log_prob(y, ()), [-np.inf, 0.0, 0.0, -np.inf])
    assert_array_equal(family.in_support(y), [False, True, True, False])
    dist = predictive_distribution([family.components(())], np.ones((1, 1)), single_output=True)
    assert_allclose(dist.mean, 3.5)
    assert_allclose(dist.ppf(0.25), 3.25)


OPTIONS = {"n_init": 1, "max_iter": 3, "random_state": 0}


def shifted_tables():
    """Slopes with gross outliers, in units in which the ends of the range are rounded."""
    units = [(1e6, 0.1), (-3e9, 1e3), (0.0, 1e-12)] + 9 * [(1.7, 1.0)]
    for seed, (shift, unit) in enumerate(units):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(60, 2))
        y = np.where(rng.random(60) < 0.1, rng.uniform(-10, 15, 60), X[:, 0])
        yield X, shift + unit * y


def assert_has_density_of_scores(moe, X, y):
    assert_allclose(moe.predict_dist(X).logpdf(y), moe.score_samples(X, y), rtol=1e-6, atol=1e-6)
    assert np.isfinite(moe.score_samples(X, y)).all()


@pytest.mark.parametrize(
    ("family", "base"),
    [
        (["uniform"], None),
        (["normal", "uniform"], None),
        (["normal", "uniform"], Ridge()),
        (["normal", "given"], None),
    ],
    ids=str,
)
def test_rows_that_define_the_range_are_in_it(family, base):
    """Also the ends of a given range, and in the batches of a stream."""
    for X, y in shifted_tables():
        given = Uniform(low=(y.min(),), high=(y.max(),))
        chosen = [given if name == "given" else name for name in family]
        moe = MixtureOfExpertsRegressor(len(family), family=chosen, base=base, **OPTIONS)
        assert_has_density_of_scores(fit_quietly(moe, X, y), X, y)
        moe = MixtureOfExpertsRegressor(1, family=given, **OPTIONS)
        for n_rows in (60, 7, 11) if "given" in family else ():
            order = np.r_[y.argmin(), y.argmax(), np.arange(n_rows)]
            assert_has_density_of_scores(moe.partial_fit(X[order], y[order]), X[order], y[order])


@pytest.mark.parametrize("is_given", [False, True])
def test_the_range_in_units_of_y_includes_all_rows_of_the_fit(is_given):
    """So that the density by the attribute is that of `score_samples`."""
    rng = np.random.default_rng(0)
    for _ in range(500):
        y = rng.normal(size=(1, 10)) * 10.0 ** rng.integers(-3, 4) + rng.normal(scale=100.0)
        center, scale = y.mean(axis=1), y.std(axis=1)
        standardised = (y - center) / scale
        family = Uniform((y.min(),), (y.max(),)) if is_given else Uniform()
        family = family.fitted_to(standardised, np.ones(10), Scaling(center, scale))
        found = family.fitted_to(standardised, np.ones(10), Scaling(-center / scale, 1.0 / scale))
        assert found.low[0] <= y.min()
        assert found.high[0] >= y.max()
        assert_allclose([found.low[0], found.high[0]], [y.min(), y.max()], rtol=1e-11)
