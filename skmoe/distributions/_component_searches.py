"""Quantiles, modes and scores of continuous components without formulas for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from skmoe._numerics.quadrature import integral_points
from skmoe._numerics.typing import Array

# Steps of Newton's method in a bracket, the relative change that ends it, and steps of a search by
# golden sections, each of which takes the fraction GOLDEN of the interval.
MAX_QUANTILE_STEPS = 200
NEWTON_ROUND_OFF = 1e-12
GOLDEN_STEPS = 90
GOLDEN = 0.5 * (np.sqrt(5.0) - 1.0)

# Factor by which brackets grow, and how often.
GROWTH, MAX_GROWTHS = 4.0, 60

# Probabilities of both tails between whose quantiles a density is searched and a score integrated.
SCORE_LEVELS = (0.5, 0.3, 0.1, 0.03, 1e-2, 1e-3, 1e-5, 1e-7, 1e-10)


def search_quantile(functions: Any, q: float, *parameters: Array, upper: bool = False) -> Array:
    """Values below which, or above which, the probability is q.

    Newton's method; a step that would leave the bracket is to its middle. Logs of tails are
    concave for most distributions, so that Newton's method does not cycle.
    """
    log_tail, sign = (functions.log_sf, -1.0) if upper else (functions.log_cdf, 1.0)
    level, center = np.log(q), functions.mean(*parameters)
    width = np.sqrt(functions.variance(*parameters))

    def excess(points: Array) -> Array:
        return sign * (log_tail(points, *parameters) - level)

    low, high = center - width, center + width
    for _ in range(MAX_GROWTHS):
        above, below = excess(low) > 0.0, excess(high) < 0.0
        if not (above.any() or below.any()):
            break
        width = GROWTH * width
        low, high = np.where(above, low - width, low), np.where(below, high + width, high)
    points = 0.5 * (low + high)
    found = np.zeros(points.shape, dtype=bool)
    for _ in range(MAX_QUANTILE_STEPS):
        value = excess(points)
        low, high = np.where(value < 0.0, points, low), np.where(value < 0.0, high, points)
        with np.errstate(all="ignore"):
            slope = np.exp(functions.log_pdf(points, *parameters) - sign * value - level)
            newton = points - value / slope
        found |= np.abs(newton - points) <= NEWTON_ROUND_OFF * np.abs(points)
        found |= high - low <= NEWTON_ROUND_OFF * np.abs(points)
        if found.all():
            break
        inside = (newton >= low) & (newton <= high)
        points = np.where(found, points, np.where(inside, newton, 0.5 * (low + high)))
    return points


def search_mode(functions: Any, *parameters: Array) -> Array:
    """Where the density, which has one maximum, is highest."""
    points = _quantiles(functions, parameters)
    heights = functions.log_pdf(points, *parameters)
    best = np.argmax(heights, axis=0)[None]
    low, high = (
        np.take_along_axis(points, np.clip(best + step, 0, len(points) - 1), axis=0)[0]
        for step in (-1, 1)
    )
    return golden_sections(
        lambda points: functions.log_pdf(points, *parameters), low, high, GOLDEN_STEPS
    )


def golden_sections(
    height: Callable[[Array], Array], low: Array, high: Array, n_steps: int
) -> Array:
    """Where functions with one maximum between two points are highest, up to the last section."""
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_left, at_right = height(left), height(right)
    for _ in range(n_steps):
        shrink = at_left >= at_right
        low, high = np.where(shrink, low, left), np.where(shrink, right, high)
        new = np.where(shrink, high - GOLDEN * (high - low), low + GOLDEN * (high - low))
        at_new = height(new)
        left, right = np.where(shrink, new, right), np.where(shrink, left, new)
        at_left, at_right = np.where(shrink, at_new, at_right), np.where(shrink, at_left, at_new)
    return 0.5 * (low + high)


def search_score(functions: Any, y: Array, *parameters: Array) -> Array:
    """The continuous ranked probability score, the integral of squared distribution functions.

    It is the integral of the squared probability of the lower tail up to y, and of that of the
    upper tail from y on.
    """
    y = np.asarray(y, dtype=float)
    edges = _quantiles(functions, parameters, y)
    at = np.broadcast_to(np.where(np.isfinite(y), y, 0.0), edges.shape[1:])
    total = np.maximum(at - edges[-1], 0.0) + np.maximum(edges[0] - at, 0.0)
    for tail, ends in (
        (functions.cdf, np.minimum(edges, at)),
        (functions.sf, np.maximum(edges, at)),
    ):
        points, factors = integral_points(ends[:-1], ends[1:])
        total = total + (factors * np.square(tail(points, *parameters))).sum(axis=(0, 1))
    return np.where(np.isfinite(y), total, np.abs(y))


def search_shortfall(functions: Any, y: Array, *parameters: Array) -> Array:
    """The integral of the distribution function up to y."""
    edges = _quantiles(functions, parameters, y)
    ends = np.minimum(edges, y)
    points, factors = integral_points(ends[:-1], ends[1:])
    below = (factors * functions.cdf(points, *parameters)).sum(axis=(0, 1))
    return np.maximum(y - edges[-1], 0.0) + below


def _quantiles(functions: Any, parameters: tuple[Array, ...], y: Any = 0.0) -> Array:
    """Sorted quantiles of both tails, (points, ...), in a shape that is also for y."""
    lower = [functions.quantile(level, *parameters) for level in SCORE_LEVELS]
    upper = [functions.upper_quantile(level, *parameters) for level in SCORE_LEVELS[1:]]
    edges = np.stack([*lower[::-1], *upper])
    return np.broadcast_to(edges, (len(edges), *np.broadcast_shapes(edges.shape[1:], np.shape(y))))
