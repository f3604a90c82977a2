"""Families of experts: how each expert generates y from the features of a row."""

from __future__ import annotations

from skmoe.experts._generalized_linear import GeneralizedLinearExperts
from skmoe.experts._joint_normal import JointNormalExperts, LinearExperts
from skmoe.experts._logistic import LogisticExperts
from skmoe.protocols import Experts

# Families by name and task. A new family is a module with its class, and a row here.
EXPERTS: dict[str, dict[str, type[Experts]]] = {
    "linear": {"regressor": LinearExperts, "classifier": LogisticExperts},
}

# Forms of the mean, by name, that can have any family of conditional distributions of y.
ANY_FAMILY: dict[str, type[Experts]] = {"linear": GeneralizedLinearExperts}

# The same with one multivariate distribution of several outputs.
JOINT_OUTPUTS: dict[str, type[Experts]] = {"linear": JointNormalExperts}
