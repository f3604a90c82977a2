"""Normal and lognormal distributions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from skmoe._numerics.probability import LOG_2PI
from skmoe._numerics.typing import TINY, Array
from skmoe.distributions import LogNormalComponents, NormalComponents
from skmoe.families._base import Curvature, Family, Positive, as_outputs, log_variance_of
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

    def start(self, y: Array, weight: Array) -> Array:
        """Mean and log variance."""
        mean = np.average(y, weights=weight)
        variance = np.average(np.square(y - mean), weights=weight)
        return np.array([mean, np.log(variance) if variance > TINY else 0.0])

    def mean(self, eta: Sequence[Array]) -> Array:
        """The linear predictor."""
        return eta[0]

    def mean_derivatives(self, eta: Sequence[Array]) -> list[Any]:
        """One."""
        return [np.ones(np.shape(eta[0])), *[0.0] * len(self.dispersions)]

    def location(self, mean: Array, eta: Sequence[Array]) -> Array:
        """The mean."""
        return mean


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
    roles: ClassVar[tuple[str, ...]] = ("mean", "dispersion")

    def derivatives(self, y: Array, eta: Sequence[Array]) -> Iterator[Any]:
        """Log density, first derivatives and expected information."""
        scale = np.exp(-0.5 * eta[1])
        deviation = y - eta[0]
        deviation *= scale
        square = deviation * deviation
        logs = -0.5 * square
        logs -= 0.5 * (eta[1] + LOG_2PI)
        yield logs
        deviation *= scale
        square -= 1.0
        square *= 0.5
        yield deviation, square
        yield {(0, 0): np.square(scale), (1, 1): 0.5}

    def second(self, y: Array, eta: Sequence[Array]) -> Curvature:
        """By mean and log variance."""
        precision, residual = np.exp(-eta[1]), y - eta[0]
        cross = -precision * residual
        return {(0, 0): -precision, (0, 1): cross, (1, 1): 0.5 * residual * cross}

    def components(self, eta: Sequence[Array]) -> NormalComponents:
        """The normal distribution."""
        mean, log_variance = as_outputs(eta)
        return NormalComponents.single(mean, np.exp(0.5 * log_variance))


OF_LOGS = Normal()


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
    equation: ClassVar[str] = "median {response} = exp({predictor})"
    is_location_scale: ClassVar[bool] = True
    max_step: ClassVar[float] = np.inf
    log_dispersion_bounds: ClassVar[tuple[tuple[float, float], ...]] = (
        (LOG_VARIANCE_BOUNDS[0], MAX_LOG_VARIANCE_OF_LOGS),
    )

    def start(self, y: Array, weight: Array) -> Array:
        """Mean and log variance of the logarithms."""
        log_y = np.log(y)
        return np.array([np.average(log_y, weights=weight), log_variance_of(log_y, weight)])

    def derivatives(self, y: Array, eta: Sequence[Array]) -> Iterator[Any]:
        """Those of the logarithm."""
        log_y = np.log(y)
        terms = OF_LOGS.derivatives(log_y, eta)
        logs = next(terms)
        logs -= log_y
        yield logs
        yield from terms

    def second(self, y: Array, eta: Sequence[Array]) -> Curvature:
        """Those of the logarithm."""
        return OF_LOGS.second(np.log(y), eta)

    def mean(self, eta: Sequence[Array]) -> Array:
        """Exponential of the linear predictor and half the variance."""
        return np.exp(eta[0] + 0.5 * np.exp(eta[1]))

    def mean_derivatives(self, eta: Sequence[Array]) -> list[Any]:
        """The mean, and half the variance times it."""
        mean = self.mean(eta)
        return [mean, 0.5 * np.exp(eta[1]) * mean]

    def location(self, mean: Array, eta: Sequence[Array]) -> Array:
        """The mean of the logarithm."""
        return np.log(mean) - 0.5 * np.exp(eta[1])

    def components(self, eta: Sequence[Array]) -> LogNormalComponents:
        """The lognormal distribution."""
        predictor, log_variance = as_outputs(eta)
        return LogNormalComponents.single(predictor, np.exp(0.5 * log_variance))

    def example_target(self, rng: np.random.Generator, n_rows: int) -> Array:
        """Lognormal numbers."""
        return rng.lognormal(size=(1, n_rows))
