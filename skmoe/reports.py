"""Results of methods of the estimators, and of the test of the number of experts."""

from skmoe._inference.explanation import Explanation
from skmoe._inference.n_experts_result import NExpertsTest
from skmoe._inference.results import ExpertSummary, Inference, Summary
from skmoe._inference.unit_responsibilities import UnitResponsibilities

__all__ = [
    "ExpertSummary",
    "Explanation",
    "Inference",
    "NExpertsTest",
    "Summary",
    "UnitResponsibilities",
]
