"""What a family of experts and a gate must offer: the whole extension point.

Parts are stateless objects that hold hyper-parameters only. Parameters are values: named tuples of
arrays, component axis first. The responsibilities `resp` (K, n) that a part is given are already
multiplied by the weights of the rows, so that no part can forget them.

What a part needs of the data is a sum over rows, so that blocks of rows, wherever they are, add
up: `solve` sees the sums only.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

from skmoe._numerics.typing import Array, Design


@runtime_checkable
class Experts(Protocol):
    """How each expert generates y from the features."""

    def init_params(self, n_experts: int, n_columns: int) -> Any:
        """Parameters to start from, for a design of `n_columns` columns."""

    def log_prob(self, params: Any, design: Design, y: Array) -> Array:
        """Log density or log probability of y under each expert, (K, n)."""

    def mean(self, params: Any, design: Design) -> Array:
        """What each expert says: means (K, m, n), or class probabilities (K, C, n)."""

    def mean_of(self, params: Any, k: int, design: Design) -> Array:
        """What one expert says, (m, n) or (C, n)."""

    def statistics(self, params: Any, design: Design, y: Array, resp: Array) -> Any:
        """Sums over the rows given that `solve` needs: a named tuple of arrays."""

    def hessian(self, params: Any, design: Design, y: Array, resp: Array) -> Array | None:
        """Sums that describe the curvature of the objective, which may be used for several steps.

        None if the maximum is found in closed form.
        """

    def factorize(self, curvature: Any) -> Any:
        """What `solve` wants to see of the summed curvature."""

    def m_step(self, statistics: Any, factor: Any, params: Any, step: float) -> Any:
        """New parameters, which must not lower the expected log-likelihood for small `step`.

        `step` in [0, 1] scales iterative steps; closed-form solutions may ignore it.
        """

    def project(self, params: Any) -> Any:
        """Nearest parameters that are allowed, for those that extrapolation went to."""

    def penalty(self, params: Any) -> float:
        """What is subtracted from the log-likelihood."""

    def n_parameters(self, params: Any) -> float:
        """Number of free parameters, for information criteria; NaN if there is none."""


@runtime_checkable
class InMemoryExperts(Experts, Protocol):
    """Experts that need all rows at once; their statistics are the rows themselves.

    Their design is a `RawTable`, their parameters are not extrapolated, and `solve` is called once
    for given responsibilities, whatever the step of the gate.
    """

    def drop_training_state(self, params: Any) -> Any:
        """Parameters for new rows, without what they keep of the rows of the fit."""

    def concatenate(self, params: list[Any]) -> tuple[Any, Any]:
        """Experts and parameters, for new rows, of several fits side by side."""


class NormalComponents(NamedTuple):
    """Normal densities whose mixture is what one expert says of y, for C components.

    Outputs are independent given the component.
    """

    weight: Array  # (C, n), summing to one
    mean: Array  # (C, m, n)
    variance: Array  # (C, m, n)


@runtime_checkable
class GaussianExperts(Experts, Protocol):
    """Experts whose densities are normal, or mixtures of normals: `predict_dist` needs them."""

    def components(self, params: Any, k: int, design: Design) -> NormalComponents:
        """The density of y under one expert."""


@runtime_checkable
class DifferentiableExperts(Experts, Protocol):
    """Experts with a smooth log density: standard errors need them.

    The P coordinates of an expert are coefficient vectors, one after the other, and then others.
    Designs are dense here.
    """

    def score_rows(self, params: Any, k: int, design: Array, y: Array) -> Array:
        """Gradients of the log density in the coordinates of one expert, row by row, (P, n)."""

    def information(self, params: Any, k: int, design: Array, y: Array, weight: Array) -> Array:
        """Negative Hessian of the weighted log density of one expert, (P, P)."""

    def penalty_hessian(self, params: Any) -> list[Array]:
        """Hessians of the penalty, (P, P) for each expert."""

    def n_shared_params(self) -> int:
        """How many of the last coordinates all experts have in common."""

    def at_bound(self, params: Any) -> Array:
        """Which coordinates are at a limit and not free, (K, P)."""

    def contrast_matrix(self) -> Array:
        """Matrix (V, Q) from the Q coefficient vectors of the coordinates to the V public ones."""


@runtime_checkable
class Gate(Protocol):
    """How an expert is chosen from the features: experts whose y is the hidden component."""

    def init_params(self, n_experts: int, n_columns: int) -> Any:
        """Parameters that give every expert the same probability."""

    def log_prob(self, params: Any, design: Design) -> Array:
        """Log probability of each expert, (K, n)."""

    def statistics(self, params: Any, design: Design, resp: Array, log_prob: Array) -> Any:
        """Sums over the rows given that `solve` needs; `log_prob` is the gate's own there."""

    def hessian(self, params: Any, design: Design, resp: Array, log_prob: Array) -> Array | None:
        """Like the curvature of experts."""

    def factorize(self, curvature: Any) -> Any:
        """What `solve` wants to see of the summed curvature."""

    def m_step(self, statistics: Any, factor: Any, params: Any, step: float) -> Any:
        """New parameters, which must not lower the expected log-likelihood for small `step`."""

    def project(self, params: Any) -> Any:
        """Nearest parameters that are allowed."""

    def penalty(self, params: Any) -> float:
        """What is subtracted from the log-likelihood."""

    def n_parameters(self, params: Any) -> int:
        """Number of free parameters."""


@runtime_checkable
class DifferentiableGate(Gate, Protocol):
    """Gate with smooth log probabilities: standard errors need it. Designs are dense here.

    Its coordinates are coefficient vectors, one after the other.
    """

    def score_rows(self, params: Any, k: int, design: Array, log_prob: Array) -> Array:
        """Gradients of the log probability of one expert, row by row, (P, n)."""

    def information(self, params: Any, design: Array, weight: Array, log_prob: Array) -> Array:
        """Negative Hessian of the weighted log probability of any expert, (P, P)."""

    def penalty_hessian(self, params: Any, n_columns: int) -> Array:
        """Hessian of the penalty, (P, P)."""

    def contrast_matrix(self, params: Any) -> Array:
        """Matrix (K, Q) from the Q coefficient vectors of the coordinates to those of experts."""
