"""Families of distributions of counts, and their components."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy.special import gammainccinv, gammaincinv, i0e, i1e

from skmoe._numerics.typing import Array
from skmoe.distributions import _negative_binomial, _poisson
from skmoe.distributions._components import Components
from skmoe.distributions._functions import ComponentFunctions
from skmoe.distributions._scores import half_mean_difference
from skmoe.distributions._searches import LARGEST, Component


def _functions_of_counts(real: Any, **others: Any) -> ComponentFunctions:
    """A family of counts, from a module with its functions of real numbers."""

    def log_pmf(y: Array, *parameters: Array) -> Array:
        count = np.clip(y, 0.0, LARGEST)
        possible = ((y == count) & (np.floor(count) == count)) | np.isnan(y)
        return np.where(possible, real.log_mass(count, *parameters), -np.inf)

    def at_counts(
        function: Callable[..., Array], below_zero: float, at_infinity: float
    ) -> Callable[..., Array]:
        def answer(y: Array, *parameters: Array) -> Array:
            count = np.clip(np.floor(np.where(np.isposinf(y), 0.0, y)), 0.0, LARGEST)
            found = np.where(np.isposinf(y), at_infinity, function(count, *parameters))
            found = np.where(np.asarray(y) < 0.0, below_zero, found)
            return np.where(np.isnan(y), np.nan, found)

        return answer

    def variance(mean: Array, *dispersion: Array) -> Array:
        return mean * (1.0 + sum(dispersion) * mean)

    def gamma_quantile(of_tail: Any, q: float, mean: Array, *dispersion: Array) -> Array:
        """That of the gamma distribution with the same moments."""
        of_y = variance(mean, *dispersion)
        scale = of_y / np.maximum(mean, 1e-300)
        shape = mean**2 / np.maximum(of_y, 1e-300)
        return scale * of_tail(np.maximum(shape, 1e-300), q)

    cdf = at_counts(real.cdf_real, 0.0, 1.0)

    def mean_distance(y: Array, mean: Array, *dispersion: Array) -> Array:
        below = 2.0 * cdf(y, mean, *dispersion) - 1.0
        count = np.where(np.isinf(y), 0.0, np.floor(y))
        at = np.exp(log_pmf(count, mean, *dispersion))
        if dispersion:
            at = at * (1.0 + dispersion[0] * count)
        return (y - mean) * below + 2.0 * mean * np.where(np.isinf(y), 0.0, at)

    return ComponentFunctions(
        discrete=True,
        counts=True,
        mean=lambda mean, *_: mean,
        variance=variance,
        quantile=lambda q, *own: np.floor(gamma_quantile(gammaincinv, q, *own)),
        upper_quantile=lambda q, *own: np.ceil(gamma_quantile(gammainccinv, q, *own)),
        log_pdf=log_pmf,
        cdf=cdf,
        sf=at_counts(real.sf_real, 1.0, 0.0),
        log_cdf=at_counts(real.log_cdf_real, -np.inf, 0.0),
        log_sf=at_counts(real.log_sf_real, 0.0, -np.inf),
        mean_distance=mean_distance,
        continued=SimpleNamespace(log_pdf=real.log_mass, sf=real.sf_real, discrete=False),
        draw=real.draw,
        **others,
    )


def _poisson_crps(y: Array, mean: Array) -> Array:
    """Score of one component: Czado, Gneiting and Held (2009), in closed form."""
    return POISSON.mean_distance(y, mean) - mean * (i0e(2.0 * mean) + i1e(2.0 * mean))


POISSON = _functions_of_counts(
    _poisson,
    mode=np.floor,
    crps=_poisson_crps,
    mass_ratio=lambda count, mean: mean / count,
)


def _negative_binomial_crps(y: Array, mean: Array, dispersion: Array) -> Array:
    """Score of one component; that of two independent counts is summed."""
    mean, dispersion = np.broadcast_arrays(mean, dispersion)
    flat = Component(NEGATIVE_BINOMIAL, np.ones(mean.size), (mean.ravel(), dispersion.ravel()))
    half = half_mean_difference([flat]).reshape(mean.shape)
    return NEGATIVE_BINOMIAL.mean_distance(y, mean, dispersion) - half


NEGATIVE_BINOMIAL = _functions_of_counts(
    _negative_binomial,
    mode=_negative_binomial.mode,
    crps=_negative_binomial_crps,
    mass_ratio=_negative_binomial.mass_ratio,
)


class PoissonComponents(namedtuple("_PoissonFields", "weight mean"), Components):
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

    functions = POISSON


class NegativeBinomialComponents(
    namedtuple("_NegativeBinomialFields", "weight mean dispersion"), Components
):
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

    functions = NEGATIVE_BINOMIAL
