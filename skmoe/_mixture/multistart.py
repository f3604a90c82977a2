"""From starts to a fit: short runs of EM from each start, longer ones from the better [1]_.

After each round the worse half of the runs is dropped and the others get twice as many iterations
[2]_: the bound after a few iterations says little of where a run ends.

References
----------
.. [1] C. Biernacki, G. Celeux and G. Govaert (2003), "Choosing starting values for the EM algorithm
   for getting the highest likelihood in multivariate Gaussian mixture models", Computational
   Statistics & Data Analysis 41, 561-575.
.. [2] K. Jamieson and A. Talwalkar (2016), "Non-stochastic best arm identification and
   hyperparameter optimization", Proceedings of AISTATS, 240-248.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from joblib import effective_n_jobs
from sklearn.utils.parallel import Parallel, delayed

from skmoe._data.rows import Dataset, split_into_blocks
from skmoe._mixture.em import EMResult, Monitor, ResumeState, run_em
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
from skmoe._numerics.typing import Array

# Iterations of the first round, all of them plain.
N_ITER_FIRST_ROUND = 15

# The same where each iteration fits estimators.
N_ITER_FIRST_ROUND_ESTIMATORS = 4

# Times that dead experts are given other rows. An expert is dead with less weight than this many
# rows, or than this share of all.
MAX_REINITIALIZATIONS = 2

MIN_EXPERT_WEIGHT = 2.0

MIN_WEIGHT_FRACTION = 1e-3

# Steps of the first M-step, from the responsibilities of a start.
N_INITIAL_M_STEPS = 5

# Plain iterations of a long run before extrapolation.
N_PLAIN_ITER = 5


class EMProblem(NamedTuple):
    """What is to be fitted, from where, and for how long."""

    model: MixtureModel
    rows: Any  # Rows, or a source of blocks of them
    init_data: InitData
    init: str | Array | Params  # a named start, responsibilities (K, n), or parameters
    seeds: list[np.random.SeedSequence]  # of the named starts
    max_iter: int
    tol: float
    n_threads: int = 1  # that share the rows of a climb
    resume_state: ResumeState | None = None  # where a climb ended that is to be gone on with
    previous_lower_bounds: Sequence[
        float
    ] = ()  # bounds of that climb that count as those of this one


def fit_best_start(
    problem: EMProblem, start_monitors: Sequence[Monitor], monitor: Monitor, n_jobs: int | None
) -> tuple[EMResult, list[list[float]]]:
    """The kept run, and the bounds of each start after each of its iterations.

    Jobs share the starts first, and then, as threads, the rows of the last climb.
    """
    problem = problem._replace(n_threads=effective_n_jobs(n_jobs))
    if isinstance(problem.init, str):
        return _search_starts(problem, problem.init, start_monitors, monitor, n_jobs)
    params = problem.init
    if isinstance(params, np.ndarray):
        params = params_from_responsibilities(
            problem.model, problem.rows, params, N_INITIAL_M_STEPS
        )
    monitor.start()
    run = _run_to_convergence(
        problem, params, problem.previous_lower_bounds, monitor, problem.resume_state
    )
    monitor.end(run)
    return run, [run.lower_bounds]


def fit_all_starts(
    problem: EMProblem, monitors: Sequence[Monitor], n_jobs: int | None
) -> list[EMResult]:
    """Runs from every start of a named kind, each until it converges."""
    init_names = init_schedule(str(problem.init), problem.model.n_experts, len(problem.seeds))
    workers = Parallel(n_jobs=None if problem.model.experts.needs_all_rows else n_jobs)
    return workers(
        delayed(_full_run)(problem, init_name, init_name in init_names[:i], seed, monitor)
        for i, (init_name, seed, monitor) in enumerate(
            zip(init_names, problem.seeds, monitors, strict=True)
        )
    )


def best_result(runs: Sequence[EMResult]) -> EMResult:
    """The run with the highest bound."""
    return runs[int(np.argmax([run.lower_bounds[-1] for run in runs]))]


def _full_run(
    problem: EMProblem,
    init_name: str,
    repeated: bool,
    seed: np.random.SeedSequence,
    monitor: Monitor,
) -> EMResult:
    monitor.start()
    run = _first_round(
        problem._replace(rows=problem.init_data.rows), init_name, repeated, seed, monitor
    )
    run = _continue_on_all_rows(problem, run, monitor)
    monitor.end(run)
    return run


def _continue_on_all_rows(problem: EMProblem, run: EMResult, monitor: Monitor) -> EMResult:
    """Climb from a run on the table until convergence on all rows."""
    if problem.rows is not problem.init_data.rows:
        return _run_to_convergence(problem, _transfer_params(problem, run.params), (), monitor)
    # The start was found on the very rows of the fit: its iterations count.
    return _run_to_convergence(problem, run.params, run.lower_bounds, monitor, run.resume_state)


def _search_starts(
    problem: EMProblem,
    init: str,
    monitors: Sequence[Monitor],
    monitor: Monitor,
    n_jobs: int | None,
) -> tuple[EMResult, list[list[float]]]:
    on_sample = problem._replace(rows=problem.init_data.rows, n_threads=1)
    for start_monitor in monitors:
        start_monitor.start()
    runs = _successive_halving(on_sample, init, monitors, n_jobs)
    for start_monitor, run in zip(monitors, runs, strict=True):
        start_monitor.end(run)
    traces = [run.lower_bounds for run in runs]
    best = best_result(runs)
    if problem.rows is problem.init_data.rows and _is_finished(problem, best):
        return best, traces
    monitor.start()
    run = _continue_on_all_rows(problem, best, monitor)
    monitor.end(run)
    return run, traces


def _successive_halving(
    problem: EMProblem, init: str, monitors: Sequence[Monitor], n_jobs: int | None
) -> list[EMResult]:
    """Run all starts, the better half of them longer, and so on until one is left."""
    init_names = init_schedule(init, problem.model.n_experts, len(problem.seeds))
    # Table experts use the jobs for their own fits.
    workers = Parallel(n_jobs=None if problem.model.experts.needs_all_rows else n_jobs)
    runs = workers(
        delayed(_first_round)(problem, init_name, init_name in init_names[:i], seed, monitor)
        for i, (init_name, seed, monitor) in enumerate(
            zip(init_names, problem.seeds, monitors, strict=True)
        )
    )
    length, n_candidates = _n_iter_first_round(problem), len(runs)
    while n_candidates > 2:
        length, n_candidates = 2 * length, (n_candidates + 1) // 2
        order = np.argsort([-run.lower_bounds[-1] for run in runs], kind="stable")[:n_candidates]
        longer = workers(delayed(_next_round)(problem, runs[i], length, monitors[i]) for i in order)
        for i, run in zip(order, longer, strict=True):
            runs[i] = run
    return runs


def _first_round(
    problem: EMProblem,
    init_name: str,
    repeated: bool,
    seed: np.random.SeedSequence,
    monitor: Monitor,
) -> EMResult:
    """Find a start on the table and climb a little from it."""
    rng = np.random.default_rng(seed)
    table = problem.init_data
    weight = bayesian_bootstrap_weights(table.rows.weight, rng) if repeated else table.rows.weight
    labels = INITIALIZERS[init_name](table.X, table.Y, weight, problem.model.n_experts, rng)
    params = params_from_responsibilities(
        problem.model, table.rows, smooth_labels(labels, problem.model.n_experts), N_INITIAL_M_STEPS
    )
    length = _n_iter_first_round(problem)
    return _run_em(problem, params, (), min(length, problem.max_iter), length, monitor)


def _n_iter_first_round(problem: EMProblem) -> int:
    return (
        N_ITER_FIRST_ROUND_ESTIMATORS
        if problem.model.experts.needs_all_rows
        else N_ITER_FIRST_ROUND
    )


def _next_round(problem: EMProblem, run: EMResult, length: int, monitor: Monitor) -> EMResult:
    """Go on with a run."""
    if _is_finished(problem, run):
        return run
    n_iter = min(length, problem.max_iter - len(run.lower_bounds))
    return _run_em(
        problem, run.params, run.lower_bounds, n_iter, N_PLAIN_ITER, monitor, run.resume_state
    )


def _is_finished(problem: EMProblem, run: EMResult) -> bool:
    return run.converged or run.line_search_failed or len(run.lower_bounds) >= problem.max_iter


def _transfer_params(problem: EMProblem, params: Params) -> Params:
    """Parameters found on the table, for all rows."""
    experts = problem.model.experts
    if not experts.needs_all_rows:
        return params
    params = params._replace(experts=experts.drop_training_state(params.experts))
    resp = responsibilities(problem.model, params, problem.rows)
    return params_from_responsibilities(problem.model, problem.rows, resp, N_INITIAL_M_STEPS)


def _run_to_convergence(
    problem: EMProblem,
    params: Params,
    previous_lower_bounds: Sequence[float],
    monitor: Monitor,
    resume_state: ResumeState | None = None,
) -> EMResult:
    """Climb until convergence, with dead experts given another chance."""
    left = problem.max_iter - len(previous_lower_bounds)
    run = _run_em(problem, params, previous_lower_bounds, left, N_PLAIN_ITER, monitor, resume_state)
    for _ in range(MAX_REINITIALIZATIONS):
        revived = _reinitialize_collapsed(problem, run, monitor)
        if revived is None or revived.lower_bounds[-1] <= run.lower_bounds[-1]:
            break
        run = revived
    return run


def _reinitialize_collapsed(problem: EMProblem, run: EMResult, monitor: Monitor) -> EMResult | None:
    """Climb anew with dead experts, if any, on the rows that are explained worst."""
    if run.line_search_failed:
        return None
    model = problem.model
    rows = problem.rows if isinstance(problem.rows, Dataset) else problem.init_data.rows
    blocks = split_into_blocks(rows)

    def look(block: Dataset) -> tuple[Array, Array]:
        return posterior(model, log_joint(model, run.params, block)[1])

    dead = np.flatnonzero(is_collapsed(np.sum([look(b)[0] @ b.weight for b in blocks], axis=0)))
    if not len(dead):
        return None
    looks = zip(*map(look, blocks), strict=True)
    resp, density = (np.concatenate(seen, axis=-1) for seen in looks)
    order = np.argsort(density, kind="stable")
    share = np.cumsum(rows.weight[order]) / rows.weight.sum()
    worst = order[share <= max(len(dead) / len(resp), share[0])]
    resp[:, worst] *= 1.0 - LABEL_SMOOTHING
    for i, k in enumerate(dead):
        resp[k, worst[i :: len(dead)]] += LABEL_SMOOTHING
    params = params_from_responsibilities(model, rows, resp, N_INITIAL_M_STEPS)
    return _run_em(
        problem, params, (), problem.max_iter, N_PLAIN_ITER, partial(_without_resume_state, monitor)
    )


def _without_resume_state(monitor: Monitor, iteration: int, run: EMResult) -> bool:
    """Nobody can go on from within a revival: it may end behind the run that it is of."""
    return monitor(iteration, run._replace(resume_state=None))


def is_collapsed(count: Array) -> Array:
    """Which experts explain next to nothing, from the weight of the rows that each explains."""
    return (count < MIN_EXPERT_WEIGHT) | (count < MIN_WEIGHT_FRACTION * count.sum())


def _run_em(
    problem: EMProblem,
    params: Params,
    previous_lower_bounds: Sequence[float],
    max_iter: int,
    n_plain: int,
    monitor: Callable[[int, EMResult], bool],
    resume_state: ResumeState | None = None,
) -> EMResult:
    in_memory = problem.model.experts.needs_all_rows
    if in_memory:
        n_plain = problem.max_iter  # fitted models cannot be extrapolated
    run = run_em(
        problem.model,
        split_into_blocks(problem.rows),
        params,
        max_iter=max_iter,
        tol=problem.tol,
        n_plain_iter=n_plain,
        on_iteration=monitor,
        previous_lower_bounds=previous_lower_bounds,
        resume_state=resume_state,
        n_threads=problem.n_threads,
    )
    return run._replace(resume_state=None) if in_memory else run  # fitted models are large
