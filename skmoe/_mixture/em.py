"""The EM loop: E-step, M-step, SQUAREM acceleration and stopping, for all families and gates.

Each iteration makes one pass over the row blocks (the E-step), which gives the lower bound at the
current parameters and the statistics of the M-step. The M-step uses these statistics alone. Whether
it has increased the lower bound is known after the next E-step: if not, a shorter step is taken
from the same statistics.

References
----------
M. I. Jordan and L. Xu (1995), "Convergence results for the EM approach to mixtures of experts
architectures", Neural Networks 8, 1409-1431.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any, NamedTuple, Protocol

import numpy as np

from skmoe._data.rows import Dataset, split_into_blocks
from skmoe._mixture.initialization import InitData
from skmoe._mixture.model import MixtureModel, Params, Penalty
from skmoe._mixture.steps import (
    EMState,
    EStepStatistics,
    e_step,
    factorize_hessians,
    lower_bound,
    m_step,
    project,
)
from skmoe._numerics.typing import TINY, Array

# Step sizes tried by the line search: 1, 1/2, 1/4, ..., and finally 0, which changes only
# parameters with a closed-form M-step.
MAX_HALVINGS = 12

# M-steps from the responsibilities of an initializer.
N_INITIAL_M_STEPS = 5

# Plain iterations of a long run before extrapolation.
N_PLAIN_ITER = 5

# E-steps for which a Hessian is used: at least HESSIAN_REFRESH, with K experts at least
# K / EXPERTS_PER_REFRESH, since the cost of the gate's Hessian grows with K**2. In the first
# N_EXACT_ITER iterations it is computed in each E-step.
HESSIAN_REFRESH = 8
EXPERTS_PER_REFRESH = 4
N_EXACT_ITER = 3

# Number of gate coefficients from which threads are faster than a single thread.
MIN_SIZE_FOR_THREADS = 128

# Largest step length of the extrapolation: initial value, and factor by which it grows whenever it
# is reached.
INITIAL_STEP_MAX = 16.0
STEP_MAX_FACTOR = 4.0

# Relative decrease of the lower bound per row that is attributed to round-off, by the precision of
# the design.
LOWER_BOUND_RTOL = {"float64": 1e-11, "float32": 1e-8}

# Iterations between the lower bounds that Aitken's estimate compares. Gains of single iterations
# are misleading: they alternate between plain and extrapolated steps.
AITKEN_STRIDE = 6


class EMStart(NamedTuple):
    """Initial parameters of EM, and the history of a run that is continued."""

    params: Params
    lower_bounds: Sequence[float] = ()  # of previous iterations, which count as those of this run
    model: MixtureModel | None = None  # with the penalties from which their search begins
    total: EStepStatistics | None = None  # at the parameters, with Hessians, if it is known


class EMOptions(NamedTuple):
    """Settings of a run of EM."""

    max_iter: int  # not counting previous iterations
    tol: float  # Aitken's estimate of the remaining gain per row at which EM stops
    n_plain_iter: int  # cycles without extrapolation
    n_threads: int = 1  # the result does not depend on it
    n_exact_iter: int = N_EXACT_ITER  # first iterations with Hessians of their own


class Maximum(NamedTuple):
    """A local maximum that runs to convergence have reached."""

    lower_bound: float  # per row
    n_times: int  # runs that have reached it
    smallest_share: float  # of an expert among the rows
    is_spurious: bool = False  # whether an expert fits a few rows nearly exactly


class EMResult(NamedTuple):
    """Result of a run of EM."""

    params: Params
    lower_bounds: list[float]  # after each iteration
    converged: bool
    # No step, not even of length zero, kept the lower bound from decreasing: an M-step is wrong.
    line_search_failed: bool
    model: MixtureModel | None = None  # with the penalties of the run
    n_earlier_iter: int = 0  # with other penalties
    stopped: bool = False  # by an observer
    # That starts or runs of a search have reached, the best first, and what they count.
    maxima: tuple[Maximum, ...] = ()
    counted: str = ""
    kept: int = 0  # index of the start that this run continues
    partition: bytes = b""  # with which a start begins

    @property
    def lower_bound(self) -> float:
        """The last lower bound."""
        return self.lower_bounds[-1]

    @property
    def continuation(self) -> EMStart:
        """The start of a run that continues this one."""
        return EMStart(self.params, self.lower_bounds)

    def moved_to(self, params: Params, lower_bound: float) -> EMResult:
        """The result after an iteration that is not one of EM."""
        return self._replace(params=params, lower_bounds=[*self.lower_bounds, lower_bound])


# Called after each iteration as `on_iteration(n_iter, result)`; returning True stops EM.
OnIteration = Callable[[int, EMResult], bool]


class Monitor(Protocol):
    """Observer of a run of EM."""

    def start(self) -> None:
        """Called before the first iteration."""

    def __call__(self, n_iter: int, result: EMResult) -> bool:
        """Called after each iteration; returning True stops the run."""

    def on_sample(self, n_iter: int, result: EMResult) -> bool:
        """Called after each iteration on a sample before the run; returning True stops both."""

    def end(self, result: EMResult) -> None:
        """Called after the last iteration."""


# Number of rows on which starts are compared: per coefficient, and minimum.
ROWS_PER_COEFFICIENT = 15
MIN_ROWS_OF_STARTS = 2_000


class EMProblem(NamedTuple):
    """Model, data, initial values and settings of a fit."""

    model: MixtureModel
    rows: Any  # a Dataset, or a BlockSource
    init_data: InitData
    # Named initialisation, responsibilities of rows (K, n) or units (K, U), or parameters.
    init: str | Array | Params
    seeds: list[np.random.SeedSequence]  # one for each start of a named initialisation
    max_iter: int
    tol: float
    n_threads: int = 1
    previous_model: MixtureModel | None = None  # of a warm start that goes on to search penalties
    penalties: tuple[Penalty, ...] = ()  # that are found by the evidence
    ends_at_maximum: bool = True  # by Newton's steps, after EM

    @property
    def rows_in_memory(self) -> Dataset:
        """All rows, or those of the initialisation if they are in row blocks."""
        return self.rows if isinstance(self.rows, Dataset) else self.init_data.rows

    def has_dispersion_at_bound(self, params: Params) -> bool:
        """Whether an expert fits its rows exactly, so that the likelihood has no maximum there."""
        return bool(self.model.experts.dispersion_at_bound(params.experts).any())

    @property
    def n_rows_of_starts(self) -> int:
        """About the number of rows on which starts are compared."""
        rows = self.init_data.rows
        if self.model.experts.needs_all_rows:
            return rows.n_rows
        n_columns = rows.gate_design.shape[1] + rows.expert_design.shape[1]
        wanted = ROWS_PER_COEFFICIENT * self.model.n_experts * n_columns
        return min(rows.n_rows, max(wanted, MIN_ROWS_OF_STARTS))

    def on_sample(self) -> EMProblem:
        """The problem on the rows on which starts are compared."""
        init_data = self.init_data
        if not self.model.experts.needs_all_rows:
            rng = np.random.default_rng(self.seeds[0].spawn(1)[0])
            init_data = init_data.sample(self.n_rows_of_starts, rng)
        return self._replace(rows=init_data.rows, init_data=init_data, n_threads=1)


def run_em_of_problem(
    problem: EMProblem,
    start: EMStart,
    max_iter: int,
    on_iteration: OnIteration,
    n_plain_iter: int = N_PLAIN_ITER,
    n_exact_iter: int = N_EXACT_ITER,
) -> EMResult:
    """Run EM on the rows of a problem."""
    if problem.model.experts.needs_all_rows:  # estimators, which cannot be extrapolated
        n_plain_iter = problem.max_iter
    options = EMOptions(max_iter, problem.tol, n_plain_iter, problem.n_threads, n_exact_iter)
    return run_em(problem.model, split_into_blocks(problem.rows), start, options, on_iteration)


# --- a run of EM ------------------------------------------------------------------------------


def evaluate(
    model: MixtureModel,
    blocks: Iterable[Dataset],
    params: Params,
    previous: EMState | None = None,
    map_blocks: Callable[..., Iterable[Any]] | None = None,
    total: EStepStatistics | None = None,
) -> EMState:
    """E-step and lower bound at given parameters.

    The Hessians of `previous` are reused; without it they are computed. `map_blocks` must return
    results in the order of the blocks, so that the sums do not depend on the number of threads. A
    `total` that is known is not computed.
    """
    if total is None:
        total = e_step(model, blocks, params, with_hessian=previous is None, map_blocks=map_blocks)
    if previous is None:
        hessian = factorize_hessians(model, total.hessians), params, 0
    else:
        hessian = previous.hessian_factors, previous.hessian_params, previous.hessian_age + 1
    return EMState(params, lower_bound(model, params, total), total.statistics, *hessian)


def run_em(
    model: MixtureModel,
    blocks: Iterable[Dataset],
    start: EMStart,
    options: EMOptions,
    on_iteration: OnIteration,
) -> EMResult:
    """Maximise the penalised log-likelihood per row from given parameters."""
    design = blocks[0].gate_design if isinstance(blocks, list) else None
    n_threads = options.n_threads
    if design is not None and model.n_experts * design.shape[1] < MIN_SIZE_FOR_THREADS:
        n_threads = 1
    rtol = LOWER_BOUND_RTOL["float64" if design is None else str(design.dtype)]
    lower_bounds = list(start.lower_bounds)
    with _block_map(blocks, n_threads) as map_blocks:
        evaluate_at = partial(evaluate, model, blocks, map_blocks=map_blocks)
        state = evaluate_at(start.params, total=start.total)
        is_converged = len(lower_bounds) > 0 and aitken_gap(lower_bounds, rtol) < options.tol
        if is_converged or options.max_iter < 1:  # no iteration is needed, or permitted
            bounds = lower_bounds or [state.lower_bound]
            return EMResult(state.params, bounds, is_converged, False, model)
        last_iter = len(lower_bounds) + options.max_iter
        for new_state in _em_iterations(model, evaluate_at, state, options, rtol):
            state = new_state
            lower_bounds.append(state.lower_bound)
            is_converged = aitken_gap(lower_bounds, rtol) < options.tol
            run = EMResult(state.params, lower_bounds, is_converged, False, model)
            stopped = on_iteration(len(lower_bounds), run)
            if is_converged or stopped or len(lower_bounds) >= last_iter:
                return run._replace(stopped=stopped)
        bounds = lower_bounds or [state.lower_bound]
        return EMResult(state.params, bounds, converged=False, line_search_failed=True, model=model)


@contextmanager
def _block_map(blocks: Any, n_threads: int) -> Iterator[Callable[..., Iterable[Any]] | None]:
    """A map over the blocks that keeps their order.

    Distributed blocks provide their own map. Threads are not used for streamed blocks, because the
    pool would read ahead.
    """
    n_threads = min(n_threads, len(blocks)) if isinstance(blocks, list) else 1
    if n_threads == 1:
        yield None
        return
    with ThreadPoolExecutor(n_threads) as pool:
        yield pool.map


def _em_iterations(
    model: MixtureModel,
    evaluate_at: Callable[..., EMState],
    state: EMState,
    options: EMOptions,
    rtol: float,
) -> Iterator[EMState]:
    """Accepted EM iterates; they end when no step keeps the lower bound from decreasing.

    A cycle is a plain iteration and, after `n_plain_iter` cycles, an extrapolation. `rtol` is the
    tolerance of the line search.
    """
    step_max, max_refresh_interval = INITIAL_STEP_MAX, hessian_refresh_interval(model.n_experts)
    for cycle in count():
        squarem_start = state.params
        refresh_interval = 1 if cycle < options.n_exact_iter else max_refresh_interval
        candidate = _line_search(model, evaluate_at, state, refresh_interval, rtol)
        if candidate is None:
            return
        state = candidate
        yield state
        if cycle < options.n_plain_iter:
            continue
        path = (squarem_start, state.params, m_step(model, state, 1.0))
        first, second, third = ([*params.gate, *params.experts] for params in path)
        extrapolated, step = squarem_step(first, second, third, step_max)
        gate, experts = state.params
        arrays = extrapolated[: len(gate)], extrapolated[len(gate) :]
        params = project(model, Params(type(gate)(*arrays[0]), type(experts)(*arrays[1])))
        candidate = evaluate_at(params, state)
        if candidate.lower_bound >= state.lower_bound:
            step_max *= STEP_MAX_FACTOR if step == step_max else 1.0
            state = candidate
            yield state
        else:
            step_max = max(step_max / 2.0, INITIAL_STEP_MAX)


def hessian_refresh_interval(n_experts: int) -> int:
    """Number of E-steps for which a Hessian is used after the first iterations."""
    return max(HESSIAN_REFRESH, n_experts // EXPERTS_PER_REFRESH)


def _line_search(
    model: MixtureModel,
    evaluate_at: Callable[..., EMState],
    state: EMState,
    refresh_interval: int,
    rtol: float,
) -> EMState | None:
    """The next iterate of plain EM: the longest step that does not decrease the lower bound."""
    threshold = state.lower_bound - rtol * (1.0 + abs(state.lower_bound))
    params = state.params
    for attempt in range(MAX_HALVINGS):
        step = 0.5**attempt if attempt < MAX_HALVINGS - 1 else 0.0
        fixed_experts = params.experts if attempt and model.experts.needs_all_rows else None
        params = m_step(model, state, step, fixed_experts)
        candidate = evaluate_at(params, state if state.hessian_age + 1 < refresh_interval else None)
        if candidate.lower_bound >= threshold:
            return candidate
        if state.hessian_age > 0:  # the step may be bad because the Hessian is old
            state = evaluate_at(state.params)
    return None


def params_from_responsibilities(
    model: MixtureModel, rows: Dataset, resp: Array, n_steps: int = N_INITIAL_M_STEPS
) -> Params:
    """Parameters for given responsibilities of rows (K, n) or units (K, U).

    They are found by M-steps with a line search.
    """
    blocks = split_into_blocks(rows)
    ends = np.cumsum([len(block.gate_weight) for block in blocks])
    block_resp = np.split(resp, ends[:-1], axis=1)
    evaluate_at = partial(
        evaluate, model, blocks, map_blocks=lambda step, blocks: map(step, blocks, block_resp)
    )
    gate = model.gate.init_params(len(resp), rows.gate_design.shape[1])
    experts = model.experts.init_params(len(resp), rows.expert_design.shape[1])
    state = evaluate_at(Params(gate, experts))
    for _ in range(n_steps):
        ahead = _line_search(model, evaluate_at, state, refresh_interval=1, rtol=0.0)
        if ahead is None:
            break
        state = ahead
    return state.params


# --- acceleration and stopping ----------------------------------------------------------------


def squarem_step(
    start: Sequence[Array], first: Sequence[Array], second: Sequence[Array], step_max: float
) -> tuple[list[Array], float]:
    """Squared extrapolation from three successive iterates of a fixed-point map [1]_.

    Parameters
    ----------
    start, first, second : sequences of arrays
        Three successive iterates.
    step_max : float
        Largest step length allowed; 1 gives `second`.

    Returns
    -------
    extrapolated : list of arrays
    step : float
        The step length used.

    References
    ----------
    .. [1] R. Varadhan and C. Roland (2008), "Simple and globally convergent methods for
       accelerating the convergence of any EM algorithm", Scandinavian Journal of Statistics 35,
       335-353. Scheme SqS3.
    """
    change = [b - a for a, b in zip(start, first, strict=True)]
    second_difference = [c - b - r for b, c, r in zip(first, second, change, strict=True)]
    first_norm2, second_norm2 = (
        float(sum(np.vdot(values, values) for values in arrays))
        for arrays in (change, second_difference)
    )
    ratio = np.sqrt(first_norm2 / max(second_norm2, TINY))
    step = float(np.clip(ratio, 1.0, step_max))
    extrapolated = [
        a + 2.0 * step * r + step**2 * v
        for a, r, v in zip(start, change, second_difference, strict=True)
    ]
    return extrapolated, step


def aitken_gap(
    lower_bounds: Sequence[float],
    rtol: float = LOWER_BOUND_RTOL["float64"],
    stride: int = AITKEN_STRIDE,
) -> float:
    """Aitken's estimate of the distance of an increasing sequence from its limit [1]_.

    Returns zero at a fixed point up to `rtol`, and infinity while no estimate is possible.

    References
    ----------
    .. [1] D. Böhning, E. Dietz, R. Schaub, P. Schlattmann and B. Lindsay (1994), "The distribution
       of the likelihood ratio for mixtures of densities from the one-parameter exponential
       family", Annals of the Institute of Statistical Mathematics 46, 373-388.
    """
    if len(lower_bounds) > 2:
        gain_of_two = lower_bounds[-1] - lower_bounds[-3]
        if gain_of_two <= rtol * (1.0 + abs(lower_bounds[-1])):
            return 0.0
    if len(lower_bounds) <= 2 * stride:
        return math.inf
    gain = lower_bounds[-1 - stride] - lower_bounds[-1 - 2 * stride]
    last_gain = lower_bounds[-1] - lower_bounds[-1 - stride]
    if last_gain >= gain:
        return math.inf
    # Large early gains make the estimate too optimistic: it is bounded below by the last gain.
    return max(last_gain**2 / (gain - last_gain), last_gain)
