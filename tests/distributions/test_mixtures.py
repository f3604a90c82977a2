"""Mixtures of components: against integrals and searches, and shapes, rows, outputs and draws."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from scipy.integrate import trapezoid

from skmoe import distributions
from skmoe.data import right_censored
from skmoe.distributions import (
    GammaComponents,
    GompertzComponents,
    OrdinalComponents,
    PointMassComponents,
    PredictiveDistribution,
    StudentTComponents,
    UniformComponents,
    predictive_distribution,
)
from skmoe.exceptions import OptionWarning
from support.components import (
    EXAMPLES,
    LEVELS,
    N_ROWS,
    assert_quantiles_invert_cdf,
    components,
    experts,
    mixture,
    normal_mixture,
    of_rows,
    single,
)
from support.refusals import assert_refused, refusal

PROBABILITIES = ("pdf", "logpdf", "cdf", "cdf_left", "sf", "logcdf", "logsf")
OF_TIMES = ("sf", "logsf", "hazard", "cumulative_hazard", "restricted_mean")
MOMENTS = ("mean", "var", "std", "median")
# Of three kinds, for what does not depend on the family.
CLASSES = {
    "normals": ("normal", "normal"),
    "counts": ("poisson", "negative_binomial"),
    "general": ("gamma", "point_mass", "zero"),
}
of_classes = pytest.mark.parametrize("names", CLASSES.values(), ids=CLASSES)
with_outputs = pytest.mark.parametrize("n_outputs", [1, 2])


def test_values_that_may_be_infinite_have_quantiles_and_a_restricted_mean():
    never = PointMassComponents(np.ones((1, 2)), np.full((1, 1, 2), np.inf))
    exponential = EXAMPLES["weibull"].kind(np.ones((1, 2)), *np.ones((2, 1, 1, 2)))
    dist = PredictiveDistribution([never, exponential], [[0.4, 0.0], [0.6, 1.0]])
    levels = np.array([0.3, 0.5, 0.7])
    assert_allclose(dist.ppf(levels)[0], [-np.log(0.5), -np.log(1.0 / 6.0), np.inf], rtol=1e-9)
    assert_allclose(dist.ppf(levels)[1], -np.log(1.0 - levels), rtol=1e-9)
    assert_allclose(dist.sf(1e9), [0.4, 0.0])
    assert_array_equal(dist.mean, [np.inf, 1.0])
    area = 1.0 - np.exp(-2.0)
    assert_allclose(dist.restricted_mean(2.0), [0.8 + 0.6 * area, area], rtol=1e-8)
    assert_array_equal(dist.restricted_mean(np.inf), dist.mean)
    assert_array_equal(np.isinf(dist.crps([1.0, 1.0])), [True, False])


def test_scores_of_widely_dispersed_gammas_are_finite():
    """Some of their quantiles are less than any number, next to which a tail has no integral."""
    mean, shape = np.full((1, 1, 2), 2.0), np.array([[[0.01, 0.003]]])
    dist = PredictiveDistribution([GammaComponents(np.ones((1, 2)), mean, shape)], np.ones((1, 2)))
    for y in (0.0, 1e-310, 1.0):
        energy = np.abs(dist.rvs(40_000, 0) - y).mean(axis=1)  # E|Y - y|, which the score is below
        assert ((dist.crps([y, y]) >= 0.0) & (dist.crps([y, y]) < energy)).all()
    for shape, tiny in ((0.01, 1e-310), (1.0, 1e-310), (2.0, 5e-324)):
        dist = PredictiveDistribution(
            [GammaComponents.single(*np.array([[[2.0]], [[shape]]]))], [[1.0]]
        )
        expected = stats.gamma.cdf(tiny, shape, scale=2.0 / shape)
        assert_allclose(dist.cdf(tiny), expected, rtol=1e-10, atol=1e-300)


@pytest.mark.parametrize("name", ["gamma", "gompertz", "loglogistic", "lognormal", "weibull"])
def test_restricted_means_of_times_are_areas_at_early_and_late_times(name):
    """Also of log-logistic times without a finite mean, and at times before which none occurs."""
    for shape in (0.6, 1.0, 1.001, 3.0):
        dist = predictive_distribution(
            [EXAMPLES[name].kind.single(np.ones((1, 1)), np.full((1, 1), shape))],
            np.ones((1, 1)),
            single_output=True,
        )
        for time in np.array([1e-9, 1e-4, 0.3, 2.0, 50.0]) * dist.median[0]:
            logs = np.linspace(np.log(time) - 30.0, np.log(time), 20_001)
            area = trapezoid(dist.sf(np.exp(logs)[None])[0] * np.exp(logs), logs)
            assert_allclose(dist.restricted_mean(time), area, rtol=1e-6)
            assert dist.restricted_mean(time)[0] <= time
        assert_allclose(dist.restricted_mean([[-2.0, 0.0]]), [[-2.0, 0.0]], atol=1e-15)


@pytest.mark.parametrize("names", [*((n,) for n in EXAMPLES), *CLASSES.values()], ids=" ".join)
def test_restricted_means_increase_to_the_mean(names):
    dist = mixture(names)
    found = dist.restricted_mean(np.array([[50.0, 1e3, 1e5, 1e7, 1e10, 1e16, 1e30, np.inf]]))
    assert (found <= dist.mean[:, None]).all()
    assert_allclose(found[:, 2:], dist.mean[:, None] * np.ones(6), rtol=1e-6)
    assert (np.diff(found, axis=1) >= -1e-9).all()


def test_restricted_means_of_heavy_tails_do_not_exceed_the_mean():
    dist = PredictiveDistribution(
        [StudentTComponents.single(*np.array([[[1.0]], [[1.0]], [[1.5]]]))], [[1.0]]
    )
    found = dist.restricted_mean(np.array([[1e2, 1e6, 1e10, 1e16]]))
    assert (np.diff(found) >= 0.0).all()
    assert (found <= 1.0).all()


@pytest.mark.parametrize(
    ("names", "are_counts"),
    [
        (("poisson", "poisson"), True),
        (("zero", "poisson"), True),
        (("negative_binomial", "zero", "poisson"), True),
        (("zero", "zero"), True),
        (("point_mass", "poisson"), False),
        (("student_t", "student_t"), False),
        (("normal", "normal"), False),
        (("normal", "uniform"), False),
    ],
)
def test_a_mixture_of_counts_says_so(names, are_counts):
    dist = mixture(names, n_components=2, n_outputs=2, n_rows=2)
    assert dist.is_count == are_counts
    text = f"<PredictiveDistribution of 2 rows, {2 * len(names)} components, 2 outputs>"
    assert repr(dist) == text


@pytest.mark.parametrize("name", ["GeneralMixtureDistribution", "MixtureDistribution"])
def test_earlier_names_of_the_class_lead_to_it_with_a_warning(name):
    with pytest.warns(FutureWarning, match="is now skmoe.distributions.PredictiveDistribution"):
        assert getattr(distributions, name) is PredictiveDistribution


def test_the_formulas_of_normals_agree_with_searches_and_integrals():
    """Of normals in one class of components, and in a mixture with others of no weight."""
    dist = mixture(("normal", "normal"), n_components=2, n_outputs=2)
    parts = [*dist.as_components().parts, components("uniform", n_outputs=2)]
    gate = np.vstack([dist.as_components().gate_prob, np.zeros(N_ROWS)])
    general = PredictiveDistribution(parts, gate, False)
    y = dist.rvs(random_state=0)
    assert_allclose(dist.crps(y), general.crps(y), rtol=1e-8)
    assert_allclose(dist.ppf([0.01, 0.6]), general.ppf([0.01, 0.6]), rtol=1e-9, atol=1e-10)


# --- values of y ----------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [*((n,) for n in EXAMPLES), *CLASSES.values()], ids=" ".join)
def test_probabilities_at_infinity_and_of_what_is_no_number(names):
    dist = mixture(names, n_outputs=1 if len(names) == 1 else 2)
    shape = dist.mean.shape
    below = {"pdf": 0.0, "logpdf": -np.inf, "cdf": 0.0, "sf": 1.0, "logcdf": -np.inf, "logsf": 0.0}
    above = {"pdf": 0.0, "logpdf": -np.inf, "cdf": 1.0, "sf": 0.0, "logcdf": 0.0, "logsf": -np.inf}
    for infinity, limits in ((-np.inf, below), (np.inf, above)):
        for method, limit in (limits | {"cdf_left": limits["cdf"]}).items():
            found = getattr(dist, method)(np.full(shape, infinity))
            assert_allclose(found, np.full(shape, limit), atol=1e-12, err_msg=method)
        assert_array_equal(dist.crps(np.full(shape, infinity)), np.inf)
    for method in (*PROBABILITIES, "crps"):
        assert_array_equal(getattr(dist, method)(np.full(shape, np.nan)), np.nan)


@pytest.mark.parametrize("name", EXAMPLES)
def test_points_far_out_and_at_ends_of_supports_give_no_numeric_warning(name):
    """No answer is NaN but the hazard where no value is left."""
    dist, far = single(name), np.array([1e200, 1e300, np.inf])
    points = np.concatenate([-far, [-1.5, 0.0, 1.0, 1.5, 2.5, 6.0], far])[None]
    found = {method: getattr(dist, method)(points) for method in (*PROBABILITIES, *OF_TIMES)}
    is_left = (found["sf"] > 0.0) | (dist.pmf(points) > 0.0)
    hazard = found.pop("hazard")
    assert not np.isnan(hazard[is_left]).any()
    found |= {method: getattr(dist, method)(points) for method in ("logpmf", "crps")}
    assert not any(np.isnan(values).any() for values in found.values())


def test_survival_of_gompertz_times_decreases_at_all_times():
    one = np.ones((1, 1))
    dist = PredictiveDistribution([GompertzComponents.single(one, 0.1 * one)], [[1.0]])
    times = np.array([[1.0, 99.0, 100.0, 101.0, 1e8, 1e16, 1e18, 1e30]])
    logs = dist.logsf(times)[0]
    assert (np.diff(logs) < 0.0).all()
    assert_allclose(logs[:3], -0.1 * np.expm1(times[0, :3]), rtol=1e-12)
    assert_allclose(logs[5:], -0.1 * np.exp(100.0) * times[0, 5:], rtol=1e-12)


def test_densities_of_narrow_normals_far_away_give_no_numeric_warning():
    dist = normal_mixture([[1.0]], [[0.0]], [[1e-300]])
    assert_array_equal(dist.logpdf([[1e200, -1e200]]), -np.inf)
    assert_array_equal(dist.joint_logpdf([[1e200, -1e200]]), -np.inf)
    assert_array_equal(dist.hazard([[1e200, -1e200]]), [[np.nan, 0.0]])


@of_classes
def test_no_probability_exceeds_one_where_weights_sum_to_a_little_more(names):
    parts, gate = experts(names)
    dist = predictive_distribution(parts, gate * (1.0 + 1e-9), True)
    low, high = dist.ppf([1e-6, 1.0 - 1e-6]).T + np.array([[-1e3], [1e3]])
    assert (np.maximum(dist.cdf(high), dist.cdf_left(high)) <= 1.0).all()
    assert (dist.sf(low) <= 1.0).all()
    assert (np.maximum(dist.logcdf(high), dist.logsf(low)) <= 0.0).all()
    assert np.isfinite(dist.rvs(50, random_state=0)).all()


@of_classes
@with_outputs
def test_answers_are_those_of_each_value_by_itself(names, n_outputs):
    dist = mixture(names, n_outputs=n_outputs)
    last = () if n_outputs == 1 else (2,)
    values = np.random.default_rng(0).choice([-1.5, 0.0, 1.0, 2.5, 6.0], size=(3, 2, *last))
    for method in (*PROBABILITIES, "crps"):
        ask = getattr(dist, method)
        every = ask(values)
        assert every.shape == values.shape
        assert_array_equal(ask(values[:, 1]), every[:, 1])
        serving_all = ask(values[:1])
        assert_array_equal(serving_all, ask(np.repeat(values[:1], 3, axis=0)))
        assert_array_equal(ask(1.0), ask(np.full((3, *last), 1.0)))
        for wrong in ((2, *last), (2, 4, *last), (3, 4, 1, *last), *([(3, 3)] if last else [])):
            with pytest.raises(ValueError, match=r"y must .* shape \(3,.* got \("):
                ask(np.ones(wrong))
    several = dist.ppf([0.3, 0.9, 0.5])
    assert several.shape == (3, 3, *last)
    assert_array_equal(several[:, 0], dist.ppf(0.3))
    assert_array_equal(several[:, 2], dist.median)
    assert_array_equal(dist.interval(0.6), dist.ppf([0.5 - 0.3, 0.5 + 0.3]))
    assert dist.ppf([0.3]).shape == (3, 1, *last)


@of_classes
def test_increasing_times_are_for_one_row_each_with_a_warning(names):
    """Other libraries take the same times for all rows, which have an axis of length one here."""
    dist, times = mixture(names), np.array([0.5, 1.0, 2.0])
    for method in OF_TIMES:
        ask = getattr(dist, method)
        in_all_rows = ask(times[None])
        with pytest.warns(OptionWarning, match=r"one entry for each of the 3 rows.*y\[None\]"):
            found = ask(times)
        assert_array_equal(found, np.diag(in_all_rows))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert_array_equal(ask(times[:, None])[:, 0], found)
            assert_array_equal(ask(times[::-1]), np.diag(in_all_rows[:, ::-1]))
            assert_array_equal(dist[:1].sf(times[:1]), dist[:1].sf(0.5))
            two_outputs = mixture(names, n_outputs=2)[:2]  # of which times are one value of both
            assert getattr(two_outputs, method)(times[:2]).shape == (2, 2)


@pytest.mark.parametrize("name", ["gamma", "inverse_gaussian", "negative_binomial"])
def test_quantiles_of_many_levels_are_one_search(name):
    """The number of evaluations does not increase with the number of levels."""
    n_calls, family = 0, EXAMPLES[name].kind.functions

    def counted(*given):
        nonlocal n_calls
        n_calls += 1
        return family.cdf(*given)

    part = components(name, n_components=2)
    kind = type("Counted", (type(part),), {"functions": replace(family, cdf=counted)})
    dist = PredictiveDistribution([kind(*part)], np.ones((1, part.weight.shape[1])))
    counts = []
    for levels in ([0.01], np.linspace(0.01, 0.49, 49)):
        n_calls = 0
        dist.ppf(levels)
        counts.append(n_calls)
    assert counts[1] < 4 * counts[0]


# --- rows and outputs -----------------------------------------------------------------------------


@of_classes
def test_rows_and_outputs_are_those_of_the_whole(names):
    both = mixture(names, n_outputs=2, n_rows=5)
    y = both.rvs(random_state=0)
    methods = ("logpdf", "cdf", "cdf_left", "sf", "crps")
    found = {method: getattr(both, method)(y) for method in methods}
    found |= {name: getattr(both, name) for name in MOMENTS}
    for rows in ([4, 0], slice(0, 0)):
        some = both[rows]
        assert type(some) is type(both)
        for name, values in found.items():
            of_some = getattr(some, name)
            of_some = of_some(y[rows]) if name in methods else of_some
            assert_allclose(of_some, values[rows], rtol=1e-9)
    for rows in (slice(1, 3), np.arange(5) > 2, [-1]):
        assert_array_equal(both[rows].mean, both.mean[rows])
    assert_array_equal(both[np.int64(1)].mean, both.mean[[1]])
    assert_array_equal(both[-1].mean, both.mean[[4]])
    assert len(both) == len(list(both)) == 5
    with pytest.raises(IndexError):
        both[5]
    assert both[:0].interval(0.9).shape == (0, 2, 2)
    assert both[:0].rvs(3, random_state=0).shape == (0, 3, 2)
    parts, gate = experts(names, n_outputs=2, n_rows=5)
    for output in range(2):
        chosen = [
            type(part)(part.weight, *(v if v.ndim == 1 else v[:, [output]] for v in part[1:]))
            for part in parts
        ]
        one = predictive_distribution(chosen, gate, True)
        for method in methods:
            answer = getattr(one, method)(y[:, output])
            assert_allclose(answer, found[method][:, output], rtol=1e-10)
        assert_allclose(one.ppf([0.2, 0.9]), both.ppf([0.2, 0.9])[..., output], rtol=1e-10)
        for name in MOMENTS:
            assert_allclose(getattr(one, name), found[name][:, output], rtol=1e-9)


@pytest.mark.parametrize("names", [("poisson", "zero"), ("uniform", "normal")])
def test_many_rows_are_answered_as_a_few(names):
    """Sums and searches go through large tables in blocks."""
    few = mixture(names, n_rows=6)
    parts, gate = experts(names, n_rows=6)
    repeat = np.tile(np.arange(6), 700)
    many = predictive_distribution([of_rows(p, repeat) for p in parts], gate[:, repeat], True)
    y = few.rvs(random_state=0)
    assert_allclose(many.crps(y[repeat]), few.crps(y)[repeat], rtol=1e-9)


# --- draws ----------------------------------------------------------------------------------------


@of_classes
def test_draws_have_rows_first_and_repeat_with_their_seed(names):
    dist = mixture(names, n_components=2, n_outputs=2)
    draws = dist.rvs(800, random_state=0)
    assert draws.shape == (N_ROWS, 800, 2)
    assert dist.rvs(random_state=0).shape == (N_ROWS, 2)
    assert_array_equal(dist.rvs(800, random_state=0), draws)
    error = np.abs(draws.mean(axis=1) - dist.mean)
    assert (error <= 4.5 * dist.std / np.sqrt(800) + 1e-12).all()


@pytest.mark.parametrize("absent", [0, 1, 2])
def test_absent_components_are_never_drawn(absent):
    weights = np.full((1, 3), 0.5)
    weights[0, absent] = 0.0
    dist = normal_mixture(weights, [[0.0, 100.0, 200.0]], np.ones((1, 3)))
    found = set(np.round(dist.rvs(200, random_state=0).ravel(), -2) / 100.0)
    assert found == {0, 1, 2} - {absent}


@with_outputs
def test_energy_scores_of_several_values_are_those_of_each(n_outputs):
    dist = mixture(CLASSES["general"], n_outputs=n_outputs)
    y = dist.rvs(4, random_state=1)
    every = dist.energy_score(y, n_draws=3)
    assert every.shape == (N_ROWS, 4)
    for j in range(4):
        assert_allclose(dist.energy_score(y[:, j], n_draws=3), every[:, j])


# --- quantiles and modes of particular mixtures ---------------------------------------------------


def test_quantiles_of_normals_of_all_scales_invert_cdf():
    """Narrow components beside wide ones, with weights of all sizes."""
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.full(5, 0.05), size=2000)
    means = rng.normal(size=(2000, 5)) * 10.0 ** rng.uniform(-6, 6, size=(2000, 5))
    dist = normal_mixture(weights, means, 10.0 ** rng.uniform(-5, 5, size=(2000, 5)))
    assert_quantiles_invert_cdf(dist)


def test_quantiles_of_uniform_distributions_invert_cdf_next_to_their_ends():
    """A probability of 1e-100 is reached by the first number beyond the lower end."""
    rng = np.random.default_rng(0)
    low = rng.uniform(-3.0, 3.0, size=(1, 1, 200))
    part = UniformComponents(np.ones((1, 200)), low, low + rng.uniform(0.5, 5.0, size=low.shape))
    assert_quantiles_invert_cdf(PredictiveDistribution([part], np.ones((1, 200))))


@pytest.mark.parametrize(("center", "distance"), [(7.0, 0.0), (-2000.0, 1.0), (3e5, 1000.0)])
def test_median_of_a_symmetric_mixture_is_its_center(center, distance):
    """Also where the distribution function is flat: half of the probability is on either side."""
    means = center + distance * np.array([[-1.0, 1.0], [-1.0, 1.0]])
    dist = normal_mixture(np.full((2, 2), 0.5), means, [[1.0, 1.0], [0.1, 0.1]])
    assert_allclose(dist.median, center, rtol=1e-11)


def test_a_quantile_at_an_atom_is_exactly_the_atom():
    dist = mixture(("zero", "gamma"), n_rows=15)
    share = dist.pmf(0.0)
    found = dist.ppf(0.4)
    assert_array_equal(found == 0.0, share >= 0.4)
    assert (share >= 0.4).any()
    assert (found > 0.0).any()
    point = mixture(("student_t", "point_mass", "normal"), n_rows=8)
    value = components("point_mass", seed=1, n_rows=8).value.ravel()
    middle = 0.5 * (point.cdf(value) + point.cdf_left(value))
    at = np.array([one.ppf(q)[0] for one, q in zip(point, middle, strict=True)])
    assert_array_equal(at, value)


def test_a_probability_that_a_lower_atom_has_exactly_is_reached_there():
    """Whatever the order of the components."""
    three, one = (np.full((1, 1, 1), value) for value in (3.0, 1.0))
    for order in (1, -1):
        parts = [PointMassComponents(np.ones((1, 1)), value) for value in (three, one)][::order]
        for share in (0.25, 0.5, 0.75):
            dist = PredictiveDistribution(parts, np.array([[1.0 - share], [share]])[::order])
            assert_array_equal(dist.ppf(share), 1.0)
            assert_array_equal(dist.ppf(share + 1e-9), 3.0)


def test_quantiles_of_ordered_values_at_their_cumulative_probabilities():
    """Multiples of 1/8 have no round-off, so that a level is reached exactly."""
    eighths = np.array([[1, 3, 0, 4], [2, 2, 2, 2], [0, 4, 4, 0], [3, 1, 4, 0]]) / 8.0
    part = OrdinalComponents(np.ones((1, 4)), LEVELS, eighths.T[None, None])
    family, parameters = part.block()
    dist = PredictiveDistribution([part], np.ones((1, 4)))
    up_to = np.cumsum(eighths, axis=1)
    for q in np.arange(1, 8) / 8.0:
        wanted = LEVELS[np.argmax(up_to >= q, axis=1)]
        assert_array_equal(dist.ppf(q), wanted)
        assert_array_equal(family.quantile(q, *parameters).ravel(), wanted)
        # The smallest value that is exceeded with at most this probability.
        wanted = LEVELS[np.argmax(1.0 - up_to <= q, axis=1)]
        assert_array_equal(family.upper_quantile(q, *parameters).ravel(), wanted)


@pytest.mark.parametrize(("shape", "expected"), [(0.5, np.inf), (1.0, 0.5), (2.0, 0.0)])
def test_density_of_a_gamma_at_zero_is_its_limit(shape, expected):
    part = EXAMPLES["gamma"].kind(
        np.ones((1, 1)), np.full((1, 1, 1), 2.0), np.full((1, 1, 1), shape)
    )
    assert_array_equal(PredictiveDistribution([part], np.ones((1, 1))).pdf([0.0]), [expected])
    # Without weight it changes nothing.
    normal = components("normal", n_rows=1)
    alone = PredictiveDistribution([normal], [[1.0]])
    both = PredictiveDistribution([part, normal], [[0.0], [1.0]])
    for method in ("pdf", "joint_logpdf", "hazard"):
        assert_array_equal(getattr(both, method)([0.0]), getattr(alone, method)([0.0]))
        assert_array_equal(getattr(both, method)([np.nan]), np.nan)


# --- refusals -------------------------------------------------------------------------------------

PART, TWO_OUTPUTS = components("gamma"), components("gamma", n_outputs=2)
FLAT = PART._replace(weight=PART.weight[0])
GATE, HALVES, ONE = np.ones((1, N_ROWS)), np.full((2, N_ROWS), 0.5), np.ones((2, 1))
EACH_CLASS, TWO = [mixture(names) for names in CLASSES.values()], mixture(("gamma",), 1, 2)


# What is called with which arguments, and words of the message: the parameter first.
REFUSALS = [
    (PredictiveDistribution, ([], GATE[:0]), "gate_prob", "shape", "for 0"),
    (PredictiveDistribution, ([PART], GATE[0]), "gate_prob", "shape"),
    (PredictiveDistribution, ([PART], HALVES), "gate_prob", "shape", "for 1"),
    (PredictiveDistribution, ([PART, FLAT], HALVES), "gate_prob", "n_components, n_samples"),
    (PredictiveDistribution, ([components("normal", n_rows=4), PART], HALVES), "gate_prob", "(4,)"),
    (PredictiveDistribution, ([PART], 0.5 * GATE), "weights", "sum to one"),
    (PredictiveDistribution, ([PART, TWO_OUTPUTS], HALVES, False), "components", "same number"),
    (PredictiveDistribution, ([TWO_OUTPUTS], GATE), "components", "one if single_output", "[2]"),
    (normal_mixture, ([[1.5, -0.5]], [[1, 1]], [[1, 1]]), "weights", "not be negative"),
    (normal_mixture, ([[np.nan, 1.0]], [[1, 1]], [[1, 1]]), "weights", "sum to one"),
    *(
        (getattr(dist, method), (value,), *words, value)
        for dist in EACH_CLASS
        for method, values, *words in (
            ("interval", (0.0, 1.0, 90, "wide", -0.1), "coverage", "(0, 1)", "0.9"),
            ("ppf", (0.0, 1.0, [0.5, 1.5], [[0.5]], [], "half"), "q ", "(0, 1)"),
            ("rvs", (0, 1.5, "many"), "size", "at least 1"),
        )
        for value in values
    ),
    *(
        (TWO.energy_score, (TWO.mean, value), "n_draws", "at least 1", value, "200")
        for value in (0, -1, 1.5, True, "many")
    ),
    (TWO.energy_score, (TWO.mean.T,), "y must", (2, N_ROWS), f"shape ({N_ROWS}, 2)"),
    (TWO.energy_score, (TWO.mean[1:],), "y must", (N_ROWS - 1, 2), f"shape ({N_ROWS}, 2)"),
    (TWO.joint_logpdf, (TWO.mean.T,), "y must", (2, N_ROWS), f"shape ({N_ROWS}, 2)"),
    *(
        (getattr(dist, method), (value,), "y must hold numbers", *words)
        for dist in (EACH_CLASS[0], TWO)
        for method in ("logpdf", "cdf", "sf", "crps", "joint_logpdf", "energy_score")
        for value, *words in (
            (right_censored([1.0, 2.0, 3.0], [1, 0, 1]), "(2., inf)", "censored_crps"),
            ({"a": [1.0] * N_ROWS}, "{'a': [1.0", "columns of an array"),
            ("high", "'high'", "score_samples"),
            (None, "None", "score_samples"),
        )
    ),
    (EACH_CLASS[0].rvs, (2, "x"), "random_state", "integer", "x", "random_state=0"),
]


@pytest.mark.parametrize(
    ("call", "arguments", "name", "words"), [(*r[:3], r[3:]) for r in REFUSALS]
)
def test_arguments_out_of_range_are_refused(call, arguments, name, words):
    assert_refused(refusal(call, *arguments), name, *words)
