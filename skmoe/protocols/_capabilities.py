"""Capabilities that families and gates may have: the methods that each of them needs."""

from __future__ import annotations

from typing import Any, Protocol

from skmoe._numerics.evidence import Slopes
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


class SupportsEvidence(Protocol):
    """Families and gates whose penalties can be found by maximising the evidence.

    They are dataclasses with a field `alpha`: a number, or a tuple with one for each feature.
    Coefficients of another block can have a penalty in a field of its own.
    """

    def penalised_slopes(self, params: Any, statistics: Any, hessian: Any) -> dict[str, Slopes]:
        """The slopes at the parameters, with their posterior covariances and gradients.

        The keys are the fields with their penalties.
        """


class SupportsDispersionEvidence(Protocol):
    """Families with fields `dispersion_prior` and `noise_variance`, which can be found as well."""

    def scales(self, params: Any, statistics: Any) -> tuple[Array, Array]:
        """Scales in units of `noise_variance`, and the rows of each, both (K, m).

        The scale of an expert without one is nan.
        """


class SupportsReordering(Protocol):
    """Families and gates whose experts can be numbered in any order: all are treated alike."""

    def reorder(self, params: Any, order: Array) -> Any:
        """The parameters with the experts `order` (K,), in this order.

        `permute_experts` does it for named tuples of arrays whose first axis counts the experts.
        """


def permute_experts(params: Any, order: Array) -> Any:
    """A named tuple of arrays whose first axis counts the experts, with these in another order.

    Parameters
    ----------
    params : named tuple of arrays
        Parameters of a family or gate.
    order : ndarray of shape (n_experts,)
        Indices of the experts in their new order.

    Returns
    -------
    params : named tuple of arrays
        The arrays, indexed by the order.

    See Also
    --------
    SupportsReordering : The capability that needs it.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.experts import LinearExperts
    >>> from skmoe.protocols import permute_experts
    >>> params = LinearExperts().init_params(n_experts=2, n_columns=3)
    >>> params = params._replace(log_dispersion=np.array([[[1.0]], [[2.0]]]))
    >>> permute_experts(params, np.array([1, 0])).log_dispersion.ravel()
    array([2., 1.])
    """
    return type(params)(*(values[order] for values in params))


def missing_methods(part: Any, capability: type) -> list[str]:
    """Names of the methods of a capability that a part does not have."""
    needed = [name for name in vars(capability) if not name.startswith("_")]
    return [name for name in needed if not callable(getattr(part, name, None))]


def has_capability(part: Any, capability: type) -> bool:
    """Whether a part has all methods of a capability, and no limitation."""
    return not missing_methods(part, capability) and not part.limitation(capability)
