"""Predictive distributions: for each row a mixture of components of one or several families.

An expert family describes the distribution of y under one expert by components, such as
`NormalComponents` or `PoissonComponents`. The components of all experts and the probabilities of
the gate make the distribution of the mixture of experts, by `predictive_distribution`: a
`PredictiveDistribution`. Components of a density of your own derive from `Components`.
"""

from skmoe._moved import earlier_names
from skmoe.distributions._components import ComponentFunctions, Components
from skmoe.distributions._components import JointComponents as JointComponents
from skmoe.distributions._components import concatenate_rows as concatenate_rows
from skmoe.distributions._conformal import ConformalDistribution, conformalize
from skmoe.distributions._continuous import BetaComponents as BetaComponents
from skmoe.distributions._continuous import GammaComponents, NormalComponents
from skmoe.distributions._continuous import GompertzComponents as GompertzComponents
from skmoe.distributions._continuous import InverseGaussianComponents as InverseGaussianComponents
from skmoe.distributions._continuous import LogLogisticComponents as LogLogisticComponents
from skmoe.distributions._continuous import LogNormalComponents as LogNormalComponents
from skmoe.distributions._continuous import PositiveTweedieComponents as PositiveTweedieComponents
from skmoe.distributions._continuous import StudentTComponents as StudentTComponents
from skmoe.distributions._continuous import UniformComponents as UniformComponents
from skmoe.distributions._continuous import WeibullComponents as WeibullComponents
from skmoe.distributions._discrete import NegativeBinomialComponents as NegativeBinomialComponents
from skmoe.distributions._discrete import OrdinalComponents as OrdinalComponents
from skmoe.distributions._discrete import PointMassComponents as PointMassComponents
from skmoe.distributions._discrete import PoissonComponents
from skmoe.distributions._mixtures import PredictiveDistribution, predictive_distribution
from skmoe.distributions._mixtures import check_coverage as check_coverage

# Those of the other families serve these families; they can be imported, too.
__all__ = [
    "ComponentFunctions",
    "Components",
    "ConformalDistribution",
    "GammaComponents",
    "NormalComponents",
    "PoissonComponents",
    "PredictiveDistribution",
    "conformalize",
    "predictive_distribution",
]

_GENERAL = "skmoe.distributions.PredictiveDistribution", PredictiveDistribution
__getattr__ = earlier_names(
    "skmoe.distributions",
    dict.fromkeys(("GeneralMixtureDistribution", "MixtureDistribution"), _GENERAL),
)
