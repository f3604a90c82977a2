"""Every class of components, alone and in mixtures: against scipy, integrals and searches."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import special

from skmoe.distributions import (
    BetaComponents,
    PredictiveDistribution,
    concatenate_rows,
    predictive_distribution,
)
from skmoe.distributions._components import expand_rows
from support.components import (
    COMPONENT_CLASSES,
    EXAMPLES,
    MIXTURES,
    N_ROWS,
    assert_crps_is_integral,
    assert_draws_follow_cdf,
    assert_moments_are_integrals,
    assert_quantiles_invert_cdf,
    assert_quantiles_of_family,
    assert_restricted_means_and_hazards,
    assert_tails_add_up,
    components,
    experts,
    mixture,
    of_rows,
    reference,
    single,
)

LOCATION_SCALE = ("normal", "student_t", "uniform")
component = pytest.mark.parametrize("name", EXAMPLES)


def test_every_class_has_an_example():
    assert {example.kind for example in EXAMPLES.values()} == set(COMPONENT_CLASSES)


# --- one component --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, one in EXAMPLES.items() if one.reference])
def test_probabilities_are_those_of_scipy(name):
    dist, other = single(name), reference(name)
    q = np.array([[1e-8, 1e-6, 0.01, 0.3, 0.5, 0.8, 0.999]])
    assert_allclose(dist.ppf(q[0]), other.ppf(q), rtol=1e-8, atol=1e-10)
    y = np.concatenate([other.ppf(q[:, 1:]), dist.rvs(4, 0)], 1)
    density = other.logpmf if hasattr(other, "logpmf") else other.logpdf
    y = np.concatenate([y, y + 0.25], axis=1)
    assert_allclose(dist.logpdf(y), density(y), rtol=1e-10, atol=1e-10)
    for tail in ("cdf", "sf"):
        expected = getattr(other, tail)(y)
        assert_allclose(getattr(dist, tail)(y), expected, rtol=1e-9, atol=1e-13)
        with np.errstate(divide="ignore"):
            logs = np.log(expected)
        assert_allclose(getattr(dist, f"log{tail}")(y), logs, rtol=1e-8, atol=1e-13)
    rtol = 1e-8 if name == "gompertz" else 1e-12  # moments of scipy are integrated there
    assert_allclose(dist.mean, np.ravel(other.mean()), rtol=rtol, atol=1e-14)
    assert_allclose(dist.var, np.ravel(other.var()), rtol=rtol, atol=1e-14)


@component
def test_quantiles_of_the_family_are_those_of_its_probabilities(name):
    family, parameters = components(name, n_components=2, n_rows=10).block()
    assert_quantiles_of_family(family, parameters)


@component
def test_log_density_is_slope_of_log_cdf(name):
    """Also far in the tails, where probabilities underflow."""
    family = components(name).block().family
    if family.discrete or name == "uniform":
        return
    dist = single(name)
    y = dist.mean[:, None] + dist.std[:, None] * np.array([-30.0, -2.0, 0.4, 3.0, 60.0, 1e4])
    y = y if np.isinf(family.support[0]) else np.abs(y)
    y = np.array([[1e-30, 0.01, 0.2, 0.7, 0.999]]) if name == "beta" else y
    y = y[:, :-1] if name == "gompertz" else y  # whose log probability is bounded there
    step = 1e-6 * np.abs(y)
    for log_tail, sign in ((dist.logcdf, 1.0), (dist.logsf, -1.0)):
        slope = (log_tail(y + step) - log_tail(y - step)) / (2.0 * step)
        expected = sign * np.exp(dist.logpdf(y) - log_tail(y))
        known = (np.abs(log_tail(y)) > 1e-6) & (np.abs(log_tail(y)) < 1e10)  # which have digits
        assert np.isfinite(log_tail(y)).all()
        assert_allclose(slope[known], expected[known], rtol=1e-4)


# --- one component, and mixtures of several -------------------------------------------------------


def assert_crps(dist):
    for one, q in zip(dist[:2], (0.05, 0.7), strict=True):
        assert_crps_is_integral(one, one.ppf(q)[0] + 0.3)


CONTRACT = (
    assert_crps,
    assert_draws_follow_cdf,
    lambda dist: assert_moments_are_integrals(dist[1]),
    assert_quantiles_invert_cdf,
    lambda dist: assert_restricted_means_and_hazards(dist[1]),
    assert_tails_add_up,
)


@pytest.mark.parametrize("names", [*((name,) for name in EXAMPLES), *MIXTURES], ids=" ".join)
def test_answers_agree_with_the_density_and_the_distribution_function(names):
    for assert_promise in CONTRACT:
        assert_promise(mixture(names))


def test_upper_tails_of_beta_distributions_next_to_zero_have_their_digits():
    """Where one less the value is one; also where the tail is less than any number."""
    tiny, small = np.array([[1e-300, 1e-40, 1e-17, 1e-9, 0.3]]), np.array([0.04, 0.5])
    for first in small:
        dist = PredictiveDistribution(
            [BetaComponents.single(*np.array([[[first]], [[1.96]]]))], [[1.0]]
        )
        assert_allclose(dist.cdf(tiny) + dist.sf(tiny), 1.0, rtol=1e-14)
        assert_allclose(dist.sf(tiny), special.betaincc(first, 1.96, tiny), rtol=1e-13)
    dist = PredictiveDistribution([BetaComponents.single(*np.array([[[3.0]], [[1e4]]]))], [[1.0]])
    mirror = PredictiveDistribution([BetaComponents.single(*np.array([[[1e4]], [[3.0]]]))], [[1.0]])
    y = np.array([[0.0, 0.0625, 0.25, 0.5, 1.0 - 2.0**-40, 1.0]])
    assert_allclose(dist.logsf(y), mirror.logcdf(1.0 - y), rtol=1e-12, atol=1e-300)


# --- rows and units -------------------------------------------------------------------------------


def assert_same(found, wanted):
    assert type(found) is type(wanted)
    for field, value in zip(found, wanted, strict=True):
        assert_array_equal(field, value)


@component
def test_rows_are_joined_and_expanded_by_rows_without_weight(name):
    """The others have weight zero, and parameters at which densities and moments are finite."""
    part = components(name, n_components=2, n_outputs=2, n_rows=5)
    parts = [of_rows(part, slice(None, 2)), of_rows(part, slice(2, None))]
    assert_same(concatenate_rows(parts), part)
    rows, others = np.array([6, 0, 3, 4, 2]), [1, 5]
    whole = expand_rows(part, rows, 7)
    assert_same(of_rows(whole, rows), part)
    assert_array_equal(whole.weight[:, others], 0.0)
    family, parameters = of_rows(whole, others).block()
    assert np.isfinite([family.mean(*parameters), family.variance(*parameters)]).all()


@component
def test_absent_components_change_nothing(name):
    """Also those without moments, and with infinite scores."""
    parts, gate = experts(("zero", "gamma"))
    absent = components(name, seed=9, n_rows=2)
    if name == "student_t":
        absent = absent._replace(df=np.full(absent.df.shape, 0.4))
    absent = expand_rows(absent, np.array([0, 2]), N_ROWS)
    dist = PredictiveDistribution(parts, gate)
    more = PredictiveDistribution([*parts, absent], np.vstack([gate, np.zeros(N_ROWS)]))
    y = dist.rvs(random_state=0)
    for method in ("logpdf", "cdf", "sf", "crps"):
        assert_allclose(getattr(more, method)(y), getattr(dist, method)(y), rtol=1e-8)
    for moment in ("mean", "var", "median"):
        assert_allclose(getattr(more, moment), getattr(dist, moment), rtol=1e-7, atol=1e-9)


@component
def test_components_move_with_the_units_of_families_that_see_y_standardised(name):
    """Values that have a probability of their own move with units, and not with an offset."""
    part = components(name, n_components=2, n_outputs=2)
    center, scale = np.array([3.0, -1.0]), np.array([0.1, 7.0])
    offset = np.random.default_rng(6).normal(size=(2, N_ROWS))
    gate = np.ones((1, N_ROWS))
    rescaled, shifted = part.rescale(center, scale), part.shift(offset)
    plain, scaled, moved = (
        PredictiveDistribution([own], gate, False) for own in (part, rescaled, shifted)
    )
    if name not in LOCATION_SCALE:
        assert shifted is part
    else:
        assert_allclose(moved.mean, plain.mean + offset.T)
        assert_allclose(moved.cdf(1.0 + offset.T), plain.cdf(1.0), rtol=1e-9)
    if name not in (*LOCATION_SCALE, "point_mass", "zero"):
        assert rescaled is part
        return
    y = plain.rvs(random_state=0)
    assert_allclose(scaled.mean, center + scale * plain.mean)
    assert_allclose(scaled.std, scale * plain.std)
    assert_allclose(scaled.crps(center + scale * y), scale * plain.crps(y), rtol=1e-8, atol=1e-14)


@pytest.mark.parametrize(
    "names",
    [("normal", "normal"), ("negative_binomial", "poisson"), ("ordinal", "gamma"), ("poisson",)],
)
def test_a_distribution_is_that_of_its_only_expert(names):
    """Also joined from blocks of rows, moved to other rows, and rescaled there and back."""
    original = mixture(names, 2, 2, n_rows=5)
    whole = original.as_components()
    parts = [original[:2].as_components(), original[2:].as_components()]
    center, scale = np.array([2.0, -1.0]), np.array([0.5, 4.0])
    back = whole.rescale(center, scale).rescale(-center / scale, 1.0 / scale).shift(3.0).shift(-3.0)
    y = original.rvs(random_state=0)
    for part in (whole, concatenate_rows(parts), back):
        again = predictive_distribution([part], np.ones((1, 5)), False)
        assert_allclose(again.cdf(y + 0.25), original.cdf(y + 0.25), rtol=1e-6)
        assert_allclose(again.weights, original.weights, rtol=1e-12)
    rows = [7, 1, 4, 0, 3]
    moved = expand_rows(whole, np.array(rows), 8)
    other = mixture(names, 2, 2, n_rows=8)
    gate = np.zeros((2, 8))
    gate[0, rows] = 1.0
    gate[1] = 1.0 - gate[0]
    # An expert that is a mixture itself, beside others and in their order.
    both = predictive_distribution([moved, other.as_components()], gate, False)
    assert_allclose(both[rows].cdf(y), original.cdf(y), rtol=1e-9)
    assert_allclose(both.mean[[2, 5, 6]], other.mean[[2, 5, 6]], rtol=1e-9)
