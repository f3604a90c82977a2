"""Beta distribution with a logit link."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import digamma, expit, gammaln, logit

from skmoe._numerics.gamma_functions import trigamma
from skmoe._numerics.typing import Array
from skmoe.distributions import BetaComponents
from skmoe.families._base import (
    LOG_DISPERSION_BOUNDS,
    Curvature,
    Family,
    as_outputs,
    log_variance_of,
)
from skmoe.protocols import Dispersion


@dataclass(frozen=True)
class Beta(Family):
    r"""Beta distribution of shares and rates between 0 and 1 [1]_.

    Use it as `family="beta"`. The mean is :math:`\mu = 1 / (1 + \exp(-\eta))`, and the variance
    :math:`\mu (1 - \mu) \phi / (1 + \phi)`. The inverse of the dispersion :math:`\phi` is the
    precision. If some shares are exactly 0 or 1, add experts for them:
    `family=["zero", "beta", "one"]`.

    See Also
    --------
    Ordinal : Ordered values.
    One : The point mass at one.

    References
    ----------
    .. [1] S. Ferrari and F. Cribari-Neto (2004), "Beta regression for modelling rates and
       proportions", Journal of Applied Statistics 31, 799-815.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.families import Beta
    >>> Beta().mean([np.zeros(1), np.zeros(1)])
    array([0.5])
    """

    name: ClassVar[str] = "beta"
    link: ClassVar[str] = "logit"
    equation: ClassVar[str] = "logit of expected {response} = {predictor}"
    support: ClassVar[str] = "numbers between 0 and 1"
    has_scale: ClassVar[bool] = True
    max_predictor: ClassVar[float] = 30.0
    max_step: ClassVar[float] = 1.0
    dispersions: ClassVar[tuple[Dispersion, ...]] = (Dispersion("log(dispersion)", "dispersion_"),)
    log_dispersion_bounds: ClassVar[tuple[tuple[float, float], ...]] = (LOG_DISPERSION_BOUNDS,)

    def in_support(self, y: Array) -> Array:
        """Numbers between 0 and 1."""
        return (y > 0.0) & (y < 1.0)

    def working_target(self, y: Array) -> Array:
        """Twice the arc sine of the root, whose variance is about the dispersion."""
        return 2.0 * np.arcsin(np.sqrt(np.clip(y, 0.0, 1.0)))

    def start(self, y: Array, weight: Array) -> Array:
        """Logit of the mean, and variance of the arc sines."""
        mean = np.average(y, weights=weight)
        return np.array([logit(mean), log_variance_of(self.working_target(y), weight)])

    def _at(self, y: Array, eta: Sequence[Array]) -> tuple[Array, ...]:
        """Mean and one less the mean, the precision, and expected and observed logs of both.

        Observed logs are relative to expected ones. One half stands for values at the ends.
        """
        inside = np.where(self.in_support(y), y, 0.5)
        mean, rest, precision = expit(eta[0]), expit(-eta[0]), np.exp(-eta[1])
        log_y, log_rest = np.log(inside), np.log1p(-inside)
        by_mean = log_y - digamma(precision * mean)
        by_rest = log_rest - digamma(precision * rest)
        return mean, rest, precision, by_mean, by_rest, log_y, log_rest

    def derivatives(self, y: Array, eta: Sequence[Array]) -> Iterator[Any]:
        """Expected information."""
        mean, rest, precision, by_mean, by_rest, log_y, log_rest = self._at(y, eta)
        shape, other = precision * mean, precision * rest
        logs = gammaln(precision) - gammaln(shape) - gammaln(other)
        yield logs + (shape - 1.0) * log_y + (other - 1.0) * log_rest
        slope = shape * rest
        by_precision = digamma(precision) + mean * by_mean + rest * by_rest
        yield slope * (by_mean - by_rest), -precision * by_precision
        one, two = trigamma(shape), trigamma(other)
        of_precision = np.square(mean) * one + np.square(rest) * two - trigamma(precision)
        yield {
            (0, 0): np.square(slope) * (one + two),
            (0, 1): -slope * (shape * one - other * two),
            (1, 1): np.square(precision) * of_precision,
        }

    def second(self, y: Array, eta: Sequence[Array]) -> Curvature:
        """By linear predictor and log dispersion, minus the log precision."""
        mean, rest, precision, by_mean, by_rest, _, _ = self._at(y, eta)
        shape, other = precision * mean, precision * rest
        one, two, slope = trigamma(shape), trigamma(other), shape * rest
        score = slope * (by_mean - by_rest)
        by_precision = digamma(precision) + mean * by_mean + rest * by_rest
        of_precision = np.square(mean) * one + np.square(rest) * two - trigamma(precision)
        return {
            (0, 0): (rest - mean) * score - np.square(slope) * (one + two),
            (0, 1): slope * (shape * one - other * two) - score,
            (1, 1): precision * by_precision - np.square(precision) * of_precision,
        }

    def mean(self, eta: Sequence[Array]) -> Array:
        """The logistic function of the linear predictor."""
        return expit(eta[0])

    def mean_derivatives(self, eta: Sequence[Array]) -> list[Any]:
        """Derivative of the logistic function."""
        return [expit(eta[0]) * expit(-eta[0]), 0.0]

    def location(self, mean: Array, eta: Sequence[Array]) -> Array:
        """Logit of the mean."""
        return logit(mean)

    def components(self, eta: Sequence[Array]) -> BetaComponents:
        """The beta distribution."""
        predictor, log_dispersion = as_outputs(eta)
        precision = np.exp(-log_dispersion)
        return BetaComponents.single(precision * expit(predictor), precision * expit(-predictor))

    def example_target(self, rng: np.random.Generator, n_rows: int) -> Array:
        """Beta numbers."""
        return rng.beta(2.0, 3.0, size=(1, n_rows))
