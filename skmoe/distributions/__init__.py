"""Predictive distributions: for each row a mixture of components of one or several families.

An expert family describes the distribution of y under one expert by components, such as
`NormalComponents` or `PoissonComponents`. The components of all experts and the probabilities of
the gate make the distribution of the mixture of experts, by `predictive_distribution`: a
`MixtureDistribution` of normals, a `CountMixtureDistribution`, or of other families a
`GeneralMixtureDistribution`.
"""

from skmoe.distributions._beta import BetaComponents
from skmoe.distributions._checks import check_coverage
from skmoe.distributions._component_functions import concatenate_rows
from skmoe.distributions._count_families import NegativeBinomialComponents, PoissonComponents
from skmoe.distributions._gamma import GammaComponents
from skmoe.distributions._general import (
    CountMixtureDistribution,
    GeneralMixtureDistribution,
    MixtureDistribution,
    PredictiveDistribution,
    predictive_distribution,
)
from skmoe.distributions._inverse_gaussian import InverseGaussianComponents
from skmoe.distributions._joint import JointComponents
from skmoe.distributions._lognormal import LogNormalComponents
from skmoe.distributions._normal import NormalComponents
from skmoe.distributions._ordinal import OrdinalComponents
from skmoe.distributions._point_mass import PointMassComponents
from skmoe.distributions._student_t import StudentTComponents
from skmoe.distributions._tweedie import PositiveTweedieComponents
from skmoe.distributions._uniform import UniformComponents
from skmoe.distributions._weibull import WeibullComponents

__all__ = [
    "BetaComponents",
    "CountMixtureDistribution",
    "GammaComponents",
    "GeneralMixtureDistribution",
    "InverseGaussianComponents",
    "JointComponents",
    "LogNormalComponents",
    "MixtureDistribution",
    "NegativeBinomialComponents",
    "NormalComponents",
    "OrdinalComponents",
    "PointMassComponents",
    "PoissonComponents",
    "PositiveTweedieComponents",
    "PredictiveDistribution",
    "StudentTComponents",
    "UniformComponents",
    "WeibullComponents",
    "check_coverage",
    "concatenate_rows",
    "predictive_distribution",
]
