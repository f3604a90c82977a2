"""Modes of many normal mixtures at once; the component axis comes first."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.special import ndtr

from skmoe._numerics.typing import TINY, Array

SQRT_2PI = float(np.sqrt(2.0 * np.pi))

# Maximum number of steps of the mode search, which is slow where two modes are about to merge.
MAX_MODE_STEPS = 500

# Tolerance on the relative step in the mode search.
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
