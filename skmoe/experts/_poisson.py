"""Poisson regressions with a log link as experts, for counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from scipy.linalg import block_diag
from scipy.special import gammaln

from skmoe._data.checks import check_numbers_of_outputs, check_real
from skmoe._numerics.linalg import (
    MAX_DENSE_GRAM,
    RidgeFactorization,
    factorize_ridge,
    gram_product,
    rescale_coefficients,
    ridge_diagonal,
    ridge_newton_step,
    weighted_column_sums,
    weighted_gram,
    weighted_grams,
)
from skmoe._numerics.offset_design import offset_predictor, split_offset
from skmoe._numerics.typing import TINY, Array, Design
from skmoe.distributions import PoissonComponents
from skmoe.protocols import Experts

# Largest absolute linear predictor: its exponential, about 5e21, and sums of it stay finite in
# single precision too.
MAX_LINEAR_PREDICTOR = 50.0


class PoissonParams(NamedTuple):
    """Coefficients (K, m, d) of the log means of m outputs."""

    coef: Array


class PoissonStatistics(NamedTuple):
    """Gradient (K, m, d) of the expected log-likelihood."""

    gradient: Array


@dataclass(frozen=True)
class PoissonExperts(Experts):
    r"""Poisson regressions for counts: :math:`\log E(y \mid x) = \beta_k^T x` in expert k [1]_.

    Several outputs are independent given the expert. The M-step is one Newton step, which is
    shortened where the linear predictors of the expert's rows would change by more than 1 on
    average (root mean square, weighted by the means), since the exponential is steep.

    Parameters
    ----------
    alpha : float, default=1.0
        L2 penalty on the slopes for standardised features: `alpha / 2` times the sum of their
        squares is subtracted from the log-likelihood. Intercepts are free.
    target_mean : tuple of float, default=(1.0,)
        Mean of each output, estimated by the fit: where the intercepts start.

    References
    ----------
    .. [1] P. McCullagh and J. A. Nelder (1989), "Generalized Linear Models", 2nd edition, Chapman
       and Hall, chapter 6.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(-2, 2, size=(2000, 1))
    >>> y = rng.poisson(np.exp(1 + np.abs(X[:, 0])))
    >>> moe = MixtureOfExpertsRegressor(2, expert="poisson", random_state=0).fit(X, y)
    >>> np.sort(moe.coef_[:, 0]).round(1)
    array([-1.,  1.])
    >>> moe.predict_interval([[1.0]])
    array([[ 3., 12.]])
    """

    link: ClassVar[str] = "log"
    takes_offset: ClassVar[bool] = True
    standardizes_target: ClassVar[bool] = False
    support: ClassVar[str] = "counts, which are non-negative integers,"
    estimated_options: ClassVar[tuple[str, ...]] = ("target_mean",)
    can_separate: ClassVar[bool] = True

    alpha: float = 1.0
    target_mean: tuple[float, ...] = (1.0,)

    def check_options(self) -> None:
        """Validate penalty and means."""
        check_real("expert.alpha", self.alpha)
        check_numbers_of_outputs("expert.target_mean", self.target_mean)

    @property
    def params_types(self) -> tuple[type, ...]:
        """Named tuple of the parameters."""
        return (PoissonParams,)

    def in_support(self, y: Array) -> Array:
        """Whether all outputs of a row are non-negative integers."""
        return ((y >= 0.0) & (y == np.floor(y))).all(axis=0)

    def init_params(self, n_experts: int, n_columns: int) -> PoissonParams:
        """Slopes of zero, and the logs of the overall means as intercepts."""
        coef = np.zeros((n_experts, len(self.target_mean), n_columns))
        coef[..., -1] = np.log(np.maximum(self.target_mean, TINY))
        return PoissonParams(coef)

    def log_prob(self, params: PoissonParams, design: Design, y: Array) -> Array:
        """Log probability of the counts y (m, n) under each expert, (K, n)."""
        log_mean = _log_mean(params.coef, design)
        constant = gammaln(y + 1.0).sum(axis=0)
        return (y * log_mean - np.exp(log_mean)).sum(axis=1) - constant

    def mean(self, params: PoissonParams, design: Design) -> Array:
        """Mean of each expert, (K, m, n)."""
        return np.exp(_log_mean(params.coef, design))

    def mean_of(self, params: PoissonParams, k: int, design: Design) -> Array:
        """Mean of one expert, (m, n)."""
        return np.exp(_log_mean(params.coef[k], design))

    def statistics(
        self, params: PoissonParams, design: Design, y: Array, resp: Array
    ) -> PoissonStatistics:
        """Gradient of the expected log-likelihood."""
        residual = y - self.mean(params, design)
        matrix, _ = split_offset(design)
        return PoissonStatistics(weighted_column_sums(resp[:, None] * residual, matrix))

    def hessian(self, params: PoissonParams, design: Design, y: Array, resp: Array) -> Any:
        """Negative Hessians of the expected log-likelihood: Gram matrices, (K * m, d, d)."""
        weight = resp[:, None] * self.mean(params, design)
        matrix, _ = split_offset(design)
        return weighted_grams(matrix, weight.reshape(-1, weight.shape[-1]))

    def factorize(self, hessian: Any) -> RidgeFactorization:
        """Factorization of the penalised Hessians."""
        return factorize_ridge(hessian, ridge_diagonal(self.alpha, hessian.shape[-1]))

    def m_step(
        self,
        statistics: PoissonStatistics,
        factor: RidgeFactorization,
        params: PoissonParams,
        step: float,
    ) -> PoissonParams:
        """One damped Newton step of each expert and output."""
        shape = params.coef.shape
        gradient = statistics.gradient - factor.ridge * params.coef
        change = ridge_newton_step(factor, gradient.reshape(-1, 1, shape[-1]))
        # Weighted mean square of the change of the linear predictors.
        square = (change * gram_product(factor.gram, change)).sum(axis=(1, 2))
        square /= np.maximum(factor.weight, TINY)
        change /= np.sqrt(np.maximum(square, 1.0))[:, None, None]
        return PoissonParams(params.coef + step * change.reshape(shape))

    def penalty(self, params: PoissonParams) -> float:
        """Half of `alpha` times the sum of the squared slopes."""
        return 0.5 * self.alpha * float(np.square(params.coef[..., :-1]).sum())

    def n_parameters(self, params: PoissonParams) -> int:
        """Number of coefficients."""
        return int(params.coef.size)

    def attributes(self, params: PoissonParams, units: Any) -> dict[str, Any]:
        """`coef_` and `intercept_` of the log means, for raw features."""
        slopes, intercepts = units.expert_coefficients(params.coef)
        if slopes.shape[1] == 1:
            slopes, intercepts = slopes[:, 0], intercepts[:, 0]
        return {"coef_": slopes, "intercept_": intercepts}

    def mean_derivative(self, mean: Array) -> Array:
        """Derivative of the mean by the linear predictor: the mean."""
        return mean

    def components(self, params: PoissonParams, k: int, design: Design) -> PoissonComponents:
        """The Poisson distribution of one expert, as a mixture of one component."""
        mean = self.mean_of(params, k, design)
        return PoissonComponents(np.ones((1, mean.shape[1])), mean[None])

    # --- inference ---

    def score_rows(self, params: PoissonParams, k: int, design: Array, y: Array) -> Array:
        """Gradient of the log probability in the coefficients for each row, (m * d, n)."""
        residual = y - self.mean_of(params, k, design)
        matrix, _ = split_offset(design)
        return (residual[:, None] * matrix.T).reshape(-1, len(matrix))

    def information(
        self, params: PoissonParams, k: int, design: Array, y: Array, weight: Array
    ) -> Array:
        """Negative Hessian of the weighted log probability, (m * d, m * d)."""
        means = self.mean_of(params, k, design)
        matrix, _ = split_offset(design)
        return block_diag(*(weighted_gram(matrix, weight * mean) for mean in means))

    def penalty_hessian(self, params: PoissonParams) -> list[Array]:
        """Hessian of the penalty for each expert, (m * d, m * d)."""
        n_experts, n_outputs, n_columns = params.coef.shape
        return [np.diag(np.tile(ridge_diagonal(self.alpha, n_columns), n_outputs))] * n_experts

    def contrast_matrix(self) -> Array:
        """One coefficient vector for each output."""
        return np.eye(len(self.target_mean))

    # --- streams and ONNX ---

    def streaming_size(self, n_experts: int, n_columns: int) -> tuple[int, int]:
        """Columns of the Hessians, and the most that are formed."""
        return n_columns, MAX_DENSE_GRAM

    def surrogate(
        self,
        statistics: PoissonStatistics,
        hessian: Array,
        params: PoissonParams,
        design: Design,
        weight: Array,
    ) -> tuple[PoissonStatistics, Array]:
        """Quadratic expansion of the log-likelihood at the parameters."""
        linear_term = statistics.gradient + _hessian_product(hessian, params.coef)
        return PoissonStatistics(linear_term), hessian

    def surrogate_statistics(
        self, statistics: PoissonStatistics, hessian: Array, params: PoissonParams
    ) -> PoissonStatistics:
        """Gradient of the surrogate at the parameters."""
        return PoissonStatistics(statistics.gradient - _hessian_product(hessian, params.coef))

    def rescale(self, y_map: Any) -> PoissonExperts:
        """Counts are not rescaled."""
        return self

    def rescale_params(self, params: PoissonParams, x_map: Array, y_map: Any) -> PoissonParams:
        """Coefficients that give the same means for rescaled features."""
        return PoissonParams(rescale_coefficients(params.coef, x_map))

    def rescale_surrogate(
        self, statistics: PoissonStatistics, hessian: Array, x_map: Array, y_map: Any
    ) -> tuple[PoissonStatistics, Array]:
        """Gradient and Hessian for rescaled features."""
        return PoissonStatistics(statistics.gradient @ x_map.T), x_map @ hessian @ x_map.T

    def to_onnx(self, graph: Any, params: PoissonParams, linear_predictor: Any) -> Any:
        """Means, (n, K, m)."""
        return graph("Exp", linear_predictor(params.coef))

    @classmethod
    def example_target(cls, rng: np.random.Generator, n_rows: int) -> Array:
        """Counts with a mean of 3."""
        return rng.poisson(3.0, size=(1, n_rows)).astype(np.float64)


def _log_mean(coef: Array, design: Design) -> Array:
    """Linear predictors (..., n), bounded so that the means are finite and positive."""
    log_mean = offset_predictor(coef, design)
    return np.clip(log_mean, -MAX_LINEAR_PREDICTOR, MAX_LINEAR_PREDICTOR, out=log_mean)


def _hessian_product(hessian: Array, coef: Array) -> Array:
    """Products (K, m, d) of the Hessians (K * m, d, d) with coefficients (K, m, d)."""
    return np.matmul(hessian, coef.reshape(len(hessian), -1, 1)).reshape(coef.shape)
