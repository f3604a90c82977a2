"""Weibull and exponential distributions with a log link of the scale."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import digamma, gammaln

from skmoe._numerics.typing import Array
from skmoe.distributions import WeibullComponents
from skmoe.families._base import Curvature, Positive, as_outputs, log_mean_of
from skmoe.families._normal import LogNormal
from skmoe.protocols import Dispersion, Measure

TIME_RATIO = Measure("time ratio", "times")

# Logarithm of the ratio of y to its scale, to the power of the shape, beyond which this power is
# linear in the logarithm: the products in derivatives are finite.
LINEAR_FROM = 300.0

# Information about the log of the root of the dispersion, and that and the linear predictor, of
# standard noise.
OF_SCALE = float(np.pi**2 / 6.0 + np.square(1.0 - np.euler_gamma))
OF_BOTH = float(1.0 - np.euler_gamma)


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
    >>> Weibull().mean([np.log([2.0]), np.zeros(1)])
    array([2.])
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
    equation: ClassVar[str] = "scale of {response} = exp({predictor})"
    max_predictor: ClassVar[float] = 200.0
    is_location_scale: ClassVar[bool] = True
    log_dispersion_bounds: ClassVar[tuple[tuple[float, float], ...]] = (
        LogNormal.log_dispersion_bounds
    )

    def _at(self, y: Array, eta: Sequence[Array]) -> tuple[Array, Array, Array, Array]:
        """Standardised logarithm, its exponential, precision of the noise, and logarithm of y."""
        precision, log_y = np.exp(-0.5 * eta[1]), np.log(y)
        deviation = log_y - eta[0]
        deviation *= precision
        if deviation.max(initial=0.0) <= LINEAR_FROM:
            return deviation, np.exp(deviation), precision, log_y
        beyond = np.maximum(deviation - LINEAR_FROM, 0.0)
        return deviation, np.exp(deviation - beyond) * (1.0 + beyond), precision, log_y

    def derivatives(self, y: Array, eta: Sequence[Array]) -> Iterator[Any]:
        """Expected information, with that about both."""
        deviation, power, precision, log_y = self._at(y, eta)
        logs = deviation - power
        logs -= 0.5 * eta[1] + log_y
        yield logs
        power -= 1.0
        deviation *= power
        deviation -= 1.0
        deviation *= 0.5
        power *= precision
        yield power, deviation
        yield {
            (0, 0): np.square(precision),
            (0, 1): 0.5 * OF_BOTH * precision,
            (1, 1): 0.25 * OF_SCALE,
        }

    def second(self, y: Array, eta: Sequence[Array]) -> Curvature:
        """By linear predictor and log dispersion."""
        deviation, power, precision, _ = self._at(y, eta)
        by_root = power * (1.0 + deviation) - 1.0
        return {
            (0, 0): -power * np.square(precision),
            (0, 1): -0.5 * by_root * precision,
            (1, 1): -0.25 * deviation * by_root,
        }

    def mean(self, eta: Sequence[Array]) -> Array:
        """The scale times a gamma function."""
        return np.exp(eta[0] + gammaln(1.0 + np.exp(0.5 * eta[1])))

    def mean_derivatives(self, eta: Sequence[Array]) -> list[Any]:
        """The mean, and it times the derivative of the log gamma function."""
        mean, root = self.mean(eta), np.exp(0.5 * eta[1])
        return [mean, 0.5 * root * digamma(1.0 + root) * mean]

    def location(self, mean: Array, eta: Sequence[Array]) -> Array:
        """Logarithm of the scale."""
        return np.log(mean) - gammaln(1.0 + np.exp(0.5 * eta[1]))

    def components(self, eta: Sequence[Array]) -> WeibullComponents:
        """The Weibull distribution."""
        predictor, log_dispersion = as_outputs(eta)
        return WeibullComponents.single(np.exp(predictor), np.exp(-0.5 * log_dispersion))

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
    >>> Exponential().log_prob(np.array([3.0]), [np.zeros(1)])
    array([-3.])
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

    def start(self, y: Array, weight: Array) -> Array:
        """Logarithm of the mean."""
        return np.array([log_mean_of(y, weight)])

    def derivatives(self, y: Array, eta: Sequence[Array]) -> Iterator[Any]:
        """Expected information of one."""
        ratio = y * np.exp(-eta[0])
        yield -eta[0] - ratio
        ratio -= 1.0
        yield (ratio,)
        yield {(0, 0): 1.0}

    def second(self, y: Array, eta: Sequence[Array]) -> Curvature:
        """Minus the ratio of y to its mean."""
        return {(0, 0): -y * np.exp(-eta[0])}

    def components(self, eta: Sequence[Array]) -> WeibullComponents:
        """The Weibull distribution of shape one."""
        return WeibullComponents.single(np.exp(as_outputs(eta)[0]), np.ones(()))

    def example_target(self, rng: np.random.Generator, n_rows: int) -> Array:
        """Exponential numbers."""
        return rng.exponential(size=(1, n_rows))
