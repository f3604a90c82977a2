"""Families of component distributions: densities, quantiles and scores as functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.special import log_ndtr, ndtr, ndtri

from skmoe._numerics.probability import log_probability
from skmoe._numerics.quadrature import integral_points
from skmoe._numerics.typing import Array
from skmoe.distributions._searches import search_mode, search_quantile

# Probabilities of both tails between whose quantiles a score is integrated.
SCORE_LEVELS = (0.5, 0.3, 0.1, 0.03, 1e-2, 1e-3, 1e-5, 1e-7, 1e-10)


def search_score(functions: Any, y: Array, *parameters: Array) -> Array:
    """The continuous ranked probability score, the integral of squared distribution functions.

    It is the integral of the squared probability of the lower tail up to y, and of that of the
    upper tail from y on.
    """
    y = np.asarray(y, dtype=float)
    at = np.where(np.isfinite(y), y, 0.0)
    edges = _edges(functions, parameters, at)
    total = np.maximum(at - edges[-1], 0.0) + np.maximum(edges[0] - at, 0.0)
    for tail, ends in (
        (functions.cdf, np.minimum(edges, at)),
        (functions.sf, np.maximum(edges, at)),
    ):
        points, factors = integral_points(ends[:-1], ends[1:])
        total = total + (factors * np.square(tail(points, *parameters))).sum(axis=(0, 1))
    return np.where(np.isfinite(y), total, np.abs(y))


def search_shortfall(functions: Any, y: Array, *parameters: Array) -> Array:
    """The integral of the distribution function up to y."""
    edges = _edges(functions, parameters, y)
    ends = np.minimum(edges, y)
    points, factors = integral_points(ends[:-1], ends[1:])
    below = (factors * functions.cdf(points, *parameters)).sum(axis=(0, 1))
    return np.maximum(y - edges[-1], 0.0) + below


def _edges(functions: Any, parameters: tuple[Array, ...], y: Array) -> Array:
    """Sorted quantiles of both tails, (points, ...), in a shape that is also for y."""
    shape = np.broadcast_shapes(*(np.shape(values) for values in parameters))
    levels = np.reshape(SCORE_LEVELS, (-1, *[1] * len(shape)))
    lower = functions.quantile(levels[::-1], *parameters)
    edges = np.concatenate([lower, functions.upper_quantile(levels[1:], *parameters)])
    return np.broadcast_to(edges, (len(edges), *np.broadcast_shapes(shape, np.shape(y))))


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

    Of the probability of a tail and its log, one is enough. A continuous family needs no formulas
    for quantiles, mode and score: where there are none, they are searched and integrated.
    """

    mean: Callable[..., Array]
    variance: Callable[..., Array]
    log_pdf: Callable[..., Array]
    draw: Callable[..., Array]
    cdf: Callable[..., Array] = None  # type: ignore[assignment]
    sf: Callable[..., Array] = None  # type: ignore[assignment]
    log_cdf: Callable[..., Array] = None  # type: ignore[assignment]
    log_sf: Callable[..., Array] = None  # type: ignore[assignment]
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
    # Of a family with `counts`: E|Y - y|; `log_pdf` and `sf` continued to real numbers; and the
    # ratio of the probability of a count to that of the one before.
    mean_distance: Callable[..., Array] = None  # type: ignore[assignment]
    continued: Any = None
    mass_ratio: Callable[..., Array] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        defaults: dict[str, Callable[..., Array]] = {
            "cdf": lambda *at: np.exp(self.log_cdf(*at)),
            "sf": lambda *at: np.exp(self.log_sf(*at)),
            "log_cdf": lambda *at: log_probability(self.cdf(*at)),
            "log_sf": lambda *at: log_probability(self.sf(*at)),
            "quantile": partial(search_quantile, self),
            "upper_quantile": partial(search_quantile, self, upper=True),
            "mode": partial(search_mode, self),
            "crps": partial(search_score, self),
        }
        for name, default in defaults.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, default)

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
