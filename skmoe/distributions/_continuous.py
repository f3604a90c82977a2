"""Continuous distributions of numbers that may be negative, lognormal and beta ones."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
from scipy.special import (
    betainc,
    betaincinv,
    betaln,
    gammaln,
    ndtri,
    stdtr,
    stdtrit,
    xlog1py,
    xlogy,
)

from skmoe._numerics.probability import LOG_2PI, LOG_NEGLIGIBLE
from skmoe._numerics.special import log_beta_fraction
from skmoe._numerics.typing import Array
from skmoe.distributions._components import ComponentFunctions, Components, functions_of_normal


def _normal_log_pdf(y: Array, mean: Array, std: Array) -> Array:
    return -np.log(std) - 0.5 * (LOG_2PI + ((y - mean) / std) ** 2)


NORMAL = functions_of_normal(
    lambda y, mean, std: (y - mean) / std,
    lambda score, mean, std: mean + std * score,
    mean=lambda mean, std: mean,
    variance=lambda mean, std: np.square(std),
    log_pdf=_normal_log_pdf,
    location_scale=True,
)


class NormalComponents(namedtuple("_NormalFields", "weight mean std"), Components):
    """Mixtures of normals that one expert predicts, one for each row; rows are the last axis.

    Attributes
    ----------
    weight : ndarray of shape (n_components, n_rows)
        Probabilities of the components, which sum to one.
    mean : ndarray of shape (n_components, n_outputs, n_rows)
        Means of the components.
    std : ndarray of shape (n_components, n_outputs, n_rows)
        Standard deviations of the components.

    See Also
    --------
    predictive_distribution : The mixture of the components of several experts.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.distributions import NormalComponents, predictive_distribution
    >>> parts = NormalComponents(np.ones((1, 2)), np.zeros((1, 1, 2)), np.full((1, 1, 2), 2.0))
    >>> predictive_distribution([parts], np.ones((1, 2)), single_output=True).var
    array([4., 4.])
    """

    functions = NORMAL
    locations = ("mean",)
    scales = ("std",)


LOGNORMAL = functions_of_normal(
    lambda y, log_mean, log_std: (np.log(y) - log_mean) / log_std,
    lambda score, log_mean, log_std: np.exp(log_mean + log_std * score),
    mean=lambda log_mean, log_std: np.exp(log_mean + 0.5 * np.square(log_std)),
    variance=lambda log_mean, log_std: (
        np.exp(2.0 * log_mean + np.square(log_std)) * np.expm1(np.square(log_std))
    ),
    log_pdf=lambda y, *parameters: _normal_log_pdf(np.log(y), *parameters) - np.log(y),
    support=(0.0, np.inf),
)


class LogNormalComponents(namedtuple("_LogNormalFields", "weight log_mean log_std"), Components):
    """Mixtures of lognormals that one expert predicts, one for each row; rows are the last axis.

    Attributes
    ----------
    weight : ndarray of shape (n_components, n_rows)
        Probabilities of the components, which sum to one.
    log_mean : ndarray of shape (n_components, n_outputs, n_rows)
        Means of log y.
    log_std : ndarray of shape (n_components, n_outputs, n_rows)
        Standard deviations of log y.

    See Also
    --------
    predictive_distribution : The mixture of the components of several experts.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.distributions import LogNormalComponents, predictive_distribution
    >>> parts = LogNormalComponents(np.ones((1, 2)), np.zeros((1, 1, 2)), np.ones((1, 1, 2)))
    >>> predictive_distribution([parts], np.ones((1, 2)), single_output=True).median.round(6)
    array([1., 1.])
    """

    functions = LOGNORMAL


# Scales from the centre from which on the upper tail is a power of the distance.
POWER_LAW = 1e100

# Degrees of freedom from which the distribution is the normal to the last bits.
NORMAL_DF = 1e14

# Log probabilities below it are of numbers that have lost digits.
LOG_UNDERFLOW = -650.0

# Round-off of a median of the standard distribution.
MEDIAN_TOL = 1e-12


def _log_constant(df: Array) -> Array:
    """Log density of the standard distribution at zero."""
    large = np.maximum(df, 100.0)
    # log Gamma((df + 1) / 2) - log Gamma(df / 2) by its series where both are large.
    series = 1.0 / large**2
    series = (-1 / 4 + series * (1 / 24 - series * (1 / 20 - series * 17 / 112))) / large
    exact = gammaln(0.5 * (df + 1.0)) - gammaln(0.5 * df) - 0.5 * np.log(0.5 * df)
    return np.where(df >= 100.0, series, exact) - 0.5 * LOG_2PI


def _log_density(z: Array, df: Array) -> Array:
    """Log density of the standard distribution."""
    with np.errstate(divide="ignore"):
        log_square = np.logaddexp(0.0, 2.0 * np.log(np.abs(z) / np.sqrt(df)))
    return _log_constant(df) - 0.5 * (df + 1.0) * log_square


def _log_tail(z: Array, df: Array) -> Array:
    """Log probability above z, for z > 1."""
    df = np.minimum(df, NORMAL_DF)
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.square(z / np.sqrt(df))
        rest = np.where(np.isinf(scaled), 1.0, scaled / (1.0 + scaled))
        excess = 0.5 * df * rest - 0.5 / (1.0 + scaled)
    half = np.broadcast_to(0.5 * df, z.shape)
    fraction = log_beta_fraction(half, np.full(z.shape, 0.5), 1.0 / (1.0 + scaled), excess)
    return _log_density(z, df) + np.log(z) - np.log(2.0) + fraction


def _log_sf(z: Array, df: Array) -> Array:
    """Log probability above z."""
    z, df = np.broadcast_arrays(z, np.minimum(df, NORMAL_DF))
    with np.errstate(divide="ignore"):
        logs = np.where(z > 0.0, np.log(stdtr(df, -z)), np.log1p(-stdtr(df, z)))
    deep = (z > 0.0) & np.isfinite(z) & (~(logs > LOG_UNDERFLOW) | (z > POWER_LAW))
    logs[deep] = _log_tail(z[deep], df[deep])
    return logs


def log_pdf(y: Array, mean: Array, scale: Array, df: Array) -> Array:
    """Log density."""
    return _log_density((y - mean) / scale, df) - np.log(scale)


def _quantile(q: float, mean: Array, scale: Array, df: Array) -> Array:
    standard = stdtrit(np.clip(df, 1e-3, 1e8), q)
    normal = ndtri(q) * np.ones_like(df)
    # Far in the tails, where stdtrit may fail, the power law of the tail.
    with np.errstate(over="ignore"):
        exponent = (_log_constant(df) + 0.5 * (df - 1.0) * np.log(df) - np.log(q)) / df
        power = -np.exp(exponent)  # infinite where no number is as large
    usable = np.isfinite(standard) & (standard < MEDIAN_TOL) & (power > -POWER_LAW)
    standard = np.where(usable, np.minimum(standard, 0.0), np.minimum(power, normal))
    return mean + scale * standard


def _upper_quantile(q: float, mean: Array, scale: Array, df: Array) -> Array:
    return -_quantile(q, -mean, scale, df)


def _variance(mean: Array, scale: Array, df: Array) -> Array:
    finite = np.where(df > 2.0, df, 3.0)
    variance = np.square(scale) * finite / (finite - 2.0)
    return np.where(df > 2.0, variance, np.where(df > 1.0, np.inf, np.nan))


STUDENT_T = ComponentFunctions(
    mean=lambda mean, scale, df: np.where(df > 1.0, mean, np.nan),
    variance=_variance,
    log_pdf=log_pdf,
    log_cdf=lambda y, mean, scale, df: _log_sf((mean - y) / scale, df),
    log_sf=lambda y, mean, scale, df: _log_sf((y - mean) / scale, df),
    quantile=_quantile,
    upper_quantile=_upper_quantile,
    draw=lambda rng, mean, scale, df: mean + scale * rng.standard_t(df),
    location_scale=True,
)


class StudentTComponents(namedtuple("_StudentTFields", "weight mean scale df"), Components):
    """Mixtures of Student's t that one expert predicts, one for each row; rows are the last axis.

    Attributes
    ----------
    weight : ndarray of shape (n_components, n_rows)
        Probabilities of the components, which sum to one.
    mean : ndarray of shape (n_components, n_outputs, n_rows)
        Centres of the components, which are their means for more than one degree of freedom.
    scale : ndarray of shape (n_components, n_outputs, n_rows)
        Scales of the components.
    df : ndarray of shape (n_components, n_outputs, n_rows)
        Degrees of freedom. The variance is infinite up to 2, and the mean does not exist up to 1.

    See Also
    --------
    predictive_distribution : The mixture of the components of several experts.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.distributions import StudentTComponents, predictive_distribution
    >>> parts = StudentTComponents(np.ones((1, 2)), *np.ones((2, 1, 1, 2)), np.full((1, 1, 2), 4.0))
    >>> predictive_distribution([parts], np.ones((1, 2)), single_output=True).var.round(6)
    array([2., 2.])
    """

    functions = STUDENT_T
    locations = ("mean",)
    scales = ("scale",)


def _beta_log_pdf(y: Array, first: Array, second: Array) -> Array:
    return xlogy(first - 1.0, y) + xlog1py(second - 1.0, -y) - betaln(first, second)


def _beta_log_cdf(y: Array, first: Array, second: Array) -> Array:
    y, first, second = np.broadcast_arrays(y, first, second)
    logs = np.log(betainc(first, second, y))
    far = (logs < LOG_NEGLIGIBLE) & (y > 0.0)
    x, a, b = y[far], first[far], second[far]
    fraction = log_beta_fraction(a, b, x, a - (a + b) * x)
    logs[far] = a * np.log(x) + b * np.log1p(-x) - betaln(a, b) + fraction
    return logs


BETA = ComponentFunctions(
    mean=lambda first, second: first / (first + second),
    variance=lambda first, second: (
        first * second / np.square(first + second) / (first + second + 1.0)
    ),
    log_pdf=_beta_log_pdf,
    log_cdf=_beta_log_cdf,
    log_sf=lambda y, first, second: _beta_log_cdf(1.0 - y, second, first),
    support=(0.0, 1.0),
    quantile=lambda q, first, second: betaincinv(first, second, q),
    upper_quantile=lambda q, first, second: 1.0 - betaincinv(second, first, q),
    draw=lambda rng, first, second: rng.beta(first, second),
)


class BetaComponents(namedtuple("_BetaFields", "weight first second"), Components):
    """Mixtures of beta distributions that one expert predicts; rows are the last axis.

    Attributes
    ----------
    weight : ndarray of shape (n_components, n_rows)
        Probabilities of the components, which sum to one.
    first : ndarray of shape (n_components, n_outputs, n_rows)
        Mean times precision.
    second : ndarray of shape (n_components, n_outputs, n_rows)
        One less the mean, times precision.

    See Also
    --------
    predictive_distribution : The mixture of the components of several experts.

    References
    ----------
    N. L. Johnson, S. Kotz and N. Balakrishnan (1995), "Continuous univariate distributions",
    volume 2, 2nd edition, Wiley, chapter 25.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.distributions import BetaComponents, predictive_distribution
    >>> first, second = np.full((1, 1, 2), 2.0), np.full((1, 1, 2), 6.0)
    >>> parts = BetaComponents(np.ones((1, 2)), first, second)
    >>> predictive_distribution([parts], np.ones((1, 2)), single_output=True).mean
    array([0.25, 0.25])
    """

    functions = BETA


# Distance from the range, in widths and in units of the round-off of its ends, up to which points
# are in it: a change of units moves points and ends by round-off.
WIDTH_TOL = 1e-9
ROUND_OFF_TOL = 16.0


def is_in_range(y: Array, low: Array, high: Array) -> Array:
    """Whether points are in the range, up to round-off of points and ends."""
    round_off = np.finfo(float).eps * np.maximum(np.abs(low), np.abs(high))
    slack = WIDTH_TOL * (high - low) + ROUND_OFF_TOL * round_off
    return (y >= low - slack) & (y <= high + slack)


def _uniform_log_pdf(y: Array, low: Array, high: Array) -> Array:
    outside = np.where(np.isnan(y), np.nan, -np.inf)
    return np.where(is_in_range(y, low, high), -np.log(high - low), outside)


UNIFORM = ComponentFunctions(
    mean=lambda low, high: low + 0.5 * (high - low),
    variance=lambda low, high: np.square(high - low) / 12.0,
    log_pdf=_uniform_log_pdf,
    cdf=lambda y, low, high: np.clip((y - low) / (high - low), 0.0, 1.0),
    sf=lambda y, low, high: np.clip((high - y) / (high - low), 0.0, 1.0),
    quantile=lambda q, low, high: low + q * (high - low),
    upper_quantile=lambda q, low, high: high - q * (high - low),
    draw=lambda rng, low, high: low + (high - low) * rng.uniform(size=low.shape),
    bounds=lambda low, high: (low, high),
    location_scale=True,
)


class UniformComponents(namedtuple("_UniformFields", "weight low high"), Components):
    """Mixtures of uniform distributions that one expert predicts; rows are the last axis.

    Attributes
    ----------
    weight : ndarray of shape (n_components, n_rows)
        Probabilities of the components, which sum to one.
    low : ndarray of shape (n_components, n_outputs, n_rows)
        Lower ends of the components.
    high : ndarray of shape (n_components, n_outputs, n_rows)
        Upper ends of the components, larger than the lower ones.

    See Also
    --------
    predictive_distribution : The mixture of the components of several experts.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.distributions import UniformComponents, predictive_distribution
    >>> parts = UniformComponents(np.ones((1, 2)), np.zeros((1, 1, 2)), np.full((1, 1, 2), 6.0))
    >>> predictive_distribution([parts], np.ones((1, 2)), single_output=True).mean
    array([3., 3.])
    """

    functions = UNIFORM
    locations = ("low", "high")
