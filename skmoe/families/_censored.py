"""Families at targets that are known by their bounds only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from operator import attrgetter
from typing import Any

import numpy as np

from skmoe._data.censored_targets import BOUNDS, is_exact, point_values
from skmoe._data.rows import has_bounds
from skmoe._numerics.typing import TINY, Array
from skmoe.families._base import Curvature, Family, absolute, score

# Width of an interval, relative to the smaller tail beside it, below which its probability is the
# product of density and width: the difference of two distribution functions would cancel.
NARROW = 1e-5

# Step of the differences of log probabilities by parameters without a formula. Four points leave a
# relative error of about 1e-12.
STEP = 2e-3

# Largest logarithm of a hazard.
MAX_LOG_HAZARD = 300.0


def of_target(family: Family, y: Array) -> Family:
    """The family as targets of this kind need it: with bounds, or of numbers."""
    return Censored(family) if has_bounds(y) else family


def has_atom_of_others(family: Family, y: Array, families: Iterable[Family]) -> Array:
    """Where a value has its probability from other families, and a density does not count.

    That of an interval counts.
    """
    others = {atom for other in families for atom in other.atoms} - set(family.atoms)
    if not (others and family.is_continuous):
        return np.zeros(y.shape, dtype=bool)
    if not has_bounds(y):
        return np.isin(y, sorted(others))
    return np.isin(y["lower"], sorted(others)) & is_exact(y)


@dataclass(frozen=True)
class Censored(Family):
    r"""A family at targets with bounds, structured arrays with the fields lower and upper.

    Where both are equal, the density is that of the family. Elsewhere it is the probability of the
    interval, :math:`F(u) - F(l)`, which includes its bounds. Where y, or its logarithm under a log
    link, is the linear predictor plus noise, the derivatives of :math:`F` are those of its
    density. Others are found by differences. All facts are those of the values.

    Parameters
    ----------
    family : Family
        The distribution of the values.

    References
    ----------
    .. [1] J. D. Kalbfleisch and R. L. Prentice (2002), "The Statistical Analysis of Failure Time
       Data", 2nd edition, Wiley, chapter 3.
    """

    family: Family

    def check_options(self) -> None:
        """Those of the values."""
        self.family.check_options()

    # --- the data of the fit, of which a value stands for each interval ---

    def fitted_to(self, y: Array, weight: Array, scaling: Any) -> Censored:
        """With the family that is fitted to one value of each interval."""
        return replace(self, family=self.family.fitted_to(point_values(y), weight, scaling))

    def in_units(self, scaling: Any) -> Family:
        """That of the values."""
        return self.family.in_units(scaling)

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

    def working_target(self, y: Array) -> Array:
        """That of one value of each interval."""
        return self.family.working_target(point_values(y))

    def start(self, y: Array, weight: Array) -> Array:
        """From one value of each interval, where it is in the support."""
        values = point_values(y)
        rows = self.family.in_support(values)
        if not rows.any():
            return np.zeros(len(self.roles))
        return self.family.start(values[rows], weight[rows])

    def example_target(self, rng: np.random.Generator, n_rows: int) -> Array:
        """Values of the family, half of them exact, and intervals open to either side or closed."""
        values = self.family.example_target(rng, n_rows)
        other = self.family.example_target(rng, n_rows)
        y, kind = np.empty(values.shape, dtype=BOUNDS), rng.integers(6, size=values.shape)
        y["lower"] = np.where(kind == 5, -np.inf, values)
        y["upper"] = np.where(kind == 4, np.inf, values)
        closed = kind == 3
        y["lower"][closed] = np.minimum(values, other)[closed]
        y["upper"][closed] = np.maximum(values, other)[closed]
        return y

    # --- densities ---

    def derivatives(self, y: Array, eta: Sequence[Array]) -> Iterator[Any]:
        """Expected information of values, absolute observed one of intervals."""
        terms, rows = self.family.derivatives(_exact_values(y), eta), _intervals(y)
        if not len(rows):
            yield from terms
            return
        of_rows = Intervals(self.family, y[rows], _at(eta, rows))
        yield _replaced(next(terms), of_rows.log_prob, y, rows)
        first = zip(next(terms), of_rows.gradient, strict=True)
        yield [_replaced(values, own, y, rows) for values, own in first]
        information = next(terms)
        if not eta:
            yield information
            return
        # The mean in units of what one value tells of it, so that units of y have no influence.
        known = np.atleast_1d(np.maximum(information[0, 0], TINY))
        root = np.sqrt(_at([known], rows)[0])
        hessian = _multiplied(of_rows.hessian, 1.0 / root)
        of_intervals = _multiplied(absolute(hessian, len(eta)), root)
        yield _replaced_all(information, of_intervals, y, rows)

    def second(self, y: Array, eta: Sequence[Array]) -> Curvature:
        """Those of values and of intervals."""
        of_values, rows = self.family.second(_exact_values(y), eta), _intervals(y)
        if not len(rows):
            return of_values
        hessian = Intervals(self.family, y[rows], _at(eta, rows)).hessian
        return _replaced_all(of_values, hessian, y, rows)

    # --- moments ---

    def mean(self, eta: Sequence[Array]) -> Array:
        """That of the values."""
        return self.family.mean(eta)

    def mean_derivatives(self, eta: Sequence[Array]) -> list[Any]:
        """Those of the values."""
        return self.family.mean_derivatives(eta)

    def location(self, mean: Array, eta: Sequence[Array]) -> Array:
        """That of the values."""
        return self.family.location(mean, eta)

    def components(self, eta: Sequence[Array]) -> Any:
        """Those of the values."""
        return self.family.components(eta)


FACTS = (
    *(
        "name",
        "link",
        "standardizes_target",
        "max_outputs",
        "max_values",
        "has_scale",
        "is_continuous",
        "atoms",
    ),
    *("flat_margin", "has_outliers", "is_count", "exposure_power", "larger_variance"),
    *("takes_bounds", "is_location", "is_location_scale", "max_predictor", "max_step", "support"),
    *(
        "output_fields",
        "option_for_parts",
        "dispersions",
        "dispersion_unit",
        "has_dispersion",
        "roles",
        "log_dispersion_bounds",
    ),
    *("log_dispersion_bounds_of_means", "takes_mean", "measures", "equation"),
)
for fact in FACTS:
    setattr(Censored, fact, property(attrgetter(f"family.{fact}")))


def _exact_values(y: Array) -> Array:
    """Values of the exact entries, and one in place of intervals."""
    return np.where(is_exact(y), y["lower"], 1.0)


def _intervals(y: Array) -> Array:
    """Rows of targets (n,) that are intervals."""
    return np.flatnonzero(~is_exact(y))


def _at(eta: Sequence[Array], rows: Array) -> list[Array]:
    return [values if np.shape(values)[-1] == 1 else values[..., rows] for values in eta]


def _replaced(values: Any, found: Any, y: Array, rows: Array) -> Array:
    """What is computed of all rows (..., n), replaced by what is found of some of them."""
    shape = np.broadcast_shapes(np.shape(found)[:-1], np.shape(values)[:-1])
    replaced = np.array(np.broadcast_to(values, (*shape, len(y))))
    replaced[..., rows] = found
    return replaced


def _replaced_all(values: Curvature, found: Curvature, y: Array, rows: Array) -> Curvature:
    zero, keys = np.zeros(1), sorted(values.keys() | found.keys())
    return {key: _replaced(values.get(key, zero), found.get(key, zero), y, rows) for key in keys}


def _multiplied(second: Curvature, factor: Array) -> Curvature:
    """Second derivatives in other units of the first predictor."""
    return {(t, u): v * factor ** ((t == 0) + (u == 0)) for (t, u), v in second.items()}


class Intervals:
    """Log probabilities of intervals y (n,) of a family, and their derivatives.

    A parameter that moves y by v changes the distribution function by minus v times the density.
    So the derivatives are those of densities at the bounds, relative to the probability of the
    interval. The first predictor moves y of a location family by one, and the second one that of
    a family of location and scale by half of its distance. Others are found by differences.
    """

    def __init__(self, family: Family, y: Array, eta: list[Array]) -> None:
        self.family, self.y, self.eta = family, y, eta
        self.log_prob, self.narrow = self._probabilities(eta)
        self.n_moving = min(family.is_location + family.is_location_scale, len(eta))

    def _probabilities(self, eta: list[Array]) -> tuple[Array, Array]:
        """Log probability of each interval, from the smaller tail, and whether it is narrow.

        That of a narrow one, in which the density is constant, is from the density.
        """
        family, y = self.family, self.y
        part = family.components(eta)
        shape = np.broadcast_shapes(y.shape, *map(np.shape, eta))
        functions, parameters = part.functions, [values[0] for values in part[1:]]
        lower, upper = y["lower"], y["upper"]
        left = lower if family.is_continuous else np.nextafter(lower, -np.inf)
        is_open = np.isneginf(lower), np.isposinf(upper)
        with np.errstate(all="ignore"):
            above = np.where(is_open[0], 0.0, functions.log_sf(left, *parameters)).reshape(shape)
            if is_open[1].all():
                return above, np.zeros(shape, dtype=bool)
            below, beyond, before = (
                np.where(is_side_open, of_open, function(at, *parameters)).reshape(shape)
                for is_side_open, of_open, function, at in (
                    (is_open[1], 0.0, functions.log_cdf, upper),
                    (is_open[1], -np.inf, functions.log_sf, upper),
                    (is_open[0], -np.inf, functions.log_cdf, left),
                )
            )
            inner = np.where(above <= below, above, below)
            difference = np.where(above <= below, beyond, before) - inner
            difference = np.where(inner > -np.inf, np.minimum(difference, 0.0), -np.inf)
            logs = inner + np.log(-np.expm1(difference))
        if not family.is_continuous:
            return logs, np.zeros(shape, dtype=bool)
        narrow = (difference > -NARROW) & (upper > lower)
        narrow &= family.in_support(point_values(y))
        if narrow.any():
            width = np.where(narrow, upper - lower, 1.0)
            density = family.log_prob(self._middles(narrow), eta)
            logs = np.where(narrow, density + np.log(width), logs)
        return logs, narrow

    def _middles(self, narrow: Array) -> Array:
        """Middles of the narrow intervals, and one in place of others."""
        some = narrow.reshape(-1, len(self.y)).any(axis=0)
        return np.where(some, point_values(self.y), 1.0)

    @property
    def gradient(self) -> list[Array]:
        """First derivatives (T) by the predictors."""
        family, y, eta = self.family, self.y, self.eta
        gradient = [np.zeros(self.log_prob.shape) for _ in eta]
        # Hazards at the bounds, the changes of y there, and the slopes of the density.
        self.hazards: list[tuple[list[Array], Sequence[Array]]] = []
        for bound, sign in ((y["lower"], 1.0), (y["upper"], -1.0)) if self.n_moving else ():
            present = np.isfinite(bound) & family.in_support(bound)
            if not present.any():
                continue
            value = np.where(present, bound, 1.0)
            is_log = family.link == "log"
            with np.errstate(divide="ignore", invalid="ignore"):
                moved = np.log(value) if is_log else value
                logs = family.log_prob(value, eta) + (moved if is_log else 0.0)
                logs = np.minimum(logs - self.log_prob, MAX_LOG_HAZARD)
            ratio = np.where(present & (self.log_prob > -np.inf), sign * np.exp(logs), 0.0)
            changes = [ratio]
            if self.n_moving > 1:
                changes.append(ratio * (0.5 * (moved - eta[0])))
            for i, change in enumerate(changes):
                gradient[i] += change
            self.hazards.append((changes, score(family, value, eta)))
        self.bends: dict[int, Array] = {}
        for i in range(self.n_moving, len(eta)):
            gradient[i], self.bends[i] = self._differences(i)
        if self.narrow.any():
            middle = score(family, self._middles(self.narrow), eta)
            gradient = [
                np.where(self.narrow, own, values)
                for own, values in zip(middle, gradient, strict=True)
            ]
        self._gradient = gradient
        return gradient

    @property
    def hessian(self) -> Curvature:
        """Second derivatives {(t, u): array}."""
        if not hasattr(self, "_gradient"):
            _ = self.gradient
        gradient, n_own = self._gradient, len(self.eta)
        hessian: Curvature = {
            (i, j): -gradient[i] * gradient[j]
            for i in range(self.n_moving)
            for j in range(i, n_own)
        }
        for changes, slopes in self.hazards:
            for i, change in enumerate(changes):
                for j in range(i, n_own):
                    hessian[i, j] += change * slopes[j]
        hessian |= {(i, i): bend for i, bend in self.bends.items()}
        for i, j in combinations(range(self.n_moving, n_own), 2):
            hessian[i, j] = self._mixed_difference(i, j)
        if self.narrow.any():
            middle = self.family.second(self._middles(self.narrow), self.eta)
            hessian = {
                key: np.where(self.narrow, middle.get(key, 0.0), values)
                for key, values in hessian.items()
            }
        return hessian

    # --- differences ---

    def _moved(self, changes: dict[int, Any]) -> Array:
        """Log probabilities after changes of some predictors."""
        eta = list(self.eta)
        for i, change in changes.items():
            eta[i] = eta[i] + change
        return self._probabilities(eta)[0]

    def _step(self, i: int) -> Any:
        """Step of a difference: short where a linear predictor is known well from one row."""
        if i:
            return STEP
        possible = self.family.in_support(point_values(self.y))
        values = np.where(possible, point_values(self.y), 1.0)
        *_, information = self.family.derivatives(values, self.eta)
        return STEP / np.sqrt(1.0 + information[0, 0])

    def _differences(self, i: int) -> tuple[Array, Array]:
        """First and second derivative by one predictor, from differences of four points."""
        step = self._step(i)
        two, one, minus_one, minus_two = (
            self._moved({i: factor * step}) for factor in (2.0, 1.0, -1.0, -2.0)
        )
        with np.errstate(invalid="ignore"):
            first = (8.0 * (one - minus_one) - (two - minus_two)) / (12.0 * step)
            second = 16.0 * (one + minus_one) - (two + minus_two) - 30.0 * self.log_prob
            second = second / (12.0 * np.square(step))
        known = self.log_prob > -np.inf
        return np.where(known, first, 0.0), np.where(known, second, 0.0)

    def _mixed_difference(self, i: int, j: int) -> Array:
        """Second derivative by two predictors."""
        one, other = self._step(i), self._step(j)
        total = np.zeros(self.log_prob.shape)
        with np.errstate(invalid="ignore"):
            for sign, other_sign in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
                changes = {i: sign * one, j: other_sign * other}
                total = total + sign * other_sign * self._moved(changes)
        return np.where(self.log_prob > -np.inf, total / (4.0 * one * other), 0.0)
