"""Multiple starts: short runs of EM from each start, longer ones from the best [1]_.

Successive halving [2]_: after each round the worse half of the runs is dropped, and the others get
twice as many iterations. The lower bound after a few iterations predicts the final one poorly.

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
from typing import NamedTuple

import numpy as np
from joblib import effective_n_jobs
from sklearn.utils.parallel import Parallel, delayed

from skmoe._data.rows import Dataset, split_into_blocks
from skmoe._mixture.em import (
    EMProblem,
    EMResult,
    EMStart,
    Monitor,
    run_em_of_problem,
    without_resume_state,
)
from skmoe._mixture.initialization import (
    INITIALIZERS,
    LABEL_SMOOTHING,
    init_schedule,
    responsibilities_of_units,
    smooth_labels,
    unit_features,
)
from skmoe._mixture.model import MixtureModel, Params, log_joint, posterior, responsibilities
from skmoe._mixture.penalties import FINAL_ROUND, SearchStage, run_with_evidence
from skmoe._mixture.steps import params_from_responsibilities
from skmoe._numerics.probability import is_collapsed
from skmoe._numerics.typing import Array
from skmoe.gates._averaged import AveragedGate, AverageParams

# M-steps from the responsibilities of an initializer.
N_INITIAL_M_STEPS = 5

# Maximum number of re-initialisations of collapsed experts.
MAX_REINITIALIZATIONS = 2

# Iterations of the first round, all of them without extrapolation: of parametric experts, and of
# experts that need all rows, such as estimators, whose iterations are expensive.
N_ITER_FIRST_ROUND = {False: 15, True: 4}

# Factor of the penalties of starts that are averaged, by tests/benchmarks/evidence.py: an average
# has less variance than each of its starts.
AVERAGE_RELAXATION = 0.25


class StartJob(NamedTuple):
    """One of several starts, and its observer."""

    init_name: str
    is_first: bool
    is_repeated: bool  # whether an earlier start has the same initializer
    seed: np.random.SeedSequence
    monitor: Monitor


def fit_starts(
    problem: EMProblem,
    combine: str,
    start_monitors: Sequence[Monitor],
    monitor: Monitor,
    n_jobs: int | None,
) -> tuple[EMResult, list[EMResult]]:
    """Result of the best start on all rows, and that of every start when it ended or was dropped.

    By the estimator's `combine` starts are compared on the rows for the initialisation ("best"), or
    each is run to convergence ("best_converged", "average"). Jobs run them in parallel, and then,
    as threads, the row blocks of the final run of "best".
    """
    on_all_rows = problem._replace(n_threads=effective_n_jobs(n_jobs))
    if not isinstance(problem.init, str):
        params = problem.init
        if isinstance(params, np.ndarray):
            resp = restricted(problem.model, params, problem.rows)
            params = params_from_responsibilities(
                problem.model, problem.rows, resp, N_INITIAL_M_STEPS
            )
        state, model = problem.resume_state, problem.previous_model
        start = EMStart(params, problem.previous_lower_bounds, state, model)
        monitor.start()
        run = run_to_convergence(on_all_rows, start, monitor)
        monitor.end(run)
        return run, [run]
    names = init_schedule(problem.init, problem.model.n_experts, len(problem.seeds))
    of_starts = zip(names, problem.seeds, start_monitors, strict=True)
    jobs = [
        StartJob(name, i == 0, name in names[:i], seed, start_monitor)
        for i, (name, seed, start_monitor) in enumerate(of_starts)
    ]
    # Experts that are estimators use the jobs for their own fits.
    workers = Parallel(n_jobs=None if problem.model.experts.needs_all_rows else n_jobs)
    if combine == "best":
        runs = _successive_halving(problem._replace(rows=problem.init_data.rows), jobs, workers)
        best = max(runs, key=lambda run: run.lower_bound)
        finished = problem.rows is problem.init_data.rows and not _can_continue(problem, best)
        if finished and problem.penalties:  # their search has not begun
            best = best._replace(converged=False)
        if not finished or len(collapsed_experts(problem, best)):
            monitor.start()
            best = _continue_on_all_rows(on_all_rows, best, monitor)
            monitor.end(best)
        return best, runs
    own = problem._replace(relaxation=AVERAGE_RELAXATION)
    if combine == "best_converged":
        # Starts are compared at the same penalties: a search for others continues the best one.
        own = problem._replace(penalties=())
    runs = workers(delayed(_full_run)(own, job) for job in jobs)
    best = max(runs, key=lambda run: run.lower_bound)
    if combine == "best_converged" and problem.penalties:
        if not _has_iterations_left(problem, best):
            return best._replace(converged=False), runs
        monitor.start()
        best = run_to_convergence(problem, best.continuation, monitor)
        monitor.end(best)
    return best, runs


# --- one start --------------------------------------------------------------------------------


def _successive_halving(
    problem: EMProblem, jobs: Sequence[StartJob], workers: Parallel
) -> list[EMResult]:
    """Run all starts, then the better half with twice as many iterations, until two are left."""
    for job in jobs:
        job.monitor.start()
    runs = workers(delayed(_first_round)(problem, job) for job in jobs)
    n_iter, n_candidates = N_ITER_FIRST_ROUND[problem.model.experts.needs_all_rows], len(runs)
    while n_candidates > 2:
        n_iter, n_candidates = 2 * n_iter, (n_candidates + 1) // 2
        order = np.argsort([-run.lower_bound for run in runs], kind="stable")[:n_candidates]
        longer = workers(
            delayed(_next_round)(problem, runs[i], n_iter, jobs[i].monitor) for i in order
        )
        for i, run in zip(order, longer, strict=True):
            runs[i] = run
    for job, run in zip(jobs, runs, strict=True):
        job.monitor.end(run)
    return runs


def _first_round(problem: EMProblem, job: StartJob) -> EMResult:
    """Initialise, and run a few EM iterations."""
    rng = np.random.default_rng(job.seed)
    rows, X, Y, _ = problem.init_data
    weight = rows.weight
    if rows.units is not None:
        X, Y, weight = unit_features(problem.init_data)
    experts, n_experts = problem.model.experts, problem.model.n_experts
    n_cells = experts.n_cells(n_experts)
    if job.is_repeated:  # a Bayesian bootstrap, so that the initializer gives another partition
        weight = weight * rng.exponential(size=len(weight))
    labels = smooth_labels(INITIALIZERS[job.init_name](X, Y, weight, n_cells, rng), n_cells)
    resp = rows.row_responsibilities(labels)
    resp = experts.initial_responsibilities(resp, n_experts, rows.y, None if job.is_first else rng)
    resp = resp if rows.units is None else responsibilities_of_units(experts, resp, rows)
    params = params_from_responsibilities(problem.model, rows, resp, N_INITIAL_M_STEPS)
    n_iter = N_ITER_FIRST_ROUND[experts.needs_all_rows]
    max_iter = min(n_iter, problem.max_iter)
    return run_em_of_problem(problem, EMStart(params), max_iter, job.monitor, n_plain_iter=n_iter)


def _next_round(problem: EMProblem, run: EMResult, n_iter: int, monitor: Monitor) -> EMResult:
    """Continue a run by a number of iterations."""
    if run.converged or not _has_iterations_left(problem, run):
        return run
    max_iter = min(n_iter, problem.max_iter - len(run.lower_bounds))
    return run_em_of_problem(problem, run.continuation, max_iter, monitor)


def _has_iterations_left(problem: EMProblem, run: EMResult) -> bool:
    return not run.line_search_failed and len(run.lower_bounds) < problem.max_iter


def _can_continue(problem: EMProblem, run: EMResult) -> bool:
    """Whether a run has iterations left, for convergence or the search of penalties."""
    return _has_iterations_left(problem, run) and (bool(problem.penalties) or not run.converged)


def _full_run(problem: EMProblem, job: StartJob) -> EMResult:
    """Run one start to convergence on all rows."""
    job.monitor.start()
    run = _first_round(problem._replace(rows=problem.init_data.rows), job)
    run = _continue_on_all_rows(problem, run, job.monitor)
    job.monitor.end(run)
    return run


def _continue_on_all_rows(problem: EMProblem, run: EMResult, monitor: Monitor) -> EMResult:
    """Continue a run on the rows for the initialisation to convergence on all rows."""
    if problem.rows is not problem.init_data.rows:
        params, experts = run.params, problem.model.experts
        if experts.needs_all_rows:
            params = params._replace(experts=experts.drop_training_state(params.experts))
            resp = responsibilities(problem.model, params, problem.rows)
            params = params_from_responsibilities(
                problem.model, problem.rows, resp, N_INITIAL_M_STEPS
            )
        return run_to_convergence(problem, EMStart(params), monitor)
    if not _can_continue(problem, run):
        return with_reinitialized_experts(problem, run, monitor)
    # The rows are the same, so that the previous iterations count.
    return run_to_convergence(problem, run.continuation, monitor)


def run_to_convergence(problem: EMProblem, start: EMStart, monitor: Monitor) -> EMResult:
    """Run EM to convergence, and re-initialise collapsed experts if this is an improvement."""
    if not problem.penalties:
        max_iter = problem.max_iter - len(start.lower_bounds)
        run = run_em_of_problem(problem, start, max_iter, monitor)
        return run if run.stopped else with_reinitialized_experts(problem, run, monitor)
    run = run_with_evidence(problem, start, monitor)
    if run.stopped:
        return run
    found = problem._replace(model=run.model or problem.model)
    better = with_reinitialized_experts(found, run, monitor)
    return run if better is run else SearchStage(search_round=FINAL_ROUND).of_run(better)


# --- experts that have collapsed --------------------------------------------------------------


def with_reinitialized_experts(problem: EMProblem, run: EMResult, monitor: Monitor) -> EMResult:
    """The run, or a better one after collapsed experts were re-initialised.

    They start on the rows with the lowest likelihood, and EM runs again.
    """
    model, rows = problem.model, problem.rows_in_memory
    for _ in range(MAX_REINITIALIZATIONS):
        collapsed = collapsed_experts(problem, run)
        if run.line_search_failed or not len(collapsed):
            break
        of_blocks = zip(*_block_posteriors(problem, run), strict=True)
        resp, log_density = (np.concatenate(parts, axis=-1) for parts in list(of_blocks)[:2])
        order = np.argsort(log_density, kind="stable")
        fraction = np.cumsum(rows.unit_weight[order]) / rows.weight.sum()
        worst = order[fraction <= max(len(collapsed) / len(resp), fraction[0])]
        resp[:, worst] *= 1.0 - LABEL_SMOOTHING
        for i, k in enumerate(collapsed):
            resp[k, worst[i :: len(collapsed)]] += LABEL_SMOOTHING
        resp = restricted(model, resp, rows)
        start = EMStart(params_from_responsibilities(model, rows, resp, N_INITIAL_M_STEPS))
        observer = without_resume_state(monitor)
        candidate = run_em_of_problem(problem, start, problem.max_iter, observer)
        if candidate.lower_bound <= run.lower_bound:
            break
        run = candidate
    return run


def restricted(model: MixtureModel, resp: Array, rows: Dataset) -> Array:
    """Responsibilities, of rows or units, that are zero where an expert cannot have made y."""
    if rows.units is None:
        return model.experts.restrict(resp, rows.y)
    return responsibilities_of_units(model.experts, rows.row_responsibilities(resp), rows)


def _block_posteriors(problem: EMProblem, run: EMResult) -> Iterator[tuple[Array, Array, Array]]:
    """Responsibilities, log densities and weights of the rows or units in memory, by block."""
    for block in split_into_blocks(problem.rows_in_memory):
        joint = log_joint(problem.model, run.params, block)[1]
        yield *posterior(joint, problem.model.top_k), block.unit_weight


def collapsed_experts(problem: EMProblem, run: EMResult) -> Array:
    """Indices of the experts that have lost nearly all rows."""
    if not problem.model.experts.can_collapse:
        return np.zeros(0, dtype=int)
    posteriors = _block_posteriors(problem, run)
    mass = np.sum([resp @ weight for resp, _, weight in posteriors], axis=0)
    return np.flatnonzero(is_collapsed(mass))


# --- averages of starts -----------------------------------------------------------------------


def average_starts(
    model: MixtureModel, start_params: Sequence[Params]
) -> tuple[MixtureModel, Params]:
    """Model and parameters of the average of several fits of one model.

    It is a mixture of the experts of all of them. Predictive densities are averaged, not
    parameters, so that the experts of different starts need not correspond to each other.
    """
    n_starts = len(start_params)
    experts, expert_params = model.experts.concatenate([params.experts for params in start_params])
    gate = AveragedGate(model.gate, model.top_k)
    top_k = None if model.top_k is None else n_starts * model.top_k
    params = Params(AverageParams(tuple(params.gate for params in start_params)), expert_params)
    return MixtureModel(gate, experts, n_starts * model.n_experts, top_k, model.balance), params
