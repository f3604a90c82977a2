"""What families with a log link, and those of positive values, have in common."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from skmoe._numerics.typing import TINY, Array
from skmoe.families._base import LOG_DISPERSION_BOUNDS, Family
from skmoe.protocols import Dispersion


class LogLink(Family):
    """Families whose mean is the exponential of the linear predictor."""

    link: ClassVar[str] = "log"
    max_step: ClassVar[float] = 1.0

    def initial_predictor(self, y: Array, weight: Array) -> float:
        """Logarithm of the mean."""
        return float(np.log(max(np.average(y, weights=weight), TINY)))

    def mean(self, predictor: Array, log_dispersion: Any) -> Array:
        """Exponential of the linear predictor."""
        return np.exp(predictor)


class Positive(LogLink):
    """Positive values whose logarithm, or whose mean, is the linear predictor plus noise."""

    support: ClassVar[str] = "positive numbers"
    max_predictor: ClassVar[float] = 230.0
    is_location: ClassVar[bool] = True
    has_scale: ClassVar[bool] = True
    dispersions: ClassVar[tuple[Dispersion, ...]] = (Dispersion("log(dispersion)", "dispersion_"),)
    log_dispersion_bounds: ClassVar[tuple[tuple[float, float], ...]] = (LOG_DISPERSION_BOUNDS,)

    def in_support(self, y: Array) -> Array:
        """Positive numbers."""
        return y > 0.0

    def working_target(self, y: Array) -> Array:
        """Logarithm; half of the smallest positive number of an output stands for the others.

        In mixtures with point masses not all values are positive.
        """
        least = np.min(y, axis=-1, keepdims=True, where=y > 0.0, initial=np.inf)
        least = np.where(np.isfinite(least), least, 1.0)
        return np.log(np.where(y > 0.0, y, 0.5 * least))

    def predictor_information(self, predictor: Array, log_dispersion: Any) -> Array:
        """One."""
        return np.ones(predictor.shape)
