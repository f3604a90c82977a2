"""Weighted moments of columns that can be merged over blocks of rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse

from skmoe._data.scaling import CONSTANT_RTOL, Standardization, fit_standardization
from skmoe._numerics.typing import Array, Design


class Moments(NamedTuple):
    """Weight, mean and variance of the columns of all rows, old ones forgotten."""

    weight: float
    mean: Array
    variance: Array


def compute_moments(X: Design, weight: Array) -> Moments:
    """Moments of the columns of a batch."""
    total = weight.sum()
    spread = fit_standardization(X, weight).scale
    return Moments(
        float(total), (X.T @ weight) / total, np.where(np.isfinite(spread), spread, 0.0) ** 2
    )


def merge_moments(old: Moments, new: Moments, keep: float) -> Moments:
    """Moments of old rows, of which a share is kept, and of new ones."""
    before = keep * old.weight
    total = before + new.weight
    share, change = new.weight / total, new.mean - old.mean
    mean = old.mean + share * change
    spread_of_means = share * (1.0 - share) * change**2
    variance = (1.0 - share) * old.variance + share * new.variance + spread_of_means
    return Moments(total, mean, variance)


def feature_scale(moments: Moments, X: Design) -> Standardization:
    """Standardisation of features; sparse ones are scaled only."""
    spread = np.sqrt(moments.variance)
    constant = spread <= CONSTANT_RTOL * np.abs(moments.mean)
    center = np.zeros_like(spread) if sparse.issparse(X) else moments.mean
    return Standardization(center, np.where(constant, np.inf, spread))


def output_scale(moments: Moments) -> Standardization:
    """Standardisation of outputs; constant ones are centred only."""
    spread = np.sqrt(moments.variance)
    constant = spread <= CONSTANT_RTOL * np.abs(moments.mean)
    return Standardization(moments.mean, np.where(constant, 1.0, spread))
