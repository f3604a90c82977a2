"""Experts with a linear predictor and a family of conditional distributions of y."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from skmoe._numerics.arrowhead import shared_covariances, shared_newton_step
from skmoe._numerics.evidence import Slopes, ridge_slopes
from skmoe._numerics.linalg import (
    MAX_DENSE_GRAM,
    RidgeFactorization,
    dense_grams,
    factorize_ridge,
    gram_product,
    rescale_coefficients,
    ridge_newton_step,
    used_columns,
    weighted_column_sums,
    weighted_grams,
)
from skmoe._numerics.offset_design import split_offset
from skmoe._numerics.typing import TINY, Array
from skmoe.experts._linear_families import (
    GeneralizedLinearParams,
    LinearFamilies,
    possible_target,
)
from skmoe.families import Poisson
from skmoe.protocols import permute_experts

# Largest change of a log dispersion in one Newton step, and smallest curvature for each row of the
# expert, where the log-likelihood is nearly flat.
MAX_DISPERSION_STEP = 2.0
MIN_DISPERSION_CURVATURE = 1e-4

# Least part of a scale that is noise.
MIN_NOISE_SHARE = 0.1


class GeneralizedLinearStatistics(NamedTuple):
    """Sums of derivatives of the expected log-likelihood."""

    weight: Array  # of the rows of each expert, (K,)
    gradient: Array  # by the coefficients, times the scale if there is one, (K, m, d)
    dispersion_gradient: Array  # by the log dispersions, (K, m, T)
    dispersion_hessian: Array  # (K, m, T, T)
    # By log dispersions and coefficients, times the scale if there is one, (K, m, T, d);
    # (K, m, 0, d) where they are not coupled.
    cross: Array


class RescaledTarget(NamedTuple):
    """A linear map of the outputs, slope * y + shift."""

    slope: Array
    shift: Array


@dataclass(frozen=True)
class GeneralizedLinearExperts(LinearFamilies):
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
    predictor_squares : tuple of tuple of float, default=()
        For each expert and output, squares that are added to those of the residuals because the
        slopes are uncertain, in units of `noise_variance`; found with `alpha`.

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

    def _precision_of_predictors(self, params: GeneralizedLinearParams) -> Array:
        """Inverse scale of each expert and output, (K, m); zero without a linear predictor."""
        constants = self._constants(params)
        return np.exp(-constants.log_scale(params)) * constants.has_predictor[:, None]

    def penalised_slopes(
        self, params: GeneralizedLinearParams, statistics: Any, hessian: Any
    ) -> dict[str, Slopes]:
        """Slopes of each expert and output, in units of the scale; none without a predictor."""
        n_columns = params.coef.shape[-1]
        precision = self._precision_of_predictors(params) / self._noise_share(params, statistics)
        weight = np.tile((precision > 0.0).reshape(-1, 1).astype(float), n_columns - 1)
        if self.shared_columns:
            shared = self._slopes_with_shared(params, statistics, hessian, precision, weight)
            return {"alpha": shared}
        root, ridge = np.sqrt(precision)[..., None], self._constants(params).ridge
        slopes = ridge_slopes(hessian, ridge, params.coef * root, statistics.gradient * root)
        return {"alpha": slopes._replace(weight=weight)}

    def _slopes_with_shared(
        self,
        params: GeneralizedLinearParams,
        statistics: GeneralizedLinearStatistics,
        hessian: Any,
        precision: Array,
        weight: Array,
    ) -> Slopes:
        """Slopes with covariances of the joint posterior.

        The rows of all experts determine a shared slope. Each system has an equal part of it: of
        its penalty, its gradient and its precision.
        """
        n_experts, _, n_columns = params.coef.shape
        shared = list(self.shared_columns)
        n_cells, root = self.n_cells(n_experts), np.sqrt(precision)[..., None]
        system = factorize_ridge(hessian, self._constants(params).ridge)
        scale = np.ones(n_columns)
        scale[shared] = np.sqrt(n_cells)
        covariances = shared_covariances(system, precision, shared) * np.outer(scale, scale)
        covariances[precision == 0.0] = np.eye(n_columns)  # without a predictor, of no weight
        values, gradient = params.coef * root, statistics.gradient * root
        penalised = statistics.gradient - system.ridge * params.coef
        total = (precision[..., None] * penalised).sum(axis=0)[:, shared]
        share = np.divide(1.0, n_cells * root, where=root > 0.0, out=np.zeros_like(root))
        gradient[..., shared] = share * total + (system.ridge * values)[..., shared]
        weight[:, shared] /= n_cells
        values, gradient = (a.reshape(len(weight), -1)[:, :-1] for a in (values, gradient))
        covariances = covariances.reshape(len(weight), n_columns, -1)[:, :-1, :-1]
        return Slopes(values, covariances, gradient, weight)

    def _noise_share(self, params: GeneralizedLinearParams, statistics: Any) -> Array:
        """Part of each scale that is not the variance of predictors, (K, m)."""
        constants = self._constants(params)
        rows, squares = statistics.weight[:, None] + constants.strength, constants.predictor_squares
        if self.shared_dispersion:
            rows, squares = rows.sum(axis=0), squares.sum(axis=0)
        total = np.maximum(rows, TINY) * np.exp(constants.log_scale(params))
        return np.maximum(1.0 - squares / total, MIN_NOISE_SHARE)

    def scales(self, params: GeneralizedLinearParams, statistics: Any) -> tuple[Array, Array]:
        """Scales relative to the variance of the working target, and their rows, (K, m).

        They are those of the noise, without the variances of the predictors.
        """
        constants = self._constants(params)
        scale = np.where(constants.has_scale > 0.0, np.exp(constants.log_scale(params)), np.nan)
        scale *= self._noise_share(params, statistics)
        for number, _, experts, _ in constants.groups:
            scale[experts] /= self._target_variance(number)
        return scale, np.broadcast_to(statistics.weight[:, None], scale.shape)

    # --- EM: Fisher scoring of the coefficients, and Newton steps of the log dispersions ---

    def statistics(
        self, params: GeneralizedLinearParams, design: Any, y: Array, resp: Array
    ) -> Any:
        """Gradients of the expected log-likelihood, and Hessians in the log dispersions."""
        matrix, predictor = split_offset(design)[0], self._predictors(params, design)
        shape, n_dispersions = predictor.shape[:2], len(self.dispersions)
        score = np.zeros(predictor.shape)
        gradient = np.zeros((*shape, n_dispersions))
        hessian = np.zeros((*shape, n_dispersions, n_dispersions))
        cross = np.zeros((*shape, 0, matrix.shape[1]))
        groups = self._constants(params).groups
        for group in groups:
            family, experts, own = group.family, group.experts, group.dispersions
            if not family.link:
                continue
            at = possible_target(family, y), predictor[experts], group.log_dispersion(params)
            weight = resp[experts][:, None]
            score[experts] = weight * family.predictor_score(*at)
            if not own:
                continue
            first, second = family.dispersion_sums(*at, weight)
            for i, one in enumerate(own):
                gradient[experts, :, one] = first[..., i]
                for j, other in enumerate(own):
                    hessian[experts, :, one, other] = second[..., i, j]
            if len(groups) == 1 and not self.shared_dispersion and not self.shared_columns:
                derivatives = family.cross_derivatives(*at)
                if derivatives:
                    weighted = [weight * derivative for derivative in derivatives]
                    cross = weighted_column_sums(np.stack(weighted, axis=2), matrix)
        sums = weighted_column_sums(score, matrix)
        return GeneralizedLinearStatistics(resp.sum(axis=1), sums, gradient, hessian, cross)

    def hessian(self, params: GeneralizedLinearParams, design: Any, y: Array, resp: Array) -> Any:
        """Expected information about the coefficients: Gram matrices, (K * m, d, d)."""
        information = resp[:, None] * self._by_family(
            params, design, lambda family, *at: family.predictor_information(*at)
        )
        matrix = split_offset(design)[0]
        # Slopes that are shared need the matrices themselves.
        grams = dense_grams if self.shared_columns else weighted_grams
        return grams(matrix, information.reshape(-1, information.shape[-1]))

    def factorize(self, hessian: Any) -> RidgeFactorization:
        """Factorization of the penalised information."""
        n_matrices, _, n_columns = hessian.shape
        return factorize_ridge(hessian, self._ridge(n_matrices // self._n_outputs, n_columns))

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
        gradient = gradient - factor.ridge * params.coef
        if self.shared_columns:
            precision = self._precision_of_predictors(params)
            change = shared_newton_step(factor, gradient, precision, list(self.shared_columns))
        else:
            change = ridge_newton_step(factor, gradient.reshape(-1, 1, shape[-1]))
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
        constants = self._constants(params)
        for _, family, experts, _ in constants.groups:
            length[experts] /= family.max_step if family.link else np.inf
        if self.shared_columns:
            length[:] = length.max(axis=0)
        length = np.maximum(length, 1.0)[..., None]
        change = change.reshape(shape) / length
        change[~constants.has_predictor] = 0.0
        if cross.size:
            dispersion_change = dispersion_change / length
        log_dispersion = params.log_dispersion + step * dispersion_change
        return self.project(GeneralizedLinearParams(params.coef + step * change, log_dispersion))

    def _dispersion_step(
        self, weight: Array, params: GeneralizedLinearParams, gradient: Array, hessian: Array
    ) -> Array:
        """Newton step of the log dispersions, (K, m, T), from derivatives of the likelihood."""
        if not gradient.size:
            return np.zeros(gradient.shape)
        gradient, negative_hessian = gradient.copy(), -hessian
        first, second = self._scale_penalty_derivatives(params)
        for _, family, experts, dispersions in self._constants(params).groups:
            if family.has_scale:
                scale = dispersions[0]
                gradient[experts, :, scale] -= first[experts]
                negative_hessian[experts, :, scale, scale] += second[experts]
        weight = np.broadcast_to(weight[:, None], gradient.shape[:2])
        if self.shared_dispersion:
            gradient, negative_hessian, weight = (
                np.broadcast_to(values.sum(axis=0), values.shape)
                for values in (gradient, negative_hessian, weight)
            )
        eigenvalues, eigenvectors = np.linalg.eigh(negative_hessian)
        least = MIN_DISPERSION_CURVATURE * weight[..., None] + TINY
        # Where the log-likelihood is convex, its gradient still leads upward.
        curvature = np.maximum(np.abs(eigenvalues), least)
        rotated = np.einsum("kmtu,kmt->kmu", eigenvectors, gradient) / curvature
        change = np.einsum("kmtu,kmu->kmt", eigenvectors, rotated)
        longest = np.abs(change).max(axis=-1, keepdims=True) / MAX_DISPERSION_STEP
        return change / np.maximum(longest, 1.0)

    # --- inference ---

    def n_parameters(self, params: GeneralizedLinearParams) -> int:
        """Coefficients and dispersions; what the experts share is counted once."""
        families = [self._family(k) for k in range(len(params.coef))]
        n_predictors = sum(bool(family.link) for family in families)
        used = used_columns(params.coef)
        n_shared = int(used[list(self.shared_columns)].sum())
        n_own = int(used.sum()) - n_shared
        n_coefficients = n_predictors * n_own + (n_shared if n_predictors else 0)
        with_own = families[:1] if self.shared_dispersion else families
        n_dispersions = sum(len(family.dispersions) for family in with_own)
        return params.coef.shape[1] * (n_coefficients + n_dispersions)

    def with_shared_slopes(self, columns: tuple[int, ...]) -> Any:
        """The experts with shared columns."""
        return replace(self, shared_columns=columns)

    @property
    def shared_slopes(self) -> tuple[int, ...]:
        """The shared columns."""
        return self.shared_columns

    def shared_coordinates(self, params: GeneralizedLinearParams) -> Array:
        """Slopes of shared columns, and log dispersions if they are shared, (P,)."""
        _, n_outputs, n_columns = params.coef.shape
        slopes = np.isin(np.arange(n_columns), self.shared_columns)
        dispersions = np.full(params.log_dispersion[0].size, self.shared_dispersion)
        return np.concatenate([np.tile(slopes, n_outputs), dispersions])

    def at_bound(self, params: GeneralizedLinearParams) -> Array:
        """Unused coordinates, and dispersions at a bound, (K, P)."""
        n_experts, n_outputs, n_columns = params.coef.shape
        constants, log_dispersion = self._constants(params), params.log_dispersion
        at_bound = (log_dispersion <= constants.flat) | (log_dispersion >= constants.high)
        unused = ~constants.has_predictor
        # A shared slope is used if another expert has it.
        own = ~self.shared_coordinates(params)[: n_outputs * n_columns] | unused.all()
        coefficients = unused[:, None] & own
        return np.hstack([coefficients, np.swapaxes(at_bound, 1, 2).reshape(n_experts, -1)])

    def dispersion_at_bound(self, params: GeneralizedLinearParams) -> Array:
        """Experts with a scale at its lower bound."""
        constants = self._constants(params)
        least = constants.log_scale(params._replace(log_dispersion=constants.low))
        at_bound = (constants.has_scale > 0.0) & (constants.log_scale(params) <= least)
        return np.asarray(at_bound.any(axis=1))

    def score_rows(self, params: GeneralizedLinearParams, k: int, design: Any, y: Array) -> Array:
        """Gradient of the log density in coefficients and log dispersions for each row, (P, n)."""
        group, matrix = self._group_of(k), split_offset(design)[0]
        gradient = group.family.gradient(
            possible_target(group.family, y),
            self._predictor_of(params, k, design),
            group.log_dispersion(params),
        )
        dispersion = np.zeros((params.log_dispersion.shape[-1], *y.shape))
        dispersion[group.dispersions] = gradient[1:]
        slopes = gradient[0][:, None] * matrix.T
        return np.concatenate([slopes.reshape(-1, len(matrix)), dispersion.reshape(-1, y.shape[1])])

    def information(
        self, params: GeneralizedLinearParams, k: int, design: Any, y: Array, weight: Array
    ) -> Array:
        """Negative Hessian of the weighted log density of one expert, (P, P)."""
        group, matrix = self._group_of(k), split_offset(design)[0]
        hessian = -weight * group.family.hessian(
            possible_target(group.family, y),
            self._predictor_of(params, k, design),
            group.log_dispersion(params),
        )
        n_outputs, n_columns = params.coef.shape[1:]
        size = n_outputs * n_columns
        information = np.zeros((size + params.log_dispersion[k].size,) * 2)
        for output in range(n_outputs):
            slopes = slice(output * n_columns, (output + 1) * n_columns)
            others = size + n_outputs * np.array(group.dispersions, dtype=int) + output
            information[slopes, slopes] = (matrix.T * hessian[0, 0, output]) @ matrix
            cross = hessian[0, 1:, output] @ matrix
            information[slopes, others] = cross.T
            information[others, slopes] = cross
            information[np.ix_(others, others)] = hessian[1:, 1:, output].sum(axis=-1)
        return information

    def penalty_hessian(self, params: GeneralizedLinearParams) -> list[Array]:
        """Hessian of the penalty for each expert, (P, P)."""
        n_experts, n_outputs, n_columns = params.coef.shape
        constants = self._constants(params)
        ridge, precision = constants.ridge, np.exp(-constants.log_scale(params))
        _, second = self._scale_penalty_derivatives(params)
        size = n_outputs * n_columns
        hessians = []
        for k in range(n_experts):
            group = self._group_of(k)
            hessian = np.zeros((size + params.log_dispersion[k].size,) * 2)
            for output in range(n_outputs):
                slopes = slice(output * n_columns, (output + 1) * n_columns)
                hessian[slopes, slopes] = precision[k, output] * np.diag(ridge)
                if group.family.has_scale:
                    scale = size + n_outputs * group.dispersions[0] + output
                    cross = -precision[k, output] * ridge * params.coef[k, output]
                    hessian[slopes, scale] = hessian[scale, slopes] = cross
                    hessian[scale, scale] = second[k, output]
            hessians.append(hessian)
        return hessians

    def attributes(self, params: GeneralizedLinearParams, units: Any) -> dict[str, Any]:
        """`expert_coef_`, `expert_intercept_` and the dispersions, in the units of the data.

        The intercepts of experts without linear predictor, and dispersions that an expert does not
        have, are NaN.
        """
        center, scale = units.target_scaling
        slopes, intercepts = units.expert_coefficients(params.coef)
        # The scaling is one where the families of the list do not standardise the target.
        slopes, intercepts = slopes * scale[:, None], center + scale * intercepts
        dispersions = np.full((len(self.dispersions), *intercepts.shape), np.nan)
        for group in self._constants(params).groups:
            _, family, experts, indices = group
            if not family.link:
                intercepts[experts] = np.nan
            values = family.dispersion_values(group.log_dispersion(params))
            for index, value in zip(indices, values, strict=True):
                dispersions[index, experts] = value[..., 0]
            if family.standardizes_target:
                dispersions[indices[0], experts] *= scale**2
        attributes: dict[str, Any] = {"expert_coef_": slopes, "expert_intercept_": intercepts}
        for dispersion, values in zip(self.dispersions, dispersions, strict=True):
            if dispersion.position is None:
                attributes[dispersion.attribute] = values
            else:
                known = attributes.get(dispersion.attribute, np.zeros((*values.shape, 0)))
                attributes[dispersion.attribute] = np.concatenate([known, values[..., None]], -1)
        if self._n_outputs == 1:
            attributes = {name: values[:, 0] for name, values in attributes.items()}
        units_of_y = RescaledTarget(scale, center)
        families = [self._family(k).rescale(units_of_y) for k in range(len(slopes))]
        return attributes | {"families_": families}

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
        """Quadratic expansion of the log-likelihood at the parameters, without cross terms."""
        statistics = statistics._replace(cross=statistics.cross[:, :, :0])
        return self._moved(statistics, hessian, params, 1.0), hessian

    def surrogate_statistics(
        self,
        statistics: Any,
        hessian: Array,
        params: GeneralizedLinearParams,
    ) -> Any:
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
        """The prior of the scales, and their floor, for a rescaled target."""
        if not self.standardizes_target:
            return self
        noise, floor = (
            tuple((y_map.slope**2 * np.array(values)).tolist())
            for values in (self.noise_variance, self.variance_floor)
        )
        families = tuple(family.rescale(y_map) for family in self.families)
        squares = tuple(
            tuple((y_map.slope**2 * np.array(of_expert)).tolist())
            for of_expert in self.predictor_squares
        )
        options = {"families": families, "noise_variance": noise, "variance_floor": floor}
        options["predictor_squares"] = squares
        experts: GeneralizedLinearExperts = self.with_options(options)
        return experts

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
        return GeneralizedLinearParams(rescale_coefficients(coef, x_map), log_dispersion)

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

    def to_onnx(self, graph: Any, params: GeneralizedLinearParams, linear_predictor: Any) -> Any:
        """Means, (n, K, m)."""
        n_experts, n_outputs, _ = params.coef.shape
        factor, shift, bound, log_multiple = np.zeros((4, n_experts, n_outputs))
        is_log = np.zeros(n_experts, dtype=bool)
        coef = params.coef.copy()
        for k in range(n_experts):
            group = self._group_of(k)
            family, log_dispersion = group.family, group.log_dispersion(params)
            at_zero = family.mean(np.zeros((n_outputs, 1)), log_dispersion)[:, 0]
            is_log[k], bound[k] = family.link == "log", family.max_predictor
            if is_log[k]:  # the mean is a multiple of the exponential
                log_multiple[k] = np.log(at_zero)
            elif not family.link:
                shift[k] = at_zero
            factor[k] = family.link == "identity"
        coef[..., -1] += log_multiple
        at_least = graph("Max", linear_predictor(coef), log_multiple - bound)
        predictor = graph("Min", at_least, log_multiple + bound)
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
