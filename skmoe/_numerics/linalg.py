"""The mathematics: arrays in, arrays out. Nothing here validates, nothing knows an estimator.

Conventions
-----------
A *design* is the (n, d) matrix of standardised features whose last column is all ones, CSR or dense
in columns, so that weights of rows run along memory. The component axis (experts, classes) comes
first and the row axis last: responsibilities are (K, n), logits of C classes within K experts
(K, C, n), coefficients (K, d) or (K, C, d).

Products with a dense design in single precision are computed in it, block by block; all else, and
the sums over the blocks, are in double precision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import linalg, sparse

from skmoe._numerics.typing import TINY, Array, Design

# A pivot this far below the largest says that the matrix is singular to working precision.
PIVOT_TOL = 1e-7

# Multiplications up to which BLAS has kernels that are faster than computing one triangle only.
MAX_SMALL_PRODUCT = 10**6

# Weights for each that is not zero, and columns times that, from which rows are sorted by weight.
SPARSE_WEIGHTS_FACTOR = 8

SPARSE_WEIGHTS_COLUMNS = 500

# Largest Gram matrix that is formed; larger systems are solved by conjugate gradients.
MAX_DENSE_GRAM = 1000

# Residual, relative to the first, that ends conjugate gradients, and most products they take: the
# next iteration of EM goes on from there.
RIDGE_CG_TOL = 0.01

CG_MAX_ITER = 40


# --- products with a design -------------------------------------------------------------------


def linear_predictor(coef: Array, design: Design) -> Array:
    """Linear predictors `coef @ design.T` of shape (..., n) for coefficients (..., d)."""
    flat = coef.reshape(-1, coef.shape[-1])
    # For CSR the product must have the sparse operand on the left.
    if sparse.issparse(design):
        product = np.ascontiguousarray((design @ flat.T).T)
    else:
        product = _to_float64(flat.astype(design.dtype, copy=False) @ design.T)
    return product.reshape(*coef.shape[:-1], design.shape[0])


def weighted_column_sums(weights: Array, design: Design) -> Array:
    """Weighted column sums `weights @ design` of shape (..., d) for weights (..., n)."""
    flat = weights.reshape(-1, weights.shape[-1])
    if sparse.issparse(design):
        sums = (design.T @ flat.T).T
    else:
        sums = _to_float64(flat.astype(design.dtype, copy=False) @ design)
    return sums.reshape(*weights.shape[:-1], design.shape[1])


def _to_float64(product: Array) -> Array:
    return product.astype(np.float64, copy=False)


def weighted_gram(design: Design, weight: Array) -> Array:
    """Gram matrix of the design with non-negative row weights, (d, d)."""
    kept = np.flatnonzero(weight)
    if 2 * len(kept) < len(weight):
        design, weight = design[kept], weight[kept]
    if sparse.issparse(design):
        scaled = design.copy()
        scaled.data *= np.repeat(weight, np.diff(design.indptr))
        return (scaled.T @ design).toarray()
    if design.size * design.shape[1] <= MAX_SMALL_PRODUCT:
        return (design.T * weight) @ design
    root = design.T * np.sqrt(weight)
    return root @ root.T  # one array twice: BLAS computes one triangle only


# --- least squares ----------------------------------------------------------------------------


class RidgeFactorization(NamedTuple):
    """Gram matrices, the weight of their rows (K,), penalties, and what solves for them if formed.

    That is a lower Cholesky factor, or a matrix with the pseudo-inverse as its square.
    """

    gram: Any
    weight: Array
    ridge: Array
    factors: list[tuple[Array, bool]] | None


def factorize_ridge(grams: Any, ridge: Array) -> RidgeFactorization:
    """`weighted_grams` under penalties (d,), ready for solving."""
    if isinstance(grams, ImplicitGram):
        return RidgeFactorization(grams, grams.diagonal()[:, -1], ridge, None)
    inverses = [_factorize_spd(gram + np.diag(ridge)) for gram in grams]
    return RidgeFactorization(grams, grams[:, -1, -1], ridge, inverses)


def ridge_newton_step(system: RidgeFactorization, gradient: Array) -> Array:
    """Newton steps (K, m, d) of ridge regressions from their gradients.

    Systems that are not formed are solved by conjugate gradients, to steps that lead nowhere worse.
    """
    if system.factors is None:
        return conjugate_gradients(
            lambda at: system.gram @ at + system.ridge * at,
            gradient,
            np.zeros_like(gradient),
            (system.gram.diagonal() + system.ridge)[:, None],
            axes=(-1,),
            tol=RIDGE_CG_TOL,
        )
    return np.stack(
        [_solve_spd(one, rhs) for one, rhs in zip(system.factors, gradient, strict=True)]
    )


def _factorize_spd(matrix: Array) -> tuple[Array, bool]:
    """Cholesky factor of a symmetric matrix, or a root of its pseudo-inverse if it is singular."""
    try:
        factor = linalg.cholesky(matrix, lower=True)
    except linalg.LinAlgError:
        return _pinv_sqrt(matrix), False
    pivots = np.diag(factor)
    if pivots.min() < PIVOT_TOL * pivots.max():
        return _pinv_sqrt(matrix), False
    return factor, True


def _pinv_sqrt(matrix: Array) -> Array:
    values, vectors = linalg.eigh(matrix)
    keep = values > PIVOT_TOL**2 * max(values[-1], TINY)
    return vectors[:, keep] / np.sqrt(values[keep])


def _solve_spd(inverse: tuple[Array, bool], rhs: Array) -> Array:
    """Solutions (m, d) for right-hand sides (m, d)."""
    root, is_factor = inverse
    return linalg.cho_solve((root, True), rhs.T).T if is_factor else rhs @ root @ root.T


def ridge_diagonal(alpha: float, n_columns: int) -> Array:
    """Ridge on every column of a design but the intercept's, (d,)."""
    return np.append(np.full(n_columns - 1, float(alpha)), 0.0)


# --- matrices that are never formed -----------------------------------------------------------


@dataclass(frozen=True)
class ImplicitGram:
    """Gram matrices of a design under K weights, known by their products with coefficients.

    A sum over rows: blocks of (design, row weights (K, n)).
    """

    blocks: tuple[tuple[Design, Array], ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (K, d, d)."""
        design, weight = self.blocks[0]
        return len(weight), design.shape[1], design.shape[1]

    def __add__(self, other: ImplicitGram) -> ImplicitGram:
        return ImplicitGram(self.blocks + other.blocks)

    def __matmul__(self, coef: Array) -> Array:
        """Products with coefficients (K, m, d)."""
        total = np.zeros(coef.shape)
        for design, weight in self.blocks:
            change = linear_predictor(coef, design)
            change *= weight[:, None]
            total += weighted_column_sums(change, design)
        return total

    def diagonal(self) -> Array:
        """Diagonals, (K, d)."""
        terms = [weighted_column_sums(weight, squared(design)) for design, weight in self.blocks]
        return np.sum(terms, axis=0)


def weighted_grams(design: Design, weights: Array) -> Any:
    """Gram matrices (K, d, d) for row weights (K, n), or a `WeightedGram` where too large."""
    if design.shape[1] > MAX_DENSE_GRAM:
        return ImplicitGram(((design, weights),))
    if sparse.issparse(design):
        return dense_grams(design, weights)
    weights = weights.astype(design.dtype, copy=False)
    few = (
        max(SPARSE_WEIGHTS_FACTOR, SPARSE_WEIGHTS_COLUMNS / design.shape[1])
        * np.count_nonzero(weights)
        < weights.size
    )
    return _to_float64(
        _grams_sparse_weights(design, weights) if few else dense_grams(design, weights)
    )


def _grams_sparse_weights(design: Design, weights: Array) -> Array:
    """Gram matrices of weights that are mostly zero, from the rows sorted by them once."""
    which, rows = np.nonzero(weights)
    roots = design.T[:, rows] * np.sqrt(weights[which, rows])
    ends = np.searchsorted(which, np.arange(1, len(weights)))
    return np.stack([root @ root.T for root in np.split(roots, ends, axis=1)])


def dense_grams(design: Design, weights: Array) -> Array:
    """Gram matrices (m, d, d) for m row weights (m, n)."""
    n_columns = design.shape[1]
    if sparse.issparse(design) or 2 * len(weights) <= n_columns:
        return np.stack([weighted_gram(design, weight) for weight in weights])
    # So many are one product with the products of the columns.
    a, b = np.triu_indices(n_columns)
    grams = np.empty((len(weights), n_columns, n_columns), dtype=weights.dtype)
    grams[:, a, b] = grams[:, b, a] = weights @ _column_products(design.T).T
    return grams


def _column_products(columns: Array) -> Array:
    """Products of each of d columns (d, n) with itself and those after it, (d (d + 1) / 2, n)."""
    products = np.empty((len(columns) * (len(columns) + 1) // 2, columns.shape[1]), columns.dtype)
    start = 0
    for i, column in enumerate(columns):
        end = start + len(columns) - i
        np.multiply(columns[i:], column, out=products[start:end])
        start = end
    return products


def gram_product(grams: Any, coef: Array) -> Array:
    """Products (K, m, d) of coefficients with `weighted_grams`."""
    return grams @ coef if isinstance(grams, ImplicitGram) else np.matmul(coef, grams)


def squared(design: Design) -> Design:
    return design.multiply(design).tocsr() if sparse.issparse(design) else np.square(design)


def conjugate_gradients(
    product: Callable[[Array], Array],
    rhs: Array,
    start: Array,
    diagonal: Array,
    *,
    axes: tuple[int, ...],
    tol: float,
) -> Array:
    """Solve positive definite systems by conjugate gradients, scaled by their diagonal [1]_.

    Parameters
    ----------
    product : callable
        Product of the matrices with vectors of the shape of `start`.
    right, start, diagonal : array
        Right-hand sides, first guesses, diagonals of the matrices.
    axes : tuple of int
        Axes of a system; the others count the systems.
    tol : float
        Size of the residuals, relative to the first, at which to stop.

    Returns
    -------
    solution : array
        Nowhere worse than the guess: every step lowers the quadratic form of its system.

    References
    ----------
    .. [1] M. R. Hestenes and E. Stiefel (1952), "Methods of conjugate gradients for solving linear
       systems", Journal of Research of the National Bureau of Standards 49, 409-436.
    """
    scale = 1.0 / np.where(diagonal > 0.0, diagonal, 1.0)
    solution, residual = start, rhs - product(start) if start.any() else rhs
    tol2: Array | None = None
    residual_norm2, direction = np.array(np.inf), np.zeros(())
    for _ in range(CG_MAX_ITER):
        scaled = scale * residual
        last, residual_norm2 = residual_norm2, (residual * scaled).sum(axis=axes, keepdims=True)
        tol2 = tol**2 * residual_norm2 if tol2 is None else tol2
        if (residual_norm2 <= tol2).all():
            break
        direction = scaled + residual_norm2 / np.maximum(last, TINY) * direction
        image = product(direction)
        curvature_along = (direction * image).sum(axis=axes, keepdims=True)
        # A system that is solved stays as it is.
        step = np.where(
            (residual_norm2 > tol2) & (curvature_along > 0.0),
            residual_norm2 / np.maximum(curvature_along, TINY),
            0.0,
        )
        solution = solution + step * direction
        residual = residual - step * image
    return solution


# --- parameters as values ---------------------------------------------------------------------


def rescale_coefficients(coef: Array, x_map: Array) -> Array:
    """Coefficients (..., d) whose predictions for rows mapped by `x_map` (d, d) are the same."""
    slope, shift = np.diag(x_map)[:-1], x_map[:-1, -1]
    slopes = np.where(slope > 0.0, coef[..., :-1] / np.where(slope > 0.0, slope, 1.0), 0.0)
    return np.concatenate([slopes, coef[..., -1:] - (slopes @ shift)[..., None]], axis=-1)


def add_fields(left: Any, right: Any) -> Any:
    """Sum of two nested tuples of arrays and numbers, field by field; None where either is None."""
    if left is None or right is None:
        return None
    if not isinstance(left, tuple):
        return left + right
    fields = [add_fields(a, b) for a, b in zip(left, right, strict=True)]
    return type(left)(*fields) if hasattr(left, "_fields") else tuple(fields)
