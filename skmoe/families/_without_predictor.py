"""Distributions that do not depend on the features: point masses and a uniform distribution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from skmoe._numerics.typing import Array
from skmoe.distributions import PointMassComponents, UniformComponents
from skmoe.distributions._continuous import UNIFORM, is_in_range
from skmoe.families._base import Family

# Round-off of a value that is standardised and returns to its units, relative to its size.
MAX_ROUND_OFF = 8.0


class WithoutPredictor(Family):
    """Distributions that are the same for all rows: `eta` is empty, and what is of rows has one."""

    link: ClassVar[str] = ""

    def start(self, y: Array, weight: Array) -> Array:
        """No numbers."""
        return np.zeros(0)


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

    def components(self, eta: Sequence[Array]) -> PointMassComponents:
        """The point mass, of one row."""
        return PointMassComponents.single(np.array([self.atoms]))


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
    >>> from skmoe.families import Zero
    >>> Zero().in_support(np.array([0.0, 1.0]))
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
    >>> from skmoe.families import One
    >>> One().in_support(np.array([0.0, 1.0]))
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
    >>> from skmoe.families import Never
    >>> Never().mean(())
    array([inf])
    """

    name: ClassVar[str] = "never"
    support: ClassVar[str] = "right-censored times"
    atoms: ClassVar[tuple[float, ...]] = (np.inf,)
    is_count: ClassVar[bool] = False
    equation: ClassVar[str] = "{response} is infinite: the event never comes"


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

    def _range(self) -> tuple[Array, Array]:
        """Lower and upper bound, (1,), or those of each output, (m, 1)."""
        low, high = np.array(self.low), np.array(self.high)
        if len(low) > 1:
            low, high = low[:, None], high[:, None]
        return low, np.where(high > low, high, low + 1.0)

    def in_support(self, y: Array) -> Array:
        """Numbers in the range; all before the fit."""
        if not self.low:
            return np.ones(y.shape, dtype=bool)
        return is_in_range(y, *self._range())

    def log_prob(self, y: Array, eta: Sequence[Array]) -> Array:
        """Minus the log of the width of the range."""
        return UNIFORM.log_pdf(y, *self._range())

    @property
    def equation(self) -> str:
        """The range, of the first output."""
        if len(self.low) != 1:
            return "{response} is uniform over its range"
        return f"{{response}} is uniform from {self.low[0]:.4g} to {self.high[0]:.4g}"

    def mean(self, eta: Sequence[Array]) -> Array:
        """Middle of the range."""
        low, high = self._range()
        return 0.5 * (low + high)

    def components(self, eta: Sequence[Array]) -> UniformComponents:
        """The uniform distribution, of one row."""
        low, high = (end.reshape(-1, 1) for end in self._range())
        return UniformComponents.single(low, high)
