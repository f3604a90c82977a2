"""Every class of components: against scipy, integrals and searches, and its rows and units."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skmoe.distributions import (
    PredictiveDistribution,
    concatenate_rows,
    predictive_distribution,
)
from skmoe.distributions._components import expand_rows
from support.components import (
    COMPONENT_CLASSES,
    EXAMPLES,
    N_ROWS,
    assert_crps_is_integral,
    assert_density_integrates_to_cdf,
    assert_draws_follow_cdf,
    assert_mode_is_highest,
    assert_moments_are_integrals,
    assert_quantiles_invert_cdf,
    assert_quantiles_of_family,
    components,
    experts,
    mixture,
    of_rows,
    reference,
    single,
)

LOCATION_SCALE = ("normal", "student_t", "uniform")
IN_UNITS_OF_Y = [name for name in EXAMPLES if name not in (*LOCATION_SCALE, "point_mass", "zero")]
component = pytest.mark.parametrize("name", EXAMPLES)


def test_every_class_has_an_example():
    assert {example.kind for example in EXAMPLES.values()} == set(COMPONENT_CLASSES)


# --- functions of one component -------------------------------------------------------------------


@component
def test_probabilities_are_those_of_scipy(name):
    dist, other = single(name), reference(name)
    y = np.concatenate(
        [other.ppf(np.array([[1e-6, 0.01, 0.3, 0.5, 0.8, 0.999]])), dist.rvs(4, 0)], 1
    )
    density = other.logpmf if hasattr(other, "logpmf") else other.logpdf
    y = np.concatenate([y, y + 0.25], axis=1)
    assert_allclose(dist.logpdf(y), density(y), rtol=1e-10, atol=1e-10)
    assert_allclose(dist.cdf(y), other.cdf(y), rtol=1e-9, atol=1e-13)
    assert_allclose(dist.sf(y), other.sf(y), rtol=1e-9, atol=1e-13)
    with np.errstate(divide="ignore"):
        assert_allclose(dist.logcdf(y), np.log(other.cdf(y)), rtol=1e-8, atol=1e-13)
        assert_allclose(dist.logsf(y), np.log(other.sf(y)), rtol=1e-8, atol=1e-13)
    assert_allclose(dist.mean, np.ravel(other.mean()), rtol=1e-12, atol=1e-14)
    assert_allclose(dist.var, np.ravel(other.var()), rtol=1e-12, atol=1e-14)
    q = np.array([[1e-8, 0.03, 0.4, 0.5, 0.8, 0.999]])
    assert_allclose(dist.ppf(q[0]), other.ppf(q), rtol=1e-8, atol=1e-10)


@component
def test_density_integrates_to_cdf(name):
    for one in single(name)[:2]:
        assert_density_integrates_to_cdf(one, one.rvs(random_state=0)[0])


@component
def test_moments_are_integrals(name):
    for one in single(name)[:2]:
        assert_moments_are_integrals(one)


@component
def test_crps_is_integral_of_squared_difference_to_a_step(name):
    dist = single(name)
    for one in dist[:2]:
        for y in (one.rvs(random_state=0)[0], one.ppf(0.9)[0] + 0.3, one.ppf(0.1)[0] - 0.4):
            assert_crps_is_integral(one, y)


@component
def test_quantiles_of_both_tails_invert_cdf(name):
    assert_quantiles_invert_cdf(single(name))
    family, parameters = components(name, n_components=2, n_rows=10).block()
    assert_quantiles_of_family(family, parameters)


@component
def test_no_value_is_higher_than_the_mode(name):
    dist = single(name, n_rows=5)
    assert_mode_is_highest(dist)
    family, parameters = components(name, n_rows=5).block()
    height = dist.logpdf(family.mode(*parameters).ravel())
    assert_allclose(height, dist.logpdf(dist.mode), atol=1e-9)


@component
def test_draws_follow_cdf(name):
    assert_draws_follow_cdf(single(name))


@component
def test_log_density_is_slope_of_log_cdf(name):
    """Also far in the tails, where probabilities underflow."""
    family = components(name).block().family
    if family.discrete or name == "uniform":
        return
    dist = single(name)
    y = dist.mean[:, None] + dist.std[:, None] * np.array([-30.0, -2.0, 0.4, 3.0, 60.0, 1e4])
    y = y if family.cdf(-1.0, *components(name).block().parameters).any() else np.abs(y)
    y = np.array([[1e-30, 0.01, 0.2, 0.7, 0.999]]) if name == "beta" else y
    step = 1e-6 * np.abs(y)
    for log_tail, sign in ((dist.logcdf, 1.0), (dist.logsf, -1.0)):
        slope = (log_tail(y + step) - log_tail(y - step)) / (2.0 * step)
        expected = sign * np.exp(dist.logpdf(y) - log_tail(y))
        known = (np.abs(log_tail(y)) > 1e-6) & (np.abs(log_tail(y)) < 1e10)  # which have digits
        assert np.isfinite(log_tail(y)).all()
        assert_allclose(slope[known], expected[known], rtol=1e-4)


@component
def test_limits_at_infinity_are_exact(name):
    part = components(name, n_components=2, n_outputs=2)
    family, parameters = part.block()
    lower = {"cdf": 0.0, "sf": 1.0, "log_cdf": -np.inf, "log_sf": 0.0, "log_pdf": -np.inf}
    upper = {"cdf": 1.0, "sf": 0.0, "log_cdf": 0.0, "log_sf": -np.inf, "log_pdf": -np.inf}
    below = [-np.inf] if name in LOCATION_SCALE else [-np.inf, -7.0]
    for values, limits in ((below, lower), ([np.inf], upper)):
        for value, (method, limit) in ((v, item) for v in values for item in limits.items()):
            found = getattr(family, method)(np.full(parameters[0].shape, value), *parameters)
            if not (np.isfinite(value) and name in LOCATION_SCALE):
                assert_allclose(found, limit, atol=1e-15, err_msg=method)


@component
def test_a_general_mixture_of_one_component_is_its_family(name):
    """Each function of the family serves the method of the same name, for each output."""
    part = components(name, n_components=2, n_outputs=2)
    family, parameters = part.block()
    for k, output in ((0, 1), (1, 0)):
        fields = [
            v if field == "values" else v[[k]][:, [output]]
            for field, v in zip(part._fields[1:], part[1:], strict=True)
        ]
        dist = predictive_distribution(
            [type(part)(np.ones((1, N_ROWS)), *fields)], np.ones((1, N_ROWS)), True
        )
        of_one = [values[:, k, output] for values in parameters]
        y = dist.rvs(random_state=1)
        assert_allclose(dist.mean, family.mean(*of_one), rtol=1e-12)
        assert_allclose(dist.var, family.variance(*of_one), rtol=1e-9)
        assert_allclose(dist.logpdf(y), family.log_pdf(y, *of_one), rtol=1e-12)


# --- rows -----------------------------------------------------------------------------------------


def assert_same(found, wanted):
    assert type(found) is type(wanted)
    for field, value in zip(found, wanted, strict=True):
        assert_array_equal(field, value)


@component
def test_joined_rows_are_the_whole(name):
    whole = components(name, n_components=2, n_outputs=2)
    blocks = [of_rows(whole, slice(None, 2)), of_rows(whole, slice(2, None))]
    assert_same(concatenate_rows(blocks), whole)


@component
def test_expanded_rows_keep_their_components_and_others_are_absent(name):
    """The others have weight zero, and parameters at which densities and moments are finite."""
    part = components(name, n_components=2, n_outputs=2, n_rows=5)
    rows, others = np.array([6, 0, 3, 4, 2]), [1, 5]
    whole = expand_rows(part, rows, 7)
    assert_same(of_rows(whole, rows), part)
    assert_array_equal(whole.weight[:, others], 0.0)
    family, parameters = of_rows(whole, others).block()
    assert np.isfinite(family.mean(*parameters)).all()
    assert np.isfinite(family.variance(*parameters)).all()


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
    for moment in ("mean", "var", "median", "mode"):
        assert_allclose(getattr(more, moment), getattr(dist, moment), rtol=1e-7, atol=1e-9)
    assert_allclose(more.ppf([0.1, 0.8]), dist.ppf([0.1, 0.8]), rtol=1e-9)


# --- units ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*LOCATION_SCALE, "point_mass"])
def test_rescaled_components_are_those_of_the_rescaled_target(name):
    part = components(name, n_components=2, n_outputs=2)
    center, scale = np.array([3.0, -1.0]), np.array([0.1, 7.0])
    gate = np.ones((1, N_ROWS))
    plain = PredictiveDistribution([part], gate, False)
    scaled = PredictiveDistribution([part.rescale(center, scale)], gate, False)
    assert_array_equal(part.rescale(center, scale).weight, part.weight)
    y = plain.rvs(random_state=0)
    assert_allclose(scaled.mean, center + scale * plain.mean)
    assert_allclose(scaled.std, scale * plain.std)
    assert_allclose(scaled.crps(center + scale * y), scale * plain.crps(y), rtol=1e-8, atol=1e-14)


@pytest.mark.parametrize("name", EXAMPLES)
def test_shifted_components_are_those_of_the_target_plus_an_offset(name):
    """Values that have a probability of their own, and positive values, stay where they are."""
    part = components(name, n_components=2, n_outputs=2)
    offset = np.random.default_rng(6).normal(size=(2, N_ROWS))
    shifted = part.shift(offset)
    if name not in LOCATION_SCALE:
        assert shifted is part
        return
    gate = np.ones((1, N_ROWS))
    plain, moved = (PredictiveDistribution([p], gate, False) for p in (part, shifted))
    assert_allclose(moved.mean, plain.mean + offset.T)
    assert_allclose(moved.cdf(1.0 + offset.T), plain.cdf(1.0), rtol=1e-9)


@pytest.mark.parametrize("name", IN_UNITS_OF_Y)
def test_families_in_the_units_of_y_are_not_rescaled(name):
    part = components(name)
    assert part.rescale(np.ones(1), np.full(1, 3.0)) is part


# --- distributions as components ------------------------------------------------------------------


@pytest.mark.parametrize("general", [False, True])
@pytest.mark.parametrize(
    "names",
    [("normal", "normal"), ("negative_binomial", "poisson"), ("ordinal", "gamma"), ("poisson",)],
)
def test_a_distribution_is_that_of_its_only_expert(names, general):
    """Also joined from blocks of rows, moved to other rows, and rescaled there and back."""
    original = mixture(names, 2, 2, n_rows=5, general=general)
    whole = original.as_components()
    blocks = [original[:2].as_components(), original[2:].as_components()]
    center, scale = np.array([2.0, -1.0]), np.array([0.5, 4.0])
    back = whole.rescale(center, scale).rescale(-center / scale, 1.0 / scale).shift(3.0).shift(-3.0)
    y = original.rvs(random_state=0)
    for part in (whole, concatenate_rows(blocks), back):
        again = predictive_distribution([part], np.ones((1, 5)), False)
        assert_allclose(again.cdf(y + 0.25), original.cdf(y + 0.25), rtol=1e-6)
        assert_allclose(again.mean, original.mean, rtol=1e-7)
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
