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

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, reduce
from threading import Lock
from typing import Any

import numpy as np
from scipy import sparse
from scipy.linalg import lapack
from threadpoolctl import ThreadpoolController

from skmoe._numerics.typing import TINY, Array, Design

# Ratio of the smallest to the largest pivot below which a matrix counts as singular.
PIVOT_TOL = 1e-7

# Number of multiplications up to which a general matrix product is faster than a symmetric one.
MAX_SMALL_PRODUCT = 10**6

# Product of the rows and squared columns of a design up to which the products of its columns stay
# in the processor's cache, if they are kept; and columns for each weight from which on they serve
# larger designs, if they are kept or not.
MAX_CACHED, COLUMNS_PER_WEIGHT = 400_000, {True: 4, False: 2}

# Most columns of designs of which products are never rough, and what is added to these.
MAX_PRECISE_COLUMNS, SINGLE_ROUND_OFF = 100, 5e-7

# Most rows of matrices that are inverted side by side: larger ones are by Cholesky's factors.
MAX_SIDE_BY_SIDE = 10

# Density of a sparse matrix above which Gram matrices of its dense form are faster, up to 20 times.
MAX_SPARSE_DENSITY = 0.1

# Most steps of conjugate gradients: the next iteration of EM continues from the result.
CG_MAX_ITER = 40

# The loaded libraries of linear algebra, which take a while to find, and what holds their limit.
loaded_libraries, LIMIT = cache(ThreadpoolController), Lock()


@contextmanager
def one_thread() -> Iterator[None]:
    """Linear algebra takes one thread: at products of a few columns others mostly wait for it.

    Limits of threads belong to the process. Where one holds already, nothing is changed, so that
    the former numbers come back for any order in which fits in several threads end.
    """
    if not LIMIT.acquire(blocking=False):
        yield
        return
    try:
        with loaded_libraries().limit(limits=1, user_api="blas"):
            yield
    finally:
        LIMIT.release()


# --- products with a design -------------------------------------------------------------------


def product(values: Array, matrix: Design) -> Array:
    """Products `values @ matrix`, (..., b), of values (..., a) with a matrix (a, b).

    It is a design for sums of its rows, with weights, and the transpose of a design for linear
    predictors.
    """
    flat = values.reshape(-1, values.shape[-1])
    # For CSR the product must have the sparse operand on the left.
    if sparse.issparse(matrix):
        found = np.ascontiguousarray((matrix.T @ flat.T).T)
    else:
        found = np.asarray(flat.astype(matrix.dtype, copy=False) @ matrix, dtype=np.float64)
    return found.reshape(*values.shape[:-1], matrix.shape[1])


def weighted_products(
    first: Any, second: Any, weights: Array, kept: Any = None, is_rough: bool = False
) -> Array:
    """Sums over rows of products of the columns of two designs, with weights (m, n): (m, d, e).

    A design that is None is a column of ones. Products of the columns of a design can be kept for
    other weights, by its identity, as long as the design lives. Those of many columns can be rough:
    in single precision, and so much larger on the diagonal that they stay definite.
    """
    if first is None and second is None:
        return np.asarray(weights.sum(axis=1)[:, None, None])
    if first is None or second is None:
        sums = product(weights, second if first is None else first)
        return sums[:, None, :] if first is None else sums[..., None]
    is_same, n_columns, key = first is second, first.shape[1], id(first)
    if sparse.issparse(first) and first.nnz > MAX_SPARSE_DENSITY * first.shape[0] * n_columns:
        first = first.toarray(order="F")
        second = first if is_same else second
    is_kept = kept is not None
    is_small = is_kept and first.shape[0] * n_columns**2 <= MAX_CACHED
    is_small |= COLUMNS_PER_WEIGHT[is_kept] * len(weights) > n_columns
    if is_same and is_small and not sparse.issparse(first):
        # With many weights a single product with all pairwise column products is faster.
        columns, pairs = (None, None) if kept is None else kept.get(key, (None, None))
        if columns is None or pairs is None:
            a, b = np.triu_indices(n_columns)
            pairs = np.empty((n_columns, n_columns), dtype=int)
            pairs[a, b] = pairs[b, a] = np.arange(len(a))
            columns, start = np.empty((len(a), len(first)), first.dtype), 0
            for i, column in enumerate(first.T):
                end = start + n_columns - i
                np.multiply(first.T[i:], column, out=columns[start:end])
                start = end
            if kept is not None:
                kept[key] = columns, pairs
        return (weights @ columns.T).take(pairs, axis=1)
    products = np.empty((len(weights), n_columns, second.shape[1]))
    is_rough &= is_same and n_columns > MAX_PRECISE_COLUMNS and not sparse.issparse(first)
    if is_rough:
        first = second = first.astype(np.float32, copy=False)
        weights = weights.astype(np.float32)
    for own, weight in zip(products, weights, strict=True):
        left, right, used = first, second, np.flatnonzero(weight)
        if 2 * len(used) < len(weight):
            left, right, weight = first[used], second[used], weight[used]
        if sparse.issparse(left):
            scaled = left.copy()
            scaled.data *= np.repeat(weight, np.diff(left.indptr))
            found = scaled.T @ right
            own[:] = found.toarray() if sparse.issparse(found) else found
        elif is_same and left.size * n_columns > MAX_SMALL_PRODUCT and weight.min() >= 0.0:
            root = left.T * np.sqrt(weight)
            own[:] = root @ root.T  # numpy calls the symmetric product: one triangle only
        else:
            own[:] = (left.T * weight) @ right
    if is_rough:
        np.einsum("mii->mi", products)[:] *= 1.0 + SINGLE_ROUND_OFF
    return products


def squared(design: Design) -> Design:
    """Element-wise square."""
    return design.multiply(design).tocsr() if sparse.issparse(design) else np.square(design)


def inverse_of(matrix: Array) -> Array:
    """Inverses of positive semidefinite matrices; pseudo-inverses of singular ones."""
    size = matrix.shape[-1]
    is_large = size > MAX_SIDE_BY_SIDE
    diagonal = np.diagonal(matrix, axis1=-2, axis2=-1)
    unit = 1.0 / np.sqrt(np.where(diagonal > TINY, diagonal, 1.0))
    outer = unit[..., :, None] * unit[..., None, :]
    scaled = matrix * outer
    try:
        factor = np.linalg.cholesky(scaled)
        pivots = np.diagonal(factor, axis1=-2, axis2=-1)
    except np.linalg.LinAlgError:
        pivots = np.zeros(1)
    if pivots.size and pivots.min() > PIVOT_TOL:
        if not is_large:
            return np.asarray(np.linalg.inv(scaled)) * outer
        for own in factor.reshape(-1, size, size):
            lapack.dpotri(own.T, lower=False, overwrite_c=True)  # in place: one triangle
        inverse = factor + np.swapaxes(factor, -1, -2)
        inverse.reshape(*inverse.shape[:-2], size * size)[..., :: size + 1] *= 0.5
        return np.asarray(inverse) * outer
    if is_large and matrix.ndim > 2:
        return np.reshape([inverse_of(own) for own in matrix.reshape(-1, size, size)], matrix.shape)
    # A step to where the likelihood is not finite is taken back, whatever its curvature.
    scaled = np.where(np.isfinite(scaled), scaled, 0.0)
    return np.linalg.pinv(scaled, PIVOT_TOL**2, hermitian=True) * outer


def conjugate_gradients(
    product: Callable[..., Array], rhs: Array, diagonal: Array, *, axes: tuple[int, ...], tol: float
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
        alpha = np.divide(rz, pAp, out=np.zeros_like(rz), where=(rz > tol2) & (pAp > TINY))
        solution = solution + alpha * direction
        residual = residual - alpha * Ap
    return solution


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


def split_offset(design: Any) -> tuple[Any, Array | float]:
    """Design matrix and offset, (n,) or (m, n), of a design; 0.0 without an offset."""
    return (design.matrix, design.offset) if isinstance(design, OffsetDesign) else (design, 0.0)
