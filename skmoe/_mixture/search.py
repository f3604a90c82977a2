"""A thorough search for the best maximum: many short runs, few long ones, then random swaps.

Many starts of mixed kinds are run for a few iterations side by side; the best distinct ones go on,
and the best of these run to convergence. Then experts are swapped [1]_: one expert of the best
mixture leaves its rows to the others and starts again with a few random ones. The search ends when
several rounds of swaps have found nothing better.

References
----------
.. [1] Q. Zhao, V. Hautamäki, I. Kärkkäinen and P. Fränti (2012), "Random swap EM algorithm for
   Gaussian mixture models", Pattern Recognition Letters 33, 2120-2126.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.utils.parallel import Parallel, delayed

from skmoe._mixture.em import EMProblem, EMResult, EMStart, Maximum, Monitor, run_em_of_problem
from skmoe._mixture.maximum import end_at_maximum
from skmoe._mixture.model import Params, log_joint, responsibilities
from skmoe._mixture.side_by_side import params_of_starts, run_side_by_side
from skmoe._mixture.starts import (
    distinct_best,
    first_rounds_side_by_side,
    start_jobs,
    with_predictor,
)
from skmoe._numerics.probability import log_normalise
from skmoe._numerics.typing import Array

# Starts of the first round, where experts share parameters, so that starts are not side by side,
# too; those that go on, and those that run to convergence.
N_SCREENED = 200
N_SCREENED_ALONE = 60
N_LONGER = 20
N_TO_CONVERGENCE = 5

# Iterations of those that go on, and of candidates after a swap.
N_ITER_LONGER = 45
N_ITER_SWAPPED = 15

# Candidates of a round of swaps, those of them that run to convergence, and rounds without a
# better maximum after which a search ends.
N_SWAPS = 40
N_SWAPPED_TO_CONVERGENCE = 3
N_EMPTY_ROUNDS = 2

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
        chosen = _best_params(problem, candidates, N_SWAPPED_TO_CONVERGENCE)
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
            found.append(Maximum(run.lower_bound, 1, float(share.min() / share.sum())))
    return tuple(found)


def _swapped(problem: EMProblem, best: Params, rng: np.random.Generator) -> list[Params]:
    """Parameters after the swap of a random expert of a mixture, one for each candidate."""
    model, rows = problem.model, problem.init_data.rows
    joint = log_joint(model, best, rows)[1]
    numbers = with_predictor(model.experts, model.n_experts)
    swaps = [_swap(problem, joint, int(rng.choice(numbers)), rng) for _ in range(N_SWAPS)]
    return params_of_starts(model, rows, *zip(*swaps, strict=True))


def _swap(
    problem: EMProblem, joint: Array, k: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Responsibilities for experts and gate, of which expert k has new ones."""
    rows, n_units = problem.init_data.rows, joint.shape[1]
    n_columns = rows.expert_design.shape[1]
    others = joint.copy()
    others[k] = np.where(np.isfinite(np.delete(joint, k, axis=0)).any(axis=0), -np.inf, joint[k])
    resp = log_normalise(others)[0]
    size = rng.integers(n_columns, 2 * n_columns + 2) * n_units // rows.n_rows
    possible = np.flatnonzero(np.isfinite(joint[k]))
    chosen = rng.permutation(possible)[: max(size, 1)]
    share = np.exp(rng.uniform(*np.log(SWAPPED_SHARE)))
    own = np.arange(len(joint)) == k
    of_gate = (1.0 - share) * resp + share * own[:, None]
    resp[:, chosen] = own[:, None]
    return rows.row_responsibilities(resp), of_gate
