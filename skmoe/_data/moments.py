"""Weighted moments of columns, which can be merged over blocks of rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse

from skmoe._data.scaling import (
    CONSTANT_RTOL,
    Standardization,
    column_means,
    fit_standardization,
)
from skmoe._numerics.typing import Array, Design


class Moments(NamedTuple):
    """Total weight of the rows, and mean and standard deviation of the columns.

    Standard deviations are finite and positive where variances, which are squares, would overflow
    or vanish.
    """

    weight: float
    mean: Array
    std: Array


def compute_moments(X: Design, weight: Array) -> Moments:
    """Moments of the columns of X."""
    center, std = fit_standardization(X, weight)
    mean = column_means(X, weight) if sparse.issparse(X) else center
    return Moments(float(weight.sum()), mean, np.where(np.isfinite(std), std, 0.0))


def merge_moments(old: Moments, new: Moments, decay: float) -> Moments:
    """Moments of old and new rows; the weight of the old ones is multiplied by `decay`."""
    total = decay * old.weight + new.weight
    fraction, change = new.weight / total, new.mean - old.mean
    mean = old.mean + fraction * change
    within = np.hypot(np.sqrt(1.0 - fraction) * old.std, np.sqrt(fraction) * new.std)
    between = np.sqrt(fraction * (1.0 - fraction)) * np.abs(change)
    return Moments(total, mean, np.hypot(within, between))


def feature_scale(moments: Moments, X: Design) -> Standardization:
    """Standardisation of features; sparse features are scaled but not centred."""
    std = moments.std
    constant = std <= CONSTANT_RTOL * np.abs(moments.mean)
    center = np.zeros_like(std) if sparse.issparse(X) else moments.mean
    return Standardization(center, np.where(constant, np.inf, std))


def output_scale(moments: Moments) -> Standardization:
    """Standardisation of outputs; constant outputs are centred but not scaled."""
    std = moments.std
    constant = std <= CONSTANT_RTOL * np.abs(moments.mean)
    return Standardization(moments.mean, np.where(constant, 1.0, std))
