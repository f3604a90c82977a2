"""Tails of the incomplete beta function, whose logarithms stay finite where it underflows."""

from __future__ import annotations

import numpy as np

from skmoe._numerics.typing import Array

# Terms of the continued fraction.
BETA_TERMS = 60


def log_beta_fraction(a: Array, b: Array, x: Array, excess: Array) -> Array:
    """Log of B(a, b) I_x(a, b) / (x^a (1 - x)^b), for x below a / (a + b).

    A continued fraction [1]_ that loses no digits to cancellation for large a or b, as long as
    `excess`, a - (a + b) x, is given without cancellation. All arguments have the same shape.

    References
    ----------
    .. [1] A. R. DiDonato and A. H. Morris (1992), "Algorithm 708: Significant digit computation of
       the incomplete beta function ratios", ACM Transactions on Mathematical Software 18, 360-373.
    """
    fraction = np.zeros_like(x)
    for n in range(BETA_TERMS if x.size else 0, 0, -1):
        odd = a + (2.0 * n - 1.0)
        step = n * ((b - n) / odd) * x
        denominator = n + step + (a + n) / (odd + 2.0) * (excess + 1.0 + n * (2.0 - x))
        fraction = (
            ((a + (n - 1.0)) / odd) * (a + b + (n - 1.0)) * step * x / (denominator + fraction)
        )
    first = a / (a + 1.0) * (excess + 1.0)
    return -np.log(first + fraction)
