"""Parameters and statistics of generalised linear experts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from skmoe._numerics.typing import Array
from skmoe.families import Family


class GeneralizedLinearParams(NamedTuple):
    """Coefficients (K, m, d), and log dispersions (K, m, T) for m outputs.

    T is the largest number of dispersion parameters of an expert; unused ones are zero, and so are
    the coefficients of experts without linear predictor.
    """

    coef: Array
    log_dispersion: Array


class GeneralizedLinearStatistics(NamedTuple):
    """Sums of derivatives of the expected log-likelihood."""

    weight: Array  # of the rows of each expert, (K,)
    gradient: Array  # by the coefficients, times the scale if there is one, (K, m, d)
    dispersion_gradient: Array  # by the log dispersions, (K, m, T)
    dispersion_hessian: Array  # (K, m, T, T)
    # By log dispersions and coefficients, (K, m, T, d); (K, m, 0, d) where they are not coupled.
    cross: Array


class RescaledTarget(NamedTuple):
    """A linear map of the outputs, slope * y + shift."""

    slope: Array
    shift: Array


def possible_target(family: Family, y: Array) -> Array:
    """The target, with one in place of values outside the support, whose derivatives are finite."""
    possible = family.in_support(y)
    return y if possible.all() else np.where(possible, y, 1.0)
