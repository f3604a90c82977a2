"""Tweedie distributions, and what families with a power of the mean as variance have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np

from skmoe._data.checks import check_real
from skmoe._numerics.tweedie_series import log_sum, moments_of_index, shape_of_jumps
from skmoe._numerics.typing import Array
from skmoe.distributions._components import NestedComponents
from skmoe.distributions._tweedie import tweedie_components
from skmoe.families._base import Curvature, Positive, as_outputs


@dataclass(frozen=True)
class PowerVariance(Positive):
    """Exponential dispersion models whose variance is dispersion * mean^power, of positive means.

    The dispersion has the unit of y to the power of 2 - power. Outputs are therefore seen in units
    of their means, so that a fit does not depend on the units of y.
    """

    max_predictor: ClassVar[float] = 200.0
    is_location: ClassVar[bool] = False

    output_fields: ClassVar[tuple[str, ...]] = ("unit",)
    # By keyword only, so that the option of a family comes first: Tweedie(1.7).
    unit: tuple[float, ...] = field(default=(1.0,), kw_only=True)

    # The power of the mean in the variance: a field, or the same for all objects of a class.
    power: ClassVar[float]

    @property
    def exposure_power(self) -> float:  # type: ignore[override]
        """That of the inverse variance of an output per unit of exposure."""
        return 2.0 - self.power

    def fitted_to(self, y: Array, weight: Array, scaling: Any) -> Self:
        """The family with the means of the positive outputs, in units of which it sees them."""
        positive = weight * (y > 0.0)
        total = positive.sum(axis=1)
        sums = (positive * np.maximum(y, 0.0)).sum(axis=1)
        unit = np.divide(sums, total, out=np.ones(len(y)), where=total > 0.0)
        return replace(self, unit=tuple(unit.tolist()))

    @property
    def _unit(self) -> Any:
        """Unit of the output, or of each, (m, 1)."""
        return self.unit[0] if len(self.unit) == 1 else np.array(self.unit)[:, None]

    @property
    def dispersion_unit(self) -> Array:
        """Unit of y to the power of 2 - power, of each output."""
        return np.power(self.unit, 2.0 - self.power)


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
    >>> Tweedie().log_prob(np.zeros(1), [np.zeros(1), np.zeros(1)])
    array([-2.])
    """

    name: ClassVar[str] = "tweedie"
    takes_bounds: ClassVar[bool] = False
    max_outputs: ClassVar[float] = 1
    support: ClassVar[str] = "numbers from 0 on"
    atoms: ClassVar[tuple[float, ...]] = (0.0,)

    power: float = 1.5  # type: ignore[misc]

    def check_options(self) -> None:
        """The power is between 1 and 2."""
        check_real("power", self.power, least=MIN_POWER, most=MAX_POWER)

    def in_support(self, y: Array) -> Array:
        """Numbers from 0 on."""
        return y >= 0.0

    def _at(self, y: Array, eta: Sequence[Array]) -> tuple[Array, Array, Array]:
        """Mean, residual and dispersion in units of the family, the last two as parts of scores.

        The information about the linear predictor is the first; the second is its score. The last
        is the exponent of the density.
        """
        power, unit = self.power, self._unit
        mean, precision = np.exp(eta[0]) / unit, np.exp(-eta[1])
        factor = np.power(mean, 1.0 - power) * precision
        information = factor * mean
        exponent = factor * (y / (unit * (1.0 - power)))
        exponent -= information / (2.0 - power)
        return information, factor * (y / unit) - information, exponent

    def _log_z(self, y: Array, log_dispersion: Array) -> Array:
        """Argument of the series of the density at y, of which zeros are taken as one."""
        shape = shape_of_jumps(self.power)
        log_y = np.log(np.where(y > 0.0, y / self._unit, 1.0)) - np.log(self.power - 1.0)
        return shape * log_y - np.log(2.0 - self.power) - (1.0 + shape) * log_dispersion

    def derivatives(self, y: Array, eta: Sequence[Array]) -> Iterator[Any]:
        """Expected information about the mean, absolute observed one about the dispersion."""
        (information, slope, exponent), log_z = self._at(y, eta), self._log_z(y, eta[1])
        positive = y > 0.0
        series = log_sum(log_z, self.power) - np.log(np.where(positive, y, 1.0))
        yield exponent + np.where(positive, series, 0.0)
        index, variance = moments_of_index(log_z, self.power)
        factor = np.where(positive, 1.0 + shape_of_jumps(self.power), 0.0)
        yield slope, -factor * index - exponent
        yield {
            (0, 0): information,
            (1, 1): np.abs(np.square(factor) * variance + exponent),
        }

    def second(self, y: Array, eta: Sequence[Array]) -> Curvature:
        """By linear predictor and log dispersion."""
        information, slope, exponent = self._at(y, eta)
        _, variance = moments_of_index(self._log_z(y, eta[1]), self.power)
        factor = np.where(y > 0.0, 1.0 + shape_of_jumps(self.power), 0.0)
        return {
            (0, 0): (1.0 - self.power) * slope - information,
            (0, 1): -slope,
            (1, 1): np.square(factor) * variance + exponent,
        }

    def components(self, eta: Sequence[Array]) -> NestedComponents:
        """A point mass at zero and positive values."""
        predictor, log_dispersion = as_outputs(eta)
        mean, dispersion = np.broadcast_arrays(
            np.exp(predictor), np.exp(log_dispersion) * self.dispersion_unit[:, None]
        )
        return tweedie_components(mean, dispersion, np.full(mean.shape, self.power))

    def example_target(self, rng: np.random.Generator, n_rows: int) -> Array:
        """Sums of gamma numbers, of which a third are zero."""
        return np.asarray(
            rng.gamma(1.0, size=(1, n_rows, 4))
            * (rng.poisson(1.1, size=(1, n_rows))[..., None] > np.arange(4))
        ).sum(axis=-1)
