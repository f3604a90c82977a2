"""Quantiles and modes of many normal mixtures at once; the component axis comes first."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.special import ndtr, ndtri

from skmoe._numerics.typing import TINY, Array

SQRT_2PI = float(np.sqrt(2.0 * np.pi))

# Maximum number of steps of the root search: bisection alone needs fewer for full precision.
MAX_ROOT_STEPS = 400

# Maximum number of steps of the mode search, which is slow where two modes are about to merge.
MAX_MODE_STEPS = 500

# Tolerance on the log probability in the root search, and on the relative step in the mode search.
SEARCH_TOL = 1e-13


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
    return 2.0 * std * np.exp(-0.5 * z**2) / SQRT_2PI + shift * (2.0 * ndtr(z) - 1.0)


def lower_quantile(weights: Array, means: Array, stds: Array, q: float) -> Array:
    """Quantiles (r,) of level q <= 1/2 of r mixtures with components (K, r).

    The log probability is solved by Newton steps within a bracket that is bisected.
    """
    quantiles = means + stds * ndtri(q)
    low = np.where(weights > 0.0, quantiles, np.inf).min(axis=0)
    high = np.where(weights > 0.0, quantiles, -np.inf).max(axis=0)
    result = np.empty_like(low)
    active, x = np.arange(len(result)), 0.5 * (low + high)
    for step in range(MAX_ROOT_STEPS):
        z = (x - means) / stds
        probability = np.maximum((weights * ndtr(z)).sum(axis=0), TINY)
        excess = np.log(probability / q)
        low, high = np.where(excess < 0.0, x, low), np.where(excess < 0.0, high, x)
        result[active] = x
        unsolved = (np.abs(excess) > SEARCH_TOL) & (high - low > 2.0 * np.spacing(np.abs(x)))
        if not unsolved.any():
            break
        density = (weights * np.exp(-0.5 * z**2) / stds).sum(axis=0) / SQRT_2PI
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            newton = x - excess * probability / density
        # Every third step is a bisection: Newton steps alone can converge slowly from one side.
        inside = (newton > low) & (newton < high) & (step % 3 < 2)
        x = np.where(inside, newton, 0.5 * (low + high))
        active, x, low, high = active[unsolved], x[unsolved], low[unsolved], high[unsolved]
        weights, means, stds = weights[:, unsolved], means[:, unsolved], stds[:, unsolved]
    return result


def density_parts(
    weights: Array, means: Array, stds: Array, x: Array
) -> tuple[Array, Array, Array]:
    """Densities (r,) of mixtures at x up to a factor, contributions and z-scores (K, r)."""
    z = (x - means) / stds
    parts = weights * np.exp(-0.5 * z**2) / stds
    return parts.sum(axis=0), parts, z


def nearest_mode(weights: Array, means: Array, stds: Array, x: Array) -> Array:
    """Local maxima (r,) of the densities of r mixtures, starting from x (r,).

    Each step is the better one of a fixed-point step and a Newton step. Lengths are relative to the
    mean standard deviation of the components, since third powers of them are formed.
    """
    unit = (weights * stds).sum(axis=0)
    means, stds, x = means / unit, stds / unit, x / unit
    result, active = x.copy(), np.arange(len(x))
    for _ in range(MAX_MODE_STEPS):
        density, parts, z = density_parts(weights, means, stds, x)
        precision = parts / stds**2
        total_precision = np.maximum(precision.sum(axis=0), TINY)
        fixed_point = (precision * means).sum(axis=0) / total_precision - x
        slope = -(parts * z / stds).sum(axis=0)
        second = (parts * (z**2 - 1.0) / stds**2).sum(axis=0)
        newton = np.where(second < 0.0, -slope / np.where(second < 0.0, second, 1.0), fixed_point)
        reached = [
            density_parts(weights, means, stds, x + step)[0] for step in (fixed_point, newton)
        ]
        step = np.where(reached[1] > reached[0], newton, fixed_point)
        result[active] = x + step
        unsolved = (np.abs(step) > SEARCH_TOL * (np.abs(x) + stds.min(axis=0))) & (
            np.maximum(*reached) > density
        )
        if not unsolved.any():
            break
        active, x = active[unsolved], (x + step)[unsolved]
        weights, means, stds = weights[:, unsolved], means[:, unsolved], stds[:, unsolved]
    return result * unit
