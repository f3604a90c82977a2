"""Multiple starts: short runs of EM from each start, longer ones from the best [1]_.

Successive halving [2]_: after the first round a fifth of the runs goes on, after each further one
the better half, until two are left. Each round has twice the iterations of the one before. The
lower bound after a few iterations predicts the final one poorly.

A thorough search runs many starts of mixed kinds for a few iterations side by side; the best
distinct ones go on, and the best of these run to convergence. Then experts are swapped [3]_: one
expert of the best mixture leaves its rows to the others and starts again with other rows.
The search ends when several rounds of swaps have found nothing better.

References
----------
.. [1] C. Biernacki, G. Celeux and G. Govaert (2003), "Choosing starting values for the EM algorithm
   for getting the highest likelihood in multivariate Gaussian mixture models", Computational
   Statistics & Data Analysis 41, 561-575.
.. [2] K. Jamieson and A. Talwalkar (2016), "Non-stochastic best arm identification and
   hyperparameter optimization", Proceedings of AISTATS, 240-248.
.. [3] Q. Zhao, V. Hautamäki, I. Kärkkäinen and P. Fränti (2012), "Random swap EM algorithm for
   Gaussian mixture models", Pattern Recognition Letters 33, 2120-2126.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from sklearn.utils.parallel import Parallel, delayed

from skmoe._data.rows import Dataset, split_into_blocks
from skmoe._mixture.em import (
    EMProblem,
    EMResult,
    EMStart,
    Maximum,
    Monitor,
    params_from_responsibilities,
    run_em_of_problem,
)
from skmoe._mixture.initialization import LABEL_SMOOTHING, restricted, unit_features
from skmoe._mixture.maximum import end_at_maximum
from skmoe._mixture.model import Params, log_joint, posterior, responsibilities
from skmoe._mixture.penalties import run_with_evidence
from skmoe._mixture.side_by_side import params_of_starts, run_side_by_side
from skmoe._mixture.starts import (
    N_ITER_FIRST_ROUND,
    StartJob,
    distinct_best,
    first_rounds,
    first_rounds_side_by_side,
    in_known_numbers,
    start_jobs,
    with_predictor,
)
from skmoe._mixture.weak_experts import spikes
from skmoe._numerics.probability import is_collapsed, log_normalise
from skmoe._numerics.typing import Array

# Starts of the first round, where experts share parameters, so that starts are not side by side,
# too; those that go on, and those that run to convergence.
N_SCREENED = 100
N_SCREENED_ALONE = 40
N_LONGER = 12
N_TO_CONVERGENCE = 4

# Iterations of those that go on, and of candidates after a swap.
N_ITER_LONGER = 30
N_ITER_SWAPPED = 30

# Candidates of a round of swaps, those of them that run to convergence, and rounds without a
# better maximum after which a search ends.
N_SWAPS = 72
N_SWAPS_ALONE = 30
N_SWAPPED_TO_CONVERGENCE = 2
N_EMPTY_ROUNDS = 2

# Probabilities of the kinds of rows with which a swapped expert begins, and part of the probability
# of an expert that the gate gives it where it can see them.
SWAPS = {"few rows": 0.25, "a side": 0.45, "an expert": 0.3}
GATE_CERTAINTY = 0.9

# Range of the share of the rows with which a swapped expert begins.
SWAPPED_SHARE = (0.03, 0.5)

# Difference of log-likelihoods at the end of two runs below which they are at the same maximum.
SAME_MAXIMUM = 0.05


def search(problem: EMProblem, monitors: Sequence[Monitor], workers: Parallel) -> list[EMResult]:
    """The best run of each of as many independent searches as there are seeds."""
    searches = zip(problem.seeds, monitors, strict=True)
    return list(workers(delayed(_search)(problem, *each) for each in searches))


def _search(problem: EMProblem, seed: np.random.SeedSequence, monitor: Monitor) -> EMResult:
    slow = problem.model.experts.shares_parameters
    *seeds, swap_seed = seed.spawn((N_SCREENED_ALONE if slow else N_SCREENED) + 1)
    runs = first_rounds_side_by_side(problem, start_jobs(problem, "auto", seeds))
    runs = run_side_by_side(
        problem.model, problem.rows, _best_params(problem, runs, N_LONGER), N_ITER_LONGER
    )
    runs = _to_convergence(problem, _best_params(problem, runs, N_TO_CONVERGENCE), [], monitor)
    best, rng, n_empty_rounds = runs[0], np.random.default_rng(swap_seed), 0
    can_swap = problem.model.n_experts > 1
    while can_swap and n_empty_rounds < N_EMPTY_ROUNDS and not runs[-1].stopped:
        candidates = run_side_by_side(
            problem.model, problem.rows, _swapped(problem, best.params, rng), N_ITER_SWAPPED
        )
        candidates = _at_no_maximum(problem, candidates, runs)
        chosen = _best_params(problem, candidates, N_SWAPPED_TO_CONVERGENCE) if candidates else []
        runs = _to_convergence(problem, chosen, runs, monitor)
        better = runs[distinct_best(problem, runs, 1)[0]]
        gain = abs(better.lower_bound - best.lower_bound) * problem.rows.weight.sum()
        n_empty_rounds = n_empty_rounds + 1 if gain < SAME_MAXIMUM else 0
        best = better
    return best._replace(maxima=maxima_of_runs(problem, runs))


def _best_params(problem: EMProblem, runs: Sequence[EMResult], most: int) -> list[Params]:
    """Parameters of the best runs, without those that are at the same point."""
    return [runs[i].params for i in distinct_best(problem, runs, most)]


def _to_convergence(
    problem: EMProblem, starts: Sequence[Params], earlier: Sequence[EMResult], monitor: Monitor
) -> list[EMResult]:
    """Earlier runs, and those from starts, one after the other, which end at a maximum.

    For the monitor each run is one iteration of the search.
    """
    runs = list(earlier)
    for params in starts:
        run = run_em_of_problem(problem, EMStart(params), problem.max_iter, _go_on)
        run, n_done = end_at_maximum(problem, run, _go_on), len(runs) + 1
        runs.append(run._replace(stopped=n_done <= problem.max_iter and monitor(n_done, run)))
        if runs[-1].stopped:
            break
    return runs


def _at_no_maximum(
    problem: EMProblem, candidates: Sequence[EMResult], runs: Sequence[EMResult]
) -> list[EMResult]:
    """The candidates whose lower bound is not that of a maximum which runs have reached."""
    tolerance = SAME_MAXIMUM / problem.rows.weight.sum()
    known = np.array([run.lower_bound for run in runs])
    return [run for run in candidates if (abs(known - run.lower_bound) > tolerance).all()]


def _go_on(n_iter: int, result: EMResult) -> bool:
    """An observer that ends no run."""
    return False


def maxima_of_runs(
    problem: EMProblem, runs: Sequence[EMResult], tolerance: float = SAME_MAXIMUM
) -> tuple[Maximum, ...]:
    """The distinct maxima that runs to convergence have reached, the best first.

    Runs with a dispersion at its bound do not count, unless there are no others.
    """
    rows = problem.rows_in_memory
    total = float(rows.weight.sum())
    found: list[Maximum] = []
    proper = [run for run in runs if not problem.has_dispersion_at_bound(run.params)]
    for run in sorted(proper or runs, key=lambda run: -run.lower_bound):
        if found and (found[-1].lower_bound - run.lower_bound) * total < tolerance:
            found[-1] = found[-1]._replace(n_times=found[-1].n_times + 1)
        else:
            share = responsibilities(problem.model, run.params, rows) @ rows.unit_weight
            is_spurious = bool(spikes(problem.model, run.params, rows, rows.n_rows).any())
            is_spurious |= problem.has_dispersion_at_bound(run.params)
            smallest = float(share.min() / share.sum())
            found.append(Maximum(run.lower_bound, 1, smallest, is_spurious))
    return tuple(found)


def _swapped(problem: EMProblem, best: Params, rng: np.random.Generator) -> list[Params]:
    """Parameters after the swap of a random expert of a mixture, one for each candidate."""
    model, data = problem.model, problem.init_data
    joint = log_joint(model, best, data.rows)[1]
    # By their shares: the numbers of the experts depend on round-off.
    order = np.argsort(-(log_normalise(joint)[0] @ data.rows.unit_weight), kind="stable")
    X = data.X if data.rows.units is None else unit_features(data)[0]
    n_swaps = N_SWAPS_ALONE if model.experts.shares_parameters else N_SWAPS
    numbers = [k for k in order if k in with_predictor(model.experts, model.n_experts)]
    swaps = [_swap(data.rows, X, joint, (rng.choice(numbers), order), rng) for _ in range(n_swaps)]
    return params_of_starts(model, data.rows, *zip(*swaps, strict=True))


def _swap(
    rows: Dataset, X: Array, joint: Array, swapped: tuple[int, Array], rng: np.random.Generator
) -> tuple[Array, Array]:
    """Responsibilities for experts and gate, of which one expert has new ones.

    `swapped` is its number, and the order of all experts by their shares.

    It begins with a few random rows, or with a part of the rows of a random expert. Or it begins
    on one side of a random direction of the features, where it can have a noise of its own.
    """
    k, order = swapped
    others, own = joint.copy(), np.arange(len(joint)) == k
    others[k] = np.where(np.isfinite(np.delete(joint, k, axis=0)).any(axis=0), -np.inf, joint[k])
    resp = log_normalise(others)[0]
    share = np.exp(rng.uniform(*np.log(SWAPPED_SHARE)))
    of_gate = (1.0 - share) * resp + share * own[:, None]
    # Units count as the rows that they have on average.
    n_units, n_columns = joint.shape[1], rows.expert_design.shape[1]
    n_rows = n_units / rows.n_rows
    chosen = rng.permutation(np.flatnonzero(np.isfinite(joint[k])))
    kind = rng.choice(list(SWAPS), p=list(SWAPS.values()))
    if kind == "few rows":
        size = rng.integers(n_columns, 2 * n_columns + 2) * n_rows
    else:
        largest = n_units / (2 if kind == "a side" else 3)
        size = np.exp(
            rng.uniform(*np.log([n_columns * n_rows + 1.0, n_columns * n_rows + largest]))
        )
        score = X @ rng.normal(size=X.shape[1])
        if kind == "an expert":
            score = joint.argmax(axis=0) != rng.choice(order)
        chosen = chosen[np.argsort(score[chosen], kind="stable")]
    resp[:, chosen[: max(int(size), 1)]] = own[:, None]
    if kind == "a side":  # the gate can see these rows
        of_gate = GATE_CERTAINTY * resp + (1.0 - GATE_CERTAINTY) * resp.mean(axis=1, keepdims=True)
    return rows.row_responsibilities(resp), of_gate


# What is counted if there are several searches.
COUNTED_SEARCHES = "searches"
RUNS_OF_SEARCH = "runs of one search"

# Maximum number of re-initialisations of collapsed experts.
MAX_REINITIALIZATIONS = 2

# Starts in the first round for each one that goes on; half of these go on after the second one.
N_STARTS_PER_CANDIDATE = 5


def fit_starts(
    problem: EMProblem,
    start_monitors: Sequence[Monitor],
    monitor: Monitor,
    n_jobs: int | None,
) -> tuple[EMResult, list[EMResult]]:
    """Result of the best start, and of every start when it ended or was dropped.

    Starts are compared on the rows for the initialisation. Jobs run them in parallel, and then, as
    threads, the row blocks of the final run.
    """
    on_all_rows = problem._replace(n_threads=effective_n_jobs(n_jobs))
    if not isinstance(problem.init, str):
        params = problem.init
        if isinstance(params, np.ndarray):
            resp = problem.rows.row_responsibilities(params)
            resp = restricted(problem.model.experts, resp, problem.rows)
            params = params_from_responsibilities(problem.model, problem.rows, resp)
        monitor.start()
        start = EMStart(params, model=problem.previous_model)
        run = run_to_convergence(on_all_rows, start, monitor)
        monitor.end(run)
        return run, [run]
    uses_estimators = problem.model.experts.needs_all_rows
    # Of starts side by side only the best few go on: processes would take longer to begin.
    prefer = "threads" if problem.init != "search" else "processes"
    # Experts that are estimators use the jobs for their own fits.
    workers = Parallel(n_jobs=None if uses_estimators else n_jobs, prefer=prefer)
    on_sample = problem.on_sample()
    for start_monitor in start_monitors:
        start_monitor.start()
    if problem.init == "search" and not uses_estimators:
        runs = search(on_sample, start_monitors, workers)
    else:
        jobs = start_jobs(problem, problem.init, problem.seeds)
        runs = _successive_halving(on_sample, jobs, start_monitors, workers)
    for start_monitor, run in zip(start_monitors, runs, strict=True):
        start_monitor.end(run)
    found = _comparison(on_sample, runs)
    kept = runs[found["kept"]]
    # Of the starts their lower bounds are needed, and not all parameters, of many columns.
    runs = [run._replace(params=kept.params) for run in runs]
    monitor.start()
    best = _continue_on_all_rows(on_all_rows, kept, on_sample.rows, monitor)
    monitor.end(best)
    return best._replace(**found), runs


def _comparison(problem: EMProblem, runs: Sequence[EMResult]) -> dict[str, Any]:
    """The start or search that is kept, the values that they have reached, and what was counted."""
    found: dict[str, Any] = {"kept": distinct_best(problem, runs, 1)[0]}
    if problem.init == "search" and runs[0].maxima:
        if len(runs) == 1:
            return found | {"maxima": runs[0].maxima, "counted": RUNS_OF_SEARCH}
        return found | {"maxima": maxima_of_runs(problem, runs), "counted": COUNTED_SEARCHES}
    longest = max(len(run.lower_bounds) for run in runs)
    ended = [run for run in runs if run.converged or len(run.lower_bounds) == longest]
    # Starts from equal partitions repeat each other, and count as one.
    ended = list({run.partition or i: run for i, run in enumerate(ended)}.values())
    tolerance = max(SAME_MAXIMUM, problem.tol * problem.rows_in_memory.weight.sum())
    counted = "different starts"
    if any(not run.converged and len(run.lower_bounds) < longest for run in runs):
        counted += f" that converged or ran longest, of {len(runs)} in all"
    return found | {"maxima": maxima_of_runs(problem, ended, tolerance), "counted": counted}


# --- one start --------------------------------------------------------------------------------


def _successive_halving(
    problem: EMProblem,
    jobs: Sequence[StartJob],
    monitors: Sequence[Monitor],
    workers: Parallel,
) -> list[EMResult]:
    """Run all starts, then the best of them with twice as many iterations, until two are left."""
    runs = first_rounds(problem, jobs, monitors, workers)
    n_iter = N_ITER_FIRST_ROUND[problem.model.experts.needs_all_rows]
    n_candidates, n_for_each = len(runs), N_STARTS_PER_CANDIDATE
    while n_candidates > 2:
        n_iter, n_candidates = 2 * n_iter, max(-(-n_candidates // n_for_each), 2)
        n_for_each = 2
        chosen = distinct_best(problem, runs, n_candidates)
        next_round = delayed(_next_round)
        longer = workers(next_round(problem, runs[i], n_iter, monitors[i]) for i in chosen)
        for i, run in zip(chosen, longer, strict=True):
            runs[i] = run._replace(partition=runs[i].partition)
    return runs


def _next_round(problem: EMProblem, run: EMResult, n_iter: int, monitor: Monitor) -> EMResult:
    """Continue a run by a number of iterations."""
    if run.converged or not _has_iterations_left(problem, run):
        return run
    max_iter = min(n_iter, problem.max_iter - len(run.lower_bounds))
    return run_em_of_problem(problem, run.continuation, max_iter, monitor)


def _has_iterations_left(problem: EMProblem, run: EMResult) -> bool:
    return not run.line_search_failed and len(run.lower_bounds) < problem.max_iter


def _continue_on_all_rows(
    problem: EMProblem, run: EMResult, rows: Dataset, monitor: Monitor
) -> EMResult:
    """Continue a run on some rows to convergence on all rows."""
    if problem.rows is not rows:
        params, experts = run.params, problem.model.experts
        if experts.needs_all_rows:
            params = params._replace(experts=experts.drop_training_state(params.experts))
            resp = responsibilities(problem.model, params, problem.rows)
            params = params_from_responsibilities(problem.model, problem.rows, resp)
        elif problem.rows.has_known:  # of which the sample may have had few
            blocks = split_into_blocks(problem.rows)
            params = in_known_numbers(problem.model, params, blocks)
        return run_to_convergence(problem, EMStart(params), monitor)
    has_ended = run.converged and not problem.penalties
    if has_ended or not _has_iterations_left(problem, run):
        if problem.penalties and run.converged:  # their search has not begun
            run = run._replace(converged=False)
        return end_at_maximum(problem, with_reinitialized_experts(problem, run, monitor), monitor)
    # The rows are the same, so that the previous iterations count.
    return run_to_convergence(problem, run.continuation, monitor)


def run_to_convergence(problem: EMProblem, start: EMStart, monitor: Monitor) -> EMResult:
    """Run EM to convergence, and re-initialise collapsed experts if this is an improvement."""
    if not problem.penalties:
        max_iter = problem.max_iter - len(start.lower_bounds)
        run = run_em_of_problem(problem, start, max_iter, monitor)
        if run.stopped:
            return run
        return end_at_maximum(problem, with_reinitialized_experts(problem, run, monitor), monitor)
    run = run_with_evidence(problem, start, monitor)
    if run.stopped:
        return run
    found = problem._replace(model=run.model or problem.model)
    return end_at_maximum(found, with_reinitialized_experts(found, run, monitor), monitor)


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
        resp = restricted(model.experts, rows.row_responsibilities(resp), rows)
        start = EMStart(params_from_responsibilities(model, rows, resp))
        candidate = run_em_of_problem(problem, start, problem.max_iter, monitor)
        if candidate.lower_bound <= run.lower_bound:
            break
        run = candidate
    return run


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
