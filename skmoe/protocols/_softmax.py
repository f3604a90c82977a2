"""What parts whose parameters are the coefficients of a softmax have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

from skmoe._numerics.evidence import Slopes, slope_penalty, softmax_slopes, without_dropped
from skmoe._numerics.linalg import rescale_coefficients, ridge_diagonal
from skmoe._numerics.multinomial import (
    hessian_product,
    softmax_newton_step,
    softmax_surrogate,
    to_contrasts,
)
from skmoe._numerics.typing import Alpha, Array, Design
from skmoe.protocols._capabilities import permute_experts


class SoftmaxStatistics(NamedTuple):
    """Gradient (..., C, d) of the expected log-likelihood."""

    gradient: Array


class SoftmaxPart(ABC):
    """Parts with coefficients `coef` (..., C, d), which sum to zero over C classes or experts.

    Their statistics are the gradient of the expected log-likelihood, of the same shape.
    """

    alpha: Any

    @abstractmethod
    def _contrasts(self, n_vectors: int) -> Array:
        """Matrix (C, C - 1) from the coordinates to C coefficient vectors."""

    @property
    def slope_alpha(self) -> Alpha:
        """The penalty on the slopes."""
        return self.alpha

    def m_step(self, statistics: Any, factor: Any, params: Any, step: float) -> Any:
        """Newton step, scaled by `step`."""
        n_vectors, n_columns = params.coef.shape[-2:]
        basis, ridge = self._contrasts(n_vectors), ridge_diagonal(self.slope_alpha, n_columns)
        newton = softmax_newton_step(factor, statistics.gradient, params.coef, basis, ridge)
        return self.project(params._replace(coef=params.coef + step * newton))

    def project(self, params: Any) -> Any:
        """Slopes of dropped features at zero."""
        return params._replace(coef=without_dropped(params.coef, self.slope_alpha))

    @property
    def penalties(self) -> dict[str, Any]:
        """Penalty of the slopes."""
        return {"alpha": self.slope_alpha}

    def penalty(self, params: Any) -> float:
        """`alpha / 2` times the sum of the squared slopes."""
        coordinates = to_contrasts(params.coef, self._contrasts(params.coef.shape[-2]))
        return slope_penalty(self.slope_alpha, coordinates)

    def penalised_slopes(self, params: Any, statistics: Any, hessian: Any) -> dict[str, Slopes]:
        """Slopes of the contrasts."""
        basis, gradient = self._contrasts(params.coef.shape[-2]), statistics.gradient
        return {"alpha": softmax_slopes(hessian, basis, self.slope_alpha, params.coef, gradient)}

    def moved(self, params: Any, change: Array) -> Any:
        """Parameters after a change of the contrasts."""
        basis, shape = self._contrasts(params.coef.shape[-2]), params.coef.shape
        vectors = change.reshape(*shape[:-2], basis.shape[1], shape[-1])
        return params._replace(coef=params.coef + basis @ vectors)

    def reorder(self, params: Any, order: Array) -> Any:
        """Parameters with the experts in another order."""
        return permute_experts(params, order)

    # --- streams ---

    def surrogate(
        self, statistics: Any, hessian: Array, params: Any, design: Design, weight: Array
    ) -> tuple[Any, Array]:
        """Quadratic surrogate with a fraction of the Böhning-Lindsay bound in its Hessian."""
        gradient, hessian = softmax_surrogate(
            statistics.gradient, hessian, params.coef, design, weight
        )
        return statistics._replace(gradient=gradient), hessian

    def surrogate_statistics(self, statistics: Any, hessian: Array, params: Any) -> Any:
        """Gradient of the surrogate at the parameters."""
        gradient = statistics.gradient - hessian_product(hessian, params.coef)
        return statistics._replace(gradient=gradient)

    def rescale(self, y_map: Any) -> Any:
        """The part as it is, which does not depend on the scale of the target."""
        return self

    def rescale_params(self, params: Any, x_map: Array, y_map: Any) -> Any:
        """Coefficients that give the same probabilities for rescaled features."""
        return params._replace(coef=rescale_coefficients(params.coef, x_map))

    def rescale_surrogate(
        self, statistics: Any, hessian: Array, x_map: Array, y_map: Any
    ) -> tuple[Any, Array]:
        """Gradient and Hessian for rescaled features."""
        gradient = statistics.gradient @ x_map.T
        return statistics._replace(gradient=gradient), x_map @ hessian @ x_map.T
