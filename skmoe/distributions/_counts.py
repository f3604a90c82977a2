"""Mixtures of distributions of counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from skmoe._numerics.normal_mixtures import log_total
from skmoe._numerics.typing import Array
from skmoe.distributions import _poisson
from skmoe.distributions._base import (
    Family,
    RowMixtures,
    check_shapes,
    check_weights,
    expand_rows,
    mixture_parameters,
    mixture_weights,
    weighted_sum,
)

# Rows and outputs of one search for modes, whose intervals take some memory for each.
MODE_ROWS = 4096

# Relative difference of probabilities that counts as none.
SAME = 1e-13

# Probability above a count that is lost in the round-off of one.
NOTHING = 1e-17


@dataclass(frozen=True)
class CountFamily(Family):
    """A family of distributions of counts, whose probabilities rise to one mode and then fall.

    For a mixture of another family, such as the negative binomial: its functions, and a subclass of
    `CountMixtureDistribution` with its parameters.
    """

    log_pmf: Callable[..., Array]
    mode: Callable[..., Array]  # of the parameters
    mean_distance: Callable[..., Array]  # E|Y - y|, of y and the parameters
    mean_difference: Callable[..., Array]  # E|Y - Z|, of the parameters of Y and those of Z
    mean_self_difference: Callable[..., Array]  # the same if Y and Z have the same parameters


POISSON = CountFamily(
    parameters=("means",),
    variance=lambda mean: mean,
    cdf=_poisson.cdf,
    sf=_poisson.sf,
    log_cdf=_poisson.log_cdf,
    log_sf=_poisson.log_sf,
    draw=_poisson.draw,
    log_pmf=_poisson.log_pmf,
    mode=np.floor,
    mean_distance=_poisson.mean_distance,
    mean_difference=_poisson.mean_difference,
    mean_self_difference=_poisson.mean_self_difference,
)


class PoissonComponents(NamedTuple):
    """Mixtures of Poissons that one expert predicts, one for each row; rows are the last axis.

    Attributes
    ----------
    weight : ndarray of shape (n_components, n_rows)
        Probabilities of the components, which sum to one.
    mean : ndarray of shape (n_components, n_outputs, n_rows)
        Means of the components.
    """

    weight: Array
    mean: Array

    def expand(self, rows: Array, n_rows: int) -> PoissonComponents:
        """Components of `n_rows` rows, of which only `rows` are these.

        The other rows have weight 0 and mean 1.
        """
        return PoissonComponents(
            expand_rows(self.weight, rows, n_rows, 0.0), expand_rows(self.mean, rows, n_rows, 1.0)
        )

    def rescale(self, center: Array, scale: Array) -> PoissonComponents:
        """The same components: families of counts see y in its own units."""
        return self

    def shift(self, offset: Array | float) -> PoissonComponents:
        """The same components: counts have no offset of a base model."""
        return self

    @staticmethod
    def distribution(
        parts: Sequence[PoissonComponents], gate_prob: Array, single_output: bool
    ) -> CountMixtureDistribution:
        """Predictive distribution of a mixture of experts.

        Parameters
        ----------
        parts : sequence of PoissonComponents
            Components of each of the K experts, for all rows.
        gate_prob : ndarray of shape (K, n_rows)
            Probability of each expert.
        single_output : bool
            Whether the target has one dimension, so that the axis of the outputs is left out.

        Returns
        -------
        distribution : CountMixtureDistribution
            The weights are those of the components times those of their expert.
        """
        return CountMixtureDistribution(
            mixture_weights([part.weight for part in parts], gate_prob),
            mixture_parameters([part.mean for part in parts], single_output),
        )


class CountMixtureDistribution(RowMixtures):
    """Mixtures of Poissons, one for each row and output, that share their weights over outputs.

    Rows come first in every array. Where there are several values for each row (quantiles, draws,
    bounds of an interval) their axis is the second one; the axis of the outputs is the last one and
    is absent if the target has one dimension. All answers are for each output by itself. Counts are
    returned as floats.

    Parameters
    ----------
    weights : array-like of shape (n_samples, n_components)
        Probabilities of the components, which sum to one.
    means : array-like of shape (n_samples, n_components) or (n_samples, n_components, n_outputs)
        Means of the components, not negative. A component of mean 0 is the count 0: with it the
        mixture is zero-inflated.

    Raises
    ------
    ValueError
        If the shapes do not match, a weight is negative or the weights of a row do not sum to one,
        or a mean is negative or not finite.

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

    _family: ClassVar[CountFamily] = POISSON

    def __init__(self, weights: ArrayLike, means: ArrayLike) -> None:
        self.weights = np.asarray(weights, dtype=float)
        self.means = np.asarray(means, dtype=float)
        check_shapes(self.weights, self.means)
        refused = self.means[~((self.means >= 0.0) & np.isfinite(self.means))]
        if refused.size:
            raise ValueError(f"means must be finite and not negative; got {refused[0]}.")
        check_weights(self.weights)

    # --- probabilities ---

    def logpmf(self, y: ArrayLike) -> Array:
        """Log probability of a count.

        Parameters
        ----------
        y : float or array-like of shape (n_samples,), (n_samples, n_values) or with n_outputs last
            Where to look: one value for each row, or several. A first axis of length one serves
            all rows.

        Returns
        -------
        log_probability : ndarray of the shape of y
            Finite for counts, even far out in the tails; minus infinity for other numbers.
        """
        return self._at(y, self._logpmf)

    def pmf(self, y: ArrayLike) -> Array:
        """Probability of a count; see `logpmf` for the shape of y."""
        return np.exp(self.logpmf(y))

    def logpdf(self, y: ArrayLike) -> Array:
        """The same as `logpmf`: the density with respect to counting measure."""
        return self.logpmf(y)

    def pdf(self, y: ArrayLike) -> Array:
        """The same as `pmf`."""
        return self.pmf(y)

    def _logpmf(self, points: Array) -> Array:
        # Absent components have weight zero; what is not a number stays so.
        with np.errstate(divide="ignore", invalid="ignore"):
            return log_total(
                np.log(weight) + self._family.log_pmf(points, *parameters)
                for weight, *parameters in self._components()
            )

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
        weights, *parameters = self._flat()
        low, high, found = _quantile_bracket(self._family, weights, parameters, q)

        def reached(count: Array, rows: Array) -> Array:
            chosen = zip(weights[:, rows], *(values[:, rows] for values in parameters), strict=True)
            return weighted_sum(chosen, self._family.cdf, count) >= found[rows]

        return smallest_counts(reached, low, high).reshape(len(self), self._n_outputs)

    @property
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
        weights, *parameters = self._flat()
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
        family, parts = self._family, list(self._components())
        total: Array | float = 0.0
        for i, (weight, *parameters) in enumerate(parts):
            total = total + weight * family.mean_distance(points, *parameters)
            total = total - 0.5 * weight**2 * family.mean_self_difference(*parameters)
            for other_weight, *others in parts[:i]:
                apart = family.mean_difference(*parameters, *others)
                total = total - weight * other_weight * apart
        return np.asarray(total)


# --- searches over the counts of many mixtures at once: weights and parameters (K, r) ---


def _quantile_bracket(
    family: CountFamily, weights: Array, parameters: Sequence[Array], q: float
) -> tuple[Array, Array, Array]:
    """Counts below and from the quantile on, and the probability that it must reach, each (r,).

    This probability is q, or less if the `cdf` never is q because of the round-off of the weights.
    """
    present = weights > 0.0
    spread = np.sqrt(family.variance(*parameters))
    guess = parameters[0] + ndtri(q) * spread
    low = np.maximum(np.floor(np.min(guess, axis=0, where=present, initial=np.inf)) - 1.0, -1.0)
    high = np.maximum(np.floor(np.max(guess, axis=0, where=present, initial=0.0)), 0.0)
    width = np.maximum(np.max(spread, axis=0, where=present, initial=0.0), 1.0)

    def probability(function: Callable[..., Array], count: Array) -> Array:
        return weighted_sum(zip(weights, *parameters, strict=True), function, count)

    low = np.where(probability(family.cdf, low) < q, low, -1.0)
    while True:
        found = probability(family.cdf, high)
        short = (found < q) & (probability(family.sf, high) > NOTHING)
        if not short.any():
            return low, high, np.minimum(found, q)
        low, high = np.where(short, high, low), np.where(short, np.ceil(high + width), high)
        width = 2.0 * width


def smallest_counts(reached: Callable[[Array, Array], Array], low: Array, high: Array) -> Array:
    """Smallest counts above `low` for which `reached(counts, rows)` holds, as it does of `high`."""
    low, high, rows = low.copy(), high.copy(), np.arange(len(low))
    while len(rows):
        middle = np.floor(0.5 * (low[rows] + high[rows]))
        inside = (low[rows] < middle) & (middle < high[rows])
        rows, middle = rows[inside], middle[inside]
        enough = reached(middle, rows)
        high[rows[enough]] = middle[enough]
        low[rows[~enough]] = middle[~enough]
    return high


def most_probable_counts(family: CountFamily, weights: Array, parameters: Sequence[Array]) -> Array:
    """The most probable counts, (r,)."""
    peaks, present = family.mode(*parameters), weights > 0.0

    def height(counts: Array, rows: Array) -> Array:
        """Sum over components of their probabilities at counts of shape (r,) or (K, r)."""
        logs = family.log_pmf(counts, *(values[:, rows] for values in parameters))
        return (weights[:, rows] * np.exp(logs)).sum(axis=0)

    rows = np.arange(weights.shape[1])
    heights = np.stack([height(peak, rows) for peak in peaks])
    best, highest = peaks[heights.argmax(axis=0), rows], heights.max(axis=0)
    first = np.min(peaks, axis=0, where=present, initial=np.inf)
    last = np.max(peaks, axis=0, where=present, initial=0.0)
    while len(rows):
        middle = np.floor(0.5 * (first + last))
        value = height(middle, rows)
        order = np.argsort(value)  # of several intervals of a row the last one stays
        order = order[value[order] > highest[rows[order]]]
        best[rows[order]], highest[rows[order]] = middle[order], value[order]
        first, last = np.concatenate([first, middle + 1.0]), np.concatenate([middle - 1.0, last])
        rows = np.concatenate([rows, rows])
        most = height(np.clip(peaks[:, rows], first, np.maximum(first, last)), rows)
        left = (first <= last) & (most > highest[rows] * (1.0 + SAME))
        rows, first, last = rows[left], first[left], last[left]
    return best
