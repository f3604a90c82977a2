"""Families of conditional distributions around means that are given, and given densities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from skmoe._numerics.typing import Array
from skmoe.experts._linear import LinearExperts
from skmoe.families import Family
from skmoe.families._base import differences, of_others


@dataclass(frozen=True)
class MeanFamily(LinearExperts):
    """The family of y around the predictions of estimators, which are fitted to y in its units."""

    def __post_init__(self) -> None:
        """Sets the facts of the family."""
        super().__post_init__()
        vars(self).update(standardizes_target=False)

    @property
    def family(self) -> Family:
        """The only family."""
        return self.families[0]


@dataclass(frozen=True)
class GivenMeans(Family):
    """A family whose predictors are the log dispersions; the target is a pair of y and its mean."""

    link: ClassVar[str] = ""

    family: Family

    @property
    def roles(self) -> tuple[str, ...]:
        """All log dispersions are constant."""
        return ("constant",) * len(self.dispersions)

    @property
    def log_dispersion_bounds(self) -> tuple[tuple[float, float], ...]:
        """Those of distributions about a given mean."""
        return self.family.log_dispersion_bounds_of_means

    def start(self, y: Array, weight: Array) -> Array:
        """Log dispersions without features."""
        return self.family.start(y, weight)[1:]

    def predictors(self, mean: Array, eta: Sequence[Array]) -> list[Array]:
        """The T predictors of the family at means (..., n)."""
        bound = self.family.max_predictor
        location = np.clip(self.family.location(mean, [np.zeros(1), *eta]), -bound, bound)
        return [np.broadcast_arrays(location, *eta)[0], *eta]

    def derivatives(self, y: Any, eta: Sequence[Array]) -> Iterator[Any]:
        """Those of the family, whose first predictor can depend on the dispersions."""
        values, mean = y
        terms = self.family.derivatives(values, self.predictors(mean, eta))
        yield next(terms)
        slopes, _ = differences(lambda at: self.family.location(mean, [np.zeros(1), *at]), eta)
        of_mean, *of_others = next(terms)
        yield [own + slope * of_mean for own, slope in zip(of_others, slopes, strict=True)]
        of_pair, found = next(terms), {}
        for t, first in enumerate(slopes):
            for u, second in enumerate(slopes[t:], t):
                mixed = first * of_pair.get((0, u + 1), 0.0) + second * of_pair.get((0, t + 1), 0.0)
                own = of_pair.get((t + 1, u + 1), 0.0) + first * second * of_pair.get((0, 0), 0.0)
                found[t, u] = own + mixed
        yield found

    def mean(self, eta: Sequence[Array]) -> Array:
        """It is given."""
        return np.full_like(eta[0], np.nan)

    def components(self, eta: Sequence[Array]) -> Any:
        """The distribution around means (m, n), which are the first of the predictors."""
        mean, *others = eta
        predictors = self.predictors(mean, others)
        return self.family.components([np.broadcast_to(own, mean.shape) for own in predictors])


of_others(GivenMeans, "family", ("dispersions", "has_scale", "flat_margin", "dispersion_unit"))


@dataclass(frozen=True)
class GivenDensity(Family):
    """A family without parameters, whose log density is the target."""

    link: ClassVar[str] = ""

    def start(self, y: Array, weight: Array) -> Array:
        """No predictors."""
        return np.zeros(0)

    def derivatives(self, y: Array, eta: Sequence[Array]) -> Iterator[Any]:
        """The target itself."""
        yield y

    def mean(self, eta: Sequence[Array]) -> Array:
        """It is unknown."""
        return np.full(1, np.nan)

    def components(self, eta: Sequence[Array]) -> None:
        """They are unknown."""
