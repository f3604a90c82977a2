"""Experts of one's own with a second linear predictor: normal noise with a log-linear variance."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from skmoe.distributions import NormalComponents
from skmoe.protocols import Experts, LinearPredictor


class HeteroscedasticParams(NamedTuple):
    coef: np.ndarray  # of the means, (K, m, d)
    log_variance_coef: np.ndarray  # of the log variances, (K, m, d)


class HeteroscedasticStatistics(NamedTuple):
    gradient: np.ndarray  # of the expected log-likelihood, (K, 2, m, d)


@dataclass(frozen=True)
class HeteroscedasticExperts(Experts):
    link = "identity"
    blocks = (
        LinearPredictor(),
        LinearPredictor(
            "noise variance", "log_variance_coef", "log", "variance_coef_", "variance_intercept_"
        ),
    )

    alpha: float = 1.0  # L2 penalty on the slopes of both predictors
    noise_variance: tuple = (1.0,)
    estimated_options = ("noise_variance",)

    def init_params(self, n_experts, n_columns):
        zeros = np.zeros((n_experts, len(self.noise_variance), n_columns))
        return HeteroscedasticParams(zeros, zeros)

    def _moments(self, params, design):
        log_variance = np.clip(params.log_variance_coef @ design.T, -20, 20)
        return params.coef @ design.T, np.exp(log_variance)

    def mean(self, params, design):
        return self._moments(params, design)[0]

    def log_prob(self, params, design, y):
        mean, variance = self._moments(params, design)
        logs = -0.5 * (np.log(2 * np.pi * variance) + (y - mean) ** 2 / variance)
        return logs.sum(axis=1)

    def components(self, params, k, design):
        mean, variance = (values[k] for values in self._moments(params, design))
        return NormalComponents(np.ones((1, mean.shape[1])), mean[None], np.sqrt(variance)[None])

    def _scores(self, params, design, y):
        """Derivatives of the log density by both predictors, (K, 2, m, n)."""
        mean, variance = self._moments(params, design)
        residual = y - mean
        return np.stack([residual / variance, 0.5 * (residual**2 / variance - 1)], axis=1)

    def statistics(self, params, design, y, resp):
        weighted = resp[:, None, None] * self._scores(params, design, y)
        return HeteroscedasticStatistics(weighted @ design)

    def hessian(self, params, design, y, resp):
        """Expected information of both predictors, (K, 2, m, d, d)."""
        _, variance = self._moments(params, design)
        weight = np.stack([1 / variance, np.full(variance.shape, 0.5)], axis=1)
        return np.einsum("kn,kpmn,ni,nj->kpmij", resp, weight, design, design)

    def factorize(self, hessian):
        return np.linalg.inv(hessian + np.diag(self._ridge(hessian) + 1e-9))

    def m_step(self, statistics, factor, params, step):
        coef = np.stack(params, axis=1)
        gradient = statistics.gradient - self._ridge(coef) * coef
        change = step * (factor @ gradient[..., None])[..., 0]
        return HeteroscedasticParams(*np.moveaxis(coef + change, 1, 0))

    def penalty(self, params):
        return 0.5 * sum((self._ridge(coef) * coef**2).sum() for coef in params)

    @property
    def penalties(self):
        return {"alpha": self.alpha}

    def n_parameters(self, params):
        return params.coef.size + params.log_variance_coef.size

    def attributes(self, params, units):
        scale, center = units.target_scaling.scale, units.target_scaling.center
        slopes, intercepts = units.expert_coefficients(params.coef)
        variance_slopes, variance_intercepts = units.expert_coefficients(params.log_variance_coef)
        found = {
            "expert_coef_": scale[:, None] * slopes,
            "expert_intercept_": center + scale * intercepts,
            "variance_coef_": variance_slopes,
            "variance_intercept_": variance_intercepts + 2 * np.log(scale),
        }
        return {name: values[:, 0] for name, values in found.items()} if len(scale) == 1 else found

    def reorder(self, params, order):
        return HeteroscedasticParams(*(values[order] for values in params))

    def _ridge(self, like):
        return np.append(np.full(like.shape[-1] - 1, self.alpha), 0)
