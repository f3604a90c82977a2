"""Discrete distributions: of counts, of ordered values, and of a single value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from scipy.special import digamma, expit, gammaln

from skmoe._numerics.special import trigamma
from skmoe._numerics.typing import Array
from skmoe.distributions import _discrete as parts
from skmoe.families._base import (
    LOG_DISPERSION_BOUNDS,
    Curvature,
    Family,
    WithoutPredictor,
    as_outputs,
)
from skmoe.protocols import Dispersion, Measure


class _CountFamily(Family):
    """What families of counts share."""

    link: ClassVar[str] = "log"
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

    def components(self, eta: Sequence[Array]) -> parts.PoissonComponents:
        """The Poisson distribution."""
        return parts.PoissonComponents.single(np.exp(as_outputs(eta)[0]))


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

    def components(self, eta: Sequence[Array]) -> parts.NegativeBinomialComponents:
        """The negative binomial distribution."""
        predictor, log_dispersion = as_outputs(eta)
        return parts.NegativeBinomialComponents.single(np.exp(predictor), np.exp(log_dispersion))


def _at_counts(function: Callable[[Array], Array], y: Array, size: Array) -> Array:
    """A function of y + size, for counts y (n,) and sizes (..., 1) or (..., n).

    It is computed once for each count where there are more rows than counts and one size, since the
    special functions of counts are slow.
    """
    if np.ndim(y) != 1 or size.shape[-1:] != (1,) or not y.max(initial=0.0) < len(y):
        return function(y + size)
    table = function(np.arange(y.max(initial=0.0) + 1.0) + size)
    return np.take(table, y.astype(np.intp), axis=-1)


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
        return super().start(np.asarray(y > self.values[0], dtype=float), weight)

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

    def mean(self, eta: Sequence[Array]) -> Array:
        """Mean of the values."""
        mean = np.array(self.values[:1])
        for gap, threshold in zip(np.diff(self.values), self._thresholds(eta), strict=True):
            mean = mean + gap * expit(eta[0] - threshold)
        return mean

    def components(self, eta: Sequence[Array]) -> parts.OrdinalComponents:
        """The distribution over the values."""
        eta = as_outputs(eta)
        up_to = [expit(threshold - eta[0]) for threshold in self._thresholds(eta)]
        up_to = [np.zeros_like(up_to[0]), *up_to, np.ones_like(up_to[0])]
        probabilities = np.diff(np.stack(np.broadcast_arrays(*up_to)), axis=0)
        weight = np.ones((1, probabilities.shape[-1]))
        return parts.OrdinalComponents(
            weight, np.array(self.values), np.moveaxis(probabilities, 0, -2)[None]
        )


@dataclass(frozen=True)
class Binary(Ordinal):
    """The values 0 and 1, under the name that the user gave."""

    values: tuple[float, ...] = (0.0, 1.0)
    name: str = field(kw_only=True)  # type: ignore[misc]


def _at(values: Sequence[Array], code: Array) -> Array:
    """Of arrays (..., 1) or (..., n) for each value, those of the codes (n,)."""
    arrays = np.broadcast_arrays(*values)
    if arrays[0].shape[-1:] == (1,):
        return np.take(np.concatenate(arrays, axis=-1), code, axis=-1)
    table = np.stack(arrays)
    return np.take_along_axis(table, np.broadcast_to(code, table.shape[1:])[None], axis=0)[0]


@dataclass(frozen=True)
class PointMass(WithoutPredictor):
    """A distribution of one value, the only one of `atoms`."""

    is_count: ClassVar[bool] = True
    is_continuous: ClassVar[bool] = False

    @property
    def equation(self) -> str:
        """The response is the value."""
        return f"{{response}} = {self.atoms[0]:g}"

    def in_support(self, y: Array) -> Array:
        """The value only."""
        return np.asarray(y == self.atoms[0])

    def log_prob(self, y: Array, eta: Sequence[Array]) -> Array:
        """Zero at the value, minus infinity elsewhere."""
        return np.where(y == self.atoms[0], 0.0, -np.inf)

    def mean(self, eta: Sequence[Array]) -> Array:
        """The value."""
        return np.array(self.atoms)

    def components(self, eta: Sequence[Array]) -> parts.PointMassComponents:
        """The point mass, of one row."""
        return parts.PointMassComponents.single(np.array([self.atoms]))


@dataclass(frozen=True)
class Zero(PointMass):
    """The point mass at zero: an expert whose rows are all 0.

    Use it in a list of families: `family=["zero", "poisson"]` is a zero-inflated mixture [1]_, and
    `family=["zero", "gamma"]` is for costs that are often 0. The density of the latter is with
    respect to the sum of Lebesgue measure and the point mass: a row of 0 counts with its
    probability. See "More zeros than a Poisson distribution has" in the gallery.

    See Also
    --------
    One : The point mass at one.
    NegativeBinomial : Counts with a larger variance.

    References
    ----------
    .. [1] D. Lambert (1992), "Zero-inflated Poisson regression, with an application to defects in
       manufacturing", Technometrics 34, 1-14.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.families import FAMILIES
    >>> FAMILIES["zero"]().in_support(np.array([0.0, 1.0]))
    array([ True, False])
    """

    name: ClassVar[str] = "zero"
    support: ClassVar[str] = "zeros"
    atoms: ClassVar[tuple[float, ...]] = (0.0,)


@dataclass(frozen=True)
class One(PointMass):
    """The point mass at one: an expert whose rows are all 1.

    Use it in a list of families: `family=["zero", "beta", "one"]` is a mixture for shares that may
    be 0 or 1 [1]_.

    See Also
    --------
    Zero : The point mass at zero.
    Beta : Shares between 0 and 1.

    References
    ----------
    .. [1] R. Ospina and S. L. P. Ferrari (2010), "Inflated beta distributions", Statistical Papers
       51, 111-126.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.families import FAMILIES
    >>> FAMILIES["one"]().in_support(np.array([0.0, 1.0]))
    array([False,  True])
    """

    name: ClassVar[str] = "one"
    support: ClassVar[str] = "ones"
    atoms: ClassVar[tuple[float, ...]] = (1.0,)


@dataclass(frozen=True)
class Never(PointMass):
    """The point mass at infinity: an expert whose rows never have the event.

    Use it in a list of families for censored times: `family=["never", "weibull"]` is the mixture
    cure model [1]_, in which the gate is the probability of a cure. See "Time to an event" in the
    user guide.

    See Also
    --------
    skmoe.censoring.right_censored : Times of events that may come later, or never.
    Weibull : Times of events.

    References
    ----------
    .. [1] J. Berkson and R. P. Gage (1952), "Survival curve for cancer patients following
       treatment", Journal of the American Statistical Association 47, 501-515.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.families import FAMILIES
    >>> FAMILIES["never"]().mean(())
    array([inf])
    """

    name: ClassVar[str] = "never"
    support: ClassVar[str] = "right-censored times"
    atoms: ClassVar[tuple[float, ...]] = (np.inf,)
    is_count: ClassVar[bool] = False
    equation: ClassVar[str] = "{response} is infinite: the event never comes"
