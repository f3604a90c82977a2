"""Linear regressions with normal noise that is correlated between the outputs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

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
from skmoe._numerics.offset_design import split_offset
from skmoe._numerics.probability import LOG_2PI
from skmoe._numerics.typing import Array
from skmoe.distributions import JointComponents
from skmoe.experts._family_targets import observed
from skmoe.experts._linear import LinearStatistics, NormalExperts
from skmoe.experts._linear_families import FitConstants, LinearFamilies, equal_values
from skmoe.families import Family, LogNormal, Normal
from skmoe.protocols import Block, Correlation

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
    def params_types(self) -> tuple[type, ...]:
        """Named tuple of the parameters."""
        return (JointNormalParams,)

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
