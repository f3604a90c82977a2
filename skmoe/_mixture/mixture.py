"""The mixture: one vector of the coefficients of experts and gate, and its E-step.

References
----------
.. [1] R. A. Jacobs, M. I. Jordan, S. J. Nowlan and G. E. Hinton (1991), "Adaptive mixtures of local
   experts", Neural Computation 3, 79-87.
.. [2] K. Lange, D. R. Hunter and I. Yang (2000), "Optimization transfer using surrogate objective
   functions", Journal of Computational and Graphical Statistics 9, 1-20.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from skmoe._mixture.data import DISPERSION, Data
from skmoe._mixture.groups import Group
from skmoe._numerics.evidence import DROPPED
from skmoe._numerics.linalg import sum_over_blocks
from skmoe._numerics.probability import normalised_top_k
from skmoe._numerics.typing import TINY, Array

# Part of the room of a log dispersion from which on it is at a bound, up to round-off.
NEXT_TO_ONE = 1.0 - 1e-9


class Prior(NamedTuple):
    """The prior of a vector of D coefficients, in which shared ones have equal parts.

    The precision of a coefficient with a scale is relative to the inverse of that scale, as in the
    conjugate prior of a linear regression.
    """

    precision: Array  # (D,)
    scale: Array  # coordinate of the log scale to which it is relative; -1 for none, (D,)
    strength: Array  # of log scales: rows of the prior, (D,)
    squares: Array  # of log scales: sum of squares of the prior, (D,)
    dropped: Array  # coefficients that are zero, since their features have been dropped, (D,)
    is_normal: bool  # whether no precision is relative, as for counts and classes
    joint: Any = None  # the outputs whose noise is joint
    constant: float = 0.0  # of the negative log density

    @classmethod
    def of(cls, precision: Array, scale: Array, strength: Array, squares: Array) -> Prior:
        """The prior, with facts that hold for all coefficients."""
        is_normal = bool((scale < 0).all() and not strength.any() and not squares.any())
        return cls(precision, scale, strength, squares, precision >= DROPPED, is_normal)

    def absolute(self, theta: Array) -> Array:
        """Precisions (..., D) at given scales."""
        if self.is_normal:
            return self.precision
        logs = np.where(self.scale < 0, 0.0, theta[..., self.scale])
        return np.asarray(self.precision * np.exp(-logs))

    def penalty(self, theta: Array) -> Array:
        """Negative log density up to a constant, (...)."""
        total = (self.absolute(theta) * np.square(theta)).sum(axis=-1)
        if not self.is_normal:
            own = self.strength + self.squares != 0.0
            logs, strength = theta[..., own], self.strength[own]
            total = total + (self.squares[own] * np.exp(-logs) + strength * logs).sum(axis=-1)
        return 0.5 * total + self.constant

    def derivatives(self, theta: Array) -> tuple[Array, Array]:
        """Gradient of the penalty, and the diagonal of its Hessian, both (..., D)."""
        precision = self.absolute(theta)
        gradient = precision * theta
        if self.is_normal:
            return gradient, np.broadcast_to(precision, theta.shape)
        # Sums of squares over their scales, at the coordinates of the log scales.
        of_slopes = precision * np.square(theta)
        scales = np.where(self.scale < 0, len(self.scale), self.scale)
        total = np.zeros((*theta.shape[:-1], len(self.scale) + 1))
        for at in np.ndindex(theta.shape[:-1]):
            total[at] = np.bincount(scales, of_slopes[at], len(self.scale) + 1)
        logs = np.where(self.squares != 0.0, theta, 0.0)
        decreasing = 0.5 * (total[..., :-1] + self.squares * np.exp(-logs))
        gradient = gradient + 0.5 * self.strength - decreasing
        return gradient, precision + decreasing

    def hessian(self, theta: Array) -> Array:
        """Hessian of the penalty at one vector, (D, D)."""
        diagonal = self.derivatives(theta)[1]
        hessian = np.diag(diagonal)
        with_scale = np.flatnonzero(self.scale >= 0)
        cross = -self.absolute(theta)[with_scale] * theta[with_scale]
        hessian[with_scale, self.scale[with_scale]] = cross
        hessian[self.scale[with_scale], with_scale] = cross
        return hessian


def flat(size: int) -> Prior:
    """No prior of so many coefficients."""
    none = np.zeros(size)
    return Prior.of(none, np.full(size, -1), none, none)


class EStep(NamedTuple):
    """Sums over rows at S vectors; they add up over blocks, wherever these are stored."""

    log_likelihood: Array  # (S,)
    weight: float
    gradient: Array  # of the expected log-likelihood of the complete data, (S, D)
    curvature: Any  # of each group (P, S, q, q), or an `ImplicitCurvature`; None if not wanted
    counts: Array  # total responsibilities of the experts, (K, S)
    gate_counts: Any  # total of the targets of the gate, (S,)
    own: tuple[Any, ...]  # sums of experts and gates of users


class At(NamedTuple):
    """Experts and gate at S vectors and a block of rows."""

    log_gate: Array  # (K, S, U), or (K, S, 1)
    logs: Array  # log densities (K, S, n)
    terms: list[tuple[Any, ...]]  # group, predictors and further derivatives, for each group


class Mixture:
    """Gate and experts, whose coefficients are one vector: those of the experts come first.

    `top_k` is the largest number of experts of a row, and `balance` the strength of the prior on
    the usage of the experts, in units of the rows.
    """

    def __init__(
        self, experts: Any, gate: Any, *, top_k: int | None = None, balance: float = 0.0
    ) -> None:
        self.experts, self.gate, self.n_experts = experts, gate, experts.n_experts
        self.top_k, self.balance = top_k, balance
        self.can_reorder = bool(experts.can_reorder and gate.can_reorder)
        parts, split = (experts, gate), experts.size
        self.size = split + gate.size
        self.lower, self.upper, self.flat = (
            np.concatenate([np.broadcast_to(getattr(part, name), part.size) for part in parts])
            for name in ("lower", "upper", "flat")
        )
        # The coordinate of each coefficient among those that are estimated, -1 for absent ones,
        # and the first coefficient of each coordinate.
        self.free = np.concatenate(
            [experts.free, np.where(gate.free < 0, -1, gate.free + len(experts.first))]
        )
        self.first = np.concatenate([experts.first, split + gate.first])
        self.is_tied = experts.is_linear and len(experts.first) < split
        # Whether each coefficient is estimated for itself.
        self.is_plain = len(self.first) == self.size
        self.signs = np.where(self.lower == 0.0, 1.0, np.where(self.upper == 0.0, -1.0, 0.0))
        self.has_signs = bool(self.signs.any())
        first, second = experts.prior, gate.prior  # the latter is normal
        arrays: Any = [np.concatenate(pair) for pair in zip(first[:5], second[:5], strict=True)]
        is_normal = first.is_normal and second.is_normal
        rest = is_normal, first.joint, first.constant
        self.prior: Any = type(first)._make([*arrays, *rest])
        self.drops = bool(self.prior.dropped.any())
        self.gate_group = None
        if gate.is_linear and gate.blocks:
            after = [
                block._replace(where=slice(block.where.start + split, block.where.stop + split))
                for block in gate.blocks
            ]
            self.gate_group = Group(gate.family, np.zeros(1, dtype=int), None, [after])
        self.limited = [g for g in experts.groups if g.limits] if experts.is_linear else []
        of_gate = [self.gate_group] if self.gate_group else []
        self.groups: list[Group] = [*experts.groups, *of_gate]
        slices = slice(0, split), slice(split, self.size)
        self.own = [pair for pair in zip(parts, slices, strict=True) if not pair[0].is_linear]
        # Coefficients without slopes.
        self.start = self.bounded(np.concatenate([part.start for part in parts])[None])[0]

    def with_part(self, name: str, part: Any) -> Mixture:
        """The mixture with another gate, or other experts."""
        parts = {"experts": self.experts, "gate": self.gate, name: part}
        return Mixture(**parts, top_k=self.top_k, balance=self.balance)

    def split(self, theta: Array) -> tuple[Array, Array]:
        """Coefficients (..., D) of experts and of the gate."""
        return theta[..., : self.experts.size], theta[..., self.experts.size :]

    # --- densities ---

    def at(self, theta: Array, data: Data) -> At:
        """Log densities and log probabilities at coefficients (S, D)."""
        experts, terms = self.experts, []
        groups = experts.groups
        logs: Any = None
        if not experts.is_linear:
            logs = experts.log_prob(theta[:, : experts.size], data)
        for group in groups:
            family, y, beyond = experts.target(group, data)
            etas = group.predictors(theta, data)
            derivatives = iter(family.derivatives(y, etas))
            found = next(derivatives)
            found = found if beyond is None else np.where(beyond, -np.inf, found)
            shape = (len(group.parts), len(theta), data.rows.n_rows)
            found = found if found.shape == shape else np.broadcast_to(found, shape)
            terms.append((group, etas, derivatives))
            if len(groups) == 1:
                logs = found
                break
            logs = np.zeros((self.n_experts, *shape[1:])) if logs is None else logs
            logs[group.parts] += found
        return At(self.log_gate(theta, data), logs, terms)

    def log_gate(self, theta: Array, data: Data, *, routed: bool = False) -> Array:
        """Log probabilities (K, S, U) of the experts, or (K, S, 1) if they are constant.

        Predictions are under the gate by which rows are routed: with `top_k` only the k most
        probable experts of each row have positive probability.
        """
        if not self.gate.is_linear:
            logs = self.gate.log_prob(theta[:, self.experts.size :], data)
        elif self.gate_group is None:  # one expert
            logs = np.zeros((1, len(theta), 1))
        else:
            logs = self.gate.family.log_probs(self.gate_group.predictors(theta, data))[:, 0]
        if not routed or self.top_k is None:
            return np.asarray(logs)
        return normalised_top_k(logs.reshape(len(logs), -1), self.top_k).reshape(logs.shape)

    def log_joint(self, theta: Array, data: Data, *, routed: bool = False) -> Array:
        """Log joint densities (K, S, U) of expert and y, of rows or units."""
        at = self.at(theta, data)
        log_gate = self.log_gate(theta, data, routed=True) if routed else at.log_gate
        return data.joint(log_gate, at.logs)

    def responsibilities(self, theta: Array, data: Data) -> tuple[Array, Array]:
        """Responsibilities of the E-step, (K, S, U), and log densities, (S, U)."""
        at = self.at(theta, data)
        return data.posterior(at.log_gate, at.logs, self.top_k)

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
        self, theta: Array, data: Data, *, curvature: bool, usage: Array | None = None
    ) -> EStep:
        """Sums over a block of rows.

        With given responsibilities the log-likelihood is the expected one of the complete data.
        """
        at, sharing = self.at(theta, data), data.sharing
        if data.given is None:
            resp, log_density = data.posterior(at.log_gate, at.logs, self.top_k)
            if data.counted is not None:
                resp, log_density = resp * data.counted, log_density * data.counted
            log_likelihood = log_density @ sharing.gate_weight
            target = resp * sharing.gate_weight
            weight = target if data.rows.units is None else sharing.to_rows(resp) * sharing.weight
        else:
            of_rows, of_gate = data.given
            weight, target = of_rows * sharing.weight, of_gate * sharing.gate_weight
            # Rows outside the support of an expert have log density minus infinity.
            log_likelihood = (weight * np.where(weight > 0.0, at.logs, 0.0)).sum(axis=(0, 2))
            log_likelihood += (target * np.where(target > 0.0, at.log_gate, 0.0)).sum(axis=(0, 2))
        if self.balance and data.given is None:
            own = self.usage(theta, [data]) if usage is None else usage
            log_prior, added = balance_prior(self.balance, at.log_gate, sharing.gate_weight, own)
            log_likelihood, target = log_likelihood + log_prior, target + added
        gradient, found = np.zeros_like(theta), []
        for group, _, derivatives in at.terms:
            own = weight if len(at.terms) == 1 else weight[group.parts]
            if not group.roles:
                found.append(np.zeros((*own.shape[:2], 0, 0)))
                continue
            scores, information = next(derivatives), next(derivatives) if curvature else None
            group.add_gradient([own * score for score in scores], data, gradient)
            if curvature:
                dense = self.is_tied or self.has_signs
                found.append(group.curvature(information, own, data, dense))
        if self.gate_group is not None:
            proba, total = np.exp(at.log_gate)[:, None], target.sum(axis=0)[None]
            residual = self.gate.family.contrasted(target[:, None] - total * proba)
            self.gate_group.add_gradient(residual, data, gradient)
            if curvature:
                information = self.gate.family.covariance(proba)
                found.append(self.gate_group.curvature(information, total, data, False))
        own_sums = []
        for part, where in self.own:
            of_part = (weight, ()) if part is self.experts else (target, (at.log_gate,))
            own_sums.append(part.sums(theta[:, where], data, *of_part, curvature))
        counts = weight.sum(axis=2), target.sum(axis=(0, 2))
        matrices = tuple(found) if curvature else None
        return EStep(log_likelihood, data.weight, gradient, matrices, *counts, tuple(own_sums))

    def usage(self, theta: Array, blocks: Iterable[Data]) -> Array:
        """Sums of the gate's probabilities over rows or units, (K, S)."""

        def of_block(data: Data) -> Array:
            logs, weight = self.log_gate(theta, data), data.sharing.gate_weight
            return np.asarray(
                np.exp(np.broadcast_to(logs, (*logs.shape[:2], len(weight)))) @ weight
            )

        total: Array = sum_over_blocks(of_block, blocks)
        return total

    # --- the vector ---

    def penalty(self, theta: Array) -> Array:
        """Negative log prior up to a constant, (S,)."""
        penalty = self.prior.penalty(theta)
        for part, where in self.own:
            penalty = penalty + part.penalty(theta[:, where])
        return np.asarray(penalty)

    def penalty_gradient(self, theta: Array) -> Array:
        """Gradient of the penalty at one vector, (D,)."""
        gradient = self.prior.derivatives(theta)[0]
        for part, where in self.own:
            gradient[where] = part.penalty_gradient(theta[where])
        return np.asarray(gradient)

    def penalty_hessian(self, theta: Array) -> Array:
        """Hessian of the penalty at one vector, (D, D)."""
        hessian = self.prior.hessian(theta)
        for part, where in self.own:
            hessian[where, where] = part.penalty_hessian(theta[where])
        return np.asarray(hessian)

    def bounded(self, theta: Array) -> Array:
        """The nearest valid coefficients (S, D)."""
        theta = np.clip(theta, self.lower, self.upper)
        if self.drops:
            theta = np.where(self.prior.dropped, 0.0, theta)
        if self.prior.joint:
            theta = self.prior.raised(theta, self.lower)
        for group in self.limited:
            theta = group.within_limits(theta)
        for part, where in self.own:
            theta[:, where] = part.bounded(theta[:, where])
        return theta

    def at_bound(self, theta: Array) -> Array:
        """Coefficients at a bound, or so near that the likelihood is constant, boolean (D,)."""
        found = (theta <= self.lower + self.flat) | (theta >= self.upper)
        if self.prior.joint:
            joint, at_floor = self.prior.joint, self.prior.at_floor(theta, self.lower)
            for index in (joint.log_variance, joint.fisher_z):
                found[index] |= at_floor[:, None]
        for group in self.limited:
            excess = group.excess_of_rows(theta[None]).max(axis=(0, 1))
            found[group.index[group.roles.index(DISPERSION)][excess >= NEXT_TO_ONE]] = True
        return np.asarray(found)

    def reduced(self, values: Array) -> Array:
        """Sums of values (..., D) over coefficients that are equal, (..., R)."""
        total, present = np.zeros((len(self.first), *values.shape[:-1])), self.free >= 0
        np.add.at(total, self.free[present], np.moveaxis(values, -1, 0)[present])
        return np.moveaxis(total, 0, -1)

    def reduced_matrix(self, matrix: Array) -> Array:
        """The same for both axes of matrices (..., D, D)."""
        return np.swapaxes(self.reduced(np.swapaxes(self.reduced(matrix), -1, -2)), -1, -2)

    def expanded(self, values: Array) -> Array:
        """Values (..., R) of estimated coefficients for all, zero for absent ones, (..., D)."""
        return np.where(self.free < 0, 0.0, values[..., self.free])

    def projected(self, theta: Array) -> Array:
        """The nearest coefficients (D,) of which shared ones are equal, and absent ones zero."""
        return self.bounded(self.expanded(theta[self.first])[None])[0]

    # --- the order of the experts ---

    def reordered(self, theta: Array, order: Array) -> Array:
        """Coefficients (D,) of the same mixture with its experts in another order."""
        of_experts, of_gate = self.split(theta)
        of_experts = self.experts.reordered(of_experts, order)
        return np.concatenate([of_experts, self.gate.reordered(of_gate, order)])


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
    # Logs, as the usage can be next to nothing.
    shares = np.exp(log_gate - np.log(usage)[..., None])
    return value, (balance / len(usage) * total)[:, None] * weight * shares
