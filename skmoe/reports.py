"""Results of the estimators, and of the functions for the number of experts."""

from skmoe._inference.average_effects import AverageEffects
from skmoe._inference.explanation import Explanation
from skmoe._inference.maxima import Maxima
from skmoe._inference.n_experts_table import NestedModelsTest, NExpertsTable
from skmoe._inference.results import ExpertSummary, Inference, Summary
from skmoe._inference.unit_responsibilities import UnitResponsibilities
from skmoe._inference.wald import NExpertsTest, WaldTest

__all__ = [
    "AverageEffects",
    "ExpertSummary",
    "Explanation",
    "Inference",
    "Maxima",
    "NExpertsTable",
    "NExpertsTest",
    "NestedModelsTest",
    "Summary",
    "UnitResponsibilities",
    "WaldTest",
]
