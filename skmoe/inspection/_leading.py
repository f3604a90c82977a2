"""Effects of the features on the gate, and the feature on which it depends most."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from skmoe._inference.gate_effects import average_log_odds
from skmoe._numerics.typing import Array
from skmoe.inspection._checks import names_of_fit
from skmoe.inspection._grid import column_stds, feature_axis, make_grid
from skmoe.inspection._targets import one_target

# Quantiles of a feature between which a function changes.
EFFECT_QUANTILES = np.linspace(0.05, 0.95, 7)


def gate_log_odds(estimator: Any) -> Array | None:
    """Slopes (K, q) of the average log odds of each expert against the others; None without any."""
    slopes = getattr(estimator, "gate_coef_", None)
    n_experts = n_experts_of_start(estimator)
    if slopes is None or n_experts == 1 or not slopes.any():
        return None
    return average_log_odds(slopes, vars(estimator), n_experts)


def n_experts_of_start(estimator: Any) -> int:
    """Number of experts, or in an average of starts that of each of them."""
    is_average = getattr(estimator, "combine", "best") == "average"
    return int(estimator.n_experts_ // (len(estimator.start_traces_) if is_average else 1))


def derived_gate_columns(estimator: Any) -> list[str] | None:
    """Names of the columns of the gate if they are derived from the features; otherwise None."""
    names = [str(name) for name in estimator.gate_feature_names_]
    return None if names == names_of_fit(estimator) else names


def gate_effects(estimator: Any, X: Any) -> Array | None:
    """Range (p,) over the experts of their log odds for one standard deviation of each feature.

    None for a gate without slopes, or one whose columns are derived from the features.
    """
    log_odds = gate_log_odds(estimator)
    if log_odds is None or derived_gate_columns(estimator) is not None:
        return None
    effects: Array = np.ptp(log_odds, axis=0) * column_stds(X)
    return effects


def leading_feature(estimator: Any, X: Any, of_experts: Array | None = None) -> int:
    """The feature with the largest effect on the gate, or on the experts under a constant gate.

    Without slopes of the gate, an effect is the largest change of a probability, or of a
    prediction, with the other features at their medians. With the effects `of_experts` (p, K) it is
    a feature that some expert uses, if there is one.
    """
    effects = gate_effects(estimator, X)
    if effects is None:
        effects = changes_over_features(X, estimator.predict_gate).max(axis=1)
    if of_experts is not None and of_experts.any():
        effects = np.where(of_experts.any(axis=1), effects, 0.0)
    if not np.any(effects > 0.0):
        effects = changes_over_features(X, estimator.predict_experts).max(axis=1)
    return int(np.argmax(effects))


def expert_effects(estimator: Any, X: Any, index: int) -> Array:
    """Effects (p, K) of the features on the experts' predictions of an output or class.

    Absolute coefficients for one standard deviation, or changes of predictions with the other
    features at their medians.
    """
    n_experts = estimator.n_experts_
    if hasattr(estimator, "expert_coef_"):
        coef = estimator.expert_coef_.reshape(n_experts, -1, estimator.n_features_in_)
        of_target = coef[:, index if coef.shape[1] > 1 else 0]
        effects: Array = np.abs(of_target.T) * column_stds(X)[:, None]
        return effects
    return changes_over_features(
        X, lambda rows: one_target(estimator.predict_experts(rows), index, 2)
    )


def changes_over_features(X: Any, function: Callable[[Any], Array]) -> Array:
    """Changes (p, m) over each feature of the m values that a function of rows has."""
    changes: list[Array] = []
    for j in range(X.shape[1]):
        try:
            axis = feature_axis(X, j, "", len(EFFECT_QUANTILES))
        except ValueError:  # it does not vary
            changes.append(np.zeros(1))
            continue
        is_numeric = axis.categories is None
        grid = np.nanquantile(axis.observed, EFFECT_QUANTILES) if is_numeric else axis.grid
        values = function(make_grid(X, [j], grid[:, None]))
        changes.append(np.ptp(values.reshape(len(values), -1), axis=0))
    width = max(len(change) for change in changes)
    return np.array([np.broadcast_to(change, width) for change in changes])
