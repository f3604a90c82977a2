"""Distributions of counts, of certain values, and of ordered ones.

Poissons are negative binomials without dispersion, whose variance is mean + dispersion * mean^2.
No formula takes differences of terms of the order of 1 / dispersion, or of the mean: tails are
accurate for means from the smallest positive numbers to 1e8 and beyond.

References
----------
.. [1] C. Loader (2000), "Fast and accurate computation of binomial probabilities".
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy import special

from skmoe._numerics.probability import LOG_2PI, log_probability
from skmoe._numerics.special import log_beta_fraction
from skmoe._numerics.typing import Array
from skmoe.distributions._components import Block, ComponentFunctions, Components
from skmoe.distributions._sums import LARGEST

# Dispersion times mean up to which the distribution is the Poisson to the last bit.
NO_DISPERSION = 1e-18

# Stands for dispersion 0 where formulas divide by it.
LEAST_DISPERSION = 1e-290

# 1 / dispersion up to which the incomplete beta function of the lower tail is computed directly.
MODERATE_SIZE = 1e3

# Probabilities below it have lost digits, or are zero.
UNDERFLOW = 1e-290

# Means of Poissons, and standard deviations above them, from which on tails are continued
# fractions: `scipy.special.gammainc` ends its series too early there.
LARGE_MEAN, FAR = 1e5, 4.0

# Largest mean of drawn counts that are Poisson; above it the normal distribution has their digits.
MAX_MEAN_OF_COUNTS = 1e15

# From this count on Stirling's series is exact to the last bits.
STIRLING = 16.0


def log_mass(count: Array, mean: Array, dispersion: Any = 0.0) -> Array:
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
        # The rate of a count of which the ratio to the mean overflows.
        far = positive * (np.log(positive / excess_count * excess_mean) - np.log(mean))
        of_count = np.where(np.isfinite(of_count), of_count, far - (count - mean) / excess_mean)
        errors = _stirling_error(size + count) - _stirling_error(size) - _stirling_error(positive)
        logs = errors - of_size - of_count
        logs = logs - 0.5 * (LOG_2PI + np.log(positive) + np.log(excess_count))
        at_zero = -np.log1p(tiny * mean) * size
    return np.where(count == 0.0, at_zero, np.where(mean > 0.0, logs, -np.inf))


def _rate(x: Array, total: Array) -> Array:
    """(1 + x) log(1 + x) - x, for x and 1 + x, which has lost digits where x is near -1."""
    return np.where(x < -0.5, special.xlogy(total, total), (1.0 + x) * np.log1p(x)) - x


def _stirling_error(x: Array) -> Array:
    """Log of Gamma(x + 1) without the leading terms of Stirling's series."""
    large = np.maximum(x, STIRLING)
    inverse = np.square(1.0 / large)
    series = (1 / 12 - inverse * (1 / 360 - inverse * (1 / 1260 - inverse / 1680))) / large
    small = np.clip(x, np.finfo(float).tiny, STIRLING)
    exact = special.gammaln(small + 1.0) - (small + 0.5) * np.log(small) + small - 0.5 * LOG_2PI
    return np.where(x >= STIRLING, series, exact)


def tail(lower: bool, count: Array, mean: Array, dispersion: Array | None = None) -> Array:
    """Probability up to a count, or above it, continued to real numbers."""
    if dispersion is None:
        count, mean = np.broadcast_arrays(count, mean)
        found = np.array((special.gammaincc if lower else special.gammainc)(count + 1.0, mean))
        far = (mean > LARGE_MEAN) & (count + 1.0 - mean > FAR * np.sqrt(mean))
        if far.any():
            logs = _log_fraction(False, count[far], mean[far])
            found[far] = -np.expm1(logs) if lower else np.exp(logs)
        return found
    size = 1.0 / np.maximum(dispersion, LEAST_DISPERSION)
    scaled = mean / size
    ratio = scaled / (1.0 + scaled)
    if lower:
        # For a moderate size its first argument does not amplify the round-off of the last one.
        direct = special.betainc(size, count + 1.0, 1.0 / (1.0 + scaled))
        found = np.where(size <= MODERATE_SIZE, direct, special.betaincc(count + 1.0, size, ratio))
    else:
        found = special.betainc(count + 1.0, size, ratio)
    return np.where(scaled <= NO_DISPERSION, tail(lower, count, mean), found)


def log_tail(lower: bool, count: Array, mean: Array, *dispersion: Array) -> Array:
    """Log probability up to a count, or above it, continued to real numbers."""
    found = tail(lower, count, mean, *dispersion)
    logs = log_probability(found)
    given = np.broadcast_arrays(count, mean, *dispersion)
    rows = (found < UNDERFLOW) & (mean > (count if lower else 0.0))
    if rows.any():
        logs[rows] = _log_fraction(lower, *(values[rows] for values in given))
    return logs


def _log_fraction(lower: bool, count: Array, mean: Array, dispersion: Any = 0.0) -> Array:
    """Log probability up to a count far below the mean, or above one far above it."""
    tiny = np.maximum(dispersion, LEAST_DISPERSION) * np.ones_like(mean)
    size, scaled, after = 1.0 / tiny, 1.0 + tiny * mean, count + 1.0
    following = log_mass(after, mean, dispersion)
    if lower:
        excess = (mean - after) / scaled
        return following + np.log(after) + log_beta_fraction(size, after, 1.0 / scaled, excess)
    excess = (after - mean) / scaled
    logs = np.log(after) + log_beta_fraction(after, size, tiny * mean / scaled, excess)
    # For large dispersions the sum of the probabilities above is nearly a geometric series.
    series = np.log(scaled) + np.log1p((size - 1.0) * tiny * mean / (after + 1.0))
    return following + np.where(tiny <= 1.0, logs, series)


def draw(rng: np.random.RandomState, mean: Array, *dispersion: Array) -> Array:
    """Random counts: Poissons, whose means have gamma distributions where there is a dispersion."""
    if dispersion:
        dispersed = dispersion[0] * mean > NO_DISPERSION
        size = 1.0 / np.where(dispersed, dispersion[0], 1.0)
        mean = np.where(dispersed, rng.gamma(size, mean / size), mean)
    is_large = mean > MAX_MEAN_OF_COUNTS
    drawn = np.asarray(rng.poisson(np.where(is_large, 0.0, mean)), dtype=float)
    if is_large.any():
        noise = rng.standard_normal(np.shape(mean))
        drawn = np.where(is_large, np.round(mean + np.sqrt(mean) * noise), drawn)
    return drawn


def _at_counts(function: Callable[..., Array]) -> Callable[..., Array]:
    """The function at whole numbers, of points between them at the one below."""
    return lambda y, *own: function(np.minimum(np.floor(y), LARGEST), *own)


def _log_pmf(y: Array, *parameters: Array) -> Array:
    return np.where(np.floor(y) == y, log_mass(np.minimum(y, LARGEST), *parameters), -np.inf)


def _variance(mean: Array, *dispersion: Array) -> Array:
    return mean * (1.0 + sum(dispersion) * mean)


def _gamma_quantile(of_tail: Any, q: float, mean: Array, *dispersion: Array) -> Array:
    """That of the gamma distribution with the same moments."""
    of_y = _variance(mean, *dispersion)
    scale = of_y / np.maximum(mean, 1e-300)
    shape = mean**2 / np.maximum(of_y, 1e-300)
    return scale * of_tail(np.maximum(shape, 1e-300), q)


# Of Poissons, and with dispersions of negative binomials.
COUNTS = ComponentFunctions(
    discrete=True,
    counts=True,
    mean=lambda mean, *_: mean,
    variance=_variance,
    quantile=lambda q, *own: np.floor(_gamma_quantile(special.gammaincinv, q, *own)),
    upper_quantile=lambda q, *own: np.ceil(_gamma_quantile(special.gammainccinv, q, *own)),
    log_pdf=_log_pmf,
    log_cdf=_at_counts(partial(log_tail, True)),
    log_sf=_at_counts(partial(log_tail, False)),
    support=(0.0, np.inf),
    continued=SimpleNamespace(cdf=partial(tail, True), sf=partial(tail, False)),
    draw=draw,
)


class PoissonComponents(namedtuple("_Fields", "weight mean"), Components):
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

    functions = COUNTS


class NegativeBinomialComponents(namedtuple("_Fields", "weight mean dispersion"), Components):
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

    functions = COUNTS


def _indicator(holds: Array, y: Array) -> Array:
    """One where it holds, else zero; what is not a number stays so."""
    return np.where(np.isnan(y), np.nan, np.where(holds, 1.0, 0.0))


POINT_MASS = ComponentFunctions(
    mean=lambda value: value,
    variance=np.zeros_like,
    log_pdf=lambda y, value: log_probability(_indicator(y == value, y)),
    cdf=lambda y, value: _indicator(y >= value, y),
    sf=lambda y, value: _indicator(y < value, y),
    quantile=lambda q, value: value,
    upper_quantile=lambda q, value: value,
    draw=lambda rng, value: value,
    atoms=lambda value: (value,),
    discrete=True,
)


class PointMassComponents(namedtuple("_Fields", "weight value"), Components):
    """Certain values that one expert predicts, one for each row; rows are the last axis.

    Attributes
    ----------
    weight : ndarray of shape (n_components, n_rows)
        Probabilities of the components, which sum to one.
    value : ndarray of shape (n_components, n_outputs, n_rows)
        The value of y that each component takes with probability one.

    See Also
    --------
    predictive_distribution : The mixture of the components of several experts.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.distributions import PointMassComponents, predictive_distribution
    >>> parts = PointMassComponents(np.ones((1, 2)), np.full((1, 1, 2), 5.0))
    >>> predictive_distribution([parts], np.ones((1, 2)), single_output=True).mean
    array([5., 5.])
    """

    functions = POINT_MASS

    def rescale(self, center: Array, scale: Array) -> PointMassComponents:
        """Components of the target in its own units, center + scale * y, both of shape (m,)."""
        return self._replace(value=center[:, None] + scale[:, None] * self.value)


def ordinal_family(values: Array) -> ComponentFunctions:
    """The family of distributions on sorted values; the parameters are their probabilities."""

    def column(y: Any) -> Array:
        return values.reshape(-1, *[1] * np.ndim(y))

    def total(compare: Any, y: Array, *probabilities: Array) -> Array:
        """Sum of the probabilities of the values of which the comparison with y is true."""
        holds = compare(y, column(y))
        terms = (np.where(h, p, 0.0) for h, p in zip(holds, probabilities, strict=True))
        return np.where(np.isnan(y), np.nan, sum(terms))

    def mean(*probabilities: Array) -> Array:
        return np.tensordot(values, np.stack(probabilities), 1)

    def variance(*probabilities: Array) -> Array:
        center = mean(*probabilities)
        return (np.square(column(center) - center) * np.stack(probabilities)).sum(axis=0)

    def quantile(q: Any, *probabilities: Array) -> Array:
        return values[(np.cumsum(np.stack(probabilities[:-1]), axis=0) < q).sum(axis=0)]

    def upper_quantile(q: Any, *probabilities: Array) -> Array:
        above = np.cumsum(np.stack(probabilities[:0:-1]), axis=0)
        return values[len(values) - 1 - (above <= q).sum(axis=0)]

    return ComponentFunctions(
        mean=mean,
        variance=variance,
        log_pdf=lambda y, *probabilities: log_probability(total(np.equal, y, *probabilities)),
        cdf=partial(total, np.greater_equal),
        sf=partial(total, np.less),
        quantile=quantile,
        upper_quantile=upper_quantile,
        draw=lambda rng, *own: quantile(rng.uniform(size=own[0].shape) * sum(own), *own),
        atoms=lambda *probabilities: tuple(np.full(probabilities[0].shape, v) for v in values),
        discrete=True,
    )


class OrdinalComponents(namedtuple("_Fields", "weight values probabilities"), Components):
    """Distributions on ordered values that one expert predicts; rows are the last axis.

    Attributes
    ----------
    weight : ndarray of shape (n_components, n_rows)
        Probabilities of the components, which sum to one.
    values : ndarray of shape (n_levels,)
        The values of y, sorted; they are the same for all rows.
    probabilities : ndarray of shape (n_components, n_outputs, n_levels, n_rows)
        Probabilities of the values, which sum to one over the levels.

    See Also
    --------
    predictive_distribution : The mixture of the components of several experts.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.distributions import OrdinalComponents, predictive_distribution
    >>> probabilities = np.full((1, 1, 4, 2), 0.25)
    >>> parts = OrdinalComponents(np.ones((1, 2)), np.array([1.0, 2.0, 3.0, 4.0]), probabilities)
    >>> predictive_distribution([parts], np.ones((1, 2)), single_output=True).mean
    array([2.5, 2.5])
    """

    def block(self) -> Block:
        """Family and parameters, rows first."""
        levels = np.moveaxis(self.probabilities, 2, 0)
        return Block(
            ordinal_family(np.asarray(self.values, dtype=float)),
            tuple(np.ascontiguousarray(level).transpose(2, 0, 1) for level in levels),
        )
