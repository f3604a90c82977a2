"""Covariance matrices as log variances and Fisher's z of the correlations.

For m variables there are P = m (m - 1) / 2 pairs, in the order of the upper triangle. These
coordinates do not depend on the units of the variables, except for constants.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from skmoe._numerics.typing import TINY, Array

# Largest correlation with a finite Fisher's z.
MAX_CORRELATION = 1.0 - 1e-12


@lru_cache(maxsize=32)
def pairs_of(n_variables: int) -> tuple[Array, Array]:
    """First and second variable of each pair, (P,)."""
    return np.triu_indices(n_variables, 1)


def correlation_matrix(fisher_z: Array, n_variables: int) -> Array:
    """Correlation matrices (..., m, m) from Fisher's z (..., P)."""
    matrix = np.zeros((*fisher_z.shape[:-1], n_variables, n_variables)) + np.eye(n_variables)
    first, second = pairs_of(n_variables)
    matrix[..., first, second] = matrix[..., second, first] = np.tanh(fisher_z)
    return matrix


def covariance_matrix(log_variance: Array, fisher_z: Array) -> Array:
    """Covariance matrices (..., m, m)."""
    std = np.exp(0.5 * log_variance)
    return std[..., :, None] * correlation_matrix(fisher_z, std.shape[-1]) * std[..., None, :]


def covariance_coordinates(covariance: Array) -> tuple[Array, Array]:
    """Log variances (..., m) and Fisher's z (..., P) of covariance matrices (..., m, m)."""
    variance = np.maximum(np.diagonal(covariance, axis1=-2, axis2=-1), TINY)
    first, second = pairs_of(variance.shape[-1])
    scale = np.sqrt(variance[..., first]) * np.sqrt(variance[..., second])
    correlation = np.clip(covariance[..., first, second] / scale, -MAX_CORRELATION, MAX_CORRELATION)
    return np.log(variance), np.arctanh(correlation)


def whitening(log_variance: Array, fisher_z: Array) -> tuple[Array, Array]:
    """Matrices W (..., m, m) with W W' the inverse of a covariance, and log determinants (...)."""
    values, vectors = np.linalg.eigh(correlation_matrix(fisher_z, log_variance.shape[-1]))
    values = np.maximum(values, 1.0 - MAX_CORRELATION)
    matrix = np.exp(-0.5 * log_variance)[..., None] * vectors / np.sqrt(values)[..., None, :]
    return matrix, log_variance.sum(axis=-1) + np.log(values).sum(axis=-1)


def with_least_eigenvalue(covariance: Array, floor: Array) -> Array:
    """The nearest covariances, in likelihood, that exceed the diagonal `floor` (..., m).

    The variance of no linear combination is smaller than under independent variables with the
    variances `floor`.
    """
    std = np.sqrt(floor)
    scale = std[..., :, None] * std[..., None, :]
    values, vectors = np.linalg.eigh(covariance / scale)
    raised = np.maximum(values, 1.0)
    return scale * np.einsum("...ij,...j,...kj->...ik", vectors, raised, vectors)


def least_eigenvalue(covariance: Array, floor: Array) -> Array:
    """Smallest eigenvalue (...) of covariances in units of the variances `floor` (..., m)."""
    std = np.sqrt(floor)
    return np.linalg.eigvalsh(covariance / (std[..., :, None] * std[..., None, :]))[..., 0]


def covariance_derivatives(log_variance: Array, fisher_z: Array) -> Array:
    """Derivatives (T, ..., m, m) of covariances by T coordinates."""
    covariance = covariance_matrix(log_variance, fisher_z)
    n_variables, (first, second) = covariance.shape[-1], pairs_of(covariance.shape[-1])
    unit, gradient = np.eye(n_variables), np.zeros((n_variables + len(first), *covariance.shape))
    share = 0.5 * (unit[:, :, None] + unit[:, None, :])  # of a log variance in each entry
    share = share.reshape(n_variables, *[1] * (covariance.ndim - 2), n_variables, n_variables)
    gradient[:n_variables] = share * covariance
    for own, (i, j) in enumerate(zip(first, second, strict=True), start=n_variables):
        size = np.exp(0.5 * (log_variance[..., i] + log_variance[..., j]))
        by_z = size * (1.0 - np.square(np.tanh(fisher_z[..., own - n_variables])))
        gradient[own, ..., i, j] = gradient[own, ..., j, i] = by_z
    return gradient
