"""The order of the experts at the end of a fit.

Experts have numbers by their shares of the rows, so that these do not depend on the start. A warm
start keeps the numbers that the user has seen.
"""

from __future__ import annotations

import numpy as np

from skmoe._data.distinct_rows import lexicographic_order
from skmoe._estimators.parameters.parameters import FitParameters
from skmoe._mixture.em import Run
from skmoe._mixture.fitted import Usage
from skmoe._mixture.mixture import Mixture
from skmoe._numerics.typing import Array

# Shares that differ by less than this fraction are equal: they are if regimes are mirror images of
# each other. Fits from different starts stop at shares that differ by a hundredth of it.
SHARE_RTOL = 1e-3


def in_final_order(
    params: FitParameters, run: Run, usage: Usage, of_user: bool
) -> tuple[Run, Usage]:
    """The fit with its experts in descending order of their shares, or in the order that is kept.

    Kept is the order of the user: of a previous fit, of a list of experts, of known experts, or of
    initial responsibilities.
    """
    is_list = params.estimators is not None and len(params.estimators) > 1
    is_kept = of_user or is_list or not isinstance(params.init, str)
    if is_kept or not run.mixture.can_reorder:
        return run, usage
    mixture, order = run.mixture, order_by_share(run.mixture, run.theta, usage.mean_gate_prob)
    theta = mixture.reordered(run.theta, order)
    mixture = mixture.with_part("experts", mixture.experts.in_order(order))
    return run._replace(theta=theta, mixture=mixture), usage.take(order)


def order_by_share(mixture: Mixture, theta: Array, share: Array) -> Array:
    """Indices (K,) of the experts, the largest share of the rows first.

    Experts of equal share are ordered by their coefficients.
    """
    return _order(share, mixture.experts.by_expert(mixture.split(theta)[0]))


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
