"""Student's t distribution, for heavy tails and outliers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import digamma, gammaln, polygamma

from skmoe._data.checks import check_real
from skmoe._numerics.typing import Array
from skmoe.distributions import StudentTComponents
from skmoe.families._base import Partials
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
    def initial_log_dispersion(self) -> tuple[float, ...]:
        """Half the variance of the target, and ten degrees of freedom."""
        start = (float(np.log(0.5)), float(np.log(INITIAL_DF)))
        return start[: len(self.dispersions)]

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

    def _df(self, log_dispersion: Any) -> Any:
        return np.exp(log_dispersion[1]) if self.df is None else float(self.df)

    def _at(self, y: Array, predictor: Array, log_dispersion: Any) -> tuple[Any, Array]:
        """Degrees of freedom, and squared residual in units of the scale."""
        square = np.square(y - predictor) * np.exp(-log_dispersion[0])
        return self._df(log_dispersion), square

    def log_prob(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """Log density."""
        df, square = self._at(y, predictor, log_dispersion)
        constant = gammaln(0.5 * (df + 1.0)) - gammaln(0.5 * df) - 0.5 * np.log(np.pi * df)
        return constant - 0.5 * log_dispersion[0] - 0.5 * (df + 1.0) * np.log1p(square / df)

    def predictor_score(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """The residual, with a weight that is small for outliers."""
        df, square = self._at(y, predictor, log_dispersion)
        return (df + 1.0) / (df + square) * (y - predictor)

    def predictor_information(self, predictor: Array, log_dispersion: Any) -> Array:
        """Expected weight of a residual."""
        df = self._df(log_dispersion)
        return np.broadcast_to((df + 1.0) / (df + 3.0), predictor.shape)

    def dispersion_derivatives(self, y: Array, predictor: Array, log_dispersion: Any) -> Partials:
        """By the log square of the scale, and by the log degrees of freedom."""
        df, u = self._at(y, predictor, log_dispersion)
        total = df + u
        by_scale = 0.5 * ((df + 1.0) * u / total - 1.0)
        scale_scale = -0.5 * (df + 1.0) * df * u / np.square(total)
        if self.df is not None:
            return [by_scale], [[scale_scale]]
        excess = (df + 1.0) * u / (df * total)
        by_df = 0.5 * (
            digamma(0.5 * (df + 1.0)) - digamma(0.5 * df) - 1.0 / df - np.log1p(u / df) + excess
        )
        second = 0.5 * (
            0.5 * polygamma(1, 0.5 * (df + 1.0))
            - 0.5 * polygamma(1, 0.5 * df)
            + 1.0 / np.square(df)
            + 2.0 * u / (df * total)
            - excess * (df + total) / (df * total)
        )
        df_df = np.square(df) * second + df * by_df
        cross = df * 0.5 * u * (u - 1.0) / np.square(total)
        return [by_scale, df * by_df], [[scale_scale, cross], [cross, df_df]]

    def components(self, predictor: Array, log_dispersion: Any) -> StudentTComponents:
        """The t distribution."""
        scale, df = np.exp(0.5 * log_dispersion[0]), self._df(log_dispersion)
        return StudentTComponents.single(predictor, scale, df)

    def example_target(self, rng: np.random.Generator, n_rows: int) -> Array:
        """Numbers with heavy tails."""
        return rng.standard_t(4.0, size=(1, n_rows))
