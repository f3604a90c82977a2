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

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

Array = NDArray[Any]
Design = Any  # an ndarray or a scipy.sparse CSR array
Values = TypeVar("Values", bound=tuple)

LOG_2PI = float(np.log(2.0 * np.pi))
SMALLEST = float(np.finfo(np.float64).tiny)
LOG_SMALLEST = float(np.log(SMALLEST))
# A pivot this far below the largest says that the matrix is singular to working precision.
SINGULAR_PIVOT = 1e-7
# Multiplications up to which BLAS has kernels that are faster than computing one triangle only.
SMALL_PRODUCT = 10**6
# Weights for each that is not zero, and columns times that, from which rows are sorted by weight.
FEW_ROWS = 8
MANY_SAVED = 500
# Largest Gram matrix that is formed; larger systems are solved by conjugate gradients.
LARGEST_GRAM = 1000
# A fall of a bound per row, relative to its size, that is round-off, by the precision of designs.
BOUND_ROUND_OFF = {"float64": 1e-11, "float32": 1e-8}
# Iterations between the bounds that Aitken's estimate compares: single gains alternate between
# plain and extrapolated steps, and those after an extrapolation fall faster than the climb does.
STRIDE = 6
# Residual, relative to the first, that ends conjugate gradients, and most products they take: the
# next iteration of EM goes on from there.
RIDGE_TOL = 0.01
MOST_PRODUCTS = 40


# --- products with a design -------------------------------------------------------------------


def linear(coef: Array, design: Design) -> Array:
    """Linear predictors `coef @ design.T` of shape (..., n) for coefficients (..., d)."""
    flat = coef.reshape(-1, coef.shape[-1])
    # For CSR the product must have the sparse operand on the left.
    if sparse.issparse(design):
        product = np.ascontiguousarray((design @ flat.T).T)
    else:
        product = _double(flat.astype(design.dtype, copy=False) @ design.T)
    return product.reshape(*coef.shape[:-1], design.shape[0])


def weighted_sums(weights: Array, design: Design) -> Array:
    """Weighted column sums `weights @ design` of shape (..., d) for weights (..., n)."""
    flat = weights.reshape(-1, weights.shape[-1])
    if sparse.issparse(design):
        sums = (design.T @ flat.T).T
    else:
        sums = _double(flat.astype(design.dtype, copy=False) @ design)
    return sums.reshape(*weights.shape[:-1], design.shape[1])


def _double(product: Array) -> Array:
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
    if design.size * design.shape[1] <= SMALL_PRODUCT:
        return (design.T * weight) @ design
    root = design.T * np.sqrt(weight)
    return root @ root.T  # one array twice: BLAS computes one triangle only


# --- log space --------------------------------------------------------------------------------


def log_normalise(joint: Array) -> tuple[Array, Array]:
    """Split log-joint probabilities (K, n) into responsibilities (K, n) and log densities (n,)."""
    peak = joint.max(axis=0)
    shifted = joint - peak
    # Exponentials that underflow take many times as long.
    resp = np.exp(shifted, out=np.zeros_like(shifted), where=shifted > LOG_SMALLEST)
    total = resp.sum(axis=0)
    resp /= total
    return resp, peak + np.log(total)


def log_softmax(logits: Array, axis: int = 0) -> Array:
    """Logarithm of the softmax along one axis."""
    shifted = logits - logits.max(axis=axis, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
    return shifted


# --- least squares ----------------------------------------------------------------------------


class RidgeSystem(NamedTuple):
    """Gram matrices, the weight of their rows (K,), penalties, and what solves for them if formed.

    That is a lower Cholesky factor, or a matrix with the pseudo-inverse as its square.
    """

    gram: Any
    weight: Array
    ridge: Array
    inverses: list[tuple[Array, bool]] | None


def ridge_system(grams: Any, ridge: Array) -> RidgeSystem:
    """`weighted_grams` under penalties (d,), ready for solving."""
    if isinstance(grams, WeightedGram):
        return RidgeSystem(grams, grams.diagonal()[:, -1], ridge, None)
    inverses = [_inverse(gram + np.diag(ridge)) for gram in grams]
    return RidgeSystem(grams, grams[:, -1, -1], ridge, inverses)


def ridge_change(system: RidgeSystem, ascent: Array) -> Array:
    """Newton steps (K, m, d) of ridge regressions from their gradients.

    Systems that are not formed are solved by conjugate gradients, to steps that lead nowhere worse.
    """
    if system.inverses is None:
        return conjugate_gradients(
            lambda at: system.gram @ at + system.ridge * at,
            ascent,
            np.zeros_like(ascent),
            (system.gram.diagonal() + system.ridge)[:, None],
            axes=(-1,),
            tol=RIDGE_TOL,
        )
    return np.stack(
        [_solve(one, right) for one, right in zip(system.inverses, ascent, strict=True)]
    )


def _inverse(matrix: Array) -> tuple[Array, bool]:
    """Cholesky factor of a symmetric matrix, or a root of its pseudo-inverse if it is singular."""
    try:
        factor = linalg.cholesky(matrix, lower=True)
    except linalg.LinAlgError:
        return _root_of_inverse(matrix), False
    pivots = np.diag(factor)
    if pivots.min() < SINGULAR_PIVOT * pivots.max():
        return _root_of_inverse(matrix), False
    return factor, True


def _root_of_inverse(matrix: Array) -> Array:
    values, vectors = linalg.eigh(matrix)
    keep = values > SINGULAR_PIVOT**2 * max(values[-1], SMALLEST)
    return vectors[:, keep] / np.sqrt(values[keep])


def _solve(inverse: tuple[Array, bool], right: Array) -> Array:
    """Solutions (m, d) for right-hand sides (m, d)."""
    root, is_factor = inverse
    return linalg.cho_solve((root, True), right.T).T if is_factor else right @ root @ root.T


def slope_ridge(alpha: float, n_columns: int) -> Array:
    """Ridge on every column of a design but the intercept's, (d,)."""
    return np.append(np.full(n_columns - 1, float(alpha)), 0.0)


# --- matrices that are never formed -----------------------------------------------------------


@dataclass(frozen=True)
class WeightedGram:
    """Gram matrices of a design under K weights, known by their products with coefficients.

    A sum over rows: blocks of (design, row weights (K, n)).
    """

    blocks: tuple[tuple[Design, Array], ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (K, d, d)."""
        design, weight = self.blocks[0]
        return len(weight), design.shape[1], design.shape[1]

    def __add__(self, other: WeightedGram) -> WeightedGram:
        return WeightedGram(self.blocks + other.blocks)

    def __matmul__(self, coef: Array) -> Array:
        """Products with coefficients (K, m, d)."""
        total = np.zeros(coef.shape)
        for design, weight in self.blocks:
            change = linear(coef, design)
            change *= weight[:, None]
            total += weighted_sums(change, design)
        return total

    def diagonal(self) -> Array:
        """Diagonals, (K, d)."""
        terms = [weighted_sums(weight, squared(design)) for design, weight in self.blocks]
        return np.sum(terms, axis=0)


def weighted_grams(design: Design, weights: Array) -> Any:
    """Gram matrices (K, d, d) for row weights (K, n), or a `WeightedGram` where too large."""
    if design.shape[1] > LARGEST_GRAM:
        return WeightedGram(((design, weights),))
    if sparse.issparse(design):
        return formed_grams(design, weights)
    weights = weights.astype(design.dtype, copy=False)
    few = max(FEW_ROWS, MANY_SAVED / design.shape[1]) * np.count_nonzero(weights) < weights.size
    return _double(_grams_of_few(design, weights) if few else formed_grams(design, weights))


def _grams_of_few(design: Design, weights: Array) -> Array:
    """Gram matrices of weights that are mostly zero, from the rows sorted by them once."""
    which, rows = np.nonzero(weights)
    roots = design.T[:, rows] * np.sqrt(weights[which, rows])
    ends = np.searchsorted(which, np.arange(1, len(weights)))
    return np.stack([root @ root.T for root in np.split(roots, ends, axis=1)])


def formed_grams(design: Design, weights: Array) -> Array:
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
    begin = 0
    for i, column in enumerate(columns):
        end = begin + len(columns) - i
        np.multiply(columns[i:], column, out=products[begin:end])
        begin = end
    return products


def gram_product(grams: Any, coef: Array) -> Array:
    """Products (K, m, d) of coefficients with `weighted_grams`."""
    return grams @ coef if isinstance(grams, WeightedGram) else np.matmul(coef, grams)


def squared(design: Design) -> Design:
    return design.multiply(design).tocsr() if sparse.issparse(design) else np.square(design)


def conjugate_gradients(
    product: Callable[[Array], Array],
    right: Array,
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
    solution, residual = start, right - product(start) if start.any() else right
    goal: Array | None = None
    size, direction = np.array(np.inf), np.zeros(())
    for _ in range(MOST_PRODUCTS):
        scaled = scale * residual
        last, size = size, (residual * scaled).sum(axis=axes, keepdims=True)
        goal = tol**2 * size if goal is None else goal
        if (size <= goal).all():
            break
        direction = scaled + size / np.maximum(last, SMALLEST) * direction
        moved = product(direction)
        bend = (direction * moved).sum(axis=axes, keepdims=True)
        # A system that is solved stays as it is.
        length = np.where((size > goal) & (bend > 0.0), size / np.maximum(bend, SMALLEST), 0.0)
        solution = solution + length * direction
        residual = residual - length * moved
    return solution


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


def round_off_of(design: Design | None) -> float:
    """Fall of a bound per row, relative to its size, that says nothing."""
    return BOUND_ROUND_OFF["float64" if design is None else str(design.dtype)]


def gain_left(
    bounds: Sequence[float], round_off: float = BOUND_ROUND_OFF["float64"], stride: int = STRIDE
) -> float:
    """Aitken's estimate of how far a rising sequence is below its limit [1]_.

    References
    ----------
    .. [1] D. Böhning, E. Dietz, R. Schaub, P. Schlattmann and B. Lindsay (1994), "The distribution
       of the likelihood ratio for mixtures of densities from the one-parameter exponential
       family", Annals of the Institute of Statistical Mathematics 46, 373-388.
    """
    if len(bounds) > 2 and bounds[-1] - bounds[-3] <= round_off * (1.0 + abs(bounds[-1])):
        return 0.0  # a fixed point
    if len(bounds) <= 2 * stride:
        return math.inf
    gain = bounds[-1 - stride] - bounds[-1 - 2 * stride]
    last_gain = bounds[-1] - bounds[-1 - stride]
    if last_gain >= gain:
        return math.inf
    # The first iterations gain much more than those after them, which feigns fast convergence:
    # what is left is put no lower than what has just been gained.
    return max(last_gain**2 / (gain - last_gain), last_gain)
