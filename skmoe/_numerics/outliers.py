"""Outliers of a target."""

from __future__ import annotations

import numpy as np

from skmoe._numerics.typing import Array

# Standard deviations from the median beyond which values are outliers, and the factor from the
# median absolute deviation to the standard deviation of a normal distribution.
MAX_DEVIATION = 4.0
MAD_TO_STD = 1.4826


def without_outliers(y: Array) -> Array:
    """Outputs (m, n) with values far from the median moved to `MAX_DEVIATION` from it."""
    median = np.median(y, axis=-1, keepdims=True)
    deviation = MAX_DEVIATION * MAD_TO_STD * np.median(np.abs(y - median), axis=-1, keepdims=True)
    moved = np.clip(y, median - deviation, median + deviation)
    return np.where(deviation > 0.0, moved, y)
