"""What experts with a linear predictor are by themselves, without a fit."""

from dataclasses import replace

import numpy as np
from kinds import GENERALIZED, example
from numpy.testing import assert_allclose, assert_array_equal

from skmoe._data.scaling import Standardization
from skmoe._mixture.online import AffineMap
from skmoe.experts import GeneralizedLinearExperts, LinearExperts
from skmoe.experts._generalized_linear._params import (
    GeneralizedLinearParams,
    GeneralizedLinearStatistics,
)
from skmoe.experts._linear import LinearParams
from skmoe.families import Uniform

N_ROWS, N_COLUMNS = 12, 3
FEATURES = np.random.default_rng(0).normal(size=(N_ROWS, N_COLUMNS - 1))
DESIGN = np.column_stack([FEATURES, np.ones(N_ROWS)])


def experts_of(*families, n_outputs=1, **options):
    """Experts of families, with what they take from examples of the first one."""
    rng = np.random.default_rng(1)
    y = np.concatenate([families[0].example_target(rng, N_ROWS) for _ in range(n_outputs)])
    scales = {"noise_variance": (0.8, 1.3)[:n_outputs], "variance_floor": (1e-6,) * n_outputs}
    unit = Standardization(np.zeros(n_outputs), np.ones(n_outputs))
    experts = GeneralizedLinearExperts(tuple(families), **scales | options)
    return experts.fitted_to(DESIGN, y, np.ones(N_ROWS), unit)


def test_experts_of_a_rescaled_target_have_its_variance():
    """Those whose target is in its own units are the same."""
    for name in GENERALIZED:
        for n_outputs in (1,) if name == "ordinal" else (1, 2):
            experts = experts_of(example(name), n_outputs=n_outputs)
            y_map = AffineMap(np.array([2.0, 0.25])[:n_outputs], np.array([3.0, -1.0])[:n_outputs])
            other = experts.rescale(y_map)
            if not experts.standardizes_target:
                assert other is experts, name
                continue
            squares = np.square(y_map.slope)
            assert_allclose(other.target_variance, squares * np.array(experts.target_variance))
            assert other.initial_predictor == experts.initial_predictor
    both = experts_of(example("student_t"), Uniform((-9.0,), (5.0,)))
    moved = both.rescale(AffineMap(np.array([2.0]), np.array([3.0])))
    assert (moved.families[1].low, moved.families[1].high) == ((-15.0,), (13.0,))
    assert_allclose(moved.target_variance, 4.0 * np.array(both.target_variance))


# --- the prior ------------------------------------------------------------------------------------

WITH_SCALE = [name for name in GENERALIZED if example(name).has_scale]
PRIOR = {"alpha": 0.7, "dispersion_prior": 4.0}


def parameters(experts, n_experts=2):
    """Random coefficients and log dispersions within their bounds."""
    rng = np.random.default_rng(2)
    start = experts.init_params(n_experts, N_COLUMNS)
    coef = start.coef + 0.5 * rng.normal(size=start.coef.shape)
    theta = start.log_dispersion + 0.3 * rng.normal(size=start.log_dispersion.shape)
    return experts.project(GeneralizedLinearParams(coef, theta))


def penalty_by_its_formula(experts, params):
    """Squared slopes in units of the scale, and inverse gamma densities of the scales."""
    total = 0.0
    for k, (coef, theta) in enumerate(zip(*params, strict=True)):
        family = experts.families[k % len(experts.families)]
        for j in range(len(coef)):
            squares = 0.5 * experts.alpha * np.square(coef[j, :-1]).sum()
            if not family.has_scale:
                total += squares
                continue
            variance = experts.target_variance[k % len(experts.families)][j]
            scale = np.exp(theta[j, experts.dispersions.index(family.dispersions[0])])
            total += squares / scale
            if not (experts.shared_dispersion and k):
                ratio = experts.noise_variance[j] * variance / scale
                total += 0.5 * experts.dispersion_prior * (ratio + np.log(scale))
    return total


def test_penalties_are_those_of_the_prior():
    for shared in (False, True):
        for name in GENERALIZED:
            experts = experts_of(example(name), shared_dispersion=shared, **PRIOR)
            params = parameters(experts, 3)
            wanted = penalty_by_its_formula(experts, params)
            assert_allclose(experts.penalty(params), wanted, err_msg=name)
    several = experts_of(example("gamma"), example("poisson"), example("lognormal"), **PRIOR)
    params = parameters(several, 3)
    assert_allclose(several.penalty(params), penalty_by_its_formula(several, params))


def test_slopes_of_the_penalty_in_the_log_scales_are_differences():
    for shared in (False, True):
        for name in WITH_SCALE:
            experts = experts_of(example(name), n_outputs=2, shared_dispersion=shared, **PRIOR)
            params = parameters(experts)
            first, second = experts._scale_penalty_derivatives(params)
            for k in range(2):
                for j in range(2):
                    values = []
                    for step in (1e-3, 0.0, -1e-3):
                        theta = params.log_dispersion.copy()
                        theta[k, j, 0] += step
                        values.append(experts.penalty(params._replace(log_dispersion=theta)))
                    up, middle, down = values
                    assert_allclose(first[k, j], (up - down) / 2e-3, rtol=1e-3)
                    assert_allclose(second[k, j], (up - 2.0 * middle + down) / 1e-6, rtol=1e-3)


def test_log_dispersions_are_kept_within_their_bounds():
    """Those of a scale are relative to the variance of the target; unused ones are zero."""
    for name in GENERALIZED:
        experts = experts_of(example(name), n_outputs=1 if name == "ordinal" else 2)
        family = experts.families[0]
        variance = np.array(experts.target_variance[0])
        experts = replace(experts, target_variance=((0.3, 7.0)[: len(variance)],))
        variance = np.array(experts.target_variance[0])
        shape = (2, len(variance), len(family.dispersions))
        coef = np.zeros((2, len(variance), N_COLUMNS))
        for sign in (-1.0, 1.0):
            found = experts.project(GeneralizedLinearParams(coef, np.full(shape, sign * 1e3)))
            for i, (low, high) in enumerate(family.log_dispersion_bounds):
                if family.has_scale and not i:
                    low = np.log(experts.variance_floor * variance)
                    high = high + np.log(np.maximum(variance, 1.0))
                wanted = np.broadcast_to(low if sign < 0.0 else high, shape[:2])
                assert_allclose(found.log_dispersion[..., i], wanted, err_msg=name)
    pair = experts_of(example("poisson"), example("negative_binomial"))
    theta = np.full((2, 1, 1), 0.5)
    found = pair.project(GeneralizedLinearParams(np.zeros((2, 1, N_COLUMNS)), theta))
    assert_array_equal(found.log_dispersion[:, 0, 0], [0.0, 0.5])


def test_shared_dispersions_are_the_mean_of_those_within_their_bounds():
    experts = experts_of(example("negative_binomial"), shared_dispersion=True)
    ((_, high),) = experts.families[0].log_dispersion_bounds
    theta = np.array([0.0, 1.0, 1e3])[:, None, None]
    found = experts.project(GeneralizedLinearParams(np.zeros((3, 1, N_COLUMNS)), theta))
    assert_allclose(found.log_dispersion, np.full((3, 1, 1), (1.0 + high) / 3.0))


def test_experts_begin_with_the_variance_of_the_target_or_one():
    for name in GENERALIZED:
        family = experts_of(example(name)).families[0]
        start = GeneralizedLinearExperts((family,)).init_params(2, N_COLUMNS)
        wanted = np.tile(family.initial_log_dispersion, (2, 1, 1))
        assert_allclose(start.log_dispersion, wanted.reshape(start.log_dispersion.shape))
        assert_array_equal(start.coef, 0.0)


def test_scales_are_relative_to_the_target_and_have_the_rows_of_their_expert():
    experts = experts_of(example("gamma"), example("poisson"))
    experts = replace(experts, target_variance=((3.0,), (5.0,)))
    params = parameters(experts)
    weight = np.array([6.0, 9.0])
    statistics = GeneralizedLinearStatistics(weight, *[np.zeros(0)] * 4)
    scales, rows = experts.scales(params, statistics)
    assert_allclose(scales[0], np.exp(params.log_dispersion[0, :, 0]) / 3.0)
    assert np.isnan(scales[1]).all()
    assert_array_equal(rows, [[6.0], [9.0]])


# --- graphs ---------------------------------------------------------------------------------------


def test_graphs_of_experts_have_their_means():
    """Exponentials, linear functions and constants, alone and in one list."""
    operations = {"Exp": np.exp, "Mul": np.multiply, "Add": np.add}

    def graph(name, *arguments):
        return operations[name](*arguments)

    lists = [(name,) for name in GENERALIZED if example(name).link != "logit"]
    lists += [("gamma", "normal"), ("poisson", "zero"), ("lognormal", "uniform", "student_t")]
    lists += [("normal", "uniform"), ("student_t", "zero", "gamma")]
    for names in lists:
        for n_outputs in (1, 2):
            families = [example(name) for name in names]
            experts = experts_of(*families, n_outputs=n_outputs)
            params = parameters(experts, 3 if len(names) == 1 else len(names))
            coef = params.coef.copy()
            coef[[not experts.has_predictor(k) for k in range(len(coef))]] = 0.0
            params = params._replace(coef=coef)
            found = experts.to_onnx(
                graph, params, lambda coef: np.einsum("kmd,nd->nkm", coef, DESIGN)
            )
            wanted = experts.mean(params, DESIGN).transpose(2, 0, 1)
            assert_allclose(np.broadcast_to(found, wanted.shape), wanted, err_msg=str(names))


# --- linear experts -------------------------------------------------------------------------------


def test_linear_experts_begin_with_means_of_zero_and_variances_of_one():
    experts = LinearExperts(noise_variance=(1.0, 1.0), variance_floor=(1e-6, 1e-6))
    params = experts.init_params(3, N_COLUMNS)
    assert_array_equal(params.coef, np.zeros((3, 2, N_COLUMNS)))
    assert_array_equal(params.log_variance, np.zeros((3, 2)))
    part = experts.components(params, 1, DESIGN)
    assert_array_equal(part.weight, np.ones((1, N_ROWS)))
    assert_array_equal(part.std, np.ones((1, 2, N_ROWS)))


def test_linear_experts_take_older_matrices_to_have_grown_with_the_weight_of_the_rows():
    """With the weights that they have now the step is exact; lighter rows move in part."""
    rng = np.random.default_rng(4)
    y, resp = rng.normal(size=(2, N_ROWS)), rng.uniform(size=(3, N_ROWS))
    scales = {"noise_variance": (1.0, 0.5), "variance_floor": (1e-6, 1e-6)}
    experts = LinearExperts(alpha=0.0, dispersion_prior=4.0, **scales)
    start = LinearParams(rng.normal(size=(3, 2, N_COLUMNS)), rng.normal(size=(3, 2)))

    def step(of_statistics, of_matrices):
        statistics = experts.statistics(start, DESIGN, y, of_statistics * resp)
        factor = experts.factorize(experts.hessian(start, DESIGN, y, of_matrices * resp))
        return experts.m_step(statistics, factor, start, 1.0)

    exact = step(1.0, 1.0)
    for k in range(3):
        root = np.sqrt(resp[k])
        coef = np.linalg.lstsq(DESIGN * root[:, None], (y * root).T, rcond=None)[0].T
        assert_allclose(exact.coef[k], coef)
        squares = resp[k] @ np.square(y - coef @ DESIGN.T).T
        variance = (squares + 4.0 * np.array([1.0, 0.5])) / (resp[k].sum() + 4.0)
        assert_allclose(exact.log_variance[k], np.log(variance))
    for found, wanted in zip(step(2.5, 1.0), step(2.5, 2.5), strict=True):
        assert_allclose(found, wanted)
    lighter = step(0.25, 1.0)
    assert_allclose(lighter.coef, start.coef + 0.25 * (exact.coef - start.coef))
