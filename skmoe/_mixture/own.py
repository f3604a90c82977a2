"""Experts and gates of users in a mixture.

See "Write your own family, gate and experts" in the tutorials. Their coefficients are the arrays of
their parameters, one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple, Self

import numpy as np

from skmoe._mixture.experts import Shown
from skmoe._mixture.mixture import Data, flat
from skmoe._numerics.typing import Array

# Step of the differences that are derivatives, relative to one plus the size of a coefficient.
DERIVATIVE_STEP = 1e-4

# The corners of a difference that is a second derivative.
SIGNS = tuple(product((1.0, -1.0), repeat=2))


class OwnSums(NamedTuple):
    """Sums over rows, which are additive: what the part needs of them for each vector."""

    statistics: tuple[Any, ...]  # of S vectors
    curvature: Any  # their Hessians, None for an M-step in closed form; None if not wanted


class OwnPart:
    """What experts and gates of users have in common."""

    is_linear = has_derivatives = needs_all_rows = False
    flat = 0.0

    def __init__(self, own: Any, n_experts: int, n_columns: int) -> None:
        self.own, self.n_experts, self.n_columns = own, n_experts, n_columns
        self.first_params = own.init_params(n_experts, n_columns)
        self.start = self.theta(self.first_params)
        self.size = len(self.start)
        self.lower, self.upper = np.repeat([[-np.inf], [np.inf]], self.size, axis=1)
        self.free = self.first = np.arange(self.size)
        self.prior = flat(self.size)
        self.groups: list[Any] = []
        self.can_reorder = callable(getattr(own, "reorder", None))
        self.penalties = dict(own.penalties)

    # --- the vector ---

    def params(self, theta: Array) -> Any:
        """Parameters of coefficients (D,)."""
        ends = np.cumsum([np.size(like) for like in self.first_params])[:-1]
        pairs = zip(self.first_params, np.split(theta, ends), strict=True)
        return type(self.first_params)(*(own.reshape(np.shape(like)) for like, own in pairs))

    def theta(self, params: Any) -> Array:
        """Coefficients (D,) of parameters."""
        return np.concatenate([np.zeros(0), *(np.ravel(values) for values in params)])

    def reordered(self, theta: Array, order: Array) -> Array:
        """Coefficients (D,) with the experts in another order."""
        return self.theta(self.own.reorder(self.params(theta), order))

    def with_penalties(self, changes: dict[str, Any]) -> Self:
        """The same part with other penalties."""
        return type(self)(self.own.with_options(changes), self.n_experts, self.n_columns)

    def n_parameters(self, theta: Array) -> float:
        """Number of free parameters; NaN if it cannot be counted."""
        return float(self.own.n_parameters(self.params(theta)))

    # --- steps ---

    def arguments(self, data: Data) -> tuple[Any, ...]:
        """What the part reads of a block of rows."""
        return data.rows.expert_design, data.rows.y

    def log_prob(self, theta: Array, data: Data) -> Array:
        """Log densities (K, S, n), or log probabilities (K, S, U), at coefficients (S, D)."""
        arguments = self.arguments(data)
        return np.stack([self.own.log_prob(self.params(own), *arguments) for own in theta], axis=1)

    def sums(
        self, theta: Array, data: Data, weight: Array, logs: tuple[Array, ...], curvature: bool
    ) -> OwnSums:
        """Statistics and Hessians for responsibilities times weights (K, S, n).

        A gate has its log probabilities, (K, S, U), as well.
        """
        arguments = self.arguments(data)
        of_rows = [
            (self.params(own), *arguments, *(values[:, s] for values in (weight, *logs)))
            for s, own in enumerate(theta)
        ]
        statistics = tuple(self.own.statistics(*own) for own in of_rows)
        hessians = tuple(self.own.hessian(*own) for own in of_rows) if curvature else None
        return OwnSums(statistics, hessians)

    def invert(self, theta: Array, curvature: tuple[Any, ...]) -> tuple[Any, ...]:
        """Factorizations of the Hessians of S vectors."""
        return tuple(map(self.own.factorize, curvature))

    def direction(self, theta: Array, sums: OwnSums, factors: tuple[Any, ...]) -> Array:
        """The M-step (S, D) from coefficients, which leads upward."""
        ahead = [
            self.theta(self.own.m_step(statistics, factor, self.params(vector), 1.0))
            for vector, statistics, factor in zip(theta, sums.statistics, factors, strict=True)
        ]
        return np.stack(ahead) - theta

    def bounded(self, theta: Array) -> Array:
        """The nearest valid coefficients (S, D)."""
        return np.stack([self.theta(self.own.project(self.params(vector))) for vector in theta])

    def penalty(self, theta: Array) -> Array:
        """Negative log prior up to a constant, (S,)."""
        return np.array([float(self.own.penalty(self.params(vector))) for vector in theta])


class OwnExperts(OwnPart):
    """Experts of a user, an object of `skmoe.protocols.Experts`."""

    has_one_family = True  # whether all can have made the same rows
    shared_dispersion = can_separate = False
    dispersion_columns = slopes = signs = atoms = ()

    def __init__(self, own: Any, n_experts: int, n_columns: int) -> None:
        super().__init__(own, n_experts, n_columns)
        self.has_derivatives = bool(own.blocks)
        self.are_exchangeable, self.with_predictor = self.can_reorder, list(range(n_experts))
        self.can_collapse, self.takes_offset = bool(own.can_collapse), bool(own.takes_offset)
        self.has_distribution = callable(getattr(own, "components", None))
        self.link, self.explains_mean = str(own.link), not own.is_classifier
        self.all_blocks = tuple(own.blocks)
        self.sizes = np.full(n_experts, self.size / n_experts)

    def mean(self, theta: Array, data: Data, chosen: Sequence[int] | None = None) -> Array:
        """Means (K, m, n), or class probabilities (K, C, n), of all experts or of some."""
        means = np.asarray(self.own.mean(self.params(theta), data.rows.expert_design))
        return means if chosen is None else means[list(chosen)]

    def components(self, theta: Array, k: int, data: Data) -> Any:
        """The distribution of one expert, as a mixture of one component."""
        return self.own.components(self.params(theta), k, data.rows.expert_design)

    # --- what tables show ---

    def shown(self, k: int) -> list[Shown]:
        """The blocks of one expert."""
        where = self.params(np.arange(self.size))._asdict()
        return [Shown(block, where[block.params][k].ravel()) for block in self.all_blocks]

    def attributes(self, theta: Array, units: Any) -> dict[str, Any]:
        """Fitted attributes in the units of the data."""
        return dict(self.own.attributes(self.params(theta), units))

    def by_expert(self, theta: Array) -> Array:
        """Numbers that describe each expert, (K, V)."""
        arrays = (np.reshape(values, (self.n_experts, -1)) for values in self.params(theta))
        return np.hstack([np.zeros((self.n_experts, 0)), *arrays])

    def mean_slopes(self, theta: Array, data: Data) -> Array:
        """Derivatives (1, K, m, n) of the means by their linear predictors."""
        slopes = self.own.mean_derivative(self.params(theta), data.rows.expert_design)
        return (np.ones_like(self.mean(theta, data)) if slopes is None else slopes)[None]

    # --- what only experts with linear predictors have ---

    def in_order(self, order: Array) -> OwnExperts:
        """The experts with what each of them has of its own in another order: the same."""
        return self

    def log_scales(self, theta: Array, data: Data) -> None:
        """Logs of the scales at rows: none are known."""

    def dispersion_at_bound(self, theta: Array) -> Array:
        """Experts with a scale at its lower bound, boolean of shape (K,): none are known."""
        return np.zeros(self.n_experts, dtype=bool)

    # --- derivatives, by differences ---

    def derivatives(
        self, theta: Array, data: Data, weight: Array
    ) -> list[tuple[Array, Array, Array]]:
        """Coefficients (q,), scores (q, n) and Hessian (q, q) of the log density of each expert.

        The Hessian has weights (K, n). One coefficient of each expert changes at a time: the log
        density of an expert depends on its own ones only.
        """
        index = self.by_expert(np.arange(self.size)).astype(int)
        steps = DERIVATIVE_STEP * (1.0 + np.abs(theta))
        changes = np.zeros((index.shape[1], self.size))
        for i, coefficients in enumerate(index.T):
            changes[i, coefficients] = steps[coefficients]

        def logs(change: Array) -> Array:
            found = self.log_prob((theta + change)[None], data)[:, 0]
            return np.where(weight > 0.0, found, 0.0)

        steps = steps[index]
        scores = np.stack([0.5 * (logs(own) - logs(-own)) for own in changes], axis=1)
        hessians = np.zeros((self.n_experts, len(changes), len(changes)))
        for i, one in enumerate(changes):
            for j, other in enumerate(changes[: i + 1]):
                corners = [a * b * logs(a * one + b * other) for a, b in SIGNS]
                found = 0.25 * (weight * sum(corners)).sum(axis=1)
                hessians[:, i, j] = hessians[:, j, i] = found / (steps[:, i] * steps[:, j])
        return list(zip(index, scores / steps[..., None], hessians, strict=True))

    def penalty_gradient(self, theta: Array) -> Array:
        """Gradient of the penalty at one vector, (D,)."""
        steps = DERIVATIVE_STEP * (1.0 + np.abs(theta))
        ahead, behind = (self.penalty(theta + sign * np.diag(steps)) for sign in (0.5, -0.5))
        return (ahead - behind) / steps

    def penalty_hessian(self, theta: Array) -> Array:
        """Hessian of the penalty at one vector, (D, D)."""
        steps = DERIVATIVE_STEP * (1.0 + np.abs(theta))
        changes, hessian = np.diag(steps), []
        for one in changes:
            corners = [a * b * self.penalty(theta + a * one + b * changes) for a, b in SIGNS]
            hessian.append(0.25 * np.sum(corners, axis=0))
        return np.stack(hessian) / np.outer(steps, steps)


class OwnGate(OwnPart):
    """A gate of a user, an object of `skmoe.protocols.Gate`."""

    def __init__(self, own: Any, n_experts: int, n_columns: int) -> None:
        super().__init__(own, n_experts, n_columns)
        self.depends_on_features = bool(own.depends_on_features)
        self.persists = False

    def arguments(self, data: Data) -> tuple[Any, ...]:
        """What the gate reads of a block of rows or units."""
        return (data.rows.gate_design,)

    def coefficients(self, theta: Array, n_columns: int) -> Array | None:
        """Coefficients (K, d) of the logits; None if they are not linear."""
        found: Array | None = self.own.coefficients(self.params(theta), n_columns)
        return found
