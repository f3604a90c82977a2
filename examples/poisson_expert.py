"""A family of your own: Poisson regressions as experts, for counts."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import gammaln

from skmoe.experts import EXPERTS
from skmoe.protocols import Experts


class PoissonParams(NamedTuple):
    """Coefficients (K, 1, d) of the log means."""

    coef: np.ndarray


class PoissonStatistics(NamedTuple):
    """Gradient (K, d) of the expected log-likelihood."""

    gradient: np.ndarray


@dataclass(frozen=True)
class PoissonExperts(Experts):
    """Poisson regressions with a log link and a ridge on the slopes."""

    alpha: float = 1.0  # set by the estimator
    standardizes_target = False  # counts, not standardised values

    def init_params(self, n_experts, n_columns):
        return PoissonParams(np.zeros((n_experts, 1, n_columns)))

    def mean(self, params, design):
        """Means (K, 1, n)."""
        return np.exp(np.clip(params.coef @ design.T, -30.0, 30.0))

    def log_prob(self, params, design, y):
        """Log probability of the counts y (1, n), (K, n)."""
        mean = self.mean(params, design)[:, 0]
        return y[0] * np.log(mean) - mean - gammaln(y[0] + 1.0)

    def statistics(self, params, design, y, resp):
        """Gradient."""
        residual = y[0] - self.mean(params, design)[:, 0]
        return PoissonStatistics((resp * residual) @ design)

    def hessian(self, params, design, y, resp):
        """Fisher information, (K, d, d)."""
        weight = resp * self.mean(params, design)[:, 0]
        return np.einsum("kn,nd,ne->kde", weight, design, design, optimize=True)

    def factorize(self, hessian):
        """Inverse of the penalised information."""
        return np.linalg.inv(hessian + np.diag(self._ridge(hessian) + 1e-9))

    def m_step(self, statistics, factor, params, step):
        """One Newton step of each expert."""
        ascent = statistics.gradient - self._ridge(factor) * params.coef[:, 0]
        return PoissonParams(params.coef + step * np.einsum("kde,ke->kd", factor, ascent)[:, None])

    def penalty(self, params):
        """Half of `alpha` times the squared slopes."""
        return 0.5 * float((np.square(params.coef) * self._ridge(params.coef)).sum())

    def n_parameters(self, params):
        return params.coef.size

    def attributes(self, params, units):
        """Coefficients of raw features."""
        slopes, intercepts = units.expert_coefficients(params.coef[:, 0])
        return {"coef_": slopes, "intercept_": intercepts}

    def _ridge(self, like):
        return np.append(np.full(like.shape[-1] - 1, self.alpha), 0.0)


EXPERTS["my_poisson"] = {"regressor": PoissonExperts}
