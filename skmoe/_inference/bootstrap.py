"""Parametric bootstrap: refits to targets drawn from a fitted mixture, with matched experts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
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
