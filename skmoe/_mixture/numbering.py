"""Numbers of the experts: by their shares of the rows, so that they do not depend on the start."""

from __future__ import annotations

import numpy as np

from skmoe._mixture.model import MixtureModel, Params, Usage
from skmoe._numerics.typing import Array
from skmoe.protocols import SupportsReordering, has_capability

# Shares that differ by less than this fraction are equal: they are if regimes are mirror images of
# each other. Fits from different starts stop at shares that differ by a hundredth of it.
SHARE_RTOL = 1e-3


def can_be_reordered(model: MixtureModel) -> bool:
    """Whether gate and experts can number their experts in another way."""
    return all(has_capability(part, SupportsReordering) for part in (model.gate, model.experts))


def order_by_share(model: MixtureModel, params: Params, share: Array) -> Array:
    """Indices (K,) of the experts, the largest share of the rows first.

    Experts of equal share are ordered by their parameters. In an average of several fits the
    experts of each are ordered among themselves.
    """
    n_starts = model.gate.n_starts(params.gate)
    values = _parameter_values(model, params)
    blocks = np.arange(len(share)).reshape(n_starts, -1)
    return np.concatenate([block[_order(share[block], values[block])] for block in blocks])


def _order(share: Array, values: Array) -> Array:
    """Indices (K,) in descending order of the shares; of equal shares by values (K, V)."""
    order, first = np.argsort(-share, kind="stable"), 0
    while first < len(order):
        smallest = (1.0 - SHARE_RTOL) * share[order[first]]
        last = first + int(np.count_nonzero(share[order[first:]] >= smallest))
        equal = values[order[first:last]]
        # The values in which the experts differ most decide, which are not those of round-off.
        by_spread = np.argsort(np.ptp(equal, axis=0), kind="stable")
        order[first:last] = order[first:last][np.lexsort(-equal[:, by_spread].T)]
        first = last
    return order


def _parameter_values(model: MixtureModel, params: Params) -> Array:
    """Numbers (K, V) among the parameters of experts and gate, which describe each expert."""
    n_experts = model.n_experts
    experts = model.experts.drop_training_state(params.experts)
    gates = [list(of_gate) for _, of_gate in model.gate.single_gates(params.gate)]
    parts = [*experts, *(np.concatenate(arrays) for arrays in zip(*gates, strict=True))]
    numbers = [part for part in parts if isinstance(part, np.ndarray)]
    return np.hstack([np.nan_to_num(array.reshape(n_experts, -1)) for array in numbers])


def reorder_params(model: MixtureModel, params: Params, order: Array) -> Params:
    """Parameters with the experts in another order."""
    return Params(
        model.gate.reorder(params.gate, order),
        model.experts.reorder(params.experts, order),  # type: ignore[attr-defined]
    )


def reorder_usage(usage: Usage, order: Array) -> Usage:
    """Usage of the experts in another order."""
    return Usage(*(values[order] for values in usage))
