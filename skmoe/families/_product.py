"""Outcomes of different families, which are independent given the expert; and missing ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from skmoe._numerics.typing import Array
from skmoe.distributions._components import OutcomeComponents
from skmoe.families._base import Curvature, Family, of_others
from skmoe.families._censored import FACTS, METHODS


def _of_outcomes(among: Callable[[Iterable[bool]], bool], name: str) -> Any:
    """A fact that holds if it does for any of the outcomes, or for all of them."""
    return property(lambda self: among(getattr(family, name) for family in self.outcomes))


@dataclass(frozen=True)
class Product(Family):
    r"""The families of several outcomes, which are independent given the expert.

    The log density of a row is the sum of those of the outcomes that are observed: what is missing
    contributes nothing. If whether a value is missing depends on observed ones only, the
    likelihood is the right one [1]_. Missing values are NaN.

    Parameters
    ----------
    outcomes : tuple of Family
        The family of each column of y.
    names : tuple, default=()
        The columns as they were given, by name or number; () if they are in the order of y.

    References
    ----------
    .. [1] D. B. Rubin (1976), "Inference and missing data", Biometrika 63, 581-592.

    Examples
    --------
    >>> from skmoe.families import Normal, Poisson
    >>> from skmoe.families._product import Product
    >>> Product((Normal(), Poisson())).name
    'normal, poisson'
    """

    takes_mean: ClassVar[bool] = False

    outcomes: tuple[Family, ...] = ()  # type: ignore[misc]
    names: tuple[Any, ...] = ()

    # --- facts ---

    @property
    def name(self) -> str:  # type: ignore[override]
        """The names of all families."""
        return ", ".join(dict.fromkeys(family.name for family in self.outcomes))

    @property
    def link(self) -> str:  # type: ignore[override]
        """The link that all have."""
        links = {family.link for family in self.outcomes}
        return links.pop() if len(links) == 1 else "several"

    @property
    def roles(self) -> tuple[str, ...]:
        """A mean, and a dispersion if an outcome has one that can depend on features."""
        return ("mean", "dispersion") if self.has_dispersion else ("mean",)

    # Whether an outcome has a dispersion that can depend on features, has a scale, or may be
    # censored; and whether all have densities, or all are counts.
    has_dispersion, has_scale, takes_bounds = (
        _of_outcomes(any, name) for name in ("has_dispersion", "has_scale", "takes_bounds")
    )
    is_continuous, is_count = (_of_outcomes(all, name) for name in ("is_continuous", "is_count"))

    # --- the data of the fit ---

    def fitted_to(self, y: Array, weight: Array, scaling: Any) -> Product:
        """Each family fitted to the observed values of its outcome."""
        found = []
        for j, family in enumerate(self.outcomes):
            kept = ~np.isnan(y[j])
            own = SimpleNamespace(center=scaling.center[j : j + 1], scale=scaling.scale[j : j + 1])
            found.append(family.fitted_to(y[j : j + 1, kept], weight[kept], own))
        return replace(self, outcomes=tuple(found))

    def in_support(self, y: Array) -> Array:
        """Whether each outcome is missing or possible."""
        pairs = zip(self.outcomes, y, strict=True)
        return np.stack([family.in_support(own) for family, own in pairs]) | np.isnan(y)

    def start(self, y: Array, weight: Array) -> Any:
        """Predictors of each outcome (m, n)."""
        return [own.start(v, weight) for own, v in zip(self.outcomes, y, strict=True)]

    # --- moments, of the predictors of each outcome ---

    def mean(self, eta: Sequence[Any]) -> Array:
        """Means of the outcomes, (m, n)."""
        return np.stack([own.mean(v) for own, v in zip(self.outcomes, eta, strict=True)])

    def components(self, eta: Sequence[Any]) -> OutcomeComponents:
        """The distributions of the outcomes."""
        parts = [own.components(v) for own, v in zip(self.outcomes, eta, strict=True)]
        return OutcomeComponents(np.ones((1, np.shape(eta[0][0])[-1])), tuple(parts))


@dataclass(frozen=True, eq=False)
class Observed(Family):
    """A family of an outcome of which some values are missing: their density counts as one.

    Parameters
    ----------
    family : Family
        The distribution of the values.
    rows : ndarray of shape (n,)
        Where the outcome is observed.
    """

    family: Family
    rows: Array

    def derivatives(self, y: Array, eta: Sequence[Array]) -> Iterator[Any]:
        """Zero where the outcome is missing."""
        terms = self.family.derivatives(y, eta)
        yield np.where(self.rows, next(terms), 0.0)
        yield [np.where(self.rows, own, 0.0) for own in next(terms)]
        for curvature in terms:
            yield {key: np.where(self.rows, own, 0.0) for key, own in curvature.items()}


OWN = "fitted_to", "in_support", "working_target", "start"
of_others(Observed, "family", ("name", *OWN, *METHODS, *FACTS))


@dataclass(frozen=True, eq=False)
class ObservedJointly(Family):
    """A multivariate normal family of which some outputs are missing: that of the others.

    Parameters
    ----------
    family : JointNormal
        The distribution of all outputs.
    patterns : tuple of pairs of ndarray
        Outputs that are observed, and the rows in which they are.
    """

    family: Any
    patterns: tuple[tuple[Array, Array], ...]

    def derivatives(self, y: Array, eta: Sequence[Array]) -> Iterator[Any]:
        """Those of the marginal distributions, with zeros for the parameters that they lack."""
        m, parts = self.family.n_outputs, []
        for kept, rows in self.patterns:
            pairs = [2 * m + i for i, pair in enumerate(self.family.pairs) if {*pair} <= {*kept}]
            index = [*kept, *(m + kept), *pairs]
            own = [eta[t] if eta[t].shape[-1] == 1 else eta[t][..., rows] for t in index]
            marginal = replace(self.family, n_outputs=len(kept))
            parts.append((rows, index, marginal.derivatives(y[np.ix_(kept, rows)], own)))
        none = np.zeros((*np.broadcast_shapes(*map(np.shape, eta))[:-1], y.shape[1]))
        logs, scores = none.copy(), [none.copy() for _ in eta]
        for rows, _, terms in parts:
            logs[..., rows] = next(terms)
        yield logs
        for rows, index, terms in parts:
            for t, score in zip(index, next(terms), strict=True):
                scores[t][..., rows] = score
        yield scores
        information: Curvature = {}
        for rows, index, terms in parts:
            for (t, u), values in next(terms).items():
                found = information.setdefault((index[t], index[u]), none.copy())
                found[..., rows] = values
        yield information


of_others(ObservedJointly, "family", ("name", *OWN, *METHODS, *FACTS))


def of_observed(family: Any, y: Array, possible: Array) -> tuple[Any, Array, Array]:
    """The family where some values are missing, values in the place of these, and what is possible.

    The density is one where y is missing, and of a joint family that of the others.
    """
    missing, of_rest = np.isnan(y), family
    if y.ndim == 1:
        of_rest = Observed(family, ~missing)
        y = np.where(missing, y[possible][0] if possible.any() else 1.0, y)
    else:
        kinds, codes = np.unique(missing, axis=1, return_inverse=True)
        each = [(np.flatnonzero(~own), codes.ravel() == i) for i, own in enumerate(kinds.T)]
        patterns = tuple((kept, np.flatnonzero(rows)) for kept, rows in each if len(kept))
        of_rest = ObservedJointly(family, patterns)
    return of_rest, y, possible | missing
