"""Starts of EM: responsibilities of each start, and its first iterations.

Labels of some rows [1]_ number the experts, and a start from regressions on these rows is often
next to the best maximum.

References
----------
.. [1] S. Basu, A. Banerjee and R. J. Mooney (2002), "Semi-supervised clustering by seeding",
   Proceedings of ICML, 19-26.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from skmoe._data.rows import Dataset
from skmoe._mixture.data import Data
from skmoe._mixture.em import Objective, Run, aitken_gap, em, fitted_to, side_by_side
from skmoe._mixture.mixture import Mixture
from skmoe._mixture.partitions import (
    INITIALIZERS,
    InitData,
    init_schedule,
    initial_responsibilities,
    random_partition,
    restricted,
    smoothed,
    unit_features,
)
from skmoe._mixture.problem import Problem, blocks_of
from skmoe._numerics.linalg import sum_over_blocks
from skmoe._numerics.typing import Array

# Name of the start from the rows of which something is known.
KNOWN = "known"

# Random number, relative to the weight of the rows, that orders cells where nothing is known.
TIE_BREAK = 1e-9

# Log density of impossible rows, where the order of experts is compared.
IMPOSSIBLE_LOG_DENSITY = -1e6

# Iterations of the first round, all of them without extrapolation: of parametric experts, and of
# experts that need all rows, such as estimators, whose iterations are expensive.
N_ITER_FIRST_ROUND = {False: 15, True: 4}

# Steps from the responsibilities of a start, and from given ones.
N_START_STEPS = 4
N_GIVEN_STEPS = 10

# Difference of lower bounds, in units of the log-likelihood, below which two runs are at the same
# point.
SAME_LOG_LIKELIHOOD = 1e-3

# Largest number of log densities (starts, experts, rows), and of coefficients, in memory.
MAX_NUMBERS = 400_000


class StartJob(NamedTuple):
    """One of several starts."""

    init_name: str
    is_first: bool
    is_repeated: bool  # whether an earlier start has the same initializer
    seed: np.random.SeedSequence


class Started(NamedTuple):
    """The first iterations of a start, and the partition from which it came."""

    run: Run
    partition: bytes


def start_jobs(
    problem: Problem, init: str, seeds: Sequence[np.random.SeedSequence]
) -> list[StartJob]:
    """The starts of a named initialisation, one for each seed.

    If the experts of some rows are known, the first start of a mixture of kinds is from these rows.
    """
    experts = problem.mixture.experts
    n_experts = problem.mixture.n_experts
    names = init_schedule(init, n_experts, len(seeds), partitions=experts.needs_all_rows)
    is_known = problem.init_data.rows.possible is not None
    if is_known and init not in INITIALIZERS and len(experts.with_predictor) == n_experts:
        names = [KNOWN, *names[:-1]]
    return [
        StartJob(name, i == 0, name in names[:i], seed)
        for i, (name, seed) in enumerate(zip(names, seeds, strict=True))
    ]


def first_rounds(problem: Problem, jobs: Sequence[StartJob]) -> list[Started]:
    """A few iterations of EM from each start of parametric experts, side by side."""
    mixture, rows = problem.mixture, problem.init_data.rows
    responsibilities = [_responsibilities_of_start(problem, job) for job in jobs]
    partitions = [_partition(of_experts) for of_experts, _ in responsibilities]
    objective = problem.objective(blocks=blocks_of(mixture, rows))
    thetas = thetas_of(objective, rows, responsibilities)
    # One expert needs no comparison of starts.
    n_iter = 1 if mixture.n_experts == 1 else N_ITER_FIRST_ROUND[False]
    runs = runs_side_by_side(objective, rows, thetas, min(n_iter, problem.max_iter))
    if rows.possible is not None:
        runs = [_with_known_numbers(objective, run) for run in runs]
    return [
        Started(run._replace(converged=aitken_gap(run.lower_bounds) < problem.tol), partition)
        for run, partition in zip(runs, partitions, strict=True)
    ]


def runs_side_by_side(
    objective: Objective, rows: Dataset, thetas: Sequence[Array], n_iter: int
) -> list[Run]:
    """Runs of a number of iterations from each vector."""

    def run(batch: Sequence[Array]) -> list[Run]:
        found, bounds = side_by_side(objective, np.stack(batch), n_iter)
        pairs = zip(found, bounds, strict=True)
        return [Run(theta, own, mixture=objective.mixture) for theta, own in pairs]

    return _in_batches(run, thetas, objective.mixture, rows)


def thetas_of(
    objective: Objective, rows: Dataset, resps: Sequence[tuple[Array, Array]]
) -> list[Array]:
    """Coefficients of starts, by steps to their responsibilities.

    Each start has responsibilities of experts for the rows, (K, n), which may sum to less than one:
    the other rows do not count. Those for the gate are (K, n), or (K, U) of units.
    """
    first = objective.mixture.start

    def fitted(batch: Sequence[tuple[Array, Array]]) -> list[Array]:
        of_experts, of_gate = (np.stack(own, axis=1) for own in zip(*batch, strict=True))
        theta = np.repeat(first[None], len(batch), axis=0)
        return [*fitted_to(objective, theta, of_experts, of_gate, N_START_STEPS)]

    return _in_batches(fitted, resps, objective.mixture, rows)


def theta_of(objective: Objective, resp: Array, rows: Dataset) -> Array:
    """Coefficients (D,) for given responsibilities of rows (K, n) or units (K, U)."""
    of_experts = rows.row_responsibilities(resp)[:, None]
    theta = objective.mixture.start[None]
    return fitted_to(objective, theta, of_experts, resp[:, None], N_GIVEN_STEPS)[0]


def _in_batches(
    function: Callable[[Sequence[Any]], list[Any]],
    starts: Sequence[Any],
    mixture: Mixture,
    rows: Dataset,
) -> list[Any]:
    """Results of a function of several starts, in groups that fit into memory together."""
    longest = max(rows.n_rows, rows.gate_design.shape[1], rows.expert_design.shape[1])
    size = max(MAX_NUMBERS // (mixture.n_experts * longest), 1)
    results: list[Any] = []
    for i in range(0, len(starts), size):
        results += function(starts[i : i + size])
    return results


def _partition(resp: Array) -> bytes:
    """The responsibilities (K, n) of a start, to single precision, whatever its experts' order."""
    return b"".join(sorted(row.tobytes() for row in np.round(resp, 5).astype(np.float32)))


# --- known experts ----------------------------------------------------------------------------


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


def in_known_numbers(objective: Objective, theta: Array) -> Array:
    """Coefficients with the experts in the order in which known rows are most probable.

    Rows of which nothing is known are as probable in any order. Experts that cannot be reordered
    stay as they are.
    """
    mixture = objective.mixture
    if not mixture.can_reorder:
        return theta

    def of_block(data: Data) -> Array:
        """Log-likelihoods (K, K) of each expert on the rows of each known expert."""
        possible = data.rows.possible
        if possible is None:
            return np.zeros((mixture.n_experts, mixture.n_experts))
        own = Data(data.rows._replace(possible=None), mixture.experts.dispersion_columns)
        joint = mixture.log_joint(theta[None], own)[:, 0]
        is_known = possible & (possible.sum(axis=0) == 1)
        weighted = np.maximum(joint, IMPOSSIBLE_LOG_DENSITY) * data.sharing.gate_weight
        return np.asarray(weighted @ is_known.T)

    scores = sum_over_blocks(of_block, objective.blocks)
    order = linear_sum_assignment(scores.T, maximize=True)[1]
    if scores[order, np.arange(len(order))].sum() <= np.trace(scores):
        return theta
    return mixture.reordered(theta, order)


def _with_known_numbers(objective: Objective, run: Run) -> Run:
    """A run whose experts have other numbers, if known rows are more probable then."""
    theta = in_known_numbers(objective, run.theta)
    if theta is run.theta:
        return run
    bound = objective.lower_bound(theta[None])
    if bound <= run.lower_bound:
        return run
    return run._replace(theta=theta, lower_bounds=[*run.lower_bounds[:-1], bound])


# --- responsibilities -------------------------------------------------------------------------


def _responsibilities_of_start(problem: Problem, job: StartJob) -> tuple[Array, Array]:
    """Responsibilities of experts for rows, (K, n), and for the gate, (K, n) or (K, U).

    Rows that the start leaves to no expert count together as one for the experts, and have equal
    probabilities for the gate.
    """
    rows, experts = problem.init_data.rows, problem.mixture.experts
    resp, rng = _initial(problem, job)
    left = 1.0 - resp.sum(axis=0)
    weight = rows.row_responsibilities((1.0 - left + left / len(left))[None])
    resp = _of_experts(problem, job, resp + left / len(resp), rng)
    resp = restricted(experts, resp, rows)
    return rows.row_responsibilities(resp) * weight, resp


def _initial(problem: Problem, job: StartJob) -> tuple[Array, np.random.Generator]:
    """Responsibilities of the initial cells for rows or units, and the generator of the start.

    If the experts of some rows are known, the cells are in the order of the experts.
    """
    rng, experts = np.random.default_rng(job.seed), problem.mixture.experts
    rows, X, Y, _ = problem.init_data
    weight = rows.weight
    if rows.units is not None:
        X, Y, weight = unit_features(problem.init_data)
    if job.init_name == KNOWN:
        return start_from_known(problem.init_data, X, Y, weight, rng), rng
    if job.is_repeated:  # a Bayesian bootstrap, so that a partition differs from the one before
        weight = weight * rng.exponential(size=len(weight))
    owners = experts.with_predictor
    n_cells = max(len(owners), 1)
    cells = initial_responsibilities(job.init_name, X, Y, weight, n_cells, rng)
    if rows.possible is not None and len(owners) == n_cells:
        tie_rng = None if job.is_first else rng
        cells = in_matching_order(cells, known_shares(rows.possible)[owners], weight, tie_rng)
    return cells, rng


def _of_experts(problem: Problem, job: StartJob, resp: Array, rng: np.random.Generator) -> Array:
    """Responsibilities of the experts for rows, (K, n), from those of cells for rows or units."""
    rows, experts = problem.init_data.rows, problem.mixture.experts
    resp = rows.row_responsibilities(resp)
    order_rng = None if job.is_first or rows.possible is not None else rng
    resp = experts.initial_responsibilities(resp, rows.y, order_rng)
    if rows.possible is not None or experts.are_exchangeable:
        return resp
    numbers = np.array(experts.with_predictor)
    order = (
        rng.permutation(len(numbers)) if job.is_repeated else _best_order(problem, resp, numbers)
    )
    resp[numbers] = resp[numbers[order]]
    return resp


def _best_order(problem: Problem, resp: Array, numbers: Array) -> Array:
    """Cells of rows for the experts with some numbers, of which each fits its cell best.

    Every expert is fitted to every cell (K, n). The assignment has the largest sum of the
    log-likelihoods of the cells.
    """
    rows, mixture = problem.init_data.rows, problem.mixture
    objective = problem.objective(blocks=blocks_of(mixture, rows))
    index, moved = np.arange(len(numbers)), resp.copy()
    gains = np.empty((len(numbers), len(numbers)))
    of_gate = np.ones(resp.shape) / len(resp)
    if rows.units is not None:
        of_gate = of_gate[:, : len(rows.gate_weight)]
    for shift in range(len(numbers)):
        cells = (index + shift) % len(numbers)
        moved[numbers] = resp[numbers[cells]]
        theta = mixture.start[None]
        theta = fitted_to(objective, theta, moved[:, None], of_gate[:, None], 1)
        logs = [mixture.at(theta, data).logs[:, 0] for data in objective.blocks]
        weighted = moved * rows.weight
        of_experts = (weighted * np.where(weighted > 0.0, np.hstack(logs), 0.0)).sum(axis=1)
        gains[index, cells] = of_experts[numbers]
    order: Array = linear_sum_assignment(-gains)[1]
    return order


def first_round_of_learners(problem: Problem, job: StartJob, observer: Any) -> Started:
    """A few iterations of EM from a start whose cells are smoothed, for experts with all rows."""
    rows, experts = problem.init_data.rows, problem.mixture.experts
    resp, rng = _initial(problem, job)
    resp = restricted(experts, _of_experts(problem, job, smoothed(resp), rng), rows)
    objective, theta = experts.started(problem.objective(), resp)
    n_iter = min(N_ITER_FIRST_ROUND[True], problem.max_iter)
    run = em(objective, theta, n_iter, problem.tol, observer)
    return Started(run, _partition(resp))
