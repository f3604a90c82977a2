"""The mixture: one vector of the coefficients of experts and gate, its E-step and its step.

References
----------
.. [1] R. A. Jacobs, M. I. Jordan, S. J. Nowlan and G. E. Hinton (1991), "Adaptive mixtures of local
   experts", Neural Computation 3, 79-87.
.. [2] K. Lange, D. R. Hunter and I. Yang (2000), "Optimization transfer using surrogate objective
   functions", Journal of Computational and Graphical Statistics 9, 1-20.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from skmoe._mixture.data import Data
from skmoe._numerics.linalg import sum_over_blocks
from skmoe._numerics.probability import normalised_top_k
from skmoe._numerics.typing import TINY, Array


class EStep(NamedTuple):
    """Sums over rows at S vectors; they add up over blocks, wherever these are stored."""

    log_likelihood: Array  # (S,)
    weight: float
    experts: Any
    gate: Any


class Mixture:
    """Gate and experts, whose coefficients are one vector: those of the experts come first.

    `top_k` is the largest number of experts of a row, and `balance` the strength of the prior on
    the usage of the experts, in units of the rows.
    """

    def __init__(
        self, experts: Any, gate: Any, *, top_k: int | None = None, balance: float = 0.0
    ) -> None:
        self.experts, self.gate = experts, gate
        self.n_experts = experts.n_experts
        self.top_k, self.balance = top_k, balance
        self.size = experts.size + gate.size

    def split(self, theta: Array) -> tuple[Array, Array]:
        """Coefficients (..., D) of experts and of the gate."""
        return theta[..., : self.experts.size], theta[..., self.experts.size :]

    def joined(self, of_experts: Array, of_gate: Array) -> Array:
        """One vector (..., D) of both."""
        return np.concatenate([of_experts, of_gate], axis=-1)

    def with_part(self, name: str, part: Any) -> Mixture:
        """The mixture with another gate, or other experts."""
        other = copy(self)
        setattr(other, name, part)
        return other

    # --- densities ---

    def log_gate(self, theta: Array, data: Data, *, routed: bool = False) -> Array:
        """Log probabilities (K, S, U) of the experts.

        Predictions are under the gate by which rows are routed: with `top_k` only the k most
        probable experts of each row have positive probability.
        """
        logs = self.gate.log_prob(self.split(theta)[1], data)
        return by_column(normalised_top_k, logs, self.top_k) if routed else logs

    def log_joint(self, theta: Array, data: Data, *, routed: bool = False) -> Array:
        """Log joint densities (K, S, U) of expert and y, of rows or units."""
        logs = self.experts.log_prob(self.split(theta)[0], data)
        return data.joint(self.log_gate(theta, data, routed=routed), logs)

    def responsibilities(self, theta: Array, data: Data) -> tuple[Array, Array]:
        """Responsibilities of the E-step, (K, S, U), and log densities, (S, U)."""
        of_experts, of_gate = self.split(theta)
        logs = self.experts.log_prob(of_experts, data)
        return data.posterior(self.gate.log_prob(of_gate, data), logs, self.top_k)

    # --- EM ---

    def e_step(
        self, theta: Array, blocks: Iterable[Data], *, curvature: bool, map_blocks: Any = None
    ) -> EStep:
        """Sums over all rows at coefficients (S, D)."""
        usage = self.usage(theta, blocks) if self.balance else None
        of_block = partial(self.e_step_block, theta, curvature=curvature, usage=usage)
        total: EStep = sum_over_blocks(of_block, blocks, map_blocks)
        return total

    def e_step_block(
        self,
        theta: Array,
        data: Data,
        *,
        curvature: bool,
        resp: Array | None = None,
        usage: Array | None = None,
    ) -> EStep:
        """Sums over a block of rows.

        With given responsibilities (K, S, U) the log-likelihood is the expected one of the complete
        data.
        """
        of_experts, of_gate = self.split(theta)
        gate, experts = self.gate.evaluate(of_gate, data), self.experts.evaluate(of_experts, data)
        sharing = data.sharing
        if resp is None:
            resp, log_density = data.posterior(gate.logs, experts.logs, self.top_k)
            log_likelihood = log_density @ sharing.gate_weight
        else:
            joint = data.joint(gate.logs, experts.logs)
            weighted = resp * sharing.gate_weight
            known = np.where(weighted > 0.0, joint, 0.0)
            log_likelihood = (weighted * known).sum(axis=(0, 2))
        target = resp * sharing.gate_weight
        weight = target if data.rows.units is None else sharing.to_rows(resp) * sharing.weight
        if self.balance:
            own = self.usage(theta, [data]) if usage is None else usage
            log_prior, added = balance_prior(self.balance, gate.logs, sharing.gate_weight, own)
            log_likelihood, target = log_likelihood + log_prior, target + added
        sums = experts.sums(weight, curvature), gate.sums(target, curvature)
        return EStep(log_likelihood, data.weight, *sums)

    def usage(self, theta: Array, blocks: Iterable[Data]) -> Array:
        """Sums of the gate's probabilities over rows or units, (K, S)."""

        def of_block(data: Data) -> Array:
            logs = self.log_gate(theta, data)
            weight = data.sharing.gate_weight
            return np.asarray(np.exp(np.broadcast_to(logs, (*logs.shape[:2], len(weight)))) @ weight)

        total: Array = sum_over_blocks(of_block, blocks)
        return total

    # --- the vector ---

    def first_theta(self) -> Array:
        """Coefficients without slopes, (D,)."""
        return self.joined(self.experts.first_theta(), self.gate.first_theta())

    def penalty(self, theta: Array) -> Array:
        """Negative log prior up to a constant, (S,)."""
        of_experts, of_gate = self.split(theta)
        penalty = self.experts.penalty(of_experts)
        return np.asarray(penalty + self.gate.penalty(of_gate))

    def penalty_gradient(self, theta: Array) -> Array:
        """Gradient of the penalty at one vector, (D,)."""
        of_experts, of_gate = self.split(theta)
        return self.joined(
            self.experts.penalty_gradient(of_experts),
            self.gate.penalty_gradient(of_gate),
        )

    @property
    def bounds(self) -> tuple[Array, Array]:
        """Lower and upper bounds, (D,)."""
        return (
            self.joined(self.experts.lower, self.gate.lower),
            self.joined(self.experts.upper, self.gate.upper),
        )

    @property
    def free(self) -> Array:
        """Coordinate of each coefficient among those that are estimated; -1 for absent ones."""
        of_experts, of_gate = self.experts.free, self.gate.free
        shift = int(of_experts.max(initial=-1)) + 1
        return self.joined(of_experts, np.where(of_gate < 0, -1, of_gate + shift))

    @property
    def first(self) -> Array:
        """The first of the coefficients that are equal, (R,)."""
        return self.joined(self.experts.first, self.experts.size + self.gate.first)

    def at_bound(self, theta: Array) -> Array:
        """Coefficients at a bound, boolean of shape (D,)."""
        of_experts, of_gate = self.split(theta)
        return self.joined(self.experts.at_bound(of_experts), self.gate.at_bound(of_gate))

    @property
    def dropped(self) -> Array:
        """Slopes of dropped features, boolean of shape (D,)."""
        return self.joined(self.experts.dropped, self.gate.dropped)

    def reduced(self, values: Array) -> Array:
        """Sums of values (..., D) over coefficients that are equal, (..., R)."""
        of_experts, of_gate = self.split(values)
        return self.joined(self.experts.reduced(of_experts), self.gate.reduced(of_gate))

    def reduced_matrix(self, matrix: Array) -> Array:
        """The same for both axes of a matrix (D, D)."""
        return self.reduced(self.reduced(matrix).T).T

    def expanded(self, values: Array) -> Array:
        """Values (..., R) of estimated coefficients for all, zero for absent ones, (..., D)."""
        split = len(self.experts.first)
        of_experts, of_gate = values[..., :split], values[..., split:]
        return self.joined(self.experts.expanded(of_experts), self.gate.expanded(of_gate))

    def bounded(self, theta: Array) -> Array:
        """The nearest valid coefficients."""
        of_experts, of_gate = self.split(theta)
        of_experts = self.experts.bounded(of_experts)
        return self.joined(of_experts, self.gate.bounded(of_gate))

    def invert(self, theta: Array, total: EStep) -> tuple[Any, Any]:
        """The curvatures of experts and gate, each with its penalised inverse."""
        (of_experts, of_gate), parts = self.split(theta), (self.experts, self.gate)
        experts, gate = (
            (sums.curvature, part.invert(own, sums.curvature))
            for part, own, sums in zip(
                parts, (of_experts, of_gate), (total.experts, total.gate), strict=True
            )
        )
        return experts, gate

    def direction(self, theta: Array, total: EStep, curvature: Any) -> Array:
        """The step (S, D) of experts and gate, with the curvatures that `invert` gives."""
        of_experts, of_gate = self.split(theta)
        return self.joined(
            self.experts.direction(of_experts, total.experts, curvature[0]),
            self.gate.direction(of_gate, total.gate, curvature[1]),
        )

    def projected(self, theta: Array) -> Array:
        """The nearest coefficients (D,) of which shared ones are equal, and absent ones zero."""
        return self.bounded(self.expanded(theta[self.first]))

    # --- the order of the experts ---

    @property
    def can_reorder(self) -> bool:
        """Whether the experts can have any order: all are treated alike."""
        return bool(self.experts.can_reorder and self.gate.can_reorder)

    def reordered(self, theta: Array, order: Array) -> Array:
        """Coefficients (D,) of the same mixture with its experts in another order."""
        of_experts, of_gate = self.split(theta)
        return self.joined(
            self.experts.reordered(of_experts, order), self.gate.reordered(of_gate, order)
        )


def by_column(function: Any, logs: Array, top_k: int | None) -> Array:
    """A function of logs (K, n) and `top_k` for logs (K, S, n)."""
    if top_k is None:
        return logs
    return np.asarray(function(logs.reshape(len(logs), -1), top_k).reshape(logs.shape))


def balance_prior(
    balance: float, log_gate: Array, weight: Array, usage: Array
) -> tuple[Array, Array]:
    """Log prior (S,) of the usage of the experts, and its responsibilities (K, S, U) for the gate.

    The log prior is `balance` times the total weight times the mean over the experts of the log of
    their mean probability: that of a block is the part of its weight. Responsibilities divide the
    probability of each expert among the rows. Their expected log probability is a lower bound of
    the log prior, up to a constant, with equality at the current gate. So a step with these in
    addition increases the sum of log-likelihood and log prior [2]_. `usage` (K, S) is the sum of
    the gate's probabilities over all blocks.
    """
    usage = np.maximum(usage, TINY)
    total = usage.sum(axis=0)
    value = balance * float(weight.sum()) * np.log(usage / total).mean(axis=0)
    of_experts = balance * total / (len(usage) * usage)
    return value, of_experts[..., None] * weight * np.exp(log_gate)
