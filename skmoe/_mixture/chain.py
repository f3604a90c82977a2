"""Regimes that persist: in each series the experts of successive rows are a Markov chain.

The gate has a part for the first row of a series, and one for each expert that the row before can
have. Probabilities of a transition depend on the features of the row at which it arrives.

Arrays have the shape (K, S, n): K experts, S vectors of coefficients, n rows in the order of series
and time. The passes go from row to row of all series at once. Long series are cut into pieces,
which also are side by side: the matrix products of each piece lead from the begin of one to the
begin of the next.

References
----------
.. [1] L. R. Rabiner (1989), "A tutorial on hidden Markov models and selected applications in speech
   recognition", Proceedings of the IEEE 77, 257-286.
.. [2] J. D. Hamilton (1989), "A new approach to the economic analysis of nonstationary time series
   and the business cycle", Econometrica 57, 357-384.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from skmoe._data.units import Units
from skmoe._numerics.typing import TINY, Array

# Rows from which on a series is cut into pieces, and probability with which a start stays.
LONG_SERIES = 200
STAY_OF_STARTS = 0.5


class Posterior(NamedTuple):
    """What the rows of a block say of their experts."""

    resp: Array  # of the experts for rows or units, (K, S, U)
    log_density: Array  # of rows or units, (S, U); of rows of a series given the rows before
    memberships: list[Array]  # targets of each gate, (K, P, S, U)


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
        place = np.empty(len(self.order), dtype=int)
        place[self.order] = np.arange(len(self.order))
        self.last = place[starts + sizes - 1] if len(self.order) else self.rank


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

    def __init__(self, series: Units, weight: Array) -> None:
        self.first, sizes = series.starts, series.sizes
        self.last = self.first + sizes - 1
        self.is_observed = weight > 0.0
        n_rows = len(weight)
        self.is_later = np.ones(n_rows, dtype=bool)
        self.is_later[self.first] = False
        # Weights of first rows, and of all rows, in the likelihood.
        self.gate_weights = series.weight, series.repeat(series.weight)
        longest = int(sizes.max(initial=1))
        length = longest if longest <= LONG_SERIES else int(longest**0.5)
        self.by_series = Steps(self.first, sizes)
        self.steps, self.starts_series = self.by_series, np.ones(len(sizes), dtype=bool)
        self.pieces: Steps | None = None
        if length == longest:
            return
        n_pieces = -(-sizes // length)
        within = np.arange(n_pieces.sum()) - np.repeat(np.cumsum(n_pieces) - n_pieces, n_pieces)
        starts = np.repeat(self.first, n_pieces) + within * length
        ends = np.minimum(starts + length, np.repeat(self.last, n_pieces) + 1)
        self.starts_series = within == 0
        self.steps = Steps(starts, ends - starts)
        self.pieces = Steps(np.cumsum(n_pieces) - n_pieces, n_pieces)

    # --- passes ---

    def forward(self, log_gates: list[Array], logs: Array) -> Forward:
        """Probabilities of the experts before and after the y of each row is seen."""
        steps, logs = self.steps, np.where(self.is_observed, logs, 0.0)
        peak = np.maximum(logs.max(axis=0), np.finfo(float).min)
        density = np.exp(logs - peak)[..., steps.order]
        start, move = np.exp(log_gates[0][:, 0]), _at(np.exp(log_gates[1]), steps.order)
        start = np.broadcast_to(start, (*density.shape[:2], len(self.first)))
        products = self._products(density, move)
        state = self._begin(start, products)[..., steps.rank]
        before, after = np.empty_like(density), np.empty_like(density)
        total = np.empty(density.shape[1:])
        for t, rows in enumerate(steps.slices):
            own = _ahead(state[..., : rows.stop - rows.start], _at(move, rows))
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
        """What the rows after each row say of its expert, relative to what is known."""
        steps, later = self.steps, np.ones_like(of.density)
        at_end = self._end(of)[..., steps.rank]
        for t in range(len(steps.slices) - 1, -1, -1):
            rows, m = steps.slices[t], _n_next(steps, t)
            later[..., rows] = at_end[..., : rows.stop - rows.start]
            if m:
                following = steps.slices[t + 1]
                message = of.density[..., following] * later[..., following]
                message /= of.total[..., following]
                own = slice(rows.start, rows.start + m)
                later[..., own] = np.einsum("ksm,kjsm->jsm", message, _at(of.move, following))
        return later

    def posterior(
        self, log_gates: list[Array], logs: Array, counted: Array | None = None
    ) -> Posterior:
        """Probabilities of the experts given all rows of a series, and those of transitions."""
        logs = logs if counted is None else np.where(counted > 0.0, logs, 0.0)
        of, order = self.forward(log_gates, logs), self.steps.order
        later = self.backward(of)
        resp, message, filtered = np.empty_like(later), np.empty_like(later), np.empty_like(later)
        resp[..., order] = of.after * later
        message[..., order] = of.density * later / of.total
        filtered[..., order] = of.after
        move = np.exp(log_gates[1])
        previous = np.roll(filtered, 1, axis=-1) * self.is_later
        pairs = previous * move
        pairs *= message[:, None]
        return Posterior(resp, of.log_density, [resp[:, None][..., self.first], pairs])

    def complete(self, resp: Array) -> list[Array]:
        """Memberships of a start, from the responsibilities (K, S, n): regimes persist."""
        before = np.roll(resp, 1, axis=-1) * self.is_later
        stays = np.eye(len(resp))[..., None, None]
        pairs = before * (STAY_OF_STARTS * stays + (1.0 - STAY_OF_STARTS) * resp[:, None])
        return [resp[:, None][..., self.first], pairs]

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
        logs = np.where(self.is_observed, logs, 0.0)[:, 0]
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
            m, own = rows.stop - rows.start, _at(move, rows)
            if t == 0:  # to the first row of a series no transition leads
                own = np.where(self.starts_series[self.steps.rank], stays, own)
            ahead = np.einsum("kism,ijsm->kjsm", own * density[:, None, :, rows], found[..., :m])
            found[..., :m] = ahead / np.maximum(ahead.max(axis=(0, 1)), TINY)
        products = np.empty_like(found)
        products[..., self.steps.rank] = found
        return products

    def _begin(self, start: Array, products: Array | None) -> Array:
        """Probabilities (K, S, G) with which pieces begin: at first rows, or at the row before."""
        if products is None or self.pieces is None:
            return start
        begin, state = np.empty((*start.shape[:2], products.shape[-1])), start
        for t, own in enumerate(self.pieces.slices):
            pieces = self.pieces.order[own]
            state = state[..., : len(pieces)]
            state = start[..., self.pieces.rank] if t == 0 else _ahead(state, before)
            state = state / np.maximum(state.sum(axis=0), TINY)
            begin[..., pieces], before = state, products[..., pieces[: _n_next(self.pieces, t)]]
        return begin

    def _end(self, of: Forward) -> Array:
        """What the pieces after each one say of the expert of its last row, (K, S, G)."""
        end = np.ones((*of.density.shape[:2], len(self.starts_series)))
        if self.pieces is None or of.products is None:
            return end
        known = of.after[..., self.steps.last]
        for t in range(len(self.pieces.slices) - 2, -1, -1):
            m = _n_next(self.pieces, t)
            pieces = self.pieces.order[self.pieces.slices[t]][:m]
            value = np.einsum("ksm,kjsm->jsm", end[..., pieces + 1], of.products[..., pieces + 1])
            total = np.maximum((value * known[..., pieces]).sum(axis=0), TINY)
            end[..., pieces] = value / total
        return end


def _at(move: Array, rows: Any) -> Array:
    """Transitions at some rows; they may be the same at all."""
    return move if move.shape[-1] == 1 else move[..., rows]


def _ahead(state: Array, move: Array) -> Array:
    """Probabilities (K, S, m) of the experts after transitions (K, K, S, m)."""
    return np.einsum("jsm,kjsm->ksm", state, move)


def _n_next(steps: Steps, t: int) -> int:
    """Number of groups that go on after step t."""
    following = steps.slices[t + 1 : t + 2]
    return following[0].stop - following[0].start if following else 0


def long_run(move: Array) -> Array:
    """Long-run shares (K, n) of the time in each expert, of transitions (K, K, n) to k from j.

    States are taken out one after another, without differences of probabilities [1]_.

    References
    ----------
    .. [1] W. K. Grassmann, M. I. Taksar and D. P. Heyman (1985), "Regenerative analysis and steady
       state distributions for Markov chains", Operations Research 33, 1107-1116.
    """
    left = np.array(move)
    for k in range(len(left) - 1, 0, -1):
        left[k, :k] /= np.maximum(left[:k, k].sum(axis=0), TINY)
        left[:k, :k] += left[:k, k, None] * left[k, None, :k]
    share = np.ones((len(left), left.shape[-1]))
    for k in range(1, len(left)):
        share[k] = (share[:k] * left[k, :k]).sum(axis=0)
    return np.asarray(share / share.sum(axis=0))
