"""Densities, quantiles and scores of components, as functions of points and of the parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy.special import log_ndtr, ndtr, ndtri

from skmoe._numerics.typing import Array
from skmoe.distributions._component_searches import (
    search_mode,
    search_quantile,
    search_score,
    search_shortfall,
)


@dataclass(frozen=True)
class ComponentFunctions:
    """The functions of a family of component distributions.

    Points and parameters are arrays that broadcast against each other. `mean`, `variance`, `mode`
    and `atoms` take the parameters only, `quantile` and `upper_quantile` a probability of at most
    1/2 below and above the quantile, and `draw` a random state.

    `log_pdf` is the log density of a continuous family and the log probability of a discrete one.
    `crps` is the continuous ranked probability score of one component. `atoms` are the values of
    probability above zero, if there are finitely many, and `bounds` the points where the density
    jumps. The atoms of a family with `counts` are all counts. In a family with `location_scale`,
    a + b Y is of the family if Y is. `normal_score` is the increasing function of points under
    which the distribution is standard normal, and `from_normal_score` its inverse, for families
    with dependent outputs.

    A continuous family needs no formulas for quantiles, mode and score: where there are none, they
    are found by bisection, by golden sections, and by quadrature.
    """

    mean: Callable[..., Array]
    variance: Callable[..., Array]
    log_pdf: Callable[..., Array]
    cdf: Callable[..., Array]
    sf: Callable[..., Array]
    log_cdf: Callable[..., Array]
    log_sf: Callable[..., Array]
    draw: Callable[..., Array]
    mode: Callable[..., Array] = None  # type: ignore[assignment]
    quantile: Callable[..., Array] = None  # type: ignore[assignment]
    upper_quantile: Callable[..., Array] = None  # type: ignore[assignment]
    crps: Callable[..., Array] = None  # type: ignore[assignment]
    atoms: Callable[..., tuple[Array, ...]] = lambda *parameters: ()
    bounds: Callable[..., tuple[Array, ...]] = lambda *parameters: ()
    normal_score: Callable[..., Array] = None  # type: ignore[assignment]
    from_normal_score: Callable[..., Array] = None  # type: ignore[assignment]
    discrete: bool = False
    counts: bool = False
    location_scale: bool = False
    # Of a family with `counts`: E|Y - y|; `sf` at counts, continued to real numbers; and the ratio
    # of the probability of a count to that of the one before.
    mean_distance: Callable[..., Array] = None  # type: ignore[assignment]
    sf_real: Callable[..., Array] = None  # type: ignore[assignment]
    mass_ratio: Callable[..., Array] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        searches: dict[str, Callable[..., Array]] = {
            "quantile": search_quantile,
            "upper_quantile": partial(search_quantile, upper=True),
            "mode": search_mode,
            "crps": search_score,
        }
        for name, search in searches.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, partial(search, self))

    def cdf_left(self, points: Array, *parameters: Array) -> Array:
        """Probability of values below the points."""
        return self.cdf(self._left(points), *parameters)

    def sf_left(self, points: Array, *parameters: Array) -> Array:
        """Probability of values from the points on."""
        return self.sf(self._left(points), *parameters)

    def log_sf_left(self, points: Array, *parameters: Array) -> Array:
        """Log probability of values from the points on."""
        return self.log_sf(self._left(points), *parameters)

    def mean_shortfall(self, points: Array, *parameters: Array) -> Array:
        """E max(y - Y, 0), the integral of the distribution function up to the points."""
        if self.counts:
            return 0.5 * (points - self.mean(*parameters) + self.mean_distance(points, *parameters))
        if not self.discrete:
            return search_shortfall(self, points, *parameters)
        atoms = self.atoms(*parameters)
        shares = (np.exp(self.log_pdf(atom, *parameters)) for atom in atoms)
        pairs = zip(shares, atoms, strict=True)
        return np.asarray(sum(share * np.maximum(points - atom, 0.0) for share, atom in pairs))

    def _left(self, points: Array) -> Array:
        return np.nextafter(points, -np.inf) if self.discrete else points


def functions_of_normal(
    score: Callable[..., Array], inverse: Callable[..., Array], **others: Any
) -> ComponentFunctions:
    """A family of which an increasing function of y, the score, is standard normal."""
    return ComponentFunctions(
        cdf=lambda y, *own: ndtr(score(y, *own)),
        sf=lambda y, *own: ndtr(-score(y, *own)),
        log_cdf=lambda y, *own: log_ndtr(score(y, *own)),
        log_sf=lambda y, *own: log_ndtr(-score(y, *own)),
        quantile=lambda q, *own: inverse(ndtri(q), *own),
        upper_quantile=lambda q, *own: inverse(-ndtri(q), *own),
        draw=lambda rng, *own: inverse(rng.standard_normal(own[0].shape), *own),
        normal_score=score,
        from_normal_score=inverse,
        **others,
    )


class Block(NamedTuple):
    """Components of one family: parameters of shape (n_rows, n_components, n_outputs)."""

    family: ComponentFunctions
    parameters: tuple[Array, ...]


class Component(NamedTuple):
    """One component of every row: weight and parameters, of shapes that broadcast."""

    family: ComponentFunctions
    weight: Array
    parameters: tuple[Array, ...]

    def tail_quantiles(self, levels: Iterable[float]) -> list[Array]:
        """Quantiles of both tails at levels of at most 1/2."""
        functions = self.family.quantile, self.family.upper_quantile
        return [quantile(q, *self.parameters) for q in levels for quantile in functions]

    def if_present(self, points: Iterable[Array]) -> list[Array]:
        """Points in the rows in which the component has weight; NaN in the others."""
        return [np.where(self.weight > 0.0, point, np.nan) for point in points]


def take(components: Sequence[Component], rows: Array) -> list[Component]:
    """Components of chosen rows, of weights and parameters (r,)."""
    return [
        Component(family, weight[rows], tuple(values[rows] for values in parameters))
        for family, weight, parameters in components
    ]
