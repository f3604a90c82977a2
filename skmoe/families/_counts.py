"""Poisson and negative binomial distributions with a log link."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
from scipy.special import digamma, gammaln, log_expit, polygamma

from skmoe._numerics.typing import Array
from skmoe.distributions import NegativeBinomialComponents, PoissonComponents
from skmoe.families._base import LOG_DISPERSION_BOUNDS, LogLink, Partials
from skmoe.protocols import Dispersion, Measure


class _CountFamily(LogLink):
    """What families of counts share."""

    support: ClassVar[str] = "counts, which are non-negative integers,"
    is_count: ClassVar[bool] = True
    is_continuous: ClassVar[bool] = False
    measures: ClassVar[tuple[Measure, ...]] = (Measure("rate ratio", "the expected count"),)
    # The exponential, about 5e21, and sums of it stay finite in single precision too.
    max_predictor: ClassVar[float] = 50.0

    def in_support(self, y: Array) -> Array:
        """Non-negative integers."""
        return (y >= 0.0) & (y == np.floor(y))

    def working_target(self, y: Array) -> Array:
        """The logarithm of one more."""
        return np.log1p(np.maximum(y, 0.0))

    def rate_weight(self, exposure: Array) -> Array:
        """The exposure: exact for Poisson, and for negative binomial with little dispersion."""
        return exposure

    def example_target(self, rng: np.random.Generator, n_rows: int) -> Array:
        """Counts with a mean of 3."""
        return rng.poisson(3.0, size=(1, n_rows)).astype(np.float64)


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
    larger_variance: ClassVar[str] = "negative_binomial"

    def log_prob(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """Log probability."""
        possible = self.in_support(y)
        count = np.where(possible, y, 0.0)
        logs = count * predictor - np.exp(predictor) - gammaln(count + 1.0)
        return logs if possible.all() else np.where(possible, logs, -np.inf)

    def predictor_score(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """The residual."""
        return y - np.exp(predictor)

    def predictor_information(self, predictor: Array, log_dispersion: Any) -> Array:
        """The mean."""
        return np.exp(predictor)

    def components(self, predictor: Array, log_dispersion: Any) -> PoissonComponents:
        """The Poisson distribution."""
        return PoissonComponents.single(np.exp(predictor))


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

    def log_prob(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """Log probability."""
        possible = self.in_support(y)
        count = np.where(possible, y, 0.0)
        size = np.exp(-log_dispersion[0])
        log_one_plus = -log_expit(-log_dispersion[0] - predictor)
        logs = (
            _at_counts(gammaln, count, size)
            - gammaln(size)
            - gammaln(count + 1.0)
            + count * (log_dispersion[0] + predictor)
            - (count + size) * log_one_plus
        )
        return logs if possible.all() else np.where(possible, logs, -np.inf)

    def predictor_score(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """The residual, relative to one plus dispersion times mean."""
        mean = np.exp(predictor)
        return (y - mean) / (1.0 + np.exp(log_dispersion[0]) * mean)

    def predictor_information(self, predictor: Array, log_dispersion: Any) -> Array:
        """The mean, relative to one plus dispersion times mean."""
        mean = np.exp(predictor)
        return mean / (1.0 + np.exp(log_dispersion[0]) * mean)

    def dispersion_derivatives(self, y: Array, predictor: Array, log_dispersion: Any) -> Partials:
        """By the log dispersion, minus that by the log size."""
        size, mean = np.exp(-log_dispersion[0]), np.exp(predictor)
        total = size + mean
        by_size = (
            _at_counts(digamma, y, size)
            - digamma(size)
            + log_expit(-log_dispersion[0] - predictor)
            + (mean - y) / total
        )
        second = (
            _at_counts(partial(polygamma, 1), y, size)
            - polygamma(1, size)
            + mean / (size * total)
            - (mean - y) / np.square(total)
        )
        return [-size * by_size], [[size * by_size + np.square(size) * second]]

    def example_target(self, rng: np.random.Generator, n_rows: int) -> Array:
        """Counts with a mean of 4 and a variance of 12."""
        return rng.negative_binomial(2.0, 1.0 / 3.0, size=(1, n_rows)).astype(np.float64)

    def components(self, predictor: Array, log_dispersion: Any) -> NegativeBinomialComponents:
        """The negative binomial distribution."""
        return NegativeBinomialComponents.single(np.exp(predictor), np.exp(log_dispersion[0]))


def _at_counts(function: Callable[[Array], Array], y: Array, size: Array) -> Array:
    """A function of y + size, for counts y (m, n) and sizes (..., m, 1) or (..., m, n).

    It is computed once for each count where there are more rows than counts and one size, since the
    special functions of the negative binomial are slow.
    """
    n_rows = y.shape[-1]
    largest = y.max(initial=0.0)
    if y.ndim < 2 or size.shape[-1] > 1 or not largest < n_rows:
        return function(y + size)
    table = function(np.arange(largest + 1.0) + size)
    if len(y) == 1:
        return np.take(table, y[0].astype(int), axis=-1)
    return np.take_along_axis(
        table, np.broadcast_to(y.astype(int), (*table.shape[:-1], n_rows)), axis=-1
    )
