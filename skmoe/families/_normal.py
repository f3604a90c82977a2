"""Normal and lognormal distributions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from skmoe._numerics.probability import LOG_2PI
from skmoe._numerics.typing import Array
from skmoe.distributions import LogNormalComponents, NormalComponents
from skmoe.families._base import Family, Partials, Positive
from skmoe.protocols import Dispersion, Measure

# Bounds of the log variance of standardised or log values.
LOG_VARIANCE_BOUNDS = (float(np.log(1e-6)), float(np.log(1e6)))

# Largest log variance of logarithms, for which the mean of their exponentials stays finite.
MAX_LOG_VARIANCE_OF_LOGS = float(np.log(100.0))


class LocationScale(Family):
    """Distributions on all numbers, whose centre of symmetry is the linear predictor."""

    standardizes_target: ClassVar[bool] = True
    has_scale: ClassVar[bool] = True
    is_location: ClassVar[bool] = True
    is_location_scale: ClassVar[bool] = True

    def in_support(self, y: Array) -> Array:
        """All numbers."""
        return np.ones(y.shape, dtype=bool)

    def mean(self, predictor: Array, log_dispersion: Any) -> Array:
        """The linear predictor."""
        return predictor


@dataclass(frozen=True)
class Normal(LocationScale):
    """Normal distribution, whose mean is the linear predictor: `family="normal"`, the default.

    Its dispersion is the noise variance of each expert, `noise_variance_`. If a few rows are far
    from the others, use `StudentT`. See "Families" in the user guide.

    See Also
    --------
    StudentT : Heavy tails.
    LogNormal : Positive values.

    Examples
    --------
    >>> from skmoe.families import Normal
    >>> Normal().support
    'finite numbers'
    """

    name: ClassVar[str] = "normal"
    dispersions: ClassVar[tuple[Dispersion, ...]] = (
        Dispersion("log(noise variance)", "noise_variance_", name="noise variance"),
    )
    log_dispersion_bounds: ClassVar[tuple[tuple[float, float], ...]] = (LOG_VARIANCE_BOUNDS,)

    def log_prob(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """Log density."""
        (log_variance,) = log_dispersion
        logs = y - predictor
        logs *= np.sqrt(0.5 * np.exp(-log_variance))
        np.square(logs, out=logs)
        return np.subtract(-0.5 * (log_variance + LOG_2PI), logs, out=logs)

    def predictor_score(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """The residual."""
        return y - predictor

    def predictor_information(self, predictor: Array, log_dispersion: Any) -> Array:
        """One."""
        return np.ones(predictor.shape)

    def dispersion_derivatives(self, y: Array, predictor: Array, log_dispersion: Any) -> Partials:
        """By the log variance."""
        half = 0.5 * np.square(y - predictor) * np.exp(-log_dispersion[0])
        return [half - 0.5], [[-half]]

    def hessian(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """By linear predictor and log variance."""
        precision = np.broadcast_to(np.exp(-log_dispersion[0]), predictor.shape)
        scaled = (y - predictor) * precision
        return -np.array([[precision, scaled], [scaled, 0.5 * (y - predictor) * scaled]])

    def components(self, predictor: Array, log_dispersion: Any) -> NormalComponents:
        """The normal distribution."""
        return NormalComponents.single(predictor, np.exp(0.5 * log_dispersion[0]))


@dataclass(frozen=True)
class LogNormal(Positive):
    r"""Lognormal distribution: :math:`\log y` is normal, and its mean is the linear predictor [1]_.

    Use it, as `family="lognormal"`, for positive values such as prices and times. The mean of y is
    :math:`\exp(\eta + \sigma^2 / 2)`; the dispersion is :math:`\sigma^2`, the variance of the
    logarithm. The median is :math:`\exp(\eta)`. See "Families" in the user guide.

    See Also
    --------
    Gamma : Positive values with a lighter tail, whose mean is the exponential.

    References
    ----------
    .. [1] N. L. Johnson, S. Kotz and N. Balakrishnan (1994), "Continuous univariate distributions",
       volume 1, 2nd edition, Wiley, chapter 14.

    Examples
    --------
    >>> from skmoe.families import LogNormal
    >>> LogNormal().link
    'log'
    """

    name: ClassVar[str] = "lognormal"
    measures: ClassVar[tuple[Measure, ...]] = (Measure("median ratio", "the median"),)
    is_location_scale: ClassVar[bool] = True
    max_step: ClassVar[float] = np.inf
    log_dispersion_bounds: ClassVar[tuple[tuple[float, float], ...]] = (
        (LOG_VARIANCE_BOUNDS[0], MAX_LOG_VARIANCE_OF_LOGS),
    )

    def initial_predictor(self, y: Array, weight: Array) -> float:
        """Mean of the logarithms."""
        return float(np.average(np.log(y), weights=weight))

    def log_prob(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """Log density."""
        (log_variance,) = log_dispersion
        log_y = _safe_log(y)
        square = np.square(log_y - predictor) * np.exp(-log_variance)
        logs = -0.5 * (square + log_variance + LOG_2PI) - log_y
        return np.where(y > 0.0, logs, -np.inf)

    def predictor_score(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """The residual of the logarithm."""
        return _safe_log(y) - predictor

    def dispersion_derivatives(self, y: Array, predictor: Array, log_dispersion: Any) -> Partials:
        """By the log variance."""
        half = 0.5 * np.square(_safe_log(y) - predictor) * np.exp(-log_dispersion[0])
        return [half - 0.5], [[-half]]

    def predictor_of_mean(self, mean: Array, log_dispersion: Any) -> Array:
        """The mean of the logarithm."""
        return np.log(mean) - 0.5 * np.exp(log_dispersion[0])

    def mean_dispersion_derivatives(
        self, y: Array, predictor: Array, log_dispersion: Any
    ) -> Partials:
        """By the log variance, with which the linear predictor falls."""
        variance = np.exp(log_dispersion[0])
        log_ratio = _safe_log(y) - predictor - 0.5 * variance
        half = 0.5 * np.square(log_ratio) / variance
        return [half - 0.125 * variance - 0.5], [[-half - 0.125 * variance]]

    def mean(self, predictor: Array, log_dispersion: Any) -> Array:
        """Exponential of the linear predictor and half the variance."""
        return np.exp(predictor + 0.5 * np.exp(log_dispersion[0]))

    def components(self, predictor: Array, log_dispersion: Any) -> LogNormalComponents:
        """The lognormal distribution."""
        return LogNormalComponents.single(predictor, np.exp(0.5 * log_dispersion[0]))

    def equation(self, response: str, predictor: str) -> str:
        """That of the median."""
        return f"median {response} = exp({predictor})"

    def example_target(self, rng: np.random.Generator, n_rows: int) -> Array:
        """Lognormal numbers."""
        return rng.lognormal(size=(1, n_rows))


def _safe_log(y: Array) -> Array:
    """Logarithm of positive numbers; zero for others."""
    return np.log(np.where(y > 0.0, y, 1.0))
