"""Families: conditional distributions of y given the linear predictor of an expert."""

from skmoe.families import _continuous, _discrete, _positive
from skmoe.families._base import Family
from skmoe.families._continuous import Beta, LogNormal, Normal, StudentT, Uniform
from skmoe.families._discrete import NegativeBinomial, Ordinal, Poisson
from skmoe.families._positive import (
    Exponential,
    Gamma,
    Gompertz,
    InverseGaussian,
    LogLogistic,
    Tweedie,
    Weibull,
)

# Point masses have no options: their names in the parameter `family` are enough.
__all__ = [
    "FAMILIES",
    "Beta",
    "Exponential",
    "Family",
    "Gamma",
    "Gompertz",
    "InverseGaussian",
    "LogLogistic",
    "LogNormal",
    "NegativeBinomial",
    "Normal",
    "Ordinal",
    "Poisson",
    "StudentT",
    "Tweedie",
    "Uniform",
    "Weibull",
]

# Families by the name in the parameter `family`.
FAMILIES: dict[str, type[Family]] = {
    kind.name: kind
    for module in (_continuous, _positive, _discrete)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, Family) and "name" in vars(kind)
}
