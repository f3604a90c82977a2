"""SQUAREM acceleration and Aitken's stopping rule."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from skmoe._numerics.typing import TINY, Array, Design

# Relative decrease of the lower bound per row that is attributed to round-off, by the precision of
# the design.
LOWER_BOUND_RTOL = {"float64": 1e-11, "float32": 1e-8}

# Iterations between the lower bounds that Aitken's estimate compares. Gains of single iterations
# are misleading: they alternate between plain and extrapolated steps.
AITKEN_STRIDE = 6


def squarem_step(
    start: Sequence[Array], first: Sequence[Array], second: Sequence[Array], step_max: float
) -> tuple[list[Array], float]:
    """Squared extrapolation from three successive iterates of a fixed-point map [1]_.

    Parameters
    ----------
    start, first, second : sequences of arrays
        Three successive iterates.
    step_max : float
        Largest step length allowed; 1 gives `second`.

    Returns
    -------
    extrapolated : list of arrays
    step : float
        The step length used.

    References
    ----------
    .. [1] R. Varadhan and C. Roland (2008), "Simple and globally convergent methods for
       accelerating the convergence of any EM algorithm", Scandinavian Journal of Statistics 35,
       335-353. Scheme SqS3.
    """
    change = [b - a for a, b in zip(start, first, strict=True)]
    second_difference = [c - b - r for b, c, r in zip(first, second, change, strict=True)]
    ratio = np.sqrt(_sum_of_squares(change) / max(_sum_of_squares(second_difference), TINY))
    step = float(np.clip(ratio, 1.0, step_max))
    extrapolated = [
        a + 2.0 * step * r + step**2 * v
        for a, r, v in zip(start, change, second_difference, strict=True)
    ]
    return extrapolated, step


def _sum_of_squares(arrays: list[Array]) -> float:
    return float(sum(np.vdot(a, a) for a in arrays))


def lower_bound_tolerance(design: Design | None) -> float:
    """Relative decrease of the lower bound per row that is attributed to round-off."""
    return LOWER_BOUND_RTOL["float64" if design is None else str(design.dtype)]


def aitken_gap(
    lower_bounds: Sequence[float],
    rtol: float = LOWER_BOUND_RTOL["float64"],
    stride: int = AITKEN_STRIDE,
) -> float:
    """Aitken's estimate of the distance of an increasing sequence from its limit [1]_.

    Returns zero at a fixed point up to `rtol`, and infinity while no estimate is possible.

    References
    ----------
    .. [1] D. Böhning, E. Dietz, R. Schaub, P. Schlattmann and B. Lindsay (1994), "The distribution
       of the likelihood ratio for mixtures of densities from the one-parameter exponential
       family", Annals of the Institute of Statistical Mathematics 46, 373-388.
    """
    if len(lower_bounds) > 2:
        gain_of_two = lower_bounds[-1] - lower_bounds[-3]
        if gain_of_two <= rtol * (1.0 + abs(lower_bounds[-1])):
            return 0.0
    if len(lower_bounds) <= 2 * stride:
        return math.inf
    gain = lower_bounds[-1 - stride] - lower_bounds[-1 - 2 * stride]
    last_gain = lower_bounds[-1] - lower_bounds[-1 - stride]
    if last_gain >= gain:
        return math.inf
    # Large early gains make the estimate too optimistic: it is bounded below by the last gain.
    return max(last_gain**2 / (gain - last_gain), last_gain)
