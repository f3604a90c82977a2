"""Predictive distributions: for each row a mixture, of normals or of distributions of counts.

An expert family describes the distribution of y under one expert by components, `NormalComponents`
or `PoissonComponents`. The components of all experts and the probabilities of the gate make the
distribution of the mixture of experts, a `MixtureDistribution` or a `CountMixtureDistribution`.
"""

from skmoe.distributions._base import check_coverage
from skmoe.distributions._counts import CountMixtureDistribution, PoissonComponents
from skmoe.distributions._normal import MixtureDistribution, NormalComponents

__all__ = [
    "CountMixtureDistribution",
    "MixtureDistribution",
    "NormalComponents",
    "PoissonComponents",
    "check_coverage",
]
