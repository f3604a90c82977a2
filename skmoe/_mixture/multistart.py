"""Multiple starts: short runs of EM from each start, longer ones from the best [1]_.

Successive halving [2]_: after each round the worse half of the runs is dropped and the others get
twice as many iterations, since the lower bound after a few iterations predicts the final one
poorly.

References
----------
.. [1] C. Biernacki, G. Celeux and G. Govaert (2003), "Choosing starting values for the EM algorithm
   for getting the highest likelihood in multivariate Gaussian mixture models", Computational
   Statistics & Data Analysis 41, 561-575.
.. [2] K. Jamieson and A. Talwalkar (2016), "Non-stochastic best arm identification and
   hyperparameter optimization", Proceedings of AISTATS, 240-248.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from joblib import effective_n_jobs
from sklearn.utils.parallel import Parallel, delayed

from skmoe._data.rows import Dataset, split_into_blocks
from skmoe._mixture.em import (
    EMOptions,
    EMResult,
    EMStart,
    Monitor,
    OnIteration,
    ResumeState,
    run_em,
)
from skmoe._mixture.initialization import (
    INITIALIZERS,
    LABEL_SMOOTHING,
    InitData,
    bayesian_bootstrap_weights,
    init_schedule,
    smooth_labels,
)
from skmoe._mixture.m_step import params_from_responsibilities
from skmoe._mixture.model import MixtureModel, Params, log_joint, posterior, responsibilities
from skmoe._mixture.unit_initialization import unit_features
from skmoe._numerics.typing import TINY, Array

# Iterations of the first round, all of them without extrapolation: for parametric experts, and for
# estimators, whose iterations are expensive.
N_ITER_FIRST_ROUND = 15
N_ITER_FIRST_ROUND_ESTIMATORS = 4

# Plain iterations of a long run before extrapolation.
N_PLAIN_ITER = 5

# M-steps from the responsibilities of an initializer.
N_INITIAL_M_STEPS = 5

# Maximum number of re-initialisations of collapsed experts. An expert has collapsed if its
# responsibilities sum to less than this weight, or than this fraction of the total weight.
MAX_REINITIALIZATIONS = 2
MIN_EXPERT_WEIGHT = 2.0
MIN_WEIGHT_FRACTION = 1e-3


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
    resume_state: ResumeState | None = None  # of a run that is continued from parameters
    previous_lower_bounds: Sequence[float] = ()  # of that run; they count as those of this fit


def fit_best_start(
    problem: EMProblem, start_monitors: Sequence[Monitor], monitor: Monitor, n_jobs: int | None
) -> tuple[EMResult, list[EMResult]]:
    """Result of the best start on all rows, and that of every start when it ended or was dropped.

    Jobs run the starts in parallel, and then, as threads, the row blocks of the final run.
    """
    problem = problem._replace(n_threads=effective_n_jobs(n_jobs))
    if isinstance(problem.init, str):
        return _search_starts(problem, problem.init, start_monitors, monitor, n_jobs)
    params = problem.init
    if isinstance(params, np.ndarray):
        resp = _restrict(problem.model, params, problem.rows)
        params = params_from_responsibilities(problem.model, problem.rows, resp, N_INITIAL_M_STEPS)
    start = EMStart(params, problem.previous_lower_bounds, problem.resume_state)
    monitor.start()
    run = _run_to_convergence(problem, start, monitor)
    monitor.end(run)
    return run, [run]


def fit_all_starts(
    problem: EMProblem, monitors: Sequence[Monitor], n_jobs: int | None
) -> list[EMResult]:
    """Results of all starts of a named initialisation, each run to convergence."""
    jobs = _start_jobs(problem, str(problem.init), monitors)
    return _workers(problem, n_jobs)(delayed(_full_run)(problem, *job) for job in jobs)


def best_result(runs: Sequence[EMResult]) -> EMResult:
    """The run with the highest lower bound."""
    return runs[int(np.argmax([run.lower_bound for run in runs]))]


# --- starts -----------------------------------------------------------------------------------


class StartJob(NamedTuple):
    """One of several starts."""

    init_name: str
    is_first: bool
    is_repeated: bool  # whether an earlier start has the same initializer
    seed: np.random.SeedSequence

    def shuffles(self, rng: np.random.Generator) -> np.random.Generator | None:
        """The generator by which cells are assigned to different experts; None for the first."""
        return None if self.is_first else rng


def _start_jobs(
    problem: EMProblem, init: str, monitors: Sequence[Monitor]
) -> list[tuple[StartJob, Monitor]]:
    names = init_schedule(init, problem.model.n_experts, len(problem.seeds))
    jobs = [
        StartJob(name, i == 0, name in names[:i], seed)
        for i, (name, seed) in enumerate(zip(names, problem.seeds, strict=True))
    ]
    return list(zip(jobs, monitors, strict=True))


def _workers(problem: EMProblem, n_jobs: int | None) -> Parallel:
    # Experts that are estimators use the jobs for their own fits.
    return Parallel(n_jobs=None if problem.model.experts.needs_all_rows else n_jobs)


def _search_starts(
    problem: EMProblem,
    init: str,
    monitors: Sequence[Monitor],
    monitor: Monitor,
    n_jobs: int | None,
) -> tuple[EMResult, list[EMResult]]:
    """Compare the starts on the rows for the initialisation, and run the best one on all rows."""
    on_sample = problem._replace(rows=problem.init_data.rows, n_threads=1)
    for start_monitor in monitors:
        start_monitor.start()
    runs = _successive_halving(on_sample, init, monitors, n_jobs)
    for start_monitor, run in zip(monitors, runs, strict=True):
        start_monitor.end(run)
    best = best_result(runs)
    same_rows = problem.rows is problem.init_data.rows
    if same_rows and _is_finished(problem, best) and not len(_collapsed_experts(problem, best)):
        return best, runs
    monitor.start()
    run = _continue_on_all_rows(problem, best, monitor)
    monitor.end(run)
    return run, runs


def _successive_halving(
    problem: EMProblem, init: str, monitors: Sequence[Monitor], n_jobs: int | None
) -> list[EMResult]:
    """Run all starts, then the better half with twice as many iterations, until two are left."""
    workers = _workers(problem, n_jobs)
    jobs = _start_jobs(problem, init, monitors)
    runs = workers(delayed(_first_round)(problem, *job) for job in jobs)
    n_iter, n_candidates = _n_iter_first_round(problem), len(runs)
    while n_candidates > 2:
        n_iter, n_candidates = 2 * n_iter, (n_candidates + 1) // 2
        order = np.argsort([-run.lower_bound for run in runs], kind="stable")[:n_candidates]
        longer = workers(delayed(_next_round)(problem, runs[i], n_iter, monitors[i]) for i in order)
        for i, run in zip(order, longer, strict=True):
            runs[i] = run
    return runs


def _first_round(problem: EMProblem, job: StartJob, monitor: Monitor) -> EMResult:
    """Initialise, and run a few EM iterations."""
    rng = np.random.default_rng(job.seed)
    rows, X, Y, _ = problem.init_data
    weight = rows.weight
    if rows.units is not None:
        X, Y, weight = unit_features(problem.init_data)
    experts, n_experts = problem.model.experts, problem.model.n_experts
    n_cells = experts.n_cells(n_experts)
    weight = bayesian_bootstrap_weights(weight, rng) if job.is_repeated else weight
    labels = smooth_labels(INITIALIZERS[job.init_name](X, Y, weight, n_cells, rng), n_cells)
    of_rows = rows.row_responsibilities(labels)
    resp = experts.initial_responsibilities(of_rows, n_experts, rows.y, job.shuffles(rng))
    resp = resp if rows.units is None else _of_units(problem.model, resp, rows)
    params = params_from_responsibilities(problem.model, rows, resp, N_INITIAL_M_STEPS)
    n_iter = _n_iter_first_round(problem)
    return _run_em(problem, EMStart(params), min(n_iter, problem.max_iter), n_iter, monitor)


def _n_iter_first_round(problem: EMProblem) -> int:
    in_memory = problem.model.experts.needs_all_rows
    return N_ITER_FIRST_ROUND_ESTIMATORS if in_memory else N_ITER_FIRST_ROUND


def _next_round(problem: EMProblem, run: EMResult, n_iter: int, monitor: Monitor) -> EMResult:
    """Continue a run by a number of iterations."""
    if _is_finished(problem, run):
        return run
    max_iter = min(n_iter, problem.max_iter - len(run.lower_bounds))
    return _run_em(problem, run.continuation, max_iter, N_PLAIN_ITER, monitor)


def _is_finished(problem: EMProblem, run: EMResult) -> bool:
    return run.converged or run.line_search_failed or len(run.lower_bounds) >= problem.max_iter


def _full_run(problem: EMProblem, job: StartJob, monitor: Monitor) -> EMResult:
    """Run one start to convergence on all rows."""
    monitor.start()
    run = _first_round(problem._replace(rows=problem.init_data.rows), job, monitor)
    run = _continue_on_all_rows(problem, run, monitor)
    monitor.end(run)
    return run


def _continue_on_all_rows(problem: EMProblem, run: EMResult, monitor: Monitor) -> EMResult:
    """Continue a run on the rows for the initialisation to convergence on all rows."""
    if problem.rows is not problem.init_data.rows:
        start = EMStart(_transfer_params(problem, run.params))
        return _run_to_convergence(problem, start, monitor)
    if _is_finished(problem, run):
        return _with_reinitialized_experts(problem, run, monitor)
    # The rows are the same, so that the previous iterations count.
    return _run_to_convergence(problem, run.continuation, monitor)


def _transfer_params(problem: EMProblem, params: Params) -> Params:
    """Parameters for all rows, from those of the rows for the initialisation."""
    experts = problem.model.experts
    if not experts.needs_all_rows:
        return params
    params = params._replace(experts=experts.drop_training_state(params.experts))
    resp = responsibilities(problem.model, params, problem.rows)
    return params_from_responsibilities(problem.model, problem.rows, resp, N_INITIAL_M_STEPS)


# --- long runs --------------------------------------------------------------------------------


def _run_to_convergence(problem: EMProblem, start: EMStart, monitor: Monitor) -> EMResult:
    """Run EM to convergence, and re-initialise collapsed experts if this is an improvement."""
    max_iter = problem.max_iter - len(start.lower_bounds)
    run = _run_em(problem, start, max_iter, N_PLAIN_ITER, monitor)
    return _with_reinitialized_experts(problem, run, monitor)


def _with_reinitialized_experts(problem: EMProblem, run: EMResult, monitor: Monitor) -> EMResult:
    """The run, or a better one after collapsed experts were re-initialised."""
    for _ in range(MAX_REINITIALIZATIONS):
        candidate = _reinitialize_collapsed(problem, run, monitor)
        if candidate is None or candidate.lower_bound <= run.lower_bound:
            break
        run = candidate
    return run


def _reinitialize_collapsed(problem: EMProblem, run: EMResult, monitor: Monitor) -> EMResult | None:
    """Re-initialise collapsed experts on the rows with the lowest likelihood and run EM again.

    Returns None if no expert has collapsed.
    """
    collapsed = _collapsed_experts(problem, run)
    if run.line_search_failed or not len(collapsed):
        return None
    model, rows = problem.model, _rows_in_memory(problem)
    posteriors = zip(*_block_posteriors(problem, run), strict=True)
    resp, log_density = (np.concatenate(parts, axis=-1) for parts in posteriors)
    order = np.argsort(log_density, kind="stable")
    fraction = np.cumsum(rows.unit_weight[order]) / rows.weight.sum()
    worst = order[fraction <= max(len(collapsed) / len(resp), fraction[0])]
    resp[:, worst] *= 1.0 - LABEL_SMOOTHING
    for i, k in enumerate(collapsed):
        resp[k, worst[i :: len(collapsed)]] += LABEL_SMOOTHING
    resp = _restrict(model, resp, rows)
    params = params_from_responsibilities(model, rows, resp, N_INITIAL_M_STEPS)
    on_iteration = partial(_without_resume_state, monitor)
    return _run_em(problem, EMStart(params), problem.max_iter, N_PLAIN_ITER, on_iteration)


def _restrict(model: MixtureModel, resp: Array, rows: Dataset) -> Array:
    """Responsibilities, of rows or units, that are zero where an expert cannot have made y."""
    if rows.units is None:
        return model.experts.restrict(resp, rows.y)
    return _of_units(model, rows.row_responsibilities(resp), rows)


def _of_units(model: MixtureModel, resp: Array, rows: Dataset) -> Array:
    """Responsibilities (K, U) of units, from those of their rows, (K, n).

    An expert that cannot have made one of the rows of a unit has not made the unit.
    """
    units = rows.units
    assert units is not None
    possible = model.experts.restrict(np.ones_like(resp), rows.y) > 0.0
    every_row = np.minimum.reduceat(possible, units.starts, axis=1)
    mean = units.sum_rows(resp * rows.weight) / rows.unit_weight
    mean = (mean + TINY**0.5) * every_row
    return mean / np.maximum(mean.sum(axis=0), TINY)


def _rows_in_memory(problem: EMProblem) -> Dataset:
    return problem.rows if isinstance(problem.rows, Dataset) else problem.init_data.rows


def _block_posteriors(problem: EMProblem, run: EMResult) -> Iterator[tuple[Array, Array]]:
    """Responsibilities and log densities of the rows or units in memory, block by block."""
    for block in split_into_blocks(_rows_in_memory(problem)):
        yield posterior(problem.model, log_joint(problem.model, run.params, block)[1])


def _collapsed_experts(problem: EMProblem, run: EMResult) -> Array:
    """Indices of the experts that have lost nearly all rows."""
    if not problem.model.experts.can_collapse:
        return np.zeros(0, dtype=int)
    blocks = split_into_blocks(_rows_in_memory(problem))
    posteriors = zip(_block_posteriors(problem, run), blocks, strict=True)
    mass = np.sum([resp @ block.unit_weight for (resp, _), block in posteriors], axis=0)
    return np.flatnonzero(is_collapsed(mass))


def _without_resume_state(monitor: Monitor, n_iter: int, run: EMResult) -> bool:
    """Monitor of a re-initialisation, which cannot be resumed because it may be discarded."""
    return monitor(n_iter, run._replace(resume_state=None))


def is_collapsed(responsibility_mass: Array) -> Array:
    """Which experts have lost nearly all rows, from their summed responsibilities (K,)."""
    total = responsibility_mass.sum()
    return (responsibility_mass < MIN_EXPERT_WEIGHT) | (
        responsibility_mass < MIN_WEIGHT_FRACTION * total
    )


def _run_em(
    problem: EMProblem,
    start: EMStart,
    max_iter: int,
    n_plain_iter: int,
    on_iteration: OnIteration,
) -> EMResult:
    in_memory = problem.model.experts.needs_all_rows
    if in_memory:
        n_plain_iter = problem.max_iter  # fitted estimators cannot be extrapolated
    options = EMOptions(max_iter, problem.tol, n_plain_iter, problem.n_threads)
    blocks = split_into_blocks(problem.rows)
    run = run_em(problem.model, blocks, start, options, on_iteration)
    # A resume state would contain fitted estimators, which can be large.
    return run._replace(resume_state=None) if in_memory else run
