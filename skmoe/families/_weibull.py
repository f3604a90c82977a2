"""Weibull and exponential distributions with a log link of the scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import digamma, gammaln, polygamma

from skmoe._numerics.typing import Array
from skmoe.distributions import WeibullComponents
from skmoe.families._base import Partials, Positive
from skmoe.families._normal import LogNormal
from skmoe.protocols import Dispersion, Measure

TIME_RATIO = Measure("time ratio", "times")

# Logarithm of the ratio of y to its scale, to the power of the shape, beyond which this power is
# linear in the logarithm: the products in derivatives are finite.
LINEAR_FROM = 300.0


@dataclass(frozen=True)
class Weibull(Positive):
    r"""Weibull distribution of positive values, such as times to failure and wind speeds [1]_.

    Use it as `family="weibull"`. The logarithm of y is :math:`\eta + \sqrt{\phi} W`, where W has
    the distribution of the smallest extreme value: an accelerated failure time model. The scale of
    y, below which 63 % of the values lie, is :math:`\exp(\eta)`; the shape is
    :math:`1 / \sqrt{\phi}`. The mean is :math:`\exp(\eta) \Gamma(1 + \sqrt{\phi})`.

    See Also
    --------
    Exponential : A shape of one.
    Gamma : Another distribution of positive values, whose mean is the exponential.

    References
    ----------
    .. [1] J. D. Kalbfleisch and R. L. Prentice (2002), "The Statistical Analysis of Failure Time
       Data", 2nd edition, Wiley, chapter 2.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.families import Weibull
    >>> Weibull().mean(np.log([[2.0]]), [np.zeros((1, 1))])
    array([[2.]])
    """

    name: ClassVar[str] = "weibull"
    # With the slope b of the log of times and the shape s, exp(-b s) multiplies the hazard.
    measures: ClassVar[tuple[Measure, ...]] = (
        TIME_RATIO,
        Measure("hazard ratio", "the hazard", -1.0, "log(dispersion)", -0.5),
    )
    dispersions: ClassVar[tuple[Dispersion, ...]] = (
        Dispersion("log(dispersion)", "dispersion_", measure=Measure("shape", factor=-0.5)),
    )
    max_predictor: ClassVar[float] = 200.0
    is_location_scale: ClassVar[bool] = True
    log_dispersion_bounds: ClassVar[tuple[tuple[float, float], ...]] = (
        LogNormal.log_dispersion_bounds
    )

    def _deviation(
        self, y: Array, predictor: Array, log_dispersion: Any
    ) -> tuple[Array, Array, Array]:
        """Standardised logarithm, its exponential, and the root of the dispersion."""
        root = np.exp(0.5 * log_dispersion[0])
        deviation = (np.log(np.where(y > 0.0, y, 1.0)) - predictor) / root
        beyond = np.maximum(deviation - LINEAR_FROM, 0.0)
        power = np.exp(deviation - beyond) * (1.0 + beyond)
        return deviation, power, root

    def log_prob(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """Log density."""
        deviation, power, _ = self._deviation(y, predictor, log_dispersion)
        logs = deviation - power - 0.5 * log_dispersion[0] - np.log(np.where(y > 0.0, y, 1.0))
        return np.where(y > 0.0, logs, -np.inf)

    def predictor_score(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """Excess of the power over its mean of one."""
        _, power, root = self._deviation(y, predictor, log_dispersion)
        return root * (power - 1.0)

    def dispersion_derivatives(self, y: Array, predictor: Array, log_dispersion: Any) -> Partials:
        """By the log dispersion."""
        deviation, power, _ = self._deviation(y, predictor, log_dispersion)
        first = 0.5 * (deviation * (power - 1.0) - 1.0)
        return [first], [[-0.25 * deviation * (power * (1.0 + deviation) - 1.0)]]

    def cross_derivatives(
        self, y: Array, predictor: Array, log_dispersion: Any
    ) -> list[Array] | None:
        """Minus half the derivative of the product of power and deviation."""
        deviation, power, root = self._deviation(y, predictor, log_dispersion)
        return [-0.5 * root * (power * (1.0 + deviation) - 1.0)]

    def predictor_of_mean(self, mean: Array, log_dispersion: Any) -> Array:
        """Logarithm of the scale."""
        return np.log(mean) - gammaln(1.0 + np.exp(0.5 * log_dispersion[0]))

    def mean_dispersion_derivatives(
        self, y: Array, predictor: Array, log_dispersion: Any
    ) -> Partials:
        """By the log dispersion, with which the linear predictor changes."""
        deviation, power, root = self._deviation(y, predictor, log_dispersion)
        [first], [[second]] = self.dispersion_derivatives(y, predictor, log_dispersion)
        change = -0.5 * root * digamma(1.0 + root)
        change_of_change = 0.5 * change - 0.25 * np.square(root) * polygamma(1, 1.0 + root)
        score = (power - 1.0) / root
        cross = -0.5 * (power * (1.0 + deviation) - 1.0) / root
        by_predictor = -power / np.square(root)
        second = second + 2.0 * cross * change + by_predictor * np.square(change)
        return [first + score * change], [[second + score * change_of_change]]

    def mean(self, predictor: Array, log_dispersion: Any) -> Array:
        """The scale times a gamma function."""
        return np.exp(predictor + gammaln(1.0 + np.exp(0.5 * log_dispersion[0])))

    def components(self, predictor: Array, log_dispersion: Any) -> WeibullComponents:
        """The Weibull distribution."""
        return WeibullComponents.single(np.exp(predictor), np.exp(-0.5 * log_dispersion[0]))

    def equation(self, response: str, predictor: str) -> str:
        """That of the scale."""
        return f"scale of {response} = exp({predictor})"

    def example_target(self, rng: np.random.Generator, n_rows: int) -> Array:
        """Weibull numbers of shape 2."""
        return rng.weibull(2.0, size=(1, n_rows))


@dataclass(frozen=True)
class Exponential(Positive):
    r"""Exponential distribution with mean :math:`\exp(\eta)`, of times without ageing [1]_.

    Use it as `family="exponential"`: the Weibull and the gamma distribution of shape one.

    See Also
    --------
    Weibull : With a shape.
    Gamma : With a shape, and the same mean.

    References
    ----------
    .. [1] J. D. Kalbfleisch and R. L. Prentice (2002), "The Statistical Analysis of Failure Time
       Data", 2nd edition, Wiley, chapter 2.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.families import Exponential
    >>> Exponential().log_prob(np.array([[3.0]]), np.zeros((1, 1)), ())
    array([[-3.]])
    """

    name: ClassVar[str] = "exponential"
    measures: ClassVar[tuple[Measure, ...]] = (
        TIME_RATIO,
        Measure("hazard ratio", "the hazard", -1.0),
    )
    support: ClassVar[str] = "numbers from 0 on"
    has_scale: ClassVar[bool] = False
    dispersions: ClassVar[tuple[Dispersion, ...]] = ()
    log_dispersion_bounds: ClassVar[tuple[tuple[float, float], ...]] = ()

    def in_support(self, y: Array) -> Array:
        """Numbers from 0 on."""
        return y >= 0.0

    def log_prob(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """Log density."""
        logs = -predictor - np.maximum(y, 0.0) * np.exp(-predictor)
        return np.where(y >= 0.0, logs, -np.inf)

    def predictor_score(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """Relative residual."""
        return y * np.exp(-predictor) - 1.0

    def components(self, predictor: Array, log_dispersion: Any) -> WeibullComponents:
        """The Weibull distribution of shape one."""
        return WeibullComponents.single(np.exp(predictor), np.ones(()))

    def example_target(self, rng: np.random.Generator, n_rows: int) -> Array:
        """Exponential numbers."""
        return rng.exponential(size=(1, n_rows))
