"""The EM loop: E-step, M-step, acceleration and stopping, written once for all parts.

One *sweep* over the row blocks does the work of an iteration on the data: log-joint probabilities,
the bound at the current parameters, responsibilities, and the sums that gate and experts need of
them. `solve` then finds the next parameters from the sums alone. Only the next sweep tells the
bound there: if it fell, the step was too long, and a shorter one is taken from the same sums.

References
----------
M. I. Jordan and L. Xu (1995), "Convergence results for the EM approach to mixtures of experts
architectures", Neural Networks 8, 1409-1431.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial, reduce
from itertools import count
from typing import Any, NamedTuple

import numpy as np

from skmoe._numerics import Array, add, extrapolate, gain_left, log_normalise, round_off_of
from skmoe._rows import Rows, in_blocks
from skmoe.protocols import Experts, Gate, TableExperts

# Sweeps for which a curvature serves, once the first iterations are past: at the least, and in
# experts for each, since the Hessian of the gate grows with their square.
CURVATURE_LIFE = 8
EXPERTS_PER_SWEEP = 4
FIRST_ITERATIONS = 3
# Step lengths that an iteration tries: 1, 1/2, 1/4, ... and at last 0, which leaves all but
# closed-form parts where they are.
N_STEPS = 12
# Coefficients of the gate from which threads save more time than they wait for each other.
THREADED = 128
# Limit of the extrapolation's length: where it begins, and its growth whenever it was too small.
FIRST_LIMIT = 16.0
LIMIT_GROWTH = 4.0


class Parts(NamedTuple):
    """What a mixture is made of, and how rows are routed."""

    gate: Gate
    experts: Experts
    top_k: int | None = None  # most experts of a row
    balance: float = 0.0  # weight of uniform pseudo-targets of the gate


class Params(NamedTuple):
    """Parameters of both parts."""

    gate: Any
    experts: Any


class Point(NamedTuple):
    """Parameters and what a sweep says of them."""

    params: Params
    bound: float
    statistics: tuple[Any, Any]
    factors: tuple[Any, Any]
    curved: Params  # where the factors were found
    age: int  # sweeps since then


class Look(NamedTuple):
    """What rows add to a pass over the data: all of it adds up over blocks, wherever they are."""

    value: float
    weight: float
    statistics: tuple[Any, Any]
    curvatures: Any  # of both parts, or None


class Place(NamedTuple):
    """Where a climb is: with its parameters, what another needs to go on as this one would."""

    curved: Params  # where the factors in use were found
    age: int  # sweeps since then
    origin: Params | None  # where the cycle began, if its extrapolation is still to come
    cycle: int
    n_plain: int  # cycles before extrapolation begins
    limit: float  # of its length
    past: tuple[float, ...] = ()  # all bounds, by which the end is judged


class Climb(NamedTuple):
    """What a run of EM came to."""

    params: Params
    bounds: list[float]  # after each iteration
    converged: bool
    stalled: bool  # no step at all kept the bound from falling: a part breaks its promise
    place: Place | None = None

    @property
    def bound(self) -> float:
        """The last bound."""
        return self.bounds[-1]


def joint_log_prob(parts: Parts, params: Params, rows: Rows) -> tuple[Array, Array]:
    """Log probabilities of the gate, and of the gate and y together, both (K, n)."""
    log_gate = parts.gate.log_prob(params.gate, rows.gate_design)
    return log_gate, log_gate + parts.experts.log_prob(params.experts, rows.expert_design, rows.y)


def responsibilities(parts: Parts, params: Params, rows: Rows) -> Array:
    """Probability that each expert generated each row, (K, n)."""
    return log_normalise(routed(joint_log_prob(parts, params, rows)[1], parts.top_k))[0]


def routed(log_probs: Array, top_k: int | None) -> Array:
    """Log probabilities (K, n) with all but the `top_k` largest of each row at minus infinity.

    As responsibilities, they make the step of EM that maximises the free energy over sparse
    responsibilities [1]_.

    References
    ----------
    .. [1] R. M. Neal and G. E. Hinton (1998), "A view of the EM algorithm that justifies
       incremental, sparse, and other variants", in Learning in Graphical Models, 355-368.
    """
    if top_k is None or top_k >= len(log_probs):
        return log_probs
    left = log_probs
    for _ in range(top_k - 1):
        left = np.where(left == left.max(axis=0), -np.inf, left)
    kept = log_probs >= left.max(axis=0)
    if np.count_nonzero(kept) > top_k * kept.shape[1]:  # of equals the first
        tied = np.flatnonzero(kept.sum(axis=0) > top_k)
        order = np.argsort(-log_probs[:, tied], axis=0, kind="stable")
        kept[:, tied] = np.argsort(order, axis=0) < top_k
    return np.where(kept, log_probs, -np.inf)


def sweep(
    parts: Parts,
    blocks: Iterable[Rows],
    params: Params,
    known: Point | None = None,
    over: Callable[..., Iterable[Any]] = map,
) -> Point:
    """One pass over the data at given parameters.

    `known` lends its factors of the curvature; without it they are found in this pass. `over` maps
    over the blocks in their order, in which they are summed, so that the sums do not depend on it.
    """
    total = look_over(parts, blocks, params, curved=known is None, over=over)
    bound = (total.value - _penalty(parts, params)) / total.weight
    if known is None:
        return Point(params, bound, total.statistics, _factors(parts, total.curvatures), params, 0)
    return Point(params, bound, total.statistics, known.factors, known.curved, known.age + 1)


def look_over(
    parts: Parts,
    blocks: Iterable[Rows],
    params: Params,
    *,
    curved: bool,
    over: Callable[..., Iterable[Any]] = map,
) -> Look:
    """What all blocks say at given parameters, with curvatures or without."""
    return reduce(together, over(partial(_look, parts, params, curved), blocks))


def together(one: Look, other: Look) -> Look:
    """What two sets of rows say together."""
    curved = one.curvatures is not None and other.curvatures is not None
    return Look(
        one.value + other.value,
        one.weight + other.weight,
        _sum(one.statistics, other.statistics),
        _sum(one.curvatures, other.curvatures) if curved else None,
    )


def _penalty(parts: Parts, params: Params) -> float:
    return parts.gate.penalty(params.gate) + parts.experts.penalty(params.experts)


def _look(
    parts: Parts, params: Params, curved: bool, rows: Rows, resp: Array | None = None
) -> Look:
    """What a block adds to the bound, to the statistics and, if wanted, to the curvatures.

    With given responsibilities the bound is the expected log-likelihood.
    """
    log_gate, joint = joint_log_prob(parts, params, rows)
    if resp is None:
        resp, log_density = log_normalise(routed(joint, parts.top_k))
        resp *= rows.weight
        value = float(rows.weight @ log_density)
    else:
        resp = resp * rows.weight
        value = float(np.vdot(resp, joint))
    if parts.balance:
        value += parts.balance * float(rows.weight @ log_gate.mean(axis=0))
    return Look(
        value,
        float(rows.weight.sum()),
        _statistics(parts, params, rows, resp, log_gate),
        _curvatures(parts, params, rows, resp, log_gate) if curved else None,
    )


def maximise(parts: Parts, rows: Rows, resp: Array, n_steps: int) -> Params:
    """Parameters for given responsibilities (K, n), by a few guarded steps of the M-step."""
    n_experts = len(resp)
    params = Params(
        parts.gate.initial(n_experts, rows.gate_design.shape[1]),
        parts.experts.initial(n_experts, rows.expert_design.shape[1]),
    )
    blocks = in_blocks(rows)
    ends = np.cumsum([len(block.weight) for block in blocks])
    shares = np.split(resp, ends[:-1], axis=1)

    def expect(params: Params, curved: bool) -> Look:
        looks = map(partial(_look, parts, params, curved), blocks, shares)
        total = reduce(together, looks)
        return total._replace(value=total.value - _penalty(parts, params))

    here = expect(params, True)
    for left in reversed(range(n_steps)):
        factors = _factors(parts, here.curvatures)
        trial, in_table = params, isinstance(parts.experts, TableExperts)
        for attempt in range(N_STEPS):
            refitted = trial.experts if attempt and in_table else None
            trial = _solve(parts, here.statistics, factors, params, 0.5**attempt, refitted)
            there = expect(trial, left > 0)
            if there.value >= here.value:
                break
        else:
            return params
        params, here = trial, there
    return params


def climb(
    parts: Parts,
    blocks: Iterable[Rows],
    params: Params,
    *,
    max_iter: int,
    tol: float,
    n_plain: int,
    on_iteration: Callable[[int, Climb], bool],
    earlier: Sequence[float] = (),
    place: Place | None = None,
    n_threads: int = 1,
) -> Climb:
    """Raise the penalised log-likelihood per row from given parameters.

    Parameters
    ----------
    max_iter : int
        Iterations at the most.
    tol : float
        Gain per row still to be had, by Aitken's estimate, at which the climb ends.
    n_plain : int
        Iterations before extrapolation begins, where the climb does not go on from a place.
    on_iteration : callable
        Told the number of each iteration and what it came to; a true answer ends the climb.
    earlier : sequence of float
        Bounds of the climb that this one goes on from.
    place : Place
        Where that climb ended. If the rows and the parts are the same, this one takes, to the last
        bit, the way that one would have taken.
    n_threads : int
        Threads that share the blocks; the result is the same for any number.
    """
    design = blocks[0].gate_design if isinstance(blocks, list) else None
    if design is not None and len(params.gate[0]) * design.shape[1] < THREADED:
        n_threads = 1
    round_off = round_off_of(design)
    with _mapping(blocks, n_threads) as over:
        look = partial(sweep, parts, blocks, over=over)
        start, begin = _stand(look, params, n_plain, place)
        bounds, past = list(earlier), list(begin.past or earlier)
        last = len(bounds) + max_iter
        for point, here in _ascent(parts, look, start, begin, round_off):
            params = point.params
            bounds.append(point.bound)
            past.append(point.bound)
            here = here._replace(past=tuple(past))
            converged = gain_left(past, round_off) < tol
            run = Climb(params, bounds, converged, stalled=False, place=here)
            stopped = on_iteration(len(bounds), run)
            if run.converged or stopped or len(bounds) >= last:
                return run
        return Climb(params, bounds or [start.bound], converged=False, stalled=True)


def _stand(
    look: Callable[..., Point], params: Params, n_plain: int, place: Place | None
) -> tuple[Point, Place]:
    """Where a climb begins.

    A place whose bound is not the bound here is of other rows or parts, and tells nothing.
    """
    point = look(params)
    if place is None or place.past[-1:] != (point.bound,):
        return point, Place(params, 0, None, 0, n_plain, FIRST_LIMIT)
    if place.age:
        factors = look(place.curved).factors
        point = point._replace(factors=factors, curved=place.curved, age=place.age)
    return point, place


@contextmanager
def _mapping(blocks: Any, n_threads: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """A map that keeps order: of a pool of threads if there are to be several.

    Blocks that live elsewhere bring their own. Threads would read those of a source ahead.
    """
    n_threads = min(n_threads, len(blocks)) if isinstance(blocks, list) else 1
    if n_threads == 1:
        yield getattr(blocks, "over", map)
        return
    with ThreadPoolExecutor(n_threads) as pool:
        yield pool.map


def _ascent(
    parts: Parts, look: Callable[..., Point], point: Point, place: Place, round_off: float
) -> Iterator[tuple[Point, Place]]:
    """Ever better points; ends if no step is good."""
    origin, n_plain, limit = place.origin, place.n_plain, place.limit
    long_life = curvature_life(len(point.params.gate[0]))
    for cycle in count(place.cycle):
        if origin is None:
            origin = point.params
            life = 1 if cycle < FIRST_ITERATIONS else long_life
            first = _advance(parts, look, point, life, round_off)
            if first is None:
                return
            point = first
            yield point, Place(point.curved, point.age, origin, cycle, n_plain, limit)
        if cycle >= n_plain:
            path = (origin, point.params, _propose(parts, point, 1.0))
            start, middle, end = ([*params.gate, *params.experts] for params in path)
            moved, length = extrapolate(start, middle, end, limit)
            leap = look(_constrained(parts, _like(point.params, moved)), point)
            if leap.bound >= point.bound:
                limit *= LIMIT_GROWTH if length == limit else 1.0
                point = leap
                yield point, Place(point.curved, point.age, None, cycle + 1, n_plain, limit)
            else:
                limit = max(limit / 2.0, FIRST_LIMIT)
        origin = None


def curvature_life(n_experts: int) -> int:
    """Sweeps for which a curvature serves in the long run."""
    return max(CURVATURE_LIFE, n_experts // EXPERTS_PER_SWEEP)


def _advance(
    parts: Parts, look: Callable[..., Point], point: Point, life: int, round_off: float
) -> Point | None:
    """The next point of plain EM, by a step short enough not to lower the bound."""
    enough = point.bound - round_off * (1.0 + abs(point.bound))
    params = point.params
    for attempt in range(N_STEPS):
        step = 0.5**attempt if attempt < N_STEPS - 1 else 0.0
        refitted = params.experts if attempt and isinstance(parts.experts, TableExperts) else None
        params = _propose(parts, point, step, refitted)
        reached = look(params, point if point.age + 1 < life else None)
        if reached.bound >= enough:
            return reached
        if point.age > 0:  # a stale curvature may have misled the step
            point = look(point.params)
    return None


# --- both parts at once -----------------------------------------------------------------------


def _statistics(
    parts: Parts, params: Params, rows: Rows, resp: Array, log_gate: Array
) -> tuple[Any, Any]:
    return (
        parts.gate.statistics(
            params.gate, rows.gate_design, _gate_targets(parts, rows, resp), log_gate
        ),
        parts.experts.statistics(params.experts, rows.expert_design, rows.y, resp),
    )


def _curvatures(
    parts: Parts, params: Params, rows: Rows, resp: Array, log_gate: Array
) -> tuple[Any, Any]:
    return (
        parts.gate.curvature(
            params.gate, rows.gate_design, _gate_targets(parts, rows, resp), log_gate
        ),
        parts.experts.curvature(params.experts, rows.expert_design, rows.y, resp),
    )


def _gate_targets(parts: Parts, rows: Rows, resp: Array) -> Array:
    """Responsibilities with the uniform pseudo-targets that balance the experts."""
    return resp + parts.balance / len(resp) * rows.weight if parts.balance else resp


def _sum(one: tuple[Any, ...], other: tuple[Any, ...]) -> Any:
    """Statistics or curvatures of two sets of rows, added."""
    return tuple(
        None if b is None else add(a, b) if isinstance(b, tuple) else a + b
        for a, b in zip(one, other, strict=True)
    )


def _factors(parts: Parts, curvatures: Any) -> tuple[Any, Any]:
    gate, experts = curvatures
    return parts.gate.factor(gate), parts.experts.factor(experts)


def _propose(parts: Parts, point: Point, step: float, refitted: Any = None) -> Params:
    return _solve(parts, point.statistics, point.factors, point.params, step, refitted)


def _solve(
    parts: Parts,
    statistics: tuple[Any, Any],
    factors: tuple[Any, Any],
    params: Params,
    step: float,
    refitted: Any = None,
) -> Params:
    """Next parameters of both parts; experts already `refitted` are taken as they are."""
    gate = parts.gate.solve(statistics[0], factors[0], params.gate, step)
    if refitted is None:
        refitted = parts.experts.solve(statistics[1], factors[1], params.experts, step)
    return Params(gate, refitted)


def _like(params: Params, arrays: list[Array]) -> Params:
    n_gate = len(params.gate)
    return Params(type(params.gate)(*arrays[:n_gate]), type(params.experts)(*arrays[n_gate:]))


def _constrained(parts: Parts, params: Params) -> Params:
    return Params(parts.gate.constrain(params.gate), parts.experts.constrain(params.experts))
