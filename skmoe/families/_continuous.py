"""Continuous distributions: normal, Student's t, lognormal, beta and uniform ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from scipy.special import digamma, expit, gammaln, logit

from skmoe._data.checks import check_real
from skmoe._numerics.probability import LOG_2PI, without_outliers
from skmoe._numerics.special import trigamma
from skmoe._numerics.typing import TINY, Array
from skmoe.distributions import _continuous as parts
from skmoe.families._base import (
    LOG_DISPERSION_BOUNDS,
    Family,
    Positive,
    WithoutPredictor,
    as_outputs,
    log_variance_of,
)
from skmoe.protocols import Dispersion, Measure

# Bounds of the log variance of standardised or log values.
LOG_VARIANCE_BOUNDS = (float(np.log(1e-6)), float(np.log(1e6)))

# Largest log variance of logarithms, for which the mean of their exponentials stays finite.
MAX_LOG_VARIANCE_OF_LOGS = float(np.log(100.0))


class LocationScale(Family):
    """Distributions on all numbers, whose centre of symmetry is the linear predictor."""

    standardizes_target: ClassVar[bool] = True
    has_scale: ClassVar[bool] = True
    n_moving: ClassVar[int] = 2

    def start(self, y: Array, weight: Array) -> Array:
        """Mean and log variance."""
        mean = np.average(y, weights=weight)
        variance = np.average(np.square(y - mean), weights=weight)
        return np.array([mean, np.log(variance) if variance > TINY else 0.0])


@dataclass(frozen=True)
class Normal(LocationScale):
    """Normal distribution, whose mean is the linear predictor: `family="normal"`, the default.

    Its dispersion is the noise variance of each expert, `noise_variance_`. If a few rows are far
    from the others, use `StudentT`. See "Families" in the user guide.

    See Also
    --------
    StudentT : Heavy tails.
    LogNormal : Positive values.

    Examples
    --------
    >>> from skmoe.families import Normal
    >>> Normal().support
    'finite numbers'
    """

    name: ClassVar[str] = "normal"
    is_dispersion_model: ClassVar[bool] = True
    dispersions = (Dispersion("log(noise variance)", "noise_variance_", name="noise variance"),)
    log_dispersion_bounds: ClassVar[tuple[tuple[float, float], ...]] = (LOG_VARIANCE_BOUNDS,)
    roles: ClassVar[tuple[str, ...]] = ("mean", "dispersion")

    def derivatives(self, y: Array, eta: Sequence[Array]) -> Iterator[Any]:
        """Expected information."""
        scale = np.exp(-0.5 * eta[1])
        deviation = y - eta[0]
        deviation *= scale
        square = deviation * deviation
        logs = -0.5 * square
        logs -= 0.5 * (eta[1] + LOG_2PI)
        yield logs
        deviation *= scale
        square -= 1.0
        square *= 0.5
        yield deviation, square
        precision = np.square(scale)
        yield {(0, 0): precision, (1, 1): 0.5}
        yield {(0, 0): -precision, (0, 1): -deviation, (1, 1): -square - 0.5}

    def components(self, eta: Sequence[Array]) -> parts.NormalComponents:
        """The normal distribution."""
        mean, log_variance = as_outputs(eta)
        return parts.NormalComponents.single(mean, np.exp(0.5 * log_variance))


OF_LOGS = Normal()


@dataclass(frozen=True)
class LogNormal(Positive):
    r"""Lognormal distribution: :math:`\log y` is normal, and its mean is the linear predictor [1]_.

    Use it, as `family="lognormal"`, for positive values such as prices and times. The mean of y is
    :math:`\exp(\eta + \sigma^2 / 2)`; the dispersion is :math:`\sigma^2`, the variance of the
    logarithm. The median is :math:`\exp(\eta)`. See "Families" in the user guide.

    See Also
    --------
    Gamma : Positive values with a lighter tail, whose mean is the exponential.

    References
    ----------
    .. [1] N. L. Johnson, S. Kotz and N. Balakrishnan (1994), "Continuous univariate distributions",
       volume 1, 2nd edition, Wiley, chapter 14.

    Examples
    --------
    >>> from skmoe.families import LogNormal
    >>> LogNormal().link
    'log'
    """

    name: ClassVar[str] = "lognormal"
    measures: ClassVar[tuple[Measure, ...]] = (Measure("median ratio", "the median"),)
    equation: ClassVar[str] = "median {response} = exp({predictor})"
    n_moving: ClassVar[int] = 2
    max_step: ClassVar[float] = np.inf
    log_dispersion_bounds = ((LOG_VARIANCE_BOUNDS[0], MAX_LOG_VARIANCE_OF_LOGS),)
    # The mean of y is larger than the median by the exponential of half of the variance.
    factors_on_features = (0.04, 0.2, 0.4)

    def start(self, y: Array, weight: Array) -> Array:
        """Mean and log variance of the logarithms."""
        return OF_LOGS.start(np.log(y), weight)

    def derivatives(self, y: Array, eta: Sequence[Array]) -> Iterator[Any]:
        """Those of the logarithm."""
        log_y = np.log(y)
        terms = OF_LOGS.derivatives(log_y, eta)
        logs = next(terms)
        logs -= log_y
        yield logs
        yield from terms

    def mean(self, eta: Sequence[Array]) -> Array:
        """Exponential of the linear predictor and half the variance."""
        return np.exp(eta[0] + 0.5 * np.exp(eta[1]))

    def components(self, eta: Sequence[Array]) -> parts.LogNormalComponents:
        """The lognormal distribution."""
        predictor, log_variance = as_outputs(eta)
        return parts.LogNormalComponents.single(predictor, np.exp(0.5 * log_variance))


SCALE_AND_DF = (
    Dispersion("log(dispersion)", "dispersion_"),
    Dispersion("log(df)", "df_", name="degrees of freedom"),
)

# Bounds of estimated degrees of freedom; the distribution is nearly normal at the upper one.
DF_BOUNDS = (0.5, 1000.0)

# Lower bound of those estimated for experts that predict the mean.
MIN_DF_OF_MEANS = 1.1

INITIAL_DF = 10.0

# Smallest degrees of freedom that can be given.
MIN_DF = 0.1


@dataclass(frozen=True)
class StudentT(LocationScale):
    r"""Student's t distribution about the linear predictor, robust against outliers [1]_.

    Use it, as `family="student_t"`, where a few rows are far from the others: see "Outliers" in the
    user guide and in the gallery. The dispersion is the square of the scale, :math:`\sigma^2`. The
    variance is :math:`\sigma^2 \nu / (\nu - 2)` for more than two degrees of freedom :math:`\nu`,
    and infinite otherwise.

    Parameters
    ----------
    df : float or None, default=None
        Degrees of freedom :math:`\nu`, at least 0.1, typically 3 to 10; None estimates them for
        each expert, between 0.5 and 1000. Around experts that are estimators they are at least 1.1,
        since these predict the mean, which does not exist for one and less. Few degrees of freedom
        are heavy tails; with 30 and more the distribution is nearly normal.

    See Also
    --------
    Normal : Without heavy tails.
    Uniform : An expert of its own for outliers.

    References
    ----------
    .. [1] K. L. Lange, R. J. A. Little and J. M. G. Taylor (1989), "Robust statistical modeling
       using the t distribution", Journal of the American Statistical Association 84, 881-896.

    Examples
    --------
    >>> from skmoe.families import StudentT
    >>> [dispersion.attribute for dispersion in StudentT().dispersions]
    ['dispersion_', 'df_']
    >>> [dispersion.attribute for dispersion in StudentT(df=4).dispersions]
    ['dispersion_']
    """

    name: ClassVar[str] = "student_t"
    has_outliers: ClassVar[bool] = True

    df: float | None = None

    def check_options(self) -> None:
        """Degrees of freedom are positive."""
        if self.df is not None:
            check_real("df", self.df, least=MIN_DF)

    @property
    def dispersions(self) -> tuple[Dispersion, ...]:
        """The square of the scale, and the degrees of freedom if they are estimated."""
        return SCALE_AND_DF if self.df is None else SCALE_AND_DF[:1]

    @property
    def log_dispersion_bounds(self) -> tuple[tuple[float, float], ...]:
        """Bounds of the log square of the scale and of the log degrees of freedom."""
        low, high = np.log(DF_BOUNDS)
        return (LOG_VARIANCE_BOUNDS, (float(low), float(high)))[: len(self.dispersions)]

    @property
    def log_dispersion_bounds_of_means(self) -> tuple[tuple[float, float], ...]:
        """The same; with one degree of freedom or less there is no mean."""
        scale, *others = self.log_dispersion_bounds
        return (scale, *((float(np.log(MIN_DF_OF_MEANS)), high) for _, high in others))

    def start(self, y: Array, weight: Array) -> Array:
        """Mean, half the variance without outliers, and ten degrees of freedom."""
        log_scale = np.log(0.5) + log_variance_of(without_outliers(y), weight)
        values = np.average(y, weights=weight), log_scale, np.log(INITIAL_DF)
        return np.array(values[: len(self.roles)])

    def derivatives(self, y: Array, eta: Sequence[Array]) -> Iterator[Any]:
        """Expected information."""
        df: Any = np.exp(eta[2]) if self.df is None else float(self.df)
        precision, square = np.exp(-eta[1]), y - eta[0]
        scaled = square * precision
        square *= scaled
        log_ratio = np.log1p(square / df)
        constant = gammaln(0.5 * (df + 1.0)) - gammaln(0.5 * df) - 0.5 * np.log(np.pi * df)
        logs = (-0.5 * (df + 1.0)) * log_ratio
        logs += constant - 0.5 * eta[1]
        yield logs
        weight = (df + 1.0) / (df + square)
        scaled *= weight
        excess = weight * square
        first = [scaled, 0.5 * (excess - 1.0)]
        if self.df is None:
            by_df = excess - 1.0
            by_df -= df * log_ratio
            by_df += df * (digamma(0.5 * (df + 1.0)) - digamma(0.5 * df))
            by_df *= 0.5
            first.append(by_df)
        yield first
        information = {(0, 0): (df + 1.0) / (df + 3.0) * precision, (1, 1): 0.5 * df / (df + 3.0)}
        if self.df is None:
            bend = 0.25 * np.square(df) * (trigamma(0.5 * df) - trigamma(0.5 * (df + 1.0)))
            rest = 0.5 * df * (df + 5.0) / ((df + 1.0) * (df + 3.0))
            information[1, 2] = -df / ((df + 1.0) * (df + 3.0))
            information[2, 2] = bend - rest
        yield information

    def components(self, eta: Sequence[Array]) -> parts.StudentTComponents:
        """The t distribution."""
        location, log_scale, *log_df = as_outputs(eta)
        df = np.exp(log_df[0]) if log_df else np.array(float(self.df or 0.0))
        return parts.StudentTComponents.single(location, np.exp(0.5 * log_scale), df)


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
        yield {
            (0, 0): np.square(slope) * (one + two),
            (0, 1): -slope * (shape * one - other * two),
            (1, 1): np.square(precision) * of_precision,
        }

    def components(self, eta: Sequence[Array]) -> parts.BetaComponents:
        """The beta distribution."""
        predictor, log_dispersion = as_outputs(eta)
        shares = expit([predictor, -predictor])
        return parts.BetaComponents.single(*(np.exp(-log_dispersion) * shares))


# Round-off of a value that is standardised and returns to its units, relative to its size.
MAX_ROUND_OFF = 8.0


@dataclass(frozen=True)
class Uniform(WithoutPredictor):
    """Uniform distribution over the range of y: a component of outliers [1]_.

    Use it in a list of families, such as `family=["normal", "normal", "uniform"]`. See "Outliers"
    in the user guide and in the gallery.

    Parameters
    ----------
    low, high : tuple of float, default=()
        Range of each output, in the units of y; empty for the range of the rows of the fit.

    See Also
    --------
    StudentT : Heavy tails in every expert.

    References
    ----------
    .. [1] J. D. Banfield and A. E. Raftery (1993), "Model-based Gaussian and non-Gaussian
       clustering", Biometrics 49, 803-821.

    Examples
    --------
    >>> from skmoe.families import Uniform
    >>> Uniform(low=(0.0,), high=(10.0,)).high
    (10.0,)
    """

    name: ClassVar[str] = "uniform"
    support: ClassVar[str] = "numbers in the range of the fit"
    output_fields: ClassVar[tuple[str, ...]] = ("low", "high")
    has_outliers: ClassVar[bool] = True

    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

    @property
    def option_for_parts(self) -> str:
        """The range is that of all rows."""
        return "" if self.low else "Uniform(low=(0.0,), high=(10.0,))"

    def fitted_to(self, y: Array, weight: Array, scaling: Any) -> Uniform:
        """The range of the outputs; a given range is standardised as they are."""
        if not self.low:
            low, high = y.min(axis=1), y.max(axis=1)
        else:
            given = self.low, self.high
            low, high = ((np.array(end) - scaling.center) / scaling.scale for end in given)
        # Back in the units of y, the ends must include the values that define them.
        size = np.maximum(np.abs(low), np.abs(high)) + np.abs(scaling.center) / scaling.scale
        slack = np.where(high > low, MAX_ROUND_OFF * np.finfo(float).eps * size, 0.0)
        low, high = low - slack, high + slack
        return replace(self, low=tuple(low.tolist()), high=tuple(high.tolist()))

    def in_units(self, scaling: Any) -> Uniform:
        """The range in the units of y."""
        ends = (scaling.center + scaling.scale * np.array(end) for end in (self.low, self.high))
        low, high = (tuple(end.tolist()) for end in ends)
        return replace(self, low=low, high=high)

    @property
    def ends(self) -> tuple[Array, Array]:
        """Lower and upper bound, (1,), or those of each output, (m, 1); any before the fit."""
        low, high = np.array(self.low or (-np.inf,)), np.array(self.high or (np.inf,))
        if len(low) > 1:
            low, high = low[:, None], high[:, None]
        return low, np.where(high > low, high, low + 1.0)

    def in_support(self, y: Array) -> Array:
        """Numbers in the range; all before the fit."""
        low, high = self.ends
        return np.asarray((y >= low) & (y <= high))

    def log_prob(self, y: Array, eta: Sequence[Array]) -> Array:
        """Minus the log of the width of the range."""
        return parts.UNIFORM.log_pdf(y, *self.ends)

    @property
    def equation(self) -> str:
        """The range, of the first output."""
        if len(self.low) != 1:
            return "{response} is uniform over its range"
        return f"{{response}} is uniform from {self.low[0]:.4g} to {self.high[0]:.4g}"

    def mean(self, eta: Sequence[Array]) -> Array:
        """Middle of the range."""
        return np.asarray(0.5 * sum(self.ends))

    def components(self, eta: Sequence[Array]) -> parts.UniformComponents:
        """The uniform distribution, of one row."""
        low, high = (end.reshape(-1, 1) for end in self.ends)
        return parts.UniformComponents.single(low, high)
