"""Linear experts: the exact posterior mode, older Gram matrices, starts and shared variances."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import Ridge

from skmoe.experts import LinearExperts
from support.parts import DESIGN, N_COLUMNS, N_EXPERTS, N_ROWS, RESP, somewhere, step_of

SCALES = {"noise_variance": (1.0, 0.5), "variance_floor": (1e-6, 1e-6)}
Y = np.random.default_rng(2).normal(size=(2, N_ROWS))


def test_start_is_a_mean_of_zero_and_a_variance_of_one():
    experts = LinearExperts(**SCALES)
    params = experts.init_params(N_EXPERTS, N_COLUMNS)
    part = experts.components(params, 1, DESIGN)
    assert_array_equal(part.weight, np.ones((1, N_ROWS)))
    assert_array_equal(part.mean, np.zeros((1, 2, N_ROWS)))
    assert_array_equal(part.std, np.ones((1, 2, N_ROWS)))


@pytest.mark.parametrize("shared_dispersion", [False, True])
def test_one_whole_step_is_the_mode_from_anywhere(shared_dispersion):
    experts = LinearExperts(2.0, shared_dispersion, 4.0, **SCALES)
    one, other = (step_of(experts, somewhere(experts, seed), Y) for seed in (0, 1))
    for found, same in zip(one, other, strict=True):
        assert_allclose(found, same, rtol=1e-7, atol=1e-10)
    squares = np.zeros((N_EXPERTS, 2))
    for k, weight in enumerate(RESP):
        ridge = Ridge(experts.alpha).fit(DESIGN[:, :-1], Y.T, sample_weight=weight)
        assert_allclose(one.coef[k], np.column_stack([ridge.coef_, ridge.intercept_]))
        squares[k] = weight @ np.square(Y.T - ridge.predict(DESIGN[:, :-1]))
        squares[k] += 2.0 * np.square(ridge.coef_).sum(axis=1)
    rows = RESP.sum(axis=1, keepdims=True)
    if shared_dispersion:
        squares, rows = squares.sum(axis=0), rows.sum()
    variance = (squares + 4.0 * np.array([1.0, 0.5])) / (rows + 4.0)
    assert_allclose(np.exp(one.log_dispersion[..., 0]), np.broadcast_to(variance, (N_EXPERTS, 2)))


def test_steps_with_older_gram_matrices_lead_to_the_same_mode():
    experts = LinearExperts(**SCALES)
    params = experts.init_params(N_EXPERTS, N_COLUMNS)
    mode = step_of(experts, params, Y)
    old = experts.factorize(experts.hessian(params, DESIGN, Y, 0.3 * RESP[::-1]))
    for _ in range(100):
        statistics = experts.statistics(params, DESIGN, Y, RESP)
        params = experts.m_step(statistics, old, params, 1.0)
    for found, same in zip(params, mode, strict=True):
        assert_allclose(found, same, rtol=1e-6, atol=1e-9)


def test_older_gram_matrices_are_taken_to_have_grown_with_the_weight():
    """If they have, the step is exact; with lighter rows coefficients move in part."""
    experts = LinearExperts(0.0, False, 4.0, **SCALES)
    start = somewhere(experts)

    def step(of_statistics, of_matrices):
        statistics = experts.statistics(start, DESIGN, Y, of_statistics * RESP)
        factor = experts.factorize(experts.hessian(start, DESIGN, Y, of_matrices * RESP))
        return experts.m_step(statistics, factor, start, 1.0)

    for found, wanted in zip(step(2.5, 1.0), step(2.5, 2.5), strict=True):
        assert_allclose(found, wanted, rtol=1e-7, atol=1e-10)
    expected = start.coef + 0.25 * (step(1.0, 1.0).coef - start.coef)
    assert_allclose(step(0.25, 1.0).coef, expected, rtol=1e-7, atol=1e-10)


def test_projection_shares_a_variance_and_is_idempotent():
    experts = LinearExperts(shared_dispersion=True, **SCALES)
    start = experts.init_params(N_EXPERTS, N_COLUMNS)
    log_dispersion = np.random.default_rng(0).normal(size=start.log_dispersion.shape)
    projected = experts.project(start._replace(log_dispersion=log_dispersion))
    mean = np.tile(log_dispersion.mean(axis=0), (N_EXPERTS, 1, 1))
    assert_allclose(projected.log_dispersion, mean)
    assert len(np.unique(projected.log_dispersion)) == 2
    for ours, again in zip(projected, experts.project(projected), strict=True):
        assert_array_equal(ours, again)


@pytest.mark.parametrize(
    ("above", "expected"),
    [
        ([[0.0, 1.0], [1.0, 1.0]], [True, False]),
        ([[1.0, 1.0], [1.0, 0.0]], [False, True]),
        ([[0.0, 0.0], [1e-3, 1e-3]], [True, False]),
    ],
)
def test_expert_is_at_its_floor_where_one_output_is(above, expected):
    experts = LinearExperts(noise_variance=(1.0, 1.0), variance_floor=(0.01, 0.5))
    params = experts.init_params(2, N_COLUMNS)
    params = params._replace(log_dispersion=(np.log([0.01, 0.5]) + np.array(above))[..., None])
    assert experts.dispersion_at_bound(params).tolist() == expected
