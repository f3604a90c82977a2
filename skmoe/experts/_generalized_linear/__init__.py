"""Generalised linear experts: every family of `skmoe.families` with a linear predictor."""

from skmoe.experts._generalized_linear._experts import GeneralizedLinearExperts
from skmoe.experts._generalized_linear._params import GeneralizedLinearParams

__all__ = ["GeneralizedLinearExperts", "GeneralizedLinearParams"]
