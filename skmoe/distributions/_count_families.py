"""Families of distributions of counts, and their components."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np
from scipy.special import gammainccinv, gammaincinv

from skmoe._numerics.typing import Array
from skmoe.distributions import _negative_binomial, _poisson
from skmoe.distributions._component_functions import Component, ComponentFunctions
from skmoe.distributions._components import Components
from skmoe.distributions._count_sums import half_mean_difference


def _poisson_crps(y: Array, mean: Array) -> Array:
    """Score of one component: Czado, Gneiting and Held (2009), in closed form."""
    return _poisson.mean_distance(y, mean) - 0.5 * _poisson.mean_difference(mean, mean)


def _gamma_quantile(q: float, mean: Array, variance: Array) -> Array:
    """Quantile of the gamma distribution of these moments, rounded down."""
    shape, scale = mean**2 / np.maximum(variance, 1e-300), variance / np.maximum(mean, 1e-300)
    return np.floor(scale * gammaincinv(np.maximum(shape, 1e-300), q))


def _gamma_upper_quantile(q: float, mean: Array, variance: Array) -> Array:
    """Upper quantile of the gamma distribution of these moments, rounded up."""
    shape, scale = mean**2 / np.maximum(variance, 1e-300), variance / np.maximum(mean, 1e-300)
    return np.ceil(scale * gammainccinv(np.maximum(shape, 1e-300), q))


POISSON = ComponentFunctions(
    discrete=True,
    counts=True,
    mean=lambda mean: mean,
    variance=lambda mean: mean,
    mode=np.floor,
    log_pdf=_poisson.log_pmf,
    cdf=_poisson.cdf,
    sf=_poisson.sf,
    log_cdf=_poisson.log_cdf,
    log_sf=_poisson.log_sf,
    quantile=lambda q, mean: _gamma_quantile(q, mean, mean),
    upper_quantile=lambda q, mean: _gamma_upper_quantile(q, mean, mean),
    crps=_poisson_crps,
    draw=_poisson.draw,
    mean_distance=_poisson.mean_distance,
    smooth_sf=_poisson.smooth_sf,
    mass_ratio=lambda count, mean: mean / count,
    mean_difference=_poisson.mean_difference,
)


def _variance(mean: Array, dispersion: Array) -> Array:
    return mean * (1.0 + dispersion * mean)


def _negative_binomial_crps(y: Array, mean: Array, dispersion: Array) -> Array:
    """Score of one component; that of two independent counts is summed."""
    mean, dispersion = np.broadcast_arrays(mean, dispersion)
    flat = Component(NEGATIVE_BINOMIAL, np.ones(mean.size), (mean.ravel(), dispersion.ravel()))
    half = half_mean_difference([flat]).reshape(mean.shape)
    return _negative_binomial.mean_distance(y, mean, dispersion) - half


NEGATIVE_BINOMIAL = ComponentFunctions(
    discrete=True,
    counts=True,
    mean=lambda mean, dispersion: mean,
    variance=_variance,
    mode=_negative_binomial.mode,
    log_pdf=_negative_binomial.log_pmf,
    cdf=_negative_binomial.cdf,
    sf=_negative_binomial.sf,
    log_cdf=_negative_binomial.log_cdf,
    log_sf=_negative_binomial.log_sf,
    quantile=lambda q, mean, dispersion: _gamma_quantile(q, mean, _variance(mean, dispersion)),
    upper_quantile=lambda q, mean, dispersion: _gamma_upper_quantile(
        q, mean, _variance(mean, dispersion)
    ),
    crps=_negative_binomial_crps,
    draw=_negative_binomial.draw,
    mean_distance=_negative_binomial.mean_distance,
    smooth_sf=_negative_binomial.smooth_sf,
    mass_ratio=_negative_binomial.mass_ratio,
)


class _PoissonFields(NamedTuple):
    weight: Array
    mean: Array


class PoissonComponents(_PoissonFields, Components):
    """Mixtures of Poissons that one expert predicts, one for each row; rows are the last axis.

    Attributes
    ----------
    weight : ndarray of shape (n_components, n_rows)
        Probabilities of the components, which sum to one.
    mean : ndarray of shape (n_components, n_outputs, n_rows)
        Means of the components.

    See Also
    --------
    predictive_distribution : The mixture of the components of several experts.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.distributions import PoissonComponents, predictive_distribution
    >>> parts = PoissonComponents(np.ones((1, 2)), np.full((1, 1, 2), 3.0))
    >>> predictive_distribution([parts], np.ones((1, 2)), single_output=True).var
    array([3., 3.])
    """

    functions: ClassVar[ComponentFunctions] = POISSON
    absent: ClassVar[tuple[float, ...]] = (1.0,)


class _NegativeBinomialFields(NamedTuple):
    weight: Array
    mean: Array
    dispersion: Array


class NegativeBinomialComponents(_NegativeBinomialFields, Components):
    """Mixtures of negative binomials that one expert predicts; rows are the last axis.

    Attributes
    ----------
    weight : ndarray of shape (n_components, n_rows)
        Probabilities of the components, which sum to one.
    mean : ndarray of shape (n_components, n_outputs, n_rows)
        Means of the components.
    dispersion : ndarray of shape (n_components, n_outputs, n_rows)
        Dispersions of the components; the variance is mean + dispersion * mean^2. Dispersion 0 is
        the Poisson.

    See Also
    --------
    predictive_distribution : The mixture of the components of several experts.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.distributions import NegativeBinomialComponents, predictive_distribution
    >>> mean, dispersion = np.full((1, 1, 2), 3.0), np.ones((1, 1, 2))
    >>> parts = NegativeBinomialComponents(np.ones((1, 2)), mean, dispersion)
    >>> predictive_distribution([parts], np.ones((1, 2)), single_output=True).var
    array([12., 12.])
    """

    functions: ClassVar[ComponentFunctions] = NEGATIVE_BINOMIAL
    absent: ClassVar[tuple[float, ...]] = (1.0, 0.0)
