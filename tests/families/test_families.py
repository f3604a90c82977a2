"""The contract of a family: densities, derivatives, moments, supports and starting values."""

import inspect
from functools import partial
from itertools import combinations_with_replacement

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import integrate, stats
from scipy.special import log_softmax

from skmoe.distributions import predictive_distribution
from skmoe.families import FAMILIES, Family, InverseGaussian, Tweedie, Uniform
from support.expert_kinds import DISTRIBUTIONS, example, example_target, log_density
from support.families import (
    CENSORED,
    EVERY_FAMILY,
    FITTED_FAMILIES,
    N_ROWS,
    OF_CLASSES,
    OF_OUTPUTS,
    WITH_PREDICTOR,
    case_of,
    exact,
    no_scaling,
    target_of,
)

of_every = pytest.mark.parametrize("name", EVERY_FAMILY)
of_all = pytest.mark.parametrize("name", FITTED_FAMILIES)
of_predictors = pytest.mark.parametrize("name", WITH_PREDICTOR)
registered = pytest.mark.parametrize("name", FAMILIES)
with_finite_mean = pytest.mark.parametrize("name", [n for n in EVERY_FAMILY if "never" not in n])

# Entries of the information that are no expectation of minus the second derivative.
NOT_EXPECTED = {
    "negative_binomial": {(1, 1)},
    "tweedie": {(1, 1)},
    "gompertz": {(0, 0), (0, 1)},
}


def dispersion_values(family, log_dispersion):
    """The dispersion parameters in units of y, from their logs, each a number or (..., m)."""
    units = [family.dispersion_unit, *[1.0] * len(log_dispersion)]
    return [np.exp(values) * unit for values, unit in zip(log_dispersion, units, strict=False)]


def difference(function, eta, t, step=1e-5):
    """Central difference of a function by predictor t."""
    sides = []
    for sign in (1.0, -1.0):
        at = [*eta[:t], eta[t] + sign * step, *eta[t + 1 :]]
        sides.append(np.array(function(at)))
    return (sides[0] - sides[1]) / (2.0 * step)


def first_of(case, eta=None):
    """First derivatives (T, ..., n)."""
    eta = case.eta if eta is None else eta
    logs, first, *_ = case.family.derivatives(case.y, eta)
    return np.array([np.broadcast_to(own, logs.shape) for own in first])


def matrix_of(entries, shape, n_predictors):
    """Symmetric matrices (..., n, T, T) of the entries (t, u) with t <= u."""
    matrix = np.zeros((*shape, n_predictors, n_predictors))
    for (t, u), values in entries.items():
        assert t <= u
        matrix[..., t, u] = matrix[..., u, t] = values
    return matrix


def distribution_of(case):
    """The predictive distribution of the rows of a case, with predictors (n,) or (1,)."""
    eta = [np.broadcast_to(own, N_ROWS) for own in case.eta]
    part = case.family.components(eta if case.family.couples_outputs is False else case.eta)
    if not case.eta:
        part = type(part)(*(np.repeat(values, N_ROWS, axis=-1) for values in part))
    return predictive_distribution(
        [part], np.ones((1, N_ROWS)), single_output=not case.family.couples_outputs
    )


# --- the shape of the contract ---


def test_a_family_has_at_most_fourteen_methods():
    methods = [
        name
        for name, member in inspect.getmembers(Family, inspect.isfunction)
        if not name.startswith("_")
    ]
    assert len(methods) <= 14


@of_every
def test_facts_have_one_entry_for_each_predictor(name):
    family = EVERY_FAMILY[name]
    n_means = family.roles.count("mean")
    if family.link in ("identity", "log", "logit"):
        assert family.roles[:n_means] == ("mean",) * n_means
        assert len(family.log_dispersion_bounds) == len(family.roles) - n_means
        assert len(family.log_dispersion_bounds_of_means) == len(family.roles) - n_means
        assert family.roles.count("dispersion") == family.has_dispersion
    assert bool(family.link) == (bool(family.roles) or name == "gate of 1")
    assert all(low < high for low, high in family.log_dispersion_bounds)


@of_every
def test_shapes_are_those_of_the_rows(name):
    for leading in ((), (2, 3)):
        case = case_of(name, leading=leading)
        logs, first, information, *_ = case.family.derivatives(case.y, case.eta)
        shape = (*leading, N_ROWS) if case.eta else (N_ROWS,)
        assert logs.shape == shape
        assert_allclose(case.family.log_prob(case.y, case.eta), logs, rtol=1e-12)
        assert len(first) == len(case.family.roles)
        assert all(own.shape == shape for own in first)
        for values in (*information.values(), *case.family.second(case.y, case.eta).values()):
            assert np.broadcast_shapes(np.shape(values), shape) == shape


@of_every
def test_arrays_stay_after_they_are_given(name):
    case = case_of(name)
    given = [case.y.copy(), *(own.copy() for own in case.eta)]
    terms = case.family.derivatives(case.y, case.eta)
    logs = next(terms)
    kept = logs.copy()
    first = next(terms)
    kept_first = [own.copy() for own in first]
    next(terms)
    assert_array_equal(logs, kept)
    for own, values in zip(first, kept_first, strict=True):
        assert_array_equal(own, values)
    for own, values in zip([case.y, *case.eta], given, strict=True):
        assert_array_equal(own, values)


def entries(curvature, n_predictors):
    """All entries (t, u) with t <= u."""
    pairs = combinations_with_replacement(range(n_predictors), 2)
    return [np.asarray(curvature.get(pair, 0.0)) for pair in pairs]


def functions_of(case):
    """All that a family has of rows, as functions of y and eta that return a list of arrays."""
    family = case.family
    yield lambda y, eta: [family.log_prob(y, eta)]
    yield lambda y, eta: [*family.derivatives(y, eta)][1]
    yield lambda y, eta: entries([*family.derivatives(y, eta)][2], len(eta))
    yield lambda y, eta: entries(family.second(y, eta), len(eta))
    yield lambda y, eta: [family.mean(eta)]
    yield lambda y, eta: family.mean_derivatives(eta)


def assert_same(found, expected, choose, rtol=1e-9, atol=1e-9):
    found, expected = [*found], [*expected]
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        shape = np.broadcast_shapes(np.shape(one), np.shape(choose(other)))
        assert_allclose(
            np.broadcast_to(one, shape), np.broadcast_to(choose(other), shape), rtol=rtol, atol=atol
        )


@of_every
def test_constants_are_the_same_as_rows(name):
    case = case_of(name)
    rows = [np.broadcast_to(own, (2, N_ROWS)).copy() for own in case.eta]
    for function in functions_of(case):
        assert_same(function(case.y, case.eta), function(case.y, rows), lambda values: values)


@of_every
def test_a_leading_axis_is_a_loop(name):
    case = case_of(name, leading=(2, 3))
    n_shared = 1 if case.family.link == "softmax" else 0
    for i, function in enumerate(functions_of(case)):
        whole = [*function(case.y, case.eta)]
        # The mean of classes has an axis of classes first.
        axis = n_shared if i > 3 else 0
        for start, draw in np.ndindex(2, 3):
            index = (*[slice(None)] * axis, start, draw)
            one = function(case.y, [own[start, draw] for own in case.eta])
            assert_same(
                one, whole, lambda v, at=index: v[at] if np.ndim(v) > len(at) else v, rtol=1e-7
            )


@pytest.mark.parametrize(
    ("name", "largest"),
    [(name, 0.0) for name in EVERY_FAMILY] + [("poisson", 100.0), ("negative_binomial", 100.0)],
)
def test_rows_do_not_depend_on_each_other(name, largest):
    """Also where a count is larger than the number of rows, for which there is no table."""
    case = case_of(name)
    if largest:
        case.y[3] = largest
    for function in functions_of(case):
        whole = [*function(case.y, case.eta)]
        for rows in (slice(3, 4), slice(2, 20), np.array([5, 3, 5])):
            part = case.rows(rows)

            def choose(values, rows=rows):
                is_of_rows = np.ndim(values) and np.shape(values)[-1] == N_ROWS
                return values[..., rows] if is_of_rows else values

            assert_same(function(part.y, part.eta), whole, choose)


# --- densities and moments ---


@pytest.mark.parametrize("name", [name for name in FAMILIES if FAMILIES[name].link])
def test_density_and_mean_equal_those_of_scipy(name):
    case = case_of(name, seed=2)
    family, eta = case.family, case.eta
    eta[2:] = [np.abs(own) + 0.1 for own in eta[2:]]  # more than one df
    natural = dispersion_values(family, eta[1:])
    expected = log_density(name, case.y, eta[0], natural)
    assert_allclose(family.log_prob(case.y, eta), expected, rtol=1e-9)
    mean = DISTRIBUTIONS[name](eta[0], *natural).mean()
    assert_allclose(family.mean(eta), mean * np.ones_like(eta[0]))


@pytest.mark.parametrize("name", OF_CLASSES)
def test_probabilities_of_classes_are_a_softmax(name):
    case = case_of(name)
    family, n = case.family, case.family.n_classes
    if n == 1:
        assert_array_equal(family.log_prob(case.y, case.eta), np.zeros(N_ROWS))
        return
    logits = np.einsum("ct,t...->c...", family.contrasts, np.array(case.eta))
    logs = log_softmax(logits, axis=0)
    memberships = case.y if case.y.ndim > 1 else np.eye(n)[case.y].T
    expected = np.einsum("cn,c...n->...n", memberships, logs)
    assert_allclose(family.log_prob(case.y, case.eta), expected)
    assert_allclose(family.mean(case.eta), np.exp(logs))
    # The penalty on the predictors of a gate is that on the logits.
    gram = family.contrasts.T @ family.contrasts
    is_log_odds = n == 2 and family.role == "mean"
    assert_allclose(gram, np.eye(n - 1) * (0.5 if is_log_odds else 1.0), atol=1e-12)
    codes = np.zeros(3, dtype=int)
    far = [np.array([-900.0, 0.0, 900.0])] * (n - 1)
    assert np.isfinite(family.log_prob(codes, far)).all()


@pytest.mark.parametrize("name", OF_OUTPUTS)
def test_density_of_joint_outputs_equals_that_of_scipy(name):
    case = case_of(name, leading=())
    m, constants = case.family.n_outputs, [own.item() for own in case.eta[case.family.n_outputs :]]
    matrix = np.eye(m)
    matrix[np.triu_indices(m, 1)] = np.tanh(constants[m:])
    matrix = matrix + np.triu(matrix, 1).T
    std = np.exp(0.5 * np.array(constants[:m]))
    y, jacobian = (
        (np.log(case.y), case.y) if case.family.of_logs else (case.y, np.ones_like(case.y))
    )
    reference = stats.multivariate_normal(np.zeros(m), std[:, None] * matrix * std)
    expected = reference.logpdf((y - np.array(case.eta[:m])).T) - np.log(jacobian).sum(axis=0)
    assert_allclose(case.family.log_prob(case.y, case.eta), expected, rtol=1e-9)
    dist = distribution_of(case)
    joint = dist.joint_logpdf(case.y.T)
    assert_allclose(joint, expected, rtol=1e-9)
    assert_allclose(dist.mean.T, case.family.mean(case.eta), rtol=1e-9)


@pytest.mark.parametrize("name", [name for name in CENSORED if "df=" not in name])
def test_probabilities_of_intervals_are_those_of_scipy(name):
    case = case_of(name)
    family = case.family.family
    if family.name not in DISTRIBUTIONS:
        return
    reference = DISTRIBUTIONS[family.name](case.eta[0], *dispersion_values(family, case.eta[1:]))
    lower, upper = case.y["lower"], case.y["upper"]
    left = lower if family.is_continuous else np.nextafter(lower, -np.inf)
    below, beyond = reference.cdf(left), reference.sf(upper)
    # From the smaller tail, without which differences cancel.
    tails = reference.sf(left) - beyond, reference.cdf(upper) - below
    probability = np.where(below > 0.5, *tails)
    if family.is_continuous:
        values = np.where(lower == upper, lower, 0.5)
        density = np.exp(family.log_prob(values, case.eta))
        probability = np.where(lower == upper, density, probability)
    found = case.family.log_prob(case.y, case.eta)
    assert_allclose(np.exp(found), probability, rtol=1e-6)


@of_all
def test_a_known_value_has_the_density_of_the_family(name):
    case = case_of(name)
    if not case.family.takes_bounds:
        return
    censored, y = CENSORED[f"{name}, censored"], exact(case.y)
    terms = zip(
        case.family.derivatives(case.y, case.eta), censored.derivatives(y, case.eta), strict=True
    )
    for one, other in terms:
        assert_same(
            other.values() if isinstance(other, dict) else other,
            one.values() if isinstance(one, dict) else one,
            lambda values: values,
        )


def expectation(family, function, eta):
    """Sum or integral of a function times the density of one row, with predictors (1,)."""

    def density(y):
        y = np.atleast_1d(np.asarray(y, dtype=float))
        return np.exp(family.log_prob(y, eta)) * function(y)

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

    def inside(y):
        with np.errstate(all="ignore"):
            return np.nan_to_num(density(np.ravel(y))).reshape(np.shape(y))

    found = integrate.tanhsinh(inside, low, high, atol=1e-9, rtol=1e-9)
    assert found.success
    return of_atoms + found.integral


def one_row(family):
    return [np.array([0.4]), *(np.array([0.9 * i - 0.3]) for i in range(len(family.dispersions)))][
        : len(family.roles)
    ]


@of_predictors
def test_information_is_the_expectation_of_minus_the_second_derivative(name):
    family = FITTED_FAMILIES[name]
    eta = one_row(family)
    entry = family.second(np.array([1.0]), eta)
    for t in range(len(eta)):
        score = expectation(family, lambda y, t=t: [*family.derivatives(y, eta)][1][t], eta)
        assert_allclose(score, 0.0, atol=1e-6)
    for t, u in entry:
        if (t, u) in NOT_EXPECTED.get(family.name, ()):
            continue

        def both(y, at=(t, u)):
            information = [*family.derivatives(y, eta)][2].get(at, 0.0)
            return information + family.second(y, eta)[at]

        assert_allclose(expectation(family, both, eta), 0.0, atol=1e-6)


@pytest.mark.parametrize("name", OF_OUTPUTS)
def test_information_of_joint_outputs_is_an_expectation(name):
    """Of a sample with the exact mean and covariance, on which alone it depends."""
    case = case_of(name, leading=(), n_rows=1)
    family, m = case.family, case.family.n_outputs
    z = np.random.default_rng(0).normal(size=(m, 50))
    z -= z.mean(axis=1, keepdims=True)
    z = np.linalg.solve(np.linalg.cholesky(z @ z.T / 50), z)
    std = np.exp(0.5 * np.ravel(case.eta[m : 2 * m]))
    covariance = std[:, None] * family.components(case.eta).correlation[0] * std
    y = np.array(case.eta[:m]) + np.linalg.cholesky(covariance) @ z
    y = np.exp(y) if family.of_logs else y
    _, _, information, *_ = family.derivatives(y, case.eta)
    for key, values in family.second(y, case.eta).items():
        found = np.mean(information.get(key, 0.0))
        assert_allclose(found, -np.mean(values), rtol=1e-8, atol=1e-8)


@of_all
def test_components_have_the_density_and_the_mean_of_the_family(name):
    case = case_of(name, leading=())
    dist = distribution_of(case)
    logs = dist.logpdf(case.y) if hasattr(dist, "logpdf") else dist.logpmf(case.y)
    assert_allclose(logs, case.family.log_prob(case.y, case.eta), rtol=1e-8, atol=1e-10)
    if case.family.name != "student_t":  # which has no mean for one degree of freedom
        mean = np.broadcast_to(case.family.mean(case.eta), N_ROWS)
        assert_allclose(dist.mean, mean, rtol=1e-8)


@with_finite_mean
def test_mean_derivatives_equal_differences_of_the_mean(name):
    case = case_of(name)
    found = case.family.mean_derivatives(case.eta)
    assert len(found) == len(case.eta)
    for t, own in enumerate(found):
        expected = difference(case.family.mean, case.eta, t)
        own = np.broadcast_to(own, expected.shape)
        assert_allclose(own, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    "name", [n for n, f in EVERY_FAMILY.items() if f.takes_mean and not f.couples_outputs]
)
def test_location_is_the_predictor_of_a_mean(name):
    case = case_of(name)
    unknown = np.full_like(case.eta[0], np.nan)
    found = case.family.location(case.family.mean(case.eta), [unknown, *case.eta[1:]])
    assert_allclose(found, case.eta[0], rtol=1e-9, atol=1e-9)


# --- derivatives ---


@of_every
def test_first_derivatives_equal_differences_of_the_log_density(name):
    case = case_of(name, constants=False)
    found = first_of(case)
    for t, own in enumerate(found):
        expected = difference(partial(case.family.log_prob, case.y), case.eta, t)
        assert_allclose(own, expected, rtol=1e-6, atol=2e-7)


@of_every
def test_second_derivatives_equal_differences_of_the_first(name):
    case = case_of(name, seed=1, constants=False)
    n_predictors = len(case.eta)
    shape = (2, N_ROWS) if case.eta else (N_ROWS,)
    found = matrix_of(case.family.second(case.y, case.eta), shape, n_predictors)
    # Differences of differences are less exact.
    tolerance = 1e-4 if "censored" in name else 1e-6
    for t in range(n_predictors):
        slopes = difference(lambda eta: first_of(case, eta), case.eta, t)
        expected = np.moveaxis(slopes, 0, -1)
        assert_allclose(found[..., t, :], expected, rtol=1e-5, atol=tolerance)


@of_every
def test_information_is_positive_semi_definite_for_each_row(name):
    for seed in range(3):
        case = case_of(name, seed=seed, constants=False)
        if not case.eta:
            return
        _, _, information, *_ = case.family.derivatives(case.y, case.eta)
        matrix = matrix_of(information, (2, N_ROWS), len(case.eta))
        scale = np.maximum(np.abs(matrix).max(axis=(-2, -1)), 1e-12)
        assert (np.linalg.eigvalsh(matrix)[..., 0] >= -1e-10 * scale).all()
        assert (np.trace(matrix.mean(axis=(0, 1))) > 0.0).all()


# --- supports and bounds ---


@of_all
def test_density_is_finite_exactly_in_the_support(name):
    """Values outside are not asked for."""
    family = FITTED_FAMILIES[name]
    values = np.array([-np.pi, -1.0, -1e-9, 0.0, 1e-9, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 1e6])
    possible = family.in_support(values)
    if np.inf in family.atoms:
        assert not possible.any()
        return
    assert possible.any()
    eta = [np.zeros((2, 1)) for _ in family.roles]
    assert np.isfinite(family.log_prob(values[possible], eta)).all()


@pytest.mark.parametrize("name", [name for name in EVERY_FAMILY if "gumbel" not in name])
def test_everything_is_finite_at_the_bounds_of_the_predictors(name):
    """But the log probability of an interval that is impossible there."""
    case = case_of(name)
    family, bounds = case.family, case.family.log_dispersion_bounds
    if family.couples_outputs:  # of which correlations next to one are singular
        bounds = bounds[: family.n_outputs] + ((-3.0, 3.0),) * len(family.pairs)
    n_means = len(family.roles) - len(bounds)
    end = min(family.max_predictor, 50.0)
    for theta in ([low for low, _ in bounds], [high for _, high in bounds]):
        constants = [np.full((2, 1), value) for value in theta]
        for scale in (1.0, 100.0):
            eta = [np.clip(scale * own, -end, end) for own in case.eta[:n_means]] + constants
            density, *others, mean, slopes = functions_of(case)
            [logs] = density(case.y, eta)
            assert (np.isfinite(logs) | (np.isneginf(logs) & ("censored" in name))).all()
            if np.inf not in family.atoms:
                others += [mean, slopes]
            for function in others:
                for values in function(case.y, eta):
                    assert np.isfinite(values).all()


@of_predictors
def test_no_value_is_likeliest_beyond_the_bound_of_the_predictor(name):
    """A predictor is cut there: the log density must not go on to rise."""
    case = case_of(name)
    family = case.family
    end = np.full(case.eta[0].shape, min(family.max_predictor, 1e4))
    bounds = family.log_dispersion_bounds
    for theta in ([low for low, _ in bounds], [high for _, high in bounds]):
        constants = [np.full((2, 1), value) for value in theta]
        for sign in (1.0, -1.0):
            _, (slope, *_), *_ = family.derivatives(case.y, [sign * end, *constants])
            assert (sign * slope < 1e-9).all()


# --- starts of fits ---


@of_every
def test_start_has_a_finite_number_for_each_predictor(name):
    """Also where all rows are the same."""
    family, rng = EVERY_FAMILY[name], np.random.default_rng(5)
    y, weight = target_of(name, rng), rng.uniform(0.2, 3.0, size=N_ROWS)
    same = np.repeat(y[..., :1], N_ROWS, axis=-1)
    for target in (y, same):
        start = family.start(target, weight)
        assert start.shape == (len(family.roles),)
        assert np.isfinite(start).all()


@of_all
def test_weight_is_a_number_of_rows(name):
    """In what a family keeps of the target, and in its start."""
    rng, family = np.random.default_rng(7), FITTED_FAMILIES[name]
    y, weight = example_target(family, rng, N_ROWS), rng.integers(1, 4, size=N_ROWS)
    repeated = np.repeat(y, weight, axis=1)
    ones = np.ones(repeated.shape[1])
    fitted = type(family)().fitted_to(y, weight.astype(float), no_scaling())
    other = type(family)().fitted_to(repeated, ones, no_scaling())
    for field, value in vars(fitted).items():
        if isinstance(value, tuple):
            assert_allclose(value, getattr(other, field), rtol=1e-12)
        else:
            assert value == getattr(other, field)
    if family.has_outliers:  # a median of repeated rows may be between two of them
        return
    one = fitted.start(y[0], weight.astype(float))
    assert_allclose(one, fitted.start(repeated[0], ones), rtol=1e-12)


@of_predictors
def test_first_predictor_fits_the_weighted_rows(name):
    """It is the mean for a family with outliers, and that of the first threshold for ratings.

    Where the best predictor depends on the dispersion, the mean is that of the rows for a start.
    """
    family, rng = FITTED_FAMILIES[name], np.random.default_rng(8)
    y, weight = example_target(family, rng, N_ROWS)[0], rng.uniform(0.2, 3.0, size=N_ROWS)
    start = family.start(y, weight)[0]
    if family.has_outliers:
        assert_allclose(start, np.average(y, weights=weight))
    elif family.name == "ordinal":
        share = weight[y > family.values[0]].sum() / weight.sum()
        assert_allclose(start, np.log(share / (1.0 - share)))
    elif family.name == "loglogistic":
        assert_allclose(start, np.average(np.log(y), weights=weight))
    elif family.name in ("weibull", "beta", "gompertz"):
        mean = family.mean([np.full(1, start), np.zeros(1)])
        assert_allclose(mean, np.average(y, weights=weight))
    else:
        eta = [np.full(1, start), *[np.full(1, -0.3)] * len(family.dispersions)]
        _, (slope, *_), *_ = family.derivatives(y, eta)
        assert_allclose((slope * weight).sum(), 0.0, atol=1e-10)


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


# --- texts and weights ---


@pytest.mark.parametrize(
    ("family", "text"),
    {
        Uniform(): "y is uniform over its range",
        Uniform((0.0,), (2.5,)): "y is uniform from 0 to 2.5",
        Uniform((0.0, 1.0), (2.5, 3.0)): "y is uniform over its range",
        "normal": "y = x",
        "student_t": "y = x",
        "lognormal": "median y = exp(x)",
        "gamma": "expected y = exp(x)",
        "poisson": "expected y = exp(x)",
        "negative_binomial": "expected y = exp(x)",
        "ordinal": "log odds of y > 1 = x",
        "zero": "y = 0",
        "one": "y = 1",
        "never": "y is infinite: the event never comes",
        "weibull": "scale of y = exp(x)",
        "loglogistic": "median y = exp(x)",
        "gompertz": "scale of y = exp(x)",
        "exponential": "expected y = exp(x)",
        "tweedie": "expected y = exp(x)",
        "beta": "logit of expected y = x",
    }.items(),
)
def test_equation_says_what_the_predictor_is(family, text):
    family = example(family) if isinstance(family, str) else family
    assert family.equation.format(response="y", predictor="x") == text


@pytest.mark.parametrize("name", [n for n in FAMILIES if FAMILIES[n].link == "log"])
def test_weight_of_a_rate_is_inverse_to_its_variance(name):
    """Up to a factor; of the negative binomial as its dispersion goes to zero."""
    exposure = np.array([0.5, 1.0, 4.0])
    dispersion = [1e-9 if name == "negative_binomial" else 0.3] * len(example(name).dispersions)
    variance = DISTRIBUTIONS[name](np.log(2.0 * exposure), *dispersion).var() / exposure**2
    weight = exposure ** example(name).exposure_power
    assert_allclose(weight * variance, weight[0] * variance[0], rtol=1e-6)


def test_the_first_option_of_a_family_is_its_own():
    """What the fit sets, such as the unit of y, is given by keyword only."""
    assert Tweedie(1.7) == Tweedie(power=1.7)
    with pytest.raises(TypeError, match="positional"):
        InverseGaussian(2.0)
