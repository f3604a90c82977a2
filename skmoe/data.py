"""Data that arrays do not hold: censored targets, and tables that are larger than memory.

Censored targets are values of which only bounds are known, such as times of events to come. They
are structured arrays, as `fit` of `MixtureOfExpertsRegressor` takes them. Those of scikit-survival,
with an event and a time, are accepted too. See "Time to an event" in the user guide. Blocks of rows
are those of arrays, files or Dask collections: see "Larger than memory" there.
"""

from skmoe._data.blocks import RowBlocks
from skmoe._data.censored_targets import interval_censored, left_censored, right_censored

__all__ = ["RowBlocks", "interval_censored", "left_censored", "right_censored"]
