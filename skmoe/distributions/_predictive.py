"""The predictive distribution of a mixture of experts, from the components of its experts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from skmoe._numerics.typing import Array
from skmoe.distributions._count_families import NegativeBinomialComponents, PoissonComponents
from skmoe.distributions._counts import CountMixtureDistribution
from skmoe.distributions._general import GeneralMixtureDistribution
from skmoe.distributions._joint import correlations, marginals
from skmoe.distributions._nested import flatten_components
from skmoe.distributions._normal import MixtureDistribution, NormalComponents
from skmoe.distributions._point_mass import PointMassComponents
from skmoe.distributions._rows import mixture_parameters, mixture_weights

PredictiveDistribution = MixtureDistribution | CountMixtureDistribution | GeneralMixtureDistribution


def predictive_distribution(
    parts: Sequence[Any], gate_prob: Array, single_output: bool
) -> PredictiveDistribution:
    """Predictive distribution of a mixture of experts.

    The method `predict_dist` of the regressor calls it. You need it for components that you make
    yourself: see "Write your own expert" in the documentation.

    Parameters
    ----------
    parts : sequence of components
        Components of each of the K experts, for all rows. Their families may differ.
    gate_prob : ndarray of shape (K, n_rows)
        Probability of each expert.
    single_output : bool
        Whether the target has one dimension, so that the axis of the outputs is left out.

    Returns
    -------
    distribution : MixtureDistribution, CountMixtureDistribution or GeneralMixtureDistribution
        The first if all components are normal, the second if all are distributions of counts:
        Poissons, negative binomials and point masses at zero. The weights are those of the
        components times those of their expert.

    See Also
    --------
    MixtureDistribution : Mixtures of normals.
    CountMixtureDistribution : Mixtures of distributions of counts.
    GeneralMixtureDistribution : Mixtures of other families, and of several.

    Examples
    --------
    Two experts with the means 0 and 4, and one row, which is of the second one in three of four
    cases:

    >>> import numpy as np
    >>> from skmoe.distributions import NormalComponents, predictive_distribution
    >>> one = np.ones((1, 1, 1))
    >>> parts = [NormalComponents(one[0], mean * one, one) for mean in (0.0, 4.0)]
    >>> predictive_distribution(parts, np.array([[0.25], [0.75]]), single_output=True).mean
    array([3.])
    """
    parts, gate_prob = flatten_components(parts, gate_prob)
    weights = mixture_weights([part.weight for part in parts], gate_prob)
    if all(isinstance(part, NormalComponents) for part in marginals(parts)):
        return MixtureDistribution(
            weights,
            mixture_parameters([part.mean for part in marginals(parts)], single_output),
            mixture_parameters([part.std for part in marginals(parts)], single_output),
            None if single_output else correlations(parts),
        )
    counts = [_counts(part) for part in parts]
    if any(count is None for count in counts):
        return GeneralMixtureDistribution(parts, gate_prob, single_output)
    means, dispersions = zip(*counts, strict=True)
    dispersed = any(isinstance(part, NegativeBinomialComponents) for part in parts)
    return CountMixtureDistribution(
        weights,
        mixture_parameters(means, single_output),
        mixture_parameters(dispersions, single_output) if dispersed else None,
    )


def _counts(part: Any) -> tuple[Array, Array] | None:
    """Means and dispersions of components of counts, of which zero has mean 0; else None."""
    if isinstance(part, PoissonComponents):
        return part.mean, np.zeros_like(part.mean)
    if isinstance(part, NegativeBinomialComponents):
        return part.mean, part.dispersion
    if isinstance(part, PointMassComponents) and not part.value.any():
        return part.value, np.zeros_like(part.value)
    return None
