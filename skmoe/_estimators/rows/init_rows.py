"""The rows for the initialisation: all rows of a fit, or a sample of them."""

from __future__ import annotations

import numpy as np

from skmoe._data.rows import Dataset, subset, subset_units
from skmoe._estimators.parameters.parameters import FitParameters
from skmoe._estimators.parameters.tasks import TrainingTarget
from skmoe._estimators.rows.training_data import TrainingData
from skmoe._mixture.initialization import InitData, make_init_data
from skmoe._numerics.typing import Array, Design

# Maximum number of rows for the initialisation. Data sets with no more distinct rows are reduced to
# these.
MAX_INIT_ROWS = 20_000

# Number of rows for the initialisation on larger data sets: per coefficient, and minimum.
INIT_ROWS_PER_COEFFICIENT = 15
MIN_INIT_ROWS = 5_000


def make_init_rows(
    params: FitParameters,
    data: TrainingData,
    target: TrainingTarget,
    rows: Dataset,
    init_design: Design | None,
    rng: np.random.Generator,
) -> InitData:
    """Rows for the initialisation: all rows, or a sample of the distinct rows."""
    signed = not params.task.is_classification
    if data.unique_rows is None:
        return make_init_data(rows, target.init_targets, init_design, signed=signed)
    index, weight = data.unique_rows
    size = MAX_INIT_ROWS
    if init_design is None:  # estimators have no coefficients
        size = _init_sample_size(rows, target.init_targets, params.n_experts)
    if rows.units is None:
        sampled = np.sort(rng.permutation(len(index))[:size])
        index, weight = index[sampled], weight[sampled]
        # Penalties must have the same weight relative to the sample as to all rows.
        sample = subset(rows, index, weight * (target.weight.sum() / weight.sum()))
    else:
        sample, index = _sample_units(rows, size, rng)
    design = None if init_design is None else init_design[index]
    return make_init_data(sample, target.init_targets[:, index], design, signed=signed)


def _sample_units(rows: Dataset, size: int, rng: np.random.Generator) -> tuple[Dataset, Array]:
    """A random sample of units with at most about `size` rows, and the indices of these."""
    units = rows.units
    assert units is not None
    order = rng.permutation(len(units.starts))
    n_kept = max(int(np.searchsorted(np.cumsum(units.sizes[order]), size, side="right")), 2)
    kept = np.sort(order[:n_kept])
    index = units.rows_of(kept)
    # Penalties must have the same weight relative to the sample as to all rows.
    factor = rows.weight.sum() / rows.weight[index].sum()
    return subset_units(rows, kept, factor), index


def _init_sample_size(rows: Dataset, init_targets: Array, n_experts: int) -> int:
    """Number of rows for the initialisation, proportional to the number of coefficients."""
    n_columns = rows.gate_design.shape[1] + len(init_targets) * rows.expert_design.shape[1]
    wanted = int(INIT_ROWS_PER_COEFFICIENT * n_experts * n_columns)
    return min(max(wanted, MIN_INIT_ROWS), MAX_INIT_ROWS)
