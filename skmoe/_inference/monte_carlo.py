"""Monte Carlo tests that stop once enough replicates are as large as the observed statistic [1]_.

References
----------
.. [1] J. Besag and P. Clifford (1991), "Sequential Monte Carlo p-values", Biometrika 78, 301-304.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from joblib import effective_n_jobs
from sklearn.utils.parallel import Parallel, delayed

from skmoe._numerics.typing import Array

# Replicates that a job is given at a time: with one, jobs wait for each other, and of many, more
# are drawn in vain before the test stops.
BATCHES_PER_JOB = 4


class Replicate(NamedTuple):
    """A replicate of the statistic."""

    statistic: float
    is_failed: bool  # whether the search for the larger likelihood has failed


class SequentialRule(NamedTuple):
    """When a Monte Carlo test stops, and its p-value."""

    observed: float
    n_exceedances: int | None  # that end the test; None for never

    def count(self, statistics: Sequence[float] | Array) -> int:
        """Number of replicates that are at least as large as the observed statistic."""
        return int((np.asarray(statistics) >= self.observed).sum())

    def stops_after(self, statistics: Sequence[float] | Array) -> int | None:
        """Number of replicates, in their order, after which the test stops; None to go on."""
        if self.n_exceedances is None:
            return None
        counts = np.cumsum(np.asarray(statistics) >= self.observed)
        enough = np.flatnonzero(counts >= self.n_exceedances)
        return int(enough[0]) + 1 if len(enough) else None

    def p_value(self, statistics: Sequence[float] | Array) -> float:
        """The p-value, given the replicates up to the one after which the test stops."""
        count = self.count(statistics)
        if self.n_exceedances is not None and count >= self.n_exceedances:
            return count / len(statistics)
        return (count + 1) / (len(statistics) + 1)


def draw_sequentially(
    draw: Callable[[np.random.SeedSequence], Replicate],
    seeds: Sequence[np.random.SeedSequence],
    rule: SequentialRule,
    n_jobs: int | None,
    on_progress: Callable[[int, int], None] | None,
) -> list[Replicate]:
    """Replicates of the seeds in their order, up to the one after which the test stops.

    `on_progress`, if any, is called with the number of replicates, and of those as large as the
    observed statistic. The replicates do not depend on `n_jobs`: those that other jobs have drawn
    after the test stops are dropped.
    """
    drawn: list[Replicate] = []
    with Parallel(n_jobs=n_jobs) as workers:
        while len(drawn) < len(seeds):
            size = _batch_size(rule, drawn, effective_n_jobs(n_jobs))
            batch = seeds[len(drawn) : len(drawn) + size]
            drawn += workers(delayed(draw)(seed) for seed in batch)
            end = rule.stops_after([replicate.statistic for replicate in drawn])
            drawn = drawn[:end]
            if on_progress is not None:
                on_progress(len(drawn), rule.count([replicate.statistic for replicate in drawn]))
            if end is not None:
                break
    return drawn


def _batch_size(rule: SequentialRule, drawn: list[Replicate], n_jobs: int) -> int:
    """Number of replicates to draw at once; fewer where the test may stop soon."""
    most = BATCHES_PER_JOB * n_jobs
    if n_jobs == 1 or rule.n_exceedances is None:
        return 1 if n_jobs == 1 else most
    missing = rule.n_exceedances - rule.count([replicate.statistic for replicate in drawn])
    return min(max(missing, n_jobs), most)
