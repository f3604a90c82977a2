"""Poisson and negative binomial distributions with a log link."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import digamma, gammaln

from skmoe._numerics.special import trigamma
from skmoe._numerics.typing import Array
from skmoe.distributions import NegativeBinomialComponents, PoissonComponents
from skmoe.families._base import LOG_DISPERSION_BOUNDS, LogLink, as_outputs, log_mean_of
from skmoe.protocols import Dispersion, Measure


class _CountFamily(LogLink):
    """What families of counts share."""

    support: ClassVar[str] = "counts, which are non-negative integers,"
    is_count: ClassVar[bool] = True
    is_continuous: ClassVar[bool] = False
    # Exact for Poisson, and for negative binomial with little dispersion.
    exposure_power: ClassVar[float] = 1.0
    measures: ClassVar[tuple[Measure, ...]] = (Measure("rate ratio", "the expected count"),)
    # The exponential, about 5e21, and sums of it stay finite in single precision too.
    max_predictor: ClassVar[float] = 50.0

    def in_support(self, y: Array) -> Array:
        """Non-negative integers."""
        return (y >= 0.0) & (y == np.floor(y))

    def working_target(self, y: Array) -> Array:
        """The logarithm of one more."""
        return np.log1p(np.maximum(y, 0.0))


@dataclass(frozen=True)
class Poisson(_CountFamily):
    r"""Poisson distribution with mean :math:`\exp(\eta)` [1]_.

    Use it, as `family="poisson"`, for counts. The variance of an expert is its mean. Counts in
    different times or areas have the log of the exposure as `offset` in `fit`. See "Which regimes
    do counts have?" in the gallery.

    See Also
    --------
    NegativeBinomial : Counts with a larger variance.
    Zero : An expert for excess zeros.

    References
    ----------
    .. [1] P. McCullagh and J. A. Nelder (1989), "Generalized Linear Models", 2nd edition, Chapman
       and Hall, chapter 6.

    Examples
    --------
    >>> from skmoe.families import Poisson
    >>> Poisson().link
    'log'
    """

    name: ClassVar[str] = "poisson"

    def start(self, y: Array, weight: Array) -> Array:
        """Logarithm of the mean."""
        return np.array([log_mean_of(y, weight)])

    def derivatives(self, y: Array, eta: Sequence[Array]) -> Iterator[Any]:
        """Expected information, the mean."""
        mean = np.exp(eta[0])
        logs = y * eta[0]
        logs -= mean
        logs -= _at_counts(gammaln, y, np.ones(1))
        yield logs
        yield (y - mean,)
        yield {(0, 0): mean}
        yield {(0, 0): -mean}

    def components(self, eta: Sequence[Array]) -> PoissonComponents:
        """The Poisson distribution."""
        return PoissonComponents.single(np.exp(as_outputs(eta)[0]))


@dataclass(frozen=True)
class NegativeBinomial(_CountFamily):
    r"""Negative binomial distribution with mean :math:`\mu = \exp(\eta)` [1]_.

    Use it, as `family="negative_binomial"`, for counts whose variance is larger than the mean. The
    variance is :math:`\mu + \alpha \mu^2`; the dispersion :math:`\alpha`, the inverse of the size,
    is zero for the Poisson distribution. See "Families" in the user guide.

    See Also
    --------
    Poisson : Counts whose variance is the mean.

    References
    ----------
    .. [1] J. M. Hilbe (2011), "Negative Binomial Regression", 2nd edition, Cambridge University
       Press.

    Examples
    --------
    >>> from skmoe.families import NegativeBinomial
    >>> NegativeBinomial().dispersions[0].attribute
    'dispersion_'
    """

    name: ClassVar[str] = "negative_binomial"
    dispersions: ClassVar[tuple[Dispersion, ...]] = (Dispersion("log(dispersion)", "dispersion_"),)
    # Below ten times the smallest dispersion it is nearly a Poisson distribution.
    flat_margin: ClassVar[float] = float(np.log(10.0))
    log_dispersion_bounds: ClassVar[tuple[tuple[float, float], ...]] = (LOG_DISPERSION_BOUNDS,)

    def start(self, y: Array, weight: Array) -> Array:
        """Logarithm of the mean, and a dispersion of one."""
        return np.array([log_mean_of(y, weight), 0.0])

    def derivatives(self, y: Array, eta: Sequence[Array]) -> Iterator[Any]:
        """Expected information about the mean.

        That about the dispersion is the absolute observed one, which is too large where the
        dispersion is small. There the expected one is about half the squared share of the variance
        that is due to the dispersion.
        """
        size, mean = np.exp(-eta[1]), np.exp(eta[0])
        total, odds = size + mean, np.log1p(mean / size)
        logs = y * (eta[0] + eta[1])  # of the shape of y and predictors together
        logs -= (y + size) * odds
        logs += _at_counts(gammaln, y, size) - gammaln(size)
        logs -= _at_counts(gammaln, y, np.ones(1))
        yield logs
        residual = y - mean
        residual /= total
        by_size = _at_counts(digamma, y, size) - digamma(size) - odds
        by_size -= residual
        yield residual * size, -size * by_size
        second = _at_counts(trigamma, y, size) - trigamma(size)
        second += mean / (size * total)
        second += residual / total
        second *= size
        second += by_size
        second *= size
        largest, information = 0.5 * np.square(mean / total), mean * size / total
        yield {(0, 0): information, (1, 1): np.minimum(np.abs(second), largest)}
        yield {
            (0, 0): -information * (y + size) / total,
            (0, 1): -information * residual,
            (1, 1): second,
        }

    def components(self, eta: Sequence[Array]) -> NegativeBinomialComponents:
        """The negative binomial distribution."""
        predictor, log_dispersion = as_outputs(eta)
        return NegativeBinomialComponents.single(np.exp(predictor), np.exp(log_dispersion))


def _at_counts(function: Callable[[Array], Array], y: Array, size: Array) -> Array:
    """A function of y + size, for counts y (n,) and sizes (..., 1) or (..., n).

    It is computed once for each count where there are more rows than counts and one size, since the
    special functions of counts are slow.
    """
    if np.ndim(y) != 1 or size.shape[-1:] != (1,) or not y.max(initial=0.0) < len(y):
        return function(y + size)
    table = function(np.arange(y.max(initial=0.0) + 1.0) + size)
    return np.take(table, y.astype(np.intp), axis=-1)
