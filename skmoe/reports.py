"""Results of `inference` and `summary`: coefficients with standard errors, and a text."""

from skmoe._inference.results import Expert, Inference, Summary

__all__ = ["Expert", "Inference", "Summary"]
