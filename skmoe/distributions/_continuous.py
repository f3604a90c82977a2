"""Continuous distributions: of all numbers, of shares, and of positive values."""

from __future__ import annotations

from collections import namedtuple
from functools import partial
from typing import Any

import numpy as np
from scipy import special, stats

from skmoe._numerics.probability import LOG_2PI, LOG_NEGLIGIBLE
from skmoe._numerics.special import indices, log_beta_fraction, log_sum, shape_of_jumps
from skmoe._numerics.typing import Array
from skmoe.distributions import _components as parts
from skmoe.distributions._components import ComponentFunctions, Components
from skmoe.distributions._discrete import PointMassComponents, log_mass, log_tail


def _normal_log_pdf(y: Array, mean: Array, std: Array) -> Array:
    return -np.log(std) - 0.5 * (LOG_2PI + ((y - mean) / std) ** 2)


NORMAL = parts.functions_of_normal(
    lambda y, mean, std: (y - mean) / std,
    lambda score, mean, std: mean + std * score,
    mean=lambda mean, std: mean,
    variance=lambda mean, std: np.square(std),
    log_pdf=_normal_log_pdf,
    location_scale=True,
)


class NormalComponents(namedtuple("_Fields", "weight mean std"), Components):
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


LOGNORMAL = parts.functions_of_normal(
    lambda y, log_mean, log_std: (np.log(y) - log_mean) / log_std,
    lambda score, log_mean, log_std: np.exp(log_mean + log_std * score),
    mean=lambda log_mean, log_std: np.exp(log_mean + 0.5 * np.square(log_std)),
    variance=lambda log_mean, log_std: np.exp(2.0 * log_mean + log_std**2) * np.expm1(log_std**2),
    log_pdf=lambda y, *parameters: _normal_log_pdf(np.log(y), *parameters) - np.log(y),
    share_of_mean=lambda y, mean, std: special.ndtr((np.log(y) - mean) / std - std),
    support=(0.0, np.inf),
)


class LogNormalComponents(namedtuple("_Fields", "weight log_mean log_std"), Components):
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


def _log_beta_tail(log_odds: Array, first: Array, second: Array) -> Array:
    """Log of the incomplete beta function far below the mean, at a point with these log odds."""
    below, above = special.expit(log_odds), special.expit(-log_odds)
    fraction = log_beta_fraction(first, second, below, first * above - second * below)
    logs = first * special.log_expit(log_odds) + second * special.log_expit(-log_odds)
    return logs - special.betaln(first, second) + fraction


def _log_constant(df: Array) -> Array:
    """Log density of the standard distribution at zero."""
    # log Gamma((df + 1) / 2) - log Gamma(df / 2) by its series where both are large.
    series = 1.0 / np.maximum(df, 100.0) ** 2
    series = -1 / 4 + series * (1 / 24 - series * (1 / 20 - series * 17 / 112))
    exact = -special.betaln(0.5 * df, 0.5) - 0.5 * np.log(df)
    return np.where(df >= 100.0, series / df - 0.5 * LOG_2PI, exact)


def _log_sf(z: Array, df: Array) -> Array:
    """Log probability above z."""
    z, df = np.broadcast_arrays(z, np.minimum(df, NORMAL_DF))
    with np.errstate(divide="ignore"):
        logs = np.where(z > 0.0, np.log(special.stdtr(df, -z)), np.log1p(-special.stdtr(df, z)))
    deep = (z > 0.0) & np.isfinite(z) & (~(logs > LOG_UNDERFLOW) | (z > POWER_LAW))
    z, df = z[deep], df[deep]
    log_odds = np.log(df) - 2.0 * np.log(z)
    logs[deep] = _log_beta_tail(log_odds, 0.5 * df, np.full(z.shape, 0.5)) - np.log(2.0)
    return logs


def _log_pdf(y: Array, mean: Array, scale: Array, df: Array) -> Array:
    with np.errstate(divide="ignore"):
        log_square = 2.0 * np.log(np.abs(y - mean) / (scale * np.sqrt(df)))
    return _log_constant(df) - 0.5 * (df + 1.0) * np.logaddexp(0.0, log_square) - np.log(scale)


def _quantile(q: float, mean: Array, scale: Array, df: Array) -> Array:
    standard = special.stdtrit(np.clip(df, 1e-3, 1e8), q)
    normal = special.ndtri(q) * np.ones_like(df)
    # Far in the tails, where stdtrit may fail, the power law of the tail.
    with np.errstate(over="ignore"):
        exponent = (_log_constant(df) + 0.5 * (df - 1.0) * np.log(df) - np.log(q)) / df
        power = -np.exp(exponent)  # infinite where no number is as large
    usable = np.isfinite(standard) & (standard < MEDIAN_TOL) & (power > -POWER_LAW)
    standard = np.where(usable, np.minimum(standard, 0.0), np.minimum(power, normal))
    return mean + scale * standard


def _variance(mean: Array, scale: Array, df: Array) -> Array:
    finite = np.where(df > 2.0, df, 3.0)
    variance = np.square(scale) * finite / (finite - 2.0)
    return np.where(df > 2.0, variance, np.where(df > 1.0, np.inf, np.nan))


STUDENT_T = ComponentFunctions(
    mean=lambda mean, scale, df: np.where(df > 1.0, mean, np.nan),
    variance=_variance,
    log_pdf=_log_pdf,
    log_cdf=lambda y, mean, scale, df: _log_sf((mean - y) / scale, df),
    log_sf=lambda y, mean, scale, df: _log_sf((y - mean) / scale, df),
    quantile=_quantile,
    upper_quantile=lambda q, mean, *others: -_quantile(q, -mean, *others),
    draw=lambda rng, mean, scale, df: mean + scale * rng.standard_t(df),
    location_scale=True,
)


class StudentTComponents(namedtuple("_Fields", "weight mean scale df"), Components):
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


def _beta_log_probability(lower: bool, y: Array, first: Array, second: Array) -> Array:
    """Log probability of one tail."""
    y, first, second = np.broadcast_arrays(y, first, second)
    logs = np.log((special.betainc if lower else special.betaincc)(first, second, y))
    far = (logs < LOG_NEGLIGIBLE) & (y > 0.0) & (y < 1.0)
    log_odds, *own = (values[far] for values in (special.logit(y), first, second))
    logs[far] = _log_beta_tail(log_odds, *own) if lower else _log_beta_tail(-log_odds, *own[::-1])
    return logs


BETA = parts.functions_of_scipy(
    stats.beta,
    lambda first, second: (first, second),
    log_cdf=partial(_beta_log_probability, True),
    log_sf=partial(_beta_log_probability, False),
    support=(0.0, 1.0),
)


class BetaComponents(namedtuple("_Fields", "weight first second"), Components):
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


UNIFORM = parts.functions_of_scipy(
    stats.uniform,
    lambda low, high: (low, high - low),
    cdf=lambda y, low, high: np.clip((y - low) / (high - low), 0.0, 1.0),
    sf=lambda y, low, high: np.clip((high - y) / (high - low), 0.0, 1.0),
    bounds=lambda low, high: (low, high),
    location_scale=True,
)


class UniformComponents(namedtuple("_Fields", "weight low high"), Components):
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


# The probability that a gamma variable of a shape exceeds y is that of a Poisson count below the
# shape, with the mean y in units of the scale. The functions of the Poisson are continued to all
# real counts.


def _gamma_log_pdf(y: Array, mean: Array, shape: Array) -> Array:
    logs = log_mass(shape, y * (shape / mean)) + np.log(shape) - np.log(y)
    return np.where(y > 0.0, logs, special.xlogy(shape - 1.0, y) + np.log(shape / mean))


GAMMA = parts.functions_of_scipy(
    stats.gamma,
    lambda mean, shape: (shape, 0.0, mean / shape),
    log_pdf=_gamma_log_pdf,
    log_cdf=lambda y, mean, shape: log_tail(False, shape - 1.0, y * (shape / mean)),
    log_sf=lambda y, mean, shape: log_tail(True, shape - 1.0, y * (shape / mean)),
    share_of_mean=lambda y, mean, shape: special.gammainc(shape + 1.0, y * (shape / mean)),
    support=(0.0, np.inf),
)


class GammaComponents(namedtuple("_Fields", "weight mean shape"), Components):
    """Mixtures of gammas that one expert predicts, one for each row; rows are the last axis.

    Attributes
    ----------
    weight : ndarray of shape (n_components, n_rows)
        Probabilities of the components, which sum to one.
    mean : ndarray of shape (n_components, n_outputs, n_rows)
        Means of the components.
    shape : ndarray of shape (n_components, n_outputs, n_rows)
        Shapes of the components; the variance is mean^2 / shape.

    See Also
    --------
    predictive_distribution : The mixture of the components of several experts.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.distributions import GammaComponents, predictive_distribution
    >>> parts = GammaComponents(np.ones((1, 2)), np.full((1, 1, 2), 3.0), np.full((1, 1, 2), 2.0))
    >>> predictive_distribution([parts], np.ones((1, 2)), single_output=True).var
    array([4.5, 4.5])
    """

    functions = GAMMA


# The distribution function is a sum of two normal tails, whose common factor exp(-below^2 / 2) is
# taken out, so that the scaled complementary error functions neither under- nor overflow.


def _inverse_gaussian_log_tail(lower: bool, y: Array, mean: Array, dispersion: Array) -> Array:
    """Log probability of one tail: the smaller one is computed, and the other one from it."""
    scale, root = mean * np.sqrt(dispersion * y), np.sqrt(0.5)
    below, above = (y - mean) / scale, (y + mean) / scale
    other = np.where(below < 0.0, 1.0, -1.0) * special.erfcx(root * above)
    small = np.log(0.5 * (special.erfcx(root * np.abs(below)) + other)) - 0.5 * np.square(below)
    large = np.log1p(-np.exp(np.minimum(small, 0.0)))
    return np.where((below < 0.0) == lower, small, large)


INVERSE_GAUSSIAN = parts.functions_of_scipy(
    stats.invgauss,
    lambda mean, dispersion: (mean * dispersion, 0.0, 1.0 / dispersion),
    log_cdf=partial(_inverse_gaussian_log_tail, True),
    log_sf=partial(_inverse_gaussian_log_tail, False),
    support=(0.0, np.inf),
    quantile=None,  # those of SciPy fail in the tails
    upper_quantile=None,
)


class InverseGaussianComponents(namedtuple("_Fields", "weight mean dispersion"), Components):
    """Mixtures of inverse Gaussians that one expert predicts; rows are the last axis.

    Attributes
    ----------
    weight : ndarray of shape (n_components, n_rows)
        Probabilities of the components, which sum to one.
    mean : ndarray of shape (n_components, n_outputs, n_rows)
        Means of the components.
    dispersion : ndarray of shape (n_components, n_outputs, n_rows)
        Dispersions of the components, in units of 1/y; the variance is dispersion * mean^3.

    See Also
    --------
    predictive_distribution : The mixture of the components of several experts.

    References
    ----------
    R. S. Chhikara and J. L. Folks (1989), "The Inverse Gaussian Distribution", Marcel Dekker.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.distributions import InverseGaussianComponents, predictive_distribution
    >>> mean, dispersion = np.full((1, 1, 2), 2.0), np.full((1, 1, 2), 0.5)
    >>> parts = InverseGaussianComponents(np.ones((1, 2)), mean, dispersion)
    >>> predictive_distribution([parts], np.ones((1, 2)), single_output=True).var
    array([4., 4.])
    """

    functions = INVERSE_GAUSSIAN


# Logarithm of the ratio of y to the scale of a Weibull distribution, times the shape, beyond which
# the cumulative hazard is linear in the logarithm: the products in derivatives are finite.
LINEAR_LOG = 300.0


def _weibull_hazard(y: Array, scale: Array, shape: Array) -> Array:
    """The cumulative hazard."""
    logs = shape * np.log(y / scale)
    beyond = np.maximum(logs - LINEAR_LOG, 0.0)
    return np.exp(np.minimum(logs, LINEAR_LOG)) * (1.0 + beyond)


WEIBULL = parts.functions_of_scipy(
    stats.weibull_min,
    lambda scale, shape: (shape, 0.0, scale),
    cdf=lambda y, *own: -np.expm1(-_weibull_hazard(y, *own)),
    log_sf=lambda y, *own: -_weibull_hazard(y, *own),
    share_of_mean=lambda y, scale, shape: special.gammainc(1.0 + 1.0 / shape, (y / scale) ** shape),
    support=(0.0, np.inf),
)


class WeibullComponents(namedtuple("_Fields", "weight scale shape"), Components):
    """Mixtures of Weibull distributions that one expert predicts; rows are the last axis.

    Attributes
    ----------
    weight : ndarray of shape (n_components, n_rows)
        Probabilities of the components, which sum to one.
    scale : ndarray of shape (n_components, n_outputs, n_rows)
        Scales of the components, which 63 % of the values do not exceed.
    shape : ndarray of shape (n_components, n_outputs, n_rows)
        Shapes of the components; exponential distributions have shape one.

    See Also
    --------
    predictive_distribution : The mixture of the components of several experts.

    References
    ----------
    N. L. Johnson, S. Kotz and N. Balakrishnan (1994), "Continuous univariate distributions",
    volume 1, 2nd edition, Wiley, chapter 21.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.distributions import WeibullComponents, predictive_distribution
    >>> scale, shape = np.full((1, 1, 2), 3.0), np.ones((1, 1, 2))
    >>> parts = WeibullComponents(np.ones((1, 2)), scale, shape)
    >>> predictive_distribution([parts], np.ones((1, 2)), single_output=True).mean
    array([3., 3.])
    """

    functions = WEIBULL


def loglogistic_mean(scale: Array, shape: Array, power: int = 1) -> Array:
    """Moments, which exist if the shape is larger than the power."""
    angle = power * np.pi / np.maximum(shape, power)
    with np.errstate(divide="ignore", over="ignore"):
        found = scale**power * angle / np.sin(angle)
    return np.where(shape > power, found, np.inf)


def _log_odds(y: Array, scale: Array, shape: Array) -> Array:
    return shape * (np.log(y) - np.log(scale))


def _loglogistic_variance(scale: Array, shape: Array) -> Array:
    with np.errstate(invalid="ignore"):
        found = loglogistic_mean(scale, shape, 2) - np.square(loglogistic_mean(scale, shape))
    return np.where(shape > 2.0, found, np.inf)


def _loglogistic_log_pdf(y: Array, scale: Array, shape: Array) -> Array:
    odds = _log_odds(y, scale, shape)
    return np.log(shape) - np.log(y) + special.log_expit(odds) + special.log_expit(-odds)


LOGLOGISTIC = ComponentFunctions(
    mean=loglogistic_mean,
    variance=_loglogistic_variance,
    log_pdf=_loglogistic_log_pdf,
    cdf=lambda y, *own: special.expit(_log_odds(y, *own)),
    sf=lambda y, *own: special.expit(-_log_odds(y, *own)),
    log_cdf=lambda y, *own: special.log_expit(_log_odds(y, *own)),
    log_sf=lambda y, *own: special.log_expit(-_log_odds(y, *own)),
    share_of_mean=lambda y, scale, shape: special.betaincc(
        1.0 - 1.0 / shape, 1.0 + 1.0 / shape, special.expit(-_log_odds(y, scale, shape))
    ),
    support=(0.0, np.inf),
    quantile=lambda q, scale, shape: scale * np.exp(special.logit(q) / shape),
    upper_quantile=lambda q, scale, shape: scale * np.exp(-special.logit(q) / shape),
    draw=lambda rng, scale, shape: scale * np.exp(rng.logistic(size=scale.shape) / shape),
)


class LogLogisticComponents(namedtuple("_Fields", "weight scale shape"), Components):
    """Mixtures of log-logistic distributions that one expert predicts; rows are the last axis.

    Attributes
    ----------
    weight : ndarray of shape (n_components, n_rows)
        Probabilities of the components, which sum to one.
    scale : ndarray of shape (n_components, n_outputs, n_rows)
        Medians of the components.
    shape : ndarray of shape (n_components, n_outputs, n_rows)
        Shapes of the components.

    See Also
    --------
    predictive_distribution : The mixture of the components of several experts.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.distributions import predictive_distribution
    >>> from skmoe.distributions._continuous import LogLogisticComponents
    >>> parts = LogLogisticComponents.single(np.full((1, 2), 3.0), np.full((1, 2), 2.0))
    >>> predictive_distribution([parts], np.ones((1, 2)), single_output=True).median.round(6)
    array([3., 3.])
    """

    functions = LOGLOGISTIC


# Logarithms of cumulative hazards at which moments are summed: the cumulative hazard at y is
# exponential, whatever the distribution of y.
STEP_OF_LOGS = 0.2
LOG_HAZARDS = np.arange(-45.0, 5.0, STEP_OF_LOGS)

# Largest hazard of which the exponential is finite.
MAX_HAZARD_OF_FORMULA = 500.0


def gompertz_moment(scale: Array, hazard: Array, power: int = 1) -> Array:
    """Moments: the mean in closed form, others by a sum over logs of the cumulative hazard."""
    if power == 1 and np.max(hazard, initial=0.0) < MAX_HAZARD_OF_FORMULA:
        return np.asarray(scale * (np.exp(hazard) * special.exp1(hazard)))
    total: Array | float = 0.0
    for log_hazard in LOG_HAZARDS:
        own = np.exp(log_hazard)
        total = total + np.log1p(own / hazard) ** power * (STEP_OF_LOGS * own * np.exp(-own))
    return np.asarray(scale**power * total)


def _gompertz_variance(scale: Array, hazard: Array) -> Array:
    mean = gompertz_moment(scale, hazard, 1)
    return np.maximum(gompertz_moment(scale, hazard, 2) - np.square(mean), 0.0)


# Times in units of the scale beyond which the cumulative hazard is linear, and constant: the
# products in derivatives are finite.
LINEAR_TIME, MAX_LOG_TIME = 100.0, 100.0


def _total_hazard(y: Array, scale: Array, hazard: Array) -> Array:
    time = np.minimum(y / scale, np.exp(MAX_LOG_TIME))
    early = np.minimum(time, LINEAR_TIME)
    return hazard * (np.expm1(early) + np.exp(early) * (time - early))


def _gompertz_time(total: Array, scale: Array, hazard: Array) -> Array:
    """The time of a cumulative hazard."""
    return scale * np.log1p(total / hazard)


def _gompertz_share(y: Array, scale: Array, hazard: Array) -> Array:
    later = hazard * np.exp(y / scale)
    return 1.0 - (special.exp1(later) + y / scale * np.exp(-later)) / special.exp1(hazard)


GOMPERTZ = ComponentFunctions(
    mean=gompertz_moment,
    variance=_gompertz_variance,
    log_pdf=lambda y, scale, hazard: (
        np.log(hazard / scale)
        + np.minimum(y / scale, LINEAR_TIME)
        - _total_hazard(y, scale, hazard)
    ),
    cdf=lambda y, *own: -np.expm1(-_total_hazard(y, *own)),
    log_sf=lambda y, *own: -_total_hazard(y, *own),
    share_of_mean=_gompertz_share,
    support=(0.0, np.inf),
    quantile=lambda q, *own: _gompertz_time(-np.log1p(-q), *own),
    upper_quantile=lambda q, *own: _gompertz_time(-np.log(q), *own),
    draw=lambda rng, *own: _gompertz_time(rng.standard_exponential(own[0].shape), *own),
)


class GompertzComponents(namedtuple("_Fields", "weight scale hazard"), Components):
    """Mixtures of Gompertz distributions that one expert predicts; rows are the last axis.

    Attributes
    ----------
    weight : ndarray of shape (n_components, n_rows)
        Probabilities of the components, which sum to one.
    scale : ndarray of shape (n_components, n_outputs, n_rows)
        Times in which the hazards of the components grow by the factor e.
    hazard : ndarray of shape (n_components, n_outputs, n_rows)
        Hazards of the components at time zero, in units of the inverse scale.

    See Also
    --------
    predictive_distribution : The mixture of the components of several experts.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.distributions import predictive_distribution
    >>> from skmoe.distributions._continuous import GompertzComponents
    >>> parts = GompertzComponents.single(np.ones((1, 2)), np.full((1, 2), 0.5))
    >>> predictive_distribution([parts], np.ones((1, 2)), single_output=True).median.round(4)
    array([0.8697, 0.8697])
    """

    functions = GOMPERTZ


# A value is the sum of a Poisson number of gamma variables. It is zero if there are none; the
# distribution here is that of the values for which there is one at least.


def expected_jumps(mean: Array, dispersion: Array, power: Array) -> Array:
    """Mean of the Poisson number."""
    return np.power(mean, 2.0 - power) / (dispersion * (2.0 - power))


def _log_positive(mean: Array, dispersion: Array, power: Array) -> Array:
    """Log probability of a positive value."""
    return np.log(-np.expm1(-expected_jumps(mean, dispersion, power)))


def _tweedie_log_pdf(y: Array, mean: Array, dispersion: Array, power: Array) -> Array:
    positive, shape, log_dispersion = y > 0.0, shape_of_jumps(power), np.log(dispersion)
    log_y = np.log(np.where(positive, y, 1.0))
    log_z = shape * (log_y - np.log(power - 1.0)) - (1.0 + shape) * log_dispersion
    log_z = np.asarray(log_z - np.log(2.0 - power))
    logs = log_sum(log_z, float(np.max(power, initial=1.0))) - log_y
    logs -= y * np.power(mean, 1.0 - power) / (power - 1.0) / dispersion
    logs -= expected_jumps(mean, dispersion, power) + _log_positive(mean, dispersion, power)
    return np.where(positive, logs, -np.inf)


def _jumps(
    lower: bool, y: Array, mean: Array, dispersion: Array, power: Array
) -> tuple[Array, Array, Array]:
    """Numbers of jumps (J, ...), the logs of their probabilities given one, and y in their unit.

    Far in a tail the likely numbers are those of values next to y.
    """
    shape, number = shape_of_jumps(power), expected_jumps(mean, dispersion, power)
    scale = dispersion * (power - 1.0) * np.power(mean, power - 1.0)
    nearest = np.minimum(mean, y) if lower else np.maximum(mean, y)
    center = expected_jumps(nearest, dispersion, power)
    density = 2.0 * np.sqrt(1.0 + np.max(shape, initial=0.0))
    j, step = indices(center, np.sqrt(center), float(density))
    logs = special.xlogy(j, number) - number - special.gammaln(j + 1.0) + np.log(step)
    return j * shape, logs - _log_positive(mean, dispersion, power), y / scale


def _tweedie_log_tail(lower: bool, y: Array, *parameters: Array) -> Array:
    """Log probability of one tail at y, a sum over the numbers of jumps."""
    y, *others = np.broadcast_arrays(y, *parameters)
    shapes, log_prob, at = _jumps(lower, y, *others)
    of_jumps = (special.gammainc if lower else special.gammaincc)(shapes, at)
    logs = np.log(np.minimum((np.exp(log_prob) * of_jumps).sum(axis=0), 1.0))
    far = (logs < LOG_NEGLIGIBLE) & (y > 0.0)
    if far.any():
        shapes, log_prob, at = _jumps(lower, y[far], *(values[far] for values in others))
        log_prob = log_prob + log_tail(not lower, shapes - 1.0, at)
        logs[far] = special.logsumexp(log_prob, axis=0)
    return logs


def _tweedie_variance(mean: Array, dispersion: Array, power: Array) -> Array:
    square = dispersion * np.power(mean, power) + np.square(mean)
    positive = -np.expm1(-expected_jumps(mean, dispersion, power))
    return square / positive - np.square(mean / positive)


def _tweedie_draw(rng: Any, mean: Array, dispersion: Array, power: Array) -> Array:
    number = expected_jumps(mean, dispersion, power)
    none = np.exp(-number)
    level = none + (1.0 - none) * rng.uniform(size=np.shape(number))
    jumps = np.maximum(stats.poisson.ppf(level, number), 1.0)
    scale = dispersion * (power - 1.0) * np.power(mean, power - 1.0)
    return scale * rng.standard_gamma(jumps * shape_of_jumps(power))


POSITIVE_TWEEDIE = ComponentFunctions(
    mean=lambda mean, *others: mean / -np.expm1(-expected_jumps(mean, *others)),
    variance=_tweedie_variance,
    log_pdf=_tweedie_log_pdf,
    log_cdf=partial(_tweedie_log_tail, True),
    log_sf=partial(_tweedie_log_tail, False),
    draw=_tweedie_draw,
    support=(0.0, np.inf),
)


class PositiveTweedieComponents(namedtuple("_Fields", "weight mean dispersion power"), Components):
    """Positive values of Tweedie distributions that one expert predicts; rows are the last axis.

    A Tweedie distribution is a mixture of a point mass at zero and of this one.

    Attributes
    ----------
    weight : ndarray of shape (n_components, n_rows)
        Probabilities of the components, which sum to one.
    mean : ndarray of shape (n_components, n_outputs, n_rows)
        Means of the whole distributions, zeros included.
    dispersion : ndarray of shape (n_components, n_outputs, n_rows)
        Dispersions; the variance of the whole distribution is dispersion * mean^power.
    power : ndarray of shape (n_components, n_outputs, n_rows)
        Powers between 1 and 2.

    See Also
    --------
    predictive_distribution : The mixture of the components of several experts.

    References
    ----------
    P. K. Dunn and G. K. Smyth (2005), "Series evaluation of Tweedie exponential dispersion model
    densities", Statistics and Computing 15, 267-280.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.distributions import PositiveTweedieComponents, predictive_distribution
    >>> one = np.ones((1, 1, 2))
    >>> parts = PositiveTweedieComponents(np.ones((1, 2)), one, one, 1.5 * one)
    >>> predictive_distribution([parts], np.ones((1, 2)), single_output=True).mean.round(4)
    array([1.1565, 1.1565])
    """

    functions = POSITIVE_TWEEDIE


def tweedie_components(mean: Array, dispersion: Array, power: Array) -> parts.NestedComponents:
    """Point masses at zero and positive values, of parameters (m, n) of one output."""
    zero = np.exp(-expected_jumps(mean, dispersion, power))
    positive = PositiveTweedieComponents.single(mean, dispersion, power)
    point = PointMassComponents.single(np.zeros(mean.shape))
    return parts.NestedComponents(np.concatenate([zero, 1.0 - zero]), (point, positive))
