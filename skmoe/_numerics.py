"""The mathematics: arrays in, arrays out. Nothing here validates, nothing knows an estimator.

Conventions
-----------
A *design* is the (n, d) matrix of standardised features whose last column is all ones, CSR or dense
in columns, so that weights of rows run along memory. The component axis (experts, classes) comes
first and the row axis last: responsibilities are (K, n), logits of C classes within K experts
(K, C, n), coefficients (K, d) or (K, C, d).

Softmax models use symmetric coding: one coefficient vector for each class, summing to zero over
the classes. Newton steps are taken in the coordinates of `contrasts`, in which no direction is
free, so that no gauge has to be fixed afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

Array = NDArray[Any]
Design = Any  # an ndarray or a scipy.sparse CSR array
Values = TypeVar("Values", bound=tuple)

LOG_2PI = float(np.log(2.0 * np.pi))
SMALLEST = float(np.finfo(np.float64).tiny)
# A pivot this far below the largest says that the matrix is singular to working precision.
SINGULAR_PIVOT = 1e-7
# Multiplications up to which BLAS has kernels that are faster than computing one triangle only.
SMALL_PRODUCT = 10**6
# Largest system of a dense Newton step; beyond it the Hessian is bounded by a smaller one.
DENSE_NEWTON = 1000


# --- products with a design -------------------------------------------------------------------


def linear(coef: Array, design: Design) -> Array:
    """Linear predictors `coef @ design.T` of shape (..., n) for coefficients (..., d)."""
    flat = coef.reshape(-1, coef.shape[-1])
    # For CSR the product must have the sparse operand on the left.
    product = (design @ flat.T).T if sparse.issparse(design) else flat @ design.T
    return product.reshape(*coef.shape[:-1], design.shape[0])


def weighted_sums(weights: Array, design: Design) -> Array:
    """Weighted column sums `weights @ design` of shape (..., d) for weights (..., n)."""
    flat = weights.reshape(-1, weights.shape[-1])
    sums = (design.T @ flat.T).T if sparse.issparse(design) else flat @ design
    return sums.reshape(*weights.shape[:-1], design.shape[1])


def weighted_gram(design: Design, weight: Array) -> Array:
    """Gram matrix of the design with non-negative row weights, (d, d)."""
    if sparse.issparse(design):
        scaled = design.copy()
        scaled.data *= np.repeat(weight, np.diff(design.indptr))
        return (scaled.T @ design).toarray()
    if design.size * design.shape[1] <= SMALL_PRODUCT:
        return (design.T * weight) @ design
    root = design.T * np.sqrt(weight)
    return root @ root.T  # one array twice: BLAS computes one triangle only


# --- log space --------------------------------------------------------------------------------


def log_normalise(joint: Array) -> tuple[Array, Array]:
    """Split log-joint probabilities (K, n) into responsibilities (K, n) and log densities (n,)."""
    peak = joint.max(axis=0)
    resp = joint - peak
    np.exp(resp, out=resp)
    total = resp.sum(axis=0)
    resp /= total
    return resp, peak + np.log(total)


def log_softmax(logits: Array, axis: int = 0) -> Array:
    """Logarithm of the softmax along one axis."""
    shifted = logits - logits.max(axis=axis, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
    return shifted


# --- least squares ----------------------------------------------------------------------------


def ridge_solve(gram: Array, cross: Array, ridge: Array) -> Array:
    """Ridge coefficients (m, d) from a Gram matrix (d, d), cross products (m, d), penalties (d,).

    Cholesky, or the minimum-norm solution when the penalised Gram matrix is singular.
    """
    penalised = gram + np.diag(ridge)
    try:
        factor = linalg.cholesky(penalised, lower=True)
    except linalg.LinAlgError:
        return _minimum_norm(penalised, cross)
    pivots = np.diag(factor)
    if pivots.min() < SINGULAR_PIVOT * pivots.max():
        return _minimum_norm(penalised, cross)
    return linalg.cho_solve((factor, True), cross.T).T


def _minimum_norm(matrix: Array, right: Array) -> Array:
    values, vectors = linalg.eigh(matrix)
    keep = values > SINGULAR_PIVOT**2 * max(values[-1], SMALLEST)
    vectors = vectors[:, keep]
    return (right @ vectors / values[keep]) @ vectors.T


def slope_ridge(alpha: float, n_columns: int) -> Array:
    """Ridge on every column of a design but the intercept's, (d,)."""
    return np.append(np.full(n_columns - 1, float(alpha)), 0.0)


# --- softmax models with soft targets ---------------------------------------------------------


def contrasts(n_classes: int, *, binary: bool = False) -> Array:
    """Columns that span the coefficient vectors summing to zero, (n_classes, n_classes - 1).

    Orthonormal Helmert contrasts, so that a ridge on the coordinates is the ridge on the symmetric
    coefficients. With `binary` the coordinate of two classes is the difference of their
    coefficients, the parameter that a logistic regression penalises.
    """
    if binary and n_classes == 2:
        return np.array([[-0.5], [0.5]])
    return linalg.helmert(n_classes).T


def softmax_gradient(design: Design, targets: Array, probs: Array) -> Array:
    """Gradient (..., C, d) of the weighted log-likelihood at class probabilities (..., C, n).

    `targets` (..., C, n) hold the row weights shared among the classes; their sum over the classes
    is the weight of the row.
    """
    return weighted_sums(targets - targets.sum(axis=-2, keepdims=True) * probs, design)


def softmax_curvature(design: Design, weight: Array, probs: Array) -> Array:
    """Negative Hessian of a softmax log-likelihood, or its bound where that would be too large.

    The Hessian is returned in blocks (C, C, d, d). The bound is half the weighted Gram matrix
    (d, d), which times the identity over the classes dominates the Hessian everywhere [1]_.

    References
    ----------
    .. [1] D. Böhning and B. G. Lindsay (1988), "Monotonicity of quadratic-approximation
       algorithms", Annals of the Institute of Statistical Mathematics 40, 641-663.
    """
    n_classes, n_columns = probs.shape[0], design.shape[1]
    if (n_classes - 1) * n_columns > DENSE_NEWTON:
        return 0.5 * weighted_gram(design, weight)
    blocks = np.zeros((n_classes, n_classes, n_columns, n_columns))
    for a in range(n_classes):
        for b in range(a):
            gram = weighted_gram(design, weight * probs[a] * probs[b])
            blocks[a, b] = blocks[b, a] = -gram
            # The blocks of a row of the Hessian sum to zero.
            blocks[a, a] += gram
            blocks[b, b] += gram
    return blocks


def softmax_factor(curvature: Array, basis: Array, ridge: Array) -> Array:
    """Cholesky factor of a penalised `softmax_curvature` in contrast coordinates."""
    if curvature.ndim == 2:
        return _cholesky((basis[:, 0] @ basis[:, 0]) * curvature + np.diag(ridge))
    half = np.tensordot(basis, curvature, axes=(0, 0))  # (C-1, C, d, d)
    reduced = np.einsum("ibde,bj->idje", half, basis, optimize=True)
    size = reduced.shape[0] * reduced.shape[1]
    return _cholesky(reduced.reshape(size, size) + np.diag(np.tile(ridge, reduced.shape[0])))


def softmax_ascent(
    factor: Array, gradient: Array, coef: Array, basis: Array, ridge: Array
) -> Array:
    """Newton step (C, d) of the penalised log-likelihood, in symmetric coding."""
    ascent = basis.T @ gradient - ridge * contrast_coordinates(coef, basis)
    if factor.shape[0] == gradient.shape[1]:  # the bound: one system for every contrast
        solved = linalg.cho_solve((factor, True), ascent.T).T
    else:
        solved = linalg.cho_solve((factor, True), ascent.ravel()).reshape(ascent.shape)
    return basis @ solved


def contrast_coordinates(coef: Array, basis: Array) -> Array:
    """Coordinates (..., C-1, d) of symmetric coefficients (..., C, d) in a contrast basis."""
    return (basis.T @ coef) / (basis**2).sum(axis=0)[:, None]


def _cholesky(matrix: Array) -> Array:
    """Lower Cholesky factor, of the matrix plus a small multiple of the identity if need be."""
    largest = np.abs(np.diag(matrix)).max()
    size = largest if largest > SMALLEST else 1.0
    jitter = 0.0
    while True:
        try:
            factor = linalg.cholesky(matrix + jitter * np.eye(len(matrix)), lower=True)
        except linalg.LinAlgError:
            pass
        else:
            if np.diag(factor).min() > SINGULAR_PIVOT * np.diag(factor).max():
                return factor
        jitter = max(10.0 * jitter, 1e-13 * size)


# --- parameters as values ---------------------------------------------------------------------


def add(left: Values, right: Values) -> Values:
    """Add two named tuples of arrays field by field."""
    return type(left)(*(a + b for a, b in zip(left, right, strict=True)))


def extrapolate(
    start: Sequence[Array], first: Sequence[Array], second: Sequence[Array], longest: float
) -> tuple[list[Array], float]:
    """Squared extrapolation from three successive iterates of a fixed-point map [1]_.

    Parameters
    ----------
    start, first, second : sequences of arrays
        An iterate and the next two.
    longest : float
        Largest step length allowed; 1 gives `second`.

    Returns
    -------
    extrapolated : list of arrays
    length : float
        The step length used.

    References
    ----------
    .. [1] R. Varadhan and C. Roland (2008), "Simple and globally convergent methods for
       accelerating the convergence of any EM algorithm", Scandinavian Journal of Statistics 35,
       335-353. Scheme SqS3.
    """
    change = [b - a for a, b in zip(start, first, strict=True)]
    bend = [c - b - r for b, c, r in zip(first, second, change, strict=True)]
    ratio = np.sqrt(_squares(change) / max(_squares(bend), SMALLEST))
    length = float(np.clip(ratio, 1.0, longest))
    moved = [
        a + 2.0 * length * r + length**2 * v for a, r, v in zip(start, change, bend, strict=True)
    ]
    return moved, length


def _squares(arrays: list[Array]) -> float:
    return float(sum(np.vdot(a, a) for a in arrays))
