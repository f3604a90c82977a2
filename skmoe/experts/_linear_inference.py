"""Experts with a linear predictor: evidence of their penalties, and inference."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmoe._data.scaling import AffineMap
from skmoe._numerics.evidence import Slopes, joint_slopes, ridge_slopes, without_dropped
from skmoe._numerics.linalg import factorize_ridge, split_offset, used_columns
from skmoe._numerics.probability import summed_over_experts
from skmoe._numerics.signed_steps import is_held, joint_covariances
from skmoe._numerics.typing import TINY, Array
from skmoe.experts._family_targets import observed
from skmoe.experts._linear_families import GeneralizedLinearParams, LinearFamilies

# Smallest curvature of a log dispersion for each row of the expert, where the log-likelihood is
# nearly flat.
MIN_DISPERSION_CURVATURE = 1e-4

# Relative distance from a bound that is round-off.
ROUND_OFF_AT_BOUND = 1e-9

# Least part of a scale that is noise.
MIN_NOISE_SHARE = 0.1


class LinearInference(LinearFamilies):
    """Evidence and inference of experts with a linear predictor.

    The fields are those of `GeneralizedLinearExperts`.
    """

    # --- evidence ---

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
        if self.slopes:
            constants = self._constants(params)
            hessian, gradient = self._without_held(params, hessian, statistics.gradient)
            system = factorize_ridge(hessian, constants.ridge)
            of_rows = joint_covariances(system, precision, constants.holders), gradient
            shared = joint_slopes(*of_rows, params.coef, precision, system.ridge, constants.holders)
            return {"alpha": shared} | self._dispersion_slopes(params, statistics)
        root, ridge = np.sqrt(precision)[..., None], self._constants(params).ridge
        gradient = statistics.gradient
        if self.signs:
            hessian, gradient = self._without_held(params, hessian, gradient)
        slopes = ridge_slopes(hessian, ridge, params.coef * root, gradient * root)
        found = {"alpha": slopes._replace(weight=weight)}
        return found | self._dispersion_slopes(params, statistics)

    def _dispersion_system(
        self, weight: Array, params: GeneralizedLinearParams, gradient: Array, hessian: Array
    ) -> tuple[Array, Array, Array]:
        """Gradient of the objective in the log dispersions, and its curvature.

        From derivatives of the likelihood, (K, m, T) and (K, m, T, T). The curvature has positive
        values, (K, m, T), along directions, (K, m, T, T).
        """
        gradient = gradient - self._dispersion_ridge(params) * params.log_dispersion
        negative_hessian = -hessian
        diagonal = np.arange(gradient.shape[-1])
        negative_hessian[..., diagonal, diagonal] += self._dispersion_ridge(params)
        first, second = self._scale_penalty_derivatives(params)
        for _, family, experts, dispersions in self._constants(params).groups:
            if family.has_scale:
                scale = dispersions[0]
                gradient[experts, :, scale] -= first[experts]
                negative_hessian[experts, :, scale, scale] += second[experts]
        weight = np.broadcast_to(weight[:, None], gradient.shape[:2])
        if self.shared_dispersion:
            values = gradient, negative_hessian, weight
            gradient, negative_hessian, weight = map(summed_over_experts, values)
        eigenvalues, eigenvectors = np.linalg.eigh(negative_hessian)
        least = MIN_DISPERSION_CURVATURE * weight[..., None] + TINY
        # Where the log-likelihood is convex, its gradient still leads upward.
        curvature = np.maximum(np.abs(eigenvalues), least)
        return gradient, curvature, eigenvectors

    def _dispersion_slopes(
        self, params: GeneralizedLinearParams, statistics: Any
    ) -> dict[str, Slopes]:
        """Slopes of the log dispersions of each expert and output, if there are any."""
        n_slopes = self.layout.n_slopes
        if not n_slopes:
            return {}
        gradient, curvature, vectors = self._dispersion_system(
            statistics.weight, params, statistics.dispersion_gradient, statistics.dispersion_hessian
        )
        gradient = gradient + self._dispersion_ridge(params) * params.log_dispersion
        covariances = np.einsum("kmtu,kmu,kmvu->kmtv", vectors, 1.0 / curvature, vectors)
        # Shared slopes count once, and so do experts whose dispersion does not vary.
        depends = [self.layout.depends(self._family(k)) for k in range(len(params.coef))]
        weight = np.array(depends) * (self._dispersion_ridge(params)[:, 0, 0] > 0.0)
        n_outputs = params.coef.shape[1]
        values, gradient = (
            a[..., :n_slopes].reshape(-1, n_slopes) for a in (params.log_dispersion, gradient)
        )
        covariances = covariances[..., :n_slopes, :n_slopes].reshape(-1, n_slopes, n_slopes)
        weight = np.tile(np.repeat(weight, n_outputs)[:, None].astype(float), n_slopes)
        return {"dispersion_alpha": Slopes(values, covariances, gradient, weight)}

    def _without_held(
        self, params: GeneralizedLinearParams, hessian: Any, gradient: Array
    ) -> tuple[Any, Array]:
        """Hessian of each expert and output, and gradient, without slopes held at their bounds.

        Without information from the rows, the posterior of such a slope is its prior.
        """
        held = is_held(params.coef, self._constants(params).signs)
        free = ~held.reshape(-1, held.shape[-1])
        hessian = np.repeat(hessian, len(free) // len(hessian), axis=0)
        return hessian * free[:, :, None] * free[:, None], np.where(held, 0.0, gradient)

    def _noise_share(self, params: GeneralizedLinearParams, statistics: Any) -> Array:
        """Part of each scale that is not the variance of predictors, (K, m)."""
        constants = self._constants(params)
        rows, squares = statistics.weight[:, None] + constants.strength, constants.predictor_squares
        if self.shared_dispersion:
            rows, squares = rows.sum(axis=0), squares.sum(axis=0)
        total = np.maximum(rows, TINY) * np.exp(constants.log_scale(params))
        return np.maximum(1.0 - squares / total, MIN_NOISE_SHARE)

    def added_squares(self, params: GeneralizedLinearParams, squares: Array) -> Any:
        """The field `predictor_squares` from squares (K, m) of each expert and output."""
        return tuple(map(tuple, squares.tolist()))

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

    # --- inference ---

    def n_parameters(self, params: GeneralizedLinearParams) -> int:
        """Coefficients and dispersions; what the experts share is counted once."""
        families = [self._family(k) for k in range(len(params.coef))]
        constants = self._constants(params)
        # Slopes that their signs keep at zero are parameters; those of dropped features are not.
        used = used_columns(params.coef)
        used |= without_dropped(constants.signs, self.alpha) != 0.0
        is_first = constants.holders == np.arange(len(families))[:, None]
        is_counted = is_first & used & constants.has_predictor[:, None]
        with_own = families[:1] if self.shared_dispersion else families
        n_dispersions = sum(
            len(family.dispersions) + self.layout.n_slopes * self.layout.depends(family)
            for family in with_own
        )
        return params.coef.shape[1] * (int(is_counted.sum()) + n_dispersions)

    def coordinate_holders(self, params: GeneralizedLinearParams) -> Array:
        """The expert that has each coordinate, the first of those that share it, or -1, (K, P)."""
        constants, numbers = self._constants(params), np.arange(len(params.coef))[:, None]
        slopes = np.where(constants.has_predictor[:, None], constants.holders, -1)
        dispersions = np.zeros_like(numbers) if self.shared_dispersion else numbers
        n_dispersions = params.log_dispersion[0].size
        return np.hstack(
            [np.tile(slopes, params.coef.shape[1]), np.tile(dispersions, n_dispersions)]
        )

    def at_bound(self, params: GeneralizedLinearParams) -> Array:
        """Dispersions at a bound, (K, P)."""
        constants, log_dispersion = self._constants(params), params.log_dispersion
        at_bound = (log_dispersion <= constants.flat) | (log_dispersion >= constants.high)
        if self.extreme_rows:
            excess = self._excess_of_rows(params).max(axis=0)[..., None]
            at_bound[..., : self.layout.first] |= excess >= 1.0 - ROUND_OFF_AT_BOUND
        dispersions = self.layout.coordinates(np.moveaxis(at_bound, 0, -1).swapaxes(0, 1)).T
        held, start = is_held(*self.signed_coordinates(params)), params.coef[0].size
        held[:, start : start + dispersions.shape[1]] |= dispersions
        return held

    def moved(self, params: GeneralizedLinearParams, change: Array) -> Any:
        """The parameters after a change (K, P) of the coordinates of inference."""
        coef, n_coefficients = params.coef, params.coef[0].size
        of_positions = self.layout.from_coordinates(change[:, n_coefficients:].T, coef.shape[1])
        return params._replace(
            coef=coef + change[:, :n_coefficients].reshape(coef.shape),
            log_dispersion=params.log_dispersion + of_positions.transpose(2, 1, 0).copy(),
        )

    def signed_coordinates(self, params: GeneralizedLinearParams) -> tuple[Array, Array]:
        """The coefficients of each expert, and their signs."""
        n_experts, n_outputs, n_columns = params.coef.shape
        constants, size = self._constants(params), n_outputs * n_columns
        values, signs = np.zeros((2, *self.coordinate_holders(params).shape))
        values[:, :size] = params.coef.reshape(n_experts, -1)
        own_signs = np.where(constants.holders < 0, 0.0, constants.signs)
        signs[constants.has_predictor, :size] = np.tile(own_signs, n_outputs)[
            constants.has_predictor
        ]
        return values, signs

    def dispersion_at_bound(self, params: GeneralizedLinearParams) -> Array:
        """Experts with a scale at its lower bound, also if it is that of a row."""
        constants = self._constants(params)
        least = constants.log_scale(params._replace(log_dispersion=constants.low))
        at_bound = constants.log_scale(params) <= least
        if self.extreme_rows:
            at_bound |= self._excess_of_rows(params)[0] >= 1.0 - ROUND_OFF_AT_BOUND
        return np.asarray(((constants.has_scale > 0.0) & at_bound).any(axis=1))

    def log_scales(self, params: GeneralizedLinearParams, design: Any) -> Array:
        """Logs of the scales, (K, m, n), or (K, m, 1) if they do not depend on features."""
        found, without = [], np.full((params.coef.shape[1], 1), np.nan)
        for k in range(len(params.coef)):
            family, _, logs = self._of_expert(params, k, design)
            found.append(logs[0] if family.has_scale else without)
        return np.stack(np.broadcast_arrays(*found))

    def score_rows(self, params: GeneralizedLinearParams, k: int, design: Any, y: Array) -> Array:
        """Gradient of the log density in coefficients and log dispersions for each row, (P, n)."""
        (own, *at), matrix = self._of_expert(params, k, design), split_offset(design)[0]
        family, target = observed(own, y)
        gradient = family.gradient(target, *at)
        dispersion = np.zeros((params.log_dispersion.shape[-1], *y.shape))
        positions, numbers, factors = self.layout.derivatives(own, design)
        dispersion[positions] = gradient[1 + numbers] * factors[:, None]
        slopes = gradient[0][:, None] * matrix.T
        return np.concatenate(
            [slopes.reshape(-1, len(matrix)), self.layout.coordinates(dispersion)]
        )

    def information(
        self, params: GeneralizedLinearParams, k: int, design: Any, y: Array, weight: Array
    ) -> Array:
        """Negative Hessian of the weighted log density of one expert, (P, P)."""
        (own, *at), matrix = self._of_expert(params, k, design), split_offset(design)[0]
        family, target = observed(own, y)
        hessian = -weight * family.hessian(target, *at)
        n_outputs, n_columns = params.coef.shape[1:]
        size = n_outputs * n_columns
        information = np.zeros((size + params.log_dispersion[k].size,) * 2)
        positions, numbers, factors = self.layout.derivatives(own, design)
        for output in range(n_outputs):
            slopes = slice(output * n_columns, (output + 1) * n_columns)
            others = self._coordinates_of(positions, output, params)
            information[slopes, slopes] = (matrix.T * hessian[0, 0, output]) @ matrix
            cross = (hessian[0, 1 + numbers, output] * factors) @ matrix
            information[slopes, others] = cross.T
            information[others, slopes] = cross
            second = hessian[1:, 1:, output][np.ix_(numbers, numbers)] * factors[:, None] * factors
            information[np.ix_(others, others)] = second.sum(axis=-1)
        return information

    def _coordinates_of(
        self, positions: Any, output: int, params: GeneralizedLinearParams
    ) -> Array:
        """Coordinates of inference of some positions of the dispersions of an output."""
        _, n_outputs, n_positions = params.log_dispersion.shape
        order = self.layout.from_coordinates(np.arange(n_positions * n_outputs), n_outputs)
        return params.coef[0].size + order[positions, output]

    def penalty_hessian(self, params: GeneralizedLinearParams) -> list[Array]:
        """Hessian of the penalty for each expert, (P, P)."""
        n_experts, n_outputs, n_columns = params.coef.shape
        constants = self._constants(params)
        precision = np.exp(-constants.log_scale(params))
        _, second = self._scale_penalty_derivatives(params)
        of_slopes = self._dispersion_ridge(params)[:, 0]
        size = n_outputs * n_columns
        hessians = []
        for k in range(n_experts):
            group, ridge = self._group_of(k), constants.share[k, 0] * constants.ridge
            hessian = np.zeros((size + params.log_dispersion[k].size,) * 2)
            for output in range(n_outputs):
                slopes = slice(output * n_columns, (output + 1) * n_columns)
                hessian[slopes, slopes] = precision[k, output] * np.diag(ridge)
                every = self._coordinates_of(slice(None), output, params)
                hessian[every, every] += of_slopes[k]
                if group.family.has_scale:
                    [scale] = self._coordinates_of(group.dispersions[:1], output, params)
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
        log_first = np.full(intercepts.shape, np.nan)
        for group in self._constants(params).groups:
            family, experts = group.family, group.experts
            if not family.link:
                intercepts[experts] = np.nan
            values = family.dispersion_values(group.log_dispersion(params))
            indices = [self.dispersions.index(dispersion) for dispersion in family.dispersions]
            for index, value in zip(indices, values, strict=True):
                dispersions[index, experts] = value[..., 0]
            if family.standardizes_target:
                dispersions[indices[0], experts] *= scale**2
            if self.layout.depends(family):
                log_first[experts] = np.log(dispersions[indices[0], experts])
        attributes: dict[str, Any] = {"expert_coef_": slopes, "expert_intercept_": intercepts}
        if self.layout.n_slopes:
            of_features = np.zeros(params.coef.shape)
            of_features[..., self.layout.columns] = params.log_dispersion[
                ..., : self.layout.n_slopes
            ]
            of_features[..., -1] = log_first
            predictors = units.expert_coefficients(of_features)
            predictors[0][np.isnan(log_first)] = np.nan
            names = ("expert_dispersion_coef_", "expert_dispersion_intercept_")
            attributes |= zip(names, predictors, strict=True)
        for dispersion, values in zip(self.dispersions, dispersions, strict=True):
            if dispersion.position is None:
                attributes[dispersion.attribute] = values
            else:
                known = attributes.get(dispersion.attribute, np.zeros((*values.shape, 0)))
                attributes[dispersion.attribute] = np.concatenate([known, values[..., None]], -1)
        if self._n_outputs == 1:
            attributes = {name: values[:, 0] for name, values in attributes.items()}
        units_of_y = AffineMap(scale, center)
        families = [self._family(k).rescale(units_of_y) for k in range(len(slopes))]
        return attributes | {"families_": families}
