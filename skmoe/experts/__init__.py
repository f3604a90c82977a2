"""Families of experts: the conditional density of y given the features of a row."""

import warnings
from functools import partial
from typing import Any

from skmoe.experts._linear import LinearExperts, LogisticExperts
from skmoe.experts._registry import EXPERTS

__all__ = ["EXPERTS", "LinearExperts", "LogisticExperts"]

# Until 0.5 earlier names lead to what has their place.
EARLIER = {
    "GeneralizedLinearExperts": ("LinearExperts", LinearExperts),
    "JointNormalExperts": (
        'LinearExperts(covariance_type="full")',
        partial(LinearExperts, covariance_type="full"),
    ),
}


def __getattr__(name: str) -> Any:
    if name not in EARLIER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    new, value = EARLIER[name]
    warnings.warn(
        f"skmoe.experts.{name} is now {new}; the old name will go in 0.5.",
        FutureWarning,
        stacklevel=2,
    )
    return value
