"""Linear algebra: products with design matrices, ridge regression, conjugate gradients.

Conventions
-----------
A *design* is the (n, d) matrix of standardised features with a last column of ones. It is a CSR
array, or a dense array in column-major order, so that row weights are contiguous in memory. The
component axis (experts, classes) comes first and the row axis last: responsibilities are (K, n),
logits of C classes within K experts (K, C, n), coefficients (K, d) or (K, C, d).

Products of row blocks with a dense single-precision design are computed in single precision. All
other operations, and the sums over the blocks, are in double precision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from scipy import linalg, sparse

from skmoe._numerics.typing import TINY, Alpha, Array, Design

# Ratio of the smallest to the largest pivot below which a matrix counts as singular.
PIVOT_TOL = 1e-7

# Number of multiplications up to which a general matrix product is faster than a symmetric one.
MAX_SMALL_PRODUCT = 10**6

# Weights are sparse, and their zeros are skipped, if less than one in SPARSE_WEIGHTS_FACTOR is not
# zero; with d columns less than one in SPARSE_WEIGHTS_COLUMNS / d, if that is rarer.
SPARSE_WEIGHTS_FACTOR = 8
SPARSE_WEIGHTS_COLUMNS = 500

# Density of a sparse matrix above which Gram matrices of its dense form are faster, up to 20 times.
MAX_SPARSE_DENSITY = 0.1

# Size of the largest Gram matrix that is formed; larger systems are solved by conjugate gradients.
MAX_DENSE_GRAM = 1000

# Tolerance (residual relative to the initial one) and maximum number of conjugate gradient steps.
# Both are loose, because the next EM iteration continues from the result.
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


def used_columns(coef: Array) -> Array:
    """Which columns have a slope in coefficients (..., d), boolean (d,); the intercept always has.

    The slopes of constant columns, and of those that were dropped, are zero.
    """
    has_slope = coef[..., :-1].any(axis=tuple(range(coef.ndim - 1)))
    return np.append(has_slope, True)


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
    """Gram matrix of the design with row weights, (d, d)."""
    kept = np.flatnonzero(weight)
    if 2 * len(kept) < len(weight):
        design, weight = design[kept], weight[kept]
    if sparse.issparse(design):
        scaled = design.copy()
        scaled.data *= np.repeat(weight, np.diff(design.indptr))
        return (scaled.T @ design).toarray()
    if design.size * design.shape[1] <= MAX_SMALL_PRODUCT or weight.min() < 0.0:
        return (design.T * weight) @ design
    root = design.T * np.sqrt(weight)
    return root @ root.T  # numpy calls the symmetric product, which computes one triangle only


# --- least squares ----------------------------------------------------------------------------


class RidgeFactorization(NamedTuple):
    """Gram matrices with a ridge penalty, and their factorizations."""

    gram: Any  # (K, d, d), or an `ImplicitGram`
    weight: Array  # total weight of the rows of each matrix, (K,)
    ridge: Array  # diagonal of the penalty, (d,)
    factors: list[tuple[Array, bool]] | None  # see `factorize_spd`; None for an `ImplicitGram`


def factorize_ridge(grams: Any, ridge: Array) -> RidgeFactorization:
    """Factorization of `weighted_grams` plus the diagonal `ridge` (d,)."""
    if isinstance(grams, ImplicitGram):
        return RidgeFactorization(grams, grams.diagonal()[:, -1], ridge, None)
    factors = [factorize_spd(gram + np.diag(ridge)) for gram in grams]
    return RidgeFactorization(grams, grams[:, -1, -1], ridge, factors)


def ridge_newton_step(system: RidgeFactorization, gradient: Array) -> Array:
    """Newton steps (K, m, d) of ridge regressions from their gradients.

    Implicit systems are solved by conjugate gradients; truncated steps still increase the
    objective.
    """
    if system.factors is None:
        return conjugate_gradients(
            lambda coef: system.gram @ coef + system.ridge * coef,
            gradient,
            (system.gram.diagonal() + system.ridge)[:, None],
            axes=(-1,),
            tol=RIDGE_CG_TOL,
        )
    return np.stack(
        [solve_spd(factor, rhs) for factor, rhs in zip(system.factors, gradient, strict=True)]
    )


def factorize_spd(matrix: Array) -> tuple[Array, bool]:
    """Lower Cholesky factor and True; for a singular matrix `_pinv_sqrt` and False."""
    try:
        factor = cholesky(matrix)
    except linalg.LinAlgError:
        return _pinv_sqrt(matrix), False
    pivots = np.diag(factor)
    if pivots.min() < PIVOT_TOL * pivots.max():
        return _pinv_sqrt(matrix), False
    return factor, True


def cholesky(matrix: Array) -> Array:
    """Lower Cholesky factor, in the order in which `cholesky_solve` needs no copy."""
    return np.asfortranarray(np.linalg.cholesky(np.asarray_chkfinite(matrix)))


def cholesky_solve(factor: Array, rhs: Array) -> Array:
    """Solution for right-hand sides (d,) or (d, m), in a tenth of the time of SciPy's function."""
    return np.asarray(linalg.lapack.dpotrs(factor, rhs, lower=1)[0])


def _pinv_sqrt(matrix: Array) -> Array:
    """Matrix R with R @ R.T the pseudo-inverse of a symmetric matrix."""
    values, vectors = np.linalg.eigh(matrix)
    keep = values > PIVOT_TOL**2 * max(values[-1], TINY)
    return vectors[:, keep] / np.sqrt(values[keep])


def solve_spd(factor: tuple[Array, bool], rhs: Array) -> Array:
    """Solutions (m, d) for right-hand sides (m, d), from the result of `factorize_spd`."""
    root, is_cholesky = factor
    return cholesky_solve(root, rhs.T).T if is_cholesky else rhs @ root @ root.T


def ridge_diagonal(alpha: Alpha, n_columns: int) -> Array:
    """Diagonal of a ridge penalty on all columns but the intercept, (d,)."""
    return np.append(np.broadcast_to(np.asarray(alpha, dtype=float), n_columns - 1), 0.0)


def bounded_newton_step(gradient: Array, values: Array, vectors: Array, longest: float) -> Array:
    """Steps (..., T) for curvatures `values` (..., T) along orthonormal `vectors` (..., T, T).

    They are shortened if a component exceeds `longest`.
    """
    rotated = np.einsum("...tu,...t->...u", vectors, gradient) / values
    step = np.einsum("...tu,...u->...t", vectors, rotated)
    return step / np.maximum(np.abs(step).max(axis=-1, keepdims=True) / longest, 1.0)


# --- Gram matrices ----------------------------------------------------------------------------


@dataclass(frozen=True)
class ImplicitGram:
    """Weighted Gram matrices (K, d, d) that are not formed: matrix-vector products only.

    They are a sum over row blocks, stored as pairs of a design and row weights (K, n).
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
            predictor = linear_predictor(coef, design)
            predictor *= weight[:, None]
            total += weighted_column_sums(predictor, design)
        return total

    def diagonal(self) -> Array:
        """Diagonals, (K, d)."""
        terms = [weighted_column_sums(weight, squared(design)) for design, weight in self.blocks]
        return np.sum(terms, axis=0)


def weighted_grams(design: Design, weights: Array) -> Any:
    """Gram matrices (K, d, d) for row weights (K, n), or an `ImplicitGram` if too large."""
    if design.shape[1] > MAX_DENSE_GRAM:
        return ImplicitGram(((design, weights),))
    if sparse.issparse(design):
        return dense_grams(design, weights)
    weights = weights.astype(design.dtype, copy=False)
    rarity = max(SPARSE_WEIGHTS_FACTOR, SPARSE_WEIGHTS_COLUMNS / design.shape[1])
    if rarity * np.count_nonzero(weights) < weights.size:
        return _to_float64(_grams_sparse_weights(design, weights))
    return _to_float64(dense_grams(design, weights))


def _grams_sparse_weights(design: Design, weights: Array) -> Array:
    """Gram matrices (K, d, d) for weights that are mostly zero: only the other rows are used."""
    component, rows = np.nonzero(weights)
    roots = design.T[:, rows] * np.sqrt(weights[component, rows])
    ends = np.searchsorted(component, np.arange(1, len(weights)))
    return np.stack([root @ root.T for root in np.split(roots, ends, axis=1)])


def dense_grams(design: Design, weights: Array) -> Array:
    """Gram matrices (m, d, d) for m row weights (m, n)."""
    n_columns = design.shape[1]
    if sparse.issparse(design) and design.nnz > MAX_SPARSE_DENSITY * design.shape[0] * n_columns:
        design = design.toarray(order="F")
    grams = np.empty((len(weights), n_columns, n_columns), dtype=weights.dtype)
    if sparse.issparse(design) or 2 * len(weights) <= n_columns:
        for gram, weight in zip(grams, weights, strict=True):
            gram[:] = weighted_gram(design, weight)
        return grams
    # With many weights a single product with all pairwise column products is faster.
    a, b = np.triu_indices(n_columns)
    grams[:, a, b] = grams[:, b, a] = weights @ column_products(design.T).T
    return grams


def column_products(columns: Array) -> Array:
    """Products of all pairs of d columns (d, n), each pair once, (d (d + 1) / 2, n)."""
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
    """Element-wise square."""
    return design.multiply(design).tocsr() if sparse.issparse(design) else np.square(design)


def conjugate_gradients(
    product: Callable[[Array], Array],
    rhs: Array,
    diagonal: Array,
    *,
    axes: tuple[int, ...],
    tol: float,
) -> Array:
    """Solve positive definite systems by conjugate gradients with diagonal preconditioning [1]_.

    Parameters
    ----------
    product : callable
        Product of the matrices with vectors of the shape of `rhs`.
    rhs, diagonal : array
        Right-hand sides, and diagonals of the matrices.
    axes : tuple of int
        Axes of a single system; the other axes count the systems.
    tol : float
        Relative tolerance: norm of the residuals divided by that of the initial residuals.

    Returns
    -------
    solution : array
        Approximate solutions. Every step lowers the quadratic form of its system, so that no
        solution is worse than zero, where they begin.

    References
    ----------
    .. [1] M. R. Hestenes and E. Stiefel (1952), "Methods of conjugate gradients for solving linear
       systems", Journal of Research of the National Bureau of Standards 49, 409-436.
    """
    preconditioner = 1.0 / np.where(diagonal > 0.0, diagonal, 1.0)
    solution, residual = np.zeros_like(rhs), rhs
    tol2: Array | None = None
    rz, direction = np.array(np.inf), np.zeros(())
    for _ in range(CG_MAX_ITER):
        z = preconditioner * residual
        rz_previous, rz = rz, (residual * z).sum(axis=axes, keepdims=True)
        tol2 = tol**2 * rz if tol2 is None else tol2
        if (rz <= tol2).all():
            break
        direction = z + rz / np.maximum(rz_previous, TINY) * direction
        Ap = product(direction)
        pAp = (direction * Ap).sum(axis=axes, keepdims=True)
        # Converged systems are not changed any more, nor is anything along a flat direction.
        active = (rz > tol2) & (pAp > TINY)
        alpha = np.divide(rz, pAp, out=np.zeros_like(rz), where=active)
        solution = solution + alpha * direction
        residual = residual - alpha * Ap
    return solution


# --- parameters -------------------------------------------------------------------------------


def rescale_coefficients(coef: Array, x_map: Array) -> Array:
    """Coefficients (..., d) with the same predictions for design rows mapped by `x_map` (d, d)."""
    slope, shift = np.diag(x_map)[:-1], x_map[:-1, -1]
    slopes = np.where(slope > 0.0, coef[..., :-1] / np.where(slope > 0.0, slope, 1.0), 0.0)
    return np.concatenate([slopes, coef[..., -1:] - (slopes @ shift)[..., None]], axis=-1)


def add_fields(left: Any, right: Any) -> Any:
    """Field-wise sum of two nested tuples of arrays and numbers; None where either is None."""
    if left is None or right is None:
        return None
    if not isinstance(left, tuple):
        return left + right
    fields = [add_fields(a, b) for a, b in zip(left, right, strict=True)]
    return type(left)(*fields) if hasattr(left, "_fields") else tuple(fields)


def sum_over_blocks(of_block: Callable[..., Any], blocks: Any, map_blocks: Any = None) -> Any:
    """Field-wise sum of a function of each block, by a given map or that of the blocks."""
    return reduce(add_fields, (map_blocks or getattr(blocks, "map_blocks", map))(of_block, blocks))


@dataclass(frozen=True)
class OffsetDesign:
    """A design matrix, and what is added to the linear predictor of each row."""

    matrix: Design
    offset: Array  # (n,) for all outputs, or (m, n)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns of the design matrix."""
        return self.matrix.shape

    def __getitem__(self, index: Array | slice) -> OffsetDesign:
        """The rows at an index."""
        return OffsetDesign(self.matrix[index], self.offset[..., index])


def with_offset(design: Any, offset: Array | float | None) -> Any:
    """A design with an offset; the design itself for an offset of None, or of 0.0."""
    return OffsetDesign(design, offset) if isinstance(offset, np.ndarray) else design


def split_offset(design: Any) -> tuple[Any, Array | float]:
    """Design matrix and offset, (n,) or (m, n), of a design; 0.0 without an offset."""
    if isinstance(design, OffsetDesign):
        return design.matrix, design.offset
    return design, 0.0


def offset_predictor(coef: Array, design: Any) -> Array:
    """Linear predictors (..., m, n) plus the offset of the design, for coefficients (..., m, d)."""
    matrix, offset = split_offset(design)
    predictor = linear_predictor(coef, matrix)
    if isinstance(offset, np.ndarray):
        predictor += offset
    return predictor
