"""Student's t distribution, for heavy tails and outliers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import digamma, gammaln

from skmoe._data.checks import check_real
from skmoe._numerics.gamma_functions import trigamma
from skmoe._numerics.probability import without_outliers
from skmoe._numerics.typing import Array
from skmoe.distributions import StudentTComponents
from skmoe.families._base import Curvature, as_outputs, log_variance_of
from skmoe.families._normal import LOG_VARIANCE_BOUNDS, LocationScale
from skmoe.protocols import Dispersion

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
        scale = Dispersion("log(dispersion)", "dispersion_")
        return (
            (scale,)
            if self.df is not None
            else (scale, Dispersion("log(df)", "df_", name="degrees of freedom"))
        )

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

    def _at(self, y: Array, eta: Sequence[Array]) -> tuple[Any, Array, Array]:
        """Degrees of freedom, residual times precision, and squared residual times it."""
        df = np.exp(eta[2]) if self.df is None else float(self.df)
        square = y - eta[0]
        scaled = square * np.exp(-eta[1])
        square *= scaled
        return df, scaled, square

    def derivatives(self, y: Array, eta: Sequence[Array]) -> Iterator[Any]:
        """Expected information."""
        df, scaled, square = self._at(y, eta)
        log_ratio = np.log1p(square / df)
        constant = gammaln(0.5 * (df + 1.0)) - gammaln(0.5 * df) - 0.5 * np.log(np.pi * df)
        logs = (-0.5 * (df + 1.0)) * log_ratio
        logs += constant - 0.5 * eta[1]
        yield logs
        weight = (df + 1.0) / (df + square)
        scaled *= weight
        weight *= square
        by_scale = 0.5 * (weight - 1.0)
        information = {
            (0, 0): (df + 1.0) / (df + 3.0) * np.exp(-eta[1]),
            (1, 1): 0.5 * df / (df + 3.0),
        }
        if self.df is not None:
            yield scaled, by_scale
            yield information
            return
        weight -= 1.0
        weight -= df * log_ratio
        weight += df * (digamma(0.5 * (df + 1.0)) - digamma(0.5 * df))
        weight *= 0.5
        yield scaled, by_scale, weight
        bend = trigamma(0.5 * df) - trigamma(0.5 * (df + 1.0))
        bend = 0.25 * bend - 0.5 * (df + 5.0) / (df * (df + 1.0) * (df + 3.0))
        cross = -df / ((df + 1.0) * (df + 3.0))
        yield information | {(1, 2): cross, (2, 2): np.square(df) * bend}

    def second(self, y: Array, eta: Sequence[Array]) -> Curvature:
        """By location, log square of the scale, and log degrees of freedom."""
        df, scaled, u = self._at(y, eta)
        total = df + u
        weight = (df + 1.0) / np.square(total)
        second = {
            (0, 0): weight * (u - df) * np.exp(-eta[1]),
            (0, 1): -df * weight * scaled,
            (1, 1): -0.5 * df * weight * u,
        }
        if self.df is not None:
            return second
        excess = (df + 1.0) * u / total
        by_df = digamma(0.5 * (df + 1.0)) - digamma(0.5 * df) - np.log1p(u / df)
        bend = trigamma(0.5 * (df + 1.0)) - trigamma(0.5 * df)
        share = df / np.square(total) * (u - 1.0)
        of_df = df * by_df + 0.5 * np.square(df) * bend - excess + 2.0 * df * u / total
        return second | {
            (0, 2): share * scaled,
            (1, 2): 0.5 * share * u,
            (2, 2): 0.5 * (of_df + excess - excess * df / total),
        }

    def components(self, eta: Sequence[Array]) -> StudentTComponents:
        """The t distribution."""
        location, log_scale, *log_df = as_outputs(eta)
        df = np.exp(log_df[0]) if log_df else np.array(float(self.df or 0.0))
        return StudentTComponents.single(location, np.exp(0.5 * log_scale), df)

    def example_target(self, rng: np.random.Generator, n_rows: int) -> Array:
        """Numbers with heavy tails."""
        return rng.standard_t(4.0, size=(1, n_rows))
