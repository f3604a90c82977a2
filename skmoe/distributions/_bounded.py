"""Distributions of bounded values: beta, uniform, certain values, and ordered ones."""

from __future__ import annotations

from collections import namedtuple
from functools import partial
from typing import Any

import numpy as np
from scipy.special import betainc, betaincinv, betaln, xlog1py, xlogy

from skmoe._numerics.probability import LOG_NEGLIGIBLE, log_probability
from skmoe._numerics.special import log_beta_fraction
from skmoe._numerics.typing import Array
from skmoe.distributions._components import Block, ComponentFunctions, Components


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


def _beta_mode(first: Array, second: Array) -> Array:
    """The end with the higher density, if both shapes are at most one."""
    above = np.maximum(first - 1.0, 0.0), np.maximum(second - 1.0, 0.0)
    total = above[0] + above[1]
    end = np.where(first > second, 1.0, 0.0)
    return np.where(total > 0.0, above[0] / np.where(total > 0.0, total, 1.0), end)


BETA = ComponentFunctions(
    mean=lambda first, second: first / (first + second),
    variance=lambda first, second: (
        first * second / np.square(first + second) / (first + second + 1.0)
    ),
    mode=_beta_mode,
    log_pdf=_beta_log_pdf,
    cdf=lambda y, first, second: betainc(first, second, y),
    sf=lambda y, first, second: betainc(second, first, 1.0 - y),
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
    mode=lambda low, high: low + 0.5 * (high - low),
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


def _indicator(holds: Array, y: Array) -> Array:
    """One where it holds, else zero; what is not a number stays so."""
    return np.where(np.isnan(y), np.nan, np.where(holds, 1.0, 0.0))


POINT_MASS = ComponentFunctions(
    mean=lambda value: value,
    variance=np.zeros_like,
    mode=lambda value: value,
    log_pdf=lambda y, value: log_probability(_indicator(y == value, y)),
    cdf=lambda y, value: _indicator(y >= value, y),
    sf=lambda y, value: _indicator(y < value, y),
    quantile=lambda q, value: value,
    upper_quantile=lambda q, value: value,
    draw=lambda rng, value: value,
    atoms=lambda value: (value,),
    discrete=True,
)


class PointMassComponents(namedtuple("_PointMassFields", "weight value"), Components):
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


# Functions of the sorted values, of points, and of one array of probabilities for each value.


def _total(compare: Any, values: Array, y: Array, *probabilities: Array) -> Array:
    """Sum of the probabilities of the values of which the comparison with y is true."""
    holds = compare(y, values.reshape(-1, *([1] * np.ndim(y))))
    terms = (np.where(h, p, 0.0) for h, p in zip(holds, probabilities, strict=True))
    return np.where(np.isnan(y), np.nan, np.minimum(sum(terms), 1.0))


def _mean(values: Array, *probabilities: Array) -> Array:
    return np.asarray(sum(v * p for v, p in zip(values, probabilities, strict=True)))


def _variance(values: Array, *probabilities: Array) -> Array:
    deviations = (np.square(value - _mean(values, *probabilities)) for value in values)
    return np.asarray(sum(d * p for d, p in zip(deviations, probabilities, strict=True)))


def _mode(values: Array, *probabilities: Array) -> Array:
    return values[np.argmax(np.stack(probabilities), axis=0)]


def _quantile(values: Array, q: float, *probabilities: Array) -> Array:
    below = np.cumsum(np.stack(probabilities), axis=0)
    return values[(below[:-1] < q).sum(axis=0)]


def _upper_quantile(values: Array, q: float, *probabilities: Array) -> Array:
    above = np.cumsum(np.stack(probabilities[::-1]), axis=0)
    return values[len(values) - 1 - (above[:-1] <= q).sum(axis=0)]


def _draw(values: Array, rng: np.random.RandomState, *probabilities: Array) -> Array:
    below = np.cumsum(np.stack(probabilities), axis=0)
    drawn = rng.uniform(size=probabilities[0].shape) * below[-1]
    return values[(drawn >= below[:-1]).sum(axis=0)]


def ordinal_family(values: Array) -> ComponentFunctions:
    """The family of distributions on sorted values; the parameters are their probabilities."""
    comparisons = np.equal, np.greater_equal, np.less
    mass, cdf, sf = (partial(_total, compare, values) for compare in comparisons)
    return ComponentFunctions(
        mean=partial(_mean, values),
        variance=partial(_variance, values),
        mode=partial(_mode, values),
        log_pdf=lambda y, *probabilities: log_probability(mass(y, *probabilities)),
        cdf=cdf,
        sf=sf,
        quantile=partial(_quantile, values),
        upper_quantile=partial(_upper_quantile, values),
        draw=partial(_draw, values),
        atoms=lambda *probabilities: tuple(
            np.full(probabilities[0].shape, value) for value in values
        ),
        discrete=True,
    )


class OrdinalComponents(namedtuple("_OrdinalFields", "weight values probabilities"), Components):
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
