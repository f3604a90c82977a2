"""Starts of EM that use what is known of the experts of some rows.

Labels of some rows [1]_ number the experts, and a start from regressions on these rows is often
next to the best maximum.

References
----------
.. [1] S. Basu, A. Banerjee and R. J. Mooney (2002), "Semi-supervised clustering by seeding",
   Proceedings of ICML, 19-26.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from skmoe._mixture.initialization import InitData, random_partition
from skmoe._numerics.typing import Array

# Name of the start from the rows of which something is known.
KNOWN = "known"

# Random number, relative to the weight of the rows, that orders cells where nothing is known.
TIE_BREAK = 1e-9


def known_shares(possible: Array) -> Array:
    """Shares (K, n) of the possible experts in each row; zero in rows of which nothing is known."""
    return np.where(possible.all(axis=0), 0.0, possible / possible.sum(axis=0))


def start_from_known(
    init_data: InitData, X: Array, Y: Array, weight: Array, rng: np.random.Generator
) -> Array:
    """Responsibilities (K, n) of rows, or units, of which the expert is known.

    Experts without such rows get a random partition of the others; without such experts the others
    are left to no expert.
    """
    possible: Array = init_data.rows.possible  # type: ignore[assignment]
    shares = np.where(possible.sum(axis=0) == 1, possible, 0.0)
    others = np.flatnonzero(~shares.any(axis=0))
    without = np.flatnonzero(~shares.any(axis=1))
    if len(without) and len(others):
        cells = random_partition(X[others], Y[:, others], weight[others], len(without), rng)
        shares[without[cells], others] = 1.0
    return shares


def in_matching_order(
    cells: Array, shares: Array, weight: Array, rng: np.random.Generator | None
) -> Array:
    """Responsibilities (C, n) of cells in the order of the experts with known shares (C, n).

    It is the order in which most of the known rows are in the cell of their expert. Cells that are
    equally good are in random order, if there is a generator.
    """
    agreement = shares @ (cells * weight).T
    if rng is not None:
        agreement += TIE_BREAK * weight.sum() * rng.uniform(size=agreement.shape)
    return cells[linear_sum_assignment(agreement, maximize=True)[1]]
