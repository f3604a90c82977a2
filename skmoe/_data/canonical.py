"""An order of columns and a sign of outputs that do not depend on how the user gives them.

Initialisation draws random numbers and breaks ties by position. It therefore works on columns in a
canonical order, and on outputs with a canonical order and sign. So a fit depends neither on the
order of columns and outputs nor on the sign of y.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse

from skmoe._data.scaling import BLOCK_ROWS, fit_standardization
from skmoe._numerics.typing import Array, Design

# Decimals of moments and correlations that are compared: round-off must not decide the order.
MOMENT_DECIMALS = 6


class CanonicalForm(NamedTuple):
    """Canonical order of columns, and order and signs of outputs."""

    columns: Array  # indices of the columns, (p,)
    outputs: Array  # indices of the outputs, (m,)
    signs: Array  # of the outputs in their given order, (m,)


def canonical_form(X: Design, Y: Array, weight: Array, *, signed: bool) -> CanonicalForm:
    """Canonical form of features (n, p) and targets (m, n) with row weights.

    Columns are sorted by their correlations with the targets and by their standardised moments. The
    sign of an output makes its skewness positive, or, if that is zero, its correlation with the
    first column. `signed=False` keeps order and signs of the targets, as for classes.
    """
    moments = _moments(X, Y, weight)
    strength = np.abs(moments.correlations)
    skewness = moments.skewness
    # Constant columns, whose moments are zero, come last.
    is_constant, kurtosis = moments.kurtosis == 0.0, moments.kurtosis
    columns = _sorted(is_constant, strength.sum(axis=0), np.abs(skewness), kurtosis, skewness)
    outputs, signs = np.arange(len(Y)), np.ones(len(Y))
    if signed:
        own = _moments(Y.T, Y[:0], weight)
        outputs = _sorted(np.abs(own.skewness), own.kurtosis, strength.sum(axis=1))
        signs = np.sign(own.skewness)
        if len(columns):
            by_column = np.sign(moments.correlations[:, columns])
            first = (by_column != 0).argmax(axis=1)
            signs = np.where(signs == 0, by_column[np.arange(len(Y)), first], signs)
        signs = np.where(signs == 0, 1.0, signs)
    return CanonicalForm(columns, outputs, signs)


def _sorted(*keys: Array) -> Array:
    """Indices sorted by several keys, the first key first."""
    return np.lexsort(keys[::-1])


class _Moments(NamedTuple):
    """Weighted moments of standardised columns, rounded."""

    skewness: Array  # (p,)
    kurtosis: Array
    correlations: Array  # with targets, (m, p)


def _moments(X: Design, Y: Array, weight: Array) -> _Moments:
    """Moments of the columns, and their correlations with the targets; zero for constant ones."""
    total = weight.sum()
    center, scale = fit_standardization(X, weight)
    target_center, target_scale = fit_standardization(Y.T, weight)
    targets = (Y - target_center[:, None]) / target_scale[:, None] * weight
    if sparse.issparse(X):
        unit = sparse.csr_array(X, dtype=np.float64, copy=True)
        unit.data /= scale[unit.indices]
        sums, power = [unit.T @ weight], unit
        for _ in range(3):
            power = power.multiply(unit)
            sums.append(power.T @ weight)
        first, second, third, fourth = (values / total for values in sums)
        cube = third - 3.0 * first * second + 2.0 * first**3
        fourth = fourth - 4.0 * first * third + 6.0 * first**2 * second - 3.0 * first**4
        correlations = (unit.T @ targets.T).T / total
    else:
        cube, fourth = np.zeros(X.shape[1]), np.zeros(X.shape[1])
        correlations = np.zeros((len(Y), X.shape[1]))
        for start in range(0, len(X), BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            unit = (X[block] - center) / scale
            square = np.square(unit)
            cube += weight[block] @ (square * unit)
            fourth += weight[block] @ np.square(square)
            correlations += targets[:, block] @ unit
        cube, fourth, correlations = cube / total, fourth / total, correlations / total
    return _Moments(*(np.round(values, MOMENT_DECIMALS) for values in (cube, fourth, correlations)))
