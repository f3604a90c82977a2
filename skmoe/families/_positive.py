"""Distributions of positive values with a log link, of which Tweedie ones may be zero."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, ClassVar, Self

import numpy as np
from scipy.special import digamma, expit, gammaln, log_expit

from skmoe._data.checks import check_real
from skmoe._numerics.probability import LOG_2PI
from skmoe._numerics.special import log_sum, moments_of_index, shape_of_jumps, trigamma
from skmoe._numerics.typing import Array
from skmoe.distributions import _continuous as parts
from skmoe.distributions._components import NestedComponents
from skmoe.families._base import Family, Positive, as_outputs
from skmoe.families._continuous import LogNormal
from skmoe.protocols import Dispersion, Measure


@dataclass(frozen=True)
class Gamma(Positive):
    r"""Gamma distribution with mean :math:`\mu = \exp(\eta)` and variance :math:`\phi \mu^2` [1]_.

    Use it, as `family="gamma"`, for positive values such as costs and times, whose standard
    deviation is proportional to the mean. The dispersion :math:`\phi` is the inverse of the shape.
    See "What do the claims of a person cost?" in the gallery.

    See Also
    --------
    LogNormal : Positive values with a heavier tail.

    References
    ----------
    .. [1] P. McCullagh and J. A. Nelder (1989), "Generalized Linear Models", 2nd edition, Chapman
       and Hall, chapter 8.

    Examples
    --------
    >>> from skmoe.families import Gamma
    >>> Gamma().support
    'positive numbers'
    """

    name: ClassVar[str] = "gamma"
    distribution: ClassVar[Any] = parts.GammaComponents
    power: ClassVar[float] = -1.0
    is_dispersion_model: ClassVar[bool] = True

    def derivatives(self, y: Array, eta: Sequence[Array]) -> Iterator[Any]:
        """Expected information."""
        shape, log_y = np.exp(-eta[1]), np.log(y)
        ratio = log_y - eta[0]
        excess = np.expm1(ratio)
        ratio -= excess  # log ratio - ratio + 1
        logs = ratio * shape
        logs -= shape * (1.0 + eta[1]) + gammaln(shape)
        logs -= log_y
        yield logs
        excess *= shape
        ratio -= eta[1] + digamma(shape)
        ratio *= -shape
        yield excess, ratio
        of_shape = np.square(shape) * trigamma(shape) - shape
        yield {(0, 0): shape, (1, 1): of_shape}
        yield {(0, 0): -shape - excess, (0, 1): -excess, (1, 1): -of_shape - ratio}


TIME_RATIO = Measure("time ratio", "times")

# The dispersion of families of which it is the square of the inverse of a shape.
SHAPE = Measure("shape", factor=-0.5)
OF_SHAPE = (Dispersion("log(dispersion)", "dispersion_", measures=(SHAPE,)),)

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
    distribution: ClassVar[Any] = parts.WeibullComponents
    power: ClassVar[float] = -0.5
    # With the slope b of the log of times and the shape s, exp(-b s) multiplies the hazard.
    measures = (TIME_RATIO, Measure("hazard ratio", "the hazard", -1.0, "log(dispersion)", -0.5))
    dispersions: ClassVar[tuple[Dispersion, ...]] = OF_SHAPE
    equation: ClassVar[str] = "scale of {response} = exp({predictor})"
    max_predictor: ClassVar[float] = 200.0
    n_moving: ClassVar[int] = 2
    log_dispersion_bounds = LogNormal.log_dispersion_bounds
    factors_on_features = LogNormal.factors_on_features

    def derivatives(self, y: Array, eta: Sequence[Array]) -> Iterator[Any]:
        """Expected information, with that about both."""
        precision, log_y = np.exp(-0.5 * eta[1]), np.log(y)
        deviation = log_y - eta[0]
        deviation *= precision
        power = np.exp(np.minimum(deviation, parts.LINEAR_LOG))
        if deviation.max(initial=0.0) > parts.LINEAR_LOG:
            power *= 1.0 + np.maximum(deviation - parts.LINEAR_LOG, 0.0)
        logs = deviation - power
        logs -= 0.5 * eta[1] + log_y
        yield logs
        power -= 1.0
        product = deviation * power
        yield precision * power, 0.5 * (product - 1.0)
        yield {
            (0, 0): np.square(precision),
            (0, 1): 0.5 * OF_BOTH * precision,
            (1, 1): 0.25 * OF_SCALE,
        }

    def mean(self, eta: Sequence[Array]) -> Array:
        """The scale times a gamma function."""
        return np.exp(eta[0] + gammaln(1.0 + np.exp(0.5 * eta[1])))


# Variance of standard logistic noise, and its information about the log of the root of the
# dispersion.
LOGISTIC_VARIANCE = float(np.pi**2 / 3.0)
OF_LOGISTIC_SCALE = float((3.0 + np.pi**2) / 9.0)


@dataclass(frozen=True)
class LogLogistic(Positive):
    r"""Log-logistic distribution of times, whose hazard may rise first and then fall [1]_.

    Use it as `family="loglogistic"`. The logarithm of y is :math:`\eta + \sqrt{\phi} W`, where W is
    standard logistic: an accelerated failure time model, and one of proportional odds. The median
    is :math:`\exp(\eta)`; the shape is :math:`1 / \sqrt{\phi}`. It is at least 1.05, since the mean
    is infinite with a shape of one.

    See Also
    --------
    Weibull : A hazard that rises or falls.
    LogNormal : A hazard that rises first as well, and lighter tails.

    References
    ----------
    .. [1] J. D. Kalbfleisch and R. L. Prentice (2002), "The Statistical Analysis of Failure Time
       Data", 2nd edition, Wiley, chapter 2.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.families import LogLogistic
    >>> LogLogistic().log_prob(np.ones(1), [np.zeros(1), np.zeros(1)]).round(6)
    array([-1.386294])
    """

    name: ClassVar[str] = "loglogistic"
    distribution: ClassVar[Any] = parts.LogLogisticComponents
    power: ClassVar[float] = -0.5
    # With the slope b of the log of times and the shape s, exp(-b s) multiplies the odds.
    measures = (
        TIME_RATIO,
        Measure("odds ratio", "the odds of the event", -1.0, "log(dispersion)", -0.5),
    )
    dispersions: ClassVar[tuple[Dispersion, ...]] = OF_SHAPE
    equation: ClassVar[str] = "median {response} = exp({predictor})"
    n_moving: ClassVar[int] = 2
    # The mean is finite up to a root of the dispersion of one.
    log_dispersion_bounds = ((LogNormal.log_dispersion_bounds[0][0], float(np.log(0.9))),)
    widens_bounds: ClassVar[bool] = False
    factors_on_features = (0.9, 1.0, 1.1)

    def start(self, y: Array, weight: Array) -> Array:
        """Mean of the logarithms, and the dispersion with their variance."""
        mean, log_variance = LogNormal().start(y, weight)
        return np.array([mean, log_variance - np.log(LOGISTIC_VARIANCE)])

    def derivatives(self, y: Array, eta: Sequence[Array]) -> Iterator[Any]:
        """Expected information."""
        precision, log_y = np.exp(-0.5 * eta[1]), np.log(y)
        deviation = (log_y - eta[0]) * precision
        yield deviation + 2.0 * log_expit(-deviation) - 0.5 * eta[1] - log_y
        slope = np.tanh(0.5 * deviation)
        yield precision * slope, 0.5 * (deviation * slope - 1.0)
        yield {(0, 0): np.square(precision) / 3.0, (1, 1): 0.25 * OF_LOGISTIC_SCALE}
        density = expit(deviation) * expit(-deviation)
        both = density * deviation + 0.5 * slope
        yield {
            (0, 0): -2.0 * density * np.square(precision),
            (0, 1): -precision * both,
            (1, 1): -0.5 * deviation * both,
        }

    def mean(self, eta: Sequence[Array]) -> Array:
        """That of the distribution."""
        return parts.loglogistic_mean(np.exp(eta[0]), np.exp(-0.5 * eta[1]))


# Mean in units of the scale of a dispersion of one.
INITIAL_MEAN = float(parts.gompertz_moment(np.ones(()), np.ones(()), 1))


@cache
def information_of_gompertz() -> tuple[Array, Array, Array]:
    """Logs of dispersions, and the information about the scale, and about that and the log."""
    logs = np.linspace(*Gompertz.log_dispersion_bounds[0], 400)
    hazard = np.exp(logs)[:, None]
    total = np.exp(parts.LOG_HAZARDS)  # which is exponential
    weight = parts.STEP_OF_LOGS * total * np.exp(-total)
    time = np.log1p(total / hazard)
    product = (total + hazard) * time
    return logs, (product * (1.0 + time) - time) @ weight, product @ weight


@dataclass(frozen=True)
class Gompertz(Positive):
    r"""Gompertz distribution of times, whose hazard grows exponentially, as of human death [1]_.

    Use it as `family="gompertz"`. The hazard at time t is :math:`\phi \exp(t / s) / s` with the
    scale :math:`s = \exp(\eta)`: an accelerated failure time model. In a time of s the hazard grows
    by the factor e, and the dispersion :math:`\phi` is its value at zero, in units of 1/s. It is at
    most 100, where the distribution is nearly exponential.

    See Also
    --------
    Weibull : A hazard that is a power of time.

    References
    ----------
    .. [1] G. Broström (2021), "Event History Analysis with R", 2nd edition, Chapman and Hall,
       chapter 6.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.families import Gompertz
    >>> Gompertz().mean([np.zeros(1), np.zeros(1)]).round(6)
    array([0.596347])
    """

    name: ClassVar[str] = "gompertz"
    distribution: ClassVar[Any] = parts.GompertzComponents
    measures = (TIME_RATIO,)
    log_dispersion_bounds = ((float(np.log(1e-8)), float(np.log(1e2))),)
    equation: ClassVar[str] = "scale of {response} = exp({predictor})"
    support: ClassVar[str] = "numbers from 0 on"
    has_zero: ClassVar[bool] = True
    max_predictor: ClassVar[float] = 200.0
    has_scale: ClassVar[bool] = False

    def start(self, y: Array, weight: Array) -> Array:
        """The scale with the mean of the values, for a dispersion of one."""
        return Family.start(self, y, weight) - np.log([INITIAL_MEAN, 1.0])

    def derivatives(self, y: Array, eta: Sequence[Array]) -> Iterator[Any]:
        """Expected information, from a table by the log of the dispersion."""
        hazard = np.exp(eta[1])
        with np.errstate(divide="ignore"):
            time = np.exp(np.minimum(np.log(y) - eta[0], parts.MAX_LOG_TIME))
        early = np.minimum(time, parts.LINEAR_TIME)
        growth = np.exp(early) * (1.0 + time - early)
        total = hazard * np.where(time > early, growth - 1.0, np.expm1(early))
        yield eta[1] - eta[0] + early - total
        product = hazard * time * growth
        yield product - time - 1.0, 1.0 - total
        bend = product * (1.0 + time) - time
        logs, of_scale, of_both = information_of_gompertz()
        of_scale, of_both = (np.interp(eta[1], logs, values) for values in (of_scale, of_both))
        yield {(0, 0): of_scale, (0, 1): -of_both, (1, 1): 1.0}
        yield {(0, 0): -bend, (0, 1): product, (1, 1): -total}

    def mean(self, eta: Sequence[Array]) -> Array:
        """The scale times a function of the dispersion."""
        return np.exp(eta[0]) * parts.gompertz_moment(np.ones(()), np.exp(eta[1]), 1)


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
    distribution: ClassVar[Any] = parts.WeibullComponents
    measures = (TIME_RATIO, Measure("hazard ratio", "the hazard", -1.0))
    support: ClassVar[str] = "numbers from 0 on"
    has_zero: ClassVar[bool] = True
    has_scale: ClassVar[bool] = False
    dispersions: ClassVar[tuple[Dispersion, ...]] = ()
    log_dispersion_bounds: ClassVar[tuple[tuple[float, float], ...]] = ()

    def derivatives(self, y: Array, eta: Sequence[Array]) -> Iterator[Any]:
        """Expected information of one."""
        ratio = y * np.exp(-eta[0])
        yield -eta[0] - ratio
        yield (ratio - 1.0,)
        yield {(0, 0): 1.0}
        yield {(0, 0): -ratio}


@dataclass(frozen=True)
class PowerVariance(Positive):
    """Exponential dispersion models whose variance is dispersion * mean^power, of positive means.

    The dispersion has the unit of y to the power of 2 - power. Outputs are therefore seen in units
    of their means, so that a fit does not depend on the units of y.
    """

    is_dispersion_model: ClassVar[bool] = True
    max_predictor: ClassVar[float] = 200.0
    n_moving: ClassVar[int] = 0

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
    usually fit amounts per unit of exposure, whose variance is :math:`\phi \mu^p / e`:
    `fit(X, amount / exposure, var_weights=exposure)`. The slopes of the two differ.

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
    has_zero: ClassVar[bool] = True
    atoms: ClassVar[tuple[float, ...]] = (0.0,)

    power: float = 1.5  # type: ignore[misc]

    def check_options(self) -> None:
        """The power is between 1 and 2."""
        check_real("power", self.power, least=MIN_POWER, most=MAX_POWER)

    def derivatives(self, y: Array, eta: Sequence[Array]) -> Iterator[Any]:
        """Expected information about the mean, absolute observed one about the dispersion."""
        power, unit, shape = self.power, self._unit, shape_of_jumps(self.power)
        # The information about the linear predictor is that of the mean in units of the family.
        mean, precision, positive = np.exp(eta[0]) / unit, np.exp(-eta[1]), y > 0.0
        factor = np.power(mean, 1.0 - power) * precision
        information = factor * mean
        exponent = factor * (y / (unit * (1.0 - power)))
        exponent -= information / (2.0 - power)
        # The series at zeros is that at one, and is left out.
        log_z = shape * (np.log(np.where(positive, y / unit, 1.0)) - np.log(power - 1.0))
        log_z = log_z - np.log(2.0 - power) - (1.0 + shape) * eta[1]
        series = log_sum(log_z, power) - np.log(np.where(positive, y, 1.0))
        yield exponent + np.where(positive, series, 0.0)
        index, variance = moments_of_index(log_z, power)
        by_index = np.where(positive, 1.0 + shape, 0.0)
        slope = factor * (y / unit) - information
        yield slope, -by_index * index - exponent
        bend = np.square(by_index) * variance + exponent
        yield {(0, 0): information, (1, 1): np.abs(bend)}
        yield {(0, 0): (1.0 - power) * slope - information, (0, 1): -slope, (1, 1): bend}

    def components(self, eta: Sequence[Array]) -> NestedComponents:
        """A point mass at zero and positive values."""
        predictor, log_dispersion = as_outputs(eta)
        mean, dispersion = np.broadcast_arrays(
            np.exp(predictor), np.exp(log_dispersion) * self.dispersion_unit[:, None]
        )
        return parts.tweedie_components(mean, dispersion, np.full(mean.shape, self.power))


# A value below all those that a fit takes.
MIN_VALUE = 1e-150


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

    def derivatives(self, y: Array, eta: Sequence[Array]) -> Iterator[Any]:
        """Expected information."""
        # An entry at zero is the smallest number, whose inverse is infinite.
        inverse = self._unit / np.maximum(y, MIN_VALUE)
        ratio, factor = y * np.exp(-eta[0]), inverse * np.exp(-eta[1])
        excess = ratio - 1.0
        scaled = excess * factor
        excess *= scaled
        yield -0.5 * (excess + eta[1] + (LOG_2PI - np.log(self._unit) + 3.0 * np.log(y)))
        scaled *= ratio
        excess -= 1.0
        excess *= 0.5
        yield scaled, excess
        yield {(0, 0): self._unit * np.exp(-eta[0] - eta[1]), (1, 1): 0.5}
        ratio *= factor * ratio
        yield {(0, 0): -ratio - scaled, (0, 1): -scaled, (1, 1): -excess - 0.5}

    def components(self, eta: Sequence[Array]) -> parts.InverseGaussianComponents:
        """The inverse Gaussian distribution."""
        predictor, log_dispersion = as_outputs(eta)
        dispersion = np.exp(log_dispersion) * self.dispersion_unit[:, None]
        return parts.InverseGaussianComponents.single(np.exp(predictor), dispersion)
