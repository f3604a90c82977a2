"""Multinomial logistic models with soft targets: gradients, Hessians, Newton steps.

Coefficients use symmetric coding: one vector for each class, summing to zero over the classes.
Newton steps are computed in the coordinates of `helmert_contrasts`, which are identified, so that
the coefficients need no centring afterwards. For the order of the axes see `linalg`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
from scipy import linalg, sparse

from skmoe._numerics.linalg import (
    PIVOT_TOL,
    cholesky,
    cholesky_solve,
    column_products,
    conjugate_gradients,
    dense_grams,
    linear_predictor,
    squared,
    weighted_column_sums,
    weighted_gram,
)
from skmoe._numerics.probability import FEW_CLASSES, exp_of_logs
from skmoe._numerics.typing import TINY, Array, Design

# Size of the largest Hessian that is formed; larger systems are solved by conjugate gradients.
MAX_DENSE_HESSIAN = 1000

# Of more than FEW_CLASSES classes, pairs are left out of the Hessian in rows where one of them has
# less than this probability, times the weight of the row relative to the largest.
MIN_PAIR_PROB = 0.05

# Tolerance of those conjugate gradients, which the next EM iteration continues.
NEWTON_CG_TOL = 0.1

# Bound for the values of a design, whose squares must not overflow in single precision.
FLOAT32_SQRT_MAX = 1e18


@lru_cache(maxsize=16)  # each step of EM needs those of the gate, several times
def helmert_contrasts(n_classes: int, *, binary: bool = False) -> Array:
    """Columns that span the coefficient vectors summing to zero, (n_classes, n_classes - 1).

    They are orthonormal, so that a ridge penalty on the coordinates equals that on the symmetric
    coefficients. With `binary` the coordinate of two classes is the difference of their
    coefficients, which is the parameter of a logistic regression. The array is read-only.
    """
    is_difference = binary and n_classes == 2
    contrasts = np.array([[-0.5], [0.5]]) if is_difference else linalg.helmert(n_classes).T
    contrasts.setflags(write=False)
    return contrasts


def softmax_gradient(design: Design, targets: Array, probs: Array) -> Array:
    """Gradient (..., C, d) of the weighted log-likelihood at class probabilities (..., C, n).

    `targets` (..., C, n) are class probabilities times the row weights, so that their sum over the
    classes is the row weight.
    """
    return weighted_column_sums(targets - targets.sum(axis=-2, keepdims=True) * probs, design)


def softmax_hessian(
    design: Design, weight: Array, probs: Array, max_size: float = MAX_DENSE_HESSIAN
) -> Any:
    """Negative Hessian of softmax log-likelihoods, for weights (..., n) and probs (..., C, n).

    Returns blocks (..., C, C, d, d), or a `SoftmaxHessian` of more than `max_size` columns. The
    blocks are computed in single precision, which affects only the direction of Newton steps and
    not their limit, because the gradient is in double precision. For several models of more than
    `FEW_CLASSES` classes, pairs of classes are left out in rows where one of them is improbable.
    """
    n_classes, n_columns = probs.shape[-2], design.shape[1]
    if (n_classes - 1) * n_columns > max_size:
        return SoftmaxHessian(((design, weight, probs),))
    scale = max(weight.max(), TINY)
    if not sparse.issparse(design):
        design = np.clip(design, -FLOAT32_SQRT_MAX, FLOAT32_SQRT_MAX)
    design, weight, probs = (a.astype(np.float32) for a in (design, weight / scale, probs))
    if probs.ndim == 2:
        return scale * _hessian_blocks(design, weight, probs)
    blocks_of = partial(_hessian_blocks, design)
    if n_classes > FEW_CLASSES and not sparse.issparse(design):
        products = np.ascontiguousarray(column_products(design.T).T)  # contiguous for each row
        blocks_of = partial(_blocks_of_likely_pairs, products, n_columns)
    blocks = np.empty((len(probs), n_classes, n_classes, n_columns, n_columns))
    for k, pair in enumerate(zip(weight, probs, strict=True)):
        np.multiply(scale, blocks_of(*pair), out=blocks[k])
    return blocks


def _hessian_blocks(design: Design, weight: Array, probs: Array) -> Array:
    """Blocks (C, C, d, d) of the negative Hessian of one softmax log-likelihood."""
    n_classes, n_columns = len(probs), design.shape[1]
    blocks = np.zeros((n_classes, n_classes, n_columns, n_columns))
    a, b = np.tril_indices(n_classes, -1)
    blocks[a, b] = blocks[b, a] = -dense_grams(design, (weight * probs)[a] * probs[b])
    # The blocks in each block row of the Hessian sum to zero.
    classes = np.arange(n_classes)
    blocks[classes, classes] = -blocks.sum(axis=1)
    return blocks


def _blocks_of_likely_pairs(products: Array, n_columns: int, weight: Array, probs: Array) -> Array:
    """Blocks (C, C, d, d) without the pairs of classes of which one is improbable in a row.

    The blocks on the diagonal are exact. Each pair that is left out adds a positive semi-definite
    matrix, so that this one is at least half of the Hessian, and steps are not too long.
    """
    weighted = weight * probs
    classes = np.arange(len(probs))
    likely, likely_rows = np.nonzero(weighted > MIN_PAIR_PROB)
    ends = np.searchsorted(likely, classes, side="right")
    blocks = np.zeros((len(probs), len(probs), products.shape[1]), probs.dtype)
    blocks[classes, classes] = (weighted * (1.0 - probs)) @ products
    for a in classes[1:]:
        rows = likely_rows[ends[a - 1] : ends[a]]
        if 2 * len(rows) > len(weight):
            blocks[a, :a] = (probs[:a] * -weighted[a]) @ products
        elif len(rows):
            pairs = probs[:a, rows] * -weighted[a, rows]
            blocks[a, :a] = pairs @ np.take(products, rows, axis=0)
        blocks[:a, a] = blocks[a, :a]
    index = np.empty((n_columns, n_columns), dtype=int)
    upper = np.triu_indices(n_columns)
    index[upper] = index[upper[::-1]] = np.arange(products.shape[1])
    return blocks[..., index]


@dataclass(frozen=True)
class SymmetricFactor:
    """Cholesky factor of a penalised softmax Hessian in symmetric coding, (C * d, C * d).

    Coefficients that are equal for all classes have no effect on the likelihood: curvature is added
    in their directions, which steps do not use.
    """

    cholesky: Array


def factorize_softmax_hessian(hessian: Any, basis: Array, ridge: Array) -> Any:
    """Factorization of a `softmax_hessian` with a ridge penalty.

    Of a matrix it is a lower Cholesky factor in contrast coordinates, or a `SymmetricFactor` for
    more than `FEW_CLASSES` classes. Of the Hessians of several experts it is a list of these. Of a
    `SoftmaxHessian` it is the pair of it and the diagonal of its penalised contrasts.
    """
    if isinstance(hessian, SoftmaxHessian):
        return hessian, hessian.contrast_diagonal(basis) + ridge
    if hessian.ndim > 4:
        return [factorize_softmax_hessian(blocks, basis, ridge) for blocks in hessian]
    if len(hessian) > FEW_CLASSES:
        return _symmetric_factor(hessian, ridge)
    return _cholesky(contrast_hessian(hessian, basis) + np.diag(np.tile(ridge, basis.shape[1])))


def contrast_hessian(hessian: Array, basis: Array) -> Array:
    """The blocks (C, C, d, d) of a Hessian in contrast coordinates, ((C-1) * d, (C-1) * d)."""
    half = np.tensordot(basis, hessian, axes=(0, 0))  # (C-1, C, d, d)
    reduced = np.tensordot(basis, half, axes=(0, 1)).transpose(1, 2, 0, 3)  # (C-1, d, C-1, d)
    size = reduced.shape[0] * reduced.shape[1]
    return reduced.reshape(size, size)


def _symmetric_factor(hessian: Array, ridge: Array) -> SymmetricFactor:
    """Factorization without the change to contrasts, which takes longer than the Cholesky one."""
    n_classes, n_columns = len(hessian), len(ridge)
    matrix = hessian.swapaxes(1, 2).copy()  # (C, d, C, d)
    columns, classes = np.arange(n_columns), np.arange(n_classes)
    level = np.maximum(np.einsum("aadd->d", hessian) / n_classes, TINY)
    matrix[:, columns, :, columns] += (level / n_classes)[:, None, None]
    matrix = matrix.reshape(n_classes * n_columns, -1)
    index = np.arange(len(matrix))
    matrix[index, index] += np.tile(ridge, len(classes))
    return SymmetricFactor(_cholesky(matrix))


def softmax_newton_step(
    factor: Any, gradient: Array, coef: Array, basis: Array, ridge: Array
) -> Array:
    """Newton step (..., C, d) of the penalised log-likelihood, in symmetric coding."""
    if isinstance(factor, list):
        rows = zip(factor, gradient, coef, strict=True)
        return np.stack([softmax_newton_step(*row, basis, ridge) for row in rows])
    if isinstance(factor, SymmetricFactor):
        step = _solve(factor.cholesky, gradient - ridge * coef)
        return step - step.mean(axis=0)
    contrast_gradient = basis.T @ gradient - ridge * to_contrasts(coef, basis)
    if isinstance(factor, tuple):
        hessian, diagonal = factor
        step = conjugate_gradients(
            lambda contrasts: basis.T @ (hessian @ (basis @ contrasts)) + ridge * contrasts,
            contrast_gradient,
            diagonal,
            axes=(-2, -1),
            tol=NEWTON_CG_TOL,
        )
    else:
        step = _solve(factor, contrast_gradient)
    return basis @ step


def _solve(factor: Array, rhs: Array) -> Array:
    return cholesky_solve(factor, rhs.ravel()).reshape(rhs.shape)


def to_contrasts(coef: Array, basis: Array) -> Array:
    """Contrast coordinates (..., C-1, d) of symmetric coefficients (..., C, d)."""
    return (basis.T @ coef) / (basis**2).sum(axis=0)[:, None]


def _cholesky(matrix: Array) -> Array:
    """Lower Cholesky factor; a small multiple of the identity is added to a singular matrix."""
    largest = np.abs(np.diag(matrix)).max()
    scale = largest if largest > TINY else 1.0
    jitter = 0.0
    while True:
        shifted = matrix + jitter * np.eye(len(matrix)) if jitter else matrix
        try:
            factor = cholesky(shifted)
        except linalg.LinAlgError:
            pass
        else:
            if np.diag(factor).min() > PIVOT_TOL * np.diag(factor).max():
                return factor
        jitter = max(10.0 * jitter, 1e-13 * scale)


@dataclass(frozen=True)
class SoftmaxHessian:
    """Negative Hessian of softmax log-likelihoods that is not formed: products only.

    It is a sum over row blocks, stored as triples of a design, row weights (..., n) and
    probabilities (..., C, n).
    """

    blocks: tuple[tuple[Design, Array, Array], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape (..., C, d) of the coefficients."""
        design, _, probs = self.blocks[0]
        return (*probs.shape[:-1], design.shape[1])

    def __add__(self, other: SoftmaxHessian) -> SoftmaxHessian:
        return SoftmaxHessian(self.blocks + other.blocks)

    def __matmul__(self, coef: Array) -> Array:
        """Product with coefficients (..., C, d)."""
        total = np.zeros(self.shape)
        for design, weight, probs in self.blocks:
            logits = linear_predictor(coef, design)
            logits -= (probs * logits).sum(axis=-2, keepdims=True)
            logits *= probs
            logits *= weight[..., None, :]
            total += weighted_column_sums(logits, design)
        return total

    def contrast_diagonal(self, basis: Array) -> Array:
        """Diagonal in the coordinates of a basis (C, C - 1) of contrasts, (..., C - 1, d)."""
        *models, n_classes, n_columns = self.shape
        total = np.zeros((*models, n_classes - 1, n_columns))
        for design, weight, probs in self.blocks:
            # The variance of each contrast of the indicators of the classes.
            variance = np.square(basis.T) @ probs - np.square(basis.T @ probs)
            total += weighted_column_sums(weight[..., None, :] * variance, squared(design))
        return total


def softmax_score_rows(design: Array, residual: Array, basis: Array) -> Array:
    """Gradient of the log-likelihood of each row, ((C-1) * d, n), from residuals (C, n)."""
    contrast = basis.T @ residual
    return (contrast[:, None, :] * design.T).reshape(basis.shape[1] * design.shape[1], len(design))


def softmax_information(design: Array, weight: Array, probs: Array, basis: Array) -> Array:
    """Negative Hessian in contrast coordinates, ((C-1) * d, (C-1) * d), for a dense design."""
    return contrast_hessian(_hessian_blocks(design, weight, probs), basis)


def log_prob_score_rows(k: int, design: Array, log_prob: Array) -> Array:
    """Gradient of the log probability (K, n) of expert k for each row, ((K-1) * d, n)."""
    residual = -exp_of_logs(log_prob)
    residual[k] += 1.0
    return softmax_score_rows(design, residual, helmert_contrasts(len(log_prob)))


# --- quadratic surrogates for streams ---------------------------------------------------------

# Fraction of the Böhning-Lindsay bound that is added to the Hessian of a surrogate: where
# probabilities are near 0 or 1 the Hessian vanishes, and its Newton steps would be unbounded.
BOUND_FRACTION = 0.01


def softmax_surrogate(
    gradient: Array, hessian: Array, coef: Array, design: Design, weight: Array
) -> tuple[Array, Array]:
    """Linear term and Hessian of a quadratic surrogate of a softmax log-likelihood at `coef`."""
    hessian = hessian + BOUND_FRACTION * bohning_lindsay_bound(hessian, design, weight)
    return gradient + hessian_product(hessian, coef), hessian


def bohning_lindsay_bound(hessian: Array, design: Design, weight: Array) -> Array:
    """Bound of Böhning and Lindsay (1988) on the negative Hessian, (..., C, C, d, d).

    Each of several experts is assumed to have an equal fraction of the rows.
    """
    n_classes, n_experts = hessian.shape[-3], len(hessian) if hessian.ndim > 4 else 1
    gram = weighted_gram(design, weight / n_experts)
    coupling = 0.5 * (np.eye(n_classes) - 1.0 / n_classes)
    return coupling[:, :, None, None] * gram


def hessian_product(hessian: Array, coef: Array) -> Array:
    """Products (..., C, d) of Hessians (..., C, C, d, d) with coefficients (..., C, d)."""
    return np.einsum("...abij,...bj->...ai", hessian, coef, optimize=True)
