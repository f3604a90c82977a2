"""A family of your own: exponential waiting times whose log means are linear in the features."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from skmoe.protocols import Experts, LinearPredictor


class WaitingTimeParams(NamedTuple):
    coef: np.ndarray  # of the log means, (K, m, d)


class WaitingTimeStatistics(NamedTuple):
    gradient: np.ndarray  # of the expected log-likelihood, (K, m, d)


@dataclass(frozen=True)
class WaitingTimeExperts(Experts):
    link = "log"
    standardizes_target = False
    support = "positive numbers"
    estimated_options = ("target_mean",)
    blocks = (LinearPredictor(link="log"),)

    alpha: float = 1.0  # L2 penalty on the slopes
    target_mean: tuple = (1.0,)  # mean of each output

    def in_support(self, y):
        return (y > 0).all(axis=0)

    def init_params(self, n_experts, n_columns):
        coef = np.zeros((n_experts, len(self.target_mean), n_columns))
        coef[..., -1] = np.log(self.target_mean)
        return WaitingTimeParams(coef)

    def mean(self, params, design):
        return np.exp(np.clip(params.coef @ design.T, -50, 50))

    def log_prob(self, params, design, y):
        mean = self.mean(params, design)
        return (-np.log(mean) - y / mean).sum(axis=1)

    def statistics(self, params, design, y, resp):
        residual = y / self.mean(params, design) - 1
        return WaitingTimeStatistics((resp[:, None] * residual) @ design)

    def hessian(self, params, design, y, resp):  # Fisher information, (K, 1, d, d)
        return np.stack([(design.T * weight) @ design for weight in resp])[:, None]

    def factorize(self, hessian):
        return np.linalg.inv(hessian + np.diag(self._ridge(hessian) + 1e-9))

    def m_step(self, statistics, factor, params, step):
        gradient = statistics.gradient - self._ridge(params.coef) * params.coef
        return WaitingTimeParams(params.coef + step * (factor @ gradient[..., None])[..., 0])

    def penalty(self, params):
        return 0.5 * (self._ridge(params.coef) * params.coef**2).sum()

    def n_parameters(self, params):
        return params.coef.size

    def attributes(self, params, units):
        slopes, intercepts = units.expert_coefficients(params.coef)
        if len(self.target_mean) == 1:
            slopes, intercepts = slopes[:, 0], intercepts[:, 0]
        return {"expert_coef_": slopes, "expert_intercept_": intercepts}

    def mean_derivative(self, params, design):
        return self.mean(params, design)

    def _ridge(self, like):
        return np.append(np.full(like.shape[-1] - 1, self.alpha), 0)
