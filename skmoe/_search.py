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

from skmoe._em import (
    Climb,
    Params,
    Parts,
    Place,
    climb,
    joint_log_prob,
    maximise,
    responsibilities,
    routed,
)
from skmoe._numerics import Array, log_normalise
from skmoe._progress import Listener
from skmoe._rows import Rows, in_blocks
from skmoe._starts import CONFIDENCE, STARTS, Table, portfolio, soften, vary
from skmoe.protocols import TableExperts

# Iterations of the first round, all of them plain.
FIRST_ROUND = 15
# The same where each iteration fits estimators.
FIRST_ROUND_OF_TABLES = 4
# Times that dead experts are given other rows. An expert is dead with less weight than this many
# rows, or than this share of all.
N_REVIVALS = 2
FEWEST_ROWS = 2.0
SMALLEST_SHARE = 1e-3
# Steps of the first M-step, from the responsibilities of a start.
FIRST_STEPS = 5
# Plain iterations of a long run before extrapolation.
N_PLAIN = 5


class Setup(NamedTuple):
    """What is to be fitted, from where, and for how long."""

    parts: Parts
    rows: Any  # Rows, or a source of blocks of them
    table: Table
    n_experts: int
    begin: str | Array | Params  # a named start, responsibilities (K, n), or parameters
    seeds: list[np.random.SeedSequence]  # of the named starts
    max_iter: int
    tol: float
    n_threads: int = 1  # that share the rows of a climb
    place: Place | None = None  # where a climb ended that is to be gone on with
    earlier: Sequence[float] = ()  # bounds of that climb that count as those of this one


def search(
    setup: Setup, start_listeners: Sequence[Listener], listener: Listener, n_jobs: int | None
) -> tuple[Climb, list[list[float]]]:
    """The kept run, and the bounds of each start after each of its iterations.

    Jobs share the starts first, and then, as threads, the rows of the last climb.
    """
    setup = setup._replace(n_threads=effective_n_jobs(n_jobs))
    if isinstance(setup.begin, str):
        return _search_starts(setup, setup.begin, start_listeners, listener, n_jobs)
    params = setup.begin
    if isinstance(params, np.ndarray):
        params = maximise(setup.parts, setup.rows, params, FIRST_STEPS)
    listener.begin()
    run = _finish(setup, params, setup.earlier, listener, setup.place)
    listener.end(run)
    return run, [run.bounds]


def search_all(setup: Setup, listeners: Sequence[Listener], n_jobs: int | None) -> list[Climb]:
    """Runs from every start of a named kind, each until it converges."""
    kinds = portfolio(str(setup.begin), setup.n_experts, len(setup.seeds))
    workers = Parallel(n_jobs=None if isinstance(setup.parts.experts, TableExperts) else n_jobs)
    return workers(
        delayed(_full_run)(setup, kind, kind in kinds[:i], seed, listener)
        for i, (kind, seed, listener) in enumerate(zip(kinds, setup.seeds, listeners, strict=True))
    )


def best_of(runs: Sequence[Climb]) -> Climb:
    """The run with the highest bound."""
    return runs[int(np.argmax([run.bounds[-1] for run in runs]))]


def _full_run(
    setup: Setup, kind: str, repeated: bool, seed: np.random.SeedSequence, listener: Listener
) -> Climb:
    listener.begin()
    run = _first_round(setup._replace(rows=setup.table.rows), kind, repeated, seed, listener)
    run = _go_on(setup, run, listener)
    listener.end(run)
    return run


def _go_on(setup: Setup, run: Climb, listener: Listener) -> Climb:
    """Climb from a run on the table until convergence on all rows."""
    if setup.rows is not setup.table.rows:
        return _finish(setup, _move(setup, run.params), (), listener)
    # The start was found on the very rows of the fit: its iterations count.
    return _finish(setup, run.params, run.bounds, listener, run.place)


def _search_starts(
    setup: Setup,
    init: str,
    listeners: Sequence[Listener],
    listener: Listener,
    n_jobs: int | None,
) -> tuple[Climb, list[list[float]]]:
    on_table = setup._replace(rows=setup.table.rows, n_threads=1)
    for start_listener in listeners:
        start_listener.begin()
    runs = _race(on_table, init, listeners, n_jobs)
    for start_listener, run in zip(listeners, runs, strict=True):
        start_listener.end(run)
    traces = [run.bounds for run in runs]
    best = best_of(runs)
    if setup.rows is setup.table.rows and _ended(setup, best):
        return best, traces
    listener.begin()
    run = _go_on(setup, best, listener)
    listener.end(run)
    return run, traces


def _race(
    setup: Setup, init: str, listeners: Sequence[Listener], n_jobs: int | None
) -> list[Climb]:
    """Run all starts, the better half of them longer, and so on until one is left."""
    kinds = portfolio(init, setup.n_experts, len(setup.seeds))
    # Table experts use the jobs for their own fits.
    workers = Parallel(n_jobs=None if isinstance(setup.parts.experts, TableExperts) else n_jobs)
    runs = workers(
        delayed(_first_round)(setup, kind, kind in kinds[:i], seed, listener)
        for i, (kind, seed, listener) in enumerate(zip(kinds, setup.seeds, listeners, strict=True))
    )
    length, alive = _first_length(setup), len(runs)
    while alive > 2:
        length, alive = 2 * length, (alive + 1) // 2
        order = np.argsort([-run.bounds[-1] for run in runs], kind="stable")[:alive]
        longer = workers(delayed(_next_round)(setup, runs[i], length, listeners[i]) for i in order)
        for i, run in zip(order, longer, strict=True):
            runs[i] = run
    return runs


def _first_round(
    setup: Setup, kind: str, repeated: bool, seed: np.random.SeedSequence, listener: Listener
) -> Climb:
    """Find a start on the table and climb a little from it."""
    rng = np.random.default_rng(seed)
    table = setup.table
    weight = vary(table.rows.weight, rng) if repeated else table.rows.weight
    labels = STARTS[kind](table.X, table.Y, weight, setup.n_experts, rng)
    params = maximise(setup.parts, table.rows, soften(labels, setup.n_experts), FIRST_STEPS)
    length = _first_length(setup)
    return _climb(setup, params, (), min(length, setup.max_iter), length, listener)


def _first_length(setup: Setup) -> int:
    return FIRST_ROUND_OF_TABLES if isinstance(setup.parts.experts, TableExperts) else FIRST_ROUND


def _next_round(setup: Setup, run: Climb, length: int, listener: Listener) -> Climb:
    """Go on with a run."""
    if _ended(setup, run):
        return run
    n_iter = min(length, setup.max_iter - len(run.bounds))
    return _climb(setup, run.params, run.bounds, n_iter, N_PLAIN, listener, run.place)


def _ended(setup: Setup, run: Climb) -> bool:
    return run.converged or run.stalled or len(run.bounds) >= setup.max_iter


def _move(setup: Setup, params: Params) -> Params:
    """Parameters found on the table, for all rows."""
    experts = setup.parts.experts
    if not isinstance(experts, TableExperts):
        return params
    released = params._replace(experts=experts.release(params.experts))
    resp = responsibilities(setup.parts, released, setup.rows)
    return maximise(setup.parts, setup.rows, resp, FIRST_STEPS)


def _finish(
    setup: Setup,
    params: Params,
    earlier: Sequence[float],
    listener: Listener,
    place: Place | None = None,
) -> Climb:
    """Climb until convergence, with dead experts given another chance."""
    left = setup.max_iter - len(earlier)
    run = _climb(setup, params, earlier, left, N_PLAIN, listener, place)
    for _ in range(N_REVIVALS):
        revived = _revive(setup, run, listener)
        if revived is None or revived.bounds[-1] <= run.bounds[-1]:
            break
        run = revived
    return run


def _revive(setup: Setup, run: Climb, listener: Listener) -> Climb | None:
    """Climb anew with dead experts, if any, on the rows that are explained worst."""
    if run.stalled:
        return None
    parts = setup.parts
    rows = setup.rows if isinstance(setup.rows, Rows) else setup.table.rows
    blocks = in_blocks(rows)

    def look(block: Rows) -> tuple[Array, Array]:
        return log_normalise(routed(joint_log_prob(parts, run.params, block)[1], parts.top_k))

    dead = np.flatnonzero(collapsed(np.sum([look(b)[0] @ b.weight for b in blocks], axis=0)))
    if not len(dead):
        return None
    looks = zip(*map(look, blocks), strict=True)
    resp, density = (np.concatenate(seen, axis=-1) for seen in looks)
    order = np.argsort(density, kind="stable")
    share = np.cumsum(rows.weight[order]) / rows.weight.sum()
    worst = order[share <= max(len(dead) / len(resp), share[0])]
    resp[:, worst] *= 1.0 - CONFIDENCE
    for i, k in enumerate(dead):
        resp[k, worst[i :: len(dead)]] += CONFIDENCE
    params = maximise(parts, rows, resp, FIRST_STEPS)
    return _climb(setup, params, (), setup.max_iter, N_PLAIN, partial(_nowhere, listener))


def _nowhere(listener: Listener, iteration: int, run: Climb) -> bool:
    """Nobody can go on from within a revival: it may end behind the run that it is of."""
    return listener(iteration, run._replace(place=None))


def collapsed(count: Array) -> Array:
    """Which experts explain next to nothing, from the weight of the rows that each explains."""
    return (count < FEWEST_ROWS) | (count < SMALLEST_SHARE * count.sum())


def _climb(
    setup: Setup,
    params: Params,
    earlier: Sequence[float],
    max_iter: int,
    n_plain: int,
    listener: Callable[[int, Climb], bool],
    place: Place | None = None,
) -> Climb:
    in_table = isinstance(setup.parts.experts, TableExperts)
    if in_table:
        n_plain = setup.max_iter  # fitted models cannot be extrapolated
    run = climb(
        setup.parts,
        in_blocks(setup.rows),
        params,
        max_iter=max_iter,
        tol=setup.tol,
        n_plain=n_plain,
        on_iteration=listener,
        earlier=earlier,
        place=place,
        n_threads=setup.n_threads,
    )
    return run._replace(place=None) if in_table else run  # fitted models are large
