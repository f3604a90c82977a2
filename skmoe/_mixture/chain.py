"""Regimes that persist: in each series the experts of successive rows are a Markov chain.

The gate has a part for the first row of a series, and one for each expert that the row before can
have. Probabilities of a transition depend on the features of the row at which it arrives.

Arrays have the shape (K, S, n): K experts, S vectors of coefficients, n rows in the order of series
and time. The passes go from row to row of all series at once. Long series are cut into pieces,
which also are side by side: the matrix products of each piece lead from the start of one to the
start of the next.

References
----------
.. [1] L. R. Rabiner (1989), "A tutorial on hidden Markov models and selected applications in speech
   recognition", Proceedings of the IEEE 77, 257-286.
.. [2] J. D. Hamilton (1989), "A new approach to the economic analysis of nonstationary time series
   and the business cycle", Econometrica 57, 357-384.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from skmoe._data.units import Units
from skmoe._numerics.typing import TINY, Array

# Rows from which on a series is cut into pieces, and probability with which a start stays.
LONG_SERIES = 200
STAY_OF_STARTS = 0.5

# Least probability of a transition in a stationary distribution, times the number of experts.
LEAST_TRANSITION = 1e-12

# Least logarithm of the probabilities of transitions, and of the densities of possible experts
# relative to the largest one. So no product of the two is zero, and each series goes on.
LEAST_RELATIVE_LOG = -345.0


class Posterior(NamedTuple):
    """What is known of the experts of the rows of a block."""

    resp: Array  # of the experts for rows or units, (K, S, U)
    log_density: Array  # of rows or units, (S, U); of rows of a series given the rows before
    # Targets of each gate, (K, P, S, U), or their sum (K, P, S, 1) for constant transitions.
    memberships: list[Array]


class Steps:
    """Consecutive rows of groups in the order of steps: all first rows, all second rows, ..."""

    def __init__(self, starts: Array, sizes: Array) -> None:
        self.rank = np.argsort(-sizes, kind="stable")  # the groups that go on are the first ones
        longest = int(sizes.max(initial=0))
        n_alive = len(sizes) - np.searchsorted(np.sort(sizes), np.arange(longest), side="right")
        rows = [starts[self.rank[:m]] + t for t, m in enumerate(n_alive)]
        self.order = np.concatenate(rows) if rows else np.zeros(0, dtype=int)
        self.slices = [slice(e - m, e) for e, m in zip(np.cumsum(n_alive), n_alive, strict=True)]
        # Where the last row of each group is in this order.
        position = np.empty(len(self.order), dtype=int)
        position[self.order] = np.arange(len(self.order))
        self.last = position[starts + sizes - 1] if len(self.order) else self.rank


class Forward(NamedTuple):
    """A forward pass, with rows in the order of steps."""

    density: Array  # of the experts at each row, relative to the largest one, (K, S, n)
    move: Array  # probability of a transition to k from j, (K, K, S, n), or (K, K, S, 1)
    products: Array | None  # of transitions and densities of pieces, (K, K, S, G)
    before: Array  # probabilities of the experts given the rows before, (K, S, n)
    after: Array  # and given the row itself
    total: Array  # density of y given the past, relative to the largest one, (S, n)
    log_density: Array  # its logarithm, in the order of the rows


class Chain:
    """Forward and backward passes over series."""

    def __init__(self, series: Units) -> None:
        self.first, sizes = series.starts, series.sizes
        self.last = self.first + sizes - 1
        n_rows = int(sizes.sum())
        self.is_later = np.ones(n_rows, dtype=bool)
        self.is_later[self.first] = False
        # Weights of first rows, and of all rows, in the likelihood.
        self.gate_weights = series.weight, series.repeat(series.weight)
        longest = int(sizes.max(initial=1))
        length = longest if longest <= LONG_SERIES else int(longest**0.5)
        self.sizes, self.pieces = sizes, None
        if length == longest:
            self.starts_series = np.ones(len(sizes), dtype=bool)
            self.steps = self.by_series
            return
        n_pieces = -(-sizes // length)
        within = np.arange(n_pieces.sum()) - np.repeat(np.cumsum(n_pieces) - n_pieces, n_pieces)
        starts = np.repeat(self.first, n_pieces) + within * length
        ends = np.minimum(starts + length, np.repeat(self.last, n_pieces) + 1)
        self.starts_series = within == 0
        self.steps = Steps(starts, ends - starts)
        self.pieces = Steps(np.cumsum(n_pieces) - n_pieces, n_pieces)

    @cached_property
    def by_series(self) -> Steps:
        """Steps of series that are not cut."""
        return Steps(self.first, self.sizes)

    # --- passes ---

    def forward(self, log_gates: list[Array], logs: Array) -> Forward:
        """Probabilities of the experts before and after the y of each row is seen.

        A y that is impossible under all experts shows nothing of them.
        """
        steps, peak = self.steps, logs.max(axis=0)
        relative = np.where(peak == -np.inf, 0.0, logs - np.maximum(peak, np.finfo(float).min))
        density = np.where(relative == -np.inf, 0.0, _least_exp(relative))[..., steps.order]
        start, move = _least_exp(log_gates[0][:, 0]), _at(_least_exp(log_gates[1]), steps.order)
        start = np.broadcast_to(start, (*density.shape[:2], len(self.first)))
        products = self._products(density, move)
        state = self._first_states(start, products)[..., steps.rank]
        before, after = np.empty_like(density), np.empty_like(density)
        total = np.empty(density.shape[1:])
        for t, rows in enumerate(steps.slices):
            own = _through(_at(move, rows), state[..., : rows.stop - rows.start])
            if t == 0:
                own = np.where(self.starts_series[steps.rank], state, own)
            state = own * density[..., rows]
            sums = np.maximum(state.sum(axis=0), TINY)
            state /= sums
            before[..., rows], after[..., rows], total[..., rows] = own, state, sums
        log_density = np.empty_like(peak)
        log_density[..., steps.order] = np.log(total)
        return Forward(density, move, products, before, after, total, log_density + peak)

    def backward(self, of: Forward) -> Array:
        """What the rows after each row show of its expert, relative to what is known."""
        steps, later, back = self.steps, np.ones_like(of.density), of.move.swapaxes(0, 1)
        at_end = self._end(of)[..., steps.rank]
        for t in range(len(steps.slices) - 1, -1, -1):
            rows, m = steps.slices[t], _n_next(steps, t)
            later[..., rows] = at_end[..., : rows.stop - rows.start]
            if m:
                following = steps.slices[t + 1]
                message = of.density[..., following] * later[..., following]
                message /= of.total[..., following]
                own = slice(rows.start, rows.start + m)
                later[..., own] = _through(_at(back, following), message)
        return later

    def posterior(
        self,
        log_gates: list[Array],
        logs: Array,
        counted: Array | None = None,
        by_row: bool = False,
    ) -> Posterior:
        """Probabilities of the experts given all rows of a series, and weighted transitions.

        Transitions of constant probabilities are summed, unless those of each row are wanted.
        """
        logs = logs if counted is None else np.where(counted > 0.0, logs, 0.0)
        of, order = self.forward(log_gates, logs), self.steps.order
        later = self.backward(of)
        resp, message, filtered = np.empty_like(later), np.empty_like(later), np.empty_like(later)
        resp[..., order] = of.after * later
        message[..., order] = of.density * later / of.total
        filtered[..., order] = of.after
        of_first, of_rows = self.gate_weights
        move, first = _least_exp(log_gates[1]), resp[:, None][..., self.first] * of_first
        previous = np.empty_like(filtered)  # experts of the row before, with the weight of the row
        previous[..., 1:], previous[..., self.first] = filtered[..., :-1], 0.0
        previous *= of_rows
        if move.shape[-1] == 1 and not by_row:
            pairs = np.einsum("ksn,jsn->kjs", message, previous)[..., None] * move
        else:
            pairs = previous * move
            pairs *= message[:, None]
        return Posterior(resp, of.log_density, [first, pairs])

    def complete(self, resp: Array) -> list[Array]:
        """Memberships of a start, from the responsibilities (K, S, n): regimes persist."""
        before = np.roll(resp, 1, axis=-1) * self.is_later
        stays = np.eye(len(resp))[..., None, None]
        pairs = before * (STAY_OF_STARTS * stays + (1.0 - STAY_OF_STARTS) * resp[:, None])
        weights, first = self.gate_weights, resp[:, None][..., self.first]
        return [first * weights[0], pairs * weights[1]]

    def past(self, log_gates: list[Array], logs: Array) -> tuple[Array, Array, Array]:
        """Probabilities before and after each y (K, S, n), and log densities given the past."""
        of, order = self.forward(log_gates, logs), self.steps.order
        before, after = np.empty_like(of.before), np.empty_like(of.after)
        before[..., order], after[..., order] = of.before, of.after
        return before, after, of.log_density

    def decode(self, log_gates: list[Array], logs: Array) -> Array:
        """The most probable experts of the rows of each series, (n,), of one vector [1]_.

        References
        ----------
        .. [1] A. Viterbi (1967), "Error bounds for convolutional codes and an asymptotically
           optimum decoding algorithm", IEEE Transactions on Information Theory 13, 260-269.
        """
        logs = np.where(logs[:, 0].max(axis=0) == -np.inf, 0.0, logs[:, 0])
        start, move = log_gates[0][:, 0, 0], log_gates[1][:, :, 0]
        start = np.broadcast_to(start, (len(logs), len(self.first)))
        steps, origin = self.by_series, np.zeros(logs.shape, dtype=int)
        value = np.empty(logs.shape)
        best = start[:, steps.rank]
        for t, own in enumerate(steps.slices):
            rows = steps.order[own]
            if t > 0:
                of_rows = move if move.shape[-1] == 1 else move[..., rows]
                ways = best[None, :, : len(rows)] + of_rows
                origin[:, rows], best = ways.argmax(axis=1), ways.max(axis=1)
            best = best + logs[:, rows]
            value[:, rows] = best
        path = value.argmax(axis=0)
        for own in steps.slices[:0:-1]:
            rows = steps.order[own]
            path[rows - 1] = origin[path[rows], rows]
        return path

    def accumulate(self, came: Array, values: Array) -> None:
        """Adds to values (K, n, D) of each row those of the row before, times weights (K, K, n).

        The sum of values that this row passes on to the next one has these in it.
        """
        steps = self.steps
        for own in steps.slices[1:]:
            rows = steps.order[own]
            values[:, rows] += np.einsum("kju,jup->kup", came[:, :, rows], values[:, rows - 1])
        if self.pieces is None:
            return
        # What a piece receives from the one before passes through its rows.
        passed = came.copy()
        for own in steps.slices[1:]:
            rows = steps.order[own]
            passed[..., rows] = np.einsum("kiu,iju->kju", came[..., rows], passed[..., rows - 1])
        ends = steps.order[steps.last]
        received = np.zeros((values.shape[0], len(ends), values.shape[2]))
        for own in self.pieces.slices[1:]:
            pieces = self.pieces.order[own]
            before = ends[pieces - 1]
            received[:, pieces] = values[:, before] + np.einsum(
                "kju,jup->kup", passed[..., before], received[:, pieces - 1]
            )
        pieces = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=-1))
        for k in range(len(values)):
            for j in range(len(values)):
                values[k] += passed[k, j][:, None] * received[j, pieces]

    # --- pieces of long series ---

    def _products(self, density: Array, move: Array) -> Array | None:
        """Of each piece the product of its transitions and densities, up to a factor.

        They lead from the expert j before a piece to k at its end, (K, K, S, G).
        """
        if self.pieces is None:
            return None
        n_experts, n_vectors = density.shape[:2]
        stays = np.eye(n_experts)[..., None, None]
        found = np.tile(stays, (1, 1, n_vectors, len(self.starts_series)))
        for t, rows in enumerate(self.steps.slices):  # the pieces that go on are the first ones
            m, own = rows.stop - rows.start, found[..., : rows.stop - rows.start]
            ahead = _through(_at(move, rows), own)
            if t == 0:  # to the first row of a series no transition leads
                ahead = np.where(self.starts_series[self.steps.rank], stays, ahead)
            ahead *= density[:, None, :, rows]
            largest = np.maximum.reduce(np.maximum.reduce(ahead))
            np.divide(ahead, np.maximum(largest, TINY), out=found[..., :m])
        products = np.empty_like(found)
        products[..., self.steps.rank] = found
        return products

    def _first_states(self, start: Array, products: Array | None) -> Array:
        """Probabilities (K, S, G) with which pieces begin: at first rows, or at the row before."""
        if products is None or self.pieces is None:
            return start
        found, state = np.empty((*start.shape[:2], products.shape[-1])), start
        for t, own in enumerate(self.pieces.slices):
            pieces = self.pieces.order[own]
            if t == 0:
                state = start[..., self.pieces.rank]
            else:  # the pieces before these lead to them
                state = _through(products[..., pieces - 1], state[..., : len(pieces)])
            state = state / np.maximum(state.sum(axis=0), TINY)
            found[..., pieces] = state
        return found

    def _end(self, of: Forward) -> Array:
        """What the pieces after each one show of the expert of its last row, (K, S, G)."""
        end = np.ones((*of.density.shape[:2], len(self.starts_series)))
        if self.pieces is None or of.products is None:
            return end
        known = of.after[..., self.steps.last]
        for t in range(len(self.pieces.slices) - 2, -1, -1):
            m = _n_next(self.pieces, t)
            pieces = self.pieces.order[self.pieces.slices[t]][:m]
            value = _through(of.products[..., pieces + 1].swapaxes(0, 1), end[..., pieces + 1])
            total = np.maximum((value * known[..., pieces]).sum(axis=0), TINY)
            end[..., pieces] = value / total
        return end


def _least_exp(logs: Array) -> Array:
    """Exponentials, the least of which is positive."""
    return np.exp(np.maximum(logs, LEAST_RELATIVE_LOG))


def _at(move: Array, rows: Any) -> Array:
    """Transitions at some rows; they may be the same at all."""
    return move if move.shape[-1] == 1 else move[..., rows]


def _through(move: Array, values: Array) -> Array:
    """Sums over j of transitions (K, J, S, m), or (K, J, S, 1), times values (J, ..., S, m)."""
    if move.shape[2:] == (1, 1):
        return np.tensordot(move[:, :, 0, 0], values, 1)
    return np.einsum("kjsm,j...sm->k...sm", move, values)


def _n_next(steps: Steps, t: int) -> int:
    """Number of groups that go on after step t."""
    following = steps.slices[t + 1 : t + 2]
    return following[0].stop - following[0].start if following else 0


# --- stationary distributions ---


def stationary(move: Array) -> Array:
    """Stationary distributions (S, K) of transition matrices (S, K, K), whose rows sum to one."""
    n_experts, move = move.shape[-1], _irreducible(move)
    system = np.eye(n_experts) - move.swapaxes(-1, -2) + 1.0
    return np.linalg.solve(system, np.ones((*move.shape[:-1], 1)))[..., 0]


def _irreducible(move: Array) -> Array:
    """Transitions, of which every one is possible: otherwise stationary distributions differ."""
    return (1.0 - LEAST_TRANSITION) * move + LEAST_TRANSITION / move.shape[-1]


def stationary_scores(move: Array) -> Array:
    """Derivatives (S, K, K, K) of the log of each stationary probability by logits of transitions.

    They are by the logit of the transition from j to l: those from one expert sum to zero [1]_.

    References
    ----------
    .. [1] J. G. Kemeny and J. L. Snell (1960), "Finite Markov Chains", Van Nostrand, section 4.3.
    """
    start, n_experts, move = np.maximum(stationary(move), TINY), move.shape[-1], _irreducible(move)
    fundamental = np.linalg.inv(np.eye(n_experts) - move + start[..., None, :])
    # Of each k by the expert that follows.
    gain = fundamental.swapaxes(-1, -2) / start[..., :, None]
    mean = np.einsum("sjl,skl->skj", move, gain)
    slopes = gain[:, :, None] - mean[..., None]
    return start[:, None, :, None] * move[:, None] * slopes
