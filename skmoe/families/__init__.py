"""Families: conditional distributions of y given the linear predictor of an expert."""

from skmoe.families._base import Family
from skmoe.families._continuous import Beta, LogNormal, Normal, StudentT, Uniform
from skmoe.families._discrete import NegativeBinomial, Never, One, Ordinal, Poisson, Zero
from skmoe.families._positive import Exponential, Gamma, InverseGaussian, Tweedie, Weibull

# Point masses have no options: their names in the parameter `family` are enough.
__all__ = [
    "FAMILIES",
    "Beta",
    "Exponential",
    "Family",
    "Gamma",
    "InverseGaussian",
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
    family.name: family
    for family in (
        Normal,
        StudentT,
        LogNormal,
        Gamma,
        InverseGaussian,
        Weibull,
        Exponential,
        Tweedie,
        Beta,
        Poisson,
        NegativeBinomial,
        Ordinal,
        Zero,
        One,
        Never,
        Uniform,
    )
}
