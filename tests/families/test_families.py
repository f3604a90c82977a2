"""Every registered family: densities, derivatives, moments, supports and starting values."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import integrate

from skmoe.distributions import predictive_distribution
from skmoe.families import FAMILIES, InverseGaussian, Tweedie
from support.expert_kinds import DISTRIBUTIONS, example, log_density
from support.parts import FITTED_FAMILIES, N_ROWS, WITH_PREDICTOR, example_target, no_scaling

of_all = pytest.mark.parametrize("name", FITTED_FAMILIES)
of_predictors = pytest.mark.parametrize("name", WITH_PREDICTOR)
registered = pytest.mark.parametrize("name", FAMILIES)


def points(name, seed=0, n_rows=N_ROWS):
    """A family, a target (1, n), predictors (2, 1, n) and log dispersions (T, 2, 1, 1)."""
    family, rng = FITTED_FAMILIES[name], np.random.default_rng(seed)
    y = example_target(family, rng, n_rows)
    predictor = 0.7 * rng.normal(size=(2, 1, n_rows))
    return family, y, predictor, [0.5 * rng.normal(size=(2, 1, 1)) for _ in family.dispersions]


def difference(function, predictor, dispersion, i, step=1e-5):
    """Central difference by the predictor (i = 0) or by log dispersion i - 1."""
    sides = []
    for sign in (1.0, -1.0):
        at = [predictor, *dispersion]
        at[i] = at[i] + sign * step
        sides.append(np.array(function(at[0], at[1:])))
    return (sides[0] - sides[1]) / (2.0 * step)


# --- densities and moments ---


@pytest.mark.parametrize("name", [name for name in FAMILIES if FAMILIES[name].link])
def test_density_and_mean_equal_those_of_scipy(name):
    family, y, predictor, dispersion = points(name, seed=2)
    dispersion[1:] = [np.abs(values) + 0.1 for values in dispersion[1:]]  # more than one df
    natural = family.dispersion_values(dispersion)
    expected = log_density(name, y, predictor, natural)
    assert_allclose(family.log_prob(y, predictor, dispersion), expected, rtol=1e-9)
    mean = DISTRIBUTIONS[name](predictor, *natural).mean()
    assert_allclose(family.mean(predictor, dispersion), mean * np.ones_like(predictor))


def expectation(family, function, predictor, dispersion):
    """Sum or integral of a function times the density of one row."""

    def density(y):
        y = np.atleast_2d(np.asarray(y, dtype=float))
        return np.exp(family.log_prob(y, predictor, dispersion)) * function(y)

    if family.name == "ordinal":
        return density(family.values).sum()
    if family.atoms and not family.is_continuous:
        return density(family.atoms).sum()
    if not family.is_continuous:
        return density(np.arange(2000)).sum()
    low, high = {"log": (0.0, np.inf), "logit": (0.0, 1.0)}.get(family.link, (-np.inf, np.inf))
    if not family.link:
        low, high = family.low[0], family.high[0]
    of_atoms = sum(density(atom).item() for atom in family.atoms)
    return of_atoms + integrate.quad(lambda y: density(y).item(), low, high, limit=500)[0]


def one_row(family):
    return np.array([[0.4]]), [np.array([[0.9 * i - 0.3]]) for i in range(len(family.dispersions))]


@of_all
def test_density_integrates_to_one_and_has_the_mean(name):
    family = FITTED_FAMILIES[name]
    at = one_row(family)
    assert_allclose(expectation(family, np.ones_like, *at), 1.0, rtol=1e-7)
    if family.name != "student_t":  # whose tails are too heavy for the quadrature
        mean = expectation(family, lambda y: y, *at)
        assert_allclose(mean, family.mean(*at).item(), rtol=1e-6)


@of_predictors
def test_information_is_the_variance_of_the_score(name):
    """Both are given times the scale, if the family has one."""
    family = FITTED_FAMILIES[name]
    predictor, dispersion = one_row(family)

    def score(y):
        return family.predictor_score(y, predictor, dispersion)

    scale = np.exp(dispersion[0]).item() if family.has_scale else 1.0
    assert_allclose(expectation(family, score, predictor, dispersion), 0.0, atol=1e-7)
    square = expectation(family, lambda y: np.square(score(y)), predictor, dispersion)
    information = family.predictor_information(predictor, dispersion).item()
    assert_allclose(square, scale * information, rtol=1e-6)


@of_all
def test_components_have_the_density_and_the_mean_of_the_family(name):
    family, y, predictor, dispersion = points(name)
    predictor, dispersion = predictor[0], [theta[0] for theta in dispersion]
    part = family.components(predictor, dispersion)
    dist = predictive_distribution([part], np.ones((1, N_ROWS)), single_output=True)
    logs = dist.logpdf(y[0]) if hasattr(dist, "logpdf") else dist.logpmf(y[0])
    assert_allclose(logs, family.log_prob(y, predictor, dispersion)[0], rtol=1e-8, atol=1e-10)
    if family.name != "student_t":  # which has no mean for one degree of freedom
        assert_allclose(dist.mean, family.mean(predictor, dispersion)[0], rtol=1e-8)


# --- derivatives ---


@of_all
def test_gradient_equals_differences_of_the_log_density(name):
    family, y, predictor, dispersion = points(name)
    gradient = family.gradient(y, predictor, dispersion)
    assert gradient.shape == (1 + len(dispersion), 2, 1, N_ROWS)
    for i, found in enumerate(gradient):
        expected = difference(lambda *at: family.log_prob(y, *at), predictor, dispersion, i)
        assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


@of_all
def test_second_derivatives_equal_differences_of_the_gradient(name):
    family, y, predictor, dispersion = points(name, seed=1)
    hessian = family.hessian(y, predictor, dispersion)
    _, second = family.dispersion_derivatives(y, predictor, dispersion)
    cross = family.cross_derivatives(y, predictor, dispersion)
    assert len(second) == len(dispersion)
    assert cross is None or len(cross) == len(dispersion)
    assert_array_equal(hessian, np.swapaxes(hessian, 0, 1))
    for i in range(1 + len(dispersion)):
        slope = difference(lambda *at: family.gradient(y, *at), predictor, dispersion, i)
        assert_allclose(hessian[i], slope, rtol=1e-5, atol=1e-6)
        for j in range(len(dispersion) if i else 0):
            found = np.broadcast_to(second[i - 1][j], predictor.shape)
            assert_allclose(found, slope[1 + j], rtol=1e-5, atol=1e-6)
        if i and cross is not None:
            scale = np.exp(dispersion[0]) if family.has_scale else 1.0
            assert_allclose(cross[i - 1], scale * slope[0], rtol=1e-5, atol=1e-6)


@of_predictors
def test_information_matrix_is_diagonal_where_mixed_derivatives_are_left_out(name):
    """Only then can coefficients and dispersions be estimated apart."""
    family = FITTED_FAMILIES[name]
    predictor, dispersion = one_row(family)
    if family.cross_derivatives(np.ones((1, 1)), predictor, dispersion) is not None:
        return
    for i in range(1, 1 + len(dispersion)):

        def mixed(y, i=i):
            slope = difference(lambda *at: family.gradient(y, *at), predictor, dispersion, i)
            return slope[0]

        assert_allclose(expectation(family, mixed, predictor, dispersion), 0.0, atol=1e-5)


@of_predictors
def test_sums_of_dispersion_derivatives_are_over_the_rows(name):
    family, y, predictor, dispersion = points(name, seed=4)
    weight = np.random.default_rng(0).uniform(size=(2, 1, N_ROWS))
    first, second = family.dispersion_derivatives(y, predictor, dispersion)
    gradient, hessian = family.dispersion_sums(y, predictor, dispersion, weight)
    n_own = len(dispersion)
    assert gradient.shape == (2, 1, n_own)
    assert hessian.shape == (2, 1, n_own, n_own)
    for i in range(n_own):
        expected = (weight * first[i]).sum(axis=-1)
        assert_allclose(gradient[..., i], expected, rtol=1e-9, atol=1e-9)
        for j in range(n_own):
            expected = (weight * second[i][j]).sum(axis=-1)
            assert_allclose(hessian[..., i, j], expected, rtol=1e-9, atol=1e-9)


@of_all
def test_mean_derivative_equals_differences_of_the_mean(name):
    family, _, predictor, dispersion = points(name)
    if np.inf in family.atoms:
        return
    found = family.mean_derivative(predictor, dispersion)
    expected = difference(family.mean, predictor, dispersion, 0)
    assert_allclose(found, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", [n for n in WITH_PREDICTOR if FITTED_FAMILIES[n].takes_mean])
def test_dispersion_derivatives_at_a_given_mean(name):
    """Where estimators give the mean, the predictor changes with the dispersions."""
    family, y, predictor, dispersion = points(name, seed=6)
    mean = family.mean(predictor, dispersion)
    assert_allclose(family.predictor_of_mean(mean, dispersion), predictor, rtol=1e-9, atol=1e-10)

    def at(theta):
        return y, family.predictor_of_mean(mean, theta), theta

    first, second = family.mean_dispersion_derivatives(y, predictor, dispersion)
    assert len(first) == len(second) == len(dispersion)
    for i in range(len(dispersion)):
        slope = difference(
            lambda _, theta: family.log_prob(*at(theta)), predictor, dispersion, 1 + i
        )
        assert_allclose(first[i], slope, rtol=1e-5, atol=1e-7)
        for j in range(len(dispersion)):
            slope = difference(
                lambda _, theta, j=j: family.mean_dispersion_derivatives(*at(theta))[0][j],
                predictor,
                dispersion,
                1 + i,
            )
            found = np.broadcast_to(second[i][j], slope.shape)
            assert_allclose(found, slope, rtol=1e-5, atol=1e-6)


# --- rows and outputs ---


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


@of_all
@pytest.mark.parametrize("largest", [0.0, 100.0])
def test_rows_do_not_depend_on_each_other(name, largest):
    """Also where a count is larger than the number of rows, for which there is no table."""
    family, y, predictor, dispersion = points(name)
    if family.is_count and family.link:
        y[0, 3] = max(y[0, 3], largest)
    for function in row_functions(family):
        whole = function(y, predictor, dispersion)
        for rows in (slice(3, 4), slice(2, 20), np.array([5, 3, 5])):
            part = function(y[:, rows], predictor[..., rows], dispersion)
            if whole.size:
                expected = whole[..., rows]
                assert_allclose(np.broadcast_to(part, expected.shape), expected, rtol=1e-12)


@pytest.mark.parametrize(
    "name", [n for n, f in FITTED_FAMILIES.items() if f.name not in ("ordinal", "uniform")]
)
@pytest.mark.parametrize("largest", [0.0, 100.0])
def test_outputs_do_not_depend_on_each_other(name, largest):
    """Families whose fitted options are of one output are left out."""
    family, *one = points(name)
    _, *other = points(name, seed=1)
    y, predictor = (np.concatenate([one[i], other[i]], axis=-2) for i in (0, 1))
    if family.is_count and family.link:
        y[1, 3] = max(y[1, 3], largest)
    dispersion = [np.concatenate(values, axis=-2) for values in zip(one[2], other[2], strict=True)]
    for function in row_functions(family):
        whole = function(y, predictor, dispersion)
        for own in (slice(0, 1), slice(1, 2)):
            part = function(y[own], predictor[:, own], [theta[:, own] for theta in dispersion])
            if whole.size:
                expected = np.broadcast_to(whole, (*whole.shape[:-2], 2, N_ROWS))[..., own, :]
                assert_allclose(part, expected, rtol=1e-12)


@of_all
def test_density_is_positive_exactly_in_the_support(name):
    """Whatever the other rows hold."""
    family = FITTED_FAMILIES[name]
    values = np.array([[-np.pi, -1.0, -1e-9, 0.0, 1e-9, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 1e6]])
    predictor = np.zeros((2, *values.shape))
    dispersion = [np.zeros((2, 1, 1)) for _ in family.dispersions]
    with np.errstate(divide="raise", invalid="raise"):
        found = family.log_prob(values, predictor, dispersion)
    possible = np.broadcast_to(family.in_support(values), found.shape)
    assert_array_equal(np.isneginf(found), ~possible)
    assert np.isfinite(found[possible]).all()
    alone = family.log_prob(values[:, possible[0, 0]], predictor[..., possible[0, 0]], dispersion)
    assert_allclose(found[possible], alone.ravel(), rtol=1e-12)


@of_predictors
def test_everything_is_finite_at_the_bounds_of_the_parameters(name):
    family, y, predictor, _ = points(name)
    bounds = family.log_dispersion_bounds
    assert len(bounds) == len(family.dispersions) == len(family.initial_log_dispersion)
    for (low, high), start in zip(bounds, family.initial_log_dispersion, strict=True):
        assert low < start < high
    end = min(family.max_predictor, 50.0)
    for theta in ([low for low, _ in bounds], [high for _, high in bounds]):
        dispersion = [np.full((2, 1, 1), value) for value in theta]
        for at in (predictor, np.clip(100.0 * predictor, -end, end)):
            for function in row_functions(family):
                assert np.isfinite(function(y, at, dispersion)).all()


@of_predictors
def test_no_value_is_likeliest_beyond_the_bound_of_the_predictor(name):
    """A predictor is cut there: the log density must not go on to rise."""
    family, y, predictor, _ = points(name)
    end = np.full(predictor.shape, min(family.max_predictor, 1e4))
    bounds = family.log_dispersion_bounds
    for theta in ([low for low, _ in bounds], [high for _, high in bounds]):
        dispersion = [np.full((2, 1, 1), value) for value in theta]
        assert (family.predictor_score(y, end, dispersion) < 1e-9).all()
        assert (family.predictor_score(y, -end, dispersion) > -1e-9).all()


# --- starts of fits ---


@registered
def test_examples_are_in_the_support_before_and_after_the_fit(name):
    y = example(name).example_target(np.random.default_rng(3), N_ROWS)
    assert y.shape == (1, N_ROWS)
    fitted = example(name).fitted_to(y, np.ones(N_ROWS), no_scaling())
    assert example(name).in_support(y).all()
    assert fitted.in_support(y).all()


@of_all
def test_weight_is_a_number_of_rows(name):
    """In what a family keeps of the target, and in its first predictor."""
    rng, family = np.random.default_rng(7), FITTED_FAMILIES[name]
    y, weight = example_target(family, rng), rng.integers(1, 4, size=N_ROWS)
    repeated = np.repeat(y, weight, axis=1)
    ones = np.ones(repeated.shape[1])
    fitted = type(family)().fitted_to(y, weight.astype(float), no_scaling())
    other = type(family)().fitted_to(repeated, ones, no_scaling())
    for name, value in vars(fitted).items():
        if isinstance(value, tuple):
            assert_allclose(value, getattr(other, name), rtol=1e-12)
        else:
            assert value == getattr(other, name)
    one = fitted.initial_predictor(y[0], weight.astype(float))
    assert_allclose(one, fitted.initial_predictor(repeated[0], ones), rtol=1e-12)


@of_predictors
def test_first_predictor_maximises_the_weighted_likelihood(name):
    """It is the mean for a family with outliers, and that of the first threshold for ratings.

    Where the best predictor depends on the dispersion, the mean is that of the rows for a start.
    """
    family, rng = FITTED_FAMILIES[name], np.random.default_rng(8)
    y, weight = example_target(family, rng), rng.uniform(0.2, 3.0, size=N_ROWS)
    start = family.initial_predictor(y[0], weight)
    if family.has_outliers:
        assert_allclose(start, np.average(y[0], weights=weight))
    elif family.name == "ordinal":
        share = weight[y[0] > family.values[0]].sum() / weight.sum()
        assert_allclose(start, np.log(share / (1.0 - share)))
    elif family.cross_derivatives(y, np.zeros(y.shape), [np.zeros((1, 1))]) is not None:
        mean = family.mean(np.full((1, 1), start), [np.zeros((1, 1))])
        assert_allclose(mean, np.average(y[0], weights=weight))
    else:
        theta = [np.full((1, 1), -0.3)] * len(family.dispersions)
        score = family.predictor_score(y, np.full(y.shape, start), theta)
        assert_allclose((score * weight).sum(), 0.0, atol=1e-10)


@registered
def test_working_target_is_the_logarithm_under_a_log_link(name):
    """Of one more for counts; half the least positive value stands for values that are not."""
    y = np.array([[0.0, -3.0, 4.0, 2.0], [2.0, 8.0, 1.0, 3.0], [0.0, -1.0, 0.0, -2.0]])
    family = example(name)
    found = family.working_target(y)
    if family.is_count and family.link:
        assert_allclose(found, np.log1p(np.maximum(y, 0.0)))
    elif family.link == "log":
        assert_allclose(found[:2], np.log([[1.0, 1.0, 4.0, 2.0], y[1]]))
        assert np.ptp(found[2]) == 0.0  # nothing is positive
    elif name == "beta":
        assert_allclose(found, np.pi * (y >= 1.0))
    else:
        assert_array_equal(found, y)


@pytest.mark.parametrize(
    ("name", "text"),
    {
        "normal": "y = x",
        "student_t": "y = x",
        "lognormal": "median y = exp(x)",
        "gamma": "expected y = exp(x)",
        "poisson": "expected y = exp(x)",
        "negative_binomial": "expected y = exp(x)",
        "ordinal": "log odds of y > 1 = x",
        "zero": "y = 0",
        "one": "y = 1",
        "weibull": "scale of y = exp(x)",
        "exponential": "expected y = exp(x)",
        "tweedie": "expected y = exp(x)",
        "beta": "logit of expected y = x",
    }.items(),
)
def test_equation_says_what_the_predictor_is(name, text):
    assert example(name).equation("y", "x") == text


@pytest.mark.parametrize("name", [n for n in FAMILIES if FAMILIES[n].link == "log"])
def test_rate_weight_is_inverse_to_the_variance_of_a_rate(name):
    """Up to a factor; of the negative binomial as its dispersion goes to zero."""
    exposure = np.array([0.5, 1.0, 4.0])
    dispersion = [1e-9 if name == "negative_binomial" else 0.3] * len(example(name).dispersions)
    variance = DISTRIBUTIONS[name](np.log(2.0 * exposure), *dispersion).var() / exposure**2
    weight = example(name).rate_weight(exposure)
    assert weight.shape == exposure.shape
    assert_allclose(weight * variance, weight[0] * variance[0], rtol=1e-6)


def test_the_first_option_of_a_family_is_its_own():
    """What the fit sets, such as the unit of y, is given by keyword only."""
    assert Tweedie(1.7) == Tweedie(power=1.7)
    with pytest.raises(TypeError, match="positional"):
        InverseGaussian(2.0)
