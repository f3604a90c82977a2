"""A family of a contributor, of largest extreme values: all derivatives are by differences."""

from collections import namedtuple
from dataclasses import dataclass

import numpy as np

from skmoe.distributions import ComponentFunctions, Components
from skmoe.families import Family
from skmoe.protocols import Dispersion

GUMBEL = ComponentFunctions(
    mean=lambda mode, scale: mode + np.euler_gamma * scale,
    variance=lambda mode, scale: np.square(np.pi * scale) / 6.0,
    log_pdf=lambda y, mode, scale: Gumbel().log_prob(y, [mode, 2.0 * np.log(scale)]),
    log_cdf=lambda y, mode, scale: -np.exp((mode - y) / scale),
    sf=lambda y, mode, scale: -np.expm1(-np.exp((mode - y) / scale)),
    draw=lambda rng, mode, scale: rng.gumbel(mode, scale),
)


class GumbelComponents(namedtuple("_Fields", "weight mode scale"), Components):
    functions, locations, scales = GUMBEL, ("mode",), ("scale",)


@dataclass(frozen=True)
class Gumbel(Family):
    name = "gumbel"
    standardizes_target = True
    dispersions = (Dispersion("log(dispersion)", "dispersion_"),)
    log_dispersion_bounds = ((-14.0, 14.0),)

    def log_prob(self, y, eta):
        z = (y - eta[0]) * np.exp(-0.5 * eta[1])
        return -z - np.exp(-z) - 0.5 * eta[1]

    def start(self, y, weight):
        return np.array([np.average(y, weights=weight), np.log(np.var(y) + 1e-9)])

    def mean(self, eta):
        return eta[0] + np.euler_gamma * np.exp(0.5 * eta[1])

    def components(self, eta):
        mode, log_dispersion = (np.atleast_2d(values) for values in eta)
        return GumbelComponents.single(mode, np.exp(0.5 * log_dispersion))
