"""Families row by row, at their bounds and outside their support; exact sums over all values."""

import numpy as np
import pytest
from kinds import example
from numpy.testing import assert_allclose, assert_array_equal
from scipy import special, stats

from skmoe._data.scaling import Standardization
from skmoe._numerics.arrowhead import shared_covariances, shared_newton_step
from skmoe._numerics.evidence import (
    DROPPED,
    ridge_slopes,
    slope_penalty,
    without_dropped,
)
from skmoe._numerics.incomplete_beta import log_beta_fraction
from skmoe._numerics.linalg import (
    PIVOT_TOL,
    factorize_ridge,
    rescale_coefficients,
    used_columns,
)
from skmoe._numerics.normal_mixtures import lower_quantile, mean_distance
from skmoe._numerics.offset_design import OffsetDesign
from skmoe._numerics.probability import normalised_top_k
from skmoe.experts import GeneralizedLinearExperts
from skmoe.experts._generalized_linear._densities import (
    INITIAL_SHARE,
    OTHER_INITIAL_SHARE,
    without_outliers,
)
from skmoe.experts._generalized_linear._em_steps import MAX_DISPERSION_STEP
from skmoe.families import FAMILIES, Ordinal, Poisson, StudentT, Uniform
from skmoe.families._normal import log_of_positive
from skmoe.families._ordinal import MAX_VALUES
from skmoe.protocols import SupportsONNX, SupportsReordering

N_ROWS = 30
UNIT = Standardization(np.zeros(1), np.ones(1))

# Values of several numbers and distances, besides those of the examples.
RATINGS = [(0.0, 1.0), (-3.0, 0.5, 4.0), (1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0)]


def instances():
    """Each family, fitted to an example of its target; ratings and options besides."""
    chosen = {name: example(name) for name in FAMILIES} | {"student_t_4": StudentT(df=4)}
    chosen |= {f"ordinal_{len(values)}": Ordinal(values) for values in RATINGS}
    for name, family in chosen.items():
        y = family.example_target(np.random.default_rng(0), N_ROWS)
        yield pytest.param(family.fitted_to(y, np.ones(N_ROWS), UNIT), id=name)


ALL = list(instances())
WITH_PREDICTOR = [case for case in ALL if case.values[0].link]
ORDINAL = [case for case in ALL if case.values[0].name == "ordinal"]


def target(family, rng, n_rows=N_ROWS):
    if family.name == "ordinal":
        return rng.choice(family.values, size=(1, n_rows))
    return family.example_target(rng, n_rows)


def points(family, seed=0, n_rows=N_ROWS):
    """A target (1, n), linear predictors (2, 1, n) and log dispersions (T, 2, 1, 1)."""
    rng = np.random.default_rng(seed)
    y = target(family, rng, n_rows)
    predictor = 0.7 * rng.normal(size=(2, 1, n_rows))
    dispersion = [0.5 * rng.normal(size=(2, 1, 1)) for _ in family.dispersions]
    return y, predictor, dispersion


def row_functions(family):
    """Functions of y, predictors and log dispersions with an entry for each row."""

    def second(y, predictor, theta):
        rows = family.dispersion_derivatives(y, predictor, theta)[1]
        return [np.broadcast_to(entry, predictor.shape) for row in rows for entry in row]

    yield family.log_prob
    yield family.predictor_score
    yield lambda y, *at: family.predictor_information(*at)
    yield lambda y, *at: family.mean(*at)
    yield lambda y, *at: family.mean_derivative(*at)
    yield lambda y, *at: np.array(family.dispersion_derivatives(y, *at)[0])
    yield lambda y, *at: np.array(second(y, *at))
    yield lambda y, *at: np.array(family.cross_derivatives(y, *at) or [])


# --- rows ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ALL)
@pytest.mark.parametrize("largest", [0.0, 100.0])
def test_rows_do_not_depend_on_each_other(family, largest):
    """Also where one value is much larger than the others, or larger than the number of rows."""
    y, predictor, dispersion = points(family)
    if family.is_count and family.link:
        y[0, 3] = max(y[0, 3], largest)
    for function in row_functions(family):
        whole = function(y, predictor, dispersion)
        for rows in (slice(3, 4), slice(0, 3), slice(2, 20), np.array([5, 3, 5])):
            part = function(y[:, rows], predictor[..., rows], dispersion)
            if whole.size:
                expected = whole[..., rows]
                assert_allclose(np.broadcast_to(part, expected.shape), expected, rtol=1e-12)


@pytest.mark.parametrize(
    "family", [case for case in ALL if case.values[0].name not in ("ordinal", "uniform")]
)
@pytest.mark.parametrize("largest", [0.0, 100.0])
def test_outputs_do_not_depend_on_each_other(family, largest):
    at = [points(family, seed) for seed in (0, 1)]
    y, predictor = (np.concatenate([values[i] for values in at], axis=-2) for i in (0, 1))
    if family.is_count and family.link:
        y[1, 3] = max(y[1, 3], largest)
    dispersion = [
        np.concatenate([one, other], axis=-2) for one, other in zip(at[0][2], at[1][2], strict=True)
    ]
    for function in row_functions(family):
        whole = function(y, predictor, dispersion)
        for output in (0, 1):
            own = slice(output, output + 1)
            part = function(y[own], predictor[:, own], [values[:, own] for values in dispersion])
            if whole.size:
                assert_allclose(
                    np.broadcast_to(whole, (*whole.shape[:-2], 2, N_ROWS))[..., own, :],
                    part,
                    rtol=1e-12,
                )


@pytest.mark.parametrize("family", ALL)
def test_densities_are_positive_in_the_support_only(family):
    """Whatever other rows hold."""
    values = np.array([[-np.pi, -1.0, -1e-9, 0.0, 1e-9, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 1e6]])
    predictor = np.zeros((2, *values.shape))
    dispersion = [np.zeros((2, 1, 1)) for _ in family.dispersions]
    with np.errstate(divide="raise", invalid="raise"):
        found = family.log_prob(values, predictor, dispersion)
    assert not np.isnan(found).any()
    possible = np.broadcast_to(family.in_support(values), found.shape)
    assert_array_equal(np.isneginf(found), ~possible)
    assert np.isfinite(found[possible]).all()
    alone = family.log_prob(values[:, possible[0, 0]], predictor[..., possible[0, 0]], dispersion)
    assert_allclose(found[possible], alone.ravel(), rtol=1e-12)


@pytest.mark.parametrize("family", WITH_PREDICTOR)
def test_numbers_at_the_bounds_of_the_parameters_are_finite(family):
    bounds = family.log_dispersion_bounds
    assert len(bounds) == len(family.dispersions) == len(family.initial_log_dispersion)
    for (low, high), start in zip(bounds, family.initial_log_dispersion, strict=True):
        assert low < start < high
    y, predictor, _ = points(family)
    end = min(family.max_predictor, 50.0)
    for theta in ([low for low, _ in bounds], [high for _, high in bounds]):
        dispersion = [np.full((2, 1, 1), value) for value in theta]
        for at in (predictor, np.clip(100.0 * predictor, -end, end)):
            for function in row_functions(family):
                assert np.isfinite(function(y, at, dispersion)).all()


# --- ratings ------------------------------------------------------------------------------------


def of_all_values(family, predictor, dispersion):
    """Probabilities (L, ...) of each value."""
    return np.stack(
        [
            np.exp(family.log_prob(np.full(predictor.shape[-2:], value), predictor, dispersion))
            for value in family.values
        ]
    )


@pytest.mark.parametrize("family", ORDINAL)
def test_ratings_have_the_sums_over_their_values(family):
    _, predictor, dispersion = points(family)
    probability = of_all_values(family, predictor, dispersion)
    assert_allclose(probability.sum(axis=0), 1.0)
    values = np.array(family.values)
    mean = family.mean(predictor, dispersion)
    assert_allclose(mean, np.einsum("l,l...->...", values, probability))
    score = np.stack(
        [
            family.predictor_score(np.full((1, N_ROWS), value), predictor, dispersion)
            for value in values
        ]
    )
    assert_allclose((probability * score).sum(axis=0), 0.0, atol=1e-12)
    information = family.predictor_information(predictor, dispersion)
    assert_allclose((probability * np.square(score)).sum(axis=0), information)
    # The mean changes by the covariance of value and score.
    slope = np.einsum("l,l...->...", values, probability * score)
    assert_allclose(family.mean_derivative(predictor, dispersion), slope)
    components = family.components(predictor[0], [theta[0] for theta in dispersion])
    kind, parameters = components.block()
    logs = kind.log_pdf(np.full((N_ROWS, 1), values[0]), *(part[:, 0] for part in parameters))
    assert_allclose(np.exp(logs[:, 0]), probability[0, 0, 0])


@pytest.mark.parametrize("family", ORDINAL)
def test_derivatives_of_ratings_are_differences(family):
    y, predictor, dispersion = points(family, seed=3)
    at, step = [predictor, *dispersion], 1e-6

    def moved(i, sign):
        return [*at[:i], at[i] + sign * step, *at[i + 1 :]]

    def difference(function, i):
        sides = [function(y, values[0], values[1:]) for values in (moved(i, 1.0), moved(i, -1.0))]
        return (np.array(sides[0]) - np.array(sides[1])) / (2 * step)

    gradient = family.gradient(y, predictor, dispersion)
    for i in range(len(at)):
        assert_allclose(gradient[i], difference(family.log_prob, i), rtol=1e-6, atol=1e-7)
    _, second = family.dispersion_derivatives(y, predictor, dispersion)
    cross = family.cross_derivatives(y, predictor, dispersion)
    assert len(cross) == len(dispersion) == len(family.values) - 2
    for i in range(len(dispersion)):
        slopes = difference(family.gradient, 1 + i)
        assert_allclose(cross[i], slopes[0], rtol=1e-5, atol=1e-6)
        for j in range(len(dispersion)):
            assert_allclose(second[i][j], slopes[1 + j], rtol=1e-5, atol=1e-6)
    weight = np.random.default_rng(0).uniform(size=(2, 1, N_ROWS))
    sums, squares = family.dispersion_sums(y, predictor, dispersion, weight)
    for i in range(len(dispersion)):
        assert_allclose(sums[..., i], (gradient[1 + i] * weight).sum(axis=-1), atol=1e-10)
        for j in range(len(dispersion)):
            expected = (second[i][j] * weight).sum(axis=-1)
            assert_allclose(squares[..., i, j], expected, atol=1e-10)


def test_two_to_thirty_values_of_one_output_are_ratings():
    for n_values in (1, 2, MAX_VALUES, MAX_VALUES + 1):
        y = np.arange(n_values, dtype=float)[None]
        is_possible = 2 <= n_values <= MAX_VALUES
        for family in (Ordinal(), Ordinal(tuple(y[0]))):
            assert (family.obstacle(y) == "") == is_possible
            assert family.obstacle(np.concatenate([y, y])) == "one output"
    assert Ordinal().option_for_parts
    assert not Ordinal((1.0, 2.0)).option_for_parts
    # Given values stay, whatever the rows have.
    y = np.array([[2.0, 1.0, 2.0, 5.0]])
    assert Ordinal().fitted_to(y, np.ones(4), UNIT).values == (1.0, 2.0, 5.0)
    assert Ordinal((0.0, 1.0)).fitted_to(y, np.ones(4), UNIT).values == (0.0, 1.0)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_ratings_without_a_value_begin_with_finite_log_odds(share):
    family = Ordinal((1.0, 2.0))
    start = family.initial_predictor(np.full(9, 1.0 + share), np.ones(9))
    assert np.isfinite(start)
    assert np.sign(start) == (1.0 if share else -1.0)
    assert abs(start) > 10.0


# --- uniform distributions ----------------------------------------------------------------------


def test_a_range_is_that_of_each_output_in_the_units_of_y():
    rng = np.random.default_rng(0)
    scaling = Standardization(np.array([3.0, -1.0]), np.array([2.0, 0.5]))
    y = rng.normal(size=(2, 40))
    in_units = scaling.center[:, None] + scaling.scale[:, None] * y
    given = Uniform(low=(2.0, -1.5), high=(4.0, -0.2)).fitted_to(y, np.ones(40), scaling)
    ends = np.array([[2.0, -1.5], [4.0, -0.2]])[..., None]
    expected = (ends[0] <= in_units) & (in_units <= ends[1])
    assert_array_equal(given.in_support(y), expected)
    found = Uniform().fitted_to(y, np.ones(40), scaling)
    for family in (given, found):
        low, high = np.array(family.low)[:, None], np.array(family.high)[:, None]
        reference = stats.uniform(low, high - low)
        assert_allclose(family.log_prob(y, np.zeros(y.shape), ()), reference.logpdf(y))
        assert_allclose(family.mean(np.zeros(y.shape), ()), reference.mean() * np.ones(y.shape))
        shape = family.log_prob(y, np.zeros((3, *y.shape)), ()).shape
        assert shape == (3, *y.shape)
    assert_allclose(found.low, y.min(axis=1))
    assert_allclose(found.high, y.max(axis=1))
    assert Uniform().option_for_parts
    assert not found.option_for_parts


# --- initial values of lists --------------------------------------------------------------------


def test_logarithms_of_values_that_are_not_positive_are_below_all_others():
    y = np.array([[0.0, -3.0, 4.0, 0.5], [2.0, 8.0, 1.0, 3.0], [0.0, -1.0, 0.0, -2.0]])
    found = log_of_positive(y)
    assert_allclose(found[0], np.log([0.25, 0.25, 4.0, 0.5]))
    assert_allclose(found[1], np.log(y[1]))
    assert np.ptp(found[2]) == 0.0


def list_of_experts():
    """Experts of five families, and values that only some of them can have made."""
    names = ["zero", "poisson", "gamma", "uniform", "normal"]
    families = tuple(FAMILIES[name]() for name in names)
    y = np.array([[0.0, 0.0, 1.0, 2.0, 1.5, 0.2, -1.0, -2.5, 4.0]])
    experts = GeneralizedLinearExperts(families)
    return experts.fitted_to(np.ones((9, 1)), y, np.ones(9), UNIT), y


def possible(experts, y):
    """Which experts (K, n) can have made each row."""
    rows = np.array([family.in_support(y)[0] for family in experts.families])
    continuous = np.array([family.is_continuous for family in experts.families])
    return rows & ~(continuous[:, None] & (y[0] == 0.0))


def test_no_expert_begins_with_rows_that_it_cannot_have_made():
    experts, y = list_of_experts()
    can = possible(experts, y)
    labels = np.random.default_rng(0).dirichlet(np.ones(3), size=9).T
    found = experts.initial_responsibilities(labels, 5, y, None)
    assert_allclose(found.sum(axis=0), 1.0)
    assert_array_equal(found > 1e-6, can)
    # The cells belong to the experts with predictors in turn, beside the shares of the others.
    raw = np.zeros((5, 9))
    raw[[1, 2, 4]] = labels
    raw[0], raw[3] = INITIAL_SHARE["zero"], OTHER_INITIAL_SHARE
    raw *= can
    assert_allclose(found, raw / raw.sum(axis=0), atol=1e-9)
    assert experts.n_cells(5) == 3
    assert_array_equal(experts.in_support(y), can.any(axis=0))
    rng = np.random.default_rng(1)
    orders = {
        tuple(
            experts.initial_responsibilities(
                np.eye(3)[:, [0, 1, 2]], 5, y[:, [2, 3, 8]], rng
            ).argmax(axis=0)
        )
        for _ in range(30)
    }
    assert len(orders) > 1  # with a generator the cells are shuffled


def test_equal_families_take_the_cells_in_their_order():
    """There is nothing to shuffle where all experts with predictors are of one family."""
    rng, y = np.random.default_rng(0), np.array([[1.0, 2.0, 3.0]])
    families = tuple(FAMILIES[name]() for name in ("zero", "poisson", "poisson"))
    experts = GeneralizedLinearExperts(families)
    labels = np.array([[0.9, 0.2, 0.4], [0.1, 0.8, 0.6]])
    for _ in range(5):
        found = experts.initial_responsibilities(labels, 3, y, rng)
        assert_allclose(found[1:], labels, atol=1e-9)
    alone = GeneralizedLinearExperts(families[1:2])
    assert_array_equal(alone.initial_responsibilities(labels, 2, y, rng), labels)
    assert alone.n_cells(2) == 2
    assert GeneralizedLinearExperts(families[:1] * 2 + families[1:]).n_cells(4) == 2
    assert GeneralizedLinearExperts((families[0], Uniform())).n_cells(2) == 1


def test_responsibilities_are_restricted_to_possible_experts():
    experts, y = list_of_experts()
    can = possible(experts, y)
    resp = np.random.default_rng(0).dirichlet(np.ones(5), size=9).T
    resp[:, 7] = [1.0, 0.0, 0.0, 0.0, 0.0]  # of an expert that cannot have made the row
    found = experts.restrict(resp, y)
    assert_allclose(found.sum(axis=0), 1.0)
    assert_array_equal(found[~can], 0.0)
    rows = np.arange(9) != 7
    expected = (resp * can)[:, rows]
    assert_allclose(found[:, rows], expected / expected.sum(axis=0), atol=1e-9)
    # The row is shared by those that can have made it.
    assert_allclose(found[can[:, 7], 7], 1.0 / can[:, 7].sum())


@pytest.mark.parametrize("name", ["poisson", "negative_binomial", "gamma", "lognormal"])
def test_experts_of_rates_begin_with_the_rates(name):
    """What they begin with is that of outputs divided by their exposures."""
    family, rng = example(name), np.random.default_rng(0)
    y, offset = family.example_target(rng, N_ROWS), rng.normal(size=N_ROWS)
    weight = rng.uniform(0.5, 2.0, size=N_ROWS)
    design = np.column_stack([rng.normal(size=N_ROWS), np.ones(N_ROWS)])
    experts = GeneralizedLinearExperts((family,))
    fitted = experts.fitted_to(OffsetDesign(design, offset), y, weight, UNIT)
    rates = y[0] * np.exp(-offset)
    start = family.initial_predictor(rates, weight)
    assert_allclose(fitted.initial_predictor, [[start]])
    logs = family.working_target(rates[None])[0]
    assert_allclose(fitted.target_variance, [[np.cov(logs, ddof=0, aweights=weight)]])
    # Rows that a family cannot have made say nothing about it.
    extended = np.append(y, [[-1.0]], axis=1)
    more = GeneralizedLinearExperts((family, FAMILIES["normal"]())).fitted_to(
        np.ones((N_ROWS + 1, 1)), extended, np.append(weight, 5.0), UNIT
    )
    one = experts.fitted_to(design, y, weight, UNIT)
    assert_allclose(more.initial_predictor[0], one.initial_predictor[0])
    assert_allclose(more.target_variance[0], one.target_variance[0])


@pytest.mark.parametrize("n_rows", [9, 10])
def test_outliers_are_values_far_from_the_median_of_their_output(n_rows):
    y = np.random.default_rng(0).normal(size=(3, n_rows))
    y[1, 4] = 1e6
    found = without_outliers(y)
    for one, own in zip(y, found, strict=True):
        deviation = 4.0 * stats.median_abs_deviation(one, scale="normal")
        expected = np.clip(one, np.median(one) - deviation, np.median(one) + deviation)
        assert_allclose(own, expected, rtol=1e-4)


# --- functions below ----------------------------------------------------------------------------


def test_tails_of_the_incomplete_beta_function_are_those_of_scipy():
    rng = np.random.default_rng(0)
    a, b = np.exp(rng.uniform(-2.0, 6.0, size=(2, 400)))
    x = rng.uniform(0.02, 0.98, size=400) * a / (a + b)
    found = log_beta_fraction(a, b, x, a - (a + b) * x)
    tail = special.betainc(a, b, x)
    is_exact = tail > 1e-290  # smaller ones have lost digits
    assert is_exact.mean() > 0.8
    a, b, x = a[is_exact], b[is_exact], x[is_exact]
    expected = np.log(tail[is_exact]) + special.betaln(a, b) - a * np.log(x) - b * np.log1p(-x)
    assert_allclose(found[is_exact], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shared", [[0], [1, 2], [2, 0]])
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_steps_and_covariances_with_shared_slopes_are_those_of_the_joint_system(shared, n_outputs):
    """The quadratic of all experts, in whose coordinates each shared slope occurs once."""
    rng, n_experts, n_columns = np.random.default_rng(0), 3, 4
    roots = rng.normal(size=(n_experts * n_outputs, n_columns, 9))
    grams, ridge = roots @ roots.transpose(0, 2, 1), np.array([0.7, 0.7, 0.7, 0.0])
    gradient = rng.normal(size=(n_experts, n_outputs, n_columns))
    precision = rng.uniform(0.5, 3.0, size=(n_experts, n_outputs))
    system = factorize_ridge(grams, ridge)
    found = shared_newton_step(system, gradient, precision, shared)
    found = found.reshape(n_experts, n_outputs, n_columns)
    covariances = shared_covariances(system, precision, shared)
    own = [j for j in range(n_columns) if j not in shared]
    for output in range(n_outputs):
        size = len(shared) + n_experts * len(own)
        total, right = np.zeros((size, size)), np.zeros(size)
        places = []
        for k in range(n_experts):
            place = np.empty(n_columns, dtype=int)
            place[shared] = np.arange(len(shared))
            place[own] = len(shared) + k * len(own) + np.arange(len(own))
            places.append(place)
            matrix = grams.reshape(n_experts, n_outputs, n_columns, -1)[k, output]
            total[np.ix_(place, place)] += precision[k, output] * (matrix + np.diag(ridge))
            right[place] += precision[k, output] * gradient[k, output]
        solved, inverse = np.linalg.solve(total, right), np.linalg.inv(total)
        for k, place in enumerate(places):
            assert_allclose(found[k, output], solved[place], rtol=1e-8, atol=1e-10)
            expected = precision[k, output] * inverse[np.ix_(place, place)]
            assert_allclose(covariances[k, output], expected, rtol=1e-8, atol=1e-10)


# --- steps of experts ---------------------------------------------------------------------------

LIMITED = [name for name, family in FAMILIES.items() if np.isfinite(family.max_step)]


def far_from_the_optimum(name, n_rows=40, **options):
    """Experts of one family, their target, and parameters from which whole steps are too long."""
    family, rng = example(name), np.random.default_rng(0)
    design = np.column_stack([rng.normal(size=(n_rows, 2)), np.ones(n_rows)])
    y, weight = target(family, rng, n_rows), rng.dirichlet(np.ones(3), size=n_rows).T
    experts = GeneralizedLinearExperts((family,), alpha=0.3, **options)
    experts = experts.fitted_to(design, y, np.ones(n_rows), UNIT)
    params = experts.init_params(3, 3)
    coef = params.coef + np.array([0.0, 1.0, -3.0])[:, None, None] * [0.0, 0.0, 1.0]
    return experts, design, y, weight, params._replace(coef=coef)


def whole_step(experts, design, y, weight, params):
    factor = experts.factorize(experts.hessian(params, design, y, weight))
    return experts.m_step(experts.statistics(params, design, y, weight), factor, params, 1.0)


@pytest.mark.parametrize("name", LIMITED)
@pytest.mark.parametrize("is_shared", [False, True])
def test_linear_predictors_change_by_the_largest_step_at_most(name, is_shared):
    """In the root mean square over the rows of an expert, by the information that they have."""
    options = {"shared_columns": (0,)} if is_shared else {}
    experts, design, y, weight, params = far_from_the_optimum(name, **options)
    family = experts.families[0]
    change = whole_step(experts, design, y, weight, params).coef - params.coef
    theta = np.moveaxis(params.log_dispersion, -1, 0)[..., None]
    information = family.predictor_information(params.coef @ design.T, theta)[:, 0] * weight
    moved = (change @ design.T)[:, 0]
    length = np.sqrt((information * moved**2).sum(axis=1) / information.sum(axis=1))
    assert_allclose(length.max(), family.max_step)
    assert (length > 0.0).all()
    if is_shared:
        assert np.ptp(change[..., 0]) < 1e-12


@pytest.mark.parametrize("name", [name for name in FAMILIES if example(name).dispersions])
def test_log_dispersions_change_by_the_largest_step_at_most(name):
    experts, design, y, weight, params = far_from_the_optimum(name, dispersion_prior=0.0)
    bounds = np.array(experts.families[0].log_dispersion_bounds)
    low, high = experts._log_dispersion_bounds(3)
    for start in (0.05, 0.5, 0.95):
        at = low + start * (high - low)
        at = params._replace(log_dispersion=at, coef=experts.init_params(3, 3).coef)
        change = whole_step(experts, design, y, weight, at).log_dispersion - at.log_dispersion
        longest = np.abs(change).max()
        assert longest <= MAX_DISPERSION_STEP * (1.0 + 1e-12)
        assert longest > 0.0
    assert len(bounds) == change.shape[-1]


# --- functions below, once more -----------------------------------------------------------------


def test_dropped_features_have_no_slopes_and_are_not_counted():
    coef = np.arange(24.0).reshape(2, 3, 4) + 1.0
    alpha = (1.0, DROPPED, 2.0)
    found = without_dropped(coef, alpha)
    assert_array_equal(found[..., 1], 0.0)
    assert_array_equal(found[..., [0, 2, 3]], coef[..., [0, 2, 3]])
    assert_array_equal(used_columns(found), [True, False, True, True])
    below = (1.0, np.nextafter(DROPPED, 0.0), 2.0)
    for kept in (below, 1.0, DROPPED, ()):
        columns = coef[..., -1:] if kept == () else coef
        assert_array_equal(without_dropped(columns, kept), columns)
        assert used_columns(columns).all()
    # One vector with a slope is enough, and the intercept counts if it is zero.
    found[0], found[1, 1, 3] = 0.0, 0.0
    assert_array_equal(used_columns(found), [True, False, True, True])
    found[1, :, 3] = 0.0
    assert_array_equal(used_columns(found), [True, False, True, True])
    assert_array_equal(used_columns(np.zeros((2, 1))), [True])
    assert_allclose(slope_penalty(2.0, coef), np.square(coef[..., :-1]).sum())
    squares = np.square(coef[..., :-1]).sum(axis=(0, 1))
    assert_allclose(slope_penalty((1.0, 2.0, 3.0), coef), 0.5 * squares @ [1.0, 2.0, 3.0])


@pytest.mark.parametrize("rank", [2, 3, 4])
def test_posterior_variances_exist_where_columns_are_zero(rank):
    """Those of the other columns are the inverse; those of zero columns are large."""
    rng = np.random.default_rng(0)
    root, coef = rng.normal(size=(rank, 9)), rng.normal(size=(1, 1, 4))
    hessian = np.zeros((4, 4))
    hessian[4 - rank :, 4 - rank :] = root @ root.T
    slopes = ridge_slopes(hessian[None], np.zeros(4), coef, 3.0 * coef)
    assert_array_equal(slopes.values, coef[0, :, :-1])
    assert_array_equal(slopes.gradient, 3.0 * coef[0, :, :-1])
    assert slopes.weight == 1.0
    found, zero = slopes.covariances[0], np.arange(3) < 4 - rank
    expected = np.linalg.inv(root @ root.T)[:-1, :-1]
    assert_allclose(found[np.ix_(~zero, ~zero)], expected, rtol=1e-8)
    largest = np.linalg.eigvalsh(root @ root.T)[-1]
    assert_allclose(np.diag(found)[zero], 1.0 / (PIVOT_TOL**2 * largest))
    assert_allclose(found[np.ix_(zero, ~zero)], 0.0, atol=1e-6)


def test_posterior_variances_without_information_are_finite():
    coef = np.random.default_rng(0).normal(size=(1, 1, 4))
    nothing = ridge_slopes(np.zeros((1, 4, 4)), np.zeros(4), coef, coef)
    assert np.isfinite(nothing.covariances).all()
    assert (np.diagonal(nothing.covariances, axis1=1, axis2=2) > 1e100).all()


@pytest.mark.parametrize("q", [1e-9, 0.05, 0.5])
@pytest.mark.parametrize("unit", [1e-8, 1.0, 1e8])
def test_lower_quantiles_are_reached_with_their_probability(q, unit):
    """Components of weight zero may be anywhere."""
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(4), size=200).T
    weights[0, ::2] = 0.0
    weights /= weights.sum(axis=0)
    means, stds = rng.normal(scale=5.0, size=(4, 200)), np.exp(rng.uniform(-3, 2, size=(4, 200)))
    means[0, ::2] = rng.choice([-1e6, 1e6], size=100)
    found = lower_quantile(weights, unit * means, unit * stds, q) / unit
    probability = (weights * stats.norm.cdf(found, means, stds)).sum(axis=0)
    assert_allclose(probability, q, rtol=1e-7)


def test_mean_distances_are_those_of_folded_normals():
    rng = np.random.default_rng(0)
    shift, std = rng.normal(scale=3.0, size=50), rng.uniform(0.2, 4.0, size=50)
    expected = stats.foldnorm(np.abs(shift) / std, scale=std).mean()
    assert_allclose(mean_distance(shift, std), expected)
    assert_allclose(mean_distance(0.0, std), std * np.sqrt(2.0 / np.pi))


@pytest.mark.parametrize("top_k", [None, 1, 3, 5, 7])
def test_probabilities_of_the_kept_components_sum_to_one(top_k):
    logs = np.random.default_rng(0).normal(size=(5, 40))
    logs -= special.logsumexp(logs, axis=0)
    found = normalised_top_k(logs, top_k)
    assert_allclose(np.exp(found).sum(axis=0), 1.0)
    n_kept_of_row = np.isfinite(found).sum(axis=0)
    assert_array_equal(n_kept_of_row, min(top_k or 5, 5))
    # Those that are kept are the largest, in the same ratios.
    for one, own in zip(logs.T, found.T, strict=True):
        kept = np.isfinite(own)
        assert one[kept].min() > one[~kept].max(initial=-np.inf)
        assert_allclose(np.ptp(own[kept] - one[kept]), 0.0, atol=1e-12)


def test_rescaled_coefficients_leave_out_columns_that_were_constant():
    rng = np.random.default_rng(0)
    slope, shift = np.array([0.5, 0.0, 3.0]), np.array([0.3, 1.2, -2.0])
    x_map = np.diag([*slope, 1.0])
    x_map[:-1, -1] = shift
    design = np.column_stack([rng.normal(size=(20, 3)), np.ones(20)])
    design[:, 1] = 0.0  # a constant column is standardised to zero
    coef = rng.normal(size=(2, 3, 4))
    found = rescale_coefficients(coef, x_map)
    assert_allclose(found @ (design @ x_map.T).T, coef @ design.T)
    assert_array_equal(found[..., 1], 0.0)


# --- lists of families --------------------------------------------------------------------------


@pytest.mark.parametrize("first", FAMILIES)
@pytest.mark.parametrize("second", FAMILIES)
def test_a_list_is_what_its_families_have_in_common(first, second):
    families = (example(first), example(second))
    experts = GeneralizedLinearExperts(families)
    with_predictor = [family for family in families if family.link]
    links = {family.link for family in with_predictor}
    assert experts.link == (links.copy().pop() if len(links) == 1 else "")
    assert experts.takes_offset == (links == {"log"})
    all_standardised = all(family.standardizes_target for family in with_predictor)
    assert experts.standardizes_target == (
        bool(with_predictor) and all_standardised and "zero" not in (first, second)
    )
    assert experts.can_separate == all(family.is_count for family in families)
    assert bool(experts.estimated_options) == any(family.has_scale for family in families)
    both = dict.fromkeys(family.support for family in families)
    assert experts.support == " or ".join(both)
    assert experts.limitation(SupportsReordering) != ""
    assert (experts.limitation(SupportsONNX) != "") == ("logit" in links)
    for k, family in enumerate([*families, *families]):  # as in an average of two starts
        assert experts.has_predictor(k) == bool(family.link)
        assert experts.has_ratios(k) == (family.link in ("log", "logit"))
        assert experts.dispersions_of(k) == family.dispersions
    named = [dispersion for family in families for dispersion in family.dispersions]
    assert list(experts.dispersions) == list(dict.fromkeys(named))
    y = np.array([[0.0, 1.0, 2.0, 1.5, 200.0, -1.0]])
    assert experts.option_for_parts == (
        families[0].option_for_parts or families[1].option_for_parts
    )
    assert experts.obstacle(y) == (families[0].obstacle(y) or families[1].obstacle(y))
    expected = np.any([family.in_support(y)[0] for family in families], axis=0)
    assert_array_equal(experts.in_support(y), expected)
    working = (with_predictor or list(families))[0].working_target(y)
    if any(family.has_outliers for family in families):
        working = without_outliers(working)
    assert_allclose(experts.working_target(y), working)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_single_family_has_no_limits_of_a_list(name):
    experts = GeneralizedLinearExperts((example(name),))
    assert experts.limitation(SupportsReordering) == ""
    assert experts.dispersions == example(name).dispersions
    assert experts.n_cells(4) == 4
    y = np.array([[0.0, 1.0, 2.0, 1.5, -1.0]])
    assert_array_equal(experts.restrict(np.full((3, 5), 0.2), y), 0.2)


@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("name", [name for name in FAMILIES if example(name).dispersions])
def test_a_dispersion_is_known_at_either_of_its_bounds(name, n_outputs):
    """Of one output of one expert; only scales at their lower bound are reported."""
    family, rng = example(name), np.random.default_rng(0)
    if name == "ordinal" and n_outputs > 1:
        return
    y = np.concatenate([target(family, rng) for _ in range(n_outputs)])
    options = {"noise_variance": (1.0,) * n_outputs, "variance_floor": (1e-4,) * n_outputs}
    experts = GeneralizedLinearExperts((family,), alpha=0.3, **options)
    experts = experts.fitted_to(np.ones((N_ROWS, 1)), y, np.ones(N_ROWS), UNIT)
    params = experts.init_params(3, 2)
    n_coefficients, n_dispersions = 2 * n_outputs, len(family.dispersions)
    assert not experts.at_bound(params).any()
    for t in range(n_dispersions):
        for end in (-100.0, 100.0):
            values = params.log_dispersion.copy()
            values[1, -1, t] = end
            moved = experts.project(params._replace(log_dispersion=values))
            assert np.isfinite(moved.log_dispersion).all()
            expected = np.zeros((3, n_coefficients + n_outputs * n_dispersions), dtype=bool)
            expected[1, n_coefficients + t * n_outputs + n_outputs - 1] = True
            assert_array_equal(experts.at_bound(moved), expected)
            is_reported = family.has_scale and t == 0 and end < 0.0
            assert_array_equal(experts.dispersion_at_bound(moved), [False, is_reported, False])


@pytest.mark.parametrize("shared", [(), (0,), (0, 1)])
@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("name", ["poisson", "gamma", "student_t"])
def test_steps_know_the_slope_of_the_penalty(name, n_outputs, shared):
    """In the units of the scale, for any number of outputs and shared slopes."""
    family, rng = example(name), np.random.default_rng(0)
    y = np.concatenate([target(family, rng) for _ in range(n_outputs)])
    design = np.column_stack([rng.normal(size=(N_ROWS, 2)), np.ones(N_ROWS)])
    options = {"noise_variance": (1.0,) * n_outputs, "variance_floor": (1e-4,) * n_outputs}
    experts = GeneralizedLinearExperts((family,), alpha=0.7, shared_columns=shared, **options)
    experts = experts.fitted_to(design, y, np.ones(N_ROWS), UNIT)
    params, resp = experts.init_params(3, 3), rng.dirichlet(np.ones(3), size=N_ROWS).T
    params = params._replace(coef=rng.normal(size=params.coef.shape))
    factor = experts.factorize(experts.hessian(params, design, y, resp))
    scale = np.exp(params.log_dispersion[..., 0]) if family.has_scale else np.ones((3, n_outputs))
    for index in np.ndindex(params.coef.shape):
        sides = []
        for sign in (1.0, -1.0):
            coef = params.coef.copy()
            coef[index] += sign * 1e-5
            sides.append(experts.penalty(params._replace(coef=coef)))
        slope = scale[index[:2]] * (sides[0] - sides[1]) / 2e-5
        assert_allclose(factor.ridge[index[2]] * params.coef[index], slope, rtol=1e-5, atol=1e-7)


def test_a_family_of_your_own_is_fitted_with_the_weights_of_the_rows():
    seen = []

    class Own(Poisson):
        def fitted_to(self, y, weight, scaling):
            seen.append((y, weight, scaling))
            return self

    y, weight = np.ones((1, N_ROWS)), np.random.default_rng(0).uniform(0.5, 2.0, size=N_ROWS)
    GeneralizedLinearExperts((Own(),)).fitted_to(np.ones((N_ROWS, 1)), y, weight, UNIT)
    assert_array_equal(seen[0][0], y)
    assert_array_equal(seen[0][1], weight)
    assert seen[0][2] is UNIT
