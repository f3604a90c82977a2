"""Inverse Gaussian distribution with a log link."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from skmoe._numerics.probability import LOG_2PI
from skmoe._numerics.typing import Array
from skmoe.distributions import InverseGaussianComponents
from skmoe.families._base import Partials
from skmoe.families._tweedie import PowerVariance


@dataclass(frozen=True)
class InverseGaussian(PowerVariance):
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
    power: ClassVar[float] = 3.0

    def log_prob(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """Log density."""
        positive = np.where(y > 0.0, y, 1.0)
        logs = LOG_2PI + log_dispersion[0] - np.log(self._unit) + 3.0 * np.log(positive)
        logs = -0.5 * (logs + self._deviance(positive, predictor) * np.exp(-log_dispersion[0]))
        return np.where(y > 0.0, logs, -np.inf)

    def _deviance(self, y: Array, predictor: Array) -> Array:
        """Squared relative residual divided by y in its unit."""
        return self._unit * np.square(y * np.exp(-predictor) - 1.0) / y

    def dispersion_derivatives(self, y: Array, predictor: Array, log_dispersion: Any) -> Partials:
        """Half of the scaled deviance, less one half."""
        half = 0.5 * self._deviance(y, predictor) * np.exp(-log_dispersion[0])
        return [half - 0.5], [[-half]]

    def components(self, predictor: Array, log_dispersion: Any) -> InverseGaussianComponents:
        """The inverse Gaussian distribution."""
        [dispersion] = self.dispersion_values(log_dispersion)
        return InverseGaussianComponents.single(np.exp(predictor), dispersion)

    def example_target(self, rng: np.random.Generator, n_rows: int) -> Array:
        """Values of dispersion one half."""
        return rng.wald(2.0, 2.0, size=(1, n_rows))
