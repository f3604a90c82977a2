"""Families of experts: how each expert generates y from the features of a row."""

from __future__ import annotations

from skmoe.experts._linear import LinearExperts
from skmoe.experts._logistic import LogisticExperts

EXPERTS = {"linear": {"regressor": LinearExperts, "classifier": LogisticExperts}}
