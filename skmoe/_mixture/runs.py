"""A run of EM to convergence, with a search of penalties and new starts of collapsed experts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from skmoe._data.rows import Dataset, split_into_blocks, subset_units
from skmoe._mixture.em import (
    EMOptions,
    EMResult,
    EMStart,
    Monitor,
    OnIteration,
    ResumeState,
    run_em,
)
from skmoe._mixture.evidence import (
    FINAL_ROUND,
    ITERATIONS_BETWEEN_UPDATES,
    EvidenceSearch,
    SearchStage,
    run_with_evidence,
)
from skmoe._mixture.initialization import LABEL_SMOOTHING, InitData
from skmoe._mixture.m_step import params_from_responsibilities
from skmoe._mixture.model import MixtureModel, Params, log_joint, posterior
from skmoe._mixture.unit_initialization import responsibilities_of_units
from skmoe._numerics.collapse import is_collapsed
from skmoe._numerics.typing import Array

# Plain iterations of a long run before extrapolation.
N_PLAIN_ITER = 5

# M-steps from the responsibilities of an initializer.
N_INITIAL_M_STEPS = 5

# Largest share of the rows in the sample of the initialisation for which penalties are sought there
# first. With a larger one the search on all rows is as fast alone.
MAX_SAMPLE_SHARE = 0.1

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
    previous_model: MixtureModel | None = None  # of that run, if its search of penalties goes on
    search: EvidenceSearch = EvidenceSearch()  # of penalties


def monitored_run(problem: EMProblem, start: EMStart, monitor: Monitor) -> EMResult:
    monitor.start()
    run = run_to_convergence(problem, start, monitor)
    monitor.end(run)
    return run


def run_to_convergence(problem: EMProblem, start: EMStart, monitor: Monitor) -> EMResult:
    """Run EM to convergence, and re-initialise collapsed experts if this is an improvement."""
    if problem.search:
        run = _search_penalties(problem, start, monitor)
        problem = problem._replace(model=run.model or problem.model)
    else:
        max_iter = problem.max_iter - len(start.lower_bounds)
        run = run_em_of_problem(problem, start, max_iter, N_PLAIN_ITER, monitor)
    if run.stopped:
        return run
    better = with_reinitialized_experts(problem, run, monitor)
    if better is run or not problem.search:
        return better
    return _in_stage(SearchStage(round=FINAL_ROUND), better)


def _search_penalties(problem: EMProblem, start: EMStart, monitor: Monitor) -> EMResult:
    """Run EM to convergence with penalties that are found on the way.

    The search begins with the penalties of a sample, if there is one, as few iterations on all rows
    are left then. If an observer stops it there, the result has its parameters and penalties, and
    no iteration is made on all rows.
    """
    is_continued = start.model is not None or len(start.lower_bounds) > 0
    if not is_continued and _has_small_sample(problem):
        search = problem.search._replace(relaxation=1.0)
        of_sample = problem._replace(rows=_with_own_weight(problem.init_data.rows), search=search)
        run = _search_on_rows(of_sample, start, monitor.on_sample)
        if run.stopped:
            found = problem._replace(model=run.model or problem.model)
            return _without_iterations(found, run.params)._replace(stopped=True)
        start = EMStart(run.params, model=run.model)
    return _search_on_rows(problem, start, monitor)


def _has_small_sample(problem: EMProblem) -> bool:
    """Whether parametric experts are initialised on few rows, where a search costs little."""
    if problem.model.experts.needs_all_rows:
        return False
    return problem.init_data.rows.n_rows <= MAX_SAMPLE_SHARE * problem.rows.n_rows


def _with_own_weight(sample: Dataset) -> Dataset:
    """A sample whose rows have the weight of themselves, and not of the rows that are not drawn.

    Their sum is the effective number of rows (L. Kish, 1965, "Survey Sampling"), unless the sum of
    the given weights is smaller.
    """
    weight = sample.weight
    factor = min(float(weight.sum() / np.square(weight).sum()), 1.0)
    if sample.units is not None:
        return subset_units(sample, np.arange(len(sample.units.starts)), factor)
    return sample._replace(weight=factor * weight)


def _without_iterations(problem: EMProblem, params: Params) -> EMResult:
    """A run that ends at its initial parameters, whose lower bound is that of all rows."""
    return run_em_of_problem(problem, EMStart(params), 0, N_PLAIN_ITER, lambda n_iter, run: True)


def _search_on_rows(problem: EMProblem, start: EMStart, monitor: OnIteration) -> EMResult:
    """Run EM with a search of penalties on the rows of the problem."""
    blocks = split_into_blocks(problem.rows)

    def run_with(model: MixtureModel, start: EMStart, n_iter: int, stage: SearchStage) -> EMResult:
        observer = partial(_observe_stage, stage, monitor)
        if stage.is_final:
            of_model = problem._replace(model=model)
            run = run_em_of_problem(of_model, start, n_iter, N_PLAIN_ITER, observer)
        else:
            n_plain_iter = max(ITERATIONS_BETWEEN_UPDATES)  # no iteration is extrapolated
            options = EMOptions(n_iter, 0.0, n_plain_iter, problem.n_threads, n_exact_iter=0)
            run = _run_em(model, blocks, start, options, observer)
        return _in_stage(stage, run)

    search = problem.search._replace(tol=problem.tol)
    return run_with_evidence(search, problem.model, blocks, start, problem.max_iter, run_with)


def with_reinitialized_experts(problem: EMProblem, run: EMResult, monitor: Monitor) -> EMResult:
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
    collapsed = collapsed_experts(problem, run)
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
    resp = restricted(model, resp, rows)
    params = params_from_responsibilities(model, rows, resp, N_INITIAL_M_STEPS)
    on_iteration = partial(_without_resume_state, monitor)
    return run_em_of_problem(problem, EMStart(params), problem.max_iter, N_PLAIN_ITER, on_iteration)


def restricted(model: MixtureModel, resp: Array, rows: Dataset) -> Array:
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


def collapsed_experts(problem: EMProblem, run: EMResult) -> Array:
    """Indices of the experts that have lost nearly all rows."""
    if not problem.model.experts.can_collapse:
        return np.zeros(0, dtype=int)
    blocks = split_into_blocks(_rows_in_memory(problem))
    posteriors = zip(_block_posteriors(problem, run), blocks, strict=True)
    mass = np.sum([resp @ block.unit_weight for (resp, _), block in posteriors], axis=0)
    return np.flatnonzero(is_collapsed(mass))


def _in_stage(stage: SearchStage, run: EMResult) -> EMResult:
    """A run that knows the stage of the search of penalties."""
    state = run.resume_state
    if state is not None:
        best = stage.best and (stage.best.model, stage.best.params, stage.best.log_evidence)
        state = state._replace(
            n_earlier_iter=stage.n_iter,
            n_earlier_runs=stage.n_runs,
            search_round=stage.round,
            best=best,
        )
    return run._replace(n_earlier_iter=stage.n_iter, resume_state=state)


def _observe_stage(stage: SearchStage, monitor: OnIteration, n_iter: int, run: EMResult) -> bool:
    """Observer of a stage; the iterations of earlier stages count."""
    return monitor(stage.n_iter + n_iter, _in_stage(stage, run))


def _without_resume_state(monitor: OnIteration, n_iter: int, run: EMResult) -> bool:
    """Observer of a run that cannot be resumed: it may be discarded, or its state is large."""
    return monitor(n_iter, run._replace(resume_state=None))


def run_em_of_problem(
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
    return _run_em(problem.model, blocks, start, options, on_iteration)


def _run_em(
    model: MixtureModel,
    blocks: Any,
    start: EMStart,
    options: EMOptions,
    on_iteration: OnIteration,
) -> EMResult:
    """Run EM. States with fitted estimators, which can be large, are not kept."""
    if not model.experts.needs_all_rows:
        return run_em(model, blocks, start, options, on_iteration)
    observer = partial(_without_resume_state, on_iteration)
    return run_em(model, blocks, start, options, observer)._replace(resume_state=None)
