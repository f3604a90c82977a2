"""Distributions of certain values: of one, and of ordered ones, the same for all rows."""

from __future__ import annotations

from collections import namedtuple
from functools import partial
from typing import Any

import numpy as np

from skmoe._numerics.probability import log_probability
from skmoe._numerics.typing import Array
from skmoe.distributions._components import Block, Components
from skmoe.distributions._functions import ComponentFunctions


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


# Functions of the sorted values, of points, and of one array of probabilities for each value.


def _total(compare: Any, values: Array, y: Array, *probabilities: Array) -> Array:
    """Sum of the probabilities of the values of which the comparison with y is true."""
    holds = compare(y, values.reshape(-1, *([1] * np.ndim(y))))
    terms = (np.where(h, p, 0.0) for h, p in zip(holds, probabilities, strict=True))
    return np.where(np.isnan(y), np.nan, np.minimum(sum(terms), 1.0))


def _mean(values: Array, *probabilities: Array) -> Array:
    return np.asarray(sum(v * p for v, p in zip(values, probabilities, strict=True)))


def _variance(values: Array, *probabilities: Array) -> Array:
    deviations = (np.square(value - _mean(values, *probabilities)) for value in values)
    return np.asarray(sum(d * p for d, p in zip(deviations, probabilities, strict=True)))


def _mode(values: Array, *probabilities: Array) -> Array:
    return values[np.argmax(np.stack(probabilities), axis=0)]


def _quantile(values: Array, q: float, *probabilities: Array) -> Array:
    below = np.cumsum(np.stack(probabilities), axis=0)
    return values[(below[:-1] < q).sum(axis=0)]


def _upper_quantile(values: Array, q: float, *probabilities: Array) -> Array:
    above = np.cumsum(np.stack(probabilities[::-1]), axis=0)
    return values[len(values) - 1 - (above[:-1] <= q).sum(axis=0)]


def _draw(values: Array, rng: np.random.RandomState, *probabilities: Array) -> Array:
    below = np.cumsum(np.stack(probabilities), axis=0)
    drawn = rng.uniform(size=probabilities[0].shape) * below[-1]
    return values[(drawn >= below[:-1]).sum(axis=0)]


def ordinal_family(values: Array) -> ComponentFunctions:
    """The family of distributions on sorted values; the parameters are their probabilities."""
    comparisons = np.equal, np.greater_equal, np.less
    mass, cdf, sf = (partial(_total, compare, values) for compare in comparisons)
    return ComponentFunctions(
        mean=partial(_mean, values),
        variance=partial(_variance, values),
        mode=partial(_mode, values),
        log_pdf=lambda y, *probabilities: log_probability(mass(y, *probabilities)),
        cdf=cdf,
        sf=sf,
        quantile=partial(_quantile, values),
        upper_quantile=partial(_upper_quantile, values),
        draw=partial(_draw, values),
        atoms=lambda *probabilities: tuple(
            np.full(probabilities[0].shape, value) for value in values
        ),
        discrete=True,
    )


class OrdinalComponents(namedtuple("_OrdinalFields", "weight values probabilities"), Components):
    """Distributions on ordered values that one expert predicts; rows are the last axis.

    Attributes
    ----------
    weight : ndarray of shape (n_components, n_rows)
        Probabilities of the components, which sum to one.
    values : ndarray of shape (n_levels,)
        The values of y, sorted; they are the same for all rows.
    probabilities : ndarray of shape (n_components, n_outputs, n_levels, n_rows)
        Probabilities of the values, which sum to one over the levels.

    See Also
    --------
    predictive_distribution : The mixture of the components of several experts.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.distributions import OrdinalComponents, predictive_distribution
    >>> probabilities = np.full((1, 1, 4, 2), 0.25)
    >>> parts = OrdinalComponents(np.ones((1, 2)), np.array([1.0, 2.0, 3.0, 4.0]), probabilities)
    >>> predictive_distribution([parts], np.ones((1, 2)), single_output=True).mean
    array([2.5, 2.5])
    """

    def block(self) -> Block:
        """Family and parameters, rows first."""
        levels = np.moveaxis(self.probabilities, 2, 0)
        return Block(
            ordinal_family(np.asarray(self.values, dtype=float)),
            tuple(np.ascontiguousarray(level).transpose(2, 0, 1) for level in levels),
        )
