"""Beta distribution with a logit link."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import digamma, expit, gammaln, logit, polygamma

from skmoe._numerics.typing import Array
from skmoe.distributions import BetaComponents
from skmoe.families._base import LOG_DISPERSION_BOUNDS, Family, Partials
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
    >>> Beta().mean(np.zeros((1, 1)), [np.zeros((1, 1))])
    array([[0.5]])
    """

    name: ClassVar[str] = "beta"
    link: ClassVar[str] = "logit"
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

    def initial_predictor(self, y: Array, weight: Array) -> float:
        """Logit of the mean."""
        return float(logit(np.average(y, weights=weight)))

    def _at(self, y: Array, predictor: Array, log_dispersion: Any) -> tuple[Array, ...]:
        """Logs of y and of 1 - y, the mean, one less the mean, and the precision."""
        inside, precision = np.where(self.in_support(y), y, 0.5), np.exp(-log_dispersion[0])
        return np.log(inside), np.log1p(-inside), expit(predictor), expit(-predictor), precision

    def log_prob(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """Log density."""
        log_y, log_rest, mean, rest, precision = self._at(y, predictor, log_dispersion)
        logs = gammaln(precision) - gammaln(precision * mean) - gammaln(precision * rest)
        logs = logs + (precision * mean - 1.0) * log_y + (precision * rest - 1.0) * log_rest
        return np.where(self.in_support(y), logs, -np.inf)

    def predictor_score(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """Residual of the logit of y, times the derivative of the mean."""
        log_y, log_rest, mean, rest, precision = self._at(y, predictor, log_dispersion)
        expected = digamma(precision * mean) - digamma(precision * rest)
        return mean * rest * (log_y - log_rest - expected)

    def predictor_information(self, predictor: Array, log_dispersion: Any) -> Array:
        """Variance of the logit of y, times the squared derivative of the mean."""
        mean, rest, precision = expit(predictor), expit(-predictor), np.exp(-log_dispersion[0])
        variance = polygamma(1, precision * mean) + polygamma(1, precision * rest)
        return np.square(mean * rest) * precision * variance

    def dispersion_derivatives(self, y: Array, predictor: Array, log_dispersion: Any) -> Partials:
        """By the log dispersion, minus that by the log precision."""
        log_y, log_rest, mean, rest, precision = self._at(y, predictor, log_dispersion)
        by_precision = (
            digamma(precision)
            + mean * (log_y - digamma(precision * mean))
            + rest * (log_rest - digamma(precision * rest))
        )
        second = (
            polygamma(1, precision)
            - np.square(mean) * polygamma(1, precision * mean)
            - np.square(rest) * polygamma(1, precision * rest)
        )
        first = precision * by_precision
        return [-first], [[first + np.square(precision) * second]]

    def cross_derivatives(
        self, y: Array, predictor: Array, log_dispersion: Any
    ) -> list[Array] | None:
        """Residual of the logit, less the slope of its mean in the precision."""
        log_y, log_rest, mean, rest, precision = self._at(y, predictor, log_dispersion)
        expected = digamma(precision * mean) - digamma(precision * rest)
        slope = mean * polygamma(1, precision * mean) - rest * polygamma(1, precision * rest)
        return [-mean * rest * (log_y - log_rest - expected - precision * slope)]

    def mean(self, predictor: Array, log_dispersion: Any) -> Array:
        """The logistic function of the linear predictor."""
        return expit(predictor)

    def mean_derivative(self, predictor: Array, log_dispersion: Any) -> Array:
        """Derivative of the logistic function."""
        return expit(predictor) * expit(-predictor)

    def components(self, predictor: Array, log_dispersion: Any) -> BetaComponents:
        """The beta distribution."""
        precision = np.exp(-log_dispersion[0])
        return BetaComponents.single(precision * expit(predictor), precision * expit(-predictor))

    def equation(self, response: str, predictor: str) -> str:
        """The logit of the mean."""
        return f"logit of expected {response} = {predictor}"

    def example_target(self, rng: np.random.Generator, n_rows: int) -> Array:
        """Beta numbers."""
        return rng.beta(2.0, 3.0, size=(1, n_rows))
