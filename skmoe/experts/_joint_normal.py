"""Linear regressions with normal noise that is correlated between the outputs."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from skmoe._data.censored_targets import has_bounds
from skmoe._data.checks import check_choice
from skmoe._numerics.covariances import (
    correlation_matrix,
    covariance_coordinates,
    covariance_derivatives,
    covariance_matrix,
    least_eigenvalue,
    whitening,
    with_least_eigenvalue,
)
from skmoe._numerics.evidence import Slopes, ridge_slopes, without_dropped
from skmoe._numerics.linalg import (
    RidgeFactorization,
    dense_grams,
    gram_product,
    linear_predictor,
    split_offset,
    weighted_column_sums,
    weighted_grams,
)
from skmoe._numerics.probability import LOG_2PI, summed_over_experts
from skmoe._numerics.typing import TINY, Array, Design
from skmoe.distributions import JointComponents
from skmoe.experts._family_targets import observed
from skmoe.experts._generalized_linear import GeneralizedLinearExperts
from skmoe.experts._linear_families import FitConstants, LinearFamilies, equal_values
from skmoe.families import Family, LogNormal, Normal
from skmoe.protocols import Block, Correlation, Dispersion


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
    extreme_rows: ClassVar[tuple[tuple[float, ...], ...]] = ()  # type: ignore[misc]

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


# Families with a multivariate distribution of several outputs, alone or of their logarithms.
JOINT_FAMILIES = (Normal.name, LogNormal.name)

# Relative distance of the smallest eigenvalue from its bound up to which it is there.
BOUND_RTOL = 1e-6


class JointNormalParams(NamedTuple):
    """Coefficients (K, m, d), log variances (K, m, 1) and Fisher's z of the correlations (K, P)."""

    coef: Array
    log_dispersion: Array
    fisher_z: Array

    @property
    def log_variance(self) -> Array:
        """Log variances, (K, m)."""
        return self.log_dispersion[..., 0]

    @property
    def covariance(self) -> Array:
        """Covariance matrices, (K, m, m)."""
        return covariance_matrix(self.log_variance, self.fisher_z)


@dataclass(frozen=True)
class JointNormalExperts(NormalExperts):
    r"""Linear regressions of several outputs, whose noise is multivariate normal.

    The outputs of a row, or their logarithms, are normal given the expert, with mean :math:`B x`
    and covariance matrix :math:`\Sigma`. The prior is conjugate: the columns of slopes are
    :math:`N(0, \Sigma / \alpha)` on standardised features, and :math:`\Sigma` is inverse Wishart
    with the scale matrix :math:`\nu_0 \,\mathrm{diag}(s_0^2)`. The maximum over :math:`B` does not
    depend on :math:`\Sigma`, so that the M-step is closed [1]_, as for independent outputs.

    In a `MixtureOfExpertsRegressor` choose them by `covariance_type="full"`. See "Several outputs"
    in the user guide.

    Parameters
    ----------
    families : tuple of Family, default=(Normal(),)
        The normal or the lognormal family.

    See Also
    --------
    LinearExperts : Independent outputs; the other parameters are the same.

    References
    ----------
    .. [1] T. W. Anderson (2003), "An Introduction to Multivariate Statistical Analysis", 3rd
       edition, Wiley, chapter 8.

    Examples
    --------
    >>> from skmoe.experts import JointNormalExperts
    >>> experts = JointNormalExperts(noise_variance=(1.0, 1.0), variance_floor=(1e-6, 1e-6))
    >>> experts.init_params(n_experts=2, n_columns=3).covariance[0]
    array([[1., 0.],
           [0., 1.]])
    """

    families: tuple[Family, ...] = (Normal(),)
    takes_bounds: ClassVar[bool] = False  # type: ignore[misc]

    def check_options(self) -> None:
        """One family of normal outputs, or of outputs with normal logarithms."""
        super().check_options()
        names = " and ".join(family.name for family in self.families)
        check_choice("expert.families", names, JOINT_FAMILIES)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Those of independent outputs, and the correlations."""
        return (*super().blocks, *self._correlations)

    def blocks_of(self, k: int) -> tuple[Block | None, ...]:
        """The same for each expert."""
        return (*super().blocks_of(k), *self._correlations)

    @property
    def _correlations(self) -> tuple[Block, ...]:
        return (Correlation(),) if self._n_outputs > 1 else ()

    # --- densities ---

    def _residuals(self, params: Any, design: Any, y: Array) -> Array:
        """Residuals of the outputs, or of their logarithms, (K, m, n)."""
        (family,) = self.families
        target = family.working_target(observed(family, y)[1])
        return target - self._predictors(params, design)

    def log_prob(self, params: Any, design: Any, y: Array) -> Array:
        """Joint log density of the outputs under each expert, (K, n)."""
        matrix, log_det = whitening(params.log_variance, params.fisher_z)
        whitened = np.swapaxes(matrix, 1, 2) @ self._residuals(params, design, y)
        logs = np.einsum("kmn,kmn->kn", whitened, whitened)
        logs += log_det[:, None] + len(y) * LOG_2PI
        logs *= -0.5
        if self.families == (LogNormal(),):
            is_possible = self.in_support(y)
            logs -= np.log(np.where(is_possible, y, 1.0)).sum(axis=0)
            logs[:, ~is_possible] = -np.inf
        return logs

    def components(self, params: Any, k: int, design: Any) -> JointComponents:
        """The joint distribution of the outputs under one expert."""
        correlation = correlation_matrix(params.fisher_z[k], params.coef.shape[1])
        return JointComponents(super().components(params, k, design), correlation[None])

    # --- the prior, and the parameters that it allows ---

    def first_params(self, n_experts: int, n_columns: int) -> JointNormalParams:
        """Independent outputs."""
        coef, log_dispersion = super().first_params(n_experts, n_columns)
        n_outputs = coef.shape[1]
        n_pairs = n_outputs * (n_outputs - 1) // 2
        return JointNormalParams(coef, log_dispersion, np.zeros((n_experts, n_pairs)))

    def constants(self, n_experts: int, n_outputs: int, n_columns: int) -> FitConstants:
        """Those of independent outputs, with matrices of `prior_squares`, (K, m, m)."""
        shape = n_experts, n_outputs, n_outputs
        independent: LinearFamilies = replace(self, predictor_squares=())
        constants = LinearFamilies.constants(independent, *shape[:2], n_columns)
        std = np.sqrt(self._target_variance(0))
        squares = np.resize(self.predictor_squares, shape) * np.outer(std, std)
        if self.shared_dispersion:
            squares[1:] = 0.0
        return constants._replace(
            predictor_squares=np.diagonal(squares, axis1=1, axis2=2),
            prior_squares=squares + constants.prior_squares[..., None] * np.eye(n_outputs),
        )

    def project(self, params: Any) -> Any:
        """Covariances within bounds, equal where shared; slopes of dropped features at zero."""
        constants, fisher_z = self._constants(params), params.fisher_z
        log_dispersion = np.minimum(params.log_dispersion, constants.high)
        if self.shared_dispersion:
            log_dispersion, fisher_z = map(equal_values, (log_dispersion, fisher_z))
        covariance = covariance_matrix(log_dispersion[..., 0], fisher_z)
        floor = np.exp(constants.low[..., 0])
        below = least_eigenvalue(covariance, floor) < 1.0
        if below.any():
            raised = covariance_coordinates(with_least_eigenvalue(covariance, floor))
            log_dispersion = np.where(below[:, None, None], raised[0][..., None], log_dispersion)
            fisher_z = np.where(below[:, None], raised[1], fisher_z)
        coef = without_dropped(params.coef, self.alpha)
        return JointNormalParams(coef, log_dispersion, fisher_z)

    def _prior_sums(self, params: Any) -> Array:
        """Products of the residuals of pseudo-observations that have the prior's density."""
        constants = self._constants(params)
        of_slopes = (params.coef * constants.ridge) @ np.swapaxes(params.coef, 1, 2)
        return np.asarray(constants.prior_squares + of_slopes)

    def penalty(self, params: Any) -> float:
        """Negative log prior, up to a constant."""
        matrix, log_det = whitening(params.log_variance, params.fisher_z)
        squares = (matrix * (self._prior_sums(params) @ matrix)).sum()
        return 0.5 * float(squares + self._constants(params).strength[:, 0] @ log_det)

    # --- EM ---

    def _products(self, first: Array, second: Array) -> Array:
        products = first @ np.swapaxes(second, 1, 2)
        return 0.5 * (products + np.swapaxes(products, 1, 2))

    def _posterior_squares(self, params: Any, squares: Array) -> Array:
        return squares + self._prior_sums(params)

    def _with_scale(self, params: Any, squares: Array, rows: Array) -> Any:
        log_variance, fisher_z = covariance_coordinates(squares / rows[:, :1, None])
        return params._replace(log_dispersion=log_variance[..., None], fisher_z=fisher_z)

    # --- penalties that are found ---

    def penalised_slopes(
        self, params: Any, statistics: LinearStatistics, hessian: Any
    ) -> dict[str, Slopes]:
        """Slopes of outputs that are transformed to independent ones of variance one."""
        noise = params.log_variance + np.log(self._noise_share(params, statistics))
        matrix = np.swapaxes(whitening(noise, params.fisher_z)[0], 1, 2)
        ridge = self._constants(params).ridge
        slopes = ridge_slopes(hessian, ridge, matrix @ params.coef, matrix @ statistics.gradient)
        return {"alpha": slopes._replace(weight=np.ones(slopes.values.shape))}

    def added_squares(self, params: Any, squares: Array) -> Any:
        """Products for all pairs of outputs, with the correlations of the noise."""
        std = np.sqrt(squares)
        correlation = correlation_matrix(params.fisher_z, squares.shape[1])
        products = std[:, :, None] * correlation * std[:, None, :]
        return tuple(map(tuple, products.reshape(len(std), -1).tolist()))

    # --- inference ---

    def n_parameters(self, params: Any) -> int:
        """Those of independent outputs, and the correlations."""
        n_matrices = 1 if self.shared_dispersion else len(params.coef)
        return super().n_parameters(params) + n_matrices * params.fisher_z.shape[1]

    def coordinate_holders(self, params: Any) -> Array:
        """The expert that has each coordinate; the first has shared covariances, (K, P)."""
        own = super().coordinate_holders(params)
        return np.hstack([own, np.repeat(own[:, -1:], params.fisher_z.shape[1], axis=1)])

    def dispersion_at_bound(self, params: Any) -> Array:
        """Experts with a linear combination of outputs of the smallest variance."""
        floor = np.exp(self._constants(params).low[..., 0])
        return np.asarray(least_eigenvalue(params.covariance, floor) <= 1.0 + BOUND_RTOL)

    def at_bound(self, params: Any) -> Array:
        """Covariances at a bound, (K, P)."""
        at_bound = super().at_bound(params)
        at_bound[:, params.coef[0].size :] |= self.dispersion_at_bound(params)[:, None]
        return at_bound

    def moved(self, params: Any, change: Array) -> Any:
        """The parameters after a change (K, P) of the coordinates of inference."""
        start = change.shape[1] - params.fisher_z.shape[1]
        moved = super().moved(params, change[:, :start])
        return moved._replace(fisher_z=params.fisher_z + change[:, start:])

    def score_rows(self, params: Any, k: int, design: Any, y: Array) -> Array:
        """Gradient of the log density in coefficients and covariance for each row, (P, n)."""
        log_variance, fisher_z = params.log_variance[k], params.fisher_z[k]
        matrix = whitening(log_variance, fisher_z)[0]
        precision = matrix @ matrix.T
        scaled = precision @ self._residuals(params, design, y)[k]
        slopes = scaled[:, None] * split_offset(design)[0].T
        gradient, _ = covariance_derivatives(log_variance, fisher_z)
        of_covariance = np.einsum("tij,in,jn->tn", gradient, scaled, scaled)
        of_covariance -= np.einsum("tij,ij->t", gradient, precision)[:, None]
        return np.concatenate([slopes.reshape(-1, y.shape[1]), 0.5 * of_covariance])

    def information(self, params: Any, k: int, design: Any, y: Array, weight: Array) -> Array:
        """Negative Hessian of the weighted log density of one expert, (P, P)."""
        matrix, residual = split_offset(design)[0], self._residuals(params, design, y)[k]
        weighted = weight * residual
        sums = weight.sum(), (matrix.T * weight) @ matrix, weighted @ matrix, weighted @ residual.T
        return _information(params.log_variance[k], params.fisher_z[k], *sums)

    def penalty_hessian(self, params: Any) -> list[Array]:
        """Hessian of the penalty for each expert, (P, P)."""
        constants, products = self._constants(params), self._prior_sums(params)
        ridge = np.diag(constants.ridge)
        return [
            _information(
                params.log_variance[k],
                params.fisher_z[k],
                constants.strength[k, 0],
                ridge,
                -params.coef[k] @ ridge,
                products[k],
            )
            for k in range(len(params.coef))
        ]

    def attributes(self, params: Any, units: Any) -> dict[str, Any]:
        """Those of independent outputs, and `expert_covariance_` in the units of the data."""
        attributes = super().attributes(params, units)
        (family,) = self.families
        scale = units.target_scaling.scale if family.standardizes_target else np.ones(1)
        return attributes | {"expert_covariance_": params.covariance * np.outer(scale, scale)}

    def _units_of_squares(self, slope: Array) -> Array:
        return np.outer(slope, slope).ravel()


def _information(
    log_variance: Array,
    fisher_z: Array,
    weight: float,
    gram: Array,
    cross: Array,
    products: Array,
) -> Array:
    """Negative Hessian of a normal log-likelihood in coefficients and covariance, (P, P).

    The sums over the rows are their weight, the Gram matrix (d, d), products of residuals and
    features (m, d), and of residuals (m, m).
    """
    matrix = whitening(log_variance, fisher_z)[0]
    precision = matrix @ matrix.T
    scaled = precision @ products @ precision
    gradient, hessian = covariance_derivatives(log_variance, fisher_z)
    by_precision = precision @ gradient
    of_slopes = np.kron(precision, gram)
    mixed = (by_precision @ precision @ cross).reshape(len(gradient), -1)
    second = np.einsum("tuij,ij->tu", hessian, weight * precision - scaled)
    product = np.einsum("tij,ujk,ki->tu", gradient, by_precision, 2.0 * scaled - weight * precision)
    return np.block([[of_slopes, mixed.T], [mixed, 0.5 * (second + product)]])
