"""Sums, quantiles and modes of many mixtures of normals at once; components come first."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.special import ndtr, ndtri

from skmoe._numerics.typing import TINY, Array

SQRT_2PI = float(np.sqrt(2.0 * np.pi))

# Most steps of a root search: bisection alone halves any bracket to the last bit in fewer.
MOST_STEPS = 400

# A root is found when the log probability is this near, a mode when a step is this short.
CLOSE = 1e-13

# Fixed-point steps towards a mode, which is flat where two normals are about to merge.
MODE_STEPS = 500


def log_total(logs: Iterator[Array]) -> Array:
    """Log of a sum of exponentials, term by term: no array holds all components."""
    total = next(logs)
    for log in logs:
        total = np.logaddexp(total, log)
    return total


def mean_distance(shift: Array | float, std: Array) -> Array:
    """E|Z| of a normal Z with mean `shift`."""
    z = shift / std
    return 2.0 * std * np.exp(-0.5 * z**2) / SQRT_2PI + shift * (2.0 * ndtr(z) - 1.0)


def lower_quantile(weights: Array, means: Array, stds: Array, q: float) -> Array:
    """Quantile of q <= 1/2 of many mixtures at once; components (K, r), answer (r,)."""
    quantiles = means + stds * ndtri(q)
    low = np.where(weights > 0.0, quantiles, np.inf).min(axis=0)
    high = np.where(weights > 0.0, quantiles, -np.inf).max(axis=0)
    found = np.empty_like(low)
    active, here = np.arange(len(found)), 0.5 * (low + high)
    for step in range(MOST_STEPS):
        z = (here - means) / stds
        probability = np.maximum((weights * ndtr(z)).sum(axis=0), TINY)
        excess = np.log(probability / q)
        low, high = np.where(excess < 0.0, here, low), np.where(excess < 0.0, high, here)
        found[active] = here
        left = (np.abs(excess) > CLOSE) & (high - low > 2.0 * np.spacing(np.abs(here)))
        if not left.any():
            break
        density = (weights * np.exp(-0.5 * z**2) / stds).sum(axis=0) / SQRT_2PI
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            newton = here - excess * probability / density
        # Every third step halves the bracket, lest Newton's steps creep along one side of it.
        trusted = (newton > low) & (newton < high) & (step % 3 < 2)
        here = np.where(trusted, newton, 0.5 * (low + high))
        active, here, low, high = active[left], here[left], low[left], high[left]
        weights, means, stds = weights[:, left], means[:, left], stds[:, left]
    return found


def density_parts(
    weights: Array, means: Array, stds: Array, here: Array
) -> tuple[Array, Array, Array]:
    """Density (r,) of many mixtures, and the parts of the components in it, with z-scores."""
    z = (here - means) / stds
    parts = weights * np.exp(-0.5 * z**2) / stds
    return parts.sum(axis=0), parts, z


def nearest_mode(weights: Array, means: Array, stds: Array, here: Array) -> Array:
    """Local maxima (r,) of the densities of many mixtures, from points near them."""
    found, active = here.copy(), np.arange(len(here))
    for _ in range(MODE_STEPS):
        total, parts, z = density_parts(weights, means, stds, here)
        pull = parts / stds**2
        shift = (pull * means).sum(axis=0) / np.maximum(pull.sum(axis=0), TINY) - here
        slope, bend = -(parts * z / stds).sum(axis=0), (parts * (z**2 - 1.0) / stds**2).sum(axis=0)
        newton = np.where(bend < 0.0, -slope / np.where(bend < 0.0, bend, 1.0), shift)
        higher = [density_parts(weights, means, stds, here + move)[0] for move in (shift, newton)]
        move = np.where(higher[1] > higher[0], newton, shift)
        found[active] = here + move
        left = (np.abs(move) > CLOSE * (np.abs(here) + stds.min(axis=0))) & (
            np.maximum(*higher) > total
        )
        if not left.any():
            break
        active, here = active[left], (here + move)[left]
        weights, means, stds = weights[:, left], means[:, left], stds[:, left]
    return found
