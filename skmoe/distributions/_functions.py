"""Families of component distributions: densities, quantiles and scores as functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.special import log_ndtr, ndtr, ndtri

from skmoe._numerics.probability import log_probability
from skmoe._numerics.typing import Array
from skmoe.distributions._searches import search_mode, search_quantile


@dataclass(frozen=True)
class ComponentFunctions:
    """The functions of a family of component distributions.

    Points and parameters are arrays that broadcast against each other. `mean`, `variance`, `mode`
    and `atoms` take the parameters only, `quantile` and `upper_quantile` a probability of at most
    1/2 below and above the quantile, and `draw` a random state.

    `log_pdf` is the log density of a continuous family and the log probability of a discrete one.
    `atoms` are the values of
    probability above zero, if there are finitely many, and `bounds` the points where the density
    jumps. The atoms of a family with `counts` are all counts. In a family with `location_scale`,
    a + b Y is of the family if Y is. `normal_score` is the increasing function of points under
    which the distribution is standard normal, and `from_normal_score` its inverse, for families
    with dependent outputs.

    Of the probability of a tail and its log, one is enough. A continuous family needs no formulas
    for quantiles and mode: where there are none, they are searched.
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
    atoms: Callable[..., tuple[Array, ...]] = lambda *parameters: ()
    bounds: Callable[..., tuple[Array, ...]] = lambda *parameters: ()
    normal_score: Callable[..., Array] = None  # type: ignore[assignment]
    from_normal_score: Callable[..., Array] = None  # type: ignore[assignment]
    discrete: bool = False
    counts: bool = False
    location_scale: bool = False
    continued: Any = None  # of a family with `counts`, the functions continued to real numbers

    def __post_init__(self) -> None:
        defaults: dict[str, Callable[..., Array]] = {
            "cdf": lambda *at: np.exp(self.log_cdf(*at)),
            "sf": lambda *at: np.exp(self.log_sf(*at)),
            "log_cdf": lambda *at: log_probability(self.cdf(*at)),
            "log_sf": lambda *at: log_probability(self.sf(*at)),
            "quantile": partial(search_quantile, self),
            "upper_quantile": partial(search_quantile, self, upper=True),
            "mode": partial(search_mode, self),
        }
        for name, default in defaults.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, default)


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
