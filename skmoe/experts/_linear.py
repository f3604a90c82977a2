"""Linear regressions with normal noise as experts: the normal family, with a closed M-step."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple

import numpy as np

from skmoe._data.censored_targets import has_bounds
from skmoe._numerics.linalg import (
    RidgeFactorization,
    dense_grams,
    gram_product,
    linear_predictor,
    weighted_column_sums,
    weighted_grams,
)
from skmoe._numerics.offset_design import split_offset
from skmoe._numerics.probability import summed_over_experts
from skmoe._numerics.typing import TINY, Array, Design
from skmoe.experts._generalized_linear import GeneralizedLinearExperts
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
class NormalExperts(GeneralizedLinearExperts):
    """Experts with normal noise, whose M-step is closed: outputs are independent, or are not."""

    def _residuals(self, params: Any, design: Design, y: Array) -> Array:
        """Residuals, (K, m, n)."""
        return y - linear_predictor(params.coef, design)

    @abstractmethod
    def _products(self, first: Array, second: Array) -> Array:
        """Sums over the last axis of the products of arrays (K, m, r), as squares of residuals."""

    @abstractmethod
    def _posterior_squares(self, params: Any, squares: Array) -> Array:
        """Squares of the residuals, with those of the prior."""

    @abstractmethod
    def _with_scale(self, params: Any, squares: Array, rows: Array) -> Any:
        """Parameters with the scale of given squares of `rows` (K, m) rows."""

    def statistics(self, params: Any, design: Design, y: Array, resp: Array) -> LinearStatistics:
        """Sums of the residuals and of their products."""
        residual = self._residuals(params, design, y)
        weighted = resp[:, None, :] * residual
        gradient = weighted_column_sums(weighted, split_offset(design)[0])
        return LinearStatistics(resp.sum(axis=1), gradient, self._products(weighted, residual))

    def hessian(self, params: Any, design: Design, y: Array, resp: Array) -> Any:
        """Gram matrices of the rows of each expert, which all outputs share, (K, d, d)."""
        grams = dense_grams if self._needs_matrices else weighted_grams
        return grams(split_offset(design)[0], resp)

    def m_step(
        self, statistics: LinearStatistics, factor: RidgeFactorization, params: Any, step: float
    ) -> Any:
        """Newton step of the coefficients, and the scales there.

        With Gram matrices of the same responsibilities the whole step leads to the posterior mode.
        Older ones are taken to have grown with the weight of the expert's rows.
        """
        weight, gradient, squares = statistics
        growth = np.maximum(weight / np.maximum(factor.weight, TINY), 1.0)[:, None, None]
        penalised = gradient - factor.ridge * params.coef
        change = self._coefficient_steps(factor, penalised, params, step / growth)
        curved = growth * gram_product(factor.gram, change)
        squares = squares - self._products(change, 2.0 * gradient - curved)
        params = params._replace(coef=params.coef + change)
        squares = self._posterior_squares(params, squares)
        rows = weight[:, None] + self._constants(params).strength
        if self.shared_dispersion:
            squares, rows = map(summed_over_experts, (squares, rows))
        return self.project(self._with_scale(params, squares, np.maximum(rows, TINY)))

    def attributes(self, params: Any, units: Any) -> dict[str, Any]:
        """`expert_coef_`, `expert_intercept_` and `noise_variance_` in the units of the data."""
        attributes = super().attributes(params, units)
        if self.families == (Normal(),):
            del attributes["families_"]  # which experts with a choice of families have
        return attributes

    # --- streams, whose surrogate is exact ---

    def surrogate_statistics(
        self, statistics: LinearStatistics, hessian: Array, params: Any
    ) -> LinearStatistics:
        """Sums of the residuals after a change by the coefficients."""
        gradient = statistics.gradient - params.coef @ hessian
        reduction = self._products(params.coef, statistics.gradient + gradient)
        return LinearStatistics(statistics.weight, gradient, statistics.residual_ss - reduction)

    def rescale_surrogate(
        self, statistics: LinearStatistics, hessian: Array, x_map: Array, y_map: Any
    ) -> tuple[LinearStatistics, Array]:
        """Sums for rescaled rows."""
        weight, gradient, squares = statistics
        if y_map is not None and self.standardizes_target:
            slope, shift = y_map.slope[None, :, None], y_map.shift[None, :, None]
            of_shift = np.multiply.outer(weight, self._products(shift, shift)[0])
            mixed = 2.0 * self._products(slope * gradient[..., -1:], shift)
            squares = self._products(slope, slope) * squares + mixed + of_shift
            gradient = slope * gradient + shift * hessian[:, None, -1, :]
        rescaled = LinearStatistics(weight, gradient @ x_map.T, squares)
        return rescaled, x_map @ hessian @ x_map.T


@dataclass(frozen=True)
class LinearExperts(NormalExperts):
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

    def statistics(self, params: Any, design: Design, y: Array, resp: Array) -> LinearStatistics:
        """Sums of the residuals; of censored y those of other families."""
        if has_bounds(y):
            return self.with_bounds().statistics(params, design, y, resp)
        return super().statistics(params, design, y, resp)

    def _products(self, first: Array, second: Array) -> Array:
        return np.einsum("kmn,kmn->km", first, second)

    def _posterior_squares(self, params: Any, squares: Array) -> Array:
        constants = self._constants(params)
        squares = np.maximum(squares, 0.0) + np.square(params.coef) @ constants.ridge
        return squares + constants.prior_squares

    def _with_scale(self, params: Any, squares: Array, rows: Array) -> Any:
        log_variance = np.log(np.maximum(squares, TINY) / rows)
        return params._replace(log_dispersion=log_variance[..., None])
