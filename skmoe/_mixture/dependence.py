"""Correlation of the rows of units beyond their regime.

A mixture takes the rows of a unit for independent given its expert. If they are not, further
experts approximate what the rows of a unit have in common, so that numbers of experts are too
large.

Residuals are normal quantiles of the distribution function at y under each expert, at the middle of
its step where y has a probability of its own, or of its interval where it is censored [1]_. Of
normal noise they are standardised residuals. Of classes they are indicators minus probabilities. An
expert counts for a unit with its responsibility: so weighted, sums over the experts have the
expectation of those under the expert of the unit.

References
----------
.. [1] P. K. Dunn and G. K. Smyth (1996), "Randomized quantile residuals", Journal of Computational
   and Graphical Statistics 5, 236-244.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtri

from skmoe._mixture.mixture import Data, Mixture
from skmoe._numerics.linalg import sum_over_blocks
from skmoe._numerics.typing import TINY, Array
from skmoe.distributions import predictive_distribution

# Probabilities of tails at which residuals end.
LEAST_TAIL = 1e-16


class Moments(NamedTuple):
    """Sums over units of each expert (K, m), weighted by responsibilities."""

    units: Array  # with rows
    rows: Array
    squared_sizes: Array  # squares of the numbers of rows
    total: Array  # residuals
    squares: Array  # of residuals
    of_means: Array  # squares of the means of units, times their rows


class UnitCorrelation(NamedTuple):
    """An intraclass correlation, and its standard error where rows are independent."""

    value: float
    error: float


def unit_correlation(mixture: Mixture, theta: Array, blocks: Any) -> UnitCorrelation:
    """Intraclass correlation of the residuals of units given their experts.

    It is the estimate by the mean squares of a one-way analysis of variance with unequal numbers of
    rows [1]_, in which units are nested in experts. Outputs count as further groups. NaN where all
    units have one row. The error is that of the mean product of pairs of independent residuals.

    References
    ----------
    .. [1] S. R. Searle, G. Casella and C. E. McCulloch (1992), "Variance Components", Wiley,
       section 3.6.
    """
    found: Moments = sum_over_blocks(lambda data: _moments(mixture, theta, data), blocks)
    rows = np.maximum(found.rows, TINY)
    n_within = float((found.rows - found.units).sum())
    n_between = float((found.units - (found.units > 0.0)).sum())
    n_pairs = float((found.squared_sizes - found.rows).sum())
    if min(n_within, n_between, n_pairs) <= 0.0:
        return UnitCorrelation(np.nan, np.nan)
    within = float((found.squares - found.of_means).sum()) / n_within
    between = float((found.of_means - found.total**2 / rows).sum()) / n_between
    size = float((found.rows - found.squared_sizes / rows).sum()) / n_between
    variance = (between - within) / size
    n_outputs = found.rows.shape[1]
    error = np.sqrt(2.0 * n_outputs / n_pairs)
    return UnitCorrelation(variance / max(variance + within, TINY), float(error))


def _moments(mixture: Mixture, theta: Array, data: Data) -> Moments:
    """The sums over a block of rows."""
    units = data.rows.units
    assert units is not None
    resp = mixture.responsibilities(theta[None], data)[0][:, 0] * units.weight
    residuals = _residuals(mixture, theta, data)  # (K, m, n)
    is_known = np.isfinite(residuals)
    weight = np.where(is_known, data.rows.weight / units.repeat(units.weight), 0.0)
    residuals = np.where(is_known, residuals, 0.0)
    sizes, totals = units.sum_rows(weight), units.sum_rows(weight * residuals)
    values = (
        sizes > 0.0,
        sizes,
        sizes**2,
        totals,
        units.sum_rows(weight * residuals**2),
        totals**2 / np.maximum(sizes, TINY),
    )
    return Moments(*(np.einsum("ku,kmu->km", resp, each) for each in values))


def _residuals(mixture: Mixture, theta: Array, data: Data) -> Array:
    """Residuals (K, m, n) of the rows under each expert."""
    experts, own, y = mixture.experts, mixture.split(theta)[0], data.rows.y
    if y.ndim == 1:
        return (y == np.arange(experts.mean(own, data).shape[1])[:, None]) - experts.mean(own, data)
    if not experts.has_distribution:
        return y - experts.mean(own, data)
    lower, upper = (y["lower"], y["upper"]) if y.dtype.names else (y, y)
    gate_prob, found = np.ones((1, data.rows.n_rows)), []
    for k in range(mixture.n_experts):
        of_expert = predictive_distribution([experts.components(own, k, data)], gate_prob, False)
        found.append(0.5 * (of_expert.cdf_left(lower.T) + of_expert.cdf(upper.T)).T)
    return ndtri(np.clip(found, LEAST_TAIL, 1.0 - LEAST_TAIL))
