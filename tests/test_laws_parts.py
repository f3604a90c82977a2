"""Derivatives, penalties, surrogates and units of every family of experts and every gate.

Each law compares a method with differences of log densities or penalties, or with the same method
for rows in other units. Families are met alone and in lists, with two outputs, and with slopes or
dispersions that experts share.
"""

import numpy as np
import pytest
from kinds import GENERALIZED, example
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import Ridge

from skmoe._data.scaling import Standardization
from skmoe._mixture.online import AffineMap, _design_map
from skmoe._numerics.offset_design import OffsetDesign
from skmoe.experts import EXPERTS, GeneralizedLinearExperts, LinearExperts, LogisticExperts
from skmoe.experts._cross_fitted import CrossFittedExperts
from skmoe.experts._estimator_params import EstimatorParams
from skmoe.experts._mean_family import MeanFamily
from skmoe.families import FAMILIES
from skmoe.gates import GATES
from skmoe.protocols import (
    Experts,
    SupportsDistribution,
    SupportsInference,
    SupportsStreaming,
    has_capability,
)

N_ROWS, N_EXPERTS, N_COLUMNS = 40, 3, 3
RNG = np.random.default_rng(0)
DESIGN = np.column_stack([RNG.normal(size=(N_ROWS, N_COLUMNS - 1)), np.ones(N_ROWS)])
WEIGHT = RNG.uniform(0.5, 2.0, size=N_ROWS)
RESP = RNG.dirichlet(np.ones(N_EXPERTS), size=N_ROWS).T * WEIGHT

# Families of the experts of a list, whose rows a positive count can have. The scale of a family is
# not always the first dispersion of the list.
LISTS = [
    ("poisson", "negative_binomial", "poisson"),
    ("negative_binomial", "student_t", "normal"),
    ("gamma", "zero", "lognormal"),
    ("normal", "uniform", "student_t"),
]


def generalized(names, n_outputs=1, **options):
    """Experts of one family or of a list, and a target that each of them may have generated."""
    families = tuple(example(name) for name in names)
    rng = np.random.default_rng(1)
    if len(families) > 1:
        y = rng.poisson(2.0, size=(1, N_ROWS)) + 1.0
    else:
        y = np.concatenate([families[0].example_target(rng, N_ROWS) for _ in range(n_outputs)])
    options = {"alpha": 0.7, "dispersion_prior": 4.0, **options}
    if len(y) > 1:
        options |= {"noise_variance": (0.8, 1.3), "variance_floor": (1e-6, 1e-6)}
    experts = GeneralizedLinearExperts(families, **options)
    unit = Standardization(np.zeros(len(y)), np.ones(len(y)))
    return experts.fitted_to(DESIGN, y, WEIGHT, unit), y


def cases():
    """Experts and targets by name."""
    rng = np.random.default_rng(2)
    for name in GENERALIZED:
        yield name, *generalized([name])
        yield f"{name}, shared dispersions", *generalized([name], shared_dispersion=True)
        yield f"{name}, shared slopes", *generalized([name], shared_columns=(1,))
        if name != "ordinal":
            yield f"{name}, two outputs", *generalized([name], n_outputs=2)
    for names in LISTS:
        yield ", ".join(names), *generalized(names)
        yield f"{', '.join(names)}, shared slopes", *generalized(names, shared_columns=(1,))
    Y = rng.normal(size=(2, N_ROWS))
    for shared in (False, True):
        options = {"alpha": 0.7, "dispersion_prior": 4.0, "shared_dispersion": shared}
        linear = LinearExperts(noise_variance=(0.8, 1.3), variance_floor=(1e-6, 1e-6), **options)
        yield f"linear, two outputs{', shared dispersions' if shared else ''}", linear, Y
    for n_classes in (2, 3):
        codes = rng.integers(0, n_classes, size=N_ROWS)
        yield f"{n_classes} classes", LogisticExperts(alpha=0.7, n_classes=n_classes), codes


CASES = [pytest.param(experts, y, id=name) for name, experts, y in cases()]
SUPPORTS = {
    capability: [row for row in CASES if has_capability(row.values[0], capability)]
    for capability in (SupportsInference, SupportsStreaming, SupportsDistribution)
}
ALL_GATES = [
    pytest.param(gate(alpha=0.7) if "alpha" in gate().penalties else gate(), id=name)
    for name, gate in GATES.items()
]


def test_all_kinds_of_experts_are_met():
    """A new row of the registry needs its case here, unless its experts are estimators."""
    met = {type(row.values[0]) for row in CASES}
    registered = {kind for row in EXPERTS.values() for kind in row.values()}
    assert {kind for kind in registered if not kind.needs_all_rows} <= met
    assert {name for name, family in FAMILIES.items() if not family.link} <= set().union(*LISTS)


def somewhere(part, seed=0):
    """Valid parameters away from the start."""
    rng = np.random.default_rng(seed)
    start = part.init_params(N_EXPERTS, N_COLUMNS)
    fields = (field + 0.3 * rng.normal(size=field.shape) for field in start)
    params = part.project(type(start)(*fields))
    if isinstance(part, Experts):
        coef = params.coef.copy()
        coef[..., list(part.shared_slopes)] = coef[:1, ..., list(part.shared_slopes)]
        coef[[not part.has_predictor(k) for k in range(N_EXPERTS)]] = 0.0
        if isinstance(part, LogisticExperts):
            coef -= coef.mean(axis=1, keepdims=True)
        params = params._replace(coef=coef)
    return params


def moved(part, params, k, change):
    """Parameters after a change (P,) of the coordinates of expert k."""
    basis = part.contrast_matrix()
    if isinstance(part, LogisticExperts):
        basis = part._contrasts()
    n_coefficients = basis.shape[1] * N_COLUMNS
    coef = params.coef.copy()
    coef[k] += basis @ change[:n_coefficients].reshape(-1, N_COLUMNS)
    fields = {"coef": coef}
    for name in params._fields[1:]:
        values = getattr(params, name).copy()
        values[k] += change[n_coefficients:].reshape(-1, len(basis)).T.reshape(values[k].shape)
        fields[name] = values
    return params._replace(**fields)


def differences(function, n_coordinates, step):
    """Central differences of a function of a change (P,), one row for each coordinate."""
    sides = []
    for sign in (1.0, -1.0):
        sides.append([function(sign * step * unit) for unit in np.eye(n_coordinates)])
    return (np.array(sides[0]) - np.array(sides[1])) / (2.0 * step)


def assert_second_derivatives(function, matrix, step=2e-4):
    """A Hessian (P, P) agrees with differences of a function of a change (P,), along some pairs."""
    assert_allclose(matrix, matrix.T)
    directions = np.random.default_rng(4).normal(size=(4, 2, len(matrix)))
    for one, other in directions:
        first, second = step * one, step * other
        corners = function(first + second) - function(first - second)
        corners += function(-first - second) - function(second - first)
        assert_allclose(one @ matrix @ other, corners / (2.0 * step) ** 2, rtol=1e-4, atol=1e-5)


# --- inference ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("experts", "y"), SUPPORTS[SupportsInference])
def test_scores_and_information_are_derivatives(experts, y):
    params, weight = somewhere(experts), RESP[0]
    for k in range(N_EXPERTS):
        scores = experts.score_rows(params, k, DESIGN, y)
        possible = np.isfinite(experts.log_prob(params, DESIGN, y)[k])
        if not possible.any():
            continue

        def log_prob(change, k=k, rows=possible):
            at = moved(experts, params, k, change)
            return experts.log_prob(at, DESIGN[rows], y[..., rows])[k]

        found = differences(log_prob, len(scores), 1e-5)
        assert_allclose(scores[:, possible], found, rtol=1e-5, atol=1e-6)

        def gradient(change, k=k):
            return experts.score_rows(moved(experts, params, k, change), k, DESIGN, y) @ weight

        information = experts.information(params, k, DESIGN, y, weight)
        expected = -differences(gradient, len(scores), 1e-5)
        assert_allclose(information, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("experts", "y"), [row for row in CASES if not row.values[0].is_classifier]
)
def test_statistics_are_weighted_sums_of_scores(experts, y):
    """Those of coefficients times the scale, if the family has one."""
    params = somewhere(experts)
    statistics = experts.statistics(params, DESIGN, y, RESP)
    assert_allclose(statistics.weight, RESP.sum(axis=1))
    for k in range(N_EXPERTS):
        total = experts.score_rows(params, k, DESIGN, y) @ RESP[k]
        n_coefficients = params.coef[k].size
        scale = _scale(experts, params, k)
        gradient = total[:n_coefficients].reshape(len(y), -1) * scale[:, None]
        assert_allclose(statistics.gradient[k], gradient, rtol=1e-8, atol=1e-8)
        if hasattr(statistics, "dispersion_gradient"):
            rest = total[n_coefficients:].reshape(-1, len(y)).T
            assert_allclose(statistics.dispersion_gradient[k], rest, rtol=1e-8, atol=1e-8)


def _scale(experts, params, k):
    """The scale of each output under expert k; one without a scale."""
    if not _has_scale(experts, k):
        return np.ones(params.coef.shape[1])
    place = experts.dispersions.index(experts.dispersions_of(k)[0])
    return np.exp(params[1][k].reshape(-1, len(experts.dispersions))[:, place])


@pytest.mark.parametrize(
    ("experts", "y"), [row for row in CASES if "two outputs" in row.id and "shared" not in row.id]
)
def test_outputs_have_the_working_target_that_each_has(experts, y):
    y = y.copy()
    y[:, 3] = 1e3  # an outlier of a family that has some
    whole = experts.working_target(y)
    assert whole.shape == y.shape
    for one, of_one in zip(y, whole, strict=True):
        assert_allclose(experts.working_target(one[None])[0], of_one)


@pytest.mark.parametrize(("experts", "y"), SUPPORTS[SupportsInference])
def test_hessians_of_the_penalty_are_its_derivatives(experts, y):
    params = somewhere(experts)
    hessians = experts.penalty_hessian(params)
    assert len(hessians) == N_EXPERTS
    for k, hessian in enumerate(hessians):
        assert_second_derivatives(
            lambda change, k=k: experts.penalty(moved(experts, params, k, change)), hessian
        )


@pytest.mark.parametrize(("experts", "y"), SUPPORTS[SupportsInference])
def test_parameters_are_counted_as_coordinates_that_matter(experts, y):
    params = somewhere(experts)
    shared = experts.shared_coordinates(params)
    free = []
    for k, penalty in enumerate(experts.penalty_hessian(params)):
        possible = np.isfinite(experts.log_prob(params, DESIGN, y)[k])
        scores = experts.score_rows(params, k, DESIGN, y)[:, possible]
        free.append(np.any(scores != 0.0, axis=1))
        assert len(shared) == len(penalty) == len(scores)
    free = np.array(free)
    assert experts.n_parameters(params) == free[:, ~shared].sum() + free[:, shared].any(0).sum()
    # What does not matter is taken as known, unless it is shared with an expert that has it.
    assert_array_equal(experts.at_bound(params), ~free & ~(shared & free.any(axis=0)))


@pytest.mark.parametrize(("experts", "y"), SUPPORTS[SupportsInference])
def test_dispersions_at_a_bound_are_known_and_those_of_a_scale_are_reported(experts, y):
    """Of one output of one expert, and of all experts where they share them."""
    params = somewhere(experts)
    assert not experts.dispersion_at_bound(params).any()
    free = experts.at_bound(params)
    for i, one in enumerate(experts.dispersions_of(1)):
        dispersion = experts.dispersions.index(one)
        values = params[1].copy()
        own = values.reshape(N_EXPERTS, -1, len(experts.dispersions))[:, -1, dispersion]
        own[slice(None) if experts.shared_dispersion else 1] = -100.0
        low = experts.project(params._replace(**{params._fields[1]: values}))
        is_low = np.full(N_EXPERTS, experts.shared_dispersion)
        is_low[1] = True
        is_scale = i == 0 and _has_scale(experts, 1)
        assert_array_equal(experts.dispersion_at_bound(low), is_low & is_scale)
        place = len(free[0]) - (len(experts.dispersions) - dispersion - 1) * values.shape[1] - 1
        expected = free.copy()
        expected[is_low, place] = True
        assert_array_equal(experts.at_bound(low), expected)


def _has_scale(experts, k):
    return (
        isinstance(experts, LinearExperts) or experts.families[k % len(experts.families)].has_scale
    )


@pytest.mark.parametrize("gate", ALL_GATES)
def test_derivatives_of_gates_are_differences(gate):
    params, weight = somewhere(gate), RESP[0]
    (name,) = params._fields
    curvature = gate.penalty_hessian(params, N_COLUMNS)
    # Coordinates are contrasts of logits, which add up to zero over the experts.
    basis = gate.contrast_matrix(params)
    basis = basis - basis.mean(axis=0)

    def at(change):
        values = getattr(params, name)
        change = basis @ change.reshape(basis.shape[1], -1)
        return gate.project(params._replace(**{name: values + change.reshape(values.shape)}))

    log_prob = gate.log_prob(params, DESIGN)
    for k in range(N_EXPERTS):
        found = differences(lambda c, k=k: gate.log_prob(at(c), DESIGN)[k], len(curvature), 1e-5)
        assert_allclose(gate.score_rows(params, k, DESIGN, log_prob), found, atol=1e-8)

    def gradient(change):
        moved_to = at(change)
        scores = gate.score_rows(moved_to, 0, DESIGN, gate.log_prob(moved_to, DESIGN))
        return scores @ weight

    information = gate.information(params, DESIGN, weight, log_prob)
    assert_allclose(information, -differences(gradient, len(curvature), 1e-5), atol=1e-6)

    assert_second_derivatives(lambda change: gate.penalty(at(change)), curvature)
    assert gate.n_parameters(params) == len(curvature)


@pytest.mark.parametrize(("experts", "y"), CASES)
def test_means_and_their_slopes_agree(experts, y):
    params = somewhere(experts)
    mean = experts.mean(params, DESIGN)
    n_outputs = experts.n_classes if experts.is_classifier else len(y)
    assert mean.shape == (N_EXPERTS, n_outputs, N_ROWS)
    for k in range(N_EXPERTS):
        assert_allclose(experts.mean_of(params, k, DESIGN), mean[k], rtol=1e-12)
    if experts.explains_mean:
        slopes = experts.mean_derivative(params, DESIGN)
        slopes = np.ones(mean.shape) if slopes is None else slopes
        step = np.append(np.zeros(N_COLUMNS - 1), 1e-6)
        # Experts without predictor have none that could be changed.
        predictors = np.array([experts.has_predictor(k) for k in range(N_EXPERTS)])
        sides = [
            experts.mean(params._replace(coef=params.coef + sign * step), DESIGN)
            for sign in (1.0, -1.0)
        ]
        expected = (sides[0] - sides[1]) / 2e-6 * predictors[:, None, None]
        assert_allclose(slopes, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("experts", "y"), SUPPORTS[SupportsDistribution])
def test_components_have_the_density_and_the_mean_of_their_expert(experts, y):
    params = somewhere(experts)
    log_prob, mean = experts.log_prob(params, DESIGN, y), experts.mean(params, DESIGN)
    for k in range(N_EXPERTS):
        components = experts.components(params, k, DESIGN)
        assert_allclose(components.weight, 1.0)
        family, parameters = components.block()
        parameters = [values[:, 0] for values in parameters]  # (n, m), of the only component
        logs = family.log_pdf(y.T, *parameters).sum(axis=1)
        possible = np.isfinite(log_prob[k])
        assert_allclose(logs[possible], log_prob[k][possible], rtol=1e-8, atol=1e-10)
        assert_allclose(family.mean(*parameters).T, mean[k], rtol=1e-8)


# --- penalties ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("experts", "y"), CASES)
def test_slopes_of_the_search_of_penalties_are_those_of_the_penalty(experts, y):
    params = somewhere(experts)
    statistics = experts.statistics(params, DESIGN, y, RESP)
    hessian = experts.hessian(params, DESIGN, y, RESP)
    values, covariances, gradient, weight = experts.penalised_slopes(params, statistics, hessian)
    assert covariances.shape == (*values.shape, values.shape[1])
    without = params.coef.copy()
    without[..., :-1] = 0.0
    penalty = experts.penalty(params) - experts.penalty(params._replace(coef=without))
    assert_allclose(0.5 * experts.alpha * (weight * np.square(values)).sum(), penalty)
    # Along the slopes the log-likelihood changes as the gradient has it.
    step, sides = 1e-6, []
    for sign in (1.0, -1.0):
        coef = np.where(without == 0.0, (1.0 + sign * step) * params.coef, params.coef)
        logs = experts.log_prob(params._replace(coef=coef), DESIGN, y)
        sides.append((RESP * np.where(np.isfinite(logs), logs, 0.0)).sum())
    expected = (sides[0] - sides[1]) / (2 * step)
    assert_allclose((gradient * values).sum(), expected, rtol=1e-5, atol=1e-5)
    # Each system has the variances of its Hessian and penalty.
    if not experts.is_classifier and not experts.shared_slopes:
        systems = np.repeat(hessian, len(values) // len(hessian), axis=0)
        for system, covariance in zip(systems, covariances, strict=True):
            inverse = np.linalg.pinv(system + np.diag([experts.alpha, experts.alpha, 0.0]))
            assert_allclose(covariance, inverse[:-1, :-1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("names", [(name,) for name in GENERALIZED] + LISTS)
def test_covariances_of_shared_slopes_are_those_of_the_joint_posterior(names):
    """And at the maximum of the joint posterior, that of each system is where the slopes are."""
    experts, y = generalized(names, shared_columns=(0,))
    params = somewhere(experts)
    predictors = [k for k in range(N_EXPERTS) if experts.has_predictor(k)]
    n, n_own = len(predictors), N_COLUMNS - 1
    hessian = experts.hessian(params, DESIGN, y, RESP)
    ridge = np.diag([experts.alpha / n, experts.alpha, 0.0])
    precision = experts._precision(params)[:, 0]
    places = {k: [0, *range(1 + i * n_own, 1 + (i + 1) * n_own)] for i, k in enumerate(predictors)}
    total = np.zeros((1 + n * n_own, 1 + n * n_own))
    for k, place in places.items():
        total[np.ix_(place, place)] += precision[k] * (hessian[k] + ridge)
    inverse = np.linalg.inv(total)
    # A gradient of the log-likelihood that the penalty balances, though not in each expert alone.
    balance = np.zeros((N_EXPERTS, 1, N_COLUMNS))
    balance[predictors, 0, 0] = (np.arange(n) - np.arange(n).mean()) / precision[predictors]
    statistics = experts.statistics(params, DESIGN, y, RESP)
    statistics = statistics._replace(gradient=params.coef * np.diag(ridge) + balance)
    slopes = experts.penalised_slopes(params, statistics, hessian)
    scale = np.array([np.sqrt(n), 1.0])
    for k, place in places.items():
        expected = precision[k] * inverse[np.ix_(place, place)][:-1, :-1] * np.outer(scale, scale)
        assert_allclose(slopes.covariances[k], expected, rtol=1e-6)
        assert_allclose(slopes.gradient[k], experts.alpha * slopes.weight[k] * slopes.values[k])
    assert_allclose(slopes.weight.sum(axis=0), [1.0, n])


@pytest.mark.parametrize("names", [(name,) for name in GENERALIZED] + LISTS)
def test_a_shared_slope_is_penalised_once(names):
    """As the slope of a single expert of the same scale is."""
    experts, _ = generalized(names, shared_columns=(0,))
    params = somewhere(experts)
    params = params._replace(log_dispersion=np.zeros(params.log_dispersion.shape))
    coef = np.zeros(params.coef.shape)
    coef[[experts.has_predictor(k) for k in range(N_EXPERTS)], :, 0] = 1.7
    at_zero = experts.penalty(params._replace(coef=np.zeros(coef.shape)))
    penalty = experts.penalty(params._replace(coef=coef)) - at_zero
    assert_allclose(penalty, 0.5 * experts.alpha * 1.7**2)


@pytest.mark.parametrize(("experts", "y"), CASES)
def test_shared_slopes_stay_equal_and_the_objective_rises(experts, y):
    params = somewhere(experts)
    logs = experts.log_prob(params, DESIGN, y)
    resp = np.where(np.isfinite(logs), RESP, 0.0)

    def objective(at):
        logs = experts.log_prob(at, DESIGN, y)
        return (resp * np.where(resp > 0.0, logs, 0.0)).sum() - experts.penalty(at)

    before = objective(params)
    statistics = experts.statistics(params, DESIGN, y, resp)
    factor = experts.factorize(experts.hessian(params, DESIGN, y, resp))
    for step in (1e-4, 1e-2, 1.0):
        after = experts.m_step(statistics, factor, params, step)
        if step < 1.0:
            assert objective(after) > before
        predictors = [experts.has_predictor(k) for k in range(N_EXPERTS)]
        slopes = after.coef[predictors][..., list(experts.shared_slopes)]
        assert_allclose(slopes, np.broadcast_to(slopes[:1], slopes.shape), rtol=1e-12)
        if not all(predictors):
            assert not after.coef[np.logical_not(predictors)].any()


@pytest.mark.parametrize("names", [names for names in LISTS if len(set(names)) == 3])
def test_steps_of_an_expert_do_not_depend_on_its_place_in_the_list(names):
    """The experts of the first family are not treated in another way."""
    orders, found = ([0, 1, 2], [2, 0, 1], [1, 2, 0]), []
    for order in orders:
        experts, y = generalized([names[k] for k in order])
        start = experts.init_params(N_EXPERTS, N_COLUMNS)
        own = np.array([experts.has_predictor(k) for k in range(N_EXPERTS)])
        coef = start.coef + 0.1 * own[:, None, None]
        at = experts.project(start._replace(coef=coef))
        resp = RESP[order] * np.isfinite(experts.log_prob(at, DESIGN, y))
        statistics = experts.statistics(at, DESIGN, y, resp)
        factor = experts.factorize(experts.hessian(at, DESIGN, y, resp))
        after = experts.m_step(statistics, factor, at, 1.0)
        place = np.argsort(order)
        logs = experts.log_prob(after, DESIGN, y)[place]
        found.append([after.coef[place], np.where(np.isfinite(logs), logs, 0.0)])
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            assert_allclose(two, one, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("experts", "y"), CASES)
def test_mixed_derivatives_are_there_or_not(experts, y):
    """One row for each dispersion, where they are coupled with the coefficients; else none."""
    params = somewhere(experts)
    statistics = experts.statistics(params, DESIGN, y, RESP)
    if not hasattr(statistics, "cross"):
        return
    n_outputs, n_dispersions = params.log_dispersion.shape[1:]
    alone = len(experts.families) == 1 and not (experts.shared_dispersion or experts.shared_slopes)
    values = np.zeros((n_outputs, N_ROWS)), [np.zeros((n_outputs, 1))] * n_dispersions
    coupled = alone and experts.families[0].cross_derivatives(y, *values) is not None
    shape = N_EXPERTS, n_outputs, n_dispersions if coupled else 0, N_COLUMNS
    assert statistics.cross.shape == shape


@pytest.mark.parametrize("names", [(name,) for name in GENERALIZED] + LISTS)
def test_experts_begin_as_with_rows_that_are_repeated(names):
    rng, (experts, y) = np.random.default_rng(9), generalized(names)
    weight = rng.integers(1, 4, size=N_ROWS)
    if any(family.has_outliers for family in experts.families):
        return  # outliers are moved to a median of distinct rows
    unit = Standardization(np.zeros(1), np.ones(1))
    one = experts.fitted_to(DESIGN, y, weight.astype(float), unit)
    repeated = np.repeat(DESIGN, weight, axis=0), np.repeat(y, weight, axis=1)
    other = experts.fitted_to(*repeated, np.ones(weight.sum()), unit)
    assert_allclose(one.initial_predictor, other.initial_predictor, rtol=1e-12)
    assert_allclose(one.target_variance, other.target_variance, rtol=1e-12)


# --- given means --------------------------------------------------------------------------------

WITH_MEANS = [name for name, family in FAMILIES.items() if family.link and example(name).takes_mean]


def assert_flat(objective, theta, low, high):
    """Along every coordinate an objective is flat, or at a bound and falls beyond it."""
    for index in np.ndindex(theta.shape):
        sides = []
        for sign in (1.0, -1.0):
            moved_to = theta.copy()
            moved_to[index] += sign * 1e-5
            sides.append(objective(moved_to))
        slope = (sides[0] - sides[1]) / 2e-5
        at_low = theta[index] <= low[index] and slope < 0.0
        at_high = theta[index] >= high[index] and slope > 0.0
        assert at_low or at_high or abs(slope) < 1e-4


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", WITH_MEANS)
def test_dispersions_around_given_means_maximise_the_objective(name, shared):
    rng, family = np.random.default_rng(5), example(name)
    y = np.concatenate([family.example_target(rng, N_ROWS) for _ in range(2)])
    options = {"variance_floor": (1e-6, 1e-6), "noise_variance": (0.8, 1.3)}
    options |= {"shared_dispersion": shared, "dispersion_prior": 4.0}
    experts = MeanFamily(family).fitted_to(y, WEIGHT, options)
    noise = rng.uniform(0.5, 2.0, size=(N_EXPERTS, 2, N_ROWS))
    mean = np.abs(y).mean(axis=1)[:, None] * noise
    n_priors = 1 if shared else N_EXPERTS

    def objective(theta):
        theta = np.broadcast_to(theta, start.shape)
        logs = np.einsum("kn,kmn->", RESP, experts.log_prob(mean, theta, y))
        return logs - experts.penalties(theta)[:n_priors].sum()

    start = experts.initial(N_EXPERTS)
    theta = experts.maximise(mean, y, RESP, start)
    assert theta.shape == (N_EXPERTS, 2, len(family.dispersions))
    if shared:
        assert_allclose(theta, np.broadcast_to(theta[:1], theta.shape))
    low, high = (np.tile(end, (N_EXPERTS, 1, 1)) for end in (experts.low, experts.high))
    assert_flat(objective, theta[:n_priors], low, high)
    for k in range(N_EXPERTS):
        kind, parameters = experts.components(mean[k], theta[k]).block()
        logs = kind.log_pdf(y.T, *(values[:, 0] for values in parameters))
        assert_allclose(logs.T, experts.log_prob(mean, theta, y)[k], rtol=1e-8, atol=1e-10)
        assert_allclose(kind.mean(*(values[:, 0] for values in parameters)).T, mean[k])


@pytest.mark.parametrize("name", WITH_MEANS)
def test_a_weight_is_a_number_of_rows_around_given_means(name):
    rng, family = np.random.default_rng(6), example(name)
    y = np.concatenate([family.example_target(rng, N_ROWS) for _ in range(2)])
    weight, exposure = rng.integers(1, 4, size=N_ROWS), rng.uniform(0.5, 2.0, size=N_ROWS)
    options = {"variance_floor": (1e-6, 1e-6), "noise_variance": (0.8, 1.3)}
    options |= {"shared_dispersion": False, "dispersion_prior": 4.0}
    experts, ones = MeanFamily(family), np.ones(weight.sum())
    y_of_rows, of_rows = np.repeat(y, weight, axis=1), np.repeat(exposure, weight)
    if experts.family.has_outliers:  # which are moved to a median of distinct rows
        return
    for given, repeated in ((None, None), (exposure, of_rows)):
        one = experts.fitted_to(y, weight.astype(float), options, given)
        other = experts.fitted_to(y_of_rows, ones, options, repeated)
        for name in ("prior_scale", "target_mean", "start", "low", "high"):
            assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-12)


@pytest.mark.parametrize("shared", [False, True])
def test_noise_of_estimators_maximises_the_objective(shared):
    rng = np.random.default_rng(7)
    y, options = rng.normal(size=(2, N_ROWS)), {"noise_variance": (0.8, 1.3)}
    options |= {"variance_floor": (0.01, 3.0), "dispersion_prior": 4.0}
    experts = CrossFittedExperts(
        (Ridge(),) * N_EXPERTS,
        np.zeros((N_EXPERTS, 1)),
        ({},) * N_EXPERTS,
        shared_dispersion=shared,
        **options,
    )
    predictions = y + rng.normal(size=(N_EXPERTS, 2, N_ROWS)) * [[[0.5]], [[1.0]], [[2.0]]]
    n_priors = 1 if shared else N_EXPERTS
    none = np.zeros((N_EXPERTS, N_ROWS))

    def objective(theta):
        theta = np.broadcast_to(theta, (N_EXPERTS, 2))
        params = EstimatorParams(((),) * N_EXPERTS, theta, predictions, none, None)
        logs = RESP * experts._log_prob(predictions, none, theta, y)
        return logs.sum() - experts.penalty(params)

    theta = experts._log_variance(predictions, y, RESP, none)
    low = np.log(np.tile(options["variance_floor"], (N_EXPERTS, 1)))
    assert_flat(objective, theta[:n_priors], low, np.full(low.shape, np.inf))
    assert (theta >= low).all()
    assert (theta[:, 0] > low[:, 0]).all()


def test_only_experts_of_numbers_have_distributions():
    of_numbers = CrossFittedExperts((Ridge(),), np.zeros((1, 1)), ({},))
    of_classes = CrossFittedExperts((Ridge(),), np.zeros((1, 1)), ({},), classes=np.arange(2))
    assert of_numbers.limitation(SupportsDistribution) == ""
    assert of_classes.limitation(SupportsDistribution) == "its target is a class"
    for experts in (of_numbers, of_classes):
        assert "no coefficients" in experts.limitation(SupportsInference)


# --- streams ------------------------------------------------------------------------------------

X_MAP = AffineMap(np.array([0.5, 3.0]), np.array([0.4, -1.0]))


def y_map(experts, y):
    """Another unit of the outputs, for families whose outputs have been standardised."""
    if experts.is_classifier or not experts.standardizes_target:
        return None
    return AffineMap(np.linspace(0.6, 2.0, len(y)), np.linspace(0.3, -0.8, len(y)))


def in_other_units(experts, y):
    """Experts and target there, the log Jacobian of a row, and the maps."""
    outputs = y_map(experts, y)
    design = np.column_stack([DESIGN[:, :-1] * X_MAP.slope + X_MAP.shift, np.ones(N_ROWS)])
    matrix = _design_map(X_MAP, None)
    assert_allclose(DESIGN @ matrix.T, design)
    if outputs is None:
        return experts, y, 0.0, design, (matrix, None)
    target = outputs.slope[:, None] * y + outputs.shift[:, None]
    jacobian = np.log(outputs.slope).sum()
    return experts.rescale(outputs), target, jacobian, design, (matrix, outputs)


STREAMED = [row for row in SUPPORTS[SupportsStreaming] if not row.values[0].shared_slopes]


@pytest.mark.parametrize(("experts", "y"), STREAMED)
def test_rescaled_parameters_have_the_same_densities(experts, y):
    params = somewhere(experts)
    others, target, jacobian, design, maps = in_other_units(experts, y)
    logs = others.log_prob(others.rescale_params(params, *maps), design, target) + jacobian
    assert_allclose(logs, experts.log_prob(params, DESIGN, y), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(("experts", "y"), STREAMED)
def test_surrogates_have_the_sums_of_the_rows_in_any_units(experts, y):
    """At the parameters of the surrogate, and also where features and outputs have other units."""
    params, weight = somewhere(experts), RESP.sum(axis=0)
    statistics = experts.statistics(params, DESIGN, y, RESP)
    hessian = experts.hessian(params, DESIGN, y, RESP)
    surrogate = experts.surrogate(statistics, hessian, params, DESIGN, weight)
    same_sums(experts.surrogate_statistics(*surrogate, params), statistics)
    others, target, _, design, maps = in_other_units(experts, y)
    moved_to = others.rescale_params(params, *maps)
    rescaled = others.rescale_surrogate(*surrogate, *maps)
    expected = others.statistics(moved_to, design, target, RESP)
    same_sums(others.surrogate_statistics(*rescaled, moved_to), expected)
    if not experts.is_classifier:  # those of classes have a part of a bound besides
        again = others.hessian(moved_to, design, target, RESP)
        assert_allclose(rescaled[1], again, rtol=1e-5, atol=1e-5)


def same_sums(found, expected):
    for name, one, other in zip(found._fields, found, expected, strict=True):
        if name == "cross":  # which surrogates leave out
            assert not one.size
        else:
            assert_allclose(one, other, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("gate", ALL_GATES)
def test_gates_in_other_units_are_the_same(gate):
    params, matrix = somewhere(gate), _design_map(X_MAP, None)
    design = DESIGN @ matrix.T
    log_prob = gate.log_prob(params, DESIGN)
    moved_to = gate.rescale_params(params, matrix, None)
    assert_allclose(gate.log_prob(moved_to, design), log_prob, atol=1e-10)
    statistics = gate.statistics(params, DESIGN, RESP, log_prob)
    hessian, weight = gate.hessian(params, DESIGN, RESP, log_prob), RESP.sum(axis=0)
    surrogate = gate.surrogate(statistics, hessian, params, DESIGN, weight)
    same_sums(gate.surrogate_statistics(*surrogate, params), statistics)
    rescaled = gate.rescale_surrogate(*surrogate, matrix, None)
    expected = gate.statistics(moved_to, design, RESP, log_prob)
    same_sums(gate.surrogate_statistics(*rescaled, moved_to), expected)


# --- offsets ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("experts", "y"), [row for row in CASES if row.values[0].takes_offset])
def test_an_offset_is_a_column_with_a_coefficient_of_one(experts, y):
    offset = np.random.default_rng(3).normal(size=N_ROWS)
    params = somewhere(experts)
    wide = np.column_stack([offset, DESIGN])
    coef = np.concatenate([np.ones((*params.coef.shape[:2], 1)), params.coef], axis=2)
    design, wider = OffsetDesign(DESIGN, offset), params._replace(coef=coef)
    for method in ("log_prob", "mean", "mean_derivative"):
        arguments = (y,) if method == "log_prob" else ()
        one = getattr(experts, method)(params, design, *arguments)
        assert_allclose(one, getattr(experts, method)(wider, wide, *arguments), rtol=1e-8)
