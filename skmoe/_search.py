"""From starts to a fit: a short run of EM from each start, and a long one from the best [1]_.

References
----------
.. [1] C. Biernacki, G. Celeux and G. Govaert (2003), "Choosing starting values for the EM algorithm
   for getting the highest likelihood in multivariate Gaussian mixture models", Computational
   Statistics & Data Analysis 41, 561-575.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sklearn.utils.parallel import Parallel, delayed

from skmoe._em import Climb, Params, Parts, climb, maximise
from skmoe._numerics import Array
from skmoe._progress import Listener
from skmoe._rows import Rows, in_blocks
from skmoe._starts import STARTS, Table, portfolio, soften, vary

# Iterations of the run from each start, all of them plain.
SHORT_RUN = 15
# Steps of the first M-step, from the responsibilities of a start.
FIRST_STEPS = 5
# Plain iterations of a long run before extrapolation.
N_PLAIN = 5


class Setup(NamedTuple):
    """What is to be fitted, from where, and for how long."""

    parts: Parts
    rows: Rows
    table: Table
    n_experts: int
    begin: str | Array | Params  # a named start, responsibilities (K, n), or parameters
    seeds: list[np.random.SeedSequence]  # of the named starts
    max_iter: int
    tol: float


def search(
    setup: Setup, start_listeners: Sequence[Listener], listener: Listener, n_jobs: int | None
) -> tuple[Climb, Array]:
    """The kept run, and the bounds that the starts came to."""
    if isinstance(setup.begin, str):
        return _search_starts(setup, start_listeners, listener, n_jobs)
    params = setup.begin
    if isinstance(params, np.ndarray):
        params = maximise(setup.parts, setup.rows, params, FIRST_STEPS)
    run = _long_run(setup, params, setup.max_iter, listener)
    return run, np.array(run.bounds[-1:])


def _search_starts(
    setup: Setup, start_listeners: Sequence[Listener], listener: Listener, n_jobs: int | None
) -> tuple[Climb, Array]:
    kinds = portfolio(setup.begin, setup.n_experts, len(setup.seeds))
    light = setup._replace(rows=setup.table.rows)  # workers need the table only
    for start_listener in start_listeners:
        start_listener.begin()
    runs = Parallel(n_jobs=n_jobs)(
        delayed(_short_run)(light, kind, seed, kind in kinds[:i], start_listener)
        for i, (kind, seed, start_listener) in enumerate(
            zip(kinds, setup.seeds, start_listeners, strict=True)
        )
    )
    for start_listener, run in zip(start_listeners, runs, strict=True):
        start_listener.end(run)
    bounds = np.array([run.bounds[-1] for run in runs])
    best = runs[int(np.argmax(bounds))]
    if setup.rows is not setup.table.rows:
        return _long_run(setup, best.params, setup.max_iter, listener), bounds
    # The start was found on the very rows of the fit: its iterations count.
    n_left = setup.max_iter - len(best.bounds)
    if best.converged or n_left <= 0:
        return best, bounds
    run = _long_run(setup, best.params, n_left, listener)
    return run._replace(bounds=best.bounds + run.bounds), bounds


def _short_run(
    setup: Setup, kind: str, seed: np.random.SeedSequence, repeated: bool, listener: Listener
) -> Climb:
    """Find a start on the table and climb a little from it."""
    rng = np.random.default_rng(seed)
    table = setup.table
    weight = vary(table.rows.weight, rng) if repeated else table.rows.weight
    labels = STARTS[kind](table.X, table.Y, weight, setup.n_experts, rng)
    params = maximise(setup.parts, table.rows, soften(labels, setup.n_experts), FIRST_STEPS)
    return climb(
        setup.parts,
        in_blocks(table.rows),
        params,
        max_iter=min(SHORT_RUN, setup.max_iter),
        tol=setup.tol,
        n_plain=SHORT_RUN,
        on_iteration=listener,
    )


def _long_run(setup: Setup, params: Params, max_iter: int, listener: Listener) -> Climb:
    """Climb until convergence."""
    listener.begin()
    run = climb(
        setup.parts,
        in_blocks(setup.rows),
        params,
        max_iter=max_iter,
        tol=setup.tol,
        n_plain=N_PLAIN,
        on_iteration=listener,
    )
    listener.end(run)
    return run
