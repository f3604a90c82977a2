"""What inference, distributions and criteria require of a mixture; checked before any work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from skmoe._data.sklearn_adapter import count_parameters, typical_model
from skmoe._inference.criteria import n_parameters
from skmoe._mixture.model import FittedMixture
from skmoe.protocols import (
    SupportsDistribution,
    SupportsGateInference,
    SupportsInference,
    has_capability,
    missing_methods,
)

# The covariance matrix of more coefficients than this takes too much memory and time.
MAX_TERMS = 5000


# What a missing capability is, and a remedy.
REQUIREMENTS: dict[type, tuple[str, str]] = {
    SupportsDistribution: ("a predictive distribution", "Use score_samples for log densities."),
    SupportsInference: (
        "experts with second derivatives by coefficients",
        'Linear and logistic experts have them (expert="linear").',
    ),
    SupportsGateInference: (
        "a gate with second derivatives by coefficients, of a single start",
        'The gates "softmax" and "constant" of a single start (combine="best") have them.',
    ),
}


def missing_capability(part: Any, capability: type, what: str) -> str:
    """Message for a family or gate that lacks a capability that `what` needs; "" if it has it."""
    if has_capability(part, capability):
        return ""
    need, remedy = REQUIREMENTS.get(capability, (capability.__name__, ""))
    name, methods = type(part).__name__, missing_methods(part, capability)
    limitation = part.limitation(capability)
    reason = f"{name} has no method{'s' * (len(methods) > 1)} {', '.join(methods)}"
    if limitation:
        reason = f"{name} has none: {limitation}"
    message = f"{what} needs {need}; {reason} (see skmoe.protocols.{capability.__name__}). {remedy}"
    return message.rstrip()


def require(part: Any, capability: type, what: str) -> None:
    """Raise ValueError if a family or gate lacks a capability that the method `what` needs."""
    message = missing_capability(part, capability, what)
    if message:
        raise ValueError(message)


def missing_for_inference(mixture: FittedMixture) -> str:
    """Message why a mixture has no standard errors; "" if it has."""
    model, extra = mixture.model, mixture.preprocessor.extra_features
    for part, capability in (
        (model.experts, SupportsInference),
        (model.gate, SupportsGateInference),
    ):
        message = missing_capability(part, capability, "inference")
        if message:
            return message
    if model.top_k is not None:
        return (
            f"inference needs every expert to see every row; got top_k={model.top_k}. Fit with "
            "top_k=None."
        )
    n_terms = n_parameters(mixture)
    if n_terms > MAX_TERMS:
        return (
            "inference needs the covariance matrix of all coefficients, of which there may be at "
            f"most {MAX_TERMS}; the fit has {n_terms:g}. Use fewer features (expert_features, "
            "gate_features) or experts."
        )
    if extra is not None and extra.base is not None:
        return (
            f"inference needs a mixture without a base; got base={extra.base!r}, whose "
            "out-of-fold predictions, to which the mixture was fitted, are not kept. Fit with "
            "base=None."
        )
    return ""


def check_n_parameters_known(
    mixture: FittedMixture, criterion: str, models: Sequence[Sequence[Any]]
) -> None:
    """Raise ValueError if the parameters, such as those of fitted `models`, cannot be counted."""
    if not np.isnan(n_parameters(mixture)):
        return
    uncounted = f"{type(mixture.model.experts).__name__} has"
    for k, model in enumerate(map(typical_model, models)):
        if np.isnan(count_parameters(model)):
            uncounted = f"expert {k} ({type(model).__name__}) has"
            break
    raise ValueError(
        f"{criterion} needs experts whose parameters can be counted; {uncounted} no such number. "
        "Compare models by the log density of held-out rows (score_samples) instead."
    )
