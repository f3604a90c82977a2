"""Inverse Gaussian distribution with a log link."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from skmoe._numerics.probability import LOG_2PI
from skmoe._numerics.typing import Array
from skmoe.distributions import InverseGaussianComponents
from skmoe.families._base import Curvature, as_outputs
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
    >>> InverseGaussian().mean([np.log([2.0]), np.zeros(1)]).round(6)
    array([2.])
    """

    name: ClassVar[str] = "inverse_gaussian"
    power: ClassVar[float] = 3.0

    def _at(self, y: Array, eta: Sequence[Array]) -> tuple[Array, Array]:
        """Ratio of y to the mean, and the factor of its squared residual in the deviance."""
        return y * np.exp(-eta[0]), self._unit / y * np.exp(-eta[1])

    def derivatives(self, y: Array, eta: Sequence[Array]) -> Iterator[Any]:
        """Expected information."""
        ratio, factor = self._at(y, eta)
        excess = ratio - 1.0
        scaled = excess * factor
        excess *= scaled
        yield -0.5 * (excess + eta[1] + (LOG_2PI - np.log(self._unit) + 3.0 * np.log(y)))
        scaled *= ratio
        excess -= 1.0
        excess *= 0.5
        yield scaled, excess
        yield {(0, 0): self._unit * np.exp(-eta[0] - eta[1]), (1, 1): 0.5}

    def second(self, y: Array, eta: Sequence[Array]) -> Curvature:
        """By linear predictor and log dispersion."""
        ratio, factor = self._at(y, eta)
        excess = ratio - 1.0
        return {
            (0, 0): -factor * ratio * (ratio + excess),
            (0, 1): -factor * ratio * excess,
            (1, 1): -0.5 * factor * np.square(excess),
        }

    def components(self, eta: Sequence[Array]) -> InverseGaussianComponents:
        """The inverse Gaussian distribution."""
        predictor, log_dispersion = as_outputs(eta)
        dispersion = np.exp(log_dispersion) * self.dispersion_unit[:, None]
        return InverseGaussianComponents.single(np.exp(predictor), dispersion)

    def example_target(self, rng: np.random.Generator, n_rows: int) -> Array:
        """Values of dispersion one half."""
        return rng.wald(2.0, 2.0, size=(1, n_rows))
