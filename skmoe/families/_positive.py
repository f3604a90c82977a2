"""What families of positive values with a log link have in common."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from skmoe._numerics.typing import Array
from skmoe.families._base import Family


class Positive(Family):
    """Positive values, which start from the logarithm of their mean."""

    link: ClassVar[str] = "log"
    support: ClassVar[str] = "positive numbers"
    max_predictor: ClassVar[float] = 200.0
    max_step: ClassVar[float] = 1.0

    def in_support(self, y: Array) -> Array:
        """Positive numbers."""
        return y > 0.0

    def working_target(self, y: Array) -> Array:
        """The logarithm."""
        return log_of_positive(y)

    def initial_predictor(self, y: Array, weight: Array) -> float:
        """Logarithm of the mean."""
        return float(np.log(max(np.average(y, weights=weight), np.finfo(float).tiny)))

    def mean(self, predictor: Array, log_dispersion: Any) -> Array:
        """Exponential of the linear predictor."""
        return np.exp(predictor)


def log_of_positive(y: Array) -> Array:
    """Logarithm, with half of the smallest positive number of each output in place of the others.

    In mixtures with point masses not all values are positive.
    """
    least = np.min(y, axis=-1, keepdims=True, where=y > 0.0, initial=np.inf)
    least = np.where(np.isfinite(least), least, 1.0)
    return np.log(np.where(y > 0.0, y, 0.5 * least))
