"""Families at targets that are known by their bounds only."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from skmoe._data.censored_targets import has_bounds, is_exact, point_values
from skmoe._numerics.typing import Array
from skmoe.families._base import Family, Partials
from skmoe.protocols import Dispersion

# Width of an interval, relative to the smaller tail beside it, below which its probability is the
# product of density and width: the difference of two distribution functions would cancel.
NARROW = 1e-5

# Step of the differences of log probabilities by parameters without a formula. Four points leave a
# relative error of about 1e-12.
STEP = 2e-3

# Largest logarithm of a hazard.
MAX_LOG_HAZARD = 300.0

# Targets, linear predictors, and log dispersions.
Point = tuple[Array, Array, Any]


def of_target(family: Family, y: Array) -> Family:
    """The family as targets of this kind need it: with bounds, or of numbers."""
    return Censored(family) if has_bounds(y) else family


@dataclass(frozen=True)
class Censored(Family):
    r"""A family at targets with bounds, structured arrays with the fields lower and upper.

    Where both are equal, the density is that of the family. Elsewhere it is the probability of the
    interval, :math:`F(u) - F(l)`, which includes its bounds. Where y, or its logarithm under a log
    link, is the linear predictor plus noise, the derivatives of :math:`F` are those of its
    density. Others are found by differences.

    Parameters
    ----------
    family : Family
        The distribution of the values.
    kept : list
        Arrays of the last call, and the derivatives there.

    References
    ----------
    .. [1] J. D. Kalbfleisch and R. L. Prentice (2002), "The Statistical Analysis of Failure Time
       Data", 2nd edition, Wiley, chapter 3.
    """

    family: Family
    kept: list[Any] = field(default_factory=list, compare=False, repr=False)

    @property
    def link(self) -> str:  # type: ignore[override]
        """That of the values."""
        return self.family.link

    @property
    def has_scale(self) -> bool:  # type: ignore[override]
        """That of the values."""
        return self.family.has_scale

    @property
    def dispersions(self) -> tuple[Dispersion, ...]:
        """Those of the values."""
        return self.family.dispersions

    # --- the data of the fit ---

    def obstacle(self, y: Array) -> str:
        """Only some families have distribution functions with derivatives."""
        if not self.family.takes_bounds:
            return "numbers, not bounds of them"
        return self.family.obstacle(y["upper"])

    def in_support(self, y: Array) -> Array:
        """Whether the value, or both finite bounds, are possible or at the end of the support."""
        lower, upper = y["lower"], y["upper"]
        if self.family.atoms:
            inside = [(lower <= atom) & (atom <= upper) for atom in self.family.atoms]
            return np.asarray(np.any(inside, axis=0))
        possible = np.isneginf(lower) | self._is_in_closure(lower, np.inf)
        possible &= np.isposinf(upper) | self._is_in_closure(upper, -np.inf)
        return np.where(is_exact(y), self.family.in_support(lower), possible)

    def _is_in_closure(self, bound: Array, inside: float) -> Array:
        return self.family.in_support(bound) | self.family.in_support(np.nextafter(bound, inside))

    def has_atom_of_others(self, y: Array, families: Iterable[Family]) -> Array:
        """Of values only: the probability of an interval counts."""
        return self.family.has_atom_of_others(y["lower"], families) & is_exact(y)

    # --- densities ---

    def log_prob(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """Log density of values, log probability of intervals."""
        logs = self.family.log_prob(self._values(y), predictor, log_dispersion)
        at = y, predictor, log_dispersion
        return self._replaced(logs, lambda own: self._probabilities(own)[0], at)

    def mean(self, predictor: Array, log_dispersion: Any) -> Array:
        """That of the values."""
        return self.family.mean(predictor, log_dispersion)

    def components(self, predictor: Array, log_dispersion: Any) -> Any:
        """Those of the values."""
        return self.family.components(predictor, log_dispersion)

    # --- derivatives ---

    def predictor_score(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """Derivative by the linear predictor, times the scale, if there is one."""
        at = y, predictor, log_dispersion
        of_values = self.family.predictor_score(self._values(y), *at[1:])
        return self._derived(of_values, lambda first, _, scale: first[0] * scale, at)

    def row_information(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """Expected information of values, observed one of intervals, times the scale if any."""
        at = y, predictor, log_dispersion
        of_values = self.family.predictor_information(*at[1:])
        return self._derived(
            of_values, lambda _, second, scale: np.maximum(-second[0, 0] * scale, 0.0), at
        )

    def dispersion_derivatives(self, y: Array, predictor: Array, log_dispersion: Any) -> Partials:
        """Gradient (T) and Hessian (T, T) in the log dispersions."""
        at = y, predictor, log_dispersion
        first, second = self.family.dispersion_derivatives(self._values(y), *at[1:])
        if not first:
            return first, second
        rows = [np.stack(np.broadcast_arrays(*row)) for row in second]
        gradient = self._derived(
            np.stack(np.broadcast_arrays(*first)), lambda first, *_: first[1:], at
        )
        hessian = self._derived(np.stack(rows), lambda _, second, scale: second[1:, 1:], at)
        return list(gradient), [list(row) for row in hessian]

    def cross_derivatives(
        self, y: Array, predictor: Array, log_dispersion: Any
    ) -> list[Array] | None:
        """By linear predictor and log dispersions; of values exact for normal noise."""
        at, n_own = (y, predictor, log_dispersion), len(log_dispersion)
        if not n_own:
            return None
        of_values: Any = self.family.cross_derivatives(self._values(y), *at[1:])
        if of_values is None:
            of_values = np.zeros((n_own, *predictor.shape))
            # Their average is not zero where others are censored.
            if self.family.is_location_scale and not self.family.has_outliers:
                of_values[0] = -self.family.predictor_score(self._values(y), *at[1:])
        of_values = np.stack(of_values)
        return list(self._derived(of_values, lambda _, second, scale: second[0, 1:] * scale, at))

    def hessian(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """Second derivatives, (1 + T, 1 + T, ...)."""
        at = y, predictor, log_dispersion
        of_values = self.family.hessian(self._values(y), *at[1:])
        return self._derived(of_values, lambda _, second, scale: second, at)

    def _derived(self, of_values: Array, of_derivatives: Callable[..., Array], at: Point) -> Array:
        """What is computed of all rows, replaced by a function of the derivatives of intervals.

        These are kept for further calls with the same arrays.
        """

        def of_intervals(own: Point) -> Array:
            arrays = *at[:2], *at[2]
            if not self.kept or any(a is not b for a, b in zip(arrays, self.kept[0], strict=True)):
                self.kept[:] = arrays, self._derivatives(own)
            scale = np.exp(own[2][0]) if self.family.has_scale else 1.0
            return of_derivatives(*self.kept[1], scale)

        return self._replaced(of_values, of_intervals, at)

    # --- intervals ---

    def _values(self, y: Array) -> Array:
        """Values of the exact entries, and one in place of intervals and impossible values."""
        values = y["lower"]
        return np.where(is_exact(y) & self.family.in_support(values), values, 1.0)

    @staticmethod
    def _replaced(of_values: Array, of_intervals: Callable[[Point], Array], at: Point) -> Array:
        """What is computed of all rows, replaced by what is computed of the intervals there."""
        y, predictor, log_dispersion = at
        rows = np.flatnonzero(~is_exact(y).all(axis=0))
        if not len(rows):
            return of_values
        leading = of_values.shape[: of_values.ndim - predictor.ndim]
        replaced = np.array(np.broadcast_to(of_values, (*leading, *predictor.shape)))
        own = [v if v.shape[-1] == 1 else v[..., rows] for v in log_dispersion]
        found = of_intervals((y[:, rows], predictor[..., rows], own))
        replaced[..., rows] = np.where(is_exact(y[:, rows]), replaced[..., rows], found)
        return replaced

    def _probabilities(self, at: Point) -> tuple[Array, Array]:
        """Log probability of each interval, from the smaller tail, and whether it is narrow.

        That of a narrow one, in which the density is constant, is from the density.
        """
        y, predictor, log_dispersion = at
        part = self.family.components(predictor, log_dispersion)
        functions, parameters = part.functions, [values[0] for values in part[1:]]
        lower, upper = y["lower"], y["upper"]
        left = lower if self.family.is_continuous else np.nextafter(lower, -np.inf)
        is_open = np.isneginf(lower), np.isposinf(upper)
        with np.errstate(all="ignore"):
            above = np.where(is_open[0], 0.0, functions.log_sf(left, *parameters))
            if is_open[1].all():
                return above, np.zeros(above.shape, dtype=bool)
            below = np.where(is_open[1], 0.0, functions.log_cdf(upper, *parameters))
            beyond = np.where(is_open[1], -np.inf, functions.log_sf(upper, *parameters))
            before = np.where(is_open[0], -np.inf, functions.log_cdf(left, *parameters))
            inner = np.where(above <= below, above, below)
            difference = np.where(above <= below, beyond, before) - inner
            difference = np.where(inner > -np.inf, np.minimum(difference, 0.0), -np.inf)
            logs = inner + np.log(-np.expm1(difference))
        if not self.family.is_continuous:
            return logs, np.zeros(logs.shape, dtype=bool)
        narrow = (difference > -NARROW) & (upper > lower)
        narrow &= self.family.in_support(point_values(y))
        if narrow.any():
            width = np.where(narrow, upper - lower, 1.0)
            density = self.family.log_prob(point_values(y), predictor, log_dispersion)
            logs = np.where(narrow, density + np.log(width), logs)
        return logs, narrow

    def _derivatives(self, at: Point) -> tuple[Array, Array]:
        """Gradient (1 + T, ...) and Hessian (1 + T, 1 + T, ...) of log probabilities of intervals.

        A parameter that moves y by v changes the distribution function by minus v times the
        density. So the derivatives are those of densities at the bounds, relative to the
        probability of the interval.
        """
        family, (y, *parameters) = self.family, at
        predictor, log_dispersion = parameters
        log_prob, narrow = self._probabilities(at)
        n_own, n_moving = 1 + len(log_dispersion), family.is_location + family.is_location_scale
        gradient = np.zeros((n_own, *log_prob.shape))
        hessian = np.zeros((n_own, *gradient.shape))
        for bound, sign in ((y["lower"], 1.0), (y["upper"], -1.0)) if n_moving else ():
            present = np.isfinite(bound) & family.in_support(bound)
            if not present.any():
                continue
            value = np.where(present, bound, 1.0)
            is_log = family.link == "log"
            with np.errstate(divide="ignore", invalid="ignore"):
                moved = np.log(value) if is_log else value
                logs = family.log_prob(value, *parameters) + (moved if is_log else 0.0)
                logs = np.minimum(logs - log_prob, MAX_LOG_HAZARD)
            ratio = np.where(present & (log_prob > -np.inf), sign * np.exp(logs), 0.0)
            slopes = family.gradient(value, *parameters)
            for i, change in enumerate((1.0, 0.5 * (moved - predictor))[:n_moving]):
                gradient[i] += ratio * change
                hessian[i, i:] += ratio * change * slopes[i:]
        for i in range(n_moving, n_own):
            gradient[i], hessian[i, i] = self._differences(at, log_prob, i)
        for i in range(n_moving):
            hessian[i, i:] -= gradient[i] * gradient[i:]
        for i, j in combinations(range(n_moving, n_own), 2):
            hessian[i, j] = self._mixed_difference(at, i, j)
        for j in range(n_own):
            hessian[j, :j] = hessian[:j, j]
        if narrow.any():
            middle = np.where(narrow, point_values(y), 1.0)
            gradient = np.where(narrow, family.gradient(middle, *parameters), gradient)
            hessian = np.where(narrow, family.hessian(middle, *parameters), hessian)
        return gradient, hessian

    def _moved(self, at: Point, changes: dict[int, Any]) -> Array:
        """Log probabilities after changes of some parameters."""
        parameters = [at[1], *at[2]]
        for i, change in changes.items():
            parameters[i] = parameters[i] + change
        return self._probabilities((at[0], parameters[0], parameters[1:]))[0]

    def _step(self, at: Point, i: int) -> Any:
        """Step of a difference: short where a linear predictor is known well from one row."""
        if i:
            return STEP
        return STEP / np.sqrt(1.0 + self.family.predictor_information(*at[1:]))

    def _differences(self, at: Point, log_prob: Array, i: int) -> tuple[Array, Array]:
        """First and second derivative by one parameter, from differences of four points."""
        step = self._step(at, i)
        two, one, minus_one, minus_two = (
            self._moved(at, {i: factor * step}) for factor in (2.0, 1.0, -1.0, -2.0)
        )
        with np.errstate(invalid="ignore"):
            first = (8.0 * (one - minus_one) - (two - minus_two)) / (12.0 * step)
            second = 16.0 * (one + minus_one) - (two + minus_two) - 30.0 * log_prob
            second = second / (12.0 * np.square(step))
        known = log_prob > -np.inf
        return np.where(known, first, 0.0), np.where(known, second, 0.0)

    def _mixed_difference(self, at: Point, i: int, j: int) -> Array:
        """Second derivative by two parameters."""
        one, other = self._step(at, i), self._step(at, j)
        total = np.zeros(at[1].shape)
        for sign, other_sign in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            changes = {i: sign * one, j: other_sign * other}
            total = total + sign * other_sign * self._moved(at, changes)
        return total / (4.0 * one * other)
