"""Families of experts: the conditional density of y given the features of a row."""

from functools import partial

from skmoe._moved import earlier_names
from skmoe.experts._linear import EXPERTS, LinearExperts, LogisticExperts

__all__ = ["EXPERTS", "LinearExperts", "LogisticExperts"]

_ANY = "LinearExperts", LinearExperts
_JOINT = 'LinearExperts(covariance_type="full")', partial(LinearExperts, covariance_type="full")
__getattr__ = earlier_names(
    __name__, {"GeneralizedLinearExperts": _ANY, "JointNormalExperts": _JOINT}
)
