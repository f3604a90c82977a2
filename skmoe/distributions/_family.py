"""Families of component distributions: functions of points and of the parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from skmoe._numerics.typing import Array


def _no_points(*parameters: Array) -> tuple[Array, ...]:
    return ()


@dataclass(frozen=True)
class Family:
    """A family of component distributions.

    Points and parameters are arrays that broadcast against each other. `mean`, `variance`, `mode`
    and `atoms` take the parameters only, `quantile` and `upper_quantile` a probability of at most
    1/2 below and above the quantile, and `draw` a random state.

    `log_pdf` is the log density of a continuous family and the log probability of a discrete one.
    `quantile` and `upper_quantile` need not be exact. `crps` is the continuous ranked probability
    score of one component. `atoms` are the values of probability above zero, if there are finitely
    many, and `bounds` the points where the density jumps. The atoms of a family with `counts` are
    all counts. In a family with `location_scale`, a + b Y is of the family if Y is.
    """

    mean: Callable[..., Array]
    variance: Callable[..., Array]
    mode: Callable[..., Array]
    log_pdf: Callable[..., Array]
    cdf: Callable[..., Array]
    sf: Callable[..., Array]
    log_cdf: Callable[..., Array]
    log_sf: Callable[..., Array]
    quantile: Callable[..., Array]
    upper_quantile: Callable[..., Array]
    crps: Callable[..., Array]
    draw: Callable[..., Array]
    atoms: Callable[..., tuple[Array, ...]] = _no_points
    bounds: Callable[..., tuple[Array, ...]] = _no_points
    discrete: bool = False
    counts: bool = False
    location_scale: bool = False

    def left(self, points: Array) -> Array:
        """Points at which `cdf` is the probability of values below the given ones."""
        return np.nextafter(points, -np.inf) if self.discrete else points


class Block(NamedTuple):
    """Components of one family: parameters of shape (n_rows, n_components, n_outputs)."""

    family: Family
    parameters: tuple[Array, ...]


class Component(NamedTuple):
    """One component of every row: weight and parameters, of shapes that broadcast."""

    family: Family
    weight: Array
    parameters: tuple[Array, ...]
