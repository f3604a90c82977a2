"""What families with a log link and a power of the mean as variance have in common."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np

from skmoe._numerics.typing import Array
from skmoe.families._base import Positive


@dataclass(frozen=True)
class PowerVariance(Positive):
    """Exponential dispersion models whose variance is dispersion * mean^power, of positive means.

    The dispersion has the unit of y to the power of 2 - power. Outputs are therefore seen in units
    of their means, so that a fit does not depend on the units of y.
    """

    max_predictor: ClassVar[float] = 200.0
    is_location: ClassVar[bool] = False

    # By keyword only, so that the option of a family comes first: Tweedie(1.7).
    unit: tuple[float, ...] = field(default=(1.0,), kw_only=True)

    # The power of the mean in the variance: a field, or the same for all objects of a class.
    power: ClassVar[float]

    def fitted_to(self, y: Array, weight: Array, scaling: Any) -> Self:
        """The family with the means of the positive outputs, in units of which it sees them."""
        positive = weight * (y > 0.0)
        total = positive.sum(axis=1)
        sums = (positive * np.maximum(y, 0.0)).sum(axis=1)
        unit = np.divide(sums, total, out=np.ones(len(y)), where=total > 0.0)
        return replace(self, unit=tuple(unit.tolist()))

    @property
    def _unit(self) -> Array:
        """Unit of each output, (m, 1)."""
        return np.array(self.unit)[:, None]

    def dispersion_values(self, log_dispersion: Any) -> list[Array]:
        """The dispersion in units of y to the power of 2 - power."""
        unit = np.power(self._unit, 2.0 - self.power)
        return [np.exp(values) * unit for values in log_dispersion]

    def _relative(self, y: Array, predictor: Array) -> tuple[Array, Array]:
        """Outputs and their means in units of the family."""
        return y / self._unit, np.exp(predictor) / self._unit

    def predictor_score(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """Residual times the mean to the power of 1 - power."""
        relative, mean = self._relative(y, predictor)
        return (relative - mean) * np.power(mean, 1.0 - self.power)

    def predictor_information(self, predictor: Array, log_dispersion: Any) -> Array:
        """The mean to the power of 2 - power."""
        return np.power(np.exp(predictor) / self._unit, 2.0 - self.power)

    def rate_weight(self, exposure: Array) -> Array:
        """Inverse of the factor of the variance of an output per unit of exposure."""
        return np.power(exposure, 2.0 - self.power)
