"""The distribution of one certain value."""

from __future__ import annotations

from collections import namedtuple

import numpy as np

from skmoe._numerics.probability import log_probability
from skmoe._numerics.typing import Array
from skmoe.distributions._component_functions import ComponentFunctions, Components


def _indicator(holds: Array, y: Array) -> Array:
    """One where it holds, else zero; what is not a number stays so."""
    return np.where(np.isnan(y), np.nan, np.where(holds, 1.0, 0.0))


POINT_MASS = ComponentFunctions(
    mean=lambda value: value,
    variance=np.zeros_like,
    mode=lambda value: value,
    log_pdf=lambda y, value: log_probability(_indicator(y == value, y)),
    cdf=lambda y, value: _indicator(y >= value, y),
    sf=lambda y, value: _indicator(y < value, y),
    quantile=lambda q, value: value,
    upper_quantile=lambda q, value: value,
    crps=lambda y, value: np.abs(y - value),
    draw=lambda rng, value: value,
    atoms=lambda value: (value,),
    discrete=True,
)


class PointMassComponents(namedtuple("_PointMassFields", "weight value"), Components):
    """Certain values that one expert predicts, one for each row; rows are the last axis.

    Attributes
    ----------
    weight : ndarray of shape (n_components, n_rows)
        Probabilities of the components, which sum to one.
    value : ndarray of shape (n_components, n_outputs, n_rows)
        The value of y that each component takes with probability one.

    See Also
    --------
    predictive_distribution : The mixture of the components of several experts.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.distributions import PointMassComponents, predictive_distribution
    >>> parts = PointMassComponents(np.ones((1, 2)), np.full((1, 1, 2), 5.0))
    >>> predictive_distribution([parts], np.ones((1, 2)), single_output=True).mean
    array([5., 5.])
    """

    functions = POINT_MASS

    def rescale(self, center: Array, scale: Array) -> PointMassComponents:
        """Components of the target in its own units, center + scale * y, both of shape (m,)."""
        return self._replace(value=center[:, None] + scale[:, None] * self.value)
