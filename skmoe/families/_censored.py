"""Families at targets that are known by their bounds only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from inspect import isfunction
from itertools import combinations, islice, product
from typing import Any

import numpy as np

from skmoe._data.censored_targets import has_entry, is_exact, point_values
from skmoe._data.checks import has_bounds
from skmoe._data.entries import later_than
from skmoe._numerics.typing import TINY, Array
from skmoe.families._base import Curvature, Family, along, of_others

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
    if not has_bounds(y):
        return family
    kind = AfterEntry if has_entry(y) else Censored
    return kind(family)


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

    # --- the data of the fit, of which a value stands for each interval ---

    def fitted_to(self, y: Array, weight: Array, scaling: Any) -> Censored:
        """With the family that is fitted to one value of each interval."""
        return replace(self, family=self.family.fitted_to(point_values(y), weight, scaling))

    def in_support(self, y: Array) -> Array:
        """Whether the value, or both finite bounds, are possible or at the end of the support."""
        lower, upper = y["lower"], y["upper"]
        if self.family.atoms:
            inside = [(lower <= atom) & (atom <= upper) for atom in self.family.atoms]
            return np.asarray(np.any(inside, axis=0))
        if self.family.ends:
            low, high = self.family.ends
            return np.asarray((lower <= high) & (low <= upper))
        possible = np.isneginf(lower) | self._is_in_closure(lower, np.inf)
        possible &= np.isposinf(upper) | self._is_in_closure(upper, -np.inf)
        return np.where(is_exact(y), self.family.in_support(lower), possible)

    def _is_in_closure(self, bound: Array, inside: float) -> Array:
        near = bound, np.nextafter(bound, inside), np.nextafter(bound, -inside)
        return np.any([self.family.in_support(value) for value in near], axis=0)

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

    # --- densities ---

    def derivatives(self, y: Array, eta: Sequence[Array]) -> Iterator[Any]:
        """Expected information of values, absolute observed one of intervals.

        Intervals that are narrow count as their middle, at which the density is that of all.
        """
        known, middle = is_exact(y), point_values(y)
        values = np.where(self.family.in_support(middle), middle, 1.0)
        values = np.where(known, y["lower"], values)
        terms, rows = self.family.derivatives(values, eta), np.flatnonzero(~known)
        if not len(rows):
            yield from terms
            return
        at_rows = [own if np.shape(own)[-1] == 1 else own[..., rows] for own in eta]
        of_rows = _of_intervals(self.family, y[rows], values[rows], at_rows)
        found, narrow = next(of_rows)

        def replaced(of_values: Any, found: Any) -> Array:
            """What is computed of all rows (..., n), replaced by what is found of intervals."""
            shape = np.broadcast_shapes(np.shape(found)[:-1], np.shape(of_values)[:-1])
            both = np.array(np.broadcast_to(of_values, (*shape, len(y))))
            both[..., rows] = np.where(narrow, both[..., rows], found)
            return both

        def all_replaced(of_values: Curvature, found: Curvature) -> Curvature:
            zero, keys = np.zeros(1), sorted(of_values.keys() | found.keys())
            return {key: replaced(of_values.get(key, zero), found.get(key, zero)) for key in keys}

        width = np.subtract(y["upper"], y["lower"], where=~known, out=np.ones(len(y)))
        log_width = np.log(np.where(width < np.inf, width, 1.0))
        yield replaced(next(terms) + log_width, found)
        yield [replaced(*pair) for pair in zip(next(terms), next(of_rows), strict=True)]
        information, hessian = next(terms), next(of_rows)
        if not eta:
            yield information
            return
        # A diagonal that bounds the Hessian, with the mean in units of what one value shows of it,
        # so that units of y have no influence.
        root = np.sqrt(np.maximum(information[0, 0], TINY))
        root = np.broadcast_to(root, (*np.shape(root)[:-1], len(y)))[..., rows]
        units = [root, *[1.0] * (len(eta) - 1)]
        curvature: Curvature = dict.fromkeys([(t, t) for t in range(len(eta))], 0.0)
        for (t, u), values_of_pair in hessian.items():
            for one, other in {(t, u), (u, t)}:
                curvature[one, one] += np.abs(values_of_pair) * (units[one] / units[other])
        yield all_replaced(information, curvature)
        yield all_replaced(self.family.second(values, eta), hessian)


# All else is that of the values.
METHODS = "check_options", "in_units", "mean", "mean_derivatives", "location", "components"
FACTS = [name for name, value in vars(Family).items() if name[0] != "_" and not isfunction(value)]
of_others(Censored, "family", ("name", *METHODS, *FACTS))


class AfterEntry(Censored):
    """The same, given that y is larger than an entry, where this is not minus infinity.

    The probability of that divides the density. The information is that of the density alone.
    """

    def in_support(self, y: Array) -> Array:
        """Also whether the entry is possible, or at the end of the support."""
        return super().in_support(y) & super().in_support(later_than(y["entry"]))

    def derivatives(self, y: Array, eta: Sequence[Array]) -> Iterator[Any]:
        """Those of bounds, less those of the probability to be larger."""
        rows = np.flatnonzero(y["entry"] > -np.inf)
        after = later_than(y["entry"][rows])
        at_rows = [own if np.shape(own)[-1] == 1 else own[..., rows] for own in eta]

        def less(found: Any, of_entry: Any) -> Array:
            shape = np.broadcast_shapes(np.shape(found)[:-1], np.shape(of_entry)[:-1])
            both = np.array(np.broadcast_to(found, (*shape, len(y))))
            both[..., rows] -= of_entry
            return both

        density = Censored(self.family)
        terms, of_entry = density.derivatives(y, eta), density.derivatives(after, at_rows)
        yield less(next(terms), next(of_entry))
        yield [less(*pair) for pair in zip(next(terms), next(of_entry), strict=True)]
        yield next(terms)
        found, second = density.second(y, eta), density.second(after, at_rows)
        keys, zero = sorted(found.keys() | second.keys()), np.zeros(1)
        yield {key: less(found.get(key, zero), second.get(key, zero)) for key in keys}


def _log_probabilities(family: Family, y: Array, eta: Sequence[Array]) -> tuple[Array, Array]:
    """Log probability of each interval, from the smaller tail, and which of them are narrow."""
    part = family.components(eta)
    shape = np.broadcast_shapes(y.shape, *map(np.shape, eta))
    functions, parameters = part.functions, [values[0] for values in part[1:]]
    lower, upper = y["lower"], y["upper"]
    left = lower if family.is_continuous else np.nextafter(lower, -np.inf)
    with np.errstate(all="ignore"):
        above = functions.log_sf(left, *parameters).reshape(shape)
        if np.isposinf(upper).all():
            return above, np.zeros(shape, dtype=bool)
        beyond = functions.log_sf(upper, *parameters).reshape(shape)
        below = functions.log_cdf(upper, *parameters).reshape(shape)
        before = functions.log_cdf(left, *parameters).reshape(shape)
        inner = np.where(above <= below, above, below)
        difference = np.where(above <= below, beyond, before) - inner
        difference = np.where(inner > -np.inf, np.minimum(difference, 0.0), -np.inf)
        logs = inner + np.log(-np.expm1(difference))
    narrow = (difference > -NARROW) & (upper > lower) & family.in_support(point_values(y))
    return logs, narrow & family.is_continuous


def _of_intervals(family: Family, y: Array, values: Array, eta: list[Array]) -> Iterator[Any]:
    """Log probabilities of intervals y (n,), and which are narrow; then their derivatives.

    A parameter that moves y by v changes the distribution function by minus v times the density.
    So the derivatives are those of densities at the bounds, relative to the probability of the
    interval. The first predictor moves y of a location family by one, and the second one that of
    a family of location and scale by half of its distance. Others are found by differences.
    """
    log_prob, narrow = _log_probabilities(family, y, eta)
    yield log_prob, narrow
    n_own, possible = len(eta), log_prob > -np.inf
    n_moving = min(family.n_moving, n_own)
    gradient = [np.zeros(log_prob.shape) for _ in eta]
    # Hazards at the bounds times the changes of y there, and the slopes of the density.
    hazards: list[tuple[list[Array], Sequence[Array]]] = []
    for bound, sign in ((y["lower"], 1.0), (y["upper"], -1.0)) if n_moving else ():
        present = np.isfinite(bound) & family.in_support(np.nextafter(bound, -sign * np.inf))
        if not present.any():
            continue
        value, is_log = np.where(present, bound, 1.0), family.link == "log"
        with np.errstate(divide="ignore", invalid="ignore"):
            moved = np.log(value) if is_log else value
            logs, slopes = islice(family.derivatives(value, eta), 2)
            logs = np.minimum(logs + (moved if is_log else 0.0) - log_prob, MAX_LOG_HAZARD)
            changes = [np.where(present & possible, sign * np.exp(logs), 0.0)]
        if n_moving > 1:
            of_scale, most = changes[0] * (0.5 * (moved - eta[0])), np.exp(MAX_LOG_HAZARD)
            changes.append(np.clip(of_scale, -most, most))
        for i, change in enumerate(changes):
            gradient[i] += change
        hazards.append((changes, slopes))
    units = [np.full(1, STEP)] * n_own
    if n_own and not n_moving:  # short where a linear predictor is known well from one row
        information = next(islice(family.derivatives(values, eta), 2, None))
        units[0] = STEP / np.sqrt(1.0 + information[0, 0])

    def along_steps(*steps: int) -> Array:
        """First and second derivative along the steps of some predictors."""
        step = [unit if t in steps else 0.0 for t, unit in enumerate(units)]
        with np.errstate(invalid="ignore"):
            pair = along(lambda at: _log_probabilities(family, y, at)[0], eta, step, log_prob)
        return np.where(possible, pair, 0.0)

    alone = {t: along_steps(t) for t in range(n_moving, n_own)}
    for t, (first, _) in alone.items():
        gradient[t] = first / units[t]
    yield gradient
    hessian = {(t, u): -gradient[t] * gradient[u] for t in range(n_moving) for u in range(t, n_own)}
    for (changes, slopes), (t, u) in product(hazards, hessian):
        hessian[t, u] += changes[t] * slopes[u]
    for t, (_, second) in alone.items():
        hessian[t, t] = second / np.square(units[t])
    for t, u in combinations(alone, 2):
        mixed = along_steps(t, u)[1] - alone[t][1] - alone[u][1]
        hessian[t, u] = 0.5 * mixed / (units[t] * units[u])
    yield hessian
