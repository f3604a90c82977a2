"""Experts and gates of users are parts of a mixture, as those of linear predictors are."""

import runpy
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.linalg import helmert

from skmoe._data.rows import Dataset, split_into_blocks
from skmoe._data.units import make_units
from skmoe._mixture.data import Data
from skmoe._mixture.em import Objective, em, fitted_to, side_by_side
from skmoe._mixture.experts import Experts as LinearExperts
from skmoe._mixture.experts import Gate as LinearGate
from skmoe._mixture.information import end_at_maximum, observed_information
from skmoe._mixture.mixture import Mixture
from skmoe._mixture.own import OwnExperts, OwnGate
from skmoe.distributions import predictive_distribution
from skmoe.experts import EXPERTS
from skmoe.families import Normal
from skmoe.families._categorical import Categorical
from skmoe.gates import GATES
from skmoe.protocols import Dispersion, Experts, Gate, LinearPredictor
from support.heteroscedastic import HeteroscedasticExperts

EXAMPLES = Path(__file__).parents[2] / "examples"


class RegressionParams(NamedTuple):
    coef: np.ndarray  # (K, m, d)
    log_variance: np.ndarray  # (K, m)


class RegressionStatistics(NamedTuple):
    gram: np.ndarray
    moments: np.ndarray
    squares: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True)
class Regression(Experts):
    """Least squares, with the M-step in closed form."""

    blocks = (
        LinearPredictor(),
        Dispersion("log(noise variance)", "noise_variance_", params="log_variance"),
    )

    def init_params(self, n_experts, n_columns):
        return RegressionParams(np.zeros((n_experts, 1, n_columns)), np.zeros((n_experts, 1)))

    def mean(self, params, design):
        return params.coef @ design.T

    def log_prob(self, params, design, y):
        precision = np.exp(-params.log_variance)[..., None]
        square = (y - self.mean(params, design)) ** 2
        return -0.5 * (np.log(2 * np.pi / precision) + precision * square).sum(axis=1)

    def statistics(self, params, design, y, resp):
        weighted = resp[..., None] * design
        gram = np.einsum("kni,nj->kij", weighted, design)
        return RegressionStatistics(gram, y[0] @ weighted, resp @ y[0] ** 2, resp.sum(axis=1))

    def m_step(self, statistics, factor, params, step):
        gram, moments, squares, weight = statistics
        coef = np.linalg.solve(gram, moments[..., None])[..., 0]
        residual = squares - np.einsum("ki,ki->k", coef, moments)
        return RegressionParams(coef[:, None], np.log(residual / weight)[:, None])

    def n_parameters(self, params):
        return params.coef.size + params.log_variance.size

    def score_rows(self, params, k, design, y):
        residual, precision = y - params.coef[k] @ design.T, np.exp(-params.log_variance[k, 0])
        return np.vstack([precision * residual * design.T, 0.5 * (precision * residual**2 - 1)])

    def information(self, params, k, design, y, weight):
        residual, precision = y - params.coef[k] @ design.T, np.exp(-params.log_variance[k, 0])
        rows = np.vstack([design.T, residual])
        factor = np.ones((len(rows), len(rows)))
        factor[-1, -1] = 0.5
        return factor * precision * ((rows * weight) @ rows.T)

    def penalty_hessian(self, params):
        return [np.zeros((params.coef.shape[2] + 1,) * 2)] * len(params.coef)


class LogitParams(NamedTuple):
    coef: np.ndarray  # (K, C, d)


@dataclass(frozen=True)
class Logits(Experts):
    """A softmax of three classes, whose coefficients sum to zero."""

    is_classifier = True
    contrasts = helmert(3).T
    blocks = (LinearPredictor(link="softmax", contrasts=contrasts),)

    alpha: float = 0.5

    def init_params(self, n_experts, n_columns):
        return LogitParams(np.zeros((n_experts, 3, n_columns)))

    def mean(self, params, design):
        logits = params.coef @ design.T
        proba = np.exp(logits - logits.max(axis=1, keepdims=True))
        return proba / proba.sum(axis=1, keepdims=True)

    def log_prob(self, params, design, y):
        return np.log(self.mean(params, design))[:, y, np.arange(len(y))]

    def _residuals(self, params, design, y):
        return (y == np.arange(3)[:, None]) - self.mean(params, design)

    def statistics(self, params, design, y, resp):
        return LogitParams((resp[:, None] * self._residuals(params, design, y)) @ design)

    def hessian(self, params, design, y, resp):
        return 0.5 * np.einsum("kn,ni,nj->kij", resp, design, design)

    def factorize(self, hessian):
        return np.linalg.inv(hessian + self.alpha * np.eye(hessian.shape[-1]))

    def m_step(self, statistics, factor, params, step):
        gradient = statistics.coef - self.alpha * params.coef
        return LogitParams(params.coef + step * gradient @ factor)

    def penalty(self, params):
        return 0.5 * self.alpha * (params.coef**2).sum()

    def n_parameters(self, params):
        return params.coef.size * 2 / 3

    def score_rows(self, params, k, design, y):
        residuals = self.contrasts.T @ self._residuals(params, design, y)[k]
        return np.einsum("qn,nd->qdn", residuals, design).reshape(-1, len(design))

    def information(self, params, k, design, y, weight):
        proba = self.mean(params, design)[k]
        covariance = np.eye(3)[..., None] * proba - proba[:, None] * proba
        covariance = np.einsum("cq,cbn,br->qrn", self.contrasts, covariance, self.contrasts)
        found = np.einsum("qrn,n,nd,ne->qdre", covariance, weight, design, design)
        return found.reshape(2 * design.shape[1], -1)

    def penalty_hessian(self, params):
        return [self.alpha * np.eye(2 * params.coef.shape[2])] * len(params.coef)


class GateParams(NamedTuple):
    coef: np.ndarray  # of the logits of all experts but the first, (K - 1, d)


@dataclass(frozen=True)
class ReferenceGate(Gate):
    """A softmax whose first expert is the reference."""

    alpha: float = 0.5

    def init_params(self, n_experts, n_columns):
        return GateParams(np.zeros((n_experts - 1, n_columns)))

    def log_prob(self, params, design):
        logits = np.vstack([np.zeros(design.shape[0]), params.coef @ design.T])
        return logits - np.logaddexp.reduce(logits)

    def statistics(self, params, design, resp, log_prob):
        return GateParams((resp - resp.sum(axis=0) * np.exp(log_prob))[1:] @ design)

    def hessian(self, params, design, resp, log_prob):
        return 0.5 * (design.T * resp.sum(axis=0)) @ design

    def factorize(self, hessian):
        return np.linalg.inv(hessian + self.alpha * np.eye(len(hessian)))

    def m_step(self, statistics, factor, params, step):
        gradient = statistics.coef - self.alpha * params.coef
        return GateParams(params.coef + step * gradient @ factor)

    def penalty(self, params):
        return 0.5 * self.alpha * (params.coef**2).sum()

    def n_parameters(self, params):
        return params.coef.size

    def moved(self, params, change):
        return GateParams(params.coef + change.reshape(params.coef.shape))

    def score_rows(self, params, k, design, log_prob):
        residual = (k == np.arange(len(log_prob)))[:, None] - np.exp(log_prob)
        return np.einsum("kn,nd->kdn", residual[1:], design).reshape(-1, len(design))

    def information(self, params, design, weight, log_prob):
        proba = np.exp(log_prob)[1:]
        covariance = np.eye(len(proba))[..., None] * proba - proba[:, None] * proba
        found = np.einsum("abn,n,nd,ne->adbe", covariance, weight, design, design)
        return found.reshape(params_size := len(proba) * design.shape[1], params_size)

    def penalty_hessian(self, params, n_columns):
        return self.alpha * np.eye(params.coef.size)

    def contrast_matrix(self, params):
        return np.vstack([np.zeros(len(params.coef)), np.eye(len(params.coef))])


# --- data and mixtures ---


def dataset(n_rows=400, n_classes=0, units=False):
    """Rows of two regimes."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 2))
    design = np.asfortranarray(np.column_stack([X, np.ones(n_rows)]))
    first = rng.random(n_rows) < 1 / (1 + np.exp(-2 * X[:, 0]))
    mean = np.where(first, 1 + X[:, 1], -1 - X[:, 0])
    y = (mean + np.where(first, 0.3, 0.7) * rng.normal(size=n_rows))[None]
    if n_classes:
        y = np.digitize(y[0], [-0.5, 0.7])
    weight = rng.uniform(0.5, 1.5, size=n_rows)
    if not units:
        return Dataset(design, design, y, weight)
    of_rows = make_units(np.repeat(np.arange(n_rows // 4), 4))
    return Dataset(design[of_rows.starts], design, y, weight, of_rows)


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
    shares = []
    for data in blocks:
        share = np.where(data.rows.gate_design[:, 0] > 0, 0.9, 0.1)
        shares.append((data.sharing.to_rows(share), share))
    of_experts, of_gate = (
        np.stack([share, 1 - share])[:, None]
        for share in map(np.concatenate, zip(*shares, strict=True))
    )
    theta = mixture.start[None]
    return fitted_to(Objective(mixture, blocks), theta, of_experts, of_gate, n_steps)[0]


def maximum(mixture, blocks, max_iter=2000):
    objective = Objective(mixture, blocks, n_rows=sum(data.rows.n_rows for data in blocks))
    run = em(objective, start(mixture, blocks), max_iter, 1e-9)
    assert min(np.diff(run.lower_bounds)) > -1e-10
    return end_at_maximum(objective, run, max_iter, 1e-9)


def waiting_times(monkeypatch):
    monkeypatch.setitem(EXPERTS, "waiting_time", None)
    return runpy.run_path(str(EXAMPLES / "waiting_time_expert.py"))["WaitingTimeExperts"]()


def dirichlet(monkeypatch):
    monkeypatch.setitem(GATES, "dirichlet", None)
    return runpy.run_path(str(EXAMPLES / "dirichlet_gate.py"))["DirichletGate"]()


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


def numerical_information(mixture, theta, blocks):
    """Negative Hessian of the penalised log-likelihood in the coordinates, and its gradient."""
    size, step = len(mixture.first), 1e-3
    directions = [mixture.expanded(step * one) for one in np.eye(size)]

    def value(*changes):
        at = (theta + sum(changes))[None]
        total = mixture.e_step(at, blocks, curvature=False)
        return float(total.log_likelihood[0] - mixture.penalty(at)[0])

    hessian = np.array(
        [
            [(value(a, b) - value(a, -b) - value(-a, b) + value(-a, -b)) for b in directions]
            for a in directions
        ]
    )
    gradient = np.array([value(a) - value(-a) for a in directions])
    return -hessian / (4 * step**2), gradient / (2 * step)


KINDS = {
    "regression": (Regression(), 0),
    "second predictor": (HeteroscedasticExperts(), 0),
    "classes": (Logits(), 3),
}


@pytest.mark.parametrize("units", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_information_and_gradient_are_those_of_differences(kind, units):
    family, n_classes = KINDS[kind]
    blocks = of_rows(dataset(200, n_classes, units), 80)
    mixture = Mixture(OwnExperts(family, 2, 3), OwnGate(ReferenceGate(), 2, 3))
    theta = start(mixture, blocks, 2)
    found = observed_information(mixture, theta, blocks, True)
    hessian, gradient = numerical_information(mixture, theta, blocks)
    reduced = mixture.reduced_matrix(found.observed)
    assert_allclose(reduced, hessian, rtol=1e-4, atol=1e-4 * np.abs(hessian).max())
    of_penalty = mixture.penalty_gradient(theta)
    assert_allclose(mixture.reduced(found.gradient - of_penalty), gradient, rtol=1e-4, atol=1e-4)
    assert_allclose(found.expert_weight.sum(), sum(data.weight for data in blocks))
    with_linear = Mixture(mixture.experts, linear_gate())
    theta = start(with_linear, blocks, 2)
    hessian, _ = numerical_information(with_linear, theta, blocks)
    found = observed_information(with_linear, theta, blocks)
    reduced = with_linear.reduced_matrix(found.observed)
    assert_allclose(reduced, hessian, rtol=1e-4, atol=1e-4 * np.abs(hessian).max())


@pytest.mark.parametrize("units", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_em_and_newton_reach_a_point_without_gradient(kind, units):
    family, n_classes = KINDS[kind]
    blocks = of_rows(dataset(200, n_classes, units))
    mixture = Mixture(OwnExperts(family, 2, 3), OwnGate(ReferenceGate(), 2, 3))
    run = maximum(mixture, blocks)
    assert run.converged
    _, gradient = numerical_information(mixture, run.theta, blocks)
    assert_allclose(gradient, 0.0, atol=2e-3)


def test_sums_over_blocks_and_vectors_side_by_side_are_those_of_each():
    rows = dataset(200)
    mixture = Mixture(OwnExperts(Regression(), 2, 3), OwnGate(ReferenceGate(), 2, 3))
    theta = start(mixture, of_rows(rows))
    thetas = np.stack([theta, 0.5 * theta, 0.0 * theta])
    whole, parts = (Objective(mixture, of_rows(rows, size)) for size in (200, 64))
    together = parts.ahead(parts.at(thetas))
    for s in range(3):
        state = whole.at(thetas[s : s + 1])
        assert_allclose(together[s], whole.ahead(state)[0], rtol=1e-9, atol=1e-11)
    found, bounds = side_by_side(parts, thetas[:2], 4)
    assert min(np.diff(bounds[1])) >= 0
    assert_allclose(found[0], side_by_side(parts, thetas[:1], 4)[0][0], rtol=1e-9)


def test_examples_of_experts_and_gate_rise_to_a_maximum(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, size=(500, 1))
    design = np.asfortranarray(np.column_stack([X, np.ones(500)]))
    y = rng.exponential(np.exp(1 + np.abs(X[:, 0])))[None]
    blocks = of_rows(Dataset(design, design, y, np.ones(500)), 200)
    experts = OwnExperts(waiting_times(monkeypatch), 2, 2)
    mixture = Mixture(experts, OwnGate(dirichlet(monkeypatch), 2, 2))
    assert not experts.has_derivatives
    assert not mixture.gate.has_derivatives
    run = maximum(mixture, blocks)
    assert run.converged
    _, gradient = numerical_information(mixture, run.theta, blocks)
    assert_allclose(gradient[:4], 0.0, atol=0.05)
    probabilities = np.exp(run.theta[4:])
    assert_allclose(probabilities.sum(), 1.0)
    resp = mixture.responsibilities(run.theta[None], blocks[0])[0]
    assert resp.shape == (2, 1, 200)


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


def test_units_that_are_taken_twice_have_twice_the_information():
    rows = dataset(200, units=True)
    mixture = Mixture(OwnExperts(Regression(), 2, 3), OwnGate(ReferenceGate(), 2, 3))
    theta = start(mixture, of_rows(rows))
    once = observed_information(mixture, theta, of_rows(rows))
    doubled = rows.take(slice(0, 50), 2.0)
    twice = observed_information(mixture, theta, of_rows(doubled))
    assert_allclose(twice.gradient, 2 * once.gradient, rtol=1e-10, atol=1e-9)
