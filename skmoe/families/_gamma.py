"""Gamma distribution with a log link."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import digamma, gammaln

from skmoe._numerics.gamma_functions import trigamma
from skmoe._numerics.typing import Array
from skmoe.distributions import GammaComponents
from skmoe.families._base import Curvature, Positive, as_outputs


@dataclass(frozen=True)
class Gamma(Positive):
    r"""Gamma distribution with mean :math:`\mu = \exp(\eta)` and variance :math:`\phi \mu^2` [1]_.

    Use it, as `family="gamma"`, for positive values such as costs and times, whose standard
    deviation is proportional to the mean. The dispersion :math:`\phi` is the inverse of the shape.
    See "What do the claims of a person cost?" in the gallery.

    See Also
    --------
    LogNormal : Positive values with a heavier tail.

    References
    ----------
    .. [1] P. McCullagh and J. A. Nelder (1989), "Generalized Linear Models", 2nd edition, Chapman
       and Hall, chapter 8.

    Examples
    --------
    >>> from skmoe.families import Gamma
    >>> Gamma().support
    'positive numbers'
    """

    name: ClassVar[str] = "gamma"

    def derivatives(self, y: Array, eta: Sequence[Array]) -> Iterator[Any]:
        """Expected information."""
        shape, log_y = np.exp(-eta[1]), np.log(y)
        ratio = log_y - eta[0]
        excess = np.expm1(ratio)
        ratio -= excess  # log ratio - ratio + 1
        logs = ratio * shape
        logs -= shape * (1.0 + eta[1]) + gammaln(shape)
        logs -= log_y
        yield logs
        excess *= shape
        ratio -= eta[1] + digamma(shape)
        ratio *= -shape
        yield excess, ratio
        yield {(0, 0): shape, (1, 1): np.square(shape) * trigamma(shape) - shape}

    def second(self, y: Array, eta: Sequence[Array]) -> Curvature:
        """By linear predictor and log dispersion, minus the log shape."""
        shape, log_ratio = np.exp(-eta[1]), np.log(y) - eta[0]
        excess = np.expm1(log_ratio)
        by_shape = log_ratio - excess - eta[1] - digamma(shape)
        return {
            (0, 0): -shape * (1.0 + excess),
            (0, 1): -shape * excess,
            (1, 1): shape * (by_shape + 1.0) - np.square(shape) * trigamma(shape),
        }

    def components(self, eta: Sequence[Array]) -> GammaComponents:
        """The gamma distribution."""
        predictor, log_dispersion = as_outputs(eta)
        return GammaComponents.single(np.exp(predictor), np.exp(-log_dispersion))

    def example_target(self, rng: np.random.Generator, n_rows: int) -> Array:
        """Gamma numbers of shape 3."""
        return rng.gamma(3.0, size=(1, n_rows))
