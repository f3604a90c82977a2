"""Weighted moments of columns, which can be merged over blocks of rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse

from skmoe._data.scaling import CONSTANT_RTOL, Standardization, fit_standardization
from skmoe._numerics.typing import Array, Design


class Moments(NamedTuple):
    """Total weight of the rows, and mean and variance of the columns."""

    weight: float
    mean: Array
    variance: Array


def compute_moments(X: Design, weight: Array) -> Moments:
    """Moments of the columns of X."""
    total = weight.sum()
    std = fit_standardization(X, weight).scale
    return Moments(float(total), (X.T @ weight) / total, np.where(np.isfinite(std), std, 0.0) ** 2)


def merge_moments(old: Moments, new: Moments, decay: float) -> Moments:
    """Moments of old and new rows; the weight of the old ones is multiplied by `decay`."""
    total = decay * old.weight + new.weight
    fraction, change = new.weight / total, new.mean - old.mean
    mean = old.mean + fraction * change
    variance_of_means = fraction * (1.0 - fraction) * change**2
    variance = (1.0 - fraction) * old.variance + fraction * new.variance + variance_of_means
    return Moments(total, mean, variance)


def feature_scale(moments: Moments, X: Design) -> Standardization:
    """Standardisation of features; sparse features are scaled but not centred."""
    std = np.sqrt(moments.variance)
    constant = std <= CONSTANT_RTOL * np.abs(moments.mean)
    center = np.zeros_like(std) if sparse.issparse(X) else moments.mean
    return Standardization(center, np.where(constant, np.inf, std))


def output_scale(moments: Moments) -> Standardization:
    """Standardisation of outputs; constant outputs are centred but not scaled."""
    std = np.sqrt(moments.variance)
    constant = std <= CONSTANT_RTOL * np.abs(moments.mean)
    return Standardization(moments.mean, np.where(constant, 1.0, std))
