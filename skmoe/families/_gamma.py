"""Gamma distribution with a log link."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import digamma, gammaln, polygamma

from skmoe._numerics.typing import Array
from skmoe.distributions import GammaComponents
from skmoe.families._base import Partials, Positive


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

    def log_prob(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """Log density."""
        shape = np.exp(-log_dispersion[0])
        positive = np.where(y > 0.0, y, 1.0)
        log_ratio = np.log(positive) - predictor
        constant = -shape * log_dispersion[0] - gammaln(shape)
        logs = constant + shape * (log_ratio - np.exp(log_ratio)) - np.log(positive)
        return np.where(y > 0.0, logs, -np.inf)

    def predictor_score(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """Relative residual."""
        return y * np.exp(-predictor) - 1.0

    def dispersion_derivatives(self, y: Array, predictor: Array, log_dispersion: Any) -> Partials:
        """By the log dispersion, minus that by the log shape."""
        shape = np.exp(-log_dispersion[0])
        log_ratio = np.log(y) - predictor
        by_shape = 1.0 - log_dispersion[0] - digamma(shape) + log_ratio - np.exp(log_ratio)
        second = 1.0 / shape - polygamma(1, shape)
        return [-shape * by_shape], [[shape * by_shape + np.square(shape) * second]]

    def components(self, predictor: Array, log_dispersion: Any) -> GammaComponents:
        """The gamma distribution."""
        return GammaComponents.single(np.exp(predictor), np.exp(-log_dispersion[0]))

    def example_target(self, rng: np.random.Generator, n_rows: int) -> Array:
        """Gamma numbers of shape 3."""
        return rng.gamma(3.0, size=(1, n_rows))
