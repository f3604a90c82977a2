"""Results of `inference`, `summary` and `responsibilities`: coefficients, a text, a table."""

from skmoe._inference.results import ExpertSummary, Inference, Summary
from skmoe._inference.unit_responsibilities import UnitResponsibilities

__all__ = ["ExpertSummary", "Inference", "Summary", "UnitResponsibilities"]
