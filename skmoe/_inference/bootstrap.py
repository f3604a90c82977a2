"""Parametric bootstrap: refits to targets drawn from a fitted mixture, with matched experts.

Tests stop once enough replicates are as large as the observed statistic [1]_.

References
----------
.. [1] J. Besag and P. Clifford (1991), "Sequential Monte Carlo p-values", Biometrika 78, 301-304.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from joblib import effective_n_jobs
from scipy.optimize import linear_sum_assignment
from sklearn.utils.parallel import Parallel, delayed

from skmoe._data.rows import Rows
from skmoe._inference.coefficients import Coefficients
from skmoe._inference.results import Inference
from skmoe._numerics.typing import Array

# Draws of a target until it has all classes.
MAX_DRAWS = 100


class Refit(NamedTuple):
    """What the bootstrap needs of a refit."""

    attributes: Mapping[str, Array]  # fitted attributes whose first axis counts the experts
    responsibilities: Array  # for the rows and the target of the fit, (K, n)


def repeat_by_weight(rows: Rows) -> Rows:
    """Rows of integer weight as that many rows; other rows as they are."""
    counts = rows.weight.astype(int)
    if not (counts == rows.weight).all():
        return rows
    return rows.take(np.repeat(np.arange(rows.n_rows), counts))._replace(weight=None)


def parametric_bootstrap(
    refit: Callable[[np.random.SeedSequence], Refit],
    list_values: Callable[[Mapping[str, Array]], Array],
    responsibilities: Array,
    seeds: Sequence[np.random.SeedSequence],
    n_jobs: int | None,
    verbose: int,
) -> Array:
    """Estimates (B, T) of the refits, one for each seed.

    `list_values` takes the attributes of a refit with its experts in the order of the
    `responsibilities` (K, n) of the fit.
    """
    fits = Parallel(n_jobs=n_jobs, verbose=10 * verbose)(delayed(refit)(seed) for seed in seeds)
    return np.stack([list_values(match_experts(fit, responsibilities)) for fit in fits])


def bootstrap_inference(coefficients: Coefficients, replicates: Array) -> Inference:
    """Inference from estimates (B, T) of refits."""
    covariance = np.atleast_2d(np.cov(replicates, rowvar=False))
    method = f"parametric bootstrap, {len(replicates)} refits"
    reasons = [""] * len(coefficients.terms)
    return Inference(coefficients, covariance, reasons, method, replicates)


def sample_classes(probs: Array, rng: np.random.RandomState) -> Array:
    """Class codes (n,) drawn with probabilities (n, C), again until all classes are present."""
    levels = np.cumsum(probs, axis=1)[:, :-1]
    for _ in range(MAX_DRAWS):
        codes = (rng.uniform(size=(len(levels), 1)) > levels).sum(axis=1)
        if len(np.unique(codes)) == probs.shape[1]:
            break
    return codes


def match_experts(refit: Refit, responsibilities: Array) -> dict[str, Array]:
    """Attributes of a refit with the experts in the order of given responsibilities (K, n)."""
    overlap = responsibilities @ refit.responsibilities.T
    _, order = linear_sum_assignment(overlap, maximize=True)
    return {name: values[order] for name, values in refit.attributes.items()}


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
