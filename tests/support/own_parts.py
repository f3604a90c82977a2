"""Experts and gates of users, written for the public protocols."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.linalg import helmert

from skmoe.protocols import Dispersion, Experts, Gate, LinearPredictor


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
