"""Families of experts: how each expert generates y from the features of a row."""

from __future__ import annotations

from skmoe.experts._linear import LinearExperts
from skmoe.experts._logistic import LogisticExperts
from skmoe.experts._poisson import PoissonExperts
from skmoe.protocols import Experts

# Families by name and task. A new family is a module with its class, and a row here.
EXPERTS: dict[str, dict[str, type[Experts]]] = {
    "linear": {"regressor": LinearExperts, "classifier": LogisticExperts},
    "poisson": {"regressor": PoissonExperts},
}
