"""Experts with a linear predictor and a family of conditional distributions of y."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from skmoe._numerics.linalg import MAX_DENSE_GRAM, rescale_coefficients
from skmoe._numerics.typing import Array
from skmoe.experts._generalized_linear._inference import FamilyInference
from skmoe.experts._generalized_linear._params import (
    GeneralizedLinearParams,
    GeneralizedLinearStatistics,
)
from skmoe.families import Poisson
from skmoe.protocols import permute_experts


@dataclass(frozen=True)
class GeneralizedLinearExperts(FamilyInference):
    r"""Generalised linear models [1]_, and other families with a linear predictor.

    The conditional distribution of y under expert k is that of its family, with the linear
    predictor :math:`\eta = \beta_k^T x` plus the offset of the row. Several outputs are independent
    given the expert. In the M-step the coefficients take one step of Fisher scoring, and the log
    dispersions one step of Newton's method.

    The prior of the slopes is :math:`N(0, \phi / \alpha)` on standardised features, the penalty of
    scikit-learn's `Ridge`, `GammaRegressor` and `PoissonRegressor`. For families with a scale,
    :math:`\phi` is the first dispersion parameter (noise variance, squared scale, inverse shape),
    whose prior is inverse gamma; for counts it is one.

    In a `MixtureOfExpertsRegressor` choose them by `family`. See "Families" in the user guide.

    Parameters
    ----------
    families : tuple of Family, default=(Poisson(),)
        The family of all experts, or one for each.
    alpha : float, default=1.0
        L2 penalty on the slopes for standardised features, typically 0.01 to 100. Intercepts are
        free.
    shared_dispersion : bool, default=False
        Whether the experts, which have the same family then, share the dispersion parameters.
    dispersion_prior : float, default=10.0
        Strength of the prior on each scale, in rows, typically 1 to 100; 0 for none.
    noise_variance : tuple of float, default=(1.0,)
        For each output, scale of that prior relative to the variance of the working target.
    variance_floor : tuple of float, default=(1e-6,)
        For each output, smallest scale relative to the variance of the working target.
    target_variance : tuple of tuple of float, default=()
        Variance of the working target, for each family and output; set by the fit.
    initial_predictor : tuple of tuple of float, default=()
        Linear predictor without features, for each family and output; set by the fit.
    shared_columns : tuple of int, default=()
        Columns of the design matrix whose slopes all experts share. Each expert has its part of the
        penalty on a shared slope, so that it is penalised once.

    See Also
    --------
    LinearExperts : The same for normal noise, with closed formulas.
    skmoe.families.Family : What a family must have.

    References
    ----------
    .. [1] P. McCullagh and J. A. Nelder (1989), "Generalized Linear Models", 2nd edition, Chapman
       and Hall.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(-2, 2, size=(2000, 1))
    >>> y = rng.poisson(np.exp(1 + np.abs(X[:, 0])))
    >>> moe = MixtureOfExpertsRegressor(2, family="poisson", random_state=0).fit(X, y)
    >>> np.sort(moe.expert_coef_[:, 0]).round(1)
    array([-1.,  1.])
    >>> moe.predict_interval([[1.0]])
    array([[ 3., 12.]])
    """

    def reorder(self, params: GeneralizedLinearParams, order: Array) -> GeneralizedLinearParams:
        """Parameters with the experts in another order."""
        return permute_experts(params, order)

    def streaming_size(self, n_experts: int, n_columns: int) -> tuple[int, int]:
        """Columns of the information matrices, and the most that are formed."""
        return n_columns, MAX_DENSE_GRAM

    def surrogate(
        self,
        statistics: GeneralizedLinearStatistics,
        hessian: Array,
        params: GeneralizedLinearParams,
        design: Any,
        weight: Array,
    ) -> tuple[GeneralizedLinearStatistics, Array]:
        """Quadratic expansion of the log-likelihood at the parameters, without cross terms."""
        statistics = statistics._replace(cross=statistics.cross[:, :, :0])
        return self._moved(statistics, hessian, params, 1.0), hessian

    def surrogate_statistics(
        self,
        statistics: GeneralizedLinearStatistics,
        hessian: Array,
        params: GeneralizedLinearParams,
    ) -> GeneralizedLinearStatistics:
        """Gradients of the surrogate at the parameters."""
        return self._moved(statistics, hessian, params, -1.0)

    @staticmethod
    def _moved(
        statistics: GeneralizedLinearStatistics,
        hessian: Array,
        params: GeneralizedLinearParams,
        sign: float,
    ) -> GeneralizedLinearStatistics:
        """Gradients of a quadratic after a move by the parameters, with a sign."""
        own_hessian = statistics.dispersion_hessian
        moved = np.einsum("kmtu,kmu->kmt", own_hessian, params.log_dispersion)
        return statistics._replace(
            gradient=statistics.gradient + sign * _hessian_product(hessian, params.coef),
            dispersion_gradient=statistics.dispersion_gradient - sign * moved,
        )

    def rescale(self, y_map: Any) -> GeneralizedLinearExperts:
        """Range and variance of a rescaled target."""
        if not self.standardizes_target:
            return self
        squares = np.square(y_map.slope)
        return replace(
            self,
            families=tuple(family.rescale(y_map) for family in self.families),
            target_variance=tuple(
                tuple((squares * np.array(row)).tolist()) for row in self.target_variance
            ),
        )

    def rescale_params(
        self, params: GeneralizedLinearParams, x_map: Array, y_map: Any
    ) -> GeneralizedLinearParams:
        """Parameters that make the same predictions for rescaled rows."""
        coef, log_dispersion = params.coef.copy(), params.log_dispersion.copy()
        for _, family, index in self._groups(len(coef)):
            if y_map is not None and family.standardizes_target:
                coef[index] *= y_map.slope[:, None]
                coef[index, :, -1] += y_map.shift
                log_dispersion[index, :, self._scale_index(family)] += 2.0 * np.log(y_map.slope)
        return GeneralizedLinearParams(rescale_coefficients(coef, x_map), log_dispersion)

    def rescale_surrogate(
        self,
        statistics: GeneralizedLinearStatistics,
        hessian: Array,
        x_map: Array,
        y_map: Any,
    ) -> tuple[GeneralizedLinearStatistics, Array]:
        """Sums for rescaled rows."""
        gradient = statistics.gradient.copy()
        dispersion_gradient = statistics.dispersion_gradient.copy()
        last = hessian[..., -1].reshape(gradient.shape)
        for _, family, index in self._groups(len(gradient)):
            if y_map is not None and family.standardizes_target:
                slope, shift = y_map.slope[:, None], y_map.shift[:, None]
                gradient[index] = slope * gradient[index] + shift * last[index]
                moved = statistics.dispersion_hessian[index][..., self._scale_index(family)]
                dispersion_gradient[index] -= moved * 2.0 * np.log(slope)
        rescaled = statistics._replace(
            gradient=gradient @ x_map.T, dispersion_gradient=dispersion_gradient
        )
        return rescaled, x_map @ hessian @ x_map.T

    def to_onnx(self, graph: Any, params: GeneralizedLinearParams, linear_predictor: Any) -> Any:
        """Means, (n, K, m)."""
        n_experts, n_outputs, _ = params.coef.shape
        factor, shift = np.zeros((n_experts, n_outputs)), np.zeros((n_experts, n_outputs))
        is_log = np.zeros(n_experts, dtype=bool)
        coef = params.coef.copy()
        for k in range(n_experts):
            family, zero = self._family(k), np.zeros((n_outputs, 1))
            theta = self._log_dispersion(family, params.log_dispersion[k])
            at_zero = family.mean(zero, theta)[:, 0]
            is_log[k] = family.link == "log"
            if is_log[k]:  # the mean is a multiple of the exponential
                coef[k, :, -1] += np.log(at_zero)
            elif not family.link:
                shift[k] = at_zero
            factor[k] = family.link == "identity"
        predictor = linear_predictor(coef)
        if is_log.all():
            return graph("Exp", predictor)
        if factor.all():
            return predictor
        logs = np.repeat(is_log[:, None], n_outputs, axis=1).astype(float)
        exponential = graph("Mul", graph("Exp", graph("Mul", predictor, logs)), logs)
        linear = graph("Add", graph("Mul", predictor, factor), shift)
        return graph("Add", exponential, linear)

    @classmethod
    def example_target(cls, rng: np.random.Generator, n_rows: int) -> Array:
        """Counts with a mean of 3."""
        return Poisson().example_target(rng, n_rows)


def _hessian_product(hessian: Array, coef: Array) -> Array:
    """Products (K, m, d) of the Hessians (K * m, d, d) with coefficients (K, m, d)."""
    return np.matmul(hessian, coef.reshape(len(hessian), -1, 1)).reshape(coef.shape)
