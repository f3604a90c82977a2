"""Further distributions of times to an event."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np
from scipy.special import expit, log_expit

from skmoe._numerics.typing import Array
from skmoe.distributions import _times as parts
from skmoe.families._base import Positive, as_outputs, log_mean_of
from skmoe.families._continuous import LogNormal
from skmoe.families._positive import TIME_RATIO
from skmoe.protocols import Dispersion, Measure

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
    # With the slope b of the log of times and the shape s, exp(-b s) multiplies the odds.
    measures = (
        TIME_RATIO,
        Measure("odds ratio", "the odds of the event", -1.0, "log(dispersion)", -0.5),
    )
    dispersions: ClassVar[tuple[Dispersion, ...]] = (
        Dispersion("log(dispersion)", "dispersion_", measures=(Measure("shape", factor=-0.5),)),
    )
    equation: ClassVar[str] = "median {response} = exp({predictor})"
    n_moving: ClassVar[int] = 2
    # The mean is finite up to a root of the dispersion of one.
    log_dispersion_bounds = ((LogNormal.log_dispersion_bounds[0][0], float(np.log(0.9))),)
    widens_bounds: ClassVar[bool] = False

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

    def components(self, eta: Sequence[Array]) -> parts.LogLogisticComponents:
        """The log-logistic distribution."""
        predictor, log_dispersion = as_outputs(eta)
        return parts.LogLogisticComponents.single(np.exp(predictor), np.exp(-0.5 * log_dispersion))


# Time in units of its scale beyond which the hazard is linear in it, and its largest logarithm:
# products in derivatives are finite.
LINEAR_TIME, MAX_LOG_TIME = 100.0, 20.0

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
    measures = (TIME_RATIO,)
    log_dispersion_bounds = ((float(np.log(1e-8)), float(np.log(1e2))),)
    equation: ClassVar[str] = "scale of {response} = exp({predictor})"
    support: ClassVar[str] = "numbers from 0 on"
    max_predictor: ClassVar[float] = 200.0
    has_scale: ClassVar[bool] = False

    def in_support(self, y: Array) -> Array:
        """Numbers from 0 on."""
        return y >= 0.0

    def start(self, y: Array, weight: Array) -> Array:
        """The scale with the mean of the values, for a dispersion of one."""
        return np.array([log_mean_of(y, weight) - np.log(INITIAL_MEAN), 0.0])

    def derivatives(self, y: Array, eta: Sequence[Array]) -> Iterator[Any]:
        """Expected information, from a table by the log of the dispersion."""
        hazard = np.exp(eta[1])
        with np.errstate(divide="ignore"):
            time = np.exp(np.minimum(np.log(y) - eta[0], MAX_LOG_TIME))
        beyond = np.maximum(time - LINEAR_TIME, 0.0)
        growth = np.exp(time - beyond) * (1.0 + beyond)
        total = hazard * np.where(beyond > 0.0, growth - 1.0, np.expm1(time - beyond))
        yield eta[1] - eta[0] + time - total
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

    def components(self, eta: Sequence[Array]) -> parts.GompertzComponents:
        """The Gompertz distribution."""
        predictor, log_dispersion = as_outputs(eta)
        return parts.GompertzComponents.single(np.exp(predictor), np.exp(log_dispersion))
