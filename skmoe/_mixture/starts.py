"""The problem of a fit, and the first iterations of EM from each start.

Labels of some rows [1]_ number the experts, and a start from regressions on these rows is often
next to the best maximum.

A local maximum often has two experts where one would do, and one where there should be two. No step
that increases the likelihood leads away from it. A swap [2]_ does. Row i has the responsibility
g_k f_k(y_i) / sum_l g_l f_l(y_i) of expert k. One expert is left out of the sum, so that its rows
go to the others, and begins again with other rows. So half of many starts are swaps of the best
one of the others, which often reach better maxima than as many more starts.

References
----------
.. [1] S. Basu, A. Banerjee and R. J. Mooney (2002), "Semi-supervised clustering by seeding",
   Proceedings of ICML, 19-26.
.. [2] Q. Zhao, V. Hautamäki, I. Kärkkäinen and P. Fränti (2012), "Random swap EM algorithm for
   Gaussian mixture models", Pattern Recognition Letters 33, 2120-2126.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.utils.parallel import delayed

from skmoe._data.rows import Dataset, split_into_blocks
from skmoe._mixture import partitions
from skmoe._mixture.em import RTOL, Objective, Run, aitken_gap, em, fitted_to, side_by_side
from skmoe._mixture.evidence import Penalty
from skmoe._mixture.mixture import Data, Mixture
from skmoe._mixture.partitions import InitData, StartJob
from skmoe._numerics.linalg import sum_over_blocks
from skmoe._numerics.probability import log_normalise
from skmoe._numerics.typing import Array

# Number of rows on which starts are compared: per coefficient, and minimum.
ROWS_PER_COEFFICIENT, MIN_ROWS_OF_STARTS = 15, 2_000

# Random number, relative to the weight of the rows, that orders cells where nothing is known.
TIE_BREAK = 1e-9

# Log density of impossible rows, where the order of experts is compared.
IMPOSSIBLE_LOG_DENSITY = -1e6

# Iterations of the first round, all of them without extrapolation: of parametric experts, and of
# experts that need all rows, such as estimators, whose iterations are expensive.
N_ITER_FIRST_ROUND = {False: 20, True: 4}

# More starts than these, as those of a search, have more iterations: the best of very many after a
# few ones is seldom the best at the end.
N_ITER_OF_MANY, MANY = 45, 99

# Steps of parametric experts are longer than those of EM by a factor: half of the iterations lead
# as far, and more of them end at good maxima.
START_STEP = 1.8

# Of more starts than these half move an expert of the best one of the others.
MAX_FEW_STARTS = 8

# Steps from the responsibilities of a start, and from given ones.
N_START_STEPS, N_GIVEN_STEPS = 4, 10

# Splits of an expert in two, of so many experts in turn. They are at most half of the starts of a
# fit, and are compared with half as many starts like those of a fit.
N_SPLITS, N_SPLIT_EXPERTS = 8, 4

# Least responsibility of rows that are divided by a split, if there are enough of them, and the
# quantile of the log density relative to which the shortfall of a row is measured.
MIN_SPLIT_RESPONSIBILITY, MIN_ROWS_TO_SPLIT, REFERENCE_QUANTILE = 0.01, 20, 0.9

# Difference of lower bounds, in units of the log-likelihood, below which two runs are at the same
# point.
SAME_LOG_LIKELIHOOD = 1e-3

# Probabilities of the kinds of rows with which a swapped expert begins, and part of the probability
# of an expert that the gate gives it where it can see them.
SWAPS, GATE_CERTAINTY = {"few rows": 0.25, "a side": 0.45, "an expert": 0.3}, 0.9

# Range of the share of the rows with which a swapped expert begins.
SWAPPED_SHARE = (0.03, 0.5)

# Twice the largest number of products of columns of a design that are kept for all iterations.
MAX_KEPT_PRODUCTS = 8_000_000

# Largest number of log densities (starts, experts, rows), and of coefficients, in memory.
MAX_NUMBERS = 400_000


class Source:
    """Blocks of rows that are read again in each pass."""

    def __init__(self, source: Any, dispersion_columns: tuple[int, ...]) -> None:
        self._source, self._columns = source, dispersion_columns

    def __iter__(self) -> Iterator[Data]:
        return (Data(rows, self._columns) for rows in self._source)

    def map_blocks(self, of_block: Any, _: Any) -> Any:
        """Results of a function of each block, or of sums where the blocks are."""
        own = partial(_of_rows, of_block, self._columns)
        return getattr(self._source, "map_blocks", map)(own, self._source)


def _of_rows(of_block: Any, columns: tuple[int, ...], rows: Dataset) -> Any:
    return of_block(Data(rows, columns))


def blocks_of(mixture: Mixture, rows: Any) -> Any:
    """Rows in memory as blocks, or a source of blocks."""
    columns = mixture.experts.dispersion_columns
    if not isinstance(rows, Dataset):
        return Source(rows, columns)
    keeps = rows.n_rows * (rows.gate_design.shape[1] + 1) ** 2 <= MAX_KEPT_PRODUCTS
    return [Data(block, columns, keeps=keeps) for block in split_into_blocks(rows)]


class Problem(NamedTuple):
    """Mixture, data, initial values and settings of a fit."""

    mixture: Mixture
    rows: Any  # a Dataset, or a source of blocks
    init_data: InitData
    # Named initialisation, responsibilities of rows (K, n) or units (K, U), or coefficients (D,).
    init: str | Array
    seeds: list[np.random.SeedSequence]  # one for each start of a named initialisation
    max_iter: int
    tol: float
    previous: Mixture | None = None  # of a warm start that goes on to search penalties
    penalties: Sequence[Penalty] = ()  # that are found by the evidence
    ends_at_maximum: bool = True  # by Newton's steps, after EM

    @property
    def rows_in_memory(self) -> Dataset:
        """All rows, or those of the initialisation if they are in row blocks."""
        return self.rows if isinstance(self.rows, Dataset) else self.init_data.rows

    def on_sample(self, most: int = sys.maxsize) -> Problem:
        """The problem on the rows, or units, on which starts are compared, and no more than some.

        Weights are increased, so that penalties have the same weight relative to the sample.
        """
        init_data, rows, size = self.init_data, self.init_data.rows, most
        if not self.mixture.experts.needs_all_rows:
            n_columns = rows.gate_design.shape[1] + rows.expert_design.shape[1]
            wanted = ROWS_PER_COEFFICIENT * self.mixture.n_experts * n_columns
            size = min(max(wanted, MIN_ROWS_OF_STARTS), most)
        if size < rows.n_rows:
            seed = self.seeds[0]  # whose own spawn would be another one the next time
            child = np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, 0))
            kept = partitions.sample_of(rows, size, np.random.default_rng(child))
            factor = rows.weight.sum() / rows.weight[rows.rows_of(kept)].sum()
            init_data = init_data.part(kept, factor)
        return self._replace(rows=init_data.rows, init_data=init_data)

    def objective(self, mixture: Mixture | None = None) -> Objective:
        """The penalised log-likelihood of the rows, with another mixture if given."""
        mixture, rows = mixture or self.mixture, self.rows
        dtype = str(rows.gate_design.dtype) if isinstance(rows, Dataset) else "float64"
        return Objective(mixture, blocks_of(mixture, rows), rtol=RTOL[dtype], n_rows=rows.n_rows)


class Started(NamedTuple):
    """The first iterations of a start, and the responsibilities (K, n) from which it came."""

    run: Run
    resp: Array


def first_rounds(
    problem: Problem, observers: Sequence[Any] = (), workers: Any = None
) -> list[Started]:
    """A few iterations of EM from each start, of parametric experts side by side."""
    mixture, rows = problem.mixture, problem.init_data.rows
    known, by_itself = rows.possible is not None, mixture.experts.needs_all_rows
    is_known = known and len(mixture.experts.with_predictor) == mixture.n_experts
    named = str(problem.init), mixture.n_experts, problem.seeds
    jobs = partitions.start_jobs(*named, partitions=by_itself, known=is_known)
    if by_itself:
        pairs = zip(jobs, observers, strict=True)
        return list(workers(delayed(_first_round_of_learners)(problem, *pair) for pair in pairs))
    objective = problem.objective()
    # One expert needs no comparison of starts.
    n_jobs, is_single = len(jobs), mixture.n_experts == 1
    n_iter = N_ITER_OF_MANY if n_jobs > MANY else N_ITER_FIRST_ROUND[False]
    n_iter = min(1 if is_single else n_iter, problem.max_iter)
    has_swaps = n_jobs > MAX_FEW_STARTS and problem.init == "auto" and not is_single
    n_swaps = n_jobs // 2 if has_swaps else 0
    resps = [start_responsibilities(problem, job) for job in jobs[: n_jobs - n_swaps]]
    runs = runs_side_by_side(objective, resps, n_iter)
    if n_swaps:
        best = runs[distinct_best(problem, runs, 1)[0]].theta
        swaps = swapped(problem, best, [*map(np.random.default_rng, problem.seeds[-n_swaps:])])
        resps, runs = resps + swaps, runs + runs_side_by_side(objective, swaps, n_iter)
    if known:
        runs = [_with_known_numbers(objective, run) for run in runs]
    for observer, run in zip(observers, runs, strict=False):
        if observer:
            observer(len(run.lower_bounds), run)
    return [
        Started(run._replace(converged=aitken_gap(run.lower_bounds) < problem.tol), resp)
        for run, (resp, _) in zip(runs, resps, strict=True)
    ]


def _first_round_of_learners(problem: Problem, job: StartJob, observer: Any) -> Started:
    """A few iterations of EM from a start whose cells are smoothed, for experts with all rows."""
    resp = start_responsibilities(problem, job)[1]
    objective = problem.objective()._replace(observer=observer)
    objective, theta = problem.mixture.experts.started(objective, resp)
    n_iter = min(N_ITER_FIRST_ROUND[True], problem.max_iter)
    return Started(em(objective, theta, n_iter, problem.tol), resp)


def runs_side_by_side(
    objective: Objective, starts: Sequence[Any], n_iter: int, rng: Any = None
) -> list[Run]:
    """Runs of a number of iterations from vectors (D,), or from responsibilities.

    These are of experts for the rows, (K, n), which may sum to less than one: the other rows do not
    count. Those for the gate are (K, n), or (K, U) of units. As many starts as fit into memory
    together are side by side. With a random generator each run has other weights of the rows, or
    units: those of a Bayesian bootstrap.
    """
    mixture = objective.mixture
    size, weights = MAX_NUMBERS // max(mixture.n_experts * objective.n_rows, mixture.size), None
    runs: list[Run] = []
    while len(runs) < len(starts):
        batch = starts[len(runs) : len(runs) + max(size, 1)]
        if isinstance(batch[0], tuple):
            of_experts, of_gate = (np.stack(own, axis=1) for own in zip(*batch, strict=True))
            thetas = np.repeat(mixture.start[None], len(batch), axis=0)
            thetas = fitted_to(objective, thetas, of_experts, of_gate, N_START_STEPS)
        else:
            thetas = np.stack(batch)
        if rng is not None:
            n_units = sum(len(data.rows.gate_weight) for data in objective.blocks)
            weights = rng.exponential(size=(len(batch), n_units))
        ends = zip(*side_by_side(objective, thetas, n_iter, 0, (START_STEP,), weights), strict=True)
        runs += [Run(theta, bounds, mixture=mixture) for theta, bounds in ends]
    return runs


def begun(objective: Objective, resp: Array, rows: Dataset) -> tuple[Objective, Array]:
    """Objective and coefficients that begin at responsibilities of rows (K, n), or units (K, U)."""
    experts = objective.mixture.experts
    if not experts.has_one_family or rows.possible is not None:
        resp = partitions.restricted(experts, rows.row_responsibilities(resp), rows)
    if experts.needs_all_rows:
        started: tuple[Objective, Array] = experts.started(objective, resp)
        return started
    of_experts = rows.row_responsibilities(resp)[:, None]
    theta = objective.mixture.start[None]
    return objective, fitted_to(objective, theta, of_experts, resp[:, None], N_GIVEN_STEPS)[0]


# --- one more expert --------------------------------------------------------------------------


def with_split_experts(problem: Problem, run: Run) -> Problem:
    """The problem that begins at a run with fewer experts, of which the worst are split in two.

    Those are split whose rows have the lowest densities, beside that of a dense row. Several of
    them, and kinds of partitions of their rows, are compared, beside starts like those of a fit.
    Estimators, which are costly, begin at the first one.
    """
    mixture, by_itself = run.mixture, problem.mixture.experts.needs_all_rows
    on_sample = problem if by_itself else problem.on_sample(MIN_ROWS_OF_STARTS)
    rows, X, Y, _ = init_data = on_sample.init_data
    weight, sizes = rows.weight, np.ones(rows.n_rows)
    if rows.units is not None:
        (X, Y, weight), sizes = partitions.unit_features(init_data), rows.units.sizes
    if by_itself:
        mixture = mixture.with_parts(experts=mixture.experts.without_training_state())
    of_run = rows
    if rows.possible is not None:
        of_run = rows._replace(possible=rows.possible[: mixture.n_experts])
    data = Data(of_run, mixture.experts.dispersion_columns)
    found, log_density = mixture.responsibilities(run.theta[None], data)
    resp, log_density = found[:, 0], log_density[0] / sizes
    shortfall = np.maximum(np.quantile(log_density, REFERENCE_QUANTILE) - log_density, 0.0)
    n_new = problem.mixture.n_experts - mixture.n_experts  # not more than there are experts
    by_shortfall = np.argsort(-(resp @ (rows.unit_weight * shortfall)), kind="stable")
    starts: list[Any] = []  # responsibilities for experts and gate
    seeds = np.random.SeedSequence(0).spawn(min(N_SPLITS, max(len(problem.seeds) // 2, 1)))
    for i, job in enumerate(partitions.start_jobs("auto", 2, seeds, partitions=False)):
        rng, of_gate = np.random.default_rng(job.seed), [*resp]
        counted = np.ones((problem.mixture.n_experts, len(weight)))
        for k in np.roll(by_shortfall, -(i % N_SPLIT_EXPERTS))[:n_new]:
            own = np.flatnonzero(resp[k] > MIN_SPLIT_RESPONSIBILITY)
            own = own if len(own) >= MIN_ROWS_TO_SPLIT else np.arange(len(weight))
            cells = partitions.initial_responsibilities(
                job.init_name, X[own], Y[:, own], (weight * resp[k])[own], 2, rng
            )
            left, share = 1.0 - cells.sum(axis=0), np.full(len(weight), 0.5)
            counted[np.array([[k], [len(of_gate)]]), own] -= left * (1.0 - 1.0 / len(left))
            share[own] = cells[0] + 0.5 * left
            of_gate[k] = resp[k] * share
            of_gate.append(resp[k] * (1.0 - share))
        stacked = np.stack(of_gate)  # for the experts, rows that are left to no cell hardly count
        if rows.possible is not None:
            stacked = partitions.restricted(
                problem.mixture.experts, rows.row_responsibilities(stacked), rows
            )
        if by_itself:
            return problem._replace(init=stacked)
        starts.append((rows.row_responsibilities(stacked * counted), stacked))
    # Of one expert splits are such starts.
    seeds = np.random.SeedSequence(0).spawn(len(starts) // 2 if mixture.n_experts > 1 else 0)
    jobs = partitions.start_jobs("auto", problem.mixture.n_experts, seeds, partitions=False)
    starts += [start_responsibilities(on_sample, job) for job in jobs]
    objective = on_sample.objective()
    runs = runs_side_by_side(objective, starts, N_ITER_FIRST_ROUND[False])
    # Under penalties the lower bound may be largest where an expert has no rows.
    weight, penalty = rows.weight.sum(), objective.mixture.penalty
    best = max(runs, key=lambda run: run.lower_bound + float(penalty(run.theta[None])[0]) / weight)
    return problem._replace(init=best.theta)


# --- one other expert ------------------------------------------------------------------------


def swapped(problem: Problem, best: Array, rngs: Sequence[Any]) -> list[tuple[Array, Array]]:
    """Responsibilities after the swap of a random expert of a mixture [2]_, for each generator.

    They are those of experts for rows and of the gate. The expert begins with a few random rows, or
    with a part of the rows of a random expert. Or it begins on one side of a random direction of
    the features, where it can have a noise of its own.
    """
    mixture, (rows, X, _, _) = problem.mixture, problem.init_data
    X = X if rows.units is None else partitions.unit_features(problem.init_data)[0]
    joint = mixture.log_joint(best[None], Data(rows, mixture.experts.dispersion_columns))[:, 0]
    # By their shares: the numbers of the experts depend on round-off.
    order = np.argsort(-(log_normalise(joint)[0] @ rows.unit_weight), kind="stable")
    numbers = [k for k in order if k in mixture.experts.with_predictor] or order
    # Units count as the rows that they have on average.
    n_units, n_columns = joint.shape[1], rows.expert_design.shape[1]
    least = n_columns * n_units / rows.n_rows
    starts = []
    for rng in rngs:
        k = rng.choice(numbers)
        others, own = joint.copy(), np.arange(len(joint)) == k
        is_possible = np.isfinite(np.delete(joint, k, axis=0)).any(axis=0)
        others[k] = np.where(is_possible, -np.inf, joint[k])
        resp = log_normalise(others)[0]
        share = np.exp(rng.uniform(*np.log(SWAPPED_SHARE)))
        of_gate = (1.0 - share) * resp + share * own[:, None]
        chosen = rng.permutation(np.flatnonzero(np.isfinite(joint[k])))
        kind = rng.choice(list(SWAPS), p=list(SWAPS.values()))
        if kind == "few rows":
            size = rng.integers(n_columns, 2 * n_columns + 2) * least / n_columns
        else:
            largest = max(n_units / (2 if kind == "a side" else 3), 1.0)
            size = np.exp(rng.uniform(*np.log([least + 1.0, least + largest])))
            score = X @ rng.normal(size=X.shape[1])
            if kind == "an expert":
                score = joint.argmax(axis=0) != rng.choice(order)
            chosen = chosen[np.argsort(score[chosen], kind="stable")]
        resp[:, chosen[: max(int(size), 1)]] = own[:, None]
        if kind == "a side":  # the gate can see these rows
            mean = resp.mean(axis=1, keepdims=True)
            of_gate = GATE_CERTAINTY * resp + (1.0 - GATE_CERTAINTY) * mean
        starts.append((resp if rows.units is None else rows.units.repeat(resp), of_gate))
    return starts


# --- known experts ----------------------------------------------------------------------------


def in_known_numbers(objective: Objective, theta: Array) -> Array:
    """Coefficients with the experts in the order in which known rows are most probable.

    Rows of which nothing is known are as probable in any order. Experts that cannot be reordered
    stay as they are.
    """
    mixture = objective.mixture
    if not mixture.can_reorder:
        return theta

    def of_block(data: Data) -> Array:
        """Log-likelihoods (K, K) of each expert on the rows of each known expert."""
        possible = data.rows.possible
        if possible is None:
            return np.zeros((mixture.n_experts, mixture.n_experts))
        own = Data(data.rows._replace(possible=None), mixture.experts.dispersion_columns)
        joint = mixture.log_joint(theta[None], own)[:, 0]
        is_known = possible & (possible.sum(axis=0) == 1)
        weighted = np.maximum(joint, IMPOSSIBLE_LOG_DENSITY) * data.rows.gate_weight
        return np.asarray(weighted @ is_known.T)

    scores = sum_over_blocks(of_block, objective.blocks)
    order = linear_sum_assignment(scores.T, maximize=True)[1]
    if scores[order, np.arange(len(order))].sum() <= np.trace(scores):
        return theta
    return mixture.reordered(theta, order)


def _with_known_numbers(objective: Objective, run: Run) -> Run:
    """A run whose experts have other numbers, if known rows are more probable then."""
    theta = in_known_numbers(objective, run.theta)
    if theta is run.theta:
        return run
    bound = float(objective.at(theta[None], curvature=False).lower_bound[0])
    if bound <= run.lower_bound:
        return run
    return run._replace(theta=theta, lower_bounds=[*run.lower_bounds[:-1], bound])


def distinct_best(problem: Problem, runs: Sequence[Run], most: int) -> list[int]:
    """Indices of the best runs, best first, without those that have reached the same lower bound.

    Runs with a dispersion at its bound come last: their likelihood has no maximum.
    """
    at_bound = [run.mixture.experts.dispersion_at_bound(run.theta).any() for run in runs]
    order = sorted(range(len(runs)), key=lambda i: (at_bound[i], -runs[i].lower_bound))
    tol = SAME_LOG_LIKELIHOOD / problem.rows.weight.sum()
    chosen: list[int] = []
    for i in order:
        gaps = [abs(runs[i].lower_bound - runs[j].lower_bound) for j in chosen]
        if len(chosen) < most and np.isfinite(runs[i].lower_bound) and min(gaps, default=1.0) > tol:
            chosen.append(i)
    return chosen or order[:1]


# --- responsibilities -------------------------------------------------------------------------


def start_responsibilities(problem: Problem, job: StartJob) -> tuple[Array, Array]:
    """Responsibilities of experts for rows, (K, n), and for the gate, (K, n) or (K, U).

    Rows that the start leaves to no expert count together as one for the experts, and have equal
    probabilities for the gate. If the experts of some rows are known, the cells are in the order of
    the experts.
    """
    rng, experts = np.random.default_rng(job.seed), problem.mixture.experts
    rows, X, Y, _ = problem.init_data
    weight, owners = rows.weight, experts.with_predictor
    if rows.units is not None:
        X, Y, weight = partitions.unit_features(problem.init_data)
    known: Any = rows.possible  # experts of each row, or unit
    if job.init_name == partitions.KNOWN:
        # Experts without known rows get a random partition of the others; without such experts the
        # others are left to no expert.
        resp = np.where(known.sum(axis=0) == 1, known, 0.0)
        others, without = (np.flatnonzero(~resp.any(axis=axis)) for axis in (0, 1))
        if len(without) and len(others):
            of_others = X[others], Y[:, others], weight[others], len(without), rng
            resp[np.ix_(without, others)] = partitions.initial_responsibilities(
                "random", *of_others
            )
    else:
        if job.is_repeated:  # a Bayesian bootstrap, so that a partition differs from the one before
            weight = weight * rng.exponential(size=len(weight))
        n_cells = len(owners) or experts.n_experts
        resp = partitions.initial_responsibilities(job.init_name, X, Y, weight, n_cells, rng)
        if known is not None and len(owners) == n_cells:
            # The order in which most of the known rows are in the cell of their expert. Cells that
            # are equally good are in random order, but for the first start.
            shares = np.where(known.all(axis=0), 0.0, known / known.sum(axis=0))[owners]
            agreement = shares @ (resp * weight).T
            if not job.is_first:
                agreement += TIE_BREAK * weight.sum() * rng.uniform(size=agreement.shape)
            resp = resp[linear_sum_assignment(agreement, maximize=True)[1]]
    left = 1.0 - resp.sum(axis=0)
    counted = 1.0 - left + left / len(left)
    if experts.needs_all_rows:
        resp = partitions.LABEL_SMOOTHING * resp + (1.0 - partitions.LABEL_SMOOTHING) / len(resp)
    else:
        resp = resp + left / len(resp)
    if not (experts.has_one_family and experts.are_exchangeable) or known is not None:
        resp = _of_different_experts(problem, job, resp, rng)
    of_experts = resp * counted
    return of_experts if rows.units is None else rows.units.repeat(of_experts), resp


def _of_different_experts(
    problem: Problem, job: StartJob, resp: Array, rng: np.random.Generator
) -> Array:
    """Responsibilities of the experts, from those of cells, for rows (K, n) or units (K, U)."""
    rows, experts = problem.init_data.rows, problem.mixture.experts
    resp = rows.row_responsibilities(resp)
    if not experts.has_one_family:
        order_rng = None if job.is_first or rows.possible is not None else rng
        resp = experts.initial_responsibilities(resp, rows.y, order_rng)
    if rows.possible is None and not experts.are_exchangeable:
        numbers = np.array(experts.with_predictor)
        order = (
            rng.permutation(len(numbers))
            if job.is_repeated
            else _best_order(problem, resp, numbers)
        )
        resp[numbers] = resp[numbers[order]]
    return partitions.restricted(experts, resp, rows)


def _best_order(problem: Problem, resp: Array, numbers: Array) -> Array:
    """Cells of rows for the experts with some numbers, of which each fits its cell best.

    Every expert is fitted to every cell (K, n). The assignment has the largest sum of the
    log-likelihoods of the cells.
    """
    rows, mixture = problem.init_data.rows, problem.mixture
    objective = problem.objective()
    index, moved = np.arange(len(numbers)), resp.copy()
    gains = np.empty((len(numbers), len(numbers)))
    of_gate = np.ones((len(resp), len(rows.gate_weight))) / len(resp)
    for shift in range(len(numbers)):
        cells = (index + shift) % len(numbers)
        moved[numbers] = resp[numbers[cells]]
        theta = mixture.start[None]
        theta = fitted_to(objective, theta, moved[:, None], of_gate[:, None], 1)
        logs = [mixture.at(theta, data).logs[:, 0] for data in objective.blocks]
        weighted = moved * rows.weight
        of_experts = (weighted * np.where(weighted > 0.0, np.hstack(logs), 0.0)).sum(axis=1)
        gains[index, cells] = of_experts[numbers]
    return np.asarray(linear_sum_assignment(-gains)[1])
