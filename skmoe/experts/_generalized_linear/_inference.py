"""Derivatives for standard errors, and fitted attributes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from skmoe._numerics.linalg import used_columns
from skmoe._numerics.offset_design import split_offset
from skmoe._numerics.typing import Array
from skmoe.experts._generalized_linear._em_steps import FamilyEM
from skmoe.experts._generalized_linear._params import (
    GeneralizedLinearParams,
    RescaledTarget,
    possible_target,
)


class FamilyInference(FamilyEM):
    """Scores, information and penalty in the coordinates of an expert."""

    def n_parameters(self, params: GeneralizedLinearParams) -> int:
        """Coefficients and dispersions."""
        n_experts, n_outputs, _ = params.coef.shape
        used, total = used_columns(params.coef), 0
        n_shared = int(used[list(self.shared_columns)].sum())
        for k in range(n_experts):
            family = self._family(k)
            n_own = int(used.sum()) - (n_shared if k else 0)
            total += n_outputs * n_own * bool(family.link)
            if not (self.shared_dispersion and k):
                total += n_outputs * len(family.dispersions)
        return total

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
        dispersions = np.full(n_outputs * self._n_dispersions, self.shared_dispersion)
        return np.concatenate([np.tile(slopes, n_outputs), dispersions])

    def at_bound(self, params: GeneralizedLinearParams) -> Array:
        """Unused coordinates, and dispersions at a bound, (K, P)."""
        n_experts, n_outputs, n_columns = params.coef.shape
        low, high = self._log_dispersion_bounds(n_experts)
        at_bound = (params.log_dispersion <= low) | (params.log_dispersion >= high)
        unused = np.array([not self._family(k).link for k in range(n_experts)])
        # A shared slope is used if another expert has it.
        own = ~self.shared_coordinates(params)[: n_outputs * n_columns] | unused.all()
        coefficients = unused[:, None] & own
        return np.hstack([coefficients, np.swapaxes(at_bound, 1, 2).reshape(n_experts, -1)])

    def dispersion_at_bound(self, params: GeneralizedLinearParams) -> Array:
        """Experts with a scale at its lower bound."""
        low, _ = self._log_dispersion_bounds(len(params.coef))
        flags = np.zeros(len(params.coef), dtype=bool)
        for _, family, index in self._groups(len(flags)):
            if family.has_scale:
                scale = self._scale_index(family)
                flags[index] = (params.log_dispersion <= low)[index][..., scale].any(axis=1)
        return flags

    def score_rows(self, params: GeneralizedLinearParams, k: int, design: Any, y: Array) -> Array:
        """Gradient of the log density in coefficients and log dispersions for each row, (P, n)."""
        family, matrix = self._family(k), split_offset(design)[0]
        theta = self._log_dispersion(family, params.log_dispersion[k])
        predictor = self._predictor_of(params, k, design)
        possible = possible_target(family, y)
        gradient = family.gradient(possible, predictor, theta)
        dispersion = np.zeros((self._n_dispersions, *y.shape))
        dispersion[self._own_dispersions(family)] = gradient[1:]
        slopes = gradient[0][:, None] * matrix.T
        return np.concatenate([slopes.reshape(-1, len(matrix)), dispersion.reshape(-1, y.shape[1])])

    def information(
        self, params: GeneralizedLinearParams, k: int, design: Any, y: Array, weight: Array
    ) -> Array:
        """Negative Hessian of the weighted log density of one expert, (P, P)."""
        family, matrix = self._family(k), split_offset(design)[0]
        theta = self._log_dispersion(family, params.log_dispersion[k])
        predictor = self._predictor_of(params, k, design)
        hessian = -family.hessian(possible_target(family, y), predictor, theta) * weight
        own = self._own_dispersions(family)
        n_outputs, n_columns = params.coef.shape[1:]
        size = n_outputs * n_columns
        information = np.zeros((size + n_outputs * self._n_dispersions,) * 2)
        for output in range(n_outputs):
            slopes = slice(output * n_columns, (output + 1) * n_columns)
            others = size + n_outputs * np.array(own, dtype=int) + output
            information[slopes, slopes] = (matrix.T * hessian[0, 0, output]) @ matrix
            cross = hessian[0, 1:, output] @ matrix
            information[slopes, others] = cross.T
            information[others, slopes] = cross
            information[np.ix_(others, others)] = hessian[1:, 1:, output].sum(axis=-1)
        return information

    def penalty_hessian(self, params: GeneralizedLinearParams) -> list[Array]:
        """Hessian of the penalty for each expert, (P, P)."""
        n_experts, n_outputs, n_columns = params.coef.shape
        ridge, precision = self._ridge(n_experts, n_columns), self._precision(params)
        _, second = self._scale_penalty_derivatives(params)
        size = n_outputs * n_columns
        hessians = []
        for k in range(n_experts):
            hessian = np.zeros((size + n_outputs * self._n_dispersions,) * 2)
            for output in range(n_outputs):
                slopes = slice(output * n_columns, (output + 1) * n_columns)
                hessian[slopes, slopes] = precision[k, output] * np.diag(ridge)
                if self._family(k).has_scale:
                    scale = size + n_outputs * self._scale_index(self._family(k)) + output
                    cross = -precision[k, output] * ridge * params.coef[k, output]
                    hessian[slopes, scale] = hessian[scale, slopes] = cross
                    hessian[scale, scale] = second[k, output]
            hessians.append(hessian)
        return hessians

    def contrast_matrix(self) -> Array:
        """One coefficient vector for each output."""
        return np.eye(self._n_outputs)

    def attributes(self, params: GeneralizedLinearParams, units: Any) -> dict[str, Any]:
        """`coef_`, `intercept_` and the dispersions, in the units of the data.

        The intercepts of experts without linear predictor, and dispersions that an expert does not
        have, are NaN.
        """
        center, scale = units.target_scaling
        slopes, intercepts = units.expert_coefficients(params.coef)
        # The scaling is one where the families of the list do not standardise the target.
        slopes, intercepts = slopes * scale[:, None], center + scale * intercepts
        dispersions = np.full((self._n_dispersions, *intercepts.shape), np.nan)
        for _, family, index in self._groups(len(slopes)):
            if not family.link:
                intercepts[index] = np.nan
            theta = self._log_dispersion(family, params.log_dispersion[index])
            values = family.dispersion_values(theta)
            for own, value in zip(self._own_dispersions(family), values, strict=True):
                dispersions[own, index] = value[..., 0]
            if family.standardizes_target:
                dispersions[self._scale_index(family), index] *= scale**2
        attributes: dict[str, Any] = {"coef_": slopes, "intercept_": intercepts}
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
