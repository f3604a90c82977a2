"""Linear regressions with normal noise as experts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from skmoe._data.checks import check_flag, check_numbers_of_outputs, check_real
from skmoe._numerics.evidence import Slopes, ridge_slopes, without_dropped
from skmoe._numerics.linalg import (
    MAX_DENSE_GRAM,
    RidgeFactorization,
    factorize_ridge,
    gram_product,
    linear_predictor,
    rescale_coefficients,
    ridge_diagonal,
    ridge_newton_step,
    used_columns,
    weighted_column_sums,
    weighted_gram,
    weighted_grams,
)
from skmoe._numerics.probability import LOG_2PI
from skmoe._numerics.typing import TINY, Alpha, Array, Design
from skmoe.distributions import NormalComponents
from skmoe.protocols import Dispersion, Experts, permute_experts


class LinearParams(NamedTuple):
    """Coefficients (K, m, d) and log noise variances (K, m) for m outputs."""

    coef: Array
    log_variance: Array


class LinearStatistics(NamedTuple):
    """Sums: weight (K,), residuals times features (K, m, d), squared residuals (K, m)."""

    weight: Array
    gradient: Array
    residual_ss: Array


@dataclass(frozen=True)
class LinearExperts(Experts):
    r"""Linear regressions with normal noise, independent over the outputs.

    The prior of each expert is conjugate: slopes :math:`\beta \mid \sigma^2 \sim N(0, \sigma^2 /
    \alpha)` on standardised features with a free intercept, and :math:`\sigma^2` inverse gamma with
    shape :math:`\nu_0 / 2` and scale :math:`\nu_0 s_0^2 / 2`. The prior on the variance bounds the
    likelihood, which is unbounded without it [1]_. The M-step is one Newton step. It is exact if
    the Gram matrices are new; like all curvatures they are kept for several iterations.

    In a `MixtureOfExpertsRegressor` these are the experts of `expert="linear"`. See
    "The model" in the user guide.

    Parameters
    ----------
    alpha : float, default=1.0
        L2 penalty on the slopes, as in a ridge regression of each expert, typically 0.01 to 100.
    shared_dispersion : bool, default=False
        Whether the experts share one noise variance.
    dispersion_prior : float, default=10.0
        Strength :math:`\nu_0` of the prior on each variance, in rows, typically 1 to 100; 0 for
        none.
    noise_variance : tuple of float, default=(1.0,)
        Scale :math:`s_0^2` of that prior for each output, for y of variance one; set by the fit.
    variance_floor : tuple of float, default=(1e-6,)
        Smallest variance allowed for each output, for y of variance one; set by the fit.

    See Also
    --------
    GeneralizedLinearExperts : Experts with other distributions of y.

    References
    ----------
    .. [1] C. Fraley and A. E. Raftery (2007), "Bayesian regularization for normal mixture
       estimation and model-based clustering", Journal of Classification 24, 155-181.

    Examples
    --------
    >>> from skmoe.experts import LinearExperts
    >>> params = LinearExperts().init_params(n_experts=2, n_columns=3)
    >>> params.coef.shape
    (2, 1, 3)
    """

    link: ClassVar[str] = "identity"
    estimated_options: ClassVar[tuple[str, ...]] = ("noise_variance", "variance_floor")
    dispersions: ClassVar[tuple[Dispersion, ...]] = (
        Dispersion("log(noise variance)", "noise_variance_"),
    )

    alpha: Alpha = 1.0
    shared_dispersion: bool = False
    dispersion_prior: float = 10.0
    noise_variance: tuple[float, ...] = (1.0,)
    variance_floor: tuple[float, ...] = (1e-6,)

    def check_options(self) -> None:
        """Validate penalty, prior and floor."""
        check_real("expert.alpha", self.alpha)
        check_flag("expert.shared_dispersion", self.shared_dispersion)
        check_real("expert.dispersion_prior", self.dispersion_prior)
        check_numbers_of_outputs("expert.noise_variance", self.noise_variance)
        check_numbers_of_outputs("expert.variance_floor", self.variance_floor)

    @property
    def params_types(self) -> tuple[type, ...]:
        """Named tuple of the parameters."""
        return (LinearParams,)

    def init_params(self, n_experts: int, n_columns: int) -> LinearParams:
        """Zero means with unit variances."""
        n_outputs = len(self.noise_variance)
        return LinearParams(
            np.zeros((n_experts, n_outputs, n_columns)), np.zeros((n_experts, n_outputs))
        )

    def log_prob(self, params: LinearParams, design: Design, y: Array) -> Array:
        """Log density of y (m, n) under each expert, (K, n)."""
        residual = y - linear_predictor(params.coef, design)
        residual *= np.sqrt(0.5 * np.exp(-params.log_variance))[..., None]
        np.square(residual, out=residual)
        constant = -0.5 * (params.log_variance.sum(axis=1) + LOG_2PI * len(y))
        return constant[:, None] - residual.sum(axis=1)

    def mean(self, params: LinearParams, design: Design) -> Array:
        """Mean of each expert, (K, m, n)."""
        return linear_predictor(params.coef, design)

    def mean_of(self, params: LinearParams, k: int, design: Design) -> Array:
        """Mean of one expert, (m, n)."""
        return linear_predictor(params.coef[k], design)

    def components(self, params: LinearParams, k: int, design: Design) -> NormalComponents:
        """The normal density of expert k, as a mixture of one component."""
        mean = self.mean_of(params, k, design)
        std = np.broadcast_to(np.sqrt(np.exp(params.log_variance[k]))[:, None], mean.shape)
        return NormalComponents(np.ones((1, mean.shape[1])), mean[None], std[None])

    def statistics(
        self, params: LinearParams, design: Design, y: Array, resp: Array
    ) -> LinearStatistics:
        """Sums of the residuals."""
        residual = y - linear_predictor(params.coef, design)
        weighted = resp[:, None, :] * residual
        return LinearStatistics(
            resp.sum(axis=1),
            weighted_column_sums(weighted, design),
            np.einsum("kmn,kmn->km", weighted, residual),
        )

    def hessian(self, params: LinearParams, design: Design, y: Array, resp: Array) -> Any:
        """Gram matrices of the rows of each expert."""
        return weighted_grams(design, resp)

    def factorize(self, curvature: Any) -> RidgeFactorization:
        """The penalised Gram matrices, ready for solving."""
        return factorize_ridge(curvature, ridge_diagonal(self.alpha, curvature.shape[-1]))

    def m_step(
        self,
        statistics: LinearStatistics,
        factor: RidgeFactorization,
        params: LinearParams,
        step: float,
    ) -> LinearParams:
        """Newton step of the coefficients, and the variances there.

        With Gram matrices of the same responsibilities the whole step leads to the posterior mode.
        Older ones are taken to have grown with the weight of the expert's rows.
        """
        gradient = statistics.gradient
        weight_ratio = np.maximum(statistics.weight / np.maximum(factor.weight, TINY), 1.0)
        weight_ratio = weight_ratio[:, None, None]
        change = (
            step / weight_ratio * ridge_newton_step(factor, gradient - factor.ridge * params.coef)
        )
        curvature_term = weight_ratio * gram_product(factor.gram, change)
        ss_reduction = (change * (2.0 * gradient - curvature_term)).sum(axis=2)
        coef = params.coef + change
        squares = (
            np.maximum(statistics.residual_ss - ss_reduction, 0.0) + np.square(coef) @ factor.ridge
        )
        return self.project(LinearParams(coef, self._log_variance(statistics.weight, squares)))

    def _log_variance(self, weight: Array, squares: Array) -> Array:
        rows = np.broadcast_to(weight[:, None], squares.shape)
        if self.shared_dispersion:
            rows = np.broadcast_to(rows.sum(axis=0), rows.shape)
            squares = np.broadcast_to(squares.sum(axis=0), squares.shape)
        prior = self.dispersion_prior
        total = np.maximum(rows + prior, TINY)
        return np.log(np.maximum(squares + prior * np.array(self.noise_variance), TINY) / total)

    def project(self, params: LinearParams) -> LinearParams:
        """Variances above their floor, equal if shared, and slopes of dropped features at zero."""
        log_variance = params.log_variance
        if self.shared_dispersion:
            first = log_variance[:1]  # equal variances stay as they are, without round-off
            mean = first + (log_variance - first).mean(axis=0)
            log_variance = np.broadcast_to(mean, log_variance.shape)
        log_variance = np.maximum(log_variance, np.log(self.variance_floor))
        return LinearParams(without_dropped(params.coef, self.alpha), log_variance)

    @property
    def penalties(self) -> dict[str, Any]:
        """Penalty of the slopes, and strength of the prior of the dispersions in rows."""
        return {"alpha": self.alpha, "dispersion_prior": self.dispersion_prior}

    def penalised_slopes(
        self, params: LinearParams, statistics: LinearStatistics, hessian: Any
    ) -> dict[str, Slopes]:
        """Slopes of each expert and output, in units of the noise."""
        ridge = ridge_diagonal(self.alpha, params.coef.shape[-1])
        root = np.exp(-0.5 * params.log_variance)[..., None]
        coef, gradient = params.coef * root, statistics.gradient * root
        return {"alpha": ridge_slopes(hessian, ridge, coef, gradient)}

    def scales(self, params: LinearParams, statistics: LinearStatistics) -> tuple[Array, Array]:
        """Noise variances and the rows of each expert, (K, m)."""
        variance = np.exp(params.log_variance)
        return variance, np.broadcast_to(statistics.weight[:, None], variance.shape)

    def penalty(self, params: LinearParams) -> float:
        """Negative log prior, up to a constant."""
        precision = np.exp(-params.log_variance)
        slopes = np.square(params.coef) @ ridge_diagonal(self.alpha, params.coef.shape[-1])
        variances = params.log_variance + precision * np.array(self.noise_variance)
        if self.shared_dispersion:
            variances = variances[:1]
        return 0.5 * float((slopes * precision).sum() + self.dispersion_prior * variances.sum())

    def score_rows(self, params: LinearParams, k: int, design: Array, y: Array) -> Array:
        """Gradients of the log density in coefficients and log variances, row by row, (P, n)."""
        residual = y - self.mean_of(params, k, design)
        precision = np.exp(-params.log_variance[k])[:, None]
        slopes = (residual * precision)[:, None, :] * design.T
        variances = 0.5 * (residual**2 * precision - 1.0)
        return np.concatenate([slopes.reshape(-1, len(design)), variances])

    def information(
        self, params: LinearParams, k: int, design: Array, y: Array, weight: Array
    ) -> Array:
        """Negative Hessian of the weighted log density of one expert, (P, P)."""
        residual = y - self.mean_of(params, k, design)
        gram = weighted_gram(design, weight)
        return self._block_information(
            np.broadcast_to(gram, (len(y), *gram.shape)),
            (weight * residual) @ design,
            0.5 * (residual**2 @ weight),
            params.log_variance[k],
        )

    def penalty_hessian(self, params: LinearParams) -> list[Array]:
        """Hessians of the penalty, (P, P) for each expert."""
        n_experts, n_outputs, n_columns = params.coef.shape
        ridge = ridge_diagonal(self.alpha, n_columns)
        prior = 0.5 * self.dispersion_prior * np.array(self.noise_variance)
        return [
            self._block_information(
                np.broadcast_to(np.diag(ridge), (n_outputs, n_columns, n_columns)),
                -ridge * params.coef[k],
                # A shared variance has one prior.
                0.5 * np.square(params.coef[k]) @ ridge
                + (0.0 if k and self.shared_dispersion else prior),
                params.log_variance[k],
            )
            for k in range(n_experts)
        ]

    @staticmethod
    def _block_information(
        gram: Array, cross: Array, residual_ss: Array, log_variance: Array
    ) -> Array:
        """Information of outputs (m, d, d), (m, d), (m,), in units of the precision, as (P, P)."""
        n_outputs, n_columns = cross.shape
        size = n_outputs * n_columns
        information = np.zeros((size + n_outputs, size + n_outputs))
        for output, precision in enumerate(np.exp(-log_variance)):
            own = slice(output * n_columns, (output + 1) * n_columns)
            last = size + output
            information[own, own] = precision * gram[output]
            information[own, last] = information[last, own] = precision * cross[output]
            information[last, last] = precision * residual_ss[output]
        return information

    def shared_coordinates(self, params: LinearParams) -> Array:
        """The log variances, if they are shared, (P,)."""
        n_outputs = len(self.noise_variance)
        slopes = np.zeros(params.coef[0].size, dtype=bool)
        return np.append(slopes, np.full(n_outputs, self.shared_dispersion))

    def at_bound(self, params: LinearParams) -> Array:
        """Variances at their floor."""
        free = np.zeros((len(params.coef), params.coef[0].size), dtype=bool)
        return np.hstack([free, params.log_variance <= np.log(self.variance_floor)])

    def contrast_matrix(self) -> Array:
        """One coefficient vector for each output."""
        return np.eye(len(self.noise_variance))

    def n_parameters(self, params: LinearParams) -> int:
        """Coefficients and variances."""
        variances = params.log_variance[:1] if self.shared_dispersion else params.log_variance
        n_experts, n_outputs, _ = params.coef.shape
        return n_experts * n_outputs * int(used_columns(params.coef).sum()) + variances.size

    def attributes(self, params: LinearParams, units: Any) -> dict[str, Any]:
        """`coef_`, `intercept_` and `noise_variance_` in the units of the data."""
        center, scale = units.target_scaling
        slopes, intercepts = units.expert_coefficients(params.coef)
        slopes, intercepts = slopes * scale[:, None], center + scale * intercepts
        variance = scale**2 * np.exp(params.log_variance)
        if len(scale) == 1:
            slopes, intercepts, variance = slopes[:, 0], intercepts[:, 0], variance[:, 0]
        return {"coef_": slopes, "intercept_": intercepts, "noise_variance_": variance}

    def dispersion_at_bound(self, params: LinearParams) -> Array:
        """Experts with a variance at its floor."""
        return np.any(params.log_variance <= np.log(self.variance_floor), axis=1)

    # --- streams and ONNX ---

    def reorder(self, params: LinearParams, order: Array) -> LinearParams:
        """Parameters with the experts in another order."""
        return permute_experts(params, order)

    def streaming_size(self, n_experts: int, n_columns: int) -> tuple[int, int]:
        """Columns of the Gram matrices, and the most that are formed."""
        return n_columns, MAX_DENSE_GRAM

    def surrogate(
        self,
        statistics: LinearStatistics,
        hessian: Array,
        params: LinearParams,
        design: Design,
        weight: Array,
    ) -> tuple[LinearStatistics, Array]:
        """Sums of the residuals at coefficients of zero, which are y; the surrogate is exact."""
        return _residual_sums(statistics, hessian, -params.coef), hessian

    def surrogate_statistics(
        self, statistics: LinearStatistics, hessian: Array, params: LinearParams
    ) -> LinearStatistics:
        """Sums of the residuals at the parameters."""
        return _residual_sums(statistics, hessian, params.coef)

    def rescale(self, y_map: Any) -> LinearExperts:
        """The prior of the variances, and their floor, for a rescaled target."""
        noise, floor = (
            tuple((y_map.slope**2 * np.array(values)).tolist())
            for values in (self.noise_variance, self.variance_floor)
        )
        return replace(self, noise_variance=noise, variance_floor=floor)

    def rescale_params(self, params: LinearParams, x_map: Array, y_map: Any) -> LinearParams:
        """Parameters that make the same predictions for rescaled rows."""
        coef = y_map.slope[:, None] * params.coef
        coef[..., -1] += y_map.shift
        log_variance = params.log_variance + 2.0 * np.log(y_map.slope)
        return LinearParams(rescale_coefficients(coef, x_map), log_variance)

    def rescale_surrogate(
        self, statistics: LinearStatistics, hessian: Array, x_map: Array, y_map: Any
    ) -> tuple[LinearStatistics, Array]:
        """Sums for rescaled rows."""
        weight, cross, square = statistics
        slope, shift = y_map.slope, y_map.shift
        square = (
            slope**2 * square + 2.0 * slope * shift * cross[..., -1] + shift**2 * weight[:, None]
        )
        cross = slope[:, None] * cross + shift[:, None] * hessian[:, None, -1, :]
        rescaled = LinearStatistics(weight, cross @ x_map.T, square)
        return rescaled, x_map @ hessian @ x_map.T

    def to_onnx(self, graph: Any, params: LinearParams, linear_predictor: Any) -> Any:
        """Means, (n, K, m)."""
        return linear_predictor(params.coef)


def _residual_sums(statistics: LinearStatistics, gram: Array, change: Array) -> LinearStatistics:
    """Sums of the residuals after a change (K, m, d) of the coefficients."""
    gradient = statistics.gradient - change @ gram
    square = statistics.residual_ss - (change * (statistics.gradient + gradient)).sum(axis=-1)
    return LinearStatistics(statistics.weight, gradient, square)
