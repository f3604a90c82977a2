"""Experts and gates of users, written for the public protocols."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

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


class LogitParams(NamedTuple):
    coef: np.ndarray  # (K, C, d)


@dataclass(frozen=True)
class Logits(Experts):
    """A softmax of three classes."""

    is_classifier = True
    blocks = (LinearPredictor(link="softmax"),)

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
