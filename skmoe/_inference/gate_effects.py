"""Effects of the features on the gate: average log odds of an expert against the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from skmoe._numerics.typing import TINY, Array


def average_log_odds(slopes: Array, attributes: Mapping[str, Any], n_per_start: int) -> Array:
    """Slopes (K, q) of the log odds of each expert against the others, averaged over the rows.

    By the derivative of the softmax, a feature changes the mean probability of expert k by the sum
    over the others of E[g_k g_l] (slope of k - slope of l). The others therefore count in
    proportion to E[g_k g_l], and the average has the sign of the change. It is the log odds of two
    experts. In an average of starts the others are those of the same start.
    """
    weights = attributes["weights_"]
    # A fit of an earlier release has no products: the experts count by their shares.
    overlap = attributes.get("gate_overlap_", np.outer(weights, weights))
    start = np.arange(len(weights)) // n_per_start
    is_other = (start[:, None] == start) & ~np.eye(len(weights), dtype=bool)
    compete = np.where(is_other, np.maximum(overlap, TINY), 0.0)
    compete /= compete.sum(axis=1, keepdims=True)
    found: Array = slopes - compete @ slopes
    return found
