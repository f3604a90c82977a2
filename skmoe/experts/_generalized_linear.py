"""Experts with a linear predictor and a family of conditional distributions of y."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from skmoe._numerics.linalg import (
    MAX_DENSE_GRAM,
    RidgeFactorization,
    bounded_newton_step,
    dense_grams,
    factorize_ridge,
    gram_product,
    rescale_coefficients,
    ridge_diagonal,
    ridge_newton_step,
    split_offset,
    weighted_column_sums,
    weighted_grams,
)
from skmoe._numerics.signed_steps import constrained_steps
from skmoe._numerics.typing import TINY, Array
from skmoe.experts._family_targets import observed
from skmoe.experts._linear_families import (
    FamilyGroup,
    GeneralizedLinearParams,
)
from skmoe.experts._linear_inference import LinearInference
from skmoe.families import Poisson
from skmoe.families._censored import of_target
from skmoe.protocols import permute_experts

# Largest change of a log dispersion in one Newton step.
MAX_DISPERSION_STEP = 2.0


class GeneralizedLinearStatistics(NamedTuple):
    """Sums of derivatives of the expected log-likelihood."""

    weight: Array  # of the rows of each expert, (K,)
    gradient: Array  # by the coefficients, times the scale if there is one, (K, m, d)
    dispersion_gradient: Array  # by the log dispersions, (K, m, T)
    dispersion_hessian: Array  # (K, m, T, T)
    # By log dispersions and coefficients, times the scale if there is one, (K, m, T, d);
    # (K, m, 0, d) where they are not coupled.
    cross: Array


@dataclass(frozen=True)
class GeneralizedLinearExperts(LinearInference):
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
    slopes : tuple of tuple of int, default=()
        For each expert, a number of its slope in each column of the design matrix: experts with
        equal numbers share the slope, and -1 is none. By default each expert has all slopes for
        itself. Each expert has its part of the penalty on a shared slope.
    signs : tuple of int, default=()
        Signs of the slopes: 1 for at least zero, -1 for at most zero, 0 for any; () for all.
    predictor_squares : tuple of tuple of float, default=()
        For each expert and output, squares that are added to those of the residuals because the
        slopes are uncertain, in units of `noise_variance`; found with `alpha`.
    dispersion_columns : tuple of int, default=()
        Columns of the design matrix on which the log of the first dispersion parameter of each
        expert depends.
    dispersion_alpha : float, default=1.0
        L2 penalty on the slopes of log dispersions, for standardised features.
    extreme_rows : tuple of tuple of float, default=()
        Values of the dispersion columns in the outermost rows of the fit. The dispersions of these
        are bounded, by shorter slopes, so that they are not zero or infinite. Set by the fit.

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

    # --- EM: Fisher scoring of the coefficients, and Newton steps of the log dispersions ---

    def statistics(
        self, params: GeneralizedLinearParams, design: Any, y: Array, resp: Array
    ) -> Any:
        """Gradients of the expected log-likelihood, and Hessians in the log dispersions."""
        matrix, predictor = split_offset(design)[0], self._predictors(params, design)
        shape, n_dispersions = predictor.shape[:2], self.layout.size
        score = np.zeros(predictor.shape)
        gradient = np.zeros((*shape, n_dispersions))
        hessian = np.zeros((*shape, n_dispersions, n_dispersions))
        cross = np.zeros((*shape, 0, matrix.shape[1]))
        groups = self._constants(params).groups
        for group in groups:
            family, experts, own = group.family, group.experts, group.dispersions
            if not family.link:
                continue
            family, target = observed(family, y)
            log_dispersion = self._log_dispersion(group, params, design)
            at = target, predictor[experts], log_dispersion
            weight = resp[experts][:, None]
            relative = weight * self._relative_precision(group, params, log_dispersion)
            score[experts] = relative * family.predictor_score(*at)
            if not own:
                continue
            if self.layout.depends(family):
                own, first, second = self.layout.sums(family, at, weight, design)
            else:
                first, second = family.dispersion_sums(*at, weight)
            for i, one in enumerate(own):
                gradient[experts, :, one] = first[..., i]
                for j, other in enumerate(own):
                    hessian[experts, :, one, other] = second[..., i, j]
            # Cross terms serve the unconstrained step of one expert.
            if len(groups) == 1 and not (self.shared_dispersion or self._needs_matrices):
                derivatives = family.cross_derivatives(*at)
                if derivatives:
                    _, numbers, factors = self.layout.derivatives(family, design)
                    weighted = [
                        relative * derivatives[i] * factors[p] for p, i in enumerate(numbers)
                    ]
                    cross = weighted_column_sums(np.stack(weighted, axis=2), matrix)
        sums = weighted_column_sums(score, matrix)
        return GeneralizedLinearStatistics(resp.sum(axis=1), sums, gradient, hessian, cross)

    def hessian(self, params: GeneralizedLinearParams, design: Any, y: Array, resp: Array) -> Any:
        """Expected information about the coefficients: Gram matrices, (K * m, d, d)."""
        information = resp[:, None] * self._by_family(
            params, design, lambda family, *at: of_target(family, y).row_information(y, *at)
        )
        if self.layout.n_slopes:
            for group in self._constants(params).groups:
                log_dispersion = self._log_dispersion(group, params, design)
                information[group.experts] *= self._relative_precision(
                    group, params, log_dispersion
                )
        matrix = split_offset(design)[0]
        grams = dense_grams if self._needs_matrices else weighted_grams
        return grams(matrix, information.reshape(-1, information.shape[-1]))

    def _relative_precision(
        self, group: FamilyGroup, params: GeneralizedLinearParams, log_dispersion: list[Array]
    ) -> Array | float:
        """Scale at the means of the features relative to that of each row."""
        if not (group.family.has_scale and self.layout.depends(group.family)):
            return 1.0
        return np.exp(group.log_dispersion(params)[0] - log_dispersion[0])

    def factorize(self, hessian: Any) -> RidgeFactorization:
        """Factorization of the penalised information."""
        return factorize_ridge(hessian, ridge_diagonal(self.alpha, hessian.shape[-1]))

    def m_step(
        self,
        statistics: Any,
        factor: RidgeFactorization,
        params: GeneralizedLinearParams,
        step: float,
    ) -> GeneralizedLinearParams:
        """One step of Fisher scoring for the coefficients, of Newton for the log dispersions.

        Where both are coupled, the coefficients are eliminated from the joint system, which leaves
        one of the log dispersions.
        """
        shape, (_, gradient, of_dispersion, hessian, cross) = params.coef.shape, statistics
        constants = self._constants(params)
        gradient = gradient - constants.share * factor.ridge * params.coef
        change = self._coefficient_steps(factor, gradient, params)
        if cross.size:
            precision = self._precision_of_predictors(params)[..., None]
            by_system = cross.reshape(-1, *cross.shape[2:])
            solved = ridge_newton_step(factor, by_system).reshape(cross.shape)
            alone = change.reshape(shape)
            own = np.einsum("kmtd,kmd->kmt", cross, alone)
            of_dispersion = of_dispersion + precision * own
            joint_hessian = np.einsum("kmtd,kmud->kmtu", cross, solved)
            hessian = hessian + precision[..., None] * joint_hessian
        dispersion_change = self._dispersion_step(statistics.weight, params, of_dispersion, hessian)
        if cross.size:
            joint = alone + np.einsum("kmtd,kmt->kmd", solved, dispersion_change)
            change = joint.reshape(change.shape)
        # Weighted mean square of the change of the linear predictors.
        square = (change * gram_product(factor.gram, change)).sum(axis=(1, 2))
        square = np.maximum(square, 0.0)  # of an expert without rows it can be below by round-off
        length = np.sqrt(square / np.maximum(factor.weight, TINY)).reshape(shape[:2])
        for _, family, experts, _ in constants.groups:
            length[experts] /= family.max_step if family.link else np.inf
        if self.slopes:  # within each of several fits
            of_fits = length.reshape(-1, len(self.slopes), shape[1])
            of_fits[:] = of_fits.max(axis=1, keepdims=True)
        length = np.maximum(length, 1.0)[..., None]
        change = change.reshape(shape) / length
        change[~constants.has_predictor] = 0.0
        if cross.size:
            dispersion_change = dispersion_change / length
        log_dispersion = params.log_dispersion + step * dispersion_change
        return self.project(GeneralizedLinearParams(params.coef + step * change, log_dispersion))

    @property
    def _needs_matrices(self) -> bool:
        """Whether slopes are shared, left out or have signs, so that all matrices are formed."""
        return bool(self.slopes or self.signs)

    def _coefficient_steps(
        self,
        system: RidgeFactorization,
        gradient: Array,
        params: GeneralizedLinearParams,
        step: Any = 1.0,
    ) -> Array:
        """Newton steps of the coefficients, (S, r, d) for the S matrices of the system.

        They keep slopes equal that are shared, and the signs of slopes that have them. Those of
        slopes that are not shared are scaled by `step`: a slope whose scaled step would lead beyond
        its bound is exactly zero.
        """
        constants, joint = self._constants(params), None
        if self.slopes:
            joint = self._precision_of_predictors(params), constants.holders
        return constrained_steps(system, gradient, params.coef, constants.signs, joint, step)

    def _dispersion_step(
        self, weight: Array, params: GeneralizedLinearParams, gradient: Array, hessian: Array
    ) -> Array:
        """Newton step of the log dispersions, (K, m, T), from derivatives of the likelihood."""
        if not gradient.size:
            return np.zeros(gradient.shape)
        gradient, values, vectors = self._dispersion_system(weight, params, gradient, hessian)
        step = bounded_newton_step(gradient, values, vectors, MAX_DISPERSION_STEP)
        return self._step_within_rows(params, step, values, vectors) if self.extreme_rows else step

    # --- streams ---

    def reorder(self, params: GeneralizedLinearParams, order: Array) -> GeneralizedLinearParams:
        """Parameters with the experts in another order."""
        return permute_experts(params, order)

    def streaming_size(self, n_experts: int, n_columns: int) -> tuple[int, int]:
        """Columns of the information matrices, and the most that are formed."""
        return n_columns, MAX_DENSE_GRAM

    def surrogate(
        self,
        statistics: Any,
        hessian: Array,
        params: GeneralizedLinearParams,
        design: Any,
        weight: Array,
    ) -> tuple[Any, Array]:
        """Quadratic expansion of the log-likelihood at the parameters, without cross terms.

        Its statistics are those after a change of the parameters to zero.
        """
        change = type(params)(*(-values for values in params))
        return self.surrogate_statistics(statistics, hessian, change), hessian

    def surrogate_statistics(
        self,
        statistics: Any,
        hessian: Array,
        params: GeneralizedLinearParams,
    ) -> Any:
        """Gradients of the surrogate after a change by the parameters."""
        own_hessian = statistics.dispersion_hessian
        moved = np.einsum("kmtu,kmu->kmt", own_hessian, params.log_dispersion)
        product = np.matmul(hessian, params.coef.reshape(len(hessian), -1, 1))
        return statistics._replace(
            gradient=statistics.gradient - product.reshape(params.coef.shape),
            dispersion_gradient=statistics.dispersion_gradient + moved,
            cross=statistics.cross[:, :, :0],
        )

    def rescale(self, y_map: Any) -> GeneralizedLinearExperts:
        """The prior of the scales, and their floor, for a rescaled target."""
        if not self.standardizes_target:
            return self
        units, of_squares = y_map.slope**2, self._units_of_squares(y_map.slope)
        options = {
            "families": tuple(family.rescale(y_map) for family in self.families),
            "noise_variance": tuple((units * self.noise_variance).tolist()),
            "variance_floor": tuple((units * self.variance_floor).tolist()),
            "predictor_squares": tuple(
                tuple((of_squares * of_expert).tolist()) for of_expert in self.predictor_squares
            ),
        }
        experts: GeneralizedLinearExperts = self.with_options(options)
        return experts

    def _units_of_squares(self, slope: Array) -> Array:
        """Factors of the `predictor_squares` of an expert for outputs multiplied by `slope`."""
        return slope**2

    def rescale_params(
        self, params: GeneralizedLinearParams, x_map: Array, y_map: Any
    ) -> GeneralizedLinearParams:
        """Parameters that make the same predictions for rescaled rows."""
        coef, log_dispersion = params.coef.copy(), params.log_dispersion.copy()
        for _, family, experts, dispersions in self._constants(params).groups:
            if y_map is not None and family.standardizes_target:
                coef[experts] *= y_map.slope[:, None]
                coef[experts, :, -1] += y_map.shift
                log_dispersion[experts, :, dispersions[0]] += 2.0 * np.log(y_map.slope)
        return params._replace(
            coef=rescale_coefficients(coef, x_map), log_dispersion=log_dispersion
        )

    def rescale_surrogate(
        self,
        statistics: Any,
        hessian: Array,
        x_map: Array,
        y_map: Any,
    ) -> tuple[Any, Array]:
        """Sums for rescaled rows."""
        gradient = statistics.gradient.copy()
        dispersion_gradient = statistics.dispersion_gradient.copy()
        last = hessian[..., -1].reshape(gradient.shape)
        for _, family, experts, dispersions in self._groups(len(gradient)):
            if y_map is not None and family.standardizes_target:
                slope, shift = y_map.slope[:, None], y_map.shift[:, None]
                gradient[experts] = slope * gradient[experts] + shift * last[experts]
                moved = statistics.dispersion_hessian[experts][..., dispersions[0]]
                dispersion_gradient[experts] -= moved * 2.0 * np.log(slope)
        rescaled = statistics._replace(
            gradient=gradient @ x_map.T, dispersion_gradient=dispersion_gradient
        )
        return rescaled, x_map @ hessian @ x_map.T

    @classmethod
    def example_target(cls, rng: np.random.Generator, n_rows: int) -> Array:
        """Counts with a mean of 3."""
        return Poisson().example_target(rng, n_rows)
