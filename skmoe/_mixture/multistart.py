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
from skmoe._mixture.collapse import is_collapsed
from skmoe._mixture.em import (
    EMOptions,
    EMResult,
    EMStart,
    Monitor,
    OnIteration,
    ResumeState,
    run_em,
)
from skmoe._mixture.evidence import EvidenceSearch, run_with_evidence
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
from skmoe._mixture.unit_initialization import responsibilities_of_units, unit_features
from skmoe._numerics.typing import Array

# Iterations of the first round, all of them without extrapolation: for parametric experts, and for
# estimators, whose iterations are expensive.
N_ITER_FIRST_ROUND = 15
N_ITER_FIRST_ROUND_ESTIMATORS = 4

# Plain iterations of a long run before extrapolation.
N_PLAIN_ITER = 5

# M-steps from the responsibilities of an initializer.
N_INITIAL_M_STEPS = 5

# Maximum number of re-initialisations of collapsed experts.
MAX_REINITIALIZATIONS = 2


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
    search: EvidenceSearch = EvidenceSearch()  # of penalties


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
    run = _monitored_run(problem, start, monitor)
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
    search = problem.search if combine == "best_converged" else EvidenceSearch()
    # Starts are compared at the same penalties: a search for others continues the best one.
    own = problem._replace(search=EvidenceSearch()) if search else problem
    jobs = _start_jobs(own, problem.init, start_monitors)
    starts = _workers(own, n_jobs)(delayed(_full_run)(own, *job) for job in jobs)
    best = _best_result(starts)
    run = _monitored_run(problem, EMStart(best.params), monitor) if search else best
    return run, starts


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
    same_rows = problem.rows is problem.init_data.rows
    finished = same_rows and _is_finished(problem, best) and not problem.search
    if not finished or len(_collapsed_experts(problem, best)):
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
    if _is_finished(problem, run) and not problem.search:
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


def _monitored_run(problem: EMProblem, start: EMStart, monitor: Monitor) -> EMResult:
    monitor.start()
    run = _run_to_convergence(problem, start, monitor)
    monitor.end(run)
    return run


def _run_to_convergence(problem: EMProblem, start: EMStart, monitor: Monitor) -> EMResult:
    """Run EM to convergence, and re-initialise collapsed experts if this is an improvement."""
    if problem.search:
        run = _search_penalties(problem, start, monitor)
        problem = problem._replace(model=run.model or problem.model)
        last = _with_reinitialized_experts(problem, run, monitor)
        return last._replace(n_earlier_iter=run.n_earlier_iter)
    max_iter = problem.max_iter - len(start.lower_bounds)
    run = _run_em(problem, start, max_iter, N_PLAIN_ITER, monitor)
    return _with_reinitialized_experts(problem, run, monitor)


def _search_penalties(problem: EMProblem, start: EMStart, monitor: Monitor) -> EMResult:
    """Run EM to convergence with penalties that are found on the way."""
    blocks = split_into_blocks(problem.rows)
    to_be_continued = partial(_without_resume_state, monitor)

    def run_with(model: MixtureModel, start: EMStart, n_iter: int, is_final: bool) -> EMResult:
        if is_final:
            return _run_em(problem._replace(model=model), start, n_iter, N_PLAIN_ITER, monitor)
        options = EMOptions(n_iter, 0.0, n_iter, problem.n_threads, n_exact_iter=0)
        return run_em(model, blocks, start, options, to_be_continued)

    return run_with_evidence(
        problem.search, problem.model, blocks, start, problem.max_iter, run_with
    )


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
    return responsibilities_of_units(model.experts, rows.row_responsibilities(resp), rows)


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


def _run_em(
    problem: EMProblem,
    start: EMStart,
    max_iter: int,
    n_plain_iter: int,
    on_iteration: OnIteration,
) -> EMResult:
    in_memory = problem.model.experts.needs_all_rows
    # Fitted estimators cannot be extrapolated.
    n_plain_iter = problem.max_iter if in_memory else n_plain_iter
    options = EMOptions(max_iter, problem.tol, n_plain_iter, problem.n_threads)
    blocks = split_into_blocks(problem.rows)
    run = run_em(problem.model, blocks, start, options, on_iteration)
    # A resume state would contain fitted estimators, which can be large.
    return run._replace(resume_state=None) if in_memory else run
