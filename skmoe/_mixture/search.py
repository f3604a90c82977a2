"""Multiple starts: short runs of EM from each start, longer ones from the best [1]_.

Successive halving [2]_: after the first iterations a quarter of the runs goes on, at most eight,
and then two. Each of them has twice the iterations that it had before. The lower bound after a few
iterations predicts the final one poorly, so that very many starts have more of them.

A thorough search runs many starts of mixed kinds side by side, and the best distinct ones to
convergence. Then experts are swapped [3]_: one expert of the best mixture leaves its rows to the
others and starts again with other rows. The best mixtures also restart [4]_: random weights of the
rows lead away from a poor maximum, and the given ones back to it, or to a better one. The search
ends when several rounds have found nothing better.

References
----------
.. [1] C. Biernacki, G. Celeux and G. Govaert (2003), "Choosing starting values for the EM algorithm
   for getting the highest likelihood in multivariate Gaussian mixture models", Computational
   Statistics & Data Analysis 41, 561-575.
.. [2] K. Jamieson and A. Talwalkar (2016), "Non-stochastic best arm identification and
   hyperparameter optimization", Proceedings of AISTATS, 240-248.
.. [3] Q. Zhao, V. Hautamäki, I. Kärkkäinen and P. Fränti (2012), "Random swap EM algorithm for
   Gaussian mixture models", Pattern Recognition Letters 33, 2120-2126.
.. [4] S. N. Wood (2001), "Minimizing model fitting objectives that contain spurious local minima by
   bootstrap restarting", Biometrics 57, 240-244.
.. [5] M. A. T. Figueiredo and A. K. Jain (2002), "Unsupervised learning of finite mixture models",
   IEEE Transactions on Pattern Analysis and Machine Intelligence 24, 381-396.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
from joblib import effective_n_jobs
from sklearn.utils.parallel import Parallel, delayed

from skmoe._data.rows import Dataset
from skmoe._mixture import starts as first_starts
from skmoe._mixture.em import Objective, Pace, Run, em, threads
from skmoe._mixture.evidence import (
    FINAL_FACTOR,
    MAX_FINAL_RUNS,
    search_penalties,
    updated_penalties,
)
from skmoe._mixture.fitted import MORE_ROWS, ROWS_PER_COEFFICIENT_OF_SPIKE, spikes
from skmoe._mixture.information import MAX_AGE_OF_SAMPLE, end_at_maximum, has_newton_steps
from skmoe._mixture.mixture import Data, Mixture
from skmoe._mixture.partitions import LABEL_SMOOTHING
from skmoe._mixture.starts import Problem, distinct_best
from skmoe._numerics.linalg import one_thread
from skmoe._numerics.probability import is_collapsed
from skmoe._numerics.typing import Array

# Starts of a search, and those that run to convergence.
N_SCREENED, N_TO_CONVERGENCE = 100, 4

# Candidates of a round of swaps, those of them that go on, and that run to convergence, iterations
# before they are compared, and rounds without a better maximum after which a search ends.
N_SWAPS, N_SWAPS_LONGER, N_SWAPS_ENDED = 72, 24, 4
N_ITER_SWAPPED, N_EMPTY_ROUNDS = 20, 2

# Best mixtures that restart, restarts of each, and iterations with the weights of a bootstrap.
N_PARENTS, N_RESTARTS, N_ITER_BOOTSTRAP = 3, 8, 25

# Difference of log-likelihoods at the end of two runs below which they are at the same maximum.
SAME_MAXIMUM = 0.05

# What is counted if there are several searches, or one.
COUNTED_SEARCHES = "searches"
RUNS_OF_SEARCH = "runs of one search"

# Maximum number of re-initialisations of collapsed experts.
MAX_REINITIALIZATIONS = 2

# Starts for each one that goes on after the first rounds, and the most that do so.
N_STARTS_PER_CANDIDATE, MAX_CANDIDATES = 4, 8

# Largest share of the rows in the sample of the initialisation for which fits end there first. With
# a larger one all rows are as fast alone.
MAX_SAMPLE_SHARE = 1.0 / 3.0

# How much the logs of the probabilities of experts fall that are emptied.
EMPTYING = 100.0

# Folds of rows that are left out in turn, and starts and iterations of EM on the others.
N_FOLDS, N_FOLD_STARTS, N_FOLD_ITER = 3, 4, 30


class Maximum(NamedTuple):
    """A local maximum that runs to convergence have reached."""

    lower_bound: float  # per row
    n_times: int  # runs that have reached it
    smallest_share: float  # of an expert among the rows
    is_spurious: bool = False  # whether an expert fits a few rows nearly exactly


# An observer of a run of EM, which is called after each iteration, and stops the run by True. Its
# method `on_sample` does so for iterations on a sample before the run. `start` is called before
# the first iteration, and `end` after the last one.
Monitor = Any


class Found(NamedTuple):
    """The end of a fit, what its starts or searches have reached, and how they are counted."""

    run: Run
    starts: list[Run]
    maxima: tuple[Maximum, ...] = ()
    counted: str = ""
    kept: int = 0  # index of the start that the run continues


def fit_starts(problem: Problem, n_jobs: int | None, monitors: Sequence[Monitor] = ()) -> Found:
    """The run of the best start, and every start when it ended or was dropped.

    Starts are compared on the rows for the initialisation. Jobs run them in parallel, and then, as
    threads, the row blocks of the final run. Monitors are those of the starts and of this run.
    """
    *start_monitors, monitor = monitors or [None] * (len(problem.seeds) + 1)
    rows, experts, found = problem.rows, problem.mixture.experts, None
    # Estimators may have large products, for which several threads are faster.
    with nullcontext() if experts.needs_all_rows else one_thread():
        if isinstance(problem.init, str):
            on_sample = problem.on_sample()
            # Experts that are estimators use the jobs for their own fits. Of starts side by side
            # only the best few go on: processes would take longer to begin.
            workers = Parallel(
                n_jobs=None if experts.needs_all_rows else n_jobs,
                prefer="processes" if problem.init == "search" else "threads",
            )
            for own in filter(None, start_monitors):
                own.start()
            is_search = problem.init == "search" and not experts.needs_all_rows
            compared = _searches if is_search else _successive_halving
            found = compared(on_sample, start_monitors, workers)
            for own, run in zip(start_monitors, found.starts, strict=True):
                if own:
                    own.end(run)
            objective, theta = problem.objective(found.run.mixture), found.run.theta
            # The previous iterations count if the rows are the same.
            bounds = found.run.lower_bounds if rows is on_sample.rows else []
            if not bounds and experts.needs_all_rows:
                of_run = found.run.mixture.experts.without_training_state()
                mixture = found.run.mixture.with_parts(experts=of_run)
                resp = mixture.responsibilities(theta[None], Data(rows))[0][:, 0]
                objective, theta = first_starts.begun(problem.objective(), resp, rows)
            elif not bounds and rows.has_known:  # of which the sample may have had few
                theta = first_starts.in_known_numbers(objective, theta)
        else:
            objective, theta, bounds = problem.objective(problem.previous), problem.init, []
            if theta.ndim == 2:
                objective, theta = first_starts.begun(objective, theta, rows)
        if monitor:
            monitor.start()
        objective = objective._replace(observer=monitor)
        run = _to_maximum(problem, objective, Run(theta, bounds), effective_n_jobs(n_jobs))
        if monitor:
            monitor.end(run)
    return Found(run, [run]) if found is None else found._replace(run=run)


def maxima_of_runs(
    problem: Problem, runs: Sequence[Run], tolerance: float = SAME_MAXIMUM
) -> tuple[Maximum, ...]:
    """The distinct maxima that runs to convergence have reached, the best first.

    Runs with a dispersion at its bound do not count, unless there are no others.
    """
    rows, total = problem.rows, float(problem.rows.weight.sum())
    found: list[Maximum] = []
    proper = [r for r in runs if not r.mixture.experts.dispersion_at_bound(r.theta).any()]
    for run in sorted(proper or runs, key=lambda run: -run.lower_bound):
        if found and (found[-1].lower_bound - run.lower_bound) * total < tolerance:
            found[-1] = found[-1]._replace(n_times=found[-1].n_times + 1)
        else:
            data = Data(rows, run.mixture.experts.dispersion_columns)
            share = run.mixture.responsibilities(run.theta[None], data)[0][:, 0] @ rows.unit_weight
            is_spurious = bool(spikes(run.mixture, run.theta, data, share).any())
            smallest = float(share.min() / share.sum())
            found.append(Maximum(run.lower_bound, 1, smallest, is_spurious or not proper))
    return tuple(found)


# --- one start --------------------------------------------------------------------------------


def _successive_halving(
    problem: Problem, monitors: Sequence[Monitor | None], workers: Parallel
) -> Found:
    """Run all starts, and then the best of them three times as long, until two are left."""
    started = first_starts.first_rounds(problem, monitors, workers)
    chosen = [*range(len(started))]
    while len(chosen) > 2:
        most = max(min(len(chosen) // N_STARTS_PER_CANDIDATE, MAX_CANDIDATES), 2)
        length = 3 * max(len(own.run.lower_bounds) for own in started)
        longer, chosen = [], distinct_best(problem, [own.run for own in started], most)
        for i in chosen:
            run = started[i].run
            n_iter = min(length, problem.max_iter) - len(run.lower_bounds)
            objective = problem.objective(run.mixture)._replace(observer=monitors[i])
            longer.append(delayed(em)(objective, run, n_iter, problem.tol, Pace(n_fresh=1)))
        for i, run in zip(chosen, workers(longer), strict=True):
            started[i] = started[i]._replace(run=run)
    runs, distinct = [own.run for own in started], dict[bytes, Run]()
    for i, (run, resp) in enumerate(started):
        if run.converged or i in chosen:
            # Starts from equal partitions, whatever the order of the experts, count as one.
            rounded = np.round(resp, 5).astype(np.float32)
            distinct[b"".join(sorted(row.tobytes() for row in rounded))] = run
    tolerance = max(SAME_MAXIMUM, problem.tol * problem.rows.weight.sum())
    counted = "different starts"
    if any(not run.converged and i not in chosen for i, run in enumerate(runs)):
        counted += f" that converged or ran longest, of {len(runs)} in all"
    kept = distinct_best(problem, runs, 1)[0]
    maxima = maxima_of_runs(problem, [*distinct.values()], tolerance)
    return Found(runs[kept], runs, maxima, counted, kept)


# Newton's steps take over from EM at this gain per row where the tolerance is smaller, as they
# reach any tolerance in a few steps. With a tolerance of zero EM makes all iterations.
NEWTON_TOL = 1e-4

# Smallest number of coefficients for which threads are used.
MIN_SIZE_FOR_THREADS = 200


def _to_maximum(problem: Problem, objective: Objective, begun: Run, n_threads: int) -> Run:
    """The end at a maximum: of many rows first at that of a sample, next to which theirs is.

    If an observer stops the run on the sample, it has the coefficients and penalties found there,
    and no iteration is made on all rows.
    """
    experts, rows, monitor = problem.mixture.experts, problem.init_data.rows, objective.observer
    if problem.mixture.size < MIN_SIZE_FOR_THREADS or experts.needs_all_rows:
        n_threads = 1
    has_sample = rows.n_rows <= MAX_SAMPLE_SHARE * problem.rows.n_rows
    has_sample &= not problem.previous and not experts.needs_all_rows
    if has_sample:
        # Rows of the sample have the weight of themselves, and not of the rows that are not drawn:
        # their sum is the effective number of rows (L. Kish, 1965, "Survey Sampling"), unless the
        # sum of the given weights is smaller.
        factor = min(float(rows.weight.sum() / np.square(rows.weight).sum()), 1.0)
        on_sample = problem._replace(rows=rows.take(slice(0, rows.n_apart), factor))
        of_sample = on_sample.objective()._replace(observer=monitor and monitor.on_sample)
        run = _stage(on_sample, of_sample, begun, has_sample)
        objective = objective._replace(mixture=run.mixture)
        if run.stopped:  # the lower bound is that of all rows
            return em(objective, run.theta, 0, problem.tol)._replace(stopped=True)
        begun = Run(run.theta, [], run.converged)
    with threads(objective.blocks, n_threads) if n_threads > 1 else nullcontext() as map_blocks:
        return _stage(problem, objective._replace(map_blocks=map_blocks), begun, has_sample)


def _stage(problem: Problem, objective: Objective, begun: Run, has_sample: bool) -> Run:
    """EM to convergence, with penalties that are found on the way, and the end at a maximum.

    The rows are all rows, or a sample of them. Of all rows the run begins next to the maximum if
    that of a sample is known. There Newton's steps need no EM before them.
    """
    n_iter, experts = problem.max_iter - begun.n_iter, problem.mixture.experts
    is_sample = has_sample and problem.rows.n_rows == problem.init_data.rows.n_rows
    can_end = problem.ends_at_maximum and not experts.needs_all_rows and n_iter > 0
    if can_end and 0.0 < problem.tol < NEWTON_TOL and has_newton_steps(objective):
        problem = problem._replace(tol=NEWTON_TOL)
    searches = {penalty.search for penalty in problem.penalties}
    rows, sample = problem.init_data.rows, None
    if has_sample and not is_sample and has_newton_steps(objective, rows.n_rows):
        sample = first_starts.blocks_of(problem.mixture, rows)
    is_next = sample is not None and can_end and begun.converged and problem.tol > 0.0
    # Newton's steps would not leave the bounds at which the sample has coefficients.
    is_next = is_next and not objective.mixture.at_bound(begun.theta).any()
    if is_next and "ard" not in searches:
        return _with_settled_penalties(problem, objective, begun, sample)
    if searches and n_iter > 0:
        is_trial = problem.previous is not None and not problem.ends_at_maximum
        limits, given = (problem.max_iter, problem.tol), (problem.mixture, problem.penalties)
        run = search_penalties(objective, *given, begun, limits, is_trial)
        is_compared = can_end and searches == {"auto"} and experts.can_separate
        if is_compared and isinstance(problem.rows, Dataset) and not has_sample:
            run = _compared_with_default(problem, objective, begun.theta, run)
    else:
        run = em(objective, begun, n_iter, problem.tol)
        # The search of penalties has not begun.
        run = run._replace(converged=run.converged and not searches)
    if run.stopped:
        return run
    objective = objective._replace(mixture=run.mixture)
    if experts.can_collapse and (is_sample or not has_sample):
        run = _with_reinitialized_experts(problem, objective, run)
    if is_sample and len(problem.mixture.gate_groups) == 1:
        run = _without_experts_of_few_rows(objective, run)
    if problem.ends_at_maximum:
        run = end_at_maximum(objective, run, problem.max_iter, problem.tol, sample)
    return run


# --- penalties that are found -----------------------------------------------------------------


def _with_settled_penalties(problem: Problem, objective: Objective, begun: Run, sample: Any) -> Run:
    """Newton's steps, and again with the penalties that the coefficients want where they end.

    The log evidence that counts is, in all, that of a search on the sample.
    """
    run, size = begun._replace(mixture=objective.mixture), problem.init_data.rows.n_rows
    for n_left in reversed(range(2 * MAX_FINAL_RUNS)):
        n_done = run.n_iter
        run = end_at_maximum(objective, run, problem.max_iter, problem.tol, sample)
        if run.n_iter - n_done > MAX_AGE_OF_SAMPLE:  # the information of all rows was needed
            sample = objective.blocks
        if not (n_left and problem.penalties and run.converged) or run.stopped:
            break
        reached = objective.at(run.theta[None])
        update = updated_penalties(problem.penalties, problem.mixture, reached)
        if update.factor < FINAL_FACTOR or abs(update.gain) < problem.tol * size / objective.n_rows:
            break
        objective = objective._replace(mixture=update.mixture)
        theta = update.mixture.bounded(run.theta[None])[0]
        run = Run(theta, [], True, mixture=update.mixture, n_earlier=run.n_iter)
    return run


def _compared_with_default(problem: Problem, objective: Objective, first: Array, run: Run) -> Run:
    """The run, or one with the default penalties if rows left out are more probable with them.

    That one begins at the first coefficients of the search, so that it is the run of default
    penalties that are given.
    """
    is_kept = not run.converged or problem.rows.n_apart < N_FOLDS
    if is_kept or _gain_on_rows_left_out(problem, run.mixture) >= 0.0:
        return run
    default, n_left = objective._replace(mixture=problem.mixture), problem.max_iter - run.n_iter
    other = em(default, Run(first, [], n_earlier=run.n_iter), n_left, problem.tol)
    return other if other.converged else run._replace(stopped=other.stopped)


def _gain_on_rows_left_out(problem: Problem, mixture: Mixture) -> float:
    """Gain of the log density of rows or units left out, by other penalties than the default ones.

    The others begin with starts of their own: the coefficients of the fit know the rows left out,
    and the more so the smaller its penalties are.
    """
    init_data, gain = problem.on_sample().init_data, 0.0
    seeds = np.random.SeedSequence(0).spawn(N_FOLD_STARTS)
    fold = np.random.default_rng(0).permutation(init_data.rows.n_apart) % N_FOLDS
    for i in range(N_FOLDS):
        others, left_out = (init_data.part(np.flatnonzero(own)) for own in (fold != i, fold == i))
        own = problem._replace(rows=others.rows, init_data=others, init="auto", seeds=seeds)
        best = max(first_starts.first_rounds(own), key=lambda start: start.run.lower_bound).run
        data = Data(left_out.rows, mixture.experts.dispersion_columns)
        for one, sign in ((mixture, 1.0), (problem.mixture, -1.0)):
            run = em(own.objective(one), best.theta, N_FOLD_ITER, problem.tol)
            density = one.responsibilities(run.theta[None], data)[1][0]
            gain += sign * float(left_out.rows.gate_weight @ density)
    return gain


# --- experts that have collapsed --------------------------------------------------------------


def _with_reinitialized_experts(problem: Problem, objective: Objective, run: Run) -> Run:
    """The run, or a better one after collapsed experts were re-initialised.

    They start on the rows with the lowest likelihood, and EM runs again. They do not start once
    more after a gain of less than an expert has coefficients: noise gives that much [5]_.
    """
    mixture, rows = objective.mixture, problem.rows_in_memory
    least = mixture.size / (mixture.n_experts * rows.weight.sum())
    for _ in range(MAX_REINITIALIZATIONS):
        if run.failed:
            break
        blocks = first_starts.blocks_of(mixture, rows)
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
        resp[collapsed[np.arange(len(worst)) % len(collapsed)], worst] += LABEL_SMOOTHING
        started, theta = first_starts.begun(objective._replace(blocks=blocks), resp, rows)
        again = objective._replace(mixture=started.mixture)
        start = Run(theta, [], n_earlier=run.n_earlier)
        candidate = em(again, start, problem.max_iter - run.n_earlier, problem.tol)
        gain = candidate.lower_bound - run.lower_bound
        run = candidate if gain > 0.0 else run
        if gain <= least:
            break
    return run


def _without_experts_of_few_rows(objective: Objective, run: Run) -> Run:
    """The run, or one without experts for which a sample has few rows and no evidence.

    Their gain of log-likelihood is less than their number of coefficients: noise gives that much
    [5]_. On all rows they would fade, by a constant factor with each iteration.
    """
    mixture, theta = run.mixture, run.theta.copy()
    total = objective.at(theta[None], curvature=False).total
    few = ROWS_PER_COEFFICIENT_OF_SPIKE * mixture.experts.sizes + MORE_ROWS
    is_empty = total.counts[:, 0] < few
    if not is_empty.any() or is_empty.all():
        return run
    [gate] = mixture.gate_groups
    intercepts = np.stack([index[:, -1] for index in gate.index])
    theta[intercepts] -= EMPTYING * gate.family.contrasts[is_empty].sum(axis=0)[:, None]
    reached = float(objective.at(theta[None], curvature=False).lower_bound[0])
    loss = (run.lower_bound - reached) * total.weight
    emptied = run._replace(theta=theta, lower_bounds=[*run.lower_bounds[:-1], reached])
    return emptied if loss < is_empty.mean() * mixture.size else run


# --- a thorough search ------------------------------------------------------------------------


def _searches(problem: Problem, monitors: Sequence[Monitor | None], workers: Parallel) -> Found:
    """Searches from several seeds, and what they have reached; of one search what its runs have."""
    searches = zip(problem.seeds, monitors, strict=True)
    ends = workers(delayed(_search)(problem, *own) for own in searches)
    runs = [run for run, _ in ends]
    kept = distinct_best(problem, runs, 1)[0]
    if len(runs) == 1:
        return Found(runs[kept], runs, ends[0][1], RUNS_OF_SEARCH, kept)
    return Found(runs[kept], runs, maxima_of_runs(problem, runs), COUNTED_SEARCHES, kept)


def _search(
    problem: Problem, seed: np.random.SeedSequence, monitor: Monitor | None
) -> tuple[Run, tuple[Maximum, ...]]:
    """The best run of a search, and the maxima of its runs to convergence."""
    *seeds, swap_seed = seed.spawn(N_SCREENED + 1)
    objective, screened = problem.objective(), problem._replace(init="auto", seeds=seeds)
    runs = [own.run for own in first_starts.first_rounds(screened)]
    runs = _to_convergence(problem, objective, runs, N_TO_CONVERGENCE, monitor)
    best, rng, n_empty_rounds = runs[0], np.random.default_rng(swap_seed), 0
    can_swap, total = problem.mixture.n_experts > 1, problem.rows.weight.sum()
    while can_swap and n_empty_rounds < N_EMPTY_ROUNDS and not runs[-1].stopped:
        swapped = first_starts.swapped(problem, best.theta, [rng] * N_SWAPS)
        known, least = np.array([run.lower_bound for run in runs]), SAME_MAXIMUM / total
        candidates = first_starts.runs_side_by_side(objective, swapped, N_ITER_SWAPPED)
        parents = np.repeat(distinct_best(problem, runs, N_PARENTS), N_RESTARTS)
        away = [runs[i].theta for i in parents]
        away = first_starts.runs_side_by_side(objective, away, N_ITER_BOOTSTRAP, rng)
        back = [run.theta for run in away]
        candidates += first_starts.runs_side_by_side(objective, back, N_ITER_SWAPPED)
        longer = [candidates[i].theta for i in distinct_best(problem, candidates, N_SWAPS_LONGER)]
        candidates = first_starts.runs_side_by_side(objective, longer, 2 * N_ITER_SWAPPED)
        # Those at a maximum that runs have reached go nowhere.
        candidates = [run for run in candidates if (abs(known - run.lower_bound) > least).all()]
        runs += _to_convergence(problem, objective, candidates, N_SWAPS_ENDED, monitor, len(runs))
        better = runs[distinct_best(problem, runs, 1)[0]]
        gain = abs(better.lower_bound - best.lower_bound) * total
        n_empty_rounds = n_empty_rounds + 1 if gain < SAME_MAXIMUM else 0
        best = better
    return best, maxima_of_runs(problem, runs)


def _to_convergence(
    problem: Problem,
    objective: Objective,
    candidates: Sequence[Run],
    most: int,
    monitor: Monitor | None,
    n_earlier: int = 0,
) -> list[Run]:
    """Runs from the best distinct candidates, one after the other, which end at a maximum.

    For the monitor each run is one iteration of the search.
    """
    runs: list[Run] = []
    for i in distinct_best(problem, candidates, most):
        run = em(objective, candidates[i].theta, problem.max_iter, problem.tol)
        run = end_at_maximum(objective, run, problem.max_iter, problem.tol)
        n_done = n_earlier + len(runs) + 1
        stops = monitor is not None and n_done <= problem.max_iter and monitor(n_done, run)
        runs.append(run._replace(stopped=stops))
        if stops:
            break
    return runs
