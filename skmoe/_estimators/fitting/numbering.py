"""The order of the experts at the end of a fit, and that of the fit that a warm start continues.

EM works with the numbers of its start. A warm start returns to these numbers, so that it continues
the arithmetic of the previous fit bit for bit, and then to the order that the user has seen.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from skmoe._estimators.parameters.parameters import FitParameters
from skmoe._estimators.rows.warm_start import PreviousFit
from skmoe._mixture.em import EMResult
from skmoe._mixture.model import MixtureModel, Usage
from skmoe._mixture.numbering import (
    can_be_reordered,
    order_by_share,
    reorder_params,
    reorder_usage,
)


def in_numbers_of_em(previous: PreviousFit | None) -> PreviousFit | None:
    """The previous fit with its experts as EM has numbered them."""
    if previous is None or previous.training_state.numbering is None:
        return previous
    fitted, order = previous.fitted, np.argsort(previous.training_state.numbering)
    params = reorder_params(fitted.model, fitted.params, order)
    return previous._replace(fitted=fitted._replace(params=params))


class NumberedFit(NamedTuple):
    """Result of EM and usage of the experts in their final order."""

    run: EMResult
    usage: Usage
    numbering: tuple[int, ...] | None  # number of each expert within EM; None if it is the same


def in_final_order(
    params: FitParameters,
    continued: PreviousFit | None,
    model: MixtureModel,
    run: EMResult,
    usage: Usage,
) -> NumberedFit:
    """The fit with its experts in descending order of their shares, or in the order that is kept.

    Kept is the order of the fit that is `continued`, and that of the user: of a list of experts, of
    members, or of initial responsibilities.
    """
    if continued is not None:
        numbering = continued.training_state.numbering
    elif _is_ordered_by_user(params) or not can_be_reordered(model):
        numbering = None
    else:
        numbering = tuple(order_by_share(model, run.params, usage.mean_gate_prob).tolist())
    if numbering is None:
        return NumberedFit(run, usage, None)
    order = np.array(numbering)
    run = run._replace(params=reorder_params(model, run.params, order))
    return NumberedFit(run, reorder_usage(usage, order), numbering)


def _is_ordered_by_user(params: FitParameters) -> bool:
    """Whether the user has given something for each expert."""
    is_list = params.estimators is not None and len(params.estimators) > 1
    return is_list or not params.specialize or not isinstance(params.init, str)
