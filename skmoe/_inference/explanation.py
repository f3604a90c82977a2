"""How the prediction of a row depends on its features, through the experts and the gate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from skmoe._mixture.fitted import FittedMixture
from skmoe._numerics.typing import Array


def has_nonlinear_mean(mixture: FittedMixture) -> bool:
    """Whether the means of the experts are no linear functions, but functions of such."""
    experts = mixture.model.experts
    return experts.explains_mean and experts.link != "identity"


def mean_derivatives(mixture: FittedMixture, X: Any, offset: Array | None) -> Array:
    """Derivative of the mean of each expert by its linear predictor, (K, m, n), in units of y."""
    preprocessor, experts = mixture.preprocessor, mixture.model.experts
    parts = []
    for rows, _ in preprocessor.transform_blocks(X, offset=offset):
        derivative = experts.mean_derivative(mixture.params.experts, rows.expert_design)
        if derivative is None:
            derivative = np.ones_like(experts.mean(mixture.params.experts, rows.expert_design))
        parts.append(derivative)
    scaling = preprocessor.target_scaling
    scale = np.ones(1) if scaling is None else scaling.scale
    return scale[:, None] * np.concatenate(parts, axis=-1)


def explain_predictions(
    mixture: FittedMixture,
    attributes: Mapping[str, Any],
    gate: Array,
    means: Array,
    derivative: Array | None,
) -> dict[str, Array]:
    """Derivatives of predictions by the features, by name, from the fitted attributes.

    `gate` is (n, K), `means` (n, K) or (n, K, m), and `derivative` that of the means by the linear
    predictors, of the same shape; None stands for one. The effect of the gate is there for means,
    if the columns of `gate_coef_` are the features.
    """
    coef, gate_coef = attributes["coef_"], attributes.get("gate_coef_")
    explained = {"slope": _blended_slopes(gate, coef, derivative)}
    if gate_coef is None or not mixture.model.experts.explains_mean:
        return explained
    n_features, extra = attributes["n_features_in_"], mixture.preprocessor.extra_features
    if gate_coef.shape[1] == n_features and extra is None:
        n_starts = mixture.model.gate.n_starts(mixture.params.gate)
        explained["gate_effect"] = _gate_effects(gate, means, gate_coef, n_starts)
    return explained


def _blended_slopes(gate: Array, coef: Array, derivative: Array | None) -> Array:
    """Derivatives of the means, averaged with the gate, (n, p) or (n, m, p)."""
    if derivative is None:
        return np.einsum("nk,k...p->n...p", gate, coef)
    return np.einsum("nk,nk...,k...p->n...p", gate, derivative, coef)


def _gate_effects(gate: Array, means: Array, gate_coef: Array, n_starts: int) -> Array:
    """Derivatives of the prediction through the gate, (n, p) or (n, m, p).

    In an average of starts, whose probabilities are fixed, the experts of each start compete with
    each other only.
    """
    mean_coef = gate @ gate_coef
    if n_starts > 1:
        within = n_starts * gate.reshape(len(gate), n_starts, -1)
        coef = gate_coef.reshape(n_starts, within.shape[2], -1)
        mean_coef = np.einsum("nsk,skp->nsp", within, coef)
        mean_coef = np.repeat(mean_coef, within.shape[2], axis=1)  # (n, S * K, p)
    else:
        mean_coef = mean_coef[:, None]
    relative_gate_coef = gate_coef - mean_coef  # (n, K, p)
    return np.einsum("nk,nk...,nkp->n...p", gate, means, relative_gate_coef)
