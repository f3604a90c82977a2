"""Mixtures of distributions of counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from skmoe._numerics.probability import underflow_to_zero
from skmoe._numerics.typing import Array
from skmoe.distributions import _poisson
from skmoe.distributions._base import (
    RowMixtures,
    check_shapes,
    check_weights,
)
from skmoe.distributions._count_families import (
    NEGATIVE_BINOMIAL,
    POISSON,
    CountFamily,
    NegativeBinomialComponents,
    PoissonComponents,
)
from skmoe.distributions._count_searches import (
    most_probable_counts,
    quantile_bracket,
    smallest_counts,
    weighted_probability,
)
from skmoe.distributions._count_sums import half_mean_difference
from skmoe.distributions._family import Block
from skmoe.distributions._sums import flat_block, log_weighted_sum

# Rows and outputs of one search for modes, whose intervals take some memory for each.
MODE_ROWS = 4096


class CountMixtureDistribution(RowMixtures):
    """Mixtures of distributions of counts, one for each row and output.

    The components are negative binomials, of which Poissons are those without dispersion. Outputs
    share the weights. See "Distributions and calibration" in the user guide.

    Rows come first in every array. Several values for each row (quantiles, draws, bounds of an
    interval) are the second axis. The outputs are the last axis, which is absent if the target has
    one dimension. Each output is treated by itself. Counts are returned as floats.

    Parameters
    ----------
    weights : array-like of shape (n_samples, n_components)
        Probabilities of the components, which sum to one.
    means : array-like of shape (n_samples, n_components) or (n_samples, n_components, n_outputs)
        Means of the components, not negative. A component of mean 0 is the count 0: with it the
        mixture is zero-inflated.
    dispersions : array-like of the same shape as `means`, default=None
        Dispersions of negative binomials, not negative; the variance of a component is
        mean + dispersion * mean^2. None for Poissons.

    Raises
    ------
    ValueError
        If the shapes do not match, a weight is negative or the weights of a row do not sum to one,
        or a mean or dispersion is negative or not finite.

    See Also
    --------
    MixtureDistribution : Mixtures of normals.
    GeneralMixtureDistribution : Mixtures of other families, and of several.

    Examples
    --------
    >>> from skmoe.distributions import CountMixtureDistribution
    >>> dist = CountMixtureDistribution([[0.5, 0.5]], [[1.0, 9.0]])
    >>> dist.mean, dist.var
    (array([5.]), array([21.]))
    >>> dist.pmf([[0, 1, 2]]).round(3)
    array([[0.184, 0.184, 0.094]])
    >>> dist.interval(0.8), dist.mode
    (array([[ 0., 11.]]), array([1.]))
    """

    def __init__(
        self, weights: ArrayLike, means: ArrayLike, dispersions: ArrayLike | None = None
    ) -> None:
        self.weights = np.asarray(weights, dtype=float)
        self.means = np.asarray(means, dtype=float)
        check_shapes(self.weights, self.means)
        _check_parameter("means", self.means)
        self.dispersions = None
        if dispersions is not None:
            self.dispersions = np.asarray(dispersions, dtype=float)
            if self.dispersions.shape != self.means.shape:
                raise ValueError(
                    f"dispersions must have the shape of means, {self.means.shape}; got "
                    f"{self.dispersions.shape}."
                )
            _check_parameter("dispersions", self.dispersions)
        check_weights(self.weights)

    @property
    def _family(self) -> CountFamily:
        return POISSON if self.dispersions is None else NEGATIVE_BINOMIAL

    @property
    def _blocks(self) -> Sequence[Block]:
        dispersions = () if self.dispersions is None else (self.dispersions,)
        return (Block(self._family, (self.means, *dispersions)),)

    def _take(self, rows: Any) -> Self:
        dispersions = () if self.dispersions is None else (self.dispersions[rows],)
        return type(self)(self.weights[rows], self.means[rows], *dispersions)

    def as_components(self) -> PoissonComponents | NegativeBinomialComponents:
        """These distributions as those of one expert of another mixture.

        Returns
        -------
        components : object
            Weights and parameters of the components, whose last axis counts the rows.
        """
        values = [self.means] if self.dispersions is None else [self.means, self.dispersions]
        mean, *dispersion = (v.reshape(*self.weights.shape, -1).transpose(1, 2, 0) for v in values)
        if not dispersion:
            return PoissonComponents(self.weights.T, mean)
        return NegativeBinomialComponents(self.weights.T, mean, dispersion[0])

    # --- probabilities ---

    def logpmf(self, y: ArrayLike) -> Array:
        """Log probability of a count.

        Parameters
        ----------
        y : float or array-like of shape (n_samples,), (n_samples, n_values) or with n_outputs last
            One value for each row, or several along a second axis. A number, or a first axis of
            length one such as that of `grid[None]`, serves all rows.

        Returns
        -------
        log_probability : ndarray of the shape of y, with n_samples rows
            Finite for counts, even far out in the tails; minus infinity for other numbers.
        """
        return self._at(y, self._logpdf)

    def pmf(self, y: ArrayLike) -> Array:
        """Probability of a count.

        Parameters
        ----------
        y : float or array-like of shape (n_samples,), (n_samples, n_values) or with n_outputs last
            One value for each row, or several along a second axis. A number, or a first axis of
            length one such as that of `grid[None]`, serves all rows.

        Returns
        -------
        probability : ndarray of the shape of y, with n_samples rows
            Zero for numbers that are not counts.
        """
        return np.exp(self.logpmf(y))

    def logpdf(self, y: ArrayLike) -> Array:
        """Log density with respect to counting measure: the same as `logpmf`.

        Parameters
        ----------
        y : float or array-like of shape (n_samples,), (n_samples, n_values) or with n_outputs last
            One value for each row, or several along a second axis. A number, or a first axis of
            length one such as that of `grid[None]`, serves all rows.

        Returns
        -------
        log_probability : ndarray of the shape of y, with n_samples rows
            Finite for counts, even far out in the tails; minus infinity for other numbers.
        """
        return self.logpmf(y)

    def pdf(self, y: ArrayLike) -> Array:
        """Density with respect to counting measure: the same as `pmf`.

        Parameters
        ----------
        y : float or array-like of shape (n_samples,), (n_samples, n_values) or with n_outputs last
            One value for each row, or several along a second axis. A number, or a first axis of
            length one such as that of `grid[None]`, serves all rows.

        Returns
        -------
        probability : ndarray of the shape of y, with n_samples rows
            Zero for numbers that are not counts.
        """
        return self.pmf(y)

    def _logpdf(self, points: Array) -> Array:
        return log_weighted_sum(self._components(), lambda family: family.log_pdf, points)

    # --- quantiles ---

    def ppf(self, q: ArrayLike) -> Array:
        """Quantiles: the smallest counts whose `cdf` reaches q.

        All rows are solved at once, by bisection of the counts between bounds that the quantiles of
        normals of the same moments suggest.

        Parameters
        ----------
        q : float or array-like of shape (n_values,)
            Probabilities in (0, 1).

        Returns
        -------
        quantiles : ndarray of shape (n_samples,), or (n_samples, n_values) for an array q
            With the axis of the outputs last, if there are several.

        Raises
        ------
        ValueError
            If a probability is outside (0, 1).
        """
        return self._quantiles(q)

    def _quantile(self, q: float) -> Array:
        weights, *parameters = flat_block(self.weights, self._blocks[0])
        low, high, found = quantile_bracket(self._family, weights, parameters, q)

        def reached(count: Array, rows: Array) -> Array:
            chosen = [values[:, rows] for values in parameters]
            cdf = weighted_probability(self._family.cdf, weights[:, rows], chosen, count)
            return cdf >= found[rows]

        return smallest_counts(reached, low, high).reshape(len(self), self._n_outputs)

    @property
    @underflow_to_zero
    def mode(self) -> Array:
        """The most probable count; one of them if several are equally probable, up to 1e-13.

        Found by branch and bound [1]_ among the counts between the modes of the components. In an
        interval of counts, the mixture is nowhere more probable than the sum of what its components
        are at most, which they are at the count nearest to their mode.

        References
        ----------
        .. [1] A. H. Land and A. G. Doig (1960), "An automatic method of solving discrete
           programming problems", Econometrica 28, 497-520.
        """
        weights, *parameters = flat_block(self.weights, self._blocks[0])
        best = np.empty(weights.shape[1])
        for start in range(0, len(best), MODE_ROWS):
            rows = slice(start, start + MODE_ROWS)
            chosen = [values[:, rows] for values in parameters]
            best[rows] = most_probable_counts(self._family, weights[:, rows], chosen)
        return best if self._single else best.reshape(len(self), self._n_outputs)

    # --- scores ---

    def crps(self, y: ArrayLike) -> Array:
        """Ranked probability score of observed values.

        The sum of squared differences between the `cdf` and the step at y over all counts [1]_,
        which is the continuous ranked probability score of a distribution of counts. It is computed
        as E|Y - y| - E|Y - Y'| / 2 for independent Y and Y', a sum over pairs of components.

        Parameters
        ----------
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed values, one for each row.

        Returns
        -------
        crps : ndarray of the shape of y
            Scores in the units of y; smaller is better.

        References
        ----------
        .. [1] C. Czado, T. Gneiting and L. Held (2009), "Predictive model assessment for count
           data", Biometrics 65, 1254-1261.
        """
        return self._at(y, self._crps)

    def _crps(self, points: Array) -> Array:
        if self.dispersions is None:
            return self._poisson_crps(points)
        total: Array | float = 0.0
        for _, weight, parameters in self._components():
            total = total + weight * self._family.mean_distance(points, *parameters)
        half = half_mean_difference(self._flat_components())
        return np.asarray(total - half.reshape(len(self), 1, self._n_outputs))

    def _poisson_crps(self, points: Array) -> Array:
        parts = [(weight, mean) for _, weight, (mean,) in self._components()]
        total: Array | float = 0.0
        for i, (weight, mean) in enumerate(parts):
            total = total + weight * _poisson.mean_distance(points, mean)
            total = total - 0.5 * weight**2 * _poisson.mean_self_difference(mean)
            for other_weight, other in parts[:i]:
                total = total - weight * other_weight * _poisson.mean_difference(mean, other)
        return np.asarray(total)


def _check_parameter(name: str, values: Array) -> None:
    refused = values[~((values >= 0.0) & np.isfinite(values))]
    if refused.size:
        raise ValueError(f"{name} must be finite and not negative; got {refused[0]}.")
