"""Mixtures of distributions of counts."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from skmoe._numerics.typing import Array
from skmoe.distributions._base import check_shapes, check_weights
from skmoe.distributions._count_families import NegativeBinomialComponents, PoissonComponents
from skmoe.distributions._general import GeneralMixtureDistribution
from skmoe.distributions._rows import rows_last


class CountMixtureDistribution(GeneralMixtureDistribution):
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
        weights = np.asarray(weights, dtype=float)
        self.means = np.asarray(means, dtype=float)
        check_shapes(weights, self.means)
        _check_parameter("means", self.means)
        self.dispersions = None
        kind: type[Any] = PoissonComponents
        if dispersions is not None:
            kind = NegativeBinomialComponents
            self.dispersions = np.asarray(dispersions, dtype=float)
            if self.dispersions.shape != self.means.shape:
                raise ValueError(
                    f"dispersions must have the shape of means, {self.means.shape}; got "
                    f"{self.dispersions.shape}."
                )
            _check_parameter("dispersions", self.dispersions)
        check_weights(weights)
        certain = np.ones((1, len(weights)))
        single_output = self.means.ndim == 2
        given = [values for values in (self.means, self.dispersions) if values is not None]
        own = (values[..., None] if single_output else values for values in given)
        super().__init__([kind(weights.T, *map(rows_last, own))], certain, single_output)

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
        [components] = self._parts
        return components  # type: ignore[no-any-return]


def _check_parameter(name: str, values: Array) -> None:
    refused = values[~((values >= 0.0) & np.isfinite(values))]
    if refused.size:
        raise ValueError(f"{name} must be finite and not negative; got {refused[0]}.")
