"""The prior of coefficients and dispersions, and the valid parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmoe._numerics.arrowhead import shared_covariances
from skmoe._numerics.evidence import Slopes, ridge_slopes, without_dropped
from skmoe._numerics.linalg import factorize_ridge, ridge_diagonal
from skmoe._numerics.typing import Array
from skmoe.experts._generalized_linear._densities import FamilyDensities
from skmoe.experts._generalized_linear._params import (
    GeneralizedLinearParams,
    GeneralizedLinearStatistics,
)


class PenalizedFamilies(FamilyDensities):
    """Experts with the prior of their parameters, and initial values that respect it."""

    def init_params(self, n_experts: int, n_columns: int) -> GeneralizedLinearParams:
        """Slopes of zero, and dispersions of the target without features."""
        shape = n_experts, self._n_outputs
        coef = np.zeros((*shape, n_columns))
        log_dispersion = np.zeros((*shape, self._n_dispersions))
        for i, family, index in self._groups(n_experts):
            if self.initial_predictor:  # zero for families without predictor
                coef[index, :, -1] = self.initial_predictor[i]
            start = np.tile(family.initial_log_dispersion, (self._n_outputs, 1))
            if family.has_scale:
                start[:, 0] += np.log(self._target_variance(i))
            for j, own in enumerate(self._own_dispersions(family)):
                log_dispersion[index, :, own] = start[:, j]
        return self.project(GeneralizedLinearParams(coef, log_dispersion))

    def _target_variance(self, i: int) -> Array:
        """Variance of the working target of each output, (m,)."""
        return np.array(self.target_variance[i]) if self.target_variance else np.ones(1)

    def project(self, params: GeneralizedLinearParams) -> GeneralizedLinearParams:
        """Log dispersions within bounds, equal where shared; slopes of dropped features at zero."""
        low, high = self._log_dispersion_bounds(len(params.coef))
        log_dispersion = np.clip(params.log_dispersion, low, high)
        if self.shared_dispersion:
            log_dispersion = np.broadcast_to(log_dispersion.mean(axis=0), log_dispersion.shape)
        coef = without_dropped(params.coef, self.alpha)
        return GeneralizedLinearParams(coef, log_dispersion)

    def _log_dispersion_bounds(self, n_experts: int) -> tuple[Array, Array]:
        """Smallest and largest log dispersions, both (K, m, T); zero for unused ones."""
        shape = n_experts, self._n_outputs, self._n_dispersions
        low, high = np.zeros(shape), np.zeros(shape)
        for i, family, index in self._groups(n_experts):
            for j, own in enumerate(self._own_dispersions(family)):
                low[index, :, own], high[index, :, own] = family.log_dispersion_bounds[j]
            if family.has_scale:
                variance, scale = self._target_variance(i), self._scale_index(family)
                low[index, :, scale] = np.log(np.array(self.variance_floor) * variance)
                high[index, :, scale] += np.log(np.maximum(variance, 1.0))
        return low, high

    def _ridge(self, n_experts: int, n_columns: int) -> Array:
        """Diagonal of the penalty of each expert, (d,)."""
        ridge = ridge_diagonal(self.alpha, n_columns)
        ridge[list(self.shared_columns)] /= self.n_cells(n_experts)
        return ridge

    # --- the prior ---

    @property
    def penalties(self) -> dict[str, Any]:
        """Penalty of the slopes, and strength of the prior of the dispersions in rows."""
        return {"alpha": self.alpha, "dispersion_prior": self.dispersion_prior}

    def penalised_slopes(
        self,
        params: GeneralizedLinearParams,
        statistics: GeneralizedLinearStatistics,
        hessian: Any,
    ) -> dict[str, Slopes]:
        """Slopes of each expert and output, in units of the scale; none without a predictor."""
        n_experts, n_outputs, n_columns = params.coef.shape
        root = np.sqrt(self._precision(params))[..., None]
        ridge = self._ridge(n_experts, n_columns)
        weight = np.repeat(self._have_predictor(n_experts), n_outputs)
        weight = np.tile(weight[:, None], n_columns - 1)
        if self.shared_columns:
            return {"alpha": self._slopes_with_shared(params, statistics, hessian, weight)}
        slopes = ridge_slopes(hessian, ridge, params.coef * root, statistics.gradient * root)
        return {"alpha": slopes._replace(weight=weight)}

    def _slopes_with_shared(
        self,
        params: GeneralizedLinearParams,
        statistics: GeneralizedLinearStatistics,
        hessian: Any,
        weight: Array,
    ) -> Slopes:
        """Slopes with covariances of the joint posterior.

        The rows of all experts determine a shared slope. Each system has an equal part of it: of
        its penalty, its gradient and its precision.
        """
        n_experts, _, n_columns = params.coef.shape
        shared, precision = list(self.shared_columns), self._precision_of_predictors(params)
        n_cells, root = self.n_cells(n_experts), np.sqrt(precision)[..., None]
        system = factorize_ridge(hessian, self._ridge(n_experts, n_columns))
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

    def scales(
        self, params: GeneralizedLinearParams, statistics: GeneralizedLinearStatistics
    ) -> tuple[Array, Array]:
        """Scales relative to the variance of the working target, and their rows, (K, m)."""
        scale = 1.0 / (self._precision(params) * self._target_variances(len(params.coef)))
        for _, family, index in self._groups(len(scale)):
            if not family.has_scale:
                scale[index] = np.nan
        return scale, np.broadcast_to(statistics.weight[:, None], scale.shape)

    def _target_variances(self, n_experts: int) -> Array:
        """Variance of the working target of each expert and output, (K, m)."""
        variances = np.ones((n_experts, self._n_outputs))
        for i, _, index in self._groups(n_experts):
            variances[index] = self._target_variance(i)
        return variances

    def _precision(self, params: GeneralizedLinearParams) -> Array:
        """Inverse scale of each expert and output, (K, m); one for families without scale."""
        precision = np.ones(params.coef.shape[:2])
        for _, family, index in self._groups(len(precision)):
            if family.has_scale:
                log_scale = params.log_dispersion[index][..., self._scale_index(family)]
                precision[index] = np.exp(-log_scale)
        return precision

    def _have_predictor(self, n_experts: int) -> Array:
        """One for each expert with a linear predictor, and zero for the others, (K,)."""
        return np.array([float(self.has_predictor(k)) for k in range(n_experts)])

    def _precision_of_predictors(self, params: GeneralizedLinearParams) -> Array:
        """Inverse scale of each expert and output, (K, m); zero without a linear predictor."""
        return self._precision(params) * self._have_predictor(len(params.coef))[:, None]

    def _slope_penalty(self, params: GeneralizedLinearParams) -> Array:
        """Half of the penalty times the squared slopes, (K, m)."""
        n_experts, _, n_columns = params.coef.shape
        return 0.5 * np.square(params.coef) @ self._ridge(n_experts, n_columns)

    def _prior_scale(self, n_experts: int) -> tuple[Array, Array]:
        """Strength and scale of the prior of each scale, (K, m); zero without a scale."""
        strength = np.zeros((n_experts, self._n_outputs))
        scale = np.ones((n_experts, self._n_outputs))
        for i, family, index in self._groups(n_experts):
            if family.has_scale:
                strength[index] = self.dispersion_prior
                scale[index] = np.array(self.noise_variance) * self._target_variance(i)
        if self.shared_dispersion:  # a shared scale has one prior
            strength[1:] = 0.0
        return strength, scale

    def penalty(self, params: GeneralizedLinearParams) -> float:
        """Negative log prior, up to a constant."""
        precision = self._precision(params)
        strength, scale = self._prior_scale(len(precision))
        prior = 0.5 * strength * (scale * precision - np.log(precision))
        return float((precision * self._slope_penalty(params) + prior).sum())

    def _scale_penalty_derivatives(self, params: GeneralizedLinearParams) -> tuple[Array, Array]:
        """First and second derivative of the penalty by the log scale, if there is one, (K, m)."""
        precision = self._precision(params)
        strength, scale = self._prior_scale(len(precision))
        decreasing = precision * (self._slope_penalty(params) + 0.5 * strength * scale)
        return 0.5 * strength - decreasing, decreasing
