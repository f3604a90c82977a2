"""Experts and gates of users are parts of a mixture, as those of linear predictors are."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skmoe._data.rows import Dataset, split_into_blocks
from skmoe._mixture.em import Objective, em, fitted_to
from skmoe._mixture.experts import Experts as LinearExperts
from skmoe._mixture.experts import Gate as LinearGate
from skmoe._mixture.information import end_at_maximum
from skmoe._mixture.mixture import Data, Mixture
from skmoe._mixture.own import OwnExperts, OwnGate
from skmoe.distributions import predictive_distribution
from skmoe.families import Normal
from skmoe.families._categorical import Categorical
from support.heteroscedastic import HeteroscedasticExperts
from support.own_parts import ReferenceGate, Regression

# --- data and mixtures ---


def dataset(n_rows=400):
    """Rows of two regimes."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 2))
    design = np.asfortranarray(np.column_stack([X, np.ones(n_rows)]))
    first = rng.random(n_rows) < 1 / (1 + np.exp(-2 * X[:, 0]))
    mean = np.where(first, 1 + X[:, 1], -1 - X[:, 0])
    y = (mean + np.where(first, 0.3, 0.7) * rng.normal(size=n_rows))[None]
    return Dataset(design, design, y, rng.uniform(0.5, 1.5, size=n_rows))


def of_rows(rows, size=None):
    return [Data(block) for block in split_into_blocks(rows, size)]


def linear_experts():
    none = {"alpha": 0.0, "dispersion_prior": 0.0, "noise_variance": (1.0,)}
    starts = [[np.zeros(2)]] * 2
    return LinearExperts([Normal()] * 2, 3, np.ones((2, 1)), np.array([1e-6]), starts, none)


def linear_gate():
    return LinearGate(Categorical(2), 3)


def start(mixture, blocks, n_steps=5):
    """Coefficients that fit responsibilities by the sign of a feature."""
    share = np.concatenate([d.rows.gate_design[:, 0] > 0 for d in blocks]) * 0.8 + 0.1
    resp = np.stack([share, 1 - share])[:, None]
    return fitted_to(Objective(mixture, blocks), mixture.start[None], resp, resp, n_steps)[0]


def maximum(mixture, blocks, max_iter=2000):
    objective = Objective(mixture, blocks, n_rows=sum(data.rows.n_rows for data in blocks))
    run = em(objective, start(mixture, blocks), max_iter, 1e-9)
    assert min(np.diff(run.lower_bounds)) > -1e-10
    return end_at_maximum(objective, run, max_iter, 1e-9)


# --- what holds ---


@pytest.mark.parametrize("own_gate", [False, True])
def test_a_regression_of_ones_own_reaches_the_maximum_of_linear_experts(own_gate):
    blocks = of_rows(dataset(), 150)
    linear = maximum(Mixture(linear_experts(), linear_gate()), blocks)
    gate = OwnGate(ReferenceGate(alpha=0.0), 2, 3) if own_gate else linear_gate()
    own = maximum(Mixture(OwnExperts(Regression(), 2, 3), gate), blocks)
    assert linear.converged
    assert own.converged
    assert_allclose(own.lower_bound, linear.lower_bound, rtol=0, atol=1e-10)
    params = OwnExperts(Regression(), 2, 3).params(own.theta[:8])
    of_linear = linear.theta[:8].reshape(2, 4)
    assert_allclose(params.coef[:, 0], of_linear[:, :3], atol=1e-6)
    assert_allclose(params.log_variance, of_linear[:, 3:], atol=1e-6)


def test_coefficients_and_parameters_are_the_same_numbers():
    experts = OwnExperts(HeteroscedasticExperts(), 2, 3)
    theta = np.arange(12.0)
    params = experts.params(theta)
    assert params.coef.shape == (2, 1, 3)
    assert_allclose(experts.theta(params), theta)
    swapped = experts.params(experts.reordered(theta, np.array([1, 0])))
    assert_allclose(swapped.log_variance_coef, params.log_variance_coef[::-1])
    [data] = of_rows(dataset(40))
    assert_allclose(experts.mean(theta, data, [1]), experts.mean(theta, data)[1:])
    dist = predictive_distribution([experts.components(theta, 0, data)], np.ones((1, 40)), True)
    assert_allclose(dist.mean, experts.mean(theta, data)[0, 0])
