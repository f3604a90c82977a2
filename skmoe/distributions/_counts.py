"""Distributions of counts: Poisson and negative binomial.

The variance of the latter is mean + dispersion * mean^2. It is accurate from dispersion 0, the
Poisson, on: no formula takes differences of terms of the order of 1 / dispersion.

References
----------
.. [1] C. Loader (2000), "Fast and accurate computation of binomial probabilities".
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy.special import betainc, betaincc, gammainccinv, gammaincinv, gammaln, xlogy

from skmoe._numerics.probability import LOG_2PI, log_probability
from skmoe._numerics.special import log_beta_fraction
from skmoe._numerics.typing import Array
from skmoe.distributions import _poisson
from skmoe.distributions._components import ComponentFunctions, Components
from skmoe.distributions._poisson import STIRLING, stirling_correction
from skmoe.distributions._searches import LARGEST

# Dispersion times mean up to which the distribution is the Poisson to the last bit.
NO_DISPERSION = 1e-18

# Stands for dispersion 0 where formulas divide by it.
LEAST_DISPERSION = 1e-290

# 1 / dispersion up to which the incomplete beta function of the lower tail is computed directly.
MODERATE_SIZE = 1e3

# Probabilities below it have lost digits, or are zero.
UNDERFLOW = 1e-290


def log_mass(count: Array, mean: Array, dispersion: Array) -> Array:
    """Log probability of a count, continued to real numbers.

    The saddle-point form of the binomial [1]_ of size 1 / dispersion + count.
    """
    tiny = np.maximum(dispersion, LEAST_DISPERSION)
    positive, size = np.maximum(count, np.finfo(float).tiny), 1.0 / tiny
    excess_count, excess_mean = 1.0 + tiny * positive, 1.0 + tiny * mean
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = excess_mean / excess_count
        of_size = size / ratio * _rate(tiny * (mean - count) / excess_count, ratio)
        relative = (count - mean) / (mean * excess_count)
        of_count = mean / ratio * _rate(relative, count / mean * ratio)
        errors = _stirling_error(size + count) - _stirling_error(size) - _stirling_error(positive)
        logs = errors - of_size - of_count
        logs = logs - 0.5 * (LOG_2PI + np.log(positive) + np.log(excess_count))
        at_zero = -np.log1p(tiny * mean) * size
    logs = np.where(mean > 0.0, logs, -np.inf)
    return np.where(count == 0.0, at_zero, logs)


def _rate(x: Array, total: Array) -> Array:
    """(1 + x) log(1 + x) - x, for x and 1 + x, which has lost digits where x is near -1."""
    return np.where(x < -0.5, xlogy(total, total), (1.0 + x) * np.log1p(x)) - x


def _stirling_error(x: Array) -> Array:
    """Log of Gamma(x + 1) without the leading terms of Stirling's series."""
    series = stirling_correction(np.maximum(x, STIRLING))
    small = np.clip(x, np.finfo(float).tiny, STIRLING)
    exact = gammaln(small + 1.0) - (small + 0.5) * np.log(small) + small - 0.5 * LOG_2PI
    return np.where(x >= STIRLING, series, exact)


def cdf_real(count: Array, mean: Array, dispersion: Array) -> Array:
    """Probability up to a count, continued to real numbers by the incomplete beta function."""
    size = 1.0 / np.maximum(dispersion, LEAST_DISPERSION)
    scaled = mean / size
    # For a moderate size its first argument does not amplify the round-off of the last one.
    below = np.where(
        size <= MODERATE_SIZE,
        betainc(size, count + 1.0, 1.0 / (1.0 + scaled)),
        betaincc(count + 1.0, size, scaled / (1.0 + scaled)),
    )
    return np.where(scaled <= NO_DISPERSION, _poisson.cdf_real(count, mean), below)


def sf_real(count: Array, mean: Array, dispersion: Array) -> Array:
    """Probability above a count, continued to real numbers by the incomplete beta function."""
    size = 1.0 / np.maximum(dispersion, LEAST_DISPERSION)
    scaled = mean / size
    above = betainc(count + 1.0, size, scaled / (1.0 + scaled))
    return np.where(scaled <= NO_DISPERSION, _poisson.sf_real(count, mean), above)


def log_cdf_real(count: Array, mean: Array, dispersion: Array) -> Array:
    """Log probability up to a count, continued to real numbers."""
    count, mean, dispersion = np.broadcast_arrays(count, mean, dispersion)
    answer = cdf_real(count, mean, dispersion)
    logs = log_probability(answer)
    rows = (answer < UNDERFLOW) & (mean > count)
    logs[rows] = _log_tail(count[rows], mean[rows], dispersion[rows], below=True)
    return logs


def log_sf_real(count: Array, mean: Array, dispersion: Array) -> Array:
    """Log probability above a count, continued to real numbers."""
    count, mean, dispersion = np.broadcast_arrays(count, mean, dispersion)
    answer = sf_real(count, mean, dispersion)
    logs = log_probability(answer)
    rows = (answer < UNDERFLOW) & (mean > 0.0)
    logs[rows] = _log_tail(count[rows], mean[rows], dispersion[rows], below=False)
    return logs


def _log_tail(count: Array, mean: Array, dispersion: Array, below: bool) -> Array:
    """Log probability up to a count far below the mean, or above one far above it."""
    dispersion = np.maximum(dispersion, LEAST_DISPERSION)
    size, scaled = 1.0 / dispersion, 1.0 + dispersion * mean
    mass = log_mass(count, mean, dispersion)
    factor = np.log(mean) + np.log1p(dispersion * count) - np.log(scaled)
    if below:
        excess = (mean - count - 1.0) / scaled
        return mass + factor + log_beta_fraction(size, count + 1.0, 1.0 / scaled, excess)
    excess = (count + 1.0 - mean) / scaled
    ratio = dispersion * mean / scaled
    logs = mass + factor + log_beta_fraction(count + 1.0, size, ratio, excess)
    # For large dispersions the sum of the probabilities above is nearly a geometric series.
    following = log_mass(count + 1.0, mean, dispersion) + np.log(scaled)
    following += np.log1p((size - 1.0) * dispersion * mean / (count + 2.0))
    return np.where(dispersion <= 1.0, logs, following)


def draw(rng: np.random.RandomState, mean: Array, dispersion: Array) -> Array:
    """Random counts: Poissons whose means have gamma distributions."""
    dispersed = dispersion * mean > NO_DISPERSION
    size = 1.0 / np.where(dispersed, dispersion, 1.0)
    means = np.where(dispersed, rng.gamma(size, mean / size), mean)
    return _poisson.draw(rng, means)


def _functions_of_counts(real: Any, **others: Any) -> ComponentFunctions:
    """A family of counts, from its functions of real numbers."""

    def log_pmf(y: Array, *parameters: Array) -> Array:
        return np.where(np.floor(y) == y, real.log_mass(np.floor(y), *parameters), -np.inf)

    def at_counts(function: Callable[..., Array]) -> Callable[..., Array]:
        return lambda y, *own: function(np.minimum(np.floor(y), LARGEST), *own)

    def variance(mean: Array, *dispersion: Array) -> Array:
        return mean * (1.0 + sum(dispersion) * mean)

    def gamma_quantile(of_tail: Any, q: float, mean: Array, *dispersion: Array) -> Array:
        """That of the gamma distribution with the same moments."""
        of_y = variance(mean, *dispersion)
        scale = of_y / np.maximum(mean, 1e-300)
        shape = mean**2 / np.maximum(of_y, 1e-300)
        return scale * of_tail(np.maximum(shape, 1e-300), q)

    return ComponentFunctions(
        discrete=True,
        counts=True,
        mean=lambda mean, *_: mean,
        variance=variance,
        quantile=lambda q, *own: np.floor(gamma_quantile(gammaincinv, q, *own)),
        upper_quantile=lambda q, *own: np.ceil(gamma_quantile(gammainccinv, q, *own)),
        log_pdf=log_pmf,
        cdf=at_counts(real.cdf_real),
        sf=at_counts(real.sf_real),
        log_cdf=at_counts(real.log_cdf_real),
        log_sf=at_counts(real.log_sf_real),
        support=(0.0, np.inf),
        continued=SimpleNamespace(
            log_pdf=real.log_mass, cdf=real.cdf_real, sf=real.sf_real, discrete=False
        ),
        draw=real.draw,
        **others,
    )


POISSON = _functions_of_counts(_poisson, mode=np.floor)
NEGATIVE_BINOMIAL = _functions_of_counts(
    SimpleNamespace(
        log_mass=log_mass,
        cdf_real=cdf_real,
        sf_real=sf_real,
        log_cdf_real=log_cdf_real,
        log_sf_real=log_sf_real,
        draw=draw,
    ),
    mode=lambda mean, dispersion: np.floor(mean * np.maximum(1.0 - dispersion, 0.0)),
)


class PoissonComponents(namedtuple("_PoissonFields", "weight mean"), Components):
    """Mixtures of Poissons that one expert predicts, one for each row; rows are the last axis.

    Attributes
    ----------
    weight : ndarray of shape (n_components, n_rows)
        Probabilities of the components, which sum to one.
    mean : ndarray of shape (n_components, n_outputs, n_rows)
        Means of the components.

    See Also
    --------
    predictive_distribution : The mixture of the components of several experts.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.distributions import PoissonComponents, predictive_distribution
    >>> parts = PoissonComponents(np.ones((1, 2)), np.full((1, 1, 2), 3.0))
    >>> predictive_distribution([parts], np.ones((1, 2)), single_output=True).var
    array([3., 3.])
    """

    functions = POISSON


class NegativeBinomialComponents(
    namedtuple("_NegativeBinomialFields", "weight mean dispersion"), Components
):
    """Mixtures of negative binomials that one expert predicts; rows are the last axis.

    Attributes
    ----------
    weight : ndarray of shape (n_components, n_rows)
        Probabilities of the components, which sum to one.
    mean : ndarray of shape (n_components, n_outputs, n_rows)
        Means of the components.
    dispersion : ndarray of shape (n_components, n_outputs, n_rows)
        Dispersions of the components; the variance is mean + dispersion * mean^2. Dispersion 0 is
        the Poisson.

    See Also
    --------
    predictive_distribution : The mixture of the components of several experts.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.distributions import NegativeBinomialComponents, predictive_distribution
    >>> mean, dispersion = np.full((1, 1, 2), 3.0), np.ones((1, 1, 2))
    >>> parts = NegativeBinomialComponents(np.ones((1, 2)), mean, dispersion)
    >>> predictive_distribution([parts], np.ones((1, 2)), single_output=True).var
    array([12., 12.])
    """

    functions = NEGATIVE_BINOMIAL
