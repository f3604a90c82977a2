"""What all distributions share: limits, shapes, blocks of rows, exact quantiles, and components."""

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from test_distribution_families import (
    COUNTS,
    EVERYTHING,
    FAMILIES,
    LEVELS,
    MIXTURES,
    N_ROWS,
    components,
    mixture,
)

from skmoe.distributions import (
    CountMixtureDistribution,
    GeneralMixtureDistribution,
    MixtureDistribution,
    OrdinalComponents,
    _count_sums,
    _counts,
    _diversity,
    _poisson,
    concatenate_components,
    predictive_distribution,
)
from skmoe.distributions._base import RowMixtures
from skmoe.distributions._count_families import CountFamily

PROBABILITIES = ("pdf", "logpdf", "cdf", "cdf_left", "sf", "logcdf", "logsf")
MOMENTS = ("mean", "var", "std", "median", "mode")

# Names of components whose mixture has a class of its own, and others.
SPECIAL = [("normal", "normal"), ("poisson", "zero"), ("negative_binomial", "poisson")]
ALL_KINDS = [*EVERYTHING, *SPECIAL]


def parts_of(names, n_components=1, n_outputs=1, n_rows=N_ROWS):
    parts = [
        components(name, n_components, n_outputs, seed, n_rows) for seed, name in enumerate(names)
    ]
    rng = np.random.default_rng(len(names))
    return parts, rng.dirichlet(np.ones(len(names)), size=n_rows).T


def distribution(names, n_components=1, n_outputs=1, n_rows=N_ROWS):
    """The distribution of a mixture of experts, of the class that their components choose."""
    parts, gate = parts_of(names, n_components, n_outputs, n_rows)
    return predictive_distribution(parts, gate, n_outputs == 1)


# --- limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", ALL_KINDS)
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_probabilities_at_infinity_and_of_what_is_no_number(names, n_outputs):
    dist = distribution(names, n_outputs=n_outputs)
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


@pytest.mark.parametrize("names", ALL_KINDS)
def test_no_probability_exceeds_one_where_weights_do(names):
    """Weights may sum to one and a little more."""
    parts, gate = parts_of(names)
    dist = predictive_distribution(parts, gate * (1.0 + 1e-9), True)
    assert (dist.weights.sum(axis=1) > 1.0).all()
    low, high = dist.ppf([1e-6, 1.0 - 1e-6]).T
    low, high = low - 1e3, high + 1e3
    assert_array_equal(np.maximum(dist.cdf(high), dist.cdf_left(high)) <= 1.0, True)
    assert (dist.sf(low) <= 1.0).all()
    assert (dist.logcdf(high) <= 0.0).all()
    assert (dist.logsf(low) <= 0.0).all()
    # Draws take the weights as shares of their sum.
    assert np.isfinite(dist.rvs(50, random_state=0)).all()


# --- shapes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", ALL_KINDS)
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_answers_are_those_of_each_value_by_itself(names, n_outputs):
    dist = distribution(names, n_outputs=n_outputs, n_rows=3)
    last = () if n_outputs == 1 else (2,)
    values = np.random.default_rng(0).choice([-1.5, 0.0, 0.7, 1.0, 2.5, 6.0], size=(3, 4, *last))
    for method in (*PROBABILITIES, "crps"):
        ask = getattr(dist, method)
        every = ask(values)
        assert every.shape == values.shape
        for j in range(4):
            assert_array_equal(ask(values[:, j]), every[:, j])
        serving_all = ask(values[:1])
        assert serving_all.shape == values.shape
        assert_array_equal(serving_all[0], every[0])
        assert_array_equal(serving_all, ask(np.repeat(values[:1], 3, axis=0)))
        assert_array_equal(ask(0.7), ask(np.full((3, *last), 0.7)))
        for wrong in ((2, *last), (2, 4, *last), (3, 4, 1, *last), *([(3, 3)] if last else [])):
            with pytest.raises(ValueError, match="y must be a number or have shape"):
                ask(np.ones(wrong))
    one, several = dist.ppf(0.3), dist.ppf([0.3, 0.9, 0.5])
    assert one.shape == (3, *last)
    assert several.shape == (3, 3, *last)
    assert_array_equal(several[:, 0], one)
    assert_array_equal(several[:, 2], dist.median)
    assert_array_equal(dist.interval(0.6), dist.ppf([0.5 - 0.3, 0.5 + 0.3]))
    assert dist.ppf([0.3]).shape == (3, 1, *last)


# --- draws ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", MIXTURES)
def test_draws_of_several_components_of_each_family_follow_the_distribution(names):
    dist = distribution(names, n_components=2, n_outputs=2)
    draws = dist.rvs(1500, random_state=0)
    assert draws.shape == (N_ROWS, 1500, 2)
    uniform = np.random.default_rng(0).uniform(size=draws.shape)
    low, high = dist.cdf_left(draws), dist.cdf(draws)
    pit = low + uniform * (high - low)
    for row in range(N_ROWS):
        for output in range(2):
            assert stats.kstest(pit[row, :, output], "uniform").pvalue > 1e-4


@pytest.mark.parametrize("absent", [0, 1, 2])
def test_absent_components_are_never_drawn(absent):
    weights = np.full((1, 3), 0.5)
    weights[0, absent] = 0.0
    dist = MixtureDistribution(weights, [[0.0, 100.0, 200.0]], np.ones((1, 3)))
    found = set(np.round(dist.rvs(200, random_state=0).ravel(), -2) / 100.0)
    assert found == {0, 1, 2} - {absent}


# --- blocks of rows -------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [*SPECIAL, *(m for m in MIXTURES if set(m) & set(COUNTS))])
def test_results_do_not_depend_on_how_many_rows_are_done_at_once(names, monkeypatch):
    parts, gate = parts_of(names, n_components=2, n_rows=4)
    # Some counts are so large that their sums have another form.
    parts = [
        part._replace(mean=part.mean * np.where(np.arange(4) % 3 == 0, 20.0, 1.0))
        if name in COUNTS
        else part
        for name, part in zip(names, parts, strict=True)
    ]
    dist = predictive_distribution(parts, gate, True)
    y = dist.rvs(random_state=0)
    whole, mode = dist.crps(y), dist.mode
    for module, name in (
        (_count_sums, "SUM_SIZE"),
        (_diversity, "SIZE"),
        (_counts, "MODE_ROWS"),
        (_poisson, "SUM_ROWS"),
    ):
        monkeypatch.setattr(module, name, 1)
    assert_allclose(dist.crps(y), whole, rtol=1e-9)
    assert_array_equal(dist.mode, mode)
    by_row = [dist[i].crps(y[[i]])[0] for i in range(4)]
    assert_allclose(by_row, whole, rtol=1e-8)


@pytest.mark.parametrize("scale", [1.0, 1e3])
@pytest.mark.parametrize(
    "names", [("poisson", "poisson"), ("negative_binomial", "poisson"), ("zero", "poisson")]
)
def test_scores_of_counts_are_the_same_by_two_ways(names, scale):
    """By sums over counts, and by integrals of the variance of the distribution functions."""
    parts, gate = parts_of(names)
    parts = [
        part._replace(mean=scale * part.mean) if name != "zero" else part
        for name, part in zip(names, parts, strict=True)
    ]
    special = predictive_distribution(parts, gate, True)
    assert type(special) is CountMixtureDistribution
    general = GeneralMixtureDistribution(parts, gate, True)
    for y in (special.rvs(random_state=0), special.ppf(0.999), np.zeros(N_ROWS)):
        assert_allclose(special.crps(y), general.crps(y), rtol=1e-6)


# --- quantiles ------------------------------------------------------------------------------------


def test_quantiles_of_ordered_values_at_their_cumulative_probabilities():
    """Multiples of 1/8 have no round-off, so that a level is reached exactly."""
    eighths = np.array([[1, 3, 0, 4], [2, 2, 2, 2], [0, 4, 4, 0], [3, 1, 4, 0]]) / 8.0
    part = OrdinalComponents(np.ones((1, 4)), LEVELS, eighths.T[None, None])
    family, parameters = part.block()
    dist = GeneralMixtureDistribution([part], np.ones((1, 4)))
    for q in np.arange(1, 8) / 8.0:
        up_to = np.cumsum(eighths, axis=1)
        wanted = LEVELS[np.argmax(up_to >= q, axis=1)]
        assert_array_equal(dist.ppf(q), wanted)
        assert_array_equal(family.quantile(q, *parameters).ravel(), wanted)
        # The smallest value that is exceeded with at most this probability.
        above = 1.0 - up_to
        wanted = LEVELS[np.argmax(above <= q, axis=1)]
        assert_array_equal(family.upper_quantile(q, *parameters).ravel(), wanted)
        assert_array_equal(dist.ppf(1.0 - q), wanted)


@pytest.mark.parametrize("name", FAMILIES)
def test_quantiles_of_components_are_near_those_of_their_distribution(name):
    """Searches begin at them."""
    family, parameters = components(name).block()
    dist = mixture((name,))
    for q in (1e-6, 0.02, 0.3, 0.5):
        for found, exact in (
            (family.quantile(q, *parameters), dist.ppf(q)),
            (family.upper_quantile(q, *parameters), dist.ppf(1.0 - q)),
        ):
            # Those of counts are of gamma distributions of the same moments.
            slack = 0.3 * dist.std + 1.5 + 0.25 * np.abs(exact) if family.counts else 1e-6
            assert (np.abs(found.ravel() - exact) <= slack * (1.0 + np.abs(exact))).all()


@pytest.mark.parametrize("name", FAMILIES)
def test_components_have_the_moments_and_scores_of_one_component(name):
    part = components(name, n_components=2, n_outputs=2)
    family, parameters = part.block()
    assert isinstance(family, CountFamily) == (name in COUNTS) == family.counts
    for output in range(2):
        for k in range(2):
            alone = type(part)(
                np.ones((1, N_ROWS)),
                *(
                    v if field == "values" else v[[k]][:, [output]]
                    for field, v in zip(part._fields[1:], part[1:], strict=True)
                ),
            )
            dist = predictive_distribution([alone], np.ones((1, N_ROWS)), True)
            of_one = [values[:, k, output] for values in parameters]
            y = dist.rvs(random_state=1)
            assert_allclose(dist.mean, family.mean(*of_one), rtol=1e-12)
            assert_allclose(dist.var, family.variance(*of_one), rtol=1e-9)
            assert_allclose(dist.crps(y), family.crps(y, *of_one), rtol=1e-8)
            assert_allclose(dist.logpdf(y), family.log_pdf(y, *of_one), rtol=1e-12)
            assert_allclose(dist.logpdf(dist.mode), family.log_pdf(family.mode(*of_one), *of_one))


# --- components -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "zero"])
def test_rows_that_are_left_out_have_the_documented_parameters(name):
    part = components(name, n_components=2, n_outputs=2)
    whole = part.expand(np.array([6, 0, 3, 4, 2]), 7)
    [sentence] = re.findall(r"The other rows have ([^.]*)\.", " ".join(part.expand.__doc__.split()))
    given = [float(number) for number in re.findall(r"\d+", sentence)]
    if name == "ordinal":
        given.append(1.0 / len(LEVELS))
    filled = [field for field in part._fields if field != "values"]
    assert len(given) == len(filled)
    for field, value in zip(filled, given, strict=True):
        assert_array_equal(getattr(whole, field)[..., [1, 5]], value)


@pytest.mark.parametrize("names", ALL_KINDS)
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_a_distribution_is_that_of_its_only_expert(names, n_outputs):
    """Also joined from blocks of rows, moved to other rows, and rescaled there and back."""
    dist = distribution(names, n_components=2, n_outputs=n_outputs)
    general = GeneralMixtureDistribution(*parts_of(names, 2, n_outputs), n_outputs == 1)
    every = np.ones((1, N_ROWS))
    for original in (dist, general):
        whole = original.as_components()
        blocks = [original[:2].as_components(), original[2:].as_components()]
        moved = whole.expand(np.array([7, 1, 4, 0, 3]), 8)
        center, scale = np.array([2.0, -1.0])[:n_outputs], np.array([0.5, 4.0])[:n_outputs]
        back = whole.rescale(center, scale).rescale(-center / scale, 1.0 / scale)
        back = back.shift(3.0).shift(-3.0)
        y = original.rvs(random_state=0)
        for part in (whole, concatenate_components(blocks), back):
            again = predictive_distribution([part], every, n_outputs == 1)
            exact = 0.0 if part is not back else 1e-6
            assert_allclose(again.cdf(y + 0.25), original.cdf(y + 0.25), rtol=1e-9 + exact)
            assert_allclose(again.mean, original.mean, rtol=1e-9, atol=exact)
            assert_allclose(again.weights, original.weights, rtol=1e-12)
        gate = np.zeros((2, 8))
        gate[0, [7, 1, 4, 0, 3]] = 1.0
        gate[1] = 1.0 - gate[0]
        other = distribution(names, n_components=2, n_outputs=n_outputs, n_rows=8)
        both = predictive_distribution([moved, other.as_components()], gate, n_outputs == 1)
        assert_allclose(both[[7, 1, 4, 0, 3]].cdf(y), original.cdf(y), rtol=1e-9)
        assert_allclose(both.mean[[2, 5, 6]], other.mean[[2, 5, 6]], rtol=1e-9)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_components_without_moments_that_are_absent_have_no_effect(name, n_outputs):
    part = components(name, n_outputs=n_outputs, n_rows=2)
    without = components("student_t", n_outputs=n_outputs, n_rows=2)
    without = without._replace(df=np.full(without.df.shape, 0.8))
    gate = np.stack([np.ones(2), np.zeros(2)])
    alone = GeneralMixtureDistribution([part], gate[:1], n_outputs == 1)
    both = GeneralMixtureDistribution([part, without], gate, n_outputs == 1)
    for moment in MOMENTS:
        assert_allclose(getattr(both, moment), getattr(alone, moment), rtol=1e-8, atol=1e-10)


# --- refusals -------------------------------------------------------------------------------------


def test_components_that_do_not_agree_are_refused():
    part, gate = components("gamma"), np.ones((1, N_ROWS))
    two_outputs = components("gamma", n_outputs=2)
    for parts, prob in (([], np.ones((0, N_ROWS))), ([part], gate[0]), ([part], gate[None])):
        with pytest.raises(ValueError, match="gate_prob must have shape"):
            GeneralMixtureDistribution(parts, prob)
    with pytest.raises(ValueError, match="weights of components must have shape"):
        GeneralMixtureDistribution([part._replace(weight=part.weight[0])], gate)
    halves = np.full((2, N_ROWS), 0.5)
    for parts, single in (([part, two_outputs], False), ([two_outputs, part], True)):
        with pytest.raises(ValueError, match="the same number of outputs"):
            GeneralMixtureDistribution(parts, halves, single)
    assert GeneralMixtureDistribution([part], gate, False).mean.shape == (N_ROWS, 1)


@pytest.mark.parametrize("make", [CountMixtureDistribution, MixtureDistribution])
def test_arrays_that_do_not_agree_are_refused(make):
    def built(weights, means):
        stds = [means] if make is MixtureDistribution else []
        return make(weights, means, *stds)

    one = np.ones((2, 1))
    assert isinstance(built(one, np.ones((2, 1, 3))), RowMixtures)
    for weights, means in (
        (np.ones(2), one),
        (one[..., None], np.ones((2, 1, 1))),
        (one, np.ones((2, 2))),
        (one, np.ones((3, 1))),
        (one, np.ones((2, 1, 1, 1))),
    ):
        with pytest.raises(ValueError, match="weights must have shape"):
            built(weights, means)
    for weights in ([[1.5, -0.5]], [[0.6, 0.5]], [[0.4, 0.5]], [[np.nan, 1.0]]):
        with pytest.raises(ValueError, match="weights must not be negative"):
            built(weights, np.ones((1, 2)))
    if make is MixtureDistribution:
        for stds in ([[0.0]], [[-1.0]], [[np.nan]], [[1.0, 1.0]], [1.0]):
            with pytest.raises(ValueError, match="stds must be positive"):
                make([[1.0]], [[0.0]], stds)


# --- counts in both tails -------------------------------------------------------------------------


@pytest.mark.parametrize("dispersion", [None, 0.0, 1e-300, 1e-12, 1e-6, 1e-3, 0.05, 1.0, 3.0])
def test_log_tails_of_counts_grow_by_the_probability_of_each_count(dispersion):
    """Also where all probabilities are too small for a number."""
    means = np.array([0.03, 3.0, 80.0, 3e3, 1e5])
    parts = () if dispersion is None else (np.full((5, 1), dispersion),)
    dist = CountMixtureDistribution(np.ones((5, 1)), means[:, None], *parts)
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
    if dispersion is None or dispersion <= 1e-6:
        assert (dist.logsf(counts).min(axis=1)[2:] < -1e3).all()


@pytest.mark.parametrize("name", [name for name in FAMILIES if FAMILIES[name][2]])
def test_log_probabilities_and_probabilities_agree(name):
    dist = distribution((name,), n_components=3, n_rows=20)
    y = dist.ppf([1e-9, 1e-3, 0.2, 0.5, 0.8, 0.999, 1.0 - 1e-9])
    for log_of, plain in (("logpdf", "pdf"), ("logcdf", "cdf"), ("logsf", "sf")):
        assert_allclose(np.exp(getattr(dist, log_of)(y)), getattr(dist, plain)(y), rtol=1e-9)
    assert_allclose(dist.cdf(y) + dist.sf(y), 1.0, rtol=1e-12)
    if name in COUNTS:
        assert_allclose(dist.cdf(y) - dist.cdf_left(y), dist.pmf(y), rtol=1e-6, atol=1e-14)
    else:
        assert_array_equal(dist.cdf_left(y), dist.cdf(y))
        step = 1e-5 * (dist.std[:, None] if np.isfinite(dist.std).all() else 1.0)
        slope = (dist.cdf(y + step) - dist.cdf(y - step)) / (2.0 * step)
        if name != "uniform":  # whose density jumps
            assert_allclose(dist.pdf(y)[:, 2:-1], slope[:, 2:-1], rtol=1e-5)
