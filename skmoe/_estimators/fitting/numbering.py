"""The order of the experts at the end of a fit, and that of the fit that a warm start continues.

Experts have numbers by their shares of the rows, so that these do not depend on the start. EM works
with the numbers of its start. A warm start returns to these numbers, so that it continues the
arithmetic of the previous fit bit for bit, and then to the order that the user has seen.
"""

from __future__ import annotations

import numpy as np

from skmoe._data.distinct_rows import lexicographic_order
from skmoe._estimators.parameters.parameters import FitParameters
from skmoe._estimators.rows.warm_start import PreviousFit
from skmoe._mixture.em import EMResult
from skmoe._mixture.model import MixtureModel, Params, Usage
from skmoe._numerics.typing import Array
from skmoe.protocols import SupportsReordering, has_capability

# Shares that differ by less than this fraction are equal: they are if regimes are mirror images of
# each other. Fits from different starts stop at shares that differ by a hundredth of it.
SHARE_RTOL = 1e-3


def previous_to_continue(previous: PreviousFit, of_user: bool) -> PreviousFit:
    """The fit that a warm start continues, with its experts as EM has numbered them.

    If known experts or slopes of each expert are given, the numbers are those that users have seen.
    """
    if previous.training_state.numbering is None:
        return previous
    if of_user:
        return previous._replace(training_state=previous.training_state._replace(numbering=None))
    fitted, order = previous.fitted, np.argsort(previous.training_state.numbering)
    model, params = _reordered(fitted.model, fitted.params, order)
    return previous._replace(fitted=fitted._replace(model=model, params=params))


def in_final_order(
    params: FitParameters,
    previous: PreviousFit | None,
    model: MixtureModel,
    run: EMResult,
    usage: Usage,
    numbers_are_known: bool,
) -> tuple[MixtureModel, EMResult, Usage, tuple[int, ...] | None]:
    """The fit with its experts in descending order of their shares, or in the order that is kept.

    The last entry has the number of each expert within EM; None if it is the same. Kept is the
    order of the previous fit, once it has ended, and that of the user: of a list of experts, of
    known experts, or of initial responsibilities.
    """
    is_list = params.estimators is not None and len(params.estimators) > 1
    of_user = is_list or numbers_are_known or not isinstance(params.init, str)
    parts, numbering = (model.gate, model.experts), None
    if previous is not None and previous.has_ended:
        numbering = previous.training_state.numbering
    elif not of_user and all(has_capability(part, SupportsReordering) for part in parts):
        numbering = tuple(order_by_share(model, run.params, usage.mean_gate_prob).tolist())
    if numbering is None:
        return model, run, usage, None
    order = np.array(numbering)
    model, in_order = _reordered(model, run.params, order)
    run = run._replace(params=in_order)
    return model, run, usage.take(order), numbering


def order_by_share(model: MixtureModel, params: Params, share: Array) -> Array:
    """Indices (K,) of the experts, the largest share of the rows first.

    Experts of equal share are ordered by their parameters. In an average of several fits the
    experts of each are ordered among themselves.
    """
    n_experts, n_starts = model.n_experts, model.gate.n_starts(params.gate)
    # Numbers among the parameters of experts and gate, which describe each expert.
    experts = model.experts.drop_training_state(params.experts)
    gates = [list(of_gate) for _, of_gate in model.gate.single_gates(params.gate)]
    parts = [*experts, *(np.concatenate(arrays) for arrays in zip(*gates, strict=True))]
    numbers = [part for part in parts if isinstance(part, np.ndarray)]
    values = np.hstack([np.nan_to_num(array.reshape(n_experts, -1)) for array in numbers])
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
        by_spread = np.argsort(-np.ptp(equal, axis=0), kind="stable")
        order[first:last] = order[first:last][lexicographic_order(-equal[:, by_spread])]
        first = last
    return order


def _reordered(model: MixtureModel, params: Params, order: Array) -> tuple[MixtureModel, Params]:
    """Model and parameters with the experts in another order."""
    return model._replace(experts=model.experts.in_order(order)), Params(
        model.gate.reorder(params.gate, order),
        model.experts.reorder(params.experts, order),  # type: ignore[attr-defined]
    )
