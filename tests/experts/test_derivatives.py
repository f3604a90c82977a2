"""Scores, information, penalties and their Hessians of experts, against finite differences."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skmoe.distributions import predictive_distribution
from skmoe.protocols import (
    SupportsDispersionEvidence,
    SupportsDistribution,
    SupportsEvidence,
    SupportsInference,
    has_capability,
)
from support.expert_kinds import GENERALIZED
from support.parts import (
    DESIGN,
    EXPERT_CASES,
    LISTS,
    N_COLUMNS,
    N_EXPERTS,
    N_ROWS,
    OF_DISPERSION,
    PRIOR,
    RESP,
    covariance_of,
    differences,
    generalized,
    has_scale,
    scale_of,
    somewhere,
    without_predictor,
)


def cases(capability):
    names = [name for name, row in EXPERT_CASES.items() if has_capability(row[0], capability)]
    return pytest.mark.parametrize("case", names)


def moved(experts, params, k, change):
    """Parameters after a change (P,) of the coordinates of expert k."""
    changes = np.zeros((N_EXPERTS, len(change)))
    changes[k] = change
    return experts.moved(params, changes)


def unlike_experts(experts):
    """Numbers of experts of different families or slopes, or of one where all are alike."""
    are_alike = len(getattr(experts, "families", ())) < 2 and not getattr(experts, "slopes", None)
    return [1] if are_alike else range(N_EXPERTS)


@cases(SupportsInference)
def test_scores_and_information_equal_differences(case):
    experts, y = EXPERT_CASES[case]
    params, weight = somewhere(experts), RESP[0]
    for k in unlike_experts(experts):
        scores = experts.score_rows(params, k, DESIGN, y)
        rows = np.isfinite(experts.log_prob(params, DESIGN, y)[k])
        if not rows.any():
            continue
        start = np.zeros(len(scores))

        def log_prob(change, k=k, rows=rows):
            at = moved(experts, params, k, change)
            return experts.log_prob(at, DESIGN[rows], y[..., rows])[k]

        assert_allclose(scores[:, rows], differences(log_prob, start), rtol=1e-5, atol=1e-6)

        def gradient(change, k=k):
            return experts.score_rows(moved(experts, params, k, change), k, DESIGN, y) @ weight

        information = experts.information(params, k, DESIGN, y, weight)
        expected = -differences(gradient, start)
        assert_allclose(information, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("case", [c for c in EXPERT_CASES if not EXPERT_CASES[c][0].is_classifier])
def test_statistics_are_weighted_sums_of_scores(case):
    """Those of coefficients times the scale, if the family has one."""
    experts, y = EXPERT_CASES[case]
    params = somewhere(experts)
    statistics = experts.statistics(params, DESIGN, y, RESP)
    assert_allclose(statistics.weight, RESP.sum(axis=1))
    for k in range(N_EXPERTS):
        total, size = experts.score_rows(params, k, DESIGN, y) @ RESP[k], params.coef[k].size
        gradient = covariance_of(experts, params, k) @ total[:size].reshape(len(y), -1)
        assert_allclose(statistics.gradient[k], gradient, rtol=1e-8, atol=1e-8)
        if "dispersion_gradient" in statistics._fields:
            rest = experts.layout.from_coordinates(total[size:], len(y)).T
            assert_allclose(statistics.dispersion_gradient[k], rest, rtol=1e-8, atol=1e-8)


def assert_second_derivatives(function, matrix, step=2e-4):
    """A Hessian (P, P) agrees with differences of a function of a change (P,), along some pairs."""
    assert_allclose(matrix, matrix.T)
    directions = np.random.default_rng(4).normal(size=(4, 2, len(matrix)))
    for one, other in directions:
        first, second = step * one, step * other
        corners = function(first + second) - function(first - second)
        corners += function(-first - second) - function(second - first)
        assert_allclose(one @ matrix @ other, corners / (2.0 * step) ** 2, rtol=1e-4, atol=1e-5)


@cases(SupportsInference)
def test_penalty_hessian_equals_differences_of_the_penalty(case):
    experts, _ = EXPERT_CASES[case]
    params = somewhere(experts)
    hessians = experts.penalty_hessian(params)
    assert len(hessians) == N_EXPERTS
    for k, hessian in enumerate(hessians):
        assert_second_derivatives(
            lambda change, k=k: experts.penalty(moved(experts, params, k, change)), hessian
        )


@pytest.mark.parametrize("case", [c for c in EXPERT_CASES if "slopes" not in c])
def test_penalty_is_minus_the_log_prior(case):
    """Slopes are normal in units of the scale, and scales inverse gamma, up to a constant.

    Covariance matrices are inverse Wishart.
    """
    experts, _ = EXPERT_CASES[case]
    params, total = somewhere(experts), 0.0
    for k in range(N_EXPERTS):
        if experts.is_classifier:
            # That of log odds for two classes.
            squares = np.square(params.coef[k, :, :-1]).sum(axis=1)
            total += 0.5 * PRIOR["alpha"] * squares.sum() * (2 if experts.n_classes == 2 else 1)
            continue
        slopes, covariance = params.coef[k, :, :-1], covariance_of(experts, params, k)
        precision = np.linalg.inv(covariance)
        total += 0.5 * PRIOR["alpha"] * np.trace(precision @ slopes @ slopes.T)
        if has_scale(experts, k) and not (experts.shared_dispersion and k):
            noise = np.array(experts.noise_variance)
            if "families" in vars(experts):
                noise = noise * experts.target_variance[k % len(experts.families)]
            prior = noise @ np.diag(precision) + np.linalg.slogdet(covariance)[1]
            total += 0.5 * PRIOR["dispersion_prior"] * prior
    wanted = PRIOR if not experts.is_classifier else {"alpha": PRIOR["alpha"]}
    if "dispersion features" in case:
        slopes = params.log_dispersion[: 1 if experts.shared_dispersion else None, :, :2]
        total += 0.5 * OF_DISPERSION["dispersion_alpha"] * np.square(slopes).sum()
        wanted = wanted | {"dispersion_alpha": OF_DISPERSION["dispersion_alpha"]}
    assert_allclose(experts.penalty(params), total, rtol=1e-9)
    assert experts.penalties == wanted


@pytest.mark.parametrize("names", [(name,) for name in GENERALIZED] + LISTS)
def test_shared_slope_is_penalised_once(names):
    """As the slope of a single expert of the same scale is."""
    experts, _ = generalized(names, slopes=((0,), (0,), (0,)))
    params = somewhere(experts)
    params = params._replace(log_dispersion=np.zeros(params.log_dispersion.shape))
    coef = np.zeros(params.coef.shape)
    at_zero = experts.penalty(params._replace(coef=coef))
    coef[~without_predictor(experts), :, 0] = 1.7
    penalty = experts.penalty(params._replace(coef=coef)) - at_zero
    assert_allclose(penalty, 0.5 * experts.alpha * 1.7**2)


@cases(SupportsInference)
def test_parameters_are_counted_as_coordinates_with_a_score(case):
    experts, y = EXPERT_CASES[case]
    params = somewhere(experts)
    holders = experts.coordinate_holders(params)
    free = []
    for k, penalty in enumerate(experts.penalty_hessian(params)):
        possible = np.isfinite(experts.log_prob(params, DESIGN, y)[k])
        scores = experts.score_rows(params, k, DESIGN, y)[:, possible]
        free.append(np.any(scores != 0.0, axis=1))
        assert len(holders[k]) == len(penalty) == len(scores)
    free = np.array(free)
    is_first = holders == np.arange(N_EXPERTS)[:, None]
    shared = (holders[:, None] == holders).sum(axis=1) > 1
    assert experts.n_parameters(params) == (is_first & (free | shared)).sum()
    # The others are taken as known, or an expert does not have them.
    values, signs = experts.signed_coordinates(params)
    held = (signs != 0.0) & (values == 0.0)
    assert held.any() == bool(experts.signs)
    expected = held | ~free & (holders >= 0) & ~shared
    assert_array_equal(experts.at_bound(params), expected)


@cases(SupportsDistribution)
def test_components_have_the_density_and_the_mean_of_their_expert(case):
    experts, y = EXPERT_CASES[case]
    if "censored" in case:  # distributions have no density of an interval
        return
    params = somewhere(experts)
    log_prob, mean = experts.log_prob(params, DESIGN, y), experts.mean(params, DESIGN)
    for k in range(N_EXPERTS):
        part = experts.components(params, k, DESIGN)
        dist = predictive_distribution([part], np.ones((1, N_ROWS)), single_output=False)
        logs = dist.joint_logpdf(y.T)
        possible = np.isfinite(log_prob[k])
        assert_allclose(logs[possible], log_prob[k][possible], rtol=1e-8, atol=1e-9)
        assert_allclose(dist.mean.T, mean[k], rtol=1e-8)


# --- penalties that are found from the data ---


@cases(SupportsEvidence)
def test_penalised_slopes_are_those_of_penalty_and_likelihood(case):
    experts, y = EXPERT_CASES[case]
    params = somewhere(experts)
    statistics = experts.statistics(params, DESIGN, y, RESP)
    hessian = experts.hessian(params, DESIGN, y, RESP)
    slopes = experts.penalised_slopes(params, statistics, hessian)
    values, covariances, gradient, weight = slopes["alpha"]
    assert covariances.shape == (*values.shape, values.shape[1])
    without = params.coef.copy()
    without[..., :-1] = 0.0
    penalty = experts.penalty(params) - experts.penalty(params._replace(coef=without))
    assert_allclose(0.5 * experts.alpha * (weight * np.square(values)).sum(), penalty)

    def log_likelihood(t):
        coef = params.coef + t * (params.coef - without)
        logs = experts.log_prob(params._replace(coef=coef), DESIGN, y)
        return (RESP * np.where(np.isfinite(logs), logs, 0.0)).sum()

    # Along the slopes the log-likelihood changes as the gradient has it.
    (expected,) = differences(lambda t: log_likelihood(t[0]), np.zeros(1))
    assert_allclose((gradient * values).sum(), expected, rtol=1e-5, atol=1e-5)
    # Each system has the variances of its Hessian and penalty; slopes at their bounds have those of
    # the penalty alone.
    if not experts.is_classifier and not experts.slopes:
        systems = np.repeat(hessian, len(values) // len(hessian), axis=0)
        signs = np.resize([*experts.signs, *[0] * (N_COLUMNS - 1)], N_COLUMNS - 1)
        for system, covariance, value in zip(systems, covariances, values, strict=True):
            free = np.diag(np.append((signs == 0) | (value != 0.0), True).astype(float))
            penalty = np.diag([*[experts.alpha] * (N_COLUMNS - 1), 0.0])
            inverse = np.linalg.pinv(free @ system @ free + penalty)
            assert_allclose(covariance, inverse[:-1, :-1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", [case for case in EXPERT_CASES if "dispersion features" in case])
def test_slopes_of_dispersions_are_those_of_penalty_and_likelihood(case):
    experts, y = EXPERT_CASES[case]
    params = somewhere(experts)
    statistics = experts.statistics(params, DESIGN, y, RESP)
    hessian = experts.hessian(params, DESIGN, y, RESP)
    values, covariances, gradient, weight = experts.penalised_slopes(params, statistics, hessian)[
        "dispersion_alpha"
    ]
    logs = params.log_dispersion
    without = logs.copy()
    without[..., :2] = 0.0
    penalty = experts.penalty(params) - experts.penalty(params._replace(log_dispersion=without))
    alpha = experts.dispersion_alpha
    assert_allclose(0.5 * alpha * (weight * np.square(values)).sum(), penalty)

    def log_likelihood(t):
        at = params._replace(log_dispersion=logs + t[0] * (logs - without))
        found = experts.log_prob(at, DESIGN, y)
        return (RESP * np.where(np.isfinite(found), found, 0.0)).sum()

    (expected,) = differences(log_likelihood, np.zeros(1))
    assert_allclose((weight * gradient * values).sum(), expected, rtol=1e-5, atol=1e-5)
    assert (np.linalg.eigvalsh(covariances[weight[:, 0] > 0.0]) > 0.0).all()


@pytest.mark.parametrize("names", [(name,) for name in GENERALIZED] + LISTS)
def test_covariances_of_shared_slopes_are_those_of_the_joint_posterior(names):
    """At the maximum of the joint posterior, that of each system is where the slopes are."""
    experts, y = generalized(names, slopes=((0,), (0,), (0,)))
    params = somewhere(experts)
    predictors = np.flatnonzero(~without_predictor(experts))
    n, n_own = len(predictors), N_COLUMNS - 1
    hessian = experts.hessian(params, DESIGN, y, RESP)
    ridge = np.diag([experts.alpha / n, experts.alpha, experts.alpha, 0.0])
    precision = np.array([1.0 / scale_of(experts, params, k)[0] for k in range(N_EXPERTS)])
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
    slopes = experts.penalised_slopes(params, statistics, hessian)["alpha"]
    scale = np.array([np.sqrt(n), 1.0, 1.0])
    for k, place in places.items():
        expected = precision[k] * inverse[np.ix_(place, place)][:-1, :-1] * np.outer(scale, scale)
        assert_allclose(slopes.covariances[k], expected, rtol=1e-6)
        expected = experts.alpha * slopes.weight[k] * slopes.values[k]
        assert_allclose(slopes.gradient[k], expected, rtol=1e-6, atol=1e-9)
    assert_allclose(slopes.weight.sum(axis=0), [1.0, n, n])


@cases(SupportsDispersionEvidence)
def test_scales_have_the_rows_of_their_expert(case):
    experts, y = EXPERT_CASES[case]
    params = somewhere(experts)
    scales, rows = experts.scales(params, experts.statistics(params, DESIGN, y, RESP))
    assert_allclose(rows, np.broadcast_to(RESP.sum(axis=1)[:, None], rows.shape))
    for k, found in enumerate(scales):
        if not has_scale(experts, k):
            assert np.isnan(found).all()
            continue
        expected = scale_of(experts, params, k)
        if "families" in vars(experts):
            expected = expected / experts.target_variance[k % len(experts.families)]
        assert_allclose(found, expected)
