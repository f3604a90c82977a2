"""E-step statistics and M-step of generalised linear experts."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmoe._numerics.arrowhead import shared_newton_step
from skmoe._numerics.linalg import (
    RidgeFactorization,
    factorize_ridge,
    gram_product,
    ridge_newton_step,
    weighted_column_sums,
    weighted_grams,
)
from skmoe._numerics.offset_design import split_offset
from skmoe._numerics.typing import TINY, Array
from skmoe.experts._generalized_linear._params import (
    GeneralizedLinearParams,
    GeneralizedLinearStatistics,
    possible_target,
)
from skmoe.experts._generalized_linear._prior import PenalizedFamilies

# Largest change of a log dispersion in one Newton step, and smallest curvature for each row of the
# expert, where the log-likelihood is nearly flat.
MAX_DISPERSION_STEP = 2.0
MIN_DISPERSION_CURVATURE = 1e-4


class FamilyEM(PenalizedFamilies):
    """Fisher scoring of the coefficients, and Newton steps of the log dispersions."""

    def statistics(
        self, params: GeneralizedLinearParams, design: Any, y: Array, resp: Array
    ) -> GeneralizedLinearStatistics:
        """Gradients of the expected log-likelihood, and Hessians in the log dispersions."""
        predictor = self._predictors(params, design)
        n_experts, n_outputs, _ = predictor.shape
        n_dispersions = self._n_dispersions
        score = np.zeros(predictor.shape)
        gradient = np.zeros((n_experts, n_outputs, n_dispersions))
        hessian = np.zeros((n_experts, n_outputs, n_dispersions, n_dispersions))
        for _, family, index in self._groups(n_experts):
            if not family.link:
                continue
            possible, weight = possible_target(family, y), resp[index][:, None]
            theta = self._log_dispersion(family, params.log_dispersion[index])
            score[index] = weight * family.predictor_score(possible, predictor[index], theta)
            if not len(theta):
                continue
            first, second = family.dispersion_sums(possible, predictor[index], theta, weight)
            own = self._own_dispersions(family)
            for i, one in enumerate(own):
                gradient[index, :, one] = first[..., i]
                for j, other in enumerate(own):
                    hessian[index, :, one, other] = second[..., i, j]
        matrix = split_offset(design)[0]
        return GeneralizedLinearStatistics(
            resp.sum(axis=1),
            weighted_column_sums(score, matrix),
            gradient,
            hessian,
            self._cross_statistics(params, matrix, predictor, y, resp),
        )

    def _cross_statistics(
        self,
        params: GeneralizedLinearParams,
        matrix: Any,
        predictor: Array,
        y: Array,
        resp: Array,
    ) -> Array:
        """Second derivatives by log dispersions and coefficients, (K, m, T or 0, d)."""
        n_experts, n_outputs, _ = predictor.shape
        cross = None
        if len(self.families) == 1 and not self.shared_dispersion and not self.shared_columns:
            family = self.families[0]
            theta = self._log_dispersion(family, params.log_dispersion)
            cross = family.cross_derivatives(possible_target(family, y), predictor, theta)
        if not cross:
            return np.zeros((n_experts, n_outputs, 0, matrix.shape[1]))
        weighted = [resp[:, None] * derivative for derivative in cross]
        return weighted_column_sums(np.stack(weighted, axis=2), matrix)

    def hessian(self, params: GeneralizedLinearParams, design: Any, y: Array, resp: Array) -> Any:
        """Expected information about the coefficients: Gram matrices, (K * m, d, d)."""
        information = self._predictors(params, design)
        for _, family, index in self._groups(len(information)):
            theta = self._log_dispersion(family, params.log_dispersion[index])
            information[index] = family.predictor_information(information[index], theta)
        information *= resp[:, None]
        matrix = split_offset(design)[0]
        return weighted_grams(matrix, information.reshape(-1, information.shape[-1]))

    def factorize(self, hessian: Any) -> RidgeFactorization:
        """Factorization of the penalised information."""
        n_experts = len(hessian) // self._n_outputs
        return factorize_ridge(hessian, self._ridge(n_experts, hessian.shape[-1]))

    def m_step(
        self,
        statistics: GeneralizedLinearStatistics,
        factor: RidgeFactorization,
        params: GeneralizedLinearParams,
        step: float,
    ) -> GeneralizedLinearParams:
        """One step of Fisher scoring for the coefficients, of Newton for the log dispersions."""
        shape = params.coef.shape
        gradient = statistics.gradient - factor.ridge * params.coef
        if self.shared_columns:
            precision = self._precision_of_predictors(params)
            change = shared_newton_step(factor, gradient, precision, list(self.shared_columns))
        else:
            change = ridge_newton_step(factor, gradient.reshape(-1, 1, shape[-1]))
        change, dispersion_change = self._coupled_step(statistics, factor, params, change)
        # Weighted mean square of the change of the linear predictors.
        square = (change * gram_product(factor.gram, change)).sum(axis=(1, 2))
        square = np.maximum(square, 0.0)  # of an expert without rows it can be below by round-off
        length = np.sqrt(square / np.maximum(factor.weight, TINY)).reshape(shape[:2])
        for _, family, index in self._groups(shape[0]):
            length[index] /= family.max_step if family.link else np.inf
        if self.shared_columns:
            length[:] = length.max(axis=0)
        length = np.maximum(length, 1.0)[..., None]
        change = change.reshape(shape) / length
        change[[not self.has_predictor(k) for k in range(shape[0])]] = 0.0
        if statistics.cross.size:
            dispersion_change = dispersion_change / length
        log_dispersion = params.log_dispersion + step * dispersion_change
        return self.project(GeneralizedLinearParams(params.coef + step * change, log_dispersion))

    def _coupled_step(
        self,
        statistics: GeneralizedLinearStatistics,
        factor: RidgeFactorization,
        params: GeneralizedLinearParams,
        change: Array,
    ) -> tuple[Array, Array]:
        """Steps of coefficients (K * m, 1, d) and log dispersions (K, m, T).

        `change` is the step of the coefficients alone. Where both are coupled, the coefficients are
        eliminated from the joint system, which leaves one of the log dispersions.
        """
        cross = statistics.cross
        gradient, hessian = statistics.dispersion_gradient, statistics.dispersion_hessian
        if not cross.size:
            return change, self._dispersion_step(statistics, params, gradient, hessian)
        shape = cross.shape
        solved = ridge_newton_step(factor, cross.reshape(-1, *shape[2:])).reshape(shape)
        alone = change.reshape(*shape[:2], shape[3])
        gradient = gradient + np.einsum("kmtd,kmd->kmt", cross, alone)
        hessian = hessian + np.einsum("kmtd,kmud->kmtu", cross, solved)
        step = self._dispersion_step(statistics, params, gradient, hessian)
        joint = alone + np.einsum("kmtd,kmt->kmd", solved, step)
        return joint.reshape(change.shape), step

    def _dispersion_step(
        self,
        statistics: GeneralizedLinearStatistics,
        params: GeneralizedLinearParams,
        gradient: Array,
        hessian: Array,
    ) -> Array:
        """Newton step of the log dispersions, (K, m, T), from derivatives of the likelihood."""
        if not self._n_dispersions:
            return np.zeros(params.log_dispersion.shape)
        gradient, negative_hessian = gradient.copy(), -hessian
        first, second = self._scale_penalty_derivatives(params)
        for _, family, index in self._groups(len(gradient)):
            if family.has_scale:
                scale = self._scale_index(family)
                gradient[index, :, scale] -= first[index]
                negative_hessian[index, :, scale, scale] += second[index]
        weight = np.broadcast_to(statistics.weight[:, None], gradient.shape[:2])
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
