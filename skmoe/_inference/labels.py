"""What a fitted mixture says of itself in words, from its public attributes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from skmoe._data.sklearn_adapter import has_density


def feature_labels(estimator: Any, feature_names: Sequence[str] | None = None) -> list[str]:
    """Names of the features: those given, those seen in fit, or x0, x1, ..."""
    if feature_names is None:
        feature_names = getattr(estimator, "feature_names_in_", None)
    if feature_names is None:
        feature_names = [f"x{j}" for j in range(estimator.n_features_in_)]
    return [str(name) for name in feature_names]


def gate_name(estimator: Any) -> str:
    """What the gate is, in a word."""
    gate = estimator.gate
    return gate if isinstance(gate, str) else type(gate).__name__


def expert_names(estimator: Any) -> list[str]:
    """What each expert is: the name of a family, or the class of an estimator."""
    if hasattr(estimator, "experts_"):
        return [type(last_step(models[0])).__name__ for models in estimator.experts_]
    expert = estimator.expert
    kind = expert if isinstance(expert, str) else type(expert).__name__
    return [kind] * estimator.n_experts_


def last_step(model: Any) -> Any:
    """The estimator at the end of a pipeline, or the model itself."""
    return model.steps[-1][1] if hasattr(model, "steps") else model


def noise_std(estimator: Any) -> list[list[float]] | None:
    """Standard deviations of y about each expert, in its units; None for classes.

    Experts with a density of their own have none.
    """
    if not hasattr(estimator, "noise_variance_"):
        return None
    deviations = np.sqrt(estimator.noise_variance_).reshape(estimator.n_experts_, -1).tolist()
    for k, models in enumerate(getattr(estimator, "experts_", ())):
        if has_density(models[0]):
            deviations[k] = []
    return deviations


def format_percent(share: float) -> str:
    """A share as a percentage that never rounds something to nothing or to everything."""
    if 0.0 < share < 0.01:
        return "< 1 %"
    if 0.99 < share < 1.0:
        return "> 99 %"
    return f"{100 * share:.0f} %"
