"""SQUAREM acceleration and Aitken's stopping rule."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from skmoe._numerics.typing import TINY, Array, Design

# A fall of a bound per row, relative to its size, that is round-off, by the precision of designs.
LOWER_BOUND_RTOL = {"float64": 1e-11, "float32": 1e-8}

# Iterations between the bounds that Aitken's estimate compares: single gains alternate between
# plain and extrapolated steps, and those after an extrapolation fall faster than the climb does.
AITKEN_STRIDE = 6


def squarem_step(
    start: Sequence[Array], first: Sequence[Array], second: Sequence[Array], step_max: float
) -> tuple[list[Array], float]:
    """Squared extrapolation from three successive iterates of a fixed-point map [1]_.

    Parameters
    ----------
    start, first, second : sequences of arrays
        An iterate and the next two.
    longest : float
        Largest step length allowed; 1 gives `second`.

    Returns
    -------
    extrapolated : list of arrays
    length : float
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
    """Fall of a bound per row, relative to its size, that says nothing."""
    return LOWER_BOUND_RTOL["float64" if design is None else str(design.dtype)]


def aitken_gap(
    bounds: Sequence[float],
    round_off: float = LOWER_BOUND_RTOL["float64"],
    stride: int = AITKEN_STRIDE,
) -> float:
    """Aitken's estimate of how far a rising sequence is below its limit [1]_.

    References
    ----------
    .. [1] D. Böhning, E. Dietz, R. Schaub, P. Schlattmann and B. Lindsay (1994), "The distribution
       of the likelihood ratio for mixtures of densities from the one-parameter exponential
       family", Annals of the Institute of Statistical Mathematics 46, 373-388.
    """
    if len(bounds) > 2 and bounds[-1] - bounds[-3] <= round_off * (1.0 + abs(bounds[-1])):
        return 0.0  # a fixed point
    if len(bounds) <= 2 * stride:
        return math.inf
    gain = bounds[-1 - stride] - bounds[-1 - 2 * stride]
    last_gain = bounds[-1] - bounds[-1 - stride]
    if last_gain >= gain:
        return math.inf
    # The first iterations gain much more than those after them, which feigns fast convergence:
    # what is left is put no lower than what has just been gained.
    return max(last_gain**2 / (gain - last_gain), last_gain)
