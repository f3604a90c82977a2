"""Linear regressions with normal noise as experts: the normal family, with a closed M-step."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple

import numpy as np

from skmoe._numerics.linalg import (
    RidgeFactorization,
    dense_grams,
    gram_product,
    linear_predictor,
    weighted_column_sums,
    weighted_grams,
)
from skmoe._numerics.typing import TINY, Array, Design
from skmoe.experts._generalized_linear import GeneralizedLinearExperts
from skmoe.experts._linear_families import GeneralizedLinearParams
from skmoe.families import Family, Normal
from skmoe.protocols import Dispersion


class LinearStatistics(NamedTuple):
    """Sums: weight (K,), residuals times features (K, m, d), squared residuals (K, m).

    Of joint normal outputs the last are products of residuals, (K, m, m).
    """

    weight: Array
    gradient: Array
    residual_ss: Array


@dataclass(frozen=True)
class LinearExperts(GeneralizedLinearExperts):
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
    signs : tuple of int, default=()
        Signs of the slopes: 1 for at least zero, -1 for at most zero, 0 for any; () for all.
    predictor_squares : tuple of tuple of float, default=()
        For each expert and output, squares that are added to those of the residuals because the
        slopes are uncertain, for y of variance one; found with `alpha`.

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

    link: ClassVar[str] = Normal.link
    standardizes_target: ClassVar[bool] = Normal.standardizes_target
    dispersions: ClassVar[tuple[Dispersion, ...]] = Normal.dispersions
    # The family is given, and the target is standardised.
    families: ClassVar[tuple[Family, ...]] = (Normal(),)  # type: ignore[misc]
    target_variance: ClassVar[tuple[tuple[float, ...], ...]] = ()  # type: ignore[misc]
    initial_predictor: ClassVar[tuple[tuple[float, ...], ...]] = ()  # type: ignore[misc]
    slopes: ClassVar[tuple[tuple[int, ...], ...]] = ()  # type: ignore[misc]
    dispersion_columns: ClassVar[tuple[int, ...]] = ()  # type: ignore[misc]
    dispersion_alpha: ClassVar[float] = 1.0  # type: ignore[misc]

    def with_bounds(self) -> GeneralizedLinearExperts:
        """Experts of the normal family, whose M-step is not in closed form."""
        options = {field.name: getattr(self, field.name) for field in fields(self)}
        return GeneralizedLinearExperts(LinearExperts.families, **options)

    def fitted_to(self, design: Any, y: Array, weight: Array, scaling: Any) -> Any:
        """The experts as they are."""
        return self

    def statistics(
        self, params: GeneralizedLinearParams, design: Design, y: Array, resp: Array
    ) -> LinearStatistics:
        """Sums of the residuals."""
        residual = y - linear_predictor(params.coef, design)
        weighted = resp[:, None, :] * residual
        return LinearStatistics(
            resp.sum(axis=1),
            weighted_column_sums(weighted, design),
            np.einsum("kmn,kmn->km", weighted, residual),
        )

    def hessian(
        self, params: GeneralizedLinearParams, design: Design, y: Array, resp: Array
    ) -> Any:
        """Gram matrices of the rows of each expert, which all outputs share, (K, d, d)."""
        return (dense_grams if self._needs_matrices else weighted_grams)(design, resp)

    def m_step(
        self,
        statistics: LinearStatistics,
        factor: RidgeFactorization,
        params: GeneralizedLinearParams,
        step: float,
    ) -> GeneralizedLinearParams:
        """Newton step of the coefficients, and the variances there.

        With Gram matrices of the same responsibilities the whole step leads to the posterior mode.
        Older ones are taken to have grown with the weight of the expert's rows.
        """
        weight, gradient, residual_ss = statistics
        growth = np.maximum(weight / np.maximum(factor.weight, TINY), 1.0)[:, None, None]
        penalised = gradient - factor.ridge * params.coef
        change = self._coefficient_steps(factor, penalised, params, step / growth)
        ss_reduction = (change * (2.0 * gradient - growth * gram_product(factor.gram, change))).sum(
            axis=2
        )
        coef = params.coef + change
        constants = self._constants(params)
        squares = np.maximum(residual_ss - ss_reduction, 0.0) + np.square(coef) @ factor.ridge
        squares, rows = squares + constants.prior_squares, weight[:, None] + constants.strength
        if self.shared_dispersion:
            squares, rows = (
                np.broadcast_to(values.sum(axis=0), values.shape) for values in (squares, rows)
            )
        log_variance = np.log(np.maximum(squares, TINY) / np.maximum(rows, TINY))
        return self.project(GeneralizedLinearParams(coef, log_variance[..., None]))

    def attributes(self, params: GeneralizedLinearParams, units: Any) -> dict[str, Any]:
        """`expert_coef_`, `expert_intercept_` and `noise_variance_` in the units of the data."""
        attributes = super().attributes(params, units)
        del attributes["families_"]  # which experts with a choice of families have
        return attributes

    # --- streams ---

    def surrogate(
        self,
        statistics: LinearStatistics,
        hessian: Array,
        params: GeneralizedLinearParams,
        design: Design,
        weight: Array,
    ) -> tuple[LinearStatistics, Array]:
        """Sums of the residuals at coefficients of zero, which are y; the surrogate is exact."""
        return _residual_sums(statistics, hessian, -params.coef), hessian

    def surrogate_statistics(
        self, statistics: LinearStatistics, hessian: Array, params: GeneralizedLinearParams
    ) -> LinearStatistics:
        """Sums of the residuals at the parameters."""
        return _residual_sums(statistics, hessian, params.coef)

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


def _residual_sums(statistics: LinearStatistics, gram: Array, change: Array) -> LinearStatistics:
    """Sums of the residuals after a change (K, m, d) of the coefficients."""
    gradient = statistics.gradient - change @ gram
    square = statistics.residual_ss - (change * (statistics.gradient + gradient)).sum(axis=-1)
    return LinearStatistics(statistics.weight, gradient, square)
