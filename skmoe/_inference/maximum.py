"""The maximum of the penalised likelihood near the parameters at which a fit has stopped."""

from __future__ import annotations

from skmoe._data.rows import Dataset, split_into_blocks
from skmoe._mixture.em import EMOptions, EMResult, EMStart, evaluate, run_em
from skmoe._mixture.fitted import FittedMixture

# EM stops at this estimate of the remaining gain per row, where the estimates are within a small
# fraction of their standard errors of the maximum.
MAXIMUM_TOL = 1e-10

MAXIMUM_MAX_ITER = 1000

# Relative difference of the lower bounds per row of the same rows that is attributed to round-off,
# also of features in single precision.
SAME_ROWS_RTOL = 1e-5


def continue_to_maximum(mixture: FittedMixture, rows: Dataset) -> FittedMixture:
    """The mixture at the maximum that EM reaches from its parameters on the rows of the fit."""
    options = EMOptions(MAXIMUM_MAX_ITER, MAXIMUM_TOL, n_plain_iter=0)
    blocks = split_into_blocks(rows)
    run = run_em(mixture.model, blocks, EMStart(mixture.params), options, _never_stop)
    return mixture._replace(params=run.params)


def _never_stop(n_iter: int, run: EMResult) -> bool:
    return False


def lower_bound_of_rows(mixture: FittedMixture, rows: Dataset) -> float:
    """Lower bound per row of a mixture, in the units of y, as in `lower_bound_`."""
    state = evaluate(mixture.model, split_into_blocks(rows), mixture.params)
    return float(state.lower_bound - mixture.preprocessor.log_jacobian)


def is_same_lower_bound(first: float, second: float) -> bool:
    """Whether two lower bounds per row are those of the same rows."""
    return abs(first - second) <= SAME_ROWS_RTOL * (1.0 + abs(second))
