"""Correlation of the rows of units beyond their regime.

A mixture takes the rows of a unit for independent given its expert. If units differ by degrees, as
by a random intercept, further experts approximate what the rows of a unit have in common, until
residuals are hardly correlated. A second measure is therefore the likelihood of a model in which
units have no regimes. Each row has the distribution of the mixture there, and the normal scores of
the rows of a unit are equally correlated (a normal copula) [2]_.

Residuals are normal quantiles of the distribution function at y under each expert [1]_. Where y has
a probability of its own, or is censored, it is the middle of the step or of the interval. Of normal
noise they are standardised residuals. Of classes they are indicators minus probabilities. An
expert counts for a unit with its responsibility: so weighted, sums over the experts have the
expectation of those under the expert of the unit.

References
----------
.. [1] P. K. Dunn and G. K. Smyth (1996), "Randomized quantile residuals", Journal of Computational
   and Graphical Statistics 5, 236-244.
.. [2] P. X.-K. Song (2000), "Multivariate dispersion models generated from Gaussian copula",
   Scandinavian Journal of Statistics 27, 305-320.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.special import logsumexp, ndtri

from skmoe._data.units import Units
from skmoe._mixture.mixture import Data, Mixture
from skmoe._numerics.linalg import sum_over_blocks
from skmoe._numerics.typing import TINY, Array
from skmoe.distributions import predictive_distribution
from skmoe.distributions._components import OutcomeComponents
from skmoe.distributions._outcomes import OutcomeDistribution

# Probabilities of tails at which residuals end.
LEAST_TAIL = 1e-16

# Residuals are correlated beyond these, in units of the correlation and of its error; and regimes
# explain more than equal correlations do if the log-likelihood rises by this for each parameter, as
# Akaike's information criterion requires. In simulations (`degrees` of tests/benchmarks/units.py),
# at the number of experts with the best BIC, a random intercept was noticed in 96 to 100 % of the
# tables, and suspected in 0 to 4 % of those of groups that are two standard deviations apart.
LEAST_CORRELATION, LEAST_ERRORS, LEAST_ADVANTAGE = 0.02, 2.5, 1.0

# Least variance of normal scores whose likelihood is compared. It is smaller than one where values
# have probabilities of their own, and less than this for y of two values.
LEAST_VARIANCE = 0.5

# Degrees of freedom up to which there are none but for round-off, as where each unit has an expert
# of its own.
NO_DEGREES = 1e-6

# Correlations of the rows of a unit that are compared.
CORRELATIONS = np.linspace(0.0, 0.95, 39)


class Sums(NamedTuple):
    """Sums over units: of each expert and output (K, m), weighted by responsibilities."""

    units: Array  # with rows
    rows: Array
    squared_sizes: Array  # squares of the numbers of rows
    total: Array  # residuals
    squares: Array  # of residuals
    of_means: Array  # squares of the means of units, times their rows
    advantage: Array  # of the log-likelihood over that of independent rows
    # Log determinants and quadratic forms of equally correlated normal scores, minus those of
    # independent ones, (2, C); and numbers and squares of the scores, (2,).
    forms: Array
    of_scores: Array


class UnitCorrelation(NamedTuple):
    """How much the rows of units are correlated beyond their regime."""

    value: float  # intraclass correlation of the residuals given the expert
    error: float  # its standard error where rows are independent
    # Log-likelihood minus the largest one of equally correlated rows; NaN if it is not known.
    advantage: float
    n_extra: float  # parameters beyond those of one expert and a correlation

    @property
    def is_correlated(self) -> bool:
        """Whether residuals are correlated to an extent that matters."""
        return self.value > max(LEAST_CORRELATION, LEAST_ERRORS * self.error)

    @property
    def is_by_degrees(self) -> bool:
        """Whether equally correlated rows explain the rows of units as well as regimes do."""
        return self.n_extra > 0.0 and self.advantage < LEAST_ADVANTAGE * self.n_extra


def unit_correlation(mixture: Mixture, theta: Array, blocks: Any) -> UnitCorrelation:
    """Intraclass correlation of the residuals of units given their experts.

    It is the estimate by the mean squares of a one-way analysis of variance with unequal numbers of
    rows [1]_, in which units are nested in experts. Outputs count as further groups. NaN where all
    units have one row, or no two of them an expert in common. The error is that of the mean product
    of pairs of independent residuals.

    References
    ----------
    .. [1] S. R. Searle, G. Casella and C. E. McCulloch (1992), "Variance Components", Wiley,
       chapter 3.
    """
    found: Sums = sum_over_blocks(lambda data: _sums(mixture, theta, data), blocks)
    rows = np.maximum(found.rows, TINY)
    n_within = float((found.rows - found.units).sum())
    n_between = float((found.units - (found.units > 0.0)).sum())
    n_pairs = float((found.squared_sizes - found.rows).sum())
    n_apart = float((found.rows - found.squared_sizes / rows).sum())
    if min(n_within, n_between, n_pairs, n_apart) <= NO_DEGREES:
        return UnitCorrelation(np.nan, np.nan, np.nan, np.nan)
    within = float((found.squares - found.of_means).sum()) / n_within
    between = float((found.of_means - found.total**2 / rows).sum()) / n_between
    variance = (between - within) * n_between / n_apart
    value, error = variance / max(variance + within, TINY), np.sqrt(2.0 * rows.shape[1] / n_pairs)
    (of_experts, of_gate), experts, n_extra = mixture.split(theta), mixture.experts, np.nan
    if not experts.needs_all_rows:  # their log densities are out of fold
        n_more = experts.n_parameters(of_experts) - experts.sizes.mean()
        n_extra = float(n_more + mixture.gate.n_parameters(of_gate) - 1.0)
    (logs, forms), variance = found.forms, found.of_scores[1] / found.of_scores[0]
    gain = np.nan if variance < LEAST_VARIANCE else -0.5 * (logs + forms / variance).min()
    return UnitCorrelation(value, float(error), float(found.advantage - gain), n_extra)


def _sums(mixture: Mixture, theta: Array, data: Data) -> Sums:
    """The sums over a block of rows."""
    units = data.rows.units
    assert units is not None
    at = mixture.at(theta[None], data)
    resp, log_density, _ = data.posterior(at.log_gates, at.logs, mixture.top_k)
    weight = data.rows.weight / units.repeat(units.weight)
    residuals, levels = _residuals(mixture, theta, data)
    is_known = np.isfinite(residuals)
    weights, residuals = np.where(is_known, weight, 0.0), np.where(is_known, residuals, 0.0)
    values = _moments(units, weights, residuals)
    sums = [np.einsum("ku,kmu->km", resp[:, 0] * units.weight, each) for each in values]
    advantage, forms, of_scores = np.array(np.nan), np.zeros((2, len(CORRELATIONS))), np.ones(2)
    if levels is not None:
        log_gate = units.repeat(np.broadcast_to(at.log_gates[0][:, 0, 0], resp[:, 0].shape))
        log_density = log_density[0] - units.sum_rows(
            weight * logsumexp(log_gate + at.logs[:, 0], axis=0)
        )
        scores = _normal_score((np.exp(log_gate) * levels[:, 0]).sum(axis=0))
        _, sizes, _, _, squares, of_means = _moments(units, weight, scores)
        advantage = log_density @ units.weight
        forms = _forms(sizes, squares, of_means) @ units.weight
        of_scores = np.array([sizes, squares]) @ units.weight
    return Sums(*sums, advantage, forms, of_scores)  # type: ignore[call-arg]


def _moments(units: Units, weight: Array, residuals: Array) -> tuple[Array, ...]:
    """Of each unit what `Sums` adds up."""
    sizes, totals = units.sum_rows(weight), units.sum_rows(weight * residuals)
    of_means = totals**2 / np.maximum(sizes, TINY)
    return sizes > 0.0, sizes, sizes**2, totals, units.sum_rows(weight * residuals**2), of_means


def _forms(sizes: Array, squares: Array, of_means: Array) -> Array:
    """What correlations add to the log determinants and quadratic forms of units, (2, C, U)."""
    correlation = CORRELATIONS[:, None]
    along, across = 1.0 + (sizes - 1.0) * correlation, 1.0 - correlation
    logs = np.log(along) + (sizes - 1.0) * np.log(across)
    return np.stack([logs, of_means / along + (squares - of_means) / across - squares])


def _residuals(mixture: Mixture, theta: Array, data: Data) -> tuple[Array, Array | None]:
    """Residuals (K, m, n) of the rows under each expert.

    And of one output the values of the distribution functions, if there are any.
    """
    experts, own, y = mixture.experts, mixture.split(theta)[0], data.rows.y
    if y.ndim == 1:
        means = experts.mean(own, data)
        return (y == np.arange(means.shape[1])[:, None]) - means, None
    if not experts.has_distribution:
        return y - experts.mean(own, data), None
    lower, upper = (y["lower"], y["upper"]) if y.dtype.names else (y, y)
    gate_prob, levels = np.ones((1, data.rows.n_rows)), []
    for k in range(mixture.n_experts):
        parts = [experts.components(own, k, data)]
        has_outcomes = isinstance(parts[0], OutcomeComponents)
        make: Any = OutcomeDistribution if has_outcomes else predictive_distribution
        of_expert = make(parts, gate_prob, False)
        levels.append(0.5 * (of_expert.cdf_left(lower.T) + of_expert.cdf(upper.T)).T)
    return _normal_score(np.array(levels)), np.array(levels) if len(y) == 1 else None


def _normal_score(level: Array) -> Array:
    return np.asarray(ndtri(np.clip(level, LEAST_TAIL, 1.0 - LEAST_TAIL)))
