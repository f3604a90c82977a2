"""Spreads of predictive distributions that are pooled.

A mixture of predictive distributions is wider than they are, since their means differ. If each of
them is right about its own errors, the mixture is too wide; if they are too confident, it may be
too narrow. So distances from the mean of a model are multiplied by a factor, its spread. A spread
below one narrows the distribution, and one above one widens it. The spreads maximise the penalised
likelihood of the mixture: the spread-adjusted linear pool [1]_.

References
----------
.. [1] T. Gneiting and R. Ranjan (2013), "Combining predictive distributions", Electronic Journal of
   Statistics 7, 1747-1782.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from skmoe._numerics.typing import Array
from skmoe.distributions._nested import NestedComponents

# Spreads that are compared, in steps of ten per cent; the first makes no change.
SPREADS = 1.1 ** np.array([0, *range(-12, 0), *range(1, 5)], dtype=float)

# Replaces a log density of minus infinity, which has no product with a responsibility of zero.
LEAST_LOG_DENSITY = -1e100

# Weight of the prior of a log spread, in rows: one of a normal distribution has the information 2.
PRIOR_ROWS = 10.0


def is_location_scale(components: Any) -> bool:
    """Whether components moved and scaled are of the same families."""
    if isinstance(components, NestedComponents):
        return all(is_location_scale(part) for part in components.parts)
    return bool(components.block().family.location_scale)


def with_spread(components: Any, center: Array, spread: float) -> Any:
    """Components with distances from a center (m, n) that are multiplied by a spread."""
    n_outputs = len(center)
    scaled = components.rescale(np.zeros(n_outputs), np.full(n_outputs, spread))
    return scaled.shift((1.0 - spread) * center)


def best_spread(log_density: Array, resp: Array) -> int:
    """Index of the spread with the largest penalised log-likelihood.

    `log_density` (S, n) are finite log densities of the rows at each of `SPREADS`, or at the only
    one that there is, and `resp` (n,) responsibilities times weights.
    """
    if len(log_density) == 1:
        return 0
    penalties = PRIOR_ROWS * np.square(np.log(SPREADS))
    return int((log_density @ resp - penalties).argmax())


def spread_penalty(spread: Array) -> float:
    """Negative log prior of the spreads (K,), up to a constant."""
    return float(PRIOR_ROWS * np.square(np.log(spread)).sum())
