"""Tweedie distributions: sums of a Poisson number of gamma variables, with a log link."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from skmoe._data.checks import check_real
from skmoe._numerics.tweedie_series import log_sum, shape_of_jumps
from skmoe._numerics.typing import Array
from skmoe.distributions._nested import NestedComponents
from skmoe.distributions._tweedie import tweedie_components
from skmoe.families._power_variance import PowerVariance

# Powers next to 1 are distributions on a grid, and those next to 2 have no zeros.
MIN_POWER, MAX_POWER = 1.01, 1.99


@dataclass(frozen=True)
class Tweedie(PowerVariance):
    r"""Tweedie distribution with mean :math:`\exp(\eta)` and variance :math:`\phi \mu^p` [1]_.

    Use it, as `family="tweedie"`, for amounts that are zero in many rows and positive in others,
    such as the cost of all claims of a policy or the rain of a day: the sum of a Poisson number of
    gamma variables. The density is with respect to the sum of Lebesgue measure and the point mass
    at zero. Amounts of one output only.

    Parameters
    ----------
    unit : tuple of float, default=(1.0,)
        Mean of the output, in units of which the family sees it; set by the fit.
    power : float, default=1.5
        Power :math:`p` of the variance function, from 1.01 to 1.99, typically 1.3 to 1.8. Compare
        powers by held-out log density, as in `GridSearchCV(moe, {"family": [Tweedie(power=1.3),
        Tweedie(power=1.7)]})`.

    See Also
    --------
    Zero : A share of zeros with a gate of its own, as in `family=["zero", "gamma"]`.
    sklearn.linear_model.TweedieRegressor : One such regression.

    References
    ----------
    .. [1] P. K. Dunn and G. K. Smyth (2005), "Series evaluation of Tweedie exponential dispersion
       model densities", Statistics and Computing 15, 267-280.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.families import Tweedie
    >>> Tweedie().log_prob(np.zeros((1, 1)), np.zeros((1, 1)), [np.zeros((1, 1))])
    array([[-2.]])
    """

    name: ClassVar[str] = "tweedie"
    support: ClassVar[str] = "numbers from 0 on"
    atoms: ClassVar[tuple[float, ...]] = (0.0,)

    power: float = 1.5  # type: ignore[misc]

    def check_options(self) -> None:
        """The power is between 1 and 2."""
        check_real("power", self.power, least=MIN_POWER, most=MAX_POWER)

    def obstacle(self, y: Array) -> str:
        """One output."""
        return "one output" if len(y) > 1 else ""

    def in_support(self, y: Array) -> Array:
        """Numbers from 0 on."""
        return y >= 0.0

    def _exponent(self, y: Array, mean: Array) -> Array:
        """Exponent of the density, times the dispersion."""
        power = self.power
        first = y * np.power(mean, 1.0 - power) / (1.0 - power)
        return first - np.power(mean, 2.0 - power) / (2.0 - power)

    def _series(self, y: Array, log_dispersion: Any) -> tuple[Array, Array, Array]:
        """Log of the series at positive y, and its derivatives by the log dispersion; else zero."""
        positive, shape = y > 0.0, shape_of_jumps(self.power)
        log_y = np.log(np.where(positive, y, 1.0))
        log_z = shape * (log_y - np.log(self.power - 1.0)) - np.log(2.0 - self.power)
        log_z = log_z - (1.0 + shape) * log_dispersion[0]
        value, mean, variance = log_sum(log_z, self.power)
        return (
            np.where(positive, value - log_y, 0.0),
            np.where(positive, -(1.0 + shape) * mean, 0.0),
            np.where(positive, np.square(1.0 + shape) * variance, 0.0),
        )

    def log_prob(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """Log density of positive values, and log probability of zero."""
        possible = y >= 0.0
        relative, mean = self._relative(np.where(possible, y, 0.0), predictor)
        series, _, _ = self._series(relative, log_dispersion)
        logs = self._exponent(relative, mean) * np.exp(-log_dispersion[0]) + series
        logs = logs - np.where(relative > 0.0, np.log(self._unit), 0.0)
        return np.where(possible, logs, -np.inf)

    def dispersion_derivatives(
        self, y: Array, predictor: Array, log_dispersion: Any
    ) -> tuple[list[Array], list[list[Array]]]:
        """By the log dispersion, of the exponent and of the series."""
        relative, mean = self._relative(y, predictor)
        exponent = self._exponent(relative, mean) * np.exp(-log_dispersion[0])
        _, first, second = self._series(relative, log_dispersion)
        return [first - exponent], [[second + exponent]]

    def components(self, predictor: Array, log_dispersion: Any) -> NestedComponents:
        """A point mass at zero and positive values."""
        [dispersion] = self.dispersion_values(log_dispersion)
        mean = np.exp(predictor)
        dispersion = np.broadcast_to(dispersion, mean.shape)
        return tweedie_components(mean, dispersion, np.full(mean.shape, self.power))

    def example_target(self, rng: np.random.Generator, n_rows: int) -> Array:
        """Sums of gamma numbers, of which a third are zero."""
        return np.asarray(
            rng.gamma(1.0, size=(1, n_rows, 4))
            * (rng.poisson(1.1, size=(1, n_rows))[..., None] > np.arange(4))
        ).sum(axis=-1)
