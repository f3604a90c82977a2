"""Inverse Gaussian distribution with a log link."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from skmoe._numerics.probability import LOG_2PI
from skmoe._numerics.typing import Array
from skmoe.distributions import InverseGaussianComponents
from skmoe.families._base import LOG_DISPERSION_BOUNDS, Family
from skmoe.families._normal import log_of_positive
from skmoe.protocols import Dispersion


@dataclass(frozen=True)
class InverseGaussian(Family):
    r"""Inverse Gaussian with mean :math:`\mu = \exp(\eta)` and variance :math:`\phi \mu^3` [1]_.

    Use it, as `family="inverse_gaussian"`, for positive values whose standard deviation increases
    faster than the mean, such as large claims and times to a first passage. The dispersion
    :math:`\phi` has the unit 1/y.

    Parameters
    ----------
    unit : tuple of float, default=(1.0,)
        Mean of each output, in units of which the family sees it; set by the fit.

    See Also
    --------
    Gamma : Positive values whose standard deviation is proportional to the mean.
    LogNormal : Positive values with a heavier tail.

    References
    ----------
    .. [1] P. McCullagh and J. A. Nelder (1989), "Generalized Linear Models", 2nd edition, Chapman
       and Hall, chapter 2.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.families import InverseGaussian
    >>> InverseGaussian().mean(np.log([[2.0]]), [np.zeros((1, 1))]).round(6)
    array([[2.]])
    """

    name: ClassVar[str] = "inverse_gaussian"
    link: ClassVar[str] = "log"
    support: ClassVar[str] = "positive numbers"
    has_scale: ClassVar[bool] = True
    max_predictor: ClassVar[float] = 200.0
    max_step: ClassVar[float] = 1.0

    unit: tuple[float, ...] = (1.0,)
    dispersions: ClassVar[tuple[Dispersion, ...]] = (Dispersion("log(dispersion)", "dispersion_"),)
    log_dispersion_bounds: ClassVar[tuple[tuple[float, float], ...]] = (LOG_DISPERSION_BOUNDS,)

    def in_support(self, y: Array) -> Array:
        """Positive numbers."""
        return y > 0.0

    def working_target(self, y: Array) -> Array:
        """The logarithm."""
        return log_of_positive(y)

    def initial_predictor(self, y: Array, weight: Array) -> float:
        """Logarithm of the mean."""
        return float(np.log(np.average(y, weights=weight)))

    def fitted_to(self, y: Array, weight: Array, scaling: Any) -> InverseGaussian:
        """The family with the means of the positive outputs, in units of which it sees them."""
        positive = weight * (y > 0.0)
        total = positive.sum(axis=1)
        sums = (positive * np.maximum(y, 0.0)).sum(axis=1)
        unit = np.divide(sums, total, out=np.ones(len(y)), where=total > 0.0)
        return replace(self, unit=tuple(unit.tolist()))

    def dispersion_values(self, log_dispersion: Any) -> list[Array]:
        """The dispersion in units of 1/y."""
        return [np.exp(values) / self._unit for values in log_dispersion]

    @property
    def _unit(self) -> Array:
        """Unit of each output, (m, 1)."""
        return np.array(self.unit)[:, None]

    def log_prob(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """Log density."""
        positive = np.where(y > 0.0, y, 1.0)
        logs = LOG_2PI + log_dispersion[0] - np.log(self._unit) + 3.0 * np.log(positive)
        logs = -0.5 * (logs + self._deviance(positive, predictor) * np.exp(-log_dispersion[0]))
        return np.where(y > 0.0, logs, -np.inf)

    def _deviance(self, y: Array, predictor: Array) -> Array:
        """Squared relative residual divided by y in its unit."""
        return self._unit * np.square(y * np.exp(-predictor) - 1.0) / y

    def predictor_score(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """Relative residual divided by the mean in its unit."""
        return self._unit * (y * np.exp(-predictor) - 1.0) * np.exp(-predictor)

    def predictor_information(self, predictor: Array, log_dispersion: Any) -> Array:
        """Inverse of the mean in its unit."""
        return self._unit * np.exp(-predictor)

    def dispersion_derivatives(
        self, y: Array, predictor: Array, log_dispersion: Any
    ) -> tuple[list[Array], list[list[Array]]]:
        """Half of the scaled deviance, less one half."""
        half = 0.5 * self._deviance(y, predictor) * np.exp(-log_dispersion[0])
        return [half - 0.5], [[-half]]

    def rate_weight(self, exposure: Array) -> Array:
        """Inverse exposure: the variance of an output per unit is proportional to it."""
        return 1.0 / exposure

    def mean(self, predictor: Array, log_dispersion: Any) -> Array:
        """Exponential of the linear predictor."""
        return np.exp(predictor)

    def components(self, predictor: Array, log_dispersion: Any) -> InverseGaussianComponents:
        """The inverse Gaussian distribution."""
        [dispersion] = self.dispersion_values(log_dispersion)
        dispersion = np.broadcast_to(dispersion, predictor.shape)
        weight = np.ones((1, predictor.shape[1]))
        return InverseGaussianComponents(weight, np.exp(predictor)[None], dispersion[None])

    def example_target(self, rng: np.random.Generator, n_rows: int) -> Array:
        """Values of dispersion one half."""
        return rng.wald(2.0, 2.0, size=(1, n_rows))
