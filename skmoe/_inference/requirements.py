"""The door for experts that are estimators: what they must offer, and what they may see."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np

from skmoe._data.sklearn_adapter import count_parameters, has_density, has_predict_dist
from skmoe._mixture.model import MixtureModel
from skmoe.protocols import DifferentiableExperts, DifferentiableGate, GaussianExperts


def check_n_parameters_known(criterion: str, models: Sequence[Sequence[Any]]) -> None:
    """No information criterion without a number of parameters."""
    for k, (model, *_) in enumerate(models):
        if np.isnan(count_parameters(model)):
            raise ValueError(
                f"{criterion} needs experts whose parameters can be counted; expert {k} "
                f"({type(model).__name__}) has no such number. Compare models by the log density "
                "of held-out rows (score_samples) instead."
            )


def check_gaussian(experts: Any) -> None:
    """Predictive distributions need densities that are made of normals."""
    if not isinstance(experts, GaussianExperts):
        raise ValueError(
            f"This needs experts whose density is made of normals; {type(experts).__name__} has no "
            "method `normals` (see skmoe.protocols.NormalExperts). Log densities of observed rows "
            "are at hand: score_samples."
        )
    for k, expert in enumerate(getattr(experts, "estimators", ())):
        if has_density(expert) and not has_predict_dist(expert):
            raise ValueError(
                f"This needs experts whose density is made of normals; expert {k} "
                f"({type(expert).__name__}) has a density of its own and no method predict_dist. "
                "Log densities of observed rows are at hand: score_samples."
            )


def is_differentiable(parts: MixtureModel) -> bool:
    """Whether gate and experts have coefficients with standard errors."""
    return isinstance(parts.experts, DifferentiableExperts) and isinstance(
        parts.gate, DifferentiableGate
    )


def check_no_base(base: Any) -> None:
    """A base is not known out of the folds of its fit, where the mixture was fitted."""
    if base is not None:
        raise ValueError(
            f"inference needs a mixture without a base; got base={base!r}, whose predictions out "
            "of fold, to which the mixture was fitted, are not kept. Fit with base=None."
        )


def check_differentiable(parts: MixtureModel, most_terms: int, n_terms: float) -> None:
    """Standard errors need smooth parts that see all rows."""
    for kind, part, protocol in (
        ("experts", parts.experts, DifferentiableExperts),
        ("a gate", parts.gate, DifferentiableGate),
    ):
        if not isinstance(part, protocol):
            raise ValueError(
                f"inference needs {kind} with smooth coefficients; {type(part).__name__} has none. "
                'Linear and logistic experts have (expert="linear"); one of your own must follow '
                f"skmoe.protocols.{protocol.__name__}."
            )
    if parts.top_k is not None:
        raise ValueError(
            f"inference needs every expert to see every row; got top_k={parts.top_k}. Fit with "
            "top_k=None."
        )
    if n_terms > most_terms:
        raise ValueError(
            f"inference needs the covariance matrix of all coefficients, of which there may be at "
            f"most {most_terms}; the fit has {n_terms:g}. Use fewer features (expert_features, "
            "gate_features) or experts."
        )


def check_reference(value: Any, n_experts: int) -> int | None:
    """An expert, or None."""
    if value is None:
        return None
    whole = isinstance(value, Integral) and not isinstance(value, bool | np.bool_)
    if not whole or not 0 <= value < n_experts:
        raise ValueError(
            f"gate_reference must be None or an expert from 0 to {n_experts - 1}; got {value!r}."
        )
    return int(value)
