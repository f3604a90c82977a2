"""The EM loop: E-step, M-step, acceleration and stopping, written once for all model.

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
from functools import partial
from itertools import count
from typing import Any, NamedTuple, Protocol

from skmoe._data.rows import Dataset
from skmoe._mixture.acceleration import aitken_gap, lower_bound_tolerance, squarem_step
from skmoe._mixture.e_step import EMState, e_step
from skmoe._mixture.m_step import MAX_HALVINGS, _factorize, _penalty, _project, _propose, _unflatten
from skmoe._mixture.model import MixtureModel, Params

# Sweeps for which a curvature serves, once the first iterations are past: at the least, and in
# experts for each, since the Hessian of the gate grows with their square.
HESSIAN_REFRESH = 8

EXPERTS_PER_REFRESH = 4

N_EXACT_ITER = 3

# Coefficients of the gate from which threads save more time than they wait for each other.
MIN_SIZE_FOR_THREADS = 128

# Limit of the extrapolation's length: where it begins, and its growth whenever it was too small.
INITIAL_STEP_MAX = 16.0

STEP_MAX_FACTOR = 4.0


class ResumeState(NamedTuple):
    """Where a climb is: with its parameters, what another needs to go on as this one would."""

    hessian_params: Params  # where the factors in use were found
    hessian_age: int  # sweeps since then
    squarem_start: Params | None  # where the cycle began, if its extrapolation is still to come
    cycle: int
    n_plain_iter: int  # cycles before extrapolation begins
    step_max: float  # of its length
    lower_bounds: tuple[float, ...] = ()  # all bounds, by which the end is judged


class EMResult(NamedTuple):
    """What a run of EM came to."""

    params: Params
    lower_bounds: list[float]  # after each iteration
    converged: bool
    line_search_failed: (
        bool  # no step at all kept the bound from falling: a part breaks its promise
    )
    resume_state: ResumeState | None = None

    @property
    def lower_bound(self) -> float:
        """The last bound."""
        return self.lower_bounds[-1]


class Monitor(Protocol):
    """Observer of a run of EM."""

    def start(self) -> None:
        """Called before the first iteration."""

    def __call__(self, n_iter: int, result: EMResult) -> bool:
        """Called after each iteration; returning True stops the run."""

    def end(self, result: EMResult) -> None:
        """Called after the last iteration."""


def evaluate(
    model: MixtureModel,
    blocks: Iterable[Dataset],
    params: Params,
    previous: EMState | None = None,
    map_blocks: Callable[..., Iterable[Any]] = map,
) -> EMState:
    """One pass over the data at given parameters.

    `known` lends its factors of the curvature; without it they are found in this pass. `over` maps
    over the blocks in their order, in which they are summed, so that the sums do not depend on it.
    """
    total = e_step(model, blocks, params, with_hessian=previous is None, map_blocks=map_blocks)
    bound = (total.log_likelihood - _penalty(model, params)) / total.weight
    if previous is None:
        return EMState(
            params, bound, total.statistics, _factorize(model, total.hessians), params, 0
        )
    return EMState(
        params,
        bound,
        total.statistics,
        previous.hessian_factors,
        previous.hessian_params,
        previous.hessian_age + 1,
    )


def run_em(
    model: MixtureModel,
    blocks: Iterable[Dataset],
    params: Params,
    *,
    max_iter: int,
    tol: float,
    n_plain_iter: int,
    on_iteration: Callable[[int, EMResult], bool],
    previous_lower_bounds: Sequence[float] = (),
    resume_state: ResumeState | None = None,
    n_threads: int = 1,
) -> EMResult:
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
        Where that climb ended. If the rows and the model are the same, this one takes, to the last
        bit, the way that one would have taken.
    n_threads : int
        Threads that share the blocks; the result is the same for any number.
    """
    design = blocks[0].gate_design if isinstance(blocks, list) else None
    if design is not None and model.n_experts * design.shape[1] < MIN_SIZE_FOR_THREADS:
        n_threads = 1
    round_off = lower_bound_tolerance(design)
    with _block_map(blocks, n_threads) as map_blocks:
        evaluate_at = partial(evaluate, model, blocks, map_blocks=map_blocks)
        start, first_resume_state = _initial_state(evaluate_at, params, n_plain_iter, resume_state)
        lower_bounds, past = (
            list(previous_lower_bounds),
            list(first_resume_state.lower_bounds or previous_lower_bounds),
        )
        last = len(lower_bounds) + max_iter
        for state, resume_state in _em_iterations(
            model, evaluate_at, start, first_resume_state, round_off
        ):
            params = state.params
            lower_bounds.append(state.lower_bound)
            past.append(state.lower_bound)
            resume_state = resume_state._replace(lower_bounds=tuple(past))
            converged = aitken_gap(past, round_off) < tol
            run = EMResult(
                params, lower_bounds, converged, line_search_failed=False, resume_state=resume_state
            )
            stopped = on_iteration(len(lower_bounds), run)
            if run.converged or stopped or len(lower_bounds) >= last:
                return run
        return EMResult(
            params, lower_bounds or [start.lower_bound], converged=False, line_search_failed=True
        )


def _initial_state(
    evaluate_at: Callable[..., EMState],
    params: Params,
    n_plain_iter: int,
    resume_state: ResumeState | None,
) -> tuple[EMState, ResumeState]:
    """Where a climb begins.

    A place whose bound is not the bound here is of other rows or model, and tells nothing.
    """
    state = evaluate_at(params)
    if resume_state is None or resume_state.lower_bounds[-1:] != (state.lower_bound,):
        return state, ResumeState(params, 0, None, 0, n_plain_iter, INITIAL_STEP_MAX)
    if resume_state.hessian_age:
        hessian_factors = evaluate_at(resume_state.hessian_params).hessian_factors
        state = state._replace(
            hessian_factors=hessian_factors,
            hessian_params=resume_state.hessian_params,
            hessian_age=resume_state.hessian_age,
        )
    return state, resume_state


@contextmanager
def _block_map(blocks: Any, n_threads: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """A map that keeps order: of a pool of threads if there are to be several.

    Blocks that live elsewhere bring their own. Threads would read those of a source ahead.
    """
    n_threads = min(n_threads, len(blocks)) if isinstance(blocks, list) else 1
    if n_threads == 1:
        yield getattr(blocks, "map_blocks", map)
        return
    with ThreadPoolExecutor(n_threads) as pool:
        yield pool.map


def _em_iterations(
    model: MixtureModel,
    evaluate_at: Callable[..., EMState],
    state: EMState,
    resume_state: ResumeState,
    round_off: float,
) -> Iterator[tuple[EMState, ResumeState]]:
    """Ever better points; ends if no step is good."""
    squarem_start, n_plain_iter, step_max = (
        resume_state.squarem_start,
        resume_state.n_plain_iter,
        resume_state.step_max,
    )
    max_refresh_interval = hessian_refresh_interval(model.n_experts)
    for cycle in count(resume_state.cycle):
        if squarem_start is None:
            squarem_start = state.params
            refresh_interval = 1 if cycle < N_EXACT_ITER else max_refresh_interval
            first = _line_search(model, evaluate_at, state, refresh_interval, round_off)
            if first is None:
                return
            state = first
            yield (
                state,
                ResumeState(
                    state.hessian_params,
                    state.hessian_age,
                    squarem_start,
                    cycle,
                    n_plain_iter,
                    step_max,
                ),
            )
        if cycle >= n_plain_iter:
            path = (squarem_start, state.params, _propose(model, state, 1.0))
            start, middle, end = ([*params.gate, *params.experts] for params in path)
            extrapolated, length = squarem_step(start, middle, end, step_max)
            extrapolated_state = evaluate_at(
                _project(model, _unflatten(state.params, extrapolated)), state
            )
            if extrapolated_state.lower_bound >= state.lower_bound:
                step_max *= STEP_MAX_FACTOR if length == step_max else 1.0
                state = extrapolated_state
                yield (
                    state,
                    ResumeState(
                        state.hessian_params,
                        state.hessian_age,
                        None,
                        cycle + 1,
                        n_plain_iter,
                        step_max,
                    ),
                )
            else:
                step_max = max(step_max / 2.0, INITIAL_STEP_MAX)
        squarem_start = None


def hessian_refresh_interval(n_experts: int) -> int:
    """Sweeps for which a curvature serves in the long run."""
    return max(HESSIAN_REFRESH, n_experts // EXPERTS_PER_REFRESH)


def _line_search(
    model: MixtureModel,
    evaluate_at: Callable[..., EMState],
    state: EMState,
    refresh_interval: int,
    round_off: float,
) -> EMState | None:
    """The next point of plain EM, by a step short enough not to lower the bound."""
    threshold = state.lower_bound - round_off * (1.0 + abs(state.lower_bound))
    params = state.params
    for attempt in range(MAX_HALVINGS):
        step = 0.5**attempt if attempt < MAX_HALVINGS - 1 else 0.0
        fixed_experts = params.experts if attempt and model.experts.needs_all_rows else None
        params = _propose(model, state, step, fixed_experts)
        candidate = evaluate_at(params, state if state.hessian_age + 1 < refresh_interval else None)
        if candidate.lower_bound >= threshold:
            return candidate
        if state.hessian_age > 0:  # a stale curvature may have misled the step
            state = evaluate_at(state.params)
    return None
