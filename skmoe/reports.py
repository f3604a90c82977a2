"""Results of `inference` and `summary`: coefficients with standard errors, and a text."""

from skmoe._inference.results import ExpertSummary, Inference, Summary

__all__ = ["ExpertSummary", "Inference", "Summary"]
