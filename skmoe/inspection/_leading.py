"""Effects of the features on the gate, and the feature on which it depends most."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from skmoe._inference.labels import feature_labels
from skmoe._numerics.typing import Array
from skmoe.inspection._feature_axes import feature_axis
from skmoe.inspection._grid import column_stds, make_grid

# Quantiles of a feature between which a function changes.
EFFECT_QUANTILES = np.linspace(0.05, 0.95, 7)


def gate_log_odds(estimator: Any) -> Array | None:
    """Slopes (K, q) of the log odds of each expert against the others; None if there are none.

    In an average of starts, against the others of its start.
    """
    slopes = getattr(estimator, "gate_coef_", None)
    n_starts = len(estimator.start_traces_) if estimator.combine == "average" else 1
    n_experts = estimator.n_experts_ // n_starts
    if slopes is None or n_experts == 1 or not slopes.any():
        return None
    return slopes * n_experts / (n_experts - 1.0)


def derived_gate_columns(estimator: Any) -> list[str] | None:
    """Names of the columns of the gate if they are derived from the features; otherwise None."""
    names = [str(name) for name in estimator.gate_feature_names_]
    seen_names = getattr(estimator, "feature_names_in_", None)
    return None if names == feature_labels(seen_names, estimator.n_features_in_) else names


def gate_effects(estimator: Any, X: Any) -> Array | None:
    """Range (p,) over the experts of their log odds for one standard deviation of each feature.

    None for a gate without slopes, or one whose columns are derived from the features.
    """
    log_odds = gate_log_odds(estimator)
    if log_odds is None or derived_gate_columns(estimator) is not None:
        return None
    effects: Array = np.ptp(log_odds, axis=0) * column_stds(X)
    return effects


def leading_feature(estimator: Any, X: Any) -> int:
    """The feature with the largest effect on the gate, or on the experts under a constant gate.

    Without slopes of the gate, an effect is the largest change of a probability, or of a
    prediction, with the other features at their medians.
    """
    effects = gate_effects(estimator, X)
    if effects is None:
        effects = changes_over_features(X, estimator.predict_gate)
    if not np.any(effects > 0.0):
        effects = changes_over_features(X, estimator.predict_experts)
    return int(np.argmax(effects))


def changes_over_features(X: Any, function: Callable[[Any], Array]) -> Array:
    """Largest change (p,) of the values of a function of rows over each feature."""
    changes = np.zeros(X.shape[1])
    for j in range(X.shape[1]):
        try:
            axis = feature_axis(X, j, "", len(EFFECT_QUANTILES))
        except ValueError:  # it does not vary
            continue
        grid = axis.grid
        if axis.categories is None:
            grid = np.nanquantile(axis.observed, EFFECT_QUANTILES)
        changes[j] = np.ptp(function(make_grid(X, [j], grid[:, None])), axis=0).max()
    return changes
