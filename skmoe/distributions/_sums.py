"""Sums over components: term by term, so that no array holds all components."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from skmoe._numerics.normal_mixtures import log_total
from skmoe._numerics.typing import Array
from skmoe.distributions._component_functions import Component, ComponentFunctions

# A function of points and parameters, by the family that it belongs to.
FamilyFunction = Callable[[ComponentFunctions], Callable[..., Array]]


def weighted_sum(components: Iterable[Component], function: FamilyFunction, points: Array) -> Array:
    """Sum of weighted probabilities."""
    total = np.zeros(())
    for family, weight, parameters in components:
        total = total + weight * function(family)(points, *parameters)
    return np.minimum(total, 1.0)


def log_weighted_sum(
    components: Iterable[Component], function: FamilyFunction, points: Array
) -> Array:
    """Log of the weighted sum of exponentials."""
    # Absent components have weight zero; what is not a number stays so.
    with np.errstate(divide="ignore", invalid="ignore"):
        return log_total(
            np.log(weight) + function(family)(points, *parameters)
            for family, weight, parameters in components
        )
