"""Distributions with a logit link: shares between 0 and 1, and ordered values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from scipy.special import digamma, expit, gammaln, logit

from skmoe._numerics.special import trigamma
from skmoe._numerics.typing import TINY, Array
from skmoe.distributions import BetaComponents, OrdinalComponents
from skmoe.families._base import (
    LOG_DISPERSION_BOUNDS,
    Curvature,
    Family,
    as_outputs,
    log_variance_of,
)
from skmoe.protocols import Dispersion


@dataclass(frozen=True)
class Beta(Family):
    r"""Beta distribution of shares and rates between 0 and 1 [1]_.

    Use it as `family="beta"`. The mean is :math:`\mu = 1 / (1 + \exp(-\eta))`, and the variance
    :math:`\mu (1 - \mu) \phi / (1 + \phi)`. The inverse of the dispersion :math:`\phi` is the
    precision. If some shares are exactly 0 or 1, add experts for them:
    `family=["zero", "beta", "one"]`.

    See Also
    --------
    Ordinal : Ordered values.
    One : The point mass at one.

    References
    ----------
    .. [1] S. Ferrari and F. Cribari-Neto (2004), "Beta regression for modelling rates and
       proportions", Journal of Applied Statistics 31, 799-815.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.families import Beta
    >>> Beta().mean([np.zeros(1), np.zeros(1)])
    array([0.5])
    """

    name: ClassVar[str] = "beta"
    link: ClassVar[str] = "logit"
    equation: ClassVar[str] = "logit of expected {response} = {predictor}"
    support: ClassVar[str] = "numbers between 0 and 1"
    has_scale: ClassVar[bool] = True
    max_predictor: ClassVar[float] = 30.0
    max_step: ClassVar[float] = 1.0
    dispersions: ClassVar[tuple[Dispersion, ...]] = (Dispersion("log(dispersion)", "dispersion_"),)
    log_dispersion_bounds: ClassVar[tuple[tuple[float, float], ...]] = (LOG_DISPERSION_BOUNDS,)

    def in_support(self, y: Array) -> Array:
        """Numbers between 0 and 1."""
        return (y > 0.0) & (y < 1.0)

    def working_target(self, y: Array) -> Array:
        """Twice the arc sine of the root, whose variance is about the dispersion."""
        return 2.0 * np.arcsin(np.sqrt(np.clip(y, 0.0, 1.0)))

    def start(self, y: Array, weight: Array) -> Array:
        """Logit of the mean, and variance of the arc sines."""
        mean = np.average(y, weights=weight)
        return np.array([logit(mean), log_variance_of(self.working_target(y), weight)])

    def derivatives(self, y: Array, eta: Sequence[Array]) -> Iterator[Any]:
        """Expected information."""
        inside = np.where(self.in_support(y), y, 0.5)  # one half stands for values at the ends
        mean, rest, precision = expit(eta[0]), expit(-eta[0]), np.exp(-eta[1])
        log_y, log_rest = np.log(inside), np.log1p(-inside)
        shape, other = precision * mean, precision * rest
        logs = gammaln(precision) - gammaln(shape) - gammaln(other)
        yield logs + (shape - 1.0) * log_y + (other - 1.0) * log_rest
        slope, by_mean, by_rest = shape * rest, log_y - digamma(shape), log_rest - digamma(other)
        by_mean_only = slope * (by_mean - by_rest)
        by_dispersion = -precision * (digamma(precision) + mean * by_mean + rest * by_rest)
        yield by_mean_only, by_dispersion
        one, two = trigamma(shape), trigamma(other)
        of_precision = np.square(mean) * one + np.square(rest) * two - trigamma(precision)
        information = {
            (0, 0): np.square(slope) * (one + two),
            (0, 1): -slope * (shape * one - other * two),
            (1, 1): np.square(precision) * of_precision,
        }
        yield information
        yield {
            (0, 0): (rest - mean) * by_mean_only - information[0, 0],
            (0, 1): -by_mean_only - information[0, 1],
            (1, 1): -by_dispersion - information[1, 1],
        }

    def mean(self, eta: Sequence[Array]) -> Array:
        """The logistic function of the linear predictor."""
        return expit(eta[0])

    def location(self, mean: Array, eta: Sequence[Array]) -> Array:
        """Logit of the mean."""
        return logit(mean)

    def components(self, eta: Sequence[Array]) -> BetaComponents:
        """The beta distribution."""
        predictor, log_dispersion = as_outputs(eta)
        precision = np.exp(-log_dispersion)
        return BetaComponents.single(precision * expit(predictor), precision * expit(-predictor))


# Bounds of the log differences of thresholds.
LOG_STEP_BOUNDS = (-12.0, 5.0)

# Smallest difference of two thresholds in derivatives.
MIN_GAP = 1e-12

# Largest exponent: its exponential is finite.
MAX_EXPONENT = 700.0


@dataclass(frozen=True)
class Ordinal(Family):
    r"""Cumulative logit model for ordered values :math:`v_1 < v_2 < \dots < v_L` [1]_.

    Use it, as `family="ordinal"`, for ratings and scores. The log odds of :math:`y > v_l` are
    :math:`\eta - c_l`, with thresholds :math:`0 = c_1 < c_2 < \dots`, which are the same for all
    rows of an expert. With two values it is a logistic regression. See "Families" in the user
    guide.

    Parameters
    ----------
    values : tuple of float, default=()
        The possible values, 2 to 30, such as `(1.0, 2.0, 3.0, 4.0, 5.0)`; empty for the distinct
        values of y in the fit.

    See Also
    --------
    skmoe.MixtureOfExpertsClassifier : Classes without an order.

    References
    ----------
    .. [1] P. McCullagh (1980), "Regression models for ordinal data", Journal of the Royal
       Statistical Society B 42, 109-142.

    Examples
    --------
    >>> from skmoe.families import Ordinal
    >>> len(Ordinal(values=(1.0, 2.0, 3.0, 4.0, 5.0)).dispersions)
    3
    """

    name: ClassVar[str] = "ordinal"
    takes_bounds: ClassVar[bool] = False
    link: ClassVar[str] = "logit"
    is_continuous: ClassVar[bool] = False
    max_step: ClassVar[float] = 2.0
    max_outputs: ClassVar[float] = 1
    max_values: ClassVar[float] = 30  # each has a threshold in every expert
    has_dispersion: ClassVar[bool] = False

    values: tuple[float, ...] = ()

    @property
    def support(self) -> str:
        """The possible values."""
        if not self.values:
            return "finite numbers"
        return f"the values {', '.join(f'{value:g}' for value in self.values)}"

    @property
    def option_for_parts(self) -> str:
        """The values are those of all rows."""
        return "" if self.values else "Ordinal(values=(1.0, 2.0, 3.0))"

    def fitted_to(self, y: Array, weight: Array, scaling: Any) -> Ordinal:
        """The distinct values of the output."""
        return self if self.values else replace(self, values=tuple(np.unique(y).tolist()))

    def in_support(self, y: Array) -> Array:
        """The possible values; all numbers before the fit."""
        return np.isin(y, self.values) if self.values else np.ones(y.shape, dtype=bool)

    def start(self, y: Array, weight: Array) -> Array:
        """Log odds of more than the first value, and thresholds at a distance of one."""
        share = weight[y > self.values[0]].sum() / weight.sum()
        log_odds = np.log(max(share, TINY**0.1) / max(1.0 - share, TINY**0.1))
        return np.array([log_odds, *[0.0] * len(self.dispersions)])

    @cached_property  # each iteration of EM needs them, many times
    def dispersions(self) -> tuple[Dispersion, ...]:
        """Differences of successive thresholds."""
        terms = (f"log(threshold {j + 2} - threshold {j + 1})" for j in range(len(self.values) - 2))
        return tuple(
            Dispersion(term, "threshold_steps_", j, "threshold steps")
            for j, term in enumerate(terms)
        )

    @property
    def log_dispersion_bounds(self) -> tuple[tuple[float, float], ...]:
        """Bounds of the log differences."""
        return (LOG_STEP_BOUNDS,) * len(self.dispersions)

    @property
    def equation(self) -> str:
        """The log odds of more than the first value."""
        first = f"{self.values[0]:g}" if self.values else "the first value"
        return f"log odds of {{response}} > {first} = {{predictor}}"

    # --- probabilities ---

    def _thresholds(self, eta: Sequence[Array]) -> list[Any]:
        """The thresholds between the values, L - 1 arrays."""
        thresholds: list[Any] = [np.zeros(1)]
        for log_step in eta[1:]:
            thresholds.append(thresholds[-1] + np.exp(log_step))
        return thresholds

    def derivatives(self, y: Array, eta: Sequence[Array]) -> Iterator[Any]:
        """Observed information about the thresholds, which is positive semi-definite.

        That about their log differences is without the gradient, which vanishes at the maximum. The
        difference of logistic functions is without cancellation.
        """
        code = np.searchsorted(self.values, y, side="right") - 1  # the nearest value below
        code = np.clip(code, 0, len(self.values) - 1)
        ends = [np.full(1, -np.inf), *self._thresholds(eta), np.full(1, np.inf)]
        gap = _at([np.maximum(high - low, MIN_GAP) for low, high in pairwise(ends)], code)
        upper, lower = _at(ends[1:], code) - eta[0], _at(ends[:-1], code) - eta[0]
        # Odds of more than the upper and of up to the lower limit. Exponentials are faster than
        # logistic functions, each of which takes one.
        above = np.exp(-np.maximum(upper, -MAX_EXPONENT))
        below = np.exp(np.minimum(lower, MAX_EXPONENT))
        logs = np.log(-np.expm1(-gap)) - np.log1p(above + below + above * below)
        # Beyond the largest exponent the logs are linear.
        if max(-float(upper.min()), float(lower.max())) > MAX_EXPONENT:
            logs += np.minimum(upper + MAX_EXPONENT, 0.0)
            logs += np.minimum(MAX_EXPONENT - lower, 0.0)
        yield logs
        not_upper, up_to_lower = above / (1.0 + above), below / (1.0 + below)
        with np.errstate(over="ignore"):  # of an infinite gap
            beyond = 1.0 / np.expm1(gap)  # slope of the log of the difference by a far limit
        by_upper, by_lower = not_upper + beyond, up_to_lower + beyond
        steps = [np.exp(values) for values in eta[1:]]
        by_steps = [
            step * (by_upper * (code > j) - by_lower * (code > j + 1))
            for j, step in enumerate(steps)
        ]
        yield [up_to_lower - not_upper, *by_steps]
        of_upper, of_lower = not_upper * (1.0 - not_upper), up_to_lower * (1.0 - up_to_lower)
        information: Curvature = {(0, 0): of_upper + of_lower}
        for j, step in enumerate(steps):
            # The lower limit moves with a step, or the upper one alone.
            moved = of_upper * (code > j) + of_lower * (code > j + 1)
            information[0, 1 + j] = -step * moved
            for i in range(j):
                information[1 + i, 1 + j] = steps[i] * step * moved
            alone = beyond * (1.0 + beyond) * (code == j + 1)
            information[1 + j, 1 + j] = np.square(step) * (moved + alone)
        yield information
        second = {key: -values for key, values in information.items()}
        for j, own in enumerate(by_steps, start=1):
            second[j, j] = second[j, j] + own
        yield second

    def mean(self, eta: Sequence[Array]) -> Array:
        """Mean of the values."""
        mean = np.array(self.values[:1])
        for gap, threshold in zip(np.diff(self.values), self._thresholds(eta), strict=True):
            mean = mean + gap * expit(eta[0] - threshold)
        return mean

    def components(self, eta: Sequence[Array]) -> OrdinalComponents:
        """The distribution over the values."""
        eta = as_outputs(eta)
        up_to = [expit(threshold - eta[0]) for threshold in self._thresholds(eta)]
        up_to = [np.zeros_like(up_to[0]), *up_to, np.ones_like(up_to[0])]
        probabilities = np.diff(np.stack(np.broadcast_arrays(*up_to)), axis=0)
        weight = np.ones((1, probabilities.shape[-1]))
        return OrdinalComponents(
            weight, np.array(self.values), np.moveaxis(probabilities, 0, -2)[None]
        )


def _at(values: Sequence[Array], code: Array) -> Array:
    """Of arrays (..., 1) or (..., n) for each value, those of the codes (n,)."""
    arrays = np.broadcast_arrays(*values)
    if arrays[0].shape[-1:] == (1,):
        return np.take(np.concatenate(arrays, axis=-1), code, axis=-1)
    table = np.stack(arrays)
    return np.take_along_axis(table, np.broadcast_to(code, table.shape[1:])[None], axis=0)[0]
