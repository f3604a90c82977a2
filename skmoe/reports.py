"""Results of `inference`, `summary`, `responsibilities` and the test of the number of experts."""

from skmoe._inference.n_experts_result import NExpertsTest
from skmoe._inference.results import ExpertSummary, Inference, Summary
from skmoe._inference.unit_responsibilities import UnitResponsibilities

__all__ = ["ExpertSummary", "Inference", "NExpertsTest", "Summary", "UnitResponsibilities"]
