"""A family of your own: Poisson regressions as experts, for counts in two regimes."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import gammaln

from skmoe import MixtureOfExpertsRegressor
from skmoe.experts import EXPERTS


class PoissonParams(NamedTuple):
    """Coefficients (K, 1, d) of the log means."""

    coef: np.ndarray


class PoissonStatistics(NamedTuple):
    """Gradient (K, d) of the expected log-likelihood."""

    gradient: np.ndarray


@dataclass(frozen=True)
class PoissonExperts:
    """Poisson regressions with a log link and a ridge on the slopes."""

    alpha: float = 1.0  # set by the estimator
    raw_target = True  # counts, not standardised values

    def initial(self, n_experts, n_columns):
        """Means of one."""
        return PoissonParams(np.zeros((n_experts, 1, n_columns)))

    def predict(self, params, design):
        """Means (K, 1, n)."""
        return np.exp(np.clip(params.coef @ design.T, -30.0, 30.0))

    def predict_one(self, params, k, design):
        """Mean of one expert, (1, n)."""
        return np.exp(np.clip(params.coef[k] @ design.T, -30.0, 30.0))

    def log_prob(self, params, design, y):
        """Log probability of the counts y (1, n), (K, n)."""
        mean = self.predict(params, design)[:, 0]
        return y[0] * np.log(mean) - mean - gammaln(y[0] + 1.0)

    def statistics(self, params, design, y, resp):
        """Gradient."""
        residual = y[0] - self.predict(params, design)[:, 0]
        return PoissonStatistics((resp * residual) @ design)

    def curvature(self, params, design, y, resp):
        """Fisher information, (K, d, d)."""
        weight = resp * self.predict(params, design)[:, 0]
        return np.stack([(design.T * w) @ design for w in weight])

    def factor(self, curvature):
        """Inverse of the penalised information."""
        penalised = curvature + np.diag(self._ridge(curvature.shape[-1]) + 1e-9)
        return np.linalg.inv(penalised)

    def solve(self, statistics, factor, params, step):
        """One Newton step of each expert."""
        coef = params.coef[:, 0]
        ascent = statistics.gradient - self._ridge(coef.shape[1]) * coef
        moved = coef + step * np.einsum("kde,ke->kd", factor, ascent)
        return PoissonParams(moved[:, None])

    def constrain(self, params):
        """Every coefficient is allowed."""
        return params

    def penalty(self, params):
        """Half of `alpha` times the squared slopes."""
        return 0.5 * float((np.square(params.coef) * self._ridge(params.coef.shape[-1])).sum())

    def n_parameters(self, params):
        """Coefficients."""
        return params.coef.size

    def _ridge(self, n_columns):
        return np.append(np.full(n_columns - 1, self.alpha), 0.0)


EXPERTS["poisson"] = {"regressor": PoissonExperts}


def simulate(n_rows=2000, seed=0):
    """Counts that rise with x1 where x0 is negative, and fall where it is positive."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, size=(n_rows, 2))
    log_mean = np.where(X[:, 0] < 0, 1 + 1.5 * X[:, 1], 2 - X[:, 1])
    return X, rng.poisson(np.exp(log_mean))


if __name__ == "__main__":
    X, y = simulate()
    moe = MixtureOfExpertsRegressor(2, expert="poisson", random_state=0).fit(X, y)
    print("slopes of the log means:", moe.coef_.round(2).tolist())
    print("mean of y:", y.mean(), " mean of the predictions:", moe.predict(X).mean().round(2))
