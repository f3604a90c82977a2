"""Families of distributions of counts, and their components."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy.special import gammainccinv, gammaincinv

from skmoe._numerics.typing import Array
from skmoe.distributions import _negative_binomial, _poisson
from skmoe.distributions._components import Components
from skmoe.distributions._functions import ComponentFunctions
from skmoe.distributions._searches import LARGEST


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
        continued=SimpleNamespace(
            log_pdf=real.log_mass, cdf=real.cdf_real, sf=real.sf_real, discrete=False
        ),
        draw=real.draw,
        **others,
    )


POISSON = _functions_of_counts(
    _poisson,
    mode=np.floor,
)


NEGATIVE_BINOMIAL = _functions_of_counts(
    _negative_binomial,
    mode=_negative_binomial.mode,
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
