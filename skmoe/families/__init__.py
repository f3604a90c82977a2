"""Families: conditional distributions of y given the linear predictor of an expert."""

from skmoe.families._base import Family
from skmoe.families._counts import NegativeBinomial, Poisson
from skmoe.families._gamma import Gamma
from skmoe.families._inverse_gaussian import InverseGaussian
from skmoe.families._normal import LogNormal, Normal
from skmoe.families._ordinal import Ordinal
from skmoe.families._registry import FAMILIES
from skmoe.families._student_t import StudentT
from skmoe.families._without_predictor import Uniform, Zero

__all__ = [
    "FAMILIES",
    "Family",
    "Gamma",
    "InverseGaussian",
    "LogNormal",
    "NegativeBinomial",
    "Normal",
    "Ordinal",
    "Poisson",
    "StudentT",
    "Uniform",
    "Zero",
]
