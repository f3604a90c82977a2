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

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from joblib import effective_n_jobs
from sklearn.utils.parallel import Parallel, delayed

from skmoe._data.rows import Dataset, subset_units
from skmoe._mixture.data import Data
from skmoe._mixture.em import Objective, Run, em, threads
from skmoe._mixture.evidence import search_penalties
from skmoe._mixture.mixture import Mixture
from skmoe._mixture.newton import end_at_maximum
from skmoe._mixture.partitions import LABEL_SMOOTHING, restricted, unit_features
from skmoe._mixture.problem import Maximum, Monitor, Problem, blocks_of
from skmoe._mixture.starts import (
    N_ITER_FIRST_ROUND,
    SAME_LOG_LIKELIHOOD,
    Started,
    StartJob,
    first_round_of_learners,
    first_rounds,
    in_known_numbers,
    runs_side_by_side,
    start_jobs,
    theta_of,
    thetas_of,
)
from skmoe._mixture.weak_experts import spikes
from skmoe._numerics.probability import is_collapsed, log_normalise
from skmoe._numerics.typing import Array

# Starts of a search, those that go on, and those that run to convergence.
N_SCREENED = 100
N_LONGER = 12
N_TO_CONVERGENCE = 4

# Iterations of those that go on, and of candidates after a swap.
N_ITER_LONGER = 30
N_ITER_SWAPPED = 30

# Candidates of a round of swaps, those of them that run to convergence, and rounds without a
# better maximum after which a search ends.
N_SWAPS = 72
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

# What is counted if there are several searches, or one.
COUNTED_SEARCHES = "searches"
RUNS_OF_SEARCH = "runs of one search"

# Maximum number of re-initialisations of collapsed experts.
MAX_REINITIALIZATIONS = 2

# Starts in the first round for each one that goes on; half of these go on after the second one.
N_STARTS_PER_CANDIDATE = 5

# Largest share of the rows in the sample of the initialisation for which penalties are sought there
# first. With a larger one the search on all rows is as fast alone.
MAX_SAMPLE_SHARE = 0.1

# Folds of rows that are left out in turn, and starts and iterations of EM on the others.
N_FOLDS = 3
N_FOLD_STARTS = 4
N_FOLD_ITER = 30


class Found(NamedTuple):
    """The end of a fit, what its starts or searches have reached, and how they are counted."""

    run: Run
    starts: list[Run]
    maxima: tuple[Maximum, ...] = ()
    counted: str = ""
    kept: int = 0  # index of the start that the run continues


def fit_starts(
    problem: Problem,
    start_monitors: Sequence[Monitor | None],
    monitor: Monitor | None,
    n_jobs: int | None,
) -> Found:
    """The run of the best start, and every start when it ended or was dropped.

    Starts are compared on the rows for the initialisation. Jobs run them in parallel, and then, as
    threads, the row blocks of the final run.
    """
    on_all_rows = problem._replace(n_threads=effective_n_jobs(n_jobs))
    if not isinstance(problem.init, str):
        objective = problem.objective(problem.previous)
        theta = problem.init
        if theta.ndim == 2:
            resp = problem.rows.row_responsibilities(theta)
            resp = restricted(problem.mixture.experts, resp, problem.rows)
            objective, theta = begun(objective, resp, problem.rows)
        if monitor:
            monitor.start()
        run = _to_maximum(on_all_rows, objective, theta, (), monitor)
        if monitor:
            monitor.end(run)
        return Found(run, [run])
    uses_estimators = problem.mixture.experts.needs_all_rows
    # Of starts side by side only the best few go on: processes would take longer to begin.
    prefer = "threads" if problem.init != "search" else "processes"
    # Experts that are estimators use the jobs for their own fits.
    workers = Parallel(n_jobs=None if uses_estimators else n_jobs, prefer=prefer)
    on_sample = problem.on_sample()
    for start_monitor in start_monitors:
        if start_monitor:
            start_monitor.start()
    maxima: list[tuple[Maximum, ...]] = []
    if problem.init == "search" and not uses_estimators:
        searches = zip(on_sample.seeds, start_monitors, strict=True)
        runs, maxima = zip(*workers(delayed(_search)(on_sample, *own) for own in searches))
        partitions = [b""] * len(runs)
    else:
        jobs = start_jobs(problem, problem.init, problem.seeds)
        started = _successive_halving(on_sample, jobs, start_monitors, workers)
        runs, partitions = [own.run for own in started], [own.partition for own in started]
    for start_monitor, run in zip(start_monitors, runs, strict=True):
        if start_monitor:
            start_monitor.end(run)
    found = _comparison(on_sample, runs, partitions, maxima)
    if monitor:
        monitor.start()
    best = _continue_on_all_rows(on_all_rows, runs[found.kept], on_sample.rows, monitor)
    if monitor:
        monitor.end(best)
    return found._replace(run=best)


def begun(objective: Objective, resp: Array, rows: Dataset) -> tuple[Objective, Array]:
    """Objective and coefficients that begin at responsibilities of rows (K, n), or units (K, U)."""
    experts = objective.mixture.experts
    if experts.needs_all_rows:
        started: tuple[Objective, Array] = experts.started(objective, resp)
        return started
    return objective, theta_of(objective, resp, rows)


def _comparison(
    problem: Problem, runs: Sequence[Run], partitions: Sequence[bytes], maxima: Any
) -> Found:
    """The start or search that is kept, the values that they have reached, and what was counted."""
    kept = distinct_best(problem, runs, 1)[0]
    found = Found(runs[kept], [*runs], kept=kept)
    if maxima:
        if len(runs) == 1:
            return found._replace(maxima=maxima[0], counted=RUNS_OF_SEARCH)
        return found._replace(maxima=maxima_of_runs(problem, runs), counted=COUNTED_SEARCHES)
    longest = max(len(run.lower_bounds) for run in runs)
    pairs = list(zip(runs, partitions, strict=True))
    ended = [pair for pair in pairs if pair[0].converged or len(pair[0].lower_bounds) == longest]
    # Starts from equal partitions repeat each other, and count as one.
    distinct = list({own or i: run for i, (run, own) in enumerate(ended)}.values())
    tolerance = max(SAME_MAXIMUM, problem.tol * problem.rows_in_memory.weight.sum())
    counted = "different starts"
    if any(not run.converged and len(run.lower_bounds) < longest for run in runs):
        counted += f" that converged or ran longest, of {len(runs)} in all"
    maxima = maxima_of_runs(problem, distinct, tolerance)
    return found._replace(maxima=maxima, counted=counted)


def has_dispersion_at_bound(mixture: Mixture, theta: Array) -> bool:
    """Whether an expert fits its rows exactly, so that the likelihood has no maximum there."""
    return bool(mixture.experts.dispersion_at_bound(mixture.split(theta)[0]).any())


def distinct_best(problem: Problem, runs: Sequence[Run], most: int) -> list[int]:
    """Indices of the best runs, best first, without those that have reached the same lower bound.

    Runs with a dispersion at its bound come last: their likelihood has no maximum.
    """
    at_bound = [has_dispersion_at_bound(run.mixture, run.theta) for run in runs]
    order = sorted(range(len(runs)), key=lambda i: (at_bound[i], -runs[i].lower_bound))
    tol = SAME_LOG_LIKELIHOOD / problem.rows_in_memory.weight.sum()
    chosen: list[int] = []
    for i in order:
        gaps = [abs(runs[i].lower_bound - runs[j].lower_bound) for j in chosen]
        if len(chosen) < most and np.isfinite(runs[i].lower_bound) and min(gaps, default=1.0) > tol:
            chosen.append(i)
    return chosen or order[:1]


def maxima_of_runs(
    problem: Problem, runs: Sequence[Run], tolerance: float = SAME_MAXIMUM
) -> tuple[Maximum, ...]:
    """The distinct maxima that runs to convergence have reached, the best first.

    Runs with a dispersion at its bound do not count, unless there are no others.
    """
    rows = problem.rows_in_memory
    total = float(rows.weight.sum())
    found: list[Maximum] = []
    proper = [run for run in runs if not has_dispersion_at_bound(run.mixture, run.theta)]
    for run in sorted(proper or runs, key=lambda run: -run.lower_bound):
        if found and (found[-1].lower_bound - run.lower_bound) * total < tolerance:
            found[-1] = found[-1]._replace(n_times=found[-1].n_times + 1)
        else:
            data = Data(rows, run.mixture.experts.dispersion_columns)
            share = run.mixture.responsibilities(run.theta[None], data)[0][:, 0] @ rows.unit_weight
            is_spurious = bool(spikes(run.mixture, run.theta, data, rows.n_rows).any())
            is_spurious |= has_dispersion_at_bound(run.mixture, run.theta)
            smallest = float(share.min() / share.sum())
            found.append(Maximum(run.lower_bound, 1, smallest, is_spurious))
    return tuple(found)


# --- one start --------------------------------------------------------------------------------


def _successive_halving(
    problem: Problem,
    jobs: Sequence[StartJob],
    monitors: Sequence[Monitor | None],
    workers: Parallel,
) -> list[Started]:
    """Run all starts, then the best of them with twice as many iterations, until two are left."""
    uses_estimators = problem.mixture.experts.needs_all_rows
    if uses_estimators:
        first, pairs = delayed(first_round_of_learners), zip(jobs, monitors, strict=True)
        started = list(workers(first(problem, *pair) for pair in pairs))
    else:
        started = first_rounds(problem, jobs)
        for monitor, own in zip(monitors, started, strict=True):
            if monitor:
                monitor(len(own.run.lower_bounds), own.run)
    n_iter = N_ITER_FIRST_ROUND[uses_estimators]
    n_candidates, n_for_each = len(started), N_STARTS_PER_CANDIDATE
    while n_candidates > 2:
        n_iter, n_candidates = 2 * n_iter, max(-(-n_candidates // n_for_each), 2)
        n_for_each = 2
        chosen = distinct_best(problem, [own.run for own in started], n_candidates)
        next_round = delayed(_next_round)
        longer = workers(next_round(problem, started[i].run, n_iter, monitors[i]) for i in chosen)
        for i, run in zip(chosen, longer, strict=True):
            started[i] = started[i]._replace(run=run)
    return started


def _next_round(problem: Problem, run: Run, n_iter: int, monitor: Monitor | None) -> Run:
    """Continue a run by a number of iterations."""
    if run.converged or not _has_iterations_left(problem, run):
        return run
    n_iter = min(n_iter, problem.max_iter - len(run.lower_bounds))
    objective = problem.objective(run.mixture)
    bounds = run.lower_bounds
    return em(objective, run.theta, n_iter, problem.tol, monitor, lower_bounds=bounds)


def _has_iterations_left(problem: Problem, run: Run) -> bool:
    return not run.failed and len(run.lower_bounds) < problem.max_iter


def _continue_on_all_rows(
    problem: Problem, run: Run, rows: Dataset, monitor: Monitor | None
) -> Run:
    """Continue a run on some rows to convergence on all rows."""
    objective, theta = problem.objective(run.mixture), run.theta
    if problem.rows is not rows:
        if problem.mixture.experts.needs_all_rows:
            data = Data(problem.rows)
            own = run.mixture.with_part("experts", run.mixture.experts.without_training_state())
            resp = own.responsibilities(theta[None], data)[0][:, 0]
            objective, theta = begun(problem.objective(), resp, problem.rows)
        elif problem.rows.has_known:  # of which the sample may have had few
            theta = in_known_numbers(objective, theta)
        return _to_maximum(problem, objective, theta, (), monitor)
    has_ended = run.converged and not problem.penalties
    if has_ended or not _has_iterations_left(problem, run):
        if problem.penalties and run.converged:  # their search has not begun
            run = run._replace(converged=False)
        return _end(problem, objective, run, monitor)
    # The rows are the same, so that the previous iterations count.
    return _to_maximum(problem, objective, theta, run.lower_bounds, monitor)


def _to_maximum(
    problem: Problem,
    objective: Objective,
    theta: Array,
    lower_bounds: Sequence[float],
    monitor: Monitor | None,
) -> Run:
    """EM to convergence, with penalties that are found on the way, and the end at a maximum."""
    with threads(objective.blocks, _n_threads(problem)) as map_blocks:
        objective = objective._replace(map_blocks=map_blocks)
        if problem.penalties:
            run = _with_evidence(problem, objective, theta, lower_bounds, monitor)
        else:
            n_iter = problem.max_iter - len(lower_bounds)
            tol = problem.tol
            run = em(objective, theta, n_iter, tol, monitor, lower_bounds=lower_bounds)
        return run if run.stopped else _end(problem, objective, run, monitor)


# Smallest number of coefficients for which threads are used.
MIN_SIZE_FOR_THREADS = 200


def _n_threads(problem: Problem) -> int:
    is_small = problem.mixture.size < MIN_SIZE_FOR_THREADS
    return 1 if is_small or problem.mixture.experts.needs_all_rows else problem.n_threads


def _end(problem: Problem, objective: Objective, run: Run, monitor: Monitor | None) -> Run:
    """The run after collapsed experts were re-initialised, at the maximum of the likelihood."""
    objective = objective._replace(mixture=run.mixture)
    run = _with_reinitialized_experts(problem, objective, run, monitor)
    if not problem.ends_at_maximum:
        return run
    return end_at_maximum(objective, run, problem.max_iter, problem.tol, monitor)


# --- penalties that are found -----------------------------------------------------------------


def _with_evidence(
    problem: Problem,
    objective: Objective,
    theta: Array,
    lower_bounds: Sequence[float],
    monitor: Monitor | None,
) -> Run:
    """EM to convergence with penalties that are found on the way.

    The search begins with the penalties of a sample, if there is one, as few iterations on all rows
    are left then. If an observer stops it there, the run has its coefficients and penalties, and
    no iteration is made on all rows.
    """
    limits, sample = (problem.max_iter, problem.tol), problem.init_data.rows
    is_small = sample.n_rows <= MAX_SAMPLE_SHARE * problem.rows.n_rows
    is_continued = problem.previous is not None or len(lower_bounds) > 0
    arguments = problem.mixture, problem.penalties
    first = theta
    if is_small and not is_continued and not problem.mixture.experts.needs_all_rows:
        blocks = blocks_of(problem.mixture, _with_own_weight(sample))
        of_sample = objective._replace(blocks=blocks, map_blocks=None, n_rows=sample.n_rows)
        run = search_penalties(of_sample, *arguments, theta, limits, monitor and monitor.on_sample)
        objective, theta = objective._replace(mixture=run.mixture), run.theta
        if run.stopped:  # the lower bound is that of all rows
            return em(objective, theta, 0, problem.tol)._replace(stopped=True)
    run = search_penalties(objective, *arguments, theta, limits, monitor, lower_bounds)
    in_memory = isinstance(problem.rows, Dataset) and not is_small
    is_common = all(penalty.search == "auto" for penalty in problem.penalties)
    if in_memory and is_common and problem.mixture.experts.can_separate:
        return _compared_with_default(problem, objective, first, run, monitor)
    return run


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


def _compared_with_default(
    problem: Problem, objective: Objective, first: Array, run: Run, monitor: Monitor | None
) -> Run:
    """The run, or one with the default penalties if rows left out are more probable with them.

    That one begins at the first coefficients of the search, so that it is the run of default
    penalties that are given.
    """
    if not run.converged or problem.mixture.experts.needs_all_rows:
        return run
    if _gain_on_rows_left_out(problem, run.mixture) >= 0.0:
        return run
    default, n_done = objective._replace(mixture=problem.mixture), run.n_iter
    n_left = problem.max_iter - n_done
    other = em(default, first, n_left, problem.tol, monitor, n_earlier=n_done)
    return other if other.converged else run._replace(stopped=other.stopped)


def _gain_on_rows_left_out(problem: Problem, mixture: Mixture) -> float:
    """Gain of the log density of rows or units left out, by other penalties than the default ones.

    The others begin with starts of their own: the coefficients of the fit know the rows left out,
    and the more so the smaller its penalties are.
    """
    init_data, gain = problem.on_sample().init_data, 0.0
    jobs = start_jobs(problem, "auto", np.random.SeedSequence(0).spawn(N_FOLD_STARTS))
    fold = np.random.default_rng(0).permutation(len(init_data.rows.gate_weight)) % N_FOLDS
    for i in range(N_FOLDS):
        others, left_out = (init_data.part(np.flatnonzero(own)) for own in (fold != i, fold == i))
        own = problem._replace(rows=others.rows, init_data=others)
        best = max((s.run for s in first_rounds(own, jobs)), key=lambda run: run.lower_bound)
        data = Data(left_out.rows, mixture.experts.dispersion_columns)
        for one, sign in ((mixture, 1.0), (problem.mixture, -1.0)):
            run = em(own.objective(one), best.theta, N_FOLD_ITER, problem.tol)
            density = one.responsibilities(run.theta[None], data)[1][0]
            gain += sign * float(left_out.rows.gate_weight @ density)
    return gain


# --- experts that have collapsed --------------------------------------------------------------


def _with_reinitialized_experts(
    problem: Problem, objective: Objective, run: Run, monitor: Monitor | None
) -> Run:
    """The run, or a better one after collapsed experts were re-initialised.

    They start on the rows with the lowest likelihood, and EM runs again.
    """
    mixture, rows = objective.mixture, problem.rows_in_memory
    if not mixture.experts.can_collapse:
        return run
    for _ in range(MAX_REINITIALIZATIONS):
        if run.failed:
            break
        blocks = blocks_of(mixture, rows)
        of_blocks = [mixture.responsibilities(run.theta[None], data) for data in blocks]
        resp = np.concatenate([own[:, 0] for own, _ in of_blocks], axis=1)
        log_density = np.concatenate([own[0] for _, own in of_blocks])
        collapsed = np.flatnonzero(is_collapsed(resp @ rows.unit_weight))
        if not len(collapsed):
            break
        order = np.argsort(log_density, kind="stable")
        fraction = np.cumsum(rows.unit_weight[order]) / rows.weight.sum()
        worst = order[fraction <= max(len(collapsed) / len(resp), fraction[0])]
        resp[:, worst] *= 1.0 - LABEL_SMOOTHING
        for i, k in enumerate(collapsed):
            resp[k, worst[i :: len(collapsed)]] += LABEL_SMOOTHING
        resp = restricted(mixture.experts, rows.row_responsibilities(resp), rows)
        begin, theta = begun(objective._replace(blocks=blocks), resp, rows)
        again = objective._replace(mixture=begin.mixture)
        n_left, n_earlier = problem.max_iter - run.n_earlier, run.n_earlier
        candidate = em(again, theta, n_left, problem.tol, monitor, n_earlier=n_earlier)
        if candidate.lower_bound <= run.lower_bound:
            break
        run = candidate
    return run


# --- a thorough search ------------------------------------------------------------------------


def _search(
    problem: Problem, seed: np.random.SeedSequence, monitor: Monitor | None
) -> tuple[Run, tuple[Maximum, ...]]:
    """The best run of a search, and the maxima of its runs to convergence."""
    *seeds, swap_seed = seed.spawn(N_SCREENED + 1)
    objective, rows = problem.objective(), problem.rows
    runs = [own.run for own in first_rounds(problem, start_jobs(problem, "auto", seeds))]
    longer = _best_thetas(problem, runs, N_LONGER)
    runs = runs_side_by_side(objective, rows, longer, N_ITER_LONGER)
    chosen = _best_thetas(problem, runs, N_TO_CONVERGENCE)
    runs = _to_convergence(problem, objective, chosen, [], monitor)
    best, rng, n_empty_rounds = runs[0], np.random.default_rng(swap_seed), 0
    can_swap = problem.mixture.n_experts > 1
    while can_swap and n_empty_rounds < N_EMPTY_ROUNDS and not runs[-1].stopped:
        swapped = _swapped(problem, objective, best.theta, rng)
        candidates = runs_side_by_side(objective, rows, swapped, N_ITER_SWAPPED)
        candidates = _at_no_maximum(problem, candidates, runs)
        chosen = _best_thetas(problem, candidates, N_SWAPPED_TO_CONVERGENCE) if candidates else []
        runs = _to_convergence(problem, objective, chosen, runs, monitor)
        better = runs[distinct_best(problem, runs, 1)[0]]
        gain = abs(better.lower_bound - best.lower_bound) * problem.rows.weight.sum()
        n_empty_rounds = n_empty_rounds + 1 if gain < SAME_MAXIMUM else 0
        best = better
    return best, maxima_of_runs(problem, runs)


def _best_thetas(problem: Problem, runs: Sequence[Run], most: int) -> list[Array]:
    """Coefficients of the best runs, without those that are at the same point."""
    return [runs[i].theta for i in distinct_best(problem, runs, most)]


def _to_convergence(
    problem: Problem,
    objective: Objective,
    starts: Sequence[Array],
    earlier: Sequence[Run],
    monitor: Monitor | None,
) -> list[Run]:
    """Earlier runs, and those from starts, one after the other, which end at a maximum.

    For the monitor each run is one iteration of the search.
    """
    runs = list(earlier)
    for theta in starts:
        run = em(objective, theta, problem.max_iter, problem.tol)
        run, n_done = end_at_maximum(objective, run, problem.max_iter, problem.tol), len(runs) + 1
        stops = monitor is not None and n_done <= problem.max_iter and monitor(n_done, run)
        runs.append(run._replace(stopped=stops))
        if runs[-1].stopped:
            break
    return runs


def _at_no_maximum(
    problem: Problem, candidates: Sequence[Run], runs: Sequence[Run]
) -> list[Run]:
    """The candidates whose lower bound is not that of a maximum which runs have reached."""
    tolerance = SAME_MAXIMUM / problem.rows.weight.sum()
    known = np.array([run.lower_bound for run in runs])
    return [run for run in candidates if (abs(known - run.lower_bound) > tolerance).all()]


def _swapped(
    problem: Problem, objective: Objective, best: Array, rng: np.random.Generator
) -> list[Array]:
    """Coefficients after the swap of a random expert of a mixture, one for each candidate."""
    mixture, init_data = problem.mixture, problem.init_data
    data = Data(init_data.rows, mixture.experts.dispersion_columns)
    joint = mixture.log_joint(best[None], data)[:, 0]
    # By their shares: the numbers of the experts depend on round-off.
    order = np.argsort(-(log_normalise(joint)[0] @ init_data.rows.unit_weight), kind="stable")
    X = init_data.X if init_data.rows.units is None else unit_features(init_data)[0]
    numbers = [k for k in order if k in mixture.experts.with_predictor]
    swaps = [
        _swap(init_data.rows, X, joint, (rng.choice(numbers), order), rng) for _ in range(N_SWAPS)
    ]
    return thetas_of(objective, init_data.rows, swaps)


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
