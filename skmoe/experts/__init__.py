"""Families of experts: the conditional density of y given the features of a row."""

from skmoe.experts._generalized_linear import GeneralizedLinearExperts
from skmoe.experts._joint_normal import JointNormalExperts, LinearExperts
from skmoe.experts._logistic import LogisticExperts
from skmoe.experts._registry import EXPERTS

__all__ = [
    "EXPERTS",
    "GeneralizedLinearExperts",
    "JointNormalExperts",
    "LinearExperts",
    "LogisticExperts",
]
