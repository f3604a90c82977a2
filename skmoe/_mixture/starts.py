"""Starts of EM: responsibilities of each start, and its first iterations.

Labels of some rows [1]_ number the experts, and a start from regressions on these rows is often
next to the best maximum.

References
----------
.. [1] S. Basu, A. Banerjee and R. J. Mooney (2002), "Semi-supervised clustering by seeding",
   Proceedings of ICML, 19-26.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.utils.parallel import Parallel, delayed

from skmoe._data.rows import Dataset, split_into_blocks
from skmoe._mixture.em import (
    EMProblem,
    EMResult,
    EMStart,
    Monitor,
    aitken_gap,
    evaluate,
    params_from_responsibilities,
    run_em_of_problem,
)
from skmoe._mixture.initialization import (
    INITIALIZERS,
    InitData,
    init_schedule,
    initial_responsibilities,
    random_partition,
    restricted,
    smoothed,
    unit_features,
)
from skmoe._mixture.model import MixtureModel, Params, log_joint
from skmoe._mixture.side_by_side import fitted_experts, params_of_starts, run_side_by_side
from skmoe._numerics.linalg import sum_over_blocks
from skmoe._numerics.signed_steps import are_exchangeable
from skmoe._numerics.typing import Array
from skmoe.protocols import Experts, SupportsReordering, has_capability

# Name of the start from the rows of which something is known.
KNOWN = "known"

# Random number, relative to the weight of the rows, that orders cells where nothing is known.
TIE_BREAK = 1e-9

# Log density of impossible rows, where the order of experts is compared.
IMPOSSIBLE_LOG_DENSITY = -1e6


def known_shares(possible: Array) -> Array:
    """Shares (K, n) of the possible experts in each row; zero in rows of which nothing is known."""
    return np.where(possible.all(axis=0), 0.0, possible / possible.sum(axis=0))


def start_from_known(
    init_data: InitData, X: Array, Y: Array, weight: Array, rng: np.random.Generator
) -> Array:
    """Responsibilities (K, n) of rows, or units, of which the expert is known.

    Experts without such rows get a random partition of the others; without such experts the others
    are left to no expert.
    """
    possible: Array = init_data.rows.possible  # type: ignore[assignment]
    shares = np.where(possible.sum(axis=0) == 1, possible, 0.0)
    others = np.flatnonzero(~shares.any(axis=0))
    without = np.flatnonzero(~shares.any(axis=1))
    if len(without) and len(others):
        cells = random_partition(X[others], Y[:, others], weight[others], len(without), rng)
        shares[without[cells], others] = 1.0
    return shares


def in_matching_order(
    cells: Array, shares: Array, weight: Array, rng: np.random.Generator | None
) -> Array:
    """Responsibilities (C, n) of cells in the order of the experts with known shares (C, n).

    It is the order in which most of the known rows are in the cell of their expert. Cells that are
    equally good are in random order, if there is a generator.
    """
    agreement = shares @ (cells * weight).T
    if rng is not None:
        agreement += TIE_BREAK * weight.sum() * rng.uniform(size=agreement.shape)
    return cells[linear_sum_assignment(agreement, maximize=True)[1]]


def in_known_numbers(model: MixtureModel, params: Params, blocks: Any) -> Params:
    """Parameters with the experts in the order in which known rows are most probable.

    Rows of which nothing is known are as probable in any order. Experts that cannot be reordered
    stay as they are.
    """
    if not all(has_capability(part, SupportsReordering) for part in (model.gate, model.experts)):
        return params
    experts: Any = model.experts
    scores = sum_over_blocks(partial(_known_log_likelihoods, model, params), blocks)
    order = linear_sum_assignment(scores.T, maximize=True)[1]
    if scores[order, np.arange(len(order))].sum() <= np.trace(scores):
        return params
    return Params(model.gate.reorder(params.gate, order), experts.reorder(params.experts, order))


def _known_log_likelihoods(model: MixtureModel, params: Params, rows: Dataset) -> Array:
    """Log-likelihoods (K, K) of each expert on the rows, or units, of each known expert."""
    if rows.possible is None:
        return np.zeros((model.n_experts, model.n_experts))
    joint = log_joint(model, params, rows._replace(possible=None))[1]
    is_known = rows.possible & (rows.possible.sum(axis=0) == 1)
    return (np.maximum(joint, IMPOSSIBLE_LOG_DENSITY) * rows.gate_weight) @ is_known.T


# Iterations of the first round, all of them without extrapolation: of parametric experts, and of
# experts that need all rows, such as estimators, whose iterations are expensive.
N_ITER_FIRST_ROUND = {False: 15, True: 4}

# Difference of lower bounds, in units of the log-likelihood, below which two runs are at the same
# point.
SAME_LOG_LIKELIHOOD = 1e-3


class StartJob(NamedTuple):
    """One of several starts."""

    init_name: str
    is_first: bool
    is_repeated: bool  # whether an earlier start has the same initializer
    seed: np.random.SeedSequence


def start_jobs(
    problem: EMProblem, init: str, seeds: Sequence[np.random.SeedSequence]
) -> list[StartJob]:
    """The starts of a named initialisation, one for each seed.

    If the experts of some rows are known, the first start of a mixture of kinds is from these rows.
    """
    experts, n_experts = problem.model.experts, problem.model.n_experts
    names = init_schedule(init, n_experts, len(seeds), partitions=experts.needs_all_rows)
    is_known = problem.init_data.rows.possible is not None
    if is_known and init not in INITIALIZERS and experts.n_cells(n_experts) == n_experts:
        names = [KNOWN, *names[:-1]]
    return [
        StartJob(name, i == 0, name in names[:i], seed)
        for i, (name, seed) in enumerate(zip(names, seeds, strict=True))
    ]


def first_rounds(
    problem: EMProblem, jobs: Sequence[StartJob], monitors: Sequence[Monitor], workers: Parallel
) -> list[EMResult]:
    """A few iterations of EM from each start: side by side, or of estimators one after another."""
    if problem.model.experts.needs_all_rows:
        first, pairs = delayed(_first_round_of_estimators), zip(jobs, monitors, strict=True)
        return list(workers(first(problem, *pair) for pair in pairs))
    runs = first_rounds_side_by_side(problem, jobs)
    for monitor, run in zip(monitors, runs, strict=True):
        monitor(len(run.lower_bounds), run)
    return runs


def first_rounds_side_by_side(problem: EMProblem, jobs: Sequence[StartJob]) -> list[EMResult]:
    """A few iterations of EM from each start of parametric experts."""
    responsibilities = [_responsibilities_of_start(problem, job) for job in jobs]
    of_experts, of_gate = zip(*responsibilities, strict=True)
    partitions = [_partition(resp) for resp in of_experts]
    rows = problem.init_data.rows
    starts = params_of_starts(problem.model, rows, of_experts, of_gate)
    # One expert needs no comparison of starts.
    n_iter = 1 if problem.model.n_experts == 1 else N_ITER_FIRST_ROUND[False]
    n_iter = min(n_iter, problem.max_iter)
    runs = run_side_by_side(problem.model, rows, starts, n_iter)
    if rows.possible is not None:
        runs = [_with_known_numbers(problem.model, run, rows) for run in runs]
    return [
        run._replace(converged=aitken_gap(run.lower_bounds) < problem.tol, partition=partition)
        for run, partition in zip(runs, partitions, strict=True)
    ]


def _partition(resp: Array) -> bytes:
    """The responsibilities (K, n) of a start, to single precision, whatever its experts' order."""
    return b"".join(sorted(row.tobytes() for row in np.round(resp, 5).astype(np.float32)))


def _with_known_numbers(model: MixtureModel, run: EMResult, rows: Dataset) -> EMResult:
    """A run whose experts have other numbers, if known rows are more probable then."""
    blocks = split_into_blocks(rows)
    params = in_known_numbers(model, run.params, blocks)
    if params is run.params:
        return run
    lower_bound = evaluate(model, blocks, params).lower_bound
    if lower_bound <= run.lower_bound:
        return run
    return run._replace(params=params, lower_bounds=[*run.lower_bounds[:-1], lower_bound])


def _responsibilities_of_start(problem: EMProblem, job: StartJob) -> tuple[Array, Array]:
    """Responsibilities of experts for rows, (K, n), and for the gate, (K, n) or (K, U).

    Rows that the start leaves to no expert count together as one for the experts, and have equal
    probabilities for the gate.
    """
    rows, experts = problem.init_data.rows, problem.model.experts
    resp, rng = _initial(problem, job)
    left = 1.0 - resp.sum(axis=0)
    weight = rows.row_responsibilities((1.0 - left + left / len(left))[None])
    resp = _of_experts(problem, job, resp + left / len(resp), rng)
    resp = restricted(experts, resp, rows)
    return rows.row_responsibilities(resp) * weight, resp


def _initial(problem: EMProblem, job: StartJob) -> tuple[Array, np.random.Generator]:
    """Responsibilities of the initial cells for rows or units, and the generator of the start.

    If the experts of some rows are known, the cells are in the order of the experts.
    """
    rng, model = np.random.default_rng(job.seed), problem.model
    rows, X, Y, _ = problem.init_data
    weight = rows.weight
    if rows.units is not None:
        X, Y, weight = unit_features(problem.init_data)
    if job.init_name == KNOWN:
        return start_from_known(problem.init_data, X, Y, weight, rng), rng
    if job.is_repeated:  # a Bayesian bootstrap, so that a partition differs from the one before
        weight = weight * rng.exponential(size=len(weight))
    n_cells = model.experts.n_cells(model.n_experts)
    cells = initial_responsibilities(job.init_name, X, Y, weight, n_cells, rng)
    if rows.possible is not None:
        owners = with_predictor(model.experts, model.n_experts)
        if len(owners) == n_cells:
            tie_rng = None if job.is_first else rng
            cells = in_matching_order(cells, known_shares(rows.possible)[owners], weight, tie_rng)
    return cells, rng


def with_predictor(experts: Experts, n_experts: int) -> list[int]:
    """Experts that depend on the features, unlike those of families of fixed values."""
    blocks = [experts.blocks_of(k) for k in range(n_experts)]
    return [
        k
        for k, of_expert in enumerate(blocks)
        if not of_expert or any(block is not None and block.is_main for block in of_expert)
    ]


def _of_experts(problem: EMProblem, job: StartJob, resp: Array, rng: np.random.Generator) -> Array:
    """Responsibilities of the experts for rows, (K, n), from those of cells for rows or units."""
    rows, model = problem.init_data.rows, problem.model
    resp = rows.row_responsibilities(resp)
    order_rng = None if job.is_first or rows.possible is not None else rng
    resp = model.experts.initial_responsibilities(resp, model.n_experts, rows.y, order_rng)
    slopes = model.experts.slopes
    if rows.possible is not None or not slopes or are_exchangeable(slopes):
        return resp
    numbers = np.array(with_predictor(model.experts, model.n_experts))
    order = (
        rng.permutation(len(numbers)) if job.is_repeated else _best_order(problem, resp, numbers)
    )
    resp[numbers] = resp[numbers[order]]
    return resp


def _best_order(problem: EMProblem, resp: Array, numbers: Array) -> Array:
    """Cells of rows for the experts with some numbers, of which each fits its cell best.

    Every expert is fitted to every cell (K, n). The assignment has the largest sum of the
    log-likelihoods of the cells.
    """
    rows, experts = problem.init_data.rows, problem.model.experts
    index, moved = np.arange(len(numbers)), resp.copy()
    gains = np.empty((len(numbers), len(numbers)))
    for shift in range(len(numbers)):
        cells = (index + shift) % len(numbers)
        moved[numbers] = resp[numbers[cells]]
        params = fitted_experts(problem.model, rows, moved, 1)
        logs = experts.log_prob(params, rows.expert_design, rows.y)
        weighted = moved * rows.weight
        of_experts = (weighted * np.where(weighted > 0.0, logs, 0.0)).sum(axis=1)
        gains[index, cells] = of_experts[numbers]
    order: Array = linear_sum_assignment(-gains)[1]
    return order


def _first_round_of_estimators(problem: EMProblem, job: StartJob, monitor: Monitor) -> EMResult:
    """A few iterations of EM from a start whose cells are smoothed, for experts with all rows."""
    rows, experts = problem.init_data.rows, problem.model.experts
    resp, rng = _initial(problem, job)
    resp = restricted(experts, _of_experts(problem, job, smoothed(resp), rng), rows)
    params = params_from_responsibilities(problem.model, rows, resp)
    n_iter = N_ITER_FIRST_ROUND[True]
    max_iter = min(n_iter, problem.max_iter)
    run = run_em_of_problem(problem, EMStart(params), max_iter, monitor, n_plain_iter=n_iter)
    return run._replace(partition=_partition(resp))


def distinct_best(problem: EMProblem, runs: Sequence[EMResult], most: int) -> list[int]:
    """Indices of the best runs, best first, without those that have reached the same lower bound.

    Runs with a dispersion at its bound come last: their likelihood has no maximum.
    """
    at_bound = [problem.has_dispersion_at_bound(run.params) for run in runs]
    order = sorted(range(len(runs)), key=lambda i: (at_bound[i], -runs[i].lower_bound))
    tol = SAME_LOG_LIKELIHOOD / problem.rows_in_memory.weight.sum()
    chosen: list[int] = []
    for i in order:
        gaps = [abs(runs[i].lower_bound - runs[j].lower_bound) for j in chosen]
        if len(chosen) < most and np.isfinite(runs[i].lower_bound) and min(gaps, default=1.0) > tol:
            chosen.append(i)
    return chosen or order[:1]
