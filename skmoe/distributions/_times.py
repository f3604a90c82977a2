"""Further distributions of times."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
from scipy.special import exp1, expit, log_expit, logit

from skmoe._numerics.typing import Array
from skmoe.distributions._components import ComponentFunctions, Components


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
    return np.log(shape) - np.log(y) + log_expit(odds) + log_expit(-odds)


LOGLOGISTIC = ComponentFunctions(
    mean=loglogistic_mean,
    variance=_loglogistic_variance,
    log_pdf=_loglogistic_log_pdf,
    cdf=lambda y, *own: expit(_log_odds(y, *own)),
    sf=lambda y, *own: expit(-_log_odds(y, *own)),
    log_cdf=lambda y, *own: log_expit(_log_odds(y, *own)),
    log_sf=lambda y, *own: log_expit(-_log_odds(y, *own)),
    support=(0.0, np.inf),
    quantile=lambda q, scale, shape: scale * np.exp(logit(q) / shape),
    upper_quantile=lambda q, scale, shape: scale * np.exp(-logit(q) / shape),
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
    >>> from skmoe.distributions._times import LogLogisticComponents
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
        return np.asarray(scale * (np.exp(hazard) * exp1(hazard)))
    total: Array | float = 0.0
    for log_hazard in LOG_HAZARDS:
        own = np.exp(log_hazard)
        total = total + np.log1p(own / hazard) ** power * (STEP_OF_LOGS * own * np.exp(-own))
    return np.asarray(scale**power * total)


def _gompertz_variance(scale: Array, hazard: Array) -> Array:
    mean = gompertz_moment(scale, hazard, 1)
    return np.maximum(gompertz_moment(scale, hazard, 2) - np.square(mean), 0.0)


# Time in units of the scale beyond which the cumulative hazard is linear, so that it is finite.
LINEAR_TIME = 300.0


def _total_hazard(y: Array, scale: Array, hazard: Array) -> Array:
    time = y / scale
    beyond = np.maximum(time - LINEAR_TIME, 0.0)
    return hazard * (np.expm1(time - beyond) + np.exp(time - beyond) * beyond)


def _gompertz_time(total: Array, scale: Array, hazard: Array) -> Array:
    """The time of a cumulative hazard."""
    return scale * np.log1p(total / hazard)


GOMPERTZ = ComponentFunctions(
    mean=gompertz_moment,
    variance=_gompertz_variance,
    log_pdf=lambda y, scale, hazard: (
        np.log(hazard) - np.log(scale) + y / scale - _total_hazard(y, scale, hazard)
    ),
    cdf=lambda y, *own: -np.expm1(-_total_hazard(y, *own)),
    log_sf=lambda y, *own: -_total_hazard(y, *own),
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
    >>> from skmoe.distributions._times import GompertzComponents
    >>> parts = GompertzComponents.single(np.ones((1, 2)), np.full((1, 2), 0.5))
    >>> predictive_distribution([parts], np.ones((1, 2)), single_output=True).median.round(4)
    array([0.8697, 0.8697])
    """

    functions = GOMPERTZ
