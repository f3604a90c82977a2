"""The order of the experts at the end of a fit.

Experts have numbers by their shares of the rows, so that these do not depend on the start. A warm
start keeps the numbers that the user has seen.
"""

from __future__ import annotations

import numpy as np

from skmoe._estimators.parameters.parameters import FitParameters
from skmoe._mixture.em import EMResult
from skmoe._mixture.model import MixtureModel, Params, Usage
from skmoe._numerics.typing import Array
from skmoe.protocols import SupportsReordering, has_capability

# Shares that differ by less than this fraction are equal: they are if regimes are mirror images of
# each other. Fits from different starts stop at shares that differ by a hundredth of it.
SHARE_RTOL = 1e-3


def in_final_order(
    params: FitParameters,
    model: MixtureModel,
    run: EMResult,
    usage: Usage,
    of_user: bool,
) -> tuple[MixtureModel, EMResult, Usage]:
    """The fit with its experts in descending order of their shares, or in the order that is kept.

    Kept is the order of the user: of a previous fit, of a list of experts, of known experts, or of
    initial responsibilities.
    """
    is_list = params.estimators is not None and len(params.estimators) > 1
    is_kept = of_user or is_list or not isinstance(params.init, str)
    parts = model.gate, model.experts
    if is_kept or not all(has_capability(part, SupportsReordering) for part in parts):
        return model, run, usage
    order = order_by_share(model, run.params, usage.mean_gate_prob)
    in_order = Params(
        model.gate.reorder(run.params.gate, order),
        model.experts.reorder(run.params.experts, order),  # type: ignore[attr-defined]
    )
    model = model._replace(experts=model.experts.in_order(order))
    return model, run._replace(params=in_order), usage.take(order)


def order_by_share(model: MixtureModel, params: Params, share: Array) -> Array:
    """Indices (K,) of the experts, the largest share of the rows first.

    Experts of equal share are ordered by their parameters.
    """
    # Numbers among the parameters of experts and gate, which describe each expert.
    parts = *model.experts.drop_training_state(params.experts), *params.gate
    numbers = [part for part in parts if isinstance(part, np.ndarray)]
    values = [np.nan_to_num(array.reshape(model.n_experts, -1)) for array in numbers]
    return _order(share, np.hstack(values))


def _order(share: Array, values: Array) -> Array:
    """Indices (K,) in descending order of the shares; of equal shares by values (K, V)."""
    order, first = np.argsort(-share, kind="stable"), 0
    while first < len(order):
        smallest = (1.0 - SHARE_RTOL) * share[order[first]]
        last = first + int(np.count_nonzero(share[order[first:]] >= smallest))
        equal = values[order[first:last]]
        # The values in which the experts differ most decide, which are not those of round-off.
        by_spread = np.argsort(-np.ptp(equal, axis=0), kind="stable")
        order[first:last] = order[first:last][np.lexsort(-equal.T[by_spread[::-1]])]
        first = last
    return order
