"""Predictive distributions: for each row a mixture of components of one or several families.

An expert family describes the distribution of y under one expert by components, such as
`NormalComponents` or `PoissonComponents`. The components of all experts and the probabilities of
the gate make the distribution of the mixture of experts, by `predictive_distribution`: a
`MixtureDistribution` of normals, a `CountMixtureDistribution`, or of other families a
`GeneralMixtureDistribution`.
"""

from skmoe.distributions._bounded import BetaComponents, UniformComponents
from skmoe.distributions._checks import check_coverage
from skmoe.distributions._components import Components, JointComponents, concatenate_rows
from skmoe.distributions._counts import NegativeBinomialComponents, PoissonComponents
from skmoe.distributions._functions import ComponentFunctions
from skmoe.distributions._mixtures import (
    CountMixtureDistribution,
    GeneralMixtureDistribution,
    MixtureDistribution,
    PredictiveDistribution,
    predictive_distribution,
)
from skmoe.distributions._normal import LogNormalComponents, NormalComponents
from skmoe.distributions._positive import (
    GammaComponents,
    InverseGaussianComponents,
    WeibullComponents,
)
from skmoe.distributions._student_t import StudentTComponents
from skmoe.distributions._tweedie import PositiveTweedieComponents
from skmoe.distributions._values import OrdinalComponents, PointMassComponents

__all__ = [
    "BetaComponents",
    "ComponentFunctions",
    "Components",
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
