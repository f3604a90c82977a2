"""Probabilities in log space, quantiles with weights, and outliers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np
from scipy.special import logsumexp, ndtr

from skmoe._numerics.typing import Array

# Log probability below which sums of probabilities nearly underflow.
LOG_NEGLIGIBLE = -600.0

LOG_2PI = float(np.log(2.0 * np.pi))
LOG_TINY = -700.0

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def underflow_to_zero(function: FunctionT) -> FunctionT:
    """Decorator: negligible probabilities are zero, also where NumPy is set to raise errors."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with np.errstate(under="ignore"):  # as a decorator it forgets in nested calls of NumPy 1
            return function(*args, **kwargs)

    return cast(FunctionT, wrapper)


def log_probability(probability: Array) -> Array:
    """Log of probabilities, minus infinity for those that are zero."""
    with np.errstate(divide="ignore"):
        return np.log(probability)


def log_total(logs: Iterator[Array]) -> Array:
    """Log of the sum of exponentials; the terms are added one by one to save memory."""
    total = next(logs)
    with np.errstate(under="ignore"):  # a term that is negligible
        for log in logs:
            total = np.logaddexp(total, log)
    return total


def mean_distance(shift: Array | float, std: Array) -> Array:
    """E|Z| of a normal variable Z with mean `shift`."""
    z = shift / std
    density = np.exp(-0.5 * (z**2 + LOG_2PI))
    return 2.0 * std * density + shift * (2.0 * ndtr(z) - 1.0)


def weighted_mean(values: Array, weight: Array | None) -> float:
    """Mean of values (n,) with weights; those of weight zero are absent, even infinite ones."""
    if weight is None:
        return float(np.mean(values))
    present = np.asarray(weight) > 0.0
    return float(np.average(values[present], weights=np.asarray(weight)[present]))


def summed_over_experts(values: Array) -> Array:
    """Sums of values (K, ...) over the experts, for each expert: those of what they share."""
    return np.broadcast_to(values.sum(axis=0), values.shape).copy()


def keep_top_k(log_probs: Array, top_k: int | None) -> Array:
    """Log probabilities (K, n) with all but the `top_k` largest of each row at minus infinity.

    Normalised, they are the sparse responsibilities that maximise the variational lower bound in
    the E-step [1]_. Of equal values the first ones are kept.

    References
    ----------
    .. [1] R. M. Neal and G. E. Hinton (1998), "A view of the EM algorithm that justifies
       incremental, sparse, and other variants", in Learning in Graphical Models, 355-368.
    """
    if top_k is None or top_k >= len(log_probs):
        return log_probs
    order = np.argsort(-log_probs, axis=0, kind="stable")
    return np.where(np.argsort(order, axis=0) < top_k, log_probs, -np.inf)


def log_normalise(joint: Array) -> tuple[Array, Array]:
    """Responsibilities (K, n) and log densities (n,) from log joint densities (K, n).

    A row that is impossible under every component has equal responsibilities.
    """
    peak = joint.max(axis=0)
    impossible = peak == -np.inf
    if impossible.any():
        joint = np.where(impossible, 0.0, joint)
        resp, log_density = log_normalise(joint)
        return resp, np.where(impossible, -np.inf, log_density)
    resp = joint - peak
    # Exponentials that underflow take ten times as long, and what is below `LOG_TINY` is zero. Its
    # exponential is less than the round-off of all that are needed.
    np.maximum(resp, LOG_TINY, out=resp)
    np.exp(resp, out=resp)
    resp -= np.exp(LOG_TINY)
    total = resp.sum(axis=0)
    resp /= total
    return resp, peak + np.log(total)


def normalised_top_k(log_probs: Array, top_k: int | None) -> Array:
    """Log probabilities (K, n) of the `top_k` most probable components of each row, normalised."""
    if top_k is None:
        return log_probs
    kept = keep_top_k(log_probs, top_k)
    return kept - logsumexp(kept, axis=0)


# --- experts that have collapsed: nearly all rows are left to others --------------------------

# An expert has collapsed if its responsibilities sum to less than this weight, or than this
# fraction of the total weight.
MIN_EXPERT_WEIGHT = 2.0
MIN_WEIGHT_FRACTION = 1e-3


def is_collapsed(responsibility_mass: Array) -> Array:
    """Which experts have lost nearly all rows, from their summed responsibilities (K,)."""
    least = max(MIN_EXPERT_WEIGHT, MIN_WEIGHT_FRACTION * responsibility_mass.sum())
    return np.asarray(responsibility_mass < least)


def weighted_quantiles(values: Array, weight: Array, levels: Array | float) -> Array:
    """Smallest values at which the cumulative fraction of the weight reaches the levels."""
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weight[order])
    position = np.searchsorted(cumulative, np.asarray(levels) * cumulative[-1] * (1.0 - 1e-12))
    return values[order][np.minimum(position, len(values) - 1)]


# Standard deviations from the median beyond which values are outliers, and the factor from the
# median absolute deviation to the standard deviation of a normal distribution.
MAX_DEVIATION = 4.0
MAD_TO_STD = 1.4826


def without_outliers(y: Array) -> Array:
    """Outputs (m, n) with values far from the median moved to `MAX_DEVIATION` from it."""
    median = np.median(y, axis=-1, keepdims=True)
    deviation = MAX_DEVIATION * MAD_TO_STD * np.median(np.abs(y - median), axis=-1, keepdims=True)
    return np.where(deviation > 0.0, np.clip(y, median - deviation, median + deviation), y)
