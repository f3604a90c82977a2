"""Families of experts: the conditional density of y given the features of a row."""

from skmoe.experts._linear import LinearExperts, LogisticExperts
from skmoe.experts._registry import EXPERTS

__all__ = ["EXPERTS", "LinearExperts", "LogisticExperts"]
