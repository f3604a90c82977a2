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

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from joblib import effective_n_jobs
from sklearn.utils.parallel import Parallel, delayed

from skmoe._mixture.em import (
    EMResult,
    EMStart,
    Monitor,
)
from skmoe._mixture.evidence import EvidenceSearch
from skmoe._mixture.initialization import (
    INITIALIZERS,
    bayesian_bootstrap_weights,
    init_schedule,
    smooth_labels,
)
from skmoe._mixture.m_step import params_from_responsibilities
from skmoe._mixture.model import Params, responsibilities
from skmoe._mixture.runs import (
    N_INITIAL_M_STEPS,
    N_PLAIN_ITER,
    EMProblem,
    collapsed_experts,
    monitored_run,
    restricted,
    run_em_of_problem,
    run_to_convergence,
    with_reinitialized_experts,
)
from skmoe._mixture.unit_initialization import responsibilities_of_units, unit_features

# Iterations of the first round, all of them without extrapolation: for parametric experts, and for
# estimators, whose iterations are expensive.
N_ITER_FIRST_ROUND = 15
N_ITER_FIRST_ROUND_ESTIMATORS = 4

# Factor of the penalties of starts that are averaged, by tests/benchmarks/evidence.py: an average
# has less variance than each of its starts.
AVERAGE_RELAXATION = 0.25


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
        resp = restricted(problem.model, params, problem.rows)
        params = params_from_responsibilities(problem.model, problem.rows, resp, N_INITIAL_M_STEPS)
    start = EMStart(
        params, problem.previous_lower_bounds, problem.resume_state, problem.previous_model
    )
    run = monitored_run(problem, start, monitor)
    return run, [run]


def fit_starts(
    problem: EMProblem,
    combine: str,
    start_monitors: Sequence[Monitor],
    monitor: Monitor,
    n_jobs: int | None,
) -> tuple[EMResult, list[EMResult]]:
    """Result of the best start and that of every start, by the estimator's `combine`."""
    if combine == "best" or not isinstance(problem.init, str):
        return fit_best_start(problem, start_monitors, monitor, n_jobs)
    search, of_start = EvidenceSearch(), problem.search._replace(relaxation=AVERAGE_RELAXATION)
    if combine == "best_converged":
        # Starts are compared at the same penalties: a search for others continues the best one.
        search, of_start = problem.search, EvidenceSearch()
    own = problem._replace(search=of_start)
    jobs = _start_jobs(own, problem.init, start_monitors)
    starts = _workers(own, n_jobs)(delayed(_full_run)(own, *job) for job in jobs)
    best = _best_result(starts)
    if search:
        if not _has_iterations_left(problem, best):
            return best._replace(converged=False), starts
        best = monitored_run(problem, best.continuation, monitor)
    return best, starts


def _best_result(runs: Sequence[EMResult]) -> EMResult:
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
    best = _best_result(runs)
    finished = problem.rows is problem.init_data.rows and not _can_continue(problem, best)
    if finished and problem.search:  # which has not begun
        best = best._replace(converged=False)
    if not finished or len(collapsed_experts(problem, best)):
        monitor.start()
        best = _continue_on_all_rows(problem, best, monitor)
        monitor.end(best)
    return best, runs


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
    resp = rows.row_responsibilities(labels)
    resp = experts.initial_responsibilities(resp, n_experts, rows.y, job.shuffles(rng))
    resp = resp if rows.units is None else responsibilities_of_units(experts, resp, rows)
    params = params_from_responsibilities(problem.model, rows, resp, N_INITIAL_M_STEPS)
    n_iter = _n_iter_first_round(problem)
    return run_em_of_problem(
        problem, EMStart(params), min(n_iter, problem.max_iter), n_iter, monitor
    )


def _n_iter_first_round(problem: EMProblem) -> int:
    in_memory = problem.model.experts.needs_all_rows
    return N_ITER_FIRST_ROUND_ESTIMATORS if in_memory else N_ITER_FIRST_ROUND


def _next_round(problem: EMProblem, run: EMResult, n_iter: int, monitor: Monitor) -> EMResult:
    """Continue a run by a number of iterations."""
    if _is_finished(problem, run):
        return run
    max_iter = min(n_iter, problem.max_iter - len(run.lower_bounds))
    return run_em_of_problem(problem, run.continuation, max_iter, N_PLAIN_ITER, monitor)


def _is_finished(problem: EMProblem, run: EMResult) -> bool:
    return run.converged or not _has_iterations_left(problem, run)


def _has_iterations_left(problem: EMProblem, run: EMResult) -> bool:
    return not run.line_search_failed and len(run.lower_bounds) < problem.max_iter


def _can_continue(problem: EMProblem, run: EMResult) -> bool:
    """Whether a run has iterations left, for convergence or the search of penalties."""
    return _has_iterations_left(problem, run) and (bool(problem.search) or not run.converged)


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
        return run_to_convergence(problem, start, monitor)
    if not _can_continue(problem, run):
        return with_reinitialized_experts(problem, run, monitor)
    # The rows are the same, so that the previous iterations count.
    return run_to_convergence(problem, run.continuation, monitor)


def _transfer_params(problem: EMProblem, params: Params) -> Params:
    """Parameters for all rows, from those of the rows for the initialisation."""
    experts = problem.model.experts
    if not experts.needs_all_rows:
        return params
    params = params._replace(experts=experts.drop_training_state(params.experts))
    resp = responsibilities(problem.model, params, problem.rows)
    return params_from_responsibilities(problem.model, problem.rows, resp, N_INITIAL_M_STEPS)
