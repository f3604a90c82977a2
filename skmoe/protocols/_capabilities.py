"""Capabilities that families and gates may have: the methods that each of them needs."""

from __future__ import annotations

from typing import Any, Protocol

from skmoe._numerics.typing import Array, Design


class SupportsDistribution(Protocol):
    """Experts with a predictive distribution: `predict_dist`, intervals, quantiles, `sample`."""

    def components(self, params: Any, k: int, design: Design) -> Any:
        """The distribution of y under expert k, as components of `skmoe.distributions`."""


class SupportsInference(Protocol):
    """Experts with a twice differentiable log density: `inference` and standard errors.

    The P coordinates of an expert are those of its `blocks`, one after the other. Design matrices
    are dense here.
    """

    def score_rows(self, params: Any, k: int, design: Array, y: Array) -> Array:
        """Gradient of the log density in the coordinates of expert k for each row, (P, n)."""

    def information(self, params: Any, k: int, design: Array, y: Array, weight: Array) -> Array:
        """Negative Hessian of the weighted log density of expert k, (P, P)."""

    def penalty_hessian(self, params: Any) -> list[Array]:
        """Hessian of the penalty for each expert, (P, P)."""


class SupportsGateInference(Protocol):
    """Gates whose logits are linear in their coordinates, which are coefficients.

    Then the derivatives of a log probability depend on the probabilities of all experts alone, so
    that `log_prob` (K, n) can also be the logs of others, such as of responsibilities.
    """

    def score_rows(self, params: Any, k: int, design: Array, log_prob: Array) -> Array:
        """Gradient of the log probability of expert k for each row, (P, n)."""

    def information(self, params: Any, design: Array, weight: Array, log_prob: Array) -> Array:
        """Negative Hessian of the weighted log probability of any expert, (P, P)."""

    def penalty_hessian(self, params: Any, n_columns: int) -> Array:
        """Hessian of the penalty, (P, P)."""

    def contrast_matrix(self, params: Any) -> Array:
        """Matrix (K, Q) from the Q coefficient vectors of the coordinates to those of experts."""


class SupportsReordering(Protocol):
    """Families and gates whose experts can be numbered in any order: all are treated alike."""

    def reorder(self, params: Any, order: Array) -> Any:
        """The parameters with the experts `order` (K,), in this order."""


def missing_methods(part: Any, capability: type) -> list[str]:
    """Names of the methods of a capability that a part does not have."""
    needed = [name for name in vars(capability) if not name.startswith("_")]
    return [name for name in needed if not callable(getattr(part, name, None))]


def has_capability(part: Any, capability: type) -> bool:
    """Whether a part has all methods of a capability, and no limitation."""
    return not missing_methods(part, capability) and not part.limitation(capability)
