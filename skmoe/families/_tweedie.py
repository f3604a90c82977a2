"""Tweedie distributions, and what families with a power of the mean as variance have in common."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np

from skmoe._data.checks import check_real
from skmoe._numerics.tweedie_series import log_sum, moments_of_index, shape_of_jumps
from skmoe._numerics.typing import Array
from skmoe.distributions._components import NestedComponents
from skmoe.distributions._tweedie import tweedie_components
from skmoe.families._base import Partials, Positive


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


# Powers next to 1 are distributions on a grid, and those next to 2 have no zeros.
MIN_POWER, MAX_POWER = 1.01, 1.99


@dataclass(frozen=True)
class Tweedie(PowerVariance):
    r"""Tweedie distribution with mean :math:`\exp(\eta)` and variance :math:`\phi \mu^p` [1]_.

    Use it, as `family="tweedie"`, for amounts that are zero in many rows and positive in others,
    such as the cost of all claims of a policy or the rain of a day. It is the sum of a Poisson
    number of gamma variables. The density is with respect to the sum of Lebesgue measure and the
    point mass at zero. Amounts of one output only.

    With `offset=np.log(exposure)` the variance of the amount is :math:`\phi (e \mu)^p`. Insurers
    usually fit amounts per unit of exposure, with the exposure as weight, whose variance is
    :math:`\phi \mu^p / e`: `fit(X, amount / exposure, sample_weight=exposure)`. The slopes of the
    two differ. Standard errors of the second are those of `inference` with `method="sandwich"` and
    a cluster for each row.

    Parameters
    ----------
    power : float, default=1.5
        Power :math:`p` of the variance function, from 1.01 to 1.99, typically 1.3 to 1.8. Compare
        powers by held-out log density, as in `GridSearchCV(moe, {"family": [Tweedie(power=1.3),
        Tweedie(power=1.7)]})`.
    unit : tuple of float, default=(1.0,)
        Mean of the output, in units of which the family sees it; set by the fit.

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
    takes_bounds: ClassVar[bool] = False
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

    def _log_z(self, y: Array, log_dispersion: Any) -> Array:
        """Argument of the series of the density at y, of which zeros are taken as one."""
        shape = shape_of_jumps(self.power)
        log_y = np.log(np.where(y > 0.0, y, 1.0)) - np.log(self.power - 1.0)
        return shape * log_y - np.log(2.0 - self.power) - (1.0 + shape) * log_dispersion[0]

    def log_prob(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """Log density of positive values, and log probability of zero."""
        relative, mean = self._relative(np.maximum(y, 0.0), predictor)
        logs = self._exponent(relative, mean) * np.exp(-log_dispersion[0])
        series = log_sum(self._log_z(relative, log_dispersion), self.power)
        positive = y > 0.0
        logs = logs + np.where(positive, series - np.log(np.where(positive, y, 1.0)), 0.0)
        return np.where(y >= 0.0, logs, -np.inf)

    def dispersion_derivatives(self, y: Array, predictor: Array, log_dispersion: Any) -> Partials:
        """By the log dispersion, of the exponent and of the series."""
        relative, mean = self._relative(y, predictor)
        exponent = self._exponent(relative, mean) * np.exp(-log_dispersion[0])
        index, variance = moments_of_index(self._log_z(relative, log_dispersion), self.power)
        factor = np.where(y > 0.0, 1.0 + shape_of_jumps(self.power), 0.0)
        return [-factor * index - exponent], [[np.square(factor) * variance + exponent]]

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
