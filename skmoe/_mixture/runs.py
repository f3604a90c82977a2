"""A fit as a problem, its runs of EM, and new starts of collapsed experts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from skmoe._data.rows import Dataset, split_into_blocks
from skmoe._mixture.em import (
    N_EXACT_ITER,
    EMOptions,
    EMResult,
    EMStart,
    Monitor,
    OnIteration,
    ResumeState,
    run_em,
)
from skmoe._mixture.initialization import LABEL_SMOOTHING, InitData, responsibilities_of_units
from skmoe._mixture.model import MixtureModel, Params, Penalty, log_joint, posterior
from skmoe._mixture.steps import params_from_responsibilities
from skmoe._numerics.probability import is_collapsed
from skmoe._numerics.typing import Array

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
    previous_model: MixtureModel | None = None  # of that run, if its search of penalties goes on
    penalties: tuple[Penalty, ...] = ()  # that are found by the evidence
    relaxation: float = 1.0  # factor of those of slopes in the run to convergence

    @property
    def rows_in_memory(self) -> Dataset:
        """All rows, or those of the initialisation if they are in row blocks."""
        return self.rows if isinstance(self.rows, Dataset) else self.init_data.rows


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
        yield *posterior(problem.model, joint), block.unit_weight


def collapsed_experts(problem: EMProblem, run: EMResult) -> Array:
    """Indices of the experts that have lost nearly all rows."""
    if not problem.model.experts.can_collapse:
        return np.zeros(0, dtype=int)
    posteriors = _block_posteriors(problem, run)
    mass = np.sum([resp @ weight for resp, _, weight in posteriors], axis=0)
    return np.flatnonzero(is_collapsed(mass))


def run_em_of_problem(
    problem: EMProblem,
    start: EMStart,
    max_iter: int,
    on_iteration: OnIteration,
    n_plain_iter: int = N_PLAIN_ITER,
    n_exact_iter: int = N_EXACT_ITER,
) -> EMResult:
    """Run EM. States with fitted estimators, which can be large, are not kept."""
    blocks, n_threads = split_into_blocks(problem.rows), problem.n_threads
    if not problem.model.experts.needs_all_rows:
        options = EMOptions(max_iter, problem.tol, n_plain_iter, n_threads, n_exact_iter)
        return run_em(problem.model, blocks, start, options, on_iteration)
    # Fitted estimators cannot be extrapolated.
    options = EMOptions(max_iter, problem.tol, problem.max_iter, n_threads, n_exact_iter)
    run = run_em(problem.model, blocks, start, options, without_resume_state(on_iteration))
    return run._replace(resume_state=None)


def without_resume_state(on_iteration: OnIteration) -> OnIteration:
    """Observer of a run that cannot be resumed: it may be discarded, or its state is large."""
    return lambda n_iter, run: on_iteration(n_iter, run._replace(resume_state=None))
